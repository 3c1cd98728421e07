//! The pack log through power cuts, failing disks and rotting media, on the memory disk.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use qianmo_replica::disk::{CrashMode, Disk, DiskOperation, Fault, FaultError, FaultSpan, FaultTarget, MemoryDisk};
use qianmo_replica::pack_log::{
    AppendError, CommitNumber, DamagePlace, FrameKind, FramePointer, Keep, OpenError, OpenReport, PackLog,
    PackLogConfig, ReadError, RewriteError, SEGMENT_HEADER_BYTES, ScanError, ScanFrom, SyncError, VerifyAtOpen,
    segment_file_name,
};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

const SALT: [u8; 16] = [0x5A; 16];

fn config(segment_bytes_max: u64) -> PackLogConfig {
    PackLogConfig { segment_bytes_max, ..PackLogConfig::new(SALT) }
}

fn open(disk: &MemoryDisk, segment_bytes_max: u64) -> (PackLog, OpenReport) {
    PackLog::open(Box::new(disk.clone()), config(segment_bytes_max)).unwrap()
}

fn contents(log: &PackLog) -> Vec<(CommitNumber, Vec<u8>)> {
    log.scan_from(ScanFrom::Start).unwrap().flatten().map(|(_, frame)| (frame.commit, frame.payload)).collect()
}

fn payload(commit: u64, bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((commit * 31 + at as u64 * 7) % 256).unwrap()).collect()
}

/// Appends frames with given payload lengths as one group and syncs it.
fn group(log: &mut PackLog, lengths: &[usize]) -> Vec<FramePointer> {
    let pointers = lengths
        .iter()
        .map(|bytes| log.append(FrameKind::Pack, &payload(log.next_commit().0, *bytes)).unwrap())
        .collect();
    log.sync().unwrap();
    pointers
}

// ---- properties ------------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
enum Step {
    Append {
        bytes: usize,
    },
    Sync,
    Reopen,
    Crash {
        mode: CrashMode,
        seed: u64,
    },
    /// Drops frames whose number is divisible, replaces others, in the n-th segment.
    Rewrite {
        nth: usize,
        divisor: u64,
    },
    /// The n-th change of the disk from now fails, once or until healed.
    Fail {
        skip: u64,
        error: FaultError,
        span: FaultSpan,
    },
}

fn crash_mode() -> impl Strategy<Value = CrashMode> {
    prop::sample::select(CrashMode::ALL.to_vec())
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..900_usize).prop_map(|bytes| Step::Append { bytes }),
        4 => Just(Step::Sync),
        1 => Just(Step::Reopen),
        2 => (crash_mode(), any::<u64>()).prop_map(|(mode, seed)| Step::Crash { mode, seed }),
        1 => (0..4_usize, 1..5_u64).prop_map(|(nth, divisor)| Step::Rewrite { nth, divisor }),
        1 => (0..6_u64, any::<bool>(), any::<bool>()).prop_map(|(skip, full, once)| Step::Fail {
            skip,
            error: if full { FaultError::NoSpace } else { FaultError::Io },
            span: if once { FaultSpan::Once } else { FaultSpan::UntilHealed },
        }),
    ]
}

/// What must, and what may, be in the log.
#[derive(Default)]
struct Model {
    durable: BTreeMap<CommitNumber, Vec<u8>>,
    waiting: BTreeMap<CommitNumber, Vec<u8>>,
    /// Every number that was ever shown as durable, dropped ones too, with the payload it then had.
    shown: BTreeMap<CommitNumber, Vec<u8>>,
    highest_shown: CommitNumber,
}

impl Model {
    fn synced(&mut self, commit: CommitNumber) {
        let waiting = std::mem::take(&mut self.waiting);
        assert!(waiting.keys().all(|waiting| *waiting <= commit));
        self.show(waiting);
        self.highest_shown = self.highest_shown.max(commit);
    }

