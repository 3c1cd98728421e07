//! A hub in memory, and the network to it: no sockets, no sleeps. Replica and exchange are the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_client_core::enroll::{EnrollError, EnrollOptions, Enrolled};
use qianmo_client_core::network::{Job, Line, LineReceiver, LineSender, Network};
use qianmo_client_core::transport::{ConnectError, DeviceIdentity, LinkError, Purpose, Traffic};
use qianmo_client_core::{ClientConfig, FieldClient, Outside, RecordDraft, Schedule};
use qianmo_protocol::beacon::{Beacon, SignedBeacon};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{
    Admission, Carrier, Decision, Enrolment, Grant, HubKeys, QuarantineScope, Role as GrantRole, Scope, SignedEntry,
    Signer,
};
use qianmo_protocol::handshake::{Address, EnrolRefusal, Ticket, Token};
use qianmo_protocol::ids::{Code, DeviceId, Epoch, HubId, LogbookName, OrgId, PackHash};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::message::{About, FrameReader, Message};
use qianmo_protocol::session::{Access, Shelf as _, Taken, VERSIONS};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::MemoryDisk;
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::replica::{CODE_WAITS, HeldPart, Identity, Replica, Role};
use tokio::sync::broadcast;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// Changes a pack on its way.
pub type Spoil = Box<dyn FnMut(&mut Pack) + Send>;

/// 2025-06-18 in Shanghai.
pub const NOW: i64 = 1_750_204_800_000;

pub struct Hub {
    authority: SigningKey,
    pub org: OrgId,
    signing: SigningKey,
    id: HubId,
    epoch: Epoch,
    pub replica: Replica,
    beacons: u64,
    pub watermark: u64,
    clock: i64,
    tickets: BTreeMap<Token, (Code, Code)>,
    visible: Vec<(LogbookName, PackHash)>,
    /// What happens to packs on their way to the hub.
    pub spoil: Option<Spoil>,
    /// What tablets said of themselves, in order.
    pub abouts: Vec<About>,
    news: broadcast::Sender<()>,
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

impl Hub {
    fn new() -> Self {
        let authority = key(1);
        let signing = key(2);
        let org = OrgId::from_authority_key(authority.verifying_key().as_bytes());
        let id = HubId::from_key(signing.verifying_key().as_bytes());
        let epoch = Epoch([1; 16]);
        let identity = Identity {
            authority: authority.verifying_key().to_bytes(),
            key: key(3),
            role: Role::Hub { hub: id, epoch },
        };
        let (disk, index) = (Box::new(MemoryDisk::new()), Box::new(MemoryIndex::default()));
        let (replica, _) = Replica::open(disk, index, identity, &mut rand::rng()).unwrap();
        let mut hub = Self {
            authority,
            org,
            signing,
            id,
            epoch,
            replica,
            beacons: 0,
            watermark: 0,
            clock: NOW,
            tickets: BTreeMap::new(),
            visible: Vec::new(),
            spoil: None,
            abouts: Vec::new(),
            news: broadcast::channel(64).0,
        };
        let keys = HubKeys { signing: hub.signing.verifying_key().to_bytes(), bundle: [7; 32] };
        let entry = hub.replica.control().draft(Signer::Authority, epoch, UnixMillis(NOW), Decision::Hub(keys));
        let signed = SignedEntry::sign(&hub.org, &hub.authority, entry).unwrap();
        hub.replica.adopt(vec![signed]).unwrap();
        hub.replica.sync().unwrap();
        hub.decide(Decision::EpochStart { parents: BTreeMap::new() });
        hub
    }

    fn now(&mut self) -> UnixMillis {
        self.clock += 1_000;
        UnixMillis(self.clock)
    }

    pub fn decide(&mut self, decision: Decision) {
        let now = self.now();
        let entry = self.replica.control().draft(Signer::Hub(self.id), self.epoch, now, decision);
        let signed = SignedEntry::sign(&self.org, &self.signing, entry).unwrap();
        self.replica.adopt(vec![signed]).unwrap();
        self.replica.sync().unwrap();
    }

    /// A ticket for a person's tablet.
    pub fn ticket(&mut self, person: &str, role: GrantRole) -> String {
        let person = Code::new(person).unwrap();
        let station = Code::new("ST01").unwrap();
        let scope = match role {
            GrantRole::Coordinator => Scope::District,
            _ => Scope::Stations(BTreeSet::from([station.clone()])),
        };
        self.decide(Decision::Grant(Grant { person: person.clone(), role, scope }));
        let token = Token([u8::try_from(self.tickets.len()).unwrap(); 16]);
        self.tickets.insert(token, (person, station));
        let ticket = Ticket {
            addresses: vec![Address::new("hub.test:4433").unwrap()],
            authority_key: self.authority.verifying_key().to_bytes(),
            token,
            expires: UnixMillis(NOW),
        };
        ticket.to_string()
    }

