//! An app's view of the core: what is promised on one device, and between devices over a hub in memory.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "test harness: a failed step is the failure"
)]

#[path = "support/hub.rs"]
mod hub;

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hub::{World, visit};
use qianmo_client_core::{
    ClientConfig, ConflictChoice, Connectivity, Decision, Delivery, DeliveryFilter, DraftInput, EnrollError, Event,
    FieldClient, FieldEdit, FieldPath, FieldValue, HaltReason, Keep, OpenError, RecordFilter, RecordId, RepairKind,
    ReviewAct, ReviewNotes, ReviewStatus, Schedule, SyncError, SyncReport, WithdrawReason, WriteError,
};
use qianmo_protocol::control::Role;

const TIME: Duration = Duration::from_secs(20);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn sync(tablet: &FieldClient) -> SyncReport {
    tablet.sync_now(TIME).await.unwrap()
}

/// Waits for a state, never for a moment.
async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never came: {what}");
}

fn field(tablet: &FieldClient, record: RecordId, path: &str) -> FieldValue {
    tablet.record(record).unwrap().unwrap().row.fields[path].clone()
}

fn delivery(tablet: &FieldClient, record: RecordId) -> Delivery {
    tablet.record(record).unwrap().unwrap().row.delivery
}

async fn edit(tablet: &FieldClient, record: RecordId, path: &str, value: &str) {
    let version = tablet.record(record).unwrap().unwrap().row.version;
    tablet.edit(record, version, vec![FieldEdit::set(path, value)]).await.unwrap();
}

fn assert_same_states(tablets: &[&FieldClient]) {
    let first = tablets[0].diagnostics().unwrap().state_digests;
    assert!(!first.is_empty());
    for tablet in tablets {
        assert_eq!(tablet.diagnostics().unwrap().state_digests, first);
    }
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[tokio::test]
async fn drafts_are_kept_before_enrolment_and_survive_it() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.tablet(dir.path()).await;
    assert_eq!(tablet.whoami().unwrap(), None);
    assert_eq!(tablet.create(visit("查看越冬情况")).await, Err(WriteError::NotEnrolled));
    assert_eq!(tablet.sync_now(TIME).await, Err(SyncError::NotEnrolled));
    let draft = tablet.new_draft();
    let mut input = DraftInput { form: "visit".to_owned(), ..DraftInput::default() };
    input.fields.insert("content".to_owned(), "写到一半".into());
    tablet.save_draft(draft, input.clone()).await.unwrap();
    assert_eq!(tablet.status().drafts, 1);
    let ticket = world.hub().ticket("P01", Role::Technician);
    tablet.enroll(&ticket).await.unwrap();
    tablet.close().await.unwrap();

    let tablet = world.tablet(dir.path()).await;
    let drafts = tablet.drafts().unwrap();
    assert_eq!((drafts.len(), drafts[0].id, &drafts[0].input), (1, draft, &input));
    let me = tablet.whoami().unwrap().unwrap();
    assert_eq!((me.station.as_str(), me.person.as_deref(), me.org_name.as_str()), ("ST01", Some("P01"), "平谷"));
    assert_eq!(me.persons[0].roles, ["technician"]);
    // The draft becomes a record, and is gone with the same act.
    let mut record = visit("写完了");
    record.draft = Some(draft);
    tablet.create(record).await.unwrap();
    assert_eq!((tablet.drafts().unwrap().len(), tablet.status().drafts), (0, 0));
    tablet.discard_draft(draft).await.unwrap();
}

#[tokio::test]
async fn saved_record_survives_a_drop_without_close() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("查看越冬情况")).await.unwrap();
    assert_eq!(tablet.status().waiting, 1);
    let version = tablet.record(record).unwrap().unwrap().row.version;
    drop(tablet);
    let config = ClientConfig::new(dir.path()).schedule(Schedule::Manual);
    let mut opened = FieldClient::open_with(config.clone(), world.outside()).await;
    for _ in 0..500 {
        if !matches!(opened, Err(OpenError::InUse)) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
        opened = FieldClient::open_with(config.clone(), world.outside()).await;
    }
    let tablet = opened.unwrap();
    let view = tablet.record(record).unwrap().unwrap();
    assert_eq!(view.row.version, version);
    assert_eq!(view.row.logbook, "ST01/2025-06");
    assert_eq!(view.row.fields["activity_date"], FieldValue::from("2025-06-17"));
    assert_eq!(view.row.review, ReviewStatus::Pending);
    assert_eq!((view.row.delivery, tablet.status().waiting), (Delivery::Waiting, 1));
}

