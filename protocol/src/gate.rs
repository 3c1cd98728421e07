//! The gate: what the content of every foreign change must pass before it touches a document (R25).
//!
//! The verdict is a pure function of the change, the changes in its history and its place, so every replica that has them
//! agrees, whatever else it holds and in whatever order things came. Who may write what (the carrier's part of a verdict)
//! is judged elsewhere.
//!
//! # Flow
//!
//! ```text
//! limits    bytes, operations, dependencies (at parsing) → changes and actors of the history
//! header    actor's next number, its person, first counter, highest counter
//! content   a first change: the whole shape; a later one: only puts of fields and cells and new rows (A8),
//!           each over exactly the values that stood there; a resolve: only what it lists (A9)
//! library   records only, on a scratch document, under catch_unwind: apply, nothing waiting, save, load, heads, same values
//! ```
//!
//! A review event does not go through the library (`docs/decisions/2026-11-23-review-events-skip-the-library.md`).
//!
//! # Invariants
//!
//! 1. Any bytes give a verdict; nothing panics or aborts (`gate_attacks.rs`, `gate_fuzz.rs`).
//! 2. [`Gate`] and [`judge_content`] give the same verdicts (`record_graphs.rs`, `gate_fuzz.rs`).
//! 3. What our own authors write passes (`record_graphs.rs`).
//! 4. Containers nest four deep at most: the content rules leave no place for a fifth (`DEPTH_MAX` bounds first changes
//!    while they are read), and hydrate comes last.
//!
//! # Failure
//!
//! [`ContentFailure`] is a verdict with a stable code. [`JudgeError::Waiting`] is not a verdict: the history is not here.

use std::collections::BTreeSet;

use crate::change::{ActorId, RawChange, Scalar};
use crate::gate::scratch::Scratch;
use crate::ids::{ChangeHash, DocId, LogbookId, PersonCode};
use crate::record::graph::{Graph, Written};
use crate::record::root::Tree;
use crate::record::{DocumentError, FieldPath, RecordRoot, document_graph};
use crate::review::ReviewEvent;

pub use crate::gate::failure::ContentFailure;

mod failure;
pub(crate) mod rules;
mod scratch;

/// Where a change came: the document it claims and the logbook of its pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The logbook.
    pub logbook: LogbookId,
    /// The document.
    pub doc: DocId,
}

/// What a first change begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentRoot {
    /// A record.
    Record(RecordRoot),
    /// A review event or comment, which is this one change.
    Review(ReviewEvent),
}

/// What others need to know of a change whose content passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeFacts {
    /// What it begins, if it is a first change.
    pub root: Option<DocumentRoot>,
    /// Who wrote it: the person named by the first change of its actor.
    pub person: PersonCode,
    /// The actor.
    pub actor: ActorId,
    /// Its number among the actor's changes. With 1 the actor begins, and its person is to be judged by the carrier.
    pub seq: u64,
    /// Paths it puts values at.
    pub touched: Vec<FieldPath>,
    /// Paths it settles.
    pub settled: Vec<FieldPath>,
    /// Documents it may refer to: every value of 16 bytes that it writes, and the record of a review event (A11).
    pub references: BTreeSet<DocId>,
}

impl ChangeFacts {
    /// True if it begins a document.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        self.root.is_some()
    }
}

/// A change whose content passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admitted {
    /// What others need to know.
    pub facts: ChangeFacts,
}

