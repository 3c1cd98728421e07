//! How times are written for people and programs: by the clock of the stations.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// The hours by which every station's clock is ahead of UTC.
const SHANGHAI_HOURS: i8 = 8;

fn zoned(ms: i64) -> Option<jiff::Zoned> {
    let offset = Offset::from_hours(SHANGHAI_HOURS).ok()?;
    Some(Timestamp::from_millisecond(ms).ok()?.to_zoned(TimeZone::fixed(offset)))
}

/// RFC 3339 with the stations' offset; `None` for a time no calendar has.
pub(crate) fn rfc3339(ms: i64) -> Option<String> {
    Some(zoned(ms)?.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// The day, such as `2025-06-30`.
pub(crate) fn day(ms: i64) -> Option<String> {
    Some(zoned(ms)?.date().to_string())
}

/// To the minute, for a page.
pub(crate) fn minute(ms: i64) -> String {
    zoned(ms).map_or_else(|| "—".to_owned(), |time| time.strftime("%Y-%m-%d %H:%M").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_stations() {
        assert_eq!(rfc3339(1_751_299_199_000).as_deref(), Some("2025-06-30T23:59:59+08:00"));
        assert_eq!(minute(1_751_299_199_000), "2025-06-30 23:59");
        assert_eq!(day(1_751_299_199_000).as_deref(), Some("2025-06-30"));
        assert_eq!(rfc3339(i64::MAX), None);
        assert_eq!(minute(i64::MIN), "—");
    }
}