    fn show(&mut self, frames: BTreeMap<CommitNumber, Vec<u8>>) {
        for (commit, payload) in frames {
            assert!(commit > self.highest_shown, "number {commit} was used again");
            assert!(self.shown.insert(commit, payload.clone()).is_none());
            self.durable.insert(commit, payload);
        }
        self.highest_shown = self.shown.keys().next_back().copied().unwrap_or(self.highest_shown);
    }

    /// After opening: all that is durable is there, and beyond it only frames that were waiting, unchanged.
    fn reopened(&mut self, log: &PackLog) {
        let mut found: BTreeMap<CommitNumber, Vec<u8>> = contents(log).into_iter().collect();
        for (commit, payload) in &self.durable {
            assert_eq!(found.remove(commit).as_ref(), Some(payload), "frame {commit} was synced");
        }
        for (commit, payload) in &found {
            assert_eq!(self.waiting.get(commit), Some(payload), "frame {commit} was never appended");
        }
        assert!(log.next_commit() > self.highest_shown);
        assert!(log.is_poisoned() || log.durable_commit() >= self.highest_shown);
        self.waiting.clear();
        // What a reopened log shows counts as synced: the next crash must keep it.
        if !log.is_poisoned() {
            self.show(found);
            self.highest_shown = self.highest_shown.max(log.durable_commit());
        }
    }
}

struct World {
    disk: MemoryDisk,
    log: PackLog,
    model: Model,
}

const SEGMENT_BYTES: u64 = 2_000;

impl World {
    fn new() -> Self {
        let disk = MemoryDisk::new();
        let (log, _) = open(&disk, SEGMENT_BYTES);
        Self { disk, log, model: Model::default() }
    }

