//! The simulator's command: many seeds, and what came of them.
//!
//! The last line of the output is one JSON object. A failing seed prints one command that plays it again.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command-line program speaks through it")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use qianmo_client_core::forms::FormSet;
use qianmo_tests::bench::commit;
use qianmo_tests::sim::coverage::State;
use qianmo_tests::sim::plan::Fault;
use qianmo_tests::sim::shrink::{kind_of, shrink};
use qianmo_tests::sim::{Coverage, Outcome, Plan, Scale, run, world};

/// Runs whole organisations in virtual time, with faults drawn from seeds, and checks that nothing is lost.
#[derive(Parser)]
#[command(name = "sim", version, about)]
struct Arguments {
    /// How many seeds.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How large a run is.
    #[arg(long, value_enum, default_value_t = Size::Short)]
    scale: Size,
    /// Runs of one seed in a process at a time.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Of every so many seeds one is run twice, and the traces must be equal.
    #[arg(long, default_value_t = 50)]
    twice_every: u64,
    /// Only these steps of the plan, by number: what shrinking found.
    #[arg(long, value_delimiter = ',')]
    keep: Option<Vec<usize>>,
    /// Prints everything that happens; for one seed.
    #[arg(long)]
    told: bool,
    /// Prints the plan of one seed as a story, and does not run it.
    #[arg(long)]
    story: bool,
    /// Begins no further seed after so many minutes, and reports those that were run.
    #[arg(long)]
    minutes: Option<u64>,
    /// Goes on after a failure.
    #[arg(long)]
    keep_going: bool,
    /// Prints which fault hit which state.
    #[arg(long)]
    coverage: bool,
    /// Puts known bugs back, one after another, and asks that a checker finds each within a minute.
    #[cfg(feature = "bugs")]
    #[arg(long)]
    bugs: bool,
    /// The same for one of them, by its name.
    #[cfg(feature = "bugs")]
    #[arg(long)]
    bug: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Size {
    /// Three tablets, some days.
    Short,
    /// Twelve tablets, ninety days.
    Long,
}

impl Size {
    const fn scale(self) -> Scale {
        match self {
            Self::Short => Scale::Short,
            Self::Long => Scale::Long,
        }
    }
}

/// What all seeds came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    failures: u64,
    first: Option<(u64, Vec<String>)>,
    faults: u64,
    changes: u64,
    messages: u64,
    checked_twice: u64,
    coverage: Coverage,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let forms = match FormSet::open(None) {
        Ok(forms) => Arc::new(forms),
        Err(error) => {
            eprintln!("sim: the built-in forms cannot be read: {error}");
            return ExitCode::FAILURE;
        }
    };
    #[cfg(feature = "bugs")]
    if arguments.bugs || arguments.bug.is_some() {
        return hunt(&arguments, &forms);
    }
    if arguments.story {
        println!("{:#}", serde_json::json!(plan_of(&arguments, arguments.from)));
        return ExitCode::SUCCESS;
    }
    if arguments.told || arguments.keep.is_some() {
        return one(&arguments, &forms);
    }
    many(&arguments, &forms)
}

fn plan_of(arguments: &Arguments, seed: u64) -> Plan {
    let plan = Plan::draw(seed, arguments.scale.scale());
    match &arguments.keep {
        Some(keep) => plan.keeping(keep),
        None => plan,
    }
}

