//! Values: what an answer is, between what a person types and what a document stores.
//!
//! A [`Value`] is typed; a [`Scalar`] is what a document stores. Equal values are stored as equal scalars, so that two people who write the same
//! answer do not make a conflict: a decimal is its shortest exact text, a date is `YYYY-MM-DD`, a time is `HH:MM`, several choices are their ids
//! in order with single spaces between. No binary floating point is stored anywhere.
//!
//! # Flow
//!
//! ```text
//! typed text --parse_input--> Value --to_scalar--> Scalar (document)
//!                               ^                     |
//!                               +----from_scalar------+
//!                             Value --display(field, lang)--> what a person reads
//! ```
//!
//! # Failure
//!
//! [`ValueError`] never carries what was typed: it can be logged, and a page shows the input beside it anyway.
//!
//! # See
//!
//! `docs/forms.md`, "Values".

mod date;
mod decimal;
mod input;
mod stored;

use std::collections::BTreeSet;

use crate::{
    definition::{Field, FieldType},
    text::{Label, Lang},
};

pub use date::{Date, Time};
pub use decimal::{Decimal, DecimalError};
pub(crate) use input::{TEXT_CHARS_MAX, TOKEN_CHARS_MAX};
pub use stored::Scalar;

/// An answer to one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// No answer. Clearing a field writes this.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number, or the point chosen on a labelled scale.
    Int(i64),
    /// An exact decimal number.
    Decimal(Decimal),
    /// Free text, never empty.
    Text(String),
    /// A calendar date.
    Date(Date),
    /// A time of day.
    Time(Time),
    /// The id of one choice.
    Choice(String),
    /// The ids of several choices, never empty.
    Choices(BTreeSet<String>),
    /// The id of a target, station, person or place.
    Reference(String),
    /// The ids of several of them, never empty.
    References(BTreeSet<String>),
}

impl Value {
    /// Whether there is no answer: nothing, an empty text, no choice.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) | Self::Choice(text) | Self::Reference(text) => text.is_empty(),
            Self::Choices(ids) | Self::References(ids) => ids.is_empty(),
            Self::Bool(_) | Self::Int(_) | Self::Decimal(_) | Self::Date(_) | Self::Time(_) => false,
        }
    }

    /// What a person reads. Empty for no answer; a choice that the list does not know is shown by its id.
    #[must_use]
    pub fn display(&self, field: &Field, lang: Lang) -> String {
        let label = |id: &str| {
            let list = field.field_type.choices();
            list.and_then(|list| list.get(id)).map_or_else(|| id.to_owned(), |choice| choice.label.get(lang).to_owned())
        };
        match self {
            Self::Int(number) => label(&number.to_string()),
            Self::Bool(answer) => yes_no(*answer).get(lang).to_owned(),
            Self::Choice(id) => label(id),
            Self::Choices(ids) => {
                let labels: Vec<String> = ids.iter().map(|id| label(id)).collect();
                labels.join(match lang {
                    Lang::Zh => "、",
                    Lang::En => ", ",
                })
            }
            Self::Null
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Date(_)
            | Self::Time(_)
            | Self::Reference(_)
            | Self::References(_) => self.to_input(),
        }
    }

    /// What an input box holds: ids, ISO dates, plain numbers. [`Field::parse_input`](crate::Field) reads it back to the same value.
    #[must_use]
    pub fn to_input(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Bool(answer) => (if *answer { "true" } else { "false" }).to_owned(),
            Self::Int(number) => number.to_string(),
            Self::Decimal(number) => number.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Time(time) => time.to_string(),
            Self::Text(text) | Self::Choice(text) | Self::Reference(text) => text.clone(),
            Self::Choices(ids) | Self::References(ids) => joined(ids),
        }
    }

    /// Whether this value may stand in a field of that type; no answer may stand anywhere.
    #[must_use]
    pub const fn fits(&self, field_type: &FieldType) -> bool {
        match self {
            Self::Null => true,
            Self::Bool(_) => matches!(field_type, FieldType::Boolean),
            Self::Int(_) => matches!(field_type, FieldType::Integer { .. }),
            Self::Decimal(_) => field_type.decimals().is_some(),
            Self::Text(_) => matches!(field_type, FieldType::Text { .. } | FieldType::LongText { .. }),
            Self::Date(_) => matches!(field_type, FieldType::Date),
            Self::Time(_) => matches!(field_type, FieldType::Time),
            Self::Choice(_) => matches!(field_type, FieldType::Choice(_)),
            Self::Choices(_) => matches!(field_type, FieldType::Choices(_)),
            Self::Reference(_) => matches!(field_type, FieldType::Reference(_)),
            Self::References(_) => matches!(field_type, FieldType::References(_)),
        }
    }
}

