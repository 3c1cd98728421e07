//! Power cuts on whole folders of the real programs.
//!
//! Hub, tablets and administrator's commands run under strace; every operation on every file is read back, and so is every
//! confirmation a person or script was given, in the order the system saw them. Images of what a power cut would leave of
//! one machine's whole folder (keys, identity, log, index, read model, backup) are written, opened as ever, and compared with
//! what had been said by then. So this is also the proof that fdatasync comes before each confirmation.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use qianmo_server::admin::{Manifest, ManifestError};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::process::{self, Hub, Speaker, look_at_hub};
use super::promises::{Broken, Deed, Line, Promises, text};
use super::store::{self, PERSON};
use super::trace::{CALLS, Event, Tree};
use super::{complain, scratch};
use crate::bench::{bar, commit};

/// The machines of a run: each has a disk of its own.
const MACHINES: [&str; 4] = ["hub", "t1", "t2", "backup"];
/// Where a machine's data is: in folders that the program makes.
const DATA: &str = "var/qianmo";
/// Where the backup is: the folder above must be there, so that a disk that is not mounted is noticed.
const BACKUP: &str = "qianmo";
/// Bytes of one write that strace shows.
const STRING_BYTES_MAX: &str = "4194304";
/// Images that wait to be opened.
const WAITING_MAX: usize = 8;
/// The note a finished backup leaves among what was said.
const BACKED_UP: &str = "backed up";
/// Likewise of `init`.
const FOUNDED: &str = "founded";

/// How many images.
#[derive(Debug, Clone, Parser)]
pub struct TracedOrder {
    /// How many images, about.
    #[arg(long, default_value_t = 1_000)]
    pub images: usize,
    /// All choices follow from it; what the processes do at the same time does not.
    #[arg(long, default_value_t = 20_260_503)]
    pub seed: u64,
    /// Images opened at the same time.
    #[arg(long, default_value_t = 4)]
    pub jobs: usize,
    /// Rounds of work that are traced.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
}

/// What is traced: a scene of the real programs.
#[derive(Debug, Clone, Parser)]
#[command(name = "scene")]
pub struct SceneOrder {
    /// Where the machines' folders are.
    #[arg(long)]
    root: PathBuf,
    /// All choices follow from it.
    #[arg(long)]
    seed: u64,
    /// Rounds of work.
    #[arg(long)]
    rounds: usize,
}

#[derive(Debug, Default)]
struct Score {
    images: usize,
    machines: BTreeMap<String, usize>,
    modes: BTreeMap<String, usize>,
    promises: u64,
    lost: Vec<String>,
    invented: Vec<String>,
    unopenable: Vec<String>,
    kept: Vec<PathBuf>,
}

/// An image that waits to be opened.
struct Job {
    machine: &'static str,
    folder: PathBuf,
    what: String,
    promises: Promises,
    is_founded: bool,
    has_backup: bool,
}

/// Traces a scene and opens images of it; answers the JSON line and whether nothing was found.
///
/// # Errors
/// The harness itself fails.
pub fn run(order: &TracedOrder) -> anyhow::Result<(Value, bool)> {
    // At the end another one may be checked out.
    let (start, commit) = (Instant::now(), commit());
    if Command::new("strace").arg("-V").stdout(Stdio::null()).status().is_err() {
        let line = json!({ "figure": "crash traced", "skipped": "strace is not installed, or may not be used here" });
        return Ok((line, true));
    }
    let folder = scratch("traced")?;
    let root = folder.path().join("run");
    for machine in MACHINES {
        std::fs::create_dir_all(root.join(machine))?;
    }
    let trace = folder.path().join("trace");
    record(order, &root, &trace)?;
    let (score, events, said) = match replay(order, folder.path(), &root, &trace) {
        Ok(replayed) => replayed,
        Err(error) => {
            complain(&format!("kept: {}", folder.keep().display()));
            return Err(error);
        }
    };
    let is_clean = score.lost.is_empty() && score.invented.is_empty() && score.unopenable.is_empty();
    for found in score.lost.iter().chain(&score.invented).chain(&score.unopenable) {
        complain(found);
    }
    if !is_clean {
        let TracedOrder { images, seed, rounds, .. } = order;
        complain(&format!("kept: {} ; images {:?}", folder.keep().display(), score.kept));
        complain(&format!(
            "again: cargo run --release -p qianmo-tests --bin crash -- traced --images {images} --rounds {rounds} --seed {seed}"
        ));
    }
    let n = f64::from(u32::try_from(score.images).unwrap_or(u32::MAX));
    let line = json!({
        "figure": "crash traced", "commit": commit, "seed": order.seed, "file_operations": events,
        "images": score.images, "machines": score.machines, "modes": score.modes, "acknowledged": said,
        "promises_checked": score.promises, "lost": score.lost.len(), "invented": score.invented.len(),
        "unopenable": score.unopenable.len(), "bound_95_per_image": if is_clean { 3.0 / n.max(1.0) } else { 1.0 },
        "seconds": start.elapsed().as_secs_f64().round(),
    });
    Ok((line, is_clean))
}

