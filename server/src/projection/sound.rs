//! How Chinese text sounds, for finding what is typed as pinyin, as initials, or as a mixture of both.
//!
//! A character has every reading the `pinyin` tables give it, so nobody needs to know which one a name uses. `ü` is typed as
//! `v` or as `u`.

use std::borrow::Cow;
use std::collections::BTreeSet;

use pinyin::ToPinyinMulti as _;

/// Fewest letters that are taken for a sound: one letter begins half of everything.
const LETTERS_MIN: usize = 2;

/// A text by its sounds: the readings of each character. Other letters and digits sound like themselves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sound(Vec<Vec<Cow<'static, str>>>);

impl Sound {
    /// Of a text.
    pub(super) fn of(text: &str) -> Self {
        let readings = |char: char| -> Vec<Cow<'static, str>> {
            let Some(known) = char.to_pinyin_multi() else { return vec![Cow::Owned(char.to_lowercase().to_string())] };
            let mut readings: Vec<Cow<'static, str>> = Vec::new();
            for plain in known.into_iter().map(pinyin::Pinyin::plain) {
                if plain.contains('ü') {
                    readings.extend([plain.replace('ü', "v"), plain.replace('ü', "u")].map(Cow::Owned));
                } else {
                    readings.push(Cow::Borrowed(plain));
                }
            }
            readings
        };
        Self(text.chars().filter(|char| char.is_alphanumeric()).map(readings).collect())
    }

    /// Whether what was typed is all of it.
    pub(super) fn is(&self, typed: &str) -> bool {
        is_typed_sound(typed) && self.after(typed, 0).0
    }

    /// Whether what was typed begins at one of its characters, and may end before it does.
    pub(super) fn contains(&self, typed: &str) -> bool {
        is_typed_sound(typed) && (0..self.0.len()).any(|from| self.after(typed, from).1)
    }

    /// Whether the typed letters are used up with the last character, and whether they are used up anywhere.
    fn after(&self, typed: &str, from: usize) -> (bool, bool) {
        let (mut used, mut is_in) = (BTreeSet::from([0]), false);
        for readings in self.0.iter().skip(from) {
            let mut next = BTreeSet::new();
            for at in used {
                let Some(rest) = typed.get(at..).filter(|rest| !rest.is_empty()) else { continue };
                for reading in readings {
                    is_in |= reading.starts_with(rest);
                    let initial = if ["zh", "ch", "sh"].iter().any(|two| reading.starts_with(two)) { 2 } else { 1 };
                    let parts = [Some(reading.as_ref()), reading.get(..initial), reading.get(..1)];
                    next.extend(
                        parts.into_iter().flatten().filter(|part| rest.starts_with(part)).map(|part| at + part.len()),
                    );
                }
            }
            used = next;
            if used.is_empty() {
                return (false, is_in);
            }
            is_in |= used.contains(&typed.len());
        }
        (used.contains(&typed.len()), is_in)
    }
}

/// Whether letters may be meant as a sound.
pub(super) fn is_typed_sound(typed: &str) -> bool {
    typed.len() >= LETTERS_MIN
        && typed.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && typed.bytes().any(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_sounds_initials_and_mixtures_spell_a_name() {
        let moth = Sound::of("梨小食心虫");
        for typed in ["lixiaoshixinchong", "lxsxc", "lixsxc", "lxshixchong", "lxshxch"] {
            assert!(moth.is(typed), "{typed}");
        }
        for typed in ["lx", "lixiao", "xiaoshi", "lixiaoshixinchon", "sxc", "shix"] {
            assert!(moth.contains(typed) && !moth.is(typed), "{typed}");
        }
        for typed in ["l", "", "ixiao", "lxsxcx", "lixiaoshixinchongx", "taoyuan", "梨小"] {
            assert!(!moth.contains(typed), "{typed}");
        }
    }

    #[test]
    fn every_reading_of_a_character_is_known() {
        for (name, typed) in [
            ("重光", ["chongguang", "zhongguang"]),
            ("单长乐", ["shanchangle", "danzhangyue"]),
            ("吕桑遥", ["lvsangyao", "lusangyao"]),
            ("绿盲蝽", ["lvmangchun", "lumangchun"]),
        ] {
            assert!(typed.iter().all(|typed| Sound::of(name).is(typed)), "{name}");
        }
    }

    proptest! {
        #[test]
        fn prop_no_text_and_nothing_typed_fails(text in "\\PC{0,30}", typed in "\\PC{0,60}") {
            let sound = Sound::of(&text);
            prop_assert!(!sound.is(&typed) || sound.contains(&typed));
        }
    }
}
