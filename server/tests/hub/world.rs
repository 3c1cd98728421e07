//! A hub in memory and tablets that come to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use ed25519_dalek::SigningKey;
use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Replaces, SignedEntry};
use qianmo_protocol::control::{Role as GrantRole, Scope};
use qianmo_protocol::handshake::{Address, EnrolAsk, EnrolRefusal, Ticket, seed_of_pkcs8};
use qianmo_protocol::ids::{Code, DeviceId, DocId, Epoch, LogbookName, OrgId};
use qianmo_protocol::record::{AuthoredChange, FieldEdit, FieldPath, Origin, RecordRoot, create, edit};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind};
use qianmo_protocol::session::message::{About, Bye, FrameReader, Message};
use qianmo_protocol::session::{Opening, Stay, Tally, Toward};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{Selection, Stations};
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{Disk, DiskError, FileEntry, MemoryDisk};
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::replica::{Identity, Replica, Role};
use qianmo_server::admin::{Folder, HubKeyFiles, InitOrder, init};
use qianmo_server::hub::{
    ClockCheck, Command, Founding, HubCore, HubLimits, HubOpenError, HubOutput, HubSecrets, HubSetup, SessionId,
};
use qianmo_server::registry::{Enrolled, TicketGrant, TicketOrder};
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

/// 2025-06-15T15:06:40Z.
pub(crate) const NOW: i64 = 1_750_000_000_000;

pub(crate) fn station() -> Code {
    Code::new("ST01").unwrap()
}

pub(crate) fn june() -> LogbookName {
    LogbookName::StationMonth(station(), Month::new(2025, 6).unwrap())
}

pub(crate) fn month(number: u8) -> LogbookName {
    LogbookName::StationMonth(station(), Month::new(2025, number).unwrap())
}

pub(crate) fn new_key(rng: &mut StdRng) -> SigningKey {
    let mut seed = [0; 32];
    rng.fill_bytes(&mut seed);
    SigningKey::from_bytes(&seed)
}

/// A disk that counts what costs: fdatasyncs.
#[derive(Debug, Clone)]
pub(crate) struct CountingDisk {
    pub(crate) inner: MemoryDisk,
    pub(crate) syncs: Arc<AtomicU64>,
    /// What the disk held after each fdatasync, while it is kept.
    pub(crate) images: Arc<Mutex<Option<Vec<MemoryDisk>>>>,
}

impl Disk for CountingDisk {
    fn list(&self) -> Result<Vec<FileEntry>, DiskError> {
        self.inner.list()
    }
    fn create(&mut self, name: &str) -> Result<(), DiskError> {
        self.inner.create(name)
    }
    fn file_bytes(&self, name: &str) -> Result<u64, DiskError> {
        self.inner.file_bytes(name)
    }
    fn read_at(&self, name: &str, offset: u64, buffer: &mut [u8]) -> Result<usize, DiskError> {
        self.inner.read_at(name, offset, buffer)
    }
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.inner.write_at(name, offset, bytes)
    }
    fn sync_file(&mut self, name: &str) -> Result<(), DiskError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_file(name)?;
        if let Some(images) = self.images.lock().unwrap().as_mut() {
            images.push(copy_of(&self.inner));
        }
        Ok(())
    }
    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.inner.sync_dir()
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.inner.rename(from, to)
    }
    fn unlink(&mut self, name: &str) -> Result<(), DiskError> {
        self.inner.unlink(name)
    }
    fn truncate(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.inner.truncate(name, length)
    }
    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) authority: SigningKey,
    pub(crate) secrets: HubSecrets,
    pub(crate) disk: CountingDisk,
    pub(crate) core: HubCore,
    pub(crate) clock: i64,
    next_session: u64,
}

pub(crate) struct Tablet {
    pub(crate) key: SigningKey,
    pub(crate) disk: MemoryDisk,
    pub(crate) replica: Replica,
    pub(crate) person: Code,
    pub(crate) selection: Selection,
    pub(crate) epoch: Option<Epoch>,
    /// What it says of itself.
    pub(crate) about: Option<About>,
}

