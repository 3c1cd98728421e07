//! Erasing for good: a record, or a service target with everything that ever referred to it (A11, R20).
//!
//! # Flow
//!
//! ```text
//! plan ─> a person confirms what goes ─> purge: signed entries, page by page, shown no more ─> HubCore::keep_house: the bytes go
//!      ─> tablets hear of it in their next session and rewrite their own logs ─> the next backup lacks it
//! ```
//! Signed entries cannot be taken back, so what is kept nowhere else is not erased unless the administrator insists. An
//! erasure is final only when a backup holds its entries, or a tablet does: until then a restored hub would not know of it.
//!
//! # Failure
//!
//! [`PurgeError`]: nothing was erased.

use std::collections::BTreeSet;

use qianmo_protocol::control::PurgeTarget;
use qianmo_protocol::ids::DocId;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::{ErasedPart, ErasureReach, ReplicaError};

use crate::hub::{ErasureOrder, HubCore, HubError};

/// What is to be erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeOrder {
    /// The document.
    pub doc: DocId,
    /// How far it reaches.
    pub reach: ErasureReach,
    /// Why, as a code.
    pub reason: u16,
    /// Whether it goes even if it is kept nowhere else.
    pub unsaved: Unsaved,
}

/// What happens to what is kept nowhere else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsaved {
    /// It is not erased.
    Refuse,
    /// The administrator insists.
    Erase,
}

/// What would go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PurgePlan {
    /// The documents, the one named first unless it is erased already.
    pub parts: Vec<ErasedPart>,
    /// How many of them are kept nowhere else.
    pub unsaved: usize,
}

impl PurgePlan {
    /// How many records go.
    #[must_use]
    pub fn records(&self) -> usize {
        self.parts.iter().filter(|part| part.about.is_none()).count()
    }

    /// How many reviews and comments go.
    #[must_use]
    pub fn reviews(&self) -> usize {
        self.parts.len().saturating_sub(self.records())
    }
}

/// Why nothing was erased.
#[derive(Debug, thiserror::Error)]
pub enum PurgeError {
    /// There is no such document.
    #[error("there is no record {doc} here")]
    Unknown {
        /// Which.
        doc: DocId,
    },
    /// It is erased already, and nothing new refers to it.
    #[error("record {doc} is erased already, and nothing else refers to it")]
    Done {
        /// Which.
        doc: DocId,
    },
    /// It is kept nowhere else.
    #[error("{unsaved} of {of} documents are in no backup and on no other device")]
    Unsaved {
        /// How many.
        unsaved: usize,
        /// Of how many.
        of: usize,
    },
    /// Another erasure has pages left.
    #[error("the erasure of {doc} is being carried out")]
    Busy {
        /// Which.
        doc: DocId,
    },
    /// The store cannot be read.
    #[error("the record store could not be read")]
    Store(#[from] ReplicaError),
    /// The decision could not be written down.
    #[error("the erasure could not be written down")]
    Hub(#[from] HubError),
}

/// What erasing a document would take along.
///
/// # Errors
/// [`PurgeError`].
pub fn purge_plan(core: &HubCore, doc: &DocId, reach: ErasureReach) -> Result<PurgePlan, PurgeError> {
    let replica = core.replica();
    let parts = replica.erasure_scope(doc, reach)?.ok_or(PurgeError::Unknown { doc: *doc })?;
    let lacks_rule = reach == ErasureReach::Target && !replica.control().fold().is_standing_target(doc);
    if parts.is_empty() && !lacks_rule {
        return Err(PurgeError::Done { doc: *doc });
    }
    let mut unsaved = 0;
    for part in &parts {
        unsaved += usize::from(!replica.is_kept_elsewhere(&part.doc, core.watermark())?);
    }
    Ok(PurgePlan { parts, unsaved })
}

/// Writes an erasure down and decides its first page, durably. The rest follows with [`HubCore::erase_page`], by itself while
/// the hub runs, and after the next start; then the bytes go with [`HubCore::keep_house`].
///
/// # Errors
/// [`PurgeError`]; nothing is decided then.
pub fn begin_purge(core: &mut HubCore, now: UnixMillis, order: &PurgeOrder) -> Result<PurgePlan, PurgeError> {
    if let Some(other) = core.erasing() {
        return Err(PurgeError::Busy { doc: other.doc });
    }
    let plan = purge_plan(core, &order.doc, order.reach)?;
    if plan.unsaved > 0 && order.unsaved == Unsaved::Refuse {
        return Err(PurgeError::Unsaved { unsaved: plan.unsaved, of: plan.parts.len() });
    }
    let mut docs: Vec<DocId> = plan.parts.iter().map(|part| part.doc).collect();
    let is_target = order.reach == ErasureReach::Target;
    if is_target && !docs.contains(&order.doc) && !core.replica().control().fold().is_standing_target(&order.doc) {
        // Erased as a record before: what refers to it goes from now on, too.
        docs.insert(0, order.doc);
    }
    let PurgeOrder { doc, reach, reason, unsaved: _ } = *order;
    core.begin_erasure(now, ErasureOrder { doc, reach, reason }, docs)?;
    Ok(plan)
}

/// Decides a whole erasure, durably, after what is left of one that was stopped. From now on nothing of it is shown; the
/// bytes go with [`HubCore::keep_house`].
///
/// # Errors
/// [`PurgeError`]; before [`PurgeError::Hub`] nothing is decided, and after it the next start goes on.
pub fn purge(core: &mut HubCore, now: UnixMillis, order: &PurgeOrder) -> Result<PurgePlan, PurgeError> {
    while core.erase_page(now)? > 0 {}
    let plan = begin_purge(core, now, order)?;
    while core.erase_page(now)? > 0 {}
    Ok(plan)
}

/// A document that waits to be erased, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WaitingErasure {
    /// Which.
    pub doc: DocId,
    /// The erased document that it refers to, if that is known.
    pub because_of: Option<DocId>,
}

/// An erasure that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedErasure {
    /// The document.
    pub doc: DocId,
    /// Why, as a code.
    pub reason: u16,
    /// What refers to it is erased as well.
    pub is_standing: bool,
}

/// What is erased, and what came later and waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasures {
    /// Every erasure, by document.
    pub decided: Vec<DecidedErasure>,
    /// What should be erased, too.
    pub waiting: Vec<WaitingErasure>,
    /// Whether no byte of what was decided is left in this store.
    pub is_carried_out: bool,
}

/// Lists the erasures.
///
/// # Errors
/// [`PurgeError::Store`].
pub fn erasures(core: &HubCore) -> Result<Erasures, PurgeError> {
    let replica = core.replica();
    let fold = replica.control().fold();
    let decided = fold.purges().map(|(_, purge)| {
        let (PurgeTarget::Document { doc, .. } | PurgeTarget::Hash { doc, .. }) = purge.target;
        DecidedErasure { doc, reason: purge.reason, is_standing: purge.is_standing }
    });
    let mut decided: Vec<DecidedErasure> = decided.collect();
    decided.sort_by_key(|one| one.doc);
    let mut waiting = BTreeSet::new();
    for change in core.waiting_for_erasure() {
        if let Some(doc) = replica.document_of(&change)?
            && !fold.is_document_purged(&doc)
        {
            waiting.insert(WaitingErasure { doc, because_of: None });
        }
    }
    for (doc, record) in replica.left_by_erasures()? {
        waiting.insert(WaitingErasure { doc, because_of: Some(record) });
    }
    let is_carried_out = core.erasing().is_none() && !replica.is_erasure_due()?;
    Ok(Erasures { decided, waiting: waiting.into_iter().collect(), is_carried_out })
}
