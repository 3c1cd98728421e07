//! The expression language of definitions: a small, typed subset of `XLSForm` expressions.
//!
//! Constraints, relevance, conditional requirements and warnings are written in it. It has no loops, no assignment, no regular expressions and no
//! clock; evaluating an expression costs at most its own length times the answers it reads. `docs/forms.md` is the reference.
//!
//! # Invariants
//!
//! 1. Parsing never panics, whatever the text (`prop_parse_never_panics`).
//! 2. An expression printed and parsed again is the same expression, as long as the print keeps within the limit (it may be longer than what was
//!    written, by its spaces) (`prop_printed_expression_parses_to_itself`).
//! 3. Evaluation always has an outcome: what cannot be computed (a missing answer, division by zero, a number that does not fit) is no value,
//!    and no value is neither less nor greater than anything.
//!
//! # Limits
//!
//! [`EXPRESSION_BYTES_MAX`] bytes, [`EXPRESSION_DEPTH_MAX`] levels of nesting; both are checked while parsing, so printing, evaluating and dropping
//! are bounded too.
//!
//! # Failure
//!
//! [`ExpressionError`], with the byte offset; whoever writes the form acts on it.

mod evaluate;
mod lex;
mod parse;
mod print;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use crate::value::Decimal;

pub use evaluate::{Answers, Operand, Scope};

/// The longest expression.
pub const EXPRESSION_BYTES_MAX: usize = 1_024;

/// The deepest nesting of parentheses, function arguments and signs.
pub const EXPRESSION_DEPTH_MAX: usize = 32;

/// A parsed expression. Prints as text that parses to the same expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    root: Node,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The first thing that is wrong, with its byte offset.
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        parse::parse(text).map(|root| Self { root })
    }

    /// What the expression comes to.
    #[must_use]
    pub fn evaluate(&self, scope: &Scope<'_>) -> Operand {
        evaluate::evaluate(&self.root, scope)
    }

    /// Whether the expression holds.
    #[must_use]
    pub fn holds(&self, scope: &Scope<'_>) -> bool {
        self.evaluate(scope).is_true()
    }

    /// The names of the fields it reads.
    #[must_use]
    pub fn fields(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.root.visit(&mut |node| {
            if let Node::Field(name) = node {
                names.insert(name.as_str());
            }
        });
        names
    }

    /// Whether it reads the answer it is attached to (`.`).
    #[must_use]
    pub fn reads_this(&self) -> bool {
        let mut found = false;
        self.root.visit(&mut |node| found |= matches!(node, Node::This));
        found
    }

    /// Every literal that an answer is compared with by `=`, `!=` or `selected()`: the field's name (`None` for `.`) and the literal. A definition
    /// is checked for literals that its list does not have.
    pub(crate) fn compared_literals(&self) -> Vec<(Option<&str>, String)> {
        let mut found = Vec::new();
        self.root.visit(&mut |node| {
            let pair = match node {
                Node::Compare { comparison: Comparison::Equal | Comparison::NotEqual, left, right } => {
                    Some((left.as_ref(), right.as_ref()))
                }
                Node::Call { function: Function::Selected, arguments } => arguments.first().zip(arguments.get(1)),
                Node::Number(_)
                | Node::Text(_)
                | Node::This
                | Node::Field(_)
                | Node::Negate(_)
                | Node::Compare { .. }
                | Node::Or(_)
                | Node::And(_)
                | Node::Chain { .. }
                | Node::Call { .. } => None,
            };
            if let Some((left, right)) = pair {
                found.extend(compared(left, right).or_else(|| compared(right, left)));
            }
        });
        found
    }
}

fn compared<'n>(answer: &'n Node, literal: &Node) -> Option<(Option<&'n str>, String)> {
    let literal = match literal {
        Node::Text(text) if !text.is_empty() => text.clone(),
        Node::Number(number) => number.to_string(),
        Node::Text(_)
        | Node::This
        | Node::Field(_)
        | Node::Negate(_)
        | Node::Compare { .. }
        | Node::Or(_)
        | Node::And(_)
        | Node::Chain { .. }
        | Node::Call { .. } => return None,
    };
    if let Node::Field(name) = answer {
        return Some((Some(name), literal));
    }
    matches!(answer, Node::This).then_some((None, literal))
}

/// One node of the tree. Chains are flat, so depth is the nesting the writer wrote and no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Number(Decimal),
    Text(String),
    /// The answer the expression is attached to.
    This,
    Field(String),
    Negate(Box<Self>),
    Compare {
        comparison: Comparison,
        left: Box<Self>,
        right: Box<Self>,
    },
    /// Two or more.
    Or(Vec<Self>),
    /// Two or more.
    And(Vec<Self>),
    /// `first`, then each operation applied from left to right; all of one precedence.
    Chain {
        first: Box<Self>,
        rest: Vec<(Arithmetic, Self)>,
    },
    Call {
        function: Function,
        arguments: Vec<Self>,
    },
}

