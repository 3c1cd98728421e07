//! Carries out what an administrator asks: on the hub that runs, or on the store itself when none runs.
//!
//! Both ways end in the same operations on the hub's core, so a command does the same whether `serve` is running or not.
//!
//! # Failure
//!
//! [`Failure`], with the exit code and what to do next.

mod account;
mod answers;
mod bundle;
mod held;
mod purge;
mod versions;

use std::fs::OpenOptions;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use qianmo_forms::{FormKind, FormSet};
use qianmo_server::admin::{self, BackupError, Expected, Folder, FolderError, OpenHubError, VerifyError};
use qianmo_server::config::{Overrides, ServerConfig};
use qianmo_server::hub::{ClockCheck, HubCore, HubLimits, HubStopped};
use qianmo_server::projection::{Filter, Personal, Position, Projection, Reader};
use qianmo_server::protocol::control::{Role, Scope};
use qianmo_server::protocol::handshake::Address;
use qianmo_server::protocol::ids::{Code, DeviceId};
use qianmo_server::protocol::time::UnixMillis;
use qianmo_server::registry::{DeviceStanding, IssueError, RegistryError, TicketGrant, TicketOrder};
use qianmo_server::server::{RevokeError, ServerHandle, VerifyRunningError, wall_clock};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cli::Common;
use crate::control_socket::{self, Desk, Request, TicketOrder as Order};
use crate::failure::{Exit, Failure, OrFail as _};
use crate::settings;

pub(crate) use account::{AccountAnswer, AccountAsked, Right};
pub(crate) use bundle::ImportAnswer;
pub(crate) use purge::{ErasuresAnswer, PurgeAnswer, PurgeAsked};
pub(crate) use versions::{VersionAnswer, VersionOrder};

pub(crate) use answers::{BackupAnswer, DeviceAnswer, ExportAnswer, StatsAnswer, TicketAnswer, VerifyAnswer};

/// Records read at a time.
const PAGE: usize = 200;
const STORE_NEXT: &str = "run: qianmo-server verify";

/// Where a command finds its hub.
#[derive(Debug)]
pub(crate) struct Office {
    config: ServerConfig,
    config_file: Option<PathBuf>,
}

impl Office {
    /// Reads the configuration.
    ///
    /// # Errors
    /// It cannot be used.
    pub(crate) fn open(common: &Common) -> Result<Self, Failure> {
        let config = settings::load(common, Overrides::default())?;
        Ok(Self { config, config_file: settings::file_in_use(common) })
    }

    /// The configuration.
    pub(crate) const fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// Asks the hub that runs on the configured folder; opens the store itself when none runs.
    ///
    /// # Errors
    /// The hub's refusal, or that the store cannot be opened.
    pub(crate) fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, Failure> {
        let answer = match control_socket::ask(&self.config.data_dir, &request)? {
            Some(answer) => answer,
            None => self.on_the_store(request)?,
        };
        let next = "use the same version of qianmo-server for both";
        serde_json::from_value(answer).or_fail(Exit::Failed, "the hub's answer cannot be read", next)
    }

    fn on_the_store(&self, request: Request) -> Result<Value, Failure> {
        let folder = Folder::new(&self.config.data_dir);
        let now = wall_clock();
        let opened = admin::open(&folder, HubLimits::default(), ClockCheck::Strict, now, StdRng::from_os_rng());
        let mut core = opened.map_err(|error| open_failed(error, folder.root()))?.core;
        let done = match Job::of(request) {
            Job::OnCore(deed) => carry_out(&mut core, now, &self.ticket_addresses(), deed),
            Job::Backup { to } => {
                let report = admin::backup(&mut core, &folder, &to, self.config_file.as_deref(), now);
                let report = report.map_err(|error| backup_failed(error, &to));
                report.and_then(|report| to_value(&BackupAnswer::of(&to, &report)))
            }
            Job::Figures { year } => {
                catch_up(&folder, &mut core).and_then(|()| figures(&folder, year)).and_then(|answer| to_value(&answer))
            }
            Job::Rebuild => rebuild(&folder, &mut core).and_then(|answer| to_value(&answer)),
            Job::Export { to, personal } => catch_up(&folder, &mut core)
                .and_then(|()| export(&folder, &to, personal))
                .and_then(|answer| to_value(&answer)),
            Job::Verify => verify(&folder, &Expected::of(&core)).and_then(|answer| to_value(&answer)),
            Job::ImportBundle { file } => {
                bundle::on_store(&folder, &mut core, now, &file).and_then(|answer| to_value(&answer))
            }
            Job::Purge(asked) => purge::on_store(&folder, &mut core, now, &asked).and_then(|answer| to_value(&answer)),
        };
        let end = core.replica().durable_commit().0;
        let closed =
            core.close().or_fail(Exit::Failed, "the store could not be closed", "start the hub; it repairs itself");
        let done = done?;
        closed?;
        folder.note_log_end(end).or_fail(Exit::Failed, "the data folder cannot be written", "look at the disk")?;
        Ok(done)
    }

