//! What an app reads: records, their history, reviews and conflicts, as plain values.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::ids::ChangeHash;
use qianmo_protocol::record::{self, ChangeStory};
use qianmo_protocol::review::{self, ReviewKind, Standing};
use qianmo_replica::replica as store;

use crate::codes::{Explanation, explain};
use crate::draft::FieldValue;
use crate::names::{Cursor, FieldPath, RecordId, RecordVersion};

/// Where the work of this device in a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delivery {
    /// 被隔离: something of it is held, with this code; [`crate::codes::explain`] says why. Nothing is lost.
    Held {
        /// The code.
        code: u16,
    },
    /// 待上传: saved here, and no hub has said that it holds it.
    Waiting,
    /// 已送达: durable at the hub.
    Acknowledged,
    /// 已备份: in a backup of the hub.
    BackedUp,
    /// Nothing of it was written on this device.
    Elsewhere,
}

impl From<store::Delivery> for Delivery {
    fn from(delivery: store::Delivery) -> Self {
        match delivery {
            store::Delivery::Held { code } => Self::Held { code },
            store::Delivery::Waiting => Self::Waiting,
            store::Delivery::Acknowledged => Self::Acknowledged,
            store::Delivery::BackedUp => Self::BackedUp,
            store::Delivery::Elsewhere => Self::Elsewhere,
        }
    }
}

/// Where a record stands in review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewStatus {
    /// Not handed in.
    Unsubmitted,
    /// Handed in, or opened again.
    Pending,
    /// Approved.
    Approved,
    /// Sent back with reasons (退回).
    Returned,
    /// Hidden.
    Withdrawn,
    /// People decided differently without knowing of each other (意见不一致).
    Disagreed,
    /// A latest event is erased or held (待定).
    Unsettled,
}

impl From<review::ReviewStatus> for ReviewStatus {
    fn from(status: review::ReviewStatus) -> Self {
        match status {
            review::ReviewStatus::Unsubmitted => Self::Unsubmitted,
            review::ReviewStatus::Pending => Self::Pending,
            review::ReviewStatus::Approved => Self::Approved,
            review::ReviewStatus::Returned => Self::Returned,
            review::ReviewStatus::Withdrawn => Self::Withdrawn,
            review::ReviewStatus::Disagreed => Self::Disagreed,
            review::ReviewStatus::Unsettled => Self::Unsettled,
        }
    }
}

/// A record in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Its id.
    pub id: RecordId,
    /// The version that is shown.
    pub version: RecordVersion,
    /// Its form.
    pub form: String,
    /// That form's version.
    pub form_version: u32,
    /// Its station.
    pub station: Option<String>,
    /// Its logbook: `ST01/2025-06`, `ST01`, or `organisation`.
    pub logbook: String,
    /// Whose record it is.
    pub author: String,
    /// When it was created, by the writer's clock, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// Its answers by path. Rows are named by their keys; a removed row has `removed` set beside its contents.
    pub fields: BTreeMap<String, FieldValue>,
    /// Where it stands in review.
    pub review: ReviewStatus,
    /// Approved, but changed since (批后改动).
    pub changed_after_approval: bool,
    /// Fields that need a person's decision.
    pub conflicts: usize,
    /// Where this device's work in it is.
    pub delivery: Delivery,
}

/// A record with everything about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView {
    /// What a list shows.
    pub row: RecordRow,
    /// Fields that need a person's decision.
    pub conflicts: Vec<FieldConflict>,
    /// Its changes, each after its history.
    pub history: Vec<HistoryEntry>,
    /// Its review events and comments.
    pub reviews: Vec<ReviewView>,
    /// Why parts of it are held.
    pub held: Vec<Explanation>,
    /// Why this device alone does not show parts of it: the hub has not said what it makes of them.
    pub held_here: Vec<Explanation>,
    /// Changes that count, and that this version cannot show (此版本无法显示): update the app.
    pub unshown: usize,
}

