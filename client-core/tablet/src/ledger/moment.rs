//! Dates and times of day as people write them in ledgers.

use qianmo_forms::Date;

use super::number::chinese;

/// A day of any year from 1 to 9999, in days since 1970-01-01. A ledger's typing slip can name a year that no form keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(i64);

impl Day {
    fn new(year: i64, month: i64, day: i64) -> Option<Self> {
        if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        // Howard Hinnant's `days_from_civil`: eras of 400 years that start on 1 March.
        let year = year - i64::from(month <= 2);
        let era = year.div_euclid(400);
        let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
        let year_of_era = year.rem_euclid(400);
        Some(Self(era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468))
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub const fn number(self) -> i64 {
        self.0
    }

    /// The date, if it is one that forms keep.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        Date::from_days_since_1970(self.0)
    }
}

const fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1899-12-30, where Excel counts from, to 1970-01-01.
const EXCEL_DAYS: i64 = 25_569;

/// A date, and whether it was written as `YYYY-MM-DD`.
pub(super) fn date(cell: &str, ledger_year: u16) -> Option<(Day, bool)> {
    let text = without_time(without_weekday(cell));
    let day = by_parts(text, ledger_year).or_else(|| serial_or_compact(text)).or_else(|| in_chinese(text))?;
    Some((day, is_canonical(cell)))
}

fn is_canonical(cell: &str) -> bool {
    let bytes = cell.as_bytes();
    bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| if matches!(at, 4 | 7) { *byte == b'-' } else { byte.is_ascii_digit() })
}

/// Without one weekday at the end: ` 星期三`, `周三`, `(周三)`.
fn without_weekday(text: &str) -> &str {
    let (inner, in_brackets) = text.strip_suffix(')').map_or((text, false), |inner| (inner, true));
    let without_day = inner.strip_suffix(['一', '二', '三', '四', '五', '六', '日', '天']);
    let rest = without_day.and_then(|rest| rest.strip_suffix("星期").or_else(|| rest.strip_suffix('周')));
    let rest = match (rest, in_brackets) {
        (Some(rest), true) => rest.strip_suffix('('),
        (rest, _) => rest,
    };
    rest.map_or(text, str::trim_end)
}

/// Without a time at the end: `[ T]H:MM[:SS]`.
fn without_time(text: &str) -> &str {
    let Some(at) = text.rfind([' ', 'T']) else { return text };
    let (Some(before), Some(time)) = (text.get(..at), text.get(at + 1..)) else { return text };
    let mut parts = time.split(':');
    let is_number = |part: Option<&str>, lengths: core::ops::RangeInclusive<usize>| {
        part.is_some_and(|part| lengths.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let is_time = is_number(parts.next(), 1..=2) && is_number(parts.next(), 2..=2);
    let seconds = parts.next();
    let is_time = is_time && (seconds.is_none() || is_number(seconds, 2..=2)) && parts.next().is_none();
    if is_time { before.trim_end() } else { text }
}

/// The numbers of a text and what stands after each; `None` if it begins with something else.
fn parts(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, after) = rest.split_at_checked(digits)?;
        let length = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (between, next) = after.split_at_checked(length)?;
        if number.is_empty() || found.len() == 3 {
            return None;
        }
        found.push((number, between));
        rest = next;
    }
    Some(found)
}

fn by_parts(text: &str, ledger_year: u16) -> Option<Day> {
    let parts = parts(text)?;
    let number = |digits: &str| digits.parse::<i64>().ok();
    let short = |digits: &str| if digits.len() <= 2 { number(digits) } else { None };
    let separates = |mark: &str, word: &str| matches!(mark, "-" | "/" | ".") || mark == word;
    let ends = |mark: &str| matches!(mark, "" | "日" | "号");
    match parts.as_slice() {
        [(month, "/"), (day, "/"), (year, "")] if year.len() == 4 => {
            Day::new(number(year)?, short(month)?, short(day)?)
        }
        [(year, a), (month, b), (day, end)] if separates(a, "年") && separates(b, "月") && ends(end) => {
            let year = match year.len() {
                4 => number(year)?,
                2 => 2_000 + number(year)?,
                _ => return None,
            };
            Day::new(year, short(month)?, short(day)?)
        }
        [(month, "月"), (day, end)] if ends(end) => Day::new(i64::from(ledger_year), short(month)?, short(day)?),
        [(month, "."), (day, "")] => Day::new(i64::from(ledger_year), short(month)?, short(day)?),
        _ => None,
    }
}

