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

// ---- what the samples do not show ----

#[test]
fn form_of_a_value_is_said_even_if_the_value_is_blanked() {
    use qianmo_tablet::ledger::Correction;
    let folder = folder();
    let rows = cells_of("visits-2025.csv");
    let column = |label: &str| rows[0].iter().position(|cell| cell == label).unwrap();
    for (label, cell, codes) in [
        ("面积(亩)", "约6000亩", vec![Correction::AreaText, Correction::AreaBlanked]),
        ("面积(亩)", "5000公顷", vec![Correction::AreaUnit, Correction::AreaBlanked]),
        ("面积(亩)", "若干公顷", vec![Correction::AreaBlanked]),
        ("照片数", "约500张", vec![Correction::NumberText, Correction::NumberBlanked]),
        ("照片数", "-2", vec![Correction::NumberBlanked]),
        ("覆盖户数", "一万户", vec![Correction::NumberText, Correction::NumberBlanked]),
    ] {
        let mut row = rows[1].clone();
        row[column(label)] = cell.to_owned();
        let (_, outcomes) = clean(written(&[rows[0].clone(), row]).as_bytes(), &folder);
        let Some(Outcome::Accepted(row)) = outcomes.first() else { panic!("{cell} is accepted") };
        assert_eq!(row.codes, codes.into_iter().collect(), "{cell}");
    }
}

// ---- what must not matter ----

/// A ledger as its cells.
fn cells_of(name: &str) -> Vec<Vec<String>> {
    let bytes = std::fs::read(sample(name)).unwrap();
    let facts = inspect(bytes.as_slice()).unwrap();
    let mut rows = Rows::new(Cursor::new(bytes), facts.encoding).unwrap();
    let (mut all, mut cells) = (Vec::new(), Vec::new());
    while rows.next_row(&mut cells).unwrap() {
        all.push(cells.clone());
    }
    all
}

fn written(rows: &[Vec<String>]) -> String {
    let mut file = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for row in rows {
        file.write_record(row).unwrap();
    }
    String::from_utf8(file.into_inner().unwrap()).unwrap()
}

/// A pseudo-random order of so many things.
fn order(count: usize, seed: u64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    let mut state = seed | 1;
    for at in (1..count).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(at, usize::try_from(state >> 33).unwrap() % (at + 1));
    }
    order
}

#[test]
fn order_of_columns_and_unknown_columns_do_not_matter() {
    let folder = folder();
    let rows = cells_of("samples/visits-sample-gb18030.csv");
    let (first, outcomes) = clean(written(&rows).as_bytes(), &folder);
    let width = rows[0].len();
    for seed in 1..20 {
        let order = order(width, seed);
        // Rows of another width stay as they are; they are refused or skipped whatever their order.
        let shuffled: Vec<Vec<String>> = rows
            .iter()
            .map(|row| {
                if row.len() < width {
                    return row.clone();
                }
                let mut cells: Vec<String> = order.iter().map(|at| row[*at].clone()).collect();
                cells.extend(row.iter().skip(width).cloned());
                cells
            })
            .collect();
        let (summary, shuffled) = clean(written(&shuffled).as_bytes(), &folder);
        assert_eq!(summary, first, "seed {seed}");
        assert_eq!(shuffled, outcomes, "seed {seed}");
    }
}

#[test]
fn encoding_changes_nothing_but_what_is_said_of_it() {
    let folder = folder();
    let text = written(&cells_of("visits-2025.csv"));
    let (first, outcomes) = clean(text.as_bytes(), &folder);
    let with_bom = [&[0xEF, 0xBB, 0xBF], text.as_bytes()].concat();
    let gb18030 = encoding_rs::GB18030.encode(&text).0.into_owned();
    for (bytes, name) in [(text.into_bytes(), "utf-8"), (with_bom, "utf-8-bom"), (gb18030, "gb18030")] {
        assert_eq!(inspect(bytes.as_slice()).unwrap().encoding.name(), name);
        let (summary, again) = clean(&bytes, &folder);
        assert_eq!(summary, first, "{name}");
        assert_eq!(again, outcomes, "{name}");
    }
}

