//! The hub, its administrator, its backups, and what goes wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Decision, Device, Grant, Role, Scope, Tip};
use qianmo_protocol::handshake::{Address, EnrolAsk};
use qianmo_protocol::ids::{Code, DeviceId, DocId, LogbookName, OrgId};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::session::message::FrameReader;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::disk::{DiskOperation, FaultTarget};
use qianmo_server::admin::{ErasureReach, PurgeOrder, Unsaved, purge};
use qianmo_server::hub::{
    ClockCheck, Command, Founding, HubCore, HubLimits, HubOpenError, HubSecrets, HubSetup, ReleaseError, ReleaseOrder,
    SessionId,
};
use qianmo_server::registry::{DeviceStanding, Enrolled, TicketGrant, TicketOrder};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use super::field::Seat;
use super::machines::{Machine, SharedIndex};
use super::plan::{DAY, Fault, HOUR, MINUTE};
use super::world::{BEGIN_MS, Event, World};

/// The station of most people.
pub const STATION: &str = "ST01";

/// The station of a few.
pub const OTHER_STATION: &str = "ST02";

/// Most days that the hub's clock is off.
pub(super) const HUB_CLOCK_DAYS_MAX: i64 = 15;

/// A backup of the hub's store.
#[derive(Debug, Clone)]
pub struct Backup {
    /// When it was made.
    pub at: u64,
    /// What it holds.
    pub image: Machine,
    /// The last commit in it.
    pub commit: u64,
}

/// The hub and its administrator.
pub struct Office {
    /// The hub, while it runs.
    pub core: Option<HubCore>,
    /// Its machine.
    pub machine: Machine,
    authority: SigningKey,
    secrets: HubSecrets,
    /// What its clock is off, in milliseconds.
    pub clock_offset: i64,
    /// Commands that wait for the next batch.
    pub commands: Vec<Command>,
    /// Whether a batch is planned.
    pub is_run_planned: bool,
    /// Whether its log should be looked after.
    pub wants_house: bool,
    /// With what sessions are being closed.
    pub closing: BTreeMap<u64, CloseCode>,
    /// Backups, oldest first.
    pub backups: Vec<Backup>,
    /// Backups that were newer than the one that was restored: nobody goes back to them.
    pub discarded: Vec<Backup>,
    /// Messages of a session that broke.
    pub last_heard: Vec<Vec<u8>>,
    /// How often it was restored.
    pub restores: usize,
    /// Devices that may read, by what was decided: everything, or one station. Told to nobody, read by a checker.
    readers: BTreeMap<DeviceId, BTreeSet<Code>>,
    /// What persons may read if an enrolment that failed lasted after all.
    half_granted: BTreeMap<Code, Vec<BTreeSet<Code>>>,
    /// Devices that nobody has confirmed since the restore.
    pub unconfirmed: BTreeSet<DeviceId>,
    is_reboot_planned: bool,
}

fn key(rng: &mut StdRng) -> SigningKey {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    SigningKey::from_bytes(&bytes)
}

impl Office {
    /// Founds an organisation.
    #[must_use]
    pub fn found(rng: &mut StdRng) -> Self {
        let authority = key(rng);
        let secrets = HubSecrets { signing: key(rng), device: key(rng), bundle_public: [9; 32] };
        let machine = Machine::default();
        let founding = Founding { authority: &authority, admin: Code::new("ADMIN").unwrap() };
        let setup = setup(&authority, &secrets, ClockCheck::Strict, rng.next_u64());
        let core = HubCore::found(
            Box::new(machine.disk.clone()),
            Box::new(machine.index.clone()),
            setup,
            &founding,
            UnixMillis(BEGIN_MS),
        );
        Self {
            core: Some(core.unwrap()),
            machine,
            authority,
            secrets,
            clock_offset: 0,
            commands: Vec::new(),
            is_run_planned: false,
            wants_house: false,
            closing: BTreeMap::new(),
            backups: Vec::new(),
            discarded: Vec::new(),
            last_heard: Vec::new(),
            restores: 0,
            readers: BTreeMap::new(),
            half_granted: BTreeMap::new(),
            unconfirmed: BTreeSet::new(),
            is_reboot_planned: false,
        }
    }

    /// The organisation.
    #[must_use]
    pub fn org(&self) -> OrgId {
        OrgId::from_authority_key(self.authority.verifying_key().as_bytes())
    }

    /// The authority's public key.
    #[must_use]
    pub fn authority(&self) -> [u8; 32] {
        self.authority.verifying_key().to_bytes()
    }

