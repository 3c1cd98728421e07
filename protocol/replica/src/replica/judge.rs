//! The gate at work: what was stored is judged once, and the verdict is written down.
//!
//! Content is judged per change, the carrier per change and pack (A1). A hub publishes what fails; on a tablet its own
//! failing verdict is provisional: it hides the change here, and counts for nothing in the state digest.
//!
//! A change that waits for one it depends on is judged once more when that one comes or is released (`later`). What a
//! former epoch of a restored hub answered for is not overturned here (`former`).
//!
//! # Limits
//!
//! [`Replica::judge_some`] takes the number of changes after which it stops; a large one counts for many
//! ([`BYTES_OF_A_CHANGE`]).

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::change::{ActorId, RawChange};
use qianmo_protocol::control::{CarrierFacts, Written};
use qianmo_protocol::gate::{ChangeFacts, DocumentRoot, Gate, JudgeError, Place};
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, LogbookName, PackHash};
use qianmo_protocol::pack::Entry as PackEntry;
use qianmo_protocol::record::DocumentError;
use qianmo_protocol::review::{Provenance, ReviewKind};
use qianmo_protocol::wire::Wire;

use super::absorb::Standing;
use super::{Payload, Replica, ReplicaError, Role};
use crate::frames::{Finding, VerdictFrame};
use crate::pack_log::FrameKind;
use crate::rows::{self, CONTENT_PASSED, ChangeRow, Judged, NamedPack, PackRow};

mod former;
mod later;

pub(crate) use later::Waits;

/// Not a failure: the change depends on one that is held or missing, and is judged when that comes. Outside the codes of
/// content and carrier, which end at 511.
pub const CODE_WAITS: u16 = u16::MAX;
/// The pack is of another logbook than the document lives in.
pub const CODE_MISPLACED: u16 = 271;
/// Another change of the same actor has its number: the trace of a program that was copied while it ran. The first that the
/// hub judges counts; until then a tablet shows neither. A code of the content, beside those of the gate.
pub const CODE_TWIN: u16 = 35;
/// The pack's device does not own the actor (R6).
pub const CODE_NOT_OWNER: u16 = 270;

/// Bytes of a change of usual size. One that is so many times larger has as many times the operations, and takes as many
/// times as long to judge.
const BYTES_OF_A_CHANGE: usize = 512;

/// A change that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldChange {
    /// The pack's logbook.
    pub logbook: LogbookName,
    /// The pack.
    pub pack: PackHash,
    /// Its device.
    pub device: DeviceId,
    /// The document.
    pub doc: DocId,
    /// The change.
    pub change: ChangeHash,
    /// The failure's code.
    pub code: u16,
    /// Whether the content failed, or this pack as its carrier.
    pub part: HeldPart,
}

/// What of a change failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldPart {
    /// Its content: in every pack.
    Content,
    /// This pack's right to carry it.
    Carrier,
}

/// What one round of judging did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JudgeReport {
    /// Packs that are judged now, with their commit numbers.
    pub judged: Vec<(LogbookName, PackHash, u64)>,
    /// What did not pass.
    pub held: Vec<HeldChange>,
    /// Content that failed here and is not for this hub to hold: a former epoch's hub may have passed it, so that the
    /// administrator decides (A2).
    pub undecided: Vec<HeldChange>,
    /// Packs that still wait, for a control entry or for a pack that does.
    pub waiting: usize,
    /// Whether the budget was used up: call again.
    pub more: bool,
}

