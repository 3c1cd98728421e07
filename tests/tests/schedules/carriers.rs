//! A1: a verdict on content is about a change, one on a carrier about a change in a pack. A3: what is held still hides.

use std::collections::BTreeSet;

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Carrier, Decision, QuarantineScope, Role as GrantRole, Tip};
use qianmo_protocol::ids::{Code, DocId};
use qianmo_protocol::record::{AuthoredChange, FieldEdit, FieldPath, Origin, edit};
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::{CODE_NOT_OWNER, Delivery, Replica};
use qianmo_server::hub::ReleaseOrder;

use crate::meeting::{content, quarantines, text};
use crate::world::{Tablet, World, assert_same_states, june};

const CODE_BEYOND_CUT: u16 = 263;

fn changes_of(tablet: &Tablet, doc: &DocId) -> Vec<(DocId, AuthoredChange)> {
    let document = tablet.replica.document(doc).unwrap().unwrap();
    document.changes().map(|change| (*doc, AuthoredChange { change: change.clone() })).collect()
}

#[test]
fn stolen_copy_that_reaches_the_hub_first_holds_back_nothing_of_its_author() {
    let mut world = World::new(101);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    let mut witness = world.enrol("P03", GrantRole::Technician);
    let doc = world.file(&mut tablet_a, "甲写的");
    world.edit(&mut tablet_a, doc, "content", "甲改的");
    thief.replica.write(&june(), &changes_of(&tablet_a, &doc), None).unwrap();
    thief.replica.sync().unwrap();
    world.meet(&mut thief);
    assert_eq!(content(world.core.replica(), &doc), None);
    let held = quarantines(&world);
    assert!(!held.is_empty());
    let names_its_pack = |(scope, _): &(QuarantineScope, u16)| {
        matches!(scope, QuarantineScope::Change { carrier: Carrier::Pack(_), .. })
    };
    assert!(held.iter().all(names_its_pack), "the thief's pack is held, and not the change: {held:?}");
    world.meet(&mut witness);

    world.meet(&mut tablet_a);
    assert_eq!(content(world.core.replica(), &doc), text("甲改的"), "with what the author wrote after it");
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    for tablet in [&mut witness, &mut thief, &mut tablet_a] {
        assert!(world.meet(tablet).states_differ.is_empty());
    }
    assert_eq!(content(&witness.replica, &doc), text("甲改的"));
    assert_same_states(&[&witness.replica, &thief.replica, &tablet_a.replica, world.core.replica()]);
}

/// One person, two devices: the actor belongs to the one that carried its first change.
#[test]
fn actor_goes_on_only_on_a_device_that_carried_its_first_change() {
    let mut world = World::new(102);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut other = world.enrol("P01", GrantRole::Technician);
    let doc = world.file(&mut tablet_a, "原文");
    world.meet(&mut tablet_a);
    world.meet(&mut other);
    let actor = changes_of(&tablet_a, &doc)[0].1.change.head().actor;
    let write = |world: &mut World, tablet: &mut Tablet, value: &str| {
        let origin = Origin { actor, person: tablet.person.clone(), time: world.now() };
        let document = tablet.replica.document(&doc).unwrap().unwrap();
        let edits = [FieldEdit::Set(FieldPath::Field("content".to_owned()), Scalar::Text(value.to_owned()))];
        let change = edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap();
        assert_eq!(change.change.head().seq, 2);
        tablet.replica.write(&june(), &[(doc, change)], None).unwrap();
        tablet.replica.sync().unwrap();
    };
    write(&mut world, &mut other, "别处接着写的");
    world.meet(&mut other);
    assert_eq!(other.replica.delivery(&doc).unwrap(), Delivery::Held { code: CODE_NOT_OWNER });
    assert_eq!(content(world.core.replica(), &doc), text("原文"));
    write(&mut world, &mut tablet_a, "自己接着写的");
    world.meet(&mut tablet_a);
    assert_eq!(content(world.core.replica(), &doc), text("自己接着写的"));
    world.meet(&mut other);
    assert_same_states(&[&other.replica, &tablet_a.replica, world.core.replica()]);
}

/// A coordinator's return arrives after their right was withdrawn. The approval that it had seen does not come back.
#[test]
fn return_beyond_a_cut_still_hides_the_approval_it_saw() {
    let mut world = World::new(103);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    let visit = world.file(&mut tablet_a, "先通过后退回的");
    world.meet(&mut tablet_a);
    world.meet(&mut coordinator);
    world.review(&mut coordinator, visit, ReviewKind::Approve);
    world.meet(&mut coordinator);
    let status = |replica: &Replica| replica.record_row(&visit).unwrap().unwrap().review.status;
    assert_eq!(status(world.core.replica()), ReviewStatus::Approved);
    world.review(&mut coordinator, visit, ReviewKind::Return);
    let person = Code::new("C01").unwrap();
    let ends = *world.core.replica().control().fold().grants_of(&person).next().unwrap().0;
    let own = |tip: &qianmo_protocol::vector::Tip| tip.log.device == coordinator.device();
    let tips = world.core.replica().tips(&june()).into_iter().filter(own);
    let logbook = june().id(&world.org());
    let tips: BTreeSet<Tip> = tips.map(|tip| Tip { logbook, log: tip.log, pack: tip.head }).collect();
    let now = world.now();
    world.core.decide(now, vec![Decision::Cut { ends, tips }]).unwrap();
    world.meet(&mut coordinator);
    world.meet(&mut tablet_a);
    assert_eq!(quarantines(&world).iter().map(|(_, code)| *code).collect::<Vec<_>>(), [CODE_BEYOND_CUT]);
    for replica in [world.core.replica(), &tablet_a.replica, &coordinator.replica] {
        assert_eq!(status(replica), ReviewStatus::Unsettled, "待定, never 通过");
    }
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_BEYOND_CUT)).unwrap();
    world.meet(&mut tablet_a);
    for replica in [world.core.replica(), &tablet_a.replica] {
        assert_eq!(status(replica), ReviewStatus::Returned);
    }
}
