//! Epochs: whose receipts still count, and which beacon is the newest (A5, A7).

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::control::{Decision, SignatureError};
use qianmo_protocol::ids::{ChangeHash, Epoch, HubId};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::time::UnixMillis;

use crate::world::{EPOCH, HUB, World, hub_id, key, org, pack, public};

const SECOND: Epoch = Epoch([2; 16]);
const THIRD: Epoch = Epoch([3; 16]);
const STRANGER: Epoch = Epoch([9; 16]);

fn receipt(epoch: Epoch, commit: u64) -> Receipt {
    Receipt { hub: hub_id(), epoch, commit, packs: BTreeSet::from([pack(1)]), verdict: Verdict::Passed }
}

fn beacon(epoch: Epoch, sequence: u64, time: i64) -> Beacon {
    Beacon { hub: hub_id(), epoch, sequence, time: UnixMillis(time), commit: 1, watermark: 1 }
}

/// The old VM checkpoints a tablet, the tablet evicts, the administrator keeps the new hub (A5).
#[test]
fn receipt_beyond_the_restore_point_no_longer_counts() {
    let mut world = World::new();
    let counts = |world: &World, epoch, commit| world.log.fold().receipt_counts(&receipt(epoch, commit), &world.epoch);
    assert!(counts(&world, EPOCH, u64::MAX));
    world.restore(SECOND, 100);
    assert!(counts(&world, EPOCH, 100) && !counts(&world, EPOCH, 101));
    assert!(counts(&world, SECOND, 5_000));
    assert!(!counts(&world, STRANGER, 1));
    world.restore(THIRD, 60);
    assert!(counts(&world, SECOND, 60) && !counts(&world, SECOND, 61));
    assert!(counts(&world, EPOCH, 60) && !counts(&world, EPOCH, 100), "the third contains only 60 of the second");
    let of_another_hub = Receipt { hub: HubId([7; 8]), ..receipt(THIRD, 1) };
    assert!(!world.log.fold().receipt_counts(&of_another_hub, &THIRD));
}

#[test]
fn receipt_of_an_epoch_whose_beginning_is_not_known_does_not_count_yet() {
    let world = World::new();
    assert!(!world.log.fold().receipt_counts(&receipt(SECOND, 1), &SECOND));
}

#[test]
fn epoch_with_two_parents_contains_the_better_of_two_lines() {
    let mut world = World::new();
    world.restore(SECOND, 100);
    world.epoch = THIRD;
    world.decide(Decision::EpochStart { parents: BTreeMap::from([(EPOCH, 40), (SECOND, 300)]) });
    let fold = world.log.fold();
    assert_eq!(fold.contained_commit(&THIRD, &EPOCH), Some(100));
    assert_eq!(fold.contained_commit(&THIRD, &SECOND), Some(300));
    assert_eq!(fold.contained_commit(&SECOND, &THIRD), None);
    assert!(fold.is_epoch_ancestor(&EPOCH, &THIRD) && !fold.is_epoch_ancestor(&THIRD, &EPOCH));
    assert!(!fold.is_epoch_ancestor(&EPOCH, &EPOCH));
}

#[test]
fn epochs_in_a_ring_end() {
    let mut world = World::new();
    world.restore(SECOND, 100);
    world.epoch = EPOCH;
    world.decide(Decision::EpochStart { parents: BTreeMap::from([(SECOND, 50)]) });
    let fold = world.log.fold();
    assert_eq!(fold.contained_commit(&EPOCH, &SECOND), Some(50));
    assert_eq!(fold.contained_commit(&SECOND, &EPOCH), Some(100));
    let (a, b) = (beacon(EPOCH, 1, 0), beacon(SECOND, 1, 0));
    assert_ne!(a.is_newer(&b, fold), b.is_newer(&a, fold));
}

