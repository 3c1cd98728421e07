//! What the hub holds of this device's work comes back as a draft, once.
//!
//! Nothing is lost: the held change stays in its pack. The person gets its values to correct and hand in again.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::change::RawChange;
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName, digest32};
use qianmo_protocol::record::Document;
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::vector::LogTrees as _;
use qianmo_replica::frames::{DRAFT_BYTES_MAX, DraftId as FrameDraftId};
use qianmo_replica::replica::ReplicaError;

use super::Owner;
use crate::draft::{self, DraftInput};
use crate::names::{RecordId, RecordVersion};
use crate::views;

/// The meta key of what was given back because the hub holds it, with the record behind it.
const HELD_KEY: &[u8] = b"client held ";
/// The meta key of what was given back because no hub takes it, with the record behind it.
const REFUSED_KEY: &[u8] = b"client refused ";
/// Packs of this device that are looked through for a held change.
const OWN_PACKS_MAX: usize = 4_096;

impl Owner {
    /// Makes drafts of what is newly held among these records. Durable with the next sync. Answers how many.
    pub(super) fn give_back_held(&mut self, records: &BTreeSet<DocId>) -> Result<usize, ReplicaError> {
        let mut made = 0;
        for record in records {
            if let Some(code) = self.held.get(record).copied() {
                made += usize::from(self.give_back(record, code)?);
            }
        }
        Ok(made)
    }

    fn give_back(&mut self, record: &DocId, code: u16) -> Result<bool, ReplicaError> {
        let Some(home) = self.replica.home_of(record)? else { return Ok(false) };
        let own = self.own_changes(record, &home);
        self.make_draft(HELD_KEY, record, own, code)
    }

    /// Makes drafts of what no hub takes, and answers of which records. Durable with the next sync.
    pub(super) fn give_back_refused(&mut self) -> Result<Vec<RecordId>, ReplicaError> {
        let mut by_record: BTreeMap<DocId, (u16, BTreeMap<ChangeHash, RawChange>)> = BTreeMap::new();
        for given_up in self.replica.given_up()? {
            let (code, changes) = by_record.entry(given_up.doc).or_default();
            *code = given_up.code;
            changes.insert(given_up.change.hash(), given_up.change);
        }
        let mut records = Vec::new();
        for (record, (code, changes)) in by_record {
            if self.make_draft(REFUSED_KEY, &record, changes, code)? {
                records.push(RecordId(record));
            }
        }
        if !records.is_empty() {
            // Their actors must not go on as if the change stood.
            self.actors.clear();
        }
        Ok(records)
    }

    /// A draft of what these changes add to a record as it stands, once for the same changes.
    fn make_draft(
        &mut self,
        key: &[u8],
        record: &DocId,
        own: BTreeMap<ChangeHash, RawChange>,
        code: u16,
    ) -> Result<bool, ReplicaError> {
        let admitted = self.replica.document(record)?;
        let is_admitted = |hash: &ChangeHash| admitted.as_ref().is_some_and(|document| document.contains(hash));
        let held: Vec<ChangeHash> = own.keys().filter(|hash| !is_admitted(hash)).copied().collect();
        let name =
            digest32("qianmo held draft v1", &[&record.0, &held.iter().flat_map(|hash| hash.0).collect::<Vec<_>>()]);
        let key = [key, &record.0].concat();
        if held.is_empty() || self.replica.meta(&key)?.as_deref() == Some(&name) {
            return Ok(false);
        }
        self.replica.put_meta(&key, &name)?;
        let known = admitted.iter().flat_map(Document::changes).cloned();
        // What a gate could not read cannot be shown either; then the code alone is.
        let Ok(whole) = Document::from_changes(known.chain(own.into_values())) else { return Ok(false) };
        let mut input = DraftInput {
            form: whole.root().form.to_string(),
            station: whole.root().station.as_ref().map(ToString::to_string),
            fields: views::fields(&whole.view()),
            held_code: Some(code),
            ..DraftInput::default()
        };
        if let Some(document) = &admitted {
            let shown = views::fields(&document.view());
            input.fields.retain(|path, value| shown.get(path) != Some(value));
            input.record = Some(RecordId(*record));
            input.version = Some(RecordVersion::of(&document.heads()));
        }
        let content = draft::encode(&input, self.now().0);
        if input.fields.is_empty() || content.len() > DRAFT_BYTES_MAX {
            return Ok(false);
        }
        let mut id = [0; 8];
        id.iter_mut().zip(name).for_each(|(to, from)| *to = from);
        self.replica.put_draft(FrameDraftId(id), Some(content))?;
        self.drafts.insert(id);
        Ok(true)
    }

    /// The changes of a record in packs of this device.
    fn own_changes(&self, record: &DocId, home: &LogbookName) -> BTreeMap<ChangeHash, RawChange> {
        let mut changes = BTreeMap::new();
        let device = self.replica.device();
        let tips = self.replica.tips(home).into_iter().filter(|tip| tip.log.device == device);
        let mut next: Vec<_> = tips.map(|tip| tip.head).collect();
        let mut seen = BTreeSet::new();
        while let Some(hash) = next.pop() {
            if seen.len() >= OWN_PACKS_MAX || !seen.insert(hash) {
                continue;
            }
            next.extend(self.replica.node(home, &hash).map(|node| node.prev));
            let entries = self.replica.pack(home, &hash).and_then(|pack| pack.open().ok()).unwrap_or_default();
            for entry in entries.iter().filter(|entry| entry.doc() == *record) {
                changes.extend(entry.change().map(|change| (change.hash(), change.clone())));
            }
        }
        changes
    }
}
