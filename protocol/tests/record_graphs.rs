//! Random histories of two to four writers: what is read does not depend on the order in which changes arrive, Automerge
//! reads the same, and everything our authors write passes the gate.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

#[path = "record_support.rs"]
mod record_support;

use std::collections::{BTreeMap, BTreeSet};

use automerge::{Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue, Value};
use proptest::prelude::*;
use qianmo_protocol::change::{RawChange, Scalar};
use qianmo_protocol::gate::{Gate, judge_content};
use qianmo_protocol::record::{ConflictKind, Document, FieldEdit, FieldPath, REMOVED, RowKey, edit};
use record_support::{ROW, Tablet, cell, field, first, origin, place};

#[derive(Debug, Clone)]
enum Step {
    Field(u8, u8),
    Cell(u8, u8),
    AddRow(u8),
    Remove(u8),
    Restore(u8),
    Resolve(u8),
    OldBase(u8, u8),
    Meet(u8),
}

fn steps() -> impl Strategy<Value = (u8, Vec<(u8, Step)>)> {
    let step = prop_oneof![
        4 => (0..3u8, 0..3u8).prop_map(|(f, v)| Step::Field(f, v)),
        3 => (0..2u8, 0..3u8).prop_map(|(r, v)| Step::Cell(r, v)),
        1 => (0..4u8).prop_map(Step::AddRow),
        1 => (0..2u8).prop_map(Step::Remove),
        1 => (0..2u8).prop_map(Step::Restore),
        2 => (0..5u8).prop_map(Step::Resolve),
        1 => (0..3u8, 0..3u8).prop_map(|(f, v)| Step::OldBase(f, v)),
        5 => (0..4u8).prop_map(Step::Meet),
    ];
    (2..5u8, proptest::collection::vec((0..4u8, step), 1..28))
}

fn row(doc: &Document, n: u8) -> RowKey {
    let view = doc.view();
    let rows: Vec<RowKey> = view.repeats["plots"].keys().copied().collect();
    rows[usize::from(n) % rows.len()]
}

fn play(writers: u8, steps: &[(u8, Step)]) -> (RawChange, Vec<Tablet>) {
    let first = first(1);
    let mut tablets: Vec<Tablet> = (0..writers).map(|n| Tablet::new(&first, 10 + n, &format!("P1{n}"))).collect();
    let mut fresh = 100u8;
    for (writer, step) in steps {
        let index = usize::from(*writer % writers);
        let other = tablets.clone();
        let tablet = &mut tablets[index];
        let value = |v: u8| Scalar::Int(i64::from(v));
        match step {
            Step::Field(f, v) => drop(tablet.edit(&[FieldEdit::Set(field(&format!("f{f}")), value(*v))])),
            Step::Cell(r, v) => {
                let row = row(&tablet.doc, *r);
                tablet.edit(&[FieldEdit::Set(cell(row, "pest"), value(*v))]);
            }
            Step::AddRow(n) => {
                let row = RowKey([0x20 + *n; 8]);
                if !tablet.doc.view().repeats["plots"].contains_key(&row) {
                    let cells = BTreeMap::from([("pest".to_owned(), value(*writer))]);
                    tablet.edit(&[FieldEdit::AddRow { repeat: "plots".into(), row, cells }]);
                }
            }
            Step::Remove(r) => {
                let row = row(&tablet.doc, *r);
                tablet.edit(&[FieldEdit::RemoveRow { repeat: "plots".into(), row }]);
            }
            Step::Restore(r) => {
                let row = row(&tablet.doc, *r);
                tablet.edit(&[FieldEdit::Set(cell(row, REMOVED), Scalar::Bool(false))]);
            }
            Step::Resolve(n) => {
                if let Some(conflict) = tablet.doc.conflicts().first() {
                    let path = conflict.path.clone();
                    let pick = usize::from(*n) % conflict.candidates.len();
                    let keep = match conflict.kind {
                        ConflictKind::RemovedRowEdited => {
                            tablet.doc.value_at(&path, &tablet.doc.heads()).unwrap().unwrap()
                        }
                        ConflictKind::Concurrent | ConflictKind::OverwrittenUnseen if path.is_removal() => {
                            Scalar::Bool(*n % 2 == 0)
                        }
                        ConflictKind::Concurrent | ConflictKind::OverwrittenUnseen if *n == 4 => value(9),
                        ConflictKind::Concurrent | ConflictKind::OverwrittenUnseen => {
                            conflict.candidates[pick].value.clone()
                        }
                    };
                    tablet.resolve(path.clone(), keep);
                    let left = tablet.doc.conflicts();
                    assert!(left.iter().all(|conflict| conflict.path != path), "a resolve settles what it saw");
                }
            }
            Step::OldBase(f, v) => {
                let changes: Vec<RawChange> = tablet.doc.changes().cloned().collect();
                let base = changes[usize::from(*v) * changes.len() / 4].hash();
                fresh += 1;
                let me = origin(fresh, "P99", i64::from(fresh));
                let edits = [FieldEdit::Set(field(&format!("f{f}")), value(*v))];
                if let Some(change) = edit(&tablet.doc, &[base], &me, &edits).unwrap() {
                    tablet.doc.add(&change.change).unwrap();
                }
            }
            Step::Meet(with) => tablet.take(&other[usize::from(*with % writers)].doc),
        }
    }
    (first, tablets)
}

