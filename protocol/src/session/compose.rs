//! Putting a turn together and sending it.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{LogbookState, Message, Turn, Vectors, Welcome};
use super::{Access, Effect, Outgoing, Session, Shelf, Toward};
use crate::control::SignedEntry;
use crate::ids::{DeviceId, EntryHash, LogbookName};
use crate::limits::{
    CONTROL_ENTRIES_PER_MESSAGE_MAX, CONTROL_PARENTS_MAX, HELLO_VECTORS_BYTES_MAX, LOGBOOKS_PER_MESSAGE_MAX,
    MESSAGE_BYTES_MAX, PACK_BYTES_PER_TURN_MAX, PACKS_PER_TURN_MAX, VECTORS_PER_MESSAGE_MAX,
};
use crate::pack::Pack;
use crate::receipt::SignedReceipt;
use crate::vector::{NamedVectors, Selection, Vector, WireVector, selection_digest};
use crate::wire::Wire;

/// States stated in one turn; the rest is compared in a later session.
const STATES_PER_TURN_MAX: usize = 256;
/// Most bytes of vectors in a `Vectors` message: the largest single vector fits, and beside it the rest of the message.
pub(super) const TURN_VECTORS_BYTES_MAX: usize = MESSAGE_BYTES_MAX - 24 * 1024;
/// Most bytes of vectors in a `Welcome`, which may carry digests and a selection as well.
pub(super) const WELCOME_VECTORS_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one tip in a vector.
const TIP_BYTES_MAX: usize = 29;
/// Most bytes of a logbook's name with a count.
const NAME_BYTES_MAX: usize = 24;

impl Session {
    pub(super) fn send_welcome(
        &mut self,
        shelf: &impl Shelf,
        outgoing: Outgoing,
        access: Access,
        waits_for_control: bool,
    ) {
        let is_full = access == Access::Full;
        let agreed = if is_full { shelf.narrowed(&self.peer, &self.selection) } else { None };
        if let Some(agreed) = &agreed {
            self.selection = agreed.clone();
        }
        let digests = if is_full { self.digests_of_the_rest(shelf) } else { None };
        let (turn, follow) = self.assemble(shelf, outgoing);
        self.told_heads = heads_of(shelf);
        if waits_for_control {
            // The peer does not know our heads either: with some older entries it need not send everything.
            let locator = shelf.control().locator().into_iter();
            let told: BTreeSet<EntryHash> =
                self.told_heads.iter().copied().chain(locator).take(CONTROL_PARENTS_MAX).collect();
            self.told_heads = told.into_iter().collect();
        }
        self.send(Message::Welcome(Box::new(Welcome {
            version: self.version,
            hub: shelf.hub(),
            beacon: if access == Access::Unknown { None } else { shelf.beacon() },
            control_heads: self.told_heads.clone(),
            agreed,
            digests,
            turn,
        })));
        self.tally.turns_sent += 1;
        follow.into_iter().for_each(|message| self.send(message));
    }

    pub(super) fn send_turn(&mut self, shelf: &impl Shelf, outgoing: Outgoing) {
        let (turn, follow) = self.assemble(shelf, outgoing);
        let heads = heads_of(shelf);
        let control_heads = if heads == self.told_heads { Vec::new() } else { heads.clone() };
        self.told_heads = heads;
        self.send(Message::Vectors(Vectors { control_heads, turn }));
        self.tally.turns_sent += 1;
        follow.into_iter().for_each(|message| self.send(message));
    }

    /// Puts a turn together: control first, then what was refused, asked and receipted, then packs.
    pub(super) fn assemble(&mut self, shelf: &impl Shelf, outgoing: Outgoing) -> (Turn, Vec<Message>) {
        let mut follow: Vec<Message> = split_control(outgoing.control).into_iter().map(Message::Control).collect();
        follow.extend(core::mem::take(&mut self.refused).into_iter().map(Message::Refuse));
        follow.extend(outgoing.asks.into_iter().map(|(name, locator)| Message::NeedAncestors(name, locator)));
        follow.extend(core::mem::take(&mut self.receipts).into_iter().map(Message::Receipt));
        self.tally.packs_sent += outgoing.packs.len();
        follow.extend(outgoing.packs.into_iter().map(Message::Pack));
        let more = !self.backlog.is_empty() || !self.to_state.is_empty();
        let turn = Turn { vectors: outgoing.vectors, states: self.states(shelf), more, follow: follow.len() };
        (turn, follow)
    }

