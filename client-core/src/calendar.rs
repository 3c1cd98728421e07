//! What a device believes of time: its clock, held against the hub's beacon.
//!
//! A tablet's clock may have died. Nothing is refused for it and no order depends on it; only the month of a new record's
//! logbook and rules about "today" do, so only those ask how far the clock may be believed (A7).

use std::sync::Arc;

use qianmo_forms::Date;
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::limits::HOME_CLOCK_DAYS_MAX;
use qianmo_protocol::time::{Month, UnixMillis};

/// The device's clock.
pub(crate) type Clock = Arc<dyn Fn() -> UnixMillis + Send + Sync>;

const DAY_MS: i64 = 86_400_000;
const SHANGHAI_MS: i64 = 8 * 3_600_000;
/// The earliest a clock that was ever set can show: before this, there was no Qianmo.
const EARLIEST_MS: i64 = 1_704_067_200_000;

/// The system's clock.
pub(crate) fn system_clock() -> Clock {
    Arc::new(|| {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    })
}

/// The time as far as it is believed, for choosing a month.
///
/// With a beacon: the clock, unless it is too far from it. A clock far behind is one that died, so the beacon's time is
/// the best guess; one far ahead is taken back to the farthest that is believed. Without a beacon: the clock.
pub(crate) fn believed(now: UnixMillis, beacon: Option<UnixMillis>) -> UnixMillis {
    let Some(beacon) = beacon.filter(|_| !injected(Bug::ClockTrusted)) else { return now };
    let most = i64::from(HOME_CLOCK_DAYS_MAX) * DAY_MS;
    if now.0 < beacon.0.saturating_sub(most) { beacon } else { UnixMillis(now.0.min(beacon.0.saturating_add(most))) }
}

/// The month of records written now. `None` when even the believed time is outside the months there are.
pub(crate) fn month(now: UnixMillis, beacon: Option<UnixMillis>) -> Option<Month> {
    believed(now, beacon).month_in_shanghai()
}

/// Today in Asia/Shanghai, for rules about today; `None` when the clock is not to be trusted.
pub(crate) fn today(now: UnixMillis, beacon: Option<UnixMillis>) -> Option<Date> {
    let is_trusted = believed(now, beacon) == now && now.0 >= EARLIEST_MS;
    let days = now.0.checked_add(SHANGHAI_MS)?.div_euclid(DAY_MS);
    Date::from_days_since_1970(days).filter(|_| is_trusted)
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2025-06-15T00:00:00Z
    const JUNE: UnixMillis = UnixMillis(1_749_945_600_000);

    fn days(days: i64) -> UnixMillis {
        UnixMillis(JUNE.0 + days * DAY_MS)
    }

    fn shown(month: Option<Month>) -> String {
        month.unwrap().to_string()
    }

    #[test]
    fn clock_near_the_beacon_is_believed() {
        assert_eq!(shown(month(days(30), Some(JUNE))), "2025-07");
        assert_eq!(shown(month(days(-30), Some(JUNE))), "2025-05");
        assert_eq!(today(days(30), Some(JUNE)), Date::new(2025, 7, 15));
    }

    #[test]
    fn dead_clock_files_under_the_beacons_month_and_a_wild_one_under_the_last_believed() {
        assert_eq!(shown(month(UnixMillis(0), Some(JUNE))), "2025-06");
        assert_eq!(shown(month(days(75 * 365), Some(JUNE))), "2025-07");
        assert_eq!(today(UnixMillis(0), Some(JUNE)), None);
        assert_eq!(today(days(400), Some(JUNE)), None);
    }

    #[test]
    fn tablet_that_never_met_a_hub_uses_its_own_clock() {
        assert_eq!(shown(month(days(400), None)), "2026-07");
        assert_eq!(month(UnixMillis(0), None), None);
        assert_eq!(today(UnixMillis(0), None), None, "a clock at 1970 was never set");
    }
}
