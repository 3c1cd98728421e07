//! A segment file's header and name.
//!
//! # Layout
//!
//! ```text
//!  0  8 bytes  magic 89 'Q' 'M' 'S' 'E' 'G' 0D 0A
//!  8  u16 LE   format version, 1
//! 10  u8       cipher suite, 0 = plain
//! 11  u8       0
//! 12  u32 LE   segment id, from 1
//! 16  u32 LE   generation, from 0
//! 20  u64 LE   first commit number: none in this segment is below it
//! 28  u32      0
//! 32  16 bytes salt of the log, the same in all its segments
//! 48  16 bytes BLAKE3 derive_key("qianmo segment header v1") of bytes 0..48, cut to 16
//! 64  the same 64 bytes again
//! ```
//! Two copies, because a lost header would take the salt and so every frame with it.

use super::pointer::CommitNumber;

/// Bytes of both copies of the header; the first frame follows.
pub const SEGMENT_HEADER_BYTES: usize = 2 * COPY_BYTES;
/// The newest format this version reads and the one it writes.
pub const FORMAT_VERSION: u16 = 1;
/// The only cipher suite of version 1: none.
pub const CIPHER_SUITE_PLAIN: u8 = 0;

const COPY_BYTES: usize = 64;
const CHECKED_BYTES: usize = 48;
const MAGIC: [u8; 8] = *b"\x89QMSEG\r\n";
const CHECKSUM_CONTEXT: &str = "qianmo segment header v1";

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Its id.
    pub segment: u32,
    /// How often it was rewritten.
    pub generation: u32,
    /// No frame in it has a smaller number, and no number below it is given again.
    pub first_commit: CommitNumber,
    /// Random, one per log: keys the frame hashes.
    pub salt: [u8; 16],
}

/// What the bytes at a segment's start are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderBytes {
    /// Both copies say this.
    Good(SegmentHeader),
    /// One copy says this, the other is damaged.
    HalfGood(SegmentHeader),
    /// A valid header of a version that we cannot read.
    UnknownVersion(u16),
    /// A valid header of a cipher suite that we cannot read.
    UnknownCipherSuite(u8),
    /// Neither copy is a header.
    Unreadable,
}

impl SegmentHeader {
    /// Both copies.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        copy.extend_from_slice(&MAGIC);
        copy.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        copy.extend_from_slice(&[CIPHER_SUITE_PLAIN, 0]);
        copy.extend_from_slice(&self.segment.to_le_bytes());
        copy.extend_from_slice(&self.generation.to_le_bytes());
        copy.extend_from_slice(&self.first_commit.0.to_le_bytes());
        copy.extend_from_slice(&[0; 4]);
        copy.extend_from_slice(&self.salt);
        let checksum = checksum(&copy);
        copy.extend_from_slice(&checksum);
        copy.extend_from_within(..);
        copy
    }

    pub(crate) fn decode(bytes: &[u8]) -> HeaderBytes {
        let copies = (decode_copy(bytes.get(..COPY_BYTES)), decode_copy(bytes.get(COPY_BYTES..SEGMENT_HEADER_BYTES)));
        match copies {
            (Some(Copy::Header(first)), Some(Copy::Header(second))) if first == second => HeaderBytes::Good(first),
            (Some(Copy::Header(header)), _) | (None, Some(Copy::Header(header))) => HeaderBytes::HalfGood(header),
            (Some(Copy::Version(version)), _) | (None, Some(Copy::Version(version))) => {
                HeaderBytes::UnknownVersion(version)
            }
            (Some(Copy::Suite(suite)), _) | (None, Some(Copy::Suite(suite))) => HeaderBytes::UnknownCipherSuite(suite),
            (None, None) => HeaderBytes::Unreadable,
        }
    }
}

enum Copy {
    Header(SegmentHeader),
    Version(u16),
    Suite(u8),
}

fn decode_copy(copy: Option<&[u8]>) -> Option<Copy> {
    let (checked, stored) = copy?.split_last_chunk::<16>()?;
    if checksum(checked) != *stored {
        return None;
    }
    let (magic, rest) = checked.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (suite, rest) = rest.split_first_chunk::<2>()?;
    let (segment, rest) = rest.split_first_chunk()?;
    let (generation, rest) = rest.split_first_chunk()?;
    let (first_commit, rest) = rest.split_first_chunk()?;
    let (_, rest) = rest.split_first_chunk::<4>()?;
    let (salt, _) = rest.split_first_chunk()?;
    if *magic != MAGIC {
        return None;
    }
    let version = u16::from_le_bytes(*version);
    if version != FORMAT_VERSION {
        return Some(Copy::Version(version));
    }
    let [suite, _] = *suite;
    if suite != CIPHER_SUITE_PLAIN {
        return Some(Copy::Suite(suite));
    }
    let first_commit = CommitNumber(u64::from_le_bytes(*first_commit));
    (first_commit < CommitNumber::END).then_some(Copy::Header(SegmentHeader {
        segment: u32::from_le_bytes(*segment),
        generation: u32::from_le_bytes(*generation),
        first_commit,
        salt: *salt,
    }))
}

