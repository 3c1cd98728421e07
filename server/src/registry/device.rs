//! Devices: who they are, when they were last seen, and what ends them.

use std::collections::BTreeSet;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Admission, CUT_TIPS_MAX, Decision, Tip, UploadOnly};
use qianmo_protocol::ids::{DeviceId, EntryHash, PersonCode, StationCode};
use qianmo_protocol::time::UnixMillis;

use super::about::AboutRow;
use crate::hub::{HubCore, HubError};

/// A contact is written down again after this time; it needs no sync of its own.
const CONTACT_EVERY_MS: i64 = 3_600_000;

pub(super) fn label_key(device: &DeviceId) -> Vec<u8> {
    [b"label ".as_slice(), &device.0].concat()
}

fn contact_key(device: &DeviceId) -> Vec<u8> {
    [b"contact ".as_slice(), &device.0].concat()
}

/// Why the registry does not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No such device.
    #[error("there is no device {device}")]
    UnknownDevice {
        /// The device.
        device: DeviceId,
    },
    /// It is the hub itself.
    #[error("device {device} is the hub itself")]
    HubItself {
        /// The device.
        device: DeviceId,
    },
    /// The store failed.
    #[error("the decision could not be stored")]
    Hub(#[from] HubError),
}

/// What a device may do at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceStanding {
    /// Everything its persons may.
    Active,
    /// It may deliver what it wrote, nothing else: it was revoked.
    Revoked,
    /// It may deliver what it wrote; after a restore it waits for the administrator's confirmation.
    NotConfirmed,
    /// Two keys share its id: it must enrol again.
    Refused,
}

impl DeviceStanding {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Revoked => "revoked",
            Self::NotConfirmed => "not-confirmed",
            Self::Refused => "refused",
        }
    }
}

/// A device in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// Its id.
    pub device: DeviceId,
    /// What people call it.
    pub label: Option<String>,
    /// Where it belongs.
    pub station: Option<StationCode>,
    /// Who works on it.
    pub persons: Vec<PersonCode>,
    /// What it may do.
    pub standing: DeviceStanding,
    /// Whether its store was copied: two of them wrote at one place of its log.
    pub is_copied: bool,
    /// Whether it has a session now.
    pub is_connected: bool,
    /// Whether it is the hub's own.
    pub is_hub: bool,
    /// When it was last here; within the hour.
    pub last_contact: Option<UnixMillis>,
    /// When it was first enrolled, by the hub's clock.
    pub enrolled: Option<UnixMillis>,
    /// What it said of itself when it was last here.
    pub about: Option<AboutRow>,
}

impl HubCore {
    /// Every device, ascending by id.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be read.
    pub fn devices(&self) -> Result<Vec<DeviceRow>, HubError> {
        let fold = self.replica().control().fold();
        let connected = self.connected();
        let mut rows = Vec::new();
        for (id, device) in fold.devices() {
            let standing = match fold.may_connect(id, &self.epoch()) {
                Admission::Full => DeviceStanding::Active,
                Admission::UploadOnly(UploadOnly::Revoked) => DeviceStanding::Revoked,
                Admission::UploadOnly(UploadOnly::NotConfirmed) => DeviceStanding::NotConfirmed,
                Admission::Refused => DeviceStanding::Refused,
                // A revocation that came before its enrolment: a restored hub learns of it so.
                Admission::Unknown => DeviceStanding::Revoked,
            };
            let label = self.replica().meta(&label_key(id))?;
            rows.push(DeviceRow {
                device: *id,
                label: label.and_then(|bytes| String::from_utf8(bytes).ok()),
                station: device.station().cloned(),
                persons: device.persons().cloned().collect(),
                standing,
                is_copied: self.is_forked(id),
                is_connected: connected.contains(id),
                is_hub: *id == self.replica().device(),
                last_contact: self.last_contact(id)?,
                enrolled: device.enrolments().iter().filter_map(|hash| self.time_of(hash)).min(),
                about: self.about(id)?,
            });
        }
        Ok(rows)
    }

    fn time_of(&self, entry: &EntryHash) -> Option<UnixMillis> {
        Some(self.replica().control().entry(entry)?.content().time)
    }

    fn last_contact(&self, device: &DeviceId) -> Result<Option<UnixMillis>, HubError> {
        if let Some(contact) = self.contact(device) {
            return Ok(Some(contact));
        }
        let stored = self.replica().meta(&contact_key(device))?;
        Ok(stored.and_then(|bytes| bytes.try_into().ok()).map(|bytes| UnixMillis(i64::from_be_bytes(bytes))))
    }

    /// A device is here. Written down now and then, with the next sync.
    pub(crate) fn note_contact(&mut self, now: UnixMillis, device: &DeviceId) {
        let before = self.last_contact(device).unwrap_or(None);
        let is_old = before.is_none_or(|before| now.0.saturating_sub(before.0).abs() >= CONTACT_EVERY_MS);
        if !is_old {
            return;
        }
        self.set_contact(*device, now);
        if let Err(error) = self.put_meta(&contact_key(device), &now.0.to_be_bytes()) {
            // The next write fails too, and says so to whoever waits for it.
            tracing::warn!(error = &error as &dyn core::error::Error, "the last contact of a device was not stored");
        }
    }

    /// Ends a device: what the hub holds of it stays within, its sessions end at once, and it may only upload from now on.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn revoke(&mut self, now: UnixMillis, device: &DeviceId, reason: u16) -> Result<EntryHash, RegistryError> {
        let fold = self.replica().control().fold();
        if *device == self.replica().device() {
            return Err(RegistryError::HubItself { device: *device });
        }
        let known = fold.device(device).filter(|known| known.is_enrolled());
        let Some(known) = known else { return Err(RegistryError::UnknownDevice { device: *device }) };
        if let Some((hash, _)) = known.revocations().next() {
            return Ok(*hash);
        }
        let org = self.org();
        let tips: Vec<Tip> = self
            .tips_of_device(device)
            .into_iter()
            .map(|(name, tip)| Tip { logbook: name.id(&org), log: tip.log, pack: tip.head })
            .collect();
        let mut chunks = tips.chunks(CUT_TIPS_MAX).map(|chunk| chunk.iter().copied().collect::<BTreeSet<Tip>>());
        let first = chunks.next().unwrap_or_default();
        let hashes = self.decide(now, vec![Decision::Revoke { device: *device, reason, tips: first }])?;
        let Some(of) = hashes.first().copied() else { return Err(RegistryError::UnknownDevice { device: *device }) };
        let more = chunks.map(|tips| Decision::MoreTips { of, tips }).collect();
        self.decide(now, more)?;
        self.close_sessions_of(device, CloseCode::Revoked);
        tracing::info!(%device, reason, "a device is revoked");
        Ok(of)
    }

    /// After a restore: the administrator says that a device is what it says it is.
    ///
    /// # Errors
    /// [`RegistryError`].
    pub fn confirm(&mut self, now: UnixMillis, device: &DeviceId) -> Result<(), RegistryError> {
        if self.replica().control().fold().device(device).is_none() {
            return Err(RegistryError::UnknownDevice { device: *device });
        }
        self.decide(now, vec![Decision::Confirm { device: *device }])?;
        Ok(())
    }

    /// After a restore: everything that devices bring is there, and no device needs a confirmation any more. What still waits
    /// for the administrator is held.
    ///
    /// # Errors
    /// [`HubError`].
    pub fn complete_adoption(&mut self, now: UnixMillis) -> Result<(), HubError> {
        let epoch = self.epoch();
        self.complete(now, Decision::AdoptionComplete { epoch })
    }
}
