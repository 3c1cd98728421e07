//! Tickets, enrolment, revocation.

use std::collections::BTreeSet;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Decision, ReplaceProof, Replaces, Role as GrantRole, Scope};
use qianmo_protocol::handshake::{EnrolRefusal, Ticket};
use qianmo_protocol::ids::{Code, DeviceId};
use qianmo_protocol::review::ReviewKind;
use qianmo_protocol::session::Stay;
use qianmo_replica::disk::MemoryDisk;
use qianmo_replica::replica::Delivery;
use qianmo_server::registry::{
    ACCOUNTS_MAX, Account, AccountError, DeviceStanding, IssueError, RegistryError, TicketGrant,
};

use crate::world::{World, assert_same_states, new_key, station};

fn technician() -> TicketGrant {
    TicketGrant { role: GrantRole::Technician, scope: Scope::Stations(BTreeSet::from([station()])) }
}

#[test]
fn ticket_read_back_from_its_text_enrols_one_device() {
    let mut world = World::new(21);
    let ticket = world.ticket("P01", GrantRole::Technician);
    let ticket = Ticket::parse(&ticket.to_string()).unwrap();
    let key = new_key(&mut world.rng);
    let enrolled = world.ask(&ticket, &key, None).unwrap();
    assert_eq!(enrolled.persons, [Code::new("P01").unwrap()]);
    let fold = world.core.replica().control().fold();
    assert!(fold.device(&enrolled.device).unwrap().is_enrolled());
    let label = world.core.devices().unwrap().into_iter().find(|row| row.device == enrolled.device).unwrap();
    assert_eq!((label.label.as_deref(), label.standing), (Some("平板"), DeviceStanding::Active));
    // The answer was lost: the same key gets the same welcome, and nothing is decided twice.
    let entries = world.core.replica().control().len();
    assert_eq!(world.ask(&ticket, &key, None).unwrap(), enrolled);
    assert_eq!(world.core.replica().control().len(), entries);
}

#[test]
fn ticket_used_by_another_device_is_refused_even_after_a_crash() {
    let mut world = World::new(22);
    let ticket = world.ticket("P01", GrantRole::Technician);
    let (key, thief) = (new_key(&mut world.rng), new_key(&mut world.rng));
    world.ask(&ticket, &key, None).unwrap();
    assert_eq!(world.ask(&ticket, &thief, None), Err(EnrolRefusal::UsedToken));
    world.restart().unwrap();
    assert_eq!(world.ask(&ticket, &thief, None), Err(EnrolRefusal::UsedToken));
    assert!(world.ask(&ticket, &key, None).is_ok());
}

#[test]
fn crash_between_ticket_and_entries_is_made_good_by_asking_again() {
    let mut world = World::new(23);
    let ticket = world.ticket("P01", GrantRole::Technician);
    let key = new_key(&mut world.rng);
    let name = qianmo_replica::disk::Disk::list(&world.disk.inner).unwrap()[0].name.clone();
    let start = world.disk.inner.contents(&name).unwrap().len();
    let enrolled = world.ask(&ticket, &key, None).unwrap();
    let whole = world.disk.inner.contents(&name).unwrap();
    let mut partly = 0;
    for cut in (start..=whole.len()).step_by(11) {
        let image = MemoryDisk::new();
        image.restore_file(&name, whole[..cut].to_vec());
        world.disk.inner = image;
        world.restart().unwrap();
        let is_enrolled = world.core.replica().control().fold().device(&enrolled.device).is_some();
        let thief = new_key(&mut world.rng);
        let taken = world.ask(&ticket, &key, None).unwrap();
        partly += usize::from(!is_enrolled);
        assert_eq!(taken.device, enrolled.device);
        assert!(world.core.replica().control().fold().device(&enrolled.device).is_some());
        assert_eq!(world.ask(&ticket, &thief, None), Err(EnrolRefusal::UsedToken));
    }
    assert!(partly > 2, "some cuts lose the entries");
}

