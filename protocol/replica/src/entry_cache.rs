//! Recently opened packs, so that a pack is inflated once while its entries are absorbed, judged and read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use qianmo_protocol::ids::PackHash;
use qianmo_protocol::pack::Entry;

/// Entries kept at most, over all packs.
const ENTRIES_MAX: usize = 16_384;
/// Bytes of their changes kept at most. A change that passed the gate keeps its operations once they were decoded, which
/// takes about twenty times its bytes.
const CHANGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A first-in, first-out cache of opened packs.
#[derive(Debug, Default)]
pub(crate) struct EntryCache {
    packs: BTreeMap<PackHash, Arc<Vec<Entry>>>,
    order: VecDeque<PackHash>,
    entries: usize,
    bytes: usize,
}

impl EntryCache {
    pub(crate) fn get(&self, pack: &PackHash) -> Option<Arc<Vec<Entry>>> {
        self.packs.get(pack).cloned()
    }

    pub(crate) fn put(&mut self, pack: PackHash, entries: Arc<Vec<Entry>>) {
        let (count, bytes) = (entries.len(), change_bytes(&entries));
        if self.packs.insert(pack, entries).is_none() {
            self.order.push_back(pack);
            self.entries += count;
            self.bytes += bytes;
        }
        while (self.entries > ENTRIES_MAX || self.bytes > CHANGE_BYTES_MAX) && self.order.len() > 1 {
            let Some(oldest) = self.order.pop_front() else { break };
            if let Some(gone) = self.packs.remove(&oldest) {
                self.entries = self.entries.saturating_sub(gone.len());
                self.bytes = self.bytes.saturating_sub(change_bytes(&gone));
            }
        }
    }
}

fn change_bytes(entries: &[Entry]) -> usize {
    entries.iter().filter_map(Entry::change).map(|change| change.content().len()).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use qianmo_protocol::change::{ActorId, Scalar};
    use qianmo_protocol::ids::{Code, LogbookId};
    use qianmo_protocol::record::{Origin, RecordRoot, create};
    use qianmo_protocol::time::UnixMillis;

    use super::*;

    fn large(number: u8) -> Entry {
        let person = Code::new("P01").unwrap();
        let time = UnixMillis(1_750_000_000_000);
        let origin = Origin { actor: ActorId([number; 16]), person: person.clone(), time };
        let root = RecordRoot {
            form: Code::new("visit").unwrap(),
            form_version: 1,
            station: None,
            logbook: LogbookId([1; 16]),
            author: person,
            created_at: time,
        };
        let text = |at: usize| (format!("f{at}"), Scalar::Text("x".repeat(10_000)));
        Entry::Root {
            change: create(&origin, &root, &(0..6).map(text).collect::<Map<_, _>>(), &Map::new()).unwrap().change,
        }
    }

    #[test]
    fn few_large_packs_are_kept_and_many_small_ones() {
        let mut cache = EntryCache::default();
        let entries: Arc<Vec<Entry>> = Arc::new((0..4).map(large).collect());
        let each = change_bytes(&entries);
        assert!(each > 200_000, "{each}");
        for number in 0..100 {
            cache.put(PackHash([number; 32]), Arc::clone(&entries));
            assert!(cache.bytes <= CHANGE_BYTES_MAX);
            assert!(cache.get(&PackHash([number; 32])).is_some(), "the newest is always there");
        }
        assert_eq!(cache.packs.len(), CHANGE_BYTES_MAX / each);
    }
}