/// Plays one seed and tells what happens.
fn one(arguments: &Arguments, forms: &Arc<FormSet>) -> ExitCode {
    let plan = plan_of(arguments, arguments.from);
    let (outcome, told) = world::run_told(&plan, forms);
    if arguments.told {
        told.iter().for_each(|line| println!("{line}"));
    }
    outcome.problems.iter().for_each(|problem| println!("{problem}"));
    println!(
        "{}",
        serde_json::json!({
            "commit": commit(),
            "seed": arguments.from,
            "scale": arguments.scale.scale().word(),
            "steps": plan.steps.len(),
            "events": outcome.events,
            "messages": outcome.messages,
            "problems": outcome.problems.len(),
            "trace": hex(&outcome.trace),
        })
    );
    if outcome.problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn many(arguments: &Arguments, forms: &Arc<FormSet>) -> ExitCode {
    let began = Instant::now();
    let bar = ProgressBar::new(arguments.seeds);
    if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} seeds, {per_sec}, {eta} left {msg}") {
        bar.set_style(style);
    }
    let next = AtomicU64::new(arguments.from);
    let stop = AtomicBool::new(false);
    let end = arguments.from + arguments.seeds;
    let is_late = || arguments.minutes.is_some_and(|minutes| began.elapsed().as_secs() >= minutes * 60);
    let (done, results) = channel::<(u64, Outcome, Option<Outcome>)>();
    let mut sum = Sum::default();
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads.max(1) {
            let (done, next, stop, is_late) = (done.clone(), &next, &stop, &is_late);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) && !is_late() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        break;
                    }
                    let plan = plan_of(arguments, seed);
                    let outcome = guarded(&plan, forms);
                    let again = (seed % arguments.twice_every.max(1) == 0).then(|| guarded(&plan, forms));
                    if done.send((seed, outcome, again)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(done);
        for (seed, outcome, again) in results {
            bar.inc(1);
            take(&mut sum, seed, outcome, again);
            if sum.failures > 0 {
                bar.set_message(format!("{} FAILED", sum.failures));
                if !arguments.keep_going {
                    stop.store(true, Ordering::Relaxed);
                }
            }
        }
    });
    bar.finish_and_clear();
    report(arguments, forms, &sum, began.elapsed().as_secs_f64())
}

/// A run whose panic is a failure like any other.
fn guarded(plan: &Plan, forms: &Arc<FormSet>) -> Outcome {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(plan, forms))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Outcome {
            problems: vec![format!("panic: {text}")],
            trace: [0; 32],
            events: 0,
            messages: 0,
            faults: 0,
            changes: 0,
            coverage: Coverage::default(),
        }
    })
}

fn take(sum: &mut Sum, seed: u64, outcome: Outcome, again: Option<Outcome>) {
    sum.seeds += 1;
    sum.faults += outcome.faults;
    sum.changes += outcome.changes as u64;
    sum.messages += outcome.messages;
    sum.coverage.add(&outcome.coverage);
    let mut problems = outcome.problems;
    if let Some(again) = again {
        sum.checked_twice += 1;
        if again.trace != outcome.trace {
            problems.push("the same seed gave another trace".to_owned());
        }
    }
    if !problems.is_empty() {
        sum.failures += 1;
        eprintln!("seed {seed}: {}", problems.join("; "));
        if sum.first.as_ref().is_none_or(|(first, _)| *first > seed) {
            sum.first = Some((seed, problems));
        }
    }
}

