//! The one thread that holds the store.
//!
//! Everything that reads or writes runs here, one after another, as a closure on the [`Owner`]. What was written by the
//! closures of one batch becomes durable with one fdatasync, and only then are they answered (group commit).
//!
//! # Flow
//!
//! ```text
//! client, driver ── Work ──> [queue] ── batch ──> run each ── commit: one fdatasync ──> answers, status, events
//! ```
//!
//! # Invariants
//!
//! 1. No answer to a write before its frame is durable (`commit`).
//! 2. A document is never written twice between two syncs: the second write would not see the first (`settle`).
//! 3. Actors live in memory only, one for each document and person, and are drawn anew when the hub holds something (R6).
//!
//! # Limits
//!
//! [`BATCH_MAX`] works in one commit; [`WRITES_WAITING_MAX`] writes in the queue, readers beyond that wait themselves.

mod bundle;
mod erase;
mod evict;
mod held;
mod import;
mod open;
mod read;
mod review;
mod selection;
mod session;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, broadcast, oneshot};

use qianmo_forms::FormSet;
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::change::ActorId;
use qianmo_protocol::ids::{DocId, Epoch, LogbookName, PackHash, PersonCode};
use qianmo_protocol::session::VERSIONS;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::{Delivery, Notice, Replica, ReplicaError};
use rand::RngCore as _;

use crate::calendar::Clock;
use crate::config::ClientConfig;
use crate::draws::Draws;
use crate::error::{OpenError, StoreFailure};
use crate::event::{EVENTS_MAX, Event};
use crate::identity::Identity;
use crate::names::RecordId;
use crate::status::{CopiedNotice, Repair, SyncStatus, UpdateNeed};

pub(crate) use bundle::Contents;
#[cfg(feature = "simulation")]
pub(crate) use open::{IndexMade, Parts, assemble};
pub(crate) use session::{Harvest, SessionFailure, Step};

/// Works that share one fdatasync.
const BATCH_MAX: usize = 128;
/// Writes that may wait at once; further ones wait for a place.
const WRITES_WAITING_MAX: usize = 256;
/// Actors kept for documents that were written in this process.
const ACTORS_MAX: usize = 4_096;

/// That a copy shows again is written down after this time.
const COPIED_NOTED_EVERY_MS: i64 = 60_000;
/// One day.
const DAY_MS: i64 = 86_400_000;
/// The meta key under which a copy of this store is remembered.
const COPIED_KEY: &[u8] = b"client copied";

/// Runs when the batch is durable, or when that failed.
type Completion = Box<dyn FnOnce(Result<(), StoreFailure>) + Send>;
type Work = Box<dyn FnOnce(&mut Owner) + Send>;

/// What the client, the driver and the owner share.
#[derive(Debug)]
pub(crate) struct Shared {
    status: Mutex<SyncStatus>,
    events: broadcast::Sender<Event>,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self { status: Mutex::new(SyncStatus::new()), events: broadcast::channel(EVENTS_MAX).0 }
    }

    fn lock(&self) -> MutexGuard<'_, SyncStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> SyncStatus {
        self.lock().clone()
    }

    /// Changes the status, and says so if it is another one then.
    pub(crate) fn update(&self, change: impl FnOnce(&mut SyncStatus)) {
        let mut status = self.lock();
        let before = status.clone();
        change(&mut status);
        let changed = *status != before;
        drop(status);
        if changed {
            self.tell(Event::StatusChanged);
        }
    }

    /// Tells whoever listens; nobody need.
    pub(crate) fn tell(&self, event: Event) {
        if self.events.send(event).is_err() {
            tracing::trace!("nobody listens");
        }
    }

    pub(crate) fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

/// What an owner needs to know.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) config: ClientConfig,
    pub(crate) clock: Clock,
    pub(crate) forms: Arc<FormSet>,
    pub(crate) shared: Arc<Shared>,
    /// Where actors and ids are drawn from.
    pub(crate) draws: Draws,
    /// Called when something was saved.
    pub(crate) news: Arc<dyn Fn() + Send + Sync>,
}

impl core::fmt::Debug for Setup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Setup").field("config", &self.config).finish_non_exhaustive()
    }
}

enum Command {
    Work(Work),
    /// The store is opened again: as another device, or with an index that is built anew.
    Reopen {
        index: IndexFate,
        done: oneshot::Sender<Result<(), OpenError>>,
    },
    Close {
        done: oneshot::Sender<Result<(), StoreFailure>>,
    },
}

/// What becomes of the index when the store is opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexFate {
    Keep,
    Rebuild,
}

/// The owner is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gone;

/// How to reach the owner.
#[derive(Debug, Clone)]
pub(crate) struct OwnerHandle {
    queue: Sender<Command>,
    places: Arc<Semaphore>,
}

