//! The layers of a configuration: defaults, file, environment, command line; the later wins.
//!
//! The environment is an argument, so that tests do not change the process. A misspelt variable is a fault, not a
//! surprise: every name that starts like one of ours must be one of ours.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::check::{ConfigFaults, Fault};
use super::{CONFIG_BYTES_MAX, DEFAULT_PATH, HostPort, LogFormat, LogLevel, ServerConfig};

/// Why a configuration could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than [`CONFIG_BYTES_MAX`].
    #[error("{} is not a configuration: it has more than {max} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes allowed.
        max: u64,
    },
    /// The file is not TOML, has a key we do not know, or a value of the wrong kind.
    #[error("{path}, line {line}, column {column}: {message}")]
    Syntax {
        /// The file.
        path: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
        /// What is wrong there.
        message: String,
    },
    /// Environment variables that are misspelt or have values of the wrong kind.
    #[error("environment: {0}")]
    Environment(ConfigFaults),
}

/// What the command line sets; `None` leaves the layer below.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// For `data_dir`.
    pub data_dir: Option<PathBuf>,
    /// For `organisation.name`.
    pub organisation_name: Option<String>,
    /// For `quic.listen`.
    pub quic_listen: Option<SocketAddr>,
    /// For `quic.advertise`.
    pub quic_advertise: Option<Vec<HostPort>>,
    /// For `web.listen`.
    pub web_listen: Option<SocketAddr>,
    /// For `backup.dir`.
    pub backup_dir: Option<PathBuf>,
    /// For `log.level`.
    pub log_level: Option<LogLevel>,
    /// For `log.format`.
    pub log_format: Option<LogFormat>,
}

