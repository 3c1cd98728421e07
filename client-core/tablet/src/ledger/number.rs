//! Numbers as people write them in ledgers: areas, counts, Chinese numerals.
//!
//! Everything is counted in whole units (hundredths of a mu), so nothing is lost by binary fractions.

use qianmo_forms::Decimal;

/// A number, and how it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read<T> {
    pub(super) value: T,
    /// Words, a range, a thousands separator.
    pub(super) by_text: bool,
    /// Another unit than the usual one.
    pub(super) by_unit: bool,
}

/// Digits before and after the point that still count; more are beyond any limit here.
const WHOLE_DIGITS_MAX: usize = 15;
const FRACTION_DIGITS_MAX: usize = 12;
const SCALE: i128 = 1_000_000_000_000;

/// Units of area with their factor to a mu, in ten-thousandths; longer names first.
const AREA_UNITS: [(&str, i128); 14] = [
    ("平方米", 15),
    ("公顷", 150_000),
    ("hm2", 150_000),
    ("hm²", 150_000),
    ("平米", 15),
    ("万亩", 100_000_000),
    ("分地", 1_000),
    ("ha", 150_000),
    ("m2", 15),
    ("m²", 15),
    ("㎡", 15),
    ("亩", 10_000),
    ("顷", 1_000_000),
    ("分", 1_000),
];
const MU: &str = "亩";

/// An area in hundredths of a mu; `None` if it is none. Negative areas are read as such.
pub(super) fn area(cell: &str) -> Option<Read<i64>> {
    let text: String = cell.chars().filter(|c| !c.is_whitespace()).collect();
    let (text, mut by_text) = without_about(&text);
    let (text, more) = without_more(text);
    by_text |= more;
    if let Some(read) = mu_and_fen(text) {
        return Some(Read { by_text: by_text || read.by_text, ..read });
    }
    let unit = AREA_UNITS.iter().find_map(|unit| Some((unit, text.strip_suffix(unit.0)?)));
    let (factor, by_unit, text) =
        unit.map_or((10_000, false, text), |((name, factor), rest)| (*factor, *name != MU, rest));
    let (text, more) = without_more(text);
    let number = number(text)?;
    let value = hundredths(number.value.checked_mul(factor)?)?;
    Some(Read { value, by_text: by_text || more || number.by_text, by_unit })
}

/// `a亩b分`.
fn mu_and_fen(text: &str) -> Option<Read<i64>> {
    let (mu, fen) = text.split_once(MU)?;
    let fen = fen.strip_suffix("分地").or_else(|| fen.strip_suffix('分'))?;
    let (mu, fen) = (number(mu)?, number(fen)?);
    let sum = mu.value.checked_mul(10_000)?.checked_add(fen.value.checked_mul(1_000)?)?;
    Some(Read { value: hundredths(sum)?, by_text: mu.by_text || fen.by_text, by_unit: true })
}

/// From `SCALE` × ten-thousandths to hundredths, half away from zero.
fn hundredths(value: i128) -> Option<i64> {
    let unit = SCALE * 100;
    let half = if value < 0 { -unit / 2 } else { unit / 2 };
    i64::try_from(value.checked_add(half)? / unit).ok()
}

/// A count; `None` if it is no whole number.
pub(super) fn count(cell: &str) -> Option<Read<i64>> {
    const UNITS: [&str; 6] = ["人次", "人", "户", "张", "名", "个"];
    let text: String = cell.chars().filter(|c| !c.is_whitespace()).collect();
    let (text, about) = without_about(&text);
    let (text, more_at_end) = without_more(text);
    let text = UNITS.iter().find_map(|unit| text.strip_suffix(unit)).unwrap_or(text);
    let (text, more) = without_more(text);
    let number = number(text)?;
    if number.value % SCALE != 0 {
        return None;
    }
    let value = i64::try_from(number.value / SCALE).ok()?;
    Some(Read { value, by_text: about || more_at_end || more || number.by_text, by_unit: false })
}

/// Without 约, 大约, 近 or 共 before and 左右 after it.
fn without_about(text: &str) -> (&str, bool) {
    let start = ["大约", "约", "近", "共"].iter().find_map(|word| text.strip_prefix(word));
    let rest = start.unwrap_or(text);
    let end = rest.strip_suffix("左右");
    (end.unwrap_or(rest), start.is_some() || end.is_some())
}

/// Without 余 or 多 at the end.
fn without_more(text: &str) -> (&str, bool) {
    text.strip_suffix(['余', '多']).map_or((text, false), |rest| (rest, true))
}

