//! Numbers as people write them: `20亩`, `二十亩` and `贰拾亩` are one.

/// Digits up to this number are also looked for as numerals, and the reverse.
const NUMBER_MAX: u32 = 9_999;
const NUMERALS: [char; 10] = ['零', '一', '二', '三', '四', '五', '六', '七', '八', '九'];

/// The digit that a numeral stands for.
const fn digit(numeral: char) -> Option<u32> {
    Some(match numeral {
        '零' | '〇' | '○' => 0,
        '一' | '壹' => 1,
        '二' | '贰' | '貳' | '两' | '兩' => 2,
        '三' | '叁' | '參' => 3,
        '四' | '肆' => 4,
        '五' | '伍' => 5,
        '六' | '陆' | '陸' => 6,
        '七' | '柒' => 7,
        '八' | '捌' => 8,
        '九' | '玖' => 9,
        _ => return None,
    })
}

const fn unit(numeral: char) -> Option<u32> {
    Some(match numeral {
        '十' | '拾' => 10,
        '百' | '佰' => 100,
        '千' | '仟' => 1_000,
        _ => return None,
    })
}

/// The number of a run of numerals, or the digits it spells one by one (`二〇二五`); `None` for what is neither.
fn read(run: &[char]) -> Option<String> {
    if run.iter().all(|char| digit(*char).is_some()) {
        return Some(run.iter().filter_map(|char| char::from_digit(digit(*char)?, 10)).collect());
    }
    let (mut sum, mut last, mut below) = (0, None, 10_000);
    for char in run {
        match (digit(*char), unit(*char)) {
            (Some(0), _) if last.is_none() => {}
            (Some(number), _) if last.is_none() => last = Some(number),
            (None, Some(unit)) if unit < below => {
                // Only ten goes without a number before it.
                let number = last.take().or_else(|| (unit == 10).then_some(1))?;
                (sum, below) = (sum + number * unit, unit);
            }
            _ => return None,
        }
    }
    Some((sum + last.unwrap_or(0)).to_string())
}

/// A number in numerals, as it is said.
fn write(number: u32) -> String {
    let mut text = String::new();
    let mut is_gap = false;
    for (unit, name) in [(1_000, "千"), (100, "百"), (10, "十"), (1, "")] {
        let digit = number / unit % 10;
        let numeral = usize::try_from(digit).ok().and_then(|at| NUMERALS.get(at));
        if digit == 0 {
            is_gap = !text.is_empty();
        } else {
            if is_gap {
                text.push('零');
            }
            is_gap = false;
            if !(text.is_empty() && unit == 10 && digit == 1) {
                text.extend(numeral);
            }
            text.push_str(name);
        }
    }
    text
}

const fn is_numeral(char: char) -> bool {
    digit(char).is_some() || unit(char).is_some()
}

/// Whether a text is numerals, more than one, and nothing else: a dictionary would cut them apart.
pub(super) fn is_number(text: &str) -> bool {
    text.chars().nth(1).is_some() && text.chars().all(is_numeral)
}

/// A text cut where a number in numerals begins or ends.
pub(super) fn apart(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut runs: Vec<String> = Vec::new();
    for run in chars.chunk_by(|a, b| is_numeral(*a) == is_numeral(*b)) {
        let run: String = run.iter().collect();
        match runs.last_mut() {
            Some(last) if !is_number(&run) && !is_number(last) => last.push_str(&run),
            Some(_) | None => runs.push(run),
        }
    }
    runs
}

/// The text with its numbers written the other way: numerals as digits, and digits as numerals. Only what differs.
pub(super) fn other_ways(text: &str) -> Vec<String> {
    let to_numerals = |run: &[char]| {
        let number = run.iter().collect::<String>().parse::<u32>().ok()?;
        (run.first() != Some(&'0') && number <= NUMBER_MAX).then(|| write(number))
    };
    let ways = [replaced(text, is_numeral, read), replaced(text, |char| char.is_ascii_digit(), to_numerals)];
    ways.into_iter().filter(|way| way != text).collect()
}

fn replaced(text: &str, is_in: impl Fn(char) -> bool, other: impl Fn(&[char]) -> Option<String>) -> String {
    let chars: Vec<char> = text.chars().collect();
    let parts = chars.chunk_by(|a, b| is_in(*a) == is_in(*b));
    let way = |part: &[char]| -> String {
        let is_run = part.first().is_some_and(|first| is_in(*first));
        is_run.then(|| other(part)).flatten().unwrap_or_else(|| part.iter().collect())
    };
    parts.map(way).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_written_the_other_way() {
        for (text, other) in [
            ("二十亩", "20亩"),
            ("贰拾亩", "20亩"),
            ("20亩", "二十亩"),
            ("一百零五户", "105户"),
            ("两千三百亩", "2300亩"),
            ("二〇二五年", "2025年"),
            ("十二", "12"),
            ("110户", "一百一十户"),
        ] {
            assert!(other_ways(text).contains(&other.to_owned()), "{text}: {:?}", other_ways(text));
        }
        for text in ["套袋", "", "百十", "007", "12345"] {
            assert!(other_ways(text).is_empty(), "{text}: {:?}", other_ways(text));
        }
    }

    #[test]
    fn numbers_stand_apart_from_what_is_around_them() {
        assert_eq!(apart("贰拾亩大桃"), ["贰拾", "亩大桃"]);
        assert_eq!(apart("三月初一百亩"), ["三月初", "一百", "亩"]);
        assert_eq!(apart("第一次"), ["第一次"]);
    }

    proptest! {
        #[test]
        fn prop_number_is_read_as_it_was_written(number in 1..=NUMBER_MAX) {
            let written: Vec<char> = write(number).chars().collect();
            prop_assert_eq!(read(&written), Some(number.to_string()));
        }

        #[test]
        fn prop_no_text_fails(text in "\\PC{0,40}|[零一二三十百千拾0-9]{0,12}") {
            other_ways(&text);
        }
    }
}
