//! What can go wrong with a connection, sorted by who must act.
//!
//! QUIC's own errors are sorted in one place, [`Ended::from`]; whether to try again is said in one place for each error.

use std::io;
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::wire::DecodeError;
use quinn::{ConnectionError, TransportErrorCode};

/// The QUIC code of a connection that was refused for want of room.
const CONNECTION_REFUSED: u64 = 0x2;
/// QUIC codes from here on carry a TLS alert in their low byte.
const CRYPTO_ERROR: u64 = 0x100;

/// Why a device's key and certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// They do not fit one another, or TLS cannot read them.
    #[error("the device's key and certificate cannot be used; enrol again")]
    Unusable(#[source] rustls::Error),
    /// The TLS library lacks what QUIC needs.
    #[error("the TLS library cannot do QUIC")]
    Tls(#[source] quinn_proto::crypto::rustls::NoInitialCipherSuite),
}

/// What two ends do not have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// No version of the application protocol.
    #[error("no protocol version in common")]
    Protocol,
    /// No version of QUIC or TLS.
    #[error("no QUIC or TLS version in common")]
    Transport,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No address was given.
    #[error("no address of a hub is known")]
    NoAddress,
    /// Nothing at the address can be spoken to.
    #[error("cannot reach {address}")]
    Unreachable {
        /// Which address.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No answer in time.
    #[error("no answer within {} ms", within.as_millis())]
    TimedOut {
        /// How long was waited.
        within: Duration,
    },
    /// The hub does not want this device now, or at all.
    #[error("the hub closed the connection: {code}")]
    Rejected {
        /// Why.
        code: CloseCode,
    },
    /// One of the two must be updated.
    #[error("hub and device do not understand one another")]
    PeerIncompatible(#[source] Incompatible),
    /// Whoever answered cannot prove to be a hub of this organisation.
    #[error("whoever answered is not a hub of this organisation")]
    WrongOrganisation,
    /// The hub broke a rule.
    #[error("the hub broke a rule of the transport: {what}")]
    PeerMisbehaved {
        /// Which.
        what: String,
    },
}

impl ConnectError {
    /// Whether trying again later, with nothing changed here, can help.
    ///
    /// A stranger at the hub's address is one of those cases: a captive portal, or another network's hub with the same
    /// local address.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::WrongOrganisation
            | Self::PeerMisbehaved { .. } => true,
            Self::Rejected { code } => code.is_retryable(),
            Self::NoAddress | Self::PeerIncompatible(_) => false,
        }
    }

    /// How much it says about why several addresses failed: an answer says more than silence.
    pub(crate) const fn weight(&self) -> u8 {
        match self {
            Self::NoAddress => 0,
            Self::Unreachable { .. } => 1,
            Self::TimedOut { .. } => 2,
            Self::PeerMisbehaved { .. } => 3,
            Self::WrongOrganisation => 4,
            Self::PeerIncompatible(_) => 5,
            Self::Rejected { .. } => 6,
        }
    }
}

/// Why nothing more comes or goes on a connection.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The hub closed it; `None` for a number that this version does not know.
    #[error("closed by the hub: {}", code.map_or_else(|| "unknown reason".to_owned(), |code| code.to_string()))]
    Closed {
        /// Why.
        code: Option<CloseCode>,
    },
    /// This side closed it.
    #[error("closed by this device")]
    ClosedHere,
    /// Nothing was heard of the hub for too long.
    #[error("nothing heard of the hub for too long")]
    TimedOut,
    /// The hub gave up the stream, or ended it in the middle of a message.
    #[error("the hub gave up the stream with {pending} bytes of a message")]
    Abandoned {
        /// Bytes of the message that is cut.
        pending: usize,
    },
    /// Hub and device do not understand one another.
    #[error("hub and device do not understand one another")]
    PeerIncompatible(#[source] Incompatible),
    /// The hub broke a rule of QUIC.
    #[error("the hub broke a rule of the transport: {what}")]
    PeerMisbehaved {
        /// Which.
        what: String,
    },
    /// What came is no message.
    #[error("what came is no message")]
    Malformed(#[source] DecodeError),
}

impl LinkError {
    /// Whether a new connection later, with nothing changed here, can help. An unknown code is taken for one that can.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Closed { code: Some(code) } => code.is_retryable(),
            Self::Closed { code: None }
            | Self::ClosedHere
            | Self::TimedOut
            | Self::Abandoned { .. }
            | Self::PeerMisbehaved { .. } => true,
            Self::PeerIncompatible(_) | Self::Malformed(_) => false,
        }
    }

    /// The code with which this side closes the connection because of this.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Closed { .. } | Self::ClosedHere => CloseCode::Done,
            Self::TimedOut => CloseCode::TimedOut,
            Self::Malformed(DecodeError::TooLarge { .. }) => CloseCode::OverLimit,
            Self::PeerIncompatible(_) => CloseCode::IncompatibleVersion,
            Self::Abandoned { .. } | Self::PeerMisbehaved { .. } | Self::Malformed(_) => CloseCode::ProtocolViolation,
        }
    }
}

