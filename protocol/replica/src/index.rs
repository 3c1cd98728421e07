//! The index: an ordered key-value store that can be thrown away.
//!
//! It holds what the replica derives from the pack log, and the pointer of the last frame it has absorbed, written in the
//! same batch. Whoever opens it replays the log from that pointer; if there is none, or the log does not know it, the
//! index is cleared and replayed from the start. So nothing that exists only here may matter, and nothing is synced.
//!
//! # Invariants
//!
//! 1. A batch is applied whole or not at all, and the absorbed pointer with it. Held by `conformance::index`.
//! 2. No read is unbounded: a page has at most [`PAGE_ENTRIES_MAX`] entries.
//! 3. After an engine failure every call fails until [`Index::clear`]: half-working state is never served.
//!
//! # Limits
//!
//! [`KEY_BYTES_MAX`], [`VALUE_BYTES_MAX`], [`BATCH_OPERATIONS_MAX`], [`PAGE_ENTRIES_MAX`].

mod memory_index;
mod sled_index;
mod sled_session;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::ops::Bound;

use crate::pack_log::FramePointer;

pub use self::memory_index::MemoryIndex;
pub use self::sled_index::{IndexOpen, IndexOpenError, SledIndex};

/// Most bytes of a key.
pub const KEY_BYTES_MAX: usize = 512;
/// Most bytes of a value: far from the size at which sled puts values into files of their own, which it never syncs.
pub const VALUE_BYTES_MAX: usize = 4 * 1024;
/// Most puts and deletes of a batch.
pub const BATCH_OPERATIONS_MAX: usize = 65_536;
/// Most entries of a page.
pub const PAGE_ENTRIES_MAX: usize = 1_000;

/// Keys of this module itself start with this byte; callers' keys do not.
const RESERVED_PREFIX: u8 = 0;
/// Where the absorbed pointer is kept.
const ABSORBED_KEY: &[u8] = b"\0absorbed";

/// An ordered key-value store. One writer; reads may run from several threads.
pub trait Index: Send + Sync + fmt::Debug {
    /// The value of a key.
    ///
    /// # Errors
    ///
    /// When the engine fails: clear and replay.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, IndexError>;

    /// Applies a batch, all of it or nothing.
    ///
    /// # Errors
    ///
    /// When the batch is over a limit, and then nothing happened; or when the engine fails.
    fn apply(&mut self, batch: Batch) -> Result<(), ApplyError>;

    /// Entries of a range in key order, those after a key if one is given.
    ///
    /// # Errors
    ///
    /// When the limit is 0 or over [`PAGE_ENTRIES_MAX`], or the engine fails.
    fn scan(&self, range: &KeyRange, after: Option<&[u8]>, limit: usize) -> Result<Page, PageError>;

    /// The last frame whose effects are in here.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn absorbed(&self) -> Result<Option<FramePointer>, IndexError>;

    /// Hands everything to the operating system, to make the next open quick. Not a promise.
    ///
    /// # Errors
    ///
    /// When the engine fails.
    fn flush(&mut self) -> Result<(), IndexError>;

    /// Forgets everything, also what the engine stumbled over.
    ///
    /// # Errors
    ///
    /// When not even an empty index can be made.
    fn clear(&mut self) -> Result<(), IndexError>;
}

/// Puts and deletes to be applied together. A later one of the same key wins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    operations: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    absorbed: Option<FramePointer>,
}

impl Batch {
    /// An empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key's value.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.insert(key.into(), Some(value.into()));
    }

    /// Removes a key.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.operations.insert(key.into(), None);
    }

    /// States that with this batch everything up to a frame is in the index.
    pub fn absorb(&mut self, pointer: FramePointer) {
        self.absorbed = Some(pointer);
    }

    /// How many keys it touches.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len()
    }

    /// Whether it does nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.operations.is_empty() && self.absorbed.is_none()
    }

    /// Refuses what no implementation may store.
    fn check(&self) -> Result<(), ApplyError> {
        if self.operations.len() > BATCH_OPERATIONS_MAX {
            return Err(ApplyError::BatchTooLarge { have: self.operations.len() });
        }
        for (key, value) in &self.operations {
            if key.first().is_none_or(|first| *first == RESERVED_PREFIX) {
                return Err(ApplyError::KeyReserved);
            }
            if key.len() > KEY_BYTES_MAX {
                return Err(ApplyError::KeyTooLong { have: key.len() });
            }
            if let Some(value) = value.as_ref().filter(|value| value.len() > VALUE_BYTES_MAX) {
                return Err(ApplyError::ValueTooLarge { have: value.len() });
            }
        }
        Ok(())
    }
}

/// Where a scan starts and ends.
type KeyBounds = (Bound<Vec<u8>>, Bound<Vec<u8>>);

