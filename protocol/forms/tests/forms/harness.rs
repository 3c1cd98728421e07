//! What the tables of this test are made of.

use std::sync::LazyLock;

use qianmo_forms::{Context, Date, Fault, Field, Form, FormSet, Mode, Repeat, Validation, Values, validate};

static FORMS: LazyLock<FormSet> = LazyLock::new(|| FormSet::built_in().unwrap());

/// Answers as typed, by path.
pub(crate) type Typed = &'static [(&'static str, &'static str)];

/// A shipped form.
pub(crate) fn form(id: &str) -> &'static Form {
    FORMS.get(id).unwrap_or_else(|| panic!("no form `{id}`"))
}

/// Every shipped form.
pub(crate) fn forms() -> impl Iterator<Item = &'static Form> {
    FORMS.iter()
}

/// Every field of a form, those of its repeats included, each with a path it may stand at.
pub(crate) fn fields(form: &'static Form) -> Vec<(String, &'static Field)> {
    let own = form.fields().iter().map(|field| (field.name.clone(), field));
    let row = |repeat: &'static Repeat| {
        repeat.fields().iter().map(|field| (format!("{}/r1/{}", repeat.name, field.name), field))
    };
    own.chain(form.repeats().iter().flat_map(row)).collect()
}

/// Answers of a form; a later one takes the place of an earlier one, an empty one takes it away.
pub(crate) fn answers(form: &Form, typed: &[Typed]) -> Values {
    let mut values = Values::new();
    for (path, text) in typed.iter().copied().flatten() {
        let field = form.field_at(path).unwrap_or_else(|| panic!("{}: no field {path}", form.id()));
        let value = field.parse_input(text).unwrap_or_else(|error| panic!("{} {path}: {error}", form.id()));
        values.insert((*path).to_owned(), value);
    }
    values.retain(|_, value| !value.is_null());
    values
}

/// The judgement of 20 June 2025.
pub(crate) fn judged(form: &Form, values: &Values, mode: Mode) -> Validation {
    validate(form, values, &Context { mode, today: Date::new(2025, 6, 20) })
}

/// The paths of faults, and that each is said in both languages.
pub(crate) fn paths(faults: &[Fault]) -> Vec<&str> {
    for fault in faults {
        assert!(fault.message.zh.chars().any(|c| ('\u{4E00}'..='\u{9FFF}').contains(&c)), "{fault:?}");
        assert!(fault.message.en.chars().any(|c| c.is_ascii_alphabetic()), "{fault:?}");
    }
    faults.iter().map(|fault| fault.path.as_str()).collect()
}

/// The minimal answers of every form, and what an empty submission of it is told to fill in.
pub(crate) fn minimal(id: &str) -> (Typed, &'static [&'static str]) {
    let found = crate::records::MINIMAL.iter().chain(crate::registries::MINIMAL).find(|(form, ..)| *form == id);
    let (_, typed, needed) = found.unwrap_or_else(|| panic!("no minimal answers for `{id}`"));
    (typed, needed)
}
