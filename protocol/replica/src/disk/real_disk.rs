//! A folder of the operating system, held by one process.
//!
//! Files stay open after first use, so that the append path is one positional write and one `fdatasync`. The folder is
//! held with our own lock file, because sled takes none on Android and iOS.
//!
//! # Limits
//!
//! [`OPEN_FILES_MAX`] file handles.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Disk, DiskError, DiskOperation, FileEntry, check_name};

/// The file whose lock says that a process holds the folder.
pub const LOCK_FILE_NAME: &str = "LOCK";
/// Most files kept open; the log writes one and reads a few.
const OPEN_FILES_MAX: usize = 32;

/// A folder on a real file system, locked for this process until dropped.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    open: Mutex<BTreeMap<String, OpenFile>>,
    /// Held, never read: closing it gives the folder free.
    _lock: File,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<File>,
    /// Written and not yet synced: closing such a handle could lose the report of a write-back error.
    is_dirty: bool,
}

/// Why a folder could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum DiskOpenError {
    /// The lock is taken.
    #[error("another process holds this store: {}; stop it first", dir.display())]
    Locked {
        /// The folder.
        dir: PathBuf,
    },
    /// The folder cannot be made, opened or locked.
    #[error("the store folder {} cannot be opened", dir.display())]
    Io {
        /// The folder.
        dir: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl RealDisk {
    /// Takes a folder, making it if needed.
    ///
    /// # Errors
    ///
    /// [`DiskOpenError::Locked`] when another process, or another `RealDisk` of this one, holds it.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, DiskOpenError> {
        let dir = dir.into();
        match Self::lock(&dir) {
            Ok(Some(lock)) => Ok(Self { dir, open: Mutex::new(BTreeMap::new()), _lock: lock }),
            Ok(None) => Err(DiskOpenError::Locked { dir }),
            Err(source) => Err(DiskOpenError::Io { dir, source }),
        }
    }

    /// The folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn lock(dir: &Path) -> io::Result<Option<File>> {
        make_folder(dir)?;
        if list_files(dir)?.is_empty() {
            // Nothing is in it yet: whoever made it may have been killed before its name was durable.
            sync_names_above(dir);
        }
        let path = dir.join(LOCK_FILE_NAME);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(source),
        }
    }

    /// An open handle of a file, from the cache where possible.
    fn handle(&self, name: &str, use_: Use) -> io::Result<Arc<File>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = open.get_mut(name) {
            entry.is_dirty |= use_ == Use::Write;
            return Ok(Arc::clone(&entry.file));
        }
        let file = Arc::new(OpenOptions::new().read(true).write(true).open(self.dir.join(name))?);
        Self::keep(&mut open, name, &file, use_);
        Ok(file)
    }

    fn keep(open: &mut BTreeMap<String, OpenFile>, name: &str, file: &Arc<File>, use_: Use) {
        if open.len() >= OPEN_FILES_MAX
            && let Some(oldest) = open.iter().find(|(_, entry)| !entry.is_dirty).map(|(name, _)| name.clone())
        {
            open.remove(&oldest);
        }
        open.insert(name.into(), OpenFile { file: Arc::clone(file), is_dirty: use_ == Use::Write });
    }

    fn forget(&self, name: &str) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    fn clean(&self, name: &str) {
        if let Some(entry) = self.open.lock().unwrap_or_else(PoisonError::into_inner).get_mut(name) {
            entry.is_dirty = false;
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Use {
    Read,
    Write,
}

impl Disk for RealDisk {
    fn list(&self) -> Result<Vec<FileEntry>, DiskError> {
        list_files(&self.dir).map_err(|source| DiskError::new(DiskOperation::List, ".", source))
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Create, name)?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.dir.join(name))
            .map_err(|source| DiskError::new(DiskOperation::Create, name, source))?;
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        Self::keep(&mut open, name, &Arc::new(file), Use::Write);
        Ok(())
    }

    fn file_bytes(&self, name: &str) -> Result<u64, DiskError> {
        check_name(DiskOperation::Length, name)?;
        self.handle(name, Use::Read)
            .and_then(|file| file.metadata())
            .map(|metadata| metadata.len())
            .map_err(|source| DiskError::new(DiskOperation::Length, name, source))
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        check_name(DiskOperation::Read, name)?;
        self.handle(name, Use::Read)
            .and_then(|file| positional::read(&file, offset, buffer))
            .map_err(|source| DiskError::new(DiskOperation::Read, name, source))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        check_name(DiskOperation::Write, name)?;
        self.handle(name, Use::Write)
            .and_then(|file| positional::write(&file, offset, bytes))
            .map_err(|source| DiskError::new(DiskOperation::Write, name, source))
    }

    fn sync_file(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::SyncFile, name)?;
        // On Apple systems std's sync_data is F_FULLFSYNC, which reaches the platter; fdatasync elsewhere does.
        self.handle(name, Use::Read)
            .and_then(|file| file.sync_data())
            .map_err(|source| DiskError::new(DiskOperation::SyncFile, name, source))?;
        self.clean(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        sync_folder(&self.dir).map_err(|source| DiskError::new(DiskOperation::SyncDir, ".", source))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Rename, from)?;
        check_name(DiskOperation::Rename, to)?;
        self.forget(from);
        self.forget(to);
        fs::rename(self.dir.join(from), self.dir.join(to))
            .map_err(|source| DiskError::new(DiskOperation::Rename, from, source))
    }

    fn unlink(&mut self, name: &str) -> Result<(), DiskError> {
        check_name(DiskOperation::Unlink, name)?;
        self.forget(name);
        fs::remove_file(self.dir.join(name)).map_err(|source| DiskError::new(DiskOperation::Unlink, name, source))
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        check_name(DiskOperation::Truncate, name)?;
        self.handle(name, Use::Write)
            .and_then(|file| file.set_len(length))
            .map_err(|source| DiskError::new(DiskOperation::Truncate, name, source))
    }

    fn free_bytes(&self) -> Option<u64> {
        free_bytes(&self.dir)
    }
}

