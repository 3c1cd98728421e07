//! What an erasure takes along: a record's reviews and comments; for a service target everything that ever referred to it.
//!
//! A reference is a document's id, written as 32 digits in a text or as 16 bytes, and "refers" means in any change of the
//! history, held ones too (A11). So every pack and every saved change is looked through, not the present values.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::{OpAction, RawChange, Scalar};
use qianmo_protocol::control::ReviewMemory;
use qianmo_protocol::ids::{DocId, LogbookName, PackHash};
use qianmo_protocol::pack::Entry;
use qianmo_protocol::review::{ReviewEvent, ReviewKind, Standing};
use qianmo_protocol::wire::Wire as _;

use super::{Replica, ReplicaError};
use crate::frames::{LocalFrame, PackFrame};
use crate::overlay::decode;
use crate::pack_log::{Frame, FrameKind, ScanError, ScanFrom};
use crate::rows::{self, ChangePlace, ChangeRow, DocKind, DocRow, PackRow};

/// How far an erasure reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErasureReach {
    /// The document, and if it is a record its reviews and comments.
    Record,
    /// A service target: also every record, review and comment that refers to it.
    Target,
}

/// One document that goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasedPart {
    /// Which.
    pub doc: DocId,
    /// Where it lives.
    pub logbook: LogbookName,
    /// The record that it is a review or comment of; `None` for a record.
    pub about: Option<DocId>,
}

/// Whether a change writes the id of one of these documents, in any of the forms a reference has.
#[must_use]
pub fn refers_to(change: &RawChange, targets: &BTreeSet<DocId>) -> bool {
    // Operations that cannot be read are held for their content; they show nobody anything, and refer to nothing.
    let change = change.unshared();
    let Ok(ops) = change.ops() else { return false };
    ops.iter().any(|op| match &op.action {
        OpAction::MakeMap => false,
        OpAction::Put(Scalar::Bytes(bytes)) => DocId::from_slice(bytes).is_some_and(|doc| targets.contains(&doc)),
        OpAction::Put(Scalar::Text(text)) => {
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| DocId::from_hex(word).is_some_and(|doc| targets.contains(&doc)))
        }
        OpAction::Put(Scalar::Null | Scalar::Bool(_) | Scalar::Int(_)) => false,
    })
}

