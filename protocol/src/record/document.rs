//! A record read from the set of its admitted changes.
//!
//! Changes may come in any order; what is read depends on the set alone. Nothing waits inside Automerge: a change whose
//! history is not complete is an error here, and the caller keeps it (R18).

use std::collections::BTreeMap;

use crate::change::{ActorId, RawChange, Scalar};
use crate::gate::ContentFailure;
use crate::ids::{ChangeHash, DocId};
use crate::record::bits::Bits;
use crate::record::conflict::{self, FieldConflict};
use crate::record::graph::{Graph, JoinError, Role};
use crate::record::history::{self, ChangeStory};
use crate::record::root::Tree;
use crate::record::{FieldPath, Heads, REMOVED, RecordRoot, RecordView};

/// Why changes do not make a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// No first change.
    #[error("none of the changes begins a document")]
    NoRoot,
    /// A second first change.
    #[error("change {hash} begins a second document")]
    SecondRoot {
        /// Its hash.
        hash: ChangeHash,
    },
    /// A change whose history is not complete.
    #[error("change {hash} needs change {missing}, which is not here")]
    Missing {
        /// The change.
        hash: ChangeHash,
        /// What it needs.
        missing: ChangeHash,
    },
    /// Two changes with one actor and number: the trace of a cloned device. Both are held until the hub orders them.
    #[error("changes {first} and {second} both are number {seq} of {actor:?}; hold both until the hub orders them")]
    ActorTwice {
        /// The actor.
        actor: ActorId,
        /// The number.
        seq: u64,
        /// The lesser hash.
        first: ChangeHash,
        /// The greater hash.
        second: ChangeHash,
    },
    /// A change that this version cannot read.
    #[error("change {hash} cannot be read by this version")]
    Unreadable {
        /// Its hash.
        hash: ChangeHash,
        /// Why.
        #[source]
        failure: Box<ContentFailure>,
    },
    /// A version that names a change that is not here.
    #[error("the version names change {missing}, which is not here")]
    UnknownVersion {
        /// The change.
        missing: ChangeHash,
    },
}

/// A record and its whole history.
#[derive(Debug, Clone)]
pub struct Document {
    graph: Graph,
    root: RecordRoot,
    id: DocId,
}

impl Document {
    /// Reads a record from its admitted changes, in any order. Copies of one change count once.
    ///
    /// # Errors
    /// [`DocumentError`] when they are not exactly one record with complete history.
    pub fn from_changes(changes: impl IntoIterator<Item = RawChange>) -> Result<Self, DocumentError> {
        let graph = graph_of(changes)?;
        let root = graph.root().ok_or(DocumentError::NoRoot)?;
        let unreadable = |failure| DocumentError::Unreadable { hash: root.hash(), failure: Box::new(failure) };
        let tree = root.ops().map_err(ContentFailure::from).and_then(|ops| Ok(Tree::read(ops)?)).map_err(unreadable)?;
        let parsed = RecordRoot::from_tree(&tree).map_err(|error| unreadable(error.into()))?;
        let id = DocId::from_root(&root.hash());
        Ok(Self { root: parsed, id, graph })
    }

    /// Adds one admitted change whose history is here. Adding a known one changes nothing.
    ///
    /// # Errors
    /// [`DocumentError`] when it does not belong here, or its history is not complete; the record is as before.
    pub fn add(&mut self, change: &RawChange) -> Result<(), DocumentError> {
        add(&mut self.graph, change)
    }

    /// The document's id.
    #[must_use]
    pub const fn id(&self) -> DocId {
        self.id
    }

    /// What its first change says.
    #[must_use]
    pub const fn root(&self) -> &RecordRoot {
        &self.root
    }

    /// Its version: the changes that no other has in its history, sorted.
    #[must_use]
    pub fn heads(&self) -> Heads {
        self.graph.heads(&self.graph.all())
    }

    /// How many changes it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// A record has at least its first change.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// Its changes, each after its history; the order depends on the set alone.
    pub fn changes(&self) -> impl Iterator<Item = &RawChange> {
        self.graph.canonical_order().into_iter().filter_map(|number| self.graph.node(number)).map(|node| &node.change)
    }

    /// True if a change is here.
    #[must_use]
    pub fn contains(&self, hash: &ChangeHash) -> bool {
        self.graph.number(hash).is_some()
    }

    /// The record as it stands.
    #[must_use]
    pub fn view(&self) -> RecordView {
        self.view_within(&self.graph.all())
    }

    /// The record as it stood at a version.
    ///
    /// # Errors
    /// [`DocumentError::UnknownVersion`] when a change of the version is not here.
    pub fn view_at(&self, version: &[ChangeHash]) -> Result<RecordView, DocumentError> {
        Ok(self.view_within(&self.at(version)?))
    }

    /// What needs a person's decision, by path.
    #[must_use]
    pub fn conflicts(&self) -> Vec<FieldConflict> {
        conflict::conflicts(&self.graph, &self.graph.all())
    }

