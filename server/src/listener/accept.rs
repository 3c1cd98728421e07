//! From a datagram to a proven connection: one loop that admits, one task for each connection.
//!
//! # Limits
//!
//! Half-open and open connections are counted before a task is made; both counts go down when the task ends, however it
//! ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{ALPN_ENROL, ALPN_SESSION};
use qianmo_protocol::ids::{DeviceId, OrgId};
use quinn::{Connecting, Connection, Endpoint, Incoming};
use quinn_proto::crypto::rustls::HandshakeData;
use rustls::pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::Instrument as _;

use crate::connection::{Link, LinkError};
use crate::listener::addresses::{Addresses, Kind, Place};
use crate::listener::registry::Connections;
use crate::listener::tls::{device_key, number};
use crate::listener::{Accepted, ConnectionHandler, EnrolHandler, ListenerConfig, Stopping};

/// How long the peer has to close a connection whose session is done before the hub does.
const LINGER: Duration = Duration::from_secs(3);

/// What a listener did so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Connection attempts answered with a Retry.
    pub retried: u64,
    /// Attempts refused because too many were half-open, or too many connections open.
    pub refused: u64,
    /// Handshakes that failed or took too long.
    pub handshakes_failed: u64,
    /// Sessions handed to the handler.
    pub sessions: u64,
    /// Enrolment requests answered.
    pub enrolments: u64,
    /// Handshakes under way now.
    pub half_open: usize,
    /// Connections open now, half-open ones included.
    pub open: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    retried: AtomicU64,
    refused: AtomicU64,
    handshakes_failed: AtomicU64,
    sessions: AtomicU64,
    pub(super) enrolments: AtomicU64,
    half_open: AtomicUsize,
    open: AtomicUsize,
}

impl Counters {
    pub(crate) fn read(&self) -> Counts {
        Counts {
            retried: self.retried.load(Ordering::Relaxed),
            refused: self.refused.load(Ordering::Relaxed),
            handshakes_failed: self.handshakes_failed.load(Ordering::Relaxed),
            sessions: self.sessions.load(Ordering::Relaxed),
            enrolments: self.enrolments.load(Ordering::Relaxed),
            half_open: self.half_open.load(Ordering::Relaxed),
            open: self.open.load(Ordering::Relaxed),
        }
    }
}

/// Counts something as present while it lives.
struct Present {
    counters: Arc<Counters>,
    which: fn(&Counters) -> &AtomicUsize,
    /// The same at its address.
    _place: Place,
}

impl Present {
    fn new(counters: &Arc<Counters>, which: fn(&Counters) -> &AtomicUsize, place: Place) -> Self {
        which(counters).fetch_add(1, Ordering::Relaxed);
        Self { counters: Arc::clone(counters), which, _place: place }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        (self.which)(&self.counters).fetch_sub(1, Ordering::Relaxed);
    }
}

/// What is done with an attempt.
enum Admission {
    Accept,
    Retry,
    Refuse,
}

/// The loop and what its tasks share.
pub(crate) struct Acceptor<H, E> {
    shared: Arc<Shared<H, E>>,
}

pub(super) struct Shared<H, E> {
    pub(super) config: ListenerConfig,
    pub(super) org: OrgId,
    pub(super) counters: Arc<Counters>,
    pub(super) enrol_handler: Arc<E>,
    pub(super) enrolling: Semaphore,
    addresses: Addresses,
    connections: Connections,
    stopping: Stopping,
    handler: Arc<H>,
}

