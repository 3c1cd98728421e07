//! Writing a record: the first change, edits and resolves.
//!
//! A change is authored at the version its writer was looking at: Automerge is given exactly the history of that version,
//! so a value that arrived meanwhile becomes a conflict instead of being overwritten. Each change is checked by the gate's
//! own rules before it is handed out, so an honest device never meets them later.
//!
//! What Automerge would do on its own and must not: `new` draws a random actor and `set_author` draws another, so the given
//! actor is set after the author; putting the value that stands in a conflict *deletes* the others, so equal values are
//! never put.
//!
//! # Failure
//!
//! [`AuthorError`] says what to change; nothing has been written then.

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{
    ActorId as LibraryActor, Author, Automerge, AutomergeError, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
};

use crate::change::{ActorId, ChangeError, RawChange, Scalar};
use crate::gate::{ContentFailure, rules};
use crate::ids::ChangeHash;
use crate::limits::{CHANGE_DEPS_MAX, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::record::bits::Bits;
use crate::record::conflict::conflict_at;
use crate::record::document::Document;
use crate::record::graph::Graph;
use crate::record::root::{KIND_RECORD, key};
use crate::record::{
    FieldEdit, FieldPath, Origin, REMOVED, RecordRoot, Repeats, ResolveList, ResolveListError, RowKey, shape,
};

/// A change ready to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthoredChange {
    /// The change.
    pub change: RawChange,
}

/// How one conflict is settled: the value that stands from now on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// Where.
    pub path: FieldPath,
    /// The value: one of the candidates, or a new one. For a cell of a removed row the cell's own value keeps the row
    /// removed; to bring the row back, put `removed: false` with an edit.
    pub keep: Scalar,
}

