//! Taking bytes out of the log: what was erased, and what newer frames have superseded.
//!
//! An erasure is decided in the control log and takes effect at once: the document is shown and counted no more. Here its
//! bytes go: packs keep their headers and get stubs, local frames lose the document's changes, and every segment that held
//! them is written anew. The index is then built from what is left, so nothing of it survives there either (A11).
//!
//! # Invariants
//!
//! 1. Live frames keep their commit numbers; vectors and state digests stay what they were
//!    (`erased_document_is_in_no_file_and_does_not_come_back`).

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::control::PurgeTarget;
use qianmo_protocol::ids::{ChangeHash, DocId, digest32};
use qianmo_protocol::pack::Entry;
use qianmo_protocol::wire::{Wire, Writer};

use super::evict::EvictedFrames;
use super::{OpenReport, Replica, ReplicaError};
use crate::frames::{DraftFrame, LocalFrame, MetaFrame, PackFrame};
use crate::pack_log::{CommitNumber, Frame, FrameKind, Keep, RewriteError, ScanFrom};

/// The meta key that says which erasures have been carried out on the bytes.
const ERASED_KEY: &[u8] = b"erased";
/// Erasing packs once must not cost a tablet long: the quick level.
const LEVEL: i32 = 3;

/// What a rewrite did, over all segments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RewriteTotals {
    /// Frames dropped because newer ones superseded them, or because nothing was left of them.
    pub dropped: u64,
    /// Frames that lost an erased document's bytes.
    pub erased: u64,
    /// Bytes of the log before.
    pub bytes_before: u64,
    /// Bytes of the log after.
    pub bytes_after: u64,
}

/// Which frames newer ones have superseded.
#[derive(Debug, Default)]
struct Superseded {
    drafts: BTreeMap<Vec<u8>, CommitNumber>,
    meta: BTreeMap<Vec<u8>, CommitNumber>,
    evicted: EvictedFrames,
    gone: BTreeSet<CommitNumber>,
}

impl Superseded {
    fn newest(&mut self, commit: CommitNumber, frame: &Frame) {
        self.gone.extend(self.evicted.after(commit, frame));
        match frame.kind {
            FrameKind::Draft => {
                let Ok(draft) = DraftFrame::decode(&frame.payload) else { return };
                self.gone.extend(self.drafts.insert(draft.id.0.to_vec(), commit));
                if draft.content.is_none() {
                    self.gone.insert(commit);
                }
            }
            FrameKind::Meta => {
                let Ok(meta) = MetaFrame::decode(&frame.payload) else { return };
                self.gone.extend(self.meta.insert(meta.key, commit));
            }
            FrameKind::Local => {
                let draft = LocalFrame::decode(&frame.payload).ok().and_then(|local| local.draft);
                self.gone.extend(draft.and_then(|draft| self.drafts.remove(draft.0.as_slice())));
            }
            FrameKind::Pack => {
                if let Ok(PackFrame { origin: crate::frames::PackOrigin::Own { supersedes }, .. }) =
                    PackFrame::decode(&frame.payload)
                {
                    self.gone.extend(supersedes.into_iter().map(CommitNumber));
                }
            }
            FrameKind::Control | FrameKind::Verdict | FrameKind::Receipt | FrameKind::Blob | FrameKind::Unknown(_) => {}
        }
    }
}

impl Replica {
    /// Whether the control log asks for erasures whose bytes are still here.
    ///
    /// # Errors
    /// [`ReplicaError`] when the index fails.
    pub fn is_erasure_due(&self) -> Result<bool, ReplicaError> {
        let due = self.erasures();
        Ok(!due.is_empty() && self.meta(ERASED_KEY)? != Some(mark(&due)))
    }

    fn erasures(&self) -> BTreeSet<PurgeTarget> {
        self.control.fold().purges().map(|(_, purge)| purge.target).collect()
    }

