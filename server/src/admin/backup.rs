//! A backup while the hub runs: the pack log up to a commit, the keys, the district's forms and the configuration.
//!
//! The hub only says how far its segments are durable; copying is done beside it, file by file, because what is durable in
//! a segment never changes. What is in the backup already is read again and not copied again. Every copy is read back and
//! every new segment looked through, so that damage is not taken for a backup. The list of contents is written last, and
//! nothing that the list before names is overwritten, so a backup that is cut short is still the one before it. Only then
//! does the hub move its watermark, and tablets may say 已备份.
//!
//! # Failure
//!
//! [`BackupError`]: the backup before is as it was, and the watermark stands where it stood.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{make_folder, sync_names_above};
use qianmo_replica::pack_log::{check_segment, segment_file_name};

use super::folder::{make_private, sync_folder};
use super::manifest::{CopyError, LOG, MANIFEST_FILE, SMALL, copy_verified, hash_of};
use super::snapshot_disk::SnapshotDisk;
use super::{Folder, FolderError, Manifest, ManifestError, ManifestFile};
use crate::hub::{HubCore, HubError, HubStopped};

const LOCK_FILE: &str = "LOCK";
/// What a backup folder may hold.
const KNOWN: [&str; 4] = [MANIFEST_FILE, LOG, SMALL, LOCK_FILE];
/// The configuration's name in a backup, and in the folder it is restored into.
pub(super) const CONFIG_FILE: &str = "qianmo.toml";
/// Most bytes of a file that is no segment.
const SMALL_FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Most files that are no segments.
const SMALL_FILES_MAX: usize = 1_024;

