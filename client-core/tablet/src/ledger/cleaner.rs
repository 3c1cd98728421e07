//! The cleaner: rows in, outcomes out, sums at the end.
//!
//! # Invariants
//!
//! 1. Every row has exactly one outcome; `rows = skipped + refused + accepted`.
//! 2. Nothing of a row is kept but two hashes, its corrections and what the flags across rows need, so memory does not grow with texts.
//! 3. The same bytes, directory and vocabulary give the same outcome, byte for byte.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_forms::flags::{Flag, FlagRules, Position};
use qianmo_forms::indicators::Aggregates;
use qianmo_forms::vocabulary::Vocabulary;
use sha2::{Digest as _, Sha256};

use super::cell::{Cells, Column, Header, is_blank};
use super::directory::Directory;
use super::outcome::{Correction, RejectReason, SkipReason};
use super::row::{CleanRow, Cleaning};

const SUBTOTALS: [&str; 5] = ["合计", "小计", "总计", "月计", "本月"];
/// Positions shown in a report.
const GPS_SAMPLES_MAX: usize = 30;

/// What became of a row.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is no record.
    Skipped(SkipReason),
    /// It is refused; nothing of it is filed.
    Rejected(RejectReason),
    /// It is accepted.
    Accepted(Box<CleanRow>),
}

/// The header names no column that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the first row names no known column; it begins with {start:?}")]
pub struct UnknownHeader {
    /// How it begins.
    pub start: String,
}

/// A position in a report.
#[derive(Debug, Clone, PartialEq)]
pub struct GpsSample {
    /// The row.
    pub row: u64,
    /// Its record number.
    pub record_no: Option<String>,
    /// Where it is.
    pub position: Position,
}

/// What a whole ledger came to.
#[derive(Debug, Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Rows after the header.
    pub rows: u64,
    /// Rows that are no records.
    pub skipped: Vec<(u64, SkipReason)>,
    /// Rows that are refused.
    pub rejected: Vec<(u64, RejectReason)>,
    /// Rows that are accepted.
    pub accepted: u64,
    /// Accepted rows with corrections.
    pub corrected: Vec<(u64, BTreeSet<Correction>)>,
    /// Rows under each flag.
    pub flags: BTreeMap<Flag, Vec<u64>>,
    /// What all accepted rows add up to.
    pub of_accepted: Aggregates,
    /// What the approved ones add up to: only these count in official figures.
    pub of_approved: Aggregates,
    /// Positions that were repaired, the first ones.
    pub gps_samples: Vec<GpsSample>,
}

/// The cleaner of one ledger.
#[derive(Debug)]
pub struct Cleaner<'a> {
    directory: &'a Directory,
    vocabulary: &'a Vocabulary,
    year: u16,
    header: Header,
    row: u64,
    numbers: BTreeSet<[u8; 16]>,
    keys: BTreeSet<[u8; 16]>,
    flags: FlagRules,
    summary: Summary,
}

impl<'a> Cleaner<'a> {
    /// A cleaner for rows under this header.
    ///
    /// # Errors
    /// [`UnknownHeader`] when not one column is known.
    pub fn new(
        header: &[String],
        directory: &'a Directory,
        vocabulary: &'a Vocabulary,
        year: u16,
    ) -> Result<Self, UnknownHeader> {
        let read = Header::read(header, vocabulary);
        if !read.is_known() {
            let start: String = header.join(",").chars().take(40).collect();
            return Err(UnknownHeader { start });
        }
        Ok(Self {
            directory,
            vocabulary,
            year,
            header: read,
            row: 0,
            numbers: BTreeSet::new(),
            keys: BTreeSet::new(),
            flags: FlagRules::default(),
            summary: Summary::default(),
        })
    }

    /// Labels of the columns that the ledger does not have; they are treated as blank.
    #[must_use]
    pub fn missing_columns(&self) -> Vec<&str> {
        let label = |column: &Column| self.vocabulary.column_label(column.key()).unwrap_or_else(|| column.key());
        self.header.missing().iter().map(label).collect()
    }

