//! Benchmarks: one JSON line for each figure, with its seed and commit.
//!
//! `bench sync`, `bench import`, `bench projection` and `bench read` measure; `bench table` reads the lines of one or more runs and prints
//! the tables of `docs/measured.md`, with the median where a figure was measured several times. Times are of this machine
//! and are meant to be compared within one run.
#![expect(clippy::print_stderr, reason = "a command-line program speaks through it")]

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qianmo_tests::bench::import::{self, ChildOrder, ImportOrder};
use qianmo_tests::bench::projection::{self, ProjectionOrder};
use qianmo_tests::bench::read::{self, ReadOrder};
use qianmo_tests::bench::sync::{self, SyncOrder};
use qianmo_tests::bench::{Lines, table};

/// Measures; prints one JSON line for each figure.
#[derive(Parser)]
#[command(name = "bench", version, about)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// The day's sync, nothing to do, a new tablet, a restored hub, handshakes, the evening rush.
    Sync {
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        order: SyncOrder,
    },
    /// An old ledger read, and filed on a tablet: rows a second, memory.
    Import {
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        order: ImportOrder,
    },
    /// The read model: building it, lists, the change feed, searches, a year's figures.
    Projection {
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        order: ProjectionOrder,
    },
    /// The pages over HTTP: what the server takes for each list, with every sort of filter.
    Read {
        #[command(flatten)]
        runs: Runs,
        #[command(flatten)]
        order: ReadOrder,
    },
    /// Prints the tables of `docs/measured.md` from files of figures.
    Table {
        /// What the other commands printed.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// One import in a process of its own.
    #[command(hide = true)]
    ImportChild(ChildOrder),
}

#[derive(Parser, Clone)]
struct Runs {
    /// All randomness follows from it.
    #[arg(long, default_value_t = 20_260_417)]
    seed: u64,
    /// How often everything is measured.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

fn main() -> ExitCode {
    match run(Arguments::parse().what) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(what: What) -> anyhow::Result<()> {
    let mut out = stdout();
    match what {
        What::Sync { runs, order } => repeated(&runs, |lines| sync::run(lines, &order)),
        What::Import { runs, order } => repeated(&runs, |lines| import::run(lines, &order)),
        What::Projection { runs, order } => repeated(&runs, |lines| projection::run(lines, &order)),
        What::Read { runs, order } => repeated(&runs, |lines| read::run(lines, &order)),
        What::Table { files } => Ok(write!(out, "{}", table::of_files(&files)?)?),
        What::ImportChild(order) => Ok(writeln!(out, "{}", import::child(&order)?)?),
    }
}

fn repeated(runs: &Runs, mut measure: impl FnMut(&mut Lines<'_>) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let mut out = stdout();
    let mut lines = Lines::new(runs.seed, &mut out);
    for _ in 0..runs.repeat {
        measure(&mut lines)?;
    }
    Ok(())
}
