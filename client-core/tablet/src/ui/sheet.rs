//! A form as it is being filled in: what is asked now, how, what stands there, and what is to be said of it.
//!
//! Everything follows from the form's definition: which fields are asked (skip logic), which widget takes an answer, what is
//! wrong with one. What a person typed stays as typed until the form can read it.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_client_core::{DraftInput, FieldEdit, FieldValue};
use qianmo_forms::{
    Context, Date, Fault, Field, FieldType, Form, Lang, Mode, ReferenceKind, Required, Values, relevance, validate,
};

use crate::answers::{self, REMOVED};
use crate::dialogue;

/// Longest list whose choices are all shown at once; a longer one has a page of its own.
const SHOWN_AT_ONCE: usize = 8;

/// A draft and the form it answers.
pub(super) struct Sheet<'f> {
    form: &'f Form,
    /// What the record holds; nothing for a new one.
    original: BTreeMap<String, FieldValue>,
    /// What was answered since, as typed.
    answers: BTreeMap<String, FieldValue>,
    today: Option<Date>,
}

/// How an answer is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Widget {
    /// One line.
    Line {
        max_chars: usize,
    },
    /// Several lines.
    Lines {
        max_chars: usize,
    },
    /// A number; the keypad has a point or none.
    Number {
        is_whole: bool,
    },
    Date,
    Time,
    /// All choices at once.
    Radios(Vec<Choice>),
    /// All choices at once, of which several may stand.
    Checks(Vec<Choice>),
    /// Chosen on a page of its own.
    Pick {
        takes_several: bool,
    },
}

/// A choice that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) text: String,
    pub(super) is_chosen: bool,
}

/// A question as it stands.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) path: String,
    pub(super) label: String,
    pub(super) unit: Option<String>,
    pub(super) hint: Option<String>,
    pub(super) is_required: bool,
    pub(super) is_personal: bool,
    pub(super) is_position: bool,
    pub(super) widget: Widget,
    /// As it is typed.
    pub(super) value: String,
    /// The codes that stand in it, where it refers to something.
    pub(super) codes: Vec<String>,
    pub(super) errors: Vec<String>,
    pub(super) warnings: Vec<String>,
    /// Whether it is asked now. One that is not is on the page, hidden, so that a script can show it.
    pub(super) is_asked: bool,
}

/// Rows of a repeat.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) rows: Vec<(String, Vec<Question>)>,
    pub(super) takes_more: bool,
    pub(super) is_asked: bool,
}

/// A part of the form.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) questions: Vec<Question>,
    pub(super) repeats: Vec<Rows>,
}

