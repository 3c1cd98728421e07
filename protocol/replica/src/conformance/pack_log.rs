//! The contract of the pack log over a disk.

use super::{ConformanceFailure, Promise};
use crate::disk::Disk;
use crate::pack_log::{
    CommitNumber, Frame, FrameKind, FramePointer, Keep, OpenReport, PackLog, PackLogConfig, ReadError, ScanFrom,
    segment_file_name,
};

/// A way to open the same disk again and again; the last handle is dropped first.
pub(super) type Reopen<'a> = dyn FnMut() -> Box<dyn Disk> + 'a;

/// Holds the pack log over a disk to its contract. The factory gives, each time, an empty disk as a function that opens it.
///
/// # Errors
///
/// The first broken promise.
pub fn check_pack_log(mut new: impl FnMut() -> Box<dyn FnMut() -> Box<dyn Disk>>) -> Result<(), ConformanceFailure> {
    synced_frames_are_found_again(&mut *new())?;
    waiting_frames_are_not_shown(&mut *new())?;
    segments_roll_and_scans_cross_them(&mut *new())?;
    rewritten_segment_keeps_numbers(&mut *new())?;
    copied_segments_are_a_log(&mut *new(), &mut *new())
}

const KINDS: [FrameKind; 8] = [
    FrameKind::Draft,
    FrameKind::Local,
    FrameKind::Pack,
    FrameKind::Control,
    FrameKind::Verdict,
    FrameKind::Receipt,
    FrameKind::Meta,
    FrameKind::Blob,
];

fn small() -> PackLogConfig {
    PackLogConfig { segment_bytes_max: 1_000, ..PackLogConfig::new([7; 16]) }
}

fn open(promise: Promise, reopen: &mut Reopen<'_>) -> Result<PackLog, ConformanceFailure> {
    let (log, report) = promise.works(PackLog::open(reopen(), small()))?;
    promise.same(OpenReport { segments: 0, frames: 0, ..report }, OpenReport::default())?;
    Ok(log)
}

/// Appends and syncs some frames of all kinds.
fn fill(promise: Promise, log: &mut PackLog, count: usize) -> Result<Vec<(FramePointer, Frame)>, ConformanceFailure> {
    let mut frames = Vec::new();
    for (number, kind) in KINDS.into_iter().cycle().take(count).enumerate() {
        let payload = format!("payload {number}").repeat(number % 30).into_bytes();
        let pointer = promise.works(log.append(kind, &payload))?;
        frames.push((pointer, Frame { kind, commit: pointer.commit, payload }));
    }
    promise.works(log.sync())?;
    Ok(frames)
}

fn all(promise: Promise, log: &PackLog, from: ScanFrom) -> Result<Vec<(FramePointer, Frame)>, ConformanceFailure> {
    let scan = promise.works(log.scan_from(from))?;
    scan.map(|item| promise.works(item)).collect()
}

fn synced_frames_are_found_again(reopen: &mut Reopen<'_>) -> Result<(), ConformanceFailure> {
    let promise = Promise("a synced frame is found again, also after reopening");
    let mut log = open(promise, reopen)?;
    promise.same(log.durable_commit(), CommitNumber::ZERO)?;
    let mut frames = fill(promise, &mut log, 5)?;
    let parts = promise.works(log.append_parts(FrameKind::Pack, &[b"in ", b"", b"parts"]))?;
    frames.push((parts, Frame { kind: FrameKind::Pack, commit: parts.commit, payload: b"in parts".to_vec() }));
    promise.same(promise.works(log.sync())?, parts.commit)?;
    promise.same(promise.works(log.sync())?, parts.commit)?;
    drop(log);
    let log = open(promise, reopen)?;
    promise.same(log.durable_commit(), parts.commit)?;
    promise.same(Some(log.next_commit()), parts.commit.next())?;
    for (pointer, frame) in &frames {
        promise.same(&promise.works(log.read(pointer))?, frame)?;
    }
    promise.same(all(promise, &log, ScanFrom::Start)?, frames)
}

fn waiting_frames_are_not_shown(reopen: &mut Reopen<'_>) -> Result<(), ConformanceFailure> {
    let promise = Promise("a frame that was not synced is not shown");
    let mut log = open(promise, reopen)?;
    let durable = fill(promise, &mut log, 3)?;
    let waiting = promise.works(log.append(FrameKind::Local, b"waiting"))?;
    promise.holds(matches!(log.read(&waiting), Err(ReadError::NotDurable { .. })), "read")?;
    promise.same(log.durable_commit(), CommitNumber(3))?;
    promise.same(all(promise, &log, ScanFrom::Start)?, durable.clone())?;
    drop(log);
    let log = open(promise, reopen)?;
    promise.same(all(promise, &log, ScanFrom::Start)?, durable)?;
    promise.same(log.next_commit(), waiting.commit)
}

