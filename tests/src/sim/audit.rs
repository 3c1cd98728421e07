//! Checkers that read what the others only look at through the running programs: logs frame by frame, decisions entry by
//! entry, and what rights say.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_client_core::Delivery;
use qianmo_client_core::simulation::record_of;
use qianmo_protocol::control::Device;
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, EntryHash, LogId, LogbookName};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::session::message::Message;
use qianmo_protocol::time::Month;
use qianmo_protocol::vector::{WireVector, plan};
use qianmo_protocol::wire::Wire as _;
use qianmo_replica::disk::{CrashMode, Disk as _};
use qianmo_replica::frames::{LocalFrame, PackFrame, PackOrigin};
use qianmo_replica::pack_log::{FrameKind, ScanFrom, parse_segment_file_name};
use qianmo_replica::replica::{Delivery as StoreDelivery, Replica, Role};
use qianmo_server::hub::HubCore;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::check::holds;
use super::machines::Machine;
use super::model::Made;
use super::world::World;

/// Frames of a log that can be read, oldest first.
fn frames(replica: &Replica) -> impl Iterator<Item = qianmo_replica::pack_log::Frame> {
    let scan = replica.pack_log().scan_from(ScanFrom::Start).into_iter().flatten();
    scan.filter_map(Result::ok).map(|(_, frame)| frame)
}

fn decisions(replica: &Replica) -> BTreeSet<EntryHash> {
    replica.control().iter().map(|(hash, _)| *hash).collect()
}

