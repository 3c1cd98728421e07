//! Filling a form by questions and answers: a state machine without input or output.
//!
//! # Flow
//!
//! ```text
//! loop {
//!     question() -> Some(text)   show it, read a line, answer(line) -> Reply { notes, turn }
//!                -> None         everything was asked: finish() -> the form accepts it, or it goes back to the first fault
//! }
//! ```
//!
//! After a [`Reply`] that changed something, [`Dialogue::kept`] is what to save as a draft: nothing typed is ever lost.
//! Which questions are asked is computed anew each time: an answer opens and closes others.

pub(crate) mod choose;
mod question;

use std::collections::{BTreeMap, BTreeSet};

use qianmo_client_core::{FieldEdit, FieldValue};
use qianmo_forms::validate::FaultRule;
use qianmo_forms::{Context, Date, Field, FieldType, Form, Mode, Required, Value, Values, relevance, validate};

use crate::answers::{REMOVED, is_removal, keep, read_all};
use crate::message::Messages;
use choose::{Extent, Meant, Options};
use question::Command;

/// What a dialogue starts from.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    pub(crate) form: &'a Form,
    pub(crate) messages: Messages,
    pub(crate) columns: usize,
    /// `None` if the clock cannot be right.
    pub(crate) today: Option<Date>,
    /// The record as it is shown; empty for a new one.
    pub(crate) record: BTreeMap<String, FieldValue>,
    /// Answers of a draft, over the record's.
    pub(crate) draft: BTreeMap<String, FieldValue>,
    /// What Enter takes where nothing is answered.
    pub(crate) defaults: Values,
    /// Who works on this device.
    pub(crate) persons: Vec<String>,
    pub(crate) purpose: Purpose,
}

/// What the answers become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    New,
    Edit,
}

/// Where a dialogue stands.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stop {
    Field(String),
    AddRow(String),
}

/// What comes after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Ask on.
    Ask,
    /// The answer goes on in another line.
    More,
    /// Something was answered: save, then ask on.
    Save,
    /// The person leaves it as a draft.
    Leave,
}

/// What an answer led to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) notes: Vec<String>,
    pub(crate) turn: Turn,
}

impl Reply {
    const fn ask(notes: Vec<String>) -> Self {
        Self { notes, turn: Turn::Ask }
    }
}

/// A form being filled.
#[derive(Debug)]
pub(crate) struct Dialogue<'a> {
    start: Start<'a>,
    original: Values,
    values: Values,
    /// What the form cannot read: kept as it is.
    foreign: BTreeMap<String, FieldValue>,
    /// What was wrong before: the record's own matter.
    known: BTreeSet<(String, FaultRule)>,
    at: Option<Stop>,
    trail: Vec<Stop>,
    section: Option<String>,
    /// Everything was asked once: only what is wrong is asked again.
    fixing: bool,
    /// Lines of an answer that goes on.
    lines: String,
}

impl<'a> Dialogue<'a> {
    pub(crate) fn new(start: Start<'a>) -> Self {
        let original = read_all(start.form, start.record.iter());
        let mut values = original.clone();
        let drafted = read_all(start.form, start.draft.iter());
        let foreign =
            start.draft.iter().filter(|(path, _)| !drafted.contains_key(*path)).map(|(p, v)| (p.clone(), v.clone()));
        let foreign = foreign.collect();
        values.extend(drafted);
        let context = Context { mode: Mode::Submit, today: start.today };
        let known = match start.purpose {
            Purpose::New => BTreeSet::new(),
            Purpose::Edit => {
                validate(start.form, &original, &context).errors.into_iter().map(|f| (f.path, f.rule)).collect()
            }
        };
        let mut dialogue = Self {
            start,
            original,
            values,
            foreign,
            known,
            at: None,
            trail: Vec::new(),
            section: None,
            fixing: false,
            lines: String::new(),
        };
        dialogue.at = dialogue.stops().into_iter().next();
        dialogue
    }

