//! Uncommitted index rows over the index.
//!
//! A group of frames is absorbed in memory and committed to the index as one batch, together with the position of the last
//! frame, so that the index is always exactly as far as it says. Reads see the overlay first.

use std::collections::BTreeMap;

use qianmo_protocol::wire::{DecodeError, Wire};

use crate::index::{ApplyError, Batch, Index, IndexError, KeyRange, PAGE_ENTRIES_MAX, PageError};
use crate::pack_log::FramePointer;

/// Rows fetched at once by [`Overlay::scan_all`].
const PAGE_ROWS: usize = PAGE_ENTRIES_MAX / 2;

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// Why a row could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    /// The index failed: it will be rebuilt.
    #[error("the index failed")]
    Index(#[from] IndexError),
    /// The index did not take a batch.
    #[error("the index did not take a batch of rows")]
    Apply(#[from] ApplyError),
    /// The index did not give a page.
    #[error("the index did not give a page of rows")]
    Page(#[from] PageError),
    /// The index failed before, while answering a call that cannot fail.
    #[error("the index failed before: {said}")]
    Earlier {
        /// What it said.
        said: String,
    },
    /// Segments of the log were rewritten since: rows point to places that are no more.
    #[error("the log was rewritten since")]
    Rewritten,
    /// A row does not have the form this version writes: the index will be rebuilt.
    #[error("the index row under a key starting with {prefix:?} is malformed")]
    Malformed {
        /// The kind of row.
        prefix: char,
        /// Why.
        #[source]
        source: DecodeError,
    },
}

#[derive(Debug)]
pub(crate) struct Overlay {
    index: Box<dyn Index>,
    pending: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
}

impl Overlay {
    pub(crate) const fn new(index: Box<dyn Index>) -> Self {
        Self { index, pending: BTreeMap::new() }
    }

    pub(crate) fn absorbed(&self) -> Result<Option<FramePointer>, IndexError> {
        self.index.absorbed()
    }

    pub(crate) fn get_raw(&self, key: &[u8]) -> Result<Option<Vec<u8>>, RowError> {
        match self.pending.get(key) {
            Some(value) => Ok(value.clone()),
            None => Ok(self.index.get(key)?),
        }
    }

    pub(crate) fn get<T: Wire>(&self, key: &[u8]) -> Result<Option<T>, RowError> {
        self.get_raw(key)?.map(|value| decode(key, &value)).transpose()
    }

    pub(crate) fn has(&self, key: &[u8]) -> Result<bool, RowError> {
        Ok(self.get_raw(key)?.is_some())
    }

    pub(crate) fn put<T: Wire>(&mut self, key: Vec<u8>, value: &T) {
        self.pending.insert(key, Some(value.encode()));
    }

    pub(crate) fn put_raw(&mut self, key: Vec<u8>, value: Vec<u8>) {
        self.pending.insert(key, Some(value));
    }

    pub(crate) fn delete(&mut self, key: Vec<u8>) {
        self.pending.insert(key, None);
    }

    /// Up to `limit` rows under a prefix, after a key, in the order of keys.
    pub(crate) fn scan(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<Vec<Row>, RowError> {
        let limit = limit.min(PAGE_ENTRIES_MAX);
        let hidden = self.pending_under(prefix, after).filter(|(_, value)| value.is_none()).count();
        let asked = limit.saturating_add(hidden).min(PAGE_ENTRIES_MAX);
        let stored = self.index.scan(&KeyRange::prefix(prefix), after, asked.max(1))?;
        // Beyond the last stored row of a page with more behind it nothing is known: pending rows there wait.
        let horizon = stored.next;
        let mut rows: BTreeMap<Vec<u8>, Vec<u8>> = stored.entries.into_iter().collect();
        for (key, value) in self.pending_under(prefix, after) {
            if horizon.as_ref().is_some_and(|horizon| key > horizon) {
                break;
            }
            match value {
                Some(value) => rows.insert(key.clone(), value.clone()),
                None => rows.remove(key),
            };
        }
        Ok(rows.into_iter().take(limit).collect())
    }

    /// All rows under a prefix that holds few.
    pub(crate) fn scan_all(&self, prefix: &[u8]) -> Result<Vec<Row>, RowError> {
        let mut rows: Vec<Row> = Vec::new();
        loop {
            let page = self.scan(prefix, rows.last().map(|(key, _)| key.as_slice()), PAGE_ROWS)?;
            let is_last = page.len() < PAGE_ROWS;
            rows.extend(page);
            if is_last {
                return Ok(rows);
            }
        }
    }

    fn pending_under<'a>(
        &'a self,
        prefix: &'a [u8],
        after: Option<&'a [u8]>,
    ) -> impl Iterator<Item = (&'a Vec<u8>, &'a Option<Vec<u8>>)> {
        let from = after.unwrap_or(prefix);
        self.pending
            .range::<[u8], _>((core::ops::Bound::Included(from), core::ops::Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix) || key.as_slice() < prefix)
            .filter(move |(key, _)| key.starts_with(prefix) && after.is_none_or(|after| key.as_slice() > after))
    }

    pub(crate) fn pending_rows(&self) -> usize {
        self.pending.len()
    }

    /// Writes everything pending and the position in one batch.
    pub(crate) fn commit(&mut self, absorbed: &FramePointer) -> Result<(), RowError> {
        let mut batch = Batch::default();
        for (key, value) in core::mem::take(&mut self.pending) {
            match value {
                Some(value) => batch.put(key, value),
                None => batch.delete(key),
            }
        }
        batch.absorb(*absorbed);
        Ok(self.index.apply(batch)?)
    }

    pub(crate) fn clear(&mut self) -> Result<(), IndexError> {
        self.pending.clear();
        self.index.clear()
    }

    pub(crate) fn flush(&mut self) -> Result<(), IndexError> {
        self.index.flush()
    }
}

pub(crate) fn decode<T: Wire>(key: &[u8], value: &[u8]) -> Result<T, RowError> {
    T::decode(value).map_err(|source| malformed(key, source))
}

pub(crate) fn malformed(key: &[u8], source: DecodeError) -> RowError {
    RowError::Malformed { prefix: key.first().copied().map_or('?', char::from), source }
}
