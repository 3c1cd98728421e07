//! `serve`: runs the hub until it is told to stop.
//!
//! # Flow
//!
//! ```text
//! check the configuration -> bind -> control socket -> run -> SIGINT or SIGTERM -> the hub finishes -> the socket goes
//! ```

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use qianmo_server::admin::Folder;
use qianmo_server::config::ServerConfig;
use qianmo_server::hub::ClockCheck;
use qianmo_server::server::{BindError, Server, StartOptions};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Common, Serve};
use crate::control_socket::ControlSocket;
use crate::failure::{Exit, Failure, OrFail as _};
use crate::lang::Lang;
use crate::office::{LiveDesk, open_failed};
use crate::screen::line;
use crate::{logs, settings};

/// How long commands at work may take to end when the hub is being stopped.
const COMMANDS_END_WITHIN: Duration = Duration::from_secs(5);

/// Runs the hub.
///
/// # Errors
/// A configuration that cannot work, a folder that does not open, a port that is taken, a store that fails.
pub(crate) fn run(common: &Common, args: &Serve, lang: Lang) -> Result<(), Failure> {
    let config = settings::load(common, settings::overrides(&args.addresses))?;
    let next = "correct it, then check with: qianmo-server serve --check-config";
    config.check().or_fail(Exit::Usage, "the configuration cannot work", next)?;
    // The district's forms are configuration, too: a hub that cannot read them does not start.
    let next = "correct the files, each can be checked with: qianmo forms check FILE";
    let forms = Folder::new(&config.data_dir).open_forms();
    forms.or_fail(Exit::Usage, "the district's forms in the data folder cannot work", next)?;
    if args.check_config {
        line(lang.label("配置可用", "the configuration can be used"))?;
        return Ok(());
    }
    logs::start(&config.log);
    let clock_check = if args.confirm_clock { ClockCheck::Confirmed } else { ClockCheck::Strict };
    let options = StartOptions { clock_check, ..StartOptions::default() };
    let runtime = runtime()?;
    let served = runtime.block_on(serve(&config, options, settings::file_in_use(common), lang));
    // A backup that is still being copied is given up: it writes its list of contents last, so the one before it stands.
    runtime.shutdown_timeout(COMMANDS_END_WITHIN);
    served
}

/// The runtime of everything that talks to the network.
///
/// # Errors
/// The system gives no threads.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    built.or_fail(Exit::Failed, "the system gives no threads", "raise the limit of processes of this user")
}

async fn serve(
    config: &ServerConfig,
    options: StartOptions,
    config_file: Option<std::path::PathBuf>,
    lang: Lang,
) -> Result<(), Failure> {
    let server = Server::bind(config, options).await.map_err(|error| bind_failed(error, &config.data_dir))?;
    let handle = server.handle();
    let socket = control_socket(&config.data_dir)?;
    let desk = Arc::new(LiveDesk::new(handle.clone(), config_file));
    let commands = tokio::spawn(socket.run(desk, handle.stopping()));
    line(format!("{} UDP {}", lang.label("平板连接", "tablets:"), server.quic_address()))?;
    line(format!("{} http://{}", lang.label("页面", "pages:"), server.web_address()))?;
    let told = tokio::spawn(async move {
        if let Err(error) = told_to_stop().await {
            tracing::error!(%error, "signals cannot be received");
        }
        handle.shutdown();
    });
    let ended = server.run().await;
    told.abort();
    match tokio::time::timeout(COMMANDS_END_WITHIN, commands).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the control socket ended in a panic"),
        Err(_late) => tracing::warn!("a command that takes long is given up"),
    }
    ended.or_fail(
        Exit::Failed,
        "the hub ended by itself",
        "look at the disk, then start it again: what was acknowledged is safe",
    )
}

/// The way in for other commands.
///
/// # Errors
/// It cannot be made there.
pub(crate) fn control_socket(data_dir: &Path) -> Result<ControlSocket, Failure> {
    let next = "choose a shorter data_dir, or one on a local disk";
    ControlSocket::bind(data_dir).or_fail(Exit::Failed, "other commands could not reach this hub", next)
}

/// Returns when the program is told to stop.
///
/// # Errors
/// The system does not deliver signals.
pub(crate) async fn told_to_stop() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _told = interrupt.recv() => {}
        _told = terminate.recv() => {}
    }
    Ok(())
}

/// Why a hub does not start, for whoever has to do something about it.
pub(crate) fn bind_failed(error: BindError, dir: &Path) -> Failure {
    let next = match error {
        BindError::Open { source, .. } => return open_failed(source, dir),
        BindError::PortInUse { .. } => "",
        BindError::Projection(_) => "delete projection.sqlite in the data folder; it is made anew from the log",
        BindError::Thread(_) | BindError::Forms(_) | BindError::CutShort => {
            "try again; if it stays, look at the log lines above"
        }
        BindError::Listen(_) | BindError::Web { .. } => "choose an address of this machine: quic.listen, web.listen",
    };
    Failure {
        exit: Exit::Failed,
        error: anyhow::Error::new(error).context("the hub does not start"),
        next: next.to_owned(),
    }
}
