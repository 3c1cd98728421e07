//! What a tablet does about packs that no hub takes, epochs that end, and logbooks it lets go of.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "test harness: a failed step is the failure; the world is shared with the workspace's tests"
)]

#[path = "../../../tests/src/world.rs"]
mod world;

use std::collections::{BTreeSet, VecDeque};

use qianmo_protocol::control::{Carrier, Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::{ChangeHash, DocId, LogId, PackHash};
use qianmo_protocol::pack::{Entry, Pack};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::message::{Hello, Message, RefuseCode};
use qianmo_protocol::session::{Effect, Session, Shelf as _, Stay, StoreOutcome};
use qianmo_protocol::vector::LogTrees as _;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{CrashMode, MemoryDisk};
use qianmo_replica::exchange::{Exchange, Output, Pump, RECEIPTS_PER_TURN_MAX};
use qianmo_replica::frames::{MetaFrame, PackFrame};
use qianmo_replica::pack_log::{FrameKind, PackLog, PackLogConfig, ScanFrom};
use qianmo_replica::replica::{Delivery, EvictError, EvictHold, Foreign, RECEIPTS_PER_PACK_MAX, Replica};
use world::{Tablet, World, assert_same_states, june, open};

/// What a session with a hub of one's own making came to.
#[derive(Debug, Default)]
struct Met {
    finished: bool,
    refused: Vec<RefuseCode>,
    turns: usize,
}

/// A tablet meets the hub, which refuses packs as it is told.
fn meet_refusing(world: &mut World, tablet: &mut Tablet, refuse: &dyn Fn(&Pack) -> Option<RefuseCode>) -> Met {
    let now = world.now();
    tablet.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet.replica.sync().unwrap();
    world.hub.issue_beacon(&world.org, now);
    let opening = tablet.opening(Stay::Leave);
    let mut up = Exchange::initiate(&tablet.replica, world.hub.replica.device(), &opening);
    let mut down = Session::respond(tablet.device());
    let mut met = Met::default();
    let mut to_tablet: VecDeque<Message> = VecDeque::new();
    loop {
        if let Some(message) = to_tablet.pop_front() {
            up.handle_message(message).unwrap();
        }
        let to_hub = run_tablet(&mut up, &mut tablet.replica, &mut met);
        let is_quiet = to_hub.is_empty() && to_tablet.is_empty();
        for message in to_hub {
            down.handle_message(message).unwrap();
            run_hub(world, &mut down, refuse, &mut to_tablet);
        }
        if is_quiet && to_tablet.is_empty() {
            break;
        }
    }
    tablet.replica.sync().unwrap();
    tablet.epoch = Some(world.hub.epoch);
    met.turns = up.tally().turns_received;
    met
}

fn run_tablet(up: &mut Exchange, replica: &mut Replica, met: &mut Met) -> Vec<Message> {
    loop {
        match up.pump(replica).unwrap() {
            Pump::Quiet => break,
            Pump::AwaitsSync => {
                replica.sync().unwrap();
                up.after_sync(replica);
            }
            Pump::AwaitsJudge => {
                replica.judge().unwrap();
                up.after_judge(replica, Vec::new());
            }
        }
    }
    let mut messages = Vec::new();
    while let Some(output) = up.poll_output() {
        match output {
            Output::Send(message) => messages.push(message),
            Output::Refused(refuse) => met.refused.push(refuse.code),
            Output::StateDiffers(name) => panic!("states differ in {name}"),
            Output::Finished => met.finished = true,
            Output::Acked(_) | Output::Agreed(_) | Output::Epoch(..) | Output::Subscribed | Output::PeerLeft(_) => {}
        }
    }
    messages
}

fn run_hub(
    world: &mut World,
    session: &mut Session,
    refuse: &dyn Fn(&Pack) -> Option<RefuseCode>,
    out: &mut VecDeque<Message>,
) {
    let mut stored: Vec<(PackHash, u64)> = Vec::new();
    while let Some(effect) = session.poll_effect() {
        let hub = &mut world.hub;
        match effect {
            Effect::Send(message) => out.push_back(message),
            Effect::Adopt(entries) => {
                hub.replica.adopt(entries).unwrap();
                hub.replica.sync().unwrap();
                session.handle_adopted();
            }
            Effect::Store(packs) => {
                let mut outcomes = Vec::new();
                for pack in packs {
                    match refuse(&pack) {
                        Some(code) => outcomes.push(StoreOutcome::Refused { hash: pack.hash(&world.org), code }),
                        None => outcomes.extend(hub.replica.take_packs(vec![pack]).unwrap().outcomes),
                    }
                    hub.replica.sync().unwrap();
                }
                for outcome in &outcomes {
                    if let StoreOutcome::Held { hash, commit } = outcome {
                        stored.push((*hash, *commit));
                    }
                }
                session.handle_stored(&hub.replica, &outcomes);
            }
            Effect::Judge => {
                hub.replica.judge().unwrap();
                let packs: BTreeSet<PackHash> = stored.iter().map(|(hash, _)| *hash).collect();
                let receipts = if packs.is_empty() {
                    Vec::new()
                } else {
                    let commit = hub.replica.durable_commit().0;
                    let receipt = Receipt { hub: hub.id, epoch: hub.epoch, commit, packs, verdict: Verdict::Passed };
                    vec![SignedReceipt::sign(&world.org, &hub.signing, receipt).unwrap()]
                };
                stored.clear();
                session.handle_judged(&hub.replica, receipts);
            }
            Effect::Receipt(receipt) => hub.replica.take_receipt(receipt).unwrap(),
            Effect::Beacon(beacon) => hub.replica.take_beacon(&beacon).unwrap(),
            Effect::StateDiffers(name) => panic!("states differ in {name}"),
            Effect::Acked(_)
            | Effect::Refused(_)
            | Effect::Agreed(_)
            | Effect::Epoch(..)
            | Effect::Finished
            | Effect::Subscribed
            | Effect::PeerLeft(_) => {}
        }
    }
}

fn takes_all(_pack: &Pack) -> Option<RefuseCode> {
    None
}

fn changes_of(pack: &Pack) -> BTreeSet<ChangeHash> {
    pack.open().unwrap().iter().map(Entry::hash).collect()
}

/// The packs of June in a device's logs, as this replica's vector tells of them.
fn packs_of(replica: &Replica, device: &Tablet) -> Vec<Pack> {
    let mut packs = Vec::new();
    let mut next: Vec<PackHash> = replica.tips(&june()).iter().map(|tip| tip.head).collect();
    while let Some(hash) = next.pop() {
        let Some(pack) = replica.pack(&june(), &hash) else { continue };
        next.push(pack.header.prev);
        if pack.header.log.device == device.device() {
            packs.push(pack);
        }
    }
    packs
}

fn log_of(tablet: &Tablet) -> LogId {
    let tips = tablet.replica.tips(&june());
    tips.iter().find(|tip| tip.log.device == tablet.device()).unwrap().log
}

fn reopen(world: &mut World, tablet: &mut Tablet) {
    let image = tablet.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let identity = tablet.identity(world);
    let (replica, report) = open(&image, identity, &mut world.rng);
    assert!(report.unreadable.is_empty());
    (tablet.disk, tablet.replica) = (image, replica);
}

#[test]
fn refused_pack_is_packed_again_under_the_same_hashes_and_digests_agree() {
    let mut world = World::new(21);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let first = tablet_a.file(&mut world, "第一条");
    let second = tablet_a.file(&mut world, "第二条");
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let refuse = |pack: &Pack| {
        seen.borrow_mut().extend(changes_of(pack));
        Some(RefuseCode::BadBody)
    };
    let met = meet_refusing(&mut world, &mut tablet_a, &refuse);
    assert!(met.finished, "{met:?}");
    assert_eq!(met.refused, [RefuseCode::BadBody]);
    // It is out of the vector, so both sides agree; and out of nobody's sight.
    assert_eq!(tablet_a.replica.vector_digest(&june()), world.hub.replica.vector_digest(&june()));
    assert!(tablet_a.replica.unreceipted().unwrap().is_empty());
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1);
    for doc in [first, second] {
        assert!(tablet_a.replica.record(&doc).unwrap().is_some());
        assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Waiting);
    }
    let third = tablet_a.file(&mut world, "第三条");
    let again = world.meet(&mut tablet_a);
    assert!(again.finished && again.states_differ.is_empty());
    let packs = packs_of(&tablet_a.replica, &tablet_a);
    assert_eq!(packs.len(), 1, "what was refused and what is new share a pack");
    assert!(seen.borrow().is_subset(&changes_of(&packs[0])));
    for doc in [first, second, third] {
        assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    }
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 0);
    world.meet(&mut tablet_b);
    assert!(tablet_b.replica.record(&first).unwrap().is_some());
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
    // An index built anew says the same.
    let before = (tablet_a.replica.state_digests(), tablet_a.replica.outbox().unwrap());
    reopen(&mut world, &mut tablet_a);
    assert_eq!((tablet_a.replica.state_digests(), tablet_a.replica.outbox().unwrap()), before);
}

