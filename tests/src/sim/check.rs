//! The checkers: what must be true at a crash, at a loss, and at the end.
//!
//! None of them trusts what it checks: what was promised is the model's word, and what is there is read from the replicas'
//! own logs, once as the running program shows it and once as a fresh index built from the log alone shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qianmo_client_core::Delivery;
use qianmo_client_core::simulation::{Answered, Tablet, record_of};
use qianmo_protocol::change::RawChange;
use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, LogbookName};
use qianmo_protocol::limits::TIPS_PER_LOG_MAX;
use qianmo_protocol::record::Document;
use qianmo_protocol::review::{ReviewKind, ReviewStatus, Standing};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::{WireVector, plan};
use qianmo_replica::index::MemoryIndex;
use qianmo_replica::replica::{Delivery as StoreDelivery, Identity, Replica, Role};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::field::word_of;
use super::network::Trouble;
use super::office::LostBy;
use super::plan::{HOUR, MINUTE};
use super::world::World;

/// Sessions of each tablet after the network healed, until nothing may be left to say.
pub const ROUNDS_MAX: usize = 12;
/// Messages of one session in which nothing is new: hello, welcome and goodbye, or a subscription.
const SILENT_MESSAGES_MAX: u64 = 4;

/// Whether a replica has a change, shown or held.
pub(super) fn holds(replica: &Replica, doc: &DocId, change: &ChangeHash) -> bool {
    replica.change_of(doc, change).ok().flatten().is_some()
}

