//! Packs in and out: taking a peer's, sealing our own.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand_core::RngCore;

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::{EntryHash, Incarnation, LogId, LogbookId, LogbookName, PackHash};
use qianmo_protocol::limits::{PACK_ENTRIES_MAX, PACK_RAW_BYTES_MAX};
use qianmo_protocol::pack::{Entry, Pack, PackError, Place, VerifiedPack, entry_bytes, seal};
use qianmo_protocol::session::StoreOutcome;
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::Tip;
use qianmo_protocol::wire::{Wire, Writer};

use super::repack::{Again, Company};
use super::{Payload, Replica, ReplicaError};
use crate::frames::{LocalFrame, PackFrame, PackOrigin};
use crate::overlay::decode;
use crate::pack_log::FrameKind;
use crate::rows::{self, LocalRow, PackRow};

/// Packs that were appended, to be answered after the next sync.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// What becomes of each pack once [`Replica::sync`] succeeds.
    pub outcomes: Vec<StoreOutcome>,
}

/// Packs of one batch that are appended already: their commit numbers and places.
type Coming = BTreeMap<PackHash, (u64, LogId, u32)>;

/// The meta key under which a logbook's incarnation is kept.
pub(super) fn incarnation_key(name: &LogbookName) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(b"incarnation ");
    writer.logbook(name);
    writer.finish()
}

impl Replica {
    /// Verifies a peer's packs and appends those that can be held. Not durable before [`Replica::sync`].
    ///
    /// A pack is held whenever the pack before it is held (R5), it is the next in the same log, and its signature and root
    /// are right, whatever it says and whoever brings it; the gate speaks later.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails; nothing of the batch may be acknowledged then.
    pub fn take_packs(&mut self, packs: Vec<Pack>) -> Result<Taken, ReplicaError> {
        let mut taken = Taken::default();
        let mut coming = Coming::new();
        for pack in packs {
            let hash = pack.hash(&self.org);
            let outcome = match self.take_pack(pack, &hash, &mut coming)? {
                Ok(commit) => StoreOutcome::Held { hash, commit },
                Err(code) => StoreOutcome::Refused { hash, code },
            };
            taken.outcomes.push(outcome);
        }
        Ok(taken)
    }

