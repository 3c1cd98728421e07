//! What is held and what is erased.
//!
//! A quarantine lasts until a release names its entry; an erasure lasts for ever.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::{Carrier, Fold, Purge, PurgeTarget, QuarantineScope, ReviewMemory};
use crate::ids::{ChangeHash, DocId, EntryHash, LogId, LogbookId, PackHash};

/// Quarantine entries with their codes.
type Codes = BTreeMap<EntryHash, u16>;
/// Quarantine entries of a log: code, and the tips that stay.
type LogLimits = BTreeMap<EntryHash, (u16, BTreeSet<PackHash>)>;

/// Every quarantine there ever was, by what it holds, and every release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Quarantines {
    content: BTreeMap<ChangeHash, Codes>,
    carriers: BTreeMap<(ChangeHash, PackHash), Codes>,
    packs: BTreeMap<PackHash, Codes>,
    logs: BTreeMap<(LogbookId, LogId), LogLimits>,
    released: BTreeSet<EntryHash>,
}

impl Quarantines {
    pub(crate) const fn new() -> Self {
        Self {
            content: BTreeMap::new(),
            carriers: BTreeMap::new(),
            packs: BTreeMap::new(),
            logs: BTreeMap::new(),
            released: BTreeSet::new(),
        }
    }

    pub(crate) fn hold(&mut self, hash: EntryHash, scope: &QuarantineScope, code: u16) {
        let codes = match scope {
            QuarantineScope::Change { change, carrier: Carrier::Content } => self.content.entry(*change).or_default(),
            QuarantineScope::Change { change, carrier: Carrier::Pack(pack) } => {
                self.carriers.entry((*change, *pack)).or_default()
            }
            QuarantineScope::Pack(pack) => self.packs.entry(*pack).or_default(),
            QuarantineScope::LogBeyondTips { logbook, log, tips } => {
                self.logs.entry((*logbook, *log)).or_default().insert(hash, (code, tips.clone()));
                return;
            }
        };
        codes.insert(hash, code);
    }

    pub(crate) fn release(&mut self, ends: EntryHash) {
        self.released.insert(ends);
    }

    /// The smallest code that still holds, so that every replica shows the same one.
    fn held_code(&self, codes: Option<&Codes>) -> Option<u16> {
        let codes = codes.into_iter().flatten();
        codes.filter(|(hash, _)| !self.released.contains(hash)).map(|(_, code)| *code).min()
    }

    /// Codes of the quarantines of a change in a pack: each with whether it is released.
    pub(crate) fn carrier_codes(&self, change: &ChangeHash, pack: &PackHash) -> impl Iterator<Item = (u16, bool)> {
        let codes = self.carriers.get(&(*change, *pack)).into_iter().chain(self.packs.get(pack)).flatten();
        codes.map(|(hash, code)| (*code, self.released.contains(hash)))
    }
}

/// Every erasure, by target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Purges {
    entries: BTreeMap<EntryHash, Purge>,
    documents: BTreeMap<DocId, BTreeSet<EntryHash>>,
    changes: BTreeMap<ChangeHash, BTreeSet<EntryHash>>,
    /// By the erased event's document, whether the document was erased or its held change.
    memories: BTreeMap<DocId, BTreeSet<ReviewMemory>>,
}

impl Purges {
    pub(crate) const fn new() -> Self {
        Self {
            entries: BTreeMap::new(),
            documents: BTreeMap::new(),
            changes: BTreeMap::new(),
            memories: BTreeMap::new(),
        }
    }

    pub(crate) fn add(&mut self, hash: EntryHash, purge: &Purge) {
        let doc = match &purge.target {
            PurgeTarget::Document { doc, .. } => {
                self.documents.entry(*doc).or_default().insert(hash);
                doc
            }
            PurgeTarget::Hash { change, doc } => {
                self.changes.entry(*change).or_default().insert(hash);
                doc
            }
        };
        if let Some(memory) = &purge.memory {
            self.memories.entry(*doc).or_default().insert(memory.clone());
        }
        self.entries.insert(hash, purge.clone());
    }

    pub(crate) fn entry(&self, hash: &EntryHash) -> Option<&Purge> {
        self.entries.get(hash)
    }
}

impl Fold {
    /// Why a change is held for its content, if it is.
    #[must_use]
    pub fn content_quarantine(&self, change: &ChangeHash) -> Option<u16> {
        self.quarantines.held_code(self.quarantines.content.get(change))
    }

    /// Why a change is held in this pack, if it is, or the whole pack is. Another pack may still carry it (A1).
    ///
    /// Limits of a log are another question, which needs the graph of its packs: [`Fold::exclusion`].
    #[must_use]
    pub fn carrier_quarantine(&self, change: &ChangeHash, pack: &PackHash) -> Option<u16> {
        let change = self.quarantines.held_code(self.quarantines.carriers.get(&(*change, *pack)));
        change.into_iter().chain(self.pack_quarantine(pack)).min()
    }

    /// Why a whole pack is held, if it is.
    #[must_use]
    pub fn pack_quarantine(&self, pack: &PackHash) -> Option<u16> {
        self.quarantines.held_code(self.quarantines.packs.get(pack))
    }

    /// Whether a change was held for its content, and every such entry is released: what a replica's own gate says about
    /// it counts no more (A2).
    #[must_use]
    pub fn is_content_released(&self, change: &ChangeHash) -> bool {
        let codes = self.quarantines.content.get(change);
        codes.is_some_and(|codes| codes.keys().all(|hash| self.quarantines.released.contains(hash)))
    }

