//! Reviews of a record: its events and comments, and the state they fold to.

use qianmo_protocol::control::held_review_still_hides;
use qianmo_protocol::ids::{ChangeHash, DocId, PersonCode};
use qianmo_protocol::review::{FoldEvent, ReviewEvent, ReviewKind, ReviewState, Standing, fold};

use super::{Replica, ReplicaError};
use crate::rows::{self, ChangePlace};

/// A review event or comment, as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewView {
    /// Its document.
    pub id: DocId,
    /// What it says.
    pub event: ReviewEvent,
    /// Whether it counts.
    pub standing: Standing,
}

/// Whether a record's author answered somebody and nobody took it up: a comment after another's word, and nothing of anybody
/// else after it. Whoever speaks first answers nobody.
pub(super) fn is_unanswered(author: &PersonCode, views: &[ReviewView]) -> bool {
    let counting = || views.iter().filter(|view| view.standing == Standing::Admitted).map(|view| &view.event);
    let said = counting().filter(|event| event.person == *author && event.kind == ReviewKind::Comment);
    let answered = counting().filter(|event| event.person != *author).map(|event| event.time).max();
    said.map(|event| event.time).max().is_some_and(|said| answered.is_some_and(|answered| said > answered))
}

fn in_order(views: Vec<ReviewView>) -> Vec<ReviewView> {
    let (mut comments, mut events): (Vec<ReviewView>, Vec<ReviewView>) =
        views.into_iter().partition(|view| view.event.kind == ReviewKind::Comment);
    // An event sees only events before it, so the number of what it has seen grows along every chain; a comment sees none.
    events.sort_by_key(|view| (view.event.seen.len(), view.event.time, view.id));
    comments.sort_by_key(|view| (view.event.time, view.id));
    let mut comments = comments.into_iter().peekable();
    let mut ordered = Vec::with_capacity(events.len().saturating_add(comments.len()));
    for event in events {
        while let Some(comment) = comments.next_if(|comment| comment.event.time < event.event.time) {
            ordered.push(comment);
        }
        ordered.push(event);
    }
    ordered.extend(comments);
    ordered
}

impl Replica {
    /// The events and comments of a record: events each after those it has seen, comments among them by the writers' clocks.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn reviews(&self, record: &DocId) -> Result<Vec<ReviewView>, ReplicaError> {
        let mut views = Vec::new();
        for (key, _) in self.index.scan_all(&rows::reviews_of(record))? {
            let Some(id) = rows::tail::<16>(&key).map(DocId) else { continue };
            views.extend(self.review_view(&id)?);
        }
        Ok(in_order(views))
    }

    pub(super) fn review_view(&self, id: &DocId) -> Result<Option<ReviewView>, ReplicaError> {
        let standing = self.standing_of(id)?;
        if standing.is_purged {
            return Ok(None);
        }
        let Some((hash, change)) = standing.changes.iter().find(|(_, change)| change.row.is_root) else {
            return Ok(None);
        };
        let Some(raw) = self.raw_change(id, hash)? else { return Ok(None) };
        let Ok(event) = ReviewEvent::from_change(&raw) else { return Ok(None) };
        let is_held_here = change.row.content != rows::CONTENT_PASSED && !self.is_overruled(hash, &change.row)?;
        let standing = if change.is_admitted && is_held_here {
            Standing::ErasedOrHeld
        } else if change.is_admitted {
            Standing::Admitted
        } else if !change.is_packed && matches!(change.row.place, ChangePlace::Pack { .. }) {
            Standing::Excluded
        } else if held_review_still_hides(self.quarantine_code(hash)?) {
            Standing::ErasedOrHeld
        } else {
            Standing::HeldForRole
        };
        Ok(Some(ReviewView { id: *id, event, standing }))
    }

    /// The code a change is held with, by content or by any of its packs that are in vectors: others may not be everywhere.
    fn quarantine_code(&self, change: &ChangeHash) -> Result<u16, ReplicaError> {
        let fold = self.control.fold();
        if let Some(code) = fold.content_quarantine(change) {
            return Ok(code);
        }
        let doc = self.document_of(change)?;
        let home = doc.map(|doc| self.home_of(&doc)).transpose()?.flatten();
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&key).map(qianmo_protocol::ids::PackHash) else { continue };
            if let Some(code) = fold.carrier_quarantine(change, &pack)
                && !self.is_pack_excluded(home.as_ref(), &pack)?
            {
                return Ok(code);
            }
        }
        Ok(0)
    }

    /// The state of a record with these heads.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn review_state(&self, record: &DocId, heads: &[ChangeHash]) -> Result<ReviewState, ReplicaError> {
        let views = self.reviews(record)?;
        Ok(self.fold_reviews(record, &views, heads))
    }

    pub(super) fn fold_reviews(&self, record: &DocId, views: &[ReviewView], heads: &[ChangeHash]) -> ReviewState {
        let mut events: Vec<FoldEvent> =
            views.iter().map(|view| FoldEvent::new(view.id, &view.event, view.standing)).collect();
        // What must outlive an erased event, so that losing it revives no approval (A3).
        let memories = self.control.fold().review_memories().filter(|(_, memory)| memory.record == *record);
        events.extend(memories.filter_map(|(id, memory)| {
            let kind = ReviewKind::ALL.get(usize::from(memory.kind)).copied()?;
            let (seen, heads) = (memory.seen.clone(), std::collections::BTreeSet::new());
            Some(FoldEvent { id: *id, kind, seen, heads, standing: Standing::ErasedOrHeld })
        }));
        fold(&events, heads)
    }
}
