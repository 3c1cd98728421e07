//! Known attacks against a real hub: one JSON line for each, and one with all of them at the end.
//!
//! The hub runs in a process of its own with a heap that is counted. The program fails when an attack ends otherwise than it
//! must, costs more than 5 ms of the hub's processor or 1 MiB of its heap for a message, or keeps an honest tablet out.
#![expect(clippy::print_stderr, reason = "a command-line program speaks through it")]

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use peak_alloc::PeakAlloc;
use qianmo_tests::attack::corpus::{self, Arena, Outcome};
use qianmo_tests::attack::honest::Honest;
use qianmo_tests::attack::hub_process::{Heap, HubProcess, serve};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Attacks a hub of its own and measures what that costs.
#[derive(Parser)]
#[command(name = "attack", version, about)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// How long Initials pour in, in seconds; 0 leaves floods and slow connections out.
    #[arg(long, default_value_t = 10)]
    flood_seconds: u64,
    /// Initials a second of the larger flood; the smaller one is 5,000.
    #[arg(long, default_value_t = 25_000)]
    flood_rate: u32,
    /// Connections that are slow on purpose.
    #[arg(long, default_value_t = 500)]
    slow_connections: usize,
    /// Packs of the dearest kind on each of four connections.
    #[arg(long, default_value_t = 12)]
    dear_packs: usize,
    /// How often each attack is played; the least processor time and the most heap count.
    #[arg(long, default_value_t = 3)]
    times: usize,
    /// Only attacks whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Judge how attacks end and not what they cost: for a build without optimisation.
    #[arg(long)]
    endings_only: bool,
}

#[derive(Subcommand)]
enum What {
    /// The hub's process.
    #[command(hide = true)]
    Hub {
        /// Where its store is.
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let ran = match &arguments.what {
        Some(What::Hub { folder }) => serve(folder, heap()).map(|()| true),
        None => run(&arguments),
    };
    match ran {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("attack: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn heap() -> Heap {
    Heap {
        current: || ALLOCATOR.current_usage(),
        peak: || ALLOCATOR.peak_usage(),
        reset: || ALLOCATOR.reset_peak_usage(),
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let folder = tempfile::tempdir()?;
    runtime.block_on(async {
        let mut hub = HubProcess::start(&std::env::current_exe()?, folder.path()).await?;
        let honest = Honest::enrol(&mut hub, &folder.path().join("tablet"), "P01").await?;
        let mut arena = Arena::new(hub, honest, 1_000).await?;
        let attacks = attacks(&mut arena, arguments).await?;
        let crowds = if arguments.flood_seconds > 0 { crowds(&mut arena, arguments).await? } else { json!({}) };
        let Arena { hub, honest, .. } = arena;
        honest.close().await?;
        hub.stop().await?;
        report(&attacks, &crowds, arguments)
    })
}

async fn attacks(arena: &mut Arena, arguments: &Arguments) -> anyhow::Result<Vec<Outcome>> {
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
    let mut outcomes = Vec::new();
    for attack in corpus::all().iter().filter(|attack| is_wanted(attack.name)) {
        let outcome = arena.play(attack, arguments.times.max(1)).await?;
        say(&outcome.values())?;
        outcomes.push(outcome);
    }
    if arguments.only.is_none() {
        let crowd = [
            arena.guess_tickets(20).await.context("guessed tickets")?,
            arena.strangers(50).await.context("strangers")?,
            arena.hellos(50).await.context("hellos")?,
            arena.spoilt_initials().await.context("malformed Initials")?,
            arena.never_reading(200).await.context("never reading")?,
        ];
        for outcome in crowd {
            say(&outcome.values())?;
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

async fn crowds(arena: &mut Arena, arguments: &Arguments) -> anyhow::Result<Value> {
    let lasting = Duration::from_secs(arguments.flood_seconds);
    let mut floods = Vec::new();
    for rate in [5_000, arguments.flood_rate] {
        let flood = arena.flooded(rate, lasting).await.context("the flood")?;
        say(&flood)?;
        floods.push(flood);
    }
    let dear = arena.dear(arguments.dear_packs).await.context("dear packs")?;
    say(&dear)?;
    let slow = arena.slow(arguments.slow_connections, 5_000).await.context("slow connections")?;
    say(&slow)?;
    Ok(json!({ "floods": floods, "dear": dear, "slow": slow }))
}

/// Prints the last line, and answers whether all is well.
fn report(attacks: &[Outcome], crowds: &Value, arguments: &Arguments) -> anyhow::Result<bool> {
    let is_bad = |outcome: &&Outcome| {
        if arguments.endings_only { !outcome.is_as_it_must() } else { !outcome.is_good() }
    };
    let bad: Vec<&str> = attacks.iter().filter(is_bad).map(|outcome| outcome.name).collect();
    let limited = || attacks.iter().filter(|outcome| outcome.is_limited());
    let worst = |of: fn(&Outcome) -> u64| limited().map(of).max().unwrap_or_default();
    say(&json!({
        "attacks": attacks.len(),
        "failed": bad,
        "cpu_us_worst": worst(Outcome::cpu_us),
        "peak_alloc_bytes_worst": worst(Outcome::heap),
        "crowds": crowds,
        "all": attacks.iter().map(Outcome::values).collect::<Vec<_>>(),
    }))?;
    let is_kept_out = |crowd: &Value| crowd["honest_success_percent"].as_f64().is_some_and(|percent| percent < 100.0);
    let floods = crowds["floods"].as_array().map(Vec::as_slice).unwrap_or_default();
    let others = [&crowds["dear"], &crowds["slow"]];
    Ok(bad.is_empty() && !floods.iter().chain(others).any(is_kept_out))
}

fn say(value: &Value) -> anyhow::Result<()> {
    let mut out = stdout();
    writeln!(out, "{value}")?;
    Ok(out.flush()?)
}
