//! The answer to a turn of the peer: packs to send, vectors to state, ancestors to ask for.

use std::collections::{BTreeMap, BTreeSet};

use super::compose::{TURN_VECTORS_BYTES_MAX, WELCOME_VECTORS_BYTES_MAX, heads_of, readable, short};
use super::message::{Bye, ByeReason, Message};
use super::{Access, Effect, Outgoing, Session, Shelf, Side, Stay, Toward};
use crate::bugs::{Bug, injected};
use crate::control::SignedEntry;
use crate::ids::{DeviceId, EntryHash, LogbookName, PackHash};
use crate::limits::TURNS_MAX;
use crate::vector::{Locator, PackNode, beyond_locator, locator, plan};

/// Logs for whose ancestors one turn asks; the rest is asked for in the next session.
const ASKS_PER_TURN_MAX: usize = 1_024;
/// Turns in a row in which an initiator finds nothing to do and still waits for the responder.
const EMPTY_TURNS_MAX: usize = 2;

/// What a turn must bring besides packs, which wait in the backlog.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) vectors: BTreeSet<LogbookName>,
    pub(super) asks: Vec<(LogbookName, Locator)>,
}

impl Session {
    /// The responder's answer to a turn.
    pub(super) fn answer(&mut self, shelf: &impl Shelf) {
        let access = shelf.access(&self.peer);
        let waits_for_control = self.unknown_peer_heads(shelf);
        let is_first = self.tally.turns_sent == 0;
        if access == Access::Unknown && !(is_first && waits_for_control) {
            // Nothing is told to a stranger that has no enrolment to show.
            self.leave(Bye { reason: ByeReason::NotEnrolled, retry_after_ms: None });
            return;
        }
        if self.tally.turns_received > TURNS_MAX {
            self.give_up();
            return;
        }
        self.brought = false;
        self.compare_states(shelf);
        // What a stranger said is answered once it has shown its enrolment.
        let mut work = if access == Access::Unknown { Work::default() } else { self.work_on_vectors(shelf) };
        if access == Access::Full && !is_first {
            self.late_digests(shelf, &mut work);
        }
        let control = if access == Access::Unknown { Vec::new() } else { self.control_for_peer(shelf) };
        let may_send = access == Access::Full && !waits_for_control;
        if access != Access::Full {
            self.backlog.clear();
        }
        let packs = if may_send { self.pick_packs(shelf) } else { Vec::new() };
        let room = if is_first { WELCOME_VECTORS_BYTES_MAX } else { TURN_VECTORS_BYTES_MAX };
        let vectors = self.state_vectors(shelf, work.vectors, room);
        let outgoing = Outgoing { vectors, packs, asks: work.asks, control };
        if is_first {
            self.send_welcome(shelf, outgoing, access, waits_for_control);
        } else {
            self.send_turn(shelf, outgoing);
        }
    }

    /// The initiator looks at what the responder said and starts another turn, or ends.
    pub(super) fn move_on(&mut self, shelf: &impl Shelf) {
        self.compare_states(shelf);
        let mut work = self.work_on_vectors(shelf);
        if let Some(digests) = self.peer_digests.take() {
            self.differing(shelf, &digests, &mut work);
        }
        let control = self.control_for_peer(shelf);
        let packs = self.pick_packs(shelf);
        let receipts = self.receipts_for(shelf, &packs);
        self.receipts.extend(receipts);
        let stated = self.stated.len();
        let vectors = self.state_vectors(shelf, work.vectors, TURN_VECTORS_BYTES_MAX);
        let outgoing = Outgoing { vectors, packs, asks: work.asks, control };
        let moves = !outgoing.packs.is_empty() || !outgoing.asks.is_empty() || !outgoing.control.is_empty();
        let is_new = core::mem::take(&mut self.brought) || moves || self.stated.len() > stated;
        self.empty_turns = if is_new { 0 } else { self.empty_turns + 1 };
        let waits = self.peer_more || self.unknown_peer_heads(shelf);
        if !(moves || waits || !outgoing.vectors.is_empty()) {
            self.finish();
        } else if self.empty_turns > EMPTY_TURNS_MAX || self.tally.turns_sent > TURNS_MAX {
            self.give_up();
        } else {
            self.send_turn(shelf, outgoing);
        }
    }

    /// A push that did not fit onto what we hold is made good by a turn of our own.
    pub(super) fn after_push(&mut self, shelf: &impl Shelf) {
        if !self.refused.is_empty() {
            let vectors = self.state_vectors(shelf, self.touched.clone(), TURN_VECTORS_BYTES_MAX);
            self.restate = false;
            self.send_turn(shelf, Outgoing { vectors, ..Outgoing::default() });
        }
    }

