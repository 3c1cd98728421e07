//! One Automerge change as bytes: parsed, bounded and hashed without calling Automerge (R9).
//!
//! A [`RawChange`] is what packs carry and what replicas keep. Its head (dependencies, actor, sequence number …) is read
//! here; its operations are read on demand by [`RawChange::ops`], with our own decoder: Automerge's loops for as long as
//! a run length says (2⁶² operations fit in thirty bytes) and panics on an actor index that is not there.
//! Whether a change may enter a document is the gate's question, not this module's.
//!
//! # Layout
//!
//! ```text
//! chunk    magic 85 6f 4a 83 | checksum 4 | type 1 | uLEB length | content
//! content  uLEB n, n × 32 deps | uLEB 16, actor | uLEB seq | uLEB start_op | iLEB time | uLEB len, message
//!          | uLEB n, n × (uLEB 16, actor) others | uLEB n, n × (uLEB spec, uLEB len) columns | column data | footer
//! hash     SHA-256(type ‖ length ‖ content); checksum = its first 4 bytes
//! ```
//!
//! # Invariants
//!
//! 1. `bytes()` hashes to `hash()` and its checksum is right (`parse`, `from_content`).
//! 2. Dependencies are strictly ascending, every actor is 16 bytes, every number has its shortest form (`parse_head`).
//!
//! # Limits
//!
//! `CHANGE_BYTES_MAX`, `CHANGE_DEPS_MAX`, `CHANGE_MESSAGE_BYTES_MAX`, `DOCUMENT_ACTORS_MAX`, [`COLUMNS_MAX`].

use core::fmt;
use core::ops::Range;
use std::sync::{Arc, OnceLock};

use sha2::{Digest, Sha256};

use crate::change::cursor::{Cursor, write_uleb};
use crate::ids::{ChangeHash, Code, DocId, PersonCode};
use crate::limits::{CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_MESSAGE_BYTES_MAX, DOCUMENT_ACTORS_MAX};

pub use crate::change::cursor::ReadError;
pub use crate::change::ops::{Key, ObjectId, Op, OpAction, OpId, OpsError, Scalar};

pub(crate) mod cursor;
mod ops;

/// Most columns of one change: Automerge writes at most fourteen.
pub const COLUMNS_MAX: usize = 16;
/// The bytes every Automerge chunk begins with.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];
/// The chunk type of an uncompressed change; the only one taken (R26).
const CHANGE_CHUNK: u8 = 1;
/// The author footer's number in a change's trailing bytes.
const AUTHOR_FOOTER: u8 = 1;

/// Who wrote a run of changes: 16 random bytes, fresh for every process, document and person (R6).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActorId(pub [u8; 16]);

impl fmt::Debug for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("actor:")?;
        self.0.iter().take(4).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why bytes are not a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Longer than a change may be.
    #[error("a change has at most {max} bytes, this has {have}")]
    TooLong {
        /// Bytes found.
        have: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// Not an Automerge chunk.
    #[error("the bytes do not begin as an Automerge chunk does")]
    Magic,
    /// A document, compressed change or bundle (R26).
    #[error("only chunks of type 1 (an uncompressed change) are taken, this is type {found}")]
    ChunkType {
        /// The type byte.
        found: u8,
    },
    /// The stated length is not the length.
    #[error("the chunk states {stated} bytes of content and has {have}")]
    Length {
        /// What the chunk says.
        stated: u64,
        /// Bytes after the length.
        have: usize,
    },
    /// The checksum is not that of the bytes.
    #[error("the checksum does not match the content")]
    Checksum,
    /// A part of the head cannot be read.
    #[error("the change's {part} cannot be read")]
    Head {
        /// Which part.
        part: &'static str,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// More of something than is allowed.
    #[error("the change has {have} {what}, at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many it states.
        have: u64,
        /// Most allowed.
        max: usize,
    },
    /// Dependencies, actors or columns that are not strictly ascending.
    #[error("the change's {what} are not in strictly ascending order")]
    Order {
        /// Which list.
        what: &'static str,
    },
    /// An actor that is not 16 bytes.
    #[error("an actor has 16 bytes, this has {have}")]
    ActorLength {
        /// Bytes stated.
        have: u64,
    },
    /// A column that is compressed.
    #[error("column {spec} is compressed, which a change may not have")]
    CompressedColumn {
        /// Its specification number.
        spec: u64,
    },
    /// `start_op` is zero.
    #[error("the first operation's counter is zero")]
    StartOp,
}