impl World<'_> {
    /// A tablet's store was opened: everything that was confirmed on it is there.
    pub(super) fn check_tablet_after_open(&mut self, seat: usize) {
        let Some(core) = self.seats[seat].core.take() else { return };
        let replica = core.replica();
        let missing: Vec<ChangeHash> = self.seats[seat]
            .expected
            .iter()
            .filter(|hash| {
                let doc = self.model.changes.get(hash).map(|made| made.doc);
                doc.is_some_and(|doc| !replica.control().fold().is_document_purged(&doc) && !holds(replica, &doc, hash))
            })
            .copied()
            .collect();
        if let Some(hash) = missing.first() {
            self.problem(format!("I1: tablet {seat} lost {} confirmed changes, such as {hash}", missing.len()));
        }
        let events: Vec<DocId> = self.seats[seat].expected_events.iter().copied().collect();
        for id in events {
            let record = self.model.events.get(&id).map(|event| event.record);
            let is_purged = record.is_some_and(|record| replica.control().fold().is_document_purged(&record))
                || replica.control().fold().is_document_purged(&id);
            let is_evicted = record.is_some_and(|record| replica.home_of(&record).ok().flatten().is_none());
            if !is_purged && !is_evicted && replica.home_of(&id).ok().flatten().is_none() {
                self.problem(format!("I1: tablet {seat} lost the confirmed event {id}"));
            }
        }
        if !self.seats[seat].is_hostile {
            for doc in replica.all_records().unwrap_or_default() {
                self.discover(replica, doc);
            }
        }
        let promised = core::mem::take(&mut self.seats[seat].promised);
        if !promised.is_empty() {
            self.check_promised(seat, replica, &promised);
        }
        let drafts: BTreeMap<[u8; 8], String> = replica
            .drafts()
            .unwrap_or_default()
            .into_iter()
            .map(|(id, content)| (id.0, String::from_utf8_lossy(&content).into_owned()))
            .collect();
        for (id, word) in self.seats[seat].drafts.clone() {
            if drafts.get(&id).is_none_or(|content| !content.contains(&word)) {
                self.problem(format!("I1: tablet {seat} lost the confirmed draft {word}"));
            }
        }
        self.seats[seat].core = Some(core);
    }

    fn check_promised(&mut self, seat: usize, replica: &Replica, promised: &[usize]) {
        let mut words: BTreeSet<String> = BTreeSet::new();
        for doc in replica.all_records().unwrap_or_default() {
            if let Ok(Some(document)) = replica.document(&doc) {
                for story in document.history() {
                    words.extend(story.edits.iter().map(|edit| word_of(&edit.after)));
                }
            }
            words.extend(replica.reviews(&doc).unwrap_or_default().into_iter().map(|view| view.event.note));
        }
        for number in promised {
            // Settling by an old value and writing what others wrote leave no word of their own.
            let step = self.plan.steps.iter().find(|step| step.number == *number).map(|step| step.what);
            let has_word =
                matches!(step, Some(super::plan::What::Act(super::plan::Act::Create | super::plan::Act::Comment)));
            if has_word && !words.contains(&format!("w{number}")) {
                self.problem(format!("I1: tablet {seat} lost w{number}, confirmed before the power went"));
            }
        }
    }

    /// The hub's store was opened: everything that a tablet was told to be with the hub is there.
    pub(super) fn check_hub_after_open(&mut self) {
        for seat in 0..self.seats.len() {
            self.check_told(seat);
        }
    }

    /// What a tablet says of its own work is true.
    pub(super) fn check_told(&mut self, seat: usize) {
        if self.seats[seat].core.is_none() || self.office.core.is_none() {
            return;
        }
        let (Some(tablet), Some(hub)) = (self.seats[seat].core.take(), self.office.core.take()) else { return };
        let replica = tablet.replica();
        // A tablet that has not met the hub's present life cannot know better.
        let knows_epoch = replica.newest_beacon().is_some_and(|beacon| beacon.epoch == hub.epoch());
        if knows_epoch && !self.seats[seat].is_hostile {
            let device = self.seats[seat].device();
            for doc in replica.all_records().unwrap_or_default() {
                let Ok(Some(view)) = tablet.record(record_of(doc)) else { continue };
                // Work that is called neither waiting nor held is called safe, also when nothing at all is said of it.
                let is_told = !matches!(view.row.delivery, Delivery::Waiting | Delivery::Held { .. });
                if !is_told || hub.replica().control().fold().is_document_purged(&doc) {
                    continue;
                }
                let made: Vec<_> = self.model.changes_of(doc).map(|(hash, made)| (*hash, made.clone())).collect();
                for (hash, made) in &made {
                    if made.device != device || !holds(replica, &doc, hash) {
                        continue;
                    }
                    if !holds(hub.replica(), &doc, hash) {
                        let text =
                            format!("I22: tablet {seat} shows {:?} for {hash}, which the hub lacks", view.row.delivery);
                        self.seats[seat].core = Some(tablet);
                        self.office.core = Some(hub);
                        return self.problem(text);
                    }
                    if view.row.delivery == Delivery::BackedUp {
                        self.model.told_backed_up.insert(*hash);
                    }
                }
            }
        }
        self.seats[seat].core = Some(tablet);
        self.office.core = Some(hub);
    }

    /// A logbook was let go of: a backup of the hub holds all of it. Answers whether the newest one does.
    pub(super) fn check_eviction(&mut self, seat: usize, name: &LogbookName, gone: &BTreeSet<ChangeHash>) -> bool {
        let lacking = match self.office.backups.last().cloned() {
            Some(backup) => self.lacking_in(&backup, gone),
            None => gone.iter().next().copied(),
        };
        let Some(hash) = lacking else { return true };
        // Nobody told the tablet that an older backup was restored: the newer one, which has it all, is what it was told of.
        let epoch = self.seats[seat].core.as_ref().and_then(|core| core.replica().newest_beacon()).map(|one| one.epoch);
        let present = self.office.core.as_ref().map(qianmo_server::hub::HubCore::epoch);
        let discarded = self.office.discarded.clone();
        if epoch != present && discarded.iter().any(|backup| self.lacking_in(backup, gone).is_none()) {
            self.coverage.mark("let go of what only a discarded backup had");
            self.note_lost(LostBy::OlderBackup);
            return false;
        }
        self.problem(format!("I22: tablet {seat} let go of {name}, but no backup holds {hash}"));
        false
    }

    fn lacking_in(&self, backup: &super::office::Backup, wanted: &BTreeSet<ChangeHash>) -> Option<ChangeHash> {
        let replica = self.read_disk(&backup.image, Role::Tablet, self.office.hub_device_key());
        let is_lacking = |hash: &&ChangeHash| {
            let doc = self.model.changes[hash].doc;
            !replica.control().fold().is_document_purged(&doc)
                && !self.model.purged.contains(&doc)
                && !holds(&replica, &doc, hash)
        };
        wanted.iter().find(is_lacking).copied()
    }

    /// Reads a store from its log alone.
    pub(super) fn read_disk(
        &self,
        machine: &super::machines::Machine,
        role: Role,
        key: ed25519_dalek::SigningKey,
    ) -> Replica {
        let identity = Identity { authority: self.office.authority(), key, role };
        let mut rng = StdRng::seed_from_u64(1);
        let image = machine.image();
        Replica::open(Box::new(image.disk), Box::new(MemoryIndex::default()), identity, &mut rng).unwrap().0
    }

    /// The hub is what an older backup held. What only newer ones had is promised to nobody until a tablet is told of it
    /// again: whoever chose the older one may lose it now, with a tablet's old image, or when that backup is restored again.
    pub(super) fn forget_what_newer_backups_promised(&mut self) {
        let Some(core) = &self.office.core else { return };
        let changes = &self.model.changes;
        self.model.told_backed_up.retain(|hash| holds(core.replica(), &changes[hash].doc, hash));
    }

    /// A machine was put back: what nobody holds any more is lost for good, and it must be allowed to be.
    pub(super) fn note_lost(&mut self, by: LostBy) {
        let mut held: BTreeSet<ChangeHash> = BTreeSet::new();
        let mut held_events: BTreeSet<DocId> = BTreeSet::new();
        let mut look = |model: &super::model::Model, replica: &Replica| {
            for id in model.events.keys() {
                if !held_events.contains(id) && replica.home_of(id).ok().flatten().is_some() {
                    held_events.insert(*id);
                }
            }
            for (hash, made) in &model.changes {
                if !held.contains(hash) && holds(replica, &made.doc, hash) {
                    held.insert(*hash);
                }
            }
        };
        for seat in &self.seats {
            match &seat.core {
                Some(core) => look(&self.model, core.replica()),
                None => look(&self.model, &self.read_disk(&seat.machine, Role::Tablet, seat.who.key.clone())),
            }
        }
        match &self.office.core {
            Some(core) => look(&self.model, core.replica()),
            None => {
                let key = self.office.hub_device_key();
                look(&self.model, &self.read_disk(&self.office.machine, Role::Tablet, key));
            }
        }
        let lost: BTreeSet<ChangeHash> =
            self.model.changes.keys().filter(|hash| !held.contains(hash)).copied().collect();
        let wrongly = lost.iter().find(|hash| {
            by == LostBy::NewestBackup
                && self.model.told_backed_up.contains(hash)
                && !self.model.purged.contains(&self.model.changes[hash].doc)
        });
        if let Some(hash) = wrongly {
            self.problem(format!("I22: {hash} was told to be backed up, and the newest backup lacks it"));
        }
        if !lost.is_empty() {
            self.coverage.mark("only copy lost");
        }
        self.model.lost.extend(lost);
        let events = self.model.events.keys().filter(|id| !held_events.contains(id)).copied().collect::<Vec<_>>();
        self.model.lost_events.extend(events);
    }

    // ---- the end ----

    /// The network heals; everything must drain to silence, and then be as the model says.
    pub(super) fn heal_and_check(&mut self) {
        self.has_healed = true;
        self.trouble = Trouble::default();
        self.drop_pushes_until = 0;
        self.office.clock_offset = 0;
        self.office.machine.heal();
        if self.office.core.is_none() {
            self.reboot_hub();
        }
        // What fails now, fails for good: every machine is repaired and started again.
        for seat in 0..self.seats.len() {
            if self.seats[seat].core.is_none() || self.seats[seat].reboot_at.is_some() {
                self.seats[seat].reboot_at = Some(self.now);
                self.reboot(seat);
            }
            self.seats[seat].machine.heal();
            self.seats[seat].clock = super::field::ClockState::Off(0);
        }
        self.confirm_devices();
        for seat in 0..self.seats.len() {
            self.goes_online(seat, 1_000 * HOUR);
        }
        self.run_until(self.now + 10 * MINUTE);
        self.come_to_rest();
        self.with_hub(|core| core.keep_house().map(|_| Vec::new()));
        if self.problems.is_empty() {
            self.check_states();
        }
        if self.problems.is_empty() {
            self.check_records();
        }
        if self.problems.is_empty() {
            self.check_erased();
        }
        for seat in 0..self.seats.len() {
            if self.problems.is_empty() {
                self.check_told(seat);
            }
        }
        if self.problems.is_empty() {
            self.audit();
        }
        self.summarise();
    }

    /// Sessions in turn, until one round of them brings nothing new, in as few messages as that takes.
    fn come_to_rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            let (messages, news, opened) = (self.messages, self.news, self.opened);
            self.one_round();
            let said = self.messages - messages;
            let limit = SILENT_MESSAGES_MAX * (self.opened - opened) + self.seats.len() as u64;
            let is_silent = self.news == news && said <= limit && self.has_settled();
            if is_silent || !self.problems.is_empty() {
                return;
            }
        }
        let seats = self.seats.iter().enumerate().map(|(number, seat)| format!("{number}: {}", restless(seat)));
        let seats: Vec<String> = seats.collect();
        self.problem(format!("I21: {ROUNDS_MAX} rounds brought no rest; {}", seats.join(", ")));
    }

    fn one_round(&mut self) {
        self.confirm_devices();
        for seat in 0..self.seats.len() {
            let asked = self.on_tablet(seat, |tablet| {
                drop(tablet.take_answers());
                tablet.ask(1_000_000, Duration::from_secs(60));
            });
            if asked.is_some() {
                self.run_until(self.now + 2 * MINUTE);
                let answers = self.seats[seat].core.as_mut().map(Tablet::take_answers).unwrap_or_default();
                if answers.contains(&Answered::TimeUp) {
                    self.coverage.mark("a sync took more than a minute on the healed network");
                }
            }
        }
        self.run_until(self.now + MINUTE);
    }

    fn has_settled(&self) -> bool {
        self.seats.iter().all(|seat| {
            let is_bound = self.model.revoked.contains(&seat.device()) || seat.is_hostile;
            is_bound || seat.core.as_ref().is_some_and(|core| core.status().waiting == 0)
        })
    }

    /// Replicas that hold one logbook have one state of it, whichever way they came to it.
    fn check_states(&mut self) {
        let Some(hub) = self.office.core.take() else { return };
        let expected: BTreeMap<LogbookName, StateDigest> = hub.replica().state_digests().into_iter().collect();
        let rebuilt = self.read_disk(&self.office.machine, hub_role(&hub), self.office.hub_device_key());
        let again: BTreeMap<LogbookName, StateDigest> = rebuilt.state_digests().into_iter().collect();
        if expected != again {
            self.problem("I5: the hub's state differs from what its log alone says".to_owned());
        }
        self.office.core = Some(hub);
        for seat in 0..self.seats.len() {
            let device = self.seats[seat].device();
            if self.model.revoked.contains(&device) || self.seats[seat].is_hostile {
                continue;
            }
            let Some(core) = self.seats[seat].core.take() else { continue };
            if core.index_rebuilds() > 0 {
                self.problem(format!("I7: tablet {seat} found another state under equal vectors"));
            }
            if core.replica().unjudged_count() > 0 {
                self.problem(format!("I9: tablet {seat} has packs that are not judged at the end"));
            }
            let states: BTreeMap<LogbookName, StateDigest> = core.replica().state_digests().into_iter().collect();
            for (name, digest) in &states {
                let may_read = self.office.core.as_ref().is_some_and(|hub| hub.replica().may_read(&device, name));
                let is_whole = may_read && !core.evicted().contains(name) && self.is_in_window(seat, name);
                if is_whole && expected.get(name).is_some_and(|expected| expected != digest) {
                    let differs = self.difference(core.replica(), name);
                    self.problem(format!("I7: tablet {seat} and the hub differ in {name}: {differs}"));
                }
            }
            let key = self.seats[seat].who.key.clone();
            let rebuilt = self.read_disk(&self.seats[seat].machine, Role::Tablet, key);
            let again: BTreeMap<LogbookName, StateDigest> = rebuilt.state_digests().into_iter().collect();
            if states != again {
                self.problem(format!("I5: the state of tablet {seat} differs from what its log alone says"));
            }
            let evicted = core.evicted();
            let hub = self.office.core.as_ref().map(|hub| hub.replica().logbooks()).unwrap_or_default();
            for name in hub {
                let may_read = self.office.core.as_ref().is_some_and(|hub| hub.replica().may_read(&device, &name));
                let is_wanted = may_read && !evicted.contains(&name) && self.is_in_window(seat, &name);
                if is_wanted && expected.contains_key(&name) && !states.contains_key(&name) {
                    self.problem(format!("I6: tablet {seat} lacks {name}"));
                }
            }
            self.seats[seat].core = Some(core);
        }
    }

    /// In what a tablet and the hub differ, for whoever reads the problem.
    fn difference(&self, tablet: &Replica, name: &LogbookName) -> String {
        let Some(hub) = &self.office.core else { return String::new() };
        let shown = |replica: &Replica, doc: &DocId| {
            let heads = replica.document(doc).ok().flatten().map(|document| document.heads());
            let detail = replica.record(doc).ok().flatten();
            let held = detail.map(|detail| (detail.held, detail.held_here, detail.unshown.len()));
            (heads, held)
        };
        let packs = |replica: &Replica| plan(replica, name, &WireVector::default()).send.len();
        let mut out = format!("{} packs here, {} at the hub", packs(tablet), packs(hub.replica()));
        let parts = |replica: &Replica| replica.state_parts(name).unwrap_or_default();
        let (ours, theirs) = (parts(tablet), parts(hub.replica()));
        for doc in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
            if ours.get(doc) != theirs.get(doc) {
                out.push_str(&format!("; part of {doc}: {:?} / {:?}", ours.get(doc), theirs.get(doc)));
            }
        }
        for doc in self.model.docs() {
            let (here, there) = (shown(tablet, &doc), shown(hub.replica(), &doc));
            if here != there {
                out.push_str(&format!("; {doc}: {here:?} / {there:?}"));
            }
        }
        out
    }

    /// Whether a tablet asks for a logbook: months near now, and its own station.
    fn is_in_window(&self, seat: usize, name: &LogbookName) -> bool {
        let LogbookName::StationMonth(station, month) = name else { return true };
        let now = self.hub_time().month_in_shanghai();
        let near = now.is_some_and(|now| (-2..=3).any(|back| month.plus(back) == now));
        near && (self.seats[seat].is_coordinator || *station == self.seats[seat].who.station)
    }

    /// Every confirmed change is there, or its absence is as it must be; and the merged records are what the model says.
    fn check_records(&mut self) {
        let Some(hub) = self.office.core.take() else { return };
        let replica = hub.replica();
        for doc in replica.all_records().unwrap_or_default() {
            self.discover(replica, doc);
        }
        for doc in self.model.docs() {
            if !self.problems.is_empty() {
                break;
            }
            let is_purged = replica.control().fold().is_document_purged(&doc);
            if is_purged {
                self.coverage.mark("record erased at the end");
                if !self.model.purged.contains(&doc) {
                    self.problem(format!("I12: nobody erased {doc}, and it is erased"));
                }
                continue;
            }
            let document = replica.document(&doc).ok().flatten();
            let shown: BTreeSet<ChangeHash> =
                document.iter().flat_map(|document| document.changes().map(RawChange::hash)).collect();
            self.check_presence(replica, doc, &shown);
            if let Some(document) = document {
                self.check_merge(replica, doc, &document, &shown);
            }
        }
        self.office.core = Some(hub);
    }

    fn check_presence(&mut self, replica: &Replica, doc: DocId, shown: &BTreeSet<ChangeHash>) {
        let absent: Vec<(ChangeHash, super::model::Made)> = self
            .model
            .changes_of(doc)
            .filter(|(hash, _)| !shown.contains(hash))
            .map(|(hash, made)| (*hash, made.clone()))
            .collect();
        for (hash, made) in absent {
            let is_there = holds(replica, &doc, &hash);
            let is_bound = self.model.revoked.contains(&made.device) || self.has_cut_person(&made.device);
            let history = self.model.history(&hash);
            let depends_on_absent = history.iter().any(|base| !shown.contains(base));
            let is_lost = self.model.lost.contains(&hash);
            let is_ahead = is_there
                && (!made.has_met_a_hub && self.is_far_ahead(replica, &doc)
                    || self.is_ahead_of_the_clock(replica, &doc, |change| *change == hash));
            let is_crowded = is_there && self.has_too_many_copies(&made.device);
            let is_stranded = !is_there && self.is_stranded(replica, &made.device, |one| holds(one, &doc, &hash), &doc);
            let is_excused = is_bound || is_lost || depends_on_absent || is_ahead || is_crowded || is_stranded;
            if is_lost && !is_there {
                self.coverage.mark("change gone with its only machine");
            } else if is_stranded {
                self.coverage.mark("change only where nobody may read it");
            } else if is_there && is_bound {
                self.coverage.mark("change held for rights");
            } else if !is_excused {
                let what = if is_there { "is held, and nothing excuses it" } else { "is lost" };
                let code = replica.record(&doc).ok().flatten().and_then(|detail| {
                    detail.held.iter().chain(&detail.held_here).find(|(held, _)| *held == hash).map(|(_, code)| *code)
                });
                self.problem(format!("I12: confirmed change {hash} of {doc} {what} (code {code:?})"));
            } else if !is_there && !is_lost && !is_bound {
                let base_lost = history.iter().any(|base| self.model.lost.contains(base));
                if !base_lost && !history.iter().any(|base| self.is_bound_change(base)) {
                    self.problem(format!("I12: confirmed change {hash} of {doc} is nowhere"));
                }
            }
        }
    }

    /// A tablet that never met a hub may file under any month; the hub holds what is too far ahead.
    fn is_far_ahead(&self, replica: &Replica, doc: &DocId) -> bool {
        let Ok(Some(LogbookName::StationMonth(_, month))) = replica.home_of(doc) else { return false };
        self.hub_time().month_in_shanghai().is_some_and(|now| month > now.plus(2))
    }

    /// Of a device that goes on in more places than a log may have tips, the hub holds what goes beyond them (A12).
    fn has_too_many_copies(&self, device: &DeviceId) -> bool {
        self.copied.get(device).is_some_and(|copies| copies + 1 > TIPS_PER_LOG_MAX)
    }

    fn is_bound_change(&self, hash: &ChangeHash) -> bool {
        self.model
            .changes
            .get(hash)
            .is_some_and(|made| self.model.revoked.contains(&made.device) || self.has_cut_person(&made.device))
    }

    fn has_cut_person(&self, device: &DeviceId) -> bool {
        let person = self.seats.iter().find(|seat| seat.device() == *device).map(|seat| seat.person.to_string());
        person.is_some_and(|person| self.model.cut_persons.contains(&person))
    }

    fn check_merge(&mut self, replica: &Replica, doc: DocId, document: &Document, shown: &BTreeSet<ChangeHash>) {
        let expected = self.model.fields(shown);
        let view = document.view();
        let conflicts: BTreeMap<String, _> =
            document.conflicts().into_iter().map(|conflict| (conflict.path.to_string(), conflict)).collect();
        for (path, field) in &expected {
            let value = view.fields.get(path).map(word_of).unwrap_or_default();
            if !field.values.contains(&value) {
                self.problem(format!("I18: {doc} shows {value:?} at {path}; what stands is {:?}", field.values));
            }
            let found = conflicts.get(path).map(|conflict| {
                (conflict.kind, conflict.candidates.iter().map(|one| one.change).collect::<BTreeSet<_>>())
            });
            if found != field.conflict {
                self.problem(format!(
                    "I18: conflict of {doc} at {path}: shown {found:?}, must be {:?}",
                    field.conflict
                ));
            }
        }
        if let Some(path) = conflicts.keys().find(|path| !expected.contains_key(*path)) {
            self.problem(format!("I18: {doc} shows a conflict at {path}, where nobody wrote"));
        }
        self.coverage.mark(if conflicts.is_empty() { "record without a conflict" } else { "record with a conflict" });
        self.check_review(replica, doc, document);
    }

    fn check_review(&mut self, replica: &Replica, doc: DocId, document: &Document) {
        let heads = document.heads();
        let Ok(state) = replica.review_state(&doc, &heads) else { return };
        let views = replica.reviews(&doc).unwrap_or_default();
        let is_bound = views.iter().any(|view| view.standing != Standing::Admitted)
            || self
                .model
                .events
                .iter()
                .any(|(id, event)| event.record == doc && !views.iter().any(|view| view.id == *id));
        let admitted: BTreeSet<DocId> =
            views.iter().filter(|view| view.standing == Standing::Admitted).map(|view| view.id).collect();
        for (id, event) in self.model.events.iter().filter(|(_, event)| event.record == doc) {
            let is_excused = self.model.revoked.contains(&event.device)
                || self.has_cut_person(&event.device)
                || self.model.lost_events.contains(id)
                || replica.control().fold().is_document_purged(id)
                || self.is_far_ahead(replica, &doc)
                || self.is_ahead_of_the_clock(replica, &doc, |change| DocId::from_root(change) == *id)
                || self.is_stranded(replica, &event.device, |one| one.home_of(id).ok().flatten().is_some(), &doc)
                || self.has_too_many_copies(&event.device);
            if !admitted.contains(id) && !is_excused {
                let text = format!("I12: the {:?} {id} of {doc} does not count, and nothing excuses it", event.kind);
                return self.problem(text);
            }
        }
        if is_bound {
            return self.coverage.mark("review with held events");
        }
        let current: BTreeSet<ChangeHash> = heads.iter().copied().collect();
        let (status, is_changed) = self.model.review(&admitted, &current);
        if status != state.status || is_changed != state.changed_after_approval {
            self.problem(format!(
                "I18: {doc} is {:?} (changed {}), must be {status:?} ({is_changed})",
                state.status, state.changed_after_approval
            ));
        }
        let decided = views.iter().any(|view| view.event.kind == ReviewKind::Approve);
        if decided && status == ReviewStatus::Disagreed {
            self.coverage.mark("coordinators disagreed");
        }
        if is_changed {
            self.coverage.mark("changed after approval");
        }
    }

    /// No replica that was told of an erasure has a byte of it.
    fn check_erased(&mut self) {
        if self.model.purged.is_empty() {
            return;
        }
        let mut found = Vec::new();
        let mut look = |who: String, replica: &Replica| {
            let fold = replica.control().fold();
            for name in replica.logbooks() {
                for node in plan(replica, &name, &WireVector::default()).send {
                    let Some(pack) = replica.pack(&name, &node.hash) else { continue };
                    for entry in pack.open().unwrap_or_default() {
                        if fold.is_document_purged(&entry.doc()) && entry.change().is_some() {
                            found.push(format!("I13: {who} still has bytes of the erased {}", entry.doc()));
                        }
                    }
                }
            }
        };
        for (number, seat) in self.seats.iter().enumerate() {
            if let Some(core) = &seat.core {
                look(format!("tablet {number}"), core.replica());
            }
        }
        if let Some(core) = &self.office.core {
            look("the hub".to_owned(), core.replica());
        }
        if let Some(text) = found.into_iter().next() {
            self.problem(text);
        }
    }

    fn summarise(&mut self) {
        let states = self.office.core.as_ref().map(|core| core.replica().state_digests()).unwrap_or_default();
        for (name, digest) in states {
            self.note(10, 0, name.to_string().as_bytes());
            self.note(11, 0, format!("{digest:?}").as_bytes());
        }
    }
}

/// What a tablet says that it waits for, and what it is.
fn restless(seat: &super::field::Seat) -> String {
    let Some(core) = &seat.core else { return "not running".to_owned() };
    let status = core.status();
    let records = core.replica().all_records().unwrap_or_default();
    let waits = |doc: &&DocId| core.replica().delivery(doc).is_ok_and(|one| one == StoreDelivery::Waiting);
    let found = records.iter().filter(waits).count();
    let packs = core.replica().unreceipted().map(|packs| packs.len()).unwrap_or_default();
    format!("says {} records, has {found} in {packs} packs, halted {:?}", status.waiting, status.halted)
}

fn hub_role(core: &qianmo_server::hub::HubCore) -> Role {
    Role::Hub { hub: core.hub(), epoch: core.epoch() }
}
