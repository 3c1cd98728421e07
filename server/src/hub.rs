//! The hub itself, without IO of its own: all sessions on one replica, one batch of commands at a time.
//!
//! What tablets send is made durable, acknowledged, judged, and only then forwarded; what fails is published in the control
//! log. Everything that waits for the disk in one batch waits together: however many tablets are talking, a batch costs the
//! same few fdatasyncs. No network, no thread, no clock: [`HubCore::handle`] takes a time and commands and gives outputs,
//! and the simulator drives it as the hub's thread does ([`HubHandle`]).
//!
//! # Flow
//!
//! ```text
//! commands ─> inboxes ─> pump every session ─┬─ waits for the disk: one sync for all ────────────────┐
//!                          ^                 ├─ waits for the gate: one judgement, publish, receipts ┤
//!                          └─────────────────┴──────────────── all quiet: push news, give outputs <──┘
//! ```
//!
//! # Invariants
//!
//! 1. Outputs are given out only when everything they depend on is durable
//!    (`one_batch_of_many_tablets_costs_a_fixed_number_of_syncs`).
//! 2. A pack is forwarded only after its verdict is durable and its failures are published: vectors and news name judged
//!    packs only (`failing_change_is_published_and_states_stay_equal`).
//! 3. A crash between a verdict and its publication is made good at the next start
//!    (`quarantine_lost_in_a_crash_is_published_at_the_next_start`).
//! 4. A beacon's sequence number is durable before the beacon can be seen.
//!
//! # Limits
//!
//! [`HubLimits`]; the consts of `publish`.
//!
//! # Failure
//!
//! [`HubError`]: the store failed; nothing of the batch is acknowledged, and the hub must be started again.

mod acting;
mod beacon;
mod desk;
mod endings;
mod epoch;
mod erase;
mod found;
mod grants;
mod news;
mod publish;
mod quota;
mod receipts;
mod recover;
mod release;
mod sweep;
mod thread;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use ed25519_dalek::SigningKey;
use rand::rngs::StdRng;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Admission, Device, SignError};
use qianmo_protocol::ids::{DeviceId, DocId, Epoch, HubId, LogbookName, OrgId, PackHash, PersonCode};
use qianmo_protocol::session::VERSIONS;
use qianmo_protocol::session::message::{Bye, ByeReason, Message};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::exchange::{Exchange, Output as ExchangeOutput, Pump};
use qianmo_replica::replica::{HeldChange, Replica, ReplicaError, Role};

pub use acting::{ACTS_PER_PAGE, ActRow, ActWhat};
pub(crate) use beacon::WATERMARK_KEY;
pub use desk::{DeskAct, DeskError, DeskKind, DeskSettling};
pub use erase::{CODE_ERASED_TARGET, ERASED_PER_PAGE, ErasureOrder, Kept};
pub use found::{ClockCheck, Founding, HubOpenError, HubSecrets, HubSetup};
pub use publish::{CODE_MONTH_AHEAD, CODE_TOO_MANY_FAILURES, CODE_TOO_MANY_LOGS, CODE_TOO_MANY_TIPS};
pub use release::{HeldRow, HeldWhat, ReleaseError, ReleaseOrder, Released};
pub use sweep::Plain;
pub use thread::{Answers, Clock, HubHandle, HubStopped, HubThread, Outbound, Room, RoundFollower, SessionLink};

/// How long a tablet that meets a stopping hub waits, in milliseconds.
const RETRY_WHEN_STOPPING_MS: u32 = 5_000;
/// How long a tablet waits when the hub's disk is nearly full or its quota is used up, in milliseconds.
const RETRY_WHEN_FULL_MS: u32 = 3_600_000;
/// Changes that are judged before other sessions get their turn: some tens of milliseconds.
const JUDGED_PER_STEP: usize = 256;
/// How long a tablet waits that opened too many sessions in a minute, in milliseconds.
const RETRY_WHEN_HASTY_MS: u32 = 60_000;