fn everything(tablets: &[Tablet]) -> Vec<RawChange> {
    let all: BTreeMap<_, _> =
        tablets.iter().flat_map(|tablet| tablet.doc.changes()).map(|change| (change.hash(), change.clone())).collect();
    all.into_values().collect()
}

fn as_scalar(value: &Value<'_>) -> Scalar {
    match value {
        Value::Scalar(scalar) => match scalar.as_ref() {
            ScalarValue::Null => Scalar::Null,
            ScalarValue::Boolean(value) => Scalar::Bool(*value),
            ScalarValue::Int(value) => Scalar::Int(*value),
            ScalarValue::Str(text) => Scalar::Text(text.to_string()),
            ScalarValue::Bytes(bytes) => Scalar::Bytes(bytes.clone()),
            ScalarValue::Uint(_)
            | ScalarValue::F64(_)
            | ScalarValue::Counter(_)
            | ScalarValue::Timestamp(_)
            | ScalarValue::Unknown { .. } => panic!("{scalar:?} is not a value of a record"),
        },
        Value::Object(kind) => panic!("{kind:?} is not a value of a record"),
    }
}

/// Automerge's own reading of fields and conflicts.
fn same_as_library(doc: &Document, all: &[RawChange]) {
    let changes: Vec<Change> = all.iter().map(|change| Change::try_from(change.bytes()).unwrap()).collect();
    let mut library = Automerge::new();
    library.apply_changes(changes).unwrap();
    let heads: Vec<[u8; 32]> = library.get_heads().iter().map(|hash| hash.0).collect();
    assert_eq!(heads, doc.heads().iter().map(|hash| hash.0).collect::<Vec<_>>());
    let (_, fields) = library.get(ROOT, "d").unwrap().unwrap();
    let view = doc.view();
    let resolves = all.iter().any(|change| change.head().message.is_some());
    for (name, value) in &view.fields {
        let (shown, _) = library.get(&fields, name.as_str()).unwrap().unwrap();
        assert_eq!(as_scalar(&shown), *value);
        let standing: BTreeSet<Scalar> =
            library.get_all(&fields, name.as_str()).unwrap().iter().map(|(value, _)| as_scalar(value)).collect();
        let conflicts = doc.conflicts();
        let ours = conflicts.iter().find(|conflict| conflict.path == field(name));
        if !resolves {
            assert_eq!(standing.len() > 1, ours.is_some_and(|one| one.kind == ConflictKind::Concurrent));
        }
        if let Some(ours) = ours {
            let named: BTreeSet<Scalar> = ours.candidates.iter().map(|one| one.value.clone()).collect();
            assert!(named.contains(value), "the value shown is always among the candidates");
            assert!(resolves || standing.is_subset(&named), "what nobody settled is among the candidates");
        }
    }
    assert_eq!(library.keys(&fields).count(), view.fields.len());
    let (_, repeats) = library.get(ROOT, "r").unwrap().unwrap();
    let (kind, plots) = library.get(&repeats, "plots").unwrap().unwrap();
    assert_eq!(kind, Value::Object(ObjType::Map));
    let rows: BTreeSet<String> = library.keys(&plots).collect();
    assert_eq!(rows, view.repeats["plots"].keys().map(ToString::to_string).collect());
}

