//! The changes of one record as a graph, with every put found by its path.
//!
//! One change put a value at a path *over* another exactly when it has the other in its history: the gate demands that a
//! put names as predecessors precisely the values visible to its writer, so causal order and Automerge's predecessor lists
//! say the same (`gate` rule "predecessors"). Everything read from a record is computed from this order, never from the
//! order of arrival.
//!
//! # Invariants
//!
//! 1. A node's dependencies stand before it (`push` takes a change only when all are there).
//! 2. A set of nodes handed around as `within` is closed: it holds the ancestors of its members (`closure`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::bugs::{Bug, injected};
use crate::change::{ActorId, ObjectId, Op, OpAction, OpId, RawChange, Scalar};
use crate::gate::ContentFailure;
use crate::ids::{ChangeHash, PersonCode};
use crate::record::bits::Bits;
use crate::record::root::key;
use crate::record::{FieldPath, REMOVED, ResolveList, RowKey, shape};

/// What a container is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Role {
    Root,
    Fields,
    Repeats,
    Repeat(String),
    Row(String, RowKey),
}

/// One put of a value at a path.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) node: usize,
    pub(crate) id: OpId,
    pub(crate) object: ObjectId,
    pub(crate) value: Scalar,
}

/// A change and its place.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) change: RawChange,
    /// All it has in its history, itself not counted.
    pub(crate) ancestors: Bits,
    pub(crate) person: Option<PersonCode>,
    /// The highest operation counter in it and its history.
    pub(crate) counter: u64,
    pub(crate) resolve: Option<ResolveList>,
}

/// What a change writes, by path.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) containers: BTreeMap<ObjectId, Role>,
    pub(crate) puts: Vec<WrittenPut>,
    pub(crate) resolve: Option<ResolveList>,
}

/// One put of a change: its path, and where its operation stands in the change.
#[derive(Debug)]
pub(crate) struct WrittenPut {
    pub(crate) path: FieldPath,
    pub(crate) op: usize,
    pub(crate) id: OpId,
    pub(crate) object: ObjectId,
    pub(crate) value: Scalar,
}

/// Why a change cannot join the graph, apart from what it says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JoinError {
    Missing(ChangeHash),
    SecondRoot(ChangeHash),
    ActorTwice { actor: ActorId, seq: u64, first: ChangeHash, second: ChangeHash },
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
    index: BTreeMap<ChangeHash, usize>,
    containers: BTreeMap<ObjectId, (Role, usize)>,
    rows: BTreeMap<(String, RowKey), Vec<(ObjectId, usize)>>,
    puts: BTreeMap<FieldPath, Vec<Put>>,
    resolves: BTreeMap<FieldPath, Vec<usize>>,
    actors: BTreeMap<ActorId, BTreeMap<u64, usize>>,
}

impl Graph {
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(crate) fn all(&self) -> Bits {
        Bits::below(self.nodes.len())
    }

    pub(crate) fn node(&self, number: usize) -> Option<&Node> {
        self.nodes.get(number)
    }

    pub(crate) fn root(&self) -> Option<&RawChange> {
        self.nodes.first().map(|node| &node.change)
    }

    pub(crate) fn number(&self, hash: &ChangeHash) -> Option<usize> {
        self.index.get(hash).copied()
    }

    pub(crate) fn hash(&self, number: usize) -> Option<ChangeHash> {
        self.nodes.get(number).map(|node| node.change.hash())
    }

    /// True if `earlier` is in the history of `later`.
    pub(crate) fn is_before(&self, earlier: usize, later: usize) -> bool {
        self.nodes.get(later).is_some_and(|node| node.ancestors.contains(earlier))
    }

    /// These changes and all in their history; the missing one if one is not here.
    pub(crate) fn closure(&self, heads: &[ChangeHash]) -> Result<Bits, ChangeHash> {
        let mut out = Bits::default();
        for hash in heads {
            let number = self.number(hash).ok_or(*hash)?;
            out.insert(number);
            if let Some(node) = self.nodes.get(number) {
                out.unite(&node.ancestors);
            }
        }
        Ok(out)
    }

