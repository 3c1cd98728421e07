//! The JSON API for dashboards and scripts: records with filters and a cursor, one record in full, logbooks, health.

use axum::Router;

use crate::web::WebState;

/// The routes of the API.
pub fn routes() -> Router<WebState> {
    Router::new()
}