    fn reopen(&mut self) {
        self.disk.heal();
        let (log, report) = open(&self.disk, SEGMENT_BYTES);
        assert_eq!(report.read_only, None);
        assert!(report.damage.iter().all(|damage| damage.place == DamagePlace::LastGroup), "{report:?}");
        self.model.reopened(&log);
        self.log = log;
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Append { bytes } => {
                let payload = payload(self.log.next_commit().0, *bytes);
                match self.log.append(FrameKind::Local, &payload) {
                    Ok(pointer) => drop(self.model.waiting.insert(pointer.commit, payload)),
                    Err(AppendError::Poisoned { .. } | AppendError::Disk(_)) => self.poisoned(),
                    Err(error) => panic!("{error}"),
                }
                // A full segment is synced on the way.
                let durable = self.log.durable_commit();
                let synced = self.model.waiting.keys().copied().filter(|commit| *commit <= durable).collect::<Vec<_>>();
                let synced =
                    synced.into_iter().filter_map(|commit| Some((commit, self.model.waiting.remove(&commit)?)));
                let synced = synced.collect();
                self.model.show(synced);
            }
            Step::Sync => match self.log.sync() {
                Ok(commit) => self.model.synced(commit),
                Err(SyncError::Poisoned { .. } | SyncError::Disk(_)) => self.poisoned(),
            },
            Step::Reopen => self.reopen(),
            Step::Crash { mode, seed } => {
                self.disk = self.disk.crash(*mode, &mut ChaCha8Rng::seed_from_u64(*seed));
                self.reopen();
            }
            Step::Rewrite { nth, divisor } => self.rewrite(*nth, *divisor),
            Step::Fail { skip, error, span } => {
                self.disk.inject(Fault { target: FaultTarget::AnyChange, skip: *skip, error: *error, span: *span });
            }
        }
    }

    /// A poisoned log still reads all that was durable, and shows nothing more as durable.
    fn poisoned(&mut self) {
        assert!(self.log.is_poisoned());
        assert!(matches!(self.log.append(FrameKind::Local, b"x"), Err(AppendError::Poisoned { .. })));
        assert!(matches!(self.log.sync(), Err(SyncError::Poisoned { .. })));
        let found: BTreeMap<_, _> = contents(&self.log).into_iter().collect();
        assert!(self.model.durable.iter().all(|(commit, payload)| found.get(commit) == Some(payload)));
        self.reopen();
    }

    fn rewrite(&mut self, nth: usize, divisor: u64) {
        let segments = self.log.segments();
        let Some(listing) = segments.get(nth % segments.len().max(1)) else { return };
        // The rewrite syncs first, so what waits becomes durable if it succeeds.
        let mut dropped = Vec::new();
        let mut replaced = Vec::new();
        let result = self.log.rewrite_segment(listing.segment, |pointer, _| match pointer.commit.0 % (divisor + 1) {
            0 => {
                dropped.push(pointer.commit);
                Keep::Drop
            }
            1 => {
                replaced.push(pointer.commit);
                Keep::Replace(payload(pointer.commit.0 + 1, 10))
            }
            _ => Keep::Keep,
        });
        match result {
            Ok(_) => {
                self.model.synced(self.log.durable_commit());
                for commit in dropped {
                    self.model.durable.remove(&commit);
                }
                for commit in replaced {
                    self.model.durable.insert(commit, payload(commit.0 + 1, 10));
                }
            }
            Err(RewriteError::Unchanged { .. }) => self.model.synced(self.log.durable_commit()),
            Err(RewriteError::Interrupted { .. } | RewriteError::Poisoned { .. }) => {
                // Undecided until reopened: then it is all of the old segment or all of the new one.
                assert!(self.log.is_poisoned());
                self.disk.heal();
                let (log, _) = open(&self.disk, SEGMENT_BYTES);
                let found: BTreeMap<_, _> = contents(&log).into_iter().collect();
                let is_new = dropped.iter().all(|commit| !found.contains_key(commit))
                    && replaced.iter().all(|commit| found.get(commit) == Some(&payload(commit.0 + 1, 10)));
                if is_new && !(dropped.is_empty() && replaced.is_empty()) {
                    self.model.synced(CommitNumber(log.next_commit().0 - 1));
                    for commit in dropped {
                        self.model.durable.remove(&commit);
                    }
                    for commit in replaced {
                        self.model.durable.insert(commit, payload(commit.0 + 1, 10));
                    }
                }
                self.model.reopened(&log);
                self.log = log;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_synced_frames_survive_every_crash(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.run(step);
        }
        world.run(&Step::Crash { mode: CrashMode::DropUnsynced, seed: 0 });
        world.run(&Step::Append { bytes: 10 });
        world.run(&Step::Sync);
        world.run(&Step::Reopen);
    }

    #[test]
    fn prop_any_bytes_in_a_segment_open_or_are_a_typed_error(
        tail in prop::collection::vec(any::<u8>(), 0..400),
        cut in 0..600_usize,
    ) {
        let disk = MemoryDisk::new();
        group(&mut open(&disk, 10_000).0, &[100, 50]);
        let name = segment_file_name(1, 0);
        let mut bytes = disk.contents(&name).unwrap();
        bytes.truncate(cut);
        bytes.extend_from_slice(&tail);
        let disk = MemoryDisk::new();
        disk.restore_file(&name, bytes);
        match PackLog::open(Box::new(disk), config(10_000)) {
            Ok((mut log, _)) => {
                log.append(FrameKind::Pack, b"works").unwrap();
                log.sync().unwrap();
            }
            Err(error) => prop_assert!(matches!(error, OpenError::HeadersUnreadable { .. }), "{}", error),
        }
    }
}

// ---- torn tails and damage -------------------------------------------------------------------------------------------

#[test]
fn frame_torn_at_any_byte_is_cut_and_all_before_it_stays() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    group(&mut log, &[40, 0, 33]);
    let before = contents(&log);
    let end = usize::try_from(log.segments()[0].durable_bytes).unwrap();
    group(&mut log, &[70]);
    let name = segment_file_name(1, 0);
    let whole = disk.contents(&name).unwrap();
    for length in end..whole.len() {
        let torn = MemoryDisk::new();
        torn.restore_file(&name, whole[..length].to_vec());
        let (mut log, report) = open(&torn, 10_000);
        assert_eq!(contents(&log), before, "torn at {length}");
        assert_eq!(report.tail_cut.map_or(0, |cut| cut.bytes), (length - end) as u64);
        assert_eq!(report.damage, Vec::new());
        assert_eq!(torn.contents(&name).unwrap().len(), end);
        assert_eq!(group(&mut log, &[5])[0].commit, CommitNumber(4));
    }
}

