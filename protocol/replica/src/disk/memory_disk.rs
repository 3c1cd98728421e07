//! A disk in memory that keeps a real one's promises and no more.
//!
//! It remembers what was synced, can be told to fail, and [`MemoryDisk::crash`] gives a second disk holding what a power
//! cut at this moment may leave. Deterministic: the only randomness is the caller's generator.
//!
//! # Model
//!
//! ```text
//! names     durable after sync_dir; a power cut keeps an ordered prefix of the changes since (as ext4 does)
//! content   durable after sync_file; a power cut keeps what CrashMode says
//! failed sync_file   the writes it covered are readable and never become durable, even if a later sync succeeds
//! failed write_at    half of the bytes were written
//! ```
//! A file whose name is not durable is gone after a power cut even if its content was synced: stricter than ext4.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::{fmt, io};

use rand_core::RngCore;

use super::memory_file::{CrashMode, MemoryFile, below};
use super::{Disk, DiskError, DiskOperation, FileEntry, check_name};

/// A disk in memory. Clones are handles of the same disk.
#[derive(Clone, Default)]
pub struct MemoryDisk {
    shared: Arc<Mutex<State>>,
}

/// A failure to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which operations count and fail.
    pub target: FaultTarget,
    /// How many of them still succeed.
    pub skip: u64,
    /// What they then say.
    pub error: FaultError,
    /// How long it lasts.
    pub span: FaultSpan,
}

/// Which operations a [`Fault`] counts and fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultTarget {
    /// Every operation that can change the disk.
    AnyChange,
    /// One kind of operation.
    Operation(DiskOperation),
}

/// What a failing operation says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultError {
    /// No room (ENOSPC).
    NoSpace,
    /// The device failed (EIO).
    Io,
}

/// How long a [`Fault`] lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultSpan {
    /// One operation fails.
    Once,
    /// All fail until [`MemoryDisk::heal`].
    UntilHealed,
}

#[derive(Debug, Clone)]
enum NameChange {
    Link { name: String, file: u64 },
    Rename { from: String, to: String },
    Unlink { name: String },
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<u64, MemoryFile>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    faults: Vec<Fault>,
    capacity_bytes: Option<u64>,
    changes: u64,
}

impl MemoryDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What a power cut at this moment may leave, as a disk of its own. This one stays as it is.
    #[must_use]
    pub fn crash(&self, mode: CrashMode, rng: &mut dyn RngCore) -> Self {
        let state = self.state();
        let kept = match mode {
            CrashMode::DropUnsynced => 0,
            CrashMode::KeepAll => state.pending_names.len(),
            CrashMode::TornPrefix | CrashMode::RandomSectors | CrashMode::ZeroTail => {
                below(rng, state.pending_names.len() + 1)
            }
        };
        let mut names = state.durable_names.clone();
        for change in state.pending_names.iter().take(kept) {
            apply_name(&mut names, change);
        }
        let mut image = State { capacity_bytes: state.capacity_bytes, ..State::default() };
        for (name, file) in names {
            let bytes = state.files.get(&file).map(|file| file.image(mode, rng)).unwrap_or_default();
            image.insert_synced(&name, bytes);
        }
        Self { shared: Arc::new(Mutex::new(image)) }
    }

    /// Arms a fault. Several may be armed; the first that is due wins.
    pub fn inject(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    /// Forgets all faults.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// Sets how many bytes all files together may hold; beyond it writes say "no room".
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity_bytes = bytes;
    }

    /// How many changing operations were asked for so far, failed ones included.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.state().changes
    }

    /// How many changes wait for a sync. Those of which a sync failed wait for nothing any more.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        let state = self.state();
        let files = state.names.values().filter_map(|file| state.files.get(file));
        // A name that comes back after it was removed loses nothing, nor does one that is gone again.
        let is_there = |change: &&NameChange| match change {
            NameChange::Link { name, .. } | NameChange::Rename { to: name, .. } => state.names.contains_key(name),
            NameChange::Unlink { .. } => false,
        };
        let names = state.pending_names.iter().filter(is_there);
        files.map(MemoryFile::unsynced).sum::<usize>() + names.count()
    }

    /// A file's content as reads show it.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state();
        state.file(name).map(|file| file.current().to_vec())
    }

    /// Puts a durable file there, as a restored backup would.
    pub fn restore_file(&self, name: &str, bytes: Vec<u8>) {
        self.state().insert_synced(name, bytes);
    }

    /// Flips the bits of `mask` in one byte, as a rotting medium does. False when there is no such byte.
    pub fn flip_bits(&self, name: &str, offset: usize, mask: u8) -> bool {
        let mut state = self.state();
        let Some(id) = state.names.get(name).copied() else { return false };
        state.files.get_mut(&id).is_some_and(|file| file.flip(offset, mask))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryDisk")
            .field("files", &state.names.len())
            .field("bytes", &state.used_bytes())
            .field("changes", &state.changes)
            .finish_non_exhaustive()
    }
}

