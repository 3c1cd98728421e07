//! Judging once more: changes that waited for one they depend on, and packs that a later grant would let through.
//!
//! A change whose history is held or not here is written down as waiting (`CODE_WAITS`); that is no failure and nobody
//! publishes it. When its document is touched, by a pack or by the control log, it is looked at again, and what the gate
//! says then is a second verdict on its pack.
//!
//! # Invariants
//!
//! 1. A second verdict changes nothing but a change that waited, and the carriers of that change
//!    (`dependants_of_a_released_change_are_gated_then`).
//! 2. What depends on an erased change does not wait: it is held for good
//!    (`dependants_of_a_purged_change_stay_held`).

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::change::RawChange;
use qianmo_protocol::control::Written;
use qianmo_protocol::gate::{ChangeFacts, Gate, JudgeError, Place};
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PackHash};
use qianmo_protocol::record::DocumentError;
use qianmo_protocol::wire::Wire;

use super::{Bench, CODE_TWIN, CODE_WAITS, JudgeReport, Overruled, Payload, Replica, ReplicaError, written};
use crate::frames::{Finding, VerdictFrame};
use crate::pack_log::{FrameKind, FramePointer};
use crate::rows::{self, CONTENT_PASSED, ChangePlace, ChangeRow, DocRow, NamedPack, PackRow};

/// Most changes of one document that are judged again at once.
const AGAIN_AT_ONCE_MAX: usize = 256;

/// Prefix of all changes that wait for one they depend on.
const WAITING: &[u8] = b"j";

fn waiting_key(doc: &DocId, change: &ChangeHash) -> Vec<u8> {
    [WAITING, &doc.0, &change.0].concat()
}

/// Documents with changes that wait, in memory.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    all: BTreeSet<DocId>,
    /// Those that were touched since they were last looked at.
    due: BTreeSet<DocId>,
}

impl Waits {
    /// A document was touched.
    pub(crate) fn touch(&mut self, doc: &DocId) {
        if self.all.contains(doc) && !injected(Bug::WaitingNeverJudged) {
            self.due.insert(*doc);
        }
    }

    /// Whether there is something to look at.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty()
    }
}

impl Replica {
    /// Whether changes wait for one they depend on.
    #[must_use]
    pub fn has_waiting_changes(&self) -> bool {
        !self.waits.all.is_empty()
    }

    /// Reads from the index what waits.
    pub(in crate::replica) fn load_waits(&mut self) -> Result<(), ReplicaError> {
        self.waits = Waits::default();
        for (key, _) in self.index.scan_all(WAITING)? {
            let doc = key.get(1..17).and_then(DocId::from_slice);
            self.waits.all.extend(doc);
        }
        self.waits.due = self.waits.all.clone();
        Ok(())
    }

    /// A change was put into the index with the gate's word on it.
    pub(in crate::replica) fn note_content(&mut self, doc: &DocId, change: &ChangeHash, content: u16) {
        if content == CODE_WAITS {
            self.index.put_raw(waiting_key(doc, change), Vec::new());
            self.waits.all.insert(*doc);
            if !injected(Bug::WaitingNeverJudged) {
                self.waits.due.insert(*doc);
            }
        } else if !matches!(content, CONTENT_PASSED | CODE_TWIN) {
            self.index.put_raw(rows::failed_here(doc, change), Vec::new());
        }
    }

    /// A further verdict on the content of a known change: it counts if the change waited.
    pub(in crate::replica) fn accept_later(
        &mut self,
        (doc, change): (&DocId, &ChangeHash),
        known: ChangeRow,
        content: u16,
    ) -> Result<(), ReplicaError> {
        if known.content != CODE_WAITS || content == CODE_WAITS {
            return Ok(());
        }
        self.index.put(rows::change(doc, change), &ChangeRow { content, ..known });
        self.index.delete(waiting_key(doc, change));
        self.note_content(doc, change, content);
        if self.index.scan(&[WAITING, &doc.0].concat(), None, 1)?.is_empty() {
            self.waits.all.remove(doc);
            self.waits.due.remove(doc);
        }
        Ok(())
    }

    /// A second verdict on a pack.
    pub(in crate::replica) fn absorb_later_verdict(
        &mut self,
        pointer: &FramePointer,
        frame: &VerdictFrame,
    ) -> Result<(), ReplicaError> {
        let entries = self.entries_of(&frame.logbook, &frame.pack)?;
        let mut docs = BTreeSet::new();
        for finding in &frame.findings {
            let Some(entry) = entries.get(usize::from(finding.index)) else { continue };
            let (doc, hash) = (entry.doc(), entry.hash());
            let Some(known) = self.index.get::<ChangeRow>(&rows::change(&doc, &hash))? else { continue };
            self.accept_later((&doc, &hash), known, finding.content)?;
            self.index.put_raw(rows::carrier(&hash, &frame.pack), finding.carrier.to_be_bytes().to_vec());
            docs.insert(doc);
        }
        for doc in docs {
            self.refresh_document(&doc, &frame.logbook, pointer.commit.0)?;
        }
        Ok(())
    }

