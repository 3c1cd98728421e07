//! Ledgers as an office hands them in.

use std::io::Cursor;

use qianmo_tablet::ledger::refused::RefusedRows;
use qianmo_tablet::ledger::{About, Cleaner, Folder, Outcome, Rows, SourceFacts, Summary, inspect};

use super::corpus::repository;
use super::script::{Script, piece};

const YEAR: u16 = 2025;
/// Rows of the sample ledger that scripts change.
const ROWS: usize = 24;

pub(super) const WORDS: &[&str] = &[
    ",",
    "\"",
    "\"\"",
    "\r\n",
    "\u{FEFF}",
    "约",
    "亩",
    "公顷",
    "2025-06-15",
    "2025年6月15日",
    "六月十五",
    "45823",
    "二〇二五",
    "上午",
    "08:30",
    "40.123456,117.123456",
    "117°7′23″E",
    "北纬40度",
    "GCJ-02",
    "N/A",
    "—",
    "合计",
    "一万零三百",
    "1e9",
    "９９",
    "\u{200B}",
    "\u{0}",
    "=1+1",
    "ST01",
];

thread_local! {
    static SAMPLE: Sample = Sample::read();
}

struct Sample {
    folder: Folder,
    rows: Vec<Vec<String>>,
}

impl Sample {
    fn read() -> Self {
        let folder = repository().join("server/bin/data/sample");
        let file = std::fs::read(folder.join("visits-2025.csv")).unwrap();
        let facts = inspect(file.as_slice()).unwrap();
        let mut rows = Rows::new(Cursor::new(file), facts.encoding).unwrap();
        let (mut all, mut cells): (Vec<Vec<String>>, _) = (Vec::new(), Vec::new());
        while all.len() < ROWS && rows.next_row(&mut cells).unwrap() {
            if all.is_empty() || cells.len() == all[0].len() {
                all.push(cells.clone());
            }
        }
        Self { folder: Folder::read(&folder).unwrap(), rows: all }
    }
}

/// First byte: a file as it is, rows under the right header, or rows of the sample with other cells.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    SAMPLE.with(|sample| match kind % 4 {
        0 => drop(imported(sample, bytes)),
        1 => {
            let header = written(&sample.rows[..1]);
            drop(imported(sample, &[header.as_bytes(), bytes].concat()));
        }
        _ => altered(sample, Script::new(bytes)),
    });
}

fn imported(sample: &Sample, file: &[u8]) -> Option<(Summary, Vec<Outcome>)> {
    let facts = match inspect(file) {
        Ok(facts) => facts,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let mut rows = Rows::new(Cursor::new(file.to_vec()), facts.encoding).unwrap();
    let mut cells = Vec::new();
    if !matches!(rows.next_row(&mut cells), Ok(true)) {
        return None;
    }
    let (directory, vocabulary) = (&sample.folder.directory, &sample.folder.vocabulary);
    let Ok(mut cleaner) = Cleaner::new(&cells, directory, vocabulary, YEAR) else { return None };
    let mut refused = RefusedRows::new(Vec::new(), &cells).unwrap();
    let mut outcomes = Vec::new();
    loop {
        match rows.next_row(&mut cells) {
            Ok(true) => {
                let outcome = cleaner.handle(&cells);
                if let Outcome::Rejected(reason) = &outcome {
                    refused.push(*reason, &cells).unwrap();
                }
                outcomes.push(outcome);
            }
            Ok(false) => break,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return None;
            }
        }
    }
    let summary = cleaner.finish();
    counted(&summary, &outcomes, &facts, sample);
    comes_back(&refused.finish().unwrap(), summary.rejected.len());
    Some((summary, outcomes))
}

/// Every row is accounted for, once.
fn counted(summary: &Summary, outcomes: &[Outcome], source: &SourceFacts, sample: &Sample) {
    let count = u64::try_from(outcomes.len()).unwrap();
    let others = u64::try_from(summary.skipped.len() + summary.rejected.len()).unwrap();
    assert_eq!((summary.rows, summary.accepted + others), (count, count));
    let about = About { file: "ledger.csv", source, directory: &sample.folder.directory, year: YEAR };
    assert!(summary.to_json(&about).is_object());
}

/// The file of refused rows reads back as so many rows.
fn comes_back(file: &[u8], refused: usize) {
    let facts = inspect(file).unwrap();
    let mut rows = Rows::new(Cursor::new(file.to_vec()), facts.encoding).unwrap();
    let mut cells = Vec::new();
    let mut count = 0;
    loop {
        match rows.next_row(&mut cells) {
            Ok(true) => count += 1,
            Ok(false) => break,
            // One column more than a ledger may have.
            Err(_) => return,
        }
    }
    assert_eq!(count, refused + 1, "refused rows are lost on their way back");
}

/// A ledger with other cells; the same in any order of its columns.
fn altered(sample: &Sample, mut script: Script<'_>) {
    let mut rows = vec![sample.rows[0].clone()];
    for _ in 0..=script.below(3) {
        let mut row = script.pick(&sample.rows).clone();
        for _ in 0..script.below(5) {
            let cell = script.below(row.len());
            row[cell] = match script.below(4) {
                0 => (*script.pick(WORDS)).to_owned(),
                1 => format!("{}{}", row[cell], script.pick(WORDS)),
                2 => format!("{}{}", script.pick(WORDS), row[cell]),
                _ => script.text(),
            };
        }
        rows.push(row);
    }
    let first = imported(sample, written(&rows).as_bytes());
    let turn = script.below(rows[0].len());
    rows.iter_mut().for_each(|row| row.rotate_left(turn));
    let second = imported(sample, written(&rows).as_bytes());
    assert_eq!(first.map(|(summary, _)| summary), second.map(|(summary, _)| summary), "the columns' order matters");
}

fn written(rows: &[Vec<String>]) -> String {
    let quoted = |cell: &String| format!("\"{}\"", cell.replace('"', "\"\""));
    rows.iter().map(|row| row.iter().map(quoted).collect::<Vec<_>>().join(",") + "\r\n").collect()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    SAMPLE.with(|sample| {
        let file = written(&sample.rows);
        let lines: Vec<Vec<u8>> =
            sample.rows.iter().map(|row| written(std::slice::from_ref(row)).into_bytes()).collect();
        let mut seeds = vec![[&[0], file.as_bytes()].concat(), [&[0], "\u{FEFF}".as_bytes(), file.as_bytes()].concat()];
        seeds.extend(lines[1..8].iter().map(|line| [&[1], line.as_slice()].concat()));
        let width = u8::try_from(sample.rows[0].len()).unwrap();
        for cell in 0..width {
            for (number, word) in (0..).zip(WORDS) {
                seeds.push(vec![2, 0, cell % 24, 1, cell, 0, number]);
                if number % 7 == 0 {
                    seeds.push([&[2, 1, cell % 24, 1, cell, 3], piece(word.as_bytes()).as_slice()].concat());
                }
            }
        }
        seeds
    })
}
