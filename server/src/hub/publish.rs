//! Publishing what did not pass: quarantines, limits of faulty logs, proofs of forks (A1, A2, A12).
//!
//! # Limits
//!
//! One device costs every tablet at most [`GATE_FAILURES_PER_DEVICE_MAX`] quarantines in a logbook and
//! [`LATE_REFERENCES_PER_DEVICE_MAX`] for references to what was erased, then one entry for the log; and [`FORK_PROOFS_PER_DEVICE_MAX`] proofs of forks.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::{Carrier, Decision, FORK_HEADER_BYTES_MAX, QuarantineScope};
use qianmo_protocol::ids::{DeviceId, Incarnation, LogId, LogbookName, PackHash};
use qianmo_protocol::limits::{
    GATE_FAILURES_PER_DEVICE_MAX, INCARNATIONS_PER_LOGBOOK_MAX, MONTHS_AHEAD_MAX, TIPS_PER_LOG_MAX,
};
use qianmo_protocol::pack::PackHeader;
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::replica::{HeldChange, HeldPart, Notice};

use super::erase::CODE_ERASED_TARGET;
use super::{HubCore, HubError};

/// A log of a device failed the gate too often in one logbook.
pub const CODE_TOO_MANY_FAILURES: u16 = 280;
/// A log has more tips than are kept: its device was cloned again and again, or is a thief's.
pub const CODE_TOO_MANY_TIPS: u16 = 281;
/// A device has more incarnations in a logbook than are kept.
pub const CODE_TOO_MANY_LOGS: u16 = 282;
/// A pack's month lies too far beyond the hub's.
pub const CODE_MONTH_AHEAD: u16 = 283;

/// Changes of one device in one logbook that refer to an erased target and are held one by one: it is no fault of theirs, so
/// an honest tablet that comes late keeps its log.
const LATE_REFERENCES_PER_DEVICE_MAX: usize = 1_024;
/// Most proofs of forks of one device.
const FORK_PROOFS_PER_DEVICE_MAX: usize = 16;

/// Forks that are proven already.
#[derive(Debug, Default)]
pub(super) struct Forks {
    pairs: BTreeSet<(PackHash, PackHash)>,
    by_device: BTreeMap<DeviceId, usize>,
}

/// Quarantine entries that there are: none is published twice, and none again after its release.
///
/// A change may fail for its author's rights and for its month; these end apart, so they are published apart.
#[derive(Debug, Default)]
pub(super) struct Published {
    scopes: BTreeSet<QuarantineScope>,
    for_month: BTreeSet<QuarantineScope>,
}

impl Published {
    /// Remembers one; answers whether it is new.
    pub(super) fn insert(&mut self, scope: &QuarantineScope, code: u16) -> bool {
        let known = if code == CODE_MONTH_AHEAD { &mut self.for_month } else { &mut self.scopes };
        known.insert(scope.clone())
    }

    fn contains(&self, scope: &QuarantineScope, code: u16) -> bool {
        let known = if code == CODE_MONTH_AHEAD { &self.for_month } else { &self.scopes };
        known.contains(scope)
    }

    /// Whether any log was limited. Limits of logs sort last.
    fn has_limits(&self) -> bool {
        matches!(self.scopes.last(), Some(QuarantineScope::LogBeyondTips { .. }))
    }
}

/// Where a log that fails too often is cut: the first place that is beyond.
type Beyond = BTreeMap<(LogbookName, LogId), u32>;

impl HubCore {
    /// Publishes what failed and is not published yet. Answers everything that failed, this hub's own findings included.
    pub(super) fn publish(
        &mut self,
        now: UnixMillis,
        mut held: Vec<HeldChange>,
        judged: &[(LogbookName, PackHash, u64)],
    ) -> Result<Vec<HeldChange>, HubError> {
        held.extend(self.beyond_the_month(now, judged));
        held.extend(self.referring_to_erased(judged));
        let (mut decisions, beyond) = self.quarantines(&held)?;
        for ((name, log), seq) in beyond {
            let tips = self.tips_before(&name, &log, seq);
            decisions.push(self.limit(&name, log, tips, CODE_TOO_MANY_FAILURES));
        }
        let names: BTreeSet<&LogbookName> = judged.iter().map(|(name, ..)| name).collect();
        for name in names {
            decisions.extend(self.excess(name));
        }
        decisions.retain(|decision| {
            let Decision::Quarantine { scope, code } = decision else { return true };
            self.published.insert(scope, *code)
        });
        self.counters.quarantines += u64::try_from(decisions.len()).unwrap_or(u64::MAX);
        decisions.extend(self.fork_proofs());
        self.decide(now, decisions)?;
        Ok(held)
    }

