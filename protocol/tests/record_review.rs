//! The fold of review events: the same state in any order and by any clock, and every schedule that once broke it.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

#[path = "record_support.rs"]
mod record_support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qianmo_protocol::gate::{DocumentRoot, judge_content};
use qianmo_protocol::ids::{ChangeHash, Code, DocId};
use qianmo_protocol::record::{AuthorError, FieldPath};
use qianmo_protocol::review::{
    FoldEvent, Provenance, ReviewEvent, ReviewKind, ReviewState, ReviewStatus, Standing, fold,
};
use qianmo_protocol::time::UnixMillis;
use record_support::{LOGBOOK, ROW, cell, field, origin, place};

const HEAD: ChangeHash = ChangeHash([1; 32]);
const LATER: ChangeHash = ChangeHash([2; 32]);

fn id(n: u8) -> DocId {
    DocId([n; 16])
}

fn event(n: u8, kind: ReviewKind, seen: &[u8]) -> FoldEvent {
    let seen = seen.iter().map(|n| id(*n)).collect();
    FoldEvent { id: id(n), kind, seen, heads: BTreeSet::from([HEAD]), standing: Standing::Admitted }
}

fn status(events: &[FoldEvent]) -> ReviewStatus {
    fold(events, &[HEAD]).status
}

#[test]
fn story_of_a_record_is_told_step_by_step() {
    let steps = [
        (event(1, ReviewKind::Submit, &[]), ReviewStatus::Pending),
        (event(2, ReviewKind::Return, &[1]), ReviewStatus::Returned),
        (event(3, ReviewKind::Submit, &[1, 2]), ReviewStatus::Pending),
        (event(4, ReviewKind::Approve, &[1, 2, 3]), ReviewStatus::Approved),
        (event(5, ReviewKind::Reopen, &[4]), ReviewStatus::Pending),
        (event(6, ReviewKind::Withdraw, &[5]), ReviewStatus::Withdrawn),
    ];
    assert_eq!(status(&[]), ReviewStatus::Unsubmitted);
    let mut events = Vec::new();
    for (event, expected) in steps {
        events.push(event);
        assert_eq!(status(&events), expected);
    }
}

#[test]
fn two_coordinators_at_once_disagree_unless_they_agree() {
    let submit = event(1, ReviewKind::Submit, &[]);
    let (approve, other) = (event(2, ReviewKind::Approve, &[1]), event(3, ReviewKind::Return, &[1]));
    let agree = event(4, ReviewKind::Approve, &[1]);
    let state = fold(&[submit.clone(), approve.clone(), other.clone()], &[HEAD]);
    assert_eq!(state.status, ReviewStatus::Disagreed);
    assert!(state.status.counts_as_pending());
    assert_eq!(state.latest, BTreeSet::from([id(2), id(3)]));
    assert_eq!(status(&[submit.clone(), approve.clone(), agree]), ReviewStatus::Approved);
    // A coordinator who sees both decides.
    assert_eq!(status(&[submit, approve, other, event(5, ReviewKind::Return, &[1, 2, 3])]), ReviewStatus::Returned);
}

#[test]
fn approval_covers_exactly_its_heads() {
    let events = [event(1, ReviewKind::Submit, &[]), event(2, ReviewKind::Approve, &[1])];
    let changed = |heads: &[ChangeHash]| fold(&events, heads).changed_after_approval;
    assert!(!changed(&[HEAD]));
    assert!(changed(&[LATER]));
    assert!(changed(&[HEAD, LATER]));
    assert!(!fold(&events[..1], &[LATER]).changed_after_approval);
}

/// A return names a farmer and is erased: the approval it answered must not come back.
#[test]
fn erased_return_does_not_revive_the_approval_it_saw() {
    let mut erased = event(3, ReviewKind::Return, &[2]);
    erased.standing = Standing::ErasedOrHeld;
    erased.heads.clear();
    let events = [event(1, ReviewKind::Submit, &[]), event(2, ReviewKind::Approve, &[1]), erased];
    assert_eq!(status(&events), ReviewStatus::Unsettled);
    assert!(ReviewStatus::Unsettled.counts_as_pending());
    assert_eq!(status(&[&events[..], &[event(4, ReviewKind::Approve, &[1, 2, 3])]].concat()), ReviewStatus::Approved);
}

#[test]
fn event_held_for_lack_of_role_hides_nothing() {
    let mut held = event(3, ReviewKind::Return, &[2]);
    held.standing = Standing::HeldForRole;
    let events = [event(1, ReviewKind::Submit, &[]), event(2, ReviewKind::Approve, &[1]), held];
    assert_eq!(status(&events), ReviewStatus::Approved);
}

/// A comment that claims to have seen a return must not hide it.
#[test]
fn comment_hides_nothing() {
    let comment = event(3, ReviewKind::Comment, &[2]);
    let events = [event(1, ReviewKind::Submit, &[]), event(2, ReviewKind::Return, &[1]), comment];
    let state = fold(&events, &[HEAD]);
    assert_eq!(state.status, ReviewStatus::Returned);
    assert_eq!(state.seen_now, BTreeSet::from([id(1), id(2)]));
}