impl State {
    fn file(&self, name: &str) -> Option<&MemoryFile> {
        self.names.get(name).and_then(|id| self.files.get(id))
    }

    fn insert_synced(&mut self, name: &str, bytes: Vec<u8>) {
        let id = self.next_file;
        self.next_file += 1;
        self.files.insert(id, MemoryFile::synced(bytes));
        self.names.insert(name.into(), id);
        self.durable_names.insert(name.into(), id);
    }

    fn used_bytes(&self) -> u64 {
        let used: usize =
            self.names.values().filter_map(|id| self.files.get(id)).map(|file| file.current().len()).sum();
        u64::try_from(used).unwrap_or(u64::MAX)
    }

    /// Counts the operation and says whether an armed fault hits it.
    fn fault(&mut self, operation: DiskOperation) -> Option<io::Error> {
        if operation.is_change() {
            self.changes += 1;
        }
        let hits = |target| match target {
            FaultTarget::AnyChange => operation.is_change(),
            FaultTarget::Operation(one) => one == operation,
        };
        let mut due = None;
        for (index, fault) in self.faults.iter_mut().enumerate().filter(|(_, fault)| hits(fault.target)) {
            match fault.skip.checked_sub(1) {
                Some(skip) => fault.skip = skip,
                None if due.is_none() => due = Some((index, *fault)),
                None => {}
            }
        }
        let (index, fault) = due?;
        match fault.span {
            FaultSpan::Once => drop(self.faults.remove(index)),
            FaultSpan::UntilHealed => {}
        }
        Some(match fault.error {
            FaultError::NoSpace => io::ErrorKind::StorageFull.into(),
            FaultError::Io => io::Error::other("input/output error (injected)"),
        })
    }

    /// Checks faults and finds the file.
    fn open(&mut self, operation: DiskOperation, name: &str) -> io::Result<&mut MemoryFile> {
        if let Some(error) = self.fault(operation) {
            return Err(error);
        }
        let id = self.names.get(name).ok_or_else(not_found)?;
        self.files.get_mut(id).ok_or_else(not_found)
    }

    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let fault = self.fault(DiskOperation::Write);
        let length = self.file(name).ok_or_else(not_found)?.current().len();
        let grown = start.saturating_add(bytes.len()).saturating_sub(length);
        let room = self.capacity_bytes.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.used_bytes()));
        let full = u64::try_from(grown).is_ok_and(|grown| grown > room).then(|| io::ErrorKind::StorageFull.into());
        let error = fault.or(full);
        let id = self.names.get(name).ok_or_else(not_found)?;
        let file = self.files.get_mut(id).ok_or_else(not_found)?;
        match error {
            None => {
                file.write(start, bytes);
                Ok(())
            }
            Some(error) => {
                file.write(start, bytes.get(..bytes.len() / 2).unwrap_or_default());
                Err(error)
            }
        }
    }

    fn change_names(&mut self, operation: DiskOperation, change: NameChange) -> io::Result<()> {
        if let Some(error) = self.fault(operation) {
            return Err(error);
        }
        let (needed, forbidden) = match &change {
            NameChange::Link { name, .. } => (None, Some(name)),
            NameChange::Rename { from, .. } => (Some(from), None),
            NameChange::Unlink { name } => (Some(name), None),
        };
        if needed.is_some_and(|name| !self.names.contains_key(name)) {
            return Err(not_found());
        }
        if forbidden.is_some_and(|name| self.names.contains_key(name)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        apply_name(&mut self.names, &change);
        self.pending_names.push(change);
        Ok(())
    }

    fn sync_names(&mut self) {
        self.durable_names = self.names.clone();
        self.pending_names.clear();
        let names = &self.names;
        let used: std::collections::BTreeSet<u64> = names.values().copied().collect();
        self.files.retain(|id, _| used.contains(id));
    }
}

