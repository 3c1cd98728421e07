//! A replica on a log whose frames hold anything: rightly framed payloads that nobody meant.
//!
//! So a store that a later version wrote into, or a mistake of ours, is opened: never a panic. What opens answers every
//! question, goes on working, and says the same after its index was thrown away.

use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{CrashMode, Disk, MemoryDisk};
use qianmo_replica::frames::{DraftFrame, LocalFrame, MetaFrame, PackFrame, PackOrigin, VerdictFrame};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::pack_log::{Frame, FrameKind, PackLog, PackLogConfig, ScanFrom};
use qianmo_replica::replica::{RecordFilter, Replica};
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

use super::reads_back;
use super::script::{Script, piece};
use super::session::{honest_store, with_world};
use crate::world::NOW;

const FRAMES_MAX: usize = 64;

/// An even first byte: frames into a store. An odd one: one payload.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 8 {
        1 => drop(reads_back::<DraftFrame>(bytes)),
        3 => {
            if let Ok(frame) = LocalFrame::decode(bytes) {
                assert_eq!(frame.encode(), bytes);
            }
        }
        5 => {
            drop(reads_back::<PackFrame>(bytes));
            drop(reads_back::<VerdictFrame>(bytes));
        }
        7 => drop(reads_back::<MetaFrame>(bytes)),
        _ => opened(Script::new(bytes)),
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(5)
}

fn opened(mut script: Script<'_>) {
    let (disk, identity) = honest_store();
    let frames = frames_of(&disk);
    let disk = MemoryDisk::new();
    let boxed: Box<dyn Disk> = Box::new(disk.clone());
    let (mut log, _) = PackLog::open(boxed, PackLogConfig::new([1; 16])).unwrap();
    for frame in altered(frames, &mut script) {
        if frame.kind.is_known() {
            log.append(frame.kind, &frame.payload).unwrap();
        }
    }
    log.sync().unwrap();
    drop(log);
    let open = |disk: &MemoryDisk| {
        let boxed: Box<dyn Disk> = Box::new(disk.clone());
        Replica::open(boxed, Box::new(MemoryIndex::default()), identity.clone(), &mut rng())
    };
    let mut replica = match open(&disk) {
        Ok((replica, _)) => replica,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let is_well = asked(&mut replica);
    let again = disk.crash(CrashMode::DropUnsynced, &mut rng());
    match open(&again) {
        Ok((again, _)) if is_well => assert_eq!(replica.state_digests(), again.state_digests()),
        Ok(_) => {}
        Err(error) => panic!("opened once, and not again: {error:?}"),
    }
}

fn frames_of(disk: &MemoryDisk) -> Vec<Frame> {
    let boxed: Box<dyn Disk> = Box::new(disk.clone());
    let (log, _) = PackLog::open(boxed, PackLogConfig::new([1; 16])).unwrap();
    log.scan_from(ScanFrom::Start).unwrap().map(|frame| frame.unwrap().1).collect()
}

fn altered(honest: Vec<Frame>, script: &mut Script<'_>) -> Vec<Frame> {
    let mut frames = honest.clone();
    while !script.is_over() {
        let at = script.below(frames.len().max(1)).min(frames.len());
        match script.below(8) {
            0 | 1 => {
                if let Some(byte) = frames.get_mut(at).and_then(|frame| {
                    let offset = usize::from(script.u16()) % frame.payload.len().max(1);
                    frame.payload.get_mut(offset)
                }) {
                    *byte = script.byte();
                }
            }
            2 if at < frames.len() => drop(frames.remove(at)),
            3 if frames.len() < FRAMES_MAX => frames.insert(at, script.pick(&honest).clone()),
            4 => {
                let other = script.below(frames.len().max(1));
                if at < frames.len() && other < frames.len() {
                    frames.swap(at, other);
                }
            }
            5 => {
                let kind = FrameKind::from_byte(script.byte() % 8 + 1).unwrap();
                if let Some(frame) = frames.get_mut(at) {
                    frame.kind = kind;
                }
            }
            6 if frames.len() < FRAMES_MAX => {
                let kind = FrameKind::from_byte(script.byte() % 8 + 1).unwrap();
                let commit = honest[0].commit;
                frames.insert(at, Frame { kind, commit, payload: script.bytes().to_vec() });
            }
            _ => {
                if let Some(frame) = frames.get_mut(at) {
                    frame.payload.truncate(usize::from(script.u16()) % (frame.payload.len() + 1));
                }
            }
        }
    }
    frames
}

/// Every question an app asks; an error is an answer. True if all were answered.
fn asked(replica: &mut Replica) -> bool {
    let mut is_well = replica.unreceipted().is_ok() & replica.outbox().is_ok() & replica.drafts().is_ok();
    let page = replica.records(&RecordFilter::default(), None, 50);
    is_well &= page.is_ok();
    for row in page.map(|page| page.rows).unwrap_or_default() {
        let detail = replica.record(&row.id);
        is_well &= detail.is_ok() & replica.reviews(&row.id).is_ok() & replica.delivery(&row.id).is_ok();
    }
    is_well &= replica.judge().is_ok();
    is_well &= replica.seal(UnixMillis(NOW.0 + 1), 3, &mut rng()).is_ok();
    is_well & replica.sync().is_ok()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let (disk, _) = honest_store();
    let frames = frames_of(&disk);
    let mut seeds = vec![vec![0]];
    for frame in &frames {
        let kind = match frame.kind {
            FrameKind::Draft => 1,
            FrameKind::Local => 3,
            FrameKind::Pack | FrameKind::Verdict => 5,
            FrameKind::Meta => 7,
            FrameKind::Control | FrameKind::Receipt | FrameKind::Blob | FrameKind::Unknown(_) => continue,
        };
        seeds.push([&[kind], frame.payload.as_slice()].concat());
    }
    for number in 0..u8::try_from(frames.len().min(40)).unwrap() {
        for how in 0..8 {
            seeds.push([&[0, number, how, 0, number, 3], piece(b"other").as_slice()].concat());
        }
    }
    let own = with_world(|world| PackFrame {
        origin: PackOrigin::Own { supersedes: vec![1, 2] },
        pack: world.packs[0].clone(),
    });
    seeds.push([&[5], own.encode().as_slice()].concat());
    seeds
}
