//! Calendar dates and times of day, as people in the stations write them.
//!
//! A date is a day of the Gregorian calendar in Asia/Shanghai, never an instant: a visit at 23:30 belongs to that evening. A time has minutes.
//! Both print in ISO form, so text order is time order.

use core::fmt;

use super::ValueError;

/// A day of the Gregorian calendar from 1900-01-01 to 2199-12-31.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    year: u16,
    month: u8,
    day: u8,
}

impl Date {
    /// The first year there is.
    pub const YEAR_MIN: u16 = 1900;
    /// The last year there is.
    pub const YEAR_MAX: u16 = 2199;

    /// A date, if the calendar has it.
    #[must_use]
    pub const fn new(year: u16, month: u8, day: u8) -> Option<Self> {
        if year < Self::YEAR_MIN || year > Self::YEAR_MAX || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        Some(Self { year, month, day })
    }

    /// The year.
    #[must_use]
    pub const fn year(self) -> u16 {
        self.year
    }

    /// The month, 1–12.
    #[must_use]
    pub const fn month(self) -> u8 {
        self.month
    }

    /// The day of the month, 1–31.
    #[must_use]
    pub const fn day(self) -> u8 {
        self.day
    }

    /// Days since 1970-01-01; negative before.
    #[must_use]
    pub fn days_since_1970(self) -> i64 {
        // Howard Hinnant's `days_from_civil`: eras of 400 years that start on 1 March.
        let month = i64::from(self.month);
        let year = i64::from(self.year) - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + i64::from(self.day) - 1;
        let year_of_era = year.rem_euclid(400);
        era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
    }

    /// The date of a day number since 1970-01-01, if it is in range.
    #[must_use]
    pub fn from_days_since_1970(days: i64) -> Option<Self> {
        let shifted = days.checked_add(719_468)?;
        let era = shifted.div_euclid(146_097);
        let day_of_era = shifted.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
        let year = year_of_era + era.checked_mul(400)? + i64::from(month <= 2);
        Self::new(u16::try_from(year).ok()?, u8::try_from(month).ok()?, u8::try_from(day).ok()?)
    }

    /// Reads `2025-6-18`, `2025/6/18`, `2025.6.18`, `2025年6月18日` (or `号`) and `20250618`; the text is half-width and trimmed already.
    pub(super) fn parse(text: &str) -> Result<Self, ValueError> {
        let parts = match text.split_once('年') {
            Some((year, rest)) => {
                let rest = rest.strip_suffix(['日', '号']).unwrap_or(rest);
                rest.split_once('月').map(|(month, day)| [year, month, day])
            }
            None if text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit()) => {
                let (year, rest) = text.split_at_checked(4).ok_or(ValueError::NotDate)?;
                rest.split_at_checked(2).map(|(month, day)| [year, month, day])
            }
            None => ['-', '/', '.'].into_iter().find_map(|separator| {
                let (year, rest) = text.split_once(separator)?;
                let (month, day) = rest.split_once(separator)?;
                Some([year, month, day])
            }),
        };
        let [year, month, day] = parts.ok_or(ValueError::NotDate)?.map(str::trim);
        if year.len() != 4 {
            return Err(ValueError::NotDate);
        }
        let year = small_number(year).ok_or(ValueError::NotDate)?;
        let month = small_number(month).and_then(|n| u8::try_from(n).ok()).ok_or(ValueError::NotDate)?;
        let day = small_number(day).and_then(|n| u8::try_from(n).ok()).ok_or(ValueError::NotDate)?;
        Self::new(year, month, day).ok_or(ValueError::NoSuchDay)
    }

    /// Reads exactly `YYYY-MM-DD`.
    #[must_use]
    pub fn from_iso(text: &str) -> Option<Self> {
        let date = Self::parse(text).ok()?;
        (date.to_string() == text).then_some(date)
    }
}

const fn days_in_month(year: u16, month: u8) -> u8 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if (year.is_multiple_of(4) && !year.is_multiple_of(100)) || year.is_multiple_of(400) => 29,
        2 => 28,
        _ => 0,
    }
}

