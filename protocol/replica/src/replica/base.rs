//! The version a person looked at, when a part of it is held by now.
//!
//! A quarantine can arrive while a form is open. What the person wrote is authored at what is left of the version they saw:
//! the nearest changes before the held ones that passed (`protocol.md` B). Nothing of the save is lost, and what vanished
//! from under it is told.

use std::collections::BTreeSet;

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::{ChangeHash, DocId};

use super::{Replica, ReplicaError};
use crate::rows::{self, ChangeRow};

/// What is left of a version.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Base {
    /// Heads that passed: those given, and the nearest ones before those that did not.
    pub heads: Vec<ChangeHash>,
    /// Changes of the version that are held now, ascending.
    pub vanished: BTreeSet<ChangeHash>,
    /// Heads given that were never here.
    pub unknown: BTreeSet<ChangeHash>,
}

impl Replica {
    /// What is left of a version of a record.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn base_of(&self, record: &DocId, version: &[ChangeHash]) -> Result<Base, ReplicaError> {
        let standing = self.standing_of(record)?;
        let document = self.document(record)?;
        let mut base = Base::default();
        let mut heads = BTreeSet::new();
        let mut next: Vec<ChangeHash> = version.to_vec();
        while let Some(hash) = next.pop() {
            let found = standing.changes.get(&hash);
            if document.as_ref().is_some_and(|document| document.contains(&hash)) {
                heads.insert(hash);
                continue;
            }
            let row = match found {
                Some(change) => Some(change.row.clone()),
                // Given up, or erased by its hash: it is known, though it stands nowhere.
                None => self.index.get::<ChangeRow>(&rows::change(record, &hash))?,
            };
            match row {
                Some(row) if base.vanished.insert(hash) => next.extend(row.deps),
                Some(_) => {}
                None => {
                    base.unknown.insert(hash);
                }
            }
        }
        base.heads = heads.into_iter().collect();
        Ok(base)
    }

    /// A change of a document, whether it passed or not; `None` when its bytes are not here.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn change_of(&self, doc: &DocId, change: &ChangeHash) -> Result<Option<RawChange>, ReplicaError> {
        self.raw_change(doc, change)
    }
}
