//! Where a record stands: a fold over its review events, without clocks (A3).
//!
//! The latest events are those that no other has seen. If they agree, that is the state; if not, two people decided
//! without knowing of each other, and the record counts as pending until a coordinator decides.
//!
//! # Invariants
//!
//! 1. The state is a function of the set of events: no order, no time (`prop_state_is_the_same_in_any_order`).
//! 2. A comment hides nothing and is not hidden.
//! 3. An event whose bytes were erased or are held for cut or content still hides what it saw, and counts as unsettled, so
//!    losing a return never revives the approval it answered. One held for lack of role, or excluded with its pack, hides
//!    nothing.

use std::collections::BTreeSet;

use crate::bugs::{Bug, injected};
use crate::ids::{ChangeHash, DocId};
use crate::review::{ReviewEvent, ReviewKind};

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It counts.
    Admitted,
    /// Erased, or held for cut or content: it hides what it saw and counts as unsettled.
    ErasedOrHeld,
    /// Held for lack of role: as if it were not there.
    HeldForRole,
    /// The packs that carry it are in no vector (A12): who does not hold it is not offered it, so it counts for nobody.
    Excluded,
}

/// What the fold needs of an event; the purge entry of an erased one keeps exactly this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoldEvent {
    /// The event's document.
    pub id: DocId,
    /// What it does.
    pub kind: ReviewKind,
    /// The events it saw.
    pub seen: BTreeSet<DocId>,
    /// The heads it saw; empty if its bytes are gone.
    pub heads: BTreeSet<ChangeHash>,
    /// What became of it.
    pub standing: Standing,
}

impl FoldEvent {
    /// From an event that is here.
    #[must_use]
    pub fn new(id: DocId, event: &ReviewEvent, standing: Standing) -> Self {
        Self { id, kind: event.kind, seen: event.seen.clone(), heads: event.heads.clone(), standing }
    }
}

/// The state's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReviewStatus {
    /// Nothing was handed in.
    Unsubmitted,
    /// Handed in, or opened again.
    Pending,
    /// Accepted, for exactly the heads the approval names.
    Approved,
    /// Sent back with reasons (退回).
    Returned,
    /// Hidden.
    Withdrawn,
    /// People decided differently without knowing of each other (意见不一致).
    Disagreed,
    /// A latest event is erased or held (待定).
    Unsettled,
}

impl ReviewStatus {
    /// True if a coordinator has to look at it.
    #[must_use]
    pub const fn counts_as_pending(self) -> bool {
        match self {
            Self::Pending | Self::Disagreed | Self::Unsettled => true,
            Self::Unsubmitted | Self::Approved | Self::Returned | Self::Withdrawn => false,
        }
    }

    const fn after(kind: ReviewKind) -> Option<Self> {
        match kind {
            ReviewKind::Submit | ReviewKind::Reopen => Some(Self::Pending),
            ReviewKind::Approve => Some(Self::Approved),
            ReviewKind::Return => Some(Self::Returned),
            ReviewKind::Withdraw => Some(Self::Withdrawn),
            ReviewKind::Comment => None,
        }
    }
}

/// Where a record stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewState {
    /// The state's name.
    pub status: ReviewStatus,
    /// Approved, but no latest approval names exactly the heads of now (批后改动).
    pub changed_after_approval: bool,
    /// Handed in again after somebody returned it (已重新提交).
    pub is_resubmitted: bool,
    /// The latest events, by id.
    pub latest: BTreeSet<DocId>,
    /// What an event written now has to name as seen: every state event that counts.
    pub seen_now: BTreeSet<DocId>,
}

/// Folds the review events of one record. Copies of one event count once if they are equal.
#[must_use]
pub fn fold(events: &[FoldEvent], current_heads: &[ChangeHash]) -> ReviewState {
    let counting = |event: &&FoldEvent| match event.standing {
        Standing::Admitted if event.kind == ReviewKind::Withdraw && injected(Bug::WithdrawalForgotten) => false,
        Standing::Admitted | Standing::ErasedOrHeld => event.kind != ReviewKind::Comment,
        Standing::HeldForRole | Standing::Excluded => false,
    };
    let counted: Vec<&FoldEvent> = events.iter().filter(counting).collect();
    let hidden: BTreeSet<DocId> = counted.iter().flat_map(|event| event.seen.iter().copied()).collect();
    let latest: Vec<&FoldEvent> = counted.iter().copied().filter(|event| !hidden.contains(&event.id)).collect();
    let states: BTreeSet<ReviewStatus> = latest.iter().filter_map(|event| ReviewStatus::after(event.kind)).collect();
    let status = if latest.iter().any(|event| event.standing == Standing::ErasedOrHeld) {
        ReviewStatus::Unsettled
    } else {
        match (states.first(), states.len()) {
            (None, _) if counted.is_empty() => ReviewStatus::Unsubmitted,
            (Some(state), 1) => *state,
            // Events that hide each other in a circle cannot be written honestly; nobody's word stands then.
            (None, _) => ReviewStatus::Unsettled,
            (Some(_), _) if injected(Bug::DisagreementApproved) => ReviewStatus::Approved,
            (Some(_), _) => ReviewStatus::Disagreed,
        }
    };
    let current: BTreeSet<ChangeHash> = current_heads.iter().copied().collect();
    let covered = latest.iter().any(|event| event.heads == current);
    let is_return = |event: &&FoldEvent| event.kind == ReviewKind::Return && event.standing == Standing::Admitted;
    ReviewState {
        status,
        is_resubmitted: status == ReviewStatus::Pending
            && latest.iter().any(|event| event.kind == ReviewKind::Submit)
            && counted.iter().any(is_return),
        changed_after_approval: status == ReviewStatus::Approved && !covered && !injected(Bug::ChangeUntold),
        latest: latest.iter().map(|event| event.id).collect(),
        seen_now: counted.iter().map(|event| event.id).collect(),
    }
}
