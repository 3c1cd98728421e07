//! The index in sled, the only place that names it.
//!
//! sled 0.34.7 is quick and compact, and it is beta: its flush is not power-safe, a leftover `snap.*.generating` file keeps
//! it from opening, and damaged files make it panic. So here it is disposable. Whatever goes wrong at open ends in an
//! empty index and a reason; whatever goes wrong later ends in an error that says "rebuild".
//!
//! # Layout
//!
//! ```text
//! <dir>/sled/      sled's own folder: one tree
//! <dir>/session    present while open, see `sled_session`
//! ```
//!
//! # Invariants
//!
//! 1. Every call into sled runs under `catch_unwind`; after a failure no further call reaches it ([`Index::clear`] excepted).
//! 2. One tree, no value over 4 KiB: sled then makes no blob files, which it would never sync.

use std::any::Any;
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use super::sled_session::{LastSession, SessionNote};
use super::{ABSORBED_KEY, ApplyError, Batch, Index, IndexError, KeyRange, Page, PageError};
use crate::pack_log::FramePointer;

const FOLDER_NAME: &str = "sled";
const DISCARDED_NAME: &str = "sled.discarded";
/// How long a lock may stay held after its holder in this process was dropped.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// Also drives sled's garbage collection: must stay on.
const FLUSH_EVERY_MS: u64 = 500;

/// An index in a folder of its own. The caller sees to it that one process uses the folder (the store's lock).
#[derive(Debug)]
pub struct SledIndex {
    dir: PathBuf,
    cache_bytes: u64,
    /// `None` only while it is being replaced, and after that failed.
    db: Option<sled::Db>,
    has_failed: AtomicBool,
}

/// How an index was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IndexOpen {
    /// With what was there.
    Opened,
    /// There was none.
    Created,
    /// What was there was thrown away: replay the log from the start.
    Rebuilt {
        /// Why.
        reason: String,
    },
}

