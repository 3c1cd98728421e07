//! The numbers with which a connection is closed.
//!
//! They travel as QUIC application error codes and never change. What the peer is told is the number alone; what happened
//! in detail stands in the log of the side that closed.
//!
//! # Invariants
//!
//! 1. A number has one meaning for ever (`every_close_code_keeps_its_number`).
//!
//! # See
//!
//! `docs/wire.md`, "Connections".

use core::fmt;

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    /// The session ended well.
    Done,
    /// The hub is being stopped; another will be there soon.
    ShuttingDown,
    /// The hub has too much to do.
    Busy,
    /// This device has too many connections open.
    TooManyConnections,
    /// Nothing, or too little, came in time.
    TimedOut,
    /// A fault on the closing side.
    Internal,
    /// No certificate of this organisation was shown, or no enrolment is known.
    NotEnrolled,
    /// The device was revoked.
    Revoked,
    /// The device's id is claimed by two keys (A15): both must enrol again.
    DeviceRefused,
    /// Bytes that are no message, or a message out of place.
    ProtocolViolation,
    /// No protocol version in common.
    IncompatibleVersion,
    /// A limit of the protocol was passed.
    OverLimit,
}

impl CloseCode {
    /// Every code, by ascending number.
    pub const ALL: [Self; 12] = [
        Self::Done,
        Self::ShuttingDown,
        Self::Busy,
        Self::TooManyConnections,
        Self::TimedOut,
        Self::Internal,
        Self::NotEnrolled,
        Self::Revoked,
        Self::DeviceRefused,
        Self::ProtocolViolation,
        Self::IncompatibleVersion,
        Self::OverLimit,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::ShuttingDown => 1,
            Self::Busy => 2,
            Self::TooManyConnections => 3,
            Self::TimedOut => 4,
            Self::Internal => 5,
            Self::NotEnrolled => 16,
            Self::Revoked => 17,
            Self::DeviceRefused => 18,
            Self::ProtocolViolation => 32,
            Self::IncompatibleVersion => 33,
            Self::OverLimit => 34,
        }
    }

    /// The code with this number, if this version knows it.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == number)
    }

    /// Whether trying again later, with nothing changed on this side, can help.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        match self {
            Self::Done
            | Self::ShuttingDown
            | Self::Busy
            | Self::TooManyConnections
            | Self::TimedOut
            | Self::Internal => true,
            Self::NotEnrolled
            | Self::Revoked
            | Self::DeviceRefused
            | Self::ProtocolViolation
            | Self::IncompatibleVersion
            | Self::OverLimit => false,
        }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Done => "done",
            Self::ShuttingDown => "shutting down",
            Self::Busy => "busy",
            Self::TooManyConnections => "too many connections of this device",
            Self::TimedOut => "nothing came in time",
            Self::Internal => "internal fault",
            Self::NotEnrolled => "device not enrolled",
            Self::Revoked => "device revoked",
            Self::DeviceRefused => "device id claimed by two keys",
            Self::ProtocolViolation => "protocol violated",
            Self::IncompatibleVersion => "no protocol version in common",
            Self::OverLimit => "a limit was passed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_close_code_keeps_its_number() {
        let numbers: Vec<u32> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 16, 17, 18, 32, 33, 34]);
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::from_number(u64::from(code.number())), Some(code));
        }
        assert_eq!(CloseCode::from_number(6), None);
        assert_eq!(CloseCode::from_number(u64::MAX), None);
    }
}
