//! Reading records: one, or a page of them.

use std::collections::BTreeSet;

use qianmo_protocol::control::PurgeTarget;
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, FormCode, LogbookName, PersonCode, StationCode};
use qianmo_protocol::record::{ChangeStory, Document, FieldConflict, RecordView};
use qianmo_protocol::review::ReviewState;
use qianmo_protocol::time::Month;

use super::absorb::Standing;
use super::judge::Overruled;
use super::review::is_unanswered;
use super::{CODE_TWIN, CODE_WAITS, Delivery, Replica, ReplicaError, ReviewView};
use crate::overlay::decode;
use crate::rows::{self, CONTENT_PASSED, ChangePlace, DocKind, DocRow, PackRow, Unreadable};

/// Most records of one page.
pub const PAGE_RECORDS_MAX: usize = 500;

/// A conflict of a record, as it is shown.
pub type ConflictView = FieldConflict;

/// One change of a record's history, and the device it was written on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryView {
    /// What it did.
    pub story: ChangeStory,
    /// The device whose pack brought it; `None` while it is only here.
    pub device: Option<DeviceId>,
}

/// A record in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its document.
    pub id: DocId,
    /// Its home.
    pub logbook: LogbookName,
    /// The version that is shown.
    pub heads: Vec<ChangeHash>,
    /// Its fields.
    pub view: RecordView,
    /// Where it stands in review.
    pub review: ReviewState,
    /// Its author said something that nobody answered or decided on since, by the writers' clocks.
    pub is_unanswered: bool,
    /// Fields that need a person's decision.
    pub conflicts: Vec<ConflictView>,
    /// Where this device's work in it is.
    pub delivery: Delivery,
    /// The number of the last frame that touched it or one of its reviews: the cursor of change feeds.
    pub touched: u64,
}

/// A record with everything about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordDetail {
    /// What a list shows.
    pub row: RecordRow,
    /// Its changes, each after its history.
    pub history: Vec<HistoryView>,
    /// Its review events and comments.
    pub reviews: Vec<ReviewView>,
    /// Changes that are held, with their codes; one that goes on from a held change has that one's.
    pub held: Vec<(ChangeHash, u16)>,
    /// Changes that only this replica's own gate does not pass, and what goes on from them: on a tablet until the hub has
    /// said what it makes of them, on a hub until the administrator has.
    pub held_here: Vec<(ChangeHash, u16)>,
    /// Changes that count, and that this version cannot show (此版本无法显示): the hub passed them or they were released.
    pub unshown: Vec<ChangeHash>,
}

/// Which records a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFilter {
    /// Only of this station.
    pub station: Option<StationCode>,
    /// Only of logbooks of this month.
    pub month: Option<Month>,
    /// Only of this form.
    pub form: Option<FormCode>,
    /// Only of this author.
    pub author: Option<PersonCode>,
}

/// A page of records, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordPage {
    /// The records.
    pub rows: Vec<RecordRow>,
    /// Give this for the next page; `None` when there is none.
    pub next: Option<Vec<u8>>,
}

