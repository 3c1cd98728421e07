//! What a backup says of itself: every file with its length and hash, and how far it goes.
//!
//! # Layout
//!
//! ```text
//! <backup>/LOCK             held while a backup is being written
//! <backup>/manifest.json    this list, and a digest over itself; written last
//! <backup>/log/*.seg        segments, under their own names
//! <backup>/small/<hash>     every other file, under the hash of its contents
//! ```
//! A file that changed gets another name and never takes the place of the one that the manifest before names: so a backup
//! that is cut short leaves the one before whole.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::folder::write_whole;
use super::{FolderError, folder};

/// The manifest's name in a backup.
pub(super) const MANIFEST_FILE: &str = "manifest.json";
/// The folder of the pack log, in a backup and in a hub's folder.
pub(super) const LOG: &str = "log";
/// The folder of everything else, in a backup.
pub(super) const SMALL: &str = "small";
const FORMAT: u32 = 2;
/// Most bytes of a manifest: some hundred thousand segments.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
const CHUNK_BYTES: usize = 256 * 1024;
/// Most folders in a file's name, and the name itself.
const NAME_PARTS_MAX: usize = 3;

/// A backup's list of contents. It is written last, so a backup without one, or with an older one, is as it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
    /// BLAKE3 over this list with an empty digest, hexadecimal.
    pub digest: String,
}

/// One file of a backup. It may have grown since; only the bytes named here count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Its path in the hub's folder, with `/`.
    pub name: String,
    /// How many of its bytes count.
    pub bytes: u64,
    /// BLAKE3 over them, hexadecimal.
    pub blake3: String,
}

impl ManifestFile {
    /// Its path within the backup, with `/`.
    #[must_use]
    pub fn stored(&self) -> String {
        match self.name.strip_prefix("log/") {
            Some(_) => self.name.clone(),
            None => format!("{SMALL}/{}", self.blake3),
        }
    }
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
    /// It is not as it was written.
    #[error("the manifest {} is damaged, so nothing says what belongs to this backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// It is of another version, or names files outside the backup.
    #[error("the manifest {} is not one this version can use", path.display())]
    Faulty {
        /// The file.
        path: PathBuf,
    },
}

impl Manifest {
    pub(super) fn new(org: String, epoch: String, commit: u64, made_at: i64, files: Vec<ManifestFile>) -> Self {
        let mut manifest = Self { format: FORMAT, org, epoch, commit, made_at, files, digest: String::new() };
        manifest.digest = manifest.digest_now();
        manifest
    }

    /// The digest it should have.
    fn digest_now(&self) -> String {
        let bare = Self { digest: String::new(), ..self.clone() };
        blake3::hash(&bare.text()).to_hex().to_string()
    }