/// A number, or the lower end of a range, times [`SCALE`].
fn number(text: &str) -> Option<Read<i128>> {
    if let Some(read) = single(text) {
        return Some(read);
    }
    // A sign is no range; a range has a number on both sides.
    let lower = ['-', '~', '到', '至'].into_iter().find_map(|sign| {
        let (lower, upper) = text.split_once(sign)?;
        single(upper)?;
        single(lower)
    })?;
    Some(Read { by_text: true, ..lower })
}

fn single(text: &str) -> Option<Read<i128>> {
    if let Some(value) = digits(text) {
        return Some(Read { value, by_text: false, by_unit: false });
    }
    let value = with_thousands(text).or_else(|| chinese(text).map(|number| i128::from(number) * SCALE))?;
    Some(Read { value, by_text: true, by_unit: false })
}

/// Digits with an optional sign and fraction.
fn digits(text: &str) -> Option<i128> {
    let (is_negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !fraction.is_none_or(all_digits) {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut value = if whole.len() > WHOLE_DIGITS_MAX { 10_i128.pow(15) } else { whole.bytes().fold(0, push_digit) };
    let fraction = fraction.unwrap_or_default().bytes().chain(core::iter::repeat(b'0'));
    value = fraction.take(FRACTION_DIGITS_MAX).fold(value, push_digit);
    Some(if is_negative { -value } else { value })
}

fn push_digit(value: i128, digit: u8) -> i128 {
    value * 10 + i128::from(digit.saturating_sub(b'0'))
}

/// `1,200` and `1,200.5`.
fn with_thousands(text: &str) -> Option<i128> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, fraction) = unsigned.split_once('.').map_or((unsigned, ""), |(whole, fraction)| (whole, fraction));
    let mut groups = whole.split(',');
    let first = groups.next().filter(|first| (1..=3).contains(&first.len()))?;
    let mut joined = format!("{sign}{first}");
    let mut count = 0;
    for group in groups {
        if group.len() != 3 {
            return None;
        }
        joined.push_str(group);
        count += 1;
    }
    if count == 0 {
        return None;
    }
    if unsigned.contains('.') {
        joined.push('.');
        joined.push_str(fraction);
    }
    digits(&joined)
}

/// A well-formed Chinese numeral below 亿: 三十五, 一百二十, 一百零五, 一千二百, 两万三千. `三五` is none.
pub(super) fn chinese(text: &str) -> Option<i64> {
    if text.is_empty() || text.chars().count() > 16 {
        return None;
    }
    if matches!(text, "零" | "〇") {
        return Some(0);
    }
    let Some((high, low)) = text.split_once('万') else {
        return below_ten_thousand(text, None);
    };
    let high = below_ten_thousand(high, None)?;
    let low = if low.is_empty() { 0 } else { below_ten_thousand(low, Some(10_000))? };
    Some(high * 10_000 + low)
}

/// A numeral below ten thousand, after a part of the unit `unit_before`.
///
/// Of two parts, the second has the next smaller unit, or it is set off by one zero: 一百二十, 一百零五; neither 一百五,
/// said for 150 and for 105, nor 三十零五.
fn below_ten_thousand(text: &str, mut unit_before: Option<i64>) -> Option<i64> {
    let mut rest = text;
    let mut value = 0;
    while !rest.is_empty() {
        let after_zero = unit_before.and_then(|_| rest.strip_prefix(['零', '〇']));
        rest = after_zero.unwrap_or(rest);
        let (count, unit, later) = part(rest, value == 0)?;
        let fits = unit_before.is_none_or(|before| match after_zero {
            Some(_) => unit < before / 10,
            None => unit == before / 10,
        });
        if !fits {
            return None;
        }
        value += count * unit;
        unit_before = Some(unit);
        rest = later;
    }
    (value > 0).then_some(value)
}

/// The first part of a numeral, its unit, and what follows. Only at the start, ten needs no digit.
fn part(text: &str, is_first: bool) -> Option<(i64, i64, &str)> {
    let mut chars = text.chars();
    let first = chars.next()?;
    if first == '十' && is_first {
        return Some((1, 10, chars.as_str()));
    }
    let count = digit(first)?;
    let later = chars.as_str();
    let unit = [('十', 10), ('百', 100), ('千', 1_000)];
    Some(
        unit.into_iter().find_map(|(c, unit)| Some((count, unit, later.strip_prefix(c)?))).unwrap_or((count, 1, later)),
    )
}

fn digit(c: char) -> Option<i64> {
    Some(match c {
        '一' => 1,
        '二' | '两' => 2,
        '三' => 3,
        '四' => 4,
        '五' => 5,
        '六' => 6,
        '七' => 7,
        '八' => 8,
        '九' => 9,
        _ => return None,
    })
}

