//! The index in memory: for tests, the simulator, and replicas small enough to replay at every start.

use std::collections::BTreeMap;

use super::{ApplyError, Batch, Index, IndexError, KeyRange, Page, PageError};
use crate::pack_log::FramePointer;

/// An index in memory. A clone is a copy: what a simulated device finds after a crash may be an old one.
#[derive(Debug, Clone, Default)]
pub struct MemoryIndex {
    entries: BTreeMap<Vec<u8>, Vec<u8>>,
    absorbed: Option<FramePointer>,
}

impl MemoryIndex {
    /// An empty index.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Index for MemoryIndex {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError> {
        Ok(self.entries.get(key).cloned())
    }

    fn apply(&mut self, batch: Batch) -> Result<(), ApplyError> {
        batch.check()?;
        for (key, value) in batch.operations {
            match value {
                Some(value) => drop(self.entries.insert(key, value)),
                None => drop(self.entries.remove(&key)),
            }
        }
        self.absorbed = batch.absorbed.or(self.absorbed);
        Ok(())
    }

    fn scan(&self, range: &KeyRange, after: Option<&[u8]>, limit: usize) -> Result<Page, PageError> {
        Page::check_limit(limit)?;
        let Some(bounds) = range.rest(after) else { return Ok(Page::default()) };
        let entries = self.entries.range::<Vec<u8>, _>(bounds).take(limit + 1);
        Ok(Page::cut(entries.map(|(key, value)| (key.clone(), value.clone())).collect(), limit))
    }

    fn absorbed(&self) -> Result<Option<FramePointer>, IndexError> {
        Ok(self.absorbed)
    }

    fn flush(&mut self) -> Result<(), IndexError> {
        Ok(())
    }

    fn clear(&mut self) -> Result<(), IndexError> {
        *self = Self::default();
        Ok(())
    }
}
