//! The hub's QUIC endpoint: sessions and enrolment on one UDP port.
//!
//! It admits connections, proves who is at the other end, and hands the rest to two handlers: what a session says and what
//! a ticket is worth are not its business. Whether a proven device may still talk is the session handler's first question
//! to the control log; the listener only keeps the open connections by device, so that a revocation closes them at once.
//!
//! # Flow
//!
//! ```text
//! datagram -> Incoming: over a limit, of all or of its address? Retry, or refuse -> TLS 1.3 -> ALPN
//!   qianmo/1       certificate of this organisation -> registered by device -> first message -> ConnectionHandler::serve
//!   qianmo-enrol/1 one request, signature checked -> EnrolHandler::enrol -> one reply
//! ```
//!
//! # Invariants
//!
//! 1. A session handler sees only devices whose key was proven by TLS under a certificate of this organisation
//!    (`connection_without_a_certificate_is_closed_as_not_enrolled`, `certificate_of_another_organisation_is_refused`).
//! 2. A connection is registered before its handler runs. A revocation that is first written to the control log and then
//!    calls [`Connections::close`] therefore misses none: later ones are judged by the log
//!    (`revocation_closes_an_open_connection_at_once`).
//! 3. Nothing a stranger sends before the handshake ends lives longer than the handshake deadline.
//!
//! # Limits
//!
//! [`ListenerConfig`], [`Pace`]; the windows in `tls`.
//!
//! # Failure
//!
//! [`ListenError`] at start: the operator acts. Afterwards a bad connection is closed with its [`CloseCode`] and counted.

mod accept;
mod addresses;
mod enrol;
pub(crate) mod pace;
mod registry;
pub(crate) mod tls;
mod tokens;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{EnrolAsk, EnrolReply};
use qianmo_protocol::ids::DeviceId;
use qianmo_protocol::time::UnixMillis;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::authority::ServerIdentity;
use crate::connection::Link;

pub use accept::Counts;
pub use pace::Pace;
pub use registry::Connections;

/// How long a stopped endpoint waits for its last datagrams to be sent.
const LAST_DATAGRAMS: Duration = Duration::from_millis(500);

/// Where and how much the hub listens.
#[derive(Debug, Clone)]
pub struct ListenerConfig {
    /// The UDP address.
    pub bind: SocketAddr,
    /// Most connection attempts that wait for a decision.
    pub incoming_max: usize,
    /// Half-open connections from which on strangers must first prove their address (QUIC Retry).
    pub half_open_before_retry: usize,
    /// Most half-open connections; beyond it, attempts are refused.
    pub half_open_max: usize,
    /// Most open connections.
    pub connections_max: usize,
    /// Most half-open connections of one address (of one /64 for IPv6).
    pub half_open_per_address_max: usize,
    /// Most open connections of one address. Many tablets may stand behind one.
    pub connections_per_address_max: usize,
    /// Most open connections of one device; a further one closes its oldest.
    pub connections_per_device_max: usize,
    /// Most enrolment connections at a time; beyond it, they are closed as busy.
    pub enrolments_max: usize,
    /// Streams beside the session's that a device may open at a time: those of blobs, where the handler takes any.
    pub blob_streams_max: u32,
    /// Until when the handshake must be done.
    pub handshake_deadline: Duration,
    /// Until when, after the handshake, the first message or the whole enrolment request must be there.
    pub first_frame_deadline: Duration,
    /// How slow a device may be afterwards.
    pub pace: Pace,
}

impl ListenerConfig {
    /// The usual limits at this address.
    #[must_use]
    pub const fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            incoming_max: 1_024,
            half_open_before_retry: 64,
            half_open_max: 512,
            half_open_per_address_max: 256,
            connections_max: 1_024,
            connections_per_address_max: 512,
            connections_per_device_max: 4,
            enrolments_max: 16,
            blob_streams_max: 0,
            handshake_deadline: Duration::from_secs(10),
            first_frame_deadline: Duration::from_secs(5),
            pace: Pace::usual(),
        }
    }
}