#[test]
fn receipt_and_beacon_count_only_under_a_named_hub_key() {
    let world = World::new();
    let fold = world.log.fold();
    let honest = SignedReceipt::sign(&org(), &key(HUB), receipt(EPOCH, 1)).unwrap();
    assert_eq!(honest.verify_in(fold), Ok(honest.content()));
    let forged = SignedReceipt::sign(&org(), &key(0x66), receipt(EPOCH, 1)).unwrap();
    assert_eq!(forged.verify_in(fold), Err(SignatureError::DoesNotVerify));
    let own_hub = Receipt { hub: HubId::from_key(&public(0x66)), ..receipt(EPOCH, 1) };
    let forged = SignedReceipt::sign(&org(), &key(0x66), own_hub).unwrap();
    assert_eq!(forged.verify_in(fold), Err(SignatureError::DoesNotVerify));
    let honest = SignedBeacon::sign(&org(), &key(HUB), beacon(EPOCH, 1, 0)).unwrap();
    assert_eq!(honest.verify_in(fold), Ok(honest.content()));
    let forged = SignedBeacon::sign(&org(), &key(0x66), beacon(EPOCH, 1, 0)).unwrap();
    assert_eq!(forged.verify_in(fold), Err(SignatureError::DoesNotVerify));
}

#[test]
fn receipt_says_which_changes_passed() {
    let (held, passed) = (ChangeHash([1; 32]), ChangeHash([2; 32]));
    let verdict = Verdict::Held(BTreeSet::from([(held, 261)]));
    let receipt = Receipt { verdict, ..receipt(EPOCH, 1) };
    assert!(!receipt.is_passed(&held) && receipt.is_passed(&passed));
    assert!(Receipt { verdict: Verdict::Passed, ..receipt }.is_passed(&held));
}

/// The hub said 2099 for a minute; its next beacon, with the right time, replaces that (A7).
#[test]
fn later_beacon_with_a_smaller_time_is_newer() {
    let world = World::new();
    let (wrong, right) = (beacon(EPOCH, 4, 4_070_908_800_000), beacon(EPOCH, 5, 1_750_000_000_000));
    assert!(right.is_newer(&wrong, world.log.fold()));
    assert!(!wrong.is_newer(&right, world.log.fold()));
    assert!(!right.is_newer(&right, world.log.fold()));
}

#[test]
fn beacon_of_a_restored_hub_is_newer_than_a_later_time() {
    let mut world = World::new();
    // The larger id is the older epoch, so that the ids cannot decide.
    world.restore(Epoch([0; 16]), 10);
    let (old, new) = (beacon(EPOCH, 900, 4_070_908_800_000), beacon(Epoch([0; 16]), 0, 1));
    assert!(new.is_newer(&old, world.log.fold()));
    assert!(!old.is_newer(&new, world.log.fold()));
}

proptest! {
    #[test]
    fn prop_beacons_settle_on_one_whatever_the_order(
        parents in prop::collection::vec((0u8..8, 0u8..8), 0..12),
        beacons in prop::collection::vec((0u8..8, 0u64..3, 0i64..3), 1..10),
        turn in 0usize..10,
    ) {
        let mut world = World::new();
        for (epoch, parent) in parents {
            // Parents have smaller numbers, so the epochs form no ring.
            if parent < epoch {
                world.epoch = Epoch([epoch; 16]);
                world.decide(Decision::EpochStart { parents: BTreeMap::from([(Epoch([parent; 16]), 5)]) });
            }
        }
        let fold = world.log.fold();
        let mut beacons: Vec<Beacon> = beacons.into_iter().map(|(e, s, t)| beacon(Epoch([e; 16]), s, t)).collect();
        let settle = |beacons: &[Beacon]| {
            beacons.iter().skip(1).fold(beacons[0], |kept, next| if next.is_newer(&kept, fold) { *next } else { kept })
        };
        let settled = settle(&beacons);
        for other in &beacons {
            prop_assert!(!other.is_newer(&settled, fold));
            prop_assert!(!fold.is_epoch_ancestor(&settled.epoch, &other.epoch), "a descendant epoch wins");
        }
        let by = turn % beacons.len();
        beacons.rotate_left(by);
        prop_assert_eq!(settle(&beacons), settled);
        beacons.reverse();
        prop_assert_eq!(settle(&beacons), settled);
    }
}
