//! Packs whose control position is not known: stored, bounded, woken, and in nobody's way (A4).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    missing_debug_implementations,
    dead_code,
    reason = "test harness: a failed step is the failure; the world is shared with the workspace's tests"
)]

#[path = "../../../tests/src/world.rs"]
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use qianmo_protocol::control::{Decision, Role as GrantRole, SignedEntry, Signer};
use qianmo_protocol::ids::{DocId, EntryHash, Incarnation, LogbookName, PackHash};
use qianmo_protocol::pack::{Entry, Pack, Place, seal};
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::session::{Shelf as _, StoreOutcome};
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::disk::CrashMode;
use qianmo_replica::index::{ApplyError, Batch, Index, IndexError, KeyRange, MemoryIndex, Page, PageError, SledIndex};
use qianmo_replica::pack_log::FramePointer;
use qianmo_replica::replica::{
    EvictError, EvictHold, Foreign, PACKS_PARKED_PER_DEVICE_MAX, PACKS_PARKED_PER_LOGBOOK_MAX, Replica,
};
use world::{Tablet, World, june, open, open_with, station};

/// An index that counts how often it is asked.
#[derive(Debug, Default)]
struct Counted {
    inner: MemoryIndex,
    asked: Arc<AtomicUsize>,
}

impl Index for Counted {
    fn apply(&mut self, batch: Batch) -> Result<(), ApplyError> {
        self.inner.apply(batch)
    }
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.get(key)
    }
    fn scan(&self, range: &KeyRange, after: Option<&[u8]>, limit: usize) -> Result<Page, PageError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.inner.scan(range, after, limit)
    }
    fn absorbed(&self) -> Result<Option<FramePointer>, IndexError> {
        self.inner.absorbed()
    }
    fn flush(&mut self) -> Result<(), IndexError> {
        self.inner.flush()
    }
    fn clear(&mut self) -> Result<(), IndexError> {
        self.inner.clear()
    }
}

/// A change that this tablet could have written, and its document.
fn entry(world: &mut World, tablet: &mut Tablet) -> (DocId, Entry) {
    let doc = tablet.file(world, "查看越冬情况");
    let change = tablet.replica.document(&doc).unwrap().unwrap().changes().next().unwrap().clone();
    (doc, Entry::Root { change })
}

/// A pack at a position of one's choice.
fn packed(
    world: &mut World,
    tablet: &Tablet,
    (name, incarnation): (&LogbookName, u8),
    after: Option<(u32, PackHash)>,
    control: EntryHash,
    entry: Entry,
) -> Pack {
    let place =
        Place { logbook: name.clone(), incarnation: Incarnation([incarnation; 8]), after, control, time: world.now() };
    seal(&world.org, &tablet.key, place, vec![entry], 3).unwrap().into_parts().0
}

fn take(replica: &mut Replica, packs: Vec<Pack>) -> Vec<Option<RefuseCode>> {
    let outcomes = replica.take_packs(packs).unwrap().outcomes;
    replica.sync().unwrap();
    let code = |outcome: &StoreOutcome| match outcome {
        StoreOutcome::Held { .. } => None,
        StoreOutcome::Refused { code, .. } => Some(*code),
    };
    outcomes.iter().map(code).collect()
}

