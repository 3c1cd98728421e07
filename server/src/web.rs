//! The hub's web: one router over the JSON API ([`crate::api`]) and the pages ([`crate::pages`]).
//!
//! It reads the projection over its own connection and asks the hub's thread only for one record's detail and for its
//! status, so that no reader holds up an acknowledgement.

use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::admin::Folder;
use crate::hub::HubHandle;
use crate::projection::{ProjectionError, Reader};

/// What the API and the pages share.
#[derive(Debug, Clone)]
pub struct WebState {
    hub: HubHandle,
    reader: std::sync::Arc<Reader>,
    name: String,
    address: SocketAddr,
}

impl WebState {
    /// For a hub whose projection is open.
    ///
    /// # Errors
    /// [`ProjectionError`] when the projection cannot be read.
    pub fn new(hub: HubHandle, folder: &Folder, name: &str, address: SocketAddr) -> Result<Self, ProjectionError> {
        let reader = std::sync::Arc::new(Reader::open(&folder.projection())?);
        Ok(Self { hub, reader, name: name.to_owned(), address })
    }
}

/// Everything the web answers.
#[must_use]
pub fn router(state: WebState) -> axum::Router {
    crate::api::routes().merge(crate::pages::routes()).with_state(state)
}

/// Serves until told to stop.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    state: WebState,
    mut stopping: watch::Receiver<bool>,
) -> std::io::Result<()> {
    let stopped = async move {
        // An error means that nobody can say stop any more.
        stopping.wait_for(|stop| *stop).await.map(drop).unwrap_or_default();
    };
    axum::serve(listener, router(state)).with_graceful_shutdown(stopped).await
}
