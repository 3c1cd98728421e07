//! Carrying erasures out: decisions page by page, then the bytes go from the log; what refers to an erased target is held
//! (A11).
//!
//! An erasure is decided like anything else; readers see the effect of each decision at once. One that takes very much along
//! is decided in pages, between which tablets are served. Then the bytes follow: soon after the last page, and at the next
//! start when the hub was stopped in between. A log of which much is superseded is rewritten too, but only while no tablet is
//! in the middle of a turn.
//!
//! # Flow
//!
//! ```text
//! begin_erasure ─> order and first page, one group ─> page … page (each durable) ─> last page, order closed ─> keep_house
//!                       stopped anywhere: the next start finds the order, and goes on with what is not erased yet
//! ```
//!
//! # Limits
//!
//! [`ERASED_PER_PAGE`].
//!
//! # Failure
//!
//! [`HubError`]: the store failed; what was rewritten stays so, and the next start goes on.

use std::collections::{BTreeSet, VecDeque};

use qianmo_protocol::control::{Decision, Purge, PurgeTarget};
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PackHash};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};
use qianmo_replica::replica::{ErasureReach, HeldChange, HeldPart, RewriteTotals, Upkeep, refers_to};

use super::{HubCore, HubError, Wait};

/// A change refers to an erased service target: it is held, and waits to be erased itself.
pub const CODE_ERASED_TARGET: u16 = 284;

/// Documents that one page of an erasure takes: less than a second of work.
pub const ERASED_PER_PAGE: usize = 1_024;
/// The meta key of the erasure whose pages are not all decided; empty when there is none.
const ERASING_KEY: &[u8] = b"hub erasing";

/// An erasure that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureOrder {
    /// The document.
    pub doc: DocId,
    /// How far it reaches.
    pub reach: ErasureReach,
    /// Why, as a code.
    pub reason: u16,
}

impl Wire for ErasureOrder {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.doc.0);
        writer.u8(match self.reach {
            ErasureReach::Record => 1,
            ErasureReach::Target => 2,
        });
        writer.u16(self.reason);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let doc = DocId(reader.array("document")?);
        let offset = reader.offset();
        let reach = match reader.u8("reach")? {
            1 => ErasureReach::Record,
            2 => ErasureReach::Target,
            have => return Err(DecodeError::Unknown { field: "reach", offset, have: u64::from(have) }),
        };
        Ok(Self { doc, reach, reason: reader.u16("reason")? })
    }
}

/// An erasure of which pages are left.
#[derive(Debug)]
pub(super) struct Erasing {
    order: ErasureOrder,
    left: VecDeque<DocId>,
}

/// What upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing was due, or a tablet was in the middle of something.
    AsIs,
    /// The log was rewritten.
    Rewritten(RewriteTotals),
}

impl HubCore {
    /// The erasure of which pages are left, if there is one.
    #[must_use]
    pub fn erasing(&self) -> Option<ErasureOrder> {
        self.erasing.as_ref().map(|erasing| erasing.order)
    }

