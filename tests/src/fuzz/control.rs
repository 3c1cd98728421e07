//! Decisions of the organisation: any of them, rightly signed or not, in any order.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use qianmo_protocol::control::{Admission, ControlLog, Decision, Entry, Fold, HubKeys, Inserted, SignedEntry, Signer};
use qianmo_protocol::ids::{EntryHash, Epoch, HubId, OrgId};
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::Wire as _;

use super::script::{Script, piece};
use super::session::with_world;

const ENTRIES_MAX: usize = 48;

pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        let Ok(Message::Control(entries)) = Message::decode(12, bytes) else { return };
        with_world(|world| any_order(&world.authority_public, &entries));
    } else {
        let authority = key(0);
        any_order(authority.verifying_key().as_bytes(), &scripted(Script::new(bytes)));
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::from_bytes(&[number + 1; 32])
}

fn hub(number: u8) -> HubId {
    HubId::from_key(key(number).verifying_key().as_bytes())
}

/// Entries of an authority and three hubs, of which the script may name some; the fourth nobody names.
fn scripted(mut script: Script<'_>) -> Vec<SignedEntry> {
    let org = OrgId::from_authority_key(key(0).verifying_key().as_bytes());
    let mut entries: Vec<SignedEntry> = Vec::new();
    let mut hashes: Vec<EntryHash> = Vec::new();
    while !script.is_over() && entries.len() < ENTRIES_MAX {
        let writer = u8::try_from(script.below(5)).unwrap();
        let parents: BTreeSet<EntryHash> = match script.below(4) {
            0 => hashes.last().copied().into_iter().collect(),
            1 => BTreeSet::new(),
            2 if hashes.is_empty() => [EntryHash([7; 32])].into(),
            2 => [*script.pick(&hashes)].into(),
            _ => hashes.iter().rev().take(script.below(5)).copied().collect(),
        };
        let decision = decision(&mut script, &hashes);
        let entry = Entry {
            signer: if writer == 0 { Signer::Authority } else { Signer::Hub(hub(writer)) },
            epoch: Epoch([u8::try_from(script.below(4)).unwrap(); 16]),
            number: u64::from(script.byte()),
            parents,
            time: UnixMillis(1_750_000_000_000),
            decision,
        };
        hashes.push(entry.hash(&org));
        let signer = key(if script.once_in(16) { 4 } else { writer });
        match SignedEntry::sign(&org, &signer, entry) {
            Ok(signed) => entries.push(signed),
            Err(_) => drop(hashes.pop()),
        }
    }
    entries
}

fn decision(script: &mut Script<'_>, hashes: &[EntryHash]) -> Decision {
    match script.below(4) {
        0 => Decision::Hub(HubKeys { signing: key(script.byte() % 4).verifying_key().to_bytes(), bundle: [7; 32] }),
        1 if !hashes.is_empty() => {
            let ends = *script.pick(hashes);
            match script.below(3) {
                0 => Decision::Release { ends },
                1 => Decision::EndMinimumVersion { ends },
                _ => Decision::Adopt { entries: [ends].into() },
            }
        }
        _ => {
            let kind = u16::from(script.byte() % 20);
            let critical = script.below(2) == 1;
            Decision::from_body(kind, critical, script.bytes())
        }
    }
}

/// What a log holds does not depend on the order in which entries came, and equals a fold from scratch.
fn any_order(authority: &[u8; 32], entries: &[SignedEntry]) {
    for entry in entries {
        assert_eq!(SignedEntry::decode(&entry.encode()).as_ref(), Ok(entry));
    }
    let mut log = ControlLog::new(authority);
    let forwards = inserted(&mut log, &entries.iter().collect::<Vec<_>>());
    let mut other = ControlLog::new(authority);
    let backwards = inserted(&mut other, &entries.iter().rev().collect::<Vec<_>>());
    assert_eq!(*log.fold(), Fold::of(&log), "kept up to date otherwise than from scratch");
    if forwards && backwards {
        assert_eq!(log.heads(), other.heads());
        assert_eq!(log.fold(), other.fold(), "another order, another fold");
        assert_eq!(
            log.iter().map(|(hash, _)| hash).collect::<Vec<_>>(),
            other.iter().map(|(hash, _)| hash).collect::<Vec<_>>()
        );
    }
    given_to_another(authority, &log);
    asked(&log);
}

