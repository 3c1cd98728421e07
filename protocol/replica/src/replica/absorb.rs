//! Frames into rows: the only place where the index changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::change::{ObjectId, OpAction, RawChange, Scalar};
use qianmo_protocol::control::{Decision, PurgeTarget, SignedEntry};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{ChangeHash, DocId, LogId, LogbookId, LogbookName, PackHash};
use qianmo_protocol::pack::{Entry, PackError};
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::record::Document;
use qianmo_protocol::review::ReviewEvent;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::Tip;
use qianmo_protocol::wire::Wire;

use super::shelf::BEACON_KEY;
use super::{Notice, Payload, Replica, ReplicaError, Role};
use crate::frames::{DraftFrame, Finding, LocalFrame, MetaFrame, PackFrame, PackOrigin, VerdictFrame};
use crate::overlay::decode;
use crate::pack_log::FramePointer;
use crate::rows::{
    self, ChangePlace, ChangeRow, DocKind, DocRow, Judged, LocalRow, NamedPack, PackRow, PointerRow, Unreadable,
};

/// Where a record whose first change cannot be read stands among records by time: nobody can tell when it was made.
pub(super) const UNREADABLE_SINCE: UnixMillis = UnixMillis(0);
/// Largest meta value that is kept in the index itself.
const META_INLINE_BYTES: usize = 3_000;

impl Replica {
    pub(super) fn absorb(&mut self, pointer: &FramePointer, payload: Payload) -> Result<(), ReplicaError> {
        match payload {
            Payload::Draft(frame) => self.absorb_draft(pointer, &frame),
            Payload::Local(frame) => self.absorb_local(pointer, &frame)?,
            Payload::Pack(frame, entries) => self.absorb_pack(pointer, *frame, entries)?,
            Payload::Control(entry) => self.absorb_control(pointer, *entry)?,
            Payload::Verdict(frame) => self.absorb_verdict(pointer, &frame)?,
            Payload::Receipt(receipt) => self.absorb_receipt(pointer, &receipt)?,
            Payload::Meta(frame) => self.absorb_meta(pointer, &frame)?,
            Payload::Other => {}
        }
        Ok(())
    }

    fn absorb_draft(&mut self, pointer: &FramePointer, frame: &DraftFrame) {
        let key = rows::draft(&frame.id);
        match &frame.content {
            Some(_) => self.index.put(key, &PointerRow(*pointer)),
            None => self.index.delete(key),
        }
    }

    fn absorb_meta(&mut self, pointer: &FramePointer, frame: &MetaFrame) -> Result<(), ReplicaError> {
        let value = if frame.value.len() <= META_INLINE_BYTES {
            [&[0], frame.value.as_slice()].concat()
        } else {
            [&[1], PointerRow(*pointer).encode().as_slice()].concat()
        };
        self.index.put_raw(rows::meta(&frame.key), value);
        if frame.key == BEACON_KEY { self.recheck_receipts() } else { self.absorb_fact(pointer, frame) }
    }

    fn absorb_local(&mut self, pointer: &FramePointer, frame: &LocalFrame) -> Result<(), ReplicaError> {
        if let Some(draft) = &frame.draft {
            self.index.delete(rows::draft(draft));
        }
        let docs: BTreeSet<DocId> = frame.entries.iter().map(Entry::doc).collect();
        let row = LocalRow { pointer: *pointer, logbook: frame.logbook.clone(), docs: docs.iter().copied().collect() };
        self.index.put(rows::local(pointer.commit.0), &row);
        self.book(&frame.logbook).unsealed += 1;
        for (index, entry) in (0u16..).zip(&frame.entries) {
            let place = ChangePlace::Local { frame: *pointer, index };
            self.put_change(&frame.logbook, entry, place, rows::CONTENT_PASSED)?;
        }
        for doc in docs {
            self.refresh_document(&doc, &frame.logbook, pointer.commit.0)?;
        }
        Ok(())
    }

