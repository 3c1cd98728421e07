//! Packs: decoded, verified, inflated, erased.

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::Incarnation;
use qianmo_protocol::limits::PACK_RAW_BYTES_MAX;
use qianmo_protocol::pack::{Entry, Pack, Place, decode_entries, encode_entries, entries_root, seal};
use qianmo_protocol::wire::Wire as _;

use super::reads_back;
use super::session::with_world;

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => {
            if let Some(pack) = reads_back::<Pack>(bytes) {
                opened(pack);
            }
        }
        1 => sealed(bytes),
        2 => body_of(usize::from(*kind / 4), |_| zstd::bulk::compress(bytes, 3).unwrap()),
        _ => body_of(usize::from(*kind / 4), |_| bytes.to_vec()),
    }
}

fn opened(pack: Pack) {
    with_world(|world| {
        if let Ok(entries) = pack.open() {
            assert_eq!(entries_root(&entries), pack.header.root);
            assert_eq!(entries.len(), usize::from(pack.header.entries));
        }
        let key = world.packs.iter().zip(&world.pack_keys).find(|(known, _)| known.header.log == pack.header.log);
        let Some((_, key)) = key else { return };
        let known = world.packs.iter().any(|known| known.header == pack.header && known.signature == pack.signature);
        match pack.verify(&world.org, key.verifying_key().as_bytes()) {
            Ok(verified) => {
                assert!(known, "a pack that its device did not sign verifies");
                assert_eq!(entries_root(verified.entries()), verified.header().root);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}

/// Any entries, rightly sealed: they verify, and stay verified when some are erased.
fn sealed(bytes: &[u8]) {
    let Ok(entries) = decode_entries(bytes) else { return };
    assert_eq!(encode_entries(&entries), bytes, "entries written otherwise than read");
    with_world(|world| {
        let key = &world.pack_keys[0];
        let header = &world.packs[0].header;
        let place = Place {
            logbook: header.logbook.clone(),
            incarnation: Incarnation([5; 8]),
            after: None,
            control: header.control,
            time: header.time,
        };
        let Ok(pack) = seal(&world.org, key, place, entries.clone(), 3) else { return };
        assert!(bytes.len() <= PACK_RAW_BYTES_MAX);
        assert_eq!(pack.entries(), entries);
        let travelled = Pack::decode(&pack.pack().encode()).unwrap();
        let verified = travelled.verify(&world.org, key.verifying_key().as_bytes()).unwrap();
        assert_eq!(verified.entries(), entries, "another content than was sealed");
        let is_even = |entry: &Entry| entry.hash().0[0].is_multiple_of(2);
        let erased = verified.erase(3, is_even).unwrap();
        let again = Pack::decode(&erased.pack().encode()).unwrap();
        let again = again.verify(&world.org, key.verifying_key().as_bytes()).unwrap();
        assert_eq!(again.hash(), pack.hash(), "an erasure changed the name");
        let gone = again.entries().iter().filter(|entry| entry.change().is_none()).count();
        let before = entries.iter().filter(|entry| is_even(entry) || entry.change().is_none()).count();
        assert_eq!(gone, before);
    });
}

/// Another body under an honest header: refused, or the same entries.
fn body_of(number: usize, body: impl FnOnce(&Pack) -> Vec<u8>) {
    with_world(|world| {
        let honest = &world.packs[number % world.packs.len()];
        let pack = Pack { body: body(honest), ..honest.clone() };
        if let Ok(entries) = pack.open() {
            let names = |entries: &[Entry]| entries.iter().map(|entry| (entry.doc(), entry.hash())).collect::<Vec<_>>();
            assert_eq!(names(&entries), names(&honest.open().unwrap()), "the root binds what a body holds");
        }
    });
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_world(|world| {
        let mut seeds = Vec::new();
        for (number, pack) in world.packs.iter().enumerate() {
            let entries = pack.open().unwrap();
            seeds.push([&[0], pack.encode().as_slice()].concat());
            seeds.push([&[1], encode_entries(&entries).as_slice()].concat());
            let number = u8::try_from(number * 4).unwrap();
            let raw = zstd::bulk::decompress(&pack.body, PACK_RAW_BYTES_MAX).unwrap();
            seeds.push([&[number + 2], raw.as_slice()].concat());
            seeds.push([&[number + 3], pack.body.as_slice()].concat());
            let stubs: Vec<Entry> = entries.iter().map(Entry::to_stub).collect();
            seeds.push([&[1], encode_entries(&stubs).as_slice()].concat());
        }
        let all: Vec<Entry> = world.changes.iter().filter(|change| change.head().is_root()).map(root).collect();
        seeds.push([&[1], encode_entries(&all).as_slice()].concat());
        seeds.push([&[2], vec![0; PACK_RAW_BYTES_MAX / 64].as_slice()].concat());
        seeds
    })
}

fn root(change: &RawChange) -> Entry {
    Entry::Root { change: change.clone() }
}
