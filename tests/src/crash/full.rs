//! Full and failing disks: nothing confirmed is lost, what happened is said in words, and it works again afterwards.
//!
//! A small file system of its own is filled up under a tablet and under a hub that run. And over a real folder every
//! operation of a short run fails once, or from then on, with "no room" and with an input/output error; a failed sync counts
//! as a crash, because Linux forgets what it could not write.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::Role as GrantRole;
use qianmo_replica::disk::{Disk, Fault, FaultError, FaultSpan, FaultTarget};
use qianmo_replica::frames::DraftId;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::power::{in_folder, read_all, write_image};
use super::process::{self, Hub, Speaker, look_at_hub};
use super::promises::{Deed, Line, Promises, text};
use super::store::{self, PERSON};
use super::watched_disk::{Watch, WatchedDisk};
use super::{complain, index_state::IndexState, scratch};
use crate::bench::{bar, commit};
use crate::world::{DiskMaker, Storage, World};

/// Bytes of the small file system of a tablet.
const TABLET_DISK: &str = "24m";
/// Likewise of a hub, which keeps a reserve.
const HUB_DISK: &str = "128m";
/// The smallest reserve a hub takes.
const HUB_RESERVE: &str = "67108864";
/// Deeds of a tablet until its disk is full, at most.
const DEEDS: &str = "4000";
/// How long a hub may take to notice.
const NOTICE_WITHIN: Duration = Duration::from_secs(20);
/// Characters of a content that a form just takes.
const CONTENT_CHARS: usize = 4_900;
/// How often a sync of a machine that is busy is tried again.
const SYNC_TRIES: usize = 10;
/// Operations of the short run, at most.
const OPERATIONS_MAX: u64 = 400;

/// How much.
#[derive(Debug, Clone, Parser)]
pub struct FullOrder {
    /// All choices follow from it.
    #[arg(long, default_value_t = 20_260_504)]
    pub seed: u64,
    /// Only every so many-th operation fails; 1 for every one.
    #[arg(long, default_value_t = 1)]
    pub every: u64,
}

#[derive(Debug, Default)]
struct Score {
    faults: usize,
    disks_filled: usize,
    skipped: Vec<&'static str>,
    kept: u64,
    errors: BTreeMap<String, usize>,
    lost: Vec<String>,
    unclear: Vec<String>,
    unopenable: Vec<String>,
}

/// Fills and fails disks; answers the JSON line and whether nothing was found.
///
/// # Errors
/// The harness itself fails.
pub fn run(order: &FullOrder) -> anyhow::Result<(Value, bool)> {
    // At the end another one may be checked out.
    let (start, commit) = (Instant::now(), commit());
    let mut score = Score::default();
    fail_every_operation(order, &mut score)?;
    match SmallDisk::mount(TABLET_DISK)? {
        Some(disk) => fill_tablet(order, &disk, &mut score)?,
        None => score.skipped.push("a tablet's full disk: a small file system can only be mounted by root"),
    }
    match SmallDisk::mount(HUB_DISK)? {
        Some(disk) => fill_hub(order, &disk, &mut score)?,
        None => score.skipped.push("a hub's full disk: a small file system can only be mounted by root"),
    }
    for found in score.lost.iter().chain(&score.unclear).chain(&score.unopenable) {
        complain(found);
    }
    let is_clean = score.lost.is_empty() && score.unclear.is_empty() && score.unopenable.is_empty();
    if !is_clean {
        let FullOrder { seed, every } = order;
        complain(&format!(
            "again: cargo run --release -p qianmo-tests --bin crash -- full --seed {seed} --every {every}"
        ));
    }
    let line = json!({
        "figure": "crash full", "commit": commit, "seed": order.seed, "failed_operations": score.faults,
        "disks_filled": score.disks_filled, "skipped": score.skipped, "acknowledged": score.kept,
        "errors": score.errors, "lost": score.lost.len(), "unclear": score.unclear.len(),
        "unopenable": score.unopenable.len(), "seconds": start.elapsed().as_secs_f64().round(),
    });
    Ok((line, is_clean))
}

