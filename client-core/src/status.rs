//! Where things stand: the network, the outbox, the device.

use std::collections::BTreeMap;
use std::time::Duration;

use qianmo_forms::Label;

use crate::codes::{HaltReason, RefusalCode};

/// What the app knows of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Connectivity {
    /// The app has not said.
    Unknown,
    /// There is none.
    Offline,
    /// Every byte costs: sync rarely.
    Metered,
    /// Stay connected and receive what is new at once.
    Unmetered,
}

/// What the driver does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncPhase {
    /// Nothing; the next try is in [`SyncStatus::next_try_ms`], if any.
    Idle,
    /// A session is being opened or run.
    Running,
    /// Connected, everything exchanged, waiting for news.
    Watching,
}

/// Why the last try failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncFailure {
    /// When, by the device's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// What went wrong, for a log.
    pub detail: String,
    /// What to tell the person.
    pub message: Label,
}

/// Why the app must be updated (A4). What is written here is sent all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UpdateNeed {
    /// The organisation wants programs of a newer version: the hub takes from this one, and gives it nothing.
    MinimumVersion {
        /// The newest version of the protocol that this program speaks.
        have: u16,
        /// The oldest that the hub gives records to.
        need: u16,
    },
    /// The hub decided something that this version cannot read.
    UnknownDecision,
}

impl UpdateNeed {
    /// What to tell the person.
    #[must_use]
    pub fn message(self) -> Label {
        match self {
            Self::MinimumVersion { have, need } => Label::new(
                format!("应用太旧(协议{have},单位要求{need}):写的照常上传,但不再接收;请升级应用"),
                format!(
                    "this app is too old (protocol {have}, the organisation requires {need}): what you write is sent, nothing is received; update the app"
                ),
            ),
            Self::UnknownDecision => Label::new(
                "管理端有新的规定,这个版本读不懂,记录暂不显示:请升级应用;写和上传照常",
                "the hub decided something this version cannot read, so records are not shown: update the app; writing and uploading go on",
            ),
        }
    }
}

/// A copy of this store wrote in its name (R2–R5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopiedNotice {
    /// When it was noticed, by the device's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// When it was noticed again the last time.
    pub last_ms: i64,
    /// When the other copy wrote what showed it the last time, by that one's clock.
    pub theirs_ms: i64,
    /// The logbook in which it showed first.
    pub logbook: String,
}

impl CopiedNotice {
    /// What to tell the person.
    #[must_use]
    pub fn message(&self) -> Label {
        Label::new(
            "这台设备的数据被复制过(克隆,或用旧镜像恢复):有另一份以它的名义写过。两边已存的都合并,没有丢;没交的草稿和另一份上还没上传的,只在写它的那一份里",
            "this device's data was copied (cloned, or an old image restored): another copy wrote in its name. What was saved on both is merged, nothing is lost; drafts, and what the other copy has not sent yet, are only where they were written",
        )
    }
}

/// What was erased from this device, the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasedNotice {
    /// When, by the device's clock, in milliseconds since 1970.
    pub at_ms: i64,
    /// Records that were here.
    pub records: usize,
    /// Drafts about them that went along.
    pub drafts: usize,
    /// Of the records, those with something that had not been sent.
    pub unsent: usize,
}

impl ErasedNotice {
    /// What to tell the person.
    #[must_use]
    pub fn message(&self) -> Label {
        let Self { records, drafts, unsent, .. } = self;
        Label::new(
            format!(
                "单位应要求永久删除了{records}条记录，这台设备上的也已删除，连同草稿{drafts}份、还没上传的改动{unsent}条"
            ),
            format!(
                "the organisation erased {records} records for good; they are gone from this device, with {drafts} drafts and unsent edits of {unsent}"
            ),
        )
    }
}

/// A cheap snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncStatus {
    /// Whether the device belongs to an organisation.
    pub enrolled: bool,
    /// What the app said of the network.
    pub connectivity: Connectivity,
    /// What is being done.
    pub phase: SyncPhase,
    /// Records with something that no hub has acknowledged (待上传).
    pub waiting: usize,
    /// Records with something that is held (被隔离).
    pub held: usize,
    /// Drafts on this device.
    pub drafts: usize,
    /// When the last session ended well, by the device's clock, in milliseconds since 1970.
    pub last_success_ms: Option<i64>,
    /// Why the last try failed, unless one went well after it.
    pub last_failure: Option<SyncFailure>,
    /// Why automatic tries have stopped.
    pub halted: Option<HaltReason>,
    /// When the next automatic try begins, by the device's clock, in milliseconds since 1970.
    pub next_try_ms: Option<i64>,
    /// Why the app must be updated. Uploading goes on.
    pub update: Option<UpdateNeed>,
    /// Another copy of this store was seen.
    pub copied: Option<CopiedNotice>,
    /// What was erased from this device, the last time.
    pub erased: Option<ErasedNotice>,
}

impl SyncStatus {
    pub(crate) const fn new() -> Self {
        Self {
            enrolled: false,
            connectivity: Connectivity::Unknown,
            phase: SyncPhase::Idle,
            waiting: 0,
            held: 0,
            drafts: 0,
            last_success_ms: None,
            last_failure: None,
            halted: None,
            next_try_ms: None,
            update: None,
            copied: None,
            erased: None,
        }
    }
}

