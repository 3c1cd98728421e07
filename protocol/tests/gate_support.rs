//! A writer of changes that no honest library would write: columns by hand.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure, and each test uses a part"
)]

use qianmo_protocol::change::{ObjectId, OpAction, OpId, RawChange, Scalar};
use qianmo_protocol::ids::ChangeHash;

/// An operation as the columns say it: actors are numbers into own + others.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) object: Option<(u64, u64)>,
    pub(crate) key: String,
    pub(crate) insert: bool,
    pub(crate) action: u64,
    /// Type in the low four bits; the length is added.
    pub(crate) kind: u64,
    pub(crate) value: Vec<u8>,
    pub(crate) preds: Vec<(u64, u64)>,
}

impl Row {
    pub(crate) fn put(object: Option<(u64, u64)>, key: &str, value: &str, preds: &[(u64, u64)]) -> Self {
        let (kind, value) = (6, value.as_bytes().to_vec());
        Self { object, key: key.to_owned(), insert: false, action: 1, kind, value, preds: preds.to_vec() }
    }

    pub(crate) fn map(object: Option<(u64, u64)>, key: &str) -> Self {
        Self { action: 0, kind: 0, value: Vec::new(), ..Self::put(object, key, "", &[]) }
    }
}

/// A change as its head and columns say it.
#[derive(Debug, Clone)]
pub(crate) struct Forged {
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) actor: [u8; 16],
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) message: String,
    pub(crate) others: Vec<[u8; 16]>,
    pub(crate) rows: Vec<Row>,
    pub(crate) footer: Vec<u8>,
}

pub(crate) fn footer(person: &str) -> Vec<u8> {
    [&[1, u8::try_from(person.len()).unwrap()][..], person.as_bytes()].concat()
}

impl Forged {
    /// A change that says exactly what an honest one says.
    pub(crate) fn from(change: &RawChange) -> Self {
        let head = change.head();
        let number = |id: &OpId| {
            let other = head.other_actors.iter().position(|actor| *actor == id.actor);
            (other.map_or(0, |at| u64::try_from(at + 1).unwrap()), id.counter)
        };
        let rows = change.ops().unwrap().iter().map(|op| {
            let (action, kind, value) = match &op.action {
                OpAction::MakeMap => (0, 0, Vec::new()),
                OpAction::Put(Scalar::Null) => (1, 0, Vec::new()),
                OpAction::Put(Scalar::Bool(value)) => (1, 1 + u64::from(*value), Vec::new()),
                OpAction::Put(Scalar::Int(value)) => (1, 4, ileb(*value)),
                OpAction::Put(Scalar::Text(text)) => (1, 6, text.as_bytes().to_vec()),
                OpAction::Put(Scalar::Bytes(bytes)) => (1, 7, bytes.clone()),
            };
            let object = match &op.object {
                ObjectId::Root => None,
                ObjectId::Made(id) => Some(number(id)),
            };
            let preds = op.predecessors.iter().map(number).collect();
            Row { object, key: op.key.clone(), insert: false, action, kind, value, preds }
        });
        Self {
            deps: head.deps.clone(),
            actor: head.actor.0,
            seq: head.seq,
            start_op: head.start_op,
            message: head.message.clone().unwrap_or_default(),
            others: head.other_actors.iter().map(|actor| actor.0).collect(),
            rows: rows.collect(),
            footer: head.author().map_or_else(Vec::new, |person| footer(person.as_str())),
        }
    }

    pub(crate) fn content(&self) -> Vec<u8> {
        let mut out = uleb(len(&self.deps));
        self.deps.iter().for_each(|dep| out.extend_from_slice(&dep.0));
        out.push(16);
        out.extend_from_slice(&self.actor);
        out.extend(uleb(self.seq));
        out.extend(uleb(self.start_op));
        out.push(0);
        out.extend(uleb(len(self.message.as_bytes())));
        out.extend_from_slice(self.message.as_bytes());
        out.extend(uleb(len(&self.others)));
        for other in &self.others {
            out.push(16);
            out.extend_from_slice(other);
        }
        let columns: Vec<(u64, Vec<u8>)> = self.columns().into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
        out.extend(uleb(len(&columns)));
        for (spec, bytes) in &columns {
            out.extend(uleb(*spec));
            out.extend(uleb(len(bytes)));
        }
        columns.iter().for_each(|(_, bytes)| out.extend_from_slice(bytes));
        out.extend_from_slice(&self.footer);
        out
    }

