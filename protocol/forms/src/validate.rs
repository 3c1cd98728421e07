//! Judging the answers to a form.
//!
//! A draft may miss anything, so only the kind of each answer is judged. A submission is judged whole: what is required, how long, within what
//! range, from what list, and the form's own constraints; and only over the fields that are relevant, because what is not asked does not count.
//! What comes from an old ledger is judged as a submission, but what it lacks is only a warning. Warnings never stop anyone.
//!
//! # Flow
//!
//! ```text
//! values --> kinds --> relevance (one pass, in the form's order) --> each relevant field: required, length, decimals, list, range, constraint
//!                                                                                         warnings, personal numbers
//! ```
//!
//! # Invariants
//!
//! 1. Pure: the same form, values and context give the same result.
//! 2. Whatever has no error in [`Mode::Submit`] has none in [`Mode::Import`], and whatever has none there has none in [`Mode::Draft`]
//!    (`prop_submit_is_stricter_than_import_and_import_than_draft`).
//! 3. A message never carries an answer, only the field's label and the rule's bounds.

mod relevance;

use std::collections::BTreeMap;

use crate::{
    constraint::{Answers, Scope},
    definition::{Field, FieldType, Form, NameRule, Repeat, Required},
    personal,
    text::{Label, Lang},
    value::{Date, Decimal, Value},
};

use relevance::{REMOVED, RootAnswers, RowAnswers, live_rows};
pub use relevance::{Relevance, relevance};

/// Answers by path: `field`, or `repeat/row/field`.
pub type Values = BTreeMap<String, Value>;

/// How strictly to judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Work in progress: only the kinds of the answers.
    Draft,
    /// About to be submitted: everything.
    Submit,
    /// Comes from a ledger that was kept before this form: everything, except that what a submission must have and the ledger has not is a
    /// warning. A ledger cannot be asked again, and a made-up answer would be worse than none.
    Import,
}

/// What a judgement needs to know beside the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// How strictly to judge.
    pub mode: Mode,
    /// The calendar date in Asia/Shanghai; `None` if the clock is not to be trusted, and then no rule about today applies.
    pub today: Option<Date>,
}

/// Which rule an answer meets or misses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultRule {
    /// The answer is of another kind than the field.
    Type,
    /// An answer is needed.
    Required,
    /// The text is too long.
    Length,
    /// More decimals than the field keeps.
    Decimals,
    /// The choice is not in the list.
    Choice,
    /// The number is out of range.
    Range,
    /// The form's own constraint does not hold.
    Constraint,
    /// Too few or too many rows.
    Rows,
    /// Warning: one of the form's own.
    Advice,
    /// Warning: the text seems to hold an identity or phone number.
    PersonalNumber,
    /// Warning: this version of the form has no such field; a newer one may.
    UnknownField,
}

/// One thing to say about one answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The path of the answer.
    pub path: String,
    /// The rule.
    pub rule: FaultRule,
    /// What to tell the person.
    pub message: Label,
}

/// A judgement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validation {
    /// What stops a submission.
    pub errors: Vec<Fault>,
    /// What deserves a second look.
    pub warnings: Vec<Fault>,
}

impl Validation {
    /// Whether nothing stops it.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.errors.is_empty()
    }
}

/// Judges the answers to a form.
#[must_use]
pub fn validate(form: &Form, values: &Values, context: &Context) -> Validation {
    let mut judge = Judge { values, context, result: Validation::default() };
    judge.kinds(form);
    let root = RootAnswers::of(form, values, context.today);
    for field in form.fields().iter().filter(|field| root.is_relevant(&field.name)) {
        judge.field(field, &field.name, &root);
    }
    for repeat in form.repeats().iter().filter(|repeat| root.is_relevant(&repeat.name)) {
        let rows = live_rows(values, &repeat.name);
        judge.rows(repeat, rows.len());
        for row in rows {
            let answers = RowAnswers::of(&root, repeat, row, context.today);
            for field in repeat.fields().iter().filter(|field| answers.is_relevant(&field.name)) {
                judge.field(field, &answers.path(&field.name), &answers);
            }
        }
    }
    judge.result
}

struct Judge<'a> {
    values: &'a Values,
    context: &'a Context,
    result: Validation,
}

