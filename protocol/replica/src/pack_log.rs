//! The pack log: the truth of a replica, an append-only sequence of checksummed frames in segment files.
//!
//! It numbers frames, makes them durable in groups, finds them again, and rewrites a segment when something must go. It
//! does not know what payloads mean, and keeps no index: whoever needs one absorbs the frames in order ([`PackLog::scan_from`]).
//!
//! # Flow
//!
//! ```text
//! append ──> group buffer ──sync──> one write, one fdatasync (and one of the folder for a new segment) ──> readable
//!    └ a full segment is synced first, then the next one begins
//! open: highest generation wins ─> read headers ─> scan last segment ─> cut a torn tail ─> write the last group again
//! ```
//!
//! # Invariants
//!
//! 1. A number is shown by [`PackLog::durable_commit`] only after fdatasync of its frame, and never given to another.
//!    Held by `prop_synced_frames_survive_every_crash`.
//! 2. A segment is complete and durable before the next one exists, so only the last can have a torn tail.
//! 3. After a failed write the log refuses writes until reopened: a second fdatasync proves nothing on Linux. At open the
//!    last group, the only bytes that can be in doubt, is written and synced again before it is believed.
//! 4. Bytes are cut only where no valid frame follows (A14). Held by `bit_flip_in_the_middle_keeps_later_frames`.
//! 5. A rewrite leaves the old generation or the new one. Held by `rewrite_interrupted_anywhere_leaves_old_or_new`.
//!
//! # Limits
//!
//! [`FRAME_PAYLOAD_BYTES_MAX`], [`CommitNumber::END`], [`PackLogConfig::segment_bytes_max`] (a single larger frame has a
//! segment of its own); the group buffer never holds more than one segment.
//!
//! # Failure
//!
//! [`OpenError`], [`AppendError`], [`SyncError`], [`ReadError`], [`ScanError`], [`RewriteError`]; damage that was survived
//! is in [`OpenReport`] and must reach an operator.
//!
//! # See
//!
//! `docs/storage.md` has the bytes.

mod check;
mod error;
mod frame;
mod header;
mod open;
mod pointer;
mod reader;
mod rewrite;
mod scan;

use std::collections::BTreeMap;

use qianmo_protocol::bugs::{Bug, injected};

use crate::disk::{Disk, DiskError};

pub use self::check::{SegmentCheck, check_segment};
pub use self::error::{AppendError, Damage, DamagePlace, OpenError, ReadError, RewriteError, ScanError, SyncError};
pub use self::frame::{FRAME_OVERHEAD_BYTES, FRAME_PAYLOAD_BYTES_MAX, Frame, FrameKind};
pub use self::header::{
    CIPHER_SUITE_PLAIN, FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHeader, parse_segment_file_name, segment_file_name,
};
pub use self::open::{OpenReport, TailCut, VerifyReport};
pub use self::pointer::{CommitNumber, FrameHash, FramePointer, PointerDecodeError};
pub use self::rewrite::{Keep, RewriteReport};
pub use self::scan::{Scan, ScanFrom};

use self::frame::{FrameHeader, FrameKey, GroupPlace, encode_frame, into_payload};
use self::reader::SegmentSource;

/// Bytes fetched by the first read of a frame; most frames need no second.
const FIRST_READ_BYTES: usize = 4096;
/// A group buffer larger than this is given back after its sync.
const GROUP_BUFFER_KEPT_BYTES: usize = 1 << 20;

/// How a log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLogConfig {
    /// A segment is not filled beyond this.
    pub segment_bytes_max: u64,
    /// What to verify when opening.
    pub verify_at_open: VerifyAtOpen,
    /// Sixteen random bytes for a log that does not exist yet. An existing log keeps its own.
    ///
    /// They key the frame hashes. Whoever knows them could hide a frame inside a payload and hope for damage before it.
    pub new_log_salt: [u8; 16],
}

impl PackLogConfig {
    /// Segments of 16 MiB, and only the last one verified at open.
    #[must_use]
    pub const fn new(new_log_salt: [u8; 16]) -> Self {
        Self { segment_bytes_max: 16 << 20, verify_at_open: VerifyAtOpen::LastSegment, new_log_salt }
    }
}

/// What to verify when opening.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyAtOpen {
    /// Only what a crash can have left unfinished; the rest is verified when it is read.
    LastSegment,
    /// Every frame.
    Everything,
}