#[tokio::test]
async fn folder_in_use_is_refused_and_free_after_close() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.tablet(dir.path()).await;
    let second = FieldClient::open_with(ClientConfig::new(dir.path()), world.outside()).await;
    assert_eq!(second.map(|_| ()), Err(OpenError::InUse));
    let clone = tablet.clone();
    tablet.close().await.unwrap();
    assert_eq!(clone.create(visit("晚了")).await, Err(WriteError::Closed));
    assert!(clone.drafts().is_err());
    assert_eq!(clone.sync_now(TIME).await, Err(SyncError::Closed));
    world.tablet(dir.path()).await.close().await.unwrap();
}

#[tokio::test]
async fn answers_that_do_not_fit_are_refused_with_their_paths_and_nothing_is_kept() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let bad = visit("").with("activity_date", "2025-06-31").with("crop_id", "月亮");
    let Err(WriteError::Invalid { faults }) = tablet.create(bad).await else { panic!() };
    let paths: Vec<&str> = faults.iter().map(|fault| fault.path.as_str()).collect();
    assert_eq!(paths, ["activity_date", "crop_id", "content"]);
    let unknown = tablet.create(qianmo_client_core::RecordDraft::new("none")).await;
    assert_eq!(unknown, Err(WriteError::UnknownForm { form: "none".to_owned() }));
    let mut stranger = visit("内容是有的");
    stranger.person = Some("P99".to_owned());
    assert!(matches!(tablet.create(stranger).await, Err(WriteError::UnknownPerson { .. })));
    assert_eq!(tablet.records(RecordFilter::default()).unwrap().rows.len(), 0);
    assert_eq!(tablet.status().waiting, 0);
}

#[tokio::test]
async fn writes_at_the_same_time_are_all_durable() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let writes: Vec<_> = (0..40)
        .map(|number| {
            let tablet = tablet.clone();
            tokio::spawn(async move { tablet.create(visit(&format!("第{number}条记录的内容"))).await.unwrap() })
        })
        .collect();
    let mut ids = Vec::new();
    for write in writes {
        ids.push(write.await.unwrap());
    }
    // Two edits of one record at once: the second sees the first.
    let version = tablet.record(ids[0]).unwrap().unwrap().row.version;
    let (a, b) = tokio::join!(
        tablet.edit(ids[0], version.clone(), vec![FieldEdit::set("advice", "甲")]),
        tablet.edit(ids[0], version, vec![FieldEdit::set("remark", "乙")]),
    );
    a.unwrap();
    b.unwrap();
    tablet.close().await.unwrap();
    let tablet = world.tablet(dir.path()).await;
    assert_eq!(tablet.status().waiting, 40);
    let mut seen = 0;
    let mut filter = RecordFilter { limit: 7, ..RecordFilter::default() };
    loop {
        let page = tablet.records(filter.clone()).unwrap();
        seen += page.rows.len();
        filter.after = page.next;
        if filter.after.is_none() {
            break;
        }
    }
    assert_eq!(seen, 40);
    assert_eq!(field(&tablet, ids[0], "advice"), "甲".into());
    assert_eq!(field(&tablet, ids[0], "remark"), "乙".into());
    assert_eq!(tablet.record(ids[0]).unwrap().unwrap().conflicts.len(), 0);
}

