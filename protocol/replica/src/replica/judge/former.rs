//! What other epochs of a restored hub answered for: former ones, and siblings from the same backup (A2).
//!
//! The restored hub may run newer code than the one whose store was lost. It does not hold for its content what that one
//! passed and signed for; and of what else its tablets bring back from that time, it holds nothing by itself: the
//! administrator decides, as long as the restore is not complete.

use qianmo_protocol::control::Fold;
use qianmo_protocol::ids::{ChangeHash, Epoch, PackHash};

use super::{HeldChange, Replica, ReplicaError, Word};
use crate::replica::Role;
use crate::rows::{self, ChangePlace, ChangeRow, PackRow};

impl Replica {
    /// Whose word the failure of a change's content is.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn word_on(&self, held: &HeldChange) -> Result<Word, ReplicaError> {
        match self.index.get::<PackRow>(&rows::pack(&held.logbook.id(&self.org), &held.pack))? {
            Some(row) => self.whose_word(&row, (&held.pack, &held.change)),
            None => Ok(Word::Ours),
        }
    }

    pub(super) fn whose_word(
        &self,
        row: &PackRow,
        (pack, change): (&PackHash, &ChangeHash),
    ) -> Result<Word, ReplicaError> {
        let Role::Hub { epoch, .. } = self.identity.role else { return Ok(Word::Ours) };
        let fold = self.control.fold();
        if self.former_receipt_passed_change(pack, change)? {
            return Ok(Word::Former);
        }
        if fold.epoch(&epoch).is_none_or(|facts| facts.parents().is_empty()) {
            return Ok(Word::Ours);
        }
        let is_before = is_within_restore(fold, &epoch, row.pointer.commit.0) || self.is_of_other_position(&epoch, row);
        let is_adopting = fold.epoch(&epoch).is_some_and(|facts| facts.is_adopting());
        Ok(if is_adopting && is_before { Word::Administrators } else { Word::Ours })
    }

    /// Whether the device sealed the pack before it had heard of the present epoch.
    fn is_of_other_position(&self, epoch: &Epoch, row: &PackRow) -> bool {
        let position = self.control.entry(&row.control).map(|entry| entry.content().epoch);
        position.is_some_and(|position| position != *epoch)
    }

    /// Whether a change that failed here counts all the same: it was released, or a hub passed it: on a tablet the present
    /// one, on a hub that of another epoch.
    pub(in crate::replica) fn is_overruled(&self, change: &ChangeHash, row: &ChangeRow) -> Result<bool, ReplicaError> {
        if self.control.fold().is_content_released(change) {
            return Ok(true);
        }
        match (self.identity.role, row.place) {
            (Role::Hub { .. }, ChangePlace::Pack { pack, .. }) => self.former_receipt_passed_change(&pack, change),
            (Role::Hub { .. }, ChangePlace::Local { .. }) => Ok(false),
            (Role::Tablet, _) => self.is_passed_by_hub(change),
        }
    }
}

/// Whether a commit of this store was in the backup it was restored from.
fn is_within_restore(fold: &Fold, epoch: &Epoch, commit: u64) -> bool {
    let contained = fold.epoch(epoch).and_then(|facts| facts.parents().values().copied().max());
    contained.is_some_and(|contained| commit <= contained)
}