/// A pack log, open. One writer; reading needs only `&self`.
#[derive(Debug)]
pub struct PackLog {
    disk: Box<dyn Disk>,
    config: PackLogConfig,
    salt: [u8; 16],
    /// All segments; the last one takes the appends.
    segments: BTreeMap<u32, Segment>,
    active: u32,
    group: Group,
    next_commit: CommitNumber,
    durable_commit: CommitNumber,
    condition: Condition,
}

/// A segment as the log knows it.
#[derive(Debug, Clone)]
struct Segment {
    generation: u32,
    first_commit: CommitNumber,
    key: FrameKey,
    /// Bytes that may be read; for the active segment also where the group will be written.
    end: u64,
    file: SegmentFile,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SegmentFile {
    Exists,
    /// The group buffer starts with its header; the next sync makes it.
    Planned,
}

/// Frames appended since the last sync.
#[derive(Debug, Default)]
struct Group {
    bytes: Vec<u8>,
    frames: u64,
}

#[derive(Debug, Clone)]
enum Condition {
    Writable,
    Poisoned { reason: String },
}

/// A segment for a copy made while the log is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentListing {
    /// Its id.
    pub segment: u32,
    /// Its generation; the file's name follows from both ([`segment_file_name`]).
    pub generation: u32,
    /// No frame in it has a smaller number.
    pub first_commit: CommitNumber,
    /// Bytes from its start that are durable and will not change in this generation.
    pub durable_bytes: u64,
}

/// Numbers for status pages and alarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLogStats {
    /// How many segments there are.
    pub segments: usize,
    /// Durable bytes of all segments.
    pub durable_bytes: u64,
    /// Appended bytes that are not durable.
    pub waiting_bytes: u64,
    /// The last durable number.
    pub durable_commit: CommitNumber,
    /// The number the next frame gets.
    pub next_commit: CommitNumber,
    /// Room on the disk, where known.
    pub free_bytes: Option<u64>,
    /// Whether writes are refused until the log is reopened.
    pub is_poisoned: bool,
}

impl PackLog {
    /// Opens a log, making it if the disk holds none, and repairs what a crash left.
    ///
    /// When the disk refuses the repairs (full, failing) the log opens poisoned: readable, not writable, and
    /// [`OpenReport::read_only`] says why.
    ///
    /// # Errors
    ///
    /// When nothing can be read safely; see [`OpenError`].
    pub fn open(disk: Box<dyn Disk>, config: PackLogConfig) -> Result<(Self, OpenReport), OpenError> {
        open::open(disk, config)
    }

    /// Opens the log again on the same disk: the way out of a poisoned log.
    ///
    /// # Errors
    ///
    /// As [`PackLog::open`].
    pub fn reopen(self) -> Result<(Self, OpenReport), OpenError> {
        open::open(self.disk, self.config)
    }

    /// Adds a frame to the group that the next [`PackLog::sync`] makes durable.
    ///
    /// Until then it cannot be read and its number is not shown. A full segment is synced on the way.
    ///
    /// # Errors
    ///
    /// When the payload or kind cannot be written, or the log is or becomes poisoned.
    pub fn append(&mut self, kind: FrameKind, payload: &[u8]) -> Result<FramePointer, AppendError> {
        self.append_parts(kind, &[payload])
    }

    /// As [`PackLog::append`] for a payload in several pieces, which need not be joined first.
    ///
    /// # Errors
    ///
    /// As [`PackLog::append`].
    pub fn append_parts(&mut self, kind: FrameKind, payload: &[&[u8]]) -> Result<FramePointer, AppendError> {
        if let Condition::Poisoned { reason } = &self.condition {
            return Err(AppendError::Poisoned { reason: reason.clone() });
        }
        if !kind.is_known() {
            return Err(AppendError::UnknownKind { kind });
        }
        let payload_bytes = payload.iter().fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        if payload_bytes > FRAME_PAYLOAD_BYTES_MAX {
            return Err(AppendError::PayloadTooLarge { have: payload_bytes });
        }
        let commit = self.next_commit;
        let after = commit.next().ok_or(AppendError::Exhausted)?;
        let place = if self.group.frames == 0 { GroupPlace::First } else { GroupPlace::Later };
        let mut header = FrameHeader { payload_bytes, kind, place, commit };
        if self.is_full_for(header.frame_bytes()) {
            self.roll()?;
            header.place = GroupPlace::First;
        }
        let id = self.active;
        let segment = self.segments.get(&id).ok_or(AppendError::Exhausted)?;
        let offset = segment.end.saturating_add(length(self.group.bytes.len()));
        let hash = encode_frame(&mut self.group.bytes, &segment.key, offset, &header, payload)
            .ok_or(AppendError::PayloadTooLarge { have: payload_bytes })?;
        self.group.frames += 1;
        self.next_commit = after;
        Ok(FramePointer { segment: id, generation: segment.generation, offset, commit, hash })
    }