fn segments_roll_and_scans_cross_them(reopen: &mut Reopen<'_>) -> Result<(), ConformanceFailure> {
    let promise = Promise("a scan gives the frames of all segments from any place on");
    let mut log = open(promise, reopen)?;
    let frames = fill(promise, &mut log, 60)?;
    promise.holds(log.stats().segments > 5, format_args!("{} segments", log.stats().segments))?;
    drop(log);
    let log = open(promise, reopen)?;
    promise.same(all(promise, &log, ScanFrom::Start)?, frames.clone())?;
    for (index, (pointer, _)) in frames.iter().enumerate() {
        let rest = frames.get(index + 1..).unwrap_or_default();
        promise.same(all(promise, &log, ScanFrom::After(*pointer))?.as_slice(), rest)?;
        let from_here = frames.get(index..).unwrap_or_default();
        promise.same(all(promise, &log, ScanFrom::Commit(pointer.commit))?.as_slice(), from_here)?;
    }
    let beyond = log.next_commit();
    promise.same(all(promise, &log, ScanFrom::Commit(beyond))?, Vec::new())
}

fn rewritten_segment_keeps_numbers(reopen: &mut Reopen<'_>) -> Result<(), ConformanceFailure> {
    let promise = Promise("a rewrite keeps numbers, moves pointers and never frees a number");
    let mut log = open(promise, reopen)?;
    let frames = fill(promise, &mut log, 20)?;
    let segments: Vec<u32> = log.segments().iter().map(|listing| listing.segment).collect();
    for segment in segments {
        promise.works(log.rewrite_segment(segment, |pointer, frame| match pointer.commit.0 {
            2 | 17..=20 => Keep::Drop,
            3 => Keep::Replace([b"new ", frame.payload.as_slice()].concat()),
            _ => Keep::Keep,
        }))?;
    }
    for _ in 0..2 {
        let mut expected: Vec<(CommitNumber, Vec<u8>)> =
            frames.iter().map(|(pointer, frame)| (pointer.commit, frame.payload.clone())).collect();
        expected.retain(|(commit, _)| !matches!(commit.0, 2 | 17..=20));
        for (_, payload) in expected.iter_mut().filter(|(commit, _)| commit.0 == 3) {
            payload.splice(..0, *b"new ");
        }
        let found = all(promise, &log, ScanFrom::Start)?;
        promise.same(found.iter().map(|(_, frame)| (frame.commit, frame.payload.clone())).collect(), expected)?;
        for (pointer, frame) in &found {
            promise.same(&promise.works(log.read(pointer))?, frame)?;
        }
        promise.same(log.next_commit(), CommitNumber(21))?;
        for (old, _) in frames.iter().filter(|(pointer, _)| pointer.commit.0 == 2 || pointer.commit.0 == 20) {
            promise.holds(matches!(log.read(old), Err(ReadError::Moved { .. })), "an old pointer was followed")?;
        }
        drop(log);
        log = open(promise, reopen)?;
    }
    promise.same(promise.works(log.append(FrameKind::Meta, b"next"))?.commit, CommitNumber(21))
}

fn copied_segments_are_a_log(reopen: &mut Reopen<'_>, copy: &mut Reopen<'_>) -> Result<(), ConformanceFailure> {
    let promise = Promise("a copy of the durable bytes of all segments is a log");
    let mut log = open(promise, reopen)?;
    let frames = fill(promise, &mut log, 30)?;
    let listings = log.segments();
    promise.works(log.append(FrameKind::Local, b"written while copying"))?;
    promise.works(log.sync())?;
    let mut disk = copy();
    for listing in listings {
        let mut bytes = vec![0; usize::try_from(listing.durable_bytes).unwrap_or_default()];
        let read = log.read_segment_bytes(listing.segment, listing.generation, 0, &mut bytes);
        promise.same(promise.works(read)?, bytes.len())?;
        let name = segment_file_name(listing.segment, listing.generation);
        promise.works(disk.create(&name))?;
        promise.works(disk.write_at(&name, 0, &bytes))?;
    }
    drop(disk);
    let restored = open(promise, copy)?;
    promise.same(all(promise, &restored, ScanFrom::Start)?, frames)?;
    promise.holds(log.read_segment_bytes(1, 99, 0, &mut [0]).is_err(), "a generation that is not there")
}
