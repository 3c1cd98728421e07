//! What surrounds a run: variables and the clock. Arguments, so that a run can be repeated.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use qianmo_forms::Lang;

/// Variables and the clock.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    vars: BTreeMap<String, String>,
    /// Of the terminal, where there is one.
    columns: Option<usize>,
    now_ms: Option<i64>,
}

impl Environment {
    /// That of this process. A variable that is not Unicode is as good as none.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let columns = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self { vars: std::env::vars_os().filter_map(text).collect(), columns, now_ms: None }
    }

    /// With a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.vars.insert(name.to_owned(), value.to_owned());
        self
    }

    /// With a clock that stands still, in milliseconds since 1970. The core keeps its own.
    #[must_use]
    pub const fn at(mut self, now_ms: i64) -> Self {
        self.now_ms = Some(now_ms);
        self
    }

    /// A variable that is set to something.
    pub(crate) fn var(&self, name: &str) -> Option<&str> {
        self.vars.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now_ms.unwrap_or_else(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
    }

    /// The clock that was set to stand still.
    pub(crate) const fn fixed_now_ms(&self) -> Option<i64> {
        self.now_ms
    }

    /// The language of the locale: Chinese for `zh…`, otherwise English.
    pub(crate) fn lang(&self) -> Lang {
        let locale = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().find_map(|name| self.var(name));
        if locale.is_some_and(|locale| locale.to_ascii_lowercase().starts_with("zh")) { Lang::Zh } else { Lang::En }
    }

    /// The folder of everything this device keeps, if the environment says where.
    pub(crate) fn data_dir(&self, given: Option<&Path>) -> Option<PathBuf> {
        let below = |name: &str, rest: &str| self.var(name).map(|folder| Path::new(folder).join(rest));
        given
            .map(Path::to_owned)
            .or_else(|| self.var("QIANMO_DATA").map(PathBuf::from))
            .or_else(|| below("APPDATA", "qianmo"))
            .or_else(|| below("XDG_DATA_HOME", "qianmo"))
            .or_else(|| below("HOME", ".local/share/qianmo"))
    }

    /// The folder of the district's forms: where the environment says, or `forms` beside the data if that is there.
    pub(crate) fn forms_dir(&self, data: Option<&Path>) -> Option<PathBuf> {
        let beside = || data.map(|data| data.join("forms")).filter(|folder| folder.is_dir());
        self.var("QIANMO_FORMS").map(PathBuf::from).or_else(beside)
    }

    /// What the machine is called.
    pub(crate) fn machine_name(&self) -> Option<&str> {
        ["HOSTNAME", "COMPUTERNAME"].into_iter().find_map(|name| self.var(name))
    }

    /// Columns of the terminal.
    pub(crate) fn columns(&self) -> usize {
        const USUAL: usize = 100;
        const LEAST: usize = 40;
        let said = self.var("COLUMNS").and_then(|columns| columns.parse().ok());
        said.or(self.columns).filter(|columns| *columns >= LEAST).unwrap_or(USUAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_locale_that_is_set_decides_the_language() {
        assert_eq!(Environment::default().lang(), Lang::En);
        assert_eq!(Environment::default().with("LANG", "zh_CN.UTF-8").lang(), Lang::Zh);
        assert_eq!(Environment::default().with("LANG", "zh_CN.UTF-8").with("LC_ALL", "en_GB.UTF-8").lang(), Lang::En);
        assert_eq!(Environment::default().with("LANG", "zh_CN.UTF-8").with("LC_ALL", "").lang(), Lang::Zh);
    }

    #[test]
    fn data_folder_comes_from_the_nearest_place_that_names_one() {
        let env = Environment::default().with("HOME", "/somewhere/a");
        assert_eq!(env.data_dir(None), Some(PathBuf::from("/somewhere/a/.local/share/qianmo")));
        let env = env.with("QIANMO_DATA", "/srv/b");
        assert_eq!(env.data_dir(None), Some(PathBuf::from("/srv/b")));
        assert_eq!(env.data_dir(Some(Path::new("c"))), Some(PathBuf::from("c")));
        assert_eq!(Environment::default().data_dir(None), None);
    }
}
