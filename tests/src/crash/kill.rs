//! kill -9 at random moments, on the real hub and the real tablet, again and again on the same folders.
//!
//! Each round starts processes, kills one at a moment drawn from the seed, and mostly looks at the folder at once; sometimes
//! the next round goes on from what the kill left, and the look comes later. The folders grow old in this way: an organisation
//! lives through all rounds of a job, a tablet through some dozens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use clap::Parser;
use indicatif::ProgressBar;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::activity::{Activity, LogFolder};
use super::process::{self, Hub, HubFound, Speaker, look_at_hub, ran};
use super::promises::{Broken, Deed, Line, Promises, split, text};
use super::store::{self, Mix};
use super::{complain, scratch};
use crate::bench::{bar, commit};

/// Tablets of an organisation at a time.
const TABLETS: usize = 3;
/// How often a log is looked at for the first change of a command.
const LOOK_EVERY: Duration = Duration::from_micros(300);
/// How long a log may take to become large enough for a rewrite. If it does not, the store is killed in something else.
const REWRITE_WITHIN: Duration = Duration::from_secs(4);
/// What a store does so seldom that some kills are aimed at it.
const RARE: [Activity; 3] = [Activity::Eviction, Activity::Import, Activity::Sync];
/// Lines after which such a kill comes anyhow.
const LINES_AIMED: usize = 200;
/// Rounds after which a tablet makes room for a new one.
const ROUNDS_OF_A_TABLET: usize = 40;
/// So many rounds must hit every activity.
const ROUNDS_THAT_HIT_ALL: usize = 1_000;
/// Deeds of a store that nobody kills.
const DEEDS: usize = 400;

/// How the rounds are run.
#[derive(Debug, Clone, Parser)]
pub struct KillOrder {
    /// How many kills.
    #[arg(long, default_value_t = 2_000)]
    pub rounds: usize,
    /// All choices follow from it; the moment at which the system carries them out does not.
    #[arg(long, default_value_t = 20_260_501)]
    pub seed: u64,
    /// Organisations at the same time.
    #[arg(long, default_value_t = 2)]
    pub jobs: usize,
}

/// What a round does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Save,
    Rewrite,
    SyncTablet,
    SyncHub,
    CommandLine,
    Administer,
    OpenHub,
    Enrol,
}

impl Kind {
    fn draw(rng: &mut ChaCha20Rng) -> Self {
        match rng.random_range(0..100_u32) {
            0..46 => Self::Save,
            46..50 => Self::Rewrite,
            50..66 => Self::SyncTablet,
            66..78 => Self::SyncHub,
            78..86 => Self::CommandLine,
            86..92 => Self::Administer,
            92..96 => Self::OpenHub,
            96.. => Self::Enrol,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Save => "tablet_saving",
            Self::Rewrite => "tablet_rewriting",
            Self::SyncTablet => "tablet_syncing",
            Self::SyncHub => "hub_syncing",
            Self::CommandLine => "command_line",
            Self::Administer => "hub_administered",
            Self::OpenHub => "hub_opening",
            Self::Enrol => "tablet_enrolling",
        }
    }
}

/// What the rounds of a job came to.
#[derive(Debug, Default)]
struct Score {
    rounds: usize,
    kinds: BTreeMap<&'static str, usize>,
    /// What was under way when a process was killed.
    hit: BTreeMap<Activity, usize>,
    looks: usize,
    kept: u64,
    lost: Vec<String>,
    invented: Vec<String>,
    unopenable: Vec<String>,
    kept_folders: Vec<PathBuf>,
}

