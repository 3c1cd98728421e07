//! The open connections by device, so that a revocation reaches them at once.
//!
//! # Invariants
//!
//! 1. A device has at most the given number of connections: a further one closes its oldest, because a tablet that lost
//!    its network leaves dead ones behind and must not be locked out by them.
//! 2. An entry goes when its [`Registration`] is dropped, whatever happened to the task that held it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::ids::DeviceId;

use crate::listener::tls::number;

/// The open connections by device. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Connections {
    table: Arc<Mutex<Table>>,
    per_device_max: usize,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    /// By (device, order of arrival).
    open: BTreeMap<(DeviceId, u64), quinn::Connection>,
}

/// One entry; dropping it takes the connection out.
#[derive(Debug)]
pub(crate) struct Registration {
    connections: Connections,
    entry: (DeviceId, u64),
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.lock().open.remove(&self.entry);
    }
}

impl Connections {
    pub(crate) fn new(per_device_max: usize) -> Self {
        Self { table: Arc::default(), per_device_max: per_device_max.max(1) }
    }

    /// Closes every connection of a device, at once; returns how many there were.
    ///
    /// Write the revocation to the control log first: connections that open afterwards are judged by it.
    pub fn close(&self, device: &DeviceId, code: CloseCode) -> usize {
        let open = self.lock();
        let of_device = open.open.range((*device, u64::MIN)..=(*device, u64::MAX));
        of_device.map(|(_, connection)| connection.close(number(code), b"")).count()
    }

    /// Closes every connection, at once; returns how many there were.
    pub fn close_all(&self, code: CloseCode) -> usize {
        self.lock().open.values().map(|connection| connection.close(number(code), b"")).count()
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The devices that are connected, ascending.
    #[must_use]
    pub fn devices(&self) -> Vec<DeviceId> {
        let mut devices: Vec<DeviceId> = self.lock().open.keys().map(|(device, _)| *device).collect();
        devices.dedup();
        devices
    }

    pub(crate) fn register(&self, device: DeviceId, connection: quinn::Connection) -> Registration {
        let mut table = self.lock();
        let of_device = (device, u64::MIN)..=(device, u64::MAX);
        let excess = (table.open.range(of_device.clone()).count() + 1).saturating_sub(self.per_device_max);
        for (_, oldest) in table.open.range(of_device).take(excess) {
            oldest.close(number(CloseCode::TooManyConnections), b"");
        }
        let entry = (device, table.next);
        table.next = table.next.wrapping_add(1);
        table.open.insert(entry, connection);
        Registration { connections: self.clone(), entry }
    }

    /// The table stays right even if a holder of the lock panicked: every change of it is one insert or one remove.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