#[tokio::test]
async fn records_of_two_tablets_meet_at_the_hub() {
    let (world, dir_a, dir_b) = (World::new(), folder(), folder());
    let tablet_a = world.enrolled(dir_a.path(), "P01", Role::Technician).await;
    let tablet_b = world.enrolled(dir_b.path(), "P02", Role::Technician).await;
    let mut events = tablet_b.subscribe();
    let record = tablet_a.create(visit("查看越冬情况")).await.unwrap();
    let up = sync(&tablet_a).await;
    assert!(up.complete, "{up:?}");
    assert_eq!((up.sessions, up.round_trips, up.packs_up, up.records_up, up.acknowledged), (1, 1, 1, 1, 1));
    assert!(up.stream_up > 0 && up.udp_down > 0);
    assert_eq!((delivery(&tablet_a, record), tablet_a.status().waiting), (Delivery::Acknowledged, 0));
    let down = sync(&tablet_b).await;
    assert_eq!((down.round_trips, down.packs_down, down.records_down, down.packs_up), (1, 1, 1, 0));
    assert_eq!(field(&tablet_b, record, "content"), "查看越冬情况".into());
    assert_eq!(delivery(&tablet_b, record), Delivery::Elsewhere);
    let mut told = false;
    while let Some(event) = events.try_next() {
        told |= matches!(&event, Event::RecordsChanged(records) if records.contains(&record));
    }
    assert!(told);
    assert_same_states(&[&tablet_a, &tablet_b]);
    let nothing = sync(&tablet_a).await;
    assert_eq!((nothing.round_trips, nothing.packs_up, nothing.packs_down, nothing.records_down), (1, 0, 0, 0));
    assert!(nothing.stream_up + nothing.stream_down < 1_000, "{nothing:?}");
    // The backup watermark passes it.
    {
        let mut hub = world.hub();
        hub.watermark = hub.replica.durable_commit().0;
    }
    sync(&tablet_a).await;
    assert_eq!(delivery(&tablet_a, record), Delivery::BackedUp);
}

#[tokio::test]
async fn hub_is_told_what_waits_on_the_tablet_until_nothing_does() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    tablet.create(visit("第一条")).await.unwrap();
    tablet.create(visit("第二条")).await.unwrap();
    sync(&tablet).await;
    sync(&tablet).await;
    let told = world.hub().abouts.clone();
    assert_eq!(told.iter().map(|about| about.unsent).collect::<Vec<_>>(), [2, 0]);
    assert!(told[0].oldest.is_some_and(|oldest| oldest <= told[0].clock));
    assert_eq!(told[1].oldest, None);
    for about in &told {
        assert!(about.program.starts_with("qianmo ") && about.free_bytes.is_some(), "{about:?}");
    }
}

#[tokio::test]
async fn edits_made_at_once_are_a_conflict_that_one_person_settles_for_all() {
    let (world, dir_a, dir_b) = (World::new(), folder(), folder());
    let tablet_a = world.enrolled(dir_a.path(), "P01", Role::Technician).await;
    let tablet_b = world.enrolled(dir_b.path(), "P02", Role::Technician).await;
    let record = tablet_a.create(visit("查看越冬情况")).await.unwrap();
    sync(&tablet_a).await;
    sync(&tablet_b).await;
    edit(&tablet_a, record, "advice", "甲的建议").await;
    edit(&tablet_b, record, "advice", "乙的建议").await;
    sync(&tablet_a).await;
    let met = sync(&tablet_b).await;
    assert_eq!(met.conflicts_new, 1);
    assert_eq!(sync(&tablet_a).await.conflicts_new, 1);
    let conflicts = tablet_a.conflicts(record).unwrap();
    assert_eq!((conflicts.len(), conflicts[0].candidates.len()), (1, 2));
    let conflicting = RecordFilter { delivery: Some(DeliveryFilter::Conflicting), ..RecordFilter::default() };
    assert_eq!(tablet_b.records(conflicting.clone()).unwrap().rows.len(), 1);
    let mine = conflicts[0].candidates.iter().find(|candidate| candidate.person.as_deref() == Some("P02")).unwrap();
    let choice = ConflictChoice { version: conflicts[0].version.clone(), keep: Keep::Candidate(mine.change.clone()) };
    let path = conflicts[0].path.clone();
    tablet_a.resolve(record, path.clone(), choice.clone()).await.unwrap();
    sync(&tablet_a).await;
    sync(&tablet_b).await;
    for tablet in [&tablet_a, &tablet_b] {
        assert_eq!(tablet.conflicts(record).unwrap(), []);
        assert_eq!(field(tablet, record, "advice"), "乙的建议".into());
    }
    assert_same_states(&[&tablet_a, &tablet_b]);
    let nowhere = tablet_a.resolve(record, FieldPath::from("content"), choice).await;
    assert!(matches!(nowhere, Err(WriteError::NoConflict { .. })), "{nowhere:?}");
}