/// How a connection ended, or failed to begin.
pub(crate) enum Ended {
    ByHub(Option<CloseCode>),
    Here,
    TimedOut,
    Incompatible(Incompatible),
    WrongOrganisation,
    Misbehaved(String),
}

impl From<ConnectionError> for Ended {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::ByHub(CloseCode::from_number(close.error_code.into_inner()))
            }
            ConnectionError::ConnectionClosed(close) => Self::told_by_hub(close.error_code, &close.to_string()),
            ConnectionError::TransportError(error) => Self::found_here(error.code, &error.to_string()),
            ConnectionError::VersionMismatch => Self::Incompatible(Incompatible::Transport),
            ConnectionError::TimedOut | ConnectionError::Reset => Self::TimedOut,
            ConnectionError::LocallyClosed | ConnectionError::CidsExhausted => Self::Here,
        }
    }
}

impl Ended {
    /// The hub's transport or TLS closed the connection.
    fn told_by_hub(code: TransportErrorCode, what: &str) -> Self {
        match alert(code) {
            Some(alert) if is_about_protocol(alert) => Self::Incompatible(Incompatible::Protocol),
            Some(alert) if is_about_version(alert) => Self::Incompatible(Incompatible::Transport),
            Some(alert) if is_about_certificate(alert) => Self::ByHub(Some(CloseCode::NotEnrolled)),
            None if u64::from(code) == CONNECTION_REFUSED => Self::ByHub(Some(CloseCode::Busy)),
            Some(_) | None => Self::Misbehaved(what.to_owned()),
        }
    }

    /// This side's transport or TLS closed the connection.
    fn found_here(code: TransportErrorCode, what: &str) -> Self {
        match alert(code) {
            Some(alert) if is_about_protocol(alert) => Self::Incompatible(Incompatible::Protocol),
            Some(alert) if is_about_version(alert) => Self::Incompatible(Incompatible::Transport),
            Some(alert) if is_about_certificate(alert) => Self::WrongOrganisation,
            Some(_) | None => Self::Misbehaved(what.to_owned()),
        }
    }
}

fn alert(code: TransportErrorCode) -> Option<u8> {
    let alert = u64::from(code).checked_sub(CRYPTO_ERROR)?;
    u8::try_from(alert).ok()
}

/// no_application_protocol.
const fn is_about_protocol(alert: u8) -> bool {
    alert == 120
}

/// handshake_failure, protocol_version, insufficient_security, missing_extension.
const fn is_about_version(alert: u8) -> bool {
    matches!(alert, 40 | 70 | 71 | 109)
}

/// bad_certificate, unsupported_certificate, certificate_revoked, certificate_expired, certificate_unknown, unknown_ca,
/// access_denied, decrypt_error, certificate_required.
const fn is_about_certificate(alert: u8) -> bool {
    matches!(alert, 42..=46 | 48 | 49 | 51 | 116)
}

impl From<Ended> for LinkError {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::ByHub(code) => Self::Closed { code },
            Ended::Here => Self::ClosedHere,
            Ended::TimedOut => Self::TimedOut,
            Ended::Incompatible(kind) => Self::PeerIncompatible(kind),
            Ended::WrongOrganisation => Self::PeerMisbehaved { what: "it changed its certificate".to_owned() },
            Ended::Misbehaved(what) => Self::PeerMisbehaved { what },
        }
    }
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        Ended::from(error).into()
    }
}

impl ConnectError {
    /// Why a handshake with this address failed after so long.
    pub(crate) fn of_handshake(error: ConnectionError, address: &str, within: Duration) -> Self {
        match Ended::from(error) {
            Ended::ByHub(Some(code)) => Self::Rejected { code },
            Ended::ByHub(None) => Self::PeerMisbehaved { what: "closed with an unknown code".to_owned() },
            Ended::TimedOut => Self::TimedOut { within },
            Ended::Incompatible(kind) => Self::PeerIncompatible(kind),
            Ended::WrongOrganisation => Self::WrongOrganisation,
            Ended::Misbehaved(what) => Self::PeerMisbehaved { what },
            Ended::Here => {
                let source = io::Error::from(io::ErrorKind::ConnectionAborted);
                Self::Unreachable { address: address.to_owned(), source }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_alerts_say_different_things_when_sent_and_when_received() {
        let unknown_ca = TransportErrorCode::crypto(48);
        assert!(matches!(Ended::told_by_hub(unknown_ca, ""), Ended::ByHub(Some(CloseCode::NotEnrolled))));
        assert!(matches!(Ended::found_here(unknown_ca, ""), Ended::WrongOrganisation));
        let no_protocol = TransportErrorCode::crypto(120);
        assert!(matches!(Ended::told_by_hub(no_protocol, ""), Ended::Incompatible(Incompatible::Protocol)));
        let refused = TransportErrorCode::CONNECTION_REFUSED;
        assert!(matches!(Ended::told_by_hub(refused, ""), Ended::ByHub(Some(CloseCode::Busy))));
        assert!(matches!(Ended::found_here(refused, ""), Ended::Misbehaved(_)));
    }
}
