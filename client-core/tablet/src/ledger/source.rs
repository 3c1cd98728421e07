//! A ledger's bytes: what encoding they are in, and its rows one after the other.
//!
//! Commas, quotes and line ends are the same bytes in UTF-8 and GB18030, so rows are cut out of the bytes and each cell is decoded by itself.
//! Nothing but the present row is held.
//!
//! # Limits
//!
//! [`FILE_BYTES_MAX`], [`ROW_BYTES_MAX`], [`CELL_BYTES_MAX`], [`COLUMNS_MAX`]; a quote that is never closed ends at the limit of a row.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};

/// The largest ledger.
pub const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// The longest row.
pub const ROW_BYTES_MAX: u64 = 1024 * 1024;
/// The longest cell.
pub const CELL_BYTES_MAX: usize = 64 * 1024;
/// The most columns.
pub const COLUMNS_MAX: usize = 200;

const CHUNK_BYTES: usize = 64 * 1024;
const BOM: [u8; 3] = [0xEF, 0xBB, 0xBF];

/// Why a ledger's bytes cannot be read as rows.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is nothing in it.
    #[error("the file is empty")]
    Empty,
    /// Larger than any ledger.
    #[error("{have} bytes, at most {max}")]
    TooLarge {
        /// How large it is at least.
        have: u64,
        /// How large it may be.
        max: u64,
    },
    /// A workbook, an archive or another file that is not text.
    #[error("not a text file: {0}")]
    NotText(Binary),
    /// A row that does not end.
    #[error("line {line}: a row of more than {max} bytes; a quote may be open")]
    RowTooLong {
        /// Where it begins.
        line: u64,
        /// How long it may be.
        max: u64,
    },
    /// A cell that is too long.
    #[error("line {line}, column {column}: a cell of {have} bytes, at most {max}")]
    CellTooLong {
        /// The line.
        line: u64,
        /// The column, from 1.
        column: usize,
        /// How long it is.
        have: usize,
        /// How long it may be.
        max: usize,
    },
    /// Too many columns.
    #[error("line {line}: {have} columns, at most {max}")]
    TooManyColumns {
        /// The line.
        line: u64,
        /// How many there are.
        have: usize,
        /// How many there may be.
        max: usize,
    },
    /// Bytes that are characters in neither encoding.
    #[error("line {line}, column {column}: bytes that are neither UTF-8 nor GB18030")]
    Encoding {
        /// The line.
        line: u64,
        /// The column, from 1.
        column: usize,
    },
    /// The file could not be read.
    #[error("the file cannot be read")]
    Io(#[source] io::Error),
}

/// What a file that is not text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// An Excel or WPS workbook.
    Workbook,
    /// Text in UTF-16.
    Utf16,
    /// Something else.
    Other,
}

impl core::fmt::Display for Binary {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Workbook => "a workbook",
            Self::Utf16 => "UTF-16",
            Self::Other => "binary",
        })
    }
}

/// How a ledger is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// UTF-8 with a byte order mark.
    Utf8Bom,
    /// UTF-8.
    Utf8,
    /// GB18030, of which GBK and GB2312 are parts.
    Gb18030,
}

impl Encoding {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Utf8Bom => "utf-8-bom",
            Self::Utf8 => "utf-8",
            Self::Gb18030 => "gb18030",
        }
    }
}

/// What is known of a ledger before its rows are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFacts {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal digits.
    pub sha256: String,
    /// Its encoding.
    pub encoding: Encoding,
    /// Whether its lines end with CR LF.
    pub crlf: bool,
}

