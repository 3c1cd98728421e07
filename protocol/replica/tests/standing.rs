//! What a replica says of changes that do not count, that count only elsewhere, or that it cannot show.

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

#[path = "../../tests/gate_support.rs"]
mod gate_support;
#[path = "../../../tests/src/world.rs"]
mod world;

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use gate_support::Forged;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{ChangeHash, DocId};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::record::{AuthoredChange, FieldEdit, edit};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{CrashMode, MemoryDisk};
use qianmo_replica::frames::{Finding, VerdictFrame};
use qianmo_replica::pack_log::{FrameKind, PackLog, PackLogConfig, ScanFrom};
use qianmo_replica::replica::{Delivery, Identity, Replica, Role};
use world::{Tablet, World, assert_same_states, field, june, open};

/// The gate's code for a message that is no resolve.
const CODE_MESSAGE: u16 = 60;
/// The gate's code for what the library does not take.
const CODE_LIBRARY: u16 = 70;
/// A code of a hub for a log that it limits.
const CODE_LIMITED: u16 = 281;

/// An edit that no honest program writes: its content fails every gate of this version.
fn forged_edit(tablet: &mut Tablet, world: &mut World, doc: DocId) -> ChangeHash {
    let origin = tablet.origin(world);
    let document = tablet.replica.document(&doc).unwrap().unwrap();
    let edits = [FieldEdit::Set(field("content"), Scalar::Text("新版本写的".to_owned()))];
    let honest = edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap();
    let mut forged = Forged::from(&honest.change);
    forged.message = "a later version says more".to_owned();
    let change = forged.change();
    let hash = change.hash();
    tablet.replica.write(&june(), &[(doc, AuthoredChange { change })], None).unwrap();
    tablet.replica.sync().unwrap();
    hash
}

fn content(replica: &Replica, doc: &DocId) -> Scalar {
    replica.record_row(doc).unwrap().unwrap().view.fields["content"].clone()
}

/// What waits on one tablet comes to another beside the hub.
fn hand_over(world: &mut World, from: &mut Tablet, to: &mut Tablet) {
    let now = world.now();
    from.replica.seal(now, 3, &mut world.rng).unwrap();
    from.replica.sync().unwrap();
    let waiting = from.replica.unreceipted().unwrap();
    let packs = waiting.iter().map(|(name, hash)| from.replica.pack(name, hash).unwrap()).collect();
    to.replica.take_packs(packs).unwrap();
    to.replica.sync().unwrap();
    to.replica.judge().unwrap();
}

#[test]
fn content_that_only_this_tablets_gate_fails_is_told_apart_from_what_a_hub_holds() {
    let mut world = World::new(41);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "原文");
    let forged = forged_edit(&mut tablet_a, &mut world, visit);
    hand_over(&mut world, &mut tablet_a, &mut tablet_b);
    let detail = tablet_b.replica.record(&visit).unwrap().unwrap();
    assert_eq!((detail.held, detail.held_here), (Vec::new(), vec![(forged, CODE_MESSAGE)]));
    assert_eq!(detail.unshown, Vec::new());
    assert_eq!(content(&tablet_b.replica, &visit), Scalar::Text("原文".to_owned()));

    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [&world.hub.replica, &tablet_b.replica] {
        let detail = replica.record(&visit).unwrap().unwrap();
        assert_eq!((detail.held, detail.held_here), (vec![(forged, CODE_MESSAGE)], Vec::new()));
    }
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_MESSAGE });
}

#[test]
fn released_change_that_this_version_cannot_show_is_counted_and_the_rest_is_shown() {
    let mut world = World::new(42);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "原文");
    let forged = forged_edit(&mut tablet_a, &mut world, visit);
    world.meet(&mut tablet_a);
    let holds = |decision: &Decision| matches!(decision, Decision::Quarantine { code: CODE_MESSAGE, .. });
    let ends = {
        let mut entries = world.hub.replica.control().iter();
        *entries.find(|(_, entry)| holds(&entry.content().decision)).unwrap().0
    };
    world.decide(Decision::Release { ends });
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [&world.hub.replica, &tablet_b.replica] {
        let detail = replica.record(&visit).unwrap().unwrap();
        assert_eq!((detail.held, detail.held_here, detail.unshown), (Vec::new(), Vec::new(), vec![forged]));
        assert_eq!(content(replica, &visit), Scalar::Text("原文".to_owned()));
    }
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
}

