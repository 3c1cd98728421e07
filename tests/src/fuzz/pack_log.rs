//! The pack log on a disk that was damaged in any way.
//!
//! Opening never panics; where no header is hurt it always succeeds, and every frame whose bytes are as they were is
//! read: before the damage, and, where nothing was moved, after it too. What opens can be written to, and opens again.

use std::collections::BTreeMap;

use qianmo_replica::disk::{CrashMode, Disk, MemoryDisk};
use qianmo_replica::pack_log::{
    FRAME_OVERHEAD_BYTES, Frame, FrameKind, PackLog, PackLogConfig, SEGMENT_HEADER_BYTES, ScanFrom, VerifyAtOpen,
    segment_file_name,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::script::Script;

const SALT: [u8; 16] = [0x5A; 16];
const FRAMES_MAX: usize = 40;
const DAMAGES_MAX: usize = 12;
/// What an input may spread over the files, so that a small one costs little.
const BYTES_MAX: usize = 64 * 1024;

fn config(segment_bytes_max: u64) -> PackLogConfig {
    PackLogConfig { segment_bytes_max, verify_at_open: VerifyAtOpen::Everything, ..PackLogConfig::new(SALT) }
}

fn opened(disk: &MemoryDisk, config: PackLogConfig) -> Option<PackLog> {
    let disk: Box<dyn Disk> = Box::new(disk.clone());
    match PackLog::open(disk, config) {
        Ok((log, _)) => Some(log),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// An even first byte: an honest log, then damage. An odd one: files of any name and content.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    if script.below(2) == 0 { damaged(script) } else { foreign(script) }
}

/// A frame as it was written, and where.
struct Written {
    frame: Frame,
    segment: u32,
    offset: usize,
}

impl Written {
    fn bytes(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + FRAME_OVERHEAD_BYTES + self.frame.payload.len()
    }
}

fn written(script: &mut Script<'_>, config: PackLogConfig) -> (MemoryDisk, Vec<Written>) {
    let disk = MemoryDisk::new();
    let mut log = opened(&disk, config).unwrap();
    let mut frames = Vec::new();
    for number in 0..script.below(FRAMES_MAX) {
        let kind = FrameKind::from_byte(script.byte() % 8 + 1).unwrap();
        let length = if script.once_in(12) { usize::from(script.byte()) * 64 } else { usize::from(script.byte()) };
        let payload = vec![u8::try_from(number).unwrap(); length];
        let pointer = log.append(kind, &payload).unwrap();
        let frame = Frame { kind, commit: pointer.commit, payload };
        frames.push(Written { frame, segment: pointer.segment, offset: usize::try_from(pointer.offset).unwrap() });
        if script.below(3) == 0 {
            log.sync().unwrap();
        }
    }
    log.sync().unwrap();
    (disk, frames)
}

fn damaged(mut script: Script<'_>) {
    let config = config([512, 1_024, 4_096][script.below(3)]);
    let (disk, frames) = written(&mut script, config);
    let honest: BTreeMap<String, Vec<u8>> = files(&disk);
    let mut hurt = honest.clone();
    for _ in 0..script.below(DAMAGES_MAX) {
        let number = script.below(hurt.len());
        if let Some(bytes) = hurt.values_mut().nth(number) {
            damage(bytes, &mut script);
        }
    }
    let disk = MemoryDisk::new();
    hurt.iter().for_each(|(name, bytes)| disk.restore_file(name, bytes.clone()));
    let header =
        |name: &String, files: &BTreeMap<String, Vec<u8>>| files[name].get(..SEGMENT_HEADER_BYTES).map(<[u8]>::to_vec);
    let whole_headers = honest.keys().all(|name| header(name, &honest) == header(name, &hurt));
    let Some(mut log) = opened(&disk, config) else {
        assert!(!whole_headers, "a log with whole headers does not open");
        return;
    };
    let read = scanned(&log);
    assert!(read.iter().all(|frame| frames.iter().any(|written| written.frame == *frame)), "a frame nobody wrote");
    if whole_headers {
        for written in &frames {
            let name = segment_file_name(written.segment, 0);
            if is_intact(written, &honest[&name], &hurt[&name]) {
                assert!(read.contains(&written.frame), "frame {} is intact and not read", written.frame.commit.0);
            }
        }
    }
    goes_on(&mut log, &disk, config, &read);
}

/// Its bytes are where they were, whatever lies around it.
fn is_intact(written: &Written, honest: &[u8], hurt: &[u8]) -> bool {
    hurt.get(written.bytes()).is_some_and(|bytes| honest.get(written.bytes()) == Some(bytes))
}

fn files(disk: &MemoryDisk) -> BTreeMap<String, Vec<u8>> {
    disk.list().unwrap().into_iter().map(|entry| (entry.name.clone(), disk.contents(&entry.name).unwrap())).collect()
}

fn damage(bytes: &mut Vec<u8>, script: &mut Script<'_>) {
    let at = usize::from(script.u16()) % (bytes.len() + 1);
    match script.below(8) {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << script.below(8);
            }
        }
        1 => {
            let new = script.bytes();
            let end = (at + new.len()).min(bytes.len());
            bytes[at..end].copy_from_slice(&new[..end - at]);
        }
        2 => bytes.truncate(at),
        3 => {
            let end = (at + usize::from(script.byte())).min(bytes.len());
            bytes[at..end].fill(0);
        }
        4 => drop(bytes.splice(at..at, script.bytes().iter().copied())),
        5 => {
            let end = (at + usize::from(script.byte())).min(bytes.len());
            drop(bytes.drain(at..end));
        }
        6 => {
            // A block of another place, as a misdirected write leaves it.
            let from = usize::from(script.u16()) % (bytes.len() + 1);
            let length = usize::from(script.byte()).min(bytes.len() - from).min(bytes.len() - at);
            bytes.copy_within(from..from + length, at);
        }
        _ => bytes.extend_from_slice(script.bytes()),
    }
}

