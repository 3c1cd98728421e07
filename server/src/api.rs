//! The JSON API for dashboards and scripts, health for those who watch, and metrics for Prometheus. Reading only.
//!
//! ```text
//! GET /api/v1/records        records in the order of the log: a change feed       {records, next, cursor}
//! GET /api/v1/records/{id}   one record: answers, conflicts, history, reviews
//! GET /api/v1/stats          the figures of a year: all records, approved ones, annual tasks, flags
//! GET /api/v1/logbooks       what the hub holds, with digests
//! GET /healthz               whether it works
//! GET /metrics               counts
//! ```
//!
//! Entries of directories (stations, people, service targets …) are told only where `form` names theirs.
//!
//! Records are chosen by `station`, `month`, `form`, `state`, `text` (every word of it), `conflicts`, `changed`; `limit` and
//! `cursor` page.
//!
//! `next` is where the next page begins, or null. `cursor` is never null: kept, it brings next time what changed since;
//! records that were erased or are held meanwhile then come as `{"id", "gone": true}`. Whoever keeps a copy asks without
//! `state`, `text`, `conflicts` and `changed`, because a record that ceases to match is not told.
//!
//! # Failure
//!
//! `{"error": {code, message_en, message_zh, parameter}}` with a status: 400 for a wrong parameter, 404 for no record, 410
//! for a cursor from before a restore, 503 when the hub is busy.

mod json;

use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use qianmo_protocol::session::Shelf as _;

use crate::hub::HubCore;
use crate::metrics::HubFigures;
use crate::projection::{FeedCursor, Reader};
use crate::web::{Asked, Fault, Refusal, WebState};

pub(crate) use json::record_json;

/// What the feed takes. It has no flags: they follow from other records too, and would not be told anew when they change.
const PARAMETERS: [&str; 9] = ["station", "month", "form", "state", "text", "conflicts", "changed", "limit", "cursor"];
/// Records of a page when nobody says how many.
const LIMIT_DEFAULT: usize = 100;

pub(crate) fn routes() -> Router<WebState> {
    Router::new()
        .route("/api/v1/records", get(records))
        .route("/api/v1/records/{id}", get(record))
        .route("/api/v1/stats", get(stats))
        .route("/api/v1/logbooks", get(logbooks))
        .route("/healthz", get(health))
        .route("/metrics", get(metrics))
}

async fn records(State(state): State<WebState>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let asked = Asked::only(&uri, &PARAMETERS)?;
    let (filter, limit) = (asked.filter()?, asked.limit(LIMIT_DEFAULT)?);
    let after = asked.cursor(FeedCursor::decode)?;
    let feed = state.read(move |reader| reader.feed(&filter, after, limit)).await?.ok_or(Refusal::CursorGone)?;
    let records: Vec<Value> = feed.records.iter().map(|record| record_json(state.mask(), record)).collect();
    let cursor = feed.next.encode();
    let next = feed.has_more.then_some(&cursor);
    Ok(Json(json!({ "records": records, "next": next, "cursor": cursor })))
}

async fn record(State(state): State<WebState>, Path(id): Path<String>, uri: Uri) -> Result<Json<Value>, Refusal> {
    only_path(&uri)?;
    let (full, names) = (state.full(&id).await?, state.names().await?);
    Ok(Json(json::full_json(state.mask(), &names, &full)))
}

async fn stats(State(state): State<WebState>, uri: Uri) -> Result<Json<Value>, Refusal> {
    let asked = Asked::only(&uri, &["station", "month", "form", "year"])?;
    let (filter, year) = (asked.filter()?, asked.year()?);
    let shared = state.clone();
    let report = state.read(move |reader| reader.report(shared.mask().forms(), &filter, year)).await?;
    Ok(Json(report.to_json()))
}

async fn logbooks(State(state): State<WebState>, uri: Uri) -> Result<Json<Value>, Refusal> {
    only_path(&uri)?;
    let mut counts = state.read(Reader::by_logbook).await?;
    let told = state.ask(move |core| {
        let replica = core.replica();
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        let rows: Vec<Value> = replica
            .state_digests()
            .into_iter()
            .map(|(name, state)| {
                let text = name.to_string();
                json!({
                    "name": text,
                    "station": name.station().map(ToString::to_string),
                    "month": name.month().map(|month| month.to_string()),
                    "records": counts.remove(&text).unwrap_or(0),
                    "vector_digest": hex(&replica.vector_digest(&name)),
                    "state_digest": hex(&state.to_bytes()),
                })
            })
            .collect();
        json!({ "epoch": core.epoch().to_string(), "commit": replica.durable_commit().0, "logbooks": rows })
    });
    Ok(Json(told.await?))
}

/// Nothing may be asked of these beside what the path says.
fn only_path(uri: &Uri) -> Result<(), Refusal> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(query) => {
            let name = query.split(['=', '&']).next().unwrap_or_default();
            Err(Refusal::parameter(Fault::Unknown, &name.chars().take(40).collect::<String>()))
        }
    }
}

/// What `/healthz` asks of the hub.
struct Pulse {
    figures: HubFigures,
    is_poisoned: bool,
    epoch: qianmo_protocol::ids::Epoch,
    devices: usize,
    revoked: usize,
    connected: usize,
}

fn pulse(core: &HubCore) -> Pulse {
    let fold = core.replica().control().fold();
    let revoked = fold.devices().filter(|(_, device)| device.is_revoked()).count();
    Pulse {
        figures: figures(core),
        is_poisoned: core.replica().log_stats().is_poisoned,
        epoch: core.epoch(),
        devices: fold.devices().filter(|(_, device)| device.is_enrolled()).count(),
        revoked,
        connected: core.connected().len(),
    }
}

async fn health(State(state): State<WebState>) -> Result<Response, Refusal> {
    let pulse = state.ask(pulse).await?;
    // A model that cannot be read is a thing to be told here, not a reason to tell nothing.
    let position = state.read(Reader::position).await.unwrap_or(None);
    let position = position.filter(|position| position.epoch == pulse.epoch);
    let is_current = position.is_some_and(|position| position.commit >= pulse.figures.commit);
    let (word, status) = match (pulse.is_poisoned, is_current) {
        (true, _) => ("read_only", StatusCode::SERVICE_UNAVAILABLE),
        (false, false) => ("read_model_behind", StatusCode::OK),
        (false, true) => ("ok", StatusCode::OK),
    };
    let body = json!({
        "status": word,
        "epoch": pulse.epoch.to_string(),
        "commit": pulse.figures.commit,
        "watermark": pulse.figures.watermark,
        "read_model_commit": position.map(|position| position.commit),
        "read_model_is_current": is_current,
        "packs_unjudged": pulse.figures.unjudged,
        "free_bytes": pulse.figures.free_bytes,
        "devices": { "enrolled": pulse.devices, "revoked": pulse.revoked, "connected": pulse.connected },
    });
    Ok((status, Json(body)).into_response())
}

async fn metrics(State(state): State<WebState>) -> Result<Response, Refusal> {
    let figures = state.ask(figures).await?;
    let text = state.metrics().render(&figures);
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
