//! What coordinators do in the hub's pages: it reaches the tablets, and what it was about stays true.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, Grant, Role as GrantRole, Scope};
use qianmo_protocol::ids::{Code, DocId};
use qianmo_protocol::record::FieldPath;
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_replica::replica::{Delivery, RecordRow};
use qianmo_server::hub::{DeskAct, DeskError, DeskKind, DeskSettling};

use crate::world::{CountingDisk, Tablet, World, assert_same_states, copy_of, station};

const COORDINATOR: &str = "P30";
const SECOND: &str = "P31";

fn office(seed: u64) -> (World, Tablet, DocId) {
    let mut world = World::new(seed);
    for person in [COORDINATOR, SECOND] {
        let scope = Scope::Stations([station()].into());
        let grant = Grant { person: Code::new(person).unwrap(), role: GrantRole::Coordinator, scope };
        let now = world.now();
        world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
    }
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet, "梨小食心虫");
    world.meet(&mut tablet);
    (world, tablet, visit)
}

fn row(world: &World, record: DocId) -> RecordRow {
    world.core.replica().record_row(&record).unwrap().unwrap()
}

/// What a person does who looks at the record as it stands now.
fn act(world: &World, person: &str, record: DocId, kind: DeskKind, note: &str) -> DeskAct {
    let row = row(world, record);
    DeskAct {
        person: Code::new(person).unwrap(),
        record,
        kind,
        heads: row.heads,
        seen: row.review.seen_now,
        reasons: BTreeSet::new(),
        field_notes: BTreeMap::new(),
        note: note.to_owned(),
    }
}

fn done(world: &mut World, act: &DeskAct) -> Result<DocId, DeskError> {
    let now = world.now();
    world.core.desk(now, act)
}

#[test]
fn approval_and_return_at_the_desk_reach_the_tablet_with_notes_and_reasons() {
    let (mut world, mut tablet, visit) = office(150);
    let field = FieldPath::Field("content".to_owned());
    let returned = DeskAct {
        reasons: BTreeSet::from([Code::new("unclear").unwrap()]),
        field_notes: BTreeMap::from([(field.clone(), "哪一块地？".to_owned())]),
        ..act(&world, COORDINATOR, visit, DeskKind::Return, "请补充地块")
    };
    done(&mut world, &returned).unwrap();
    assert_eq!(row(&world, visit).review.status, ReviewStatus::Returned);
    world.meet(&mut tablet);
    let seen = tablet.replica.record(&visit).unwrap().unwrap();
    assert_eq!(seen.row.review.status, ReviewStatus::Returned);
    let event = &seen.reviews.last().unwrap().event;
    assert_eq!(event.person.as_str(), COORDINATOR);
    assert_eq!((event.note.as_str(), event.field_notes[&field].as_str()), ("请补充地块", "哪一块地？"));

    world.edit(&mut tablet, visit, "content", "梨小食心虫，东头三亩");
    world.review(&mut tablet, visit, ReviewKind::Submit);
    world.meet(&mut tablet);
    let approval = act(&world, COORDINATOR, visit, DeskKind::Approve, "");
    done(&mut world, &approval).unwrap();
    world.meet(&mut tablet);
    let state = tablet.replica.record_row(&visit).unwrap().unwrap().review;
    assert_eq!((state.status, state.changed_after_approval), (ReviewStatus::Approved, false));
    assert_same_states(&[&tablet.replica, world.core.replica()]);
}

#[test]
fn decision_on_a_record_that_moved_is_refused_and_a_comment_on_it_is_kept() {
    let (mut world, mut tablet, visit) = office(151);
    let looked_at = act(&world, COORDINATOR, visit, DeskKind::Approve, "可以");
    world.edit(&mut tablet, visit, "content", "改过了");
    world.meet(&mut tablet);
    assert!(
        matches!(done(&mut world, &looked_at), Err(DeskError::Moved { record, news }) if record == visit && news.len() == 1)
    );
    assert_eq!(row(&world, visit).review.status, ReviewStatus::Pending);
    done(&mut world, &DeskAct { kind: DeskKind::Comment, ..looked_at }).unwrap();
    world.meet(&mut tablet);
    assert_eq!(tablet.replica.reviews(&visit).unwrap().len(), 2, "the submit and the comment");
}

