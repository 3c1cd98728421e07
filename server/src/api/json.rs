//! Records as programs read them. The words and keys here are promises: they may be added to, never changed.

use serde_json::{Map, Value, json};

use qianmo_forms::Lang;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::record::{FieldConflict, FieldPath};
use qianmo_protocol::review::Standing;
use qianmo_replica::replica::{HistoryView, ReviewView};

use crate::projection::{Mask, Names, ProjectedRecord, conflict_word, state_label};
use crate::web::{Full, Teller, rfc3339};

/// One record as the API and exports tell it.
pub(crate) fn record_json(mask: &Mask, record: &ProjectedRecord) -> Value {
    if record.is_gone {
        return json!({ "id": record.id.to_string(), "gone": true });
    }
    let form = mask.form(&record.form, record.form_version);
    json!({
        "id": record.id.to_string(),
        "gone": false,
        "logbook": record.logbook,
        "station": record.station,
        "month": record.month,
        "form": record.form,
        "form_version": record.form_version,
        "form_label_zh": form.map(|form| form.label().zh.as_str()),
        "form_label_en": form.map(|form| form.label().en.as_str()),
        "author": record.author,
        "created_at": rfc3339(record.created_at),
        "state": record.state,
        "state_zh": state_label(&record.state).0,
        "changed_after_approval": record.changed_after_approval,
        "conflicts": record.conflicts.len(),
        "conflict_list": record.conflicts,
        "heads": record.heads,
        "fields": mask.fields(form, record.fields.clone()),
        "repeats": mask.repeats(form, record.repeats.clone()),
    })
}

/// One record with everything about it.
pub(super) fn full_json(mask: &Mask, names: &Names, full: &Full) -> Value {
    let detail = &full.detail;
    let record = ProjectedRecord::of(&detail.row);
    let teller = Teller::new(mask, names, &record.form, record.form_version);
    let mut told = record_json(mask, &record);
    let list = |values: Vec<Value>| Value::Array(values);
    let rest = [
        ("author_name", json!(teller.person(&record.author))),
        ("station_name", json!(record.station.as_deref().map(|station| teller.station(station)))),
        ("answers", list(answers(&teller, full))),
        ("conflict_list", list(detail.row.conflicts.iter().map(|one| conflict_json(&teller, one)).collect())),
        ("history", list(detail.history.iter().map(|one| history_json(&teller, full, one)).collect())),
        ("reviews", list(detail.reviews.iter().map(|one| review_json(&teller, one)).collect())),
        ("held", list(detail.held.iter().map(|(change, code)| held_json(change, *code)).collect())),
        ("held_here", list(detail.held_here.iter().map(|(change, code)| held_json(change, *code)).collect())),
        ("unshown", list(detail.unshown.iter().map(|change| json!(change.to_string())).collect())),
    ];
    if let Some(told) = told.as_object_mut() {
        told.extend(rest.map(|(name, value)| (name.to_owned(), value)));
    }
    told
}

fn held_json(change: &qianmo_protocol::ids::ChangeHash, code: u16) -> Value {
    json!({ "change": change.to_string(), "code": code })
}

/// Every answer with its label and unit: in the order of the form, then what the form does not know.
fn answers(teller: &Teller<'_>, full: &Full) -> Vec<Value> {
    let fields = &full.detail.row.view.fields;
    let known: Vec<&str> =
        teller.form().into_iter().flat_map(|form| form.fields()).map(|field| field.name.as_str()).collect();
    let unknown = fields.keys().map(String::as_str).filter(|name| !known.contains(name));
    let answer = |name: &str| {
        let path = FieldPath::Field(name.to_owned());
        let mut told = value_json(teller, &path, fields.get(name)?);
        told.insert("name".to_owned(), json!(name));
        Some(Value::Object(told))
    };
    known.iter().copied().chain(unknown).filter_map(answer).collect()
}

/// A value with its label and unit, as programs and as people read it.
fn value_json(teller: &Teller<'_>, path: &FieldPath, value: &Scalar) -> Map<String, Value> {
    let mut told = label_json(teller, path);
    told.insert("value".to_owned(), teller.json(path, value));
    told.insert("text_zh".to_owned(), json!(teller.text(path, value, Lang::Zh)));
    told.insert("text_en".to_owned(), json!(teller.text(path, value, Lang::En)));
    told
}

fn label_json(teller: &Teller<'_>, path: &FieldPath) -> Map<String, Value> {
    [
        ("label_zh", json!(teller.label(path, Lang::Zh))),
        ("label_en", json!(teller.label(path, Lang::En))),
        ("unit_zh", json!(teller.unit(path, Lang::Zh))),
        ("unit_en", json!(teller.unit(path, Lang::En))),
        ("masked", json!(teller.is_masked(path))),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}

fn conflict_json(teller: &Teller<'_>, conflict: &FieldConflict) -> Value {
    let path = &conflict.path;
    let candidates: Vec<Value> = conflict
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "value": teller.json(path, &candidate.value),
                "text_zh": teller.text(path, &candidate.value, Lang::Zh),
                "text_en": teller.text(path, &candidate.value, Lang::En),
                "person": candidate.person.as_ref().map(ToString::to_string),
                "time": rfc3339(candidate.time.0),
                "change": candidate.change.to_string(),
            })
        })
        .collect();
    let mut told = label_json(teller, path);
    told.insert("path".to_owned(), json!(path.to_string()));
    told.insert("kind".to_owned(), json!(conflict_word(conflict.kind)));
    told.insert("candidates".to_owned(), Value::Array(candidates));
    Value::Object(told)
}

fn history_json(teller: &Teller<'_>, full: &Full, history: &HistoryView) -> Value {
    let story = &history.story;
    let edits: Vec<Value> = story
        .edits
        .iter()
        .map(|edit| {
            json!({
                "path": edit.path.to_string(),
                "label_zh": teller.label(&edit.path, Lang::Zh),
                "label_en": teller.label(&edit.path, Lang::En),
                "before": edit.before.as_ref().map(|value| teller.json(&edit.path, value)),
                "after": teller.json(&edit.path, &edit.after),
            })
        })
        .collect();
    json!({
        "change": story.hash.to_string(),
        "person": story.person.as_ref().map(ToString::to_string),
        "device": history.device.map(|device| device.to_string()),
        "device_label": history.device.and_then(|device| full.devices.get(&device)),
        "time": rfc3339(story.time.0),
        "edits": edits,
        "resolved": story.resolved.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn review_json(teller: &Teller<'_>, review: &ReviewView) -> Value {
    let event = &review.event;
    let notes: Vec<Value> = event
        .field_notes
        .iter()
        .map(|(path, note)| {
            json!({
                "path": path.to_string(),
                "label_zh": teller.label(path, Lang::Zh),
                "label_en": teller.label(path, Lang::En),
                "note": teller.mask().note(note),
            })
        })
        .collect();
    json!({
        "id": review.id.to_string(),
        "kind": event.kind.word(),
        "person": event.person.to_string(),
        "time": rfc3339(event.time.0),
        "reasons": event.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "note": teller.mask().note(&event.note),
        "field_notes": notes,
        "imported": event.provenance == qianmo_protocol::review::Provenance::Imported,
        "standing": standing_word(review.standing),
    })
}

const fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Admitted => "counts",
        Standing::ErasedOrHeld => "held",
        Standing::HeldForRole | Standing::Excluded => "without_effect",
    }
}
