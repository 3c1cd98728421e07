//! An app's view of what the core mends by itself: packs no hub takes, versions that vanish, logbooks that go and come back.

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

use std::time::Duration;

use hub::{World, visit};
use qianmo_client_core::codes::RefusalCode;
use qianmo_client_core::{
    Connectivity, Delivery, Event, EvictError, FieldClient, FieldEdit, FieldValue, RecordFilter, RecordId, SyncReport,
};
use qianmo_protocol::control::{Carrier, Decision, QuarantineScope, Role};
use qianmo_protocol::ids::{ChangeHash, DocId};
use qianmo_protocol::pack::Pack;

const TIME: Duration = Duration::from_secs(20);
const JUNE: &str = "ST01/2025-06";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn sync(tablet: &FieldClient) -> SyncReport {
    tablet.sync_now(TIME).await.unwrap()
}

fn delivery(tablet: &FieldClient, record: RecordId) -> Delivery {
    tablet.record(record).unwrap().unwrap().row.delivery
}

fn is_about(pack: &Pack, record: RecordId) -> bool {
    let entries = pack.open().unwrap();
    entries.iter().any(|entry| entry.doc().to_string() == record.to_string())
}

#[tokio::test]
async fn refused_pack_arrives_packed_anew_within_the_same_sync() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("查看越冬情况")).await.unwrap();
    let mut times = 0;
    world.hub().spoil = Some(Box::new(move |pack| {
        times += 1;
        if times == 1 {
            pack.signature[0] ^= 1;
        }
    }));
    let report = sync(&tablet).await;
    assert!(report.complete, "{report:?}");
    assert_eq!((report.sessions, report.acknowledged), (2, 1));
    assert_eq!(report.refused.iter().map(|refused| refused.code).collect::<Vec<_>>(), [RefusalCode::BadSignature]);
    assert_eq!(delivery(&tablet, record), Delivery::Acknowledged);
    assert_eq!(tablet.diagnostics().unwrap().unreceipted, 0);
}

#[tokio::test]
async fn record_that_no_hub_takes_comes_back_as_a_draft_once_and_the_rest_arrives() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let good = tablet.create(visit("好的一条")).await.unwrap();
    let bad = tablet.create(visit("太大的一条")).await.unwrap();
    let late = tablet.create(visit("后来的一条")).await.unwrap();
    world.hub().spoil = Some(Box::new(move |pack| {
        if is_about(pack, bad) {
            pack.body = vec![0; 4];
        }
    }));
    let mut events = tablet.subscribe();
    let report = sync(&tablet).await;
    assert!(report.complete && report.sessions <= 4, "{report:?}");
    let for_good = report.refused.iter().filter(|refused| refused.code.is_permanent());
    assert!(for_good.clone().count() >= 2 && for_good.clone().all(|refused| refused.code == RefusalCode::OverLimit));
    for record in [good, late] {
        assert_eq!(delivery(&tablet, record), Delivery::Acknowledged);
    }
    assert_eq!(tablet.record(bad).unwrap(), None);
    assert_eq!((tablet.status().waiting, tablet.status().held, tablet.status().drafts), (0, 0, 1));
    let drafts = tablet.drafts().unwrap();
    assert_eq!(drafts[0].input.fields["content"], FieldValue::from("太大的一条"));
    assert_eq!(drafts[0].input.held_code, Some(731));
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::Held { records, drafts } = event {
            told.push((records.to_vec(), drafts));
        }
    }
    assert_eq!(told, [(vec![bad], 1)]);
    // It stays discarded, and nothing of it is sent again.
    tablet.discard_draft(drafts[0].id).await.unwrap();
    tablet.close().await.unwrap();
    let tablet = world.tablet(dir.path()).await;
    let report = sync(&tablet).await;
    assert!(report.complete && report.packs_up == 0 && report.refused.is_empty(), "{report:?}");
    assert!(tablet.drafts().unwrap().is_empty());
    assert_eq!(tablet.records(RecordFilter::default()).unwrap().rows.len(), 2);
}

/// Holds a change for its content, as a hub that judges otherwise would.
fn hold(world: &World, change: ChangeHash) {
    let scope = QuarantineScope::Change { change, carrier: Carrier::Content };
    world.hub().decide(Decision::Quarantine { scope, code: 1 });
}

