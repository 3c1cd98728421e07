//! The read model against the replica.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use qianmo_protocol::control::{Carrier, Decision, Purge, PurgeTarget, QuarantineScope, Role as GrantRole};
use qianmo_protocol::ids::{DocId, Epoch};
use qianmo_protocol::review::ReviewKind;
use qianmo_server::hub::RoundFollower as _;
use qianmo_server::projection::{
    FeedCursor, Filter, ListCursor, Marks, Mask, Personal, Position, ProjectedRecord, Projection, Projector, Reader,
};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::office::forms;
use crate::world::{World, june, month};

pub(crate) fn position(world: &World) -> Position {
    Position { epoch: world.core.epoch(), commit: world.core.replica().durable_commit().0 }
}

/// What the replica says of every record, by id.
fn expected(world: &World) -> BTreeMap<DocId, ProjectedRecord> {
    let replica = world.core.replica();
    let all = replica.all_records().unwrap();
    all.iter().filter_map(|id| Some((*id, ProjectedRecord::read(replica, id).unwrap()?))).collect()
}

/// Everything after a place, three at a time: the records and the place after the last.
fn told(reader: &Reader, mut after: Option<FeedCursor>) -> (Vec<ProjectedRecord>, FeedCursor) {
    let mut records = Vec::new();
    loop {
        let page = reader.feed(&Filter::default(), after, 3).unwrap().unwrap();
        records.extend(page.records);
        if !page.has_more {
            return (records, page.next);
        }
        after = Some(FeedCursor::decode(&page.next.encode()).unwrap());
    }
}

pub(crate) fn shown(reader: &Reader) -> BTreeMap<DocId, ProjectedRecord> {
    told(reader, None).0.into_iter().filter(|record| !record.is_gone).map(|record| (record.id, record)).collect()
}

fn found(reader: &Reader, text: &str) -> Vec<DocId> {
    let filter = Filter { text: Some(text.to_owned()), ..Filter::default() };
    let counted = reader.counts(&filter).unwrap().records();
    let page = reader.first(&filter, None, 100).unwrap().records;
    assert_eq!(u64::try_from(page.len()).unwrap(), counted);
    page.into_iter().map(|record| record.id).collect()
}

pub(crate) fn projector(world: &mut World, path: &Path) -> Projector {
    let mut projection = Projection::open(path, forms()).unwrap();
    projection.catch_up(&mut world.core).unwrap();
    Projector::new(projection)
}

pub(crate) fn erase(world: &mut World, doc: DocId) {
    let logbook = june().id(&world.org());
    let target = PurgeTarget::Document { doc, logbook };
    let now = world.now();
    world
        .core
        .decide(now, vec![Decision::Purge(Purge { target, reason: 1, is_standing: false, memory: None })])
        .unwrap();
}

/// Three people file, change, review and meet the hub in a random order; some records are erased.
pub(crate) fn random_work(world: &mut World, projector: &mut Projector, seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut tablets = [
        world.enrol("P01", GrantRole::Technician),
        world.enrol("P02", GrantRole::Expert),
        world.enrol("C01", GrantRole::Coordinator),
    ];
    let mut records: Vec<DocId> = Vec::new();
    for step in 0..40 {
        let who = rng.random_range(0..tablets.len());
        let tablet = &mut tablets[who];
        let known: Vec<DocId> =
            records.iter().copied().filter(|id| tablet.replica.record_row(id).unwrap().is_some()).collect();
        let any = (!known.is_empty()).then(|| known[rng.random_range(0..known.len())]);
        match (rng.random_range(0..11), any) {
            (0..=2, _) | (_, None) => {
                let name = month(rng.random_range(5..8));
                records.push(world.file_in(tablet, &name, &format!("第{step}条，梨小食心虫")));
            }
            (3..=5, Some(doc)) => world.edit(tablet, doc, "content", &format!("改{step}")),
            (6 | 7, Some(doc)) => {
                let kinds = [ReviewKind::Approve, ReviewKind::Return, ReviewKind::Comment, ReviewKind::Withdraw];
                world.review(tablet, doc, kinds[rng.random_range(0..kinds.len())]);
            }
            (8, Some(doc)) if step > 30 => {
                erase(world, doc);
                projector.follow(&mut world.core);
            }
            (_, Some(_)) => {
                world.meet(&mut tablets[who]);
                projector.follow(&mut world.core);
            }
        }
    }
    for tablet in &mut tablets {
        world.meet(tablet);
    }
    projector.follow(&mut world.core);
}