    fn absorb_pack(
        &mut self,
        pointer: &FramePointer,
        frame: PackFrame,
        entries: Option<Arc<Vec<Entry>>>,
    ) -> Result<(), ReplicaError> {
        let hash = frame.pack.hash(&self.org);
        let header = frame.pack.header.clone();
        let name = header.logbook.clone();
        let id = name.id(&self.org);
        let pack_key = rows::pack(&id, &hash);
        if self.index.has(&pack_key)? && !injected(Bug::PackStoredTwice) {
            return Ok(());
        }
        self.notice_forks(&name, &id, &header, &hash, &frame.origin)?;
        if let Some(entries) = entries {
            self.cache.put(hash, entries);
        }
        let judged = match &frame.origin {
            PackOrigin::Own { .. } => Judged::Yes,
            PackOrigin::Foreign => Judged::No,
        };
        if header.log.device == self.device {
            self.index.put(rows::own_pack(&hash), &NamedPack { logbook: name.clone(), pack: hash });
        }
        let row = PackRow {
            pointer: *pointer,
            log: header.log,
            seq: header.seq,
            prev: header.prev,
            control: header.control,
            judged,
        };
        self.index.put(pack_key, &row);
        if self.refused.contains(&header.prev) {
            self.mark_refused(&hash, 0);
        }
        self.index.put_raw(rows::node(&id, &header.log, header.seq, &hash), Vec::new());
        match frame.origin {
            PackOrigin::Own { supersedes } => {
                if self.identity.role == Role::Tablet {
                    let named = NamedPack { logbook: name.clone(), pack: hash };
                    self.index.put(rows::unreceipted(pointer.commit.0), &named);
                }
                for commit in supersedes {
                    let key = rows::local(commit);
                    if self.index.has(&key)? && !injected(Bug::OutboxNotEmptied) {
                        self.index.delete(key);
                        let book = self.book(&name);
                        book.unsealed = book.unsealed.saturating_sub(1);
                    }
                }
                self.show_pack(pointer, &name, &hash, &row, &[])?;
            }
            PackOrigin::Foreign => {
                self.await_receipt(&name, &hash)?;
                self.enqueue(NamedPack { logbook: name, pack: hash }, &row)?;
            }
        }
        Ok(())
    }

    /// A second pack at one place of a log is a fork; in our own log it says that this store was copied (R2–R5).
    fn notice_forks(
        &mut self,
        name: &LogbookName,
        id: &LogbookId,
        header: &qianmo_protocol::pack::PackHeader,
        hash: &PackHash,
        origin: &PackOrigin,
    ) -> Result<(), ReplicaError> {
        let others = self.index.scan(&rows::nodes_at(id, &header.log, header.seq), None, 1)?;
        if let Some(other) = others.first().and_then(|(key, _)| rows::tail::<32>(key)) {
            let device = header.log.device;
            self.notices.push(Notice::Forked { logbook: name.clone(), device, a: PackHash(other), b: *hash });
        }
        if *origin != PackOrigin::Foreign || header.log.device != self.device {
            return Ok(());
        }
        let incarnation_key = rows::meta(&super::packs::incarnation_key(name));
        let ours = [&[0], header.log.incarnation.0.as_slice()].concat();
        if self.index.get_raw(&incarnation_key)? == Some(ours) {
            self.index.delete(incarnation_key);
        } else if self.was_evicted(name)? {
            // What was let go of may come back.
            return Ok(());
        }
        // What this store wrote it holds, in whichever incarnation: so another copy of it wrote this.
        self.notices.push(Notice::Copied { logbook: name.clone(), pack: *hash, time: header.time });
        Ok(())
    }

    fn absorb_verdict(&mut self, pointer: &FramePointer, frame: &VerdictFrame) -> Result<(), ReplicaError> {
        let id = frame.logbook.id(&self.org);
        let key = rows::pack(&id, &frame.pack);
        let Some(mut row) = self.index.get::<PackRow>(&key)? else { return Ok(()) };
        if row.judged == Judged::Yes {
            return self.absorb_later_verdict(pointer, frame);
        }
        let was_parked = self.is_row_parked(&row);
        self.dequeue(&NamedPack { logbook: frame.logbook.clone(), pack: frame.pack }, &row)?;
        row.judged = Judged::Yes;
        self.index.put(key, &row);
        if was_parked {
            self.wake_after(&frame.pack)?;
        }
        self.show_pack(pointer, &frame.logbook, &frame.pack, &row, &frame.findings)
    }

