//! What is told when a ledger or its folder cannot be used: what, where, what to do.

use std::error::Error;
use std::io::ErrorKind;
use std::path::Path;

use crate::exit::Exit;
use crate::failure::Told;
use crate::ledger::directory::{DIVISIONS_FILE, STATIONS_FILE};
use crate::ledger::source::Binary;
use crate::ledger::{DirectoryError, SourceError, UnknownHeader};
use crate::message::Messages;

/// Why, outermost first.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    text
}

pub(super) fn of_source(error: &SourceError, ledger: &Path, messages: Messages) -> Told {
    let next = match error {
        SourceError::Empty => "next-ledger-empty",
        SourceError::TooLarge { .. } => "next-ledger-large",
        SourceError::NotText(Binary::Workbook | Binary::Utf16) => "next-ledger-workbook",
        SourceError::NotText(Binary::Other) => "next-ledger-text",
        SourceError::RowTooLong { .. } => "next-ledger-quote",
        SourceError::CellTooLong { .. } | SourceError::TooManyColumns { .. } => "next-ledger-shape",
        SourceError::Encoding { .. } => "next-ledger-encoding",
        SourceError::Io(error) if error.kind() == ErrorKind::IsADirectory => "next-ledger-folder",
        SourceError::Io(_) => "next-file",
    };
    let arguments = [("file", ledger.display().to_string().into())];
    Told::new(Exit::Failed, messages.with("error-ledger", &arguments)).why(chain(error)).next(messages.text(next))
}

/// The ledger itself was named as a place to write.
pub(super) fn of_same_file(file: &Path, messages: Messages) -> Told {
    let arguments = [("file", file.display().to_string().into())];
    Told::new(Exit::Usage, messages.with("error-ledger-same-file", &arguments))
        .next(messages.text("next-ledger-same-file"))
}

/// Two readings of the ledger differed: someone wrote into it.
pub(super) fn of_changed(ledger: &Path, messages: Messages) -> Told {
    let arguments = [("file", ledger.display().to_string().into())];
    Told::new(Exit::Failed, messages.with("error-ledger-changed", &arguments))
        .next(messages.text("next-ledger-changed"))
}

pub(super) fn of_header(error: &UnknownHeader, ledger: &Path, messages: Messages) -> Told {
    let arguments = [("file", ledger.display().to_string().into())];
    Told::new(Exit::Failed, messages.with("error-ledger", &arguments))
        .why(error)
        .next(messages.text("next-ledger-header"))
}

pub(super) fn of_folder(error: &DirectoryError, folder: &Path, messages: Messages) -> Told {
    let next = match error {
        DirectoryError::Unreadable { source, .. } if source.kind() == ErrorKind::NotFound => "next-with-missing",
        DirectoryError::Unreadable { .. } => "next-file",
        DirectoryError::TooLarge { .. }
        | DirectoryError::Stations { .. }
        | DirectoryError::Twice { .. }
        | DirectoryError::Divisions(_)
        | DirectoryError::Vocabulary(_) => "next-with-broken",
    };
    let place = folder.display().to_string();
    let names = [("stations", STATIONS_FILE.into()), ("divisions", DIVISIONS_FILE.into())];
    Told::new(Exit::Failed, messages.with("error-with", &[("folder", place.into())]))
        .why(chain(error))
        .next(messages.with(next, &names))
}
