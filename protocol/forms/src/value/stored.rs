//! Scalars: what a document stores for a value.
//!
//! A neutral enum, so that this crate knows nothing of documents. Reading is tolerant where tolerance loses nothing (a decimal with trailing
//! zeros, a choice this version of a list does not know) and strict elsewhere; writing is canonical.

use std::collections::BTreeSet;

use crate::definition::{Field, FieldType};

use super::{Date, Decimal, DecimalError, Time, Value, ValueError, input, joined};

/// What a document stores for one field.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// No answer.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Everything else.
    Text(String),
}

impl Scalar {
    const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Text(_) => "a text",
        }
    }
}

impl Value {
    /// What a document stores for this value. Equal values give equal scalars.
    #[must_use]
    pub fn to_scalar(&self) -> Scalar {
        match self {
            Self::Null => Scalar::Null,
            Self::Bool(answer) => Scalar::Bool(*answer),
            Self::Int(number) => Scalar::Int(*number),
            Self::Decimal(number) => Scalar::Text(number.to_string()),
            Self::Date(date) => Scalar::Text(date.to_string()),
            Self::Time(time) => Scalar::Text(time.to_string()),
            Self::Text(text) | Self::Choice(text) | Self::Reference(text) => Scalar::Text(text.clone()),
            Self::Choices(ids) | Self::References(ids) => Scalar::Text(joined(ids)),
        }
    }

    /// The value a document stores for a field. A choice that is not in the list is kept: another tablet may know a newer list, and
    /// [`validate`](crate::validate::validate) says so.
    ///
    /// # Errors
    /// The scalar is not of the field's type, or a text is not in the form this type is stored in.
    pub fn from_scalar(field: &Field, scalar: &Scalar) -> Result<Self, ValueError> {
        let field_type = &field.field_type;
        let value = match scalar {
            Scalar::Null => Some(Ok(Self::Null)),
            Scalar::Text(text) if text.is_empty() => Some(Ok(Self::Null)),
            Scalar::Bool(answer) => matches!(field_type, FieldType::Boolean).then_some(Ok(Self::Bool(*answer))),
            Scalar::Int(number) if matches!(field_type, FieldType::Integer { .. }) => Some(Ok(Self::Int(*number))),
            Scalar::Int(number) => field_type.decimals().map(|_| Ok(Self::Decimal(Decimal::from(*number)))),
            Scalar::Text(text) => Self::from_stored_text(field_type, text),
        };
        value.unwrap_or_else(|| Err(ValueError::WrongScalar { expected: expected(field_type), found: scalar.kind() }))
    }

    /// `None` where this type is never stored as text.
    fn from_stored_text(field_type: &FieldType, text: &str) -> Option<Result<Self, ValueError>> {
        Some(match field_type {
            FieldType::Text { .. } | FieldType::LongText { .. } => Ok(Self::Text(text.to_owned())),
            FieldType::Decimal { .. } | FieldType::Latitude | FieldType::Longitude | FieldType::Accuracy => {
                text.parse().map(Self::Decimal).map_err(|error| match error {
                    DecimalError::Syntax => ValueError::NotDecimal,
                    DecimalError::TooPrecise { max, .. } => ValueError::TooManyDecimals { max },
                    DecimalError::TooLarge => ValueError::NumberTooLarge,
                })
            }
            FieldType::Date => Date::from_iso(text).map(Self::Date).ok_or(ValueError::NotDate),
            FieldType::Time => Time::from_iso(text).map(Self::Time).ok_or(ValueError::NotTime),
            FieldType::Choice(_) => input::token(text).map(Self::Choice),
            FieldType::Choices(_) => tokens(text).map(Self::Choices),
            FieldType::Reference(_) => input::token(text).map(Self::Reference),
            FieldType::References(_) => tokens(text).map(Self::References),
            FieldType::Integer { .. } | FieldType::Boolean => return None,
        })
    }
}

fn tokens(text: &str) -> Result<BTreeSet<String>, ValueError> {
    text.split(' ').map(input::token).collect()
}

const fn expected(field_type: &FieldType) -> &'static str {
    match field_type {
        FieldType::Boolean => "a boolean",
        FieldType::Integer { .. } => "a whole number",
        FieldType::Text { .. }
        | FieldType::LongText { .. }
        | FieldType::Decimal { .. }
        | FieldType::Latitude
        | FieldType::Longitude
        | FieldType::Accuracy
        | FieldType::Date
        | FieldType::Time
        | FieldType::Choice(_)
        | FieldType::Choices(_)
        | FieldType::Reference(_)
        | FieldType::References(_) => "a text",
    }
}