    /// A judged pack becomes visible: its tip, its changes, its documents.
    fn show_pack(
        &mut self,
        pointer: &FramePointer,
        name: &LogbookName,
        hash: &PackHash,
        row: &PackRow,
        findings: &[Finding],
    ) -> Result<(), ReplicaError> {
        self.advance_tip(name, hash, row)?;
        self.visible.push((name.clone(), *hash));
        let findings: BTreeMap<u16, &Finding> = findings.iter().map(|finding| (finding.index, finding)).collect();
        let entries = self.entries_of(name, hash)?;
        let mut docs = BTreeSet::new();
        for (index, entry) in (0u16..).zip(entries.iter()) {
            if self.is_misplaced(entry, name)? {
                continue;
            }
            let (content, carrier) = findings.get(&index).map_or((0, 0), |finding| (finding.content, finding.carrier));
            self.put_change(name, entry, ChangePlace::Pack { pack: *hash, index }, content)?;
            self.index.put_raw(rows::carrier(&entry.hash(), hash), carrier.to_be_bytes().to_vec());
            docs.insert(entry.doc());
        }
        docs.extend(self.count_before_a_limit(name, hash, row)?);
        for doc in docs {
            self.refresh_document(&doc, name, pointer.commit.0)?;
        }
        Ok(())
    }

    /// Counts the packs before this one in a log that a limit names, and answers their documents. Until the pack that the
    /// limit lists was here, they were taken for beyond it (A12). At most as many packs as a limit lets stay.
    fn count_before_a_limit(
        &mut self,
        name: &LogbookName,
        hash: &PackHash,
        row: &PackRow,
    ) -> Result<BTreeSet<DocId>, ReplicaError> {
        let id = name.id(&self.org);
        let mut docs = BTreeSet::new();
        let is_limited = self.control.fold().log_limits(&id, &row.log).next().is_some();
        if !is_limited || self.is_excluded(name, &row.log, hash)? {
            return Ok(docs);
        }
        let mut prev = row.prev;
        while let Some(before) = self.index.get::<PackRow>(&rows::pack(&id, &prev))? {
            docs.extend(self.entries_of(name, &prev)?.iter().map(Entry::doc));
            self.await_receipt(name, &prev)?;
            prev = before.prev;
        }
        Ok(docs)
    }

    fn advance_tip(&mut self, name: &LogbookName, hash: &PackHash, row: &PackRow) -> Result<(), ReplicaError> {
        if self.is_excluded(name, &row.log, hash)? {
            return Ok(());
        }
        let tip = Tip { log: row.log, seq: row.seq, head: *hash };
        let before = row.seq.checked_sub(1).map(|seq| Tip { log: row.log, seq, head: row.prev });
        if let Some(before) = &before {
            self.index.delete(rows::tip(name, &before.log, before.seq, &before.head));
        }
        self.index.put_raw(rows::tip(name, &tip.log, tip.seq, &tip.head), Vec::new());
        let book = self.book(name);
        if let Some(before) = &before {
            book.tips.remove(before);
        }
        if injected(Bug::ForkHidesBranch) {
            book.tips.retain(|other| other.log != tip.log);
        }
        book.tips.insert(tip);
        book.tips_changed();
        let row = rows::LogbookRow { state: book.state };
        self.index.put(rows::logbook(name), &row);
        Ok(())
    }

    /// Whether an entry is of a document that lives in another logbook. Such an entry stands in its pack and nowhere else: a
    /// device that may write somewhere must not touch what lives elsewhere. A document's home is what its root names, and
    /// nothing changes it.
    pub(super) fn is_misplaced(&self, entry: &Entry, name: &LogbookName) -> Result<bool, ReplicaError> {
        let Some(change) = entry.change() else { return Ok(false) };
        if change.doc_id_if_root() == Some(entry.doc()) {
            return Ok(home_named(change).is_some_and(|home| home != name.id(&self.org)));
        }
        let row = self.index.get::<DocRow>(&rows::doc(&entry.doc()))?;
        Ok(row.is_some_and(|row| row.kind != DocKind::Unknown && row.logbook != *name))
    }