impl Part {
    pub(super) fn is_asked(&self) -> bool {
        self.questions.iter().any(|question| question.is_asked) || self.repeats.iter().any(|rows| rows.is_asked)
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Open {
    pub(super) path: String,
    pub(super) label: String,
    pub(super) text: String,
}

impl<'f> Sheet<'f> {
    pub(super) fn new(
        form: &'f Form,
        original: BTreeMap<String, FieldValue>,
        input: &DraftInput,
        today: Option<Date>,
    ) -> Self {
        Self { form, original, answers: input.fields.clone(), today }
    }

    /// What was answered, for the draft.
    pub(super) fn answers(&self) -> &BTreeMap<String, FieldValue> {
        &self.answers
    }

    /// What stands at a path now, as typed.
    fn kept(&self, path: &str) -> Option<&FieldValue> {
        self.answers.get(path).or_else(|| self.original.get(path))
    }

    fn values(&self) -> Values {
        let mut values = answers::read_all(self.form, self.original.iter());
        for path in self.answers.keys() {
            values.remove(path);
        }
        values.extend(answers::read_all(self.form, self.answers.iter()));
        values
    }

    /// Takes an answer as it was typed; one that says what stood there before is none.
    pub(super) fn answer(&mut self, path: &str, typed: &str) {
        let Some(field) = self.form.field_at(path).filter(|field| !field.hidden) else { return };
        let typed = typed.replace("\r\n", "\n");
        let typed = typed.trim();
        let original = self.original.get(path).map(|kept| shown(field, kept)).unwrap_or_default();
        if typed == original {
            self.answers.remove(path);
        } else if typed.is_empty() && !self.original.contains_key(path) {
            // A row is there because something of it is: an empty answer keeps it.
            if path.contains('/') {
                self.answers.insert(path.to_owned(), FieldValue::Null);
            } else {
                self.answers.remove(path);
            }
        } else if typed.is_empty() {
            self.answers.insert(path.to_owned(), FieldValue::Null);
        } else {
            self.answers.insert(path.to_owned(), FieldValue::Text(typed.to_owned()));
        }
    }

    /// Fills what nobody answered yet. Says whether it did.
    pub(super) fn suggest(&mut self, path: &str, value: &FieldValue) -> bool {
        let is_open = self.kept(path).is_none_or(FieldValue::is_null);
        let is_asked = self.form.field_at(path).is_some_and(|field| !field.hidden);
        if is_open && is_asked && !value.is_null() {
            self.answers.insert(path.to_owned(), value.clone());
        }
        is_open && is_asked && !value.is_null()
    }

    /// Adds a row with a name that no row has.
    pub(super) fn add_row(&mut self, repeat: &str) {
        let Some(repeat) = self.form.repeat(repeat) else { return };
        let rows = self.rows(&repeat.name);
        if rows.len() >= usize::from(repeat.max_rows) {
            return;
        }
        let names = self.all_rows(&repeat.name);
        let free = (1..).map(|number| format!("n{number}")).find(|name| !names.contains(name));
        if let (Some(row), Some(field)) = (free, repeat.fields().first()) {
            self.answers.insert(format!("{}/{row}/{}", repeat.name, field.name), FieldValue::Null);
        }
    }

    pub(super) fn remove_row(&mut self, repeat: &str, row: &str) {
        let prefix = format!("{repeat}/{row}/");
        self.answers.retain(|path, _| !path.starts_with(&prefix));
        if self.original.keys().any(|path| path.starts_with(&prefix)) {
            self.answers.insert(format!("{prefix}{REMOVED}"), FieldValue::Bool(true));
        }
    }

    fn all_rows(&self, repeat: &str) -> BTreeSet<String> {
        let paths = self.original.keys().chain(self.answers.keys());
        paths
            .filter_map(|path| Some(path.strip_prefix(repeat)?.strip_prefix('/')?.split_once('/')?.0.to_owned()))
            .collect()
    }

    fn rows(&self, repeat: &str) -> Vec<String> {
        let is_removed =
            |row: &String| self.kept(&format!("{repeat}/{row}/{REMOVED}")) == Some(&FieldValue::Bool(true));
        self.all_rows(repeat).into_iter().filter(|row| !is_removed(row)).collect()
    }

    /// What the answers miss or are wrong in, when the form is handed in.
    pub(super) fn open(&self, lang: Lang) -> Vec<Open> {
        let faults = self.faults(Mode::Submit);
        let label =
            |path: &str| self.form.field_at(path).map_or_else(|| path.to_owned(), |f| f.label.get(lang).to_owned());
        faults
            .errors
            .into_iter()
            .map(|fault| Open { label: label(&fault.path), text: fault.message.get(lang).to_owned(), path: fault.path })
            .collect()
    }

    /// What the form says of the answers, and what it cannot even read.
    fn faults(&self, mode: Mode) -> qianmo_forms::Validation {
        let mut faults = validate(self.form, &self.values(), &Context { mode, today: self.today });
        let unread: Vec<Fault> =
            self.answers.iter().filter_map(|(path, kept)| unreadable(self.form, path, kept)).collect();
        faults.errors.retain(|fault| !unread.iter().any(|other| other.path == fault.path));
        faults.errors.extend(unread);
        faults
    }

    /// The edits that make the record what stands here.
    pub(super) fn edits(&self) -> Vec<FieldEdit> {
        let original = answers::read_all(self.form, self.original.iter());
        let read = answers::read_all(self.form, self.answers.iter());
        let mut edits = dialogue::edits(self.form, &original, &read);
        // What the form cannot read goes to the core as it is, which says what is wrong with it.
        let unread =
            self.answers.iter().filter(|(path, _)| self.form.field_at(path).is_some() && !read.contains_key(*path));
        edits.extend(unread.map(|(path, kept)| FieldEdit::set(path, kept.clone())));
        edits
    }

    /// The whole form as it stands. Errors are shown where something was typed, and everywhere once it was handed in.
    pub(super) fn parts(&self, lang: Lang, is_handed_in: bool, scope: &dyn Names) -> Vec<Part> {
        let values = self.values();
        let asked = relevance(self.form, &values, self.today);
        let faults = self.faults(Mode::Submit);
        let say = |path: &str| {
            let of = |faults: &[Fault]| -> Vec<String> {
                let here = faults.iter().filter(|fault| fault.path == path);
                here.map(|fault| fault.message.get(lang).to_owned()).collect()
            };
            let is_typed = self.kept(path).is_some_and(|kept| !kept.is_null());
            (if is_handed_in || is_typed { of(&faults.errors) } else { Vec::new() }, of(&faults.warnings))
        };
        let question = |field: &Field, path: String| {
            let (errors, warnings) = say(&path);
            let value = self.kept(&path).map(|kept| shown(field, kept)).unwrap_or_default();
            let is_open = value.is_empty();
            Question {
                label: field.label.get(lang).to_owned(),
                unit: field.unit.as_ref().map(|unit| unit.get(lang).to_owned()),
                hint: field.hint.as_ref().map(|hint| hint.get(lang).to_owned()),
                is_required: field.required == Required::Yes,
                is_personal: field.personal,
                is_position: field.field_type == FieldType::Latitude,
                widget: self.widget(field, &value, lang),
                codes: self.codes(field, &value, lang, scope),
                errors,
                // A question that nobody has come to yet is not warned of.
                warnings: if is_open && !is_handed_in { Vec::new() } else { warnings },
                is_asked: asked.contains(&path),
                value,
                path,
            }
        };
        let part = |section: &qianmo_forms::Section| {
            let questions =
                self.form.fields_in(&section.name).filter(|field| !field.hidden).map(|f| question(f, f.name.clone()));
            let repeats = self.form.repeats().iter().filter(|repeat| repeat.section == section.name);
            let rows = repeats.map(|repeat| {
                let names = self.rows(&repeat.name);
                let row = |row: &String| {
                    let fields = repeat.fields().iter().filter(|field| !field.hidden);
                    let questions = fields.map(|f| question(f, format!("{}/{row}/{}", repeat.name, f.name)));
                    (row.clone(), questions.collect())
                };
                Rows {
                    name: repeat.name.clone(),
                    label: repeat.label.get(lang).to_owned(),
                    takes_more: names.len() < usize::from(repeat.max_rows),
                    is_asked: asked.contains(&repeat.name),
                    rows: names.iter().map(row).collect(),
                }
            });
            Part {
                name: section.name.clone(),
                label: section.label.get(lang).to_owned(),
                questions: questions.collect(),
                repeats: rows.collect(),
            }
        };
        self.form.sections().iter().map(part).collect()
    }

    fn widget(&self, field: &Field, value: &str, lang: Lang) -> Widget {
        let chosen: BTreeSet<&str> = value.split_whitespace().collect();
        let choices = |list: &qianmo_forms::ChoiceList| -> Vec<Choice> {
            let choice = |choice: &qianmo_forms::Choice| Choice {
                is_chosen: chosen.contains(choice.id.as_str()),
                text: choice.label.get(lang).to_owned(),
                value: choice.id.clone(),
            };
            list.iter().map(choice).collect()
        };
        match &field.field_type {
            FieldType::Text { max_chars } => Widget::Line { max_chars: *max_chars },
            FieldType::LongText { max_chars } => Widget::Lines { max_chars: *max_chars },
            FieldType::Integer { scale: Some(list) } => Widget::Radios(choices(list)),
            FieldType::Integer { scale: None } => Widget::Number { is_whole: true },
            FieldType::Decimal { .. } | FieldType::Latitude | FieldType::Longitude | FieldType::Accuracy => {
                Widget::Number { is_whole: false }
            }
            FieldType::Date => Widget::Date,
            FieldType::Time => Widget::Time,
            FieldType::Boolean => Widget::Radios(
                [
                    ("true", Lang::Zh, "是"),
                    ("false", Lang::Zh, "否"),
                    ("true", Lang::En, "Yes"),
                    ("false", Lang::En, "No"),
                ]
                .into_iter()
                .filter(|(_, of, _)| *of == lang)
                .map(|(code, _, text)| Choice {
                    value: code.to_owned(),
                    text: text.to_owned(),
                    is_chosen: value == code,
                })
                .collect(),
            ),
            FieldType::Choice(list) if list.iter().count() <= SHOWN_AT_ONCE => Widget::Radios(choices(list)),
            FieldType::Choices(list) if list.iter().count() <= SHOWN_AT_ONCE => Widget::Checks(choices(list)),
            FieldType::Choice(_) | FieldType::Reference(_) => Widget::Pick { takes_several: false },
            FieldType::Choices(_) | FieldType::References(_) => Widget::Pick { takes_several: true },
        }
    }

    /// What chosen codes are called.
    fn codes(&self, field: &Field, value: &str, lang: Lang, names: &dyn Names) -> Vec<String> {
        let lists = field.field_type.choices();
        let label = |code: &str| lists.and_then(|list| list.get(code)).map(|choice| choice.label.get(lang).to_owned());
        let called = |code: &str| match &field.field_type {
            FieldType::Reference(kind) | FieldType::References(kind) => names.name(*kind, code),
            FieldType::Choice(_) | FieldType::Choices(_) | FieldType::Integer { .. } => label(code),
            FieldType::Text { .. }
            | FieldType::LongText { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Date
            | FieldType::Time
            | FieldType::Boolean => None,
        };
        if !matches!(self.widget(field, value, lang), Widget::Pick { .. }) {
            return Vec::new();
        }
        value.split_whitespace().map(|code| called(code).unwrap_or_else(|| code.to_owned())).collect()
    }
}

/// What directories call their entries.
pub(super) trait Names {
    fn name(&self, kind: ReferenceKind, code: &str) -> Option<String>;
}

/// An answer as a person would type it.
pub(super) fn shown(field: &Field, kept: &FieldValue) -> String {
    match (answers::read(field, kept), kept) {
        (Some(value), _) => value.to_input(),
        (None, FieldValue::Text(text)) => text.clone(),
        (None, FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_)) => String::new(),
    }
}

/// What a field says of an answer that it cannot read.
fn unreadable(form: &Form, path: &str, kept: &FieldValue) -> Option<Fault> {
    let field = form.field_at(path)?;
    let FieldValue::Text(text) = kept else { return None };
    if answers::read(field, kept).is_some() {
        return None;
    }
    let error = field.parse_input(text).err()?;
    Some(Fault { path: path.to_owned(), rule: qianmo_forms::FaultRule::Type, message: error.message() })
}
