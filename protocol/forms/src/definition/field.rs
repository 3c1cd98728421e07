//! Reading one field of a definition.

use std::sync::Arc;

use crate::{
    choices::{ChoiceList, ChoiceLists},
    constraint::Expression,
    text::Label,
    value::{Decimal, TEXT_CHARS_MAX},
};

use super::{
    Field, FieldType, FormFaultKind, NameRule, RESERVED_NAMES, RULES_MAX, ReferenceKind, Required, Rule,
    read::{Faults, Keys},
};

/// The names of all types, for the message about an unknown one.
const TYPES: &str = "text, long_text, integer, decimal, latitude, longitude, accuracy, date, time, choice, choices, boolean, reference, references";

/// Keys that only some types take.
const TYPED_KEYS: [(&str, &[&str]); 8] = [
    ("max_chars", &["text", "long_text"]),
    ("decimals", &["decimal"]),
    ("list", &["choice", "choices", "integer"]),
    ("reference", &["reference", "references"]),
    ("unit", &["integer", "decimal", "accuracy"]),
    ("min", &["integer", "decimal", "accuracy", "latitude", "longitude"]),
    ("max", &["integer", "decimal", "accuracy", "latitude", "longitude"]),
    ("suggested_by", &["choice", "choices"]),
];

/// Where a field stands: its number in the file, and the section it has from its repeat.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position<'p> {
    pub(super) within: &'p str,
    pub(super) number: usize,
    pub(super) section: Option<&'p str>,
}

/// The field, if what is essential to it is there. Every fault found is pushed either way.
pub(super) fn read(
    faults: &mut Faults,
    table: &toml::Table,
    position: Position<'_>,
    lists: &ChoiceLists,
) -> Option<Field> {
    let mut keys = Keys::new(table, &format!("{}field {}", position.within, position.number + 1));
    let name = keys.name(faults, "name", NameRule::Field);
    if let Some(name) = &name {
        keys.rename(format!("{}field `{name}`", position.within));
        if RESERVED_NAMES.contains(&name.as_str()) {
            faults.push(keys.place(), "name", FormFaultKind::ReservedName { name: name.clone() });
        }
    }
    let section = match position.section {
        Some(section) => Some(section.to_owned()),
        None => keys.need_text(faults, "section"),
    };
    let field_type = read_type(faults, &mut keys, lists);
    let label = keys.need_label(faults, "labels");
    let hint = keys.label(faults, "hint");
    let unit = keys.label(faults, "unit");
    let required = read_required(faults, &mut keys);
    let required_message = keys.label(faults, "required_message");
    let has_constraint = keys.has("constraint");
    let constraint = keys.expression(faults, "constraint");
    let message = if has_constraint {
        keys.need_label(faults, "constraint_message")
    } else {
        keys.label(faults, "constraint_message")
    };
    if !has_constraint && keys.has("constraint_message") {
        faults.push(keys.place(), "constraint_message", FormFaultKind::MessageWithoutRule { rule: "constraint" });
    }
    if required == Required::No && keys.has("required_message") {
        faults.push(keys.place(), "required_message", FormFaultKind::MessageWithoutRule { rule: "required" });
    }
    let relevant = keys.expression(faults, "relevant");
    let warnings = read_warnings(faults, &mut keys);
    let (min, max) = read_range(faults, &mut keys);
    let personal = keys.boolean(faults, "personal").unwrap_or(false);
    let hidden = keys.boolean(faults, "hidden").unwrap_or(false);
    if hidden && required != Required::No {
        faults.push(keys.place(), "hidden", FormFaultKind::HiddenRequired);
    }
    let suggested_by = keys.text(faults, "suggested_by");
    let indicators = read_indicators(faults, &mut keys, lists);
    keys.finish(faults);
    Some(Field {
        name: name?,
        section: section?,
        field_type: field_type?,
        label: label?,
        hint,
        unit,
        required,
        required_message,
        constraint: constraint.map(|expression| rule(expression, message)),
        relevant,
        warnings,
        min,
        max,
        personal,
        hidden,
        suggested_by,
        indicators,
    })
}

/// A rule whose message may be missing. That is a fault already, so no such rule leaves here; its expression is checked all the same.
fn rule(expression: Expression, message: Option<Label>) -> Rule {
    Rule { expression, message: message.unwrap_or_else(|| Label::new("", "")) }
}

fn read_type(faults: &mut Faults, keys: &mut Keys<'_>, lists: &ChoiceLists) -> Option<FieldType> {
    let name = keys.need_text(faults, "type")?;
    for (key, types) in TYPED_KEYS {
        if keys.has(key) && !types.contains(&name.as_str()) {
            faults.push(keys.place(), key, FormFaultKind::KeyNotForType { field_type: name.clone() });
            // Asked for, so that it is not an unknown key as well.
            keys.take(key);
        }
    }
    match name.as_str() {
        "text" => Some(FieldType::Text { max_chars: read_max_chars(faults, keys, 200) }),
        "long_text" => Some(FieldType::LongText { max_chars: read_max_chars(faults, keys, 5_000) }),
        "integer" if keys.has("list") => Some(FieldType::Integer { scale: Some(read_scale(faults, keys, lists)?) }),
        "integer" => Some(FieldType::Integer { scale: None }),
        "decimal" => Some(FieldType::Decimal { decimals: read_decimals(faults, keys)? }),
        "latitude" => Some(FieldType::Latitude),
        "longitude" => Some(FieldType::Longitude),
        "accuracy" => Some(FieldType::Accuracy),
        "date" => Some(FieldType::Date),
        "time" => Some(FieldType::Time),
        "choice" => Some(FieldType::Choice(read_list(faults, keys, lists)?)),
        "choices" => Some(FieldType::Choices(read_list(faults, keys, lists)?)),
        "boolean" => Some(FieldType::Boolean),
        "reference" => Some(FieldType::Reference(read_reference(faults, keys)?)),
        "references" => Some(FieldType::References(read_reference(faults, keys)?)),
        _ => {
            faults.push(keys.place(), "type", FormFaultKind::UnknownWord { found: name, expected: TYPES.to_owned() });
            None
        }
    }
}

