//! The exchange itself, without IO: the same code for tablet–hub, tablet–tablet and hub–hub.
//!
//! A session goes by turns. The initiator opens with `Hello` and, in the same flight, the packs it has no receipt for; the
//! responder takes them, judges them and answers with `Welcome`, the control entries and packs the initiator lacks, and,
//! only where the two differ in something the vectors in the `Hello` did not show, digests to compare. From then on each
//! `Vectors` turn of the initiator gets one `Vectors` turn back, until the initiator finds nothing to do. With nothing
//! new, or news only in logbooks whose vector was sent, that is one round trip; otherwise two.
//!
//! # Calling order
//!
//! [`Session::initiate`] or [`Session::respond`]; then for every message [`Session::handle_message`], and after every
//! call [`Session::poll_effect`] until it is empty. Effects are carried out in order; for [`Effect::Adopt`] answer with
//! [`Session::handle_adopted`], for [`Effect::Store`] with [`Session::handle_stored`] once the packs are durable, and
//! for [`Effect::Judge`] with [`Session::handle_judged`]. No message is handled between an effect and its answer.
//!
//! # Invariants
//!
//! 1. Nothing is acknowledged before [`Session::handle_stored`] said it is durable.
//! 2. A record reaches a peer only if [`Shelf::may_read`] allows its logbook at that moment (I23).
//! 3. Control entries are adopted before the packs of the same turn are stored.
//! 4. The number of turns is bounded: a responder turn after which the initiator's plan is empty is the last, and turns
//!    that bring nothing either way end the session (`peer_that_always_says_more_is_left`).
//! 5. No pack is sent twice, but for one more try of one that was refused for a while.
//! 6. No message is larger than its limit: what does not fit waits for the next turn.
//!
//! # Failure
//!
//! [`SessionError`] ends the session; what was stored and acknowledged before stays so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::beacon::SignedBeacon;
use crate::control::{ControlLog, SignedEntry};
use crate::digest::StateDigest;
use crate::ids::{DeviceId, EntryHash, Epoch, HubId, LogId, LogbookName, OrgId, PackHash};
use crate::limits::ITEMS_PER_MESSAGE_MAX;
use crate::pack::Pack;
use crate::receipt::SignedReceipt;
use crate::vector::{Locator, LogTrees, NamedVectors, Selection, WireVector};

mod compose;
pub mod message;
mod work;

use compose::{TURN_VECTORS_BYTES_MAX, heads_of, rest_digest, split_control};
use message::{About, Ack, Bye, ByeReason, Hello, LogbookState, Message, Refuse, RefuseCode, Turn, Vectors, Welcome};

/// Oldest and newest protocol version of this build.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Packs are handed to a responder's store whenever this many bytes have gathered: one fdatasync for many.
const STORE_BATCH_BYTES: usize = 1024 * 1024;
/// The same for an initiator: a tablet judges what it stored before it takes more, and a person reads in between.
const STORE_SLICE_BYTES: usize = 64 * 1024;

/// What a peer may do, decided from the control log and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Send and receive.
    Full,
    /// Send only: a revoked device, or one that a restored hub has not confirmed (A10, A15).
    UploadOnly,
    /// Not known: it must show its enrolment first.
    Unknown,
}

/// What a session reads of a replica. Writes are effects.
pub trait Shelf: LogTrees {
    /// The organisation.
    fn org(&self) -> OrgId;
    /// The control log.
    fn control(&self) -> &ControlLog;
    /// What a device may do here.
    fn access(&self, peer: &DeviceId) -> Access;
    /// Whether a device may hold a logbook.
    fn may_read(&self, peer: &DeviceId, logbook: &LogbookName) -> bool;
    /// What a device may hold of a selection; `None` when that is all of it.
    fn narrowed(&self, peer: &DeviceId, selection: &Selection) -> Option<Selection>;
    /// Every logbook of which something is held.
    fn logbooks(&self) -> Vec<LogbookName>;
    /// The vector that is told to peers: on a hub, of judged packs only (A2).
    fn vector(&self, logbook: &LogbookName) -> WireVector;
    /// The digest of that vector, over full heads.
    fn vector_digest(&self, logbook: &LogbookName) -> [u8; 32];
    /// The state digest.
    ///
    /// `None` while the logbook has changes that are not in a pack yet, or packs that wait for a judgement.
    fn state_digest(&self, logbook: &LogbookName) -> Option<StateDigest>;
    /// A pack that is held.
    fn pack(&self, logbook: &LogbookName, hash: &PackHash) -> Option<Pack>;
    /// Hubs' receipts that are kept for a pack: shown to a hub that does not hold it any more (A2).
    fn receipts(&self, pack: &PackHash) -> Vec<SignedReceipt>;
    /// The newest beacon known.
    fn beacon(&self) -> Option<SignedBeacon>;
    /// The hub this is, unless it is a tablet.
    fn hub(&self) -> Option<(HubId, Epoch)>;
}