#[tokio::test]
async fn edit_made_at_an_old_version_is_a_conflict_and_never_overwrites() {
    let (world, dir_a, dir_b) = (World::new(), folder(), folder());
    let tablet_a = world.enrolled(dir_a.path(), "P01", Role::Technician).await;
    let tablet_b = world.enrolled(dir_b.path(), "P02", Role::Technician).await;
    let record = tablet_a.create(visit("查看越冬情况")).await.unwrap();
    sync(&tablet_a).await;
    sync(&tablet_b).await;
    let looked_at = tablet_a.record(record).unwrap().unwrap().row.version;
    edit(&tablet_b, record, "content", "乙改过的内容").await;
    sync(&tablet_b).await;
    sync(&tablet_a).await;
    tablet_a.edit(record, looked_at, vec![FieldEdit::set("content", "甲照旧版本写的")]).await.unwrap();
    let conflict = &tablet_a.conflicts(record).unwrap()[0];
    assert_eq!(conflict.candidates.len(), 2);
    let other: RecordId = "00000000000000000000000000000000".parse().unwrap();
    let version = tablet_a.record(record).unwrap().unwrap().row.version;
    let missing = tablet_a.edit(other, version, vec![]).await;
    assert_eq!(missing, Err(WriteError::UnknownRecord { record: other }));
}

#[tokio::test]
async fn returned_record_is_handed_in_again_by_its_next_edit() {
    let (world, dir_a, dir_c) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir_a.path(), "P01", Role::Technician).await;
    let coordinator = world.enrolled(dir_c.path(), "C01", Role::Coordinator).await;
    let record = tablet.create(visit("看了看")).await.unwrap();
    let version = tablet.record(record).unwrap().unwrap().row.version;
    let refused = tablet.decide(record, version, Decision::Approve, ReviewNotes::default()).await;
    assert_eq!(refused, Err(WriteError::NotAllowed { code: 261 }));
    sync(&tablet).await;
    sync(&coordinator).await;
    let seen = coordinator.record(record).unwrap().unwrap().row.version;
    let notes = ReviewNotes {
        reasons: vec!["vague".to_owned()],
        fields: [("content".to_owned(), "太笼统".to_owned())].into(),
        note: "请补充".to_owned(),
    };
    coordinator.decide(record, seen, Decision::Return, notes).await.unwrap();
    sync(&coordinator).await;
    sync(&tablet).await;
    let view = tablet.record(record).unwrap().unwrap();
    assert_eq!(view.row.review, ReviewStatus::Returned);
    assert_eq!(view.reviews.last().unwrap().field_notes["content"], "太笼统");
    edit(&tablet, record, "content", "查看套袋情况,梨小零星发生").await;
    let view = tablet.record(record).unwrap().unwrap();
    assert_eq!(view.row.review, ReviewStatus::Pending);
    let acts: Vec<ReviewAct> = tablet.reviews(record).unwrap().iter().map(|review| review.act).collect();
    assert_eq!(acts, [ReviewAct::Submit, ReviewAct::Return, ReviewAct::Submit]);
    // An approval covers exactly what was seen; words and a withdrawal are the author's own.
    sync(&tablet).await;
    sync(&coordinator).await;
    let seen = coordinator.record(record).unwrap().unwrap().row.version;
    coordinator.decide(record, seen, Decision::Approve, ReviewNotes::default()).await.unwrap();
    sync(&coordinator).await;
    sync(&tablet).await;
    edit(&tablet, record, "remark", "补一句").await;
    let row = tablet.record(record).unwrap().unwrap().row;
    assert!(row.review == ReviewStatus::Approved && row.changed_after_approval);
    let note = ReviewNotes { note: "补了备注".to_owned(), ..ReviewNotes::default() };
    tablet.comment(record, row.version, note).await.unwrap();
    tablet.withdraw(record, WithdrawReason { code: Some("duplicate".to_owned()), note: String::new() }).await.unwrap();
    assert_eq!(tablet.records(RecordFilter::default()).unwrap().rows.len(), 0);
    let all = RecordFilter { with_withdrawn: true, ..RecordFilter::default() };
    assert_eq!(tablet.records(all).unwrap().rows[0].review, ReviewStatus::Withdrawn);
    assert_eq!(tablet.reviews(record).unwrap().len(), 6);
}