    fn put_change(
        &mut self,
        name: &LogbookName,
        entry: &Entry,
        place: ChangePlace,
        content: u16,
    ) -> Result<(), ReplicaError> {
        let Some(change) = entry.change() else { return Ok(()) };
        let (doc, hash) = (entry.doc(), entry.hash());
        let key = rows::change(&doc, &hash);
        let known = self.index.get::<ChangeRow>(&key)?;
        if let Some(known @ ChangeRow { place: ChangePlace::Pack { pack, .. }, .. }) = known
            // A copy that came in another logbook, before the root said where the document lives, is no place to read from.
            && self.index.has(&rows::pack(&name.id(&self.org), &pack))?
        {
            return self.accept_later((&doc, &hash), known, content);
        }
        let deps = change.head().deps.clone();
        self.index.put(key, &ChangeRow { place, deps, content, is_root: entry.is_root() });
        self.index.put_raw(rows::doc_of(&hash), doc.0.to_vec());
        self.note_content(&doc, &hash, content);
        Ok(())
    }

    fn absorb_receipt(&mut self, pointer: &FramePointer, signed: &SignedReceipt) -> Result<(), ReplicaError> {
        let receipt = signed.content();
        let present = self.newest_beacon();
        let row = rows::ReceiptRow { hub: receipt.hub, epoch: receipt.epoch, commit: receipt.commit };
        let counts = present.as_ref().is_none_or(|beacon| self.counts(&row, beacon));
        for pack in &receipt.packs {
            self.index.put(rows::signed_receipt(pack, pointer.commit.0), &PointerRow(*pointer));
            // A receipt of another epoch never takes the place of one that counts.
            let key = rows::receipt(pack);
            if counts || !self.index.has(&key)? {
                self.index.put(key, &row);
            }
        }
        for (key, value) in self.index.scan_all(rows::UNRECEIPTED)? {
            let waiting: NamedPack = decode(&key, &value)?;
            if receipt.packs.contains(&waiting.pack) {
                self.touch_documents_of(&waiting)?;
                if counts {
                    self.index.delete(key);
                }
            }
        }
        for (key, _) in self.index.scan_all(rows::DUE)? {
            let pack = rows::tail::<32>(&key).map(PackHash);
            if counts && pack.is_some_and(|pack| receipt.packs.contains(&pack)) {
                self.index.delete(key);
            }
        }
        Ok(())
    }

    fn touch_documents_of(&mut self, named: &NamedPack) -> Result<(), ReplicaError> {
        let entries = self.entries_of(&named.logbook, &named.pack)?;
        self.touched.extend(entries.iter().map(Entry::doc));
        Ok(())
    }

    fn absorb_control(&mut self, pointer: &FramePointer, signed: SignedEntry) -> Result<(), ReplicaError> {
        // Already in the control log unless the store is being opened: entries are admitted before they are appended, each
        // after those it needs.
        if self.control.insert(signed.clone()).is_err() {
            return Ok(());
        }
        self.index.put(rows::control(pointer.commit.0), &PointerRow(*pointer));
        self.control_news = true;
        self.wake(&signed.content().hash(&self.org))?;
        self.follow_decision(&signed, pointer.commit.0)
    }

    fn follow_decision(&mut self, signed: &SignedEntry, commit: u64) -> Result<(), ReplicaError> {
        match &signed.content().decision {
            Decision::Quarantine { .. } if injected(Bug::HoldNotFollowed) => Ok(()),
            Decision::Purge(_) if injected(Bug::ErasureNotFollowed) => Ok(()),
            Decision::Quarantine { scope, .. } => self.follow_scope(scope, commit),
            Decision::Purge(purge) => match purge.target {
                PurgeTarget::Document { doc, .. } | PurgeTarget::Hash { doc, .. } => self.refresh_known(&doc, commit),
            },
            Decision::Release { ends } => {
                let scope = self.control.entry(ends).map(|entry| entry.content().decision.clone());
                match scope {
                    Some(Decision::Quarantine { scope, .. }) => self.follow_scope(&scope, commit),
                    Some(_) | None => Ok(()),
                }
            }
            Decision::Hub(_)
            | Decision::EpochStart { .. }
            | Decision::Enrol(_)
            | Decision::Confirm { .. }
            | Decision::AdoptionComplete { .. }
            | Decision::Grant(_)
            | Decision::Cut { .. }
            | Decision::Revoke { .. }
            | Decision::MoreTips { .. }
            | Decision::Form(_)
            | Decision::MinimumVersion { .. }
            | Decision::EndMinimumVersion { .. }
            | Decision::ForkProof { .. }
            | Decision::Adopt { .. }
            | Decision::Unknown { .. } => Ok(()),
        }
    }

