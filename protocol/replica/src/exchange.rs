//! A session at work on a replica: everything between two messages that is not the network.
//!
//! The same code on tablet and hub. Work that must be durable is appended, and the exchange waits: the caller syncs once
//! for all exchanges that wait (group commit) and then lets each go on. Nothing is sent that depends on a frame that is
//! not durable.
//!
//! # Flow
//!
//! ```text
//! handle_message ─> pump ─> Quiet                         outputs are ready
//!                        └> AwaitsSync ─> Replica::sync ─> after_sync ─> pump …
//!                        └> AwaitsJudge ─> the caller judges ─> after_judge ─> pump …
//! ```

use std::collections::{BTreeSet, VecDeque};

use qianmo_protocol::ids::{Epoch, HubId, LogbookName, PackHash};
use qianmo_protocol::limits::PACKS_PER_TURN_MAX;
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::session::message::{Ack, Bye, Message, Refuse};
use qianmo_protocol::session::{Effect, Opening, Session, SessionError, StoreOutcome, Taken, Tally, Toward};
use qianmo_protocol::vector::Selection;

use crate::replica::{Replica, ReplicaError};

/// Receipts of one turn that are looked at: a sender shows at most one for each pack.
pub const RECEIPTS_PER_TURN_MAX: usize = PACKS_PER_TURN_MAX;

/// What an exchange has for its caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send this.
    Send(Message),
    /// The peer made packs durable.
    Acked(Ack),
    /// The peer did not take a pack.
    Refused(Refuse),
    /// The hub agreed to hold less with us than was asked.
    Agreed(Selection),
    /// The hub's epoch.
    Epoch(HubId, Epoch),
    /// States differ where they must not: rebuild the logbook's documents and log it.
    StateDiffers(LogbookName),
    /// Both sides hold what the other held.
    Finished,
    /// The peer wants news pushed.
    Subscribed,
    /// The peer said goodbye.
    PeerLeft(Bye),
}

/// What an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pump {
    /// The next message.
    Quiet,
    /// [`Replica::sync`], then [`Exchange::after_sync`].
    AwaitsSync,
    /// The gate: [`Replica::judge`], then [`Exchange::after_judge`].
    AwaitsJudge,
}

#[derive(Debug)]
enum Waiting {
    No,
    Adopted,
    Stored(Vec<StoreOutcome>),
    Judged,
}

/// One session on a replica.
#[derive(Debug)]
pub struct Exchange {
    session: Session,
    toward: Toward,
    waiting: Waiting,
    outputs: VecDeque<Output>,
    /// Packs of the peer's present turn: what a hub gives receipts for.
    stored: Vec<(PackHash, u64)>,
    /// Receipts of the peer's present turn.
    receipts: usize,
    /// Packs that a hub sent, and that are not judged here yet: it has passed them, but for what it quarantined.
    from_hub: BTreeSet<PackHash>,
    /// Those of them that are judged here, too.
    judged_from_hub: BTreeSet<PackHash>,
}

impl Exchange {
    /// Opens a session.
    pub fn initiate(replica: &Replica, peer: qianmo_protocol::ids::DeviceId, opening: &Opening) -> Self {
        Self::over(Session::initiate(replica, peer, opening), opening.toward)
    }

    /// Waits for a peer to open.
    #[must_use]
    pub fn respond(peer: qianmo_protocol::ids::DeviceId) -> Self {
        Self::over(Session::respond(peer), Toward::Tablet)
    }

    const fn over(session: Session, toward: Toward) -> Self {
        Self {
            session,
            toward,
            waiting: Waiting::No,
            outputs: VecDeque::new(),
            stored: Vec::new(),
            receipts: 0,
            from_hub: BTreeSet::new(),
            judged_from_hub: BTreeSet::new(),
        }
    }

    /// Takes one message. Only while the last [`Exchange::pump`] was [`Pump::Quiet`].
    ///
    /// # Errors
    /// [`SessionError`]: close the connection.
    pub fn handle_message(&mut self, message: Message) -> Result<(), SessionError> {
        if matches!(message, Message::Hello(_) | Message::Welcome(_) | Message::Vectors(_) | Message::Push { .. }) {
            self.receipts = 0;
        }
        self.session.handle_message(message)
    }