    pub fn revoke(&mut self, device: &str) {
        let device = DeviceId::from_hex(device).unwrap();
        self.decide(Decision::Revoke { device, reason: 1, tips: BTreeSet::new() });
    }

    fn enrol(&mut self, token: Token, key: &SigningKey, options: &EnrollOptions) -> Result<Enrolled, EnrollError> {
        let known = self.tickets.get(&token).cloned();
        let (person, station) = known.ok_or(EnrollError::Refused(EnrolRefusal::UnknownToken))?;
        let device_key = key.verifying_key().to_bytes();
        self.decide(Decision::Enrol(Enrolment {
            key: device_key,
            persons: BTreeSet::from([person.clone()]),
            station: station.clone(),
            replaces: options.replaces.clone(),
        }));
        Ok(Enrolled {
            identity: DeviceIdentity {
                key: key.clone(),
                certificate: device_key.to_vec(),
                authority_key: self.authority.verifying_key().to_bytes(),
            },
            device: DeviceId::from_key(&device_key),
            authority_certificate: vec![1],
            org: self.org,
            org_name: "平谷".to_owned(),
            hub: self.id,
            station,
            persons: vec![person],
            control_entries: self.replica.control().iter().map(|(_, entry)| entry.encode()).collect(),
        })
    }

    pub fn issue_beacon(&mut self) {
        self.beacons += 1;
        let beacon = Beacon {
            hub: self.id,
            epoch: self.epoch,
            sequence: self.beacons,
            time: self.now(),
            commit: self.replica.durable_commit().0,
            watermark: self.watermark,
        };
        let signed = SignedBeacon::sign(&self.org, &self.signing, beacon).unwrap();
        self.replica.take_beacon(&signed).unwrap();
        self.replica.sync().unwrap();
    }

    /// A program says which version it speaks: below the minimum it may only upload (A4).
    fn note_version(&mut self, device: DeviceId, newest: u16) {
        if newest < self.replica.control().fold().minimum_version() {
            self.replica.limit_to_upload(device);
        } else {
            self.replica.lift_upload_limit(&device);
        }
    }

    fn is_too_old(&self, device: &DeviceId) -> bool {
        let is_full = self.replica.control().fold().may_connect(device, &self.epoch) == Admission::Full;
        is_full && self.replica.access(device) == Access::UploadOnly
    }

    /// Lets an exchange work until it needs the network; answers the frames to send, and whether the peer is gone.
    fn run(&mut self, exchange: &mut Exchange) -> (Vec<Vec<u8>>, bool) {
        loop {
            match exchange.pump(&mut self.replica).unwrap() {
                Pump::Quiet => break,
                Pump::AwaitsSync => {
                    self.replica.sync().unwrap();
                    exchange.after_sync(&self.replica);
                }
                Pump::AwaitsJudge => {
                    self.judge_and_publish();
                    let receipts = self.receipts(exchange);
                    exchange.after_judge(&self.replica, receipts);
                }
            }
        }
        let (visible, control) = self.replica.take_visible();
        let has_news = control || !visible.is_empty();
        self.visible.extend(visible);
        if has_news && self.news.receiver_count() > 0 {
            self.news.send(()).unwrap();
        }
        let mut frames = Vec::new();
        let mut is_gone = false;
        while let Some(output) = exchange.poll_output() {
            match output {
                Output::Send(message) => frames.push(message.encode_frame()),
                Output::PeerLeft(_) => is_gone = true,
                Output::StateDiffers(name) => panic!("states differ in {name}"),
                _ => {}
            }
        }
        (frames, is_gone)
    }

    /// Judges, publishes what is held, and judges what waited for that.
    fn judge_and_publish(&mut self) {
        loop {
            let report = self.replica.judge().unwrap();
            for held in &report.held {
                let carrier = match held.part {
                    HeldPart::Content => Carrier::Content,
                    HeldPart::Carrier => Carrier::Pack(held.pack),
                };
                let scope = QuarantineScope::Change { change: held.change, carrier };
                self.decide(Decision::Quarantine { scope, code: held.code });
            }
            if !report.more {
                return;
            }
        }
    }

