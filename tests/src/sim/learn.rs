//! What the model learns of what people wrote: what was confirmed, and what lasted without.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_client_core::WriteError;
use qianmo_client_core::simulation::Tablet;
use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, PersonCode};
use qianmo_protocol::record::ResolveList;
use qianmo_replica::replica::Replica;

use super::field::{FIELDS, Seat, word_of};
use super::model::{Attempt, Made, MadeEvent};
use super::world::World;

/// What a tablet shows of a record.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) changes: BTreeSet<ChangeHash>,
    pub(super) events: BTreeSet<DocId>,
}

/// What a person meant to write, and what they had before them.
#[derive(Debug, Clone, Default)]
pub(super) struct Meant {
    pub(super) number: usize,
    pub(super) base: BTreeSet<ChangeHash>,
    pub(super) seen: BTreeSet<DocId>,
    pub(super) puts: BTreeMap<String, String>,
    pub(super) resolves: BTreeMap<String, (String, BTreeSet<ChangeHash>)>,
}

impl Meant {
    fn words(&self) -> BTreeSet<String> {
        self.puts.values().chain(self.resolves.values().map(|(word, _)| word)).cloned().collect()
    }
}

impl World<'_> {
    pub(super) fn known(&self, seat: usize, doc: DocId) -> Known {
        let Some(core) = &self.seats[seat].core else { return Known::default() };
        let replica = core.replica();
        let document = replica.document(&doc).ok().flatten();
        let changes = document.iter().flat_map(|document| document.changes().map(RawChange::hash)).collect();
        let events = replica.reviews(&doc).unwrap_or_default().into_iter().map(|view| view.id).collect();
        Known { changes, events }
    }

    /// Runs a write of a person and remembers what came of it.
    pub(super) fn write(
        &mut self,
        seat: usize,
        doc: DocId,
        meant: Meant,
        work: impl FnOnce(&mut Tablet) -> Result<(), WriteError>,
    ) {
        let before = self.known(seat, doc);
        match self.on_tablet(seat, work) {
            Some(Ok(())) => self.learn(seat, doc, &before, &meant),
            Some(Err(error)) => self.failed(seat, Some(doc), &meant, &error),
            None => {}
        }
    }

    pub(super) fn failed(&mut self, seat: usize, doc: Option<DocId>, meant: &Meant, error: &WriteError) {
        self.tell(|| format!("  seat {seat} could not write w{}: {error:?}", meant.number));
        match error {
            WriteError::Store(_) => {
                let device = self.seats[seat].device();
                self.model.attempts.push(Attempt { device, doc, words: meant.words() });
                self.start_again_later(seat);
            }
            WriteError::NotAllowed { .. } => self.coverage.mark("write not allowed"),
            _ => self.coverage.mark("write refused"),
        }
    }

    /// A write was confirmed: what is new in the record was made by it.
    pub(super) fn learn(&mut self, seat: usize, doc: DocId, before: &Known, meant: &Meant) {
        let device = self.seats[seat].device();
        let number = meant.number;
        self.tell(|| format!("  seat {seat} wrote w{number} in {doc}"));
        self.note(8, seat as u64, &doc.0);
        if self.seats[seat].core.is_none() {
            // Confirmed, and then the power went: it is looked for when the store opens again.
            self.seats[seat].promised.push(number);
            self.model.attempts.push(Attempt { device, doc: Some(doc), words: meant.words() });
            return;
        }
        let after = self.known(seat, doc);
        let has_met_a_hub = self.seats[seat].core.as_ref().is_some_and(|core| core.replica().newest_beacon().is_some());
        let fresh: Vec<ChangeHash> = after.changes.difference(&before.changes).copied().collect();
        if fresh.len() > 1 {
            self.problem(format!("I2: one write made {} changes", fresh.len()));
        }
        let left = self.left_of(&meant.base, &before.changes);
        for hash in &fresh {
            self.check_authored_at(seat, doc, &meant.base, hash);
            let is_root = DocId::from_root(hash) == doc;
            let base = if is_root { BTreeSet::new() } else { left.clone() };
            let (puts, resolves) = (meant.puts.clone(), meant.resolves.clone());
            let made = Made { doc, device, base, puts, resolves, has_met_a_hub };
            self.model.changes.insert(*hash, made);
            self.seats[seat].expected.insert(*hash);
        }
        let mut heads = left;
        if let Some(hash) = fresh.first() {
            let history = self.model.history(hash);
            heads.retain(|head| !history.contains(head));
            heads.insert(*hash);
        }
        let views = self.seats[seat].core.as_ref().map(|core| core.replica().reviews(&doc)).unwrap();
        for view in views.unwrap_or_default().into_iter().filter(|view| !before.events.contains(&view.id)) {
            self.check_decided_at(seat, doc, &meant.base, &heads, &view.event.heads);
            let (kind, seen) = (view.event.kind, meant.seen.clone());
            let made = MadeEvent { record: doc, device, kind, seen, heads: heads.clone() };
            self.model.events.insert(view.id, made);
            self.seats[seat].expected_events.insert(view.id);
        }
        self.seats[seat].looked.remove(&doc);
    }

    /// What is left of a version when only these changes of the record count: its heads, or the nearest ones before those that
    /// are held. What is written at a version goes on from that (`protocol.md` B), so it has not seen what is held, and differs
    /// from it when that is released.
    pub(super) fn left_of(
        &self,
        version: &BTreeSet<ChangeHash>,
        counted: &BTreeSet<ChangeHash>,
    ) -> BTreeSet<ChangeHash> {
        let mut left = BTreeSet::new();
        let mut todo: Vec<ChangeHash> = version.iter().copied().collect();
        while let Some(head) = todo.pop() {
            if counted.contains(&head) {
                left.insert(head);
            } else {
                todo.extend(self.model.changes.get(&head).into_iter().flat_map(|made| made.base.iter().copied()));
            }
        }
        left
    }

    /// Changes and events of a record that the model does not know: writes without a confirmation that lasted.
    pub(super) fn discover(&mut self, replica: &Replica, doc: DocId) {
        let Ok(Some(document)) = replica.document(&doc) else { return };
        let unknown: Vec<RawChange> =
            document.changes().filter(|change| !self.model.changes.contains_key(&change.hash())).cloned().collect();
        for change in unknown {
            let story = document.history().into_iter().find(|story| story.hash == change.hash());
            let author = story.as_ref().and_then(|story| story.person.clone());
            let puts: BTreeMap<String, String> = story
                .into_iter()
                .flat_map(|story| story.edits)
                .map(|edit| (edit.path.to_string(), word_of(&edit.after)))
                .collect();
            let words: BTreeSet<&String> = puts.values().collect();
            let devices = self.devices_of_author(author.as_ref());
            let attempt = self.model.attempts.iter().find(|attempt| {
                devices.contains(&attempt.device)
                    && attempt.doc.is_none_or(|attempted| attempted == doc)
                    && (puts.is_empty() || words.iter().any(|word| *word == "same" || attempt.words.contains(*word)))
            });
            let Some(attempt) = attempt else {
                if self.model.hostile.contains(&change.hash()) {
                    self.problem(format!("R25: a hostile change is shown in {doc}"));
                } else {
                    self.problem(format!("I2: nobody made change {} of {doc} ({puts:?})", change.hash()));
                }
                return;
            };
            let base = change.head().deps.iter().copied().collect();
            let keeps = |path: &String| FIELDS.contains(&path.as_str());
            let puts = puts.into_iter().filter(|(path, _)| keeps(path)).collect();
            let resolves = change
                .head()
                .message
                .as_deref()
                .and_then(|message| ResolveList::decode(message).ok())
                .map(|list| list.0)
                .unwrap_or_default();
            let view = document.view_at(&[change.hash()]).unwrap();
            let resolves = resolves
                .into_iter()
                .map(|(path, listed)| {
                    let value = view.fields.get(&path.to_string()).map(word_of).unwrap_or_default();
                    (path.to_string(), (value, listed))
                })
                .collect();
            let device = attempt.device;
            self.coverage.mark("write without a confirmation lasted");
            self.model.changes.insert(change.hash(), Made { doc, device, base, puts, resolves, has_met_a_hub: false });
        }
        for view in replica.reviews(&doc).unwrap_or_default() {
            if self.model.events.contains_key(&view.id) {
                continue;
            }
            let is_theirs = |seat: &&Seat| seat.person == view.event.person;
            let devices: BTreeSet<DeviceId> = self.seats.iter().filter(is_theirs).map(Seat::device).collect();
            let attempt = self
                .model
                .attempts
                .iter()
                .find(|one| devices.contains(&one.device) && one.doc.is_none_or(|attempted| attempted == doc));
            let Some(attempt) = attempt else {
                return self.problem(format!("I2: nobody made event {} of {doc}", view.id));
            };
            let (device, kind) = (attempt.device, view.event.kind);
            let made = MadeEvent { record: doc, device, kind, seen: view.event.seen, heads: view.event.heads };
            self.model.events.insert(view.id, made);
        }
    }

    /// The devices of a change's author; every device when nothing says who that is.
    fn devices_of_author(&self, author: Option<&PersonCode>) -> BTreeSet<DeviceId> {
        let is_theirs = |seat: &&Seat| author.is_none_or(|author| *author == seat.person);
        self.seats.iter().filter(is_theirs).map(Seat::device).collect()
    }

    pub(super) fn discover_on(&mut self, seat: usize, doc: DocId) {
        if let Some(core) = self.seats[seat].core.take() {
            self.discover(core.replica(), doc);
            self.seats[seat].core = Some(core);
        }
    }
}