/// Runs the rounds; answers the JSON line and whether nothing was found.
///
/// # Errors
/// The harness itself fails.
pub fn run(order: &KillOrder) -> anyhow::Result<(Value, bool)> {
    // At the end another one may be checked out.
    let (start, commit) = (Instant::now(), commit());
    let bar = bar(order.rounds, "kill -9");
    let stop = AtomicBool::new(false);
    let jobs = order.jobs.max(1);
    let scores: Vec<anyhow::Result<Score>> = std::thread::scope(|scope| {
        let spawn = |job: usize| {
            let (bar, stop) = (bar.clone(), &stop);
            let rounds = order.rounds / jobs + usize::from(job < order.rounds % jobs);
            let seed = order.seed.wrapping_add(u64::try_from(job).unwrap_or_default());
            scope.spawn(move || one_job(rounds, seed, &bar, stop))
        };
        let threads: Vec<_> = (0..jobs).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    bar.finish_and_clear();
    let mut total = Score::default();
    for score in scores {
        total.add(score?);
    }
    let seconds = start.elapsed().as_secs_f64();
    let is_clean = total.is_clean();
    let never_hit = if total.rounds < ROUNDS_THAT_HIT_ALL { Vec::new() } else { total.never_hit() };
    if !never_hit.is_empty() {
        complain(&format!("{} rounds never hit {never_hit:?}", total.rounds));
    }
    for found in total.lost.iter().chain(&total.invented).chain(&total.unopenable) {
        complain(found);
    }
    if !is_clean {
        let KillOrder { rounds, seed, jobs } = order;
        complain(&format!("kept: {:?}", total.kept_folders));
        complain(&format!(
            "again: cargo run --release -p qianmo-tests --bin crash -- kill --rounds {rounds} --seed {seed} --jobs {jobs}"
        ));
    }
    let n = f64::from(u32::try_from(total.rounds).unwrap_or(u32::MAX));
    let line = json!({
        "figure": "crash kill", "commit": commit, "seed": order.seed, "rounds": total.rounds, "kinds": total.kinds,
        "killed_while": total.killed_while(), "never_hit": never_hit, "looks": total.looks, "acknowledged": total.kept, "lost": total.lost.len(), "invented": total.invented.len(),
        "unopenable": total.unopenable.len(), "bound_95_per_round": if is_clean { 3.0 / n.max(1.0) } else { 1.0 },
        "rounds_per_second": (n / seconds * 10.0).round() / 10.0, "seconds": seconds.round(),
    });
    Ok((line, is_clean && never_hit.is_empty()))
}

impl Score {
    fn killed_while(&self) -> BTreeMap<&'static str, usize> {
        self.hit.iter().map(|(activity, count)| (activity.word(), *count)).collect()
    }

    fn never_hit(&self) -> Vec<&'static str> {
        let missed = Activity::ASKED_FOR.into_iter().filter(|activity| !self.hit.contains_key(activity));
        missed.map(Activity::word).collect()
    }

    fn add(&mut self, other: Self) {
        self.rounds += other.rounds;
        for (kind, count) in other.kinds {
            *self.kinds.entry(kind).or_default() += count;
        }
        for (activity, count) in other.hit {
            *self.hit.entry(activity).or_default() += count;
        }
        self.looks += other.looks;
        self.kept += other.kept;
        self.lost.extend(other.lost);
        self.invented.extend(other.invented);
        self.unopenable.extend(other.unopenable);
        self.kept_folders.extend(other.kept_folders);
    }

    fn is_clean(&self) -> bool {
        self.lost.is_empty() && self.invented.is_empty() && self.unopenable.is_empty()
    }
}

fn one_job(rounds: usize, seed: u64, bar: &ProgressBar, stop: &AtomicBool) -> anyhow::Result<Score> {
    let folder = scratch("kill")?;
    let mut organisation = Organisation::found(folder.path(), seed)?;
    for _ in 0..rounds {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        organisation.round().with_context(|| format!("round {} of seed {seed}", organisation.score.rounds))?;
        bar.inc(1);
        if !organisation.score.is_clean() {
            stop.store(true, Ordering::Relaxed);
        }
    }
    organisation.look_at_everything()?;
    organisation.hub.kill()?;
    let mut score = std::mem::take(&mut organisation.score);
    score.kept = organisation.promises.kept();
    if !score.is_clean() {
        score.kept_folders.push(folder.keep());
    }
    Ok(score)
}

struct Tablet {
    name: String,
    data: PathBuf,
    next: u32,
    rounds: usize,
}

/// An organisation whose processes are killed.
pub(super) struct Organisation {
    root: PathBuf,
    rng: ChaCha20Rng,
    pub(super) hub: Hub,
    promises: Promises,
    tablets: Vec<Tablet>,
    made: usize,
    /// Record ids by marker, as the hub has them.
    ids: BTreeMap<String, String>,
    has_backup: bool,
    score: Score,
}

