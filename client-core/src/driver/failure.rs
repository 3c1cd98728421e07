//! From what went wrong to what the engine does about it: one exhaustive match for each error.

use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::SessionError;

use qianmo_forms::Label;

use crate::codes::{HaltReason, come_later, unreachable};
use crate::engine::Over;
use crate::error::chain;
use crate::owner::SessionFailure;
use crate::transport::{ConnectError, LinkError};

/// What is said about a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Detail {
    /// For a log.
    pub(super) text: String,
    /// What a person should hear though tries go on.
    pub(super) hint: Hint,
}

/// What a failure that is tried again most likely is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// The network.
    Unreachable,
    /// The hub, which has other things to do or no room.
    Later,
    /// This.
    Likely(HaltReason),
}

impl Hint {
    /// The words.
    pub(super) fn message(self) -> Label {
        match self {
            Self::Unreachable => unreachable(),
            Self::Later => come_later(),
            Self::Likely(reason) => reason.message(),
        }
    }

    const fn of_code(code: CloseCode) -> Self {
        match code {
            CloseCode::ShuttingDown | CloseCode::Busy | CloseCode::TooManyConnections => Self::Later,
            CloseCode::NotEnrolled
            | CloseCode::Revoked
            | CloseCode::DeviceRefused
            | CloseCode::IncompatibleVersion
            | CloseCode::ProtocolViolation
            | CloseCode::OverLimit
            | CloseCode::Done
            | CloseCode::TimedOut
            | CloseCode::Internal => Self::Unreachable,
        }
    }
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
        Self { over, detail: Detail { text: chain(error), hint: Hint::Unreachable }, code }
    }

    /// The network or the other side did not do in time.
    pub(super) fn late(what: &str) -> Self {
        let detail = Detail { text: what.to_owned(), hint: Hint::Unreachable };
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
            trouble.detail.hint = Hint::Likely(HaltReason::WrongOrganisation);
        } else if let ConnectError::Rejected { code } = error {
            trouble.detail.hint = Hint::of_code(*code);
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
        let mut trouble = Self::new(over, error, error.close_code());
        if let LinkError::Closed { code: Some(code) } = error {
            trouble.detail.hint = Hint::of_code(*code);
        }
        trouble
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
    fn busy_hub_is_told_from_one_that_cannot_be_reached() {
        let trouble = Trouble::of_link(&LinkError::Closed { code: Some(CloseCode::Busy) }, Duration::ZERO);
        assert_eq!((trouble.over, trouble.detail.hint), (BROKEN, Hint::Later));
        assert!(Hint::Later.message().en.contains("no room"));
        let trouble = Trouble::of_link(&LinkError::TimedOut, Duration::ZERO);
        assert_eq!(trouble.detail.hint, Hint::Unreachable);
    }

    #[test]
    fn stranger_at_the_address_is_tried_again_and_shown() {
        let trouble = Trouble::of_connect(&ConnectError::WrongOrganisation, Duration::ZERO);
        assert_eq!(trouble.over, BROKEN);
        assert_eq!(trouble.detail.hint, Hint::Likely(HaltReason::WrongOrganisation));
    }
}
