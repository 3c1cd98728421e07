//! Who may only upload hears why: a program that is too old, a device that was revoked.

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Decision, Role as GrantRole};
use qianmo_protocol::session::Stay;
use qianmo_protocol::session::message::ByeReason;
use qianmo_replica::replica::Delivery;

use crate::world::World;

#[test]
fn program_below_the_minimum_version_uploads_and_reads_nothing() {
    let mut world = World::new(61);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let theirs = world.file(&mut tablet_b, "别人的");
    world.meet(&mut tablet_b);
    let now = world.now();
    let minimum = world.core.decide(now, vec![Decision::MinimumVersion { version: 2 }]).unwrap()[0];

    let ours = world.file(&mut tablet_a, "旧版写的");
    let meeting = world.meet(&mut tablet_a);
    assert_eq!(meeting.closed, Some(CloseCode::IncompatibleVersion));
    assert_eq!(tablet_a.replica.delivery(&ours).unwrap(), Delivery::Acknowledged, "uploading goes on");
    assert!(world.core.replica().record_row(&ours).unwrap().is_some());
    assert!(tablet_a.replica.record_row(&theirs).unwrap().is_none(), "reading does not");
    assert_eq!(tablet_a.replica.control().fold().minimum_version(), 2, "and the tablet can say why");

    let now = world.now();
    world.core.decide(now, vec![Decision::EndMinimumVersion { ends: minimum }]).unwrap();
    let meeting = world.meet(&mut tablet_a);
    assert_eq!((meeting.closed, meeting.finished), (Some(CloseCode::Done), true));
    assert!(tablet_a.replica.record_row(&theirs).unwrap().is_some());
}

#[test]
fn subscriber_whose_program_becomes_too_old_is_sent_away() {
    let mut world = World::new(62);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let (running, open) = world.begin(&mut tablet_a, Stay::Subscribe);
    let mut running = [(&mut tablet_a, running)];
    world.run(&mut running, vec![open]);
    assert_eq!(running[0].1.closed, None);
    let now = world.now();
    world.core.decide(now, vec![Decision::MinimumVersion { version: 2 }]).unwrap();
    let outputs = world.core.handle(now, Vec::new()).unwrap();
    crate::world::deliver(&mut running, outputs);
    assert_eq!(running[0].1.closed, Some(CloseCode::IncompatibleVersion));

    // One that comes and would stay is sent away once it has brought what it has.
    let [(tablet, _)] = running;
    let (again, open) = world.begin(tablet, Stay::Subscribe);
    let mut running = [(tablet, again)];
    world.run(&mut running, vec![open]);
    assert_eq!((running[0].1.closed, running[0].1.finished), (Some(CloseCode::IncompatibleVersion), true));
}

#[test]
fn revoked_device_hears_so_at_the_end_of_its_upload() {
    let mut world = World::new(63);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.meet(&mut tablet_a);
    world.file(&mut tablet_a, "停用之后送到的");
    let now = world.now();
    world.core.revoke(now, &tablet_a.device(), 2).unwrap();
    for stay in [Stay::Leave, Stay::Subscribe] {
        let (running, open) = world.begin(&mut tablet_a, stay);
        let mut running = [(&mut tablet_a, running)];
        world.run(&mut running, vec![open]);
        let [(_, session)] = &running;
        assert_eq!((session.closed, session.finished), (Some(CloseCode::Revoked), true));
        assert_eq!(session.byes.iter().map(|bye| bye.reason).collect::<Vec<_>>(), [ByeReason::Revoked]);
    }
}
