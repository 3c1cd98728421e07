//! The library's part of the gate: a scratch Automerge document that may break.
//!
//! Whatever Automerge does to a change happens here first: apply, save, load, read. A panic is caught and the scratch
//! document thrown away, because its state is undefined then; the next change rebuilds it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use automerge::{Automerge, Change, ReadDoc, ScalarValue, hydrate};

use crate::change::{RawChange, Scalar};
use crate::gate::ContentFailure;
use crate::ids::ChangeHash;
use crate::record::bits::Bits;
use crate::record::graph::{Graph, Written};
use crate::record::root::{Leaf, Tree, key};
use crate::record::{FieldPath, RowKey};

/// The scratch document of one gate.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// A document that holds exactly the first `.1` changes that the gate admitted.
    ready: Option<(Automerge, usize)>,
    /// The same with one more change, judged but not yet admitted.
    judged: Option<(Automerge, ChangeHash)>,
}

impl Scratch {
    /// Tries a later change on its history.
    pub(super) fn later(
        &mut self,
        graph: &Graph,
        within: &Bits,
        change: &RawChange,
        written: &Written,
    ) -> Result<(), ContentFailure> {
        let whole = within.count() == graph.len();
        self.judged = None;
        let ready = if whole { self.ready.take().filter(|(_, len)| *len == graph.len()) } else { None };
        let attempt = || {
            let mut doc = match ready {
                Some((doc, _)) => doc,
                None => history(graph, within)?,
            };
            let loaded = run(&mut doc, change)?;
            same_values(&loaded, graph, within, written)?;
            Ok(doc)
        };
        let doc = caught(attempt)?;
        if whole {
            self.judged = Some((doc, change.hash()));
        }
        Ok(())
    }

    /// The gate admitted a change and now holds `len`.
    pub(super) fn admitted(&mut self, change: &RawChange, len: usize) {
        self.ready = match self.judged.take() {
            Some((doc, hash)) if hash == change.hash() => Some((doc, len)),
            Some(_) | None => None,
        };
    }
}

/// Tries a first change.
pub(super) fn root(change: &RawChange, tree: &Tree<'_>) -> Result<(), ContentFailure> {
    caught(|| {
        let loaded = run(&mut Automerge::new(), change)?;
        if same_tree(&loaded, tree, 0) { Ok(()) } else { Err(ContentFailure::LibraryView) }
    })
}

fn caught<T>(attempt: impl FnOnce() -> Result<T, ContentFailure>) -> Result<T, ContentFailure> {
    catch_unwind(AssertUnwindSafe(attempt)).unwrap_or(Err(ContentFailure::LibraryPanic))
}

fn parse(change: &RawChange) -> Result<Change, ContentFailure> {
    Change::try_from(change.bytes()).map_err(|error| ContentFailure::LibraryParse { detail: error.to_string() })
}

fn history(graph: &Graph, within: &Bits) -> Result<Automerge, ContentFailure> {
    let nodes = within.iter().filter_map(|number| graph.node(number));
    let changes: Result<Vec<Change>, ContentFailure> = nodes.map(|node| parse(&node.change)).collect();
    let mut doc = Automerge::new();
    doc.apply_changes(changes?).map_err(|error| ContentFailure::LibraryApply { detail: error.to_string() })?;
    Ok(doc)
}

/// Applies a change, saves, loads, and reads what was loaded.
fn run(doc: &mut Automerge, change: &RawChange) -> Result<hydrate::Value, ContentFailure> {
    let parsed = parse(change)?;
    doc.apply_changes([parsed]).map_err(|error| ContentFailure::LibraryApply { detail: error.to_string() })?;
    let missing = doc.get_missing_deps(&[]).len();
    if missing > 0 {
        return Err(ContentFailure::LibraryWaits { missing });
    }
    let saved = doc.save_nocompress();
    let loaded = Automerge::load(&saved);
    let loaded = loaded.map_err(|error| ContentFailure::LibraryReload { detail: error.to_string() })?;
    let is_head = |doc: &Automerge| matches!(&doc.get_heads()[..], [head] if head.0 == change.hash().0);
    if !is_head(doc) || !is_head(&loaded) {
        return Err(ContentFailure::LibraryHeads);
    }
    Ok(loaded.hydrate(None))
}