fn never(number: usize) -> EntryHash {
    let mut hash = [0xaa; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    EntryHash(hash)
}

fn month(number: u8) -> LogbookName {
    LogbookName::StationMonth(station(), qianmo_protocol::time::Month::new(2025, number).unwrap())
}

/// A decision that the hub has signed and not told anyone.
fn untold(world: &mut World) -> (EntryHash, SignedEntry) {
    let decision = Decision::MinimumVersion { version: 1 };
    let now = world.now();
    let hub = &world.hub;
    let draft = hub.replica.control().draft(Signer::Hub(hub.id), hub.epoch, now, decision);
    let hash = draft.hash(&world.org);
    (hash, SignedEntry::sign(&world.org, &hub.signing, draft).unwrap())
}

#[test]
fn packs_whose_control_position_never_comes_are_bounded_and_cost_judging_nothing() {
    let mut world = World::new(61);
    let mut thief = world.enrol("P01", GrantRole::Technician);
    let tablet_b = world.enrol("P02", GrantRole::Technician);
    let asked = Arc::new(AtomicUsize::new(0));
    let index = Box::new(Counted { inner: MemoryIndex::default(), asked: Arc::clone(&asked) });
    let (mut replica, _) = open_with(&tablet_b.disk, index, tablet_b.identity(&world), &mut world.rng);
    let (_, copy) = entry(&mut world, &mut thief);
    let cost = |replica: &mut Replica| {
        let before = asked.load(Ordering::Relaxed);
        let report = replica.judge().unwrap();
        (asked.load(Ordering::Relaxed) - before, report.waiting)
    };
    let (idle, _) = cost(&mut replica);
    let mut refused = 0;
    for number in 0..PACKS_PARKED_PER_LOGBOOK_MAX + 10 {
        let pack = packed(&mut world, &thief, (&june(), 1), None, never(number), copy.clone());
        refused += take(&mut replica, vec![pack]).into_iter().filter(|code| *code == Some(RefuseCode::Quota)).count();
    }
    assert_eq!(refused, 10, "refused for a while, beyond the limit");
    assert_eq!(cost(&mut replica), (idle, PACKS_PARKED_PER_LOGBOOK_MAX));
    assert_eq!((replica.unjudged_count(), replica.parked_count()), (0, PACKS_PARKED_PER_LOGBOOK_MAX));
    // Other logbooks have room, until the device has used up its own.
    let mut kept = PACKS_PARKED_PER_LOGBOOK_MAX;
    'all: for number in 1..=5u8 {
        for station in 0..5 {
            let name = LogbookName::StationMonth(
                qianmo_protocol::ids::Code::new(&format!("ST{number}{station}")).unwrap(),
                qianmo_protocol::time::Month::new(2025, number).unwrap(),
            );
            for position in 0..PACKS_PARKED_PER_LOGBOOK_MAX {
                let pack = packed(&mut world, &thief, (&name, 1), None, never(position), copy.clone());
                match take(&mut replica, vec![pack])[0] {
                    None => kept += 1,
                    Some(code) => {
                        assert_eq!(code, RefuseCode::Quota);
                        break 'all;
                    }
                }
            }
        }
    }
    assert_eq!(kept, PACKS_PARKED_PER_DEVICE_MAX);
    // In one turn, too: what is not durable yet counts.
    let mut tablet_c = world.enrol("P03", GrantRole::Technician);
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    replica.adopt(entries).unwrap();
    replica.sync().unwrap();
    let (_, copy) = entry(&mut world, &mut tablet_c);
    let packs = (0..80).map(|number| packed(&mut world, &tablet_c, (&june(), 1), None, never(number), copy.clone()));
    let packs: Vec<Pack> = packs.collect();
    let codes = take(&mut replica, packs);
    assert_eq!(codes.iter().filter(|code| code.is_none()).count(), PACKS_PARKED_PER_LOGBOOK_MAX);
}

