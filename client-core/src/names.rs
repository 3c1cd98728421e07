//! Names an app handles: records, drafts, versions, fields and cursors, as plain values.
//!
//! Each prints as text and reads back from it, so it can pass a page, a command line or a foreign language unchanged.

use core::fmt;
use core::str::FromStr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use qianmo_protocol::ids::{ChangeHash, DocId};
use qianmo_protocol::record;
use qianmo_protocol::review::HEADS_MAX;

/// A text that is not the name it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a {what}: {have} characters that do not read as one")]
pub struct NameError {
    /// What it should be.
    pub what: &'static str,
    /// Its characters.
    pub have: usize,
}

fn wrong(what: &'static str, text: &str) -> NameError {
    NameError { what, have: text.chars().count() }
}

/// A record.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub(crate) DocId);

/// A draft on this device.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub(crate) [u8; 8]);

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for RecordId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        DocId::from_hex(text).map(Self).ok_or_else(|| wrong("record id", text))
    }
}

impl fmt::Display for DraftId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for DraftId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        // A row key is eight bytes in the same digits.
        record::RowKey::parse(&text.to_ascii_lowercase()).map(|key| Self(key.0)).ok_or_else(|| wrong("draft id", text))
    }
}

macro_rules! text_like {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
text_like!(RecordId);
text_like!(DraftId);
text_like!(RecordVersion);
text_like!(FieldPath);

/// The version of a record that a person looks at. Opaque: hand it back with what was written against it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordVersion(String);

impl RecordVersion {
    pub(crate) fn of(heads: &[ChangeHash]) -> Self {
        let bytes: Vec<u8> = heads.iter().flat_map(|head| head.0).collect();
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    pub(crate) fn heads(&self) -> Vec<ChangeHash> {
        // Checked when the value was made.
        let bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).unwrap_or_default();
        bytes.chunks_exact(32).filter_map(ChangeHash::from_slice).collect()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RecordVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for RecordVersion {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = text.len() <= HEADS_MAX * 43 + 2;
        let bytes = fits.then(|| BASE64URL_NOPAD.decode(text.as_bytes()).ok()).flatten();
        match bytes {
            Some(bytes) if !bytes.is_empty() && bytes.len().is_multiple_of(32) => Ok(Self(text.to_owned())),
            Some(_) | None => Err(wrong("record version", text)),
        }
    }
}

/// Where a value stands in a record: `field`, or `repeat/row/field`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(String);

impl FieldPath {
    /// A path from its text. Whether the form has it is judged where it is used.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(path: &record::FieldPath) -> Self {
        match path {
            record::FieldPath::Field(name) => Self(name.clone()),
            record::FieldPath::Row { repeat, row, name } => Self(format!("{repeat}/{row}/{name}")),
        }
    }

    /// The path in a document; `None` when a row is not named by its key.
    pub(crate) fn to_record(&self) -> Option<record::FieldPath> {
        let mut parts = self.0.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None, None) => Some(record::FieldPath::Field(name.to_owned())),
            (Some(repeat), Some(row), Some(name), None) => Some(record::FieldPath::Row {
                repeat: repeat.to_owned(),
                row: record::RowKey::parse(row)?,
                name: name.to_owned(),
            }),
            (_, _, _, _) => None,
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for FieldPath {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Ok(Self::new(text))
    }
}

impl From<&str> for FieldPath {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Where the next page of a list begins. Opaque.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(String);

impl Cursor {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(BASE64URL_NOPAD.encode(bytes))
    }

    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        BASE64URL_NOPAD.decode(self.0.as_bytes()).ok()
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cursor {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_one = text.len() <= 1_024 && BASE64URL_NOPAD.decode(text.as_bytes()).is_ok();
        if is_one { Ok(Self(text.to_owned())) } else { Err(wrong("cursor", text)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_from_their_text() {
        let id = RecordId(DocId([7; 16]));
        assert_eq!(id.to_string().parse(), Ok(id));
        let draft = DraftId([1, 2, 3, 4, 5, 6, 7, 255]);
        assert_eq!(draft.to_string().parse(), Ok(draft));
        let heads = vec![ChangeHash([1; 32]), ChangeHash([2; 32])];
        let version = RecordVersion::of(&heads);
        assert_eq!(version.to_string().parse::<RecordVersion>().unwrap().heads(), heads);
        let cursor = Cursor::of(b"t\x00\x01");
        assert_eq!(cursor.as_str().parse::<Cursor>().unwrap().bytes().unwrap(), b"t\x00\x01");
    }

    #[test]
    fn text_that_is_no_name_is_refused() {
        assert!("12".parse::<RecordId>().is_err());
        assert!("".parse::<RecordVersion>().is_err());
        assert!("AAAA".parse::<RecordVersion>().is_err());
        assert!("?".parse::<Cursor>().is_err());
        assert!("xyz".parse::<DraftId>().is_err());
    }

    #[test]
    fn row_paths_name_their_row_by_key() {
        let path = FieldPath::new("plots/00000000000000ff/area");
        let record = path.to_record().unwrap();
        assert_eq!(FieldPath::of(&record), path);
        assert_eq!(FieldPath::new("plots/first/area").to_record(), None);
        assert_eq!(FieldPath::new("a/b").to_record(), None);
    }
}
