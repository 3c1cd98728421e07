//! What fails the gate is published, once, bounded, and also after a crash.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Carrier, Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::{Code, LogbookName};
use qianmo_protocol::receipt::Verdict;
use qianmo_protocol::review::{ReviewKind, ReviewStatus, Standing};
use qianmo_protocol::session::Shelf;
use qianmo_protocol::time::Month;
use qianmo_replica::disk::{Disk as _, MemoryDisk};
use qianmo_replica::replica::{CODE_WAITS, Delivery, RecordFilter};
use qianmo_server::hub::{CODE_MONTH_AHEAD, CODE_TOO_MANY_FAILURES, ReleaseOrder};

use crate::world::{World, assert_same_states, june, month};

const CODE_NO_ROLE: u16 = 261;
/// A tablet seals what lies beyond a limit anew so many times, each time in a log of its own.
const SEALED_ANEW_MAX: usize = 3;

fn quarantines(world: &World) -> Vec<(QuarantineScope, u16)> {
    let control = world.core.replica().control();
    let decisions = control.iter().map(|(_, entry)| entry.content().decision.clone());
    let quarantines = decisions.filter_map(|decision| {
        let Decision::Quarantine { scope, code } = decision else { return None };
        Some((scope, code))
    });
    quarantines.collect()
}

#[test]
fn failing_change_is_published_and_states_stay_equal() {
    let mut world = World::new(11);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "自己通过自己");
    world.review(&mut tablet_a, visit, ReviewKind::Approve);
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.finished && meeting.states_differ.is_empty());
    world.meet(&mut tablet_b);

    let published = quarantines(&world);
    assert_eq!(published.len(), 1);
    assert!(matches!(published[0], (QuarantineScope::Change { carrier: Carrier::Pack(_), .. }, CODE_NO_ROLE)));
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    for replica in [&tablet_a.replica, &tablet_b.replica, world.core.replica()] {
        let row = replica.record_row(&visit).unwrap().unwrap();
        assert_eq!(row.review.status, ReviewStatus::Pending, "the approval counts nowhere");
    }
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_NO_ROLE });
}

#[test]
fn receipt_names_what_is_held_also_when_the_pack_is_sent_again() {
    let mut world = World::new(12);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "重发");
    world.review(&mut tablet_a, visit, ReviewKind::Approve);
    // The first answer is lost: a copy of the tablet as it was before sends the same pack again.
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let unreceipted = tablet_a.replica.unreceipted().unwrap();
    let packs: Vec<_> =
        unreceipted.iter().map(|(name, hash)| Shelf::pack(&tablet_a.replica, name, hash).unwrap()).collect();
    world.meet(&mut tablet_a);
    let verdicts = receipts_for(&mut world, &tablet_a, packs);
    assert_eq!(verdicts.len(), 1);
    let Verdict::Held(held) = &verdicts[0] else { panic!("nothing held") };
    assert_eq!(held.iter().map(|(_, code)| *code).collect::<Vec<_>>(), [CODE_NO_ROLE]);
    assert_eq!(quarantines(&world).len(), 1, "published once");
}

/// What is left out of a receipt's list passed, and binds a restored hub: a change that the gate was never asked about is
/// no such thing.
#[test]
fn receipt_names_what_waits_for_a_held_change() {
    let mut world = World::new(15);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let elsewhere = LogbookName::StationMonth(Code::new("ST02").unwrap(), Month::new(2025, 6).unwrap());
    let visit = world.file_in(&mut tablet_a, &elsewhere, "支援邻站");
    world.edit(&mut tablet_a, visit, "content", "支援邻站,已改");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let unreceipted = tablet_a.replica.unreceipted().unwrap();
    let packs: Vec<_> =
        unreceipted.iter().map(|(name, hash)| Shelf::pack(&tablet_a.replica, name, hash).unwrap()).collect();
    let entries: usize = packs.iter().map(|pack| pack.open().unwrap().len()).sum();
    // The first time the packs are judged; the second time they were.
    for _ in 0..2 {
        let verdicts = receipts_for(&mut world, &tablet_a, packs.clone());
        let [Verdict::Held(held)] = verdicts.as_slice() else { panic!("nothing held: {verdicts:?}") };
        assert_eq!(held.len(), entries, "nothing of it passed: {held:?}");
        let waiting = held.iter().filter(|(_, code)| *code == CODE_WAITS).count();
        assert_eq!(waiting, 1, "the edit waits for the record: {held:?}");
    }
}