fn report(arguments: &Arguments, forms: &Arc<FormSet>, sum: &Sum, seconds: f64) -> ExitCode {
    if arguments.coverage {
        print_coverage(&sum.coverage);
    }
    let scale = arguments.scale.scale();
    let mut replay = None;
    if let Some((seed, problems)) = &sum.first {
        let plan = Plan::draw(*seed, scale);
        let kind = problems.first().map(|problem| kind_of(problem)).unwrap_or_default();
        let steps = shrink(&plan, forms, &kind);
        let keep: Vec<String> = steps.iter().map(ToString::to_string).collect();
        let command = format!(
            "cargo run --release -p qianmo-tests --bin sim -- --scale {} --from {seed} --told --keep {}",
            scale.word(),
            keep.join(",")
        );
        println!(
            "{}\nplay it again with {} of {} steps:\n{command}",
            problems.join("\n"),
            steps.len(),
            plan.steps.len()
        );
        println!("as a story for tests/stories:\n{}", serde_json::json!(plan.keeping(&steps)));
        replay = Some(command);
    }
    let (pairs, of) = sum.coverage.pairs();
    let cores = arguments.threads.max(1) as f64;
    println!(
        "{}",
        serde_json::json!({
            "commit": commit(),
            "figure": "simulated seeds",
            "scale": scale.word(),
            "from": arguments.from,
            "seeds": sum.seeds,
            "failures": sum.failures,
            "bound_95": if sum.failures == 0 { Some(3.0 / sum.seeds.max(1) as f64) } else { None },
            "faults": sum.faults,
            "changes": sum.changes,
            "messages": sum.messages,
            "run_twice": sum.checked_twice,
            "seconds": (seconds * 10.0).round() / 10.0,
            "seeds_per_core_second": (sum.seeds as f64 / seconds / cores * 10.0).round() / 10.0,
            "coverage": { "fault_state_pairs": pairs, "of": of, "marks": sum.coverage.marks },
            "first_failing_seed": sum.first.as_ref().map(|(seed, _)| seed),
            "replay": replay,
        })
    );
    if sum.failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Puts bugs back: one in this process, or all in processes of their own.
#[cfg(feature = "bugs")]
fn hunt(arguments: &Arguments, forms: &Arc<FormSet>) -> ExitCode {
    use qianmo_protocol::bugs::Bug;
    use qianmo_tests::sim::bugs::{CPU_SECONDS_MAX, hunt, hunt_all};
    if let Some(name) = &arguments.bug {
        let Some(bug) = Bug::by_name(name) else {
            eprintln!("sim: there is no bug {name}; the names are in docs/reliability.md");
            return ExitCode::FAILURE;
        };
        std::panic::set_hook(Box::new(|_| {}));
        let found = hunt(bug, forms, guarded);
        println!("{}", serde_json::json!(found));
        return if found.said.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let began = Instant::now();
    let all = hunt_all(&Bug::ALL, arguments.threads, |found| {
        let said = found.said.as_deref().unwrap_or("NOT FOUND");
        let said: String = said.chars().take(100).collect();
        println!("{:<32} {:>6} seeds {:>6.1} s  {said}", found.bug, found.seeds, found.seconds);
    });
    let caught = all.iter().filter(|found| found.said.is_some()).count();
    let slowest = all.iter().max_by(|one, other| one.seconds.total_cmp(&other.seconds));
    let missed: Vec<&String> = all.iter().filter(|found| found.said.is_none()).map(|found| &found.bug).collect();
    let tenths = |seconds: f64| (seconds * 10.0).round() / 10.0;
    println!(
        "{}",
        serde_json::json!({
            "commit": commit(),
            "figure": "injected bugs",
            "bugs": all.len(),
            "caught": caught,
            "missed": missed,
            "slowest": slowest.map(|found| &found.bug),
            "slowest_seconds": slowest.map(|found| tenths(found.seconds)),
            "seconds_max": CPU_SECONDS_MAX,
            "seeds": all.iter().map(|found| found.seeds).sum::<u64>(),
            "core_seconds": tenths(all.iter().map(|found| found.seconds).sum()),
            "seconds": tenths(began.elapsed().as_secs_f64()),
            "found": all.iter().map(|found| serde_json::json!({
                "bug": found.bug, "checker": found.checker, "seeds": found.seeds, "seconds": tenths(found.seconds),
            })).collect::<Vec<_>>(),
        })
    );
    if caught == all.len() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn print_coverage(coverage: &Coverage) {
    print!("{:<16}", "fault");
    State::ALL.iter().for_each(|state| print!("{:>11}", state.word()));
    println!();
    for fault in Fault::ALL {
        print!("{:<16}", format!("{fault:?}"));
        for state in State::ALL {
            print!("{:>11}", coverage.faults.get(&(fault, state)).copied().unwrap_or(0));
        }
        println!();
    }
    for (act, count) in &coverage.acts {
        println!("{act:?}: {count}");
    }
}
