//! What a person writes: saved changes, durable before the call's answer is believed.

use qianmo_protocol::control::{CarrierFacts, CarrierFailure, Written as Kind};
use qianmo_protocol::ids::{ChangeHash, DocId, EntryHash, Incarnation, LogId, LogbookName, PackHash, PersonCode};
use qianmo_protocol::limits::{PACK_ENTRIES_MAX, PACK_RAW_BYTES_MAX};
use qianmo_protocol::pack::{Entry, entry_bytes};
use qianmo_protocol::record::AuthoredChange;

use super::{Payload, Replica, ReplicaError};
use crate::frames::{DraftId, LocalFrame};
use crate::pack_log::FrameKind;

/// Changes that were appended as one act; durable after the next [`Replica::sync`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The changes, in the order given.
    pub changes: Vec<ChangeHash>,
    /// The documents they are of.
    pub docs: Vec<DocId>,
}

/// Why changes cannot be saved.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Too much for one pack: save in smaller steps.
    #[error(
        "one save holds at most {entries_max} changes of {bytes_max} bytes together, this has {entries} of {bytes}"
    )]
    TooLarge {
        /// Changes given.
        entries: usize,
        /// Bytes given.
        bytes: usize,
        /// Most changes.
        entries_max: usize,
        /// Most bytes.
        bytes_max: usize,
    },
    /// The store failed.
    #[error("the changes could not be saved")]
    Store(#[from] ReplicaError),
}

impl Replica {
    /// Whether every gate that knows what is known here would let a person write something here now.
    ///
    /// # Errors
    /// [`CarrierFailure`]: why not.
    pub fn may_write(&self, person: &PersonCode, logbook: &LogbookName, what: Kind) -> Result<(), CarrierFailure> {
        let facts = CarrierFacts {
            logbook,
            log: LogId { device: self.device(), incarnation: Incarnation([0; 8]) },
            pack: PackHash::NONE,
            change: ChangeHash([0; 32]),
            position: self.control.position().unwrap_or(EntryHash([0; 32])),
            person,
            what,
        };
        self.control.judge_carrier(&facts, &|_| false)
    }

    /// Saves changes of documents in one logbook as one act: all of them or none. Durable after the next
    /// [`Replica::sync`].
    ///
    /// `draft` is the draft they come from; it is gone with the same frame.
    ///
    /// # Errors
    /// [`WriteError`]; nothing is saved then.
    pub fn write(
        &mut self,
        logbook: &LogbookName,
        changes: &[(DocId, AuthoredChange)],
        draft: Option<DraftId>,
    ) -> Result<Written, WriteError> {
        let entries: Vec<Entry> = changes
            .iter()
            .map(|(doc, authored)| match authored.change.doc_id_if_root() {
                Some(_) => Entry::Root { change: authored.change.clone() },
                None => Entry::Full { doc: *doc, change: authored.change.clone() },
            })
            .collect();
        let bytes: usize = entries.iter().map(entry_bytes).sum();
        if entries.len() > PACK_ENTRIES_MAX || bytes > PACK_RAW_BYTES_MAX {
            return Err(WriteError::TooLarge {
                entries: entries.len(),
                bytes,
                entries_max: PACK_ENTRIES_MAX,
                bytes_max: PACK_RAW_BYTES_MAX,
            });
        }
        let written = Written {
            changes: entries.iter().map(Entry::hash).collect(),
            docs: entries.iter().map(Entry::doc).collect(),
        };
        let frame = LocalFrame { logbook: logbook.clone(), draft, entries };
        self.append(FrameKind::Local, &frame.encode(), Payload::Local(frame))?;
        Ok(written)
    }
}