    /// Writes an erasure down and decides its first page, durably. `docs` is what goes, the one named first. The pages that
    /// are left come with [`HubCore::erase_page`], with the next batches, or after the next start.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn begin_erasure(&mut self, now: UnixMillis, order: ErasureOrder, docs: Vec<DocId>) -> Result<(), HubError> {
        self.replica.sync()?;
        self.replica.put_meta(ERASING_KEY, &order.encode())?;
        self.erasing = Some(Erasing { order, left: docs.into() });
        self.erase_page(now).map(|_| ())
    }

    /// Decides the next page of the erasure that is under way, durably. Answers how many documents are left.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn erase_page(&mut self, now: UnixMillis) -> Result<usize, HubError> {
        let Some(mut erasing) = self.erasing.take() else { return Ok(0) };
        let page: Vec<DocId> = erasing.left.drain(..erasing.left.len().min(ERASED_PER_PAGE)).collect();
        let mut decisions = Vec::with_capacity(page.len());
        for doc in page {
            decisions.extend(self.purge_of(&erasing.order, &doc)?.map(Decision::Purge));
        }
        self.append_decisions(now, decisions)?;
        let left = erasing.left.len();
        if left == 0 {
            self.replica.put_meta(ERASING_KEY, &[])?;
        } else {
            self.erasing = Some(erasing);
        }
        self.replica.sync()?;
        Ok(left)
    }

    fn purge_of(&self, order: &ErasureOrder, doc: &DocId) -> Result<Option<Purge>, HubError> {
        let Some(part) = self.replica.erased_part(doc)? else { return Ok(None) };
        let target = PurgeTarget::Document { doc: *doc, logbook: part.logbook.id(&self.org) };
        let is_standing = order.reach == ErasureReach::Target && *doc == order.doc;
        Ok(Some(Purge { target, reason: order.reason, is_standing, memory: self.replica.review_memory(doc)? }))
    }

    /// After a start: what a stopped erasure has not erased yet.
    pub(super) fn resume_erasure(&mut self) -> Result<(), HubError> {
        let stored = self.replica.meta(ERASING_KEY)?.filter(|bytes| !bytes.is_empty());
        let Some(order) = stored.and_then(|bytes| ErasureOrder::decode(&bytes).ok()) else { return Ok(()) };
        let parts = self.replica.erasure_scope(&order.doc, order.reach)?.unwrap_or_default();
        let left: VecDeque<DocId> = parts.into_iter().map(|part| part.doc).collect();
        tracing::warn!(doc = %order.doc, left = left.len(), "an erasure was stopped before its end and goes on");
        self.erasing = Some(Erasing { order, left });
        Ok(())
    }

    /// Rewrites the log if erasures are due, or if much of it is superseded and no tablet waits for an answer.
    ///
    /// # Errors
    /// [`HubError::Store`].
    pub fn keep_house(&mut self) -> Result<Kept, HubError> {
        if self.erasing.is_some() {
            // Once, for all its pages.
            return Ok(Kept::AsIs);
        }
        let due = self.replica.upkeep_due()?;
        match due {
            Upkeep::Nothing => return Ok(Kept::AsIs),
            Upkeep::Compact { .. } if !self.is_at_rest() => return Ok(Kept::AsIs),
            Upkeep::Compact { .. } | Upkeep::Erase => {}
        }
        let totals = self.replica.rewrite()?;
        tracing::info!(?due, ?totals, "the record store was rewritten");
        Ok(Kept::Rewritten(totals))
    }

    /// Whether no session is between two messages of a turn.
    fn is_at_rest(&self) -> bool {
        let is_idle = |session: &super::HubSession| {
            session.wait == Wait::Nothing && session.inbox.is_empty() && session.exchange.is_subscribed()
        };
        self.sessions.values().all(is_idle)
    }

    /// Changes of these packs that refer to an erased target, and are not erased with it.
    pub(super) fn referring_to_erased(&self, judged: &[(LogbookName, PackHash, u64)]) -> Vec<HeldChange> {
        let fold = self.replica.control().fold();
        let targets: BTreeSet<DocId> = fold
            .purges()
            .filter(|(_, purge)| purge.is_standing)
            .filter_map(|(_, purge)| match purge.target {
                PurgeTarget::Document { doc, .. } => Some(doc),
                PurgeTarget::Hash { .. } => None,
            })
            .collect();
        let mut held = Vec::new();
        if targets.is_empty() {
            return held;
        }
        let leaving: BTreeSet<DocId> = self.erasing.iter().flat_map(|erasing| erasing.left.iter().copied()).collect();
        let goes = |doc: &DocId| fold.is_document_purged(doc) || leaving.contains(doc);
        for (name, hash, _) in judged {
            let Some(pack) = self.replica.pack(name, hash) else { continue };
            for entry in pack.open().unwrap_or_default() {
                if !goes(&entry.doc()) && entry.change().is_some_and(|change| refers_to(change, &targets)) {
                    held.push(HeldChange {
                        logbook: name.clone(),
                        pack: *hash,
                        device: pack.header.log.device,
                        doc: entry.doc(),
                        change: entry.hash(),
                        code: CODE_ERASED_TARGET,
                        part: HeldPart::Content,
                    });
                }
            }
        }
        held
    }

    /// Changes that are held because they refer to an erased target, and are not erased yet.
    #[must_use]
    pub fn waiting_for_erasure(&self) -> BTreeSet<ChangeHash> {
        let held = self.replica.control().fold().content_quarantines();
        held.filter(|(_, code)| *code == CODE_ERASED_TARGET).map(|(change, _)| *change).collect()
    }
}
