//! Reading what a person typed into a field.
//!
//! Tolerant of how people write (full-width digits, units, dates with 年月日, a choice by any of its names) and never of what they mean: an answer
//! is read, or refused with the reason; nothing is guessed, cut or rounded.

use std::collections::BTreeSet;

use crate::{
    choices::ChoiceList,
    definition::{Field, FieldType},
    text::{self, Lines},
};

use super::{Date, Decimal, DecimalError, Time, Value, ValueError};

/// The longest id of a choice or of anything a field may refer to.
pub(crate) const TOKEN_CHARS_MAX: usize = 64;

/// The longest text any field may hold, whatever its definition says: a change has to fit in a pack.
pub(crate) const TEXT_CHARS_MAX: usize = 10_000;

impl Field {
    /// The value a person meant by what they typed. Blank input is [`Value::Null`]; free text is cleaned ([`text::clean`]), everything else is made
    /// half-width and trimmed first.
    ///
    /// # Errors
    /// The input is not a value of this field's type, is not in its list, or has more decimals than the field keeps. Ranges, lengths and
    /// constraints are not judged here but by [`validate`](crate::validate::validate).
    pub fn parse_input(&self, typed: &str) -> Result<Value, ValueError> {
        let lines = match self.field_type {
            FieldType::Text { .. } => Some(Lines::One),
            FieldType::LongText { .. } => Some(Lines::Many),
            FieldType::Integer { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Date
            | FieldType::Time
            | FieldType::Choice(_)
            | FieldType::Choices(_)
            | FieldType::Boolean
            | FieldType::Reference(_)
            | FieldType::References(_) => None,
        };
        if let Some(lines) = lines {
            return free_text(typed, lines);
        }
        let input = text::structural(typed);
        if input.is_empty() {
            return Ok(Value::Null);
        }
        match &self.field_type {
            FieldType::Integer { scale } => integer(self.without_unit(&input), scale.as_deref()),
            FieldType::Decimal { decimals } => decimal(self.without_unit(&input), *decimals),
            FieldType::Latitude | FieldType::Longitude | FieldType::Accuracy => {
                decimal(self.without_unit(&input), self.field_type.decimals().unwrap_or_default())
            }
            FieldType::Date => Date::parse(&input).map(Value::Date),
            FieldType::Time => Time::parse(&input).map(Value::Time),
            FieldType::Choice(list) => choice(list, &input).map(Value::Choice),
            FieldType::Choices(list) => several(&input, |part| choice(list, part)).map(Value::Choices),
            FieldType::Boolean => boolean(&input),
            FieldType::Reference(_) => token(&input).map(Value::Reference),
            FieldType::References(_) => several(&input, token).map(Value::References),
            FieldType::Text { .. } | FieldType::LongText { .. } => free_text(typed, Lines::Many),
        }
    }

    /// The number without the field's own unit after it.
    fn without_unit<'i>(&self, input: &'i str) -> &'i str {
        let unit = self.unit.as_ref();
        let stripped =
            unit.and_then(|unit| input.strip_suffix(unit.zh.as_str()).or_else(|| input.strip_suffix(unit.en.as_str())));
        stripped.map_or(input, str::trim_end)
    }
}

fn free_text(typed: &str, lines: Lines) -> Result<Value, ValueError> {
    let text = text::clean(typed, lines);
    let chars = text.chars().count();
    if chars > TEXT_CHARS_MAX {
        return Err(ValueError::TooLong { chars, max: TEXT_CHARS_MAX });
    }
    Ok(if text.is_empty() { Value::Null } else { Value::Text(text) })
}

fn integer(input: &str, scale: Option<&ChoiceList>) -> Result<Value, ValueError> {
    if let Some(list) = scale {
        let id = choice(list, input)?;
        return id.parse().map(Value::Int).map_err(|_| ValueError::NotInteger);
    }
    match input.parse::<Decimal>() {
        Ok(number) => number.to_i64().map(Value::Int).ok_or(ValueError::NotInteger),
        Err(DecimalError::TooLarge) => Err(ValueError::NumberTooLarge),
        Err(DecimalError::Syntax | DecimalError::TooPrecise { .. }) => Err(ValueError::NotInteger),
    }
}

fn decimal(input: &str, decimals: u8) -> Result<Value, ValueError> {
    match input.parse::<Decimal>() {
        Ok(number) if number.scale() <= decimals => Ok(Value::Decimal(number)),
        Ok(_) | Err(DecimalError::TooPrecise { .. }) => Err(ValueError::TooManyDecimals { max: decimals }),
        Err(DecimalError::TooLarge) => Err(ValueError::NumberTooLarge),
        Err(DecimalError::Syntax) => Err(ValueError::NotDecimal),
    }
}

fn choice(list: &ChoiceList, input: &str) -> Result<String, ValueError> {
    list.find(input).map(|choice| choice.id.clone()).ok_or(ValueError::UnknownChoice)
}

fn boolean(input: &str) -> Result<Value, ValueError> {
    match input.to_ascii_lowercase().as_str() {
        "是" | "对" | "有" | "yes" | "y" | "true" | "1" | "on" => Ok(Value::Bool(true)),
        "否" | "不" | "无" | "没有" | "no" | "n" | "false" | "0" | "off" => Ok(Value::Bool(false)),
        _ => Err(ValueError::NotBoolean),
    }
}

/// Several answers in one line, separated by white space, commas, semicolons or 、.
///
/// A name with a space in it (most English labels) is read when it is the whole part between other separators.
fn several(input: &str, one: impl Fn(&str) -> Result<String, ValueError>) -> Result<BTreeSet<String>, ValueError> {
    let mut ids = BTreeSet::new();
    for part in input.split([',', ';', '、', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
        if let Ok(id) = one(part) {
            ids.insert(id);
            continue;
        }
        for word in part.split_whitespace() {
            ids.insert(one(word)?);
        }
    }
    if ids.is_empty() { Err(ValueError::UnknownChoice) } else { Ok(ids) }
}

/// An id: short, of letters, digits and `-`, `_`, `.`, `:`.
pub(super) fn token(text: &str) -> Result<String, ValueError> {
    let fits = !text.is_empty() && text.len() <= TOKEN_CHARS_MAX;
    if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':')) {
        return Ok(text.to_owned());
    }
    Err(ValueError::NotReference { max: TOKEN_CHARS_MAX })
}