    fn take_pack(
        &mut self,
        pack: Pack,
        hash: &PackHash,
        coming: &mut Coming,
    ) -> Result<Result<u64, RefuseCode>, ReplicaError> {
        let id = pack.header.logbook.id(&self.org);
        if let Some((commit, ..)) = coming.get(hash) {
            return Ok(Ok(*commit));
        }
        if let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, hash))?
            && !injected(Bug::PackStoredTwice)
        {
            return Ok(Ok(row.pointer.commit.0));
        }
        if injected(Bug::DedupeByNumber)
            && !self.index.scan(&rows::nodes_at(&id, &pack.header.log, pack.header.seq), None, 1)?.is_empty()
        {
            return Ok(Ok(self.log.durable_commit().0));
        }
        if pack.header.prev != PackHash::NONE {
            let place = match coming.get(&pack.header.prev) {
                Some((_, log, seq)) => Some((*log, *seq)),
                None => self.index.get::<PackRow>(&rows::pack(&id, &pack.header.prev))?.map(|row| (row.log, row.seq)),
            };
            let Some((log, seq)) = place else { return Ok(Err(RefuseCode::MissingPrev)) };
            // Else a device could put itself behind another's pack, and take that log's tip out of everybody's vectors.
            if log != pack.header.log || seq.checked_add(1) != Some(pack.header.seq) {
                return Ok(Err(RefuseCode::BadBody));
            }
        }
        let Some(key) = self.control.fold().device(&pack.header.log.device).and_then(|device| device.key()).copied()
        else {
            return Ok(Err(RefuseCode::UnknownDevice));
        };
        if self.has_no_room_to_park(&pack.header)? {
            return Ok(Err(RefuseCode::Quota));
        }
        let verified = match pack.verify(&self.org, &key) {
            Ok(verified) => verified,
            Err(error) => return Ok(Err(refusal(&error))),
        };
        let fold = self.control.fold();
        let is_proven = |entry: &Entry| entry.change().is_some() || fold.is_stub_legal(&entry.doc(), &entry.hash());
        if !verified.entries().iter().all(is_proven) {
            return Ok(Err(RefuseCode::UnprovenStub));
        }
        let header = verified.header().clone();
        let commit = self.append_pack(verified, PackOrigin::Foreign)?;
        self.reserve_parking(&header, hash)?;
        coming.insert(*hash, (commit, header.log, header.seq));
        Ok(Ok(commit))
    }

    fn append_pack(&mut self, verified: VerifiedPack, origin: PackOrigin) -> Result<u64, ReplicaError> {
        let (pack, entries) = self.without_erased(verified)?.into_parts();
        let frame = PackFrame { origin, pack };
        let bytes = frame.encode();
        let payload = Payload::Pack(Box::new(frame), Some(Arc::new(entries)));
        Ok(self.append(FrameKind::Pack, &bytes, payload)?.commit.0)
    }

    /// Seals every saved change into packs, one or more for each logbook, and packs again what no hub took (A6). Not durable
    /// before [`Replica::sync`].
    ///
    /// `level` is Zstandard's. Call after [`Replica::sync`], so that all local frames are absorbed.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails or a change does not fit into a pack.
    pub fn seal(&mut self, now: UnixMillis, level: i32, rng: &mut dyn RngCore) -> Result<usize, ReplicaError> {
        let mut by_logbook: BTreeMap<LogbookName, (Again, Vec<(u64, LocalRow)>)> = BTreeMap::new();
        for (name, again) in self.settle_due()? {
            by_logbook.entry(name).or_default().0 = again;
        }
        for (key, value) in self.index.scan_all(rows::LOCALS)? {
            let row: LocalRow = decode(&key, &value)?;
            let commit = row.pointer.commit.0;
            by_logbook.entry(row.logbook.clone()).or_default().1.push((commit, row));
        }
        let mut sealed = 0;
        for (name, (again, locals)) in by_logbook {
            let settled = again.packs.clone();
            let groups = self.groups(again, &locals)?;
            sealed += groups.len();
            self.seal_groups(&name, groups, (now, level), rng)?;
            self.settled(&settled)?;
        }
        Ok(sealed)
    }

    /// What goes into each pack of a logbook: first what is packed again, in its old order, then what is new.
    fn groups(&self, again: Again, locals: &[(u64, LocalRow)]) -> Result<Vec<Group>, ReplicaError> {
        let mut groups = Groups::default();
        for (entry, company) in again.changes {
            groups.add(Vec::new(), vec![entry], company);
        }
        for (commit, row) in locals {
            let frame = self.log.read(&row.pointer)?;
            let local =
                LocalFrame::decode(&frame.payload).map_err(|source| ReplicaError::Frame { commit: *commit, source })?;
            let mut entries = local.entries;
            entries.retain(|entry| !self.given_up.contains(&entry.hash()));
            groups.add(vec![*commit], entries, Company::Together);
        }
        Ok(groups.finish())
    }

    fn seal_groups(
        &mut self,
        name: &LogbookName,
        groups: Vec<Group>,
        (now, level): (UnixMillis, i32),
        rng: &mut dyn RngCore,
    ) -> Result<(), ReplicaError> {
        if groups.is_empty() {
            return Ok(());
        }
        let incarnation = self.incarnation(name, rng)?;
        let mut after = self.own_tip(name, incarnation).map(|tip| (tip.seq, tip.head));
        for group in groups {
            after = Some(self.seal_group(name, incarnation, after, group, (now, level))?);
        }
        Ok(())
    }

    fn seal_group(
        &mut self,
        name: &LogbookName,
        incarnation: Incarnation,
        after: Option<(u32, PackHash)>,
        group: Group,
        (now, level): (UnixMillis, i32),
    ) -> Result<(u32, PackHash), ReplicaError> {
        let control = self.control.position().unwrap_or(EntryHash([0; 32]));
        let place = Place { logbook: name.clone(), incarnation, after, control, time: now };
        let pack = seal(&self.org, &self.identity.key, place, group.entries, level)?;
        let last = (pack.header().seq, pack.hash());
        self.append_pack(pack, PackOrigin::Own { supersedes: group.commits })?;
        Ok(last)
    }

    /// This store's incarnation in a logbook; a new one is written down before its first pack.
    fn incarnation(&mut self, name: &LogbookName, rng: &mut dyn RngCore) -> Result<Incarnation, ReplicaError> {
        let key = incarnation_key(name);
        if let Some(known) = self.meta(&key)?.and_then(|bytes| Incarnation::from_slice(&bytes)) {
            return Ok(known);
        }
        let mut fresh = [0; 8];
        rng.fill_bytes(&mut fresh);
        self.put_meta(&key, &fresh)?;
        Ok(Incarnation(fresh))
    }

    /// Begins a new incarnation in every logbook: a restored hub never goes on in a log it may have written further (R2).
    /// Not durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError::Append`].
    pub fn renew_incarnations(&mut self, rng: &mut dyn RngCore) -> Result<(), ReplicaError> {
        for name in self.books.keys().cloned().collect::<Vec<_>>() {
            let mut fresh = [0; 8];
            rng.fill_bytes(&mut fresh);
            self.put_meta(&incarnation_key(&name), &fresh)?;
        }
        Ok(())
    }

    fn own_tip(&self, name: &LogbookName, incarnation: Incarnation) -> Option<Tip> {
        let tips = self.books.get(name)?.tips.iter();
        tips.filter(|tip| tip.log.device == self.device && tip.log.incarnation == incarnation)
            .max_by_key(|tip| tip.seq)
            .copied()
    }

    /// A pack that is held, as it travels.
    pub(super) fn read_pack(&self, id: &LogbookId, hash: &PackHash) -> Result<Option<Pack>, ReplicaError> {
        let Some(row) = self.index.get::<PackRow>(&rows::pack(id, hash))? else { return Ok(None) };
        let frame = self.log.read(&row.pointer)?;
        let frame = PackFrame::decode(&frame.payload).map_err(|error| self.frame_error(row.pointer.commit, error))?;
        Ok(Some(frame.pack))
    }

    /// Own packs that no receipt of the present epoch covers, in commit order.
    ///
    /// # Errors
    /// [`ReplicaError::Row`].
    pub fn unreceipted(&self) -> Result<Vec<(LogbookName, PackHash)>, ReplicaError> {
        let mut packs = Vec::new();
        for (key, value) in self.index.scan_all(rows::UNRECEIPTED)? {
            let named: rows::NamedPack = decode(&key, &value)?;
            packs.push((named.logbook, named.pack));
        }
        Ok(packs)
    }
}

