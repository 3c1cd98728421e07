//! Bytes that are no message, and messages out of place.

use qianmo_protocol::close_code::CloseCode::{OverLimit, ProtocolViolation};
use qianmo_protocol::ids::BlobHash;
use qianmo_protocol::session::message::{Blob, Message, Turn, Welcome};
use rand::RngCore as _;

use super::{Attack, Ending, Scene, Sent, attack};
use crate::forge::uleb;

pub(super) fn all() -> Vec<Attack> {
    let over = Ending::Closed(OverLimit);
    let wrong = Ending::Closed(ProtocolViolation);
    vec![
        attack("automerge_bloom_sync_message", Sent::Bytes(|_| bloom_message()), wrong),
        attack("garbage_frame", Sent::Bytes(garbage), wrong),
        attack("frame_length_of_two_gigabytes", Sent::Bytes(|_| vec![4, 0xff, 0xff, 0xff, 0xff, 0x07]), over),
        attack("frame_length_not_shortest", Sent::Bytes(|_| vec![4, 0x80, 0x80, 0x80, 0x00]), wrong),
        attack("list_count_of_2_to_60", Sent::Bytes(|_| framed(5, &[&[0], uleb(1 << 60).as_slice()].concat())), over),
        attack("list_count_without_items", Sent::Bytes(|_| framed(5, &[&[0], uleb(4_096).as_slice()].concat())), wrong),
        attack("vectors_count_without_items", Sent::Bytes(|_| framed(3, &[&[0], uleb(64).as_slice()].concat())), wrong),
        // Tips of 100,000 forks or incarnations do not fit into any message.
        attack("hello_of_100000_forks", Sent::Bytes(|_| [&[1], uleb(100_000 * 26).as_slice()].concat()), over),
        attack("second_hello", Sent::Bytes(|scene| Message::Hello(scene.hostile.hello()).encode_frame()), wrong),
        attack(
            "pack_outside_a_turn",
            Sent::Bytes(|scene| Message::Pack(scene.victim_pack.clone()).encode_frame()),
            wrong,
        ),
        attack("control_outside_a_turn", Sent::Bytes(|_| Message::Control(Vec::new()).encode_frame()), wrong),
        attack("push_from_a_device", Sent::Bytes(|_| push()), wrong),
        attack("welcome_from_a_device", Sent::Bytes(|scene| welcome(scene)), wrong),
        attack("blob_on_the_session_stream", Sent::Bytes(|_| blob()), wrong),
        attack("header_within_a_turn", Sent::Turn(|scene| vec![Message::Hello(scene.hostile.hello())]), wrong),
    ]
}

fn framed(kind: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind], uleb(u64::try_from(payload.len()).unwrap()).as_slice(), payload].concat()
}

/// 14 bytes of Automerge's own protocol: a Bloom filter of 50 million probes burns seconds and hundreds of megabytes there.
pub(super) fn bloom_message() -> Vec<u8> {
    let filter = [uleb(1), uleb(1), uleb(50_000_000), vec![0xff]].concat();
    let have = [vec![0], uleb(u64::try_from(filter.len()).unwrap()), filter].concat();
    [vec![0x42, 0, 0, 1], have, vec![0]].concat()
}

fn garbage(scene: &mut Scene) -> Vec<u8> {
    let mut bytes = vec![0; 4_096];
    scene.hostile.rng.fill_bytes(&mut bytes);
    // An unknown type and a length that is there: what follows is looked at.
    bytes.splice(0..3, [200, 0x80, 0x10]);
    bytes
}

fn push() -> Vec<u8> {
    Message::Push { beacon: None, follow: 0 }.encode_frame()
}

fn welcome(scene: &Scene) -> Vec<u8> {
    let welcome = Welcome {
        version: 1,
        hub: None,
        beacon: None,
        control_heads: vec![scene.hostile.control],
        agreed: None,
        digests: None,
        turn: Turn::default(),
    };
    Message::Welcome(Box::new(welcome)).encode_frame()
}

fn blob() -> Vec<u8> {
    Message::Blob(Blob::Bytes { hash: BlobHash([5; 32]), from: 0, bytes: vec![0; 60_000] }).encode_frame()
}
