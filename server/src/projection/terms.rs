//! What else a thing is called: the names and aliases of the choice lists, and how they sound.
//!
//! Whoever looks for `红蜘蛛` wants the records that say `山楂叶螨` too. The names come from the choice lists of the shipped
//! forms, so that search and entry know the same words; a name leads to a thing whole, as a part (`叶螨`), or by its sound.
//!
//! # Limits
//!
//! [`THINGS_MAX`] things a word may lead to: a word that is part of more names than that (`病害`) means none of them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use qianmo_forms::{Form, FormSet};

use super::sound::{Sound, is_typed_sound};
use super::words::is_han;

/// Most things that one word may lead to.
const THINGS_MAX: usize = 8;

/// A thing with its names.
#[derive(Debug)]
struct Thing {
    names: Vec<(String, Sound)>,
}

/// Everything the choice lists name.
#[derive(Debug)]
pub(super) struct Terms {
    things: Vec<Thing>,
}

impl Terms {
    /// Those of the shipped forms. Read once in a process.
    pub(super) fn shipped() -> &'static Self {
        static SHIPPED: OnceLock<Terms> = OnceLock::new();
        SHIPPED
            .get_or_init(|| FormSet::built_in().map_or_else(|_| Self { things: Vec::new() }, |forms| Self::of(&forms)))
    }

    fn of(forms: &FormSet) -> Self {
        let (mut seen, mut things) = (BTreeSet::new(), Vec::new());
        for field in forms.iter().flat_map(Form::fields) {
            let Some(list) = field.field_type.choices() else { continue };
            if !seen.insert(list.id().to_owned()) {
                continue;
            }
            for choice in list.iter() {
                let all = std::iter::once(&choice.label.zh).chain(&choice.aliases);
                let han = all.filter(|name| name.chars().all(is_han));
                let names: Vec<_> = han.map(|name| (name.clone(), Sound::of(name))).collect();
                if !names.is_empty() {
                    things.push(Thing { names });
                }
            }
        }
        Self { things }
    }

    /// Every name of two characters or more.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let names = self.things.iter().flat_map(|thing| &thing.names);
        names.map(|(name, _)| name.as_str()).filter(|name| is_long(name))
    }

    /// Whether a word, or its sound, is a name.
    pub(super) fn knows(&self, word: &str) -> bool {
        self.things
            .iter()
            .flat_map(|thing| &thing.names)
            .any(|(name, sound)| name == word || sound_is(name, sound, word))
    }

    /// What else to look for when somebody looks for a word. Names that hold another of the answer are left out: what they
    /// stand in is found by the shorter one.
    pub(super) fn others(&self, word: &str) -> Vec<&str> {
        let is_part = is_long(word) && word.chars().all(is_han);
        let leads = |exactly: bool| -> Vec<&Thing> {
            let is_meant = |(name, sound): &(String, Sound)| {
                name == word || sound_is(name, sound, word) || (!exactly && is_part && name.contains(word))
            };
            self.things.iter().filter(|thing| thing.names.iter().any(is_meant)).collect()
        };
        // A name means its own things alone: `梨小` is also part of the name of a technique that is used against other moths.
        let mut things = leads(true);
        if things.is_empty() {
            things = leads(false);
        }
        if things.len() > THINGS_MAX {
            return Vec::new();
        }
        let all: BTreeSet<&str> = things
            .iter()
            .flat_map(|thing| &thing.names)
            .map(|(name, _)| name.as_str())
            .filter(|name| is_long(name))
            .collect();
        let is_covered =
            |name: &str| name.contains(word) || all.iter().any(|other| *other != name && name.contains(other));
        all.iter().copied().filter(|name| !is_covered(name)).collect()
    }
}

/// One character is part of too much.
fn is_long(name: &str) -> bool {
    name.chars().nth(1).is_some()
}

fn sound_is(name: &str, sound: &Sound, word: &str) -> bool {
    is_long(name) && is_typed_sound(word) && sound.is(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_leads_to_the_other_names_of_what_it_names() {
        let terms = Terms::shipped();
        for (word, names) in [
            ("梨小食心虫", &["梨小", "折梢虫"][..]),
            ("梨小", &["折梢虫"]),
            ("红蜘蛛", &["山楂叶螨"]),
            ("叶螨", &["红蜘蛛", "白蜘蛛"]),
            ("西红柿", &["番茄"]),
            ("lxsxc", &["梨小", "折梢虫"]),
            ("hongzhizhu", &["红蜘蛛", "山楂叶螨"]),
            ("fanqie", &["番茄", "西红柿"]),
        ] {
            let others = terms.others(word);
            assert!(names.iter().all(|name| others.contains(name)), "{word}: {others:?}");
        }
    }

    #[test]
    fn word_that_is_part_of_everything_or_of_nothing_leads_nowhere() {
        let terms = Terms::shipped();
        for word in ["病", "桃树下的石头", "x", "", "不知道"] {
            assert!(terms.others(word).is_empty(), "{word}: {:?}", terms.others(word));
        }
        assert!(!terms.others("梨小").contains(&"迷向丝"));
        // Peach has a name of one character; it must not turn every record with that character up.
        assert!(!terms.others("大桃").contains(&"桃"));
    }
}
