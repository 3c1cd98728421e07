//! A small organisation: an authority, a hub and tablets, meeting without a network, in memory or in folders.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::change::{ActorId, Scalar};
use qianmo_protocol::control::{
    Carrier, Decision, Enrolment, Grant, HubKeys, QuarantineScope, Role as GrantRole, Scope, SignedEntry, Signer,
};
use qianmo_protocol::ids::{Code, DeviceId, DocId, Epoch, HubId, LogbookName, OrgId, PackHash};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::record::{FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::session::message::{FrameReader, Message};
use qianmo_protocol::session::{Opening, Shelf as _, Stay, Tally, Toward};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{LogTrees as _, Selection, Stations};
use qianmo_replica::disk::{Disk, MemoryDisk, RealDisk};
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::index::{Index, MemoryIndex, SledIndex};
use qianmo_replica::replica::{CODE_WAITS, HeldPart, Identity, JudgeReport, Replica, Role};
use rand::RngCore as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

/// When the organisation begins: 2025-06-15.
pub const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

/// The epoch of its hub.
const EPOCH: Epoch = Epoch([1; 16]);

/// Where stores are.
#[derive(Clone)]
pub enum Storage {
    /// In memory, with the simulated disk.
    Memory,
    /// In folders under this one, with the real disk and sled.
    Folder(PathBuf),
    /// Likewise, over disks that somebody else makes.
    Over(PathBuf, DiskMaker),
}

/// Makes the disk of a store from its name and the folder of its log.
pub type DiskMaker = Arc<dyn Fn(&str, &Path) -> Box<dyn Disk> + Send + Sync>;

/// An organisation.
pub struct World {
    /// All its randomness.
    pub rng: ChaCha20Rng,
    /// Its authority's key.
    pub authority: SigningKey,
    /// Its id.
    pub org: OrgId,
    /// Its hub.
    pub hub: Hub,
    /// Its clock, in milliseconds.
    pub clock: i64,
    /// Where new stores go.
    pub storage: Storage,
    /// Zstandard's level for sealing.
    pub level: i32,
    stores: usize,
}

/// The hub.
pub struct Hub {
    /// What it signs decisions and receipts with.
    pub signing: SigningKey,
    /// Its id.
    pub id: HubId,
    /// Its epoch.
    pub epoch: Epoch,
    /// Its disk, when it is a simulated one.
    pub disk: MemoryDisk,
    /// What it holds.
    pub replica: Replica,
    /// The last commit that is in a backup.
    pub watermark: u64,
    /// Beacons signed in this epoch.
    pub beacons: u64,
}

/// A tablet.
pub struct Tablet {
    /// Its key.
    pub key: SigningKey,
    /// Its disk, when it is a simulated one.
    pub disk: MemoryDisk,
    /// What it holds.
    pub replica: Replica,
    /// Who works on it.
    pub person: Code,
    /// What it wants to hold.
    pub selection: Selection,
    /// The hub's epoch it saw last.
    pub epoch: Option<Epoch>,
    /// Logbooks whose vectors go into its hello.
    pub live: Vec<LogbookName>,
}

/// What a meeting did.
#[derive(Debug, Default)]
pub struct Meeting {
    /// The tablet's count of turns and packs.
    pub tally: Tally,
    /// Bytes of frames to the hub.
    pub bytes_up: usize,
    /// Bytes of frames to the tablet.
    pub bytes_down: usize,
    /// Logbooks whose states differ where they must not.
    pub states_differ: Vec<LogbookName>,
    /// Whether the tablet found nothing left to do.
    pub finished: bool,
    /// The tablet's processor time.
    pub cpu_tablet: Duration,
    /// The hub's processor time.
    pub cpu_hub: Duration,
}

/// Processor time of this thread.
#[must_use]
pub fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// The station of every test.
pub fn station() -> Code {
    Code::new("ST01").unwrap()
}

/// Its logbook of June 2025.
pub fn june() -> LogbookName {
    LogbookName::StationMonth(station(), Month::new(2025, 6).unwrap())
}

/// A field's path.
pub fn field(name: &str) -> FieldPath {
    FieldPath::Field(name.to_owned())
}

fn key(rng: &mut ChaCha20Rng) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

impl World {
    /// An organisation in memory.
    pub fn new(seed: u64) -> Self {
        Self::with_storage(seed, Storage::Memory)
    }

    /// The hub's store of an organisation that was made from this seed with its stores in this folder, opened again.
    pub fn stored_hub(seed: u64, folder: &Path) -> Replica {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let authority = key(&mut rng);
        let id = HubId::from_key(key(&mut rng).verifying_key().as_bytes());
        let role = Role::Hub { hub: id, epoch: EPOCH };
        let identity = Identity { authority: authority.verifying_key().to_bytes(), key: key(&mut rng), role };
        Storage::Folder(folder.to_owned()).open("hub", identity, &mut rng).1
    }

    /// An organisation with its stores somewhere.
    pub fn with_storage(seed: u64, storage: Storage) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let authority = key(&mut rng);
        let org = OrgId::from_authority_key(authority.verifying_key().as_bytes());
        let signing = key(&mut rng);
        let id = HubId::from_key(signing.verifying_key().as_bytes());
        let epoch = EPOCH;
        let identity = Identity {
            authority: authority.verifying_key().to_bytes(),
            key: key(&mut rng),
            role: Role::Hub { hub: id, epoch },
        };
        let (disk, replica) = storage.open("hub", identity, &mut rng);
        let hub = Hub { signing, id, epoch, disk, replica, watermark: 0, beacons: 0 };
        let mut world = Self { rng, authority, org, hub, clock: NOW.0, storage, level: 3, stores: 0 };
        let keys = HubKeys { signing: world.hub.signing.verifying_key().to_bytes(), bundle: [7; 32] };
        let entry = world.hub.replica.control().draft(Signer::Authority, epoch, NOW, Decision::Hub(keys));
        let signed = SignedEntry::sign(&world.org, &world.authority, entry).unwrap();
        world.hub.replica.adopt(vec![signed]).unwrap();
        world.hub.replica.sync().unwrap();
        world.decide(Decision::EpochStart { parents: BTreeMap::new() });
        world
    }

    /// The hub decides something.
    pub fn decide(&mut self, decision: Decision) {
        let now = self.now();
        self.hub.decide(&self.org, now, decision);
    }

    /// A second later than the last time.
    pub fn now(&mut self) -> UnixMillis {
        self.clock += 1_000;
        UnixMillis(self.clock)
    }

    /// Enrols a tablet with one person.
    pub fn enrol(&mut self, person: &str, role: GrantRole) -> Tablet {
        let key = key(&mut self.rng);
        let person = Code::new(person).unwrap();
        self.decide(Decision::Enrol(Enrolment {
            key: key.verifying_key().to_bytes(),
            persons: BTreeSet::from([person.clone()]),
            station: station(),
            replaces: None,
        }));
        let is_coordinator = role == GrantRole::Coordinator;
        let scope = if is_coordinator { Scope::District } else { Scope::Stations(BTreeSet::from([station()])) };
        self.decide(Decision::Grant(Grant { person: person.clone(), role, scope }));
        let identity =
            Identity { authority: self.authority.verifying_key().to_bytes(), key: key.clone(), role: Role::Tablet };
        self.stores += 1;
        let (disk, mut replica) = self.storage.open(&format!("tablet{}", self.stores), identity, &mut self.rng);
        let entries = self.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
        replica.adopt(entries).unwrap();
        replica.sync().unwrap();
        let selection = if is_coordinator {
            Selection::everything()
        } else {
            let months = Some((Month::new(2025, 1).unwrap(), Month::new(2025, 12).unwrap()));
            Selection { stations: Stations::These([station()].into()), months, without: BTreeSet::new() }
        };
        let live = vec![june(), LogbookName::StationDirectory(station()), LogbookName::OrgDirectory];
        Tablet { key, disk, replica, person, selection, epoch: None, live }
    }

    /// As [`World::meet`], with a tablet that wants nothing: it only pushes.
    pub fn meet_pushing(&mut self, tablet: &mut Tablet) -> Meeting {
        tablet.selection =
            Selection { stations: Stations::These(BTreeSet::new()), months: None, without: BTreeSet::new() };
        tablet.live = Vec::new();
        self.meet(tablet)
    }

    /// A tablet opens a session with the hub; both run until neither has anything to say.
    pub fn meet(&mut self, tablet: &mut Tablet) -> Meeting {
        let now = self.now();
        let mut meeting = Meeting::default();
        let start = thread_cpu();
        tablet.replica.seal(now, self.level, &mut self.rng).unwrap();
        tablet.replica.sync().unwrap();
        let opening = tablet.opening(Stay::Leave);
        let mut up = Exchange::initiate(&tablet.replica, self.hub.replica.device(), &opening);
        meeting.cpu_tablet += thread_cpu() - start;
        self.hub.issue_beacon(&self.org, now);
        let mut down = Exchange::respond(tablet.device());
        let mut to_hub: VecDeque<Vec<u8>> = VecDeque::new();
        let mut to_tablet: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            let start = thread_cpu();
            if let Some(frame) = to_tablet.pop_front() {
                up.handle_message(decoded(&frame)).unwrap();
            }
            let moved_up = run(&mut up, &mut tablet.replica, None, (&self.org, now), &mut to_hub, &mut meeting);
            let middle = thread_cpu();
            meeting.cpu_tablet += middle - start;
            if let Some(frame) = to_hub.pop_front() {
                down.handle_message(decoded(&frame)).unwrap();
            }
            let hub = Some((&self.hub.signing, self.hub.id, self.hub.epoch));
            let moved_down = run(&mut down, &mut self.hub.replica, hub, (&self.org, now), &mut to_tablet, &mut meeting);
            meeting.cpu_hub += thread_cpu() - middle;
            if !moved_up && !moved_down && to_hub.is_empty() && to_tablet.is_empty() {
                break;
            }
        }
        // Receipts and beacons that the last turn brought become durable with the next sync.
        tablet.replica.sync().unwrap();
        tablet.epoch = Some(self.hub.epoch);
        meeting.tally = up.tally();
        meeting
    }

    /// The hub is opened again on a disk image, as after a restore: a new epoch begins.
    pub fn restore_hub(&mut self, image: MemoryDisk, contained: u64) {
        let mut epoch = [0; 16];
        self.rng.fill_bytes(&mut epoch);
        let old = self.hub.epoch;
        self.hub.epoch = Epoch(epoch);
        let identity = Identity {
            authority: self.authority.verifying_key().to_bytes(),
            key: key(&mut self.rng),
            role: Role::Hub { hub: self.hub.id, epoch: self.hub.epoch },
        };
        let (replica, _) = open(&image, identity, &mut self.rng);
        self.hub.disk = image;
        self.hub.replica = replica;
        self.hub.beacons = 0;
        // What the backup contains is backed up.
        self.hub.watermark = self.hub.watermark.max(contained);
        self.decide(Decision::EpochStart { parents: BTreeMap::from([(old, contained)]) });
    }
}