/// One session, as long as its connection lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What happens to the hub.
#[derive(Debug)]
pub enum Command {
    /// A proven device opened a session.
    Open {
        /// The session.
        session: SessionId,
        /// The device.
        device: DeviceId,
        /// Its public key, proven by TLS.
        device_key: [u8; 32],
    },
    /// A message came.
    Message {
        /// On which session.
        session: SessionId,
        /// The message.
        message: Box<Message>,
    },
    /// The peer ended its direction of the stream, or is gone.
    Ended {
        /// Which session.
        session: SessionId,
    },
    /// The hub is being stopped: every session is told to come back later.
    Stop,
}

/// What the hub wants sent or done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubOutput {
    /// Send a message.
    Send {
        /// On which session.
        session: SessionId,
        /// The message.
        message: Box<Message>,
    },
    /// Send what is left, then close the connection. The session is gone.
    Close {
        /// Which session.
        session: SessionId,
        /// With which code.
        code: CloseCode,
    },
}

/// The hub's store failed. What was acknowledged before is safe.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The store failed.
    #[error("the hub's record store failed; start the hub again")]
    Store(#[from] ReplicaError),
    /// A value over its limits cannot be signed.
    #[error("an entry could not be signed")]
    Sign(#[from] SignError),
}

/// What one device, or all of them, may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubLimits {
    /// Most sessions at a time.
    pub sessions_max: usize,
    /// Most packs of one device in 24 hours.
    pub packs_per_device_per_day_max: u32,
    /// Most bytes of packs, before compression, of one device in 24 hours.
    pub bytes_per_device_per_day_max: u64,
    /// Most sessions that one device opens in a minute.
    pub sessions_per_device_per_minute_max: u32,
    /// Free bytes on the disk below which nothing is accepted.
    pub disk_reserve_bytes: u64,
}

impl Default for HubLimits {
    fn default() -> Self {
        Self {
            sessions_max: 4_096,
            packs_per_device_per_day_max: 20_000,
            bytes_per_device_per_day_max: 2 * 1024 * 1024 * 1024,
            sessions_per_device_per_minute_max: 60,
            disk_reserve_bytes: 0,
        }
    }
}

/// What the hub did since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HubCounters {
    /// Batches of commands.
    pub batches: u64,
    /// Group commits for waiting sessions.
    pub group_commits: u64,
    /// Rounds of judging.
    pub judgements: u64,
    /// Packs that were judged.
    pub packs_judged: u64,
    /// Quarantine entries that were published.
    pub quarantines: u64,
    /// Quarantine entries that were released.
    pub releases: u64,
    /// Receipts that were signed.
    pub receipts: u64,
    /// Beacons that were signed.
    pub beacons: u64,
    /// Messages taken from tablets.
    pub messages: u64,
    /// Sessions that broke the protocol.
    pub misbehaved: u64,
    /// Sessions that found different states under equal vectors: a bug.
    pub states_differed: u64,
    /// Pushes to subscribers.
    pub pushes: u64,
}

/// What a session waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    Nothing,
    Sync,
    Judge,
}

#[derive(Debug)]
struct HubSession {
    device: DeviceId,
    exchange: Exchange,
    inbox: VecDeque<Message>,
    wait: Wait,
    has_ended: bool,
    /// Packs that came in this session, with their logbooks: for receipts, and so that none is pushed back.
    received: BTreeMap<PackHash, LogbookName>,
    /// The protocol version that both speak, once it said hello.
    version: Option<u16>,
    /// What failed of what it brought, for its receipts, until all of that is judged.
    held: Vec<HeldChange>,
    /// What a subscriber has not heard of yet.
    news: VecDeque<(LogbookName, PackHash)>,
    has_control_news: bool,
}

