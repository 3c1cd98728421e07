//! The tablet's core on one thread, without a clock, a disk or a network of its own, for a simulator.
//!
//! The same store owner, engine and judgement of sessions as behind [`crate::FieldClient`]; only the thread, the runtime and
//! the sockets are missing. Whoever holds a [`Tablet`] gives it a disk, an index, a seed and the time, carries its frames,
//! and says what became of its connections.
//!
//! # Calling order
//!
//! [`Tablet::set_time`] before anything; then one input; then [`Tablet::poll`] until it is empty; then wait for
//! [`Tablet::wake`] or the next input. After [`Wish::Dial`] one of [`Tablet::connected`] and [`Tablet::not_connected`]
//! comes; after `connected`, frames go both ways until [`Wish::Close`] or [`Tablet::ended`].
//!
//! A tablet that is dropped has crashed: what its disk holds is what is left of it.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_forms::FormSet;
use qianmo_protocol::bundle::BundlePart;
use qianmo_protocol::change::RawChange;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, HubId, LogbookName, OrgId, PersonCode, StationCode};
use qianmo_protocol::record::AuthoredChange;
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::Disk;
use qianmo_replica::index::Index;
use qianmo_replica::replica::Replica;

use super::failure::Trouble;
use super::session::{Ended, Parting, judge};
use crate::bundle::{BundleError, BundleReport, BundleScope, BundleTo};
use crate::config::ClientConfig;
use crate::draft::{
    ConflictChoice, Decision, DraftInput, DraftView, FieldEdit, RecordDraft, ReviewNotes, WithdrawReason,
};
use crate::draws::Draws;
use crate::engine::{Answer, Effect, Engine, Goal, Input, Moment};
use crate::error::{OpenError, ReadError, StoreFailure, WriteError};
use crate::evict::EvictError;
use crate::identity::Identity;
use crate::names::{DraftId, FieldPath, RecordId, RecordVersion};
use crate::owner::{IndexMade, Owner, Parts, SessionFailure, Setup, Shared, Step, assemble};
use crate::status::{Connectivity, SyncStatus};
use crate::transport::{DeviceIdentity, LinkError};
use crate::views::RecordView;

/// Who a tablet is, as an enrolment left it.
#[derive(Debug, Clone)]
pub struct Who {
    /// Its key.
    pub key: SigningKey,
    /// The authority's public key.
    pub authority: [u8; 32],
    /// Its hub.
    pub hub: HubId,
    /// Its station.
    pub station: StationCode,
    /// Who works on it.
    pub persons: Vec<PersonCode>,
    /// The control entries of the enrolment, encoded.
    pub control_entries: Vec<Vec<u8>>,
}

/// What a tablet runs on.
#[derive(Debug)]
pub struct Hardware {
    /// Its disk.
    pub disk: Box<dyn Disk>,
    /// What is left of its index.
    pub index: Box<dyn Index>,
    /// Where its random bytes come from.
    pub seed: u64,
}

/// What a tablet wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A connection to the hub.
    Dial,
    /// A frame sent on it.
    Send(Vec<u8>),
    /// The connection closed, after what was sent.
    Close(CloseCode),
}

/// What was written into the store, or why not.
type Written<T, E> = Result<T, E>;

/// A tablet's core.
#[derive(Debug)]
pub struct Tablet {
    owner: Owner,
    setup: Setup,
    engine: Engine,
    draws: Draws,
    moment: Moment,
    clock: Arc<AtomicI64>,
    has_news: Arc<AtomicBool>,
    talk: Option<Talk>,
    wishes: VecDeque<Wish>,
    answered: Vec<Answered>,
    index_rebuilds: usize,
}

/// How a person's request for a sync ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// A session brought both sides together.
    Done,
    /// The time was up.
    TimeUp,
    /// It does not help to go on.
    Halted(crate::codes::HaltReason),
    /// The device belongs to no organisation.
    NotEnrolled,
}

