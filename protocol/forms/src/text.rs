//! Text in two languages, and the small repairs every typed answer gets.
//!
//! Chinese comes first and English second, everywhere a person reads. The repairs here are the ones that cannot change what was meant:
//! full-width digits and punctuation to half-width, white space at the ends, line ends, control characters. Nothing here guesses.

use core::fmt;

/// A language a person may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lang {
    /// Chinese, the first language of every page.
    Zh,
    /// English.
    En,
}

impl Lang {
    /// Both languages, the first one first.
    pub const ALL: [Self; 2] = [Self::Zh, Self::En];

    /// The key of this language in a definition file.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

impl fmt::Display for Lang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.key())
    }
}

/// One thing said in both languages: a name, a hint, a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label {
    /// In Chinese.
    pub zh: String,
    /// In English.
    pub en: String,
}

impl Label {
    /// A label from its two texts.
    #[must_use]
    pub fn new(zh: impl Into<String>, en: impl Into<String>) -> Self {
        Self { zh: zh.into(), en: en.into() }
    }

    /// The text in one language.
    #[must_use]
    pub fn get(&self, lang: Lang) -> &str {
        match lang {
            Lang::Zh => &self.zh,
            Lang::En => &self.en,
        }
    }
}

/// How many lines a text may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// One: a line end becomes a space.
    One,
    /// Any number.
    Many,
}

/// Full-width ASCII forms (U+FF01–U+FF5E) and the ideographic space to their half-width characters; everything else unchanged.
#[must_use]
pub fn half_width(text: &str) -> String {
    text.chars().map(half_width_char).collect()
}

fn half_width_char(c: char) -> char {
    match c {
        '\u{3000}' => ' ',
        '\u{FF01}'..='\u{FF5E}' => char::from_u32(u32::from(c) - 0xFEE0).unwrap_or(c),
        other => other,
    }
}

/// Without white space and zero-width characters at both ends.
#[must_use]
pub fn trim(text: &str) -> &str {
    text.trim_matches(|c: char| {
        c.is_whitespace() || matches!(c, '\u{A0}' | '\u{200B}' | '\u{200C}' | '\u{200D}' | '\u{FEFF}')
    })
}

/// A free text as it is stored: line ends are LF, control characters other than LF and TAB are gone, the ends are trimmed.
#[must_use]
pub fn clean(text: &str, lines: Lines) -> String {
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let kept: String = unified
        .chars()
        .filter(|c| matches!(c, '\n' | '\t') || !c.is_control())
        .map(|c| match lines {
            Lines::One if c == '\n' => ' ',
            Lines::One | Lines::Many => c,
        })
        .collect();
    trim(&kept).to_owned()
}

/// A typed answer other than free text: half-width and trimmed.
#[must_use]
pub fn structural(text: &str) -> String {
    trim(&half_width(text)).to_owned()
}

/// The form under which two names of a choice are the same name: half-width, trimmed, ASCII letters in lower case, no white space inside.
#[must_use]
pub(crate) fn name_key(text: &str) -> String {
    half_width(text).chars().filter(|c| !c.is_whitespace()).map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_digits_and_space_become_half_width() {
        assert_eq!(half_width("２０２５－０６\u{3000}ａ亩"), "2025-06 a亩");
    }

    #[test]
    fn clean_keeps_lines_in_long_text_and_joins_them_in_short_text() {
        assert_eq!(clean("\u{FEFF} 一\r\n二\r三\u{7}\t \u{200B}", Lines::Many), "一\n二\n三");
        assert_eq!(clean("一\r\n二", Lines::One), "一 二");
    }

    #[test]
    fn name_key_ignores_width_case_and_inner_space() {
        assert_eq!(name_key(" ＷＧＳ 84 "), "wgs84");
    }
}
