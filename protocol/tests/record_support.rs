//! What the tests of records and the gate share: people, records, and writers who meet now and then.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure, and each test uses a part"
)]

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::gate::Place;
use qianmo_protocol::ids::{ChangeHash, Code, LogbookId};
use qianmo_protocol::record::{
    Document, FieldEdit, FieldPath, Origin, RecordRoot, Repeats, Resolution, RowKey, create, edit, resolve,
};
use qianmo_protocol::time::UnixMillis;

pub(crate) const LOGBOOK: LogbookId = LogbookId([0x4c; 16]);

pub(crate) fn origin(actor: u8, person: &str, time: i64) -> Origin {
    Origin { actor: ActorId([actor; 16]), person: Code::new(person).unwrap(), time: UnixMillis(time) }
}

pub(crate) fn root() -> RecordRoot {
    RecordRoot {
        form: Code::new("visit").unwrap(),
        form_version: 3,
        station: Some(Code::new("ST01").unwrap()),
        logbook: LOGBOOK,
        author: Code::new("P01").unwrap(),
        created_at: UnixMillis(1_750_000_000_000),
    }
}

pub(crate) fn text(value: &str) -> Scalar {
    Scalar::Text(value.to_owned())
}

pub(crate) fn field(name: &str) -> FieldPath {
    FieldPath::Field(name.to_owned())
}

pub(crate) fn cell(row: RowKey, name: &str) -> FieldPath {
    FieldPath::Row { repeat: "plots".to_owned(), row, name: name.to_owned() }
}

pub(crate) const ROW: RowKey = RowKey([0x11; 8]);

/// A record with two fields, two repeats and one row.
pub(crate) fn first(actor: u8) -> RawChange {
    let fields = BTreeMap::from([("crop".to_owned(), text("苹果")), ("area".to_owned(), Scalar::Int(12))]);
    let row = BTreeMap::from([("pest".to_owned(), text("蚜虫"))]);
    let repeats: Repeats =
        BTreeMap::from([("plots".to_owned(), BTreeMap::from([(ROW, row)])), ("photos".to_owned(), BTreeMap::new())]);
    create(&origin(actor, "P01", 1_750_000_000_000), &root(), &fields, &repeats).unwrap().change
}

pub(crate) fn place(first: &RawChange) -> Place {
    Place { logbook: LOGBOOK, doc: first.doc_id_if_root().unwrap() }
}

/// The changes in a change's history, itself not counted.
pub(crate) fn closure(change: &RawChange, all: &[RawChange]) -> Vec<RawChange> {
    let by_hash: BTreeMap<ChangeHash, &RawChange> = all.iter().map(|change| (change.hash(), change)).collect();
    let mut seen = BTreeSet::new();
    let mut todo = change.head().deps.clone();
    while let Some(hash) = todo.pop() {
        if seen.insert(hash) {
            todo.extend(by_hash[&hash].head().deps.iter().copied());
        }
    }
    seen.iter().map(|hash| by_hash[hash].clone()).collect()
}

/// A person with a tablet: holds some changes, writes with one actor at a time.
#[derive(Clone)]
pub(crate) struct Tablet {
    pub(crate) doc: Document,
    pub(crate) person: String,
    pub(crate) actor: u8,
    pub(crate) clock: i64,
}

impl Tablet {
    pub(crate) fn new(first: &RawChange, actor: u8, person: &str) -> Self {
        let doc = Document::from_changes([first.clone()]).unwrap();
        Self { doc, person: person.to_owned(), actor, clock: i64::from(actor) }
    }

    pub(crate) fn origin(&mut self) -> Origin {
        self.clock += 1;
        origin(self.actor, &self.person, self.clock)
    }

    pub(crate) fn edit(&mut self, edits: &[FieldEdit]) -> Option<RawChange> {
        let base = self.doc.heads();
        let origin = self.origin();
        let change = edit(&self.doc, &base, &origin, edits).unwrap()?.change;
        self.doc.add(&change).unwrap();
        Some(change)
    }

    pub(crate) fn set(&mut self, path: FieldPath, value: Scalar) -> RawChange {
        self.edit(&[FieldEdit::Set(path, value)]).unwrap()
    }

    pub(crate) fn resolve(&mut self, path: FieldPath, keep: Scalar) -> RawChange {
        let base = self.doc.heads();
        let origin = self.origin();
        let change = resolve(&self.doc, &base, &origin, &[Resolution { path, keep }]).unwrap().change;
        self.doc.add(&change).unwrap();
        change
    }

    /// Takes everything that another holds.
    pub(crate) fn take(&mut self, other: &Document) {
        let changes: Vec<RawChange> = other.changes().cloned().collect();
        changes.iter().for_each(|change| self.doc.add(change).unwrap());
    }
}