/// A copy of the change that a thief carries is held; it must not pass for ours.
#[test]
fn stolen_copy_does_not_keep_a_refused_change_from_being_packed_again() {
    let mut world = World::new(34);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "查看越冬情况");
    let stolen = tablet_a.replica.document(&doc).unwrap().unwrap().changes().next().unwrap().clone();
    let stolen = qianmo_protocol::record::AuthoredChange { change: stolen };
    thief.replica.write(&june(), &[(doc, stolen)], None).unwrap();
    thief.replica.sync().unwrap();
    world.meet(&mut thief);
    assert!(world.hub.replica.record(&doc).unwrap().is_none(), "its author does not work on the thief's tablet");
    meet_refusing(&mut world, &mut tablet_a, &|_| Some(RefuseCode::BadBody));
    assert!(world.meet(&mut tablet_a).finished);
    assert!(world.hub.replica.record(&doc).unwrap().is_some());
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    world.meet(&mut tablet_a);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn packs_behind_a_refused_one_are_packed_again_with_it() {
    let mut world = World::new(22);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut docs = Vec::new();
    for content in ["一", "二", "三"] {
        docs.push(tablet_a.file(&mut world, content));
        let now = world.now();
        tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
        tablet_a.replica.sync().unwrap();
    }
    let old = log_of(&tablet_a);
    let met = meet_refusing(&mut world, &mut tablet_a, &|pack| {
        (pack.header.log == old && pack.header.seq == 1).then_some(RefuseCode::BadSignature)
    });
    assert!(met.finished);
    assert_eq!(tablet_a.replica.delivery(&docs[0]).unwrap(), Delivery::Acknowledged);
    assert_eq!(tablet_a.replica.delivery(&docs[2]).unwrap(), Delivery::Waiting);
    assert_eq!(tablet_a.replica.vector_digest(&june()), world.hub.replica.vector_digest(&june()));
    assert!(world.meet(&mut tablet_a).finished);
    for doc in &docs {
        assert_eq!(tablet_a.replica.delivery(doc).unwrap(), Delivery::Acknowledged);
    }
    assert!(tablet_a.replica.tips(&june()).iter().any(|tip| tip.log != old));
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn re_pack_is_still_due_after_a_crash_between_refusal_and_sealing() {
    let mut world = World::new(23);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "查看越冬情况");
    meet_refusing(&mut world, &mut tablet_a, &|_| Some(RefuseCode::BadBody));
    reopen(&mut world, &mut tablet_a);
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1);
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Waiting);
    assert!(tablet_a.replica.record(&doc).unwrap().is_some());
    // Sealed, and lost before it was durable: the same work is there again.
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    reopen(&mut world, &mut tablet_a);
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1);
    tablet_a.replica.rewrite().unwrap();
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1);
    assert!(world.meet(&mut tablet_a).finished);
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    tablet_a.replica.rewrite().unwrap();
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

