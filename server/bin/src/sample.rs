//! The sample ledger that is embedded in the program, with the truth about it.
//!
//! A year of twelve stations, with every kind of mistake that people make. It is read by the importer that a tablet has, and
//! what it must come to stands beside it.
//!
//! # See
//!
//! `server/bin/data/sample/README.md`.

use std::collections::BTreeSet;
use std::io::Cursor;

use anyhow::{Context as _, ensure};
use qianmo_client_core::FieldClient;
use qianmo_forms::vocabulary::Vocabulary;
use qianmo_tablet::ledger::filing::{EntriesFiled, Filing, FilingPlan, RowsFiled};
use qianmo_tablet::ledger::{Cleaner, Directory, Outcome, Rows, inspect};
use serde_json::Value;

/// A year's ledger; fictional.
const LEDGER: &[u8] = include_bytes!("../data/sample/visits-2025.csv");
const STATIONS: &[u8] = include_bytes!("../data/sample/stations.json");
const DIVISIONS: &[u8] = include_bytes!("../data/sample/pinggu-divisions.csv");
/// What it comes to.
const EXPECTED: &str = include_str!("../data/sample/visits-2025.expected.json");
/// Its year.
pub(crate) const YEAR: u16 = 2025;
/// The station the demo's technicians work at.
pub(crate) const STATION: &str = "ST01";

/// The parts of the truth that a hub must come to by itself, from merged records.
pub(crate) const FIGURES: [&str; 4] =
    ["accepted_aggregates", "approved_aggregates", "approved_task_completion", "flags"];

/// The ledger, ready to be filed.
#[derive(Debug)]
pub(crate) struct Sample {
    directory: Directory,
    vocabulary: Vocabulary,
    expected: Value,
}

/// What was filed.
#[derive(Debug)]
pub(crate) struct Imported {
    /// Entries of directories.
    pub(crate) entries: EntriesFiled,
    /// Records.
    pub(crate) rows: RowsFiled,
}

impl Sample {
    /// Reads what is embedded.
    ///
    /// # Errors
    /// It is damaged; a test holds that it is not.
    pub(crate) fn embedded() -> anyhow::Result<Self> {
        Ok(Self {
            directory: Directory::parse(STATIONS, DIVISIONS).context("the sample's directory")?,
            vocabulary: Vocabulary::built_in().context("the vocabulary")?,
            expected: serde_json::from_str(EXPECTED).context("the sample's truth")?,
        })
    }

    /// What one of the [`FIGURES`] must be.
    pub(crate) fn expected(&self, figure: &str) -> Option<&Value> {
        self.expected.get(figure)
    }

    /// How many rows there are, and how many of them are records.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let count = |key: &str| self.expected.get(key).and_then(Value::as_u64);
        let count = |key: &str| count(key).and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
        (count("records"), count("accepted"))
    }

    /// Imports the ledger and its directory on a tablet, as `qianmo import` does.
    ///
    /// # Errors
    /// The person lacks a right, the store fails, or a form does not take a row.
    pub(crate) async fn import(&self, client: &FieldClient) -> anyhow::Result<Imported> {
        let stations: BTreeSet<String> = self.directory.stations.iter().map(|station| station.id.clone()).collect();
        let rights = client.import_rights(stations.clone()).await?;
        ensure!(rights.states == stations, "the coordinator may not import every station's states");
        let plan = FilingPlan { year: YEAR, rights, with_states: true, stations: BTreeSet::new() };
        let mut filing = Filing::start(client, &self.directory, plan)?;
        let entries = filing.entries().await?;
        let source = inspect(Cursor::new(LEDGER))?;
        let mut rows = Rows::new(Cursor::new(LEDGER), source.encoding)?;
        let mut cells = Vec::new();
        rows.next_row(&mut cells)?;
        let mut cleaner = Cleaner::new(&cells, &self.directory, &self.vocabulary, YEAR)?;
        while rows.next_row(&mut cells)? {
            if let Outcome::Accepted(row) = cleaner.handle(&cells) {
                filing.row(&row).await?;
            }
        }
        let filed = filing.finish().await?;
        ensure!(filed.untaken == 0, "the forms did not take {} rows: {:?}", filed.untaken, filed.untaken_rows);
        Ok(Imported { entries, rows: filed })
    }

    /// Every figure of a report that is not what it must be, by name.
    pub(crate) fn differences(&self, report: &Value) -> Vec<String> {
        let mut found = Vec::new();
        for figure in FIGURES {
            compare(figure, self.expected(figure), report.get(figure), &mut found);
        }
        found
    }
}

/// Names the smallest parts in which two values differ.
fn compare(path: &str, expected: Option<&Value>, found: Option<&Value>, differences: &mut Vec<String>) {
    match (expected, found) {
        (Some(Value::Object(expected)), Some(Value::Object(found))) => {
            let keys: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
            for key in keys {
                compare(&format!("{path}.{key}"), expected.get(key), found.get(key), differences);
            }
        }
        (expected, found) if is_equal(expected, found) => {}
        (expected, found) => {
            let told = |value: Option<&Value>| value.map_or_else(|| "nothing".to_owned(), ToString::to_string);
            differences.push(format!("{path} is {}, expected {}", told(found), told(expected)));
        }
    }
}

/// Whether two values are the same; 90 and 90.0 are.
fn is_equal(one: Option<&Value>, other: Option<&Value>) -> bool {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    one == other || number(one).is_some_and(|one| number(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn embedded_files_are_whole_and_the_truth_has_every_figure() {
        let sample = Sample::embedded().unwrap();
        assert_eq!(sample.counts(), (3048, 2847));
        assert!(FIGURES.iter().all(|figure| sample.expected(figure).is_some_and(Value::is_object)));
    }

    #[test]
    fn figure_that_differs_is_named_and_equal_ones_are_not() {
        let sample = Sample::embedded().unwrap();
        let mut report = sample.expected.clone();
        assert_eq!(sample.differences(&report), Vec::<String>::new());
        report["accepted_aggregates"]["records"] = json!(2847.0);
        assert_eq!(sample.differences(&report), Vec::<String>::new());
        report["approved_aggregates"]["by_station"]["ST01"] = json!(1);
        let found = sample.differences(&report);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("approved_aggregates.by_station.ST01 is 1, expected "), "{found:?}");
        assert_eq!(sample.differences(&json!({})).len(), FIGURES.len());
    }
}
