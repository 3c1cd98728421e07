//! Rewriting a segment, for erasure or to drop what was superseded.
//!
//! # Flow
//!
//! ```text
//! sync, and a durable next segment        so that dropping the last frames cannot free their numbers
//! new generation under a temporary name   fdatasync
//! rename to its own name, fsync folder    from here on the new generation counts
//! unlink the old one, fsync folder        what was dropped is gone
//! ```
//! A crash anywhere leaves the old generation or the new one; opening removes the other. When no frame is left the
//! segment is unlinked without a successor.

use super::super::disk::{Disk, DiskError};
use super::error::{DamagePlace, RewriteError};
use super::frame::{FRAME_PAYLOAD_BYTES_MAX, Frame, FrameHeader, FrameKey, encode_frame, payload_of};
use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader, rewrite_file_name, segment_file_name};
use super::pointer::FramePointer;
use super::reader::{FoundFrame, Gap, SegmentReader, Step};
use super::{PackLog, Segment, SegmentFile, length};

/// Bytes gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// What becomes of a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// It stays.
    Keep,
    /// It goes.
    Drop,
    /// It keeps its kind and number and gets another payload.
    Replace(Vec<u8>),
}

/// What a rewrite did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RewriteReport {
    /// The segment.
    pub segment: u32,
    /// Its generation now; the old one if nothing had to change; `None` if nothing was left of it.
    pub generation: Option<u32>,
    /// Frames left as they were.
    pub kept: u64,
    /// Frames dropped.
    pub dropped: u64,
    /// Frames with a new payload.
    pub replaced: u64,
    /// Damaged stretches left behind (copied aside first).
    pub gaps: u64,
    /// Length before.
    pub bytes_before: u64,
    /// Length after.
    pub bytes_after: u64,
}

impl RewriteReport {
    const fn is_unchanged(&self) -> bool {
        self.dropped == 0 && self.replaced == 0 && self.gaps == 0
    }
}

/// The new generation being written.
struct Draft {
    name: String,
    key: FrameKey,
    written: u64,
    buffer: Vec<u8>,
}

impl PackLog {
    /// Rewrites a segment, asking about each frame in order. Pointers into the old generation then give
    /// [`ReadError::Moved`](super::ReadError::Moved): index the segment again ([`PackLog::scan_segment`]).
    ///
    /// Everything appended before is synced first. Frames of kinds that this version does not know are kept unasked. If
    /// all is kept nothing changes on the disk. When it returns `Ok`, what was dropped is in no file of the log.
    /// Copies of damaged bytes ([`OpenReport::damage`](super::OpenReport::damage)) are not touched: erasing must remove
    /// those too ([`PackLog::remove_aside`]).
    ///
    /// # Errors
    ///
    /// See [`RewriteError`]; up to [`RewriteError::Unchanged`] the log is as it was.
    pub fn rewrite_segment(
        &mut self,
        segment: u32,
        mut keep: impl FnMut(&FramePointer, &Frame) -> Keep,
    ) -> Result<RewriteReport, RewriteError> {
        self.prepare_rewrite(segment)?;
        let Some(old) = self.segments.get(&segment).cloned() else { return Err(RewriteError::NoSegment { segment }) };
        let generation = old.generation.checked_add(1).ok_or(RewriteError::Exhausted)?;
        let unchanged = |source| RewriteError::Unchanged { segment, source };
        let mut report = RewriteReport {
            segment,
            generation: Some(old.generation),
            kept: 0,
            dropped: 0,
            replaced: 0,
            gaps: 0,
            bytes_before: old.end,
            bytes_after: old.end,
        };
        let mut draft = Draft::new(&mut *self.disk, self.salt, segment, generation, &old).map_err(unchanged)?;
        if let Err(error) = self.copy_frames(segment, &old, &mut draft, &mut report, &mut keep) {
            self.discard(&draft);
            return Err(error);
        }
        if report.is_unchanged() {
            self.discard(&draft);
            return Ok(report);
        }
        let is_empty = report.kept + report.replaced == 0;
        report.generation = (!is_empty).then_some(generation);
        report.bytes_after = if is_empty { 0 } else { draft.bytes() };
        if is_empty {
            self.discard(&draft);
        } else if let Err(error) = draft.finish(&mut *self.disk) {
            self.discard(&draft);
            return Err(unchanged(error));
        }
        let next = (!is_empty).then(|| Segment {
            generation,
            first_commit: old.first_commit,
            key: draft.key.clone(),
            end: report.bytes_after,
            file: SegmentFile::Exists,
        });
        self.replace_segment(segment, &old, next, &draft).map_err(|source| {
            self.poison(&source);
            RewriteError::Interrupted { segment, source }
        })?;
        Ok(report)
    }

