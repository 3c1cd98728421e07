//! Everything this program says, in two languages, by key.
//!
//! The words are in `messages/`; what a form asks is in the form. A test holds that both languages have every key with the
//! same arguments, that every key is used, and that every key used is there.

use std::borrow::Cow;
use std::collections::HashMap;

use fluent_templates::fluent_bundle::FluentValue;
use fluent_templates::{LanguageIdentifier, Loader as _, langid};

use qianmo_forms::Lang;

fluent_templates::static_loader! {
    static TEXTS = {
        locales: "./messages",
        fallback_language: "en",
        // Direction marks around arguments would end up in scripts that read the output.
        customise: |bundle| bundle.set_use_isolating(false),
    };
}

static ZH: LanguageIdentifier = langid!("zh-CN");
static EN: LanguageIdentifier = langid!("en");

/// The words of one language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Messages {
    lang: Lang,
}

/// What stands in a message's places.
pub(crate) type Arguments<'a> = [(&'static str, FluentValue<'a>)];

impl Messages {
    pub(crate) const fn new(lang: Lang) -> Self {
        Self { lang }
    }

    pub(crate) const fn lang(self) -> Lang {
        self.lang
    }

    fn id(self) -> &'static LanguageIdentifier {
        match self.lang {
            Lang::Zh => &ZH,
            Lang::En => &EN,
        }
    }

    /// A message without places.
    pub(crate) fn text(self, key: &str) -> String {
        TEXTS.lookup(self.id(), key)
    }

    /// A message with its places filled.
    pub(crate) fn with(self, key: &str, arguments: &Arguments<'_>) -> String {
        let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> =
            arguments.iter().map(|(name, value)| (Cow::Borrowed(*name), value.clone())).collect();
        TEXTS.lookup_with_args(self.id(), key, &arguments)
    }

    /// A message, if there is one.
    pub(crate) fn find(self, key: &str) -> Option<String> {
        TEXTS.try_lookup(self.id(), key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::fs;
    use std::path::Path;

    use super::*;

    /// Every file below a folder that ends so.
    fn read_all(folder: &Path, end: &str, texts: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read_all(&path, end, texts);
            } else if path.extension().is_some_and(|found| found == end) {
                texts.push(fs::read_to_string(&path).unwrap());
            }
        }
    }

    fn texts(below: &str, end: &str) -> Vec<String> {
        let mut texts = Vec::new();
        read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join(below), end, &mut texts);
        texts
    }

    /// Keys of a language with the places of their messages.
    fn keys(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
        let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut last = String::new();
        for text in texts(&format!("messages/{folder}"), "ftl") {
            for line in text.lines() {
                let key = line.split_once(" =").map(|(key, _)| key);
                let is_key =
                    |key: &&str| key.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
                if let Some(key) = key.filter(is_key).filter(|key| !key.is_empty()) {
                    last = key.to_owned();
                    assert!(keys.insert(last.clone(), BTreeSet::new()).is_none(), "{folder}: {key} is there twice");
                }
                let places = line.split('$').skip(1).map(|rest| {
                    rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
                });
                keys.entry(last.clone()).or_default().extend(places.filter(|place| !place.is_empty()));
            }
        }
        keys.remove("");
        keys
    }

    /// Texts between quotation marks that look like keys.
    fn key_like_texts() -> BTreeSet<String> {
        let is_key = |text: &&str| {
            text.contains('-')
                && text
                    .split('-')
                    .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()))
        };
        let sources = [texts("src", "rs"), texts("templates", "html")].concat();
        sources.iter().flat_map(|text| text.split('"')).filter(is_key).map(str::to_owned).collect()
    }

    #[test]
    fn both_languages_have_every_key_with_the_same_places() {
        let (zh, en) = (keys("zh-CN"), keys("en"));
        assert!(zh.len() > 200);
        for (key, places) in &zh {
            assert_eq!(en.get(key), Some(places), "{key}");
        }
        let only_en: Vec<&String> = en.keys().filter(|key| !zh.contains_key(*key)).collect();
        assert!(only_en.is_empty(), "{only_en:?}");
    }

    #[test]
    fn every_key_is_used_and_every_key_used_is_there() {
        let keys = keys("zh-CN");
        let mut used = key_like_texts();
        used.extend(crate::cli::help::tests::keys_of_grammar(Messages::new(Lang::En)));
        let unused: Vec<&String> = keys.keys().filter(|key| !used.contains(*key)).collect();
        assert!(unused.is_empty(), "no one says {unused:?}");
        let families: BTreeSet<&str> = keys.keys().filter_map(|key| key.split('-').next()).collect();
        let of_a_family = |key: &&String| key.split('-').next().is_some_and(|family| families.contains(family));
        let missing: Vec<&String> = used.iter().filter(of_a_family).filter(|key| !keys.contains_key(*key)).collect();
        assert!(missing.is_empty(), "no words for {missing:?}");
    }

    #[test]
    fn every_message_can_be_said_with_its_places_filled() {
        for (lang, folder) in [(Lang::Zh, "zh-CN"), (Lang::En, "en")] {
            for (key, places) in keys(folder) {
                let messages = Messages::new(lang);
                let arguments: HashMap<Cow<'static, str>, FluentValue<'_>> =
                    places.iter().map(|place| (Cow::Owned(place.clone()), FluentValue::from(2))).collect();
                let said = TEXTS.try_lookup_with_args(messages.id(), &key, &arguments);
                assert!(said.is_some_and(|said| !said.contains('$') && !said.is_empty()), "{lang} {key}");
            }
        }
    }

    #[test]
    fn arguments_are_not_wrapped_in_direction_marks() {
        let said = Messages::new(Lang::Zh).with("usage-missing-argument", &[("argument", "X".into())]);
        assert_eq!(said, "缺少 X");
    }
}
