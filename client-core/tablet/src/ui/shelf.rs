//! All records of this device in short, in memory: what is counted on the first page, listed and searched.
//!
//! The core answers one record or one page of a list; a person types three characters and wants to see, among tens of
//! thousands, the records that have them. So each record is kept as its telling answers and one line of everything it says.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use qianmo_client_core::{
    Delivery, FieldClient, FieldValue, ReadError, RecordFilter, RecordId, RecordRow, ReviewStatus,
};
use qianmo_forms::vocabulary::Vocabulary;
use qianmo_forms::{FieldType, Form, FormKind, FormSet, Lang, ReferenceKind};

use crate::answers;

/// Records asked for at a time.
const PAGE: usize = 500;
/// Answers that a list shows, or that others refer to.
const TELLING: [&str; 14] = [
    "activity_date",
    "code",
    "name",
    "target_id",
    "target_name",
    "topic",
    "theme",
    "technology_id",
    "crop_id",
    "pest_id",
    "content",
    "town_code",
    "kind",
    "main_crops",
];
/// Characters of a long answer that a list may show.
const SHOWN_CHARS: usize = 160;

/// A record in short.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// With telling answers only.
    pub(super) row: RecordRow,
    /// Everything it says, in lower case.
    text: String,
}

impl Entry {
    pub(super) fn answer(&self, name: &str) -> Option<&str> {
        match self.row.fields.get(name) {
            Some(FieldValue::Text(text)) if !text.is_empty() => Some(text),
            Some(FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_) | FieldValue::Text(_)) | None => None,
        }
    }
}

type Place = (Reverse<i64>, RecordId);

#[derive(Debug, Default)]
struct Contents {
    entries: BTreeMap<Place, Entry>,
    places: HashMap<RecordId, Place>,
    /// Names of the directories, by form and code, and by document.
    names: HashMap<(String, String), String>,
    is_read: bool,
}

/// The shelf.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    contents: Mutex<Contents>,
}

/// What a list is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) words: Vec<Vec<String>>,
    pub(super) form: Option<String>,
    pub(super) state: Option<Pile>,
    pub(super) target: Option<String>,
    /// Only what one of these people wrote.
    pub(super) authors: Option<Vec<String>>,
    /// Directories, or records.
    pub(super) kind: Option<FormKind>,
}

/// Where work lies, as its author sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pile {
    Returned,
    Conflicting,
    Held,
    Waiting,
    Delivered,
    BackedUp,
    Approved,
}

impl Pile {
    pub(super) const ALL: [Self; 7] =
        [Self::Returned, Self::Conflicting, Self::Held, Self::Waiting, Self::Delivered, Self::BackedUp, Self::Approved];

    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Conflicting => "conflict",
            Self::Held => "held",
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::BackedUp => "backed-up",
            Self::Approved => "approved",
        }
    }

    pub(super) const fn message(self) -> &'static str {
        match self {
            Self::Returned => "ui-pile-returned",
            Self::Conflicting => "ui-pile-conflict",
            Self::Held => "ui-pile-held",
            Self::Waiting => "ui-pile-waiting",
            Self::Delivered => "ui-pile-delivered",
            Self::BackedUp => "ui-pile-backed-up",
            Self::Approved => "ui-pile-approved",
        }
    }

    pub(super) fn read(code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pile| pile.code() == code)
    }

    pub(super) fn has(self, row: &RecordRow) -> bool {
        match self {
            Self::Returned => row.review == ReviewStatus::Returned,
            Self::Conflicting => row.conflicts > 0,
            Self::Held => matches!(row.delivery, Delivery::Held { .. }),
            Self::Waiting => row.delivery == Delivery::Waiting,
            Self::Delivered => row.delivery == Delivery::Acknowledged,
            Self::BackedUp => row.delivery == Delivery::BackedUp,
            Self::Approved => row.review == ReviewStatus::Approved,
        }
    }
}

/// One page of a list.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) entries: Vec<Entry>,
    pub(super) total: usize,
}

