//! What a control entry can decide.
//!
//! Ids and reason codes only. Sets are ordered sets, so that each decision has exactly one encoding.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;

use crate::control::signed::{sign_bytes, verify_bytes};
use crate::ids::{
    ChangeHash, DeviceId, DocId, EntryHash, Epoch, FormCode, HubId, LogId, LogbookId, OrgId, PackHash, PersonCode,
    StationCode,
};

/// A decision. The numbers of the kinds and which of them are critical are fixed by the protocol version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Kind 1: the authority names a hub's keys.
    Hub(HubKeys),
    /// Kind 2: the entry's epoch begins. It contains each parent epoch up to a commit number; the first has no parent.
    EpochStart {
        /// Parent epochs, with the last commit contained.
        parents: BTreeMap<Epoch, u64>,
    },
    /// Kind 3: a device and its persons.
    Enrol(Enrolment),
    /// Kind 4: after a restore, the administrator confirms a device for the entry's epoch (A15).
    Confirm {
        /// The device.
        device: DeviceId,
    },
    /// Kind 5: a restored hub has adopted what there is; confirmation is no longer asked for.
    AdoptionComplete {
        /// The epoch that began with the restore.
        epoch: Epoch,
    },
    /// Kind 6: a person's role.
    Grant(Grant),
    /// Kind 7, critical: ends a grant. Packs at or before a listed tip keep it; all others are beyond.
    Cut {
        /// The grant's entry.
        ends: EntryHash,
        /// What stays within.
        tips: BTreeSet<Tip>,
    },
    /// Kind 8, critical: ends a device. Cannot be ended itself.
    Revoke {
        /// The device.
        device: DeviceId,
        /// Why, as a code.
        reason: u16,
        /// What stays within.
        tips: BTreeSet<Tip>,
    },
    /// Kind 9, critical: further tips of a cut or revocation whose list is longer than one entry.
    MoreTips {
        /// The entry of the cut or revocation.
        of: EntryHash,
        /// What stays within, too.
        tips: BTreeSet<Tip>,
    },
    /// Kind 10: a version of a form.
    Form(FormVersion),
    /// Kind 11, critical: the lowest protocol version that may connect.
    MinimumVersion {
        /// The version.
        version: u16,
    },
    /// Kind 12: ends a minimum version.
    EndMinimumVersion {
        /// Its entry.
        ends: EntryHash,
    },
    /// Kind 13, critical: erases. Cannot be ended.
    Purge(Purge),
    /// Kind 14, critical: holds what failed the gate.
    Quarantine {
        /// What is held.
        scope: QuarantineScope,
        /// Why, as a code.
        code: u16,
    },
    /// Kind 15, critical: ends a quarantine.
    Release {
        /// The quarantine's entry.
        ends: EntryHash,
    },
    /// Kind 16: two pack headers of one log with the same predecessor.
    ForkProof {
        /// The one, as encoded.
        a: Vec<u8>,
        /// The other, as encoded.
        b: Vec<u8>,
    },
    /// Kind 17: the hub adopted entries of another epoch, which devices brought.
    Adopt {
        /// The entries.
        entries: BTreeSet<EntryHash>,
    },
    /// Something this version cannot read: kept, passed on, and if critical a reason to stop reading.
    Unknown {
        /// Its kind.
        kind: u16,
        /// Whether a reader that does not know it must stop reading.
        critical: bool,
        /// Its body.
        body: Vec<u8>,
    },
}

impl Decision {
    /// The number of its kind.
    #[must_use]
    pub const fn kind(&self) -> u16 {
        match self {
            Self::Hub(_) => 1,
            Self::EpochStart { .. } => 2,
            Self::Enrol(_) => 3,
            Self::Confirm { .. } => 4,
            Self::AdoptionComplete { .. } => 5,
            Self::Grant(_) => 6,
            Self::Cut { .. } => 7,
            Self::Revoke { .. } => 8,
            Self::MoreTips { .. } => 9,
            Self::Form(_) => 10,
            Self::MinimumVersion { .. } => 11,
            Self::EndMinimumVersion { .. } => 12,
            Self::Purge(_) => 13,
            Self::Quarantine { .. } => 14,
            Self::Release { .. } => 15,
            Self::ForkProof { .. } => 16,
            Self::Adopt { .. } => 17,
            Self::Unknown { kind, .. } => *kind,
        }
    }

    /// Whether a reader that cannot read it must stop reading. Uploading never stops.
    ///
    /// Critical is what takes something away or decides what is held: ignoring it would show too much or diverge.
    #[must_use]
    pub const fn is_critical(&self) -> bool {
        match self {
            Self::Cut { .. }
            | Self::Revoke { .. }
            | Self::MoreTips { .. }
            | Self::MinimumVersion { .. }
            | Self::Purge(_)
            | Self::Quarantine { .. }
            | Self::Release { .. } => true,
            Self::Hub(_)
            | Self::EpochStart { .. }
            | Self::Enrol(_)
            | Self::Confirm { .. }
            | Self::AdoptionComplete { .. }
            | Self::Grant(_)
            | Self::Form(_)
            | Self::EndMinimumVersion { .. }
            | Self::ForkProof { .. }
            | Self::Adopt { .. } => false,
            Self::Unknown { critical, .. } => *critical,
        }
    }
}

/// A hub's public keys. Its id follows from the signing key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubKeys {
    /// Ed25519: entries, receipts, beacons.
    pub signing: [u8; 32],
    /// X25519: bundles are encrypted to it.
    pub bundle: [u8; 32],
}

