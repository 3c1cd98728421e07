//! Sessions: convergence, receipts, group commit, news, stopping.

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::session::Stay;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::Delivery;
use qianmo_server::hub::Command;

use crate::world::{Tablet, World, assert_same_states, june};

#[test]
fn two_tablets_converge_through_the_hub_and_hold_its_receipts() {
    let mut world = World::new(1);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Expert);
    let visit = world.file(&mut tablet_a, "查看套袋情况");
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Waiting);

    let meetings = world.meet_all(&mut [&mut tablet_a, &mut tablet_b]);
    assert!(meetings.iter().all(|meeting| meeting.finished && meeting.closed == Some(CloseCode::Done)));
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    assert!(tablet_a.replica.unreceipted().unwrap().is_empty());

    // tablet_b was there at the same moment; whatever it missed, its next session brings.
    let meeting = world.meet(&mut tablet_b);
    assert!(meeting.states_differ.is_empty());
    assert!(tablet_b.replica.record_row(&visit).unwrap().is_some());
    world.edit(&mut tablet_b, visit, "content", "梨小食心虫零星");
    world.meet(&mut tablet_b);
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.states_differ.is_empty());
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    assert_eq!(world.core.counters().states_differed, 0);
}

#[test]
fn day_of_work_and_an_idle_session_take_one_round_trip_each() {
    let mut world = World::new(2);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.file(&mut tablet_a, "一");
    assert_eq!(world.meet(&mut tablet_a).tally.turns_received, 1);
    assert_eq!(world.meet(&mut tablet_a).tally.turns_received, 1);
}

#[test]
fn one_batch_of_many_tablets_costs_a_fixed_number_of_syncs() {
    let syncs_of = |tablets: usize| {
        let mut world = World::new(3);
        let mut tablets: Vec<Tablet> =
            (0..tablets).map(|number| world.enrol(&format!("P{number:02}"), GrantRole::Technician)).collect();
        for tablet in &mut tablets {
            world.file(tablet, "查看");
        }
        // The beacon of a new minute is part of either.
        world.clock += 120_000;
        let before = (world.syncs(), world.core.counters().group_commits);
        let mut all: Vec<&mut Tablet> = tablets.iter_mut().collect();
        let meetings = world.meet_all(&mut all);
        assert!(meetings.iter().all(|meeting| meeting.finished));
        (world.syncs() - before.0, world.core.counters().group_commits - before.1)
    };
    let (one, one_commits) = syncs_of(1);
    let (many, many_commits) = syncs_of(24);
    assert_eq!(many, one, "24 tablets cost as many fdatasyncs as one");
    assert_eq!((one_commits, many_commits), (1, 1));
    assert!(one <= 4, "{one} fdatasyncs for one batch");
}

#[test]
fn subscriber_hears_of_what_another_brings_and_not_of_its_own() {
    let mut world = World::new(4);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let (session_b, open) = world.begin(&mut tablet_b, Stay::Subscribe);
    let mut running = [(&mut tablet_b, session_b)];
    world.run(&mut running, vec![open]);
    assert_eq!(running[0].1.closed, None);

    let visit = world.file(&mut tablet_a, "推送");
    let (session_a, open) = world.begin(&mut tablet_a, Stay::Leave);
    let [(tablet_b, session_b)] = running;
    let mut both = [(tablet_b, session_b), (&mut tablet_a, session_a)];
    world.run(&mut both, vec![open]);
    assert!(both[0].0.replica.record_row(&visit).unwrap().is_some(), "the push arrived");
    assert_eq!(world.core.counters().pushes, 1);
    assert_eq!(both[1].1.closed, Some(CloseCode::Done));
    assert_eq!(world.core.session_count(), 1);
}

#[test]
fn stopping_hub_says_later_and_loses_nothing_it_acknowledged() {
    let mut world = World::new(5);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "停机前");
    let (session, open) = world.begin(&mut tablet_a, Stay::Subscribe);
    let mut running = [(&mut tablet_a, session)];
    world.run(&mut running, vec![open]);
    world.run(&mut running, vec![Command::Stop]);
    assert_eq!(running[0].1.closed, Some(CloseCode::ShuttingDown));
    world.restart().unwrap();
    assert!(world.core.replica().record_row(&visit).unwrap().is_some());
    let [(tablet_a, _)] = running;
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
}

