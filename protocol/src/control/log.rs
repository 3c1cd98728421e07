//! The set of admitted entries and its graph.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::reach::{Chains, Clock, Place};
use crate::control::{
    CONTROL_UNVERIFIED_MAX, CONTROL_WAITING_MAX, Decision, Entry, Fold, SignatureError, SignedEntry, Signer,
};
use crate::ids::{EntryHash, Epoch, OrgId};
use crate::limits::CONTROL_PARENTS_MAX;
use crate::time::UnixMillis;

/// The kind that only the authority may sign.
const KIND_HUB: u16 = 1;

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ControlError {
    /// The signature is not the signer's.
    #[error("control entry {hash} is not signed by {signer:?}")]
    Signature {
        /// The entry.
        hash: EntryHash,
        /// Who should have signed it.
        signer: Signer,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// A hub signed what only the authority may.
    #[error("control entry {hash} of kind {kind} must be signed by the authority")]
    NotForHubs {
        /// The entry.
        hash: EntryHash,
        /// Its kind.
        kind: u16,
    },
    /// Too many entries wait for their parents or their signer; ask for the missing ones first.
    #[error("{have} control entries wait for others, the most is {max}")]
    TooManyWaiting {
        /// Entries waiting.
        have: usize,
        /// Limit.
        max: usize,
    },
}

/// What became of an inserted entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// Admitted, together with those that had waited for it, parents first. These are what a store must keep.
    New {
        /// The entries admitted now.
        admitted: Vec<EntryHash>,
    },
    /// It was there already.
    Known,
    /// Kept aside until its parents, or the entry that names its signer, have come.
    Waiting,
}

/// What a peer lacks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissingFor {
    /// Entries that are no ancestors of the peer's heads, parents first.
    pub entries: Vec<EntryHash>,
    /// Heads of the peer that are not in this log.
    pub unknown_heads: Vec<EntryHash>,
}

#[derive(Debug, Clone)]
struct Admitted {
    signed: SignedEntry,
    /// One more than the highest of its parents; 0 without parents.
    generation: u64,
    place: Place,
    clock: Clock,
}

/// The control log of one organisation.
///
/// Entries come in any order through [`ControlLog::insert`]; [`ControlLog::fold`] is then up to date.
#[derive(Debug, Clone)]
pub struct ControlLog {
    org: OrgId,
    authority: [u8; 32],
    entries: BTreeMap<EntryHash, Admitted>,
    /// All entries by generation: a topological order that no arrival order changes.
    order: BTreeSet<(u64, EntryHash)>,
    heads: BTreeSet<EntryHash>,
    chains: Chains,
    /// The highest number of each epoch.
    numbers: BTreeMap<Epoch, u64>,
    /// Verified, without all their parents.
    waiting: BTreeMap<EntryHash, SignedEntry>,
    /// Who waits for which parent.
    waiting_for: BTreeMap<EntryHash, BTreeSet<EntryHash>>,
    /// Signed by a hub not yet named. The signature is part of the key, so that a forged copy keeps no true one out.
    unverified: BTreeMap<(EntryHash, [u8; 64]), SignedEntry>,
    fold: Fold,
}

impl ControlLog {
    /// The empty log of the organisation whose authority holds this Ed25519 public key.
    #[must_use]
    pub fn new(authority: &[u8; 32]) -> Self {
        let org = OrgId::from_authority_key(authority);
        Self {
            org,
            authority: *authority,
            entries: BTreeMap::new(),
            order: BTreeSet::new(),
            heads: BTreeSet::new(),
            chains: Chains::default(),
            numbers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            waiting_for: BTreeMap::new(),
            unverified: BTreeMap::new(),
            fold: Fold::new(org),
        }
    }

    /// The organisation.
    #[must_use]
    pub const fn org(&self) -> &OrgId {
        &self.org
    }

    /// The authority's public key.
    #[must_use]
    pub const fn authority(&self) -> &[u8; 32] {
        &self.authority
    }

    /// What all admitted entries say together.
    #[must_use]
    pub const fn fold(&self) -> &Fold {
        &self.fold
    }

    /// How many entries are admitted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is admitted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many entries are kept aside.
    #[must_use]
    pub fn waiting_count(&self) -> usize {
        self.waiting.len().saturating_add(self.unverified.len())
    }

    /// Entries that nobody here has as a parent, ascending.
    #[must_use]
    pub const fn heads(&self) -> &BTreeSet<EntryHash> {
        &self.heads
    }

