//! What is told of one record: labels and units from its form, values as people read them, personal ones as whoever looks may
//! see them.

use serde_json::Value;

use qianmo_forms::{Field, FieldType, Form, Lang, ReferenceKind, Value as FormValue};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::record::FieldPath;

use super::{Signed, WebState};
use crate::projection::{HIDDEN, Mask, Names, Personal, Sight, scalar_json};

/// Who looks: what they are told of any record.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    state: &'a WebState,
    names: &'a Names,
    sight: Sight,
    personal: Personal,
}

impl<'a> View<'a> {
    pub(crate) fn new(state: &'a WebState, names: &'a Names, signed: Option<&Signed>) -> Self {
        let sight = signed.map(Signed::sight).unwrap_or_default();
        Self { state, names, sight, personal: Personal::Named }
    }

    /// With whole numbers of persons, for somebody who asked to see them: where they may see anything.
    pub(crate) fn with_numbers(self) -> Self {
        Self { personal: Personal::Shown, ..self }
    }

    pub(crate) const fn state(&self) -> &'a WebState {
        self.state
    }

    pub(crate) const fn names(&self) -> &'a Names {
        self.names
    }

    pub(crate) const fn sight(&self) -> &Sight {
        &self.sight
    }

    /// For records of a form, at a station.
    pub(crate) fn teller(&self, form: &str, version: u32, station: Option<&str>) -> Teller<'_> {
        let mask = match (self.sight.of(station), self.personal) {
            (Personal::Masked, _) => self.state.mask(),
            (_, Personal::Shown) => &self.state.shared.masks.shown,
            (Personal::Named | Personal::Shown, _) => &self.state.shared.masks.named,
        };
        Teller { mask, names: self.names, sight: &self.sight, form: mask.form(form, version) }
    }

    /// For what is told of no record.
    pub(crate) fn plain(&self) -> Teller<'_> {
        self.teller("", 0, None)
    }
}

/// Tells the values of records of one form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Teller<'a> {
    mask: &'a Mask,
    names: &'a Names,
    sight: &'a Sight,
    form: Option<&'a Form>,
}

impl<'a> Teller<'a> {
    /// For everybody.
    pub(crate) fn new(mask: &'a Mask, names: &'a Names, form: &str, version: u32) -> Self {
        Self { mask, names, sight: &Sight::Nobody, form: mask.form(form, version) }
    }

    /// What a person is called.
    pub(crate) fn person(&self, code: &str) -> String {
        self.names.of(ReferenceKind::Person, code).unwrap_or(code).to_owned()
    }

    /// What a station is called.
    pub(crate) fn station(&self, code: &str) -> String {
        self.names.of(ReferenceKind::Station, code).unwrap_or(code).to_owned()
    }

    /// What a reference, or several, points at.
    fn called(&self, field: &Field, text: &str) -> Option<String> {
        let (FieldType::Reference(kind) | FieldType::References(kind)) = field.field_type else { return None };
        let divisions = self.mask.forms().divisions();
        let name = |id: &str| match kind {
            ReferenceKind::Town | ReferenceKind::Village => divisions.name(id).unwrap_or(id).to_owned(),
            ReferenceKind::Target
            | ReferenceKind::Station
            | ReferenceKind::Person
            | ReferenceKind::Organisation
            | ReferenceKind::Plot
            | ReferenceKind::Campaign
            | ReferenceKind::Agreement
            | ReferenceKind::Record => self.names.seen(kind, id, self.sight).unwrap_or(id).to_owned(),
        };
        Some(text.split_whitespace().map(name).collect::<Vec<_>>().join("、"))
    }

    pub(crate) const fn mask(&self) -> &'a Mask {
        self.mask
    }

    pub(crate) const fn form(&self) -> Option<&'a Form> {
        self.form
    }

    /// What the form is called.
    pub(crate) fn form_label(&self, code: &str, lang: Lang) -> String {
        self.form.map_or_else(|| code.to_owned(), |form| form.label().get(lang).to_owned())
    }

    pub(crate) fn field(&self, path: &FieldPath) -> Option<&'a Field> {
        let form = self.form?;
        match path {
            FieldPath::Field(name) => form.field(name),
            FieldPath::Row { repeat, name, .. } => form.repeat(repeat)?.field(name),
        }
    }

    /// What a field is called; a cell of a row with what the rows are called.
    pub(crate) fn label(&self, path: &FieldPath, lang: Lang) -> String {
        let known = self.field(path).map(|field| field.label.get(lang).to_owned());
        match path {
            FieldPath::Field(name) => known.unwrap_or_else(|| name.clone()),
            FieldPath::Row { repeat, name, .. } => {
                let rows = self.repeat_label(repeat, lang);
                if path.is_removal() { rows } else { format!("{rows} · {}", known.unwrap_or_else(|| name.clone())) }
            }
        }
    }

    pub(crate) fn repeat_label(&self, repeat: &str, lang: Lang) -> String {
        let known = self.form.and_then(|form| form.repeat(repeat));
        known.map_or_else(|| repeat.to_owned(), |known| known.label.get(lang).to_owned())
    }

    pub(crate) fn unit(&self, path: &FieldPath, lang: Lang) -> Option<String> {
        Some(self.field(path)?.unit.as_ref()?.get(lang).to_owned())
    }

    /// The value for programs, masked.
    pub(crate) fn json(&self, path: &FieldPath, scalar: &Scalar) -> Value {
        if path.is_removal() {
            return scalar_json(scalar);
        }
        self.mask.value(self.form, path, scalar_json(scalar))
    }

    /// The value for people, masked. Empty for no answer.
    pub(crate) fn text(&self, path: &FieldPath, scalar: &Scalar, lang: Lang) -> String {
        let json = self.json(path, scalar);
        let stored = match &json {
            Value::Bool(value) => qianmo_forms::Scalar::Bool(*value),
            Value::Number(value) => qianmo_forms::Scalar::Int(value.as_i64().unwrap_or_default()),
            Value::String(text) if text == HIDDEN => return HIDDEN.to_owned(),
            Value::String(text) => qianmo_forms::Scalar::Text(text.clone()),
            Value::Null | Value::Array(_) | Value::Object(_) => return String::new(),
        };
        let read = self.field(path).and_then(|field| {
            if let Some(called) = json.as_str().and_then(|text| self.called(field, text)) {
                return Some(called);
            }
            let value = FormValue::from_scalar(field, &stored).ok()?;
            Some(value.display(field, lang))
        });
        read.unwrap_or_else(|| json.as_str().map_or_else(|| json.to_string(), ToOwned::to_owned))
    }

    /// The value with its unit.
    pub(crate) fn text_with_unit(&self, path: &FieldPath, scalar: &Scalar, lang: Lang) -> String {
        let text = self.text(path, scalar, lang);
        match self.unit(path, lang) {
            Some(unit) if !text.is_empty() && text != HIDDEN => format!("{text} {unit}"),
            Some(_) | None => text,
        }
    }

    /// Whether a personal value is hidden or made rough here.
    pub(crate) fn is_masked(&self, path: &FieldPath) -> bool {
        !path.is_removal() && self.field(path).is_none_or(|field| field.personal)
    }
}