#[test]
fn expired_unknown_and_overlong_tickets_are_refused() {
    let mut world = World::new(24);
    let key = new_key(&mut world.rng);
    let ticket = world.ticket("P01", GrantRole::Technician);
    world.clock += 24 * 3_600_000 + 1;
    assert_eq!(world.ask(&ticket, &key, None), Err(EnrolRefusal::Expired));
    let mut unknown = ticket;
    unknown.token.0[0] ^= 1;
    assert_eq!(world.ask(&unknown, &key, None), Err(EnrolRefusal::UnknownToken));

    let now = world.now();
    let mut order = world.order("P09", Some(technician()));
    order.hours = 25;
    assert!(matches!(world.core.issue_ticket(now, &order), Err(IssueError::Hours { have: 25, max: 24 })));
    let order = world.order("P09", None);
    let refused = world.core.issue_ticket(now, &order);
    assert!(matches!(refused, Err(IssueError::NoGrant { person }) if person.as_str() == "P09"));
    let mut order = world.order("P09", Some(technician()));
    order.addresses.clear();
    assert!(matches!(world.core.issue_ticket(now, &order), Err(IssueError::Addresses { have: 0, .. })));
    order = world.order("P09", Some(technician()));
    order.replaces = Some(DeviceId([1; 8]));
    assert!(matches!(world.core.issue_ticket(now, &order), Err(IssueError::UnknownDevice { .. })));
}

#[test]
fn device_takes_anothers_place_only_by_ticket_or_old_key() {
    let mut world = World::new(25);
    let old = world.enrol("P01", GrantRole::Technician);
    let by_word = Some(Replaces { device: old.device(), proof: ReplaceProof::Ticket });
    let ticket = world.ticket("P01", GrantRole::Technician);
    let thief = new_key(&mut world.rng);
    assert_eq!(world.ask(&ticket, &thief, by_word), Err(EnrolRefusal::WrongKey));

    let key = new_key(&mut world.rng);
    let org = world.org();
    let by_key = Replaces::by_old_key(&org, &old.key, &key.verifying_key().to_bytes());
    let stolen = Some(by_key.clone());
    assert_eq!(world.ask(&ticket, &thief, stolen), Err(EnrolRefusal::WrongKey));
    let enrolled = world.ask(&ticket, &key, Some(by_key)).unwrap();
    let owners = world.core.replica().control().fold().owners_of(&enrolled.device);
    assert_eq!(owners, BTreeSet::from([old.device(), enrolled.device]));

    let mut order = world.order("P01", None);
    order.replaces = Some(old.device());
    let now = world.now();
    let ticket = world.core.issue_ticket(now, &order).unwrap();
    let newer = new_key(&mut world.rng);
    let enrolled = world.ask(&ticket, &newer, None).unwrap();
    assert!(world.core.replica().control().fold().owners_of(&enrolled.device).contains(&old.device()));
}

#[test]
fn grants_are_written_once_and_an_unknown_person_gets_one() {
    let mut world = World::new(26);
    world.enrol("P01", GrantRole::Technician);
    let grants = |world: &World| world.core.replica().control().fold().grants().count();
    let before = grants(&world);
    world.enrol("P01", GrantRole::Technician);
    assert_eq!(grants(&world), before);
    world.enrol("P02", GrantRole::Coordinator);
    assert_eq!(grants(&world), before + 1);
}

#[test]
fn revoked_device_delivers_its_honest_week_and_gets_nothing() {
    let mut world = World::new(27);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let before = world.file(&mut tablet_a, "停用前送到");
    world.meet(&mut tablet_a);
    let offline = world.file(&mut tablet_a, "停用前写,停用后送");
    let secret = world.file(&mut tablet_b, "别人的");
    world.meet(&mut tablet_b);

    let now = world.now();
    world.core.revoke(now, &tablet_a.device(), 2).unwrap();
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.finished, "{meeting:?}");
    assert_eq!(meeting.tally.packs_received, 0);
    assert!(tablet_a.replica.record_row(&secret).unwrap().is_none());
    let hub = world.core.replica();
    assert!(hub.record_row(&before).unwrap().is_some(), "what the hub held stays");
    assert!(hub.record_row(&offline).unwrap().is_none(), "what came later waits for the coordinator");
    assert_eq!(tablet_a.replica.delivery(&offline).unwrap(), Delivery::Held { code: 259 });
    assert!(hub.control().fold().device(&tablet_a.device()).unwrap().is_revoked());
    // Nothing was destroyed: the coordinator lets it go.
    let scope = |entry: &Decision| matches!(entry, Decision::Quarantine { code: 259, .. });
    let held: Vec<_> =
        hub.control().iter().filter(|(_, e)| scope(&e.content().decision)).map(|(hash, _)| *hash).collect();
    let releases = held.into_iter().map(|ends| Decision::Release { ends }).collect();
    let now = world.now();
    world.core.decide(now, releases).unwrap();
    assert!(world.core.replica().record_row(&offline).unwrap().is_some());
    world.meet(&mut tablet_b);
    assert_same_states(&[&tablet_b.replica, world.core.replica()]);
}