/// Reads a ledger once to find its encoding: a byte order mark, else strict UTF-8, else GB18030.
///
/// # Errors
/// [`SourceError`]: empty, too large, not text, not readable.
pub fn inspect(mut reader: impl Read) -> Result<SourceFacts, SourceError> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    let mut utf8 = Utf8Check::default();
    let mut line_end = LineEnd::default();
    let mut has_bom = false;
    loop {
        let length = match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SourceError::Io(error)),
        };
        let read = chunk.get(..length).unwrap_or_default();
        if bytes == 0 {
            has_bom = read.starts_with(&BOM);
            look_for_binary(read)?;
        }
        bytes += u64::try_from(length).unwrap_or(u64::MAX);
        if bytes > FILE_BYTES_MAX {
            return Err(SourceError::TooLarge { have: bytes, max: FILE_BYTES_MAX });
        }
        hash.update(read);
        utf8.handle(read);
        line_end.handle(read);
    }
    let content = bytes.saturating_sub(if has_bom { 3 } else { 0 });
    if content == 0 {
        return Err(SourceError::Empty);
    }
    let encoding = match (has_bom, utf8.finish()) {
        (true, _) => Encoding::Utf8Bom,
        (false, true) => Encoding::Utf8,
        (false, false) => Encoding::Gb18030,
    };
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SourceFacts { bytes, sha256, encoding, crlf: line_end.is_crlf == Some(true) })
}

fn look_for_binary(start: &[u8]) -> Result<(), SourceError> {
    let kind = if start.starts_with(b"PK\x03\x04") || start.starts_with(&[0xD0, 0xCF, 0x11, 0xE0]) {
        Binary::Workbook
    } else if start.starts_with(&[0xFF, 0xFE]) || start.starts_with(&[0xFE, 0xFF]) {
        Binary::Utf16
    } else if has_binary_zeros(start) {
        Binary::Other
    } else {
        return Ok(());
    };
    Err(SourceError::NotText(kind))
}

/// Zero bytes in the header, or many of them: no text. A stray one in a cell is a control character to delete.
fn has_binary_zeros(start: &[u8]) -> bool {
    let zeros = start.iter().filter(|byte| **byte == 0).count();
    let in_header = start.iter().take_while(|byte| **byte != b'\n').any(|byte| *byte == 0);
    in_header || zeros * 100 > start.len()
}

/// Whether a stream is UTF-8, with the bytes of a character that the last chunk cut.
#[derive(Default)]
struct Utf8Check {
    carry: Vec<u8>,
    is_bad: bool,
}

impl Utf8Check {
    fn handle(&mut self, chunk: &[u8]) {
        if self.is_bad {
            return;
        }
        // A character has at most four bytes, so the carry never has more than three.
        let mut rest = chunk;
        while !self.carry.is_empty() {
            let Some((next, after)) = rest.split_first() else { return };
            self.carry.push(*next);
            rest = after;
            match core::str::from_utf8(&self.carry) {
                Ok(_) => self.carry.clear(),
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    self.is_bad = true;
                    return;
                }
            }
        }
        if let Err(error) = core::str::from_utf8(rest) {
            self.is_bad = error.error_len().is_some();
            self.carry.extend_from_slice(
                rest.get(error.valid_up_to()..)
                    .unwrap_or_default()
                    .get(..3)
                    .unwrap_or_else(|| rest.get(error.valid_up_to()..).unwrap_or_default()),
            );
        }
    }

    fn finish(self) -> bool {
        !self.is_bad && self.carry.is_empty()
    }
}

/// How the first line outside quotes ends.
#[derive(Default)]
struct LineEnd {
    is_crlf: Option<bool>,
    in_quotes: bool,
    after_cr: bool,
}

impl LineEnd {
    fn handle(&mut self, chunk: &[u8]) {
        if self.is_crlf.is_some() {
            return;
        }
        for byte in chunk {
            match byte {
                b'"' => self.in_quotes = !self.in_quotes,
                b'\n' if !self.in_quotes => {
                    self.is_crlf = Some(self.after_cr);
                    return;
                }
                _ => {}
            }
            self.after_cr = *byte == b'\r';
        }
    }
}

/// A reader that lets a row have only so many bytes.
struct Rationed<R> {
    inner: R,
    left: Arc<AtomicU64>,
}

impl<R: Read> Read for Rationed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::Error::other(TooLong));
        }
        let length = self.inner.read(buffer)?;
        self.left.store(left.saturating_sub(u64::try_from(length).unwrap_or(left)), Ordering::Relaxed);
        Ok(length)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the row is too long")]
struct TooLong;

/// The rows of a ledger, its header first.
pub struct Rows {
    reader: csv::Reader<Rationed<Box<dyn Read + Send>>>,
    left: Arc<AtomicU64>,
    record: csv::ByteRecord,
    encoding: Encoding,
    rows: u64,
}

