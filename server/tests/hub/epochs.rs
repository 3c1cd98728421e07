//! Restores and clones of the hub.

use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::Epoch;
use qianmo_replica::replica::Delivery;
use qianmo_server::registry::DeviceStanding;

use crate::world::{World, assert_same_states};

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
