//! Packs that are signed rightly and otherwise wrong: bombs, foreign bytes, false promises.

use std::io::Read as _;

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::{ChangeHash, DocId, PackHash};
use qianmo_protocol::pack::{Entry, Pack, StubKind};
use qianmo_protocol::session::message::{Message, RefuseCode};

use super::frames::bloom_message;
use super::{Attack, Ending, Scene, Sent, attack};
use crate::forge::{Forged, uleb};

pub(super) fn all() -> Vec<Attack> {
    let body = Ending::Refused(RefuseCode::BadBody);
    let over = Ending::Refused(RefuseCode::OverLimit);
    let signature = Ending::Refused(RefuseCode::BadSignature);
    let missing = Ending::Refused(RefuseCode::MissingPrev);
    vec![
        attack("zstd_bomb_of_256_megabytes", Sent::Turn(|scene| around(scene, bomb(0))), over),
        attack("zstd_window_of_128_megabytes", Sent::Turn(|scene| around(scene, bomb(27))), over),
        attack("zstd_dictionary_id", Sent::Turn(|scene| around(scene, with_dictionary())), over),
        attack("zstd_skippable_frame", Sent::Turn(|scene| around(scene, skippable())), over),
        attack("zstd_two_frames", Sent::Turn(|scene| around(scene, two_frames())), over),
        attack("zstd_size_of_2_to_60", Sent::Turn(|scene| around(scene, false_size())), over),
        attack("automerge_deflate_bomb", Sent::Turn(|scene| content(scene, &chunk(2, &deflated()))), body),
        attack("automerge_document_chunk", Sent::Turn(|scene| content(scene, &document())), body),
        attack("automerge_bundle_chunk", Sent::Turn(|scene| content(scene, &chunk(3, &[7; 200]))), body),
        attack("automerge_sync_message_in_a_pack", Sent::Turn(|scene| content(scene, &bloom_message())), body),
        attack("deflated_column", Sent::Turn(deflated_column), body),
        attack(
            "entry_of_a_gigabyte",
            Sent::Turn(|scene| around(scene, packed(&[&[1], uleb(1 << 30).as_slice()].concat()))),
            body,
        ),
        attack("hole_into_nothing", Sent::Turn(|scene| around(scene, packed(&[5, 1, 0, 200, 0, 0]))), body),
        attack("promise_of_256_entries", Sent::Turn(promise), body),
        attack("second_root_of_a_document", Sent::Turn(second_root), body),
        attack("stub_without_an_erasure", Sent::Turn(stub), Ending::Refused(RefuseCode::UnprovenStub)),
        attack("signature_of_nobody", Sent::Turn(|scene| changed(scene, |pack| pack.signature[7] ^= 1)), signature),
        attack(
            "signature_of_small_order",
            Sent::Turn(|scene| changed(scene, |pack| pack.signature = [0; 64])),
            signature,
        ),
        attack("anothers_pack_with_a_new_body", Sent::Turn(new_body), body),
        attack("gap_in_the_log", Sent::Turn(gap), body),
        attack("pack_behind_anothers_pack", Sent::Turn(behind), body),
        attack("pack_before_what_is_not_there", Sent::Turn(orphan), missing),
        attack(
            "replayed_pack_1000_times",
            Sent::Turn(|scene| vec![Message::Pack(scene.victim_pack.clone()); 1_000]),
            Ending::Nothing,
        ),
        attack("two_packs_at_one_place", Sent::Turn(equivocation), Ending::ForkProven),
    ]
}

fn around(scene: &mut Scene, body: Vec<u8>) -> Vec<Message> {
    vec![Message::Pack(scene.hostile.pack_around(body, 1))]
}

/// A pack of one root entry whose content is none of ours.
fn content(scene: &mut Scene, content: &[u8]) -> Vec<Message> {
    assert!(RawChange::from_content(content).is_err(), "this content is a change");
    let entry = [&[1], uleb(u64::try_from(content.len()).unwrap()).as_slice(), content].concat();
    around(scene, packed(&entry))
}

fn packed(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 3).unwrap()
}

/// A few kilobytes that inflate to 256 MB, with a window of this many bits.
fn bomb(window_log: u32) -> Vec<u8> {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    if window_log > 0 {
        encoder.window_log(window_log).unwrap();
    }
    std::io::copy(&mut std::io::repeat(0).take(256 << 20), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

/// Magic, a header with a dictionary's id of four bytes and a size of one, one raw block of a byte.
fn with_dictionary() -> Vec<u8> {
    vec![0x28, 0xb5, 0x2f, 0xfd, 0x23, 1, 2, 3, 4, 1, 0x09, 0, 0, 0x55]
}

/// As above, with a size of eight bytes that says 2⁶⁰.
fn false_size() -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0], (1_u64 << 60).to_le_bytes().as_slice(), &[0x09, 0, 0, 0x55]].concat()
}

fn skippable() -> Vec<u8> {
    [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4], packed(&[1, 0]).as_slice()].concat()
}

