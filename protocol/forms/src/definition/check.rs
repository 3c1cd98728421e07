//! What can only be judged when the whole form has been read: names, what expressions read, the order of relevance.

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use crate::constraint::Expression;

use super::{FIELDS_MAX, Field, Form, FormFaultKind, Required, read::Faults};

/// Every field name that the file declares, with its repeat if it has one. Taken from the file and not from the fields that could be read, so that
/// one broken field does not make every expression that reads it a second fault.
pub(super) type Declared = BTreeMap<String, Option<String>>;

fn tables<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    table.get(key).and_then(toml::Value::as_array).into_iter().flatten().filter_map(toml::Value::as_table)
}

fn name_of(table: &Table) -> Option<&str> {
    table.get("name").and_then(toml::Value::as_str)
}

pub(super) fn declared(form: &Table) -> Declared {
    let mut declared = Declared::new();
    for repeat in tables(form, "repeats") {
        let within = name_of(repeat).map(str::to_owned);
        declared.extend(tables(repeat, "fields").filter_map(name_of).map(|name| (name.to_owned(), within.clone())));
    }
    declared.extend(tables(form, "fields").filter_map(name_of).map(|name| (name.to_owned(), None)));
    declared
}

/// A name is used once: sections among themselves, fields and repeats in the whole form.
pub(super) fn names(faults: &mut Faults, form: &Table) {
    let mut sections = BTreeSet::new();
    for name in tables(form, "sections").filter_map(name_of) {
        if !sections.insert(name) {
            faults.push(&format!("section `{name}`"), "name", FormFaultKind::DuplicateName { name: name.to_owned() });
        }
    }
    let mut used = BTreeSet::new();
    let mut once = |faults: &mut Faults, place: String, name: &str| {
        if !used.insert(name.to_owned()) {
            faults.push(&place, "name", FormFaultKind::DuplicateName { name: name.to_owned() });
        }
    };
    for name in tables(form, "fields").filter_map(name_of) {
        once(faults, format!("field `{name}`"), name);
    }
    for repeat in tables(form, "repeats") {
        let within = name_of(repeat).unwrap_or_default();
        if !within.is_empty() {
            once(faults, format!("repeat `{within}`"), within);
        }
        for name in tables(repeat, "fields").filter_map(name_of) {
            once(faults, format!("repeat `{within}`, field `{name}`"), name);
        }
    }
}

/// Checks everything that crosses fields, and orders the fields for relevance.
pub(super) fn form(faults: &mut Faults, form: &mut Form, declared: &Declared) {
    let total = form.fields.len() + form.repeats.iter().map(|repeat| repeat.fields.len()).sum::<usize>();
    if total > FIELDS_MAX {
        faults.push("form", "fields", FormFaultKind::TooMany { found: total, max: FIELDS_MAX });
    }
    let sections: BTreeSet<&str> = form.sections.iter().map(|section| section.name.as_str()).collect();
    let unknown_section = |section: &str| {
        (!sections.contains(section)).then(|| FormFaultKind::UnknownSection { name: section.to_owned() })
    };
    for field in &form.fields {
        if let Some(kind) = unknown_section(&field.section) {
            faults.push(&format!("field `{}`", field.name), "section", kind);
        }
        Reader { form, declared, place: format!("field `{}`", field.name), repeat: None }.field(faults, field);
    }
    for repeat in &form.repeats {
        let place = format!("repeat `{}`", repeat.name);
        if let Some(kind) = unknown_section(&repeat.section) {
            faults.push(&place, "section", kind);
        }
        let reader = Reader { form, declared, place: place.clone(), repeat: None };
        if let Some(relevant) = &repeat.relevant {
            reader.expression(faults, "relevant", relevant, None);
        }
        for field in &repeat.fields {
            let place = format!("{place}, field `{}`", field.name);
            Reader { form, declared, place, repeat: Some(&repeat.name) }.field(faults, field);
        }
    }
    form.order = order(faults, "form", &form.fields);
    for repeat in &mut form.repeats {
        repeat.order = order(faults, &format!("repeat `{}`", repeat.name), &repeat.fields);
    }
}

