//! Packs: sealed by one device, verified by another, and refused whenever anything was changed on the way.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::BTreeMap;

use ed25519_dalek::{Signer as _, SigningKey};
use proptest::prelude::*;
use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::ids::{Code, DeviceId, DocId, EntryHash, Incarnation, LogbookId, LogbookName, OrgId, PackHash};
use qianmo_protocol::limits::{PACK_ENTRIES_MAX, PACK_RAW_BYTES_MAX};
use qianmo_protocol::pack::{
    Entry, Pack, PackError, PackHeader, Place, SealError, StubKind, VerifiedPack, decode_entries, encode_entries,
    entries_root, entry_bytes, seal,
};
use qianmo_protocol::record::{Document, FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::wire::{DecodeError, Wire};
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

const ORG: OrgId = OrgId([7; 16]);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(byte: u8) -> [u8; 32] {
    key(byte).verifying_key().to_bytes()
}

fn origin(actor: u8) -> Origin {
    Origin { actor: ActorId([actor; 16]), person: Code::new("P01").unwrap(), time: UnixMillis(1_750_000_000_000) }
}

/// A record's first change and an edit of it, as entries of a pack.
fn entries(seed: u8, text: &str) -> Vec<Entry> {
    let root = RecordRoot {
        form: Code::new("visit").unwrap(),
        form_version: 1,
        station: Some(Code::new("ST01").unwrap()),
        logbook: LogbookId([1; 16]),
        author: Code::new("P01").unwrap(),
        created_at: UnixMillis(i64::from(seed)),
    };
    let fields = BTreeMap::from([("crop".to_owned(), Scalar::Text(text.to_owned()))]);
    let first = create(&origin(seed), &root, &fields, &BTreeMap::new()).unwrap().change;
    let document = Document::from_changes([first.clone()]).unwrap();
    let set = FieldEdit::Set(FieldPath::Field("crop".to_owned()), Scalar::Text(format!("{text}!")));
    let second = edit(&document, &document.heads(), &origin(seed), &[set]).unwrap().unwrap().change;
    let doc = first.doc_id_if_root().unwrap();
    vec![Entry::Root { change: first }, Entry::Full { doc, change: second }]
}

fn place(after: Option<(u32, PackHash)>) -> Place {
    Place {
        logbook: LogbookName::StationMonth(Code::new("ST01").unwrap(), Month::new(2025, 6).unwrap()),
        incarnation: Incarnation([3; 8]),
        after,
        control: EntryHash([4; 32]),
        time: UnixMillis(1_750_000_000_000),
    }
}

fn sealed() -> VerifiedPack {
    seal(&ORG, &key(1), place(None), entries(1, "苹果"), 3).unwrap()
}

/// The same pack with a header of our choice, validly signed by the device: what a thief with a key could write.
fn signed(header: PackHeader, body: Vec<u8>) -> Pack {
    let hash = header.hash(&ORG);
    let signature = key(1).sign(&[b"qianmo pack signature v1\0".as_slice(), &hash.0].concat()).to_bytes();
    Pack { header, signature, body }
}

fn compressed(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 3).unwrap()
}

#[test]
fn sealed_pack_verifies_after_its_travel() {
    let mut after = None;
    for seq in 0..3u32 {
        let pack = seal(&ORG, &key(1), place(after), entries(u8::try_from(seq).unwrap(), "梨"), 19).unwrap();
        let travelled = Pack::decode(&pack.pack().encode()).unwrap();
        assert_eq!(travelled.clone().verify(&ORG, &public(1)).unwrap(), pack);
        assert_eq!(travelled.open().unwrap(), pack.entries());
        let header = pack.header();
        assert_eq!((header.seq, header.prev), (seq, after.map_or(PackHash::NONE, |(_, hash)| hash)));
        assert_eq!(header.log.device, DeviceId::from_key(&public(1)));
        assert_eq!(usize::from(header.entries), 2);
        assert_eq!(header.root, entries_root(pack.entries()));
        after = Some((seq, pack.hash()));
    }
}

