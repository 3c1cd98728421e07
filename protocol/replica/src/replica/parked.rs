//! Packs that are stored and not judged: those the gate can look at, and those that are parked.
//!
//! A pack is parked while the control entry it names as its position is not known, or while the pack before it is parked.
//! It is stored and acknowledged and waits; nothing else is asked of it: it lies under the entry or pack it waits for, so
//! what judging costs does not depend on how many are parked, and it wakes when that entry is admitted. A device that
//! names entries which never come is bounded: what it brings beyond is refused for a while.
//!
//! A parked pack is in no vector, so nobody counts on this replica for it: it keeps no logbook from being evicted, and no
//! state from being compared. Its author has no receipt for it and goes on sending it.
//!
//! # Limits
//!
//! [`PACKS_PARKED_PER_LOGBOOK_MAX`], [`PACKS_PARKED_PER_DEVICE_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::{DeviceId, EntryHash, LogbookName, PackHash};
use qianmo_protocol::pack::PackHeader;

use super::{Replica, ReplicaError};
use crate::overlay::decode;
use crate::rows::{self, Judged, NamedPack, PackRow};

/// Most packs of one device that are parked in one logbook. An honest device sends the entries it names before its packs.
pub const PACKS_PARKED_PER_LOGBOOK_MAX: usize = 64;
/// Most packs of one device that are parked in all logbooks together.
pub const PACKS_PARKED_PER_DEVICE_MAX: usize = 256;

/// What is not judged, in memory.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// Packs that can be judged, by commit number: each after the one before it.
    ready: BTreeMap<u64, NamedPack>,
    /// How many are parked.
    parked: BTreeMap<DeviceId, BTreeMap<LogbookName, usize>>,
    /// Packs that will be parked when they are durable: counted already.
    coming: BTreeSet<PackHash>,
}

impl Queue {
    /// The next pack that can be judged, after a commit number.
    pub(super) fn next_after(&self, commit: u64) -> Option<(u64, NamedPack)> {
        let later = (core::ops::Bound::Excluded(commit), core::ops::Bound::Unbounded);
        self.ready.range(later).next().map(|(commit, named)| (*commit, named.clone()))
    }

    /// A pack that can be judged, by its commit number.
    pub(super) fn at(&self, commit: u64) -> Option<NamedPack> {
        self.ready.get(&commit).cloned()
    }

    fn parked_of(&self, device: &DeviceId, name: &LogbookName) -> (usize, usize) {
        let of_device = self.parked.get(device);
        let here = of_device.and_then(|books| books.get(name)).copied().unwrap_or(0);
        (here, of_device.map_or(0, |books| books.values().sum()))
    }

    fn park(&mut self, device: DeviceId, name: &LogbookName) {
        *self.parked.entry(device).or_default().entry(name.clone()).or_insert(0) += 1;
    }

    fn unpark(&mut self, device: &DeviceId, name: &LogbookName) {
        let Some(books) = self.parked.get_mut(device) else { return };
        if let Some(count) = books.get_mut(name) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                books.remove(name);
            }
        }
        if books.is_empty() {
            self.parked.remove(device);
        }
    }
}

impl Replica {
    /// How many packs can be judged and are not yet, of all logbooks.
    #[must_use]
    pub fn unjudged_count(&self) -> usize {
        self.queue.ready.len()
    }

    /// How many packs wait for a control entry, or for a pack that does.
    #[must_use]
    pub fn parked_count(&self) -> usize {
        self.queue.parked.values().flat_map(BTreeMap::values).sum()
    }

    /// Reads from the index what is not judged.
    pub(super) fn load_queue(&mut self) -> Result<(), ReplicaError> {
        self.queue = Queue::default();
        for (key, value) in self.index.scan_all(rows::UNJUDGED)? {
            let named: NamedPack = decode(&key, &value)?;
            let Some(commit) = rows::tail::<8>(&key).map(u64::from_be_bytes) else { continue };
            self.book(&named.logbook).unjudged += 1;
            self.queue.ready.insert(commit, named);
        }
        for prefix in [rows::WAITING_FOR_ENTRIES, rows::WAITING_FOR_PACKS] {
            for (key, value) in self.index.scan_all(prefix)? {
                let named: NamedPack = decode(&key, &value)?;
                if let Some(row) = self.pack_row(&named)? {
                    self.queue.park(row.log.device, &named.logbook);
                }
            }
        }
        Ok(())
    }

    fn pack_row(&self, named: &NamedPack) -> Result<Option<PackRow>, ReplicaError> {
        Ok(self.index.get(&rows::pack(&named.logbook.id(&self.org), &named.pack))?)
    }