impl Organisation {
    /// An organisation with its hub and tablets.
    pub(super) fn found(root: &Path, seed: u64) -> anyhow::Result<Self> {
        let mut hub = Hub::init(root)?;
        hub.serve()?;
        let mut organisation = Self {
            root: root.to_owned(),
            rng: ChaCha20Rng::seed_from_u64(seed),
            hub,
            promises: Promises::default(),
            tablets: Vec::new(),
            made: 0,
            ids: BTreeMap::new(),
            has_backup: false,
            score: Score::default(),
        };
        for _ in 0..TABLETS {
            let tablet = organisation.new_tablet();
            organisation.enrol(&tablet, Duration::ZERO)?;
            organisation.tablets.push(tablet);
        }
        Ok(organisation)
    }

    fn new_tablet(&mut self) -> Tablet {
        self.made += 1;
        let name = format!("t{}", self.made);
        Tablet { data: self.root.join(&name), name, next: 1, rounds: 0 }
    }

    fn errors(&self, name: &str) -> PathBuf {
        self.root.join(format!("{name}.log"))
    }

    fn store(&mut self, tablet: &Tablet, mix: Mix, ticket: Option<&str>) -> anyhow::Result<Speaker> {
        let mut command = process::command("store")?;
        let seed: u64 = self.rng.random();
        let mix = match mix {
            Mix::Offline => "offline",
            Mix::Sync => "sync",
            Mix::Heavy => "heavy",
            Mix::Enrol => "enrol",
        };
        command.args(["--name", &tablet.name, "--seed", &seed.to_string(), "--mix", mix]);
        command.args(["--next", &tablet.next.to_string(), "--deeds", &DEEDS.to_string()]);
        command.arg("--data").arg(&tablet.data);
        if let Some(ticket) = ticket {
            command.args(["--ticket", ticket]);
        }
        Speaker::start(&mut command, &self.errors(&tablet.name))
    }

    fn hear(&mut self, lines: &[String]) {
        for line in lines {
            let Some((store, line)) = Line::parse(line) else {
                self.score.invented.push(format!("a store said {line:?}"));
                continue;
            };
            self.promises.hear(&store, &line);
            let mut said = 0;
            if let Line::Try(Deed::New(marker) | Deed::File(_, marker) | Deed::Draft(marker, _)) = &line {
                said = split(marker).1;
            } else if let Line::Try(Deed::Import(first, count)) = &line {
                said = split(first).1 + count;
            }
            if let Some(tablet) = self.tablets.iter_mut().find(|tablet| tablet.name == store) {
                tablet.next = tablet.next.max(said + 1);
            }
        }
    }

    fn hit(&mut self, activity: Activity) {
        *self.score.hit.entry(activity).or_default() += 1;
    }

    /// Kills a store; one that had ended before must have ended well. Answers the last line it still said.
    fn end(&mut self, name: &str, speaker: Speaker) -> anyhow::Result<Option<String>> {
        let (mut said, code) = speaker.kill()?;
        self.hear(&said);
        ensure!(
            code.is_none() || code == Some(0),
            "{name} ended with {code:?}: {}",
            process::tail(&self.errors(name), 600)
        );
        Ok(said.pop())
    }

    fn micros(&mut self, below_ms: u64) -> Duration {
        Duration::from_micros(self.rng.random_range(0..below_ms * 1_000))
    }

    /// A moment to kill a process at: before, while or after it opens, or in the middle of a deed.
    fn moment(&mut self, speaker: &Speaker, mix: Mix) -> Vec<String> {
        let lines = match self.rng.random_range(0..10) {
            0..3 => 0,
            3..5 => 2,
            _ => self.rng.random_range(3..60),
        };
        let (mut said, mut spread) = (Vec::new(), if lines == 0 { 40 } else { 3 });
        while said.len() < lines {
            match speaker.next(process::DEADLINE) {
                Some(line) => said.push(line),
                None => break,
            }
        }
        if mix == Mix::Sync && self.rng.random_bool(0.3) {
            // What is done seldom is aimed at, and is soon over.
            spread = 1;
            let rare = RARE[self.rng.random_range(0..RARE.len())];
            while said.len() < LINES_AIMED && said.last().is_none_or(|line| Activity::of_store(line) != rare) {
                match speaker.next(process::DEADLINE) {
                    Some(line) => said.push(line),
                    None => break,
                }
            }
        }
        let rest = self.micros(spread);
        said.extend(speaker.run_for(rest).0);
        said
    }

