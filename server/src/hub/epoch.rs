//! Epochs: what the hub does when it learns that it was restored, cloned, or has a past it did not know (A4).

use std::collections::{BTreeMap, BTreeSet};

use rand::RngCore as _;

use qianmo_protocol::control::{ADOPT_ENTRIES_MAX, Decision, EPOCH_PARENTS_MAX, SignedEntry, Signer};
use qianmo_protocol::ids::{EntryHash, Epoch};
use qianmo_protocol::time::UnixMillis;

use super::endings::ends_a_right;
use super::{HubCore, HubError, role};

/// The meta key of the present epoch.
pub(super) const EPOCH_KEY: &[u8] = b"hub epoch";
/// The meta key of the commit up to which this store is its own, from when it is shown to be an old copy until the new epoch
/// has begun. Empty otherwise.
const COPY_KEY: &[u8] = b"hub is a copy";

/// What devices showed that this hub did not write in this life.
#[derive(Debug, Default)]
pub(super) struct Adoption {
    /// Signed by this hub in its present epoch, and unknown here: this store is an old copy.
    is_copy: bool,
    /// Entries to be named in an `adopt` entry.
    entries: BTreeSet<EntryHash>,
    /// Epochs that were begun because of another life of this hub, since it was opened.
    joined: usize,
}

/// How often a hub begins an epoch because it met another life of its own, until it is started again. Two that live at the
/// same time would otherwise answer each other without end.
const JOINED_MAX: usize = 8;

/// Whether a peer sent a control entry that its signer did not sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Forged {
    Yes,
    No,
}

impl HubCore {
    /// Looks at entries that a device brought, before they are taken. Only what verifies counts.
    ///
    /// Answers whether one of them is forged: its signer is known here and did not sign it. Nobody honest passes such an
    /// entry on, so the peer made it, and looking at more of what it sends is work for nothing.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be written.
    pub(super) fn notice_foreign(&mut self, entries: &[SignedEntry]) -> Result<Forged, HubError> {
        let was_copy = self.adoption.is_copy;
        let mut has_ending = false;
        for entry in entries {
            let control = self.replica.control();
            let content = entry.content();
            let hash = content.hash(&self.org);
            if control.contains(&hash) {
                continue;
            }
            let hub = match content.signer {
                Signer::Authority if entry.verify(&self.org, control.authority()).is_ok() => continue,
                Signer::Authority => return Ok(Forged::Yes),
                Signer::Hub(hub) => hub,
            };
            if control.fold().hub(&hub).is_none() {
                continue;
            }
            if control.fold().verify_hub(&hub, entry).is_err() {
                return Ok(Forged::Yes);
            }
            if matches!(content.decision, Decision::Grant(_)) {
                self.sweep.begin();
            }
            has_ending |= ends_a_right(&content.decision);
            self.adoption.is_copy |= hub == self.hub && content.epoch == self.epoch;
            if self.adoption.entries.len() < ADOPT_ENTRIES_MAX {
                self.adoption.entries.insert(hash);
            }
        }
        if has_ending {
            self.note_ending()?;
        }
        if self.adoption.is_copy && !was_copy {
            // Before the entries: after a crash they are known, and nothing else would say that the store is a copy.
            self.replica.put_meta(COPY_KEY, &self.opened_at.to_be_bytes())?;
        }
        Ok(Forged::No)
    }

    /// When the hub is opened: a crash may have come after another life's entries were stored and before their epoch was
    /// joined. No device brings them a second time.
    pub(super) fn finish_adoption(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let copy = self.replica.meta(COPY_KEY)?.and_then(|bytes| bytes.try_into().ok());
        match copy.map(u64::from_be_bytes) {
            Some(contained) => {
                tracing::warn!("this store was shown to be an old copy before it was stopped; a new epoch begins");
                self.begin_epoch(now, contained).map(drop)
            }
            None => self.join_other_lives(now),
        }
    }

