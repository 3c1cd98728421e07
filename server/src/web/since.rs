//! What became of a record since somebody last decided on it.

use qianmo_protocol::ids::{DocId, PersonCode};
use qianmo_protocol::record::FieldChange;
use qianmo_protocol::review::{ReviewKind, Standing};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::{RecordDetail, Replica, ReplicaError};

/// The last decision, and what is different now.
#[derive(Debug)]
pub(crate) struct Since {
    pub(crate) kind: ReviewKind,
    pub(crate) person: PersonCode,
    pub(crate) time: UnixMillis,
    /// In words of the record: what stood there when it was decided on, and what stands there now.
    pub(crate) edits: Vec<FieldChange>,
}

/// `None` when nobody decided yet, when it stands as it was, or when that version is not here any more.
pub(super) fn since(replica: &Replica, id: &DocId, detail: &RecordDetail) -> Result<Option<Since>, ReplicaError> {
    let is_decision = |kind: ReviewKind| matches!(kind, ReviewKind::Approve | ReviewKind::Return);
    let decided = detail.reviews.iter().rev();
    let mut decided = decided.filter(|view| view.standing == Standing::Admitted && is_decision(view.event.kind));
    let Some(last) = decided.next() else { return Ok(None) };
    let heads: Vec<_> = last.event.heads.iter().copied().collect();
    if heads == detail.row.heads {
        return Ok(None);
    }
    let Some(document) = replica.document(id)? else { return Ok(None) };
    let Ok(earlier) = document.view_at(&heads) else { return Ok(None) };
    let edits = detail.row.view.since(&earlier);
    let event = &last.event;
    let (kind, person, time) = (event.kind, event.person.clone(), event.time);
    Ok((!edits.is_empty()).then_some(Since { kind, person, time, edits }))
}