#[test]
fn work_beyond_a_limit_of_its_log_is_held_with_the_code_of_the_limit() {
    let mut world = World::new(43);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "第一包");
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    let log = tablet_a.replica.tips(&june())[0].log;
    let scope = QuarantineScope::LogBeyondTips { logbook: june().id(&world.org), log, tips: BTreeSet::new() };
    world.decide(Decision::Quarantine { scope, code: CODE_LIMITED });
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_LIMITED });
}

/// The tablet's store, copied to another machine.
fn copy_of(world: &mut World, tablet: &Tablet) -> Tablet {
    let disk = tablet.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (replica, _) = open(&disk, tablet.identity(world), &mut world.rng);
    Tablet {
        key: tablet.key.clone(),
        disk,
        replica,
        person: tablet.person.clone(),
        selection: tablet.selection.clone(),
        live: tablet.live.clone(),
        epoch: tablet.epoch,
    }
}

/// The hub limits the log of the last of these packs to that one and those before it.
fn limit_to(world: &mut World, packs: &[Pack]) {
    let last = packs.last().unwrap();
    let tips = BTreeSet::from([last.hash(&world.org)]);
    let scope = QuarantineScope::LogBeyondTips { logbook: june().id(&world.org), log: last.header.log, tips };
    world.decide(Decision::Quarantine { scope, code: CODE_LIMITED });
}

fn hear_decisions(world: &World, tablet: &mut Tablet) {
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet.replica.adopt(entries).unwrap();
    tablet.replica.sync().unwrap();
}

/// Packs come one by one, as from another tablet.
fn hear_packs(tablet: &mut Tablet, packs: Vec<Pack>) {
    for pack in packs {
        tablet.replica.take_packs(vec![pack]).unwrap();
        tablet.replica.sync().unwrap();
        tablet.replica.judge().unwrap();
        tablet.replica.sync().unwrap();
    }
}

/// Every pack that carries this waits for a receipt, and the hub, which has it, gives one.
fn assert_awaited(world: &mut World, tablet: &mut Tablet, doc: &DocId, pack: &Pack) {
    assert_eq!(tablet.replica.delivery(doc).unwrap(), Delivery::Waiting);
    assert!(tablet.replica.unreceipted().unwrap().contains(&(june(), pack.hash(&world.org))));
    assert!(world.meet(tablet).finished);
    assert_eq!(tablet.replica.delivery(doc).unwrap(), Delivery::Acknowledged);
    assert!(tablet.replica.unreceipted().unwrap().is_empty());
    assert_same_states(&[&world.hub.replica, &tablet.replica]);
}

#[test]
fn copys_pack_that_came_before_the_tip_its_log_is_limited_to_gets_its_receipt() {
    let mut world = World::new(47);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut copy = copy_of(&mut world, &tablet_a);
    let visit = tablet_a.file(&mut world, "副本还没见过的");
    packs_of(&mut world, &mut tablet_a);
    tablet_a.file(&mut world, "留下的分支的末端");
    let packs = packs_of(&mut world, &mut tablet_a);
    assert_eq!(packs.len(), 2);
    world.meet(&mut tablet_a);
    limit_to(&mut world, &packs);
    hear_decisions(&world, &mut copy);
    hear_packs(&mut copy, packs.clone());
    assert_awaited(&mut world, &mut copy, &visit, &packs[0]);
}

#[test]
fn own_pack_that_seemed_beyond_a_limit_until_a_copys_tip_came_gets_its_receipt() {
    let mut world = World::new(48);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "复制之前写的");
    packs_of(&mut world, &mut tablet_a);
    let mut copy = copy_of(&mut world, &tablet_a);
    copy.file(&mut world, "副本接着写的");
    let packs = packs_of(&mut world, &mut copy);
    assert_eq!(packs.len(), 2);
    world.meet(&mut copy);
    limit_to(&mut world, &packs);
    hear_decisions(&world, &mut tablet_a);
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1, "it is to be packed again");
    hear_packs(&mut tablet_a, packs.clone());
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 0);
    assert_awaited(&mut world, &mut tablet_a, &visit, &packs[0]);
}