fn heads_at_hub(world: &World, record: RecordId) -> Vec<ChangeHash> {
    let doc = DocId::from_hex(&record.to_string()).unwrap();
    world.hub().replica.document(&doc).unwrap().unwrap().heads()
}

#[tokio::test]
async fn edit_whose_base_is_held_by_now_is_saved_at_what_is_left_and_says_what_vanished() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("原文")).await.unwrap();
    let version = tablet.record(record).unwrap().unwrap().row.version;
    tablet.edit(record, version, vec![FieldEdit::set("content", "要被隔离的说法")]).await.unwrap();
    sync(&tablet).await;
    let open = tablet.record(record).unwrap().unwrap().row;
    hold(&world, heads_at_hub(&world, record)[0]);
    sync(&tablet).await;
    assert_eq!(tablet.record(record).unwrap().unwrap().row.fields["content"], FieldValue::from("原文"));

    let mut events = tablet.subscribe();
    tablet.edit(record, open.version.clone(), vec![FieldEdit::set("advice", "接着写")]).await.unwrap();
    let mut told = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::BaseVanished { record, fields } = event {
            told.push((record, fields.iter().map(ToString::to_string).collect::<Vec<_>>()));
        }
    }
    assert_eq!(told, [(record, vec!["content".to_owned()])]);
    let row = tablet.record(record).unwrap().unwrap().row;
    assert_eq!(row.fields["advice"], FieldValue::from("接着写"));
    assert_eq!(row.fields["content"], FieldValue::from("原文"));
    assert!(sync(&tablet).await.complete);
    assert_eq!(heads_at_hub(&world, record).len(), 1);
    let doc = DocId::from_hex(&record.to_string()).unwrap();
    let view = world.hub().replica.record_row(&doc).unwrap().unwrap();
    assert_eq!(view.heads, heads_at_hub(&world, record));
    // A version that was never here is still refused.
    let other = tablet.create(visit("另一条")).await.unwrap();
    let foreign = tablet.record(other).unwrap().unwrap().row.version;
    assert!(tablet.edit(record, foreign, vec![FieldEdit::set("advice", "错的")]).await.is_err());
}

