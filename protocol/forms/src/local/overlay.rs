//! Overlays: what a district changes about a shipped form or list.
//!
//! An overlay works on the shipped file's table, and the result is read as any form is: whatever the change breaks is found by the checks that
//! every form passes. An overlay can ask for more or less, hide, reword and add; it cannot change what an answer means (its type, unit, list,
//! range, whether it is personal) nor take away what every record needs.

use toml::{Table, Value as Toml};

use crate::{
    choices::CHOICES_MAX,
    definition::{FIELDS_MAX, FormError, FormFaultKind, NameRule, SECTIONS_MAX, read},
};

use super::LOCAL_PREFIX;

/// Answers without which a record has no month, nobody who answers for it, or no name.
const NEEDED: [&str; 3] = ["activity_date", "staff_id", "code"];

/// What a change may say about a field, beside its name.
const CHANGES: [&str; 5] = ["required", "required_message", "hidden", "labels", "hint"];

/// A read overlay.
#[derive(Debug)]
pub(super) enum Overlay {
    /// Changes a form.
    Form {
        /// The form.
        form: String,
        /// The version of the overlay.
        local_version: u16,
        /// The overlay's own table, for [`merge`].
        table: Table,
    },
    /// Adds choices to a list.
    List {
        /// The list.
        list: String,
        /// The choices, as a list file has them.
        choices: Vec<Table>,
    },
}

impl Overlay {
    /// Reads what an overlay is about, and whether its keys are in order; what its changes mean is seen when they are merged.
    pub(super) fn parse(text: &str) -> Result<Self, FormError> {
        let (table, mut faults) = read::open(text)?;
        let mut keys = read::Keys::new(&table, "overlay");
        if keys.has("list") && !keys.has("form") {
            let list = keys.need_text(&mut faults, "list");
            let choices: Vec<Table> = keys.tables(&mut faults, "choices", CHOICES_MAX).into_iter().cloned().collect();
            if choices.is_empty() {
                faults.push("overlay", "choices", FormFaultKind::MissingKey);
            }
            for id in choices.iter().filter_map(|choice| choice.get("id").and_then(Toml::as_str)) {
                local_name(&mut faults, &format!("choice `{id}`"), "id", id);
            }
            keys.finish(&mut faults);
            return faults.finish(Self::List { list: list.unwrap_or_default(), choices });
        }
        let form = keys.need_text(&mut faults, "form");
        if !keys.has("local_version") {
            faults.push("overlay", "local_version", FormFaultKind::MissingKey);
        }
        let version = keys.integer(&mut faults, "local_version", 1..=i64::from(u16::MAX));
        keys.label(&mut faults, "labels");
        for change in keys.tables(&mut faults, "changes", FIELDS_MAX) {
            read_change(&mut faults, change);
        }
        for (key, what, max) in [("sections", "section", SECTIONS_MAX), ("fields", "field", FIELDS_MAX)] {
            for added in keys.tables(&mut faults, key, max) {
                let name = added.get("name").and_then(Toml::as_str).unwrap_or_default();
                // Without a name it is a fault of the merged form.
                if !name.is_empty() {
                    local_name(&mut faults, &format!("{what} `{name}`"), "name", name);
                }
            }
        }
        keys.finish(&mut faults);
        let local_version = version.and_then(|version| u16::try_from(version).ok()).unwrap_or(1);
        let form = form.unwrap_or_default();
        faults.finish(()).map(|()| Self::Form { form, local_version, table })
    }
}

fn local_name(faults: &mut read::Faults, place: &str, key: &str, name: &str) {
    if !name.starts_with(LOCAL_PREFIX) {
        faults.push(place, key, FormFaultKind::NotLocal { name: name.to_owned() });
    }
}

/// The keys of a change, and what no change may do.
fn read_change(faults: &mut read::Faults, change: &Table) {
    let mut keys = read::Keys::new(change, "change");
    let name = keys.name(faults, "name", NameRule::Field);
    if let Some(name) = &name {
        keys.rename(format!("field `{name}`"));
    }
    for key in CHANGES {
        // Their values are checked with the merged form.
        keys.take(key);
    }
    let place = keys.finish(faults);
    let takes_away = [("required", false), ("hidden", true)];
    for (key, value) in takes_away {
        let said = change.get(key).and_then(Toml::as_bool) == Some(value);
        if let Some(name) = name.as_ref().filter(|name| said && NEEDED.contains(&name.as_str())) {
            faults.push(&place, key, FormFaultKind::NeededField { name: name.clone() });
        }
    }
}

/// The shipped form with the overlay.
pub(super) fn merge(base: &Table, overlay: &Table) -> Result<Table, FormError> {
    let mut merged = base.clone();
    let mut faults = read::Faults::new();
    if let Some(labels) = overlay.get("labels") {
        merged.insert("labels".to_owned(), labels.clone());
    }
    for change in tables(overlay, "changes") {
        let name = change.get("name").and_then(Toml::as_str).unwrap_or_default();
        match field_named(&mut merged, name) {
            Some(field) => apply(field, change),
            None => {
                faults.push(&format!("field `{name}`"), "name", FormFaultKind::UnknownField { name: name.to_owned() })
            }
        }
    }
    for key in ["sections", "fields"] {
        let added = tables(overlay, key).cloned().map(Toml::Table);
        if let Some(Toml::Array(all)) = merged.get_mut(key) {
            all.extend(added);
        }
    }
    faults.finish(merged)
}

fn tables<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    table.get(key).and_then(Toml::as_array).into_iter().flatten().filter_map(Toml::as_table)
}

/// The field with a name, of the form or of a repeat.
fn field_named<'t>(form: &'t mut Table, name: &str) -> Option<&'t mut Table> {
    let is_it = |field: &&mut Table| field.get("name").and_then(Toml::as_str) == Some(name);
    let mut found = None;
    for (key, value) in form.iter_mut() {
        let tables = value.as_array_mut().into_iter().flatten().filter_map(Toml::as_table_mut);
        match key.as_str() {
            "fields" => found = found.or_else(|| tables.into_iter().find(is_it)),
            "repeats" => {
                let below = |repeat: &'t mut Table| repeat.get_mut("fields").and_then(Toml::as_array_mut);
                let fields = tables.filter_map(below).flatten().filter_map(Toml::as_table_mut);
                found = found.or_else(|| fields.into_iter().find(is_it));
            }
            _ => {}
        }
    }
    found
}

/// One change: what it says takes the place of what the form said. A changed `required` takes the form's message for it along, which spoke of
/// the old rule.
fn apply(field: &mut Table, change: &Table) {
    if change.contains_key("required") {
        field.remove("required");
        field.remove("required_message");
    }
    for key in CHANGES {
        if let Some(value) = change.get(key) {
            field.insert(key.to_owned(), value.clone());
        }
    }
}