    /// Makes everything appended so far durable: one write and one fdatasync, and one fsync of the folder when a segment
    /// was begun. Returns the number up to which all frames are now durable.
    ///
    /// # Errors
    ///
    /// When the disk fails, after which the log is poisoned.
    pub fn sync(&mut self) -> Result<CommitNumber, SyncError> {
        if let Condition::Poisoned { reason } = &self.condition {
            return Err(SyncError::Poisoned { reason: reason.clone() });
        }
        if self.group.frames > 0 {
            self.write_group().map_err(SyncError::Disk)?;
        }
        Ok(self.durable_commit)
    }

    /// Reads one durable frame.
    ///
    /// # Errors
    ///
    /// When exactly this frame is not there; see [`ReadError`].
    pub fn read(&self, pointer: &FramePointer) -> Result<Frame, ReadError> {
        let not_in_log =
            ReadError::NotInLog { commit: pointer.commit, segment: pointer.segment, offset: pointer.offset };
        let segment = self.readable(pointer.segment, pointer.generation).ok_or_else(|| self.absence(pointer))?;
        let room = segment.end.saturating_sub(pointer.offset);
        if room < length(FRAME_OVERHEAD_BYTES) {
            let is_waiting = pointer.segment == self.active && pointer.commit > self.durable_commit;
            return Err(if is_waiting { ReadError::NotDurable { commit: pointer.commit } } else { not_in_log });
        }
        let name = segment_file_name(pointer.segment, segment.generation);
        let first = FIRST_READ_BYTES.min(usize::try_from(room).unwrap_or(usize::MAX));
        let mut bytes = vec![0; first];
        let count = self.disk.read_at(&name, pointer.offset, &mut bytes)?;
        bytes.truncate(count);
        let damaged = ReadError::Damaged { commit: pointer.commit, segment: pointer.segment, offset: pointer.offset };
        let Some(header) = FrameHeader::parse(&bytes) else { return Err(damaged) };
        let frame_bytes = header.frame_bytes();
        if length(frame_bytes) > room {
            return Err(damaged);
        }
        if frame_bytes > bytes.len() {
            let have = bytes.len();
            bytes.resize(frame_bytes, 0);
            let rest = bytes.get_mut(have..).unwrap_or_default();
            self.disk.read_at(&name, pointer.offset.saturating_add(length(have)), rest)?;
        }
        bytes.truncate(frame_bytes);
        match segment.key.verify(pointer.offset, &bytes) {
            None => Err(damaged),
            Some(hash) if hash != pointer.hash || header.commit != pointer.commit => Err(not_in_log),
            Some(_) => Ok(Frame { kind: header.kind, commit: header.commit, payload: into_payload(bytes) }),
        }
    }

    /// The last number known to be durable; all smaller ones that still exist are too.
    #[must_use]
    pub const fn durable_commit(&self) -> CommitNumber {
        self.durable_commit
    }

    /// The number the next frame gets.
    #[must_use]
    pub const fn next_commit(&self) -> CommitNumber {
        self.next_commit
    }

    /// Whether writes are refused until the log is reopened.
    #[must_use]
    pub const fn is_poisoned(&self) -> bool {
        match self.condition {
            Condition::Writable => false,
            Condition::Poisoned { .. } => true,
        }
    }

    /// Numbers for status pages and alarms.
    #[must_use]
    pub fn stats(&self) -> PackLogStats {
        PackLogStats {
            segments: self.segments.len(),
            durable_bytes: self.segments.values().fold(0, |sum, segment| segment.end.saturating_add(sum)),
            waiting_bytes: length(self.group.bytes.len()),
            durable_commit: self.durable_commit,
            next_commit: self.next_commit,
            free_bytes: self.disk.free_bytes(),
            is_poisoned: self.is_poisoned(),
        }
    }