#[tokio::test]
async fn what_the_hub_holds_comes_back_as_a_draft_once() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let mut events = tablet.subscribe();
    let mut elsewhere = visit("别的站的内容");
    elsewhere.station = Some("ST09".to_owned());
    let record = tablet.create(elsewhere).await.unwrap();
    let good = tablet.create(visit("本站的内容")).await.unwrap();
    let reports = [sync(&tablet).await, sync(&tablet).await];
    assert_eq!(tablet.status().held, 1, "{reports:?}");
    assert_eq!(reports.iter().map(|report| report.held).sum::<usize>(), 1, "{reports:?}");
    assert_eq!(delivery(&tablet, good), Delivery::Acknowledged);
    assert_eq!(tablet.record(record).unwrap(), None, "its first change is held");
    let drafts = tablet.drafts().unwrap();
    assert_eq!(drafts.len(), 1);
    assert_eq!((drafts[0].input.held_code, drafts[0].input.station.as_deref()), (Some(262), Some("ST09")));
    assert_eq!(drafts[0].input.fields["content"], "别的站的内容".into());
    assert!(qianmo_client_core::codes::explain(262).what.zh.contains("权限"));
    let mut held = 0;
    while let Some(event) = events.try_next() {
        held += usize::from(matches!(&event, Event::Held { drafts: 1, .. }));
    }
    assert_eq!(held, 1);
    // Discarded is discarded: it does not come back.
    tablet.discard_draft(drafts[0].id).await.unwrap();
    sync(&tablet).await;
    tablet.close().await.unwrap();
    let tablet = world.tablet(dir.path()).await;
    sync(&tablet).await;
    assert_eq!((tablet.drafts().unwrap().len(), tablet.status().held), (0, 1));
}

#[tokio::test]
async fn watching_tablet_receives_and_sends_without_being_asked() {
    let (world, dir_a, dir_b) = (World::new(), folder(), folder());
    let tablet_a = world.enrolled(dir_a.path(), "P01", Role::Technician).await;
    let config = ClientConfig::new(dir_b.path());
    let tablet_b = FieldClient::open_with(config, world.outside()).await.unwrap();
    let ticket = world.hub().ticket("P02", Role::Technician);
    tablet_b.enroll(&ticket).await.unwrap();
    tablet_b.set_connectivity(Connectivity::Unmetered);
    let watching = || tablet_b.status().phase == qianmo_client_core::SyncPhase::Watching;
    until("watching", watching).await;
    let record = tablet_a.create(visit("查看越冬情况")).await.unwrap();
    sync(&tablet_a).await;
    until("a push", || tablet_b.record(record).unwrap().is_some()).await;
    let answer = tablet_b.create(visit("收到,已复查")).await.unwrap();
    until("its receipt", || delivery(&tablet_b, answer) == Delivery::Acknowledged).await;
    // A person's own request while watching has its report, and watching goes on.
    let asked = sync(&tablet_b).await;
    assert!(asked.complete && asked.sessions == 1, "{asked:?}");
    until("watching again", watching).await;
    sync(&tablet_a).await;
    assert_same_states(&[&tablet_a, &tablet_b]);
    tablet_b.close().await.unwrap();
}

#[tokio::test]
async fn hub_out_of_reach_is_tried_until_the_time_is_up_and_found_when_it_is_back() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.tablet(dir.path()).await;
    world.is_up.store(false, Ordering::Relaxed);
    let ticket = world.hub().ticket("P01", Role::Technician);
    let refused = tablet.enroll(&ticket).await;
    assert!(refused.as_ref().is_err_and(EnrollError::is_retryable), "{refused:?}");
    world.is_up.store(true, Ordering::Relaxed);
    tablet.enroll(&ticket).await.unwrap();
    assert_eq!(tablet.enroll(&ticket).await, Err(EnrollError::AlreadyEnrolled));
    world.is_up.store(false, Ordering::Relaxed);
    let record = tablet.create(visit("查看越冬情况")).await.unwrap();
    let tried = tablet.sync_now(Duration::from_millis(300)).await;
    assert!(matches!(&tried, Err(SyncError::Unreachable { detail }) if detail.contains("hub.test")), "{tried:?}");
    assert!(tablet.status().last_failure.is_some());
    assert_eq!(delivery(&tablet, record), Delivery::Waiting);
    world.is_up.store(true, Ordering::Relaxed);
    assert!(sync(&tablet).await.complete);
    assert_eq!(tablet.status().last_failure, None);
    assert!(tablet.enroll("QM1-??").await.is_err_and(|error| matches!(error, EnrollError::Ticket { .. })));
}

