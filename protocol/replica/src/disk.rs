//! The few file operations the pack log needs, and nothing else.
//!
//! One flat folder of files. A [`Disk`] promises what POSIX promises and no more: bytes written are lost at a power cut
//! until [`Disk::sync_file`] returned, and names until [`Disk::sync_dir`] returned. [`RealDisk`] is `std::fs`;
//! [`MemoryDisk`] keeps the same contract in memory, can be told to fail, and can show every legal picture a power cut
//! leaves behind, so it is also the simulator's disk.
//!
//! # Invariants
//!
//! 1. A name is plain (`check_name`): it can never leave the folder.
//! 2. Nothing here decides when to sync; the caller does.
//!
//! # Failure
//!
//! Every operation fails with a [`DiskError`] that says which operation on which file.

mod memory_disk;
mod memory_file;
mod real_disk;

use std::{fmt, io};

pub use self::memory_disk::{Fault, FaultError, FaultSpan, FaultTarget, MemoryDisk};
pub use self::memory_file::CrashMode;
pub use self::real_disk::{DiskOpenError, LOCK_FILE_NAME, RealDisk, make_folder, sync_names_above};

/// Most bytes of a file name.
pub const FILE_NAME_BYTES_MAX: usize = 128;

/// One flat folder of files.
///
/// Writes take `&mut self`: one writer. Reads take `&self` and may run from several threads.
pub trait Disk: Send + Sync + fmt::Debug {
    /// All files with their lengths, sorted by name. Folders and the lock file are left out.
    ///
    /// # Errors
    ///
    /// When the folder cannot be read.
    fn list(&self) -> Result<Vec<FileEntry>, DiskError>;

    /// Makes an empty file. The name is durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    ///
    /// When the file exists already or cannot be made.
    fn create(&mut self, name: &str) -> Result<(), DiskError>;

    /// The present length of a file.
    ///
    /// # Errors
    ///
    /// When there is no such file or it cannot be asked.
    fn file_bytes(&self, name: &str) -> Result<u64, DiskError>;

    /// Reads at an offset and returns how many bytes came; fewer than asked only at the end of the file.
    ///
    /// # Errors
    ///
    /// When there is no such file or it cannot be read.
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError>;

    /// Writes all bytes at an offset, lengthening the file when needed. On an error any part may have been written.
    ///
    /// # Errors
    ///
    /// When there is no such file, no room, or the device fails.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError>;

    /// Makes a file's content and length durable (`fdatasync`).
    ///
    /// # Errors
    ///
    /// When the device fails. What was written since the last success may then be lost though reads still show it:
    /// calling again proves nothing.
    fn sync_file(&mut self, name: &str) -> Result<(), DiskError>;

    /// Makes all names of the folder durable.
    ///
    /// # Errors
    ///
    /// When the device fails.
    fn sync_dir(&mut self) -> Result<(), DiskError>;

    /// Gives a file another name in one step, replacing a file that had it.
    ///
    /// # Errors
    ///
    /// When there is no such file or the folder cannot be changed.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a name.
    ///
    /// # Errors
    ///
    /// When there is no such file or the folder cannot be changed.
    fn unlink(&mut self, name: &str) -> Result<(), DiskError>;

    /// Sets a file's length; a longer one is filled with zeros.
    ///
    /// # Errors
    ///
    /// When there is no such file, no room, or the device fails.
    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError>;

    /// Bytes this program may still write, where the system can tell. For warnings only.
    fn free_bytes(&self) -> Option<u64>;
}

/// A file's name and length.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileEntry {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

/// What a disk was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskOperation {
    /// [`Disk::list`].
    List,
    /// [`Disk::create`].
    Create,
    /// [`Disk::file_bytes`].
    Length,
    /// [`Disk::read_at`].
    Read,
    /// [`Disk::write_at`].
    Write,
    /// [`Disk::sync_file`].
    SyncFile,
    /// [`Disk::sync_dir`].
    SyncDir,
    /// [`Disk::rename`].
    Rename,
    /// [`Disk::unlink`].
    Unlink,
    /// [`Disk::truncate`].
    Truncate,
}

impl DiskOperation {
    /// Whether the operation can change what is on the disk.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::List | Self::Length | Self::Read => false,
            Self::Create
            | Self::Write
            | Self::SyncFile
            | Self::SyncDir
            | Self::Rename
            | Self::Unlink
            | Self::Truncate => true,
        }
    }
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::List => "listing",
            Self::Create => "creating",
            Self::Length => "asking the length of",
            Self::Read => "reading",
            Self::Write => "writing",
            Self::SyncFile => "fdatasync of",
            Self::SyncDir => "fsync of the folder of",
            Self::Rename => "renaming",
            Self::Unlink => "removing",
            Self::Truncate => "cutting",
        })
    }
}

/// A file operation failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {name} failed")]
pub struct DiskError {
    /// What was asked.
    pub operation: DiskOperation,
    /// Which file; the folder itself is `.`.
    pub name: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

impl DiskError {
    pub(crate) fn new(operation: DiskOperation, name: &str, source: io::Error) -> Self {
        Self { operation, name: name.into(), source }
    }

    /// Whether there was no room: an operator can help, and trying again later may work.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Refuses names that could leave the folder, hide, or collide with the lock file.
fn check_name(operation: DiskOperation, name: &str) -> Result<(), DiskError> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    if plain
        && !name.is_empty()
        && name.len() <= FILE_NAME_BYTES_MAX
        && !name.starts_with('.')
        && name != LOCK_FILE_NAME
    {
        return Ok(());
    }
    let source = io::Error::new(io::ErrorKind::InvalidInput, "not a plain file name");
    Err(DiskError::new(operation, name, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_refused() {
        for name in ["", ".", "..", "../up", "a/b", "a\\b", "/root", ".hidden", "LOCK", "nul\0", "字"] {
            assert!(check_name(DiskOperation::Create, name).is_err(), "{name:?}");
        }
        assert!(check_name(DiskOperation::Create, &"x".repeat(FILE_NAME_BYTES_MAX + 1)).is_err());
        assert!(check_name(DiskOperation::Create, "00000001-0000.seg").is_ok());
    }

    #[test]
    fn error_says_operation_and_file() {
        let error = DiskError::new(DiskOperation::SyncFile, "a.seg", io::ErrorKind::StorageFull.into());
        assert_eq!(error.to_string(), "fdatasync of a.seg failed");
        assert!(error.is_full());
    }
}
