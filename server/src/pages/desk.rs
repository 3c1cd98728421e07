//! What a coordinator does on a record's page: approve, return, reopen, comment, settle a conflict.
//!
//! Each form carries the version and the events its page showed. When the record moved meanwhile, a decision is not done: the
//! page comes back with what is new marked, and with everything that was typed.

use std::collections::{BTreeMap, BTreeSet};

use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;

use qianmo_forms::Lang;
use qianmo_protocol::ids::{ChangeHash, Code, DocId, LogbookName, StationCode};
use qianmo_protocol::record::{FieldPath, RowKey};
use qianmo_protocol::review::{REASONS_MAX, ReviewStatus};

use super::account::{go_on, page_with};
use super::form::Fields;
use super::queue::{FROM, Queue};
use super::record::{RecordPage, Source};
use super::words::Words;
use super::{address, record_address, with};
use crate::hub::{DeskAct, DeskError, DeskKind, DeskSettling};
use crate::web::{Asked, Full, Refusal, Signed, Teller, WebState};

/// What is done, as a form says it.
const KINDS: [(&str, DeskKind); 4] = [
    ("approve", DeskKind::Approve),
    ("return", DeskKind::Return),
    ("reopen", DeskKind::Reopen),
    ("comment", DeskKind::Comment),
];

