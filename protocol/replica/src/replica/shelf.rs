//! What a session reads of a replica.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::beacon::SignedBeacon;
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::{Admission, ControlLog, Role as GrantRole, Scope};
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{DeviceId, DocId, Epoch, HubId, LogId, LogbookId, LogbookName, OrgId, PackHash};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::receipt::SignedReceipt;
use qianmo_protocol::session::{Access, Shelf};
use qianmo_protocol::vector::{LogTrees, PackNode, Selection, Stations, Tip, Vector, WireVector};
use qianmo_protocol::wire::Wire;

use super::{Replica, ReplicaError, Role};
use crate::overlay::{RowError, decode};
use crate::rows::{self, Judged, PackRow};

/// The meta key of the newest beacon.
pub(crate) const BEACON_KEY: &[u8] = b"beacon";

impl Replica {
    /// Gives what was read; a failing index is remembered for the next `sync`, and the caller sees nothing held, which a
    /// peer makes good by sending again.
    fn or_failed<T: Default, E: Into<ReplicaError>>(&self, read: Result<T, E>) -> T {
        read.unwrap_or_else(|error| {
            let error: ReplicaError = error.into();
            self.failed.get_or_init(|| error.to_string());
            T::default()
        })
    }

    fn judged_node(&self, id: &LogbookId, hash: &PackHash) -> Result<Option<PackNode>, RowError> {
        let row = self.index.get::<PackRow>(&rows::pack(id, hash))?;
        let row = row.filter(|row| row.judged == Judged::Yes);
        Ok(row.map(|row| PackNode { hash: *hash, prev: row.prev, seq: row.seq, commit: row.pointer.commit.0 }))
    }

    fn judged_nodes_at(&self, id: &LogbookId, log: &LogId, seq: u32) -> Result<Vec<PackNode>, RowError> {
        let mut nodes = Vec::new();
        for (key, _) in self.index.scan_all(&rows::nodes_at(id, log, seq))? {
            let Some(hash) = rows::tail::<32>(&key).map(PackHash) else { continue };
            nodes.extend(self.judged_node(id, &hash)?);
        }
        Ok(nodes)
    }

    /// Whether a person of the device may read every station.
    fn reads_the_district(&self, peer: &DeviceId) -> bool {
        let fold = self.control.fold();
        let mut grants = fold.persons_of(peer).flat_map(|person| fold.grants_of(person));
        grants.any(|(hash, grant)| {
            grant.scope == Scope::District && grant.role != GrantRole::Viewer && !fold.is_cut(hash)
        })
    }

    /// Whether a pack is the given tip or before it in its log. The walk ends at the pack's place.
    pub(crate) fn is_at_or_before(&self, id: &LogbookId, pack: &PackHash, tip: &PackHash) -> bool {
        let read = |hash: &PackHash| self.or_failed(self.index.get::<PackRow>(&rows::pack(id, hash)));
        let Some(seq) = read(pack).map(|row| row.seq) else { return false };
        let mut at = *tip;
        while let Some(row) = read(&at) {
            if at == *pack {
                return true;
            }
            if row.seq <= seq {
                return false;
            }
            at = row.prev;
        }
        false
    }
}

impl LogTrees for Replica {
    fn tips(&self, logbook: &LogbookName) -> Vec<Tip> {
        self.books.get(logbook).map(|book| book.tips.iter().copied().collect()).unwrap_or_default()
    }

    fn node(&self, logbook: &LogbookName, hash: &PackHash) -> Option<PackNode> {
        self.or_failed(self.judged_node(&logbook.id(&self.org), hash))
    }

    fn nodes_at(&self, logbook: &LogbookName, log: &LogId, seq: u32) -> Vec<PackNode> {
        self.or_failed(self.judged_nodes_at(&logbook.id(&self.org), log, seq))
    }
}

impl Shelf for Replica {
    fn org(&self) -> OrgId {
        self.org
    }

    fn control(&self) -> &ControlLog {
        &self.control
    }

    fn access(&self, peer: &DeviceId) -> Access {
        let fold = self.control.fold();
        match self.identity.role {
            Role::Hub { epoch, .. } => match fold.may_connect(peer, &epoch) {
                Admission::Full if self.upload_only.contains(peer) => Access::UploadOnly,
                Admission::Full => Access::Full,
                Admission::UploadOnly(_) => Access::UploadOnly,
                Admission::Unknown | Admission::Refused => Access::Unknown,
            },
            // A tablet does not ask for a confirmation after a restore: that is the hub's business.
            Role::Tablet => match fold.device(peer).filter(|device| device.is_enrolled() && !device.has_two_keys()) {
                Some(device) if device.is_revoked() => Access::UploadOnly,
                Some(_) => Access::Full,
                None => Access::Unknown,
            },
        }
    }