/// What is to be copied, and where to: how the hub stood at one moment.
#[derive(Debug, Clone)]
pub struct BackupPlan {
    folder: Folder,
    to: PathBuf,
    org: String,
    epoch: String,
    commit: u64,
    watermark: u64,
    /// What the backup in this folder contained when it was noted last, in this epoch.
    noted: Option<u64>,
    made_at: UnixMillis,
    /// Segments by file name, with their durable bytes.
    segments: BTreeMap<String, u64>,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BackupReport {
    /// The last commit contained.
    pub commit: u64,
    /// The last commit that was in a backup before.
    pub watermark_before: u64,
    /// Files in the backup.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were copied this time.
    pub copied_files: usize,
    /// Their bytes.
    pub copied_bytes: u64,
    /// Copies in the backup that had changed since they were made, and were made anew.
    pub mended_files: usize,
    /// Files that belong to no backup any more and could not be removed: what was erased may be in them.
    pub left_over: Vec<String>,
    /// The backup is on the same disk as the hub, and would be lost with it.
    pub is_on_same_disk: bool,
}

/// Why there is no new backup. The one before is as it was.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The folder cannot be used.
    #[error("the backup folder cannot be used")]
    Folder(#[from] FolderError),
    /// The folder it should be in is not there.
    #[error("there is no folder {}; is its disk mounted", parent.display())]
    NoParent {
        /// The folder above.
        parent: PathBuf,
    },
    /// It was a backup, and is empty.
    #[error("{} held a backup up to commit {commit} and is empty now; is its disk mounted", dir.display())]
    Vanished {
        /// The folder.
        dir: PathBuf,
        /// What was in it.
        commit: u64,
    },
    /// There is something else in it.
    #[error("{} holds {found:?}, so it is no backup folder; choose an empty one", dir.display())]
    Foreign {
        /// The folder.
        dir: PathBuf,
        /// What was found.
        found: String,
    },
    /// It is inside the hub's folder, or the other way round.
    #[error("{} and the hub's folder lie inside one another and would be lost together", dir.display())]
    Inside {
        /// The folder.
        dir: PathBuf,
    },
    /// It is the backup of another organisation.
    #[error("{} is the backup of another organisation; choose another folder", dir.display())]
    OtherOrganisation {
        /// The folder.
        dir: PathBuf,
    },
    /// Another backup is being written into it.
    #[error("another backup is being written into {}", dir.display())]
    Busy {
        /// The folder.
        dir: PathBuf,
    },
    /// The manifest of the backup before cannot be read.
    #[error("the backup in the folder cannot be continued")]
    Manifest(#[from] ManifestError),
    /// A file of the hub could not be read.
    #[error("{} could not be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the backup could not be written.
    #[error("{} could not be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The hub's own log is damaged.
    #[error("the hub's own log is damaged: {name} at byte {offset}; a copy of that would be no backup")]
    SourceDamaged {
        /// The segment file.
        name: String,
        /// Where it starts.
        offset: u64,
    },
    /// A segment was rewritten while it was to be copied.
    #[error("{name} was rewritten meanwhile")]
    Moved {
        /// The segment file.
        name: String,
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
    ///
    /// # Errors
    /// [`BackupError::Hub`] when the store cannot be read.
    pub fn of(core: &HubCore, folder: Folder, to: PathBuf, now: UnixMillis) -> Result<Self, BackupError> {
        let log = core.replica().pack_log();
        let listed = log.segments().into_iter();
        let segments = listed.map(|one| (segment_file_name(one.segment, one.generation), one.durable_bytes)).collect();
        Ok(Self {
            folder,
            org: core.org().to_string(),
            epoch: core.epoch().to_string(),
            commit: log.durable_commit().0,
            watermark: core.watermark(),
            noted: core.noted_backup(&to)?,
            to,
            made_at: now,
            segments,
        })
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
    let plan = BackupPlan::of(core, folder.clone(), to.to_owned(), now)?;
    let report = backup_files(&plan, config)?;
    core.note_backup(now, to, report.commit)?;
    Ok(report)
}

/// Copies what a plan names and writes the list of contents. The hub is told afterwards ([`HubCore::note_backup`]).
///
/// # Errors
/// [`BackupError`].
pub fn backup_files(plan: &BackupPlan, config: Option<&Path>) -> Result<BackupReport, BackupError> {
    let to = plan.to.as_path();
    let target = Target::take(plan)?;
    let mut copier = Copier {
        plan,
        before: target.before.as_ref().map_or(&[], |before| before.files.as_slice()),
        files: Vec::new(),
        copied_files: 0,
        copied_bytes: 0,
        mended_files: 0,
    };
    for (name, bytes) in &plan.segments {
        copier.segment(name, *bytes)?;
    }
    for (from, name) in small_files(&plan.folder, config)? {
        copier.small(&from, &name)?;
    }
    let Copier { files, copied_files, copied_bytes, mended_files, .. } = copier;
    for sub in [LOG, SMALL] {
        let path = to.join(sub);
        sync_folder(&path).map_err(|source| BackupError::Write { path, source })?;
    }
    sync_names_above(to);
    let bytes = files.iter().fold(0, |sum, file| file.bytes.saturating_add(sum));
    let manifest = Manifest::new(plan.org.clone(), plan.epoch.clone(), plan.commit, plan.made_at.0, files);
    manifest.write(to)?;
    Ok(BackupReport {
        commit: plan.commit,
        watermark_before: plan.watermark,
        files: manifest.files.len(),
        bytes,
        copied_files,
        copied_bytes,
        mended_files,
        left_over: remove_stale(&manifest, to),
        is_on_same_disk: is_on_same_disk(plan.folder.root(), to),
    })
}

/// A backup folder that nobody else writes into.
struct Target {
    before: Option<Manifest>,
    /// Held until the end.
    _lock: File,
}

impl Target {
    /// Makes the folder, or takes one that holds an earlier backup of the same organisation.
    fn take(plan: &BackupPlan) -> Result<Self, BackupError> {
        let to = plan.to.as_path();
        if let (Some(commit), false) = (plan.noted, to.join(MANIFEST_FILE).exists()) {
            return Err(BackupError::Vanished { dir: to.to_owned(), commit });
        }
        // Only the last folder is made: above it may be a disk that is not mounted.
        let parent = to.parent().unwrap_or(to);
        if !parent.as_os_str().is_empty() && !parent.is_dir() {
            return Err(BackupError::NoParent { parent: parent.to_owned() });
        }
        make_folder(to).map_err(|source| FolderError::Io { action: "make", path: to.to_owned(), source })?;
        let failed = |source| FolderError::Io { action: "list", path: to.to_owned(), source };
        let (whole, hub) = (to.canonicalize().map_err(failed)?, plan.folder.root().canonicalize().map_err(failed)?);
        if whole.starts_with(&hub) || hub.starts_with(&whole) {
            return Err(BackupError::Inside { dir: to.to_owned() });
        }
        for entry in std::fs::read_dir(to).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
            // A disk's own folder for what a repair found does no harm.
            if !KNOWN.contains(&name.as_str()) && !name.ends_with(".part") && name != "lost+found" {
                return Err(BackupError::Foreign { dir: to.to_owned(), found: name });
            }
        }
        make_private(to)?;
        let lock = lock(to)?;
        let before = match Manifest::read(to) {
            Ok(manifest) if manifest.org == plan.org => Some(manifest),
            Ok(_) => return Err(BackupError::OtherOrganisation { dir: to.to_owned() }),
            Err(ManifestError::Missing { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        for sub in [LOG, SMALL] {
            let path = to.join(sub);
            make_folder(&path).map_err(|source| BackupError::Write { path: path.clone(), source })?;
            make_private(&path)?;
        }
        Ok(Self { before, _lock: lock })
    }
}

/// Two backups at once would remove each other's files.
fn lock(to: &Path) -> Result<File, BackupError> {
    let path = to.join(LOCK_FILE);
    let failed = |source| BackupError::Write { path: path.clone(), source };
    let file = super::folder::create_private(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(BackupError::Busy { dir: to.to_owned() }),
        // Some network disks know no locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Everything but the log that a fresh machine needs, with its name in the hub's folder.
fn small_files(folder: &Folder, config: Option<&Path>) -> Result<Vec<(PathBuf, String)>, BackupError> {
    let mut files = Vec::new();
    list(&folder.keys(), "keys", |_| true, &mut files)?;
    files.push((folder.mark(), "hub.json".to_owned()));
    if let Some(forms) = folder.forms() {
        let is_form = |name: &str| !name.starts_with('.') && name.ends_with(".toml");
        list(&forms, "forms", is_form, &mut files)?;
        for below in ["lists", "overlays"] {
            if forms.join(below).is_dir() {
                list(&forms.join(below), &format!("forms/{below}"), is_form, &mut files)?;
            }
        }
    }
    files.extend(config.map(|config| (config.to_owned(), CONFIG_FILE.to_owned())));
    if files.len() > SMALL_FILES_MAX {
        let path = folder.root().to_owned();
        let source = io::Error::new(io::ErrorKind::InvalidData, format!("{} files are too many", files.len()));
        return Err(BackupError::Read { path, source });
    }
    Ok(files)
}

fn list(
    dir: &Path,
    prefix: &str,
    is_wanted: impl Fn(&str) -> bool,
    files: &mut Vec<(PathBuf, String)>,
) -> Result<(), BackupError> {
    let failed = |source| BackupError::Read { path: dir.to_owned(), source };
    let mut names = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if is_wanted(&name) && entry.path().is_file() {
            names.push(name);
        }
    }
    names.sort_unstable();
    files.extend(names.into_iter().map(|name| (dir.join(&name), format!("{prefix}/{name}"))));
    Ok(())
}

struct Copier<'a> {
    plan: &'a BackupPlan,
    before: &'a [ManifestFile],
    files: Vec<ManifestFile>,
    copied_files: usize,
    copied_bytes: u64,
    mended_files: usize,
}

impl Copier<'_> {
    /// What is durable in a segment never changes within a generation: a copy that is as long and as it was made stays.
    fn segment(&mut self, file: &str, bytes: u64) -> Result<(), BackupError> {
        let name = format!("{LOG}/{file}");
        let known = self.before.iter().find(|known| known.name == name && known.bytes <= bytes);
        if let Some(known) = known.filter(|known| known.bytes == bytes) {
            if self.is_there(known) {
                self.files.push(known.clone());
                return Ok(());
            }
            self.mended_files += 1;
        }
        let from = self.plan.folder.log().join(file);
        self.look_through(file, bytes)?;
        // The copy takes the place of a shorter one, which the list before still names.
        if let Some(known) = known {
            let start = hash_of(&from, known.bytes).map_err(|error| self.unreadable(file, error))?;
            if start != (known.bytes, known.blake3.clone()) {
                return Err(BackupError::SourceDamaged { name: file.to_owned(), offset: 0 });
            }
        }
        let to = self.plan.to.join(&name);
        let copied = copy_verified(&from, &to, bytes).map_err(|error| match error {
            CopyError::From(source) => self.unreadable(file, source),
            CopyError::To(source) => BackupError::Write { path: to, source },
        })?;
        self.count(ManifestFile { name, ..copied });
        Ok(())
    }

    /// Reads a segment of the hub before it is copied.
    fn look_through(&self, file: &str, bytes: u64) -> Result<(), BackupError> {
        let disk = SnapshotDisk::new(self.plan.folder.log(), BTreeMap::from([(file.to_owned(), bytes)]));
        let found = check_segment(&disk, file, bytes).map_err(|error| self.unreadable(file, error.source))?;
        match found.damage.first() {
            None => Ok(()),
            Some((offset, _)) => Err(BackupError::SourceDamaged { name: file.to_owned(), offset: *offset }),
        }
    }

    fn unreadable(&self, file: &str, source: io::Error) -> BackupError {
        if source.kind() == io::ErrorKind::NotFound {
            return BackupError::Moved { name: file.to_owned() };
        }
        BackupError::Read { path: self.plan.folder.log().join(file), source }
    }

    fn is_there(&self, known: &ManifestFile) -> bool {
        let stored = self.plan.to.join(known.stored());
        hash_of(&stored, known.bytes).is_ok_and(|found| found == (known.bytes, known.blake3.clone()))
    }

    /// A small file has the hash of its contents for a name.
    fn small(&mut self, from: &Path, name: &str) -> Result<(), BackupError> {
        let failed = |source| BackupError::Read { path: from.to_owned(), source };
        let (bytes, blake3) = hash_of(from, SMALL_FILE_BYTES_MAX + 1).map_err(failed)?;
        if bytes > SMALL_FILE_BYTES_MAX {
            let message = format!("it has more than {SMALL_FILE_BYTES_MAX} bytes");
            return Err(failed(io::Error::new(io::ErrorKind::InvalidData, message)));
        }
        let file = ManifestFile { name: name.to_owned(), bytes, blake3 };
        if self.is_there(&file) {
            self.files.push(file);
            return Ok(());
        }
        self.mended_files += usize::from(self.before.contains(&file));
        let to = self.plan.to.join(file.stored());
        let copied = copy_verified(from, &to, bytes).map_err(|error| match error {
            CopyError::From(source) => failed(source),
            CopyError::To(source) => BackupError::Write { path: to, source },
        })?;
        // Edited in between, it would have another's name.
        if copied.blake3 != file.blake3 {
            return Err(failed(io::Error::other("it changed while it was copied")));
        }
        self.count(file);
        Ok(())
    }

    fn count(&mut self, copied: ManifestFile) {
        self.copied_files += 1;
        self.copied_bytes = self.copied_bytes.saturating_add(copied.bytes);
        self.files.push(copied);
    }
}

/// Segments that were rewritten since, and small files that changed, are in no manifest any more. What cannot be removed is
/// named, and tried again next time.
fn remove_stale(manifest: &Manifest, to: &Path) -> Vec<String> {
    let listed: BTreeSet<String> = manifest.files.iter().map(ManifestFile::stored).collect();
    let mut left_over = Vec::new();
    for sub in [LOG, SMALL] {
        let Ok(entries) = std::fs::read_dir(to.join(sub)) else { continue };
        for entry in entries.flatten() {
            let name = format!("{sub}/{}", entry.file_name().to_string_lossy());
            if !listed.contains(&name)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(%error, %name, "a file that is no part of the backup any more could not be removed");
                left_over.push(name);
            }
        }
        if let Err(error) = sync_folder(&to.join(sub)) {
            tracing::warn!(%error, %sub, "the backup's folder could not be synced after files were removed");
        }
    }
    left_over
}

#[cfg(unix)]
fn is_on_same_disk(hub: &Path, backup: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let disk = |path: &Path| std::fs::metadata(path).map(|meta| meta.dev()).ok();
    disk(hub).is_some() && disk(hub) == disk(backup)
}

#[cfg(not(unix))]
const fn is_on_same_disk(_hub: &Path, _backup: &Path) -> bool {
    false
}