/// `YYYYMMDD`, or a serial day of Excel.
fn serial_or_compact(text: &str) -> Option<Day> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    match text.len() {
        8 => Day::new(number / 10_000, number / 100 % 100, number % 100),
        5 if (40_000..=60_000).contains(&number) => Some(Day(number - EXCEL_DAYS)),
        _ => None,
    }
}

/// `二〇二五年三月十五日`.
fn in_chinese(text: &str) -> Option<Day> {
    let (year, rest) = text.split_once('年')?;
    let (month, day) = rest.split_once('月')?;
    let day = day.strip_suffix(['日', '号']).unwrap_or(day);
    if year.chars().count() != 4 {
        return None;
    }
    let mut number = 0;
    for c in year.chars() {
        let digit = if matches!(c, '〇' | '零' | '○') { 0 } else { plain_numeral(c.encode_utf8(&mut [0; 4]), 9)? };
        number = number * 10 + digit;
    }
    Day::new(number, plain_numeral(month, 12)?, plain_numeral(day, 31)?)
}

/// 一 to 三十一, without 两.
fn plain_numeral(text: &str, max: i64) -> Option<i64> {
    let number = chinese(text).filter(|_| !text.contains('两'))?;
    (1..=max).contains(&number).then_some(number)
}

/// A time of day in minutes, and whether it was written as `HH:MM`.
pub(super) fn time(cell: &str) -> Option<(u16, bool)> {
    if let Some(minutes) = day_fraction(cell) {
        return (minutes < 24 * 60).then_some((minutes, false));
    }
    let (is_afternoon, text) = match (cell.strip_prefix("下午"), cell.strip_prefix("上午")) {
        (Some(rest), _) => (true, rest.trim_start()),
        (None, Some(rest)) => (false, rest.trim_start()),
        (None, None) => (false, cell),
    };
    let is_canonical = text.len() == cell.len() && cell.len() == 5 && cell.get(2..3) == Some(":");
    let (hour, minute) = clock(text)?;
    let hour = if is_afternoon && hour < 12 { hour + 12 } else { hour };
    (hour <= 23 && minute <= 59).then_some((hour * 60 + minute, is_canonical))
}

fn clock(text: &str) -> Option<(u16, u16)> {
    let number = |digits: &str, lengths: core::ops::RangeInclusive<usize>| {
        let fits = lengths.contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { digits.parse::<u16>().ok() } else { None }
    };
    if let Some((hour, rest)) = text.split_once(':') {
        let (minute, second) = rest.split_once(':').map_or((rest, None), |(minute, second)| (minute, Some(second)));
        if let Some(second) = second {
            number(second, 2..=2)?;
        }
        return Some((number(hour, 1..=2)?, number(minute, 2..=2)?));
    }
    let (hour, rest) = text.split_once(['点', '时'])?;
    let minute = match rest {
        "" | "整" => 0,
        "半" => 30,
        rest => number(rest.strip_suffix('分').unwrap_or(rest), 1..=2)?,
    };
    Some((number(hour, 1..=2)?, minute))
}