    pub(crate) fn change(&self) -> RawChange {
        RawChange::from_content(&self.content()).unwrap()
    }

    fn columns(&self) -> Vec<(u64, Vec<u8>)> {
        let rows = &self.rows;
        let objects = rows.iter().map(|row| row.object);
        let any_object = objects.clone().any(|object| object.is_some());
        let object = |pick: fn((u64, u64)) -> u64| {
            if any_object { run(objects.clone().map(|id| id.map(|id| uleb(pick(id))))) } else { Vec::new() }
        };
        let mut insert = Vec::new();
        let (mut last, mut count) = (false, 0u64);
        for row in rows {
            if row.insert != last {
                insert.extend(uleb(count));
                (last, count) = (row.insert, 0);
            }
            count += 1;
        }
        if !rows.is_empty() {
            insert.extend(uleb(count));
        }
        let kind = |row: &Row| {
            let bare = matches!(row.kind, 0..=2);
            uleb(row.kind | if bare { 0 } else { len(&row.value) << 4 })
        };
        let key = |row: &Row| [uleb(len(row.key.as_bytes())), row.key.as_bytes().to_vec()].concat();
        let preds: Vec<(u64, u64)> = rows.iter().flat_map(|row| row.preds.iter().copied()).collect();
        let mut before = 0i64;
        let deltas: Vec<Vec<u8>> = preds
            .iter()
            .map(|(_, counter)| {
                let counter = i64::try_from(*counter).unwrap();
                let delta = counter - before;
                before = counter;
                ileb(delta)
            })
            .collect();
        vec![
            (0x01, object(|id| id.0)),
            (0x02, object(|id| id.1)),
            (0x15, run(rows.iter().map(|row| Some(key(row))))),
            (0x34, insert),
            (0x42, run(rows.iter().map(|row| Some(uleb(row.action))))),
            (0x56, run(rows.iter().map(|row| Some(kind(row))))),
            (0x57, rows.iter().flat_map(|row| row.value.clone()).collect()),
            (0x70, run(rows.iter().map(|row| Some(uleb(len(&row.preds)))))),
            (0x71, run(preds.iter().map(|(actor, _)| Some(uleb(*actor))))),
            (0x73, run(deltas.into_iter().map(Some))),
        ]
    }
}

fn len<T>(items: &[T]) -> u64 {
    u64::try_from(items.len()).unwrap()
}

pub(crate) fn uleb(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if value == 0 {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

pub(crate) fn ileb(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let low = u8::try_from(value & 0x7f).unwrap();
        value >>= 7;
        if (value == 0 && low & 0x40 == 0) || (value == -1 && low & 0x40 != 0) {
            out.push(low);
            return out;
        }
        out.push(low | 0x80);
    }
}

/// Run-length encodes as Automerge does: repeats of two or more, literals, nulls.
fn run(values: impl Iterator<Item = Option<Vec<u8>>>) -> Vec<u8> {
    let values: Vec<Option<Vec<u8>>> = values.collect();
    let mut out = Vec::new();
    let mut at = 0;
    let same = |at: usize| values[at..].iter().take_while(|value| **value == values[at]).count();
    while at < values.len() {
        let repeated = same(at);
        match &values[at] {
            None => {
                out.push(0);
                out.extend(uleb(u64::try_from(repeated).unwrap()));
                at += repeated;
            }
            Some(value) if repeated > 1 => {
                out.extend(ileb(i64::try_from(repeated).unwrap()));
                out.extend_from_slice(value);
                at += repeated;
            }
            Some(_) => {
                let mut end = at + 1;
                while end < values.len() && values[end].is_some() && same(end) == 1 {
                    end += 1;
                }
                out.extend(ileb(-i64::try_from(end - at).unwrap()));
                values[at..end].iter().flatten().for_each(|value| out.extend_from_slice(value));
                at = end;
            }
        }
    }
    out
}
