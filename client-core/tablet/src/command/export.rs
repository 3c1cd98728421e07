//! `qianmo export`: records as a file for a spreadsheet or a program. A file is whole or not there.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use qianmo_client_core::RecordRow;

use crate::cli::{Export, Format};
use crate::failure::{self, Failure};
use crate::render::csv::{self, Personal};
use crate::work::Work;

pub(crate) fn run(work: &mut Work<'_, '_>, asked: &Export) -> Result<(), Failure> {
    let messages = work.messages;
    let filter = work.filter(&asked.which)?;
    let personal = if asked.with_personal { Personal::Written } else { Personal::Masked };
    let mut rows: Vec<RecordRow> = Vec::new();
    work.each(filter, |row| {
        rows.push(row);
        true
    })?;
    let mut bytes = Vec::new();
    match format(asked) {
        Format::Csv => csv::write(&mut bytes, &rows, &work.forms, personal, messages)?,
        Format::Json => {
            let records: serde_json::Value = rows.iter().map(|row| csv::record(row, &work.forms, personal)).collect();
            writeln!(bytes, "{records:#}")?;
        }
    }
    match &asked.to {
        Some(file) => write_whole(file, &bytes).map_err(|error| failure::of_file(&error, file, messages))?,
        None => work.terminal.out().write_all(&bytes)?,
    }
    let key = if asked.with_personal { "export-done-personal" } else { "export-done" };
    Ok(work.terminal.note(&messages.with(key, &[("count", rows.len().into())]))?)
}

/// What was asked for, or what the file's name says.
fn format(asked: &Export) -> Format {
    let named = asked.to.as_ref().and_then(|file| file.extension()).is_some_and(|end| end.eq_ignore_ascii_case("csv"));
    asked.format.unwrap_or(if named { Format::Csv } else { Format::Json })
}

/// Beside its place first, then moved there: an export that is cut short leaves the former file as it was.
fn write_whole(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = file.with_file_name(name);
    let written = fs::File::create(&part).and_then(|mut out| {
        out.write_all(bytes)?;
        out.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&part, file));
    if moved.is_err() && part.exists() {
        fs::remove_file(&part)?;
    }
    moved
}
