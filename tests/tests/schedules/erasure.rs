//! A11: an erasure survives the hub that decided it, and stubs are legal only where it is known.

use qianmo_protocol::control::{Decision, Role as GrantRole, SignedEntry};
use qianmo_protocol::ids::DocId;
use qianmo_protocol::pack::Pack;
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::session::{Shelf as _, StoreOutcome};
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::ErasureReach;
use qianmo_server::admin::{PurgeOrder, Unsaved, erasures, purge};
use qianmo_server::hub::Kept;

use crate::meeting::{content, own_packs, text};
use crate::world::{World, assert_same_states, june};

fn erase(world: &mut World, doc: DocId) {
    let order = PurgeOrder { doc, reach: ErasureReach::Record, reason: 2, unsaved: Unsaved::Refuse };
    let now = world.now();
    purge(&mut world.core, now, &order).unwrap();
    assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
}

#[test]
fn erasure_that_one_tablet_heard_of_survives_the_hub_that_decided_it() {
    let mut world = World::new(121);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "要永久删除的");
    let kept = world.file(&mut tablet_a, "要留下的");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    let backup = world.image();
    erase(&mut world, visit);
    world.meet(&mut tablet_b);
    // The hub dies: its backup is from before, and has the record.
    world.restore_from(backup);
    assert_eq!(content(world.core.replica(), &visit), text("要永久删除的"));
    world.meet(&mut tablet_b);
    assert_eq!(
        content(world.core.replica(), &visit),
        None,
        "the entry is signed by its own key: adopted before records"
    );
    assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
    assert!(erasures(&world.core).unwrap().is_carried_out);
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    // The author never heard of it and brings everything.
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [world.core.replica(), &tablet_a.replica, &tablet_b.replica] {
        assert_eq!((content(replica, &visit), content(replica, &kept)), (None, text("要留下的")));
    }
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
}

#[test]
fn pack_with_stubs_is_refused_for_a_while_by_who_does_not_know_the_erasure() {
    let mut world = World::new(122);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut fresh = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "要永久删除的");
    world.meet(&mut tablet_a);
    let before: Vec<SignedEntry> = world.core.replica().control().iter().map(|(_, entry)| entry.clone()).collect();
    fresh.replica.adopt(before).unwrap();
    fresh.replica.sync().unwrap();
    let whole = own_packs(&tablet_a);
    erase(&mut world, visit);
    let org = world.org();
    let stubbed: Vec<Pack> =
        whole.iter().map(|pack| world.core.replica().pack(&june(), &pack.hash(&org)).unwrap()).collect();
    assert!(stubbed.iter().flat_map(|pack| pack.open().unwrap()).any(|entry| entry.change().is_none()));
    assert_eq!(stubbed.iter().map(|pack| pack.hash(&org)).collect::<Vec<_>>(), [whole[0].hash(&org)]);
    let outcomes = fresh.replica.take_packs(stubbed.clone()).unwrap().outcomes;
    fresh.replica.sync().unwrap();
    assert!(matches!(outcomes[..], [StoreOutcome::Refused { code: RefuseCode::UnprovenStub, .. }]), "{outcomes:?}");
    assert!(!RefuseCode::UnprovenStub.is_permanent());
    assert!(fresh.replica.tips(&june()).is_empty(), "it is in no vector");
    let is_purge = |entry: &SignedEntry| matches!(entry.content().decision, Decision::Purge(_));
    let after: Vec<SignedEntry> = world.core.replica().control().iter().map(|(_, entry)| entry.clone()).collect();
    assert!(after.iter().any(is_purge));
    fresh.replica.adopt(after).unwrap();
    fresh.replica.sync().unwrap();
    let outcomes = fresh.replica.take_packs(stubbed).unwrap().outcomes;
    assert!(matches!(outcomes[..], [StoreOutcome::Held { .. }]), "{outcomes:?}");
    fresh.replica.sync().unwrap();
    fresh.replica.judge().unwrap();
    assert_same_states(&[&fresh.replica, world.core.replica()]);
}
