//! An enrolled device whose program says what it likes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context as _, bail};
use ed25519_dalek::{Signer as _, SigningKey};
use qianmo_client_core::enroll::{EnrollOptions, Enrolled, enroll};
use qianmo_client_core::transport::{Dialer, Link, LinkError, Purpose};
use qianmo_protocol::change::{ActorId, RawChange, Scalar};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::SignedEntry;
use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::{Code, DeviceId, DocId, EntryHash, Incarnation, LogId, LogbookName, PackHash};
use qianmo_protocol::pack::{Entry, Pack, PackHeader, Place, seal};
use qianmo_protocol::receipt::{SignedReceipt, Verdict};
use qianmo_protocol::record::{Origin, RecordRoot, Repeats, create};
use qianmo_protocol::session::VERSIONS;
use qianmo_protocol::session::message::{Hello, Message, RefuseCode, Turn, Vectors};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::Selection;
use qianmo_protocol::wire::Wire as _;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

use super::STEP;
use super::hub_process::HubProcess;

/// When its records are written: 2025-06-15.
const TIME: UnixMillis = UnixMillis(1_750_000_000_000);

/// The device.
pub struct Hostile {
    /// All its randomness.
    pub rng: StdRng,
    /// Who works on it.
    pub person: Code,
    /// What it got when it enrolled.
    pub enrolled: Enrolled,
    /// The newest control entry it knows.
    pub control: EntryHash,
    /// Its present incarnation.
    pub incarnation: Incarnation,
    /// Its last pack.
    pub after: Option<(u32, PackHash)>,
    dialer: Dialer,
    address: Address,
}

/// The month in which everything happens.
#[must_use]
pub fn june() -> LogbookName {
    LogbookName::StationMonth(Code::new("ST01").unwrap(), Month::new(2025, 6).unwrap())
}

impl Hostile {
    /// Enrols a new device with a person of its own.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub async fn enrol(hub: &mut HubProcess, seed: u64) -> anyhow::Result<Self> {
        let mut rng = StdRng::seed_from_u64(seed);
        let person = format!("X{seed}");
        let ticket = hub.ticket(&person).await?;
        let mut secret = [0; 32];
        rng.fill_bytes(&mut secret);
        let enrolled = enroll(&ticket, &SigningKey::from_bytes(&secret), &EnrollOptions::default(), STEP).await?;
        let newest = enrolled.control_entries.last().context("no control entry")?;
        let control = SignedEntry::decode(newest)?.content().hash(&enrolled.org);
        let dialer = Dialer::new(&enrolled.identity, SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = Address::new(&hub.address.to_string())?;
        let mut incarnation = [0; 8];
        rng.fill_bytes(&mut incarnation);
        let incarnation = Incarnation(incarnation);
        let person = Code::new(&person)?;
        Ok(Self { rng, person, enrolled, control, incarnation, after: None, dialer, address })
    }