/// A stretch of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRange {
    from: Vec<u8>,
    /// Exclusive; `None` is the end of all keys.
    until: Option<Vec<u8>>,
}

impl KeyRange {
    /// All keys.
    #[must_use]
    pub const fn all() -> Self {
        Self { from: Vec::new(), until: None }
    }

    /// The keys that start with some bytes.
    #[must_use]
    pub fn prefix(prefix: impl Into<Vec<u8>>) -> Self {
        let from = prefix.into();
        let mut until = from.clone();
        // The first key after all with the prefix: the last byte that can grow, grown.
        while let Some(last) = until.pop() {
            if let Some(grown) = last.checked_add(1) {
                until.push(grown);
                break;
            }
        }
        Self { from, until: (!until.is_empty()).then_some(until) }
    }

    /// The keys from one on and before another.
    #[must_use]
    pub fn between(from: impl Into<Vec<u8>>, until: impl Into<Vec<u8>>) -> Self {
        Self { from: from.into(), until: Some(until.into()) }
    }

    /// The bounds of the rest after a key; `None` when nothing can be in it. Reserved keys are never in it.
    fn rest(&self, after: Option<&[u8]>) -> Option<KeyBounds> {
        let from = self.from.clone().max(vec![RESERVED_PREFIX + 1]);
        let start = match after {
            Some(after) if after >= from.as_slice() => Bound::Excluded(after.to_vec()),
            Some(_) | None => Bound::Included(from),
        };
        let end = self.until.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let is_possible = match (&start, &end) {
            (Bound::Included(start), Bound::Excluded(end)) => start < end,
            (Bound::Excluded(start), Bound::Excluded(end)) => start < end,
            (_, Bound::Unbounded | Bound::Included(_)) | (Bound::Unbounded, _) => true,
        };
        is_possible.then_some((start, end))
    }
}

/// A part of a scan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Page {
    /// Keys and values in key order.
    pub entries: Vec<(Vec<u8>, Vec<u8>)>,
    /// What to give as `after` for the next page; `None` when there is nothing more.
    pub next: Option<Vec<u8>>,
}

impl Page {
    /// Cuts what was read to the limit; one entry more than the limit says that there is more.
    fn cut(mut entries: Vec<(Vec<u8>, Vec<u8>)>, limit: usize) -> Self {
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| has_more).map(|(key, _)| key.clone());
        Self { entries, next }
    }

    fn check_limit(limit: usize) -> Result<(), PageError> {
        if (1..=PAGE_ENTRIES_MAX).contains(&limit) {
            return Ok(());
        }
        Err(PageError::LimitOutOfRange { asked: limit })
    }
}

/// The engine failed. Nothing is lost: clear the index and replay the pack log.
#[derive(Debug, thiserror::Error)]
#[error("the index failed while {doing}; it must be rebuilt from the pack log")]
pub struct IndexError {
    /// What it was doing.
    pub doing: &'static str,
    /// What the engine said.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Why a batch was not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Too many operations.
    #[error("the batch has {have} operations, at most {BATCH_OPERATIONS_MAX} are allowed; split it")]
    BatchTooLarge {
        /// How many.
        have: usize,
    },
    /// A key is too long.
    #[error("a key has {have} bytes, at most {KEY_BYTES_MAX} are allowed")]
    KeyTooLong {
        /// Its length.
        have: usize,
    },
    /// A key is empty or starts with a zero byte.
    #[error("a key is empty or starts with the reserved byte {RESERVED_PREFIX}")]
    KeyReserved,
    /// A value is too large.
    #[error("a value has {have} bytes, at most {VALUE_BYTES_MAX} are allowed; cut it into chunk keys")]
    ValueTooLarge {
        /// Its length.
        have: usize,
    },
    /// The engine failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The limit is 0 or too large.
    #[error("a page of {asked} entries was asked for, allowed is 1 to {PAGE_ENTRIES_MAX}")]
    LimitOutOfRange {
        /// The asked limit.
        asked: usize,
    },
    /// The engine failed.
    #[error(transparent)]
    Index(#[from] IndexError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_range_ends_at_the_next_sibling() {
        assert_eq!(KeyRange::prefix(b"ab"), KeyRange::between(b"ab", b"ac"));
        assert_eq!(KeyRange::prefix([1, 0xFF, 0xFF]), KeyRange::between([1, 0xFF, 0xFF], [2]));
        assert_eq!(KeyRange::prefix([0xFF]).until, None);
        assert_eq!(KeyRange::prefix([]), KeyRange::all());
    }

    #[test]
    fn range_that_holds_nothing_has_no_bounds() {
        assert_eq!(KeyRange::between(b"b", b"a").rest(None), None);
        assert_eq!(KeyRange::prefix(b"a").rest(Some(b"b")), None);
        assert_eq!(KeyRange::between([0], [1]).rest(None), None, "reserved keys");
    }
}
