//! A real folder whose every operation is also done on a simulated disk beside it.
//!
//! The shadow knows what was synced and what was not, so at any operation it can say what a power cut would leave: that is
//! an image of the real run. It can also be told that an operation fails; then the real folder is left as the failing system
//! leaves it, half written.
//!
//! # Invariants
//!
//! 1. What the shadow shows is what the folder shows ([`WatchedDisk::is_same`]).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qianmo_replica::disk::{
    CrashMode, Disk, DiskError, DiskOpenError, DiskOperation, Fault, FileEntry, MemoryDisk, RealDisk,
};
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;

/// A real folder and its shadow.
#[derive(Debug)]
pub struct WatchedDisk {
    real: RealDisk,
    watch: Watch,
}

/// What is seen of a folder. Clones are one.
#[derive(Debug, Clone)]
pub struct Watch {
    shared: Arc<Mutex<Seen>>,
}

#[derive(Debug)]
struct Seen {
    shadow: MemoryDisk,
    rng: ChaCha20Rng,
    /// One operation in so many is cut.
    one_in: u32,
    /// The index's folder, and where copies of it go.
    index: Option<(PathBuf, PathBuf)>,
    images: Vec<Image>,
    cuts: u64,
    operations: u64,
    /// Operations since the last sync that are not durable: writes and changes of names.
    unsynced: u64,
}

/// What a power cut leaves of a folder.
#[derive(Debug, Clone)]
pub struct Image {
    /// The files, all durable.
    pub files: MemoryDisk,
    /// Which legal part of what was not synced is in it.
    pub mode: CrashMode,
    /// Which operation of its folder was under way.
    pub operation: u64,
    /// What it was.
    pub during: DiskOperation,
    /// A copy of the index's folder at that moment, if one was taken.
    pub index: Option<PathBuf>,
}

impl Watch {
    /// Of a new folder: one operation in so many gives an image. None when that is 0.
    #[must_use]
    pub fn new(seed: u64, one_in: u32) -> Self {
        Self::over(MemoryDisk::new(), seed, one_in)
    }

    /// Of a folder that holds these files.
    #[must_use]
    pub fn over(shadow: MemoryDisk, seed: u64, one_in: u32) -> Self {
        let rng = ChaCha20Rng::seed_from_u64(seed);
        let seen = Seen { shadow, rng, one_in, index: None, images: Vec::new(), cuts: 0, operations: 0, unsynced: 0 };
        Self { shared: Arc::new(Mutex::new(seen)) }
    }

    /// Every other image gets a copy of the index's folder as it is at that moment, under `copies`.
    #[must_use]
    pub fn with_index(self, folder: PathBuf, copies: PathBuf) -> Self {
        self.seen().index = Some((folder, copies));
        self
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The images since the last call.
    #[must_use]
    pub fn take_images(&self) -> Vec<Image> {
        std::mem::take(&mut self.seen().images)
    }

    /// An image of this moment.
    #[must_use]
    pub fn image(&self) -> Image {
        let mut seen = self.seen();
        seen.cut(DiskOperation::List);
        seen.images.pop().unwrap()
    }

    /// How many operations changed the folder so far.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.seen().operations
    }

    /// Whether everything that was written is durable: nothing may be confirmed otherwise.
    #[must_use]
    pub fn is_durable(&self) -> bool {
        self.seen().unsynced == 0
    }

    /// A failure to come.
    pub fn inject(&self, fault: Fault) {
        self.seen().shadow.inject(fault);
    }

    /// No more failures.
    pub fn heal(&self) {
        self.seen().shadow.heal();
    }

    /// The shadow, to go on with after the folder is opened again.
    #[must_use]
    pub fn shadow(&self) -> MemoryDisk {
        self.seen().shadow.clone()
    }
}

impl Seen {
    fn cut(&mut self, during: DiskOperation) {
        let mode = *CrashMode::ALL.choose(&mut self.rng).unwrap();
        let files = self.shadow.crash(mode, &mut self.rng);
        self.cuts += 1;
        let copied = self.index.as_ref().filter(|_| self.rng.random_bool(0.5)).map(|(from, copies)| {
            let to = copies.join(self.cuts.to_string());
            // Files come and go while they are copied: an index in any state is what is wanted.
            copy_folder(from, &to).unwrap_or_default();
            to
        });
        self.images.push(Image { files, mode, operation: self.operations, during, index: copied });
    }

