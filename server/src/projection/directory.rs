//! Looking through the directories: people, organisations, service targets and stations, by name, code, place or crop, by
//! other names of those, and by how they sound.
//!
//! Entries are made from what a mask lets be shown, so nobody finds a person by what the pages hide from them. They are made when the
//! names of codes are read, and kept with them; looking through some thousands takes a few milliseconds.

use serde_json::Value;

use qianmo_forms::{Field, FieldType, Lang, ReferenceKind, Scalar, Value as FormValue};
use qianmo_protocol::ids::DocId;

use super::mask::{HIDDEN, Mask, Sight};
use super::names::Names;
use super::sound::Sound;
use super::words;

/// Choices of a directory that describe nothing people look for.
const UNSOUGHT: [&str; 3] = ["status", "coord_system", "service_modes"];

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EntryKind {
    /// A person of the stations.
    Person,
    /// An organisation that stations work with.
    Organisation,
    /// A service target.
    Target,
    /// A station.
    Station,
}

impl EntryKind {
    /// Every kind, in the order pages show them.
    pub const ALL: [Self; 4] = [Self::Target, Self::Person, Self::Station, Self::Organisation];

    fn of(form: &str) -> Option<Self> {
        Some(match form {
            "staff" => Self::Person,
            "organisation" => Self::Organisation,
            "target" => Self::Target,
            "station" => Self::Station,
            _ => return None,
        })
    }
}

/// An entry of a directory, as it may be shown.
#[derive(Debug)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its document.
    pub id: DocId,
    /// Its code.
    pub code: Option<String>,
    /// Its name; `None` where that is personal.
    pub name: Option<String>,
    about_zh: String,
    about_en: String,
    /// Everything it can be found by, each on a line of its own.
    text: String,
    sounds: Vec<Sound>,
}

/// How well an entry fits a query: less is better.
type Fit = u8;

impl Entry {
    /// Of the fields of a directory's record, masked.
    pub(super) fn of(mask: &Mask, form: &str, version: u32, id: &DocId, shown: &Value) -> Option<Self> {
        let kind = EntryKind::of(form)?;
        let form = mask.form(form, version)?;
        let text = |name: &str| shown.get(name)?.as_str().filter(|text| *text != HIDDEN).map(ToOwned::to_owned);
        let mut entry = Self {
            kind,
            id: *id,
            code: text("code"),
            name: text("name"),
            about_zh: String::new(),
            about_en: String::new(),
            text: String::new(),
            sounds: Vec::new(),
        };
        for field in form.fields() {
            if let Some(value) = text(&field.name) {
                entry.add(mask, field, &value);
            }
        }
        Some(entry)
    }

    /// Takes in one answer.
    fn add(&mut self, mask: &Mask, field: &Field, value: &str) {
        match &field.field_type {
            FieldType::Text { .. } => self.found_by(value),
            FieldType::Choice(list) | FieldType::Choices(list) if !UNSOUGHT.contains(&field.name.as_str()) => {
                let read = FormValue::from_scalar(field, &Scalar::Text(value.to_owned()));
                let Ok(read) = read else { return };
                self.about(&read.display(field, Lang::Zh), &read.display(field, Lang::En));
                for choice in value.split_whitespace().filter_map(|id| list.get(id)) {
                    self.found_by(&choice.label.zh);
                    self.text.push_str(&words::folded(&choice.label.en));
                    self.text.push('\n');
                }
            }
            FieldType::Reference(ReferenceKind::Town | ReferenceKind::Village)
            | FieldType::References(ReferenceKind::Town | ReferenceKind::Village) => {
                for name in value.split_whitespace().filter_map(|code| mask.forms().divisions().name(code)) {
                    self.about(name, name);
                    self.found_by(name);
                }
            }
            FieldType::Choice(_)
            | FieldType::Choices(_)
            | FieldType::LongText { .. }
            | FieldType::Integer { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Date
            | FieldType::Time
            | FieldType::Boolean
            | FieldType::Reference(_)
            | FieldType::References(_) => {}
        }
    }

    fn found_by(&mut self, text: &str) {
        self.text.push_str(&words::folded(text));
        self.text.push('\n');
        self.sounds.push(Sound::of(text));
    }

    fn about(&mut self, zh: &str, en: &str) {
        for (about, more) in [(&mut self.about_zh, zh), (&mut self.about_en, en)] {
            if !about.is_empty() {
                about.push_str(" · ");
            }
            about.push_str(more);
        }
    }

    /// What it is called: its name, else its code, else its document.
    #[must_use]
    pub fn called(&self) -> String {
        self.name.clone().or_else(|| self.code.clone()).unwrap_or_else(|| self.id.to_string())
    }

    /// What is told beside its name: its kind, place and crops.
    #[must_use]
    pub fn about_it(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.about_zh,
            Lang::En => &self.about_en,
        }
    }

    /// Whether everything that is asked is in it, and how well it fits.
    fn fit(&self, asked: &[Vec<Ways>]) -> Option<Fit> {
        let fits = asked.iter().flatten().map(|ways| self.fit_of(ways));
        fits.collect::<Option<Vec<Fit>>>()?.into_iter().max()
    }

    fn fit_of(&self, ways: &Ways) -> Option<Fit> {
        let is = |text: &Option<String>| text.as_ref().is_some_and(|text| words::folded(text) == ways.word);
        let begins =
            |text: &Option<String>| text.as_ref().is_some_and(|text| words::folded(text).starts_with(&ways.word));
        if is(&self.code) || is(&self.name) {
            Some(0)
        } else if begins(&self.code) || begins(&self.name) {
            Some(1)
        } else if ways.all.iter().any(|way| self.text.contains(way)) {
            Some(2)
        } else {
            self.sounds.iter().any(|sound| sound.contains(&ways.word)).then_some(3)
        }
    }
}

/// A word of a query, and everything else that finds what it means.
struct Ways {
    word: String,
    all: Vec<String>,
}

impl Names {
    /// The entries of directories that have everything a query asks for, the best first; nothing for a query with nothing in
    /// it to look for.
    #[must_use]
    pub fn find(&self, text: &str, sight: &Sight) -> Vec<&Entry> {
        let ways = |word: String| Ways { all: words::ways(&word).into_iter().collect(), word };
        let asked: Vec<Vec<Ways>> = words::asked(text)
            .unwrap_or_default()
            .into_iter()
            .map(|words| words.into_iter().map(ways).collect())
            .collect();
        if asked.is_empty() {
            return Vec::new();
        }
        let mut found: Vec<(Fit, &Entry)> =
            self.entries(sight).filter_map(|entry| Some((entry.fit(&asked)?, entry))).collect();
        found.sort_by(|(fit, entry), (other_fit, other)| {
            (fit, &entry.code, entry.id).cmp(&(other_fit, &other.code, other.id))
        });
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The entries of one kind with this code, or with this document.
    #[must_use]
    pub fn entries_of(&self, kind: EntryKind, code: &str, sight: &Sight) -> Vec<&Entry> {
        let is_it = |entry: &&Entry| {
            entry.kind == kind && (entry.code.as_deref() == Some(code) || entry.id.to_string() == code)
        };
        self.entries(sight).filter(is_it).collect()
    }
}

/// What a query also looks for beside its own words, for a page to say so.
#[must_use]
pub fn also_looked_for(text: &str) -> Vec<String> {
    let words: Vec<String> = words::asked(text).unwrap_or_default().into_iter().flatten().collect();
    let ways = words.iter().flat_map(|word| words::ways(word));
    ways.filter(|way| !words.contains(way)).collect()
}