// ---- every operation fails -------------------------------------------------------------------------------------------

fn fail_every_operation(order: &FullOrder, score: &mut Score) -> anyhow::Result<()> {
    let whole = short_run(order.seed, None)?;
    ensure!(whole.error.is_none() && whole.operations < OPERATIONS_MAX, "the short run: {:?}", whole.error);
    let bar = bar(usize::try_from(whole.operations)? * 4, "failing disks");
    for skip in (0..whole.operations).step_by(usize::try_from(order.every.max(1))?) {
        for error in [FaultError::NoSpace, FaultError::Io] {
            for span in [FaultSpan::Once, FaultSpan::UntilHealed] {
                let fault = Fault { target: FaultTarget::AnyChange, skip, error, span };
                let ran = short_run(order.seed.wrapping_add(skip), Some(fault))?;
                check_short_run(&ran, &format!("{fault:?}"), score);
                score.faults += 1;
                bar.inc(1);
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// A tablet's store that saved until its disk failed.
struct ShortRun {
    folder: tempfile::TempDir,
    identity: qianmo_replica::replica::Identity,
    watch: Watch,
    promises: Promises,
    operations: u64,
    error: Option<String>,
}

fn short_run(seed: u64, fault: Option<Fault>) -> anyhow::Result<ShortRun> {
    let folder = scratch("full")?;
    let watches: Arc<Mutex<Vec<Watch>>> = Arc::default();
    let made = Arc::clone(&watches);
    let maker: DiskMaker = Arc::new(move |_: &str, log: &Path| {
        let watch = Watch::new(seed, 0);
        made.lock().unwrap().push(watch.clone());
        Box::new(WatchedDisk::open(log, watch).unwrap()) as Box<dyn Disk>
    });
    let mut world = World::with_storage(seed, Storage::Over(folder.path().to_owned(), maker));
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let watch = watches.lock().unwrap().last().cloned().context("no disk")?;
    let before = watch.operations();
    if let Some(fault) = fault {
        watch.inject(fault);
    }
    let mut promises = Promises::default();
    let identity = tablet.identity(&world);
    let mut error = None;
    let mut docs = Vec::new();
    for number in 0..18_u32 {
        let marker = format!("t1m{}", number / 3);
        let (deed, done) = match number % 6 {
            0 | 3 => {
                let deed = Deed::New(marker.clone());
                promises.hear("t1", &Line::Try(deed.clone()));
                let fields = [("content", 0), ("advice", 0)];
                let fields = fields.map(|(name, version)| (name.to_owned(), Scalar::Text(text(&marker, version))));
                docs.push(tablet.file_fields(&mut world, &BTreeMap::from(fields)));
                (Some(deed), tablet.replica.sync().map(drop))
            }
            1 => {
                let deed = Deed::Edit(marker.clone(), 1);
                promises.hear("t1", &Line::Try(deed.clone()));
                let fields = BTreeMap::from([("advice".to_owned(), Scalar::Text(text(&marker, 1)))]);
                let doc = *docs.last().context("no record")?;
                tablet.edit_fields(&mut world, doc, &fields);
                (Some(deed), tablet.replica.sync().map(drop))
            }
            2 => {
                let now = world.now();
                let sealed = tablet.replica.seal(now, 3, &mut world.rng).map(drop);
                (None, sealed.and_then(|()| tablet.replica.sync().map(drop)))
            }
            4 => {
                let deed = Deed::Draft("t1d1".to_owned(), number);
                promises.hear("t1", &Line::Try(deed.clone()));
                let kept = tablet.replica.put_draft(DraftId(*b"t1d1\0\0\0\0"), Some(text("t1d1", number).into_bytes()));
                (Some(deed), kept.and_then(|()| tablet.replica.sync().map(drop)))
            }
            _ => (None, tablet.replica.rewrite().map(drop).and_then(|()| tablet.replica.sync().map(drop))),
        };
        match done {
            Ok(()) => deed.into_iter().for_each(|deed| promises.hear("t1", &Line::Did(deed))),
            Err(failed) => {
                error = Some(chain(&failed));
                break;
            }
        }
    }
    let operations = watch.operations() - before;
    drop(tablet);
    Ok(ShortRun { folder, identity, watch, promises, operations, error })
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        words.push_str(": ");
        words.push_str(&source.to_string());
        cause = source.source();
    }
    words
}

/// The store as it is, and what a power cut right after the failure leaves of it.
fn check_short_run(ran: &ShortRun, what: &str, score: &mut Score) {
    score.kept += ran.promises.kept();
    if let Some(words) = &ran.error {
        *score.errors.entry(words.chars().take(80).collect()).or_default() += 1;
        if !words.contains("failed") {
            score.unclear.push(format!("{what}: {words}"));
        }
    }
    ran.watch.heal();
    let mut rng = ChaCha20Rng::seed_from_u64(ran.operations);
    let image = ran.watch.image();
    let cut = ran.folder.path().join("cut");
    let live = ran.folder.path().join("tablet1");
    let written = write_image(&cut, &image, IndexState::Absent, &mut rng);
    let folders = [(cut, Watch::over(image.files, 0, 0)), (live, ran.watch.clone())];
    if let Err(error) = written {
        score.unopenable.push(format!("{what}: {error:#}"));
    }
    for (folder, watch) in folders {
        let found = WatchedDisk::open(folder.join("log"), watch)
            .map_err(anyhow::Error::from)
            .and_then(|disk| in_folder(Box::new(disk), &folder, ran.identity.clone(), &mut rng))
            .and_then(|(mut replica, report)| read_all(&mut replica, &report));
        match found {
            Ok(found) => {
                let broken = ran.promises.clone().check_tablet("t1", &found);
                score
                    .lost
                    .extend(broken.lost.into_iter().chain(broken.invented).map(|found| format!("{what}: {found}")));
            }
            Err(error) => score.unopenable.push(format!("{what}, {}: {error:#}", folder.display())),
        }
    }
}

// ---- a file system that fills up -------------------------------------------------------------------------------------

/// A small file system of its own.
struct SmallDisk {
    at: tempfile::TempDir,
}

impl SmallDisk {
    /// `None` when this user may mount nothing.
    fn mount(size: &str) -> anyhow::Result<Option<Self>> {
        let at = scratch("disk")?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(at.path());
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        Ok(is_mounted.then_some(Self { at }))
    }

    fn path(&self) -> &Path {
        self.at.path()
    }

    /// Takes all room but this.
    fn fill(&self, but: u64) -> anyhow::Result<PathBuf> {
        let ballast = self.path().join("ballast");
        let mut file = std::fs::File::create(&ballast)?;
        let piece = vec![0x5a; 64 * 1024];
        while std::io::Write::write_all(&mut file, &piece).is_ok() {}
        let length = file.metadata()?.len().saturating_sub(but);
        file.set_len(length)?;
        Ok(ballast)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // What cannot be unmounted is left to whoever runs this.
        Command::new("umount").arg(self.path()).status().map(drop).unwrap_or_default();
    }
}

fn hear(promises: &mut Promises, lines: &[String]) {
    for (store, line) in lines.iter().filter_map(|line| Line::parse(line)) {
        promises.hear(&store, &line);
    }
}

fn store_command(order: &FullOrder, data: &Path, mix: &str, ticket: Option<&str>) -> anyhow::Result<Command> {
    let mut command = process::command("store")?;
    command.args(["--name", "t1", "--seed", &order.seed.to_string(), "--mix", mix, "--deeds", DEEDS, "--data"]);
    command.arg(data).args(ticket.iter().flat_map(|ticket| ["--ticket", ticket]));
    Ok(command)
}

/// A tablet saves until there is no room, is opened while there is none, and goes on when there is again.
fn fill_tablet(order: &FullOrder, disk: &SmallDisk, score: &mut Score) -> anyhow::Result<()> {
    let elsewhere = scratch("full")?;
    let mut hub = Hub::init(elsewhere.path())?;
    hub.serve()?;
    let ticket = hub.ticket(PERSON)?;
    let (data, errors) = (disk.path().join("tablet"), elsewhere.path().join("t1.log"));
    let mut promises = Promises::default();
    let enrolling = Speaker::start(&mut store_command(order, &data, "enrol", Some(&ticket))?, &errors)?;
    hear(&mut promises, &enrolling.run_for(process::DEADLINE).0);
    drop(enrolling.kill()?);
    let ballast = disk.fill(1_500_000)?;
    let saving = Speaker::start(&mut store_command(order, &data, "offline", None)?, &errors)?;
    let (said, has_ended) = saving.run_for(process::DEADLINE);
    hear(&mut promises, &said);
    let (rest, code) = saving.kill()?;
    hear(&mut promises, &rest);
    let words = process::tail(&errors, 400);
    ensure!(has_ended && code != Some(0), "the disk did not become full: {code:?} {words}");
    if !words.to_lowercase().contains("no space left") {
        score.unclear.push(format!("a tablet whose disk is full says: {words}"));
    }
    // What a person is told, in both languages, and that reading goes on. An index that is thrown away makes room: without
    // one there is none.
    std::fs::remove_dir_all(data.join("index"))?;
    let ballast_of_all = disk.fill(0)?;
    ensure!(ballast_of_all == ballast, "two ballasts");
    for (lang, word) in [("en", "full"), ("zh", "满")] {
        let mut typed = process::command("tablet")?;
        typed.args([
            "new",
            "visit",
            "--lang",
            lang,
            "--set",
            "activity_date=2025-06-18",
            "--set",
            "service_mode=onsite",
        ]);
        typed.args(["--set", "target_name=样例农户", "--set", "town_code=110117105", "--set"]);
        let content = format!("content={}", incompressible(CONTENT_CHARS));
        let ran = process::ran(typed.arg(content).arg("--data").arg(&data))?;
        if ran.code == Some(0) || !ran.err.contains(word) || ran.err.contains("panicked") {
            score.unclear.push(format!("a person whose disk is full is told: {ran:?}"));
        }
    }
    let listed = process::ran(process::command("tablet")?.args(["list", "--json", "--data"]).arg(&data))?;
    if listed.code != Some(0) {
        score.unopenable.push(format!("a tablet whose disk is full does not list its records: {listed:?}"));
    }
    std::fs::remove_file(ballast)?;
    check_tablet(&data, &mut promises, score);
    let more = Speaker::start(&mut store_command(order, &data, "sync", None)?, &errors)?;
    let (said, has_ended) = more.run_for(Duration::from_secs(2));
    hear(&mut promises, &said);
    hear(&mut promises, &more.kill()?.0);
    ensure!(!has_ended, "the tablet does not work again: {}", process::tail(&errors, 400));
    check_tablet(&data, &mut promises, score);
    hub.kill()?;
    check_hub(&hub, &promises, score);
    score.kept += promises.kept();
    score.disks_filled += 1;
    Ok(())
}

/// As many characters that do not pack: less than a page of room is left, and this takes several.
fn incompressible(characters: usize) -> String {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    (0..characters).filter_map(|_| char::from_u32(rng.random_range(0x4e00..0x9fa5))).collect()
}

/// A hub whose disk is filled by somebody else while tablets sync.
fn fill_hub(order: &FullOrder, disk: &SmallDisk, score: &mut Score) -> anyhow::Result<()> {
    let elsewhere = scratch("full")?;
    let mut hub = Hub::init_at(elsewhere.path(), &disk.path().join("hub"))?;
    hub.reserve(HUB_RESERVE);
    hub.serve()?;
    let ticket = hub.ticket(PERSON)?;
    let (data, errors) = (elsewhere.path().join("t1"), elsewhere.path().join("t1.log"));
    let mut promises = Promises::default();
    let store = Speaker::start(&mut store_command(order, &data, "sync", Some(&ticket))?, &errors)?;
    hear(&mut promises, &store.run_for(Duration::from_secs(3)).0);
    // Below the reserve nothing is taken, and nothing is lost; then there is no room at all.
    let mut ballast = disk.fill(20_000_000)?;
    hear(&mut promises, &store.run_for(Duration::from_secs(2)).0);
    hear(&mut promises, &store.kill()?.0);
    let told = sync_by_hand(&data)?;
    if !format!("{}{}", told.out, told.err).to_lowercase().contains("no room") {
        score.unclear.push(format!("a tablet whose hub has less than its reserve is told: {told:?} {}", hub.log_end()));
    }
    std::fs::remove_file(&ballast)?;
    ballast = disk.fill(0)?;
    let store = Speaker::start(&mut store_command(order, &data, "sync", None)?, &errors)?;
    hear(&mut promises, &store.run_for(Duration::from_secs(3)).0);
    hear(&mut promises, &store.kill()?.0);
    let told = sync_by_hand(&data)?;
    if told.code == Some(0) || format!("{}{}", told.out, told.err).contains("agree") {
        score.unclear.push(format!("a tablet whose hub is full is told: {told:?} {}", hub.log_end()));
    }
    hub.stop_if_running(NOTICE_WITHIN)?;
    let while_full = look_at_hub(hub.data());
    std::fs::remove_file(ballast)?;
    if let Err(error) = while_full {
        // It may refuse to open for writing; it must say why.
        let words = format!("{error:#}").to_lowercase();
        if !["no space", "no room", "full", "takes no writes"].iter().any(|word| words.contains(word)) {
            score.unclear.push(format!("a hub whose disk is full says: {words}"));
        }
    }
    check_hub(&hub, &promises, score);
    hub.serve()?;
    // Not ending in time says that the machine is busy, not that the hub does not work.
    let mut again = sync_by_hand(&data)?;
    for _ in 0..SYNC_TRIES {
        if again.code == Some(0) {
            break;
        }
        again = sync_by_hand(&data)?;
    }
    if again.code != Some(0) {
        score.unopenable.push(format!("the hub does not work again: {again:?}"));
    }
    hub.kill()?;
    check_hub(&hub, &promises, score);
    check_tablet(&data, &mut promises, score);
    score.kept += promises.kept();
    score.disks_filled += 1;
    Ok(())
}

fn sync_by_hand(data: &Path) -> anyhow::Result<process::Ran> {
    let mut command = process::command("tablet")?;
    process::ran(command.args(["sync", "--timeout", "5", "--lang", "en", "--data"]).arg(data))
}

fn check_tablet(data: &Path, promises: &mut Promises, score: &mut Score) {
    match store::look(data) {
        Ok((found, _)) => {
            let broken = promises.check_tablet("t1", &found);
            score.lost.extend(broken.lost.into_iter().chain(broken.invented));
        }
        Err(error) => score.unopenable.push(format!("the tablet: {error:#}")),
    }
}

fn check_hub(hub: &Hub, promises: &Promises, score: &mut Score) {
    match look_at_hub(hub.data()) {
        Ok(seen) => {
            let broken = promises.check_hub(&seen.found);
            score.lost.extend(broken.lost.into_iter().chain(broken.invented));
        }
        Err(error) => score.unopenable.push(format!("the hub: {error:#}")),
    }
}
