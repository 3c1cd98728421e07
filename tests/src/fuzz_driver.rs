//! The command line of the fuzz targets: `cargo run --release -p qianmo-tests --bin fuzz`.
//!
//! Executions are done by processes of their own, so that memory is counted for one input at a time and an abort or an
//! endless loop is a finding like a panic. The one in front shows how far they are, looks for the input that ended one
//! of them, and prints one JSON object at the end.
//!
//! # Failure
//!
//! A finding is made smaller and written to the folder of findings, with the command that repeats it; the run goes on
//! and ends with failure.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead as _, BufReader, Write as _, stdout};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use self::engine::{Inputs, confirmed_time, execute, listen_to_panics, shrink};
use crate::bench::commit;
use crate::fuzz::{TARGETS, Target, corpus, target_named};

pub mod engine;

/// A worker that is silent for so long is taken for stuck.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// The same when single inputs are run.
const INPUT_TIME_MAX: Duration = Duration::from_secs(20);
/// How often a worker reports.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How long a worker stays with one target.
const ROUND: Duration = Duration::from_millis(400);

/// Runs the fuzz targets; the last line is one JSON object.
#[derive(Parser, Clone, Debug)]
#[command(name = "fuzz", version, about)]
pub struct Arguments {
    /// One target, or all of them.
    #[arg(long, default_value = "all")]
    target: String,
    /// How many executions, all targets together; what costs more gets fewer.
    #[arg(long, default_value_t = 200_000, conflicts_with = "seconds")]
    executions: u64,
    /// How long instead; every target gets the same time.
    #[arg(long)]
    seconds: Option<u64>,
    /// All randomness follows from it.
    #[arg(long, default_value_t = 20_261_123)]
    seed: u64,
    /// Processes that work at once.
    #[arg(long, default_value_t = 2)]
    jobs: u64,
    /// The folder of corpora.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Where findings are written.
    #[arg(long, default_value = "fuzz-findings")]
    findings: PathBuf,
    /// Runs one input of the target.
    #[arg(long)]
    replay: Option<PathBuf>,
    /// Lists the targets.
    #[arg(long)]
    list: bool,
    /// A worker's number.
    #[arg(long, hide = true)]
    worker: Option<u64>,
    /// Inputs of a worker to be run one by one, from and to.
    #[arg(long, hide = true, num_args = 2)]
    range: Option<Vec<u64>>,
}

