//! One session with a hub, between two messages: the exchange works on the replica here, the driver carries the frames.
//!
//! # Flow
//!
//! ```text
//! begin_session: commit, seal what was saved, open ─> frames
//! session_messages / session_news / leave_session ─> pump: store, sync, judge as often as wanted ─> frames
//! harvest (whenever both sides hold the same) and end_session: what it brought, what is held, what is kept for next time
//! ```
//!
//! # Invariants
//!
//! 1. A large pull is stored and judged in slices, one for a call, so that readers wait for one slice at most
//!    (`large_pull_is_taken_in_slices_between_which_a_person_reads`).
//! 2. Frames are handed out only after everything they tell of is durable (the exchange waits for the sync).

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, Epoch, HubId, LogbookName, PackHash};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::record::Document;
use qianmo_protocol::session::message::{About, Bye, ByeReason, Message};
use qianmo_protocol::session::{Opening, SessionError, Shelf as _, Stay, Taken, Tally, Toward};
use qianmo_protocol::vector::{Selection, Stations};
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::replica::ReplicaError;

use super::selection::{self, Agreement, Window};
use super::{Owner, StoreFailure};
use crate::codes::RefusalCode;
use crate::engine::{Goal, Left, Reading};
use crate::event::Event;
use crate::names::RecordId;
use crate::status::{RefusedPack, SyncReport};

/// Zstandard's level: more costs a tablet's battery and saves little on packs this small.
pub(super) const PACK_LEVEL: i32 = 6;
/// Changes that are judged before readers are served again.
const CHANGES_PER_STEP: usize = 256;
/// Changed records that are looked at for new conflicts after one session.
const CONFLICT_RECORDS_MAX: usize = 5_000;

/// Records that wait whose age is looked up; of more, the hub is not told the oldest.
const AGE_RECORDS_MAX: usize = 200;

/// The meta key of the hub and epoch that were seen last.
pub(super) const EPOCH_KEY: &[u8] = b"client epoch";
/// The meta key of when the last session ended well: another process asks for it.
pub(super) const LAST_SUCCESS_KEY: &[u8] = b"client last success";
/// The meta key of what the hub agreed that we hold.
const AGREED_KEY: &[u8] = b"client agreed";

/// Which hub answered last, in which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SeenHub {
    pub(super) hub: HubId,
    pub(super) epoch: Epoch,
}

impl Wire for SeenHub {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.hub.0);
        writer.raw(&self.epoch.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { hub: HubId(reader.array("hub")?), epoch: Epoch(reader.array("epoch")?) })
    }
}

/// Why a session cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SessionFailure {
    /// The device belongs to no organisation.
    NotEnrolled,
    /// There is no session.
    NoSession,
    /// The store failed.
    Store(StoreFailure),
    /// The peer broke a rule, or speaks another version.
    Peer(SessionError),
}

impl From<ReplicaError> for SessionFailure {
    fn from(error: ReplicaError) -> Self {
        Self::Store(error.into())
    }
}

/// What to do with the line next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Step {
    /// Frames to send, in order.
    pub(crate) frames: Vec<Vec<u8>>,
    /// Both sides hold what the other held.
    pub(crate) finished: bool,
    /// There is more to judge: go on with [`Owner::session_on`] before anything else of this session.
    pub(crate) more: bool,
    /// The hub said goodbye.
    pub(crate) bye: Option<Bye>,
}

/// What a session came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Harvest {
    pub(crate) report: SyncReport,
    pub(crate) left: Left,
    /// The control log says that this device is revoked.
    pub(crate) revoked: bool,
    /// Whether the hub gives anything to a program of this version.
    pub(crate) reading: Reading,
    /// The hub has answered, so the two speak a version in common.
    pub(crate) has_met: bool,
    /// States differed where they must not: the index is to be built anew.
    pub(crate) rebuild: bool,
}

/// The session that runs.
#[derive(Debug)]
pub(super) struct Running {
    exchange: Exchange,
    asked: Selection,
    tally: Tally,
    /// Own packs without a receipt that this session is about.
    own: BTreeSet<PackHash>,
    touched: BTreeSet<DocId>,
    sent: BTreeSet<DocId>,
    refused: Vec<RefusedPack>,
    held_before: BTreeSet<DocId>,
    news_waits: bool,
    rebuild: bool,
    /// The epoch of the hub that was met.
    epoch: Option<Epoch>,
}