fn list_files(dir: &Path) -> io::Result<Vec<FileEntry>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        // A name we could not have written is not ours: it is neither listed nor touched.
        if let Some(name) = entry.file_name().to_str()
            && metadata.is_file()
            && check_name(DiskOperation::List, name).is_ok()
        {
            files.push(FileEntry { name: name.into(), bytes: metadata.len() });
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Windows journals folder changes itself and cannot open a folder as a file.
#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}

/// Makes a folder and those above it that are missing, so that a power cut leaves them: each name is durable.
///
/// Whatever is synced in a folder is lost with its name.
///
/// # Errors
/// One of them cannot be made or synced.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    make_folder_syncing(dir, &mut sync_folder)
}

fn make_folder_syncing(dir: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or_else(|| Path::new(""));
    make_folder_syncing(parent, sync)?;
    match fs::create_dir(dir) {
        Ok(()) => {}
        // Another process was quicker; its sync may be still to come.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        Err(error) => return Err(error),
    }
    sync(here_if_empty(parent))
}

/// Makes the names of a folder and of those above it durable, as far as this user may: those that were there before this
/// program was are somebody else's, and were durable before.
pub fn sync_names_above(dir: &Path) {
    folders_above(dir).for_each(|folder| sync_folder(folder).unwrap_or_default());
}

fn folders_above(dir: &Path) -> impl Iterator<Item = &Path> {
    dir.ancestors().skip(1).map(here_if_empty)
}

fn here_if_empty(dir: &Path) -> &Path {
    if dir.as_os_str().is_empty() { Path::new(".") } else { dir }
}

#[cfg(unix)]
fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(dir).ok()?;
    stat.f_bavail.checked_mul(stat.f_frsize)
}

#[cfg(not(unix))]
fn free_bytes(_dir: &Path) -> Option<u64> {
    None
}

/// Reads and writes at an offset; no shared cursor, so readers do not disturb the writer.
mod positional {
    use std::fs::File;
    use std::io;
    #[cfg(unix)]
    use std::os::unix::fs::FileExt;
    #[cfg(windows)]
    use std::os::windows::fs::FileExt;

    #[cfg(unix)]
    fn read_some(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        file.read_at(buffer, offset)
    }

    #[cfg(windows)]
    fn read_some(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        file.seek_read(buffer, offset)
    }

    #[cfg(unix)]
    fn write_some(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        file.write_at(bytes, offset)
    }

    #[cfg(windows)]
    fn write_some(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        file.seek_write(bytes, offset)
    }

    /// Fills the buffer as far as the file goes.
    pub(super) fn read(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match read_some(file, advance(offset, done)?, rest) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes all bytes.
    pub(super) fn write(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
            match write_some(file, advance(offset, done)?, rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn advance(offset: u64, done: usize) -> io::Result<u64> {
        u64::try_from(done)
            .ok()
            .and_then(|done| offset.checked_add(done))
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_with_new_parents_has_the_name_of_each_synced_in_the_folder_above() {
        let root = tempfile::tempdir().unwrap();
        let mut synced = Vec::new();
        let mut sync = |folder: &Path| {
            synced.push(folder.to_owned());
            Ok(())
        };
        make_folder_syncing(&root.path().join("a/b/c"), &mut sync).unwrap();
        make_folder_syncing(&root.path().join("a/b/c"), &mut sync).unwrap();
        assert!(root.path().join("a/b/c").is_dir());
        assert_eq!(synced, [root.path().to_owned(), root.path().join("a"), root.path().join("a/b")]);
    }

    #[test]
    fn a_folder_whose_parent_cannot_be_synced_is_not_made_good() {
        let root = tempfile::tempdir().unwrap();
        let mut sync = |_: &Path| Err(io::Error::other("no"));
        make_folder_syncing(&root.path().join("a/b"), &mut sync).unwrap_err();
        assert!(!root.path().join("a/b").exists());
    }

    #[test]
    fn the_folders_above_a_relative_one_end_with_where_the_program_is() {
        assert!(folders_above(Path::new("a/b/c")).eq([Path::new("a/b"), Path::new("a"), Path::new(".")]));
        assert!(folders_above(Path::new("/a/b")).eq([Path::new("/a"), Path::new("/")]));
    }
}
