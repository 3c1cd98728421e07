//! Imports: many records of a ledger at once, with the states that their reviews had.
//!
//! A record and its state are one act; as many acts of one logbook as fit share a frame, and a call ends with one sync, so that thousands
//! of records take seconds. A state that comes with a ledger is an event marked as imported, which only coordinators may write.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_forms::FormKind;
use qianmo_protocol::control::Written;
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PersonCode};
use qianmo_protocol::limits::{PACK_ENTRIES_MAX, PACK_RAW_BYTES_MAX};
use qianmo_protocol::record::{AuthoredChange, Origin};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::time::Month;

use super::Owner;
use super::write::{Begun, code, not_authored};
use crate::answers;
use crate::draft::{ImportRights, ImportedRecord, ImportedState};
use crate::error::WriteError;
use crate::names::RecordId;

/// Most records of one call.
pub(crate) const IMPORT_RECORDS_MAX: usize = 4_096;
/// What one change takes in a frame beside its content.
const ENTRY_BYTES: usize = 32;

/// Changes that go into one frame.
#[derive(Default)]
struct Frame {
    records: Vec<DocId>,
    changes: Vec<(DocId, AuthoredChange)>,
    bytes: usize,
}

impl Frame {
    fn has_room(&self, act: &[(DocId, AuthoredChange)]) -> bool {
        self.changes.len() + act.len() <= PACK_ENTRIES_MAX && self.bytes + bytes_of(act) <= PACK_RAW_BYTES_MAX
    }
}

fn bytes_of(act: &[(DocId, AuthoredChange)]) -> usize {
    act.iter().map(|(_, change)| change.change.content().len() + ENTRY_BYTES).sum()
}

impl Owner {
    /// Files records. The answer has one result for each, in order: what the form does not take stops nothing else. An error of the
    /// whole means that the store failed or nobody may write here; some records may be filed then.
    pub(crate) fn import(
        &mut self,
        records: &[ImportedRecord],
    ) -> Result<Vec<Result<RecordId, WriteError>>, WriteError> {
        if records.len() > IMPORT_RECORDS_MAX {
            let detail = format!("{} records at once, at most {IMPORT_RECORDS_MAX}", records.len());
            return Err(WriteError::NotWritable { detail });
        }
        self.enrolled()?;
        let mut frames: BTreeMap<LogbookName, Frame> = BTreeMap::new();
        let mut results = Vec::with_capacity(records.len());
        for record in records {
            let (logbook, act) = match self.imported(record) {
                Ok(made) => made,
                Err(error) => {
                    results.push(Err(error));
                    continue;
                }
            };
            results.push(
                act.first()
                    .map(|(doc, _)| RecordId(*doc))
                    .ok_or_else(|| WriteError::NotWritable { detail: "nothing was authored".to_owned() }),
            );
            let frame = frames.entry(logbook.clone()).or_default();
            if !frame.has_room(&act) {
                let full = core::mem::take(frame);
                self.write_frame(&logbook, &full)?;
            }
            frame.bytes += bytes_of(&act);
            frame.records.extend(act.first().map(|(record, _)| *record));
            frame.changes.extend(act);
        }
        for (logbook, frame) in &frames {
            self.write_frame(logbook, frame)?;
        }
        Ok(results)
    }

    fn write_frame(&mut self, logbook: &LogbookName, frame: &Frame) -> Result<(), WriteError> {
        if frame.changes.is_empty() {
            return Ok(());
        }
        self.replica.write(logbook, &frame.changes, None)?;
        frame.records.iter().for_each(|record| self.wrote(*record));
        Ok(())
    }

    /// The record and the event of its state.
    fn imported(&self, given: &ImportedRecord) -> Result<(LogbookName, Vec<(DocId, AuthoredChange)>), WriteError> {
        let Begun { form, logbook, person, actor: _, doc, change } = self.begin(&given.draft, answers::import)?;
        let head = change.change.hash();
        let mut act = vec![(doc, change)];
        if form == FormKind::Record
            && let Some((kind, provenance)) = event_of(given.state)
        {
            act.push(self.imported_event(doc, &logbook, &person, head, kind, provenance)?);
        }
        Ok((logbook, act))
    }

    fn imported_event(
        &self,
        record: DocId,
        logbook: &LogbookName,
        person: &PersonCode,
        head: ChangeHash,
        kind: ReviewKind,
        provenance: Provenance,
    ) -> Result<(DocId, AuthoredChange), WriteError> {
        let origin = Origin { actor: self.fresh_actor(), person: person.clone(), time: self.now() };
        let event = ReviewEvent {
            record,
            logbook: logbook.id(&self.replica.org()),
            kind,
            heads: BTreeSet::from([head]),
            seen: BTreeSet::new(),
            reasons: BTreeSet::new(),
            field_notes: BTreeMap::new(),
            note: String::new(),
            provenance,
            person: person.clone(),
            time: origin.time,
        };
        let change = event.author(&origin).map_err(|error| not_authored(record, &error))?;
        Ok((DocId::from_root(&change.change.hash()), change))
    }

    /// What the present person may bring in for each station.
    pub(crate) fn import_rights(&self, stations: &BTreeSet<String>) -> Result<ImportRights, WriteError> {
        let person = self.person(None)?;
        let month = self.month().or_else(|| Month::parse("2025-01"));
        let mut rights = ImportRights {
            organisation: self.may(&person, &LogbookName::OrgDirectory, Written::DirectoryEntry),
            ..ImportRights::default()
        };
        for station in stations {
            let name = code("station", station)?;
            let Some(month) = month else { continue };
            let months = LogbookName::StationMonth(name.clone(), month);
            if self.may(&person, &months, Written::Record) {
                rights.records.insert(station.clone());
            }
            if self.may(&person, &months, Written::Decision) {
                rights.states.insert(station.clone());
            }
            if self.may(&person, &LogbookName::StationDirectory(name), Written::DirectoryEntry) {
                rights.directories.insert(station.clone());
            }
        }
        Ok(rights)
    }

    /// Whether every gate that knows what is known here would let a change pass.
    fn may(&self, person: &PersonCode, logbook: &LogbookName, what: Written) -> bool {
        self.replica.may_write(person, logbook, what).is_ok()
    }
}

fn event_of(state: ImportedState) -> Option<(ReviewKind, Provenance)> {
    match state {
        ImportedState::Unsubmitted => None,
        ImportedState::HandedIn => Some((ReviewKind::Submit, Provenance::Written)),
        ImportedState::Pending => Some((ReviewKind::Submit, Provenance::Imported)),
        ImportedState::Approved => Some((ReviewKind::Approve, Provenance::Imported)),
        ImportedState::Returned => Some((ReviewKind::Return, Provenance::Imported)),
    }
}
