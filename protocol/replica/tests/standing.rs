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

use gate_support::Forged;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::{ChangeHash, DocId};
use qianmo_protocol::record::{AuthoredChange, FieldEdit, edit};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::{Delivery, Replica};
use world::{Tablet, World, assert_same_states, field, june};

/// The gate's code for a message that is no resolve.
const CODE_MESSAGE: u16 = 60;
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