impl Replica {
    /// Judges every stored pack that can be judged, durably; on a tablet also every change that does not wait any more.
    ///
    /// A hub publishes what failed before it judges what waited for that: it calls [`Replica::judge_some`] again.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn judge(&mut self) -> Result<JudgeReport, ReplicaError> {
        let mut whole = self.judge_some(usize::MAX)?;
        while whole.more && self.identity.role == Role::Tablet {
            let next = self.judge_some(usize::MAX)?;
            whole.judged.extend(next.judged);
            whole.held.extend(next.held);
            whole.undecided.extend(next.undecided);
            (whole.waiting, whole.more) = (next.waiting, next.more);
        }
        Ok(whole)
    }

    /// Judges about this many changes, at least one pack: first what waited before, then packs. The report says whether
    /// there is more; what these packs made ready comes with the next call, when their failures are published.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn judge_some(&mut self, changes: usize) -> Result<JudgeReport, ReplicaError> {
        self.judge_first(&[], changes)
    }

    /// As [`Replica::judge_some`], but the packs with these commit numbers, in this order, before all others: so that who
    /// brought little does not wait for the end of what another brought before.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn judge_first(&mut self, first: &[u64], changes: usize) -> Result<JudgeReport, ReplicaError> {
        self.sync()?;
        let mut report = JudgeReport::default();
        let mut left = changes.max(1);
        self.judge_again(&mut left, &mut report)?;
        let mut first = first.iter();
        let mut at = 0;
        loop {
            let favoured = first.by_ref().find_map(|commit| self.queue.at(*commit));
            let named = match favoured {
                Some(named) => named,
                None => match self.queue.next_after(at) {
                    Some((commit, named)) => {
                        at = commit;
                        named
                    }
                    None => break,
                },
            };
            if left == 0 {
                report.more = true;
                break;
            }
            match self.judge_pack(&named, &mut report)? {
                Some((frame, commit, weight)) => {
                    left = left.saturating_sub(weight.max(1));
                    let bytes = frame.encode();
                    self.append_absorbed(FrameKind::Verdict, &bytes, Payload::Verdict(frame))?;
                    report.judged.push((named.logbook, named.pack, commit));
                    // The index takes rows in batches of bounded size, each with the frame it ends at.
                    if self.index.pending_rows() > super::BATCH_ROWS {
                        self.sync()?;
                    }
                }
                None => report.waiting += 1,
            }
        }
        report.waiting += self.parked_count();
        report.more |= self.waits.is_due();
        self.sync()?;
        Ok(report)
    }

    /// The verdict on one pack, the pack's commit and for how many changes it counts; `None` while it has to wait.
    fn judge_pack(
        &mut self,
        named: &NamedPack,
        report: &mut JudgeReport,
    ) -> Result<Option<(VerdictFrame, u64, usize)>, ReplicaError> {
        let id = named.logbook.id(&self.org);
        let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, &named.pack))? else { return Ok(None) };
        let prev_is_judged = row.prev == PackHash::NONE
            || self.index.get::<PackRow>(&rows::pack(&id, &row.prev))?.is_some_and(|prev| prev.judged == Judged::Yes);
        if !prev_is_judged || !self.control.contains(&row.control) {
            return Ok(None);
        }
        let entries = self.entries_of(&named.logbook, &named.pack)?;
        let bench = Bench { named, row: &row, place_id: id };
        let mut gates = BTreeMap::new();
        let mut findings = Vec::new();
        for (index, entry) in (0u16..).zip(entries.iter()) {
            let (content, carrier) = self.judge_entry(bench, &mut gates, entry)?;
            if content == CONTENT_PASSED && carrier == 0 {
                continue;
            }
            findings.push(Finding { index, content, carrier });
            self.report_failures(bench, entry, (content, carrier), report)?;
        }
        let verdict = VerdictFrame { logbook: named.logbook.clone(), pack: named.pack, findings };
        Ok(Some((verdict, row.pointer.commit.0, entries.iter().map(weight).sum())))
    }

    /// Says what of an entry failed, and whose word that is.
    fn report_failures(
        &self,
        bench: Bench<'_>,
        entry: &PackEntry,
        (content, carrier): (u16, u16),
        report: &mut JudgeReport,
    ) -> Result<(), ReplicaError> {
        let Bench { named, row, .. } = bench;
        let held = |code, part| HeldChange {
            logbook: named.logbook.clone(),
            pack: named.pack,
            device: row.log.device,
            doc: entry.doc(),
            change: entry.hash(),
            code,
            part,
        };
        if content != CONTENT_PASSED && content != CODE_WAITS {
            match self.whose_word(row, (&named.pack, &entry.hash()))? {
                Word::Ours => report.held.push(held(content, HeldPart::Content)),
                Word::Administrators => report.undecided.push(held(content, HeldPart::Content)),
                Word::Former => {}
            }
        }
        if carrier != 0 {
            report.held.push(held(carrier, HeldPart::Carrier));
        }
        Ok(())
    }

    /// The codes of content and carrier, 0 for a pass.
    fn judge_entry(
        &self,
        bench: Bench<'_>,
        gates: &mut BTreeMap<DocId, Gate>,
        entry: &PackEntry,
    ) -> Result<(u16, u16), ReplicaError> {
        let Some(change) = entry.change() else { return Ok((CONTENT_PASSED, 0)) };
        // Not a fault of the change: its author's own pack carries it in its place.
        if self.is_misplaced(entry, &bench.named.logbook)? {
            return Ok((CONTENT_PASSED, CODE_MISPLACED));
        }
        let (doc, hash) = (entry.doc(), entry.hash());
        let known = self.index.get::<ChangeRow>(&rows::change(&doc, &hash))?;
        let known_failure = known.map(|row| row.content).filter(|code| !matches!(*code, CONTENT_PASSED | CODE_WAITS));
        if let Some(code) = known_failure {
            return Ok((code, 0));
        }
        let place = Place { logbook: bench.place_id, doc };
        let gate = match gates.entry(doc) {
            Entry::Occupied(gate) => gate.into_mut(),
            Entry::Vacant(place_for_gate) => match self.gate_of(place, &bench.named.logbook)? {
                Some(gate) => place_for_gate.insert(gate),
                None => return Ok((CODE_WAITS, 0)),
            },
        };
        // The pack stays in memory for a while; what a change that fails was decoded to must not.
        let change = &change.unshared();
        let facts = match gate.judge(change) {
            Ok(admitted) => admitted.facts,
            Err(JudgeError::Content(failure)) => return Ok((failure.code(), 0)),
            Err(JudgeError::Waiting { .. } | JudgeError::Closure(_)) => return Ok((CODE_WAITS, 0)),
        };
        let carrier = self.judge_carrier(bench, change, &doc, &facts)?;
        let admitted = if carrier == 0 { gate.admit(change) } else { Ok(()) };
        match admitted {
            Ok(()) => Ok((CONTENT_PASSED, carrier)),
            Err(DocumentError::ActorTwice { .. }) => Ok((CODE_TWIN, 0)),
            Err(_) => Ok((CODE_WAITS, 0)),
        }
    }

    fn judge_carrier(
        &self,
        bench: Bench<'_>,
        change: &RawChange,
        doc: &DocId,
        facts: &ChangeFacts,
    ) -> Result<u16, ReplicaError> {
        if injected(Bug::CarrierNotJudged) {
            return Ok(0);
        }
        let logbook = &bench.named.logbook;
        let carrier = CarrierFacts {
            logbook,
            log: bench.row.log,
            pack: bench.named.pack,
            change: change.hash(),
            position: bench.row.control,
            person: &facts.person,
            what: written(logbook, facts),
        };
        let is_within = |tip: &PackHash| self.is_at_or_before(&bench.place_id, &bench.named.pack, tip);
        if let Err(failure) = self.control.judge_carrier(&carrier, &is_within) {
            return Ok(failure.code());
        }
        if facts.seq > 1 && !self.owns_actor(doc, facts, &bench.row.log.device)? {
            return Ok(CODE_NOT_OWNER);
        }
        Ok(0)
    }

    /// Whether a device, or one it replaced, carried the first change of an actor (R6, A1). An actor whose first change
    /// is not indexed yet begins in the pack that is being judged, and so is the same device's.
    fn owns_actor(&self, doc: &DocId, facts: &ChangeFacts, device: &DeviceId) -> Result<bool, ReplicaError> {
        let owners = self.control.fold().owners_of(device);
        let mut is_known = false;
        for (key, value) in self.index.scan_all(&rows::changes_of(doc))? {
            let row: ChangeRow = crate::overlay::decode(&key, &value)?;
            let Some(hash) = rows::tail::<32>(&key).map(ChangeHash) else { continue };
            let Some(first) = self.change_in(doc, &row)? else { continue };
            if first.head().actor != facts.actor || first.head().seq != 1 {
                continue;
            }
            is_known = true;
            if self.is_carried_by(doc, &hash, &owners)? {
                return Ok(true);
            }
        }
        Ok(!is_known)
    }

    /// Whether one of these devices carried a change and passed as its carrier.
    fn is_carried_by(
        &self,
        doc: &DocId,
        change: &ChangeHash,
        devices: &BTreeSet<DeviceId>,
    ) -> Result<bool, ReplicaError> {
        for (carrier, code) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&carrier).map(PackHash) else { continue };
            let passed = code.iter().all(|byte| *byte == 0);
            if passed && self.device_of_pack(doc, &pack)?.is_some_and(|device| devices.contains(&device)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn change_in(&self, doc: &DocId, row: &ChangeRow) -> Result<Option<RawChange>, ReplicaError> {
        let name = self.index.get::<rows::DocRow>(&rows::doc(doc))?.map(|row| row.logbook);
        self.change_at(name.as_ref(), &row.place)
    }

    fn device_of_pack(&self, doc: &DocId, pack: &PackHash) -> Result<Option<DeviceId>, ReplicaError> {
        let Some(doc_row) = self.index.get::<rows::DocRow>(&rows::doc(doc))? else { return Ok(None) };
        let id = doc_row.logbook.id(&self.org);
        Ok(self.index.get::<PackRow>(&rows::pack(&id, pack))?.map(|row| row.log.device))
    }

    /// The gate of a document as it is shown here; `None` when its changes make no document.
    fn gate_of(&self, place: Place, name: &LogbookName) -> Result<Option<Gate>, ReplicaError> {
        // Most documents are new when they are judged.
        if !self.index.has(&rows::doc(&place.doc))? {
            return Ok(Gate::for_document(place, []).ok());
        }
        for overruled in [Overruled::With, Overruled::Without] {
            let build = |admitted| Gate::for_document(place, admitted);
            if let Some(gate) = self.built(&place.doc, name, overruled, build)? {
                return Ok(Some(gate));
            }
        }
        Ok(None)
    }

    /// What is built of the changes of a document that passed, without those of which two stand under one number of an actor:
    /// they are held until the hub has ordered them.
    pub(super) fn built<T>(
        &self,
        doc: &DocId,
        name: &LogbookName,
        overruled: Overruled,
        build: impl Fn(Vec<RawChange>) -> Result<T, DocumentError>,
    ) -> Result<Option<T>, ReplicaError> {
        let mut twins: BTreeSet<(ActorId, u64)> = BTreeSet::new();
        loop {
            let mut changes = self.admitted_changes(doc, name, overruled)?;
            if !twins.is_empty() {
                changes.retain(|change| !twins.contains(&(change.head().actor, change.head().seq)));
                retain_closed(&mut changes);
            }
            match build(changes) {
                Ok(built) => return Ok(Some(built)),
                Err(DocumentError::ActorTwice { actor, seq, .. }) if twins.insert((actor, seq)) => {}
                Err(_) => return Ok(None),
            }
        }
    }

    /// Changes of a document that passed everything, here and by the control log; and those that failed only here, while
    /// the control log says that they count (A2).
    pub(super) fn admitted_changes(
        &self,
        doc: &DocId,
        name: &LogbookName,
        overruled: Overruled,
    ) -> Result<Vec<RawChange>, ReplicaError> {
        let standing = self.standing_of(doc)?;
        let mut changes = Vec::new();
        for hash in self.fit(&standing, overruled)? {
            if let Some(change) = standing.changes.get(&hash) {
                changes.extend(self.change_at(Some(name), &change.row.place)?);
            }
        }
        Ok(changes)
    }

    /// The changes of a standing that can be shown.
    fn fit(&self, standing: &Standing, overruled: Overruled) -> Result<BTreeSet<ChangeHash>, ReplicaError> {
        let mut fit = BTreeSet::new();
        let mut is_whole = true;
        for (hash, change) in standing.changes.iter().filter(|(_, change)| change.is_admitted) {
            let is_fit = match change.row.content {
                CONTENT_PASSED => true,
                // A tablet's gate met it second, which means nothing; on the hub the first one counts.
                CODE_TWIN if self.identity.role == Role::Tablet => true,
                CODE_WAITS => false,
                _ => overruled == Overruled::With && self.is_overruled(hash, &change.row)?,
            };
            is_whole &= is_fit;
            if is_fit {
                fit.insert(*hash);
            }
        }
        // What is left out here takes along what depends on it.
        while !is_whole {
            let rootless = |hash: &&ChangeHash| {
                let deps = standing.changes.get(*hash).map(|change| change.row.deps.as_slice());
                !deps.unwrap_or_default().iter().all(|dep| fit.contains(dep))
            };
            let gone: Vec<ChangeHash> = fit.iter().filter(rootless).copied().collect();
            is_whole = gone.is_empty();
            gone.iter().for_each(|hash| {
                fit.remove(hash);
            });
        }
        Ok(fit)
    }
}

