//! Opening a log: which generation counts, where the last segment ends, what a crash left to repair.
//!
//! # Flow
//!
//! ```text
//! collect        temporary files and lower generations are removed before anything is served (A14)
//! read_headers   salt and first numbers; an unreadable header is rebuilt from its frames where the salt is known
//! find_last      a last segment without header or frames is a creation that a crash interrupted: removed
//! settle         copy damage aside, cut the torn tail, write the last group again, sync: then it is durable
//! ```
//! Only the last segment is read through, unless everything is to be verified.

use std::collections::BTreeMap;

use qianmo_protocol::bugs::{Bug, injected};

use super::super::disk::{Disk, DiskError};
use super::error::{Damage, DamagePlace, OpenError};
use super::frame::{FrameKey, GroupPlace};
use super::header::{
    HeaderBytes, SEGMENT_HEADER_BYTES, SegmentHeader, damaged_file_name, parse_segment_file_name, segment_file_name,
};
use super::pointer::CommitNumber;
use super::reader::{Gap, GapEnd, GapStart, SegmentReader, SegmentSource, Step};
use super::{Condition, Group, PackLog, PackLogConfig, Segment, SegmentFile, VerifyAtOpen, length, poison_reason};

/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;
/// The first segment's id.
const FIRST_SEGMENT: u32 = 1;

/// What opening found and did. Damage and cuts must reach an operator.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OpenReport {
    /// Segments in the log.
    pub segments: usize,
    /// Frames verified: of the last segment, or of all.
    pub frames: u64,
    /// The tail that was cut.
    pub tail_cut: Option<TailCut>,
    /// Bytes that are no frame and were stepped over.
    pub damage: Vec<Damage>,
    /// Files left by an interrupted rewrite or creation, now removed.
    pub removed: Vec<String>,
    /// Why the log takes no writes, if so.
    pub read_only: Option<String>,
}

/// Bytes after the last valid frame of the log, cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailCut {
    /// The segment.
    pub segment: u32,
    /// Where it ends now.
    pub offset: u64,
    /// How many bytes were cut.
    pub bytes: u64,
    /// Where a copy is, when the cut bytes could have been a whole frame once.
    pub aside: Option<String>,
}

/// What reading every frame found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Valid frames.
    pub frames: u64,
    /// Damage; each is copied aside where there is room.
    pub damage: Vec<Damage>,
}

/// A segment while the log is being opened.
struct Found {
    generation: u32,
    file_bytes: u64,
    header: Option<SegmentHeader>,
    /// The header must be written again.
    is_header_damaged: bool,
}

/// What a segment holds.
#[derive(Debug, Default)]
struct Contents {
    frames: u64,
    first: Option<CommitNumber>,
    last: Option<CommitNumber>,
    /// Where the last group starts, and its first number.
    group: Option<(u64, CommitNumber)>,
    gaps: Vec<Gap>,
}

struct Recovery {
    disk: Box<dyn Disk>,
    salt: [u8; 16],
    found: BTreeMap<u32, Found>,
    report: OpenReport,
}

pub(super) fn open(disk: Box<dyn Disk>, config: PackLogConfig) -> Result<(PackLog, OpenReport), OpenError> {
    let mut recovery =
        Recovery { disk, salt: config.new_log_salt, found: BTreeMap::new(), report: OpenReport::default() };
    recovery.collect()?;
    recovery.read_headers()?;
    let (mut log, mut report) = match recovery.find_last()? {
        None => recovery.create(config)?,
        Some((id, contents)) => recovery.load(config, id, &contents)?,
    };
    report.segments = log.segments.len();
    if config.verify_at_open == VerifyAtOpen::Everything {
        let verified = log.verify_segments(|id, active| id != active)?;
        report.frames = report.frames.saturating_add(verified.frames);
        report.damage.extend(verified.damage);
    }
    Ok((log, report))
}

