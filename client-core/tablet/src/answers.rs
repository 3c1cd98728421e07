//! Between what the core keeps for an answer and what the form makes of it; and fields by whatever people call them.

use qianmo_client_core::FieldValue;
use qianmo_forms::{Field, FieldType, Form, FormKind, Lang, ReferenceKind, Required, Scalar, Value, Values};

/// The mark of a removed row, beside its fields.
pub(crate) const REMOVED: &str = "removed";

/// The value of a field; `None` if the form cannot read it.
pub(crate) fn read(field: &Field, kept: &FieldValue) -> Option<Value> {
    match kept {
        FieldValue::Null => Some(Value::Null),
        FieldValue::Bool(answer) => Value::from_scalar(field, &Scalar::Bool(*answer)).ok(),
        FieldValue::Int(number) => {
            let stored = Value::from_scalar(field, &Scalar::Int(*number));
            stored.or_else(|_other| field.parse_input(&number.to_string())).ok()
        }
        FieldValue::Text(text) => {
            let stored = Value::from_scalar(field, &Scalar::Text(text.clone()));
            stored.or_else(|_typed| field.parse_input(text)).ok()
        }
    }
}

/// What the core keeps for a value.
pub(crate) fn keep(value: &Value) -> FieldValue {
    match value.to_scalar() {
        Scalar::Null => FieldValue::Null,
        Scalar::Bool(answer) => FieldValue::Bool(answer),
        Scalar::Int(number) => FieldValue::Int(number),
        Scalar::Text(text) => FieldValue::Text(text),
    }
}

/// Whether a path is the mark of a removed row.
pub(crate) fn is_removal(form: &Form, path: &str) -> bool {
    let mut parts = path.split('/');
    let repeat = parts.next().is_some_and(|name| form.repeat(name).is_some());
    repeat && parts.next().is_some() && parts.next() == Some(REMOVED) && parts.next().is_none()
}

/// Every answer that the form can read.
pub(crate) fn read_all<'v>(form: &Form, kept: impl Iterator<Item = (&'v String, &'v FieldValue)>) -> Values {
    let value = |(path, kept): (&String, &FieldValue)| {
        let value = match form.field_at(path) {
            Some(field) => read(field, kept)?,
            None if is_removal(form, path) => Value::Bool(*kept == FieldValue::Bool(true)),
            None => return None,
        };
        Some((path.clone(), value))
    };
    kept.filter_map(value).collect()
}

/// What a person reads; what the form cannot read is shown as it is kept.
pub(crate) fn display(field: Option<&Field>, kept: &FieldValue, lang: Lang) -> String {
    if let Some((field, value)) = field.and_then(|field| Some((field, read(field, kept)?))) {
        return value.display(field, lang);
    }
    match kept {
        FieldValue::Null => String::new(),
        FieldValue::Bool(answer) => answer.to_string(),
        FieldValue::Int(number) => number.to_string(),
        FieldValue::Text(text) => text.clone(),
    }
}

/// A field's label with its unit.
pub(crate) fn label(field: &Field, lang: Lang) -> String {
    let label = field.label.get(lang);
    match (&field.unit, lang) {
        (Some(unit), Lang::Zh) => format!("{label}（{}）", unit.get(lang)),
        (Some(unit), Lang::En) => format!("{label} ({})", unit.get(lang)),
        (None, _) => label.to_owned(),
    }
}

/// The path a person means: a path of the form, or a field's label in either language.
pub(crate) fn path_of(form: &Form, said: &str) -> Option<String> {
    if form.field_at(said).is_some() {
        return Some(said.to_owned());
    }
    let called = |field: &&Field| Lang::ALL.into_iter().any(|lang| field.label.get(lang).eq_ignore_ascii_case(said));
    let mut found = form.fields().iter().filter(called);
    match (found.next(), found.next()) {
        (Some(field), None) => Some(field.name.clone()),
        // No such label, or two of them.
        (Some(_), Some(_)) | (None, _) => None,
    }
}

/// What a field is filled with when nothing is said: the first date that must be there with today, the recording person
/// with whoever uses the device. Only if known, and only for activities.
pub(crate) fn defaults(form: &Form, today: Option<qianmo_forms::Date>, person: Option<&str>) -> Values {
    let mut defaults = Values::new();
    if form.kind() == FormKind::Registry {
        return defaults;
    }
    let required = |field: &&Field| field.required == Required::Yes;
    let date = form.fields().iter().filter(required).find(|field| field.field_type == FieldType::Date);
    if let (Some(field), Some(today)) = (date, today) {
        defaults.insert(field.name.clone(), Value::Date(today));
    }
    let is_person = |field: &&Field| field.field_type == FieldType::Reference(ReferenceKind::Person);
    let recorder = form.fields().iter().filter(required).find(is_person);
    if let (Some(field), Some(person)) = (recorder, person) {
        defaults.insert(field.name.clone(), Value::Reference(person.to_owned()));
    }
    defaults
}

#[cfg(test)]
mod tests {
    use qianmo_forms::{Date, FormSet};

    use super::*;

    #[test]
    fn field_is_found_by_path_or_label_in_either_language() {
        let forms = FormSet::built_in().unwrap();
        let visit = forms.get("visit").unwrap();
        for said in ["content", "服务内容", "what was done"] {
            assert_eq!(path_of(visit, said).as_deref(), Some("content"), "{said}");
        }
        assert_eq!(path_of(visit, "nothing"), None);
    }

    #[test]
    fn what_is_kept_reads_back_and_stored_text_is_not_retyped() {
        let forms = FormSet::built_in().unwrap();
        let visit = forms.get("visit").unwrap();
        let area = visit.field("area_seen_mu").unwrap();
        let value = read(area, &FieldValue::from("3.50亩")).unwrap();
        assert_eq!(keep(&value), FieldValue::from("3.5"));
        assert_eq!(display(Some(area), &FieldValue::from("nonsense"), Lang::Zh), "nonsense");
        assert_eq!(label(area, Lang::Zh), "查看面积（亩）");
        assert_eq!(label(area, Lang::En), "Area seen (mu)");
    }

    #[test]
    fn date_is_not_filled_in_by_a_clock_that_cannot_be_right() {
        let forms = FormSet::built_in().unwrap();
        let visit = forms.get("visit").unwrap();
        let filled = defaults(visit, Date::new(2025, 6, 18), Some("P01"));
        assert_eq!(filled.keys().collect::<Vec<_>>(), ["activity_date", "staff_id"]);
        assert_eq!(defaults(visit, None, Some("P01")).keys().collect::<Vec<_>>(), ["staff_id"]);
    }
}
