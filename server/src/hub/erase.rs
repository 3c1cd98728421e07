//! Carrying erasures out: bytes go from the log, and what refers to an erased target is held (A11).
//!
//! An erasure is decided like anything else ([`HubCore::decide`]); readers see its effect at once. Here the bytes follow: soon
//! after the decision, and at the next start when the hub was stopped in between. A log of which much is superseded is
//! rewritten too, but only while no tablet is in the middle of a turn.
//!
//! # Failure
//!
//! [`HubError`]: the store failed; what was rewritten stays so, and the next start goes on.

use std::collections::BTreeSet;

use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PackHash};
use qianmo_protocol::session::Shelf as _;
use qianmo_replica::replica::{HeldChange, HeldPart, RewriteTotals, Upkeep, refers_to};

use super::{HubCore, HubError, Wait};

/// A change refers to an erased service target: it is held, and waits to be erased itself.
pub const CODE_ERASED_TARGET: u16 = 284;

/// What upkeep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Nothing was due, or a tablet was in the middle of something.
    AsIs,
    /// The log was rewritten.
    Rewritten(RewriteTotals),
}

impl HubCore {
    /// Rewrites the log if erasures are due, or if much of it is superseded and no tablet waits for an answer.
    ///
    /// # Errors
    /// [`HubError::Store`].
    pub fn keep_house(&mut self) -> Result<Kept, HubError> {
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

    /// Changes of these packs that refer to an erased target.
    pub(super) fn referring_to_erased(&self, judged: &[(LogbookName, PackHash, u64)]) -> Vec<HeldChange> {
        let fold = self.replica.control().fold();
        let targets: BTreeSet<DocId> = fold
            .purges()
            .filter(|(_, purge)| purge.is_standing)
            .filter_map(|(_, purge)| match purge.target {
                qianmo_protocol::control::PurgeTarget::Document { doc, .. } => Some(doc),
                qianmo_protocol::control::PurgeTarget::Hash { .. } => None,
            })
            .collect();
        let mut held = Vec::new();
        if targets.is_empty() {
            return held;
        }
        for (name, hash, _) in judged {
            let Some(pack) = self.replica.pack(name, hash) else { continue };
            for entry in pack.open().unwrap_or_default() {
                if entry.change().is_some_and(|change| refers_to(change, &targets)) {
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