    fn maybe_cut(&mut self, during: DiskOperation) {
        if self.one_in > 0 && self.rng.random_range(0..self.one_in) == 0 {
            self.cut(during);
        }
    }
}

impl WatchedDisk {
    /// Takes a folder. It must hold what the watch's shadow holds.
    ///
    /// # Errors
    /// As [`RealDisk::open`].
    pub fn open(dir: impl Into<PathBuf>, watch: Watch) -> Result<Self, DiskOpenError> {
        Ok(Self { real: RealDisk::open(dir)?, watch })
    }

    /// One operation: on the shadow, which may say that it fails, then on the folder.
    fn both(
        &mut self,
        what: DiskOperation,
        shadow: impl FnOnce(&mut MemoryDisk) -> Result<(), DiskError>,
        real: impl FnOnce(&mut RealDisk) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let mut seen = self.watch.seen();
        seen.operations += 1;
        seen.maybe_cut(what);
        shadow(&mut seen.shadow)?;
        real(&mut self.real)?;
        match what {
            DiskOperation::SyncFile | DiskOperation::SyncDir => {}
            DiskOperation::Create | DiskOperation::Write | DiskOperation::Rename => seen.unsynced += 1,
            DiskOperation::Unlink
            | DiskOperation::Truncate
            | DiskOperation::List
            | DiskOperation::Length
            | DiskOperation::Read => {}
        }
        let shadow = seen.shadow.clone();
        if what == DiskOperation::SyncFile || what == DiskOperation::SyncDir {
            // Exactly what a cut that drops everything unsynced would leave is all there is.
            let left = shadow.crash(CrashMode::DropUnsynced, &mut seen.rng);
            seen.unsynced = u64::from(!is_same(&left, &shadow));
        }
        seen.maybe_cut(what);
        Ok(())
    }

    /// Whether folder and shadow show the same.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn is_same(dir: &Path, shadow: &MemoryDisk) -> std::io::Result<bool> {
        for entry in shadow.list().unwrap() {
            if std::fs::read(dir.join(&entry.name))? != shadow.contents(&entry.name).unwrap_or_default() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Copies a folder and those in it.
///
/// # Errors
/// Something cannot be read or written; the rest is not copied then.
pub fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn is_same(a: &MemoryDisk, b: &MemoryDisk) -> bool {
    let (names_a, names_b) = (a.list().unwrap_or_default(), b.list().unwrap_or_default());
    names_a == names_b && names_a.iter().all(|file| a.contents(&file.name) == b.contents(&file.name))
}

impl Disk for WatchedDisk {
    fn list(&self) -> Result<Vec<FileEntry>, DiskError> {
        self.real.list()
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        self.both(DiskOperation::Create, |shadow| shadow.create(name), |real| real.create(name))
    }

    fn file_bytes(&self, name: &str) -> Result<u64, DiskError> {
        self.real.file_bytes(name)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.real.read_at(name, offset, buffer)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let done = self.both(
            DiskOperation::Write,
            |shadow| shadow.write_at(name, offset, bytes),
            |real| real.write_at(name, offset, bytes),
        );
        if done.is_err() {
            // A failed write has written a part, here as in the shadow.
            self.real.write_at(name, offset, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
        }
        done
    }

    fn sync_file(&mut self, name: &str) -> Result<(), DiskError> {
        self.both(DiskOperation::SyncFile, |shadow| shadow.sync_file(name), |real| real.sync_file(name))
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.both(DiskOperation::SyncDir, MemoryDisk::sync_dir, RealDisk::sync_dir)
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.both(DiskOperation::Rename, |shadow| shadow.rename(from, to), |real| real.rename(from, to))
    }

    fn unlink(&mut self, name: &str) -> Result<(), DiskError> {
        self.both(DiskOperation::Unlink, |shadow| shadow.unlink(name), |real| real.unlink(name))
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.both(DiskOperation::Truncate, |shadow| shadow.truncate(name, length), |real| real.truncate(name, length))
    }

    fn free_bytes(&self) -> Option<u64> {
        self.real.free_bytes()
    }
}
