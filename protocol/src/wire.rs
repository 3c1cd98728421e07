//! Bytes in and out: the canonical, bounded codec under every message, pack and control entry.
//!
//! A value has exactly one encoding: integers are shortest unsigned LEB128 or fixed big-endian, lists carry their count,
//! optional parts a byte 0 or 1. [`Reader`] is total: any input gives a value or a [`DecodeError`] with the place; nothing
//! is allocated before its length was checked against both a limit and the bytes that are there.
//!
//! # Invariants
//!
//! 1. `decode(encode(x)) == x`, and `encode(decode(bytes)) == bytes` (property tests of each message).
//! 2. A cut message is an error at every length (`prop_truncated_message_is_a_typed_error`).

use crate::ids::{Code, CodeError, LogbookName};
use crate::time::Month;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends too early.
    #[error("{field} needs {need} bytes at offset {offset}, {have} are left")]
    Truncated {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Bytes needed.
        need: usize,
        /// Bytes left.
        have: usize,
    },
    /// Bytes are left after the last field.
    #[error("{have} bytes are left over at offset {offset}")]
    Trailing {
        /// Where.
        offset: usize,
        /// Bytes left.
        have: usize,
    },
    /// A count, length or number is over its limit.
    #[error("{field} at offset {offset} is {have}, the most is {max}")]
    TooLarge {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Value found.
        have: u64,
        /// Limit.
        max: u64,
    },
    /// A number that is not written in its shortest form, or a list that is not in order.
    #[error("{field} at offset {offset} is not in its canonical form")]
    NotCanonical {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
    },
    /// A tag, kind or flag with no meaning in this version.
    #[error("{field} at offset {offset} has the unknown value {have}")]
    Unknown {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Value found.
        have: u64,
    },
    /// Text that is not UTF-8.
    #[error("{field} at offset {offset} is not UTF-8 text")]
    NotText {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
    },
    /// A code with a wrong length or character.
    #[error("{field} at offset {offset} is not a code")]
    NotCode {
        /// What was being read.
        field: &'static str,
        /// Where.
        offset: usize,
        /// Why.
        #[source]
        source: CodeError,
    },
}

/// Appends canonical encodings to a buffer.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty buffer.
    #[must_use]
    pub const fn new() -> Self {
        Self { bytes: Vec::new() }
    }

    /// The bytes written.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    /// How many bytes are written.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is written.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// Two bytes, big-endian.
    pub fn u16(&mut self, value: u16) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian.
    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Eight bytes, big-endian, two's complement.
    pub fn i64(&mut self, value: i64) {
        self.bytes.extend_from_slice(&value.to_be_bytes());
    }

    /// Shortest unsigned LEB128.
    pub fn uleb(&mut self, mut value: u64) {
        loop {
            let low = value.to_le_bytes().first().copied().unwrap_or(0) & 0x7f;
            value >>= 7;
            if value == 0 {
                self.bytes.push(low);
                return;
            }
            self.bytes.push(low | 0x80);
        }
    }

    /// A length or count as LEB128.
    pub fn count(&mut self, value: usize) {
        self.uleb(u64::try_from(value).unwrap_or(u64::MAX));
    }

    /// Bytes as they are; the reader knows how many.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// A length and the bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.raw(bytes);
    }

    /// A code as length and bytes.
    pub fn code(&mut self, code: &Code) {
        self.bytes(code.as_str().as_bytes());
    }

    /// A logbook's name: kind, then station and month where the kind has them.
    pub fn logbook(&mut self, name: &LogbookName) {
        self.u8(name.kind());
        if let Some(station) = name.station() {
            self.code(station);
        }
        if let Some(month) = name.month() {
            self.u16(month.number());
        }
    }

    /// Byte 1 and the value, or byte 0.
    pub fn option<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        match value {
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
            None => self.u8(0),
        }
    }

    /// A count and the values.
    pub fn list<T>(&mut self, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        self.count(values.len());
        for value in values {
            write(self, value);
        }
    }
}

