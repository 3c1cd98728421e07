//! What codes are called: stations, people, service targets and other entries of the directories.
//!
//! A name that the form marks as personal, such as a farmer's, is not among them where personal data is masked: the code is
//! shown instead.

use std::collections::BTreeMap;

use serde_json::Value;

use qianmo_forms::ReferenceKind;
use qianmo_protocol::ids::DocId;

use super::ProjectionError;
use super::directory::Entry;
use super::mask::{HIDDEN, Mask};
use super::query::Reader;

/// Names by what they are of, and by code or document.
#[derive(Debug, Default)]
pub struct Names {
    by_form: BTreeMap<String, BTreeMap<String, String>>,
    entries: Vec<Entry>,
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
    /// What a code, or a document, is called.
    #[must_use]
    pub fn of(&self, kind: ReferenceKind, id: &str) -> Option<&str> {
        self.by_form.get(directory_of(kind)?)?.get(id).map(String::as_str)
    }

    /// Every code of a kind with what it is called, ascending by code.
    pub fn all(&self, kind: ReferenceKind) -> impl Iterator<Item = (&str, &str)> {
        let names = directory_of(kind).and_then(|form| self.by_form.get(form));
        names.into_iter().flatten().map(|(code, name)| (code.as_str(), name.as_str()))
    }

    /// The entries of directories that can be looked for, as they may be shown.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }
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

    /// Every name that may be shown.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn names(&self, mask: &Mask) -> Result<Names, ProjectionError> {
        let mut names = Names::default();
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT id, form_version, fields FROM record WHERE gone = 0 AND form = ?1 AND state <> 'withdrawn'",
        )?;
        for form in DIRECTORIES {
            let of_form = names.by_form.entry(form.to_owned()).or_default();
            let mut rows = statement.query([form])?;
            while let Some(row) = rows.next()? {
                let fields: String = row.get(2)?;
                let fields = serde_json::from_str(&fields).unwrap_or(Value::Null);
                let shown = mask.fields(mask.form(form, row.get(1)?), fields);
                names.entries.extend(Entry::of(mask, form, row.get(1)?, &DocId(row.get(0)?), &shown));
                let text = |name: &str| shown.get(name).and_then(Value::as_str).filter(|text| *text != HIDDEN);
                let code = text("code");
                let Some(name) = text("name").or(code) else { continue };
                of_form.insert(DocId(row.get(0)?).to_string(), name.to_owned());
                of_form.extend(code.map(|code| (code.to_owned(), name.to_owned())));
            }
        }
        Ok(names)
    }
}