impl core::fmt::Debug for Command {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Work(_) => "Work",
            Self::Reopen { .. } => "Reopen",
            Self::Close { .. } => "Close",
        })
    }
}

impl OwnerHandle {
    /// Starts the thread and waits until the store is open.
    pub(crate) async fn start(setup: Setup) -> Result<Self, OpenError> {
        let (queue, works) = channel();
        let (opened, is_open) = oneshot::channel();
        let thread = std::thread::Builder::new().name("qianmo-store".to_owned());
        thread
            .spawn(move || run(&setup, &works, opened))
            .map_err(|error| OpenError::Start(StoreFailure::of(&error)))?;
        let gone = || OpenError::Start(StoreFailure { detail: "the store's thread stopped".to_owned() });
        is_open.await.unwrap_or_else(|_| Err(gone()))?;
        Ok(Self { queue, places: Arc::new(Semaphore::new(WRITES_WAITING_MAX)) })
    }

    /// Runs a reading on the owner and waits for it. Returns at once unless the owner is at work on something long.
    pub(crate) fn read<T: Send + 'static>(&self, read: impl FnOnce(&Owner) -> T + Send + 'static) -> Result<T, Gone> {
        let (answer, answered) = sync_channel(1);
        let work = move |owner: &mut Owner| drop(answer.send(read(owner)));
        self.queue.send(Command::Work(Box::new(work))).map_err(|_| Gone)?;
        answered.recv().map_err(|_| Gone)
    }

    /// Runs something on the owner and waits for its answer, which need not wait for a commit.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Owner) -> T + Send + 'static,
    ) -> Result<T, Gone> {
        let (answer, answered) = oneshot::channel();
        let work = move |owner: &mut Owner| drop(answer.send(ask(owner)));
        self.queue.send(Command::Work(Box::new(work))).map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

    /// Runs a write on the owner. The answer comes when what it wrote is durable.
    pub(crate) async fn write<T, E>(
        &self,
        write: impl FnOnce(&mut Owner) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, Gone>
    where
        T: Send + 'static,
        E: From<StoreFailure> + Send + 'static,
    {
        let place = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Gone)?;
        let (answer, answered) = oneshot::channel();
        let work = move |owner: &mut Owner| {
            match write(owner) {
                Ok(value) => owner.completions.push(Box::new(move |durable| {
                    drop(answer.send(durable.map(|()| value).map_err(E::from)));
                })),
                Err(error) => drop(answer.send(Err(error))),
            }
            drop(place);
        };
        self.queue.send(Command::Work(Box::new(work))).map_err(|_| Gone)?;
        answered.await.map_err(|_| Gone)
    }

    /// Opens the store again.
    pub(crate) async fn reopen(&self, index: IndexFate) -> Result<Result<(), OpenError>, Gone> {
        let (done, is_done) = oneshot::channel();
        self.queue.send(Command::Reopen { index, done }).map_err(|_| Gone)?;
        is_done.await.map_err(|_| Gone)
    }

    /// Makes everything durable and ends the thread.
    pub(crate) async fn close(&self) -> Result<Result<(), StoreFailure>, Gone> {
        let (done, is_done) = oneshot::channel();
        self.queue.send(Command::Close { done }).map_err(|_| Gone)?;
        is_done.await.map_err(|_| Gone)
    }
}

/// Why a batch ended early.
enum Stop {
    Reopen { index: IndexFate, done: oneshot::Sender<Result<(), OpenError>> },
    Close { done: Option<oneshot::Sender<Result<(), StoreFailure>>> },
}

fn run(setup: &Setup, works: &Receiver<Command>, opened: oneshot::Sender<Result<(), OpenError>>) {
    let mut owner = match open::open(setup, IndexFate::Keep) {
        Ok(owner) => owner,
        Err(error) => return drop(opened.send(Err(error))),
    };
    drop(opened.send(Ok(())));
    loop {
        match owner.serve(works) {
            Stop::Reopen { index, done } => {
                if let Err(error) = owner.replica.close() {
                    tracing::warn!(%error, "the store was not closed cleanly before it was opened again");
                }
                match open::open(setup, index) {
                    Ok(again) => {
                        owner = again;
                        drop(done.send(Ok(())));
                    }
                    Err(error) => return drop(done.send(Err(error))),
                }
            }
            Stop::Close { done } => {
                let closed = owner.replica.close().map_err(StoreFailure::from);
                if let (Err(error), None) = (&closed, &done) {
                    tracing::warn!(%error, "the store was not closed cleanly");
                }
                return done.map_or((), |done| drop(done.send(closed)));
            }
        }
    }
}