/// A session, from dialling to its end.
#[derive(Debug, Clone, Copy)]
struct Talk {
    goal: Goal,
    is_connected: bool,
    has_finished: bool,
    is_settled: bool,
    /// When an answer is given up.
    reply_due: Option<Moment>,
}

impl Tablet {
    /// Opens a tablet's store and starts its engine.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open(
        config: ClientConfig,
        forms: Arc<FormSet>,
        who: &Who,
        hardware: Hardware,
        now: UnixMillis,
    ) -> Result<Self, OpenError> {
        let clock = Arc::new(AtomicI64::new(now.0));
        let has_news = Arc::new(AtomicBool::new(false));
        let draws = Draws::seeded(hardware.seed);
        let (told, news) = (Arc::clone(&clock), Arc::clone(&has_news));
        let setup = Setup {
            config: config.clone(),
            clock: Arc::new(move || UnixMillis(told.load(Ordering::Relaxed))),
            forms,
            shared: Arc::new(Shared::new()),
            draws: draws.clone(),
            news: Arc::new(move || news.store(true, Ordering::Relaxed)),
        };
        let parts = Parts {
            disk: hardware.disk,
            index: hardware.index,
            identity: Some(who.identity()),
            how: IndexMade::AsWanted,
        };
        let owner = assemble(&setup, parts)?;
        let engine = Engine::new(config.timings, config.schedule);
        let mut tablet = Self {
            owner,
            setup,
            engine,
            draws,
            moment: Duration::ZERO,
            clock,
            has_news,
            talk: None,
            wishes: VecDeque::new(),
            answered: Vec::new(),
            index_rebuilds: 0,
        };
        tablet.owner.keep_house();
        tablet.input(Input::Enrolled);
        Ok(tablet)
    }

    /// The time: since this process began, and as the device's clock shows it.
    pub fn set_time(&mut self, moment: Duration, clock: UnixMillis) {
        self.moment = moment;
        self.clock.store(clock.0, Ordering::Relaxed);
    }

    /// What it wants next.
    pub fn poll(&mut self) -> Option<Wish> {
        self.wishes.pop_front()
    }

    /// How requests ended since this was asked last.
    pub fn take_answers(&mut self) -> Vec<Answered> {
        core::mem::take(&mut self.answered)
    }

    /// When [`Tablet::tick`] must be called, since this process began.
    #[must_use]
    pub fn wake(&self) -> Option<Duration> {
        let reply = self.talk.and_then(|talk| talk.reply_due);
        self.engine.poll_wake().into_iter().chain(reply).min()
    }

    /// The time of [`Tablet::wake`] has come.
    pub fn tick(&mut self) {
        let is_late = self.talk.and_then(|talk| talk.reply_due).is_some_and(|due| due <= self.moment);
        if is_late {
            self.over(Err(Trouble::late("the hub did not answer in time")));
        }
        self.input(Input::Tick);
    }

    /// The app says what the network is.
    pub fn set_connectivity(&mut self, connectivity: Connectivity) {
        self.input(Input::Connectivity(connectivity));
    }

    /// A person asks for a sync, within a time.
    pub fn ask(&mut self, id: u64, within: Duration) {
        let until = self.moment.saturating_add(within);
        self.input(Input::Asked(id, until));
    }

    /// The connection stands.
    pub fn connected(&mut self) {
        let Some(talk) = &mut self.talk else { return };
        talk.is_connected = true;
        let goal = talk.goal;
        let step = self.owner.begin_session(goal);
        self.took(step);
    }

    /// No connection came about; `code` is what the hub closed with, if it said so.
    pub fn not_connected(&mut self, code: Option<CloseCode>) {
        if self.talk.is_some() {
            self.over(Err(Trouble::of_link(&LinkError::Closed { code }, self.setup.config.timings.backoff_max)));
        }
    }

    /// The hub sent a message.
    pub fn received(&mut self, message: Message) {
        if self.talk.is_none_or(|talk| !talk.is_connected) {
            return;
        }
        let step = self.owner.session_message(message);
        self.took(step);
    }

    /// The connection ended from the other side, or broke.
    pub fn ended(&mut self, code: Option<CloseCode>) {
        self.not_connected(code);
    }

    /// Something of what was received could not be read.
    pub fn unreadable(&mut self) {
        if self.talk.is_some() {
            self.over(Err(Trouble::late("the hub sent what is no message")));
        }
    }

    // ---- what a person does ----

    /// As [`crate::FieldClient::create`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn create(&mut self, draft: &RecordDraft) -> Result<RecordId, WriteError> {
        self.write(|owner| owner.create(draft))
    }

    /// As [`crate::FieldClient::edit`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn edit(&mut self, record: RecordId, version: &RecordVersion, edits: &[FieldEdit]) -> Result<(), WriteError> {
        self.write(|owner| owner.edit(record, version, edits))
    }

    /// As [`crate::FieldClient::submit`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn submit(&mut self, record: RecordId, version: &RecordVersion) -> Result<(), WriteError> {
        self.write(|owner| owner.submit(record, version))
    }

    /// As [`crate::FieldClient::withdraw`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn withdraw(&mut self, record: RecordId, reason: &WithdrawReason) -> Result<(), WriteError> {
        self.write(|owner| owner.withdraw(record, reason))
    }

    /// As [`crate::FieldClient::comment`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn comment(
        &mut self,
        record: RecordId,
        version: &RecordVersion,
        notes: &ReviewNotes,
    ) -> Result<(), WriteError> {
        self.write(|owner| owner.comment(record, version, notes))
    }

    /// As [`crate::FieldClient::decide`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn decide(
        &mut self,
        record: RecordId,
        version: &RecordVersion,
        decision: Decision,
        notes: &ReviewNotes,
    ) -> Result<(), WriteError> {
        self.write(|owner| owner.decide(record, version, decision, notes))
    }

    /// As [`crate::FieldClient::resolve`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn resolve(&mut self, record: RecordId, path: &FieldPath, choice: &ConflictChoice) -> Result<(), WriteError> {
        self.write(|owner| owner.resolve(record, path, choice))
    }

    /// As [`crate::FieldClient::save_draft`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn save_draft(&mut self, id: [u8; 8], input: &DraftInput) -> Result<(), WriteError> {
        self.write(|owner| owner.save_draft(DraftId(id), input))
    }

    /// As [`crate::FieldClient::drafts`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn drafts(&self) -> Result<Vec<DraftView>, ReadError> {
        self.owner.drafts()
    }

    /// As [`crate::FieldClient::record`].
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn record(&self, record: RecordId) -> Result<Option<RecordView>, ReadError> {
        self.owner.record(record)
    }

    /// As [`crate::FieldClient::evict`].
    ///
    /// # Errors
    /// [`EvictError`].
    pub fn evict(&mut self, logbook: &str) -> Result<(), EvictError> {
        self.write(|owner| owner.evict(logbook).map(drop))
    }

    /// As [`crate::FieldClient::bring_back`].
    ///
    /// # Errors
    /// [`EvictError`].
    pub fn bring_back(&mut self, logbook: &str) -> Result<(), EvictError> {
        self.write(|owner| owner.bring_back(logbook).map(drop))
    }

    /// As [`crate::FieldClient::status`].
    #[must_use]
    pub fn status(&self) -> SyncStatus {
        self.setup.shared.status()
    }

    /// What a bundle for another tablet holds, before it is sealed.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn export(&mut self, to: BundleTo, what: &BundleScope) -> Result<Vec<BundlePart>, BundleError> {
        let contents = self.owner.bundle_contents(to, what)?;
        let replica = self.owner.replica();
        let control = replica.control();
        let missing = control.missing_for(&[]).entries;
        let mut parts =
            vec![BundlePart::Control(missing.iter().filter_map(|hash| control.entry(hash).cloned()).collect())];
        parts.extend(replica.beacon().map(BundlePart::Beacon));
        let packs = contents.packs.iter().filter_map(|(name, hash)| replica.pack(name, hash));
        parts.extend(packs.map(BundlePart::Pack));
        Ok(parts)
    }

    /// Takes in what a bundle held.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn import(&mut self, parts: Vec<BundlePart>) -> Result<BundleReport, BundleError> {
        let mut report = self.write(|owner| owner.absorb_bundle(parts))?;
        report.records = self.write(Owner::judge_bundle)?;
        Ok(report)
    }

    /// Writes changes that no program of ours would write, for a hostile device.
    ///
    /// # Errors
    /// [`WriteError`].
    pub fn write_raw(&mut self, logbook: &LogbookName, changes: Vec<(DocId, RawChange)>) -> Result<(), WriteError> {
        let authored: Vec<(DocId, AuthoredChange)> =
            changes.into_iter().map(|(doc, change)| (doc, AuthoredChange { change })).collect();
        self.write(|owner| owner.write_raw(logbook, &authored))
    }

    // ---- what a checker looks at ----

    /// What it holds.
    #[must_use]
    pub const fn replica(&self) -> &Replica {
        self.owner.replica()
    }

    /// How often states that differed made it build its index anew.
    #[must_use]
    pub const fn index_rebuilds(&self) -> usize {
        self.index_rebuilds
    }

    /// Logbooks that it let go of.
    #[must_use]
    pub fn evicted(&self) -> BTreeSet<LogbookName> {
        self.owner.evicted().unwrap_or_default()
    }

    /// Whether a session is under way or wanted.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.engine.is_running()
    }

    /// Why it does not try any more.
    #[must_use]
    pub const fn halted(&self) -> Option<crate::codes::HaltReason> {
        self.engine.halted()
    }

    /// Runs a write as the owner's thread does: answered when it is durable.
    fn write<T, E: From<StoreFailure>>(&mut self, write: impl FnOnce(&mut Owner) -> Written<T, E>) -> Written<T, E> {
        let outcome = write(&mut self.owner);
        let (told, durable) = channel();
        self.owner.when_durable(move |durable| drop(told.send(durable)));
        self.settle_owner();
        let value = outcome?;
        let lost = || Err(StoreFailure { detail: "nobody said whether it is durable".to_owned() });
        durable.try_recv().unwrap_or_else(|_| lost())?;
        Ok(value)
    }

    /// After each piece of work, as on the owner's thread.
    fn settle_owner(&mut self) {
        self.owner.commit();
        self.owner.keep_house();
        if self.has_news.swap(false, Ordering::Relaxed) {
            self.input(Input::LocalNews);
        }
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(input, self.moment, &mut self.draws);
        while let Some(effect) = self.engine.poll_effect() {
            match effect {
                Effect::Dial(goal) => {
                    self.talk = Some(Talk {
                        goal,
                        is_connected: false,
                        has_finished: false,
                        is_settled: false,
                        reply_due: None,
                    });
                    self.wishes.push_back(Wish::Dial);
                }
                Effect::PushNews => {
                    if self.talk.is_some_and(|talk| talk.is_connected) {
                        let step = self.owner.session_news();
                        self.took(step);
                    }
                }
                Effect::Leave => self.leave(),
                Effect::Answer(_, answer) => self.answered.push(match answer {
                    Answer::Done => Answered::Done,
                    Answer::TimeUp => Answered::TimeUp,
                    Answer::Halted(reason) => Answered::Halted(reason),
                    Answer::NotEnrolled => Answered::NotEnrolled,
                }),
            }
        }
    }

    fn leave(&mut self) {
        match self.talk {
            Some(talk) if talk.is_connected => {
                if let Ok(last) = self.owner.leave_session() {
                    self.wishes.extend(last.frames.into_iter().map(Wish::Send));
                }
                self.over(Ok(Parting::Ours));
            }
            Some(_) => self.over(Err(Trouble::late("given up before the hub answered"))),
            None => {}
        }
    }

    /// What the store made of an input: frames to send, and perhaps the end.
    fn took(&mut self, step: Result<Step, SessionFailure>) {
        let step = match step.and_then(|step| self.judged_to_the_end(step)) {
            Ok(step) => step,
            Err(failure) => {
                return self.over(Err(Trouble::of_session(&failure, self.setup.config.timings.backoff_max)));
            }
        };
        let Some(mut talk) = self.talk else { return };
        talk.has_finished |= step.finished;
        let has_frames = !step.frames.is_empty();
        self.wishes.extend(step.frames.into_iter().map(Wish::Send));
        let settles = step.finished && talk.goal == Goal::Watch;
        talk.is_settled = settles || (talk.is_settled && !has_frames);
        talk.reply_due = (!talk.is_settled).then(|| self.moment.saturating_add(self.setup.config.timings.reply));
        self.talk = Some(talk);
        if let Some(bye) = step.bye {
            return self.over(Ok(Parting::Theirs { bye, finished: talk.has_finished }));
        }
        if step.finished && talk.goal == Goal::Once {
            return self.over(Ok(Parting::Ours));
        }
        if talk.is_settled {
            match self.owner.harvest() {
                Ok(_harvest) => self.input(Input::Settled),
                Err(failure) => {
                    let patience = self.setup.config.timings.backoff_max;
                    self.over(Err(Trouble::of_session(&failure, patience)));
                }
            }
        }
        self.settle_owner();
    }

    fn judged_to_the_end(&mut self, mut step: Step) -> Result<Step, SessionFailure> {
        while step.more {
            let next = self.owner.session_on()?;
            step.frames.extend(next.frames);
            step.finished |= next.finished;
            step.more = next.more;
            step.bye = step.bye.or(next.bye);
        }
        Ok(step)
    }

    /// The session is over: the engine hears how it went.
    fn over(&mut self, outcome: Result<Parting, Trouble>) {
        let Some(talk) = self.talk.take() else { return };
        let patience = self.setup.config.timings.backoff_max;
        let code = outcome.as_ref().map_or_else(|trouble| trouble.code, |_| CloseCode::Done);
        let ended = if talk.is_connected {
            let harvest = self.owner.end_session();
            self.wishes.push_back(Wish::Close(code));
            judge(outcome, Ok(harvest), patience)
        } else {
            let Err(trouble) = outcome else { return };
            Ended { over: trouble.over, report: Default::default(), detail: None, rebuild: false, reading: None }
        };
        self.index_rebuilds += usize::from(ended.rebuild);
        self.settle_owner();
        if let Some(reading) = ended.reading {
            self.input(Input::Reading(reading));
        }
        self.input(Input::Over(ended.over));
    }
}

/// The document of a record.
#[must_use]
pub const fn doc_of(record: RecordId) -> DocId {
    record.0
}

/// The record of a document.
#[must_use]
pub const fn record_of(doc: DocId) -> RecordId {
    RecordId(doc)
}

/// The version of a record with these heads.
#[must_use]
pub fn version_of(heads: &[ChangeHash]) -> RecordVersion {
    RecordVersion::of(heads)
}

impl Who {
    fn identity(&self) -> Identity {
        Identity {
            device: DeviceId::from_key(&self.key.verifying_key().to_bytes()),
            connection: DeviceIdentity {
                key: self.key.clone(),
                certificate: Vec::new(),
                authority_key: self.authority,
            },
            authority_certificate: Vec::new(),
            org: OrgId::from_authority_key(&self.authority),
            org_name: String::new(),
            hub: self.hub,
            station: self.station.clone(),
            persons: self.persons.clone(),
            addresses: Vec::new(),
            control_entries: self.control_entries.clone(),
        }
    }
}
