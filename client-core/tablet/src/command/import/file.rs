//! Filing what a ledger holds, and saying what was filed.

use std::collections::BTreeSet;

use qianmo_client_core::ImportRights;

use super::{Ledger, progress, tick};
use crate::cli::Import;
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::ledger::filing::{EntriesFiled, Filing, FilingError, FilingPlan, RowsFiled};
use crate::ledger::{Outcome, Summary};
use crate::message::Messages;
use crate::work::Work;

/// What was filed.
#[derive(Debug)]
pub(super) struct Filed {
    entries: EntriesFiled,
    rows: RowsFiled,
}

/// What this person may bring in; the reason to stop if that is less than what was asked for.
pub(super) async fn plan(
    work: &mut Work<'_, '_>,
    ledger: &Ledger<'_>,
    summary: &Summary,
) -> Result<FilingPlan, Failure> {
    let messages = work.messages;
    let asked: &Import = ledger.asked;
    let stations = ledger.stations(summary);
    let all = ledger.folder.directory.stations.iter().map(|station| station.id.clone());
    let rights = work.client.import_rights(all.chain(stations.iter().cloned()).collect()).await;
    let rights: ImportRights = rights.map_err(|error| failure::of_write(&error, messages))?;
    let lacking = |allowed: &BTreeSet<String>| {
        let lacking: Vec<&str> = stations.difference(allowed).map(String::as_str).collect();
        (!lacking.is_empty()).then(|| lacking.join(" "))
    };
    if let Some(names) = lacking(&rights.records) {
        let told = Told::new(Exit::Rejected, messages.with("import-no-right", &[("stations", names.into())]));
        return Err(told.next(messages.text("next-import-no-right")).into());
    }
    if let (false, Some(names)) = (asked.without_states, lacking(&rights.states)) {
        let told = Told::new(Exit::Rejected, messages.with("import-no-states", &[("stations", names.into())]));
        return Err(told.next(messages.text("next-import-no-states")).into());
    }
    if asked.without_states {
        work.terminal.note(&messages.text("import-without-states"))?;
    }
    if !rights.organisation {
        work.terminal.note(&messages.text("import-no-organisation"))?;
    }
    let stations = asked.station.iter().cloned().collect();
    Ok(FilingPlan { year: asked.year, rights, with_states: !asked.without_states, stations })
}

/// Files the directory's entries, then the rows. Answers also what the second reading of the ledger came to.
pub(super) async fn file(
    work: &mut Work<'_, '_>,
    ledger: &Ledger<'_>,
    plan: FilingPlan,
) -> Result<(Filed, Summary), Failure> {
    let messages = work.messages;
    let told = |error: FilingError| of_filing(&error, messages);
    let mut filing = Filing::start(&work.client, &ledger.folder.directory, plan).map_err(told)?;
    let entries = filing.entries().await.map_err(told)?;
    let mut rows = ledger.rows()?;
    let mut cells = Vec::new();
    rows.next_row(&mut cells).map_err(|error| ledger.told(&error))?;
    let mut cleaner = ledger.cleaner(&cells)?;
    let bar = progress(work.terminal, ledger.source.bytes, messages.text("import-filing"));
    while rows.next_row(&mut cells).map_err(|error| ledger.told(&error))? {
        if let Outcome::Accepted(row) = cleaner.handle(&cells) {
            filing.row(&row).await.map_err(told)?;
        }
        tick(bar.as_ref(), &rows);
    }
    let rows = filing.finish().await.map_err(told)?;
    Ok((Filed { entries, rows }, cleaner.finish()))
}

fn of_filing(error: &FilingError, messages: Messages) -> Told {
    let told = match error {
        FilingError::Write(error) => failure::of_write(error, messages),
        FilingError::Read(error) => failure::of_read(error, messages),
    };
    told.next(messages.text("next-import-again"))
}

/// Says what was filed.
pub(super) fn show(work: &mut Work<'_, '_>, filed: &Filed) -> Result<(), Failure> {
    let messages = work.messages;
    let EntriesFiled { created, changed, unchanged, not_allowed, untaken } = filed.entries;
    let arguments = [
        ("created", created.into()),
        ("changed", changed.into()),
        ("unchanged", unchanged.into()),
        ("not_allowed", not_allowed.into()),
        ("untaken", untaken.into()),
    ];
    work.terminal.note(&messages.with("import-entries-filed", &arguments))?;
    let rows = &filed.rows;
    let arguments = [
        ("created", rows.created.into()),
        ("known", rows.known.into()),
        ("same", rows.same.into()),
        ("left_out", rows.left_out.into()),
        ("untaken", rows.untaken.into()),
    ];
    work.terminal.note(&messages.with("import-rows-filed", &arguments))?;
    for (row, held) in &rows.same_rows {
        let held = held.to_string();
        let arguments = [("row", (*row).into()), ("record", crate::render::words::short(&held).to_owned().into())];
        work.terminal.note(&messages.with("import-row-same", &arguments))?;
    }
    for (row, why) in &rows.untaken_rows {
        let arguments = [("row", (*row).into()), ("why", why.as_str().into())];
        work.terminal.note(&messages.with("import-row-untaken", &arguments))?;
    }
    if rows.untaken > 0 {
        let told = Told::new(Exit::Rejected, messages.with("import-untaken", &[("count", rows.untaken.into())]));
        return Err(told.next(messages.text("next-import-untaken")).into());
    }
    Ok(())
}