impl Recovery {
    /// Lists segments, and removes what an interrupted rewrite left.
    fn collect(&mut self) -> Result<(), OpenError> {
        let mut stale = Vec::new();
        for entry in self.disk.list()? {
            if entry.name.ends_with(".tmp") {
                stale.push(entry.name);
            } else if let Some((segment, generation)) = parse_segment_file_name(&entry.name) {
                let found = Found { generation, file_bytes: entry.bytes, header: None, is_header_damaged: false };
                match self.found.get(&segment).map(|other| other.generation) {
                    Some(other) if other > generation => stale.push(entry.name),
                    Some(other) => {
                        stale.push(segment_file_name(segment, other));
                        self.found.insert(segment, found);
                    }
                    None => drop(self.found.insert(segment, found)),
                }
            }
        }
        if stale.is_empty() {
            return Ok(());
        }
        // The winner's name must be durable before the loser's is given up.
        self.disk.sync_dir()?;
        for name in &stale {
            self.disk.unlink(name)?;
        }
        self.disk.sync_dir()?;
        self.report.removed = stale;
        Ok(())
    }

    fn read_headers(&mut self) -> Result<(), OpenError> {
        let mut salt = None;
        for (id, found) in &mut self.found {
            let name = segment_file_name(*id, found.generation);
            let mut bytes = vec![0; SEGMENT_HEADER_BYTES];
            let count = self.disk.read_at(&name, 0, &mut bytes)?;
            bytes.truncate(count);
            let header = match SegmentHeader::decode(&bytes) {
                HeaderBytes::Good(header) => header,
                HeaderBytes::HalfGood(header) => {
                    found.is_header_damaged = true;
                    header
                }
                HeaderBytes::UnknownVersion(version) => {
                    return Err(OpenError::UnsupportedVersion { name, found: version });
                }
                HeaderBytes::UnknownCipherSuite(suite) => return Err(OpenError::UnknownCipherSuite { name, suite }),
                HeaderBytes::Unreadable => {
                    found.is_header_damaged = true;
                    continue;
                }
            };
            let is_ours = header.segment == *id && header.generation == found.generation;
            if !is_ours || *salt.get_or_insert(header.salt) != header.salt {
                return Err(OpenError::ForeignSegment { name });
            }
            // A header without its second copy was never synced; it only tells the salt.
            found.header = Some(header).filter(|_| count == SEGMENT_HEADER_BYTES);
        }
        match salt {
            Some(salt) => self.salt = salt,
            None => self.forget_unborn_log()?,
        }
        Ok(())
    }

    /// No header is readable: fine if the crash came while the first segment was made, for then nothing was ever durable.
    fn forget_unborn_log(&mut self) -> Result<(), OpenError> {
        let has_content = |found: &Found| found.file_bytes > length(SEGMENT_HEADER_BYTES);
        if let Some((id, found)) = self.found.iter().find(|(_, found)| has_content(found)) {
            return Err(OpenError::HeadersUnreadable { name: segment_file_name(*id, found.generation) });
        }
        while let Some((id, found)) = self.found.pop_first() {
            self.remove(&segment_file_name(id, found.generation))?;
        }
        Ok(())
    }

    /// The last real segment and what is in it.
    fn find_last(&mut self) -> Result<Option<(u32, Contents)>, OpenError> {
        loop {
            let before = self.found.values().rev().skip(1).find_map(|found| found.header);
            let Some(mut entry) = self.found.last_entry() else { return Ok(None) };
            let id = *entry.key();
            let found = entry.get_mut();
            let name = segment_file_name(id, found.generation);
            let source = SegmentSource {
                name: name.clone(),
                key: FrameKey::new(&self.salt, id, found.generation),
                end: found.file_bytes,
            };
            let floor = found.header.or(before).map_or(CommitNumber::FIRST, |header| header.first_commit);
            let contents = read_contents(&*self.disk, source, floor)?;
            let first = contents.first.filter(|_| found.header.is_none());
            if let Some(first_commit) = first {
                found.header =
                    Some(SegmentHeader { segment: id, generation: found.generation, first_commit, salt: self.salt });
            }
            if found.header.is_some() {
                return Ok(Some((id, contents)));
            }
            let found = entry.remove();
            self.set_aside_unborn(&name, id, &found)?;
        }
    }

