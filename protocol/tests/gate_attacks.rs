//! Attacks on the gate, one by one. Each is a change with a right checksum that once crashed a library, hid a value or
//! broke a document; each has a verdict with a stable code.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

#[path = "gate_support.rs"]
mod gate_support;
#[path = "record_support.rs"]
mod record_support;

use std::collections::{BTreeMap, BTreeSet};

use gate_support::{Forged, Row, footer};
use qianmo_protocol::change::{ObjectId, RawChange, Scalar};
use qianmo_protocol::gate::{DocumentRoot, Gate, JudgeError, Place, judge_content};
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookId};
use qianmo_protocol::limits::{CHANGE_OPS_MAX, DOCUMENT_ACTORS_MAX, DOCUMENT_CHANGES_MAX, VALUE_BYTES_MAX};
use qianmo_protocol::record::{FieldEdit, ResolveList};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::time::UnixMillis;
use record_support::{LOGBOOK, ROW, Tablet, cell, field, first, origin, place, text};

/// The code of the verdict.
fn code(change: &RawChange, closure: &[RawChange], place: &Place) -> u16 {
    verdict(judge_content(change, closure, place).unwrap_err())
}

struct Scene {
    first: RawChange,
    edit: RawChange,
}

/// A record and an edit of two fields and a cell by a second person.
fn scene() -> Scene {
    let first = first(1);
    let mut tablet = Tablet::new(&first, 2, "P02");
    let edit = tablet
        .edit(&[
            FieldEdit::Set(field("crop"), text("桃")),
            FieldEdit::Set(field("area"), Scalar::Int(13)),
            FieldEdit::Set(cell(ROW, "pest"), text("红蜘蛛")),
        ])
        .unwrap();
    Scene { first, edit }
}

impl Scene {
    fn forge(&self, change: impl FnOnce(&mut Forged)) -> RawChange {
        let mut forged = Forged::from(&self.edit);
        change(&mut forged);
        forged.change()
    }

    fn code(&self, change: impl FnOnce(&mut Forged)) -> u16 {
        code(&self.forge(change), core::slice::from_ref(&self.first), &place(&self.first))
    }

    fn root_code(&self, change: impl FnOnce(&mut Forged)) -> u16 {
        let mut forged = Forged::from(&self.first);
        change(&mut forged);
        let change = forged.change();
        code(&change, &[], &place(&change))
    }

    /// The object of a container of the first change: (number of the first change's actor, counter).
    fn object(&self, key: &str) -> Option<(u64, u64)> {
        let ops = self.first.ops().unwrap();
        Some((1, ops.iter().find(|op| op.key == key).unwrap().id.counter))
    }
}

#[test]
fn forged_copy_of_an_honest_change_is_that_change() {
    let scene = scene();
    for change in [&scene.first, &scene.edit] {
        let mut forged = Forged::from(change);
        // The support writes time zero.
        let copy = forged.change();
        assert_eq!(copy.ops(), change.ops());
        forged.rows.reverse();
        assert_ne!(forged.change().ops(), change.ops());
    }
    let copy = scene.forge(|_| {});
    judge_content(&copy, core::slice::from_ref(&scene.first), &place(&scene.first)).unwrap();
}

/// 545 bytes that once killed the process: hydrate recurses, and a stack overflow cannot be caught.
#[test]
fn nesting_three_hundred_deep_is_refused_before_hydrate() {
    let scene = scene();
    let deep = |rows: &mut Vec<Row>, from: Option<(u64, u64)>, start: u64| {
        let mut parent = from;
        for counter in start..start + 300 {
            rows.push(Row::map(parent, "m"));
            parent = Some((0, counter));
        }
    };
    assert_eq!(
        scene.root_code(|forged| {
            forged.rows.clear();
            deep(&mut forged.rows, None, 1);
        }),
        22
    );
    let row = scene.object(&ROW.to_string());
    assert_eq!(
        scene.code(|forged| {
            let start = forged.start_op;
            forged.rows.clear();
            deep(&mut forged.rows, row, start);
        }),
        51
    );
}

