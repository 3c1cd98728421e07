//! A12: what one enrolled thief costs everybody. A14: numbers of frames.

use std::collections::BTreeSet;

use qianmo_protocol::control::{QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::Incarnation;
use qianmo_protocol::limits::{INCARNATIONS_PER_LOGBOOK_MAX, TIPS_PER_LOG_MAX};
use qianmo_protocol::pack::{Entry, Place, seal};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::disk::{CrashMode, MemoryDisk};
use qianmo_replica::pack_log::{FrameKind, Keep, PackLog, PackLogConfig};
use qianmo_server::hub::{CODE_TOO_MANY_LOGS, CODE_TOO_MANY_TIPS};

use crate::meeting::{own_packs, quarantines};
use crate::world::{World, assert_same_states, june};

#[test]
fn log_with_more_forks_than_are_kept_is_limited_once_and_the_excess_is_offered_to_nobody() {
    let mut world = World::new(131);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut witness = world.enrol("P02", GrantRole::Technician);
    world.file(&mut tablet_a, "分叉之前");
    world.meet(&mut tablet_a);
    let log = own_packs(&tablet_a)[0].header.log;
    for number in 0..TIPS_PER_LOG_MAX + 3 {
        let image = tablet_a.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
        let mut copy = world.tablet(tablet_a.key.clone(), "P01", image);
        world.file(&mut copy, &format!("第{number}个副本写的"));
        world.meet(&mut copy);
    }
    let limits: Vec<_> = quarantines(&world).into_iter().filter(|(_, code)| *code == CODE_TOO_MANY_TIPS).collect();
    let [(QuarantineScope::LogBeyondTips { log: limited, tips, .. }, _)] = limits.as_slice() else {
        panic!("one entry, whatever comes after it: {limits:?}")
    };
    assert_eq!((*limited, tips.len()), (log, TIPS_PER_LOG_MAX));
    assert!(quarantines(&world).len() < TIPS_PER_LOG_MAX + 3, "{:?}", quarantines(&world));
    world.meet(&mut witness);
    for replica in [world.core.replica(), &witness.replica] {
        let of_log = replica.tips(&june()).into_iter().filter(|tip| tip.log == log).count();
        assert_eq!(of_log, TIPS_PER_LOG_MAX);
    }
    let held: BTreeSet<_> = witness.replica.tips(&june()).iter().map(|tip| tip.head).collect();
    assert!(tips.is_subset(&held));
    assert_same_states(&[&witness.replica, world.core.replica()]);
}

#[test]
fn device_with_more_incarnations_than_are_kept_has_the_rest_limited() {
    let mut world = World::new(132);
    let mut thief = world.enrol("P01", GrantRole::Technician);
    let mut witness = world.enrol("P02", GrantRole::Technician);
    let doc = world.file(&mut thief, "原来的");
    world.meet(&mut thief);
    let change = thief.replica.document(&doc).unwrap().unwrap().changes().next().unwrap().clone();
    let (org, key) = (world.org(), thief.key.clone());
    let control = thief.replica.control().position().unwrap();
    let excess = 3;
    let packs = (0..INCARNATIONS_PER_LOGBOOK_MAX + excess - 1).map(|number| {
        let mut incarnation = [7; 8];
        incarnation[..4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        let place =
            Place { logbook: june(), incarnation: Incarnation(incarnation), after: None, control, time: world.now() };
        let entries = vec![Entry::Root { change: change.clone() }];
        seal(&org, &key, place, entries, 3).unwrap().into_parts().0
    });
    let packs: Vec<_> = packs.collect();
    thief.replica.take_packs(packs).unwrap();
    thief.replica.sync().unwrap();
    thief.replica.judge().unwrap();
    world.meet(&mut thief);
    let limits = quarantines(&world);
    assert_eq!(limits.iter().filter(|(_, code)| *code == CODE_TOO_MANY_LOGS).count(), excess);
    world.meet(&mut witness);
    for replica in [world.core.replica(), &witness.replica] {
        let logs: BTreeSet<_> = replica.tips(&june()).iter().map(|tip| tip.log).collect();
        assert_eq!(logs.len(), INCARNATIONS_PER_LOGBOOK_MAX);
    }
    assert!(witness.replica.record(&doc).unwrap().is_some());
    assert_eq!(witness.replica.vector_digest(&june()), world.core.replica().vector_digest(&june()));
    assert_same_states(&[&witness.replica, world.core.replica()]);
}

/// An erasure takes the last frame out, and the machine stops: its number must not come again, for others know it.
#[test]
fn number_of_a_last_frame_that_was_dropped_is_never_given_again() {
    let disk = MemoryDisk::new();
    let open = |disk: &MemoryDisk| PackLog::open(Box::new(disk.clone()), PackLogConfig::new([7; 16])).unwrap().0;
    let mut log = open(&disk);
    let mut last = 0;
    for _ in 0..3 {
        last = log.append(FrameKind::Local, b"saved").unwrap().commit.0;
        log.sync().unwrap();
    }
    let segment = log.segments()[0].segment;
    log.rewrite_segment(segment, |pointer, _| if pointer.commit.0 == last { Keep::Drop } else { Keep::Keep }).unwrap();
    drop(log);
    let mut log = open(&disk);
    let next = log.append(FrameKind::Local, b"later").unwrap().commit.0;
    log.sync().unwrap();
    assert!(next > last, "{next} after {last}");
}
