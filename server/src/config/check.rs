//! Judges a configuration that was read: every value that cannot work, all at once, and what to do about it.
//!
//! Pure: neither disk nor network is touched, so a file can be checked on any machine before it is deployed.

use core::fmt;

use qianmo_protocol::limits::PACK_RAW_BYTES_MAX;

use super::{ADVERTISED_MAX, LimitsConfig, QuicConfig, ServerConfig};

/// Least free space that still lets the hub write its own decisions and rewrite a segment for an erasure.
const DISK_RESERVE_BYTES_MIN: u64 = 64 * 1024 * 1024;
/// Most characters of an organisation's name: it stands on every page and ticket.
const NAME_CHARS_MAX: usize = 60;

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The key in the file, or the environment variable.
    pub key: String,
    /// What is wrong with it.
    pub wrong: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.key, self.wrong, self.remedy)
    }
}

/// Everything that is wrong with the configuration, in the order of the file. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFaults(Vec<Fault>);

impl ConfigFaults {
    /// The faults, if there are any.
    pub(super) fn of(faults: Vec<Fault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self(faults)) }
    }

    /// The faults, at least one.
    #[must_use]
    pub fn faults(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.0.len();
        write!(f, "{count} {} in the configuration", if count == 1 { "fault" } else { "faults" })?;
        self.0.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

impl std::error::Error for ConfigFaults {}

/// Collects faults; its one method keeps the rules below readable.
#[derive(Default)]
struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, key: &str, wrong: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Fault { key: key.to_owned(), wrong: wrong.into(), remedy: remedy.into() });
    }
}

impl ServerConfig {
    /// Finds every value that cannot work in service.
    ///
    /// Programs that run for a moment on chosen ports, such as the demo, build a configuration and do not call this.
    ///
    /// # Errors
    ///
    /// All faults at once, each with its key and the remedy.
    pub fn check(&self) -> Result<(), ConfigFaults> {
        let mut faults = Faults::default();
        self.check_folders(&mut faults);
        self.check_name(&mut faults);
        check_quic(&self.quic, &mut faults);
        self.check_web(&mut faults);
        check_limits(&self.limits, &mut faults);
        ConfigFaults::of(faults.0)
    }

    fn check_folders(&self, faults: &mut Faults) {
        if !self.data_dir.is_absolute() {
            faults.add(
                "data_dir",
                format!(
                    "{:?} is not an absolute path, so its place depends on where the hub is started",
                    self.data_dir
                ),
                "write the whole path, such as /var/lib/qianmo",
            );
        }
        let Some(backup) = &self.backup.dir else { return };
        if !backup.is_absolute() {
            faults.add(
                "backup.dir",
                format!("{backup:?} is not an absolute path"),
                "write the whole path, best on another disk",
            );
        }
        if backup.starts_with(&self.data_dir) || self.data_dir.starts_with(backup) {
            faults.add(
                "backup.dir",
                format!(
                    "{backup:?} and data_dir {:?} lie inside one another and would be lost together",
                    self.data_dir
                ),
                "choose a folder elsewhere, best on another disk",
            );
        }
    }

    fn check_name(&self, faults: &mut Faults) {
        let name = &self.organisation.name;
        let chars = name.chars().count();
        if name.trim().is_empty() {
            faults.add("organisation.name", "it is empty", "write the name people know, such as 平谷区农业技术推广站");
        } else if chars > NAME_CHARS_MAX {
            faults.add(
                "organisation.name",
                format!("it has {chars} characters, at most {NAME_CHARS_MAX} fit on a ticket"),
                "shorten it",
            );
        } else if name.chars().any(char::is_control) {
            faults.add("organisation.name", "it has a line break or another control character", "write it on one line");
        }
    }

    fn check_web(&self, faults: &mut Faults) {
        let listen = self.web.listen;
        if listen.port() == 0 {
            faults.add("web.listen", "port 0 picks a new port at every start", "choose a fixed one, such as 8080");
        }
        if !listen.ip().is_loopback() && !self.web.behind_tls_proxy {
            faults.add(
                "web.listen",
                format!(
                    "{listen} can be reached from other machines, and passwords would cross the network unencrypted"
                ),
                "use 127.0.0.1, or put a proxy that speaks TLS before it and set web.behind_tls_proxy = true",
            );
        }
    }
}

fn check_quic(quic: &QuicConfig, faults: &mut Faults) {
    if quic.listen.port() == 0 {
        faults.add(
            "quic.listen",
            "port 0 picks a new port at every start, so enrolled tablets would not find the hub again",
            "choose a fixed one, such as 4433",
        );
    }
    if quic.advertise.is_empty() && quic.listen.ip().is_unspecified() {
        faults.add(
            "quic.advertise",
            "it is empty, so a ticket cannot tell a tablet where the hub is",
            "write the name or address tablets reach, such as [\"hub.example.org:4433\"]",
        );
    }
    if quic.advertise.len() > ADVERTISED_MAX {
        faults.add(
            "quic.advertise",
            format!("it has {} addresses, at most {ADVERTISED_MAX} fit on a ticket", quic.advertise.len()),
            "keep the best ones",
        );
    }
    for address in &quic.advertise {
        if address.is_unspecified() {
            faults.add(
                "quic.advertise",
                format!("nobody can dial {address}"),
                "write the name or address tablets reach",
            );
        } else if address.is_loopback() && !quic.listen.ip().is_loopback() {
            faults.add(
                "quic.advertise",
                format!("{address} means the tablet itself, not this hub"),
                "write the name or address tablets reach",
            );
        }
    }
}

