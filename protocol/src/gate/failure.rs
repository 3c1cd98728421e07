//! Why a change's content fails, with numbers that never change their meaning.

use crate::change::OpsError;
use crate::ids::{ChangeHash, DocId, LogbookId};
use crate::record::{FieldPath, ResolveListError, RootError};
use crate::review::ReviewError;

/// Why the content of a change is not admitted. A pure function of the change, its closure and its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentFailure {
    /// The operations cannot be read, or are not of those a record may have.
    #[error("the operations are not those of a record")]
    Ops(#[from] OpsError),
    /// Too many changes in the history.
    #[error("the document would have {have} changes, at most {max} are allowed")]
    TooManyChanges {
        /// With this one.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// Too many actors in the history.
    #[error("the document would have {have} actors, at most {max} are allowed")]
    TooManyActors {
        /// With this one.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// Not the actor's next number.
    #[error("the change is number {have} of its actor, number {expected} is next")]
    Seq {
        /// Its number.
        have: u64,
        /// The next number.
        expected: u64,
    },
    /// Its first operation does not follow the history.
    #[error("the first operation has counter {have}, {expected} is next")]
    StartOp {
        /// Its counter.
        have: u64,
        /// The next counter.
        expected: u64,
    },
    /// Counters that Automerge cannot hold.
    #[error("the operations reach counter {have}, at most {max} is allowed")]
    OpCounter {
        /// The highest.
        have: u64,
        /// Most allowed.
        max: u64,
    },
    /// The first change of an actor does not say who writes.
    #[error("the first change of an actor does not name its person")]
    PersonMissing,
    /// A person or other bytes where none may be.
    #[error("change {seq} of an actor has bytes after its operations; only the first may, and only a person")]
    Footer {
        /// Its number.
        seq: u64,
    },
    /// A first change that is not the document's.
    #[error("the change begins document {found}, not {expected}")]
    WrongDocument {
        /// The document it begins.
        found: DocId,
        /// The document it came for.
        expected: DocId,
    },
    /// A first change that names another home.
    #[error("the document's home is logbook {named}, it came in {place}")]
    WrongLogbook {
        /// What the first change names.
        named: LogbookId,
        /// Where it came.
        place: LogbookId,
    },
    /// The first change does not describe a document.
    #[error("the first change does not describe a document")]
    Root(#[from] RootError),
    /// The first change does not describe a review event.
    #[error("the change does not describe a review event")]
    Review(#[from] ReviewError),
    /// A second change in a review event.
    #[error("a review event has exactly one change")]
    ReviewChanged,
    /// An operation on a container that its history does not have.
    #[error("operation {op} acts on a container that is not in its history")]
    UnknownContainer {
        /// Which operation, from 0.
        op: usize,
    },
    /// An operation that records do not have (A8).
    #[error("operation {op} is not a put of a field or cell and not a new row")]
    NotAllowed {
        /// Which operation, from 0.
        op: usize,
    },
    /// A row key that is not 16 hexadecimal digits.
    #[error("operation {op} makes a row whose key is not 16 hexadecimal digits")]
    RowKey {
        /// Which operation, from 0.
        op: usize,
    },
    /// A row under a key that is taken.
    #[error("operation {op} makes a row under a key that is taken")]
    RowExists {
        /// Which operation, from 0.
        op: usize,
    },
    /// A removal mark that is not yes or no.
    #[error("operation {op} puts something other than yes or no as a removal mark")]
    RemovalMark {
        /// Which operation, from 0.
        op: usize,
    },
    /// A name with control characters.
    #[error("operation {op} has a name with control characters")]
    Name {
        /// Which operation, from 0.
        op: usize,
    },
    /// Two puts at one path.
    #[error("operation {op} puts a value where this change has put one already")]
    PutTwice {
        /// Which operation, from 0.
        op: usize,
    },
    /// Predecessors that are not exactly the values its writer saw there.
    #[error("operation {op} names {have} predecessors that are not exactly the {expected} values that stood there")]
    Predecessors {
        /// Which operation, from 0.
        op: usize,
        /// How many it names.
        have: usize,
        /// How many stood there.
        expected: usize,
    },
    /// A commit message that is not a resolve's list.
    #[error("the message is not a resolve's list")]
    Message(#[from] ResolveListError),
    /// A message on a first change.
    #[error("a first change carries no message")]
    MessageOnRoot,
    /// A resolve that puts a value at a path it does not list.
    #[error("the resolve writes {path}, which it does not list")]
    ResolveScope {
        /// The path.
        path: FieldPath,
    },
    /// A resolve that lists a change that is not at this path in its history.
    #[error("the resolve lists change {seen} for {path}, which is not in its history there")]
    ResolveSeen {
        /// The path.
        path: FieldPath,
        /// The change.
        seen: ChangeHash,
    },
    /// A change that neither writes nor settles anything.
    #[error("the change writes nothing and settles nothing")]
    Empty,
    /// Automerge cannot parse what we can.
    #[error("the library does not parse the change: {detail}")]
    LibraryParse {
        /// Its words.
        detail: String,
    },
    /// Automerge refused the change.
    #[error("the library does not apply the change: {detail}")]
    LibraryApply {
        /// Its words.
        detail: String,
    },
    /// Automerge stopped with a panic.
    #[error("the library panicked on the change")]
    LibraryPanic,
    /// Automerge put the change aside.
    #[error("the library misses {missing} dependencies")]
    LibraryWaits {
        /// How many.
        missing: usize,
    },
    /// What Automerge saved does not load.
    #[error("what the library saved does not load: {detail}")]
    LibraryReload {
        /// Its words.
        detail: String,
    },
    /// The heads are not the change.
    #[error("the library's heads are not the change")]
    LibraryHeads,
    /// Automerge reads other values than we do.
    #[error("the library reads other values than this version")]
    LibraryView,
}

impl ContentFailure {
    /// The number in verdicts and quarantine entries. A number is never given a second meaning.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::Ops(ops) => ops_code(ops),
            Self::TooManyChanges { .. } => 20,
            Self::TooManyActors { .. } => 21,
            Self::Root(RootError::Depth { .. }) => 22,
            Self::Seq { .. } => 30,
            Self::StartOp { .. } => 31,
            Self::OpCounter { .. } => 32,
            Self::PersonMissing => 33,
            Self::Footer { .. } => 34,
            // 35 is a replica's: two changes of one actor under one number.
            Self::WrongDocument { .. } => 40,
            Self::WrongLogbook { .. } => 41,
            Self::Root(_) => 42,
            Self::Review(_) => 43,
            Self::ReviewChanged => 44,
            Self::UnknownContainer { .. } => 50,
            Self::NotAllowed { .. } => 51,
            Self::RowKey { .. } => 52,
            Self::RowExists { .. } => 53,
            Self::RemovalMark { .. } => 54,
            Self::Name { .. } => 55,
            Self::PutTwice { .. } => 56,
            Self::Predecessors { .. } => 57,
            Self::Message(_) => 60,
            Self::MessageOnRoot => 61,
            Self::ResolveScope { .. } => 62,
            Self::ResolveSeen { .. } => 63,
            Self::Empty => 64,
            Self::LibraryParse { .. } => 70,
            Self::LibraryApply { .. } => 71,
            Self::LibraryPanic => 72,
            Self::LibraryWaits { .. } => 73,
            Self::LibraryReload { .. } => 74,
            Self::LibraryHeads => 75,
            Self::LibraryView => 76,
        }
    }
}

const fn ops_code(error: &OpsError) -> u16 {
    match error {
        OpsError::TooMany { .. } => 1,
        OpsError::UnknownColumn { .. } => 2,
        OpsError::Column { .. } => 3,
        OpsError::Shape { .. } => 4,
        OpsError::Actor { .. } => 5,
        OpsError::Counter { .. } => 6,
        OpsError::Action { .. } => 7,
        OpsError::Sequence { .. } => 8,
        OpsError::ValueType { .. } => 9,
        OpsError::ValueLength { .. } => 10,
        OpsError::KeyLength { .. } => 11,
        OpsError::Predecessors { .. } => 12,
    }
}
