//! Crash runs: kill -9, power cuts, full and failing disks, on real processes and real files.
//!
//! Each run prints one JSON line and ends with 1 when anything was lost, invented or could not be opened.

use std::io::{Write as _, stdout};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use qianmo_tests::crash::derived::{self, DerivedOrder};
use qianmo_tests::crash::full::{self, FullOrder};
use qianmo_tests::crash::kill::{self, KillOrder};
use qianmo_tests::crash::power::{self, PowerOrder};
use qianmo_tests::crash::traced::{self, TracedOrder};
use qianmo_tests::crash::{complain, process};

/// Crashes real processes and looks at what is left.
#[derive(Parser)]
#[command(name = "crash", version, about)]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// kill -9 of hub, tablet and administrator's commands at random moments.
    Kill(KillOrder),
    /// Power cuts at any file operation: images of what is left are opened and compared.
    Power(PowerOrder),
    /// Power cuts on whole folders of the real programs, traced with strace.
    Traced(TracedOrder),
    /// Full disks, and every operation of a disk failing.
    Full(FullOrder),
    /// Index and read model deleted, cut, flipped, overwritten.
    Derived(DerivedOrder),
}

fn main() -> ExitCode {
    if let Some(ended) = process::part() {
        return ended;
    }
    let ran = match Arguments::parse().what {
        What::Kill(order) => kill::run(&order),
        What::Power(order) => power::run(&order),
        What::Traced(order) => traced::run(&order),
        What::Full(order) => full::run(&order),
        What::Derived(order) => derived::run(&order),
    };
    let (line, is_clean) = match ran {
        Ok(ran) => ran,
        Err(error) => {
            complain(&format!("{error:#}"));
            return ExitCode::FAILURE;
        }
    };
    let said = writeln!(stdout(), "{line}");
    if said.is_ok() && is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