fn check_limits(limits: &LimitsConfig, faults: &mut Faults) {
    let counts = [
        ("limits.connections_max", limits.connections_max, "the default is 1024"),
        (
            "limits.connections_per_address_max",
            limits.connections_per_address_max,
            "the default is 512: many tablets may stand behind one address",
        ),
        (
            "limits.connections_per_device_max",
            limits.connections_per_device_max,
            "2 or more lets a tablet change networks",
        ),
        ("limits.incoming_max", limits.incoming_max, "the default is 1024"),
        ("limits.packs_per_device_per_day_max", limits.packs_per_device_per_day_max, "the default is 20000"),
        (
            "limits.sessions_per_device_per_minute_max",
            limits.sessions_per_device_per_minute_max,
            "the default is 60: a tablet on a bad network tries often",
        ),
    ];
    for (key, value, remedy) in counts {
        if value == 0 {
            faults.add(key, "0 would keep every tablet out", remedy);
        }
    }
    let pack = u64::try_from(PACK_RAW_BYTES_MAX).unwrap_or(u64::MAX);
    if limits.bytes_per_device_per_day_max < pack {
        faults.add(
            "limits.bytes_per_device_per_day_max",
            format!("{} is less than one pack may have, {pack}", limits.bytes_per_device_per_day_max),
            "the default is 2147483648",
        );
    }
    if limits.half_open_before_retry > limits.incoming_max {
        faults.add(
            "limits.half_open_before_retry",
            format!(
                "{} is above limits.incoming_max = {}, so addresses would never be proved under attack",
                limits.half_open_before_retry, limits.incoming_max
            ),
            "make it smaller than limits.incoming_max",
        );
    }
    if limits.disk_reserve_bytes < DISK_RESERVE_BYTES_MIN {
        faults.add(
            "limits.disk_reserve_bytes",
            format!(
                "{} is below {DISK_RESERVE_BYTES_MIN}, too little to finish an erasure on a full disk",
                limits.disk_reserve_bytes
            ),
            "use 1 GiB = 1073741824, or at least 67108864",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound() -> ServerConfig {
        let mut config = ServerConfig::default();
        config.organisation.name = "平谷区农业技术推广站".into();
        config.quic.advertise = vec!["hub.example.org:4433".parse().unwrap()];
        config
    }

    fn keys(config: &ServerConfig) -> Vec<String> {
        match config.check() {
            Ok(()) => Vec::new(),
            Err(faults) => faults.faults().iter().map(|fault| fault.key.clone()).collect(),
        }
    }

    #[test]
    fn sound_configuration_has_no_fault() {
        assert_eq!(keys(&sound()), Vec::<String>::new());
    }

    #[test]
    fn all_faults_are_told_at_once_with_key_and_remedy() {
        let mut config = ServerConfig { data_dir: "data".into(), ..ServerConfig::default() };
        config.backup.dir = Some("data/backup".into());
        config.web.listen = "0.0.0.0:0".parse().unwrap();
        config.limits.incoming_max = 0;
        config.limits.disk_reserve_bytes = 1;
        let told = config.check().unwrap_err();
        assert_eq!(
            told.faults().iter().map(|fault| fault.key.as_str()).collect::<Vec<_>>(),
            [
                "data_dir",
                "backup.dir",
                "backup.dir",
                "organisation.name",
                "quic.advertise",
                "web.listen",
                "web.listen",
                "limits.incoming_max",
                "limits.half_open_before_retry",
                "limits.disk_reserve_bytes"
            ]
        );
        assert!(told.to_string().starts_with("10 faults in the configuration\n  data_dir: "));
        assert!(told.faults().iter().all(|fault| !fault.remedy.is_empty()));
    }

    #[test]
    fn backup_beside_the_data_is_allowed_and_around_it_is_not() {
        let mut config = sound();
        config.backup.dir = Some("/var/lib/qianmo-backup".into());
        assert_eq!(keys(&config), Vec::<String>::new());
        config.backup.dir = Some("/var/lib".into());
        assert_eq!(keys(&config), ["backup.dir"]);
    }

    #[test]
    fn web_beyond_loopback_needs_a_tls_proxy() {
        let mut config = sound();
        config.web.listen = "[::]:8080".parse().unwrap();
        assert_eq!(keys(&config), ["web.listen"]);
        config.web.behind_tls_proxy = true;
        assert_eq!(keys(&config), Vec::<String>::new());
    }

    #[test]
    fn advertised_addresses_must_reach_the_hub() {
        let mut config = sound();
        config.quic.advertise = vec!["127.0.0.1:4433".parse().unwrap(), "0.0.0.0:4433".parse().unwrap()];
        assert_eq!(keys(&config), ["quic.advertise", "quic.advertise"]);
        config.quic.advertise = vec!["127.0.0.1:4433".parse().unwrap()];
        config.quic.listen = "127.0.0.1:4433".parse().unwrap();
        assert_eq!(keys(&config), Vec::<String>::new(), "a hub for this machine alone");
        config.quic.advertise = vec!["hub.example.org:1".parse().unwrap(); ADVERTISED_MAX + 1];
        assert_eq!(keys(&config), ["quic.advertise"]);
        config.quic.listen = "127.0.0.1:0".parse().unwrap();
        config.quic.advertise.truncate(1);
        assert_eq!(keys(&config), ["quic.listen"]);
    }

    #[test]
    fn organisation_name_is_one_short_line() {
        let mut config = sound();
        for name in ["  ", "站\n点", "站".repeat(NAME_CHARS_MAX + 1).as_str()] {
            config.organisation.name = name.into();
            assert_eq!(keys(&config), ["organisation.name"], "{name}");
        }
        config.organisation.name = "站".repeat(NAME_CHARS_MAX);
        assert_eq!(keys(&config), Vec::<String>::new());
    }
}