#[test]
fn counters_that_the_library_panics_on_are_refused() {
    let scene = scene();
    for start_op in [1, u64::from(u32::MAX) - 1, u64::from(u32::MAX), u64::from(u32::MAX) + 1, 1 << 31] {
        assert_eq!(scene.code(|forged| forged.start_op = start_op), 31);
    }
    assert_eq!(scene.code(|forged| forged.start_op = u64::MAX), 6);
    assert_eq!(scene.root_code(|forged| forged.start_op = u64::from(u32::MAX) - 3), 31);
}

#[test]
fn sequence_gaps_and_repeats_are_refused() {
    let scene = scene();
    for seq in [0, 2, 3, u64::MAX] {
        assert_eq!(scene.code(|forged| forged.seq = seq), 30);
    }
    assert_eq!(scene.root_code(|forged| forged.seq = 2), 30);
}

#[test]
fn person_is_named_on_the_first_change_of_an_actor_and_nowhere_else() {
    let scene = scene();
    assert_eq!(scene.code(|forged| forged.footer.clear()), 33);
    assert_eq!(scene.code(|forged| forged.footer = vec![1, 3, b'P']), 34);
    assert_eq!(scene.code(|forged| forged.footer = vec![9; 40]), 34);
    assert_eq!(scene.code(|forged| forged.footer = footer("a name with spaces")), 34);
    assert_eq!(scene.root_code(|forged| forged.footer.clear()), 33);
    let mut tablet = Tablet::new(&scene.first, 2, "P02");
    let one = tablet.set(field("crop"), text("桃"));
    let two = tablet.set(field("crop"), text("梨"));
    let mut forged = Forged::from(&two);
    forged.footer = footer("P02");
    assert_eq!(code(&forged.change(), &[scene.first.clone(), one], &place(&scene.first)), 34);
}

#[test]
fn predecessors_must_be_exactly_what_stood_there() {
    let scene = scene();
    assert_eq!(scene.code(|forged| forged.rows[0].preds.clear()), 57);
    assert_eq!(scene.code(|forged| forged.rows[0].preds.push((1, 1))), 57);
    assert_eq!(scene.code(|forged| forged.rows[0].preds[0].1 += 1), 57);
    assert_eq!(scene.code(|forged| forged.rows[0].preds[0].0 = 0), 57);
    assert_eq!(scene.code(|forged| forged.rows[0].preds[0].0 = 7), 5);
    assert_eq!(scene.code(|forged| forged.rows[0].preds[0].1 = u64::from(u32::MAX)), 57);
    assert_eq!(scene.code(|forged| forged.rows[0].preds = vec![(1, 1); 600]), 12);
}

#[test]
fn unknown_objects_and_actors_are_refused() {
    let scene = scene();
    assert_eq!(scene.code(|forged| forged.rows[0].object = Some((1, 9_999))), 50);
    assert_eq!(scene.code(|forged| forged.rows[0].object = Some((0, 1))), 50);
    assert_eq!(scene.code(|forged| forged.rows[0].object = Some((200, 1))), 5);
    assert_eq!(scene.code(|forged| forged.rows[0].object = Some((1, 0))), 6);
    assert_eq!(scene.root_code(|forged| forged.rows[9].object = Some((0, 77))), 42);
}