#[test]
fn two_coordinators_who_did_not_know_of_each_other_are_both_kept_and_disagree() {
    let (mut world, mut tablet, visit) = office(152);
    let approval = act(&world, COORDINATOR, visit, DeskKind::Approve, "");
    let returned = act(&world, SECOND, visit, DeskKind::Return, "面积不对");
    done(&mut world, &approval).unwrap();
    done(&mut world, &returned).unwrap();
    assert_eq!(row(&world, visit).review.status, ReviewStatus::Disagreed);
    world.meet(&mut tablet);
    assert_eq!(tablet.replica.record_row(&visit).unwrap().unwrap().review.status, ReviewStatus::Disagreed);
    // Whoever saw both settles it.
    let settled = act(&world, COORDINATOR, visit, DeskKind::Return, "同意退回");
    done(&mut world, &settled).unwrap();
    assert_eq!(row(&world, visit).review.status, ReviewStatus::Returned);
}

#[test]
fn act_without_right_word_record_or_version_is_refused_and_writes_nothing() {
    let (mut world, mut tablet, visit) = office(153);
    let before = world.core.replica().durable_commit();
    let outsider = act(&world, "P77", visit, DeskKind::Approve, "");
    assert!(matches!(done(&mut world, &outsider), Err(DeskError::NotAllowed(failure)) if failure.code() == 261));
    for kind in [DeskKind::Return, DeskKind::Comment] {
        let wordless = act(&world, COORDINATOR, visit, kind, " \n");
        assert!(matches!(done(&mut world, &wordless), Err(DeskError::NoteMissing)), "{kind:?}");
    }
    let nowhere = DeskAct { record: DocId([9; 16]), ..act(&world, COORDINATOR, visit, DeskKind::Approve, "") };
    assert!(matches!(done(&mut world, &nowhere), Err(DeskError::NoRecord { .. })));
    let blind = DeskAct { heads: Vec::new(), ..act(&world, COORDINATOR, visit, DeskKind::Approve, "") };
    assert!(matches!(done(&mut world, &blind), Err(DeskError::VersionGone { .. })));
    let dreamt =
        DeskAct { seen: BTreeSet::from([DocId([7; 16])]), ..act(&world, COORDINATOR, visit, DeskKind::Approve, "") };
    assert!(matches!(done(&mut world, &dreamt), Err(DeskError::VersionGone { .. })));
    let endless = DeskAct { note: "长".repeat(100_000), ..act(&world, COORDINATOR, visit, DeskKind::Comment, "") };
    assert!(matches!(done(&mut world, &endless), Err(DeskError::NotWritable(_))));
    // The coordinator's seat is taken by the last one; no event is there.
    let fold = world.core.replica().control().fold();
    assert!(!fold.persons_of(&world.core.replica().device()).any(|person| person.as_str() == "P77"));
    assert!(world.core.replica().durable_commit() <= qianmo_replica::pack_log::CommitNumber(before.0 + 1));
    assert_eq!(world.core.replica().reviews(&visit).unwrap().len(), 1);
    // A technician may comment and not decide.
    let technician = act(&world, "P01", visit, DeskKind::Approve, "");
    assert!(matches!(done(&mut world, &technician), Err(DeskError::NotAllowed(failure)) if failure.code() == 261));
    let word = act(&world, "P01", visit, DeskKind::Comment, "问一下");
    done(&mut world, &word).unwrap();
    world.meet(&mut tablet);
    assert_eq!(tablet.replica.reviews(&visit).unwrap().len(), 2);
}