    /// How many rows were refused so far.
    #[must_use]
    pub const fn rejected(&self) -> usize {
        self.summary.rejected.len()
    }

    /// Takes in the next row.
    pub fn handle(&mut self, cells: &[String]) -> Outcome {
        self.row += 1;
        self.summary.rows = self.row;
        let outcome = self.judge(cells);
        match &outcome {
            Outcome::Skipped(reason) => self.summary.skipped.push((self.row, *reason)),
            Outcome::Rejected(reason) => self.summary.rejected.push((self.row, *reason)),
            Outcome::Accepted(row) => self.count(row),
        }
        outcome
    }

    fn judge(&mut self, cells: &[String]) -> Outcome {
        if is_blank(cells) {
            return Outcome::Skipped(SkipReason::BlankRow);
        }
        let (cells, extra) = cells.split_at_checked(self.header.width).unwrap_or((cells, &[]));
        if cells.len() != self.header.width || !is_blank(extra) {
            return Outcome::Rejected(RejectReason::ColumnCount);
        }
        let cells = Cells { header: &self.header, cells, vocabulary: self.vocabulary };
        let number = cells.plain(Column::RecordNo);
        let names = |cell: &str, column: Column| self.vocabulary.column(cell) == Some(column.key());
        if names(&number, Column::RecordNo) && names(&cells.plain(Column::ActivityDate), Column::ActivityDate) {
            return Outcome::Skipped(SkipReason::RepeatedHeader);
        }
        if SUBTOTALS.iter().any(|word| number.starts_with(word)) {
            return Outcome::Skipped(SkipReason::SubtotalRow);
        }
        let (directory, vocabulary, year) = (self.directory, self.vocabulary, self.year);
        let cleaning = Cleaning { cells, directory, vocabulary, year, codes: BTreeSet::new() };
        match cleaning.row(self.row) {
            Ok(row) => self.unless_duplicate(row),
            Err(reason) => Outcome::Rejected(reason),
        }
    }

    fn unless_duplicate(&mut self, row: CleanRow) -> Outcome {
        let number = row.number_key().map(|number| short_hash(&number));
        if number.is_some_and(|number| self.numbers.contains(&number)) {
            return Outcome::Rejected(RejectReason::DuplicateRecordNo);
        }
        if !self.keys.insert(short_hash(&row.business_key())) {
            return Outcome::Rejected(RejectReason::DuplicateBusinessKey);
        }
        self.numbers.extend(number);
        Outcome::Accepted(Box::new(row))
    }

    fn count(&mut self, row: &CleanRow) {
        self.summary.accepted += 1;
        let facts = row.facts();
        self.summary.of_accepted.add(&facts);
        if row.review == "approved" {
            self.summary.of_approved.add(&facts);
        }
        self.flags.handle(row.row, &row.flag_facts(), self.vocabulary);
        if !row.codes.is_empty() {
            self.summary.corrected.push((row.row, row.codes.clone()));
        }
        let repaired = [Correction::GpsFormat, Correction::GpsSwapped, Correction::GpsGcj02];
        if let Some(position) = row.position
            && self.summary.gps_samples.len() < GPS_SAMPLES_MAX
            && repaired.iter().any(|code| row.codes.contains(code))
        {
            self.summary.gps_samples.push(GpsSample { row: row.row, record_no: row.record_no.clone(), position });
        }
    }

    /// The sums, when there are no more rows.
    #[must_use]
    pub fn finish(mut self) -> Summary {
        self.summary.flags = self.flags.finish();
        self.summary
    }
}

/// The first half of a SHA-256: no two rows of a ledger share one by chance, nor by intent.
fn short_hash(text: &str) -> [u8; 16] {
    let hash = Sha256::digest(text.as_bytes());
    hash.first_chunk().copied().unwrap_or_default()
}
