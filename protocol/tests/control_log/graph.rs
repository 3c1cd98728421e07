//! The graph: admission in any order, ancestors, what a peer lacks.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qianmo_protocol::control::{
    CONTROL_UNVERIFIED_MAX, ControlError, ControlLog, Decision, Entry, Fold, Inserted, SignedEntry, Signer,
};
use qianmo_protocol::ids::EntryHash;
use qianmo_protocol::time::UnixMillis;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::random::{graph, shuffled};
use crate::world::{AUTHORITY, EPOCH, World, by_hub, device, genesis, hub_id, hub_keys, org, public, signed};

fn log_from(entries: &[SignedEntry]) -> ControlLog {
    let mut log = ControlLog::new(&public(AUTHORITY));
    for entry in entries {
        log.insert(entry.clone()).unwrap();
    }
    log
}

fn confirm(byte: u8) -> Decision {
    Decision::Confirm { device: device(byte) }
}

/// Ancestors by walking the parents.
fn ancestors(log: &ControlLog, from: &EntryHash) -> BTreeSet<EntryHash> {
    let mut seen = BTreeSet::from([*from]);
    let mut next = vec![*from];
    while let Some(hash) = next.pop() {
        for parent in &log.entry(&hash).unwrap().content().parents {
            if seen.insert(*parent) {
                next.push(*parent);
            }
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_fold_is_the_same_in_any_order_of_arrival(seed: u64, count in 1usize..60) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let entries = graph(&mut rng, count);
        let log = log_from(&entries);
        prop_assert_eq!(log.len(), entries.len());
        prop_assert_eq!(log.fold(), &Fold::of(&log));
        for _ in 0..3 {
            let other = log_from(&shuffled(&mut rng, &entries));
            prop_assert_eq!(other.waiting_count(), 0);
            prop_assert_eq!(other.fold(), log.fold());
            prop_assert_eq!(other.heads(), log.heads());
            prop_assert_eq!(other.position(), log.position());
            prop_assert!(other.iter().eq(log.iter()));
            prop_assert_eq!(other.locator(), log.locator());
        }
    }

    #[test]
    fn prop_admitted_set_is_closed_and_says_what_it_took(seed: u64, count in 1usize..40) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut log = ControlLog::new(&public(AUTHORITY));
        let mut reported = Vec::new();
        let entries = graph(&mut rng, count);
        for entry in shuffled(&mut rng, &entries) {
            if let Inserted::New { admitted } = log.insert(entry).unwrap() {
                reported.extend(admitted);
            }
            for (_, entry) in log.iter() {
                prop_assert!(entry.content().parents.iter().all(|parent| log.contains(parent)));
            }
            prop_assert_eq!(reported.len(), log.len());
        }
        let position = |hash: &EntryHash| reported.iter().position(|other| other == hash);
        for (hash, entry) in log.iter() {
            prop_assert!(entry.content().parents.iter().all(|parent| position(parent) < position(hash)));
        }
    }

    #[test]
    fn prop_closure_is_what_walking_the_parents_finds(seed: u64, count in 1usize..50) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let entries = graph(&mut rng, count);
        let log = log_from(&shuffled(&mut rng, &entries));
        for (position, _) in log.iter() {
            let within = ancestors(&log, position);
            for (hash, _) in log.iter() {
                prop_assert_eq!(log.closure_contains(position, hash), within.contains(hash));
            }
        }
    }

    #[test]
    fn prop_exchange_by_heads_makes_two_logs_equal(seed: u64, count in 1usize..50, keep in 0u8..=255) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let entries = graph(&mut rng, count);
        // Each holds a part that is closed under parents, as a store does.
        let part = |offset: u32| {
            let mut log = log_from(&entries[..1]);
            for (at, entry) in entries.iter().enumerate() {
                let is_kept = (keep.rotate_left(offset) >> (at % 8)) & 1 == 1;
                if is_kept && entry.content().parents.iter().all(|parent| log.contains(parent)) {
                    log.insert(entry.clone()).unwrap();
                }
            }
            log
        };
        let (mut tablet, mut hub) = (part(0), part(3));
        let heads = |log: &ControlLog| -> Vec<EntryHash> { log.heads().iter().copied().collect() };
        let to_tablet = hub.missing_for(&heads(&tablet));
        let to_hub = tablet.missing_for(&heads(&hub));
        prop_assert!(to_tablet.unknown_heads.iter().all(|head| !hub.contains(head)));
        let (tablet_before, hub_before) = (tablet.clone(), hub.clone());
        for hash in &to_tablet.entries {
            // Parents first: nothing ever waits.
            let inserted = tablet.insert(hub_before.entry(hash).unwrap().clone()).unwrap();
            prop_assert_ne!(inserted, Inserted::Waiting);
        }
        for hash in &to_hub.entries {
            hub.insert(tablet_before.entry(hash).unwrap().clone()).unwrap();
        }
        prop_assert_eq!(tablet.fold(), hub.fold());
        prop_assert_eq!(tablet.heads(), hub.heads());
        // Nothing is left, and nothing an ancestor of a known head was sent.
        prop_assert!(hub.missing_for(&heads(&tablet)).entries.is_empty());
        let known: Vec<_> = heads(&tablet_before).into_iter().filter(|head| hub_before.contains(head)).collect();
        prop_assert!(to_tablet.entries.iter().all(|hash| !known.iter().any(|head| hub_before.closure_contains(head, hash))));
    }
}