    /// The receipt for a turn, as the hub gives it: it names what is held and what waits, and no pack that is not judged.
    fn receipts(&self, exchange: &Exchange) -> Vec<SignedReceipt> {
        let (replica, fold) = (&self.replica, self.replica.control().fold());
        let (mut packs, mut held) = (BTreeSet::new(), BTreeSet::new());
        for (pack, _) in exchange.stored() {
            let Some(name) = replica.logbooks().into_iter().find(|name| replica.node(name, pack).is_some()) else {
                continue;
            };
            packs.insert(*pack);
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
        let receipt = Receipt { hub: self.id, epoch: self.epoch, commit, packs, verdict };
        vec![SignedReceipt::sign(&self.org, &self.signing, receipt).unwrap()]
    }
}

/// The hub, its network, and a clock that all tablets share.
#[derive(Clone)]
pub struct World {
    hub: Arc<Mutex<Hub>>,
    pub is_up: Arc<AtomicBool>,
    pub dials: Arc<AtomicUsize>,
    clock: Arc<AtomicI64>,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("World")
    }
}

impl World {
    pub fn new() -> Self {
        Self {
            hub: Arc::new(Mutex::new(Hub::new())),
            is_up: Arc::new(AtomicBool::new(true)),
            dials: Arc::default(),
            clock: Arc::new(AtomicI64::new(NOW)),
        }
    }

    pub fn hub(&self) -> MutexGuard<'_, Hub> {
        self.hub.lock().unwrap()
    }

    pub fn outside(&self) -> Outside {
        let clock = Arc::clone(&self.clock);
        // Every look at the clock is a little later, so that newest first means something.
        Outside { network: Arc::new(self.clone()), clock: Arc::new(move || clock.fetch_add(10, Ordering::Relaxed)) }
    }

    /// A tablet that does nothing unasked.
    pub async fn tablet(&self, dir: &std::path::Path) -> FieldClient {
        let config = ClientConfig::new(dir).schedule(Schedule::Manual).label("一号平板");
        FieldClient::open_with(config, self.outside()).await.unwrap()
    }

    pub async fn enrolled(&self, dir: &std::path::Path, person: &str, role: GrantRole) -> FieldClient {
        let tablet = self.tablet(dir).await;
        let ticket = self.hub().ticket(person, role);
        assert_eq!(tablet.enroll(&ticket).await.unwrap(), "ST01");
        tablet
    }
}

/// A visit that the form takes.
pub fn visit(content: &str) -> RecordDraft {
    RecordDraft::new("visit")
        .with("service_mode", "现场")
        .with("activity_date", "2025年6月17日")
        .with("staff_id", "P01")
        .with("target_name", "刘店镇果园")
        .with("town_code", "110117104")
        .with("content", content)
}

#[derive(Debug)]
struct MemoryLine {
    sender: MemorySender,
    receiver: MemoryReceiver,
}

/// With what the hub closed a connection.
type Closed = Arc<Mutex<Option<CloseCode>>>;

#[derive(Debug)]
struct MemorySender {
    frames: Option<UnboundedSender<Vec<u8>>>,
    bytes: u64,
}

#[derive(Debug)]
struct MemoryReceiver {
    frames: UnboundedReceiver<Vec<u8>>,
    reader: FrameReader,
    closed: Closed,
    bytes: u64,
}

impl Line for MemoryLine {
    fn split(&mut self) -> (&mut dyn LineSender, &mut dyn LineReceiver) {
        (&mut self.sender, &mut self.receiver)
    }

    fn traffic(&self) -> Traffic {
        let (sent, received) = (self.sender.bytes, self.receiver.bytes);
        Traffic { udp_sent: sent, udp_received: received, stream_sent: sent, stream_received: received }
    }

    fn close(self: Box<Self>, _code: CloseCode) -> Job<'static, Traffic> {
        let traffic = self.traffic();
        Box::pin(async move { traffic })
    }
}

impl LineSender for MemorySender {
    fn send_frame<'a>(&'a mut self, frame: &'a [u8]) -> Job<'a, Result<(), LinkError>> {
        Box::pin(async move {
            let sent = self.frames.as_ref().is_some_and(|frames| frames.send(frame.to_vec()).is_ok());
            self.bytes += u64::try_from(frame.len()).unwrap();
            if sent { Ok(()) } else { Err(LinkError::TimedOut) }
        })
    }