/// One tablet's session under way.
pub(crate) struct Running {
    pub(crate) session: SessionId,
    pub(crate) exchange: Exchange,
    to_hub: VecDeque<Message>,
    pub(crate) closed: Option<CloseCode>,
    pub(crate) finished: bool,
    pub(crate) states_differ: Vec<LogbookName>,
    pub(crate) byes: Vec<Bye>,
}

/// What a session came to.
#[derive(Debug)]
pub(crate) struct Meeting {
    pub(crate) tally: Tally,
    pub(crate) closed: Option<CloseCode>,
    pub(crate) finished: bool,
    pub(crate) states_differ: Vec<LogbookName>,
}

impl CountingDisk {
    pub(crate) fn over(inner: MemoryDisk) -> Self {
        Self { inner, syncs: Arc::default(), images: Arc::default() }
    }
}

/// A disk that holds the same now, and then goes its own way.
pub(crate) fn copy_of(disk: &MemoryDisk) -> MemoryDisk {
    let copy = MemoryDisk::new();
    for file in disk.list().unwrap() {
        copy.restore_file(&file.name, disk.contents(&file.name).unwrap());
    }
    copy
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let authority = new_key(&mut rng);
        let secrets = HubSecrets { signing: new_key(&mut rng), device: new_key(&mut rng), bundle_public: [9; 32] };
        let disk = CountingDisk::over(MemoryDisk::new());
        let setup = setup(&authority, &secrets, seed);
        let founding = Founding { authority: &authority, admin: Code::new("ADMIN").unwrap() };
        let index = Box::new(MemoryIndex::new());
        let core = HubCore::found(Box::new(disk.clone()), index, setup, &founding, UnixMillis(NOW)).unwrap();
        Self { rng, authority, secrets, disk, core, clock: NOW, next_session: 0 }
    }

    /// A hub that `init` made in a folder, taken into memory. [`World::save`] puts it back.
    pub(crate) fn of_folder(dir: &Path, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let admin = Code::new("ADMIN").unwrap();
        let order =
            InitOrder { dir: dir.to_owned(), organisation: "样例区推广站".to_owned(), admin, password: None };
        init(&order, UnixMillis(NOW), StdRng::seed_from_u64(rng.next_u64())).unwrap();
        let keys = dir.join("keys");
        let der = std::fs::read(keys.join("authority.key")).unwrap();
        let authority = SigningKey::from_bytes(&seed_of_pkcs8(&der).unwrap());
        let secrets = HubKeyFiles::load(&keys).unwrap().secrets;
        let disk = CountingDisk::over(MemoryDisk::new());
        for entry in std::fs::read_dir(dir.join("log")).unwrap() {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name())).unwrap();
            if path.extension().is_some_and(|end| end == "seg") {
                disk.inner.restore_file(name.to_str().unwrap(), std::fs::read(path).unwrap());
            }
        }
        let setup = setup(&authority, &secrets, seed);
        let index = Box::new(MemoryIndex::new());
        let core = HubCore::open(Box::new(disk.clone()), index, setup, UnixMillis(NOW)).unwrap().0;
        Self { rng, authority, secrets, disk, core, clock: NOW, next_session: 0 }
    }

    /// Puts the log into a folder as a hub leaves it that is stopped.
    pub(crate) fn save(&self, dir: &Path) {
        let log = dir.join("log");
        for entry in std::fs::read_dir(&log).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for file in self.disk.inner.list().unwrap() {
            std::fs::write(log.join(&file.name), self.disk.inner.contents(&file.name).unwrap()).unwrap();
        }
        Folder::new(dir).note_log_end(self.core.replica().durable_commit().0).unwrap();
    }

    pub(crate) fn org(&self) -> OrgId {
        self.core.org()
    }

    pub(crate) fn now(&mut self) -> UnixMillis {
        self.clock += 1_000;
        UnixMillis(self.clock)
    }

    /// The hub is stopped at once and started again on what its disk holds.
    pub(crate) fn restart(&mut self) -> Result<(), HubOpenError> {
        self.try_restart(ClockCheck::Strict)
    }

    pub(crate) fn try_restart(&mut self, clock: ClockCheck) -> Result<(), HubOpenError> {
        let now = self.now();
        let seed = self.rng.next_u64();
        let setup = HubSetup { clock, ..setup(&self.authority, &self.secrets, seed) };
        let index = Box::new(MemoryIndex::new());
        self.core = HubCore::open(Box::new(self.disk.clone()), index, setup, now)?.0;
        Ok(())
    }

    /// Another hub takes over with an older copy of the disk.
    pub(crate) fn restore_from(&mut self, image: MemoryDisk) {
        self.try_restore_from(image, ClockCheck::Strict).unwrap();
    }

    pub(crate) fn try_restore_from(&mut self, image: MemoryDisk, clock: ClockCheck) -> Result<(), HubOpenError> {
        let now = self.now();
        let seed = self.rng.next_u64();
        self.disk = CountingDisk::over(image);
        let setup = HubSetup { clock, ..setup(&self.authority, &self.secrets, seed) };
        let index = Box::new(MemoryIndex::new());
        self.core = HubCore::restore(Box::new(self.disk.clone()), index, setup, now)?;
        Ok(())
    }

    /// A copy of the hub's disk as it is now.
    pub(crate) fn image(&self) -> MemoryDisk {
        copy_of(&self.disk.inner)
    }

    pub(crate) fn syncs(&self) -> u64 {
        self.disk.syncs.load(Ordering::Relaxed)
    }

    pub(crate) fn order(&self, person: &str, grant: Option<TicketGrant>) -> TicketOrder {
        TicketOrder {
            station: station(),
            persons: BTreeSet::from([Code::new(person).unwrap()]),
            grant,
            replaces: None,
            hours: 24,
            addresses: vec![Address::new("hub.example.org:4433").unwrap()],
        }
    }

    pub(crate) fn ticket(&mut self, person: &str, role: GrantRole) -> Ticket {
        let scope = match role {
            GrantRole::Coordinator => Scope::District,
            GrantRole::Technician | GrantRole::Expert | GrantRole::Viewer | GrantRole::Admin => {
                Scope::Stations(BTreeSet::from([station()]))
            }
        };
        let order = self.order(person, Some(TicketGrant { role, scope }));
        let now = self.now();
        self.core.issue_ticket(now, &order).unwrap()
    }

    pub(crate) fn ask(
        &mut self,
        ticket: &Ticket,
        key: &SigningKey,
        replaces: Option<Replaces>,
    ) -> Result<Enrolled, EnrolRefusal> {
        let ask = EnrolAsk {
            token: ticket.token,
            device_key: key.verifying_key().to_bytes(),
            label: Some("平板".to_owned()),
            replaces,
        };
        let now = self.now();
        self.core.enrol(now, &ask).unwrap()
    }

    pub(crate) fn enrol(&mut self, person: &str, role: GrantRole) -> Tablet {
        let ticket = self.ticket(person, role);
        let key = new_key(&mut self.rng);
        let enrolled = self.ask(&ticket, &key, None).unwrap();
        let is_coordinator = role == GrantRole::Coordinator;
        let mut tablet = self.tablet(key, person, MemoryDisk::new());
        let entries = enrolled.control_entries.iter().map(|bytes| SignedEntry::decode(bytes).unwrap()).collect();
        tablet.replica.adopt(entries).unwrap();
        tablet.replica.sync().unwrap();
        if is_coordinator {
            tablet.selection = Selection::everything();
        }
        tablet
    }

    pub(crate) fn tablet(&mut self, key: SigningKey, person: &str, disk: MemoryDisk) -> Tablet {
        let identity =
            Identity { authority: self.authority.verifying_key().to_bytes(), key: key.clone(), role: Role::Tablet };
        let index = Box::new(MemoryIndex::new());
        let (replica, _) = Replica::open(Box::new(disk.clone()), index, identity, &mut self.rng).unwrap();
        let months = Some((Month::new(2025, 1).unwrap(), Month::new(2025, 12).unwrap()));
        let selection = Selection { stations: Stations::These([station()].into()), months, without: BTreeSet::new() };
        Tablet { key, disk, replica, person: Code::new(person).unwrap(), selection, epoch: None, about: None }
    }

    /// A tablet begins a session; nothing has travelled yet.
    pub(crate) fn begin(&mut self, tablet: &mut Tablet, stay: Stay) -> (Running, Command) {
        let now = self.now();
        tablet.replica.seal(now, 3, &mut self.rng).unwrap();
        tablet.replica.sync().unwrap();
        self.next_session += 1;
        let session = SessionId(self.next_session);
        let opening = Opening {
            selection: tablet.selection.clone(),
            live: vec![june(), LogbookName::StationDirectory(station()), LogbookName::OrgDirectory],
            unreceipted: tablet.replica.unreceipted().unwrap(),
            toward: Toward::Hub,
            epoch: tablet.epoch,
            stay,
            about: tablet.about.clone(),
        };
        let exchange = Exchange::initiate(&tablet.replica, self.core.replica().device(), &opening);
        let open = Command::Open {
            session,
            device: tablet.replica.device(),
            device_key: tablet.key.verifying_key().to_bytes(),
        };
        let running = Running {
            session,
            exchange,
            to_hub: VecDeque::new(),
            closed: None,
            finished: false,
            states_differ: Vec::new(),
            byes: Vec::new(),
        };
        (running, open)
    }

    /// Lets sessions go on until nobody has anything to say. Every round is one batch for the hub.
    pub(crate) fn run(&mut self, running: &mut [(&mut Tablet, Running)], opens: Vec<Command>) {
        let mut commands = opens;
        for _ in 0..10_000 {
            for (tablet, session) in running.iter_mut() {
                session.pump(&mut tablet.replica);
                for message in session.to_hub.drain(..) {
                    let message = Box::new(over_the_wire(&message));
                    commands.push(Command::Message { session: session.session, message });
                }
            }
            if commands.is_empty() {
                return;
            }
            let now = self.now();
            let outputs = self.core.handle(now, core::mem::take(&mut commands)).unwrap();
            deliver(running, outputs);
        }
        panic!("the sessions never end");
    }

    /// Sessions of several tablets at the same time, to their end.
    pub(crate) fn meet_all(&mut self, tablets: &mut [&mut Tablet]) -> Vec<Meeting> {
        let mut opens = Vec::new();
        let mut running = Vec::new();
        for tablet in tablets.iter_mut() {
            let (session, open) = self.begin(tablet, Stay::Leave);
            opens.push(open);
            running.push((&mut **tablet, session));
        }
        self.run(&mut running, opens);
        let epoch = self.core.epoch();
        running
            .into_iter()
            .map(|(tablet, session)| {
                tablet.replica.sync().unwrap();
                tablet.epoch = Some(epoch);
                Meeting {
                    tally: session.exchange.tally(),
                    closed: session.closed,
                    finished: session.finished,
                    states_differ: session.states_differ,
                }
            })
            .collect()
    }

    pub(crate) fn meet(&mut self, tablet: &mut Tablet) -> Meeting {
        self.meet_all(&mut [tablet]).pop().unwrap()
    }

    pub(crate) fn origin(&mut self, tablet: &Tablet) -> Origin {
        let mut actor = [0; 16];
        self.rng.fill_bytes(&mut actor);
        Origin { actor: ActorId(actor), person: tablet.person.clone(), time: self.now() }
    }

    /// Files a record in a logbook and hands it in, as one act.
    pub(crate) fn file_in(&mut self, tablet: &mut Tablet, name: &LogbookName, content: &str) -> DocId {
        self.file_as(tablet, name, content, |change| change)
    }

    /// Files a record whose first change names `home`; where that is not `name`, its content fails the gate.
    /// A visit whose first change says something beside it, as no program of ours writes it: its content does not pass.
    pub(crate) fn file_talking(&mut self, tablet: &mut Tablet, name: &LogbookName, content: &str) -> DocId {
        self.file_as(tablet, name, content, |authored| {
            let mut expanded = automerge::Change::from_bytes(authored.change.bytes().to_vec()).unwrap().decode();
            expanded.message = Some("hello".to_owned());
            let bytes = automerge::Change::from(expanded).raw_bytes().to_vec();
            AuthoredChange { change: RawChange::parse(&bytes).unwrap() }
        })
    }

    fn file_as(
        &mut self,
        tablet: &mut Tablet,
        name: &LogbookName,
        content: &str,
        written: impl FnOnce(AuthoredChange) -> AuthoredChange,
    ) -> DocId {
        let origin = self.origin(tablet);
        let logbook = name.id(&self.org());
        let root = RecordRoot {
            form: Code::new("visit").unwrap(),
            form_version: 1,
            station: Some(station()),
            logbook,
            author: tablet.person.clone(),
            created_at: origin.time,
        };
        let fields = BTreeMap::from([
            ("content".to_owned(), Scalar::Text(content.to_owned())),
            ("satisfaction".to_owned(), Scalar::Int(4)),
        ]);
        let record = written(create(&origin, &root, &fields, &BTreeMap::new()).unwrap());
        let doc = record.change.doc_id_if_root().unwrap();
        let heads = BTreeSet::from([record.change.hash()]);
        let submit = self.event(tablet, doc, name, ReviewKind::Submit, heads);
        let origin = self.origin(tablet);
        let submit = submit.author(&origin).unwrap();
        let submit_doc = submit.change.doc_id_if_root().unwrap();
        tablet.replica.write(name, &[(doc, record), (submit_doc, submit)], None).unwrap();
        tablet.replica.sync().unwrap();
        doc
    }

    pub(crate) fn file(&mut self, tablet: &mut Tablet, content: &str) -> DocId {
        self.file_in(tablet, &june(), content)
    }

    fn event(
        &mut self,
        tablet: &Tablet,
        record: DocId,
        name: &LogbookName,
        kind: ReviewKind,
        heads: BTreeSet<qianmo_protocol::ids::ChangeHash>,
    ) -> ReviewEvent {
        ReviewEvent {
            record,
            logbook: name.id(&self.org()),
            kind,
            heads,
            seen: BTreeSet::new(),
            reasons: BTreeSet::new(),
            field_notes: BTreeMap::new(),
            note: String::new(),
            provenance: Provenance::Written,
            person: tablet.person.clone(),
            time: self.now(),
        }
    }

    /// Writes a review event about a record at its present version.
    pub(crate) fn review(&mut self, tablet: &mut Tablet, record: DocId, kind: ReviewKind) -> DocId {
        self.review_with(tablet, record, kind, BTreeMap::new())
    }

    /// The same, with notes on fields.
    pub(crate) fn review_with(
        &mut self,
        tablet: &mut Tablet,
        record: DocId,
        kind: ReviewKind,
        field_notes: BTreeMap<FieldPath, String>,
    ) -> DocId {
        let name = tablet.replica.home_of(&record).unwrap().unwrap();
        let row = tablet.replica.record_row(&record).unwrap().unwrap();
        let mut event = self.event(tablet, record, &name, kind, row.heads.into_iter().collect());
        event.field_notes = field_notes;
        if kind != ReviewKind::Comment {
            event.seen = row.review.seen_now;
        }
        let origin = self.origin(tablet);
        let change = event.author(&origin).unwrap();
        let doc = change.change.doc_id_if_root().unwrap();
        tablet.replica.write(&name, &[(doc, change)], None).unwrap();
        tablet.replica.sync().unwrap();
        doc
    }

    /// Changes one field at the version that stands now.
    pub(crate) fn edit(&mut self, tablet: &mut Tablet, doc: DocId, path: &str, value: &str) {
        let origin = self.origin(tablet);
        let name = tablet.replica.home_of(&doc).unwrap().unwrap();
        let document = tablet.replica.document(&doc).unwrap().unwrap();
        let edits = [FieldEdit::Set(FieldPath::Field(path.to_owned()), Scalar::Text(value.to_owned()))];
        if let Some(change) = edit(&document, &document.heads(), &origin, &edits).unwrap() {
            tablet.replica.write(&name, &[(doc, change)], None).unwrap();
            tablet.replica.sync().unwrap();
        }
    }
}

