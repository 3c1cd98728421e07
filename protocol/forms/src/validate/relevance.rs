//! Which fields are asked: skip logic.
//!
//! A field that is not relevant has no answer as far as any other expression can see. The form's order makes one pass enough: relevance never reads
//! a field that comes later.

use std::collections::BTreeSet;

use crate::{
    constraint::{Answers, Expression, Scope},
    definition::{Form, Repeat},
    value::{Date, Value},
};

use super::Values;

/// The mark of a removed row: rows are never deleted, so that an edit made meanwhile is not lost without a trace.
pub(super) const REMOVED: &str = "removed";

/// The paths that are asked: fields, repeats, and the fields of live rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relevance {
    paths: BTreeSet<String>,
}

impl Relevance {
    /// Whether the field or repeat at a path is asked. A field of a row that does not exist or was removed is not.
    #[must_use]
    pub fn contains(&self, path: &str) -> bool {
        self.paths.contains(path)
    }

    /// Every path that is asked.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.paths.iter().map(String::as_str)
    }
}

/// Which fields of a form are asked, given the answers so far.
#[must_use]
pub fn relevance(form: &Form, values: &Values, today: Option<Date>) -> Relevance {
    let root = RootAnswers::of(form, values, today);
    let mut paths: BTreeSet<String> = root.relevant.iter().map(|name| (*name).to_owned()).collect();
    for repeat in form.repeats().iter().filter(|repeat| root.is_relevant(&repeat.name)) {
        for row in live_rows(values, &repeat.name) {
            let answers = RowAnswers::of(&root, repeat, row, today);
            paths.extend(answers.relevant.iter().map(|name| answers.path(name)));
        }
    }
    Relevance { paths }
}

/// The rows of a repeat that are not removed, in the order of their ids.
pub(super) fn live_rows<'v>(values: &'v Values, repeat: &str) -> BTreeSet<&'v str> {
    let prefix = format!("{repeat}/");
    let below = values.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
    let rows = below.filter_map(|(path, _)| path.get(prefix.len()..)?.split_once('/').map(|(row, _)| row));
    rows.filter(|row| values.get(&format!("{prefix}{row}/{REMOVED}")) != Some(&Value::Bool(true))).collect()
}

fn holds(relevant: Option<&Expression>, answers: &dyn Answers, today: Option<Date>) -> bool {
    relevant.is_none_or(|expression| expression.holds(&Scope { this: None, answers, today }))
}

/// The answers outside repeats, as expressions see them.
#[derive(Debug)]
pub(super) struct RootAnswers<'a> {
    values: &'a Values,
    relevant: BTreeSet<&'a str>,
}

impl<'a> RootAnswers<'a> {
    pub(super) fn of(form: &'a Form, values: &'a Values, today: Option<Date>) -> Self {
        let mut answers = Self { values, relevant: BTreeSet::new() };
        for field in form.order.iter().filter_map(|at| form.fields.get(*at)) {
            if holds(field.relevant.as_ref(), &answers, today) {
                answers.relevant.insert(&field.name);
            }
        }
        let repeats = form.repeats.iter().filter(|repeat| holds(repeat.relevant.as_ref(), &answers, today));
        let names: Vec<&str> = repeats.map(|repeat| repeat.name.as_str()).collect();
        answers.relevant.extend(names);
        answers
    }

    pub(super) fn is_relevant(&self, name: &str) -> bool {
        self.relevant.contains(name)
    }
}

impl Answers for RootAnswers<'_> {
    fn answer(&self, field: &str) -> Option<&Value> {
        if self.is_relevant(field) { self.values.get(field) } else { None }
    }
}

/// The answers of one row, and behind them those outside repeats.
#[derive(Debug)]
pub(super) struct RowAnswers<'a> {
    root: &'a RootAnswers<'a>,
    repeat: &'a Repeat,
    row: &'a str,
    relevant: BTreeSet<&'a str>,
}

impl<'a> RowAnswers<'a> {
    pub(super) fn of(root: &'a RootAnswers<'a>, repeat: &'a Repeat, row: &'a str, today: Option<Date>) -> Self {
        let mut answers = Self { root, repeat, row, relevant: BTreeSet::new() };
        for field in repeat.order.iter().filter_map(|at| repeat.fields.get(*at)) {
            if holds(field.relevant.as_ref(), &answers, today) {
                answers.relevant.insert(&field.name);
            }
        }
        answers
    }

    pub(super) fn is_relevant(&self, name: &str) -> bool {
        self.relevant.contains(name)
    }

    pub(super) fn path(&self, field: &str) -> String {
        format!("{}/{}/{field}", self.repeat.name, self.row)
    }
}

impl Answers for RowAnswers<'_> {
    fn answer(&self, field: &str) -> Option<&Value> {
        if self.repeat.field(field).is_none() {
            return self.root.answer(field);
        }
        if self.is_relevant(field) { self.root.values.get(&self.path(field)) } else { None }
    }
}
