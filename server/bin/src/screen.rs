//! Standard output: lines, tables aligned for Chinese and Latin characters alike, JSON.
//!
//! Every write may fail, because the reader may be gone; the failure goes up and the program ends quietly.

use std::io::{self, Write as _};

use serde::Serialize;

/// Prints one line.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn line(text: impl AsRef<str>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{}", text.as_ref())?;
    out.flush()
}

/// Prints a value as one line of JSON.
///
/// # Errors
/// Standard output is gone.
pub(crate) fn json(value: &impl Serialize) -> io::Result<()> {
    line(serde_json::to_string(value)?)
}

/// Columns that line up.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a header.
    pub(crate) fn new<const N: usize>(header: [String; N]) -> Self {
        Self { rows: vec![header.to_vec()] }
    }

    /// A table without one.
    pub(crate) const fn plain() -> Self {
        Self { rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// The lines. The last column is not padded.
    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns)
            .map(|column| self.rows.iter().filter_map(|row| row.get(column)).map(|cell| width(cell)).max().unwrap_or(0))
            .collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::from("  ");
            for (cell, column) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(column.saturating_sub(width(cell)) + 2));
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }
}

/// How many columns of a terminal a text takes: Chinese characters and full-width marks take two.
pub(crate) fn width(text: &str) -> usize {
    text.chars().map(|c| if is_wide(c) { 2 } else { 1 }).sum()
}

const fn is_wide(c: char) -> bool {
    matches!(c,
        '\u{1100}'..='\u{115f}' | '\u{2e80}'..='\u{303e}' | '\u{3041}'..='\u{a4cf}' | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}' | '\u{fe30}'..='\u{fe6f}' | '\u{ff00}'..='\u{ff60}' | '\u{ffe0}'..='\u{ffe6}'
        | '\u{20000}'..='\u{3fffd}')
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    match count {
        0..10_000 => format!("{count} B"),
        10_000..10_000_000 => tenths(count, 1_000, "kB"),
        10_000_000..10_000_000_000 => tenths(count, 1_000_000, "MB"),
        10_000_000_000.. => tenths(count, 1_000_000_000, "GB"),
    }
}

fn tenths(count: u64, unit: u64, name: &str) -> String {
    format!("{}.{} {name}", count / unit, count % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_when_chinese_and_latin_are_mixed() {
        let mut table = Table::new(["设备".to_owned(), "n".to_owned()]);
        table.row(["tablet_a".to_owned(), "1".to_owned()]);
        table.row(["平板".to_owned(), "22".to_owned()]);
        assert_eq!(table.render(), "  设备      n\n  tablet_a  1\n  平板      22");
        assert_eq!(Table::plain().render(), "");
    }

    #[test]
    fn bytes_are_short_and_never_rounded_up() {
        let shown = [0, 9_999, 10_099, 12_345_678, 29_999_999_999].map(bytes);
        assert_eq!(shown, ["0 B", "9999 B", "10.0 kB", "12.3 MB", "29.9 GB"]);
    }

    #[test]
    fn full_width_characters_take_two_columns() {
        assert_eq!((width("abc"), width("平谷"), width("(亩)"), width("已备份 ok")), (3, 4, 4, 9));
    }
}