/// The hub's state.
#[derive(Debug)]
pub struct HubCore {
    org: OrgId,
    hub: HubId,
    epoch: Epoch,
    signing: SigningKey,
    replica: Replica,
    limits: HubLimits,
    rng: StdRng,
    sessions: BTreeMap<SessionId, HubSession>,
    active: BTreeSet<SessionId>,
    outputs: Vec<HubOutput>,
    is_stopping: bool,
    /// The last commit that is in a backup.
    watermark: u64,
    /// The last durable commit when this process opened the store.
    opened_at: u64,
    /// Every quarantine ever published.
    published: publish::Published,
    forks: publish::Forks,
    adoption: epoch::Adoption,
    /// Held changes that a later grant may let through.
    sweep: grants::Sweep,
    endings: endings::Endings,
    /// Whether the last step of judging left some for the next.
    has_unjudged: bool,
    /// Whose packs were judged first in the last step.
    judged_last: SessionId,
    /// The erasure whose pages are being decided.
    erasing: Option<erase::Erasing>,
    /// Content that failed here after a restore and waits for the administrator.
    undecided: Vec<release::Undecided>,
    contacts: BTreeMap<DeviceId, UnixMillis>,
    /// In whose name decisions are made at present; nobody's are the hub's own, and those of its commands.
    acting: Option<PersonCode>,
    quotas: quota::Quotas,
    counters: HubCounters,
}

impl HubCore {
    /// The organisation.
    #[must_use]
    pub const fn org(&self) -> OrgId {
        self.org
    }

    /// This hub.
    #[must_use]
    pub const fn hub(&self) -> HubId {
        self.hub
    }

    /// Its present epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The replica, for reading.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// What it did since it was opened.
    #[must_use]
    pub const fn counters(&self) -> HubCounters {
        self.counters
    }

    /// The last durable commit when this process opened the store.
    #[must_use]
    pub const fn opened_commit(&self) -> u64 {
        self.opened_at
    }

    /// How many sessions there are.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Whether messages of a session wait to be looked at.
    #[must_use]
    pub fn is_behind(&self, session: SessionId) -> bool {
        self.sessions.get(&session).is_some_and(|session| !session.inbox.is_empty())
    }

    /// Devices with a session, ascending.
    #[must_use]
    pub fn connected(&self) -> BTreeSet<DeviceId> {
        self.sessions.values().map(|session| session.device).collect()
    }

    /// Documents whose shown state changed since the last call: what the projection must look at.
    pub fn take_touched(&mut self) -> BTreeSet<DocId> {
        self.replica.take_touched()
    }

    /// Closes the store, with everything that was acknowledged in it.
    ///
    /// # Errors
    /// [`HubError::Store`].
    pub fn close(self) -> Result<(), HubError> {
        Ok(self.replica.close()?)
    }

    /// Takes a batch of commands and answers it. All of it is durable when this returns.
    ///
    /// # Errors
    /// [`HubError`]: nothing of the batch may be acknowledged, and the hub must be opened again.
    pub fn handle(&mut self, now: UnixMillis, commands: Vec<Command>) -> Result<Vec<HubOutput>, HubError> {
        let mut outputs = self.handle_some(now, commands)?;
        while self.has_more_to_do() {
            outputs.extend(self.handle_some(now, Vec::new())?);
        }
        Ok(outputs)
    }

    /// As [`HubCore::handle`], but when very much has to be judged, only part of it; then [`HubCore::has_more_to_do`], and
    /// the next call goes on. What this gives out is durable.
    ///
    /// # Errors
    /// [`HubError`]: nothing of the batch may be acknowledged, and the hub must be opened again.
    pub fn handle_some(&mut self, now: UnixMillis, commands: Vec<Command>) -> Result<Vec<HubOutput>, HubError> {
        self.counters.batches += 1;
        let mut stop = false;
        for command in commands {
            match command {
                Command::Open { session, device, device_key } => self.open_session(now, session, device, &device_key),
                Command::Message { session, message } => self.take_message(session, *message),
                Command::Ended { session } => self.end_session(session),
                Command::Stop => stop = true,
            }
        }
        if !self.active.is_empty() {
            self.beacon_if_due(now)?;
        }
        self.follow_grants(now)?;
        self.follow_endings(now)?;
        if self.erasing.is_some() {
            self.erase_page(now)?;
        }
        self.settle(now)?;
        if stop {
            self.leave_all()?;
        }
        self.push_news(now)?;
        self.close_ended();
        if self.replica.has_unsynced() {
            self.replica.sync()?;
        }
        Ok(core::mem::take(&mut self.outputs))
    }