fn summary(doc: &Document) -> impl PartialEq + core::fmt::Debug + use<> {
    (doc.heads(), doc.view(), doc.conflicts(), doc.history(), doc.changes().map(RawChange::hash).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 160, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_reading_does_not_depend_on_arrival((writers, steps) in steps(), shuffle in any::<u64>()) {
        let (first, tablets) = play(writers, &steps);
        let all = everything(&tablets);
        let whole = Document::from_changes(all.iter().cloned()).unwrap();
        let expected = summary(&whole);
        same_as_library(&whole, &all);

        // Tablets that took the changes in their own order, then the rest from others.
        for start in 0..tablets.len() {
            let mut tablet = tablets[start].clone();
            for step in 0..tablets.len() {
                tablet.take(&tablets[(start + step) % tablets.len()].doc);
            }
            prop_assert_eq!(&summary(&tablet.doc), &expected);
        }

        // Any order at all, one by one as dependencies allow.
        let mut waiting = all;
        let len = waiting.len();
        waiting.sort_by_key(|change| {
            let bytes: [u8; 8] = change.hash().0[..8].try_into().unwrap();
            u64::from_be_bytes(bytes).wrapping_mul(shuffle | 1).rotate_left(17)
        });
        let mut doc = Document::from_changes([first]).unwrap();
        for _ in 0..len {
            waiting.retain(|change| doc.add(change).is_err());
        }
        prop_assert!(waiting.is_empty());
        prop_assert_eq!(&summary(&doc), &expected);
    }

    #[test]
    fn prop_what_authors_write_passes_every_gate((writers, steps) in steps()) {
        let (first, tablets) = play(writers, &steps);
        let all = everything(&tablets);
        let whole = Document::from_changes(all.iter().cloned()).unwrap();
        let ordered: Vec<RawChange> = whole.changes().cloned().collect();
        let place = place(&first);
        let mut gate = Gate::for_document(place, []).unwrap();
        for change in &ordered {
            let cached = gate.judge(change).unwrap();
            gate.admit(change).unwrap();
            let fresh = judge_content(change, &record_support::closure(change, &all), &place).unwrap();
            prop_assert_eq!(&cached, &fresh);
            let story = whole.history().into_iter().find(|story| story.hash == change.hash()).unwrap();
            prop_assert_eq!(Some(&cached.facts.person), story.person.as_ref());
        }
    }

    #[test]
    fn prop_a_view_of_an_old_version_is_the_view_of_its_history((writers, steps) in steps(), at in 0..20usize) {
        let (_, tablets) = play(writers, &steps);
        let all = everything(&tablets);
        let whole = Document::from_changes(all.iter().cloned()).unwrap();
        let chosen = &all[at % all.len()];
        let mut history = record_support::closure(chosen, &all);
        history.push(chosen.clone());
        let then = Document::from_changes(history).unwrap();
        prop_assert_eq!(whole.view_at(&[chosen.hash()]).unwrap(), then.view());
        prop_assert_eq!(whole.conflicts_at(&[chosen.hash()]).unwrap(), then.conflicts());
    }
}

#[test]
fn row_keys_read_back() {
    assert_eq!(RowKey::parse(&ROW.to_string()), Some(ROW));
    assert_eq!(RowKey::parse("111111111111111G"), None);
    assert_eq!(RowKey::parse("AAAAAAAAAAAAAAAA"), None);
    assert_eq!(FieldPath::Field("crop".into()).removal(), None);
}