fn decoded(frame: &[u8]) -> Message {
    let mut frames = FrameReader::default();
    frames.push(frame);
    frames.next_message().unwrap().unwrap()
}

impl Storage {
    fn folder(&self, name: &str) -> PathBuf {
        match self {
            Self::Memory => PathBuf::new(),
            Self::Folder(folder) | Self::Over(folder, _) => folder.join(name),
        }
    }

    fn open(&self, name: &str, identity: Identity, rng: &mut ChaCha20Rng) -> (MemoryDisk, Replica) {
        let memory = MemoryDisk::new();
        let replica = match self {
            Self::Memory => open(&memory, identity, rng).0,
            Self::Folder(_) | Self::Over(..) => {
                let folder = self.folder(name);
                let disk: Box<dyn Disk> = match self {
                    Self::Over(_, maker) => maker(name, &folder.join("log")),
                    Self::Folder(_) | Self::Memory => Box::new(RealDisk::open(folder.join("log")).unwrap()),
                };
                let (index, _) = SledIndex::open(folder.join("index"), 64 << 20).unwrap();
                Replica::open(disk, Box::new(index), identity, rng).unwrap().0
            }
        };
        (memory, replica)
    }
}

/// Opens a store on a simulated disk, its index built anew.
pub fn open(
    disk: &MemoryDisk,
    identity: Identity,
    rng: &mut ChaCha20Rng,
) -> (Replica, qianmo_replica::replica::OpenReport) {
    open_with(disk, Box::new(MemoryIndex::default()), identity, rng)
}

