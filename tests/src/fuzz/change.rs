//! Changes as packs carry them: read without the library.

use qianmo_protocol::change::RawChange;
use qianmo_protocol::limits::{CHANGE_BYTES_MAX, CHANGE_DEPS_MAX, CHANGE_OPS_MAX};
use qianmo_protocol::record::ResolveList;

use super::session::with_world;

/// An even first byte: a whole chunk. An odd one: its content, checksum and length made anew.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let read = if kind % 2 == 0 { RawChange::parse(bytes) } else { RawChange::from_content(bytes) };
    match read {
        Ok(change) => looked_at(&change, if kind % 2 == 0 { change.bytes() } else { change.content() }, bytes),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

fn looked_at(change: &RawChange, kept: &[u8], given: &[u8]) {
    assert_eq!(kept, given, "kept otherwise than given");
    assert!(change.bytes().len() <= CHANGE_BYTES_MAX && change.head().deps.len() <= CHANGE_DEPS_MAX);
    let again = RawChange::parse(change.bytes()).unwrap();
    let content = RawChange::from_content(change.content()).unwrap();
    assert!(again == *change && content == *change && content.hash() == change.hash());
    assert_eq!(content.bytes(), change.bytes());
    assert_eq!(change.doc_id_if_root().is_some(), change.head().deps.is_empty());
    match change.ops() {
        Ok(ops) => {
            assert!(ops.len() <= CHANGE_OPS_MAX);
            assert_eq!(Ok(ops), again.ops());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Some(message) = &change.head().message
        && let Ok(list) = ResolveList::decode(message)
    {
        assert_eq!(list.encode().as_ref(), Ok(message), "a list is written in one way");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_world(|world| {
        let chunks = world.changes.iter().map(|change| [&[0], change.bytes()].concat());
        let contents = world.changes.iter().map(|change| [&[1], change.content()].concat());
        chunks.chain(contents).collect()
    })
}
