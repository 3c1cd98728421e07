//! One organisation with one hub, and short ways to let it decide.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use qianmo_protocol::control::{
    ControlLog, Decision, Enrolment, Entry, Grant, HubKeys, Inserted, Role, Scope, SignedEntry, Signer, Tip,
};
use qianmo_protocol::ids::{Code, DeviceId, EntryHash, Epoch, HubId, Incarnation, LogId, LogbookName, OrgId, PackHash};
use qianmo_protocol::time::{Month, UnixMillis};

/// The key made of one byte.
pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

pub(crate) fn public(byte: u8) -> [u8; 32] {
    key(byte).verifying_key().to_bytes()
}

pub(crate) fn device(byte: u8) -> DeviceId {
    DeviceId::from_key(&public(byte))
}

pub(crate) fn code(text: &str) -> Code {
    Code::new(text).unwrap()
}

pub(crate) fn pack(byte: u8) -> PackHash {
    PackHash([byte; 32])
}

pub(crate) const AUTHORITY: u8 = 0xa0;
pub(crate) const HUB: u8 = 0xb0;
pub(crate) const EPOCH: Epoch = Epoch([1; 16]);

pub(crate) fn org() -> OrgId {
    OrgId::from_authority_key(&public(AUTHORITY))
}

pub(crate) fn hub_id() -> HubId {
    HubId::from_key(&public(HUB))
}

pub(crate) fn june(station: &str) -> LogbookName {
    LogbookName::StationMonth(code(station), Month::new(2025, 6).unwrap())
}

pub(crate) fn log_of(byte: u8) -> LogId {
    LogId { device: device(byte), incarnation: Incarnation([1; 8]) }
}

pub(crate) fn tip(logbook: &LogbookName, log: LogId, pack: PackHash) -> Tip {
    Tip { logbook: logbook.id(&org()), log, pack }
}

pub(crate) fn hub_keys(byte: u8) -> Decision {
    Decision::Hub(HubKeys { signing: public(byte), bundle: [byte; 32] })
}

pub(crate) fn enrol(byte: u8, persons: &[&str]) -> Decision {
    Decision::Enrol(Enrolment {
        key: public(byte),
        persons: persons.iter().map(|person| code(person)).collect(),
        station: code("ST01"),
        replaces: None,
    })
}

pub(crate) fn grant(person: &str, role: Role, stations: &[&str]) -> Decision {
    let scope = match stations {
        [] => Scope::District,
        _ => Scope::Stations(stations.iter().map(|station| code(station)).collect()),
    };
    Decision::Grant(Grant { person: code(person), role, scope })
}

pub(crate) fn cut(ends: EntryHash, tips: &[Tip]) -> Decision {
    Decision::Cut { ends, tips: tips.iter().copied().collect() }
}

pub(crate) fn signed(signing: u8, entry: Entry) -> SignedEntry {
    SignedEntry::sign(&org(), &key(signing), entry).unwrap()
}

/// An entry of the hub with given parents.
pub(crate) fn by_hub(epoch: Epoch, number: u64, parents: &[EntryHash], decision: Decision) -> SignedEntry {
    let parents: BTreeSet<_> = parents.iter().copied().collect();
    let time = UnixMillis(1_750_000_000_000);
    signed(HUB, Entry { signer: Signer::Hub(hub_id()), epoch, number, parents, time, decision })
}

/// The entry in which the authority names the hub.
pub(crate) fn genesis() -> SignedEntry {
    let time = UnixMillis(1_750_000_000_000);
    let parents = BTreeSet::new();
    signed(
        AUTHORITY,
        Entry { signer: Signer::Authority, epoch: EPOCH, number: 0, parents, time, decision: hub_keys(HUB) },
    )
}

/// A replica's log and the hub that writes into it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) log: ControlLog,
    pub(crate) epoch: Epoch,
}

impl World {
    /// The hub is named and its first epoch has begun.
    pub(crate) fn new() -> Self {
        let mut log = ControlLog::new(&public(AUTHORITY));
        log.insert(genesis()).unwrap();
        let mut world = Self { log, epoch: EPOCH };
        world.decide(Decision::EpochStart { parents: BTreeMap::new() });
        world
    }

    /// The hub decides, on all heads it knows.
    pub(crate) fn decide(&mut self, decision: Decision) -> EntryHash {
        let entry = self.log.draft(Signer::Hub(hub_id()), self.epoch, UnixMillis(1_750_000_000_000), decision);
        let hash = entry.hash(&org());
        let inserted = self.log.insert(signed(HUB, entry)).unwrap();
        assert_eq!(inserted, Inserted::New { admitted: vec![hash] });
        hash
    }

    /// A restore: the backup is this world, and a new epoch begins with a commit of the old one.
    pub(crate) fn restore(&mut self, epoch: Epoch, commit: u64) -> EntryHash {
        let parent = core::mem::replace(&mut self.epoch, epoch);
        self.decide(Decision::EpochStart { parents: BTreeMap::from([(parent, commit)]) })
    }

    /// Takes in all entries of another log, in the order it would send them.
    pub(crate) fn adopt(&mut self, other: &ControlLog) {
        for (_, entry) in other.iter() {
            self.log.insert(entry.clone()).unwrap();
        }
    }
}