    /// Whether [`HubCore::handle_some`] should be called again though no command came.
    #[must_use]
    pub fn has_more_to_do(&self) -> bool {
        self.sweep.is_due()
            || self.endings.has_more()
            || self.erasing.is_some()
            || self.has_unjudged
            || self.waits_for(Wait::Judge)
    }

    pub(crate) const fn rng_mut(&mut self) -> &mut StdRng {
        &mut self.rng
    }

    pub(crate) fn contact(&self, device: &DeviceId) -> Option<UnixMillis> {
        self.contacts.get(device).copied()
    }

    pub(crate) fn set_contact(&mut self, device: DeviceId, now: UnixMillis) {
        self.contacts.insert(device, now);
    }

    fn open_session(&mut self, now: UnixMillis, id: SessionId, device: DeviceId, key: &[u8; 32]) {
        let fold = self.replica.control().fold();
        let is_other_key = fold.device(&device).is_some_and(|known| known.is_enrolled() && known.key() != Some(key));
        let is_refused = is_other_key || fold.may_connect(&device, &self.epoch) == Admission::Refused;
        let later = |ms| Message::Bye(Bye { reason: ByeReason::Later, retry_after_ms: Some(ms) });
        if is_refused {
            self.outputs.push(HubOutput::Close { session: id, code: CloseCode::DeviceRefused });
        } else if self.is_stopping {
            self.refuse(id, later(RETRY_WHEN_STOPPING_MS), CloseCode::ShuttingDown);
        } else if self.sessions.len() >= self.limits.sessions_max {
            self.refuse(id, later(RETRY_WHEN_STOPPING_MS), CloseCode::Busy);
        } else if self.is_disk_low() {
            tracing::warn!(%device, "a tablet is sent away: the disk is nearly full");
            self.refuse(id, later(RETRY_WHEN_FULL_MS), CloseCode::Busy);
        } else if let Some(spent) = self.quotas.session(now, device, &self.limits) {
            let wait = match spent {
                quota::Spent::Minute => RETRY_WHEN_HASTY_MS,
                quota::Spent::Day => RETRY_WHEN_FULL_MS,
            };
            tracing::warn!(%device, ?spent, "a tablet is sent away: it has had its share of limits.*_per_device_*");
            self.refuse(id, later(wait), CloseCode::Busy);
        } else {
            self.note_contact(now, &device);
            let session = HubSession {
                device,
                exchange: Exchange::respond(device),
                inbox: VecDeque::new(),
                wait: Wait::Nothing,
                has_ended: false,
                received: BTreeMap::new(),
                version: None,
                held: Vec::new(),
                news: VecDeque::new(),
                has_control_news: false,
            };
            self.sessions.insert(id, session);
        }
    }

    fn refuse(&mut self, session: SessionId, message: Message, code: CloseCode) {
        self.outputs.push(HubOutput::Send { session, message: Box::new(message) });
        self.outputs.push(HubOutput::Close { session, code });
    }

    fn is_disk_low(&self) -> bool {
        self.replica.log_stats().free_bytes.is_some_and(|free| free < self.limits.disk_reserve_bytes)
    }

    fn take_message(&mut self, id: SessionId, message: Message) {
        let Some(session) = self.sessions.get_mut(&id).filter(|session| !session.has_ended) else { return };
        self.counters.messages += 1;
        session.inbox.push_back(message);
        self.active.insert(id);
    }