    /// Its id.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.enrolled.device
    }

    /// Its log.
    #[must_use]
    pub const fn log(&self) -> LogId {
        LogId { device: self.enrolled.device, incarnation: self.incarnation }
    }

    /// A connection on which nothing was said.
    ///
    /// # Errors
    /// When the hub does not take it.
    pub async fn connect(&self) -> anyhow::Result<Link> {
        Ok(self.dialer.connect(core::slice::from_ref(&self.address), Purpose::Session, STEP).await?)
    }

    /// A hello that asks for everything and claims nothing.
    #[must_use]
    pub fn hello(&self) -> Hello {
        Hello {
            versions: VERSIONS,
            control_heads: vec![self.control],
            epoch: None,
            selection: Selection::everything(),
            rest_digest: [0; 32],
            vectors: Vec::new(),
            follow: 0,
            about: None,
        }
    }

    /// A session after its hello and welcome.
    ///
    /// # Errors
    /// When the hub does not welcome it.
    pub async fn session(&self) -> anyhow::Result<Talk> {
        let mut talk = Talk { link: self.connect().await? };
        talk.say(&[Message::Hello(self.hello())]).await?;
        match talk.answer().await? {
            Heard::Answer(_) => Ok(talk),
            Heard::Closed(code) => bail!("the hub closed with {code:?} instead of a welcome"),
        }
    }

    /// A fresh origin with its own person.
    pub fn origin(&mut self) -> Origin {
        let mut actor = [0; 16];
        self.rng.fill_bytes(&mut actor);
        Origin { actor: ActorId(actor), person: self.person.clone(), time: TIME }
    }

    /// An honest record with these fields.
    pub fn record(&mut self, fields: &BTreeMap<String, Scalar>) -> RawChange {
        let origin = self.origin();
        let root = RecordRoot {
            form: Code::new("visit").unwrap(),
            form_version: 1,
            station: Some(Code::new("ST01").unwrap()),
            logbook: june().id(&self.enrolled.org),
            author: self.person.clone(),
            created_at: TIME,
        };
        create(&origin, &root, fields, &Repeats::new()).unwrap().change
    }

    /// An honest record with two fields.
    pub fn visit(&mut self) -> RawChange {
        let fields = BTreeMap::from([
            ("content".to_owned(), Scalar::Text(format!("样例{}", self.rng.next_u32()))),
            ("satisfaction".to_owned(), Scalar::Int(4)),
        ]);
        self.record(&fields)
    }

    /// A lawful record of as many values as one change may have.
    pub fn large_record(&mut self) -> RawChange {
        let fields = (0..4_000).map(|number| (format!("f{number}"), Scalar::Text(String::new()))).collect();
        self.record(&fields)
    }

    fn place(&self) -> Place {
        Place { logbook: june(), incarnation: self.incarnation, after: self.after, control: self.control, time: TIME }
    }

    /// The next pack of its log.
    pub fn pack(&mut self, entries: Vec<Entry>) -> Pack {
        let place = self.place();
        let sealed = seal(&self.enrolled.org, &self.enrolled.identity.key, place, entries, 3).unwrap();
        self.after = Some((sealed.header().seq, sealed.hash()));
        sealed.into_parts().0
    }

    /// A pack of one change, in a log of its own.
    pub fn pack_of(&mut self, change: RawChange) -> Pack {
        let entry = match change.doc_id_if_root() {
            Some(_) => Entry::Root { change },
            None => Entry::Full { doc: DocId([7; 16]), change },
        };
        self.pack(vec![entry])
    }

    /// A rightly signed pack whose body is not what `seal` would write. What the header says of it is `entries` entries.
    pub fn pack_around(&mut self, body: Vec<u8>, entries: u16) -> Pack {
        let header = PackHeader {
            logbook: june(),
            log: self.log(),
            seq: 0,
            prev: PackHash::NONE,
            root: [9; 32],
            entries,
            raw_bytes: 200,
            control: self.control,
            time: TIME,
        };
        self.sign(header, body)
    }

    /// Signs whatever a header says.
    #[must_use]
    pub fn sign(&self, header: PackHeader, body: Vec<u8>) -> Pack {
        let hash = header.hash(&self.enrolled.org);
        let message = [b"qianmo pack signature v1\0".as_slice(), &hash.0].concat();
        let signature = self.enrolled.identity.key.sign(&message).to_bytes();
        Pack { header, signature, body }
    }
}

/// A session with the hub.
pub struct Talk {
    /// Its connection.
    pub link: Link,
}

/// What the hub said in a turn.
#[derive(Debug, Default)]
pub struct Answer {
    /// Packs that it made durable.
    pub acked: usize,
    /// Packs that it did not take.
    pub refused: BTreeSet<RefuseCode>,
    /// What its receipts hold, by code; empty for a receipt of packs that passed.
    pub held: BTreeSet<u16>,
    /// Its receipts.
    pub receipts: Vec<SignedReceipt>,
    /// Control entries it sent.
    pub control: Vec<SignedEntry>,
    /// Packs it sent.
    pub packs: usize,
    /// Bytes of these packs.
    pub pack_bytes: usize,
}

/// How the hub took it.
#[derive(Debug)]
pub enum Heard {
    /// With a turn of its own.
    Answer(Box<Answer>),
    /// It closed the connection.
    Closed(CloseCode),
}

