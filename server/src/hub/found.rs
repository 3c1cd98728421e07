//! Founding a hub in an empty store, and opening one that was founded.

use std::collections::BTreeSet;

use ed25519_dalek::SigningKey;
use rand::RngCore as _;
use rand::rngs::StdRng;

use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::{Decision, Enrolment, Grant, HubKeys, Role as GrantRole, Scope, SignedEntry, Signer};
use qianmo_protocol::ids::{Code, Epoch, HubId, OrgId, PersonCode};
use qianmo_protocol::limits::BEACON_JUMP_DAYS_MAX;
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::Disk;
use qianmo_replica::index::Index;
use qianmo_replica::replica::{Identity, OpenError, OpenReport, Replica, ReplicaError};

use super::beacon::WATERMARK_KEY;
use super::epoch::{Adoption, EPOCH_KEY};
use super::publish::{Forks, Published};
use super::{HubCore, HubCounters, HubError, HubLimits, role};

/// The station under which the hub's own device is enrolled.
const HUB_STATION: &str = "HUB";

/// The hub's own private keys.
#[derive(Clone)]
pub struct HubSecrets {
    /// Signs entries, receipts and beacons; the hub's id follows from it.
    pub signing: SigningKey,
    /// Signs packs of what is written in the hub's pages.
    pub device: SigningKey,
    /// The public half of the key that bundles are encrypted to.
    pub bundle_public: [u8; 32],
}

impl core::fmt::Debug for HubSecrets {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("HubSecrets").field("hub", &self.hub()).finish_non_exhaustive()
    }
}

impl HubSecrets {
    /// The hub's id.
    #[must_use]
    pub fn hub(&self) -> HubId {
        HubId::from_key(&self.signing.verifying_key().to_bytes())
    }
}

/// Whether a jump of the clock was looked at by a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockCheck {
    /// Nobody said so: a jump keeps the hub from starting (A7).
    Strict,
    /// The administrator says that the clock is right now.
    Confirmed,
}

/// What a hub is opened with.
#[derive(Debug)]
pub struct HubSetup {
    /// The authority's public key.
    pub authority: [u8; 32],
    /// The hub's keys.
    pub secrets: HubSecrets,
    /// What it accepts.
    pub limits: HubLimits,
    /// Whether its clock was confirmed.
    pub clock: ClockCheck,
    /// Where epochs, tokens and incarnations come from.
    pub rng: StdRng,
}

/// What a new organisation begins with.
#[derive(Debug)]
pub struct Founding<'a> {
    /// The authority's key; used for one signature.
    pub authority: &'a SigningKey,
    /// The administrator's code.
    pub admin: PersonCode,
}

/// Why a hub does not open.
#[derive(Debug, thiserror::Error)]
pub enum HubOpenError {
    /// The store does not open.
    #[error("the hub's store does not open")]
    Open(#[from] OpenError),
    /// It opens, but something in it cannot be read or written.
    #[error("the hub's store cannot be used")]
    Hub(#[from] HubError),
    /// There is no hub in it.
    #[error("this store was never founded; run `qianmo-server init` on an empty folder")]
    NotFounded,
    /// There is one already.
    #[error("this store was founded before; open it instead")]
    Founded,
    /// The clock is far from where it was when the hub last said the time.
    #[error(
        "the clock is {days} days from the hub's last beacon, more than {max}; set the clock, \
         or start with --confirm-clock if it is right"
    )]
    ClockJump {
        /// Days between the two.
        days: u64,
        /// Most days believed.
        max: u32,
    },
}

impl From<ReplicaError> for HubOpenError {
    fn from(error: ReplicaError) -> Self {
        Self::Hub(error.into())
    }
}

impl HubCore {
    /// Opens a hub, publishes what a crash kept back and judges what waits.
    ///
    /// # Errors
    /// [`HubOpenError`].
    pub fn open(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        setup: HubSetup,
        now: UnixMillis,
    ) -> Result<(Self, OpenReport), HubOpenError> {
        Self::open_known(disk, index, setup, now, 0)
    }

    /// As [`HubCore::open`] for a store that is known to have been durable up to a commit. When its end is gone, because a
    /// disk forgot it or somebody put an older log in its place, it is a restored store: a new epoch begins before
    /// anything else is decided.
    ///
    /// # Errors
    /// [`HubOpenError`].
    pub fn open_known(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        setup: HubSetup,
        now: UnixMillis,
        log_end: u64,
    ) -> Result<(Self, OpenReport), HubOpenError> {
        let (mut core, report) = Self::begun(disk, index, setup, now)?;
        if core.opened_at < log_end {
            let have = core.opened_at;
            tracing::error!(have, log_end, "the end of the record store is gone: it goes on as a restored one");
            core.begin_epoch(now, have)?;
        }
        core.recover(now)?;
        Ok((core, report))
    }