/// Checks what one place reads.
struct Reader<'f> {
    form: &'f Form,
    declared: &'f Declared,
    place: String,
    /// The repeat whose rows it is in.
    repeat: Option<&'f str>,
}

impl Reader<'_> {
    fn field(&self, faults: &mut Faults, field: &Field) {
        if let Required::When(expression) = &field.required {
            self.expression(faults, "required", expression, None);
        }
        if let Some(expression) = &field.relevant {
            self.expression(faults, "relevant", expression, None);
        }
        if let Some(rule) = &field.constraint {
            self.expression(faults, "constraint", &rule.expression, Some(field));
        }
        for rule in &field.warnings {
            self.expression(faults, "warnings", &rule.expression, Some(field));
        }
        if let Some(name) = &field.suggested_by {
            self.reads(faults, "suggested_by", name);
        }
    }

    /// `this` is the field whose answer is judged; only constraints and warnings judge one.
    fn expression(&self, faults: &mut Faults, key: &str, expression: &Expression, this: Option<&Field>) {
        if this.is_none() && expression.reads_this() {
            faults.push(&self.place, key, FormFaultKind::ThisNotAllowed);
        }
        for name in expression.fields() {
            self.reads(faults, key, name);
        }
        for (name, literal) in expression.compared_literals() {
            let field = match name {
                Some(name) => self.find(name),
                None => this,
            };
            let Some(list) = field.and_then(|field| field.field_type.choices()) else { continue };
            if list.get(&literal).is_none() {
                faults.push(
                    &self.place,
                    key,
                    FormFaultKind::UnknownChoice { list: list.id().to_owned(), choice: literal },
                );
            }
        }
    }

    fn find(&self, name: &str) -> Option<&Field> {
        self.repeat
            .and_then(|repeat| self.form.repeat(repeat))
            .and_then(|repeat| repeat.field(name))
            .or_else(|| self.form.field(name))
    }

    fn reads(&self, faults: &mut Faults, key: &str, name: &str) {
        match self.declared.get(name) {
            None => faults.push(&self.place, key, FormFaultKind::UnknownField { name: name.to_owned() }),
            Some(Some(repeat)) if self.repeat != Some(repeat) => {
                faults.push(
                    &self.place,
                    key,
                    FormFaultKind::FieldInRepeat { name: name.to_owned(), repeat: repeat.clone() },
                );
            }
            Some(_) => {}
        }
    }
}

/// The indexes of the fields such that the relevance of each reads only fields before it, among these fields.
fn order(faults: &mut Faults, place: &str, fields: &[Field]) -> Vec<usize> {
    let by_name: BTreeMap<&str, usize> =
        fields.iter().enumerate().map(|(at, field)| (field.name.as_str(), at)).collect();
    let reads = |field: &Field| -> BTreeSet<usize> {
        let names = field.relevant.as_ref().map(Expression::fields).unwrap_or_default();
        names.into_iter().filter_map(|name| by_name.get(name).copied()).collect()
    };
    let mut waiting: Vec<(usize, BTreeSet<usize>)> = fields.iter().map(reads).enumerate().collect();
    let mut order: Vec<usize> = Vec::with_capacity(fields.len());
    let mut placed = BTreeSet::new();
    // Each round places at least one field or stops, so there are at most as many rounds as fields.
    loop {
        let (ready, blocked): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|(_, reads)| reads.is_subset(&placed));
        waiting = blocked;
        if ready.is_empty() {
            break;
        }
        order.extend(ready.iter().map(|(at, _)| *at));
        placed.extend(ready.iter().map(|(at, _)| *at));
    }
    if !waiting.is_empty() {
        let path = waiting.iter().filter_map(|(at, _)| fields.get(*at)).map(|field| field.name.clone()).collect();
        faults.push(place, "relevant", FormFaultKind::RelevanceCycle { path });
    }
    order
}
