//! Restores and clones of the hub.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Decision, Role as GrantRole, Tip};
use qianmo_protocol::ids::Epoch;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::{Delivery, ErasureReach, Upkeep};
use qianmo_server::admin::{PurgeOrder, Unsaved, purge};
use qianmo_server::hub::{ClockCheck, HubOpenError, ReleaseOrder};
use qianmo_server::registry::DeviceStanding;

use crate::world::{CountingDisk, World, assert_same_states, copy_of, june};

#[test]
fn restored_hub_is_refilled_by_the_tablets_in_a_new_epoch() {
    let mut world = World::new(31);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let tablet_b = world.enrol("P02", GrantRole::Technician);
    let kept = world.file(&mut tablet_a, "备份前");
    world.meet(&mut tablet_a);
    let backup = world.image();
    let lost = world.file(&mut tablet_a, "备份后");
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.revoke(now, &tablet_b.device(), 2).unwrap();
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
    let old = world.core.epoch();

    world.restore_from(backup);
    assert_ne!(world.core.epoch(), old);
    assert!(world.core.replica().record_row(&lost).unwrap().is_none());
    let standing = |world: &World, device| {
        world.core.devices().unwrap().into_iter().find(|row| row.device == device).unwrap().standing
    };
    assert_eq!(standing(&world, tablet_a.device()), DeviceStanding::NotConfirmed);

    // The tablet learns of the new epoch, finds that its receipt does not count any more, and sends again.
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_a);
    assert!(world.core.replica().record_row(&lost).unwrap().is_some());
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
    assert_eq!(tablet_a.replica.delivery(&kept).unwrap(), Delivery::BackedUp);
    assert_eq!(standing(&world, tablet_b.device()), DeviceStanding::Revoked, "the revocation came back, too");

    let now = world.now();
    world.core.confirm(now, &tablet_a.device()).unwrap();
    assert_eq!(standing(&world, tablet_a.device()), DeviceStanding::Active);
    world.core.complete_adoption(now).unwrap();
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
    assert!(world.core.replica().control().fold().is_epoch_ancestor(&old, &world.core.epoch()));
}

#[test]
fn unconfirmed_device_delivers_and_gets_no_records_after_a_restore() {
    let mut world = World::new(32);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "给确认过的看");
    world.meet(&mut tablet_a);
    let backup = world.image();
    world.restore_from(backup);
    world.meet(&mut tablet_b);
    assert!(tablet_b.replica.record_row(&visit).unwrap().is_none());
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    world.meet(&mut tablet_b);
    assert!(tablet_b.replica.record_row(&visit).unwrap().is_some());
}

#[test]
fn clone_that_meets_its_successors_decisions_begins_an_epoch_at_once() {
    let mut world = World::new(33);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let snapshot = world.image();
    let epoch = world.core.epoch();
    world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_a);
    // The snapshot is booted as if nothing had happened.
    world.disk.inner = snapshot;
    world.restart().unwrap();
    assert_eq!(world.core.epoch(), epoch);
    world.meet(&mut tablet_a);
    assert_ne!(world.core.epoch(), epoch);
    let fold = world.core.replica().control().fold();
    assert!(fold.is_epoch_ancestor(&epoch, &world.core.epoch()));
    assert_eq!(fold.devices().count(), 4 - 1, "the hub, and both tablets: the enrolment came back");
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    assert!(world.meet(&mut tablet_a).finished);
    // It goes on in the new epoch after a restart.
    let present: Epoch = world.core.epoch();
    world.restart().unwrap();
    assert_eq!(world.core.epoch(), present);
}

#[test]
fn two_restores_of_one_backup_never_leave_a_tablet_without_receipts() {
    // Which of two lives has the larger id is chance.
    for seed in 60..68 {
        let mut world = World::new(seed);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        world.file(&mut tablet, "备份前");
        world.meet(&mut tablet);
        let backup = world.image();
        let again = world.image();
        let mut visits = Vec::new();
        for (image, content) in [(backup, "第一次恢复之后"), (again, "第二次恢复之后")] {
            world.restore_from(image);
            visits.push(world.file(&mut tablet, content));
            for _ in 0..3 {
                world.meet(&mut tablet);
            }
            for visit in &visits {
                assert_eq!(tablet.replica.delivery(visit).unwrap(), Delivery::Acknowledged, "seed {seed}: {content}");
                assert!(world.core.replica().record_row(visit).unwrap().is_some());
            }
        }
        assert!(tablet.replica.unreceipted().unwrap().is_empty());
    }
}

