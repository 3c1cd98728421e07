//! sled is disposable: whatever its folder looks like, the index opens and says what it threw away.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test harness: a failed step is the failure")]

use std::fs;
use std::path::{Path, PathBuf};

use qianmo_replica::index::{Batch, Index, IndexOpen, KeyRange, SledIndex};
use qianmo_replica::pack_log::{CommitNumber, FrameHash, FramePointer};
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tempfile::TempDir;

const ENTRIES: u32 = 400;
const CACHE_BYTES: u64 = 1 << 20;

fn pointer(commit: u64) -> FramePointer {
    FramePointer { segment: 1, generation: 0, offset: 128, commit: CommitNumber(commit), hash: FrameHash([9; 16]) }
}

/// A well-closed index with some content.
fn filled(dir: &Path) {
    let (mut index, _) = SledIndex::open(dir, CACHE_BYTES).unwrap();
    for chunk in 0..4 {
        let mut batch = Batch::new();
        for number in chunk * ENTRIES / 4..(chunk + 1) * ENTRIES / 4 {
            batch.put(format!("key{number:05}"), vec![u8::try_from(number % 251).unwrap(); 700]);
        }
        batch.absorb(pointer(u64::from(chunk) + 1));
        index.apply(batch).unwrap();
    }
    index.close().unwrap();
}

/// Opens whatever is there. The result is either all that was, or nothing and no absorbed position; and it works.
fn opens_by_itself(dir: &Path) -> IndexOpen {
    let (mut index, open) = SledIndex::open(dir, CACHE_BYTES).unwrap();
    // Damage that shows only when read is an error, and then clearing helps.
    let read = index.absorbed().ok().zip(index.scan(&KeyRange::all(), None, 1000).ok());
    let Some((absorbed, page)) = read else {
        index.clear().unwrap();
        works(&mut index);
        return IndexOpen::Rebuilt { reason: "damage found when reading".into() };
    };
    match &open {
        IndexOpen::Opened if absorbed == Some(pointer(4)) => {
            assert_eq!(page.entries.len(), usize::try_from(ENTRIES).unwrap());
        }
        // An older state is fine: the rest is replayed from its absorbed position.
        IndexOpen::Opened => {
            let batches = absorbed.map_or(0, |pointer| usize::try_from(pointer.commit.0).unwrap());
            assert_eq!(page.entries.len(), batches * 100, "content and absorbed position go together");
        }
        IndexOpen::Created | IndexOpen::Rebuilt { .. } => {
            assert_eq!((absorbed, page.entries.len()), (None, 0));
        }
    }
    works(&mut index);
    open
}

fn works(index: &mut SledIndex) {
    let mut batch = Batch::new();
    batch.put(b"new", b"1");
    batch.absorb(pointer(77));
    index.apply(batch).unwrap();
    assert_eq!(index.get(b"new").unwrap(), Some(b"1".to_vec()));
    assert_eq!(index.absorbed().unwrap(), Some(pointer(77)));
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir.join("sled")).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.retain(|path| path.is_file());
    found.sort();
    found
}

#[test]
fn deleted_folder_becomes_an_empty_index() {
    let root = TempDir::new().unwrap();
    filled(root.path());
    fs::remove_dir_all(root.path().join("sled")).unwrap();
    assert_eq!(opens_by_itself(root.path()), IndexOpen::Created);
}

