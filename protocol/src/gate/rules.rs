//! The rules of a change's head and content, without the library.

use std::collections::BTreeSet;

use crate::bugs::{Bug, injected};
use crate::change::{Footer, ObjectId, OpAction, OpId, RawChange, Scalar};
use crate::gate::{ContentFailure, DocumentRoot};
use crate::limits::{DOCUMENT_ACTORS_MAX, DOCUMENT_CHANGES_MAX, OP_COUNTER_MAX};
use crate::record::bits::Bits;
use crate::record::graph::{Graph, Written, WrittenPut};
use crate::record::root::{KIND_RECORD, Tree, key};
use crate::record::{FieldPath, RecordRoot, ResolveList, RootError, shape};
use crate::review::{KIND_REVIEW, ReviewEvent};

/// True if a first change says that it is a review event.
pub(crate) fn is_review(change: &RawChange) -> bool {
    let says = |ops: &[crate::change::Op]| {
        ops.iter().any(|op| {
            let value = OpAction::Put(Scalar::Text(KIND_REVIEW.to_owned()));
            op.object == ObjectId::Root && op.key == key::KIND && op.action == value
        })
    };
    change.head().is_root() && change.ops().is_ok_and(says)
}

/// Judges a first change, without its place.
pub(crate) fn root(change: &RawChange) -> Result<DocumentRoot, ContentFailure> {
    let ops = change.ops()?;
    header(change, ops.len(), 1, 1)?;
    if change.head().message.is_some() {
        return Err(ContentFailure::MessageOnRoot);
    }
    let tree = Tree::read(ops)?;
    match tree.text(key::KIND)? {
        KIND_RECORD => Ok(DocumentRoot::Record(RecordRoot::from_tree(&tree)?)),
        KIND_REVIEW => {
            let person = change.head().author().ok_or(ContentFailure::PersonMissing)?;
            Ok(DocumentRoot::Review(ReviewEvent::from_tree(&tree, person.clone())?))
        }
        _ => Err(RootError::Kind.into()),
    }
}

/// Judges a later change of a record whose history is `within`.
pub(crate) fn later(graph: &Graph, change: &RawChange, within: &Bits) -> Result<Written, ContentFailure> {
    let ops = change.ops()?;
    let head = change.head();
    let have = within.count() + 1;
    if have > DOCUMENT_CHANGES_MAX {
        return Err(ContentFailure::TooManyChanges { have, max: DOCUMENT_CHANGES_MAX });
    }
    let own = graph.actor(&head.actor).filter(|(_, node)| within.contains(*node)).map(|(seq, _)| seq).max();
    let have = graph.actors_within(within) + usize::from(own.is_none());
    if have > DOCUMENT_ACTORS_MAX {
        return Err(ContentFailure::TooManyActors { have, max: DOCUMENT_ACTORS_MAX });
    }
    let counter = head.deps.iter().filter_map(|dep| graph.node(graph.number(dep)?)).map(|node| node.counter).max();
    header(change, ops.len(), own.unwrap_or(0).saturating_add(1), counter.unwrap_or(0).saturating_add(1))?;
    let written = graph.read_later(change, within)?;
    puts(graph, change, within, &written)?;
    match &written.resolve {
        Some(list) => resolve(graph, within, list, &written)?,
        None if ops.is_empty() => return Err(ContentFailure::Empty),
        None => {}
    }
    Ok(written)
}

fn header(change: &RawChange, ops: usize, seq: u64, start_op: u64) -> Result<(), ContentFailure> {
    if injected(Bug::HeadNotChecked) {
        return Ok(());
    }
    let head = change.head();
    if head.seq != seq {
        return Err(ContentFailure::Seq { have: head.seq, expected: seq });
    }
    if head.start_op != start_op {
        return Err(ContentFailure::StartOp { have: head.start_op, expected: start_op });
    }
    let last = head.start_op.saturating_add(u64::try_from(ops).unwrap_or(u64::MAX));
    if last > OP_COUNTER_MAX {
        return Err(ContentFailure::OpCounter { have: last, max: OP_COUNTER_MAX });
    }
    match &head.footer {
        Footer::Author(_) if seq == 1 => Ok(()),
        Footer::None if seq == 1 => Err(ContentFailure::PersonMissing),
        Footer::None => Ok(()),
        Footer::Author(_) | Footer::Other { .. } => Err(ContentFailure::Footer { seq }),
    }
}

/// Every put has an allowed name, is alone at its path, and replaces exactly the values that its writer saw.
fn puts(graph: &Graph, change: &RawChange, within: &Bits, written: &Written) -> Result<(), ContentFailure> {
    let ops = change.ops()?;
    let mut paths: BTreeSet<&FieldPath> = BTreeSet::new();
    for WrittenPut { path, op, object, .. } in &written.puts {
        let (FieldPath::Field(name) | FieldPath::Row { name, .. }) = path;
        if !shape::name_is_allowed(name) {
            return Err(ContentFailure::Name { op: *op });
        }
        if !paths.insert(path) {
            return Err(ContentFailure::PutTwice { op: *op });
        }
        let here = graph.puts(path).iter().filter(|put| within.contains(put.node) && put.object == *object);
        let mut stood: Vec<OpId> = graph.latest(here, |put| put.node).into_iter().map(|put| put.id).collect();
        stood.sort_unstable();
        let mut named = ops.get(*op).map_or_else(Vec::new, |op| op.predecessors.clone());
        named.sort_unstable();
        if named != stood {
            return Err(ContentFailure::Predecessors { op: *op, have: named.len(), expected: stood.len() });
        }
    }
    Ok(())
}

/// A resolve writes only what it lists, and lists only what was there.
fn resolve(graph: &Graph, within: &Bits, list: &ResolveList, written: &Written) -> Result<(), ContentFailure> {
    if let Some(put) = written.puts.iter().find(|put| !list.0.contains_key(&put.path)) {
        return Err(ContentFailure::ResolveScope { path: put.path.clone() });
    }
    if let (Some(path), false) = (list.0.keys().next(), written.containers.is_empty()) {
        return Err(ContentFailure::ResolveScope { path: path.clone() });
    }
    for (path, seen) in &list.0 {
        let removal = path.removal();
        let stands_here = |node: usize| {
            let puts = |path: &FieldPath| graph.puts(path).iter().any(|put| put.node == node);
            puts(path)
                || removal.as_ref().is_some_and(puts)
                || graph.resolves(path).contains(&node)
                || removal.as_ref().is_some_and(|removal| graph.resolves(removal).contains(&node))
        };
        let is_here = |hash: &&_| graph.number(hash).is_some_and(|node| within.contains(node) && stands_here(node));
        if let Some(seen) = seen.iter().find(|hash| !is_here(hash)) {
            return Err(ContentFailure::ResolveSeen { path: path.clone(), seen: *seen });
        }
    }
    Ok(())
}
