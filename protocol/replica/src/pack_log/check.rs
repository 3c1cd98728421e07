//! One segment file, looked at by itself: for backups and for `verify`, which must not open a log to read it.
//!
//! Opening repairs what it finds; this changes nothing and says everything.

use super::super::disk::{Disk, DiskError};
use super::frame::FrameKey;
use super::header::{HeaderBytes, SEGMENT_HEADER_BYTES, SegmentHeader};
use super::length;
use super::pointer::CommitNumber;
use super::reader::{SegmentReader, SegmentSource, Step};

/// What a segment file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SegmentCheck {
    /// What it says about itself; `None` when neither copy of its header can be read, and so no frame either.
    pub header: Option<SegmentHeader>,
    /// Sound frames.
    pub frames: u64,
    /// The number of the last of them.
    pub last: Option<CommitNumber>,
    /// Whether the frames carry every number from the header's first one to the last. A segment that was rewritten need
    /// not.
    pub is_complete: bool,
    /// Stretches that are no frame, the damaged header among them: offset and length.
    pub damage: Vec<(u64, u64)>,
}

/// Reads the first `bytes` bytes of a segment file.
///
/// # Errors
///
/// When the disk fails. That something is not as it should be is in the answer.
pub fn check_segment(disk: &dyn Disk, name: &str, bytes: u64) -> Result<SegmentCheck, DiskError> {
    let mut check = SegmentCheck::default();
    let mut start = vec![0; SEGMENT_HEADER_BYTES];
    let count = disk.read_at(name, 0, &mut start)?;
    start.truncate(count);
    let damaged_header = (0, length(SEGMENT_HEADER_BYTES).min(bytes));
    let header = match SegmentHeader::decode(&start) {
        HeaderBytes::Good(header) => header,
        HeaderBytes::HalfGood(header) => {
            check.damage.push(damaged_header);
            header
        }
        HeaderBytes::UnknownVersion(_) | HeaderBytes::UnknownCipherSuite(_) | HeaderBytes::Unreadable => {
            check.damage.push((0, bytes));
            return Ok(check);
        }
    };
    check.header = Some(header);
    check.is_complete = true;
    let key = FrameKey::new(&header.salt, header.segment, header.generation);
    let source = SegmentSource { name: name.to_owned(), key, end: bytes };
    let mut reader = SegmentReader::from_start(source, header.first_commit);
    let mut expected = Some(header.first_commit);
    loop {
        match reader.step(disk)? {
            Step::End => return Ok(check),
            Step::Gap(gap) => {
                check.is_complete = false;
                check.damage.push((gap.offset, gap.bytes));
            }
            Step::Frame(found) => {
                check.frames += 1;
                check.is_complete &= expected == Some(found.header.commit);
                check.last = Some(found.header.commit);
                expected = found.header.commit.next();
            }
        }
    }
}
