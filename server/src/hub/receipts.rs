//! Receipts: the hub's signed word on what it holds and how it was judged (A2, A5).

use std::collections::BTreeSet;

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::{ChangeHash, LogbookName, PackHash};
use qianmo_protocol::limits::{ITEMS_PER_MESSAGE_MAX, PACK_ENTRIES_MAX, PACKS_PER_TURN_MAX};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::replica::CODE_WAITS;

use super::{HubCore, HubError, SessionId};

/// Held changes after which a receipt is full: one pack more still fits.
const HELD_PER_RECEIPT: usize = ITEMS_PER_MESSAGE_MAX - PACK_ENTRIES_MAX;

impl HubCore {
    /// One receipt for what a session's present turn brought, or a few when it brought very much.
    ///
    /// The commit is that of the verdict and its publication: a backup that contains it contains the pack and how it was
    /// judged. A pack that still waits for the gate gets none; its device sends it again.
    pub(super) fn receipts_for(
        &mut self,
        id: SessionId,
        judged: &[(LogbookName, PackHash, u64)],
    ) -> Result<Vec<SignedReceipt>, HubError> {
        let Some(session) = self.sessions.get(&id) else { return Ok(Vec::new()) };
        let judged_now: BTreeSet<&PackHash> = judged.iter().map(|(_, pack, _)| pack).collect();
        let mut receipts = Vec::new();
        let mut packs = BTreeSet::new();
        let mut held: BTreeSet<(ChangeHash, u16)> = BTreeSet::new();
        for (pack, _) in session.exchange.stored() {
            let Some(name) = session.received.get(pack) else { continue };
            if self.replica.node(name, pack).is_none() {
                continue;
            }
            if injected(Bug::ReceiptGivenOnce) && !judged_now.contains(pack) {
                continue;
            }
            if judged_now.contains(pack) && !self.is_excluded(name, pack) {
                held.extend(session.held.iter().filter(|held| held.pack == *pack).map(|held| (held.change, held.code)));
            } else {
                held.extend(self.held_in(name, pack));
            }
            let known: BTreeSet<ChangeHash> = held.iter().map(|(change, _)| *change).collect();
            let waiting = self.waiting_in(name, pack)?;
            held.extend(
                waiting.into_iter().filter(|change| !known.contains(change)).map(|change| (change, CODE_WAITS)),
            );
            packs.insert(*pack);
            if packs.len() >= PACKS_PER_TURN_MAX || held.len() >= HELD_PER_RECEIPT {
                receipts.push(self.receipt(core::mem::take(&mut packs), core::mem::take(&mut held))?);
            }
        }
        if !packs.is_empty() {
            receipts.push(self.receipt(packs, held)?);
        }
        self.counters.receipts += u64::try_from(receipts.len()).unwrap_or(u64::MAX);
        Ok(receipts)
    }

    fn receipt(&self, packs: BTreeSet<PackHash>, held: BTreeSet<(ChangeHash, u16)>) -> Result<SignedReceipt, HubError> {
        let verdict = if held.is_empty() { Verdict::Passed } else { Verdict::Held(held) };
        let early = injected(Bug::ReceiptNamesTooLittle);
        let commit = if early { self.opened_at } else { self.replica.durable_commit().0 };
        let receipt = Receipt { hub: self.hub, epoch: self.epoch, commit, packs, verdict };
        Ok(SignedReceipt::sign(&self.org, &self.signing, receipt)?)
    }

    /// Changes of a judged pack on which the gate has not spoken: they did not pass, and a receipt that left them out would
    /// say that they did (A2).
    fn waiting_in(&self, name: &LogbookName, hash: &PackHash) -> Result<Vec<ChangeHash>, HubError> {
        if !self.replica.has_waiting_changes() {
            return Ok(Vec::new());
        }
        let Some(pack) = self.replica.pack(name, hash) else { return Ok(Vec::new()) };
        let mut waiting = Vec::new();
        for entry in pack.open().unwrap_or_default() {
            if self.replica.is_change_waiting(&entry.doc(), &entry.hash())? {
                waiting.push(entry.hash());
            }
        }
        Ok(waiting)
    }

    /// What the control log holds of a pack that was judged before.
    fn held_in(&self, name: &LogbookName, hash: &PackHash) -> Vec<(ChangeHash, u16)> {
        let fold = self.replica.control().fold();
        let Some(pack) = self.replica.pack(name, hash) else { return Vec::new() };
        let Ok(entries) = pack.open() else { return Vec::new() };
        let whole = self.exclusion(name, hash);
        let code = |change: &ChangeHash| {
            let held = fold.content_quarantine(change).or_else(|| fold.carrier_quarantine(change, hash));
            held.or(whole).or_else(|| self.undecided_code(change))
        };
        entries.iter().filter_map(|entry| Some((entry.hash(), code(&entry.hash())?))).collect()
    }
}
