//! The codec of every message: what is written reads back, what reads back has one form, what is cut or changed is a typed
//! error, and nothing panics.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::control::{Decision, Enrolment, Entry, Grant, Role, Scope, Signable, Signed, SignedEntry, Signer};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{
    BlobHash, ChangeHash, Code, DeviceId, EntryHash, Epoch, HubId, Incarnation, LogId, LogbookName, PackHash,
};
use qianmo_protocol::limits::{
    BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX, CONTROL_PARENTS_MAX, LOCATOR_STEPS_MAX, MESSAGE_BYTES_MAX, PACK_ENTRIES_MAX,
    PACK_RAW_BYTES_MAX, TIPS_PER_LOG_MAX, VECTOR_ENTRIES_MAX,
};
use qianmo_protocol::pack::{Pack, PackHeader};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::message::{
    About, Ack, Blob, Bye, ByeReason, FrameReader, Hello, LogbookState, Message, Refuse, RefuseCode, Turn, Vectors,
    Welcome,
};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{Locator, NamedVectors, Selection, Stations, Tip, Vector, WireTip, WireVector};
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

fn code() -> impl Strategy<Value = Code> {
    let alphabet: Vec<char> = "AZaz09_-.STEP".chars().collect();
    vec(proptest::sample::select(alphabet), 1..=24)
        .prop_map(|chars| Code::new(&chars.into_iter().collect::<String>()).unwrap())
}

fn month() -> impl Strategy<Value = Month> {
    (0u16..2_400).prop_map(|number| Month::from_number(number).unwrap())
}

fn logbook() -> impl Strategy<Value = LogbookName> {
    prop_oneof![
        Just(LogbookName::OrgDirectory),
        code().prop_map(LogbookName::StationDirectory),
        (code(), month()).prop_map(|(station, month)| LogbookName::StationMonth(station, month)),
    ]
}

fn log() -> impl Strategy<Value = LogId> {
    (any::<[u8; 8]>(), any::<[u8; 8]>())
        .prop_map(|(device, incarnation)| LogId { device: DeviceId(device), incarnation: Incarnation(incarnation) })
}

fn seq() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0u32..300, any::<u32>()]
}

fn small_or_any() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..300, any::<u64>()]
}

/// A signed thing as it travels; no one signed it, which decoding does not look at.
fn unsigned<T: Signable>(content: &T, signature: &[u8; 64]) -> Signed<T> {
    Signed::decode(&[content.encode().as_slice(), signature].concat()).unwrap()
}

fn signature() -> impl Strategy<Value = [u8; 64]> {
    any::<([u8; 32], [u8; 32])>().prop_map(|(r, s)| {
        let mut out = [0; 64];
        out[..32].copy_from_slice(&r);
        out[32..].copy_from_slice(&s);
        out
    })
}

fn beacon() -> impl Strategy<Value = SignedBeacon> {
    let parts = (any::<[u8; 8]>(), any::<[u8; 16]>(), small_or_any(), any::<i64>(), small_or_any(), small_or_any());
    (parts, signature()).prop_map(|((hub, epoch, sequence, time, commit, watermark), signature)| {
        let (hub, epoch, time) = (HubId(hub), Epoch(epoch), UnixMillis(time));
        unsigned(&Beacon { hub, epoch, sequence, time, commit, watermark }, &signature)
    })
}

fn receipt() -> impl Strategy<Value = SignedReceipt> {
    let held = btree_set((any::<[u8; 32]>().prop_map(ChangeHash), any::<u16>()), 0..4);
    let verdict = prop_oneof![Just(Verdict::Passed), held.prop_map(Verdict::Held)];
    let packs = btree_set(any::<[u8; 32]>().prop_map(PackHash), 0..5);
    (any::<[u8; 8]>(), any::<[u8; 16]>(), small_or_any(), packs, verdict, signature()).prop_map(
        |(hub, epoch, commit, packs, verdict, signature)| {
            unsigned(&Receipt { hub: HubId(hub), epoch: Epoch(epoch), commit, packs, verdict }, &signature)
        },
    )
}