    /// Carries out what the session wants, until it has to wait.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails: nothing of what waits may be acknowledged.
    pub fn pump(&mut self, replica: &mut Replica) -> Result<Pump, ReplicaError> {
        match self.waiting {
            Waiting::No if self.judged_from_hub.is_empty() => {}
            Waiting::No => replica.note_sent_by_hub(&core::mem::take(&mut self.judged_from_hub))?,
            Waiting::Adopted | Waiting::Stored(_) => return Ok(Pump::AwaitsSync),
            Waiting::Judged => return Ok(Pump::AwaitsJudge),
        }
        while let Some(effect) = self.session.poll_effect() {
            match effect {
                Effect::Send(message) => self.outputs.push_back(Output::Send(message)),
                Effect::Adopt(entries) => {
                    replica.adopt(entries)?;
                    self.waiting = Waiting::Adopted;
                    return Ok(Pump::AwaitsSync);
                }
                Effect::Store(packs) => {
                    self.waiting = Waiting::Stored(replica.take_packs(packs)?.outcomes);
                    return Ok(Pump::AwaitsSync);
                }
                Effect::Judge => {
                    self.waiting = Waiting::Judged;
                    return Ok(Pump::AwaitsJudge);
                }
                Effect::Beacon(beacon) => replica.take_beacon(&beacon)?,
                Effect::Receipt(receipt) => {
                    // What lies beyond is dropped: nobody sends more, and on a hub they only advise.
                    self.receipts = self.receipts.saturating_add(1);
                    if self.receipts <= RECEIPTS_PER_TURN_MAX {
                        replica.take_receipt(receipt)?;
                    }
                }
                Effect::Acked(ack) => self.outputs.push_back(Output::Acked(ack)),
                Effect::Refused(refuse) => {
                    // Another tablet's word ends nothing: only what the hub refuses is packed again.
                    if self.toward == Toward::Hub {
                        replica.note_refusal(&refuse)?;
                    }
                    self.outputs.push_back(Output::Refused(refuse));
                }
                Effect::Agreed(selection) => self.outputs.push_back(Output::Agreed(selection)),
                Effect::Epoch(hub, epoch) => self.outputs.push_back(Output::Epoch(hub, epoch)),
                Effect::StateDiffers(name) => self.outputs.push_back(Output::StateDiffers(name)),
                Effect::Finished => {
                    let undisturbed = self.session.undisturbed(replica);
                    replica.note_held_by_hub(&undisturbed)?;
                    self.outputs.push_back(Output::Finished);
                }
                Effect::Subscribed => self.outputs.push_back(Output::Subscribed),
                Effect::PeerLeft(bye) => self.outputs.push_back(Output::PeerLeft(bye)),
            }
        }
        Ok(Pump::Quiet)
    }

    /// The replica is synced: acknowledges what was stored. Does nothing when this exchange did not wait for it.
    pub fn after_sync(&mut self, replica: &Replica) {
        match core::mem::replace(&mut self.waiting, Waiting::No) {
            Waiting::Adopted => self.session.handle_adopted(),
            Waiting::Stored(outcomes) => {
                for outcome in &outcomes {
                    if let StoreOutcome::Held { hash, commit } = outcome {
                        self.stored.push((*hash, *commit));
                        if self.toward == Toward::Hub {
                            self.from_hub.insert(*hash);
                        }
                    }
                }
                self.session.handle_stored(replica, &outcomes);
            }
            other @ (Waiting::No | Waiting::Judged) => self.waiting = other,
        }
    }

    /// Packs of the peer's present turn that are durable, with their commit numbers; asked for before `after_judge`.
    #[must_use]
    pub fn stored(&self) -> &[(PackHash, u64)] {
        &self.stored
    }

    /// The gate has spoken; a hub gives its receipts for [`Exchange::stored`].
    pub fn after_judge(&mut self, replica: &Replica, receipts: Vec<SignedReceipt>) {
        if matches!(self.waiting, Waiting::Judged) {
            self.waiting = Waiting::No;
            self.stored.clear();
            self.judged_from_hub.append(&mut self.from_hub);
            self.session.handle_judged(replica, receipts);
        }
    }

    /// The next output.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// A hub has news for a subscriber.
    pub fn handle_news(&mut self, replica: &Replica, since: &[(LogbookName, PackHash)]) -> Taken {
        match self.waiting {
            Waiting::No => self.session.handle_news(replica, since),
            Waiting::Adopted | Waiting::Stored(_) | Waiting::Judged => Taken::NotNow,
        }
    }

    /// A subscribed tablet has something new.
    pub fn handle_local_news(&mut self, replica: &Replica, unreceipted: &[(LogbookName, PackHash)]) -> Taken {
        match self.waiting {
            Waiting::No => self.session.handle_local_news(replica, unreceipted),
            Waiting::Adopted | Waiting::Stored(_) | Waiting::Judged => Taken::NotNow,
        }
    }

    /// Ends the session from this side.
    pub fn leave(&mut self, bye: Bye) {
        self.session.leave(bye);
    }

    /// Whether the session only waits for news.
    #[must_use]
    pub const fn is_subscribed(&self) -> bool {
        self.session.is_subscribed()
    }

    /// Logbooks of which the hub held everything that is held here; see [`Session::undisturbed`].
    #[must_use]
    pub fn undisturbed(&self, replica: &Replica) -> Vec<LogbookName> {
        self.session.undisturbed(replica)
    }

    /// What went over the session.
    #[must_use]
    pub const fn tally(&self) -> Tally {
        self.session.tally()
    }
}
