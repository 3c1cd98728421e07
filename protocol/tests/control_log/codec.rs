//! Bytes: round trip, truncation, golden.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::control::{
    Carrier, Decision, Enrolment, Entry, FormVersion, Purge, PurgeTarget, QuarantineScope, ReplaceProof, Replaces,
    ReviewMemory, Role, SignError, SignatureError, SignedEntry, Signer,
};
use qianmo_protocol::ids::{ChangeHash, DocId, EntryHash, Epoch, LogbookId, OrgId};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Wire};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::random::any_decision;
use crate::world::{
    AUTHORITY, EPOCH, HUB, by_hub, code, cut, device, enrol, genesis, grant, hub_id, june, key, log_of, org, pack,
    public, tip,
};

const ENDS: EntryHash = EntryHash([0xee; 32]);

/// One decision of each kind, with every optional part present in one of them.
fn samples() -> Vec<(&'static str, Decision)> {
    let tips = BTreeSet::from([tip(&june("ST01"), log_of(1), pack(0x11))]);
    let change = ChangeHash([0xcc; 32]);
    let doc = DocId([0xdd; 16]);
    let logbook = LogbookId([0x10; 16]);
    let quarantine = |scope| Decision::Quarantine { scope, code: 259 };
    let purge = |target, memory| Decision::Purge(Purge { target, reason: 3, is_standing: true, memory });
    let memory = ReviewMemory { record: doc, kind: 2, seen: BTreeSet::from([DocId([1; 16]), DocId([2; 16])]) };
    let replacing = |replaces| {
        let persons = BTreeSet::from([code("P01"), code("P02")]);
        Decision::Enrol(Enrolment { key: public(2), persons, station: code("ST01"), replaces: Some(replaces) })
    };
    vec![
        ("epoch-start", Decision::EpochStart { parents: BTreeMap::from([(Epoch([7; 16]), 300)]) }),
        ("enrol", enrol(1, &["P01"])),
        ("enrol-by-ticket", replacing(Replaces { device: device(1), proof: ReplaceProof::Ticket })),
        ("enrol-by-old-key", replacing(Replaces::by_old_key(&org(), &key(1), &public(2)))),
        ("confirm", Decision::Confirm { device: device(1) }),
        ("adoption-complete", Decision::AdoptionComplete { epoch: EPOCH }),
        ("grant-stations", grant("P01", Role::Technician, &["ST01", "ST02"])),
        ("grant-district", grant("P09", Role::Admin, &[])),
        ("cut", Decision::Cut { ends: ENDS, tips: tips.clone() }),
        ("revoke", Decision::Revoke { device: device(1), reason: 4, tips: tips.clone() }),
        ("more-tips", Decision::MoreTips { of: ENDS, tips }),
        ("form", Decision::Form(FormVersion { form: code("visit"), version: 300, hash: [0xf0; 32] })),
        ("minimum-version", Decision::MinimumVersion { version: 2 }),
        ("end-minimum-version", Decision::EndMinimumVersion { ends: ENDS }),
        ("purge-document", purge(PurgeTarget::Document { doc, logbook }, Some(memory))),
        ("purge-hash", purge(PurgeTarget::Hash { change, doc }, None)),
        ("quarantine-content", quarantine(QuarantineScope::Change { change, carrier: Carrier::Content })),
        ("quarantine-carrier", quarantine(QuarantineScope::Change { change, carrier: Carrier::Pack(pack(5)) })),
        ("quarantine-pack", quarantine(QuarantineScope::Pack(pack(5)))),
        (
            "quarantine-log",
            quarantine(QuarantineScope::LogBeyondTips { logbook, log: log_of(1), tips: BTreeSet::from([pack(5)]) }),
        ),
        ("release", Decision::Release { ends: ENDS }),
        ("fork-proof", Decision::ForkProof { a: vec![1, 2, 3], b: vec![1, 2, 4] }),
        ("adopt", Decision::Adopt { entries: BTreeSet::from([ENDS]) }),
        ("unknown", Decision::Unknown { kind: 999, critical: true, body: vec![1, 2] }),
    ]
}

fn beacon() -> Beacon {
    let time = UnixMillis(1_750_000_000_000);
    Beacon { hub: hub_id(), epoch: EPOCH, sequence: 5, time, commit: 70_000, watermark: 300 }
}

