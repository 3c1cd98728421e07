//! A replica: what one device or hub holds, over the pack log and its index.
//!
//! One writer. Everything that changes goes through frames: a call appends them, [`Replica::sync`] makes the whole group
//! durable with one fdatasync and only then absorbs it into the index, so nothing is visible (to a person, a peer or the
//! session) that could still be lost. A rebuild scans the log and absorbs the same frames in the same order.
//!
//! # Flow
//!
//! ```text
//! write, seal, take_packs, adopt, record_verdicts …  append frames     (not durable, not visible)
//! sync                                               one fdatasync, then absorb: visible
//! ```
//!
//! # Invariants
//!
//! 1. Index rows change only in `absorb`, which sees nothing but frames: deleting the index loses nothing.
//! 2. A pack enters its logbook's vector when its verdict is absorbed, not before (A2); own packs at once.
//! 3. The state digest counts what the packs and the control log say, never a local verdict (A2).
//!
//! # Failure
//!
//! [`ReplicaError::Sync`] poisons: writes are refused until the replica is opened again; reads go on. A failing index is
//! thrown away and rebuilt at the next open.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use ed25519_dalek::SigningKey;
use rand_core::RngCore;

use qianmo_protocol::beacon::SignedBeacon;
use qianmo_protocol::control::{ControlError, ControlLog, Inserted, SignedEntry};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{DeviceId, Epoch, HubId, LogbookName, OrgId, PackHash};
use qianmo_protocol::pack::{Entry, PackError};
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::{Tip, Vector};
use qianmo_protocol::wire::{DecodeError, Wire};

use crate::disk::Disk;
use crate::entry_cache::EntryCache;
use crate::frames::{DraftFrame, DraftId, LocalFrame, MetaFrame, PackFrame, VerdictFrame};
use crate::index::{Index, IndexError};
use crate::overlay::{Overlay, RowError};
use crate::pack_log::{
    AppendError, CommitNumber, FrameKind, FramePointer, OpenError as LogOpenError, PackLog, PackLogConfig,
    PackLogStats, ReadError, ScanError, SyncError,
};
use crate::rows;

mod absorb;
mod base;
mod evict;
mod judge;
mod open;
mod overruled;
mod packs;
mod parked;
mod read;
mod receipts;
mod repack;
mod review;
mod rewrite;
mod roll;
mod scope;
mod shelf;
mod status;
mod write;

pub use base::Base;
pub use evict::{EvictError, EvictHold, Foreign};
pub use judge::{CODE_MISPLACED, CODE_NOT_OWNER, CODE_TWIN, CODE_WAITS, HeldChange, HeldPart, JudgeReport, Word};
pub use open::OpenReport;
pub use packs::Taken;
pub use parked::{PACKS_PARKED_PER_DEVICE_MAX, PACKS_PARKED_PER_LOGBOOK_MAX};
pub use read::{ConflictView, HistoryView, PAGE_RECORDS_MAX, RecordDetail, RecordFilter, RecordPage, RecordRow};
pub use receipts::RECEIPTS_PER_PACK_MAX;
pub use repack::GivenUp;
pub use review::ReviewView;
pub use rewrite::{COMPACT_BYTES_MIN, COMPACT_PERCENT, ErasedPart, ErasureReach, RewriteTotals, Upkeep, refers_to};
pub use roll::{Roll, RollLine, RollState};
pub use status::{CODE_BASE_ERASED, CODE_BASE_MISSING, Delivery, OutboxCount};
pub use write::{WriteError, Written};

/// Rows that are absorbed before the index takes a batch.
const BATCH_ROWS: usize = 8_192;

/// Whose replica it is.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The public key of the organisation's authority: everything trusted begins with it.
    pub authority: [u8; 32],
    /// The key this replica signs packs with. A hub has one too, for what is written in its pages.
    pub key: SigningKey,
    /// A tablet, or a hub.
    pub role: Role,
}

/// What a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// A device of a person.
    Tablet,
    /// The organisation's hub, in its present epoch.
    Hub {
        /// Which hub.
        hub: HubId,
        /// Its epoch.
        epoch: Epoch,
    },
}

