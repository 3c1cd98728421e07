//! The plain format of bundles: its bytes, its order, and what is said of files that are none.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use proptest::prelude::*;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::bundle::{
    BundleError, BundleFor, BundleHeader, BundlePart, BundleReader, HEADER_BYTES_MAX, MAGIC, VERSION,
};
use qianmo_protocol::control::{Decision, Entry, HubKeys, SignedEntry, Signer};
use qianmo_protocol::ids::{DeviceId, Epoch, HubId, OrgId};
use qianmo_protocol::session::message::{FrameReader, Message};
use qianmo_protocol::time::UnixMillis;

const EPOCH: Epoch = Epoch([0xee; 16]);
const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

fn public(byte: u8) -> [u8; 32] {
    key(byte).verifying_key().to_bytes()
}

fn org() -> OrgId {
    OrgId::from_authority_key(&public(0xa0))
}

fn hub() -> HubId {
    HubId::from_key(&public(0xb0))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name);
    let text: String = std::fs::read_to_string(path).unwrap().split_whitespace().collect();
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn header(to: BundleFor) -> BundleHeader {
    BundleHeader { to, org: org(), from: DeviceId::from_key(&public(1)), made_at: NOW }
}

fn genesis() -> SignedEntry {
    let decision = Decision::Hub(HubKeys { signing: public(0xb0), bundle: [0xb1; 32] });
    let parents = BTreeSet::new();
    let entry = Entry { signer: Signer::Authority, epoch: EPOCH, number: 0, parents, time: NOW, decision };
    SignedEntry::sign(&org(), &key(0xa0), entry).unwrap()
}

fn beacon() -> SignedBeacon {
    let beacon = Beacon { hub: hub(), epoch: EPOCH, sequence: 7, time: NOW, commit: 12, watermark: 9 };
    SignedBeacon::sign(&org(), &key(0xb0), beacon).unwrap()
}

fn pack() -> BundlePart {
    let mut frames = FrameReader::default();
    frames.push(&golden("golden/pack.hex"));
    let Message::Pack(pack) = frames.next_message().unwrap().unwrap() else { panic!("the golden file holds a pack") };
    BundlePart::Pack(pack)
}

fn parts() -> Vec<BundlePart> {
    vec![BundlePart::Control(vec![genesis()]), BundlePart::Beacon(beacon()), pack()]
}

fn inner(header: &BundleHeader, parts: Vec<BundlePart>) -> Vec<u8> {
    let mut bytes = header.encode();
    parts.into_iter().for_each(|part| bytes.extend(part.encode()));
    bytes.extend(BundlePart::end());
    bytes
}

/// Reads a whole inner stream: its parts, and how it ended.
fn read(header: &BundleHeader, bytes: &[u8], step: usize) -> (Vec<BundlePart>, Result<(), BundleError>) {
    let mut reader = BundleReader::new(header);
    let mut parts = Vec::new();
    for chunk in bytes.chunks(step.max(1)) {
        reader.push(chunk);
        loop {
            match reader.next_part() {
                Ok(Some(part)) => parts.push(part),
                Ok(None) => break,
                Err(error) => return (parts, Err(error)),
            }
        }
    }
    (parts, reader.finish())
}

#[test]
fn inner_bytes_are_those_of_the_golden_file_and_the_header_those_of_the_wire_page() {
    let header = header(BundleFor::Hub(hub()));
    let bytes = inner(&header, parts());
    if std::env::var_os("QIANMO_BLESS").is_some() {
        let lines: Vec<String> = bytes.chunks(64).map(hex).collect();
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden_bundle.hex");
        std::fs::write(path, lines.join("\n") + "\n").unwrap();
    }
    assert_eq!(hex(&bytes), hex(&golden("golden_bundle.hex")));
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/wire.md")).unwrap();
    assert!(page.contains(&hex(&header.encode())), "docs/wire.md shows the header {}", hex(&header.encode()));
    assert_eq!(read(&header, &bytes, bytes.len()), (parts(), Ok(())));
}

