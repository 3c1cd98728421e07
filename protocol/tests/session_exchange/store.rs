//! A replica in memory: packs by logbook, the real control log, and the rights that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use ed25519_dalek::SigningKey;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::change::{ActorId, RawChange};
use qianmo_protocol::control::{
    Admission, ControlLog, Decision, Enrolment, Entry as ControlEntry, Grant, HubKeys, Role, Scope, SignedEntry, Signer,
};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{
    ChangeHash, Code, DeviceId, EntryHash, Epoch, HubId, Incarnation, LogId, LogbookId, LogbookName, OrgId, PackHash,
};
use qianmo_protocol::pack::{Entry, Pack, Place, seal};
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::record::{Origin, RecordRoot, create};
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::session::{Access, Opening, Shelf, Stay, StoreOutcome, Toward};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{LogTrees, PackNode, Selection, Stations, Tip, Vector, WireVector};

const AUTHORITY: u8 = 0xa0;
const HUB: u8 = 0xb0;
pub(crate) const EPOCH: Epoch = Epoch([1; 16]);
const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

pub(crate) fn key(byte: u8) -> SigningKey {
    SigningKey::from_bytes(&[byte; 32])
}

pub(crate) fn public(byte: u8) -> [u8; 32] {
    key(byte).verifying_key().to_bytes()
}

pub(crate) fn code(text: &str) -> Code {
    Code::new(text).unwrap()
}

pub(crate) fn org() -> OrgId {
    OrgId::from_authority_key(&public(AUTHORITY))
}

/// A station's logbook of a month of 2025.
pub(crate) fn month(station: &str, month: u8) -> LogbookName {
    LogbookName::StationMonth(code(station), Month::new(2025, month).unwrap())
}

pub(crate) fn directory(station: &str) -> LogbookName {
    LogbookName::StationDirectory(code(station))
}

fn changes() -> &'static [RawChange] {
    static CHANGES: OnceLock<Vec<RawChange>> = OnceLock::new();
    CHANGES.get_or_init(|| {
        let root = |created_at| RecordRoot {
            form: code("visit"),
            form_version: 1,
            station: Some(code("ST01")),
            logbook: LogbookId([1; 16]),
            author: code("P01"),
            created_at: UnixMillis(created_at),
        };
        let origin = Origin { actor: ActorId([1; 16]), person: code("P01"), time: NOW };
        let one = |n| create(&origin, &root(n), &BTreeMap::new(), &BTreeMap::new()).unwrap().change;
        (0..16).map(one).collect()
    })
}

#[derive(Debug, Clone, Default)]
struct Book {
    packs: BTreeMap<PackHash, (Pack, u64)>,
    places: BTreeMap<(LogId, u32), BTreeSet<PackHash>>,
    tips: BTreeSet<Tip>,
    mine: Option<(u32, PackHash)>,
    known: BTreeSet<ChangeHash>,
    state: StateDigest,
}

#[derive(Debug, Clone)]
pub(crate) struct Store {
    byte: u8,
    control: ControlLog,
    books: BTreeMap<LogbookName, Book>,
    pub(crate) incarnation: Incarnation,
    commit: u64,
    /// The epoch, if this is a hub.
    pub(crate) hub: Option<Epoch>,
    /// A tablet: the epoch it saw last.
    pub(crate) seen_epoch: Option<Epoch>,
    /// A tablet: packs that the hub made durable.
    pub(crate) receipted: BTreeSet<PackHash>,
    pub(crate) selection: Selection,
    pub(crate) live: Vec<LogbookName>,
    /// Packs that are refused for want of room.
    pub(crate) no_room_for: BTreeSet<PackHash>,
    /// A fault: states come out wrong.
    pub(crate) is_faulty: bool,
    pub(crate) sequence: u64,
    /// The device's clock. A clone's differs, so that its packs do.
    pub(crate) clock: i64,
}