/// Opens a store on a simulated disk with an index.
pub fn open_with(
    disk: &MemoryDisk,
    index: Box<dyn Index>,
    identity: Identity,
    rng: &mut ChaCha20Rng,
) -> (Replica, qianmo_replica::replica::OpenReport) {
    let disk: Box<dyn Disk> = Box::new(disk.clone());
    Replica::open(disk, index, identity, rng).unwrap()
}

/// Runs one side until it needs the network. Answers whether anything happened.
fn run(
    exchange: &mut Exchange,
    replica: &mut Replica,
    hub: Option<(&SigningKey, HubId, Epoch)>,
    (org, now): (&OrgId, UnixMillis),
    out: &mut VecDeque<Vec<u8>>,
    meeting: &mut Meeting,
) -> bool {
    let bytes = |meeting: &mut Meeting, count: usize| match hub {
        Some(_) => meeting.bytes_down += count,
        None => meeting.bytes_up += count,
    };
    let mut moved = false;
    loop {
        match exchange.pump(replica).unwrap() {
            Pump::Quiet => break,
            Pump::AwaitsSync => {
                replica.sync().unwrap();
                exchange.after_sync(replica);
            }
            Pump::AwaitsJudge => {
                let receipts = match hub {
                    Some(keys) => judge_as_hub(replica, keys, (org, now), exchange.stored()),
                    None => {
                        replica.judge().unwrap();
                        Vec::new()
                    }
                };
                exchange.after_judge(replica, receipts);
            }
        }
        moved = true;
    }
    while let Some(output) = exchange.poll_output() {
        moved = true;
        match output {
            Output::Send(message) => {
                let frame = message.encode_frame();
                bytes(meeting, frame.len());
                out.push_back(frame);
            }
            Output::StateDiffers(name) => meeting.states_differ.push(name),
            Output::Finished => meeting.finished = true,
            Output::Acked(_)
            | Output::Refused(_)
            | Output::Agreed(_)
            | Output::Epoch(..)
            | Output::Subscribed
            | Output::PeerLeft(_) => {}
        }
    }
    moved
}

