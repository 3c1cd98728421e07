//! Bundles: a session through a file, for where there is no network.
//!
//! A bundle for the hub is sealed to the hub's published key: whoever carries it cannot read it. One for a tablet is sealed
//! with a passphrase that is drawn here and shown once. What a bundle brings is taken as from a peer: every part is verified,
//! stored and judged as in a session, so importing it twice, or half, harms nothing.
//!
//! # Flow
//!
//! ```text
//! export: the store's thread gives parts in batches ─> a thread of its own seals and writes FILE.part ─> fsync, rename
//! import: a thread of its own reads and opens ─> batches of parts ─> the store's thread: adopt, store, sync, judge
//! ```
//!
//! # Limits
//!
//! [`BATCH_BYTES`] in one batch, [`BATCHES_AHEAD`] batches in memory.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, oneshot};

use qianmo_protocol::bundle::{BundleFor, BundleHeader, BundlePart};
use qianmo_replica::bundle::{BundleWriter, OpenBundleError, OpenKey, OpenedBundle, SealBundleError, SealKey, peek};

use crate::codes::RefusalCode;
use crate::error::{StoreFailure, chain};
use crate::owner::{Contents, OwnerHandle};

/// Bytes of parts that are handed over at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// Packs that are read from the store at once.
const PACKS_PER_BATCH: usize = 64;
/// Batches that wait for the slower side.
const BATCHES_AHEAD: usize = 2;

/// What a bundle is to hold, and for whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleRequest {
    /// For whom.
    pub to: BundleTo,
    /// What it holds.
    pub what: BundleScope,
    /// The file. One that is there is replaced once the new one is whole.
    pub file: PathBuf,
}

/// For whom a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleTo {
    /// The organisation's hub.
    Hub,
    /// Another tablet of the organisation.
    Tablet,
}

/// What a bundle holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleScope {
    /// What this device wrote and no hub has acknowledged (待上传).
    Waiting,
    /// All that this device holds of its own station and the directories.
    Station,
    /// All that it holds, of others too.
    Everything,
}

/// What an export wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleMade {
    /// Bytes of the file.
    pub bytes: u64,
    /// Packs in it.
    pub packs: usize,
    /// Decisions of the organisation in it.
    pub control: usize,
    /// What a tablet's bundle is opened with. Shown once, kept nowhere.
    pub passphrase: Option<String>,
}

/// What an import took.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BundleReport {
    /// Decisions of the organisation that were new here.
    pub control: usize,
    /// Packs that are held now, new or known.
    pub packs: usize,
    /// Of those, packs that were new.
    pub packs_new: usize,
    /// Packs of logbooks that this device may not hold, passed over.
    pub not_for_us: usize,
    /// Packs that were not taken, each with why.
    pub refused: Vec<RefusalCode>,
    /// Receipts of the hub.
    pub receipts: usize,
    /// Records with something new.
    pub records: usize,
}

/// Why there is no bundle, or nothing, or not all of one, was taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// The device belongs to no organisation yet.
    #[error("this device is not enrolled; a bundle needs an enrolment")]
    NotEnrolled,
    /// There is nothing that the hub has not.
    #[error("nothing waits for the hub; there is nothing to carry")]
    Nothing,
    /// The control log here does not name the hub's key.
    #[error("the hub's key is not known on this device; sync once")]
    NoHubKey,
    /// The file is no bundle, or not a whole one. What was whole before the fault is kept.
    #[error("{detail}")]
    File {
        /// What is wrong with it, where, and what to do.
        detail: String,
    },
    /// The bundle is for the hub: nobody else can read it.
    #[error("the bundle is for the hub; carry it there")]
    ForHub,
    /// The bundle is of another organisation.
    #[error("the bundle is of another organisation")]
    OtherOrganisation,
    /// A passphrase is needed.
    #[error("the bundle needs the passphrase that was shown when it was made")]
    PassphraseMissing,
    /// The passphrase is another one.
    #[error("the passphrase is not the one that was shown when the bundle was made")]
    WrongPassphrase,
    /// The file cannot be read or written.
    #[error("the file {} cannot be used: {detail}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The store failed.
    #[error("the record store failed")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

impl From<StoreFailure> for BundleError {
    fn from(failure: StoreFailure) -> Self {
        Self::Store(failure)
    }
}