#[test]
fn bit_flip_in_the_middle_keeps_later_frames() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    let first = group(&mut log, &[60]);
    let second = group(&mut log, &[80])[0];
    let later = group(&mut log, &[40, 20]);
    let name = segment_file_name(1, 0);
    let whole = disk.contents(&name).unwrap();
    let start = usize::try_from(second.offset).unwrap();
    for at in start..usize::try_from(later[0].offset).unwrap() {
        let rotten = MemoryDisk::new();
        rotten.restore_file(&name, whole.clone());
        assert!(rotten.flip_bits(&name, at, 1 << (at % 8)));
        let (mut log, report) = open(&rotten, 10_000);
        assert_eq!(report.tail_cut, None, "byte {at}");
        assert_eq!(report.damage.len(), 1);
        let damage = &report.damage[0];
        assert_eq!((damage.offset, damage.bytes), (second.offset, later[0].offset - second.offset));
        assert_eq!(damage.place, DamagePlace::Settled);
        let aside = rotten.contents(damage.aside.as_ref().unwrap()).unwrap();
        assert_eq!(aside, rotten.contents(&name).unwrap()[start..start + aside.len()]);
        for pointer in first.iter().chain(&later) {
            log.read(pointer).unwrap();
        }
        assert!(matches!(log.read(&second), Err(ReadError::Damaged { .. })));
        let damaged = log.scan_from(ScanFrom::Start).unwrap().filter_map(Result::err).collect::<Vec<_>>();
        assert!(matches!(damaged.as_slice(), [ScanError::Damaged(_)]), "{damaged:?}");
        assert_eq!(group(&mut log, &[1])[0].commit, CommitNumber(5), "numbers go on");
        let (_, again) = open(&rotten, 10_000);
        assert_eq!(again.damage.len(), 1, "it stays known");
    }
}

/// A disk put a block where another belongs. It holds a whole frame of a later number: all between would be hidden by it,
/// and what follows it cut off.
#[test]
fn frame_that_was_written_over_an_earlier_one_hides_no_other() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    let frames = group(&mut log, &[40, 40, 10, 20, 40]);
    let name = segment_file_name(1, 0);
    let mut bytes = disk.contents(&name).unwrap();
    let place = |number: usize| usize::try_from(frames[number].offset).unwrap();
    bytes.copy_within(place(4).., place(1));
    disk.restore_file(&name, bytes);
    let (log, report) = open(&disk, 10_000);
    assert_eq!((report.tail_cut, report.damage.len()), (None, 1));
    for number in [0, 2, 3, 4] {
        log.read(&frames[number]).unwrap();
    }
    let read = log.scan_from(ScanFrom::Start).unwrap().filter_map(Result::ok).count();
    assert_eq!(read, 4);
}

#[test]
fn flip_in_the_last_frame_is_cut_but_its_bytes_are_kept_aside() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    group(&mut log, &[60]);
    let last = group(&mut log, &[80])[0];
    assert!(disk.flip_bits(&segment_file_name(1, 0), usize::try_from(last.offset).unwrap() + 50, 4));
    let (_, report) = open(&disk, 10_000);
    let cut = report.tail_cut.unwrap();
    assert_eq!((cut.offset, cut.bytes), (last.offset, 110));
    assert_eq!(disk.contents(&cut.aside.unwrap()).unwrap().len(), 110);
}

