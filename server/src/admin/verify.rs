//! Looking at every byte of a store or a backup, without changing anything and without its lock.
//!
//! Every frame's hash, every pack's signature and chain, every control entry's place in the log; and the state of every
//! logbook, computed anew with an index in memory. When the hub runs, its own state digests of the same moment are given
//! along and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use qianmo_protocol::control::SignedEntry;
use qianmo_protocol::ids::{Epoch, PackHash};
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::DiskError;
use qianmo_replica::frames::PackFrame;
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::pack_log::{
    FrameKind, OpenError as LogOpenError, PackLog, PackLogConfig, ReadError, ScanError, ScanFrom, VerifyAtOpen,
    segment_file_name,
};
use qianmo_replica::replica::{Identity, OpenError, Replica, ReplicaError, Role};

use super::manifest::MANIFEST_FILE;
use super::snapshot_disk::SnapshotDisk;
use super::{Folder, HubKeyFiles, KeyError, Manifest, ManifestError};
use crate::authority::{Authority, AuthorityError};
use crate::hub::HubCore;

/// Most faults of one kind that are listed.
const FAULTS_LISTED_MAX: usize = 100;

/// How a running hub stood: what its folder is compared with.
#[derive(Debug, Clone)]
pub struct Expected {
    segments: BTreeMap<String, u64>,
    states: BTreeMap<String, [u8; 32]>,
    commit: u64,
}

impl Expected {
    /// How the hub stands now.
    #[must_use]
    pub fn of(core: &HubCore) -> Self {
        let replica = core.replica();
        let segments = replica.pack_log().segments().into_iter();
        Self {
            segments: segments.map(|s| (segment_file_name(s.segment, s.generation), s.durable_bytes)).collect(),
            states: replica.state_digests().into_iter().map(|(name, s)| (name.to_string(), s.to_bytes())).collect(),
            commit: replica.durable_commit().0,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// The last commit.
    pub commit: u64,
    /// Frames that were read.
    pub frames: u64,
    /// Packs whose signature and contents were checked.
    pub packs: u64,
    /// Control entries that count.
    pub control_entries: usize,
    /// Control entries that are kept and have no effect: what peers brought that does not verify.
    pub control_without_effect: usize,
    /// Logbooks whose state was computed anew.
    pub logbooks: usize,
    /// Whether the hub's own states were compared.
    pub states_compared: bool,
    /// Everything that does not hold.
    pub faults: Vec<String>,
}

impl VerifyReport {
    /// Whether everything holds.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_LISTED_MAX {
            self.faults.push(fault);
        }
    }
}