    /// The hub's secrets, for a device that forges.
    #[must_use]
    pub const fn secrets(&self) -> &HubSecrets {
        &self.secrets
    }

    /// The key of the hub's own device.
    #[must_use]
    pub fn hub_device_key(&self) -> SigningKey {
        self.secrets.device.clone()
    }

    /// What the checker of I23 knows: whether a device was ever allowed to hold a logbook.
    #[must_use]
    pub fn may_read(&self, device: &DeviceId, logbook: &LogbookName) -> bool {
        let Some(stations) = self.readers.get(device) else { return false };
        logbook.station().is_none_or(|station| stations.is_empty() || stations.contains(station))
    }

    /// A device may read from now on; no stations mean all.
    pub fn allow(&mut self, device: DeviceId, stations: BTreeSet<Code>) {
        self.readers.insert(device, stations);
    }

    fn open(&self, check: ClockCheck, seed: u64, now: UnixMillis) -> Result<HubCore, HubOpenError> {
        let setup = setup(&self.authority, &self.secrets, check, seed);
        let (disk, index) = (Box::new(self.machine.disk.clone()), Box::new(self.machine.index.clone()));
        HubCore::open(disk, index, setup, now).map(|(core, _)| core)
    }

    fn restore(&self, check: ClockCheck, seed: u64, now: UnixMillis) -> Result<HubCore, HubOpenError> {
        let setup = setup(&self.authority, &self.secrets, check, seed);
        let (disk, index) = (Box::new(self.machine.disk.clone()), Box::new(self.machine.index.clone()));
        HubCore::restore(disk, index, setup, now)
    }
}

fn setup(authority: &SigningKey, secrets: &HubSecrets, clock: ClockCheck, seed: u64) -> HubSetup {
    HubSetup {
        authority: authority.verifying_key().to_bytes(),
        secrets: secrets.clone(),
        limits: HubLimits::default(),
        clock,
        rng: StdRng::seed_from_u64(seed),
    }
}