    /// Removes a last segment without header or frames: its first sync never returned.
    fn set_aside_unborn(&mut self, name: &str, id: u32, found: &Found) -> Result<(), OpenError> {
        if found.file_bytes <= length(SEGMENT_HEADER_BYTES) {
            return self.remove(name);
        }
        let aside = damaged_file_name(id, found.generation, 0);
        self.disk.rename(name, &aside)?;
        self.disk.sync_dir()?;
        self.report.damage.push(Damage {
            segment: id,
            generation: found.generation,
            offset: 0,
            bytes: found.file_bytes,
            place: DamagePlace::LastGroup,
            aside: Some(aside),
        });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), OpenError> {
        self.disk.unlink(name)?;
        self.disk.sync_dir()?;
        self.report.removed.push(name.into());
        Ok(())
    }

    /// A log that does not exist yet. Its first header is durable before anything is appended.
    fn create(self, config: PackLogConfig) -> Result<(PackLog, OpenReport), OpenError> {
        let Self { mut disk, salt, report, .. } = self;
        let header = SegmentHeader { segment: FIRST_SEGMENT, generation: 0, first_commit: CommitNumber::FIRST, salt };
        let mut segment = Segment {
            generation: 0,
            first_commit: CommitNumber::FIRST,
            key: FrameKey::new(&salt, FIRST_SEGMENT, 0),
            end: 0,
            file: SegmentFile::Planned,
        };
        super::put_group(&mut *disk, FIRST_SEGMENT, &mut segment, &header.encode())?;
        let log = PackLog {
            disk,
            config,
            salt,
            segments: BTreeMap::from([(FIRST_SEGMENT, segment)]),
            active: FIRST_SEGMENT,
            group: Group::default(),
            next_commit: CommitNumber::FIRST,
            durable_commit: CommitNumber::ZERO,
            condition: Condition::Writable,
        };
        Ok((log, report))
    }

    fn load(
        mut self,
        config: PackLogConfig,
        last: u32,
        contents: &Contents,
    ) -> Result<(PackLog, OpenReport), OpenError> {
        self.infer_headers()?;
        let mut segments = BTreeMap::new();
        for (id, found) in &self.found {
            let segment = Segment {
                generation: found.generation,
                first_commit: found.header.map_or(CommitNumber::ZERO, |header| header.first_commit),
                key: FrameKey::new(&self.salt, *id, found.generation),
                end: found.file_bytes.max(length(SEGMENT_HEADER_BYTES)),
                file: SegmentFile::Exists,
            };
            segments.insert(*id, segment);
        }
        let floor = segments.values().map(|segment| segment.first_commit).max().unwrap_or(CommitNumber::FIRST);
        let next = contents.last.map_or(Some(CommitNumber::FIRST), CommitNumber::next).ok_or(OpenError::Exhausted)?;
        let next_commit = next.max(floor);
        self.report.frames = contents.frames;
        let mut log = PackLog {
            disk: self.disk,
            config,
            salt: self.salt,
            segments,
            active: last,
            group: Group::default(),
            next_commit,
            durable_commit: next_commit.previous(),
            condition: Condition::Writable,
        };
        let damaged: Vec<(u32, SegmentHeader)> = self
            .found
            .iter()
            .filter(|(_, found)| found.is_header_damaged)
            .filter_map(|(id, found)| found.header.map(|header| (*id, header)))
            .collect();
        if let Err(error) = log.settle(&damaged, contents, &mut self.report) {
            let reason = poison_reason(&error);
            log.durable_commit = log.first_doubtful(contents).previous();
            log.condition = Condition::Poisoned { reason: reason.clone() };
            self.report.read_only = Some(reason);
        }
        Ok((log, self.report))
    }

    /// Rebuilds an unreadable header of an older segment from its first frame.
    fn infer_headers(&mut self) -> Result<(), OpenError> {
        let mut floor = CommitNumber::FIRST;
        for (id, found) in &mut self.found {
            if found.header.is_none() {
                let key = FrameKey::new(&self.salt, *id, found.generation);
                let name = segment_file_name(*id, found.generation);
                let source = SegmentSource { name, key, end: found.file_bytes };
                let contents = read_contents(&*self.disk, source, floor)?;
                let first_commit = contents.first.unwrap_or(floor);
                found.header =
                    Some(SegmentHeader { segment: *id, generation: found.generation, first_commit, salt: self.salt });
            }
            floor = found.header.map_or(floor, |header| header.first_commit);
        }
        Ok(())
    }
}