impl Replica {
    /// Everything that goes when a document is erased, itself first; `None` when it is not known here. What is erased
    /// already is left out.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn erasure_scope(&self, doc: &DocId, reach: ErasureReach) -> Result<Option<Vec<ErasedPart>>, ReplicaError> {
        if !self.index.has(&rows::doc(doc))? {
            return Ok(None);
        }
        let mut docs = BTreeSet::from([*doc]);
        if reach == ErasureReach::Target {
            docs.extend(self.referring(&docs)?);
        }
        for record in docs.clone() {
            let reviews = self.index.scan_all(&rows::reviews_of(&record))?;
            docs.extend(reviews.iter().filter_map(|(key, _)| rows::tail::<16>(key)).map(DocId));
        }
        docs.remove(doc);
        let mut parts = Vec::new();
        for doc in core::iter::once(*doc).chain(docs) {
            if !self.control.fold().is_document_purged(&doc) {
                parts.extend(self.erased_part(&doc)?);
            }
        }
        Ok(Some(parts))
    }

    /// One document as an erasure takes it; `None` when it is not known here.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn erased_part(&self, doc: &DocId) -> Result<Option<ErasedPart>, ReplicaError> {
        let Some(row) = self.index.get::<DocRow>(&rows::doc(doc))? else { return Ok(None) };
        let about = match row.kind {
            DocKind::Review { record } => Some(record),
            DocKind::Record { .. } | DocKind::Unreadable(_) | DocKind::Unknown => None,
        };
        Ok(Some(ErasedPart { doc: *doc, logbook: row.logbook, about }))
    }

    /// What must outlive a review event that is erased (A3); `None` for one that hides nothing while it is here, and for
    /// what is no event.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn review_memory(&self, doc: &DocId) -> Result<Option<ReviewMemory>, ReplicaError> {
        let Some(view) = self.review_view(doc)? else { return Ok(None) };
        let memory = |event: &ReviewEvent| ReviewMemory {
            record: event.record,
            kind: kind_number(event.kind),
            seen: event.seen.clone(),
        };
        Ok(match view.standing {
            Standing::Admitted | Standing::ErasedOrHeld => Some(memory(&view.event)),
            Standing::HeldForRole | Standing::Excluded => None,
        })
    }

    /// Documents that refer to one of these, in any change that is here.
    fn referring(&self, targets: &BTreeSet<DocId>) -> Result<BTreeSet<DocId>, ReplicaError> {
        let mut docs = BTreeSet::new();
        for found in self.log.scan_from(ScanFrom::Start)? {
            let frame = match found {
                Ok((_, frame)) => frame,
                Err(ScanError::Damaged(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            for entry in entries_of(&frame) {
                if !targets.contains(&entry.doc()) && entry.change().is_some_and(|change| refers_to(change, targets)) {
                    docs.insert(entry.doc());
                }
            }
        }
        Ok(docs)
    }

    /// The document that a change is of.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn document_of(&self, change: &qianmo_protocol::ids::ChangeHash) -> Result<Option<DocId>, ReplicaError> {
        Ok(self.index.get_raw(&rows::doc_of(change))?.and_then(|bytes| DocId::from_slice(&bytes)))
    }

    /// Reviews and comments of erased records that are not erased themselves: they came later.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn left_by_erasures(&self) -> Result<BTreeMap<DocId, DocId>, ReplicaError> {
        let fold = self.control.fold();
        let mut left = BTreeMap::new();
        for (_, purge) in fold.purges() {
            let qianmo_protocol::control::PurgeTarget::Document { doc: record, .. } = purge.target else { continue };
            for (key, _) in self.index.scan_all(&rows::reviews_of(&record))? {
                let Some(doc) = rows::tail::<16>(&key).map(DocId) else { continue };
                if !fold.is_document_purged(&doc) {
                    left.insert(doc, record);
                }
            }
        }
        Ok(left)
    }

    /// Whether everything of a document is in a backup up to `watermark`, or came from another device that keeps its own
    /// packs until they are backed up.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn is_kept_elsewhere(&self, doc: &DocId, watermark: u64) -> Result<bool, ReplicaError> {
        let Some(home) = self.index.get::<DocRow>(&rows::doc(doc))?.map(|row| row.logbook.id(&self.org)) else {
            return Ok(false);
        };
        for (key, value) in self.index.scan_all(&rows::changes_of(doc))? {
            let row: ChangeRow = decode(&key, &value)?;
            let Some(hash) = rows::tail::<32>(&key) else { continue };
            if matches!(row.place, ChangePlace::Local { .. }) {
                return Ok(false);
            }
            let carriers = self.index.scan_all(&rows::carriers_of(&qianmo_protocol::ids::ChangeHash(hash)))?;
            let mut is_kept = false;
            for pack in carriers.iter().filter_map(|(key, _)| rows::tail::<32>(key)).map(PackHash) {
                let Some(row) = self.index.get::<PackRow>(&rows::pack(&home, &pack))? else { continue };
                let device = self.control.fold().device(&row.log.device);
                let is_with_author = row.log.device != self.device
                    && device.is_some_and(|device| device.is_enrolled() && !device.is_revoked());
                is_kept |= row.pointer.commit.0 <= watermark || is_with_author;
            }
            if !is_kept {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn kind_number(kind: ReviewKind) -> u8 {
    let at = ReviewKind::ALL.iter().position(|known| *known == kind);
    at.and_then(|at| u8::try_from(at).ok()).unwrap_or(u8::MAX)
}

/// The changes that a frame brings; none for one that cannot be read, which is damage for a person to look at.
fn entries_of(frame: &Frame) -> Vec<Entry> {
    match frame.kind {
        FrameKind::Pack => {
            PackFrame::decode(&frame.payload).ok().and_then(|stored| stored.pack.open().ok()).unwrap_or_default()
        }
        FrameKind::Local => LocalFrame::decode(&frame.payload).map(|local| local.entries).unwrap_or_default(),
        FrameKind::Draft
        | FrameKind::Control
        | FrameKind::Verdict
        | FrameKind::Receipt
        | FrameKind::Meta
        | FrameKind::Blob
        | FrameKind::Unknown(_) => Vec::new(),
    }
}
