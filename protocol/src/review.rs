//! Review events and comments: documents of exactly one change, and the fold that says where a record stands.
//!
//! An event names the record, the heads its writer saw and the events it saw. It carries its person as the Automerge
//! author of its only change, so that the gate's carrier rules apply to it as to any other first change.
//!
//! # Layout
//!
//! ```text
//! root   k "review" | d record (16 bytes) | y kind | h heads (n × 32 bytes) | l logbook (16 bytes) | t time (ms)
//!        and, only where there is something to say:
//!        e events seen (n × 16 bytes) | c reason codes, joined by spaces | x note | i imported (true)
//!        n map of field notes: "0", "1" … → path, line feed, note; ascending by path
//! ```
//! Lists are strictly ascending; a comment has no `e` and no `i` (A3).
//!
//! # Limits
//!
//! [`HEADS_MAX`], [`SEEN_MAX`], [`REASONS_MAX`], [`FIELD_NOTES_MAX`].

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ObjType, ROOT};

use crate::change::{RawChange, Scalar};
use crate::gate::{ContentFailure, rules};
use crate::ids::{ChangeHash, Code, DocId, LogbookId, PersonCode};
use crate::limits::VALUE_BYTES_MAX;
use crate::record::resolve_list::{read_path, write_path};
use crate::record::root::{Leaf, Tree, key};
use crate::record::{
    AuthorError, AuthoredChange, FieldPath, Origin, RootError, last_change, library_document, would_be_held,
};
use crate::time::UnixMillis;

pub use crate::review::fold::{FoldEvent, ReviewState, ReviewStatus, Standing, fold};

mod fold;

/// Most heads an event may name.
pub const HEADS_MAX: usize = 512;
/// Most events an event may have seen.
pub const SEEN_MAX: usize = 512;
/// Most reason codes of an event.
pub const REASONS_MAX: usize = 32;
/// Most notes on fields of an event.
pub const FIELD_NOTES_MAX: usize = 128;

/// The value of `k` in a review event.
pub(crate) const KIND_REVIEW: &str = "review";

const RECORD: &str = "d";
const REVIEW_KIND: &str = "y";
const HEADS: &str = "h";
const SEEN: &str = "e";
const REASONS: &str = "c";
const NOTE: &str = "x";
const FIELD_NOTES: &str = "n";
const IMPORTED: &str = "i";

/// What an event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReviewKind {
    /// The author hands the record in.
    Submit,
    /// A coordinator accepts exactly the heads named.
    Approve,
    /// A coordinator asks for more (退回).
    Return,
    /// A coordinator opens a decided record again.
    Reopen,
    /// The record is hidden; its history stays.
    Withdraw,
    /// Words only. It has seen nothing and hides nothing.
    Comment,
}

impl ReviewKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [Self::Submit, Self::Approve, Self::Return, Self::Reopen, Self::Withdraw, Self::Comment];

    /// The word in the document.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Approve => "approve",
            Self::Return => "return",
            Self::Reopen => "reopen",
            Self::Withdraw => "withdraw",
            Self::Comment => "comment",
        }
    }

    /// From the word in the document.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// True for those that need a coordinator's right at their pack's control position (A10).
    #[must_use]
    pub const fn is_decision(self) -> bool {
        match self {
            Self::Approve | Self::Return | Self::Reopen => true,
            Self::Submit | Self::Withdraw | Self::Comment => false,
        }
    }
}

/// Whether an event was written here or came with a ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Provenance {
    /// Written by its person.
    Written,
    /// A state brought in with an import; only coordinators may write one.
    Imported,
}

/// A review event or comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewEvent {
    /// The record it is about.
    pub record: DocId,
    /// Its home, that of the record.
    pub logbook: LogbookId,
    /// What it does.
    pub kind: ReviewKind,
    /// The heads its writer saw.
    pub heads: BTreeSet<ChangeHash>,
    /// The events its writer saw; empty for a comment.
    pub seen: BTreeSet<DocId>,
    /// Reason codes.
    pub reasons: BTreeSet<Code>,
    /// Notes on fields.
    pub field_notes: BTreeMap<FieldPath, String>,
    /// A note on the whole.
    pub note: String,
    /// Where it comes from.
    pub provenance: Provenance,
    /// Who: the author of its change.
    pub person: PersonCode,
    /// When, by the writer's clock.
    pub time: UnixMillis,
}

