//! How many connections come from one address.
//!
//! A whole village may stand behind one address of a carrier, so the limits are wide; they keep one machine from taking all
//! places. Until an address is proved (QUIC Retry) anybody can write it, so an address over its limits is first asked for
//! the proof and only then refused: a stranger cannot use up the places of a station in its name.
//!
//! # Limits
//!
//! The table holds an entry for each address with a connection, so it is no larger than the number of connections.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What one address has at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    /// Handshakes under way.
    pub(crate) half_open: usize,
    /// Connections, half-open ones included.
    pub(crate) open: usize,
}

/// The connections by address. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<BTreeMap<IpAddr, Held>>>);

/// One place of an address; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Addresses,
    address: IpAddr,
    kind: Kind,
}

/// What a place is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A handshake under way.
    HalfOpen,
    /// A connection.
    Open,
}

impl Held {
    const fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::HalfOpen => &mut self.half_open,
            Kind::Open => &mut self.open,
        }
    }
}

impl Addresses {
    /// What an address has.
    pub(crate) fn held(&self, address: IpAddr) -> Held {
        self.lock().get(&network_of(address)).copied().unwrap_or_default()
    }

    /// Takes a place.
    pub(crate) fn take(&self, address: IpAddr, kind: Kind) -> Place {
        let address = network_of(address);
        *self.lock().entry(address).or_default().count(kind) += 1;
        Place { addresses: self.clone(), address, kind }
    }

    /// The table stays right even if a holder of the lock panicked: every change of it is one number.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self.addresses.lock();
        let Some(held) = table.get_mut(&self.address) else { return };
        let count = held.count(self.kind);
        *count = count.saturating_sub(1);
        if *held == Held::default() {
            table.remove(&self.address);
        }
    }
}

/// Whoever has one IPv6 address has the whole /64; an IPv4 address counts for itself, however it is written.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_by_network_and_given_back() {
        let addresses = Addresses::default();
        let at = |text: &str| -> IpAddr { text.parse().unwrap() };
        let one = addresses.take(at("192.0.2.7"), Kind::HalfOpen);
        let two = addresses.take(at("::ffff:192.0.2.7"), Kind::Open);
        assert_eq!(addresses.held(at("192.0.2.7")), Held { half_open: 1, open: 1 });
        assert_eq!(addresses.held(at("192.0.2.8")), Held::default());
        let six = addresses.take(at("2001:db8:0:1::5"), Kind::Open);
        assert_eq!(addresses.held(at("2001:db8:0:1:ffff::")).open, 1, "the same /64");
        assert_eq!(addresses.held(at("2001:db8:0:2::5")).open, 0);
        drop((one, two, six));
        assert!(addresses.lock().is_empty(), "nothing is kept of an address without connections");
    }
}