/// Leaves only changes whose whole history is among them.
fn retain_closed(changes: &mut Vec<RawChange>) {
    loop {
        let here: BTreeSet<ChangeHash> = changes.iter().map(RawChange::hash).collect();
        let before = changes.len();
        changes.retain(|change| change.head().deps.iter().all(|dep| here.contains(dep)));
        if changes.len() == before {
            return;
        }
    }
}

/// For how many changes an entry counts.
fn weight(entry: &PackEntry) -> usize {
    entry.change().map_or(1, |change| (change.content().len() / BYTES_OF_A_CHANGE).max(1))
}

/// Whether changes are taken that failed here, while the control log says that they count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overruled {
    With,
    Without,
}

/// Whose word a failure of content is (A2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// This replica's: it is reported as held.
    Ours,
    /// The administrator's: a former epoch's hub may have passed it.
    Administrators,
    /// A former epoch's: its hub passed it, and signed for that.
    Former,
}

/// What judging one pack keeps at hand.
#[derive(Clone, Copy)]
struct Bench<'a> {
    named: &'a NamedPack,
    row: &'a PackRow,
    place_id: qianmo_protocol::ids::LogbookId,
}

/// What a change writes, as the roles see it.
fn written(logbook: &LogbookName, facts: &ChangeFacts) -> Written {
    match (&facts.root, logbook) {
        (Some(DocumentRoot::Review(event)), _) if event.provenance == Provenance::Imported => Written::Decision,
        (Some(DocumentRoot::Review(event)), _) => match event.kind {
            ReviewKind::Approve | ReviewKind::Return | ReviewKind::Reopen => Written::Decision,
            ReviewKind::Submit | ReviewKind::Withdraw | ReviewKind::Comment => Written::OwnWord,
        },
        (Some(DocumentRoot::Record(_)) | None, LogbookName::StationMonth(..)) => Written::Record,
        (Some(DocumentRoot::Record(_)) | None, LogbookName::OrgDirectory | LogbookName::StationDirectory(_)) => {
            Written::DirectoryEntry
        }
    }
}

#[cfg(test)]
mod tests {
    use qianmo_protocol::change::OpsError;
    use qianmo_protocol::gate::ContentFailure;

    use super::*;

    /// 1 was the mark of waiting, and is also the gate's code for too many operations: such a change was taken for one
    /// that waits, and was neither held nor published.
    #[test]
    fn mark_of_waiting_is_no_failures_code() {
        let too_many = ContentFailure::from(OpsError::TooMany { max: 4_096 });
        assert_ne!(too_many.code(), CODE_WAITS);
        const { assert!(CODE_WAITS > 511, "below lie the codes of content and carrier") };
    }
}