impl Running {
    /// Whether everything is exchanged and the session only waits for news.
    pub(super) const fn is_idle(&self) -> bool {
        self.exchange.is_subscribed()
    }

    pub(super) fn touched(&mut self, records: &BTreeSet<DocId>) {
        self.touched.extend(records);
    }
}

impl Owner {
    /// Opens a session on an authenticated line.
    pub(crate) fn begin_session(&mut self, goal: Goal) -> Result<Step, SessionFailure> {
        self.commit();
        self.seal()?;
        let (opening, asked) = self.opening(goal)?;
        let own = self.replica.unreceipted()?.into_iter().map(|(_, pack)| pack).collect();
        let exchange = Exchange::initiate(&self.replica, self.hub_device(), &opening);
        self.session = Some(Running {
            exchange,
            asked,
            tally: Tally::default(),
            own,
            touched: BTreeSet::new(),
            sent: BTreeSet::new(),
            refused: Vec::new(),
            held_before: self.held.keys().copied().collect(),
            news_waits: false,
            rebuild: false,
            epoch: None,
        });
        self.pump()
    }

    /// The hub's messages.
    pub(crate) fn session_message(&mut self, message: Message) -> Result<Step, SessionFailure> {
        let session = self.session.as_mut().ok_or(SessionFailure::NoSession)?;
        session.exchange.handle_message(message).map_err(SessionFailure::Peer)?;
        self.pump()
    }

    /// Goes on judging where the last step left off.
    pub(crate) fn session_on(&mut self) -> Result<Step, SessionFailure> {
        self.pump()
    }

    /// Something was saved while the session watches.
    pub(crate) fn session_news(&mut self) -> Result<Step, SessionFailure> {
        self.commit();
        self.seal()?;
        let session = self.session.as_mut().ok_or(SessionFailure::NoSession)?;
        session.news_waits = true;
        self.pump()
    }

    /// This side ends the session.
    pub(crate) fn leave_session(&mut self) -> Result<Step, SessionFailure> {
        let session = self.session.as_mut().ok_or(SessionFailure::NoSession)?;
        // Only who holds the same as the hub is done: the hub tells people what has arrived.
        let reason = if session.exchange.is_subscribed() { ByeReason::Done } else { ByeReason::Later };
        session.exchange.leave(Bye { reason, retry_after_ms: None });
        self.pump()
    }

    fn seal(&mut self) -> Result<(), ReplicaError> {
        self.replica.seal(self.now(), PACK_LEVEL, &mut self.setup.draws.clone())?;
        let refused = self.give_back_refused()?;
        self.replica.sync()?;
        self.after_sync(&BTreeSet::new())?;
        if !refused.is_empty() {
            let drafts = refused.len();
            self.publish();
            self.setup.shared.tell(Event::Held { records: refused.into(), drafts });
        }
        Ok(())
    }

    /// The hub's signing key stands for it on this side.
    fn hub_device(&self) -> DeviceId {
        let hub = self.identity.as_ref().map(|identity| identity.hub);
        let fold = self.replica.control().fold();
        let key = hub.and_then(|hub| fold.hub(&hub)?.signing_keys().next().copied());
        key.map_or(DeviceId([0; 8]), |key| DeviceId::from_key(&key))
    }