fn apply_name(names: &mut BTreeMap<String, u64>, change: &NameChange) {
    match change {
        NameChange::Link { name, file } => drop(names.insert(name.clone(), *file)),
        NameChange::Rename { from, to } => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
        NameChange::Unlink { name } => drop(names.remove(name)),
    }
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl Disk for MemoryDisk {
    fn list(&self) -> Result<Vec<FileEntry>, DiskError> {
        let mut state = self.state();
        if let Some(error) = state.fault(DiskOperation::List) {
            return Err(DiskError::new(DiskOperation::List, ".", error));
        }
        let entry = |name: &String| FileEntry {
            name: name.clone(),
            bytes: state.file(name).map_or(0, |file| u64::try_from(file.current().len()).unwrap_or(u64::MAX)),
        };
        Ok(state.names.keys().map(entry).collect())
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Create, name)?;
        let mut state = self.state();
        let file = state.next_file;
        let change = NameChange::Link { name: name.into(), file };
        state
            .change_names(DiskOperation::Create, change)
            .map_err(|source| DiskError::new(DiskOperation::Create, name, source))?;
        state.next_file += 1;
        state.files.insert(file, MemoryFile::default());
        Ok(())
    }

    fn file_bytes(&self, name: &str) -> Result<u64, DiskError> {
        check_name(DiskOperation::Length, name)?;
        self.state()
            .open(DiskOperation::Length, name)
            .map(|file| u64::try_from(file.current().len()).unwrap_or(u64::MAX))
            .map_err(|source| DiskError::new(DiskOperation::Length, name, source))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        check_name(DiskOperation::Read, name)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        self.state()
            .open(DiskOperation::Read, name)
            .map(|file| file.read(start, buffer))
            .map_err(|source| DiskError::new(DiskOperation::Read, name, source))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        check_name(DiskOperation::Write, name)?;
        self.state().write(name, offset, bytes).map_err(|source| DiskError::new(DiskOperation::Write, name, source))
    }

    fn sync_file(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::SyncFile, name)?;
        let mut state = self.state();
        let fault = state.fault(DiskOperation::SyncFile);
        let id = state.names.get(name).copied();
        let file = id.and_then(|id| state.files.get_mut(&id));
        let result = match (file, fault) {
            (None, _) => Err(not_found()),
            (Some(file), Some(error)) => {
                file.fail_sync();
                Err(error)
            }
            (Some(file), None) => {
                file.sync();
                Ok(())
            }
        };
        result.map_err(|source| DiskError::new(DiskOperation::SyncFile, name, source))
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        let mut state = self.state();
        if let Some(error) = state.fault(DiskOperation::SyncDir) {
            return Err(DiskError::new(DiskOperation::SyncDir, ".", error));
        }
        state.sync_names();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Rename, from)?;
        check_name(DiskOperation::Rename, to)?;
        let change = NameChange::Rename { from: from.into(), to: to.into() };
        self.state()
            .change_names(DiskOperation::Rename, change)
            .map_err(|source| DiskError::new(DiskOperation::Rename, from, source))
    }

    fn unlink(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Unlink, name)?;
        self.state()
            .change_names(DiskOperation::Unlink, NameChange::Unlink { name: name.into() })
            .map_err(|source| DiskError::new(DiskOperation::Unlink, name, source))
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        check_name(DiskOperation::Truncate, name)?;
        let length = usize::try_from(length)
            .map_err(|_| DiskError::new(DiskOperation::Truncate, name, io::Error::from(io::ErrorKind::InvalidInput)))?;
        self.state()
            .open(DiskOperation::Truncate, name)
            .map(|file| file.truncate(length))
            .map_err(|source| DiskError::new(DiskOperation::Truncate, name, source))
    }

    fn free_bytes(&self) -> Option<u64> {
        let state = self.state();
        state.capacity_bytes.map(|capacity| capacity.saturating_sub(state.used_bytes()))
    }
}
