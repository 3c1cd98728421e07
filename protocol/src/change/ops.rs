//! The operations of a change, read from its columns.
//!
//! Strict and total: every column is either absent or has exactly one value per operation, numbers have their shortest
//! form, and only what a Qianmo document may hold comes out (A8): puts of scalars and new maps under map keys. Lists,
//! text, counters, marks, deletions and increments end here with a typed error.
//!
//! # Limits
//!
//! `CHANGE_OPS_MAX`, checked while the action column is read, before anything else is; `KEY_BYTES_MAX`,
//! `VALUE_BYTES_MAX`, `PREDECESSORS_MAX`.

use core::fmt;

use crate::change::cursor::{Cursor, ReadError};
use crate::change::{ActorId, ChangeHead};
use crate::limits::{CHANGE_OPS_MAX, DOCUMENT_CHANGES_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};

/// Most predecessors one operation may name: each is a put of another change of the document.
pub(crate) const PREDECESSORS_MAX: usize = DOCUMENT_CHANGES_MAX;
/// Most predecessors in one change, so that the sum stays linear in the size of the largest change.
const PREDECESSORS_PER_CHANGE_MAX: usize = CHANGE_OPS_MAX * 2;

/// What a field holds. Decimals are canonical text; references to documents are their 16 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scalar {
    /// Nothing: a cleared field.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text of any length up to the limit; replaced as a whole.
    Text(String),
    /// Bytes: ids of documents (16) and of blobs (32).
    Bytes(Vec<u8>),
}

impl Scalar {
    /// Bytes of the value itself.
    #[must_use]
    pub const fn len(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) => 0,
            Self::Int(_) => 8,
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }

    /// True if the value takes no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Scalar {
    /// Kinds and lengths only: field contents never reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Int(_) => f.write_str("int"),
            Self::Text(text) => write!(f, "text[{}]", text.len()),
            Self::Bytes(bytes) => write!(f, "bytes[{}]", bytes.len()),
        }
    }
}

/// The name of an operation: a counter and who made it. Their order is Automerge's: counter first, then actor bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId {
    /// The Lamport counter.
    pub counter: u64,
    /// The actor.
    pub actor: ActorId,
}

/// The container an operation acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectId {
    /// The root map.
    Root,
    /// The map that this operation made.
    Made(OpId),
}

/// A key of a map.
pub type Key = String;

/// What an operation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpAction {
    /// Makes an empty map under the key.
    MakeMap,
    /// Puts a scalar under the key.
    Put(Scalar),
}

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Op {
    /// Its name.
    pub id: OpId,
    /// The map it acts on.
    pub object: ObjectId,
    /// The key in that map.
    pub key: Key,
    /// What it does.
    pub action: OpAction,
    /// The operations it replaces.
    pub predecessors: Vec<OpId>,
}

