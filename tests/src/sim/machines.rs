//! A machine's disk and index, and what a power cut, a full disk or an old image makes of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qianmo_replica::disk::{
    CrashMode, Disk as _, DiskOperation, Fault as DiskFault, FaultError, FaultSpan, FaultTarget, MemoryDisk,
};
use qianmo_replica::index::{ApplyError, Batch, Index, IndexError, KeyRange, MemoryIndex, Page, PageError};
use qianmo_replica::pack_log::FramePointer;
use rand::Rng as _;
use rand::rngs::StdRng;

/// An index that outlives its program, as files do. Clones are handles of the same index.
#[derive(Debug, Clone, Default)]
pub struct SharedIndex(Arc<Mutex<MemoryIndex>>);

impl SharedIndex {
    fn lock(&self) -> MutexGuard<'_, MemoryIndex> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A copy of what it holds now.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.lock().clone())))
    }
}

impl Index for SharedIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.lock().get(key)
    }

    fn apply(&mut self, batch: Batch) -> Result<(), ApplyError> {
        self.lock().apply(batch)
    }

    fn scan(&self, range: &KeyRange, after: Option<&[u8]>, limit: usize) -> Result<Page, PageError> {
        self.lock().scan(range, after, limit)
    }

    fn absorbed(&self) -> Result<Option<FramePointer>, IndexError> {
        self.lock().absorbed()
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.lock().flush()
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        self.lock().clear()
    }
}

/// What is armed on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Armed {
    Nothing,
    /// The power goes at the operation with this number.
    PowerCut {
        at: u64,
        mode: CrashMode,
    },
    /// Operations fail from this number on.
    Failing {
        at: u64,
    },
}

/// What a disk did to its program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Struck {
    /// Nothing.
    No,
    /// The power is gone; the program with it.
    PowerCut,
    /// An operation failed; the program may know.
    Failed,
}

/// A machine's storage.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Its disk.
    pub disk: MemoryDisk,
    /// Its index.
    pub index: SharedIndex,
    /// An index of some time ago.
    pub old_index: SharedIndex,
    armed: Armed,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            disk: MemoryDisk::new(),
            index: SharedIndex::default(),
            old_index: SharedIndex::default(),
            armed: Armed::Nothing,
        }
    }
}

impl Machine {
    /// A copy of the disk as programs see it, with an empty index.
    #[must_use]
    pub fn image(&self) -> Self {
        let disk = MemoryDisk::new();
        for file in self.disk.list().unwrap() {
            disk.restore_file(&file.name, self.disk.contents(&file.name).unwrap());
        }
        Self { disk, ..Self::default() }
    }

    /// A copy of everything, index included, as `cp -a` makes it.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self { index: self.index.copy(), old_index: self.index.copy(), ..self.image() }
    }

    /// The power will go at one of the next operations.
    pub fn arm_power_cut(&mut self, rng: &mut StdRng) {
        self.heal();
        let skip = [rng.random_range(0..4_u64), rng.random_range(0..40)][rng.random_range(0..2)];
        let mode = CrashMode::ALL[rng.random_range(0..CrashMode::ALL.len())];
        self.armed = Armed::PowerCut { at: self.disk.changes() + skip, mode };
        self.inject(FaultTarget::AnyChange, skip, FaultError::Io, FaultSpan::UntilHealed);
    }

    /// The disk will be full after some operations, until it is healed.
    pub fn arm_full(&mut self, rng: &mut StdRng) {
        self.heal();
        let skip = rng.random_range(0..6);
        self.armed = Armed::Failing { at: self.disk.changes() + skip };
        self.inject(FaultTarget::Operation(DiskOperation::Write), skip, FaultError::NoSpace, FaultSpan::UntilHealed);
    }

    /// One of the next operations of a kind fails, once.
    pub fn arm_failure(&mut self, target: FaultTarget, rng: &mut StdRng) {
        self.heal();
        let skip = rng.random_range(0..6);
        self.armed = Armed::Failing { at: self.disk.changes() };
        self.inject(target, skip, FaultError::Io, FaultSpan::Once);
    }

    fn inject(&self, target: FaultTarget, skip: u64, error: FaultError, span: FaultSpan) {
        self.disk.inject(DiskFault { target, skip, error, span });
    }

    /// Whether something armed has happened by now.
    #[must_use]
    pub fn struck(&self) -> Struck {
        match self.armed {
            Armed::Nothing => Struck::No,
            Armed::PowerCut { at, .. } if self.disk.changes() > at => Struck::PowerCut,
            Armed::Failing { at } if self.disk.changes() > at => Struck::Failed,
            Armed::PowerCut { .. } | Armed::Failing { .. } => Struck::No,
        }
    }

    /// What a power cut leaves, by the mode that was armed or by any. The index may be anything.
    pub fn cut_power(&mut self, rng: &mut StdRng) {
        let mode = match self.armed {
            Armed::PowerCut { mode, .. } => mode,
            Armed::Nothing | Armed::Failing { .. } => CrashMode::ALL[rng.random_range(0..CrashMode::ALL.len())],
        };
        self.disk = self.disk.crash(mode, rng);
        self.armed = Armed::Nothing;
        match rng.random_range(0..4) {
            0 => self.index = SharedIndex::default(),
            1 => self.index = self.old_index.copy(),
            _ => {}
        }
    }

    /// The machine is repaired: nothing fails any more.
    pub fn heal(&mut self) {
        self.disk.heal();
        self.armed = Armed::Nothing;
    }

    /// Remembers the index as it is now.
    pub fn remember_index(&mut self) {
        self.old_index = self.index.copy();
    }
}
