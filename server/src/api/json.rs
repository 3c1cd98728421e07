//! The JSON that dashboards and scripts pull.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use qianmo_forms::Form;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::record::{Candidate, FieldPath};
use qianmo_protocol::review::Standing;
use qianmo_replica::replica::{HistoryView, RecordDetail, ReviewView};

use super::text::rfc3339;
use super::{WebError, WebState};
use crate::projection::{FeedCursor, Filter, Mask, ProjectedRecord, Reader, conflict_word, scalar_json, state_word};

/// Records of a page when nobody says how many.
const LIMIT_DEFAULT: usize = 100;

/// What may be asked of a list of records.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    station: Option<String>,
    month: Option<String>,
    form: Option<String>,
    state: Option<String>,
    conflicts: Option<bool>,
    limit: Option<usize>,
    cursor: Option<String>,
}

pub(super) async fn records(
    State(state): State<WebState>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<Value>, WebError> {
    let Query(query) =
        query.map_err(|_| WebError::BadRequest("use station, month, form, state, conflicts, limit and cursor"))?;
    let cursor = query
        .cursor
        .as_deref()
        .map(|text| FeedCursor::decode(text).ok_or(WebError::BadRequest("the cursor is not one this hub gave out")));
    let cursor = cursor.transpose()?;
    let filter = Filter {
        station: query.station,
        month: query.month,
        form: query.form,
        state: query.state,
        only_conflicts: query.conflicts.unwrap_or(false),
    };
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    let feed = state.read(move |reader| reader.feed(&filter, cursor, limit)).await?.ok_or(WebError::CursorGone)?;
    let mask = &state.shared.mask;
    let records: Vec<Value> = feed.records.iter().map(|record| record_json(mask, record)).collect();
    Ok(Json(json!({ "records": records, "cursor": feed.next.encode(), "has_more": feed.has_more })))
}

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
        "author": record.author,
        "created_at": rfc3339(record.created_at),
        "state": record.state,
        "changed_after_approval": record.changed_after_approval,
        "conflicts": record.conflicts,
        "version": record.heads,
        "fields": mask.fields(form, record.fields.clone()),
        "repeats": mask.repeats(form, record.repeats.clone()),
    })
}

pub(super) fn parse_id(text: &str) -> Result<DocId, WebError> {
    DocId::from_hex(text).ok_or(WebError::NotFound)
}

/// One record with everything about it, from the hub itself.
pub(super) async fn detail(state: &WebState, id: DocId) -> Result<RecordDetail, WebError> {
    let read = state.ask(move |core| core.replica().record(&id)).await?;
    let read = read.map_err(|error| {
        tracing::error!(error = &error as &dyn core::error::Error, "a record could not be read");
        WebError::Internal
    })?;
    read.ok_or(WebError::NotFound)
}

pub(super) async fn record(State(state): State<WebState>, Path(id): Path<String>) -> Result<Json<Value>, WebError> {
    let detail = detail(&state, parse_id(&id)?).await?;
    let mask = &state.shared.mask;
    let projected = ProjectedRecord::of(&detail.row);
    let form = mask.form(&projected.form, projected.form_version);
    let mut record = record_json(mask, &projected);
    let conflicts: Vec<Value> = detail
        .row
        .conflicts
        .iter()
        .map(|conflict| {
            let candidates: Vec<Value> =
                conflict.candidates.iter().map(|one| candidate_json(mask, form, &conflict.path, one)).collect();
            json!({
                "path": conflict.path.to_string(),
                "kind": conflict_word(conflict.kind),
                "candidates": candidates,
            })
        })
        .collect();
    if let Some(record) = record.as_object_mut() {
        let history: Vec<Value> = detail.history.iter().map(|one| history_json(mask, form, one)).collect();
        let reviews: Vec<Value> = detail.reviews.iter().map(|one| review_json(mask, one)).collect();
        let held: Vec<Value> =
            detail.held.iter().map(|(change, code)| json!({ "change": change.to_string(), "code": code })).collect();
        record.insert("conflicts".to_owned(), Value::Array(conflicts));
        record.insert("history".to_owned(), Value::Array(history));
        record.insert("reviews".to_owned(), Value::Array(reviews));
        record.insert("held".to_owned(), Value::Array(held));
        record.insert("review_state".to_owned(), json!(state_word(detail.row.review.status)));
    }
    Ok(Json(record))
}

