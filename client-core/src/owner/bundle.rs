//! What goes into a bundle, and what becomes of what comes out of one.

use std::collections::BTreeSet;

use qianmo_protocol::bundle::{BundleFor, BundleHeader, BundlePart};
use qianmo_protocol::control::SignedEntry;
use qianmo_protocol::ids::{DocId, LogbookName, PackHash};
use qianmo_protocol::limits::CONTROL_ENTRIES_PER_MESSAGE_MAX;
use qianmo_protocol::pack::Pack;
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::session::{Shelf as _, StoreOutcome};
use qianmo_protocol::vector::{WireVector, plan};
use qianmo_replica::replica::ReplicaError;

use super::Owner;
use super::session::PACK_LEVEL;
use crate::bundle::{BundleError, BundleReport, BundleScope, BundleTo};

/// Entries in one frame: their sum must stay below a message's limit, and an entry may have 16 KiB.
const ENTRIES_PER_FRAME: usize = 16;
const _: () = assert!(ENTRIES_PER_FRAME <= CONTROL_ENTRIES_PER_MESSAGE_MAX, "a frame holds them");

/// What a bundle will hold.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    pub(crate) header: BundleHeader,
    /// The hub's key, if it is for the hub.
    pub(crate) hub_key: Option<[u8; 32]>,
    /// What comes before the packs.
    pub(crate) parts: Before,
    /// The packs, in commit order.
    pub(crate) packs: Vec<(LogbookName, PackHash)>,
}

/// Control entries, the beacon and receipts, encoded.
#[derive(Debug, Clone)]
pub(crate) struct Before {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) control: usize,
}

impl From<ReplicaError> for BundleError {
    fn from(error: ReplicaError) -> Self {
        Self::Store(error.into())
    }
}

impl Owner {
    /// Seals what was saved, and says what a bundle holds.
    pub(crate) fn bundle_contents(&mut self, to: BundleTo, what: &BundleScope) -> Result<Contents, BundleError> {
        let identity = self.identity.clone().ok_or(BundleError::NotEnrolled)?;
        self.commit();
        self.replica.seal(self.now(), PACK_LEVEL, &mut self.setup.draws.clone())?;
        self.replica.sync()?;
        self.after_sync(&BTreeSet::new())?;
        let (to, hub_key) = match to {
            BundleTo::Tablet => (BundleFor::Tablet, None),
            BundleTo::Hub => {
                let key = self.replica.control().fold().hub(&identity.hub).and_then(|hub| hub.bundle_key()).copied();
                (BundleFor::Hub(identity.hub), Some(key.ok_or(BundleError::NoHubKey)?))
            }
        };
        let packs = match what {
            BundleScope::Waiting => self.replica.unreceipted()?,
            BundleScope::Station => {
                self.held_packs(|name| name.station().is_none_or(|station| *station == identity.station))
            }
            BundleScope::Everything => self.held_packs(|_| true),
        };
        if packs.is_empty() && *what == BundleScope::Waiting {
            return Err(BundleError::Nothing);
        }
        let header = BundleHeader { to, org: identity.org, from: identity.device, made_at: self.now() };
        let mut parts = self.before_packs();
        parts.frames.extend(self.receipts_of(&packs));
        // An index that fails while receipts are read shows none, and says so here.
        self.replica.sync()?;
        Ok(Contents { header, hub_key, parts, packs })
    }

    /// The whole control log in an order in which each entry finds its parents, and the newest beacon.
    fn before_packs(&self) -> Before {
        let control = self.replica.control();
        let missing = control.missing_for(&[]).entries;
        let entries: Vec<SignedEntry> = missing.iter().filter_map(|hash| control.entry(hash).cloned()).collect();
        let chunks = entries.chunks(ENTRIES_PER_FRAME);
        let mut frames: Vec<Vec<u8>> = chunks.map(|chunk| BundlePart::Control(chunk.to_vec()).encode()).collect();
        frames.extend(self.replica.beacon().map(|beacon| BundlePart::Beacon(beacon).encode()));
        Before { frames, control: entries.len() }
    }