    fn text(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads the manifest of a backup. One byte that is not as it was written is enough to refuse it.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(dir: &Path) -> Result<Self, ManifestError> {
        let path = dir.join(MANIFEST_FILE);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(MANIFEST_BYTES_MAX).read_to_end(&mut bytes)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestError::Missing { dir: dir.to_owned() });
            }
            Err(source) => return Err(ManifestError::Io { path, source }),
        }
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        match serde_json::from_slice(&bytes) {
            Ok(Version { format: FORMAT }) => {}
            Ok(Version { .. }) => return Err(ManifestError::Faulty { path }),
            Err(_) => return Err(ManifestError::Damaged { path }),
        }
        let Ok(manifest) = serde_json::from_slice::<Self>(&bytes) else { return Err(ManifestError::Damaged { path }) };
        if manifest.text() != bytes || manifest.digest != manifest.digest_now() {
            return Err(ManifestError::Damaged { path });
        }
        if !manifest.files.iter().all(|file| is_plain(&file.name) && is_hash(&file.blake3)) {
            return Err(ManifestError::Faulty { path });
        }
        Ok(manifest)
    }

    pub(super) fn write(&self, dir: &Path) -> Result<(), FolderError> {
        write_whole(&dir.join(MANIFEST_FILE), &self.text())
    }

    /// What does not hold: files that are missing, too short, or changed. Empty for a sound backup.
    ///
    /// # Errors
    /// When a file that is there cannot be read.
    pub fn faults(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut faults = Vec::new();
        for file in &self.files {
            let stored = file.stored();
            let name = if stored == file.name { stored.clone() } else { format!("{} ({stored})", file.name) };
            match hash_of(&dir.join(&stored), file.bytes) {
                Ok((bytes, _)) if bytes < file.bytes => {
                    faults.push(format!("{name} has {bytes} bytes of {}", file.bytes));
                }
                Ok((_, hash)) if hash != file.blake3 => faults.push(format!("{name} has changed")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    faults.push(format!("{name} is missing"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(faults)
    }
}

/// At most two folders deep, and no way out of it.
fn is_plain(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let is_part = |part: &&str| {
        let is_odd = |letter: char| letter.is_control() || letter == '\\';
        !part.is_empty() && !part.starts_with('.') && !part.contains(is_odd)
    };
    parts.len() <= NAME_PARTS_MAX && parts.iter().all(is_part)
}

/// The hash is part of a path.
fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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

/// Why a file was not copied.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The source cannot be read, or has fewer bytes than it should.
    From(io::Error),
    /// The copy cannot be written, or does not read back.
    To(io::Error),
}

/// Copies the first bytes of a file under another name so that it is there whole or not at all.
///
/// The copy is read back and its hash compared with what was read from the source. The folder is not synced.
pub(super) fn copy_verified(from: &Path, to: &Path, bytes: u64) -> Result<ManifestFile, CopyError> {
    let part = to.with_extension("part");
    let copied = copy_part(from, &part, bytes).and_then(|file| {
        std::fs::rename(&part, to).map_err(CopyError::To)?;
        Ok(file)
    });
    if copied.is_err() {
        // Room for whoever tries again; if it cannot be removed it is overwritten then.
        drop(std::fs::remove_file(&part));
    }
    copied
}

fn copy_part(from: &Path, part: &Path, bytes: u64) -> Result<ManifestFile, CopyError> {
    let mut source = File::open(from).map_err(CopyError::From)?.take(bytes);
    let mut copy = folder::create_private(part).map_err(CopyError::To)?;
    let mut hasher = blake3::Hasher::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut have = 0_u64;
    loop {
        let read = source.read(&mut chunk).map_err(CopyError::From)?;
        if read == 0 {
            break;
        }
        let piece = chunk.get(..read).unwrap_or_default();
        hasher.update(piece);
        io::Write::write_all(&mut copy, piece).map_err(CopyError::To)?;
        have = have.saturating_add(u64::try_from(read).unwrap_or(0));
    }
    copy.sync_all().map_err(CopyError::To)?;
    let blake3 = hasher.finalize().to_hex().to_string();
    if have < bytes {
        let message = format!("{have} bytes of {bytes} are there");
        return Err(CopyError::From(io::Error::new(io::ErrorKind::UnexpectedEof, message)));
    }
    if hash_of(part, bytes).map_err(CopyError::To)? != (bytes, blake3.clone()) {
        let message = "the copy does not read back as it was written";
        return Err(CopyError::To(io::Error::new(io::ErrorKind::InvalidData, message)));
    }
    Ok(ManifestFile { name: String::new(), bytes, blake3 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(dir: &Path, name: &str) -> ManifestFile {
        let (bytes, blake3) = hash_of(&dir.join(name), 10).unwrap();
        ManifestFile { name: name.to_owned(), bytes, blake3 }
    }

    #[test]
    fn names_that_leave_the_backup_are_refused() {
        for name in ["../x", "/etc/passwd", "a/../b", "a/b/c/d", "", "log/", ".hidden", "log/.x", "a\\b", "a\nb"] {
            assert!(!is_plain(name), "{name}");
        }
        for name in ["hub.json", "log/00000001-0000.seg", "keys/hub.key", "forms/lists/果树.toml"] {
            assert!(is_plain(name), "{name}");
        }
        assert!(!is_hash("../../etc/passwd"));
    }

    #[test]
    fn changed_shortened_and_missing_files_are_told() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("log")).unwrap();
        for name in ["a", "b", "c"] {
            std::fs::write(dir.path().join("log").join(name), b"0123456789").unwrap();
        }
        let files = ["log/a", "log/b", "log/c"].map(|name| listed(dir.path(), name)).to_vec();
        let manifest = Manifest::new(String::new(), String::new(), 1, 2, files);
        assert!(manifest.faults(dir.path()).unwrap().is_empty());
        // More bytes at the end are not part of the backup.
        std::fs::write(dir.path().join("log/a"), b"0123456789and more").unwrap();
        assert!(manifest.faults(dir.path()).unwrap().is_empty());
        std::fs::write(dir.path().join("log/a"), b"0123456780").unwrap();
        std::fs::write(dir.path().join("log/b"), b"012345").unwrap();
        std::fs::remove_file(dir.path().join("log/c")).unwrap();
        let faults = manifest.faults(dir.path()).unwrap();
        assert_eq!(faults, ["log/a has changed", "log/b has 6 bytes of 10", "log/c is missing"]);
    }

    #[test]
    fn manifest_with_any_byte_changed_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a"), b"0123456789").unwrap();
        let manifest = Manifest::new("org".into(), "epoch".into(), 17, 2, vec![listed(dir.path(), "a")]);
        manifest.write(dir.path()).unwrap();
        assert_eq!(Manifest::read(dir.path()).unwrap(), manifest);
        let path = dir.path().join(MANIFEST_FILE);
        let sound = std::fs::read(&path).unwrap();
        for at in 0..sound.len() {
            for bit in [0, 1, 5] {
                let mut spoilt = sound.clone();
                spoilt[at] ^= 1 << bit;
                std::fs::write(&path, &spoilt).unwrap();
                assert!(Manifest::read(dir.path()).is_err(), "bit {bit} of byte {at}");
            }
        }
        for bytes in 0..sound.len() {
            std::fs::write(&path, &sound[..bytes]).unwrap();
            assert!(Manifest::read(dir.path()).is_err(), "cut to {bytes} bytes");
        }
    }
}
