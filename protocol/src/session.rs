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
//! 4. The number of turns is bounded: a responder turn after which the initiator's plan is empty is the last.
//!
//! # Failure
//!
//! [`SessionError`] ends the session; what was stored and acknowledged before stays so.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::beacon::SignedBeacon;
use crate::control::{ControlLog, SignedEntry};
use crate::digest::StateDigest;
use crate::ids::{DeviceId, EntryHash, Epoch, HubId, LogbookName, OrgId, PackHash};
use crate::limits::{ITEMS_PER_MESSAGE_MAX, PACKS_PER_TURN_MAX, TURNS_MAX};
use crate::pack::Pack;
use crate::receipt::SignedReceipt;
use crate::vector::{Locator, LogTrees, NamedVectors, PackNode, Selection, WireVector, beyond_locator, locator, plan};

mod compose;
pub mod message;

use compose::{heads_of, readable, rest_digest, short, split_control};

use message::{Ack, Bye, ByeReason, Hello, LogbookState, Message, Refuse, RefuseCode, Turn, Vectors, Welcome};

/// Oldest and newest protocol version of this build.
pub const VERSIONS: (u16, u16) = (1, 1);

/// Packs are handed to the store whenever this many bytes have gathered.
const STORE_BATCH_BYTES: usize = 1024 * 1024;

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
    /// Packs to send along, in commit order: those without a receipt.
    pub unreceipted: Vec<(LogbookName, PackHash)>,
    /// The hub epoch seen last.
    pub epoch: Option<Epoch>,
    /// Whether to stay and receive pushes afterwards.
    pub stay: Stay,
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
    /// Turns that were completed by the peer: the round trips after the connection, for an initiator.
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
    /// The exchange is over.
    Over,
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
    state: State,
    stay: Stay,
    selection: Selection,
    /// Vectors that the peer stated in its turn, to be answered.
    peer_vectors: BTreeMap<LogbookName, WireVector>,
    peer_control_heads: Option<Vec<EntryHash>>,
    peer_rest_digest: Option<[u8; 32]>,
    peer_digests: Option<Vec<(LogbookName, [u8; 8])>>,
    peer_states: Vec<LogbookState>,
    peer_more: bool,
    asked: Vec<(LogbookName, Locator)>,
    /// Control heads the peer has been told of.
    told_heads: Vec<EntryHash>,
    control: Vec<SignedEntry>,
    packs: Vec<Pack>,
    pack_bytes: usize,
    /// Beacons and receipts of the peer's turn: they verify only once its control entries are adopted.
    after_control: Vec<Effect>,
    refused: Vec<Refuse>,
    receipts: Vec<SignedReceipt>,
    /// Packs already sent in this session: none is sent twice (I6).
    sent: BTreeSet<PackHash>,
    touched: BTreeSet<LogbookName>,
    hello: bool,
    hello_names: BTreeSet<LogbookName>,
    subscribed: bool,
    /// Packs the peer lacks that did not fit into a turn, in commit order.
    backlog: VecDeque<(LogbookName, PackHash)>,
    /// Turns in a row that brought and sent nothing.
    empty_turns: usize,
    effects: VecDeque<Effect>,
    tally: Tally,
}