    /// What hubs signed of these packs: a restored one is shown it before it judges (A2).
    fn receipts_of(&self, packs: &[(LogbookName, PackHash)]) -> Vec<Vec<u8>> {
        let mut frames = BTreeSet::new();
        for (_, pack) in packs {
            frames.extend(self.replica.receipts(pack).into_iter().map(|receipt| BundlePart::Receipt(receipt).encode()));
        }
        frames.into_iter().collect()
    }

    fn held_packs(&self, is_wanted: impl Fn(&LogbookName) -> bool) -> Vec<(LogbookName, PackHash)> {
        let mut packs = Vec::new();
        for name in self.replica.logbooks().into_iter().filter(|name| is_wanted(name)) {
            let nodes = plan(&self.replica, &name, &WireVector::default()).send;
            packs.extend(nodes.into_iter().map(|node| (node.commit, name.clone(), node.hash)));
        }
        packs.sort_unstable_by_key(|(commit, ..)| *commit);
        packs.into_iter().map(|(_, name, hash)| (name, hash)).collect()
    }

    /// The frames of some packs.
    pub(crate) fn bundle_packs(&mut self, packs: &[(LogbookName, PackHash)]) -> Result<Vec<Vec<u8>>, BundleError> {
        let read = packs.iter().filter_map(|(name, hash)| self.replica.pack(name, hash));
        let frames: Vec<Vec<u8>> = read.map(|pack| BundlePart::Pack(pack).encode()).collect();
        // An index that fails while packs are read shows nothing instead, and says so here.
        self.replica.sync()?;
        if frames.len() == packs.len() {
            return Ok(frames);
        }
        let detail = format!("{} of {} packs could not be read; export again", packs.len() - frames.len(), packs.len());
        Err(BundleError::File { detail })
    }

    /// Takes parts in, each verified as from a peer. Durable when it is answered; judged later.
    pub(crate) fn absorb_bundle(&mut self, parts: Vec<BundlePart>) -> Result<BundleReport, BundleError> {
        let mut report = BundleReport::default();
        let mut packs: Vec<Pack> = Vec::new();
        for part in parts {
            match part {
                BundlePart::Control(entries) => {
                    let before = self.replica.control().len();
                    self.replica.adopt(entries)?;
                    report.control += self.replica.control().len().saturating_sub(before);
                }
                BundlePart::Beacon(beacon) => {
                    self.replica.sync()?;
                    self.replica.take_beacon(&beacon)?;
                }
                BundlePart::Receipt(receipt) => {
                    self.replica.take_receipt(receipt)?;
                    report.receipts += 1;
                }
                BundlePart::Pack(pack) => packs.push(pack),
            }
        }
        self.replica.sync()?;
        let device = self.replica.device();
        let offered = packs.len();
        packs.retain(|pack| pack.header.log.device == device || self.replica.may_read(&device, &pack.header.logbook));
        report.not_for_us = offered - packs.len();
        let org = self.replica.org();
        let held = |pack: &Pack| self.replica.holds_pack(&pack.header.logbook, &pack.hash(&org));
        let known = packs.iter().map(held).collect::<Result<Vec<bool>, ReplicaError>>()?;
        let outcomes = self.replica.take_packs(packs)?.outcomes;
        self.replica.sync()?;
        for (outcome, was_known) in outcomes.iter().zip(known) {
            match outcome {
                StoreOutcome::Held { .. } => {
                    report.packs += 1;
                    report.packs_new += usize::from(!was_known);
                }
                StoreOutcome::Refused { code, .. } => report.refused.push(refusal(*code)),
            }
        }
        Ok(report)
    }

    /// Judges what a bundle brought; answers how many records have something new.
    pub(crate) fn judge_bundle(&mut self) -> Result<usize, BundleError> {
        self.replica.judge()?;
        let visible: BTreeSet<DocId> = self.replica.take_touched();
        let mut records = BTreeSet::new();
        for doc in &visible {
            records.extend(self.replica.record_of(doc)?);
        }
        self.after_sync(&visible)?;
        Ok(records.len())
    }
}

fn refusal(code: RefuseCode) -> crate::codes::RefusalCode {
    code.into()
}