    /// What needed a person's decision at a version.
    ///
    /// # Errors
    /// [`DocumentError::UnknownVersion`] when a change of the version is not here.
    pub fn conflicts_at(&self, version: &[ChangeHash]) -> Result<Vec<FieldConflict>, DocumentError> {
        Ok(conflict::conflicts(&self.graph, &self.at(version)?))
    }

    /// Every change as a story: who, when, what was before and after.
    #[must_use]
    pub fn history(&self) -> Vec<ChangeStory> {
        history::history(&self.graph)
    }

    pub(crate) const fn graph(&self) -> &Graph {
        &self.graph
    }

    fn at(&self, version: &[ChangeHash]) -> Result<Bits, DocumentError> {
        self.graph.closure(version).map_err(|missing| DocumentError::UnknownVersion { missing })
    }

    fn view_within(&self, within: &Bits) -> RecordView {
        let mut view = RecordView { root: self.root.clone(), fields: BTreeMap::new(), repeats: BTreeMap::new() };
        for (_, role) in self.graph.containers() {
            if let Role::Repeat(name) = role {
                view.repeats.entry(name.clone()).or_default();
            }
        }
        for ((repeat, row), made) in self.graph.rows() {
            if made.iter().any(|(_, node)| within.contains(*node)) {
                let removed = self.graph.row_is_removed(repeat, *row, within);
                view.repeats.entry(repeat.clone()).or_default().entry(*row).or_default().removed = removed;
            }
        }
        for path in self.graph.paths() {
            let Some(put) = self.graph.winner(path, within) else { continue };
            match path {
                FieldPath::Field(name) => {
                    view.fields.insert(name.clone(), put.value.clone());
                }
                FieldPath::Row { repeat, row, name } if name != REMOVED => {
                    let rows = view.repeats.entry(repeat.clone()).or_default();
                    rows.entry(*row).or_default().cells.insert(name.clone(), put.value.clone());
                }
                FieldPath::Row { .. } => {}
            }
        }
        view
    }

    /// The value that stands at a path at a version, if any was ever put there.
    ///
    /// # Errors
    /// [`DocumentError::UnknownVersion`] when a change of the version is not here.
    pub fn value_at(&self, path: &FieldPath, version: &[ChangeHash]) -> Result<Option<Scalar>, DocumentError> {
        Ok(self.graph.winner(path, &self.at(version)?).map(|put| put.value.clone()))
    }
}

/// Adds a change and reads what it writes.
pub(crate) fn add(graph: &mut Graph, change: &RawChange) -> Result<(), DocumentError> {
    let hash = change.hash();
    if graph.number(&hash).is_some() {
        return Ok(());
    }
    graph.can_join(change).map_err(|error| match error {
        JoinError::Missing(missing) => DocumentError::Missing { hash, missing },
        JoinError::SecondRoot(hash) => DocumentError::SecondRoot { hash },
        JoinError::ActorTwice { actor, seq, first, second } => DocumentError::ActorTwice { actor, seq, first, second },
    })?;
    let unreadable = |failure| DocumentError::Unreadable { hash, failure: Box::new(failure) };
    let written = if change.head().is_root() {
        Graph::read_root(change)
    } else {
        let within = graph.closure(&change.head().deps).map_err(|missing| DocumentError::Missing { hash, missing })?;
        graph.read_later(change, &within)
    };
    graph.push(change, written.map_err(unreadable)?);
    Ok(())
}

/// Builds a graph from changes in any order.
pub(crate) fn graph_of(changes: impl IntoIterator<Item = RawChange>) -> Result<Graph, DocumentError> {
    let by_hash: BTreeMap<ChangeHash, RawChange> = changes.into_iter().map(|change| (change.hash(), change)).collect();
    let mut waiting: BTreeMap<ChangeHash, usize> = BTreeMap::new();
    let mut children: BTreeMap<ChangeHash, Vec<ChangeHash>> = BTreeMap::new();
    let mut ready = Vec::new();
    for (hash, change) in &by_hash {
        let deps = &change.head().deps;
        if let Some(missing) = deps.iter().find(|dep| !by_hash.contains_key(*dep)) {
            return Err(DocumentError::Missing { hash: *hash, missing: *missing });
        }
        if deps.is_empty() {
            ready.push(*hash);
        }
        waiting.insert(*hash, deps.len());
        for dep in deps {
            children.entry(*dep).or_default().push(*hash);
        }
    }
    let mut graph = Graph::default();
    while let Some(hash) = ready.pop() {
        if let Some(change) = by_hash.get(&hash) {
            add(&mut graph, change)?;
        }
        for child in children.remove(&hash).unwrap_or_default() {
            if let Some(left) = waiting.get_mut(&child) {
                *left -= 1;
                if *left == 0 {
                    ready.push(child);
                }
            }
        }
    }
    Ok(graph)
}