    /// Judges what waited in documents that were touched before, until the budget is used up.
    pub(super) fn judge_again(&mut self, left: &mut usize, report: &mut JudgeReport) -> Result<(), ReplicaError> {
        for doc in self.waits.due.clone() {
            if *left == 0 {
                return Ok(());
            }
            self.waits.due.remove(&doc);
            let judged = self.judge_document_again(&doc, report)?;
            *left = left.saturating_sub(judged.max(1));
            if self.index.pending_rows() > crate::replica::BATCH_ROWS {
                self.sync()?;
            }
        }
        Ok(())
    }

    /// Judges the waiting changes of a document whose history is complete now. Answers how many.
    fn judge_document_again(&mut self, doc: &DocId, report: &mut JudgeReport) -> Result<usize, ReplicaError> {
        let Some(doc_row) = self.index.get::<DocRow>(&rows::doc(doc))? else { return Ok(0) };
        let name = doc_row.logbook;
        let ready = self.ready_changes(doc)?;
        if ready.is_empty() {
            return Ok(0);
        }
        let place = Place { logbook: name.id(&self.org), doc: *doc };
        let Some(mut gate) = self.gate_of(place, &name)? else { return Ok(0) };
        let mut verdicts: BTreeMap<PackHash, Vec<Finding>> = BTreeMap::new();
        for (hash, row) in &ready {
            let (Some(change), ChangePlace::Pack { pack, .. }) = (self.change_at(Some(&name), &row.place)?, row.place)
            else {
                continue;
            };
            let change = change.unshared();
            match gate.judge(&change) {
                Ok(admitted) => {
                    let mut findings = self.judge_carriers(&name, (doc, &change), &admitted.facts)?;
                    if findings.iter().any(|(_, finding)| finding.carrier == 0) {
                        match gate.admit(&change) {
                            Ok(()) => {}
                            Err(DocumentError::ActorTwice { .. }) => {
                                findings.iter_mut().for_each(|(_, finding)| finding.content = CODE_TWIN);
                            }
                            Err(_) => continue,
                        }
                    }
                    for (pack, finding) in findings {
                        self.report_again(&name, &pack, &finding, report)?;
                        verdicts.entry(pack).or_default().push(finding);
                    }
                }
                Err(JudgeError::Content(failure)) => {
                    let Some(index) = self.place_in(&name, &pack, hash)? else { continue };
                    let finding = Finding { index, content: failure.code(), carrier: 0 };
                    self.report_again(&name, &pack, &finding, report)?;
                    verdicts.entry(pack).or_default().push(finding);
                }
                Err(JudgeError::Waiting { .. } | JudgeError::Closure(_)) => {}
            }
        }
        for (pack, findings) in verdicts {
            let frame = VerdictFrame { logbook: name.clone(), pack, findings };
            let bytes = frame.encode();
            self.append_absorbed(FrameKind::Verdict, &bytes, Payload::Verdict(frame))?;
        }
        Ok(ready.len())
    }

    /// Waiting changes of a document, each after those of them that it depends on, whose other dependencies are shown.
    fn ready_changes(&self, doc: &DocId) -> Result<Vec<(ChangeHash, ChangeRow)>, ReplicaError> {
        let standing = self.standing_of(doc)?;
        if standing.is_purged {
            return Ok(Vec::new());
        }
        let mut here = self.fit(&standing, Overruled::With)?;
        let mut waiting: Vec<_> =
            standing.changes.iter().filter(|(_, change)| change.row.content == CODE_WAITS).collect();
        let mut ready: Vec<(ChangeHash, ChangeRow)> = Vec::new();
        loop {
            let before = ready.len();
            waiting.retain(|(hash, change)| {
                let is_ready = ready.len() < AGAIN_AT_ONCE_MAX && change.row.deps.iter().all(|dep| here.contains(dep));
                if is_ready {
                    here.insert(**hash);
                    ready.push((**hash, change.row.clone()));
                }
                !is_ready
            });
            if ready.len() == before || ready.len() >= AGAIN_AT_ONCE_MAX {
                return Ok(ready);
            }
        }
    }

