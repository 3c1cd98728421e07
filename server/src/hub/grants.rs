//! A later grant: packs that were held only for lack of it are released (A10).
//!
//! Whoever has records of an offline week written before somebody thought of granting the second station gets them through
//! without asking. Decisions are not released so: what a person decides needs the grant in what they had seen.
//!
//! # Limits
//!
//! [`LOOKED_AT_PER_BATCH`]: what is left is looked at with the next batch; [`HubCore::has_more_to_do`] says so.

use qianmo_protocol::control::{Carrier, Decision, QuarantineScope};
use qianmo_protocol::ids::{ChangeHash, EntryHash, PackHash};
use qianmo_protocol::time::UnixMillis;

use super::{HubCore, HubError};

/// No grant of the person has a role that may write this.
const CODE_NO_ROLE: u16 = 261;
/// The person has the role, but not for this logbook.
const CODE_OUT_OF_SCOPE: u16 = 262;
/// The grant was cut, and the pack is beyond the cut.
pub(super) const CODE_BEYOND_CUT: u16 = 263;
/// Most held changes that are judged again in one batch.
const LOOKED_AT_PER_BATCH: usize = 128;

/// How far the held changes were looked at since the last grant.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    is_due: bool,
    after: Option<EntryHash>,
    /// Whether one was released in this sweep: what depends on it may follow.
    has_released: bool,
}

impl Sweep {
    /// Somebody got a right: everything held is looked at again.
    pub(super) const fn begin(&mut self) {
        *self = Self { is_due: true, after: None, has_released: false };
    }

    pub(super) const fn is_due(&self) -> bool {
        self.is_due
    }
}

impl HubCore {
    /// After grants: releases what they let through, as much as one batch may look at.
    pub(super) fn follow_grants(&mut self, now: UnixMillis) -> Result<(), HubError> {
        if !self.sweep.is_due() {
            return Ok(());
        }
        let held = self.held_for_lack_of_a_grant();
        let page: Vec<_> = held.iter().take(LOOKED_AT_PER_BATCH).copied().collect();
        let mut released = Vec::new();
        for (entry, change, pack) in &page {
            if self.replica.would_carry(change, pack)? {
                released.push(Decision::Release { ends: *entry });
            }
        }
        self.sweep.has_released |= !released.is_empty();
        if page.len() < held.len() {
            self.sweep.after = page.last().map(|(entry, ..)| *entry);
        } else if self.sweep.has_released {
            self.sweep.begin();
        } else {
            self.sweep = Sweep::default();
        }
        if released.is_empty() {
            return Ok(());
        }
        tracing::info!(count = released.len(), "records are released that were held for lack of a grant");
        self.counters.releases += u64::try_from(released.len()).unwrap_or(u64::MAX);
        self.decide(now, released)?;
        self.judge_what_waits(now)
    }

    /// What is held in one pack because nobody had granted it, ascending by entry, after the last one that was looked at.
    fn held_for_lack_of_a_grant(&self) -> Vec<(EntryHash, ChangeHash, PackHash)> {
        let fold = self.replica.control().fold();
        let mut held: Vec<_> = fold
            .holding()
            .filter(|(entry, _, code)| {
                matches!(*code, CODE_NO_ROLE | CODE_OUT_OF_SCOPE | CODE_BEYOND_CUT)
                    && self.sweep.after.is_none_or(|after| *entry > after)
            })
            .filter_map(|(entry, scope, _)| match scope {
                QuarantineScope::Change { change, carrier: Carrier::Pack(pack) } => {
                    (!fold.is_change_purged(&change)).then_some((entry, change, pack))
                }
                QuarantineScope::Change { carrier: Carrier::Content, .. }
                | QuarantineScope::Pack(_)
                | QuarantineScope::LogBeyondTips { .. } => None,
            })
            .collect();
        held.sort_unstable();
        held
    }
}