/// A change that a hub never takes, whatever is around it.
fn refused_for(code: RefuseCode, sessions_max: usize) {
    let mut world = World::new(24);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let good = [tablet_a.file(&mut world, "好一"), tablet_a.file(&mut world, "好二")];
    let bad = tablet_a.file(&mut world, "太大");
    tablet_a.edit(&mut world, bad, "content", "仍然太大");
    let late = tablet_a.file(&mut world, "好三");
    let root = tablet_a.replica.record(&bad).unwrap().unwrap().history[0].story.hash;
    let refuse = |pack: &Pack| changes_of(pack).contains(&root).then_some(code);
    let mut sessions = 0;
    while tablet_a.replica.outbox().unwrap() != qianmo_replica::replica::OutboxCount::default() {
        assert!(meet_refusing(&mut world, &mut tablet_a, &refuse).finished);
        sessions += 1;
        assert!(sessions <= sessions_max, "it goes on for ever");
        reopen(&mut world, &mut tablet_a);
    }
    for doc in good.iter().chain([&late]) {
        assert_eq!(tablet_a.replica.delivery(doc).unwrap(), Delivery::Acknowledged);
        assert!(world.hub.replica.record(doc).unwrap().is_some());
    }
    // It is no record any more; its author has it, with what was written on it.
    assert!(tablet_a.replica.record(&bad).unwrap().is_none());
    assert_eq!(tablet_a.replica.delivery(&bad).unwrap(), Delivery::Elsewhere);
    let back = tablet_a.replica.given_up().unwrap();
    let of_record: Vec<_> = back.iter().filter(|given_up| given_up.doc == bad).collect();
    assert_eq!(of_record.len(), 2, "the record's first change and the edit");
    assert_eq!(back.len(), 3, "and the submission");
    assert!(of_record.iter().any(|given_up| given_up.change.hash() == root));
    assert!(back.iter().all(|given_up| given_up.code == 600 + u16::from(code.number())));
    assert_eq!(tablet_a.replica.count_records(&Default::default()).unwrap(), 3);
    // And it is never sent again.
    let met = meet_refusing(&mut world, &mut tablet_a, &refuse);
    assert!(met.finished && met.refused.is_empty());
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn change_over_a_limit_goes_back_and_the_rest_arrives() {
    refused_for(RefuseCode::OverLimit, 4);
}

#[test]
fn change_refused_again_and_again_goes_back_and_the_rest_arrives() {
    refused_for(RefuseCode::BadBody, 6);
}

#[test]
fn what_lies_beyond_a_limit_of_the_log_is_packed_again_in_a_new_incarnation() {
    let mut world = World::new(25);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let sent = tablet_a.file(&mut world, "已送");
    world.meet(&mut tablet_a);
    let log = log_of(&tablet_a);
    let tip = tablet_a.replica.tips(&june()).iter().find(|tip| tip.log == log).unwrap().head;
    let unsent = tablet_a.file(&mut world, "未送");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    // Another tablet brings the news that the hub has cut the log.
    let scope = QuarantineScope::LogBeyondTips { logbook: june().id(&world.org), log, tips: BTreeSet::from([tip]) };
    world.decide(Decision::Quarantine { scope, code: 300 });
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_a.replica.adopt(entries).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.vector_digest(&june()), world.hub.replica.vector_digest(&june()));
    assert!(tablet_a.replica.record(&unsent).unwrap().is_some());
    assert_eq!(tablet_a.replica.delivery(&unsent).unwrap(), Delivery::Waiting);
    reopen(&mut world, &mut tablet_a);
    assert!(world.meet(&mut tablet_a).finished);
    assert!(world.hub.replica.record(&unsent).unwrap().is_some());
    for doc in [sent, unsent] {
        assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    }
    assert!(packs_of(&world.hub.replica, &tablet_a).iter().any(|pack| pack.header.log != log));
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

/// A store from which one pack is missing, as after damage inside the log.
fn without_pack(world: &mut World, tablet: &mut Tablet, lost: &PackHash) {
    let disk = MemoryDisk::new();
    let (mut log, _) = PackLog::open(Box::new(disk.clone()), PackLogConfig::new([7; 16])).unwrap();
    for found in tablet.replica.pack_log().scan_from(ScanFrom::Start).unwrap() {
        let (_, frame) = found.unwrap();
        let is_lost =
            frame.kind == FrameKind::Pack && PackFrame::decode(&frame.payload).unwrap().pack.hash(&world.org) == *lost;
        if !is_lost {
            log.append(frame.kind, &frame.payload).unwrap();
        }
    }
    log.sync().unwrap();
    drop(log);
    let image = disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let identity = tablet.identity(world);
    let (replica, _) = open(&image, identity, &mut world.rng);
    (tablet.disk, tablet.replica) = (image, replica);
}

#[test]
fn pack_whose_ancestor_is_gone_is_packed_again() {
    let mut world = World::new(26);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    let lost = tablet_a.file(&mut world, "丢了的");
    world.meet(&mut tablet_a);
    let gone = tablet_a.replica.tips(&june())[0].head;
    let late = tablet_a.file(&mut world, "后来的");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    // The local frame it was sealed from is gone as well; else that would be sealed again.
    tablet_a.replica.rewrite().unwrap();
    without_pack(&mut world, &mut tablet_a, &gone);
    world.restore_hub(image, contained);
    let epoch = world.hub.epoch;
    world.decide(Decision::AdoptionComplete { epoch });
    let met = meet_refusing(&mut world, &mut tablet_a, &takes_all);
    assert!(met.refused.contains(&RefuseCode::MissingPrev), "{met:?}");
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1);
    assert!(world.meet(&mut tablet_a).finished);
    assert!(world.hub.replica.record(&late).unwrap().is_some());
    assert!(world.hub.replica.record(&lost).unwrap().is_none());
    assert_eq!(tablet_a.replica.delivery(&late).unwrap(), Delivery::Acknowledged);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn tablets_refusal_changes_nothing() {
    let mut world = World::new(27);
    let tablet_b = world.enrol("P02", GrantRole::Technician);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    tablet_a.file(&mut world, "查看越冬情况");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let before = tablet_a.replica.vector(&june());
    let mut opening = tablet_a.opening(Stay::Leave);
    opening.toward = qianmo_protocol::session::Toward::Tablet;
    let mut up = Exchange::initiate(&tablet_a.replica, tablet_b.device(), &opening);
    let mut down = Session::respond(tablet_a.device());
    let mut met = Met::default();
    let mut out = VecDeque::new();
    for message in run_tablet(&mut up, &mut tablet_a.replica, &mut met) {
        down.handle_message(message).unwrap();
        run_hub(&mut world, &mut down, &|_| Some(RefuseCode::OverLimit), &mut out);
    }
    for message in out {
        up.handle_message(message).unwrap();
        run_tablet(&mut up, &mut tablet_a.replica, &mut met);
    }
    assert_eq!(met.refused, [RefuseCode::OverLimit]);
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.vector(&june()), before);
    assert_eq!(tablet_a.replica.unreceipted().unwrap().len(), 1);
}