impl Session {
    fn new(side: Side, peer: DeviceId, selection: Selection, stay: Stay) -> Self {
        Self {
            side,
            peer,
            state: State::Idle,
            stay,
            selection,
            peer_vectors: BTreeMap::new(),
            peer_control_heads: None,
            peer_rest_digest: None,
            peer_digests: None,
            peer_states: Vec::new(),
            peer_more: false,
            asked: Vec::new(),
            told_heads: Vec::new(),
            control: Vec::new(),
            packs: Vec::new(),
            pack_bytes: 0,
            after_control: Vec::new(),
            refused: Vec::new(),
            receipts: Vec::new(),
            sent: BTreeSet::new(),
            touched: BTreeSet::new(),
            hello: false,
            hello_names: BTreeSet::new(),
            subscribed: false,
            backlog: VecDeque::new(),
            empty_turns: 0,
            effects: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Opens a session with `peer`: the hello and what goes with it are the first effects.
    pub fn initiate(shelf: &impl Shelf, peer: DeviceId, opening: &Opening) -> Self {
        let mut session = Self::new(Side::Initiator, peer, opening.selection.clone(), opening.stay);
        let packs: Vec<Pack> =
            opening.unreceipted.iter().filter_map(|(name, hash)| session.take_for_sending(shelf, name, hash)).collect();
        let vectors = Self::live_vectors(shelf, &opening.live);
        let named: BTreeSet<LogbookName> = vectors.iter().map(|(name, _)| name.clone()).collect();
        session.hello_names.clone_from(&named);
        session.touched.extend(packs.iter().map(|pack| pack.header.logbook.clone()));
        session.told_heads = heads_of(shelf);
        session.send(Message::Hello(Hello {
            versions: VERSIONS,
            control_heads: session.told_heads.clone(),
            epoch: opening.epoch,
            selection: opening.selection.clone(),
            rest_digest: rest_digest(shelf, &opening.selection, &named, None),
            vectors,
            follow: packs.len(),
        }));
        session.send_packs(packs);
        session.tally.turns_sent = 1;
        session
    }

    /// Waits for `peer` to open.
    #[must_use]
    pub fn respond(peer: DeviceId) -> Self {
        Self::new(Side::Responder, peer, Selection::everything(), Stay::Leave)
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

    /// Takes one message of the peer.
    ///
    /// # Errors
    /// [`SessionError`]: close the connection with its code.
    pub fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
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
            Message::Subscribe => {
                self.subscribed = true;
                self.effects.push_back(Effect::Subscribed);
            }
            Message::Pack(pack) => {
                self.on_followed("pack")?;
                self.tally.packs_received += 1;
                self.touched.insert(pack.header.logbook.clone());
                self.pack_bytes += pack.body.len();
                self.packs.push(pack);
            }
            Message::Control(entries) => {
                self.on_followed("control")?;
                self.control.extend(entries);
            }
            Message::NeedAncestors(name, locator) => {
                self.on_followed("need-ancestors")?;
                self.asked.push((name, locator));
            }
            Message::Refuse(refuse) => {
                self.on_followed("refuse")?;
                if !refuse.code.is_permanent() {
                    self.sent.retain(|hash| hash.head8() != refuse.pack8);
                }
                self.effects.push_back(Effect::Refused(refuse));
            }
            Message::Receipt(receipt) => {
                self.on_followed("receipt")?;
                self.after_control.push(Effect::Receipt(receipt));
            }
            Message::Blob(_) => return Err(out_of_place("blob", "on the session's stream")),
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
                StoreOutcome::Refused { hash, code } => self.refused.push(Refuse { pack8: hash.head8(), code: *code }),
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
        self.tally.turns_received += 1;
        match (push, self.side) {
            (Push::Yes, Side::Initiator) => self.after_push(shelf),
            (Push::Yes, Side::Responder) | (Push::No, Side::Responder) => self.answer(shelf),
            (Push::No, Side::Initiator) => self.move_on(shelf),
        }
    }

    /// A subscribed peer should hear of new packs, control entries or a new beacon: the responder pushes them.
    ///
    /// `since` are packs that became visible since the last call, in commit order. Answers whether they were taken; if
    /// not, the session is in the middle of a turn, and the caller comes again.
    pub fn handle_news(&mut self, shelf: &impl Shelf, since: &[(LogbookName, PackHash)]) -> Taken {
        if !self.subscribed || self.state != State::Idle || self.side != Side::Responder {
            return Taken::NotNow;
        }
        if shelf.access(&self.peer) != Access::Full {
            return Taken::Yes;
        }
        let control = split_control(self.control_for_peer(shelf));
        let mut packs = Vec::new();
        for (name, hash) in since.iter().take(PACKS_PER_TURN_MAX) {
            if self.selection.covers(name) && shelf.may_read(&self.peer, name) {
                packs.extend(self.take_for_sending(shelf, name, hash));
            }
        }
        self.send(Message::Push { beacon: shelf.beacon(), follow: control.len() + packs.len() });
        control.into_iter().for_each(|entries| self.send(Message::Control(entries)));
        self.send_packs(packs);
        Taken::Yes
    }

    /// A subscribed initiator has something new of its own: it starts another turn.
    ///
    /// Answers whether it was taken; if not, the session is in the middle of a turn, and the caller comes again.
    pub fn handle_local_news(&mut self, shelf: &impl Shelf, unreceipted: &[(LogbookName, PackHash)]) -> Taken {
        if self.side != Side::Initiator || self.state != State::Idle || !self.subscribed {
            return Taken::NotNow;
        }
        let packs: Vec<Pack> =
            unreceipted.iter().filter_map(|(name, hash)| self.take_for_sending(shelf, name, hash)).collect();
        let touched: BTreeSet<LogbookName> = packs.iter().map(|pack| pack.header.logbook.clone()).collect();
        let vectors = touched.iter().map(|name| (name.clone(), shelf.vector(name))).collect();
        self.touched.extend(touched);
        self.send_turn(shelf, Outgoing { vectors, packs, ..Outgoing::default() });
        Taken::Yes
    }

    /// Ends the session from this side.
    pub fn leave(&mut self, bye: Bye) {
        if self.state != State::Over {
            self.state = State::Over;
            self.send(Message::Bye(bye));
        }
    }

    fn send(&mut self, message: Message) {
        self.effects.push_back(Effect::Send(message));
    }

    fn on_hello(&mut self, hello: Hello) -> Result<(), SessionError> {
        if self.side != Side::Responder || self.hello {
            return Err(out_of_place("hello", "after the first"));
        }
        if hello.versions.0 > VERSIONS.1 || hello.versions.1 < VERSIONS.0 {
            return Err(SessionError::PeerIncompatible {
                theirs_min: hello.versions.0,
                theirs_max: hello.versions.1,
                ours_min: VERSIONS.0,
                ours_max: VERSIONS.1,
            });
        }
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
            return Err(out_of_place("welcome", "without a hello before it"));
        }
        self.hello = true;
        if let Some((hub, epoch)) = welcome.hub {
            self.effects.push_back(Effect::Epoch(hub, epoch));
        }
        if let Some(beacon) = welcome.beacon {
            self.after_control.push(Effect::Beacon(beacon));
        }
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
            return Err(out_of_place("vectors", "before the turn was over"));
        }
        if !vectors.control_heads.is_empty() {
            self.peer_control_heads = Some(vectors.control_heads);
        }
        self.on_turn(vectors.turn);
        Ok(())
    }

