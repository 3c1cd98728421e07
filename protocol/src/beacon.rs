//! Control time: a hub's signed statement of its clock and its backup watermark.
//!
//! Tablets pass beacons on, so that one that has not met a hub for months still knows the month. The newest by causal
//! order wins, never the largest time, so a hub that said 2099 for a minute can correct itself (A7).
//!
//! # Invariants
//!
//! 1. [`Beacon::is_newer`] is a strict total order over beacons for one fold, so all replicas settle on the same one
//!    (`prop_beacons_settle_on_one_whatever_the_order`).
//! 2. A descendant epoch is newer than its ancestors, whatever the sequence and the time
//!    (`beacon_of_a_restored_hub_is_newer_than_a_later_time`).

use core::cmp::Reverse;

use crate::bugs::{Bug, injected};
use crate::control::{Fold, Signable, SignatureError, Signed};
use crate::ids::{Epoch, HubId};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// What a hub says of its time and its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beacon {
    /// The hub.
    pub hub: HubId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Counts the hub's beacons in this epoch.
    pub sequence: u64,
    /// The hub's clock.
    pub time: UnixMillis,
    /// The hub's last commit.
    pub commit: u64,
    /// The last commit that is in a backup.
    pub watermark: u64,
}

/// A beacon with its signature.
pub type SignedBeacon = Signed<Beacon>;

impl Signable for Beacon {
    const DOMAIN: &'static str = "qianmo beacon v1";
}

impl Beacon {
    /// Whether this beacon replaces another: its epoch descends from the other's, or it is a later one of the same epoch.
    ///
    /// Of two epochs that do not descend from each other, the one with more epochs behind it wins, then the larger id:
    /// neither is newer, but every replica must choose alike.
    #[must_use]
    pub fn is_newer(&self, than: &Self, fold: &Fold) -> bool {
        self.rank(fold) > than.rank(fold)
    }

    /// The order. The last parts only part the beacons of a hub that was cloned: the smaller time wins.
    fn rank(&self, fold: &Fold) -> (usize, Epoch, u64, u64, u64, Reverse<UnixMillis>, HubId) {
        if injected(Bug::LargestTimeWins) {
            let time = u64::try_from(self.time.0).unwrap_or(0);
            return (0, Epoch([0; 16]), time, self.commit, self.watermark, Reverse(self.time), self.hub);
        }
        let depth = fold.epoch_depth(&self.epoch);
        (depth, self.epoch, self.sequence, self.commit, self.watermark, Reverse(self.time), self.hub)
    }
}

impl SignedBeacon {
    /// The beacon, if a hub that the control log names signed it.
    ///
    /// # Errors
    /// [`SignatureError`] when the hub is not named, or the signature is not its own.
    pub fn verify_in<'a>(&'a self, fold: &Fold) -> Result<&'a Beacon, SignatureError> {
        fold.verify_hub(&self.content().hub, self)
    }
}

impl Wire for Beacon {
    fn write(&self, writer: &mut Writer) {
        writer.raw(self.hub.as_bytes());
        writer.raw(self.epoch.as_bytes());
        writer.uleb(self.sequence);
        writer.i64(self.time.0);
        writer.uleb(self.commit);
        writer.uleb(self.watermark);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hub: HubId(reader.array("hub")?),
            epoch: Epoch(reader.array("epoch")?),
            sequence: reader.uleb("sequence", u64::MAX)?,
            time: UnixMillis(reader.i64("time")?),
            commit: reader.uleb("commit", u64::MAX)?,
            watermark: reader.uleb("watermark", u64::MAX)?,
        })
    }
}