    /// What tickets say when no hub runs: what `serve` would say, if its port is a fixed one.
    fn ticket_addresses(&self) -> Vec<Address> {
        let addresses = self.config.quic.ticket_addresses();
        addresses.iter().filter_map(|address| Address::new(&address.to_string()).ok()).collect()
    }
}

/// A request, by what carrying it out takes.
enum Job {
    /// A moment of the hub's core.
    OnCore(Deed),
    /// Copying files.
    Backup { to: PathBuf },
    /// Reading the read model.
    Export { to: PathBuf, personal: bool },
    /// Adding it up.
    Figures { year: Option<i16> },
    /// Building it anew.
    Rebuild,
    /// Reading everything.
    Verify,
    /// Reading a file into the store.
    ImportBundle { file: PathBuf },
    /// Rewriting the store.
    Purge(PurgeAsked),
}

enum Deed {
    Enroll(Order),
    Devices,
    Revoke { device: String, reason: u16 },
    Account(AccountAsked),
    Confirm { device: Option<String> },
    Held,
    Release { id: Option<String>, device: Option<String>, code: Option<u16> },
    Stats,
    PurgePlan(PurgeAsked),
    Erasures,
    RequireVersion(VersionOrder),
}

impl Job {
    fn of(request: Request) -> Self {
        match request {
            Request::Enroll(order) => Self::OnCore(Deed::Enroll(order)),
            Request::Devices => Self::OnCore(Deed::Devices),
            Request::Revoke { device, reason } => Self::OnCore(Deed::Revoke { device, reason }),
            Request::Account(asked) => Self::OnCore(Deed::Account(asked)),
            Request::Confirm { device } => Self::OnCore(Deed::Confirm { device }),
            Request::Held => Self::OnCore(Deed::Held),
            Request::Release { id, device, code } => Self::OnCore(Deed::Release { id, device, code }),
            Request::Stats => Self::OnCore(Deed::Stats),
            Request::Figures { year } => Self::Figures { year },
            Request::Rebuild => Self::Rebuild,
            Request::Export { to, personal } => Self::Export { to, personal },
            Request::Backup { to } => Self::Backup { to },
            Request::Verify => Self::Verify,
            Request::PurgePlan(asked) => Self::OnCore(Deed::PurgePlan(asked)),
            Request::Purge(asked) => Self::Purge(asked),
            Request::ImportBundle { file } => Self::ImportBundle { file },
            Request::Erasures => Self::OnCore(Deed::Erasures),
            Request::RequireVersion { order } => Self::OnCore(Deed::RequireVersion(order)),
        }
    }
}

/// Why the store does not open, for whoever has to do something about it.
pub(crate) fn open_failed(error: OpenHubError, dir: &Path) -> Failure {
    let (exit, next) = match &error {
        OpenHubError::Folder(FolderError::NoHub { .. }) => {
            (Exit::WrongFolder, "name the right folder with --data, or make a hub: qianmo-server init")
        }
        OpenHubError::Disk(_) => (
            Exit::Failed,
            "wait if another qianmo-server command is at work there; run this as the user that owns the folder",
        ),
        OpenHubError::Folder(_) | OpenHubError::Authority(_) | OpenHubError::Keys(_) | OpenHubError::Index(_) => {
            (Exit::Failed, "run it as the user that owns the folder, or restore the backup")
        }
        OpenHubError::Hub(_) => (Exit::Failed, ""),
    };
    let what = format!("the hub in {} does not open", dir.display());
    Failure { exit, error: anyhow::Error::new(error).context(what), next: next.to_owned() }
}

