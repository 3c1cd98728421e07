//! What can go wrong, one enum per operation.

use super::super::disk::DiskError;
use super::frame::{FRAME_PAYLOAD_BYTES_MAX, FrameKind};
use super::header::FORMAT_VERSION;
use super::pointer::CommitNumber;

/// Why a log could not be opened. Nothing is changed for the worse: a later version or an operator can still help.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The disk failed.
    #[error("the pack log cannot be opened")]
    Disk(#[from] DiskError),
    /// A newer program wrote it.
    #[error("{name} has format version {found}, this program reads up to {FORMAT_VERSION}; use the newer program")]
    UnsupportedVersion {
        /// The segment file.
        name: String,
        /// Its version.
        found: u16,
    },
    /// A program with encryption wrote it.
    #[error("{name} uses cipher suite {suite}, this program knows only 0 (plain); use the newer program")]
    UnknownCipherSuite {
        /// The segment file.
        name: String,
        /// Its suite.
        suite: u8,
    },
    /// No segment has a readable header, so no frame can be verified.
    #[error("no segment header is readable, starting with {name}; restore the folder from a backup")]
    HeadersUnreadable {
        /// The first such file.
        name: String,
    },
    /// A file of another log, or under another name than its own.
    #[error("{name} does not belong to this log; move it out of the folder")]
    ForeignSegment {
        /// The segment file.
        name: String,
    },
    /// All segment or commit numbers are used up.
    #[error("the log has no numbers left; export it into a new one")]
    Exhausted,
}

/// Why a frame was not appended.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// An earlier write failed.
    #[error("the log takes no writes since a failure ({reason}); reopen it")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// The payload is over the limit.
    #[error("the payload has {have} bytes, a frame holds at most {FRAME_PAYLOAD_BYTES_MAX}")]
    PayloadTooLarge {
        /// Its length.
        have: usize,
    },
    /// This version does not write that kind.
    #[error("frame kind {} is not known to this version", kind.byte())]
    UnknownKind {
        /// The kind.
        kind: FrameKind,
    },
    /// A segment was full and could not be finished. The log is now poisoned.
    #[error("a full segment could not be made durable")]
    Disk(#[source] DiskError),
    /// All segment or commit numbers are used up.
    #[error("the log has no numbers left; export it into a new one")]
    Exhausted,
}

/// Why appended frames were not made durable.
#[derive(Debug, thiserror::Error)]
pub enum SyncError {
    /// An earlier write failed.
    #[error("the log takes no writes since a failure ({reason}); reopen it")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// The disk failed. The log is now poisoned; frames since the last sync may or may not be there after reopening.
    #[error("appended frames could not be made durable")]
    Disk(#[source] DiskError),
}

/// Why a frame could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The disk failed.
    #[error("the pack log cannot be read")]
    Disk(#[from] DiskError),
    /// The segment was rewritten since the pointer was made: look the frame up by its number.
    #[error("segment {segment} was rewritten since generation {generation}; index it again")]
    Moved {
        /// The segment.
        segment: u32,
        /// The pointer's generation.
        generation: u32,
    },
    /// The frame was appended and not yet synced.
    #[error("frame {commit} is not durable yet")]
    NotDurable {
        /// The frame.
        commit: CommitNumber,
    },
    /// There is a sound frame or none at that place, but not this one: the pointer is of another history.
    #[error("frame {commit} is not in this log at segment {segment} offset {offset}; index the log again")]
    NotInLog {
        /// The frame's number.
        commit: CommitNumber,
        /// The pointer's segment.
        segment: u32,
        /// The pointer's offset.
        offset: u64,
    },
    /// The bytes at that place are damaged.
    #[error("frame {commit} at segment {segment} offset {offset} is damaged")]
    Damaged {
        /// The frame's number.
        commit: CommitNumber,
        /// The segment.
        segment: u32,
        /// The offset.
        offset: u64,
    },
}

/// Why a scan has no frame to give here.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// The disk failed; the scan ends.
    #[error("the pack log cannot be scanned")]
    Disk(#[from] DiskError),
    /// Damaged bytes were stepped over; the scan goes on.
    #[error("{0}")]
    Damaged(Damage),
}

/// Why a segment was not rewritten.
#[derive(Debug, thiserror::Error)]
pub enum RewriteError {
    /// An earlier write failed.
    #[error("the log takes no writes since a failure ({reason}); reopen it")]
    Poisoned {
        /// The failure.
        reason: String,
    },
    /// There is no such segment.
    #[error("there is no segment {segment}")]
    NoSegment {
        /// The asked id.
        segment: u32,
    },
    /// A replacement is over the limit. Nothing was changed.
    #[error("the new payload of frame {commit} has {have} bytes, a frame holds at most {FRAME_PAYLOAD_BYTES_MAX}")]
    PayloadTooLarge {
        /// The frame.
        commit: CommitNumber,
        /// The replacement's length.
        have: usize,
    },
    /// The disk failed before the new generation counted: nothing was changed.
    #[error("segment {segment} could not be rewritten and stays as it is")]
    Unchanged {
        /// The segment.
        segment: u32,
        /// What failed.
        #[source]
        source: DiskError,
    },
    /// The disk failed when it was undecided which generation counts. The log is now poisoned; reopening decides.
    #[error("the rewrite of segment {segment} was interrupted; reopen the log")]
    Interrupted {
        /// The segment.
        segment: u32,
        /// What failed.
        #[source]
        source: DiskError,
    },
    /// All segment or commit numbers are used up.
    #[error("the log has no numbers left; export it into a new one")]
    Exhausted,
}

/// Bytes of a segment that are no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub segment: u32,
    /// Its generation.
    pub generation: u32,
    /// Where the damage starts.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// Whether it can have lost anything that was durable.
    pub place: DamagePlace,
    /// The file that holds a copy of the damaged bytes.
    pub aside: Option<String>,
}

/// Whether damage can have lost anything that was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DamagePlace {
    /// In what was once durable: an operator must be told.
    Settled,
    /// In the last group of the log. Most likely a write that a power cut interrupted and nobody was promised.
    LastGroup,
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { segment, generation, offset, bytes, .. } = self;
        write!(f, "segment {segment} generation {generation} has {bytes} damaged bytes at offset {offset}")?;
        match self.place {
            DamagePlace::Settled => Ok(()),
            DamagePlace::LastGroup => f.write_str(", in its last group"),
        }
    }
}
