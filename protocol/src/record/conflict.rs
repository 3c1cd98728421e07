//! Conflicts: what two people wrote without knowing of each other.
//!
//! A pure function of the set of changes (A9). At every path, each change that puts a value stands over what it has in
//! its history; a resolve stands there too, also when it keeps the present value and puts nothing.
//!
//! # Invariants
//!
//! 1. *Concurrent*: two values stand side by side and differ.
//! 2. *Overwritten unseen*: a change that is no resolve put a value over two that differed, or a resolve over one it does
//!    not list. It stays a conflict until a resolve lists that change.
//! 3. *Removed row edited*: a value stands in a removed row that none of its removers had seen, until a resolve of that
//!    cell lists the removal.
//! 4. Equal values are no conflict. A resolve settles what it lists, nothing else; a concurrent put reopens.

use std::collections::{BTreeMap, BTreeSet};

use crate::bugs::{Bug, injected};
use crate::change::Scalar;
use crate::ids::{ChangeHash, PersonCode};
use crate::record::FieldPath;
use crate::record::bits::Bits;
use crate::record::graph::Graph;
use crate::time::UnixMillis;

/// How a conflict came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConflictKind {
    /// Different values were put without knowledge of each other.
    Concurrent,
    /// Someone wrote over a conflict without settling it; the old values are among the candidates.
    OverwrittenUnseen,
    /// One removed the row, another wrote in it.
    RemovedRowEdited,
}

/// One of the values of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The value. In [`ConflictKind::RemovedRowEdited`] the removal itself is a candidate, with the value `true`.
    pub value: Scalar,
    /// The change that put it.
    pub change: ChangeHash,
    /// Who, if the first change of the actor says so.
    pub person: Option<PersonCode>,
    /// When, by the writer's clock.
    pub time: UnixMillis,
}

/// A path that needs a person's decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Where.
    pub path: FieldPath,
    /// The values, by the hash of the change that put them.
    pub candidates: Vec<Candidate>,
    /// How it came about.
    pub kind: ConflictKind,
}

/// A value that a change stands for at a path: put by it, or kept by it as a resolve.
struct Stand<'a> {
    node: usize,
    value: &'a Scalar,
    /// What it lists at this path, if it is a resolve.
    listed: Option<&'a BTreeSet<ChangeHash>>,
}

/// All conflicts within a closed set of changes, by path.
pub(crate) fn conflicts(graph: &Graph, within: &Bits) -> Vec<FieldConflict> {
    graph.paths().filter_map(|path| conflict_at(graph, path, within)).collect()
}

/// The conflict at one path.
pub(crate) fn conflict_at(graph: &Graph, path: &FieldPath, within: &Bits) -> Option<FieldConflict> {
    let stands = stands_at(graph, path, within);
    let front = latest(graph, stands.iter());
    let removals = removals_over(graph, path, within);
    let row_is_gone = removals.gone;
    let is_unseen = |stand: &&Stand<'_>| !removals.marks.iter().any(|mark| knows_removal(graph, stand, mark));
    let unseen_removals: Vec<&Stand<'_>> =
        if front.iter().any(is_unseen) { removals.marks.iter().collect() } else { Vec::new() };
    let concurrent = !row_is_gone && differ(front.iter().map(|stand| stand.value));
    let overwrites: Vec<Vec<&Stand<'_>>> = if row_is_gone { Vec::new() } else { overwrites(graph, &stands, within) };
    let kind = if concurrent && !injected(Bug::ConflictHidden) {
        ConflictKind::Concurrent
    } else if !overwrites.is_empty() {
        ConflictKind::OverwrittenUnseen
    } else if !unseen_removals.is_empty() {
        ConflictKind::RemovedRowEdited
    } else {
        return None;
    };
    let mut candidates = BTreeMap::new();
    for stand in front.iter().copied().chain(overwrites.into_iter().flatten()).chain(unseen_removals) {
        if let Some(candidate) = candidate(graph, stand) {
            candidates.insert(candidate.change, candidate);
        }
    }
    Some(FieldConflict { path: path.clone(), candidates: candidates.into_values().collect(), kind })
}