#[test]
fn events_in_a_circle_leave_nobodys_word_standing() {
    let events = [event(1, ReviewKind::Approve, &[2]), event(2, ReviewKind::Return, &[1])];
    assert_eq!(status(&events), ReviewStatus::Unsettled);
}

fn events() -> impl Strategy<Value = Vec<FoldEvent>> {
    let one = (0..6usize, any::<u16>(), 0..6u8, any::<bool>());
    proptest::collection::vec(one, 0..9).prop_map(|list| {
        let mut out = Vec::new();
        for (n, (kind, seen, standing, head)) in (0u8..).zip(list) {
            let seen: Vec<u8> = (0..n).filter(|earlier| seen & (1 << earlier) != 0).collect();
            let mut made = event(n, ReviewKind::ALL[kind], &seen);
            made.standing = match standing {
                0 => Standing::ErasedOrHeld,
                1 => Standing::HeldForRole,
                _ => Standing::Admitted,
            };
            if head {
                made.heads = BTreeSet::from([LATER]);
            }
            out.push(made);
        }
        out
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_state_is_the_same_in_any_order(events in events(), order in any::<u64>()) {
        let expected = fold(&events, &[HEAD]);
        let mut other = events.clone();
        other.sort_by_key(|event| u64::from(event.id.0[0]).wrapping_mul(order | 1).rotate_left(23));
        prop_assert_eq!(&fold(&other, &[HEAD]), &expected);
        let doubled = [&other[..], &events[..]].concat();
        prop_assert_eq!(&fold(&doubled, &[HEAD]), &expected);
    }

    #[test]
    fn prop_a_decision_that_saw_everything_stands(events in events(), kind in 0..5usize) {
        let before: ReviewState = fold(&events, &[HEAD]);
        let mut last = event(99, ReviewKind::ALL[kind], &[]);
        last.seen = before.seen_now;
        let after = fold(&[&events[..], &[last]].concat(), &[HEAD]);
        prop_assert_eq!(after.latest, BTreeSet::from([id(99)]));
        prop_assert!(after.status != ReviewStatus::Disagreed && after.status != ReviewStatus::Unsettled);
    }

    #[test]
    fn prop_losing_an_event_never_makes_an_approval(events in events(), lost in 0..9usize) {
        // Erasing an event never turns what was not approved into approved, unless the event disagreed by itself.
        let mut erased = events.clone();
        if let Some(event) = erased.get_mut(lost).filter(|event| event.standing == Standing::Admitted) {
            event.standing = Standing::ErasedOrHeld;
            event.heads.clear();
            let (before, after) = (fold(&events, &[HEAD]), fold(&erased, &[HEAD]));
            prop_assert!(after.status != ReviewStatus::Approved || before.status == ReviewStatus::Approved);
        }
    }

    #[test]
    fn prop_event_reads_back_through_the_gate(
        kind in 0..6usize, note in ".{0,30}", heads in 1..5u8, seen in 0..5u8, codes in 0..4u8, notes in 0..12u8,
    ) {
        let kind = ReviewKind::ALL[kind];
        let sees = kind != ReviewKind::Comment;
        let name = |n: u8| if n.is_multiple_of(2) { field(&format!("f{n}")) } else { cell(ROW, &format!("c{n}")) };
        let me = origin(6, "P06", -12);
        let event = ReviewEvent {
            record: id(7),
            logbook: LOGBOOK,
            kind,
            heads: (0..heads).map(|n| ChangeHash([n; 32])).collect(),
            seen: (0..if sees { seen } else { 0 }).map(id).collect(),
            reasons: (0..codes).map(|n| Code::new(&format!("R{n}")).unwrap()).collect(),
            field_notes: (0..notes).map(|n| (name(n), format!("第{n}处\n再看"))).collect::<BTreeMap<FieldPath, String>>(),
            note,
            provenance: if sees && seen == 3 { Provenance::Imported } else { Provenance::Written },
            person: me.person.clone(),
            time: UnixMillis(-12),
        };
        let change = event.author(&me).unwrap().change;
        let admitted = judge_content(&change, &[], &place(&change)).unwrap();
        prop_assert_eq!(admitted.facts.root, Some(DocumentRoot::Review(event)));
    }
}

#[test]
fn event_that_breaks_its_kind_is_not_authored() {
    let me = origin(6, "P06", 1);
    let good = ReviewEvent {
        record: id(7),
        logbook: LOGBOOK,
        kind: ReviewKind::Comment,
        heads: BTreeSet::new(),
        seen: BTreeSet::new(),
        reasons: BTreeSet::new(),
        field_notes: BTreeMap::new(),
        note: "好".to_owned(),
        provenance: Provenance::Written,
        person: me.person.clone(),
        time: UnixMillis(1),
    };
    good.author(&me).unwrap();
    let held = |event: ReviewEvent| matches!(event.author(&me), Err(AuthorError::WouldBeHeld(_)));
    assert!(held(ReviewEvent { seen: BTreeSet::from([id(1)]), ..good.clone() }));
    assert!(held(ReviewEvent { provenance: Provenance::Imported, ..good.clone() }));
    assert!(held(ReviewEvent { kind: ReviewKind::Submit, ..good.clone() }));
    let long = ReviewEvent { note: "x".repeat(40_000), ..good };
    assert!(matches!(long.author(&me), Err(AuthorError::Value { .. })));
}