    /// Files that hold copies of damaged bytes, with their names.
    ///
    /// # Errors
    ///
    /// When the disk cannot be listed.
    pub fn aside_files(&self) -> Result<Vec<String>, DiskError> {
        let is_aside = |name: &String| name.starts_with("damaged-") && name.ends_with(".bin");
        Ok(self.disk.list()?.into_iter().map(|entry| entry.name).filter(is_aside).collect())
    }

    /// Removes a copy of damaged bytes, after it was looked at or because it may hold what must be erased. Removing one
    /// that is not there is no error.
    ///
    /// # Errors
    ///
    /// When the disk fails.
    pub fn remove_aside(&mut self, name: &str) -> Result<(), DiskError> {
        if self.aside_files()?.iter().any(|aside| aside == name) {
            self.disk.unlink(name)?;
            self.disk.sync_dir()?;
        }
        Ok(())
    }

    /// Syncs, and makes sure that the segment is not the active one and that its successor is durable.
    fn prepare_rewrite(&mut self, segment: u32) -> Result<(), RewriteError> {
        if let super::Condition::Poisoned { reason } = &self.condition {
            return Err(RewriteError::Poisoned { reason: reason.clone() });
        }
        if !self.segments.contains_key(&segment) {
            return Err(RewriteError::NoSegment { segment });
        }
        let interrupted = |source| RewriteError::Interrupted { segment, source };
        if self.group.frames > 0 {
            self.write_group().map_err(interrupted)?;
        }
        let has_frames = self.segments.get(&segment).is_some_and(|old| old.end > length(SEGMENT_HEADER_BYTES));
        if segment == self.active && has_frames {
            self.plan_segment().ok_or(RewriteError::Exhausted)?;
        }
        if self.segments.get(&self.active).is_some_and(|active| active.file == SegmentFile::Planned) {
            self.write_group().map_err(interrupted)?;
        }
        Ok(())
    }

    fn copy_frames(
        &mut self,
        segment: u32,
        old: &Segment,
        draft: &mut Draft,
        report: &mut RewriteReport,
        keep: &mut impl FnMut(&FramePointer, &Frame) -> Keep,
    ) -> Result<(), RewriteError> {
        let unchanged = |source| RewriteError::Unchanged { segment, source };
        let mut reader = SegmentReader::from_start(old.source(segment), old.first_commit);
        loop {
            match reader.step(&*self.disk).map_err(unchanged)? {
                Step::End => return Ok(()),
                Step::Gap(gap) => {
                    report.gaps += 1;
                    self.keep_aside(segment, &gap).map_err(unchanged)?;
                }
                Step::Frame(found) => {
                    let bytes = reader.frame_bytes(&*self.disk, &found).map_err(unchanged)?;
                    let pointer = found.pointer(segment, old.generation);
                    draft.decide(&pointer, &found, bytes, report, keep)?;
                    draft.write_out(&mut *self.disk, WRITE_BYTES).map_err(unchanged)?;
                }
            }
        }
    }