#[test]
fn receipts_of_a_lost_epoch_count_no_more_and_the_pack_waits_again() {
    let mut world = World::new(28);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let old = tablet_a.file(&mut world, "备份里有的");
    world.meet(&mut tablet_a);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    let lost = tablet_a.file(&mut world, "备份里没有的");
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
    assert!(tablet_a.replica.unreceipted().unwrap().is_empty());
    world.restore_hub(image, contained);
    // Another tablet tells of the new epoch before the hub is met.
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_a.replica.adopt(entries).unwrap();
    let now = world.now();
    world.hub.issue_beacon(&world.org, now);
    tablet_a.replica.take_beacon(&world.hub.replica.beacon().unwrap()).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.delivery(&old).unwrap(), Delivery::BackedUp, "the backup has it");
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Waiting);
    assert_eq!(tablet_a.replica.unreceipted().unwrap().len(), 1);
    reopen(&mut world, &mut tablet_a);
    assert_eq!(tablet_a.replica.unreceipted().unwrap().len(), 1);
    assert!(world.meet(&mut tablet_a).finished);
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
    assert!(tablet_a.replica.unreceipted().unwrap().is_empty());
}

#[test]
fn optimistic_pack_without_its_ancestors_is_refused_for_a_while_and_they_follow_in_the_second_round_trip() {
    let mut world = World::new(29);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    let mut docs = Vec::new();
    for content in ["一", "二", "三"] {
        docs.push(tablet_a.file(&mut world, content));
        world.meet(&mut tablet_a);
    }
    world.restore_hub(image, contained);
    let epoch = world.hub.epoch;
    world.decide(Decision::AdoptionComplete { epoch });
    // The tablet has not heard of it: only the new pack goes along, and its predecessor is unknown at the hub.
    docs.push(tablet_a.file(&mut world, "四"));
    let met = meet_refusing(&mut world, &mut tablet_a, &takes_all);
    assert_eq!(met.refused, [RefuseCode::MissingPrev]);
    assert!(met.finished);
    assert!(met.turns <= 3, "{met:?}");
    for doc in &docs {
        assert!(world.hub.replica.record(doc).unwrap().is_some());
        assert_eq!(tablet_a.replica.delivery(doc).unwrap(), Delivery::Acknowledged);
    }
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 0, "nothing is packed again for it");
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn restored_hub_is_shown_what_it_once_passed_before_it_judges() {
    let mut world = World::new(30);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    tablet_a.file(&mut world, "第一天");
    world.meet(&mut tablet_a);
    let pack = tablet_a.replica.tips(&june())[0].head;
    world.restore_hub(image, contained);
    let epoch = world.hub.epoch;
    world.decide(Decision::AdoptionComplete { epoch });
    let change = *changes_of(&tablet_a.replica.pack(&june(), &pack).unwrap()).first().unwrap();
    assert!(!world.hub.replica.former_receipt_passed_change(&pack, &change).unwrap());
    assert!(world.meet(&mut tablet_a).finished);
    assert!(world.hub.replica.former_receipt_passed_change(&pack, &change).unwrap());
    // Shown twice, it is kept once; and one that a stranger signed is not kept.
    let receipts = tablet_a.replica.receipts(&pack);
    assert_eq!(receipts.len(), 2, "of the lost epoch and of the new one");
    for _ in 0..2 {
        for receipt in &receipts {
            let forged = Receipt { commit: 9_999, ..receipt.content().clone() };
            let forged = SignedReceipt::sign(&world.org, &tablet_a.key, forged).unwrap();
            world.hub.replica.take_receipt(receipt.clone()).unwrap();
            world.hub.replica.take_receipt(forged).unwrap();
            world.hub.replica.sync().unwrap();
        }
    }
    let former: Vec<_> = receipts.into_iter().filter(|receipt| receipt.content().epoch != world.hub.epoch).collect();
    assert_eq!(world.hub.replica.receipts(&pack), former, "the hub knows what it signed in this epoch");
}