#[test]
fn projection_equals_the_replica_after_random_batches() {
    for seed in 0..8 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("projection.sqlite");
        let mut world = World::new(1_000 + seed);
        let mut projector = projector(&mut world, &path);
        random_work(&mut world, &mut projector, seed);
        let reader = Reader::open(&path).unwrap();
        let records = shown(&reader);
        assert!(records.len() > 3);
        assert_eq!(records, expected(&world), "seed {seed}");
        assert_eq!(reader.position().unwrap(), Some(position(&world)));

        // Built anew it says the same, in the same order; only what is gone is told again, at the end.
        let mut fresh = Projection::in_memory(forms()).unwrap();
        fresh.rebuild(world.core.replica(), position(&world)).unwrap();
        let order = |reader: &Reader| -> Vec<DocId> {
            told(reader, None).0.iter().filter(|record| !record.is_gone).map(|record| record.id).collect()
        };
        let fresh = fresh.into_reader();
        assert_eq!(order(&fresh), order(&reader), "seed {seed}");
        assert_eq!(shown(&fresh), records, "seed {seed}");
    }
}

#[test]
fn projection_is_built_anew_after_deletion_truncation_and_bit_flips() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(41);
    let mut work = projector(&mut world, &path);
    random_work(&mut world, &mut work, 41);
    drop(work);
    world.restart().unwrap();
    drop(projector(&mut world, &path));
    let sound = std::fs::read(&path).unwrap();
    let expected = expected(&world);
    let mut rng = StdRng::seed_from_u64(7);
    let mut spoilt: Vec<Option<Vec<u8>>> = vec![None, Some(Vec::new()), Some("这不是数据库".as_bytes().to_vec())];
    for part in 1..8 {
        spoilt.push(Some(sound[..sound.len() * part / 8].to_vec()));
    }
    for _ in 0..120 {
        let mut flipped = sound.clone();
        flipped[rng.random_range(0..sound.len())] ^= 1 << rng.random_range(0..8);
        spoilt.push(Some(flipped));
    }
    for (number, spoilt) in spoilt.iter().enumerate() {
        match spoilt {
            None => std::fs::remove_file(&path).unwrap(),
            Some(bytes) => std::fs::write(&path, bytes).unwrap(),
        }
        drop(projector(&mut world, &path));
        let reader = Reader::open(&path).unwrap();
        assert_eq!(shown(&reader), expected, "case {number}");
        assert_eq!(reader.position().unwrap(), Some(position(&world)), "case {number}");
    }
}

#[test]
fn projection_of_another_epoch_or_from_behind_is_brought_up_to_date() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(42);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    drop(projector(&mut world, &path));
    let visit = world.file(&mut tablet_a, "没人记下");
    world.meet(&mut tablet_a);
    world.restart().unwrap();
    drop(projector(&mut world, &path));
    assert!(Reader::open(&path).unwrap().record(&visit).unwrap().is_some());

    let mut foreign = Projection::open(&path, forms()).unwrap();
    let commit = position(&world).commit;
    let empty = World::new(43);
    foreign.rebuild(empty.core.replica(), Position { epoch: Epoch([9; 16]), commit }).unwrap();
    drop(foreign);
    assert!(shown(&Reader::open(&path).unwrap()).is_empty());
    drop(projector(&mut world, &path));
    assert_eq!(shown(&Reader::open(&path).unwrap()), expected(&world));
}