#[test]
fn restarted_hub_is_what_it_was() {
    let mut world = World::new(6);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    for content in ["一", "二", "三"] {
        world.file(&mut tablet_a, content);
        world.meet(&mut tablet_a);
    }
    let states = world.core.replica().state_digests();
    let epoch = world.core.epoch();
    world.restart().unwrap();
    assert_eq!(world.core.replica().state_digests(), states);
    assert_eq!(world.core.epoch(), epoch);
    assert_eq!(world.core.counters().quarantines, 0);
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.finished && meeting.tally.packs_sent == 0 && meeting.tally.packs_received == 0);
}

#[test]
fn beacon_numbers_are_never_used_twice_and_a_watermark_reaches_the_tablet() {
    let mut world = World::new(7);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "备份");
    world.meet(&mut tablet_a);
    let first = world.core.replica().newest_beacon().unwrap();
    let commit = world.core.replica().durable_commit().0;
    let now = world.now();
    world.core.set_watermark(now, commit).unwrap();
    world.restart().unwrap();
    assert_eq!(world.core.watermark(), commit);
    world.clock += 61_000;
    world.meet(&mut tablet_a);
    let last = world.core.replica().newest_beacon().unwrap();
    assert!(last.sequence > first.sequence + 1);
    assert_eq!(last.watermark, commit);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::BackedUp);
}

#[test]
fn hub_whose_clock_jumped_starts_only_when_confirmed() {
    use qianmo_replica::index::MemoryIndex;
    use qianmo_server::hub::{ClockCheck, HubCore, HubOpenError};
    let mut world = World::new(8);
    world.clock += 36 * 86_400_000;
    assert!(matches!(world.restart(), Err(HubOpenError::ClockJump { days: 36, max: 35 })));
    let mut setup = crate::world::setup(&world.authority, &world.secrets, 1);
    setup.clock = ClockCheck::Confirmed;
    let disk = Box::new(world.disk.clone());
    let now = UnixMillis(world.clock);
    assert!(HubCore::open(disk, Box::new(MemoryIndex::new()), setup, now).is_ok());
}

#[test]
fn device_over_its_quota_is_sent_away_and_comes_back_the_next_day() {
    let mut world = World::new(9);
    let mut setup = crate::world::setup(&world.authority, &world.secrets, 1);
    setup.limits.packs_per_device_per_day_max = 2;
    let now = world.now();
    let disk = Box::new(world.disk.clone());
    let index = Box::new(qianmo_replica::index::MemoryIndex::new());
    world.core = qianmo_server::hub::HubCore::open(disk, index, setup, now).unwrap().0;
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    for _ in 0..2 {
        world.file(&mut tablet_a, "配额内");
        assert!(world.meet(&mut tablet_a).finished);
    }
    let visit = world.file(&mut tablet_a, "配额外");
    assert_eq!(world.meet(&mut tablet_a).closed, Some(CloseCode::Busy));
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Waiting);
    world.clock += 86_400_000;
    assert!(world.meet(&mut tablet_a).finished);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    assert!(world.core.replica().state_digests().iter().any(|(name, _)| *name == june()));
}

#[test]
fn failing_disk_acknowledges_nothing_and_the_tablet_sends_again() {
    use qianmo_replica::disk::{DiskOperation, Fault, FaultError, FaultSpan, FaultTarget};
    for skip in 0..4 {
        let mut world = World::new(50 + skip);
        let mut tablet_a = world.enrol("P01", GrantRole::Technician);
        let visit = world.file(&mut tablet_a, "盘坏了");
        let (mut session, open) = world.begin(&mut tablet_a, Stay::Leave);
        session.pump(&mut tablet_a.replica);
        let target = FaultTarget::Operation(DiskOperation::SyncFile);
        world.disk.inner.inject(Fault { target, skip, error: FaultError::Io, span: FaultSpan::UntilHealed });
        let mut commands = vec![open];
        commands.extend(session.take_messages());
        let now = world.now();
        let before = world.image();
        let answered = world.core.handle(now, commands);
        let failed = answered.is_err();
        if let Ok(outputs) = answered {
            assert!(!outputs.is_empty());
            assert!(skip >= 2, "the pack and its verdict cost two syncs");
        }
        // What the hub said nothing about may be lost with the power: the tablet still has it.
        world.disk.inner = if failed { before } else { world.image() };
        world.restart().unwrap();
        assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Waiting, "no receipt came");
        assert!(world.meet(&mut tablet_a).finished);
        assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
        assert!(world.core.replica().record_row(&visit).unwrap().is_some());
    }
}
