//! The same for programs: names and ids instead of words, and nothing left out.

use std::collections::BTreeMap;

use qianmo_client_core::{
    ConflictKind, Delivery, Diagnostics, DraftView, FieldConflict, FieldValue, RecordRow, RecordView, SyncStatus,
    UpdateNeed, Whoami, codes::Explanation,
};
use serde_json::{Map, Value, json};

use super::words::{act_code, delivery_code, review_code};

/// A value as JSON has it.
pub(crate) fn value(kept: &FieldValue) -> Value {
    match kept {
        FieldValue::Null => Value::Null,
        FieldValue::Bool(answer) => json!(answer),
        FieldValue::Int(number) => json!(number),
        FieldValue::Text(text) => json!(text),
    }
}

/// Answers by path.
pub(crate) fn fields(fields: &BTreeMap<String, FieldValue>) -> Value {
    Value::Object(fields.iter().map(|(path, kept)| (path.clone(), value(kept))).collect::<Map<_, _>>())
}

/// A record in a list.
pub(crate) fn row(row: &RecordRow) -> Value {
    json!({
        "record": row.id.to_string(),
        "version": row.version.to_string(),
        "form": row.form,
        "form_version": row.form_version,
        "station": row.station,
        "logbook": row.logbook,
        "author": row.author,
        "created_at_ms": row.created_at_ms,
        "review": review_code(row.review),
        "changed_after_approval": row.changed_after_approval,
        "conflicts": row.conflicts,
        "delivery": delivery_code(row.delivery),
        "held_code": held_code(row.delivery),
        "fields": fields(&row.fields),
    })
}

const fn held_code(delivery: Delivery) -> Option<u16> {
    match delivery {
        Delivery::Held { code } => Some(code),
        Delivery::Waiting | Delivery::Acknowledged | Delivery::BackedUp | Delivery::Elsewhere => None,
    }
}

/// Everything about a record.
pub(crate) fn record(view: &RecordView) -> Value {
    let mut whole = row(&view.row);
    let reviews: Vec<Value> = view
        .reviews
        .iter()
        .map(|event| {
            json!({
                "id": event.id,
                "act": act_code(event.act),
                "person": event.person,
                "recorded_at_ms": event.recorded_at_ms,
                "reasons": event.reasons,
                "note": event.note,
                "field_notes": event.field_notes,
                "counts": event.counts,
                "imported": event.imported,
            })
        })
        .collect();
    let history: Vec<Value> = view
        .history
        .iter()
        .map(|entry| {
            let edit = |(path, before, after): &(String, Option<FieldValue>, FieldValue)| {
                json!({ "path": path, "before": before.as_ref().map(value), "after": value(after) })
            };
            json!({
                "change": entry.change,
                "person": entry.person,
                "recorded_at_ms": entry.recorded_at_ms,
                "device": entry.device,
                "edits": entry.edits.iter().map(edit).collect::<Vec<_>>(),
                "resolved": entry.resolved,
            })
        })
        .collect();
    let explained = |held: &[Explanation]| -> Value {
        held.iter().map(|held| json!({ "code": held.code, "what": held.what.en, "next": held.next.en })).collect()
    };
    if let Value::Object(map) = &mut whole {
        map.insert("open_conflicts".to_owned(), view.conflicts.iter().map(conflict).collect());
        map.insert("reviews".to_owned(), Value::Array(reviews));
        map.insert("history".to_owned(), Value::Array(history));
        map.insert("held".to_owned(), explained(&view.held));
        map.insert("held_here".to_owned(), explained(&view.held_here));
        map.insert("unshown".to_owned(), json!(view.unshown));
    }
    whole
}

fn conflict(conflict: &FieldConflict) -> Value {
    let kind = match conflict.kind {
        ConflictKind::Concurrent => "concurrent",
        ConflictKind::OverwrittenUnseen => "overwritten_unseen",
        ConflictKind::RemovedRowEdited => "removed_row_edited",
    };
    let candidates: Vec<Value> = conflict
        .candidates
        .iter()
        .map(|candidate| {
            json!({
                "change": candidate.change,
                "value": value(&candidate.value),
                "person": candidate.person,
                "recorded_at_ms": candidate.recorded_at_ms,
            })
        })
        .collect();
    json!({ "path": conflict.path.as_str(), "kind": kind, "candidates": candidates })
}

/// A draft.
pub(crate) fn draft(draft: &DraftView) -> Value {
    json!({
        "draft": draft.id.to_string(),
        "recorded_at_ms": draft.recorded_at_ms,
        "form": draft.input.form,
        "station": draft.input.station,
        "record": draft.input.record.map(|record| record.to_string()),
        "held_code": draft.input.held_code,
        "fields": fields(&draft.input.fields),
    })
}

const fn minimum_version(update: UpdateNeed) -> Option<u16> {
    match update {
        UpdateNeed::MinimumVersion { need, .. } => Some(need),
        UpdateNeed::UnknownDecision => None,
    }
}

/// How this device stands.
pub(crate) fn status(status: &SyncStatus, who: Option<&Whoami>, diagnostics: &Diagnostics) -> Value {
    json!({
        "enrolled": status.enrolled,
        "device": who.map(|who| &who.device),
        "organisation": who.map(|who| &who.org_name),
        "station": who.map(|who| &who.station),
        "person": who.and_then(|who| who.person.as_ref()),
        "records": diagnostics.records,
        "drafts": status.drafts,
        "waiting": status.waiting,
        "held": status.held,
        "last_success_ms": status.last_success_ms,
        "last_failure": status.last_failure.as_ref().map(|failure| &failure.detail),
        "halted": status.halted.map(|reason| reason.message().en),
        "must_update": status.update.is_some(),
        "minimum_version": status.update.and_then(minimum_version),
        "copied": status.copied.as_ref().map(|copied| json!({
            "at_ms": copied.at_ms,
            "last_ms": copied.last_ms,
            "theirs_ms": copied.theirs_ms,
            "logbook": copied.logbook,
        })),
        "erased": status.erased.map(|erased| json!({
            "at_ms": erased.at_ms,
            "records": erased.records,
            "drafts": erased.drafts,
            "unsent": erased.unsent,
        })),
        "read_only": diagnostics.read_only,
        "free_bytes": diagnostics.free_bytes,
        "log_bytes": diagnostics.log_bytes,
        "repairs": diagnostics.repairs.iter().map(|repair| json!({
            "kind": repair.kind.code(),
            "detail": repair.detail,
        })).collect::<Vec<_>>(),
        "core_version": diagnostics.core_version,
        "protocol_versions": [diagnostics.protocol_versions.0, diagnostics.protocol_versions.1],
        "hub": diagnostics.hub.as_ref().map(|(hub, epoch)| json!({ "id": hub, "epoch": epoch })),
        "state_digests": diagnostics.state_digests,
    })
}