impl ServerConfig {
    /// Reads all layers.
    ///
    /// Without `file`, [`DEFAULT_PATH`] is read if it exists. `environment` is what `std::env::vars_os` gives, as text;
    /// names that are none of ours are ignored. [`ServerConfig::check`] is a second step.
    ///
    /// # Errors
    ///
    /// A file that cannot be read, its first fault with line and column, or all faults of the environment.
    pub fn load(
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        overrides: &Overrides,
    ) -> Result<Self, ConfigError> {
        let mut config = match file {
            Some(path) => Self::read(path)?,
            None => match Self::read(Path::new(DEFAULT_PATH)) {
                Err(ConfigError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Self::default(),
                other => other?,
            },
        };
        config.set_from_environment(environment).map_err(ConfigError::Environment)?;
        config.set_from_overrides(overrides);
        Ok(config)
    }

    fn read(path: &Path) -> Result<Self, ConfigError> {
        let failed = |source| ConfigError::Read { path: path.to_owned(), source };
        let mut text = String::new();
        let file = File::open(path).map_err(failed)?;
        file.take(CONFIG_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
        if u64::try_from(text.len()).is_ok_and(|have| have > CONFIG_BYTES_MAX) {
            return Err(ConfigError::TooLarge { path: path.to_owned(), max: CONFIG_BYTES_MAX });
        }
        Self::from_toml(&text, &path.display().to_string())
    }

    /// Reads the text of a configuration file; `path` is for the message only.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Syntax`] with the place of the first fault.
    pub fn from_toml(text: &str, path: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|error: toml::de::Error| {
            let start = error.span().map_or(0, |span| span.start);
            let before = text.get(..start).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            ConfigError::Syntax {
                path: path.to_owned(),
                line: before.matches('\n').count() + 1,
                column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
                message: error.message().replace('\n', "; "),
            }
        })
    }

    fn set_from_environment(
        &mut self,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigFaults> {
        let mut faults = Vec::new();
        for (name, value) in environment {
            let fault = |wrong: String, remedy: String| Fault { key: name.clone(), wrong, remedy };
            match SETTINGS.iter().find(|setting| setting.variable == name) {
                Some(setting) => {
                    if let Err(wrong) = (setting.set)(self, value.trim()) {
                        faults.push(fault(format!("{value:?} does not fit: {wrong}"), format!("see {}", setting.key)));
                    }
                }
                None if OUR_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => {
                    let known = SETTINGS.iter().map(|setting| setting.variable).collect::<Vec<_>>().join(", ");
                    faults.push(fault("there is no such setting".into(), format!("remove it or use one of {known}")));
                }
                None => {}
            }
        }
        faults.sort_by(|a, b| a.key.cmp(&b.key));
        ConfigFaults::of(faults)
    }

    fn set_from_overrides(&mut self, overrides: &Overrides) {
        fn put<T: Clone>(to: &mut T, from: Option<&T>) {
            if let Some(value) = from {
                to.clone_from(value);
            }
        }
        let Overrides {
            data_dir,
            organisation_name,
            quic_listen,
            quic_advertise,
            web_listen,
            backup_dir,
            log_level,
            log_format,
        } = overrides;
        put(&mut self.data_dir, data_dir.as_ref());
        put(&mut self.organisation.name, organisation_name.as_ref());
        put(&mut self.quic.listen, quic_listen.as_ref());
        put(&mut self.quic.advertise, quic_advertise.as_ref());
        put(&mut self.web.listen, web_listen.as_ref());
        if backup_dir.is_some() {
            self.backup.dir.clone_from(backup_dir);
        }
        put(&mut self.log.level, log_level.as_ref());
        put(&mut self.log.format, log_format.as_ref());
    }
}

/// One key and the environment variable that sets it.
struct Setting {
    variable: &'static str,
    key: &'static str,
    set: fn(&mut ServerConfig, &str) -> Result<(), String>,
}

/// Names that start so are ours. Others, such as `QIANMO_CONFIG`, belong to the command line or to other programs.
const OUR_PREFIXES: [&str; 7] = [
    "QIANMO_BACKUP_",
    "QIANMO_DATA_",
    "QIANMO_LIMITS_",
    "QIANMO_LOG_",
    "QIANMO_ORGANISATION_",
    "QIANMO_QUIC_",
    "QIANMO_WEB_",
];

/// Every key of the file; a test keeps the list complete.
const SETTINGS: [Setting; 18] = [
    Setting { variable: "QIANMO_DATA_DIR", key: "data_dir", set: |c, text| folder(text, |dir| c.data_dir = dir) },
    Setting {
        variable: "QIANMO_ORGANISATION_NAME",
        key: "organisation.name",
        set: |c, text| parse(text, |name| c.organisation.name = name),
    },
    Setting {
        variable: "QIANMO_QUIC_LISTEN",
        key: "quic.listen",
        set: |c, text| parse(text, |address| c.quic.listen = address),
    },
    Setting {
        variable: "QIANMO_QUIC_ADVERTISE",
        key: "quic.advertise",
        set: |c, text| {
            let addresses: Result<Vec<_>, _> = text.split(',').map(|one| one.trim().parse::<HostPort>()).collect();
            addresses.map(|all| c.quic.advertise = all).map_err(|error| error.to_string())
        },
    },
    Setting {
        variable: "QIANMO_WEB_LISTEN",
        key: "web.listen",
        set: |c, text| parse(text, |address| c.web.listen = address),
    },
    Setting {
        variable: "QIANMO_WEB_BEHIND_TLS_PROXY",
        key: "web.behind_tls_proxy",
        set: |c, text| parse(text, |yes| c.web.behind_tls_proxy = yes),
    },
    Setting {
        variable: "QIANMO_LIMITS_CONNECTIONS_MAX",
        key: "limits.connections_max",
        set: |c, text| parse(text, |max| c.limits.connections_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_CONNECTIONS_PER_ADDRESS_MAX",
        key: "limits.connections_per_address_max",
        set: |c, text| parse(text, |max| c.limits.connections_per_address_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_CONNECTIONS_PER_DEVICE_MAX",
        key: "limits.connections_per_device_max",
        set: |c, text| parse(text, |max| c.limits.connections_per_device_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_HALF_OPEN_BEFORE_RETRY",
        key: "limits.half_open_before_retry",
        set: |c, text| parse(text, |count| c.limits.half_open_before_retry = count),
    },
    Setting {
        variable: "QIANMO_LIMITS_INCOMING_MAX",
        key: "limits.incoming_max",
        set: |c, text| parse(text, |max| c.limits.incoming_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_PACKS_PER_DEVICE_PER_DAY_MAX",
        key: "limits.packs_per_device_per_day_max",
        set: |c, text| parse(text, |max| c.limits.packs_per_device_per_day_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_BYTES_PER_DEVICE_PER_DAY_MAX",
        key: "limits.bytes_per_device_per_day_max",
        set: |c, text| parse(text, |max| c.limits.bytes_per_device_per_day_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_SESSIONS_PER_DEVICE_PER_MINUTE_MAX",
        key: "limits.sessions_per_device_per_minute_max",
        set: |c, text| parse(text, |max| c.limits.sessions_per_device_per_minute_max = max),
    },
    Setting {
        variable: "QIANMO_LIMITS_DISK_RESERVE_BYTES",
        key: "limits.disk_reserve_bytes",
        set: |c, text| parse(text, |bytes| c.limits.disk_reserve_bytes = bytes),
    },
    Setting {
        variable: "QIANMO_BACKUP_DIR",
        key: "backup.dir",
        set: |c, text| folder(text, |dir| c.backup.dir = Some(dir)),
    },
    Setting { variable: "QIANMO_LOG_LEVEL", key: "log.level", set: |c, text| word(text, |level| c.log.level = level) },
    Setting {
        variable: "QIANMO_LOG_FORMAT",
        key: "log.format",
        set: |c, text| word(text, |format| c.log.format = format),
    },
];

fn parse<T: core::str::FromStr<Err: core::fmt::Display>>(text: &str, set: impl FnOnce(T)) -> Result<(), String> {
    text.parse().map(set).map_err(|error: T::Err| error.to_string())
}

fn folder(text: &str, set: impl FnOnce(PathBuf)) -> Result<(), String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    set(PathBuf::from(text));
    Ok(())
}

/// A word of one of our enums, spelt as in the file.
fn word<T: serde::de::DeserializeOwned>(text: &str, set: impl FnOnce(T)) -> Result<(), String> {
    let value = serde::de::value::StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(value).map(set).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn later_layer_wins_and_leaves_the_rest() {
        let file = file("data_dir = '/file'\n[web]\nlisten = '127.0.0.1:1'\n[log]\nlevel = 'warn'\n");
        let variables = environment(&[("QIANMO_WEB_LISTEN", "127.0.0.1:2"), ("QIANMO_LOG_LEVEL", "debug")]);
        let overrides = Overrides { log_level: Some(LogLevel::Trace), ..Overrides::default() };
        let config = ServerConfig::load(Some(file.path()), variables, &overrides).unwrap();
        assert_eq!(config.data_dir, Path::new("/file"));
        assert_eq!(config.web.listen.port(), 2);
        assert_eq!(config.log.level, LogLevel::Trace);
        assert_eq!(config.limits, ServerConfig::default().limits);
    }

    #[test]
    fn every_override_reaches_its_key() {
        let overrides = Overrides {
            data_dir: Some("/d".into()),
            organisation_name: Some("o".into()),
            quic_listen: Some("192.0.2.1:5".parse().unwrap()),
            quic_advertise: Some(vec!["hub:6".parse().unwrap()]),
            web_listen: Some("127.0.0.1:7".parse().unwrap()),
            backup_dir: Some("/b".into()),
            log_level: Some(LogLevel::Error),
            log_format: Some(LogFormat::Json),
        };
        let mut by_flag = ServerConfig::default();
        by_flag.set_from_overrides(&overrides);
        let mut by_variable = ServerConfig::default();
        let variables = environment(&[
            ("QIANMO_DATA_DIR", "/d"),
            ("QIANMO_ORGANISATION_NAME", "o"),
            ("QIANMO_QUIC_LISTEN", "192.0.2.1:5"),
            ("QIANMO_QUIC_ADVERTISE", "hub:6"),
            ("QIANMO_WEB_LISTEN", "127.0.0.1:7"),
            ("QIANMO_BACKUP_DIR", "/b"),
            ("QIANMO_LOG_LEVEL", "error"),
            ("QIANMO_LOG_FORMAT", "json"),
        ]);
        by_variable.set_from_environment(variables).unwrap();
        assert_eq!(by_flag, by_variable);
        assert_ne!(by_flag, ServerConfig::default());
    }

    #[test]
    fn every_key_has_its_variable() {
        let mut full = ServerConfig::default();
        full.backup.dir = Some("/b".into());
        let mut keys = Vec::new();
        for (section, value) in toml::Table::try_from(full).unwrap() {
            if let toml::Value::Table(inner) = value {
                keys.extend(inner.keys().map(|key| format!("{section}.{key}")));
            } else {
                keys.push(section);
            }
        }
        keys.sort();
        let mut known: Vec<_> = SETTINGS.iter().map(|setting| setting.key.to_owned()).collect();
        known.sort();
        assert_eq!(known, keys);
        for setting in &SETTINGS {
            assert_eq!(setting.variable, format!("QIANMO_{}", setting.key.replace('.', "_").to_uppercase()));
            assert!(OUR_PREFIXES.iter().any(|prefix| setting.variable.starts_with(prefix)), "{}", setting.variable);
        }
    }

    #[test]
    fn misspelt_variables_and_values_are_all_told_at_once() {
        let variables = environment(&[
            ("QIANMO_WEB_LISTN", "127.0.0.1:1"),
            ("QIANMO_LOG_LEVEL", "loud"),
            ("QIANMO_LIMITS_INCOMING_MAX", "-1"),
            ("QIANMO_QUIC_ADVERTISE", "hub:1,hub"),
            ("QIANMO_CONFIG", "/x"),
            ("PATH", "/bin"),
        ]);
        let faults = ServerConfig::default().set_from_environment(variables).unwrap_err();
        let told: Vec<_> = faults.faults().iter().map(|fault| fault.key.as_str()).collect();
        assert_eq!(
            told,
            ["QIANMO_LIMITS_INCOMING_MAX", "QIANMO_LOG_LEVEL", "QIANMO_QUIC_ADVERTISE", "QIANMO_WEB_LISTN"]
        );
    }

    #[test]
    fn syntax_faults_name_line_and_column() {
        let place = |text: &str| {
            let error = ServerConfig::from_toml(text, "qianmo.toml").unwrap_err();
            let ConfigError::Syntax { line, column, message, .. } = error else { panic!("{error}") };
            (line, column, message)
        };
        let (line, column, message) = place("data_dir = '/d'\n\n[quic]\n  listn = 'x'\n");
        assert_eq!((line, column), (4, 3));
        assert!(message.contains("unknown field `listn`") && message.contains("`listen`"), "{message}");
        let (line, _, message) = place("[quic]\nadvertise = ['hub.example.org']\n");
        assert_eq!(line, 2);
        assert!(message.contains("has no port"), "{message}");
        let (line, _, _) = place("[web]\nlisten = '127.0.0.1:80800'\n");
        assert_eq!(line, 2);
        let (line, _, _) = place("# 站点\n[limits\n");
        assert_eq!(line, 2);
    }

    #[test]
    fn missing_or_oversized_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let load = |path: &Path| ServerConfig::load(Some(path), Vec::new(), &Overrides::default());
        let missing = load(&folder.path().join("none.toml")).unwrap_err();
        assert!(matches!(missing, ConfigError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound));
        let large = file(&"#".repeat(usize::try_from(CONFIG_BYTES_MAX).unwrap() + 1));
        assert!(matches!(load(large.path()).unwrap_err(), ConfigError::TooLarge { .. }));
    }
}
