//! The gate: what a change must pass before it lands, as one local command.
//!
//! `cargo gate` runs every step below, `cargo gate clippy docs` only those; `.ci/run` calls it too, so the argument lists
//! stand in one place. What a step prints is passed through untouched, cargo's own closing lines with it. The slower part
//! (the README's commands, the unit file) is `.ci/run` itself.
//!
//! ```text
//! cargo gate                      all steps, in order, stopping at the first that fails
//! cargo gate STEP ...             these steps
//! cargo gate --list               the command lines, one a line
//! cargo gate --demo-report FILE   whether the last line of the demo's output says that all replicas converged
//! cargo gate --approved FILE      whether the official figures that stats printed are the sample ledger's
//! ```
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command-line program speaks through them")]

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};

/// One command of the gate.
struct Step {
    name: &'static str,
    arguments: &'static [&'static str],
    variables: &'static [(&'static str, &'static str)],
}

/// The quick ones first: a missing space should not cost a compilation.
const STEPS: [Step; 5] = [
    Step { name: "fmt", arguments: &["fmt", "--all", "--check"], variables: &[] },
    Step {
        name: "clippy",
        arguments: &["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"],
        variables: &[],
    },
    Step {
        name: "docs",
        arguments: &["doc", "--workspace", "--lib", "--no-deps", "--document-private-items", "--locked"],
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    // Apart, because the library and the program qianmo-server would write into one folder at the same time.
    Step {
        name: "docs-bins",
        arguments: &["doc", "--workspace", "--bins", "--no-deps", "--document-private-items", "--locked"],
        variables: &[("RUSTDOCFLAGS", "-D warnings")],
    },
    Step { name: "test", arguments: &["test", "--workspace"], variables: &[] },
];

/// What `cargo run` sets for this program and a nested cargo must not see: build scripts that watch these variables would
/// run again, and everything that depends on them would be built twice.
const INHERITED: [&str; 5] =
    ["CARGO_MANIFEST_DIR", "CARGO_MANIFEST_PATH", "CARGO_CRATE_NAME", "CARGO_BIN_NAME", "CARGO_PRIMARY_PACKAGE"];

fn main() -> ExitCode {
    match run(&env::args().skip(1).collect::<Vec<_>>()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gate: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[String]) -> anyhow::Result<()> {
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--list"] => STEPS.iter().for_each(|step| println!("{}", step.line())),
        ["--demo-report", file] => demo_converged(Path::new(file))?,
        ["--approved", file] => approved_figures(Path::new(file))?,
        names => {
            for step in chosen(names)? {
                step.run()?;
            }
        }
    }
    Ok(())
}

/// The steps named, in the gate's order; all of them when none is named.
fn chosen(names: &[&str]) -> anyhow::Result<Vec<&'static Step>> {
    if let Some(unknown) = names.iter().find(|name| !STEPS.iter().any(|step| step.name == **name)) {
        let known = STEPS.iter().map(|step| step.name).collect::<Vec<_>>().join(", ");
        bail!("there is no step {unknown}; the steps are {known}");
    }
    Ok(STEPS.iter().filter(|step| names.is_empty() || names.contains(&step.name)).collect())
}

impl Step {
    /// As a person would type it.
    fn line(&self) -> String {
        let mut words: Vec<String> = self.variables.iter().map(|(name, value)| format!("{name}='{value}'")).collect();
        words.push("cargo".into());
        words.extend(self.arguments.iter().map(|argument| (*argument).to_owned()));
        words.join(" ")
    }

    fn run(&self) -> anyhow::Result<()> {
        println!("==> {}: {}", self.name, self.line());
        let started = Instant::now();
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.args(self.arguments).envs(self.variables.iter().copied());
        for name in env::vars_os().filter_map(|(name, _)| name.into_string().ok()) {
            if INHERITED.contains(&name.as_str()) || name.starts_with("CARGO_PKG_") {
                command.env_remove(name);
            }
        }
        let status = command.status().with_context(|| format!("cannot start {}", self.line()))?;
        ensure!(status.success(), "{} failed ({status}); to repeat it alone: cargo gate {}", self.name, self.name);
        println!("==> {}: passed in {} s", self.name, started.elapsed().as_secs());
        Ok(())
    }
}

/// Reads the demo's output: its last line is a JSON object whose `converged` is true.
fn demo_converged(file: &Path) -> anyhow::Result<()> {
    let output = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let last = last_line_converged(&output)?;
    println!("the demo's replicas converged: {last}");
    Ok(())
}

/// The last line, if it says so.
fn last_line_converged(output: &str) -> anyhow::Result<&str> {
    let last = output.lines().rfind(|line| !line.trim().is_empty()).context("the demo printed nothing")?;
    let report: serde_json::Value =
        serde_json::from_str(last).with_context(|| format!("the demo's last line is not JSON: {last}"))?;
    let converged = report.get("converged").and_then(serde_json::Value::as_bool);
    ensure!(converged == Some(true), "the demo did not say that its replicas converged: {last}");
    Ok(last)
}

/// What officials count must be the ledger's truth; later edits wait for their approval and change nothing.
fn approved_figures(file: &Path) -> anyhow::Result<()> {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/bin/data/sample/visits-2025.expected.json");
    let read = |file: &Path| -> anyhow::Result<serde_json::Value> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no JSON", file.display()))
    };
    let (told, truth) = (read(file)?, read(&sample)?);
    for figure in ["approved_aggregates", "approved_task_completion"] {
        let (told, truth) = (told.get(figure), truth.get(figure));
        ensure!(truth.is_some() && is_same(told, truth), "{figure} is not the ledger's: {told:?}, expected {truth:?}");
        println!("==> {figure}: the ledger's");
    }
    Ok(())
}

/// Whether two values are the same; 90 and 90.0 are.
fn is_same(one: Option<&serde_json::Value>, other: Option<&serde_json::Value>) -> bool {
    use serde_json::Value;
    match (one, other) {
        (Some(Value::Object(one)), Some(Value::Object(other))) => {
            one.len() == other.len() && other.iter().all(|(key, value)| is_same(one.get(key), Some(value)))
        }
        (one, other) => {
            one == other || one.and_then(Value::as_f64).is_some_and(|one| other.and_then(Value::as_f64) == Some(one))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_run_in_the_order_of_the_gate_whatever_the_order_asked() {
        let names = |asked: &[&str]| chosen(asked).unwrap().iter().map(|step| step.name).collect::<Vec<_>>();
        assert_eq!(names(&["test", "fmt"]), ["fmt", "test"]);
        assert_eq!(names(&[]), ["fmt", "clippy", "docs", "docs-bins", "test"]);
        assert!(chosen(&["lint"]).is_err());
    }

    #[test]
    fn demo_report_must_be_json_and_must_say_converged() {
        assert!(last_line_converged("a table\n{\"converged\":true,\"tablets\":3}\n\n").is_ok());
        for output in
            ["", "\n", "converged", "{\"converged\":false}", "{\"converged\":\"true\"}", "{\"converged\":true}\nbye"]
        {
            assert!(last_line_converged(output).is_err(), "{output:?}");
        }
    }

    #[test]
    fn listed_lines_are_what_a_person_would_type() {
        assert_eq!(STEPS.last().unwrap().line(), "cargo test --workspace");
        assert!(STEPS.iter().any(|step| step.line().starts_with("RUSTDOCFLAGS='-D warnings' cargo doc ")));
    }
}
