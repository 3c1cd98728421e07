//! A frame's bytes.
//!
//! # Layout
//!
//! ```text
//!  0  u32 LE   payload length, at most FRAME_PAYLOAD_BYTES_MAX
//!  4  u8       kind, never 0
//!  5  u8       flags: bit 0 = first frame of a group; all other bits 0
//!  6  u64 LE   commit number, below 2^48
//! 14  payload
//!  …  16 bytes hash of everything before it, and of the frame's offset in its file
//! ```
//! The hash is keyed by a random number of the log and by segment and generation. So bytes of another place (a block of
//! an erased generation, one that a disk wrote where another belongs, a frame that an attacker hid inside a payload) never
//! pass for a frame of this one. A later frame that did would hide all between, whose numbers are smaller.

use super::pointer::{CommitNumber, FrameHash};

/// Most bytes of a frame's payload; checked before anything is allocated.
pub const FRAME_PAYLOAD_BYTES_MAX: usize = 1 << 20;
/// Bytes before the payload.
pub(crate) const FRAME_HEADER_BYTES: usize = 14;
/// Bytes of the hash after the payload.
const FRAME_HASH_BYTES: usize = 16;
/// Bytes of a frame with no payload.
pub const FRAME_OVERHEAD_BYTES: usize = FRAME_HEADER_BYTES + FRAME_HASH_BYTES;

const HASH_CONTEXT: &str = "qianmo frame v1";
const FLAG_GROUP_START: u8 = 1;

/// What a frame's payload is. The payloads are the replica's business; see `docs/storage.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameKind {
    /// A person's unfinished input.
    Draft,
    /// A saved change that is not yet in a pack.
    Local,
    /// A pack, ours or another device's.
    Pack,
    /// An entry of the control log.
    Control,
    /// A judgement of the gate.
    Verdict,
    /// A hub's signed receipt.
    Receipt,
    /// Facts about this store: incarnation, epoch, selection.
    Meta,
    /// What is known about a blob.
    Blob,
    /// A kind of a later version: kept, skipped, never written.
    Unknown(u8),
}

impl FrameKind {
    /// The byte on disk.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Draft => 1,
            Self::Local => 2,
            Self::Pack => 3,
            Self::Control => 4,
            Self::Verdict => 5,
            Self::Receipt => 6,
            Self::Meta => 7,
            Self::Blob => 8,
            Self::Unknown(byte) => byte,
        }
    }

    /// The kind of a byte; 0 is none.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => return None,
            1 => Self::Draft,
            2 => Self::Local,
            3 => Self::Pack,
            4 => Self::Control,
            5 => Self::Verdict,
            6 => Self::Receipt,
            7 => Self::Meta,
            8 => Self::Blob,
            other => Self::Unknown(other),
        })
    }

    /// Whether this version knows the kind, and so may write it.
    #[must_use]
    pub const fn is_known(self) -> bool {
        match self {
            Self::Unknown(_) => false,
            Self::Draft
            | Self::Local
            | Self::Pack
            | Self::Control
            | Self::Verdict
            | Self::Receipt
            | Self::Meta
            | Self::Blob => true,
        }
    }
}

/// A frame that was read and whose hash was right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What the payload is.
    pub kind: FrameKind,
    /// Its number.
    pub commit: CommitNumber,
    /// Its content.
    pub payload: Vec<u8>,
}

/// Whether a frame opens a group, the frames made durable by one sync.
///
/// Everything before a group was synced before the group was written, so only the last group of a log can be in doubt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GroupPlace {
    First,
    Later,
}

/// The fixed start of a frame, parsed and within its limits; the hash is not yet checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) payload_bytes: usize,
    pub(crate) kind: FrameKind,
    pub(crate) place: GroupPlace,
    pub(crate) commit: CommitNumber,
}

impl FrameHeader {
    /// The header at the start of some bytes, `None` when these cannot be one.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk()?;
        let (kind, rest) = rest.split_first()?;
        let (flags, rest) = rest.split_first()?;
        let (commit, _) = rest.split_first_chunk()?;
        let payload_bytes = usize::try_from(u32::from_le_bytes(*length)).ok()?;
        let place = match *flags {
            0 => GroupPlace::Later,
            FLAG_GROUP_START => GroupPlace::First,
            _ => return None,
        };
        let commit = CommitNumber(u64::from_le_bytes(*commit));
        let is_sane =
            payload_bytes <= FRAME_PAYLOAD_BYTES_MAX && commit >= CommitNumber::FIRST && commit < CommitNumber::END;
        let kind = FrameKind::from_byte(*kind)?;
        is_sane.then_some(Self { payload_bytes, kind, place, commit })
    }

    /// Bytes of the whole frame.
    pub(crate) const fn frame_bytes(&self) -> usize {
        FRAME_OVERHEAD_BYTES + self.payload_bytes
    }
}

/// The hash key of one generation of one segment.
#[derive(Clone)]
pub(crate) struct FrameKey([u8; 32]);

impl std::fmt::Debug for FrameKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrameKey(..)")
    }
}

