//! Reading the keys of a TOML table while collecting every fault.
//!
//! [`Keys`] remembers which keys were asked for, so that a key nobody asked for (a typing error, most often) is a fault too.

use core::ops::RangeInclusive;
use std::collections::BTreeSet;

use toml::{Table, Value as Toml};

use crate::{
    constraint::Expression,
    text::{Label, Lang},
    value::Decimal,
};

use super::{FILE_BYTES_MAX, FormError, FormFault, FormFaultKind, NameRule};

/// The faults found so far in one file.
#[derive(Debug)]
pub(crate) struct Faults {
    file: String,
    list: Vec<FormFault>,
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self { file: "?".to_owned(), list: Vec::new() }
    }

    pub(crate) fn push(&mut self, place: &str, key: &str, kind: FormFaultKind) {
        self.list.push(FormFault { file: self.file.clone(), place: place.to_owned(), key: key.to_owned(), kind });
    }

    /// Gives the file its id, once it is known; faults found before are given it too.
    pub(crate) fn rename(&mut self, file: &str) {
        file.clone_into(&mut self.file);
        for fault in &mut self.list {
            file.clone_into(&mut fault.file);
        }
    }

    /// The result, if there is no fault.
    pub(crate) fn finish<T>(self, result: T) -> Result<T, FormError> {
        if self.list.is_empty() { Ok(result) } else { Err(FormError { faults: self.list }) }
    }
}

/// The table of a file, and an empty list of faults.
pub(crate) fn open(text: &str) -> Result<(Table, Faults), FormError> {
    let mut faults = Faults::new();
    let kind = if text.len() > FILE_BYTES_MAX {
        FormFaultKind::TooLarge { bytes: text.len(), max: FILE_BYTES_MAX }
    } else {
        match text.parse::<Table>() {
            Ok(table) => return Ok((table, faults)),
            Err(error) => {
                let at = error.span().map_or(0, |span| span.start);
                let line = text.bytes().take(at).filter(|b| *b == b'\n').count() + 1;
                FormFaultKind::Syntax { message: format!("line {line}: {}", error.message().replace('\n', ", ")) }
            }
        }
    };
    faults.push("file", "-", kind);
    Err(FormError { faults: faults.list })
}

/// One table being read.
#[derive(Debug)]
pub(crate) struct Keys<'t> {
    table: &'t Table,
    place: String,
    asked: BTreeSet<&'static str>,
}

impl<'t> Keys<'t> {
    pub(crate) fn new(table: &'t Table, place: &str) -> Self {
        Self { table, place: place.to_owned(), asked: BTreeSet::new() }
    }