/// What stands behind the operations of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Footer {
    /// Nothing.
    None,
    /// The person who writes, on the first change of an actor.
    Author(PersonCode),
    /// Something else, which the gate refuses.
    Other {
        /// Its length.
        len: usize,
    },
}

/// The part of a change before its operations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeHead {
    /// The changes this one was written on, strictly ascending.
    pub deps: Vec<ChangeHash>,
    /// Who wrote it.
    pub actor: ActorId,
    /// Its number among the actor's changes in this document, from 1.
    pub seq: u64,
    /// The counter of its first operation, from 1.
    pub start_op: u64,
    /// The writer's clock, in milliseconds; advisory.
    pub time: i64,
    /// The commit message; a resolve's list lives here.
    pub message: Option<String>,
    /// Actors its operations name besides its own, strictly ascending.
    pub other_actors: Vec<ActorId>,
    /// What follows the operations.
    pub footer: Footer,
}

impl ChangeHead {
    /// The person of this actor, if this change introduces it.
    #[must_use]
    pub const fn author(&self) -> Option<&PersonCode> {
        match &self.footer {
            Footer::Author(person) => Some(person),
            Footer::None | Footer::Other { .. } => None,
        }
    }

    /// True if it depends on nothing.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.deps.is_empty()
    }
}

/// One column of a change: its specification number and where its bytes are.
#[derive(Debug, Clone)]
struct Column {
    spec: u64,
    range: Range<usize>,
}

struct Inner {
    bytes: Vec<u8>,
    content_at: usize,
    hash: ChangeHash,
    head: ChangeHead,
    columns: Vec<Column>,
    ops: OnceLock<Result<Vec<Op>, OpsError>>,
}

/// A parsed change. Cheap to clone.
#[derive(Clone)]
pub struct RawChange(Arc<Inner>);