fn checksum(bytes: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(CHECKSUM_CONTEXT);
    hasher.update(bytes.get(..CHECKED_BYTES).unwrap_or(bytes));
    let hash = hasher.finalize();
    let (first, _) = hash.as_bytes().split_first_chunk().unwrap_or((&[0; 16], &[]));
    *first
}

/// The name of a segment file: `00000001-0000.seg`.
#[must_use]
pub fn segment_file_name(segment: u32, generation: u32) -> String {
    format!("{segment:08}-{generation:04}.seg")
}

/// The name of a generation being written; removed at open.
pub(crate) fn rewrite_file_name(segment: u32, generation: u32) -> String {
    format!("{segment:08}-{generation:04}.tmp")
}

/// The name of a copy of damaged bytes.
pub(crate) fn damaged_file_name(segment: u32, generation: u32, offset: u64) -> String {
    format!("damaged-{segment:08}-{generation:04}-{offset}.bin")
}

/// Segment and generation of a segment file's name; `None` for any other name.
#[must_use]
pub fn parse_segment_file_name(name: &str) -> Option<(u32, u32)> {
    let (segment, generation) = name.strip_suffix(".seg")?.split_once('-')?;
    let pair = (segment.parse().ok()?, generation.parse().ok()?);
    // Only the name we would write: "+1-0.seg" or a name with other zeros is somebody else's.
    (segment_file_name(pair.0, pair.1) == name).then_some(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader =
        SegmentHeader { segment: 0x0102, generation: 3, first_commit: CommitNumber(0x0405), salt: [0x5A; 16] };

    #[test]
    fn header_bytes_are_golden() {
        let bytes = HEADER.encode();
        let copy: String = bytes[..COPY_BYTES].iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(
            copy,
            concat!(
                "89514d5345470d0a",
                "0100",
                "00",
                "00",
                "02010000",
                "03000000",
                "0504000000000000",
                "00000000",
                "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a",
                "7ce110d6a298902590aff9b3e8e8b91c"
            )
        );
        assert_eq!(bytes[..COPY_BYTES], bytes[COPY_BYTES..]);
        assert_eq!(SegmentHeader::decode(&bytes), HeaderBytes::Good(HEADER));
    }

    #[test]
    fn one_damaged_copy_is_survived_and_two_are_noticed() {
        for at in 0..SEGMENT_HEADER_BYTES {
            let mut bytes = HEADER.encode();
            bytes[at] ^= 0x40;
            assert_eq!(SegmentHeader::decode(&bytes), HeaderBytes::HalfGood(HEADER), "byte {at}");
            bytes[(at + COPY_BYTES) % SEGMENT_HEADER_BYTES] ^= 0x40;
            assert_eq!(SegmentHeader::decode(&bytes), HeaderBytes::Unreadable, "byte {at}");
        }
        let bytes = HEADER.encode();
        for length in 0..COPY_BYTES {
            assert_eq!(SegmentHeader::decode(&bytes[..length]), HeaderBytes::Unreadable);
        }
    }

    #[test]
    fn later_version_and_cipher_suite_are_named() {
        let reseal = |at: usize, byte: u8| {
            let mut copy = HEADER.encode()[..CHECKED_BYTES].to_vec();
            copy[at] = byte;
            let sum = checksum(&copy);
            copy.extend_from_slice(&sum);
            copy.extend_from_within(..);
            copy
        };
        assert_eq!(SegmentHeader::decode(&reseal(8, 2)), HeaderBytes::UnknownVersion(2));
        assert_eq!(SegmentHeader::decode(&reseal(10, 9)), HeaderBytes::UnknownCipherSuite(9));
    }

    #[test]
    fn only_our_own_names_are_segments() {
        assert_eq!(parse_segment_file_name("00000012-0003.seg"), Some((12, 3)));
        assert_eq!(parse_segment_file_name(&segment_file_name(u32::MAX, u32::MAX)), Some((u32::MAX, u32::MAX)));
        for name in ["12-3.seg", "00000012-0003.tmp", "00000012-0003.seg.bak", "+0000012-0003.seg", "a-b.seg", ".seg"] {
            assert_eq!(parse_segment_file_name(name), None, "{name}");
        }
    }
}
