//! Own changes that no hub takes as they are sealed: packed again, never authored again (A6).
//!
//! A pack that a hub refuses for good, one whose ancestors can never be sent, and what follows either, leave our vector, so
//! that both sides agree on what is held. Their changes go into a new incarnation of the log under the same hashes; a peer
//! that has one of them already sees a copy. A change that is refused alone goes back to its author.
//!
//! # Flow
//!
//! ```text
//! refusal, or a limit of the control log ─> fact (durable) ─> out of the vector, `due` ─> seal: new incarnation, `settled`
//!                                                                                     └> `given up`: out of the record
//! ```
//!
//! # Invariants
//!
//! 1. What is due is shown as if it were only saved: nothing a person saved is ever out of sight.
//! 2. It ends: a change is sealed together with others at most twice, then alone, then it is given up; a change beyond a
//!    limit of its log is sealed at most [`LIMITED_TRIES_MAX`] times more (`refused_change_goes_back_and_the_rest_arrives`).
//! 3. All of it is said by frames, so a crash at any moment leaves the same work to do.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::{ChangeHash, DocId, LogId, LogbookId, LogbookName, PackHash};
use qianmo_protocol::pack::Entry;
use qianmo_protocol::session::message::{Refuse, RefuseCode};
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use super::status::Delivery;
use super::{Payload, Replica, ReplicaError, Role};
use crate::frames::{LocalFrame, MetaFrame};
use crate::overlay::decode;
use crate::pack_log::{FrameKind, FramePointer};
use crate::rows::{self, ChangePlace, ChangeRow, DueRow, LocalRow, NamedPack, PackRow};

/// Key of the fact that no hub takes a pack, with the pack behind it.
const REFUSED_KEY: &[u8] = b"refused ";
/// Key of the fact that a due pack's changes are in other packs, or given up.
const SETTLED_KEY: &[u8] = b"settled ";
/// Key of the fact that a change went back to its author, with the change behind it.
const GIVEN_UP_KEY: &[u8] = b"given up ";

/// Refusals after which a change is sealed alone.
const REFUSALS_TOGETHER_MAX: usize = 2;
/// Refusals after which a change that was sealed alone is given up, whatever the hub said.
const REFUSALS_MAX: usize = 3;
/// How often changes beyond a limit of their log are sealed anew; then they stay held.
const LIMITED_TRIES_MAX: usize = 3;
/// Codes of refusals as a person is shown them: this and the number on the wire, beyond those of gate and carrier.
const CODE_REFUSED: u16 = 600;

/// A fact about a pack or a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) logbook: LogbookName,
    pub(super) doc: DocId,
    pub(super) code: u8,
}

impl Wire for Fact {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        writer.raw(&self.doc.0);
        writer.u8(self.code);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            logbook: reader.logbook("logbook")?,
            doc: DocId(reader.array("document")?),
            code: reader.u8("code")?,
        })
    }
}

/// A change of this device that no hub takes. It is in no record any more; its author gets its values back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Its logbook.
    pub logbook: LogbookName,
    /// Its document.
    pub doc: DocId,
    /// The change.
    pub change: RawChange,
    /// Why, as [`Delivery::Held`] says it.
    pub code: u16,
}

/// What of a logbook is to be packed again.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// The packs that are settled by it.
    pub(super) packs: Vec<PackHash>,
    /// Their changes that are in no other pack, in the order in which they were sealed.
    pub(super) changes: Vec<(Entry, Company)>,
}

/// Whether a change may share a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Company {
    /// With others.
    Together,
    /// Alone, so that the one that is refused is known.
    Alone,
}

/// How often a change was turned away.
#[derive(Debug, Clone, Copy, Default)]
struct Tries {
    refused: usize,
    limited: usize,
}