    /// Damaged bytes vanish with the old generation, so here a copy is required.
    fn keep_aside(&mut self, segment: u32, gap: &Gap) -> Result<(), DiskError> {
        let damage = self.describe(segment, gap, DamagePlace::Settled);
        match damage.aside {
            Some(_) => Ok(()),
            None => Err(DiskError::new(
                super::super::disk::DiskOperation::Create,
                &segment_file_name(segment, damage.generation),
                std::io::Error::other("damaged bytes could not be copied aside"),
            )),
        }
    }

    /// Makes the new generation count, then removes the old one.
    fn replace_segment(
        &mut self,
        segment: u32,
        old: &Segment,
        next: Option<Segment>,
        draft: &Draft,
    ) -> Result<(), DiskError> {
        match next {
            Some(next) => {
                self.disk.rename(&draft.name, &segment_file_name(segment, next.generation))?;
                self.disk.sync_dir()?;
                self.segments.insert(segment, next);
            }
            None => drop(self.segments.remove(&segment)),
        }
        self.disk.unlink(&segment_file_name(segment, old.generation))?;
        self.disk.sync_dir()
    }

    /// Removes a new generation that will not be used. If that fails, opening removes it.
    fn discard(&mut self, draft: &Draft) {
        drop(self.disk.unlink(&draft.name));
    }
}

impl Draft {
    fn new(
        disk: &mut dyn Disk,
        salt: [u8; 16],
        segment: u32,
        generation: u32,
        old: &Segment,
    ) -> Result<Self, DiskError> {
        let name = rewrite_file_name(segment, generation);
        // Left by a rewrite that failed in this run and could not clean up.
        if disk.list()?.iter().any(|entry| entry.name == name) {
            disk.unlink(&name)?;
        }
        disk.create(&name)?;
        let header = SegmentHeader { segment, generation, first_commit: old.first_commit, salt };
        Ok(Self { name, key: FrameKey::new(&salt, segment, generation), written: 0, buffer: header.encode() })
    }

    fn decide(
        &mut self,
        pointer: &FramePointer,
        found: &FoundFrame,
        bytes: &[u8],
        report: &mut RewriteReport,
        keep: &mut impl FnMut(&FramePointer, &Frame) -> Keep,
    ) -> Result<(), RewriteError> {
        let payload = payload_of(bytes);
        if !found.header.kind.is_known() {
            report.kept += 1;
            return self.push(&found.header, payload);
        }
        let frame = Frame { kind: found.header.kind, commit: found.header.commit, payload: payload.to_vec() };
        match keep(pointer, &frame) {
            Keep::Keep => {
                report.kept += 1;
                self.push(&found.header, payload)
            }
            Keep::Drop => {
                report.dropped += 1;
                Ok(())
            }
            Keep::Replace(payload) => {
                report.replaced += 1;
                self.push(&found.header, &payload)
            }
        }
    }

    fn push(&mut self, header: &FrameHeader, payload: &[u8]) -> Result<(), RewriteError> {
        let too_large = RewriteError::PayloadTooLarge { commit: header.commit, have: payload.len() };
        if payload.len() > FRAME_PAYLOAD_BYTES_MAX {
            return Err(too_large);
        }
        let header = FrameHeader { payload_bytes: payload.len(), ..*header };
        let offset = self.bytes();
        encode_frame(&mut self.buffer, &self.key, offset, &header, &[payload]).ok_or(too_large)?;
        Ok(())
    }

    fn bytes(&self) -> u64 {
        self.written.saturating_add(length(self.buffer.len()))
    }

    fn write_out(&mut self, disk: &mut dyn Disk, threshold: usize) -> Result<(), DiskError> {
        if self.buffer.len() >= threshold {
            disk.write_at(&self.name, self.written, &self.buffer)?;
            self.written = self.bytes();
            self.buffer.clear();
        }
        Ok(())
    }

    fn finish(&mut self, disk: &mut dyn Disk) -> Result<(), DiskError> {
        self.write_out(disk, 1)?;
        disk.sync_file(&self.name)
    }
}