impl Store {
    /// A hub that the authority named, in its first epoch.
    pub(crate) fn hub() -> Self {
        let mut hub = Self::new(HUB, ControlLog::new(&public(AUTHORITY)));
        hub.hub = Some(EPOCH);
        let keys = HubKeys { signing: public(HUB), bundle: [1; 32] };
        let genesis = ControlEntry {
            signer: Signer::Authority,
            epoch: EPOCH,
            number: 0,
            parents: BTreeSet::new(),
            time: NOW,
            decision: Decision::Hub(keys),
        };
        hub.control.insert(SignedEntry::sign(&org(), &key(AUTHORITY), genesis).unwrap()).unwrap();
        hub.decide(Decision::EpochStart { parents: BTreeMap::new() });
        hub
    }

    fn new(byte: u8, control: ControlLog) -> Self {
        Self {
            byte,
            control,
            books: BTreeMap::new(),
            incarnation: Incarnation([byte; 8]),
            commit: 0,
            hub: None,
            seen_epoch: None,
            receipted: BTreeSet::new(),
            selection: Selection::everything(),
            live: vec![LogbookName::OrgDirectory, directory("ST01"), month("ST01", 5), month("ST01", 6)],
            no_room_for: BTreeSet::new(),
            is_faulty: false,
            sequence: 0,
            clock: NOW.0,
        }
    }

    /// The hub enrols a tablet whose person works at some stations. The tablet knows the control log up to here.
    pub(crate) fn enrol(&mut self, byte: u8, stations: &[&str]) -> Self {
        let person = code(&format!("P{byte}"));
        self.decide(Decision::Enrol(Enrolment {
            key: public(byte),
            persons: BTreeSet::from([person.clone()]),
            station: code("ST01"),
            replaces: None,
        }));
        let scope = Scope::Stations(stations.iter().map(|station| code(station)).collect());
        self.decide(Decision::Grant(Grant { person, role: Role::Technician, scope }));
        let mut tablet = Self::new(byte, self.control.clone());
        tablet.seen_epoch = self.hub;
        tablet
    }

    /// A tablet with a key that nobody enrolled.
    pub(crate) fn stranger(byte: u8) -> Self {
        Self::new(byte, ControlLog::new(&public(AUTHORITY)))
    }

    /// The hub decides, on all heads it knows.
    pub(crate) fn decide(&mut self, decision: Decision) -> EntryHash {
        let signer = Signer::Hub(HubId::from_key(&public(HUB)));
        let entry = self.control.draft(signer, self.hub.unwrap(), NOW, decision);
        let hash = entry.hash(&org());
        self.control.insert(SignedEntry::sign(&org(), &key(HUB), entry).unwrap()).unwrap();
        hash
    }

    /// This hub was brought back from a backup: a new epoch begins.
    pub(crate) fn restore(&mut self, epoch: Epoch) {
        let old = self.hub.replace(epoch).unwrap();
        self.decide(Decision::EpochStart { parents: BTreeMap::from([(old, self.commit)]) });
    }

    pub(crate) fn device(&self) -> DeviceId {
        DeviceId::from_key(&public(self.byte))
    }

    /// Seals a pack with one change.
    pub(crate) fn write(&mut self, name: &LogbookName) -> PackHash {
        self.clock += 1;
        let book = self.books.entry(name.clone()).or_default();
        let pool = changes();
        let change = pool[book.packs.len() % pool.len()].clone();
        let place = Place {
            logbook: name.clone(),
            incarnation: self.incarnation,
            after: book.mine,
            control: self.control.position().unwrap_or(EntryHash([0; 32])),
            time: UnixMillis(self.clock),
        };
        let pack = seal(&org(), &key(self.byte), place, vec![Entry::Root { change }], 1).unwrap();
        let (hash, seq) = (pack.hash(), pack.header().seq);
        book.mine = Some((seq, hash));
        let entries = pack.entries().to_vec();
        self.append(hash, pack.pack().clone(), &entries);
        hash
    }

    /// A pack of the hub's own log. The hub's device is enrolled like any other when it first writes.
    pub(crate) fn write_as_hub(&mut self, name: &LogbookName) -> PackHash {
        if self.control.fold().device(&self.device()).is_none() {
            self.decide(Decision::Enrol(Enrolment {
                key: public(self.byte),
                persons: BTreeSet::from([code("HUB")]),
                station: code("ST01"),
                replaces: None,
            }));
        }
        self.write(name)
    }