/// A hub in the epoch after a restore, and the receipts that its predecessor's key can still sign.
fn restored(seed: u64) -> (World, qianmo_protocol::ids::Epoch) {
    let mut world = World::new(seed);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (contained, former) = (world.hub.replica.durable_commit().0, world.hub.epoch);
    world.restore_hub(image, contained);
    (world, former)
}

fn receipt_of(world: &World, epoch: qianmo_protocol::ids::Epoch, commit: u64, packs: &[u8]) -> SignedReceipt {
    let packs = packs.iter().map(|pack| PackHash([*pack; 32])).collect();
    let receipt = Receipt { hub: world.hub.id, epoch, commit, packs, verdict: Verdict::Passed };
    SignedReceipt::sign(&world.org, &world.hub.signing, receipt).unwrap()
}

fn kept_receipts(replica: &Replica) -> usize {
    let frames = replica.pack_log().scan_from(ScanFrom::Start).unwrap();
    frames.map(Result::unwrap).filter(|(_, frame)| frame.kind == FrameKind::Receipt).count()
}

#[test]
fn receipt_shown_many_times_before_a_sync_is_appended_once() {
    let (mut world, former) = restored(34);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let receipt = receipt_of(&world, former, 7, &[1, 2]);
    for replica in [&mut world.hub.replica, &mut tablet_a.replica] {
        for _ in 0..50 {
            replica.take_receipt(receipt.clone()).unwrap();
        }
        replica.sync().unwrap();
        replica.take_receipt(receipt.clone()).unwrap();
        replica.sync().unwrap();
        assert_eq!(kept_receipts(replica), 1);
        assert_eq!(replica.receipts(&PackHash([2; 32])), std::slice::from_ref(&receipt));
    }
}