#[test]
fn revocation_ends_an_open_session_at_once() {
    let mut world = World::new(28);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let device = tablet_a.device();
    let (session, open) = world.begin(&mut tablet_a, Stay::Subscribe);
    let mut running = [(&mut tablet_a, session)];
    world.run(&mut running, vec![open]);
    assert_eq!(world.core.connected(), BTreeSet::from([device]));
    let now = world.now();
    let first = world.core.revoke(now, &device, 2).unwrap();
    assert_eq!(world.core.revoke(now, &device, 3).unwrap(), first, "a second revocation adds nothing");
    let outputs = world.core.handle(now, Vec::new()).unwrap();
    let closed = outputs
        .iter()
        .any(|output| matches!(output, qianmo_server::hub::HubOutput::Close { code: CloseCode::Revoked, .. }));
    assert!(closed);
    assert!(world.core.connected().is_empty());
    let refused = world.core.revoke(now, &DeviceId([7; 8]), 2);
    assert!(matches!(refused, Err(RegistryError::UnknownDevice { .. })));
    let hub = world.core.replica().device();
    assert!(matches!(world.core.revoke(now, &hub, 2), Err(RegistryError::HubItself { .. })));
}

#[test]
fn stranger_with_a_certificate_and_no_enrolment_learns_nothing() {
    let mut world = World::new(29);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.file(&mut tablet_a, "秘密");
    world.meet(&mut tablet_a);
    let key = new_key(&mut world.rng);
    let mut stranger = world.tablet(key, "P99", MemoryDisk::new());
    let meeting = world.meet(&mut stranger);
    assert_eq!(meeting.tally.packs_received, 0);
    assert!(stranger.replica.control().is_empty());
}

#[test]
fn coordinator_sees_the_district_and_a_viewer_holds_nothing() {
    let mut world = World::new(30);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    let mut viewer = world.enrol("V01", GrantRole::Viewer);
    let visit = world.file(&mut tablet_a, "待审");
    world.meet_all(&mut [&mut tablet_a]);
    world.meet(&mut coordinator);
    world.meet(&mut viewer);
    assert!(coordinator.replica.record_row(&visit).unwrap().is_some());
    assert!(viewer.replica.record_row(&visit).unwrap().is_none());
    world.review(&mut coordinator, visit, ReviewKind::Approve);
    world.meet(&mut coordinator);
    world.meet(&mut tablet_a);
    let row = tablet_a.replica.record_row(&visit).unwrap().unwrap();
    assert_eq!(row.review.status, qianmo_protocol::review::ReviewStatus::Approved);
}

#[test]
fn accounts_to_the_last_are_one_fact_that_lasts_through_a_restart() {
    let mut world = World::new(77);
    let hash = qianmo_server::password::PasswordHash::of("山桃花开 before-rain").unwrap();
    let now = world.now();
    let account = |number: usize| {
        let code = Code::new(&format!("LONGEST-CODE-OF-ALL-{number:04}")).unwrap();
        Account::fresh(code.clone(), code, hash.clone(), now)
    };
    let known = world.core.accounts().unwrap().len();
    for number in known..ACCOUNTS_MAX {
        world.core.make_account(now, account(number), None).unwrap();
    }
    assert!(matches!(world.core.make_account(now, account(999), None), Err(AccountError::TooMany)));
    world.restart().unwrap();
    assert_eq!(world.core.accounts().unwrap().len(), ACCOUNTS_MAX);
}
