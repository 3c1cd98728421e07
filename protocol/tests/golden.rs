//! Bytes that must never change by accident: one file for each type of message, and the examples of `docs/wire.md`.
//!
//! When a test here fails, the wire format has changed. If that is meant, it is a new protocol version or an error of a
//! version that was never released: run `QIANMO_BLESS=1 cargo test -p qianmo-protocol --test golden`, look at the
//! difference of `protocol/tests/golden`, and correct `docs/wire.md` in the same commit.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use ed25519_dalek::SigningKey;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::change::{ActorId, Scalar};
use qianmo_protocol::control::{Decision, Entry as ControlEntry, HubKeys, SignedEntry, Signer};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{
    BlobHash, Code, DeviceId, EntryHash, Epoch, HubId, Incarnation, LogbookName, OrgId, PackHash,
};
use qianmo_protocol::pack::{Entry, Place, VerifiedPack, seal};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::record::{Document, FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::session::message::{
    About, Ack, Blob, Bye, ByeReason, Hello, LogbookState, Message, Refuse, RefuseCode, Turn, Vectors, Welcome,
};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{Locator, Selection, Stations, Tip, Vector, selection_digest};
use qianmo_protocol::wire::{Reader, Wire};

const EPOCH: Epoch = Epoch([0xee; 16]);
const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

/// The key made of one byte: 01 is the tablet's, a0 the authority's, b0 the hub's.
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

fn june() -> LogbookName {
    LogbookName::StationMonth(Code::new("ST01").unwrap(), Month::new(2025, 6).unwrap())
}

/// The authority names the hub: the first entry of every control log.
fn genesis() -> SignedEntry {
    let decision = Decision::Hub(HubKeys { signing: public(0xb0), bundle: [0xb1; 32] });
    let entry = ControlEntry {
        signer: Signer::Authority,
        epoch: EPOCH,
        number: 0,
        parents: BTreeSet::new(),
        time: NOW,
        decision,
    };
    SignedEntry::sign(&org(), &key(0xa0), entry).unwrap()
}

fn head() -> EntryHash {
    genesis().content().hash(&org())
}

/// A visit's first change and an edit.
fn pack() -> VerifiedPack {
    let origin = Origin { actor: ActorId([0xac; 16]), person: Code::new("P01").unwrap(), time: NOW };
    let root = RecordRoot {
        form: Code::new("visit").unwrap(),
        form_version: 1,
        station: Some(Code::new("ST01").unwrap()),
        logbook: june().id(&org()),
        author: Code::new("P01").unwrap(),
        created_at: NOW,
    };
    let fields = BTreeMap::from([("crop".to_owned(), Scalar::Text("桃".to_owned()))]);
    let first = create(&origin, &root, &fields, &BTreeMap::new()).unwrap().change;
    let document = Document::from_changes([first.clone()]).unwrap();
    let set = FieldEdit::Set(FieldPath::Field("crop".to_owned()), Scalar::Text("苹果".to_owned()));
    let second = edit(&document, &document.heads(), &origin, &[set]).unwrap().unwrap().change;
    let doc = first.doc_id_if_root().unwrap();
    let place = Place { logbook: june(), incarnation: Incarnation([0x11; 8]), after: None, control: head(), time: NOW };
    seal(&org(), &key(1), place, vec![Entry::Root { change: first }, Entry::Full { doc, change: second }], 3).unwrap()
}

fn vector() -> Vector {
    let header = pack().header().clone();
    Vector(BTreeSet::from([Tip { log: header.log, seq: header.seq, head: pack().hash() }]))
}

fn beacon() -> SignedBeacon {
    let beacon = Beacon { hub: hub(), epoch: EPOCH, sequence: 7, time: NOW, commit: 300, watermark: 200 };
    SignedBeacon::sign(&org(), &key(0xb0), beacon).unwrap()
}

fn receipt() -> SignedReceipt {
    let packs = BTreeSet::from([pack().hash()]);
    let receipt = Receipt { hub: hub(), epoch: EPOCH, commit: 301, packs, verdict: Verdict::Passed };
    SignedReceipt::sign(&org(), &key(0xb0), receipt).unwrap()
}

fn state() -> LogbookState {
    let heads = [pack().entries()[1].hash()];
    let digest = vector().digest();
    let mut vector8 = [0; 8];
    vector8.copy_from_slice(&digest[..8]);
    let doc = pack().entries()[0].doc();
    LogbookState { name: june(), vector8, state: StateDigest::of_document(&doc, &heads, &[]) }
}

fn selection() -> Selection {
    let stations = Stations::These(BTreeSet::from([Code::new("ST01").unwrap()]));
    let months = Some((Month::new(2025, 5).unwrap(), Month::new(2025, 6).unwrap()));
    Selection { stations, months, without: BTreeSet::new() }
}

fn hello() -> Hello {
    Hello {
        versions: (1, 1),
        control_heads: vec![head()],
        epoch: Some(EPOCH),
        selection: selection(),
        rest_digest: selection_digest(&BTreeMap::new()),
        vectors: vec![(june(), vector().to_wire())],
        follow: 1,
        about: None,
    }
}

/// What a tablet says of itself.
fn about() -> About {
    About {
        program: "qianmo 0.1.0".to_owned(),
        clock: NOW,
        unsent: 3,
        oldest: Some(UnixMillis(NOW.0 - 86_400_000)),
        free_bytes: Some(1 << 30),
    }
}

fn welcome() -> Welcome {
    Welcome {
        version: 1,
        hub: Some((hub(), EPOCH)),
        beacon: Some(beacon()),
        control_heads: vec![head()],
        agreed: Some(Selection { months: None, ..selection() }),
        digests: Some(vec![(LogbookName::OrgDirectory, [0xd1; 8])]),
        turn: Turn { vectors: Vec::new(), states: vec![state()], more: false, follow: 1 },
    }
}

/// Every type of message, by the name of its file.
fn messages() -> Vec<(&'static str, Message)> {
    let pack8 = pack().hash().head8();
    let log = pack().header().log;
    let locator = Locator { log, steps: vec![(0, [0x0a; 8]), (300, [0x0b; 8])] };
    let blob = BlobHash(*blake3::hash(b"photo").as_bytes());
    let turn = Turn { vectors: vec![(june(), vector().to_wire())], states: Vec::new(), more: true, follow: 2 };
    vec![
        ("hello", Message::Hello(hello())),
        ("hello-about", Message::Hello(Hello { about: Some(about()), ..hello() })),
        ("welcome", Message::Welcome(Box::new(welcome()))),
        ("vectors", Message::Vectors(Vectors { control_heads: Vec::new(), turn })),
        ("pack", Message::Pack(pack().pack().clone())),
        ("pack-erased", Message::Pack(pack().erase(3, Entry::is_root).unwrap().pack().clone())),
        ("ack", Message::Ack(Ack { epoch: Some(EPOCH), items: vec![(pack8, 301)] })),
        ("refuse", Message::Refuse(Refuse { pack8, code: RefuseCode::MissingPrev })),
        ("need-ancestors", Message::NeedAncestors(june(), locator)),
        ("subscribe", Message::Subscribe),
        ("push", Message::Push { beacon: Some(beacon()), follow: 1 }),
        ("blob-have", Message::Blob(Blob::Have { hash: blob, held: 2, size: 5 })),
        ("blob-want", Message::Blob(Blob::Want { hash: blob, from: 2, to: 5 })),
        ("blob-bytes", Message::Blob(Blob::Bytes { hash: blob, from: 2, bytes: b"oto".to_vec() })),
        ("bye", Message::Bye(Bye { reason: ByeReason::Later, retry_after_ms: Some(5_000) })),
        ("control-message", Message::Control(vec![genesis()])),
        ("receipt", Message::Receipt(receipt())),
    ]
}

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{name}.hex"))
}