impl World<'_> {
    /// Enrols a device: a ticket, an ask, an answer.
    pub(super) fn enrol(&mut self, is_coordinator: bool) {
        let number = self.seats.len();
        let person = Code::new(&format!("P{number:02}")).unwrap();
        // Who comes later may be of another station.
        let is_of_another = number >= self.plan.tablets && number % 2 == 1 && !is_coordinator;
        let station = Code::new(if is_of_another { OTHER_STATION } else { STATION }).unwrap();
        let now = self.hub_time();
        let device = key(&mut self.rng);
        let Some(core) = &mut self.office.core else { return };
        let (role, scope) = if is_coordinator {
            (Role::Coordinator, Scope::District)
        } else {
            (Role::Technician, Scope::Stations(BTreeSet::from([station.clone()])))
        };
        let order = TicketOrder {
            station: station.clone(),
            persons: BTreeSet::from([person.clone()]),
            grant: Some(TicketGrant { role, scope }),
            replaces: None,
            hours: 24,
            addresses: vec![Address::new("hub.example.org:4433").unwrap()],
        };
        let ask =
            |token| EnrolAsk { token, device_key: device.verifying_key().to_bytes(), label: None, replaces: None };
        let enrolled: Option<Enrolled> = core
            .issue_ticket(now, &order)
            .ok()
            .and_then(|ticket| core.enrol(now, &ask(ticket.token)).ok())
            .and_then(Result::ok);
        let readable = if is_coordinator { BTreeSet::new() } else { BTreeSet::from([station.clone()]) };
        let Some(enrolled) = enrolled else {
            // Its store failed under it; the grant may have lasted, and then counts for whoever enrols in this name later.
            self.office.half_granted.entry(person).or_default().push(readable);
            self.with_hub(|core| core.handle_some(now, Vec::new()));
            return;
        };
        let earlier = self.office.half_granted.get(&person).into_iter().flatten();
        let all: Vec<&BTreeSet<Code>> = earlier.chain([&readable]).collect();
        let is_all = all.iter().any(|stations| stations.is_empty());
        let readable = if is_all { BTreeSet::new() } else { all.into_iter().flatten().cloned().collect() };
        self.office.allow(enrolled.device, readable);
        let who = qianmo_client_core::simulation::Who {
            key: device,
            authority: self.office.authority(),
            hub: enrolled.hub,
            station,
            persons: enrolled.persons,
            control_entries: enrolled.control_entries,
        };
        self.seats.push(Seat::new(who, person, is_coordinator, self.now));
        self.reboot(number);
    }

    // ---- the hub goes down and comes up ----

    pub(super) fn hub_loses_power(&mut self) {
        self.tell(|| "the hub loses power".to_owned());
        self.coverage.mark("hub lost power");
        let mut rng = StdRng::seed_from_u64(self.rng.next_u64());
        self.office.core = None;
        self.office.machine.cut_power(&mut rng);
        self.hub_is_down();
    }

    /// The hub's program is gone; connections break, and after a while somebody starts it again.
    pub(super) fn hub_is_down(&mut self) {
        self.office.core = None;
        self.office.commands.clear();
        for link in self.links.keys().copied().collect::<Vec<_>>() {
            let wait = self.rng.random_range(0..super::network::IDLE_MS);
            self.after(wait, Event::Broken { link });
        }
        if !self.office.is_reboot_planned {
            self.office.is_reboot_planned = true;
            let wait = if self.has_healed { 1_000 } else { self.rng.random_range(1_000..2 * HOUR) };
            self.after(wait, Event::RebootHub);
        }
    }

    pub(super) fn reboot_hub(&mut self) {
        self.office.is_reboot_planned = false;
        if self.office.core.is_some() {
            return;
        }
        self.office.machine.heal();
        let seed = self.rng.next_u64();
        let now = self.hub_time();
        let opened = match self.office.open(ClockCheck::Strict, seed, now) {
            Err(HubOpenError::ClockJump { .. }) => self.office.open(ClockCheck::Confirmed, seed, now),
            other => other,
        };
        match opened {
            Ok(core) => {
                self.tell(|| "the hub runs again".to_owned());
                self.office.core = Some(core);
                self.office.wants_house = true;
                self.run_hub_soon();
                self.check_hub_after_open();
            }
            Err(error) => self.problem(format!("I1: the hub does not open after a crash: {error:?}")),
        }
    }

    // ---- what the administrator does ----

    fn backup(&mut self) {
        let now = self.hub_time();
        let Some(core) = &mut self.office.core else { return };
        if core.replica().has_unsynced() {
            return;
        }
        let commit = core.replica().durable_commit().0;
        let image = self.office.machine.image();
        let backup = Backup { at: self.now, image, commit };
        self.office.backups.push(backup);
        self.with_hub(|core| core.set_watermark(now, commit).map(|()| Vec::new()));
        self.run_hub_soon();
    }

    fn restore(&mut self, draw: &mut StdRng) {
        let Some(last) = self.office.backups.len().checked_sub(1) else { return };
        let chosen = if draw.random_bool(0.7) { last } else { draw.random_range(0..=last) };
        let backup = self.office.backups[chosen].clone();
        self.tell(|| format!("the hub is restored from backup {chosen} of {last}"));
        self.coverage.mark("hub restored");
        self.office.core = None;
        self.hub_is_down();
        // A copy: what happens to it from now on does not happen to the backup.
        self.office.machine = backup.image.image();
        self.office.machine.index = SharedIndex::default();
        // What came after is of another life.
        let newer = self.office.backups.split_off(chosen + 1);
        self.office.discarded.extend(newer);
        self.office.restores += 1;
        self.office.unconfirmed = self.seats.iter().map(Seat::device).collect();
        let seed = self.rng.next_u64();
        let now = self.hub_time();
        let opened = match self.office.restore(ClockCheck::Strict, seed, now) {
            Err(HubOpenError::ClockJump { .. }) => self.office.restore(ClockCheck::Confirmed, seed, now),
            other => other,
        };
        match opened {
            Ok(core) => self.office.core = Some(core),
            Err(error) => return self.problem(format!("a backup cannot be restored: {error:?}")),
        }
        let wait = draw.random_range(MINUTE..12 * HOUR);
        self.after(wait, Event::Confirm);
        if chosen != last {
            self.forget_what_newer_backups_promised();
        }
        self.note_lost(if chosen == last { LostBy::NewestBackup } else { LostBy::OlderBackup });
    }

    pub(super) fn confirm_devices(&mut self) {
        // A hub that learns of another life of its own begins an epoch that joins both: then they are asked for again.
        let Some(core) = &self.office.core else { return };
        let devices = core.devices().unwrap_or_default();
        if !devices.iter().any(|device| device.standing == DeviceStanding::NotConfirmed) {
            return;
        }
        let now = self.hub_time();
        self.office.unconfirmed.clear();
        self.with_hub(|core| core.complete_adoption(now).map(|()| Vec::new()));
        self.run_hub_soon();
    }

    pub(super) fn fault(&mut self, fault: Fault, draw: &mut StdRng) {
        let seat = draw.random_range(0..self.seats.len());
        let state = if fault.is_of_tablet() { self.state_of(seat) } else { self.state_of_all() };
        self.coverage.fault(fault, state);
        self.note(9, fault as u64, &[]);
        let machine = &mut self.office.machine;
        match fault {
            Fault::Burst => self.trouble.burst_until = self.now + draw.random_range(MINUTE..HOUR),
            Fault::Slow => self.trouble.slow_until = self.now + draw.random_range(MINUTE..HOUR),
            Fault::Partition => {
                let until = self.now + draw.random_range(MINUTE / 4..HOUR);
                (self.trouble.up_shut_until, self.trouble.down_shut_until) = (until, until);
            }
            Fault::PartitionUp => self.trouble.up_shut_until = self.now + draw.random_range(MINUTE / 4..HOUR),
            Fault::PartitionDown => self.trouble.down_shut_until = self.now + draw.random_range(MINUTE / 4..HOUR),
            Fault::CutAll => {
                for link in self.links.keys().copied().collect::<Vec<_>>() {
                    self.broken(link);
                }
            }
            Fault::DropPushes => self.drop_pushes_until = self.now + draw.random_range(HOUR..DAY),
            Fault::Replay => self.replay(),
            Fault::KillHub => {
                if self.office.core.is_some() {
                    self.hub_is_down();
                }
            }
            Fault::PowerCutHub => machine.arm_power_cut(draw),
            Fault::FullHub => machine.arm_full(draw),
            Fault::FsyncHub => machine.arm_failure(FaultTarget::Operation(DiskOperation::SyncFile), draw),
            Fault::IoHub => machine.arm_failure(FaultTarget::AnyChange, draw),
            Fault::IndexGoneHub => {
                machine.index = SharedIndex::default();
                self.hub_is_down();
            }
            Fault::IndexOldHub => {
                let old = machine.old_index.copy();
                machine.remember_index();
                machine.index = old;
                self.hub_is_down();
            }
            Fault::Backup => self.backup(),
            Fault::Restore => self.restore(draw),
            Fault::ClockHub => {
                let days = draw.random_range(-HUB_CLOCK_DAYS_MAX..=HUB_CLOCK_DAYS_MAX);
                self.office.clock_offset = days * i64::try_from(DAY).unwrap();
            }
            Fault::Purge => self.purge(draw),
            Fault::Enrol => {
                if self.seats.len() < self.plan.tablets + 4 {
                    self.enrol(draw.random_bool(0.2));
                }
            }
            Fault::Release => self.release(draw),
            Fault::OlderPeer => self.stranger((0, 0), draw),
            Fault::NewerPeer => self.stranger(if draw.random_bool(0.5) { (7, 9) } else { (1, 9) }, draw),
            Fault::Revoke => self.revoke(seat),
            Fault::CutRole => self.cut_role(seat),
            Fault::GrantRole => self.grant_role(seat),
            _ => self.tablet_fault(fault, seat, draw),
        }
    }

    /// Messages of an ended session come again, as a copy of a connection would bring them.
    fn replay(&mut self) {
        let heard = core::mem::take(&mut self.office.last_heard);
        if heard.is_empty() || self.seats.is_empty() {
            return;
        }
        self.coverage.mark("session replayed");
        let session = SessionId(u64::MAX - self.now);
        let seat = self.rng.random_range(0..self.seats.len());
        let device_key = self.seats[seat].who.key.verifying_key().to_bytes();
        let device = DeviceId::from_key(&device_key);
        self.give_hub(Command::Open { session, device, device_key });
        for frame in heard {
            let mut reader = FrameReader::default();
            reader.push(&frame);
            if let Ok(Some(message)) = reader.next_message() {
                self.give_hub(Command::Message { session, message: Box::new(message) });
            }
        }
        self.give_hub(Command::Ended { session });
    }

    fn revoke(&mut self, seat: usize) {
        // One organisation without any coordinator or technician left would test nothing.
        if self.seats[seat].is_coordinator || self.model.revoked.len() + 2 > self.plan.tablets {
            return;
        }
        let device = self.seats[seat].device();
        let now = self.hub_time();
        let fold = self.office.core.as_ref().map(|core| core.replica().control().fold());
        if !fold.and_then(|fold| fold.device(&device)).is_some_and(Device::is_revoked) {
            self.note_rights_end(&device.to_string(), |made| made.device == device);
        }
        self.with_hub(|core| {
            let known = core.replica().control().fold().device(&device).is_some();
            if known {
                drop(core.revoke(now, &device, 1));
            }
            core.handle_some(now, Vec::new())
        });
        self.model.revoked.insert(device);
        self.run_hub_soon();
    }

    /// A person's grants end at what the hub holds.
    fn cut_role(&mut self, seat: usize) {
        let person = self.seats[seat].person.clone();
        let now = self.hub_time();
        let org = self.office.org();
        self.model.cut_persons.insert(person.to_string());
        let devices: BTreeSet<DeviceId> =
            self.seats.iter().filter(|seat| seat.person == person).map(Seat::device).collect();
        let fold = self.office.core.as_ref().map(|core| core.replica().control().fold());
        if fold.is_some_and(|fold| fold.grants_of(&person).any(|(grant, _)| !fold.is_cut(grant))) {
            self.note_rights_end(&person.to_string(), |made| devices.contains(&made.device));
        }
        self.with_hub(|core| {
            let fold = core.replica().control().fold();
            let grants: Vec<_> =
                fold.grants_of(&person).filter(|(hash, _)| !fold.is_cut(hash)).map(|(hash, _)| *hash).collect();
            let devices: BTreeSet<DeviceId> = fold
                .devices()
                .filter(|(_, device)| device.persons().any(|one| *one == person))
                .map(|(id, _)| *id)
                .collect();
            let mut tips = BTreeSet::new();
            for name in core.replica().logbooks() {
                for tip in core.replica().tips(&name) {
                    if devices.contains(&tip.log.device) {
                        tips.insert(Tip { logbook: name.id(&org), log: tip.log, pack: tip.head });
                    }
                }
            }
            let cuts = grants.into_iter().map(|ends| Decision::Cut { ends, tips: tips.clone() }).collect();
            core.decide(now, cuts).map(|_| Vec::new())
        });
        self.run_hub_soon();
    }

    fn grant_role(&mut self, seat: usize) {
        let person = self.seats[seat].person.clone();
        let is_coordinator = self.seats[seat].is_coordinator;
        let station = self.seats[seat].who.station.clone();
        let scope = if is_coordinator { Scope::District } else { Scope::Stations(BTreeSet::from([station])) };
        let role = if is_coordinator { Role::Coordinator } else { Role::Technician };
        let now = self.hub_time();
        self.with_hub(|core| {
            core.decide(now, vec![Decision::Grant(Grant { person, role, scope })]).map(|_| Vec::new())
        });
        self.run_hub_soon();
    }

    fn purge(&mut self, draw: &mut StdRng) {
        let Some(core) = &self.office.core else { return };
        let records = core.replica().all_records().unwrap_or_default();
        if records.is_empty() {
            return;
        }
        let doc: DocId = records[draw.random_range(0..records.len())];
        let order = PurgeOrder { doc, reach: ErasureReach::Record, reason: 1, unsaved: Unsaved::Erase };
        let now = self.hub_time();
        self.model.purged.insert(doc);
        self.with_hub(|core| {
            drop(purge(core, now, &order));
            core.handle_some(now, Vec::new())
        });
        self.office.wants_house = true;
        self.run_hub_soon();
    }

    fn release(&mut self, draw: &mut StdRng) {
        let now = self.hub_time();
        let pick = draw.next_u64();
        let hostile: BTreeSet<DeviceId> = self.seats.iter().filter(|seat| seat.is_hostile).map(Seat::device).collect();
        let mut released = false;
        self.with_hub(|core| {
            let held = core.held()?;
            let ours: Vec<DeviceId> =
                held.into_iter().filter_map(|row| row.device).filter(|device| !hostile.contains(device)).collect();
            if let Some(device) = ours.get(usize::try_from(pick % ours.len().max(1) as u64).unwrap()) {
                // One that meets a failing disk may last.
                let done = core.release(now, &ReleaseOrder::Device(*device));
                released = matches!(done, Ok(_) | Err(ReleaseError::Hub(_)));
            }
            core.handle_some(now, Vec::new())
        });
        self.model.has_released |= released;
        if released {
            self.coverage.mark("released");
        }
        self.run_hub_soon();
    }
}

/// What lost the changes that are nowhere any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LostBy {
    /// A restore from the newest backup: what was told to be backed up must be there.
    NewestBackup,
    /// A restore from an older one, which the administrator chose.
    OlderBackup,
    /// A tablet was put back to an old image.
    OldImage,
}