    /// The members of a closed set that no other member has in its history, sorted by hash.
    pub(crate) fn heads(&self, within: &Bits) -> Vec<ChangeHash> {
        let mut covered = Bits::default();
        within.iter().filter_map(|number| self.node(number)).for_each(|node| covered.unite(&node.ancestors));
        let mut heads: Vec<ChangeHash> =
            within.iter().filter(|number| !covered.contains(*number)).filter_map(|number| self.hash(number)).collect();
        heads.sort_unstable();
        heads
    }

    /// An actor's changes within a set: sequence number to node.
    pub(crate) fn actor(&self, actor: &ActorId) -> impl Iterator<Item = (u64, usize)> + '_ {
        self.actors.get(actor).into_iter().flatten().map(|(seq, node)| (*seq, *node))
    }

    pub(crate) fn actors_within(&self, within: &Bits) -> usize {
        self.actors.values().filter(|nodes| nodes.values().any(|node| within.contains(*node))).count()
    }

    pub(crate) fn counter_within(&self, within: &Bits) -> u64 {
        within.iter().filter_map(|number| self.node(number)).map(|node| node.counter).max().unwrap_or(0)
    }

    /// The person behind an actor, from the first change of the actor.
    pub(crate) fn person(&self, actor: &ActorId, within: &Bits) -> Option<&PersonCode> {
        let first = *self.actors.get(actor)?.get(&1)?;
        if within.contains(first) { self.node(first)?.change.head().author() } else { None }
    }

    pub(crate) fn paths(&self) -> impl Iterator<Item = &FieldPath> {
        self.puts.keys()
    }

    pub(crate) fn puts(&self, path: &FieldPath) -> &[Put] {
        self.puts.get(path).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn resolves(&self, path: &FieldPath) -> &[usize] {
        self.resolves.get(path).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = (&(String, RowKey), &[(ObjectId, usize)])> {
        self.rows.iter().map(|(key, made)| (key, made.as_slice()))
    }

    /// The maps made for a row within a set: one, unless two writers drew one key.
    pub(crate) fn row(&self, repeat: &str, row: RowKey, within: &Bits) -> impl Iterator<Item = ObjectId> {
        let made = self.rows.get(&(repeat.to_owned(), row)).map_or(&[][..], Vec::as_slice);
        made.iter().filter(|(_, node)| within.contains(*node)).map(|(object, _)| *object)
    }

    pub(crate) fn containers(&self) -> impl Iterator<Item = (&ObjectId, &Role)> {
        self.containers.iter().map(|(object, (role, _))| (object, role))
    }

    /// Keeps of some items only those that no other has in its history.
    pub(crate) fn latest<T>(&self, items: impl DoubleEndedIterator<Item = T>, node: impl Fn(&T) -> usize) -> Vec<T> {
        let mut kept: Vec<T> = Vec::new();
        for item in items.rev() {
            if !kept.iter().any(|later| self.is_before(node(&item), node(later))) {
                kept.push(item);
            }
        }
        kept
    }

    /// The values that stand at a path within a set.
    pub(crate) fn visible(&self, path: &FieldPath, within: &Bits) -> Vec<&Put> {
        self.latest(self.puts(path).iter().filter(|put| within.contains(put.node)), |put| put.node)
    }

    /// The value that Automerge shows at a path: of those that stand, the one with the highest operation id.
    pub(crate) fn winner(&self, path: &FieldPath, within: &Bits) -> Option<&Put> {
        if injected(Bug::LastClockWins) {
            let time = |put: &&Put| self.node(put.node).map(|node| node.change.head().time);
            return self.puts(path).iter().filter(|put| within.contains(put.node)).max_by_key(time);
        }
        self.visible(path, within).into_iter().max_by_key(|put| put.id)
    }

    /// Reads what a later change writes, resolving every container within its history.
    pub(crate) fn read_later(&self, change: &RawChange, within: &Bits) -> Result<Written, ContentFailure> {
        let mut written = Written::default();
        for (index, op) in change.ops()?.iter().enumerate() {
            let unknown = ContentFailure::UnknownContainer { op: index };
            let role = match self.containers.get(&op.object) {
                Some((role, node)) if within.contains(*node) => role,
                Some(_) | None => written.containers.get(&op.object).ok_or(unknown)?,
            };
            match (role, &op.action) {
                (Role::Fields, OpAction::Put(value)) => {
                    written.puts.push(put(FieldPath::Field(op.key.clone()), index, op, value));
                }
                (Role::Row(repeat, row), OpAction::Put(value)) => {
                    let path = FieldPath::Row { repeat: repeat.clone(), row: *row, name: op.key.clone() };
                    if !shape::cell_is_allowed(&op.key, value) {
                        return Err(ContentFailure::RemovalMark { op: index });
                    }
                    written.puts.push(put(path, index, op, value));
                }
                (Role::Repeat(repeat), OpAction::MakeMap) => {
                    let row = RowKey::parse(&op.key).ok_or(ContentFailure::RowKey { op: index })?;
                    let made = Role::Row(repeat.clone(), row);
                    let known = self.row(repeat, row, within).next().is_some();
                    if known || !op.predecessors.is_empty() || written.containers.values().any(|role| *role == made) {
                        return Err(ContentFailure::RowExists { op: index });
                    }
                    written.containers.insert(ObjectId::Made(op.id), made);
                }
                (Role::Root | Role::Repeats | Role::Repeat(_), OpAction::Put(_))
                | (Role::Root | Role::Fields | Role::Repeats | Role::Row(..), OpAction::MakeMap) => {
                    return Err(ContentFailure::NotAllowed { op: index });
                }
            }
        }
        written.resolve = change.head().message.as_deref().map(ResolveList::decode).transpose()?;
        Ok(written)
    }

    /// Reads what a first change writes; its shape is checked by `RecordRoot::from_tree`.
    pub(crate) fn read_root(change: &RawChange) -> Result<Written, ContentFailure> {
        let mut written = Written::default();
        written.containers.insert(ObjectId::Root, Role::Root);
        for (index, op) in change.ops()?.iter().enumerate() {
            let unknown = ContentFailure::UnknownContainer { op: index };
            let role = written.containers.get(&op.object).ok_or(unknown)?;
            match (role, &op.action) {
                (Role::Root, OpAction::Put(_)) => {}
                (Role::Fields, OpAction::Put(value)) => {
                    written.puts.push(put(FieldPath::Field(op.key.clone()), index, op, value));
                }
                (Role::Row(repeat, row), OpAction::Put(value)) => {
                    let path = FieldPath::Row { repeat: repeat.clone(), row: *row, name: op.key.clone() };
                    written.puts.push(put(path, index, op, value));
                }
                (Role::Root, OpAction::MakeMap) => {
                    let role = if op.key == key::FIELDS { Role::Fields } else { Role::Repeats };
                    written.containers.insert(ObjectId::Made(op.id), role);
                }
                (Role::Repeats, OpAction::MakeMap) => {
                    written.containers.insert(ObjectId::Made(op.id), Role::Repeat(op.key.clone()));
                }
                (Role::Repeat(repeat), OpAction::MakeMap) => {
                    let row = RowKey::parse(&op.key).ok_or(ContentFailure::RowKey { op: index })?;
                    let role = Role::Row(repeat.clone(), row);
                    written.containers.insert(ObjectId::Made(op.id), role);
                }
                (Role::Repeats | Role::Repeat(_), OpAction::Put(_))
                | (Role::Fields | Role::Row(..), OpAction::MakeMap) => {
                    return Err(ContentFailure::NotAllowed { op: index });
                }
            }
        }
        Ok(written)
    }

    /// Checks that a change fits beside those that are here. Known changes fit.
    pub(crate) fn can_join(&self, change: &RawChange) -> Result<(), JoinError> {
        let head = change.head();
        if self.index.contains_key(&change.hash()) {
            return Ok(());
        }
        if head.is_root() && !self.nodes.is_empty() {
            return Err(JoinError::SecondRoot(change.hash()));
        }
        if let Some(missing) = head.deps.iter().find(|dep| !self.index.contains_key(*dep)) {
            return Err(JoinError::Missing(*missing));
        }
        let same = self.actors.get(&head.actor).and_then(|seqs| seqs.get(&head.seq));
        match same.and_then(|node| self.hash(*node)) {
            Some(first) => Err(JoinError::ActorTwice {
                actor: head.actor,
                seq: head.seq,
                first: first.min(change.hash()),
                second: first.max(change.hash()),
            }),
            None => Ok(()),
        }
    }

    /// Adds a change that [`Self::can_join`]. Adding a known one changes nothing.
    pub(crate) fn push(&mut self, change: &RawChange, written: Written) {
        let number = self.nodes.len();
        let Entry::Vacant(vacant) = self.index.entry(change.hash()) else { return };
        vacant.insert(number);
        let ancestors = self.closure(&change.head().deps).unwrap_or_default();
        let head = change.head();
        let ops = change.ops().map_or(0, <[_]>::len);
        let last = head.start_op.saturating_add(u64::try_from(ops).unwrap_or(u64::MAX)).saturating_sub(1);
        let counter = last.max(self.counter_within(&ancestors));
        self.actors.entry(head.actor).or_default().insert(head.seq, number);
        for (object, role) in written.containers {
            if let Role::Row(repeat, row) = &role {
                self.rows.entry((repeat.clone(), *row)).or_default().push((object, number));
            }
            self.containers.insert(object, (role, number));
        }
        for WrittenPut { path, id, object, value, .. } in written.puts {
            self.puts.entry(path).or_default().push(Put { node: number, id, object, value });
        }
        for path in written.resolve.iter().flat_map(|list| list.0.keys()) {
            self.resolves.entry(path.clone()).or_default().push(number);
        }
        let person = match head.seq {
            1 => head.author().cloned(),
            _ => self.person(&head.actor, &ancestors).cloned(),
        };
        self.nodes.push(Node { change: change.clone(), ancestors, person, counter, resolve: written.resolve });
    }

    /// The nodes in an order that depends on the set of changes only: history first, then by hash.
    pub(crate) fn canonical_order(&self) -> Vec<usize> {
        let mut waiting: Vec<usize> = self.nodes.iter().map(|node| node.change.head().deps.len()).collect();
        let mut children: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (number, node) in self.nodes.iter().enumerate() {
            for dep in node.change.head().deps.iter().filter_map(|dep| self.number(dep)) {
                children.entry(dep).or_default().push(number);
            }
        }
        let ready = |waiting: &[usize], number: usize| waiting.get(number) == Some(&0);
        let mut next: BTreeMap<ChangeHash, usize> = (0..self.nodes.len())
            .filter(|number| ready(&waiting, *number))
            .filter_map(|number| self.hash(number).map(|hash| (hash, number)))
            .collect();
        let mut order = Vec::with_capacity(self.nodes.len());
        while let Some((_, number)) = next.pop_first() {
            order.push(number);
            for child in children.remove(&number).unwrap_or_default() {
                if let Some(left) = waiting.get_mut(child) {
                    *left -= 1;
                }
                if let (true, Some(hash)) = (ready(&waiting, child), self.hash(child)) {
                    next.insert(hash, child);
                }
            }
        }
        order
    }

    /// True if a row is removed within a set: someone's standing mark says so.
    pub(crate) fn row_is_removed(&self, repeat: &str, row: RowKey, within: &Bits) -> bool {
        let path = FieldPath::Row { repeat: repeat.to_owned(), row, name: REMOVED.to_owned() };
        self.visible(&path, within).iter().any(|put| put.value == Scalar::Bool(true))
    }
}

fn put(path: FieldPath, index: usize, op: &Op, value: &Scalar) -> WrittenPut {
    WrittenPut { path, op: index, id: op.id, object: op.object, value: value.clone() }
}