    fn is_parked(&self, name: &LogbookName, pack: &PackHash) -> Result<bool, ReplicaError> {
        if *pack == PackHash::NONE {
            return Ok(false);
        }
        if self.queue.coming.contains(pack) {
            return Ok(true);
        }
        let row = self.index.get::<PackRow>(&rows::pack(&name.id(&self.org), pack))?;
        Ok(row.is_some_and(|row| self.is_row_parked(&row)))
    }

    pub(super) fn is_row_parked(&self, row: &PackRow) -> bool {
        row.judged == Judged::No && !self.queue.ready.contains_key(&row.pointer.commit.0)
    }

    /// Whether a pack that is to be stored would be parked, and there is no room for it.
    pub(super) fn has_no_room_to_park(&self, header: &PackHeader) -> Result<bool, ReplicaError> {
        let would_park = !self.control.contains(&header.control) || self.is_parked(&header.logbook, &header.prev)?;
        let (here, of_device) = self.queue.parked_of(&header.log.device, &header.logbook);
        Ok(would_park && (here >= PACKS_PARKED_PER_LOGBOOK_MAX || of_device >= PACKS_PARKED_PER_DEVICE_MAX))
    }

    /// A pack was appended; if it is to be parked it counts from now on.
    pub(super) fn reserve_parking(&mut self, header: &PackHeader, hash: &PackHash) -> Result<(), ReplicaError> {
        let is_to_park = !self.control.contains(&header.control) || self.is_parked(&header.logbook, &header.prev)?;
        if is_to_park && self.queue.coming.insert(*hash) {
            self.queue.park(header.log.device, &header.logbook);
        }
        Ok(())
    }

    /// A foreign pack became durable: it can be judged, or is parked.
    pub(super) fn enqueue(&mut self, named: NamedPack, row: &PackRow) -> Result<(), ReplicaError> {
        let commit = row.pointer.commit.0;
        let was_counted = self.queue.coming.remove(&named.pack);
        let key = if !self.control.contains(&row.control) {
            rows::waiting_for_entry(&row.control, commit)
        } else if self.is_parked(&named.logbook, &row.prev)? {
            rows::waiting_for_pack(&row.prev, commit)
        } else {
            if was_counted {
                self.queue.unpark(&row.log.device, &named.logbook);
            }
            self.index.put(rows::unjudged(commit), &named);
            self.book(&named.logbook).unjudged += 1;
            self.queue.ready.insert(commit, named);
            return Ok(());
        };
        if !was_counted {
            self.queue.park(row.log.device, &named.logbook);
        }
        self.index.put(key, &named);
        Ok(())
    }

    /// A control entry was admitted: what waited for it can be judged, with what waited for that.
    pub(super) fn wake(&mut self, entry: &EntryHash) -> Result<(), ReplicaError> {
        if injected(Bug::ParkedNeverWakes) {
            return Ok(());
        }
        self.wake_under(rows::waiting_for_this_entry(entry))
    }

    fn wake_under(&mut self, prefix: Vec<u8>) -> Result<(), ReplicaError> {
        let mut prefixes = vec![prefix];
        while let Some(prefix) = prefixes.pop() {
            for (key, value) in self.index.scan_all(&prefix)? {
                let named: NamedPack = decode(&key, &value)?;
                self.index.delete(key);
                let Some(row) = self.pack_row(&named)? else { continue };
                self.queue.unpark(&row.log.device, &named.logbook);
                prefixes.push(rows::waiting_for_this_pack(&named.pack));
                self.enqueue(named, &row)?;
            }
        }
        Ok(())
    }

    /// A pack is judged, or leaves: it waits for nothing any more.
    pub(super) fn dequeue(&mut self, named: &NamedPack, row: &PackRow) -> Result<(), ReplicaError> {
        let commit = row.pointer.commit.0;
        if self.queue.ready.remove(&commit).is_some() {
            self.index.delete(rows::unjudged(commit));
            let book = self.book(&named.logbook);
            book.unjudged = book.unjudged.saturating_sub(1);
            return Ok(());
        }
        for key in [rows::waiting_for_entry(&row.control, commit), rows::waiting_for_pack(&row.prev, commit)] {
            if self.index.has(&key)? {
                self.index.delete(key);
                self.queue.unpark(&row.log.device, &named.logbook);
            }
        }
        Ok(())
    }

    /// After a verdict on a pack that was parked, which only a log that lost control entries can hold: what comes after it
    /// waits no more.
    pub(super) fn wake_after(&mut self, pack: &PackHash) -> Result<(), ReplicaError> {
        self.wake_under(rows::waiting_for_this_pack(pack))
    }
}
