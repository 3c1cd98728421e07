//! Restoring a backup into an empty folder: the hub's successor, in a new epoch.
//!
//! The old machine must never run again. What it took after the backup comes back from the tablets; its receipts beyond
//! the backup do not count any more, because the new epoch says how far it contains the old one (A5). The backup is looked
//! through before anything is written.

use std::io;
use std::path::{Path, PathBuf};

use qianmo_protocol::ids::Epoch;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{DiskOpenError, RealDisk, make_folder};
use qianmo_replica::index::MemoryIndex;
use rand::rngs::StdRng;

use super::backup::CONFIG_FILE;
use super::folder::{make_private, sync_folder};
use super::manifest::{CopyError, copy_verified};
use super::{Folder, FolderError, HubKeyFiles, KeyError, Manifest, ManifestError, ManifestFile};
use crate::authority::{Authority, AuthorityError};
use crate::hub::{ClockCheck, HubCore, HubError, HubLimits, HubOpenError, HubSetup};
use crate::registry::DeviceRow;

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
    /// When the backup was made.
    pub made_at: UnixMillis,
    /// Files that were copied.
    pub files: usize,
    /// The configuration that came out of the backup, if it had one and none lay in the folder.
    pub config: Option<PathBuf>,
    /// The devices as the backup knew them; those it knew as active wait to be confirmed.
    pub devices: Vec<DeviceRow>,
}

/// Why nothing was restored. Empty the folder before the next try.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// There is no backup.
    #[error("the backup cannot be used")]
    Manifest(#[from] ManifestError),
    /// Files of it are missing or have changed.
    #[error("the backup is damaged: {}", faults.join("; "))]
    Damaged {
        /// What is wrong, file by file.
        faults: Vec<String>,
    },
    /// The backup cannot be read.
    #[error("the backup in {} cannot be read", dir.display())]
    Read {
        /// The backup.
        dir: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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
    let mut faults = manifest.faults(from).map_err(|source| RestoreError::Read { dir: from.to_owned(), source })?;
    if !manifest.files.iter().any(|file| file.name == MARK) {
        faults.push(format!("it has no {MARK}"));
    }
    if !faults.is_empty() {
        return Err(RestoreError::Damaged { faults });
    }
    to.take_empty()?;
    let config = to.root().join(CONFIG_FILE);
    let keeps_config = config.exists();
    // The mark comes last: until then it is no hub.
    for file in manifest.files.iter().filter(|file| file.name != MARK && !(keeps_config && file.name == CONFIG_FILE)) {
        put(from, to, file)?;
    }
    let keys = to.keys();
    let authority = Authority::load(&keys)?;
    let secrets = HubKeyFiles::load(&keys)?.secrets;
    let setup = HubSetup { authority: authority.public_key(), secrets, limits: HubLimits::default(), clock, rng };
    let disk = RealDisk::open(to.log())?;
    let core = HubCore::restore(Box::new(disk), Box::new(MemoryIndex::new()), setup, now)?;
    let (epoch, commit) = (core.epoch(), core.opened_commit());
    let devices = core.devices()?;
    let end = core.replica().durable_commit().0;
    core.close()?;
    to.note_log_end(end)?;
    for file in manifest.files.iter().filter(|file| file.name == MARK) {
        put(from, to, file)?;
    }
    sync_folder(to.root()).map_err(|source| write_failed(to.root(), source))?;
    let made_at = UnixMillis(manifest.made_at);
    let config = (config.exists() && !keeps_config).then_some(config);
    Ok(RestoreReport {
        old_epoch: manifest.epoch,
        epoch,
        commit,
        made_at,
        files: manifest.files.len(),
        config,
        devices,
    })
}

fn write_failed(path: &Path, source: io::Error) -> FolderError {
    FolderError::Io { action: "write", path: path.to_owned(), source }
}

/// Copies one file of a backup to its place in the hub's folder, durably.
fn put(from: &Path, to: &Folder, file: &ManifestFile) -> Result<(), RestoreError> {
    let path = to.root().join(&file.name);
    let parent = path.parent().unwrap_or_else(|| to.root());
    if !parent.is_dir() {
        make_folder(parent).map_err(|source| write_failed(parent, source))?;
        make_private(parent)?;
    }
    let copied = copy_verified(&from.join(file.stored()), &path, file.bytes).map_err(|error| match error {
        CopyError::From(error) => RestoreError::Damaged { faults: vec![format!("{}: {error}", file.name)] },
        CopyError::To(source) => write_failed(&path, source).into(),
    })?;
    if copied.blake3 != file.blake3 {
        return Err(RestoreError::Damaged { faults: vec![format!("{} has changed", file.name)] });
    }
    sync_folder(parent).map_err(|source| write_failed(parent, source))?;
    Ok(())
}
