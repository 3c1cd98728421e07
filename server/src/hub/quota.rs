//! What each device has used up: sessions in the present minute, packs and their bytes in the present day.
//!
//! Counted in memory by the hub's clock: a hub that was started again counts from zero. Whoever is over is sent away for a
//! while and never refused for good.
//!
//! # Limits
//!
//! The `per_device` limits of [`HubLimits`]; one row for each device with a certificate that came.

use std::collections::BTreeMap;

use qianmo_protocol::ids::DeviceId;
use qianmo_protocol::time::UnixMillis;

use super::HubLimits;

/// One minute.
const MINUTE_MS: i64 = 60_000;
/// One day.
const DAY_MS: i64 = 86_400_000;

/// What is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spent {
    /// The sessions of this minute.
    Minute,
    /// The packs or bytes of this day.
    Day,
}

#[derive(Debug, Clone, Copy, Default)]
struct Used {
    minute: i64,
    sessions: u32,
    day: i64,
    packs: u32,
    bytes: u64,
}

/// What every device has used.
#[derive(Debug, Default)]
pub(super) struct Quotas(BTreeMap<DeviceId, Used>);

impl Quotas {
    /// Counts a session; says what its device has used up, if anything.
    pub(super) fn session(&mut self, now: UnixMillis, device: DeviceId, limits: &HubLimits) -> Option<Spent> {
        let used = self.at(now, device);
        used.sessions = used.sessions.saturating_add(1);
        if used.sessions > limits.sessions_per_device_per_minute_max {
            return Some(Spent::Minute);
        }
        used.is_day_over(limits).then_some(Spent::Day)
    }

    /// Counts a pack of so many bytes before compression: what it costs follows from them, however small it travels.
    pub(super) fn pack(&mut self, now: UnixMillis, device: DeviceId, bytes: u32, limits: &HubLimits) -> Option<Spent> {
        let used = self.at(now, device);
        used.packs = used.packs.saturating_add(1);
        used.bytes = used.bytes.saturating_add(u64::from(bytes));
        used.is_day_over(limits).then_some(Spent::Day)
    }

    fn at(&mut self, now: UnixMillis, device: DeviceId) -> &mut Used {
        let (minute, day) = (now.0.div_euclid(MINUTE_MS), now.0.div_euclid(DAY_MS));
        let used = self.0.entry(device).or_default();
        if used.minute != minute {
            (used.minute, used.sessions) = (minute, 0);
        }
        if used.day != day {
            (used.day, used.packs, used.bytes) = (day, 0, 0);
        }
        used
    }
}

impl Used {
    const fn is_day_over(&self, limits: &HubLimits) -> bool {
        self.packs > limits.packs_per_device_per_day_max || self.bytes > limits.bytes_per_device_per_day_max
    }
}
