//! One record: what it says, where it is, what was said of it, what became of it; and what its author can do.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use qianmo_client_core::{
    ConflictChoice, ConflictKind, DraftInput, FieldValue, Keep, RecordId, RecordVersion, RecordView, ReviewAct,
    ReviewNotes, ReviewStatus, WriteError,
};
use qianmo_forms::{ChoiceLists, Field, FieldType, Form, Lang, ReferenceKind};

use super::desk::{Chrome, Desk, Place};
use super::fill::label_of;
use super::pick::called;
use super::words::{Badge, badges};
use crate::answers;
use crate::clock;
use crate::render::record::path_label;
use crate::render::words;

/// The list of reasons a record is sent back for.
const REASONS: &str = "return_reason";

/// What a reason is called.
pub(super) fn reason(code: &str, lang: Lang) -> String {
    let lists = ChoiceLists::built_in().ok();
    let label = lists.as_ref().and_then(|lists| lists.get(REASONS)?.get(code)).map(|reason| reason.label.get(lang));
    label.unwrap_or(code).to_owned()
}

/// A stored answer as a person reads it, with names for codes.
pub(super) fn said(desk: &Desk, field: Option<&Field>, value: &FieldValue) -> String {
    if let (Some(FieldType::Reference(kind) | FieldType::References(kind)), FieldValue::Text(codes)) =
        (field.map(|field| &field.field_type), value)
    {
        return codes.split_whitespace().map(|code| called(desk, *kind, code)).collect::<Vec<_>>().join("、");
    }
    answers::display(field, value, desk.lang())
}

struct Answer {
    label: String,
    text: String,
    is_long: bool,
    in_conflict: bool,
    notes: Vec<String>,
}

struct Section {
    label: String,
    answers: Vec<Answer>,
}

struct Side {
    change: String,
    text: String,
    who: String,
    time: String,
    is_shown: bool,
}

struct Conflict {
    path: String,
    version: String,
    label: String,
    kind: String,
    sides: Vec<Side>,
}

struct Word {
    class: &'static str,
    act: String,
    who: String,
    time: String,
    reasons: Vec<String>,
    note: String,
    notes: Vec<(String, String)>,
    counts: bool,
}

struct Chapter {
    who: String,
    time: String,
    device: String,
    edits: Vec<(String, Option<String>, String)>,
    resolved: Vec<String>,
    is_first: bool,
}

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    chrome: Chrome,
    id: String,
    title: String,
    date: String,
    badges: Vec<Badge>,
    next: String,
    done: Option<String>,
    held: Vec<(String, String)>,
    unshown: usize,
    conflicts: Vec<Conflict>,
    sections: Vec<Section>,
    words: Vec<Word>,
    story: Vec<Chapter>,
    version: String,
    may_edit: bool,
    is_returned: bool,
    is_unsubmitted: bool,
    target: Option<(String, String)>,
}

fn form_of<'d>(desk: &'d Desk, view: &RecordView) -> Option<&'d Form> {
    desk.forms.for_record(&view.row.form, view.row.form_version)
}

fn find(desk: &Desk, id: &str) -> Result<RecordView, Box<Response>> {
    let none = || {
        Box::new(desk.problem(StatusCode::NOT_FOUND, "ui-no-record", vec![desk.messages().text("ui-no-record-next")]))
    };
    let id: RecordId = id.parse().map_err(|_| none())?;
    desk.client.record(id).map_err(|error| Box::new(desk.unread(&error)))?.ok_or_else(none)
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    if let Err(response) = desk.filled().await {
        return *response;
    }
    match find(&desk, &id) {
        Ok(view) => desk.show(&page_of(&desk, &view, &asked)),
        Err(response) => *response,
    }
}