    /// Until the log is so large that it is rewritten, and a moment longer.
    fn wait_for_rewrite(&mut self, speaker: &Speaker, said: &mut Vec<String>) {
        let log = LogFolder::of_tablet(&self.tablets[self.tablets.len() - 1].data);
        let end = Instant::now() + REWRITE_WITHIN;
        while !log.is_rewritten() && Instant::now() < end {
            let (more, has_ended) = speaker.run_for(LOOK_EVERY);
            said.extend(more);
            if has_ended {
                return;
            }
        }
        let more = self.micros(15);
        said.extend(speaker.run_for(more).0);
    }

    fn round(&mut self) -> anyhow::Result<()> {
        let kind = Kind::draw(&mut self.rng);
        *self.score.kinds.entry(kind.word()).or_default() += 1;
        self.score.rounds += 1;
        match kind {
            Kind::Save => self.kill_store(Mix::Offline, Victim::Store),
            Kind::Rewrite => self.kill_store(Mix::Heavy, Victim::Store),
            Kind::SyncTablet => self.kill_store(Mix::Sync, Victim::Store),
            Kind::SyncHub => self.kill_store(Mix::Sync, Victim::Hub),
            Kind::CommandLine => self.kill_command_line(),
            Kind::Administer => self.kill_administrator(),
            Kind::OpenHub => self.kill_opening_hub(),
            Kind::Enrol => self.replace_tablet(),
        }
    }

    fn kill_store(&mut self, mix: Mix, victim: Victim) -> anyhow::Result<()> {
        let at = self.rng.random_range(0..self.tablets.len());
        let mut tablet = self.tablets.swap_remove(at);
        tablet.rounds += 1;
        let speaker = self.store(&tablet, mix, None)?;
        let name = tablet.name.clone();
        self.tablets.push(tablet);
        let mut said = self.moment(&speaker, mix);
        if mix == Mix::Heavy {
            self.wait_for_rewrite(&speaker, &mut said);
        }
        if victim == Victim::Hub {
            self.hub.kill()?;
            let is_syncing = said.last().is_some_and(|line| Activity::of_store(line) == Activity::Sync);
            self.hit(if is_syncing { Activity::HubSync } else { Activity::HubIdle });
            let more = self.micros(30);
            said.extend(speaker.run_for(more).0);
        }
        self.hear(&said);
        let last = self.end(&name, speaker)?.or_else(|| said.pop());
        if victim == Victim::Store {
            let log = LogFolder::of_tablet(&self.tablets[self.tablets.len() - 1].data);
            let said = last.map_or(Activity::Open, |line| Activity::of_store(&line));
            self.hit(match (log.is_rewritten(), mix) {
                (true, Mix::Heavy) => Activity::Compaction,
                (true, Mix::Offline | Mix::Sync | Mix::Enrol) => Activity::TabletErasure,
                (false, _) => said,
            });
        }
        if self.rng.random_range(0..10) < 7 {
            self.look_at_tablet(self.tablets.len() - 1);
        }
        if victim == Victim::Hub {
            if self.rng.random_range(0..10) < 8 {
                self.look_at_hub();
            }
            self.hub.serve()?;
        }
        Ok(())
    }

    /// The tablet's program, as a person types it.
    fn kill_command_line(&mut self) -> anyhow::Result<()> {
        let at = self.rng.random_range(0..self.tablets.len());
        let (name, data) = (self.tablets[at].name.clone(), self.tablets[at].data.clone());
        let marker = format!("{name}m{}", self.tablets[at].next);
        let mut command = process::command("tablet")?;
        let is_new = self.rng.random_bool(0.6);
        if is_new {
            let deed = Line::Try(Deed::New(marker.clone()));
            self.promises.hear(&name, &deed);
            self.tablets[at].next += 1;
            let texts = [format!("content={}", text(&marker, 0)), format!("advice={}", text(&marker, 0))];
            command.args(["new", "visit", "--json", "--set", "activity_date=2025-06-18", "--set"]);
            command.args(["service_mode=onsite", "--set", "target_name=样例农户", "--set", "town_code=110117105"]);
            command.args(["--set", &texts[0], "--set", &texts[1]]);
        } else {
            let choices: [&[&str]; 3] = [&["sync", "--timeout", "3"], &["status"], &["list", "--json"]];
            command.args(choices[self.rng.random_range(0..choices.len())]);
        }
        command.arg("--data").arg(&data);
        let speaker = Speaker::start(&mut command, &self.errors(&name))?;
        let time = self.micros(60);
        let (mut said, _) = speaker.run_for(time);
        let (rest, code) = speaker.kill()?;
        said.extend(rest);
        self.hit(if code.is_none() { Activity::CommandLine } else { Activity::HadEnded });
        // The JSON of a saved record ends with its closing brace.
        if is_new && said.last().is_some_and(|line| line.trim_end() == "}") {
            self.promises.hear(&name, &Line::Did(Deed::New(marker)));
        }
        self.look_at_tablet(at);
        Ok(())
    }