/// Why a change is not a review event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// The tree does not have the shape of a document.
    #[error("the document's shape is wrong")]
    Shape(#[from] RootError),
    /// A key that must be there and is not, or holds a wrong value.
    #[error("'{key}' holds a wrong value")]
    Key {
        /// Which.
        key: &'static str,
    },
    /// More of something than an event may have.
    #[error("'{key}' has {have} entries, at most {max} are allowed")]
    TooMany {
        /// Which.
        key: &'static str,
        /// How many.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// A comment that says what it has seen, or that it was imported.
    #[error("a comment has no '{key}'")]
    CommentSees {
        /// Which.
        key: &'static str,
    },
    /// An event of the state without heads.
    #[error("only a comment may name no heads")]
    NoHeads,
}

impl ReviewEvent {
    /// Authors the event as a document of one change. Its person and time are the origin's.
    ///
    /// # Errors
    /// [`AuthorError`] when the event breaks a rule of its kind or is too large.
    pub fn author(&self, origin: &Origin) -> Result<AuthoredChange, AuthorError> {
        self.check_lengths()?;
        let mut doc = library_document(origin, &[])?;
        let mut tx = doc.transaction();
        tx.put(ROOT, key::KIND, KIND_REVIEW)?;
        tx.put(ROOT, RECORD, self.record.0.to_vec())?;
        tx.put(ROOT, REVIEW_KIND, self.kind.word())?;
        tx.put(ROOT, HEADS, self.heads.iter().flat_map(|hash| hash.0).collect::<Vec<u8>>())?;
        tx.put(ROOT, key::LOGBOOK, self.logbook.0.to_vec())?;
        tx.put(ROOT, key::CREATED_AT, origin.time.0)?;
        if !self.seen.is_empty() {
            tx.put(ROOT, SEEN, self.seen.iter().flat_map(|id| id.0).collect::<Vec<u8>>())?;
        }
        if !self.reasons.is_empty() {
            let codes: Vec<&str> = self.reasons.iter().map(Code::as_str).collect();
            tx.put(ROOT, REASONS, codes.join(" "))?;
        }
        if !self.note.is_empty() {
            tx.put(ROOT, NOTE, self.note.as_str())?;
        }
        if self.provenance == Provenance::Imported {
            tx.put(ROOT, IMPORTED, true)?;
        }
        if !self.field_notes.is_empty() {
            let map = tx.put_object(ROOT, FIELD_NOTES, ObjType::Map)?;
            for (number, (path, note)) in self.field_notes.iter().enumerate() {
                tx.put(&map, number.to_string(), note_text(path, note))?;
            }
        }
        tx.commit_with(CommitOptions::default().with_time(origin.time.0));
        let change = last_change(&doc)?;
        rules::root(&change).map_err(would_be_held)?;
        Ok(AuthoredChange { change })
    }

    /// Reads the event that a change is.
    ///
    /// # Errors
    /// [`ContentFailure`] when the change is not a well-formed review event.
    pub fn from_change(change: &RawChange) -> Result<Self, ContentFailure> {
        let tree = Tree::read(change.ops()?)?;
        let person = change.head().author().ok_or(ContentFailure::PersonMissing)?;
        Ok(Self::from_tree(&tree, person.clone())?)
    }

    pub(crate) fn from_tree(tree: &Tree<'_>, person: PersonCode) -> Result<Self, ReviewError> {
        tree.only_keys(&[
            key::KIND,
            RECORD,
            REVIEW_KIND,
            HEADS,
            key::LOGBOOK,
            key::CREATED_AT,
            SEEN,
            REASONS,
            NOTE,
            FIELD_NOTES,
            IMPORTED,
        ])?;
        if tree.text(key::KIND)? != KIND_REVIEW {
            return Err(RootError::Kind.into());
        }
        let kind = ReviewKind::from_word(tree.text(REVIEW_KIND)?).ok_or(ReviewError::Key { key: REVIEW_KIND })?;
        let heads = ids::<32>(tree.bytes(HEADS)?, HEADS, HEADS_MAX)?.into_iter().map(ChangeHash).collect();
        let seen = match tree.leaf(SEEN) {
            None => BTreeSet::new(),
            Some(_) => present(ids::<16>(tree.bytes(SEEN)?, SEEN, SEEN_MAX)?, SEEN)?.into_iter().map(DocId).collect(),
        };
        let provenance = match tree.leaf(IMPORTED) {
            None => Provenance::Written,
            Some(Leaf::Value(Scalar::Bool(true))) => Provenance::Imported,
            Some(_) => return Err(ReviewError::Key { key: IMPORTED }),
        };
        let note = match tree.leaf(NOTE) {
            None => String::new(),
            Some(_) if tree.text(NOTE)?.is_empty() => return Err(ReviewError::Key { key: NOTE }),
            Some(_) => tree.text(NOTE)?.to_owned(),
        };
        let event = Self {
            record: DocId::from_slice(tree.bytes(RECORD)?).ok_or(ReviewError::Key { key: RECORD })?,
            logbook: tree.logbook()?,
            kind,
            heads,
            seen,
            reasons: reasons(tree)?,
            field_notes: field_notes(tree)?,
            note,
            provenance,
            person,
            time: UnixMillis(tree.int(key::CREATED_AT)?),
        };
        event.check_kind().map(|()| event)
    }

    fn check_kind(&self) -> Result<(), ReviewError> {
        if self.kind != ReviewKind::Comment {
            return if self.heads.is_empty() { Err(ReviewError::NoHeads) } else { Ok(()) };
        }
        if !self.seen.is_empty() {
            return Err(ReviewError::CommentSees { key: SEEN });
        }
        if self.provenance == Provenance::Imported {
            return Err(ReviewError::CommentSees { key: IMPORTED });
        }
        Ok(())
    }

    /// What the gate would say later, said before anything is built.
    fn check_lengths(&self) -> Result<(), AuthorError> {
        let long = |path: FieldPath, have: usize| AuthorError::Value { path, have, max: VALUE_BYTES_MAX };
        if self.note.len() > VALUE_BYTES_MAX {
            return Err(long(FieldPath::Field(NOTE.to_owned()), self.note.len()));
        }
        for (path, note) in &self.field_notes {
            let have = note_text(path, note).len();
            if have > VALUE_BYTES_MAX {
                return Err(long(path.clone(), have));
            }
        }
        self.check_kind().map_err(|error| would_be_held(error.into()))
    }
}

fn present<T>(items: Vec<T>, key: &'static str) -> Result<Vec<T>, ReviewError> {
    if items.is_empty() { Err(ReviewError::Key { key }) } else { Ok(items) }
}

/// Ids of `N` bytes one behind another, strictly ascending.
fn ids<const N: usize>(bytes: &[u8], key: &'static str, max: usize) -> Result<Vec<[u8; N]>, ReviewError> {
    let have = bytes.len() / N;
    if have > max {
        return Err(ReviewError::TooMany { key, have, max });
    }
    let (ids, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() || !ids.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        return Err(ReviewError::Key { key });
    }
    Ok(ids.to_vec())
}

fn reasons(tree: &Tree<'_>) -> Result<BTreeSet<Code>, ReviewError> {
    if tree.leaf(REASONS).is_none() {
        return Ok(BTreeSet::new());
    }
    let wrong = ReviewError::Key { key: REASONS };
    let text = tree.text(REASONS)?;
    let have = text.split(' ').count();
    if have > REASONS_MAX {
        return Err(ReviewError::TooMany { key: REASONS, have, max: REASONS_MAX });
    }
    let codes: Vec<Code> =
        text.split(' ').map(Code::new).collect::<Result<_, _>>().map_err(|_| ReviewError::Key { key: REASONS })?;
    if codes.windows(2).all(|pair| matches!(pair, [a, b] if a < b)) {
        Ok(codes.into_iter().collect())
    } else {
        Err(wrong)
    }
}

fn note_text(path: &FieldPath, note: &str) -> String {
    let mut out = String::new();
    write_path(&mut out, path);
    out.push('\n');
    out.push_str(note);
    out
}

fn field_notes(tree: &Tree<'_>) -> Result<BTreeMap<FieldPath, String>, ReviewError> {
    const WRONG: ReviewError = ReviewError::Key { key: FIELD_NOTES };
    let number = match tree.leaf(FIELD_NOTES) {
        None => return Ok(BTreeMap::new()),
        Some(Leaf::Map(number)) => number,
        Some(Leaf::Value(_)) => return Err(WRONG),
    };
    let notes = tree.scalars(number, FIELD_NOTES)?;
    if notes.is_empty() || notes.len() > FIELD_NOTES_MAX {
        return Err(ReviewError::TooMany { key: FIELD_NOTES, have: notes.len(), max: FIELD_NOTES_MAX });
    }
    let mut out: BTreeMap<FieldPath, String> = BTreeMap::new();
    for number in 0..notes.len() {
        let Some(Scalar::Text(text)) = notes.get(number.to_string().as_str()) else { return Err(WRONG) };
        let (path, note) = text.split_once('\n').ok_or(WRONG)?;
        let mut parts = path.split('\t');
        let path = read_path(&mut parts).filter(|_| parts.next().is_none()).ok_or(WRONG)?;
        if out.last_key_value().is_some_and(|(last, _)| *last >= path) {
            return Err(WRONG);
        }
        out.insert(path, note.to_owned());
    }
    Ok(out)
}