fn receipt(verdict: Verdict) -> Receipt {
    Receipt { hub: hub_id(), epoch: EPOCH, commit: 70_000, packs: BTreeSet::from([pack(1), pack(2)]), verdict }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Every signed thing as it travels, and the name of each entry.
fn travelling() -> Vec<String> {
    let parent = genesis().content().hash(&org());
    let mut lines = vec![format!("hub {}", hex(&genesis().encode())), format!("hub.hash {parent}")];
    for (number, (name, decision)) in samples().into_iter().enumerate() {
        let entry = by_hub(EPOCH, u64::try_from(number).unwrap(), &[parent], decision);
        lines.push(format!("{name} {}", hex(&entry.encode())));
        lines.push(format!("{name}.hash {}", entry.content().hash(&org())));
    }
    let held = Verdict::Held(BTreeSet::from([(ChangeHash([9; 32]), 261)]));
    let sign_receipt = |receipt| SignedReceipt::sign(&org(), &key(HUB), receipt).unwrap().encode();
    lines.push(format!("beacon {}", hex(&SignedBeacon::sign(&org(), &key(HUB), beacon()).unwrap().encode())));
    lines.push(format!("receipt-passed {}", hex(&sign_receipt(receipt(Verdict::Passed)))));
    lines.push(format!("receipt-held {}", hex(&sign_receipt(receipt(held)))));
    lines
}

#[test]
fn bytes_of_every_kind_are_the_golden_ones() {
    let golden: Vec<&str> = include_str!("../golden/control.hex").lines().collect();
    let lines = travelling();
    for (have, want) in lines.iter().zip(&golden) {
        assert_eq!(have, want);
    }
    assert_eq!(lines.len(), golden.len(), "one golden line for each:\n{}", lines.join("\n"));
}

#[test]
fn golden_bytes_read_back_and_verify() {
    let unhex = |text: &str| -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
    };
    for line in include_str!("../golden/control.hex").lines() {
        let (name, text) = line.split_once(' ').unwrap();
        let bytes = unhex(text);
        if name.ends_with(".hash") {
            continue;
        }
        if name == "beacon" {
            let signed = SignedBeacon::decode(&bytes).unwrap();
            assert_eq!(signed.verify(&org(), &public(HUB)), Ok(&beacon()));
        } else if name.starts_with("receipt") {
            let signed = SignedReceipt::decode(&bytes).unwrap();
            assert_eq!(signed.verify(&org(), &public(HUB)).unwrap().commit, 70_000);
        } else {
            let signed = SignedEntry::decode(&bytes).unwrap();
            let signer = if name == "hub" { AUTHORITY } else { HUB };
            signed.verify(&org(), &public(signer)).unwrap();
            assert_eq!(signed.encode(), bytes);
        }
    }
}

#[test]
fn every_cut_body_of_every_kind_is_a_typed_error() {
    let mut decisions: Vec<Decision> = samples().into_iter().map(|(_, decision)| decision).collect();
    decisions.push(genesis().content().decision.clone());
    let kinds: BTreeSet<u16> = decisions.iter().map(Decision::kind).filter(|kind| *kind < 100).collect();
    assert_eq!(kinds, (1..=17).collect(), "a sample of every kind");
    for decision in decisions.iter().filter(|decision| decision.kind() < 100) {
        let body = decision.encode_body();
        assert_eq!(Decision::decode_body(decision.kind(), &body).unwrap().as_ref(), Some(decision));
        for end in 0..body.len() {
            let cut = Decision::decode_body(decision.kind(), &body[..end]);
            assert!(matches!(cut, Err(DecodeError::Truncated { .. })), "{decision:?} cut at {end}: {cut:?}");
        }
    }
}

#[test]
fn body_this_version_cannot_read_is_kept_byte_for_byte() {
    // A grant with a role that does not exist yet.
    let mut body = grant("P01", Role::Technician, &[]).encode_body();
    body[4] = 9;
    let decision = Decision::from_body(6, false, &body);
    assert_eq!(decision, Decision::Unknown { kind: 6, critical: false, body: body.clone() });
    assert_eq!((decision.kind(), decision.encode_body()), (6, body));
    // A known kind whose critical bit is not the one this version writes.
    let confirm = Decision::Confirm { device: device(1) }.encode_body();
    assert_eq!(Decision::from_body(4, true, &confirm).kind(), 4);
    assert!(Decision::from_body(4, true, &confirm).is_critical());
}

#[test]
fn signature_of_another_organisation_domain_or_content_does_not_verify() {
    let entry = by_hub(EPOCH, 1, &[], Decision::Release { ends: ENDS });
    assert!(entry.verify(&org(), &public(HUB)).is_ok());
    assert_eq!(entry.verify(&OrgId([1; 16]), &public(HUB)), Err(SignatureError::DoesNotVerify));
    assert_eq!(entry.verify(&org(), &public(AUTHORITY)), Err(SignatureError::DoesNotVerify));
    let mut bytes = entry.encode();
    bytes[12] ^= 1;
    let changed = SignedEntry::decode(&bytes).unwrap();
    assert_eq!(changed.verify(&org(), &public(HUB)), Err(SignatureError::DoesNotVerify));
}

#[test]
fn weak_key_signs_nothing() {
    // The neutral point as key and R, and S = 0: the equation holds for every message, strict verification refuses it.
    let neutral = {
        let mut point = [0u8; 32];
        point[0] = 1;
        point
    };
    let entry = by_hub(EPOCH, 1, &[], Decision::Release { ends: ENDS });
    let mut bytes = entry.content().encode();
    bytes.extend_from_slice(&neutral);
    bytes.extend_from_slice(&[0; 32]);
    let forged = SignedEntry::decode(&bytes).unwrap();
    assert_eq!(forged.verify(&org(), &neutral), Err(SignatureError::DoesNotVerify));
}