/// What the program before could not read stands in its model as that; the new one reads everything once more.
#[test]
fn projection_of_another_version_of_the_program_is_built_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(44);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.file(&mut tablet_a, "以前读不懂的");
    world.meet(&mut tablet_a);
    drop(projector(&mut world, &path));
    let older = |version: i32| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute("DELETE FROM record", []).unwrap();
        connection.pragma_update(None, "application_id", version).unwrap();
    };
    older(1);
    world.restart().unwrap();
    drop(projector(&mut world, &path));
    assert_eq!(shown(&Reader::open(&path).unwrap()), expected(&world));
}

/// Whoever stood still while others worked looks only at what they touched.
#[test]
fn projection_from_behind_takes_in_all_that_was_touched_meanwhile() {
    for seed in 60..64 {
        let dir = tempfile::tempdir().unwrap();
        let (ahead, behind) = (dir.path().join("ahead.sqlite"), dir.path().join("behind.sqlite"));
        let mut world = World::new(seed);
        let mut ahead = projector(&mut world, &ahead);
        random_work(&mut world, &mut ahead, seed);
        drop(projector(&mut world, &behind));
        random_work(&mut world, &mut ahead, seed + 100);
        world.restart().unwrap();
        drop(projector(&mut world, &behind));
        assert_eq!(shown(&Reader::open(&behind).unwrap()), expected(&world), "seed {seed}");
    }
}

/// A review changes no change of its record; once it did not move the record in the feed.
#[test]
fn feed_cursor_from_before_a_rebuild_misses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(44);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_c = world.enrol("C01", GrantRole::Coordinator);
    let mut projector = projector(&mut world, &path);
    let filed: Vec<DocId> = (0..6).map(|number| world.file(&mut tablet_a, &format!("第{number}条"))).collect();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_c);
    projector.follow(&mut world.core);
    let reader = Reader::open(&path).unwrap();
    let (all, cursor) = told(&reader, None);
    assert_eq!(all.len(), 6);
    assert!(told(&reader, Some(cursor)).0.is_empty());

    world.review(&mut tablet_c, filed[1], ReviewKind::Approve);
    world.edit(&mut tablet_a, filed[2], "content", "补充");
    erase(&mut world, filed[3]);
    world.meet(&mut tablet_c);
    world.meet(&mut tablet_a);
    projector.follow(&mut world.core);
    let changed = BTreeSet::from([filed[1], filed[2], filed[3]]);
    let ids = |records: &[ProjectedRecord]| -> BTreeSet<DocId> { records.iter().map(|record| record.id).collect() };
    let since = told(&reader, Some(cursor)).0;
    assert_eq!(ids(&since), changed);
    assert!(since.iter().all(|record| record.is_gone == (record.id == filed[3])));

    let mut fresh = Projection::in_memory(forms()).unwrap();
    fresh.rebuild(world.core.replica(), position(&world)).unwrap();
    assert_eq!(ids(&told(&fresh.into_reader(), Some(cursor)).0), changed);
    let foreign = FeedCursor { epoch: Epoch([9; 16]), ..cursor };
    assert_eq!(reader.feed(&Filter::default(), Some(foreign), 10).unwrap(), None);
}

#[test]
fn erased_and_held_records_leave_nothing_but_their_id() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("projection.sqlite");
    let mut world = World::new(45);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut projector = projector(&mut world, &path);
    let erased = world.file(&mut tablet_a, &"王家桃园的秘密 zaubertrank ".repeat(100));
    let held = world.file(&mut tablet_a, "有问题的内容");
    let kept = world.file(&mut tablet_a, "留下的内容");
    world.meet(&mut tablet_a);
    projector.follow(&mut world.core);
    let reader = Reader::open(&path).unwrap();
    assert_eq!(shown(&reader).len(), 3);

    erase(&mut world, erased);
    let root = world.core.replica().document(&held).unwrap().unwrap().changes().next().unwrap().hash();
    let scope = QuarantineScope::Change { change: root, carrier: Carrier::Content };
    let now = world.now();
    let entries = world.core.decide(now, vec![Decision::Quarantine { scope, code: 42 }]).unwrap();
    projector.follow(&mut world.core);
    assert_eq!(shown(&reader).into_keys().collect::<Vec<_>>(), [kept]);
    assert!(reader.record(&erased).unwrap().unwrap().is_gone);
    for file in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for needle in ["桃园的秘密", "zaubertrank", "秘密", "秘 密"] {
            let is_there = bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            assert!(!is_there, "erased bytes are still on the disk: {needle}");
        }
    }
    assert_eq!(found(&reader, "秘密"), []);
    assert_eq!(found(&reader, "内容"), [kept]);

    let now = world.now();
    world.core.decide(now, vec![Decision::Release { ends: entries[0] }]).unwrap();
    projector.follow(&mut world.core);
    assert_eq!(shown(&reader), expected(&world));
    assert!(shown(&reader).contains_key(&held), "released");
    assert_eq!(found(&reader, "问题"), [held]);
}

