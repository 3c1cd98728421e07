//! A hundred thousand damaged changes with right checksums: a verdict each time, never a panic, and whatever passes does
//! no harm beside an honest change.

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
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change};
use gate_support::{Forged, Row, footer};
use qianmo_protocol::change::{RawChange, Scalar};
use qianmo_protocol::gate::{ContentFailure, Gate, JudgeError, judge_content};
use qianmo_protocol::record::{Document, FieldEdit, RowKey};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use record_support::{ROW, Tablet, cell, field, first, place, text};

/// A record with edits, a new row, a conflict and its resolve; and an honest change beside all of it.
fn seeds() -> (Vec<RawChange>, RawChange) {
    let first = first(1);
    let mut a = Tablet::new(&first, 2, "P02");
    let mut b = Tablet::new(&first, 3, "P03");
    a.set(field("crop"), text("桃"));
    let cells = BTreeMap::from([("pest".to_owned(), text("蚜虫")), ("count".to_owned(), Scalar::Int(-7))]);
    a.edit(&[FieldEdit::AddRow { repeat: "plots".into(), row: RowKey([0x44; 8]), cells }]);
    b.edit(&[FieldEdit::Set(field("crop"), text("梨")), FieldEdit::Set(cell(ROW, "pest"), Scalar::Null)]);
    a.take(&b.doc);
    a.resolve(field("crop"), text("梨"));
    a.edit(&[
        FieldEdit::Set(field("photo"), Scalar::Bytes(vec![5; 32])),
        FieldEdit::Set(field("ok"), Scalar::Bool(true)),
    ]);
    let mut c = Tablet::new(&first, 4, "P04");
    let beside = c.edit(&[FieldEdit::Set(field("crop"), text("枣")), FieldEdit::Set(field("new"), text("x"))]).unwrap();
    (a.doc.changes().cloned().collect(), beside)
}

fn damage(rng: &mut ChaCha8Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..4u8) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6u8) {
            0 => bytes[at] ^= 1 << rng.random_range(0..8u8),
            1 => bytes[at] = rng.random(),
            2 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][rng.random_range(0..5usize)],
            3 => bytes.insert(at, rng.random()),
            4 => drop(bytes.remove(at)),
            _ => {
                let from = rng.random_range(0..other.len());
                let len = rng.random_range(0..9usize).min(other.len() - from).min(bytes.len() - at);
                bytes[at..at + len].copy_from_slice(&other[from..from + len]);
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
}

fn library(changes: &[&RawChange]) -> Automerge {
    let mut doc = Automerge::new();
    for change in changes {
        doc.apply_changes([Change::try_from(change.bytes()).unwrap()]).unwrap();
    }
    doc
}

/// A change that passed, beside an honest one that does not know of it, in both orders.
fn does_no_harm(history: &[RawChange], passed: &RawChange, beside: &RawChange) {
    let mut one: Vec<&RawChange> = history.iter().collect();
    let mut two = one.clone();
    one.extend([passed, beside]);
    two.extend([beside, passed]);
    let (one, two) = (library(&one), library(&two));
    let reload = Automerge::load(&one.save()).unwrap();
    assert_eq!(one.get_heads(), two.get_heads());
    assert_eq!(one.hydrate(None), two.hydrate(None));
    assert_eq!(reload.hydrate(None), two.hydrate(None));
    let doc = Document::from_changes(history.iter().chain([passed, beside]).cloned()).unwrap();
    let again = Document::from_changes([beside, passed].into_iter().chain(history.iter().rev()).cloned()).unwrap();
    assert_eq!((doc.view(), doc.conflicts()), (again.view(), again.conflicts()));
}

#[derive(Default, Debug)]
struct Tally {
    executions: usize,
    parsed: usize,
    passed: usize,
    library_panics: usize,
    codes: BTreeSet<u16>,
}

/// Judges one damaged change after `at` honest ones, and compares the two ways of judging now and then.
fn execute(tally: &mut Tally, gate: &mut Gate, history: &[RawChange], content: &[u8], beside: &RawChange) {
    tally.executions += 1;
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let change = RawChange::from_content(content).ok()?;
        let verdict = gate.judge(&change);
        Some((change, verdict))
    }));
    let Some((change, verdict)) = judged.unwrap_or_else(|_| panic!("a panic on {content:02x?}")) else { return };
    tally.parsed += 1;
    if tally.parsed.is_multiple_of(40) || verdict.is_ok() && tally.passed < 400 {
        assert_eq!(verdict, judge_content(&change, history, &place(&history[0])));
    }
    match verdict {
        Ok(_) if history.contains(&change) => {}
        Ok(_) => {
            tally.passed += 1;
            if tally.passed < 400 {
                does_no_harm(history, &change, beside);
            }
        }
        Err(JudgeError::Content(failure)) => {
            tally.codes.insert(failure.code());
            tally.library_panics += usize::from(failure == ContentFailure::LibraryPanic);
        }
        Err(JudgeError::Waiting { .. }) => {}
        Err(JudgeError::Closure(error)) => panic!("{error}"),
    }
}