fn decision() -> impl Strategy<Value = Decision> {
    let enrolment = (any::<[u8; 32]>(), btree_set(code(), 0..4), code())
        .prop_map(|(key, persons, station)| Decision::Enrol(Enrolment { key, persons, station, replaces: None }));
    let scope = prop_oneof![Just(Scope::District), btree_set(code(), 0..4).prop_map(Scope::Stations)];
    let grant = (code(), 1u8..=5, scope).prop_map(|(person, role, scope)| {
        Decision::Grant(Grant { person, role: Role::from_number(role).unwrap(), scope })
    });
    let epoch = proptest::collection::btree_map(any::<[u8; 16]>().prop_map(Epoch), small_or_any(), 0..3);
    prop_oneof![
        enrolment,
        grant,
        epoch.prop_map(|parents| Decision::EpochStart { parents }),
        (100u16.., any::<bool>(), vec(any::<u8>(), 0..40)).prop_map(|(kind, critical, body)| Decision::Unknown {
            kind,
            critical,
            body
        }),
    ]
}

fn entry() -> impl Strategy<Value = SignedEntry> {
    let signer = prop_oneof![Just(Signer::Authority), any::<[u8; 8]>().prop_map(|hub| Signer::Hub(HubId(hub)))];
    let parents = btree_set(any::<[u8; 32]>().prop_map(EntryHash), 0..4);
    (signer, any::<[u8; 16]>(), small_or_any(), parents, any::<i64>(), decision(), signature()).prop_map(
        |(signer, epoch, number, parents, time, decision, signature)| {
            let (epoch, time) = (Epoch(epoch), UnixMillis(time));
            unsigned(&Entry { signer, epoch, number, parents, time, decision }, &signature)
        },
    )
}

fn heads() -> impl Strategy<Value = Vec<EntryHash>> {
    btree_set(any::<[u8; 32]>().prop_map(EntryHash), 0..4).prop_map(|heads| heads.into_iter().collect())
}

fn wire_vector() -> impl Strategy<Value = WireVector> {
    let tip = (log(), seq(), any::<[u8; 8]>()).prop_map(|(log, seq, head8)| WireTip { log, seq, head8 });
    btree_set(tip, 0..6).prop_map(|tips| WireVector(tips.into_iter().collect()))
}

fn named_vectors() -> impl Strategy<Value = NamedVectors> {
    proptest::collection::btree_map(logbook(), wire_vector(), 0..4).prop_map(|vectors| vectors.into_iter().collect())
}

fn selection() -> impl Strategy<Value = Selection> {
    let stations = prop_oneof![Just(Stations::All), btree_set(code(), 0..4).prop_map(Stations::These)];
    let months = option::of((month(), month()).prop_map(|(a, b)| (a.min(b), a.max(b))));
    (stations, months, btree_set(logbook(), 0..4)).prop_map(|(stations, months, without)| Selection {
        stations,
        months,
        without,
    })
}

fn turn() -> impl Strategy<Value = Turn> {
    let state = (logbook(), any::<[u8; 8]>(), any::<[u8; 32]>()).prop_map(|(name, vector8, state)| LogbookState {
        name,
        vector8,
        state: StateDigest::from_bytes(state),
    });
    (named_vectors(), vec(state, 0..3), any::<bool>(), 0usize..5_000).prop_map(|(vectors, states, more, follow)| Turn {
        vectors,
        states,
        more,
        follow,
    })
}

fn locators() -> impl Strategy<Value = Locator> {
    (log(), btree_set((seq(), any::<[u8; 8]>()), 0..40))
        .prop_map(|(log, steps)| Locator { log, steps: steps.into_iter().collect() })
}

fn header() -> impl Strategy<Value = PackHeader> {
    let place = (logbook(), log(), seq(), any::<[u8; 32]>());
    let body = (any::<[u8; 32]>(), 1..=u16::try_from(PACK_ENTRIES_MAX).unwrap());
    let raw = 0..=u32::try_from(PACK_RAW_BYTES_MAX).unwrap();
    (place, body, raw, any::<[u8; 32]>(), any::<i64>()).prop_map(
        |((logbook, log, seq, prev), (root, entries), raw_bytes, control, time)| PackHeader {
            logbook,
            log,
            seq,
            prev: if seq == 0 { PackHash::NONE } else { PackHash(prev) },
            root,
            entries,
            raw_bytes,
            control: EntryHash(control),
            time: UnixMillis(time),
        },
    )
}