    fn flush(&mut self) -> Job<'_, Result<(), LinkError>> {
        self.frames = None;
        Box::pin(async { Ok(()) })
    }
}

impl LineReceiver for MemoryReceiver {
    fn recv_message(&mut self) -> Job<'_, Result<Option<Message>, LinkError>> {
        Box::pin(async move {
            loop {
                if let Some(message) = self.reader.next_message().map_err(LinkError::Malformed)? {
                    return Ok(Some(message));
                }
                let Some(frame) = self.frames.recv().await else {
                    let code = *self.closed.lock().unwrap();
                    return code.map_or(Ok(None), |code| Err(LinkError::Closed { code: Some(code) }));
                };
                self.bytes += u64::try_from(frame.len()).unwrap();
                self.reader.push(&frame);
            }
        })
    }
}

impl Network for World {
    fn enroll<'a>(
        &'a self,
        ticket: &'a Ticket,
        key: &'a SigningKey,
        options: &'a EnrollOptions,
        within: Duration,
    ) -> Job<'a, Result<Enrolled, EnrollError>> {
        Box::pin(async move {
            if !self.is_up.load(Ordering::Relaxed) {
                return Err(EnrollError::TimedOut { within });
            }
            self.hub().enrol(ticket.token, key, options)
        })
    }

    fn connect<'a>(
        &'a self,
        identity: &'a DeviceIdentity,
        addresses: &'a [Address],
        _purpose: Purpose,
        _within: Duration,
    ) -> Job<'a, Result<Box<dyn Line>, ConnectError>> {
        Box::pin(async move {
            self.dials.fetch_add(1, Ordering::Relaxed);
            if !self.is_up.load(Ordering::Relaxed) {
                let source = io::Error::from(io::ErrorKind::NetworkUnreachable);
                return Err(ConnectError::Unreachable { address: addresses[0].to_string(), source });
            }
            let (to_hub, from_tablet) = unbounded_channel();
            let (to_tablet, from_hub) = unbounded_channel();
            let device = DeviceId::from_key(identity.key.verifying_key().as_bytes());
            let closed = Closed::default();
            tokio::spawn(serve(self.clone(), device, from_tablet, to_tablet, Arc::clone(&closed)));
            let line: Box<dyn Line> = Box::new(MemoryLine {
                sender: MemorySender { frames: Some(to_hub), bytes: 0 },
                receiver: MemoryReceiver { frames: from_hub, reader: FrameReader::default(), closed, bytes: 0 },
            });
            Ok(line)
        })
    }
}

/// The hub's side of one connection.
async fn serve(
    world: World,
    device: DeviceId,
    mut from_tablet: UnboundedReceiver<Vec<u8>>,
    to_tablet: UnboundedSender<Vec<u8>>,
    closed: Closed,
) {
    let mut exchange = Exchange::respond(device);
    let mut reader = FrameReader::default();
    let (mut news, mut seen) = {
        let mut hub = world.hub();
        hub.issue_beacon();
        (hub.news.subscribe(), hub.visible.len())
    };
    loop {
        let frames = tokio::select! {
            frame = from_tablet.recv() => {
                let Some(frame) = frame else { return };
                reader.push(&frame);
                let mut out = Vec::new();
                while let Some(mut message) = reader.next_message().unwrap() {
                    let mut hub = world.hub();
                    if let (Message::Pack(pack), Some(spoil)) = (&mut message, &mut hub.spoil) {
                        spoil(pack);
                    }
                    if let Message::Hello(hello) = &message {
                        hub.note_version(device, hello.versions.1);
                        hub.abouts.extend(hello.about.clone());
                    }
                    exchange.handle_message(message).unwrap();
                    let (frames, is_gone) = hub.run(&mut exchange);
                    out.extend(frames);
                    if is_gone {
                        return;
                    }
                }
                out
            }
            told = news.recv() => {
                told.unwrap();
                let mut hub = world.hub();
                let fresh = hub.visible[seen..].to_vec();
                if exchange.handle_news(&hub.replica, &fresh) == Taken::Yes {
                    seen = hub.visible.len();
                }
                hub.note_version(device, VERSIONS.1);
                hub.run(&mut exchange).0
            }
        };
        for frame in frames {
            if to_tablet.send(frame).is_err() {
                return;
            }
        }
        // Whoever may only upload for good has nothing to stay for.
        if exchange.is_subscribed() && world.hub().is_too_old(&device) {
            *closed.lock().unwrap() = Some(CloseCode::IncompatibleVersion);
            return;
        }
    }
}
