//! Times as people read them: in Asia/Shanghai, and honest about a clock that is plainly wrong.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use qianmo_forms::Date;

/// Before this, the clock was never set: the program is younger. 2025-01-01 in Asia/Shanghai.
pub(crate) const TRUSTED_FROM_MS: i64 = 1_735_660_800_000;
/// After this, the clock was set to nonsense. 2090-01-01.
pub(crate) const TRUSTED_UNTIL_MS: i64 = 3_786_883_200_000;

/// Whether a clock may be right.
pub(crate) fn is_plausible(now_ms: i64) -> bool {
    (TRUSTED_FROM_MS..TRUSTED_UNTIL_MS).contains(&now_ms)
}

fn shanghai() -> TimeZone {
    TimeZone::get("Asia/Shanghai").unwrap_or_else(|_missing| TimeZone::fixed(Offset::constant(8)))
}

/// `2025-06-18 09:30`; the number itself if there is no such time.
pub(crate) fn show(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(
        |_beyond| format!("{ms} ms"),
        |time| time.to_zoned(shanghai()).strftime("%Y-%m-%d %H:%M").to_string(),
    )
}

/// The calendar date, unless the clock cannot be right.
pub(crate) fn today(now_ms: i64) -> Option<Date> {
    if !is_plausible(now_ms) {
        return None;
    }
    let date = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(shanghai()).date();
    Date::new(u16::try_from(date.year()).ok()?, u8::try_from(date.month()).ok()?, u8::try_from(date.day()).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_in_shanghai() {
        assert_eq!(show(1_750_210_200_000), "2025-06-18 09:30");
        assert_eq!(show(0), "1970-01-01 08:00");
        assert_eq!(show(i64::MAX), format!("{} ms", i64::MAX));
    }

    #[test]
    fn clock_of_1970_or_2099_gives_no_date() {
        assert_eq!(today(0), None);
        assert_eq!(today(4_070_908_800_000), None);
        // Half past midnight in Shanghai is the evening before in London.
        assert_eq!(today(1_750_177_800_000), Date::new(2025, 6, 18));
    }
}
