//! What all entries say together: a set that only grows, and questions about it.
//!
//! Absorbing an entry adds to ordered maps and never removes. What ends something is kept beside it under the hash of what
//! it ends, and is looked at when a question is asked. So any order of arrival gives the same fold, and nothing has to be
//! replayed. Where one value must be chosen from many, the deepest entry in the graph wins, then the larger hash: both
//! are properties of the set.
//!
//! The questions live with their subject: devices and grants in `access`, quarantine and erasure in `holds`, epochs in
//! `epochs`, the rights of one pack in `carrier`.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::access::Device;
use crate::control::epochs::EpochFacts;
use crate::control::holds::{Purges, Quarantines};
use crate::control::{
    ControlLog, Decision, Entry, Grant, HubKeys, Purge, Signable, SignatureError, Signed, Signer, Tip,
};
use crate::ids::{DeviceId, EntryHash, Epoch, FormCode, HubId, LogId, LogbookId, OrgId, PackHash, PersonCode};

/// Where an entry stands when one of many values must be chosen.
pub(crate) type Rank = (u64, EntryHash);

/// The state that the control log describes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fold {
    pub(crate) org: OrgId,
    hubs: BTreeMap<HubId, HubFacts>,
    pub(crate) devices: BTreeMap<DeviceId, Device>,
    pub(crate) grants: BTreeMap<PersonCode, BTreeMap<EntryHash, Grant>>,
    /// The cuts of each grant.
    pub(crate) cuts: BTreeMap<EntryHash, BTreeSet<EntryHash>>,
    /// The tips of each cut and revocation, with those added later.
    tips: BTreeMap<EntryHash, BTreeSet<Tip>>,
    forms: BTreeMap<(FormCode, u32), BTreeSet<[u8; 32]>>,
    minimum_versions: BTreeMap<EntryHash, u16>,
    ended_minimum_versions: BTreeSet<EntryHash>,
    pub(crate) purges: Purges,
    pub(crate) quarantines: Quarantines,
    pub(crate) epochs: BTreeMap<Epoch, EpochFacts>,
    fork_proofs: BTreeMap<EntryHash, (Vec<u8>, Vec<u8>)>,
    adopted: BTreeSet<EntryHash>,
    unknown: BTreeMap<EntryHash, (u16, bool)>,
}

/// A hub's keys, as the authority named them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HubFacts {
    signing: BTreeSet<[u8; 32]>,
    bundle: BTreeMap<Rank, [u8; 32]>,
}

impl HubFacts {
    /// The Ed25519 keys of this id: one, unless the authority named two that give the same id.
    pub fn signing_keys(&self) -> impl Iterator<Item = &[u8; 32]> {
        self.signing.iter()
    }

    /// The X25519 key that bundles are encrypted to: the one named last.
    #[must_use]
    pub fn bundle_key(&self) -> Option<&[u8; 32]> {
        self.bundle.values().next_back()
    }
}

impl Fold {
    pub(crate) const fn new(org: OrgId) -> Self {
        Self {
            org,
            hubs: BTreeMap::new(),
            devices: BTreeMap::new(),
            grants: BTreeMap::new(),
            cuts: BTreeMap::new(),
            tips: BTreeMap::new(),
            forms: BTreeMap::new(),
            minimum_versions: BTreeMap::new(),
            ended_minimum_versions: BTreeSet::new(),
            purges: Purges::new(),
            quarantines: Quarantines::new(),
            epochs: BTreeMap::new(),
            fork_proofs: BTreeMap::new(),
            adopted: BTreeSet::new(),
            unknown: BTreeMap::new(),
        }
    }

    /// The fold of a log from scratch. [`ControlLog::fold`] is always equal to it, and is kept up to date.
    #[must_use]
    pub fn of(log: &ControlLog) -> Self {
        let mut fold = Self::new(*log.org());
        for (hash, generation, entry) in log.generations() {
            fold.absorb(*hash, generation, entry);
        }
        fold
    }

    /// Adds one entry. Commutes with every other entry.
    pub(crate) fn absorb(&mut self, hash: EntryHash, generation: u64, entry: &Entry) {
        let rank = (generation, hash);
        match &entry.decision {
            Decision::Hub(keys) => self.absorb_hub(rank, keys),
            Decision::EpochStart { parents } => {
                self.epochs.entry(entry.epoch).or_default().begin(hub_of(entry.signer), parents);
            }
            Decision::Enrol(enrolment) => {
                let is_proven = enrolment.replaces.as_ref().is_some_and(|r| r.proves(&self.org, &enrolment.key));
                self.devices.entry(enrolment.device()).or_default().enrol(rank, enrolment, is_proven);
            }
            Decision::Confirm { device } => self.epochs.entry(entry.epoch).or_default().confirm(*device),
            Decision::AdoptionComplete { epoch } => self.epochs.entry(*epoch).or_default().complete(),
            Decision::Grant(grant) => {
                self.grants.entry(grant.person.clone()).or_default().insert(hash, grant.clone());
            }
            Decision::Cut { ends, tips } => {
                self.cuts.entry(*ends).or_default().insert(hash);
                self.tips.entry(hash).or_default().extend(tips);
            }
            Decision::Revoke { device, reason, tips } => {
                self.devices.entry(*device).or_default().revoke(hash, *reason);
                self.tips.entry(hash).or_default().extend(tips);
            }
            Decision::MoreTips { of, tips } => self.tips.entry(*of).or_default().extend(tips),
            Decision::Form(form) => {
                self.forms.entry((form.form.clone(), form.version)).or_default().insert(form.hash);
            }
            Decision::MinimumVersion { version } => {
                self.minimum_versions.insert(hash, *version);
            }
            Decision::EndMinimumVersion { ends } => {
                self.ended_minimum_versions.insert(*ends);
            }
            Decision::Purge(purge) => self.purges.add(hash, purge),
            Decision::Quarantine { scope, code } => self.quarantines.hold(hash, scope, *code),
            Decision::Release { ends } => self.quarantines.release(*ends),
            Decision::ForkProof { a, b } => {
                self.fork_proofs.insert(hash, (a.clone(), b.clone()));
            }
            Decision::Adopt { entries } => self.adopted.extend(entries),
            Decision::Unknown { kind, critical, .. } => {
                self.unknown.insert(hash, (*kind, *critical));
            }
        }
    }

