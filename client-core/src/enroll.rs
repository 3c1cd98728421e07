//! Enrolment: a ticket becomes a device.
//!
//! One connection, one request, one reply, all checked before anything is kept. It is safe to ask again with the same
//! ticket and the same key: the hub gives the same answer, so a reply that was lost on the way costs nothing. Keep the key
//! before asking.
//!
//! # Failure
//!
//! [`EnrollError`]; `is_retryable` tells a bad line from a bad ticket.

use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Replaces, SignError};
use qianmo_protocol::handshake::enrol::ENROL_REPLY_BYTES_MAX;
use qianmo_protocol::handshake::{ALPN_ENROL, EnrolRefusal, EnrolReply, EnrolRequest, EnrolWelcome, Ticket};
use qianmo_protocol::ids::{DeviceId, HubId, OrgId, PersonCode, StationCode};
use qianmo_protocol::wire::{DecodeError, Wire as _};
use quinn::{Connection, ReadError, ReadToEndError, VarInt, WriteError};
use tokio::time::timeout;

use crate::transport::{
    ClientKey, ConnectError, DeviceIdentity, Dialed, IdentityError, LinkError, Purpose, client_config,
    device_certificate_fits, dial,
};

/// How long a closing connection waits for its last datagram to be sent.
const LAST_DATAGRAM: Duration = Duration::from_millis(500);

/// What may be said besides the ticket.
#[derive(Debug, Clone)]
pub struct EnrollOptions {
    /// What people call the device.
    pub label: Option<String>,
    /// The device whose store this one took over, with the old key's word for it.
    pub replaces: Option<Replaces>,
    /// The local address; unspecified takes any.
    pub local: SocketAddr,
}

impl Default for EnrollOptions {
    fn default() -> Self {
        Self { label: None, replaces: None, local: (Ipv6Addr::UNSPECIFIED, 0).into() }
    }
}

/// A device that the organisation knows.
#[derive(Debug, Clone)]
pub struct Enrolled {
    /// What it connects with from now on.
    pub identity: DeviceIdentity,
    /// Its id.
    pub device: DeviceId,
    /// The authority's certificate, DER.
    pub authority_certificate: Vec<u8>,
    /// The organisation.
    pub org: OrgId,
    /// What the organisation calls itself.
    pub org_name: String,
    /// The hub that answered.
    pub hub: HubId,
    /// Where the device belongs.
    pub station: StationCode,
    /// Who may write with it.
    pub persons: Vec<PersonCode>,
    /// Encoded control entries, parents first: at least those that prove its own enrolment.
    pub control_entries: Vec<Vec<u8>>,
}

