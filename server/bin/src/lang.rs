//! The language of what is printed: Chinese first with English behind it, or English alone.
//!
//! The words for where work is (待上传, 已送达, 已备份 …) stand in Chinese in both, because they are what tablets and pages show.

use clap::ValueEnum;

/// The language of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Lang {
    /// 中文在前,英文在后 (Chinese first, English second)
    Zh,
    /// English
    En,
}

impl Lang {
    /// The language asked for, or else that of the locale; Chinese when no locale is set.
    pub(crate) fn choose(asked: Option<Self>, variable: impl Fn(&str) -> Option<String>) -> Self {
        if let Some(lang) = asked {
            return lang;
        }
        // The order of POSIX; an empty variable counts as unset.
        let locale =
            ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| variable(name).filter(|v| !v.is_empty()));
        match locale {
            Some(locale) if !locale.starts_with("zh") => Self::En,
            Some(_) | None => Self::Zh,
        }
    }

    /// A label.
    pub(crate) fn label(self, zh: &str, en: &str) -> String {
        match self {
            Self::Zh => format!("{zh} {en}"),
            Self::En => en.to_owned(),
        }
    }

    /// A sentence with values in it.
    pub(crate) fn say_owned(self, zh: String, en: String) -> String {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }

    /// A sentence.
    pub(crate) const fn say<'t>(self, zh: &'t str, en: &'t str) -> &'t str {
        match self {
            Self::Zh => zh,
            Self::En => en,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(asked: Option<Lang>, variables: &[(&str, &str)]) -> Lang {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Lang::choose(asked, find)
    }

    #[test]
    fn language_asked_for_wins_over_the_locale() {
        assert_eq!(chosen(Some(Lang::En), &[("LC_ALL", "zh_CN.UTF-8")]), Lang::En);
        assert_eq!(chosen(Some(Lang::Zh), &[("LANG", "C")]), Lang::Zh);
    }

    #[test]
    fn locale_decides_and_chinese_is_the_default() {
        assert_eq!(chosen(None, &[]), Lang::Zh);
        assert_eq!(chosen(None, &[("LANG", "")]), Lang::Zh);
        assert_eq!(chosen(None, &[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(chosen(None, &[("LANG", "C.UTF-8")]), Lang::En);
        assert_eq!(chosen(None, &[("LANG", "zh_CN.UTF-8"), ("LC_ALL", "en_GB.UTF-8")]), Lang::En);
    }
}