    /// Everything that is asked as things stand, in order.
    fn stops(&self) -> Vec<Stop> {
        let form = self.start.form;
        let asked = relevance(form, &self.values, self.start.today);
        let mut stops = Vec::new();
        for section in form.sections() {
            let fields = form.fields_in(&section.name).filter(|field| !field.hidden && asked.contains(&field.name));
            stops.extend(fields.map(|field| Stop::Field(field.name.clone())));
            for repeat in form.repeats().iter().filter(|r| r.section == section.name && asked.contains(&r.name)) {
                let rows = self.rows(&repeat.name);
                for row in &rows {
                    let fields = repeat.fields().iter().filter(|field| !field.hidden);
                    let paths = fields.map(|field| format!("{}/{row}/{}", repeat.name, field.name));
                    stops.extend(paths.filter(|path| asked.contains(path)).map(Stop::Field));
                }
                if rows.len() < usize::from(repeat.max_rows) {
                    stops.push(Stop::AddRow(repeat.name.clone()));
                }
            }
        }
        stops
    }

    /// The rows of a repeat that are not removed.
    fn rows(&self, repeat: &str) -> BTreeSet<String> {
        let in_repeat = |path: &String| {
            let (row, _) = path.strip_prefix(repeat)?.strip_prefix('/')?.split_once('/')?;
            Some(row.to_owned())
        };
        let removed = |row: &String| self.values.get(&format!("{repeat}/{row}/{REMOVED}")) == Some(&Value::Bool(true));
        self.values.keys().filter_map(in_repeat).filter(|row| !removed(row)).collect()
    }