/// What became of a pack that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreOutcome {
    /// Durable, new or known, under this commit number.
    Held {
        /// The pack.
        hash: PackHash,
        /// Its commit number here.
        commit: u64,
    },
    /// Not taken.
    Refused {
        /// The pack.
        hash: PackHash,
        /// Why.
        code: RefuseCode,
    },
}

/// What the driver must do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message.
    Send(Message),
    /// Take control entries into the control log, durably; then `handle_adopted`.
    Adopt(Vec<SignedEntry>),
    /// Verify and append packs, durably; then `handle_stored`.
    Store(Vec<Pack>),
    /// Judge what was stored in this turn; then `handle_judged`.
    Judge,
    /// Keep a beacon the peer passed on, if it verifies and is newer.
    Beacon(SignedBeacon),
    /// Keep a receipt, if it verifies.
    Receipt(SignedReceipt),
    /// The peer made these packs durable.
    Acked(Ack),
    /// The peer did not take a pack.
    Refused(Refuse),
    /// What the hub agrees that we hold, when it is less than we asked.
    Agreed(Selection),
    /// The hub's epoch, seen in this session.
    Epoch(HubId, Epoch),
    /// With equal vectors and control heads the states differ: a bug; the documents of the logbook must be rebuilt (I7).
    StateDiffers(LogbookName),
    /// The exchange is over; both sides hold what the other held.
    Finished,
    /// The peer wants news pushed from now on.
    Subscribed,
    /// The peer said goodbye.
    PeerLeft(Bye),
}

/// A peer broke a rule of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerMisbehaved {
    /// A message that has no place here.
    #[error("a {message} message has no place {place}")]
    OutOfPlace {
        /// Which message.
        message: &'static str,
        /// Where the session stood.
        place: &'static str,
    },
    /// A session that does not end.
    #[error("the session took {turns} turns without ending")]
    NoProgress {
        /// Turns taken.
        turns: usize,
    },
}

/// Why a session ends early.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The peer broke a rule: close, and do not come back soon.
    #[error("the peer broke the protocol")]
    PeerMisbehaved(#[from] PeerMisbehaved),
    /// The versions do not meet: one side must be updated.
    #[error("the peer speaks versions {theirs_min}-{theirs_max}, this device {ours_min}-{ours_max}")]
    PeerIncompatible {
        /// Peer's oldest.
        theirs_min: u16,
        /// Peer's newest.
        theirs_max: u16,
        /// Our oldest.
        ours_min: u16,
        /// Our newest.
        ours_max: u16,
    },
}

/// How an initiator opens.
#[derive(Debug, Clone)]
pub struct Opening {
    /// What this replica wants to hold, as the hub last agreed.
    pub selection: Selection,
    /// Logbooks whose vectors go into the `Hello`, most likely to differ first.
    pub live: Vec<LogbookName>,
    /// Packs to send along: those without a receipt. As many as fit into a turn go with the hello, the rest follows.
    pub unreceipted: Vec<(LogbookName, PackHash)>,
    /// What the peer proved to be when the connection was made.
    pub toward: Toward,
    /// The hub epoch seen last.
    pub epoch: Option<Epoch>,
    /// Whether to stay and receive pushes afterwards.
    pub stay: Stay,
    /// What a hub is told of this device.
    pub about: Option<About>,
}

