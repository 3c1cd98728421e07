//! The rights of one change in one pack: the carrier half of the gate's judgement (A1, A10).
//!
//! Four questions in a fixed order: the device, the revocation, the person, the grant. A coordinator's release answers
//! the question for which the pack was held, and no other.
//!
//! # Failure
//!
//! [`CarrierFailure`] becomes the code of a quarantine. Codes 256 to 511 are the carrier's; the content's lie outside.

use crate::bugs::{Bug, injected};
use crate::control::{ControlLog, Fold, Grant, Role};
use crate::ids::{ChangeHash, EntryHash, LogId, LogbookName, PackHash, PersonCode};

/// What kind of document a change writes. It decides which roles may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Written {
    /// A record.
    Record,
    /// Approve, return, reopen, imported: what decides the state of another's record.
    Decision,
    /// The author's own submit or withdraw, or a comment.
    OwnWord,
    /// A document of a station's directory or the organisation's.
    DirectoryEntry,
}

/// What the judge must know of a change and its pack.
#[derive(Debug, Clone, Copy)]
pub struct CarrierFacts<'a> {
    /// The pack's logbook.
    pub logbook: &'a LogbookName,
    /// The pack's log; its device is who signed the pack.
    pub log: LogId,
    /// The pack.
    pub pack: PackHash,
    /// The change.
    pub change: ChangeHash,
    /// The control entry that the pack names as its position.
    pub position: EntryHash,
    /// The person in whose name it was written.
    pub person: &'a PersonCode,
    /// What it writes.
    pub what: Written,
}

/// What a failure is about. A release of one quarantine answers one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CarrierQuestion {
    /// Is the device enrolled, alone under its id, and its position known?
    Device,
    /// Is the pack within the device's revocation?
    Revocation,
    /// Does the person work on the device?
    Person,
    /// Does the person have the right?
    Grant,
}

/// Why a pack does not carry a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CarrierFailure {
    /// Code 256: no entry enrols the device. Judge again when the control log has grown.
    #[error("device {} is not enrolled", log.device)]
    UnknownDevice {
        /// The log.
        log: LogId,
    },
    /// Code 257: two keys share the device's id; it must enrol again.
    #[error("two keys share the device id {}", log.device)]
    TwoKeys {
        /// The log.
        log: LogId,
    },
    /// Code 258: the pack's control position is not known. Judge again when the control log has grown.
    #[error("the control position {position} is not known here")]
    PositionUnknown {
        /// The position.
        position: EntryHash,
    },
    /// Code 259: the device is revoked, and the pack is beyond the cut. A coordinator may release it.
    #[error("device {} is revoked by {revocation}, and the pack is beyond its cut", log.device)]
    RevokedBeyondCut {
        /// The log.
        log: LogId,
        /// The revocation.
        revocation: EntryHash,
    },
    /// Code 260: the person does not work on this device (R6).
    #[error("{person} is not a person of device {}", log.device)]
    NotDevicePerson {
        /// The log.
        log: LogId,
        /// The person.
        person: PersonCode,
    },
    /// Code 261: no grant of the person has a role that may write this.
    #[error("{person} has no role that may write a {what:?}")]
    NoRole {
        /// The person.
        person: PersonCode,
        /// What was written.
        what: Written,
    },
    /// Code 262: the person has the role, but not for this logbook.
    #[error("{person} has no grant for {logbook}")]
    OutOfScope {
        /// The person.
        person: PersonCode,
        /// The logbook.
        logbook: LogbookName,
    },
    /// Code 263: the grant was cut, and the pack is beyond the cut. A coordinator may release it.
    #[error("the grant {grant} of {person} was cut, and the pack is beyond the cut")]
    BeyondCut {
        /// The person.
        person: PersonCode,
        /// The grant.
        grant: EntryHash,
    },
    /// Code 264: the person decided without having seen the grant. A coordinator may release it.
    #[error("{person} decided at position {position}, which does not contain the grant {grant}")]
    GrantAfterPosition {
        /// The person.
        person: PersonCode,
        /// The grant.
        grant: EntryHash,
        /// The position.
        position: EntryHash,
    },
}

