//! Printing an expression so that it parses back to the same tree: parentheses exactly where the tree needs them.

use core::fmt;

use super::{Expression, Node};

/// How tightly a node binds; a looser child is put in parentheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Or,
    And,
    Compare,
    Sum,
    Product,
    Negate,
    Primary,
}

impl Node {
    fn binding(&self) -> Binding {
        match self {
            Self::Or(_) => Binding::Or,
            Self::And(_) => Binding::And,
            Self::Compare { .. } => Binding::Compare,
            Self::Chain { rest, .. } if rest.iter().all(|(operation, _)| operation.is_sum()) => Binding::Sum,
            Self::Chain { .. } => Binding::Product,
            Self::Negate(_) => Binding::Negate,
            Self::Number(_) | Self::Text(_) | Self::This | Self::Field(_) | Self::Call { .. } => Binding::Primary,
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        print(&self.root, f)
    }
}

fn print(node: &Node, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match node {
        Node::Number(number) => write!(f, "{number}"),
        // A text has no escapes, so one that holds a quote was written in the other kind.
        Node::Text(text) if text.contains('\'') => write!(f, "\"{text}\""),
        Node::Text(text) => write!(f, "'{text}'"),
        Node::This => f.write_str("."),
        Node::Field(name) => write!(f, "${{{name}}}"),
        Node::Negate(inner) => {
            f.write_str("-")?;
            child(inner, Binding::Negate, f)
        }
        Node::Compare { comparison, left, right } => {
            child(left, Binding::Sum, f)?;
            write!(f, " {} ", comparison.sign())?;
            child(right, Binding::Sum, f)
        }
        Node::Or(all) => joined(all, " or ", Binding::And, f),
        Node::And(all) => joined(all, " and ", Binding::Compare, f),
        Node::Chain { first, rest } => {
            let needed = if node.binding() == Binding::Sum { Binding::Product } else { Binding::Negate };
            child(first, needed, f)?;
            for (operation, operand) in rest {
                write!(f, " {} ", operation.sign())?;
                child(operand, needed, f)?;
            }
            Ok(())
        }
        Node::Call { function, arguments } => {
            write!(f, "{}(", function.name())?;
            joined(arguments, ", ", Binding::Or, f)?;
            f.write_str(")")
        }
    }
}

fn joined(nodes: &[Node], between: &str, needed: Binding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (number, node) in nodes.iter().enumerate() {
        if number > 0 {
            f.write_str(between)?;
        }
        child(node, needed, f)?;
    }
    Ok(())
}

fn child(node: &Node, needed: Binding, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if node.binding() >= needed {
        return print(node, f);
    }
    f.write_str("(")?;
    print(node, f)?;
    f.write_str(")")
}