#[test]
fn snapshot_kept_for_good_after_its_successor_died_gives_receipts_that_count() {
    for seed in 70..74 {
        let mut world = World::new(seed);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        let early = world.file(&mut tablet, "快照之前");
        world.meet(&mut tablet);
        let (backup, snapshot) = (world.image(), world.image());
        world.restore_from(backup);
        let lost = world.file(&mut tablet, "只有后继有过");
        world.meet(&mut tablet);
        world.meet(&mut tablet);
        assert_eq!(tablet.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
        // The successor is gone; the snapshot runs as if nothing had happened.
        world.disk.inner = snapshot;
        world.restart().unwrap();
        let before = world.core.epoch();
        for _ in 0..3 {
            world.meet(&mut tablet);
        }
        assert_ne!(world.core.epoch(), before, "it met a life that went on from its own");
        assert_eq!(tablet.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
        assert!(world.core.replica().record_row(&lost).unwrap().is_some());
        assert_eq!(tablet.replica.delivery(&early).unwrap(), Delivery::Acknowledged, "no backup was ever made");
        // It ends: the same device brings nothing new.
        let epoch = world.core.epoch();
        world.meet(&mut tablet);
        assert_eq!(world.core.epoch(), epoch);
    }
}

#[test]
fn hub_stopped_at_any_sync_of_meeting_another_life_gives_receipts_that_count() {
    for is_copy in [false, true] {
        let mut world = World::new(76);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        world.file(&mut tablet, "备份前");
        world.meet(&mut tablet);
        let (backup, again) = (world.image(), world.image());
        if is_copy {
            world.enrol("P02", GrantRole::Technician);
            world.meet(&mut tablet);
            world.disk = CountingDisk::over(again);
            world.restart().unwrap();
        } else {
            world.restore_from(backup);
            world.meet(&mut tablet);
            world.restore_from(again);
        }
        let before = world.core.epoch();
        let visit = world.file(&mut tablet, "另一段经历");
        tablet.replica.sync().unwrap();
        let tablet_before = copy_of(&tablet.disk);
        *world.disk.images.lock().unwrap() = Some(Vec::new());
        world.meet(&mut tablet);
        let images = world.disk.images.lock().unwrap().take().unwrap();
        assert!(images.len() > 2, "{} syncs", images.len());
        for (number, image) in images.into_iter().enumerate() {
            world.disk = CountingDisk::over(image);
            world.restart().unwrap();
            let mut tablet = world.tablet(tablet.key.clone(), "P01", copy_of(&tablet_before));
            for _ in 0..3 {
                world.meet(&mut tablet);
            }
            let delivery = tablet.replica.delivery(&visit).unwrap();
            assert_eq!(delivery, Delivery::Acknowledged, "copy: {is_copy}, sync {number}");
            assert!(tablet.replica.unreceipted().unwrap().is_empty(), "copy: {is_copy}, sync {number}");
            assert_ne!(world.core.epoch(), before, "copy: {is_copy}, sync {number}");
        }
    }
}

#[test]
fn copy_that_begins_an_epoch_says_of_nothing_that_a_backup_has_it() {
    let mut world = World::new(75);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet, "没有备份过");
    world.meet(&mut tablet);
    let snapshot = world.image();
    world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet);
    world.disk.inner = snapshot;
    world.restart().unwrap();
    for _ in 0..2 {
        world.meet(&mut tablet);
    }
    assert_eq!(tablet.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
}

#[test]
fn hub_restored_after_a_month_or_with_a_clock_years_off_asks_before_it_believes_the_clock() {
    let day = 86_400_000;
    for (days, is_believed) in [(30, true), (34, true), (36, false), (20_000, false), (-37, false), (-16_000, false)] {
        let mut world = World::new(80);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        world.file(&mut tablet, "备份前");
        world.meet(&mut tablet);
        let backup = world.image();
        let visit = world.file(&mut tablet, "备份后");
        world.meet(&mut tablet);
        let honest = world.clock;
        world.clock += days * day;
        let restored = world.try_restore_from(backup.clone(), ClockCheck::Strict);
        assert_eq!(restored.is_ok(), is_believed, "{days} days");
        if let Err(error) = restored {
            assert!(matches!(error, HubOpenError::ClockJump { .. }), "{error}");
            assert!(world.try_restore_from(backup, ClockCheck::Confirmed).is_ok(), "the administrator says so");
        }
        for _ in 0..2 {
            world.meet(&mut tablet);
        }
        assert_eq!(tablet.replica.delivery(&visit).unwrap(), Delivery::Acknowledged, "{days} days");
        // Set right again, it says the right time, and tablets follow: the newest by cause wins, not the largest.
        world.clock = honest + day;
        world.try_restart(ClockCheck::Confirmed).unwrap();
        let now = world.now();
        world.core.keep_time(now).unwrap();
        world.meet(&mut tablet);
        let told = tablet.replica.newest_beacon().unwrap().time.0;
        assert!((told - world.clock).abs() < day, "{days} days: {told}");
    }
}

#[test]
fn restored_hub_is_sent_again_only_what_it_lacks_after_an_erasure() {
    for seed in 90..98 {
        let mut world = World::new(seed);
        let mut tablet = world.enrol("P01", GrantRole::Technician);
        let mut other = world.enrol("P02", GrantRole::Technician);
        let kept = world.file(&mut tablet, "备份前");
        let erased = world.file(&mut tablet, "会被抹除");
        world.meet(&mut tablet);
        let commit = world.core.replica().durable_commit().0;
        let now = world.now();
        world.core.set_watermark(now, commit).unwrap();
        let backup = world.image();
        let late = world.file(&mut tablet, "备份后");
        world.meet(&mut tablet);
        let now = world.now();
        let order = PurgeOrder { doc: erased, reach: ErasureReach::Record, reason: 2, unsaved: Unsaved::Erase };
        purge(&mut world.core, now, &order).unwrap();
        world.core.keep_house().unwrap();
        let mut newcomer = world.enrol("P03", GrantRole::Technician);
        world.file(&mut newcomer, "新来的人写的");
        world.meet(&mut newcomer);
        world.meet(&mut other);
        let now = world.now();
        world.core.revoke(now, &other.device(), 2).unwrap();
        world.meet(&mut tablet);
        assert_eq!(tablet.replica.upkeep_due().unwrap(), Upkeep::Erase);
        tablet.replica.rewrite().unwrap();
        assert!(tablet.replica.unreceipted().unwrap().is_empty());
        world.restore_from(backup);
        let (first, second) = (world.meet(&mut tablet), world.meet(&mut tablet));
        let sent = first.tally.packs_sent + second.tally.packs_sent;
        assert!(sent <= 3, "seed {seed}: two that it lacks, one for its receipt, and not {sent}");
        assert_eq!(tablet.replica.delivery(&kept).unwrap(), Delivery::BackedUp, "seed {seed}");
        assert_eq!(tablet.replica.delivery(&late).unwrap(), Delivery::Acknowledged);
        assert!(world.core.replica().record_row(&erased).unwrap().is_none());
    }
}

/// A tablet brings its work to the restored hub before anybody brings the word that its person may not write any more.
#[test]
fn what_a_restored_hub_took_before_it_heard_again_of_an_ended_right_is_held_everywhere() {
    for (seed, is_revoked, restarts) in [(100, false, false), (101, true, false), (102, false, true), (103, true, true)]
    {
        let mut world = World::new(seed);
        let mut ended = world.enrol("P01", GrantRole::Technician);
        let mut witness = world.enrol("P02", GrantRole::Technician);
        let early = world.file(&mut ended, "结束之前");
        world.meet(&mut ended);
        let backup = world.image();
        let now = world.now();
        if is_revoked {
            world.core.revoke(now, &ended.device(), 2).unwrap();
        } else {
            let person = ended.person.clone();
            let fold = world.core.replica().control().fold();
            let grants: Vec<_> = fold.grants_of(&person).map(|(grant, _)| *grant).collect();
            let org = world.org();
            let mut tips = BTreeSet::new();
            for name in [june()] {
                for tip in world.core.replica().tips(&name) {
                    tips.insert(Tip { logbook: name.id(&org), log: tip.log, pack: tip.head });
                }
            }
            let cuts = grants.into_iter().map(|ends| Decision::Cut { ends, tips: tips.clone() }).collect();
            world.core.decide(now, cuts).unwrap();
        }
        world.meet(&mut witness);
        let late = world.file(&mut ended, "结束之后");
        world.restore_from(backup);
        world.meet(&mut ended);
        assert!(world.core.replica().document(&late).unwrap().is_some(), "nobody has told the hub yet");
        world.meet(&mut witness);
        if restarts {
            world.restart().unwrap();
        }
        let now = world.now();
        world.core.handle(now, Vec::new()).unwrap();
        assert!(world.core.replica().document(&late).unwrap().is_none(), "seed {seed}: it is held");
        assert!(world.core.replica().document(&early).unwrap().is_some(), "seed {seed}: what came before stays");
        let now = world.now();
        world.core.complete_adoption(now).unwrap();
        for _ in 0..2 {
            world.meet(&mut witness);
        }
        assert!(witness.replica.document(&late).unwrap().is_none(), "seed {seed}");
        assert_same_states(&[&witness.replica, world.core.replica()]);
        // A coordinator may let it through.
        let held = world.core.held().unwrap().into_iter().find(|row| row.doc == Some(late)).unwrap();
        world.core.release(now, &ReleaseOrder::Id(held.id)).unwrap();
        assert!(world.core.replica().document(&late).unwrap().is_some());
        world.restart().unwrap();
        assert!(world.core.replica().document(&late).unwrap().is_some(), "a release is not taken back");
    }
}