    /// Gives the table a better name for its faults.
    pub(crate) fn rename(&mut self, place: String) {
        self.place = place;
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(crate) fn take(&mut self, key: &'static str) -> Option<&'t Toml> {
        self.asked.insert(key);
        self.table.get(key)
    }

    fn wrong(&self, faults: &mut Faults, key: &str, expected: &'static str, found: &Toml) {
        faults.push(&self.place, key, FormFaultKind::WrongKind { expected, found: found.type_str() });
    }

    pub(crate) fn text(&mut self, faults: &mut Faults, key: &'static str) -> Option<String> {
        let value = self.take(key)?;
        match value.as_str() {
            Some(text) if text.trim().is_empty() => faults.push(&self.place, key, FormFaultKind::Empty),
            Some(text) => return Some(text.to_owned()),
            None => self.wrong(faults, key, "a text", value),
        }
        None
    }

    pub(crate) fn need_text(&mut self, faults: &mut Faults, key: &'static str) -> Option<String> {
        if !self.has(key) {
            self.asked.insert(key);
            faults.push(&self.place, key, FormFaultKind::MissingKey);
            return None;
        }
        self.text(faults, key)
    }

    pub(crate) fn name(&mut self, faults: &mut Faults, key: &'static str, rule: NameRule) -> Option<String> {
        let name = self.need_text(faults, key)?;
        if rule.accepts(&name) {
            return Some(name);
        }
        let kind = match rule {
            NameRule::Field => FormFaultKind::BadName { name },
            NameRule::Token => FormFaultKind::BadId { name },
        };
        faults.push(&self.place, key, kind);
        None
    }

    pub(crate) fn boolean(&mut self, faults: &mut Faults, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        if value.as_bool().is_none() {
            self.wrong(faults, key, "true or false", value);
        }
        value.as_bool()
    }

    pub(crate) fn integer(
        &mut self,
        faults: &mut Faults,
        key: &'static str,
        range: RangeInclusive<i64>,
    ) -> Option<i64> {
        let value = self.take(key)?;
        let Some(number) = value.as_integer() else {
            self.wrong(faults, key, "a whole number", value);
            return None;
        };
        if range.contains(&number) {
            return Some(number);
        }
        faults.push(
            &self.place,
            key,
            FormFaultKind::OutOfRange { found: number, min: *range.start(), max: *range.end() },
        );
        None
    }

    /// A decimal number: a TOML integer, or a text so that it stays exact.
    pub(crate) fn decimal(&mut self, faults: &mut Faults, key: &'static str) -> Option<Decimal> {
        let value = self.take(key)?;
        if let Some(number) = value.as_integer() {
            return Some(Decimal::from(number));
        }
        let Some(text) = value.as_str() else {
            self.wrong(faults, key, "a whole number, or a decimal number in quotes", value);
            return None;
        };
        let number = text.parse().ok();
        if number.is_none() {
            faults.push(&self.place, key, FormFaultKind::NotDecimal);
        }
        number
    }

    /// A text in both languages.
    pub(crate) fn label(&mut self, faults: &mut Faults, key: &'static str) -> Option<Label> {
        let value = self.take(key)?;
        let Some(table) = value.as_table() else {
            self.wrong(faults, key, "a table { zh, en }", value);
            return None;
        };
        let [zh, en] = Lang::ALL.map(|lang| {
            let text = table.get(lang.key());
            if let Some(other) = text.filter(|text| !text.is_str()) {
                self.wrong(faults, key, "texts in a table { zh, en }", other);
                return None;
            }
            let text = text.and_then(Toml::as_str).filter(|text| !text.trim().is_empty());
            if text.is_none() {
                faults.push(&self.place, key, FormFaultKind::MissingLabel { lang });
            }
            text
        });
        for other in table.keys().filter(|other| !Lang::ALL.iter().any(|lang| lang.key() == *other)) {
            faults.push(&self.place, &format!("{key}.{other}"), FormFaultKind::UnknownKey);
        }
        Some(Label::new(zh?, en?))
    }

    pub(crate) fn need_label(&mut self, faults: &mut Faults, key: &'static str) -> Option<Label> {
        if !self.has(key) {
            self.asked.insert(key);
            faults.push(&self.place, key, FormFaultKind::MissingKey);
            return None;
        }
        self.label(faults, key)
    }

    pub(crate) fn expression(&mut self, faults: &mut Faults, key: &'static str) -> Option<Expression> {
        let text = self.text(faults, key)?;
        match Expression::parse(&text) {
            Ok(expression) => Some(expression),
            Err(error) => {
                faults.push(&self.place, key, FormFaultKind::Expression(error));
                None
            }
        }
    }

    /// Texts of an array; none if the key is absent.
    pub(crate) fn texts(&mut self, faults: &mut Faults, key: &'static str) -> Vec<String> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong(faults, key, "an array of texts", value);
            return Vec::new();
        };
        let mut texts = Vec::new();
        for item in items {
            match item.as_str() {
                Some(text) if text.trim().is_empty() => faults.push(&self.place, key, FormFaultKind::Empty),
                Some(text) => texts.push(text.to_owned()),
                None => self.wrong(faults, key, "a text", item),
            }
        }
        texts
    }

    /// Tables of an array; none if the key is absent.
    pub(crate) fn tables(&mut self, faults: &mut Faults, key: &'static str, max: usize) -> Vec<&'t Table> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(items) = value.as_array() else {
            self.wrong(faults, key, "an array of tables", value);
            return Vec::new();
        };
        if items.len() > max {
            faults.push(&self.place, key, FormFaultKind::TooMany { found: items.len(), max });
            return Vec::new();
        }
        let mut tables = Vec::new();
        for item in items {
            match item.as_table() {
                Some(table) => tables.push(table),
                None => self.wrong(faults, key, "a table", item),
            }
        }
        tables
    }

    /// A fault for every key nobody asked for; gives back the place.
    pub(crate) fn finish(self, faults: &mut Faults) -> String {
        for key in self.table.keys().filter(|key| !self.asked.contains(key.as_str())) {
            faults.push(&self.place, key, FormFaultKind::UnknownKey);
        }
        self.place
    }
}
