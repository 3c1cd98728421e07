//! Vectors, selections and locators of a peer, and what a store makes of them.

use qianmo_protocol::ids::LogbookName;
use qianmo_protocol::vector::{Locator, LogTrees as _, Selection, WireVector, beyond_locator, locator, plan};
use qianmo_protocol::wire::Wire as _;

use super::reads_back;
use super::session::with_world;
use crate::world::june;

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 3 {
        0 => drop(reads_back::<WireVector>(bytes).map(|vector| planned(&vector))),
        1 => drop(reads_back::<Locator>(bytes).map(|steps| answered(&steps))),
        _ => drop(reads_back::<Selection>(bytes).map(|selection| covered(&selection))),
    }
}

fn planned(vector: &WireVector) {
    with_world(|world| {
        let plan = plan(&world.hub, &june(), vector);
        assert!(plan.send.is_sorted_by(|a, b| a.commit < b.commit), "out of order, or sent twice");
        let held = |node: &qianmo_protocol::vector::PackNode| world.hub.node(&june(), &node.hash) == Some(*node);
        assert!(plan.send.iter().all(held), "sends what it does not hold");
        assert!(plan.ask.len() <= vector.0.len());
        if *vector == world.june_vector {
            assert!(plan.send.is_empty() && plan.ask.is_empty() && !plan.peer_has_more);
        }
    });
}

fn answered(steps: &Locator) {
    with_world(|world| {
        let beyond = beyond_locator(&world.hub, &june(), steps);
        assert!(beyond.is_sorted_by(|a, b| a.commit < b.commit));
        let own = locator(&world.hub, &june(), &steps.log);
        assert!(beyond.is_empty() || !own.steps.is_empty(), "packs of a log that is not held");
        assert!(beyond_locator(&world.hub, &june(), &own).is_empty(), "something lies beyond all that is held");
    });
}

fn covered(selection: &Selection) {
    assert!(selection.without.iter().all(|name| !selection.covers(name)), "an evicted logbook is wanted");
    assert!(Selection::everything().covers(&LogbookName::OrgDirectory));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let of = |kind: u8, bytes: Vec<u8>| [&[kind], bytes.as_slice()].concat();
    with_world(|world| {
        let mut seeds = vec![of(0, world.june_vector.encode()), of(0, WireVector::default().encode())];
        for tip in world.hub.tips(&june()) {
            seeds.push(of(1, locator(&world.hub, &june(), &tip.log).encode()));
        }
        for selection in [Selection::everything(), world.selection.clone()] {
            seeds.push(of(2, selection.encode()));
            let without = [june(), LogbookName::OrgDirectory].into();
            seeds.push(of(2, Selection { without, ..selection }.encode()));
        }
        seeds
    })
}
