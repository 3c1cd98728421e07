//! How slow a peer may be.
//!
//! Whoever sends one byte a second holds a connection and its buffers as well as an honest tablet does. So while a message
//! is incomplete, bytes must come at a least rate; while something waits to be taken, it must be taken at a least rate; and
//! a session that says nothing and does not wait for pushes ends. The rates are far below what a bad mobile network gives.

use std::time::Duration;

use tokio::time::Instant;

/// The least a peer must do. [`Pace::usual`] is what the hub asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Within this time [`Pace::bytes_min`] of an incomplete message must come, or the rest of it.
    pub receive_within: Duration,
    /// Within this time [`Pace::bytes_min`] of what is sent must be taken.
    pub send_within: Duration,
    /// Bytes in that time.
    pub bytes_min: usize,
    /// How long a session that does not wait for pushes may say nothing while nothing is sent to it.
    pub quiet_max: Duration,
    /// Until when the last words of a session must be taken.
    pub last_words_within: Duration,
}

impl Pace {
    /// The usual pace.
    #[must_use]
    pub const fn usual() -> Self {
        Self {
            receive_within: Duration::from_secs(30),
            send_within: Duration::from_secs(60),
            bytes_min: 8 * 1024,
            quiet_max: Duration::from_secs(300),
            last_words_within: Duration::from_secs(120),
        }
    }
}

/// Watches one incomplete message.
#[derive(Debug, Default)]
pub(crate) struct Floor {
    began: Option<Instant>,
    bytes: usize,
}

impl Floor {
    /// Until when more must come, while so many bytes of a message wait for its rest.
    pub(crate) fn deadline(&mut self, now: Instant, pending: usize, pace: &Pace) -> Option<Instant> {
        if pending == 0 {
            *self = Self::default();
            return None;
        }
        Some(*self.began.get_or_insert(now) + pace.receive_within)
    }

    /// Bytes came.
    pub(crate) fn note(&mut self, bytes: usize, pace: &Pace) {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= pace.bytes_min {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadline_moves_only_when_enough_came() {
        let pace = Pace::usual();
        let mut floor = Floor::default();
        let start = Instant::now();
        let later = start + Duration::from_secs(20);
        assert_eq!(floor.deadline(start, 0, &pace), None);
        assert_eq!(floor.deadline(start, 1, &pace), Some(start + pace.receive_within));
        floor.note(pace.bytes_min - 1, &pace);
        assert_eq!(floor.deadline(later, 2, &pace), Some(start + pace.receive_within), "a trickle buys no time");
        floor.note(1, &pace);
        assert_eq!(floor.deadline(later, 2, &pace), Some(later + pace.receive_within));
        assert_eq!(floor.deadline(later, 0, &pace), None, "a whole message ends the watch");
    }
}