impl<H: ConnectionHandler, E: EnrolHandler> Acceptor<H, E> {
    pub(crate) fn new(
        config: ListenerConfig,
        authority_key: &[u8; 32],
        connections: Connections,
        stopping: Stopping,
        handler: Arc<H>,
        enrol_handler: Arc<E>,
    ) -> Self {
        let enrolling = Semaphore::new(config.enrolments_max);
        let org = OrgId::from_authority_key(authority_key);
        let counters = Arc::default();
        let addresses = Addresses::default();
        let shared =
            Shared { config, org, counters, enrol_handler, enrolling, addresses, connections, stopping, handler };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.shared.counters)
    }

    /// Accepts until the hub is stopped, then waits for the connections to end.
    pub(crate) async fn run(self, endpoint: Endpoint) {
        let mut tasks = JoinSet::new();
        let mut stopping = self.shared.stopping.clone();
        loop {
            tokio::select! {
                incoming = endpoint.accept() => match incoming {
                    Some(incoming) => self.admit(incoming, &mut tasks),
                    None => break,
                },
                Some(ended) = tasks.join_next() => report(ended),
                () = stopping.wait() => break,
            }
        }
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    }

    fn admit(&self, incoming: Incoming, tasks: &mut JoinSet<()>) {
        let counters = &self.shared.counters;
        let address = incoming.remote_address().ip();
        match self.judge(&incoming) {
            Admission::Retry => match incoming.retry() {
                Ok(()) => {
                    counters.retried.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => tracing::warn!(%error, "a connection attempt that may be retried was not"),
            },
            Admission::Refuse => {
                counters.refused.fetch_add(1, Ordering::Relaxed);
                incoming.refuse();
            }
            Admission::Accept => match incoming.accept() {
                Ok(connecting) => {
                    let place = |kind| self.shared.addresses.take(address, kind);
                    let half_open = Present::new(counters, |counters| &counters.half_open, place(Kind::HalfOpen));
                    let open = Present::new(counters, |counters| &counters.open, place(Kind::Open));
                    tasks.spawn(Arc::clone(&self.shared).connection(connecting, half_open, open));
                }
                Err(error) => {
                    counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                    tracing::debug!(%error, "connection attempt not accepted");
                }
            },
        }
    }

    /// A stranger's address is proven by a Retry only under load: it costs an honest tablet a round trip.
    fn judge(&self, incoming: &Incoming) -> Admission {
        let config = &self.shared.config;
        let counts = self.shared.counters.read();
        let here = self.shared.addresses.held(incoming.remote_address().ip());
        let is_crowded =
            here.half_open >= config.half_open_per_address_max || here.open >= config.connections_per_address_max;
        let wants_proof = counts.half_open >= config.half_open_before_retry || is_crowded;
        if wants_proof && !incoming.remote_address_validated() && incoming.may_retry() {
            Admission::Retry
        } else if is_crowded || counts.half_open >= config.half_open_max || counts.open >= config.connections_max {
            Admission::Refuse
        } else {
            Admission::Accept
        }
    }
}

/// A task that panicked is a bug; its connection went with it, the others stay.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "a connection's task panicked");
    }
}

impl<H: ConnectionHandler, E: EnrolHandler> Shared<H, E> {
    async fn connection(self: Arc<Self>, connecting: Connecting, half_open: Present, _open: Present) {
        let connection = match timeout(self.config.handshake_deadline, connecting).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => {
                self.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                return tracing::debug!(%error, "handshake failed");
            }
            Err(_late) => {
                self.counters.handshakes_failed.fetch_add(1, Ordering::Relaxed);
                return tracing::debug!("handshake took too long");
            }
        };
        drop(half_open);
        let protocol = protocol(&connection);
        let code = match protocol.as_deref() {
            Some(ALPN_SESSION) => self.session(&connection).await,
            Some(ALPN_ENROL) => self.enrolment(&connection).await,
            Some(_) | None => CloseCode::IncompatibleVersion,
        };
        if code == CloseCode::Done && timeout(LINGER, connection.closed()).await.is_err() {
            tracing::debug!("the peer did not close after its session");
        }
        connection.close(number(code), b"");
    }

    async fn session(&self, connection: &Connection) -> CloseCode {
        let Some(device_key) = peer_key(connection) else {
            tracing::debug!(remote = %connection.remote_address(), "connection without a certificate");
            return CloseCode::NotEnrolled;
        };
        let device = DeviceId::from_key(&device_key);
        let span = tracing::debug_span!("connection", id = connection.stable_id(), %device);
        let _registration = self.connections.register(device, connection.clone());
        let first = timeout(self.config.first_frame_deadline, Link::accept(connection.clone(), self.config.pace));
        let serving = async {
            match first.await {
                Ok(Ok(link)) => {
                    self.counters.sessions.fetch_add(1, Ordering::Relaxed);
                    let stopping = self.stopping.clone();
                    self.handler.serve(Accepted { device_key, device, link, stopping }).await
                }
                Ok(Err(error)) => close_code(&error),
                Err(_late) => CloseCode::TimedOut,
            }
        };
        serving.instrument(span).await
    }
}

/// The code that answers what went wrong before a session began.
fn close_code(error: &LinkError) -> CloseCode {
    let code = error.close_code();
    if code == CloseCode::ProtocolViolation {
        tracing::warn!(%error, "the peer's first bytes are no message");
    } else {
        tracing::debug!(%error, "connection ended before its session began");
    }
    code
}

fn protocol(connection: &Connection) -> Option<Vec<u8>> {
    connection.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

fn peer_key(connection: &Connection) -> Option<[u8; 32]> {
    let certificates = connection.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    device_key(&certificates)
}