    /// Opens a hub whose store came out of a backup: a new epoch begins before anything else is decided (A5, A15).
    ///
    /// # Errors
    /// [`HubOpenError`].
    pub fn restore(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        setup: HubSetup,
        now: UnixMillis,
    ) -> Result<Self, HubOpenError> {
        let (mut core, _) = Self::begun(disk, index, setup, now)?;
        let contained = core.opened_at;
        if !injected(Bug::EpochKept) {
            core.begin_epoch(now, contained)?;
        }
        // What the backup contains is backed up.
        core.set_watermark(now, contained)?;
        core.recover(now)?;
        Ok(core)
    }

    fn begun(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        setup: HubSetup,
        now: UnixMillis,
    ) -> Result<(Self, OpenReport), HubOpenError> {
        let clock = setup.clock;
        let (mut core, report) = Self::over(disk, index, setup)?;
        let epoch = core.replica.meta(EPOCH_KEY)?.and_then(|bytes| Epoch::from_slice(&bytes));
        core.epoch = epoch.ok_or(HubOpenError::NotFounded)?;
        core.replica.set_role(role(core.hub, core.epoch));
        core.check_clock(now, clock)?;
        let watermark = core.replica.meta(WATERMARK_KEY)?.and_then(|bytes| bytes.try_into().ok());
        core.watermark = watermark.map_or(0, u64::from_be_bytes);
        core.opened_at = core.replica.durable_commit().0;
        Ok((core, report))
    }

    /// Founds a hub in an empty store: the authority names it, and it enrols itself and its administrator.
    ///
    /// # Errors
    /// [`HubOpenError`].
    pub fn found(
        disk: Box<dyn Disk>,
        index: Box<dyn Index>,
        setup: HubSetup,
        founding: &Founding<'_>,
        now: UnixMillis,
    ) -> Result<Self, HubOpenError> {
        let keys =
            HubKeys { signing: setup.secrets.signing.verifying_key().to_bytes(), bundle: setup.secrets.bundle_public };
        let device_key = setup.secrets.device.verifying_key().to_bytes();
        let (mut core, _) = Self::over(disk, index, setup)?;
        if !core.replica.control().is_empty() {
            return Err(HubOpenError::Founded);
        }
        let mut epoch = [0; 16];
        core.rng.fill_bytes(&mut epoch);
        core.epoch = Epoch(epoch);
        core.replica.set_role(role(core.hub, core.epoch));
        let entry = core.replica.control().draft(Signer::Authority, core.epoch, now, Decision::Hub(keys));
        let signed = SignedEntry::sign(&core.org, founding.authority, entry).map_err(HubError::from)?;
        core.replica.adopt(vec![signed])?;
        core.replica.sync()?;
        let persons = BTreeSet::from([founding.admin.clone()]);
        let station = Code::new(HUB_STATION).unwrap_or_else(|_| founding.admin.clone());
        let grant = Grant { person: founding.admin.clone(), role: GrantRole::Admin, scope: Scope::District };
        core.replica.put_meta(EPOCH_KEY, &epoch)?;
        core.decide(
            now,
            vec![
                Decision::EpochStart { parents: std::collections::BTreeMap::new() },
                Decision::Enrol(Enrolment { key: device_key, persons, station, replaces: None }),
                Decision::Grant(grant),
            ],
        )?;
        core.sign_beacon(now)?;
        Ok(core)
    }

    fn over(disk: Box<dyn Disk>, index: Box<dyn Index>, setup: HubSetup) -> Result<(Self, OpenReport), HubOpenError> {
        let HubSetup { authority, secrets, limits, clock: _, mut rng } = setup;
        let hub = secrets.hub();
        let epoch = Epoch([0; 16]);
        let identity = Identity { authority, key: secrets.device, role: role(hub, epoch) };
        let (replica, report) = Replica::open(disk, index, identity, &mut rng)?;
        let core = Self {
            org: OrgId::from_authority_key(&authority),
            hub,
            epoch,
            signing: secrets.signing,
            replica,
            limits,
            rng,
            sessions: std::collections::BTreeMap::new(),
            active: BTreeSet::new(),
            outputs: Vec::new(),
            is_stopping: false,
            watermark: 0,
            opened_at: 0,
            published: Published::default(),
            forks: Forks::default(),
            adoption: Adoption::default(),
            sweep: super::grants::Sweep::default(),
            endings: super::endings::Endings::default(),
            has_unjudged: false,
            judged_last: super::SessionId(0),
            erasing: None,
            undecided: Vec::new(),
            contacts: std::collections::BTreeMap::new(),
            acting: None,
            quotas: super::quota::Quotas::default(),
            counters: HubCounters::default(),
        };
        Ok((core, report))
    }

    /// A clock that jumped would file the next months' records in the wrong place (A7).
    fn check_clock(&self, now: UnixMillis, check: ClockCheck) -> Result<(), HubOpenError> {
        let Some(beacon) = self.replica.newest_beacon() else { return Ok(()) };
        let days = now.days_from(beacon.time);
        match check {
            ClockCheck::Strict if days > u64::from(BEACON_JUMP_DAYS_MAX) => {
                Err(HubOpenError::ClockJump { days, max: BEACON_JUMP_DAYS_MAX })
            }
            ClockCheck::Strict | ClockCheck::Confirmed => Ok(()),
        }
    }
}