/// A VM snapshot was booted beside its successor; both wrote an entry on the same parent (A4).
#[test]
fn two_entries_of_a_cloned_hub_with_one_parent_are_both_kept() {
    let world = World::new();
    let (mut first, mut second) = (world.clone(), world);
    let a = first.decide(confirm(1));
    let b = second.decide(confirm(2));
    let number = |log: &ControlLog, hash| log.entry(hash).unwrap().content().number;
    assert_eq!(number(&first.log, &a), number(&second.log, &b));
    let mut tablet = first.clone();
    tablet.adopt(&second.log);
    second.adopt(&first.log);
    assert_eq!(tablet.log.heads(), &BTreeSet::from([a, b]));
    assert_eq!(tablet.log.fold(), second.log.fold());
    // The next entry has both as parents: the graph closes again.
    let c = tablet.decide(confirm(3));
    assert_eq!(tablet.log.heads(), &BTreeSet::from([c]));
    assert!(tablet.log.closure_contains(&c, &a) && tablet.log.closure_contains(&c, &b));
    assert!(!tablet.log.closure_contains(&a, &b));
}

#[test]
fn entry_before_its_parent_and_its_signer_waits_and_is_admitted_later() {
    let parent = by_hub(EPOCH, 0, &[], Decision::EpochStart { parents: BTreeMap::new() });
    let parent_hash = parent.content().hash(&org());
    let child = by_hub(EPOCH, 1, &[parent_hash], confirm(1));
    let child_hash = child.content().hash(&org());
    let mut log = ControlLog::new(&public(AUTHORITY));
    assert_eq!(log.insert(child.clone()), Ok(Inserted::Waiting));
    assert_eq!(log.insert(parent), Ok(Inserted::Waiting));
    assert_eq!((log.len(), log.waiting_count()), (0, 2));
    let root = genesis().content().hash(&org());
    let Inserted::New { admitted } = log.insert(genesis()).unwrap() else { panic!("not admitted") };
    assert_eq!(admitted.len(), 3);
    assert_eq!(admitted.first(), Some(&root));
    assert_eq!(admitted.last(), Some(&child_hash));
    assert_eq!(log.insert(child), Ok(Inserted::Known));
}

#[test]
fn forged_copy_keeps_the_true_entry_out_neither_before_nor_after_its_signer_is_named() {
    let entry = by_hub(EPOCH, 0, &[], confirm(1));
    let hash = entry.content().hash(&org());
    let forged = signed(0x66, entry.content().clone());
    let mut log = ControlLog::new(&public(AUTHORITY));
    assert_eq!(log.insert(forged.clone()), Ok(Inserted::Waiting));
    assert_eq!(log.insert(entry.clone()), Ok(Inserted::Waiting));
    log.insert(genesis()).unwrap();
    assert_eq!(log.entry(&hash), Some(&entry));
    assert_eq!(log.waiting_count(), 0);
    let late = by_hub(EPOCH, 1, &[hash], confirm(2));
    let refused = log.insert(signed(0x66, late.content().clone()));
    assert!(matches!(refused, Err(ControlError::Signature { .. })), "{refused:?}");
    assert!(matches!(log.insert(late), Ok(Inserted::New { .. })));
    assert!(matches!(log.insert(forged), Ok(Inserted::Known)), "its content is there, under the true signature");
}

