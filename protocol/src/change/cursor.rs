//! A reader over bytes that never looks past their end.
//!
//! Numbers are LEB128 in their shortest form only: one value has one encoding, so a chunk that decodes is the chunk that
//! an honest encoder would have written.

/// Why bytes could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes end before the value does.
    #[error("needs {need} more bytes at byte {at}, {have} are left")]
    Ended {
        /// Where.
        at: usize,
        /// Bytes the value needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// A number longer than its shortest form, or too large for its type.
    #[error("the number at byte {at} is not a LEB128 number in its shortest form")]
    Number {
        /// Where.
        at: usize,
    },
    /// Text that is not UTF-8.
    #[error("the text at byte {at} is not UTF-8")]
    Text {
        /// Where.
        at: usize,
    },
}

/// The reader. `at` counts from the start of the bytes it was made from.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, at: 0 }
    }

    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], ReadError> {
        let ended = ReadError::Ended { at: self.at, need: len, have: self.rest.len() };
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(ended)?;
        self.rest = rest;
        self.at += len;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], ReadError> {
        let at = self.at;
        let taken = self.take(N)?;
        taken.try_into().map_err(|_| ReadError::Ended { at, need: N, have: taken.len() })
    }

    pub(crate) fn byte(&mut self) -> Result<u8, ReadError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn text(&mut self, len: usize) -> Result<&'a str, ReadError> {
        let at = self.at;
        core::str::from_utf8(self.take(len)?).map_err(|_| ReadError::Text { at })
    }

    /// An unsigned number of at most 64 bits.
    pub(crate) fn uleb(&mut self) -> Result<u64, ReadError> {
        let wrong = ReadError::Number { at: self.at };
        let mut value = 0u64;
        for index in 0..10u32 {
            let byte = self.byte()?;
            let last = byte & 0x80 == 0;
            let too_large = index == 9 && byte > 1;
            let overlong = index > 0 && byte == 0;
            if too_large || overlong {
                return Err(wrong);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if last {
                return Ok(value);
            }
        }
        Err(wrong)
    }

    /// A signed number of at most 64 bits.
    pub(crate) fn ileb(&mut self) -> Result<i64, ReadError> {
        let wrong = ReadError::Number { at: self.at };
        let mut value = 0i64;
        let mut before = 0u8;
        for index in 0..10u32 {
            let byte = self.byte()?;
            let last = byte & 0x80 == 0;
            let only_sign = (byte == 0 && before & 0x40 == 0) || (byte == 0x7f && before & 0x40 != 0);
            let too_large = index == 9 && byte != 0 && byte != 0x7f;
            if too_large || (last && index > 0 && only_sign) {
                return Err(wrong);
            }
            value |= i64::from(byte & 0x7f) << (7 * index);
            if last {
                let shift = 7 * (index + 1);
                return Ok(if byte & 0x40 != 0 && shift < 64 { value | (-1i64 << shift) } else { value });
            }
            before = byte;
        }
        Err(wrong)
    }

    /// A length, as a `usize`.
    pub(crate) fn length(&mut self) -> Result<usize, ReadError> {
        let at = self.at;
        usize::try_from(self.uleb()?).map_err(|_| ReadError::Number { at })
    }
}

/// Appends an unsigned number in its shortest form.
pub(crate) fn write_uleb(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = u8::try_from(value & 0x7f).unwrap_or(0);
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write_ileb(out: &mut Vec<u8>, mut value: i64) {
        loop {
            let low = u8::try_from(value & 0x7f).unwrap();
            value >>= 7;
            if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
                out.push(low);
                return;
            }
            out.push(low | 0x80);
        }
    }

    #[test]
    fn number_longer_than_its_shortest_form_is_refused() {
        assert_eq!(Cursor::new(&[0x81, 0x00]).uleb(), Err(ReadError::Number { at: 0 }));
        assert_eq!(Cursor::new(&[0xbf, 0x00]).ileb(), Err(ReadError::Number { at: 0 }));
        assert_eq!(Cursor::new(&[0x81, 0xff, 0x7f]).ileb(), Err(ReadError::Number { at: 0 }));
        assert_eq!(Cursor::new(&[0xff; 12]).uleb(), Err(ReadError::Number { at: 0 }));
        assert_eq!(Cursor::new(&[0xff; 12]).ileb(), Err(ReadError::Number { at: 0 }));
        assert_eq!(Cursor::new(&[0x80]).uleb(), Err(ReadError::Ended { at: 1, need: 1, have: 0 }));
    }

    proptest! {
        #[test]
        fn prop_unsigned_number_reads_back(value: u64) {
            let mut out = Vec::new();
            write_uleb(&mut out, value);
            prop_assert_eq!(Cursor::new(&out).uleb(), Ok(value));
        }

        #[test]
        fn prop_signed_number_reads_back(value: i64) {
            let mut out = Vec::new();
            write_ileb(&mut out, value);
            prop_assert_eq!(Cursor::new(&out).ileb(), Ok(value));
        }

        #[test]
        fn prop_any_bytes_read_once_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            let mut cursor = Cursor::new(&bytes);
            if let Ok(value) = cursor.ileb() {
                let mut out = Vec::new();
                write_ileb(&mut out, value);
                prop_assert_eq!(out.as_slice(), &bytes[..cursor.at()]);
            }
        }
    }

    #[test]
    fn extreme_signed_numbers_read_back() {
        for value in [i64::MIN, i64::MAX, -1, 0, 63, 64, -64, -65] {
            let mut out = Vec::new();
            write_ileb(&mut out, value);
            assert_eq!(Cursor::new(&out).ileb(), Ok(value));
        }
    }
}