/// Why a replica cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The pack log would not take a frame.
    #[error("the record store did not take the entry")]
    Append(#[from] AppendError),
    /// The pack log could not be made durable: open the store again.
    #[error("the record store could not be made durable")]
    Sync(#[from] SyncError),
    /// A frame could not be read.
    #[error("the record store could not be read")]
    Read(#[from] ReadError),
    /// The log could not be scanned.
    #[error("the record store could not be scanned")]
    Scan(#[from] ScanError),
    /// A row of the index could not be read or written.
    #[error("the index of the record store failed; it is rebuilt at the next start")]
    Row(#[from] RowError),
    /// A frame of our own does not hold what its kind promises.
    #[error("frame {commit} does not hold what its kind promises")]
    Frame {
        /// Its number.
        commit: u64,
        /// Why.
        #[source]
        source: PackError,
    },
    /// A control entry was refused.
    #[error("a control entry was refused")]
    Control(#[from] ControlError),
    /// Sealing failed.
    #[error("changes could not be sealed into a pack")]
    Seal(#[from] qianmo_protocol::pack::SealError),
    /// A segment could not be rewritten.
    #[error("the record store could not be rewritten")]
    Rewrite(#[source] crate::pack_log::RewriteError),
    /// Signing failed.
    #[error("an entry could not be signed")]
    Sign(#[from] qianmo_protocol::control::SignError),
}

impl From<IndexError> for ReplicaError {
    fn from(error: IndexError) -> Self {
        Self::Row(error.into())
    }
}

/// Why a replica does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The pack log does not open.
    #[error("the record store does not open")]
    Log(#[from] LogOpenError),
    /// It opens, but cannot be read or indexed.
    #[error("the record store cannot be read")]
    Replica(#[from] ReplicaError),
}

/// Something a person or operator should hear of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// Another copy of this device's store wrote into its log: the tablet was cloned, or restored from an old image.
    Copied {
        /// In which logbook it was seen.
        logbook: LogbookName,
        /// The other copy's pack.
        pack: PackHash,
        /// When the other copy wrote it, by its clock.
        time: UnixMillis,
    },
    /// Two packs of one device stand at the same place of its log.
    Forked {
        /// The logbook.
        logbook: LogbookName,
        /// The device.
        device: DeviceId,
        /// The one.
        a: PackHash,
        /// The other.
        b: PackHash,
    },
}

/// What is known of a logbook, in memory.
#[derive(Debug, Clone)]
pub(crate) struct Book {
    pub(crate) tips: BTreeSet<Tip>,
    pub(crate) vector_digest: [u8; 32],
    pub(crate) state: StateDigest,
    /// Local frames that are not sealed.
    pub(crate) unsealed: usize,
    /// Packs that can be judged and are not yet.
    pub(crate) unjudged: usize,
}

impl Book {
    fn new() -> Self {
        let vector_digest = Vector::default().digest();
        Self { tips: BTreeSet::new(), vector_digest, state: StateDigest::EMPTY, unsealed: 0, unjudged: 0 }
    }

    fn tips_changed(&mut self) {
        self.vector_digest = Vector(self.tips.clone()).digest();
    }
}

/// A frame's meaning.
#[derive(Debug, Clone)]
pub(crate) enum Payload {
    Draft(DraftFrame),
    Local(LocalFrame),
    Pack(Box<PackFrame>, Option<Arc<Vec<Entry>>>),
    Control(Box<SignedEntry>),
    Verdict(VerdictFrame),
    Receipt(Box<SignedReceipt>),
    Meta(MetaFrame),
    /// Of a later version, or of no interest to the index.
    Other,
}

impl Payload {
    fn decode(kind: FrameKind, payload: &[u8]) -> Result<Self, PackError> {
        Ok(match kind {
            FrameKind::Draft => Self::Draft(DraftFrame::decode(payload)?),
            FrameKind::Local => Self::Local(LocalFrame::decode(payload)?),
            FrameKind::Pack => Self::Pack(Box::new(PackFrame::decode(payload)?), None),
            FrameKind::Control => Self::Control(Box::new(SignedEntry::decode(payload)?)),
            FrameKind::Verdict => Self::Verdict(VerdictFrame::decode(payload)?),
            FrameKind::Receipt => Self::Receipt(Box::new(SignedReceipt::decode(payload)?)),
            FrameKind::Meta => Self::Meta(MetaFrame::decode(payload)?),
            FrameKind::Blob | FrameKind::Unknown(_) => Self::Other,
        })
    }
}

/// What one device or hub holds.
#[derive(Debug)]
pub struct Replica {
    pub(crate) org: OrgId,
    pub(crate) identity: Identity,
    pub(crate) device: DeviceId,
    pub(crate) log: PackLog,
    pub(crate) index: Overlay,
    pub(crate) control: ControlLog,
    pub(crate) books: BTreeMap<LogbookName, Book>,
    /// Frames since the last sync, in order; without a payload when they are absorbed already.
    appended: VecDeque<(FramePointer, Option<Payload>)>,
    pub(crate) cache: EntryCache,
    /// Packs that no hub takes, and those that follow them: in no vector of ours (A6).
    pub(crate) refused: BTreeSet<PackHash>,
    /// Own changes that no hub takes: back with their author.
    pub(crate) given_up: BTreeSet<qianmo_protocol::ids::ChangeHash>,
    pub(crate) notices: Vec<Notice>,
    /// Documents whose shown state changed since the last [`Replica::take_touched`].
    pub(crate) touched: BTreeSet<qianmo_protocol::ids::DocId>,
    /// Packs that became visible since the last [`Replica::take_visible`], in commit order.
    pub(crate) visible: Vec<(LogbookName, PackHash)>,
    /// Whether control entries came since the last [`Replica::take_visible`].
    pub(crate) control_news: bool,
    /// Packs that are not judged.
    pub(crate) queue: parked::Queue,
    /// Documents with changes that wait for one they depend on.
    pub(crate) waits: judge::Waits,
    /// Receipts that were shown since the last [`Replica::sync`].
    pub(crate) shown: receipts::Shown,
    /// Devices that may only upload while their program is older than the control log's minimum version (A4).
    pub(crate) upload_only: BTreeSet<DeviceId>,
    /// A beacon of an epoch whose beginning is not here yet.
    pub(crate) early_beacon: Option<SignedBeacon>,
    /// Set when an index read failed while answering a call that cannot fail; the next `sync` reports it.
    pub(crate) failed: std::sync::OnceLock<String>,
}

impl Replica {
    /// Opens or creates the store on `disk`, with `index` beside it. `rng` is asked for a new store's salt only.
    ///
    /// The index is caught up from the log; if it does not fit the log, or cannot be read, it is built anew.
    ///
    /// # Errors
    /// [`OpenError`] when the log itself cannot be opened or read.
    pub fn open(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        identity: Identity,
        rng: &mut dyn RngCore,
    ) -> Result<(Self, OpenReport), OpenError> {
        let mut salt = [0; 16];
        rng.fill_bytes(&mut salt);
        let (log, report) = PackLog::open(disk, PackLogConfig::new(salt))?;
        open::open(log, report, Overlay::new(index), identity)
    }

    /// The organisation.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// This replica's device.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// What it is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.identity.role
    }

    /// A restored hub begins its new epoch.
    pub const fn set_role(&mut self, role: Role) {
        self.identity.role = role;
    }

    /// The control log.
    #[must_use]
    pub const fn control(&self) -> &ControlLog {
        &self.control
    }

    /// Makes everything appended since the last call durable with one fdatasync, then visible.
    ///
    /// Answers the number of the last durable frame.
    ///
    /// # Errors
    /// [`ReplicaError`]: after [`ReplicaError::Sync`] nothing more is written until the store is opened again; what was
    /// appended is neither acknowledged nor visible.
    pub fn sync(&mut self) -> Result<CommitNumber, ReplicaError> {
        if let Some(failure) = self.failed.get() {
            return Err(RowError::Earlier { said: failure.clone() }.into());
        }
        if self.appended.is_empty() {
            self.shown.forget();
            return Ok(self.log.durable_commit());
        }
        let durable = self.log.sync()?;
        while let Some((pointer, payload)) = self.appended.pop_front() {
            if let Some(payload) = payload {
                self.absorb(&pointer, payload)?;
            }
            if self.appended.is_empty() || self.index.pending_rows() > BATCH_ROWS {
                self.index.commit(&pointer)?;
            }
        }
        self.shown.forget();
        Ok(durable)
    }

    /// Whether frames wait for [`Replica::sync`].
    #[must_use]
    pub fn has_unsynced(&self) -> bool {
        !self.appended.is_empty()
    }

    /// The number of the last durable frame.
    #[must_use]
    pub fn durable_commit(&self) -> CommitNumber {
        self.log.durable_commit()
    }

    /// Counts of the pack log.
    #[must_use]
    pub fn log_stats(&self) -> PackLogStats {
        self.log.stats()
    }

    /// The pack log, for copying it.
    #[must_use]
    pub const fn pack_log(&self) -> &PackLog {
        &self.log
    }

    /// Stores a fact about this replica, replacing the one under the same key. Not durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError::Append`].
    pub fn put_meta(&mut self, key: &[u8], value: &[u8]) -> Result<(), ReplicaError> {
        let frame = MetaFrame { key: key.to_vec(), value: value.to_vec() };
        self.append(FrameKind::Meta, &frame.encode(), Payload::Meta(frame)).map(|_| ())
    }

    /// A fact stored with [`Replica::put_meta`].
    ///
    /// # Errors
    /// [`ReplicaError::Row`] when the index fails.
    pub fn meta(&self, key: &[u8]) -> Result<Option<Vec<u8>>, ReplicaError> {
        let Some(value) = self.index.get_raw(&rows::meta(key))? else { return Ok(None) };
        if value.first() == Some(&0) {
            return Ok(value.get(1..).map(<[u8]>::to_vec));
        }
        let pointer: rows::PointerRow = crate::overlay::decode(b"m", value.get(1..).unwrap_or_default())?;
        let frame = self.log.read(&pointer.0)?;
        let frame = MetaFrame::decode(&frame.payload).map_err(|error| self.frame_error(pointer.0.commit, error))?;
        Ok(Some(frame.value))
    }

    /// What happened that a person should hear of, since the last call.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        core::mem::take(&mut self.notices)
    }

    /// Documents whose state changed since the last call.
    pub fn take_touched(&mut self) -> BTreeSet<qianmo_protocol::ids::DocId> {
        core::mem::take(&mut self.touched)
    }

    /// Packs that became visible since the last call, and whether control entries came.
    pub fn take_visible(&mut self) -> (Vec<(LogbookName, PackHash)>, bool) {
        (core::mem::take(&mut self.visible), core::mem::take(&mut self.control_news))
    }

    /// Takes control entries that a peer sent, or that were signed here. Not durable before [`Replica::sync`].
    ///
    /// An entry that does not verify, or does not fit the organisation, is left out; the others are taken.
    ///
    /// # Errors
    /// [`ReplicaError::Append`].
    pub fn adopt(&mut self, entries: Vec<SignedEntry>) -> Result<(), ReplicaError> {
        for entry in entries {
            // What does not verify, or waits for its signer or parents, leaves no byte: a peer could send it for ever.
            let Ok(Inserted::New { admitted }) = self.control.insert(entry) else { continue };
            for hash in admitted {
                let Some(entry) = self.control.entry(&hash).cloned() else { continue };
                let bytes = entry.encode();
                self.append(FrameKind::Control, &bytes, Payload::Control(Box::new(entry)))?;
            }
        }
        match self.early_beacon.take() {
            Some(beacon) => self.take_beacon(&beacon),
            None => Ok(()),
        }
    }

    /// Drafts that are kept, with their contents.
    ///
    /// # Errors
    /// [`ReplicaError`] when the index or the log cannot be read.
    pub fn drafts(&self) -> Result<Vec<(DraftId, Vec<u8>)>, ReplicaError> {
        let mut drafts = Vec::new();
        for (key, value) in self.index.scan_all(rows::DRAFTS)? {
            let Some(id) = rows::tail::<8>(&key) else { continue };
            let pointer: rows::PointerRow = crate::overlay::decode(&key, &value)?;
            let frame = self.log.read(&pointer.0)?;
            let frame =
                DraftFrame::decode(&frame.payload).map_err(|error| self.frame_error(pointer.0.commit, error))?;
            drafts.extend(frame.content.map(|content| (DraftId(id), content)));
        }
        Ok(drafts)
    }

    /// Saves or discards a draft. Not durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError::Append`].
    pub fn put_draft(&mut self, id: DraftId, content: Option<Vec<u8>>) -> Result<(), ReplicaError> {
        let frame = DraftFrame { id, content };
        self.append(FrameKind::Draft, &frame.encode(), Payload::Draft(frame)).map(|_| ())
    }

    /// Writes the index's own cache to disk, for a quick next open. Nothing depends on it.
    ///
    /// # Errors
    /// [`ReplicaError::Row`].
    pub fn close(mut self) -> Result<(), ReplicaError> {
        self.sync()?;
        self.index.flush()?;
        Ok(())
    }

    pub(crate) fn append(
        &mut self,
        kind: FrameKind,
        bytes: &[u8],
        payload: Payload,
    ) -> Result<FramePointer, ReplicaError> {
        let pointer = self.log.append(kind, bytes)?;
        self.appended.push_back((pointer, Some(payload)));
        Ok(pointer)
    }

    /// Appends a frame and absorbs it at once, when nothing else waits: the gate's next judgement builds on this one.
    /// The caller syncs before it tells anyone.
    pub(crate) fn append_absorbed(
        &mut self,
        kind: FrameKind,
        bytes: &[u8],
        payload: Payload,
    ) -> Result<(), ReplicaError> {
        let pointer = self.log.append(kind, bytes)?;
        self.absorb(&pointer, payload)?;
        self.appended.push_back((pointer, None));
        Ok(())
    }

    pub(crate) fn frame_error(&self, commit: CommitNumber, source: DecodeError) -> ReplicaError {
        ReplicaError::Frame { commit: commit.0, source: source.into() }
    }

    /// The book of a logbook, made if there is none.
    pub(crate) fn book(&mut self, name: &LogbookName) -> &mut Book {
        self.books.entry(name.clone()).or_insert_with(Book::new)
    }
}