    fn end_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.get_mut(&id) {
            session.has_ended = true;
        }
    }

    /// Runs every session until it waits for its peer.
    fn settle(&mut self, now: UnixMillis) -> Result<(), HubError> {
        loop {
            for id in self.active.clone() {
                self.run_session(now, id)?;
            }
            self.active.retain(|id| self.sessions.get(id).is_some_and(|session| session.wait != Wait::Nothing));
            if self.waits_for(Wait::Sync) {
                self.replica.sync()?;
                self.counters.group_commits += 1;
                for (_, session) in self.sessions.iter_mut().filter(|(_, session)| session.wait == Wait::Sync) {
                    session.exchange.after_sync(&self.replica);
                }
                self.adopt_epochs(now)?;
            } else if self.waits_for(Wait::Judge) || self.has_unjudged {
                if self.judge(now)? == Judgement::Unfinished {
                    return Ok(());
                }
            } else {
                return Ok(());
            }
        }
    }

    fn waits_for(&self, wait: Wait) -> bool {
        self.active.iter().any(|id| self.sessions.get(id).is_some_and(|session| session.wait == wait))
    }

    /// Pumps one session and feeds it, until it waits or its inbox is empty.
    fn run_session(&mut self, now: UnixMillis, id: SessionId) -> Result<(), HubError> {
        loop {
            let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
            session.wait = match session.exchange.pump(&mut self.replica)? {
                Pump::Quiet => Wait::Nothing,
                Pump::AwaitsSync => Wait::Sync,
                Pump::AwaitsJudge => Wait::Judge,
            };
            if self.collect(id) == Collected::Over {
                return Ok(());
            }
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.wait == Wait::Nothing) else {
                return Ok(());
            };
            let Some(message) = session.inbox.pop_front() else { return Ok(()) };
            let device = session.device;
            if let Message::Control(entries) = &message {
                if self.notice_foreign(entries)? == epoch::Forged::Yes {
                    tracing::warn!(%device, "a device sent a control entry that nobody signed");
                    self.counters.misbehaved += 1;
                    self.sessions.remove(&id);
                    self.outputs.push(HubOutput::Close { session: id, code: CloseCode::ProtocolViolation });
                    return Ok(());
                }
            } else if let Message::Hello(hello) = &message {
                self.note_version(id, hello.versions.1);
                if let Some(about) = &hello.about {
                    self.note_about(now, &device, about)?;
                }
            } else if let Message::Pack(pack) = &message {
                session.received.insert(pack.hash(&self.org), pack.header.logbook.clone());
                if self.quotas.pack(now, device, pack.header.raw_bytes, &self.limits).is_some() {
                    tracing::warn!(%device, "a tablet sent more today than limits.*_per_device_per_day_max allow");
                    let bye = Bye { reason: ByeReason::Later, retry_after_ms: Some(RETRY_WHEN_FULL_MS) };
                    self.sessions.remove(&id);
                    self.refuse(id, Message::Bye(bye), CloseCode::Busy);
                    return Ok(());
                }
            }
            let Some(session) = self.sessions.get_mut(&id) else { return Ok(()) };
            if let Err(error) = session.exchange.handle_message(message) {
                tracing::warn!(%device, error = &error as &dyn core::error::Error, "a device broke the protocol");
                self.counters.misbehaved += 1;
                self.sessions.remove(&id);
                self.outputs.push(HubOutput::Close { session: id, code: close_code(&error) });
                return Ok(());
            }
        }
    }

    /// Takes what a session has to say.
    fn collect(&mut self, id: SessionId) -> Collected {
        let Some(session) = self.sessions.get_mut(&id) else { return Collected::Over };
        let (mut close, mut ended_well) = (None, None);
        while let Some(output) = session.exchange.poll_output() {
            match output {
                ExchangeOutput::Send(message) => {
                    if let Message::Bye(bye) = &message {
                        close = Some(code_of(bye.reason));
                    }
                    self.outputs.push(HubOutput::Send { session: id, message: Box::new(message) });
                }
                ExchangeOutput::StateDiffers(name) => {
                    self.counters.states_differed += 1;
                    tracing::error!(device = %session.device, logbook = %name, "states differ under equal vectors");
                }
                ExchangeOutput::PeerLeft(bye) => {
                    if bye.reason == ByeReason::Done {
                        ended_well = Some(session.device);
                    }
                    close = close.or_else(|| last_word(&self.replica, session)).or(Some(CloseCode::Done));
                }
                // Whoever may only upload for good has nothing to stay for.
                ExchangeOutput::Subscribed => {
                    ended_well = Some(session.device);
                    close = close.or_else(|| last_word(&self.replica, session));
                }
                ExchangeOutput::Acked(_)
                | ExchangeOutput::Refused(_)
                | ExchangeOutput::Agreed(_)
                | ExchangeOutput::Epoch(..)
                | ExchangeOutput::Finished => {}
            }
        }
        if let Some(device) = ended_well {
            self.note_ended_well(&device);
        }
        let Some(code) = close else { return Collected::Goes };
        self.sessions.remove(&id);
        if code == CloseCode::Revoked {
            let bye = Bye { reason: ByeReason::Revoked, retry_after_ms: None };
            self.outputs.push(HubOutput::Send { session: id, message: Box::new(Message::Bye(bye)) });
        }
        self.outputs.push(HubOutput::Close { session: id, code });
        Collected::Over
    }

    /// One judgement for all sessions that wait for it, then its publication, then the receipts of those whose packs are
    /// all judged.
    fn judge(&mut self, now: UnixMillis) -> Result<Judgement, HubError> {
        let first = self.next_to_be_judged();
        let JudgedStep { judged, held, more } = self.judge_step(now, &first)?;
        let outcome = if more { Judgement::Unfinished } else { Judgement::Finished };
        for id in self.active.clone() {
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.wait == Wait::Judge) else {
                continue;
            };
            session.held.extend(held.iter().filter(|held| session.received.contains_key(&held.pack)).cloned());
            if more && self.brought_unjudged(id) {
                continue;
            }
            let receipts = self.receipts_for(id, &judged)?;
            if let Some(session) = self.sessions.get_mut(&id) {
                session.held.clear();
                session.exchange.after_judge(&self.replica, receipts);
                session.wait = Wait::Nothing;
            }
        }
        Ok(outcome)
    }

    /// What one session brought and waits for: every session has its turn, so that one that brought very much does not keep
    /// the others waiting until all of it is judged.
    fn next_to_be_judged(&mut self) -> Vec<u64> {
        let waiting = |id: &&SessionId| self.sessions.get(*id).is_some_and(|session| session.wait == Wait::Judge);
        let after = (core::ops::Bound::Excluded(self.judged_last), core::ops::Bound::Unbounded);
        let next = self.active.range(after).find(waiting).or_else(|| self.active.iter().find(waiting)).copied();
        let Some(session) = next.and_then(|id| self.sessions.get(&id)) else { return Vec::new() };
        let commits = session.exchange.stored().iter().map(|(_, commit)| *commit).collect();
        self.judged_last = next.unwrap_or(self.judged_last);
        commits
    }

    /// Whether packs that a session brought in its present turn are not judged yet.
    fn brought_unjudged(&self, id: SessionId) -> bool {
        let Some(session) = self.sessions.get(&id) else { return false };
        let mut stored = session.exchange.stored().iter();
        stored.any(|(pack, _)| session.received.get(pack).is_some_and(|name| self.replica.node(name, pack).is_none()))
    }

    /// Judges about so many changes and publishes what failed.
    fn judge_step(&mut self, now: UnixMillis, first: &[u64]) -> Result<JudgedStep, HubError> {
        let report = self.replica.judge_first(first, JUDGED_PER_STEP)?;
        self.has_unjudged = report.more;
        self.counters.judgements += 1;
        self.counters.packs_judged += u64::try_from(report.judged.len()).unwrap_or(u64::MAX);
        let undecided = report.undecided.clone();
        let mut held = report.held;
        held.extend(self.keep_undecided(now, report.undecided)?);
        let mut held = self.publish(now, held, &report.judged)?;
        held.extend(undecided);
        Ok(JudgedStep { judged: report.judged, held, more: report.more })
    }

    /// Judges and publishes until nothing more can be judged.
    fn judge_what_waits(&mut self, now: UnixMillis) -> Result<(), HubError> {
        while self.judge_step(now, &[])?.more {}
        Ok(())
    }

    /// A session says which version its program speaks.
    fn note_version(&mut self, id: SessionId, newest: u16) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let version = newest.min(VERSIONS.1);
        session.version = Some(version);
        if version < self.replica.control().fold().minimum_version() {
            tracing::info!(device = %session.device, version, "a tablet's program is too old: it may upload only");
            self.replica.limit_to_upload(session.device);
        } else {
            self.replica.lift_upload_limit(&session.device);
        }
    }

    fn leave_all(&mut self) -> Result<(), HubError> {
        self.is_stopping = true;
        let bye = Bye { reason: ByeReason::Later, retry_after_ms: Some(RETRY_WHEN_STOPPING_MS) };
        for id in self.sessions.keys().copied().collect::<Vec<_>>() {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.exchange.leave(bye);
                session.exchange.pump(&mut self.replica)?;
            }
            self.collect(id);
        }
        Ok(())
    }

    /// Ends the sessions of a device at once: it was revoked.
    pub(crate) fn close_sessions_of(&mut self, device: &DeviceId, code: CloseCode) {
        let of_device = self.sessions.iter().filter(|(_, session)| session.device == *device);
        for id in of_device.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.sessions.remove(&id);
            self.active.remove(&id);
            self.outputs.push(HubOutput::Close { session: id, code });
        }
    }

    fn close_ended(&mut self) {
        let ended = self.sessions.iter().filter(|(_, session)| session.has_ended);
        for id in ended.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.sessions.remove(&id);
            self.active.remove(&id);
            self.outputs.push(HubOutput::Close { session: id, code: CloseCode::Done });
        }
    }
}

