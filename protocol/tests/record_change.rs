//! A change's bytes: what Automerge writes is read the same way, and no damage gets through.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use automerge::transaction::{CommitOptions, Transactable};
use automerge::{ActorId, Author, Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue};
use proptest::prelude::*;
use qianmo_protocol::change::{ChangeError, OpAction, OpsError, RawChange, Scalar};
use qianmo_protocol::ids::ChangeHash;
use qianmo_protocol::limits::{CHANGE_BYTES_MAX, CHANGE_OPS_MAX};
use sha2::{Digest, Sha256};

fn actor(n: u8) -> ActorId {
    ActorId::from(&[n; 16][..])
}

/// A chunk around any content, with the right checksum.
fn chunk(content: &[u8]) -> Vec<u8> {
    let mut tail = vec![1u8];
    let mut len = content.len();
    loop {
        let low = u8::try_from(len & 0x7f).unwrap();
        len >>= 7;
        tail.push(if len == 0 { low } else { low | 0x80 });
        if len == 0 {
            break;
        }
    }
    tail.extend_from_slice(content);
    let hash = Sha256::digest(&tail);
    [&[0x85, 0x6f, 0x4a, 0x83][..], &hash[..4], &tail].concat()
}

#[derive(Debug, Clone)]
enum Step {
    Put(u8, u8, i64),
    Text(u8, String),
    Map(u8),
    List(u8),
    Delete(u8),
    Merge(u8, u8),
}

fn steps() -> impl Strategy<Value = Vec<(u8, Step)>> {
    let step = prop_oneof![
        (any::<u8>(), 0..7u8, any::<i64>()).prop_map(|(k, t, v)| Step::Put(k % 5, t, v)),
        (any::<u8>(), ".{0,40}").prop_map(|(k, s)| Step::Text(k % 5, s)),
        any::<u8>().prop_map(|k| Step::Map(k % 5)),
        any::<u8>().prop_map(|k| Step::List(k % 5)),
        any::<u8>().prop_map(|k| Step::Delete(k % 5)),
        (0..3u8, 0..3u8).prop_map(|(a, b)| Step::Merge(a, b)),
    ];
    proptest::collection::vec((0..3u8, step), 1..30)
}

fn value(kind: u8, n: i64) -> ScalarValue {
    match kind {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(n % 2 == 0),
        2 => ScalarValue::Int(n),
        3 => ScalarValue::Uint(n.unsigned_abs()),
        4 => ScalarValue::F64(n as f64),
        5 => ScalarValue::Counter(n.into()),
        _ => ScalarValue::Bytes(n.to_be_bytes().to_vec()),
    }
}

fn run(steps: &[(u8, Step)]) -> Vec<Change> {
    let mut docs: Vec<Automerge> = (0..3u8)
        .map(|n| {
            let mut doc = Automerge::new();
            doc.set_author(Some(Author::from(format!("P0{n}").into_bytes())));
            doc.set_actor(actor(n));
            doc
        })
        .collect();
    for (writer, step) in steps {
        let index = usize::from(*writer);
        if let Step::Merge(a, b) = step {
            let mut other = docs[usize::from(*b)].clone();
            docs[usize::from(*a)].merge(&mut other).unwrap();
            continue;
        }
        let mut tx = docs[index].transaction();
        match step {
            Step::Put(k, t, n) => tx.put(ROOT, format!("k{k}"), value(*t, *n)).unwrap(),
            Step::Text(k, s) => tx.put(ROOT, format!("k{k}"), s.as_str()).unwrap(),
            Step::Map(k) => {
                let map = tx.put_object(ROOT, format!("k{k}"), ObjType::Map).unwrap();
                tx.put(&map, "inner", 7).unwrap();
            }
            Step::List(k) => {
                let list = tx.put_object(ROOT, format!("k{k}"), ObjType::List).unwrap();
                tx.insert(&list, 0, "first").unwrap();
                tx.insert(&list, 0, "before").unwrap();
            }
            Step::Delete(k) => {
                if tx.get(ROOT, format!("k{k}")).unwrap().is_some() {
                    tx.delete(ROOT, format!("k{k}")).unwrap();
                }
            }
            Step::Merge(..) => {}
        }
        let message = if writer % 2 == 0 { "note" } else { "" };
        tx.commit_with(CommitOptions::default().with_time(-5 + i64::from(*writer)).with_message(message));
    }
    docs.iter().flat_map(|doc| doc.get_changes(&[])).collect()
}