    /// After a sync: begins a new epoch if this store turned out to be an old copy, and names what was adopted.
    pub(super) fn adopt_epochs(&mut self, now: UnixMillis) -> Result<(), HubError> {
        if self.adoption.entries.is_empty() {
            return Ok(());
        }
        let joined = self.adoption.joined;
        let adoption = core::mem::replace(&mut self.adoption, Adoption { joined, ..Adoption::default() });
        if adoption.is_copy {
            tracing::warn!(
                "a device knows decisions of this hub that this store has not: it is an old copy; a new epoch begins"
            );
            self.begin_epoch(now, self.opened_at)?;
        } else {
            self.join_other_lives(now)?;
        }
        let control = self.replica.control();
        let entries: BTreeSet<EntryHash> = adoption.entries.into_iter().filter(|hash| control.contains(hash)).collect();
        if !entries.is_empty() {
            self.remember_published();
            self.decide(now, vec![Decision::Adopt { entries }])?;
        }
        Ok(())
    }

    /// Begins an epoch that has all others behind it, when there is one that the present epoch does not descend from.
    ///
    /// Two restores of one backup, or an old machine beside its successor, are lives of which neither contains the other.
    /// Devices follow the one with more behind it, and no receipt of the other would ever count for them. After this they
    /// follow the hub they meet, and bring what it lacks.
    fn join_other_lives(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let fold = self.replica.control().fold();
        let is_stranger = |epoch: &Epoch| *epoch != self.epoch && !fold.is_epoch_ancestor(epoch, &self.epoch);
        let begun = fold.epochs().filter(|(_, facts)| facts.hubs().contains(&self.hub)).map(|(epoch, _)| *epoch);
        let strangers: Vec<Epoch> = begun.filter(is_stranger).collect();
        let is_last = |epoch: &&Epoch| !strangers.iter().any(|other| fold.is_epoch_ancestor(epoch, other));
        let others: Vec<Epoch> = strangers.iter().filter(is_last).take(EPOCH_PARENTS_MAX - 1).copied().collect();
        if others.is_empty() || self.adoption.joined >= JOINED_MAX {
            return Ok(());
        }
        // Commits of an epoch that another life goes on from may be that one's; those of an epoch of our own are ours.
        let is_shared = others.iter().any(|other| fold.is_epoch_ancestor(&self.epoch, other));
        let contained = if is_shared { self.opened_at } else { self.replica.durable_commit().0 };
        tracing::warn!(others = others.len(), "a device knows another life of this hub: a new epoch joins them");
        self.adoption.joined += 1;
        let parents = others.into_iter().map(|epoch| (epoch, 0)).chain([(self.epoch, contained)]).collect();
        self.begin_epoch_after(now, parents)?;
        Ok(())
    }

    /// Begins a new epoch that contains the present one up to `contained`, and writes all its logs in new incarnations.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn begin_epoch(&mut self, now: UnixMillis, contained: u64) -> Result<Epoch, HubError> {
        self.begin_epoch_after(now, BTreeMap::from([(self.epoch, contained)]))
    }

    fn begin_epoch_after(&mut self, now: UnixMillis, parents: BTreeMap<Epoch, u64>) -> Result<Epoch, HubError> {
        let mut bytes = [0; 16];
        self.rng.fill_bytes(&mut bytes);
        self.replica.sync()?;
        self.replica.renew_incarnations(&mut self.rng)?;
        self.epoch = Epoch(bytes);
        self.replica.set_role(role(self.hub, self.epoch));
        self.append_decisions(now, vec![Decision::EpochStart { parents }])?;
        // A crash keeps no frame without those before it. An epoch that began and is not the present one is joined at the
        // next start; a present one that never began would make no receipt count.
        self.replica.put_meta(EPOCH_KEY, &bytes)?;
        self.replica.put_meta(COPY_KEY, &[])?;
        self.replica.sync()?;
        self.sign_beacon(now)?;
        Ok(self.epoch)
    }
}