impl PackLog {
    /// Reads every durable frame and copies damage aside.
    ///
    /// # Errors
    ///
    /// When the disk cannot be read.
    pub fn verify(&mut self) -> Result<VerifyReport, DiskError> {
        self.verify_segments(|_, _| true)
    }

    fn verify_segments(&mut self, chosen: fn(u32, u32) -> bool) -> Result<VerifyReport, DiskError> {
        let mut report = VerifyReport::default();
        let ids: Vec<u32> = self.segments.keys().copied().filter(|id| chosen(*id, self.active)).collect();
        for id in ids {
            let Some(segment) = self.segments.get(&id).filter(|segment| segment.file == SegmentFile::Exists) else {
                continue;
            };
            let contents = read_contents(&*self.disk, segment.source(id), segment.first_commit)?;
            report.frames = report.frames.saturating_add(contents.frames);
            for gap in &contents.gaps {
                let place = if id == self.active { contents.place(gap) } else { DamagePlace::Settled };
                report.damage.push(self.describe(id, gap, place));
            }
        }
        Ok(report)
    }

    /// Makes what the last segment shows true on the disk.
    fn settle(
        &mut self,
        damaged_headers: &[(u32, SegmentHeader)],
        contents: &Contents,
        report: &mut OpenReport,
    ) -> Result<(), DiskError> {
        let id = self.active;
        let mut is_search_incomplete = false;
        for gap in &contents.gaps {
            match gap.ends {
                GapEnd::Segment => report.tail_cut = Some(self.cut_tail(id, gap)?),
                GapEnd::Frame | GapEnd::SearchLimit => {
                    is_search_incomplete |= gap.ends == GapEnd::SearchLimit;
                    report.damage.push(self.describe(id, gap, contents.place(gap)));
                }
            }
        }
        for (damaged, header) in damaged_headers {
            report.damage.push(self.repair_header(*damaged, header, contents)?);
        }
        if !injected(Bug::LastGroupTrusted) {
            self.rewrite_last_group(id, contents)?;
        }
        self.disk.sync_dir()?;
        if is_search_incomplete && self.plan_segment().is_none() {
            self.condition = Condition::Poisoned { reason: "the log has no segment ids left".into() };
        }
        Ok(())
    }

    fn cut_tail(&mut self, id: u32, gap: &Gap) -> Result<TailCut, DiskError> {
        let Some(segment) = self.segments.get_mut(&id) else {
            return Ok(TailCut { segment: id, offset: gap.offset, bytes: 0, aside: None });
        };
        // From here on nobody reads the tail, even if cutting it fails.
        segment.end = gap.offset;
        let generation = segment.generation;
        let name = segment_file_name(id, generation);
        let aside = match gap.start {
            GapStart::WholeFrame => Some(copy_aside(&mut *self.disk, id, generation, gap)?),
            GapStart::Other => None,
        };
        self.disk.truncate(&name, gap.offset)?;
        Ok(TailCut { segment: id, offset: gap.offset, bytes: gap.bytes, aside })
    }

    fn repair_header(&mut self, id: u32, header: &SegmentHeader, last: &Contents) -> Result<Damage, DiskError> {
        let name = segment_file_name(id, header.generation);
        let gap = Gap { offset: 0, bytes: length(SEGMENT_HEADER_BYTES), ends: GapEnd::Frame, start: GapStart::Other };
        let place = if id == self.active { last.place(&gap) } else { DamagePlace::Settled };
        let damage = self.describe(id, &gap, place);
        self.disk.write_at(&name, 0, &header.encode())?;
        self.disk.sync_file(&name)?;
        Ok(damage)
    }

