//! The hub's web: pages for coordinators, JSON for dashboards, health and metrics. Reading only.
//!
//! Lists come from the read model and cost the hub nothing; one record with its history is read on the hub's thread. No
//! scripts, no foreign requests; every text is escaped by the compiled templates; personal fields are masked.
//!
//! # Limits
//!
//! [`REQUESTS_MAX`], [`URI_BYTES_MAX`], [`BODY_BYTES_MAX`], [`ANSWER_WITHIN`].
//!
//! # Failure
//!
//! A request that cannot be answered gets a status and one line; what happened in detail stands in the log.

mod guard;
mod json;
mod pages;
mod text;

pub(crate) use json::record_json;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::admin::Folder;
use crate::hub::{HubCore, HubHandle};
use crate::metrics::{HubFigures, Metrics};
use crate::projection::{Mask, Personal, ProjectionError, Reader};

/// Most requests at work at a time.
const REQUESTS_MAX: usize = 64;
/// Most bytes of a request's path and query.
const URI_BYTES_MAX: usize = 4_096;
/// Most bytes of a request's body; nothing here takes one.
const BODY_BYTES_MAX: usize = 1_024;
/// How long the hub may take for an answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

const STYLE: &str = include_str!("../templates/style.css");

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
    mask: Mask,
    organisation: String,
    metrics: Metrics,
    requests: Semaphore,
    hosts: guard::Hosts,
}

/// Why a request is not answered as asked.
#[derive(Debug, thiserror::Error)]
enum WebError {
    #[error("the hub is being stopped or is too busy; try again in a moment")]
    Unavailable,
    #[error("there is no such record")]
    NotFound,
    #[error("{0}")]
    BadRequest(&'static str),
    #[error("the cursor is of an earlier life of this hub; begin again without one")]
    CursorGone,
    #[error("the hub could not read its records")]
    Internal,
}

impl WebError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::CursorGone => StatusCode::GONE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for WebError {
    fn into_response(self) -> Response {
        let body = serde_json::json!({ "error": self.to_string() });
        (self.status(), axum::Json(body)).into_response()
    }
}

impl From<ProjectionError> for WebError {
    fn from(error: ProjectionError) -> Self {
        tracing::error!(error = &error as &dyn core::error::Error, "the read model could not be read");
        Self::Internal
    }
}

impl WebState {
    /// For a hub that listens at this address.
    ///
    /// # Errors
    /// [`crate::projection::MaskError`] when the shipped forms cannot be read.
    pub fn new(
        hub: HubHandle,
        folder: &Folder,
        organisation: &str,
        proxy: BehindProxy,
        metrics: Metrics,
    ) -> Result<Self, crate::projection::MaskError> {
        let shared = Shared {
            hub,
            projection: folder.projection(),
            reader: Mutex::new(None),
            mask: Mask::new(Personal::Masked)?,
            organisation: organisation.to_owned(),
            metrics,
            requests: Semaphore::new(REQUESTS_MAX),
            hosts: guard::Hosts::new(proxy),
        };
        Ok(Self { shared: Arc::new(shared) })
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
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, ProjectionError> + Send + 'static,
    ) -> Result<T, WebError> {
        let state = self.clone();
        let reading = tokio::task::spawn_blocking(move || read(&*state.reader()?));
        let read = tokio::time::timeout(ANSWER_WITHIN, reading).await.map_err(|_| WebError::Unavailable)?;
        Ok(read.map_err(|_| WebError::Internal)??)
    }

    /// Asks the hub.
    async fn ask<T: Send + 'static>(&self, ask: impl FnOnce(&HubCore) -> T + Send + 'static) -> Result<T, WebError> {
        let asked = self.shared.hub.run(move |core, _| ask(core));
        let answer = tokio::time::timeout(ANSWER_WITHIN, asked).await.map_err(|_| WebError::Unavailable)?;
        answer.map_err(|_| WebError::Unavailable)
    }
}

/// Whether a proxy that speaks TLS stands before the hub. Then it is the proxy that knows the hub's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BehindProxy {
    /// No: only this machine's own names are answered to.
    No,
    /// Yes.
    Yes,
}

/// Every route.
pub fn router(state: WebState) -> Router {
    Router::new()
        .route("/", get(pages::index))
        .route("/records/{id}", get(pages::record))
        .route("/style.css", get(style))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
        .route("/api/v1/records", get(json::records))
        .route("/api/v1/records/{id}", get(json::record))
        .route("/api/v1/conflicts", get(json::conflicts))
        .route("/api/v1/logbooks", get(json::logbooks))
        .fallback(|| async { WebError::NotFound })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .with_state(state)
}

/// Serves until told to stop, then finishes what was asked.
///
/// # Errors
/// When the socket fails.
pub async fn serve(listener: TcpListener, state: WebState, mut stop: watch::Receiver<bool>) -> std::io::Result<()> {
    let stopped = async move {
        // An error means that nobody can say stop any more.
        stop.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
    };
    axum::serve(listener, router(state)).with_graceful_shutdown(stopped).await
}

async fn style() -> impl IntoResponse {
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "public, max-age=3600")];
    (headers, STYLE)
}

async fn health(State(state): State<WebState>) -> Result<Response, WebError> {
    let (epoch, commit, poisoned) = state
        .ask(|core| {
            let stats = core.replica().log_stats();
            (core.epoch(), stats.durable_commit.0, stats.is_poisoned)
        })
        .await?;
    let position = state.read(Reader::position).await?;
    let model_is_current = position.is_some_and(|position| position.epoch == epoch && position.commit >= commit);
    let body = serde_json::json!({
        "status": if poisoned { "read-only" } else { "ok" },
        "epoch": epoch.to_string(),
        "commit": commit,
        "read_model_commit": position.map(|position| position.commit),
        "read_model_is_current": model_is_current,
    });
    let status = if poisoned { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, axum::Json(body)).into_response())
}

async fn metrics(State(state): State<WebState>) -> Result<Response, WebError> {
    let figures = state.ask(figures).await?;
    let text = state.shared.metrics.render(&figures);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// What the hub counts now.
#[must_use]
pub fn figures(core: &HubCore) -> HubFigures {
    let stats = core.replica().log_stats();
    HubFigures {
        commit: stats.durable_commit.0,
        watermark: core.watermark(),
        sessions: core.session_count(),
        unjudged: core.replica().unjudged_count(),
        log_bytes: stats.durable_bytes,
        free_bytes: stats.free_bytes,
        counters: core.counters(),
    }
}