#[test]
fn entries_read_back_with_the_bytes_that_were_planned() {
    let entries = [entries(1, "桃"), entries(2, "杏").iter().map(Entry::to_stub).collect()].concat();
    let raw = encode_entries(&entries);
    assert_eq!(raw.len(), entries.iter().map(entry_bytes).sum::<usize>());
    assert_eq!(decode_entries(&raw).unwrap(), entries);
    for end in 0..raw.len() {
        let cut = decode_entries(&raw[..end]);
        assert!(cut.is_err() || cut.unwrap().len() < entries.len(), "{end}");
    }
}

/// Headers and signatures are covered bit by bit. A body may be compressed anew, so a changed bit there is either refused
/// or leaves the entries as they were.
#[test]
fn pack_with_any_one_bit_changed_is_refused_or_holds_the_same_entries() {
    let pack = sealed();
    let bytes = pack.pack().encode();
    let body_at = bytes.len() - pack.pack().body.len();
    let mut same = 0;
    for bit in 0..bytes.len() * 8 {
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let Ok(read) = Pack::decode(&changed) else { continue };
        if let Ok(verified) = read.verify(&ORG, &public(1)) {
            assert!(bit / 8 >= body_at, "bit {bit} of the signed part is not covered");
            assert_eq!(verified.entries(), pack.entries());
            assert_eq!(verified.hash(), pack.hash());
            same += 1;
        }
    }
    assert!(same <= 16, "{same} bits of the frame mean nothing");
}

#[test]
fn pack_of_another_key_or_organisation_is_refused() {
    let pack = sealed().pack().clone();
    assert_eq!(
        pack.clone().verify(&ORG, &public(2)),
        Err(PackError::Device { key: DeviceId::from_key(&public(2)), header: DeviceId::from_key(&public(1)) })
    );
    assert_eq!(pack.clone().verify(&OrgId([8; 16]), &public(1)), Err(PackError::Signature));
    assert_ne!(pack.hash(&ORG), pack.hash(&OrgId([8; 16])));
}

#[test]
fn small_order_key_signs_nothing() {
    // The neutral point, for which a lenient check takes an all-but-zero signature over any message.
    let mut weak = [0; 32];
    weak[0] = 1;
    let mut pack = sealed().pack().clone();
    pack.header.log.device = DeviceId::from_key(&weak);
    pack.signature = [0; 64];
    pack.signature[0] = 1;
    assert_eq!(pack.verify(&ORG, &weak), Err(PackError::Signature));
}

#[test]
fn swapped_body_is_refused() {
    let other = seal(&ORG, &key(1), place(None), entries(2, "苹果"), 3).unwrap();
    let mut pack = sealed().pack().clone();
    pack.body.clone_from(&other.pack().body);
    assert_eq!(pack.verify(&ORG, &public(1)), Err(PackError::Root));
}

#[test]
fn body_compressed_anew_is_the_same_pack() {
    let pack = sealed();
    let again =
        Pack { body: zstd::bulk::compress(&encode_entries(pack.entries()), 19).unwrap(), ..pack.pack().clone() };
    let verified = again.verify(&ORG, &public(1)).unwrap();
    assert_eq!((verified.hash(), verified.entries()), (pack.hash(), pack.entries()));
}

#[test]
fn stub_in_place_of_an_entry_keeps_the_hash() {
    let pack = sealed();
    for erased in 0..=2 {
        let hashes: Vec<_> = pack.entries().iter().take(erased).map(Entry::hash).collect();
        let stubbed = pack.erase(3, |entry| hashes.contains(&entry.hash())).unwrap();
        let travelled = Pack::decode(&stubbed.pack().encode()).unwrap().verify(&ORG, &public(1)).unwrap();
        assert_eq!(travelled, stubbed);
        assert_eq!(travelled.hash(), pack.hash());
        assert_eq!(travelled.header(), pack.header());
        for (entry, before) in travelled.entries().iter().zip(pack.entries()) {
            assert_eq!((entry.doc(), entry.hash(), entry.is_root()), (before.doc(), before.hash(), before.is_root()));
            assert_eq!(entry.change().is_none(), hashes.contains(&before.hash()));
        }
        let text = String::from_utf8_lossy(&encode_entries(travelled.entries())).into_owned();
        assert_eq!(text.contains("苹果"), erased < 2);
    }
}

