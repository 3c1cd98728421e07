//! A running hub: its thread, its QUIC port, its web pages, and how they start and stop together.
//!
//! # Flow
//!
//! ```text
//! bind: open the folder ─> hub thread ─> QUIC listener ─> web      (a port that is taken is an error here)
//! run:  serve until told to stop, or the store fails
//! stop: sessions are told to come back later ─> listener closes ─> web ends ─> hub finishes what it took ─> store closes
//! ```
//!
//! # Failure
//!
//! [`BindError`] at start. [`RunError`] when the store fails: the process should end and be started again.

mod sessions;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::TcpListener;
use tokio::sync::watch;

use qianmo_forms::{FormError, FormSet};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::{DeviceId, EntryHash};
use qianmo_protocol::time::UnixMillis;

use crate::admin::{self, Folder, OpenHubError, OpenedHub};
use crate::config::ServerConfig;
use crate::hub::{Clock, ClockCheck, HubError, HubHandle, HubLimits, HubOpenError, HubStopped, HubThread};
use crate::listener::{Connections, ListenError, Listener, ListenerConfig, Pace};
use crate::metrics::Metrics;
use crate::projection::{Projection, ProjectionError, Projector, RebuildOrder};
use crate::registry::{Registry, RegistryError};
use crate::web::{self, BehindProxy, WebState};

use sessions::Sessions;

/// How long sessions have to end after they were told to come back later.
const SESSIONS_END_WITHIN: Duration = Duration::from_secs(5);
/// How often the hub looks whether it should say the time.
const KEEP_TIME_EVERY: Duration = Duration::from_secs(3_600);
/// How often the hub looks whether its log should be rewritten.
const KEEP_HOUSE_EVERY: Duration = Duration::from_secs(60);

/// How often a backup or a check begins anew because the log was rewritten under it.
const REWRITTEN_TRIES: u32 = 5;

/// How a hub is started, beside its configuration.
#[derive(Clone)]
pub struct StartOptions {
    /// Whether the administrator looked at the clock.
    pub clock_check: ClockCheck,
    /// Where the time comes from.
    pub clock: Clock,
    /// How slow tablets may be.
    pub pace: Pace,
}

impl core::fmt::Debug for StartOptions {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("StartOptions").field("clock_check", &self.clock_check).finish_non_exhaustive()
    }
}

impl Default for StartOptions {
    fn default() -> Self {
        Self { clock_check: ClockCheck::Strict, clock: Arc::new(wall_clock), pace: Pace::usual() }
    }
}

