//! `qianmo new`: a record, asked field by field or given by a script.

use qianmo_client_core::{DraftInput, FieldValue, RecordDraft, RecordId, WriteError};
use qianmo_forms::{Form, FormKind};
use serde_json::json;

use super::fill::{About, Keeping, Outcome};
use crate::answers;
use crate::cli::New;
use crate::clock;
use crate::dialogue::Purpose;
use crate::failure::{self, Failure};
use crate::render::table::table;
use crate::render::words::{delivery, delivery_next, form_name, short};
use crate::render::{json, words};
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &New) -> Result<(), Failure> {
    let Some(said) = &asked.form else { return forms(work) };
    let form = work.form(said)?;
    work.warn_of_clock()?;
    if asked.set.is_empty() { interactive(work, asked, &form).await } else { scripted(work, asked, &form).await }
}

/// The forms there are.
fn forms(work: &mut Work<'_, '_>) -> Result<(), Failure> {
    let messages = work.messages;
    let kind = |form: &Form| match form.kind() {
        FormKind::Record => messages.text("form-record"),
        FormKind::Registry => messages.text("form-registry"),
    };
    let headings = ["column-form", "column-name", "column-kind"].map(|key| messages.text(key));
    let rows: Vec<Vec<String>> = work
        .forms
        .iter()
        .map(|form| vec![form.id().to_owned(), form.label().get(messages.lang()).to_owned(), kind(form)])
        .collect();
    for line in table(&headings, &rows, work.columns) {
        work.terminal.say(&line)?;
    }
    Ok(work.terminal.note(&messages.text("new-next"))?)
}

async fn scripted(work: &mut Work<'_, '_>, asked: &New, form: &Form) -> Result<(), Failure> {
    let mut fields = work.assigned(form, &asked.set)?;
    let input = DraftInput { form: form.id().to_owned(), station: asked.station.clone(), ..DraftInput::default() };
    if asked.draft {
        let mut keeping =
            Keeping { id: work.client.new_draft(), input: DraftInput { fields, ..input }, is_saved: false };
        work.save(&mut keeping).await?;
        return say_draft(work, asked, &keeping);
    }
    let who = work.whoami()?;
    let person = asked.person.clone().or_else(|| who.and_then(|who| who.person));
    let mut filled = std::collections::BTreeMap::new();
    for (path, value) in answers::defaults(form, clock::today(work.now_ms), person.as_deref()) {
        if !fields.contains_key(&path) {
            let value = answers::keep(&value);
            fields.insert(path.clone(), value.clone());
            filled.insert(path, value);
        }
    }
    let draft = record_draft(asked, form, fields);
    let record = create(work, draft).await?;
    say_record(work, asked.json, record, &filled)
}

async fn interactive(work: &mut Work<'_, '_>, asked: &New, form: &Form) -> Result<(), Failure> {
    if !work.client.status().enrolled {
        work.terminal.note(&work.messages.text("new-not-enrolled"))?;
    }
    say_open_drafts(work, form)?;
    let input = DraftInput { form: form.id().to_owned(), station: asked.station.clone(), ..DraftInput::default() };
    let mut keeping = Keeping { id: work.client.new_draft(), input, is_saved: false };
    complete(work, asked, form, &mut keeping).await
}

/// Asks from where a draft stands, and files the record.
pub(crate) async fn complete(
    work: &mut Work<'_, '_>,
    asked: &New,
    form: &Form,
    keeping: &mut Keeping,
) -> Result<(), Failure> {
    let about = About {
        form,
        purpose: Purpose::New,
        record: std::collections::BTreeMap::new(),
        draft: keeping.input.fields.clone(),
    };
    let who = work.whoami()?;
    let mut dialogue = work.dialogue(about, who.as_ref());
    if work.converse(&mut dialogue, keeping).await? == Outcome::Left {
        return work.say_left(keeping);
    }
    keeping.input.fields = dialogue.kept();
    if asked.draft {
        work.save(keeping).await?;
        return say_draft(work, asked, keeping);
    }
    let mut draft = record_draft(asked, form, dialogue.kept());
    draft.station.clone_from(&keeping.input.station);
    draft.draft = keeping.is_saved.then_some(keeping.id);
    match create(work, draft).await {
        Ok(record) => say_record(work, asked.json, record, &std::collections::BTreeMap::new()),
        Err(failure) => {
            // What was answered stays, whatever the core said.
            if !keeping.is_saved {
                work.save(keeping).await?;
            }
            work.say_left(keeping)?;
            Err(failure)
        }
    }
}