    fn opening(&self, goal: Goal) -> Result<(Opening, Selection), SessionFailure> {
        let identity = self.identity.as_ref().ok_or(SessionFailure::NotEnrolled)?;
        let fold = self.replica.control().fold();
        let config = &self.setup.config;
        let month = self.month();
        let mut asked = match month {
            Some(month) => {
                let window = Window { back: config.months_back, ahead: config.months_ahead };
                selection::wanted(fold, &identity.device, &identity.station, month, window)
            }
            // A clock outside all months and no beacon yet: directories, until the hub has said what time it is.
            None => Selection { months: None, ..Selection::everything() },
        };
        asked.without = self.evicted()?;
        let agreement = self.replica.meta(AGREED_KEY)?.and_then(|bytes| Agreement::decode(&bytes).ok());
        let decided = self.replica.control().position();
        let is_outdated = |agreement: &Agreement| agreement.decided != decided && !injected(Bug::SelectionReused);
        let stands = |agreement: &Agreement| agreement.asked == asked && !is_outdated(agreement);
        let agreed = agreement.filter(stands).map(|agreement| agreement.agreed);
        let selection = agreed.unwrap_or_else(|| asked.clone());
        let unreceipted = self.replica.unreceipted()?;
        let changed: BTreeSet<LogbookName> =
            unreceipted.iter().chain(&self.visible).map(|(name, _)| name.clone()).collect();
        let stations = match &selection.stations {
            Stations::These(stations) => stations.iter().cloned().collect(),
            Stations::All => selection::known_stations(fold, &self.replica.logbooks()),
        };
        let live = month.map(|month| selection::live(changed, &stations, month)).unwrap_or_default();
        let seen = self.seen_hub()?;
        let stay = match goal {
            Goal::Once => Stay::Leave,
            Goal::Watch => Stay::Subscribe,
        };
        let epoch = seen.map(|seen| seen.epoch);
        let about = Some(self.about()?);
        Ok((Opening { selection, live, unreceipted, epoch, stay, toward: Toward::Hub, about }, asked))
    }

    /// What the hub's people see of this device: whether something of it is stuck, and why that might be.
    fn about(&self) -> Result<About, ReplicaError> {
        let mut oldest = None;
        if self.waiting.len() <= AGE_RECORDS_MAX {
            for record in &self.waiting {
                let begun = self.replica.record_row(record)?.map(|row| row.view.root.created_at);
                oldest = oldest.into_iter().chain(begun).min();
            }
        }
        Ok(About {
            program: concat!("qianmo ", env!("CARGO_PKG_VERSION")).to_owned(),
            clock: self.now(),
            unsent: u32::try_from(self.waiting.len()).unwrap_or(u32::MAX),
            oldest,
            free_bytes: self.replica.log_stats().free_bytes,
        })
    }

    fn seen_hub(&self) -> Result<Option<SeenHub>, ReplicaError> {
        Ok(self.replica.meta(EPOCH_KEY)?.and_then(|bytes| SeenHub::decode(&bytes).ok()))
    }

    /// Lets the exchange work until it needs the network.
    fn pump(&mut self) -> Result<Step, SessionFailure> {
        let mut step = Step::default();
        let Some(mut session) = self.session.take() else { return Err(SessionFailure::NoSession) };
        let outcome = self.pump_until_quiet(&mut session, &mut step);
        self.session = Some(session);
        outcome?;
        // Receipts and beacons of the last turn; and what changed is told.
        self.replica.sync()?;
        self.after_sync(&BTreeSet::new())?;
        Ok(step)
    }

    fn pump_until_quiet(&mut self, session: &mut Running, step: &mut Step) -> Result<(), SessionFailure> {
        loop {
            match session.exchange.pump(&mut self.replica)? {
                Pump::Quiet => {
                    self.drain(session, step)?;
                    if !self.offer_news(session)? {
                        return Ok(());
                    }
                }
                Pump::AwaitsSync => {
                    self.replica.sync()?;
                    session.exchange.after_sync(&self.replica);
                    // Slice by slice: the thread serves readers between two messages, and a turn may bring thousands.
                    if self.replica.unjudged_count() > 0 {
                        self.replica.judge_some(CHANGES_PER_STEP)?;
                    }
                }
                Pump::AwaitsJudge => {
                    if self.replica.judge_some(CHANGES_PER_STEP)?.more {
                        step.more = true;
                        return Ok(());
                    }
                    session.exchange.after_judge(&self.replica, Vec::new());
                }
            }
        }
    }

    /// Gives the session what was sealed since, if it can take it now. Answers whether it did.
    fn offer_news(&self, session: &mut Running) -> Result<bool, ReplicaError> {
        if !session.news_waits {
            return Ok(false);
        }
        let unreceipted = self.replica.unreceipted()?;
        let fresh: Vec<(LogbookName, PackHash)> =
            unreceipted.into_iter().filter(|(_, pack)| !session.own.contains(pack)).collect();
        if !fresh.is_empty() && session.exchange.handle_local_news(&self.replica, &fresh) == Taken::NotNow {
            return Ok(false);
        }
        session.news_waits = false;
        session.own.extend(fresh.iter().map(|(_, pack)| *pack));
        Ok(!fresh.is_empty())
    }