#[test]
fn own_pack_beyond_a_limit_that_is_ended_gets_its_receipt() {
    let mut world = World::new(49);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "复制之前写的");
    let packs = packs_of(&mut world, &mut tablet_a);
    let mut copy = copy_of(&mut world, &tablet_a);
    world.meet(&mut copy);
    let scope = QuarantineScope::LogBeyondTips {
        logbook: june().id(&world.org),
        log: packs[0].header.log,
        tips: BTreeSet::new(),
    };
    world.decide(Decision::Quarantine { scope, code: CODE_LIMITED });
    hear_decisions(&world, &mut tablet_a);
    let ends = world.hub.replica.control().position().unwrap();
    world.decide(Decision::Release { ends });
    hear_decisions(&world, &mut tablet_a);
    assert_awaited(&mut world, &mut tablet_a, &visit, &packs[0]);
}

/// A store with these verdicts behind what it holds, as a program that judged otherwise would have written them.
fn with_verdicts(world: &mut World, replica: &Replica, verdicts: &[VerdictFrame]) -> MemoryDisk {
    let disk = MemoryDisk::new();
    let (mut log, _) = PackLog::open(Box::new(disk.clone()), PackLogConfig::new([7; 16])).unwrap();
    for found in replica.pack_log().scan_from(ScanFrom::Start).unwrap() {
        let (_, frame) = found.unwrap();
        log.append(frame.kind, &frame.payload).unwrap();
    }
    for verdict in verdicts {
        log.append(FrameKind::Verdict, &verdict.encode()).unwrap();
    }
    log.sync().unwrap();
    drop(log);
    disk.crash(CrashMode::DropUnsynced, &mut world.rng)
}

fn hub_with_verdicts(world: &mut World, verdicts: &[VerdictFrame]) -> MemoryDisk {
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let identity = Identity {
        authority: world.authority.verifying_key().to_bytes(),
        key: SigningKey::from_bytes(&[8; 32]),
        role: Role::Hub { hub: world.hub.id, epoch: world.hub.epoch },
    };
    let (copy, _) = open(&image, identity, &mut world.rng);
    with_verdicts(world, &copy, verdicts)
}

fn packs_of(world: &mut World, tablet: &mut Tablet) -> Vec<Pack> {
    let now = world.now();
    tablet.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet.replica.sync().unwrap();
    let waiting = tablet.replica.unreceipted().unwrap();
    waiting.iter().map(|(name, hash)| tablet.replica.pack(name, hash).unwrap()).collect()
}

/// The verdict on a pack in which these documents fail.
fn verdict(world: &World, pack: &Pack, failing: &[DocId]) -> VerdictFrame {
    let entries = pack.open().unwrap();
    let fails = (0u16..).zip(&entries).filter(|(_, entry)| failing.contains(&entry.doc()));
    let findings = fails.map(|(index, _)| Finding { index, content: CODE_LIBRARY, carrier: 0 }).collect();
    VerdictFrame { logbook: june(), pack: pack.hash(&world.org), findings }
}

fn verdicts_in(replica: &Replica) -> usize {
    let frames = replica.pack_log().scan_from(ScanFrom::Start).unwrap();
    frames.map(Result::unwrap).filter(|(_, frame)| frame.kind == FrameKind::Verdict).count()
}

/// tablet_b's older program failed what the hub passed. It counted it, for the hub's word binds; the newer program shows it,
/// and judges nothing again.
#[test]
fn change_that_an_older_program_failed_and_the_hub_passed_is_shown_after_the_upgrade() {
    let mut world = World::new(44);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let other = tablet_a.file(&mut world, "读得懂的");
    let visit = tablet_a.file(&mut world, "原文");
    let first = packs_of(&mut world, &mut tablet_a);
    tablet_a.edit(&mut world, other, "content", "改过的");
    let packs = packs_of(&mut world, &mut tablet_a);
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_b.replica.adopt(entries).unwrap();
    tablet_b.replica.take_packs(packs.clone()).unwrap();
    tablet_b.replica.sync().unwrap();
    // The root of one record, and an edit of the other.
    let older = [verdict(&world, &packs[0], &[visit]), verdict(&world, &packs[1], &[other])];
    assert_eq!((first.len(), packs.len()), (1, 2));
    let image = with_verdicts(&mut world, &tablet_b.replica, &older);
    let identity = tablet_b.identity(&world);
    (tablet_b.disk, tablet_b.replica) = (image.clone(), open(&image, identity, &mut world.rng).0);
    assert!(tablet_b.replica.record(&visit).unwrap().is_none(), "while nobody else has spoken");
    let detail = tablet_b.replica.record(&other).unwrap().unwrap();
    assert_eq!((detail.held_here.len(), detail.unshown.len()), (1, 0));

    world.meet(&mut tablet_a);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
    let before = verdicts_in(&tablet_b.replica);
    assert!(world.meet(&mut tablet_b).finished);
    for (doc, text) in [(visit, "原文"), (other, "改过的")] {
        assert_eq!(content(&tablet_b.replica, &doc), Scalar::Text(text.to_owned()));
        let detail = tablet_b.replica.record(&doc).unwrap().unwrap();
        assert_eq!((detail.held, detail.held_here, detail.unshown), (Vec::new(), Vec::new(), Vec::new()));
    }
    assert_eq!(verdicts_in(&tablet_b.replica), before, "no verdict was written for it");
    assert_same_states(&[&world.hub.replica, &tablet_b.replica]);
    let image = tablet_b.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (rebuilt, _) = open(&image, tablet_b.identity(&world), &mut world.rng);
    assert_eq!(content(&rebuilt, &other), Scalar::Text("改过的".to_owned()));
    assert_same_states(&[&world.hub.replica, &rebuilt]);
}

