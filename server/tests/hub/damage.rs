//! Damage of stores and backups: `verify` finds all of it, and nothing where there is none.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qianmo_protocol::control::Role as GrantRole;
use qianmo_protocol::review::ReviewKind;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::ErasureReach;
use qianmo_server::admin::{Folder, PurgeOrder, Unsaved, VerifyReport, backup, open, purge, verify};
use qianmo_server::hub::{ClockCheck, HubLimits, Kept};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

use crate::world::World;

/// Damages of each kind of folder.
const ROUNDS: usize = 600;

/// A store that has seen everything: several devices, edits, reviews, a revocation, two erasures and what came after them.
fn store(dir: &Path) -> World {
    let mut world = World::of_folder(dir, 91);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let mut visits = Vec::new();
    for round in 0..4 {
        visits.push(world.file(&mut tablet_a, &format!("甲第{round}次")));
        visits.push(world.file(&mut tablet_b, &format!("乙第{round}次")));
        world.meet(&mut tablet_a);
        world.meet(&mut tablet_b);
    }
    world.edit(&mut tablet_b, visits[0], "advice", "补一遍白");
    world.review(&mut tablet_b, visits[0], ReviewKind::Comment);
    world.meet(&mut tablet_b);
    for doc in [visits[2], visits[5]] {
        let now = world.now();
        let order = PurgeOrder { doc, reach: ErasureReach::Record, reason: 2, unsaved: Unsaved::Erase };
        purge(&mut world.core, now, &order).unwrap();
        assert!(matches!(world.core.keep_house().unwrap(), Kept::Rewritten(_)));
        world.file(&mut tablet_a, "抹除之后写的");
        world.meet(&mut tablet_a);
    }
    let now = world.now();
    world.core.revoke(now, &tablet_b.device(), 2).unwrap();
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.set_watermark(now, world.core.replica().durable_commit().0).unwrap();
    world.save(dir);
    world
}

/// A backup of it, in two runs.
fn backed_up(dir: &Path, to: &Path, now: i64) {
    let folder = Folder::new(dir);
    let rng = StdRng::seed_from_u64(2);
    let mut hub = open(&folder, HubLimits::default(), ClockCheck::Strict, UnixMillis(now), rng).unwrap();
    backup(&mut hub.core, &folder, to, None, UnixMillis(now + 1)).unwrap();
    let device = hub.core.replica().device();
    hub.core.confirm(UnixMillis(now + 2), &device).unwrap();
    backup(&mut hub.core, &folder, to, None, UnixMillis(now + 3)).unwrap();
    let end = hub.core.replica().durable_commit().0;
    hub.core.close().unwrap();
    folder.note_log_end(end).unwrap();
}

/// What of a folder counts.
fn files_of(dir: &Path, subs: &[&str]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for sub in subs {
        let path = dir.join(sub);
        if path.is_file() {
            files.push(path);
            continue;
        }
        for entry in std::fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            // The lock holds nothing; the certificate's key can be any, it is signed anew at every start; five bits of an
            // X25519 key mean nothing.
            let name = path.file_name().unwrap().to_str().unwrap();
            if !["LOCK", "server-tls.key", "bundle.key"].contains(&name) {
                files.push(path);
            }
        }
    }
    files.sort_unstable();
    files
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Harm {
    Bit,
    Stretch,
    Cut,
    Removed,
    Swapped,
    Replaced,
}

const HARMS: [Harm; 6] = [Harm::Bit, Harm::Stretch, Harm::Cut, Harm::Removed, Harm::Swapped, Harm::Replaced];

/// Does harm, and gives what undoes it. `None` when nothing would be changed by it.
fn harm(files: &[PathBuf], harm: Harm, rng: &mut StdRng) -> Option<Vec<(PathBuf, Vec<u8>)>> {
    let pick = |rng: &mut StdRng| files[rng.random_range(0..files.len())].clone();
    let one = pick(rng);
    let sound = std::fs::read(&one).unwrap();
    let at = rng.random_range(0..sound.len());
    let mut undo = vec![(one.clone(), sound.clone())];
    match harm {
        Harm::Bit => {
            let mut spoilt = sound;
            spoilt[at] ^= 1 << rng.random_range(0..8);
            std::fs::write(&one, spoilt).unwrap();
        }
        Harm::Stretch => {
            let mut spoilt = sound.clone();
            let end = (at + rng.random_range(1..600)).min(spoilt.len());
            spoilt[at..end].fill(0);
            if spoilt == sound {
                return None;
            }
            std::fs::write(&one, spoilt).unwrap();
        }
        Harm::Cut => std::fs::write(&one, &sound[..at]).unwrap(),
        Harm::Removed => std::fs::remove_file(&one).unwrap(),
        Harm::Swapped | Harm::Replaced => {
            let other = pick(rng);
            let content = std::fs::read(&other).unwrap();
            if content == sound {
                return None;
            }
            std::fs::write(&one, &content).unwrap();
            if harm == Harm::Swapped {
                std::fs::write(&other, &sound).unwrap();
                undo.push((other, content));
            }
        }
    }
    Some(undo)
}

