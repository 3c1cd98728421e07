//! Erasure: what goes, what stays, and that nothing brings it back.

use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{Disk as _, MemoryDisk};
use qianmo_replica::frames::{LocalFrame, PackFrame};
use qianmo_replica::pack_log::{FrameKind, ScanFrom};
use qianmo_replica::replica::{ErasureReach, Replica, Upkeep};
use qianmo_server::admin::{PurgeError, PurgeOrder, PurgePlan, Unsaved, begin_purge, erasures, purge, purge_plan};
use qianmo_server::hub::{CODE_ERASED_TARGET, ERASED_PER_PAGE, Kept};

use crate::world::{World, assert_same_states, june};

const MARKER: &str = "某农户ZQ7734";

fn has(bytes: &[u8], marker: &str) -> bool {
    bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
}

/// Whether a text stands anywhere: in the files as they are, or in what their frames hold once inflated.
fn holds(disk: &MemoryDisk, replica: &Replica, marker: &str) -> bool {
    let in_files = disk.list().unwrap().iter().any(|file| has(&disk.contents(&file.name).unwrap(), marker));
    let in_frames = replica.pack_log().scan_from(ScanFrom::Start).unwrap().any(|found| {
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
            | FrameKind::Unknown(_) => return has(&frame.payload, marker),
        };
        entries.iter().filter_map(|entry| entry.change()).any(|change| has(change.bytes(), marker))
    });
    in_files || in_frames
}

fn order(doc: DocId, reach: ErasureReach) -> PurgeOrder {
    PurgeOrder { doc, reach, reason: 2, unsaved: Unsaved::Refuse }
}

fn erase(world: &mut World, doc: DocId, reach: ErasureReach) -> PurgePlan {
    let now = world.now();
    let plan = purge(&mut world.core, now, &order(doc, reach)).unwrap();
    assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
    plan
}

#[test]
fn erased_document_is_in_no_file_and_does_not_come_back() {
    let mut world = World::new(71);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, MARKER);
    let other = world.file(&mut tablet_a, "另一条,要留着");
    world.review(&mut tablet_a, visit, ReviewKind::Comment);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    let vectors = world.core.replica().vector(&june());
    assert!(holds(&world.disk.inner, world.core.replica(), MARKER), "the check finds what is there");
    assert!(holds(&tablet_b.disk, &tablet_b.replica, MARKER));

    let plan = erase(&mut world, visit, ErasureReach::Record);
    assert_eq!((plan.records(), plan.reviews()), (1, 2), "the visit, its submit and its comment");
    assert!(!holds(&world.disk.inner, world.core.replica(), MARKER));
    assert_eq!(world.core.replica().vector(&june()), vectors, "the chain still stands");
    assert!(world.core.replica().record(&visit).unwrap().is_none());
    assert!(world.core.replica().record(&other).unwrap().is_some());

    // tablet_b hears of it in its next session and carries it out itself; tablet_a delivers everything once more.
    for tablet in [&mut tablet_a, &mut tablet_b] {
        world.meet(tablet);
        assert_eq!(tablet.replica.upkeep_due().unwrap(), Upkeep::Erase);
        assert!(tablet.replica.record(&visit).unwrap().is_none(), "not shown, though its bytes are still here");
        tablet.replica.rewrite().unwrap();
        assert_eq!(tablet.replica.upkeep_due().unwrap(), Upkeep::Nothing);
        assert!(!holds(&tablet.disk, &tablet.replica, MARKER));
    }
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    let mut fresh = world.enrol("P03", GrantRole::Technician);
    let meeting = world.meet(&mut fresh);
    assert!(meeting.finished && meeting.states_differ.is_empty());
    assert_same_states(&[&fresh.replica, world.core.replica()]);
    assert!(fresh.replica.record(&other).unwrap().is_some(), "packs with stubs are taken");
    world.restart().unwrap();
    assert_same_states(&[&fresh.replica, world.core.replica()]);
    assert!(!holds(&world.disk.inner, world.core.replica(), MARKER));
}