    fn kill_administrator(&mut self) -> anyhow::Result<()> {
        let pick = self.rng.random_range(0..1_000);
        let victim = self.promises.erasable(pick).and_then(|marker| Some((self.ids.get(&marker)?.clone(), marker)));
        match (self.rng.random_range(0..10), victim) {
            (0..6, Some((id, marker))) => self.kill_erasing(&id, marker)?,
            (0..9, _) => self.kill_backing_up()?,
            _ => self.kill_rebuilding()?,
        }
        self.hub.serve().map(drop)
    }

    /// The moment is one after the log has changed: before that nothing is decided. With or without a hub that runs, and
    /// it is the hub or the command that is killed.
    fn kill_erasing(&mut self, id: &str, marker: String) -> anyhow::Result<()> {
        if self.rng.random_bool(0.3) {
            self.hub.kill()?;
        }
        let log = LogFolder::of_hub(self.hub.data());
        let before = log.listing();
        self.promises.hear("hub", &Line::Try(Deed::Purge(marker.clone())));
        let mut command = self.hub.command(&["purge", id, "--reason", "request", "--yes", "--even-if-unsaved"])?;
        let speaker = Speaker::start(&mut command, &self.errors("admin"))?;
        let end = Instant::now() + process::DEADLINE;
        while log.listing() == before && Instant::now() < end && !speaker.run_for(LOOK_EVERY).1 {}
        let time = self.micros(12);
        speaker.run_for(time);
        if self.rng.random_bool(0.7) {
            self.hub.kill()?;
        }
        let (_, code) = speaker.kill()?;
        self.hub.kill()?;
        let is_rewritten = log.is_rewritten();
        if code == Some(0) {
            self.promises.hear("hub", &Line::Did(Deed::Purge(marker)));
        }
        let is_carried_out = self.look_at_hub().is_none_or(|found| found.is_erased);
        let is_under_way = is_rewritten || !is_carried_out;
        self.hit(match (is_under_way, code) {
            (true, _) => Activity::Erasure,
            (false, Some(0)) => Activity::HadEnded,
            (false, _) => Activity::ErasureAsked,
        });
        Ok(())
    }

    fn kill_backing_up(&mut self) -> anyhow::Result<()> {
        let to = self.root.join("backup").to_string_lossy().into_owned();
        let code = self.kill_command(&["backup", "--to", &to], Activity::Backup)?;
        self.has_backup |= code == Some(0);
        self.look_at_hub();
        if self.has_backup {
            let verified = self.hub.run(&["verify", &to])?;
            if verified.code != Some(0) {
                self.score.lost.push(format!("the backup does not verify: {verified:?}"));
            }
        }
        Ok(())
    }

    fn kill_rebuilding(&mut self) -> anyhow::Result<()> {
        self.kill_command(&["rebuild"], Activity::Rebuild)?;
        self.look_at_hub();
        Ok(())
    }

    /// Kills the hub or the command after a while, and in the end both.
    fn kill_command(&mut self, arguments: &[&str], activity: Activity) -> anyhow::Result<Option<i32>> {
        let speaker = Speaker::start(&mut self.hub.command(arguments)?, &self.errors("admin"))?;
        let time = self.micros(90);
        let (_, has_ended) = speaker.run_for(time);
        self.hit(if has_ended { Activity::HadEnded } else { activity });
        if self.rng.random_bool(0.7) {
            self.hub.kill()?;
            speaker.run_for(process::DEADLINE);
        }
        let (_, code) = speaker.kill()?;
        self.hub.kill()?;
        Ok(code)
    }