    fn on_turn(&mut self, turn: Turn) {
        self.peer_vectors = turn.vectors.into_iter().collect();
        self.peer_states = turn.states;
        self.peer_more = turn.more;
        self.state = State::Receiving { left: turn.follow, push: Push::No };
    }

    fn on_push(&mut self, beacon: Option<SignedBeacon>, follow: usize) -> Result<(), SessionError> {
        if self.side != Side::Initiator || !self.hello || self.state != State::Idle {
            return Err(out_of_place("push", "outside a subscription"));
        }
        if let Some(beacon) = beacon {
            self.after_control.push(Effect::Beacon(beacon));
        }
        self.state = State::Receiving { left: follow, push: Push::Yes };
        Ok(())
    }

    fn on_followed(&mut self, message: &'static str) -> Result<(), SessionError> {
        match &mut self.state {
            State::Receiving { left, .. } if *left > 0 => {
                *left -= 1;
                Ok(())
            }
            State::Receiving { .. } | State::Idle | State::Storing { .. } | State::Over => {
                Err(out_of_place(message, "outside the turn that announced it"))
            }
        }
    }

    /// Hands over what has gathered; when the peer's turn is complete and stored, has it judged.
    fn advance(&mut self) {
        let State::Receiving { left, push } = self.state else { return };
        if !self.control.is_empty() && (left == 0 || !self.packs.is_empty()) {
            let entries = core::mem::take(&mut self.control);
            self.effects.push_back(Effect::Adopt(entries));
        } else if !self.packs.is_empty() && (left == 0 || self.pack_bytes >= STORE_BATCH_BYTES) {
            self.pack_bytes = 0;
            let packs = core::mem::take(&mut self.packs);
            self.effects.push_back(Effect::Store(packs));
        } else if left == 0 {
            self.state = State::Storing { push };
            self.effects.extend(self.after_control.drain(..));
            self.effects.push_back(Effect::Judge);
        }
    }

