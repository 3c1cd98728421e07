//! Names of frames: commit numbers, and pointers to where a frame lies.

use std::fmt;

/// The number of a frame in its log: given once, strictly increasing, never reused, kept by every rewrite.
///
/// Numbers have gaps where frames were dropped. [`CommitNumber::ZERO`] is before the first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct CommitNumber(pub u64);

impl CommitNumber {
    /// Before the first frame.
    pub const ZERO: Self = Self(0);
    /// The first frame's number.
    pub const FIRST: Self = Self(1);
    /// Beyond the last number there can be. The bound makes garbage easy to tell from a frame.
    pub const END: Self = Self(1 << 48);

    /// The next number; `None` at the end of all numbers.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self).filter(|next| *next < Self::END)
    }

    /// The number before; zero stays zero.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for CommitNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The hash of a frame in its place: BLAKE3 keyed by log, segment and generation, cut to 16 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameHash(pub [u8; 16]);

/// Where a frame lies, and what must be found there (A14).
///
/// A pointer outlives the frame: reading through it either gives exactly this frame or a typed error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FramePointer {
    /// The segment's id.
    pub segment: u32,
    /// The segment's generation when the pointer was made; a rewrite makes a new one.
    pub generation: u32,
    /// Where the frame starts in the segment file.
    pub offset: u64,
    /// The frame's commit number.
    pub commit: CommitNumber,
    /// The frame's hash.
    pub hash: FrameHash,
}

impl FramePointer {
    /// Bytes of an encoded pointer.
    pub const BYTES: usize = 40;

    /// Segment, generation, offset, commit (all little endian), hash.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        let fields = self
            .segment
            .to_le_bytes()
            .into_iter()
            .chain(self.generation.to_le_bytes())
            .chain(self.offset.to_le_bytes())
            .chain(self.commit.0.to_le_bytes())
            .chain(self.hash.0);
        for (to, from) in bytes.iter_mut().zip(fields) {
            *to = from;
        }
        bytes
    }

    /// Reads an encoded pointer.
    ///
    /// # Errors
    ///
    /// When there are not exactly [`FramePointer::BYTES`] bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, PointerDecodeError> {
        let error = PointerDecodeError { have: bytes.len() };
        let Ok(bytes) = <&[u8; Self::BYTES]>::try_from(bytes) else { return Err(error) };
        let (segment, rest) = bytes.split_first_chunk().ok_or(error)?;
        let (generation, rest) = rest.split_first_chunk().ok_or(error)?;
        let (offset, rest) = rest.split_first_chunk().ok_or(error)?;
        let (commit, rest) = rest.split_first_chunk().ok_or(error)?;
        let (hash, _) = rest.split_first_chunk().ok_or(error)?;
        Ok(Self {
            segment: u32::from_le_bytes(*segment),
            generation: u32::from_le_bytes(*generation),
            offset: u64::from_le_bytes(*offset),
            commit: CommitNumber(u64::from_le_bytes(*commit)),
            hash: FrameHash(*hash),
        })
    }
}

/// Bytes that are not a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame pointer has {need} bytes, not {have}", need = FramePointer::BYTES)]
pub struct PointerDecodeError {
    /// How many bytes there were.
    pub have: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointer_reads_back_and_other_lengths_are_refused() {
        let pointer = FramePointer {
            segment: 0x0102_0304,
            generation: 0x0506_0708,
            offset: 0x1112_1314_1516_1718,
            commit: CommitNumber(0x2122_2324_2526_2728),
            hash: FrameHash([0x99; 16]),
        };
        let bytes = pointer.encode();
        assert_eq!(&bytes[..8], &[4, 3, 2, 1, 8, 7, 6, 5]);
        assert_eq!(FramePointer::decode(&bytes), Ok(pointer));
        for length in 0..FramePointer::BYTES {
            assert_eq!(FramePointer::decode(&bytes[..length]), Err(PointerDecodeError { have: length }));
        }
        assert!(FramePointer::decode(&[0; 41]).is_err());
    }

    #[test]
    fn commit_numbers_end() {
        assert_eq!(CommitNumber::ZERO.next(), Some(CommitNumber::FIRST));
        assert_eq!(CommitNumber(CommitNumber::END.0 - 1).next(), None);
        assert_eq!(CommitNumber(u64::MAX).next(), None);
    }
}