#[test]
fn hub_takes_one_receipt_for_a_pack_and_a_former_epoch() {
    let (mut world, former) = restored(35);
    let present = world.hub.epoch;
    for synced in [false, true] {
        for commit in 10..20 {
            let receipt = receipt_of(&world, former, commit, &[1]);
            world.hub.replica.take_receipt(receipt).unwrap();
            // What the hub signs in its present epoch comes back without end.
            let receipt = receipt_of(&world, present, commit, &[3]);
            world.hub.replica.take_receipt(receipt).unwrap();
            let stranger = receipt_of(&world, qianmo_protocol::ids::Epoch([9; 16]), commit, &[4]);
            world.hub.replica.take_receipt(stranger).unwrap();
            let empty = receipt_of(&world, former, commit, &[]);
            world.hub.replica.take_receipt(empty).unwrap();
            if synced {
                world.hub.replica.sync().unwrap();
            }
        }
        world.hub.replica.sync().unwrap();
        assert_eq!(kept_receipts(&world.hub.replica), 1, "synced: {synced}");
    }
    let change = ChangeHash([7; 32]);
    for (pack, is_passed) in [(1, true), (3, false), (4, false)] {
        let hub = &world.hub.replica;
        assert_eq!(hub.former_receipt_passed_change(&PackHash([pack; 32]), &change).unwrap(), is_passed);
    }
}