impl RawChange {
    /// Reads a whole chunk.
    ///
    /// # Errors
    /// [`ChangeError`] when it is not exactly one well-formed, uncompressed change chunk within the limits.
    pub fn parse(chunk: &[u8]) -> Result<Self, ChangeError> {
        if chunk.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::TooLong { have: chunk.len(), max: CHANGE_BYTES_MAX });
        }
        let mut cursor = Cursor::new(chunk);
        if cursor.array().map_err(head("magic"))? != MAGIC {
            return Err(ChangeError::Magic);
        }
        let checksum: [u8; 4] = cursor.array().map_err(head("checksum"))?;
        let hashed = cursor.rest();
        let found = cursor.byte().map_err(head("type"))?;
        if found != CHANGE_CHUNK {
            return Err(ChangeError::ChunkType { found });
        }
        let stated = cursor.uleb().map_err(head("length"))?;
        let have = cursor.rest().len();
        if u64::try_from(have) != Ok(stated) {
            return Err(ChangeError::Length { stated, have });
        }
        let hash: [u8; 32] = Sha256::digest(hashed).into();
        if hash.first_chunk() != Some(&checksum) {
            return Err(ChangeError::Checksum);
        }
        Self::finish(chunk.to_vec(), cursor.at(), ChangeHash(hash))
    }

    /// Reads the content alone, as packs carry it, and restores magic, checksum, type and length.
    ///
    /// # Errors
    /// [`ChangeError`] as for [`Self::parse`].
    pub fn from_content(content: &[u8]) -> Result<Self, ChangeError> {
        if content.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::TooLong { have: content.len(), max: CHANGE_BYTES_MAX });
        }
        let mut tail = Vec::with_capacity(content.len() + 4);
        tail.push(CHANGE_CHUNK);
        write_uleb(&mut tail, u64::try_from(content.len()).unwrap_or(u64::MAX));
        tail.extend_from_slice(content);
        let hash: [u8; 32] = Sha256::digest(&tail).into();
        let [a, b, c, d, ..] = hash;
        let mut bytes = Vec::with_capacity(tail.len() + 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[a, b, c, d]);
        bytes.extend_from_slice(&tail);
        if bytes.len() > CHANGE_BYTES_MAX {
            return Err(ChangeError::TooLong { have: bytes.len(), max: CHANGE_BYTES_MAX });
        }
        let content_at = bytes.len() - content.len();
        Self::finish(bytes, content_at, ChangeHash(hash))
    }

    fn finish(bytes: Vec<u8>, content_at: usize, hash: ChangeHash) -> Result<Self, ChangeError> {
        let content = bytes.get(content_at..).unwrap_or_default();
        let (head, columns) = parse_head(content)?;
        Ok(Self(Arc::new(Inner { bytes, content_at, hash, head, columns, ops: OnceLock::new() })))
    }

    /// The same change, sharing nothing with this one. Operations are decoded once and kept; those of a copy go with it.
    ///
    /// Columns are run lengths: a change of 150 bytes may have thousands of operations. Whoever looks at a change that no
    /// gate has passed, and does not own it, looks at a copy.
    #[must_use]
    pub fn unshared(&self) -> Self {
        let Inner { bytes, content_at, hash, head, columns, ops: _ } = &*self.0;
        Self(Arc::new(Inner {
            bytes: bytes.clone(),
            content_at: *content_at,
            hash: *hash,
            head: head.clone(),
            columns: columns.clone(),
            ops: OnceLock::new(),
        }))
    }

    /// What packs carry: the bytes after the length.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        self.0.bytes.get(self.0.content_at..).unwrap_or_default()
    }

    /// The whole chunk, as Automerge reads it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }

    /// Its name: the SHA-256 of the chunk from the type byte on.
    #[must_use]
    pub fn hash(&self) -> ChangeHash {
        self.0.hash
    }

    /// Everything before the operations.
    #[must_use]
    pub fn head(&self) -> &ChangeHead {
        &self.0.head
    }

    /// The document it begins, if it depends on nothing (R19).
    #[must_use]
    pub fn doc_id_if_root(&self) -> Option<DocId> {
        self.0.head.is_root().then(|| DocId::from_root(&self.0.hash))
    }

    /// Its operations, decoded once and kept.
    ///
    /// # Errors
    /// [`OpsError`] when a column is damaged, too long or holds what no Qianmo document may hold.
    pub fn ops(&self) -> Result<&[Op], OpsError> {
        match self.0.ops.get_or_init(|| self.decode_ops()) {
            Ok(ops) => Ok(ops),
            Err(error) => Err(error.clone()),
        }
    }

    fn decode_ops(&self) -> Result<Vec<Op>, OpsError> {
        let content = self.content();
        let slice = |column: &Column| (column.spec, content.get(column.range.clone()).unwrap_or_default());
        let columns: Vec<(u64, &[u8])> = self.0.columns.iter().map(slice).collect();
        ops::decode(&self.0.head, &columns)
    }
}

impl fmt::Debug for RawChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawChange")
            .field("hash", &self.0.hash)
            .field("bytes", &self.0.bytes.len())
            .field("seq", &self.0.head.seq)
            .finish_non_exhaustive()
    }
}

impl PartialEq for RawChange {
    fn eq(&self, other: &Self) -> bool {
        self.0.hash == other.0.hash
    }
}

impl Eq for RawChange {}

fn head(part: &'static str) -> impl Fn(ReadError) -> ChangeError {
    move |source| ChangeError::Head { part, source }
}