#[test]
fn only_puts_of_values_and_new_rows_are_allowed() {
    let scene = scene();
    let act = |action: u64| scene.code(|forged| forged.rows[0].action = action);
    for action in [2, 3, 4, 5, 6, 7, 8, 1 << 40] {
        assert_eq!(act(action), 7, "action {action}");
    }
    assert_eq!(scene.code(|forged| forged.rows[0].insert = true), 8);
    assert_eq!(scene.code(|forged| forged.rows[1].insert = true), 8);
    for kind in [3, 5, 8, 9, 10, 15] {
        assert_eq!(scene.code(|forged| forged.rows[0].kind = kind), 9, "type {kind}");
    }
    let row = scene.object(&ROW.to_string());
    let (fields, repeats, plots) = (scene.object("d"), scene.object("r"), scene.object("plots"));
    let only = |row: Row| scene.code(|forged| forged.rows = vec![row]);
    assert_eq!(only(Row::put(None, "k", "record", &[(1, 1)])), 51, "the root map is closed");
    assert_eq!(only(Row::put(None, "d", "gone", &[fields.unwrap()])), 51, "a container is never replaced");
    assert_eq!(only(Row::put(repeats, "plots", "gone", &[plots.unwrap()])), 51);
    assert_eq!(only(Row::put(plots, &ROW.to_string(), "gone", &[row.unwrap()])), 51);
    assert_eq!(only(Row::map(fields, "nest")), 51);
    assert_eq!(only(Row::map(repeats, "late")), 51, "a repeat made later hides another (R24)");
    assert_eq!(only(Row::map(row, "nest")), 51);
    assert_eq!(only(Row::map(plots, "not-a-row-key")), 52);
    assert_eq!(only(Row::map(plots, &ROW.to_string())), 53);
    assert_eq!(only(Row { preds: vec![row.unwrap()], ..Row::map(plots, "00112233445566aa") }), 53);
    assert_eq!(only(Row::put(row, "removed", "yes", &[])), 54);
    assert_eq!(only(Row::put(fields, "tab\there", "x", &[])), 55);
    assert_eq!(only(Row::put(fields, "", "x", &[])), 11);
    assert_eq!(only(Row::put(fields, &"k".repeat(65), "x", &[])), 11);
    let twice = vec![Row::put(fields, "new", "x", &[]), Row::put(fields, "new", "y", &[])];
    assert_eq!(scene.code(|forged| forged.rows = twice), 56);
    let rows = vec![Row::map(plots, "00112233445566aa"), Row::map(plots, "00112233445566aa")];
    assert_eq!(scene.code(|forged| forged.rows = rows), 53);
    assert_eq!(scene.code(|forged| forged.rows.clear()), 64);
}

#[test]
fn limits_hold_before_anything_is_built() {
    let scene = scene();
    let fields = scene.object("d");
    let many: Vec<Row> = (0..=CHANGE_OPS_MAX).map(|n| Row::put(fields, &format!("{n}"), "", &[])).collect();
    assert_eq!(scene.code(|forged| forged.rows = many), 1);
    let long = "x".repeat(VALUE_BYTES_MAX + 1);
    assert_eq!(scene.code(|forged| forged.rows = vec![Row::put(fields, "long", &long, &[])]), 10);

    let mut gate = Gate::for_document(place(&scene.first), [scene.first.clone()]).unwrap();
    let mut last = scene.first.clone();
    let mut counter = Forged::from(&scene.edit).start_op;
    let mut stood = (1, scene.object("crop").unwrap().1);
    for n in 0..DOCUMENT_CHANGES_MAX {
        let forged = Forged {
            deps: vec![last.hash()],
            actor: [2; 16],
            seq: u64::try_from(n + 1).unwrap(),
            start_op: counter,
            message: String::new(),
            others: vec![[1; 16]],
            rows: vec![Row::put(fields, "crop", "x", &[stood])],
            footer: if n == 0 { footer("P02") } else { Vec::new() },
        };
        let change = forged.change();
        if n + 2 > DOCUMENT_CHANGES_MAX {
            assert_eq!(verdict(gate.judge(&change).unwrap_err()), 20);
        } else {
            if n < 3 {
                gate.judge(&change).unwrap();
            }
            gate.admit(&change).unwrap();
        }
        (last, stood, counter) = (change, (0, counter), counter + 1);
    }
}

fn verdict(error: JudgeError) -> u16 {
    match error {
        JudgeError::Content(failure) => failure.code(),
        other @ (JudgeError::Waiting { .. } | JudgeError::Closure(_)) => panic!("{other} is not a verdict"),
    }
}