    /// Tips again from all packs that are judged and not excluded: after an exclusion, which is rare.
    pub(super) fn recompute_tips_of(&mut self, name: &LogbookName) -> Result<(), ReplicaError> {
        let id = name.id(&self.org);
        let old: Vec<Tip> = self.book(name).tips.iter().copied().collect();
        let mut nodes = BTreeMap::new();
        for (key, value) in self.index.scan_all(&rows::packs_of(&id))? {
            let (Some(hash), row) = (rows::tail::<32>(&key), decode::<PackRow>(&key, &value)?) else { continue };
            if row.judged == Judged::Yes && !self.is_excluded(name, &row.log, &PackHash(hash))? {
                nodes.insert(PackHash(hash), row);
            }
        }
        let inner: BTreeSet<PackHash> = nodes.values().map(|row| row.prev).collect();
        let new = nodes.iter().filter(|(hash, _)| !inner.contains(hash));
        let new: BTreeSet<Tip> = new.map(|(hash, row)| Tip { log: row.log, seq: row.seq, head: *hash }).collect();
        for tip in old.iter().filter(|tip| !new.contains(tip)) {
            self.index.delete(rows::tip(name, &tip.log, tip.seq, &tip.head));
        }
        for tip in &new {
            self.index.put_raw(rows::tip(name, &tip.log, tip.seq, &tip.head), Vec::new());
        }
        let book = self.book(name);
        book.tips = new;
        book.tips_changed();
        Ok(())
    }

    pub(super) fn refresh_known(&mut self, doc: &DocId, commit: u64) -> Result<(), ReplicaError> {
        match self.index.get::<DocRow>(&rows::doc(doc))? {
            Some(row) => self.refresh_document(doc, &row.logbook, commit),
            None => Ok(()),
        }
    }

    /// Computes a document's part of the state digest again, and what it is.
    pub(super) fn refresh_document(
        &mut self,
        doc: &DocId,
        name: &LogbookName,
        commit: u64,
    ) -> Result<(), ReplicaError> {
        let key = rows::doc(doc);
        let old = self.index.get::<DocRow>(&key)?;
        // Once the root is here, nothing moves the document.
        let settled = old.as_ref().filter(|row| row.kind != DocKind::Unknown).map(|row| row.logbook.clone());
        let name = &settled.unwrap_or_else(|| name.clone());
        if let Some(left) = old.as_ref().filter(|row| row.logbook != *name) {
            let (from, part) = (left.logbook.clone(), left.part);
            let book = self.book(&from);
            book.state = book.state.minus(part);
            let row = rows::LogbookRow { state: book.state };
            self.index.put(rows::logbook(&from), &row);
        }
        let old = match old {
            Some(row) if row.logbook == *name => Some(row),
            Some(_) | None => None,
        };
        if old.is_none() {
            // What stands in the document follows from its logbook, too: that must be known before.
            let (kind, part) = (DocKind::Unknown, StateDigest::EMPTY);
            self.index.put(key.clone(), &DocRow { logbook: name.clone(), kind, part, touched: commit });
        }
        let standing = self.standing_of(doc)?;
        let old_part = old.as_ref().map_or(StateDigest::EMPTY, |row| row.part);
        let known = old.map_or(DocKind::Unknown, |row| row.kind);
        let kind = if known == DocKind::Unknown { self.kind_of(doc, &standing)? } else { known };
        // Who holds the root knows better where the document is; whoever does not must not differ from them here. A root
        // that was erased is known to all.
        let is_homeless = kind == DocKind::Unknown && !self.is_root_erased(doc);
        let is_left_out = is_homeless || (injected(Bug::ReviewsNotInDigest) && matches!(kind, DocKind::Review { .. }));
        let part = if is_left_out { StateDigest::EMPTY } else { standing.digest_part(doc) };
        match &kind {
            DocKind::Record { created_at, .. } if standing.is_given_up => {
                self.index.delete(rows::record_by_time(*created_at, doc));
            }
            DocKind::Record { created_at, .. } => {
                self.index.put_raw(rows::record_by_time(*created_at, doc), Vec::new());
            }
            DocKind::Review { record } => {
                self.index.put_raw(rows::review(record, doc), Vec::new());
                self.touched.insert(*record);
            }
            DocKind::Unreadable(Unreadable::Record) => {
                self.index.put_raw(rows::record_by_time(UNREADABLE_SINCE, doc), Vec::new());
            }
            DocKind::Unreadable(Unreadable::Review) | DocKind::Unknown => {}
        }
        self.index.put(key, &DocRow { logbook: name.clone(), kind, part, touched: commit });
        let book = self.book(name);
        book.state = book.state.minus(old_part).plus(part);
        let row = rows::LogbookRow { state: book.state };
        self.index.put(rows::logbook(name), &row);
        self.touched.insert(*doc);
        self.waits.touch(doc);
        Ok(())
    }