#[test]
fn pack_at_an_unknown_position_wakes_with_what_follows_it_when_the_entry_comes() {
    let mut world = World::new(62);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let tablet_b = world.enrol("P02", GrantRole::Technician);
    let (position, signed) = untold(&mut world);
    let known = world.hub.replica.control().position().unwrap();
    let org = world.org;
    let mut docs = Vec::new();
    let mut packs: Vec<Pack> = Vec::new();
    // The middle of the chain names the entry; what follows names one that is known.
    for control in [known, position, known] {
        let (doc, entry) = entry(&mut world, &mut tablet_a);
        let after = packs.last().map(|pack| (pack.header.seq, pack.hash(&org)));
        packs.push(packed(&mut world, &tablet_a, (&june(), 1), after, control, entry));
        docs.push(doc);
    }
    let folder = tempfile::tempdir().unwrap();
    let sled = || Box::new(SledIndex::open(folder.path().join("index"), 1 << 20).unwrap().0);
    let (mut replica, _) = open_with(&tablet_b.disk, sled(), tablet_b.identity(&world), &mut world.rng);
    assert_eq!(take(&mut replica, packs), [None; 3], "stored and acknowledged, never refused");
    let shown = |replica: &Replica| docs.iter().filter(|doc| replica.record(doc).unwrap().is_some()).count();
    assert_eq!(replica.judge().unwrap().waiting, 2);
    assert_eq!((shown(&replica), replica.parked_count()), (1, 2));
    assert_eq!(replica.tips(&june())[0].seq, 0, "vectors cover judged packs only");
    assert!(replica.state_digest(&june()).is_some(), "what waits keeps no states from being compared");
    // The index kept, and the index built anew, know it.
    replica.close().unwrap();
    let (replica, report) = open_with(&tablet_b.disk, sled(), tablet_b.identity(&world), &mut world.rng);
    assert_eq!((report.rebuilt, replica.parked_count()), (None, 2));
    drop(replica);
    let image = tablet_b.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (rebuilt, _) = open(&image, tablet_b.identity(&world), &mut world.rng);
    assert_eq!((rebuilt.unjudged_count(), rebuilt.parked_count()), (0, 2));
    drop(rebuilt);
    let (mut replica, _) = open_with(&tablet_b.disk, sled(), tablet_b.identity(&world), &mut world.rng);
    replica.adopt(vec![signed]).unwrap();
    replica.sync().unwrap();
    assert_eq!((replica.unjudged_count(), replica.parked_count()), (2, 0));
    assert_eq!(replica.judge().unwrap().waiting, 0);
    assert_eq!((shown(&replica), replica.tips(&june())[0].seq), (3, 2));
    // Room again: nothing is parked any more.
    drop(replica);
    let image = tablet_b.disk.crash(CrashMode::DropUnsynced, &mut world.rng);
    let (rebuilt, _) = open(&image, tablet_b.identity(&world), &mut world.rng);
    assert_eq!((shown(&rebuilt), rebuilt.unjudged_count(), rebuilt.parked_count()), (3, 0, 0));
}

#[test]
fn long_chain_of_honest_packs_in_one_turn_is_not_parked() {
    let mut world = World::new(63);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let known = world.hub.replica.control().position().unwrap();
    let org = world.org;
    let (_, copy) = entry(&mut world, &mut tablet_a);
    let mut packs: Vec<Pack> = Vec::new();
    for _ in 0..PACKS_PARKED_PER_LOGBOOK_MAX * 2 {
        let after = packs.last().map(|pack| (pack.header.seq, pack.hash(&org)));
        packs.push(packed(&mut world, &tablet_a, (&june(), 1), after, known, copy.clone()));
    }
    let entries = world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
    tablet_b.replica.adopt(entries).unwrap();
    assert!(take(&mut tablet_b.replica, packs).iter().all(Option::is_none));
    let report = tablet_b.replica.judge().unwrap();
    assert_eq!((report.judged.len(), report.waiting), (PACKS_PARKED_PER_LOGBOOK_MAX * 2, 0));
}

/// Once a month with one such pack could never be let go of.
#[test]
fn parked_pack_keeps_no_month_from_being_evicted() {
    let mut world = World::new(64);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    tablet_a.file(&mut world, "自己的");
    world.meet(&mut tablet_a);
    world.hub.watermark = world.hub.replica.durable_commit().0;
    world.meet(&mut tablet_a);
    let (_, copy) = entry(&mut world, &mut thief);
    let pack = packed(&mut world, &thief, (&june(), 1), None, never(1), copy);
    assert_eq!(take(&mut tablet_a.replica, vec![pack]), [None]);
    tablet_a.replica.judge().unwrap();
    tablet_a.replica.evict(&june(), Foreign::BackedUp).unwrap();
    tablet_a.replica.sync().unwrap();
    assert_eq!((tablet_a.replica.parked_count(), tablet_a.replica.unjudged_count()), (0, 0));
    let error = tablet_a.replica.evict(&june(), Foreign::BackedUp).unwrap_err();
    assert!(matches!(error, EvictError::Held { hold: EvictHold::NotHere, .. }), "{error:?}");
    // Of a month that holds nothing else, too.
    let (_, copy) = entry(&mut world, &mut thief);
    let alone = packed(&mut world, &thief, (&month(5), 1), None, never(2), copy);
    take(&mut tablet_a.replica, vec![alone]);
    assert_eq!(tablet_a.replica.evict_hold(&month(5), Foreign::Unknown).unwrap(), None);
}
