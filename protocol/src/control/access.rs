//! Who a device is, what it may connect for, and what it may read.

use std::collections::{BTreeMap, BTreeSet};

use crate::control::fold::Rank;
use crate::control::{Enrolment, Fold, Grant, ReplaceProof, Replaces, Role, Scope};
use crate::ids::{DeviceId, EntryHash, Epoch, LogbookName, PersonCode, StationCode};

/// What the control log says of one device id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Device {
    /// Every key that was enrolled under this id. Two mean that one was ground to match: both are refused (A15).
    keys: BTreeSet<[u8; 32]>,
    persons: BTreeSet<PersonCode>,
    stations: BTreeMap<Rank, StationCode>,
    enrolments: BTreeSet<EntryHash>,
    /// What it replaces, by proofs that were found good.
    replaces: BTreeSet<Replaces>,
    revocations: BTreeMap<EntryHash, u16>,
}

impl Device {
    pub(crate) fn enrol(&mut self, rank: Rank, enrolment: &Enrolment, is_proven: bool) {
        self.keys.insert(enrolment.key);
        self.persons.extend(enrolment.persons.iter().cloned());
        self.stations.insert(rank, enrolment.station.clone());
        self.enrolments.insert(rank.1);
        self.replaces.extend(enrolment.replaces.iter().filter(|_| is_proven).cloned());
    }

    pub(crate) fn revoke(&mut self, hash: EntryHash, reason: u16) {
        self.revocations.insert(hash, reason);
    }

    /// Its public key; `None` when it is not enrolled, or when two keys share the id.
    #[must_use]
    pub fn key(&self) -> Option<&[u8; 32]> {
        self.keys.first().filter(|_| self.keys.len() == 1)
    }

    /// Whether two keys share the id.
    #[must_use]
    pub fn has_two_keys(&self) -> bool {
        self.keys.len() > 1
    }

    /// Whether it is enrolled. A revocation may be known before the enrolment.
    #[must_use]
    pub fn is_enrolled(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Whether it is revoked.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        !self.revocations.is_empty()
    }

    /// Its revocations: entry and reason code.
    pub fn revocations(&self) -> impl Iterator<Item = (&EntryHash, u16)> {
        self.revocations.iter().map(|(hash, reason)| (hash, *reason))
    }

    /// The entries that enrolled it.
    #[must_use]
    pub const fn enrolments(&self) -> &BTreeSet<EntryHash> {
        &self.enrolments
    }

    /// Who works on it. Nobody, when two keys share the id.
    pub fn persons(&self) -> impl Iterator<Item = &PersonCode> {
        self.persons.iter().filter(|_| !self.has_two_keys())
    }

    /// Whether a person works on it.
    #[must_use]
    pub fn has_person(&self, person: &PersonCode) -> bool {
        !self.has_two_keys() && self.persons.contains(person)
    }

    /// The station it was last enrolled for.
    #[must_use]
    pub fn station(&self) -> Option<&StationCode> {
        self.stations.values().next_back()
    }
}

/// What a device may connect for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// A whole session. What it may read is [`Fold::may_read`].
    Full,
    /// Its packs in, acknowledgements and control out; nothing else (A10, A15).
    UploadOnly(UploadOnly),
    /// No entry enrols it. It may present its signed enrol entry.
    Unknown,
    /// Two keys share its id: it must enrol again with a new key (A15).
    Refused,
}

/// Why a device may only upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadOnly {
    /// It is revoked.
    Revoked,
    /// The hub was restored, has not adopted everything yet, and nobody has confirmed this device.
    NotConfirmed,
}

impl Role {
    /// Whether devices of such a person hold logbooks. Viewers look at pages only.
    const fn replicates(self) -> bool {
        match self {
            Self::Technician | Self::Expert | Self::Coordinator | Self::Admin => true,
            Self::Viewer => false,
        }
    }
}

impl Scope {
    /// Whether a logbook lies within. The organisation's directory lies in the district only.
    #[must_use]
    pub fn covers(&self, logbook: &LogbookName) -> bool {
        match self {
            Self::District => true,
            Self::Stations(stations) => logbook.station().is_some_and(|station| stations.contains(station)),
        }
    }
}