    /// Writes the last group once more and syncs it.
    ///
    /// A sync that failed in the last run may have left pages that read well and are not on the disk; a mere second sync
    /// would say yes to them. Everything before the last group was synced before that group was written.
    fn rewrite_last_group(&mut self, id: u32, contents: &Contents) -> Result<(), DiskError> {
        let Some(segment) = self.segments.get(&id) else { return Ok(()) };
        let name = segment_file_name(id, segment.generation);
        let end = segment.end;
        // The header is written together with the first group.
        let mut at = contents.group.map_or(0, |(offset, _)| offset);
        if at <= length(SEGMENT_HEADER_BYTES) {
            at = 0;
        }
        let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(end.saturating_sub(at)).unwrap_or(COPY_BYTES))];
        while at < end {
            let rest = usize::try_from(end - at).unwrap_or(usize::MAX).min(buffer.len());
            let part = buffer.get_mut(..rest).unwrap_or_default();
            let count = self.disk.read_at(&name, at, part)?;
            if count == 0 {
                break;
            }
            self.disk.write_at(&name, at, part.get(..count).unwrap_or_default())?;
            at = at.saturating_add(length(count));
        }
        self.disk.sync_file(&name)
    }

    /// The first number that is not surely durable when the log could not be settled.
    fn first_doubtful(&self, contents: &Contents) -> CommitNumber {
        let first = self.segments.get(&self.active).map_or(CommitNumber::FIRST, |segment| segment.first_commit);
        contents.group.map_or(first, |(_, commit)| commit)
    }

    /// Describes a gap and tries to copy it aside; that there was no room for the copy is no reason to stop.
    pub(super) fn describe(&mut self, id: u32, gap: &Gap, place: DamagePlace) -> Damage {
        let generation = self.segments.get(&id).map_or(0, |segment| segment.generation);
        let aside = copy_aside(&mut *self.disk, id, generation, gap).ok();
        Damage { segment: id, generation, offset: gap.offset, bytes: gap.bytes, place, aside }
    }
}

impl Contents {
    /// Damage after the start of the last group is in the last group. The header is written with the first group.
    fn place(&self, gap: &Gap) -> DamagePlace {
        let later_group = self.group.filter(|(offset, _)| *offset > length(SEGMENT_HEADER_BYTES));
        if later_group.is_none_or(|(offset, _)| gap.offset > offset) {
            DamagePlace::LastGroup
        } else {
            DamagePlace::Settled
        }
    }
}

fn read_contents(disk: &dyn Disk, source: SegmentSource, first_commit: CommitNumber) -> Result<Contents, DiskError> {
    let mut reader = SegmentReader::from_start(source, first_commit);
    let mut contents = Contents::default();
    loop {
        match reader.step(disk)? {
            Step::End => return Ok(contents),
            Step::Gap(gap) => contents.gaps.push(gap),
            Step::Frame(found) => {
                contents.frames += 1;
                contents.first = contents.first.or(Some(found.header.commit));
                contents.last = Some(found.header.commit);
                match found.header.place {
                    GroupPlace::First => contents.group = Some((found.offset, found.header.commit)),
                    GroupPlace::Later => {}
                }
            }
        }
    }
}

/// Copies damaged bytes into a file of their own, durably, and gives its name. A complete copy is not made twice.
fn copy_aside(disk: &mut dyn Disk, segment: u32, generation: u32, gap: &Gap) -> Result<String, DiskError> {
    let from = segment_file_name(segment, generation);
    let to = damaged_file_name(segment, generation, gap.offset);
    let existing = disk.list()?.into_iter().find(|entry| entry.name == to).map(|entry| entry.bytes);
    match existing {
        Some(bytes) if bytes == gap.bytes => return Ok(to),
        Some(_) => disk.truncate(&to, 0)?,
        None => disk.create(&to)?,
    }
    let mut buffer = vec![0; COPY_BYTES.min(usize::try_from(gap.bytes).unwrap_or(COPY_BYTES))];
    let mut done = 0_u64;
    while done < gap.bytes {
        let rest = usize::try_from(gap.bytes - done).unwrap_or(usize::MAX).min(buffer.len());
        let part = buffer.get_mut(..rest).unwrap_or_default();
        let count = disk.read_at(&from, gap.offset.saturating_add(done), part)?;
        if count == 0 {
            break;
        }
        disk.write_at(&to, done, part.get(..count).unwrap_or_default())?;
        done = done.saturating_add(length(count));
    }
    disk.sync_file(&to)?;
    disk.sync_dir()?;
    Ok(to)
}