/// The puts that wrote over what differed, each followed by the values it covered, as far as no resolve settled them.
fn overwrites<'a>(graph: &Graph, stands: &'a [Stand<'a>], within: &Bits) -> Vec<Vec<&'a Stand<'a>>> {
    let mut out = Vec::new();
    for (number, stand) in stands.iter().enumerate() {
        let before = stands.iter().take(number).filter(|earlier| graph.is_before(earlier.node, stand.node));
        let covered = latest(graph, before);
        if covered.len() < 2 {
            continue;
        }
        let is_listed = |earlier: &&&Stand<'_>| {
            stand.listed.is_some_and(|listed| graph.hash(earlier.node).is_some_and(|hash| listed.contains(&hash)))
        };
        let lost = match stand.listed {
            None => differ(covered.iter().map(|earlier| earlier.value)),
            Some(_) => {
                let mut known: BTreeSet<&Scalar> = covered.iter().filter(is_listed).map(|seen| seen.value).collect();
                known.insert(stand.value);
                covered.iter().any(|earlier| !known.contains(earlier.value))
            }
        };
        if lost && !is_settled(graph, stand, stands, within) {
            out.push(core::iter::once(stand).chain(covered).collect());
        }
    }
    out
}

/// True if a resolve lists this change at its path.
fn is_settled(graph: &Graph, stand: &Stand<'_>, stands: &[Stand<'_>], within: &Bits) -> bool {
    if injected(Bug::SettlesUnseen) {
        return true;
    }
    let Some(hash) = graph.hash(stand.node) else { return false };
    stands.iter().any(|later| within.contains(later.node) && later.listed.is_some_and(|seen| seen.contains(&hash)))
}

/// Every change that puts or keeps a value at a path, in the graph's order.
fn stands_at<'a>(graph: &'a Graph, path: &FieldPath, within: &Bits) -> Vec<Stand<'a>> {
    let listed =
        |node: usize| graph.node(node).and_then(|node| node.resolve.as_ref()).and_then(|list| list.0.get(path));
    let puts = graph.puts(path).iter().filter(|put| within.contains(put.node));
    let mut stands: Vec<Stand<'a>> =
        puts.map(|put| Stand { node: put.node, value: &put.value, listed: listed(put.node) }).collect();
    for &node in graph.resolves(path) {
        let put_here = graph.puts(path).iter().any(|put| put.node == node);
        let (false, true, Some(resolve)) = (put_here, within.contains(node), graph.node(node)) else { continue };
        if let Some(kept) = graph.winner(path, &resolve.ancestors) {
            stands.push(Stand { node, value: &kept.value, listed: listed(node) });
        }
    }
    stands.sort_by_key(|stand| stand.node);
    stands
}

fn latest<'a>(graph: &Graph, stands: impl DoubleEndedIterator<Item = &'a Stand<'a>>) -> Vec<&'a Stand<'a>> {
    graph.latest(stands, |stand| stand.node)
}

/// The standing removal marks over a cell.
struct Removals<'a> {
    marks: Vec<Stand<'a>>,
    /// True if nobody's standing mark says that the row is there.
    gone: bool,
}

fn removals_over<'a>(graph: &'a Graph, path: &FieldPath, within: &Bits) -> Removals<'a> {
    let none = Removals { marks: Vec::new(), gone: false };
    let Some(removal) = path.removal().filter(|_| !path.is_removal()) else { return none };
    let stands = stands_at(graph, &removal, within);
    let numbers: Vec<usize> = latest(graph, stands.iter()).iter().map(|stand| stand.node).collect();
    let front: Vec<Stand<'a>> = stands.into_iter().filter(|stand| numbers.contains(&stand.node)).collect();
    let all = front.len();
    let marks: Vec<Stand<'a>> = front.into_iter().filter(|stand| *stand.value == Scalar::Bool(true)).collect();
    let gone = all > 0 && marks.len() == all;
    Removals { marks, gone }
}

/// True if the remover had the value in its history, or the value's writer settled the removal.
fn knows_removal(graph: &Graph, stand: &Stand<'_>, mark: &Stand<'_>) -> bool {
    let listed = || Some(stand.listed?.contains(&graph.hash(mark.node)?));
    stand.node == mark.node || graph.is_before(stand.node, mark.node) || listed().unwrap_or(false)
}

fn differ<T: PartialEq>(mut values: impl Iterator<Item = T>) -> bool {
    let first = values.next();
    first.is_some_and(|first| values.any(|value| value != first))
}

fn candidate(graph: &Graph, stand: &Stand<'_>) -> Option<Candidate> {
    let node = graph.node(stand.node)?;
    Some(Candidate {
        value: stand.value.clone(),
        change: node.change.hash(),
        person: node.person.clone(),
        time: UnixMillis(node.change.head().time),
    })
}