    /// The fingerprints of what this session touched.
    pub(super) fn states(&self, shelf: &impl Shelf) -> Vec<LogbookState> {
        let touched = self.touched.iter().filter(|name| self.may_talk_about(shelf, name));
        touched
            .filter_map(|name| {
                let state = shelf.state_digest(name)?;
                Some(LogbookState { name: name.clone(), vector8: short(&shelf.vector_digest(name)), state })
            })
            .take(STATES_PER_TURN_MAX)
            .collect()
    }

    /// Equal vectors and control heads must mean equal states (I7).
    pub(super) fn compare_states(&mut self, shelf: &impl Shelf) {
        let states = core::mem::take(&mut self.peer_states);
        if self.peer_control_heads.as_ref() != Some(&heads_of(shelf)) {
            return;
        }
        for theirs in states {
            let same_vector = short(&shelf.vector_digest(&theirs.name)) == theirs.vector8;
            let differs = shelf.state_digest(&theirs.name).is_some_and(|ours| ours != theirs.state);
            if same_vector && differs {
                self.effects.push_back(Effect::StateDiffers(theirs.name));
            }
        }
    }

    /// Digests of what the hello's vectors did not cover, if the peer's digest over it is another.
    pub(super) fn digests_of_the_rest(&mut self, shelf: &impl Shelf) -> Option<Vec<(LogbookName, [u8; 8])>> {
        let theirs = self.peer_rest_digest.take()?;
        if rest_digest(shelf, &self.selection, &self.hello_names, Some(&self.peer)) == theirs {
            return None;
        }
        let held = readable(shelf, &self.selection, Some(&self.peer)).filter(|name| !self.hello_names.contains(name));
        let names: BTreeSet<LogbookName> = held.collect();
        // More logbooks than a message can name: the others' vectors are stated in the turns that follow.
        self.to_state.extend(names.iter().skip(LOGBOOKS_PER_MESSAGE_MAX).cloned());
        let named = names.into_iter().take(LOGBOOKS_PER_MESSAGE_MAX);
        Some(
            named
                .map(|name| {
                    let digest = short(&shelf.vector_digest(&name));
                    (name, digest)
                })
                .collect(),
        )
    }

    /// Vectors of the live logbooks, as many as fit into a hello.
    pub(super) fn live_vectors(&self, shelf: &impl Shelf, live: &[LogbookName]) -> NamedVectors {
        let mut vectors = BTreeMap::new();
        let mut bytes = 0usize;
        for name in live.iter().filter(|name| self.may_send(shelf, name)) {
            let vector = shelf.vector(name);
            let size = vector.encode().len() + NAME_BYTES_MAX;
            if bytes + size <= HELLO_VECTORS_BYTES_MAX && vectors.insert(name.clone(), vector).is_none() {
                bytes += size;
            }
        }
        vectors.into_iter().collect()
    }

    /// The vectors of these logbooks, and of those that waited, as many as fit into a turn; the rest waits for the next.
    pub(super) fn state_vectors(
        &mut self,
        shelf: &impl Shelf,
        names: BTreeSet<LogbookName>,
        bytes_max: usize,
    ) -> NamedVectors {
        self.to_state.extend(names);
        let mut vectors: Vec<(LogbookName, WireVector)> = Vec::new();
        let mut bytes = 0usize;
        while let Some(name) = self.to_state.first() {
            let vector = shelf.vector(name);
            bytes += NAME_BYTES_MAX + TIP_BYTES_MAX * vector.0.len();
            if bytes > bytes_max || vectors.len() >= VECTORS_PER_MESSAGE_MAX {
                break;
            }
            if let Some(name) = self.to_state.pop_first() {
                self.stated.insert(name.clone());
                vectors.push((name, vector));
            }
        }
        vectors
    }

