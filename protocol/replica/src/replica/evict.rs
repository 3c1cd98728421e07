//! Freeing space: a whole logbook goes, once a hub has all of it and a backup of the hub too (A5, A6).
//!
//! Single packs are never dropped, so a vector always says what can be served. Evicting ends our incarnation in the
//! logbook: what is written into it later begins a new log, which nobody asks ancestors of. The bytes go with the next
//! rewrite; selected again, the logbook comes back whole.

use std::collections::BTreeMap;

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PackHash};
use qianmo_protocol::wire::{Reader, Wire as _, Writer};

use super::status::Delivery;
use super::{Replica, ReplicaError};
use crate::frames::{MetaFrame, PackFrame, VerdictFrame};
use crate::overlay::decode;
use crate::pack_log::{CommitNumber, Frame, FrameKind};
use crate::rows::{self, DocKind, DocRow, NamedPack, PackRow};

/// Key of the fact that a logbook was evicted, with its name behind it.
pub(super) const EVICTED_KEY: &[u8] = b"evicted ";

/// Why a logbook has to stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvictHold {
    /// Directories are always kept.
    #[error("a directory is never evicted")]
    Directory,
    /// Nothing of it is here.
    #[error("nothing of the logbook is on this device")]
    NotHere,
    /// Saved changes that are in no pack, or packs that can be judged and are not yet, or that wait to be packed again:
    /// sync first. Packs that wait for a control entry hold nothing up.
    #[error("{count} saves or packs of the logbook are not settled yet; sync first")]
    Unsettled {
        /// How many.
        count: usize,
    },
    /// Packs of this device without a receipt that counts: sync first.
    #[error("{count} packs of the logbook have no receipt of the hub; sync first")]
    Unreceipted {
        /// How many.
        count: usize,
    },
    /// Packs that no backup of the present hub is known to contain: wait for its next backup, and sync.
    #[error("{count} packs of the logbook are not known to be in a backup of the hub; sync after its next backup")]
    NotBackedUp {
        /// How many.
        count: usize,
    },
}

/// Why a logbook was not evicted.
#[derive(Debug, thiserror::Error)]
pub enum EvictError {
    /// It has to stay for now.
    #[error("{logbook} cannot be evicted")]
    Held {
        /// The logbook.
        logbook: LogbookName,
        /// Why.
        #[source]
        hold: EvictHold,
    },
    /// The store failed.
    #[error("the record store failed")]
    Store(#[from] ReplicaError),
}

/// What is known of packs that others wrote: a receipt goes to the author alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Foreign {
    /// A backup of the hub contains all that is held of the logbook.
    BackedUp,
    /// Nothing is known.
    Unknown,
}

fn evicted_key(name: &LogbookName) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(EVICTED_KEY);
    writer.logbook(name);
    writer.finish()
}

impl Replica {
    /// Whether a logbook was ever let go of.
    pub(super) fn was_evicted(&self, name: &LogbookName) -> Result<bool, ReplicaError> {
        Ok(self.index.has(&rows::meta(&evicted_key(name)))?)
    }

    /// Lets go of a logbook. `foreign` says what is known of what others wrote in it. Not durable before [`Replica::sync`]; the bytes go with the next [`Replica::rewrite`].
    ///
    /// # Errors
    /// [`EvictError::Held`] says what is missing; nothing is changed then.
    pub fn evict(&mut self, name: &LogbookName, foreign: Foreign) -> Result<(), EvictError> {
        if let Some(hold) = self.evict_hold(name, foreign)? {
            return Err(EvictError::Held { logbook: name.clone(), hold });
        }
        Ok(self.put_meta(&evicted_key(name), &[])?)
    }