#[test]
fn hub_cannot_name_a_hub() {
    let mut world = World::new();
    let refused = world.log.insert(by_hub(EPOCH, 9, &[], hub_keys(0x77)));
    assert!(matches!(refused, Err(ControlError::NotForHubs { kind: 1, .. })), "{refused:?}");
    // Not even with a body that this version cannot read.
    let refused =
        world.log.insert(by_hub(EPOCH, 9, &[], Decision::Unknown { kind: 1, critical: false, body: vec![1] }));
    assert!(matches!(refused, Err(ControlError::NotForHubs { kind: 1, .. })), "{refused:?}");
    assert_eq!(world.log.fold().hubs().count(), 1);
}

#[test]
fn authority_signature_by_another_key_is_refused() {
    let entry = Entry { decision: hub_keys(0x77), ..genesis().content().clone() };
    let mut log = ControlLog::new(&public(AUTHORITY));
    let refused = log.insert(signed(0x77, entry));
    assert!(matches!(refused, Err(ControlError::Signature { signer: Signer::Authority, .. })), "{refused:?}");
}

#[test]
fn unverified_entries_are_bounded_and_do_not_stop_the_true_ones() {
    let mut log = ControlLog::new(&public(AUTHORITY));
    for number in 0..CONTROL_UNVERIFIED_MAX {
        let number = u64::try_from(number).unwrap();
        assert_eq!(log.insert(by_hub(EPOCH, number, &[EntryHash([1; 32])], confirm(1))), Ok(Inserted::Waiting));
    }
    let one_more = log.insert(by_hub(EPOCH, 99_999, &[], confirm(1)));
    assert!(matches!(one_more, Err(ControlError::TooManyWaiting { have: 256, max: 256 })), "{one_more:?}");
    log.insert(genesis()).unwrap();
    assert!(matches!(log.insert(by_hub(EPOCH, 99_999, &[], confirm(1))), Ok(Inserted::New { .. })));
}

#[test]
fn locator_spares_a_peer_that_lost_its_newest_entries_all_but_those() {
    let mut hub = World::new();
    for _ in 0..100 {
        hub.decide(confirm(1));
    }
    let backup = hub.clone();
    for _ in 0..10 {
        hub.decide(confirm(2));
    }
    let tablet = hub.log.locator();
    assert!(tablet.len() <= 8);
    let heads: Vec<EntryHash> = hub.log.heads().iter().copied().collect();
    // The restored hub does not know the tablet's head, and would send all it has.
    assert_eq!(backup.log.missing_for(&heads).entries.len(), 102);
    let with_locator = backup.log.missing_for(&tablet);
    assert_eq!(with_locator.unknown_heads.len(), 4);
    assert!(with_locator.entries.len() <= 6, "{}", with_locator.entries.len());
}

#[test]
fn ten_thousand_entries_answer_ancestor_questions_on_long_and_forked_graphs() {
    let mut log = ControlLog::new(&public(AUTHORITY));
    log.insert(genesis()).unwrap();
    let mut hashes = vec![genesis().content().hash(&org())];
    for number in 0..10_000u64 {
        // Every hundredth entry begins a fork that the next one but nine joins again.
        let last = hashes.len() - 1;
        let parents = match number % 100 {
            1 => vec![hashes[last - 1]],
            11 => vec![hashes[last], hashes[last - 10]],
            _ => vec![hashes[last]],
        };
        let decision = Decision::Unknown { kind: 500, critical: false, body: vec![1] };
        let parents: BTreeSet<EntryHash> = parents.into_iter().collect();
        let signer = Signer::Hub(hub_id());
        let entry = Entry { signer, epoch: EPOCH, number, parents, time: UnixMillis(0), decision };
        hashes.push(entry.hash(&org()));
        log.insert(signed(crate::world::HUB, entry)).unwrap();
    }
    let last = *hashes.last().unwrap();
    let reached = hashes.iter().filter(|hash| log.closure_contains(&last, hash)).count();
    assert_eq!(reached, ancestors(&log, &last).len());
    assert_eq!(reached, hashes.len());
    assert!(hashes.iter().rev().skip(1).all(|hash| !log.closure_contains(hash, &last)));
    assert_eq!(log.missing_for(&hashes[9_990..9_991]).entries, hashes[9_991..]);
}