impl core::fmt::Debug for Rows {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Rows")
            .field("encoding", &self.encoding)
            .field("at", self.reader.position())
            .finish_non_exhaustive()
    }
}

impl Rows {
    /// Begins to read, from the first byte.
    ///
    /// # Errors
    /// [`SourceError::Io`].
    pub fn new(mut reader: impl Read + Send + 'static, encoding: Encoding) -> Result<Self, SourceError> {
        if encoding == Encoding::Utf8Bom {
            reader.read_exact(&mut [0; 3]).map_err(SourceError::Io)?;
        }
        let left = Arc::new(AtomicU64::new(ROW_BYTES_MAX));
        let rationed = Rationed { inner: Box::new(reader) as Box<dyn Read + Send>, left: Arc::clone(&left) };
        let reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .buffer_capacity(CHUNK_BYTES)
            .from_reader(rationed);
        Ok(Self { reader, left, record: csv::ByteRecord::new(), encoding, rows: 0 })
    }

    /// How many bytes have been taken in.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.reader.position().byte()
    }

    /// How many rows have been read, the header included.
    #[must_use]
    pub const fn rows_read(&self) -> u64 {
        self.rows
    }

    /// The next row, into `cells`; `false` at the end. Empty lines are no rows.
    ///
    /// # Errors
    /// [`SourceError`]: a limit, an encoding, the disk.
    pub fn next_row(&mut self, cells: &mut Vec<String>) -> Result<bool, SourceError> {
        self.left.store(ROW_BYTES_MAX, Ordering::Relaxed);
        let line = self.reader.position().line();
        match self.reader.read_byte_record(&mut self.record) {
            Ok(true) => self.rows += 1,
            Ok(false) => return Ok(false),
            Err(error) => return Err(read_error(error, line)),
        }
        let line = self.record.position().map_or(line, csv::Position::line);
        if self.record.len() > COLUMNS_MAX {
            return Err(SourceError::TooManyColumns { line, have: self.record.len(), max: COLUMNS_MAX });
        }
        cells.resize(self.record.len(), String::new());
        for (number, (cell, bytes)) in (1..).zip(cells.iter_mut().zip(&self.record)) {
            cell.clear();
            if bytes.len() > CELL_BYTES_MAX {
                return Err(SourceError::CellTooLong { line, column: number, have: bytes.len(), max: CELL_BYTES_MAX });
            }
            let is_text = push_decoded(cell, bytes, self.encoding);
            if !is_text {
                return Err(SourceError::Encoding { line, column: number });
            }
        }
        Ok(true)
    }
}

fn push_decoded(cell: &mut String, bytes: &[u8], encoding: Encoding) -> bool {
    match encoding {
        Encoding::Utf8Bom | Encoding::Utf8 => match core::str::from_utf8(bytes) {
            Ok(text) => cell.push_str(text),
            Err(_) => return false,
        },
        Encoding::Gb18030 => match encoding_rs::GB18030.decode_without_bom_handling_and_without_replacement(bytes) {
            Some(text) => cell.push_str(&text),
            None => return false,
        },
    }
    true
}