/// Requests of the control socket, on a hub that runs.
#[derive(Debug)]
pub(crate) struct LiveDesk {
    handle: ServerHandle,
    config_file: Option<PathBuf>,
}

impl LiveDesk {
    /// For this hub; the configuration file goes into its backups.
    pub(crate) const fn new(handle: ServerHandle, config_file: Option<PathBuf>) -> Self {
        Self { handle, config_file }
    }

    /// Backs up the running hub.
    ///
    /// # Errors
    /// What could not be copied.
    pub(crate) async fn backup(&self, to: &Path) -> Result<BackupAnswer, Failure> {
        let report = self.handle.backup(to.to_owned(), self.config_file.clone()).await;
        let report = report.map_err(|error| backup_failed(error, to))?;
        Ok(BackupAnswer::of(to, &report))
    }

    async fn on_core(&self, deed: Deed) -> Result<Value, Failure> {
        if let Deed::Revoke { device, reason } = deed {
            // The handle closes the device's connections, too.
            let revoked = self.handle.revoke(device_id(&device)?, reason).await;
            return match revoked {
                Ok(_) => to_value(&device),
                Err(RevokeError::Registry(error)) => Err(registry_refused(error)),
                Err(RevokeError::Stopped(error)) => Err(stopped(error)),
            };
        }
        let addresses = self.handle.ticket_addresses().to_vec();
        let done = self.handle.hub().run(move |core, now| carry_out(core, now, &addresses, deed)).await;
        done.map_err(stopped)?
    }
}

impl Desk for LiveDesk {
    async fn carry_out(&self, request: Request) -> Result<Value, Failure> {
        match Job::of(request) {
            Job::OnCore(deed) => self.on_core(deed).await,
            Job::Backup { to } => to_value(&self.backup(&to).await?),
            Job::Export { to, personal } => {
                let folder = self.handle.folder().clone();
                to_value(&beside(move || export(&folder, &to, personal)).await?)
            }
            Job::Figures { year } => {
                let folder = self.handle.folder().clone();
                to_value(&beside(move || figures(&folder, year)).await?)
            }
            Job::Rebuild => {
                if !self.handle.rebuild_read_model().await.map_err(stopped)? {
                    let what = "the read model could not be built anew";
                    return Err(Failure::new(Exit::Failed, what, "look at the hub's log"));
                }
                let folder = self.handle.folder().clone();
                to_value(&beside(move || counted(&folder)).await?)
            }
            Job::Verify => {
                let folder = self.handle.folder().clone();
                let verified = self.handle.verify().await.map_err(|error| match error {
                    VerifyRunningError::Verify(error) => unreadable(error, folder.root()),
                    VerifyRunningError::Stopped(error) => stopped(error),
                    VerifyRunningError::CutShort => {
                        Failure::new(Exit::Failed, error.to_string(), "look at the hub's log")
                    }
                });
                to_value(&VerifyAnswer::from(verified?))
            }
            Job::ImportBundle { file } => to_value(&bundle::on_hub(&self.handle, &file).await?),
            Job::Purge(asked) => to_value(&purge::on_hub(&self.handle, &asked).await?),
        }
    }
}

/// Runs something long on a thread that may block.
async fn beside<T: Send + 'static>(work: impl FnOnce() -> Result<T, Failure> + Send + 'static) -> Result<T, Failure> {
    let done = tokio::task::spawn_blocking(work).await;
    done.or_fail(Exit::Failed, "the request was cut short", "look at the hub's log")?
}

fn stopped(error: HubStopped) -> Failure {
    let error = anyhow::Error::new(error).context("the hub is being stopped");
    Failure { exit: Exit::Failed, error, next: "start it again, or try again once it has ended".to_owned() }
}