#[test]
fn actors_of_a_history_are_counted() {
    let scene = scene();
    let fields = scene.object("d");
    let mut gate = Gate::for_document(place(&scene.first), [scene.first.clone()]).unwrap();
    let mut last = scene.first.hash();
    let mut counter = Forged::from(&scene.edit).start_op;
    for n in 0..DOCUMENT_ACTORS_MAX {
        let mut actor = [7; 16];
        actor[..2].copy_from_slice(&u16::try_from(n).unwrap().to_be_bytes());
        let forged = Forged {
            deps: vec![last],
            actor,
            seq: 1,
            start_op: counter,
            message: String::new(),
            others: vec![[1; 16]],
            rows: vec![Row::put(fields, &format!("n{n}"), "x", &[])],
            footer: footer("P02"),
        };
        let change = forged.change();
        if n + 2 > DOCUMENT_ACTORS_MAX {
            assert_eq!(verdict(gate.judge(&change).unwrap_err()), 21);
        } else {
            gate.admit(&change).unwrap();
        }
        (last, counter) = (change.hash(), counter + 1);
    }
}

#[test]
fn messages_other_than_a_resolve_are_refused() {
    let scene = scene();
    assert_eq!(scene.code(|forged| forged.message = "hello".into()), 60);
    assert_eq!(scene.root_code(|forged| forged.message = "resolve 1\n".into()), 61);
    let list = |path, seen: &[ChangeHash]| {
        ResolveList(BTreeMap::from([(path, seen.iter().copied().collect::<BTreeSet<_>>())])).encode().unwrap()
    };
    let here = [scene.first.hash()];
    let crop = list(field("crop"), &here);
    assert_eq!(scene.code(|forged| forged.message = crop.clone()), 62, "it also writes the area");
    let unknown = list(field("crop"), &[ChangeHash([7; 32])]);
    let only_crop =
        |message: String| scene.code(|forged| (forged.message, forged.rows) = (message, vec![forged.rows[1].clone()]));
    assert_eq!(only_crop(unknown), 63);
    assert_eq!(scene.code(|forged| (forged.message, forged.rows) = (list(field("other"), &here), vec![])), 63);
    let plots = scene.object("plots");
    let add = vec![Row::map(plots, "00112233445566aa")];
    assert_eq!(scene.code(|forged| (forged.message, forged.rows) = (crop.clone(), add)), 62);
}

#[test]
fn first_change_must_be_the_document_and_name_its_home() {
    let scene = scene();
    let elsewhere = Place { logbook: LogbookId([1; 16]), ..place(&scene.first) };
    assert_eq!(code(&scene.first, &[], &elsewhere), 41);
    let other = Place { doc: DocId([1; 16]), ..place(&scene.first) };
    assert_eq!(code(&scene.first, &[], &other), 40);
    // A second first change for a document that has one.
    let second = first(9);
    assert_eq!(code(&second, core::slice::from_ref(&scene.first), &place(&scene.first)), 40);
    for (index, row) in Forged::from(&scene.first).rows.iter().enumerate() {
        if row.object.is_none() && row.action == 1 {
            assert_eq!(scene.root_code(|forged| forged.rows[index].key = "z".into()), 42, "{}", row.key);
            assert_eq!(
                scene.root_code(|forged| (forged.rows[index].kind, forged.rows[index].value) = (1, vec![])),
                42,
                "{}",
                row.key
            );
        }
    }
    assert_eq!(scene.root_code(|forged| forged.rows[0].value = b"ledger".to_vec()), 42);
    assert_eq!(scene.root_code(|forged| forged.rows.push(Row::put(None, "status", "approved", &[]))), 42);
    assert_eq!(scene.root_code(|forged| forged.rows.push(Row::put(None, "k", "record", &[]))), 42);
    assert_eq!(scene.root_code(|forged| forged.rows.clear()), 42);
}

