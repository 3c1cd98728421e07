//! What codes are called: stations, people, service targets and other entries of the directories.
//!
//! A name that the form marks as personal, such as a farmer's, is told to whoever may see its station's personal data; others
//! get the code.

use std::collections::BTreeMap;

use serde_json::Value;

use qianmo_forms::ReferenceKind;
use qianmo_protocol::ids::DocId;

use super::ProjectionError;
use super::directory::Entry;
use super::mask::{HIDDEN, Mask, Personal, Sight};
use super::query::Reader;

/// Names by what they are of, and by code or document.
#[derive(Debug, Default)]
pub struct Names {
    by_form: BTreeMap<String, BTreeMap<String, Called>>,
    entries: Vec<Card>,
}

/// What something is called.
#[derive(Debug, Clone)]
struct Called {
    /// To everybody.
    open: Option<String>,
    /// To whoever may see the personal data of its station.
    close: String,
    station: Option<String>,
}

/// An entry of a directory.
#[derive(Debug)]
struct Card {
    open: Entry,
    /// With its personal data, where it has any.
    close: Option<Entry>,
    station: Option<String>,
}

impl Card {
    fn seen(&self, sight: &Sight) -> &Entry {
        match sight.of(self.station.as_deref()) {
            Personal::Masked => &self.open,
            Personal::Named | Personal::Shown => self.close.as_ref().unwrap_or(&self.open),
        }
    }
}

/// The form whose records say what a reference is called.
const fn directory_of(kind: ReferenceKind) -> Option<&'static str> {
    match kind {
        ReferenceKind::Target => Some("target"),
        ReferenceKind::Station => Some("station"),
        ReferenceKind::Person => Some("staff"),
        ReferenceKind::Organisation => Some("organisation"),
        ReferenceKind::Plot => Some("plot"),
        ReferenceKind::Campaign => Some("campaign"),
        ReferenceKind::Agreement => Some("agreement"),
        ReferenceKind::Town | ReferenceKind::Village | ReferenceKind::Record => None,
    }
}

/// Every form that is such a directory.
const DIRECTORIES: [&str; 7] = ["agreement", "campaign", "organisation", "plot", "staff", "station", "target"];

impl Names {
    /// What a code, or a document, is called for everybody.
    #[must_use]
    pub fn of(&self, kind: ReferenceKind, id: &str) -> Option<&str> {
        self.seen(kind, id, &Sight::Nobody)
    }

    /// What a code, or a document, is called for whoever may see so much.
    #[must_use]
    pub fn seen(&self, kind: ReferenceKind, id: &str, sight: &Sight) -> Option<&str> {
        let called = self.by_form.get(directory_of(kind)?)?.get(id)?;
        match sight.of(called.station.as_deref()) {
            Personal::Masked => called.open.as_deref(),
            Personal::Named | Personal::Shown => Some(&called.close),
        }
    }

    /// Every code of a kind with what it is called for everybody, ascending by code.
    pub fn all(&self, kind: ReferenceKind) -> impl Iterator<Item = (&str, &str)> {
        let names = directory_of(kind).and_then(|form| self.by_form.get(form));
        names.into_iter().flatten().filter_map(|(code, called)| Some((code.as_str(), called.open.as_deref()?)))
    }

    /// The entries of directories that can be looked for, as they may be shown.
    pub(super) fn entries(&self, sight: &Sight) -> impl Iterator<Item = &Entry> {
        self.entries.iter().map(move |card| card.seen(sight))
    }
}

/// What an entry is called, by what of it is shown: its code, and its name or else its code.
fn called(shown: &Value) -> (Option<&str>, Option<&str>) {
    let text = |name: &str| shown.get(name).and_then(Value::as_str).filter(|text| *text != HIDDEN);
    let code = text("code");
    (code, text("name").or(code))
}

impl Reader {
    /// The last commit that touched a directory: names read at another are no longer all there are.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn directories_touched(&self) -> Result<u64, ProjectionError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT max(touched) FROM record WHERE form IN \
             ('agreement', 'campaign', 'organisation', 'plot', 'staff', 'station', 'target')",
        )?;
        let newest: Option<i64> = statement.query_row([], |row| row.get(0))?;
        Ok(newest.and_then(|commit| u64::try_from(commit).ok()).unwrap_or(0))
    }

    /// Every name, and who may be told it.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn names(&self, open: &Mask, close: &Mask) -> Result<Names, ProjectionError> {
        let mut names = Names::default();
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, form_version, fields, station FROM record \
             WHERE gone = 0 AND form = ?1 AND state <> 'withdrawn'",
        )?;
        for form in DIRECTORIES {
            let of_form = names.by_form.entry(form.to_owned()).or_default();
            let mut rows = statement.query([form])?;
            while let Some(row) = rows.next()? {
                let (id, version) = (DocId(row.get(0)?), row.get(1)?);
                let fields: String = row.get(2)?;
                let fields: Value = serde_json::from_str(&fields).unwrap_or(Value::Null);
                let station: Option<String> = row.get(3)?;
                let shown = open.fields(open.form(form, version), fields.clone());
                let whole = close.fields(close.form(form, version), fields);
                if let Some(entry) = Entry::of(open, form, version, &id, &shown) {
                    let close = (shown != whole).then(|| Entry::of(close, form, version, &id, &whole)).flatten();
                    names.entries.push(Card { open: entry, close, station: station.clone() });
                }
                let (code, Some(name)) = called(&whole) else { continue };
                let called = Called { open: called(&shown).1.map(ToOwned::to_owned), close: name.to_owned(), station };
                of_form.extend(code.map(|code| (code.to_owned(), called.clone())));
                of_form.insert(id.to_string(), called);
            }
        }
        Ok(names)
    }
}