    fn is_root_erased(&self, doc: &DocId) -> bool {
        self.control.fold().purges().any(|(_, purge)| match purge.target {
            PurgeTarget::Hash { change, doc: of } => of == *doc && DocId::from_root(&change) == *doc,
            PurgeTarget::Document { doc: of, .. } => of == *doc,
        })
    }

    fn kind_of(&self, doc: &DocId, standing: &Standing) -> Result<DocKind, ReplicaError> {
        let root = standing.changes.iter().find(|(_, change)| change.row.is_root).map(|(hash, _)| *hash);
        let Some(change) = root.map(|hash| self.raw_change(doc, &hash)).transpose()?.flatten() else {
            return Ok(DocKind::Unknown);
        };
        let change = change.unshared();
        if let Ok(event) = ReviewEvent::from_change(&change) {
            return Ok(DocKind::Review { record: event.record });
        }
        // It is here all the same: who can read it counts it, and so must who cannot (A2).
        let unreadable = DocKind::Unreadable(match value_at_root(&change, KIND_KEY) {
            Some(Scalar::Text(kind)) if kind == KIND_REVIEW => Unreadable::Review,
            _ => Unreadable::Record,
        });
        Ok(Document::from_changes([change]).map_or(unreadable, |document| {
            let root = document.root();
            DocKind::Record { form: root.form.clone(), author: root.author.clone(), created_at: root.created_at }
        }))
    }

    /// What the packs and the control log say about every change of a document.
    pub(super) fn standing_of(&self, doc: &DocId) -> Result<Standing, ReplicaError> {
        let fold = self.control.fold();
        let mut standing = Standing { is_purged: fold.is_document_purged(doc), ..Standing::default() };
        let home = self.index.get::<DocRow>(&rows::doc(doc))?.map(|row| row.logbook);
        for (key, value) in self.index.scan_all(&rows::changes_of(doc))? {
            let Some(hash) = rows::tail::<32>(&key).map(ChangeHash) else { continue };
            let row: ChangeRow = decode(&key, &value)?;
            if self.given_up.contains(&hash) {
                standing.is_given_up |= row.is_root;
                continue;
            }
            let carriage = match row.place {
                ChangePlace::Local { .. } => Carriage::Carried,
                ChangePlace::Pack { .. } => self.carriage(&hash, home.as_ref())?,
            };
            // A change that only excluded packs carry is in no vector, so it counts in no state.
            let is_in_vectors = !matches!(carriage, Carriage::Excluded | Carriage::Unsent);
            let is_packed = matches!(row.place, ChangePlace::Pack { .. }) && is_in_vectors;
            if fold.is_change_purged(&hash) {
                // Gone, whether its bytes are still here or not: what depends on it is held for good.
                continue;
            }
            let content_held = fold.content_quarantine(&hash).is_some();
            let is_admitted = !content_held && matches!(carriage, Carriage::Carried | Carriage::Unsent);
            standing.changes.insert(hash, StandingChange { row, is_packed, is_admitted });
        }
        standing.close();
        Ok(standing)
    }