impl Judge<'_> {
    fn error(&mut self, path: &str, rule: FaultRule, message: Label) {
        self.result.errors.push(Fault { path: path.to_owned(), rule, message });
    }

    fn warning(&mut self, path: &str, rule: FaultRule, message: Label) {
        self.result.warnings.push(Fault { path: path.to_owned(), rule, message });
    }

    /// Every answer has a field, and is of its kind.
    fn kinds(&mut self, form: &Form) {
        for (path, value) in self.values {
            match form.field_at(path) {
                Some(field) if !of_kind(value, &field.field_type) => {
                    let message = said(
                        field,
                        |label| format!("“{label}”的内容不是这一类答案"),
                        |label| format!("“{label}” holds another kind of answer"),
                    );
                    self.error(path, FaultRule::Type, message);
                }
                Some(_) => {}
                None if is_row_mark(form, path) && matches!(value, Value::Null | Value::Bool(_)) => {}
                None => {
                    let message = Label::new(
                        format!("这一版表单没有“{path}”这一项"),
                        format!("this version of the form has no field “{path}”"),
                    );
                    self.warning(path, FaultRule::UnknownField, message);
                }
            }
        }
    }

    fn rows(&mut self, repeat: &Repeat, found: usize) {
        let (min, max) = (repeat.min_rows, repeat.max_rows);
        if self.context.mode == Mode::Draft || (usize::from(min)..=usize::from(max)).contains(&found) {
            return;
        }
        let is_short = found < usize::from(min);
        let zh = format!("“{}”应有{min}到{max}条,现有{found}条", repeat.label.zh);
        let en = format!("“{}” takes {min} to {max} rows, found {found}", repeat.label.en);
        if is_short && self.context.mode == Mode::Import {
            self.warning(&repeat.name, FaultRule::Rows, Label { zh, en });
        } else {
            self.error(&repeat.name, FaultRule::Rows, Label { zh, en });
        }
    }

    fn field(&mut self, field: &Field, path: &str, answers: &dyn Answers) {
        let value = self.values.get(path).unwrap_or(&Value::Null);
        if !of_kind(value, &field.field_type) {
            return;
        }
        let scope = Scope { this: Some(value), answers, today: self.context.today };
        if self.context.mode != Mode::Draft {
            if value.is_null() {
                self.required(field, path, &scope);
            } else {
                self.answer(field, path, value, &scope);
            }
        }
        self.second_look(field, path, value, &scope);
    }

    fn required(&mut self, field: &Field, path: &str, scope: &Scope<'_>) {
        let needed = match &field.required {
            Required::No => false,
            Required::Yes => true,
            Required::When(expression) => expression.holds(scope),
        };
        if needed {
            let general = || said(field, |label| format!("请填写“{label}”"), |label| format!("“{label}” is required"));
            let message = field.required_message.clone().unwrap_or_else(general);
            if self.context.mode == Mode::Import {
                self.warning(path, FaultRule::Required, message);
            } else {
                self.error(path, FaultRule::Required, message);
            }
        }
    }

    fn answer(&mut self, field: &Field, path: &str, value: &Value, scope: &Scope<'_>) {
        let before = self.result.errors.len();
        if let (Some(max), Value::Text(text)) = (field.field_type.max_chars(), value) {
            let chars = text.chars().count();
            if chars > max {
                let message = said(
                    field,
                    |l| format!("“{l}”有{chars}字,最多{max}字"),
                    |l| format!("“{l}” has {chars} characters, at most {max}"),
                );
                self.error(path, FaultRule::Length, message);
            }
        }
        if let (Some(max), Value::Decimal(number)) = (field.field_type.decimals(), value)
            && number.scale() > max
        {
            let message =
                said(field, |l| format!("“{l}”最多{max}位小数"), |l| format!("“{l}” takes at most {max} decimals"));
            self.error(path, FaultRule::Decimals, message);
        }
        if !in_list(field, value) {
            let message = said(field, |l| format!("“{l}”不在可选项中"), |l| format!("“{l}” is not in the list"));
            self.error(path, FaultRule::Choice, message);
        }
        if let Some(message) = out_of_range(field, value) {
            self.error(path, FaultRule::Range, message);
        }
        if let Some(rule) = &field.constraint
            && before == self.result.errors.len()
            && !rule.expression.holds(scope)
        {
            self.error(path, FaultRule::Constraint, rule.message.clone());
        }
    }

    /// Warnings: in a draft only about what has been answered.
    fn second_look(&mut self, field: &Field, path: &str, value: &Value, scope: &Scope<'_>) {
        if value.is_null() && self.context.mode == Mode::Draft {
            return;
        }
        for rule in field.warnings.iter().filter(|rule| rule.expression.holds(scope)) {
            self.warning(path, FaultRule::Advice, rule.message.clone());
        }
        // A field marked personal is masked by role wherever it is shown; any other text is not.
        if let Value::Text(text) = value
            && !field.personal
            && !personal::find(&crate::text::half_width(text)).is_empty()
        {
            let message = said(
                field,
                |l| format!("“{l}”里好像有身份证号或手机号,请删去"),
                |l| format!("“{l}” seems to hold an identity or phone number; please remove it"),
            );
            self.warning(path, FaultRule::PersonalNumber, message);
        }
    }
}