fn page_of(desk: &Desk, view: &RecordView, asked: &BTreeMap<String, String>) -> RecordPage {
    let (chrome, lang) = (desk.chrome(Place::Records), desk.lang());
    let (m, row) = (chrome.m, &view.row);
    let form = form_of(desk, view);
    let person = |code: Option<&str>| {
        code.map_or_else(|| m.text("show-nobody"), |code| called(desk, ReferenceKind::Person, code))
    };
    let done = ["saved", "settled", "said", "submitted"].into_iter().find(|done| asked.contains_key(*done));
    let done = done.map(|done| match done {
        "settled" => m.text("ui-done-settled"),
        "said" => m.text("ui-done-said"),
        "submitted" => m.text("ui-done-submitted"),
        _ => m.text("ui-done-saved"),
    });
    let explained = view.held.iter().chain(&view.held_here);
    let target = match row.fields.get("target_id") {
        Some(FieldValue::Text(code)) if !code.is_empty() => {
            Some((desk.at(&format!("/targets/{code}")), called(desk, ReferenceKind::Target, code)))
        }
        _ => None,
    };
    RecordPage {
        id: row.id.to_string(),
        title: label_of(&desk.forms, &row.form, lang),
        date: clock::show(row.created_at_ms),
        badges: badges(row, m),
        next: words::delivery_next(row.delivery, m),
        done,
        held: explained.map(|held| (held.what.get(lang).to_owned(), held.next.get(lang).to_owned())).collect(),
        unshown: view.unshown,
        conflicts: conflicts(desk, view, form, &person),
        sections: sections(desk, view, form),
        words: spoken(desk, view, form, &person),
        story: story(desk, view, form, &person),
        version: row.version.to_string(),
        may_edit: form.is_some(),
        is_returned: row.review == ReviewStatus::Returned,
        is_unsubmitted: row.review == ReviewStatus::Unsubmitted,
        target,
        chrome,
    }
}

fn conflicts(
    desk: &Desk,
    view: &RecordView,
    form: Option<&Form>,
    person: &dyn Fn(Option<&str>) -> String,
) -> Vec<Conflict> {
    let m = desk.messages();
    let one = |conflict: &qianmo_client_core::FieldConflict| {
        let path = conflict.path.as_str();
        let field = form.and_then(|form| form.field_at(path));
        let shown = view.row.fields.get(path);
        let kind = match conflict.kind {
            ConflictKind::Concurrent => "conflict-concurrent",
            ConflictKind::OverwrittenUnseen => "conflict-overwritten",
            ConflictKind::RemovedRowEdited => "conflict-removed-row",
        };
        let side = |candidate: &qianmo_client_core::Candidate| Side {
            change: candidate.change.clone(),
            text: said(desk, field, &candidate.value),
            who: person(candidate.person.as_deref()),
            time: clock::show(candidate.recorded_at_ms),
            is_shown: shown == Some(&candidate.value),
        };
        Conflict {
            path: path.to_owned(),
            version: conflict.version.to_string(),
            label: path_label(form, path, m),
            kind: m.text(kind),
            sides: conflict.candidates.iter().map(side).collect(),
        }
    };
    view.conflicts.iter().map(one).collect()
}