    /// Whether at least one pack carries a change without being quarantined for it (A1), or at least is not taken out of
    /// vectors (A12).
    fn carriage(&self, change: &ChangeHash, home: Option<&LogbookName>) -> Result<Carriage, ReplicaError> {
        let fold = self.control.fold();
        let mut best = Carriage::Excluded;
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            if let Some(home) = home
                && !self.index.has(&rows::pack(&home.id(&self.org), &pack))?
            {
                // It came in another logbook before the root said where the document lives.
                continue;
            }
            if self.is_pack_excluded(home, &pack)? {
                if best == Carriage::Excluded && self.index.has(&rows::due(&pack))? {
                    best = Carriage::Unsent;
                }
                continue;
            }
            if fold.carrier_quarantine(change, &pack).is_none() {
                return Ok(Carriage::Carried);
            }
            best = Carriage::Held;
        }
        Ok(best)
    }

    pub(super) fn is_pack_excluded(&self, home: Option<&LogbookName>, pack: &PackHash) -> Result<bool, ReplicaError> {
        if self.refused.contains(pack) {
            return Ok(true);
        }
        let fold = self.control.fold();
        if !fold.has_log_limits() {
            return Ok(fold.pack_quarantine(pack).is_some());
        }
        let Some(name) = home else { return Ok(fold.pack_quarantine(pack).is_some()) };
        match self.index.get::<PackRow>(&rows::pack(&name.id(&self.org), pack))? {
            Some(row) => self.is_excluded(name, &row.log, pack),
            None => Ok(false),
        }
    }

    /// Why the control log takes a pack out of vectors, if it does (A12).
    pub(super) fn exclusion_code(&self, pack: &PackHash) -> Result<Option<u16>, ReplicaError> {
        let fold = self.control.fold();
        if !fold.has_log_limits() {
            return Ok(fold.pack_quarantine(pack));
        }
        for name in self.books.keys() {
            let id = name.id(&self.org);
            if let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, pack))? {
                let is_at_or_before = |tip: &PackHash| self.is_at_or_before(&id, pack, tip);
                return Ok(fold.exclusion(&id, &row.log, pack, &is_at_or_before));
            }
        }
        Ok(fold.pack_quarantine(pack))
    }

    /// Whether the control log, or a hub's refusal for good, takes a pack out of vectors (A12, A6).
    pub(super) fn is_excluded(&self, name: &LogbookName, log: &LogId, hash: &PackHash) -> Result<bool, ReplicaError> {
        if self.refused.contains(hash) {
            return Ok(true);
        }
        let id = name.id(&self.org);
        let is_at_or_before = |tip: &PackHash| self.is_at_or_before(&id, hash, tip);
        Ok(self.control.fold().exclusion(&id, log, hash, &is_at_or_before).is_some())
    }

    /// A change's bytes, wherever they are.
    pub(super) fn raw_change(&self, doc: &DocId, hash: &ChangeHash) -> Result<Option<RawChange>, ReplicaError> {
        let Some(row) = self.index.get::<ChangeRow>(&rows::change(doc, hash))? else { return Ok(None) };
        let Some(doc_row) = self.index.get::<DocRow>(&rows::doc(doc))? else {
            return self.change_at(None, &row.place);
        };
        self.change_at(Some(&doc_row.logbook), &row.place)
    }

    pub(super) fn change_at(
        &self,
        name: Option<&LogbookName>,
        place: &ChangePlace,
    ) -> Result<Option<RawChange>, ReplicaError> {
        match place {
            ChangePlace::Local { frame, index } => {
                let read = self.log.read(frame)?;
                let local = LocalFrame::decode(&read.payload)
                    .map_err(|source| ReplicaError::Frame { commit: frame.commit.0, source })?;
                Ok(local.entries.get(usize::from(*index)).and_then(Entry::change).cloned())
            }
            ChangePlace::Pack { pack, index } => {
                let entries = match (self.cache.get(pack), name) {
                    (Some(entries), _) => entries,
                    (None, Some(name)) => self.read_entries(name, pack)?,
                    (None, None) => return Ok(None),
                };
                Ok(entries.get(usize::from(*index)).and_then(Entry::change).cloned())
            }
        }
    }

    /// The entries of a pack, from the cache or the log.
    pub(super) fn entries_of(&mut self, name: &LogbookName, pack: &PackHash) -> Result<Arc<Vec<Entry>>, ReplicaError> {
        if let Some(entries) = self.cache.get(pack) {
            return Ok(entries);
        }
        let entries = self.read_entries(name, pack)?;
        self.cache.put(*pack, Arc::clone(&entries));
        Ok(entries)
    }

    fn read_entries(&self, name: &LogbookName, pack: &PackHash) -> Result<Arc<Vec<Entry>>, ReplicaError> {
        let id = name.id(&self.org);
        let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, pack))? else { return Ok(Arc::default()) };
        let commit = row.pointer.commit.0;
        let frame = self.log.read(&row.pointer)?;
        let frame = PackFrame::decode(&frame.payload)
            .map_err(|error| ReplicaError::Frame { commit, source: PackError::from(error) })?;
        let entries = frame.pack.open().map_err(|source| ReplicaError::Frame { commit, source })?;
        Ok(Arc::new(entries))
    }
}

