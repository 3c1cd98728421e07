//! Looking at every byte of a store or a backup, without changing anything and without its lock.
//!
//! Every frame's hash, that no segment and no end of one is missing, every pack's signature and place in its chain, every
//! receipt, every control entry; the keys against the decisions that name them; and the state of every logbook, computed
//! anew with an index in memory. When the hub runs, its own state digests of the same moment are given along and compared.
//!
//! What is missing is found by numbers: those of frames run on from segment to segment, a rewrite writes down what it left
//! ([`Roll`](qianmo_replica::replica::Roll)), and the hub writes down beside the log how far it was durable.

mod segments;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use qianmo_protocol::control::SignedEntry;
use qianmo_protocol::ids::{DeviceId, Epoch, HubId, PackHash};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::DiskError;
use qianmo_replica::frames::{PackFrame, VerdictFrame};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::pack_log::{
    Frame, FrameKind, OpenError as LogOpenError, ReadError, ScanError, ScanFrom, segment_file_name,
};
use qianmo_replica::replica::{Identity, OpenError, Replica, ReplicaError, Role};

use self::segments::{check_roll, check_segments};
use super::keys::read_all;
use super::manifest::{LOG, MANIFEST_FILE, SMALL};
use super::snapshot_disk::SnapshotDisk;
use super::{Folder, KeyError, Manifest, ManifestError, ManifestFile};
use crate::hub::{HubCore, HubSecrets, WATERMARK_KEY};

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
    /// The commit up to which tablets were told 已备份.
    pub watermark: u64,
    /// Segments that were read.
    pub segments: usize,
    /// Frames that were read.
    pub frames: u64,
    /// Packs whose signature and contents were checked.
    pub packs: u64,
    /// Of their entries, those whose bytes were erased, each by a decision that is here.
    pub erased_entries: u64,
    /// Signed receipts of former epochs that were checked.
    pub receipts: u64,
    /// Control entries that count.
    pub control_entries: usize,
    /// Control entries that are kept and have no effect: what peers brought that does not verify.
    pub control_without_effect: usize,
    /// Logbooks whose state was computed anew.
    pub logbooks: usize,
    /// The organisation whose keys these are.
    pub org: Option<String>,
    /// Whether the hub's own states were compared.
    pub states_compared: bool,
    /// Everything that does not hold.
    pub faults: Vec<String>,
    /// What holds, and may still be of interest.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// Whether everything holds.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn fault(&mut self, fault: String) {
        if self.faults.len() < FAULTS_LISTED_MAX {
            self.faults.push(fault);
        }
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < FAULTS_LISTED_MAX {
            self.notes.push(note);
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
    /// The hub's keys cannot be read.
    #[error("the keys cannot be read")]
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

impl VerifyError {
    /// Whether something could not be read because the log was rewritten meanwhile: look again.
    #[must_use]
    pub fn is_moved(&self) -> bool {
        let mut cause: Option<&(dyn core::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            if error.downcast_ref::<io::Error>().is_some_and(is_gone) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// Verifies a hub's folder or a backup.
///
/// # Errors
/// [`VerifyError`] when there is nothing to be read; all that does not hold is in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport::default();
    let is_backup = dir.join(MANIFEST_FILE).exists();
    let looked = if is_backup { verify_backup(dir, &mut report) } else { verify_store(dir, &mut report) };
    match looked {
        Ok(()) => Ok(report),
        Err(error @ VerifyError::Io { .. }) => Err(error),
        // So damaged that the rest cannot be looked at.
        Err(error) => {
            report.fault(chain(&error));
            Ok(report)
        }
    }
}

fn chain(error: &dyn core::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

fn verify_store(dir: &Path, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let folder = Folder::new(dir);
    let log = folder.log();
    let disk = SnapshotDisk::of_folder(log.clone()).map_err(|source| VerifyError::Io { path: log, source })?;
    verify_disk(&Place::of_folder(&folder), &disk, report)?;
    match folder.log_end() {
        Ok(Some(end)) if end > report.commit => {
            report.fault(format!(
                "the log was durable up to commit {end} and ends at {}: its end is gone",
                report.commit
            ));
        }
        Ok(Some(_)) => {}
        Ok(None) => {
            report.fault("log-end.json is missing: nothing says whether the log is whole to its end".to_owned())
        }
        Err(error) => report.fault(chain(&error)),
    }
    verify_folder(&folder, report);
    Ok(())
}

/// What lies beside the log of a hub.
fn verify_folder(folder: &Folder, report: &mut VerifyReport) {
    match folder.read_mark() {
        Ok(mark) if report.org.as_ref().is_none_or(|org| *org == mark.org) => {}
        Ok(_) => report.fault("hub.json names another organisation than the keys".to_owned()),
        Err(error) => report.fault(chain(&error)),
    }
    if let Err(error) = folder.open_forms() {
        report.fault(format!("the district's forms: {}", chain(&error)));
    }
}

fn verify_backup(dir: &Path, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let folder = Folder::new(dir);
    let manifest = Manifest::read(dir)?;
    let faults = manifest.faults(dir).map_err(|source| VerifyError::Io { path: dir.to_owned(), source })?;
    let is_damaged = !faults.is_empty();
    faults.into_iter().for_each(|fault| report.fault(fault));
    let segments = manifest.files.iter().filter_map(|file| {
        let name = file.name.strip_prefix("log/")?;
        Some((name.to_owned(), file.bytes))
    });
    let disk = SnapshotDisk::new(folder.log(), segments.collect());
    for name in ["keys/authority.key", "keys/hub.key", "keys/device.key", "keys/bundle.key", "hub.json"] {
        if !manifest.files.iter().any(|file| file.name == name) {
            report.fault(format!("{name} is not in the backup"));
        }
    }
    note_unlisted(dir, &manifest, report);
    verify_disk(&Place::of_backup(dir, &manifest), &disk, report)?;
    if report.commit != manifest.commit {
        report.fault(format!("the manifest says commit {}, the log has {}", manifest.commit, report.commit));
    }
    if report.org.as_ref().is_some_and(|org| *org != manifest.org) && !is_damaged {
        report.fault("the manifest names another organisation than the keys".to_owned());
    }
    Ok(())
}

/// What an interrupted backup left; the next one removes it.
fn note_unlisted(dir: &Path, manifest: &Manifest, report: &mut VerifyReport) {
    let listed: BTreeSet<String> = manifest.files.iter().map(ManifestFile::stored).collect();
    for sub in [LOG, SMALL] {
        for entry in std::fs::read_dir(dir.join(sub)).into_iter().flatten().flatten() {
            let name = format!("{sub}/{}", entry.file_name().to_string_lossy());
            if !listed.contains(&name) {
                report.note(format!("{name} is no part of this backup; the next backup removes it"));
            }
        }
    }
}

/// Verifies the folder of a hub that runs, as it stood when `expected` was taken.
///
/// # Errors
/// [`VerifyError`].
pub fn verify_snapshot(folder: &Folder, expected: &Expected) -> Result<VerifyReport, VerifyError> {
    let mut report = VerifyReport::default();
    let disk = SnapshotDisk::new(folder.log(), expected.segments.clone());
    let states = verify_disk(&Place::of_folder(folder), &disk, &mut report)?;
    report.states_compared = true;
    let names: BTreeSet<&String> = states.keys().chain(expected.states.keys()).collect();
    for name in names.into_iter().filter(|name| states.get(*name) != expected.states.get(*name)) {
        report.fault(format!("the state of {name} is not what the hub has"));
    }
    if expected.commit != report.commit {
        report.fault(format!("the hub is at commit {}, the log has {}", expected.commit, report.commit));
    }
    verify_folder(folder, &mut report);
    Ok(report)
}

/// Where the keys are.
struct Place {
    keys: BTreeMap<String, PathBuf>,
    otherwise: PathBuf,
}

impl Place {
    fn of_folder(folder: &Folder) -> Self {
        Self { keys: BTreeMap::new(), otherwise: folder.keys() }
    }

    fn of_backup(dir: &Path, manifest: &Manifest) -> Self {
        let keys = manifest.files.iter().filter_map(|file| {
            let name = file.name.strip_prefix("keys/")?;
            Some((name.to_owned(), dir.join(file.stored())))
        });
        Self { keys: keys.collect(), otherwise: dir.join(SMALL) }
    }

    fn of(&self, name: &str) -> PathBuf {
        self.keys.get(name).cloned().unwrap_or_else(|| self.otherwise.join(name))
    }
}

/// Answers the state of every logbook.
fn verify_disk(
    place: &Place,
    disk: &SnapshotDisk,
    report: &mut VerifyReport,
) -> Result<BTreeMap<String, [u8; 32]>, VerifyError> {
    let segments = check_segments(disk, report)?;
    let (authority, secrets) = read_all(|name| place.of(name))?;
    let authority = authority.verifying_key().to_bytes();
    let (hub, device) = (secrets.hub(), DeviceId::from_key(&secrets.device.verifying_key().to_bytes()));
    let role = Role::Hub { hub, epoch: Epoch([0; 16]) };
    let identity = Identity { authority, key: secrets.device.clone(), role };
    let (replica, opened) = Replica::open(Box::new(disk.again()), Box::new(MemoryIndex::new()), identity, &mut NoSalt)?;
    opened.unreadable.iter().for_each(|commit| report.fault(format!("frame {commit} cannot be read")));
    report.org = Some(replica.org().to_string());
    report.commit = replica.durable_commit().0;
    report.control_entries = replica.control().len();
    check_roll(&segments, replica.roll()?.as_ref(), report);
    check_keys(&replica, &secrets, hub, &device, report);
    check_watermark(&replica, report)?;
    check_frames(&replica, report)?;
    let states: BTreeMap<String, [u8; 32]> =
        replica.state_digests().into_iter().map(|(name, state)| (name.to_string(), state.to_bytes())).collect();
    report.logbooks = states.len();
    Ok(states)
}

/// The keys must be those that the control log names.
fn check_keys(replica: &Replica, secrets: &HubSecrets, hub: HubId, device: &DeviceId, report: &mut VerifyReport) {
    let fold = replica.control().fold();
    let signing = secrets.signing.verifying_key().to_bytes();
    match fold.hub(&hub) {
        Some(facts) if facts.signing_keys().any(|key| *key == signing) => {
            if facts.bundle_key() != Some(&secrets.bundle_public) {
                report.fault("bundle.key is not the key that the organisation's decisions name".to_owned());
            }
        }
        Some(_) | None => report.fault("hub.key is not a key that the organisation's authority named".to_owned()),
    }
    let key = secrets.device.verifying_key().to_bytes();
    if fold.device(device).and_then(|device| device.key().copied()) != Some(key) {
        report.fault("device.key is not the key that was enrolled for the hub".to_owned());
    }
}

/// What tablets were told is in a backup must be in the log.
fn check_watermark(replica: &Replica, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let stored = replica.meta(WATERMARK_KEY)?.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
    let said = replica.newest_beacon().map_or(0, |beacon| beacon.watermark.max(beacon.commit));
    report.watermark = stored;
    if stored.max(said) > report.commit {
        let commit = report.commit;
        report.fault(format!("tablets were told of commit {}, and the log ends at {commit}", stored.max(said)));
    }
    Ok(())
}

/// Signatures, contents and chains of packs; verdicts; receipts; control entries.
fn check_frames(replica: &Replica, report: &mut VerifyReport) -> Result<(), VerifyError> {
    let mut places: BTreeMap<PackHash, u32> = BTreeMap::new();
    for found in replica.pack_log().scan_from(ScanFrom::Start)? {
        let (pointer, frame) = match found {
            Ok(found) => found,
            Err(ScanError::Damaged(_)) => continue,
            Err(error) => return Err(ReplicaError::from(error).into()),
        };
        check_frame(replica, pointer.commit.0, &frame, &mut places, report);
    }
    Ok(())
}

fn check_frame(
    replica: &Replica,
    commit: u64,
    frame: &Frame,
    places: &mut BTreeMap<PackHash, u32>,
    report: &mut VerifyReport,
) {
    match frame.kind {
        FrameKind::Control => {
            let known = SignedEntry::decode(&frame.payload).ok();
            let org = replica.org();
            let counts = known.is_some_and(|entry| replica.control().contains(&entry.content().hash(&org)));
            report.control_without_effect += usize::from(!counts);
        }
        FrameKind::Pack => {
            if let Ok(PackFrame { pack, .. }) = PackFrame::decode(&frame.payload) {
                check_pack(replica, commit, &pack, places, report);
            }
        }
        FrameKind::Verdict => {
            let Ok(verdict) = VerdictFrame::decode(&frame.payload) else { return };
            if !places.contains_key(&verdict.pack) {
                report.fault(format!("the verdict in frame {commit} is on pack {}, which is not here", verdict.pack));
            }
        }
        FrameKind::Receipt => {
            let signed = SignedReceipt::decode(&frame.payload);
            report.receipts += 1;
            if !signed.is_ok_and(|signed| signed.verify_in(replica.control().fold()).is_ok()) {
                report.fault(format!("the receipt in frame {commit} is not signed by a hub of this organisation"));
            }
        }
        FrameKind::Draft | FrameKind::Local | FrameKind::Meta | FrameKind::Blob | FrameKind::Unknown(_) => {}
    }
}

fn check_pack(
    replica: &Replica,
    commit: u64,
    pack: &Pack,
    places: &mut BTreeMap<PackHash, u32>,
    report: &mut VerifyReport,
) {
    report.packs += 1;
    let (org, fold) = (replica.org(), replica.control().fold());
    let (hash, header) = (pack.hash(&org), &pack.header);
    let is_chained = match header.seq.checked_sub(1) {
        None => header.prev == PackHash::NONE,
        Some(before) => places.get(&header.prev) == Some(&before),
    };
    if !is_chained {
        report.fault(format!("pack {hash} in frame {commit} does not follow a pack that is there"));
    }
    places.insert(hash, header.seq);
    let key = fold.device(&header.log.device).and_then(|device| device.key().copied());
    match key.map(|key| pack.clone().verify(&org, &key)) {
        Some(Ok(verified)) => {
            for entry in verified.entries().iter().filter(|entry| entry.change().is_none()) {
                report.erased_entries += 1;
                if !fold.is_stub_legal(&entry.doc(), &entry.hash()) {
                    report.fault(format!("pack {hash} in frame {commit} lacks bytes that nobody decided to erase"));
                }
            }
        }
        Some(Err(error)) => report.fault(format!("pack {hash} in frame {commit}: {error}")),
        None => report.fault(format!("pack {hash} in frame {commit} is of a device that is not enrolled")),
    }
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
