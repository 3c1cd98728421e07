//! The bytes on disk are those that `docs/storage.md` shows, and stay so.

#![allow(clippy::unwrap_used, reason = "test harness: a failed step is the failure")]

use qianmo_replica::disk::MemoryDisk;
use qianmo_replica::pack_log::{FrameKind, FramePointer, Keep, PackLog, PackLogConfig, ScanFrom, segment_file_name};

const HEADER_COPY: &str =
    "89514d5345470d0a0100000001000000000000000100000000000000000000005a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a";
const HEADER_CHECKSUM: &str = "7e5305a8ccde3ed768ddd190fff6f2de";
const FIRST_FRAME: &str = "060000000301 0100000000000000 e998a1e9998c 84030fc52c570266a91edeb3f11f9b8d";
const SECOND_FRAME: &str = "000000000400 0200000000000000 2ef43a954d39d7716c2886918036cbb0";
const SECOND_POINTER: &str = "0100000000000000a4000000000000000200000000000000 2ef43a954d39d7716c2886918036cbb0";

const DOCUMENT: &str = include_str!("../../../docs/storage.md");

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn joined(parts: &[&str]) -> String {
    parts.concat().replace(' ', "")
}

/// The log that the document shows: two frames in one group.
fn example() -> (MemoryDisk, PackLog, FramePointer) {
    let disk = MemoryDisk::new();
    let (mut log, _) = PackLog::open(Box::new(disk.clone()), PackLogConfig::new([0x5A; 16])).unwrap();
    log.append(FrameKind::Pack, "阡陌".as_bytes()).unwrap();
    let second = log.append(FrameKind::Control, b"").unwrap();
    log.sync().unwrap();
    (disk, log, second)
}

#[test]
fn segment_bytes_are_golden() {
    let (disk, _, second) = example();
    let bytes = disk.contents(&segment_file_name(1, 0)).unwrap();
    let copy = joined(&[HEADER_COPY, HEADER_CHECKSUM]);
    assert_eq!(hex(&bytes), joined(&[&copy, &copy, FIRST_FRAME, SECOND_FRAME]));
    assert_eq!(hex(&second.encode()), joined(&[SECOND_POINTER]));
}

#[test]
fn golden_bytes_of_version_1_are_read() {
    let copy = joined(&[HEADER_COPY, HEADER_CHECKSUM]);
    let text = joined(&[&copy, &copy, FIRST_FRAME, SECOND_FRAME]);
    let bytes =
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(text.get(at..at + 2).unwrap(), 16).unwrap()).collect();
    let disk = MemoryDisk::new();
    disk.restore_file("00000001-0000.seg", bytes);
    // Another salt for new logs: an existing log has its own.
    let (log, report) = PackLog::open(Box::new(disk), PackLogConfig::new([0; 16])).unwrap();
    assert_eq!((report.frames, report.tail_cut, report.damage.len()), (2, None, 0));
    let frames: Vec<_> = log.scan_from(ScanFrom::Start).unwrap().map(|item| item.unwrap().1).collect();
    assert_eq!(frames.iter().map(|frame| frame.kind).collect::<Vec<_>>(), [FrameKind::Pack, FrameKind::Control]);
    assert_eq!(frames.iter().map(|frame| frame.commit.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(frames.first().unwrap().payload, "阡陌".as_bytes());
}

#[test]
fn document_shows_these_bytes() {
    for line in [HEADER_COPY, HEADER_CHECKSUM, FIRST_FRAME, SECOND_FRAME, SECOND_POINTER] {
        assert!(DOCUMENT.contains(line), "docs/storage.md does not show {line}");
    }
}

#[test]
fn frame_of_an_unknown_kind_is_kept_by_a_rewrite_that_drops_everything() {
    // A later version wrote kind 200; made from a Control frame by patching the kind and the hash through a known log.
    let (disk, _, _) = example();
    let name = segment_file_name(1, 0);
    let mut bytes = disk.contents(&name).unwrap();
    let at = 128 + 36;
    *bytes.get_mut(at + 4).unwrap() = 200;
    let key = {
        let mut hasher = blake3::Hasher::new_derive_key("qianmo frame v1");
        hasher.update(&[0x5A; 16]).update(&1_u32.to_le_bytes()).update(&0_u32.to_le_bytes());
        *hasher.finalize().as_bytes()
    };
    let offset = u64::try_from(at).unwrap();
    let mut hasher = blake3::Hasher::new_keyed(&key);
    let hash = hasher.update(bytes.get(at..at + 14).unwrap()).update(&offset.to_le_bytes()).finalize();
    bytes.truncate(at + 14);
    bytes.extend_from_slice(hash.as_bytes().get(..16).unwrap());
    let disk = MemoryDisk::new();
    disk.restore_file(&name, bytes);
    let (mut log, report) = PackLog::open(Box::new(disk), PackLogConfig::new([0; 16])).unwrap();
    assert_eq!((report.frames, report.tail_cut), (2, None));
    let report = log.rewrite_segment(1, |_, _| Keep::Drop).unwrap();
    assert_eq!((report.kept, report.dropped), (1, 1));
    let left: Vec<_> = log.scan_from(ScanFrom::Start).unwrap().map(|item| item.unwrap().1.kind).collect();
    assert_eq!(left, [FrameKind::Unknown(200)]);
}