#[test]
fn stub_that_lies_about_anything_is_refused() {
    let pack = sealed();
    let Entry::Stub { doc, hash, chunk_bytes, kind } = pack.entries()[1].to_stub() else { panic!("a stub") };
    let lies = [
        Entry::Stub { doc: DocId([9; 16]), hash, chunk_bytes, kind },
        Entry::Stub { doc, hash: qianmo_protocol::ids::ChangeHash([9; 32]), chunk_bytes, kind },
        Entry::Stub { doc, hash, chunk_bytes: chunk_bytes + 1, kind },
        Entry::Stub { doc, hash, chunk_bytes, kind: StubKind::Root },
    ];
    for lie in lies {
        let body = compressed(&encode_entries(&[pack.entries()[0].clone(), lie]));
        assert_eq!(Pack { body, ..pack.pack().clone() }.verify(&ORG, &public(1)), Err(PackError::Root));
    }
}

#[test]
fn lie_about_the_root_flag_is_refused_even_when_signed() {
    let honest = entries(1, "苹果");
    let (first, second) = (honest[0].change().unwrap().clone(), honest[1].change().unwrap().clone());
    let as_root = vec![Entry::Root { change: second }];
    let as_later = vec![Entry::Full { doc: DocId([1; 16]), change: first }];
    for lie in [as_root, as_later] {
        let raw = encode_entries(&lie);
        let header = PackHeader {
            root: entries_root(&lie),
            entries: 1,
            raw_bytes: u32::try_from(raw.len()).unwrap(),
            ..sealed().header().clone()
        };
        let verified = signed(header, compressed(&raw)).verify(&ORG, &public(1));
        assert_eq!(verified, Err(PackError::RootFlag { index: 0 }));
        assert_eq!(seal(&ORG, &key(1), place(None), lie, 3), Err(SealError::RootFlag { index: 0 }));
    }
}

#[test]
fn lie_about_counts_is_refused_even_when_signed() {
    let honest = sealed();
    let body = honest.pack().body.clone();
    let cases: [fn(&mut PackHeader); 4] =
        [|h| h.entries += 1, |h| h.entries -= 1, |h| h.raw_bytes += 1, |h| h.raw_bytes -= 1];
    for lie in cases {
        let mut header = honest.header().clone();
        lie(&mut header);
        let verified = signed(header, body.clone()).verify(&ORG, &public(1));
        assert!(matches!(verified, Err(PackError::Count { .. })), "{verified:?}");
    }
}

#[test]
fn header_over_its_limits_is_refused_before_the_body_is_read() {
    let honest = sealed();
    let mut header = honest.header().clone();
    header.entries = u16::try_from(PACK_ENTRIES_MAX + 1).unwrap();
    assert!(matches!(PackHeader::decode(&header.encode()), Err(DecodeError::TooLarge { field: "entries", .. })));
    header.entries = 0;
    assert!(matches!(PackHeader::decode(&header.encode()), Err(DecodeError::NotCanonical { field: "entries", .. })));
    let mut header = honest.header().clone();
    header.raw_bytes = u32::try_from(PACK_RAW_BYTES_MAX + 1).unwrap();
    assert!(matches!(PackHeader::decode(&header.encode()), Err(DecodeError::TooLarge { field: "raw length", .. })));
    let mut bytes = honest.header().encode();
    bytes[0] = 2;
    assert!(matches!(PackHeader::decode(&bytes), Err(DecodeError::Unknown { field: "pack version", .. })));
}

#[test]
fn bomb_is_refused_within_the_cap() {
    for bytes in [1024 * 1024, 64 * 1024 * 1024] {
        let body = compressed(&vec![0; bytes]);
        assert!(body.len() < 8 * 1024);
        let pack = Pack { body, ..sealed().pack().clone() };
        assert!(matches!(pack.verify(&ORG, &public(1)), Err(PackError::Inflate { max: PACK_RAW_BYTES_MAX, .. })));
    }
}