/// Why there is no index, not even an empty one.
#[derive(Debug, thiserror::Error)]
pub enum IndexOpenError {
    /// Somebody has it open.
    #[error("the index in {} is in use; only one process may open it", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be used.
    #[error("the index folder {} cannot be used", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// sled cannot make an empty index.
    #[error("an empty index cannot be made in {}", dir.display())]
    Engine {
        /// The folder.
        dir: PathBuf,
        /// What sled said.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

/// Why sled did not open.
enum SledFailure {
    Locked,
    /// The system refuses, and would refuse an empty index too.
    Refused(io::Error),
    /// Its files are the problem.
    Damaged(Box<dyn Error + Send + Sync>),
}

impl SledIndex {
    /// Opens the index in a folder, making it if needed. If sled cannot open what is there, that is thrown away.
    ///
    /// # Errors
    ///
    /// When not even an empty index can be made.
    pub fn open(dir: impl Into<PathBuf>, cache_bytes: u64) -> Result<(Self, IndexOpen), IndexOpenError> {
        let dir = dir.into();
        let io_error = |source| IndexOpenError::Io { dir: dir.clone(), source };
        fs::create_dir_all(&dir).map_err(io_error)?;
        let note = SessionNote::new(&dir);
        let existed = dir.join(FOLDER_NAME).exists();
        let mut reason = None;
        let distrust = match note.last_session().map_err(io_error)? {
            LastSession::Trusted => None,
            LastSession::MachineStopped => Some("the machine stopped while the index was open"),
            LastSession::Failed => Some("the index failed when it was open last"),
        };
        if let Some(why) = distrust.filter(|_| existed) {
            reason = Some(why.to_owned());
            discard(&dir).map_err(io_error)?;
        }
        note.begin().map_err(io_error)?;
        let db = match open_sled(&dir, cache_bytes) {
            Ok(db) => db,
            Err(SledFailure::Damaged(source)) => {
                reason = Some(source.to_string());
                discard(&dir).map_err(io_error)?;
                open_sled(&dir, cache_bytes).map_err(|failure| failure.into_open_error(&dir))?
            }
            Err(failure) => return Err(failure.into_open_error(&dir)),
        };
        let outcome = match reason {
            Some(reason) => IndexOpen::Rebuilt { reason },
            None if existed => IndexOpen::Opened,
            None => IndexOpen::Created,
        };
        Ok((Self { dir, cache_bytes, db: Some(db), has_failed: AtomicBool::new(false) }, outcome))
    }

    /// Closes the index so that the next open can trust it even after a power cut. Dropping does the same but cannot say
    /// that it failed; then a power cut costs a rebuild.
    ///
    /// # Errors
    ///
    /// When the files cannot be made durable.
    pub fn close(mut self) -> Result<(), IndexError> {
        self.shut()
    }

    fn shut(&mut self) -> Result<(), IndexError> {
        let Some(db) = self.db.take() else { return Ok(()) };
        let failed = self.has_failed.load(Ordering::Relaxed);
        let flushed = guarded("closing", || db.flush());
        guarded("closing", || {
            drop(db);
            Ok(())
        })?;
        flushed?;
        if failed {
            // The note stays, and with it the doubt.
            return Ok(());
        }
        let folder = self.dir.join(FOLDER_NAME);
        let io_error = |source: io::Error| IndexError { doing: "closing", source: Box::new(source) };
        wait_until_free(&folder.join("db")).map_err(io_error)?;
        SessionNote::new(&self.dir).end(&folder).map_err(io_error)
    }

    /// From now on nothing it says is believed, here and at the next opening.
    fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
        // If that cannot be noted either, the next opening finds the same damage.
        SessionNote::new(&self.dir).distrust().unwrap_or_default();
    }

    /// Runs a call into sled. The first failure is the last call.
    fn call<T>(&self, doing: &'static str, call: impl FnOnce(&sled::Db) -> sled::Result<T>) -> Result<T, IndexError> {
        let db = match &self.db {
            Some(db) if !self.has_failed.load(Ordering::Relaxed) => db,
            Some(_) | None => return Err(IndexError { doing, source: "it failed before and was not cleared".into() }),
        };
        let result = guarded(doing, || call(db));
        if result.is_err() {
            self.fail();
        }
        result
    }
}

impl Index for SledIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.call("reading", |db| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn apply(&mut self, batch: Batch) -> Result<(), ApplyError> {
        batch.check()?;
        let mut sled_batch = sled::Batch::default();
        for (key, value) in batch.operations {
            match value {
                Some(value) => sled_batch.insert(key, value),
                None => sled_batch.remove(key),
            }
        }
        if let Some(pointer) = batch.absorbed {
            sled_batch.insert(ABSORBED_KEY, pointer.encode().as_slice());
        }
        Ok(self.call("applying a batch", |db| db.apply_batch(sled_batch))?)
    }

    fn scan(&self, range: &KeyRange, after: Option<&[u8]>, limit: usize) -> Result<Page, PageError> {
        Page::check_limit(limit)?;
        let Some(bounds) = range.rest(after) else { return Ok(Page::default()) };
        let entries = self.call("scanning", |db| {
            let mut entries = Vec::new();
            for entry in db.range::<Vec<u8>, _>(bounds).take(limit + 1) {
                let (key, value) = entry?;
                entries.push((key.to_vec(), value.to_vec()));
            }
            Ok(entries)
        })?;
        Ok(Page::cut(entries, limit))
    }

    fn absorbed(&self) -> Result<Option<FramePointer>, IndexError> {
        let doing = "reading the absorbed position";
        let Some(bytes) = self.call(doing, |db| db.get(ABSORBED_KEY))? else { return Ok(None) };
        FramePointer::decode(&bytes).map(Some).map_err(|error| {
            self.fail();
            IndexError { doing, source: Box::new(error) }
        })
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        self.call("flushing", |db| db.flush().map(|_bytes| ()))
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        let doing = "clearing";
        if let Some(db) = self.db.take() {
            // Whether a broken engine shuts down in order does not matter: its folder goes.
            drop(guarded(doing, || {
                drop(db);
                Ok(())
            }));
        }
        let io_error = |source: io::Error| IndexError { doing, source: Box::new(source) };
        discard(&self.dir).map_err(io_error)?;
        SessionNote::new(&self.dir).begin().map_err(io_error)?;
        let db = open_sled(&self.dir, self.cache_bytes)
            .map_err(|failure| IndexError { doing, source: Box::new(failure.into_open_error(&self.dir)) })?;
        self.db = Some(db);
        self.has_failed.store(false, Ordering::Relaxed);
        Ok(())
    }
}

impl Drop for SledIndex {
    fn drop(&mut self) {
        // Nobody to tell, and nothing lost: the session note stays, and a later open knows.
        drop(self.shut());
    }
}

impl SledFailure {
    fn into_open_error(self, dir: &Path) -> IndexOpenError {
        let dir = dir.to_owned();
        match self {
            Self::Locked => IndexOpenError::Locked { dir },
            Self::Refused(source) => IndexOpenError::Io { dir, source },
            Self::Damaged(source) => IndexOpenError::Engine { dir, source },
        }
    }
}

/// Opens sled's folder, waiting for a lock that a dropped handle of this process still holds.
fn open_sled(dir: &Path, cache_bytes: u64) -> Result<sled::Db, SledFailure> {
    let folder = dir.join(FOLDER_NAME);
    remove_unfinished_snapshots(&folder).map_err(SledFailure::Refused)?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match try_open_sled(&folder, cache_bytes) {
            Err(SledFailure::Locked) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            outcome => return outcome,
        }
    }
}