impl Fold {
    /// What is known of a device id.
    #[must_use]
    pub fn device(&self, device: &DeviceId) -> Option<&Device> {
        self.devices.get(device)
    }

    /// The device that holds this key, if the key is enrolled and shares its id with no other.
    #[must_use]
    pub fn device_by_key(&self, key: &[u8; 32]) -> Option<(DeviceId, &Device)> {
        let id = DeviceId::from_key(key);
        let device = self.devices.get(&id)?;
        (device.key() == Some(key)).then_some((id, device))
    }

    /// All device ids that are enrolled or revoked.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceId, &Device)> {
        self.devices.iter()
    }

    /// The device and those whose stores it took over, one after another: whose actors it may go on with (R6).
    ///
    /// An old key's signature counts only while that key is the only one enrolled under the old id.
    #[must_use]
    pub fn owners_of(&self, device: &DeviceId) -> BTreeSet<DeviceId> {
        let mut owners = BTreeSet::from([*device]);
        let mut next = vec![*device];
        while let Some(device) = next.pop() {
            let known = self.devices.get(&device).filter(|device| !device.has_two_keys());
            for replaces in known.into_iter().flat_map(|device| &device.replaces) {
                if self.is_honoured(replaces) && owners.insert(replaces.device) {
                    next.push(replaces.device);
                }
            }
        }
        owners
    }

    fn is_honoured(&self, replaces: &Replaces) -> bool {
        match &replaces.proof {
            ReplaceProof::Ticket => true,
            ReplaceProof::OldKey { key, .. } => {
                self.devices.get(&replaces.device).is_some_and(|old| old.key() == Some(key))
            }
        }
    }

    /// What a device may connect for, at a hub in this epoch.
    #[must_use]
    pub fn may_connect(&self, device: &DeviceId, epoch: &Epoch) -> Admission {
        let Some(known) = self.devices.get(device).filter(|device| device.is_enrolled()) else {
            return Admission::Unknown;
        };
        if known.has_two_keys() {
            Admission::Refused
        } else if known.is_revoked() {
            Admission::UploadOnly(UploadOnly::Revoked)
        } else if !self.is_confirmed(device, epoch) {
            Admission::UploadOnly(UploadOnly::NotConfirmed)
        } else {
            Admission::Full
        }
    }

    /// Whether a device that [`Fold::may_connect`] admits in full may be sent a logbook: one of its persons has a grant
    /// there that is not cut. Every enrolled device may read the organisation's directory.
    #[must_use]
    pub fn may_read(&self, device: &DeviceId, logbook: &LogbookName) -> bool {
        let Some(known) = self.devices.get(device).filter(|device| device.key().is_some() && !device.is_revoked())
        else {
            return false;
        };
        let mut grants = known.persons().flat_map(|person| self.grants_of(person));
        *logbook == LogbookName::OrgDirectory
            || grants.any(|(hash, grant)| !self.is_cut(hash) && grant.role.replicates() && grant.scope.covers(logbook))
    }

    /// The persons of a device.
    pub fn persons_of(&self, device: &DeviceId) -> impl Iterator<Item = &PersonCode> {
        self.devices.get(device).into_iter().flat_map(Device::persons)
    }

    /// All grants of a person, those that are cut included.
    pub fn grants_of(&self, person: &PersonCode) -> impl Iterator<Item = (&EntryHash, &Grant)> {
        self.grants.get(person).into_iter().flatten()
    }

    /// All grants, those that are cut included.
    pub fn grants(&self) -> impl Iterator<Item = (&EntryHash, &Grant)> {
        self.grants.values().flatten()
    }

    /// Whether a grant is cut. What was written within the cut stays valid.
    #[must_use]
    pub fn is_cut(&self, grant: &EntryHash) -> bool {
        self.cuts.contains_key(grant)
    }

    /// The cuts of a grant.
    pub fn cuts_of(&self, grant: &EntryHash) -> impl Iterator<Item = &EntryHash> {
        self.cuts.get(grant).into_iter().flatten()
    }
}
