//! The pages: a list of records with filters, and one record with its history, conflicts and reviews.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use serde::Deserialize;

use qianmo_forms::{Form, Lang, Value as FormValue};
use qianmo_protocol::record::FieldPath;
use qianmo_replica::replica::{RecordDetail, ReviewView};

use super::json::{detail, parse_id};
use super::text::{minute, shown};
use super::{WebError, WebState};
use crate::projection::{Filter, ListCursor, Mask, ProjectedRecord, Totals, conflict_word, scalar_json, state_label};

/// Records on one page.
const PAGE_RECORDS: usize = 50;
/// Characters of a record's first text in a list.
const SUMMARY_CHARS: usize = 60;

const STATES: [&str; 7] = ["unsubmitted", "pending", "approved", "returned", "withdrawn", "disagreed", "unsettled"];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IndexQuery {
    station: String,
    month: String,
    state: String,
    conflicts: String,
    cursor: String,
}

#[derive(Template)]
#[template(path = "index.html")]
struct IndexPage {
    organisation: String,
    totals: Totals,
    stations: Vec<Choice>,
    months: Vec<Choice>,
    states: Vec<Choice>,
    only_conflicts: bool,
    rows: Vec<IndexRow>,
    next: Option<String>,
}

struct Choice {
    value: String,
    label: String,
    selected: bool,
}

struct IndexRow {
    id: String,
    created: String,
    station: String,
    form: String,
    author: String,
    summary: String,
    state: Badge,
    conflicts: u32,
}

/// A review state as both pages show it.
struct Badge {
    word: String,
    zh: &'static str,
    en: &'static str,
    changed: bool,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    organisation: String,
    id: String,
    title: String,
    logbook: String,
    author: String,
    created: String,
    state: Badge,
    conflicts: Vec<ConflictBlock>,
    fields: Vec<FieldLine>,
    rows: Vec<RowBlock>,
    reviews: Vec<ReviewLine>,
    history: Vec<HistoryBlock>,
    held: Vec<u16>,
}

struct FieldLine {
    label: String,
    value: String,
}

struct RowBlock {
    title: String,
    removed: bool,
    cells: Vec<FieldLine>,
}

struct ConflictBlock {
    label: String,
    kind: &'static str,
    candidates: Vec<CandidateLine>,
}

struct CandidateLine {
    value: String,
    person: String,
    time: String,
}

struct ReviewLine {
    kind: &'static str,
    person: String,
    time: String,
    note: String,
    counts: bool,
}

struct HistoryBlock {
    person: String,
    device: String,
    time: String,
    resolved: bool,
    edits: Vec<EditLine>,
}

struct EditLine {
    label: String,
    before: String,
    after: String,
}

fn badge_of(word: &str, changed: bool) -> Badge {
    let (zh, en) = state_label(word);
    Badge { word: word.to_owned(), zh, en, changed }
}

fn page(template: &impl Template) -> Result<Response, WebError> {
    let html = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        WebError::Internal
    })?;
    Ok(Html(html).into_response())
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

pub(super) async fn index(
    State(state): State<WebState>,
    query: Result<Query<IndexQuery>, QueryRejection>,
) -> Result<Response, WebError> {
    let Query(query) = query.map_err(|_| WebError::BadRequest("unknown filter"))?;
    let cursor = match query.cursor.as_str() {
        "" => None,
        text => Some(ListCursor::decode(text).ok_or(WebError::BadRequest("unknown page"))?),
    };
    let filter = Filter {
        station: some(&query.station),
        month: some(&query.month),
        form: None,
        state: some(&query.state),
        only_conflicts: !query.conflicts.is_empty(),
    };
    let wanted = filter.clone();
    let (totals, places, list) = state
        .read(move |reader| Ok((reader.totals()?, reader.places()?, reader.newest(&wanted, cursor, PAGE_RECORDS)?)))
        .await?;
    let mask = &state.shared.mask;
    let (stations, months) = places;
    let next = list.next.map(|cursor| next_address(&query, &cursor));
    page(&IndexPage {
        organisation: state.shared.organisation.clone(),
        totals,
        stations: stations.into_iter().map(|value| choice(value, &query.station)).collect(),
        months: months.into_iter().map(|value| choice(value, &query.month)).collect(),
        states: STATES.into_iter().map(|word| state_choice(word, &query.state)).collect(),
        only_conflicts: filter.only_conflicts,
        rows: list.records.iter().map(|record| index_row(mask, record)).collect(),
        next,
    })
}

