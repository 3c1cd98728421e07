//! A4, A5, A7: two machines of one hub, whose word counts, and what time it is.

use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::digest32;
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_replica::replica::{Delivery, EvictHold, Foreign, RecordFilter};

use crate::meeting::{content, meet_beside_the_hub, own_packs, seal, text};
use crate::world::{World, assert_same_states, june};

const DAY_MS: i64 = 86_400_000;

/// A snapshot is booted beside its successor, and both decide. A tablet that knows the one is not turned away by the other.
#[test]
fn tablet_that_met_one_machine_of_a_cloned_hub_goes_on_with_either() {
    let mut world = World::new(141);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let snapshot = world.image();
    let on_first = world.enrol("P03", GrantRole::Technician).device();
    let first = world.file(&mut tablet_a, "在第一台上送到");
    assert!(world.meet(&mut tablet_a).finished);
    let successor = world.image();
    world.disk.inner = snapshot;
    world.restart().unwrap();
    // Its decision has the same parent and the same number as the successor's.
    let on_second = world.enrol("P04", GrantRole::Technician).device();
    let second = world.file(&mut tablet_b, "在第二台上送到");
    assert!(world.meet(&mut tablet_b).finished);
    for _ in 0..2 {
        assert!(world.meet(&mut tablet_a).finished, "both children of one parent are kept");
    }
    let fold = world.core.replica().control().fold();
    assert!([on_first, on_second].iter().all(|device| fold.device(device).is_some_and(|one| one.is_enrolled())));
    assert_eq!(content(world.core.replica(), &first), text("在第一台上送到"));
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    // And with the successor, which hears of the second machine from the tablet.
    world.disk.inner = successor;
    world.restart().unwrap();
    for _ in 0..2 {
        assert!(world.meet(&mut tablet_a).finished && world.meet(&mut tablet_b).finished);
    }
    let fold = world.core.replica().control().fold();
    assert!(fold.device(&on_second).is_some_and(|device| device.is_enrolled()));
    assert_eq!(content(world.core.replica(), &second), text("在第二台上送到"));
    assert_eq!(world.core.counters().states_differed, 0);
}

/// The old machine confirms and checkpoints; the administrator keeps the new one, which never had it.
#[test]
fn month_that_only_the_lost_machine_had_is_not_evicted_and_is_sent_again() {
    let mut world = World::new(142);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    let visit = world.file(&mut tablet_a, "旧机收到并备份");
    world.meet(&mut tablet_a);
    let (now, commit) = (world.now(), world.core.replica().durable_commit().0);
    world.core.set_watermark(now, commit).unwrap();
    world.clock += 61_000;
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::BackedUp);
    assert_eq!(tablet_a.replica.evict_hold(&june(), Foreign::BackedUp).unwrap(), None);
    world.restore_from(backup);
    // It hears of the new machine from another tablet before it meets it.
    let entries = world.core.replica().control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_a.replica.adopt(entries).unwrap();
    tablet_a.replica.take_beacon(&world.core.replica().beacon().unwrap()).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Waiting, "what the lost machine said is void");
    let hold = tablet_a.replica.evict_hold(&june(), Foreign::BackedUp).unwrap();
    assert_eq!(hold, Some(EvictHold::Unreceipted { count: 1 }));
    assert!(world.meet(&mut tablet_a).finished);
    assert_eq!(content(world.core.replica(), &visit), text("旧机收到并备份"));
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    let hold = tablet_a.replica.evict_hold(&june(), Foreign::BackedUp).unwrap();
    assert_eq!(hold, Some(EvictHold::NotBackedUp { count: 1 }));
}