fn two_frames() -> Vec<u8> {
    [packed(&[1, 0]), packed(&[1, 0])].concat()
}

/// An Automerge chunk of this type around some bytes. Its checksum does not matter: nobody gets that far.
fn chunk(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, kind], uleb(u64::try_from(bytes.len()).unwrap()).as_slice(), bytes].concat()
}

/// DEFLATE: blocks of one literal and very many copies of it, as few bits as the format allows.
fn deflated() -> Vec<u8> {
    // Fixed Huffman codes: a literal 0, then copies of length 258 at distance 1, each 13 bits of which most are zero.
    let mut bits: Vec<bool> = vec![true, true, false];
    bits.extend([false, false, true, true, false, false, false, false]);
    for _ in 0..30_000 {
        bits.extend([true, true, false, false, false, true, false, true]);
        bits.extend([false; 5]);
    }
    bits.extend([false; 7]);
    bits.chunks(8).map(|byte| byte.iter().enumerate().fold(0, |sum, (at, bit)| sum | (u8::from(*bit) << at))).collect()
}

fn document() -> Vec<u8> {
    let mut doc = automerge::Automerge::new();
    let mut transaction = doc.transaction();
    automerge::transaction::Transactable::put(&mut transaction, automerge::ROOT, "k", "record").unwrap();
    transaction.commit();
    doc.save()
}

/// A change whose key column says that it is compressed: the library inflates it without a limit.
fn deflated_column(scene: &mut Scene) -> Vec<Message> {
    let mut bytes = Forged::from(&scene.hostile.visit()).content();
    let table = bytes.windows(2).position(|pair| pair == [0x15, bytes_after(&bytes)]).unwrap();
    bytes[table] |= 0x08;
    content(scene, &bytes)
}

/// The length of the key column, as it stands behind the column's number.
fn bytes_after(content: &[u8]) -> u8 {
    let at = content.windows(3).position(|three| three[0] == 0x15 && three[2] == 0x34).unwrap();
    content[at + 1]
}

fn promise(scene: &mut Scene) -> Vec<Message> {
    let raw = packed(&[1, 0]);
    vec![Message::Pack(scene.hostile.pack_around(raw, 256))]
}

/// A first change that claims to belong to the victim's record.
fn second_root(scene: &mut Scene) -> Vec<Message> {
    let doc = scene.victim_change.doc_id_if_root().unwrap();
    let change = scene.hostile.visit();
    let length = uleb(u64::try_from(change.content().len()).unwrap());
    let entry = [&[0], doc.0.as_slice(), &length, change.content()].concat();
    around(scene, packed(&entry))
}

fn stub(scene: &mut Scene) -> Vec<Message> {
    let hash = ChangeHash([3; 32]);
    let entry = Entry::Stub { doc: DocId([3; 16]), hash, chunk_bytes: 100, kind: StubKind::Change };
    vec![Message::Pack(scene.hostile.pack(vec![entry]))]
}

fn changed(scene: &mut Scene, change: fn(&mut Pack)) -> Vec<Message> {
    let visit = scene.hostile.visit();
    let mut pack = scene.hostile.pack_of(visit);
    change(&mut pack);
    vec![Message::Pack(pack)]
}

/// Whoever carries a pack may compress its body anew, but not put another into it. The victim's own is known already, so
/// this is one that the hub has not seen.
fn new_body(scene: &mut Scene) -> Vec<Message> {
    let (one, two) = (scene.hostile.visit(), scene.hostile.visit());
    let mut pack = scene.hostile.pack_of(one);
    let entry = [&[1], uleb(u64::try_from(two.content().len()).unwrap()).as_slice(), two.content()].concat();
    pack.body = packed(&entry);
    vec![Message::Pack(pack)]
}

fn gap(scene: &mut Scene) -> Vec<Message> {
    let (one, two) = (scene.hostile.visit(), scene.hostile.visit());
    let first = scene.hostile.pack_of(one);
    scene.hostile.after = scene.hostile.after.map(|(_, hash)| (99, hash));
    vec![Message::Pack(first), Message::Pack(scene.hostile.pack_of(two))]
}

fn behind(scene: &mut Scene) -> Vec<Message> {
    scene.hostile.after = Some((0, scene.victim_pack.hash(&scene.hostile.enrolled.org)));
    let visit = scene.hostile.visit();
    vec![Message::Pack(scene.hostile.pack_of(visit))]
}

fn orphan(scene: &mut Scene) -> Vec<Message> {
    scene.hostile.after = Some((3, PackHash([9; 32])));
    let visit = scene.hostile.visit();
    vec![Message::Pack(scene.hostile.pack_of(visit))]
}

fn equivocation(scene: &mut Scene) -> Vec<Message> {
    let (one, two) = (scene.hostile.visit(), scene.hostile.visit());
    let first = scene.hostile.pack_of(one);
    scene.hostile.after = None;
    vec![Message::Pack(first), Message::Pack(scene.hostile.pack_of(two))]
}
