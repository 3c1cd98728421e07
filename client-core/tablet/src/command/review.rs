//! `qianmo review`: a coordinator's queue and decisions; an author's submission, withdrawal and comments.
//!
//! A decision is about exactly the version the list or `--at` named. Several records are decided one after another, each
//! durable when its line is printed; one that cannot be decided is told and the rest goes on.

use std::collections::BTreeMap;

use qianmo_client_core::{
    Decision, RecordFilter, RecordRow, RecordVersion, RecordView, ReviewNotes, ReviewStatus, WithdrawReason, WriteError,
};
use qianmo_forms::{ChoiceList, ChoiceLists};
use serde_json::json;

use super::edit::version;
use super::list;
use crate::answers;
use crate::cli::{Bulk, Comment, Noted, Queue, Return, Review, ReviewAct, Withdraw};
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::render::json as render_json;
use crate::render::table::table;
use crate::render::words::{delivery_next, form_of, gist, review, short};
use crate::work::Work;

/// The list of reasons a record is sent back for.
const REASONS: &str = "return_reason";

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Review) -> Result<(), Failure> {
    match &asked.act {
        None => queue(work, &asked.queue),
        Some(ReviewAct::Reasons) => reasons(work),
        Some(ReviewAct::Approve(bulk)) => approve(work, bulk).await,
        Some(ReviewAct::Return(given)) => send_back(work, given).await,
        Some(ReviewAct::Reopen(given)) => decide_one(work, given, Decision::Reopen, Vec::new()).await,
        Some(ReviewAct::Submit(given)) => submit(work, given).await,
        Some(ReviewAct::Withdraw(given)) => withdraw(work, given).await,
        Some(ReviewAct::Comment(given)) => comment(work, given).await,
    }
}

/// Records that wait for a coordinator: oldest first.
fn waiting(work: &Work<'_, '_>, which: &crate::cli::Which) -> Result<Vec<RecordRow>, Failure> {
    let mut rows = Vec::new();
    let filter: RecordFilter = work.filter(which)?;
    work.each(filter, |row| {
        let waits = match row.review {
            ReviewStatus::Pending | ReviewStatus::Disagreed | ReviewStatus::Unsettled => true,
            ReviewStatus::Approved => row.changed_after_approval,
            ReviewStatus::Unsubmitted | ReviewStatus::Returned | ReviewStatus::Withdrawn => false,
        };
        if waits {
            rows.push(row);
        }
        true
    })?;
    rows.reverse();
    Ok(rows)
}

fn queue(work: &mut Work<'_, '_>, asked: &Queue) -> Result<(), Failure> {
    let messages = work.messages;
    let rows = waiting(work, &asked.which)?;
    let shown: Vec<RecordRow> = rows.iter().take(usize::try_from(asked.limit).unwrap_or(usize::MAX)).cloned().collect();
    if asked.json {
        return work.say_json(&shown.iter().map(render_json::row).collect());
    }
    if rows.is_empty() {
        return Ok(work.terminal.note(&messages.text("review-queue-empty"))?);
    }
    for line in list::lines(&list::named(work, &shown)?, &work.forms, messages, work.columns) {
        work.terminal.say(&line)?;
    }
    let arguments = [("count", rows.len().into()), ("shown", shown.len().into())];
    Ok(work.terminal.note(&messages.with("review-queue-next", &arguments))?)
}

fn reason_list() -> Option<std::sync::Arc<ChoiceList>> {
    ChoiceLists::built_in().ok()?.get(REASONS).cloned()
}

fn reasons(work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let Some(list) = reason_list() else { return Ok(()) };
    let headings = ["column-code", "column-reason"].map(|key| work.messages.text(key));
    let rows: Vec<Vec<String>> =
        list.iter().map(|choice| vec![choice.id.clone(), choice.label.get(work.lang()).to_owned()]).collect();
    for line in table(&headings, &rows, work.columns) {
        work.terminal.say(&line)?;
    }
    Ok(())
}