fn candidate_json(mask: &Mask, form: Option<&Form>, path: &FieldPath, candidate: &Candidate) -> Value {
    json!({
        "value": mask.value(form, path, scalar_json(&candidate.value)),
        "person": candidate.person.as_ref().map(ToString::to_string),
        "time": rfc3339(candidate.time.0),
        "change": candidate.change.to_string(),
    })
}

fn history_json(mask: &Mask, form: Option<&Form>, history: &HistoryView) -> Value {
    let story = &history.story;
    let edits: Vec<Value> = story
        .edits
        .iter()
        .map(|edit| {
            let before = edit.before.as_ref().map(|value| mask.value(form, &edit.path, scalar_json(value)));
            let after = mask.value(form, &edit.path, scalar_json(&edit.after));
            json!({ "path": edit.path.to_string(), "before": before, "after": after })
        })
        .collect();
    json!({
        "change": story.hash.to_string(),
        "person": story.person.as_ref().map(ToString::to_string),
        "device": history.device.map(|device| device.to_string()),
        "time": rfc3339(story.time.0),
        "edits": edits,
        "resolved": story.resolved.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn review_json(mask: &Mask, review: &ReviewView) -> Value {
    let event = &review.event;
    json!({
        "id": review.id.to_string(),
        "kind": event.kind.word(),
        "person": event.person.to_string(),
        "time": rfc3339(event.time.0),
        "reasons": event.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "note": mask.note(&event.note),
        "field_notes": event
            .field_notes
            .iter()
            .map(|(path, note)| json!({ "path": path.to_string(), "note": mask.note(note) }))
            .collect::<Vec<_>>(),
        "standing": standing_word(review.standing),
    })
}

pub(super) const fn standing_word(standing: Standing) -> &'static str {
    match standing {
        Standing::Admitted => "counts",
        Standing::ErasedOrHeld => "held",
        Standing::HeldForRole => "without-effect",
    }
}

pub(super) async fn conflicts(State(state): State<WebState>) -> Result<Json<Value>, WebError> {
    let conflicts = state.read(Reader::conflicts).await?;
    let conflicts: Vec<Value> = conflicts
        .into_iter()
        .map(|conflict| {
            json!({
                "record": conflict.record.to_string(),
                "path": conflict.path,
                "kind": conflict.kind,
                "candidates": conflict.candidates,
            })
        })
        .collect();
    Ok(Json(json!({ "conflicts": conflicts })))
}

pub(super) async fn logbooks(State(state): State<WebState>) -> Result<Json<Value>, WebError> {
    use qianmo_protocol::session::Shelf as _;
    let logbooks = state
        .ask(|core| {
            let replica = core.replica();
            let row = |(name, digest): (qianmo_protocol::ids::LogbookName, qianmo_protocol::digest::StateDigest)| {
                let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
                json!({
                    "logbook": name.to_string(),
                    "tips": replica.vector(&name).0.len(),
                    "vector_digest": hex(&replica.vector_digest(&name)),
                    "state_digest": hex(&digest.to_bytes()),
                })
            };
            let rows: Vec<Value> = replica.state_digests().into_iter().map(row).collect();
            json!({
                "epoch": core.epoch().to_string(),
                "commit": replica.durable_commit().0,
                "watermark": core.watermark(),
                "logbooks": rows,
            })
        })
        .await?;
    Ok(Json(logbooks))
}
