//! Which configuration a command works with: the file it names, or the one beside the data, then variables, then flags.

use std::path::PathBuf;

use qianmo_server::config::{DEFAULT_PATH, Overrides, ServerConfig};

use crate::cli::{Addresses, Common};
use crate::commands::absolute;
use crate::failure::{Exit, Failure, OrFail as _};

/// The file that `init` writes beside the data when no configuration is named.
pub(crate) const FILE_IN_DATA: &str = "qianmo.toml";

/// Reads the configuration. What cannot work in service is judged by `serve` alone.
///
/// # Errors
/// A file or variable that cannot be read, with its place.
pub(crate) fn load(common: &Common, flags: Overrides) -> Result<ServerConfig, Failure> {
    let flags = Overrides {
        data_dir: common.data.as_deref().map(absolute).transpose()?,
        log_level: common.log_level.map(Into::into),
        log_format: common.log_format.map(Into::into),
        ..flags
    };
    let file = file(common);
    ServerConfig::load(file.as_deref(), environment(), &flags).or_fail(
        Exit::Usage,
        "the configuration cannot be used",
        "correct it, then check with: qianmo-server serve --check-config",
    )
}

/// The file named, or the one in the data folder named, if it is there.
pub(crate) fn file(common: &Common) -> Option<PathBuf> {
    common.config.clone().or_else(|| {
        let beside = common.data.as_ref().map(|data| data.join(FILE_IN_DATA));
        beside.filter(|path| path.is_file())
    })
}

/// As [`file()`], or the one that is read when nobody names any.
pub(crate) fn file_in_use(common: &Common) -> Option<PathBuf> {
    file(common).or_else(|| Some(PathBuf::from(DEFAULT_PATH)).filter(|path| path.is_file()))
}

/// What the flags for addresses set.
pub(crate) fn overrides(addresses: &Addresses) -> Overrides {
    Overrides {
        quic_listen: addresses.listen,
        quic_advertise: Some(addresses.advertise.clone()).filter(|list| !list.is_empty()),
        web_listen: addresses.web,
        ..Overrides::default()
    }
}

fn environment() -> Vec<(String, String)> {
    // A variable that is not text is none of ours: ours are all text.
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_beside_the_data_is_found_and_flags_win() {
        let folder = tempfile::tempdir().unwrap();
        let common = Common { data: Some(folder.path().to_owned()), ..Common::default() };
        assert_eq!(file(&common), None);
        std::fs::write(
            folder.path().join(FILE_IN_DATA),
            "[organisation]\nname = '站'\n[quic]\nlisten = '127.0.0.1:1'\n",
        )
        .unwrap();
        let addresses = Addresses { listen: Some("127.0.0.1:2".parse().unwrap()), ..Addresses::default() };
        let config = load(&common, overrides(&addresses)).unwrap();
        assert_eq!((config.organisation.name.as_str(), config.quic.listen.port()), ("站", 2));
        assert_eq!(config.data_dir, folder.path());
        let named = Common { config: Some("/nowhere.toml".into()), ..common };
        assert_eq!(load(&named, Overrides::default()).unwrap_err().exit, Exit::Usage);
    }
}