impl Replica {
    /// A hub did not take a pack. If it never will, what it carries is packed again with the next [`Replica::seal`]. Not
    /// durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn note_refusal(&mut self, refuse: &Refuse) -> Result<(), ReplicaError> {
        if self.identity.role != Role::Tablet {
            return Ok(());
        }
        for name in self.books.keys().cloned().collect::<Vec<_>>() {
            let id = name.id(&self.org);
            for (key, value) in self.index.scan_all(&rows::packs_like(&id, &refuse.pack8))? {
                let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
                let row: PackRow = decode(&key, &value)?;
                if let Some(first) = self.never_taken(&id, &pack, &row, refuse.code)? {
                    let fact = Fact { logbook: name.clone(), doc: DocId([0; 16]), code: refuse.code.number() };
                    self.put_meta(&[REFUSED_KEY, &first.0].concat(), &fact.encode())?;
                }
            }
        }
        Ok(())
    }

    /// The first pack of a log that a hub can never take, when it refused this one; `None` when another try helps.
    fn never_taken(
        &self,
        id: &LogbookId,
        pack: &PackHash,
        row: &PackRow,
        code: RefuseCode,
    ) -> Result<Option<PackHash>, ReplicaError> {
        let is_own = self.index.has(&rows::own_pack(pack))?;
        let is_there = is_own && self.pack_delivery(pack)? >= Delivery::Acknowledged;
        if self.refused.contains(pack) || is_there {
            return Ok(None);
        }
        if code.is_permanent() {
            return Ok(Some(*pack));
        }
        if code != RefuseCode::MissingPrev || !is_own {
            return Ok(None);
        }
        // Sending its ancestors helps, unless one of them is not here any more.
        let (mut first, mut prev) = (*pack, row.prev);
        while prev != PackHash::NONE {
            match self.index.get::<PackRow>(&rows::pack(id, &prev))? {
                Some(before) => (first, prev) = (prev, before.prev),
                None => return Ok(Some(first)),
            }
        }
        Ok(None)
    }

    /// What a stored fact means for the index.
    pub(super) fn absorb_fact(&mut self, pointer: &FramePointer, frame: &MetaFrame) -> Result<(), ReplicaError> {
        let key = frame.key.as_slice();
        let named = |prefix| key.strip_prefix(prefix);
        if let Some(logbook) = named(super::evict::EVICTED_KEY) {
            return self.absorb_evicted(logbook);
        }
        let settled = named(SETTLED_KEY).and_then(PackHash::from_slice);
        if let Some(pack) = settled {
            self.index.delete(rows::due(&pack));
            return Ok(());
        }
        let refused = named(REFUSED_KEY).and_then(PackHash::from_slice);
        let given_up = named(GIVEN_UP_KEY).and_then(ChangeHash::from_slice);
        let passed = named(super::overruled::PASSED_KEY).and_then(PackHash::from_slice);
        if refused.is_none() && given_up.is_none() && passed.is_none() {
            return Ok(());
        }
        let fact = Fact::decode(&frame.value).map_err(|error| self.frame_error(pointer.commit, error))?;
        if let Some(pack) = refused {
            self.absorb_refused(pointer.commit.0, &pack, &fact)?;
        }
        if let Some(pack) = passed {
            self.absorb_passed(pointer.commit.0, &pack, &fact)?;
        }
        if let Some(change) = given_up {
            self.absorb_given_up(pointer.commit.0, change, &fact)?;
        }
        Ok(())
    }

    /// Writes a fact down. Not durable before [`Replica::sync`].
    pub(super) fn put_fact(&mut self, key: &[u8], fact: &Fact) -> Result<(), ReplicaError> {
        self.put_meta(key, &fact.encode())
    }

    pub(super) fn mark_refused(&mut self, pack: &PackHash, code: u8) {
        self.refused.insert(*pack);
        self.index.put_raw(rows::refused(pack), vec![code]);
    }

    fn absorb_refused(&mut self, commit: u64, first: &PackHash, fact: &Fact) -> Result<(), ReplicaError> {
        let id = fact.logbook.id(&self.org);
        self.mark_refused(first, fact.code);
        let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, first))? else { return Ok(()) };
        let mut out = BTreeMap::from([(*first, row.clone())]);
        let mut later = BTreeMap::new();
        for (key, value) in self.index.scan_all(&rows::packs_of(&id))? {
            let other: PackRow = decode(&key, &value)?;
            let Some(hash) = rows::tail::<32>(&key).map(PackHash) else { continue };
            if other.log == row.log && other.seq > row.seq {
                later.insert((other.seq, hash), other);
            }
        }
        // Ascending by place, so that a pack is met after the one before it.
        for ((_, hash), other) in later {
            if out.contains_key(&other.prev) {
                self.mark_refused(&hash, 0);
                out.insert(hash, other);
            }
        }
        self.end_incarnation(&fact.logbook, &row.log)?;
        self.recompute_tips_of(&fact.logbook)?;
        let mut docs = BTreeSet::new();
        for (hash, row) in &out {
            self.queue_again(&fact.logbook, hash, row.pointer.commit.0)?;
            docs.extend(self.entries_of(&fact.logbook, hash)?.iter().map(Entry::doc));
        }
        docs.iter().try_for_each(|doc| self.refresh_known(doc, commit))
    }

    /// An own pack that waited for a receipt gets none: its changes are packed again.
    fn queue_again(&mut self, name: &LogbookName, pack: &PackHash, commit: u64) -> Result<(), ReplicaError> {
        if self.index.has(&rows::unreceipted(commit))? && self.index.has(&rows::own_pack(pack))? {
            self.index.delete(rows::unreceipted(commit));
            self.index.put(rows::due(pack), &DueRow { logbook: name.clone(), commit });
        }
        Ok(())
    }

    /// An own pack that counts, since it came from another copy of this store or is beyond no limit any more, waits for a
    /// receipt: only that says that the hub has it. Where none is here, the hub is asked for one.
    pub(super) fn await_receipt(&mut self, name: &LogbookName, pack: &PackHash) -> Result<(), ReplicaError> {
        let is_own = self.identity.role == Role::Tablet && self.index.has(&rows::own_pack(pack))?;
        if !is_own || self.pack_delivery(pack)? != Delivery::Waiting {
            return Ok(());
        }
        let Some(row) = self.index.get::<PackRow>(&rows::pack(&name.id(&self.org), pack))? else { return Ok(()) };
        if !self.is_excluded(name, &row.log, pack)? {
            self.index.delete(rows::due(pack));
            let named = NamedPack { logbook: name.clone(), pack: *pack };
            self.index.put(rows::unreceipted(row.pointer.commit.0), &named);
        }
        Ok(())
    }

    /// No further pack goes into this log, if it is our own present one.
    pub(super) fn end_incarnation(&mut self, name: &LogbookName, log: &LogId) -> Result<(), ReplicaError> {
        let key = rows::meta(&super::packs::incarnation_key(name));
        let ours = [&[0], log.incarnation.0.as_slice()].concat();
        if log.device == self.device && self.index.get_raw(&key)? == Some(ours) {
            self.index.delete(key);
        }
        Ok(())
    }

    /// The control log limits a log: what of our own lies beyond, and no hub has, is packed again (A12).
    pub(super) fn queue_limited(&mut self, logbook: &LogbookId, log: &LogId) -> Result<(), ReplicaError> {
        if log.device != self.device || self.identity.role != Role::Tablet {
            return Ok(());
        }
        for (key, value) in self.index.scan_all(rows::UNRECEIPTED)? {
            let named: NamedPack = decode(&key, &value)?;
            let id = named.logbook.id(&self.org);
            let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, &named.pack))? else { continue };
            if id == *logbook && row.log == *log && self.is_excluded(&named.logbook, log, &named.pack)? {
                self.queue_again(&named.logbook, &named.pack, row.pointer.commit.0)?;
            }
        }
        let name = self.books.keys().find(|name| name.id(&self.org) == *logbook).cloned();
        name.map_or(Ok(()), |name| self.end_incarnation(&name, log))
    }

    fn absorb_given_up(&mut self, commit: u64, change: ChangeHash, fact: &Fact) -> Result<(), ReplicaError> {
        self.given_up.insert(change);
        self.index.put_raw(rows::given_up(&change), fact.doc.0.to_vec());
        for (key, value) in self.index.scan_all(rows::LOCALS)? {
            let row: LocalRow = decode(&key, &value)?;
            if !row.docs.contains(&fact.doc) {
                continue;
            }
            let read = self.log.read(&row.pointer)?;
            let frame = row.pointer.commit.0;
            let local =
                LocalFrame::decode(&read.payload).map_err(|source| ReplicaError::Frame { commit: frame, source })?;
            if local.entries.iter().all(|entry| self.given_up.contains(&entry.hash())) {
                self.index.delete(key);
                let book = self.book(&row.logbook);
                book.unsealed = book.unsealed.saturating_sub(1);
            }
        }
        self.refresh_known(&fact.doc, commit)
    }

    /// Packs whose changes wait to be packed again.
    pub(super) fn due_count(&self) -> Result<usize, ReplicaError> {
        Ok(self.index.scan_all(rows::DUE)?.len())
    }

    /// Why a pack of ours is in no vector, as a person is told it.
    pub(super) fn refusal_code(&self, pack: &PackHash) -> Option<u16> {
        let value = self.index.get_raw(&rows::refused(pack)).ok().flatten()?;
        value.first().filter(|code| **code != 0).map(|code| CODE_REFUSED + u16::from(*code))
    }

    /// Decides about everything that is due, and gives up what is refused alone.
    pub(super) fn settle_due(&mut self) -> Result<BTreeMap<LogbookName, Again>, ReplicaError> {
        let mut due: BTreeMap<(LogbookName, u64), PackHash> = BTreeMap::new();
        for (key, value) in self.index.scan_all(rows::DUE)? {
            let row: DueRow = decode(&key, &value)?;
            due.extend(rows::tail::<32>(&key).map(|pack| ((row.logbook, row.commit), PackHash(pack))));
        }
        for ((name, _), pack) in &due {
            self.give_up_alone(name, pack)?;
        }
        let mut again: BTreeMap<LogbookName, Again> = BTreeMap::new();
        let mut taken = BTreeSet::new();
        for ((name, _), pack) in due {
            let is_over_limit = self.refused_with(&pack)? == Some(RefuseCode::OverLimit);
            let entries = self.entries_of(&name, &pack)?;
            let of_logbook = again.entry(name.clone()).or_default();
            of_logbook.packs.push(pack);
            for entry in entries.iter().filter(|entry| entry.change().is_some()) {
                let hash = entry.hash();
                let is_unsent = self.is_unsent(&name, &hash)?;
                let tries = self.tries(&name, &hash)?;
                let is_wanted = is_unsent && tries.limited < LIMITED_TRIES_MAX && !self.given_up.contains(&hash);
                if is_wanted && taken.insert(hash) {
                    let is_alone = is_over_limit || tries.refused >= REFUSALS_TOGETHER_MAX;
                    let company = if is_alone { Company::Alone } else { Company::Together };
                    of_logbook.changes.push((entry.clone(), company));
                }
            }
        }
        Ok(again)
    }

    /// The code a hub refused a pack with for good; `None` for one that only follows such a pack.
    fn refused_with(&self, pack: &PackHash) -> Result<Option<RefuseCode>, ReplicaError> {
        let value = self.index.get_raw(&rows::refused(pack))?;
        let code = value.and_then(|value| RefuseCode::from_number(*value.first()?));
        Ok(code.filter(|code| code.is_permanent()))
    }

    /// Whether a change of ours is due, and in no pack of ours that a hub may take. What others carry does not count: a thief
    /// may have copied it, and the receipt must be ours.
    fn is_unsent(&self, name: &LogbookName, change: &ChangeHash) -> Result<bool, ReplicaError> {
        let mut is_due = false;
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            if !self.index.has(&rows::own_pack(&pack))? {
                continue;
            }
            if !self.is_pack_excluded(Some(name), &pack)? {
                return Ok(false);
            }
            is_due |= self.index.has(&rows::due(&pack))?;
        }
        Ok(is_due)
    }

    fn tries(&self, name: &LogbookName, change: &ChangeHash) -> Result<Tries, ReplicaError> {
        let mut tries = Tries::default();
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            if !self.index.has(&rows::own_pack(&pack))? {
                continue;
            }
            tries.refused += usize::from(self.refused_with(&pack)?.is_some());
            let is_limited = !self.refused.contains(&pack) && self.is_pack_excluded(Some(name), &pack)?;
            tries.limited += usize::from(is_limited);
        }
        Ok(tries)
    }

    /// A change that was refused though nothing else was in its pack goes back to its author, with what builds on it.
    fn give_up_alone(&mut self, name: &LogbookName, pack: &PackHash) -> Result<(), ReplicaError> {
        let Some(code) = self.refused_with(pack)? else { return Ok(()) };
        let entries = self.entries_of(name, pack)?;
        let [entry] = entries.as_slice() else { return Ok(()) };
        let is_tried = self.tries(name, &entry.hash())?.refused >= REFUSALS_MAX;
        if entry.change().is_none() || !(is_tried || code == RefuseCode::OverLimit) {
            return Ok(());
        }
        for (doc, hash) in self.unsent_with(name, &entry.doc(), entry)? {
            let fact = Fact { logbook: name.clone(), doc, code: code.number() };
            let frame = MetaFrame { key: [GIVEN_UP_KEY, &hash.0].concat(), value: fact.encode() };
            self.append_absorbed(FrameKind::Meta, &frame.encode(), Payload::Meta(frame))?;
        }
        Ok(())
    }

    /// A change and those that no hub has and that are nothing without it: its descendants; for a record's first change
    /// also the reviews of the record.
    fn unsent_with(
        &self,
        name: &LogbookName,
        doc: &DocId,
        entry: &Entry,
    ) -> Result<BTreeSet<(DocId, ChangeHash)>, ReplicaError> {
        let mut with = BTreeSet::from([(*doc, entry.hash())]);
        let unsent = self.unsent_changes(name, doc)?;
        loop {
            let more: Vec<ChangeHash> = unsent
                .iter()
                .filter(|(hash, row)| {
                    !with.contains(&(*doc, **hash)) && row.deps.iter().any(|dep| with.contains(&(*doc, *dep)))
                })
                .map(|(hash, _)| *hash)
                .collect();
            if more.is_empty() {
                break;
            }
            with.extend(more.into_iter().map(|hash| (*doc, hash)));
        }
        if entry.is_root() {
            for (key, _) in self.index.scan_all(&rows::reviews_of(doc))? {
                let Some(review) = rows::tail::<16>(&key).map(DocId) else { continue };
                with.extend(self.unsent_changes(name, &review)?.into_keys().map(|hash| (review, hash)));
            }
        }
        Ok(with)
    }

    /// Changes of a document that were saved here and are in no pack that a hub takes.
    fn unsent_changes(&self, name: &LogbookName, doc: &DocId) -> Result<BTreeMap<ChangeHash, ChangeRow>, ReplicaError> {
        let mut unsent = BTreeMap::new();
        for (key, value) in self.index.scan_all(&rows::changes_of(doc))? {
            let Some(hash) = rows::tail::<32>(&key).map(ChangeHash) else { continue };
            let row: ChangeRow = decode(&key, &value)?;
            let is_unsent = match row.place {
                ChangePlace::Local { .. } => true,
                ChangePlace::Pack { .. } => self.is_unsent(name, &hash)?,
            };
            if is_unsent {
                unsent.insert(hash, row);
            }
        }
        Ok(unsent)
    }

    /// What was due is in other packs now, or given up. Not durable before [`Replica::sync`].
    pub(super) fn settled(&mut self, packs: &[PackHash]) -> Result<(), ReplicaError> {
        packs.iter().try_for_each(|pack| self.put_meta(&[SETTLED_KEY, &pack.0].concat(), &[]))
    }

    /// Changes of this device that no hub takes, by document. They are in no record; their values belong to their author.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn given_up(&self) -> Result<Vec<GivenUp>, ReplicaError> {
        let mut all = Vec::new();
        for hash in &self.given_up {
            let Some(fact) = self.given_up_fact(hash)? else { continue };
            // Erased by now, perhaps.
            let Some(change) = self.raw_change(&fact.doc, hash)? else { continue };
            let code = CODE_REFUSED + u16::from(fact.code);
            all.push(GivenUp { logbook: fact.logbook, doc: fact.doc, change, code });
        }
        all.sort_by_key(|given_up| (given_up.doc, given_up.change.hash()));
        Ok(all)
    }

    fn given_up_fact(&self, change: &ChangeHash) -> Result<Option<Fact>, ReplicaError> {
        let value = self.meta(&[GIVEN_UP_KEY, &change.0].concat())?;
        Ok(value.and_then(|value| Fact::decode(&value).ok()))
    }

    /// Why a change went back to its author, if it did, as a person is told it.
    pub(super) fn given_up_code(&self, change: &ChangeHash) -> Result<Option<u16>, ReplicaError> {
        if !self.given_up.contains(change) {
            return Ok(None);
        }
        Ok(self.given_up_fact(change)?.map(|fact| CODE_REFUSED + u16::from(fact.code)))
    }
}