#[test]
fn importer_and_forms_say_the_same_of_a_record() {
    // What the hub adds up from the forms' marks is what the importer's report says.
    use qianmo_forms::indicators::{Aggregates, Facts, RecordContext, TargetKey};
    use qianmo_forms::{FormSet, Values};
    let forms = FormSet::built_in().unwrap();
    let (summary, outcomes) = clean(&std::fs::read(sample("visits-2025.csv")).unwrap(), &folder());
    let mut sums = Aggregates::default();
    for outcome in outcomes {
        let Outcome::Accepted(row) = outcome else { continue };
        let form = forms.get(&row.form).unwrap();
        let mut answers = Values::new();
        let mut put = |name: &str, text: Option<String>| {
            if let (Some(field), Some(text)) = (form.field(name), text.filter(|text| !text.is_empty())) {
                answers.insert(name.to_owned(), field.parse_input(&text).unwrap());
            }
        };
        put("activity_date", Some(row.date.to_string()));
        put("staff_id", Some(row.staff.clone()));
        match &row.target {
            Some(TargetKey::Registered(code)) => put("target_id", Some(code.clone())),
            Some(TargetKey::Provisional { name, .. }) => put("target_name", Some(name.clone())),
            None => {}
        }
        put("town_code", Some(row.place.town.clone()));
        put("village_code", row.place.village.clone());
        put("lat", row.position.map(|position| position.lat.to_string()));
        put("lon", row.position.map(|position| position.lon.to_string()));
        put("crop_id", row.crop.clone());
        put("pest_id", row.pest.id.clone());
        put("technology_id", row.technology.id.clone());
        let area = row.area_hundredths.map(|area| format!("{}.{:02}", area / 100, area % 100));
        put(if row.form == "demo" { "area_mu" } else { "area_seen_mu" }, area);
        put("households", row.households.map(|count| count.to_string()));
        put("attendees", row.attendees.map(|count| count.to_string()));
        put("photo_count", row.photo_count.map(|count| count.to_string()));
        put("satisfaction", row.satisfaction.map(|points| points.to_string()));
        put("demand_category", row.demand.as_ref().map(|demand| demand.category.clone()));
        put("demand_state", row.demand.as_ref().map(|demand| demand.state.clone()));
        let context =
            RecordContext { station: Some(&row.station), review: &row.review, target_code: &|id| Some(id.to_owned()) };
        let facts = Facts::from_answers(form, &answers, &context);
        assert_eq!(facts, row.facts(), "row {}", row.row);
        sums.add(&facts);
    }
    assert_eq!(sums.to_json(), summary.of_accepted.to_json());
}

mod properties {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    static FOLDER: LazyLock<Folder> = LazyLock::new(folder);
    static HEADER: LazyLock<Vec<String>> = LazyLock::new(|| cells_of("visits-2025.csv").swap_remove(0));
    static ROW: LazyLock<Vec<String>> = LazyLock::new(|| cells_of("visits-2025.csv").swap_remove(1));

    proptest! {
        #[test]
        fn prop_any_bytes_are_rows_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
            if let Ok(facts) = inspect(bytes.as_slice()) {
                let mut cells = Vec::new();
                if let Ok(mut rows) = Rows::new(Cursor::new(bytes), facts.encoding) {
                    while let Ok(true) = rows.next_row(&mut cells) {}
                }
            }
        }

        #[test]
        fn prop_any_cell_gives_one_outcome(at in 0_usize..35, cell in "\\PC{0,40}", number in "[-0-9〇一二三十百千万.,~到约多余亩分户人:点半°NE年月日/ ]{0,12}") {
            let mut cleaner = Cleaner::new(&HEADER, &FOLDER.directory, &FOLDER.vocabulary, YEAR).unwrap();
            for text in [cell, number] {
                let mut row = ROW.clone();
                row[at] = text;
                cleaner.handle(&row);
            }
            let summary = cleaner.finish();
            let refused = u64::try_from(summary.skipped.len() + summary.rejected.len()).unwrap();
            prop_assert_eq!(summary.rows, refused + summary.accepted);
        }

        #[test]
        fn prop_any_row_gives_one_outcome(row in proptest::collection::vec("\\PC{0,12}", 0..40)) {
            let mut cleaner = Cleaner::new(&HEADER, &FOLDER.directory, &FOLDER.vocabulary, YEAR).unwrap();
            cleaner.handle(&row);
            prop_assert_eq!(cleaner.finish().rows, 1);
        }
    }
}
