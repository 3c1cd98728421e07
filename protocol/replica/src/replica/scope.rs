//! What the control log takes out of vectors, or gives back: which documents must be looked at again.
//!
//! Their number decides what a faulty device costs, and not that of all documents: each replica works on the packs that an
//! entry names, and on what these carry.

use std::collections::BTreeSet;

use qianmo_protocol::control::QuarantineScope;
use qianmo_protocol::ids::{DocId, LogId, LogbookId, LogbookName, PackHash};
use qianmo_protocol::pack::Entry;

use super::{Replica, ReplicaError};
use crate::rows::{self, PackRow};

impl Replica {
    pub(super) fn follow_scope(&mut self, scope: &QuarantineScope, commit: u64) -> Result<(), ReplicaError> {
        match scope {
            QuarantineScope::Change { change, .. } => match self.index.get_raw(&rows::doc_of(change))? {
                Some(doc) => DocId::from_slice(&doc).map_or(Ok(()), |doc| self.refresh_known(&doc, commit)),
                None => Ok(()),
            },
            QuarantineScope::Pack(pack) => {
                let names: Vec<LogbookName> = self.books.keys().cloned().collect();
                for name in names {
                    if self.index.has(&rows::pack(&name.id(&self.org), pack))? {
                        self.recompute_tips_of(&name)?;
                        self.await_receipt(&name, pack)?;
                        self.refresh_documents_in(&name, &BTreeSet::from([*pack]), commit)?;
                    }
                }
                Ok(())
            }
            QuarantineScope::LogBeyondTips { logbook, log, tips } => {
                self.queue_limited(logbook, log)?;
                let name = self.books.keys().find(|name| name.id(&self.org) == *logbook).cloned();
                let Some(name) = name else { return Ok(()) };
                self.recompute_tips_of(&name)?;
                let beyond = self.packs_beyond(logbook, log, tips)?;
                // They count again when the limit has ended.
                beyond.iter().try_for_each(|pack| self.await_receipt(&name, pack))?;
                self.refresh_documents_in(&name, &beyond, commit)
            }
        }
    }

    /// Packs of a log that are neither at nor before these tips.
    fn packs_beyond(
        &self,
        logbook: &LogbookId,
        log: &LogId,
        tips: &BTreeSet<PackHash>,
    ) -> Result<BTreeSet<PackHash>, ReplicaError> {
        let mut beyond = BTreeSet::new();
        for (key, _) in self.index.scan_all(&rows::nodes_of_log(logbook, log))? {
            beyond.extend(rows::tail::<32>(&key).map(PackHash));
        }
        for tip in tips {
            let mut at = *tip;
            while beyond.remove(&at) {
                let Some(row) = self.index.get::<PackRow>(&rows::pack(logbook, &at))? else { break };
                at = row.prev;
            }
        }
        Ok(beyond)
    }

    /// Documents of packs that vectors leave out from now on, or take in again. Their number, and not that of all documents,
    /// decides what a faulty device costs.
    fn refresh_documents_in(
        &mut self,
        name: &LogbookName,
        packs: &BTreeSet<PackHash>,
        commit: u64,
    ) -> Result<(), ReplicaError> {
        let mut docs = BTreeSet::new();
        for pack in packs {
            docs.extend(self.entries_of(name, pack)?.iter().map(Entry::doc));
        }
        docs.iter().try_for_each(|doc| self.refresh_known(doc, commit))
    }
}