impl Node {
    fn visit<'n>(&'n self, see: &mut dyn FnMut(&'n Self)) {
        see(self);
        match self {
            Self::Number(_) | Self::Text(_) | Self::This | Self::Field(_) => {}
            Self::Negate(inner) => inner.visit(see),
            Self::Compare { left, right, .. } => {
                left.visit(see);
                right.visit(see);
            }
            Self::Or(all) | Self::And(all) | Self::Call { arguments: all, .. } => {
                all.iter().for_each(|node| node.visit(see))
            }
            Self::Chain { first, rest } => {
                first.visit(see);
                rest.iter().for_each(|(_, node)| node.visit(see));
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Comparison {
    const fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Arithmetic {
    const fn sign(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "div",
            Self::Remainder => "mod",
        }
    }

    const fn is_sum(self) -> bool {
        matches!(self, Self::Add | Self::Subtract)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Selected,
    CountSelected,
    StringLength,
    Contains,
    StartsWith,
    If,
    Coalesce,
    Not,
    True,
    False,
    Number,
    Today,
    DecimalDateTime,
}

impl Function {
    const ALL: [Self; 13] = [
        Self::Selected,
        Self::CountSelected,
        Self::StringLength,
        Self::Contains,
        Self::StartsWith,
        Self::If,
        Self::Coalesce,
        Self::Not,
        Self::True,
        Self::False,
        Self::Number,
        Self::Today,
        Self::DecimalDateTime,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Selected => "selected",
            Self::CountSelected => "count-selected",
            Self::StringLength => "string-length",
            Self::Contains => "contains",
            Self::StartsWith => "starts-with",
            Self::If => "if",
            Self::Coalesce => "coalesce",
            Self::Not => "not",
            Self::True => "true",
            Self::False => "false",
            Self::Number => "number",
            Self::Today => "today",
            Self::DecimalDateTime => "decimal-date-time",
        }
    }

    /// The fewest and the most arguments.
    const fn arguments(self) -> (usize, usize) {
        match self {
            Self::True | Self::False | Self::Today => (0, 0),
            Self::CountSelected | Self::StringLength | Self::Not | Self::Number | Self::DecimalDateTime => (1, 1),
            Self::Selected | Self::Contains | Self::StartsWith => (2, 2),
            Self::If => (3, 3),
            Self::Coalesce => (2, 8),
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.name() == name)
    }
}

/// Why a text is not an expression, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct ExpressionError {
    /// Bytes from the start of the expression.
    pub offset: usize,
    /// What is wrong there.
    pub kind: ExpressionErrorKind,
}

/// What is wrong with an expression.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionErrorKind {
    /// Longer than [`EXPRESSION_BYTES_MAX`].
    #[error("{bytes} bytes, at most {max}")]
    TooLong {
        /// How long it is.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
    /// Nested deeper than [`EXPRESSION_DEPTH_MAX`].
    #[error("nested deeper than {max} levels")]
    TooDeep {
        /// How deep it may be.
        max: usize,
    },
    /// Nothing there, or it stops in the middle.
    #[error("the expression ends where a value belongs")]
    UnexpectedEnd,
    /// A character that begins nothing.
    #[error("unexpected character `{0}`")]
    UnexpectedCharacter(char),
    /// Something in the wrong place.
    #[error("unexpected `{found}`, expected {expected}")]
    Unexpected {
        /// What stands there.
        found: String,
        /// What belongs there.
        expected: &'static str,
    },
    /// A quote that is never closed.
    #[error("the text is not closed by {0}")]
    UnclosedText(char),
    /// A `${` that is never closed.
    #[error("the field name is not closed by `}}`")]
    UnclosedField,
    /// What stands in `${…}` cannot be a field's name.
    #[error("`{0}` cannot be the name of a field")]
    BadFieldName(String),
    /// Too many digits.
    #[error("the number does not fit")]
    NumberTooLarge,
    /// No such function.
    #[error("unknown function `{0}`")]
    UnknownFunction(String),
    /// The wrong number of arguments.
    #[error("`{function}` takes {min} to {max} arguments, found {found}")]
    ArgumentCount {
        /// The function.
        function: &'static str,
        /// The fewest it takes.
        min: usize,
        /// The most it takes.
        max: usize,
        /// How many there are.
        found: usize,
    },
    /// `a < b < c`, which never means what it seems to.
    #[error("comparisons cannot be chained; join them with `and`")]
    ChainedComparison,
}
