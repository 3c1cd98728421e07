//! Personal numbers in free text: identity numbers and mobile phones.
//!
//! A farmer's phone or identity number typed into a visit's text is the usual leak. The pages warn while a person types; an import masks.
//! What counts as such a number is decided here once: an 18-character identity number (17 digits, then a digit or `X`), or a mobile number
//! (`1`, then 3–9, then nine digits), neither inside a longer run of digits.

use core::ops::Range;

/// What a number in a text looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PersonalNumber {
    /// A resident identity number.
    Identity,
    /// A mobile phone number.
    Phone,
}

impl PersonalNumber {
    /// How many leading and trailing characters a mask leaves to be seen.
    const fn seen(self) -> (usize, usize) {
        match self {
            Self::Identity => (6, 4),
            Self::Phone => (3, 4),
        }
    }
}

/// Every personal number in a text, in order, with its byte range.
#[must_use]
pub fn find(text: &str) -> Vec<(PersonalNumber, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let run = digits_from(bytes, at);
        if run == 0 {
            at += 1;
            continue;
        }
        if let Some((kind, length)) = classify(bytes, at, run) {
            found.push((kind, at..at + length));
        }
        at += run;
    }
    found
}

/// The length of the run of ASCII digits at `at`.
fn digits_from(bytes: &[u8], at: usize) -> usize {
    bytes.iter().skip(at).take_while(|b| b.is_ascii_digit()).count()
}

fn classify(bytes: &[u8], at: usize, run: usize) -> Option<(PersonalNumber, usize)> {
    match run {
        18 => Some((PersonalNumber::Identity, 18)),
        17 if matches!(bytes.get(at + 17), Some(b'X' | b'x'))
            && !bytes.get(at + 18).is_some_and(u8::is_ascii_digit) =>
        {
            Some((PersonalNumber::Identity, 18))
        }
        11 if bytes.get(at) == Some(&b'1') && matches!(bytes.get(at + 1), Some(b'3'..=b'9')) => {
            Some((PersonalNumber::Phone, 11))
        }
        _ => None,
    }
}

/// The text with every personal number masked (first six and last four of an identity number, first three and last four of a phone number are
/// left), or `None` if there is nothing to mask.
#[must_use]
pub fn mask(text: &str) -> Option<String> {
    let found = find(text);
    if found.is_empty() {
        return None;
    }
    let mut masked = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        let hidden = found.iter().any(|(kind, range)| {
            let (head, tail) = kind.seen();
            at >= range.start + head && at + tail < range.end
        });
        masked.push(if hidden { '*' } else { c });
    }
    Some(masked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_and_phone_are_masked_and_the_rest_is_untouched() {
        assert_eq!(
            mask("户主110117197013010018电话15412345678,11011719701301001X。").as_deref(),
            Some("户主110117********0018电话154****5678,110117********001X。")
        );
    }

    #[test]
    fn longer_runs_and_other_numbers_are_left_alone() {
        for text in [
            "154123456789",
            "1234567890123456789",
            "25412345678",
            "12012345678",
            "1101171970130100X",
            "11011719701301001X5",
            "亩产3000斤",
        ] {
            assert_eq!(mask(text), None, "{text}");
        }
    }

    #[test]
    fn find_tells_kinds_and_ranges_in_order() {
        let found = find("a15412345678b110117197013010018");
        assert_eq!(found, vec![(PersonalNumber::Phone, 1..12), (PersonalNumber::Identity, 13..31)]);
    }
}
