//! Review events and comments of this device's persons.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::Written;
use qianmo_protocol::ids::{ChangeHash, Code, DocId, LogbookName, PersonCode};
use qianmo_protocol::record::{AuthoredChange, Origin};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};

use super::Owner;
use super::write::{code, not_authored};
use crate::draft::{Decision, ReviewNotes, WithdrawReason};
use crate::error::WriteError;
use crate::names::{FieldPath, RecordId, RecordVersion};

/// What an event is about, and who writes it looking at what.
#[derive(Debug, Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) record: DocId,
    pub(super) logbook: &'a LogbookName,
    pub(super) person: &'a PersonCode,
    pub(super) heads: &'a [ChangeHash],
}

/// The words of an event.
#[derive(Debug, Clone, Default)]
pub(super) struct Words {
    reasons: BTreeSet<Code>,
    field_notes: BTreeMap<qianmo_protocol::record::FieldPath, String>,
    note: String,
}

impl Words {
    fn of(notes: &ReviewNotes) -> Result<Self, WriteError> {
        let reasons = notes.reasons.iter().map(|reason| code("reason", reason)).collect::<Result<_, _>>()?;
        let mut field_notes = BTreeMap::new();
        for (path, note) in notes.fields.iter().filter(|(_, note)| !note.is_empty()) {
            let place = FieldPath::new(path.as_str()).to_record();
            let place = place.ok_or_else(|| WriteError::Code { what: "field path", text: path.clone() })?;
            field_notes.insert(place, note.clone());
        }
        Ok(Self { reasons, field_notes, note: notes.note.clone() })
    }
}

impl Owner {
    /// Authors an event as a document of its own.
    pub(super) fn author_review(
        &self,
        about: About<'_>,
        kind: ReviewKind,
        seen: BTreeSet<DocId>,
        words: Words,
    ) -> Result<(DocId, AuthoredChange), WriteError> {
        let origin = Origin { actor: self.fresh_actor(), person: about.person.clone(), time: self.now() };
        let event = ReviewEvent {
            record: about.record,
            logbook: about.logbook.id(&self.replica.org()),
            kind,
            heads: about.heads.iter().copied().collect(),
            seen,
            reasons: words.reasons,
            field_notes: words.field_notes,
            note: words.note,
            provenance: Provenance::Written,
            person: about.person.clone(),
            time: origin.time,
        };
        let change = event.author(&origin).map_err(|error| not_authored(about.record, &error))?;
        Ok((DocId::from_root(&change.change.hash()), change))
    }

    /// Writes one event about a record as the person saw it.
    fn review(
        &mut self,
        record: RecordId,
        version: Option<&RecordVersion>,
        kind: ReviewKind,
        words: Words,
    ) -> Result<(), WriteError> {
        let person = self.person(None)?;
        let (document, home) = self.open_record(record)?;
        let heads = match version {
            Some(version) if !injected(Bug::PinnedToNewest) => version.heads(),
            Some(_) | None => document.heads(),
        };
        if heads.iter().any(|head| !document.contains(head)) {
            return Err(WriteError::VersionGone { record });
        }
        if kind.is_decision() {
            self.check_right(&person, &home)?;
        }
        let seen = match kind {
            ReviewKind::Comment => BTreeSet::new(),
            ReviewKind::Submit
            | ReviewKind::Approve
            | ReviewKind::Return
            | ReviewKind::Reopen
            | ReviewKind::Withdraw => self.replica.review_state(&record.0, &document.heads())?.seen_now,
        };
        let about = About { record: record.0, logbook: &home, person: &person, heads: &heads };
        let event = self.author_review(about, kind, seen, words)?;
        self.replica.write(&home, &[event], None)?;
        self.wrote(record.0);
        Ok(())
    }

    /// A decision needs a right that is known here now; without one every gate would hold it.
    fn check_right(&self, person: &PersonCode, logbook: &LogbookName) -> Result<(), WriteError> {
        let allowed = self.replica.may_write(person, logbook, Written::Decision);
        allowed.map_err(|failure| WriteError::NotAllowed { code: failure.code() })
    }

    /// Hands a record in again, at the version shown.
    pub(crate) fn submit(&mut self, record: RecordId, version: &RecordVersion) -> Result<(), WriteError> {
        self.review(record, Some(version), ReviewKind::Submit, Words::default())
    }

    pub(crate) fn withdraw(&mut self, record: RecordId, reason: &WithdrawReason) -> Result<(), WriteError> {
        let reasons = reason.code.iter().cloned().collect();
        let notes = ReviewNotes { reasons, note: reason.note.clone(), fields: BTreeMap::new() };
        self.review(record, None, ReviewKind::Withdraw, Words::of(&notes)?)
    }

    pub(crate) fn comment(
        &mut self,
        record: RecordId,
        version: &RecordVersion,
        notes: &ReviewNotes,
    ) -> Result<(), WriteError> {
        self.review(record, Some(version), ReviewKind::Comment, Words::of(notes)?)
    }

    pub(crate) fn decide(
        &mut self,
        record: RecordId,
        version: &RecordVersion,
        decision: Decision,
        notes: &ReviewNotes,
    ) -> Result<(), WriteError> {
        let kind = match decision {
            Decision::Approve => ReviewKind::Approve,
            Decision::Return => ReviewKind::Return,
            Decision::Reopen => ReviewKind::Reopen,
        };
        self.review(record, Some(version), kind, Words::of(notes)?)
    }
}