/// The system's time.
#[must_use]
pub fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Why a hub does not start.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Its folder does not open.
    #[error("the hub in {} does not open", dir.display())]
    Open {
        /// The folder.
        dir: PathBuf,
        /// Why.
        #[source]
        source: OpenHubError,
    },
    /// Its read model cannot be made.
    #[error("the read model cannot be opened; it may be deleted while the hub is stopped")]
    Projection(#[from] ProjectionError),
    /// The system gives no thread.
    #[error("the hub's thread cannot be started")]
    Thread(#[source] std::io::Error),
    /// A port is taken.
    #[error("{what} port {address} is used by another program; stop it or choose another with {key}")]
    PortInUse {
        /// UDP or TCP.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// The key of the configuration.
        key: &'static str,
    },
    /// QUIC cannot be served.
    #[error("tablets cannot be served")]
    Listen(#[source] ListenError),
    /// The web cannot be served.
    #[error("cannot listen on TCP {address}")]
    Web {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The shipped forms are at fault.
    #[error("this build's forms cannot be used")]
    Forms(#[from] FormError),
    /// A step of the start panicked.
    #[error("the start was cut short")]
    CutShort,
}

/// Why a hub ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed.
    #[error("the hub ended because its store failed")]
    Hub(#[from] HubError),
    /// The web server failed.
    #[error("the web pages cannot be served any more")]
    Web(#[source] std::io::Error),
    /// The hub's thread panicked: a bug. What was acknowledged is durable.
    #[error("the hub ended because of a fault of its own")]
    Panicked,
}

/// Why a revocation through a running hub failed.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// The registry refuses.
    #[error("the device is not revoked")]
    Registry(#[from] RegistryError),
    /// The hub is not running.
    #[error("the device is not revoked")]
    Stopped(#[from] HubStopped),
}

/// Why the store of a running hub could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum VerifyRunningError {
    /// It could not be read.
    #[error("the store could not be verified")]
    Verify(#[from] admin::VerifyError),
    /// The hub is not running.
    #[error("the store could not be verified")]
    Stopped(#[from] HubStopped),
    /// The check ended in a panic.
    #[error("the check was cut short")]
    CutShort,
}

/// A hub that listens. It serves tablets as soon as it is bound; [`Server::run`] serves the web and waits for the end.
#[derive(Debug)]
pub struct Server {
    handle: ServerHandle,
    thread: HubThread,
    /// Holds the listener while it runs.
    metrics: Metrics,
    web: TcpListener,
    quic_address: SocketAddr,
    web_address: SocketAddr,
    state: WebState,
}

/// Stops a running hub, and reaches it from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    hub: HubHandle,
    connections: Connections,
    folder: Folder,
    addresses: Vec<Address>,
    stop: watch::Sender<bool>,
    rebuild: RebuildOrder,
}

impl ServerHandle {
    /// Tells the hub to stop: [`Server::run`] then finishes and returns.
    pub fn shutdown(&self) {
        self.stop.send_replace(true);
    }

    /// Says when the hub is being stopped.
    #[must_use]
    pub fn stopping(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// The hub, for whatever an administrator does.
    #[must_use]
    pub const fn hub(&self) -> &HubHandle {
        &self.hub
    }

    /// Its folder.
    #[must_use]
    pub const fn folder(&self) -> &Folder {
        &self.folder
    }

    /// What tickets tell tablets to dial.
    #[must_use]
    pub fn ticket_addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// Revokes a device and closes its connections at once.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub async fn revoke(&self, device: DeviceId, reason: u16) -> Result<EntryHash, RevokeError> {
        let revoked = self.hub.run(move |core, now| core.revoke(now, &device, reason)).await??;
        // The hub ended its sessions; a connection that is stuck in sending ends here.
        self.connections.close(&device, CloseCode::Revoked);
        Ok(revoked)
    }

    /// Builds the read model anew from the record store; it answers with what it has meanwhile. Answers whether it is
    /// done: the log says why not.
    ///
    /// # Errors
    /// [`HubStopped`].
    pub async fn rebuild_read_model(&self) -> Result<bool, HubStopped> {
        self.rebuild.give();
        // The hub's thread looks at the model after each piece of work: after the first of these it is done.
        self.hub.run(|_, _| ()).await?;
        self.hub.run(|_, _| ()).await?;
        Ok(!self.rebuild.is_open())
    }

    /// Copies everything into a backup and says so to the tablets.
    ///
    /// # Errors
    /// [`admin::BackupError`].
    pub async fn backup(
        &self,
        to: PathBuf,
        config: Option<PathBuf>,
    ) -> Result<admin::BackupReport, admin::BackupError> {
        let mut report = Err(admin::BackupError::CutShort);
        for _ in 0..REWRITTEN_TRIES {
            let (folder, place) = (self.folder.clone(), to.clone());
            let plan = self.hub.run(move |core, now| admin::BackupPlan::of(core, folder, place, now)).await??;
            let config = config.clone();
            let copied = tokio::task::spawn_blocking(move || admin::backup_files(&plan, config.as_deref())).await;
            report = copied.unwrap_or(Err(admin::BackupError::CutShort));
            // A segment was rewritten meanwhile: what is to be copied is another set of files now.
            if !matches!(report, Err(admin::BackupError::Moved { .. })) {
                break;
            }
        }
        let report = report?;
        let commit = report.commit;
        self.hub.run(move |core, now| core.note_backup(now, &to, commit)).await??;
        Ok(report)
    }
}

impl ServerHandle {
    /// Erases, and answers when the bytes are gone from this hub's log and read model.
    ///
    /// # Errors
    /// [`admin::PurgeError`] inside, when nothing was erased; [`HubStopped`] when the hub is not running.
    pub async fn purge(
        &self,
        order: admin::PurgeOrder,
    ) -> Result<Result<admin::PurgePlan, admin::PurgeError>, HubStopped> {
        let begun = self.hub.run(move |core, now| admin::begin_purge(core, now, &order)).await?;
        let Ok(plan) = begun else { return Ok(begun) };
        // Tablets are served between two pages.
        loop {
            match self.hub.run(|core, now| core.erase_page(now)).await? {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Ok(Err(error.into())),
            }
        }
        // The read model follows between two pieces of work: it must hear what goes while that is still known.
        let kept = self.hub.run(|core, _| core.keep_house()).await?;
        Ok(kept.map(|_| plan).map_err(admin::PurgeError::from))
    }

    /// Looks at every byte of the store as it stands now, beside the running hub.
    ///
    /// # Errors
    /// [`VerifyRunningError`].
    pub async fn verify(&self) -> Result<admin::VerifyReport, VerifyRunningError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let folder = self.folder.clone();
            let expected = self.hub.run(|core, _| admin::Expected::of(core)).await?;
            let verified = tokio::task::spawn_blocking(move || admin::verify_snapshot(&folder, &expected)).await;
            match verified.map_err(|_| VerifyRunningError::CutShort)? {
                // A segment was rewritten meanwhile.
                Err(error) if error.is_moved() && tries < REWRITTEN_TRIES => {}
                verified => return Ok(verified?),
            }
        }
    }
}

impl Server {
    /// Opens the hub and takes its ports. Tablets are served from now on.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(config: &ServerConfig, options: StartOptions) -> Result<Self, BindError> {
        let folder = Folder::new(&config.data_dir);
        let forms = folder.open_forms()?;
        let (opened, projection) = open_hub(&folder, Arc::clone(&forms), hub_limits(config), &options).await?;
        let OpenedHub { core, authority, identity, organisation, .. } = opened;
        let name = Some(config.organisation.name.as_str()).filter(|name| !name.is_empty()).unwrap_or(&organisation);
        let projector = Projector::new(projection);
        let rebuild = projector.rebuild_order();
        let (hub, thread) =
            HubHandle::spawn(core, options.clock, Some(Box::new(projector))).map_err(BindError::Thread)?;
        let handler = Arc::new(Sessions::new(hub.clone()));
        let registry = Arc::new(Registry::new(hub.clone(), Arc::clone(&authority), name));
        let listening = listener_config(config, options.pace);
        let listener = Listener::start(listening, &authority.public_key(), &identity, handler, registry);
        let listener = listener.map_err(|error| listen_failed(error, config.quic.listen))?;
        let web = TcpListener::bind(config.web.listen).await.map_err(|error| web_failed(error, config.web.listen))?;
        let web_address = web.local_addr().map_err(|error| web_failed(error, config.web.listen))?;
        let (stop, _) = watch::channel(false);
        let proxy = if config.web.behind_tls_proxy { BehindProxy::Yes } else { BehindProxy::No };
        let (quic_address, connections) = (listener.local_address(), listener.connections());
        let addresses = ticket_addresses(config, quic_address);
        let metrics = Metrics::new(listener);
        let state = WebState::new(hub.clone(), &folder, forms, name, proxy, metrics.clone());
        let state = state.with_reach(addresses.clone(), Some(connections.clone()));
        tracing::info!(quic = %quic_address, web = %web_address, "the hub listens");
        let handle = ServerHandle { hub, connections, folder, addresses, stop, rebuild };
        Ok(Self { handle, thread, metrics, web, quic_address, web_address, state })
    }

    /// The UDP address tablets reach.
    #[must_use]
    pub const fn quic_address(&self) -> SocketAddr {
        self.quic_address
    }

    /// The TCP address of the pages.
    #[must_use]
    pub const fn web_address(&self) -> SocketAddr {
        self.web_address
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Reaches and stops it from elsewhere.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::shutdown`], or until the store fails. Finishes what was acknowledged.
    ///
    /// Dropping the future closes connections at once; what was acknowledged is durable all the same.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(self) -> Result<(), RunError> {
        let ServerHandle { hub, stop, folder, .. } = self.handle;
        let mut stopping = stop.subscribe();
        let web = tokio::spawn(web::serve(self.web, self.state, stop.subscribe()));
        let time = tokio::spawn(keep_time(hub.clone()));
        let house = tokio::spawn(keep_house(hub.clone(), folder.clone()));
        tokio::select! {
            // An error means that nobody can say stop any more: then the hub's own end is waited for.
            _told = stopping.wait_for(|stop| *stop) => {}
            () = hub.failed() => tracing::error!("the hub's store failed; the hub ends"),
        }
        stop.send_replace(true);
        time.abort();
        house.abort();
        tracing::info!("the hub is being stopped");
        // An error means that it has ended already; the join says how.
        hub.say_later().await.unwrap_or_default();
        if let Some(listener) = self.metrics.take_listener() {
            listener.shutdown(SESSIONS_END_WITHIN).await;
        }
        hub.stop().await.unwrap_or_default();
        let thread = self.thread;
        let ended = tokio::task::spawn_blocking(move || thread.join()).await;
        let served = web.await.unwrap_or(Ok(()));
        note_log_end(&folder, ended.map_err(|_| RunError::Panicked)??);
        served.map_err(RunError::Web)
    }
}

/// Says the time now and then, until the hub ends.
async fn keep_time(hub: HubHandle) {
    let mut every = tokio::time::interval(KEEP_TIME_EVERY);
    loop {
        every.tick().await;
        match hub.run(|core, now| core.keep_time(now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn core::error::Error, "the hub could not say the time")
            }
            Err(HubStopped) => return,
        }
    }
}

/// What `verify` compares the log's end with. Nothing else depends on it.
fn note_log_end(folder: &Folder, commit: u64) {
    if let Err(error) = folder.note_log_end(commit) {
        tracing::warn!(
            error = &error as &dyn core::error::Error,
            "how far the log is durable could not be written down"
        );
    }
}

/// Carries out erasures that came from elsewhere, drops what is superseded, and writes down how far the log is durable,
/// until the hub ends.
async fn keep_house(hub: HubHandle, folder: Folder) {
    let mut every = tokio::time::interval(KEEP_HOUSE_EVERY);
    loop {
        every.tick().await;
        let kept = hub.run(|core, _| core.keep_house().map(|_| core.replica().durable_commit().0));
        match kept.await {
            Ok(Ok(commit)) => note_log_end(&folder, commit),
            Ok(Err(error)) => {
                tracing::error!(error = &error as &dyn core::error::Error, "the record store could not be rewritten")
            }
            Err(HubStopped) => return,
        }
    }
}

async fn open_hub(
    folder: &Folder,
    forms: Arc<FormSet>,
    limits: HubLimits,
    options: &StartOptions,
) -> Result<(OpenedHub, Projection), BindError> {
    let (folder, options) = (folder.clone(), options.clone());
    let opening = tokio::task::spawn_blocking(move || {
        let now = (options.clock)();
        let opened = admin::open(&folder, limits, options.clock_check, now, StdRng::from_os_rng());
        let mut opened = opened.map_err(|source| BindError::Open { dir: folder.root().to_owned(), source })?;
        let mut projection = Projection::open(&folder.projection(), forms)?;
        projection.catch_up(&mut opened.core)?;
        // What a crash left undone: readers know of the erasure, and now the bytes go.
        let kept = opened.core.keep_house();
        kept.map_err(|source| BindError::Open {
            dir: folder.root().to_owned(),
            source: HubOpenError::from(source).into(),
        })?;
        Ok((opened, projection))
    });
    opening.await.unwrap_or(Err(BindError::CutShort))
}

fn hub_limits(config: &ServerConfig) -> HubLimits {
    HubLimits {
        packs_per_device_per_day_max: config.limits.packs_per_device_per_day_max,
        bytes_per_device_per_day_max: config.limits.bytes_per_device_per_day_max,
        sessions_per_device_per_minute_max: config.limits.sessions_per_device_per_minute_max,
        disk_reserve_bytes: config.limits.disk_reserve_bytes,
        ..HubLimits::default()
    }
}

fn listener_config(config: &ServerConfig, pace: Pace) -> ListenerConfig {
    let number = |value: u32| usize::try_from(value).unwrap_or(usize::MAX);
    ListenerConfig {
        incoming_max: number(config.limits.incoming_max),
        half_open_before_retry: number(config.limits.half_open_before_retry),
        connections_max: number(config.limits.connections_max),
        connections_per_address_max: number(config.limits.connections_per_address_max),
        connections_per_device_max: number(config.limits.connections_per_device_max),
        pace,
        ..ListenerConfig::new(config.quic.listen)
    }
}

fn listen_failed(error: ListenError, address: SocketAddr) -> BindError {
    match &error {
        ListenError::Bind { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            BindError::PortInUse { what: "UDP", address, key: "quic.listen" }
        }
        ListenError::Bind { .. } | ListenError::Identity(_) | ListenError::Tls(_) => BindError::Listen(error),
    }
}

fn web_failed(source: std::io::Error, address: SocketAddr) -> BindError {
    if source.kind() == std::io::ErrorKind::AddrInUse {
        BindError::PortInUse { what: "TCP", address, key: "web.listen" }
    } else {
        BindError::Web { address, source }
    }
}

/// What tickets say: the addresses advertised, or the one that was bound if it is a specific one.
fn ticket_addresses(config: &ServerConfig, bound: SocketAddr) -> Vec<Address> {
    let mut quic = config.quic.clone();
    quic.listen = bound;
    quic.ticket_addresses().iter().filter_map(|address| Address::new(&address.to_string()).ok()).collect()
}