/// The store and what is known beside it.
#[derive(Debug)]
pub(crate) struct Owner {
    setup: Setup,
    replica: Replica,
    identity: Option<Identity>,
    /// Who writes, if the app chose; else the first person of the device.
    chosen_person: Option<PersonCode>,
    actors: BTreeMap<(DocId, PersonCode), ActorId>,
    completions: Completions,
    /// Documents written since the last sync, with the records they are about.
    pending: BTreeSet<DocId>,
    has_local_news: bool,
    session: Option<session::Running>,
    /// Packs that became visible since the last session looked.
    visible: Vec<(LogbookName, PackHash)>,
    drafts: BTreeSet<[u8; 8]>,
    waiting: BTreeSet<DocId>,
    held: BTreeMap<DocId, u16>,
    /// The epoch in which what waits was counted.
    counted_in: Option<Epoch>,
    repairs: Vec<Repair>,
    house: erase::House,
}

#[derive(Default)]
struct Completions(Vec<Completion>);

impl Completions {
    fn push(&mut self, completion: Completion) {
        self.0.push(completion);
    }
}

impl core::fmt::Debug for Completions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{} completions", self.0.len())
    }
}

impl Owner {
    fn serve(&mut self, works: &Receiver<Command>) -> Stop {
        loop {
            self.keep_house();
            let mut next = match works.recv() {
                Ok(command) => Some(command),
                Err(_) => return Stop::Close { done: None },
            };
            let mut count = 0;
            while let Some(command) = next.take() {
                match command {
                    Command::Work(work) => work(self),
                    Command::Reopen { index, done } => {
                        self.commit();
                        return Stop::Reopen { index, done };
                    }
                    Command::Close { done } => {
                        self.commit();
                        self.keep_house();
                        return Stop::Close { done: Some(done) };
                    }
                }
                count += 1;
                next = if count < BATCH_MAX { works.try_recv().ok() } else { None };
            }
            self.commit();
        }
    }

    /// What is to happen when the present batch is durable.
    #[cfg(feature = "simulation")]
    pub(crate) fn when_durable(&mut self, then: impl FnOnce(Result<(), StoreFailure>) + Send + 'static) {
        self.completions.push(Box::new(then));
    }

    /// Writes changes as they are.
    #[cfg(feature = "simulation")]
    pub(crate) fn write_raw(
        &mut self,
        logbook: &LogbookName,
        changes: &[(DocId, qianmo_protocol::record::AuthoredChange)],
    ) -> Result<(), crate::error::WriteError> {
        self.replica.write(logbook, changes, None)?;
        Ok(())
    }

    /// What it holds.
    #[cfg(feature = "simulation")]
    pub(crate) const fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Makes what the batch wrote durable, then answers.
    pub(crate) fn commit(&mut self) {
        if self.completions.0.is_empty() && !self.replica.has_unsynced() {
            return;
        }
        let durable = self.replica.sync().map(|_| ()).map_err(StoreFailure::from);
        if let Err(error) = &durable {
            tracing::error!(%error, "what was saved could not be made durable");
        }
        let written = core::mem::take(&mut self.pending);
        if let Err(error) = self.after_sync(&written) {
            tracing::error!(%error, "the store could not be read after a save");
        }
        for completion in core::mem::take(&mut self.completions.0) {
            completion(if injected(Bug::SavedBeforeDurable) { Ok(()) } else { durable.clone() });
        }
        if core::mem::take(&mut self.has_local_news) {
            (self.setup.news)();
        }
    }

    /// Everything before is durable and visible: a second write of a document sees the first.
    fn settle(&mut self, doc: &DocId) {
        if self.pending.contains(doc) {
            self.commit();
        }
    }

    /// After a sync: who is told, and what waits.
    fn after_sync(&mut self, written: &BTreeSet<DocId>) -> Result<(), ReplicaError> {
        let (visible, control_news) = self.replica.take_visible();
        self.visible.extend(visible);
        let mut records = BTreeSet::new();
        for doc in self.replica.take_touched().iter().chain(written) {
            records.extend(self.replica.record_of(doc)?);
        }
        if control_news {
            // Something of ours may be held now: its actors must not go on as if it stood.
            self.actors.clear();
            self.house.control_news();
        }
        let epoch = self.replica.newest_beacon().map(|beacon| beacon.epoch);
        if epoch != self.counted_in {
            // Other receipts count now than before, and no record was touched by that (A5).
            self.counted_in = epoch;
            self.recount()?;
        } else if control_news {
            records.extend(&self.waiting);
        }
        for record in &records {
            let is_ours = written.contains(record) || self.waiting.contains(record) || self.held.contains_key(record);
            if is_ours || control_news {
                self.note_delivery(record)?;
            }
        }
        self.take_notices()?;
        self.publish();
        if !records.is_empty() {
            if let Some(session) = &mut self.session {
                session.touched(&records);
            }
            let records: Vec<RecordId> = records.into_iter().map(RecordId).collect();
            self.setup.shared.tell(Event::RecordsChanged(records.into()));
        }
        Ok(())
    }

