//! The hub's web: pages for coordinators ([`crate::pages`]) and JSON for dashboards ([`crate::api`]).
//!
//! Lists come from the read model over a connection of their own and cost the hub nothing; one record with its history is
//! read on the hub's thread between two batches. One script of our own that nothing depends on, no foreign requests; the
//! compiled templates escape every text. Whoever is not signed in reads with personal fields masked and changes nothing; a
//! person who is signed in acts with the rights the control log gives.
//!
//! # Flow
//!
//! ```text
//! request ─> guard: host, length, method, free place ─> api | pages ─> answer, or a refusal
//!                                                              └ a form: own page, session, CSRF ─> the hub's desk
//!            guard <─ a refusal becomes JSON or a page in two languages; every answer gets the headers
//! ```
//!
//! # Limits
//!
//! `REQUESTS_MAX`, `URI_BYTES_MAX`, `BODY_BYTES_MAX`, `ANSWER_WITHIN`.
//!
//! # Failure
//!
//! `Refusal`: what whoever asked is told. What happened in detail stands in the log.

mod asked;
mod guard;
mod live;
mod refusal;
mod sign_in;
mod signed;
mod since;
mod teller;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::header;
use axum::middleware;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use qianmo_forms::FormSet;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::Address;
use qianmo_protocol::ids::{DeviceId, DocId};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::replica::{RecordDetail, ReplicaError};

use crate::admin::Folder;
use crate::hub::{HubCore, HubError, HubHandle};
use crate::listener::Connections;
use crate::metrics::Metrics;
use crate::projection::{Mask, Names, Personal, ProjectionError, Reader};

pub(crate) use crate::times::{minute, rfc3339};
pub(crate) use asked::Asked;
pub(crate) use refusal::{Fault, Refusal, Said};
pub(crate) use signed::{NotChanged, NotIn, Signed, from_our_own_page};
pub(crate) use since::Since;
pub(crate) use teller::{Teller, View};

/// Most requests at work at a time.
const REQUESTS_MAX: usize = 64;
/// Most bytes of a request's path and query.
const URI_BYTES_MAX: usize = 4_096;
/// Most bytes of a request's body: a form with a long note.
const BODY_BYTES_MAX: usize = 64 * 1_024;
/// How long the hub may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const SCRIPT: &str = include_str!("../templates/desk.js");

/// What requests work with. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    hub: HubHandle,
    projection: PathBuf,
    reader: Mutex<Option<Arc<Reader>>>,
    /// What codes were called at a commit.
    names: Mutex<Option<(u64, Arc<Names>)>>,
    masks: Masks,
    organisation: String,
    metrics: Metrics,
    requests: Semaphore,
    hosts: guard::Hosts,
    proxy: BehindProxy,
    door: signed::Door,
    live: live::Live,
    reach: OnceLock<Reach>,
}

/// How much of personal data is told.
#[derive(Debug)]
struct Masks {
    masked: Mask,
    named: Mask,
    shown: Mask,
}

impl Masks {
    fn new(forms: &Arc<FormSet>) -> Self {
        let mask = |personal| Mask::new(personal, Arc::clone(forms));
        Self { masked: mask(Personal::Masked), named: mask(Personal::Named), shown: mask(Personal::Shown) }
    }
}

/// How tablets reach this hub, and how the hub ends their connections.
#[derive(Debug)]
struct Reach {
    addresses: Vec<Address>,
    connections: Option<Connections>,
}

/// Whether a proxy that speaks TLS stands before the hub. Then it is the proxy that knows the hub's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BehindProxy {
    /// No: only this machine's own names are answered to.
    No,
    /// Yes.
    Yes,
}

/// One record with everything about it, and what people call the devices it was written on.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) detail: RecordDetail,
    pub(crate) devices: BTreeMap<DeviceId, String>,
    /// What became of it since somebody last decided on it, where that was asked for.
    pub(crate) since: Option<Since>,
}