    /// Quarantines for failures, and the logs that had too many.
    fn quarantines(&mut self, held: &[HeldChange]) -> Result<(Vec<Decision>, Beyond), HubError> {
        let mut decisions = Vec::new();
        let mut beyond = Beyond::new();
        let mut counts: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
        let mut seen = Published::default();
        for failure in held {
            let carrier = match failure.part {
                HeldPart::Content => Carrier::Content,
                HeldPart::Carrier => Carrier::Pack(failure.pack),
            };
            let scope = QuarantineScope::Change { change: failure.change, carrier };
            if self.published.contains(&scope, failure.code) || !seen.insert(&scope, failure.code) {
                continue;
            }
            if self.is_excluded(&failure.logbook, &failure.pack) {
                continue;
            }
            let (prefix, max) = if failure.code == CODE_ERASED_TARGET {
                (b"hub late ".as_slice(), LATE_REFERENCES_PER_DEVICE_MAX)
            } else {
                (b"hub failures ".as_slice(), GATE_FAILURES_PER_DEVICE_MAX)
            };
            let key = [prefix, &failure.device.0, &failure.logbook.id(&self.org).0].concat();
            if !counts.contains_key(&key) {
                let stored = self.replica.meta(&key)?;
                let count = stored.and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
                counts.insert(key.clone(), count);
            }
            let Some(count) = counts.get_mut(&key) else { continue };
            if usize::try_from(*count).is_ok_and(|count| count < max) {
                *count += 1;
                decisions.push(Decision::Quarantine { scope, code: failure.code });
            } else if let Some(header) = self.header(&failure.logbook, &failure.pack) {
                let first = beyond.entry((failure.logbook.clone(), header.log)).or_insert(header.seq);
                *first = (*first).min(header.seq);
            }
        }
        for (key, count) in counts {
            self.replica.put_meta(&key, &count.to_be_bytes())?;
        }
        Ok((decisions, beyond))
    }

    fn limit(&self, name: &LogbookName, log: LogId, tips: BTreeSet<PackHash>, code: u16) -> Decision {
        tracing::warn!(logbook = %name, device = %log.device, code, "a log is cut: it failed or forked too often");
        let scope = QuarantineScope::LogBeyondTips { logbook: name.id(&self.org), log, tips };
        Decision::Quarantine { scope, code }
    }

    /// The last packs of every branch of a log that stand before a place.
    fn tips_before(&self, name: &LogbookName, log: &LogId, seq: u32) -> BTreeSet<PackHash> {
        let mut stay = BTreeSet::new();
        for tip in self.replica.tips(name).into_iter().filter(|tip| tip.log == *log) {
            let mut at = self.replica.node(name, &tip.head);
            while let Some(node) = at {
                if node.seq < seq {
                    stay.insert(node.hash);
                    break;
                }
                at = self.replica.node(name, &node.prev);
            }
        }
        stay.into_iter().take(TIPS_PER_LOG_MAX).collect()
    }

    /// Logs with too many tips, and devices with too many logs, in one logbook.
    fn excess(&self, name: &LogbookName) -> Vec<Decision> {
        let mut tips: BTreeMap<LogId, Vec<(u64, PackHash)>> = BTreeMap::new();
        for tip in self.replica.tips(name) {
            let commit = self.replica.node(name, &tip.head).map_or(u64::MAX, |node| node.commit);
            tips.entry(tip.log).or_default().push((commit, tip.head));
        }
        let mut decisions = Vec::new();
        let mut logs: BTreeMap<DeviceId, Vec<(u64, Incarnation)>> = BTreeMap::new();
        for (log, mut of_log) in tips {
            of_log.sort_unstable();
            let first = of_log.first().map_or(u64::MAX, |(commit, _)| *commit);
            logs.entry(log.device).or_default().push((first, log.incarnation));
            if of_log.len() > TIPS_PER_LOG_MAX {
                let stay = of_log.iter().take(TIPS_PER_LOG_MAX).map(|(_, head)| *head).collect();
                decisions.push(self.limit(name, log, stay, CODE_TOO_MANY_TIPS));
            }
        }
        for (device, mut incarnations) in logs {
            incarnations.sort_unstable();
            for (_, incarnation) in incarnations.into_iter().skip(INCARNATIONS_PER_LOGBOOK_MAX) {
                let log = LogId { device, incarnation };
                decisions.push(self.limit(name, log, BTreeSet::new(), CODE_TOO_MANY_LOGS));
            }
        }
        decisions
    }

