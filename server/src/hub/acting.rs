//! Decisions and facts become durable; and in whose name a decision was made.
//!
//! The control log says what was decided and when. Who decided it in the hub's pages is a fact of the hub's own store, written
//! in the same group: a person's code under the entry's hash. What the hub decides by itself, and what its commands decide,
//! has no such fact.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Decision, QuarantineScope, Role, Scope, SignedEntry, Signer};
use qianmo_protocol::ids::{Code, DeviceId, DocId, EntryHash, PersonCode, StationCode};
use qianmo_protocol::time::UnixMillis;

use super::{HubCore, HubError};

/// Most acts that are listed at a time.
pub const ACTS_PER_PAGE: usize = 50;

/// One administrative act, as the control log tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActRow {
    /// Its entry.
    pub entry: EntryHash,
    /// When, by the hub's clock.
    pub time: UnixMillis,
    /// Who did it in the hub's pages; `None` for a command at the hub, or the hub itself.
    pub by: Option<PersonCode>,
    /// What was done.
    pub what: ActWhat,
}

/// What an administrative act did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActWhat {
    /// The authority named the hub's keys.
    HubNamed,
    /// An epoch began: at the start, and after each restore.
    EpochBegun,
    /// A device was enrolled.
    Enrolled {
        /// Which.
        device: DeviceId,
        /// For whom.
        persons: Vec<PersonCode>,
        /// Where.
        station: StationCode,
    },
    /// Persons may work in the hub's own pages.
    AtDesk {
        /// Who.
        persons: Vec<PersonCode>,
    },
    /// A device was confirmed after a restore.
    Confirmed {
        /// Which.
        device: DeviceId,
    },
    /// After a restore everything was there.
    AdoptionComplete,
    /// A person got a right.
    Granted {
        /// Who.
        person: PersonCode,
        /// What.
        role: Role,
        /// Where.
        scope: Scope,
    },
    /// A right was withdrawn.
    Withdrawn {
        /// Whose and which, when the grant is known.
        grant: Option<(PersonCode, Role)>,
    },
    /// A device was revoked.
    Revoked {
        /// Which.
        device: DeviceId,
        /// Why, as a code.
        reason: u16,
    },
    /// A form got a version.
    Form {
        /// Which form.
        form: Code,
        /// Which version.
        version: u32,
    },
    /// A lowest version of programs was set.
    MinimumVersion {
        /// Which.
        version: u16,
    },
    /// It was lifted.
    MinimumVersionEnded,
    /// Something was erased for good.
    Erased {
        /// Why, as a code.
        reason: u16,
    },
    /// Something held was let through.
    Released {
        /// Why it had been held, as a code, when that is known.
        code: Option<u16>,
        /// Of which document.
        doc: Option<DocId>,
    },
}

fn act_key(entry: &EntryHash) -> Vec<u8> {
    [b"act by ".as_slice(), &entry.0].concat()
}

/// Whether a decision is somebody's: what the gate and the hub's sessions decide is not.
const fn is_act(decision: &Decision) -> bool {
    match decision {
        Decision::Hub(_)
        | Decision::EpochStart { .. }
        | Decision::Enrol(_)
        | Decision::Confirm { .. }
        | Decision::AdoptionComplete { .. }
        | Decision::Grant(_)
        | Decision::Cut { .. }
        | Decision::Revoke { .. }
        | Decision::Form(_)
        | Decision::MinimumVersion { .. }
        | Decision::EndMinimumVersion { .. }
        | Decision::Purge(_)
        | Decision::Release { .. } => true,
        Decision::MoreTips { .. }
        | Decision::Quarantine { .. }
        | Decision::ForkProof { .. }
        | Decision::Adopt { .. }
        | Decision::Unknown { .. } => false,
    }
}

impl HubCore {
    /// Does something in a person's name: every decision it makes says so.
    pub fn acting<T>(&mut self, person: &PersonCode, act: impl FnOnce(&mut Self) -> T) -> T {
        self.acting = Some(person.clone());
        let done = act(self);
        self.acting = None;
        done
    }