/// A reason by its code or its label.
fn reason(work: &Work<'_, '_>, said: &str) -> Result<String, Failure> {
    let list = reason_list();
    if let Some(choice) = list.as_ref().and_then(|list| list.find(said)) {
        return Ok(choice.id.clone());
    }
    let what = work.messages.with("error-unknown-reason", &[("reason", said.into())]);
    let mut told = Told::new(Exit::Usage, what);
    let lines = list.iter().flat_map(|list| list.iter());
    told.details = lines.map(|choice| format!("{}  {}", choice.id, choice.label.get(work.lang()))).collect();
    Err(told.next(work.messages.text("next-unknown-reason")).into())
}

/// `--field FIELD=NOTE` as notes by path.
fn field_notes(work: &Work<'_, '_>, view: &RecordView, noted: &Noted) -> Result<BTreeMap<String, String>, Failure> {
    let form = form_of(&work.forms, &view.row.form, view.row.form_version);
    let mut notes = BTreeMap::new();
    for said in &noted.field {
        let known = |path: &String| {
            view.row.fields.contains_key(path) || form.is_some_and(|form| form.field_at(path).is_some())
        };
        let path = form.and_then(|form| answers::path_of(form, &said.field)).unwrap_or_else(|| said.field.clone());
        if !known(&path) {
            let what = work.messages.with(
                "error-unknown-field",
                &[("form", view.row.form.as_str().into()), ("field", said.field.as_str().into())],
            );
            return Err(Told::new(Exit::Usage, what).next(work.messages.text("next-unknown-field")).into());
        }
        notes.insert(path, said.value.clone());
    }
    Ok(notes)
}

async fn decide_one(
    work: &mut Work<'_, '_>,
    noted: &Noted,
    decision: Decision,
    reasons: Vec<String>,
) -> Result<(), Failure> {
    let view = work.record(&noted.record)?;
    let fields = field_notes(work, &view, noted)?;
    let notes = ReviewNotes { reasons, fields, note: noted.note.clone().unwrap_or_default() };
    let at = seen(work, &view, noted)?;
    let decided = work.client.decide(view.row.id, at, decision, notes).await;
    decided.map_err(|error| failure::of_write(&error, work.messages))?;
    tell(work, &view)
}

fn seen(work: &Work<'_, '_>, view: &RecordView, noted: &Noted) -> Result<RecordVersion, Failure> {
    match &noted.at {
        Some(text) => version(work, text),
        None => Ok(view.row.version.clone()),
    }
}

/// Where the record stands now.
fn tell(work: &mut Work<'_, '_>, before: &RecordView) -> Result<(), Failure> {
    let messages = work.messages;
    let after = work.record(&before.row.id.to_string())?;
    let arguments = [
        ("record", short(&after.row.id.to_string()).to_owned().into()),
        ("review", review(after.row.review, messages).into()),
    ];
    work.terminal.say(&messages.with("review-done", &arguments))?;
    Ok(work.terminal.note(&delivery_next(after.row.delivery, messages))?)
}

async fn send_back(work: &mut Work<'_, '_>, given: &Return) -> Result<(), Failure> {
    let reasons = given.reason.iter().map(|said| reason(work, said)).collect::<Result<Vec<_>, _>>()?;
    decide_one(work, &given.noted, Decision::Return, reasons).await
}

async fn submit(work: &mut Work<'_, '_>, given: &Noted) -> Result<(), Failure> {
    let view = work.record(&given.record)?;
    let at = seen(work, &view, given)?;
    let done = work.client.submit(view.row.id, at).await;
    done.map_err(|error| failure::of_write(&error, work.messages))?;
    tell(work, &view)
}

async fn withdraw(work: &mut Work<'_, '_>, given: &Withdraw) -> Result<(), Failure> {
    let view = work.record(&given.record)?;
    let reason = WithdrawReason { code: given.reason.clone(), note: given.note.clone().unwrap_or_default() };
    let done = work.client.withdraw(view.row.id, reason).await;
    done.map_err(|error| failure::of_write(&error, work.messages))?;
    tell(work, &view)
}

