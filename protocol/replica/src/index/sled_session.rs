//! Whether the sled folder can be trusted: a note of who had it open, and when the machine was started.
//!
//! sled 0.34.7 survives a killed process but not a power cut: on Linux it never calls fdatasync, so after one its files may
//! hold any mixture of old and new pages. Instead of paying a sync for every batch of an index that can be thrown away,
//! we notice the power cut: the note is made durable before sled writes anything, and removed after everything was
//! synced. A note of another boot means that the machine stopped under an open index.
//!
//! ```text
//! no note                 closed well, or new          trust
//! note, same boot id      the process was killed       trust: the page cache survived
//! note, "failed"          sled failed while it was open    throw away
//! note, other or no id    the machine stopped          throw away
//! ```

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const NOTE_NAME: &str = "session";
const FAILED: &[u8] = b"failed";
/// Where Linux says which boot this is. Elsewhere every unclean stop counts as a power cut.
const BOOT_ID_PATH: &str = "/proc/sys/kernel/random/boot_id";

/// What the note says about the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LastSession {
    Trusted,
    MachineStopped,
    Failed,
}

/// The note beside a sled folder.
#[derive(Debug)]
pub(super) struct SessionNote {
    dir: PathBuf,
}

impl SessionNote {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    pub(super) fn last_session(&self) -> io::Result<LastSession> {
        match fs::read(self.path()) {
            Ok(note) if note == FAILED => Ok(LastSession::Failed),
            Ok(note) if boot_id().is_some_and(|id| id == note) => Ok(LastSession::Trusted),
            Ok(_) => Ok(LastSession::MachineStopped),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LastSession::Trusted),
            Err(error) => Err(error),
        }
    }

    /// Notes durably that from now on sled may write.
    pub(super) fn begin(&self) -> io::Result<()> {
        let mut file = File::create(self.path())?;
        file.write_all(&boot_id().unwrap_or_else(|| b"unknown".to_vec()))?;
        file.sync_all()?;
        sync_folder(&self.dir)
    }

    /// Notes that sled failed: what it holds is not to be trusted. Not durable, for a power cut has the same effect.
    pub(super) fn distrust(&self) -> io::Result<()> {
        fs::write(self.path(), FAILED)
    }

    /// Makes a closed sled folder durable, then removes the note.
    pub(super) fn end(&self, folder: &Path) -> io::Result<()> {
        sync_tree(folder)?;
        sync_folder(&self.dir)?;
        fs::remove_file(self.path())?;
        sync_folder(&self.dir)
    }

    fn path(&self) -> PathBuf {
        self.dir.join(NOTE_NAME)
    }
}

fn boot_id() -> Option<Vec<u8>> {
    fs::read(BOOT_ID_PATH).ok().filter(|id| !id.is_empty())
}

/// Syncs a folder's files, those of its folders (sled has one level), and the folders.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sync_tree(&entry.path())?;
        } else if kind.is_file() {
            fs::OpenOptions::new().write(true).open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

#[cfg(unix)]
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_dir: &Path) -> io::Result<()> {
    Ok(())
}