/// Minutes of a fraction of a day (`0.375`), rounded half to even.
fn day_fraction(cell: &str) -> Option<u16> {
    const DIGITS_MAX: usize = 15;
    let fraction = cell.strip_prefix("0.").filter(|digits| !digits.is_empty())?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let digits = fraction.get(..DIGITS_MAX.min(fraction.len()))?;
    let unit = 10_u64.checked_pow(u32::try_from(digits.len()).ok()?)?;
    let product = digits.parse::<u64>().ok()?.checked_mul(24 * 60)?;
    let (whole, rest) = (product / unit, product % unit);
    let rounds_up = rest * 2 > unit || (rest * 2 == unit && whole % 2 == 1);
    u16::try_from(whole + u64::from(rounds_up)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(cell: &str) -> Option<(String, bool)> {
        date(cell, 2025).map(|(day, is_canonical)| (day.date().unwrap().to_string(), is_canonical))
    }

    #[test]
    fn dates_are_read_in_every_form_of_the_rules() {
        assert_eq!(read("2025-03-15"), Some(("2025-03-15".to_owned(), true)));
        for cell in [
            "2025-3-15",
            "2025/3/15",
            "2025.3.15",
            "2025年3月15日",
            "2025年3月15号",
            "2025年3月15",
            "20250315",
            "25-3-15",
            "25.3.15",
            "3/15/2025",
            "3月15日",
            "3.15",
            "45731",
            "二〇二五年三月十五日",
            "二零二五年三月十五日",
            "二○二五年三月十五号",
            "2025-03-15 00:00:00",
            "2025/3/15 9:30",
            "2025-03-15T09:30",
            "2025-03-15 星期六",
            "2025/3/15(周六)",
            "2025/3/15周六",
            "2025年3月15日星期六",
        ] {
            assert_eq!(read(cell), Some(("2025-03-15".to_owned(), false)), "{cell}");
        }
        assert_eq!(read("二〇二五年十二月三十一日").unwrap().0, "2025-12-31");
        for cell in [
            "",
            "昨天",
            "2025/13/5",
            "2025年4月31日",
            "2025-02-29",
            "99999",
            "39999",
            "60001",
            "2025-3",
            "0000-01-01",
            "2025--3-15",
            "2025-3-15-1",
            "周三",
            "星期三",
            "12:30",
            "二〇二五年十三月一日",
            "二五年三月一日",
            "205-3-1",
            "3/15",
        ] {
            assert_eq!(read(cell), None, "{cell}");
        }
        assert_eq!(date("0205-03-15", 2025).unwrap().0.date(), None, "a slip of the year is a date all the same");
        assert_eq!(read("40000").unwrap().0, "2009-07-06");
    }

    #[test]
    fn times_are_read_in_every_form_of_the_rules() {
        assert_eq!(time("09:30"), Some((570, true)));
        for (cell, minutes) in [
            ("9:30", 570),
            ("09:30:00", 570),
            ("9点30分", 570),
            ("9时30", 570),
            ("9点半", 570),
            ("9点", 540),
            ("9点整", 540),
            ("上午9:30", 570),
            ("下午1:45", 825),
            ("下午12:10", 730),
            ("0.375", 540),
            ("0.413194", 595),
            ("0.003125", 4),
        ] {
            assert_eq!(time(cell), Some((minutes, false)), "{cell}");
        }
        for cell in ["", "9:75", "24:00", "上午", "下地时", "8.30分?", "9:5", "0.9999", "1.5", "0.", "下午13点60分"]
        {
            assert_eq!(time(cell), None, "{cell}");
        }
    }

    proptest! {
        #[test]
        fn prop_cells_never_panic(cell in "\\PC{0,40}") {
            prop_assert_eq!(date(&cell, 2025), date(&cell, 2025));
            prop_assert!(time(&cell).is_none_or(|(minutes, _)| minutes < 1_440));
        }

        #[test]
        fn prop_day_numbers_are_those_of_the_forms(days in -25_000_i64..80_000) {
            let date = Date::from_days_since_1970(days).unwrap();
            prop_assert_eq!(super::date(&date.to_string(), 2025), Some((Day(days), true)));
        }
    }
}