    /// The responder's answer to a turn.
    fn answer(&mut self, shelf: &impl Shelf) {
        let access = shelf.access(&self.peer);
        if self.tally.turns_received > TURNS_MAX || (access == Access::Unknown && self.tally.turns_received > 1) {
            let reason = if access == Access::Unknown { ByeReason::NotEnrolled } else { ByeReason::Later };
            self.leave(Bye { reason, retry_after_ms: None });
            return;
        }
        self.compare_states(shelf);
        let mut work = match access {
            Access::Full => self.work_on_vectors(shelf),
            Access::UploadOnly => self.work_on_vectors(shelf).without_packs(),
            // Nothing is told to a stranger; what it said is answered once it has shown its enrolment.
            Access::Unknown => Work::default(),
        };
        let waits_for_control = self.unknown_peer_heads(shelf);
        let control = self.control_for_peer(shelf);
        self.backlog.extend(core::mem::take(&mut work.packs));
        let may_send = access == Access::Full && !waits_for_control;
        let packs = if may_send { self.pick_packs(shelf) } else { Vec::new() };
        let more = access == Access::Full && !self.backlog.is_empty();
        let vectors = work.vectors.iter().map(|name| (name.clone(), shelf.vector(name))).collect();
        let outgoing = Outgoing { vectors, packs, asks: work.asks, control, more };
        if self.tally.turns_sent == 0 {
            self.send_welcome(shelf, outgoing, access);
        } else {
            self.send_turn(shelf, outgoing);
        }
    }

    /// The initiator looks at what the responder said and starts another turn, or ends.
    fn move_on(&mut self, shelf: &impl Shelf) {
        self.compare_states(shelf);
        let mut work = self.work_on_vectors(shelf);
        if let Some(digests) = self.peer_digests.take() {
            self.differing(shelf, &digests, &mut work);
        }
        self.backlog.extend(core::mem::take(&mut work.packs));
        let control = self.control_for_peer(shelf);
        let has_work =
            !work.vectors.is_empty() || !work.asks.is_empty() || !control.is_empty() || !self.backlog.is_empty();
        let waits = self.peer_more || self.unknown_peer_heads(shelf);
        self.empty_turns = if has_work { 0 } else { self.empty_turns + 1 };
        let is_stuck = self.empty_turns > EMPTY_TURNS_MAX || self.tally.turns_sent > TURNS_MAX;
        if is_stuck || !(has_work || waits) {
            self.finish();
            return;
        }
        let packs = self.pick_packs(shelf);
        let more = !self.backlog.is_empty();
        let vectors = work.vectors.iter().map(|name| (name.clone(), shelf.vector(name))).collect();
        self.send_turn(shelf, Outgoing { vectors, packs, asks: work.asks, control, more });
    }

    /// A push that did not fit onto what we hold is made good by a turn of our own.
    fn after_push(&mut self, shelf: &impl Shelf) {
        let touched = core::mem::take(&mut self.touched);
        if core::mem::take(&mut self.refused).is_empty() {
            return;
        }
        let vectors = touched.iter().map(|name| (name.clone(), shelf.vector(name))).collect();
        self.touched = touched;
        self.send_turn(shelf, Outgoing { vectors, ..Outgoing::default() });
    }

    fn finish(&mut self) {
        self.effects.push_back(Effect::Finished);
        match self.stay {
            Stay::Leave => self.leave(Bye { reason: ByeReason::Done, retry_after_ms: None }),
            Stay::Subscribe if !self.subscribed => {
                self.subscribed = true;
                self.send(Message::Subscribe);
            }
            Stay::Subscribe => {}
        }
    }