/// What a hub does with a turn: it judges, publishes what is held, and gives a receipt.
pub fn judge_as_hub(
    replica: &mut Replica,
    keys: (&SigningKey, HubId, Epoch),
    (org, now): (&OrgId, UnixMillis),
    stored: &[(PackHash, u64)],
) -> Vec<SignedReceipt> {
    let report = judge_and_publish(replica, keys, (org, now));
    receipts(replica, keys, org, &report, stored)
}

/// Judges and publishes what is held, then judges what waited for that.
fn judge_and_publish(
    replica: &mut Replica,
    (signing, id, epoch): (&SigningKey, HubId, Epoch),
    (org, now): (&OrgId, UnixMillis),
) -> JudgeReport {
    let mut whole = JudgeReport::default();
    loop {
        let report = replica.judge().unwrap();
        for held in &report.held {
            let carrier = match held.part {
                HeldPart::Content => Carrier::Content,
                HeldPart::Carrier => Carrier::Pack(held.pack),
            };
            let scope = QuarantineScope::Change { change: held.change, carrier };
            let decision = Decision::Quarantine { scope, code: held.code };
            let entry = replica.control().draft(Signer::Hub(id), epoch, now, decision);
            replica.adopt(vec![SignedEntry::sign(org, signing, entry).unwrap()]).unwrap();
            replica.sync().unwrap();
        }
        whole.judged.extend(report.judged);
        whole.held.extend(report.held);
        if !report.more {
            return whole;
        }
    }
}

/// The receipt for a turn, as the hub gives it: it names what is held and what waits, and no pack that is not judged.
fn receipts(
    replica: &Replica,
    (signing, hub, epoch): (&SigningKey, HubId, Epoch),
    org: &OrgId,
    report: &JudgeReport,
    stored: &[(PackHash, u64)],
) -> Vec<SignedReceipt> {
    let now: BTreeMap<PackHash, LogbookName> =
        report.judged.iter().map(|(name, pack, _)| (*pack, name.clone())).collect();
    let (mut packs, mut held) = (BTreeSet::new(), BTreeSet::new());
    for (pack, _) in stored {
        let elsewhere = || replica.logbooks().into_iter().find(|name| replica.node(name, pack).is_some());
        let Some(name) = now.get(pack).cloned().or_else(elsewhere) else { continue };
        packs.insert(*pack);
        held.extend(report.held.iter().filter(|held| held.pack == *pack).map(|held| (held.change, held.code)));
        if now.contains_key(pack) && !replica.has_waiting_changes() {
            continue;
        }
        let fold = replica.control().fold();
        for entry in replica.pack(&name, pack).unwrap().open().unwrap() {
            let change = entry.hash();
            let code = fold.content_quarantine(&change).or_else(|| fold.carrier_quarantine(&change, pack));
            let waits = replica.is_change_waiting(&entry.doc(), &change).unwrap().then_some(CODE_WAITS);
            held.extend(code.or(waits).map(|code| (change, code)));
        }
    }
    if packs.is_empty() {
        return Vec::new();
    }
    let verdict = if held.is_empty() { Verdict::Passed } else { Verdict::Held(held) };
    let commit = replica.durable_commit().0;
    vec![SignedReceipt::sign(org, signing, Receipt { hub, epoch, commit, packs, verdict }).unwrap()]
}

impl Hub {
    /// Decides something.
    pub fn decide(&mut self, org: &OrgId, now: UnixMillis, decision: Decision) {
        let entry = self.replica.control().draft(Signer::Hub(self.id), self.epoch, now, decision);
        let signed = SignedEntry::sign(org, &self.signing, entry).unwrap();
        self.replica.adopt(vec![signed]).unwrap();
        self.replica.sync().unwrap();
    }