#[test]
fn damage_in_an_older_segment_is_never_cut() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 300);
    let pointers = group(&mut log, &[100, 100, 100, 100, 100]);
    let name = segment_file_name(1, 0);
    let length = disk.contents(&name).unwrap().len();
    assert_eq!((pointers[0].segment, pointers[1].segment), (1, 2));
    assert!(disk.flip_bits(&name, SEGMENT_HEADER_BYTES + 60, 1));
    let everything = PackLogConfig { verify_at_open: VerifyAtOpen::Everything, ..config(300) };
    let (log, report) = PackLog::open(Box::new(disk.clone()), everything).unwrap();
    assert_eq!((report.damage.len(), report.damage[0].place), (1, DamagePlace::Settled));
    assert_eq!(report.tail_cut, None);
    assert_eq!(disk.contents(&name).unwrap().len(), length);
    assert_eq!(contents(&log).len(), 4);
}

#[test]
fn lost_header_is_rebuilt_from_the_frames_while_another_segment_has_the_salt() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 300);
    group(&mut log, &[100, 100, 100]);
    let before = contents(&log);
    for at in [3, 70] {
        assert!(disk.flip_bits(&segment_file_name(1, 0), at, 1));
        assert!(disk.flip_bits(&segment_file_name(3, 0), at, 1));
    }
    let (log, report) = open(&disk, 300);
    assert_eq!(contents(&log), before);
    assert_eq!(report.damage.len(), 2);
    let (_, again) = open(&disk, 300);
    assert_eq!(again.damage, Vec::new(), "headers were written again");
}

#[test]
fn log_without_any_readable_header_is_not_opened_and_not_touched() {
    let disk = MemoryDisk::new();
    group(&mut open(&disk, 10_000).0, &[100]);
    let name = segment_file_name(1, 0);
    assert!(disk.flip_bits(&name, 3, 1) && disk.flip_bits(&name, 70, 1));
    let before = disk.contents(&name);
    let error = PackLog::open(Box::new(disk.clone()), config(10_000)).unwrap_err();
    assert!(matches!(error, OpenError::HeadersUnreadable { .. }), "{error}");
    assert_eq!(disk.contents(&name), before);
}

#[test]
fn segment_of_another_log_is_refused() {
    let disk = MemoryDisk::new();
    group(&mut open(&disk, 10_000).0, &[100]);
    let other = MemoryDisk::new();
    let (mut log, _) =
        PackLog::open(Box::new(other.clone()), PackLogConfig { new_log_salt: [1; 16], ..config(200) }).unwrap();
    group(&mut log, &[100, 100]);
    let name = segment_file_name(2, 0);
    disk.restore_file(&name, other.contents(&name).unwrap());
    let error = PackLog::open(Box::new(disk), config(10_000)).unwrap_err();
    assert!(matches!(error, OpenError::ForeignSegment { .. }), "{error}");
}

#[test]
fn frame_hidden_in_a_payload_does_not_come_alive_when_its_envelope_is_damaged() {
    // An attacker who does not know the salt hides a frame in a pack, keyed as for another log.
    let attacker = MemoryDisk::new();
    let (mut log, _) =
        PackLog::open(Box::new(attacker.clone()), PackLogConfig { new_log_salt: [0; 16], ..config(10_000) }).unwrap();
    group(&mut log, &[10, 10, 10, 10]);
    let hidden = attacker.contents(&segment_file_name(1, 0)).unwrap()[SEGMENT_HEADER_BYTES..].to_vec();
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    log.append(FrameKind::Pack, &hidden).unwrap();
    log.sync().unwrap();
    group(&mut log, &[10]);
    assert!(disk.flip_bits(&segment_file_name(1, 0), SEGMENT_HEADER_BYTES + 1, 0x40));
    let (log, report) = open(&disk, 10_000);
    assert_eq!(report.damage.len(), 1);
    assert_eq!(contents(&log), vec![(CommitNumber(2), payload(2, 10))]);
}

// ---- a failing disk --------------------------------------------------------------------------------------------------

