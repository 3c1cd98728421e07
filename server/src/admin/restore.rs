//! Restoring a backup into an empty folder: the hub's successor, in a new epoch.
//!
//! The old machine must never run again. What it took after the backup comes back from the tablets; its receipts beyond
//! the backup do not count any more, because the new epoch says how far it contains the old one (A5).

use std::path::Path;

use qianmo_protocol::ids::Epoch;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{DiskOpenError, RealDisk};
use qianmo_replica::index::MemoryIndex;
use rand::rngs::StdRng;

use super::manifest::copy_verified;
use super::{Folder, FolderError, HubKeyFiles, KeyError, Manifest, ManifestError};
use crate::authority::{Authority, AuthorityError};
use crate::hub::{ClockCheck, HubCore, HubError, HubLimits, HubOpenError, HubSetup};

const MARK: &str = "hub.json";

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreReport {
    /// The epoch of the backup.
    pub old_epoch: String,
    /// The new one.
    pub epoch: Epoch,
    /// The last commit that the new epoch contains of the old.
    pub commit: u64,
    /// Files that were copied.
    pub files: usize,
}

/// Why nothing was restored. Empty the folder before the next try.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is no backup.
    #[error("the backup cannot be used")]
    Manifest(#[from] ManifestError),
    /// A file of it is missing or has changed.
    #[error("the backup is damaged: {fault}; use an older one, or another copy")]
    Damaged {
        /// What is wrong.
        fault: String,
    },
    /// The folder cannot be used.
    #[error("the folder cannot be used")]
    Folder(#[from] FolderError),
    /// The keys in the backup cannot be used.
    #[error("the hub's keys in the backup cannot be used")]
    Keys(#[from] KeyError),
    /// The authority in the backup cannot be used.
    #[error("the authority in the backup cannot be used")]
    Authority(#[from] AuthorityError),
    /// The store cannot be opened.
    #[error("the restored store cannot be opened")]
    Disk(#[from] DiskOpenError),
    /// The hub does not start.
    #[error("the restored hub does not start")]
    Hub(#[from] HubOpenError),
}

impl From<HubError> for RestoreError {
    fn from(error: HubError) -> Self {
        Self::Hub(error.into())
    }
}

/// Restores a backup.
///
/// # Errors
/// [`RestoreError`]; a folder in which this failed half-way is not taken for a hub.
pub fn restore(
    from: &Path,
    to: &Folder,
    clock: ClockCheck,
    now: UnixMillis,
    rng: StdRng,
) -> Result<RestoreReport, RestoreError> {
    let manifest = Manifest::read(from)?;
    to.take_empty()?;
    std::fs::create_dir_all(to.log()).map_err(|source| FolderError::Io { action: "make", path: to.log(), source })?;
    // The mark comes last: until then it is no hub.
    for file in manifest.files.iter().filter(|file| file.name != MARK) {
        let copied = copy_verified(&from.join(&file.name), &to.root().join(&file.name), file.bytes);
        let damaged = |fault| RestoreError::Damaged { fault };
        let copied = copied.map_err(|error| damaged(format!("{}: {error}", file.name)))?;
        if copied.blake3 != file.blake3 {
            return Err(damaged(format!("{} has changed", file.name)));
        }
    }
    let keys = to.keys();
    let authority = Authority::load(&keys)?;
    let secrets = HubKeyFiles::load(&keys)?.secrets;
    let setup = HubSetup { authority: authority.public_key(), secrets, limits: HubLimits::default(), clock, rng };
    let disk = RealDisk::open(to.log())?;
    let core = HubCore::restore(Box::new(disk), Box::new(MemoryIndex::new()), setup, now)?;
    let (epoch, commit) = (core.epoch(), core.opened_commit());
    core.close()?;
    let mark = manifest.files.iter().find(|file| file.name == MARK);
    let mark = mark.ok_or_else(|| RestoreError::Damaged { fault: format!("it has no {MARK}") })?;
    let copied = copy_verified(&from.join(MARK), &to.root().join(MARK), mark.bytes);
    copied.map_err(|error| RestoreError::Damaged { fault: format!("{MARK}: {error}") })?;
    let synced = super::folder::sync_folder(to.root());
    synced.map_err(|source| FolderError::Io { action: "write", path: to.root().to_owned(), source })?;
    Ok(RestoreReport { old_epoch: manifest.epoch, epoch, commit, files: manifest.files.len() })
}