    /// The word on every judged pack that carries a change whose content passes.
    fn judge_carriers(
        &mut self,
        name: &LogbookName,
        (doc, change): (&DocId, &RawChange),
        facts: &ChangeFacts,
    ) -> Result<Vec<(PackHash, Finding)>, ReplicaError> {
        let mut findings = Vec::new();
        for (key, _) in self.index.scan_all(&rows::carriers_of(&change.hash()))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            let Some(index) = self.place_in(name, &pack, &change.hash())? else { continue };
            let Some(carrier) = self.carrier_of(name, &pack, (doc, change), facts)? else { continue };
            findings.push((pack, Finding { index, content: CONTENT_PASSED, carrier }));
        }
        Ok(findings)
    }

    /// The code of one pack as the carrier of a change; `None` when the pack is not here.
    fn carrier_of(
        &self,
        name: &LogbookName,
        pack: &PackHash,
        (doc, change): (&DocId, &RawChange),
        facts: &ChangeFacts,
    ) -> Result<Option<u16>, ReplicaError> {
        let id = name.id(&self.org);
        let Some(row) = self.index.get::<PackRow>(&rows::pack(&id, pack))? else { return Ok(None) };
        let named = NamedPack { logbook: name.clone(), pack: *pack };
        let bench = Bench { named: &named, row: &row, place_id: id };
        self.judge_carrier(bench, change, doc, facts).map(Some)
    }

    fn place_in(
        &mut self,
        name: &LogbookName,
        pack: &PackHash,
        change: &ChangeHash,
    ) -> Result<Option<u16>, ReplicaError> {
        let entries = self.entries_of(name, pack)?;
        let place = entries.iter().position(|entry| entry.hash() == *change && entry.change().is_some());
        Ok(place.and_then(|place| u16::try_from(place).ok()))
    }

    fn report_again(
        &mut self,
        name: &LogbookName,
        pack: &PackHash,
        finding: &Finding,
        report: &mut JudgeReport,
    ) -> Result<(), ReplicaError> {
        let id = name.id(&self.org);
        let entries = self.entries_of(name, pack)?;
        let (Some(entry), Some(row)) =
            (entries.get(usize::from(finding.index)), self.index.get::<PackRow>(&rows::pack(&id, pack))?)
        else {
            return Ok(());
        };
        let named = NamedPack { logbook: name.clone(), pack: *pack };
        let bench = Bench { named: &named, row: &row, place_id: id };
        self.report_failures(bench, entry, (finding.content, finding.carrier), report)
    }

    /// Whether a pack that is held for a change of a record would carry it by what the control log says now (A10).
    ///
    /// Never for a decision: that needs its grant in the closure of the pack's position, or a person's release.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn would_carry(&self, change: &ChangeHash, pack: &PackHash) -> Result<bool, ReplicaError> {
        let looked = self.looked_at(change, pack, |place, name, _| self.gate_of(place, name))?;
        Ok(looked.is_some_and(|(what, code)| what != Written::Decision && code == 0))
    }

    /// The code with which a pack carries a change by what the control log says now; 0 when it may. `None` when that cannot
    /// be said: the change or its pack is not here, or its content does not pass.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn carries_with(&self, change: &ChangeHash, pack: &PackHash) -> Result<Option<u16>, ReplicaError> {
        let looked = self.looked_at(change, pack, |place, name, raw| {
            // It may be in the document already: it is judged by what it goes on from, as it was before.
            let shown = self.admitted_changes(&place.doc, name, Overruled::With)?;
            Ok(Gate::for_document(place, history_of(shown, &raw.head().deps)).ok())
        })?;
        Ok(looked.map(|(_, code)| code))
    }

    fn looked_at(
        &self,
        change: &ChangeHash,
        pack: &PackHash,
        gate: impl FnOnce(Place, &LogbookName, &RawChange) -> Result<Option<Gate>, ReplicaError>,
    ) -> Result<Option<(Written, u16)>, ReplicaError> {
        let Some(doc) = self.document_of(change)? else { return Ok(None) };
        let Some(name) = self.home_of(&doc)? else { return Ok(None) };
        let Some(raw) = self.raw_change(&doc, change)? else { return Ok(None) };
        let place = Place { logbook: name.id(&self.org), doc };
        let gate = gate(place, &name, &raw)?;
        let Some(facts) = gate.and_then(|mut gate| facts_of(&mut gate, &raw)) else { return Ok(None) };
        let code = self.carrier_of(&name, pack, (&doc, &raw), &facts)?;
        Ok(code.map(|code| (written(&name, &facts), code)))
    }
}

/// Those of a document's changes that these heads contain.
fn history_of(changes: Vec<RawChange>, heads: &[ChangeHash]) -> Vec<RawChange> {
    let deps: BTreeMap<ChangeHash, Vec<ChangeHash>> =
        changes.iter().map(|one| (one.hash(), one.head().deps.clone())).collect();
    let mut before = BTreeSet::new();
    let mut todo = heads.to_vec();
    while let Some(next) = todo.pop() {
        if before.insert(next) {
            todo.extend(deps.get(&next).into_iter().flatten());
        }
    }
    changes.into_iter().filter(|one| before.contains(&one.hash())).collect()
}

fn facts_of(gate: &mut Gate, change: &RawChange) -> Option<ChangeFacts> {
    gate.judge(change).ok().map(|admitted| admitted.facts)
}