#[test]
fn overlapping_receipts_of_one_pack_are_bounded() {
    let (mut world, former) = restored(36);
    for other in 2..60 {
        let receipt = receipt_of(&world, former, u64::from(other), &[1, other]);
        world.hub.replica.take_receipt(receipt).unwrap();
        if other % 3 == 0 {
            world.hub.replica.sync().unwrap();
        }
    }
    world.hub.replica.sync().unwrap();
    assert_eq!(world.hub.replica.receipts(&PackHash([1; 32])).len(), RECEIPTS_PER_PACK_MAX);
    // Another pack's receipt is taken all the same, and those of all its packs together are not.
    let alone = receipt_of(&world, former, 99, &[59]);
    world.hub.replica.take_receipt(alone).unwrap();
    let known = receipt_of(&world, former, 100, &[2, 3]);
    world.hub.replica.take_receipt(known).unwrap();
    world.hub.replica.sync().unwrap();
    assert_eq!(kept_receipts(&world.hub.replica), RECEIPTS_PER_PACK_MAX + 1);
}

#[test]
fn receipts_of_one_turn_are_bounded() {
    let (mut world, former) = restored(37);
    let tablet_a = world.enrol("P01", GrantRole::Technician);
    let follow = RECEIPTS_PER_TURN_MAX + 5;
    let mut down = Exchange::respond(tablet_a.device());
    let hello = Hello {
        versions: (1, 1),
        control_heads: world.hub.replica.control().heads().iter().copied().collect(),
        epoch: None,
        selection: tablet_a.selection,
        rest_digest: [0; 32],
        vectors: Vec::new(),
        follow,
        about: None,
    };
    down.handle_message(Message::Hello(hello)).unwrap();
    for number in 0..u16::try_from(follow).unwrap() {
        let mut pack = [1; 32];
        pack[..2].copy_from_slice(&number.to_be_bytes());
        let receipt =
            Receipt { packs: BTreeSet::from([PackHash(pack)]), ..receipt_of(&world, former, 7, &[]).content().clone() };
        let receipt = SignedReceipt::sign(&world.org, &world.hub.signing, receipt).unwrap();
        down.handle_message(Message::Receipt(receipt)).unwrap();
        down.pump(&mut world.hub.replica).unwrap();
    }
    world.hub.replica.sync().unwrap();
    assert_eq!(kept_receipts(&world.hub.replica), RECEIPTS_PER_TURN_MAX);
}

fn hold_of(error: EvictError) -> EvictHold {
    match error {
        EvictError::Held { hold, .. } => hold,
        EvictError::Store(error) => panic!("{error}"),
    }
}

