//! What an expression comes to.
//!
//! Missing answers are the everyday case on a half-filled form, so they are a value here ([`Operand::Nothing`]), equal to the empty text and to
//! nothing else but `false()`, and neither less nor greater than anything.

use core::{cmp::Ordering, fmt};
use std::collections::BTreeMap;

use crate::value::{Date, Decimal, Value, joined};

use super::{Arithmetic, Comparison, Function, Node};

/// Where an expression finds the answers it reads.
pub trait Answers: fmt::Debug {
    /// The answer to a field, if there is one that counts.
    fn answer(&self, field: &str) -> Option<&Value>;
}

impl Answers for BTreeMap<String, Value> {
    fn answer(&self, field: &str) -> Option<&Value> {
        self.get(field)
    }
}

/// What an expression may read.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    /// The answer it is attached to: `.`.
    pub this: Option<&'a Value>,
    /// The other answers: `${field}`.
    pub answers: &'a dyn Answers,
    /// The date of `today()`; `None` if whoever asks does not trust its clock.
    pub today: Option<Date>,
}

/// What an expression, or a part of it, comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// No answer, or nothing that can be computed.
    Nothing,
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Decimal),
    /// A text, never empty. Dates and times are their ISO text, choices their ids.
    Text(String),
}

impl Operand {
    fn text(text: impl Into<String>) -> Self {
        let text = text.into();
        if text.is_empty() { Self::Nothing } else { Self::Text(text) }
    }

    fn number(number: Option<Decimal>) -> Self {
        number.map_or(Self::Nothing, Self::Number)
    }

    /// Whether it counts as true: true, a number other than zero, any text.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Bool(answer) => *answer,
            Self::Number(number) => *number != Decimal::ZERO,
            Self::Text(_) => true,
        }
    }

    fn to_number(&self) -> Option<Decimal> {
        match self {
            Self::Nothing => None,
            Self::Bool(answer) => Some(Decimal::from(i64::from(*answer))),
            Self::Number(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
        }
    }

    fn into_text(self) -> String {
        match self {
            Self::Nothing => String::new(),
            Self::Bool(answer) => answer.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl From<&Value> for Operand {
    fn from(value: &Value) -> Self {
        match value {
            Value::Null => Self::Nothing,
            Value::Bool(answer) => Self::Bool(*answer),
            Value::Int(number) => Self::Number(Decimal::from(*number)),
            Value::Decimal(number) => Self::Number(*number),
            Value::Date(date) => Self::Text(date.to_string()),
            Value::Time(time) => Self::Text(time.to_string()),
            Value::Text(text) | Value::Choice(text) | Value::Reference(text) => Self::text(text.as_str()),
            Value::Choices(ids) | Value::References(ids) => Self::text(joined(ids)),
        }
    }
}

pub(super) fn evaluate(node: &Node, scope: &Scope<'_>) -> Operand {
    match node {
        Node::Number(number) => Operand::Number(*number),
        Node::Text(text) => Operand::text(text.as_str()),
        Node::This => scope.this.map_or(Operand::Nothing, Operand::from),
        Node::Field(name) => scope.answers.answer(name).map_or(Operand::Nothing, Operand::from),
        Node::Negate(inner) => Operand::number(evaluate(inner, scope).to_number().and_then(Decimal::checked_neg)),
        Node::Compare { comparison, left, right } => {
            Operand::Bool(compare(*comparison, &evaluate(left, scope), &evaluate(right, scope)))
        }
        Node::Or(all) => Operand::Bool(all.iter().any(|node| evaluate(node, scope).is_true())),
        Node::And(all) => Operand::Bool(all.iter().all(|node| evaluate(node, scope).is_true())),
        Node::Chain { first, rest } => {
            let start = evaluate(first, scope).to_number();
            Operand::number(rest.iter().fold(start, |left, (operation, node)| {
                arithmetic(*operation, left?, evaluate(node, scope).to_number()?)
            }))
        }
        Node::Call { function, arguments } => call(*function, arguments, scope),
    }
}

fn arithmetic(operation: Arithmetic, left: Decimal, right: Decimal) -> Option<Decimal> {
    match operation {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Subtract => left.checked_sub(right),
        Arithmetic::Multiply => left.checked_mul(right),
        Arithmetic::Divide => left.checked_div(right),
        Arithmetic::Remainder => left.checked_rem(right),
    }
}

fn compare(comparison: Comparison, left: &Operand, right: &Operand) -> bool {
    match comparison {
        Comparison::Equal => equal(left, right),
        Comparison::NotEqual => !equal(left, right),
        Comparison::Less => order(left, right) == Some(Ordering::Less),
        Comparison::LessOrEqual => order(left, right).is_some_and(Ordering::is_le),
        Comparison::Greater => order(left, right) == Some(Ordering::Greater),
        Comparison::GreaterOrEqual => order(left, right).is_some_and(Ordering::is_ge),
    }
}

/// As truth if either side is a truth value, as numbers if either is a number, else as texts; nothing equals nothing.
fn equal(left: &Operand, right: &Operand) -> bool {
    match (left, right) {
        (Operand::Bool(_), _) | (_, Operand::Bool(_)) => left.is_true() == right.is_true(),
        (Operand::Nothing, other) | (other, Operand::Nothing) => *other == Operand::Nothing,
        (Operand::Number(_), _) | (_, Operand::Number(_)) => {
            left.to_number().is_some_and(|number| right.to_number() == Some(number))
        }
        (Operand::Text(left), Operand::Text(right)) => left == right,
    }
}

/// As texts if both are texts (so ISO dates and times order as time does), else as numbers.
fn order(left: &Operand, right: &Operand) -> Option<Ordering> {
    match (left, right) {
        (Operand::Text(left), Operand::Text(right)) => Some(left.cmp(right)),
        (Operand::Bool(_) | Operand::Nothing, _) | (_, Operand::Bool(_) | Operand::Nothing) => None,
        (Operand::Number(_), _) | (_, Operand::Number(_)) => Some(left.to_number()?.cmp(&right.to_number()?)),
    }
}

fn call(function: Function, arguments: &[Node], scope: &Scope<'_>) -> Operand {
    let argument = |at: usize| arguments.get(at).map_or(Operand::Nothing, |node| evaluate(node, scope));
    let text = |at: usize| argument(at).into_text();
    match function {
        Function::Selected => {
            let wanted = text(1);
            Operand::Bool(!wanted.is_empty() && text(0).split(' ').any(|id| id == wanted))
        }
        Function::CountSelected => count(text(0).split(' ').filter(|id| !id.is_empty()).count()),
        Function::StringLength => count(text(0).chars().count()),
        Function::Contains => Operand::Bool(text(0).contains(&text(1))),
        Function::StartsWith => Operand::Bool(text(0).starts_with(&text(1))),
        Function::If => argument(if argument(0).is_true() { 1 } else { 2 }),
        Function::Coalesce => {
            (0..arguments.len()).map(argument).find(|value| *value != Operand::Nothing).unwrap_or(Operand::Nothing)
        }
        Function::Not => Operand::Bool(!argument(0).is_true()),
        Function::True => Operand::Bool(true),
        Function::False => Operand::Bool(false),
        Function::Number => Operand::number(argument(0).to_number()),
        Function::Today => scope.today.map_or(Operand::Nothing, |today| Operand::Text(today.to_string())),
        Function::DecimalDateTime => {
            Operand::number(Date::from_iso(&text(0)).map(|date| Decimal::from(date.days_since_1970())))
        }
    }
}

fn count(number: usize) -> Operand {
    Operand::number(i64::try_from(number).ok().map(Decimal::from))
}