    /// Compares the vectors the peer stated and says what to send and ask.
    fn work_on_vectors(&mut self, shelf: &impl Shelf) -> Work {
        let mut work = Work::default();
        let mut packs: Vec<(LogbookName, PackNode)> = Vec::new();
        for (name, vector) in core::mem::take(&mut self.peer_vectors) {
            if !self.may_talk_about(shelf, &name) {
                continue;
            }
            let plan = plan(shelf, &name, &vector);
            if !plan.send.is_empty() || plan.peer_has_more {
                self.touched.insert(name.clone());
            }
            if plan.peer_has_more {
                work.vectors.insert(name.clone());
            }
            work.asks.extend(plan.ask.iter().map(|log| (name.clone(), locator(shelf, &name, log))));
            packs.extend(plan.send.into_iter().map(|node| (name.clone(), node)));
        }
        for (name, locator) in core::mem::take(&mut self.asked) {
            if self.may_talk_about(shelf, &name) {
                let beyond = beyond_locator(shelf, &name, &locator);
                packs.extend(beyond.into_iter().map(|node| (name.clone(), node)));
                work.vectors.insert(name);
            }
        }
        // A refused pack shows that the peer's idea of us is wrong: tell it where we stand.
        if !self.refused.is_empty() {
            work.vectors.extend(self.touched.iter().cloned());
        }
        packs.sort_by_key(|(_, node)| node.commit);
        work.packs = packs.into_iter().map(|(name, node)| (name, node.hash)).collect();
        work
    }

    fn may_talk_about(&self, shelf: &impl Shelf, name: &LogbookName) -> bool {
        match self.side {
            Side::Initiator => true,
            Side::Responder => shelf.access(&self.peer) == Access::UploadOnly || shelf.may_read(&self.peer, name),
        }
    }

    /// Logbooks of the rest of the selection whose digests differ.
    fn differing(&self, shelf: &impl Shelf, digests: &[(LogbookName, [u8; 8])], work: &mut Work) {
        let theirs: BTreeMap<&LogbookName, [u8; 8]> = digests.iter().map(|(name, digest)| (name, *digest)).collect();
        let ours = readable(shelf, &self.selection, None).filter(|name| !self.hello_names.contains(name));
        work.vectors.extend(ours.filter(|name| !theirs.contains_key(name)));
        let differ = theirs.into_iter().filter(|(name, digest)| short(&shelf.vector_digest(name)) != *digest);
        work.vectors.extend(differ.map(|(name, _)| name.clone()));
    }

    /// Entries the peer lacks, as far as that can be known.
    fn control_for_peer(&mut self, shelf: &impl Shelf) -> Vec<SignedEntry> {
        let Some(heads) = self.peer_control_heads.as_ref() else { return Vec::new() };
        let control = shelf.control();
        let missing = control.missing_for(heads);
        if !missing.unknown_heads.is_empty() && self.side == Side::Responder {
            // The peer is beyond us (we were restored): it sends its entries first, ours follow in the next turn.
            return Vec::new();
        }
        let entries = missing.entries.iter().filter_map(|hash| control.entry(hash).cloned()).collect();
        let mut heads_then: BTreeSet<EntryHash> = missing.unknown_heads.into_iter().collect();
        heads_then.extend(control.heads().iter().copied());
        self.peer_control_heads = Some(heads_then.into_iter().collect());
        entries
    }

    fn unknown_peer_heads(&self, shelf: &impl Shelf) -> bool {
        let heads = self.peer_control_heads.as_deref().unwrap_or_default();
        heads.iter().any(|head| !shelf.control().contains(head))
    }
}

/// Turns in a row in which an initiator finds nothing to do and still waits for the responder.
const EMPTY_TURNS_MAX: usize = 2;
/// What a turn must bring.
#[derive(Debug, Default)]
struct Work {
    vectors: BTreeSet<LogbookName>,
    packs: Vec<(LogbookName, PackHash)>,
    asks: Vec<(LogbookName, Locator)>,
}

impl Work {
    fn without_packs(mut self) -> Self {
        self.packs.clear();
        self
    }
}

/// What a turn carries.
#[derive(Debug, Default)]
struct Outgoing {
    vectors: NamedVectors,
    packs: Vec<Pack>,
    asks: Vec<(LogbookName, Locator)>,
    control: Vec<SignedEntry>,
    more: bool,
}

fn out_of_place(message: &'static str, place: &'static str) -> SessionError {
    PeerMisbehaved::OutOfPlace { message, place }.into()
}