fn said(field: &Field, zh: impl Fn(&str) -> String, en: impl Fn(&str) -> String) -> Label {
    Label { zh: zh(field.label.get(Lang::Zh)), en: en(field.label.get(Lang::En)) }
}

/// `repeat/row/removed`: the mark of a removed row.
fn is_row_mark(form: &Form, path: &str) -> bool {
    let mut parts = path.split('/');
    let known = parts.next().is_some_and(|repeat| form.repeat(repeat).is_some())
        && parts.next().is_some_and(|row| NameRule::Token.accepts(row));
    known && parts.next() == Some(REMOVED) && parts.next().is_none()
}

fn of_kind(value: &Value, field_type: &FieldType) -> bool {
    let ids_are_ids = match value {
        Value::Choice(id) | Value::Reference(id) => id.is_empty() || NameRule::Token.accepts(id),
        Value::Choices(ids) | Value::References(ids) => ids.iter().all(|id| NameRule::Token.accepts(id)),
        Value::Null
        | Value::Bool(_)
        | Value::Int(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_) => true,
    };
    ids_are_ids && value.fits(field_type)
}

fn in_list(field: &Field, value: &Value) -> bool {
    let Some(list) = field.field_type.choices() else { return true };
    match value {
        Value::Choice(id) => list.get(id).is_some(),
        Value::Choices(ids) => ids.iter().all(|id| list.get(id).is_some()),
        Value::Int(number) => list.get(&number.to_string()).is_some(),
        Value::Null
        | Value::Bool(_)
        | Value::Decimal(_)
        | Value::Text(_)
        | Value::Date(_)
        | Value::Time(_)
        | Value::Reference(_)
        | Value::References(_) => true,
    }
}

/// The range of the type, narrowed by the field's own.
fn out_of_range(field: &Field, value: &Value) -> Option<Label> {
    let number = match value {
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
        | Value::References(_) => return None,
    };
    let (least, greatest) = match field.field_type {
        FieldType::Latitude => (Some(-90), Some(90)),
        FieldType::Longitude => (Some(-180), Some(180)),
        FieldType::Accuracy => (Some(0), None),
        FieldType::Text { .. }
        | FieldType::LongText { .. }
        | FieldType::Integer { .. }
        | FieldType::Decimal { .. }
        | FieldType::Date
        | FieldType::Time
        | FieldType::Choice(_)
        | FieldType::Choices(_)
        | FieldType::Boolean
        | FieldType::Reference(_)
        | FieldType::References(_) => (None, None),
    };
    let min = field.min.into_iter().chain(least.map(Decimal::from)).max();
    let max = field.max.into_iter().chain(greatest.map(Decimal::from)).min();
    if min.is_none_or(|min| number >= min) && max.is_none_or(|max| number <= max) {
        return None;
    }
    Some(match (min, max) {
        (Some(min), Some(max)) => {
            said(field, |l| format!("“{l}”应在{min}到{max}之间"), |l| format!("“{l}” must be from {min} to {max}"))
        }
        (Some(min), None) => {
            said(field, |l| format!("“{l}”不能小于{min}"), |l| format!("“{l}” must be at least {min}"))
        }
        (None, Some(max)) => said(field, |l| format!("“{l}”不能大于{max}"), |l| format!("“{l}” must be at most {max}")),
        (None, None) => return None,
    })
}