    /// Signs a beacon.
    pub fn issue_beacon(&mut self, org: &OrgId, now: UnixMillis) {
        self.beacons += 1;
        let beacon = Beacon {
            hub: self.id,
            epoch: self.epoch,
            sequence: self.beacons,
            time: now,
            commit: self.replica.durable_commit().0,
            watermark: self.watermark,
        };
        let signed = SignedBeacon::sign(org, &self.signing, beacon).unwrap();
        self.replica.take_beacon(&signed).unwrap();
        self.replica.sync().unwrap();
    }
}

impl Tablet {
    /// Its device id.
    pub fn device(&self) -> DeviceId {
        self.replica.device()
    }

    /// How it opens a session.
    pub fn opening(&self, stay: Stay) -> Opening {
        Opening {
            selection: self.selection.clone(),
            live: self.live.clone(),
            unreceipted: self.replica.unreceipted().unwrap(),
            toward: Toward::Hub,
            epoch: self.epoch,
            stay,
            about: None,
        }
    }

    /// Who writes on it, with a fresh actor.
    pub fn origin(&self, world: &mut World) -> Origin {
        let mut actor = [0; 16];
        world.rng.fill_bytes(&mut actor);
        Origin { actor: ActorId(actor), person: self.person.clone(), time: world.now() }
    }

    /// Files a record and hands it in, as one act, durably.
    pub fn file(&mut self, world: &mut World, content: &str) -> DocId {
        let fields = BTreeMap::from([
            ("content".to_owned(), Scalar::Text(content.to_owned())),
            ("satisfaction".to_owned(), Scalar::Int(4)),
        ]);
        let doc = self.file_fields(world, &fields);
        self.replica.sync().unwrap();
        doc
    }

    /// Files a record with these fields and hands it in, as one act. The caller syncs.
    pub fn file_fields(&mut self, world: &mut World, fields: &BTreeMap<String, Scalar>) -> DocId {
        let origin = self.origin(world);
        let logbook = june().id(&world.org);
        let root = RecordRoot {
            form: Code::new("visit").unwrap(),
            form_version: 1,
            station: Some(station()),
            logbook,
            author: self.person.clone(),
            created_at: origin.time,
        };
        let record = create(&origin, &root, fields, &BTreeMap::new()).unwrap();
        let doc = record.change.doc_id_if_root().unwrap();
        let submit = ReviewEvent {
            record: doc,
            logbook,
            kind: ReviewKind::Submit,
            heads: BTreeSet::from([record.change.hash()]),
            seen: BTreeSet::new(),
            reasons: BTreeSet::new(),
            field_notes: BTreeMap::new(),
            note: String::new(),
            provenance: Provenance::Written,
            person: self.person.clone(),
            time: origin.time,
        };
        let submit = submit.author(&self.origin(world)).unwrap();
        let submit_doc = submit.change.doc_id_if_root().unwrap();
        self.replica.write(&june(), &[(doc, record), (submit_doc, submit)], None).unwrap();
        doc
    }

    /// Changes fields at the version that stands now. The caller syncs.
    pub fn edit_fields(&mut self, world: &mut World, doc: DocId, fields: &BTreeMap<String, Scalar>) {
        let origin = self.origin(world);
        let document = self.replica.document(&doc).unwrap().unwrap();
        let edits: Vec<FieldEdit> =
            fields.iter().map(|(name, value)| FieldEdit::Set(field(name), value.clone())).collect();
        if let Some(change) = edit(&document, &document.heads(), &origin, &edits).unwrap() {
            self.replica.write(&june(), &[(doc, change)], None).unwrap();
        }
    }

    /// Changes one field at the version that stands now, durably.
    pub fn edit(&mut self, world: &mut World, doc: DocId, path: &str, value: &str) {
        let fields = BTreeMap::from([(path.to_owned(), Scalar::Text(value.to_owned()))]);
        self.edit_fields(world, doc, &fields);
        self.replica.sync().unwrap();
    }

    /// What it opens its store with.
    pub fn identity(&self, world: &World) -> Identity {
        Identity { authority: world.authority.verifying_key().to_bytes(), key: self.key.clone(), role: Role::Tablet }
    }
}

/// Every replica that holds a logbook has the same state.
pub fn assert_same_states(replicas: &[&Replica]) {
    let first: BTreeMap<_, _> = replicas[0].state_digests().into_iter().collect();
    for replica in replicas {
        let states: BTreeMap<_, _> = replica.state_digests().into_iter().collect();
        assert_eq!(states, first);
    }
}
