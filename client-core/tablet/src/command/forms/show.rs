//! `qianmo forms show`: everything a form says, for people and as JSON.

use qianmo_forms::local::version_without;
use qianmo_forms::{Field, FieldType, Form, FormKind, Label, Lang, ReferenceKind, RegistryHome, Repeat, Required};
use serde_json::{Map, Value as Json, json};

use super::{Bench, count, is_required, kind};
use crate::exit::Exit;
use crate::failure::{Failure, Told};
use crate::message::Messages;

/// Most choices that are written out; longer lists are told by their number.
const CHOICES_SHOWN: usize = 12;

pub(super) fn run(bench: &mut Bench<'_, '_>, said: &str, as_json: bool) -> Result<(), Failure> {
    let forms = bench.forms()?;
    let called = |form: &&Form| {
        form.id() == said || Lang::ALL.into_iter().any(|lang| form.label().get(lang).eq_ignore_ascii_case(said))
    };
    let Some(form) = forms.iter().find(called) else {
        let what = bench.messages.with("error-unknown-form", &[("form", said.into())]);
        let mut told = Told::new(Exit::Usage, what);
        told.details =
            forms.iter().map(|form| format!("{} {}", form.id(), form.label().get(bench.messages.lang()))).collect();
        return Err(told.next(bench.messages.text("next-forms")).into());
    };
    if as_json {
        let json = form_json(form);
        return bench.say_json(&json);
    }
    for line in lines(form, bench.messages) {
        bench.terminal.say(&line)?;
    }
    Ok(())
}

/// The version as people write it: the shipped one, and the overlay's.
pub(super) fn version(form: &Form) -> String {
    let shipped = version_without(form.version());
    match form.version().saturating_sub(shipped) >> 16 {
        0 => shipped.to_string(),
        local => format!("{shipped}+{local}"),
    }
}

fn both(label: &Label) -> String {
    format!("{} / {}", label.zh, label.en)
}

fn lines(form: &Form, messages: Messages) -> Vec<String> {
    let of_form = [("version", version(form).into()), ("kind", kind(form, messages).into())];
    let mut lines = vec![format!("{}  {}", form.id(), both(form.label())), messages.with("forms-show-about", &of_form)];
    if !form.indicators().is_empty() {
        let named = [("indicators", form.indicators().join(", ").into())];
        lines.push(messages.with("forms-show-feeds", &named));
    }
    for section in form.sections() {
        lines.push(String::new());
        lines.push(format!("── {} ──", both(&section.label)));
        form.fields_in(&section.name).for_each(|field| field_lines(field, 0, messages, &mut lines));
        for repeat in form.repeats().iter().filter(|repeat| repeat.section == section.name) {
            repeat_lines(repeat, messages, &mut lines);
        }
    }
    lines
}

fn repeat_lines(repeat: &Repeat, messages: Messages, lines: &mut Vec<String>) {
    let rows = [("min", repeat.min_rows.into()), ("max", repeat.max_rows.into())];
    lines.push(format!("{}  {}  {}", repeat.name, both(&repeat.label), messages.with("forms-show-rows", &rows)));
    if let Some(relevant) = &repeat.relevant {
        lines.push(format!("    {}", messages.with("forms-show-relevant", &[("rule", relevant.to_string().into())])));
    }
    repeat.fields().iter().for_each(|field| field_lines(field, 2, messages, lines));
}

fn field_lines(field: &Field, indent: usize, messages: Messages, lines: &mut Vec<String>) {
    let margin = " ".repeat(indent);
    let mut marks = vec![type_words(field)];
    let mut mark = |is_so: bool, key: &str| marks.extend(is_so.then(|| messages.text(key)));
    mark(is_required(field), "forms-mark-required");
    mark(field.personal, "forms-mark-personal");
    mark(field.hidden, "forms-mark-hidden");
    if let Some(unit) = &field.unit {
        marks.push(both(unit));
    }
    lines.push(format!("{margin}{}  {}  [{}]", field.name, both(&field.label), marks.join("; ")));
    let mut say = |key: &str, rule: String| {
        lines.push(format!("{margin}    {}", messages.with(key, &[("rule", rule.into())])));
    };
    if let Some(hint) = &field.hint {
        say("forms-show-hint", both(hint));
    }
    if let Some(list) = field.field_type.choices() {
        let shown = list.iter().take(CHOICES_SHOWN).map(|choice| format!("{} {}", choice.id, both(&choice.label)));
        let mut shown: Vec<String> = shown.collect();
        if list.iter().count() > CHOICES_SHOWN {
            shown.push(format!("… ({})", list.iter().count()));
        }
        say("forms-show-choices", shown.join("; "));
    }
    if let Required::When(rule) = &field.required {
        say("forms-show-required-when", rule.to_string());
    }
    if let Some(message) = &field.required_message {
        say("forms-show-message", both(message));
    }
    if let Some(relevant) = &field.relevant {
        say("forms-show-relevant", relevant.to_string());
    }
    match (field.min, field.max) {
        (None, None) => {}
        (min, max) => {
            let bound =
                |bound: Option<qianmo_forms::Decimal>| bound.map_or_else(String::new, |bound| bound.to_string());
            say("forms-show-range", format!("{} … {}", bound(min), bound(max)));
        }
    }
    if let Some(rule) = &field.constraint {
        say("forms-show-constraint", rule.expression.to_string());
        say("forms-show-message", both(&rule.message));
    }
    for rule in &field.warnings {
        say("forms-show-warning", rule.expression.to_string());
        say("forms-show-message", both(&rule.message));
    }
    if !field.indicators.is_empty() {
        say("forms-show-indicators", field.indicators.join(", "));
    }
}