/// Lines of 32 bytes.
fn to_hex(bytes: &[u8]) -> String {
    bytes.chunks(32).map(|line| line.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "\n").collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    assert_eq!(digits.len() % 2, 0);
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn golden(name: &str) -> Vec<u8> {
    let path = path(name);
    from_hex(
        &fs::read_to_string(&path)
            .unwrap_or_else(|error| panic!("{}: {error}; see the top of golden.rs", path.display())),
    )
}

/// The message in a frame.
fn read(frame: &[u8]) -> Message {
    let mut reader = Reader::new(frame);
    let kind = reader.u8("type").unwrap();
    let payload = reader.bytes("payload", frame.len()).unwrap();
    reader.finish().unwrap();
    Message::decode(kind, payload).unwrap()
}

fn is_blessing() -> bool {
    std::env::var_os("QIANMO_BLESS").is_some()
}

#[test]
fn bytes_of_every_message_are_the_golden_ones() {
    for (name, message) in messages() {
        let frame = message.encode_frame();
        if is_blessing() {
            fs::write(path(name), to_hex(&frame)).unwrap();
        }
        let wanted = golden(name);
        let read = read(&wanted);
        assert_eq!(read.encode_frame(), wanted, "{name}");
        match (read, message) {
            // A body is not signed, and another release of the compressor may write it otherwise: what counts is inside.
            (Message::Pack(read), Message::Pack(pack)) => {
                assert_eq!((&read.header, read.signature), (&pack.header, pack.signature), "{name}");
                let (read, pack) = (read.verify(&org(), &public(1)).unwrap(), pack.verify(&org(), &public(1)).unwrap());
                assert_eq!((read.hash(), read.entries()), (pack.hash(), pack.entries()), "{name}");
            }
            (read, message) => {
                assert_eq!(read, message, "{name}");
                assert_eq!(wanted, frame, "{name}");
            }
        }
    }
}

#[test]
fn every_type_of_message_has_a_golden_file() {
    let types: BTreeSet<u8> = messages().iter().map(|(name, _)| golden(name)[0]).collect();
    let known: BTreeSet<u8> = (0..=u8::MAX)
        .filter(|kind| {
            let unknown = Message::decode(*kind, &[]).is_err_and(|error| error.to_string().contains("message type"));
            !unknown
        })
        .collect();
    assert_eq!(types, known);
}

#[test]
fn signatures_in_golden_files_verify() {
    let Message::Welcome(welcome) = read(&golden("welcome")) else { panic!("a welcome") };
    assert!(welcome.beacon.unwrap().verify(&org(), &public(0xb0)).is_ok());
    let Message::Control(entries) = read(&golden("control-message")) else { panic!("control entries") };
    assert!(entries[0].verify(&org(), &public(0xa0)).is_ok());
    let Message::Receipt(receipt) = read(&golden("receipt")) else { panic!("a receipt") };
    assert!(receipt.verify(&org(), &public(0xb0)).is_ok());
}

/// Names and digests that no message carries whole, by the names under which `docs/wire.md` shows them.
fn derived() -> BTreeMap<&'static str, Vec<u8>> {
    let pack = pack();
    BTreeMap::from([
        ("authority public key", public(0xa0).to_vec()),
        ("tablet public key", public(1).to_vec()),
        ("hub public key", public(0xb0).to_vec()),
        ("organisation id", org().0.to_vec()),
        ("device id", DeviceId::from_key(&public(1)).0.to_vec()),
        ("hub id", hub().0.to_vec()),
        ("logbook id", june().id(&org()).0.to_vec()),
        ("control entry hash", head().0.to_vec()),
        ("pack header", pack.header().encode()),
        ("pack root", pack.header().root.to_vec()),
        ("pack hash", pack.hash().0.to_vec()),
        ("first change hash", pack.entries()[0].hash().0.to_vec()),
        ("second change hash", pack.entries()[1].hash().0.to_vec()),
        ("document id", pack.entries()[0].doc().0.to_vec()),
        ("vector digest", vector().digest().to_vec()),
        ("state digest", state().state.to_bytes().to_vec()),
        ("empty rest digest", selection_digest(&BTreeMap::new()).to_vec()),
        ("no predecessor", PackHash::NONE.0.to_vec()),
    ])
}

#[test]
fn derived_values_are_the_golden_ones() {
    let text: String =
        derived().iter().map(|(name, bytes)| format!("{name}: {}\n", to_hex(bytes).replace('\n', ""))).collect();
    let path = path("derived");
    if is_blessing() {
        fs::write(&path, &text).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), text);
}

/// The page shows bytes in blocks marked ```hex NAME, each line some bytes and, after two spaces, what they mean.
#[test]
fn examples_of_the_wire_page_are_the_golden_bytes() {
    let page = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/wire.md");
    let page = fs::read_to_string(page).unwrap();
    let mut shown = BTreeSet::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix("```hex ") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| !line.starts_with("```")).collect();
        let bytes: String = block.iter().map(|line| line.split("  ").next().unwrap()).collect();
        let wanted = derived().remove(name).unwrap_or_else(|| golden(name));
        assert_eq!(to_hex(&from_hex(&bytes)), to_hex(&wanted), "the block `{name}` of docs/wire.md");
        shown.insert(name.to_owned());
    }
    for name in ["hello", "pack", "ack", "welcome", "pack header"] {
        assert!(shown.contains(name), "docs/wire.md shows no {name}");
    }
}