#[tokio::test]
async fn revoked_device_is_halted_and_may_enrol_again_over_its_store() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("停用之前")).await.unwrap();
    sync(&tablet).await;
    let device = tablet.whoami().unwrap().unwrap().device;
    world.hub().revoke(&device);
    let halted = tablet.sync_now(TIME).await;
    assert_eq!(halted, Err(SyncError::Halted(HaltReason::Revoked)));
    assert_eq!(tablet.status().halted, Some(HaltReason::Revoked));
    let ticket = world.hub().ticket("P01", Role::Technician);
    tablet.enroll(&ticket).await.unwrap();
    assert_ne!(tablet.whoami().unwrap().unwrap().device, device);
    assert_eq!(tablet.status().halted, None);
    let later = tablet.create(visit("重新登记之后")).await.unwrap();
    assert!(sync(&tablet).await.complete);
    assert_eq!(delivery(&tablet, later), Delivery::Acknowledged);
    assert!(tablet.records(RecordFilter::default()).unwrap().rows.iter().any(|row| row.id == later));
    assert_ne!(record, later);
}

#[tokio::test]
async fn copied_store_is_noticed_shown_and_loses_nothing() {
    let (world, dir, dir_copy) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    tablet.create(visit("共同的一条")).await.unwrap();
    sync(&tablet).await;
    tablet.close().await.unwrap();
    copy_folder(dir.path(), dir_copy.path());
    let tablet = world.tablet(dir.path()).await;
    let copy = world.tablet(dir_copy.path()).await;
    let on_a = tablet.create(visit("原机上的内容")).await.unwrap();
    let on_copy = copy.create(visit("克隆机上的内容")).await.unwrap();
    for _ in 0..2 {
        sync(&tablet).await;
        sync(&copy).await;
    }
    assert!(tablet.status().copied.is_some() || copy.status().copied.is_some());
    let (later_a, later_copy) =
        (tablet.create(visit("之后的甲")).await.unwrap(), copy.create(visit("之后的乙")).await.unwrap());
    for _ in 0..2 {
        sync(&tablet).await;
        sync(&copy).await;
    }
    for record in [on_a, on_copy, later_a, later_copy] {
        assert!(tablet.record(record).unwrap().is_some() && copy.record(record).unwrap().is_some());
    }
    assert_same_states(&[&tablet, &copy]);
    let noticed = tablet.status().copied.is_some();
    let (shown, shown_dir) = if noticed { (tablet, &dir) } else { (copy, &dir_copy) };
    shown.close().await.unwrap();
    assert!(world.tablet(shown_dir.path()).await.status().copied.is_some(), "it is remembered");
}

#[tokio::test]
async fn lost_index_is_built_anew_and_said() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("查看越冬情况")).await.unwrap();
    let before = tablet.record(record).unwrap();
    tablet.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::create_dir_all(dir.path().join("index/sled")).unwrap();
    std::fs::write(dir.path().join("index/sled/conf"), b"not a configuration").unwrap();
    let tablet = world.tablet(dir.path()).await;
    assert_eq!(tablet.record(record).unwrap(), before);
    assert_eq!(tablet.status().waiting, 1);
    assert_eq!(tablet.diagnostics().unwrap().repairs.len(), 1);
    assert!(sync(&tablet).await.complete);
}

#[tokio::test]
async fn index_folder_that_cannot_be_used_keeps_nobody_from_reading_and_saving() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("索引目录坏了也要能看")).await.unwrap();
    tablet.close().await.unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    std::fs::write(dir.path().join("index"), b"no folder").unwrap();
    let tablet = world.tablet(dir.path()).await;
    let repairs = tablet.diagnostics().unwrap().repairs;
    assert!(repairs.iter().any(|repair| repair.kind == RepairKind::IndexInMemory), "{repairs:?}");
    let later = tablet.create(visit("也要能写")).await.unwrap();
    tablet.close().await.unwrap();
    std::fs::remove_file(dir.path().join("index")).unwrap();
    let tablet = world.tablet(dir.path()).await;
    let repairs = tablet.diagnostics().unwrap().repairs;
    assert!(repairs.iter().any(|repair| repair.kind == RepairKind::IndexRebuilt), "{repairs:?}");
    for record in [record, later] {
        assert_eq!(delivery(&tablet, record), Delivery::Waiting);
    }
}