    /// What keeps a logbook from being evicted.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn evict_hold(&self, name: &LogbookName, foreign: Foreign) -> Result<Option<EvictHold>, ReplicaError> {
        match name {
            LogbookName::OrgDirectory | LogbookName::StationDirectory(_) => return Ok(Some(EvictHold::Directory)),
            LogbookName::StationMonth(..) => {}
        }
        let due = self.index.scan_all(rows::DUE)?;
        let mut unsettled = self.books.get(name).map_or(0, |book| book.unsealed + book.unjudged);
        for (key, value) in due {
            let row: rows::DueRow = decode(&key, &value)?;
            unsettled += usize::from(row.logbook == *name);
        }
        if unsettled > 0 {
            return Ok(Some(EvictHold::Unsettled { count: unsettled }));
        }
        let packs = self.index.scan_all(&rows::packs_of(&name.id(&self.org)))?;
        if packs.is_empty() {
            return Ok(Some(EvictHold::NotHere));
        }
        let (mut unreceipted, mut bare) = (0usize, 0usize);
        for (key, value) in &packs {
            let Some(pack) = rows::tail::<32>(key).map(PackHash) else { continue };
            let row: PackRow = decode(key, value)?;
            // What no hub takes is in other packs by now. What waits for a control entry is in no vector, and its author
            // keeps it until a hub's receipt names it.
            if self.refused.contains(&pack) || self.is_row_parked(&row) {
                continue;
            }
            match self.pack_delivery(&pack)? {
                Delivery::BackedUp => {}
                Delivery::Acknowledged => bare += usize::from(!injected(Bug::EvictsUnbacked)),
                Delivery::Waiting | Delivery::Held { .. } | Delivery::Elsewhere => {
                    let is_unreceipted = self.index.has(&rows::unreceipted(row.pointer.commit.0))?;
                    unreceipted += usize::from(is_unreceipted);
                    bare += usize::from(!is_unreceipted && foreign == Foreign::Unknown);
                }
            }
        }
        Ok(match (unreceipted, bare) {
            (0, 0) => None,
            (0, count) => Some(EvictHold::NotBackedUp { count }),
            (count, _) => Some(EvictHold::Unreceipted { count }),
        })
    }

    /// A logbook leaves the index: packs, tips, documents, and our place in its log.
    pub(super) fn absorb_evicted(&mut self, logbook: &[u8]) -> Result<(), ReplicaError> {
        let mut reader = Reader::new(logbook);
        let Ok(name) = reader.logbook("logbook") else { return Ok(()) };
        let id = name.id(&self.org);
        self.index.delete(rows::meta(&super::packs::incarnation_key(&name)));
        for tip in self.books.get(&name).map(|book| book.tips.clone()).unwrap_or_default() {
            self.index.delete(rows::tip(&name, &tip.log, tip.seq, &tip.head));
        }
        for (key, value) in self.index.scan_all(&rows::packs_of(&id))? {
            let row: PackRow = decode(&key, &value)?;
            if let Some(pack) = rows::tail::<32>(&key).map(PackHash) {
                self.index.delete(rows::passed(&pack));
                self.index.delete(rows::own_pack(&pack));
                self.index.delete(rows::due(&pack));
            }
            self.index.delete(rows::unreceipted(row.pointer.commit.0));
            if let Some(pack) = rows::tail::<32>(&key).map(PackHash) {
                self.dequeue(&NamedPack { logbook: name.clone(), pack }, &row)?;
            }
            self.index.delete(key);
        }
        for (key, _) in self.index.scan_all(&rows::nodes_of(&id))? {
            self.index.delete(key);
        }
        for (key, value) in self.index.scan_all(rows::DOCS)? {
            let row: DocRow = decode(&key, &value)?;
            let doc = rows::tail::<16>(&key).map(DocId);
            if let Some(doc) = doc.filter(|_| row.logbook == name) {
                self.forget_document(&doc, &row)?;
            }
        }
        self.index.delete(rows::logbook(&name));
        self.books.remove(&name);
        Ok(())
    }

    fn forget_document(&mut self, doc: &DocId, row: &DocRow) -> Result<(), ReplicaError> {
        for (key, _) in self.index.scan_all(&rows::changes_of(doc))? {
            self.index.delete(key.clone());
            let Some(change) = rows::tail::<32>(&key).map(ChangeHash) else { continue };
            self.index.delete(rows::doc_of(&change));
            self.index.delete(rows::failed_here(doc, &change));
            for (key, _) in self.index.scan_all(&rows::carriers_of(&change))? {
                self.index.delete(key);
            }
        }
        match &row.kind {
            DocKind::Record { created_at, .. } => self.index.delete(rows::record_by_time(*created_at, doc)),
            DocKind::Review { record } => self.index.delete(rows::review(record, doc)),
            DocKind::Unreadable(_) => self.index.delete(rows::record_by_time(super::absorb::UNREADABLE_SINCE, doc)),
            DocKind::Unknown => {}
        }
        self.index.delete(rows::doc(doc));
        self.touched.insert(*doc);
        Ok(())
    }
}

/// Finds the frames that evictions leave behind, in a scan of the whole log.
#[derive(Debug, Default)]
pub(super) struct EvictedFrames {
    by_logbook: BTreeMap<LogbookName, Vec<CommitNumber>>,
}

impl EvictedFrames {
    /// Looks at the next frame, and answers those that are to go because of it.
    pub(super) fn after(&mut self, commit: CommitNumber, frame: &Frame) -> Vec<CommitNumber> {
        let logbook = match frame.kind {
            FrameKind::Pack => PackFrame::decode(&frame.payload).ok().map(|frame| frame.pack.header.logbook),
            FrameKind::Verdict => VerdictFrame::decode(&frame.payload).ok().map(|frame| frame.logbook),
            FrameKind::Meta => {
                let Ok(meta) = MetaFrame::decode(&frame.payload) else { return Vec::new() };
                let Some(name) = meta.key.strip_prefix(EVICTED_KEY) else { return Vec::new() };
                let evicted = Reader::new(name).logbook("logbook").ok();
                return evicted.and_then(|name| self.by_logbook.remove(&name)).unwrap_or_default();
            }
            FrameKind::Draft
            | FrameKind::Local
            | FrameKind::Control
            | FrameKind::Receipt
            | FrameKind::Blob
            | FrameKind::Unknown(_) => None,
        };
        if let Some(logbook) = logbook {
            self.by_logbook.entry(logbook).or_default().push(commit);
        }
        Vec::new()
    }
}
