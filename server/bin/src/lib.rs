//! `qianmo-server`: the command line of the hub, and its demo.
//!
//! Reads the command line, runs one command, and ends with a documented exit code. What went wrong goes to standard error
//! with what to do next; what was asked for goes to standard output.
//!
//! # Layout
//!
//! ```text
//! cli       what may be typed            settings  which configuration holds
//! commands  one function for each        office    carries them out, on the running hub or on the store
//! demo      everything on one machine    control_socket  how a command reaches the running hub
//! ```
//!
//! # Failure
//!
//! `failure::Failure`. A reader of the output that went away is none.

mod cli;
mod commands;
mod control_socket;
mod demo;
mod failure;
mod lang;
mod logs;
mod office;
mod qr;
mod sample;
mod screen;
mod settings;
mod times;

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{Cli, Command};
use crate::failure::{Exit, Failure};
use crate::lang::Lang;

/// Runs the program with this process's arguments and environment.
#[must_use]
pub fn main_from_env() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return show_usage(&error),
    };
    let lang = Lang::choose(cli.common.lang, |name| std::env::var(name).ok());
    match run(cli, lang) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_broken_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // If standard error is gone too, the exit code says it.
            writeln!(io::stderr(), "{}", failure.render(lang)).unwrap_or_default();
            failure.exit.into()
        }
    }
}

/// Help and version go to standard output and are no failure; a wrong command line is.
fn show_usage(error: &clap::Error) -> ExitCode {
    let is_wrong = error.use_stderr();
    // A reader that went away has seen enough.
    error.print().unwrap_or_default();
    if is_wrong { Exit::Usage.into() } else { ExitCode::SUCCESS }
}

fn run(cli: Cli, lang: Lang) -> Result<(), Failure> {
    let Cli { common, command } = cli;
    match command {
        Command::Init(args) => commands::init::run(&common, &args, lang),
        Command::Serve(args) => commands::serve::run(&common, &args, lang),
        Command::Enroll(args) => commands::devices::enroll(&common, args, lang),
        Command::Devices(args) => commands::devices::list(&common, &args, lang),
        Command::Revoke(args) => commands::devices::revoke(&common, args, lang),
        Command::Account(args) => commands::account::run(&common, args, lang),
        Command::Confirm(args) => commands::devices::confirm(&common, args, lang),
        Command::Bundle(args) => commands::bundle::run(&common, &args, lang),
        Command::Purge(args) => commands::purge::run(&common, &args, lang),
        Command::Release(args) => commands::release::run(&common, args, lang),
        Command::RequireVersion(args) => commands::versions::require(&common, &args, lang),
        Command::Stats(args) => commands::store::stats(&common, &args, lang),
        Command::Rebuild(args) => commands::store::rebuild(&common, &args, lang),
        Command::Export(args) => commands::store::export(&common, &args, lang),
        Command::Verify(args) => commands::store::verify(&common, &args, lang),
        Command::Backup(args) => commands::store::backup(&common, &args, lang),
        Command::Restore(args) => commands::store::restore(&common, &args, lang),
        Command::Demo(args) => demo::run(&common, &args, lang),
    }
}
