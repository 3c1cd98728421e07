//! What a hostile device may cost in memory.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

#[path = "../../protocol/tests/gate_support.rs"]
mod gate_support;

use gate_support::{Forged, Row, footer};
use peak_alloc::PeakAlloc;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::Incarnation;
use qianmo_protocol::limits::{CHANGE_OPS_MAX, PACK_ENTRIES_MAX};
use qianmo_protocol::pack::{Entry, Pack, Place, seal};
use qianmo_tests::world::{Tablet, World, june};

/// Memory is counted for the whole process, so this file has one test.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

const MIB: usize = 1024 * 1024;

/// As many first changes as a pack may have, each of as many operations as a change may have, in some 150 bytes: the
/// columns are run lengths.
fn dense_pack(world: &World, tablet: &Tablet) -> Pack {
    let entries = (0..PACK_ENTRIES_MAX).map(|number| {
        let mut actor = [0; 16];
        actor[..8].copy_from_slice(&number.to_be_bytes());
        let forged = Forged {
            deps: Vec::new(),
            actor,
            seq: 1,
            start_op: 1,
            message: String::new(),
            others: Vec::new(),
            rows: vec![Row::put(None, &"k".repeat(60), "", &[]); CHANGE_OPS_MAX],
            footer: footer("P01"),
        };
        Entry::Root { change: forged.change() }
    });
    let place = Place {
        logbook: june(),
        incarnation: Incarnation([7; 8]),
        after: None,
        control: world.hub.replica.control().position().unwrap(),
        time: qianmo_tests::world::NOW,
    };
    seal(&world.org, &tablet.key, place, entries.collect(), 3).unwrap().into_parts().0
}

#[test]
fn pack_of_changes_with_many_tiny_operations_costs_the_hub_little_memory() {
    let mut world = World::new(71);
    let tablet = world.enrol("P01", GrantRole::Technician);
    let pack = dense_pack(&world, &tablet);
    assert!(pack.body.len() < 64 * 1024, "{} bytes", pack.body.len());
    let hub = &mut world.hub.replica;
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    hub.take_packs(vec![pack]).unwrap();
    hub.sync().unwrap();
    let report = hub.judge().unwrap();
    hub.sync().unwrap();
    assert_eq!(report.held.len(), PACK_ENTRIES_MAX, "every one of them is held");
    let (kept, peak) = (ALLOCATOR.current_usage() - before, ALLOCATOR.peak_usage() - before);
    assert!(kept < 4 * MIB && peak < 16 * MIB, "{kept} bytes are kept, {peak} at the peak");
}