    fn note_delivery(&mut self, record: &DocId) -> Result<(), ReplicaError> {
        self.waiting.remove(record);
        self.held.remove(record);
        match self.replica.delivery(record)? {
            Delivery::Waiting => {
                self.waiting.insert(*record);
            }
            Delivery::Held { code } => {
                self.held.insert(*record, code);
            }
            Delivery::Acknowledged | Delivery::BackedUp | Delivery::Elsewhere => {}
        }
        Ok(())
    }

    /// Counts anew what waits and what is held: at open, and when an epoch changed under us.
    fn recount(&mut self) -> Result<(), ReplicaError> {
        let outbox = self.replica.outbox()?;
        let fold = self.replica.control().fold();
        let may_be_held = fold.content_quarantines().next().is_some() || fold.carrier_quarantines().next().is_some();
        self.waiting.clear();
        self.held.clear();
        if outbox.unsealed + outbox.unreceipted > 0 || may_be_held {
            for record in self.replica.all_records()? {
                self.note_delivery(&record)?;
            }
        }
        Ok(())
    }

    fn take_notices(&mut self) -> Result<(), ReplicaError> {
        for notice in self.replica.take_notices() {
            match notice {
                Notice::Copied { logbook, time, .. } => self.note_copied(&logbook, time)?,
                Notice::Forked { logbook, device, .. } => {
                    tracing::warn!(%logbook, %device, "two packs stand at one place of a log");
                }
            }
        }
        Ok(())
    }

    /// Another copy of this store wrote in its name: a person is told the first time, and every day it shows again.
    fn note_copied(&mut self, logbook: &LogbookName, theirs: UnixMillis) -> Result<(), ReplicaError> {
        tracing::warn!(%logbook, "another copy of this store writes in its name");
        self.actors.clear();
        let now = (self.setup.clock)().0;
        let known = self.setup.shared.status().copied;
        let lately = known.as_ref().map(|known| now.saturating_sub(known.last_ms).abs());
        if lately.is_some_and(|since| since < COPIED_NOTED_EVERY_MS) {
            return Ok(());
        }
        let is_news = lately.is_none_or(|since| since >= DAY_MS);
        let copied = CopiedNotice {
            at_ms: known.as_ref().map_or(now, |known| known.at_ms),
            last_ms: now,
            theirs_ms: known.as_ref().map_or(theirs.0, |known| known.theirs_ms.max(theirs.0)),
            logbook: known.map_or_else(|| logbook.to_string(), |known| known.logbook),
        };
        self.replica.put_meta(COPIED_KEY, &open::encode_copied(&copied, &self.replica.device()))?;
        self.setup.shared.update(|status| status.copied = Some(copied));
        if is_news {
            self.setup.shared.tell(Event::Copied);
        }
        Ok(())
    }

    fn publish(&self) {
        let update = self.update_need();
        self.setup.shared.update(|status| {
            status.enrolled = self.identity.is_some();
            status.waiting = self.waiting.len();
            status.held = self.held.len();
            status.drafts = self.drafts.len();
            status.update = update;
        });
    }

    /// Why this program must be replaced by a newer one, by the control log that is here.
    fn update_need(&self) -> Option<UpdateNeed> {
        let (fold, have) = (self.replica.control().fold(), VERSIONS.1);
        let need = fold.minimum_version();
        if have < need {
            return Some(UpdateNeed::MinimumVersion { have, need });
        }
        fold.must_update().then_some(UpdateNeed::UnknownDecision)
    }

    /// Whether the control log says that this device was revoked.
    pub(crate) fn is_revoked(&self) -> bool {
        let device = self.replica.device();
        self.replica.control().fold().device(&device).is_some_and(|device| device.is_revoked())
    }

    /// Whether the hub gives nothing to a program as old as this one (A4).
    fn is_too_old(&self) -> bool {
        matches!(self.update_need(), Some(UpdateNeed::MinimumVersion { .. }))
    }

    /// Who this device is, if it is enrolled.
    pub(crate) const fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// A fresh actor: random, never kept anywhere but here.
    fn fresh_actor(&self) -> ActorId {
        let mut actor = [0; 16];
        self.setup.draws.clone().fill_bytes(&mut actor);
        if injected(Bug::ActorKept) {
            actor = [self.replica.device().0, [0; 8]].concat().try_into().unwrap_or(actor);
        }
        ActorId(actor)
    }

    fn keep_actor(&mut self, doc: DocId, person: &PersonCode, actor: ActorId) {
        if self.actors.len() >= ACTORS_MAX {
            self.actors.clear();
        }
        self.actors.insert((doc, person.clone()), actor);
    }
}
