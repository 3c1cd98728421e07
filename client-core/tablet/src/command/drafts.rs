//! `qianmo drafts`: what is not finished, on this device only.

use super::fill::Keeping;
use super::{edit, new};
use crate::cli::{DraftAct, Drafts, New};
use crate::clock;
use crate::failure::{self, Failure};
use crate::render::json;
use crate::render::table::table;
use crate::render::words::{draft_purpose, form_name, short};
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Drafts) -> Result<(), Failure> {
    match &asked.act {
        None => list(work, asked.json),
        Some(DraftAct::Discard(choice)) => discard(work, &choice.id).await,
        Some(DraftAct::Resume(choice)) => resume(work, &choice.id, asked.json).await,
    }
}

fn list(work: &mut Work<'_, '_>, as_json: bool) -> Result<(), Failure> {
    let messages = work.messages;
    let drafts = work.client.drafts().map_err(|error| failure::of_read(&error, messages))?;
    if as_json {
        return work.say_json(&drafts.iter().map(json::draft).collect());
    }
    if drafts.is_empty() {
        return Ok(work.terminal.note(&messages.text("drafts-none"))?);
    }
    let headings = ["column-draft", "column-saved", "column-form", "column-answers", "column-purpose"];
    let headings = headings.map(|key| messages.text(key));
    let rows: Vec<Vec<String>> = drafts
        .iter()
        .map(|draft| {
            vec![
                short(&draft.id.to_string()).to_owned(),
                clock::show(draft.recorded_at_ms),
                form_name(&work.forms, &draft.input.form, messages),
                draft.input.fields.len().to_string(),
                draft_purpose(draft, messages),
            ]
        })
        .collect();
    for line in table(&headings, &rows, work.columns) {
        work.terminal.say(&line)?;
    }
    Ok(work.terminal.note(&messages.text("drafts-next"))?)
}

async fn discard(work: &mut Work<'_, '_>, said: &str) -> Result<(), Failure> {
    let draft = work.draft(said)?;
    let discarded = work.client.discard_draft(draft.id).await;
    discarded.map_err(|error| failure::of_write(&error, work.messages))?;
    let text = work.messages.with("drafts-discarded", &[("draft", draft.id.to_string().into())]);
    Ok(work.terminal.say(&text)?)
}

async fn resume(work: &mut Work<'_, '_>, said: &str, as_json: bool) -> Result<(), Failure> {
    let draft = work.draft(said)?;
    work.warn_of_clock()?;
    if let Some(code) = draft.input.held_code {
        let held = qianmo_client_core::codes::explain(code);
        let (what, next) = (held.what.get(work.lang()), held.next.get(work.lang()));
        let arguments = [("code", held.code.into()), ("what", what.into()), ("next", next.into())];
        work.terminal.note(&work.messages.with("show-held", &arguments))?;
    }
    let form = work.form(&draft.input.form)?;
    let record = draft.input.record;
    let mut keeping = Keeping { id: draft.id, input: draft.input, is_saved: true };
    if let Some(record) = record {
        let view = work.record(&record.to_string())?;
        return edit::complete(work, &view, &form, &mut keeping, as_json).await;
    }
    let asked = New {
        form: None,
        set: Vec::new(),
        draft: false,
        station: keeping.input.station.clone(),
        person: None,
        month: None,
        json: as_json,
    };
    new::complete(work, &asked, &form, &mut keeping).await
}