fn sections(desk: &Desk, view: &RecordView, form: Option<&Form>) -> Vec<Section> {
    let (m, lang) = (desk.messages(), desk.lang());
    let mut notes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for event in view.reviews.iter().filter(|event| event.counts) {
        for (path, note) in &event.field_notes {
            let who = called(desk, ReferenceKind::Person, &event.person);
            notes.entry(path).or_default().push(format!("{who}: {note}"));
        }
    }
    let fields = &view.row.fields;
    let is_removed = |path: &str| {
        path.rsplit_once('/')
            .is_some_and(|(row, _)| fields.get(&format!("{row}/{}", answers::REMOVED)) == Some(&FieldValue::Bool(true)))
    };
    let answer = |path: &str, value: &FieldValue| {
        let field = form.and_then(|form| form.field_at(path));
        let text = said(desk, field, value);
        Answer {
            label: path_label(form, path, m),
            is_long: matches!(field.map(|field| &field.field_type), Some(FieldType::LongText { .. })),
            in_conflict: view.conflicts.iter().any(|conflict| conflict.path.as_str() == path),
            notes: notes.get(path).cloned().unwrap_or_default(),
            text,
        }
    };
    let is_shown = |path: &str, value: &FieldValue| {
        (!value.is_null() && !is_removed(path)) || view.conflicts.iter().any(|one| one.path.as_str() == path)
    };
    let Some(form) = form else {
        let all = fields.iter().filter(|(path, value)| is_shown(path, value));
        return vec![Section { label: String::new(), answers: all.map(|(path, value)| answer(path, value)).collect() }];
    };
    let mut sections = Vec::new();
    for section in form.sections() {
        let mut answers: Vec<Answer> = form
            .fields_in(&section.name)
            .filter(|field| !field.hidden)
            .filter_map(|field| {
                let value = fields.get(&field.name)?;
                is_shown(&field.name, value).then(|| answer(&field.name, value))
            })
            .collect();
        for repeat in form.repeats().iter().filter(|repeat| repeat.section == section.name) {
            let prefix = format!("{}/", repeat.name);
            let rows = fields.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
            let rows = rows.filter(|(path, value)| !path.ends_with(answers::REMOVED) && is_shown(path, value));
            answers.extend(rows.map(|(path, value)| answer(path, value)));
        }
        if !answers.is_empty() {
            sections.push(Section { label: section.label.get(lang).to_owned(), answers });
        }
    }
    sections
}

fn spoken(desk: &Desk, view: &RecordView, form: Option<&Form>, person: &dyn Fn(Option<&str>) -> String) -> Vec<Word> {
    let (m, lang) = (desk.messages(), desk.lang());
    let word = |event: &qianmo_client_core::ReviewView| Word {
        class: match event.act {
            ReviewAct::Approve => "good",
            ReviewAct::Return => "bad",
            ReviewAct::Submit | ReviewAct::Reopen => "wait",
            ReviewAct::Withdraw | ReviewAct::Comment => "plain",
        },
        act: words::act(event.act, m),
        who: person(Some(&event.person)),
        time: clock::show(event.recorded_at_ms),
        reasons: event.reasons.iter().map(|code| reason(code, lang)).collect(),
        note: event.note.clone(),
        notes: event.field_notes.iter().map(|(path, note)| (path_label(form, path, m), note.clone())).collect(),
        counts: event.counts,
    };
    view.reviews.iter().rev().map(word).collect()
}

fn story(desk: &Desk, view: &RecordView, form: Option<&Form>, person: &dyn Fn(Option<&str>) -> String) -> Vec<Chapter> {
    let m = desk.messages();
    let value = |path: &str, value: &FieldValue| {
        let text = said(desk, form.and_then(|form| form.field_at(path)), value);
        if text.is_empty() { m.text("show-empty") } else { text }
    };
    let chapter = |(number, entry): (usize, &qianmo_client_core::HistoryEntry)| Chapter {
        who: person(entry.person.as_deref()),
        time: clock::show(entry.recorded_at_ms),
        device: entry.device.as_deref().map_or_else(|| m.text("show-this-device"), |id| words::short(id).to_owned()),
        edits: entry
            .edits
            .iter()
            .map(|(path, before, after)| {
                let before = before.as_ref().filter(|before| !before.is_null()).map(|before| value(path, before));
                (path_label(form, path, m), before, value(path, after))
            })
            .collect(),
        resolved: entry.resolved.iter().map(|path| path_label(form, path, m)).collect(),
        is_first: number == 0,
    };
    let mut chapters: Vec<Chapter> = view.history.iter().enumerate().map(chapter).collect();
    chapters.reverse();
    chapters
}