impl Shelf {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads everything, unless it was read. Blocks; seconds for tens of thousands of records.
    pub(super) fn fill(&self, client: &FieldClient, forms: &FormSet) -> Result<(), ReadError> {
        if self.contents().is_read {
            return Ok(());
        }
        let mut fresh = Contents::default();
        // Directories first: records are searched by the names of what they refer to.
        let mut rows = Vec::new();
        let registries = forms.iter().filter(|form| form.kind() == FormKind::Registry);
        for form in registries {
            each(client, &RecordFilter { form: Some(form.id().to_owned()), ..RecordFilter::default() }, |row| {
                fresh.note_name(&row);
            })?;
        }
        each(client, &RecordFilter::default(), |row| rows.push(row))?;
        for row in rows {
            fresh.put(row, forms);
        }
        fresh.is_read = true;
        *self.contents() = fresh;
        Ok(())
    }

    /// Reads everything anew at the next look.
    pub(super) fn forget(&self) {
        *self.contents() = Contents::default();
    }

    /// Takes in what has changed. Blocks.
    pub(super) fn refresh(&self, client: &FieldClient, forms: &FormSet, records: &[RecordId]) -> Result<(), ReadError> {
        for id in records {
            let read = client.record(*id)?;
            let mut contents = self.contents();
            if !contents.is_read {
                return Ok(());
            }
            match read {
                Some(view) if view.row.review != ReviewStatus::Withdrawn => {
                    contents.note_name(&view.row);
                    contents.put(view.row, forms);
                }
                Some(_) | None => contents.remove(id),
            }
        }
        Ok(())
    }

    /// One page of what is wanted, newest first.
    pub(super) fn find(&self, wanted: &Wanted, forms: &FormSet, from: usize, count: usize) -> Found {
        let contents = self.contents();
        let mut found = Found::default();
        for entry in contents.entries.values().filter(|entry| wanted.takes(entry, forms)) {
            if found.total >= from && found.entries.len() < count {
                found.entries.push(entry.clone());
            }
            found.total += 1;
        }
        found
    }

