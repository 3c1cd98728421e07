//! The review state is the same on the hub and on every tablet, whatever is held, erased or excluded (A3).

use std::collections::BTreeSet;

use qianmo_protocol::control::{Decision, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::DocId;
use qianmo_protocol::review::{ReviewKind, ReviewStatus, Standing};
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::{ErasureReach, Replica};
use qianmo_server::admin::{PurgeOrder, Unsaved, purge};

use crate::world::{World, assert_same_states, june};

fn status(replica: &Replica, record: &DocId) -> ReviewStatus {
    replica.record_row(record).unwrap().unwrap().review.status
}

/// The hub has the excluded event and other tablets are never offered it: the hub once said 待定, the tablets 待审.
#[test]
fn event_in_an_excluded_pack_counts_neither_on_the_hub_nor_on_any_tablet() {
    for whole_pack in [false, true] {
        let mut world = World::new(91);
        let mut tablet_a = world.enrol("P01", GrantRole::Technician);
        let mut tablet_b = world.enrol("P02", GrantRole::Technician);
        let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
        let visit = world.file(&mut tablet_a, "待审的");
        world.meet(&mut tablet_a);
        world.meet(&mut coordinator);
        world.review(&mut coordinator, visit, ReviewKind::Comment);
        world.meet(&mut coordinator);
        let tips = coordinator.replica.tips(&june());
        let stays = *tips.iter().find(|tip| tip.log.device == coordinator.device()).unwrap();
        let approval = world.review(&mut coordinator, visit, ReviewKind::Approve);
        world.meet(&mut coordinator);
        assert_eq!(status(world.core.replica(), &visit), ReviewStatus::Approved);
        let pack = world.core.replica().tips(&june()).iter().find(|tip| tip.log == stays.log).unwrap().head;
        let scope = if whole_pack {
            QuarantineScope::Pack(pack)
        } else {
            let tips = BTreeSet::from([stays.head]);
            QuarantineScope::LogBeyondTips { logbook: june().id(&world.org()), log: stays.log, tips }
        };
        let now = world.now();
        world.core.decide(now, vec![Decision::Quarantine { scope, code: 281 }]).unwrap();
        for tablet in [&mut tablet_a, &mut tablet_b, &mut coordinator] {
            let meeting = world.meet(tablet);
            assert!(meeting.states_differ.is_empty());
        }
        assert!(tablet_b.replica.record_of(&approval).unwrap().is_none(), "it is not offered to anyone");
        let view = |replica: &Replica| {
            let reviews = replica.reviews(&visit).unwrap();
            reviews.iter().find(|review| review.id == approval).map(|review| review.standing)
        };
        assert_eq!(view(world.core.replica()), Some(Standing::Excluded));
        for replica in [world.core.replica(), &tablet_a.replica, &tablet_b.replica, &coordinator.replica] {
            assert_eq!(status(replica, &visit), ReviewStatus::Pending, "whole pack: {whole_pack}");
        }
        assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    }
}

/// What hid nothing while it was there hides nothing when it is gone.
#[test]
fn erased_event_that_nobody_had_the_right_to_still_hides_nothing() {
    let mut world = World::new(92);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    let visit = world.file(&mut tablet_a, "已通过的");
    world.meet(&mut tablet_a);
    world.meet(&mut coordinator);
    world.review(&mut coordinator, visit, ReviewKind::Approve);
    world.meet(&mut coordinator);
    world.meet(&mut tablet_a);
    let forged = world.review(&mut tablet_a, visit, ReviewKind::Return);
    world.meet(&mut tablet_a);
    assert_eq!(status(world.core.replica(), &visit), ReviewStatus::Approved);
    let order = PurgeOrder { doc: forged, reach: ErasureReach::Record, reason: 1, unsaved: Unsaved::Refuse };
    let now = world.now();
    let plan = purge(&mut world.core, now, &order).unwrap();
    assert_eq!(plan.parts.iter().map(|part| part.doc).collect::<Vec<_>>(), [forged]);
    world.core.keep_house().unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [world.core.replica(), &tablet_a.replica, &tablet_b.replica] {
        assert_eq!(status(replica, &visit), ReviewStatus::Approved);
    }
}