#[test]
fn failed_write_or_sync_poisons_and_reopening_recovers() {
    let faults = [DiskOperation::Write, DiskOperation::SyncFile];
    for (operation, error) in faults.into_iter().zip([FaultError::NoSpace, FaultError::Io]) {
        let disk = MemoryDisk::new();
        let (mut log, _) = open(&disk, 10_000);
        let durable = group(&mut log, &[50, 60]);
        log.append(FrameKind::Local, b"lost or not, but never acknowledged").unwrap();
        disk.inject(Fault { target: FaultTarget::Operation(operation), skip: 0, error, span: FaultSpan::Once });
        let failure = log.sync().unwrap_err();
        let SyncError::Disk(source) = &failure else { panic!("{failure}") };
        assert_eq!((source.operation, source.is_full()), (operation, error == FaultError::NoSpace));
        assert!(matches!(log.append(FrameKind::Local, b"x"), Err(AppendError::Poisoned { .. })));
        assert_eq!(log.durable_commit(), CommitNumber(2));
        for pointer in &durable {
            log.read(pointer).unwrap();
        }
        let (mut log, report) = log.reopen().unwrap();
        assert_eq!(report.read_only, None);
        let shown = contents(&log);
        group(&mut log, &[5]);
        // Whatever the reopened log showed survives a power cut, though the first fdatasync of it had failed.
        let after = disk.crash(CrashMode::DropUnsynced, &mut ChaCha8Rng::seed_from_u64(0));
        assert_eq!(contents(&open(&after, 10_000).0)[..shown.len()], shown);
    }
}

#[test]
fn full_disk_leaves_a_log_that_reads() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    let durable = group(&mut log, &[50, 60]);
    disk.inject(Fault {
        target: FaultTarget::AnyChange,
        skip: 0,
        error: FaultError::NoSpace,
        span: FaultSpan::UntilHealed,
    });
    let (mut log, report) = log.reopen().unwrap();
    assert!(report.read_only.unwrap().contains("failed"));
    assert!(log.is_poisoned());
    assert!(log.append(FrameKind::Local, b"x").is_err());
    for pointer in &durable {
        log.read(pointer).unwrap();
    }
    disk.heal();
    let (mut log, report) = log.reopen().unwrap();
    assert_eq!(report.read_only, None);
    assert_eq!(group(&mut log, &[1])[0].commit, CommitNumber(3));
}

#[test]
fn disk_that_fills_up_refuses_and_recovers_when_room_is_made() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 2_000);
    disk.set_capacity(Some(5_000));
    let mut durable = 0;
    let error = loop {
        log.append(FrameKind::Pack, &[7; 300]).map(drop).unwrap_or_default();
        match log.sync() {
            Ok(commit) => durable = commit.0,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, SyncError::Disk(_) | SyncError::Poisoned { .. }), "{error}");
    assert!(durable >= 10);
    assert_eq!(log.stats().free_bytes.map(|free| free < 1_000), Some(true));
    disk.set_capacity(Some(50_000));
    let (mut log, _) = log.reopen().unwrap();
    assert!(contents(&log).len() as u64 >= durable);
    group(&mut log, &[300, 300]);
}

// ---- rewriting -------------------------------------------------------------------------------------------------------

/// Three segments; the last one takes appends.
fn three_segments() -> (MemoryDisk, PackLog) {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 700);
    for _ in 0..4 {
        group(&mut log, &[100, 100, 100]);
    }
    (disk, log)
}

fn erase(log: &mut PackLog, segment: u32, victims: &[u64]) -> Result<(), RewriteError> {
    let keep = |pointer: &FramePointer, _: &_| match pointer.commit.0 {
        commit if victims.contains(&commit) => Keep::Drop,
        _ => Keep::Keep,
    };
    log.rewrite_segment(segment, keep).map(drop)
}