/// Why there is no new backup, for whoever has to do something about it.
fn backup_failed(error: BackupError, to: &Path) -> Failure {
    let (exit, next) = match &error {
        BackupError::NoParent { .. } => (Exit::Failed, "mount the disk, or make that folder; then back up again"),
        BackupError::Vanished { .. } => (Exit::Failed, "mount the disk; for a new one choose a folder of another name"),
        BackupError::Foreign { .. } | BackupError::Inside { .. } | BackupError::OtherOrganisation { .. } => {
            (Exit::WrongFolder, "choose a folder of its own, best on another disk")
        }
        BackupError::Manifest(_) => {
            (Exit::NotHeld, "check it with: qianmo-server verify DIR; back up into an empty folder meanwhile")
        }
        BackupError::Busy { .. } => (Exit::Failed, "wait for the other backup"),
        BackupError::SourceDamaged { .. } => (
            Exit::NotHeld,
            "the backup before is as it was; run: qianmo-server verify; copy the data folder as it is to another disk, \
             then restore the newest backup that verifies: tablets bring back the rest",
        ),
        BackupError::Write { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => (
            Exit::Failed,
            "the disk of the backup is full; the backup before is as it was; make room or choose another disk",
        ),
        BackupError::Write { .. } | BackupError::Folder(_) => {
            (Exit::Failed, "the backup before is as it was; is the disk there, with room, and may the hub write to it?")
        }
        BackupError::Read { .. } => (Exit::Failed, "the backup before is as it was; look at the hub's disk"),
        BackupError::Moved { .. } | BackupError::CutShort => {
            (Exit::Failed, "the backup before is as it was; try again")
        }
        BackupError::Hub(_) | BackupError::Stopped(_) => (Exit::Failed, "start the hub, then back up again"),
    };
    let what = format!("no backup was made in {}", to.display());
    Failure { exit, error: anyhow::Error::new(error).context(what), next: next.to_owned() }
}

fn to_value(answer: &impl Serialize) -> Result<Value, Failure> {
    serde_json::to_value(answer).or_fail(Exit::Failed, "the answer cannot be written down", "")
}

/// What takes a moment of the core, whether a hub runs or not.
fn carry_out(core: &mut HubCore, now: UnixMillis, addresses: &[Address], deed: Deed) -> Result<Value, Failure> {
    match deed {
        Deed::Enroll(order) => to_value(&issue(core, now, addresses, &order)?),
        Deed::Devices => to_value(&devices(core)?),
        Deed::Revoke { device, reason } => {
            core.revoke(now, &device_id(&device)?, reason).map_err(registry_refused)?;
            to_value(&device)
        }
        Deed::Account(asked) => to_value(&account::carry_out(core, now, asked)?),
        Deed::Confirm { device: Some(device) } => {
            core.confirm(now, &device_id(&device)?).map_err(registry_refused)?;
            to_value(&device)
        }
        Deed::Confirm { device: None } => {
            core.complete_adoption(now).or_fail(Exit::Failed, "the devices are not confirmed", STORE_NEXT)?;
            to_value(&"all")
        }
        Deed::Held => to_value(&held::list(core)?),
        Deed::Release { id, device, code } => to_value(&held::release(core, now, id, device.as_deref(), code)?),
        Deed::Stats => to_value(&stats(core)?),
        Deed::PurgePlan(asked) => to_value(&purge::plan(core, &asked)?),
        Deed::Erasures => to_value(&purge::list(core)?),
        Deed::RequireVersion(order) => to_value(&versions::require(core, now, order)?),
    }
}

fn issue(core: &mut HubCore, now: UnixMillis, addresses: &[Address], order: &Order) -> Result<TicketAnswer, Failure> {
    let station = code("station", &order.station)?;
    let persons = order.persons.iter().map(|person| code("person", person)).collect::<Result<_, _>>()?;
    let scope = if order.district { Scope::District } else { Scope::Stations([station.clone()].into()) };
    let order = TicketOrder {
        station,
        persons,
        grant: Some(TicketGrant { role: role(&order.role)?, scope }),
        replaces: order.replaces.as_deref().map(device_id).transpose()?,
        hours: order.valid_hours,
        addresses: addresses.to_vec(),
    };
    let ticket = core.issue_ticket(now, &order).map_err(|error| {
        let (exit, next) = match &error {
            IssueError::Addresses { .. } => (
                Exit::Usage,
                "set quic.advertise to what tablets can reach: in the configuration, or with serve --advertise HOST:PORT",
            ),
            IssueError::UnknownDevice { .. } => (Exit::Refused, "see the ids with: qianmo-server devices"),
            IssueError::Hours { .. }
            | IssueError::Persons { .. }
            | IssueError::NoGrant { .. }
            | IssueError::Label { .. } => (Exit::Refused, ""),
            IssueError::Hub(_) => (Exit::Failed, "look at the disk, then start the hub again"),
        };
        Failure { exit, error: anyhow::Error::new(error).context("no ticket is issued"), next: next.to_owned() }
    })?;
    Ok(TicketAnswer {
        ticket: ticket.to_string(),
        expires_ms: ticket.expires.0,
        addresses: ticket.addresses.iter().map(ToString::to_string).collect(),
    })
}

fn devices(core: &HubCore) -> Result<Vec<DeviceAnswer>, Failure> {
    let rows = core.devices().or_fail(Exit::Failed, "the devices cannot be read", STORE_NEXT)?;
    let answer = rows.into_iter().map(|row| DeviceAnswer {
        device: row.device.to_string(),
        label: row.label,
        station: row.station.map(|station| station.to_string()),
        persons: row.persons.iter().map(ToString::to_string).collect(),
        standing: row.standing.word().to_owned(),
        copied: row.is_copied,
        connected: row.is_connected,
        hub: row.is_hub,
        last_contact_ms: row.last_contact.map(|contact| contact.0),
    });
    Ok(answer.collect())
}

fn registry_refused(error: RegistryError) -> Failure {
    let (exit, next) = match &error {
        RegistryError::UnknownDevice { .. } => (Exit::Refused, "see the ids with: qianmo-server devices"),
        RegistryError::HubItself { .. } => (Exit::Refused, "the hub cannot end itself; name a tablet"),
        RegistryError::Hub(_) => (Exit::Failed, "look at the disk, then start the hub again"),
    };
    Failure { exit, error: anyhow::Error::new(error).context("nothing was done"), next: next.to_owned() }
}

fn device_id(text: &str) -> Result<DeviceId, Failure> {
    DeviceId::from_hex(text.trim()).ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("{text:?} is no device id"),
            "copy the sixteen digits from: qianmo-server devices",
        )
    })
}

