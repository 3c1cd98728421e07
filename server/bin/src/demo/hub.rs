//! The demo's hub: a real one in a fresh folder, on loopback, with ports the system chooses.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use qianmo_forms::{FormKind, FormSet};
use qianmo_server::config::ServerConfig;
use qianmo_server::hub::HubCore;
use qianmo_server::protocol::ids::Code;
use qianmo_server::server::{RunError, Server, ServerHandle, StartOptions};
use serde_json::Value;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use crate::commands::account::fresh_password;
use crate::commands::{init, serve};
use crate::control_socket::{Desk as _, Request, TicketOrder};
use crate::demo::report::ReplicaState;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::office::{AccountAsked, BackupAnswer, LiveDesk, TicketAnswer};

/// The organisation's name; fictional.
const ORGANISATION: &str = "样例区农业技术推广站";
const ADMINISTRATOR: &str = "A01";
/// Records read at a time.
const PAGE: usize = 200;

/// A running hub.
#[derive(Debug)]
pub(crate) struct DemoHub {
    handle: ServerHandle,
    desk: Arc<LiveDesk>,
    running: JoinHandle<Result<(), RunError>>,
    commands: JoinHandle<()>,
    quic: SocketAddr,
    web: SocketAddr,
    password: Zeroizing<String>,
}

impl DemoHub {
    /// Makes an organisation in a fresh folder and starts its hub.
    ///
    /// # Errors
    /// The folder is not empty, or a port cannot be had.
    pub(crate) async fn start(folder: &Path, web: Option<SocketAddr>) -> Result<Self, Failure> {
        let mut config = ServerConfig { data_dir: folder.to_owned(), ..ServerConfig::default() };
        ORGANISATION.clone_into(&mut config.organisation.name);
        config.quic.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        config.web.listen = web.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        // A demo must not fail on a small disk, and keeps nothing that matters.
        config.limits.disk_reserve_bytes = 0;
        let password = init::make(&config, ADMINISTRATOR)?;
        let server = Server::bind(&config, StartOptions::default()).await;
        let server = server.map_err(|error| serve::bind_failed(error, folder))?;
        let (handle, quic, web) = (server.handle(), server.quic_address(), server.web_address());
        // With the ports that were had, so that `serve` can go on where a kept demo ended.
        (config.quic.listen, config.web.listen) = (quic, web);
        let file = init::write_config(&config)?;
        let socket = serve::control_socket(folder)?;
        let desk = Arc::new(LiveDesk::new(handle.clone(), Some(file)));
        let commands = tokio::spawn(socket.run(Arc::clone(&desk), handle.stopping()));
        Ok(Self { handle, desk, running: tokio::spawn(server.run()), commands, quic, web, password })
    }

    /// Where tablets connect.
    pub(crate) const fn quic(&self) -> SocketAddr {
        self.quic
    }

    /// Where the pages are.
    pub(crate) const fn web(&self) -> SocketAddr {
        self.web
    }

    /// Accounts to sign in with at once, by name: a coordinator's, and the administrator's.
    pub(crate) async fn accounts(&self, coordinator: &str) -> Result<Vec<(String, Zeroizing<String>)>, Failure> {
        let admin = ADMINISTRATOR.to_owned();
        let (password, hash) = fresh_password()?;
        let asked = AccountAsked::Add {
            login: coordinator.to_owned(),
            person: coordinator.to_owned(),
            right: None,
            hash: hash.as_str().to_owned(),
        };
        self.desk.carry_out(Request::Account(asked)).await?;
        for login in [coordinator, ADMINISTRATOR] {
            let login = Code::new(login).or_fail(Exit::Failed, "an account's name is no code", "")?;
            // Nobody has to change a password of a demo.
            let changed =
                self.handle.hub().run(move |core, _| core.change_account(&login, |one| one.must_change = false));
            let changed = changed.await.or_fail(Exit::Failed, "the hub has stopped", "")?;
            changed.or_fail(Exit::Failed, "an account cannot be changed", "")?;
        }
        Ok(vec![(coordinator.to_owned(), password), (admin, self.password.clone())])
    }

    /// Makes a ticket, as `enroll` does.
    pub(crate) async fn ticket(&self, order: TicketOrder) -> Result<String, Failure> {
        let answer = self.desk.carry_out(Request::Enroll(order)).await?;
        let ticket: Result<TicketAnswer, _> = serde_json::from_value(answer);
        ticket.map(|ticket| ticket.ticket).map_err(|error| Failure::new(Exit::Failed, error, ""))
    }

    /// Backs up, as `backup` does.
    pub(crate) async fn backup(&self, to: &Path) -> Result<BackupAnswer, Failure> {
        self.desk.backup(to).await
    }

    /// The figures of a year, as `stats` tells them.
    pub(crate) async fn figures(&self, year: u16) -> Result<Value, Failure> {
        self.desk.carry_out(Request::Figures { year: i16::try_from(year).ok() }).await
    }

    /// What its replica holds now, read record by record.
    pub(crate) async fn state(&self) -> anyhow::Result<ReplicaState> {
        let read = self.handle.hub().run(|core, _| state(core)).await;
        read.context("the hub has stopped")?
    }

    /// Returns when the hub has ended by itself.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = (&mut self.running).await.context("the hub ended in a panic")?;
        ended.context("the hub ended by itself")
    }

    /// Stops it and waits until everything is on disk.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.handle.shutdown();
        self.commands.await.context("the control socket ended in a panic")?;
        self.running.await.context("the hub ended in a panic")?.context("the hub did not end cleanly")
    }
}

fn state(core: &HubCore) -> anyhow::Result<ReplicaState> {
    let (replica, forms) = (core.replica(), FormSet::built_in()?);
    let mut state = ReplicaState { name: "hub".to_owned(), ..ReplicaState::default() };
    let mut after = None;
    loop {
        let page = replica.records(&Default::default(), after.as_deref(), PAGE)?;
        for row in &page.rows {
            if forms.get(row.view.root.form.as_str()).is_some_and(|form| form.kind() == FormKind::Registry) {
                state.entries += 1;
                continue;
            }
            let record = replica.record(&row.id)?.with_context(|| format!("{} is listed, but not here", row.id))?;
            let devices: BTreeSet<_> = record.history.iter().filter_map(|change| change.device).collect();
            state.records += 1;
            state.conflicts += record.row.conflicts.len();
            state.merged += usize::from(devices.len() > 1);
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let hex = |bytes: [u8; 32]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let digests = replica.state_digests().into_iter();
    state.digests = digests.map(|(name, digest)| (name.to_string(), hex(digest.to_bytes()))).collect();
    Ok(state)
}