#[test]
fn rewrite_interrupted_anywhere_leaves_old_or_new() {
    for (segment, victims) in [(1, vec![2]), (2, vec![5, 6, 7, 8]), (3, vec![9, 10, 11, 12])] {
        let (_, log) = three_segments();
        let old = contents(&log);
        let mut new = old.clone();
        new.retain(|(commit, _)| !victims.contains(&commit.0));
        let mut outcomes = [0, 0];
        for interrupted_at in 0.. {
            let (disk, mut log) = three_segments();
            disk.inject(Fault {
                target: FaultTarget::AnyChange,
                skip: interrupted_at,
                error: FaultError::Io,
                span: FaultSpan::UntilHealed,
            });
            let is_done = erase(&mut log, segment, &victims).is_ok();
            for mode in CrashMode::ALL {
                let after = disk.crash(mode, &mut ChaCha8Rng::seed_from_u64(interrupted_at));
                let (mut log, report) = open(&after, 700);
                let found = contents(&log);
                assert!(found == old || found == new, "{mode:?} at operation {interrupted_at}: {found:?}");
                assert!(!is_done || found == new, "a finished rewrite was undone");
                // At most the header of the segment that was just being made.
                assert!(report.damage.iter().all(|damage| damage.place == DamagePlace::LastGroup), "{report:?}");
                assert_eq!(report.tail_cut, None);
                let files = after.list().unwrap();
                let of_segment = files.iter().filter(|file| file.name.starts_with(&format!("{segment:08}-"))).count();
                assert!(of_segment <= 1, "{files:?}");
                assert_eq!(group(&mut log, &[1])[0].commit, CommitNumber(13), "a number was used again");
                outcomes[usize::from(found == new)] += 1;
            }
            if is_done {
                break;
            }
        }
        assert!(outcomes[0] > 5 && outcomes[1] > 5, "{outcomes:?}");
    }
}

#[test]
fn erased_bytes_are_in_no_file_of_the_log() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    log.append(FrameKind::Local, b"the farmer's telephone").unwrap();
    log.append(FrameKind::Local, b"stays").unwrap();
    log.sync().unwrap();
    erase(&mut log, 1, &[1]).unwrap();
    for file in disk.list().unwrap() {
        let bytes = disk.contents(&file.name).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"telephone"), "{}", file.name);
    }
    assert_eq!(contents(&log), vec![(CommitNumber(2), b"stays".to_vec())]);
}

#[test]
fn rewrite_drops_damage_but_keeps_a_copy_that_erasure_can_remove() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 10_000);
    group(&mut log, &[100]);
    group(&mut log, &[100]);
    assert!(disk.flip_bits(&segment_file_name(1, 0), SEGMENT_HEADER_BYTES + 30, 1));
    let report = log.rewrite_segment(1, |_, _| Keep::Keep).unwrap();
    assert_eq!((report.gaps, report.kept, report.generation), (1, 1, Some(1)));
    let asides = log.aside_files().unwrap();
    assert_eq!(asides.len(), 1);
    log.remove_aside(&asides[0]).unwrap();
    log.remove_aside(&asides[0]).unwrap();
    log.remove_aside("00000001-0001.seg").unwrap();
    assert_eq!(log.aside_files().unwrap(), Vec::<String>::new());
    assert_eq!(contents(&log).len(), 1);
}

#[test]
fn rewrite_that_keeps_everything_changes_nothing() {
    let (disk, mut log) = three_segments();
    let before = (disk.list().unwrap(), log.segments());
    let report = log.rewrite_segment(1, |_, _| Keep::Keep).unwrap();
    assert_eq!((report.generation, report.bytes_after), (Some(0), report.bytes_before));
    assert_eq!((disk.list().unwrap(), log.segments()), before);
}

#[test]
fn rewrite_that_fails_early_leaves_a_working_log() {
    let (disk, mut log) = three_segments();
    let before = contents(&log);
    disk.set_capacity(Some(2_200));
    assert!(matches!(erase(&mut log, 1, &[1]), Err(RewriteError::Unchanged { .. })));
    disk.set_capacity(None);
    assert_eq!(contents(&log), before);
    let too_large = |_: &FramePointer, _: &_| Keep::Replace(vec![0; (1 << 20) + 1]);
    assert!(matches!(log.rewrite_segment(1, too_large), Err(RewriteError::PayloadTooLarge { .. })));
    assert!(matches!(log.rewrite_segment(99, |_, _| Keep::Keep), Err(RewriteError::NoSegment { segment: 99 })));
    group(&mut log, &[10]);
    erase(&mut log, 1, &[1]).unwrap();
    assert_eq!(contents(&open(&disk, 700).0).len(), before.len());
}