impl HubKeys {
    /// The hub's id.
    #[must_use]
    pub fn hub(&self) -> HubId {
        HubId::from_key(&self.signing)
    }
}

/// A device's key and who works on it. The device's id follows from the key. Several enrolments of one key add up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enrolment {
    /// Ed25519 public key.
    pub key: [u8; 32],
    /// Who may write on it.
    pub persons: BTreeSet<PersonCode>,
    /// Where it belongs.
    pub station: StationCode,
    /// The device whose store it took over.
    pub replaces: Option<Replaces>,
}

impl Enrolment {
    /// The device's id.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::from_key(&self.key)
    }
}

/// The device that a new one replaces.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replaces {
    /// The old device.
    pub device: DeviceId,
    /// Why that is believed.
    pub proof: ReplaceProof,
}

/// Why a device may take over another's store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReplaceProof {
    /// The administrator's ticket named the old device.
    Ticket,
    /// The old key signed the new one.
    OldKey {
        /// The old device's public key.
        key: [u8; 32],
        /// Its signature over the new key.
        signature: [u8; 64],
    },
}

/// Domain of the old key's signature.
const REPLACES_DOMAIN: &str = "qianmo replaces v1";

impl Replaces {
    /// The old device agrees that `new_key` takes its place.
    #[must_use]
    pub fn by_old_key(org: &OrgId, old: &SigningKey, new_key: &[u8; 32]) -> Self {
        let key = old.verifying_key().to_bytes();
        let signature = sign_bytes(REPLACES_DOMAIN, org, old, new_key);
        Self { device: DeviceId::from_key(&key), proof: ReplaceProof::OldKey { key, signature } }
    }

    /// Whether the proof is one for `new_key`. That the old key is the enrolled one is for the fold to know.
    #[must_use]
    pub fn proves(&self, org: &OrgId, new_key: &[u8; 32]) -> bool {
        match &self.proof {
            ReplaceProof::Ticket => true,
            ReplaceProof::OldKey { key, signature } => {
                DeviceId::from_key(key) == self.device
                    && verify_bytes(REPLACES_DOMAIN, org, key, new_key, signature).is_ok()
            }
        }
    }
}

/// What a person is allowed, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Who.
    pub person: PersonCode,
    /// What.
    pub role: Role,
    /// Where.
    pub scope: Scope,
}

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Writes records (技术员).
    Technician,
    /// Writes records and advice (专家).
    Expert,
    /// Reviews (协调员).
    Coordinator,
    /// Looks at pages; never replicates.
    Viewer,
    /// Keeps the organisation's directory, devices and grants (管理员).
    Admin,
}

impl Role {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Technician => 1,
            Self::Expert => 2,
            Self::Coordinator => 3,
            Self::Viewer => 4,
            Self::Admin => 5,
        }
    }

    /// From the number on the wire.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Technician),
            2 => Some(Self::Expert),
            3 => Some(Self::Coordinator),
            4 => Some(Self::Viewer),
            5 => Some(Self::Admin),
            _ => None,
        }
    }
}

/// Where a grant holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All stations, and the organisation's directory.
    District,
    /// These stations.
    Stations(BTreeSet<StationCode>),
}

/// The last pack of a branch that stays within a cut. The full hash, because eight bytes can be ground (A10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tip {
    /// In which logbook.
    pub logbook: LogbookId,
    /// In which log.
    pub log: LogId,
    /// The pack.
    pub pack: PackHash,
}

/// A form's version and the hash of its definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormVersion {
    /// The form.
    pub form: FormCode,
    /// Its version.
    pub version: u32,
    /// BLAKE3 of the definition.
    pub hash: [u8; 32],
}

/// An erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// What is erased.
    pub target: PurgeTarget,
    /// Why, as a code.
    pub reason: u16,
    /// The document is a service target: whatever refers to it is erased as well, now and later (A11).
    pub is_standing: bool,
    /// What an erased review event had seen (A3).
    pub memory: Option<ReviewMemory>,
}

/// What is erased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PurgeTarget {
    /// A whole document.
    Document {
        /// The document.
        doc: DocId,
        /// Where it lives.
        logbook: LogbookId,
    },
    /// One change, held before.
    Hash {
        /// The change.
        change: ChangeHash,
        /// Its document.
        doc: DocId,
    },
}

/// What must outlive an erased review event, so that losing it revives no approval (A3).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReviewMemory {
    /// The record it was about.
    pub record: DocId,
    /// The number of the event's kind.
    pub kind: u8,
    /// The events it had seen.
    pub seen: BTreeSet<DocId>,
}

/// What a quarantine holds.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuarantineScope {
    /// One change, for its content or in one pack (A1).
    Change {
        /// The change.
        change: ChangeHash,
        /// For what.
        carrier: Carrier,
    },
    /// A whole pack, which vectors then leave out (A12).
    Pack(PackHash),
    /// Everything in a log that is not at or before one of these tips (A12).
    LogBeyondTips {
        /// In which logbook.
        logbook: LogbookId,
        /// In which log.
        log: LogId,
        /// What stays.
        tips: BTreeSet<PackHash>,
    },
}

/// Which of the two judgements of a change failed (A1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// Its content: no carrier can help it.
    Content,
    /// Its author's rights in this pack: another pack may still carry it.
    Pack(PackHash),
}