/// Why the operations of a change are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpsError {
    /// More operations than a change may have.
    #[error("the change has more than {max} operations")]
    TooMany {
        /// Most allowed.
        max: usize,
    },
    /// A column that no operation of ours needs.
    #[error("column {spec} is not one that a record's change has")]
    UnknownColumn {
        /// Its specification number.
        spec: u64,
    },
    /// A column that cannot be read.
    #[error("the {column} column cannot be read")]
    Column {
        /// Which.
        column: &'static str,
        /// Why.
        #[source]
        source: ReadError,
    },
    /// A column with a run of no length, or with more or fewer values than operations.
    #[error("the {column} column does not have one value for each of the {ops} operations")]
    Shape {
        /// Which.
        column: &'static str,
        /// How many operations there are.
        ops: usize,
    },
    /// An actor number that the change does not list.
    #[error("operation {op} names actor {index}, the change lists {actors}")]
    Actor {
        /// Which operation, from 0.
        op: usize,
        /// The number.
        index: u64,
        /// How many there are.
        actors: usize,
    },
    /// A counter out of range.
    #[error("operation {op} names an operation with a counter out of range")]
    Counter {
        /// Which operation, from 0.
        op: usize,
    },
    /// An action other than making a map and putting a scalar.
    #[error("operation {op} has action {action}; only putting a value and making a map are allowed")]
    Action {
        /// Which operation, from 0.
        op: usize,
        /// Automerge's number of the action.
        action: u64,
    },
    /// An insertion, list element, mark or expanding operation.
    #[error("operation {op} acts on a list or text, which records do not have")]
    Sequence {
        /// Which operation, from 0.
        op: usize,
    },
    /// A value of a type that records do not have.
    #[error("operation {op} has a value of type {kind}; null, bool, int, text and bytes are allowed")]
    ValueType {
        /// Which operation, from 0.
        op: usize,
        /// Automerge's number of the type.
        kind: u64,
    },
    /// A value longer than allowed, or a damaged one.
    #[error("operation {op} has a value of {have} bytes, at most {max} are allowed")]
    ValueLength {
        /// Which operation, from 0.
        op: usize,
        /// Bytes stated.
        have: u64,
        /// Most allowed.
        max: usize,
    },
    /// A key that is empty or too long.
    #[error("operation {op} has a key of {have} bytes, 1 to {max} are allowed")]
    KeyLength {
        /// Which operation, from 0.
        op: usize,
        /// Bytes found.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// More predecessors than allowed.
    #[error("operation {op} replaces {have} others, at most {max} are allowed")]
    Predecessors {
        /// Which operation, from 0.
        op: usize,
        /// How many.
        have: u64,
        /// Most allowed.
        max: usize,
    },
}

/// The columns by their specification number: id × 16 + type.
#[derive(Default)]
struct Columns<'a> {
    object_actor: &'a [u8],
    object_counter: &'a [u8],
    key_text: &'a [u8],
    insert: &'a [u8],
    action: &'a [u8],
    value_kind: &'a [u8],
    value: &'a [u8],
    pred_count: &'a [u8],
    pred_actor: &'a [u8],
    pred_counter: &'a [u8],
}