#[test]
fn redelivered_pack_of_an_erased_document_is_stored_without_its_bytes() {
    let mut world = World::new(72);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "第一版");
    world.meet(&mut tablet_a);
    // An offline edit of what is erased meanwhile.
    world.edit(&mut tablet_a, visit, "content", MARKER);
    erase(&mut world, visit, ErasureReach::Record);
    let meeting = world.meet(&mut tablet_a);
    assert!(meeting.finished);
    assert!(!holds(&world.disk.inner, world.core.replica(), MARKER), "it came, and its bytes were not kept");
    assert_eq!(world.core.keep_house().unwrap(), Kept::AsIs);
    assert!(world.core.replica().record(&visit).unwrap().is_none());
    tablet_a.replica.rewrite().unwrap();
    assert!(!holds(&tablet_a.disk, &tablet_a.replica, MARKER));
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

#[test]
fn unsent_edit_of_an_erased_record_goes_with_it() {
    let mut world = World::new(73);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "第一版");
    world.meet(&mut tablet_a);
    world.edit(&mut tablet_a, visit, "content", MARKER);
    let kept = world.file(&mut tablet_a, "没有关系的一条");
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 2);
    erase(&mut world, visit, ErasureReach::Record);
    // Another tablet brings the entry: nothing was sealed for that.
    let entries = world.core.replica().control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_a.replica.adopt(entries).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!(tablet_a.replica.erasures_due().unwrap().first(), Some(&visit));
    tablet_a.replica.rewrite().unwrap();
    assert!(tablet_a.replica.erasures_due().unwrap().is_empty());
    assert!(!holds(&tablet_a.disk, &tablet_a.replica, MARKER));
    assert_eq!(tablet_a.replica.outbox().unwrap().unsealed, 1, "what is not erased still waits");
    world.meet(&mut tablet_a);
    assert!(world.core.replica().record(&kept).unwrap().is_some());
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

#[test]
fn rewrite_is_no_news_to_anyone() {
    let mut world = World::new(74);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, MARKER);
    world.file(&mut tablet_a, "另一条");
    world.meet(&mut tablet_a);
    let now = world.now();
    purge(&mut world.core, now, &order(visit, ErasureReach::Record)).unwrap();
    drop(world.core.take_touched());
    world.core.keep_house().unwrap();
    let touched = world.core.take_touched();
    assert!(touched.contains(&visit) && touched.len() <= 2, "only what was erased: {touched:?}");
    assert_eq!(world.core.replica().record_of(&visit).unwrap(), Some(visit), "the read model can say that it is gone");
    assert!(world.core.replica().all_records().unwrap().contains(&visit));
}

#[test]
fn erased_return_revives_no_approval() {
    let mut world = World::new(75);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    let visit = world.file(&mut tablet_a, "一条记录");
    world.meet(&mut tablet_a);
    world.meet(&mut coordinator);
    world.review(&mut coordinator, visit, ReviewKind::Approve);
    let sent_back = world.review(&mut coordinator, visit, ReviewKind::Return);
    world.meet(&mut coordinator);
    let status = |world: &World| world.core.replica().record_row(&visit).unwrap().unwrap().review.status;
    assert_eq!(status(&world), ReviewStatus::Returned);
    let plan = erase(&mut world, sent_back, ErasureReach::Record);
    assert_eq!(plan.parts.len(), 1);
    assert_eq!(status(&world), ReviewStatus::Unsettled);
    world.meet(&mut tablet_a);
    tablet_a.replica.rewrite().unwrap();
    assert_eq!(tablet_a.replica.record_row(&visit).unwrap().unwrap().review.status, ReviewStatus::Unsettled);
}

