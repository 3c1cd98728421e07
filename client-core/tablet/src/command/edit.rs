//! `qianmo edit`: changes are authored at the version that was shown; what arrived meanwhile becomes a conflict that is kept.

use std::collections::BTreeSet;

use qianmo_client_core::{DraftInput, FieldEdit, RecordId, RecordVersion, RecordView};
use qianmo_forms::Form;

use super::fill::{About, Keeping, Outcome};
use crate::answers;
use crate::cli::Edit;
use crate::dialogue::{self, Purpose};
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::render::json;
use crate::render::record::{candidates, path_label};
use crate::render::words::{delivery, delivery_next, form_of, review, short};
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Edit) -> Result<(), Failure> {
    let view = work.record(&asked.record)?;
    let form = known_form(work, &view)?;
    let version = match &asked.at {
        Some(text) => version(work, text)?,
        None => view.row.version.clone(),
    };
    work.warn_of_clock()?;
    if asked.set.is_empty() {
        let input = DraftInput {
            form: form.id().to_owned(),
            record: Some(view.row.id),
            version: Some(version),
            ..DraftInput::default()
        };
        let mut keeping = Keeping { id: work.client.new_draft(), input, is_saved: false };
        return complete(work, &view, &form, &mut keeping, asked.json).await;
    }
    let fields = work.assigned(&form, &asked.set)?;
    let original = answers::read_all(&form, view.row.fields.iter());
    let readable = answers::read_all(&form, fields.iter());
    // What the form cannot read goes to the core as it is, which says what is wrong with it.
    let mut edits = dialogue::edits(&form, &original, &readable);
    let unreadable = fields.iter().filter(|(path, _)| !readable.contains_key(*path));
    edits.extend(unreadable.map(|(path, kept)| FieldEdit::set(path, kept.clone())));
    write(work, &view, version, edits, asked.json).await
}

pub(crate) fn version(work: &Work<'_, '_>, text: &str) -> Result<RecordVersion, Failure> {
    text.parse().map_err(|error| {
        Told::new(Exit::Usage, work.messages.text("error-version"))
            .why(error)
            .next(work.messages.text("next-version"))
            .into()
    })
}

fn known_form(work: &Work<'_, '_>, view: &RecordView) -> Result<Form, Failure> {
    form_of(&work.forms, &view.row.form, view.row.form_version).cloned().ok_or_else(|| {
        let what = work.messages.with("error-unknown-form", &[("form", view.row.form.as_str().into())]);
        Told::new(Exit::Failed, what).next(work.messages.text("next-update")).into()
    })
}

/// Asks from where a draft of an edit stands, and writes the edit.
pub(crate) async fn complete(
    work: &mut Work<'_, '_>,
    view: &RecordView,
    form: &Form,
    keeping: &mut Keeping,
    as_json: bool,
) -> Result<(), Failure> {
    let about =
        About { form, purpose: Purpose::Edit, record: view.row.fields.clone(), draft: keeping.input.fields.clone() };
    let who = work.whoami()?;
    let mut dialogue = work.dialogue(about, who.as_ref());
    if work.converse(&mut dialogue, keeping).await? == Outcome::Left {
        return work.say_left(keeping);
    }
    let version = keeping.input.version.clone().unwrap_or_else(|| view.row.version.clone());
    let written = write(work, view, version, dialogue.edits(), as_json).await;
    match written {
        Ok(()) if keeping.is_saved => discard(work, keeping).await,
        Ok(()) => Ok(()),
        Err(failure) => {
            work.say_left(keeping)?;
            Err(failure)
        }
    }
}

async fn discard(work: &Work<'_, '_>, keeping: &Keeping) -> Result<(), Failure> {
    let discarded = work.client.discard_draft(keeping.id).await;
    discarded.map_err(|error| failure::of_write(&error, work.messages).into())
}

async fn write(
    work: &mut Work<'_, '_>,
    view: &RecordView,
    version: RecordVersion,
    edits: Vec<FieldEdit>,
    as_json: bool,
) -> Result<(), Failure> {
    let id = view.row.id;
    if edits.is_empty() {
        work.terminal.note(&work.messages.text("edit-nothing"))?;
        return Ok(());
    }
    let paths: BTreeSet<String> = edits.iter().filter_map(path_of).collect();
    let written = work.client.edit(id, version, edits).await;
    written.map_err(|error| failure::of_write(&error, work.messages))?;
    say_edited(work, id, &paths, as_json)
}

fn path_of(edit: &FieldEdit) -> Option<String> {
    match edit {
        FieldEdit::Set { path, .. } => Some(path.to_string()),
        FieldEdit::RemoveRow { repeat, row } => Some(format!("{repeat}/{row}/{}", answers::REMOVED)),
        FieldEdit::AddRow { .. } => None,
    }
}

/// Says what came of it: where it is, and what someone else wrote at the same time.
fn say_edited(work: &mut Work<'_, '_>, id: RecordId, paths: &BTreeSet<String>, as_json: bool) -> Result<(), Failure> {
    let messages = work.messages;
    let view = work.record(&id.to_string())?;
    if as_json {
        return work.say_json(&json::record(&view));
    }
    let arguments = [
        ("record", id.to_string().into()),
        ("state", delivery(view.row.delivery, messages).into()),
        ("review", review(view.row.review, messages).into()),
    ];
    work.terminal.say(&messages.with("edit-saved", &arguments))?;
    let form = form_of(&work.forms, &view.row.form, view.row.form_version);
    let mut notes = Vec::new();
    for conflict in view.conflicts.iter().filter(|conflict| paths.contains(conflict.path.as_str())) {
        let label = path_label(form, conflict.path.as_str(), messages);
        notes.push(messages.with("edit-conflict", &[("field", label.into())]));
        notes.extend(candidates(conflict, form, messages));
        let arguments =
            [("record", short(&id.to_string()).to_owned().into()), ("field", conflict.path.as_str().into())];
        notes.push(messages.with("conflict-next", &arguments));
    }
    notes.push(delivery_next(view.row.delivery, messages));
    for note in notes {
        work.terminal.note(&note)?;
    }
    Ok(())
}
