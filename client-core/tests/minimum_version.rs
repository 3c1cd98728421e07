//! An organisation that requires newer programs: an older one sends what it has, receives nothing, and says why.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "test harness: a failed step is the failure; the hub is shared with other tests"
)]

#[path = "support/hub.rs"]
mod hub;

use std::sync::atomic::Ordering;
use std::time::Duration;

use hub::{World, visit};
use qianmo_client_core::{
    ClientConfig, Connectivity, Delivery, FieldClient, ReadError, RecordFilter, RecordId, Schedule, SyncPhase,
    UpdateNeed,
};
use qianmo_protocol::control::{Decision, Role};
use qianmo_protocol::session::VERSIONS;

const TIME: Duration = Duration::from_secs(20);
const NEED: UpdateNeed = UpdateNeed::MinimumVersion { have: VERSIONS.1, need: VERSIONS.1 + 1 };

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn require_newer(world: &World) {
    world.hub().decide(Decision::MinimumVersion { version: VERSIONS.1 + 1 });
}

fn end_requirement(world: &World) {
    let ends = {
        let hub = world.hub();
        let is_it = |decision: &Decision| matches!(decision, Decision::MinimumVersion { .. });
        let mut entries = hub.replica.control().iter();
        *entries.find(|(_, entry)| is_it(&entry.content().decision)).unwrap().0
    };
    world.hub().decide(Decision::EndMinimumVersion { ends });
}

fn delivery(tablet: &FieldClient, record: RecordId) -> Delivery {
    tablet.record(record).unwrap().unwrap().row.delivery
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("never: {what}");
}

#[tokio::test]
async fn asked_sync_of_a_program_below_the_minimum_uploads_reads_nothing_and_says_update() {
    let (world, dir, other) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let colleague = world.enrolled(other.path(), "P02", Role::Technician).await;
    let theirs = colleague.create(visit("同事的")).await.unwrap();
    assert!(colleague.sync_now(TIME).await.unwrap().complete);
    require_newer(&world);

    for content in ["旧版写的", "旧版又写的"] {
        let ours = tablet.create(visit(content)).await.unwrap();
        let report = tablet.sync_now(TIME).await.unwrap();
        assert!(report.complete && report.packs_down == 0, "{report:?}");
        assert_eq!(delivery(&tablet, ours), Delivery::Acknowledged, "uploading goes on");
        assert_eq!(tablet.record(theirs).unwrap(), None, "reading does not");
        let status = tablet.status();
        assert_eq!((status.update, status.halted, status.last_failure), (Some(NEED), None, None));
    }
    // It is known without a network, too.
    tablet.close().await.unwrap();
    let tablet = world.tablet(dir.path()).await;
    assert_eq!(tablet.status().update, Some(NEED));

    end_requirement(&world);
    assert!(tablet.sync_now(TIME).await.unwrap().complete);
    assert!(tablet.record(theirs).unwrap().is_some());
    assert_eq!(tablet.status().update, None);
}

#[tokio::test]
async fn watching_program_that_becomes_too_old_is_not_halted_and_goes_on_uploading() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    tablet.close().await.unwrap();
    let mut config = ClientConfig::new(dir.path()).schedule(Schedule::Automatic);
    config.timings.after_save = Duration::from_millis(20);
    config.timings.backoff_min = Duration::from_millis(20);
    let tablet = FieldClient::open_with(config, world.outside()).await.unwrap();
    tablet.set_connectivity(Connectivity::Unmetered);
    until("it watches", || tablet.status().phase == SyncPhase::Watching).await;
    require_newer(&world);
    // The hub has something to tell, and with it sends the watcher away.
    let colleague = folder();
    let colleague = world.enrolled(colleague.path(), "P02", Role::Technician).await;
    colleague.create(visit("同事的")).await.unwrap();
    assert!(colleague.sync_now(TIME).await.unwrap().complete);
    until("it hears of it", || tablet.status().update == Some(NEED)).await;
    until("it rests", || tablet.status().phase == SyncPhase::Idle).await;
    assert_eq!(tablet.status().halted, None);
    let dials = world.dials.load(Ordering::Relaxed);
    let ours = tablet.create(visit("太旧也照传")).await.unwrap();
    until("it is sent", || delivery(&tablet, ours) == Delivery::Acknowledged).await;
    until("it rests", || tablet.status().phase == SyncPhase::Idle).await;
    assert!(world.dials.load(Ordering::Relaxed) - dials <= 2, "it does not dial over and over to watch");
    assert!(tablet.status().next_try_ms.is_some(), "and comes again by itself");
}

/// What stands here may be erased or held by a decision this version cannot read: it shows nothing, and sends what it has.
#[tokio::test]
async fn decision_that_cannot_be_read_and_is_critical_stops_reading_and_never_uploading() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let before = tablet.create(visit("以前的")).await.unwrap();
    let unknown = |critical| Decision::Unknown { kind: 999, critical, body: vec![1, 2, 3] };
    world.hub().decide(unknown(false));
    assert!(tablet.sync_now(TIME).await.unwrap().complete);
    assert!(tablet.record(before).unwrap().is_some(), "one that is not critical is stored");
    world.hub().decide(unknown(true));
    assert!(tablet.sync_now(TIME).await.unwrap().complete);
    assert_eq!(tablet.status().update, Some(UpdateNeed::UnknownDecision));
    assert_eq!(tablet.record(before), Err(ReadError::MustUpdate));
    assert_eq!(tablet.records(RecordFilter::default()), Err(ReadError::MustUpdate));
    tablet.create(visit("照样写")).await.unwrap();
    let report = tablet.sync_now(TIME).await.unwrap();
    assert!(report.complete && report.acknowledged == 1, "{report:?}");
    assert_eq!(tablet.diagnostics().unwrap().unreceipted, 0);
    assert_eq!(world.hub().replica.count_records(&Default::default()).unwrap(), 2);
}
