//! Instants and days for people: in Asia/Shanghai, the zone of every station.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

/// UTC+8 all year.
const SHANGHAI: Offset = Offset::constant(8);

/// An instant, to the minute.
pub(crate) fn minute(unix_ms: i64) -> String {
    Timestamp::from_millisecond(unix_ms).map_or_else(
        |_| "?".to_owned(),
        |instant| instant.to_zoned(TimeZone::fixed(SHANGHAI)).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// The present day, `YYYY-MM-DD`.
pub(crate) fn today() -> String {
    Timestamp::now().to_zoned(TimeZone::fixed(SHANGHAI)).strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_the_zone_of_the_stations() {
        assert_eq!(minute(1_750_262_400_000), "2025-06-19 00:00");
        assert_eq!(minute(i64::MAX), "?");
        assert_eq!(today().len(), 10);
    }
}
