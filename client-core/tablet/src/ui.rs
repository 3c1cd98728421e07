//! `qianmo ui`: the pages of the tablet, on an address of this machine only, for its browser or a web view.
//!
//! Server-rendered: every act is a link or a form and works without scripts; `tablet.js` saves while a person types and
//! brings news. All pages stand below a key that is new at every start, see [`door`].
//!
//! # Layout
//!
//! ```text
//! door    who may ask: the key, the host, the origin      sheet   a form as it is being filled in
//! desk    what pages share: the core, the language        fill    its page: save, choose, hand in
//! shelf   all records in short, in memory, searchable     pick    one long list of choices
//! home, list, record, find, device: the pages             words   states as people say them
//! ```

mod desk;
mod device;
mod door;
mod fill;
mod find;
mod home;
mod list;
mod live;
mod pick;
mod pinyin;
mod record;
mod running;
mod sheet;
mod shelf;
mod words;

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use qianmo_client_core::FieldClient;
use qianmo_forms::Lang;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cli::Ui;
use crate::exit::Exit;
use crate::failure::{Failure, Told};
use crate::work::Work;

use desk::Desk;
use running::Running;

/// Most bytes of a posted form: a long text in every field of the longest form.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Until a program that noted its address is taken for dead.
const ANSWER_WITHIN: std::time::Duration = std::time::Duration::from_secs(1);

/// Serves the pages until interrupted.
pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Ui) -> Result<(), Failure> {
    let messages = work.messages;
    let about = About {
        client: work.client.clone(),
        lang: messages.lang(),
        folder: work.folder.clone(),
        now_ms: work.fixed_now_ms,
    };
    let mut pages = Pages::open(about, asked.port).await.map_err(|error| {
        Told::new(Exit::Failed, messages.text("ui-no-socket")).why(error).next(messages.text("ui-no-socket-next"))
    })?;
    let running = Running::note(&work.folder, pages.address());
    if let Err(error) = &running {
        tracing::warn!(error = error as &dyn std::error::Error, "the address of the pages could not be noted");
    }
    work.terminal.say(&messages.with("ui-serving", &[("address", pages.address().into())]))?;
    work.terminal.note(&messages.text("ui-serving-next"))?;
    work.terminal.flush()?;
    open_browser(asked, pages.address());
    tokio::select! {
        () = interrupted() => {}
        () = pages.ended() => {}
    }
    pages.close().await;
    drop(running);
    Ok(())
}

/// What the pages are of.
#[derive(Debug)]
pub struct About {
    /// The open core.
    pub client: FieldClient,
    /// The language until somebody chooses another.
    pub lang: Lang,
    /// Where the pages keep what was chosen in them.
    pub folder: PathBuf,
    /// A clock that stands still, in milliseconds since 1970; that of the machine if `None`.
    pub now_ms: Option<i64>,
}

/// The pages of an open core, served on a loopback address of this machine until they are closed or dropped.
#[derive(Debug)]
pub struct Pages {
    address: String,
    stop: watch::Sender<bool>,
    served: JoinHandle<()>,
}

impl Pages {
    /// Opens them on a port, or on any free one if it is 0. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// When the port is taken, or may not be opened.
    pub async fn open(about: About, port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        let key = door::Key::fresh();
        let address = format!("http://127.0.0.1:{port}/{}/", key.text());
        let desk = Desk::open(about, key, port);
        let (stop, stopping) = watch::channel(false);
        let served = tokio::spawn(async move {
            let following = tokio::spawn(live::follow(Arc::clone(&desk), stopping.clone()));
            let mut stopped = stopping;
            let graceful = async move {
                // An error means that nobody can say stop any more.
                stopped.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
            };
            if let Err(error) = axum::serve(listener, router(desk)).with_graceful_shutdown(graceful).await {
                tracing::error!(%error, "the pages are not served any more");
            }
            following.abort();
        });
        Ok(Self { address, stop, served })
    }

    /// The address to open, with its key. Whoever has it reads and writes as the tablet's people.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    async fn ended(&mut self) {
        // A panic of the server is its end.
        drop((&mut self.served).await);
    }

    /// Finishes what was asked, and closes. The core stays open.
    pub async fn close(mut self) {
        self.stop.send_replace(true);
        if !self.served.is_finished() {
            self.ended().await;
        }
    }
}

/// Until a person or the system asks to end.
async fn interrupted() {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let ended = async {
            match signal(SignalKind::terminate()) {
                Ok(mut ended) => ended.recv().await.unwrap_or_default(),
                Err(_) => core::future::pending().await,
            }
        };
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            () = ended => {}
        }
    }
    #[cfg(not(unix))]
    drop(tokio::signal::ctrl_c().await);
}

/// The address of the pages of a program that runs in this folder, if it answers.
pub(crate) fn shown_already(folder: &std::path::Path) -> Option<String> {
    let address = running::noted(folder)?;
    let host = address.strip_prefix("http://")?.split('/').next()?;
    let host: std::net::SocketAddr = host.parse().ok()?;
    std::net::TcpStream::connect_timeout(&host, ANSWER_WITHIN).is_ok().then_some(address)
}

/// Shows the pages, unless they are not to be shown.
pub(crate) fn open_browser(asked: &Ui, address: &str) {
    if !asked.no_open {
        running::open_browser(address);
    }
}

/// Every route, below the key.
fn router(desk: Arc<Desk>) -> Router {
    Router::new()
        .route("/{key}/", get(home::page))
        .route("/{key}/state", get(home::state))
        .route("/{key}/events", get(live::events))
        .route("/{key}/sync", post(home::sync))
        .route("/{key}/network", post(home::network))
        .route("/{key}/records", get(list::page))
        .route("/{key}/records/{id}", get(record::page))
        .route("/{key}/records/{id}/edit", post(record::edit))
        .route("/{key}/records/{id}/settle", post(record::settle))
        .route("/{key}/records/{id}/comment", post(record::comment))
        .route("/{key}/records/{id}/submit", post(record::submit))
        .route("/{key}/new", get(fill::forms))
        .route("/{key}/new/{form}", get(fill::fresh))
        .route("/{key}/drafts/{id}", get(fill::page).post(fill::save))
        .route("/{key}/drafts/{id}/pick", get(pick::page).post(pick::choose))
        .route("/{key}/find", get(find::page))
        .route("/{key}/targets/{code}", get(find::target))
        .route("/{key}/device", get(device::page))
        .route("/{key}/device/enroll", post(device::enroll))
        .route("/{key}/device/person", post(device::person))
        .route("/{key}/device/language", post(device::language))
        .route("/{key}/static/style.css", get(style))
        .route("/{key}/static/tablet.js", get(script))
        .route("/{key}/static/icon.svg", get(icon))
        .fallback(door::no_page)
        .method_not_allowed_fallback(door::no_page)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&desk), door::guard))
        .with_state(desk)
}

async fn style() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], [qianmo_look::STYLE, STYLE].concat())
}

async fn script() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], SCRIPT)
}

async fn icon() -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "image/svg+xml")], qianmo_look::ICON)
}

const STYLE: &str = include_str!("../templates/tablet.css");
const SCRIPT: &str = include_str!("../templates/tablet.js");