/// Why a device is not enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrollError {
    /// There is no connection to the hub.
    #[error("cannot connect to the hub for enrolment")]
    Connect(#[source] ConnectError),
    /// The connection broke before the answer.
    #[error("the connection broke before the hub answered")]
    Broken(#[source] LinkError),
    /// No answer in time.
    #[error("the hub did not answer within {} ms", within.as_millis())]
    TimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// The hub said no.
    #[error("the hub did not accept the ticket: {0}")]
    Refused(EnrolRefusal),
    /// The device cannot ask.
    #[error("the enrolment request cannot be made")]
    Request(#[source] SignError),
    /// TLS cannot be set up.
    #[error("the device cannot set up a secure connection")]
    Setup(#[source] IdentityError),
    /// The answer cannot be read.
    #[error("the hub's answer cannot be read")]
    Malformed(#[source] DecodeError),
    /// The answer does not fit the ticket or the key.
    #[error("the hub's answer does not fit: its {what} is not the expected one")]
    WrongAnswer {
        /// What does not fit.
        what: &'static str,
    },
}

impl EnrollError {
    /// Whether asking again later with the same ticket can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Connect(error) => error.is_retryable(),
            Self::Broken(error) => error.is_retryable(),
            Self::TimedOut { .. } => true,
            Self::Refused(reason) => reason.is_retryable(),
            Self::Request(_) | Self::Setup(_) | Self::Malformed(_) | Self::WrongAnswer { .. } => false,
        }
    }
}

/// Asks the ticket's hub to enrol the holder of `key`. Must be called inside a tokio runtime. Dropping the future may
/// leave the device enrolled without knowing it; asking again with the same ticket and key brings the answer.
///
/// # Errors
/// [`EnrollError`].
pub async fn enroll(
    ticket: &Ticket,
    key: &SigningKey,
    options: &EnrollOptions,
    within: Duration,
) -> Result<Enrolled, EnrollError> {
    let label = options.label.as_deref();
    let request = EnrolRequest::sign(&ticket.org(), key, ticket.token, label, options.replaces.clone())
        .map_err(EnrollError::Request)?;
    let config = client_config(&ticket.authority_key, ALPN_ENROL, ClientKey::Stranger, Purpose::Session)
        .map_err(EnrollError::Setup)?;
    let asking = async {
        let dialed = dial(&config, options.local, &ticket.addresses, within).await.map_err(EnrollError::Connect)?;
        ask(dialed, &request).await
    };
    let reply = timeout(within, asking).await.map_err(|_late| EnrollError::TimedOut { within })??;
    match EnrolReply::decode(&reply).map_err(EnrollError::Malformed)? {
        EnrolReply::Welcome(welcome) => check(*welcome, ticket, key),
        EnrolReply::Refused(reason) => Err(EnrollError::Refused(reason)),
    }
}

/// One request, one reply, then the connection is closed.
async fn ask(dialed: Dialed, request: &EnrolRequest) -> Result<Vec<u8>, EnrollError> {
    let Dialed { connection, endpoint, .. } = dialed;
    let reply = exchange(&connection, &request.encode()).await;
    let code = if reply.is_ok() { CloseCode::Done } else { CloseCode::ProtocolViolation };
    connection.close(VarInt::from_u32(code.number()), b"");
    if timeout(LAST_DATAGRAM, endpoint.wait_idle()).await.is_err() {
        tracing::trace!("closed while still draining");
    }
    reply
}

async fn exchange(connection: &Connection, request: &[u8]) -> Result<Vec<u8>, EnrollError> {
    let broken = |error: quinn::ConnectionError| EnrollError::Broken(error.into());
    let abandoned = EnrollError::Broken(LinkError::Abandoned { pending: 0 });
    let (mut send, mut recv) = connection.open_bi().await.map_err(broken)?;
    match send.write_all(request).await {
        Ok(()) => {}
        Err(WriteError::ConnectionLost(error)) => return Err(broken(error)),
        Err(WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected) => return Err(abandoned),
    }
    if send.finish().is_err() {
        return Err(abandoned);
    }
    recv.read_to_end(ENROL_REPLY_BYTES_MAX).await.map_err(|error| match error {
        ReadToEndError::Read(ReadError::ConnectionLost(error)) => broken(error),
        ReadToEndError::Read(_) => abandoned,
        ReadToEndError::TooLong => EnrollError::WrongAnswer { what: "length" },
    })
}

/// An answer that does not fit would make a device that no hub admits: better to say so now.
fn check(welcome: EnrolWelcome, ticket: &Ticket, key: &SigningKey) -> Result<Enrolled, EnrollError> {
    let wrong = |what| Err(EnrollError::WrongAnswer { what });
    if welcome.authority_key != ticket.authority_key {
        return wrong("authority key");
    }
    if welcome.org != ticket.org() {
        return wrong("organisation");
    }
    if !device_certificate_fits(&welcome.device_certificate, &ticket.authority_key, key) {
        return wrong("device certificate");
    }
    Ok(Enrolled {
        identity: DeviceIdentity {
            key: key.clone(),
            certificate: welcome.device_certificate,
            authority_key: welcome.authority_key,
        },
        device: DeviceId::from_key(&key.verifying_key().to_bytes()),
        authority_certificate: welcome.authority_certificate,
        org: welcome.org,
        org_name: welcome.org_name,
        hub: welcome.hub,
        station: welcome.station,
        persons: welcome.persons,
        control_entries: welcome.control_entries,
    })
}