#[test]
fn lower_generation_left_by_a_crash_is_removed_before_serving() {
    let (disk, mut log) = three_segments();
    let old = disk.contents(&segment_file_name(1, 0)).unwrap();
    erase(&mut log, 1, &[2]).unwrap();
    let new = contents(&log);
    disk.restore_file(&segment_file_name(1, 0), old);
    disk.restore_file("00000002-0007.tmp", b"unfinished".to_vec());
    let (log, report) = open(&disk, 700);
    assert_eq!(report.removed, vec!["00000001-0000.seg".to_owned(), "00000002-0007.tmp".to_owned()]);
    assert_eq!(contents(&log), new);
}

// ---- pointers and limits ---------------------------------------------------------------------------------------------

#[test]
fn pointer_of_another_history_is_told_from_a_moved_one() {
    let (disk, mut log) = three_segments();
    let pointers: Vec<FramePointer> = log.scan_from(ScanFrom::Start).unwrap().map(|item| item.unwrap().0).collect();
    let wrong_hash = FramePointer { hash: pointers[1].hash, ..pointers[0] };
    assert!(matches!(log.read(&wrong_hash), Err(ReadError::NotInLog { .. })));
    let beyond = FramePointer { offset: 1 << 40, ..pointers[0] };
    assert!(matches!(log.read(&beyond), Err(ReadError::NotInLog { .. })));
    let other_segment = FramePointer { segment: 77, ..pointers[0] };
    assert!(matches!(log.read(&other_segment), Err(ReadError::NotInLog { .. })));
    let inside = FramePointer { offset: pointers[0].offset + 1, ..pointers[0] };
    assert!(matches!(log.read(&inside), Err(ReadError::Damaged { .. })));
    erase(&mut log, 1, &[1, 2, 3, 4]).unwrap();
    assert!(matches!(log.read(&pointers[0]), Err(ReadError::Moved { segment: 1, generation: 0 })));
    assert!(matches!(log.scan_from(ScanFrom::After(pointers[0])), Err(ReadError::Moved { .. })));
    let (log, _) = open(&disk, 700);
    assert!(matches!(log.read(&pointers[0]), Err(ReadError::Moved { .. })), "also when the whole segment is gone");
    let rest: Vec<u64> =
        log.scan_from(ScanFrom::Commit(CommitNumber(2))).unwrap().map(|item| item.unwrap().1.commit.0).collect();
    assert_eq!(rest, (5..=12).collect::<Vec<_>>());
}

#[test]
fn payload_over_the_limit_is_refused_and_the_largest_fits() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 1_000);
    let refused = log.append(FrameKind::Pack, &vec![0; (1 << 20) + 1]);
    assert!(matches!(refused, Err(AppendError::PayloadTooLarge { have }) if have == (1 << 20) + 1));
    assert!(matches!(log.append(FrameKind::Unknown(99), b""), Err(AppendError::UnknownKind { .. })));
    group(&mut log, &[1 << 20, 1, 1 << 20]);
    assert_eq!(log.stats().segments, 3, "a large frame has a segment of its own");
    assert_eq!(contents(&open(&disk, 1_000).0).len(), 3);
}

#[test]
fn group_of_many_frames_costs_one_write_and_one_sync() {
    let disk = MemoryDisk::new();
    let (mut log, _) = open(&disk, 1 << 20);
    let before = disk.changes();
    group(&mut log, &[300; 200]);
    assert_eq!(disk.changes() - before, 2);
}

#[test]
fn same_operations_give_the_same_bytes() {
    let run = || {
        let (disk, mut log) = three_segments();
        erase(&mut log, 2, &[6]).unwrap();
        let crashed = disk.crash(CrashMode::RandomSectors, &mut ChaCha8Rng::seed_from_u64(3));
        crashed.list().unwrap().iter().map(|file| crashed.contents(&file.name).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