/// Opens a session by hand, sends packs and gives back what the receipts say.
fn receipts_for(
    world: &mut World,
    tablet: &crate::world::Tablet,
    packs: Vec<qianmo_protocol::pack::Pack>,
) -> Vec<Verdict> {
    use qianmo_protocol::session::message::{Hello, Message};
    use qianmo_server::hub::{Command, HubOutput, SessionId};
    let session = SessionId(9_999);
    let hello = Message::Hello(Hello {
        versions: (1, 1),
        control_heads: world.core.replica().control().heads().iter().copied().collect(),
        epoch: None,
        selection: tablet.selection.clone(),
        rest_digest: [0; 32],
        vectors: Vec::new(),
        follow: packs.len(),
        about: None,
    });
    let open = Command::Open { session, device: tablet.device(), device_key: tablet.key.verifying_key().to_bytes() };
    let messages = std::iter::once(hello).chain(packs.into_iter().map(Message::Pack));
    let mut commands = vec![open];
    commands.extend(messages.map(|message| Command::Message { session, message: Box::new(message) }));
    let now = world.now();
    let outputs = world.core.handle(now, commands).unwrap();
    let messages = outputs.into_iter().filter_map(|output| match output {
        HubOutput::Send { message, .. } => Some(*message),
        HubOutput::Close { .. } => None,
    });
    let org = world.org();
    messages
        .filter_map(|message| {
            let Message::Receipt(receipt) = message else { return None };
            let receipt = receipt.verify(&org, &world.secrets.signing.verifying_key().to_bytes()).unwrap();
            Some(receipt.verdict.clone())
        })
        .collect()
}

#[test]
fn thief_costs_every_tablet_a_bounded_number_of_entries() {
    let mut world = World::new(13);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "好记录");
    world.meet(&mut tablet_a);
    for _ in 0..70 {
        world.review(&mut tablet_a, visit, ReviewKind::Approve);
    }
    world.meet(&mut tablet_a);
    let published = quarantines(&world);
    assert_eq!(published.len(), 65, "64 changes, then one entry for the log");
    let limits: Vec<_> = published.iter().filter(|(_, code)| *code == CODE_TOO_MANY_FAILURES).collect();
    let [(QuarantineScope::LogBeyondTips { tips, .. }, _)] = limits.as_slice() else { panic!("{limits:?}") };
    assert_eq!(tips.len(), 1, "the good pack before stays");

    for _ in 0..10 {
        world.review(&mut tablet_a, visit, ReviewKind::Approve);
    }
    world.meet(&mut tablet_a);
    let limits = quarantines(&world).len() - 64;
    assert!(limits <= 1 + SEALED_ANEW_MAX, "{limits}: one for each log that the tablet may begin anew, no change more");
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_b.replica, world.core.replica()]);
    let row = tablet_b.replica.record_row(&visit).unwrap().unwrap();
    assert_eq!(row.review.status, ReviewStatus::Pending);
    assert_eq!(world.core.counters().states_differed, 0);

    // What stands beyond the limit was never looked at one by one: a person cannot end the limit as a whole.
    let now = world.now();
    let ended = world.core.release(now, &ReleaseOrder::Code(CODE_TOO_MANY_FAILURES));
    assert!(ended.is_err() || ended.is_ok_and(|released| released.ids.is_empty()));
    let row = world.core.replica().record_row(&visit).unwrap().unwrap();
    assert_ne!(row.review.status, ReviewStatus::Approved);
}

