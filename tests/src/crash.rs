//! Crashes of real processes and real files.
//!
//! Everything here works on the programs and files that people use: processes are killed with SIGKILL, files are those of a
//! folder. What a store confirmed before the crash is written down by [`promises`]; what is found after it is compared with
//! that. A run ends with one JSON line; what it finds keeps its folder and says the command that repeats it.

pub mod activity;
pub mod derived;
pub mod full;
pub mod index_state;
pub mod kill;
pub mod power;
pub mod process;
pub mod promises;
pub mod store;
pub mod trace;
pub mod traced;
pub mod watched_disk;

use tempfile::TempDir;

/// Says something to a person at the terminal.
#[expect(clippy::print_stderr, reason = "a command-line program speaks through it")]
pub fn complain(said: &str) {
    eprintln!("crash: {said}");
}

/// A folder for a run.
fn scratch(what: &str) -> std::io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("qianmo-crash-{what}-")).tempdir()
}
