//! The coordinator's desk: what a person decides or says of a record in the hub's pages.
//!
//! It is a review event like any other, in a pack of the hub's own device and in the name of the person, who is enrolled on
//! that device by the first act. It is judged, published and sent on as if it had come from a tablet. An act names the heads
//! and the events that the page showed: of two people who did not know of each other both acts stand (意见不一致), and a
//! decision on a record that has moved since is refused, so that its page can show the difference first.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngCore as _;

use qianmo_protocol::change::ActorId;
use qianmo_protocol::control::{CarrierFailure, Decision, Enrolment, Written};
use qianmo_protocol::ids::{ChangeHash, Code, DocId, Incarnation, LogId, LogbookName, PersonCode};
use qianmo_protocol::record::{AuthorError, AuthoredChange, Document, FieldPath, Origin, Resolution, resolve};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind, ReviewStatus};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::{ReplicaError, WriteError};

use super::{HubCore, HubError};

/// Zstandard's level for the hub's own packs: there are few, and they are small.
const PACK_LEVEL: i32 = 6;

/// What a person does at the desk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskAct {
    /// Who.
    pub person: PersonCode,
    /// The record.
    pub record: DocId,
    /// What is done.
    pub kind: DeskKind,
    /// The version that the page showed.
    pub heads: Vec<ChangeHash>,
    /// The events of the state that the page showed.
    pub seen: BTreeSet<DocId>,
    /// Reason codes.
    pub reasons: BTreeSet<Code>,
    /// Notes on fields.
    pub field_notes: BTreeMap<FieldPath, String>,
    /// A note on the whole.
    pub note: String,
}

/// What can be done to a record at the desk. Handing in and withdrawing are its author's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeskKind {
    /// 通过.
    Approve,
    /// 退回; it says why.
    Return,
    /// Opens a decided record again.
    Reopen,
    /// 意见; changes no state.
    Comment,
}

impl DeskKind {
    const fn kind(self) -> ReviewKind {
        match self {
            Self::Approve => ReviewKind::Approve,
            Self::Return => ReviewKind::Return,
            Self::Reopen => ReviewKind::Reopen,
            Self::Comment => ReviewKind::Comment,
        }
    }

    const fn is_decision(self) -> bool {
        self.kind().is_decision()
    }
}

/// A person settles a conflict: one of the values that the page showed stands from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskSettling {
    /// Who.
    pub person: PersonCode,
    /// The record.
    pub record: DocId,
    /// The version that the page showed.
    pub heads: Vec<ChangeHash>,
    /// The field.
    pub path: FieldPath,
    /// The change whose value is kept.
    pub keep: ChangeHash,
}

