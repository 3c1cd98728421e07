//! The pages for coordinators: the list of records, and one record with its conflicts, history and reviews.

use axum::Router;

use crate::web::WebState;

/// The routes of the pages.
pub fn routes() -> Router<WebState> {
    Router::new()
}
