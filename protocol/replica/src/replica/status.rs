//! Where a person's work is, told truthfully.
//!
//! Only a receipt signed by a hub that the control log names counts, and only while the present epoch contains it (A5). A
//! peer's acknowledgement changes nothing here.

use std::collections::BTreeSet;

use qianmo_protocol::beacon::Beacon;
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::EpochFacts;
use qianmo_protocol::ids::{ChangeHash, DocId, PackHash};
use qianmo_protocol::receipt::{Receipt, Verdict};
use qianmo_protocol::session::Shelf;
use qianmo_protocol::wire::Wire;

use super::absorb::{Standing, StandingChange};
use super::shelf::BEACON_KEY;
use super::{Replica, ReplicaError, Role};
use crate::overlay::decode;
use crate::rows::{self, ChangePlace, NamedPack, PackRow, ReceiptRow};

/// Where the work of this device in a record is, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Delivery {
    /// 被隔离: something of it failed the gate, with this code; nothing is lost.
    Held {
        /// The gate's code.
        code: u16,
    },
    /// 待上传: saved on this device, and no hub has said that it holds it.
    Waiting,
    /// 已送达: durable at the hub.
    Acknowledged,
    /// 已备份: in a backup of the hub.
    BackedUp,
    /// Nothing of it was written on this device.
    Elsewhere,
}

/// How much work of this device is where, by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutboxCount {
    /// Saves that are not sealed yet, and packs whose changes wait to be packed again.
    pub unsealed: usize,
    /// Packs without a receipt that counts.
    pub unreceipted: usize,
}

/// What a change goes on from is not here: it counts when that comes. No hub publishes this code.
pub const CODE_BASE_MISSING: u16 = 0;
/// What a change goes on from was erased: it never counts. No hub publishes this code.
pub const CODE_BASE_ERASED: u16 = 285;

/// The worse of two; a code wins over a base that is missing, which says less.
fn worse(one: Delivery, other: Delivery) -> Delivery {
    match (one, other) {
        (Delivery::Held { code: CODE_BASE_MISSING }, Delivery::Held { code })
        | (Delivery::Held { code }, Delivery::Held { code: CODE_BASE_MISSING }) => Delivery::Held { code },
        (one, other) => one.min(other),
    }
}

impl Replica {
    /// Where the work of this device in a record, its reviews and comments is.
    ///
    /// # Errors
    /// [`ReplicaError::Row`].
    pub fn delivery(&self, record: &DocId) -> Result<Delivery, ReplicaError> {
        let mut worst = Delivery::Elsewhere;
        let reviews = self.index.scan_all(&rows::reviews_of(record))?;
        let events = reviews.iter().filter_map(|(key, _)| rows::tail::<16>(key)).map(DocId);
        for doc in core::iter::once(*record).chain(events) {
            let standing = self.standing_of(&doc)?;
            for (hash, change) in &standing.changes {
                worst = worse(worst, self.delivery_of(&standing, hash, change)?);
            }
        }
        Ok(worst)
    }

    fn delivery_of(
        &self,
        standing: &Standing,
        hash: &ChangeHash,
        change: &StandingChange,
    ) -> Result<Delivery, ReplicaError> {
        if matches!(change.row.place, ChangePlace::Local { .. }) {
            let is_counted = !injected(Bug::UnsentCountsAsSent);
            return Ok(if is_counted { Delivery::Waiting } else { Delivery::Elsewhere });
        }
        let carriers = self.own_carriers(hash)?;
        if carriers.is_empty() {
            return Ok(Delivery::Elsewhere);
        }
        if !change.is_admitted {
            return Ok(Delivery::Held { code: self.held_code(standing, hash)? });
        }
        let mut best = Delivery::Waiting;
        for pack in &carriers {
            best = best.max(self.pack_delivery(pack)?);
        }
        Ok(best)
    }

    /// Why a change does not count: its own code, or that of the nearest change it goes on from; [`CODE_BASE_MISSING`] when
    /// nothing that is here says why.
    pub(super) fn held_code(&self, standing: &Standing, hash: &ChangeHash) -> Result<u16, ReplicaError> {
        let mut seen = BTreeSet::from([*hash]);
        let mut layer = vec![*hash];
        while !layer.is_empty() {
            let mut codes = BTreeSet::new();
            let mut bases = Vec::new();
            for hash in &layer {
                codes.extend(self.own_held_code(hash)?);
                let deps = standing.changes.get(hash).map(|change| change.row.deps.as_slice()).unwrap_or_default();
                let is_held = |dep: &&ChangeHash| standing.changes.get(*dep).is_none_or(|change| !change.is_admitted);
                bases.extend(deps.iter().filter(is_held).filter(|dep| seen.insert(**dep)).copied());
            }
            if let Some(code) = codes.pop_first() {
                return Ok(code);
            }
            layer = bases;
        }
        Ok(CODE_BASE_MISSING)
    }

