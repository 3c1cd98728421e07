//! A small organisation in memory: an authority, a hub and tablets, meeting without a network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ed25519_dalek::SigningKey;
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::change::{ActorId, Scalar};
use qianmo_protocol::control::{
    Carrier, Decision, Enrolment, Grant, HubKeys, QuarantineScope, Role as GrantRole, Scope, SignedEntry, Signer,
};
use qianmo_protocol::ids::{Code, DeviceId, DocId, Epoch, HubId, LogbookName, OrgId};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::record::{FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::session::message::Message;
use qianmo_protocol::session::{Opening, Stay, Tally};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{Selection, Stations};
use qianmo_replica::disk::{Disk, MemoryDisk};
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::index::{Index, MemoryIndex};
use qianmo_replica::replica::{HeldPart, Identity, Replica, Role};
use rand::RngCore as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

pub const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

pub struct World {
    pub rng: ChaCha20Rng,
    pub authority: SigningKey,
    pub org: OrgId,
    pub hub: Hub,
    pub clock: i64,
}

pub struct Hub {
    pub signing: SigningKey,
    pub id: HubId,
    pub epoch: Epoch,
    pub disk: MemoryDisk,
    pub replica: Replica,
    pub watermark: u64,
    pub beacons: u64,
}

pub struct Tablet {
    pub key: SigningKey,
    pub disk: MemoryDisk,
    pub replica: Replica,
    pub person: Code,
    pub selection: Selection,
    pub epoch: Option<Epoch>,
}

/// What a meeting did.
#[derive(Debug, Default)]
pub struct Meeting {
    pub tally: Tally,
    pub bytes_up: usize,
    pub bytes_down: usize,
    pub states_differ: Vec<LogbookName>,
    pub finished: bool,
}

pub fn station() -> Code {
    Code::new("ST01").unwrap()
}

pub fn june() -> LogbookName {
    LogbookName::StationMonth(station(), Month::new(2025, 6).unwrap())
}

pub fn field(name: &str) -> FieldPath {
    FieldPath::Field(name.to_owned())
}

fn key(rng: &mut ChaCha20Rng) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let authority = key(&mut rng);
        let org = OrgId::from_authority_key(authority.verifying_key().as_bytes());
        let signing = key(&mut rng);
        let id = HubId::from_key(signing.verifying_key().as_bytes());
        let epoch = Epoch([1; 16]);
        let identity = Identity {
            authority: authority.verifying_key().to_bytes(),
            key: key(&mut rng),
            role: Role::Hub { hub: id, epoch },
        };
        let disk = MemoryDisk::new();
        let (replica, _) = open(&disk, identity, &mut rng);
        let hub = Hub { signing, id, epoch, disk, replica, watermark: 0, beacons: 0 };
        let mut world = Self { rng, authority, org, hub, clock: NOW.0 };
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

    pub fn now(&mut self) -> UnixMillis {
        self.clock += 1_000;
        UnixMillis(self.clock)
    }

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
        let disk = MemoryDisk::new();
        let (mut replica, _) = open(&disk, identity, &mut self.rng);
        let entries = self.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect();
        replica.adopt(entries).unwrap();
        replica.sync().unwrap();
        let selection = if is_coordinator {
            Selection::everything()
        } else {
            let months = Some((Month::new(2025, 1).unwrap(), Month::new(2025, 12).unwrap()));
            Selection { stations: Stations::These([station()].into()), months, without: BTreeSet::new() }
        };
        Tablet { key, disk, replica, person, selection, epoch: None }
    }

    /// A tablet opens a session with the hub; both run until neither has anything to say.
    pub fn meet(&mut self, tablet: &mut Tablet) -> Meeting {
        let now = self.now();
        tablet.replica.seal(now, 3, &mut self.rng).unwrap();
        tablet.replica.sync().unwrap();
        self.hub.issue_beacon(&self.org, now);
        let opening = tablet.opening(Stay::Leave);
        let hub_device = self.hub.replica.device();
        let mut up = Exchange::initiate(&tablet.replica, hub_device, &opening);
        let mut down = Exchange::respond(tablet.device());
        let mut meeting = Meeting::default();
        let mut to_hub: VecDeque<Message> = VecDeque::new();
        let mut to_tablet: VecDeque<Message> = VecDeque::new();
        for _ in 0..10_000 {
            let mut moved = false;
            moved |= run(&mut up, &mut tablet.replica, None, &self.org, now, &mut to_hub, &mut meeting);
            moved |= run(
                &mut down,
                &mut self.hub.replica,
                Some((&self.hub.signing, self.hub.id, self.hub.epoch)),
                &self.org,
                now,
                &mut to_tablet,
                &mut meeting,
            );
            if let Some(message) = to_hub.pop_front() {
                meeting.bytes_up += message.encode_frame().len();
                down.handle_message(decoded(&message)).unwrap();
                moved = true;
            }
            if let Some(message) = to_tablet.pop_front() {
                meeting.bytes_down += message.encode_frame().len();
                up.handle_message(decoded(&message)).unwrap();
                moved = true;
            }
            if !moved {
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
        self.decide(Decision::EpochStart { parents: BTreeMap::from([(old, contained)]) });
    }
}

fn decoded(message: &Message) -> Message {
    let mut frames = qianmo_protocol::session::message::FrameReader::default();
    frames.push(&message.encode_frame());
    frames.next_message().unwrap().unwrap()
}

pub fn open(
    disk: &MemoryDisk,
    identity: Identity,
    rng: &mut ChaCha20Rng,
) -> (Replica, qianmo_replica::replica::OpenReport) {
    open_with(disk, Box::new(MemoryIndex::default()), identity, rng)
}

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
    org: &OrgId,
    now: UnixMillis,
    out: &mut VecDeque<Message>,
    meeting: &mut Meeting,
) -> bool {
    let mut moved = false;
    loop {
        match exchange.pump(replica).unwrap() {
            Pump::Quiet => break,
            Pump::AwaitsSync => {
                replica.sync().unwrap();
                exchange.after_sync(replica);
            }
            Pump::AwaitsJudge => {
                let report = replica.judge().unwrap();
                let mut receipts = Vec::new();
                if let Some((signing, id, epoch)) = hub {
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
                    let commit = exchange.stored().iter().map(|(_, commit)| *commit).max();
                    if let Some(commit) = commit {
                        let packs = exchange.stored().iter().map(|(hash, _)| *hash).collect();
                        let receipt = Receipt { hub: id, epoch, commit, packs, verdict: Verdict::Passed };
                        receipts.push(SignedReceipt::sign(org, signing, receipt).unwrap());
                    }
                }
                exchange.after_judge(replica, receipts);
            }
        }
        moved = true;
    }
    while let Some(output) = exchange.poll_output() {
        moved = true;
        match output {
            Output::Send(message) => out.push_back(message),
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

impl Hub {
    pub fn decide(&mut self, org: &OrgId, now: UnixMillis, decision: Decision) {
        let entry = self.replica.control().draft(Signer::Hub(self.id), self.epoch, now, decision);
        let signed = SignedEntry::sign(org, &self.signing, entry).unwrap();
        self.replica.adopt(vec![signed]).unwrap();
        self.replica.sync().unwrap();
    }

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
    pub fn device(&self) -> DeviceId {
        self.replica.device()
    }

    pub fn opening(&self, stay: Stay) -> Opening {
        Opening {
            selection: self.selection.clone(),
            live: vec![june(), LogbookName::StationDirectory(station()), LogbookName::OrgDirectory],
            unreceipted: self.replica.unreceipted().unwrap(),
            epoch: self.epoch,
            stay,
        }
    }

    pub fn origin(&self, world: &mut World) -> Origin {
        let mut actor = [0; 16];
        world.rng.fill_bytes(&mut actor);
        Origin { actor: ActorId(actor), person: self.person.clone(), time: world.now() }
    }

    /// Files a record and hands it in, as one act.
    pub fn file(&mut self, world: &mut World, content: &str) -> DocId {
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
        let fields = BTreeMap::from([
            ("content".to_owned(), Scalar::Text(content.to_owned())),
            ("satisfaction".to_owned(), Scalar::Int(4)),
        ]);
        let record = create(&origin, &root, &fields, &BTreeMap::new()).unwrap();
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
        self.replica.sync().unwrap();
        doc
    }

    /// Changes one field at the version that stands now.
    pub fn edit(&mut self, world: &mut World, doc: DocId, path: &str, value: &str) {
        let origin = self.origin(world);
        let document = self.replica.document(&doc).unwrap().unwrap();
        let edits = [FieldEdit::Set(field(path), Scalar::Text(value.to_owned()))];
        let change = edit(&document, &document.heads(), &origin, &edits).unwrap().unwrap();
        self.replica.write(&june(), &[(doc, change)], None).unwrap();
        self.replica.sync().unwrap();
    }

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
