//! Carrying erasures out on this device, and dropping what is superseded, when nobody waits for an answer.
//!
//! An erasure comes with the control log and hides a record at once. Its bytes go here: soon after the session that brought
//! it, or at the next start. Drafts of an erased record, and unsent edits, go with it, and the person is told (R20).
//!
//! # Flow
//!
//! ```text
//! before every wait of the store's thread: keep_house ─ in the middle of a turn, or nothing new to look at? back at once
//!     └─ drafts of what is erased are discarded ─> the log is rewritten, the index built anew ─> status, Event::Erased
//! ```
//!
//! # Invariants
//!
//! 1. Never while a session is between two messages of a turn (`Running::is_idle`).

use std::collections::BTreeSet;

use qianmo_protocol::ids::DocId;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};
use qianmo_replica::frames::DraftId as FrameDraftId;
use qianmo_replica::replica::{ReplicaError, Upkeep};

use super::Owner;
use crate::draft::{self, DraftInput, FieldValue};
use crate::event::Event;
use crate::names::{DraftId, RecordId};
use crate::status::ErasedNotice;

/// The meta key of the last erasure that was carried out here.
pub(super) const ERASED_NOTICE_KEY: &[u8] = b"client erased";
/// The log is looked at again when it has grown by this much; [`qianmo_replica::replica::Replica::upkeep_due`] decides.
const LOOK_EVERY_BYTES: u64 = 1024 * 1024;

/// When to look at the log again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct House {
    has_control_news: bool,
    look_at_bytes: u64,
}

impl House {
    /// A store that was just opened: a crash may have left something undone.
    pub(super) const fn new() -> Self {
        Self { has_control_news: true, look_at_bytes: 0 }
    }

    pub(super) const fn control_news(&mut self) {
        self.has_control_news = true;
    }
}

impl Owner {
    /// Rewrites the log if that is due and nobody waits.
    pub(crate) fn keep_house(&mut self) {
        let is_in_a_turn = self.session.as_ref().is_some_and(|session| !session.is_idle());
        let bytes = self.replica.log_stats().durable_bytes;
        if is_in_a_turn || !(self.house.has_control_news || bytes >= self.house.look_at_bytes) {
            return;
        }
        self.house = House { has_control_news: false, look_at_bytes: bytes.saturating_add(LOOK_EVERY_BYTES) };
        match self.tidy() {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(%error, "the log could not be rewritten; it is tried again at the next start")
            }
        }
    }

    fn tidy(&mut self) -> Result<(), ReplicaError> {
        let due = self.replica.upkeep_due()?;
        let erased = self.replica.erasures_due()?;
        let drafts = self.discard_drafts_of(&erased)?;
        if due == Upkeep::Nothing && drafts == 0 {
            return Ok(());
        }
        let mut records = Vec::new();
        for doc in &erased {
            records.extend(self.replica.record_of(doc)?.filter(|record| record == doc).map(RecordId));
        }
        let unsent = self.waiting.intersection(&erased).count();
        let totals = self.replica.rewrite()?;
        tracing::info!(?due, ?totals, "the record store was rewritten");
        self.actors.retain(|(doc, _), _| !erased.contains(doc));
        self.recount()?;
        if !records.is_empty() || drafts > 0 {
            let notice = ErasedNotice { at_ms: self.now().0, records: records.len(), drafts, unsent };
            self.replica.put_meta(ERASED_NOTICE_KEY, &Stored(notice).encode())?;
            self.setup.shared.update(|status| status.erased = Some(notice));
            self.setup.shared.tell(Event::Erased { records: records.into(), drafts, unsent });
        }
        self.replica.sync()?;
        self.after_sync(&BTreeSet::new())
    }

    /// Discards drafts that edit an erased record, came back from one, or name an erased service target.
    fn discard_drafts_of(&mut self, erased: &BTreeSet<DocId>) -> Result<usize, ReplicaError> {
        let mut given_back = BTreeSet::new();
        for doc in erased {
            let name = self.replica.meta(&[b"client held ".as_slice(), &doc.0].concat())?;
            given_back.extend(name.and_then(|name| name.first_chunk::<8>().copied()));
        }
        let mut gone = Vec::new();
        for (id, content) in self.replica.drafts()? {
            let input = draft::decode(DraftId(id.0), &content).map(|view| view.input);
            if given_back.contains(&id.0) || input.is_some_and(|input| self.is_about_erased(&input)) {
                gone.push(id.0);
            }
        }
        for id in &gone {
            self.replica.put_draft(FrameDraftId(*id), None)?;
            self.drafts.remove(id);
        }
        self.replica.sync()?;
        Ok(gone.len())
    }

    fn is_about_erased(&self, input: &DraftInput) -> bool {
        let fold = self.replica.control().fold();
        let names_target = |value: &FieldValue| {
            let FieldValue::Text(text) = value else { return false };
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| DocId::from_hex(word).is_some_and(|doc| fold.is_standing_target(&doc)))
        };
        input.record.is_some_and(|record| fold.is_document_purged(&record.0)) || input.fields.values().any(names_target)
    }

    /// The last erasure that was carried out here, for the status.
    pub(super) fn erased_notice(&self) -> Result<Option<ErasedNotice>, ReplicaError> {
        let stored = self.replica.meta(ERASED_NOTICE_KEY)?;
        Ok(stored.and_then(|bytes| Stored::decode(&bytes).ok()).map(|Stored(notice)| notice))
    }
}

/// A notice as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stored(ErasedNotice);

impl Wire for Stored {
    fn write(&self, writer: &mut Writer) {
        writer.i64(self.0.at_ms);
        for count in [self.0.records, self.0.drafts, self.0.unsent] {
            writer.count(count);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let max = usize::from(u16::MAX);
        Ok(Self(ErasedNotice {
            at_ms: reader.i64("erased at")?,
            records: reader.count("records", max)?,
            drafts: reader.count("drafts", max)?,
            unsent: reader.count("unsent", max)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notice_reads_back() {
        let stored = Stored(ErasedNotice { at_ms: -5, records: 3, drafts: 0, unsent: 1 });
        assert_eq!(Stored::decode(&stored.encode()), Ok(stored));
        assert!(Stored::decode(b"no").is_err());
    }
}