/// What the peer of an initiator is, by its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// A hub: it may be told everything.
    Hub,
    /// A tablet: it is told of logbooks that [`Shelf::may_read`] allows it.
    Tablet,
}

/// What to do when nothing is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stay {
    /// Say goodbye.
    Leave,
    /// Subscribe, and keep the session.
    Subscribe,
}

/// A running count of what went over the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Turns that were started here.
    pub turns_sent: usize,
    /// Turns that were completed by the peer, pushes not counted: the round trips after the connection, for an initiator.
    pub turns_received: usize,
    /// Packs sent.
    pub packs_sent: usize,
    /// Packs received.
    pub packs_received: usize,
}

/// The initiator opens and moves; the responder answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Opened the session.
    Initiator,
    /// Answers.
    Responder,
}

/// Whether a session could take news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It did, or never will.
    Yes,
    /// It is in the middle of a turn: come again.
    NotNow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Waiting for the peer's turn (or its push).
    Idle,
    /// The peer's header came; this many of its messages are still to come.
    Receiving { left: usize, push: Push },
    /// The peer's messages are here; the store is still at work on them.
    Storing { push: Push },
    /// The peer said goodbye.
    Over,
    /// We said goodbye; what the peer had on its way is of no interest any more.
    Left,
    /// We said goodbye because the session did not come to an end.
    Stuck { turns: usize },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Push {
    No,
    Yes,
}

/// One run of the protocol with one peer.
#[derive(Debug)]
pub struct Session {
    side: Side,
    peer: DeviceId,
    toward: Toward,
    state: State,
    stay: Stay,
    version: u16,
    selection: Selection,
    /// Vectors that the peer stated and that were not answered yet.
    peer_vectors: BTreeMap<LogbookName, WireVector>,
    peer_control_heads: Option<Vec<EntryHash>>,
    peer_rest_digest: Option<[u8; 32]>,
    peer_digests: Option<Vec<(LogbookName, [u8; 8])>>,
    peer_states: Vec<LogbookState>,
    peer_more: bool,
    /// What the peer asked for, once for each log.
    asked: BTreeMap<(LogbookName, LogId), Locator>,
    /// What we asked for.
    have_asked: BTreeSet<(LogbookName, LogId)>,
    /// Control heads the peer has been told of.
    told_heads: Vec<EntryHash>,
    /// The peer's beacon: it verifies only once the control entries of its turn are adopted.
    beacon: Option<SignedBeacon>,
    control: Vec<SignedEntry>,
    packs: Vec<Pack>,
    pack_bytes: usize,
    /// Whether the present turn brought packs or control entries.
    brought: bool,
    refused: Vec<Refuse>,
    /// Whether packs were refused since vectors were last stated.
    restate: bool,
    receipts: Vec<SignedReceipt>,
    /// Packs already sent in this session (I6).
    sent: BTreeSet<PackHash>,
    /// Packs the peer refused for a while; a second time is for good, in this session.
    refused_once: BTreeSet<[u8; 8]>,
    /// Logbooks whose states are to be compared.
    touched: BTreeSet<LogbookName>,
    hello: bool,
    hello_names: BTreeSet<LogbookName>,
    subscribed: bool,
    /// Packs to send that did not fit into a turn, by commit number.
    backlog: BTreeMap<(u64, PackHash), LogbookName>,
    /// Logbooks whose vectors did not fit into a turn.
    to_state: BTreeSet<LogbookName>,
    /// Logbooks whose vectors were stated in a turn.
    stated: BTreeSet<LogbookName>,
    /// Logbooks in which anything differed or moved in this session.
    disturbed: BTreeSet<LogbookName>,
    /// Whether the welcome named a hub.
    is_at_hub: bool,
    /// Turns in a row that brought and sent nothing.
    empty_turns: usize,
    effects: VecDeque<Effect>,
    tally: Tally,
}

