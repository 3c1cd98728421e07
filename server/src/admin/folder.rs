//! Where things are in a hub's folder, and the mark that says that it is one.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qianmo_forms::{FormError, FormSet};
use qianmo_replica::disk::make_folder;

use serde::{Deserialize, Serialize};

const MARK_FILE: &str = "hub.json";
const LOG_END_FILE: &str = "log-end.json";
const CONFIG_FILE: &str = "qianmo.toml";
const FORMAT: u32 = 1;
const MARK_BYTES_MAX: u64 = 64 * 1024;

/// The paths of a hub's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    root: PathBuf,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system refuses.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Something is there already.
    #[error("the folder {} is not empty: it holds {found:?}; choose an empty one, nothing is overwritten", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
        /// The first thing found.
        found: String,
    },
    /// There is no hub, or its making was cut short.
    #[error("there is no hub in {}; run `qianmo-server init` on an empty folder", path.display())]
    NoHub {
        /// The folder.
        path: PathBuf,
    },
    /// The mark cannot be read, or is of a later version.
    #[error("the file {} is not that of a hub this version can open", path.display())]
    Mark {
        /// The file.
        path: PathBuf,
    },
}

/// How far the log was durable once.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct LogEnd {
    commit: u64,
    /// BLAKE3 over the number's digits: one changed byte must not raise an alarm, or hide one.
    digest: String,
}

impl LogEnd {
    fn at(commit: u64) -> Self {
        Self { commit, digest: blake3::hash(commit.to_string().as_bytes()).to_hex().to_string() }
    }
}

/// What the mark says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) format: u32,
    /// What the organisation called itself at `init`.
    pub(super) organisation: String,
    /// Its id, for people.
    pub(super) org: String,
}

impl Mark {
    pub(super) fn new(organisation: &str, org: &qianmo_protocol::ids::OrgId) -> Self {
        Self { format: FORMAT, organisation: organisation.to_owned(), org: org.to_string() }
    }
}

impl Folder {
    /// The folder at a path.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where the private keys are.
    #[must_use]
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Where the pack log is.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    /// Where the index is.
    #[must_use]
    pub fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    /// The read model.
    #[must_use]
    pub fn projection(&self) -> PathBuf {
        self.root.join("projection.sqlite")
    }

    /// Where the district's own forms are, if it has some.
    #[must_use]
    pub fn forms(&self) -> Option<PathBuf> {
        Some(self.root.join("forms")).filter(|folder| folder.is_dir())
    }

    /// The shipped forms, and the district's own if it has some.
    ///
    /// # Errors
    /// Every fault of the district's files.
    pub fn open_forms(&self) -> Result<Arc<FormSet>, FormError> {
        Ok(Arc::new(FormSet::open(self.forms().as_deref())?))
    }

    pub(super) fn mark(&self) -> PathBuf {
        self.root.join(MARK_FILE)
    }

    /// How far the log was durable when that was last written down: it may be further. `None` when nobody wrote it down.
    ///
    /// # Errors
    /// [`FolderError::Mark`] when the file is not as it was written.
    pub fn log_end(&self) -> Result<Option<u64>, FolderError> {
        let path = self.root.join(LOG_END_FILE);
        let mut text = String::new();
        match File::open(&path).and_then(|file| file.take(MARK_BYTES_MAX).read_to_string(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(FolderError::Mark { path }),
            Err(source) => return Err(FolderError::Io { action: "read", path, source }),
        }
        let end = serde_json::from_str(&text).ok().filter(|end: &LogEnd| *end == LogEnd::at(end.commit));
        let is_as_written = |end: &LogEnd| serde_json::to_string(end).is_ok_and(|again| again == text);
        end.filter(is_as_written).map(|end| Some(end.commit)).ok_or(FolderError::Mark { path })
    }

    /// Writes down how far the log is durable, if that is not known yet. A log that ends earlier has lost its end.
    ///
    /// # Errors
    /// [`FolderError::Io`].
    pub fn note_log_end(&self, commit: u64) -> Result<(), FolderError> {
        if self.log_end().ok().flatten().is_some_and(|known| known >= commit) {
            return Ok(());
        }
        self.set_log_end(commit)
    }

    pub(super) fn set_log_end(&self, commit: u64) -> Result<(), FolderError> {
        let text = serde_json::to_vec(&LogEnd::at(commit)).unwrap_or_default();
        write_whole(&self.root.join(LOG_END_FILE), &text)
    }

    /// Makes the folder private, or takes an empty one. A configuration file may lie in it.
    pub(super) fn take_empty(&self) -> Result<(), FolderError> {
        let failed = |action| {
            let path = self.root.clone();
            move |source| FolderError::Io { action, path, source }
        };
        make_folder(&self.root).map_err(failed("make"))?;
        for entry in fs::read_dir(&self.root).map_err(failed("list"))? {
            let name = entry.map_err(failed("list"))?.file_name();
            if name != CONFIG_FILE {
                let found = name.to_string_lossy().into_owned();
                return Err(FolderError::NotEmpty { path: self.root.clone(), found });
            }
        }
        make_private(&self.root)?;
        let keys = self.keys();
        make_folder(&keys).map_err(|source| FolderError::Io { action: "make", path: keys.clone(), source })?;
        make_private(&keys)
    }

    /// Says, last of all, that everything is there.
    pub(super) fn write_mark(&self, mark: &Mark) -> Result<(), FolderError> {
        let text = serde_json::to_vec_pretty(mark).unwrap_or_default();
        write_whole(&self.mark(), &text)
    }

    pub(super) fn read_mark(&self) -> Result<Mark, FolderError> {
        let path = self.mark();
        let mut text = String::new();
        let read = File::open(&path).and_then(|file| file.take(MARK_BYTES_MAX).read_to_string(&mut text));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(FolderError::NoHub { path: self.root.clone() });
            }
            Err(source) => return Err(FolderError::Io { action: "read", path, source }),
        }
        let mark: Option<Mark> = serde_json::from_str(&text).ok();
        mark.filter(|mark| mark.format == FORMAT).ok_or(FolderError::Mark { path })
    }
}

#[cfg(unix)]
pub(super) fn make_private(path: &Path) -> Result<(), FolderError> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(|source| FolderError::Io {
        action: "make private",
        path: path.to_owned(),
        source,
    })
}

#[cfg(not(unix))]
pub(super) fn make_private(_path: &Path) -> Result<(), FolderError> {
    Ok(())
}

/// Writes a file so that it is there whole or not at all: another name, fsync, rename, fsync of the folder.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), FolderError> {
    let failed = |source| FolderError::Io { action: "write", path: path.to_owned(), source };
    let part = path.with_extension("part");
    let mut file = create_private(&part).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&part, path).map_err(failed)?;
    sync_folder(path.parent().unwrap_or(path)).map_err(failed)
}

pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder).and_then(|folder| folder.sync_all())
}

/// A file that only its owner may read, empty.
#[cfg(unix)]
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// A file that only its owner may read, empty.
#[cfg(not(unix))]
pub(super) fn create_private(path: &Path) -> io::Result<File> {
    File::create(path)
}