fn scanned(log: &PackLog) -> Vec<Frame> {
    let frames: Vec<Frame> =
        log.scan_from(ScanFrom::Start).unwrap().filter_map(Result::ok).map(|(_, frame)| frame).collect();
    assert!(frames.is_sorted_by(|a, b| a.commit < b.commit), "numbers do not rise");
    frames
}

/// What was read stays, a new frame comes to it, and a power cut takes neither.
fn goes_on(log: &mut PackLog, disk: &MemoryDisk, config: PackLogConfig, read: &[Frame]) {
    assert!(!log.is_poisoned(), "no write failed");
    let pointer = log.append(FrameKind::Meta, b"later").unwrap();
    assert!(read.iter().all(|frame| frame.commit < pointer.commit), "a number is given twice");
    log.sync().unwrap();
    let mut expected = read.to_vec();
    expected.push(Frame { kind: FrameKind::Meta, commit: pointer.commit, payload: b"later".to_vec() });
    assert_eq!(scanned(log), expected);
    let cut = disk.crash(CrashMode::DropUnsynced, &mut ChaCha8Rng::seed_from_u64(1));
    assert_eq!(scanned(&opened(&cut, config).unwrap()), expected, "a power cut lost what was synced");
}

fn foreign(mut script: Script<'_>) {
    let disk = MemoryDisk::new();
    let mut left = BYTES_MAX;
    for _ in 0..=script.below(5) {
        let (segment, generation) = (u32::from(script.byte() % 4), u32::from(script.byte() % 3));
        let name = match script.below(4) {
            0 => format!("{segment:08}-{generation:04}.tmp"),
            1 => format!("{segment}-{generation}.seg"),
            _ => segment_file_name(segment, generation),
        };
        let mut bytes = Vec::new();
        if script.below(2) == 0 {
            let header = qianmo_replica::pack_log::SegmentHeader {
                segment,
                generation,
                first_commit: qianmo_replica::pack_log::CommitNumber(script.u64() >> script.below(64)),
                salt: SALT,
            };
            bytes = header.encode();
        }
        for _ in 0..script.below(4) {
            let piece = script.bytes();
            let times = script.below(64).min(left / piece.len().max(1));
            bytes.extend(piece.repeat(times));
            left -= piece.len() * times;
        }
        disk.restore_file(&name, bytes);
    }
    let config = config(1_024);
    if let Some(mut log) = opened(&disk, config) {
        let read = scanned(&log);
        if log.append(FrameKind::Meta, b"").is_ok() {
            log.sync().unwrap();
            assert!(scanned(&log).len() > read.len());
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for size in 0..3 {
        let mut log = vec![0, size, 12];
        for frame in 0..12 {
            log.extend([frame, frame, frame * 19, frame % 3]);
        }
        seeds.push(log.clone());
        for damage in 0..8 {
            let mut hurt = log.clone();
            hurt.extend([3, 0, 1, damage * 30, damage, 4, 9, 9, 9, 9, 1, 0, 200, damage, 3, 1, 1, 1]);
            seeds.push(hurt);
        }
    }
    seeds.push(vec![1, 3, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 3, 7, 7, 7, 40, 2, 1, 2, 1]);
    seeds.push(vec![1, 1, 1, 0, 0, 1, 2, 1, 4, 0, 0, 0, 0, 9]);
    seeds
}