/// What a person can do on a record's page.
pub(super) struct Panel {
    pub(super) heads: String,
    pub(super) seen: String,
    /// Decisions that make sense in the record's state, with their words and class.
    pub(super) decisions: Vec<(&'static str, &'static str, &'static str)>,
    pub(super) reasons: Vec<Reason>,
    pub(super) fields: Vec<Choice>,
    pub(super) note: String,
    pub(super) field_note: String,
    /// What is wrong with what was sent.
    pub(super) problem: Option<&'static str>,
}

pub(super) struct Reason {
    pub(super) code: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

pub(super) struct Choice {
    pub(super) value: String,
    pub(super) label: String,
    pub(super) is_chosen: bool,
}

/// What was typed, so that nothing of it is lost.
#[derive(Debug, Default)]
pub(super) struct Typed {
    reasons: BTreeSet<String>,
    field: String,
    field_note: String,
    note: String,
    problem: Option<Problem>,
}

impl Typed {
    /// Nothing yet, about an answer that an address names.
    pub(super) fn about(path: Option<&str>) -> Self {
        Self { field: path.unwrap_or_default().to_owned(), ..Self::default() }
    }
}

#[derive(Debug, Clone, Copy)]
enum Problem {
    NoteMissing,
    FieldMissing,
    InConflict,
    NotHandedIn,
    Moved,
}

impl Panel {
    /// For whoever may do something here.
    pub(super) fn new(full: &Full, signed: &Signed, teller: &Teller<'_>, lang: Lang, typed: &Typed) -> Option<Self> {
        let row = &full.detail.row;
        let station = station_of(&row.logbook);
        let may_decide = signed.may_decide(station.as_ref());
        if !may_decide && !signed.may_speak(station.as_ref()) {
            return None;
        }
        let words = Words::of(lang);
        let is_settled = matches!(row.review.status, ReviewStatus::Approved) && !row.review.changed_after_approval;
        let mut decisions = Vec::new();
        let is_handed_in = row.review.status != ReviewStatus::Unsubmitted;
        if may_decide && is_handed_in {
            if !is_settled {
                decisions.push(("approve", words.approve, "primary"));
            }
            if row.review.status != ReviewStatus::Returned {
                decisions.push(("return", words.return_it, "danger"));
            }
            if matches!(row.review.status, ReviewStatus::Approved | ReviewStatus::Returned) {
                decisions.push(("reopen", words.reopen, ""));
            }
        }
        let list = teller.mask().forms().lists().get("return_reason");
        let reasons = list.into_iter().flat_map(|list| list.iter()).map(|choice| Reason {
            code: choice.id.clone(),
            label: choice.label.get(lang).to_owned(),
            is_chosen: typed.reasons.contains(&choice.id),
        });
        let place =
            |name: &&String| teller.form().and_then(|form| form.fields().iter().position(|field| field.name == **name));
        let mut names: Vec<&String> = row.view.fields.keys().collect();
        names.sort_by_key(|name| place(name).unwrap_or(usize::MAX));
        let fields = names.into_iter().map(|name| FieldPath::Field(name.clone()));
        // The cells of rows are too many for a choice: one stands in it when it was asked for.
        let asked = path_of(&typed.field).filter(|path| matches!(path, FieldPath::Row { .. }));
        Some(Self {
            heads: hex(row.heads.iter().map(ChangeHash::to_string)),
            seen: hex(row.review.seen_now.iter().map(DocId::to_string)),
            reasons: if decisions.iter().any(|(kind, ..)| *kind == "return") { reasons.collect() } else { Vec::new() },
            decisions,
            fields: fields
                .chain(asked)
                .filter(|path| teller.field(path).is_some_and(|field| !field.hidden))
                .map(|path| Choice {
                    is_chosen: typed.field == path_word(&path),
                    label: teller.label(&path, lang),
                    value: path_word(&path),
                })
                .collect(),
            note: typed.note.clone(),
            field_note: typed.field_note.clone(),
            problem: typed.problem.map(|problem| match problem {
                Problem::NoteMissing => words.note_missing,
                Problem::FieldMissing => words.field_missing,
                Problem::InConflict => words.settle_first,
                Problem::NotHandedIn => words.not_handed_in,
                Problem::Moved => words.moved,
            }),
        })
    }
}

/// Whose records a logbook holds.
pub(super) fn station_of(logbook: &LogbookName) -> Option<StationCode> {
    match logbook {
        LogbookName::StationMonth(station, _) | LogbookName::StationDirectory(station) => Some(station.clone()),
        LogbookName::OrgDirectory => None,
    }
}

fn hex(ids: impl Iterator<Item = String>) -> String {
    ids.collect::<Vec<_>>().join(",")
}

fn ids<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, Refusal> {
    text.split(',').filter(|part| !part.is_empty()).map(|part| read(part).ok_or(Refusal::VersionGone)).collect()
}

/// One act: a decision or a comment.
pub(super) async fn act(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang", FROM])?;
    let (lang, queue) = (asked.lang()?, Queue::of(&asked)?);
    let known = ["csrf", "kind", "heads", "seen", "reason", "field", "field_note", "note"];
    let fields = Fields::read(pairs, &known)?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    let record = DocId::from_hex(&id).ok_or(Refusal::NoRecord)?;
    let kind = KINDS.iter().find(|(word, _)| *word == fields.text("kind")).map(|(_, kind)| *kind);
    let kind = kind.ok_or_else(|| Refusal::parameter(crate::web::Fault::Value, "kind"))?;
    let mut typed = Typed {
        reasons: fields.all("reason").iter().cloned().collect(),
        field: fields.text("field").to_owned(),
        field_note: lines(fields.text("field_note")),
        note: lines(fields.text("note")),
        problem: None,
    };
    if !typed.field_note.is_empty() && path_of(&typed.field).is_none() {
        typed.problem = Some(Problem::FieldMissing);
        let page = Again { id: &id, lang, signed: &signed, typed: &typed, queue: queue.as_ref() };
        return page.shown(&state, &BTreeSet::new(), StatusCode::UNPROCESSABLE_ENTITY).await;
    }
    let act = DeskAct {
        person: signed.person().clone(),
        record,
        kind,
        heads: ids(fields.text("heads"), ChangeHash::from_hex)?,
        seen: ids(fields.text("seen"), DocId::from_hex)?.into_iter().collect(),
        reasons: reasons_of(kind, &typed)?,
        field_notes: field_notes_of(&typed)?,
        note: typed.note.clone(),
    };
    let (done, status) = state
        .tell(move |core, now| {
            let done = core.desk(now, &act);
            let row = core.replica().record_row(&act.record).ok().flatten();
            (done, row.map(|row| row.review.status))
        })
        .await?;
    let problem = match done {
        // Somebody else decided otherwise before this page knew: both acts stand, and that is what is to be looked at now.
        Ok(_) if kind != DeskKind::Comment && status == Some(ReviewStatus::Disagreed) => {
            return go_on(&stay(queue.as_ref(), record, "disagreed", lang), None);
        }
        Ok(_) => {
            return go_on(&after(&state, queue.as_ref(), record, kind, fields.text("kind"), lang).await?, None);
        }
        Err(DeskError::NoteMissing) => Problem::NoteMissing,
        Err(DeskError::InConflict) => Problem::InConflict,
        Err(DeskError::NotHandedIn) => Problem::NotHandedIn,
        Err(DeskError::Moved { news, .. }) => {
            typed.problem = Some(Problem::Moved);
            let page = Again { id: &id, lang, signed: &signed, typed: &typed, queue: queue.as_ref() };
            return page.shown(&state, &news, StatusCode::CONFLICT).await;
        }
        Err(error) => return Err(refused(error)),
    };
    typed.problem = Some(problem);
    let page = Again { id: &id, lang, signed: &signed, typed: &typed, queue: queue.as_ref() };
    page.shown(&state, &BTreeSet::new(), StatusCode::UNPROCESSABLE_ENTITY).await
}

/// A conflict is settled.
pub(super) async fn settle(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang", FROM])?;
    let (lang, queue) = (asked.lang()?, Queue::of(&asked)?);
    let fields = Fields::read(pairs, &["csrf", "heads", "path", "keep"])?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    let record = DocId::from_hex(&id).ok_or(Refusal::NoRecord)?;
    let settling = DeskSettling {
        person: signed.person().clone(),
        record,
        heads: ids(fields.text("heads"), ChangeHash::from_hex)?,
        path: path_of(fields.text("path")).ok_or(Refusal::VersionGone)?,
        keep: ChangeHash::from_hex(fields.text("keep")).ok_or(Refusal::VersionGone)?,
    };
    match state.tell(move |core, now| core.settle_conflict(now, &settling)).await? {
        Ok(()) => go_on(&stay(queue.as_ref(), record, "settle", lang), None),
        // Somebody was faster, or this is an old page: what stands now is shown.
        Err(DeskError::NoConflict { .. }) => go_on(&stay(queue.as_ref(), record, "settled", lang), None),
        Err(error) => Err(refused(error)),
    }
}

/// The record's page once more, still in its queue.
fn stay(queue: Option<&Queue>, record: DocId, done: &str, lang: Lang) -> String {
    match queue {
        Some(queue) => address(&with(&queue.at(&record), &format!("done={done}")), lang),
        None => record_address(&record, Some(done), lang),
    }
}

/// Where an act leads: a decision to the next record of the queue, everything else back to the record.
async fn after(
    state: &WebState,
    queue: Option<&Queue>,
    record: DocId,
    kind: DeskKind,
    done: &str,
    lang: Lang,
) -> Result<String, Refusal> {
    match (queue, kind) {
        (Some(queue), DeskKind::Approve | DeskKind::Return) => queue.onward(state, record, done, lang).await,
        (queue, DeskKind::Approve | DeskKind::Return | DeskKind::Reopen | DeskKind::Comment) => {
            Ok(format!("{}#reviews", stay(queue, record, done, lang)))
        }
    }
}

/// A page that comes back with what was typed.
struct Again<'a> {
    id: &'a str,
    lang: Lang,
    signed: &'a Signed,
    typed: &'a Typed,
    queue: Option<&'a Queue>,
}

impl Again<'_> {
    async fn shown(
        &self,
        state: &WebState,
        news: &BTreeSet<ChangeHash>,
        status: StatusCode,
    ) -> Result<Response, Refusal> {
        let (full, names) = (state.full_with_since(self.id).await?, state.names().await?);
        let source = Source::new(state, &names, Some(self.signed), self.lang, &full).from(self.queue);
        let page = RecordPage::new(&source, self.typed).with_news(&full, news).whole(&source).await?;
        Ok(page_with(status, super::html(&page)?))
    }
}