    /// All segments with a durable part, oldest first. The copy of a log is these bytes under these names.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentListing> {
        self.segments
            .iter()
            .filter(|(_, segment)| segment.file == SegmentFile::Exists)
            .map(|(id, segment)| SegmentListing {
                segment: *id,
                generation: segment.generation,
                first_commit: segment.first_commit,
                durable_bytes: segment.end,
            })
            .collect()
    }

    /// Durable bytes of a segment, as they lie in the file; returns how many came.
    ///
    /// # Errors
    ///
    /// [`ReadError::Moved`] when the segment was rewritten or dropped since it was listed: list again.
    pub fn read_segment_bytes(
        &self,
        segment: u32,
        generation: u32,
        offset: u64,
        buffer: &mut [u8],
    ) -> Result<usize, ReadError> {
        let found = self.readable(segment, generation).ok_or(ReadError::Moved { segment, generation })?;
        let room = usize::try_from(found.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let count = room.min(buffer.len());
        let buffer = buffer.get_mut(..count).unwrap_or_default();
        Ok(self.disk.read_at(&segment_file_name(segment, generation), offset, buffer)?)
    }

    fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    fn readable(&self, segment: u32, generation: u32) -> Option<&Segment> {
        self.segments.get(&segment).filter(|found| found.generation == generation)
    }

    /// Why a pointer's segment and generation are not here.
    fn absence(&self, pointer: &FramePointer) -> ReadError {
        let &FramePointer { segment, generation, offset, commit, .. } = pointer;
        // An older generation, or a segment below the active one that a rewrite left empty.
        let was_here = match self.segments.get(&segment) {
            Some(found) => generation < found.generation,
            None => segment < self.active,
        };
        if was_here {
            ReadError::Moved { segment, generation }
        } else {
            ReadError::NotInLog { commit, segment, offset }
        }
    }

    fn is_full_for(&self, frame_bytes: usize) -> bool {
        let Some(active) = self.segments.get(&self.active) else { return false };
        let filled = active.end.saturating_add(length(self.group.bytes.len()));
        let is_empty = filled <= length(SEGMENT_HEADER_BYTES);
        !is_empty && filled.saturating_add(length(frame_bytes)) > self.config.segment_bytes_max
    }

    /// Finishes the active segment and plans the next.
    fn roll(&mut self) -> Result<(), AppendError> {
        if self.group.frames > 0 {
            self.write_group().map_err(AppendError::Disk)?;
        }
        self.plan_segment().ok_or(AppendError::Exhausted)
    }

    /// Plans the next segment; `None` when there are no ids left. The active one must be complete and durable.
    fn plan_segment(&mut self) -> Option<()> {
        let id = self.active.checked_add(1)?;
        let header = SegmentHeader { segment: id, generation: 0, first_commit: self.next_commit, salt: self.salt };
        let segment = Segment {
            generation: 0,
            first_commit: self.next_commit,
            key: FrameKey::new(&self.salt, id, 0),
            end: 0,
            file: SegmentFile::Planned,
        };
        self.group = Group { bytes: header.encode(), frames: 0 };
        self.segments.insert(id, segment);
        self.active = id;
        Some(())
    }

    /// Writes and syncs the group buffer. A failure poisons the log.
    fn write_group(&mut self) -> Result<(), DiskError> {
        let Some(active) = self.segments.get_mut(&self.active) else { return Ok(()) };
        match put_group(&mut *self.disk, self.active, active, &self.group.bytes) {
            Ok(()) => {
                self.durable_commit = self.next_commit.previous();
                self.group.frames = 0;
                self.group.bytes.clear();
                self.group.bytes.shrink_to(GROUP_BUFFER_KEPT_BYTES);
                Ok(())
            }
            Err(error) => {
                self.poison(&error);
                Err(error)
            }
        }
    }

    fn poison(&mut self, error: &DiskError) {
        self.condition = Condition::Poisoned { reason: poison_reason(error) };
        // What was not durable is gone for this log; reopening finds out what the disk has of it.
        self.group = Group::default();
    }
}

impl Segment {
    fn source(&self, id: u32) -> SegmentSource {
        SegmentSource { name: segment_file_name(id, self.generation), key: self.key.clone(), end: self.end }
    }
}

fn put_group(disk: &mut dyn Disk, id: u32, segment: &mut Segment, bytes: &[u8]) -> Result<(), DiskError> {
    let name = segment_file_name(id, segment.generation);
    if segment.file == SegmentFile::Planned {
        disk.create(&name)?;
    }
    disk.write_at(&name, segment.end, bytes)?;
    if !injected(Bug::AcksBeforeFsync) {
        let synced = disk.sync_file(&name);
        if injected(Bug::FsyncErrorForgotten) { synced.or_else(|_| disk.sync_file(&name)) } else { synced }?;
    }
    if segment.file == SegmentFile::Planned {
        disk.sync_dir()?;
        segment.file = SegmentFile::Exists;
    }
    segment.end = segment.end.saturating_add(length(bytes.len()));
    Ok(())
}

fn poison_reason(error: &DiskError) -> String {
    format!("{error}: {}", error.source)
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