#[test]
fn frame_that_names_a_dictionary_is_refused() {
    let pack = sealed();
    let mut body = pack.pack().body.clone();
    assert_eq!(body[4] & 0b0010_0011, 0b0010_0000, "one segment, no dictionary: its id would stand at 5");
    body[4] |= 1;
    body.insert(5, 42);
    assert!(zstd::zstd_safe::get_dict_id_from_frame(&body).is_some());
    let verified = Pack { body, ..pack.pack().clone() }.verify(&ORG, &public(1));
    assert!(matches!(verified, Err(PackError::Inflate { .. })), "{verified:?}");
}

/// A second frame or a skippable one inflates to nothing more; without this check a pack could carry bytes that nobody
/// signed and nobody looks at.
#[test]
fn bytes_after_or_before_the_frame_are_refused() {
    let pack = sealed();
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4];
    let body = &pack.pack().body;
    let bodies = [
        [body.as_slice(), &[0]].concat(),
        [body.as_slice(), &skippable].concat(),
        [&skippable, body.as_slice()].concat(),
        [body.as_slice(), &compressed(&[])].concat(),
        skippable.to_vec(),
        // Frames of the formats 0.5 to 0.7, alone and behind a good one.
        vec![0x25, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0],
        [&[0x26, 0xb5, 0x2f, 0xfd], body.get(4..).unwrap()].concat(),
        [body.as_slice(), &[0x27, 0xb5, 0x2f, 0xfd, 0, 0, 0, 0]].concat(),
        Vec::new(),
    ];
    for body in bodies {
        let changed = Pack { body, ..pack.pack().clone() };
        assert!(changed.verify(&ORG, &public(1)).is_err());
    }
    let mut bytes = pack.pack().encode();
    bytes.push(0);
    assert!(matches!(Pack::decode(&bytes), Err(DecodeError::Trailing { have: 1, .. })));
}

#[test]
fn raw_bytes_after_the_last_entry_are_refused() {
    let pack = sealed();
    let raw = [encode_entries(pack.entries()), vec![7]].concat();
    let changed = Pack { body: compressed(&raw), ..pack.pack().clone() };
    assert!(changed.verify(&ORG, &public(1)).is_err());
}

#[test]
fn writer_is_told_before_it_seals_too_much() {
    let one = entries(1, "苹果");
    let many: Vec<Entry> = core::iter::repeat_n(one[0].clone(), PACK_ENTRIES_MAX + 1).collect();
    assert_eq!(
        seal(&ORG, &key(1), place(None), many, 3),
        Err(SealError::Entries { have: PACK_ENTRIES_MAX + 1, max: PACK_ENTRIES_MAX })
    );
    assert_eq!(
        seal(&ORG, &key(1), place(None), Vec::new(), 3),
        Err(SealError::Entries { have: 0, max: PACK_ENTRIES_MAX })
    );
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let noise: String = (0..30_000).map(|_| char::from(rng.random_range(b'a'..=b'z'))).collect();
    let large: Vec<Entry> = core::iter::repeat_n(entries(1, &noise)[0].clone(), 9).collect();
    assert!(matches!(seal(&ORG, &key(1), place(None), large, 3), Err(SealError::Raw { .. })));
    let full = seal(&ORG, &key(1), place(Some((u32::MAX, PackHash([1; 32])))), entries(1, "苹果"), 3);
    assert_eq!(full, Err(SealError::Full));
}

/// Incompressible content grows a little: a full pack must still fit its limits on the wire.
#[test]
fn fullest_pack_of_noise_still_travels() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let mut full: Vec<Entry> = Vec::new();
    let mut bytes = 0;
    loop {
        let mut noise = vec![0; 20_000];
        rng.fill_bytes(&mut noise);
        let text: String = noise.iter().map(|byte| char::from(b' ' + byte % 95)).collect();
        let entry = entries(u8::try_from(full.len()).unwrap(), &text)[0].clone();
        bytes += entry_bytes(&entry);
        if bytes > PACK_RAW_BYTES_MAX {
            break;
        }
        full.push(entry);
    }
    let pack = seal(&ORG, &key(1), place(None), full, 1).unwrap();
    let travelled = Pack::decode(&pack.pack().encode()).unwrap();
    assert_eq!(travelled.verify(&ORG, &public(1)).unwrap().hash(), pack.hash());
}