/// Why the hub cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be had.
    #[error("cannot listen on UDP {address}")]
    Bind {
        /// Which address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The hub's own key or certificate does not work in TLS.
    #[error("the hub's TLS key or certificate cannot be used")]
    Identity(#[source] rustls::Error),
    /// The TLS library lacks what QUIC needs.
    #[error("the TLS library cannot do QUIC")]
    Tls(#[source] quinn_proto::crypto::rustls::NoInitialCipherSuite),
}

/// A proven device's new connection.
#[derive(Debug)]
pub struct Accepted {
    /// The device's public key, proven by TLS.
    pub device_key: [u8; 32],
    /// Its id.
    pub device: DeviceId,
    /// The connection with its session stream; the first message waits in it.
    pub link: Link,
    /// Tells when the hub is being stopped.
    pub stopping: Stopping,
}

/// Tells a handler that the hub is being stopped and its session should come to an end.
#[derive(Debug, Clone)]
pub struct Stopping(watch::Receiver<bool>);

impl Stopping {
    /// Whether the hub is being stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns once the hub is being stopped. Dropping the future does nothing.
    pub async fn wait(&mut self) {
        // An error means that the listener is gone, which is the same news.
        self.0.wait_for(|stopping| *stopping).await.map(drop).unwrap_or_default();
    }
}

/// What is done with a device's connection.
pub trait ConnectionHandler: Send + Sync + 'static {
    /// Runs the sessions of a connection to their end, and says with which code it is closed.
    ///
    /// After [`CloseCode::Done`] the peer gets a moment to close first; any other code closes at once, so a handler that
    /// wants its last words heard calls [`Link::flush`].
    fn serve(&self, accepted: Accepted) -> impl Future<Output = CloseCode> + Send;
}

/// What a ticket is worth.
pub trait EnrolHandler: Send + Sync + 'static {
    /// Judges an ask whose signature by the new key was found good, and makes the enrolment durable before it says
    /// welcome. It may block. A repeated ask with the same token and key gets the same welcome: the first may have been
    /// lost on the way.
    fn enrol(&self, ask: &EnrolAsk, now: UnixMillis) -> EnrolReply;
}

/// The running endpoint. Dropping it closes everything at once; [`Listener::shutdown`] is the polite way.
#[derive(Debug)]
pub struct Listener {
    endpoint: quinn::Endpoint,
    address: SocketAddr,
    connections: Connections,
    counters: Arc<accept::Counters>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Listener {
    /// Binds the port and begins to accept. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// [`ListenError`].
    pub fn start<H: ConnectionHandler, E: EnrolHandler>(
        config: ListenerConfig,
        authority_key: &[u8; 32],
        identity: &ServerIdentity,
        handler: Arc<H>,
        enrol_handler: Arc<E>,
    ) -> Result<Self, ListenError> {
        let bind_failed = |source| ListenError::Bind { address: config.bind, source };
        let server_config = tls::server_config(&config, authority_key, identity)?;
        let endpoint = quinn::Endpoint::server(server_config, config.bind).map_err(bind_failed)?;
        let address = endpoint.local_addr().map_err(bind_failed)?;
        let (stop, stopping) = watch::channel(false);
        let connections = Connections::new(config.connections_per_device_max);
        let acceptor = accept::Acceptor::new(
            config,
            authority_key,
            connections.clone(),
            Stopping(stopping),
            handler,
            enrol_handler,
        );
        let counters = acceptor.counters();
        let accepting = tokio::spawn(acceptor.run(endpoint.clone()));
        Ok(Self { endpoint, address, connections, counters, stop, accepting })
    }

    /// The address it listens on.
    #[must_use]
    pub const fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// The open connections by device.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.connections.clone()
    }

    /// What happened so far, for metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counters.read()
    }

    /// Stops accepting, tells the handlers, gives the sessions until `within` to end, closes what is left with
    /// [`CloseCode::ShuttingDown`]. Dropping the future closes everything at once.
    pub async fn shutdown(mut self, within: Duration) {
        self.endpoint.set_server_config(None);
        self.stop.send_replace(true);
        if tokio::time::timeout(within, &mut self.accepting).await.is_err() {
            let closed = self.connections.close_all(CloseCode::ShuttingDown);
            tracing::info!(closed, "connections closed at the end of the time to stop");
            if tokio::time::timeout(LAST_DATAGRAMS, &mut self.accepting).await.is_err() {
                tracing::warn!("a session handler did not end with its connection; it is stopped");
            }
        }
        self.endpoint.close(tls::number(CloseCode::ShuttingDown), b"");
        if tokio::time::timeout(LAST_DATAGRAMS, self.endpoint.wait_idle()).await.is_err() {
            tracing::debug!("stopped with connections still draining");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.accepting.abort();
        self.endpoint.close(tls::number(CloseCode::ShuttingDown), b"");
    }
}