#[test]
fn lists_filter_count_and_page_without_gaps_or_doubles() {
    let mut world = World::new(46);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut filed: Vec<DocId> = (0..7)
        .map(|number| world.file_in(&mut tablet_a, &month(if number % 2 == 0 { 6 } else { 7 }), "分页"))
        .collect();
    world.review(&mut tablet_a, filed[0], ReviewKind::Withdraw);
    world.meet(&mut tablet_a);
    let mut projection = Projection::in_memory(forms()).unwrap();
    projection.rebuild(world.core.replica(), position(&world)).unwrap();
    let reader = projection.into_reader();
    let mut seen = Vec::new();
    let mut after: Option<ListCursor> = None;
    loop {
        let page = reader.first(&Filter::default(), after, 2).unwrap();
        seen.extend(page.records.iter().map(|record| record.id));
        let Some(next) = page.next else { break };
        after = ListCursor::decode(&next.encode());
    }
    filed.reverse();
    assert_eq!(seen, filed, "newest first, each once");
    let july = Filter { month: Some("2025-07".to_owned()), ..Filter::default() };
    assert_eq!(reader.first(&july, None, 100).unwrap().records.len(), 3);
    let withdrawn = Filter { state: Some("withdrawn".to_owned()), ..Filter::default() };
    assert_eq!(reader.first(&withdrawn, None, 100).unwrap().records.len(), 1);
    let counts = reader.counts(&Filter::default()).unwrap();
    assert_eq!(
        (counts.records(), counts.of(Some("pending"), Marks::NONE), counts.of(Some("withdrawn"), Marks::NONE)),
        (7, 6, 1)
    );
    assert_eq!(reader.counts(&july).unwrap().records(), 3);
    let places = reader.places().unwrap();
    assert_eq!((places.stations, places.forms), (vec!["ST01".to_owned()], vec!["visit".to_owned()]));
    assert_eq!(places.months, ["2025-07", "2025-06"]);
}

#[test]
fn personal_fields_numbers_and_exact_positions_are_masked_unless_asked_for() {
    let mask = Mask::new(Personal::Masked, forms());
    let fields = serde_json::json!({
        "target_name": "王某某",
        "lat": "40.163245",
        "lon": "117.108712",
        "content": "电话13812345678,约定复查",
        "satisfaction": 4,
        "unheard_of": "什么都可能",
        "unheard_number": 13_812_345_678_i64,
    });
    let masked = mask.fields(mask.form("visit", 1), fields.clone());
    let expected = serde_json::json!({
        "target_name": "•••",
        "lat": "40.16",
        "lon": "117.11",
        "content": "电话138****5678,约定复查",
        "satisfaction": 4,
        "unheard_of": "•••",
        "unheard_number": "•••",
    });
    assert_eq!(masked, expected);
    let unreadable = mask.fields(mask.form("visit", 1), serde_json::json!({ "lat": "北纬四十度", "lon": 117 }));
    assert_eq!(unreadable, serde_json::json!({ "lat": "•••", "lon": "•••" }));
    let shown = Mask::new(Personal::Shown, forms());
    assert_eq!(shown.fields(shown.form("visit", 1), fields.clone()), fields);
    let unknown = mask.fields(None, serde_json::json!({ "name": "王某某", "count": 3, "empty": null }));
    assert_eq!(unknown, serde_json::json!({ "name": "•••", "count": "•••", "empty": null }));
}