fn same_scalar(value: &Scalar, library: &ScalarValue) -> bool {
    match (value, library) {
        (Scalar::Null, ScalarValue::Null) => true,
        (Scalar::Bool(ours), ScalarValue::Boolean(theirs)) => ours == theirs,
        (Scalar::Int(ours), ScalarValue::Int(theirs)) => ours == theirs,
        (Scalar::Text(ours), ScalarValue::Str(theirs)) => ours.as_str() == theirs.as_str(),
        (Scalar::Bytes(ours), ScalarValue::Bytes(theirs)) => ours == theirs,
        (Scalar::Null | Scalar::Bool(_) | Scalar::Int(_) | Scalar::Text(_) | Scalar::Bytes(_), _) => false,
    }
}

/// True if the library reads the tree of a first change as we do. The tree is at most `DEPTH_MAX` deep.
fn same_tree(library: &hydrate::Value, tree: &Tree<'_>, number: usize) -> bool {
    let hydrate::Value::Map(map) = library else { return false };
    let mut ours = 0usize;
    let same = tree.map(number).all(|(name, leaf)| {
        ours += 1;
        match (leaf, map.get(name)) {
            (Leaf::Value(value), Some(hydrate::Value::Scalar(theirs))) => same_scalar(value, theirs),
            (Leaf::Map(number), Some(inner)) => same_tree(inner, tree, number),
            (Leaf::Value(_), _) | (Leaf::Map(_), None) => false,
        }
    });
    same && ours == map.iter().count()
}

/// Compares the library's values of a record with ours after a change.
fn same_values(
    library: &hydrate::Value,
    graph: &Graph,
    within: &Bits,
    written: &Written,
) -> Result<(), ContentFailure> {
    let mut ours: BTreeMap<&FieldPath, &Scalar> =
        graph.paths().filter_map(|path| Some((path, &graph.winner(path, within)?.value))).collect();
    ours.extend(written.puts.iter().map(|put| (&put.path, &put.value)));
    let mut left = ours.len();
    let mut matches = |path: &FieldPath, value: &hydrate::Value| match (ours.get(path), value) {
        (Some(value), hydrate::Value::Scalar(theirs)) => {
            left = left.saturating_sub(1);
            same_scalar(value, theirs)
        }
        (Some(_) | None, _) => false,
    };
    let fields = children(library, key::FIELDS).ok_or(ContentFailure::LibraryView)?;
    let mut same = fields.iter().all(|(name, value)| matches(&FieldPath::Field(name.clone()), &value.value));
    let repeats = children(library, key::REPEATS).ok_or(ContentFailure::LibraryView)?;
    for (repeat, rows) in repeats.iter() {
        let hydrate::Value::Map(rows) = &rows.value else { return Err(ContentFailure::LibraryView) };
        for (row, cells) in rows.iter() {
            let (Some(row), hydrate::Value::Map(cells)) = (RowKey::parse(row), &cells.value) else {
                return Err(ContentFailure::LibraryView);
            };
            // Two writers drew one key: Automerge shows one of the two maps, we show the cells of both.
            if graph.row(repeat, row, within).count() > 1 {
                return Ok(());
            }
            for (name, value) in cells.iter() {
                let path = FieldPath::Row { repeat: repeat.clone(), row, name: name.clone() };
                same &= matches(&path, &value.value);
            }
        }
    }
    if same && left == 0 { Ok(()) } else { Err(ContentFailure::LibraryView) }
}

fn children<'a>(value: &'a hydrate::Value, name: &str) -> Option<&'a hydrate::Map> {
    let hydrate::Value::Map(map) = value else { return None };
    match map.get(name) {
        Some(hydrate::Value::Map(inner)) => Some(inner),
        Some(_) | None => None,
    }
}
