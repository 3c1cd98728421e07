//! The page of injected bugs lists what the catalogue has: name, place, mistake and cost, each in a row of its own.
//!
//! `sim --bugs` (with the feature `bugs`) shows that the checkers find them; this needs no feature.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test harness: a failed step is the failure")]

use std::path::PathBuf;

use qianmo_protocol::bugs::Bug;

/// The first cells of a bug's row; behind them stand the checkers that found it.
fn row(bug: Bug) -> String {
    let story = bug.story();
    format!("| `{}` | {} | {} | {} | {} |", bug.name(), story.layer.word(), story.mistake, story.cost, story.seen)
}

#[test]
fn page_lists_every_injected_bug() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/reliability.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("Injected bugs\n")).unwrap();
    let found: Vec<&str> = section.lines().filter(|line| line.starts_with("| `")).collect();
    let wanted: Vec<String> = Bug::ALL.into_iter().map(row).collect();
    let is_whole = found.len() == wanted.len()
        && found.iter().zip(&wanted).all(|(line, row)| line.strip_prefix(row.as_str()).is_some_and(|by| by.len() > 4));
    assert!(is_whole, "docs/reliability.md must have these rows, each with its checkers:\n{}", wanted.join("\n"));
}