impl World<'_> {
    /// What only a look at every frame, entry and right shows; at the end, when everything has come to rest.
    pub(super) fn audit(&mut self) {
        let Some(hub) = self.office.core.take() else { return };
        let mut found = Vec::new();
        found.extend(self.forgotten_decision(&hub));
        found.extend(self.beyond_a_right(&hub));
        found.extend(self.too_far_ahead(&hub));
        found.extend(saved_bytes_of_erased("the hub", hub.replica()));
        found.extend(self.digest_from_packs(&hub));
        for (number, seat) in self.seats.iter().enumerate() {
            let Some(core) = &seat.core else { continue };
            let who = format!("tablet {number}");
            found.extend(saved_bytes_of_erased(&who, core.replica()));
            found.extend(goes_on_in_copied_log(&who, core.replica(), &seat.device()));
            found.extend(self.miscounted(number));
            found.extend(not_durable(&who, &seat.machine));
        }
        found.extend(not_durable("the hub", &self.office.machine));
        self.office.core = Some(hub);
        found.extend(self.told_in_no_backup());
        if let Some(text) = found.into_iter().next() {
            self.problem(text);
        }
    }

    /// Rights are about to end: what the hub holds by then stays.
    pub(super) fn note_rights_end(&mut self, who: &str, is_theirs: impl Fn(&Made) -> bool) {
        let Some(core) = &self.office.core else { return };
        let theirs = self.model.changes.iter().filter(|(_, made)| is_theirs(made));
        let held = theirs.filter(|(hash, made)| holds(core.replica(), &made.doc, hash)).map(|(hash, _)| *hash);
        let held: BTreeSet<ChangeHash> = held.collect();
        self.model.held_then.entry(who.to_owned()).or_default().extend(held);
    }

    /// I19: a change goes on from the version its author was shown, or from what is left of it.
    pub(super) fn check_authored_at(
        &mut self,
        seat: usize,
        doc: DocId,
        base: &BTreeSet<ChangeHash>,
        change: &ChangeHash,
    ) {
        let written = self.seats[seat].core.as_ref().and_then(|core| core.replica().change_of(&doc, change).ok());
        let deps = written.flatten().map(|change| change.head().deps.clone()).unwrap_or_default();
        let mut shown = base.clone();
        shown.extend(base.iter().flat_map(|head| self.model.history(head)));
        if let Some(unseen) = deps.iter().find(|dep| !shown.contains(dep)) {
            self.problem(format!("I19: tablet {seat} wrote {change} over {unseen}, which its author was not shown"));
        }
    }

    /// I19: a decision is about the version its author was shown.
    pub(super) fn check_decided_at(
        &mut self,
        seat: usize,
        doc: DocId,
        base: &BTreeSet<ChangeHash>,
        shown: &BTreeSet<ChangeHash>,
        filed: &BTreeSet<ChangeHash>,
    ) {
        let document = self.seats[seat].core.as_ref().and_then(|core| core.replica().document(&doc).ok().flatten());
        let is_there = document.is_some_and(|document| base.iter().all(|head| document.contains(head)));
        if is_there && shown != filed {
            self.problem(format!("I19: tablet {seat} filed a decision about {doc} under a version that was not shown"));
        }
    }

    /// A tablet that has just learned of another life of the hub must not call safe what that one lacks.
    pub(super) fn hears_of_epoch(&mut self, seat: usize) {
        let beacon = self.seats[seat].core.as_ref().and_then(|core| core.replica().newest_beacon());
        let epoch = beacon.map(|beacon| beacon.epoch);
        if epoch != self.seats[seat].epoch {
            self.seats[seat].epoch = epoch;
            self.check_told(seat);
        }
    }

    /// I23: records go to nobody who is revoked, or whom nobody confirmed since the hub was restored (A15).
    pub(super) fn check_may_be_sent(&mut self, link: u64, message: &Message) {
        let (Message::Pack(pack), Some(seat)) = (message, self.links.get(&link).map(|link| link.tablet)) else {
            return;
        };
        let device = self.seats[seat].device();
        let fold = self.office.core.as_ref().map(|core| core.replica().control().fold());
        let is_revoked = fold.and_then(|fold| fold.device(&device)).is_some_and(Device::is_revoked);
        let why = if is_revoked { "is revoked" } else { "is not confirmed" };
        if is_revoked || self.office.unconfirmed.contains(&device) {
            self.problem(format!("I23: {device} was sent a pack of {}, and {why}", pack.header.logbook));
        }
    }

    fn is_bound_seat(&self, number: usize) -> bool {
        let seat = &self.seats[number];
        self.model.revoked.contains(&seat.device()) || seat.is_hostile
    }

    /// I11: what was decided and is known to anybody is known to the hub, also to one that was restored; and to everybody.
    fn forgotten_decision(&self, hub: &HubCore) -> Option<String> {
        let known = decisions(hub.replica());
        self.seats.iter().enumerate().filter(|(number, _)| !self.is_bound_seat(*number)).find_map(|(number, seat)| {
            let here = decisions(seat.core.as_ref()?.replica());
            if let Some(entry) = here.difference(&known).next() {
                return Some(format!("I11: tablet {number} knows the decision {entry}, and the hub does not"));
            }
            let entry = known.difference(&here).next()?;
            Some(format!("I11: tablet {number} never heard of the decision {entry}"))
        })
    }

    /// I11: what was written after a device was revoked, or a person's last grant cut, is shown by nobody.
    fn beyond_a_right(&self, hub: &HubCore) -> Option<String> {
        if self.model.has_released {
            return None;
        }
        let fold = hub.replica().control().fold();
        let shown = |doc: &DocId, hash: &ChangeHash| {
            let document = hub.replica().document(doc).ok().flatten();
            document.is_some_and(|document| document.contains(hash))
        };
        let persons: BTreeMap<DeviceId, &qianmo_protocol::ids::Code> =
            self.seats.iter().map(|seat| (seat.device(), &seat.person)).collect();
        self.model.changes.iter().find_map(|(hash, made)| {
            let is_revoked = fold.device(&made.device).is_some_and(|device| device.is_revoked());
            let beyond_revocation = is_revoked && self.model.is_beyond(&made.device.to_string(), hash);
            let person = persons.get(&made.device)?;
            let is_cut = fold.grants_of(person).all(|(grant, _)| fold.is_cut(grant));
            let beyond_cut = is_cut && self.model.is_beyond(&person.to_string(), hash);
            let which = if beyond_revocation { "revoked" } else { "without a right" };
            let is_wrong = (beyond_revocation || beyond_cut) && shown(&made.doc, hash);
            is_wrong.then(|| format!("I11: the hub shows {hash}, written on {} when it was {which}", made.device))
        })
    }

    /// A7: nothing is filed years ahead, and what is, is not shown.
    fn too_far_ahead(&self, hub: &HubCore) -> Option<String> {
        let newest: Month = self.hub_time().month_in_shanghai()?.plus(3);
        if self.model.has_released {
            return None;
        }
        hub.replica().all_records().ok()?.into_iter().find_map(|doc| {
            let LogbookName::StationMonth(_, month) = hub.replica().home_of(&doc).ok()?? else { return None };
            let is_shown = hub.replica().document(&doc).ok().flatten().is_some();
            (month > newest && is_shown).then(|| format!("A7: the hub shows {doc}, filed under {month}"))
        })
    }

    /// I22: what a tablet says of how much waits is what waits.
    fn miscounted(&self, number: usize) -> Option<String> {
        let core = self.seats[number].core.as_ref()?;
        let records = core.replica().all_records().ok()?;
        let waits = |doc: &&DocId| core.replica().delivery(doc).is_ok_and(|one| one == StoreDelivery::Waiting);
        let (says, has) = (core.status().waiting, records.iter().filter(waits).count());
        (says != has).then(|| format!("I22: tablet {number} says that {says} records wait, and {has} do"))
    }

    /// I22: what is said to be backed up is in the newest backup.
    fn told_in_no_backup(&self) -> Option<String> {
        let mut told: BTreeMap<ChangeHash, DocId> = BTreeMap::new();
        for (number, seat) in self.seats.iter().enumerate().filter(|(number, _)| !self.is_bound_seat(*number)) {
            let core = self.seats[number].core.as_ref()?;
            for doc in core.replica().all_records().unwrap_or_default() {
                let view = core.record(record_of(doc)).ok().flatten();
                if view.is_none_or(|view| view.row.delivery != Delivery::BackedUp) {
                    continue;
                }
                let own = self.model.changes_of(doc).filter(|(_, made)| made.device == seat.device());
                told.extend(own.filter(|(hash, _)| holds(core.replica(), &doc, hash)).map(|(hash, _)| (*hash, doc)));
            }
        }
        told.retain(|_, doc| !self.model.purged.contains(doc));
        let (first, _) = told.first_key_value()?;
        let Some(backup) = self.office.backups.last() else {
            return Some(format!("I22: {first} is said to be backed up, and there is no backup"));
        };
        let replica = self.read_disk(&backup.image, Role::Tablet, self.office.hub_device_key());
        let lacking = told.iter().find(|(hash, doc)| !holds(&replica, doc, hash));
        lacking.map(|(hash, _)| format!("I22: {hash} is said to be backed up, and the newest backup lacks it"))
    }

    /// I5: the state digest is what follows from the packs, computed here anew. Where something is held or erased only the
    /// product's own rules say what counts, so those runs are left out.
    fn digest_from_packs(&self, hub: &HubCore) -> Option<String> {
        let replica = hub.replica();
        let fold = replica.control().fold();
        if fold.holding().next().is_some() || fold.purges().next().is_some() {
            return None;
        }
        replica.state_digests().into_iter().find_map(|(name, digest)| {
            let mut docs: BTreeMap<DocId, BTreeMap<ChangeHash, Vec<ChangeHash>>> = BTreeMap::new();
            for node in plan(replica, &name, &WireVector::default()).send {
                for entry in replica.pack(&name, &node.hash)?.open().ok()? {
                    let deps = entry.change()?.head().deps.clone();
                    docs.entry(entry.doc()).or_default().insert(entry.hash(), deps);
                }
            }
            let is_whole = |changes: &BTreeMap<ChangeHash, Vec<ChangeHash>>| {
                changes.values().flatten().all(|dep| changes.contains_key(dep))
            };
            if !docs.values().all(is_whole) {
                return None;
            }
            let sum = docs.iter().fold(StateDigest::EMPTY, |sum, (doc, changes)| {
                let inner: BTreeSet<&ChangeHash> = changes.values().flatten().collect();
                let heads: Vec<ChangeHash> = changes.keys().filter(|hash| !inner.contains(hash)).copied().collect();
                sum.plus(StateDigest::of_document(doc, &heads, &[]))
            });
            (sum != digest).then(|| format!("I5: the digest of {name} is not that of its documents"))
        })
    }
}

