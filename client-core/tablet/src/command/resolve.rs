//! `qianmo resolve`: a person decides which value stands. Without a choice, the values are shown.

use qianmo_client_core::{ConflictChoice, FieldConflict, FieldValue, Keep, RecordView};

use super::edit::version;
use crate::answers;
use crate::cli::Resolve;
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::render::record::{candidates, path_label};
use crate::render::words::{delivery_next, form_of, short};
use crate::work::Work;

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Resolve) -> Result<(), Failure> {
    let messages = work.messages;
    let view = work.record(&asked.record)?;
    if view.conflicts.is_empty() {
        return Ok(work.terminal.note(&messages.text("resolve-none"))?);
    }
    let Some(conflict) = chosen(work, &view, asked)? else { return show(work, &view, &view.conflicts) };
    let keep = match (asked.keep, &asked.value) {
        (Some(number), _) => Keep::Candidate(candidate(work, conflict, number)?),
        (None, Some(value)) => Keep::Value(FieldValue::Text(value.clone())),
        (None, None) => return show(work, &view, std::slice::from_ref(conflict)),
    };
    let at = match &asked.at {
        Some(text) => version(work, text)?,
        None => conflict.version.clone(),
    };
    let choice = ConflictChoice { version: at, keep };
    let resolved = work.client.resolve(view.row.id, conflict.path.clone(), choice).await;
    resolved.map_err(|error| failure::of_write(&error, messages))?;
    let after = work.record(&view.row.id.to_string())?;
    let form = form_of(&work.forms, &after.row.form, after.row.form_version);
    let path = conflict.path.as_str();
    let kept = after.row.fields.get(path).cloned().unwrap_or(FieldValue::Null);
    let arguments = [
        ("field", path_label(form, path, messages).into()),
        ("value", crate::render::record::value(form, path, &kept, messages).into()),
        ("left", after.conflicts.len().into()),
    ];
    let text = messages.with("resolve-done", &arguments);
    work.terminal.say(&text)?;
    Ok(work.terminal.note(&delivery_next(after.row.delivery, messages))?)
}

/// The conflict a person means: by path or label, or the only one there is.
fn chosen<'v>(
    work: &Work<'_, '_>,
    view: &'v RecordView,
    asked: &Resolve,
) -> Result<Option<&'v FieldConflict>, Failure> {
    let Some(said) = &asked.field else {
        let is_only = view.conflicts.len() == 1;
        return Ok(view.conflicts.first().filter(|_| is_only));
    };
    let form = form_of(&work.forms, &view.row.form, view.row.form_version);
    let path = form.and_then(|form| answers::path_of(form, said)).unwrap_or_else(|| said.clone());
    let found = view.conflicts.iter().find(|conflict| conflict.path.as_str() == path);
    if found.is_none() {
        let what = work.messages.with("error-no-conflict", &[("field", said.as_str().into())]);
        let mut told = Told::new(Exit::Usage, what);
        told.details = view.conflicts.iter().map(|conflict| conflict.path.to_string()).collect();
        return Err(told.next(work.messages.text("next-no-conflict")).into());
    }
    Ok(found)
}

fn candidate(work: &Work<'_, '_>, conflict: &FieldConflict, number: u16) -> Result<String, Failure> {
    let place = usize::from(number).checked_sub(1);
    let found = place.and_then(|place| conflict.candidates.get(place));
    found.map(|candidate| candidate.change.clone()).ok_or_else(|| {
        let arguments = [("number", number.into()), ("count", conflict.candidates.len().into())];
        Told::new(Exit::Usage, work.messages.with("error-no-candidate", &arguments))
            .next(work.messages.text("next-no-conflict"))
            .into()
    })
}

fn show(work: &mut Work<'_, '_>, view: &RecordView, conflicts: &[FieldConflict]) -> Result<(), Failure> {
    let messages = work.messages;
    let form = form_of(&work.forms, &view.row.form, view.row.form_version).cloned();
    for conflict in conflicts {
        for line in candidates(conflict, form.as_ref(), messages) {
            work.terminal.say(&line)?;
        }
        let arguments =
            [("record", short(&view.row.id.to_string()).to_owned().into()), ("field", conflict.path.as_str().into())];
        work.terminal.note(&format!("  {}", messages.with("conflict-next", &arguments)))?;
    }
    Ok(())
}
