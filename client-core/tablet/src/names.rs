//! What codes and ids are called: the names of this device's directories, and of towns and villages.
//!
//! Only for what a person reads; what a program reads keeps codes and ids.

use std::collections::BTreeMap;

use qianmo_client_core::{FieldValue, RecordFilter, RecordRow, ReviewStatus};
use qianmo_forms::{Field, FieldType, Form, FormKind, FormSet, ReferenceKind};

use crate::failure::Failure;
use crate::work::Work;

/// Names by document, and by form and code.
#[derive(Debug, Default)]
pub(crate) struct Names {
    by_document: BTreeMap<String, String>,
    by_code: BTreeMap<(String, String), String>,
}

/// The form of a reference's directory.
pub(crate) const fn directory_of(kind: ReferenceKind) -> Option<&'static str> {
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

fn text<'r>(row: &'r RecordRow, name: &str) -> Option<&'r str> {
    match row.fields.get(name) {
        Some(FieldValue::Text(text)) => Some(text),
        Some(FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_)) | None => None,
    }
}

impl Names {
    /// Reads the directories.
    pub(crate) fn read(work: &Work<'_, '_>) -> Result<Self, Failure> {
        let mut names = Self::default();
        let forms: Vec<String> = work
            .forms
            .iter()
            .filter(|form| form.kind() == FormKind::Registry)
            .map(|form| form.id().to_owned())
            .collect();
        for form in forms {
            let filter = RecordFilter { form: Some(form.clone()), ..RecordFilter::default() };
            work.each(filter, |row| {
                names.note(&form, &row);
                true
            })?;
        }
        Ok(names)
    }

    fn note(&mut self, form: &str, row: &RecordRow) {
        let code = text(row, "code");
        let Some(name) = text(row, "name").or(code).filter(|_| row.review != ReviewStatus::Withdrawn) else { return };
        self.by_document.insert(row.id.to_string(), name.to_owned());
        if let Some(code) = code {
            self.by_code.insert((form.to_owned(), code.to_owned()), name.to_owned());
        }
    }

    fn of(&self, forms: &FormSet, kind: ReferenceKind, id: &str) -> Option<String> {
        if matches!(kind, ReferenceKind::Town | ReferenceKind::Village) {
            return forms.divisions().name(id).map(ToOwned::to_owned);
        }
        let by_code = || self.by_code.get(&(directory_of(kind)?.to_owned(), id.to_owned()));
        self.by_document.get(id).or_else(by_code).cloned()
    }

    /// The record with names in place of codes, as a person reads it.
    pub(crate) fn shown(&self, forms: &FormSet, form: Option<&Form>, row: &RecordRow) -> RecordRow {
        let mut shown = row.clone();
        for (path, value) in &mut shown.fields {
            let field: Option<&Field> = form.and_then(|form| form.field_at(path));
            let Some(FieldType::Reference(kind) | FieldType::References(kind)) = field.map(|field| &field.field_type)
            else {
                continue;
            };
            if let FieldValue::Text(ids) = value {
                let called = |id: &str| self.of(forms, *kind, id).unwrap_or_else(|| id.to_owned());
                *ids = ids.split_whitespace().map(called).collect::<Vec<_>>().join("\u{3001}");
            }
        }
        shown
    }
}