/// With what a session ends in which a device could only upload, and never more than that: it was revoked (A10), or its
/// program must be updated (A4). A device that nobody has confirmed after a restore just comes again.
fn last_word(replica: &Replica, session: &HubSession) -> Option<CloseCode> {
    let fold = replica.control().fold();
    if fold.device(&session.device).is_some_and(Device::is_revoked) {
        Some(CloseCode::Revoked)
    } else if session.version.is_some_and(|version| version < fold.minimum_version()) {
        Some(CloseCode::IncompatibleVersion)
    } else {
        None
    }
}

/// What one step of judging came to.
#[derive(Debug)]
struct JudgedStep {
    judged: Vec<(LogbookName, PackHash, u64)>,
    held: Vec<HeldChange>,
    more: bool,
}

/// Whether everybody who waited for the gate got an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judgement {
    Finished,
    Unfinished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Collected {
    Goes,
    Over,
}

const fn code_of(reason: ByeReason) -> CloseCode {
    match reason {
        ByeReason::Done => CloseCode::Done,
        ByeReason::Later => CloseCode::ShuttingDown,
        ByeReason::NotEnrolled => CloseCode::NotEnrolled,
        ByeReason::Revoked => CloseCode::Revoked,
    }
}

const fn close_code(error: &qianmo_protocol::session::SessionError) -> CloseCode {
    use qianmo_protocol::session::SessionError;
    match error {
        SessionError::PeerMisbehaved(_) => CloseCode::ProtocolViolation,
        SessionError::PeerIncompatible { .. } => CloseCode::IncompatibleVersion,
    }
}

/// The role a hub's replica has in an epoch.
const fn role(hub: HubId, epoch: Epoch) -> Role {
    Role::Hub { hub, epoch }
}
