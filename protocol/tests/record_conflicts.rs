//! Conflicts, told as stories: each is a schedule that once lost or invented something.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

#[path = "record_support.rs"]
mod record_support;

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::{RawChange, Scalar};
use qianmo_protocol::gate::judge_content;
use qianmo_protocol::ids::ChangeHash;
use qianmo_protocol::record::{
    AuthorError, ConflictKind, Document, FieldEdit, FieldPath, REMOVED, Resolution, RowKey, edit, resolve,
};
use record_support::{ROW, Tablet, cell, field, first, origin, place, text};

fn two() -> (RawChange, Tablet, Tablet) {
    let first = first(1);
    let tablet_a = Tablet::new(&first, 2, "P02");
    let tablet_b = Tablet::new(&first, 3, "P03");
    (first, tablet_a, tablet_b)
}

fn meet(a: &mut Tablet, b: &mut Tablet) {
    a.take(&b.doc);
    b.take(&a.doc);
    assert_eq!(a.doc.conflicts(), b.doc.conflicts());
    assert_eq!(a.doc.view(), b.doc.view());
}

fn values(doc: &Document, path: &FieldPath) -> BTreeSet<Scalar> {
    let conflicts = doc.conflicts();
    let found = conflicts.iter().find(|conflict| conflict.path == *path);
    found.into_iter().flat_map(|conflict| conflict.candidates.iter().map(|one| one.value.clone())).collect()
}

fn kind(doc: &Document, path: &FieldPath) -> Option<ConflictKind> {
    doc.conflicts().into_iter().find(|conflict| conflict.path == *path).map(|conflict| conflict.kind)
}

/// Every change must pass the gate of everybody.
fn all_pass(doc: &Document) {
    let all: Vec<RawChange> = doc.changes().cloned().collect();
    let place = place(&all[0]);
    for change in &all {
        judge_content(change, &record_support::closure(change, &all), &place).unwrap();
    }
}

#[test]
fn concurrent_values_are_a_conflict_with_who_and_when() {
    let (_, mut a, mut b) = two();
    let left = a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    let conflicts = a.doc.conflicts();
    assert_eq!(conflicts.len(), 1);
    assert_eq!(conflicts[0].kind, ConflictKind::Concurrent);
    assert_eq!(values(&a.doc, &field("crop")), BTreeSet::from([text("桃"), text("梨")]));
    let candidate = conflicts[0].candidates.iter().find(|one| one.change == left.hash()).unwrap();
    assert_eq!(candidate.person.as_ref().unwrap().as_str(), "P02");
    assert_eq!(candidate.time.0, left.head().time);
    all_pass(&a.doc);
}

#[test]
fn equal_concurrent_values_are_no_conflict() {
    let (_, mut a, mut b) = two();
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("桃"));
    meet(&mut a, &mut b);
    assert_eq!(a.doc.conflicts(), []);
    // Automerge holds two values there; an edit over both is a plain edit.
    a.set(field("crop"), text("杏"));
    assert_eq!(a.doc.conflicts(), []);
    all_pass(&a.doc);
}

#[test]
fn save_on_an_old_version_keeps_the_value_that_arrived_meanwhile() {
    let (_, mut a, mut b) = two();
    let shown = a.doc.heads();
    b.set(field("crop"), text("梨"));
    a.take(&b.doc);
    let change =
        edit(&a.doc, &shown, &origin(9, "P02", 5), &[FieldEdit::Set(field("crop"), text("桃"))]).unwrap().unwrap();
    a.doc.add(&change.change).unwrap();
    assert_eq!(kind(&a.doc, &field("crop")), Some(ConflictKind::Concurrent));
    assert_eq!(values(&a.doc, &field("crop")), BTreeSet::from([text("桃"), text("梨")]));
    all_pass(&a.doc);
}

#[test]
fn writing_over_a_conflict_unseen_keeps_it_until_a_resolve_lists_the_overwrite() {
    let (_, mut a, mut b) = two();
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    a.set(field("crop"), text("杏"));
    assert_eq!(kind(&a.doc, &field("crop")), Some(ConflictKind::OverwrittenUnseen));
    assert_eq!(values(&a.doc, &field("crop")), BTreeSet::from([text("桃"), text("梨"), text("杏")]));
    // A later plain edit does not make it go away.
    a.set(field("crop"), text("李"));
    assert_eq!(values(&a.doc, &field("crop")), BTreeSet::from([text("桃"), text("梨"), text("杏"), text("李")]));
    a.resolve(field("crop"), text("梨"));
    assert_eq!(a.doc.conflicts(), []);
    assert_eq!(a.doc.view().fields["crop"], text("梨"));
    all_pass(&a.doc);
}

#[test]
fn keeping_the_present_value_settles_without_an_operation() {
    let (_, mut a, mut b) = two();
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    let present = a.doc.view().fields["crop"].clone();
    let change = a.resolve(field("crop"), present.clone());
    assert_eq!(change.ops().unwrap().len(), 0);
    assert_eq!(a.doc.conflicts(), []);
    assert_eq!(a.doc.view().fields["crop"], present);
    all_pass(&a.doc);
}

