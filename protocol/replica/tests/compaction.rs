//! Superseded frames leave the log when they are much of it, and not before.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test harness: a failed step is the failure")]

use std::path::Path;

use ed25519_dalek::SigningKey;
use qianmo_replica::disk::{Disk as _, Fault, FaultError, FaultSpan, FaultTarget, MemoryDisk};
use qianmo_replica::frames::DraftId;
use qianmo_replica::index::{MemoryIndex, SledIndex};
use qianmo_replica::replica::{COMPACT_BYTES_MIN, Identity, OpenReport, Replica, Role, Upkeep};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// As large as a draft may be.
const DRAFT_BYTES: usize = 256 * 1024;

fn open(disk: &MemoryDisk) -> Replica {
    let authority = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    let identity = Identity { authority, key: SigningKey::from_bytes(&[2; 32]), role: Role::Tablet };
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    Replica::open(Box::new(disk.clone()), Box::new(MemoryIndex::new()), identity, &mut rng).unwrap().0
}

/// As [`open`], with the index of a folder.
fn open_at(disk: &MemoryDisk, index: &Path) -> (Replica, OpenReport) {
    let authority = SigningKey::from_bytes(&[1; 32]).verifying_key().to_bytes();
    let identity = Identity { authority, key: SigningKey::from_bytes(&[2; 32]), role: Role::Tablet };
    let (index, _) = SledIndex::open(index, 1 << 20).unwrap();
    Replica::open(Box::new(disk.clone()), Box::new(index), identity, &mut ChaCha8Rng::seed_from_u64(1)).unwrap()
}

fn save(replica: &mut Replica, draft: u8, fill: u8) {
    replica.put_draft(DraftId([draft; 8]), Some(vec![fill; DRAFT_BYTES])).unwrap();
    replica.sync().unwrap();
}

fn bytes_on(disk: &MemoryDisk) -> u64 {
    disk.list().unwrap().iter().map(|file| file.bytes).sum()
}

#[test]
fn log_of_which_half_is_superseded_is_rewritten_and_keeps_what_counts() {
    let disk = MemoryDisk::new();
    let mut replica = open(&disk);
    assert_eq!(replica.upkeep_due().unwrap(), Upkeep::Nothing);
    let mut saves = 0;
    let due = loop {
        save(&mut replica, 1, saves);
        saves += 1;
        match replica.upkeep_due().unwrap() {
            Upkeep::Nothing => assert!(saves < 200, "it never becomes due"),
            due @ (Upkeep::Erase | Upkeep::Compact { .. }) => break due,
        }
    };
    let Upkeep::Compact { superseded, of } = due else { panic!("{due:?}") };
    assert!(superseded >= COMPACT_BYTES_MIN && superseded * 2 >= of, "{superseded} of {of}");
    assert_eq!(replica.upkeep_due().unwrap(), due, "asking changes nothing");
    let before = replica.drafts().unwrap();
    let commit = replica.durable_commit();
    let totals = replica.rewrite().unwrap();
    assert!(totals.bytes_after < totals.bytes_before / 8, "{totals:?}");
    assert!(bytes_on(&disk) < 1024 * 1024, "the disk has the room back");
    assert_eq!(replica.drafts().unwrap(), before);
    assert!(replica.durable_commit() > commit, "numbers are never used again");
    assert_eq!(replica.upkeep_due().unwrap(), Upkeep::Nothing);
    drop(replica);
    assert_eq!(open(&disk).drafts().unwrap(), before);
}

#[test]
fn log_that_is_mostly_alive_is_left_alone_and_not_counted_at_every_save() {
    let disk = MemoryDisk::new();
    let mut replica = open(&disk);
    for draft in 0..60 {
        save(&mut replica, draft, draft);
    }
    assert_eq!(replica.upkeep_due().unwrap(), Upkeep::Nothing);
    let counted = replica.durable_commit();
    save(&mut replica, 0, 1);
    assert_eq!(replica.upkeep_due().unwrap(), Upkeep::Nothing);
    assert_eq!(replica.durable_commit().0, counted.0 + 1, "it was not read through again for one save");
    // A store that is opened for every command counts no oftener.
    drop(replica);
    let mut replica = open(&disk);
    assert_eq!(replica.upkeep_due().unwrap(), Upkeep::Nothing);
    assert_eq!(replica.durable_commit().0, counted.0 + 1);
}

#[test]
fn rewrite_that_ends_at_any_operation_leaves_a_store_that_reads_everything_then_and_when_opened_again() {
    let mut rebuilt = 0;
    for killed_at in 0.. {
        let (disk, folder) = (MemoryDisk::new(), tempfile::tempdir().unwrap());
        let (mut replica, _) = open_at(&disk, folder.path());
        // Two segments with drafts that stay, and a third that the rewrites leave alone.
        for draft in 0..3 {
            replica.put_draft(DraftId([draft; 8]), Some(vec![draft; 100])).unwrap();
            replica.put_draft(DraftId([9; 8]), Some(vec![draft; 100])).unwrap();
            replica.sync().unwrap();
            replica.rewrite().unwrap();
        }
        replica.put_draft(DraftId([9; 8]), Some(vec![1; 100])).unwrap();
        replica.sync().unwrap();
        let before = replica.drafts().unwrap();
        disk.inject(Fault {
            target: FaultTarget::AnyChange,
            skip: killed_at,
            error: FaultError::Io,
            span: FaultSpan::UntilHealed,
        });
        let is_done = replica.rewrite().is_ok();
        assert_eq!(replica.drafts().unwrap(), before, "failed at operation {killed_at}");
        // The process ends here, and the index stays as it is.
        drop(replica);
        disk.heal();
        let (replica, report) = open_at(&disk, folder.path());
        assert_eq!(replica.drafts().unwrap(), before, "killed at operation {killed_at}");
        rebuilt += usize::from(report.rebuilt.is_some());
        if is_done {
            break;
        }
    }
    assert!(rebuilt > 0, "no rewrite was interrupted");
}
