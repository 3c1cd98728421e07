//! What a backup says of itself: every file with its length and hash, and how far it goes.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::write_whole;
use super::{FolderError, folder};

/// The manifest's name in a backup.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
const FORMAT: u32 = 1;
/// Most bytes of a manifest: some hundred thousand segments.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;

/// A backup's list of contents. It is written last, so a backup without one, or with an older one, is as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of this list.
    pub format: u32,
    /// The organisation.
    pub org: String,
    /// The hub's epoch.
    pub epoch: String,
    /// The last commit contained.
    pub commit: u64,
    /// When it was made, in milliseconds since 1970.
    pub made_at: i64,
    /// The files, by name.
    pub files: Vec<ManifestFile>,
}

/// One file of a backup. It may have grown since; only the bytes named here count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestFile {
    /// Its path within the backup, with `/`.
    pub name: String,
    /// How many of its bytes count.
    pub bytes: u64,
    /// BLAKE3 over them, hexadecimal.
    pub blake3: String,
}

/// Why a folder is not taken for a backup.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// There is no manifest.
    #[error("there is no backup in {}: it has no {MANIFEST_FILE}", dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// It cannot be read.
    #[error("the manifest {} cannot be read", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no manifest of this version, or names files outside the backup.
    #[error("the manifest {} is not one this version can use", path.display())]
    Faulty {
        /// The file.
        path: PathBuf,
    },
}

impl Manifest {
    pub(super) const fn new(org: String, epoch: String, commit: u64, made_at: i64, files: Vec<ManifestFile>) -> Self {
        Self { format: FORMAT, org, epoch, commit, made_at, files }
    }

    /// Reads the manifest of a backup.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MANIFEST_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Missing { dir: dir.to_owned() });
            }
            Err(source) => return Err(ManifestError::Io { path, source }),
        }
        let manifest: Option<Self> = serde_json::from_str(&text).ok();
        let is_usable =
            |manifest: &Self| manifest.format == FORMAT && manifest.files.iter().all(|file| is_plain(&file.name));
        manifest.filter(is_usable).ok_or(ManifestError::Faulty { path })
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(self).unwrap_or_default();
        write_whole(&dir.join(MANIFEST_FILE), &text)
    }

    /// What does not hold: files that are missing, too short, or changed. Empty for a sound backup.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn faults(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut faults = Vec::new();
        for file in &self.files {
            match hash_of(&dir.join(&file.name), file.bytes) {
                Ok((bytes, _)) if bytes < file.bytes => {
                    faults.push(format!("{} has {bytes} bytes of {}", file.name, file.bytes));
                }
                Ok((_, hash)) if hash != file.blake3 => faults.push(format!("{} has changed", file.name)),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    faults.push(format!("{} is missing", file.name));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(faults)
    }
}

/// At most one folder deep, and no way out of it.
fn is_plain(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let is_part = |part: &&str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    };
    parts.len() <= 2 && parts.iter().all(is_part)
}

/// How many of the first bytes of a file are there, and their hash.
pub(super) fn hash_of(path: &Path, bytes: u64) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?.take(bytes);
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut have = 0_u64;
    loop {
        let read = file.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        hasher.update(chunk.get(..read).unwrap_or_default());
        have = have.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    Ok((have, hasher.finalize().to_hex().to_string()))
}

/// Copies the first bytes of a file under another name so that it is there whole or not at all.
///
/// The copy is read back and its hash compared with what was read from the source.
pub(super) fn copy_verified(from: &Path, to: &Path, bytes: u64) -> io::Result<ManifestFile> {
    let part = to.with_extension("part");
    let mut source = File::open(from)?.take(bytes);
    let mut copy = folder::create_private(&part)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut have = 0_u64;
    loop {
        let read = source.read(&mut chunk)?;
        if read == 0 {
            break;
        }
        let piece = chunk.get(..read).unwrap_or_default();
        hasher.update(piece);
        io::Write::write_all(&mut copy, piece)?;
        have = have.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    copy.sync_all()?;
    let blake3 = hasher.finalize().to_hex().to_string();
    if have < bytes {
        let message = format!("{have} bytes of {bytes} are there");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    if hash_of(&part, bytes)? != (bytes, blake3.clone()) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the copy does not read back as it was written"));
    }
    std::fs::rename(&part, to)?;
    Ok(ManifestFile { name: String::new(), bytes, blake3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_backup_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../b", "a/b/c", "", "log/", ".hidden", "log/.x", "a\\b"] {
            assert!(!is_plain(name), "{name}");
        }
        for name in ["hub.json", "log/00000001-0000.seg", "keys/hub.key"] {
            assert!(is_plain(name), "{name}");
        }
    }

    #[test]
    fn changed_shortened_and_missing_files_are_told() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join(name), b"0123456789").unwrap();
        }
        let file = |name: &str| {
            let (bytes, blake3) = hash_of(&dir.path().join(name), 10).unwrap();
            ManifestFile { name: name.to_owned(), bytes, blake3 }
        };
        let manifest = Manifest::new(String::new(), String::new(), 1, 2, vec![file("a"), file("b"), file("c")]);
        assert!(manifest.faults(dir.path()).unwrap().is_empty());
        // More bytes at the end are not part of the backup.
        std::fs::write(dir.path().join("a"), b"0123456789and more").unwrap();
        assert!(manifest.faults(dir.path()).unwrap().is_empty());
        std::fs::write(dir.path().join("a"), b"0123456780").unwrap();
        std::fs::write(dir.path().join("b"), b"012345").unwrap();
        std::fs::remove_file(dir.path().join("c")).unwrap();
        let faults = manifest.faults(dir.path()).unwrap();
        assert_eq!(faults, ["a has changed", "b has 6 bytes of 10", "c is missing"]);
    }
}