/// Why a change was not authored, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorError {
    /// A name that cannot be a key.
    #[error("the name of {have} bytes under '{place}' is not allowed: use 1 to {max} bytes without control characters")]
    Name {
        /// What it names.
        place: &'static str,
        /// Its bytes.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// A value longer than allowed.
    #[error("the value at {path} has {have} bytes, at most {max} are allowed: shorten it or attach it as a file")]
    Value {
        /// Where.
        path: FieldPath,
        /// Its bytes.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// A removal mark that is not yes or no.
    #[error("'{}' is the mark of a removed row and holds only true or false: use another name", REMOVED)]
    RemovalMark,
    /// A repeat that the first change did not make.
    #[error("the record has no repeat '{repeat}'")]
    UnknownRepeat {
        /// Its name.
        repeat: String,
    },
    /// A row that is not in the version looked at.
    #[error("row {row} of '{repeat}' is not in the version this edit was made against")]
    UnknownRow {
        /// The repeat's name.
        repeat: String,
        /// The row.
        row: RowKey,
    },
    /// A row key that is taken.
    #[error("row {row} of '{repeat}' exists: draw another random key")]
    RowExists {
        /// The repeat's name.
        repeat: String,
        /// The row.
        row: RowKey,
    },
    /// Two values for one path in one change.
    #[error("{path} is written twice in one change: keep one value")]
    WrittenTwice {
        /// Where.
        path: FieldPath,
    },
    /// A version that names an unknown change.
    #[error("the version names change {missing}, which is not here: read the record again")]
    UnknownVersion {
        /// The change.
        missing: ChangeHash,
    },
    /// An actor that has written outside the version looked at.
    #[error("the actor has a change outside the version this edit was made against: draw a fresh actor")]
    ActorElsewhere,
    /// An actor of another person.
    #[error("the actor belongs to another person: draw a fresh actor for this one")]
    ActorOfAnother,
    /// A path without a conflict.
    #[error("{path} has no conflict in the version looked at: read the record again")]
    NoConflict {
        /// Where.
        path: FieldPath,
    },
    /// A list of settled fields that is too long.
    #[error("the list of settled fields cannot be written")]
    List(#[from] ResolveListError),
    /// A change that is too large.
    #[error("the change is too large: save fewer fields at once")]
    Size(#[from] ChangeError),
    /// A change that the gate would hold: the document is full, or the form asks for something a record cannot be.
    #[error("the change would be held by every gate")]
    WouldBeHeld(#[source] Box<ContentFailure>),
    /// The library refused.
    #[error("the library refused: {detail}")]
    Library {
        /// Its words.
        detail: String,
    },
}

impl From<AutomergeError> for AuthorError {
    fn from(error: AutomergeError) -> Self {
        Self::Library { detail: error.to_string() }
    }
}

/// Authors the first change of a record. Repeats without rows are named all the same, because later changes cannot.
///
/// # Errors
/// [`AuthorError`] when a name or value is not allowed or the change is too large.
pub fn create(
    origin: &Origin,
    root: &RecordRoot,
    fields: &BTreeMap<String, Scalar>,
    repeats: &Repeats,
) -> Result<AuthoredChange, AuthorError> {
    check_cells(fields, FieldPath::Field, key::FIELDS)?;
    let mut doc = library_document(origin, &[])?;
    let mut tx = doc.transaction();
    tx.put(ROOT, key::KIND, KIND_RECORD)?;
    tx.put(ROOT, key::FORM, root.form.as_str())?;
    tx.put(ROOT, key::FORM_VERSION, i64::from(root.form_version))?;
    match &root.station {
        Some(station) => tx.put(ROOT, key::STATION, station.as_str())?,
        None => tx.put(ROOT, key::STATION, ())?,
    }
    tx.put(ROOT, key::LOGBOOK, root.logbook.0.to_vec())?;
    tx.put(ROOT, key::AUTHOR, root.author.as_str())?;
    tx.put(ROOT, key::CREATED_AT, root.created_at.0)?;
    let map = tx.put_object(ROOT, key::FIELDS, ObjType::Map)?;
    put_cells(&mut tx, &map, fields)?;
    let map = tx.put_object(ROOT, key::REPEATS, ObjType::Map)?;
    for (repeat, rows) in repeats {
        check_name(repeat, key::REPEATS)?;
        let rows_map = tx.put_object(&map, repeat.as_str(), ObjType::Map)?;
        for (row, cells) in rows {
            check_row(repeat, *row, cells)?;
            let row_map = tx.put_object(&rows_map, row.to_string(), ObjType::Map)?;
            put_cells(&mut tx, &row_map, cells)?;
        }
    }
    tx.commit_with(CommitOptions::default().with_time(origin.time.0));
    let change = last_change(&doc)?;
    rules::root(&change).map_err(would_be_held)?;
    Ok(AuthoredChange { change })
}

/// Authors a change of values at the version its writer was looking at. `None` if every value stands there already.
///
/// # Errors
/// [`AuthorError`] when an edit is not possible; nothing is written then.
pub fn edit(
    document: &Document,
    base: &[ChangeHash],
    origin: &Origin,
    edits: &[FieldEdit],
) -> Result<Option<AuthoredChange>, AuthorError> {
    let within = base_of(document.graph(), base, origin)?;
    let plan = Plan::new(document.graph(), &within, edits)?;
    if plan.puts.is_empty() && plan.rows.is_empty() {
        return Ok(None);
    }
    write(document.graph(), &within, origin, &plan, None).map(Some)
}

/// Authors a resolve at the version its writer was looking at: it settles exactly what that person saw, and touches
/// nothing else. Keeping the value that stands writes no operation, only the decision (A9).
///
/// # Errors
/// [`AuthorError::NoConflict`] when a path has none there; else as for [`edit`].
pub fn resolve(
    document: &Document,
    base: &[ChangeHash],
    origin: &Origin,
    resolutions: &[Resolution],
) -> Result<AuthoredChange, AuthorError> {
    let graph = document.graph();
    let within = base_of(graph, base, origin)?;
    let mut list = ResolveList::default();
    let mut edits = Vec::new();
    for Resolution { path, keep } in resolutions {
        let conflict =
            conflict_at(graph, path, &within).ok_or_else(|| AuthorError::NoConflict { path: path.clone() })?;
        let seen: BTreeSet<ChangeHash> = conflict.candidates.iter().map(|candidate| candidate.change).collect();
        if list.0.insert(path.clone(), seen).is_some() {
            return Err(AuthorError::WrittenTwice { path: path.clone() });
        }
        edits.push(FieldEdit::Set(path.clone(), keep.clone()));
    }
    let message = list.encode()?;
    let plan = Plan::new(graph, &within, &edits)?;
    write(graph, &within, origin, &plan, Some(message))
}

/// What a change will write: only what differs from what stands.
struct Plan<'a> {
    puts: BTreeMap<FieldPath, &'a Scalar>,
    rows: BTreeMap<(String, RowKey), &'a BTreeMap<String, Scalar>>,
}

impl<'a> Plan<'a> {
    fn new(graph: &Graph, within: &Bits, edits: &'a [FieldEdit]) -> Result<Self, AuthorError> {
        const GONE: &Scalar = &Scalar::Bool(true);
        let mut wanted: BTreeMap<FieldPath, &Scalar> = BTreeMap::new();
        let mut rows = BTreeMap::new();
        let mut want = |path: FieldPath, value: &'a Scalar| match wanted.insert(path.clone(), value) {
            Some(other) if other != value => Err(AuthorError::WrittenTwice { path }),
            Some(_) | None => Ok(()),
        };
        for edit in edits {
            match edit {
                FieldEdit::Set(path, value) => want(path.clone(), value)?,
                FieldEdit::RemoveRow { repeat, row } => {
                    let path = FieldPath::Row { repeat: repeat.clone(), row: *row, name: REMOVED.to_owned() };
                    want(path, GONE)?;
                }
                FieldEdit::AddRow { repeat, row, cells } => {
                    let known = graph.row(repeat, *row, within).next().is_some();
                    if known || rows.insert((repeat.clone(), *row), cells).is_some() {
                        return Err(AuthorError::RowExists { repeat: repeat.clone(), row: *row });
                    }
                    check_row(repeat, *row, cells)?;
                }
            }
        }
        let mut puts = BTreeMap::new();
        for (path, value) in wanted {
            match &path {
                FieldPath::Field(name) => check_cell(&path, name, value, key::FIELDS)?,
                FieldPath::Row { repeat, row, name } => {
                    if graph.row(repeat, *row, within).next().is_none() {
                        return Err(AuthorError::UnknownRow { repeat: repeat.clone(), row: *row });
                    }
                    check_cell(&path, name, value, key::REPEATS)?;
                    if !shape::cell_is_allowed(name, value) {
                        return Err(AuthorError::RemovalMark);
                    }
                }
            }
            if graph.winner(&path, within).is_none_or(|put| put.value != *value) {
                puts.insert(path, value);
            }
        }
        Ok(Self { puts, rows })
    }
}

/// Runs a plan through Automerge and checks the result by the gate's rules.
fn write(
    graph: &Graph,
    within: &Bits,
    origin: &Origin,
    plan: &Plan<'_>,
    message: Option<String>,
) -> Result<AuthoredChange, AuthorError> {
    let nodes = within.iter().filter_map(|number| graph.node(number));
    let history: Vec<&RawChange> = nodes.map(|node| &node.change).collect();
    let mut doc = library_document(origin, &history)?;
    let options = CommitOptions::default().with_time(origin.time.0);
    let options = match message {
        Some(message) => options.with_message(message),
        None => options,
    };
    if plan.puts.is_empty() && plan.rows.is_empty() {
        doc.empty_commit(options);
    } else {
        let mut tx = doc.transaction();
        let fields = map_at(&tx, &ROOT, key::FIELDS)?;
        let repeats = map_at(&tx, &ROOT, key::REPEATS)?;
        for ((repeat, row), cells) in &plan.rows {
            let rows =
                map_at(&tx, &repeats, repeat).map_err(|_| AuthorError::UnknownRepeat { repeat: repeat.clone() })?;
            let map = tx.put_object(&rows, row.to_string(), ObjType::Map)?;
            put_cells(&mut tx, &map, cells)?;
        }
        for (path, value) in &plan.puts {
            match path {
                FieldPath::Field(name) => tx.put(&fields, name.as_str(), library_value(value))?,
                FieldPath::Row { repeat, row, name } => {
                    let rows = map_at(&tx, &repeats, repeat)?;
                    let cells = map_at(&tx, &rows, &row.to_string())?;
                    tx.put(&cells, name.as_str(), library_value(value))?;
                }
            }
        }
        tx.commit_with(options);
    }
    let change = last_change(&doc)?;
    rules::later(graph, &change, within).map_err(would_be_held)?;
    Ok(AuthoredChange { change })
}

/// The history a change is authored on: that of the base, or of as many of its heads as a change may name.
fn base_of(graph: &Graph, base: &[ChangeHash], origin: &Origin) -> Result<Bits, AuthorError> {
    let within = graph.closure(base).map_err(|missing| AuthorError::UnknownVersion { missing })?;
    if within.count() == 0 {
        return Err(AuthorError::WouldBeHeld(Box::new(ContentFailure::Empty)));
    }
    let own: Vec<(u64, usize)> = graph.actor(&origin.actor).collect();
    if own.iter().any(|(_, node)| !within.contains(*node)) {
        return Err(AuthorError::ActorElsewhere);
    }
    if !own.is_empty() && graph.person(&origin.actor, &within) != Some(&origin.person) {
        return Err(AuthorError::ActorOfAnother);
    }
    let mut heads = graph.heads(&within);
    // Automerge also names the actor's last change, so one place is left for it.
    if heads.len() < CHANGE_DEPS_MAX {
        return Ok(within);
    }
    let last = own.last().map(|(_, node)| *node);
    let holds_last = |hash: &ChangeHash| {
        let number = graph.number(hash);
        last.is_some_and(|last| number == Some(last) || number.is_some_and(|number| graph.is_before(last, number)))
    };
    heads.sort_by_key(|hash| (!holds_last(hash), *hash));
    heads.truncate(CHANGE_DEPS_MAX - 1);
    graph.closure(&heads).map_err(|missing| AuthorError::UnknownVersion { missing })
}

/// An Automerge document with some history, which writes as the given actor for the given person.
pub(crate) fn library_document(origin: &Origin, history: &[&RawChange]) -> Result<Automerge, AuthorError> {
    let parse = |change: &&RawChange| automerge::Change::try_from(change.bytes());
    let history: Result<Vec<automerge::Change>, _> = history.iter().map(parse).collect();
    let history = history.map_err(|error| AuthorError::Library { detail: error.to_string() })?;
    let mut doc = Automerge::new();
    doc.apply_changes(history)?;
    doc.set_author(Some(Author::from(origin.person.as_str().as_bytes().to_vec())));
    doc.set_actor(library_actor(&origin.actor));
    Ok(doc)
}

fn library_actor(actor: &ActorId) -> LibraryActor {
    LibraryActor::from(&actor.0[..])
}

pub(crate) fn library_value(value: &Scalar) -> ScalarValue {
    match value {
        Scalar::Null => ScalarValue::Null,
        Scalar::Bool(value) => ScalarValue::Boolean(*value),
        Scalar::Int(value) => ScalarValue::Int(*value),
        Scalar::Text(text) => ScalarValue::Str(text.as_str().into()),
        Scalar::Bytes(bytes) => ScalarValue::Bytes(bytes.clone()),
    }
}

pub(crate) fn last_change(doc: &Automerge) -> Result<RawChange, AuthorError> {
    let change = doc.get_last_local_change();
    let change = change.ok_or_else(|| AuthorError::Library { detail: "no change was made".to_owned() })?;
    Ok(RawChange::parse(change.raw_bytes())?)
}

fn map_at(tx: &Transaction<'_>, parent: &ObjId, name: &str) -> Result<ObjId, AuthorError> {
    match tx.get(parent, name)? {
        Some((automerge::Value::Object(ObjType::Map), map)) => Ok(map),
        Some(_) | None => Err(AuthorError::Library { detail: "a container of the record is not there".to_owned() }),
    }
}

fn put_cells(tx: &mut Transaction<'_>, map: &ObjId, cells: &BTreeMap<String, Scalar>) -> Result<(), AuthorError> {
    cells.iter().try_for_each(|(name, value)| Ok(tx.put(map, name.as_str(), library_value(value))?))
}

fn check_name(name: &str, place: &'static str) -> Result<(), AuthorError> {
    if shape::name_is_allowed(name) {
        return Ok(());
    }
    Err(AuthorError::Name { place, have: name.len(), max: KEY_BYTES_MAX })
}

fn check_cell(path: &FieldPath, name: &str, value: &Scalar, place: &'static str) -> Result<(), AuthorError> {
    check_name(name, place)?;
    if shape::value_is_allowed(value) {
        return Ok(());
    }
    Err(AuthorError::Value { path: path.clone(), have: value.len(), max: VALUE_BYTES_MAX })
}

fn check_cells(
    cells: &BTreeMap<String, Scalar>,
    path: impl Fn(String) -> FieldPath,
    place: &'static str,
) -> Result<(), AuthorError> {
    cells.iter().try_for_each(|(name, value)| check_cell(&path(name.clone()), name, value, place))
}

fn check_row(repeat: &str, row: RowKey, cells: &BTreeMap<String, Scalar>) -> Result<(), AuthorError> {
    check_cells(cells, |name| FieldPath::Row { repeat: repeat.to_owned(), row, name }, key::REPEATS)?;
    if cells.iter().all(|(name, value)| shape::cell_is_allowed(name, value)) {
        return Ok(());
    }
    Err(AuthorError::RemovalMark)
}

pub(crate) fn would_be_held(failure: ContentFailure) -> AuthorError {
    AuthorError::WouldBeHeld(Box::new(failure))
}