/// One change of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Its hash.
    pub change: String,
    /// Who.
    pub person: Option<String>,
    /// When, by the writer's clock, in milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// The device it came from; `None` while it is only here.
    pub device: Option<String>,
    /// What it put: path, value before, value after.
    pub edits: Vec<(String, Option<FieldValue>, FieldValue)>,
    /// The paths of conflicts it settled.
    pub resolved: Vec<String>,
}

/// A field that holds what two people wrote without knowing of each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldConflict {
    /// Where.
    pub path: FieldPath,
    /// How it came about.
    pub kind: ConflictKind,
    /// The version in which it stands: hand it back in [`crate::ConflictChoice`].
    pub version: RecordVersion,
    /// The values.
    pub candidates: Vec<Candidate>,
}

/// How a conflict came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConflictKind {
    /// Written at the same time.
    Concurrent,
    /// Written over others without seeing them.
    OverwrittenUnseen,
    /// One removed the row, another wrote in it.
    RemovedRowEdited,
}

/// One value of a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The change that put it: how a choice names it.
    pub change: String,
    /// The value.
    pub value: FieldValue,
    /// Who.
    pub person: Option<String>,
    /// When, by the writer's clock, in milliseconds since 1970.
    pub recorded_at_ms: i64,
}

/// What a review event does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReviewAct {
    /// Handed in.
    Submit,
    /// Accepted.
    Approve,
    /// Sent back.
    Return,
    /// Opened again.
    Reopen,
    /// Hidden.
    Withdraw,
    /// Words only.
    Comment,
}

/// A review event or comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReviewView {
    /// Its id.
    pub id: String,
    /// What it does.
    pub act: ReviewAct,
    /// Who.
    pub person: String,
    /// When, by the writer's clock, in milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// Reason codes.
    pub reasons: Vec<String>,
    /// A note on the whole.
    pub note: String,
    /// Notes on fields, by path.
    pub field_notes: BTreeMap<String, String>,
    /// Whether it counts: one that is held does not.
    pub counts: bool,
    /// Whether it was imported rather than written here.
    pub imported: bool,
}

/// Which records a page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordFilter {
    /// Only of this station.
    pub station: Option<String>,
    /// Only of logbooks of this month, `YYYY-MM`.
    pub month: Option<String>,
    /// Only of this form.
    pub form: Option<String>,
    /// Only of this author.
    pub author: Option<String>,
    /// Only where this device's work stands so.
    pub delivery: Option<DeliveryFilter>,
    /// Only in this state of review.
    pub review: Option<ReviewStatus>,
    /// Withdrawn ones too; they are hidden otherwise.
    pub with_withdrawn: bool,
    /// Go on from a page before.
    pub after: Option<Cursor>,
    /// At most this many; 0 for the usual number.
    pub limit: usize,
}

/// A state of delivery to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeliveryFilter {
    /// 待上传.
    Waiting,
    /// 被隔离.
    Held,
    /// With a conflict to settle, whatever its delivery.
    Conflicting,
}

/// A page of records, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordPage {
    /// The records.
    pub rows: Vec<RecordRow>,
    /// Where the next page begins; `None` when there is none.
    pub next: Option<Cursor>,
}

pub(crate) fn row(row: &store::RecordRow) -> RecordRow {
    let root = &row.view.root;
    RecordRow {
        id: RecordId(row.id),
        version: RecordVersion::of(&row.heads),
        form: root.form.to_string(),
        form_version: root.form_version,
        station: root.station.as_ref().map(ToString::to_string),
        logbook: row.logbook.to_string(),
        author: root.author.to_string(),
        created_at_ms: root.created_at.0,
        fields: fields(&row.view),
        review: row.review.status.into(),
        changed_after_approval: row.review.changed_after_approval,
        conflicts: row.conflicts.len(),
        delivery: row.delivery.into(),
    }
}

