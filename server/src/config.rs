//! The hub's configuration: what an administrator may set, and what it must satisfy.
//!
//! One TOML file, then `QIANMO_…` environment variables, then command-line flags; the later wins. Every key has a default,
//! so a file holds only what differs. Reading ([`ServerConfig::load`]) finds spelling and type faults with their line;
//! judging ([`ServerConfig::check`]) finds values that cannot work, all of them at once, without touching disk or network.
//! What a key does is documented here and in `deploy/qianmo.example.toml`; a test keeps the two equal.
//!
//! # Limits
//!
//! [`CONFIG_BYTES_MAX`], [`ADVERTISED_MAX`].
//!
//! # Failure
//!
//! [`ConfigError`] and [`ConfigFaults`]; the operator acts on both.

mod address;
mod check;
mod layers;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use address::{HostPort, HostPortError};
pub use check::{ConfigFaults, Fault};
pub use layers::{ConfigError, Overrides};

/// Where the configuration is looked for when nobody names a file.
pub const DEFAULT_PATH: &str = "/etc/qianmo/qianmo.toml";
/// Most bytes of a configuration file.
pub const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// Most addresses a ticket may carry: it has to fit into a QR code that an old camera can read.
pub const ADVERTISED_MAX: usize = 4;

/// Everything an administrator may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The folder that holds all of the hub's state: pack log, keys, index, projection. Made by `init`.
    pub data_dir: PathBuf,
    /// Who runs this hub.
    pub organisation: OrganisationConfig,
    /// Where tablets connect.
    pub quic: QuicConfig,
    /// Where coordinators and dashboards connect.
    pub web: WebConfig,
    /// What one device, or all of them, may use.
    pub limits: LimitsConfig,
    /// Where backups go.
    pub backup: BackupConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Who runs this hub.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrganisationConfig {
    /// The name people see on pages, tickets and exports.
    pub name: String,
}

/// Where tablets connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuicConfig {
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The addresses written into tickets, the best first. Empty: the one listened on, if it is a specific one.
    pub advertise: Vec<HostPort>,
}

/// Where coordinators and dashboards connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// The TCP address to listen on. It speaks plain HTTP, so beyond loopback it needs a proxy that speaks TLS.
    pub listen: SocketAddr,
    /// Set when every request comes through a proxy that speaks TLS: cookies are then marked `Secure`.
    pub behind_tls_proxy: bool,
}

/// What one device, or all of them, may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Most QUIC connections at a time; beyond it, newcomers are refused and come again by themselves.
    pub connections_max: u32,
    /// Most QUIC connections of one address at a time. A whole village may stand behind one address of a carrier.
    pub connections_per_address_max: u32,
    /// Most QUIC connections of one device at a time; the oldest is closed when one more is admitted.
    pub connections_per_device_max: u32,
    /// Unfinished handshakes beyond which a newcomer must first prove its address (QUIC Retry, one more round trip).
    pub half_open_before_retry: u32,
    /// Most connection attempts waiting to be looked at; more are dropped and come again by themselves.
    pub incoming_max: u32,
    /// Most packs stored for one device in 24 hours; more are refused for the time being, never for good.
    pub packs_per_device_per_day_max: u32,
    /// Most bytes of packs, before compression, stored for one device in 24 hours; more are refused for the time being, never for good.
    pub bytes_per_device_per_day_max: u64,
    /// Most sessions one device opens in a minute; more are told to come back after a minute.
    pub sessions_per_device_per_minute_max: u32,
    /// Free bytes on the data disk below which nothing is accepted, so that the hub can still write its own decisions.
    pub disk_reserve_bytes: u64,
}

/// Where backups go.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupConfig {
    /// Where `qianmo-server backup` writes when no `--to` is given; best on another disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dir: Option<PathBuf>,
}

/// What is logged, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// The least important line that is still written.
    pub level: LogLevel,
    /// For people or for a log collector.
    pub format: LogFormat,
}

