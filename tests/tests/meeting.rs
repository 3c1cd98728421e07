//! Tablets and a hub meet: what was written offline converges, nothing is lost, and states are told truthfully.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::too_many_lines,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    reason = "test harness: a failed step is the failure"
)]

use qianmo_protocol::control::{Decision, Purge, PurgeTarget, Role as GrantRole};
use qianmo_protocol::pack::Entry;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::CrashMode;
use qianmo_replica::frames::{DraftId, LocalFrame, PackFrame};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::pack_log::{FrameKind, ScanFrom};
use qianmo_replica::replica::{Delivery, Notice};
use qianmo_tests::world::{Tablet, World, assert_same_states, june, open, open_with};

#[test]
fn records_of_two_tablets_meet_at_the_hub_in_one_round_trip_each() {
    let mut world = World::new(1);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "查看越冬情况");
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Waiting);
    let first = world.meet(&mut tablet_a);
    assert!(first.finished);
    assert_eq!(first.tally.turns_received, 1);
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    let second = world.meet(&mut tablet_b);
    assert_eq!(second.tally.turns_received, 1);
    assert_eq!(tablet_b.replica.delivery(&doc).unwrap(), Delivery::Elsewhere);
    let view = tablet_b.replica.record_row(&doc).unwrap().unwrap();
    assert_eq!(view.view.fields.len(), 2);
    assert_eq!(view.review.status, qianmo_protocol::review::ReviewStatus::Pending);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
    assert!(first.states_differ.is_empty() && second.states_differ.is_empty());
    let nothing = world.meet(&mut tablet_a);
    assert_eq!(nothing.tally.turns_received, 1);
    assert!(nothing.bytes_up + nothing.bytes_down < 1_000, "{nothing:?}");
}

#[test]
fn edits_made_offline_on_two_tablets_are_both_kept_and_shown_as_a_conflict() {
    let mut world = World::new(2);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "查看越冬情况");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    tablet_a.edit(&mut world, doc, "content", "甲的说法");
    tablet_b.edit(&mut world, doc, "content", "乙的说法");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_a);
    for replica in [&world.hub.replica, &tablet_a.replica, &tablet_b.replica] {
        let row = replica.record_row(&doc).unwrap().unwrap();
        assert_eq!(row.conflicts.len(), 1);
        assert_eq!(row.conflicts[0].candidates.len(), 2);
    }
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
}

#[test]
fn record_is_backed_up_only_when_the_watermark_has_passed_it() {
    let mut world = World::new(3);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "修剪");
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::Acknowledged);
    world.hub.watermark = world.hub.replica.durable_commit().0;
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&doc).unwrap(), Delivery::BackedUp);
}

#[test]
fn store_reopened_without_its_index_shows_the_same_state() {
    let mut world = World::new(4);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let doc = tablet_a.file(&mut world, "疏果");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    tablet_b.edit(&mut world, doc, "content", "疏果定果");
    let unsent = tablet_b.file(&mut world, "套袋");
    let before = (
        tablet_b.replica.state_digests(),
        tablet_b.replica.record(&doc).unwrap(),
        tablet_b.replica.record(&unsent).unwrap(),
        tablet_b.replica.outbox().unwrap(),
    );
    let identity = tablet_b.identity(&world);
    let (reopened, report) = open_with(&tablet_b.disk, Box::new(MemoryIndex::default()), identity, &mut world.rng);
    assert!(report.unreadable.is_empty());
    let after = (
        reopened.state_digests(),
        reopened.record(&doc).unwrap(),
        reopened.record(&unsent).unwrap(),
        reopened.outbox().unwrap(),
    );
    assert_eq!(before, after);
}

