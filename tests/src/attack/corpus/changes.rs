//! Changes that a pack carries rightly and the gate must hold: each once crashed a library or broke a document.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::ChangeHash;
use qianmo_protocol::pack::Entry;
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::session::message::{Message, RefuseCode};

use super::super::device::june;
use super::{Attack, Ending, Per, Scene, Sent, attack};
use crate::forge::{Forged, Row, footer, ileb, uleb};

/// A change waits for one that is missing.
const WAITS: u16 = u16::MAX;

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack("nesting_300_deep", Sent::Turn(|scene| root(scene, |forged| nest(forged, 300))), Ending::Held(22)),
        attack("nesting_1000_deep", Sent::Turn(|scene| root(scene, |forged| nest(forged, 1_000))), Ending::Held(22)),
        attack(
            "counter_near_u32_max",
            Sent::Turn(|scene| root(scene, |forged| forged.start_op = COUNTER)),
            Ending::Held(31),
        ),
        attack("counter_gap", Sent::Turn(|scene| root(scene, |forged| forged.start_op = 1_000)), Ending::Held(31)),
        attack("sequence_gap", Sent::Turn(|scene| root(scene, |forged| forged.seq = 7)), Ending::Held(30)),
        attack("tiny_operations_100000", Sent::Turn(|scene| root(scene, tiny)), Ending::Held(1)),
        attack("run_of_2_to_40_operations", Sent::Turn(run_of_operations), Ending::Held(1)),
        attack("forged_person", Sent::Turn(forged_person), Ending::Held(260)),
        attack("forged_actor_next_in_anothers_sequence", Sent::Turn(squat), Ending::Held(260)),
        attack("missing_dependency", Sent::Turn(missing), Ending::Held(WAITS)),
        attack("approval_by_a_technician", Sent::Turn(approve), Ending::Held(261)),
        attack("pack_of_256_changes_that_fail", Sent::Turn(many_failures), Ending::Held(30)).per(Per::Change),
        attack("pack_of_256_honest_visits", Sent::Turn(many_visits), Ending::Nothing).per(Per::Change),
        attack("change_of_4000_operations", Sent::Turn(large_change), Ending::Nothing).per(Per::Lawful),
        attack("change_over_64_kilobytes", Sent::Turn(too_large), Ending::Refused(RefuseCode::BadBody)),
    ]
}

const COUNTER: u64 = u32::MAX as u64 - 3;

fn pack(scene: &mut Scene, change: RawChange) -> Vec<Message> {
    vec![Message::Pack(scene.hostile.pack_of(change))]
}

/// An honest first change with something else in it.
fn root(scene: &mut Scene, change: impl FnOnce(&mut Forged)) -> Vec<Message> {
    let mut forged = Forged::from(&scene.hostile.visit());
    change(&mut forged);
    pack(scene, forged.change())
}

fn nest(forged: &mut Forged, depth: u64) {
    forged.rows.clear();
    let mut parent = None;
    for counter in 1..=depth {
        forged.rows.push(Row::map(parent, "m"));
        parent = Some((0, counter));
    }
}

fn tiny(forged: &mut Forged) {
    forged.rows = vec![Row::put(None, "a", "", &[]); 100_000];
}

/// One run in each column, of a thousand milliards of operations, in fifty bytes.
fn run_of_operations(scene: &mut Scene) -> Vec<Message> {
    let mut forged = Forged::from(&scene.hostile.visit());
    forged.rows.clear();
    let footer = core::mem::take(&mut forged.footer);
    let mut content = forged.content();
    // It ends with the number of columns: none.
    assert_eq!(content.pop(), Some(0));
    let many = ileb(1 << 40);
    let run = |value: &[u8]| [many.as_slice(), value].concat();
    let columns =
        [(0x15, run(&[1, b'a'])), (0x34, uleb(1 << 40)), (0x42, run(&[1])), (0x56, run(&[6])), (0x70, run(&[0]))];
    content.push(u8::try_from(columns.len()).unwrap());
    for (column, bytes) in &columns {
        content.extend([*column, u8::try_from(bytes.len()).unwrap()]);
    }
    columns.iter().for_each(|(_, bytes)| content.extend_from_slice(bytes));
    content.extend(footer);
    let change = RawChange::from_content(&content).unwrap();
    pack(scene, change)
}

fn forged_person(scene: &mut Scene) -> Vec<Message> {
    let person = scene.victim_person.clone();
    root(scene, |forged| forged.footer = footer(&person))
}

/// The victim's actor goes on, in a pack of somebody else.
fn squat(scene: &mut Scene) -> Vec<Message> {
    let first = Forged::from(&scene.victim_change);
    let fields = scene.victim_change.ops().unwrap().iter().find(|op| op.key == "d").unwrap().id.counter;
    let forged = Forged {
        deps: vec![scene.victim_change.hash()],
        seq: 2,
        start_op: first.start_op + u64::try_from(first.rows.len()).unwrap(),
        rows: vec![Row::put(Some((0, fields)), "squat", "x", &[])],
        footer: Vec::new(),
        ..first
    };
    let doc = scene.victim_change.doc_id_if_root().unwrap();
    vec![Message::Pack(scene.hostile.pack(vec![Entry::Full { doc, change: forged.change() }]))]
}

fn missing(scene: &mut Scene) -> Vec<Message> {
    let mut forged = Forged::from(&scene.hostile.visit());
    (forged.deps, forged.start_op) = (vec![ChangeHash([8; 32])], 99);
    pack(scene, forged.change())
}

fn approve(scene: &mut Scene) -> Vec<Message> {
    let event = ReviewEvent {
        record: scene.victim_change.doc_id_if_root().unwrap(),
        logbook: june().id(&scene.hostile.enrolled.org),
        kind: ReviewKind::Approve,
        heads: BTreeSet::from([scene.victim_change.hash()]),
        seen: BTreeSet::new(),
        reasons: BTreeSet::new(),
        field_notes: BTreeMap::new(),
        note: String::new(),
        provenance: Provenance::Written,
        person: scene.hostile.person.clone(),
        time: qianmo_protocol::time::UnixMillis(1_750_000_000_000),
    };
    let change = event.author(&scene.hostile.origin()).unwrap().change;
    pack(scene, change)
}

fn many_failures(scene: &mut Scene) -> Vec<Message> {
    let entries = (0..256).map(|_| {
        let mut forged = Forged::from(&scene.hostile.visit());
        forged.seq = 7;
        Entry::Root { change: forged.change() }
    });
    let entries = entries.collect();
    vec![Message::Pack(scene.hostile.pack(entries))]
}

/// No attack: what the same number of honest records costs, to compare.
fn many_visits(scene: &mut Scene) -> Vec<Message> {
    let entries = (0..256).map(|_| Entry::Root { change: scene.hostile.visit() }).collect();
    vec![Message::Pack(scene.hostile.pack(entries))]
}

/// The dearest change that is allowed.
fn large_change(scene: &mut Scene) -> Vec<Message> {
    let change = scene.hostile.large_record();
    pack(scene, change)
}

fn too_large(scene: &mut Scene) -> Vec<Message> {
    let content = vec![0; 70_000];
    let entry = [&[1], uleb(70_000).as_slice(), content.as_slice()].concat();
    let body = zstd::bulk::compress(&entry, 3).unwrap();
    vec![Message::Pack(scene.hostile.pack_around(body, 1))]
}