fn record(order: &TracedOrder, root: &Path, trace: &Path) -> anyhow::Result<()> {
    let mut scene = process::command("scene")?;
    scene.arg("--root").arg(root).args(["--seed", &order.seed.to_string(), "--rounds", &order.rounds.to_string()]);
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-y", "-xx", "--seccomp-bpf", "-s", STRING_BYTES_MAX]);
    command.args(["-e", &format!("trace={}", CALLS.replace(' ', "")), "-e", "signal=none", "-o"]).arg(trace);
    command.arg(scene.get_program()).args(scene.get_args());
    for (name, value) in scene.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let ran = process::ran(command.stdin(Stdio::null()))?;
    ensure!(ran.code == Some(0), "the traced scene failed: {:?} {}", ran.code, ran.err);
    Ok(())
}

/// Reads the trace twice: to know how much there is, then to cut it.
fn replay(order: &TracedOrder, folder: &Path, root: &Path, trace: &Path) -> anyhow::Result<(Score, usize, u64)> {
    let mut events = 0;
    each_event(root, trace, |_, event| {
        events += usize::from(matches!(event, Event::Changed(_)));
        Ok(())
    })?;
    let share = f64::from(u32::try_from(order.images)?) / f64::from(u32::try_from(events.max(1))?) * 0.6;
    let bar = bar(order.images, "power cuts on folders");
    let score = Mutex::new(Score::default());
    let (give, take) = sync_channel::<Job>(WAITING_MAX);
    let take = Mutex::new(take);
    let mut promises = Promises::default();
    let done = std::thread::scope(|scope| -> anyhow::Result<()> {
        for _ in 0..order.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let job = take.lock().unwrap().recv();
                    let Ok(job) = job else { break };
                    open(job, &score);
                    bar.inc(1);
                }
            });
        }
        let give = give;
        let mut rng = ChaCha20Rng::seed_from_u64(order.seed);
        let (mut number, mut is_founded, mut has_backup) = (0, false, false);
        each_event(root, trace, |tree, event| {
            let (machines, what) = match &event {
                Event::Changed(path) => {
                    let inside = path.strip_prefix(root)?;
                    let machine = MACHINES.into_iter().find(|machine| inside.starts_with(machine));
                    let chosen = machine.filter(|_| rng.random_bool(share.min(1.0)));
                    (chosen.into_iter().collect::<Vec<_>>(), inside.display().to_string())
                }
                Event::Said(said) => {
                    let Some((store, line)) = Line::parse(said) else { return Ok(()) };
                    if !MACHINES.contains(&store.as_str()) {
                        return Ok(());
                    }
                    is_founded |= line == Line::Note(FOUNDED.to_owned());
                    has_backup |= line == Line::Note(BACKED_UP.to_owned());
                    promises.hear(&store, &line);
                    let is_confirmed = matches!(line, Line::Did(_) | Line::Acknowledged(..));
                    // Right after a confirmation everything said must be there: here a cut costs most.
                    let chosen = (is_confirmed || line == Line::Note(BACKED_UP.to_owned())) && rng.random_bool(0.15);
                    let machine = MACHINES.into_iter().filter(|machine| match &line {
                        Line::Acknowledged(..) => *machine == "hub" || *machine == store,
                        Line::Note(_) => *machine == "backup",
                        Line::Try(_) | Line::Did(_) => *machine == store,
                    });
                    (machine.filter(|_| chosen).collect(), said.chars().take(60).collect())
                }
            };
            for machine in machines {
                number += 1;
                let image = folder.join(format!("image{number}"));
                let modes = tree.cut_power(&root.join(machine), &image, &mut rng)?;
                let what = format!("{machine} at {what}, {modes:?}");
                let promises = promises.clone();
                give.send(Job { machine, folder: image, what, promises, is_founded, has_backup })?;
            }
            Ok(())
        })
    });
    bar.finish_and_clear();
    done?;
    Ok((score.into_inner().unwrap(), events, promises.kept()))
}

fn each_event(
    root: &Path,
    trace: &Path,
    mut see: impl FnMut(&Tree, Event) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut tree = Tree::new(root, &MACHINES);
    for line in BufReader::new(std::fs::File::open(trace)?).lines() {
        for event in tree.take(&line?)? {
            see(&tree, event)?;
        }
    }
    Ok(())
}

/// Opens one machine's folder and compares.
fn open(mut job: Job, score: &Mutex<Score>) {
    let data = job.folder.join(DATA);
    let outcome = match job.machine {
        "hub" => open_hub(&data, &job),
        "backup" => open_backup(&job.folder.join(BACKUP), &job),
        tablet => store::look(&data).map(|(found, _)| job.promises.check_tablet(tablet, &found)),
    };
    let mut score = score.lock().unwrap();
    score.images += 1;
    score.promises += job.promises.kept();
    *score.machines.entry(job.machine.to_owned()).or_default() += 1;
    let mode = job.what.rsplit_once('"').and_then(|(rest, _)| rest.rsplit_once('"')).map_or("", |(_, mode)| mode);
    *score.modes.entry(mode.to_owned()).or_default() += 1;
    let is_well = match outcome {
        Ok(broken) if broken.is_none() => true,
        Ok(Broken { lost, invented }) => {
            score.lost.extend(lost.iter().map(|lost| format!("{}: {lost}", job.what)));
            score.invented.extend(invented.iter().map(|invented| format!("{}: {invented}", job.what)));
            false
        }
        Err(error) => {
            score.unopenable.push(format!("{}: {error:#}", job.what));
            false
        }
    };
    if is_well {
        std::fs::remove_dir_all(&job.folder).unwrap_or_default();
    } else {
        score.kept.push(job.folder);
    }
}

