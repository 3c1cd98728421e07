//! What this replica's own gate failed and the hub passed: it counts here too, and is shown by a program that can (A2).
//!
//! A tablet's failing verdict is provisional. The hub has passed a pack when it sends it, or when it is found to hold all
//! that is held here, and names no quarantine: a hub tells of judged packs only, and control entries come first. That word
//! is written down once, for packs of which something failed here; nothing is judged again for it. While a restored hub is
//! still adopting what devices bring it leaves failures to the administrator and says nothing of them: its silence is no word.
//!
//! # Flow
//!
//! ```text
//! pack sent by a hub, or its logbook undisturbed at the end of a session with one
//!      └> something of it failed here, and is not quarantined ─> fact `passed` ─> is_overruled ─> shown, or 此版本无法显示
//! ```
//!
//! # Invariants
//!
//! 1. A verdict is never changed: the fact stands beside it
//!    (`change_that_an_older_program_failed_and_the_hub_passed_is_shown_after_the_upgrade`).
//! 2. What is quarantined stays held: the fact only ends this replica's own doubt.
//! 3. What a restored hub has left undecided is shown by nobody who fails it too
//!    (`what_a_restored_hub_has_not_decided_is_shown_by_no_tablet_and_held_once_the_restore_is_complete`).

use std::collections::BTreeSet;

use qianmo_protocol::control::EpochFacts;
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, PackHash};

use super::repack::Fact;
use super::{Replica, ReplicaError, Role};
use crate::rows;

/// Key of the fact that a hub passed a pack of which something failed here, with the pack behind it.
pub(super) const PASSED_KEY: &[u8] = b"passed ";

/// Which packs a hub is known to have judged.
#[derive(Debug)]
enum Judged<'a> {
    Packs(&'a BTreeSet<PackHash>),
    Logbooks(&'a [LogbookName]),
}

impl Replica {
    /// A hub sent these packs, and they were judged here since. Not durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn note_sent_by_hub(&mut self, packs: &BTreeSet<PackHash>) -> Result<(), ReplicaError> {
        self.note_passed(&Judged::Packs(packs))
    }

    /// A hub holds all that is held here of these logbooks. Not durable before [`Replica::sync`].
    ///
    /// # Errors
    /// [`ReplicaError`] when the store fails.
    pub fn note_held_by_hub(&mut self, logbooks: &[LogbookName]) -> Result<(), ReplicaError> {
        self.note_passed(&Judged::Logbooks(logbooks))
    }

    fn note_passed(&mut self, judged: &Judged<'_>) -> Result<(), ReplicaError> {
        if self.identity.role != Role::Tablet {
            return Ok(());
        }
        let mut passed: BTreeSet<(PackHash, LogbookName)> = BTreeSet::new();
        for (key, _) in self.index.scan_all(rows::FAILED_HERE)? {
            let (Some(doc), Some(change)) = (key.get(1..17).and_then(DocId::from_slice), rows::tail(&key)) else {
                continue;
            };
            let Some(name) = self.home_of(&doc)? else { continue };
            for pack in self.doubted_packs(&name, &ChangeHash(change))? {
                let is_judged = match judged {
                    Judged::Packs(packs) => packs.contains(&pack),
                    Judged::Logbooks(logbooks) => logbooks.contains(&name),
                };
                if is_judged {
                    passed.insert((pack, name.clone()));
                }
            }
        }
        if passed.is_empty() || self.is_hub_adopting() {
            return Ok(());
        }
        for (pack, logbook) in passed {
            self.put_fact(&[PASSED_KEY, &pack.0].concat(), &Fact { logbook, doc: DocId([0; 16]), code: 0 })?;
        }
        Ok(())
    }

    /// Whether the present hub was restored, and still takes in what its devices bring.
    fn is_hub_adopting(&self) -> bool {
        let fold = self.control.fold();
        self.newest_beacon().is_some_and(|beacon| fold.epoch(&beacon.epoch).is_some_and(EpochFacts::is_adopting))
    }

    /// Packs in our vector that carry a change that failed here, unless the word on it is known: a quarantine's or a hub's.
    fn doubted_packs(&self, name: &LogbookName, change: &ChangeHash) -> Result<Vec<PackHash>, ReplicaError> {
        let mut packs = Vec::new();
        if self.control.fold().content_quarantine(change).is_some() || self.is_passed_by_hub(change)? {
            return Ok(packs);
        }
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let Some(pack) = rows::tail::<32>(&key).map(PackHash) else { continue };
            let is_here = self.index.has(&rows::pack(&name.id(&self.org), &pack))?;
            if is_here && !self.is_pack_excluded(Some(name), &pack)? {
                packs.push(pack);
            }
        }
        Ok(packs)
    }

    /// Whether a hub passed a change that failed here.
    pub(super) fn is_passed_by_hub(&self, change: &ChangeHash) -> Result<bool, ReplicaError> {
        for (key, _) in self.index.scan_all(&rows::carriers_of(change))? {
            let pack = rows::tail::<32>(&key).map(PackHash);
            if let Some(pack) = pack
                && self.index.has(&rows::passed(&pack))?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The fact is absorbed: what failed in the pack counts.
    pub(super) fn absorb_passed(&mut self, commit: u64, pack: &PackHash, fact: &Fact) -> Result<(), ReplicaError> {
        self.index.put_raw(rows::passed(pack), Vec::new());
        let entries = self.entries_of(&fact.logbook, pack)?;
        let docs: BTreeSet<DocId> = entries.iter().map(qianmo_protocol::pack::Entry::doc).collect();
        docs.iter().try_for_each(|doc| self.refresh_known(doc, commit))
    }
}
