//! A folder of segments as it was at one moment, for looking without a lock and without changing anything.
//!
//! Reads go to the files, bounded by the lengths of that moment; what an opening pack log writes stays in memory.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;

use qianmo_replica::disk::{Disk, DiskError, DiskOperation, FileEntry};

#[derive(Debug)]
pub(super) struct SnapshotDisk {
    dir: PathBuf,
    /// Lengths at that moment.
    files: BTreeMap<String, u64>,
    /// Files that were changed here, whole.
    changed: BTreeMap<String, Vec<u8>>,
}

impl SnapshotDisk {
    pub(super) const fn new(dir: PathBuf, files: BTreeMap<String, u64>) -> Self {
        Self { dir, files, changed: BTreeMap::new() }
    }

    /// Every segment that lies in the folder now.
    pub(super) fn of_folder(dir: PathBuf) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.ends_with(".seg") {
                files.insert(name, entry.metadata()?.len());
            }
        }
        Ok(Self::new(dir, files))
    }

    pub(super) fn again(&self) -> Self {
        Self::new(self.dir.clone(), self.files.clone())
    }

    fn error(operation: DiskOperation, name: &str, source: io::Error) -> DiskError {
        DiskError { operation, name: name.to_owned(), source }
    }

    fn read(&self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        if let Some(bytes) = self.changed.get(name) {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let mut rest = bytes.get(from..).unwrap_or_default();
            return rest.read(buffer);
        }
        let length = *self.files.get(name).ok_or(io::ErrorKind::NotFound)?;
        let room = usize::try_from(length.saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut file = File::open(self.dir.join(name))?;
        file.seek(SeekFrom::Start(offset))?;
        let count = room.min(buffer.len());
        let mut filled = 0;
        while filled < count {
            let read = file.read(buffer.get_mut(filled..count).unwrap_or_default())?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// A file's bytes in memory, to be changed.
    fn bytes_of(&mut self, operation: DiskOperation, name: &str) -> Result<&mut Vec<u8>, DiskError> {
        if !self.changed.contains_key(name) {
            let length = self.file_bytes(name)?;
            let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
            let read = self.read(name, 0, &mut bytes).map_err(|error| Self::error(operation, name, error))?;
            bytes.truncate(read);
            self.changed.insert(name.to_owned(), bytes);
        }
        let missing = || Self::error(operation, name, io::ErrorKind::NotFound.into());
        self.changed.get_mut(name).ok_or_else(missing)
    }
}

impl Disk for SnapshotDisk {
    fn list(&self) -> Result<Vec<FileEntry>, DiskError> {
        let kept = self.files.iter().filter(|(name, _)| !self.changed.contains_key(*name));
        let mut entries: Vec<FileEntry> =
            kept.map(|(name, bytes)| FileEntry { name: name.clone(), bytes: *bytes }).collect();
        let length = |bytes: &Vec<u8>| u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        entries.extend(self.changed.iter().map(|(name, bytes)| FileEntry { name: name.clone(), bytes: length(bytes) }));
        entries.sort();
        Ok(entries)
    }

    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        self.changed.insert(name.to_owned(), Vec::new());
        Ok(())
    }

    fn file_bytes(&self, name: &str) -> Result<u64, DiskError> {
        let changed = self.changed.get(name).map(|bytes| u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let missing = || Self::error(DiskOperation::Length, name, io::ErrorKind::NotFound.into());
        changed.or_else(|| self.files.get(name).copied()).ok_or_else(missing)
    }

    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.read(name, offset, buffer).map_err(|error| Self::error(DiskOperation::Read, name, error))
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        let kept = self.bytes_of(DiskOperation::Write, name)?;
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = from.saturating_add(bytes.len());
        if kept.len() < end {
            kept.resize(end, 0);
        }
        if let Some(place) = kept.get_mut(from..end) {
            place.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn sync_file(&mut self, _name: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let bytes = core::mem::take(self.bytes_of(DiskOperation::Rename, from)?);
        self.unlink(from)?;
        self.changed.insert(to.to_owned(), bytes);
        Ok(())
    }

    fn unlink(&mut self, name: &str) -> Result<(), DiskError> {
        self.changed.remove(name);
        self.files.remove(name);
        Ok(())
    }

    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        let kept = self.bytes_of(DiskOperation::Truncate, name)?;
        kept.resize(usize::try_from(length).unwrap_or(kept.len()), 0);
        Ok(())
    }

    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
