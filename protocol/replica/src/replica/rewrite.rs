//! Taking bytes out of the log: what was erased, and what newer frames have superseded.
//!
//! An erasure is decided in the control log and takes effect at once: the document is shown and counted no more. Here its
//! bytes go: packs keep their headers and get stubs, local frames lose the document's changes, and every segment that held
//! them is written anew. The index is then built from what is left, in a fresh folder, so nothing of it survives there
//! either (A11). What an erasure takes along is found in `scope`.
//!
//! # Flow
//!
//! ```text
//! upkeep_due ─┬─ Nothing
//!             ├─ Erase    purge entries whose bytes are here: rewrite soon
//!             └─ Compact  half of the log is superseded: rewrite when nobody is in a hurry
//! ```
//! The caller chooses the moment; [`Replica::rewrite`] holds up everybody else. A crash in between is made good by asking
//! again at the next start.
//!
//! # Invariants
//!
//! 1. Live frames keep their commit numbers; vectors and state digests stay what they were
//!    (`erased_document_is_in_no_file_and_does_not_come_back`).
//! 2. What is erased is not taken in again: a pack that brings it is stored with stubs
//!    (`redelivered_pack_of_an_erased_document_is_stored_without_its_bytes`).
//! 3. A rewrite that was interrupted leaves an index of another shape of the log, which is built anew at the next opening
//!    (`rewrite_that_ends_at_any_operation_leaves_a_store_that_reads_everything_then_and_when_opened_again`).
//! 4. A rewrite is no news: what was to be told before it is told after it, and nothing else
//!    (`rewrite_is_no_news_to_anyone`).
//!
//! # Limits
//!
//! [`COMPACT_PERCENT`], [`COMPACT_BYTES_MIN`].

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::PurgeTarget;
use qianmo_protocol::ids::{ChangeHash, DocId};
use qianmo_protocol::pack::{Entry, VerifiedPack};
use qianmo_protocol::wire::Wire;

use super::evict::{EVICTED_KEY, EvictedFrames};
use super::roll::RollState;
use super::{OpenReport, Replica, ReplicaError};
use crate::frames::{DraftFrame, LocalFrame, MetaFrame, PackFrame};
use crate::pack_log::{CommitNumber, Frame, FrameKind, Keep, RewriteError, RewriteReport, ScanFrom};
use crate::rows;

mod scope;

pub use scope::{ErasedPart, ErasureReach, refers_to};

/// A log of which this share is superseded is worth a rewrite.
pub const COMPACT_PERCENT: u64 = 50;
/// Superseded bytes below which a rewrite is not worth the wear.
pub const COMPACT_BYTES_MIN: u64 = 8 * 1024 * 1024;
/// What a frame takes beside its payload.
const FRAME_OVERHEAD_BYTES: u64 = 30;

/// The meta key of the log's length at which superseded frames are counted again.
const LOOK_KEY: &[u8] = b"compact look";
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

impl RewriteTotals {
    const fn add(&mut self, report: &RewriteReport) {
        self.dropped += report.dropped;
        self.erased += report.replaced;
        self.bytes_before += report.bytes_before;
        self.bytes_after += report.bytes_after;
    }
}

/// What the log needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing now.
    Nothing,
    /// The control log asks for erasures whose bytes are still here.
    Erase,
    /// Much of the log is superseded.
    Compact {
        /// Bytes of superseded frames.
        superseded: u64,
        /// Bytes of the log.
        of: u64,
    },
}

/// Which frames newer ones have superseded.
#[derive(Debug, Default)]
struct Superseded {
    drafts: BTreeMap<Vec<u8>, CommitNumber>,
    meta: BTreeMap<Vec<u8>, CommitNumber>,
    evicted: EvictedFrames,
    gone: BTreeSet<CommitNumber>,
    /// Bytes of frames.
    sizes: BTreeMap<CommitNumber, u64>,
}

impl Superseded {
    fn bytes(&self) -> u64 {
        self.gone.iter().filter_map(|commit| self.sizes.get(commit)).sum()
    }

