//! Every storage implementation keeps its contract.

#![allow(clippy::unwrap_used, reason = "test harness: a failed step is the failure")]

use std::path::PathBuf;

use qianmo_replica::conformance::{ConformanceFailure, check_disk, check_index, check_pack_log};
use qianmo_replica::disk::{Disk, DiskOpenError, MemoryDisk, RealDisk};
use qianmo_replica::index::{Batch, Index, IndexOpen, MemoryIndex, SledIndex};
use qianmo_replica::pack_log::{CommitNumber, FrameHash, FramePointer};
use tempfile::TempDir;

/// New folders, removed together at the end.
struct Folders {
    root: TempDir,
    count: usize,
}

impl Folders {
    fn new() -> Self {
        Self { root: TempDir::new().unwrap(), count: 0 }
    }

    fn next(&mut self) -> PathBuf {
        self.count += 1;
        self.root.path().join(self.count.to_string())
    }
}

#[test]
fn memory_disk_conforms() -> Result<(), ConformanceFailure> {
    check_disk(|| Box::new(MemoryDisk::new()))
}

#[test]
fn real_disk_conforms() -> Result<(), ConformanceFailure> {
    let mut folders = Folders::new();
    check_disk(|| Box::new(RealDisk::open(folders.next()).unwrap()))
}

#[test]
fn pack_log_on_memory_disk_conforms() -> Result<(), ConformanceFailure> {
    check_pack_log(|| {
        let disk = MemoryDisk::new();
        Box::new(move || Box::new(disk.clone()))
    })
}

#[test]
fn pack_log_on_real_disk_conforms() -> Result<(), ConformanceFailure> {
    let mut folders = Folders::new();
    check_pack_log(|| {
        let dir = folders.next();
        Box::new(move || Box::new(RealDisk::open(&dir).unwrap()))
    })
}

#[test]
fn memory_index_conforms() -> Result<(), ConformanceFailure> {
    check_index(|| Box::new(MemoryIndex::new()))
}

#[test]
fn sled_index_conforms() -> Result<(), ConformanceFailure> {
    let mut folders = Folders::new();
    check_index(|| {
        let (index, open) = SledIndex::open(folders.next(), 1 << 20).unwrap();
        assert_eq!(open, IndexOpen::Created);
        Box::new(index)
    })
}

#[test]
fn second_holder_of_a_folder_is_refused_until_the_first_lets_go() {
    let mut folders = Folders::new();
    let dir = folders.next();
    let first = RealDisk::open(&dir).unwrap();
    let refused = RealDisk::open(&dir).unwrap_err();
    assert!(matches!(refused, DiskOpenError::Locked { .. }), "{refused}");
    assert!(refused.to_string().starts_with("another process holds this store"), "{refused}");
    drop(first);
    RealDisk::open(&dir).unwrap();
}

#[test]
fn real_disk_knows_its_free_room() {
    let mut folders = Folders::new();
    let disk = RealDisk::open(folders.next()).unwrap();
    if cfg!(unix) {
        assert!(disk.free_bytes().unwrap() > 0);
    }
}

#[test]
fn real_disk_serves_more_files_than_it_keeps_open() {
    let mut folders = Folders::new();
    let mut disk = RealDisk::open(folders.next()).unwrap();
    let names: Vec<String> = (0..100).map(|number| format!("{number}.seg")).collect();
    for name in &names {
        disk.create(name).unwrap();
        disk.write_at(name, 0, name.as_bytes()).unwrap();
        disk.sync_file(name).unwrap();
    }
    for name in &names {
        let mut buffer = vec![0; 20];
        let count = disk.read_at(name, 0, &mut buffer).unwrap();
        assert_eq!(&buffer[..count], name.as_bytes());
    }
}

#[test]
fn sled_index_keeps_entries_and_absorbed_position_across_reopen() {
    let mut folders = Folders::new();
    let dir = folders.next();
    let pointer =
        FramePointer { segment: 3, generation: 1, offset: 99, commit: CommitNumber(12), hash: FrameHash([4; 16]) };
    let (mut index, _) = SledIndex::open(&dir, 1 << 20).unwrap();
    let mut batch = Batch::new();
    batch.put(b"a", b"1");
    batch.absorb(pointer);
    index.apply(batch).unwrap();
    index.close().unwrap();
    // At once: the lock may still be held by threads of the closed one.
    let (index, open) = SledIndex::open(&dir, 1 << 20).unwrap();
    assert_eq!(open, IndexOpen::Opened);
    assert_eq!(index.get(b"a").unwrap(), Some(b"1".to_vec()));
    assert_eq!(index.absorbed().unwrap(), Some(pointer));
}