impl CarrierFailure {
    /// The stable code, as a quarantine carries it.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::UnknownDevice { .. } => 256,
            Self::TwoKeys { .. } => 257,
            Self::PositionUnknown { .. } => 258,
            Self::RevokedBeyondCut { .. } => 259,
            Self::NotDevicePerson { .. } => 260,
            Self::NoRole { .. } => 261,
            Self::OutOfScope { .. } => 262,
            Self::BeyondCut { .. } => 263,
            Self::GrantAfterPosition { .. } => 264,
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn question(&self) -> CarrierQuestion {
        match self {
            Self::UnknownDevice { .. } | Self::TwoKeys { .. } | Self::PositionUnknown { .. } => CarrierQuestion::Device,
            Self::RevokedBeyondCut { .. } => CarrierQuestion::Revocation,
            Self::NotDevicePerson { .. } => CarrierQuestion::Person,
            Self::NoRole { .. }
            | Self::OutOfScope { .. }
            | Self::BeyondCut { .. }
            | Self::GrantAfterPosition { .. } => CarrierQuestion::Grant,
        }
    }

    /// Whether the pack waits for the control log rather than being held: nothing is published, it is judged again.
    #[must_use]
    pub const fn waits(&self) -> bool {
        match self {
            Self::UnknownDevice { .. } | Self::PositionUnknown { .. } => true,
            Self::TwoKeys { .. }
            | Self::RevokedBeyondCut { .. }
            | Self::NotDevicePerson { .. }
            | Self::NoRole { .. }
            | Self::OutOfScope { .. }
            | Self::BeyondCut { .. }
            | Self::GrantAfterPosition { .. } => false,
        }
    }
}

impl CarrierQuestion {
    /// The question of a code; `None` for a code of the content.
    #[must_use]
    pub const fn of_code(code: u16) -> Option<Self> {
        match code {
            256..=258 => Some(Self::Device),
            259 => Some(Self::Revocation),
            260 => Some(Self::Person),
            261..=264 => Some(Self::Grant),
            _ => None,
        }
    }
}

/// Whether a review event held with this code still hides the events it saw (A3): one held for a cut or for its content
/// does and counts as undecided, so that losing a return revives no approval; one held for lack of role or person hides
/// nothing.
#[must_use]
pub const fn held_review_still_hides(code: u16) -> bool {
    match code {
        259 | 263 => true,
        256..=511 => false,
        _ => true,
    }
}

impl Role {
    /// Whether a role may write this into such a logbook, inside its scope.
    #[must_use]
    pub const fn may_write(self, what: Written, logbook: &LogbookName) -> bool {
        match (logbook, what) {
            (LogbookName::OrgDirectory, _) => matches!(self, Self::Coordinator | Self::Admin),
            (LogbookName::StationDirectory(_) | LogbookName::StationMonth(..), Written::Decision) => {
                matches!(self, Self::Coordinator)
            }
            (
                LogbookName::StationDirectory(_) | LogbookName::StationMonth(..),
                Written::Record | Written::OwnWord | Written::DirectoryEntry,
            ) => matches!(self, Self::Technician | Self::Expert | Self::Coordinator | Self::Admin),
        }
    }
}

impl ControlLog {
    /// Judges the rights of one change in one pack.
    ///
    /// A record passes by any grant known here that permits it, if the pack is not beyond that grant's cut; a decision
    /// needs the grant inside the closure of the pack's position. `is_at_or_before` says whether the judged pack is the
    /// given tip or an ancestor of it.
    ///
    /// # Errors
    /// [`CarrierFailure`]: the change is held in this pack, or waits if [`CarrierFailure::waits`].
    pub fn judge_carrier(
        &self,
        facts: &CarrierFacts<'_>,
        is_at_or_before: &dyn Fn(&PackHash) -> bool,
    ) -> Result<(), CarrierFailure> {
        let judge = Judge { log: self, fold: self.fold(), facts, is_at_or_before };
        judge.unless_released(judge.device())?;
        judge.unless_released(judge.revocation())?;
        judge.unless_released(judge.person())?;
        judge.unless_released(judge.grant())
    }
}

struct Judge<'a> {
    log: &'a ControlLog,
    fold: &'a Fold,
    facts: &'a CarrierFacts<'a>,
    is_at_or_before: &'a dyn Fn(&PackHash) -> bool,
}

/// How near a grant came to permitting the change: the nearest miss is the one that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Miss {
    Role,
    Scope,
    Position,
    Cut,
}

