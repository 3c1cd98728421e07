//! Records: documents of one filled form, how they are written, read and compared.
//!
//! A record is an Automerge document; what is read from it here is computed from its changes directly, by rules that do
//! not depend on the order in which they arrived. Automerge writes the changes ([`create`], [`edit`], [`resolve`]) and the
//! gate runs every foreign one through it; [`Document`] reads them.
//!
//! # Layout
//!
//! ```text
//! root   k "record" | f form | v form version | s station or null | l logbook (16 bytes) | a author | t created_at (ms)
//!        d map of fields: name → scalar
//!        r map of repeats: name → map of rows: 16 hex digits → map of cells: name → scalar
//! ```
//! Root keys are short because every record carries them; names of fields, repeats and cells are the form's own. A row
//! is removed by putting `removed: true` in it (A8). Everything is a scalar; there is no review status in a record.
//!
//! # Invariants
//!
//! 1. All containers but rows are made in the first change (R24); a row is a map at a new random key (A8).
//! 2. View, conflicts, heads and history are functions of the set of changes (`record_graphs.rs`).
//!
//! # See
//!
//! Design section 3; `protocol.md` rules A8, A9.

use core::fmt;
use std::collections::BTreeMap;

use crate::change::ActorId;
use crate::ids::{ChangeHash, FormCode, LogbookId, PersonCode, StationCode};
use crate::time::UnixMillis;

pub use crate::change::Scalar;
pub use crate::record::author::{AuthorError, AuthoredChange, Resolution, create, edit, resolve};
pub(crate) use crate::record::author::{last_change, library_document, would_be_held};
pub use crate::record::conflict::{Candidate, ConflictKind, FieldConflict};
pub use crate::record::document::{Document, DocumentError};
pub(crate) use crate::record::document::{add as graph_add, graph_of as document_graph};
pub use crate::record::history::{ChangeStory, FieldChange};
pub use crate::record::resolve_list::{ResolveList, ResolveListError};
pub use crate::record::root::RootError;

mod author;
pub(crate) mod bits;
mod conflict;
mod difference;
mod document;
pub(crate) mod graph;
mod history;
pub(crate) mod resolve_list;
pub(crate) mod root;
pub(crate) mod shape;

/// The cell that says a row is removed.
pub const REMOVED: &str = "removed";

/// What a record says once, in its first change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRoot {
    /// The form it follows.
    pub form: FormCode,
    /// That form's version.
    pub form_version: u32,
    /// The station, unless it belongs to the organisation as a whole.
    pub station: Option<StationCode>,
    /// Its home.
    pub logbook: LogbookId,
    /// The person whose record it is.
    pub author: PersonCode,
    /// When it was created, by the writer's clock.
    pub created_at: UnixMillis,
}

/// Who writes, with which actor, when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Random bytes, fresh for each process, document and person (R6).
    pub actor: ActorId,
    /// The person.
    pub person: PersonCode,
    /// The writer's clock.
    pub time: UnixMillis,
}

/// The random key of a row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowKey(pub [u8; 8]);

impl RowKey {
    /// From exactly 16 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits: &[u8; 16] = text.as_bytes().try_into().ok()?;
        let nibble = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut key = [0u8; 8];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            if let [high, low] = pair {
                *byte = nibble(*high)? << 4 | nibble(*low)?;
            }
        }
        Some(Self(key))
    }
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a value stands in a record.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FieldPath {
    /// A field.
    Field(String),
    /// A cell of a row.
    Row {
        /// The repeat's name.
        repeat: String,
        /// The row.
        row: RowKey,
        /// The cell's name.
        name: String,
    },
}

impl FieldPath {
    /// The cell that says whether this cell's row is removed; `None` for a field.
    #[must_use]
    pub fn removal(&self) -> Option<Self> {
        match self {
            Self::Field(_) => None,
            Self::Row { repeat, row, .. } => {
                Some(Self::Row { repeat: repeat.clone(), row: *row, name: REMOVED.to_owned() })
            }
        }
    }

    /// True if this is a `removed` cell.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        match self {
            Self::Field(_) => false,
            Self::Row { name, .. } => name == REMOVED,
        }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field(name) => f.write_str(name),
            Self::Row { repeat, row, name } => write!(f, "{repeat}.{row}.{name}"),
        }
    }
}

/// One thing to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldEdit {
    /// Put a value. Clearing is putting null.
    Set(FieldPath, Scalar),
    /// Add a row under a new random key.
    AddRow {
        /// The repeat's name; it must be one of the first change.
        repeat: String,
        /// The new key.
        row: RowKey,
        /// What the row holds.
        cells: BTreeMap<String, Scalar>,
    },
    /// Mark a row as removed.
    RemoveRow {
        /// The repeat's name.
        repeat: String,
        /// The row.
        row: RowKey,
    },
}

/// Rows of the repeats of a record, as they are first written.
pub type Repeats = BTreeMap<String, BTreeMap<RowKey, BTreeMap<String, Scalar>>>;

/// A row as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowView {
    /// True if someone removed it; its cells are kept.
    pub removed: bool,
    /// Its cells, without the removal mark.
    pub cells: BTreeMap<String, Scalar>,
}

/// A record as it stands at some version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// What its first change says.
    pub root: RecordRoot,
    /// Its fields. A cleared field is null.
    pub fields: BTreeMap<String, Scalar>,
    /// Its repeats, with removed rows marked.
    pub repeats: BTreeMap<String, BTreeMap<RowKey, RowView>>,
}

/// A version of a record: its heads, sorted.
pub type Heads = Vec<ChangeHash>;
