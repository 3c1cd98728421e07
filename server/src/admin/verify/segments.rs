//! The segment files of a log: each by itself, and whether one is missing.

use std::collections::BTreeMap;

use qianmo_replica::disk::{Disk as _, DiskError};
use qianmo_replica::pack_log::{SegmentCheck, check_segment, parse_segment_file_name};
use qianmo_replica::replica::{Roll, RollState};

use super::super::snapshot_disk::SnapshotDisk;
use super::VerifyReport;

/// A segment file that counts.
#[derive(Debug)]
pub(super) struct Segment {
    name: String,
    generation: u32,
    bytes: u64,
    check: SegmentCheck,
}

/// Reads every segment file. Damage is reported here, what is missing in [`check_roll`].
pub(super) fn check_segments(
    disk: &SnapshotDisk,
    report: &mut VerifyReport,
) -> Result<BTreeMap<u32, Segment>, DiskError> {
    let mut segments: BTreeMap<u32, Segment> = BTreeMap::new();
    for file in disk.list()? {
        let Some((id, generation)) = parse_segment_file_name(&file.name) else {
            report.fault(format!("{} is no name of a segment", file.name));
            continue;
        };
        if segments.get(&id).is_some_and(|other| other.generation > generation) {
            continue;
        }
        let check = check_segment(disk, &file.name, file.bytes)?;
        let segment = Segment { name: file.name, generation, bytes: file.bytes, check };
        if let Some(older) = segments.insert(id, segment) {
            report.note(format!("{} was rewritten since; the next start removes it", older.name));
        }
    }
    report.segments = segments.len();
    let mut salts = segments.values().filter_map(|segment| Some(segment.check.header?.salt));
    let salt = salts.next();
    for (id, segment) in &segments {
        report.frames = report.frames.saturating_add(segment.check.frames);
        let name = &segment.name;
        if let Some(header) = segment.check.header {
            if header.segment != *id || header.generation != segment.generation {
                let (is, generation) = (header.segment, header.generation);
                report.fault(format!("{name} holds segment {is} of generation {generation}: files were swapped"));
            }
            if Some(header.salt) != salt {
                report.fault(format!("{name} is of another log"));
            }
        }
        for (offset, bytes) in &segment.check.damage {
            let is_end = segments.last_key_value().is_some_and(|(last, _)| last == id)
                && offset.saturating_add(*bytes) == segment.bytes;
            let hint = if is_end { " at its end; after a crash start the hub once and verify again" } else { "" };
            report.fault(format!("{name}: {bytes} bytes at {offset} are damaged{hint}"));
        }
    }
    Ok(segments)
}

/// Whether a segment, or frames of one, are missing.
pub(super) fn check_roll(segments: &BTreeMap<u32, Segment>, roll: Option<&Roll>, report: &mut VerifyReport) {
    let to = roll.map_or(0, |roll| roll.to);
    if let Some(roll) = roll {
        match roll.state {
            RollState::Settled => check_listed(segments, roll, report),
            RollState::Rewriting => {
                report.note("a rewrite of the log was interrupted; the next one ends it".to_owned())
            }
        }
    }
    // After the roll nothing was ever dropped.
    let mut expected = to + 1;
    let mut next_commit = None;
    for (id, segment) in segments.range(to + 1..) {
        if *id != expected {
            report.fault(format!("segments {expected} to {} are missing", id - 1));
            next_commit = None;
        }
        let first = segment.check.header.map(|header| header.first_commit);
        if let (Some(next), Some(first)) = (next_commit, first)
            && next != first
        {
            report.fault(format!("frames {next} to {} are missing before {}", first.previous(), segment.name));
        }
        if !segment.check.is_complete && segment.check.damage.is_empty() {
            report.fault(format!("frames are missing in {}", segment.name));
        }
        next_commit = match segment.check.last {
            Some(last) => last.next(),
            None => first,
        };
        expected = id.saturating_add(1);
    }
}

/// What the last rewrite left must be there as it was left, and what it dropped must not.
fn check_listed(segments: &BTreeMap<u32, Segment>, roll: &Roll, report: &mut VerifyReport) {
    for line in &roll.lines {
        match segments.get(&line.segment) {
            None => report.fault(format!("segment {} is missing", line.segment)),
            Some(found) if found.generation != line.generation => {
                let (is, was) = (found.generation, line.generation);
                report.fault(format!("{} is of generation {is}, the last rewrite left {was}", found.name));
            }
            Some(found) if found.bytes != line.bytes => {
                let (is, was) = (found.bytes, line.bytes);
                report.fault(format!("{} has {is} bytes, the last rewrite left {was}", found.name));
            }
            Some(_) => {}
        }
    }
    for (id, found) in segments.range(roll.from..=roll.to) {
        if !roll.lines.iter().any(|line| line.segment == *id) {
            report.fault(format!("{} was dropped by the last rewrite and is back", found.name));
        }
    }
}
