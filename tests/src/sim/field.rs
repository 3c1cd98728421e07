//! The tablets and their people: what they write, and what goes wrong with what they write on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use qianmo_client_core::simulation::{Hardware, Tablet, Who, doc_of, record_of, version_of};
use qianmo_client_core::{
    BundleScope, BundleTo, ClientConfig, ConflictChoice, Connectivity, Decision, DraftInput, EvictError, FieldEdit,
    FieldPath, FieldValue, Keep, RecordDraft, ReviewNotes, WithdrawReason,
};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::{ChangeHash, Code, DeviceId, DocId, Epoch, LogbookName};
use qianmo_protocol::record::FieldConflict;
use qianmo_protocol::review::{ReviewKind, Standing};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{DiskOperation, FaultTarget};
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};

use super::coverage::State;
use super::learn::{Known, Meant};
use super::machines::{Machine, SharedIndex};
use super::office::LostBy;
use super::plan::{Act, DAY, Fault, HOUR, MINUTE};
use super::world::{BEGIN_MS, Event, World};

/// Fields that people write.
pub(super) const FIELDS: [&str; 4] = ["content", "advice", "remark", "technology_text"];
/// Images kept of a tablet.
const IMAGES_MAX: usize = 3;

/// What a tablet's clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockState {
    /// The time, give or take some milliseconds.
    Off(i64),
    /// A clock without a battery: it begins at 1970 when the tablet does.
    Dead,
    /// Years ahead.
    Ahead,
}

/// An old image of a tablet.
#[derive(Debug, Clone)]
pub struct Image {
    machine: Machine,
    expected: BTreeSet<ChangeHash>,
    expected_events: BTreeSet<DocId>,
    drafts: BTreeMap<[u8; 8], String>,
}

/// One installation on one tablet.
pub struct Seat {
    /// The program, while it runs.
    pub core: Option<Tablet>,
    /// What it runs on.
    pub machine: Machine,
    /// Who it is.
    pub who: Who,
    /// Who works with it.
    pub person: Code,
    /// Whether that is a coordinator.
    pub is_coordinator: bool,
    /// Whether it writes what no program of ours writes.
    pub is_hostile: bool,
    /// When the program began.
    pub booted_at: u64,
    /// What its clock shows.
    pub clock: ClockState,
    online_until: u64,
    /// Its connection.
    pub link: Option<u64>,
    /// When it is to be woken.
    pub wake_at: Option<u64>,
    /// When it is to be started again.
    pub reboot_at: Option<u64>,
    /// What was saved here and must be here.
    pub expected: BTreeSet<ChangeHash>,
    /// Review events that were saved here and must be here.
    pub expected_events: BTreeSet<DocId>,
    /// Writes that were confirmed just before the power went.
    pub promised: Vec<usize>,
    /// Drafts that were saved here and must be here.
    pub drafts: BTreeMap<[u8; 8], String>,
    /// Versions that somebody looked at some time ago.
    pub(super) looked: BTreeMap<DocId, Vec<ChangeHash>>,
    /// The hub's life it was last told of.
    pub epoch: Option<Epoch>,
    images: Vec<Image>,
    asks: u64,
}

impl Seat {
    /// A new installation.
    #[must_use]
    pub fn new(who: Who, person: Code, is_coordinator: bool, now: u64) -> Self {
        Self {
            core: None,
            machine: Machine::default(),
            who,
            person,
            is_coordinator,
            is_hostile: false,
            booted_at: now,
            clock: ClockState::Off(0),
            online_until: 0,
            link: None,
            wake_at: None,
            reboot_at: None,
            expected: BTreeSet::new(),
            expected_events: BTreeSet::new(),
            promised: Vec::new(),
            drafts: BTreeMap::new(),
            looked: BTreeMap::new(),
            epoch: None,
            images: Vec::new(),
            asks: 0,
        }
    }

    /// Its device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        DeviceId::from_key(&self.who.key.verifying_key().to_bytes())
    }

    /// What its clock shows.
    #[must_use]
    pub fn clock(&self, now: u64) -> UnixMillis {
        let now = i64::try_from(now).unwrap();
        let since = now - i64::try_from(self.booted_at).unwrap();
        UnixMillis(match self.clock {
            ClockState::Off(off) => BEGIN_MS + now + off,
            ClockState::Dead => since,
            ClockState::Ahead => 4_070_908_800_000 + since,
        })
    }

    /// Whether it has a network.
    #[must_use]
    pub const fn is_online(&self, now: u64) -> bool {
        now < self.online_until
    }
}