/// Repeats of a run written as literals decode to the same operations, but a reload would give another hash.
#[test]
fn change_encoded_otherwise_than_the_library_does_is_held() {
    let scene = scene();
    let honest = Forged::from(&scene.edit).content();
    // The insert column says three times no; the action column behind it three times put, here as a literal run.
    let change = RawChange::from_content(&honest).unwrap();
    assert!(judge_content(&change, core::slice::from_ref(&scene.first), &place(&scene.first)).is_ok());
    let at = honest.windows(3).position(|three| three == [3, 3, 1]).unwrap() + 1;
    let literal = [0x7du8, 1, 1, 1];
    let mut bytes = honest.clone();
    bytes.splice(at..at + 2, literal);
    let table = honest.windows(2).position(|pair| pair == [0x42, 2]).unwrap();
    bytes[table + 1] = 4;
    let change = RawChange::from_content(&bytes).unwrap();
    assert_eq!(change.ops(), scene.edit.ops());
    let verdict = code(&change, core::slice::from_ref(&scene.first), &place(&scene.first));
    assert!((70..=76).contains(&verdict), "{verdict}");
}

#[test]
fn change_whose_history_is_not_here_waits() {
    let scene = scene();
    let mut tablet = Tablet::new(&scene.first, 2, "P02");
    tablet.set(field("crop"), text("桃"));
    let two = tablet.set(field("crop"), text("梨"));
    let error = judge_content(&two, core::slice::from_ref(&scene.first), &place(&scene.first)).unwrap_err();
    assert_eq!(error, JudgeError::Waiting { missing: two.head().deps[0] });
    let error = judge_content(&two, &[], &place(&scene.first)).unwrap_err();
    assert_eq!(error, JudgeError::Waiting { missing: two.head().deps[0] });
}

#[test]
fn review_event_is_one_change_and_no_more() {
    let scene = scene();
    let record = scene.first.doc_id_if_root().unwrap();
    let event = ReviewEvent {
        record,
        logbook: LOGBOOK,
        kind: ReviewKind::Submit,
        heads: BTreeSet::from([scene.edit.hash()]),
        seen: BTreeSet::new(),
        reasons: BTreeSet::new(),
        field_notes: BTreeMap::new(),
        note: String::new(),
        provenance: Provenance::Written,
        person: origin(5, "P07", 9).person,
        time: UnixMillis(9),
    };
    let change = event.author(&origin(5, "P07", 9)).unwrap().change;
    let here = place(&change);
    let admitted = judge_content(&change, &[], &here).unwrap();
    assert_eq!(admitted.facts.root, Some(DocumentRoot::Review(event)));
    assert_eq!(admitted.facts.references, BTreeSet::from([record]));
    let later = Forged {
        deps: vec![change.hash()],
        seq: 2,
        start_op: 99,
        rows: vec![Row::put(None, "y", "approve", &[(0, 3)])],
        footer: Vec::new(),
        ..Forged::from(&change)
    };
    assert_eq!(code(&later.change(), core::slice::from_ref(&change), &here), 44);
    let mut forged = Forged::from(&change);
    forged.rows[2].value = b"maybe".to_vec();
    let wrong = forged.change();
    assert_eq!(code(&wrong, &[], &place(&wrong)), 43);
    assert!(change.ops().unwrap().iter().all(|op| op.object == ObjectId::Root));
}

#[test]
fn facts_name_what_a_change_writes_and_refers_to() {
    let scene = scene();
    let mut tablet = Tablet::new(&scene.first, 2, "P02");
    let target = Scalar::Bytes(vec![0xaa; 16]);
    let photo = Scalar::Bytes(vec![0xbb; 32]);
    let change =
        tablet.edit(&[FieldEdit::Set(field("target"), target), FieldEdit::Set(field("photo"), photo)]).unwrap();
    let facts = judge_content(&change, core::slice::from_ref(&scene.first), &place(&scene.first)).unwrap().facts;
    assert_eq!(facts.references, BTreeSet::from([DocId([0xaa; 16])]));
    assert_eq!(facts.touched, [field("photo"), field("target")]);
    assert_eq!((facts.seq, facts.person.as_str(), facts.is_root()), (1, "P02", false));
}
