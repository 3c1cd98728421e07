//! Recently opened packs, so that a pack is inflated once while its entries are absorbed, judged and read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use qianmo_protocol::ids::PackHash;
use qianmo_protocol::pack::Entry;

/// Entries kept at most, over all packs.
const ENTRIES_MAX: usize = 16_384;

/// A first-in, first-out cache of opened packs.
#[derive(Debug, Default)]
pub(crate) struct EntryCache {
    packs: BTreeMap<PackHash, Arc<Vec<Entry>>>,
    order: VecDeque<PackHash>,
    entries: usize,
}

impl EntryCache {
    pub(crate) fn get(&self, pack: &PackHash) -> Option<Arc<Vec<Entry>>> {
        self.packs.get(pack).cloned()
    }

    pub(crate) fn put(&mut self, pack: PackHash, entries: Arc<Vec<Entry>>) {
        let count = entries.len();
        if self.packs.insert(pack, entries).is_none() {
            self.order.push_back(pack);
            self.entries += count;
        }
        while self.entries > ENTRIES_MAX && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.packs.remove(&oldest) {
                self.entries = self.entries.saturating_sub(gone.len());
            }
        }
    }
}