#[test]
fn unfinished_snapshot_is_removed_and_nothing_is_lost() {
    let root = TempDir::new().unwrap();
    filled(root.path());
    fs::write(root.path().join("sled/snap.0000.generating"), b"half").unwrap();
    fs::write(root.path().join("sled/snap.FFFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    assert_eq!(opens_by_itself(root.path()), IndexOpen::Opened);
}

#[test]
fn killed_process_keeps_its_index() {
    let root = TempDir::new().unwrap();
    filled(root.path());
    // As if the process that closed well had been killed instead: its note is there, of this boot.
    let (index, _) = SledIndex::open(root.path(), CACHE_BYTES).unwrap();
    let note = fs::read(root.path().join("session")).unwrap();
    drop(index);
    assert!(!root.path().join("session").exists(), "a well-closed index leaves no note");
    fs::write(root.path().join("session"), note).unwrap();
    assert_eq!(opens_by_itself(root.path()), IndexOpen::Opened);
}

#[test]
fn index_open_while_the_machine_stopped_is_thrown_away() {
    for note in [b"another boot".as_slice(), b"unknown", b""] {
        let root = TempDir::new().unwrap();
        filled(root.path());
        fs::write(root.path().join("session"), note).unwrap();
        assert!(matches!(opens_by_itself(root.path()), IndexOpen::Rebuilt { .. }));
    }
}

#[test]
fn truncated_files_never_keep_it_from_opening() {
    let source = TempDir::new().unwrap();
    filled(source.path());
    let mut rebuilt = 0;
    for (number, path) in files(source.path()).iter().enumerate() {
        let length = fs::metadata(path).unwrap().len();
        for part in [0, 1, length / 3, length / 2, length.saturating_sub(1)] {
            let copy = TempDir::new().unwrap();
            copy_folder(source.path(), copy.path());
            let target = copy.path().join("sled").join(path.file_name().unwrap());
            fs::OpenOptions::new().write(true).open(target).unwrap().set_len(part).unwrap();
            let open = opens_by_itself(copy.path());
            rebuilt += usize::from(open != IndexOpen::Opened);
            assert!(number < 10, "sled made more files than this test expects");
        }
    }
    assert!(rebuilt > 0, "no truncation was noticed: the test damages nothing");
}

#[test]
fn flipped_bits_never_keep_it_from_opening() {
    let source = TempDir::new().unwrap();
    filled(source.path());
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut rebuilt = 0;
    for path in files(source.path()) {
        for _ in 0..12 {
            let copy = TempDir::new().unwrap();
            copy_folder(source.path(), copy.path());
            let target = copy.path().join("sled").join(path.file_name().unwrap());
            let mut bytes = fs::read(&target).unwrap();
            // The first bytes matter most; the rest of sled's file is mostly unused room.
            let range = if rng.next_u32() % 2 == 0 { bytes.len().min(64) } else { bytes.len() };
            for _ in 0..3 {
                let at = usize::try_from(rng.next_u64()).unwrap() % range;
                bytes[at] ^= 1 << (rng.next_u32() % 8);
            }
            fs::write(&target, bytes).unwrap();
            rebuilt += usize::from(opens_by_itself(copy.path()) != IndexOpen::Opened);
        }
    }
    assert!(rebuilt > 0, "no flip was noticed: the test damages nothing");
}

#[test]
fn garbage_instead_of_files_never_keeps_it_from_opening() {
    let root = TempDir::new().unwrap();
    filled(root.path());
    for path in files(root.path()) {
        fs::write(path, b"not a sled file at all").unwrap();
    }
    assert!(matches!(opens_by_itself(root.path()), IndexOpen::Rebuilt { .. }));
    fs::remove_dir_all(root.path().join("sled")).unwrap();
    fs::write(root.path().join("sled"), b"a file where the folder was").unwrap();
    assert!(matches!(opens_by_itself(root.path()), IndexOpen::Rebuilt { .. }));
}

#[test]
fn index_that_failed_when_it_was_read_is_thrown_away_at_the_next_opening() {
    let root = TempDir::new().unwrap();
    filled(root.path());
    let (index, open) = SledIndex::open(root.path(), 4096).unwrap();
    assert_eq!(open, IndexOpen::Opened);
    let file = root.path().join("sled/db");
    let whole = fs::read(&file).unwrap();
    fs::write(&file, whole.iter().map(|byte| byte ^ 0x55).collect::<Vec<u8>>()).unwrap();
    index.scan(&KeyRange::all(), None, 1000).unwrap_err();
    // Damage that does not show when it is opened: as if it were not there.
    fs::write(&file, whole).unwrap();
    drop(index);
    assert!(matches!(opens_by_itself(root.path()), IndexOpen::Rebuilt { .. }));
    // And only once.
    assert_eq!(SledIndex::open(root.path(), CACHE_BYTES).unwrap().1, IndexOpen::Opened);
}