/// How important a log line is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// A person must look.
    Error,
    /// Odd, carried on.
    Warn,
    /// Lifecycle.
    #[default]
    Info,
    /// One line or more a session.
    Debug,
    /// One line or more a message.
    Trace,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people: one line of text.
    #[default]
    Text,
    /// For a log collector: one JSON object a line.
    Json,
}

impl LogLevel {
    /// The word in the file, and what `tracing` calls it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            data_dir: PathBuf::from("/var/lib/qianmo"),
            organisation: OrganisationConfig::default(),
            quic: QuicConfig::default(),
            web: WebConfig::default(),
            limits: LimitsConfig::default(),
            backup: BackupConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl Default for QuicConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv6Addr::UNSPECIFIED, 4433)), advertise: Vec::new() }
    }
}

impl Default for WebConfig {
    fn default() -> Self {
        Self { listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)), behind_tls_proxy: false }
    }
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            connections_per_address_max: 512,
            connections_per_device_max: 4,
            half_open_before_retry: 64,
            incoming_max: 1_024,
            packs_per_device_per_day_max: 20_000,
            bytes_per_device_per_day_max: 2 * 1024 * 1024 * 1024,
            sessions_per_device_per_minute_max: 60,
            disk_reserve_bytes: 1024 * 1024 * 1024,
        }
    }
}

impl QuicConfig {
    /// The addresses to write into tickets: those advertised, or else the one listened on if it is a specific one.
    #[must_use]
    pub fn ticket_addresses(&self) -> Vec<HostPort> {
        if self.advertise.is_empty() && !self.listen.ip().is_unspecified() {
            HostPort::from_socket(self.listen).into_iter().collect()
        } else {
            self.advertise.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example is what administrators copy; it must say what the code does.
    const EXAMPLE: &str = include_str!("../../deploy/qianmo.example.toml");

    #[test]
    fn shipped_example_passes_the_check() {
        let config = ServerConfig::from_toml(EXAMPLE, "example").unwrap();
        config.check().unwrap();
        assert_eq!(config.limits, LimitsConfig::default(), "the example shows the defaults");
        assert_eq!(config.data_dir, ServerConfig::default().data_dir);
        assert_eq!(config.web, WebConfig::default());
        assert_eq!(config.quic.listen, QuicConfig::default().listen);
    }

    #[test]
    fn shipped_example_names_every_key() {
        let mut full = ServerConfig::default();
        full.backup.dir = Some(PathBuf::from("/b"));
        let table = toml::Table::try_from(full).unwrap();
        for (section, value) in &table {
            assert!(EXAMPLE.contains(section.as_str()), "the example lacks {section}");
            for key in value.as_table().into_iter().flat_map(toml::Table::keys) {
                assert!(EXAMPLE.lines().any(|line| line.starts_with(&format!("{key} ="))), "the example lacks {key}");
            }
        }
    }

    #[test]
    fn config_written_out_is_read_back_equal() {
        let mut config = ServerConfig::default();
        config.quic.advertise = vec!["hub.example.org:4433".parse().unwrap()];
        config.backup.dir = Some(PathBuf::from("/srv/backup"));
        config.log = LogConfig { level: LogLevel::Trace, format: LogFormat::Json };
        let text = toml::to_string(&config).unwrap();
        assert_eq!(ServerConfig::from_toml(&text, "written").unwrap(), config);
    }

    #[test]
    fn ticket_carries_the_listening_address_only_if_it_is_specific() {
        let mut quic = QuicConfig::default();
        assert_eq!(quic.ticket_addresses(), Vec::new());
        quic.listen = "192.0.2.7:4433".parse().unwrap();
        assert_eq!(quic.ticket_addresses(), vec!["192.0.2.7:4433".parse().unwrap()]);
        quic.advertise = vec!["hub.example.org:443".parse().unwrap()];
        assert_eq!(quic.ticket_addresses(), vec!["hub.example.org:443".parse().unwrap()]);
    }
}