    /// The log this store writes now.
    pub(crate) fn own_log(&self) -> LogId {
        LogId { device: self.device(), incarnation: self.incarnation }
    }

    fn append(&mut self, hash: PackHash, pack: Pack, entries: &[Entry]) {
        self.commit += 1;
        let book = self.books.entry(pack.header.logbook.clone()).or_default();
        let (log, seq) = (pack.header.log, pack.header.seq);
        for entry in entries {
            if book.known.insert(entry.hash()) {
                book.state = book.state.plus(StateDigest::of_document(&entry.doc(), &[entry.hash()], &[]));
            }
        }
        if seq > 0 {
            book.tips.remove(&Tip { log, seq: seq - 1, head: pack.header.prev });
        }
        book.tips.insert(Tip { log, seq, head: hash });
        book.places.entry((log, seq)).or_default().insert(hash);
        book.packs.insert(hash, (pack, self.commit));
    }

    /// What a store does with a pack from a peer.
    pub(crate) fn take(&mut self, pack: Pack) -> StoreOutcome {
        let hash = pack.hash(&org());
        let refused = |code| StoreOutcome::Refused { hash, code };
        let name = pack.header.logbook.clone();
        let held = self.books.get(&name).and_then(|book| book.packs.get(&hash));
        if let Some((_, commit)) = held {
            return StoreOutcome::Held { hash, commit: *commit };
        }
        if self.no_room_for.contains(&hash) {
            return refused(RefuseCode::Quota);
        }
        let Some(key) = self.control.fold().device(&pack.header.log.device).and_then(|device| device.key()).copied()
        else {
            return refused(RefuseCode::UnknownDevice);
        };
        let has_prev = self.books.get(&name).is_some_and(|book| book.packs.contains_key(&pack.header.prev));
        if pack.header.seq > 0 && !has_prev {
            return refused(RefuseCode::MissingPrev);
        }
        let Ok(verified) = pack.verify(&org(), &key) else { return refused(RefuseCode::BadSignature) };
        let (pack, entries) = verified.into_parts();
        self.append(hash, pack, &entries);
        StoreOutcome::Held { hash, commit: self.commit }
    }

    pub(crate) fn adopt(&mut self, entries: Vec<SignedEntry>) {
        for entry in entries {
            // A forged entry is no reason to stop here: the log refuses it, and the test looks at the log.
            if self.control.insert(entry).is_err() {
                continue;
            }
        }
    }

    /// Begins a new log in a logbook.
    pub(crate) fn forget_own_log(&mut self, name: &LogbookName, incarnation: Incarnation) {
        self.incarnation = incarnation;
        self.books.entry(name.clone()).or_default().mine = None;
    }

    pub(crate) fn hashes(&self) -> BTreeSet<PackHash> {
        self.books.values().flat_map(|book| book.packs.keys().copied()).collect()
    }

    pub(crate) fn hashes_in(&self, name: &LogbookName) -> BTreeSet<PackHash> {
        self.books.get(name).map(|book| book.packs.keys().copied().collect()).unwrap_or_default()
    }

    pub(crate) fn vectors(&self) -> BTreeMap<LogbookName, Vector> {
        self.books.iter().map(|(name, book)| (name.clone(), Vector(book.tips.clone()))).collect()
    }

    /// Own packs that no hub has made durable.
    pub(crate) fn unreceipted(&self) -> Vec<(LogbookName, PackHash)> {
        let device = self.device();
        let mut packs: Vec<(u64, LogbookName, PackHash)> = Vec::new();
        for (name, book) in &self.books {
            let mine = book
                .packs
                .iter()
                .filter(|(hash, (pack, _))| pack.header.log.device == device && !self.receipted.contains(*hash));
            packs.extend(mine.map(|(hash, (_, commit))| (*commit, name.clone(), *hash)));
        }
        packs.sort();
        packs.into_iter().map(|(_, name, hash)| (name, hash)).collect()
    }

