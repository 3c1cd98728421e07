//! The summary of an import as a person reads it.

use std::collections::BTreeMap;

use qianmo_forms::Label;

use crate::ledger::{About, Summary};
use crate::message::Messages;
use crate::render::table::{pad, width};

/// Spaces between a name and its number.
const GAP: usize = 2;

pub(super) fn lines(summary: &Summary, about: &About<'_>, messages: Messages) -> Vec<String> {
    let arguments = [
        ("file", about.file.into()),
        ("encoding", about.source.encoding.name().into()),
        ("rows", summary.rows.into()),
        ("skipped", summary.skipped.len().into()),
        ("rejected", summary.rejected.len().into()),
        ("accepted", summary.accepted.into()),
        ("corrected", summary.corrected.len().into()),
        ("approved", summary.of_approved.records().into()),
    ];
    let mut lines: Vec<String> = messages.with("import-summary", &arguments).lines().map(str::to_owned).collect();
    let sections = [
        ("import-skipped", counts(summary.skipped.iter().map(|(_, reason)| (reason.name(), reason.label())))),
        ("import-rejected", counts(summary.rejected.iter().map(|(_, reason)| (reason.name(), reason.label())))),
        (
            "import-corrected",
            counts(summary.corrected.iter().flat_map(|(_, codes)| codes).map(|code| (code.name(), code.label()))),
        ),
        (
            "import-flagged",
            summary.flags.iter().map(|(flag, rows)| (flag.name(), (flag.label(), rows.len()))).collect(),
        ),
    ];
    for (key, counts) in sections.into_iter().filter(|(_, counts)| !counts.is_empty()) {
        lines.push(String::new());
        lines.push(messages.text(key));
        lines.extend(table(&counts, messages));
    }
    lines
}

type Counts = BTreeMap<&'static str, (Label, usize)>;

fn counts(items: impl Iterator<Item = (&'static str, Label)>) -> Counts {
    let mut counts = Counts::new();
    for (name, label) in items {
        counts.entry(name).or_insert((label, 0)).1 += 1;
    }
    counts
}

/// The most frequent first.
fn table(counts: &Counts, messages: Messages) -> Vec<String> {
    let mut rows: Vec<(&str, usize, &'static str)> =
        counts.iter().map(|(name, (label, count))| (label.get(messages.lang()), *count, *name)).collect();
    rows.sort_by_key(|(_, count, name)| (core::cmp::Reverse(*count), *name));
    let labels = rows.iter().map(|(label, ..)| width(label)).max().unwrap_or(0);
    let digits = rows.iter().map(|(_, count, _)| count.to_string().len()).max().unwrap_or(0);
    rows.iter().map(|(label, count, name)| format!("  {}{count:>digits$}  {name}", pad(label, labels + GAP))).collect()
}