#[test]
fn service_target_takes_along_whatever_ever_referred_to_it_and_what_comes_later_is_held_and_listed() {
    let mut world = World::new(76);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let target = world.file(&mut tablet_a, MARKER);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    let named = world.file(&mut tablet_a, "走访");
    world.edit(&mut tablet_a, named, "target_id", &target.to_string());
    // Only an old version names it.
    world.edit(&mut tablet_a, named, "target_id", "别的对象");
    let untouched = world.file(&mut tablet_a, "没有关系的一条");
    world.meet(&mut tablet_a);
    // tablet_b is offline and writes a visit to it.
    let late = world.file(&mut tablet_b, "离线时写的");
    world.edit(&mut tablet_b, late, "target_id", &target.to_string());

    let plan = erase(&mut world, target, ErasureReach::Target);
    let docs: Vec<DocId> = plan.parts.iter().map(|part| part.doc).collect();
    assert!(docs.contains(&target) && docs.contains(&named) && !docs.contains(&untouched));
    assert_eq!(plan.records(), 2);
    assert!(world.core.replica().record(&named).unwrap().is_none());
    assert!(world.core.replica().record(&untouched).unwrap().is_some());
    assert!(erasures(&world.core).unwrap().waiting.is_empty());

    world.meet(&mut tablet_b);
    let held = world.core.replica().control().fold().content_quarantines().map(|(_, code)| code).collect::<Vec<_>>();
    assert_eq!(held, [CODE_ERASED_TARGET]);
    let listed = erasures(&world.core).unwrap();
    assert_eq!(listed.waiting.iter().map(|one| one.doc).collect::<Vec<_>>(), [late]);
    assert!(listed.is_carried_out);
    // The same order once more takes what came late.
    let plan = erase(&mut world, target, ErasureReach::Target);
    assert!(plan.parts.iter().any(|part| part.doc == late) && plan.records() == 1);
    assert!(erasures(&world.core).unwrap().waiting.is_empty());
    assert!(matches!(
        purge_plan(&world.core, &target, ErasureReach::Target),
        Err(PurgeError::Done { doc }) if doc == target
    ));
    world.meet(&mut tablet_b);
    tablet_b.replica.rewrite().unwrap();
    assert!(!holds(&tablet_b.disk, &tablet_b.replica, "离线时写的"));
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
}

#[test]
fn late_comment_on_an_erased_record_is_listed_and_goes_with_the_same_order() {
    let mut world = World::new(77);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "一条记录");
    world.meet(&mut tablet_a);
    let comment = world.review(&mut tablet_a, visit, ReviewKind::Comment);
    erase(&mut world, visit, ErasureReach::Record);
    world.meet(&mut tablet_a);
    let waiting = erasures(&world.core).unwrap().waiting;
    assert_eq!(waiting.iter().map(|one| (one.doc, one.because_of)).collect::<Vec<_>>(), [(comment, Some(visit))]);
    let plan = erase(&mut world, visit, ErasureReach::Record);
    assert_eq!(plan.parts.iter().map(|part| part.doc).collect::<Vec<_>>(), [comment]);
    assert!(erasures(&world.core).unwrap().waiting.is_empty());
}

#[test]
fn what_is_kept_nowhere_else_is_not_erased_unless_the_administrator_insists() {
    let mut world = World::new(78);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, MARKER);
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.revoke(now, &tablet_a.device(), 2).unwrap();
    let now = world.now();
    let refused = purge(&mut world.core, now, &order(visit, ErasureReach::Record));
    assert!(matches!(refused, Err(PurgeError::Unsaved { unsaved: 2, of: 2 })), "{refused:?}");
    assert!(world.core.replica().record(&visit).unwrap().is_some(), "nothing was decided");
    // A backup contains it: now it may go.
    let (now, commit) = (world.now(), world.core.replica().durable_commit().0);
    world.core.set_watermark(now, commit).unwrap();
    erase(&mut world, visit, ErasureReach::Record);

    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let second = world.file(&mut tablet_b, MARKER);
    world.meet(&mut tablet_b);
    let now = world.now();
    world.core.revoke(now, &tablet_b.device(), 2).unwrap();
    let now = world.now();
    let insisted = PurgeOrder { unsaved: Unsaved::Erase, ..order(second, ErasureReach::Record) };
    purge(&mut world.core, now, &insisted).unwrap();
    let unknown = DocId([7; 16]);
    assert!(matches!(
        purge_plan(&world.core, &unknown, ErasureReach::Record),
        Err(PurgeError::Unknown { doc }) if doc == unknown
    ));
}

#[test]
fn erasure_that_a_crash_cut_short_is_carried_out_at_the_next_start() {
    let mut world = World::new(79);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, MARKER);
    for number in 0..3 {
        world.file(&mut tablet_a, &format!("第{number}条"));
        world.meet(&mut tablet_a);
    }
    let now = world.now();
    purge(&mut world.core, now, &order(visit, ErasureReach::Record)).unwrap();
    let states = world.core.replica().state_digests();
    // Stopped after the decision, before any byte went.
    world.restart().unwrap();
    assert!(!erasures(&world.core).unwrap().is_carried_out);
    assert!(holds(&world.disk.inner, world.core.replica(), MARKER));
    assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
    assert!(!holds(&world.disk.inner, world.core.replica(), MARKER));
    assert_eq!(world.core.replica().state_digests(), states);
    assert_eq!(world.core.keep_house().unwrap(), Kept::AsIs);
    let tips = world.core.replica().tips(&june()).len();
    assert!(tips > 0 && erasures(&world.core).unwrap().is_carried_out);
}