impl Talk {
    /// Sends messages. A connection that the hub has closed meanwhile is no error: the answer tells.
    ///
    /// # Errors
    /// Never now.
    pub async fn say(&mut self, messages: &[Message]) -> anyhow::Result<()> {
        let mut bytes = Vec::new();
        messages.iter().for_each(|message| bytes.extend_from_slice(&message.encode_frame()));
        self.raw(&bytes).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the hub does not take them in time.
    pub async fn raw(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let sent = tokio::time::timeout(STEP, self.link.send_frame(bytes)).await.context("the hub takes nothing")?;
        if let Err(error) = sent {
            anyhow::ensure!(matches!(error, LinkError::Closed { .. } | LinkError::Abandoned { .. }), "{error:?}");
        }
        Ok(())
    }

    /// A turn of this side: its header says how many messages follow.
    ///
    /// # Errors
    /// When the hub does not answer in time.
    pub async fn turn(&mut self, follow: Vec<Message>) -> anyhow::Result<Heard> {
        let turn = Turn { follow: follow.len(), ..Turn::default() };
        self.turn_with(turn, follow).await
    }

    /// A turn with this header.
    ///
    /// # Errors
    /// When the hub does not answer in time.
    pub async fn turn_with(&mut self, turn: Turn, follow: Vec<Message>) -> anyhow::Result<Heard> {
        let mut messages = vec![Message::Vectors(Vectors { control_heads: Vec::new(), turn })];
        messages.extend(follow);
        self.say(&messages).await?;
        self.answer().await
    }

    /// What the hub answers: its next turn, or the end of the connection.
    ///
    /// # Errors
    /// When it does neither in time.
    pub async fn answer(&mut self) -> anyhow::Result<Heard> {
        let mut answer = Answer::default();
        let mut left = None;
        loop {
            let received =
                tokio::time::timeout(STEP, self.link.recv_message()).await.context("the hub says nothing")?;
            let message = match received {
                Ok(Some(message)) => message,
                Ok(None) => return self.closed().await,
                Err(LinkError::Closed { code: Some(code) }) => return Ok(Heard::Closed(code)),
                Err(LinkError::Abandoned { .. }) => return self.closed().await,
                Err(error) => return Err(error.into()),
            };
            match message {
                Message::Welcome(welcome) => left = Some(welcome.turn.follow),
                Message::Vectors(vectors) => left = Some(vectors.turn.follow),
                Message::Ack(ack) => answer.acked += ack.items.len(),
                followed @ (Message::Hello(_)
                | Message::Pack(_)
                | Message::Refuse(_)
                | Message::NeedAncestors(..)
                | Message::Subscribe
                | Message::Push { .. }
                | Message::Blob(_)
                | Message::Bye(_)
                | Message::Control(_)
                | Message::Receipt(_)) => {
                    left = left.map(|left: usize| left.saturating_sub(1));
                    answer.note(followed);
                }
            }
            if left == Some(0) {
                return Ok(Heard::Answer(Box::new(answer)));
            }
        }
    }

    /// Waits until the hub closes the connection.
    ///
    /// # Errors
    /// When it does not in time.
    pub async fn closed(&mut self) -> anyhow::Result<Heard> {
        let ended = tokio::time::timeout(STEP, self.link.closed()).await.context("the hub does not close")?;
        let LinkError::Closed { code: Some(code) } = ended else { bail!("the connection ended otherwise: {ended:?}") };
        Ok(Heard::Closed(code))
    }
}

impl Answer {
    fn note(&mut self, message: Message) {
        match message {
            Message::Refuse(refuse) => {
                self.refused.insert(refuse.code);
            }
            Message::Receipt(receipt) => {
                if let Verdict::Held(held) = &receipt.content().verdict {
                    self.held.extend(held.iter().map(|(_, code)| *code));
                }
                self.receipts.push(receipt);
            }
            Message::Control(entries) => self.control.extend(entries),
            Message::Pack(pack) => {
                self.packs += 1;
                self.pack_bytes += pack.body.len();
            }
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Vectors(_)
            | Message::Ack(_)
            | Message::NeedAncestors(..)
            | Message::Subscribe
            | Message::Push { .. }
            | Message::Blob(_)
            | Message::Bye(_) => {}
        }
    }
}