impl Session {
    fn new(side: Side, peer: DeviceId, toward: Toward, selection: Selection, stay: Stay) -> Self {
        Self {
            side,
            peer,
            toward,
            state: State::Idle,
            stay,
            version: VERSIONS.1,
            selection,
            peer_vectors: BTreeMap::new(),
            peer_control_heads: None,
            peer_rest_digest: None,
            peer_digests: None,
            peer_states: Vec::new(),
            peer_more: false,
            asked: BTreeMap::new(),
            have_asked: BTreeSet::new(),
            told_heads: Vec::new(),
            beacon: None,
            control: Vec::new(),
            packs: Vec::new(),
            pack_bytes: 0,
            brought: false,
            refused: Vec::new(),
            restate: false,
            receipts: Vec::new(),
            sent: BTreeSet::new(),
            refused_once: BTreeSet::new(),
            touched: BTreeSet::new(),
            hello: false,
            hello_names: BTreeSet::new(),
            subscribed: false,
            backlog: BTreeMap::new(),
            to_state: BTreeSet::new(),
            stated: BTreeSet::new(),
            disturbed: BTreeSet::new(),
            is_at_hub: false,
            empty_turns: 0,
            effects: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Opens a session with `peer`: the hello and what goes with it are the first effects.
    pub fn initiate(shelf: &impl Shelf, peer: DeviceId, opening: &Opening) -> Self {
        let mut session = Self::new(Side::Initiator, peer, opening.toward, opening.selection.clone(), opening.stay);
        session.queue(shelf, &opening.unreceipted);
        let packs = session.pick_packs(shelf);
        let vectors = session.live_vectors(shelf, &opening.live);
        session.hello_names = vectors.iter().map(|(name, _)| name.clone()).collect();
        session.touched.extend(packs.iter().map(|pack| pack.header.logbook.clone()));
        session.told_heads = heads_of(shelf);
        let receipts = session.receipts_for(shelf, &packs);
        session.send(Message::Hello(Hello {
            versions: VERSIONS,
            control_heads: session.told_heads.clone(),
            epoch: opening.epoch,
            selection: opening.selection.clone(),
            rest_digest: rest_digest(shelf, &opening.selection, &session.hello_names, session.reader()),
            vectors,
            follow: receipts.len() + packs.len(),
            about: opening.about.clone().filter(|_| opening.toward == Toward::Hub),
        }));
        receipts.into_iter().for_each(|receipt| session.send(Message::Receipt(receipt)));
        session.send_packs(packs);
        session.tally.turns_sent = 1;
        session
    }

    /// Waits for `peer` to open.
    #[must_use]
    pub fn respond(peer: DeviceId) -> Self {
        Self::new(Side::Responder, peer, Toward::Tablet, Selection::everything(), Stay::Leave)
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// What went over the session so far.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.tally
    }

    /// Whether the exchange is over and the session only waits for pushes.
    #[must_use]
    pub const fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Logbooks of which a hub held, when it wrote its welcome, every pack that is held here: none of them was mentioned by
    /// either side after the hello. For an initiator that may receive, once the exchange is over.
    pub fn undisturbed(&self, shelf: &impl Shelf) -> Vec<LogbookName> {
        if !self.is_at_hub || self.side != Side::Initiator {
            return Vec::new();
        }
        let is_quiet =
            |name: &LogbookName| ![&self.disturbed, &self.touched, &self.stated].iter().any(|set| set.contains(name));
        shelf.logbooks().into_iter().filter(|name| self.selection.covers(name) && is_quiet(name)).collect()
    }

    /// Takes one message of the peer.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection with its code.
    pub fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
        let is_late = match self.state {
            State::Over => return Err(out_of_place(message.name(), "after the peer's goodbye")),
            State::Stuck { turns } => return Err(PeerMisbehaved::NoProgress { turns }.into()),
            State::Left => !matches!(message, Message::Ack(_) | Message::Bye(_)),
            State::Idle | State::Receiving { .. } | State::Storing { .. } => false,
        };
        if is_late {
            // It crossed our goodbye.
            return Ok(());
        }
        match message {
            Message::Ack(ack) => self.effects.push_back(Effect::Acked(ack)),
            Message::Bye(bye) => {
                self.state = State::Over;
                self.effects.push_back(Effect::PeerLeft(bye));
            }
            Message::Hello(hello) => self.on_hello(hello)?,
            Message::Welcome(welcome) => self.on_welcome(*welcome)?,
            Message::Vectors(vectors) => self.on_vectors(vectors)?,
            Message::Push { beacon, follow } => self.on_push(beacon, follow)?,
            Message::Subscribe => self.on_subscribe()?,
            Message::Blob(_) => return Err(out_of_place("Blob", "on the session's stream")),
            followed @ (Message::Pack(_)
            | Message::Control(_)
            | Message::NeedAncestors(..)
            | Message::Refuse(_)
            | Message::Receipt(_)) => self.on_followed(followed)?,
        }
        self.advance();
        Ok(())
    }

    /// The control entries of [`Effect::Adopt`] are in the control log.
    pub fn handle_adopted(&mut self) {
        self.advance();
    }

    /// The packs of [`Effect::Store`] are durable, or were refused.
    pub fn handle_stored(&mut self, shelf: &impl Shelf, outcomes: &[StoreOutcome]) {
        let mut items = Vec::new();
        for outcome in outcomes {
            match outcome {
                StoreOutcome::Held { hash, commit } => items.push((hash.head8(), *commit)),
                StoreOutcome::Refused { hash, code } => {
                    self.restate = true;
                    self.refused.push(Refuse { pack8: hash.head8(), code: *code });
                }
            }
        }
        let epoch = shelf.hub().map(|(_, epoch)| epoch);
        for chunk in items.chunks(ITEMS_PER_MESSAGE_MAX) {
            self.send(Message::Ack(Ack { epoch, items: chunk.to_vec() }));
        }
        self.advance();
    }

    /// What this turn brought is judged; a hub gives its receipts.
    pub fn handle_judged(&mut self, shelf: &impl Shelf, receipts: Vec<SignedReceipt>) {
        self.receipts.extend(receipts);
        let State::Storing { push } = self.state else { return };
        self.state = State::Idle;
        match (push, self.side) {
            (Push::Yes, _) => self.after_push(shelf),
            (Push::No, Side::Responder) => {
                self.tally.turns_received += 1;
                self.answer(shelf);
            }
            (Push::No, Side::Initiator) => {
                self.tally.turns_received += 1;
                self.move_on(shelf);
            }
        }
    }

    /// A subscribed peer should hear of new packs, control entries or a new beacon: the responder pushes them.
    ///
    /// `since` are packs that became visible since the last call; what does not fit goes with the next push or turn.
    /// Answers whether they were taken; if not, the session is in the middle of a turn, and the caller comes again.
    pub fn handle_news(&mut self, shelf: &impl Shelf, since: &[(LogbookName, PackHash)]) -> Taken {
        if !self.subscribed || self.state != State::Idle || self.side != Side::Responder {
            return Taken::NotNow;
        }
        let access = shelf.access(&self.peer);
        if access == Access::Unknown {
            return Taken::Yes;
        }
        let control = split_control(self.control_for_peer(shelf));
        let packs = if access == Access::Full {
            let wanted: Vec<_> = since.iter().filter(|(name, _)| self.selection.covers(name)).cloned().collect();
            self.queue(shelf, &wanted);
            self.pick_packs(shelf)
        } else {
            Vec::new()
        };
        self.send(Message::Push { beacon: shelf.beacon(), follow: control.len() + packs.len() });
        control.into_iter().for_each(|entries| self.send(Message::Control(entries)));
        self.send_packs(packs);
        Taken::Yes
    }

    /// A subscribed initiator has something new of its own: it starts another turn.
    ///
    /// Answers whether it was taken; if not, the session is in the middle of a turn, and the caller comes again.
    pub fn handle_local_news(&mut self, shelf: &impl Shelf, unreceipted: &[(LogbookName, PackHash)]) -> Taken {
        let awaits_answer = self.tally.turns_sent > self.tally.turns_received;
        if self.side != Side::Initiator || self.state != State::Idle || !self.subscribed || awaits_answer {
            return Taken::NotNow;
        }
        self.queue(shelf, unreceipted);
        let packs = self.pick_packs(shelf);
        let names: BTreeSet<LogbookName> = packs.iter().map(|pack| pack.header.logbook.clone()).collect();
        self.touched.extend(names.iter().cloned());
        let vectors = self.state_vectors(shelf, names, TURN_VECTORS_BYTES_MAX);
        self.send_turn(shelf, Outgoing { vectors, packs, ..Outgoing::default() });
        Taken::Yes
    }

    /// Ends the session from this side.
    pub fn leave(&mut self, bye: Bye) {
        match self.state {
            State::Idle | State::Receiving { .. } | State::Storing { .. } => {
                self.state = State::Left;
                self.send(Message::Bye(bye));
            }
            State::Over | State::Left | State::Stuck { .. } => {}
        }
    }

    /// Ends a session that does not come to an end by itself.
    fn give_up(&mut self) {
        self.leave(Bye { reason: ByeReason::Later, retry_after_ms: None });
        self.state = State::Stuck { turns: self.tally.turns_sent };
    }

    fn send(&mut self, message: Message) {
        self.effects.push_back(Effect::Send(message));
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), SessionError> {
        if self.side != Side::Responder || self.hello {
            return Err(out_of_place("Hello", "after the first"));
        }
        self.version = agree(hello.versions)?;
        self.hello = true;
        self.selection = hello.selection;
        self.hello_names = hello.vectors.iter().map(|(name, _)| name.clone()).collect();
        self.peer_vectors = hello.vectors.into_iter().collect();
        self.peer_control_heads = Some(hello.control_heads);
        self.peer_rest_digest = Some(hello.rest_digest);
        self.state = State::Receiving { left: hello.follow, push: Push::No };
        Ok(())
    }

    fn on_welcome(&mut self, welcome: Welcome) -> Result<(), SessionError> {
        if self.side != Side::Initiator || self.hello || self.state != State::Idle {
            return Err(out_of_place("Welcome", "without a hello before it"));
        }
        self.version = agree((welcome.version, welcome.version))?;
        self.hello = true;
        if let Some((hub, epoch)) = welcome.hub {
            self.is_at_hub = true;
            self.effects.push_back(Effect::Epoch(hub, epoch));
        }
        self.beacon = welcome.beacon;
        if let Some(agreed) = welcome.agreed {
            self.selection = agreed.clone();
            self.effects.push_back(Effect::Agreed(agreed));
        }
        self.peer_control_heads = Some(welcome.control_heads);
        self.peer_digests = welcome.digests;
        self.on_turn(welcome.turn);
        Ok(())
    }

    fn on_vectors(&mut self, vectors: Vectors) -> Result<(), SessionError> {
        if !self.hello || self.state != State::Idle {
            return Err(out_of_place("Vectors", "before the turn was over"));
        }
        if !vectors.control_heads.is_empty() {
            self.peer_control_heads = Some(vectors.control_heads);
        }
        self.on_turn(vectors.turn);
        Ok(())
    }

    fn on_turn(&mut self, turn: Turn) {
        self.disturbed.extend(turn.vectors.iter().map(|(name, _)| name.clone()));
        // Those of a hello that could not be answered yet stay.
        self.peer_vectors.extend(turn.vectors);
        self.peer_states = turn.states;
        self.peer_more = turn.more;
        self.state = State::Receiving { left: turn.follow, push: Push::No };
    }

    fn on_push(&mut self, beacon: Option<SignedBeacon>, follow: usize) -> Result<(), SessionError> {
        if self.side != Side::Initiator || !self.subscribed || self.state != State::Idle {
            return Err(out_of_place("Push", "outside a subscription"));
        }
        self.beacon = beacon;
        self.state = State::Receiving { left: follow, push: Push::Yes };
        Ok(())
    }

    fn on_subscribe(&mut self) -> Result<(), SessionError> {
        if self.side != Side::Responder || self.tally.turns_sent == 0 || self.state != State::Idle {
            return Err(out_of_place("Subscribe", "before the exchange was over"));
        }
        self.subscribed = true;
        self.touched.clear();
        self.have_asked.clear();
        self.effects.push_back(Effect::Subscribed);
        Ok(())
    }

    /// A message that a turn or a push announced.
    fn on_followed(&mut self, message: Message) -> Result<(), SessionError> {
        match &mut self.state {
            State::Receiving { left, .. } if *left > 0 => *left -= 1,
            State::Receiving { .. }
            | State::Idle
            | State::Storing { .. }
            | State::Over
            | State::Left
            | State::Stuck { .. } => {
                return Err(out_of_place(message.name(), "outside the turn that announced it"));
            }
        }
        match message {
            Message::Pack(pack) => {
                self.tally.packs_received += 1;
                self.brought = true;
                self.touched.insert(pack.header.logbook.clone());
                self.pack_bytes += pack.body.len();
                self.packs.push(pack);
            }
            Message::Control(entries) => {
                self.brought = true;
                self.control.extend(entries);
            }
            Message::NeedAncestors(name, locator) => {
                self.asked.insert((name, locator.log), locator);
            }
            Message::Refuse(refuse) => {
                self.on_refuse(refuse);
                self.effects.push_back(Effect::Refused(refuse));
            }
            // The control entries that prove it came before it.
            Message::Receipt(receipt) => self.effects.push_back(Effect::Receipt(receipt)),
            Message::Hello(_)
            | Message::Welcome(_)
            | Message::Vectors(_)
            | Message::Ack(_)
            | Message::Subscribe
            | Message::Push { .. }
            | Message::Blob(_)
            | Message::Bye(_) => return Err(out_of_place(message.name(), "within a turn")),
        }
        Ok(())
    }

    /// A pack that was refused for a while may be sent once more: its ancestors or its enrolment will be there then.
    fn on_refuse(&mut self, refuse: Refuse) {
        match refuse.code {
            RefuseCode::MissingPrev | RefuseCode::UnknownDevice | RefuseCode::UnprovenStub => {
                let [low, high] = [0, u8::MAX].map(|fill| {
                    let mut hash = PackHash([fill; 32]);
                    hash.0.iter_mut().zip(refuse.pack8).for_each(|(to, from)| *to = from);
                    hash
                });
                let again: Vec<PackHash> = self.sent.range(low..=high).copied().collect();
                // Of what was never sent nothing is remembered: a peer can refuse without end.
                if !again.is_empty() && self.refused_once.insert(refuse.pack8) {
                    again.iter().for_each(|hash| {
                        self.sent.remove(hash);
                    });
                }
            }
            RefuseCode::Quota | RefuseCode::BadSignature | RefuseCode::BadBody | RefuseCode::OverLimit => {}
        }
    }

    /// Hands over what has gathered; when the peer's turn is complete and stored, has it judged.
    fn advance(&mut self) {
        let State::Receiving { left, push } = self.state else { return };
        let batch = match self.side {
            Side::Initiator => STORE_SLICE_BYTES,
            Side::Responder => STORE_BATCH_BYTES,
        };
        if !self.control.is_empty() {
            let entries = core::mem::take(&mut self.control);
            self.effects.push_back(Effect::Adopt(entries));
        } else if !self.packs.is_empty() && (left == 0 || self.pack_bytes >= batch) {
            self.pack_bytes = 0;
            let packs = core::mem::take(&mut self.packs);
            self.effects.push_back(Effect::Store(packs));
        } else if left == 0 {
            self.state = State::Storing { push };
            self.effects.extend(self.beacon.take().map(Effect::Beacon));
            self.effects.push_back(Effect::Judge);
        }
    }
}

/// What a turn carries.
#[derive(Debug, Default)]
struct Outgoing {
    vectors: NamedVectors,
    packs: Vec<Pack>,
    asks: Vec<(LogbookName, Locator)>,
    control: Vec<SignedEntry>,
}

/// The newest version that both sides speak.
fn agree(theirs: (u16, u16)) -> Result<u16, SessionError> {
    let newest = VERSIONS.1.min(theirs.1);
    if newest < VERSIONS.0 || newest < theirs.0 {
        return Err(SessionError::PeerIncompatible {
            theirs_min: theirs.0,
            theirs_max: theirs.1,
            ours_min: VERSIONS.0,
            ours_max: VERSIONS.1,
        });
    }
    Ok(newest)
}

fn out_of_place(message: &'static str, place: &'static str) -> SessionError {
    PeerMisbehaved::OutOfPlace { message, place }.into()
}