/// Changes that go into one pack together, with the local frames they come from.
#[derive(Debug, Default)]
struct Group {
    commits: Vec<u64>,
    entries: Vec<Entry>,
    bytes: usize,
}

/// The packs of a logbook as they are planned.
#[derive(Debug, Default)]
struct Groups {
    full: Vec<Group>,
    open: Group,
}

impl Groups {
    fn add(&mut self, commits: Vec<u64>, entries: Vec<Entry>, company: Company) {
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        let is_full = self.open.entries.len() + entries.len() > PACK_ENTRIES_MAX
            || self.open.bytes + bytes > PACK_RAW_BYTES_MAX
            || company == Company::Alone;
        if is_full {
            self.close();
        }
        self.open.commits.extend(commits);
        self.open.bytes += bytes;
        self.open.entries.extend(entries);
        if company == Company::Alone {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.entries.is_empty() {
            self.full.push(core::mem::take(&mut self.open));
        }
    }

    fn finish(mut self) -> Vec<Group> {
        self.close();
        self.full
    }
}

fn refusal(error: &PackError) -> RefuseCode {
    match error {
        PackError::Signature | PackError::Device { .. } => RefuseCode::BadSignature,
        PackError::Inflate { .. } => RefuseCode::OverLimit,
        PackError::Decode(_)
        | PackError::Change { .. }
        | PackError::RootFlag { .. }
        | PackError::Count { .. }
        | PackError::Root => RefuseCode::BadBody,
    }
}
