//! `qianmo duplicates`: what two tablets imported before they met, and one step to withdraw it.
//!
//! Records with one import key are the same row of a ledger; entries of a directory with one code are the same entry. Which of them stays is
//! the same on every tablet: the one created first, by its own clock; of several at one moment the one with the smallest id.

use std::collections::BTreeMap;

use qianmo_client_core::{FieldValue, RecordFilter, RecordRow, WithdrawReason};
use qianmo_forms::{Form, FormKind};
use serde_json::json;

use crate::cli::Duplicates;
use crate::failure::{self, Failure};
use crate::names::Names;
use crate::render::table::table;
use crate::render::words::{form_name, gist, short};
use crate::work::Work;

/// The reason that a withdrawn duplicate carries.
const REASON: &str = "duplicate";

/// One record twice or more: which stays, which go.
#[derive(Debug)]
struct Group {
    stays: RecordRow,
    go: Vec<RecordRow>,
}

pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Duplicates) -> Result<(), Failure> {
    let messages = work.messages;
    let groups = groups(work)?;
    let count: usize = groups.iter().map(|group| group.go.len()).sum();
    if asked.json && !asked.withdraw {
        let group = |group: &Group| {
            let ids: Vec<String> = group.go.iter().map(|row| row.id.to_string()).collect();
            json!({ "stays": group.stays.id.to_string(), "form": group.stays.form, "duplicates": ids })
        };
        return work.say_json(&groups.iter().map(group).collect());
    }
    if groups.is_empty() {
        return Ok(work.terminal.note(&messages.text("duplicates-none"))?);
    }
    if asked.withdraw {
        return withdraw(work, groups).await;
    }
    let headings = ["column-stays", "column-duplicates", "column-form", "column-gist"].map(|key| messages.text(key));
    let names = Names::read(work)?;
    let row = |group: &Group| {
        let form = work.forms.get(&group.stays.form);
        let ids: Vec<String> = group.go.iter().map(|row| short(&row.id.to_string()).to_owned()).collect();
        vec![
            short(&group.stays.id.to_string()).to_owned(),
            ids.join(" "),
            form_name(&work.forms, &group.stays.form, messages),
            gist(form, &names.shown(&work.forms, form, &group.stays), messages),
        ]
    };
    let rows: Vec<Vec<String>> = groups.iter().map(row).collect();
    for line in table(&headings, &rows, work.columns) {
        work.terminal.say(&line)?;
    }
    Ok(work.terminal.note(&messages.with("duplicates-next", &[("count", count.into())]))?)
}

fn groups(work: &Work<'_, '_>) -> Result<Vec<Group>, Failure> {
    let mut by_key: BTreeMap<String, Vec<RecordRow>> = BTreeMap::new();
    work.each(RecordFilter::default(), |row| {
        if let Some(key) = key(&row, work.forms.get(&row.form)) {
            by_key.entry(key).or_default().push(row);
        }
        true
    })?;
    let group = |mut rows: Vec<RecordRow>| {
        rows.sort_by_key(|row| (row.created_at_ms, row.id));
        let go = rows.split_off(1.min(rows.len()));
        rows.pop().filter(|_| !go.is_empty()).map(|stays| Group { stays, go })
    };
    Ok(by_key.into_values().filter_map(group).collect())
}

/// Under which two records are the same.
fn key(row: &RecordRow, form: Option<&Form>) -> Option<String> {
    if let Some(FieldValue::Text(key)) = row.fields.get("import_key") {
        return Some(key.clone());
    }
    let is_entry = form.is_some_and(|form| form.kind() == FormKind::Registry);
    match row.fields.get("code").filter(|_| is_entry) {
        Some(FieldValue::Text(code)) => Some(format!("{}\u{1f}{}\u{1f}{code}", row.form, row.logbook)),
        Some(_) | None => None,
    }
}

async fn withdraw(work: &mut Work<'_, '_>, groups: Vec<Group>) -> Result<(), Failure> {
    let messages = work.messages;
    let mut count = 0;
    for group in groups {
        for row in group.go {
            let note = messages.with("duplicates-note", &[("record", group.stays.id.to_string().into())]);
            let reason = WithdrawReason { code: Some(REASON.to_owned()), note };
            let withdrawn = work.client.withdraw(row.id, reason).await;
            withdrawn.map_err(|error| failure::of_write(&error, messages))?;
            count += 1;
        }
    }
    Ok(work.terminal.note(&messages.with("duplicates-withdrawn", &[("count", count.into())]))?)
}