/// Reads a count and checks it before anything is allocated.
fn count(cursor: &mut Cursor<'_>, what: &'static str, max: usize) -> Result<usize, ChangeError> {
    let have = cursor.uleb().map_err(head(what))?;
    match usize::try_from(have) {
        Ok(count) if count <= max => Ok(count),
        Ok(_) | Err(_) => Err(ChangeError::TooMany { what, have, max }),
    }
}

fn actor(cursor: &mut Cursor<'_>) -> Result<ActorId, ChangeError> {
    let have = cursor.uleb().map_err(head("actor"))?;
    if have != 16 {
        return Err(ChangeError::ActorLength { have });
    }
    cursor.array().map(ActorId).map_err(head("actor"))
}

fn ascending<T: Ord>(items: &[T]) -> bool {
    items.windows(2).all(|pair| matches!(pair, [a, b] if a < b))
}

fn parse_head(content: &[u8]) -> Result<(ChangeHead, Vec<Column>), ChangeError> {
    let mut cursor = Cursor::new(content);
    let deps_count = count(&mut cursor, "dependencies", CHANGE_DEPS_MAX)?;
    let mut deps = Vec::with_capacity(deps_count);
    for _ in 0..deps_count {
        deps.push(ChangeHash(cursor.array().map_err(head("dependencies"))?));
    }
    if !ascending(&deps) {
        return Err(ChangeError::Order { what: "dependencies" });
    }
    let own = actor(&mut cursor)?;
    let seq = cursor.uleb().map_err(head("sequence number"))?;
    let start_op = cursor.uleb().map_err(head("first operation counter"))?;
    if start_op == 0 {
        return Err(ChangeError::StartOp);
    }
    let time = cursor.ileb().map_err(head("time"))?;
    let message_len = count(&mut cursor, "message bytes", CHANGE_MESSAGE_BYTES_MAX)?;
    let message = cursor.text(message_len).map_err(head("message"))?;
    let others_count = count(&mut cursor, "other actors", DOCUMENT_ACTORS_MAX)?;
    let mut other_actors = Vec::with_capacity(others_count);
    for _ in 0..others_count {
        other_actors.push(actor(&mut cursor)?);
    }
    if !ascending(&other_actors) || other_actors.contains(&own) {
        return Err(ChangeError::Order { what: "other actors" });
    }
    let columns = parse_columns(&mut cursor)?;
    let message = (!message.is_empty()).then(|| message.to_owned());
    let footer = parse_footer(cursor.rest());
    Ok((ChangeHead { deps, actor: own, seq, start_op, time, message, other_actors, footer }, columns))
}

/// Reads the column table, then steps over the column data.
fn parse_columns(cursor: &mut Cursor<'_>) -> Result<Vec<Column>, ChangeError> {
    let columns_count = count(cursor, "columns", COLUMNS_MAX)?;
    let mut stated = Vec::with_capacity(columns_count);
    for _ in 0..columns_count {
        let spec = cursor.uleb().map_err(head("columns"))?;
        if spec & 0b1000 != 0 {
            return Err(ChangeError::CompressedColumn { spec });
        }
        stated.push((spec, cursor.length().map_err(head("columns"))?));
    }
    if !stated.windows(2).all(|pair| matches!(pair, [a, b] if a.0 < b.0)) {
        return Err(ChangeError::Order { what: "columns" });
    }
    let mut columns = Vec::with_capacity(columns_count);
    for (spec, len) in stated {
        let start = cursor.at();
        cursor.take(len).map_err(head("column data"))?;
        columns.push(Column { spec, range: start..cursor.at() });
    }
    Ok(columns)
}

fn parse_footer(bytes: &[u8]) -> Footer {
    if bytes.is_empty() {
        return Footer::None;
    }
    let person = || -> Option<PersonCode> {
        let mut cursor = Cursor::new(bytes);
        let (kind, len) = (cursor.byte().ok()?, cursor.length().ok()?);
        let text = cursor.text(len).ok()?;
        if kind == AUTHOR_FOOTER && cursor.is_empty() { Code::new(text).ok() } else { None }
    };
    person().map_or(Footer::Other { len: bytes.len() }, Footer::Author)
}
