//! Frames in commit order, from any place, in bounded memory.

use std::collections::VecDeque;

use super::super::disk::DiskError;
use super::error::{Damage, DamagePlace, ReadError, ScanError};
use super::frame::{FRAME_OVERHEAD_BYTES, Frame, payload_of};
use super::pointer::{CommitNumber, FramePointer};
use super::reader::{FoundFrame, ReadPlace, SegmentReader, Step};
use super::{PackLog, Segment};

/// Where a scan starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScanFrom {
    /// At the first frame.
    Start,
    /// At the first frame whose number is not smaller.
    Commit(CommitNumber),
    /// After this frame, which must be in the log exactly there.
    After(FramePointer),
}

/// Frames in commit order. Damage comes as an error item and the scan goes on; after a disk error it ends.
#[derive(Debug)]
pub struct Scan<'log> {
    log: &'log PackLog,
    waiting: VecDeque<u32>,
    current: Option<Current>,
    from: CommitNumber,
}

#[derive(Debug)]
struct Current {
    segment: u32,
    generation: u32,
    reader: SegmentReader,
}

impl PackLog {
    /// The durable frames from a place on.
    ///
    /// # Errors
    ///
    /// For [`ScanFrom::After`], when that frame is not there: [`ReadError::Moved`] after a rewrite, when
    /// [`ScanFrom::Commit`] finds the same frames; [`ReadError::NotInLog`] when the pointer is of another history.
    pub fn scan_from(&self, from: ScanFrom) -> Result<Scan<'_>, ReadError> {
        match from {
            ScanFrom::Start => Ok(self.scan(CommitNumber::ZERO)),
            ScanFrom::Commit(commit) => Ok(self.scan(commit)),
            ScanFrom::After(pointer) => self.scan_after(&pointer),
        }
    }

    /// The frames of one segment, for indexing it again after a rewrite. Empty when there is no such segment.
    #[must_use]
    pub fn scan_segment(&self, segment: u32) -> Scan<'_> {
        let waiting = self.segments.contains_key(&segment).then_some(segment).into_iter().collect();
        Scan { log: self, waiting, current: None, from: CommitNumber::ZERO }
    }

    fn scan(&self, from: CommitNumber) -> Scan<'_> {
        let starts_at_or_before = |segment: &Segment| segment.first_commit <= from;
        let first =
            self.segments.iter().rev().find(|(_, segment)| starts_at_or_before(segment)).map_or(0, |(id, _)| *id);
        let waiting = self.segments.range(first..).map(|(id, _)| *id).collect();
        Scan { log: self, waiting, current: None, from }
    }

    fn scan_after(&self, pointer: &FramePointer) -> Result<Scan<'_>, ReadError> {
        let frame = self.read(pointer)?;
        let mut scan = self.scan(pointer.commit);
        scan.waiting.retain(|id| *id > pointer.segment);
        if let Some(segment) = self.segments.get(&pointer.segment) {
            let bytes = u64::try_from(FRAME_OVERHEAD_BYTES + frame.payload.len()).unwrap_or(u64::MAX);
            let place = ReadPlace { offset: pointer.offset.saturating_add(bytes), last_commit: pointer.commit };
            let reader = SegmentReader::new(segment.source(pointer.segment), place);
            scan.current = Some(Current { segment: pointer.segment, generation: segment.generation, reader });
        }
        Ok(scan)
    }
}

impl Scan<'_> {
    fn open_next(&mut self) -> Option<Current> {
        let id = self.waiting.pop_front()?;
        let segment = self.log.segments.get(&id)?;
        let reader = SegmentReader::from_start(segment.source(id), segment.first_commit);
        Some(Current { segment: id, generation: segment.generation, reader })
    }

    fn frame(&self, current: &mut Current, found: &FoundFrame) -> Result<(FramePointer, Frame), DiskError> {
        let bytes = current.reader.frame_bytes(self.log.disk(), found)?;
        let frame = Frame { kind: found.header.kind, commit: found.header.commit, payload: payload_of(bytes).to_vec() };
        Ok((found.pointer(current.segment, current.generation), frame))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(FramePointer, Frame), ScanError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut current = match self.current.take() {
                Some(current) => current,
                None => self.open_next()?,
            };
            match current.reader.step(self.log.disk()) {
                Ok(Step::End) => {}
                Ok(Step::Frame(found)) if found.header.commit < self.from => self.current = Some(current),
                Ok(Step::Frame(found)) => {
                    let item = self.frame(&mut current, &found);
                    self.current = Some(current);
                    return Some(item.map_err(|error| self.stop(error)));
                }
                Ok(Step::Gap(gap)) => {
                    let damage = Damage {
                        segment: current.segment,
                        generation: current.generation,
                        offset: gap.offset,
                        bytes: gap.bytes,
                        place: DamagePlace::Settled,
                        aside: None,
                    };
                    self.current = Some(current);
                    return Some(Err(ScanError::Damaged(damage)));
                }
                Err(error) => return Some(Err(self.stop(error))),
            }
        }
    }
}

impl Scan<'_> {
    fn stop(&mut self, error: DiskError) -> ScanError {
        self.current = None;
        self.waiting.clear();
        ScanError::Disk(error)
    }
}

impl FoundFrame {
    pub(crate) const fn pointer(&self, segment: u32, generation: u32) -> FramePointer {
        FramePointer { segment, generation, offset: self.offset, commit: self.header.commit, hash: self.hash }
    }
}