/// Reads canonical encodings from a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// A reader at the start of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, offset: 0 }
    }

    /// Where the next byte is read.
    #[must_use]
    pub const fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not read yet.
    #[must_use]
    pub const fn remaining(&self) -> usize {
        self.bytes.len().saturating_sub(self.offset)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`DecodeError::Trailing`] when bytes are left.
    pub const fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            have => Err(DecodeError::Trailing { offset: self.offset, have }),
        }
    }

    /// As many bytes as asked for, borrowed.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn raw(&mut self, field: &'static str, need: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some((taken, _)) = rest.split_at_checked(need) else {
            return Err(DecodeError::Truncated { field, offset: self.offset, need, have: rest.len() });
        };
        self.offset = self.offset.saturating_add(need);
        Ok(taken)
    }

    /// Exactly `N` bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let offset = self.offset;
        let taken = self.raw(field, N)?;
        taken.try_into().map_err(|_| DecodeError::Truncated { field, offset, need: N, have: taken.len() })
    }

    /// One byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u8(&mut self, field: &'static str) -> Result<u8, DecodeError> {
        Ok(u8::from_be_bytes(self.array(field)?))
    }

    /// Two bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u16(&mut self, field: &'static str) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array(field)?))
    }

    /// Eight bytes, big-endian.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn u64(&mut self, field: &'static str) -> Result<u64, DecodeError> {
        Ok(u64::from_be_bytes(self.array(field)?))
    }

    /// Eight bytes, big-endian, two's complement.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`].
    pub fn i64(&mut self, field: &'static str) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array(field)?))
    }

    /// An unsigned LEB128 number up to `max`, in its shortest form.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::NotCanonical`], [`DecodeError::TooLarge`].
    pub fn uleb(&mut self, field: &'static str, max: u64) -> Result<u64, DecodeError> {
        let offset = self.offset;
        let mut value: u64 = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let low = u64::from(byte & 0x7f);
            if shift == 63 && byte > 1 {
                return Err(DecodeError::TooLarge { field, offset, have: u64::MAX, max });
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(DecodeError::NotCanonical { field, offset });
                }
                if value > max {
                    return Err(DecodeError::TooLarge { field, offset, have: value, max });
                }
                return Ok(value);
            }
        }
        Err(DecodeError::TooLarge { field, offset, have: u64::MAX, max })
    }

    /// A `u32` as LEB128.
    ///
    /// # Errors
    /// As [`Reader::uleb`].
    pub fn uleb32(&mut self, field: &'static str) -> Result<u32, DecodeError> {
        let offset = self.offset;
        let value = self.uleb(field, u64::from(u32::MAX))?;
        let max = u64::from(u32::MAX);
        u32::try_from(value).map_err(|_| DecodeError::TooLarge { field, offset, have: value, max })
    }

    /// A count up to `max`.
    ///
    /// # Errors
    /// As [`Reader::uleb`].
    pub fn count(&mut self, field: &'static str, max: usize) -> Result<usize, DecodeError> {
        let offset = self.offset;
        let max = u64::try_from(max).unwrap_or(u64::MAX);
        let value = self.uleb(field, max)?;
        usize::try_from(value).map_err(|_| DecodeError::TooLarge { field, offset, have: value, max })
    }

    /// A length up to `max` and that many bytes, borrowed.
    ///
    /// # Errors
    /// As [`Reader::count`] and [`Reader::raw`].
    pub fn bytes(&mut self, field: &'static str, max: usize) -> Result<&'a [u8], DecodeError> {
        let len = self.count(field, max)?;
        self.raw(field, len)
    }

    /// UTF-8 text of up to `max` bytes, borrowed.
    ///
    /// # Errors
    /// As [`Reader::bytes`], and [`DecodeError::NotText`].
    pub fn text(&mut self, field: &'static str, max: usize) -> Result<&'a str, DecodeError> {
        let offset = self.offset;
        let bytes = self.bytes(field, max)?;
        core::str::from_utf8(bytes).map_err(|_| DecodeError::NotText { field, offset })
    }

    /// A code.
    ///
    /// # Errors
    /// As [`Reader::text`], and [`DecodeError::NotCode`].
    pub fn code(&mut self, field: &'static str) -> Result<Code, DecodeError> {
        let offset = self.offset;
        let text = self.text(field, crate::limits::CODE_BYTES_MAX)?;
        Code::new(text).map_err(|source| DecodeError::NotCode { field, offset, source })
    }

    /// A month by its number.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`], [`DecodeError::Unknown`].
    pub fn month(&mut self, field: &'static str) -> Result<Month, DecodeError> {
        let offset = self.offset;
        let number = self.u16(field)?;
        Month::from_number(number).ok_or_else(|| DecodeError::Unknown { field, offset, have: u64::from(number) })
    }

    /// A logbook's name.
    ///
    /// # Errors
    /// As its parts; [`DecodeError::Unknown`] for another kind.
    pub fn logbook(&mut self, field: &'static str) -> Result<LogbookName, DecodeError> {
        let offset = self.offset;
        match self.u8(field)? {
            1 => Ok(LogbookName::OrgDirectory),
            2 => Ok(LogbookName::StationDirectory(self.code("station")?)),
            3 => Ok(LogbookName::StationMonth(self.code("station")?, self.month("month")?)),
            have => Err(DecodeError::Unknown { field, offset, have: u64::from(have) }),
        }
    }

    /// A byte 0 or 1, and after 1 the value.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for another byte, and what `read` gives.
    pub fn option<T>(
        &mut self,
        field: &'static str,
        read: impl FnOnce(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Option<T>, DecodeError> {
        if self.flag(field)? { read(self).map(Some) } else { Ok(None) }
    }

    /// A byte 0 or 1.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for another byte.
    pub fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        let offset = self.offset;
        match self.u8(field)? {
            0 => Ok(false),
            1 => Ok(true),
            have => Err(DecodeError::Unknown { field, offset, have: u64::from(have) }),
        }
    }

    /// A count up to `max` and that many values. Memory grows with what was really read, never with the count alone.
    ///
    /// # Errors
    /// As [`Reader::count`], and what `read` gives.
    pub fn list<T>(
        &mut self,
        field: &'static str,
        max: usize,
        mut read: impl FnMut(&mut Self) -> Result<T, DecodeError>,
    ) -> Result<Vec<T>, DecodeError> {
        let count = self.count(field, max)?;
        let mut values = Vec::with_capacity(count.min(self.remaining()).min(256));
        for _ in 0..count {
            values.push(read(self)?);
        }
        Ok(values)
    }
}

/// Checks that a list is strictly ascending, so that it has one encoding and no doubles.
///
/// # Errors
/// [`DecodeError::NotCanonical`].
pub fn require_ascending<T: Ord>(field: &'static str, offset: usize, values: &[T]) -> Result<(), DecodeError> {
    if values.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(DecodeError::NotCanonical { field, offset }) }
}

/// Something with one canonical encoding.
pub trait Wire: Sized {
    /// Appends the encoding.
    fn write(&self, writer: &mut Writer);

    /// Reads it back.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a canonical encoding within the limits.
    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;

    /// The encoding on its own.
    fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write(&mut writer);
        writer.finish()
    }

    /// Reads it from bytes that hold nothing else.
    ///
    /// # Errors
    /// As [`Wire::read`], and [`DecodeError::Trailing`].
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn prop_uleb_reads_back_and_has_one_form(value: u64) {
            let mut writer = Writer::new();
            writer.uleb(value);
            let bytes = writer.finish();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.uleb("value", u64::MAX).unwrap(), value);
            prop_assert!(reader.finish().is_ok());
            for end in 0..bytes.len() {
                let cut = Reader::new(&bytes[..end]).uleb("value", u64::MAX);
                let is_truncated = matches!(cut, Err(DecodeError::Truncated { .. }));
                prop_assert!(is_truncated);
            }
        }

        #[test]
        fn prop_uleb_of_any_bytes_never_panics_and_is_canonical(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.uleb("value", u64::MAX) {
                let mut writer = Writer::new();
                writer.uleb(value);
                let again = writer.finish();
                prop_assert_eq!(again.as_slice(), &bytes[..reader.offset()]);
            }
        }
    }

    #[test]
    fn count_over_its_limit_is_refused_before_allocation() {
        let mut writer = Writer::new();
        writer.uleb(u64::from(u32::MAX));
        let bytes = writer.finish();
        let read = Reader::new(&bytes).list("things", 10, |reader| reader.u8("thing"));
        assert_eq!(read, Err(DecodeError::TooLarge { field: "things", offset: 0, have: 4_294_967_295, max: 10 }));
    }

    #[test]
    fn padded_number_is_not_canonical() {
        let read = Reader::new(&[0x80, 0x00]).uleb("number", 9);
        assert_eq!(read, Err(DecodeError::NotCanonical { field: "number", offset: 0 }));
    }

    #[test]
    fn logbook_of_unknown_kind_is_refused() {
        let bytes = [9];
        let read = Reader::new(&bytes).logbook("logbook");
        assert_eq!(read, Err(DecodeError::Unknown { field: "logbook", offset: 0, have: 9 }));
    }
}