/// Harms a folder again and again; answers how often each kind was done.
fn every_harm_is_found(dir: &Path, files: &[PathBuf], seed: u64) -> BTreeMap<String, usize> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut done = BTreeMap::new();
    for round in 0..ROUNDS {
        let kind = HARMS[round % HARMS.len()];
        let Some(undo) = harm(files, kind, &mut rng) else { continue };
        let found = verify(dir);
        let is_found = found.as_ref().map_or(true, |report| !report.is_sound());
        assert!(is_found, "seed {seed} round {round}: {kind:?} of {:?} is not found: {found:?}", undo[0].0);
        *done.entry(format!("{kind:?}").to_lowercase()).or_default() += 1;
        for (path, sound) in undo {
            std::fs::write(path, sound).unwrap();
        }
    }
    assert_sound(dir);
    done
}

#[expect(clippy::print_stdout, reason = "the figures that docs/reliability.md shows")]
fn say(what: &str, seed: u64, files: &[PathBuf], harmed: &BTreeMap<String, usize>) {
    let total: usize = harmed.values().sum();
    let head = std::process::Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    let commit = head.map(|head| String::from_utf8_lossy(&head.stdout).trim().to_owned()).unwrap_or_default();
    let line = serde_json::json!({
        "verify": what, "seed": seed, "commit": commit, "files": files.len(), "damages": total, "found": total, "by_kind": harmed,
    });
    println!("{line}");
}

fn assert_sound(dir: &Path) -> VerifyReport {
    let report = verify(dir).unwrap();
    assert!(report.is_sound(), "{report:#?}");
    report
}

#[test]
fn store_with_gaps_by_erasure_verifies_and_every_damage_of_it_is_found() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("hub");
    store(&dir);
    let report = assert_sound(&dir);
    assert!(report.erased_entries >= 4, "{report:?}");
    assert!(report.segments >= 2 && report.packs >= 10 && report.watermark > 0, "{report:?}");
    let bundle = dir.join("keys/bundle.key");
    let sound = std::fs::read(&bundle).unwrap();
    for at in (0..sound.len()).filter(|at| ![16, 47].contains(at)) {
        let mut spoilt = sound.clone();
        spoilt[at] ^= 8;
        std::fs::write(&bundle, spoilt).unwrap();
        assert!(!verify(&dir).unwrap().is_sound(), "byte {at} of the bundle key");
    }
    std::fs::write(&bundle, sound).unwrap();
    let files = files_of(&dir, &["log", "keys", "log-end.json"]);
    let done = every_harm_is_found(&dir, &files, 5);
    say("store", 5, &files, &done);
}

#[test]
fn every_damage_of_a_backup_is_found() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, to) = (parent.path().join("hub"), parent.path().join("backup"));
    let now = store(&dir).now().0;
    backed_up(&dir, &to, now);
    assert_sound(&dir);
    let files = files_of(&to, &["log", "small", "manifest.json"]);
    let done = every_harm_is_found(&to, &files, 6);
    say("backup", 6, &files, &done);
}

#[test]
fn log_that_ends_early_is_found_wherever_it_is_cut() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("hub");
    store(&dir);
    for path in files_of(&dir, &["log"]) {
        let sound = std::fs::read(&path).unwrap();
        // A frame begins with its length, so every frame's end is met.
        let mut ends = vec![128];
        while let Some(head) = sound.get(ends[ends.len() - 1]..).and_then(|rest| rest.first_chunk::<4>()) {
            ends.push(ends[ends.len() - 1] + 30 + usize::try_from(u32::from_le_bytes(*head)).unwrap());
        }
        assert_eq!(ends.pop(), Some(sound.len()));
        for end in ends {
            std::fs::write(&path, &sound[..end]).unwrap();
            assert!(!verify(&dir).unwrap().is_sound(), "{} cut to {end} of {}", path.display(), sound.len());
        }
        std::fs::write(&path, &sound).unwrap();
    }
    assert_sound(&dir);
}

#[test]
fn store_whose_end_is_gone_goes_on_in_a_new_epoch() {
    let parent = tempfile::tempdir().unwrap();
    let (dir, old) = (parent.path().join("hub"), parent.path().join("old"));
    let mut world = World::of_folder(&dir, 92);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    world.file(&mut tablet, "早先的");
    world.meet(&mut tablet);
    world.save(&dir);
    let early = world.core.replica().durable_commit().0;
    // Somebody keeps a copy of the log and later puts it in the place of the newer one.
    std::fs::create_dir(&old).unwrap();
    for path in files_of(&dir, &["log"]) {
        std::fs::copy(&path, old.join(path.file_name().unwrap())).unwrap();
    }
    world.file(&mut tablet, "后来的");
    world.meet(&mut tablet);
    world.save(&dir);
    for path in files_of(&dir, &["log"]) {
        std::fs::remove_file(path).unwrap();
    }
    for path in files_of(&old, &["."]) {
        std::fs::copy(&path, dir.join("log").join(path.file_name().unwrap())).unwrap();
    }
    let report = verify(&dir).unwrap();
    assert!(report.faults.iter().any(|fault| fault.contains("its end is gone")), "{report:?}");
    let started = |seed| {
        let rng = StdRng::seed_from_u64(seed);
        open(&Folder::new(&dir), HubLimits::default(), ClockCheck::Strict, UnixMillis(world.clock), rng).unwrap().core
    };
    let core = started(1);
    let epoch = core.epoch();
    assert_ne!(epoch, world.core.epoch());
    let fold = core.replica().control().fold();
    assert!(fold.is_epoch_ancestor(&world.core.epoch(), &epoch));
    assert_eq!(core.opened_commit(), early);
    core.close().unwrap();
    // Once is enough.
    let again = started(2);
    assert_eq!(again.epoch(), epoch);
    again.close().unwrap();
    assert_sound(&dir);
}