#[test]
fn logbook_is_evicted_only_when_the_hubs_backup_has_all_of_it_and_comes_back_whole() {
    let mut world = World::new(31);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let theirs = tablet_b.file(&mut world, "别人的");
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_a);
    let ours = tablet_a.file(&mut world, "自己的");
    let hold = |tablet: &mut Tablet, foreign| hold_of(tablet.replica.evict(&june(), foreign).unwrap_err());
    assert_eq!(hold(&mut tablet_a, Foreign::BackedUp), EvictHold::Unsettled { count: 1 });
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(hold(&mut tablet_a, Foreign::BackedUp), EvictHold::Unreceipted { count: 1 });
    world.meet(&mut tablet_a);
    assert_eq!(hold(&mut tablet_a, Foreign::BackedUp), EvictHold::NotBackedUp { count: 1 });
    world.hub.watermark = world.hub.replica.durable_commit().0;
    world.meet(&mut tablet_a);
    assert_eq!(hold(&mut tablet_a, Foreign::Unknown), EvictHold::NotBackedUp { count: 1 });
    let directory = qianmo_protocol::ids::LogbookName::OrgDirectory;
    let refused = tablet_a.replica.evict(&directory, Foreign::BackedUp).unwrap_err();
    assert_eq!(hold_of(refused), EvictHold::Directory);

    let old = log_of(&tablet_a);
    tablet_a.replica.evict(&june(), Foreign::BackedUp).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(hold(&mut tablet_a, Foreign::BackedUp), EvictHold::NotHere);
    tablet_a.selection.without.insert(june());
    assert!(tablet_a.replica.record(&ours).unwrap().is_none());
    assert!(tablet_a.replica.all_records().unwrap().is_empty());
    let totals = tablet_a.replica.rewrite().unwrap();
    assert!(totals.bytes_after < totals.bytes_before);
    let left = tablet_a.replica.pack_log().scan_from(ScanFrom::Start).unwrap();
    assert!(left.map(Result::unwrap).all(|(_, frame)| frame.kind != FrameKind::Pack));
    let quiet = world.meet(&mut tablet_a);
    assert!(quiet.finished && quiet.tally.turns_received == 1 && quiet.tally.packs_received == 0, "{quiet:?}");

    // A late write begins a new log, of which nobody asks ancestors, not even a hub that was restored.
    let late = tablet_a.file(&mut world, "补记");
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    world.restore_hub(image, contained);
    let epoch = world.hub.epoch;
    world.decide(Decision::AdoptionComplete { epoch });
    let met = meet_refusing(&mut world, &mut tablet_a, &takes_all);
    assert!(met.finished && met.refused.is_empty(), "{met:?}");
    assert_ne!(log_of(&tablet_a), old);
    assert_eq!(tablet_a.replica.delivery(&late).unwrap(), Delivery::Acknowledged);
    assert!(tablet_a.replica.record(&theirs).unwrap().is_none());

    // Selected again, it comes back whole.
    tablet_a.selection.without.clear();
    assert!(world.meet(&mut tablet_a).finished);
    for doc in [ours, theirs, late] {
        assert!(tablet_a.replica.record(&doc).unwrap().is_some());
    }
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
    reopen(&mut world, &mut tablet_a);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
    assert!(tablet_a.replica.take_notices().is_empty());
}

#[test]
fn base_of_which_a_change_is_held_is_what_passed_before_it() {
    let mut world = World::new(32);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "原文");
    world.meet(&mut tablet_a);
    let root = tablet_a.replica.document(&doc).unwrap().unwrap().heads();
    tablet_a.edit(&mut world, doc, "content", "改过");
    let seen = tablet_a.replica.document(&doc).unwrap().unwrap().heads();
    tablet_a.edit(&mut world, doc, "advice", "再改");
    let later = tablet_a.replica.document(&doc).unwrap().unwrap().heads();
    world.meet(&mut tablet_a);
    let scope = QuarantineScope::Change { change: seen[0], carrier: Carrier::Content };
    world.decide(Decision::Quarantine { scope, code: 1 });
    world.meet(&mut tablet_a);
    for (version, vanished) in [(&later, BTreeSet::from([seen[0], later[0]])), (&seen, BTreeSet::from([seen[0]]))] {
        let base = tablet_a.replica.base_of(&doc, version).unwrap();
        assert_eq!((base.heads, base.vanished), (root.clone(), vanished));
        assert!(base.unknown.is_empty());
    }
    let stranger = ChangeHash([9; 32]);
    let base = tablet_a.replica.base_of(&doc, &[stranger, root[0]]).unwrap();
    assert_eq!((base.heads, base.unknown), (root, BTreeSet::from([stranger])));
    assert_eq!(tablet_a.replica.base_of(&DocId([3; 16]), &seen).unwrap().unknown, BTreeSet::from([seen[0]]));
}

#[test]
fn fact_that_cannot_be_read_is_passed_over() {
    let mut world = World::new(33);
    let tablet_a = world.enrol("P01", GrantRole::Technician);
    let disk = MemoryDisk::new();
    let (mut log, _) = PackLog::open(Box::new(disk.clone()), PackLogConfig::new([7; 16])).unwrap();
    for key in [b"evicted x".as_slice(), b"settled short", b"refused short", b"given up short"] {
        log.append(FrameKind::Meta, &MetaFrame { key: key.to_vec(), value: vec![1] }.encode()).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    let image = disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (replica, _) = open(&image, tablet_a.identity(&world), &mut world.rng);
    assert_eq!(replica.outbox().unwrap().unsealed, 0);
}
