//! Many records approved at once: those that wait and raise no question.
//!
//! A page lists them with a token each, over the version and the events that stand behind what it shows. One whose token is
//! another by then is passed over and named; the others are approved, each by an event of its own, and made durable together.

use std::collections::{BTreeMap, BTreeSet};

use data_encoding::HEXLOWER;

use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PersonCode, digest32};
use qianmo_protocol::review::ReviewStatus;
use qianmo_protocol::time::UnixMillis;

use super::{DeskAct, DeskError, DeskKind, HubCore, HubError};

const TOKEN_DOMAIN: &str = "qianmo desk sweep v1";

/// A record that waits, whole and without a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plain {
    /// Where it lives.
    pub logbook: LogbookName,
    heads: Vec<ChangeHash>,
    seen: BTreeSet<DocId>,
}

impl Plain {
    /// What a page carries, to tell whether the record is still as it was shown.
    #[must_use]
    pub fn token(&self) -> String {
        let parts =
            self.heads.iter().map(|head| head.0.as_slice()).chain(self.seen.iter().map(|event| event.0.as_slice()));
        HEXLOWER.encode(&digest32(TOKEN_DOMAIN, &parts.collect::<Vec<_>>()))
    }
}

impl HubCore {
    /// A record, if it waits and nothing of it is in conflict, held or unreadable.
    ///
    /// # Errors
    /// [`HubError`] when the store fails.
    pub fn plain(&self, record: &DocId) -> Result<Option<Plain>, HubError> {
        let Some(detail) = self.replica().record(record)? else { return Ok(None) };
        let row = detail.row;
        let is_whole = detail.held.is_empty() && detail.held_here.is_empty() && detail.unshown.is_empty();
        let is_plain = row.review.status == ReviewStatus::Pending && row.conflicts.is_empty() && is_whole;
        Ok(is_plain.then_some(Plain { logbook: row.logbook, heads: row.heads, seen: row.review.seen_now }))
    }

    fn is_approved(&self, record: &DocId) -> Result<bool, HubError> {
        let row = self.replica().record_row(record)?;
        Ok(row.is_some_and(|row| row.review.status == ReviewStatus::Approved && !row.review.changed_after_approval))
    }

    /// Approves records that are as their tokens say, and answers those that it did not approve, and why.
    ///
    /// # Errors
    /// [`HubError`] when the store fails. What was approved before that stands.
    pub fn approve_plain(
        &mut self,
        now: UnixMillis,
        person: &PersonCode,
        wanted: &[(DocId, String)],
    ) -> Result<Vec<(DocId, DeskError)>, HubError> {
        let mut not_done = Vec::new();
        for (record, token) in wanted {
            let done = match self.plain(record)?.filter(|plain| plain.token() == *token) {
                Some(plain) => self.enter(
                    now,
                    &DeskAct {
                        person: person.clone(),
                        record: *record,
                        kind: DeskKind::Approve,
                        heads: plain.heads,
                        seen: plain.seen,
                        reasons: BTreeSet::new(),
                        field_notes: BTreeMap::new(),
                        note: String::new(),
                    },
                ),
                None if self.is_approved(record)? => Err(DeskError::ApprovedAlready),
                None => Err(DeskError::Moved { record: *record, news: BTreeSet::new() }),
            };
            match done {
                Ok(_) => {}
                Err(DeskError::Hub(error)) => return Err(error),
                Err(error) => not_done.push((*record, error)),
            }
        }
        self.send_own(now)?;
        Ok(not_done)
    }
}