pub(crate) fn joined(ids: &BTreeSet<String>) -> String {
    ids.iter().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn yes_no(answer: bool) -> Label {
    if answer { Label::new("是", "Yes") } else { Label::new("否", "No") }
}

/// Why an input or a stored scalar is not a value of its field. Never carries the input itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a whole number.
    #[error("not a whole number")]
    NotInteger,
    /// Not a decimal number.
    #[error("not a number")]
    NotDecimal,
    /// More decimals than the field keeps.
    #[error("at most {max} decimals")]
    TooManyDecimals {
        /// What the field keeps.
        max: u8,
    },
    /// Beyond what can be stored.
    #[error("the number is too large")]
    NumberTooLarge,
    /// Not written like a date.
    #[error("not a date; write it like 2025-06-18")]
    NotDate,
    /// Written like a date, but the calendar has no such day between 1900 and 2199.
    #[error("no such day in the calendar")]
    NoSuchDay,
    /// Not a time of day.
    #[error("not a time; write it like 09:30")]
    NotTime,
    /// Not a choice of the list.
    #[error("not in the list")]
    UnknownChoice,
    /// Neither yes nor no.
    #[error("answer yes or no")]
    NotBoolean,
    /// Not the id of anything.
    #[error("not an id; 1 to {max} letters, digits, `-`, `_`, `.` or `:`")]
    NotReference {
        /// The longest id.
        max: usize,
    },
    /// Longer than any text may be.
    #[error("{chars} characters, at most {max}")]
    TooLong {
        /// How long it is.
        chars: usize,
        /// How long it may be.
        max: usize,
    },
    /// A document stores another kind of scalar here.
    #[error("the document stores {found} where {expected} belongs")]
    WrongScalar {
        /// What belongs here.
        expected: &'static str,
        /// What is stored.
        found: &'static str,
    },
}

impl ValueError {
    /// What to tell the person who typed it.
    #[must_use]
    pub fn message(&self) -> Label {
        let en = {
            let mut text = self.to_string();
            if let Some(first) = text.get_mut(..1) {
                first.make_ascii_uppercase();
            }
            text
        };
        let zh = match self {
            Self::NotInteger => "请填整数".to_owned(),
            Self::NotDecimal => "请填数字".to_owned(),
            Self::TooManyDecimals { max } => format!("最多{max}位小数"),
            Self::NumberTooLarge => "数字太大".to_owned(),
            Self::NotDate => "请按 2025-06-18 的样子填日期".to_owned(),
            Self::NoSuchDay => "没有这一天".to_owned(),
            Self::NotTime => "请按 09:30 的样子填时间".to_owned(),
            Self::UnknownChoice => "不在可选项中".to_owned(),
            Self::NotBoolean => "请答是或否".to_owned(),
            Self::NotReference { max } => format!("编号应为1到{max}个字母、数字或 - _ . :"),
            Self::TooLong { chars, max } => format!("有{chars}字,最多{max}字"),
            Self::WrongScalar { .. } => "存储的内容类型不对".to_owned(),
        };
        Label { zh, en }
    }
}