pub(crate) fn setup(authority: &SigningKey, secrets: &HubSecrets, seed: u64) -> HubSetup {
    HubSetup {
        authority: authority.verifying_key().to_bytes(),
        secrets: secrets.clone(),
        limits: HubLimits::default(),
        clock: ClockCheck::Strict,
        rng: StdRng::seed_from_u64(seed),
    }
}

fn over_the_wire(message: &Message) -> Message {
    let mut frames = FrameReader::default();
    frames.push(&message.encode_frame());
    frames.next_message().unwrap().unwrap()
}

pub(crate) fn deliver(running: &mut [(&mut Tablet, Running)], outputs: Vec<HubOutput>) {
    for output in outputs {
        let (HubOutput::Send { session, .. } | HubOutput::Close { session, .. }) = &output;
        let Some((tablet, running)) = running.iter_mut().find(|(_, running)| running.session == *session) else {
            continue;
        };
        match output {
            HubOutput::Send { message, .. } => {
                running.exchange.handle_message(over_the_wire(&message)).unwrap();
                running.pump(&mut tablet.replica);
            }
            HubOutput::Close { code, .. } => running.closed = Some(code),
        }
    }
}

impl Running {
    /// What waits to be sent, as commands for the hub.
    pub(crate) fn take_messages(&mut self) -> Vec<Command> {
        let session = self.session;
        self.to_hub
            .drain(..)
            .map(|message| Command::Message { session, message: Box::new(over_the_wire(&message)) })
            .collect()
    }