    fn newest(&mut self, commit: CommitNumber, frame: &Frame) {
        self.gone.extend(self.evicted.after(commit, frame));
        let payload = u64::try_from(frame.payload.len()).unwrap_or(u64::MAX);
        self.sizes.insert(commit, payload.saturating_add(FRAME_OVERHEAD_BYTES));
        match frame.kind {
            FrameKind::Draft => {
                let Ok(draft) = DraftFrame::decode(&frame.payload) else { return };
                let older = self.drafts.insert(draft.id.0.to_vec(), commit);
                self.gone.extend(if injected(Bug::RewriteDropsDraft) { older.map(|_| commit) } else { older });
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
        let decided = self.control.fold().purges().count();
        if injected(Bug::ErasesOnce) {
            return Ok(decided > 0 && self.meta(ERASED_KEY)?.is_none());
        }
        Ok(decided > 0 && self.meta(ERASED_KEY)? != Some(mark(decided)))
    }

    fn erasures(&self) -> BTreeSet<PurgeTarget> {
        self.control.fold().purges().map(|(_, purge)| purge.target).collect()
    }

    /// What the log needs. Costs little until the log has grown much since superseded frames were last counted; then it is
    /// read through once.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn upkeep_due(&mut self) -> Result<Upkeep, ReplicaError> {
        if self.is_erasure_due()? {
            // Of an evicted logbook bytes may be here that the index does not know of.
            let has_evicted = !self.index.scan(&rows::meta(EVICTED_KEY), None, 1)?.is_empty();
            let is_here =
                has_evicted || !self.erasures_due()?.is_empty() || self.unjudged_count() + self.parked_count() > 0;
            if is_here || !self.log.aside_files().map_err(disk_error)?.is_empty() {
                return Ok(Upkeep::Erase);
            }
            // A store that never held any of it has nothing to rewrite.
            self.put_meta(ERASED_KEY, &mark(self.control.fold().purges().count()))?;
            self.sync()?;
        }
        let look =
            self.meta(LOOK_KEY)?.and_then(|bytes| bytes.try_into().ok()).map_or(COMPACT_BYTES_MIN, u64::from_be_bytes);
        if self.log.stats().durable_bytes < look {
            return Ok(Upkeep::Nothing);
        }
        self.sync()?;
        let of = self.log.stats().durable_bytes;
        let superseded = self.superseded()?.bytes();
        let share = superseded.saturating_mul(100).checked_div(of).unwrap_or(0);
        if superseded >= COMPACT_BYTES_MIN && share >= COMPACT_PERCENT {
            return Ok(Upkeep::Compact { superseded, of });
        }
        self.look_again_after(of)?;
        Ok(Upkeep::Nothing)
    }

    /// Superseded frames are counted again when the log has grown by a quarter: the counting reads all of it.
    fn look_again_after(&mut self, bytes: u64) -> Result<(), ReplicaError> {
        let look = bytes.saturating_add((bytes / 4).max(COMPACT_BYTES_MIN / 2)).max(COMPACT_BYTES_MIN);
        self.put_meta(LOOK_KEY, &look.to_be_bytes())?;
        self.sync().map(|_| ())
    }

    fn superseded(&self) -> Result<Superseded, ReplicaError> {
        let mut superseded = Superseded::default();
        for found in self.log.scan_from(ScanFrom::Start)? {
            match found {
                Ok((pointer, frame)) => superseded.newest(pointer.commit, &frame),
                Err(crate::pack_log::ScanError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(superseded)
    }

    /// Erased documents of which bytes are still here.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn erasures_due(&self) -> Result<BTreeSet<DocId>, ReplicaError> {
        let mut docs = BTreeSet::new();
        for target in self.erasures() {
            let (PurgeTarget::Document { doc, .. } | PurgeTarget::Hash { doc, .. }) = target;
            let is_here = match target {
                PurgeTarget::Document { .. } => !self.index.scan(&rows::changes_of(&doc), None, 1)?.is_empty(),
                PurgeTarget::Hash { change, .. } => self.index.has(&rows::change(&doc, &change))?,
            };
            if is_here {
                docs.insert(doc);
            }
        }
        Ok(docs)
    }

    /// A pack as it may be stored: without the bytes of what is erased.
    pub(super) fn without_erased(&self, verified: VerifiedPack) -> Result<VerifiedPack, ReplicaError> {
        let fold = self.control.fold();
        let is_erased = |entry: &Entry| entry.change().is_some() && fold.is_stub_legal(&entry.doc(), &entry.hash());
        if verified.entries().iter().any(is_erased) && !injected(Bug::ErasedTakenAgain) {
            return Ok(verified.erase(LEVEL, is_erased)?);
        }
        Ok(verified)
    }

    /// Rewrites every segment without what is erased or superseded, and builds the index anew.
    ///
    /// # Errors
    /// [`ReplicaError`]; what was rewritten before the failure stays so, and the rest is done at the next call.
    pub fn rewrite(&mut self) -> Result<RewriteTotals, ReplicaError> {
        self.sync()?;
        let (erasures, decided) = (self.erasures(), self.control.fold().purges().count());
        let superseded = self.superseded()?;
        let due = self.erasures_due()?;
        let erased = Erased::of(&erasures);
        let mut totals = RewriteTotals::default();
        self.write_roll(RollState::Rewriting)?;
        let segments: Vec<u32> = self.log.segments().iter().map(|listing| listing.segment).collect();
        for segment in segments {
            let keep = |pointer: &crate::pack_log::FramePointer, frame: &Frame| {
                if superseded.gone.contains(&pointer.commit) { Keep::Drop } else { erased.keep(frame) }
            };
            match self.log.rewrite_segment(segment, keep) {
                Ok(report) => totals.add(&report),
                Err(error) => {
                    // What was rewritten before stands elsewhere now, and reads go on. If this fails too, opening makes it good.
                    drop(self.rebuild_quietly());
                    return Err(error.into());
                }
            }
        }
        if !erasures.is_empty() {
            for name in self.log.aside_files().map_err(disk_error)? {
                self.log.remove_aside(&name).map_err(disk_error)?;
            }
        }
        self.rebuild_quietly()?;
        self.touched.extend(due);
        if !erasures.is_empty() {
            self.put_meta(ERASED_KEY, &mark(decided))?;
        }
        self.look_again_after(totals.bytes_after)?;
        self.write_roll(RollState::Settled)?;
        Ok(totals)
    }
}

impl Replica {
    /// Builds the index anew. What is absorbed again was visible before: only what nobody has heard of yet stays news.
    fn rebuild_quietly(&mut self) -> Result<(), ReplicaError> {
        let (touched, visible) = (core::mem::take(&mut self.touched), core::mem::take(&mut self.visible));
        let (notices, control_news) = (core::mem::take(&mut self.notices), self.control_news);
        self.rebuild(&mut OpenReport::default())?;
        (self.touched, self.visible, self.notices, self.control_news) = (touched, visible, notices, control_news);
        Ok(())
    }
}

fn disk_error(source: crate::disk::DiskError) -> ReplicaError {
    ReplicaError::Read(source.into())
}

/// Names a set of erasures: what a store knows of them only grows, so their number does.
fn mark(decided: usize) -> Vec<u8> {
    u64::try_from(decided).unwrap_or(u64::MAX).to_be_bytes().to_vec()
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
        if injected(Bug::RewriteDropsPack) {
            return Keep::Drop;
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