impl Judge<'_> {
    /// Lets a failure pass when a coordinator released a quarantine of this change in this pack for the same question,
    /// and no later quarantine for that question still holds.
    fn unless_released(&self, outcome: Result<(), CarrierFailure>) -> Result<(), CarrierFailure> {
        let Err(failure) = outcome else {
            return Ok(());
        };
        let question = Some(failure.question());
        let codes = self.fold.quarantines.carrier_codes(&self.facts.change, &self.facts.pack);
        let mut is_released = false;
        for (_, released) in codes.filter(|(code, _)| CarrierQuestion::of_code(*code) == question) {
            if !released {
                return Err(failure);
            }
            is_released = true;
        }
        if is_released { Ok(()) } else { Err(failure) }
    }

    fn device(&self) -> Result<(), CarrierFailure> {
        let log = self.facts.log;
        match self.fold.device(&log.device) {
            Some(device) if device.has_two_keys() => Err(CarrierFailure::TwoKeys { log }),
            Some(device) if device.is_enrolled() => self.position(),
            Some(_) | None => Err(CarrierFailure::UnknownDevice { log }),
        }
    }

    fn position(&self) -> Result<(), CarrierFailure> {
        let position = self.facts.position;
        if self.log.contains(&position) { Ok(()) } else { Err(CarrierFailure::PositionUnknown { position }) }
    }

    /// The pack must be within every revocation of the device.
    fn revocation(&self) -> Result<(), CarrierFailure> {
        let log = self.facts.log;
        let mut revocations = self.fold.device(&log.device).into_iter().flat_map(|device| device.revocations());
        match revocations.find(|(revocation, _)| !self.is_within(revocation)) {
            Some(_) if injected(Bug::RevocationIgnored) => Ok(()),
            Some((revocation, _)) => Err(CarrierFailure::RevokedBeyondCut { log, revocation: *revocation }),
            None => Ok(()),
        }
    }

    fn person(&self) -> Result<(), CarrierFailure> {
        let log = self.facts.log;
        if self.fold.device(&log.device).is_some_and(|device| device.has_person(self.facts.person)) {
            Ok(())
        } else {
            Err(CarrierFailure::NotDevicePerson { log, person: self.facts.person.clone() })
        }
    }

    fn grant(&self) -> Result<(), CarrierFailure> {
        let mut nearest: Option<(Miss, EntryHash)> = None;
        for (hash, grant) in self.fold.grants_of(self.facts.person) {
            let Some(miss) = self.miss(hash, grant) else {
                return Ok(());
            };
            if nearest.is_none_or(|(best, _)| best < miss) {
                nearest = Some((miss, *hash));
            }
        }
        let person = self.facts.person.clone();
        Err(match nearest {
            None | Some((Miss::Role, _)) => CarrierFailure::NoRole { person, what: self.facts.what },
            Some((Miss::Scope, _)) => CarrierFailure::OutOfScope { person, logbook: self.facts.logbook.clone() },
            Some((Miss::Position, grant)) => {
                CarrierFailure::GrantAfterPosition { person, grant, position: self.facts.position }
            }
            Some((Miss::Cut, grant)) => CarrierFailure::BeyondCut { person, grant },
        })
    }

    /// Why a grant does not permit the change; `None` when it does.
    fn miss(&self, hash: &EntryHash, grant: &Grant) -> Option<Miss> {
        if !grant.role.may_write(self.facts.what, self.facts.logbook) {
            return Some(Miss::Role);
        }
        if !grant.scope.covers(self.facts.logbook) {
            return Some(Miss::Scope);
        }
        let needs_position = match self.facts.what {
            Written::Decision => true,
            Written::Record | Written::OwnWord | Written::DirectoryEntry => false,
        };
        if needs_position && !self.log.closure_contains(&self.facts.position, hash) {
            return Some(Miss::Position);
        }
        let is_beyond = self.fold.cuts_of(hash).any(|cut| !self.is_within(cut));
        (is_beyond && !injected(Bug::CutIgnored)).then_some(Miss::Cut)
    }

    /// Whether the pack is within a cut or revocation.
    fn is_within(&self, cut: &EntryHash) -> bool {
        let logbook = self.facts.logbook.id(&self.fold.org);
        self.fold.is_within(cut, &logbook, &self.facts.log, self.is_at_or_before)
    }
}