impl FrameKey {
    pub(crate) fn new(salt: &[u8; 16], segment: u32, generation: u32) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(HASH_CONTEXT);
        hasher.update(salt).update(&segment.to_le_bytes()).update(&generation.to_le_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// The hash over a frame's header and payload, and the place where it stands in its file.
    pub(crate) fn hash(&self, offset: u64, header_and_payload: &[u8]) -> FrameHash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        let hash = hasher.update(header_and_payload).update(&offset.to_le_bytes()).finalize();
        let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
        FrameHash(*first)
    }

    /// Whether some bytes at an offset, cut to a frame's length, end in their hash.
    pub(crate) fn verify(&self, offset: u64, frame: &[u8]) -> Option<FrameHash> {
        let (content, stored) = frame.split_last_chunk()?;
        let hash = self.hash(offset, content);
        (hash.0 == *stored).then_some(hash)
    }
}

/// Writes a frame at the end of a buffer, for an offset in its file: one copy of the payload.
pub(crate) fn encode_frame(
    buffer: &mut Vec<u8>,
    key: &FrameKey,
    offset: u64,
    header: &FrameHeader,
    payload: &[&[u8]],
) -> Option<FrameHash> {
    let start = buffer.len();
    let flags = match header.place {
        GroupPlace::First => FLAG_GROUP_START,
        GroupPlace::Later => 0,
    };
    buffer.reserve(header.frame_bytes());
    buffer.extend_from_slice(&u32::try_from(header.payload_bytes).ok()?.to_le_bytes());
    buffer.extend_from_slice(&[header.kind.byte(), flags]);
    buffer.extend_from_slice(&header.commit.0.to_le_bytes());
    for part in payload {
        buffer.extend_from_slice(part);
    }
    let hash = key.hash(offset, buffer.get(start..)?);
    buffer.extend_from_slice(&hash.0);
    Some(hash)
}

/// The payload of a frame's bytes, moved out of them.
pub(crate) fn into_payload(mut frame: Vec<u8>) -> Vec<u8> {
    frame.truncate(frame.len().saturating_sub(FRAME_HASH_BYTES));
    frame.drain(..FRAME_HEADER_BYTES.min(frame.len()));
    frame
}

/// The payload within a frame's bytes.
pub(crate) fn payload_of(frame: &[u8]) -> &[u8] {
    let end = frame.len().saturating_sub(FRAME_HASH_BYTES);
    frame.get(FRAME_HEADER_BYTES..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload: &[u8]) -> FrameHeader {
        FrameHeader {
            payload_bytes: payload.len(),
            kind: FrameKind::Pack,
            place: GroupPlace::First,
            commit: CommitNumber(7),
        }
    }

    #[test]
    fn frame_bytes_are_golden() {
        let key = FrameKey::new(&[0x5A; 16], 1, 0);
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, &key, 128, &header("阡陌".as_bytes()), &["阡".as_bytes(), "陌".as_bytes()]).unwrap();
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            hex,
            concat!("06000000", "03", "01", "0700000000000000", "e998a1e9998c", "00b3324cb62779f3d52eb886959da3f9")
        );
    }

    #[test]
    fn frame_of_another_place_does_not_verify() {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, &FrameKey::new(&[1; 16], 3, 0), 128, &header(b"x"), &[b"x"]).unwrap();
        assert!(FrameKey::new(&[1; 16], 3, 0).verify(128, &bytes).is_some());
        assert!(FrameKey::new(&[1; 16], 3, 0).verify(129, &bytes).is_none());
        assert!(FrameKey::new(&[1; 16], 3, 1).verify(128, &bytes).is_none());
        assert!(FrameKey::new(&[1; 16], 4, 0).verify(128, &bytes).is_none());
        assert!(FrameKey::new(&[2; 16], 3, 0).verify(128, &bytes).is_none());
    }

    #[test]
    fn header_out_of_limits_is_refused() {
        let mut bytes = Vec::new();
        encode_frame(&mut bytes, &FrameKey::new(&[1; 16], 1, 0), 128, &header(b""), &[]).unwrap();
        assert_eq!(FrameHeader::parse(&bytes), Some(header(b"")));
        let with = |at: usize, byte: u8| {
            let mut changed = bytes.clone();
            changed[at] = byte;
            FrameHeader::parse(&changed)
        };
        assert_eq!(with(2, 0x10).map(|header| header.payload_bytes), Some(FRAME_PAYLOAD_BYTES_MAX));
        assert_eq!(with(3, 1), None, "length over the limit");
        assert_eq!(with(4, 0), None, "kind 0");
        assert_eq!(with(5, 2), None, "unknown flag");
        assert_eq!(with(12, 1), None, "commit over 2^48");
        assert_eq!(with(6, 0), None, "commit 0");
        for length in 0..FRAME_HEADER_BYTES {
            assert_eq!(FrameHeader::parse(&bytes[..length]), None);
        }
    }

    #[test]
    fn every_kind_byte_reads_back() {
        assert_eq!(FrameKind::from_byte(0), None);
        for byte in 1..=u8::MAX {
            let kind = FrameKind::from_byte(byte).unwrap();
            assert_eq!((kind.byte(), kind.is_known()), (byte, byte <= 8));
        }
    }
}