/// The type, and what it is of.
fn type_words(field: &Field) -> String {
    let name = field.field_type.name();
    match &field.field_type {
        FieldType::Text { max_chars } | FieldType::LongText { max_chars } => format!("{name} ≤{max_chars}"),
        FieldType::Decimal { decimals } => format!("{name} .{decimals}"),
        FieldType::Choice(list) | FieldType::Choices(list) | FieldType::Integer { scale: Some(list) } => {
            format!("{name} {}", list.id())
        }
        FieldType::Reference(to) | FieldType::References(to) => format!("{name} {}", to.name()),
        FieldType::Integer { scale: None }
        | FieldType::Latitude
        | FieldType::Longitude
        | FieldType::Accuracy
        | FieldType::Date
        | FieldType::Time
        | FieldType::Boolean => name.to_owned(),
    }
}

pub(super) fn label(label: &Label) -> Json {
    json!({ "zh": label.zh, "en": label.en })
}

/// A form in a list.
pub(super) fn summary(form: &Form) -> Json {
    json!({
        "form": form.id(),
        "version": form.version(),
        "labels": label(form.label()),
        "kind": match form.kind() { FormKind::Record => "record", FormKind::Registry => "registry" },
        "home": match (form.kind(), form.home()) {
            (FormKind::Record, _) => Json::Null,
            (FormKind::Registry, RegistryHome::Station) => "station".into(),
            (FormKind::Registry, RegistryHome::Organisation) => "organisation".into(),
        },
        "fields": count(form, |_| true),
        "required": count(form, is_required),
        "personal": count(form, |field| field.personal),
        "hidden": count(form, |field| field.hidden),
        "repeats": form.repeats().len(),
        "indicators": form.indicators(),
    })
}

fn form_json(form: &Form) -> Json {
    let mut json = summary(form);
    let sections: Vec<Json> = form
        .sections()
        .iter()
        .map(|section| json!({ "name": section.name, "labels": label(&section.label) }))
        .collect();
    let fields: Vec<Json> = form.fields().iter().map(field_json).collect();
    let repeats: Vec<Json> = form.repeats().iter().map(repeat_json).collect();
    if let Json::Object(object) = &mut json {
        object.insert("sections".to_owned(), sections.into());
        object.insert("fields".to_owned(), fields.into());
        object.insert("repeats".to_owned(), repeats.into());
    }
    json
}

fn repeat_json(repeat: &Repeat) -> Json {
    json!({
        "name": repeat.name,
        "section": repeat.section,
        "labels": label(&repeat.label),
        "relevant": repeat.relevant.as_ref().map(ToString::to_string),
        "min_rows": repeat.min_rows,
        "max_rows": repeat.max_rows,
        "fields": repeat.fields().iter().map(field_json).collect::<Vec<Json>>(),
    })
}

/// A field under the keys of its definition; what it does not say is left out.
fn field_json(field: &Field) -> Json {
    let mut json = Map::new();
    let mut say = |key: &str, value: Json| {
        if !value.is_null() {
            json.insert(key.to_owned(), value);
        }
    };
    let text = |text: Option<String>| text.map_or(Json::Null, Json::String);
    let reference = |to: ReferenceKind| Json::from(to.name());
    say("name", field.name.as_str().into());
    say("section", field.section.as_str().into());
    say("type", field.field_type.name().into());
    say("labels", label(&field.label));
    say("hint", field.hint.as_ref().map_or(Json::Null, label));
    say("unit", field.unit.as_ref().map_or(Json::Null, label));
    say("list", text(field.field_type.choices().map(|list| list.id().to_owned())));
    if let FieldType::Reference(to) | FieldType::References(to) = field.field_type {
        say("reference", reference(to));
    }
    say("max_chars", field.field_type.max_chars().map_or(Json::Null, Json::from));
    say("decimals", field.field_type.decimals().map_or(Json::Null, Json::from));
    say("min", text(field.min.map(|min| min.to_string())));
    say("max", text(field.max.map(|max| max.to_string())));
    match &field.required {
        Required::No => {}
        Required::Yes => say("required", true.into()),
        Required::When(rule) => say("required", rule.to_string().into()),
    }
    say("required_message", field.required_message.as_ref().map_or(Json::Null, label));
    say("relevant", text(field.relevant.as_ref().map(ToString::to_string)));
    if let Some(rule) = &field.constraint {
        say("constraint", rule.expression.to_string().into());
        say("constraint_message", label(&rule.message));
    }
    let warning = |rule: &qianmo_forms::definition::Rule| json!({ "when": rule.expression.to_string(), "message": label(&rule.message) });
    if !field.warnings.is_empty() {
        say("warnings", field.warnings.iter().map(warning).collect());
    }
    for (key, is_so) in [("personal", field.personal), ("hidden", field.hidden)] {
        say(key, if is_so { true.into() } else { Json::Null });
    }
    say("suggested_by", text(field.suggested_by.clone()));
    if !field.indicators.is_empty() {
        say("indicators", field.indicators.clone().into());
    }
    Json::Object(json)
}