    /// Rewrites every segment without what is erased or superseded, and builds the index anew.
    ///
    /// # Errors
    /// [`ReplicaError`]; what was rewritten before the failure stays so, and the rest is done at the next call.
    pub fn rewrite(&mut self) -> Result<RewriteTotals, ReplicaError> {
        self.sync()?;
        let erasures = self.erasures();
        let mut superseded = Superseded::default();
        for found in self.log.scan_from(ScanFrom::Start)? {
            match found {
                Ok((pointer, frame)) => superseded.newest(pointer.commit, &frame),
                Err(crate::pack_log::ScanError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let erased = Erased::of(&erasures);
        let mut totals = RewriteTotals::default();
        let segments: Vec<u32> = self.log.segments().iter().map(|listing| listing.segment).collect();
        for segment in segments {
            let keep = |pointer: &crate::pack_log::FramePointer, frame: &Frame| {
                if superseded.gone.contains(&pointer.commit) { Keep::Drop } else { erased.keep(frame) }
            };
            let report = self.log.rewrite_segment(segment, keep)?;
            totals.dropped += report.dropped;
            totals.erased += report.replaced;
            totals.bytes_before += report.bytes_before;
            totals.bytes_after += report.bytes_after;
        }
        if !erasures.is_empty() {
            for name in self.log.aside_files().map_err(disk_error)? {
                self.log.remove_aside(&name).map_err(disk_error)?;
            }
        }
        self.rebuild(&mut OpenReport::default())?;
        if !erasures.is_empty() {
            self.put_meta(ERASED_KEY, &mark(&erasures))?;
            self.sync()?;
        }
        Ok(totals)
    }
}

fn disk_error(source: crate::disk::DiskError) -> ReplicaError {
    ReplicaError::Read(source.into())
}

/// Names a set of erasures.
fn mark(erasures: &BTreeSet<PurgeTarget>) -> Vec<u8> {
    let mut writer = Writer::new();
    for target in erasures {
        match target {
            PurgeTarget::Document { doc, .. } => writer.raw(&doc.0),
            PurgeTarget::Hash { change, .. } => writer.raw(&change.0),
        }
    }
    digest32("qianmo erased v1", &[&writer.finish()]).to_vec()
}

/// Documents and changes whose bytes must go.
#[derive(Debug, Default)]
struct Erased {
    docs: BTreeSet<DocId>,
    changes: BTreeSet<ChangeHash>,
}

impl Erased {
    fn of(erasures: &BTreeSet<PurgeTarget>) -> Self {
        let mut erased = Self::default();
        for target in erasures {
            match target {
                PurgeTarget::Document { doc, .. } => erased.docs.insert(*doc),
                PurgeTarget::Hash { change, .. } => erased.changes.insert(*change),
            };
        }
        erased
    }

    fn has(&self, entry: &Entry) -> bool {
        entry.change().is_some() && (self.docs.contains(&entry.doc()) || self.changes.contains(&entry.hash()))
    }

    /// What becomes of a frame. One that cannot be read is kept: it is damage for a person to look at.
    fn keep(&self, frame: &Frame) -> Keep {
        match frame.kind {
            FrameKind::Local => self.keep_local(frame),
            FrameKind::Pack => self.keep_pack(frame),
            FrameKind::Draft
            | FrameKind::Control
            | FrameKind::Verdict
            | FrameKind::Receipt
            | FrameKind::Meta
            | FrameKind::Blob
            | FrameKind::Unknown(_) => Keep::Keep,
        }
    }

    fn keep_local(&self, frame: &Frame) -> Keep {
        let Ok(mut local) = LocalFrame::decode(&frame.payload) else { return Keep::Keep };
        let before = local.entries.len();
        local.entries.retain(|entry| !self.has(entry));
        if local.entries.len() == before {
            Keep::Keep
        } else if local.entries.is_empty() {
            Keep::Drop
        } else {
            Keep::Replace(local.encode())
        }
    }

    fn keep_pack(&self, frame: &Frame) -> Keep {
        let Ok(mut stored) = PackFrame::decode(&frame.payload) else { return Keep::Keep };
        let Ok(entries) = stored.pack.open() else { return Keep::Keep };
        if !entries.iter().any(|entry| self.has(entry)) {
            return Keep::Keep;
        }
        match stored.pack.without(&entries, LEVEL, |entry| self.has(entry)) {
            Ok(pack) => {
                stored.pack = pack;
                Keep::Replace(stored.encode())
            }
            Err(_) => Keep::Keep,
        }
    }
}

impl From<RewriteError> for ReplicaError {
    fn from(error: RewriteError) -> Self {
        Self::Rewrite(error)
    }
}
