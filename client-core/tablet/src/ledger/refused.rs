//! The refused rows as a file: the reason first, then the cells as they were, ready to be corrected and imported again.
//!
//! The column of reasons is none that an import knows, so it is ignored when the file comes back; it stands first, so that a row with too
//! many or too few cells still has too many or too few. What a spreadsheet would run as a formula gets a zero-width space before it, which an
//! import trims away.

use std::io::Write;

use super::outcome::RejectReason;

/// What the column of reasons is called.
pub const REASON_COLUMN: &str = "拒收原因";

/// Writes refused rows for a spreadsheet: UTF-8 with a byte order mark, CR LF.
pub struct RefusedRows<W: Write> {
    file: csv::Writer<W>,
    /// Where the ledger itself has a column of reasons: it is such a file that comes back.
    former: Option<usize>,
}

impl<W: Write> core::fmt::Debug for RefusedRows<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("RefusedRows").field("former", &self.former).finish_non_exhaustive()
    }
}

impl<W: Write> RefusedRows<W> {
    /// Begins the file with the ledger's own header.
    ///
    /// # Errors
    /// Of the file.
    pub fn new(mut out: W, header: &[String]) -> std::io::Result<Self> {
        out.write_all("\u{FEFF}".as_bytes())?;
        let file = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).flexible(true).from_writer(out);
        let former = header.iter().position(|cell| qianmo_forms::text::trim(cell) == REASON_COLUMN);
        let mut rows = Self { file, former };
        rows.write(REASON_COLUMN, header)?;
        Ok(rows)
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Of the file.
    pub fn push(&mut self, reason: RejectReason, cells: &[String]) -> std::io::Result<()> {
        self.write(&reason.label().zh, cells)
    }

    fn write(&mut self, first: &str, cells: &[String]) -> std::io::Result<()> {
        self.file.write_field(first)?;
        for (_, cell) in cells.iter().enumerate().filter(|(at, _)| Some(*at) != self.former) {
            self.file.write_field(neutral(cell))?;
        }
        Ok(self.file.write_record(None::<&[u8]>)?)
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Of the file.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.file.flush()?;
        self.file.into_inner().map_err(|error| std::io::Error::other(error.to_string()))
    }
}

/// A cell that no spreadsheet takes for a formula. Numbers and dashes stay as they are. Zero bytes, which an import deletes,
/// are deleted here: in a small file they would make it look like no text.
fn neutral(cell: &str) -> String {
    let cell = &cell.replace('\0', "");
    let half = qianmo_forms::text::half_width(cell);
    let is_formula = half.trim_start_matches(' ').starts_with(['=', '+', '-', '@', '\t', '\r']);
    let is_number = half.chars().all(|c| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | ' '));
    if is_formula && !is_number { format!("\u{200B}{cell}") } else { cell.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_row_with_a_zero_byte_comes_back_as_text() {
        let cells = ["1".to_owned(), "x\0y".to_owned()];
        let mut rows = RefusedRows::new(Vec::new(), &["编号".to_owned(), "内容".to_owned()]).unwrap();
        rows.push(RejectReason::MissingDate, &cells).unwrap();
        let file = rows.finish().unwrap();
        assert!(super::super::inspect(file.as_slice()).is_ok());
        assert!(String::from_utf8(file).unwrap().ends_with(",1,xy\r\n"));
    }

    #[test]
    fn reason_stands_first_and_is_replaced_when_the_file_comes_back() {
        let cells = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        let mut rows = RefusedRows::new(Vec::new(), &cells(&[REASON_COLUMN, "日期", "内容"])).unwrap();
        rows.push(RejectReason::MissingDate, &cells(&["旧的原因", "", "=1+1"])).unwrap();
        rows.push(RejectReason::ColumnCount, &cells(&["旧的原因", "-5", "甲,\"乙\"", "多"])).unwrap();
        let text = String::from_utf8(rows.finish().unwrap()).unwrap();
        let [date, count] = [RejectReason::MissingDate, RejectReason::ColumnCount].map(|reason| reason.label().zh);
        let rows = format!("{date},,\u{200B}=1+1\r\n{count},-5,\"甲,\"\"乙\"\"\",多\r\n");
        assert_eq!(text, format!("\u{FEFF}拒收原因,日期,内容\r\n{rows}"));
    }
}