#[test]
fn hub_restored_from_an_older_image_is_refilled_by_its_tablets() {
    let mut world = World::new(5);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let old = tablet_a.file(&mut world, "第一天");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    let image = world.hub.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let contained = world.hub.replica.durable_commit().0;
    let lost = tablet_a.file(&mut world, "第二天");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);

    world.restore_hub(image, contained);
    assert!(world.hub.replica.record(&lost).unwrap().is_none());
    let first = world.meet(&mut tablet_a);
    assert!(first.finished);
    assert!(first.tally.turns_received <= 2, "{first:?}");
    let (epoch, device_a, device_b) = (world.hub.epoch, tablet_a.device(), tablet_b.device());
    world.decide(Decision::AdoptionComplete { epoch });
    let again = world.meet(&mut tablet_a);
    assert!(again.finished);
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_a);
    assert!(world.hub.replica.record(&lost).unwrap().is_some());
    assert_eq!(tablet_a.replica.delivery(&lost).unwrap(), Delivery::Acknowledged);
    assert_eq!(tablet_a.replica.delivery(&old).unwrap(), Delivery::BackedUp);
    assert_ne!(device_a, device_b);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
}

#[test]
fn cloned_tablet_loses_nothing_and_starts_a_new_incarnation() {
    let mut world = World::new(6);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    tablet_a.file(&mut world, "共同的一条");
    world.meet(&mut tablet_a);
    let image = tablet_a.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let identity = tablet_a.identity(&world);
    let (replica, _) = open(&image, identity, &mut world.rng);
    let mut clone = Tablet {
        key: tablet_a.key.clone(),
        disk: image,
        replica,
        person: tablet_a.person.clone(),
        selection: tablet_a.selection.clone(),
        epoch: tablet_a.epoch,
        live: tablet_a.live.clone(),
    };
    let on_a = tablet_a.file(&mut world, "原机");
    let on_clone = clone.file(&mut world, "克隆机");
    world.meet(&mut tablet_a);
    world.meet(&mut clone);
    world.meet(&mut tablet_a);
    world.meet(&mut clone);
    let copied = |notices: &[Notice]| notices.iter().any(|notice| matches!(notice, Notice::Copied { .. }));
    assert!(copied(&tablet_a.replica.take_notices()) || copied(&clone.replica.take_notices()));
    let later_a = tablet_a.file(&mut world, "之后甲");
    let later_clone = clone.file(&mut world, "之后乙");
    for _ in 0..2 {
        world.meet(&mut tablet_a);
        world.meet(&mut clone);
    }
    for doc in [on_a, on_clone, later_a, later_clone] {
        for replica in [&world.hub.replica, &tablet_a.replica, &clone.replica] {
            assert!(replica.record(&doc).unwrap().is_some());
        }
    }
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &clone.replica]);
}

#[test]
fn revoked_device_may_upload_and_its_packs_beyond_the_cut_are_held() {
    let mut world = World::new(7);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let before = tablet_a.file(&mut world, "之前");
    world.meet(&mut tablet_a);
    let tips = {
        use qianmo_protocol::vector::LogTrees as _;
        let id = june().id(&world.org);
        let tips = world.hub.replica.tips(&june());
        tips.into_iter()
            .map(|tip| qianmo_protocol::control::Tip { logbook: id, log: tip.log, pack: tip.head })
            .collect()
    };
    world.decide(Decision::Revoke { device: tablet_a.device(), reason: 1, tips });
    let after = tablet_a.file(&mut world, "之后");
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.finished);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    assert!(world.hub.replica.record(&before).unwrap().is_some());
    assert!(world.hub.replica.record(&after).unwrap().is_none(), "held until a coordinator releases it");
    assert!(tablet_b.replica.record(&after).unwrap().is_none());
    assert!(matches!(tablet_a.replica.delivery(&after).unwrap(), Delivery::Held { code: 259 }));
    assert_same_states(&[&world.hub.replica, &tablet_b.replica]);
}

/// Every change whose bytes are in a store, wherever they are.
fn changes_on_disk(replica: &qianmo_replica::replica::Replica) -> Vec<qianmo_protocol::ids::DocId> {
    let mut docs = Vec::new();
    for found in replica.pack_log().scan_from(ScanFrom::Start).unwrap() {
        let (_, frame) = found.unwrap();
        let entries = match frame.kind {
            FrameKind::Pack => PackFrame::decode(&frame.payload).unwrap().pack.open().unwrap(),
            FrameKind::Local => LocalFrame::decode(&frame.payload).unwrap().entries,
            FrameKind::Draft
            | FrameKind::Control
            | FrameKind::Verdict
            | FrameKind::Receipt
            | FrameKind::Meta
            | FrameKind::Blob
            | FrameKind::Unknown(_) => Vec::new(),
        };
        docs.extend(entries.iter().filter(|entry| entry.change().is_some()).map(Entry::doc));
    }
    docs
}

