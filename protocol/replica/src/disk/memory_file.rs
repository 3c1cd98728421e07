//! One file of the memory disk: what reads show, what a power cut keeps, and what lies between.
//!
//! A synced file has one content. Every change after that is remembered in order until the next sync, and a power cut
//! may keep any part of it; [`CrashMode`] says which legal part.

use rand_core::RngCore;

/// The smallest unit a device writes whole.
const SECTOR_BYTES: usize = 512;

/// Which of the changes that were not synced a power cut leaves behind. All are legal for a real disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashMode {
    /// Nothing that was not synced survives.
    DropUnsynced,
    /// Everything survives, as after a plain `kill -9`.
    KeepAll,
    /// A prefix of each file's writes survives, the last one torn.
    TornPrefix,
    /// Any subset of the sectors survives, in any order.
    RandomSectors,
    /// The file has its new length, but from some point on the new bytes are zeros.
    ZeroTail,
}

impl CrashMode {
    /// Every mode, for loops in tests.
    pub const ALL: [Self; 5] =
        [Self::DropUnsynced, Self::KeepAll, Self::TornPrefix, Self::RandomSectors, Self::ZeroTail];
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { length: usize },
}

#[derive(Debug, Clone)]
struct Pending {
    change: Change,
    /// A sync that should have covered it failed: a later successful sync does not make it durable, though reads show
    /// it. This is what Linux does with pages whose write-back failed.
    is_lost: bool,
}

/// One file of the memory disk.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryFile {
    current: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

impl MemoryFile {
    /// A file whose content is durable.
    pub(super) fn synced(bytes: Vec<u8>) -> Self {
        Self { current: bytes.clone(), durable: bytes, pending: Vec::new() }
    }

    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    /// Changes that no sync has covered yet.
    pub(super) fn unsynced(&self) -> usize {
        self.pending.iter().filter(|pending| !pending.is_lost).count()
    }

    pub(super) fn read(&self, offset: usize, buffer: &mut [u8]) -> usize {
        let rest = self.current.get(offset..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(from), Some(to)) = (rest.get(..count), buffer.get_mut(..count)) {
            to.copy_from_slice(from);
        }
        count
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.change(Change::Write { offset, bytes: bytes.to_vec() });
    }

    pub(super) fn truncate(&mut self, length: usize) {
        self.change(Change::Truncate { length });
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.current, &change);
        self.pending.push(Pending { change, is_lost: false });
    }

    pub(super) fn sync(&mut self) {
        for pending in self.pending.drain(..).filter(|pending| !pending.is_lost) {
            apply(&mut self.durable, &pending.change);
        }
    }

    /// The sync failed: what it should have covered will not become durable by trying again.
    pub(super) fn fail_sync(&mut self) {
        for pending in &mut self.pending {
            pending.is_lost = true;
        }
    }

    /// Flips bits of one byte, on the disk and in the cache.
    pub(super) fn flip(&mut self, offset: usize, mask: u8) -> bool {
        if let Some(byte) = self.durable.get_mut(offset) {
            *byte ^= mask;
        }
        self.current.get_mut(offset).map(|byte| *byte ^= mask).is_some()
    }

    /// What a power cut leaves.
    pub(super) fn image(&self, mode: CrashMode, rng: &mut dyn RngCore) -> Vec<u8> {
        match mode {
            CrashMode::DropUnsynced => self.durable.clone(),
            CrashMode::KeepAll => self.with_all(),
            CrashMode::TornPrefix => self.torn_prefix(rng),
            CrashMode::RandomSectors => self.random_sectors(rng),
            CrashMode::ZeroTail => self.zero_tail(rng),
        }
    }

    fn with_all(&self) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        for pending in &self.pending {
            apply(&mut bytes, &pending.change);
        }
        bytes
    }

    fn torn_prefix(&self, rng: &mut dyn RngCore) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let whole = below(rng, self.pending.len() + 1);
        for pending in self.pending.iter().take(whole) {
            apply(&mut bytes, &pending.change);
        }
        if let Some(Pending { change: Change::Write { offset, bytes: written }, .. }) = self.pending.get(whole) {
            let torn = below(rng, written.len() + 1);
            let part = written.get(..torn).unwrap_or_default().to_vec();
            apply(&mut bytes, &Change::Write { offset: *offset, bytes: part });
        }
        bytes
    }

    fn random_sectors(&self, rng: &mut dyn RngCore) -> Vec<u8> {
        let after = self.with_all();
        let mut image = self.durable.clone();
        for (index, sector) in after.chunks(SECTOR_BYTES).enumerate() {
            let start = index * SECTOR_BYTES;
            let old = image.get(start..(start + sector.len()).min(image.len()));
            if old != Some(sector) && coin(rng) {
                apply(&mut image, &Change::Write { offset: start, bytes: sector.to_vec() });
            }
        }
        // The length is written apart from the content.
        if image.len() != after.len() && coin(rng) {
            image.resize(after.len(), 0);
        }
        image
    }

    fn zero_tail(&self, rng: &mut dyn RngCore) -> Vec<u8> {
        let mut image = self.with_all();
        let grown = image.len().saturating_sub(self.durable.len());
        if grown > 0 {
            let keep = self.durable.len() + below(rng, grown + 1);
            if let Some(tail) = image.get_mut(keep..) {
                tail.fill(0);
            }
        }
        image
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes: written } => {
            let end = offset.saturating_add(written.len());
            if !written.is_empty() && bytes.len() < end {
                bytes.resize(end, 0);
            }
            if let Some(target) = bytes.get_mut(*offset..end) {
                target.copy_from_slice(written);
            }
        }
        Change::Truncate { length } => bytes.resize(*length, 0),
    }
}

/// A number below `bound`, 0 when `bound` is 0. The slight bias does not matter to a fault model.
pub(super) fn below(rng: &mut dyn RngCore, bound: usize) -> usize {
    let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
    usize::try_from(rng.next_u64() % bound).unwrap_or(0)
}

fn coin(rng: &mut dyn RngCore) -> bool {
    rng.next_u32() & 1 == 1
}
