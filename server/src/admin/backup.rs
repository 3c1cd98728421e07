//! A backup while the hub runs: the pack log up to a commit, and the keys.
//!
//! The hub only says how far its segments are durable; copying is done beside it, file by file, because what is durable in
//! a segment never changes. A segment that is already in the backup is not copied again. The list of contents is written
//! last, so a backup that is interrupted is still the one before it. Only when the copies have been read back does the hub
//! move its watermark, and tablets may say 已备份.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use qianmo_protocol::time::UnixMillis;
use qianmo_replica::pack_log::segment_file_name;

use super::folder::{make_private, sync_folder};
use super::manifest::{MANIFEST_FILE, copy_verified};
use super::{Folder, FolderError, Manifest, ManifestError, ManifestFile};
use crate::hub::{HubCore, HubError, HubStopped};

/// What a backup folder may hold beside its manifest.
const KNOWN: [&str; 5] = [MANIFEST_FILE, "log", "keys", "hub.json", "qianmo.toml"];
/// Most bytes of a file that is no segment.
const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is to be copied: how the hub stood at one moment.
#[derive(Debug, Clone)]
pub struct BackupPlan {
    folder: Folder,
    org: String,
    epoch: String,
    commit: u64,
    made_at: UnixMillis,
    /// Segments by file name, with their durable bytes.
    segments: BTreeMap<String, u64>,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BackupReport {
    /// The last commit contained.
    pub commit: u64,
    /// Files in the backup.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were copied this time.
    pub copied_files: usize,
    /// Their bytes.
    pub copied_bytes: u64,
}

/// Why there is no new backup. The one before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder cannot be used.
    #[error("the backup folder cannot be used")]
    Folder(#[from] FolderError),
    /// There is something else in it.
    #[error("{} holds {found:?}, so it is no backup folder; choose an empty one", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// It is the backup of another organisation.
    #[error("{} is the backup of another organisation; choose another folder", dir.display())]
    OtherOrganisation {
        /// The folder.
        dir: PathBuf,
    },
    /// The manifest of the backup before cannot be read.
    #[error("the backup in the folder cannot be continued")]
    Manifest(#[from] ManifestError),
    /// A file could not be copied.
    #[error("{} could not be copied", path.display())]
    Copy {
        /// The source.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The hub's store failed.
    #[error("the hub could not note the backup")]
    Hub(#[from] HubError),
    /// The hub has stopped.
    #[error("the backup is made, but the hub has stopped before it could note it")]
    Stopped(#[from] HubStopped),
    /// The copying ended in a panic.
    #[error("the backup was cut short")]
    CutShort,
}

impl BackupPlan {
    /// How the hub stands now. Everything it acknowledged is in it.
    #[must_use]
    pub fn of(core: &HubCore, folder: Folder, now: UnixMillis) -> Self {
        let log = core.replica().pack_log();
        let listed = log.segments().into_iter();
        let segments = listed.map(|one| (segment_file_name(one.segment, one.generation), one.durable_bytes)).collect();
        Self {
            folder,
            org: core.org().to_string(),
            epoch: core.epoch().to_string(),
            commit: log.durable_commit().0,
            made_at: now,
            segments,
        }
    }

    /// The last commit it contains.
    #[must_use]
    pub const fn commit(&self) -> u64 {
        self.commit
    }
}

/// Backs up a hub that nobody else uses, and notes it.
///
/// # Errors
/// [`BackupError`].
pub fn backup(
    core: &mut HubCore,
    folder: &Folder,
    to: &Path,
    config: Option<&Path>,
    now: UnixMillis,
) -> Result<BackupReport, BackupError> {
    let plan = BackupPlan::of(core, folder.clone(), now);
    let report = backup_files(&plan, to, config)?;
    core.set_watermark(now, report.commit)?;
    Ok(report)
}

/// Copies what a plan names and writes the list of contents. The hub is told afterwards ([`HubCore::set_watermark`]).
///
/// # Errors
/// [`BackupError`].
pub fn backup_files(plan: &BackupPlan, to: &Path, config: Option<&Path>) -> Result<BackupReport, BackupError> {
    let before = take_folder(plan, to)?;
    let mut copier = Copier { to, before, files: Vec::new(), copied_files: 0, copied_bytes: 0 };
    for (name, bytes) in &plan.segments {
        copier.segment(&plan.folder.log().join(name), &format!("log/{name}"), *bytes)?;
    }
    let keys = plan.folder.keys();
    let list = std::fs::read_dir(&keys).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let list = list.map_err(|source| BackupError::Copy { path: keys, source })?;
    for entry in list {
        let name = entry.file_name().to_string_lossy().into_owned();
        copier.small(&entry.path(), &format!("keys/{name}"))?;
    }
    copier.small(&plan.folder.mark(), "hub.json")?;
    if let Some(config) = config {
        copier.small(config, "qianmo.toml")?;
    }
    let Copier { files, copied_files, copied_bytes, .. } = copier;
    for sub in ["log", "keys"] {
        let path = to.join(sub);
        sync_folder(&path).map_err(|source| BackupError::Copy { path, source })?;
    }
    let report = BackupReport {
        commit: plan.commit,
        files: files.len(),
        bytes: files.iter().fold(0, |sum, file| file.bytes.saturating_add(sum)),
        copied_files,
        copied_bytes,
    };
    let manifest = Manifest::new(plan.org.clone(), plan.epoch.clone(), plan.commit, plan.made_at.0, files);
    manifest.write(to)?;
    remove_stale(&manifest, to);
    Ok(report)
}

/// Makes the folder, or takes one that holds an earlier backup of the same organisation.
fn take_folder(plan: &BackupPlan, to: &Path) -> Result<Option<Manifest>, BackupError> {
    let failed = |source| FolderError::Io { action: "make", path: to.to_owned(), source };
    std::fs::create_dir_all(to).map_err(failed)?;
    for entry in std::fs::read_dir(to).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if !KNOWN.contains(&name.as_str()) && !name.ends_with(".part") {
            return Err(BackupError::Foreign { dir: to.to_owned(), found: name });
        }
    }
    make_private(to)?;
    for sub in ["log", "keys"] {
        std::fs::create_dir_all(to.join(sub)).map_err(failed)?;
        make_private(&to.join(sub))?;
    }
    match Manifest::read(to) {
        Ok(manifest) if manifest.org == plan.org => Ok(Some(manifest)),
        Ok(_) => Err(BackupError::OtherOrganisation { dir: to.to_owned() }),
        Err(ManifestError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

struct Copier<'a> {
    to: &'a Path,
    before: Option<Manifest>,
    files: Vec<ManifestFile>,
    copied_files: usize,
    copied_bytes: u64,
}

impl Copier<'_> {
    /// A segment that is there with as many bytes is there: what is durable never changes within a generation.
    fn segment(&mut self, from: &Path, name: &str, bytes: u64) -> Result<(), BackupError> {
        let known = self.before.iter().flat_map(|before| &before.files);
        let mut known = known.filter(|file| file.name == name && file.bytes == bytes);
        let is_there = |_: &&ManifestFile| std::fs::metadata(self.to.join(name)).is_ok_and(|meta| meta.len() >= bytes);
        if let Some(known) = known.next().filter(is_there) {
            self.files.push(known.clone());
            return Ok(());
        }
        self.copy(from, name, bytes)
    }

    fn small(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let failed = |source| BackupError::Copy { path: from.to_owned(), source };
        let bytes = std::fs::metadata(from).map_err(failed)?.len();
        if bytes > SMALL_FILE_BYTES_MAX {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, format!("{bytes} bytes are too many"))));
        }
        self.copy(from, name, bytes)
    }

    fn copy(&mut self, from: &Path, name: &str, bytes: u64) -> Result<(), BackupError> {
        let copied = copy_verified(from, &self.to.join(name), bytes);
        let file = copied.map_err(|source| BackupError::Copy { path: from.to_owned(), source })?;
        self.copied_files += 1;
        self.copied_bytes = self.copied_bytes.saturating_add(file.bytes);
        self.files.push(ManifestFile { name: name.to_owned(), ..file });
        Ok(())
    }
}

/// Segments that were rewritten since are in no manifest any more. What cannot be removed is tried again next time.
fn remove_stale(manifest: &Manifest, to: &Path) {
    let listed: BTreeSet<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    let Ok(entries) = std::fs::read_dir(to.join("log")) else { return };
    for entry in entries.flatten() {
        let name = format!("log/{}", entry.file_name().to_string_lossy());
        if !listed.contains(name.as_str())
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(%error, %name, "a file that is no part of the backup any more could not be removed");
        }
    }
}