/// True if nothing was turned away for want of room: then the order cannot matter.
fn inserted(log: &mut ControlLog, entries: &[&SignedEntry]) -> bool {
    let mut had_room = true;
    for entry in entries {
        let before = log.len();
        match log.insert(SignedEntry::clone(entry)) {
            Ok(Inserted::New { admitted }) => assert_eq!(log.len(), before + admitted.len()),
            Ok(Inserted::Known | Inserted::Waiting) => assert_eq!(log.len(), before),
            Err(qianmo_protocol::control::ControlError::TooManyWaiting { .. }) => had_room = false,
            Err(error) => {
                assert_eq!(log.len(), before, "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
    }
    had_room
}

/// A peer that holds half and asks with its heads gets the rest. An entry of a hub that did not know
/// of its own naming waits for that, and whatever follows it too.
fn given_to_another(authority: &[u8; 32], log: &ControlLog) {
    let mut peer = ControlLog::new(authority);
    let half: Vec<&SignedEntry> = log.iter().map(|(_, entry)| entry).take(log.len() / 2).collect();
    inserted(&mut peer, &half);
    let heads: Vec<EntryHash> = peer.heads().iter().copied().collect();
    let missing = log.missing_for(&heads);
    assert!(missing.unknown_heads.is_empty());
    for hash in &missing.entries {
        let entry = log.entry(hash).unwrap();
        peer.insert(entry.clone()).unwrap();
    }
    assert_eq!(peer.fold(), log.fold());
}

/// What is asked of a fold at every pack and connection.
fn asked(log: &ControlLog) {
    let fold = log.fold();
    let epochs: Vec<Epoch> = fold.epochs().map(|(epoch, _)| *epoch).collect();
    for (device, _) in fold.devices() {
        assert!(fold.owners_of(device).contains(device));
        for epoch in &epochs {
            let is_revoked = fold.device(device).is_some_and(|device| device.is_revoked());
            assert!(!is_revoked || fold.may_connect(device, epoch) != Admission::Full, "revoked, and let in");
        }
    }
    for epoch in &epochs {
        // A faulty hub can write a circle of epochs; asking about it ends all the same.
        assert!(!fold.is_epoch_ancestor(epoch, epoch));
    }
    assert!(fold.holding().count() <= log.len());
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    with_world(|world| {
        let honest: Vec<SignedEntry> = world.control.clone();
        let frame = |entries: &[SignedEntry]| Message::Control(entries.to_vec()).encode_frame();
        let payload = |entries: &[SignedEntry]| {
            let frame = frame(entries);
            let length = frame[1..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 2;
            [&[0], &frame[length..]].concat()
        };
        let mut seeds = vec![payload(&honest)];
        seeds.extend(honest.iter().map(|entry| payload(std::slice::from_ref(entry))));
        let mut script = vec![1];
        for entry in &honest {
            let content = entry.content();
            let writer = u8::from(content.signer != Signer::Authority);
            let body = piece(&content.decision.encode_body());
            let kind = u8::try_from(content.decision.kind()).unwrap();
            script.extend([writer, 0, 3, kind, u8::from(content.decision.is_critical())]);
            script.extend(body);
            script.extend([1, u8::try_from(content.number).unwrap(), 0]);
        }
        seeds.push(script);
        // The authority names a hub; the hub decides, and ends what it decided.
        seeds.push(vec![1, 0, 0, 0, 1, 1, 0, 0, 1, 0, 3, 11, 1, 2, 0, 9, 1, 1, 0, 1, 0, 1, 1, 1, 1, 2, 0]);
        seeds
    })
}
