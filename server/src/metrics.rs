//! What an operator watches: counts as Prometheus text. Every name is a const here and never changes its meaning.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use crate::hub::HubCounters;
use crate::listener::{Counts, Listener};

/// Commits that are durable.
pub const COMMIT: &str = "qianmo_hub_commit";
/// The last commit that is in a backup.
pub const WATERMARK: &str = "qianmo_hub_backup_watermark";
/// Sessions now.
pub const SESSIONS: &str = "qianmo_hub_sessions";
/// Packs that wait for the gate.
pub const UNJUDGED: &str = "qianmo_hub_packs_unjudged";
/// Bytes of the pack log.
pub const LOG_BYTES: &str = "qianmo_hub_log_bytes";
/// Free bytes on its disk.
pub const FREE_BYTES: &str = "qianmo_hub_disk_free_bytes";
/// Batches of commands.
pub const BATCHES: &str = "qianmo_hub_batches_total";
/// Group commits.
pub const GROUP_COMMITS: &str = "qianmo_hub_group_commits_total";
/// Packs judged.
pub const PACKS_JUDGED: &str = "qianmo_hub_packs_judged_total";
/// Quarantines published.
pub const QUARANTINES: &str = "qianmo_hub_quarantines_total";
/// Sessions that broke the protocol.
pub const MISBEHAVED: &str = "qianmo_hub_misbehaved_total";
/// Sessions whose states differed under equal vectors.
pub const STATES_DIFFERED: &str = "qianmo_hub_states_differed_total";
/// Connections now.
pub const CONNECTIONS: &str = "qianmo_quic_connections";
/// Handshakes under way.
pub const HALF_OPEN: &str = "qianmo_quic_half_open";
/// Attempts answered with a Retry.
pub const RETRIED: &str = "qianmo_quic_retried_total";
/// Attempts refused.
pub const REFUSED: &str = "qianmo_quic_refused_total";
/// Handshakes that failed.
pub const HANDSHAKES_FAILED: &str = "qianmo_quic_handshakes_failed_total";
/// Enrolment requests answered.
pub const ENROLMENTS: &str = "qianmo_enrolments_total";

/// The listener, until it is stopped.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    listener: Arc<Mutex<Option<Listener>>>,
}

/// What the hub counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HubFigures {
    /// The last durable commit.
    pub commit: u64,
    /// The last commit that is in a backup.
    pub watermark: u64,
    /// Sessions now.
    pub sessions: usize,
    /// Packs that wait for the gate.
    pub unjudged: usize,
    /// Bytes of the pack log.
    pub log_bytes: u64,
    /// Free bytes, where known.
    pub free_bytes: Option<u64>,
    /// What it did.
    pub counters: HubCounters,
}

impl Metrics {
    /// Holds a listener while it runs.
    #[must_use]
    pub fn new(listener: Listener) -> Self {
        Self { listener: Arc::new(Mutex::new(Some(listener))) }
    }

    /// Gives the listener back, to be stopped.
    #[must_use]
    pub fn take_listener(&self) -> Option<Listener> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What the listener did, while it runs.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        listener.as_ref().map(Listener::counts).unwrap_or_default()
    }

    /// All figures as text.
    #[must_use]
    pub fn render(&self, hub: &HubFigures) -> String {
        let quic = self.counts();
        let wide = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let gauges = [
            (COMMIT, Some(hub.commit)),
            (WATERMARK, Some(hub.watermark)),
            (SESSIONS, Some(wide(hub.sessions))),
            (UNJUDGED, Some(wide(hub.unjudged))),
            (LOG_BYTES, Some(hub.log_bytes)),
            (FREE_BYTES, hub.free_bytes),
            (CONNECTIONS, Some(wide(quic.open))),
            (HALF_OPEN, Some(wide(quic.half_open))),
        ];
        let counters = [
            (BATCHES, hub.counters.batches),
            (GROUP_COMMITS, hub.counters.group_commits),
            (PACKS_JUDGED, hub.counters.packs_judged),
            (QUARANTINES, hub.counters.quarantines),
            (MISBEHAVED, hub.counters.misbehaved),
            (STATES_DIFFERED, hub.counters.states_differed),
            (RETRIED, quic.retried),
            (REFUSED, quic.refused),
            (HANDSHAKES_FAILED, quic.handshakes_failed),
            (ENROLMENTS, quic.enrolments),
        ];
        let mut text = String::new();
        let mut line = |name: &str, kind: &str, value: u64| {
            // Writing to a string cannot fail.
            writeln!(text, "# TYPE {name} {kind}\n{name} {value}").unwrap_or_default();
        };
        for (name, value) in gauges {
            if let Some(value) = value {
                line(name, "gauge", value);
            }
        }
        for (name, value) in counters {
            line(name, "counter", value);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_is_one_typed_line() {
        let hub = HubFigures {
            commit: 7,
            watermark: 5,
            sessions: 2,
            unjudged: 0,
            log_bytes: 100,
            free_bytes: None,
            counters: HubCounters::default(),
        };
        let text = Metrics::default().render(&hub);
        assert!(text.contains("# TYPE qianmo_hub_commit gauge\nqianmo_hub_commit 7\n"));
        assert!(!text.contains(FREE_BYTES));
        let values = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(values, text.lines().filter(|line| line.starts_with("# TYPE ")).count());
    }
}