    /// The position a device writes into its packs: the head with the longest way behind it.
    #[must_use]
    pub fn position(&self) -> Option<EntryHash> {
        self.order.last().map(|(_, hash)| *hash)
    }

    /// Whether an entry is admitted.
    #[must_use]
    pub fn contains(&self, hash: &EntryHash) -> bool {
        self.entries.contains_key(hash)
    }

    /// An admitted entry.
    #[must_use]
    pub fn entry(&self, hash: &EntryHash) -> Option<&SignedEntry> {
        self.entries.get(hash).map(|admitted| &admitted.signed)
    }

    /// All admitted entries, parents first, in an order that depends on nothing but the set.
    pub fn iter(&self) -> impl Iterator<Item = (&EntryHash, &SignedEntry)> {
        self.order.iter().filter_map(|(_, hash)| self.entries.get_key_value(hash)).map(|(hash, a)| (hash, &a.signed))
    }

    /// Admitted entries with their generation, for a fold from scratch.
    pub(crate) fn generations(&self) -> impl Iterator<Item = (&EntryHash, u64, &Entry)> {
        self.entries.iter().map(|(hash, admitted)| (hash, admitted.generation, admitted.signed.content()))
    }

    /// Whether `entry` is `position` or an ancestor of it. False when either is not admitted.
    #[must_use]
    pub fn closure_contains(&self, position: &EntryHash, entry: &EntryHash) -> bool {
        match (self.entries.get(position), self.entries.get(entry)) {
            (Some(position), Some(entry)) => position.clock.contains(entry.place),
            (Some(_) | None, Some(_) | None) => false,
        }
    }

    /// What a peer with these heads lacks. Any entries the peer holds will do, so a [`ControlLog::locator`] as well.
    #[must_use]
    pub fn missing_for(&self, peer_heads: &[EntryHash]) -> MissingFor {
        let mut reached = Clock::default();
        let mut unknown_heads = Vec::new();
        for head in peer_heads {
            match self.entries.get(head) {
                Some(admitted) => reached.join(&admitted.clock),
                None => unknown_heads.push(*head),
            }
        }
        let is_missing = |hash: &EntryHash| self.entries.get(hash).is_some_and(|a| !reached.contains(a.place));
        let entries = if self.heads.iter().any(is_missing) {
            self.order.iter().map(|(_, hash)| *hash).filter(is_missing).collect()
        } else {
            Vec::new()
        };
        MissingFor { entries, unknown_heads }
    }

    /// Entries at 1, 2, 4, 8 … back from the end of the order: what to state when the peer does not know the heads, so
    /// that it need not send everything.
    #[must_use]
    pub fn locator(&self) -> Vec<EntryHash> {
        let is_step = |(at, _): &(usize, _)| at.is_power_of_two();
        self.order.iter().rev().enumerate().filter(is_step).map(|(_, (_, hash))| *hash).collect()
    }

    /// The next entry a hub may sign: its parents are the heads, its number the next of the epoch.
    #[must_use]
    pub fn draft(&self, signer: Signer, epoch: Epoch, time: UnixMillis, decision: Decision) -> Entry {
        let number = self.numbers.get(&epoch).map_or(0, |number| number.saturating_add(1));
        let parents = self.heads.iter().take(CONTROL_PARENTS_MAX).copied().collect();
        Entry { signer, epoch, number, parents, time, decision }
    }

    /// Takes an entry in, whatever came before it.
    ///
    /// # Errors
    /// [`ControlError`]: the entry is not kept, and the log is as before.
    pub fn insert(&mut self, signed: SignedEntry) -> Result<Inserted, ControlError> {
        let hash = signed.content().hash(&self.org);
        if self.entries.contains_key(&hash) {
            return Ok(Inserted::Known);
        }
        if !self.verify(&hash, &signed)? {
            return self.keep_unverified(hash, signed);
        }
        if self.waiting.contains_key(&hash) {
            return Ok(Inserted::Waiting);
        }
        if !self.has_parents_of(&signed) {
            return self.keep_waiting(hash, signed);
        }
        let mut admitted = Vec::new();
        self.admit_with_waiting(hash, signed, &mut admitted);
        Ok(Inserted::New { admitted })
    }

