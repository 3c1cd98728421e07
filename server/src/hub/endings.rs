//! A revocation or a cut that a restored hub hears of again (A4, A10): what it took meanwhile is judged once more.
//!
//! A hub that was restored from before a revocation takes what the device brings as if nothing had happened, until another
//! device shows it the decision. From then on its packs beyond the cut carry nothing, as if the hub had known all along; a
//! coordinator may release them. An administrator's own cut lists everything the hub holds, so it needs no second look.
//!
//! # Limits
//!
//! [`PACKS_PER_BATCH`]: the rest is looked at with the next batch; [`HubCore::has_more_to_do`] says so.

use std::collections::{BTreeSet, VecDeque};

use qianmo_protocol::control::Decision;
use qianmo_protocol::ids::{DeviceId, LogbookName, PackHash};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::{HeldChange, HeldPart};

use super::grants::CODE_BEYOND_CUT;
use super::{HubCore, HubError};

/// The meta key of the fact that a second look is due: not empty while it is.
const ENDINGS_KEY: &[u8] = b"hub endings";
/// The device is revoked, and the pack is beyond its cut.
const CODE_REVOKED_BEYOND_CUT: u16 = 259;
/// Most packs that are looked at in one batch.
const PACKS_PER_BATCH: usize = 8;

/// What is still to be looked at.
#[derive(Debug, Default)]
pub(super) struct Endings {
    /// A decision came that ends a right; the packs are listed once it is in the control log.
    is_due: bool,
    left: VecDeque<(LogbookName, PackHash)>,
}

impl Endings {
    pub(super) fn has_more(&self) -> bool {
        self.is_due || !self.left.is_empty()
    }
}

/// Whether a decision ends a right.
pub(super) const fn ends_a_right(decision: &Decision) -> bool {
    matches!(decision, Decision::Cut { .. } | Decision::Revoke { .. } | Decision::MoreTips { .. })
}

impl HubCore {
    /// A device shows a decision of another life that ends a right. Written down before the decision itself: after a crash
    /// nobody shows it again.
    pub(super) fn note_ending(&mut self) -> Result<(), HubError> {
        if !self.endings.is_due {
            self.endings.is_due = true;
            self.put_meta(ENDINGS_KEY, &[1])?;
        }
        Ok(())
    }

    /// When the hub is opened: a crash may have come before everything was looked at.
    pub(super) fn resume_endings(&mut self) -> Result<(), HubError> {
        self.endings.is_due = self.replica.meta(ENDINGS_KEY)?.is_some_and(|bytes| !bytes.is_empty());
        Ok(())
    }

    /// Looks again at what devices brought whose rights have ended, as much as one batch may.
    pub(super) fn follow_endings(&mut self, now: UnixMillis) -> Result<(), HubError> {
        if !self.endings.has_more() {
            return Ok(());
        }
        if core::mem::take(&mut self.endings.is_due) {
            self.endings.left = self.packs_of_the_ended();
        }
        let mut held = Vec::new();
        for _ in 0..PACKS_PER_BATCH {
            let Some((name, pack)) = self.endings.left.pop_front() else { break };
            held.extend(self.beyond_an_ending(&name, &pack)?);
        }
        if !held.is_empty() {
            tracing::warn!(count = held.len(), "what came before a revocation or a cut was known again is held now");
            self.publish(now, held, &[])?;
        }
        if self.endings.left.is_empty() {
            self.put_durable(ENDINGS_KEY, &[])?;
        }
        Ok(())
    }

    /// Every pack of a device that is revoked, or of whose persons one has lost a right.
    fn packs_of_the_ended(&self) -> VecDeque<(LogbookName, PackHash)> {
        let fold = self.replica.control().fold();
        let has_cut = |device: &DeviceId| {
            fold.persons_of(device).any(|person| fold.grants_of(person).any(|(grant, _)| fold.is_cut(grant)))
        };
        let ended: BTreeSet<DeviceId> =
            fold.devices().filter(|(id, device)| device.is_revoked() || has_cut(id)).map(|(id, _)| *id).collect();
        let mut packs = BTreeSet::new();
        for name in self.replica.logbooks() {
            for tip in self.replica.tips(&name).into_iter().filter(|tip| ended.contains(&tip.log.device)) {
                let mut at = tip.head;
                while let Some(node) = self.replica.node(&name, &at) {
                    if !packs.insert((name.clone(), at)) {
                        break;
                    }
                    at = node.prev;
                }
            }
        }
        packs.into_iter().collect()
    }

    fn beyond_an_ending(&self, name: &LogbookName, pack: &PackHash) -> Result<Vec<HeldChange>, HubError> {
        let Some(stored) = self.replica.pack(name, pack) else { return Ok(Vec::new()) };
        let device = stored.header.log.device;
        let fold = self.replica.control().fold();
        let mut held = Vec::new();
        for entry in stored.open().unwrap_or_default() {
            let (doc, change) = (entry.doc(), entry.hash());
            if fold.carrier_quarantine(&change, pack).is_some() || fold.content_quarantine(&change).is_some() {
                continue;
            }
            let code = self.replica.carries_with(&change, pack)?;
            if let Some(code @ (CODE_REVOKED_BEYOND_CUT | CODE_BEYOND_CUT)) = code {
                let (logbook, pack, part) = (name.clone(), *pack, HeldPart::Carrier);
                held.push(HeldChange { logbook, pack, device, doc, change, code, part });
            }
        }
        Ok(held)
    }
}