fn read_error(error: csv::Error, line: u64) -> SourceError {
    let detail = error.to_string();
    let csv::ErrorKind::Io(error) = error.into_kind() else { return SourceError::Io(io::Error::other(detail)) };
    if error.get_ref().is_some_and(|inner| inner.is::<TooLong>()) {
        return SourceError::RowTooLong { line, max: ROW_BYTES_MAX };
    }
    SourceError::Io(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows_of(bytes: &[u8]) -> Result<(SourceFacts, Vec<Vec<String>>), SourceError> {
        let facts = inspect(bytes)?;
        let mut rows = Rows::new(io::Cursor::new(bytes.to_vec()), facts.encoding)?;
        let (mut all, mut cells) = (Vec::new(), Vec::new());
        while rows.next_row(&mut cells)? {
            all.push(cells.clone());
        }
        Ok((facts, all))
    }

    #[test]
    fn same_rows_come_from_every_encoding() {
        let text = "编号,内容\r\n1,\"泃河,\"\"洳河\"\"\r\n第二行\"\r\n\r\n2,㐂𠮷\r\n";
        let utf8 = rows_of(text.as_bytes()).unwrap();
        let bom = rows_of(&[&BOM, text.as_bytes()].concat()).unwrap();
        let gb = rows_of(&encoding_rs::GB18030.encode(text).0).unwrap();
        assert_eq!(utf8.0.encoding.name(), "utf-8");
        assert_eq!(bom.0.encoding.name(), "utf-8-bom");
        assert_eq!(gb.0.encoding.name(), "gb18030");
        assert!(utf8.0.crlf && bom.0.crlf && gb.0.crlf);
        assert_eq!(utf8.1.len(), 3);
        assert_eq!(utf8.1[1][1], "泃河,\"洳河\"\r\n第二行");
        assert_eq!(utf8.1, bom.1);
        assert_eq!(utf8.1, gb.1);
        assert!(!rows_of(b"a,b\nc,d\n").unwrap().0.crlf);
    }

    #[test]
    fn character_cut_by_a_chunk_is_still_utf8() {
        struct Bytewise<'a>(&'a [u8]);
        impl Read for Bytewise<'_> {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = self.0.len().min(1);
                let (now, later) = self.0.split_at(length);
                buffer[..length].copy_from_slice(now);
                self.0 = later;
                Ok(length)
            }
        }
        let text = "a泃𠮷é";
        assert_eq!(inspect(Bytewise(text.as_bytes())).unwrap().encoding, Encoding::Utf8);
        assert_eq!(inspect(Bytewise(&text.as_bytes()[..text.len() - 1])).unwrap().encoding, Encoding::Gb18030);
        assert_eq!(inspect(Bytewise(&[b'a', 0xC3, b'b'])).unwrap().encoding, Encoding::Gb18030);
        let mut large = "平".repeat(CHUNK_BYTES).into_bytes();
        assert_eq!(inspect(large.as_slice()).unwrap().encoding, Encoding::Utf8);
        large.truncate(large.len() - 1);
        assert_eq!(inspect(large.as_slice()).unwrap().encoding, Encoding::Gb18030);
    }

    #[test]
    fn what_is_no_ledger_is_refused_with_its_reason() {
        assert!(matches!(inspect(&b""[..]), Err(SourceError::Empty)));
        assert!(matches!(inspect(&BOM[..]), Err(SourceError::Empty)));
        assert!(matches!(inspect(&b"PK\x03\x04rest"[..]), Err(SourceError::NotText(Binary::Workbook))));
        assert!(matches!(inspect(&[0xFF, 0xFE, 0x16, 0x7F][..]), Err(SourceError::NotText(Binary::Utf16))));
        assert!(matches!(inspect(&b"\x7FELF\0"[..]), Err(SourceError::NotText(Binary::Other))));
        // One control character in a text is deleted later; it is no reason to refuse a ledger.
        assert!(inspect(format!("a,b\n1,x\0y{}\n", "z".repeat(200)).as_bytes()).is_ok());
        assert!(matches!(inspect(&b"a\0b\n1,2\n"[..]), Err(SourceError::NotText(Binary::Other))));
        assert!(matches!(inspect(&b"\x89PNG\r\n\x1A\n\0\0\0\rIHDR\0\0"[..]), Err(SourceError::NotText(Binary::Other))));
        let wide = "a,".repeat(COLUMNS_MAX);
        assert!(matches!(rows_of(wide.as_bytes()), Err(SourceError::TooManyColumns { line: 1, have: 201, .. })));
        let long = format!("a,b\n1,{}\n", "x".repeat(CELL_BYTES_MAX + 1));
        assert!(matches!(rows_of(long.as_bytes()), Err(SourceError::CellTooLong { line: 2, column: 2, .. })));
        let bad = b"a,b\n1,\xFF\xFF\n";
        assert!(matches!(rows_of(bad), Err(SourceError::Encoding { line: 2, column: 2 })));
    }

    #[test]
    fn quote_that_is_never_closed_ends_at_the_limit() {
        let mut text = "a,b\n1,\"".to_owned();
        text.push_str(&"x\n".repeat(3 * 1024 * 1024));
        assert!(matches!(rows_of(text.as_bytes()), Err(SourceError::RowTooLong { .. })));
    }
}
