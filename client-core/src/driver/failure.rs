//! From what went wrong to what the engine does about it: one exhaustive match for each error.

use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::SessionError;

use crate::codes::HaltReason;
use crate::engine::Over;
use crate::error::chain;
use crate::owner::SessionFailure;
use crate::transport::{ConnectError, LinkError};

/// What is said about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    /// For a log.
    pub(super) text: String,
    /// What it most likely is, when a person should hear it though tries go on.
    pub(super) reason: Option<HaltReason>,
}

/// A session that did not end well.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) over: Over,
    pub(super) detail: Detail,
    /// The code this side closes with.
    pub(super) code: CloseCode,
}

impl Trouble {
    fn new(over: Over, error: &dyn std::error::Error, code: CloseCode) -> Self {
        Self { over, detail: Detail { text: chain(error), reason: None }, code }
    }

    /// The network or the other side did not do in time.
    pub(super) fn late(what: &str) -> Self {
        let detail = Detail { text: what.to_owned(), reason: None };
        Self { over: BROKEN, detail, code: CloseCode::TimedOut }
    }

    pub(super) fn of_connect(error: &ConnectError, patience: Duration) -> Self {
        let over = match error {
            ConnectError::Rejected { code } => of_code(*code),
            ConnectError::PeerIncompatible(_) => Over::Halting(HaltReason::PeerIncompatible),
            ConnectError::PeerMisbehaved { .. } => Over::Broken { retry_after: Some(patience) },
            // Another network may have another hub, or none, at the same address: it is tried again.
            ConnectError::WrongOrganisation
            | ConnectError::NoAddress
            | ConnectError::Unreachable { .. }
            | ConnectError::TimedOut { .. } => BROKEN,
        };
        let mut trouble = Self::new(over, error, CloseCode::Done);
        if matches!(error, ConnectError::WrongOrganisation) {
            trouble.detail.reason = Some(HaltReason::WrongOrganisation);
        }
        trouble
    }

    pub(super) fn of_link(error: &LinkError, patience: Duration) -> Self {
        let over = match error {
            LinkError::Closed { code: Some(code) } => of_code(*code),
            LinkError::PeerIncompatible(_) => Over::Halting(HaltReason::PeerIncompatible),
            LinkError::PeerMisbehaved { .. } | LinkError::Malformed(_) => Over::Broken { retry_after: Some(patience) },
            LinkError::Closed { code: None }
            | LinkError::ClosedHere
            | LinkError::TimedOut
            | LinkError::Abandoned { .. } => BROKEN,
        };
        Self::new(over, error, error.close_code())
    }

    pub(super) fn of_session(failure: &SessionFailure, patience: Duration) -> Self {
        match failure {
            SessionFailure::Peer(error @ SessionError::PeerIncompatible { .. }) => {
                Self::new(Over::Halting(HaltReason::PeerIncompatible), error, CloseCode::IncompatibleVersion)
            }
            SessionFailure::Peer(error @ SessionError::PeerMisbehaved(_)) => {
                Self::new(Over::Broken { retry_after: Some(patience) }, error, CloseCode::ProtocolViolation)
            }
            SessionFailure::Store(error) => {
                Self::new(Over::Halting(HaltReason::StoreFailed), error, CloseCode::Internal)
            }
            // The store was opened again, or closed, under the session.
            SessionFailure::NoSession | SessionFailure::NotEnrolled => Self::late("the store was opened again"),
        }
    }
}

const BROKEN: Over = Over::Broken { retry_after: None };

const fn of_code(code: CloseCode) -> Over {
    match code {
        CloseCode::NotEnrolled => Over::Halting(HaltReason::NotEnrolled),
        CloseCode::Revoked => Over::Halting(HaltReason::Revoked),
        CloseCode::DeviceRefused => Over::Halting(HaltReason::DeviceRefused),
        CloseCode::IncompatibleVersion => Over::Halting(HaltReason::PeerIncompatible),
        CloseCode::ProtocolViolation | CloseCode::OverLimit => Over::Halting(HaltReason::PeerMisbehaved),
        CloseCode::Done
        | CloseCode::ShuttingDown
        | CloseCode::Busy
        | CloseCode::TooManyConnections
        | CloseCode::TimedOut
        | CloseCode::Internal => BROKEN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_that_cannot_be_retried_halt_and_the_others_do_not() {
        for code in CloseCode::ALL {
            assert_eq!(matches!(of_code(code), Over::Halting(_)), !code.is_retryable(), "{code}");
        }
    }

    #[test]
    fn stranger_at_the_address_is_tried_again_and_shown() {
        let trouble = Trouble::of_connect(&ConnectError::WrongOrganisation, Duration::ZERO);
        assert_eq!(trouble.over, BROKEN);
        assert_eq!(trouble.detail.reason, Some(HaltReason::WrongOrganisation));
    }
}