/// Opens the record in its form, at the version that was shown.
#[derive(Debug, serde::Deserialize)]
pub(super) struct Versioned {
    version: String,
    #[serde(default)]
    note: String,
}

fn version(desk: &Desk, text: &str) -> Result<RecordVersion, Box<Response>> {
    text.parse().map_err(|_| {
        Box::new(desk.problem(StatusCode::BAD_REQUEST, "error-version", vec![desk.messages().text("next-version")]))
    })
}

pub(super) async fn edit(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Posted(posted): Posted<Versioned>,
) -> Response {
    let (view, version) = match (find(&desk, &id), version(&desk, &posted.version)) {
        (Ok(view), Ok(version)) => (view, version),
        (Err(response), _) | (_, Err(response)) => return *response,
    };
    // Whoever began to edit goes on with that, and loses nothing of it.
    let begun = super::fill::drafts(&desk).into_iter().find(|draft| draft.input.record == Some(view.row.id));
    let draft = match begun {
        Some(draft) => draft.id,
        None => {
            let draft = desk.client.new_draft();
            let input = DraftInput {
                form: view.row.form.clone(),
                record: Some(view.row.id),
                version: Some(version),
                ..DraftInput::default()
            };
            if let Err(error) = desk.client.save_draft(draft, input).await {
                return desk.refused(&error);
            }
            draft
        }
    };
    desk.go(&format!("/drafts/{draft}"))
}

/// Hands a record in as it stands now.
pub(super) async fn hand_in(desk: &Desk, id: RecordId) -> Result<(), WriteError> {
    let view = desk.client.record(id).ok().flatten();
    let version = view.map(|view| view.row.version).ok_or(WriteError::UnknownRecord { record: id })?;
    desk.client.submit(id, version).await
}

fn after(desk: &Desk, id: RecordId, done: Result<(), WriteError>, said: &str) -> Response {
    match done {
        Ok(()) => {
            if desk.shelf.refresh(&desk.client, &desk.forms, &[id]).is_err() {
                desk.shelf.forget();
            }
            desk.tell();
            desk.go(&format!("/records/{id}?{said}=1"))
        }
        Err(error) => desk.refused(&error),
    }
}

pub(super) async fn submit(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Posted(posted): Posted<Versioned>,
) -> Response {
    let (view, version) = match (find(&desk, &id), version(&desk, &posted.version)) {
        (Ok(view), Ok(version)) => (view, version),
        (Err(response), _) | (_, Err(response)) => return *response,
    };
    let done = desk.client.submit(view.row.id, version).await;
    after(&desk, view.row.id, done, "submitted")
}

pub(super) async fn comment(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Posted(posted): Posted<Versioned>,
) -> Response {
    let (view, version) = match (find(&desk, &id), version(&desk, &posted.version)) {
        (Ok(view), Ok(version)) => (view, version),
        (Err(response), _) | (_, Err(response)) => return *response,
    };
    let note = posted.note.replace("\r\n", "\n").trim().to_owned();
    if note.is_empty() {
        return desk.problem(StatusCode::UNPROCESSABLE_ENTITY, "ui-comment-empty", Vec::new());
    }
    let done = desk.client.comment(view.row.id, version, ReviewNotes { note, ..ReviewNotes::default() }).await;
    after(&desk, view.row.id, done, "said")
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Settled {
    version: String,
    path: String,
    keep: String,
}

/// Settles a conflict, exactly as far as the page showed it.
pub(super) async fn settle(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Posted(posted): Posted<Settled>,
) -> Response {
    let (view, version) = match (find(&desk, &id), version(&desk, &posted.version)) {
        (Ok(view), Ok(version)) => (view, version),
        (Err(response), _) | (_, Err(response)) => return *response,
    };
    let choice = ConflictChoice { version, keep: Keep::Candidate(posted.keep) };
    let done = desk.client.resolve(view.row.id, posted.path.as_str().into(), choice).await;
    after(&desk, view.row.id, done, "settled")
}
