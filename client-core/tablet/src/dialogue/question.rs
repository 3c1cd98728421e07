//! How a question reads, and the commands a person may give instead of an answer.

use qianmo_forms::{Field, FieldType, ReferenceKind, Required};

use super::choose::{Extent, Options};
use super::{Dialogue, Purpose, Stop};
use crate::answers::label;
use crate::render::table::{cut, one_line};

/// Columns of the present value in a question.
const VALUE_COLUMNS_MAX: usize = 60;

/// Instead of an answer. They begin with `:`; anything else that does is an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    Save,
    Back,
    Skip,
    Clear,
    List,
    Remove,
    Help,
}

impl Command {
    pub(super) fn read(line: &str) -> Option<Self> {
        let word = line.trim();
        let word = word.strip_prefix(':').or_else(|| word.strip_prefix('：'))?;
        match word.to_lowercase().as_str() {
            "save" | "s" | "存" | "保存" => Some(Self::Save),
            "back" | "b" | "上" | "返回" => Some(Self::Back),
            "skip" | "跳过" => Some(Self::Skip),
            "clear" | "清空" => Some(Self::Clear),
            "list" | "l" | "列表" => Some(Self::List),
            "remove" | "删除" => Some(Self::Remove),
            "help" | "h" | "?" | "？" | "帮助" => Some(Self::Help),
            _ => None,
        }
    }
}

impl Dialogue<'_> {
    /// The next question; `None` when everything was asked.
    pub(crate) fn question(&mut self) -> Option<String> {
        let stop = self.at.clone()?;
        let stops = self.stops();
        let number = stops.iter().position(|other| *other == stop).map_or(0, |place| place + 1);
        let mut lines = Vec::new();
        match &stop {
            Stop::Field(path) => {
                let field = self.field(path)?;
                self.heading(&field.section, &mut lines);
                lines.push(self.first_line(field, path, number, stops.len()));
                self.beside(field, path, &mut lines);
            }
            Stop::AddRow(repeat) => {
                let repeat = self.start.form.repeat(repeat)?;
                self.heading(&repeat.section, &mut lines);
                let messages = self.start.messages;
                let arguments = [
                    ("repeat", repeat.label.get(messages.lang()).into()),
                    ("count", self.rows(&repeat.name).len().into()),
                ];
                lines.push(messages.with("ask-add-row", &arguments));
            }
        }
        lines.push("> ".to_owned());
        Some(lines.join("\n"))
    }

    fn heading(&mut self, section: &str, lines: &mut Vec<String>) {
        if self.section.as_deref() == Some(section) {
            return;
        }
        let found = self.start.form.sections().iter().find(|other| other.name == section);
        lines.extend(found.map(|section| format!("\n── {} ──", section.label.get(self.start.messages.lang()))));
        self.section = Some(section.to_owned());
    }

    fn first_line(&self, field: &Field, path: &str, number: usize, count: usize) -> String {
        let messages = self.start.messages;
        let mut line = format!("({number}/{count}) {}", label(field, messages.lang()));
        let mut parts = path.split('/');
        if let (Some(repeat), Some(row), Some(_)) = (parts.next(), parts.next(), parts.next()) {
            let place = self.rows(repeat).iter().position(|other| other == row).map_or(0, |place| place + 1);
            line = format!("{line} {}", messages.with("ask-row", &[("row", place.into())]));
        }
        if field.required == Required::Yes {
            line = format!("{line} {}", messages.text("ask-mark-required"));
        }
        let present = self.values.get(path).filter(|value| !value.is_null());
        if let Some(value) = present.or_else(|| self.start.defaults.get(path)) {
            let shown = cut(&one_line(&value.display(field, messages.lang())), VALUE_COLUMNS_MAX);
            line = format!("{line} [{shown}]");
        } else if self.start.purpose == Purpose::Edit {
            line = format!("{line} {}", messages.text("ask-mark-empty"));
        }
        line
    }

    /// Hint, choices, and how to write what is easily written otherwise.
    fn beside(&self, field: &Field, path: &str, lines: &mut Vec<String>) {
        let messages = self.start.messages;
        lines.extend(field.hint.iter().map(|hint| format!("  {}", hint.get(messages.lang()))));
        if let Some(options) = Options::of(field, path, &self.values) {
            lines.extend(options.lines(Extent::Short, messages.lang(), self.start.columns));
            if options.is_long() {
                lines.push(messages.with("ask-long-list", &[("count", options.len().into())]));
            }
            if options.takes_several() {
                lines.push(messages.text("ask-several"));
            }
        }
        match &field.field_type {
            FieldType::LongText { .. } => lines.push(messages.text("ask-long-text")),
            FieldType::Boolean => lines.push(messages.text("ask-yes-no")),
            FieldType::Date => lines.push(messages.text("ask-date")),
            FieldType::Time => lines.push(messages.text("ask-time")),
            FieldType::Reference(ReferenceKind::Person) | FieldType::References(ReferenceKind::Person)
                if !self.start.persons.is_empty() =>
            {
                lines.push(messages.with("ask-persons", &[("persons", self.start.persons.join(" ").into())]));
            }
            FieldType::Text { .. }
            | FieldType::Integer { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Choice(_)
            | FieldType::Choices(_)
            | FieldType::Reference(_)
            | FieldType::References(_) => {}
        }
    }
}