impl Replica {
    /// A record as an Automerge-free document: what passed, and what is saved here.
    ///
    /// `None` when it is not known, erased, or its first change is held.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn document(&self, record: &DocId) -> Result<Option<Document>, ReplicaError> {
        let Some(row) = self.index.get::<DocRow>(&rows::doc(record))? else { return Ok(None) };
        if !matches!(row.kind, DocKind::Record { .. }) || self.control.fold().is_document_purged(record) {
            return Ok(None);
        }
        for overruled in [Overruled::With, Overruled::Without] {
            if let Some(document) = self.built(record, &row.logbook, overruled, Document::from_changes)? {
                return Ok(Some(document));
            }
        }
        Ok(None)
    }

    /// The logbook of a record that counts, and whose first change this version cannot read (此版本无法显示); `None` for every
    /// other.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn unreadable_record(&self, record: &DocId) -> Result<Option<LogbookName>, ReplicaError> {
        let Some(row) = self.index.get::<DocRow>(&rows::doc(record))? else { return Ok(None) };
        if row.kind != DocKind::Unreadable(Unreadable::Record) {
            return Ok(None);
        }
        let standing = self.standing_of(record)?;
        let mut roots = standing.changes.iter().filter(|(_, change)| change.row.is_root);
        let Some((hash, root)) = roots.next().filter(|_| !standing.is_purged && !standing.is_given_up) else {
            return Ok(None);
        };
        let counts = root.is_admitted && (root.row.content == CONTENT_PASSED || self.is_overruled(hash, &root.row)?);
        Ok(counts.then_some(row.logbook))
    }

    /// The logbook a record lives in.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn home_of(&self, record: &DocId) -> Result<Option<LogbookName>, ReplicaError> {
        Ok(self.index.get::<DocRow>(&rows::doc(record))?.map(|row| row.logbook))
    }

    /// The record that a document is about: itself, or the record of a review event.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn record_of(&self, doc: &DocId) -> Result<Option<DocId>, ReplicaError> {
        let row = self.index.get::<DocRow>(&rows::doc(doc))?;
        Ok(row.and_then(|row| match row.kind {
            DocKind::Record { .. } => Some(*doc),
            DocKind::Review { record } => Some(record),
            DocKind::Unreadable(Unreadable::Record) => Some(*doc),
            DocKind::Unreadable(Unreadable::Review) => None,
            DocKind::Unknown => self.record_of_erased(doc),
        }))
    }

    /// Of an erased document only the control log knows what it was.
    fn record_of_erased(&self, doc: &DocId) -> Option<DocId> {
        let fold = self.control.fold();
        let record = fold.review_memories_of(doc).next().map(|memory| memory.record);
        record.or_else(|| fold.is_document_purged(doc).then_some(*doc))
    }

    /// A record as a list shows it.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn record_row(&self, record: &DocId) -> Result<Option<RecordRow>, ReplicaError> {
        Ok(self.read_record(record)?.map(|(row, _, _)| row))
    }

    /// A record with its history and reviews.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn record(&self, record: &DocId) -> Result<Option<RecordDetail>, ReplicaError> {
        let Some((row, document, reviews)) = self.read_record(record)? else { return Ok(None) };
        let mut history = Vec::new();
        for story in document.history() {
            let device = self.device_of_change(record, &story.hash)?;
            history.push(HistoryView { story, device });
        }
        let standing = self.standing_of(record)?;
        let mut detail =
            RecordDetail { row, history, reviews, held: Vec::new(), held_here: Vec::new(), unshown: Vec::new() };
        let has_twins = standing.changes.values().any(|change| change.row.content == CODE_TWIN && change.is_admitted);
        for (hash, change) in &standing.changes {
            if !change.is_admitted {
                detail.held.push((*hash, self.held_code(&standing, hash)?));
            } else if !document.contains(hash) {
                match self.own_failure(&standing, hash)? {
                    Some(code) => detail.held_here.push((*hash, code)),
                    None if has_twins => detail.held_here.push((*hash, CODE_TWIN)),
                    None => detail.unshown.push(*hash),
                }
            }
        }
        Ok(Some(detail))
    }

    /// The code with which a change, or one it goes on from, failed here, while nobody has said that it counts.
    fn own_failure(&self, standing: &Standing, hash: &ChangeHash) -> Result<Option<u16>, ReplicaError> {
        let (mut next, mut seen) = (vec![*hash], BTreeSet::new());
        while let Some(hash) = next.pop() {
            let Some(change) = standing.changes.get(&hash).filter(|_| seen.insert(hash)) else { continue };
            let has_failed = !matches!(change.row.content, CONTENT_PASSED | CODE_WAITS);
            if has_failed && !self.is_overruled(&hash, &change.row)? {
                return Ok(Some(change.row.content));
            }
            next.extend(change.row.deps.iter().copied());
        }
        Ok(None)
    }

    fn read_record(&self, record: &DocId) -> Result<Option<(RecordRow, Document, Vec<ReviewView>)>, ReplicaError> {
        let Some(doc_row) = self.index.get::<DocRow>(&rows::doc(record))? else { return Ok(None) };
        let Some(document) = self.document(record)? else { return Ok(None) };
        let heads = document.heads();
        let reviews = self.reviews(record)?;
        let view = document.view();
        let row = RecordRow {
            id: *record,
            logbook: doc_row.logbook,
            review: self.fold_reviews(record, &reviews, &heads),
            is_unanswered: is_unanswered(&view.root.author, &reviews),
            heads,
            view,
            conflicts: document.conflicts(),
            delivery: self.delivery(record)?,
            touched: self.last_touch(record, doc_row.touched)?,
        };
        Ok(Some((row, document, reviews)))
    }

    /// The last frame that touched a record or one of its reviews, also of those that are erased or held.
    fn last_touch(&self, record: &DocId, own: u64) -> Result<u64, ReplicaError> {
        let mut last = own;
        for (key, _) in self.index.scan_all(&rows::reviews_of(record))? {
            let Some(id) = rows::tail::<16>(&key).map(DocId) else { continue };
            let review = self.index.get::<DocRow>(&rows::doc(&id))?;
            last = last.max(review.map_or(0, |review| review.touched));
        }
        Ok(last)
    }

    /// The device whose pack brought a change first; `None` while it is only here.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn device_of_change(&self, doc: &DocId, change: &ChangeHash) -> Result<Option<DeviceId>, ReplicaError> {
        let row = self.index.get::<rows::ChangeRow>(&rows::change(doc, change))?;
        let Some(ChangePlace::Pack { pack, .. }) = row.map(|row| row.place) else { return Ok(None) };
        let Some(name) = self.home_of(doc)? else { return Ok(None) };
        let row = self.index.get::<PackRow>(&rows::pack(&name.id(&self.org), &pack))?;
        Ok(row.map(|row| row.log.device))
    }

    /// The person that a change names as its writer: only the first change of an actor does.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn person_named_by(&self, doc: &DocId, change: &ChangeHash) -> Result<Option<PersonCode>, ReplicaError> {
        Ok(self.raw_change(doc, change)?.and_then(|change| change.head().author().cloned()))
    }

    /// A page of records, newest first. `after` is the `next` of the page before.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn records(
        &self,
        filter: &RecordFilter,
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<RecordPage, ReplicaError> {
        const KEYS_PER_STEP: usize = 200;
        let limit = limit.clamp(1, PAGE_RECORDS_MAX);
        let mut page = RecordPage::default();
        let mut at = after.map(<[u8]>::to_vec);
        loop {
            let keys = self.index.scan(rows::RECORDS, at.as_deref(), KEYS_PER_STEP)?;
            let is_last = keys.len() < KEYS_PER_STEP;
            for (key, _) in keys {
                let doc = rows::tail::<16>(&key).map(DocId);
                at = Some(key);
                if let Some(doc) = doc.filter(|doc| self.matches(doc, filter).unwrap_or(true)) {
                    page.rows.extend(self.record_row(&doc)?);
                }
                if page.rows.len() == limit {
                    page.next = at;
                    return Ok(page);
                }
            }
            if is_last {
                return Ok(page);
            }
        }
    }

    /// How many records match.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn count_records(&self, filter: &RecordFilter) -> Result<usize, ReplicaError> {
        let mut count = 0;
        for (key, _) in self.index.scan_all(rows::RECORDS)? {
            let Some(doc) = rows::tail::<16>(&key).map(DocId) else { continue };
            let is_erased = self.control.fold().is_document_purged(&doc);
            count += usize::from(!is_erased && self.matches(&doc, filter)?);
        }
        Ok(count)
    }

    /// Every record, newest first, erased ones not left out.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn all_records(&self) -> Result<Vec<DocId>, ReplicaError> {
        let keys = self.index.scan_all(rows::RECORDS)?;
        let mut records: Vec<DocId> = keys.iter().filter_map(|(key, _)| rows::tail::<16>(key)).map(DocId).collect();
        // Those whose bytes are gone: whoever follows changes must hear that they are.
        for (_, purge) in self.control.fold().purges().filter(|(_, purge)| purge.memory.is_none()) {
            if let PurgeTarget::Document { doc, .. } = purge.target
                && let Some(row) = self.index.get::<DocRow>(&rows::doc(&doc))?
                && row.kind == DocKind::Unknown
            {
                records.push(doc);
            }
        }
        Ok(records)
    }

    /// Documents, reviews among them, that frames after a commit touched: what a follower that stood there must look at.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn touched_after(&self, commit: u64) -> Result<BTreeSet<DocId>, ReplicaError> {
        let mut touched = BTreeSet::new();
        for (key, value) in self.index.scan_all(rows::DOCS)? {
            let row: DocRow = decode(&key, &value)?;
            if row.touched > commit {
                touched.extend(rows::tail::<16>(&key).map(DocId));
            }
        }
        Ok(touched)
    }

    fn matches(&self, doc: &DocId, filter: &RecordFilter) -> Result<bool, ReplicaError> {
        let Some(value) = self.index.get_raw(&rows::doc(doc))? else { return Ok(false) };
        let row: DocRow = decode(&rows::doc(doc), &value)?;
        let DocKind::Record { form, author, .. } = &row.kind else { return Ok(false) };
        Ok(filter.station.as_ref().is_none_or(|station| row.logbook.station() == Some(station))
            && filter.month.is_none_or(|month| row.logbook.month() == Some(month))
            && filter.form.as_ref().is_none_or(|wanted| wanted == form)
            && filter.author.as_ref().is_none_or(|wanted| wanted == author))
    }
}