#[test]
fn concurrent_put_reopens_a_settled_conflict() {
    let (_, mut a, mut b) = two();
    let mut c = Tablet::new(a.doc.changes().next().unwrap(), 4, "P04");
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    let present = a.doc.view().fields["crop"].clone();
    a.resolve(field("crop"), present.clone());
    c.set(field("crop"), text("枣"));
    meet(&mut a, &mut c);
    assert_eq!(kind(&a.doc, &field("crop")), Some(ConflictKind::Concurrent));
    assert_eq!(values(&a.doc, &field("crop")), BTreeSet::from([present, text("枣")]));
    all_pass(&a.doc);
}

/// Two coordinators settle one conflict differently at once; one of them writes no operation.
#[test]
fn two_different_resolves_at_once_are_a_conflict_again() {
    let (_, mut a, mut b) = two();
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    let present = a.doc.view().fields["crop"].clone();
    let other = if present == text("桃") { text("梨") } else { text("桃") };
    a.resolve(field("crop"), present);
    b.resolve(field("crop"), other);
    meet(&mut a, &mut b);
    assert_eq!(kind(&a.doc, &field("crop")), Some(ConflictKind::Concurrent));
    a.resolve(field("crop"), text("桃"));
    assert_eq!(a.doc.conflicts(), []);
    all_pass(&a.doc);
}

#[test]
fn resolve_of_one_field_leaves_the_conflict_of_another() {
    let (_, mut a, mut b) = two();
    a.edit(&[FieldEdit::Set(field("crop"), text("桃")), FieldEdit::Set(field("area"), Scalar::Int(1))]);
    b.edit(&[FieldEdit::Set(field("crop"), text("梨")), FieldEdit::Set(field("area"), Scalar::Int(2))]);
    meet(&mut a, &mut b);
    assert_eq!(a.doc.conflicts().len(), 2);
    a.resolve(field("crop"), text("杏"));
    let left: Vec<FieldPath> = a.doc.conflicts().into_iter().map(|conflict| conflict.path).collect();
    assert_eq!(left, [field("area")]);
    assert_eq!(a.doc.view().fields["crop"], text("杏"));
    all_pass(&a.doc);
}

#[test]
fn row_removed_by_one_and_edited_by_another_is_shown() {
    let (_, mut a, mut b) = two();
    a.edit(&[FieldEdit::RemoveRow { repeat: "plots".into(), row: ROW }]);
    b.set(cell(ROW, "pest"), text("红蜘蛛"));
    meet(&mut a, &mut b);
    assert_eq!(kind(&a.doc, &cell(ROW, "pest")), Some(ConflictKind::RemovedRowEdited));
    assert_eq!(values(&a.doc, &cell(ROW, "pest")), BTreeSet::from([text("红蜘蛛"), Scalar::Bool(true)]));
    assert!(a.doc.view().repeats["plots"][&ROW].removed);
    // Keeping the row removed settles it; bringing it back does too.
    let mut c = a.clone();
    a.resolve(cell(ROW, "pest"), text("红蜘蛛"));
    assert_eq!(a.doc.conflicts(), []);
    assert!(a.doc.view().repeats["plots"][&ROW].removed);
    c.actor = 7;
    c.set(cell(ROW, REMOVED), Scalar::Bool(false));
    assert_eq!(c.doc.conflicts(), []);
    assert!(!c.doc.view().repeats["plots"][&ROW].removed);
    all_pass(&a.doc);
    all_pass(&c.doc);
}

#[test]
fn row_removed_with_everything_seen_is_no_conflict() {
    let (_, mut a, mut b) = two();
    b.set(cell(ROW, "pest"), text("红蜘蛛"));
    meet(&mut a, &mut b);
    a.edit(&[FieldEdit::RemoveRow { repeat: "plots".into(), row: ROW }]);
    b.edit(&[FieldEdit::RemoveRow { repeat: "plots".into(), row: ROW }]);
    meet(&mut a, &mut b);
    assert_eq!(a.doc.conflicts(), []);
    a.set(cell(ROW, "pest"), text("无"));
    assert_eq!(kind(&a.doc, &cell(ROW, "pest")), Some(ConflictKind::RemovedRowEdited));
    all_pass(&a.doc);
}

#[test]
fn rows_added_by_two_are_both_kept() {
    let (_, mut a, mut b) = two();
    for (tablet, n) in [(&mut a, 0x21u8), (&mut b, 0x22)] {
        let cells = BTreeMap::from([("pest".to_owned(), Scalar::Int(i64::from(n)))]);
        tablet.edit(&[FieldEdit::AddRow { repeat: "plots".into(), row: RowKey([n; 8]), cells }]);
    }
    meet(&mut a, &mut b);
    assert_eq!(a.doc.view().repeats["plots"].len(), 3);
    assert_eq!(a.doc.conflicts(), []);
    all_pass(&a.doc);
}