    pub(crate) fn opening(&self, toward: Toward, stay: Stay) -> Opening {
        Opening {
            selection: self.selection.clone(),
            live: self.live.clone(),
            unreceipted: self.unreceipted(),
            toward,
            epoch: self.seen_epoch,
            stay,
            about: None,
        }
    }
}

impl LogTrees for Store {
    fn tips(&self, logbook: &LogbookName) -> Vec<Tip> {
        self.books.get(logbook).into_iter().flat_map(|book| book.tips.iter().copied()).collect()
    }

    fn node(&self, logbook: &LogbookName, hash: &PackHash) -> Option<PackNode> {
        let (pack, commit) = self.books.get(logbook)?.packs.get(hash)?;
        Some(PackNode { hash: *hash, prev: pack.header.prev, seq: pack.header.seq, commit: *commit })
    }

    fn nodes_at(&self, logbook: &LogbookName, log: &LogId, seq: u32) -> Vec<PackNode> {
        let hashes = self.books.get(logbook).and_then(|book| book.places.get(&(*log, seq)));
        hashes.into_iter().flatten().filter_map(|hash| self.node(logbook, hash)).collect()
    }
}

impl Shelf for Store {
    fn org(&self) -> OrgId {
        org()
    }

    fn control(&self) -> &ControlLog {
        &self.control
    }

    fn access(&self, peer: &DeviceId) -> Access {
        let admission = match self.hub {
            Some(epoch) => self.control.fold().may_connect(peer, &epoch),
            // A tablet does not wait for confirmations: an epoch that nobody began asks for none.
            None => self.control.fold().may_connect(peer, &Epoch([0; 16])),
        };
        match admission {
            Admission::Full => Access::Full,
            Admission::UploadOnly(_) => Access::UploadOnly,
            Admission::Unknown | Admission::Refused => Access::Unknown,
        }
    }

    fn may_read(&self, peer: &DeviceId, logbook: &LogbookName) -> bool {
        self.control.fold().may_read(peer, logbook)
    }

    fn narrowed(&self, peer: &DeviceId, selection: &Selection) -> Option<Selection> {
        let Stations::These(asked) = &selection.stations else { return None };
        let may = |station: &&Code| self.may_read(peer, &LogbookName::StationDirectory((*station).clone()));
        let allowed: BTreeSet<Code> = asked.iter().filter(may).cloned().collect();
        (allowed != *asked).then(|| Selection { stations: Stations::These(allowed), ..selection.clone() })
    }

    fn logbooks(&self) -> Vec<LogbookName> {
        self.books.iter().filter(|(_, book)| !book.tips.is_empty()).map(|(name, _)| name.clone()).collect()
    }

    fn vector(&self, logbook: &LogbookName) -> WireVector {
        Vector(self.tips(logbook).into_iter().collect()).to_wire()
    }

    fn vector_digest(&self, logbook: &LogbookName) -> [u8; 32] {
        Vector(self.tips(logbook).into_iter().collect()).digest()
    }

    fn state_digest(&self, logbook: &LogbookName) -> Option<StateDigest> {
        let state = self.books.get(logbook).map_or(StateDigest::EMPTY, |book| book.state);
        let fault = StateDigest::from_bytes([1; 32]);
        Some(if self.is_faulty { state.plus(fault) } else { state })
    }

    fn pack(&self, logbook: &LogbookName, hash: &PackHash) -> Option<Pack> {
        self.books.get(logbook)?.packs.get(hash).map(|(pack, _)| pack.clone())
    }

    fn receipts(&self, _pack: &PackHash) -> Vec<SignedReceipt> {
        Vec::new()
    }

    fn beacon(&self) -> Option<SignedBeacon> {
        let beacon = Beacon {
            hub: HubId::from_key(&public(HUB)),
            epoch: self.hub?,
            sequence: self.sequence,
            time: NOW,
            commit: self.commit,
            watermark: self.commit / 2,
        };
        Some(SignedBeacon::sign(&org(), &key(HUB), beacon).unwrap())
    }

    fn hub(&self) -> Option<(HubId, Epoch)> {
        self.hub.map(|epoch| (HubId::from_key(&public(HUB)), epoch))
    }
}
