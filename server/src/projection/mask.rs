//! Hiding personal data: what a form marks as personal, and numbers of persons in free text. Exact positions become rough ones.
//!
//! How much is shown depends on who looks and on whose record it is: a [`Sight`] says it for every station.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use qianmo_forms::{Field, FieldType, Form, FormSet, personal};
use qianmo_protocol::ids::StationCode;
use qianmo_protocol::record::FieldPath;

/// What is shown in place of a personal value.
pub(crate) const HIDDEN: &str = "•••";

/// Whether personal data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// Hidden: for pages, the API and exports, unless somebody with the right asks otherwise.
    Masked,
    /// Names, places and sums are shown; the middle of telephone and identity numbers is not: for whoever reviews the record.
    Named,
    /// Shown.
    Shown,
}

/// Whose personal data somebody may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Sight {
    /// Nobody's.
    #[default]
    Nobody,
    /// That of these stations.
    Stations(BTreeSet<StationCode>),
    /// Everybody's.
    District,
}

impl Sight {
    /// How much of a station's records is shown; of what belongs to no station, only to whoever sees all.
    #[must_use]
    pub fn of(&self, station: Option<&str>) -> Personal {
        let is_seen = match self {
            Self::Nobody => false,
            Self::Stations(seen) => station.is_some_and(|station| seen.iter().any(|one| one.as_str() == station)),
            Self::District => true,
        };
        if is_seen { Personal::Named } else { Personal::Masked }
    }
}

/// Hides personal data by the forms it knows.
#[derive(Debug, Clone)]
pub struct Mask {
    forms: Arc<FormSet>,
    personal: Personal,
}

impl Mask {
    /// By these forms.
    #[must_use]
    pub const fn new(personal: Personal, forms: Arc<FormSet>) -> Self {
        Self { forms, personal }
    }

    /// How much it shows.
    #[must_use]
    pub const fn personal(&self) -> Personal {
        self.personal
    }

    /// The forms it knows.
    #[must_use]
    pub fn forms(&self) -> &FormSet {
        &self.forms
    }

    /// The form a record follows; of an unknown version, the newest.
    #[must_use]
    pub fn form(&self, form: &str, version: u32) -> Option<&Form> {
        self.forms.for_record(form, version)
    }

    /// A value as it may be shown. What no form describes is hidden: it may be anything.
    #[must_use]
    pub fn value(&self, form: Option<&Form>, path: &FieldPath, value: Value) -> Value {
        let (repeat, name) = match path {
            FieldPath::Field(name) => (None, name),
            FieldPath::Row { repeat, name, .. } => (Some(repeat.as_str()), name),
        };
        self.named(form, repeat, name, value)
    }

    /// Free words of a review, with the numbers of persons hidden.
    #[must_use]
    pub fn note(&self, note: &str) -> String {
        match self.personal {
            Personal::Masked | Personal::Named => personal::mask(note).unwrap_or_else(|| note.to_owned()),
            Personal::Shown => note.to_owned(),
        }
    }

    /// All fields of a record.
    #[must_use]
    pub fn fields(&self, form: Option<&Form>, fields: Value) -> Value {
        self.cells(form, None, fields)
    }

    /// All repeats of a record.
    #[must_use]
    pub fn repeats(&self, form: Option<&Form>, repeats: Value) -> Value {
        let Value::Object(repeats) = repeats else { return Value::Null };
        let shown = repeats.into_iter().map(|(repeat, rows)| {
            let Value::Object(rows) = rows else { return (repeat, Value::Null) };
            let rows = rows.into_iter().map(|(key, mut row)| {
                if let Some(cells) = row.get_mut("cells") {
                    *cells = self.cells(form, Some(&repeat), cells.take());
                }
                (key, row)
            });
            let rows = Value::Object(rows.collect());
            (repeat, rows)
        });
        Value::Object(shown.collect())
    }

    fn cells(&self, form: Option<&Form>, repeat: Option<&str>, cells: Value) -> Value {
        let Value::Object(cells) = cells else { return Value::Null };
        let shown = cells.into_iter().map(|(name, value)| {
            let value = self.named(form, repeat, &name, value);
            (name, value)
        });
        Value::Object(shown.collect())
    }

    fn named(&self, form: Option<&Form>, repeat: Option<&str>, name: &str, value: Value) -> Value {
        if self.personal == Personal::Shown || value.is_null() {
            return value;
        }
        let field = form.and_then(|form| match repeat {
            None => form.field(name),
            Some(repeat) => form.repeats().iter().find(|known| known.name == repeat)?.field(name),
        });
        match field {
            None if self.personal == Personal::Masked => Value::String(HIDDEN.to_owned()),
            Some(field) if self.personal == Personal::Masked && field.personal => hidden(field, &value),
            Some(_) | None => value.as_str().and_then(personal::mask).map_or(value, Value::String),
        }
    }
}

/// A position is shown to about a kilometre, everything else not at all.
fn hidden(field: &Field, value: &Value) -> Value {
    let is_position = matches!(field.field_type, FieldType::Latitude | FieldType::Longitude);
    let degrees = value.as_str().filter(|_| is_position).and_then(|text| text.parse::<f64>().ok());
    match degrees.filter(|degrees| degrees.is_finite()) {
        Some(degrees) => Value::String(format!("{degrees:.2}")),
        None => Value::String(HIDDEN.to_owned()),
    }
}