#[test]
fn damaged_bytes_never_panic_and_what_passes_does_no_harm() {
    let (honest, beside) = seeds();
    let mut rng = ChaCha8Rng::seed_from_u64(0x0514_2025);
    let mut tally = Tally::default();
    for at in 1..honest.len() {
        let history = &honest[..at];
        let mut gate = Gate::for_document(place(&honest[0]), history.iter().cloned()).unwrap();
        for _ in 0..20_000 {
            let target = if rng.random_range(0..8u8) == 0 { rng.random_range(0..honest.len()) } else { at };
            let mut content = honest[target].content().to_vec();
            let other = honest[rng.random_range(0..honest.len())].content();
            damage(&mut rng, &mut content, other);
            execute(&mut tally, &mut gate, history, &content, &beside);
        }
    }
    assert!(tally.executions >= 100_000 && tally.parsed > 10_000 && tally.passed > 200, "{tally:?}");
    assert!(tally.codes.len() > 12, "{tally:?}");
}

fn random_row(rng: &mut ChaCha8Rng, objects: &[Option<(u64, u64)>], counters: u64) -> Row {
    let object = match rng.random_range(0..10u8) {
        0 => Some((rng.random_range(0..3), rng.random_range(0..counters + 5))),
        _ => objects[rng.random_range(0..objects.len())],
    };
    let key = ["crop", "area", "pest", "removed", "k", "d", "plots", "00112233445566aa", "1111111111111111"]
        [rng.random_range(0..9usize)];
    let preds = (0..[0, 0, 1, 1, 2][rng.random_range(0..5usize)])
        .map(|_| (rng.random_range(0..3), rng.random_range(1..counters + 3)))
        .collect();
    let action = [0, 1, 1, 1, 1, 2, 3, 5][rng.random_range(0..8usize)];
    let (kind, value) = match rng.random_range(0..5u8) {
        0 => (0, vec![]),
        1 => (2, vec![]),
        2 => (4, vec![rng.random_range(0..0x40)]),
        3 => (7, vec![7; 16]),
        _ => (6, b"value".to_vec()),
    };
    let (kind, value) = if action == 1 { (kind, value) } else { (0, vec![]) };
    Row { object, key: key.to_owned(), insert: rng.random_range(0..40u8) == 0, action, kind, value, preds }
}

/// Well-formed columns with operations that make almost sense.
#[test]
fn forged_operations_never_panic_and_what_passes_does_no_harm() {
    let (honest, beside) = seeds();
    let history = &honest[..2];
    let mut gate = Gate::for_document(place(&honest[0]), history.iter().cloned()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let mut tally = Tally::default();
    let ops = history[0].ops().unwrap();
    let objects: Vec<Option<(u64, u64)>> = ["d", "r", "plots", "1111111111111111"]
        .iter()
        .map(|key| ops.iter().find(|op| op.key == *key).map(|op| (1, op.id.counter)))
        .chain([None])
        .collect();
    let after: u64 = history.iter().map(|change| u64::try_from(change.ops().unwrap().len()).unwrap()).sum::<u64>() + 1;
    for _ in 0..20_000 {
        let off = |rng: &mut ChaCha8Rng| if rng.random_range(0..20u8) == 0 { rng.random_range(0..4u64) } else { 0 };
        let forged = Forged {
            deps: vec![history[1].hash()],
            actor: [9; 16],
            seq: 1 + off(&mut rng),
            start_op: after + off(&mut rng),
            message: String::new(),
            others: vec![[1; 16], [2; 16]],
            rows: (0..rng.random_range(0..4u8)).map(|_| random_row(&mut rng, &objects, after)).collect(),
            footer: footer("P09"),
        };
        let Ok(change) = RawChange::from_content(&forged.content()) else { continue };
        execute(&mut tally, &mut gate, history, change.content(), &beside);
    }
    assert!(tally.parsed > 15_000 && tally.codes.len() > 8, "{tally:?}");
}