/// Why there is no pass.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JudgeError {
    /// A verdict: the content fails.
    #[error("the change's content fails")]
    Content(#[from] ContentFailure),
    /// No verdict yet: a change of its history is not here.
    #[error("the change waits for change {missing}")]
    Waiting {
        /// What it waits for.
        missing: ChangeHash,
    },
    /// No verdict: the admitted changes given do not make a document.
    #[error("the admitted changes do not make a document")]
    Closure(#[from] DocumentError),
}

/// Judges one change with the admitted changes of its history, in any order. More may be given; they change nothing.
///
/// # Errors
/// [`JudgeError`].
pub fn judge_content(change: &RawChange, closure: &[RawChange], place: &Place) -> Result<Admitted, JudgeError> {
    Gate::for_document(*place, closure.iter().cloned())?.judge(change)
}

/// The changes of one document that are admitted so far.
#[derive(Debug)]
enum Held {
    Nothing,
    Record(Box<Graph>),
    Review(RawChange),
}

/// The gate of one document: keeps what is admitted, so that a sequence of changes is judged without rebuilding it.
///
/// For each change: [`Self::judge`], then, if its carrier passes too, [`Self::admit`].
#[derive(Debug)]
pub struct Gate {
    place: Place,
    held: Held,
    scratch: Scratch,
}

impl Gate {
    /// A gate that holds these admitted changes, given in any order.
    ///
    /// # Errors
    /// [`DocumentError`] when they are not the beginning of one document.
    pub fn for_document(place: Place, admitted: impl IntoIterator<Item = RawChange>) -> Result<Self, DocumentError> {
        let admitted: Vec<RawChange> = admitted.into_iter().collect();
        let held = match admitted.iter().find(|change| change.head().is_root()) {
            None if admitted.is_empty() => Held::Nothing,
            None => return Err(DocumentError::NoRoot),
            Some(root) if rules::is_review(root) => {
                if let Some(other) = admitted.iter().find(|change| *change != root) {
                    let failure = Box::new(ContentFailure::ReviewChanged);
                    return Err(DocumentError::Unreadable { hash: other.hash(), failure });
                }
                Held::Review(root.clone())
            }
            Some(_) => Held::Record(Box::new(document_graph(admitted)?)),
        };
        Ok(Self { place, held, scratch: Scratch::default() })
    }

    /// Judges one change. What is held stays as it is.
    ///
    /// # Errors
    /// [`JudgeError`].
    pub fn judge(&mut self, change: &RawChange) -> Result<Admitted, JudgeError> {
        if change.head().is_root() {
            return Ok(self.judge_root(change)?);
        }
        let graph = match &self.held {
            Held::Record(graph) => graph,
            Held::Nothing => return Err(waiting(change, &[])),
            Held::Review(root) if change.head().deps == [root.hash()] => {
                return Err(ContentFailure::ReviewChanged.into());
            }
            Held::Review(root) => return Err(waiting(change, &[root.hash()])),
        };
        let within = graph.closure(&change.head().deps).map_err(|missing| JudgeError::Waiting { missing })?;
        let written = rules::later(graph, change, &within)?;
        self.scratch.later(graph, &within, change, &written)?;
        let person = match change.head().author() {
            Some(person) => person.clone(),
            None => graph.person(&change.head().actor, &within).cloned().ok_or(ContentFailure::PersonMissing)?,
        };
        Ok(Admitted { facts: facts(change, None, person, &written) })
    }

    fn judge_root(&self, change: &RawChange) -> Result<Admitted, ContentFailure> {
        let found = DocId::from_root(&change.hash());
        if found != self.place.doc {
            return Err(ContentFailure::WrongDocument { found, expected: self.place.doc });
        }
        let root = rules::root(change)?;
        let named = match &root {
            DocumentRoot::Record(record) => record.logbook,
            DocumentRoot::Review(event) => event.logbook,
        };
        if named != self.place.logbook {
            return Err(ContentFailure::WrongLogbook { named, place: self.place.logbook });
        }
        match &root {
            DocumentRoot::Record(_) => scratch::root(change, &Tree::read(change.ops()?)?)?,
            // Nobody gives a review event to the library: it is read by us, and has no second change (see the decision).
            DocumentRoot::Review(_) => {}
        }
        let person = change.head().author().cloned().ok_or(ContentFailure::PersonMissing)?;
        let written = match &root {
            DocumentRoot::Record(_) => Graph::read_root(change)?,
            DocumentRoot::Review(_) => Written::default(),
        };
        Ok(Admitted { facts: facts(change, Some(root), person, &written) })
    }

    /// Adds a change that passed, with its carrier, to what is held.
    ///
    /// # Errors
    /// [`DocumentError`] when its history is not held; nothing is added then.
    pub fn admit(&mut self, change: &RawChange) -> Result<(), DocumentError> {
        match &mut self.held {
            Held::Nothing if rules::is_review(change) => self.held = Held::Review(change.clone()),
            Held::Nothing => {
                let graph = document_graph([change.clone()])?;
                self.held = Held::Record(Box::new(graph));
            }
            Held::Record(graph) => {
                let known = graph.number(&change.hash()).is_some();
                crate::record::graph_add(graph, change)?;
                if !known {
                    self.scratch.admitted(change, graph.len());
                }
            }
            Held::Review(root) if root == change => {}
            Held::Review(_) => {
                let failure = Box::new(ContentFailure::ReviewChanged);
                return Err(DocumentError::Unreadable { hash: change.hash(), failure });
            }
        }
        Ok(())
    }
}

fn waiting(change: &RawChange, held: &[ChangeHash]) -> JudgeError {
    let missing = change.head().deps.iter().find(|dep| !held.contains(dep));
    JudgeError::Waiting { missing: missing.copied().unwrap_or_else(|| change.hash()) }
}

fn facts(change: &RawChange, root: Option<DocumentRoot>, person: PersonCode, written: &Written) -> ChangeFacts {
    let head = change.head();
    let mut references: BTreeSet<DocId> = written
        .puts
        .iter()
        .filter_map(|put| match &put.value {
            Scalar::Bytes(bytes) => DocId::from_slice(bytes),
            Scalar::Null | Scalar::Bool(_) | Scalar::Int(_) | Scalar::Text(_) => None,
        })
        .collect();
    if let Some(DocumentRoot::Review(event)) = &root {
        references.insert(event.record);
    }
    ChangeFacts {
        root,
        person,
        actor: head.actor,
        seq: head.seq,
        touched: written.puts.iter().map(|put| put.path.clone()).collect(),
        settled: written.resolve.iter().flat_map(|list| list.0.keys().cloned()).collect(),
        references,
    }
}
