//! Instants and months, as numbers that cannot be mixed up.
//!
//! Nothing here reads a clock. A device's clock is advisory: it never decides an order and never blocks sync (R13).

use core::fmt;

/// Milliseconds since 1970-01-01T00:00:00Z, as some clock had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// Whole seconds, rounded down.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    /// The absolute distance in whole days, rounded down.
    #[must_use]
    pub const fn days_from(self, other: Self) -> u64 {
        self.0.abs_diff(other.0) / 86_400_000
    }

    /// The calendar month in Asia/Shanghai (UTC+8 all year), the zone of every station; `None` outside 2000–2199.
    #[must_use]
    pub fn month_in_shanghai(self) -> Option<Month> {
        let days = self.0.checked_add(8 * 3_600_000)?.div_euclid(86_400_000);
        let (year, month) = civil_year_month(days);
        Month::new(u16::try_from(year).ok()?, month)
    }
}

/// Year and month (1–12) of a day number since 1970-01-01 in the proleptic Gregorian calendar.
///
/// Howard Hinnant's `civil_from_days`, with eras of 400 years starting on 1 March.
fn civil_year_month(days: i64) -> (i64, u8) {
    let shifted = days.saturating_add(719_468);
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, u8::try_from(month).unwrap_or(1))
}

/// A calendar month from 2000-01 to 2199-12.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Month(u16);

impl Month {
    const FIRST_YEAR: u16 = 2000;
    const YEARS: u16 = 200;

    /// A month by year and number (1–12).
    #[must_use]
    pub const fn new(year: u16, month: u8) -> Option<Self> {
        if year < Self::FIRST_YEAR || year >= Self::FIRST_YEAR + Self::YEARS || month < 1 || month > 12 {
            return None;
        }
        Some(Self((year - Self::FIRST_YEAR) * 12 + (month as u16 - 1)))
    }

    /// Months since 2000-01: the number on the wire.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// From the number on the wire.
    #[must_use]
    pub const fn from_number(number: u16) -> Option<Self> {
        if number < Self::YEARS * 12 { Some(Self(number)) } else { None }
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> u16 {
        Self::FIRST_YEAR + self.0 / 12
    }

    /// The month of the year, 1–12.
    #[must_use]
    pub const fn month(self) -> u16 {
        self.0 % 12 + 1
    }

    /// This month moved by some months; clamped to the range of months there are.
    #[must_use]
    pub fn plus(self, months: i32) -> Self {
        let moved = i32::from(self.0).saturating_add(months).clamp(0, i32::from(Self::YEARS * 12 - 1));
        Self(u16::try_from(moved).unwrap_or(0))
    }

    /// From `YYYY-MM`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (year, month) = text.split_once('-')?;
        if year.len() != 4 || month.len() != 2 {
            return None;
        }
        Self::new(year.parse().ok()?, month.parse().ok()?)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}", self.year(), self.month())
    }
}

impl fmt::Debug for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn month_in_shanghai_changes_at_local_midnight() {
        // 2025-06-30T15:59:59Z is 23:59:59 in Shanghai; one second later it is July.
        let before = UnixMillis(1_751_299_199_000);
        assert_eq!(before.month_in_shanghai().unwrap().to_string(), "2025-06");
        assert_eq!(UnixMillis(before.0 + 1_000).month_in_shanghai().unwrap().to_string(), "2025-07");
        assert_eq!(UnixMillis(0).month_in_shanghai(), None);
        assert_eq!(UnixMillis(i64::MAX).month_in_shanghai(), None);
    }

    #[test]
    fn month_reads_back_from_text_and_number() {
        for number in 0..2_400 {
            let month = Month::from_number(number).unwrap();
            assert_eq!(Month::parse(&month.to_string()), Some(month));
        }
        assert_eq!(Month::from_number(2_400), None);
        assert_eq!(Month::parse("2025-13"), None);
        assert_eq!(Month::parse("2025-6"), None);
    }

    #[test]
    fn leap_day_belongs_to_february() {
        // 2024-02-29T12:00:00Z
        assert_eq!(UnixMillis(1_709_208_000_000).month_in_shanghai().unwrap().to_string(), "2024-02");
    }
}