#[test]
fn header_reads_back_and_says_what_is_wrong() {
    for to in [BundleFor::Hub(hub()), BundleFor::Tablet] {
        let bytes = header(to).encode();
        assert!(bytes.len() <= HEADER_BYTES_MAX);
        assert_eq!(BundleHeader::decode(&bytes), Ok((header(to), bytes.len())));
        for cut in 0..bytes.len() {
            let error = BundleHeader::decode(&bytes[..cut]).unwrap_err();
            assert_eq!(error, BundleError::Truncated { offset: u64::try_from(cut).unwrap() });
        }
    }
    assert_eq!(BundleHeader::decode(b"PK\x03\x04 a picture"), Err(BundleError::Magic));
    let mut later = header(BundleFor::Tablet).encode();
    later[MAGIC.len() + 1] = 9;
    later[MAGIC.len()] = 0;
    assert_eq!(BundleHeader::decode(&later), Err(BundleError::Version { have: 9, max: VERSION }));
    let mut kind = header(BundleFor::Tablet).encode();
    kind[MAGIC.len() + 2] = 3;
    assert!(matches!(BundleHeader::decode(&kind), Err(BundleError::Part { .. })));
}

#[test]
fn bundle_cut_anywhere_gives_its_whole_parts_and_then_says_so() {
    let header = header(BundleFor::Tablet);
    let bytes = inner(&header, parts());
    let mut seen = BTreeSet::new();
    for cut in 0..bytes.len() {
        let (given, ended) = read(&header, &bytes[..cut], 1_000);
        assert_eq!(ended, Err(BundleError::Truncated { offset: u64::try_from(cut).unwrap() }));
        assert_eq!(given, parts()[..given.len()], "what was whole is what was sent");
        seen.insert(given.len());
    }
    assert_eq!(seen, BTreeSet::from([0, 1, 2, 3]));
}

#[test]
fn parts_out_of_order_and_bytes_after_the_end_are_refused() {
    let header = header(BundleFor::Tablet);
    let wrong = inner(&header, vec![pack(), BundlePart::Control(vec![genesis()])]);
    let (given, ended) = read(&header, &wrong, 64);
    assert_eq!(given.len(), 1);
    assert!(matches!(ended, Err(BundleError::OutOfPlace { name: "Control", .. })), "{ended:?}");
    let twice = inner(&header, vec![BundlePart::Beacon(beacon()), BundlePart::Beacon(beacon())]);
    assert!(matches!(read(&header, &twice, 64).1, Err(BundleError::OutOfPlace { name: "Push", .. })));
    let mut hello = header.encode();
    hello.extend(Message::Subscribe.encode_frame());
    assert!(matches!(read(&header, &hello, 64).1, Err(BundleError::OutOfPlace { name: "Subscribe", .. })));
    let mut after = inner(&header, parts());
    after.push(0);
    assert_eq!(read(&header, &after, after.len()).1, Err(BundleError::AfterEnd { bytes: 1 }));
    let mut other = inner(&header, parts());
    other[20] ^= 1;
    assert_eq!(read(&header, &other, 64).1, Err(BundleError::Header));
}

#[test]
fn length_over_the_limit_is_refused_before_its_bytes_are_waited_for() {
    let header = header(BundleFor::Tablet);
    let mut bytes = header.encode();
    bytes.extend([4, 0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(matches!(read(&header, &bytes, 64).1, Err(BundleError::Part { .. })));
}

proptest! {
    #[test]
    fn prop_any_bytes_and_any_pieces_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000), step in 1_usize..300) {
        let header = header(BundleFor::Tablet);
        drop(BundleHeader::decode(&bytes));
        let mut framed = header.encode();
        framed.extend(&bytes);
        drop(read(&header, &framed, step));
        let whole = inner(&header, parts());
        prop_assert_eq!(read(&header, &whole, step), (parts(), Ok(())));
    }
}