/// Why an act at the desk is not done. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// There is no such record here.
    #[error("there is no record {record}")]
    NoRecord {
        /// What was asked for.
        record: DocId,
    },
    /// The record has another version now than the one that was looked at.
    #[error("record {record} was changed while it was being looked at")]
    Moved {
        /// The record.
        record: DocId,
        /// The changes that were not looked at.
        news: BTreeSet<ChangeHash>,
    },
    /// Something the page showed is not here: it was erased or held since, or the page is of another hub.
    #[error("the version of record {record} that was looked at is not here")]
    VersionGone {
        /// The record.
        record: DocId,
    },
    /// The version that was looked at has no such conflict, or not with this value.
    #[error("there is no such conflict at {path}")]
    NoConflict {
        /// The field.
        path: FieldPath,
    },
    /// An approval of a record of which somebody has to say first which value stands.
    #[error("a conflict is to be settled before an approval")]
    InConflict,
    /// An approval of a record that is approved as it stands.
    #[error("the record is approved already")]
    ApprovedAlready,
    /// A decision on a record that its author has not handed in.
    #[error("the record is not handed in")]
    NotHandedIn,
    /// A return or a comment without a word.
    #[error("a return and a comment need a note")]
    NoteMissing,
    /// The person may not do this here.
    #[error("the person may not do this here")]
    NotAllowed(#[from] CarrierFailure),
    /// The act is too large, or breaks a rule of its kind.
    #[error("the act cannot be written")]
    NotWritable(#[from] AuthorError),
    /// It is too large for one save.
    #[error("the act could not be saved")]
    NotSaved(#[from] WriteError),
    /// The store failed.
    #[error("the act could not be stored")]
    Hub(#[from] HubError),
}

impl From<ReplicaError> for DeskError {
    fn from(error: ReplicaError) -> Self {
        Self::Hub(error.into())
    }
}

impl HubCore {
    /// Does what a person does at the desk, durably, and answers the event's document. Tablets hear of it after the next
    /// round.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn desk(&mut self, now: UnixMillis, act: &DeskAct) -> Result<DocId, DeskError> {
        let id = self.enter(now, act)?;
        self.send_own(now)?;
        Ok(id)
    }

    /// The same, before it is durable.
    pub(super) fn enter(&mut self, now: UnixMillis, act: &DeskAct) -> Result<DocId, DeskError> {
        let record = act.record;
        let (document, home) = self.open_record(record)?;
        if act.heads.is_empty() || !act.heads.iter().all(|head| document.contains(head)) {
            return Err(DeskError::VersionGone { record });
        }
        let shown: BTreeSet<ChangeHash> = act.heads.iter().copied().collect();
        let present: BTreeSet<ChangeHash> = document.heads().into_iter().collect();
        if act.kind.is_decision() && shown != present {
            return Err(DeskError::Moved { record, news: unseen(&document, &shown) });
        }
        let known: BTreeSet<DocId> = self.replica.reviews(&record)?.into_iter().map(|view| view.id).collect();
        if !act.seen.is_subset(&known) {
            return Err(DeskError::VersionGone { record });
        }
        if act.kind.is_decision() {
            let row = self.replica.record_row(&record)?;
            if row.is_some_and(|row| row.review.status == ReviewStatus::Unsubmitted) {
                return Err(DeskError::NotHandedIn);
            }
        }
        if act.kind == DeskKind::Approve && !document.conflicts().is_empty() {
            return Err(DeskError::InConflict);
        }
        let has_words = !act.note.trim().is_empty() || !act.field_notes.is_empty();
        if matches!(act.kind, DeskKind::Return | DeskKind::Comment) && !has_words {
            return Err(DeskError::NoteMissing);
        }
        let what = if act.kind.is_decision() { Written::Decision } else { Written::OwnWord };
        self.seat(now, &act.person, &home, what)?;
        let (id, change) = self.event_of(now, act, shown, &home)?;
        self.replica.write(&home, &[(id, change)], None)?;
        Ok(id)
    }

    /// Settles a conflict of the version that was looked at. What arrived meanwhile stays: it may be a conflict with this. A
    /// conflict that somebody else has settled meanwhile is not settled again: that would open it anew.
    ///
    /// # Errors
    /// [`DeskError`].
    pub fn settle_conflict(&mut self, now: UnixMillis, settling: &DeskSettling) -> Result<(), DeskError> {
        let DeskSettling { person, record, heads, path, keep } = settling;
        let (document, home) = self.open_record(*record)?;
        let conflicts = document.conflicts_at(heads).map_err(|_| DeskError::VersionGone { record: *record })?;
        let no_conflict = || DeskError::NoConflict { path: path.clone() };
        let conflict = conflicts.into_iter().find(|conflict| conflict.path == *path).ok_or_else(no_conflict)?;
        if !document.conflicts().iter().any(|conflict| conflict.path == *path) {
            return Err(no_conflict());
        }
        let kept = conflict.candidates.into_iter().find(|candidate| candidate.change == *keep);
        let keep = kept.ok_or_else(no_conflict)?.value;
        self.seat(now, person, &home, Written::Record)?;
        let origin = self.origin(now, person);
        let change = resolve(&document, heads, &origin, &[Resolution { path: path.clone(), keep }])?;
        self.replica.write(&home, &[(*record, change)], None)?;
        Ok(self.send_own(now)?)
    }

    fn open_record(&self, record: DocId) -> Result<(Document, LogbookName), DeskError> {
        let no_record = || DeskError::NoRecord { record };
        let document = self.replica.document(&record)?.ok_or_else(no_record)?;
        Ok((document, self.replica.home_of(&record)?.ok_or_else(no_record)?))
    }

    /// Of a person who has not written yet: every act has an actor of its own.
    fn origin(&mut self, now: UnixMillis, person: &PersonCode) -> Origin {
        let mut actor = [0; 16];
        self.rng.fill_bytes(&mut actor);
        Origin { actor: ActorId(actor), person: person.clone(), time: now }
    }

    fn event_of(
        &mut self,
        now: UnixMillis,
        act: &DeskAct,
        heads: BTreeSet<ChangeHash>,
        home: &LogbookName,
    ) -> Result<(DocId, AuthoredChange), AuthorError> {
        let origin = self.origin(now, &act.person);
        let seen = if act.kind == DeskKind::Comment { BTreeSet::new() } else { act.seen.clone() };
        let event = ReviewEvent {
            record: act.record,
            logbook: home.id(&self.org),
            kind: act.kind.kind(),
            heads,
            seen,
            reasons: act.reasons.clone(),
            field_notes: act.field_notes.clone(),
            note: act.note.clone(),
            provenance: Provenance::Written,
            person: act.person.clone(),
            time: now,
        };
        let change = event.author(&origin)?;
        Ok((DocId::from_root(&change.change.hash()), change))
    }

    /// Sees that a person may write something in a logbook, and that the hub's device counts them among its persons.
    fn seat(
        &mut self,
        now: UnixMillis,
        person: &PersonCode,
        logbook: &LogbookName,
        what: Written,
    ) -> Result<(), DeskError> {
        let log = LogId { device: self.replica.device(), incarnation: Incarnation([0; 8]) };
        let fold = self.replica.control().fold();
        if !fold.persons_of(&log.device).any(|known| known == person) {
            // Whoever has no role anywhere takes no seat: an enrolment is for ever.
            if fold.grants_of(person).next().is_none() {
                return Err(CarrierFailure::NoRole { person: person.clone(), what }.into());
            }
            let seat = fold.device(&log.device).and_then(|hub| {
                let persons = BTreeSet::from([person.clone()]);
                Some(Enrolment { key: *hub.key()?, persons, station: hub.station()?.clone(), replaces: None })
            });
            let seat = seat.ok_or(CarrierFailure::UnknownDevice { log })?;
            self.decide(now, vec![Decision::Enrol(seat)])?;
        }
        Ok(self.replica.may_write(person, logbook, what)?)
    }

    /// Makes what was written here durable, seals it and judges it, so that it goes to the tablets. Also when the hub opens:
    /// a crash may have come before the seal.
    pub(super) fn send_own(&mut self, now: UnixMillis) -> Result<(), HubError> {
        self.replica.sync()?;
        if self.replica.seal(now, PACK_LEVEL, &mut self.rng)? > 0 {
            self.replica.sync()?;
            self.judge_what_waits(now)?;
        }
        Ok(())
    }
}

/// The changes of a document that a version lacks.
fn unseen(document: &Document, heads: &BTreeSet<ChangeHash>) -> BTreeSet<ChangeHash> {
    let deps: BTreeMap<ChangeHash, &[ChangeHash]> =
        document.changes().map(|change| (change.hash(), change.head().deps.as_slice())).collect();
    let mut seen = BTreeSet::new();
    let mut todo: Vec<ChangeHash> = heads.iter().copied().collect();
    while let Some(next) = todo.pop() {
        if seen.insert(next) {
            todo.extend(deps.get(&next).copied().unwrap_or_default());
        }
    }
    deps.into_keys().filter(|hash| !seen.contains(hash)).collect()
}