    /// Whether the first change of a document was held in some pack with this code, and that was released.
    #[must_use]
    pub fn is_root_released(&self, doc: &DocId, code: u16) -> bool {
        let mut first = [0; 32];
        first.iter_mut().zip(doc.0).for_each(|(to, from)| *to = from);
        let from = (ChangeHash(first), PackHash([0; 32]));
        let roots = self.quarantines.carriers.range(from..).take_while(|((root, _), _)| DocId::from_root(root) == *doc);
        let mut codes = roots.flat_map(|(_, codes)| codes);
        codes.any(|(hash, held)| *held == code && self.quarantines.released.contains(hash))
    }

    /// Every quarantine that holds something now: its entry, what it holds, and the code.
    pub fn holding(&self) -> impl Iterator<Item = (EntryHash, QuarantineScope, u16)> + '_ {
        let Quarantines { content, carriers, packs, logs, released } = &self.quarantines;
        let content = content.iter().flat_map(|(change, codes)| {
            let scope = QuarantineScope::Change { change: *change, carrier: Carrier::Content };
            codes.iter().map(move |(hash, code)| (*hash, scope.clone(), *code))
        });
        let carriers = carriers.iter().flat_map(|((change, pack), codes)| {
            let scope = QuarantineScope::Change { change: *change, carrier: Carrier::Pack(*pack) };
            codes.iter().map(move |(hash, code)| (*hash, scope.clone(), *code))
        });
        let packs = packs.iter().flat_map(|(pack, codes)| {
            codes.iter().map(move |(hash, code)| (*hash, QuarantineScope::Pack(*pack), *code))
        });
        let logs = logs.iter().flat_map(|((logbook, log), limits)| {
            let scope = |tips| QuarantineScope::LogBeyondTips { logbook: *logbook, log: *log, tips };
            limits.iter().map(move |(hash, (code, tips))| (*hash, scope(tips.clone()), *code))
        });
        content.chain(carriers).chain(packs).chain(logs).filter(|(hash, ..)| !released.contains(hash))
    }

    /// Changes held for their content, with the code, ascending.
    pub fn content_quarantines(&self) -> impl Iterator<Item = (&ChangeHash, u16)> {
        let all = self.quarantines.content.iter();
        all.filter_map(|(change, codes)| Some((change, self.quarantines.held_code(Some(codes))?)))
    }

    /// Changes held in one pack, with the code, ascending.
    pub fn carrier_quarantines(&self) -> impl Iterator<Item = (&ChangeHash, &PackHash, u16)> {
        let all = self.quarantines.carriers.iter();
        all.filter_map(|((change, pack), codes)| Some((change, pack, self.quarantines.held_code(Some(codes))?)))
    }

    /// The limits set on a log that still hold: code, and the tips that stay.
    pub fn log_limits(&self, logbook: &LogbookId, log: &LogId) -> impl Iterator<Item = (u16, &BTreeSet<PackHash>)> {
        let limits = self.quarantines.logs.get(&(*logbook, *log)).into_iter().flatten();
        let held = limits.filter(|(hash, _)| !self.quarantines.released.contains(hash));
        held.map(|(_, (code, tips))| (*code, tips))
    }

    /// Whether any log was ever limited: if not, only whole packs are left out of vectors.
    #[must_use]
    pub fn has_log_limits(&self) -> bool {
        !self.quarantines.logs.is_empty()
    }

    /// Why vectors leave a pack out, if they do: it is held whole, or beyond the tips of its log (A12).
    #[must_use]
    pub fn exclusion(
        &self,
        logbook: &LogbookId,
        log: &LogId,
        pack: &PackHash,
        is_at_or_before: &dyn Fn(&PackHash) -> bool,
    ) -> Option<u16> {
        let beyond = self.log_limits(logbook, log).filter(|(_, tips)| !tips.iter().any(is_at_or_before));
        self.pack_quarantine(pack).into_iter().chain(beyond.map(|(code, _)| code)).min()
    }

    /// Whether a document is erased.
    #[must_use]
    pub fn is_document_purged(&self, doc: &DocId) -> bool {
        self.purges.documents.contains_key(doc)
    }

    /// Whether a change is erased by its hash.
    #[must_use]
    pub fn is_change_purged(&self, change: &ChangeHash) -> bool {
        self.purges.changes.contains_key(change)
    }

    /// Whether a pack entry without its bytes is legal: its document or its change is erased (A11).
    #[must_use]
    pub fn is_stub_legal(&self, doc: &DocId, change: &ChangeHash) -> bool {
        self.is_document_purged(doc) || self.is_change_purged(change)
    }

    /// All erasures with their entries.
    pub fn purges(&self) -> impl Iterator<Item = (&EntryHash, &Purge)> {
        self.purges.entries.iter()
    }

    /// Whether a document is an erased target: what refers to it is held and then erased, whenever it arrives (A11).
    #[must_use]
    pub fn is_standing_target(&self, doc: &DocId) -> bool {
        let entries = self.purges.documents.get(doc).into_iter().flatten();
        entries.filter_map(|entry| self.purges.entries.get(entry)).any(|purge| purge.is_standing)
    }

    /// What an erased review event had seen, by its document (A3). More than one only if erasures state it differently.
    pub fn review_memories_of(&self, doc: &DocId) -> impl Iterator<Item = &ReviewMemory> {
        self.purges.memories.get(doc).into_iter().flatten()
    }

    /// Every erased review event: its document and what it had seen.
    pub fn review_memories(&self) -> impl Iterator<Item = (&DocId, &ReviewMemory)> {
        let all = self.purges.memories.iter();
        all.flat_map(|(doc, memories)| memories.iter().map(move |memory| (doc, memory)))
    }
}