fn any_change() -> impl Strategy<Value = RawChange> {
    (0u8..4, 0usize..2).prop_map(|(seed, at)| entries(seed, "豆")[at].change().unwrap().clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn prop_any_body_is_refused_or_verified_without_a_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let pack = Pack { body: body.clone(), ..sealed().pack().clone() };
        prop_assert!(pack.verify(&ORG, &public(1)).is_err());
        let pack = Pack { body: compressed(&body), ..sealed().pack().clone() };
        prop_assert!(pack.verify(&ORG, &public(1)).is_err());
    }

    #[test]
    fn prop_any_entries_read_back_or_are_refused(raw in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(entries) = decode_entries(&raw) {
            prop_assert_eq!(encode_entries(&entries), raw);
        }
    }

    #[test]
    fn prop_seal_and_verify_agree_on_any_mix(
        changes in proptest::collection::vec((any_change(), any::<bool>()), 1..6),
        level in 1i32..6,
    ) {
        let entries: Vec<Entry> = changes
            .into_iter()
            .map(|(change, erased)| {
                let entry = match change.doc_id_if_root() {
                    Some(_) => Entry::Root { change },
                    None => Entry::Full { doc: DocId([5; 16]), change },
                };
                if erased { entry.to_stub() } else { entry }
            })
            .collect();
        let pack = seal(&ORG, &key(1), place(None), entries, level).unwrap();
        let travelled = Pack::decode(&pack.pack().encode()).unwrap();
        prop_assert_eq!(travelled.verify(&ORG, &public(1)).unwrap(), pack);
    }
}

/// The edit depends on the first change, whose hash the receiver has just computed: it is not sent.
#[test]
fn hash_of_an_earlier_entry_is_left_out_of_the_body_and_comes_back() {
    let pack = sealed();
    let hash = pack.entries()[0].hash();
    assert_eq!(pack.entries()[1].change().unwrap().head().deps, [hash]);
    let body = zstd::bulk::decompress(&pack.pack().body, PACK_RAW_BYTES_MAX).unwrap();
    let has = |bytes: &[u8]| bytes.windows(32).any(|window| window == hash.0);
    assert!(has(&encode_entries(pack.entries())) && !has(&body));
    assert!(body.len() < encode_entries(pack.entries()).len());
    assert_eq!(usize::try_from(pack.header().raw_bytes).unwrap(), encode_entries(pack.entries()).len());
    // A stub gives its hash as well.
    let erased = pack.erase(3, |entry| entry.hash() == hash).unwrap();
    assert_eq!(erased.pack().clone().verify(&ORG, &public(1)).unwrap(), erased);
    // A body that leaves nothing out is the same pack.
    let plain = Pack { body: compressed(&encode_entries(pack.entries())), ..pack.pack().clone() };
    assert_eq!(plain.verify(&ORG, &public(1)).unwrap().entries(), pack.entries());
}

#[test]
fn reference_to_an_entry_that_is_not_there_is_refused() {
    let pack = sealed();
    let first = entry_bytes(&pack.entries()[0]);
    let body = zstd::bulk::decompress(&pack.pack().body, PACK_RAW_BYTES_MAX).unwrap();
    // flag, document, one hole: kept bytes before it, entries back, what.
    assert_eq!((body[first], body[first + 17]), (4, 1));
    let (gap, back, what) = (first + 18, first + 19, first + 20);
    for (at, value) in [(back, 1), (back, 100), (gap, 100), (gap, 0), (what, 1), (what, 2), (first, 5)] {
        let mut changed = body.clone();
        changed[at] = value;
        let changed = Pack { body: compressed(&changed), ..pack.pack().clone() };
        assert!(changed.verify(&ORG, &public(1)).is_err(), "{at} {value}");
    }
}