/// A peer hands back a forged 已备份, and a real one in the name of another hub.
#[test]
fn receipt_or_beacon_that_no_hub_signed_changes_no_status() {
    let mut world = World::new(143);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut peer = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let visit = world.file(&mut tablet_a, "还没有送到");
    seal(&mut world, &mut tablet_a);
    let org = world.org();
    let (hub, epoch) = (world.core.hub(), world.core.epoch());
    let packs = own_packs(&tablet_a).iter().map(|pack| pack.hash(&org)).collect();
    let receipt = Receipt { hub, epoch, commit: 1, packs, verdict: Verdict::Passed };
    let known = tablet_a.replica.newest_beacon().unwrap();
    let beacon = Beacon { hub, epoch, sequence: known.sequence + 9, time: known.time, commit: 9_999, watermark: 9_999 };
    tablet_a.replica.take_receipt(SignedReceipt::sign(&org, &peer.key, receipt).unwrap()).unwrap();
    tablet_a.replica.take_beacon(&SignedBeacon::sign(&org, &peer.key, beacon).unwrap()).unwrap();
    tablet_a.replica.sync().unwrap();
    // The peer's own acknowledgement is worth as little.
    meet_beside_the_hub(&mut world, &mut tablet_a, &mut peer);
    assert_eq!(content(&peer.replica, &visit), text("还没有送到"));
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Waiting);
    assert_eq!(tablet_a.replica.newest_beacon().unwrap(), known);
}

fn month(tablet: &crate::world::Tablet) -> Month {
    tablet.replica.newest_beacon().unwrap().time.month_in_shanghai().unwrap()
}

/// No administrative act since July: time goes on all the same.
#[test]
fn beacon_moves_on_to_november_though_nobody_decides_anything() {
    let mut world = World::new(144);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let decided = world.core.replica().control().len();
    for days in [30, 31, 31, 30, 31] {
        world.clock += days * DAY_MS;
        let now = world.now();
        world.core.keep_time(now).unwrap();
        world.meet(&mut tablet_a);
    }
    assert_eq!(month(&tablet_a), Month::new(2025, 11).unwrap());
    assert_eq!(world.core.replica().control().len(), decided, "a beacon is no entry");
    world.restart().unwrap();
    let november = crate::world::month(11);
    let visit = world.file_in(&mut tablet_a, &november, "十一月的走访");
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
}

/// The hub says 2099 for a minute. The newest beacon counts, not the largest time, and tablets pass it on.
#[test]
fn hub_that_said_2099_for_a_minute_corrects_itself_on_every_tablet() {
    let mut world = World::new(145);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_b);
    let right = world.clock;
    world.clock = UnixMillis(4_080_000_000_000).0;
    world.meet(&mut tablet_a);
    meet_beside_the_hub(&mut world, &mut tablet_b, &mut tablet_a);
    for tablet in [&tablet_a, &tablet_b] {
        assert_eq!(month(tablet), Month::new(2099, 4).unwrap(), "passed on between tablets");
    }
    world.clock = right + 3_600_000;
    world.meet(&mut tablet_a);
    meet_beside_the_hub(&mut world, &mut tablet_b, &mut tablet_a);
    for tablet in [&tablet_a, &tablet_b] {
        assert_eq!(month(tablet), Month::new(2025, 6).unwrap());
    }
    // What was said wrongly in between never comes back from whoever still has it.
    meet_beside_the_hub(&mut world, &mut tablet_a, &mut tablet_b);
    assert_eq!(month(&tablet_a), Month::new(2025, 6).unwrap());
    assert_eq!(tablet_a.replica.count_records(&RecordFilter::default()).unwrap(), 0);
}

/// A15: `org‖kind` without lengths is ambiguous.
#[test]
fn digest_of_parts_depends_on_where_they_are_split_and_on_its_domain() {
    let whole = digest32("qianmo pack v1", &[b"abcd"]);
    assert_ne!(digest32("qianmo pack v1", &[b"ab", b"cd"]), whole);
    assert_ne!(digest32("qianmo pack v1", &[b"ab", b"cd"]), digest32("qianmo pack v1", &[b"abc", b"d"]));
    assert_ne!(digest32("qianmo pack v1", &[b"abcd", b""]), whole);
    assert_ne!(digest32("qianmo pack root v1", &[b"abcd"]), whole);
}