    /// The code a change itself is held with: for its content, for every pack that carries it, or because it is gone.
    fn own_held_code(&self, hash: &ChangeHash) -> Result<Option<u16>, ReplicaError> {
        let fold = self.control.fold();
        if fold.is_change_purged(hash) {
            return Ok(Some(CODE_BASE_ERASED));
        }
        if let Some(code) = fold.content_quarantine(hash).or(self.given_up_code(hash)?) {
            return Ok(Some(code));
        }
        let mut codes = BTreeSet::new();
        for (key, _) in self.index.scan_all(&rows::carriers_of(hash))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            codes.extend(fold.carrier_quarantine(hash, &pack));
            codes.extend(self.refusal_code(&pack));
            codes.extend(self.exclusion_code(&pack)?);
        }
        Ok(codes.pop_first())
    }

    /// Packs of this device that carry a change.
    fn own_carriers(&self, hash: &ChangeHash) -> Result<Vec<PackHash>, ReplicaError> {
        let mut packs = Vec::new();
        for (key, _) in self.index.scan_all(&rows::carriers_of(hash))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            if self.index.has(&rows::own_pack(&pack))? {
                packs.push(pack);
            }
        }
        Ok(packs)
    }

    /// Whether a hub's receipt that counts names a pack of this device.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn is_acknowledged(&self, pack: &PackHash) -> Result<bool, ReplicaError> {
        Ok(self.pack_delivery(pack)? >= Delivery::Acknowledged)
    }

    pub(super) fn pack_delivery(&self, pack: &PackHash) -> Result<Delivery, ReplicaError> {
        let Some(row) = self.index.get::<ReceiptRow>(&rows::receipt(pack))? else { return Ok(Delivery::Waiting) };
        let Some(beacon) = self.newest_beacon() else { return Ok(Delivery::Acknowledged) };
        if !self.counts(&row, &beacon) {
            return Ok(Delivery::Waiting);
        }
        // Commits of an epoch before that count are this hub's, too, and a restored hub's watermark covers its backup. But not
        // every epoch begins with a restore: a hub that met its copy has its records, and perhaps no backup of them.
        Ok(if row.commit <= beacon.watermark { Delivery::BackedUp } else { Delivery::Acknowledged })
    }

    pub(super) fn counts(&self, row: &ReceiptRow, beacon: &Beacon) -> bool {
        let ReceiptRow { hub, epoch, commit } = row.clone();
        let receipt = Receipt { hub, epoch, commit, packs: BTreeSet::new(), verdict: Verdict::Passed };
        injected(Bug::LostEpochCounts) || self.control.fold().receipt_counts(&receipt, &beacon.epoch)
    }

    /// The newest beacon that was taken.
    #[must_use]
    pub fn newest_beacon(&self) -> Option<Beacon> {
        self.beacon().map(|signed| *signed.content())
    }

    /// Takes a beacon, if a hub of this organisation signed it and it is newer than the one known. Not durable before
    /// [`Replica::sync`]. One of an epoch whose beginning is not here yet waits until it is: nothing says before whether it is
    /// newer, or which receipts count in it.
    ///
    /// # Errors
    /// [`ReplicaError::Append`].
    pub fn take_beacon(&mut self, signed: &qianmo_protocol::beacon::SignedBeacon) -> Result<(), ReplicaError> {
        let fold = self.control.fold();
        let Ok(beacon) = signed.verify_in(fold) else { return Ok(()) };
        if !fold.epoch(&beacon.epoch).is_some_and(EpochFacts::is_begun) {
            self.early_beacon = Some(signed.clone());
            return Ok(());
        }
        if self.newest_beacon().is_some_and(|known| !beacon.is_newer(&known, fold)) {
            return Ok(());
        }
        self.put_meta(BEACON_KEY, &signed.encode())
    }

    /// After a new beacon: in a new epoch, packs whose receipts no longer count wait again (A5).
    pub(super) fn recheck_receipts(&mut self) -> Result<(), ReplicaError> {
        let Some(beacon) = self.newest_beacon() else { return Ok(()) };
        if self.identity.role != Role::Tablet {
            return Ok(());
        }
        let seen = self.index.get_raw(&rows::meta(b"receipt epoch"))?;
        let present = [&[0], beacon.epoch.0.as_slice()].concat();
        if seen.as_ref() == Some(&present) {
            return Ok(());
        }
        self.index.put_raw(rows::meta(b"receipt epoch"), present);
        for (key, value) in self.index.scan_all(rows::OWN_PACKS)? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            let named: NamedPack = decode(&key, &value)?;
            let counts = self.recheck_receipt(&pack, &beacon)?;
            let id = named.logbook.id(&self.org);
            let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, &pack))? else { continue };
            if counts {
                self.index.delete(rows::unreceipted(row.pointer.commit.0));
            } else if self.is_excluded(&named.logbook, &row.log, &pack)? {
                let due = rows::DueRow { logbook: named.logbook, commit: row.pointer.commit.0 };
                self.index.put(rows::due(&pack), &due);
            } else {
                self.index.put(rows::unreceipted(row.pointer.commit.0), &named);
            }
        }
        Ok(())
    }

    /// Whether a receipt of a pack counts at the present hub; the one that does is the one that is shown.
    fn recheck_receipt(&mut self, pack: &PackHash, beacon: &Beacon) -> Result<bool, ReplicaError> {
        let shown = self.index.get::<ReceiptRow>(&rows::receipt(pack))?;
        if shown.is_some_and(|row| self.counts(&row, beacon)) {
            return Ok(true);
        }
        for signed in self.receipts_naming(pack)? {
            let receipt = signed.content();
            let row = ReceiptRow { hub: receipt.hub, epoch: receipt.epoch, commit: receipt.commit };
            if self.counts(&row, beacon) {
                self.index.put(rows::receipt(pack), &row);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What waits to be sent.
    ///
    /// # Errors
    /// [`ReplicaError::Row`].
    pub fn outbox(&self) -> Result<OutboxCount, ReplicaError> {
        Ok(OutboxCount {
            unsealed: self.books.values().map(|book| book.unsealed).sum::<usize>() + self.due_count()?,
            unreceipted: self.index.scan_all(rows::UNRECEIPTED)?.len(),
        })
    }
}