#[tokio::test]
async fn record_with_more_heads_than_a_change_may_name_can_still_be_saved() {
    let (world, dir) = (World::new(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let record = tablet.create(visit("原文")).await.unwrap();
    let version = tablet.record(record).unwrap().unwrap().row.version;
    for number in 0..40 {
        let edits = vec![FieldEdit::set("content", format!("说法{number}").as_str())];
        tablet.edit(record, version.clone(), edits).await.unwrap();
    }
    let row = tablet.record(record).unwrap().unwrap().row;
    assert_eq!(tablet.conflicts(record).unwrap()[0].candidates.len(), 40);
    tablet.edit(record, row.version, vec![FieldEdit::set("advice", "还能保存")]).await.unwrap();
    let report = sync(&tablet).await;
    assert!(report.complete && report.held == 0, "{report:?}");
    assert_eq!(tablet.record(record).unwrap().unwrap().row.fields["advice"], FieldValue::from("还能保存"));
    assert_eq!(delivery(&tablet, record), Delivery::Acknowledged);
}

/// A backup of all the hub holds now, told to whoever comes next.
fn back_up(world: &World) {
    let mut hub = world.hub();
    hub.watermark = hub.replica.durable_commit().0;
    hub.issue_beacon();
}

#[tokio::test]
async fn month_is_evicted_when_the_hubs_backups_have_it_and_comes_back_whole_when_wanted() {
    let (world, dir, other) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let colleague = world.enrolled(other.path(), "P02", Role::Technician).await;
    let theirs = colleague.create(visit("同事的")).await.unwrap();
    sync(&colleague).await;
    assert!(matches!(tablet.evict(JUNE).await, Err(EvictError::NotHere { .. })));
    assert!(matches!(tablet.evict("ST01").await, Err(EvictError::Directory { .. })));
    assert!(matches!(tablet.bring_back(JUNE).await, Err(EvictError::NotEvicted { .. })));
    let ours = tablet.create(visit("自己的")).await.unwrap();
    let unsettled = tablet.evict(JUNE).await.unwrap_err();
    assert!(matches!(unsettled, EvictError::Unsettled { count: 1, .. }) && unsettled.is_retryable());
    sync(&tablet).await;
    assert!(matches!(tablet.evict(JUNE).await, Err(EvictError::NotBackedUp { count: 2, .. })));
    back_up(&world);
    sync(&tablet).await;
    assert_eq!(delivery(&tablet, ours), Delivery::BackedUp);
    // What the colleague wrote has no receipt here: it takes a session that shows the hub has it all, and a backup after.
    assert!(matches!(tablet.evict(JUNE).await, Err(EvictError::NotBackedUp { count: 1, .. })));
    sync(&tablet).await;
    back_up(&world);
    sync(&tablet).await;
    tablet.evict(JUNE).await.unwrap();
    assert_eq!(tablet.evicted().unwrap(), [JUNE]);
    assert_eq!(tablet.records(RecordFilter::default()).unwrap().rows, []);

    // It stays away, over a restart too; a late write into it is sent all the same.
    tablet.close().await.unwrap();
    let tablet = world.tablet(dir.path()).await;
    let quiet = sync(&tablet).await;
    assert!(quiet.complete && quiet.packs_down == 0, "{quiet:?}");
    let late = tablet.create(visit("补记")).await.unwrap();
    let report = sync(&tablet).await;
    assert!(report.complete && report.packs_down == 0, "{report:?}");
    assert_eq!(delivery(&tablet, late), Delivery::Acknowledged);

    tablet.bring_back(JUNE).await.unwrap();
    assert!(tablet.evicted().unwrap().is_empty());
    sync(&tablet).await;
    for record in [ours, theirs, late] {
        assert!(tablet.record(record).unwrap().is_some());
    }
    sync(&colleague).await;
    assert_eq!(tablet.diagnostics().unwrap().state_digests, colleague.diagnostics().unwrap().state_digests);
}

#[tokio::test]
async fn evicted_month_of_a_watching_device_is_pushed_no_more() {
    let (world, dir, other) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let colleague = world.enrolled(other.path(), "P02", Role::Technician).await;
    tablet.create(visit("自己的")).await.unwrap();
    sync(&tablet).await;
    back_up(&world);
    sync(&tablet).await;
    tablet.close().await.unwrap();
    let config = qianmo_client_core::ClientConfig::new(dir.path());
    let tablet = FieldClient::open_with(config, world.outside()).await.unwrap();
    tablet.set_connectivity(Connectivity::Unmetered);
    let watching = || tablet.status().phase == qianmo_client_core::SyncPhase::Watching;
    until("it watches", watching).await;
    let dials = world.dials.load(std::sync::atomic::Ordering::Relaxed);
    tablet.evict(JUNE).await.unwrap();
    until("it watches anew", || watching() && world.dials.load(std::sync::atomic::Ordering::Relaxed) > dials).await;
    colleague.create(visit("同事的")).await.unwrap();
    sync(&colleague).await;
    sync(&tablet).await;
    assert_eq!(tablet.records(RecordFilter::default()).unwrap().rows, []);
}

#[tokio::test]
async fn large_pull_is_taken_in_slices_between_which_a_person_reads() {
    let (world, dir, other) = (World::new(), folder(), folder());
    let tablet = world.enrolled(dir.path(), "P01", Role::Technician).await;
    let colleague = world.enrolled(other.path(), "P02", Role::Technician).await;
    for _ in 0..300 {
        let mut noise = [0u8; 500];
        rand::Rng::fill(&mut rand::rng(), &mut noise[..]);
        let noise: String = noise.iter().map(|byte| format!("{byte:02x}")).collect();
        colleague.create(visit(&noise)).await.unwrap();
    }
    sync(&colleague).await;
    let mut events = tablet.subscribe();
    assert_eq!(sync(&tablet).await.records_down, 300);
    let mut slices = Vec::new();
    while let Some(event) = events.try_next() {
        if let Event::RecordsChanged(records) = event {
            slices.push(records.len());
        }
    }
    // The store's thread was free between any two of them.
    assert!(slices.len() >= 3 && slices.iter().all(|slice| *slice < 200), "{slices:?}");
    assert_eq!(slices.iter().sum::<usize>(), 300);
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