async fn comment(work: &mut Work<'_, '_>, given: &Comment) -> Result<(), Failure> {
    let view = work.record(&given.noted.record)?;
    let fields = field_notes(work, &view, &given.noted)?;
    let note = given.text.clone().or_else(|| given.noted.note.clone()).unwrap_or_default();
    if note.trim().is_empty() && fields.is_empty() {
        let what = work.messages.text("error-empty-comment");
        return Err(Told::new(Exit::Usage, what).next(work.messages.text("next-empty-comment")).into());
    }
    let at = seen(work, &view, &given.noted)?;
    let notes = ReviewNotes { reasons: Vec::new(), fields, note };
    let done = work.client.comment(view.row.id, at, notes).await;
    done.map_err(|error| failure::of_write(&error, work.messages))?;
    tell(work, &view)
}

/// Those named, or with `--all` every pending record without a conflict.
async fn approve(work: &mut Work<'_, '_>, bulk: &Bulk) -> Result<(), Failure> {
    let messages = work.messages;
    let mut rows = Vec::new();
    for said in &bulk.records {
        rows.push(work.record(said)?.row);
    }
    if bulk.all {
        let is_clean = |row: &RecordRow| row.review == ReviewStatus::Pending && row.conflicts == 0;
        rows.extend(waiting(work, &bulk.which)?.into_iter().filter(is_clean));
    }
    if rows.is_empty() {
        if bulk.json {
            return work.say_json(&json!({ "approved": [], "failed": [] }));
        }
        return Ok(work.terminal.note(&messages.text("review-queue-empty"))?);
    }
    if bulk.all && !bulk.yes {
        for line in list::lines(&list::named(work, &rows)?, &work.forms, messages, work.columns) {
            work.terminal.say(&line)?;
        }
        return Ok(work.terminal.note(&messages.with("review-approve-all", &[("count", rows.len().into())]))?);
    }
    let at = match (&bulk.at, rows.len()) {
        (Some(text), 1) => Some(version(work, text)?),
        (Some(_), _) => {
            let what = messages.text("error-at-for-one");
            return Err(Told::new(Exit::Usage, what).next(messages.text("next-at-for-one")).into());
        }
        (None, _) => None,
    };
    approve_each(work, bulk, rows, at).await
}

async fn approve_each(
    work: &mut Work<'_, '_>,
    bulk: &Bulk,
    rows: Vec<RecordRow>,
    at: Option<RecordVersion>,
) -> Result<(), Failure> {
    let messages = work.messages;
    let notes = ReviewNotes { note: bulk.note.clone().unwrap_or_default(), ..ReviewNotes::default() };
    let (mut approved, mut failed): (Vec<String>, Vec<(String, WriteError)>) = (Vec::new(), Vec::new());
    for row in rows {
        let id = row.id.to_string();
        let at = at.clone().unwrap_or_else(|| row.version.clone());
        match work.client.decide(row.id, at, Decision::Approve, notes.clone()).await {
            Ok(()) => {
                if !bulk.json {
                    let text = gist(work.forms.get(&row.form), &row, messages);
                    let arguments = [("record", short(&id).to_owned().into()), ("gist", text.into())];
                    work.terminal.say(&messages.with("review-approved-one", &arguments))?;
                }
                approved.push(id);
            }
            Err(error) => failed.push((id, error)),
        }
    }
    if bulk.json {
        let failures: Vec<_> =
            failed.iter().map(|(id, error)| json!({ "record": id, "error": error.to_string() })).collect();
        work.say_json(&json!({ "approved": approved, "failed": failures }))?;
    } else {
        let arguments = [("count", approved.len().into()), ("failed", failed.len().into())];
        work.terminal.note(&messages.with("review-approved-all", &arguments))?;
    }
    match failed.into_iter().next() {
        Some((id, error)) => {
            let mut told = failure::of_write(&error, messages);
            told.details.insert(0, id);
            Err(told.into())
        }
        None => Ok(()),
    }
}