    /// The next packs of the backlog that fit into a turn and may be read at this moment.
    pub(super) fn pick_packs(&mut self, shelf: &impl Shelf) -> Vec<Pack> {
        let mut packs = Vec::new();
        let mut bytes = 0usize;
        while packs.len() < PACKS_PER_TURN_MAX && bytes < PACK_BYTES_PER_TURN_MAX {
            let Some(((_, hash), name)) = self.backlog.pop_first() else { break };
            if self.sent.contains(&hash) || !self.may_send(shelf, &name) {
                continue;
            }
            let Some(pack) = shelf.pack(&name, &hash) else { continue };
            self.sent.insert(hash);
            bytes += pack.body.len();
            packs.push(pack);
        }
        packs
    }

    /// A hub that is sent what it once gave a receipt for has lost it: it is shown the receipt first, so that it does not
    /// judge again what it passed (A2). At most one for each pack of a turn.
    pub(super) fn receipts_for(&self, shelf: &impl Shelf, packs: &[Pack]) -> Vec<SignedReceipt> {
        if self.toward != Toward::Hub {
            return Vec::new();
        }
        let org = shelf.org();
        let mut receipts: Vec<SignedReceipt> = Vec::new();
        for receipt in packs.iter().flat_map(|pack| shelf.receipts(&pack.hash(&org))) {
            if receipts.len() < PACKS_PER_TURN_MAX && !receipts.contains(&receipt) {
                receipts.push(receipt);
            }
        }
        receipts
    }

    pub(super) fn send_packs(&mut self, packs: Vec<Pack>) {
        self.tally.packs_sent += packs.len();
        packs.into_iter().for_each(|pack| self.send(Message::Pack(pack)));
    }
}

pub(super) fn heads_of(shelf: &impl Shelf) -> Vec<EntryHash> {
    shelf.control().heads().iter().copied().take(CONTROL_PARENTS_MAX).collect()
}

/// The first eight bytes of a digest.
pub(super) fn short(digest: &[u8; 32]) -> [u8; 8] {
    let mut out = [0; 8];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    out
}

/// Logbooks held here that are selected and, for a peer, readable.
pub(super) fn readable<S: Shelf>(
    shelf: &S,
    selection: &Selection,
    peer: Option<&DeviceId>,
) -> impl Iterator<Item = LogbookName> {
    let names = shelf.logbooks().into_iter();
    names.filter(move |name| selection.covers(name) && peer.is_none_or(|peer| shelf.may_read(peer, name)))
}

/// One digest over the selected logbooks that are not named in the hello.
pub(super) fn rest_digest(
    shelf: &impl Shelf,
    selection: &Selection,
    named: &BTreeSet<LogbookName>,
    peer: Option<&DeviceId>,
) -> [u8; 32] {
    let org = shelf.org();
    let empty = Vector::default().digest();
    let rest = readable(shelf, selection, peer).filter(|name| !named.contains(name));
    let digests = rest.map(|name| (name.id(&org), shelf.vector_digest(&name)));
    selection_digest(&digests.filter(|(_, digest)| *digest != empty).collect())
}

/// Cuts control entries into messages that fit their limits.
pub(super) fn split_control(entries: Vec<SignedEntry>) -> Vec<Vec<SignedEntry>> {
    let mut messages: Vec<Vec<SignedEntry>> = Vec::new();
    let mut bytes = usize::MAX;
    for entry in entries {
        let size = entry.encode().len();
        let is_full = messages.last().is_none_or(|message| message.len() >= CONTROL_ENTRIES_PER_MESSAGE_MAX);
        if is_full || bytes.saturating_add(size) > MESSAGE_BYTES_MAX / 2 {
            messages.push(Vec::new());
            bytes = 0;
        }
        bytes = bytes.saturating_add(size);
        if let Some(message) = messages.last_mut() {
            message.push(entry);
        }
    }
    messages
}
