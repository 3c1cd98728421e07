//! The importer against the sample ledgers: every number and every list of their expected files, row by row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use qianmo_tablet::ledger::{About, Cleaner, Folder, Outcome, Rows, Summary, inspect};
use serde_json::Value;

const YEAR: u16 = 2025;
/// What only the generator of the sample says of itself.
const NOT_OURS: [&str; 2] = ["generator", "seed"];

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../server/bin/data/sample").join(name)
}

fn folder() -> Folder {
    Folder::read(&sample("")).unwrap()
}

fn clean(bytes: &[u8], folder: &Folder) -> (Summary, Vec<Outcome>) {
    let facts = inspect(bytes).unwrap();
    let mut rows = Rows::new(Cursor::new(bytes.to_vec()), facts.encoding).unwrap();
    let mut cells = Vec::new();
    assert!(rows.next_row(&mut cells).unwrap());
    let mut cleaner = Cleaner::new(&cells, &folder.directory, &folder.vocabulary, YEAR).unwrap();
    let mut outcomes = Vec::new();
    while rows.next_row(&mut cells).unwrap() {
        outcomes.push(cleaner.handle(&cells));
    }
    (cleaner.finish(), outcomes)
}

fn report(name: &str) -> Value {
    let folder = folder();
    let path = sample(name);
    let source = inspect(File::open(&path).unwrap()).unwrap();
    let (summary, _) = clean(&std::fs::read(&path).unwrap(), &folder);
    let file = path.file_name().unwrap().to_str().unwrap();
    summary.to_json(&About { file, source: &source, directory: &folder.directory, year: YEAR })
}

fn expected(name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(sample(name)).unwrap()).unwrap()
}

/// Every difference, by its path.
fn differences(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for key in expected.keys().chain(found.keys().filter(|key| !expected.contains_key(*key))) {
                if path.is_empty() && NOT_OURS.contains(&key.as_str()) {
                    continue;
                }
                let none = Value::Null;
                let (expected, found) = (expected.get(key), found.get(key));
                if expected.is_none() || found.is_none() {
                    out.push(format!("{path}/{key}: {expected:?} expected, found {found:?}"));
                }
                differences(&format!("{path}/{key}"), expected.unwrap_or(&none), found.unwrap_or(&none), out);
            }
        }
        (Value::Array(expected), Value::Array(found)) => {
            if expected.len() != found.len() {
                out.push(format!("{path}: {} expected, found {}", expected.len(), found.len()));
            }
            for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
                differences(&format!("{path}/{at}"), expected, found, out);
            }
        }
        (Value::Number(expected), Value::Number(found)) => {
            let tolerance = if path.ends_with("/lat") || path.ends_with("/lon") { 0.000_02 } else { 0.0 };
            if (expected.as_f64().unwrap() - found.as_f64().unwrap()).abs() > tolerance {
                out.push(format!("{path}: {expected} expected, found {found}"));
            }
        }
        (expected, found) if expected != found => out.push(format!("{path}: {expected} expected, found {found}")),
        (_, _) => {}
    }
}

fn agrees(ledger: &str, expectation: &str) {
    let mut out = Vec::new();
    differences("", &expected(expectation), &report(ledger), &mut out);
    assert!(out.is_empty(), "{} differences:\n{}", out.len(), out.join("\n"));
}

#[test]
fn ledger_of_the_year_gives_every_number_and_row_of_its_expected_file() {
    agrees("visits-2025.csv", "visits-2025.expected.json");
}

#[test]
fn ledger_in_gb18030_with_other_columns_gives_every_number_and_row_of_its_expected_file() {
    agrees("samples/visits-sample-gb18030.csv", "samples/visits-sample-gb18030.expected.json");
}