    fn field(&self, path: &str) -> Option<&'a Field> {
        self.start.form.field_at(path)
    }

    fn advance(&mut self) {
        let stops = self.stops();
        let place = self.at.as_ref().and_then(|at| stops.iter().position(|stop| stop == at));
        let next = place.filter(|_| !self.fixing).and_then(|place| stops.get(place + 1));
        let left = core::mem::replace(&mut self.at, next.cloned());
        self.trail.extend(left);
    }

    fn go_back(&mut self) -> Reply {
        let stops = self.stops();
        while let Some(before) = self.trail.pop() {
            if stops.contains(&before) {
                self.at = Some(before);
                return Reply::ask(Vec::new());
            }
        }
        Reply::ask(vec![self.start.messages.text("ask-first")])
    }

    /// Takes a line. Call it only after [`Dialogue::question`] gave a question.
    pub(crate) fn answer(&mut self, line: &str) -> Reply {
        let command = if self.lines.is_empty() { Command::read(line) } else { None };
        match (self.at.clone(), command) {
            (_, Some(Command::Save)) => Reply { notes: Vec::new(), turn: Turn::Leave },
            (_, Some(Command::Back)) => self.go_back(),
            (_, Some(Command::Help)) => Reply::ask(vec![self.start.messages.text("ask-help")]),
            (None, _) => Reply::ask(Vec::new()),
            (Some(Stop::AddRow(repeat)), command) => self.answer_row(&repeat, line, command),
            (Some(Stop::Field(path)), Some(command)) => self.obey(&path, command),
            (Some(Stop::Field(path)), None) => match self.field(&path) {
                Some(field) => self.take(field, &path, line),
                // Stops are made of fields of the form.
                None => Reply::ask(Vec::new()),
            },
        }
    }

    fn answer_row(&mut self, repeat: &str, line: &str, command: Option<Command>) -> Reply {
        let typed = line.trim().to_lowercase();
        if command.is_none() && matches!(typed.as_str(), "y" | "yes" | "是" | "要" | "1") {
            let rows: BTreeSet<String> =
                self.values.keys().filter_map(|p| p.split('/').nth(1)).map(str::to_owned).collect();
            let name = (1..=9_999_u32).map(|number| format!("new{number:03}")).find(|name| !rows.contains(name));
            let fields = self.start.form.repeat(repeat).map(|repeat| repeat.fields()).unwrap_or_default();
            for field in fields {
                self.values
                    .insert(format!("{repeat}/{}/{}", name.as_deref().unwrap_or("new"), field.name), Value::Null);
            }
            let first = self.stops().into_iter().find(|stop| match stop {
                Stop::Field(path) => name.as_ref().is_some_and(|name| path.starts_with(&format!("{repeat}/{name}/"))),
                Stop::AddRow(_) => false,
            });
            if let Some(first) = first {
                let left = self.at.replace(first);
                self.trail.extend(left);
            }
            return Reply::ask(Vec::new());
        }
        self.advance();
        Reply::ask(Vec::new())
    }

    fn obey(&mut self, path: &str, command: Command) -> Reply {
        let messages = self.start.messages;
        match command {
            Command::Skip => {
                self.advance();
                Reply::ask(Vec::new())
            }
            Command::Clear => {
                self.values.insert(path.to_owned(), Value::Null);
                self.start.defaults.remove(path);
                self.advance();
                Reply { notes: vec![messages.text("ask-cleared")], turn: Turn::Save }
            }
            Command::List => {
                let options = self.field(path).and_then(|field| Options::of(field, path, &self.values));
                Reply::ask(options.map_or_else(
                    || vec![messages.text("ask-no-list")],
                    |options| options.lines(Extent::Whole, messages.lang(), self.start.columns),
                ))
            }
            Command::Remove => self.remove_row(path),
            Command::Save | Command::Back | Command::Help => Reply::ask(Vec::new()),
        }
    }

    fn remove_row(&mut self, path: &str) -> Reply {
        let mut parts = path.split('/');
        let (Some(repeat), Some(row), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
            return Reply::ask(vec![self.start.messages.text("ask-no-row")]);
        };
        let prefix = format!("{repeat}/{row}/");
        if self.original.keys().any(|path| path.starts_with(&prefix)) {
            self.values.insert(format!("{prefix}{REMOVED}"), Value::Bool(true));
        } else {
            self.values.retain(|path, _| !path.starts_with(&prefix));
        }
        self.trail.retain(|stop| !matches!(stop, Stop::Field(path) if path.starts_with(&prefix)));
        self.at = Some(Stop::AddRow(repeat.to_owned()));
        Reply { notes: vec![self.start.messages.text("ask-row-removed")], turn: Turn::Save }
    }

    /// An answer to a field.
    fn take(&mut self, field: &Field, path: &str, line: &str) -> Reply {
        if matches!(field.field_type, FieldType::LongText { .. })
            && let Some(more) = line.strip_suffix('\\')
        {
            self.lines.push_str(more);
            self.lines.push('\n');
            return Reply { notes: Vec::new(), turn: Turn::More };
        }
        let typed = core::mem::take(&mut self.lines) + line;
        if typed.trim().is_empty() {
            return self.take_nothing(field, path);
        }
        let options = Options::of(field, path, &self.values);
        let (lang, columns) = (self.start.messages.lang(), self.start.columns);
        let input = match options.as_ref().map(|options| (options, options.read(&typed))) {
            None => typed.clone(),
            Some((_, Meant::Ids(ids))) => ids,
            Some((options, Meant::OneOf(places))) => {
                let mut notes = vec![self.start.messages.text("ask-which")];
                notes.extend(options.some(&places, lang, columns));
                return Reply::ask(notes);
            }
            Some((_, Meant::Nothing(part))) => {
                return Reply::ask(vec![self.start.messages.with("ask-not-in-list", &[("typed", part.into())])]);
            }
        };
        match field.parse_input(&input) {
            Ok(value) => {
                let shown = value.display(field, lang);
                let echo = options.is_some() && shown != typed.trim();
                self.put(path, value, echo.then_some(shown))
            }
            Err(error) => Reply::ask(vec![error.message().get(lang).to_owned()]),
        }
    }

    /// Enter keeps what stands, takes what is offered, or leaves the question open if it may.
    fn take_nothing(&mut self, field: &Field, path: &str) -> Reply {
        if self.values.get(path).is_some_and(|value| !value.is_null()) {
            self.advance();
            return Reply::ask(Vec::new());
        }
        if let Some(offered) = self.start.defaults.get(path).cloned() {
            return self.put(path, offered, None);
        }
        let needed = self.faults_at(path, FaultRule::Required);
        // What is needed only when another answer is missing may wait: that one may come.
        let may_wait = !self.fixing && field.required != Required::Yes;
        if needed.is_empty() || may_wait {
            self.advance();
            return Reply::ask(Vec::new());
        }
        let mut notes = needed;
        notes.push(self.start.messages.text("ask-required"));
        Reply::ask(notes)
    }

    /// Puts a value if the form accepts it there, and says what deserves a second look.
    fn put(&mut self, path: &str, value: Value, echo: Option<String>) -> Reply {
        let (messages, lang) = (self.start.messages, self.start.messages.lang());
        let before = self.values.insert(path.to_owned(), value);
        let context = Context { mode: Mode::Submit, today: self.start.today };
        let judged = validate(self.start.form, &self.values, &context);
        let errors: Vec<String> =
            judged.errors.iter().filter(|fault| fault.path == path).map(|f| f.message.get(lang).to_owned()).collect();
        if !errors.is_empty() {
            match before {
                Some(before) => self.values.insert(path.to_owned(), before),
                None => self.values.remove(path),
            };
            return Reply::ask(errors);
        }
        let mut notes: Vec<String> = echo.into_iter().map(|shown| format!("  → {shown}")).collect();
        let warnings = judged.warnings.iter().filter(|fault| fault.path == path);
        notes.extend(warnings.map(|f| messages.with("ask-warning", &[("warning", f.message.get(lang).into())])));
        self.advance();
        Reply { notes, turn: Turn::Save }
    }

    fn faults_at(&self, path: &str, rule: FaultRule) -> Vec<String> {
        let context = Context { mode: Mode::Submit, today: self.start.today };
        let judged = validate(self.start.form, &self.values, &context);
        let here = judged.errors.into_iter().filter(|fault| fault.path == path && fault.rule == rule);
        here.map(|fault| fault.message.get(self.start.messages.lang()).to_owned()).collect()
    }

    /// Everything was asked: `Ok` if the form accepts it; otherwise what is wrong, and the next question is the first of
    /// it. Nothing to ask about it leaves it to a newer version: [`Turn::Leave`].
    pub(crate) fn finish(&mut self) -> Result<(), Reply> {
        let (messages, lang) = (self.start.messages, self.start.messages.lang());
        let context = Context { mode: Mode::Submit, today: self.start.today };
        let judged = validate(self.start.form, &self.values, &context).errors;
        let touched = |path: &str| self.values.get(path) != self.original.get(path);
        let open = judged.into_iter().filter(|f| touched(&f.path) || !self.known.contains(&(f.path.clone(), f.rule)));
        let open: Vec<_> = open.collect();
        if open.is_empty() {
            return Ok(());
        }
        let mut notes = vec![messages.with("ask-still-open", &[("count", open.len().into())])];
        notes.extend(open.iter().map(|fault| format!("  • {}", fault.message.get(lang))));
        let stops = self.stops();
        let place = |path: &String| {
            stops.iter().find(|stop| match stop {
                Stop::Field(field) => field == path,
                Stop::AddRow(repeat) => repeat == path,
            })
        };
        self.at = open.iter().find_map(|fault| place(&fault.path)).cloned();
        self.section = None;
        self.fixing = true;
        let turn = if self.at.is_some() { Turn::Ask } else { Turn::Leave };
        Err(Reply { notes, turn })
    }

    /// What a draft keeps: every answer of a new record, the changed ones of an edit.
    pub(crate) fn kept(&self) -> BTreeMap<String, FieldValue> {
        let mut kept = self.foreign.clone();
        let changed = self.values.iter().filter(|(path, value)| match self.start.purpose {
            Purpose::New => !value.is_null(),
            Purpose::Edit => self.is_changed(path, value),
        });
        kept.extend(changed.map(|(path, value)| (path.clone(), keep(value))));
        kept
    }

    fn is_changed(&self, path: &str, value: &Value) -> bool {
        match self.original.get(path) {
            Some(before) => before != value,
            None => !value.is_null(),
        }
    }

    /// The changes against the record that was shown.
    pub(crate) fn edits(&self) -> Vec<FieldEdit> {
        let kept = read_all(self.start.form, self.kept().iter());
        edits(self.start.form, &self.original, &kept)
    }
}

/// The edits that lead from a record to changed values; rows that it does not have are added.
pub(crate) fn edits(form: &Form, original: &Values, changed: &Values) -> Vec<FieldEdit> {
    let mut edits = Vec::new();
    let mut added: BTreeMap<(&str, &str), BTreeMap<String, FieldValue>> = BTreeMap::new();
    for (path, value) in changed {
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next()) {
            (Some(repeat), Some(row), Some(name)) => {
                let prefix = format!("{repeat}/{row}/");
                if !original.keys().any(|path| path.starts_with(&prefix)) {
                    added.entry((repeat, row)).or_default().insert(name.to_owned(), keep(value));
                } else if is_removal(form, path) {
                    edits.push(FieldEdit::RemoveRow { repeat: repeat.to_owned(), row: row.to_owned() });
                } else {
                    edits.push(FieldEdit::set(path, keep(value)));
                }
            }
            (Some(_), _, _) | (None, _, _) => edits.push(FieldEdit::set(path, keep(value))),
        }
    }
    let rows = added.into_iter();
    edits.extend(rows.map(|((repeat, _), cells)| FieldEdit::AddRow { repeat: repeat.to_owned(), cells }));
    edits
}

#[cfg(test)]
mod tests;