#[test]
fn entry_over_a_limit_is_not_signed() {
    let entry = |parents, decision| Entry {
        signer: Signer::Hub(hub_id()),
        epoch: EPOCH,
        number: 1,
        parents,
        time: UnixMillis(0),
        decision,
    };
    let hash = |number: u8| EntryHash([number; 32]);
    let many = entry((0..65).map(hash).collect(), Decision::Release { ends: ENDS });
    assert!(matches!(SignedEntry::sign(&org(), &key(HUB), many), Err(SignError::OverLimit(_))));
    let tips: Vec<_> = (0..=250).map(|number| tip(&june("ST01"), log_of(1), pack(number))).collect();
    let fits = entry(BTreeSet::new(), cut(ENDS, &tips[..250]));
    assert!(SignedEntry::sign(&org(), &key(HUB), fits).is_ok());
    let long = entry(BTreeSet::new(), cut(ENDS, &tips));
    assert!(matches!(SignedEntry::sign(&org(), &key(HUB), long), Err(SignError::NotReadable { .. })));
}

proptest! {
    #[test]
    fn prop_entry_reads_back_and_every_cut_is_a_typed_error(seed: u64, number: u64, parents in prop::collection::btree_set(any::<[u8; 32]>(), 0..5)) {
        let parents: Vec<EntryHash> = parents.into_iter().map(EntryHash).collect();
        let entry = by_hub(EPOCH, number, &parents, any_decision(&mut ChaCha8Rng::seed_from_u64(seed)));
        let bytes = entry.encode();
        let back = SignedEntry::decode(&bytes).unwrap();
        prop_assert_eq!(&back.encode(), &bytes);
        prop_assert_eq!(back, entry);
        for end in 0..bytes.len() {
            let cut = SignedEntry::decode(&bytes[..end]);
            let is_truncated = matches!(cut, Err(DecodeError::Truncated { .. }));
            prop_assert!(is_truncated, "cut at {}: {:?}", end, cut);
        }
    }

    #[test]
    fn prop_any_bytes_never_panic_and_have_one_form(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u16..20) {
        if let Ok(entry) = SignedEntry::decode(&bytes) {
            prop_assert_eq!(entry.encode(), bytes.clone());
        }
        if let Ok(Some(decision)) = Decision::decode_body(kind, &bytes) {
            prop_assert_eq!(decision.encode_body(), bytes.clone());
        }
        if let Ok(receipt) = SignedReceipt::decode(&bytes) {
            prop_assert_eq!(receipt.encode(), bytes.clone());
        }
        if let Ok(beacon) = SignedBeacon::decode(&bytes) {
            prop_assert_eq!(beacon.encode(), bytes);
        }
    }

    #[test]
    fn prop_flipped_bit_never_verifies(seed: u64, at: prop::sample::Index, bit in 0u8..8) {
        let entry = by_hub(EPOCH, 1, &[], any_decision(&mut ChaCha8Rng::seed_from_u64(seed)));
        let mut bytes = entry.encode();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = SignedEntry::decode(&bytes) {
            prop_assert!(changed.verify(&org(), &public(HUB)).is_err());
        }
    }

    #[test]
    fn prop_beacon_and_receipt_read_back_and_every_cut_is_a_typed_error(
        numbers: (u64, u64, u64, i64),
        packs in prop::collection::btree_set(any::<u8>(), 0..5),
        held in prop::option::of(prop::collection::btree_set((any::<u8>(), any::<u16>()), 0..5)),
    ) {
        let (sequence, commit, watermark, time) = numbers;
        let beacon = Beacon { sequence, commit, watermark, time: UnixMillis(time), ..beacon() };
        let verdict = held.map_or(Verdict::Passed, |held| {
            Verdict::Held(held.into_iter().map(|(change, code)| (ChangeHash([change; 32]), code)).collect())
        });
        let receipt = Receipt { commit, packs: packs.into_iter().map(pack).collect(), ..receipt(verdict) };
        let (beacon_bytes, receipt_bytes) = (beacon.encode(), receipt.encode());
        prop_assert_eq!(Beacon::decode(&beacon_bytes).unwrap(), beacon);
        prop_assert_eq!(Receipt::decode(&receipt_bytes).unwrap(), receipt);
        for end in 0..beacon_bytes.len() {
            let cut = matches!(Beacon::decode(&beacon_bytes[..end]), Err(DecodeError::Truncated { .. }));
            prop_assert!(cut, "beacon cut at {}", end);
        }
        for end in 0..receipt_bytes.len() {
            let cut = matches!(Receipt::decode(&receipt_bytes[..end]), Err(DecodeError::Truncated { .. }));
            prop_assert!(cut, "receipt cut at {}", end);
        }
    }
}