impl BundleError {
    fn io(path: &Path, error: &io::Error) -> Self {
        Self::Io { path: path.to_owned(), detail: error.to_string() }
    }

    fn of_open(path: &Path, error: &OpenBundleError) -> Self {
        match error {
            OpenBundleError::OtherOrganisation => Self::OtherOrganisation,
            OpenBundleError::ForHub => Self::ForHub,
            OpenBundleError::WrongPassphrase => Self::WrongPassphrase,
            OpenBundleError::Io(error) => Self::io(path, error),
            OpenBundleError::Bundle(_)
            | OpenBundleError::ForTablet
            | OpenBundleError::OtherHub
            | OpenBundleError::Work { .. }
            | OpenBundleError::Seal
            | OpenBundleError::Damaged { .. } => Self::File { detail: chain(error) },
        }
    }

    fn of_seal(path: &Path, error: &SealBundleError) -> Self {
        match error {
            SealBundleError::Io(error) => Self::io(path, error),
            SealBundleError::Key | SealBundleError::Seal(_) => Self::File { detail: chain(error) },
        }
    }
}

/// Writes a bundle.
pub(crate) async fn export(owner: &OwnerHandle, request: &BundleRequest) -> Result<BundleMade, BundleError> {
    let (to, what) = (request.to, request.what.clone());
    let contents =
        owner.ask(move |owner| owner.bundle_contents(to, &what)).await.map_err(|_| BundleError::Closed)??;
    let Contents { header, hub_key, parts, packs } = contents;
    let passphrase = match hub_key {
        Some(_) => None,
        None => Some(qianmo_replica::bundle::draw_passphrase(&mut rand::rng())),
    };
    let key = match (&passphrase, hub_key) {
        (Some(passphrase), _) => SealKey::Passphrase(passphrase.clone()),
        (None, Some(key)) => SealKey::Hub(key),
        (None, None) => return Err(BundleError::NoHubKey),
    };
    let (sender, receiver) = mpsc::channel(BATCHES_AHEAD);
    let (done, is_done) = oneshot::channel();
    let path = request.file.clone();
    in_thread(move || drop(done.send(write_file(&path, &header, &key, receiver))))?;
    let control = parts.control;
    let mut made = BundleMade { bytes: 0, packs: packs.len(), control, passphrase };
    let mut batch = Ok(parts.frames);
    let mut rest = packs.as_slice();
    while let Ok(frames) = batch {
        // A writer that is gone has said why.
        if sender.send(frames).await.is_err() || rest.is_empty() {
            break;
        }
        let (next, after) = rest.split_at(rest.len().min(PACKS_PER_BATCH));
        rest = after;
        let next = next.to_vec();
        batch = owner.ask(move |owner| owner.bundle_packs(&next)).await.map_err(|_| BundleError::Closed)?;
        if let Err(error) = batch {
            // Without its end the file is none, and the writer throws it away.
            sender.send(Vec::new()).await.unwrap_or_default();
            drop(sender);
            drop(is_done.await);
            return Err(error);
        }
    }
    drop(sender);
    made.bytes = is_done.await.map_err(|_| BundleError::Closed)??;
    Ok(made)
}

/// Starts a thread for the file, so that sealing and a slow stick hold up nobody.
fn in_thread(work: impl FnOnce() + Send + 'static) -> Result<(), BundleError> {
    let thread = std::thread::Builder::new().name("qianmo-bundle".to_owned()).spawn(work);
    thread.map(drop).map_err(|error| BundleError::Store(StoreFailure::of(&error)))
}

/// Beside its place first, then moved there: a bundle is whole or not there. An empty batch says that it will not be.
fn write_file(
    path: &Path,
    header: &BundleHeader,
    key: &SealKey,
    mut batches: mpsc::Receiver<Vec<Vec<u8>>>,
) -> Result<u64, BundleError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = path.with_file_name(name);
    let mut write = || -> Result<Option<u64>, SealBundleError> {
        let mut writer = BundleWriter::begin(BufWriter::new(File::create(&part)?), header, key)?;
        while let Some(frames) = batches.blocking_recv() {
            if frames.is_empty() {
                return Ok(None);
            }
            for frame in &frames {
                writer.put(frame)?;
            }
        }
        let mut out = writer.finish()?;
        out.flush()?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        fs::rename(&part, path)?;
        Ok(Some(file.metadata()?.len()))
    };
    let written = write();
    if !matches!(written, Ok(Some(_))) && part.exists() {
        fs::remove_file(&part).map_err(|error| BundleError::io(&part, &error))?;
    }
    written.map(Option::unwrap_or_default).map_err(|error| BundleError::of_seal(path, &error))
}