#[test]
fn record_of_a_month_far_ahead_is_held_by_the_hub() {
    let mut world = World::new(14);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let near = world.file_in(&mut tablet_a, &month(8), "两个月内");
    let far = world.file_in(&mut tablet_a, &month(9), "太远");
    world.meet(&mut tablet_a);
    assert!(world.core.replica().record_row(&near).unwrap().is_some());
    assert!(world.core.replica().record_row(&far).unwrap().is_none());
    assert_eq!(tablet_a.replica.delivery(&far).unwrap(), Delivery::Held { code: CODE_MONTH_AHEAD });
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

#[test]
fn what_is_written_on_a_released_record_of_a_month_far_ahead_passes_and_other_records_there_do_not() {
    let mut world = World::new(17);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_c = world.enrol("P02", GrantRole::Coordinator);
    let far = world.file_in(&mut tablet_a, &month(9), "太远");
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_MONTH_AHEAD)).unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_c);

    world.edit(&mut tablet_a, far, "content", "更正");
    world.review(&mut tablet_c, far, ReviewKind::Approve);
    let other = world.file_in(&mut tablet_a, &month(9), "也太远");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_c);
    let detail = world.core.replica().record(&far).unwrap().unwrap();
    assert!(detail.held.is_empty() && detail.history.len() == 2, "{:?}", detail.held);
    assert_eq!(detail.reviews.iter().map(|view| view.standing).collect::<Vec<_>>(), [Standing::Admitted; 2]);
    assert!(world.core.replica().record_row(&other).unwrap().is_none());
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

#[test]
fn edit_of_a_released_record_of_a_month_far_ahead_passes_a_restored_hub_before_the_record_comes() {
    let mut world = World::new(18);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let backup = world.image();
    let far = world.file_in(&mut tablet_a, &month(9), "太远");
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_MONTH_AHEAD)).unwrap();
    world.meet(&mut tablet_b);
    world.edit(&mut tablet_b, far, "content", "更正");
    world.meet(&mut tablet_b);

    world.restore_from(backup);
    for tablet in [&mut tablet_b, &mut tablet_a] {
        world.meet(tablet);
        world.meet(tablet);
    }
    assert_eq!(world.core.held().unwrap(), []);
    let detail = world.core.replica().record(&far).unwrap().unwrap();
    assert!(detail.held.is_empty() && detail.history.len() == 2, "{:?}", detail.held);
}

#[test]
fn quarantine_lost_in_a_crash_is_published_at_the_next_start() {
    let mut world = World::new(15);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "崩溃");
    world.review(&mut tablet_a, visit, ReviewKind::Approve);
    let before = world.image();
    world.meet(&mut tablet_a);
    let after = world.image();
    assert_eq!(quarantines(&world).len(), 1);
    // Every prefix of what was written is a crash that may happen; the disk's pages came in order here.
    let name = after.list().unwrap()[0].name.clone();
    let (start, whole) = (before.contents(&name).unwrap().len(), after.contents(&name).unwrap());
    let mut outcomes = BTreeSet::new();
    for cut in (start..=whole.len()).step_by(7).chain([whole.len()]) {
        let image = MemoryDisk::new();
        image.restore_file(&name, whole[..cut].to_vec());
        world.disk.inner = image;
        world.restart().unwrap();
        let held_by_verdict = world.core.replica().record_row(&visit).unwrap().is_some();
        outcomes.insert((held_by_verdict, quarantines(&world).len()));
    }
    // Either the pack is not there at all, or it is there and its failing change is published.
    assert_eq!(outcomes, BTreeSet::from([(false, 0), (true, 1)]));
}

/// A store that was copied whole: two devices with one key write on in one log.
#[test]
fn fork_of_a_copied_tablet_is_proven_once_and_nothing_is_lost() {
    let mut world = World::new(16);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.file(&mut tablet_a, "一");
    world.meet(&mut tablet_a);
    let image = tablet_a.disk.crash(qianmo_replica::disk::CrashMode::DropUnsynced, &mut world.rng);
    let mut copy = world.tablet(tablet_a.key.clone(), "P01", image);
    world.file(&mut tablet_a, "二");
    world.file(&mut copy, "三");
    world.meet(&mut tablet_a);
    world.meet(&mut copy);
    let proofs = |world: &World| world.core.replica().control().fold().fork_proofs().count();
    assert_eq!(proofs(&world), 1);
    world.meet(&mut tablet_a);
    world.meet(&mut copy);
    assert_same_states(&[&tablet_a.replica, &copy.replica, world.core.replica()]);
    assert_eq!(world.core.replica().count_records(&RecordFilter::default()).unwrap(), 3);
    world.restart().unwrap();
    world.file(&mut copy, "四");
    world.meet(&mut copy);
    assert_eq!(proofs(&world), 1);
    assert!(world.core.replica().state_digests().iter().any(|(name, _)| *name == june()));
}