    fn absorb_hub(&mut self, rank: Rank, keys: &HubKeys) {
        let hub = self.hubs.entry(keys.hub()).or_default();
        hub.signing.insert(keys.signing);
        hub.bundle.insert(rank, keys.bundle);
    }

    /// A hub that the authority named.
    #[must_use]
    pub fn hub(&self, hub: &HubId) -> Option<&HubFacts> {
        self.hubs.get(hub)
    }

    /// The content of what a named hub signed.
    ///
    /// # Errors
    /// [`SignatureError`] when the hub is not named, or none of its keys made the signature.
    pub fn verify_hub<'a, T: Signable>(&self, hub: &HubId, signed: &'a Signed<T>) -> Result<&'a T, SignatureError> {
        // Two keys of one hub id would have to be named by the authority itself; either may then sign.
        let mut outcome = Err(SignatureError::DoesNotVerify);
        for key in self.hubs.get(hub).into_iter().flat_map(HubFacts::signing_keys) {
            outcome = outcome.or_else(|_| signed.verify(&self.org, key));
        }
        outcome
    }

    /// All hubs.
    pub fn hubs(&self) -> impl Iterator<Item = (&HubId, &HubFacts)> {
        self.hubs.iter()
    }

    /// Whether there is an entry that this version cannot read and must not ignore: reading stops, uploading goes on.
    #[must_use]
    pub fn must_update(&self) -> bool {
        self.unknown.values().any(|(_, critical)| *critical)
    }

    /// The entries this version cannot read: kind, and whether it is critical.
    pub fn unknown(&self) -> impl Iterator<Item = (&EntryHash, u16, bool)> {
        self.unknown.iter().map(|(hash, (kind, critical))| (hash, *kind, *critical))
    }

    /// The lowest protocol version that may connect; 0 when none is set.
    #[must_use]
    pub fn minimum_version(&self) -> u16 {
        let not_ended = self.minimum_versions.iter().filter(|(hash, _)| !self.ended_minimum_versions.contains(hash));
        not_ended.map(|(_, version)| *version).max().unwrap_or(0)
    }

    /// The hash of a form's definition; `None` when the version is not published, or published with two hashes.
    #[must_use]
    pub fn form_hash(&self, form: &FormCode, version: u32) -> Option<&[u8; 32]> {
        let hashes = self.forms.get(&(form.clone(), version))?;
        hashes.first().filter(|_| hashes.len() == 1)
    }

    /// All published form versions with their hashes.
    pub fn forms(&self) -> impl Iterator<Item = (&FormCode, u32, &BTreeSet<[u8; 32]>)> {
        self.forms.iter().map(|((form, version), hashes)| (form, *version, hashes))
    }

    /// The fork proofs, each two encoded pack headers.
    pub fn fork_proofs(&self) -> impl Iterator<Item = (&EntryHash, &[u8], &[u8])> {
        self.fork_proofs.iter().map(|(hash, (a, b))| (hash, a.as_slice(), b.as_slice()))
    }

    /// Whether a hub has adopted an entry of another epoch.
    #[must_use]
    pub fn is_adopted(&self, entry: &EntryHash) -> bool {
        self.adopted.contains(entry)
    }

    /// Whether a pack stays within one cut or revocation: it is at or before a listed tip of its log.
    pub(crate) fn is_within(
        &self,
        cut: &EntryHash,
        logbook: &LogbookId,
        log: &LogId,
        is_at_or_before: &dyn Fn(&PackHash) -> bool,
    ) -> bool {
        let tip = |pack| Tip { logbook: *logbook, log: *log, pack: PackHash(pack) };
        let tips = self.tips.get(cut).into_iter().flat_map(|tips| tips.range(tip([0; 32])..=tip([0xff; 32])));
        tips.into_iter().any(|tip| is_at_or_before(&tip.pack))
    }

    /// The tips that a cut or revocation leaves within, those added later included.
    pub fn tips_of(&self, cut: &EntryHash) -> impl Iterator<Item = &Tip> {
        self.tips.get(cut).into_iter().flatten()
    }

    /// The erasure that an entry decided.
    #[must_use]
    pub fn purge(&self, entry: &EntryHash) -> Option<&Purge> {
        self.purges.entry(entry)
    }
}

const fn hub_of(signer: Signer) -> Option<HubId> {
    match signer {
        Signer::Authority => None,
        Signer::Hub(hub) => Some(hub),
    }
}