fn nothing() -> Broken {
    Broken { lost: Vec::new(), invented: Vec::new() }
}

fn open_hub(data: &Path, job: &Job) -> anyhow::Result<Broken> {
    match look_at_hub(data) {
        Ok(seen) => Ok(job.promises.check_hub(&seen.found)),
        // Half an organisation is refused, and made again in an empty folder.
        Err(_) if !job.is_founded => Ok(nothing()),
        Err(error) => Err(error),
    }
}

/// A backup is the one before or the new one, whole.
fn open_backup(data: &Path, job: &Job) -> anyhow::Result<Broken> {
    let mut broken = nothing();
    match Manifest::read(data) {
        Ok(manifest) => broken.lost.extend(manifest.faults(data)?),
        Err(ManifestError::Missing { .. }) if !job.has_backup => {}
        Err(error) => return Err(error.into()),
    }
    Ok(broken)
}

/// The traced process: it conducts the real programs, one after another or at the same time.
///
/// # Errors
/// A program does not do what it must.
pub fn scene(order: &SceneOrder) -> anyhow::Result<()> {
    let mut rng = ChaCha20Rng::seed_from_u64(order.seed);
    let mut hub = Hub::init_at(&order.root, &order.root.join("hub").join(DATA))?;
    say(&format!("hub {FOUNDED}"))?;
    hub.serve()?;
    let backup = order.root.join("backup").join(BACKUP).to_string_lossy().into_owned();
    let mut next = 1;
    for round in 0..order.rounds {
        for name in ["t1", "t2"] {
            let ticket = if round == 0 { Some(hub.ticket(PERSON)?) } else { None };
            let mut command = process::command("store")?;
            command.args(["--name", name, "--seed", &rng.random::<u64>().to_string(), "--mix", "sync"]);
            command.args(["--deeds", "25", "--next", &next.to_string(), "--data"]);
            command.arg(order.root.join(name).join(DATA));
            command.args(ticket.iter().flat_map(|ticket| ["--ticket", ticket]));
            let ended = command.status()?;
            ensure!(ended.success(), "{name} ended with {ended}");
            next += 100;
        }
        by_hand(order, &format!("t1m{next}"))?;
        next += 1;
        let backed_up = hub.run(&["backup", "--to", &backup])?;
        ensure!(backed_up.code == Some(0), "backup: {backed_up:?}");
        say(&format!("backup {BACKED_UP}"))?;
        // Killed in the middle of a backup, and served again.
        let another = Speaker::start(&mut hub.command(&["backup", "--to", &backup])?, &order.root.join("admin.log"))?;
        another.run_for(Duration::from_micros(rng.random_range(0..30_000)));
        hub.kill()?;
        another.run_for(process::DEADLINE);
        drop(another.kill()?);
        erase(order, &mut hub)?;
        hub.serve()?;
    }
    hub.kill()
}

/// A record filed with the tablet's program.
fn by_hand(order: &SceneOrder, marker: &str) -> anyhow::Result<()> {
    let deed = Deed::New(marker.to_owned());
    say(&format!("t1 try {deed}"))?;
    let mut command = process::command("tablet")?;
    let texts = [format!("content={}", text(marker, 0)), format!("advice={}", text(marker, 0))];
    command.args(["new", "visit", "--set", "activity_date=2025-06-18", "--set", "service_mode=onsite"]);
    command.args([
        "--set",
        "target_name=样例农户",
        "--set",
        "town_code=110117105",
        "--set",
        &texts[0],
        "--set",
        &texts[1],
    ]);
    let ran = process::ran(command.arg("--data").arg(order.root.join("t1").join(DATA)))?;
    ensure!(ran.code == Some(0), "new: {ran:?}");
    say(&format!("t1 did {deed}"))
}

/// The hub, stopped, erases a record for good.
fn erase(order: &SceneOrder, hub: &mut Hub) -> anyhow::Result<()> {
    let ids = look_at_hub(&order.root.join("hub").join(DATA))?.ids;
    let Some((marker, id)) = ids.into_iter().next() else { return Ok(()) };
    let deed = Deed::Purge(marker);
    say(&format!("hub try {deed}"))?;
    let ran = hub.run(&["purge", &id, "--reason", "request", "--yes", "--even-if-unsaved"])?;
    ensure!(ran.code == Some(0), "purge: {ran:?}");
    say(&format!("hub did {deed}"))
}

fn say(line: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut out = std::io::stdout().lock();
    out.write_all(format!("{line}\n").as_bytes())?;
    out.flush().context("nobody listens")
}