    fn drain(&mut self, session: &mut Running, step: &mut Step) -> Result<(), ReplicaError> {
        while let Some(output) = session.exchange.poll_output() {
            match output {
                Output::Send(message) => {
                    if let Message::Pack(pack) = &message {
                        for doc in docs_of(pack) {
                            session.sent.extend(self.replica.record_of(&doc)?);
                        }
                    }
                    step.frames.push(message.encode_frame());
                }
                // A peer's word that something is durable changes nothing a person sees (A5).
                Output::Acked(_) | Output::Subscribed => {}
                Output::Refused(refuse) => {
                    let pack = data_encoding::HEXLOWER.encode(&refuse.pack8);
                    tracing::warn!(%pack, code = ?refuse.code, "the hub did not take a pack");
                    session.refused.push(RefusedPack { pack, code: refuse.code.into() });
                }
                Output::Agreed(agreed) => {
                    let decided = self.replica.control().position();
                    let agreement = Agreement { asked: session.asked.clone(), agreed, decided };
                    self.replica.put_meta(AGREED_KEY, &agreement.encode())?;
                }
                Output::Epoch(hub, epoch) => {
                    session.epoch = Some(epoch);
                    self.saw_hub(SeenHub { hub, epoch })?;
                }
                Output::StateDiffers(logbook) => {
                    tracing::error!(%logbook, "states differ though the vectors agree; the index is built anew");
                    session.rebuild = true;
                }
                Output::Finished => {
                    let now = (self.setup.clock)().0;
                    self.replica.put_meta(LAST_SUCCESS_KEY, &now.to_be_bytes())?;
                    let undisturbed = session.exchange.undisturbed(&self.replica);
                    self.note_mirrors(undisturbed, session.epoch)?;
                    step.finished = true;
                }
                Output::PeerLeft(bye) => step.bye = Some(bye),
            }
        }
        Ok(())
    }

    fn saw_hub(&mut self, seen: SeenHub) -> Result<(), ReplicaError> {
        if self.seen_hub()? == Some(seen) {
            return Ok(());
        }
        tracing::info!(hub = %seen.hub, epoch = %seen.epoch, "the hub is in an epoch that is new to this device");
        self.replica.put_meta(EPOCH_KEY, &seen.encode())
    }

    /// What the session brought since it was asked last.
    pub(crate) fn harvest(&mut self) -> Result<Harvest, SessionFailure> {
        let Some(mut session) = self.session.take() else { return Err(SessionFailure::NoSession) };
        let harvest = self.harvest_of(&mut session);
        self.session = Some(session);
        let harvest = harvest?;
        // Drafts that were given back are durable before anyone hears of them.
        self.replica.sync()?;
        self.after_sync(&BTreeSet::new())?;
        Ok(harvest)
    }

    /// The session is over, however it ended.
    pub(crate) fn end_session(&mut self) -> Result<Harvest, SessionFailure> {
        let harvest = self.harvest();
        self.session = None;
        harvest
    }