fn try_open_sled(folder: &Path, cache_bytes: u64) -> Result<sled::Db, SledFailure> {
    let config = sled::Config::new()
        .path(folder)
        .cache_capacity(cache_bytes)
        .mode(sled::Mode::LowSpace)
        .flush_every_ms(Some(FLUSH_EVERY_MS));
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let db = config.open()?;
        // Some damage only shows at the first read.
        let absorbed = db.get(ABSORBED_KEY)?;
        let first = db.iter().next().transpose()?;
        Ok((db, absorbed, first))
    }));
    match opened {
        Ok(Ok((db, absorbed, _first))) => match absorbed.map(|bytes| FramePointer::decode(&bytes)) {
            Some(Err(error)) => Err(SledFailure::Damaged(Box::new(error))),
            Some(Ok(_)) | None => Ok(db),
        },
        Ok(Err(error)) => Err(classify(error)),
        Err(panic) => Err(SledFailure::Damaged(panic_text(&*panic).into())),
    }
}

fn classify(error: sled::Error) -> SledFailure {
    match error {
        sled::Error::Io(error) if error.to_string().contains("could not acquire lock") => SledFailure::Locked,
        sled::Error::Io(error) if refuses_everything(error.kind()) => SledFailure::Refused(error),
        sled::Error::Io(error) => SledFailure::Damaged(Box::new(error)),
        other @ (sled::Error::CollectionNotFound(_)
        | sled::Error::Unsupported(_)
        | sled::Error::ReportableBug(_)
        | sled::Error::Corruption { .. }) => SledFailure::Damaged(Box::new(other)),
    }
}

/// Whether an empty index would fail the same way, so that throwing this one away helps nobody.
fn refuses_everything(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(kind, StorageFull | QuotaExceeded | PermissionDenied | ReadOnlyFilesystem)
}

/// A half-written snapshot sorts last and would be read as the newest.
fn remove_unfinished_snapshots(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        // Not there, or no folder at all: sled will say.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes sled's folder. It is renamed first, so that threads of a broken engine cannot get in the way.
fn discard(dir: &Path) -> io::Result<()> {
    let discarded = dir.join(DISCARDED_NAME);
    remove_if_there(&discarded)?;
    match fs::rename(dir.join(FOLDER_NAME), &discarded) {
        Ok(()) => remove_if_there(&discarded),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    let result = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match result {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Waits until sled's background threads have let go of its file, so that syncing it means something.
fn wait_until_free(db_file: &Path) -> io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(db_file)?;
    let deadline = Instant::now() + LOCK_WAIT;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            Err(error) => return Err(error.into()),
        }
    }
}

fn guarded<T>(doing: &'static str, call: impl FnOnce() -> sled::Result<T>) -> Result<T, IndexError> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(IndexError { doing, source: Box::new(error) }),
        Err(panic) => Err(IndexError { doing, source: panic_text(&*panic).into() }),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked".to_owned())
}