/// One to four ASCII digits.
fn small_number(text: &str) -> Option<u16> {
    if text.is_empty() || text.len() > 4 || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A time of day, in minutes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time {
    hour: u8,
    minute: u8,
}

impl Time {
    /// A time, if the day has it.
    #[must_use]
    pub const fn new(hour: u8, minute: u8) -> Option<Self> {
        if hour > 23 || minute > 59 { None } else { Some(Self { hour, minute }) }
    }

    /// The hour, 0–23.
    #[must_use]
    pub const fn hour(self) -> u8 {
        self.hour
    }

    /// The minute, 0–59.
    #[must_use]
    pub const fn minute(self) -> u8 {
        self.minute
    }

    /// Reads `9:30`, `9:30:15` (seconds are not kept), `9点30分`, `9时30分`, `9点半`, `9点`, `9点整`, each also after `上午` or `下午`; the text is
    /// half-width and trimmed already.
    pub(super) fn parse(text: &str) -> Result<Self, ValueError> {
        let (afternoon, clock) = match (text.strip_prefix("上午"), text.strip_prefix("下午")) {
            (_, Some(rest)) => (true, rest.trim()),
            (Some(rest), None) => (false, rest.trim()),
            (None, None) => (false, text),
        };
        let (hour, minute) = Self::clock(clock).ok_or(ValueError::NotTime)?;
        let hour = if afternoon && hour < 12 { hour + 12 } else { hour };
        Self::new(hour, minute).ok_or(ValueError::NotTime)
    }

    fn clock(text: &str) -> Option<(u8, u8)> {
        let number =
            |part: &str| if part.len() <= 2 { small_number(part).and_then(|n| u8::try_from(n).ok()) } else { None };
        if let Some((hour, rest)) = text.split_once(':') {
            let minute = match rest.split_once(':') {
                Some((minute, second)) => {
                    number(second).filter(|second| *second < 60)?;
                    minute
                }
                None => rest,
            };
            return Some((number(hour)?, if minute.len() == 2 { number(minute)? } else { return None }));
        }
        let (hour, rest) = text.split_once(['点', '时'])?;
        let minute = match rest {
            "" | "整" => 0,
            "半" => 30,
            minute => number(minute.strip_suffix('分').unwrap_or(minute))?,
        };
        Some((number(hour)?, minute))
    }

    /// Reads exactly `HH:MM`.
    #[must_use]
    pub fn from_iso(text: &str) -> Option<Self> {
        let time = Self::parse(text).ok()?;
        (time.to_string() == text).then_some(time)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_dates_are_read() {
        for text in [
            "2025-06-18",
            "2025-6-18",
            "2025/6/18",
            "2025.06.18",
            "2025年6月18日",
            "2025年06月18号",
            "2025年6月18",
            "20250618",
        ] {
            assert_eq!(Date::parse(text), Ok(Date::new(2025, 6, 18).unwrap()), "{text}");
        }
    }

    /// `2025-6-8` is eight characters long like `20250608`, and was once cut up like it.
    #[test]
    fn short_dates_of_eight_characters_are_read_by_their_separators() {
        for text in ["2025-6-8", "2025/6/8", "2025.6.8", "20250608"] {
            assert_eq!(Date::parse(text), Ok(Date::new(2025, 6, 8).unwrap()), "{text}");
        }
    }

    #[test]
    fn impossible_dates_and_other_texts_are_told_apart() {
        for text in ["2025-02-29", "2025-13-01", "2025-00-10", "2025-04-31", "1899-12-31", "2200-01-01"] {
            assert_eq!(Date::parse(text), Err(ValueError::NoSuchDay), "{text}");
        }
        for text in [
            "",
            "18/6/2025",
            "25-6-18",
            "2025-6",
            "2025-6/18",
            "2025--6-18",
            "6月18日",
            "2025年6-18",
            "2025061",
            "2025-06-18T08:00",
            "二〇二五年",
        ] {
            assert_eq!(Date::parse(text), Err(ValueError::NotDate), "{text}");
        }
        assert_eq!(Date::parse("2024-02-29"), Ok(Date::new(2024, 2, 29).unwrap()));
        assert_eq!(Date::parse("1900-02-29"), Err(ValueError::NoSuchDay));
    }

    #[test]
    fn written_times_are_read() {
        for (text, iso) in [
            ("09:30", "09:30"),
            ("9:30", "09:30"),
            ("9:30:59", "09:30"),
            ("9点30分", "09:30"),
            ("9时5分", "09:05"),
            ("9点半", "09:30"),
            ("下午3点", "15:00"),
            ("下午 12:10", "12:10"),
            ("上午8点整", "08:00"),
            ("23:59", "23:59"),
        ] {
            assert_eq!(Time::parse(text).unwrap().to_string(), iso, "{text}");
        }
        for text in ["", "24:00", "9:60", "9:5", "930", "9点半钟", "下午", "-1:00", "9:30:60", "9:30:1:2", "9:30:"]
        {
            assert_eq!(Time::parse(text), Err(ValueError::NotTime), "{text}");
        }
    }

    #[test]
    fn known_days_have_their_numbers() {
        assert_eq!(Date::new(1970, 1, 1).unwrap().days_since_1970(), 0);
        assert_eq!(Date::new(2000, 3, 1).unwrap().days_since_1970(), 11_017);
        assert_eq!(Date::new(1900, 1, 1).unwrap().days_since_1970(), -25_567);
    }

    #[test]
    fn every_day_of_the_range_counts_up_by_one_and_reads_back() {
        let first = Date::new(Date::YEAR_MIN, 1, 1).unwrap().days_since_1970();
        let last = Date::new(Date::YEAR_MAX, 12, 31).unwrap().days_since_1970();
        for day in first..=last {
            let date = Date::from_days_since_1970(day).unwrap();
            assert_eq!(date.days_since_1970(), day);
            assert_eq!(Date::from_iso(&date.to_string()), Some(date));
        }
        assert_eq!(Date::from_days_since_1970(first - 1), None);
        assert_eq!(Date::from_days_since_1970(last + 1), None);
        assert_eq!(Date::from_days_since_1970(i64::MAX), None);
        assert_eq!(Date::from_days_since_1970(i64::MIN), None);
    }

    proptest! {
        #[test]
        fn prop_reading_dates_and_times_never_panics(text in "[0-9年月日号点时分半上下午:/. -]{0,16}|\\PC*") {
            if let Ok(date) = Date::parse(&text) {
                prop_assert_eq!(Date::from_iso(&date.to_string()), Some(date));
            }
            if let Ok(time) = Time::parse(&text) {
                prop_assert_eq!(Time::from_iso(&time.to_string()), Some(time));
            }
        }
    }
}