/// More was once refused as a whole. Now it goes page by page, tablets are served in between, and a crash loses no page.
#[test]
fn erasure_of_many_pages_is_resumed_after_a_crash_in_the_middle() {
    let mut world = World::new(80);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let target = world.file(&mut tablet_a, MARKER);
    let records = ERASED_PER_PAGE / 2 + 40;
    for number in 0..records {
        world.file(&mut tablet_a, &format!("走访 {target} 第{number}次"));
    }
    let kept = world.file(&mut tablet_a, "没有关系的一条");
    world.meet(&mut tablet_a);
    let documents = 2 * (records + 1);
    let left = |world: &World| {
        let docs = tablet_a_docs(world.core.replica());
        docs.iter().filter(|doc| !world.core.replica().control().fold().is_document_purged(doc)).count()
    };
    assert_eq!(left(&world), documents + 2);

    let now = world.now();
    let plan = begin_purge(&mut world.core, now, &order(target, ErasureReach::Target)).unwrap();
    assert_eq!((plan.parts.len(), plan.records()), (documents, records + 1));
    assert_eq!(left(&world), documents + 2 - ERASED_PER_PAGE);
    assert!(world.core.replica().control().fold().is_standing_target(&target), "the target goes first");
    let other = begin_purge(&mut world.core, now, &order(kept, ErasureReach::Record));
    assert!(matches!(other, Err(PurgeError::Busy { doc }) if doc == target));
    assert_eq!(world.core.keep_house().unwrap(), Kept::AsIs, "the log is rewritten once, for all pages");
    assert!(!erasures(&world.core).unwrap().is_carried_out);

    // Power is cut between two pages.
    world.restart().unwrap();
    assert_eq!(world.core.erasing().map(|order| order.doc), Some(target));
    assert!(world.core.has_more_to_do());
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let late = world.file(&mut tablet_b, &format!("离线时写的 {target}"));
    assert!(world.meet(&mut tablet_b).finished, "tablets are served meanwhile");
    assert_eq!((world.core.erasing(), world.core.has_more_to_do()), (None, false));
    assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
    assert!(!holds(&world.disk.inner, world.core.replica(), MARKER));
    assert!(world.core.replica().record(&kept).unwrap().is_some());
    let listed = erasures(&world.core).unwrap();
    assert!(listed.is_carried_out);
    assert_eq!((listed.decided.len(), listed.waiting.len()), (documents, 1), "what came between two pages is listed");
    assert_eq!(listed.waiting[0].doc, late);
    world.restart().unwrap();
    assert_eq!(world.core.erasing(), None);
}

/// Stopped after the decisions and before the bytes went, the hub once held every erased visit as a late one, and cut their
/// device's log for it: with all that it had ever written.
#[test]
fn restart_before_the_bytes_go_holds_nothing_that_is_erased_and_cuts_no_log() {
    let mut world = World::new(81);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let target = world.file(&mut tablet_a, MARKER);
    for number in 0..70 {
        world.file(&mut tablet_a, &format!("走访 {target} 第{number}次"));
    }
    let kept = world.file(&mut tablet_a, "没有关系的一条");
    world.meet(&mut tablet_a);
    let now = world.now();
    purge(&mut world.core, now, &order(target, ErasureReach::Target)).unwrap();
    world.restart().unwrap();
    assert_eq!(world.core.counters().quarantines, 0);
    assert!(world.core.replica().record(&kept).unwrap().is_some());

    // Visits that come late are held one by one; that is no fault of their device.
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    for number in 0..70 {
        world.file(&mut tablet_b, &format!("离线走访 {target} 第{number}次"));
    }
    let honest = world.file(&mut tablet_b, "另一条离线记录");
    assert!(world.meet(&mut tablet_b).finished);
    assert!(world.core.replica().record(&honest).unwrap().is_some());
    assert_eq!(erasures(&world.core).unwrap().waiting.len(), 70);
}

fn tablet_a_docs(replica: &Replica) -> Vec<DocId> {
    let records = replica.all_records().unwrap();
    let reviews = records.iter().flat_map(|record| replica.reviews(record).unwrap());
    let mut docs: Vec<DocId> = reviews.map(|review| review.id).collect();
    docs.extend(records.iter().filter(|record| replica.record(record).unwrap().is_some()));
    docs
}