    /// The month rule is the hub's alone, and is judged when a pack arrives (A7). Once a person has released a record, what
    /// is written on it later passes too: that the record lies there is decided.
    fn beyond_the_month(&self, now: UnixMillis, judged: &[(LogbookName, PackHash, u64)]) -> Vec<HeldChange> {
        let Some(present) = now.month_in_shanghai() else { return Vec::new() };
        let newest = present.number().saturating_add(MONTHS_AHEAD_MAX);
        let fold = self.replica.control().fold();
        let mut held = Vec::new();
        for (name, hash, _) in judged {
            if injected(Bug::MonthAheadTaken) || name.month().is_none_or(|month| month.number() <= newest) {
                continue;
            }
            let Some(pack) = self.replica.pack(name, hash) else { continue };
            for entry in pack.open().unwrap_or_default() {
                // After a restore an edit may come before its record's first change: then nothing says yet what it is of.
                let record = self.replica.record_of(&entry.doc()).ok().flatten().unwrap_or_else(|| entry.doc());
                if fold.is_root_released(&record, CODE_MONTH_AHEAD) {
                    continue;
                }
                held.push(HeldChange {
                    logbook: name.clone(),
                    pack: *hash,
                    device: pack.header.log.device,
                    doc: entry.doc(),
                    change: entry.hash(),
                    code: CODE_MONTH_AHEAD,
                    part: HeldPart::Carrier,
                });
            }
        }
        held
    }

    fn fork_proofs(&mut self) -> Vec<Decision> {
        let mut decisions = Vec::new();
        for notice in self.replica.take_notices() {
            match notice {
                Notice::Copied { logbook, pack, .. } => {
                    tracing::warn!(%logbook, ?pack, "another copy of this hub's store wrote into its log");
                }
                Notice::Forked { logbook, device, a, b } => {
                    let pair = (a.min(b), a.max(b));
                    let count = self.forks.by_device.get(&device).copied().unwrap_or(0);
                    if count >= FORK_PROOFS_PER_DEVICE_MAX || self.forks.pairs.contains(&pair) {
                        continue;
                    }
                    let header = |hash| self.header(&logbook, hash).map(|header| header.encode());
                    let (Some(a), Some(b)) = (header(&pair.0), header(&pair.1)) else { continue };
                    if a.len().max(b.len()) <= FORK_HEADER_BYTES_MAX {
                        tracing::warn!(%logbook, %device, "a tablet's store was copied: its log has forked");
                        self.note_fork(device, pair);
                        decisions.push(Decision::ForkProof { a, b });
                    }
                }
            }
        }
        decisions
    }

    /// Whether the hub has proof that a device's store was copied.
    pub(crate) fn is_forked(&self, device: &DeviceId) -> bool {
        self.forks.by_device.contains_key(device)
    }

    fn note_fork(&mut self, device: DeviceId, pair: (PackHash, PackHash)) {
        if self.forks.pairs.insert(pair) {
            *self.forks.by_device.entry(device).or_insert(0) += 1;
        }
    }

    /// Reads from the control log what was ever published.
    pub(super) fn remember_published(&mut self) {
        let mut forks = Vec::new();
        for (_, signed) in self.replica.control().iter() {
            let decision = &signed.content().decision;
            if let Decision::Quarantine { scope, code } = decision {
                self.published.insert(scope, *code);
            }
            if let Decision::ForkProof { a, b } = decision
                && let (Ok(a), Ok(b)) = (PackHeader::decode(a), PackHeader::decode(b))
            {
                let (one, other) = (a.hash(&self.org), b.hash(&self.org));
                forks.push((a.log.device, (one.min(other), one.max(other))));
            }
        }
        forks.into_iter().for_each(|(device, pair)| self.note_fork(device, pair));
    }

    fn header(&self, name: &LogbookName, pack: &PackHash) -> Option<PackHeader> {
        self.replica.pack(name, pack).map(|pack| pack.header)
    }

    /// Why the control log takes a pack out of vectors, if it does.
    pub(super) fn exclusion(&self, name: &LogbookName, pack: &PackHash) -> Option<u16> {
        let fold = self.replica.control().fold();
        if !self.published.has_limits() {
            return fold.pack_quarantine(pack);
        }
        let log = self.header(name, pack)?.log;
        fold.exclusion(&name.id(&self.org), &log, pack, &|tip| self.is_at_or_before(name, pack, tip))
    }

    pub(super) fn is_excluded(&self, name: &LogbookName, pack: &PackHash) -> bool {
        self.exclusion(name, pack).is_some()
    }

    fn is_at_or_before(&self, name: &LogbookName, pack: &PackHash, tip: &PackHash) -> bool {
        let Some(place) = self.replica.node(name, pack) else { return false };
        let mut at = self.replica.node(name, tip);
        while let Some(node) = at {
            if node.hash == place.hash {
                return true;
            }
            if node.seq <= place.seq {
                return false;
            }
            at = self.replica.node(name, &node.prev);
        }
        false
    }
}
