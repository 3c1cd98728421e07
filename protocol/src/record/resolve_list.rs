//! The commit message of a resolve: which fields it settles, and the changes it saw there (A9).
//!
//! # Layout
//!
//! ```text
//! resolve 1 LF
//! then for each path, ascending:  f TAB name                 | or  r TAB repeat TAB row TAB name
//!                                 and for each hash, ascending:  TAB 64 hex digits
//!                                 LF
//! ```
//! One list has one text, so a message that does not read back as itself is refused.

use core::fmt::Write as _;
use core::str::Split;
use std::collections::{BTreeMap, BTreeSet};

use crate::ids::ChangeHash;
use crate::limits::CHANGE_MESSAGE_BYTES_MAX;
use crate::record::{FieldPath, RowKey, shape};

const FIRST_LINE: &str = "resolve 1";

/// The fields a resolve settles, each with the changes it saw there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResolveList(pub BTreeMap<FieldPath, BTreeSet<ChangeHash>>);

/// Why a message is not a resolve's list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveListError {
    /// Longer than a message may be.
    #[error("a message has at most {max} bytes, this list needs {have}; settle fewer fields at once")]
    TooLong {
        /// Bytes it has.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// Not the first line of a resolve.
    #[error("the message is not a resolve's list, which is the only message a change may carry")]
    FirstLine,
    /// A line that is not a path with hashes, or lines out of order.
    #[error("line {line} of the resolve's list is not a path with the changes seen, in ascending order")]
    Line {
        /// Which, from 1.
        line: usize,
    },
    /// No path at all.
    #[error("the resolve's list is empty")]
    Empty,
}

impl ResolveList {
    /// The message.
    ///
    /// # Errors
    /// [`ResolveListError::TooLong`] and [`ResolveListError::Empty`].
    pub fn encode(&self) -> Result<String, ResolveListError> {
        if self.0.is_empty() {
            return Err(ResolveListError::Empty);
        }
        let text = self.text();
        if text.len() > CHANGE_MESSAGE_BYTES_MAX {
            return Err(ResolveListError::TooLong { have: text.len(), max: CHANGE_MESSAGE_BYTES_MAX });
        }
        Ok(text)
    }

    fn text(&self) -> String {
        let mut out = String::from(FIRST_LINE);
        out.push('\n');
        for (path, seen) in &self.0 {
            write_path(&mut out, path);
            for hash in seen {
                // Writing to a String cannot fail.
                write!(out, "\t{hash}").ok();
            }
            out.push('\n');
        }
        out
    }

    /// Reads a message.
    ///
    /// # Errors
    /// [`ResolveListError`] when it is not exactly what [`Self::encode`] writes.
    pub fn decode(message: &str) -> Result<Self, ResolveListError> {
        if message.len() > CHANGE_MESSAGE_BYTES_MAX {
            return Err(ResolveListError::TooLong { have: message.len(), max: CHANGE_MESSAGE_BYTES_MAX });
        }
        let mut lines = message.split('\n').enumerate();
        if lines.next().map(|(_, line)| line) != Some(FIRST_LINE) {
            return Err(ResolveListError::FirstLine);
        }
        let mut list = BTreeMap::new();
        for (number, line) in lines {
            if line.is_empty() && number > 1 {
                break;
            }
            let (path, seen) = decode_line(line).ok_or(ResolveListError::Line { line: number + 1 })?;
            list.insert(path, seen);
        }
        let list = Self(list);
        if list.0.is_empty() {
            return Err(ResolveListError::Empty);
        }
        if list.text() == message { Ok(list) } else { Err(ResolveListError::Line { line: list.0.len() + 1 }) }
    }
}

/// Writes a path as tab-separated parts.
pub(crate) fn write_path(out: &mut String, path: &FieldPath) {
    match path {
        FieldPath::Field(name) => {
            out.push_str("f\t");
            out.push_str(name);
        }
        FieldPath::Row { repeat, row, name } => {
            for part in ["r\t", repeat, "\t", &row.to_string(), "\t", name] {
                out.push_str(part);
            }
        }
    }
}

/// Reads a path from tab-separated parts and leaves those behind it.
pub(crate) fn read_path(parts: &mut Split<'_, char>) -> Option<FieldPath> {
    let name = |text: Option<&str>| text.filter(|name| shape::name_is_allowed(name)).map(str::to_owned);
    match parts.next()? {
        "f" => Some(FieldPath::Field(name(parts.next())?)),
        "r" => {
            let (repeat, row) = (name(parts.next())?, RowKey::parse(parts.next()?)?);
            Some(FieldPath::Row { repeat, row, name: name(parts.next())? })
        }
        _ => None,
    }
}

fn decode_line(line: &str) -> Option<(FieldPath, BTreeSet<ChangeHash>)> {
    let mut parts = line.split('\t');
    let path = read_path(&mut parts)?;
    let seen: Option<BTreeSet<ChangeHash>> = parts.map(ChangeHash::from_hex).collect();
    seen.filter(|seen| !seen.is_empty()).map(|seen| (path, seen))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paths() -> impl Strategy<Value = FieldPath> {
        let name = "[a-z_\u{4e00}-\u{4e20} ]{1,12}";
        prop_oneof![
            name.prop_map(FieldPath::Field),
            (name, any::<[u8; 8]>(), name).prop_map(|(repeat, row, name)| FieldPath::Row {
                repeat,
                row: RowKey(row),
                name
            }),
        ]
    }

    proptest! {
        #[test]
        fn prop_list_reads_back(list in proptest::collection::btree_map(
            paths(), proptest::collection::btree_set(any::<[u8; 32]>().prop_map(ChangeHash), 1..4), 1..6)) {
            let list = ResolveList(list);
            prop_assert_eq!(ResolveList::decode(&list.encode().unwrap()), Ok(list));
        }

        #[test]
        fn prop_any_message_is_read_or_refused(message in "(resolve 1\n)?[fr\ta-f0-9\n]{0,120}") {
            if let Ok(list) = ResolveList::decode(&message) {
                prop_assert_eq!(list.encode().unwrap(), message);
            }
        }
    }

    #[test]
    fn list_over_the_message_limit_is_refused_with_advice() {
        let seen: BTreeSet<ChangeHash> = (0..200u8).map(|n| ChangeHash([n; 32])).collect();
        let list = ResolveList(BTreeMap::from([(FieldPath::Field("crop".into()), seen)]));
        assert!(matches!(list.encode(), Err(ResolveListError::TooLong { .. })));
        assert_eq!(ResolveList::default().encode(), Err(ResolveListError::Empty));
    }
}
