//! A host and port as a tablet will dial it.
//!
//! Names are kept as names: the tablet resolves them, so that a hub may move without new tickets.

use core::fmt;
use core::num::NonZeroU16;
use core::str::FromStr;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Most bytes of a domain name (RFC 1035).
const HOST_BYTES_MAX: usize = 253;

/// A host (name, IPv4, or IPv6 in brackets) and a port that is not 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    host: Host,
    port: NonZeroU16,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Host {
    Address(IpAddr),
    Name(String),
}

/// Why a text is not a [`HostPort`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostPortError {
    /// No `:port` at the end.
    #[error("{text:?} has no port; write it as host:port, such as hub.example.org:4433 or [2001:db8::1]:4433")]
    NoPort {
        /// What was given.
        text: String,
    },
    /// The port is not a number from 1 to 65535.
    #[error("{port:?} is not a port from 1 to 65535")]
    Port {
        /// What was given.
        port: String,
    },
    /// The host is neither an address nor a domain name.
    #[error("{host:?} is neither an IP address nor a domain name (letters, digits, '-' and '.', IPv6 in brackets)")]
    Host {
        /// What was given.
        host: String,
    },
}

impl HostPort {
    /// The same address as a socket has it; `None` for port 0.
    #[must_use]
    pub fn from_socket(socket: SocketAddr) -> Option<Self> {
        Some(Self { host: Host::Address(socket.ip()), port: NonZeroU16::new(socket.port())? })
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port.get()
    }

    /// The host without brackets: what a resolver takes.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.host {
            Host::Address(address) => address.to_string(),
            Host::Name(name) => name.clone(),
        }
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_loopback(),
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
        }
    }

    /// Whether it is `0.0.0.0` or `[::]`, which nobody can dial.
    #[must_use]
    pub const fn is_unspecified(&self) -> bool {
        match &self.host {
            Host::Address(address) => address.is_unspecified(),
            Host::Name(_) => false,
        }
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let no_port = || HostPortError::NoPort { text: text.to_owned() };
        let (host, port) = text.rsplit_once(':').ok_or_else(no_port)?;
        if text.ends_with(']') {
            return Err(no_port());
        }
        let port = port.parse().map_err(|_| HostPortError::Port { port: port.to_owned() })?;
        let bad_host = || HostPortError::Host { host: host.to_owned() };
        let host = if let Some(inner) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Host::Address(IpAddr::V6(inner.parse::<Ipv6Addr>().map_err(|_| bad_host())?))
        } else if let Ok(address) = host.parse() {
            Host::Address(IpAddr::V4(address))
        } else if is_domain_name(host) {
            Host::Name(host.to_ascii_lowercase())
        } else {
            return Err(bad_host());
        };
        Ok(Self { host, port })
    }
}

/// Labels of letters, digits and inner hyphens, the last one not a number (which would be a mistyped IPv4 address).
fn is_domain_name(host: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.len() <= HOST_BYTES_MAX
        && host.split('.').all(is_label)
        && host.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]:{}", self.port),
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}:{}", self.port),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

impl TryFrom<String> for HostPort {
    type Error = HostPortError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(address: HostPort) -> Self {
        address.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_are_written_as_they_were_read() {
        for text in ["192.0.2.1:4433", "[2001:db8::1]:4433", "hub.example.org:443", "hub:1", "localhost:65535"] {
            assert_eq!(text.parse::<HostPort>().unwrap().to_string(), text);
        }
        assert_eq!("HUB.Example.org:1".parse::<HostPort>().unwrap().to_string(), "hub.example.org:1");
    }

    #[test]
    fn faulty_addresses_are_refused_with_the_part_that_is_wrong() {
        let fault = |text: &str| text.parse::<HostPort>().unwrap_err();
        assert!(matches!(fault("hub.example.org"), HostPortError::NoPort { .. }));
        assert!(matches!(fault("[2001:db8::1]"), HostPortError::NoPort { .. }));
        assert!(matches!(fault("hub:0"), HostPortError::Port { .. }));
        assert!(matches!(fault("hub:65536"), HostPortError::Port { .. }));
        assert!(matches!(fault("2001:db8::1:4433"), HostPortError::Host { .. }));
        for host in ["", "-a", "a-", "a..b", "a b", "192.0.2.300", "a_b", "田.cn"] {
            assert!(matches!(fault(&format!("{host}:1")), HostPortError::Host { .. }), "{host}");
        }
        assert!(matches!(fault(&format!("{}:1", "a.".repeat(200))), HostPortError::Host { .. }));
    }

    #[test]
    fn what_others_cannot_dial_is_known() {
        for text in ["127.0.0.1:1", "[::1]:1", "localhost:1"] {
            assert!(text.parse::<HostPort>().unwrap().is_loopback());
        }
        for text in ["0.0.0.0:1", "[::]:1"] {
            assert!(text.parse::<HostPort>().unwrap().is_unspecified());
        }
        assert!(!"192.0.2.1:1".parse::<HostPort>().unwrap().is_loopback());
    }
}