/// The words of a value, as the model knows it.
pub(super) fn word_of(value: &Scalar) -> String {
    match value {
        Scalar::Text(text) => text.clone(),
        other => format!("{other:?}"),
    }
}

impl World<'_> {
    // ---- a tablet's program begins and ends ----

    pub(super) fn reboot(&mut self, seat: usize) {
        if self.seats[seat].reboot_at.take().is_none() && self.seats[seat].core.is_some() {
            return;
        }
        self.drop_link(seat);
        let this = &mut self.seats[seat];
        this.core = None;
        this.machine.heal();
        this.booted_at = self.now;
        this.wake_at = None;
        let hardware = Hardware {
            disk: Box::new(this.machine.disk.clone()),
            index: Box::new(this.machine.index.clone()),
            seed: self.rng.next_u64(),
        };
        let this = &self.seats[seat];
        let mut config = ClientConfig::new("simulated");
        config.months_back = 3;
        let opened =
            Tablet::open(config, std::sync::Arc::clone(&self.forms), &this.who, hardware, this.clock(self.now));
        match opened {
            Ok(core) => {
                self.seats[seat].core = Some(core);
                self.check_tablet_after_open(seat);
                let connectivity = self.connectivity(seat);
                self.on_tablet(seat, |tablet| tablet.set_connectivity(connectivity));
            }
            Err(error) => self.problem(format!("I1: tablet {seat} does not open: {error:?}")),
        }
    }

    fn connectivity(&self, seat: usize) -> Connectivity {
        match (self.seats[seat].is_online(self.now), seat % 3) {
            (false, _) => Connectivity::Offline,
            (true, 0) => Connectivity::Unmetered,
            (true, 1) => Connectivity::Metered,
            (true, _) => Connectivity::Unknown,
        }
    }

    fn drop_link(&mut self, seat: usize) {
        if let Some(link) = self.seats[seat].link.take()
            && self.links.contains_key(&link)
        {
            let wait = self.rng.random_range(0..super::network::IDLE_MS);
            self.after(wait, Event::Broken { link });
        }
    }

    pub(super) fn tablet_loses_power(&mut self, seat: usize) {
        self.tell(|| format!("tablet {seat} loses power"));
        self.coverage.mark("tablet lost power");
        let mut rng = StdRng::seed_from_u64(self.rng.next_u64());
        self.seats[seat].core = None;
        self.seats[seat].machine.cut_power(&mut rng);
        self.drop_link(seat);
        self.reboot_later(seat);
    }

    fn reboot_later(&mut self, seat: usize) {
        if self.seats[seat].reboot_at.is_none() {
            let wait = if self.has_healed { 1_000 } else { self.rng.random_range(1_000..6 * HOUR) };
            self.seats[seat].reboot_at = Some(self.now + wait);
            self.after(wait, Event::Reboot { seat });
        }
    }

    pub(super) fn goes_online(&mut self, seat: usize, wait: u64) {
        self.seats[seat].online_until = self.seats[seat].online_until.max(self.now + wait);
        self.after(wait, Event::Offline { seat });
        let connectivity = self.connectivity(seat);
        self.on_tablet(seat, |tablet| tablet.set_connectivity(connectivity));
    }

    pub(super) fn goes_offline(&mut self, seat: usize) {
        if self.seats[seat].is_online(self.now) {
            return;
        }
        if let Some(link) = self.seats[seat].link
            && self.links.contains_key(&link)
        {
            self.after(super::network::IDLE_MS, Event::Broken { link });
        }
        self.on_tablet(seat, |tablet| tablet.set_connectivity(Connectivity::Offline));
    }

    // ---- what goes wrong with a tablet ----

    pub(super) fn tablet_fault(&mut self, fault: Fault, seat: usize, draw: &mut StdRng) {
        let machine = &mut self.seats[seat].machine;
        match fault {
            Fault::KillTablet => {
                self.seats[seat].core = None;
                self.drop_link(seat);
                self.reboot_later(seat);
            }
            Fault::PowerCutTablet => machine.arm_power_cut(draw),
            Fault::FullTablet => machine.arm_full(draw),
            Fault::FsyncTablet => machine.arm_failure(FaultTarget::Operation(DiskOperation::SyncFile), draw),
            Fault::IoTablet => machine.arm_failure(FaultTarget::AnyChange, draw),
            Fault::IndexGoneTablet => {
                machine.index = SharedIndex::default();
                self.seats[seat].core = None;
                self.drop_link(seat);
                self.reboot_later(seat);
            }
            Fault::IndexOldTablet => {
                let old = machine.old_index.copy();
                machine.remember_index();
                machine.index = old;
                self.seats[seat].core = None;
                self.drop_link(seat);
                self.reboot_later(seat);
            }
            Fault::Clock1970 => self.seats[seat].clock = ClockState::Dead,
            Fault::Clock2099 => self.seats[seat].clock = ClockState::Ahead,
            Fault::ClockDays => {
                let days = draw.random_range(-40..=40) * i64::try_from(DAY).unwrap();
                self.seats[seat].clock = ClockState::Off(days);
            }
            Fault::ClockRight => self.seats[seat].clock = ClockState::Off(0),
            Fault::Clone => self.copy_tablet(seat),
            Fault::OldImage => self.old_image(seat, draw),
            Fault::Hostile => self.hostile(seat, draw),
            other => unreachable!("{other:?} is no fault of a tablet"),
        }
    }

    fn copy_tablet(&mut self, seat: usize) {
        if self.seats.len() >= self.plan.tablets + 4 || self.seats[seat].is_hostile {
            return;
        }
        self.coverage.mark("tablet copied");
        let this = &self.seats[seat];
        let mut copy = Seat::new(this.who.clone(), this.person.clone(), this.is_coordinator, self.now);
        copy.machine = this.machine.copy();
        copy.expected = this.expected.clone();
        copy.expected_events = this.expected_events.clone();
        copy.drafts = this.drafts.clone();
        copy.clock = this.clock;
        *self.copied.entry(this.device()).or_default() += 1;
        self.seats.push(copy);
        let seat = self.seats.len() - 1;
        self.reboot(seat);
    }

    fn keep_image(&mut self, seat: usize) {
        let this = &mut self.seats[seat];
        if this.machine.disk.unsynced() > 0 {
            return;
        }
        let image = Image {
            machine: this.machine.image(),
            expected: this.expected.clone(),
            expected_events: this.expected_events.clone(),
            drafts: this.drafts.clone(),
        };
        this.images.push(image);
        if this.images.len() > IMAGES_MAX {
            this.images.remove(0);
        }
    }

    fn old_image(&mut self, seat: usize, draw: &mut StdRng) {
        let count = self.seats[seat].images.len();
        if count == 0 {
            return;
        }
        self.coverage.mark("tablet put back");
        let image = self.seats[seat].images[draw.random_range(0..count)].clone();
        *self.copied.entry(self.seats[seat].device()).or_default() += 1;
        self.drop_link(seat);
        let this = &mut self.seats[seat];
        this.core = None;
        this.machine = image.machine.image();
        this.expected = image.expected;
        this.expected_events = image.expected_events;
        this.promised.clear();
        this.drafts = image.drafts;
        this.looked.clear();
        this.reboot_at = Some(self.now);
        self.reboot(seat);
        self.note_lost(LostBy::OldImage);
    }

    // ---- what people do ----

    pub(super) fn act(&mut self, act: Act, number: usize, draw: &mut StdRng) {
        let wants_coordinator = matches!(act, Act::Approve | Act::Return | Act::Reopen) && draw.random_bool(0.9);
        let fit = |seat: &Seat| !wants_coordinator || seat.is_coordinator;
        let seats: Vec<usize> =
            (0..self.seats.len()).filter(|seat| fit(&self.seats[*seat]) && !self.seats[*seat].is_hostile).collect();
        if seats.is_empty() {
            return;
        }
        let seat = seats[draw.random_range(0..seats.len())];
        if act == Act::Online {
            // What is on the screen stays there while news come in.
            for doc in self.records(seat).into_iter().rev().take(4) {
                let heads = self.heads(seat, doc);
                self.seats[seat].looked.extend(heads.map(|heads| (doc, heads)));
            }
            if draw.random_bool(0.4) {
                self.keep_image(seat);
                self.seats[seat].machine.remember_index();
            }
            let wait = draw.random_range(2 * MINUTE..3 * HOUR);
            return self.goes_online(seat, wait);
        }
        if self.seats[seat].core.is_none() {
            return;
        }
        let state = self.state_of(seat);
        if matches!(state, State::Opening | State::Exchanging) {
            self.coverage.mark("act during a session");
        }
        self.coverage.act(act);
        match act {
            Act::Create => self.create(seat, number),
            Act::Edit => self.edit(seat, number, draw, Shown::Now),
            Act::EditOld => self.edit(seat, number, draw, Shown::Before),
            Act::Withdraw | Act::Comment | Act::Approve | Act::Return | Act::Reopen => {
                self.review(seat, act, number, draw);
            }
            Act::Resolve => self.resolve(seat, number, draw),
            Act::Draft => self.draft(seat, number, draw),
            Act::Ask => {
                self.seats[seat].asks += 1;
                let id = self.seats[seat].asks;
                self.on_tablet(seat, |tablet| tablet.ask(id, Duration::from_secs(120)));
            }
            Act::Bundle => self.bundle(seat, draw),
            Act::Evict => self.evict(seat, draw),
            Act::BringBack => {
                let evicted = self.seats[seat].core.as_ref().map(Tablet::evicted).unwrap_or_default();
                if let Some(name) = evicted.into_iter().next() {
                    self.on_tablet(seat, |tablet| drop(tablet.bring_back(&name.to_string())));
                }
            }
            Act::Online => {}
        }
    }

    fn create(&mut self, seat: usize, number: usize) {
        let word = format!("w{number}");
        let draft = RecordDraft::new("visit")
            .with("service_mode", "现场")
            .with("activity_date", "2025-06-01")
            .with("staff_id", "P00")
            .with("target_name", "东洼果园")
            .with("town_code", "110117003")
            .with("content", word.as_str())
            .with("remark", format!("r{number}").as_str());
        let outcome = self.on_tablet(seat, |tablet| tablet.create(&draft));
        let puts = BTreeMap::from([("content".to_owned(), word), ("remark".to_owned(), format!("r{number}"))]);
        let meant = Meant { number, puts, ..Meant::default() };
        match outcome {
            Some(Ok(record)) => self.learn(seat, doc_of(record), &Known::default(), &meant),
            Some(Err(error)) => self.failed(seat, None, &meant, &error),
            None => {}
        }
    }

    fn records(&self, seat: usize) -> Vec<DocId> {
        let Some(core) = &self.seats[seat].core else { return Vec::new() };
        core.replica().all_records().unwrap_or_default()
    }

    fn heads(&self, seat: usize, doc: DocId) -> Option<Vec<ChangeHash>> {
        Some(self.seats[seat].core.as_ref()?.replica().document(&doc).ok()??.heads())
    }

    /// What a tablet shows in the fields of a version.
    fn shown_at(&self, seat: usize, doc: DocId, heads: &[ChangeHash]) -> BTreeMap<String, String> {
        let document = self.seats[seat].core.as_ref().and_then(|core| core.replica().document(&doc).ok().flatten());
        let view = document.and_then(|document| document.view_at(heads).ok());
        let fields = view.map(|view| view.fields).unwrap_or_default();
        fields.iter().map(|(field, value)| (field.clone(), word_of(value))).collect()
    }

    /// State events that a tablet shows of a record.
    fn seen(&self, seat: usize, doc: DocId) -> BTreeSet<DocId> {
        let Some(core) = &self.seats[seat].core else { return BTreeSet::new() };
        let views = core.replica().reviews(&doc).unwrap_or_default();
        let state = views.into_iter().filter(|view| view.event.kind != ReviewKind::Comment);
        state.filter(|view| view.standing != Standing::HeldForRole).map(|view| view.id).collect()
    }

    fn pick(&mut self, seat: usize, draw: &mut StdRng) -> Option<(DocId, Vec<ChangeHash>)> {
        let records = self.records(seat);
        if records.is_empty() {
            return None;
        }
        // The newest ones most: that is where people meet.
        let back = draw.random_range(0..records.len().min(6));
        let at = if draw.random_bool(0.5) { draw.random_range(0..records.len()) } else { records.len() - 1 - back };
        let doc = records[at];
        self.discover_on(seat, doc);
        let heads = self.heads(seat, doc)?;
        for doc in records.iter().take(8) {
            if draw.random_bool(0.3)
                && let Some(heads) = self.heads(seat, *doc)
            {
                self.seats[seat].looked.entry(*doc).or_insert(heads);
            }
        }
        Some((doc, heads))
    }

    fn edit(&mut self, seat: usize, number: usize, draw: &mut StdRng, shown: Shown) {
        let Some((doc, now)) = self.pick(seat, draw) else { return };
        let heads = match shown {
            Shown::Now => now,
            Shown::Before => self.seats[seat].looked.remove(&doc).unwrap_or(now),
        };
        let (base, seen) = (heads.iter().copied().collect(), self.seen(seat, doc));
        let mut meant = Meant { number, base, seen, ..Meant::default() };
        for _ in 0..draw.random_range(1..=2) {
            let field = FIELDS[draw.random_range(0..FIELDS.len())];
            // Now and then two people write the same.
            let word = if draw.random_bool(0.25) { "same".to_owned() } else { format!("w{number}") };
            meant.puts.insert(field.to_owned(), word);
        }
        let edits: Vec<FieldEdit> =
            meant.puts.iter().map(|(field, word)| FieldEdit::set(field, word.as_str())).collect();
        // Writing what stands there already is no change.
        let left: Vec<ChangeHash> = self.left_of(&meant.base, &self.known(seat, doc).changes).into_iter().collect();
        let shown = self.shown_at(seat, doc, &left);
        meant.puts.retain(|field, word| shown.get(field) != Some(word));
        let version = version_of(&heads);
        self.write(seat, doc, meant, |tablet| tablet.edit(record_of(doc), &version, &edits));
    }

    fn review(&mut self, seat: usize, act: Act, number: usize, draw: &mut StdRng) {
        let Some((doc, now)) = self.pick(seat, draw) else { return };
        // Now and then somebody decides about what was on the screen a while ago.
        let before = self.seats[seat].looked.get(&doc).filter(|_| act != Act::Withdraw && draw.random_bool(0.7));
        let heads = before.cloned().unwrap_or(now);
        let (base, seen) = (heads.iter().copied().collect(), self.seen(seat, doc));
        let meant = Meant { number, base, seen, ..Meant::default() };
        let version = version_of(&heads);
        let record = record_of(doc);
        let notes = ReviewNotes { note: format!("w{number}"), ..ReviewNotes::default() };
        let reason = WithdrawReason { code: None, note: format!("w{number}") };
        self.write(seat, doc, meant, |tablet| match act {
            Act::Withdraw => tablet.withdraw(record, &reason),
            Act::Approve => tablet.decide(record, &version, Decision::Approve, &notes),
            Act::Return => {
                let notes = ReviewNotes { reasons: vec!["other".to_owned()], ..notes };
                tablet.decide(record, &version, Decision::Return, &notes)
            }
            Act::Reopen => tablet.decide(record, &version, Decision::Reopen, &notes),
            _ => tablet.comment(record, &version, &notes),
        });
    }

    fn resolve(&mut self, seat: usize, number: usize, draw: &mut StdRng) {
        let Some(core) = &self.seats[seat].core else { return };
        let replica = core.replica();
        let mut found: Option<(DocId, Vec<ChangeHash>, FieldConflict)> = None;
        for doc in replica.all_records().unwrap_or_default() {
            let Ok(Some(document)) = replica.document(&doc) else { continue };
            if let Some(conflict) = document.conflicts().into_iter().next() {
                found = Some((doc, document.heads(), conflict));
                if draw.random_bool(0.5) {
                    break;
                }
            }
        }
        let Some((doc, heads, conflict)) = found else { return };
        self.discover_on(seat, doc);
        self.coverage.mark("conflict settled");
        let path = conflict.path.to_string();
        let listed: BTreeSet<ChangeHash> = conflict.candidates.iter().map(|one| one.change).collect();
        let candidate = &conflict.candidates[draw.random_range(0..conflict.candidates.len())];
        let (keep, word) = if draw.random_bool(0.8) {
            (Keep::Candidate(candidate.change.to_string()), word_of(&candidate.value))
        } else {
            (Keep::Value(FieldValue::Text(format!("w{number}"))), format!("w{number}"))
        };
        let choice = ConflictChoice { version: version_of(&heads), keep };
        let place = FieldPath::new(path.as_str());
        let base = heads.into_iter().collect();
        let resolves = BTreeMap::from([(path, (word, listed))]);
        let meant = Meant { number, base, resolves, ..Meant::default() };
        self.write(seat, doc, meant, |tablet| tablet.resolve(record_of(doc), &place, &choice));
    }

    fn draft(&mut self, seat: usize, number: usize, draw: &mut StdRng) {
        let id = match self.seats[seat].drafts.keys().next() {
            Some(id) if draw.random_bool(0.7) => *id,
            _ => draw.random::<[u8; 8]>(),
        };
        let word = format!("w{number}");
        let input = DraftInput {
            form: "visit".to_owned(),
            fields: BTreeMap::from([("content".to_owned(), FieldValue::Text(word.clone()))]),
            ..DraftInput::default()
        };
        // Until it is confirmed it may be the old one or the new one.
        let before = self.seats[seat].drafts.remove(&id);
        match self.on_tablet(seat, |tablet| tablet.save_draft(id, &input)) {
            Some(Ok(())) => {
                self.seats[seat].drafts.insert(id, word);
            }
            Some(Err(_)) => {}
            None => {
                if let Some(before) = before {
                    self.seats[seat].drafts.insert(id, before);
                }
            }
        }
    }

    fn bundle(&mut self, from: usize, draw: &mut StdRng) {
        let to = draw.random_range(0..self.seats.len());
        if to == from || self.seats[to].core.is_none() || self.seats[from].core.is_none() {
            return;
        }
        // What is carried by hand is for whoever may read it.
        let station = |seat: usize| &self.seats[seat].who.station;
        let is_one_station = self.seats.iter().all(|seat| seat.who.station == *station(to));
        if !(is_one_station || self.seats[to].is_coordinator) {
            return;
        }
        let what =
            [BundleScope::Waiting, BundleScope::Station, BundleScope::Everything][draw.random_range(0..3)].clone();
        let Some(Ok(parts)) = self.on_tablet(from, |tablet| tablet.export(BundleTo::Tablet, &what)) else { return };
        let parts_again = draw.random_bool(0.3).then(|| parts.clone());
        self.coverage.mark("bundle carried");
        self.on_tablet(to, |tablet| drop(tablet.import(parts)));
        if let Some(parts) = parts_again {
            self.coverage.mark("bundle carried twice");
            self.on_tablet(to, |tablet| drop(tablet.import(parts)));
        }
    }

    fn evict(&mut self, seat: usize, draw: &mut StdRng) {
        let Some(core) = &self.seats[seat].core else { return };
        let names: Vec<LogbookName> = {
            use qianmo_protocol::session::Shelf as _;
            let all = core.replica().logbooks();
            all.into_iter().filter(|name| matches!(name, LogbookName::StationMonth(..))).collect()
        };
        if names.is_empty() {
            return;
        }
        let name = names[draw.random_range(0..names.len())].clone();
        let gone: BTreeSet<ChangeHash> = self
            .model
            .changes
            .iter()
            .filter(|(_, made)| core.replica().home_of(&made.doc).ok().flatten().as_ref() == Some(&name))
            .filter(|(hash, made)| core.replica().change_of(&made.doc, hash).ok().flatten().is_some())
            .map(|(hash, _)| *hash)
            .collect();
        match self.on_tablet(seat, |tablet| tablet.evict(&name.to_string())) {
            Some(Ok(())) => {
                self.coverage.mark("logbook evicted");
                self.seats[seat].expected.retain(|hash| !gone.contains(hash));
                if self.check_eviction(seat, &name, &gone) {
                    self.model.told_backed_up.extend(gone);
                }
            }
            // What the disk took of it is known when the store is opened again. The hub must have all of it either way.
            Some(Err(EvictError::Store(_))) => self.seats[seat].expected.retain(|hash| !gone.contains(hash)),
            Some(Err(_)) | None => {}
        }
    }
}

/// Which version a person has before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Now,
    Before,
}