#[test]
fn erased_document_is_in_no_file_and_does_not_come_back() {
    let mut world = World::new(8);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let kept = tablet_a.file(&mut world, "留下的");
    let erased = tablet_a.file(&mut world, "要抹去的");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    tablet_b.edit(&mut world, erased, "content", "还没上传的修改");
    let purge = Purge {
        target: PurgeTarget::Document { doc: erased, logbook: june().id(&world.org) },
        reason: 1,
        is_standing: false,
        memory: None,
    };
    world.decide(Decision::Purge(purge));
    assert!(world.hub.replica.record(&erased).unwrap().is_none(), "it is gone at once");
    world.meet(&mut tablet_a);
    assert!(tablet_a.replica.is_erasure_due().unwrap());
    let before = tablet_a.replica.state_digests();
    for replica in [&mut world.hub.replica, &mut tablet_a.replica] {
        let totals = replica.rewrite().unwrap();
        assert!(totals.erased >= 1 && totals.bytes_after < totals.bytes_before, "{totals:?}");
        assert!(!changes_on_disk(replica).contains(&erased));
        assert!(changes_on_disk(replica).contains(&kept));
        assert!(!replica.is_erasure_due().unwrap());
        assert!(replica.record(&kept).unwrap().is_some());
    }
    assert_eq!(tablet_a.replica.state_digests(), before);
    // tablet_b brings an edit that it made before it heard of the erasure.
    world.meet(&mut tablet_b);
    world.meet(&mut tablet_b);
    tablet_b.replica.rewrite().unwrap();
    world.meet(&mut tablet_a);
    for replica in [&world.hub.replica, &tablet_a.replica, &tablet_b.replica] {
        assert!(replica.record(&erased).unwrap().is_none());
        assert!(replica.record(&kept).unwrap().is_some());
    }
    assert_same_states(&[&world.hub.replica, &tablet_a.replica, &tablet_b.replica]);
    // A new tablet gets the stubs, and what is left.
    let mut tablet_c = world.enrol("P03", GrantRole::Technician);
    assert!(world.meet(&mut tablet_c).finished);
    assert!(tablet_c.replica.record(&erased).unwrap().is_none());
    assert!(tablet_c.replica.record(&kept).unwrap().is_some());
    assert_same_states(&[&world.hub.replica, &tablet_c.replica]);
}

#[test]
fn rewritten_store_keeps_drafts_records_and_its_place_in_the_log() {
    let mut world = World::new(9);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let sent = tablet_a.file(&mut world, "已发");
    world.meet(&mut tablet_a);
    let waiting = tablet_a.file(&mut world, "未发");
    for round in 0..20u8 {
        tablet_a.replica.put_draft(DraftId([1; 8]), Some(vec![round; 100])).unwrap();
        tablet_a.replica.sync().unwrap();
    }
    let totals = tablet_a.replica.rewrite().unwrap();
    assert!(totals.dropped >= 19, "{totals:?}");
    assert_eq!(tablet_a.replica.drafts().unwrap(), vec![(DraftId([1; 8]), vec![19; 100])]);
    for doc in [sent, waiting] {
        assert!(tablet_a.replica.record(&doc).unwrap().is_some());
    }
    assert!(world.meet(&mut tablet_a).finished);
    assert_eq!(tablet_a.replica.delivery(&waiting).unwrap(), Delivery::Acknowledged);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}

#[test]
fn control_entry_that_does_not_verify_leaves_no_byte_in_the_store() {
    let mut world = World::new(10);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let stranger = World::new(11);
    let foreign: Vec<_> = stranger.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    assert!(!foreign.is_empty());
    let before = tablet_a.replica.durable_commit();
    tablet_a.replica.adopt(foreign).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.durable_commit(), before);
    world.meet(&mut tablet_a);
    assert_same_states(&[&world.hub.replica, &tablet_a.replica]);
}
