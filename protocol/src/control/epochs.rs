//! Epochs: which hub lives in which, what each contains of its parents, and whose receipts still count.
//!
//! A restored hub begins a new epoch that names its parents and the last commit it contains of each. What an older hub
//! promised beyond that commit is void: the pack waits for upload again (A5).

use std::collections::{BTreeMap, BTreeSet};

use crate::bugs::{Bug, injected};
use crate::control::Fold;
use crate::ids::{DeviceId, Epoch, HubId};
use crate::receipt::Receipt;

/// What the control log says of one epoch.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EpochFacts {
    is_begun: bool,
    hubs: BTreeSet<HubId>,
    /// Last commit contained of each parent; of two statements the smaller one, which promises less.
    parents: BTreeMap<Epoch, u64>,
    confirmed: BTreeSet<DeviceId>,
    is_adoption_complete: bool,
}

impl EpochFacts {
    pub(crate) fn begin(&mut self, hub: Option<HubId>, parents: &BTreeMap<Epoch, u64>) {
        self.is_begun = true;
        self.hubs.extend(hub);
        for (parent, commit) in parents {
            let contained = self.parents.entry(*parent).or_insert(*commit);
            *contained = (*commit).min(*contained);
        }
    }

    pub(crate) fn confirm(&mut self, device: DeviceId) {
        self.confirmed.insert(device);
    }

    pub(crate) const fn complete(&mut self) {
        self.is_adoption_complete = true;
    }

    /// Whether an entry began it.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// The hub that began it. More than one only by a fault of the hubs.
    #[must_use]
    pub const fn hubs(&self) -> &BTreeSet<HubId> {
        &self.hubs
    }

    /// Its parents, with the last commit contained of each.
    #[must_use]
    pub const fn parents(&self) -> &BTreeMap<Epoch, u64> {
        &self.parents
    }

    /// Whether it began with a restore whose adoption is not complete: records go to confirmed devices only (A15).
    #[must_use]
    pub fn is_adopting(&self) -> bool {
        !self.parents.is_empty() && !self.is_adoption_complete
    }
}

impl Fold {
    /// What is known of an epoch.
    #[must_use]
    pub fn epoch(&self, epoch: &Epoch) -> Option<&EpochFacts> {
        self.epochs.get(epoch)
    }

    /// All epochs that an entry speaks of.
    pub fn epochs(&self) -> impl Iterator<Item = (&Epoch, &EpochFacts)> {
        self.epochs.iter()
    }

    /// Up to which commit of `epoch` the epoch `present` contains it: all of its own, nothing of a stranger.
    ///
    /// Along a line of epochs it is the smallest of the points named; of several lines the best.
    #[must_use]
    pub fn contained_commit(&self, present: &Epoch, epoch: &Epoch) -> Option<u64> {
        let mut contained = BTreeMap::from([(*present, u64::MAX)]);
        let mut next = vec![(*present, u64::MAX)];
        // Ends on any graph, cycles too: a point is only ever raised, to one of finitely many values.
        while let Some((epoch, limit)) = next.pop() {
            for (parent, commit) in self.epochs.get(&epoch).into_iter().flat_map(|facts| &facts.parents) {
                let commit = limit.min(*commit);
                if contained.get(parent).is_none_or(|known| *known < commit) {
                    contained.insert(*parent, commit);
                    next.push((*parent, commit));
                }
            }
        }
        contained.get(epoch).copied()
    }

    /// Whether `older` is a proper ancestor of `epoch`.
    #[must_use]
    pub fn is_epoch_ancestor(&self, older: &Epoch, epoch: &Epoch) -> bool {
        older != epoch && self.contained_commit(epoch, older).is_some()
    }

    /// How many epochs lie behind an epoch, on the longest line: an ancestor always has fewer than its descendants.
    pub(crate) fn epoch_depth(&self, epoch: &Epoch) -> usize {
        let mut layer = BTreeSet::from([*epoch]);
        let mut depth = 0_usize;
        // The layer empties after the longest line; the bound ends it on a cycle, which only a faulty hub can write.
        while !layer.is_empty() && depth <= self.epochs.len() {
            let parents =
                layer.iter().filter_map(|epoch| self.epochs.get(epoch)).flat_map(|facts| facts.parents.keys());
            layer = parents.copied().collect();
            depth = depth.saturating_add(1);
        }
        depth
    }

    /// Whether a verified receipt counts at the present hub: it is of this epoch, or of one that the present epoch
    /// contains up to its commit (A5). Otherwise its packs wait for upload again.
    #[must_use]
    pub fn receipt_counts(&self, receipt: &Receipt, present: &Epoch) -> bool {
        let is_of_hub = self.epochs.get(&receipt.epoch).is_some_and(|facts| facts.hubs.contains(&receipt.hub));
        is_of_hub && self.contained_commit(present, &receipt.epoch).is_some_and(|commit| receipt.commit <= commit)
    }

    pub(crate) fn is_confirmed(&self, device: &DeviceId, epoch: &Epoch) -> bool {
        let asks = self.epochs.get(epoch).is_some_and(|facts| facts.is_adopting() && !facts.confirmed.contains(device));
        !asks || injected(Bug::UnconfirmedServed)
    }
}