    /// Whether the signature is good; `Ok(false)` when the signer is a hub that is not named yet.
    fn verify(&self, hash: &EntryHash, signed: &SignedEntry) -> Result<bool, ControlError> {
        let signer = signed.content().signer;
        let refused = |source| ControlError::Signature { hash: *hash, signer, source };
        match signer {
            Signer::Authority => signed.verify(&self.org, &self.authority).map(|_| true).map_err(refused),
            Signer::Hub(hub) => {
                let kind = signed.content().decision.kind();
                if kind == KIND_HUB {
                    return Err(ControlError::NotForHubs { hash: *hash, kind });
                }
                if self.fold.hub(&hub).is_none() {
                    return Ok(false);
                }
                self.fold.verify_hub(&hub, signed).map(|_| true).map_err(refused)
            }
        }
    }

    fn has_parents_of(&self, signed: &SignedEntry) -> bool {
        signed.content().parents.iter().all(|parent| self.entries.contains_key(parent))
    }

    fn keep_unverified(&mut self, hash: EntryHash, signed: SignedEntry) -> Result<Inserted, ControlError> {
        let key = (hash, *signed.signature());
        let have = self.unverified.len();
        if have >= CONTROL_UNVERIFIED_MAX && !self.unverified.contains_key(&key) {
            return Err(ControlError::TooManyWaiting { have, max: CONTROL_UNVERIFIED_MAX });
        }
        self.unverified.insert(key, signed);
        Ok(Inserted::Waiting)
    }

    fn keep_waiting(&mut self, hash: EntryHash, signed: SignedEntry) -> Result<Inserted, ControlError> {
        let have = self.waiting.len();
        if have >= CONTROL_WAITING_MAX {
            return Err(ControlError::TooManyWaiting { have, max: CONTROL_WAITING_MAX });
        }
        for parent in &signed.content().parents {
            if !self.entries.contains_key(parent) {
                self.waiting_for.entry(*parent).or_default().insert(hash);
            }
        }
        self.waiting.insert(hash, signed);
        Ok(Inserted::Waiting)
    }

    /// Admits an entry whose parents are there, and then all that waited for it, without recursion.
    fn admit_with_waiting(&mut self, hash: EntryHash, signed: SignedEntry, admitted: &mut Vec<EntryHash>) {
        let mut ready = vec![(hash, signed)];
        while let Some((hash, signed)) = ready.pop() {
            if self.entries.contains_key(&hash) {
                continue;
            }
            let names_hub = signed.content().decision.kind() == KIND_HUB;
            self.admit(hash, signed);
            admitted.push(hash);
            for child in self.waiting_for.remove(&hash).unwrap_or_default() {
                if self.waiting.get(&child).is_some_and(|signed| self.has_parents_of(signed))
                    && let Some(signed) = self.waiting.remove(&child)
                {
                    ready.push((child, signed));
                }
            }
            if names_hub {
                self.verify_again(&mut ready);
            }
        }
    }

    /// Looks at the unverified entries again, after a hub was named. What is forged is dropped.
    fn verify_again(&mut self, ready: &mut Vec<(EntryHash, SignedEntry)>) {
        for ((hash, signature), signed) in core::mem::take(&mut self.unverified) {
            match self.verify(&hash, &signed) {
                Ok(true) if self.waiting.contains_key(&hash) => {}
                Ok(true) if self.has_parents_of(&signed) => ready.push((hash, signed)),
                Ok(true) => {
                    // Full, it is dropped: whoever has it will offer it again, because it is in no head here.
                    if self.keep_waiting(hash, signed).is_err() {
                        continue;
                    }
                }
                Ok(false) => {
                    self.unverified.insert((hash, signature), signed);
                }
                Err(_) => {}
            }
        }
    }

    fn admit(&mut self, hash: EntryHash, signed: SignedEntry) {
        let entry = signed.content();
        let parents: Vec<&Admitted> = entry.parents.iter().filter_map(|parent| self.entries.get(parent)).collect();
        let generation = parents.iter().map(|parent| parent.generation.saturating_add(1)).max().unwrap_or(0);
        let reached: Vec<(Place, &Clock)> = parents.iter().map(|parent| (parent.place, &parent.clock)).collect();
        let (place, clock) = self.chains.place(&reached);
        for parent in &entry.parents {
            self.heads.remove(parent);
        }
        // Admission is parents first, so no admitted entry can have this one as a parent yet.
        self.heads.insert(hash);
        self.order.insert((generation, hash));
        let number = self.numbers.entry(entry.epoch).or_insert(entry.number);
        *number = entry.number.max(*number);
        self.fold.absorb(hash, generation, entry);
        self.entries.insert(hash, Admitted { signed, generation, place, clock });
    }
}