/// The hub runs newer code and passes what this tablet cannot read: it is counted, and shown as what it is.
#[test]
fn change_that_a_newer_hub_passed_is_told_as_unshown_and_counted_in_the_same_session() {
    let mut world = World::new(45);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "原文");
    let forged = forged_edit(&mut tablet_a, &mut world, visit);
    let packs = packs_of(&mut world, &mut tablet_a);
    world.hub.replica.take_packs(packs.clone()).unwrap();
    world.hub.replica.sync().unwrap();
    let passed: Vec<VerdictFrame> = packs.iter().map(|pack| verdict(&world, pack, &[])).collect();
    let image = hub_with_verdicts(&mut world, &passed);
    let identity = Identity {
        authority: world.authority.verifying_key().to_bytes(),
        key: SigningKey::from_bytes(&[9; 32]),
        role: Role::Hub { hub: world.hub.id, epoch: world.hub.epoch },
    };
    (world.hub.disk, world.hub.replica) = (image.clone(), open(&image, identity, &mut world.rng).0);

    let meeting = world.meet(&mut tablet_b);
    assert!(meeting.finished && meeting.states_differ.is_empty());
    let detail = tablet_b.replica.record(&visit).unwrap().unwrap();
    assert_eq!((detail.held, detail.held_here, detail.unshown), (Vec::new(), Vec::new(), vec![forged]));
    assert_eq!(content(&tablet_b.replica, &visit), Scalar::Text("原文".to_owned()));
    assert_same_states(&[&world.hub.replica, &tablet_b.replica]);
}

/// Heads come from the dependency index: who cannot read a document's first change counts it as who can.
#[test]
fn document_whose_root_cannot_be_read_is_counted_in_the_state() {
    let mut world = World::new(46);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = tablet_a.file(&mut world, "原文");
    let root = tablet_a.replica.document(&visit).unwrap().unwrap().changes().next().unwrap().clone();
    let mut forged = Forged::from(&root);
    let form = forged.rows.iter_mut().find(|row| row.key == "f").unwrap();
    form.value = "2031年的表单".as_bytes().to_vec();
    let change = forged.change();
    let (doc, hash) = (change.doc_id_if_root().unwrap(), change.hash());
    tablet_b.replica.write(&june(), &[(doc, AuthoredChange { change })], None).unwrap();
    tablet_b.replica.sync().unwrap();
    world.meet(&mut tablet_b);
    let holds = |decision: &Decision| matches!(decision, Decision::Quarantine { .. });
    let ends = {
        let mut entries = world.hub.replica.control().iter();
        *entries.find(|(_, entry)| holds(&entry.content().decision)).unwrap().0
    };
    let held = StateDigest::of_document(&doc, &[], &[hash]);
    let june_of = |replica: &Replica| replica.state_digest(&june()).unwrap();
    assert_eq!(june_of(&world.hub.replica), held, "held, it counts as held");
    world.decide(Decision::Release { ends });
    world.meet(&mut tablet_b);
    let counted = StateDigest::of_document(&doc, &[hash], &[]);
    for replica in [&world.hub.replica, &tablet_b.replica] {
        assert_eq!(june_of(replica), counted);
        assert_eq!(replica.unreadable_record(&doc).unwrap(), Some(june()));
        assert!(replica.all_records().unwrap().contains(&doc));
        assert_eq!(replica.count_records(&Default::default()).unwrap(), 0, "there is nothing to list of it");
    }
}