    /// A hub that is killed while it opens, up to three times in a row.
    fn kill_opening_hub(&mut self) -> anyhow::Result<()> {
        self.hub.kill()?;
        for _ in 0..self.rng.random_range(1..4) {
            let opening = self.hub.start()?;
            let time = self.micros(120);
            let (mut said, _) = opening.run_for(time);
            let (mut rest, code) = opening.kill()?;
            said.append(&mut rest);
            let is_up = said.iter().any(|line| line.starts_with("pages:"));
            self.hit(if is_up { Activity::HubIdle } else { Activity::HubOpen });
            if let Some(code) = code {
                let why = process::tail(&self.hub.root.join("hub.log"), 600);
                self.score.unopenable.push(format!("the hub ended with {code} while opening: {said:?} {why}"));
            }
        }
        self.look_at_hub();
        self.hub.serve()?;
        Ok(())
    }

    fn replace_tablet(&mut self) -> anyhow::Result<()> {
        let oldest = self.tablets.iter().enumerate().max_by_key(|(_, tablet)| tablet.rounds).map(|(at, _)| at);
        let at = oldest.context("no tablet")?;
        if self.tablets[at].rounds >= ROUNDS_OF_A_TABLET {
            self.look_at_tablet(at);
            let old = self.tablets.swap_remove(at);
            self.promises.retire(&old.name);
            if self.score.is_clean() {
                std::fs::remove_dir_all(&old.data)?;
            }
        }
        let tablet = self.new_tablet();
        let time = self.micros(120);
        self.enrol(&tablet, time)?;
        if self.tablets.len() < TABLETS {
            self.tablets.push(tablet);
        } else {
            self.promises.retire(&tablet.name);
            std::fs::remove_dir_all(&tablet.data)?;
        }
        Ok(())
    }

    /// Enrols a tablet. If it is killed first, the same ticket must do afterwards.
    fn enrol(&mut self, tablet: &Tablet, kill_after: Duration) -> anyhow::Result<()> {
        let ticket = self.hub.ticket(store::PERSON)?;
        if !kill_after.is_zero() {
            let speaker = self.store(tablet, Mix::Enrol, Some(&ticket))?;
            let (mut said, _) = speaker.run_for(kill_after);
            let (rest, code) = speaker.kill()?;
            said.extend(rest);
            self.hear(&said);
            self.hit(if code.is_none() { Activity::Enrolment } else { Activity::HadEnded });
            ensure!(code.is_none_or(|code| code == 0), "enrolling ended with {code:?}");
            if !tablet.data.exists() {
                return self.enrol(tablet, Duration::ZERO);
            }
            let (found, _) = store::look(&tablet.data).context("after a kill while enrolling")?;
            let broken = self.promises.check_tablet(&tablet.name, &found);
            self.note(broken);
            if found.is_enrolled {
                return Ok(());
            }
        }
        let speaker = self.store(tablet, Mix::Enrol, Some(&ticket))?;
        let (said, ended) = speaker.run_for(process::DEADLINE);
        let (rest, code) = speaker.kill()?;
        self.hear(&said);
        self.hear(&rest);
        if !ended || code != Some(0) {
            bail!("{} was not enrolled: {code:?} {}", tablet.name, process::tail(&self.errors(&tablet.name), 600));
        }
        Ok(())
    }

    fn note(&mut self, broken: Broken) {
        self.score.lost.extend(broken.lost);
        self.score.invented.extend(broken.invented);
    }

    fn look_at_tablet(&mut self, at: usize) {
        let (name, data) = (self.tablets[at].name.clone(), self.tablets[at].data.clone());
        self.score.looks += 1;
        match store::look(&data) {
            Ok((found, _)) => {
                let broken = self.promises.check_tablet(&name, &found);
                self.note(broken);
            }
            Err(error) => self.score.unopenable.push(format!("{name}: {error:#}")),
        }
    }

    /// The hub must not run.
    fn look_at_hub(&mut self) -> Option<HubFound> {
        self.score.looks += 1;
        match look_at_hub(self.hub.data()) {
            Ok(found) => {
                let broken = self.promises.check_hub(&found.found);
                self.note(broken);
                self.ids.clone_from(&found.ids);
                Some(found)
            }
            Err(error) => {
                self.score.unopenable.push(format!("hub: {error:#}"));
                None
            }
        }
    }

    fn look_at_everything(&mut self) -> anyhow::Result<()> {
        for at in 0..self.tablets.len() {
            self.look_at_tablet(at);
        }
        self.hub.kill()?;
        self.look_at_hub();
        let verified = ran(&mut self.hub.command(&["verify"])?)?;
        if verified.code != Some(0) {
            self.score.lost.push(format!("the hub's store does not verify: {verified:?}"));
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Store,
    Hub,
}