    fn finish(&mut self) {
        self.effects.push_back(Effect::Finished);
        self.have_asked.clear();
        let touched = core::mem::take(&mut self.touched);
        self.disturbed.extend(touched);
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
    pub(super) fn work_on_vectors(&mut self, shelf: &impl Shelf) -> Work {
        let mut work = Work::default();
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
            for log in plan.ask {
                if work.asks.len() < ASKS_PER_TURN_MAX && self.have_asked.insert((name.clone(), log)) {
                    work.asks.push((name.clone(), locator(shelf, &name, &log)));
                }
            }
            self.queue_nodes(shelf, &name, plan.send);
        }
        for ((name, _), locator) in core::mem::take(&mut self.asked) {
            if self.may_talk_about(shelf, &name) {
                let beyond = beyond_locator(shelf, &name, &locator);
                self.queue_nodes(shelf, &name, beyond);
                work.vectors.insert(name);
            }
        }
        // A refused pack shows that the peer's idea of us is wrong: tell it where we stand.
        if core::mem::take(&mut self.restate) {
            work.vectors.extend(self.touched.iter().cloned());
        }
        work
    }

    /// Puts packs into the backlog, unless they were sent already.
    pub(super) fn queue(&mut self, shelf: &impl Shelf, packs: &[(LogbookName, PackHash)]) {
        for (name, hash) in packs {
            self.queue_nodes(shelf, name, shelf.node(name, hash));
        }
    }

    fn queue_nodes(&mut self, shelf: &impl Shelf, name: &LogbookName, nodes: impl IntoIterator<Item = PackNode>) {
        // A logbook that the peer does not want back may still be named by it: it writes into one that it has evicted.
        let is_wanted = || self.selection.covers(name) && shelf.access(&self.peer) == Access::Full;
        let is_taker = self.side == Side::Initiator || is_wanted();
        if !is_taker || !self.may_send(shelf, name) {
            return;
        }
        for node in nodes {
            if !self.sent.contains(&node.hash) {
                self.backlog.insert((node.commit, node.hash), name.clone());
            }
        }
    }

    /// Whose read rights decide what is told: nobody's towards a hub.
    pub(super) const fn reader(&self) -> Option<&DeviceId> {
        match self.toward {
            Toward::Hub => None,
            Toward::Tablet => Some(&self.peer),
        }
    }

    /// Whether records of a logbook may go to the peer at this moment (I23).
    pub(super) fn may_send(&self, shelf: &impl Shelf, name: &LogbookName) -> bool {
        self.reader().is_none_or(|peer| shelf.may_read(peer, name))
    }

    /// Whether the peer may be told what we hold of a logbook: a device that may only upload has to know what to upload.
    pub(super) fn may_talk_about(&self, shelf: &impl Shelf, name: &LogbookName) -> bool {
        let may_upload = self.side == Side::Responder && shelf.access(&self.peer) == Access::UploadOnly;
        may_upload || self.may_send(shelf, name)
    }

    /// Logbooks of the rest of the selection whose digests differ.
    pub(super) fn differing(&self, shelf: &impl Shelf, digests: &[(LogbookName, [u8; 8])], work: &mut Work) {
        let theirs: BTreeMap<&LogbookName, [u8; 8]> = digests.iter().map(|(name, digest)| (name, *digest)).collect();
        let ours = readable(shelf, &self.selection, self.reader()).filter(|name| !self.hello_names.contains(name));
        work.vectors.extend(ours.filter(|name| !theirs.contains_key(name)));
        let selected = theirs.into_iter().filter(|(name, _)| self.selection.covers(name));
        let differ = selected.filter(|(name, digest)| short(&shelf.vector_digest(name)) != *digest);
        work.vectors.extend(differ.map(|(name, _)| name.clone()));
    }

    /// A device that showed its enrolment only after the welcome is told vectors instead of digests.
    pub(super) fn late_digests(&mut self, shelf: &impl Shelf, work: &mut Work) {
        if let Some(digests) = self.digests_of_the_rest(shelf) {
            work.vectors.extend(digests.into_iter().map(|(name, _)| name));
        }
    }

    /// Entries the peer lacks, as far as that can be known.
    pub(super) fn control_for_peer(&mut self, shelf: &impl Shelf) -> Vec<SignedEntry> {
        let Some(heads) = self.peer_control_heads.as_ref() else { return Vec::new() };
        if self.side == Side::Initiator && injected(Bug::DecisionsFlowDown) {
            return Vec::new();
        }
        let control = shelf.control();
        let missing = control.missing_for(heads);
        if !missing.unknown_heads.is_empty() && self.side == Side::Responder {
            // The peer is beyond us (we were restored): it sends its entries first, ours follow in the next turn.
            return Vec::new();
        }
        let entries = missing.entries.iter().filter_map(|hash| control.entry(hash).cloned()).collect();
        let mut heads_then: BTreeSet<EntryHash> = missing.unknown_heads.into_iter().collect();
        heads_then.extend(heads_of(shelf));
        self.peer_control_heads = Some(heads_then.into_iter().collect());
        entries
    }

    pub(super) fn unknown_peer_heads(&self, shelf: &impl Shelf) -> bool {
        let heads = self.peer_control_heads.as_deref().unwrap_or_default();
        heads.iter().any(|head| !shelf.control().contains(head))
    }
}