fn pack() -> impl Strategy<Value = Pack> {
    (header(), signature(), vec(any::<u8>(), 0..300)).prop_map(|(header, signature, body)| Pack {
        header,
        signature,
        body,
    })
}

fn about() -> impl Strategy<Value = About> {
    let times = (any::<i64>().prop_map(UnixMillis), option::of(any::<i64>().prop_map(UnixMillis)));
    ("[a-z 0-9.]{0,64}", times, any::<u32>(), option::of(any::<u64>()))
        .prop_map(|(program, (clock, oldest), unsent, free_bytes)| About { program, clock, unsent, oldest, free_bytes })
}

fn hello() -> impl Strategy<Value = Hello> {
    let epoch = option::of(any::<[u8; 16]>().prop_map(Epoch));
    (
        any::<(u16, u16)>(),
        heads(),
        epoch,
        selection(),
        any::<[u8; 32]>(),
        named_vectors(),
        0usize..5_000,
        option::of(about()),
    )
        .prop_map(|(versions, control_heads, epoch, selection, rest_digest, vectors, follow, about)| Hello {
            versions,
            control_heads,
            epoch,
            selection,
            rest_digest,
            vectors,
            follow,
            about,
        })
}

fn welcome() -> impl Strategy<Value = Welcome> {
    let hub = option::of(any::<([u8; 8], [u8; 16])>().prop_map(|(hub, epoch)| (HubId(hub), Epoch(epoch))));
    let digests = proptest::collection::btree_map(logbook(), any::<[u8; 8]>(), 0..5)
        .prop_map(|digests| digests.into_iter().collect::<Vec<_>>());
    (any::<u16>(), hub, option::of(beacon()), heads(), option::of(selection()), option::of(digests), turn()).prop_map(
        |(version, hub, beacon, control_heads, agreed, digests, turn)| Welcome {
            version,
            hub,
            beacon,
            control_heads,
            agreed,
            digests,
            turn,
        },
    )
}

fn refuse() -> impl Strategy<Value = Refuse> {
    let codes = [
        RefuseCode::MissingPrev,
        RefuseCode::UnknownDevice,
        RefuseCode::UnprovenStub,
        RefuseCode::Quota,
        RefuseCode::BadSignature,
        RefuseCode::BadBody,
        RefuseCode::OverLimit,
    ];
    (any::<[u8; 8]>(), proptest::sample::select(codes.to_vec())).prop_map(|(pack8, code)| Refuse { pack8, code })
}

fn blob() -> impl Strategy<Value = Blob> {
    let place = || 0..=BLOB_BYTES_MAX;
    let hash = || any::<[u8; 32]>().prop_map(BlobHash);
    prop_oneof![
        (hash(), place(), place()).prop_map(|(hash, held, size)| Blob::Have { hash, held, size }),
        (hash(), place(), place()).prop_map(|(hash, from, to)| Blob::Want { hash, from, to }),
        (hash(), place(), vec(any::<u8>(), 0..300)).prop_map(|(hash, from, bytes)| Blob::Bytes { hash, from, bytes }),
    ]
}

fn bye() -> impl Strategy<Value = Bye> {
    let reasons = vec![ByeReason::Done, ByeReason::Later, ByeReason::NotEnrolled, ByeReason::Revoked];
    (proptest::sample::select(reasons), option::of(any::<u32>()))
        .prop_map(|(reason, retry_after_ms)| Bye { reason, retry_after_ms })
}

/// Every type of message.
fn message() -> impl Strategy<Value = Message> {
    let ack = (option::of(any::<[u8; 16]>().prop_map(Epoch)), vec((any::<[u8; 8]>(), small_or_any()), 0..5))
        .prop_map(|(epoch, items)| Ack { epoch, items });
    let vectors = (heads(), turn()).prop_map(|(control_heads, turn)| Message::Vectors(Vectors { control_heads, turn }));
    prop_oneof![
        hello().prop_map(Message::Hello),
        welcome().prop_map(|welcome| Message::Welcome(Box::new(welcome))),
        vectors,
        pack().prop_map(Message::Pack),
        ack.prop_map(Message::Ack),
        refuse().prop_map(Message::Refuse),
        (logbook(), locators()).prop_map(|(name, locator)| Message::NeedAncestors(name, locator)),
        Just(Message::Subscribe),
        (option::of(beacon()), 0usize..5_000).prop_map(|(beacon, follow)| Message::Push { beacon, follow }),
        blob().prop_map(Message::Blob),
        bye().prop_map(Message::Bye),
        vec(entry(), 0..3).prop_map(Message::Control),
        receipt().prop_map(Message::Receipt),
    ]
}