    /// Writes down who makes these decisions, with the next sync.
    fn note_acts<'a>(
        &mut self,
        decisions: impl Iterator<Item = (&'a Decision, &'a EntryHash)>,
    ) -> Result<(), HubError> {
        let Some(person) = self.acting.clone() else { return Ok(()) };
        for (_, entry) in decisions.filter(|(decision, _)| is_act(decision)) {
            self.put_meta(&act_key(entry), person.as_str().as_bytes())?;
        }
        Ok(())
    }

    /// Administrative acts, newest first, and whether there are more: those after an entry, or the newest.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be read.
    pub fn acts(&self, after: Option<&EntryHash>) -> Result<(Vec<ActRow>, bool), HubError> {
        let control = self.replica.control();
        let of_act = |(hash, entry): (&EntryHash, &SignedEntry)| {
            let content = entry.content();
            is_act(&content.decision).then_some((content.time, content.number, *hash))
        };
        let mut order: Vec<_> = control.iter().filter_map(of_act).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        let begin = after.and_then(|after| order.iter().position(|(.., hash)| hash == after));
        let mut rest = order.into_iter().skip(begin.map_or(0, |at| at.saturating_add(1)));
        let mut rows = Vec::new();
        for (time, _, entry) in rest.by_ref().take(ACTS_PER_PAGE) {
            let Some(decision) = control.entry(&entry).map(|signed| signed.content().decision.clone()) else {
                continue;
            };
            let by = self.replica.meta(&act_key(&entry))?;
            let by = by.and_then(|bytes| Code::new(core::str::from_utf8(&bytes).ok()?).ok());
            if let Some(what) = self.told(decision)? {
                rows.push(ActRow { entry, time, by, what });
            }
        }
        Ok((rows, rest.next().is_some()))
    }

    /// What a decision did; `None` for what is nobody's act.
    fn told(&self, decision: Decision) -> Result<Option<ActWhat>, HubError> {
        let control = self.replica.control();
        let ended = |ends: &EntryHash| control.entry(ends).map(|signed| &signed.content().decision);
        Ok(Some(match decision {
            Decision::Hub(_) => ActWhat::HubNamed,
            Decision::EpochStart { .. } => ActWhat::EpochBegun,
            Decision::Enrol(enrolment) => {
                let device = enrolment.device();
                let persons = enrolment.persons.into_iter().collect();
                if device == self.replica.device() {
                    ActWhat::AtDesk { persons }
                } else {
                    ActWhat::Enrolled { device, persons, station: enrolment.station }
                }
            }
            Decision::Confirm { device } => ActWhat::Confirmed { device },
            Decision::AdoptionComplete { .. } => ActWhat::AdoptionComplete,
            Decision::Grant(grant) => ActWhat::Granted { person: grant.person, role: grant.role, scope: grant.scope },
            Decision::Cut { ends, .. } => ActWhat::Withdrawn {
                grant: match ended(&ends) {
                    Some(Decision::Grant(grant)) => Some((grant.person.clone(), grant.role)),
                    Some(_) | None => None,
                },
            },
            Decision::Revoke { device, reason, .. } => ActWhat::Revoked { device, reason },
            Decision::Form(form) => ActWhat::Form { form: form.form, version: form.version },
            Decision::MinimumVersion { version } => ActWhat::MinimumVersion { version },
            Decision::EndMinimumVersion { .. } => ActWhat::MinimumVersionEnded,
            Decision::Purge(purge) => ActWhat::Erased { reason: purge.reason },
            Decision::Release { ends } => match ended(&ends) {
                Some(Decision::Quarantine { scope, code }) => {
                    let doc = match scope {
                        QuarantineScope::Change { change, .. } => self.replica.document_of(change)?,
                        QuarantineScope::Pack(_) | QuarantineScope::LogBeyondTips { .. } => None,
                    };
                    ActWhat::Released { code: Some(*code), doc }
                }
                Some(_) | None => ActWhat::Released { code: None, doc: None },
            },
            Decision::MoreTips { .. }
            | Decision::Quarantine { .. }
            | Decision::ForkProof { .. }
            | Decision::Adopt { .. }
            | Decision::Unknown { .. } => return Ok(None),
        }))
    }

    /// Signs decisions, each with the one before as its parent, and makes them durable.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn decide(&mut self, now: UnixMillis, decisions: Vec<Decision>) -> Result<Vec<EntryHash>, HubError> {
        if decisions.is_empty() {
            return Ok(Vec::new());
        }
        self.replica.sync()?;
        let hashes = self.append_decisions(now, decisions)?;
        self.replica.sync()?;
        Ok(hashes)
    }

    /// As [`HubCore::decide`], to be made durable by the caller together with what else it appends.
    pub(crate) fn append_decisions(
        &mut self,
        now: UnixMillis,
        decisions: Vec<Decision>,
    ) -> Result<Vec<EntryHash>, HubError> {
        let mut signed = Vec::with_capacity(decisions.len());
        let mut hashes: Vec<EntryHash> = Vec::with_capacity(decisions.len());
        let mut number = None;
        for decision in decisions {
            if matches!(decision, Decision::Grant(_)) {
                self.sweep.begin();
            }
            let mut entry = self.replica.control().draft(Signer::Hub(self.hub), self.epoch, now, decision);
            if let (Some(number), Some(parent)) = (number, hashes.last()) {
                entry.number = number;
                entry.parents = BTreeSet::from([*parent]);
            }
            number = Some(entry.number.saturating_add(1));
            hashes.push(entry.hash(&self.org));
            signed.push(SignedEntry::sign(&self.org, &self.signing, entry)?);
        }
        self.note_acts(signed.iter().map(|entry| &entry.content().decision).zip(&hashes))?;
        self.replica.adopt(signed)?;
        Ok(hashes)
    }

    /// Signs decisions together with facts appended before, and makes the group durable with one sync.
    pub(crate) fn decide_in_one_group(&mut self, now: UnixMillis, decisions: Vec<Decision>) -> Result<(), HubError> {
        self.append_decisions(now, decisions)?;
        self.replica.sync()?;
        Ok(())
    }

    pub(crate) fn put_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), HubError> {
        Ok(self.replica.put_meta(key, value)?)
    }

    pub(crate) fn put_durable(&mut self, key: &[u8], value: &[u8]) -> Result<(), HubError> {
        self.replica.put_meta(key, value)?;
        self.replica.sync()?;
        Ok(())
    }
}