/// Two writers draw one row key: Automerge would hide one map, we show the cells of both.
#[test]
fn rows_under_one_key_hide_nothing() {
    let (_, mut a, mut b) = two();
    let row = RowKey([0x33; 8]);
    for (tablet, name, value) in [(&mut a, "left", 1), (&mut b, "right", 2)] {
        let cells = BTreeMap::from([(name.to_owned(), Scalar::Int(value)), ("both".to_owned(), Scalar::Int(value))]);
        tablet.edit(&[FieldEdit::AddRow { repeat: "plots".into(), row, cells }]);
    }
    meet(&mut a, &mut b);
    let view = a.doc.view();
    assert_eq!(view.repeats["plots"][&row].cells.len(), 3);
    assert_eq!(kind(&a.doc, &cell(row, "both")), Some(ConflictKind::Concurrent));
    a.resolve(cell(row, "both"), Scalar::Int(3));
    assert_eq!(a.doc.conflicts(), []);
    assert_eq!(a.doc.view().repeats["plots"][&row].cells["both"], Scalar::Int(3));
    all_pass(&a.doc);
}

#[test]
fn equal_value_writes_nothing() {
    let (_, mut a, _) = two();
    assert_eq!(a.edit(&[FieldEdit::Set(field("crop"), text("苹果"))]), None);
    assert_eq!(a.edit(&[]), None);
}

/// Putting the winner of a conflict would make Automerge delete the others: nothing is written instead.
#[test]
fn saving_the_value_that_stands_in_a_conflict_deletes_nothing() {
    let (_, mut a, mut b) = two();
    a.set(field("crop"), text("桃"));
    b.set(field("crop"), text("梨"));
    meet(&mut a, &mut b);
    let present = a.doc.view().fields["crop"].clone();
    assert_eq!(a.edit(&[FieldEdit::Set(field("crop"), present)]), None);
    assert_eq!(values(&a.doc, &field("crop")).len(), 2);
}

#[test]
fn author_errors_say_what_is_wrong() {
    let (_, mut a, mut b) = two();
    let heads = a.doc.heads();
    let me = origin(2, "P02", 1);
    let set = |path: FieldPath, value: Scalar| [FieldEdit::Set(path, value)];
    let fails = |edits: &[FieldEdit]| edit(&a.doc, &heads, &me, edits).unwrap_err();
    assert!(matches!(fails(&set(field(""), Scalar::Null)), AuthorError::Name { .. }));
    assert!(matches!(fails(&set(field("a\tb"), Scalar::Null)), AuthorError::Name { .. }));
    assert!(matches!(fails(&set(field("long"), text(&"x".repeat(40_000)))), AuthorError::Value { .. }));
    assert!(matches!(fails(&set(cell(RowKey([9; 8]), "pest"), Scalar::Null)), AuthorError::UnknownRow { .. }));
    assert!(matches!(fails(&set(cell(ROW, REMOVED), text("yes"))), AuthorError::RemovalMark));
    let add = |repeat: &str, row: RowKey| [FieldEdit::AddRow { repeat: repeat.into(), row, cells: BTreeMap::new() }];
    assert!(matches!(fails(&add("nobody", RowKey([9; 8]))), AuthorError::UnknownRepeat { .. }));
    assert!(matches!(fails(&add("plots", ROW)), AuthorError::RowExists { .. }));
    let twice = [FieldEdit::Set(field("crop"), text("桃")), FieldEdit::Set(field("crop"), text("梨"))];
    assert!(matches!(fails(&twice), AuthorError::WrittenTwice { .. }));
    let nowhere = edit(&a.doc, &[ChangeHash([7; 32])], &me, &[]);
    assert!(matches!(nowhere, Err(AuthorError::UnknownVersion { .. })));
    let none = resolve(&a.doc, &heads, &me, &[Resolution { path: field("crop"), keep: Scalar::Null }]);
    assert!(matches!(none, Err(AuthorError::NoConflict { .. })));

    a.set(field("crop"), text("桃"));
    let elsewhere = edit(&a.doc, &heads, &me, &set(field("area"), Scalar::Int(1)));
    assert_eq!(elsewhere.unwrap_err(), AuthorError::ActorElsewhere);
    let other = edit(&a.doc, &a.doc.heads(), &origin(2, "P03", 1), &set(field("area"), Scalar::Int(1)));
    assert_eq!(other.unwrap_err(), AuthorError::ActorOfAnother);
    b.take(&a.doc);
}

#[test]
fn author_with_more_heads_than_a_change_may_name_writes_at_some_of_them() {
    let first = first(1);
    let mut hub = Tablet::new(&first, 2, "P02");
    hub.set(field("area"), Scalar::Int(0));
    for n in 0..40u8 {
        let mut tablet = Tablet::new(&first, 100 + n, "P05");
        tablet.set(field(&format!("note{n}")), Scalar::Int(1));
        hub.take(&tablet.doc);
    }
    assert_eq!(hub.doc.heads().len(), 41);
    let change = hub.set(field("area"), Scalar::Int(1));
    assert!(change.head().deps.len() <= 32);
    assert_eq!(change.head().seq, 2);
    all_pass(&hub.doc);
}