type Batch = Result<Vec<BundlePart>, BundleError>;

/// Takes a bundle in.
pub(crate) async fn import(
    owner: &OwnerHandle,
    file: &Path,
    passphrase: Option<&str>,
) -> Result<BundleReport, BundleError> {
    let org = owner.ask(|owner| owner.identity().map(|identity| identity.org)).await;
    let org = org.map_err(|_| BundleError::Closed)?.ok_or(BundleError::NotEnrolled)?;
    let (sender, mut batches) = mpsc::channel(BATCHES_AHEAD);
    let (path, passphrase) = (file.to_owned(), passphrase.map(str::to_owned));
    in_thread(move || read_file(&path, &org, passphrase, &sender))?;
    let mut report = BundleReport::default();
    let mut failed = None;
    while let Some(batch) = batches.recv().await {
        match batch {
            Ok(parts) => {
                let absorbed = owner.write(move |owner| owner.absorb_bundle(parts)).await;
                report.add(&absorbed.map_err(|_| BundleError::Closed)??);
            }
            Err(error) => failed = Some(error),
        }
    }
    let judged = owner.write(|owner| owner.judge_bundle()).await.map_err(|_| BundleError::Closed)??;
    report.records = judged;
    failed.map_or(Ok(report), Err)
}

impl BundleReport {
    fn add(&mut self, other: &Self) {
        self.control += other.control;
        self.packs += other.packs;
        self.packs_new += other.packs_new;
        self.not_for_us += other.not_for_us;
        self.refused.extend(&other.refused);
        self.receipts += other.receipts;
    }
}

fn read_file(path: &Path, org: &qianmo_protocol::ids::OrgId, passphrase: Option<String>, to: &mpsc::Sender<Batch>) {
    let opened = open_file(path, org, passphrase);
    let mut bundle = match opened {
        Ok(bundle) => bundle,
        Err(error) => return drop(to.blocking_send(Err(error))),
    };
    let (mut parts, mut bytes) = (Vec::new(), 0);
    loop {
        match bundle.next_part() {
            Ok(Some(part)) => {
                bytes += weight(&part);
                parts.push(part);
                if bytes >= BATCH_BYTES {
                    bytes = 0;
                    if to.blocking_send(Ok(core::mem::take(&mut parts))).is_err() {
                        return;
                    }
                }
            }
            Ok(None) => return drop(to.blocking_send(Ok(parts))),
            Err(error) => {
                // What was whole before is a peer's word like any other.
                if to.blocking_send(Ok(parts)).is_ok() {
                    drop(to.blocking_send(Err(BundleError::of_open(path, &error))));
                }
                return;
            }
        }
    }
}

fn open_file(
    path: &Path,
    org: &qianmo_protocol::ids::OrgId,
    passphrase: Option<String>,
) -> Result<OpenedBundle, BundleError> {
    let open = || File::open(path).map_err(|error| BundleError::io(path, &error));
    let (header, _) = peek(&mut open()?).map_err(|error| BundleError::of_open(path, &error))?;
    if header.org != *org {
        return Err(BundleError::OtherOrganisation);
    }
    if matches!(header.to, BundleFor::Hub(_)) {
        return Err(BundleError::ForHub);
    }
    let passphrase = passphrase.ok_or(BundleError::PassphraseMissing)?;
    OpenedBundle::open(open()?, &OpenKey::Passphrase(passphrase)).map_err(|error| BundleError::of_open(path, &error))
}

/// What a part takes in memory, nearly.
fn weight(part: &BundlePart) -> usize {
    const ENTRY_BYTES: usize = 512;
    match part {
        BundlePart::Control(entries) => entries.len() * ENTRY_BYTES,
        BundlePart::Beacon(_) | BundlePart::Receipt(_) => ENTRY_BYTES,
        BundlePart::Pack(pack) => pack.body.len() + ENTRY_BYTES,
    }
}