    /// How many records lie in each pile.
    pub(super) fn counts(&self, authors: &[String], forms: &FormSet) -> BTreeMap<&'static str, usize> {
        let contents = self.contents();
        let mut counts = BTreeMap::new();
        for entry in contents.entries.values().filter(|entry| is_record(forms, &entry.row.form)) {
            for pile in Pile::ALL.into_iter().filter(|pile| pile.has(&entry.row)) {
                let is_mine = entry.row.delivery != Delivery::Elsewhere || authors.contains(&entry.row.author);
                if is_mine {
                    *counts.entry(pile.code()).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The entry of a directory with a code, or an id.
    pub(super) fn entry_of(&self, form: &str, code: &str) -> Option<Entry> {
        let contents = self.contents();
        let is_it = |entry: &&Entry| {
            entry.row.form == form && (entry.answer("code") == Some(code) || entry.row.id.to_string() == code)
        };
        contents.entries.values().find(is_it).cloned()
    }

    pub(super) fn name(&self, form: &str, id: &str) -> Option<String> {
        self.contents().names.get(&(form.to_owned(), id.to_owned())).cloned()
    }

    /// The newest record that these words choose.
    pub(super) fn newest(&self, wanted: &Wanted, forms: &FormSet) -> Option<Entry> {
        self.contents().entries.values().find(|entry| wanted.takes(entry, forms)).cloned()
    }
}

impl Wanted {
    /// Reads what was typed. Each word must be there, or one of the names that people have for it.
    pub(super) fn typed(text: &str, vocabulary: Option<&Vocabulary>) -> Vec<Vec<String>> {
        text.split_whitespace().map(|word| names_of(&word.to_lowercase(), vocabulary)).collect()
    }

    fn takes(&self, entry: &Entry, forms: &FormSet) -> bool {
        let row = &entry.row;
        self.form.as_ref().is_none_or(|form| row.form == *form)
            && self.kind.is_none_or(|kind| is_record(forms, &row.form) == (kind == FormKind::Record))
            && self.state.is_none_or(|pile| pile.has(row))
            && self.target.as_deref().is_none_or(|target| entry.answer("target_id") == Some(target))
            && self
                .authors
                .as_ref()
                .is_none_or(|authors| authors.contains(&row.author) || row.delivery != Delivery::Elsewhere)
            && self.words.iter().all(|names| names.iter().any(|name| entry.text.contains(name)))
    }
}

/// A word and what else is said for the same pest, crop or variety.
fn names_of(word: &str, vocabulary: Option<&Vocabulary>) -> Vec<String> {
    let mut names = vec![word.to_owned()];
    for terms in vocabulary.iter().flat_map(|vocabulary| [&vocabulary.pests, &vocabulary.crops, &vocabulary.varieties])
    {
        let label = terms.id(word).and_then(|id| terms.label(id));
        names.extend(label.map(str::to_lowercase).filter(|label| label != word));
    }
    names
}

pub(super) fn is_record(forms: &FormSet, form: &str) -> bool {
    forms.get(form).is_none_or(|form| form.kind() == FormKind::Record)
}

/// The form of a reference's directory.
pub(super) const fn directory_of(kind: ReferenceKind) -> Option<&'static str> {
    crate::names::directory_of(kind)
}

fn each(client: &FieldClient, filter: &RecordFilter, mut take: impl FnMut(RecordRow)) -> Result<(), ReadError> {
    let mut filter = RecordFilter { limit: PAGE, ..filter.clone() };
    loop {
        let page = client.records(filter.clone())?;
        page.rows.into_iter().for_each(&mut take);
        match page.next {
            Some(next) => filter.after = Some(next),
            None => return Ok(()),
        }
    }
}

impl Contents {
    fn note_name(&mut self, row: &RecordRow) {
        let text = |name: &str| match row.fields.get(name) {
            Some(FieldValue::Text(text)) => Some(text.clone()),
            Some(FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_)) | None => None,
        };
        let code = text("code");
        let Some(name) = text("name").or_else(|| code.clone()) else { return };
        if let Some(code) = code {
            self.names.insert((row.form.clone(), code), name.clone());
        }
        self.names.insert((row.form.clone(), row.id.to_string()), name);
    }

    fn put(&mut self, row: RecordRow, forms: &FormSet) {
        self.remove(&row.id);
        let form = forms.for_record(&row.form, row.form_version);
        let text = self.everything(form, &row, forms);
        let place = (Reverse(row.created_at_ms), row.id);
        let mut row = row;
        row.fields.retain(|path, _| TELLING.contains(&path.as_str()));
        for value in row.fields.values_mut() {
            if let FieldValue::Text(text) = value
                && let Some((end, _)) = text.char_indices().nth(SHOWN_CHARS)
            {
                text.truncate(end);
            }
        }
        self.places.insert(row.id, place);
        self.entries.insert(place, Entry { row, text });
    }

    fn remove(&mut self, id: &RecordId) {
        if let Some(place) = self.places.remove(id) {
            self.entries.remove(&place);
        }
    }

    /// All that is said, as people read it in either language.
    fn everything(&self, form: Option<&Form>, row: &RecordRow, forms: &FormSet) -> String {
        let mut text = String::new();
        let mut add = |part: &str| {
            text.push_str(&part.to_lowercase());
            text.push('\n');
        };
        if let Some(form) = form {
            Lang::ALL.into_iter().for_each(|lang| add(form.label().get(lang)));
        }
        for (path, value) in row.fields.iter().filter(|(_, value)| !value.is_null()) {
            let field = form.and_then(|form| form.field_at(path));
            let stored = match value {
                FieldValue::Text(text) => text.clone(),
                FieldValue::Int(number) => number.to_string(),
                FieldValue::Null | FieldValue::Bool(_) => continue,
            };
            match field.map(|field| &field.field_type) {
                Some(FieldType::Reference(kind) | FieldType::References(kind)) => {
                    for id in stored.split_whitespace() {
                        let in_directory = |form: &str| self.names.get(&(form.to_owned(), id.to_owned())).cloned();
                        let named = directory_of(*kind).and_then(in_directory);
                        add(named.as_deref().or_else(|| forms.divisions().name(id)).unwrap_or(id));
                    }
                }
                Some(_) => {
                    let shown = answers::display(field, value, Lang::Zh);
                    add(&shown);
                    if shown != stored {
                        add(&stored);
                    }
                }
                None => add(&stored),
            }
        }
        text
    }
}