fn code(what: &str, text: &str) -> Result<Code, Failure> {
    Code::new(text).or_fail(
        Exit::Usage,
        format!("{text:?} is no {what} code"),
        "use a code such as ST01 or P02, never a name: it is written into permanent logs",
    )
}

/// Roles as the command line writes them.
const ROLES: [(&str, Role); 5] = [
    ("technician", Role::Technician),
    ("expert", Role::Expert),
    ("coordinator", Role::Coordinator),
    ("viewer", Role::Viewer),
    ("admin", Role::Admin),
];

fn role(word: &str) -> Result<Role, Failure> {
    ROLES.iter().find(|(known, _)| *known == word).map(|(_, role)| *role).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("there is no role {word:?}"), "see: qianmo-server enroll --help")
    })
}

fn role_word(role: Role) -> &'static str {
    ROLES.iter().find(|(_, known)| *known == role).map_or("", |(word, _)| *word)
}

fn stats(core: &HubCore) -> Result<StatsAnswer, Failure> {
    let replica = core.replica();
    let forms = FormSet::built_in().or_fail(Exit::Failed, "the records cannot be counted", STORE_NEXT)?;
    let (mut records, mut directory_entries, mut conflicts, mut after) = (0, 0, 0, None);
    loop {
        let page = replica.records(&Default::default(), after.as_deref(), PAGE);
        let page = page.or_fail(Exit::Failed, "the records cannot be counted", STORE_NEXT)?;
        let is_registry = |form: &str| forms.get(form).is_some_and(|form| form.kind() == FormKind::Registry);
        let entries = page.rows.iter().filter(|row| is_registry(row.view.root.form.as_str())).count();
        directory_entries += entries;
        records += page.rows.len() - entries;
        conflicts += page.rows.iter().map(|row| row.conflicts.len()).sum::<usize>();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let devices = core.devices().or_fail(Exit::Failed, "the devices cannot be read", STORE_NEXT)?;
    let tablets = devices.iter().filter(|device| !device.is_hub);
    let (log, counters) = (replica.log_stats(), core.counters());
    Ok(StatsAnswer {
        org: core.org().to_string(),
        hub: core.hub().to_string(),
        epoch: core.epoch().to_string(),
        records,
        directory_entries,
        conflicts,
        logbooks: replica.state_digests().len(),
        devices: tablets.clone().count(),
        devices_active: tablets.filter(|device| device.standing == DeviceStanding::Active).count(),
        sessions: core.session_count(),
        commit: log.durable_commit.0,
        backed_up: core.watermark(),
        log_bytes: log.durable_bytes,
        segments: log.segments,
        free_bytes: log.free_bytes,
        read_only: log.is_poisoned,
        packs_judged: counters.packs_judged,
        quarantines: counters.quarantines,
        misbehaved: counters.misbehaved,
    })
}

/// Brings the read model up to a store that no hub has open.
fn catch_up(folder: &Folder, core: &mut HubCore) -> Result<(), Failure> {
    let caught = Projection::open(&folder.projection(), forms(folder)?).and_then(|mut model| model.catch_up(core));
    caught.or_fail(
        Exit::Failed,
        "the read model cannot be used",
        "delete projection.sqlite in the data folder; it is made anew",
    )
}

const MODEL_NEXT: &str = "run: qianmo-server rebuild";

/// The forms of a hub: the shipped ones and the district's own.
fn forms(folder: &Folder) -> Result<Arc<FormSet>, Failure> {
    let next = "check the files of the forms folder: qianmo forms check FILE";
    folder.open_forms().or_fail(Exit::Failed, "the district's forms cannot be used", next)
}

/// What the read model adds up to.
fn figures(folder: &Folder, year: Option<i16>) -> Result<Value, Failure> {
    let failed = "the records cannot be added up";
    let forms = forms(folder)?;
    let reader = Reader::open(&folder.projection()).or_fail(Exit::Failed, failed, MODEL_NEXT)?;
    let report = reader.report(&forms, &Filter::default(), year).or_fail(Exit::Failed, failed, MODEL_NEXT)?;
    Ok(report.to_json())
}

/// How many records the read model holds.
fn counted(folder: &Folder) -> Result<u64, Failure> {
    let counts = Reader::open(&folder.projection()).and_then(|reader| reader.counts(&Filter::default()));
    Ok(counts.or_fail(Exit::Failed, "the read model cannot be read", MODEL_NEXT)?.records())
}

/// Builds the read model of a store that no hub has open anew.
fn rebuild(folder: &Folder, core: &mut HubCore) -> Result<u64, Failure> {
    let position = Position { epoch: core.epoch(), commit: core.replica().durable_commit().0 };
    let built = Projection::open(&folder.projection(), forms(folder)?)
        .and_then(|mut model| model.rebuild(core.replica(), position));
    built.or_fail(
        Exit::Failed,
        "the read model could not be built anew",
        "delete projection.sqlite in the data folder, look at the disk, and try again",
    )?;
    counted(folder)
}

/// Writes all records into a file that is not there yet.
fn export(folder: &Folder, to: &Path, personal: bool) -> Result<ExportAnswer, Failure> {
    let next = "choose a file that is not there yet, in a folder the hub may write";
    let file = OpenOptions::new().write(true).create_new(true).open(to);
    let file = file.or_fail(Exit::Failed, format!("cannot make {}", to.display()), next)?;
    let failed = || format!("the export to {} is not complete", to.display());
    let reader = Reader::open(&folder.projection()).or_fail(Exit::Failed, failed(), STORE_NEXT)?;
    let personal = if personal { Personal::Shown } else { Personal::Masked };
    let mut out = BufWriter::new(&file);
    let records = admin::export(&reader, forms(folder)?, personal, &mut out).or_fail(Exit::Failed, failed(), next)?;
    drop(out);
    file.sync_all().or_fail(Exit::Failed, failed(), next)?;
    Ok(ExportAnswer { to: to.to_owned(), records })
}

/// Looks at every byte of a hub's folder as it stood when `expected` was taken.
fn verify(folder: &Folder, expected: &Expected) -> Result<VerifyAnswer, Failure> {
    admin::verify_snapshot(folder, expected).map(VerifyAnswer::from).map_err(|error| unreadable(error, folder.root()))
}

/// Looks at every byte of a backup, or of a folder whose hub does not run.
///
/// # Errors
/// It cannot even be read.
pub(crate) fn verify_folder(dir: &Path) -> Result<VerifyAnswer, Failure> {
    admin::verify(dir).map(VerifyAnswer::from).map_err(|error| unreadable(error, dir))
}

fn unreadable(error: VerifyError, dir: &Path) -> Failure {
    let what = format!("{} cannot be verified", dir.display());
    let next = "name a data folder or a backup; run it as the user that owns it";
    Failure { exit: Exit::NotHeld, error: anyhow::Error::new(error).context(what), next: next.to_owned() }
}
