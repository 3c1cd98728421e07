//! The history of a record, one story for each change.

use crate::change::Scalar;
use crate::ids::{ChangeHash, PersonCode};
use crate::record::FieldPath;
use crate::record::graph::Graph;
use crate::time::UnixMillis;

/// One value that a change put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Where.
    pub path: FieldPath,
    /// What its writer saw there, if anything.
    pub before: Option<Scalar>,
    /// What it put.
    pub after: Scalar,
}

/// What one change did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeStory {
    /// Its hash.
    pub hash: ChangeHash,
    /// Who, if the first change of the actor says so.
    pub person: Option<PersonCode>,
    /// When, by the writer's clock.
    pub time: UnixMillis,
    /// What it put, in the order of the paths.
    pub edits: Vec<FieldChange>,
    /// The paths it settled, if it is a resolve.
    pub resolved: Vec<FieldPath>,
}

impl ChangeStory {
    /// True if it settled a conflict.
    #[must_use]
    pub const fn is_resolve(&self) -> bool {
        !self.resolved.is_empty()
    }
}

/// The stories of all changes, each after its history; the order depends on the set alone.
pub(crate) fn history(graph: &Graph) -> Vec<ChangeStory> {
    graph.canonical_order().into_iter().filter_map(|number| story(graph, number)).collect()
}

fn story(graph: &Graph, number: usize) -> Option<ChangeStory> {
    let node = graph.node(number)?;
    let edit = |path: &FieldPath| {
        let put = graph.puts(path).iter().find(|put| put.node == number)?;
        let before = graph.winner(path, &node.ancestors).map(|put| put.value.clone());
        Some(FieldChange { path: path.clone(), before, after: put.value.clone() })
    };
    Some(ChangeStory {
        hash: node.change.hash(),
        person: node.person.clone(),
        time: UnixMillis(node.change.head().time),
        edits: graph.paths().filter_map(edit).collect(),
        resolved: node.resolve.iter().flat_map(|list| list.0.keys().cloned()).collect(),
    })
}