/// A path as a form carries it.
pub(super) fn path_word(path: &FieldPath) -> String {
    match path {
        FieldPath::Field(name) => name.clone(),
        FieldPath::Row { repeat, row, name } => format!("{repeat}/{row}/{name}"),
    }
}

fn path_of(text: &str) -> Option<FieldPath> {
    let mut parts = text.split('/');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(name), None, None, None) if !name.is_empty() => Some(FieldPath::Field(name.to_owned())),
        (Some(repeat), Some(row), Some(name), None) => {
            Some(FieldPath::Row { repeat: repeat.to_owned(), row: RowKey::parse(row)?, name: name.to_owned() })
        }
        _ => None,
    }
}

/// Browsers send lines with a carriage return.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n").trim().to_owned()
}

fn reasons_of(kind: DeskKind, typed: &Typed) -> Result<BTreeSet<Code>, Refusal> {
    if kind != DeskKind::Return {
        return Ok(BTreeSet::new());
    }
    let wrong = || Refusal::parameter(crate::web::Fault::Value, "reason");
    if typed.reasons.len() > REASONS_MAX {
        return Err(wrong());
    }
    typed.reasons.iter().map(|reason| Code::new(reason).map_err(|_| wrong())).collect()
}

fn field_notes_of(typed: &Typed) -> Result<BTreeMap<FieldPath, String>, Refusal> {
    if typed.field_note.is_empty() {
        return Ok(BTreeMap::new());
    }
    let path = path_of(&typed.field);
    let path = path.ok_or_else(|| Refusal::parameter(crate::web::Fault::Value, "field"))?;
    Ok(BTreeMap::from([(path, typed.field_note.clone())]))
}

fn refused(error: DeskError) -> Refusal {
    match error {
        DeskError::NoRecord { .. } => Refusal::NoRecord,
        DeskError::Moved { .. } | DeskError::VersionGone { .. } | DeskError::NoConflict { .. } => Refusal::VersionGone,
        DeskError::NoteMissing | DeskError::InConflict | DeskError::NotHandedIn | DeskError::ApprovedAlready => {
            Refusal::parameter(crate::web::Fault::Value, "note")
        }
        DeskError::NotAllowed(failure) => {
            tracing::info!(%failure, "an act at the desk was not allowed");
            Refusal::NotAllowed
        }
        DeskError::NotWritable(error) => {
            tracing::info!(%error, "an act at the desk could not be written");
            Refusal::TooLong
        }
        DeskError::NotSaved(_) | DeskError::Hub(_) => {
            tracing::error!(error = &error as &dyn core::error::Error, "an act at the desk could not be stored");
            Refusal::Internal
        }
    }
}