    fn harvest_of(&mut self, session: &mut Running) -> Result<Harvest, ReplicaError> {
        let tally = session.exchange.tally();
        let before = core::mem::replace(&mut session.tally, tally);
        let received = self.received()?;
        let mut records_down = BTreeSet::new();
        for doc in received.keys() {
            records_down.extend(self.replica.record_of(doc)?);
        }
        let touched = core::mem::take(&mut session.touched);
        let conflicts_new = self.new_conflicts(&received)?;
        let still: BTreeSet<PackHash> = self.replica.unreceipted()?.into_iter().map(|(_, pack)| pack).collect();
        let mut acknowledged = 0;
        for pack in session.own.difference(&still) {
            // One that was refused for good does not wait for a receipt any more either: it is packed again.
            acknowledged += usize::from(self.replica.is_acknowledged(pack)?);
        }
        session.own.retain(|pack| still.contains(pack));
        // An epoch began in which old receipts do not count, or another copy's work came: more waits than before, and
        // another session brings it forward.
        let waits_for_more = !still.is_subset(&session.own);
        // Or nothing waits any more, and no record was touched by that: a receipt was for a pack of another copy of this store.
        if waits_for_more || (still.is_empty() && !self.waiting.is_empty()) {
            self.recount()?;
        }
        // What came before was sent in the same session: now it is there.
        let early = session.refused.iter().filter(|refused| refused.code == RefusalCode::MissingPrev).count();
        let was_early = early > 0 && tally.packs_sent - before.packs_sent > early;
        let has_more = waits_for_more || was_early;
        let unsealed = self.replica.outbox()?.unsealed;
        let left = if unsealed > 0 || has_more || (acknowledged > 0 && !still.is_empty()) {
            Left::Less
        } else if still.is_empty() {
            Left::Nothing
        } else {
            Left::AsMuch
        };
        let held = self.tell_held(session, &touched)?;
        let report = SyncReport {
            complete: left == Left::Nothing,
            round_trips: tally.turns_received - before.turns_received,
            packs_up: tally.packs_sent - before.packs_sent,
            packs_down: tally.packs_received - before.packs_received,
            records_up: core::mem::take(&mut session.sent).len(),
            records_down: records_down.len(),
            acknowledged,
            waiting: still.len(),
            conflicts_new,
            refused: core::mem::take(&mut session.refused),
            held,
            ..SyncReport::default()
        };
        let revoked = self.is_revoked();
        let reading = if self.is_too_old() { Reading::Closed } else { Reading::Open };
        let has_met = tally.turns_received > 0;
        Ok(Harvest { report, left, revoked, reading, has_met, rebuild: core::mem::take(&mut session.rebuild) })
    }

    /// Drafts of what is newly held, and the news of it. Answers how many records it concerns.
    fn tell_held(&mut self, session: &mut Running, touched: &BTreeSet<DocId>) -> Result<usize, ReplicaError> {
        let drafts = self.give_back_held(touched)?;
        let now: BTreeSet<DocId> = self.held.keys().copied().collect();
        let fresh: Vec<RecordId> = now.difference(&session.held_before).copied().map(RecordId).collect();
        session.held_before = now;
        let count = fresh.len();
        if count > 0 || drafts > 0 {
            self.setup.shared.tell(Event::Held { records: fresh.into(), drafts });
        }
        self.publish();
        Ok(count)
    }

    /// Changes in packs of others that became visible since the last look, by document.
    fn received(&mut self) -> Result<BTreeMap<DocId, BTreeSet<ChangeHash>>, ReplicaError> {
        let device = self.replica.device();
        let mut received: BTreeMap<DocId, BTreeSet<ChangeHash>> = BTreeMap::new();
        for (name, hash) in core::mem::take(&mut self.visible) {
            let Some(pack) = self.replica.pack(&name, &hash) else { continue };
            if pack.header.log.device == device {
                continue;
            }
            for entry in pack.open().unwrap_or_default() {
                received.entry(entry.doc()).or_default().insert(entry.hash());
            }
        }
        Ok(received)
    }

    /// Fields in conflict now that were not before these changes came.
    fn new_conflicts(&self, received: &BTreeMap<DocId, BTreeSet<ChangeHash>>) -> Result<usize, ReplicaError> {
        let mut count = 0;
        for (doc, new) in received.iter().take(CONFLICT_RECORDS_MAX) {
            let Some(document) = self.replica.document(doc)?.filter(|document| document.len() > 1) else { continue };
            let before = heads_without(&document, new);
            // The old version is made of changes of this very document, so it is never unknown.
            let known = document.conflicts_at(&before).unwrap_or_default();
            let known: BTreeSet<_> = known.into_iter().map(|conflict| conflict.path).collect();
            count += document.conflicts().iter().filter(|conflict| !known.contains(&conflict.path)).count();
        }
        Ok(count)
    }
}

fn docs_of(pack: &Pack) -> BTreeSet<DocId> {
    pack.open().unwrap_or_default().iter().map(qianmo_protocol::pack::Entry::doc).collect()
}

/// The version of a record before some changes came.
fn heads_without(document: &Document, new: &BTreeSet<ChangeHash>) -> Vec<ChangeHash> {
    let old = || document.changes().filter(|change| !new.contains(&change.hash()));
    let inner: BTreeSet<ChangeHash> = old().flat_map(|change| change.head().deps.iter().copied()).collect();
    old().map(qianmo_protocol::change::RawChange::hash).filter(|hash| !inner.contains(hash)).collect()
}