impl<'a> Columns<'a> {
    fn new(columns: &[(u64, &'a [u8])]) -> Result<Self, OpsError> {
        let mut out = Self::default();
        for &(spec, bytes) in columns {
            let slot = match spec {
                0x01 => &mut out.object_actor,
                0x02 => &mut out.object_counter,
                0x15 => &mut out.key_text,
                0x34 => &mut out.insert,
                0x42 => &mut out.action,
                0x56 => &mut out.value_kind,
                0x57 => &mut out.value,
                0x70 => &mut out.pred_count,
                0x71 => &mut out.pred_actor,
                0x73 => &mut out.pred_counter,
                _ if bytes.is_empty() => continue,
                _ => return Err(OpsError::UnknownColumn { spec }),
            };
            *slot = bytes;
        }
        Ok(out)
    }
}

/// Decodes the operations of a change.
pub(super) fn decode(head: &ChangeHead, columns: &[(u64, &[u8])]) -> Result<Vec<Op>, OpsError> {
    let columns = Columns::new(columns)?;
    let actions = runs(columns.action, "action", CHANGE_OPS_MAX, Cursor::uleb)?;
    let total = actions.len();
    all_false(columns.insert, total)?;
    let object_actors = optional(columns.object_actor, "object actor", total, Cursor::uleb)?;
    let object_counters = optional(columns.object_counter, "object counter", total, Cursor::uleb)?;
    let keys = exact(columns.key_text, "key", total, text)?;
    let kinds = exact(columns.value_kind, "value kind", total, Cursor::uleb)?;
    let pred_counts = exact(columns.pred_count, "predecessor count", total, Cursor::uleb)?;
    let preds = predecessors(&columns, &pred_counts)?;
    let mut values = Cursor::new(columns.value);
    let mut preds = preds.into_iter();
    let mut ops = Vec::with_capacity(total);
    let rows = actions.into_iter().zip(keys).zip(kinds).zip(pred_counts).zip(object_actors).zip(object_counters);
    for (op, (((((action, key), kind), pred_count), object_actor), object_counter)) in rows.enumerate() {
        let object = match (object_actor, object_counter) {
            (None, None) => ObjectId::Root,
            (Some(actor), Some(counter)) => ObjectId::Made(op_id(head, op, actor, counter)?),
            (Some(_), None) | (None, Some(_)) => return Err(OpsError::Shape { column: "object", ops: total }),
        };
        let key = key.ok_or(OpsError::Sequence { op })?;
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(OpsError::KeyLength { op, have: key.len(), max: KEY_BYTES_MAX });
        }
        let kind = kind.ok_or(OpsError::Shape { column: "value kind", ops: total })?;
        let value = scalar(&mut values, op, kind)?;
        let action = match (action, value) {
            (Some(0), Scalar::Null) => OpAction::MakeMap,
            (Some(1), value) => OpAction::Put(value),
            (Some(action), _) => return Err(OpsError::Action { op, action }),
            (None, _) => return Err(OpsError::Shape { column: "action", ops: total }),
        };
        let mut predecessors = Vec::new();
        for _ in 0..pred_count.unwrap_or(0) {
            let (actor, counter) = preds.next().ok_or(OpsError::Shape { column: "predecessor", ops: total })?;
            predecessors.push(op_id(head, op, actor, counter)?);
        }
        let counter = u64::try_from(op).ok().and_then(|op| head.start_op.checked_add(op));
        let id = OpId { counter: counter.ok_or(OpsError::Counter { op })?, actor: head.actor };
        ops.push(Op { id, object, key: key.to_owned(), action, predecessors });
    }
    if values.is_empty() { Ok(ops) } else { Err(OpsError::Shape { column: "value", ops: total }) }
}

fn op_id(head: &ChangeHead, op: usize, index: u64, counter: u64) -> Result<OpId, OpsError> {
    let unknown = OpsError::Actor { op, index, actors: head.other_actors.len() + 1 };
    let actor = match usize::try_from(index).ok().map(|index| index.checked_sub(1)) {
        Some(None) => Some(head.actor),
        Some(Some(other)) => head.other_actors.get(other).copied(),
        None => None,
    };
    if counter == 0 {
        return Err(OpsError::Counter { op });
    }
    Ok(OpId { counter, actor: actor.ok_or(unknown)? })
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Result<&'a str, ReadError> {
    let len = cursor.length()?;
    cursor.text(len)
}

/// Reads one scalar whose kind is `length × 16 + type`.
fn scalar(values: &mut Cursor<'_>, op: usize, kind: u64) -> Result<Scalar, OpsError> {
    let failed = |source| OpsError::Column { column: "value", source };
    let have = kind >> 4;
    let wrong_length = OpsError::ValueLength { op, have, max: VALUE_BYTES_MAX };
    let len = usize::try_from(have).ok().filter(|len| *len <= VALUE_BYTES_MAX).ok_or_else(|| wrong_length.clone())?;
    let bare = |value| if len == 0 { Ok(value) } else { Err(wrong_length.clone()) };
    match kind & 0xf {
        0 => bare(Scalar::Null),
        1 => bare(Scalar::Bool(false)),
        2 => bare(Scalar::Bool(true)),
        4 => {
            let mut number = Cursor::new(values.take(len).map_err(failed)?);
            let value = number.ileb().map_err(failed)?;
            if number.is_empty() { Ok(Scalar::Int(value)) } else { Err(wrong_length) }
        }
        6 => values.text(len).map(|text| Scalar::Text(text.to_owned())).map_err(failed),
        7 => values.take(len).map(|bytes| Scalar::Bytes(bytes.to_vec())).map_err(failed),
        kind => Err(OpsError::ValueType { op, kind }),
    }
}

/// The insert column: one run of `total` times false.
fn all_false(bytes: &[u8], total: usize) -> Result<(), OpsError> {
    let failed = |source| OpsError::Column { column: "insert", source };
    let mut cursor = Cursor::new(bytes);
    if total == 0 && cursor.is_empty() {
        return Ok(());
    }
    let first = cursor.uleb().map_err(failed)?;
    if u64::try_from(total) == Ok(first) && cursor.is_empty() {
        return Ok(());
    }
    Err(if cursor.is_empty() {
        OpsError::Shape { column: "insert", ops: total }
    } else {
        OpsError::Sequence { op: usize::try_from(first).unwrap_or(total).min(total) }
    })
}

/// Every operation's predecessors, flat: (actor number, counter).
fn predecessors(columns: &Columns<'_>, counts: &[Option<u64>]) -> Result<Vec<(u64, u64)>, OpsError> {
    let mut total = 0usize;
    for (op, have) in counts.iter().enumerate() {
        let have = have.ok_or(OpsError::Shape { column: "predecessor count", ops: counts.len() })?;
        let count = usize::try_from(have).ok().filter(|count| *count <= PREDECESSORS_MAX);
        total += count.ok_or(OpsError::Predecessors { op, have, max: PREDECESSORS_MAX })?;
        if total > PREDECESSORS_PER_CHANGE_MAX {
            return Err(OpsError::Predecessors { op, have, max: PREDECESSORS_PER_CHANGE_MAX });
        }
    }
    let actors = exact(columns.pred_actor, "predecessor actor", total, Cursor::uleb)?;
    let deltas = exact(columns.pred_counter, "predecessor counter", total, Cursor::ileb)?;
    let mut counter = 0i64;
    let mut out = Vec::with_capacity(total);
    for (actor, delta) in actors.into_iter().zip(deltas) {
        let shape = OpsError::Shape { column: "predecessor", ops: counts.len() };
        let (Some(actor), Some(delta)) = (actor, delta) else { return Err(shape) };
        counter = counter.checked_add(delta).ok_or(shape)?;
        out.push((actor, u64::try_from(counter).unwrap_or(0)));
    }
    Ok(out)
}

type Read<'a, T> = fn(&mut Cursor<'a>) -> Result<T, ReadError>;