/// Carries out a command line.
#[must_use]
pub fn run(arguments: &Arguments) -> ExitCode {
    match ran(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            told(&format!("fuzz: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn told(line: &str) {
    // Nobody may be listening any more.
    writeln!(io::stderr(), "{line}").ok();
}

fn ran(arguments: &Arguments) -> anyhow::Result<bool> {
    if arguments.list {
        for target in &TARGETS {
            writeln!(stdout(), "{}", target.name)?;
        }
        return Ok(true);
    }
    let targets = targets(&arguments.target)?;
    if let Some(file) = &arguments.replay {
        return replayed(targets.first().copied().filter(|_| targets.len() == 1), file);
    }
    match (arguments.worker, arguments.range.as_deref()) {
        (Some(worker), Some([from, to])) => one_by_one(arguments, &targets, worker, *from..*to),
        (Some(worker), _) => Worker::new(arguments, &targets, worker)?.work(),
        (None, _) => Front::new(arguments, targets).work(),
    }
}

fn targets(name: &str) -> anyhow::Result<Vec<&'static Target>> {
    if name == "all" {
        return Ok(TARGETS.iter().collect());
    }
    let target = target_named(name).ok_or_else(|| anyhow!("no target is called '{name}'; --list shows them"))?;
    Ok(vec![target])
}

fn replayed(target: Option<&Target>, file: &Path) -> anyhow::Result<bool> {
    let target = target.context("an input belongs to one target: give --target")?;
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let outcome = execute(target, &bytes);
    let time = confirmed_time(target, &bytes, outcome.time);
    let line = json!({
        "target": target.name, "bytes": bytes.len(), "us": micros(time), "peak_alloc_bytes": outcome.peak_bytes,
        "failure": outcome.failure,
    });
    writeln!(stdout(), "{line}")?;
    Ok(outcome.failure.is_none())
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The seed of a worker: no two do the same.
fn seed_of(seed: u64, worker: u64) -> u64 {
    seed.wrapping_add(worker.wrapping_mul(0x0001_0000_0001))
}

fn inputs_of(arguments: &Arguments, target: &'static Target, worker: u64) -> anyhow::Result<Inputs> {
    let folder = arguments.corpus.clone().unwrap_or_else(corpus::folder);
    let known = corpus::load(target, &folder).with_context(|| folder.display().to_string())?;
    Ok(Inputs::new(target, known, seed_of(arguments.seed, worker)))
}

/// One target in a worker.
struct Job {
    target: &'static Target,
    inputs: Inputs,
    next: u64,
    /// How many it is to do; without an end when time decides.
    quota: u64,
    spent: Duration,
    slowest: Duration,
    peak_bytes: usize,
    failures: BTreeSet<String>,
}

struct Worker {
    jobs: Vec<Job>,
    until: Option<Instant>,
    reported: Instant,
}

impl Worker {
    fn new(arguments: &Arguments, targets: &[&'static Target], worker: u64) -> anyhow::Result<Self> {
        let shares: u64 = targets.iter().map(|target| target.share).sum();
        let mut jobs = Vec::new();
        for target in targets {
            let quota = match arguments.seconds {
                Some(_) => u64::MAX,
                None => (arguments.executions * target.share).div_ceil(shares * arguments.jobs),
            };
            let inputs = inputs_of(arguments, target, worker)?;
            let (spent, slowest) = (Duration::ZERO, Duration::ZERO);
            jobs.push(Job { target, inputs, next: 0, quota, spent, slowest, peak_bytes: 0, failures: BTreeSet::new() });
        }
        let until = arguments.seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
        Ok(Self { jobs, until, reported: Instant::now() })
    }

    /// Each target in turn, the one that had the least time first.
    fn work(mut self) -> anyhow::Result<bool> {
        listen_to_panics();
        while self.until.is_none_or(|until| Instant::now() < until) {
            let waiting = self.jobs.iter().enumerate().filter(|(_, job)| job.next < job.quota);
            let Some((number, _)) = waiting.min_by_key(|(_, job)| job.spent) else { break };
            say(&json!({ "round": self.jobs[number].target.name, "from": self.jobs[number].next }))?;
            let start = Instant::now();
            while start.elapsed() < ROUND && self.jobs[number].next < self.jobs[number].quota {
                self.jobs[number].step()?;
                if self.reported.elapsed() > REPORT_EVERY {
                    self.reported = Instant::now();
                    self.jobs[number].report()?;
                }
            }
            self.jobs[number].spent += start.elapsed();
            self.jobs[number].report()?;
        }
        say(&json!({ "done": true }))?;
        Ok(true)
    }
}

fn say(line: &Value) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

impl Job {
    fn step(&mut self) -> anyhow::Result<()> {
        let bytes = self.inputs.input(self.next);
        self.next += 1;
        let outcome = execute(self.target, &bytes);
        if let Some(failure) = &outcome.failure {
            return self.failed(&bytes, failure);
        }
        self.peak_bytes = self.peak_bytes.max(outcome.peak_bytes);
        if outcome.time > self.slowest {
            self.slowest = self.slowest.max(confirmed_time(self.target, &bytes, outcome.time));
        }
        Ok(())
    }

    /// One finding for each place.
    fn failed(&mut self, bytes: &[u8], failure: &str) -> anyhow::Result<()> {
        let place = |failure: &str| failure.split(": ").next().unwrap_or_default().to_owned();
        let mut known = place(failure);
        if known.ends_with("memory") || known.contains("cost") {
            known = "memory".to_owned();
        }
        if !self.failures.insert(known.clone()) {
            return Ok(());
        }
        let fails = |bytes: &[u8]| {
            execute(self.target, bytes).failure.is_some_and(|other| other.starts_with(&known) || known == "memory")
        };
        let small = shrink(bytes, fails);
        let failure = execute(self.target, &small).failure.unwrap_or_else(|| failure.to_owned());
        Ok(say(&json!({ "target": self.target.name, "failure": failure, "bytes": small }))?)
    }

    fn report(&self) -> io::Result<()> {
        say(&json!({
            "target": self.target.name, "executions": self.next, "slowest_us": micros(self.slowest),
            "peak_alloc_bytes": self.peak_bytes, "room": self.target.room.of(0),
        }))
    }
}

/// Says each number before it is run: the last one said is the one that ended the process.
fn one_by_one(
    arguments: &Arguments,
    targets: &[&'static Target],
    worker: u64,
    range: std::ops::Range<u64>,
) -> anyhow::Result<bool> {
    listen_to_panics();
    let target = targets.first().copied().context("no target")?;
    let inputs = inputs_of(arguments, target, worker)?;
    for number in range {
        say(&json!({ "number": number }))?;
        drop(execute(target, &inputs.input(number)));
    }
    say(&json!({ "done": true }))?;
    Ok(true)
}

/// What a worker said last.
#[derive(Default)]
struct Seen {
    round: String,
    from: u64,
    is_done: bool,
    executions: BTreeMap<String, u64>,
}

/// The process that a person started.
struct Front<'a> {
    arguments: &'a Arguments,
    targets: Vec<&'static Target>,
    slowest_us: BTreeMap<String, u64>,
    peak_bytes: BTreeMap<String, u64>,
    findings: Vec<Value>,
}

enum Heard {
    Line(u64, Value),
    Ended(u64),
}

impl<'a> Front<'a> {
    fn new(arguments: &'a Arguments, targets: Vec<&'static Target>) -> Self {
        Self { arguments, targets, slowest_us: BTreeMap::new(), peak_bytes: BTreeMap::new(), findings: Vec::new() }
    }

    fn work(mut self) -> anyhow::Result<bool> {
        let (sender, receiver) = channel();
        let mut children = BTreeMap::new();
        for worker in 0..self.arguments.jobs.max(1) {
            children.insert(worker, self.spawn(worker, &sender)?);
        }
        drop(sender);
        let bar = self.bar();
        let start = Instant::now();
        let mut seen: BTreeMap<u64, Seen> = children.keys().map(|worker| (*worker, Seen::default())).collect();
        self.listen(&receiver, &mut children, &mut seen, &bar, start)?;
        bar.finish_and_clear();
        self.conclude(&seen, start.elapsed())
    }

    fn bar(&self) -> ProgressBar {
        let length = self.arguments.seconds.unwrap_or(self.arguments.executions);
        let unit = if self.arguments.seconds.is_some() { "s" } else { "executions" };
        let bar = ProgressBar::new(length);
        let template = format!("{{msg}} {{wide_bar}} {{pos}}/{{len}} {unit} {{eta}}");
        match ProgressStyle::with_template(&template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    fn command(&self, worker: u64, target: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        let all = self.arguments;
        command.args(["--target", target, "--seed", &all.seed.to_string()]);
        command.args(["--jobs", &all.jobs.max(1).to_string(), "--worker", &worker.to_string()]);
        match all.seconds {
            Some(seconds) => command.args(["--seconds", &seconds.to_string()]),
            None => command.args(["--executions", &all.executions.to_string()]),
        };
        if let Some(corpus) = &all.corpus {
            command.arg("--corpus").arg(corpus);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        Ok(command)
    }

    fn spawn(&self, worker: u64, sender: &Sender<Heard>) -> anyhow::Result<Child> {
        let mut child = self.command(worker, &self.arguments.target)?.spawn()?;
        let out = child.stdout.take().context("a worker without an output")?;
        let sender = sender.clone();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if let Ok(value) = serde_json::from_str(&line)
                    && sender.send(Heard::Line(worker, value)).is_err()
                {
                    return;
                }
            }
            // The front may have ended.
            sender.send(Heard::Ended(worker)).ok();
        });
        Ok(child)
    }

    fn listen(
        &mut self,
        receiver: &Receiver<Heard>,
        children: &mut BTreeMap<u64, Child>,
        seen: &mut BTreeMap<u64, Seen>,
        bar: &ProgressBar,
        start: Instant,
    ) -> anyhow::Result<()> {
        let mut spoke: BTreeMap<u64, Instant> = children.keys().map(|worker| (*worker, Instant::now())).collect();
        while !children.is_empty() {
            match receiver.recv_timeout(Duration::from_secs(1)) {
                Ok(Heard::Line(worker, line)) => {
                    spoke.insert(worker, Instant::now());
                    self.heard(seen.entry(worker).or_default(), &line)?;
                }
                Ok(Heard::Ended(worker)) => {
                    let Some(mut child) = children.remove(&worker) else { continue };
                    let status = child.wait()?;
                    spoke.remove(&worker);
                    if !seen.entry(worker).or_default().is_done {
                        self.ended(worker, &seen[&worker], &status.to_string())?;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            for (worker, _) in spoke.iter().filter(|(_, spoke)| spoke.elapsed() > SILENCE_MAX) {
                if let Some(child) = children.get_mut(worker) {
                    child.kill()?;
                }
            }
            let executions: u64 = seen.values().flat_map(|seen| seen.executions.values()).sum();
            bar.set_position(self.arguments.seconds.map_or(executions, |_| start.elapsed().as_secs()));
            bar.set_message(format!("{executions} executions, {} findings", self.findings.len()));
        }
        Ok(())
    }

    fn heard(&mut self, seen: &mut Seen, line: &Value) -> anyhow::Result<()> {
        let text = |key: &str| line.get(key).and_then(Value::as_str).map(str::to_owned);
        let number = |key: &str| line.get(key).and_then(Value::as_u64);
        if let (Some(round), Some(from)) = (text("round"), number("from")) {
            (seen.round, seen.from) = (round, from);
        }
        if line.get("done").is_some() {
            seen.is_done = true;
        }
        let Some(target) = text("target") else { return Ok(()) };
        if let Some(failure) = text("failure") {
            let bytes = line.get("bytes").and_then(Value::as_array).into_iter().flatten();
            let bytes: Vec<u8> = bytes.filter_map(|byte| u8::try_from(byte.as_u64()?).ok()).collect();
            self.found(&target, &failure, &bytes)?;
        }
        if let Some(executions) = number("executions") {
            seen.executions.insert(target.clone(), executions);
        }
        for (key, known) in [("slowest_us", &mut self.slowest_us), ("peak_alloc_bytes", &mut self.peak_bytes)] {
            if let Some(value) = number(key) {
                let most = known.entry(target.clone()).or_default();
                *most = value.max(*most);
            }
        }
        Ok(())
    }

    /// A worker ended before its time: the input that ended it is looked for among those of its last round.
    fn ended(&mut self, worker: u64, seen: &Seen, status: &str) -> anyhow::Result<()> {
        let target = target_named(&seen.round).with_context(|| format!("worker {worker} did not begin: {status}"))?;
        let from = seen.from;
        let mut command = self.command(worker, target.name)?;
        command.args(["--range", &from.to_string(), &u64::MAX.to_string()]);
        let number = last_number(command, from)?;
        let one = Arguments { target: target.name.to_owned(), ..self.arguments.clone() };
        let bytes = inputs_of(&one, target, worker)?.input(number);
        self.found(target.name, &format!("the process ended: {status}"), &bytes)
    }

    fn found(&mut self, target: &str, failure: &str, bytes: &[u8]) -> anyhow::Result<()> {
        std::fs::create_dir_all(&self.arguments.findings)?;
        let name: String = failure
            .bytes()
            .chain(bytes.iter().copied())
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
            .to_string();
        let file = self.arguments.findings.join(format!("{target}-{name}"));
        std::fs::write(&file, bytes)?;
        let replay =
            format!("cargo run --release -p qianmo-tests --bin fuzz -- --target {target} --replay {}", file.display());
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        told(&format!("FINDING in {target}: {failure}\n  {} bytes: {hex}\n  {replay}", bytes.len()));
        self.findings.push(json!({ "target": target, "failure": failure, "replay": replay }));
        Ok(())
    }

    fn conclude(&self, seen: &BTreeMap<u64, Seen>, time: Duration) -> anyhow::Result<bool> {
        let of = |target: &str| -> u64 { seen.values().filter_map(|seen| seen.executions.get(target)).sum() };
        let per_target: serde_json::Map<String, Value> = self
            .targets
            .iter()
            .map(|target| {
                let most = |known: &BTreeMap<String, u64>| known.get(target.name).copied().unwrap_or_default();
                let figures = json!({
                    "executions": of(target.name), "slowest_us": most(&self.slowest_us),
                    "peak_alloc_bytes": most(&self.peak_bytes),
                });
                (target.name.to_owned(), figures)
            })
            .collect();
        let executions: u64 = self.targets.iter().map(|target| of(target.name)).sum();
        if executions == 0 {
            bail!("nothing was executed");
        }
        let seconds = time.as_secs_f64();
        let jobs = u32::try_from(self.arguments.jobs.max(1)).unwrap_or(u32::MAX);
        let rate = f64::from(u32::try_from(executions).unwrap_or(u32::MAX)) / seconds / f64::from(jobs);
        let line = json!({
            "figure": "fuzz", "commit": commit(), "seed": self.arguments.seed, "executions": executions,
            "targets": per_target, "panics": self.findings.len(),
            "slowest_us": self.slowest_us.values().max(), "peak_alloc_bytes": self.peak_bytes.values().max(),
            "seconds": (seconds * 10.0).round() / 10.0, "executions_per_core_second": rate.round(),
            "findings": self.findings,
        });
        writeln!(stdout(), "{line}")?;
        Ok(self.findings.is_empty())
    }
}

/// Runs inputs one by one until the process ends or stays silent: the last number that it said.
fn last_number(mut command: Command, from: u64) -> anyhow::Result<u64> {
    let mut child = command.spawn()?;
    let out = child.stdout.take().context("a worker without an output")?;
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            let number = serde_json::from_str::<Value>(&line).ok().and_then(|line| line.get("number")?.as_u64());
            if let Some(number) = number
                && sender.send(number).is_err()
            {
                return;
            }
        }
    });
    let mut last = from;
    while let Ok(number) = receiver.recv_timeout(INPUT_TIME_MAX) {
        last = number;
    }
    child.kill().ok();
    child.wait()?;
    Ok(last)
}