impl WebState {
    /// For a hub whose read model lies in this folder.
    #[must_use]
    pub fn new(
        hub: HubHandle,
        folder: &Folder,
        forms: Arc<FormSet>,
        organisation: &str,
        proxy: BehindProxy,
        metrics: Metrics,
    ) -> Self {
        let shared = Shared {
            hub,
            projection: folder.projection(),
            reader: Mutex::new(None),
            names: Mutex::new(None),
            masks: Masks::new(&forms),
            organisation: organisation.to_owned(),
            metrics,
            requests: Semaphore::new(REQUESTS_MAX),
            hosts: guard::Hosts::new(proxy),
            proxy,
            door: signed::Door::default(),
            live: live::Live::default(),
            reach: OnceLock::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Says what tickets tell tablets to dial, and where a revoked device's connections are closed. The first word counts.
    #[must_use]
    pub fn with_reach(self, addresses: Vec<Address>, connections: Option<Connections>) -> Self {
        self.shared.reach.get_or_init(|| Reach { addresses, connections });
        self
    }

    /// What tickets tell tablets to dial.
    pub(crate) fn addresses(&self) -> &[Address] {
        self.shared.reach.get().map_or(&[], |reach| reach.addresses.as_slice())
    }

    /// Closes whatever connections a revoked device still has.
    pub(crate) fn close_connections(&self, device: &DeviceId) {
        if let Some(connections) = self.shared.reach.get().and_then(|reach| reach.connections.as_ref()) {
            connections.close(device, CloseCode::Revoked);
        }
    }

    /// What everybody is told.
    pub(crate) fn mask(&self) -> &Mask {
        &self.shared.masks.masked
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    pub(crate) fn organisation(&self) -> &str {
        &self.shared.organisation
    }

    fn reader(&self) -> Result<Arc<Reader>, ProjectionError> {
        let mut reader = self.shared.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = reader.as_ref() {
            return Ok(Arc::clone(reader));
        }
        let opened = Arc::new(Reader::open(&self.shared.projection)?);
        *reader = Some(Arc::clone(&opened));
        Ok(opened)
    }

    /// Reads the model on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ProjectionError> + Send + 'static,
    ) -> Result<T, Refusal> {
        let state = self.clone();
        let reading = tokio::task::spawn_blocking(move || read(&*state.reader()?));
        let read = tokio::time::timeout(ANSWER_WITHIN, reading).await.map_err(|_| Refusal::Unavailable)?;
        Ok(read.map_err(|_| Refusal::Internal)??)
    }

    /// What codes are called now. Read anew when a directory changed.
    pub(crate) async fn names(&self) -> Result<Arc<Names>, Refusal> {
        let state = self.clone();
        self.read(move |reader| {
            let touched = reader.directories_touched()?;
            let known = |names: &Option<(u64, Arc<Names>)>| names.clone().filter(|(at, _)| *at == touched);
            if let Some((_, names)) = known(&state.shared.names.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(names);
            }
            let names = Arc::new(reader.names(state.mask(), &state.shared.masks.named)?);
            *state.shared.names.lock().unwrap_or_else(PoisonError::into_inner) = Some((touched, Arc::clone(&names)));
            Ok(names)
        })
        .await
    }

    /// Asks the hub.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&HubCore) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let asked = self.shared.hub.run(move |core, _| ask(core));
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(|_| Refusal::Unavailable)?;
        answer.map_err(|_| Refusal::Unavailable)
    }

    /// Tells the hub to do something.
    pub(crate) async fn tell<T: Send + 'static>(
        &self,
        tell: impl FnOnce(&mut HubCore, UnixMillis) -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let told = self.shared.hub.run(tell);
        let answer = tokio::time::timeout(ANSWER_WITHIN, told).await.map_err(|_| Refusal::Unavailable)?;
        answer.map_err(|_| Refusal::Unavailable)
    }

    /// One record with everything about it, from the hub itself.
    pub(crate) async fn full(&self, id: &str) -> Result<Full, Refusal> {
        self.found(id, |_, _| Ok(None)).await
    }

    /// One record with everything about it, and what became of it since somebody decided on it.
    pub(crate) async fn full_with_since(&self, id: &str) -> Result<Full, Refusal> {
        self.found(id, |core, detail| since::since(core.replica(), &detail.row.id, detail)).await
    }

    async fn found(
        &self,
        id: &str,
        since: impl FnOnce(&HubCore, &RecordDetail) -> Result<Option<Since>, ReplicaError> + Send + 'static,
    ) -> Result<Full, Refusal> {
        let id = DocId::from_hex(id).ok_or(Refusal::NoRecord)?;
        let read = self.ask(move |core| full(core, &id, since)).await?;
        let read = read.map_err(|error| {
            tracing::error!(error = &error as &dyn core::error::Error, "a record could not be read");
            Refusal::Internal
        })?;
        match read {
            Found::Record(full) => Ok(*full),
            Found::Unreadable => Err(Refusal::Unreadable),
            Found::Nothing => Err(Refusal::NoRecord),
        }
    }
}

/// What there is under an id.
enum Found {
    Record(Box<Full>),
    /// It counts, and this version cannot read it.
    Unreadable,
    Nothing,
}

fn full(
    core: &HubCore,
    id: &DocId,
    since: impl FnOnce(&HubCore, &RecordDetail) -> Result<Option<Since>, ReplicaError>,
) -> Result<Found, HubError> {
    let Some(detail) = core.replica().record(id)? else {
        let is_unreadable = core.replica().unreadable_record(id)?.is_some();
        return Ok(if is_unreadable { Found::Unreadable } else { Found::Nothing });
    };
    let devices = core.devices()?.into_iter().filter_map(|row| Some((row.device, row.label?))).collect();
    let since = since(core, &detail)?;
    Ok(Found::Record(Box::new(Full { detail, devices, since })))
}

/// Every route.
pub fn router(state: WebState) -> Router {
    crate::api::routes()
        .merge(crate::pages::routes())
        .route("/static/style.css", get(style))
        .route("/static/icon.svg", get(icon))
        .route("/static/desk.js", get(script))
        .route("/events", get(live::events))
        .fallback(|| async { Refusal::NoPage })
        .method_not_allowed_fallback(|| async { Refusal::ReadingOnly })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

/// Serves until told to stop, then finishes what was asked.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: TcpListener, state: WebState, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    tokio::spawn(state.clone().watch_model(stop.clone()));
    let stopped = async move {
        // An error means that nobody can say stop any more.
        stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
    };
    // Nobody waits for it: who searches before it is read waits as long as reading takes.
    drop(tokio::task::spawn_blocking(crate::projection::read_dictionary));
    axum::serve(listener, router(state)).with_graceful_shutdown(stopped).await
}

async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=600")];
    (headers, qianmo_look::STYLE)
}

async fn script() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=600")];
    (headers, SCRIPT)
}

/// Browsers ask for one, whether a page names it or not.
async fn icon() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "public, max-age=86400")];
    (headers, qianmo_look::ICON)
}