/// Hundredths as a decimal number.
pub(super) fn of_hundredths(value: i64) -> Decimal {
    Decimal::new(value, 2).unwrap_or(Decimal::ZERO)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_area(text: &str) -> Option<(i64, bool, bool)> {
        area(text).map(|read| (read.value, read.by_text, read.by_unit))
    }

    #[test]
    fn areas_are_read_in_every_form_of_the_rules() {
        let plain = |hundredths| Some((hundredths, false, false));
        let text = |hundredths| Some((hundredths, true, false));
        let unit = |hundredths| Some((hundredths, false, true));
        for (cell, expected) in [
            ("12.5", plain(1_250)),
            ("12.5亩", plain(1_250)),
            ("1,200", text(120_000)),
            ("1,599亩", text(159_900)),
            ("约145亩", text(14_500)),
            ("大约20亩左右", text(2_000)),
            ("506多亩", text(50_600)),
            ("20亩多", text(2_000)),
            ("一百二十", text(12_000)),
            ("一百二十亩", text(12_000)),
            ("10-15亩", text(1_000)),
            ("10~15", text(1_000)),
            ("三到五亩", text(300)),
            ("8.85公顷", unit(13_275)),
            ("32.04 hm2", unit(48_060)),
            ("1.19ha", unit(1_785)),
            ("8460平米", unit(1_269)),
            ("5001㎡", unit(750)),
            ("5000㎡", unit(750)),
            ("3顷", unit(30_000)),
            ("1.2万亩", unit(1_200_000)),
            ("120分地", unit(1_200)),
            ("5分", unit(50)),
            ("30亩4分", unit(3_040)),
            ("约30亩4分", Some((3_040, true, true))),
            ("-5亩", plain(-500)),
            ("0.004", plain(0)),
            ("0.005", plain(1)),
            ("33.335", plain(3_334)),
            ("5000001㎡", unit(750_000)),
            ("99999999999999999999999", plain(100_000_000_000_000_000)),
        ] {
            assert_eq!(read_area(cell), expected, "{cell}");
        }
        for cell in [
            "亩",
            "整村",
            "若干亩",
            "不详",
            "有机肥替代化肥",
            "1,20",
            "12..5",
            "5.",
            ".5",
            "三五亩",
            "-",
            "10-",
            "",
            "1e3",
        ] {
            assert_eq!(read_area(cell), None, "{cell}");
        }
    }

    #[test]
    fn counts_are_whole_numbers() {
        for (cell, expected) in [
            ("34人", Some((34, false))),
            ("110人次", Some((110, false))),
            ("2张", Some((2, false))),
            ("35.0", Some((35, false))),
            ("35.0人", Some((35, false))),
            ("约20人", Some((20, true))),
            ("近144人左右", Some((144, true))),
            ("38余人", Some((38, true))),
            ("1余户", Some((1, true))),
            ("13-23人", Some((13, true))),
            ("12,000人次", Some((12_000, true))),
            ("三十五人", Some((35, true))),
            ("-20", Some((-20, false))),
            ("3.5人", None),
            ("三五个", None),
            ("很多", None),
            ("若干", None),
            ("140.8", None),
        ] {
            assert_eq!(count(cell).map(|read| (read.value, read.by_text)), expected, "{cell}");
        }
    }

    #[test]
    fn only_well_formed_numerals_are_numbers() {
        for (text, number) in [
            ("五", 5),
            ("十", 10),
            ("十五", 15),
            ("三十五", 35),
            ("一百二十", 120),
            ("一百零五", 105),
            ("一百一十", 110),
            ("两千三百", 2_300),
            ("一千零五", 1_005),
            ("一千零五十", 1_050),
            ("一万", 10_000),
            ("一万二千", 12_000),
            ("一万零五", 10_005),
            ("一万零五十", 10_050),
            ("十二万零三百", 120_300),
            ("一千二百零三", 1_203),
            ("一千零二十三", 1_023),
            ("零", 0),
        ] {
            assert_eq!(chinese(text), Some(number), "{text}");
        }
        for text in [
            "三五",
            "百",
            "十十",
            "一百百",
            "零五",
            "一零五",
            "五十百",
            "一百零",
            "一百五",
            "万",
            "a",
            "",
            // A zero where no unit is left out, and none where one is.
            "三十零五",
            "一百零二十",
            "一千零二百",
            "一万零二千",
            "一百零零五",
            "一千五十",
            "一万五百",
            "一万五",
        ] {
            assert_eq!(chinese(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn prop_cells_never_panic(cell in "\\PC{0,40}") {
            prop_assert_eq!(area(&cell), area(&format!(" {cell} ")));
            prop_assert_eq!(count(&cell), count(&cell));
        }

        #[test]
        fn prop_written_area_is_read_back(hundredths in 0_i64..1_000_000) {
            let written = format!("{}.{:02}亩", hundredths / 100, hundredths % 100);
            prop_assert_eq!(area(&written).map(|read| read.value), Some(hundredths));
        }
    }
}
