//! Bundles: a session in a file.

use std::io::Cursor;

use qianmo_protocol::bundle::{BundleError, BundleFor, BundleHeader, BundlePart, BundleReader, HEADER_BYTES_MAX};
use qianmo_protocol::ids::{DeviceId, HubId, OrgId};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::bundle::{BundleWriter, OpenKey, OpenedBundle, SealKey, peek};
use x25519_dalek::{PublicKey, StaticSecret};

use super::session::honest_frames;

const SECRET: [u8; 32] = [0x42; 32];

fn header() -> BundleHeader {
    BundleHeader {
        to: BundleFor::Hub(HubId([1; 8])),
        org: OrgId([2; 16]),
        from: DeviceId([3; 8]),
        made_at: UnixMillis(1_750_000_000_000),
    }
}

/// First byte: a header, an opened stream, a sealed file, or a stream that is sealed before it is opened.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 4 {
        0 => headed(bytes),
        1 => {
            let (cut, stream) = bytes.split_first().unwrap_or((&0, &[]));
            let stream = [header().encode().as_slice(), stream].concat();
            let whole = parts(&stream, stream.len());
            assert_eq!(whole, parts(&stream, usize::from(*cut) + 1), "cut otherwise, read otherwise");
        }
        2 => drop(opened(bytes.to_vec())),
        _ => sealed(bytes),
    }
}

fn headed(bytes: &[u8]) {
    match BundleHeader::decode(bytes) {
        Ok((header, used)) => {
            assert_eq!(header.encode(), bytes[..used]);
            assert!(used <= HEADER_BYTES_MAX);
            let (peeked, rest) = peek(&mut &bytes[..]).unwrap();
            assert_eq!((peeked, rest.as_slice()), (header, &bytes[used..bytes.len().min(HEADER_BYTES_MAX)]));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

type Read<E> = (Vec<BundlePart>, Result<(), E>);

fn parts(stream: &[u8], cut: usize) -> Read<BundleError> {
    let mut reader = BundleReader::new(&header());
    let mut found = Vec::new();
    for part in stream.chunks(cut) {
        reader.push(part);
        loop {
            match reader.next_part() {
                Ok(Some(part)) => found.push(part),
                Ok(None) => break,
                // Where the error is said to be depends on how much was there; what it is does not.
                Err(error) => return (found, Err(placeless(error))),
            }
        }
    }
    let end = reader.finish();
    (found, end)
}

fn placeless(error: BundleError) -> BundleError {
    if let BundleError::AfterEnd { .. } = error { BundleError::AfterEnd { bytes: 1 } } else { error }
}

fn opened(file: Vec<u8>) -> Option<Vec<BundlePart>> {
    let mut bundle = match OpenedBundle::open(Cursor::new(file), &OpenKey::Hub(SECRET)) {
        Ok(bundle) => bundle,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return None;
        }
    };
    let mut found = Vec::new();
    loop {
        match bundle.next_part() {
            Ok(Some(part)) => found.push(part),
            Ok(None) => return Some(found),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                return None;
            }
        }
    }
}

/// The seal takes nothing away and adds nothing.
fn sealed(content: &[u8]) {
    let public = PublicKey::from(&StaticSecret::from(SECRET)).to_bytes();
    let mut writer = BundleWriter::begin(Vec::new(), &header(), &SealKey::Hub(public)).unwrap();
    writer.put(content).unwrap();
    let file = writer.finish().unwrap();
    let stream = [header().encode().as_slice(), content, BundlePart::end().as_slice()].concat();
    let direct = parts(&stream, stream.len());
    assert_eq!(opened(file), direct.1.is_ok().then_some(direct.0));
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let to_tablet = BundleHeader { to: BundleFor::Tablet, ..header() };
    let mut seeds = vec![[&[0], header().encode().as_slice()].concat(), [&[0], to_tablet.encode().as_slice()].concat()];
    let of = |kind: u8| honest_frames().into_iter().filter(move |frame| frame[0] == kind);
    let content: Vec<u8> =
        of(12).take(2).chain(of(9).take(1)).chain(of(13).take(2)).chain(of(4).take(3)).flatten().collect();
    for kind in [1, 3] {
        let cut: &[u8] = if kind == 1 { &[7] } else { &[] };
        seeds.push([&[kind], cut, &content].concat());
        seeds.push([&[kind], cut, &content, &BundlePart::end()].concat());
        seeds.extend(honest_frames().iter().map(|frame| [&[kind], cut, frame].concat()));
    }
    seeds
}