    /// Runs the tablet's side until it needs the network.
    pub(crate) fn pump(&mut self, replica: &mut Replica) {
        loop {
            match self.exchange.pump(replica).unwrap() {
                Pump::Quiet => break,
                Pump::AwaitsSync => {
                    replica.sync().unwrap();
                    self.exchange.after_sync(replica);
                }
                Pump::AwaitsJudge => {
                    replica.judge().unwrap();
                    self.exchange.after_judge(replica, Vec::new());
                }
            }
        }
        while let Some(output) = self.exchange.poll_output() {
            match output {
                Output::Send(message) => self.to_hub.push_back(message),
                Output::StateDiffers(name) => self.states_differ.push(name),
                Output::Finished => self.finished = true,
                Output::PeerLeft(bye) => self.byes.push(bye),
                Output::Acked(_) | Output::Refused(_) | Output::Agreed(_) | Output::Epoch(..) | Output::Subscribed => {}
            }
        }
    }
}

impl Tablet {
    pub(crate) fn device(&self) -> DeviceId {
        self.replica.device()
    }
}

/// Every logbook has the same state on all of them.
pub(crate) fn assert_same_states(replicas: &[&Replica]) {
    let first: BTreeMap<_, _> = replicas[0].state_digests().into_iter().collect();
    for replica in replicas {
        let states: BTreeMap<_, _> = replica.state_digests().into_iter().collect();
        assert_eq!(states, first);
    }
}