pub(crate) fn fields(view: &record::RecordView) -> BTreeMap<String, FieldValue> {
    let mut fields: BTreeMap<String, FieldValue> =
        view.fields.iter().map(|(name, value)| (name.clone(), FieldValue::of(value))).collect();
    for (repeat, rows) in &view.repeats {
        for (key, row) in rows {
            let cells = row.cells.iter().map(|(name, value)| (format!("{repeat}/{key}/{name}"), FieldValue::of(value)));
            fields.extend(cells);
            if row.removed {
                fields.insert(format!("{repeat}/{key}/{}", record::REMOVED), FieldValue::Bool(true));
            }
        }
    }
    fields
}

pub(crate) fn detail(detail: &store::RecordDetail) -> RecordView {
    let version = RecordVersion::of(&detail.row.heads);
    let explained = |held: &[(ChangeHash, u16)]| {
        let codes: BTreeSet<u16> = held.iter().map(|(_, code)| *code).collect();
        codes.into_iter().map(explain).collect()
    };
    RecordView {
        row: row(&detail.row),
        conflicts: detail.row.conflicts.iter().map(|found| conflict(found, &version)).collect(),
        history: detail.history.iter().map(|entry| history(&entry.story, entry.device)).collect(),
        reviews: detail.reviews.iter().map(review).collect(),
        held: explained(&detail.held),
        held_here: explained(&detail.held_here),
        unshown: detail.unshown.len(),
    }
}

fn history(story: &ChangeStory, device: Option<qianmo_protocol::ids::DeviceId>) -> HistoryEntry {
    let edit = |edit: &record::FieldChange| {
        let before = edit.before.as_ref().map(FieldValue::of);
        (FieldPath::of(&edit.path).to_string(), before, FieldValue::of(&edit.after))
    };
    HistoryEntry {
        change: story.hash.to_string(),
        person: story.person.as_ref().map(ToString::to_string),
        recorded_at_ms: story.time.0,
        device: device.map(|device| device.to_string()),
        edits: story.edits.iter().map(edit).collect(),
        resolved: story.resolved.iter().map(|path| FieldPath::of(path).to_string()).collect(),
    }
}

pub(crate) fn conflict(conflict: &record::FieldConflict, version: &RecordVersion) -> FieldConflict {
    let candidate = |candidate: &record::Candidate| Candidate {
        change: candidate.change.to_string(),
        value: FieldValue::of(&candidate.value),
        person: candidate.person.as_ref().map(ToString::to_string),
        recorded_at_ms: candidate.time.0,
    };
    FieldConflict {
        path: FieldPath::of(&conflict.path),
        kind: match conflict.kind {
            record::ConflictKind::Concurrent => ConflictKind::Concurrent,
            record::ConflictKind::OverwrittenUnseen => ConflictKind::OverwrittenUnseen,
            record::ConflictKind::RemovedRowEdited => ConflictKind::RemovedRowEdited,
        },
        version: version.clone(),
        candidates: conflict.candidates.iter().map(candidate).collect(),
    }
}

pub(crate) fn review(view: &store::ReviewView) -> ReviewView {
    let event = &view.event;
    let note = |(path, note): (&record::FieldPath, &String)| (FieldPath::of(path).to_string(), note.clone());
    ReviewView {
        id: view.id.to_string(),
        act: match event.kind {
            ReviewKind::Submit => ReviewAct::Submit,
            ReviewKind::Approve => ReviewAct::Approve,
            ReviewKind::Return => ReviewAct::Return,
            ReviewKind::Reopen => ReviewAct::Reopen,
            ReviewKind::Withdraw => ReviewAct::Withdraw,
            ReviewKind::Comment => ReviewAct::Comment,
        },
        person: event.person.to_string(),
        recorded_at_ms: event.time.0,
        reasons: event.reasons.iter().map(ToString::to_string).collect(),
        note: event.note.clone(),
        field_notes: event.field_notes.iter().map(note).collect(),
        counts: view.standing == Standing::Admitted,
        imported: event.provenance == review::Provenance::Imported,
    }
}
