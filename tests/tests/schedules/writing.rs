//! B: what a save costs, and a clone of a running program.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::record::{AuthoredChange, FieldEdit, FieldPath, Origin, edit};
use qianmo_replica::disk::CrashMode;
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::pack_log::{FrameKind, ScanFrom};
use qianmo_replica::replica::{Identity, Replica, Role};

use crate::meeting::{content, meet_beside_the_hub, seal, text};
use crate::world::{CountingDisk, Tablet, World, assert_same_states, june};

#[test]
fn record_and_its_submit_are_one_frame_and_one_fdatasync() {
    let mut world = World::new(151);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let syncs = Arc::default();
    let disk = CountingDisk { inner: tablet_a.disk.clone(), syncs: Arc::clone(&syncs), images: Arc::default() };
    let authority = world.authority.verifying_key().to_bytes();
    let identity = Identity { authority, key: tablet_a.key.clone(), role: Role::Tablet };
    let index = Box::new(MemoryIndex::new());
    tablet_a.replica = Replica::open(Box::new(disk), index, identity, &mut world.rng).unwrap().0;
    world.file(&mut tablet_a, "先写一条,分段已经在");
    let locals = |tablet: &Tablet| {
        let frames = tablet.replica.pack_log().scan_from(ScanFrom::Start).unwrap();
        frames.map(Result::unwrap).filter(|(_, frame)| frame.kind == FrameKind::Local).count()
    };
    let before = (syncs.load(Ordering::Relaxed), locals(&tablet_a));
    let visit = world.file(&mut tablet_a, "记录和提交是一件事");
    assert_eq!((syncs.load(Ordering::Relaxed), locals(&tablet_a)), (before.0 + 1, before.1 + 1));
    let row = tablet_a.replica.record_row(&visit).unwrap().unwrap();
    assert_eq!(row.review.status, qianmo_protocol::review::ReviewStatus::Pending);
}

/// A program is copied while it runs: both copies go on with one actor. Two hashes stand under one number.
#[test]
fn two_changes_of_one_actor_and_number_are_held_until_the_hub_orders_them() {
    let mut world = World::new(152);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_x = world.enrol("P02", GrantRole::Technician);
    let mut tablet_y = world.enrol("P03", GrantRole::Technician);
    let doc = world.file(&mut tablet_a, "原文");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_x);
    world.meet(&mut tablet_y);
    let image = tablet_a.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let mut clone = world.tablet(tablet_a.key.clone(), "P01", image);
    let actor = tablet_a.replica.document(&doc).unwrap().unwrap().changes().next().unwrap().head().actor;
    let write = |world: &mut World, tablet: &mut Tablet, value: &str| {
        let origin = Origin { actor, person: tablet.person.clone(), time: world.now() };
        let document = tablet.replica.document(&doc).unwrap().unwrap();
        let edits = [FieldEdit::Set(FieldPath::Field("content".to_owned()), Scalar::Text(value.to_owned()))];
        let change: AuthoredChange = edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap();
        tablet.replica.write(&june(), &[(doc, change)], None).unwrap();
        tablet.replica.sync().unwrap();
        seal(world, tablet);
    };
    write(&mut world, &mut tablet_a, "原机写的");
    write(&mut world, &mut clone, "副本写的");
    // Two witnesses hear of them in different orders, without the hub.
    meet_beside_the_hub(&mut world, &mut tablet_a, &mut tablet_x);
    meet_beside_the_hub(&mut world, &mut clone, &mut tablet_y);
    meet_beside_the_hub(&mut world, &mut clone, &mut tablet_x);
    meet_beside_the_hub(&mut world, &mut tablet_a, &mut tablet_y);
    assert_same_states(&[&tablet_x.replica, &tablet_y.replica]);
    for witness in [&tablet_x, &tablet_y] {
        assert_eq!(content(&witness.replica, &doc), text("原文"), "neither is shown, and what was before them is");
    }
    for _ in 0..2 {
        for tablet in [&mut tablet_x, &mut clone, &mut tablet_a, &mut tablet_y] {
            assert!(world.meet(tablet).states_differ.is_empty());
        }
    }
    let shown: BTreeMap<_, _> = [&tablet_a, &clone, &tablet_x, &tablet_y]
        .into_iter()
        .map(|tablet| (content(&tablet.replica, &doc), ()))
        .chain([(content(world.core.replica(), &doc), ())])
        .collect();
    assert_eq!(shown.len(), 1, "the hub has ordered them, the same for all: {shown:?}");
    assert!(shown.keys().next().unwrap().is_some());
    assert_same_states(&[
        &tablet_a.replica,
        &clone.replica,
        &tablet_x.replica,
        &tablet_y.replica,
        world.core.replica(),
    ]);
}
