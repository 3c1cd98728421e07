//! Random decisions and graphs over a small world, so that entries often speak of the same things.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::control::{
    Carrier, Decision, Enrolment, FormVersion, Grant, Purge, PurgeTarget, QuarantineScope, ReplaceProof, Replaces,
    ReviewMemory, Role, Scope, SignedEntry, Tip,
};
use qianmo_protocol::ids::{ChangeHash, Code, DocId, EntryHash, Epoch, Incarnation, LogId, LogbookId, PackHash};
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;

use crate::world::{EPOCH, HUB, by_hub, code, device, genesis, hub_keys, key, org, public};

fn few(rng: &mut ChaCha8Rng) -> u8 {
    rng.random_range(1..4)
}

fn person(rng: &mut ChaCha8Rng) -> Code {
    code(&format!("P{}", few(rng)))
}

fn station(rng: &mut ChaCha8Rng) -> Code {
    code(&format!("ST{}", few(rng)))
}

fn some<T: Ord>(rng: &mut ChaCha8Rng, mut one: impl FnMut(&mut ChaCha8Rng) -> T) -> BTreeSet<T> {
    (0..rng.random_range(0..4)).map(|_| one(rng)).collect()
}

fn logbook(rng: &mut ChaCha8Rng) -> LogbookId {
    LogbookId([few(rng); 16])
}

fn log(rng: &mut ChaCha8Rng) -> LogId {
    LogId { device: device(few(rng)), incarnation: Incarnation([few(rng); 8]) }
}

fn pack(rng: &mut ChaCha8Rng) -> PackHash {
    PackHash([few(rng); 32])
}

fn doc(rng: &mut ChaCha8Rng) -> DocId {
    DocId([few(rng); 16])
}

fn tip(rng: &mut ChaCha8Rng) -> Tip {
    Tip { logbook: logbook(rng), log: log(rng), pack: pack(rng) }
}

fn role(rng: &mut ChaCha8Rng) -> Role {
    Role::from_number(rng.random_range(1..=5)).unwrap()
}

fn scope(rng: &mut ChaCha8Rng) -> Scope {
    if rng.random() { Scope::District } else { Scope::Stations(some(rng, station)) }
}

fn enrolment(rng: &mut ChaCha8Rng) -> Enrolment {
    let new = public(few(rng));
    let replaces = match rng.random_range(0..4) {
        0 => Some(Replaces { device: device(few(rng)), proof: ReplaceProof::Ticket }),
        1 => Some(Replaces::by_old_key(&org(), &key(few(rng)), &new)),
        2 => {
            let proof = ReplaceProof::OldKey { key: public(few(rng)), signature: [7; 64] };
            Some(Replaces { device: device(few(rng)), proof })
        }
        _ => None,
    };
    Enrolment { key: new, persons: some(rng, person), station: station(rng), replaces }
}

fn purge(rng: &mut ChaCha8Rng) -> Purge {
    let target = if rng.random() {
        PurgeTarget::Document { doc: doc(rng), logbook: logbook(rng) }
    } else {
        PurgeTarget::Hash { change: ChangeHash([few(rng); 32]), doc: doc(rng) }
    };
    let memory = ReviewMemory { record: doc(rng), kind: few(rng), seen: some(rng, doc) };
    Purge {
        target,
        reason: u16::from(few(rng)),
        is_standing: rng.random(),
        memory: rng.random::<bool>().then_some(memory),
    }
}

fn quarantine(rng: &mut ChaCha8Rng) -> QuarantineScope {
    let change = ChangeHash([few(rng); 32]);
    match rng.random_range(0..4) {
        0 => QuarantineScope::Change { change, carrier: Carrier::Content },
        1 => QuarantineScope::Change { change, carrier: Carrier::Pack(pack(rng)) },
        2 => QuarantineScope::Pack(pack(rng)),
        _ => QuarantineScope::LogBeyondTips { logbook: logbook(rng), log: log(rng), tips: some(rng, pack) },
    }
}

/// Any decision a hub may sign. `ends` is drawn from the entries there are.
pub(crate) fn decision(rng: &mut ChaCha8Rng, there: &[EntryHash]) -> Decision {
    let ends = there.choose(rng).copied().unwrap_or(EntryHash([9; 32]));
    match rng.random_range(0..18) {
        0 => Decision::EpochStart {
            parents: BTreeMap::from([(Epoch([few(rng); 16]), rng.random()), (Epoch([9; 16]), rng.random())]),
        },
        1 | 2 => Decision::Enrol(enrolment(rng)),
        3 => Decision::Confirm { device: device(few(rng)) },
        4 => Decision::AdoptionComplete { epoch: Epoch([few(rng); 16]) },
        5 | 6 => Decision::Grant(Grant { person: person(rng), role: role(rng), scope: scope(rng) }),
        7 => Decision::Cut { ends, tips: some(rng, tip) },
        8 => Decision::Revoke { device: device(few(rng)), reason: rng.random(), tips: some(rng, tip) },
        9 => Decision::MoreTips { of: ends, tips: some(rng, tip) },
        10 => Decision::Form(FormVersion { form: person(rng), version: rng.random(), hash: [few(rng); 32] }),
        11 => Decision::MinimumVersion { version: rng.random() },
        12 => Decision::EndMinimumVersion { ends },
        13 => Decision::Purge(purge(rng)),
        14 => Decision::Quarantine { scope: quarantine(rng), code: rng.random_range(250..270) },
        15 => Decision::Release { ends },
        16 => Decision::Adopt { entries: BTreeSet::from([ends]) },
        _ if rng.random() => Decision::ForkProof { a: vec![few(rng); 20], b: vec![few(rng); 21] },
        _ => Decision::Unknown {
            kind: rng.random_range(100..u16::MAX),
            critical: rng.random(),
            body: vec![few(rng); rng.random_range(0..9)],
        },
    }
}

/// A graph of any shape: the authority's entry first, each other with up to three parents before it.
pub(crate) fn graph(rng: &mut ChaCha8Rng, count: usize) -> Vec<SignedEntry> {
    let mut entries = vec![genesis()];
    let mut hashes = vec![genesis().content().hash(&org())];
    for number in 0..count {
        let recent = hashes.len().saturating_sub(6);
        let wanted = rng.random_range(0..4);
        let parents: Vec<EntryHash> = hashes[recent..].choose_multiple(rng, wanted).copied().collect();
        let epoch = if rng.random() { EPOCH } else { Epoch([few(rng); 16]) };
        let entry = by_hub(epoch, u64::try_from(number).unwrap(), &parents, decision(rng, &hashes));
        hashes.push(entry.content().hash(&org()));
        entries.push(entry);
    }
    entries
}

/// The same entries in another order.
pub(crate) fn shuffled(rng: &mut ChaCha8Rng, entries: &[SignedEntry]) -> Vec<SignedEntry> {
    let mut entries = entries.to_vec();
    entries.shuffle(rng);
    entries
}

/// A decision of every kind, the authority's included.
pub(crate) fn any_decision(rng: &mut ChaCha8Rng) -> Decision {
    if rng.random_range(0..18) == 0 { hub_keys(HUB) } else { decision(rng, &[]) }
}