/// How well the packs of a change carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carriage {
    /// One does, or it is saved here and in no pack yet.
    Carried,
    /// All are quarantined for it.
    Held,
    /// The control log, or a refusal for good, takes all of them out of vectors.
    Excluded,
    /// As `Excluded`, but the change is our own and waits to be packed again: it is shown as if it were only saved.
    Unsent,
}

/// A change, and what the control log says about it.
#[derive(Debug, Clone)]
pub(super) struct StandingChange {
    pub(super) row: ChangeRow,
    pub(super) is_packed: bool,
    /// Passed, as far as packs and control log say; after `close`, with everything it depends on.
    pub(super) is_admitted: bool,
}

/// The changes of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct Standing {
    pub(super) changes: BTreeMap<ChangeHash, StandingChange>,
    pub(super) is_purged: bool,
    /// Its first change went back to its author: there is no such document.
    pub(super) is_given_up: bool,
}

impl Standing {
    /// A change that depends on one that is held or missing is held.
    fn close(&mut self) {
        loop {
            let held: Vec<ChangeHash> = self
                .changes
                .iter()
                .filter(|(_, change)| change.is_admitted)
                .filter(|(_, change)| {
                    let is_admitted = |dep| self.changes.get(dep).is_some_and(|dep| dep.is_admitted);
                    !change.row.deps.iter().all(is_admitted)
                })
                .map(|(hash, _)| *hash)
                .collect();
            if held.is_empty() {
                return;
            }
            for hash in held {
                if let Some(change) = self.changes.get_mut(&hash) {
                    change.is_admitted = false;
                }
            }
        }
    }

    /// Heads among the changes that `counts` lets through.
    pub(super) fn heads(&self, counts: impl Fn(&StandingChange) -> bool) -> Vec<ChangeHash> {
        let inner: BTreeSet<ChangeHash> =
            self.changes.values().filter(|change| counts(change)).flat_map(|change| change.row.deps.clone()).collect();
        let all = self.changes.iter().filter(|(_, change)| counts(change)).map(|(hash, _)| *hash);
        all.filter(|hash| !inner.contains(hash)).collect()
    }

    fn digest_part(&self, doc: &DocId) -> StateDigest {
        let held: Vec<ChangeHash> = self
            .changes
            .iter()
            .filter(|(_, change)| change.is_packed && !change.is_admitted)
            .map(|(hash, _)| *hash)
            .collect();
        let heads = self.heads(|change| change.is_packed && change.is_admitted);
        if self.is_purged || (heads.is_empty() && held.is_empty()) {
            return StateDigest::EMPTY;
        }
        StateDigest::of_document(doc, &heads, &held)
    }
}

/// The logbook that a root names. It is read on its own: it is asked for again and again, of every root that comes, and
/// what else a root says may be much, or more than this version can read.
fn home_named(change: &RawChange) -> Option<LogbookId> {
    match value_at_root(&change.unshared(), LOGBOOK_KEY) {
        Some(Scalar::Bytes(bytes)) => LogbookId::from_slice(&bytes),
        _ => None,
    }
}

/// The key under which every root names its kind, and what it is in a review event (`docs/wire.md`).
const KIND_KEY: &str = "k";
const KIND_REVIEW: &str = "review";
/// The key under which every root names its logbook.
const LOGBOOK_KEY: &str = "l";

/// A value in the root map of a first change, as far as its operations can be read.
fn value_at_root(change: &RawChange, name: &str) -> Option<Scalar> {
    let ops = change.ops().ok()?;
    ops.iter().find_map(|op| match &op.action {
        OpAction::Put(value) if op.object == ObjectId::Root && op.key == name => Some(value.clone()),
        OpAction::Put(_) | OpAction::MakeMap => None,
    })
}