/// A pack that the hub did not take. It is kept here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPack {
    /// The first bytes of its hash, in digits.
    pub pack: String,
    /// Why.
    pub code: RefusalCode,
}

/// What one sync did, over all its sessions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SyncReport {
    /// Whether nothing was left either way. If not, the time was up, or the hub gave no receipt for something.
    pub complete: bool,
    /// Sessions that were opened.
    pub sessions: usize,
    /// Round trips of the protocol, after the connection was there.
    pub round_trips: usize,
    /// Packs sent.
    pub packs_up: usize,
    /// Packs received.
    pub packs_down: usize,
    /// Records with something in what was sent.
    pub records_up: usize,
    /// Records with something in what was received.
    pub records_down: usize,
    /// Packs for which the hub gave its signed receipt.
    pub acknowledged: usize,
    /// Packs that still have none.
    pub waiting: usize,
    /// Fields that are in conflict now and were not before.
    pub conflicts_new: usize,
    /// Packs the hub did not take.
    pub refused: Vec<RefusedPack>,
    /// Records of which the hub holds something since.
    pub held: usize,
    /// Bytes of messages sent.
    pub stream_up: u64,
    /// Bytes of messages received.
    pub stream_down: u64,
    /// Bytes of datagrams sent, handshakes included.
    pub udp_up: u64,
    /// Bytes of datagrams received, handshakes included.
    pub udp_down: u64,
    /// How long it took, connecting included.
    pub duration: Duration,
}

impl SyncReport {
    pub(crate) fn add(&mut self, other: &Self) {
        self.complete = other.complete;
        self.sessions += other.sessions;
        self.round_trips += other.round_trips;
        self.packs_up += other.packs_up;
        self.packs_down += other.packs_down;
        self.records_up += other.records_up;
        self.records_down += other.records_down;
        self.acknowledged += other.acknowledged;
        self.waiting = other.waiting;
        self.conflicts_new += other.conflicts_new;
        self.refused.extend(other.refused.iter().cloned());
        self.held += other.held;
        self.stream_up += other.stream_up;
        self.stream_down += other.stream_down;
        self.udp_up += other.udp_up;
        self.udp_down += other.udp_down;
        self.duration += other.duration;
    }
}

/// Who and what this device is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whoami {
    /// The device's id.
    pub device: String,
    /// The organisation's id.
    pub org: String,
    /// What the organisation calls itself.
    pub org_name: String,
    /// The device's station.
    pub station: String,
    /// The stations its persons may write for, its own first.
    pub stations: Vec<String>,
    /// Who works on it.
    pub persons: Vec<PersonRole>,
    /// Who writes now.
    pub person: Option<String>,
    /// What people call the device.
    pub label: String,
}

/// A person of this device, with what they may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRole {
    /// The person's code.
    pub person: String,
    /// Their roles, as words: `technician`, `expert`, `coordinator`, `viewer`, `admin`.
    pub roles: Vec<String>,
}

/// Ids, counts and versions for a support case. No contents, no keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Diagnostics {
    /// The version of this core.
    pub core_version: String,
    /// Oldest and newest version of the protocol.
    pub protocol_versions: (u16, u16),
    /// The device's id.
    pub device: Option<String>,
    /// The organisation's id.
    pub org: Option<String>,
    /// The hub's id and epoch that were seen last.
    pub hub: Option<(String, String)>,
    /// Records here.
    pub records: usize,
    /// Saves that are not in a pack yet.
    pub unsealed: usize,
    /// Packs without a receipt.
    pub unreceipted: usize,
    /// Entries of the control log.
    pub control_entries: usize,
    /// Segments of the pack log.
    pub segments: usize,
    /// Bytes of the pack log.
    pub log_bytes: u64,
    /// Its last commit number.
    pub last_commit: u64,
    /// Free bytes on the disk, where known.
    pub free_bytes: Option<u64>,
    /// Whether the store takes no more writes.
    pub read_only: bool,
    /// What opening had to repair or leave out.
    pub repairs: Vec<Repair>,
    /// The state digest of each logbook: two devices that hold the same state the same digest.
    pub state_digests: BTreeMap<String, String>,
    /// Drafts that this version cannot read.
    pub unreadable_drafts: usize,
}

/// What opening the store had to repair or leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repair {
    /// What it means to a person.
    pub kind: RepairKind,
    /// For support and logs, in English.
    pub detail: String,
}

/// What a repair means to a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RepairKind {
    /// The index was made again from the log: nothing is lost.
    IndexRebuilt,
    /// The index cannot be kept on the disk and is made again at every start: nothing is lost.
    IndexInMemory,
    /// The unfinished end of the last write was cut; nobody was told that it was saved.
    UnfinishedWrite,
    /// A place of the log is damaged and was stepped over: what was saved there may be missing.
    Damaged,
    /// The store takes no writes.
    ReadOnly,
    /// An entry is kept that this version cannot read.
    Unreadable,
}

impl RepairKind {
    /// Its name in files and interfaces.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::IndexRebuilt => "index-rebuilt",
            Self::IndexInMemory => "index-in-memory",
            Self::UnfinishedWrite => "unfinished-write",
            Self::Damaged => "damaged",
            Self::ReadOnly => "read-only",
            Self::Unreadable => "unreadable",
        }
    }
}