/// Our operations must be Automerge's, wherever all of them are ones we take.
fn same_ops(raw: &RawChange, change: &Change) {
    let Ok(ours) = raw.ops() else { return };
    let theirs = change.decode().operations;
    assert_eq!(ours.len(), theirs.len());
    for (mine, other) in ours.iter().zip(&theirs) {
        assert_eq!(automerge::legacy::Key::Map(mine.key.as_str().into()), other.key);
        assert_eq!(mine.predecessors.len(), other.pred.len());
        for (a, b) in mine.predecessors.iter().zip(other.pred.iter()) {
            assert_eq!((a.counter, &a.actor.0[..]), (b.counter(), b.actor().to_bytes()));
        }
        let value = match &mine.action {
            OpAction::MakeMap => None,
            OpAction::Put(value) => Some(match value {
                Scalar::Null => ScalarValue::Null,
                Scalar::Bool(value) => ScalarValue::Boolean(*value),
                Scalar::Int(value) => ScalarValue::Int(*value),
                Scalar::Text(text) => ScalarValue::Str(text.as_str().into()),
                Scalar::Bytes(bytes) => ScalarValue::Bytes(bytes.clone()),
            }),
        };
        assert_eq!(value, other.primitive_value());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn prop_head_of_any_change_is_what_automerge_reads(steps in steps()) {
        for change in run(&steps) {
            let raw = RawChange::parse(change.raw_bytes()).unwrap();
            let head = raw.head();
            prop_assert_eq!(raw.hash().0, change.hash().0);
            prop_assert_eq!(&head.deps, &change.deps().iter().map(|dep| ChangeHash(dep.0)).collect::<Vec<_>>());
            prop_assert_eq!(&head.actor.0[..], change.actor_id().to_bytes());
            prop_assert_eq!(head.seq, change.seq());
            prop_assert_eq!(head.start_op, change.start_op().get());
            prop_assert_eq!(head.time, change.timestamp());
            prop_assert_eq!(head.message.as_deref(), change.message().filter(|message| !message.is_empty()));
            prop_assert_eq!(head.author().map(|code| code.as_str().as_bytes().to_vec()),
                change.author().map(|author| author.as_bytes().to_vec()));
            let again = RawChange::from_content(raw.content()).unwrap();
            prop_assert_eq!(again.bytes(), change.raw_bytes());
            same_ops(&raw, &change);
        }
    }

    #[test]
    fn prop_any_content_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(raw) = RawChange::from_content(&content) {
            prop_assert_eq!(raw.content(), &content[..]);
            raw.ops().ok();
        }
    }
}

fn honest() -> Vec<u8> {
    let mut doc = Automerge::new();
    doc.set_author(Some(Author::from(&b"P01"[..])));
    doc.set_actor(actor(7));
    let mut tx = doc.transaction();
    let map = tx.put_object(ROOT, "d", ObjType::Map).unwrap();
    tx.put(&map, "crop", "苹果").unwrap();
    tx.put(&map, "area", 12).unwrap();
    tx.commit_with(CommitOptions::default().with_time(1_750_000_000_000).with_message("m"));
    doc.get_last_local_change().unwrap().raw_bytes().to_vec()
}

#[test]
fn truncated_chunk_is_refused_at_every_length() {
    let bytes = honest();
    RawChange::parse(&bytes).unwrap().ops().unwrap();
    for len in 0..bytes.len() {
        assert!(RawChange::parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    assert!(matches!(RawChange::parse(&[bytes, vec![0]].concat()), Err(ChangeError::Length { .. })));
}

#[test]
fn chunk_with_any_bit_flipped_is_refused() {
    let bytes = honest();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            assert!(RawChange::parse(&flipped).is_err(), "byte {at} bit {bit}");
        }
    }
}

#[test]
fn content_with_any_bit_flipped_never_panics() {
    let bytes = honest();
    let content = RawChange::parse(&bytes).unwrap().content().to_vec();
    for at in 0..content.len() {
        for bit in 0..8 {
            let mut flipped = content.clone();
            flipped[at] ^= 1 << bit;
            if let Ok(raw) = RawChange::parse(&chunk(&flipped)) {
                raw.ops().ok();
            }
        }
    }
}

#[test]
fn compressed_and_document_chunks_are_refused() {
    let mut doc = Automerge::new();
    doc.set_actor(actor(1));
    let mut tx = doc.transaction();
    tx.put(ROOT, "long", "word ".repeat(200)).unwrap();
    tx.commit();
    let mut change = doc.get_last_local_change().unwrap();
    assert!(matches!(RawChange::parse(&change.bytes()), Err(ChangeError::ChunkType { found: 2 })));
    assert!(matches!(RawChange::parse(&doc.save()), Err(ChangeError::ChunkType { found: 0 })));
}

#[test]
fn change_over_the_limit_is_refused_before_it_is_read() {
    let long = vec![0u8; CHANGE_BYTES_MAX + 1];
    assert!(matches!(RawChange::parse(&long), Err(ChangeError::TooLong { .. })));
    assert!(matches!(RawChange::from_content(&long[1..]), Err(ChangeError::TooLong { .. })));
}

/// Thirty bytes that state 2^40 operations: Automerge's own reader would walk them one by one.
#[test]
fn run_length_bomb_is_refused_without_walking_it() {
    let mut content = vec![0u8, 16];
    content.extend_from_slice(&[9; 16]);
    content.extend_from_slice(&[1, 1, 0, 0, 0]); // seq, start_op, time, no message, no other actors
    let run = [0x80u8, 0x80, 0x80, 0x80, 0x80, 0x20, 1]; // 2^40 × "set"
    content.extend_from_slice(&[1, 0x42, u8::try_from(run.len()).unwrap()]);
    content.extend_from_slice(&run);
    let raw = RawChange::parse(&chunk(&content)).unwrap();
    assert_eq!(raw.ops(), Err(OpsError::TooMany { max: CHANGE_OPS_MAX }));
}