fn record_draft(asked: &New, form: &Form, fields: std::collections::BTreeMap<String, FieldValue>) -> RecordDraft {
    RecordDraft {
        form: form.id().to_owned(),
        station: asked.station.clone(),
        person: asked.person.clone(),
        month: asked.month.clone(),
        fields,
        draft: None,
    }
}

async fn create(work: &Work<'_, '_>, draft: RecordDraft) -> Result<RecordId, Failure> {
    let (needs_month, draft_id) = (draft.month.is_none(), draft.draft);
    work.client.create(draft).await.map_err(|error| {
        let mut told = failure::of_write(&error, work.messages);
        if matches!(error, WriteError::Invalid { .. }) && draft_id.is_none() {
            told = told.next(work.messages.text("next-draft"));
        }
        if needs_month && !clock::is_plausible(work.now_ms) {
            told = told.next(work.messages.text("next-clock"));
        }
        told.into()
    })
}

/// Drafts of the same form that wait to be finished.
fn say_open_drafts(work: &mut Work<'_, '_>, form: &Form) -> Result<(), Failure> {
    let drafts = work.client.drafts().map_err(|error| failure::of_read(&error, work.messages))?;
    for draft in drafts.iter().filter(|draft| draft.input.form == form.id() && draft.input.record.is_none()) {
        let arguments = [
            ("draft", short(&draft.id.to_string()).to_owned().into()),
            ("time", clock::show(draft.recorded_at_ms).into()),
            ("count", draft.input.fields.len().into()),
        ];
        work.terminal.note(&work.messages.with("new-open-draft", &arguments))?;
    }
    Ok(())
}

fn say_draft(work: &mut Work<'_, '_>, asked: &New, keeping: &Keeping) -> Result<(), Failure> {
    if asked.json {
        let value = json!({
            "draft": keeping.id.to_string(),
            "form": keeping.input.form,
            "fields": json::fields(&keeping.input.fields),
        });
        return work.say_json(&value);
    }
    let arguments = [
        ("form", form_name(&work.forms, &keeping.input.form, work.messages).into()),
        ("draft", keeping.id.to_string().into()),
    ];
    work.terminal.say(&work.messages.with("new-draft-saved", &arguments))?;
    work.say_left(keeping)
}

/// Says what was saved and where it is now.
fn say_record(
    work: &mut Work<'_, '_>,
    as_json: bool,
    record: RecordId,
    filled: &std::collections::BTreeMap<String, FieldValue>,
) -> Result<(), Failure> {
    let messages = work.messages;
    let view = work.record(&record.to_string())?;
    if as_json {
        let mut value = json::row(&view.row);
        if let serde_json::Value::Object(map) = &mut value {
            map.insert("filled".to_owned(), json::fields(filled));
        }
        return work.say_json(&value);
    }
    let form = words::form_of(&work.forms, &view.row.form, view.row.form_version);
    let arguments = [
        ("form", form_name(&work.forms, &view.row.form, messages).into()),
        ("record", record.to_string().into()),
        ("state", delivery(view.row.delivery, messages).into()),
    ];
    let filled = filled.iter().map(|(path, kept)| {
        let label = crate::render::record::path_label(form, path, messages);
        let value = crate::render::record::value(form, path, kept, messages);
        messages.with("new-filled", &[("field", label.into()), ("value", value.into())])
    });
    let mut notes: Vec<String> = filled.collect();
    notes.push(delivery_next(view.row.delivery, messages));
    work.terminal.say(&messages.with("new-saved", &arguments))?;
    for note in notes {
        work.terminal.note(&note)?;
    }
    Ok(())
}
