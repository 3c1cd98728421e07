//! Signed receipts: which are taken, and which packs they name.
//!
//! A tablet takes what a hub signed. A hub takes only what was signed in another epoch than its own: a former one, or a
//! sibling, when one backup was restored twice. What it signed in its present epoch it knows better than whoever brings it
//! back. Anyone who uploads can have receipts signed without end, so what a hub keeps of them is bounded by the packs of
//! other epochs, and not by what it is shown.
//!
//! # Invariants
//!
//! 1. A hub keeps no receipt of its present epoch, and none of whose packs each has one of that epoch already
//!    (`hub_takes_one_receipt_for_a_pack_and_a_former_epoch`).
//! 2. At most [`RECEIPTS_PER_PACK_MAX`] of a hub's receipts name one pack, so reading those of a pack is bounded
//!    (`overlapping_receipts_of_one_pack_are_bounded`).
//! 3. One receipt is appended once, also before it is durable
//!    (`receipt_shown_many_times_before_a_sync_is_appended_once`).

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::ids::{ChangeHash, DocId, Epoch, PackHash};
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::wire::Wire;

use super::{Payload, Replica, ReplicaError, Role};
use crate::overlay::decode;
use crate::pack_log::{CommitNumber, FrameKind, FramePointer};
use crate::rows::{self, PointerRow};

/// Receipts a hub keeps that name one pack, of all former epochs; the rest is dropped, it only advises.
pub const RECEIPTS_PER_PACK_MAX: usize = 8;

/// Receipts that were shown since the last sync: the index does not know them yet.
#[derive(Debug, Default)]
pub(crate) struct Shown {
    /// All that were looked at, taken or not, by the digest of their bytes.
    digests: BTreeSet<[u8; 32]>,
    /// The epochs of those that were taken, for each of their packs.
    taken: BTreeMap<PackHash, Vec<Epoch>>,
}

impl Shown {
    /// The index knows them now.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Replica {
    /// Takes a hub's receipt, if a hub of this organisation signed it: one given here, or on a restored hub one of a former
    /// epoch that a device kept. Not durable before [`Replica::sync`]. What is known, or is of no use here, is left out.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn take_receipt(&mut self, signed: SignedReceipt) -> Result<(), ReplicaError> {
        let is_known_epoch = match self.identity.role {
            Role::Tablet => true,
            Role::Hub { epoch, .. } => self.is_of_other_epoch(&signed, &epoch),
        };
        if !is_known_epoch || signed.content().packs.is_empty() {
            return Ok(());
        }
        let bytes = signed.encode();
        let digest = *blake3::hash(&bytes).as_bytes();
        if self.shown.digests.contains(&digest) || signed.verify_in(self.control.fold()).is_err() {
            return Ok(());
        }
        self.shown.digests.insert(digest);
        let is_wanted = match self.identity.role {
            Role::Tablet => !self.is_receipt_known(&signed)?,
            Role::Hub { .. } => self.is_receipt_of_use(&signed)?,
        };
        if !is_wanted {
            return Ok(());
        }
        for pack in &signed.content().packs {
            self.shown.taken.entry(*pack).or_default().push(signed.content().epoch);
        }
        self.append(FrameKind::Receipt, &bytes, Payload::Receipt(Box::new(signed))).map(|_| ())
    }

    /// Whether a receipt is of a hub that began another epoch than the present one.
    fn is_of_other_epoch(&self, signed: &SignedReceipt, present: &Epoch) -> bool {
        let (fold, receipt) = (self.control.fold(), signed.content());
        let is_of_hub = fold.epoch(&receipt.epoch).is_some_and(|facts| facts.hubs().contains(&receipt.hub));
        is_of_hub && receipt.epoch != *present
    }

    fn is_receipt_known(&self, signed: &SignedReceipt) -> Result<bool, ReplicaError> {
        // It is kept under each of its packs, so any of them shows it.
        let Some(pack) = signed.content().packs.first() else { return Ok(true) };
        Ok(self.receipts_naming(pack)?.contains(signed))
    }

    /// Whether a receipt tells a hub something: of a pack that none of its epoch names yet, while no pack has its fill.
    fn is_receipt_of_use(&self, signed: &SignedReceipt) -> Result<bool, ReplicaError> {
        let receipt = signed.content();
        let mut known_of: BTreeMap<CommitNumber, FramePointer> = BTreeMap::new();
        let mut kept_of_packs = Vec::new();
        for pack in &receipt.packs {
            let shown = self.shown.taken.get(pack).map(Vec::as_slice).unwrap_or_default();
            let kept = self.pointers_naming(pack)?;
            if shown.len() + kept.len() >= RECEIPTS_PER_PACK_MAX {
                return Ok(false);
            }
            if !shown.contains(&receipt.epoch) {
                kept_of_packs.push(kept.iter().map(|pointer| pointer.commit).collect::<BTreeSet<_>>());
                known_of.extend(kept.into_iter().map(|pointer| (pointer.commit, pointer)));
            }
        }
        if kept_of_packs.iter().any(BTreeSet::is_empty) {
            return Ok(true);
        }
        // Packs of one receipt are mostly kept under one frame: each is read once.
        let mut of_epoch = BTreeSet::new();
        for (commit, pointer) in &known_of {
            if self.read_receipt(pointer)?.content().epoch == receipt.epoch {
                of_epoch.insert(*commit);
            }
        }
        Ok(kept_of_packs.iter().any(|kept| kept.is_disjoint(&of_epoch)))
    }

    fn pointers_naming(&self, pack: &PackHash) -> Result<Vec<FramePointer>, ReplicaError> {
        let mut pointers = Vec::new();
        for (key, value) in self.index.scan_all(&rows::receipts_of(pack))? {
            let PointerRow(pointer) = decode(&key, &value)?;
            pointers.push(pointer);
        }
        Ok(pointers)
    }

    fn read_receipt(&self, pointer: &FramePointer) -> Result<SignedReceipt, ReplicaError> {
        let frame = self.log.read(pointer)?;
        SignedReceipt::decode(&frame.payload).map_err(|error| self.frame_error(pointer.commit, error))
    }

    /// Signed receipts that name a pack, oldest first.
    pub(super) fn receipts_naming(&self, pack: &PackHash) -> Result<Vec<SignedReceipt>, ReplicaError> {
        self.pointers_naming(pack)?.iter().map(|pointer| self.read_receipt(pointer)).collect()
    }

    /// Whether a hub of another epoch, former or sibling, signed that a change of a pack passed (A2): what it said so of is
    /// never judged again, also when the backup this hub was restored from does not contain it. Other changes of the pack
    /// may have been held. Never so on a tablet.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn former_receipt_passed_change(&self, pack: &PackHash, change: &ChangeHash) -> Result<bool, ReplicaError> {
        let Role::Hub { epoch, .. } = self.identity.role else { return Ok(false) };
        let receipts = self.receipts_naming(pack)?;
        let mut former = receipts.iter().filter(|signed| self.is_of_other_epoch(signed, &epoch));
        Ok(former.any(|signed| signed.content().is_passed(change)))
    }

    /// Whether the gate has not spoken on a change of a judged pack, because what it depends on is held or not here.
    ///
    /// # Errors
    /// [`ReplicaError::Row`].
    pub fn is_change_waiting(&self, doc: &DocId, change: &ChangeHash) -> Result<bool, ReplicaError> {
        let row = self.index.get::<rows::ChangeRow>(&rows::change(doc, change))?;
        Ok(row.is_some_and(|row| row.content == super::CODE_WAITS))
    }
}