/// Why nothing could be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The folder cannot be read.
    #[error("{} cannot be read", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The manifest of a backup cannot be read.
    #[error("the backup cannot be read")]
    Manifest(#[from] ManifestError),
    /// The authority's key cannot be read.
    #[error("the organisation's authority cannot be read")]
    Authority(#[from] AuthorityError),
    /// The hub's keys cannot be read.
    #[error("the hub's keys cannot be read")]
    Keys(#[from] KeyError),
    /// The pack log cannot be read at all.
    #[error("the pack log cannot be read")]
    Log(#[from] LogOpenError),
    /// The store cannot be rebuilt from it.
    #[error("the store cannot be rebuilt from the pack log")]
    Open(#[from] OpenError),
    /// A part of it cannot be read.
    #[error("a part of the store cannot be read")]
    Replica(#[from] ReplicaError),
    /// The log cannot be scanned.
    #[error("the pack log cannot be scanned")]
    Read(#[from] ReadError),
    /// The disk fails.
    #[error("the disk fails")]
    Disk(#[from] DiskError),
}

/// Verifies a hub's folder or a backup.
///
/// # Errors
/// [`VerifyError`] when it cannot even be read; what does not hold is in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, VerifyError> {
    let folder = Folder::new(dir);
    let failed = |path: PathBuf| move |source| VerifyError::Io { path, source };
    if !dir.join(MANIFEST_FILE).exists() {
        let disk = SnapshotDisk::of_folder(folder.log()).map_err(failed(folder.log()))?;
        return verify_disk(&folder, &disk, None);
    }
    let manifest = Manifest::read(dir)?;
    let faults = manifest.faults(dir).map_err(failed(dir.to_owned()))?;
    let segments = manifest.files.iter().filter_map(|file| {
        let name = file.name.strip_prefix("log/")?;
        Some((name.to_owned(), file.bytes))
    });
    let disk = SnapshotDisk::new(folder.log(), segments.collect());
    let mut report = verify_disk(&folder, &disk, None)?;
    if report.commit != manifest.commit {
        report.fault(format!("the manifest says commit {}, the log has {}", manifest.commit, report.commit));
    }
    faults.into_iter().for_each(|fault| report.fault(fault));
    Ok(report)
}

/// Verifies the folder of a hub that runs, as it stood when `expected` was taken.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_snapshot(folder: &Folder, expected: &Expected) -> Result<VerifyReport, VerifyError> {
    let disk = SnapshotDisk::new(folder.log(), expected.segments.clone());
    verify_disk(folder, &disk, Some(expected))
}

fn verify_disk(folder: &Folder, disk: &SnapshotDisk, expected: Option<&Expected>) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport::default();
    let config = PackLogConfig { verify_at_open: VerifyAtOpen::Everything, ..PackLogConfig::new([0; 16]) };
    let (_, opened) = PackLog::open(Box::new(disk.again()), config)?;
    report.frames = opened.frames;
    opened.damage.iter().for_each(|damage| report.fault(format!("damaged: {damage:?}")));
    let authority = Authority::load(&folder.keys())?;
    let secrets = HubKeyFiles::load(&folder.keys())?.secrets;
    let role = Role::Hub { hub: secrets.hub(), epoch: Epoch([0; 16]) };
    let identity = Identity { authority: authority.public_key(), key: secrets.device, role };
    let mut no_salt = NoSalt;
    let (replica, opened) =
        Replica::open(Box::new(disk.again()), Box::new(MemoryIndex::new()), identity, &mut no_salt)?;
    opened.unreadable.iter().for_each(|commit| report.fault(format!("frame {commit} cannot be read")));
    report.commit = replica.durable_commit().0;
    report.control_entries = replica.control().len();
    check_frames(&replica, &mut report)?;
    let states = replica.state_digests();
    report.logbooks = states.len();
    if let Some(expected) = expected {
        report.states_compared = true;
        let states: BTreeMap<String, [u8; 32]> =
            states.into_iter().map(|(name, state)| (name.to_string(), state.to_bytes())).collect();
        let names: BTreeSet<&String> = states.keys().chain(expected.states.keys()).collect();
        for name in names.into_iter().filter(|name| states.get(*name) != expected.states.get(*name)) {
            report.fault(format!("the state of {name} is not what the hub has"));
        }
        if expected.commit != report.commit {
            report.fault(format!("the hub is at commit {}, the log has {}", expected.commit, report.commit));
        }
    }
    Ok(report)
}

/// Signatures, contents and chains of packs; control entries.
fn check_frames(replica: &Replica, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let org = replica.org();
    let mut places: BTreeMap<PackHash, u32> = BTreeMap::new();
    for found in replica.pack_log().scan_from(ScanFrom::Start)? {
        let (pointer, frame) = match found {
            Ok(found) => found,
            Err(ScanError::Damaged(_)) => continue,
            Err(error) => return Err(ReplicaError::from(error).into()),
        };
        let commit = pointer.commit.0;
        if frame.kind == FrameKind::Control {
            let known = SignedEntry::decode(&frame.payload).ok();
            let counts = known.is_some_and(|entry| replica.control().contains(&entry.content().hash(&org)));
            report.control_without_effect += usize::from(!counts);
        }
        if frame.kind != FrameKind::Pack {
            continue;
        }
        let Ok(PackFrame { pack, .. }) = PackFrame::decode(&frame.payload) else { continue };
        report.packs += 1;
        let (hash, header) = (pack.hash(&org), pack.header.clone());
        let is_chained = match header.seq.checked_sub(1) {
            None => header.prev == PackHash::NONE,
            Some(before) => places.get(&header.prev) == Some(&before),
        };
        if !is_chained {
            report.fault(format!("pack {hash} in frame {commit} does not follow a pack that is there"));
        }
        places.insert(hash, header.seq);
        let key = replica.control().fold().device(&header.log.device).and_then(|device| device.key().copied());
        match key.map(|key| pack.verify(&org, &key)) {
            Some(Ok(_)) => {}
            Some(Err(error)) => report.fault(format!("pack {hash} in frame {commit}: {error}")),
            None => report.fault(format!("pack {hash} in frame {commit} is of a device that is not enrolled")),
        }
    }
    Ok(())
}

/// A snapshot is never new, so it is asked for no salt.
struct NoSalt;

impl rand::RngCore for NoSalt {
    fn next_u32(&mut self) -> u32 {
        0
    }

    fn next_u64(&mut self) -> u64 {
        0
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}