/// A column that may be absent, which stands for all nulls.
fn optional<'a, T: Copy>(
    bytes: &'a [u8],
    column: &'static str,
    total: usize,
    read: Read<'a, T>,
) -> Result<Vec<Option<T>>, OpsError> {
    if bytes.is_empty() { Ok(vec![None; total]) } else { exact(bytes, column, total, read) }
}

/// A column with exactly `total` values.
fn exact<'a, T: Copy>(
    bytes: &'a [u8],
    column: &'static str,
    total: usize,
    read: Read<'a, T>,
) -> Result<Vec<Option<T>>, OpsError> {
    match runs(bytes, column, total, read) {
        Ok(values) if values.len() == total => Ok(values),
        Ok(_) | Err(OpsError::TooMany { .. }) => Err(OpsError::Shape { column, ops: total }),
        Err(error) => Err(error),
    }
}

/// A run-length encoded column of at most `max` values: `n>0` value | `n<0` |n| values | `0` n nulls.
fn runs<'a, T: Copy>(
    bytes: &'a [u8],
    column: &'static str,
    max: usize,
    read: Read<'a, T>,
) -> Result<Vec<Option<T>>, OpsError> {
    let failed = |source| OpsError::Column { column, source };
    let mut cursor = Cursor::new(bytes);
    let mut out = Vec::new();
    while !cursor.is_empty() {
        let run = cursor.ileb().map_err(failed)?;
        let stated = if run == 0 { cursor.uleb().map_err(failed)? } else { run.unsigned_abs() };
        let room = max - out.len();
        let len = usize::try_from(stated).ok().filter(|len| *len <= room).ok_or(OpsError::TooMany { max })?;
        match run {
            0 if len == 0 => return Err(OpsError::Shape { column, ops: max }),
            0 => out.resize(out.len() + len, None),
            1.. => {
                let value = read(&mut cursor).map_err(failed)?;
                out.resize(out.len() + len, Some(value));
            }
            i64::MIN..0 => {
                for _ in 0..len {
                    out.push(Some(read(&mut cursor).map_err(failed)?));
                }
            }
        }
    }
    Ok(out)
}