    fn may_read(&self, peer: &DeviceId, logbook: &LogbookName) -> bool {
        injected(Bug::ScopeIgnored) || self.control.fold().may_read(peer, logbook)
    }

    fn narrowed(&self, peer: &DeviceId, selection: &Selection) -> Option<Selection> {
        let fold = self.control.fold();
        let asked: BTreeSet<_> = match &selection.stations {
            Stations::All => {
                if self.reads_the_district(peer) {
                    return None;
                }
                self.books.keys().filter_map(LogbookName::station).cloned().collect()
            }
            Stations::These(stations) => stations.clone(),
        };
        let allowed: BTreeSet<_> = asked
            .iter()
            .filter(|station| fold.may_read(peer, &LogbookName::StationDirectory((*station).clone())))
            .cloned()
            .collect();
        let is_same = matches!(&selection.stations, Stations::These(stations) if *stations == allowed);
        (!is_same).then(|| Selection { stations: Stations::These(allowed), ..selection.clone() })
    }

    fn logbooks(&self) -> Vec<LogbookName> {
        let held = self.books.iter().filter(|(_, book)| !book.tips.is_empty());
        held.map(|(name, _)| name.clone()).collect()
    }

    fn vector(&self, logbook: &LogbookName) -> WireVector {
        self.books.get(logbook).map(|book| Vector(book.tips.clone()).to_wire()).unwrap_or_default()
    }

    fn vector_digest(&self, logbook: &LogbookName) -> [u8; 32] {
        self.books.get(logbook).map_or_else(|| Vector::default().digest(), |book| book.vector_digest)
    }

    fn state_digest(&self, logbook: &LogbookName) -> Option<StateDigest> {
        match self.books.get(logbook) {
            Some(book) if book.unjudged > 0 => None,
            Some(book) => Some(book.state),
            None => Some(StateDigest::EMPTY),
        }
    }

    fn pack(&self, logbook: &LogbookName, hash: &PackHash) -> Option<Pack> {
        self.or_failed(self.read_pack(&logbook.id(&self.org), hash))
    }

    fn receipts(&self, pack: &PackHash) -> Vec<SignedReceipt> {
        self.or_failed(self.receipts_naming(pack))
    }

    fn beacon(&self) -> Option<SignedBeacon> {
        let stored = self.or_failed(self.meta(BEACON_KEY));
        stored.and_then(|bytes| SignedBeacon::decode(&bytes).ok())
    }

    fn hub(&self) -> Option<(HubId, Epoch)> {
        match self.identity.role {
            Role::Tablet => None,
            Role::Hub { hub, epoch } => Some((hub, epoch)),
        }
    }
}

impl Replica {
    /// A device's program is older than the control log's minimum version: it may upload, and is sent no records (A4).
    pub fn limit_to_upload(&mut self, device: DeviceId) {
        self.upload_only.insert(device);
    }

    /// A device's program is new enough.
    pub fn lift_upload_limit(&mut self, device: &DeviceId) {
        self.upload_only.remove(device);
    }

    /// What a logbook's state digest is the sum of: in which documents two replicas differ, when they do.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn state_parts(&self, logbook: &LogbookName) -> Result<BTreeMap<DocId, String>, ReplicaError> {
        let mut parts = BTreeMap::new();
        for (key, value) in self.index.scan_all(rows::DOCS)? {
            let Some(doc) = rows::tail::<16>(&key).map(DocId) else { continue };
            let row: rows::DocRow = decode(&key, &value)?;
            if row.logbook != *logbook {
                continue;
            }
            let standing = self.standing_of(&doc)?;
            let changes = standing
                .changes
                .iter()
                .map(|(hash, change)| format!("{hash} packed {} admitted {}", change.is_packed, change.is_admitted));
            let changes: Vec<String> = changes.collect();
            parts.insert(doc, format!("{:?} {}", row.part, changes.join(", ")));
        }
        Ok(parts)
    }

    /// Every logbook with its state digest, as peers compare it.
    #[must_use]
    pub fn state_digests(&self) -> Vec<(LogbookName, StateDigest)> {
        let held = self.books.iter().filter(|(_, book)| !book.tips.is_empty());
        held.map(|(name, book)| (name.clone(), book.state)).collect()
    }
}