#[test]
fn ten_rounds_of_return_and_fix_with_both_sides_offline_in_between_lose_nothing() {
    let (mut world, mut tablet, visit) = office(154);
    for round in 0..10 {
        let returned = act(&world, COORDINATOR, visit, DeskKind::Return, &format!("第{round}次退回"));
        done(&mut world, &returned).unwrap();
        let comment = act(&world, SECOND, visit, DeskKind::Comment, &format!("第{round}条意见"));
        done(&mut world, &comment).unwrap();
        // The tablet writes on in the meantime and hears of it only then.
        world.edit(&mut tablet, visit, "remark", &format!("离线时写的{round}"));
        world.meet(&mut tablet);
        assert_eq!(tablet.replica.record_row(&visit).unwrap().unwrap().review.status, ReviewStatus::Returned);
        world.edit(&mut tablet, visit, "content", &format!("第{round}次修改"));
        world.review(&mut tablet, visit, ReviewKind::Submit);
        world.meet(&mut tablet);
        let state = row(&world, visit);
        assert_eq!(state.review.status, ReviewStatus::Pending, "round {round}");
        assert_eq!(state.view.fields["content"], Scalar::Text(format!("第{round}次修改")));
    }
    let reviews = world.core.replica().reviews(&visit).unwrap();
    assert_eq!(reviews.len(), 1 + 10 * 3, "the first submit, and a return, a comment and a submit of each round");
    let approval = act(&world, COORDINATOR, visit, DeskKind::Approve, "");
    done(&mut world, &approval).unwrap();
    world.meet(&mut tablet);
    assert_eq!(tablet.replica.reviews(&visit).unwrap().len(), 32);
    assert_eq!(tablet.replica.record_row(&visit).unwrap().unwrap().review.status, ReviewStatus::Approved);
    assert_same_states(&[&tablet.replica, world.core.replica()]);
}

#[test]
fn hub_stopped_at_any_sync_of_an_act_at_the_desk_sends_it_or_never_had_it() {
    let (mut world, tablet, visit) = office(155);
    let approval = act(&world, COORDINATOR, visit, DeskKind::Approve, "");
    *world.disk.images.lock().unwrap() = Some(vec![world.image()]);
    done(&mut world, &approval).unwrap();
    let images = world.disk.images.lock().unwrap().take().unwrap();
    assert!(images.len() >= 3, "{} syncs", images.len());
    let mut kept = Vec::new();
    for image in images {
        world.disk = CountingDisk::over(image);
        world.restart().unwrap();
        let status = row(&world, visit).review.status;
        let mut tablet = world.tablet(tablet.key.clone(), "P01", copy_of(&tablet.disk));
        world.meet(&mut tablet);
        let told = tablet.replica.record_row(&visit).unwrap().unwrap();
        assert_eq!(told.review.status, status, "what the hub says is what the tablet hears");
        assert_eq!(told.delivery, Delivery::Acknowledged);
        kept.push(status);
    }
    assert_eq!((kept.first(), kept.last()), (Some(&ReviewStatus::Pending), Some(&ReviewStatus::Approved)));
    assert!(kept.is_sorted_by_key(|status| *status == ReviewStatus::Approved), "{kept:?}");
}

#[test]
fn conflict_settled_at_the_desk_is_settled_everywhere_with_the_value_that_was_chosen() {
    let (mut world, mut tablet, visit) = office(156);
    let mut other = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut other);
    world.edit(&mut tablet, visit, "content", "甲说红蜘蛛");
    world.edit(&mut other, visit, "content", "乙说梨小");
    world.meet_all(&mut [&mut tablet, &mut other]);
    world.meet(&mut tablet);
    let before = row(&world, visit);
    let conflict = before.conflicts.first().unwrap().clone();
    let kept = conflict.candidates.iter().find(|one| one.value == Scalar::Text("乙说梨小".to_owned())).unwrap();
    let settling = DeskSettling {
        person: Code::new(COORDINATOR).unwrap(),
        record: visit,
        heads: before.heads,
        path: conflict.path,
        keep: kept.change,
    };
    let now = world.now();
    let stranger = DeskSettling { keep: qianmo_protocol::ids::ChangeHash([3; 32]), ..settling.clone() };
    assert!(matches!(world.core.settle_conflict(now, &stranger), Err(DeskError::NoConflict { .. })));
    world.core.settle_conflict(now, &settling).unwrap();
    for tablet in [&mut tablet, &mut other] {
        world.meet(tablet);
        let told = tablet.replica.record_row(&visit).unwrap().unwrap();
        assert!(told.conflicts.is_empty());
        assert_eq!(told.view.fields["content"], Scalar::Text("乙说梨小".to_owned()));
    }
    assert_same_states(&[&tablet.replica, &other.replica, world.core.replica()]);
}