/// I1: when all is at rest, a power cut that drops whatever was never synced takes nothing from a log.
fn not_durable(who: &str, machine: &Machine) -> Option<String> {
    let after = machine.disk.crash(CrashMode::DropUnsynced, &mut StdRng::seed_from_u64(1));
    let mut segments = machine.disk.list().ok()?.into_iter().map(|entry| entry.name);
    let is_short = |name: &String| machine.disk.contents(name) != after.contents(name);
    let name = segments.find(|name| parse_segment_file_name(name).is_some() && is_short(name))?;
    Some(format!("I1: {who} would lose part of {name} in a power cut"))
}

/// I13: no saved copy of what was erased is left either.
fn saved_bytes_of_erased(who: &str, replica: &Replica) -> Option<String> {
    let fold = replica.control().fold();
    let saved = frames(replica).filter(|frame| frame.kind == FrameKind::Local);
    let entries = saved.filter_map(|frame| LocalFrame::decode(&frame.payload).ok()).flat_map(|frame| frame.entries);
    let mut docs = entries.filter(|entry| entry.change().is_some()).map(|entry| entry.doc());
    let doc = docs.find(|doc| fold.is_document_purged(doc))?;
    Some(format!("I13: {who} still has saved bytes of the erased {doc}"))
}

/// I3: whoever has seen another copy of itself write into its log writes no further pack there.
fn goes_on_in_copied_log(who: &str, replica: &Replica, device: &DeviceId) -> Option<String> {
    let mut ended: BTreeSet<(LogbookName, LogId)> = BTreeSet::new();
    let packs = frames(replica).filter(|frame| frame.kind == FrameKind::Pack);
    for frame in packs.filter_map(|frame| PackFrame::decode(&frame.payload).ok()) {
        let header = frame.pack.header;
        let place = (header.logbook, header.log);
        match frame.origin {
            PackOrigin::Foreign if header.log.device == *device => drop(ended.insert(place)),
            PackOrigin::Own { .. } if ended.contains(&place) => {
                return Some(format!("I3: {who} goes on in a log of {} in which its copy writes", place.0));
            }
            PackOrigin::Foreign | PackOrigin::Own { .. } => {}
        }
    }
    None
}