/// The type byte and the payload of a frame.
fn split(frame: &[u8]) -> (u8, Vec<u8>) {
    let mut reader = Reader::new(frame);
    let kind = reader.u8("type").unwrap();
    let payload = reader.bytes("payload", MESSAGE_BYTES_MAX).unwrap().to_vec();
    reader.finish().unwrap();
    (kind, payload)
}

fn is_truncated(error: &DecodeError) -> bool {
    matches!(error, DecodeError::Truncated { .. })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn prop_message_reads_back_as_it_was_written(message in message()) {
        let (kind, payload) = split(&message.encode_frame());
        prop_assert_eq!(Message::decode(kind, &payload), Ok(message));
    }

    #[test]
    fn prop_message_with_a_byte_changed_is_refused_or_has_the_changed_form(
        message in message(),
        at: proptest::sample::Index,
        xor in 1u8..,
    ) {
        let (kind, mut payload) = split(&message.encode_frame());
        if !payload.is_empty() {
            let at = at.index(payload.len());
            payload[at] ^= xor;
            if let Ok(read) = Message::decode(kind, &payload) {
                prop_assert_ne!(&read, &message);
                prop_assert_eq!(split(&read.encode_frame()), (kind, payload));
            }
        }
    }

    #[test]
    fn prop_any_bytes_are_refused_or_canonical(kind in 0u8..16, payload in vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Message::decode(kind, &payload) {
            prop_assert_eq!(split(&read.encode_frame()), (kind, payload));
        }
    }

    #[test]
    fn prop_any_stream_never_panics_and_stops_at_its_first_error(bytes in vec(any::<u8>(), 0..300)) {
        let mut frames = FrameReader::default();
        frames.push(&bytes);
        for _ in 0..bytes.len() {
            match frames.next_message() {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    prop_assert_eq!(frames.next_message(), Err(error));
                    break;
                }
            }
        }
    }

    #[test]
    fn prop_stream_cut_anywhere_gives_the_same_messages(
        messages in vec(message(), 0..6),
        cuts in vec(any::<proptest::sample::Index>(), 0..12),
    ) {
        let stream: Vec<u8> = messages.iter().flat_map(Message::encode_frame).collect();
        let mut places: BTreeSet<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        places.insert(stream.len());
        let mut frames = FrameReader::default();
        let (mut from, mut read) = (0, Vec::new());
        for to in places {
            frames.push(&stream[from..to]);
            from = to;
            while let Some(message) = frames.next_message().unwrap() {
                read.push(message);
            }
        }
        prop_assert_eq!(read, messages);
        prop_assert_eq!(frames.pending_bytes(), 0);
    }

    #[test]
    fn prop_parts_read_back_as_they_were_written(
        header in header(),
        selection in selection(),
        vector in wire_vector(),
        locator in locators(),
    ) {
        prop_assert_eq!(PackHeader::decode(&header.encode()), Ok(header));
        prop_assert_eq!(Selection::decode(&selection.encode()), Ok(selection));
        prop_assert_eq!(WireVector::decode(&vector.encode()), Ok(vector));
        prop_assert_eq!(Locator::decode(&locator.encode()), Ok(locator));
    }

    #[test]
    fn prop_parts_of_any_bytes_are_refused_or_canonical(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(read) = PackHeader::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes.clone());
        }
        if let Ok(read) = Selection::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes.clone());
        }
        if let Ok(read) = WireVector::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes.clone());
        }
        if let Ok(read) = Locator::decode(&bytes) {
            prop_assert_eq!(read.encode(), bytes);
        }
    }

    #[test]
    fn prop_wire_vector_keeps_what_a_vector_holds(tips in btree_set((log(), seq(), any::<[u8; 32]>()), 0..9)) {
        let vector = Vector(tips.into_iter().map(|(log, seq, head)| Tip { log, seq, head: PackHash(head) }).collect());
        let wire = vector.to_wire();
        prop_assert_eq!(WireVector::decode(&wire.encode()), Ok(wire.clone()));
        let of: BTreeSet<WireTip> =
            vector.0.iter().map(|tip| WireTip { log: tip.log, seq: tip.seq, head8: tip.head.head8() }).collect();
        prop_assert_eq!(wire.0, of.into_iter().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn prop_truncated_message_is_a_typed_error(message in message()) {
        let frame = message.encode_frame();
        let (kind, payload) = split(&frame);
        // A hello may end before what a tablet says of itself, as one of an earlier program does.
        let silent = if let Message::Hello(hello) = &message {
            Some(Message::Hello(Hello { about: None, ..hello.clone() }))
        } else {
            None
        };
        for end in 0..payload.len() {
            let cut = Message::decode(kind, &payload[..end]);
            if cut.is_ok() && cut.as_ref().ok() == silent.as_ref() {
                continue;
            }
            prop_assert!(cut.as_ref().is_err_and(is_truncated), "{} of {}: {:?}", end, payload.len(), cut);
        }
        let longer = [payload.as_slice(), &[0]].concat();
        let longer = Message::decode(kind, &longer);
        let is_trailing = matches!(longer, Err(DecodeError::Trailing { have: 1, .. }));
        let begins_about = silent.as_ref() == Some(&message) && longer.as_ref().is_err_and(is_truncated);
        prop_assert!(is_trailing || begins_about);
        for end in 0..frame.len() {
            let mut frames = FrameReader::default();
            frames.push(&frame[..end]);
            prop_assert_eq!(frames.next_message(), Ok(None));
            prop_assert_eq!(frames.pending_bytes(), end);
        }
    }

    #[test]
    fn prop_truncated_part_is_a_typed_error(header in header(), selection in selection(), locator in locators()) {
        let (a, b, c) = (header.encode(), selection.encode(), locator.encode());
        prop_assert!((0..a.len()).all(|end| PackHeader::decode(&a[..end]).is_err_and(|error| is_truncated(&error))));
        prop_assert!((0..b.len()).all(|end| Selection::decode(&b[..end]).is_err_and(|error| is_truncated(&error))));
        prop_assert!((0..c.len()).all(|end| Locator::decode(&c[..end]).is_err_and(|error| is_truncated(&error))));
    }
}

#[test]
fn frame_over_its_limit_is_refused_before_its_bytes_are_waited_for() {
    let mut writer = Writer::new();
    writer.u8(4);
    writer.count(MESSAGE_BYTES_MAX + 1);
    let mut frames = FrameReader::default();
    frames.push(&writer.finish());
    let refused = frames.next_message();
    assert!(matches!(refused, Err(DecodeError::TooLarge { field: "message", .. })), "{refused:?}");
    // An endless length is refused as soon as it is longer than any number.
    let mut frames = FrameReader::default();
    frames.push(&[4]);
    frames.push(&[0xff; 10]);
    assert!(frames.next_message().is_err());
}

#[test]
fn message_of_an_unknown_type_is_refused_with_its_number() {
    for kind in [0, 14, 255] {
        let refused = Message::decode(kind, &[]);
        assert_eq!(refused, Err(DecodeError::Unknown { field: "message type", offset: 0, have: u64::from(kind) }));
    }
}

/// A list in disorder, a padded number or a wrong flag would give one value two encodings, and so two digests.
#[test]
fn second_encodings_are_refused() {
    let tip = |device: u8| {
        let log = LogId { device: DeviceId([device; 8]), incarnation: Incarnation([1; 8]) };
        WireTip { log, seq: 1, head8: [1; 8] }
    };
    assert!(WireVector::decode(&WireVector(vec![tip(2), tip(1)]).encode()).is_err());
    assert!(WireVector::decode(&WireVector(vec![tip(1), tip(1)]).encode()).is_err());
    let months = |a, b| Some((Month::new(2025, a).unwrap(), Month::new(2025, b).unwrap()));
    let selection = |months| Selection { stations: Stations::All, months, without: BTreeSet::new() };
    assert!(Selection::decode(&selection(months(7, 6)).encode()).is_err());
    assert!(Selection::decode(&selection(months(6, 6)).encode()).is_ok());
    let heads = vec![EntryHash([2; 32]), EntryHash([1; 32])];
    let vectors = Message::Vectors(Vectors { control_heads: heads, turn: Turn::default() });
    let (kind, payload) = split(&vectors.encode_frame());
    assert!(matches!(
        Message::decode(kind, &payload),
        Err(DecodeError::NotCanonical { field: "control heads", offset: 0 })
    ));
}

/// The largest vector that a store may state, and the fullest pack, fit into a message; one item more is refused.
#[test]
fn largest_parts_fit_into_a_message() {
    let tips = |count: usize| {
        let tips = (0..count).map(|n| {
            let device = u64::try_from(n).unwrap().to_be_bytes();
            let log = LogId { device: DeviceId(device), incarnation: Incarnation([0xff; 8]) };
            WireTip { log, seq: u32::MAX, head8: [0xff; 8] }
        });
        WireVector(tips.collect())
    };
    let stated = |vector| {
        let states = (0..256u16).map(|n| LogbookState {
            name: LogbookName::StationMonth(Code::new("ABCDEFGHIJKLMNOP").unwrap(), Month::from_number(n).unwrap()),
            vector8: [1; 8],
            state: StateDigest::EMPTY,
        });
        let turn = Turn {
            vectors: vec![(LogbookName::OrgDirectory, vector)],
            states: states.collect(),
            more: true,
            follow: 5_000,
        };
        let heads = (0..CONTROL_PARENTS_MAX).map(|n| EntryHash([u8::try_from(n).unwrap(); 32])).collect();
        Message::Vectors(Vectors { control_heads: heads, turn })
    };
    let (kind, payload) = split(&stated(tips(VECTOR_ENTRIES_MAX)).encode_frame());
    assert!(Message::decode(kind, &payload).is_ok(), "{} bytes", payload.len());
    let over = WireVector::decode(&tips(VECTOR_ENTRIES_MAX + 1).encode());
    assert!(matches!(over, Err(DecodeError::TooLarge { field: "vector", .. })));
    let steps = |count: usize| {
        let steps = (0..count).map(|n| (u32::try_from(n).unwrap(), [0; 8])).collect();
        Locator { log: LogId { device: DeviceId([1; 8]), incarnation: Incarnation([1; 8]) }, steps }
    };
    let most = LOCATOR_STEPS_MAX * TIPS_PER_LOG_MAX;
    assert!(Locator::decode(&steps(most).encode()).is_ok());
    assert!(Locator::decode(&steps(most + 1).encode()).is_err());
}

#[test]
fn blob_bytes_over_their_limit_are_refused() {
    let blob = |len| Message::Blob(Blob::Bytes { hash: BlobHash([1; 32]), from: 0, bytes: vec![0; len] });
    let (kind, payload) = split(&blob(BLOB_CHUNK_BYTES_MAX).encode_frame());
    assert!(Message::decode(kind, &payload).is_ok());
    let (kind, payload) = split(&blob(BLOB_CHUNK_BYTES_MAX + 1).encode_frame());
    assert!(matches!(Message::decode(kind, &payload), Err(DecodeError::TooLarge { field: "blob bytes", .. })));
    let past = Message::Blob(Blob::Want { hash: BlobHash([1; 32]), from: 0, to: BLOB_BYTES_MAX + 1 });
    let (kind, payload) = split(&past.encode_frame());
    assert!(Message::decode(kind, &payload).is_err());
}

#[test]
fn codes_of_refusals_are_permanent_from_128_on() {
    let mut seen = BTreeMap::new();
    for number in 0..=u8::MAX {
        let payload = [[7; 8].as_slice(), &[number]].concat();
        if let Ok(Message::Refuse(refuse)) = Message::decode(6, &payload) {
            assert_eq!(refuse.code.is_permanent(), number >= 128);
            seen.insert(number, refuse.code);
        }
    }
    assert_eq!(seen.len(), 7);
}
