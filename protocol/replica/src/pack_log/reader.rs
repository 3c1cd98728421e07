//! Reads the frames of one segment in order, in bounded memory, and steps over damage.
//!
//! After bytes that are no frame it tries every following offset until a frame verifies. Cheap checks come first
//! (length, kind, flags, a number larger than the last), so that garbage costs little; [`RESYNC_HASH_BYTES_MAX`] bounds
//! what remains.

use super::super::disk::{Disk, DiskError};
use super::frame::{FRAME_HEADER_BYTES, FRAME_OVERHEAD_BYTES, FrameHeader, FrameKey};
use super::header::SEGMENT_HEADER_BYTES;
use super::pointer::{CommitNumber, FrameHash};

/// Bytes read from the disk at once.
const CHUNK_BYTES: usize = 1 << 20;
/// Most bytes hashed while looking for the next frame after damage.
pub(crate) const RESYNC_HASH_BYTES_MAX: usize = 256 << 20;

/// The segment to read.
#[derive(Debug, Clone)]
pub(crate) struct SegmentSource {
    pub(crate) name: String,
    pub(crate) key: FrameKey,
    /// Where reading stops: nothing at or after it is looked at.
    pub(crate) end: u64,
}

/// A place in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadPlace {
    pub(crate) offset: u64,
    /// Frames up to this number are behind us: the next one is larger.
    pub(crate) last_commit: CommitNumber,
}

/// What comes next in a segment.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(FoundFrame),
    Gap(Gap),
    End,
}

/// A verified frame; its bytes are in the reader until the next step.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundFrame {
    pub(crate) offset: u64,
    pub(crate) header: FrameHeader,
    pub(crate) hash: FrameHash,
}

/// Bytes that are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gap {
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) ends: GapEnd,
    pub(crate) start: GapStart,
}

/// What ends a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapEnd {
    /// A valid frame follows.
    Frame,
    /// The segment ends and no valid frame was in between.
    Segment,
    /// The search was given up: there may be frames.
    SearchLimit,
}

/// What a gap starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GapStart {
    /// Something that could be a whole frame but for its hash: perhaps an old frame gone bad.
    WholeFrame,
    /// A frame cut off by the end, or no frame at all.
    Other,
}

/// Reads one segment.
#[derive(Debug)]
pub(crate) struct SegmentReader {
    source: SegmentSource,
    place: ReadPlace,
    buffer: Vec<u8>,
    buffer_offset: u64,
}

impl SegmentReader {
    pub(crate) fn new(source: SegmentSource, place: ReadPlace) -> Self {
        Self { source, place, buffer: Vec::new(), buffer_offset: 0 }
    }

    /// From the first frame of a segment whose first number is known.
    pub(crate) fn from_start(source: SegmentSource, first_commit: CommitNumber) -> Self {
        let offset = u64::try_from(SEGMENT_HEADER_BYTES).unwrap_or(u64::MAX);
        Self::new(source, ReadPlace { offset, last_commit: first_commit.previous() })
    }

    /// The next frame or gap.
    pub(crate) fn step(&mut self, disk: &dyn Disk) -> Result<Step, DiskError> {
        let start = self.place.offset;
        if start >= self.source.end {
            return Ok(Step::End);
        }
        if let Some(found) = self.frame_at(disk, start)? {
            self.place = ReadPlace {
                offset: start.saturating_add(length(found.header.frame_bytes())),
                last_commit: found.header.commit,
            };
            return Ok(Step::Frame(found));
        }
        let gap = self.search(disk, start)?;
        self.place.offset = start.saturating_add(gap.bytes);
        Ok(Step::Gap(gap))
    }

    /// The bytes of a frame found by the last step.
    pub(crate) fn frame_bytes(&mut self, disk: &dyn Disk, found: &FoundFrame) -> Result<&[u8], DiskError> {
        self.window(disk, found.offset, found.header.frame_bytes())
    }

    fn frame_at(&mut self, disk: &dyn Disk, offset: u64) -> Result<Option<FoundFrame>, DiskError> {
        let Some(header) = self.header_at(disk, offset)? else { return Ok(None) };
        self.verified(disk, offset, header)
    }

    /// A header at an offset whose frame would fit and whose number would be in order.
    fn header_at(&mut self, disk: &dyn Disk, offset: u64) -> Result<Option<FrameHeader>, DiskError> {
        let room = self.source.end.saturating_sub(offset);
        let last = self.place.last_commit;
        let header = FrameHeader::parse(self.window(disk, offset, FRAME_HEADER_BYTES)?);
        Ok(header.filter(|header| length(header.frame_bytes()) <= room && header.commit > last))
    }

    fn verified(&mut self, disk: &dyn Disk, offset: u64, header: FrameHeader) -> Result<Option<FoundFrame>, DiskError> {
        let key = self.source.key.clone();
        let hash = key.verify(offset, self.window(disk, offset, header.frame_bytes())?);
        Ok(hash.map(|hash| FoundFrame { offset, header, hash }))
    }

    fn search(&mut self, disk: &dyn Disk, start: u64) -> Result<Gap, DiskError> {
        let end = self.source.end;
        let gap = |at: u64, ends, gap_start| Gap { offset: start, bytes: at - start, ends, start: gap_start };
        let gap_start = match self.header_at(disk, start)? {
            Some(_) => GapStart::WholeFrame,
            None => GapStart::Other,
        };
        let mut hashed = 0_usize;
        let mut at = start;
        loop {
            at += 1;
            if at.saturating_add(length(FRAME_OVERHEAD_BYTES)) > end {
                return Ok(gap(end, GapEnd::Segment, gap_start));
            }
            let Some(header) = self.header_at(disk, at)? else { continue };
            hashed = hashed.saturating_add(header.frame_bytes());
            if hashed > RESYNC_HASH_BYTES_MAX {
                return Ok(gap(end, GapEnd::SearchLimit, gap_start));
            }
            if self.verified(disk, at, header)?.is_some() {
                return Ok(gap(at, GapEnd::Frame, gap_start));
            }
        }
    }

    /// Some bytes of the segment; fewer than asked where it ends.
    fn window(&mut self, disk: &dyn Disk, offset: u64, bytes: usize) -> Result<&[u8], DiskError> {
        let rest = usize::try_from(self.source.end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let bytes = bytes.min(rest);
        let held = offset.checked_sub(self.buffer_offset).and_then(|skip| usize::try_from(skip).ok());
        let from = match held.filter(|from| from.saturating_add(bytes) <= self.buffer.len()) {
            Some(from) => from,
            None => {
                self.buffer.resize(bytes.max(CHUNK_BYTES).min(rest), 0);
                self.buffer_offset = offset;
                // A failed read must not leave zeros that look like content.
                match disk.read_at(&self.source.name, offset, &mut self.buffer) {
                    Ok(count) => self.buffer.truncate(count),
                    Err(error) => {
                        self.buffer.clear();
                        return Err(error);
                    }
                }
                0
            }
        };
        let to = from.saturating_add(bytes).min(self.buffer.len());
        Ok(self.buffer.get(from..to).unwrap_or_default())
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