fn read_max_chars(faults: &mut Faults, keys: &mut Keys<'_>, default: usize) -> usize {
    let max = i64::try_from(TEXT_CHARS_MAX).unwrap_or(i64::MAX);
    let read = keys.integer(faults, "max_chars", 1..=max);
    read.and_then(|chars| usize::try_from(chars).ok()).unwrap_or(default)
}

fn read_decimals(faults: &mut Faults, keys: &mut Keys<'_>) -> Option<u8> {
    if !keys.has("decimals") {
        faults.push(keys.place(), "decimals", FormFaultKind::MissingKey);
    }
    keys.integer(faults, "decimals", 0..=i64::from(Decimal::SCALE_MAX)).and_then(|decimals| u8::try_from(decimals).ok())
}

fn read_list(faults: &mut Faults, keys: &mut Keys<'_>, lists: &ChoiceLists) -> Option<Arc<ChoiceList>> {
    let name = keys.need_text(faults, "list")?;
    let list = lists.get(&name).cloned();
    if list.is_none() {
        faults.push(keys.place(), "list", FormFaultKind::UnknownList { name });
    }
    list
}

fn read_scale(faults: &mut Faults, keys: &mut Keys<'_>, lists: &ChoiceLists) -> Option<Arc<ChoiceList>> {
    let list = read_list(faults, keys, lists)?;
    // Printed again, so that `05` or `+5` is not taken for the number that would be stored as 5.
    for choice in list
        .iter()
        .filter(|choice| choice.id.parse::<i64>().map(|number| number.to_string()).as_ref() != Ok(&choice.id))
    {
        faults.push(
            keys.place(),
            "list",
            FormFaultKind::ScaleNotWhole { list: list.id().to_owned(), id: choice.id.clone() },
        );
    }
    Some(list)
}

fn read_reference(faults: &mut Faults, keys: &mut Keys<'_>) -> Option<ReferenceKind> {
    let name = keys.need_text(faults, "reference")?;
    let kind = ReferenceKind::ALL.into_iter().find(|(_, known)| *known == name).map(|(kind, _)| kind);
    if kind.is_none() {
        let expected = ReferenceKind::ALL.map(|(_, known)| known).join(", ");
        faults.push(keys.place(), "reference", FormFaultKind::UnknownWord { found: name, expected });
    }
    kind
}

/// `true`, `false` or an expression.
fn read_required(faults: &mut Faults, keys: &mut Keys<'_>) -> Required {
    match keys.take("required") {
        None => Required::No,
        Some(value) if value.is_str() => keys.expression(faults, "required").map_or(Required::Yes, Required::When),
        Some(_) => match keys.boolean(faults, "required") {
            Some(false) => Required::No,
            Some(true) | None => Required::Yes,
        },
    }
}

fn read_warnings(faults: &mut Faults, keys: &mut Keys<'_>) -> Vec<Rule> {
    let place = keys.place().to_owned();
    let mut rules = Vec::new();
    for (number, table) in keys.tables(faults, "warnings", RULES_MAX).into_iter().enumerate() {
        let mut rule = Keys::new(table, &format!("{place}, warning {}", number + 1));
        if !rule.has("when") {
            faults.push(rule.place(), "when", FormFaultKind::MissingKey);
        }
        let expression = rule.expression(faults, "when");
        let message = rule.need_label(faults, "message");
        rule.finish(faults);
        rules.extend(expression.map(|expression| self::rule(expression, message)));
    }
    rules
}

fn read_range(faults: &mut Faults, keys: &mut Keys<'_>) -> (Option<Decimal>, Option<Decimal>) {
    let (min, max) = (keys.decimal(faults, "min"), keys.decimal(faults, "max"));
    if min.zip(max).is_some_and(|(min, max)| min > max) {
        faults.push(keys.place(), "min", FormFaultKind::RangeReversed);
    }
    (min, max)
}

/// Indicator tags, each of which the list `indicator` must have.
pub(super) fn read_indicators(faults: &mut Faults, keys: &mut Keys<'_>, lists: &ChoiceLists) -> Vec<String> {
    let names = keys.texts(faults, "indicators");
    if names.len() > RULES_MAX {
        faults.push(keys.place(), "indicators", FormFaultKind::TooMany { found: names.len(), max: RULES_MAX });
    }
    let known = lists.get("indicator");
    for name in names.iter().filter(|name| known.and_then(|list| list.get(name)).is_none()) {
        faults.push(keys.place(), "indicators", FormFaultKind::UnknownIndicator { name: name.clone() });
    }
    names
}