fn choice(value: String, selected: &str) -> Choice {
    Choice { label: value.clone(), selected: value == selected, value }
}

fn state_choice(word: &str, selected: &str) -> Choice {
    let (zh, en) = state_label(word);
    Choice { value: word.to_owned(), label: format!("{zh} {en}"), selected: word == selected }
}

/// Only characters that need no escaping in an address come out of these; others are left out.
fn next_address(query: &IndexQuery, cursor: &ListCursor) -> String {
    let plain = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')).collect()
    };
    let mut address = format!("/?cursor={}", cursor.encode());
    for (name, value) in
        [("station", &query.station), ("month", &query.month), ("state", &query.state), ("conflicts", &query.conflicts)]
    {
        if !value.is_empty() {
            address.push_str(&format!("&{name}={}", plain(value)));
        }
    }
    address
}

fn index_row(mask: &Mask, record: &ProjectedRecord) -> IndexRow {
    let form = mask.form(&record.form, record.form_version);
    IndexRow {
        id: record.id.to_string(),
        created: minute(record.created_at),
        station: record.station.clone().unwrap_or_default(),
        form: form_name(form, &record.form),
        author: record.author.clone(),
        summary: summary(mask, form, record),
        state: badge_of(&record.state, record.changed_after_approval),
        conflicts: record.conflicts,
    }
}

fn form_name(form: Option<&Form>, code: &str) -> String {
    form.map_or_else(|| code.to_owned(), |form| form.label().zh.clone())
}

/// The first long text of a record, as it may be shown.
fn summary(mask: &Mask, form: Option<&Form>, record: &ProjectedRecord) -> String {
    let fields = mask.fields(form, record.fields.clone());
    let texts = fields.as_object().into_iter().flat_map(|fields| fields.values());
    let longest = texts.filter_map(serde_json::Value::as_str).max_by_key(|text| text.chars().count());
    let text = longest.unwrap_or_default();
    let mut short: String = text.chars().take(SUMMARY_CHARS).collect();
    if text.chars().count() > SUMMARY_CHARS {
        short.push('…');
    }
    short
}

pub(super) async fn record(State(state): State<WebState>, Path(id): Path<String>) -> Response {
    let answered = async {
        let detail = detail(&state, parse_id(&id)?).await?;
        page(&record_page(&state, &detail))
    };
    match answered.await {
        Ok(response) => response,
        Err(WebError::NotFound) => {
            (StatusCode::NOT_FOUND, Html("<!doctype html><meta charset=utf-8><p>没有这条记录 no such record"))
                .into_response()
        }
        Err(error) => error.into_response(),
    }
}

fn record_page(state: &WebState, detail: &RecordDetail) -> RecordPage {
    let mask = &state.shared.mask;
    let row = &detail.row;
    let record = ProjectedRecord::of(row);
    let form = mask.form(&record.form, record.form_version);
    let show = Shown { mask, form };
    RecordPage {
        organisation: state.shared.organisation.clone(),
        id: record.id.to_string(),
        title: form_name(form, &record.form),
        logbook: record.logbook.clone(),
        author: record.author.clone(),
        created: minute(record.created_at),
        state: badge_of(&record.state, record.changed_after_approval),
        conflicts: row.conflicts.iter().map(|conflict| show.conflict(conflict)).collect(),
        fields: show.fields(row),
        rows: show.rows(row),
        reviews: detail.reviews.iter().map(|review| review_line(mask, review)).collect(),
        history: detail.history.iter().rev().map(|history| show.history(history)).collect(),
        held: detail.held.iter().map(|(_, code)| *code).collect(),
    }
}

fn review_line(mask: &Mask, review: &ReviewView) -> ReviewLine {
    use qianmo_protocol::review::{ReviewKind, Standing};
    let event = &review.event;
    ReviewLine {
        kind: match event.kind {
            ReviewKind::Submit => "提交 submitted",
            ReviewKind::Approve => "通过 approved",
            ReviewKind::Return => "退回 returned",
            ReviewKind::Reopen => "重开 reopened",
            ReviewKind::Withdraw => "撤回 withdrawn",
            ReviewKind::Comment => "意见 comment",
        },
        person: event.person.to_string(),
        time: minute(event.time.0),
        note: mask.note(&event.note),
        counts: review.standing == Standing::Admitted,
    }
}

