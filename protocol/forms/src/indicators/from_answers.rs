//! Facts from a form and its stored answers.
//!
//! Dimensions (station, crop, village …) come from the common field names; what is counted comes from the form's marks.

use std::collections::BTreeSet;

use super::{DEMAND_CLOSURE_RATE, DEMANDS_CLOSED, Demand, Facts, SATISFACTION_AVG, TARGETS_SERVED, TargetKey};
use crate::{
    definition::{Field, Form},
    validate::Values,
    value::{Decimal, Value},
};

/// What is known of a record beside its answers.
#[derive(Clone, Copy)]
pub struct RecordContext<'a> {
    /// The station it belongs to.
    pub station: Option<&'a str>,
    /// Where its review stands: `draft`, `pending`, `returned` or `approved`.
    pub review: &'a str,
    /// The code of a registered target, from the id that the record holds (a document's id, or a code already).
    pub target_code: &'a dyn Fn(&str) -> Option<String>,
}

impl core::fmt::Debug for RecordContext<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RecordContext").field("station", &self.station).field("review", &self.review).finish()
    }
}

impl Facts {
    /// The facts of one record of any form. Answers to fields that the form does not have are passed over.
    ///
    /// A target whose id the context does not know is counted under that id: it is registered, only not here.
    #[must_use]
    pub fn from_answers(form: &Form, answers: &Values, context: &RecordContext<'_>) -> Self {
        // A number that the form does not take is no figure: the gate lets records through that no form judged.
        let answers: &Values = &answers
            .iter()
            .filter(|(name, answer)| form.field(name).is_none_or(|field| is_in_range(field, answer)))
            .map(|(name, answer)| (name.clone(), answer.clone()))
            .collect();
        let text = |name: &str| answers.get(name).and_then(as_text);
        let count = |name: &str| answers.get(name).and_then(as_count);
        let mut facts = Self {
            form: form.id().to_owned(),
            station: context.station.map(str::to_owned),
            date: match answers.get("activity_date") {
                Some(Value::Date(date)) => Some(*date),
                Some(_) | None => None,
            },
            staff: text("staff_id"),
            target: target(answers, context),
            town: text("town_code"),
            village: text("village_code"),
            crop: text("crop_id"),
            pests: answers.get("pest_id").map(as_ids).unwrap_or_default(),
            technology: text("technology_id"),
            households: count("households"),
            satisfaction: None,
            demand: None,
            has_gps: is_answered(answers, "lat") && is_answered(answers, "lon"),
            photo_count: count("photo_count"),
            review: context.review.to_owned(),
            feeds: std::collections::BTreeMap::new(),
        };
        for indicator in form.indicators() {
            facts.feed(indicator, Decimal::from(1));
        }
        for field in form.fields() {
            facts.feed_from(field, answers);
        }
        if form.id() == "demand" || facts.feeds(DEMAND_CLOSURE_RATE) || facts.feeds(DEMANDS_CLOSED) {
            facts.demand = Some(Demand {
                category: text("demand_category").unwrap_or_else(|| "other".to_owned()),
                state: text("demand_state").unwrap_or_else(|| "registered".to_owned()),
            });
        }
        facts
    }

    fn feed_from(&mut self, field: &Field, answers: &Values) {
        let Some(answer) = answers.get(&field.name).filter(|answer| !answer.is_null()) else { return };
        for indicator in &field.indicators {
            match indicator.as_str() {
                // Counted from the facts themselves: as different targets, as a mean, by the demand's state.
                TARGETS_SERVED => {}
                SATISFACTION_AVG => self.satisfaction = as_count(answer).and_then(|points| u8::try_from(points).ok()),
                DEMANDS_CLOSED | DEMAND_CLOSURE_RATE => {
                    self.feeds.insert(DEMAND_CLOSURE_RATE.to_owned(), Decimal::from(1));
                }
                other => self.feed(other, amount(answer)),
            }
        }
    }
}

fn target(answers: &Values, context: &RecordContext<'_>) -> Option<TargetKey> {
    if let Some(id) = answers.get("target_id").and_then(as_text) {
        return Some(TargetKey::Registered((context.target_code)(&id).unwrap_or(id)));
    }
    let name = answers.get("target_name").and_then(as_text)?;
    Some(TargetKey::Provisional { station: context.station.unwrap_or_default().to_owned(), name })
}

/// Whether a number lies where the form takes numbers.
fn is_in_range(field: &Field, answer: &Value) -> bool {
    let number = match answer {
        Value::Int(number) => Decimal::from(*number),
        Value::Decimal(number) => *number,
        Value::Null
        | Value::Bool(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Choice(_)
        | Value::Choices(_)
        | Value::Reference(_)
        | Value::References(_) => return true,
    };
    field.min.is_none_or(|min| number >= min) && field.max.is_none_or(|max| number <= max)
}

fn is_answered(answers: &Values, name: &str) -> bool {
    answers.get(name).is_some_and(|answer| !answer.is_null())
}

fn as_text(answer: &Value) -> Option<String> {
    match answer {
        Value::Text(text) | Value::Choice(text) | Value::Reference(text) => Some(text.clone()),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Choices(_)
        | Value::References(_) => None,
    }
}

fn as_ids(answer: &Value) -> BTreeSet<String> {
    match answer {
        Value::Choices(ids) | Value::References(ids) => ids.clone(),
        Value::Choice(id) | Value::Reference(id) => BTreeSet::from([id.clone()]),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_) => BTreeSet::new(),
    }
}

fn as_count(answer: &Value) -> Option<u64> {
    match answer {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Decimal(number) => number.to_i64().and_then(|number| u64::try_from(number).ok()),
        Value::Null
        | Value::Bool(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Choice(_)
        | Value::Choices(_)
        | Value::Reference(_)
        | Value::References(_) => None,
    }
}

/// What an answer adds: a number itself, a no nothing, any other answer one.
fn amount(answer: &Value) -> Decimal {
    match answer {
        Value::Int(number) => Decimal::from(*number),
        Value::Decimal(number) => *number,
        Value::Null | Value::Bool(false) => Decimal::ZERO,
        Value::Bool(true)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Choice(_)
        | Value::Choices(_)
        | Value::Reference(_)
        | Value::References(_) => Decimal::from(1),
    }
}
