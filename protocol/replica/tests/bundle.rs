//! Sealed bundles: only their recipient opens them, and no change goes unnoticed.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "test harness: a failed step is the failure")]

use std::io::Cursor;

use qianmo_protocol::bundle::{BundleFor, BundleHeader, BundlePart};
use qianmo_protocol::ids::{DeviceId, HubId, OrgId};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::bundle::{BundleWriter, OpenBundleError, OpenKey, OpenedBundle, SealKey, draw_passphrase, peek};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// RFC 7748, section 6.1: Alice's secret and public key.
const SECRET: [u8; 32] = [
    0x77, 0x07, 0x6d, 0x0a, 0x73, 0x18, 0xa5, 0x7d, 0x3c, 0x16, 0xc1, 0x72, 0x51, 0xb2, 0x66, 0x45, 0xdf, 0x4c, 0x2f,
    0x87, 0xeb, 0xc0, 0x99, 0x2a, 0xb1, 0x77, 0xfb, 0xa5, 0x1d, 0xb9, 0x2c, 0x2a,
];
const PUBLIC: [u8; 32] = [
    0x85, 0x20, 0xf0, 0x09, 0x89, 0x30, 0xa7, 0x54, 0x74, 0x8b, 0x7d, 0xdc, 0xb4, 0x3e, 0xf7, 0x5a, 0x0d, 0xbf, 0x3a,
    0x0d, 0x26, 0x38, 0x1a, 0xf4, 0xeb, 0xa4, 0xa9, 0x8e, 0xaa, 0x9b, 0x4e, 0x6a,
];

fn header(to: BundleFor) -> BundleHeader {
    BundleHeader { to, org: OrgId([1; 16]), from: DeviceId([2; 8]), made_at: UnixMillis(3) }
}

fn for_hub() -> (BundleHeader, SealKey, OpenKey) {
    (header(BundleFor::Hub(HubId([4; 8]))), SealKey::Hub(PUBLIC), OpenKey::Hub(SECRET))
}

fn for_tablet() -> (BundleHeader, SealKey, OpenKey) {
    let passphrase = draw_passphrase(&mut ChaCha8Rng::seed_from_u64(1));
    let typed = passphrase.to_uppercase().replace('-', " ");
    (header(BundleFor::Tablet), SealKey::Passphrase(passphrase), OpenKey::Passphrase(typed))
}

/// Many small parts, more than one chunk of the seal.
fn sealed(header: &BundleHeader, key: &SealKey, parts: usize) -> Vec<u8> {
    let mut writer = BundleWriter::begin(Vec::new(), header, key).unwrap();
    for _ in 0..parts {
        writer.put(&BundlePart::Control(Vec::new()).encode()).unwrap();
    }
    writer.finish().unwrap()
}

fn open(bytes: Vec<u8>, key: &OpenKey) -> Result<usize, OpenBundleError> {
    let mut bundle = OpenedBundle::open(Cursor::new(bytes), key)?;
    let mut parts = 0;
    while bundle.next_part()?.is_some() {
        parts += 1;
    }
    Ok(parts)
}

#[test]
fn published_key_is_a_recipient_as_it_is_and_a_passphrase_may_be_typed_as_people_do() {
    for (header, seal, key) in [for_hub(), for_tablet()] {
        let bytes = sealed(&header, &seal, 23_000);
        assert_eq!(peek(&mut Cursor::new(&bytes)).unwrap().0, header);
        assert_eq!(open(bytes, &key).unwrap(), 23_000);
    }
}

#[test]
fn wrong_recipient_wrong_passphrase_and_wrong_kind_are_told_apart() {
    let (hub, seal_hub, _) = for_hub();
    let (tablet, seal_tablet, key_tablet) = for_tablet();
    let other = OpenKey::Hub([9; 32]);
    let to_hub = sealed(&hub, &seal_hub, 1);
    let to_tablet = sealed(&tablet, &seal_tablet, 1);
    assert!(matches!(open(to_hub.clone(), &other), Err(OpenBundleError::OtherHub)));
    assert!(matches!(open(to_hub, &key_tablet), Err(OpenBundleError::ForHub)));
    assert!(matches!(open(to_tablet.clone(), &other), Err(OpenBundleError::ForTablet)));
    let wrong = OpenKey::Passphrase("not-this-one".to_owned());
    assert!(matches!(open(to_tablet, &wrong), Err(OpenBundleError::WrongPassphrase)));
    assert!(matches!(open(b"a holiday picture".to_vec(), &wrong), Err(OpenBundleError::Bundle(_))));
}

#[test]
fn sealed_bundle_that_is_cut_or_changed_never_ends_well() {
    let (header, seal, key) = for_hub();
    let bytes = sealed(&header, &seal, 23_000);
    for cut in (0..bytes.len()).step_by(6_007).chain([bytes.len() - 1]) {
        let error = open(bytes[..cut].to_vec(), &key).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("again") || text.contains("begin"), "{text}");
    }
    for at in (0..bytes.len()).step_by(7_001).chain([bytes.len() - 1]) {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(open(changed, &key).is_err(), "byte {at}");
    }
}

#[test]
fn drawn_passphrase_has_a_hundred_bits_in_letters_that_are_not_mistaken() {
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let (one, other) = (draw_passphrase(&mut rng), draw_passphrase(&mut rng));
    assert_ne!(one, other);
    assert_eq!((one.len(), one.split('-').count()), (24, 5));
    assert!(!one.contains(['l', 'o', '0', '1']));
}