/// What of a record may be shown, and how it is called.
struct Shown<'a> {
    mask: &'a Mask,
    form: Option<&'a Form>,
}

impl Shown<'_> {
    fn label(&self, path: &FieldPath) -> String {
        let field = self.form.and_then(|form| match path {
            FieldPath::Field(name) => form.field(name),
            FieldPath::Row { repeat, name, .. } => form.repeats().iter().find(|r| r.name == *repeat)?.field(name),
        });
        field.map_or_else(|| path.to_string(), |field| field.label.zh.clone())
    }

    fn value(&self, path: &FieldPath, scalar: &qianmo_protocol::change::Scalar) -> String {
        let json = self.mask.value(self.form, path, scalar_json(scalar));
        let field = self.form.and_then(|form| match path {
            FieldPath::Field(name) => form.field(name),
            FieldPath::Row { repeat, name, .. } => form.repeats().iter().find(|r| r.name == *repeat)?.field(name),
        });
        let is_hidden = field.is_some_and(|field| field.personal);
        let stored = match &json {
            serde_json::Value::Bool(value) => Some(qianmo_forms::Scalar::Bool(*value)),
            serde_json::Value::Number(value) => value.as_i64().map(qianmo_forms::Scalar::Int),
            serde_json::Value::String(text) => Some(qianmo_forms::Scalar::Text(text.clone())),
            serde_json::Value::Null | serde_json::Value::Array(_) | serde_json::Value::Object(_) => None,
        };
        let read = match (field, stored) {
            (Some(field), Some(stored)) if !is_hidden => {
                FormValue::from_scalar(field, &stored).ok().map(|value| value.display(field, Lang::Zh))
            }
            (Some(_) | None, _) => None,
        };
        read.unwrap_or_else(|| shown(&json))
    }

    fn fields(&self, row: &qianmo_replica::replica::RecordRow) -> Vec<FieldLine> {
        let lines = row.view.fields.iter().map(|(name, value)| {
            let path = FieldPath::Field(name.clone());
            FieldLine { label: self.label(&path), value: self.value(&path, value) }
        });
        lines.collect()
    }

    fn rows(&self, row: &qianmo_replica::replica::RecordRow) -> Vec<RowBlock> {
        let mut blocks = Vec::new();
        for (repeat, rows) in &row.view.repeats {
            let known = self.form.and_then(|form| form.repeats().iter().find(|known| known.name == *repeat));
            let title = known.map_or_else(|| repeat.clone(), |known| known.label.zh.clone());
            for (key, view) in rows {
                let cells = view.cells.iter().map(|(name, value)| {
                    let path = FieldPath::Row { repeat: repeat.clone(), row: *key, name: name.clone() };
                    FieldLine { label: self.label(&path), value: self.value(&path, value) }
                });
                blocks.push(RowBlock { title: title.clone(), removed: view.removed, cells: cells.collect() });
            }
        }
        blocks
    }

    fn conflict(&self, conflict: &qianmo_protocol::record::FieldConflict) -> ConflictBlock {
        let candidates = conflict.candidates.iter().map(|candidate| CandidateLine {
            value: self.value(&conflict.path, &candidate.value),
            person: candidate.person.as_ref().map(ToString::to_string).unwrap_or_default(),
            time: minute(candidate.time.0),
        });
        ConflictBlock {
            label: self.label(&conflict.path),
            kind: match conflict_word(conflict.kind) {
                "concurrent" => "同时填写 written at the same time",
                "overwritten-unseen" => "未看到就改写 written over unseen",
                _ => "删除的行又被填写 removed row was edited",
            },
            candidates: candidates.collect(),
        }
    }

    fn history(&self, history: &qianmo_replica::replica::HistoryView) -> HistoryBlock {
        let story = &history.story;
        let edits = story.edits.iter().map(|edit| EditLine {
            label: self.label(&edit.path),
            before: edit.before.as_ref().map_or_else(|| "—".to_owned(), |value| self.value(&edit.path, value)),
            after: self.value(&edit.path, &edit.after),
        });
        HistoryBlock {
            person: story.person.as_ref().map(ToString::to_string).unwrap_or_default(),
            device: history.device.map(|device| device.to_string()).unwrap_or_default(),
            time: minute(story.time.0),
            resolved: story.is_resolve(),
            edits: edits.collect(),
        }
    }
}
