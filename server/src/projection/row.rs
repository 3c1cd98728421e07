//! One record as a row.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use qianmo_forms::{FormKind, FormSet};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::{ChangeHash, DocId, LogbookName};
use qianmo_protocol::record::{ConflictKind, FieldConflict, RowKey, RowView};
use qianmo_protocol::review::ReviewStatus;
use qianmo_replica::replica::{RecordRow, Replica, ReplicaError};

use super::ProjectionError;
use super::about;
use super::flags::{self, FlagSet, Rules, Touched, Whole};
use super::marks::{Mark, Marks};
use super::words::{self, Cutter};

/// A field of a record that needs a person's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowConflict {
    /// Where in the record.
    pub path: String,
    /// How it came about.
    pub kind: String,
    /// How many values stand against each other.
    pub candidates: u32,
}

/// A record as the read model has it.
#[derive(Debug, Clone, PartialEq)]
pub struct ProjectedRecord {
    /// Its document.
    pub id: DocId,
    /// It was erased, or is held: nothing but its id is told.
    pub is_gone: bool,
    /// The commit that touched it last: its place in the change feed.
    pub touched: u64,
    /// Its home, as people read it.
    pub logbook: String,
    /// Its station.
    pub station: Option<String>,
    /// Its month, as `YYYY-MM`.
    pub month: Option<String>,
    /// Its form.
    pub form: String,
    /// That form's version.
    pub form_version: u32,
    /// The person whose record it is.
    pub author: String,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
    /// Its review state, as a word: see [`state_word`].
    pub state: String,
    /// Approved, and changed since.
    pub changed_after_approval: bool,
    /// It was returned, and handed in again.
    pub is_resubmitted: bool,
    /// Its author said something that nobody answered yet.
    pub is_unanswered: bool,
    /// What a reviewer should look at twice; it follows from other records too.
    pub flags: FlagSet,
    /// The fields that need a person's decision.
    pub conflicts: Vec<RowConflict>,
    /// Its version: hexadecimal hashes.
    pub heads: Vec<String>,
    /// Its fields. Not masked.
    pub fields: Value,
    /// Its repeats: rows by key, each with `removed` and `cells`. Not masked.
    pub repeats: Value,
    /// Its fields as they were approved, where it was changed since: what official figures count. Not masked.
    pub approved: Option<Value>,
}

/// The word for a review state in the API and the database.
#[must_use]
pub const fn state_word(status: ReviewStatus) -> &'static str {
    match status {
        ReviewStatus::Unsubmitted => "unsubmitted",
        ReviewStatus::Pending => "pending",
        ReviewStatus::Approved => "approved",
        ReviewStatus::Returned => "returned",
        ReviewStatus::Withdrawn => "withdrawn",
        ReviewStatus::Disagreed => "disagreed",
        ReviewStatus::Unsettled => "unsettled",
    }
}

/// The word in place of a review state for a record that counts and that this version cannot read.
pub const UNREADABLE: &str = "unreadable";

/// Every word that [`state_word`] gives, and [`UNREADABLE`].
pub const STATE_WORDS: [&str; 8] =
    ["pending", "returned", "approved", "disagreed", "unsettled", "unsubmitted", "withdrawn", UNREADABLE];

/// What people call a review state, Chinese and English, by its word.
#[must_use]
pub fn state_label(word: &str) -> (&'static str, &'static str) {
    match word {
        "unsubmitted" => ("未提交", "Not submitted"),
        "pending" => ("待审", "To review"),
        "approved" => ("通过", "Approved"),
        "returned" => ("退回", "Returned"),
        "withdrawn" => ("撤回", "Withdrawn"),
        "disagreed" => ("意见不一致", "Disagreed"),
        UNREADABLE => ("此版本无法显示", "This version cannot show it"),
        _ => ("待定", "Unsettled"),
    }
}

/// The word for a kind of conflict.
pub(crate) const fn conflict_word(kind: ConflictKind) -> &'static str {
    match kind {
        ConflictKind::Concurrent => "concurrent",
        ConflictKind::OverwrittenUnseen => "overwritten-unseen",
        ConflictKind::RemovedRowEdited => "removed-row-edited",
    }
}

pub(crate) fn scalar_json(scalar: &Scalar) -> Value {
    match scalar {
        Scalar::Null => Value::Null,
        Scalar::Bool(value) => json!(value),
        Scalar::Int(value) => json!(value),
        Scalar::Text(value) => json!(value),
        Scalar::Bytes(bytes) => json!(data_encoding::HEXLOWER.encode(bytes)),
    }
}

fn cells_json(cells: &BTreeMap<String, Scalar>) -> Value {
    Value::Object(cells.iter().map(|(name, value)| (name.clone(), scalar_json(value))).collect())
}

fn repeats_json(repeats: &BTreeMap<String, BTreeMap<RowKey, RowView>>) -> Value {
    let row = |row: &RowView| json!({ "removed": row.removed, "cells": cells_json(&row.cells) });
    let rows = |rows: &BTreeMap<RowKey, RowView>| {
        Value::Object(rows.iter().map(|(key, view)| (key.to_string(), row(view))).collect::<Map<_, _>>())
    };
    Value::Object(repeats.iter().map(|(name, of_name)| (name.clone(), rows(of_name))).collect())
}

impl RowConflict {
    fn of(conflict: &FieldConflict) -> Self {
        Self {
            path: conflict.path.to_string(),
            kind: conflict_word(conflict.kind).to_owned(),
            candidates: u32::try_from(conflict.candidates.len()).unwrap_or(u32::MAX),
        }
    }
}

impl ProjectedRecord {
    /// What the replica says of a record now; `None` if it is gone.
    ///
    /// # Errors
    /// [`ReplicaError`].
    pub fn read(replica: &Replica, id: &DocId) -> Result<Option<Self>, ReplicaError> {
        let Some(row) = replica.record_row(id)? else { return Ok(None) };
        let mut record = Self::of(&row);
        if row.review.changed_after_approval {
            record.approved = approved_fields(replica, id)?;
        }
        Ok(Some(record))
    }

    /// What a list's row says of a record; without what was approved.
    #[must_use]
    pub fn of(row: &RecordRow) -> Self {
        let root = &row.view.root;
        Self {
            id: row.id,
            is_gone: false,
            touched: row.touched,
            logbook: row.logbook.to_string(),
            station: row.logbook.station().map(ToString::to_string),
            month: row.logbook.month().map(|month| month.to_string()),
            form: root.form.to_string(),
            form_version: root.form_version,
            author: root.author.to_string(),
            created_at: root.created_at.0,
            state: state_word(row.review.status).to_owned(),
            changed_after_approval: row.review.changed_after_approval,
            is_resubmitted: row.review.is_resubmitted,
            is_unanswered: row.is_unanswered,
            flags: FlagSet::default(),
            conflicts: row.conflicts.iter().map(RowConflict::of).collect(),
            heads: row.heads.iter().map(ToString::to_string).collect(),
            fields: cells_json(&row.view.fields),
            repeats: repeats_json(&row.view.repeats),
            approved: None,
        }
    }

    /// It counts, and this version cannot read its first change: where it lives is all that can be told.
    fn unreadable(id: DocId, touched: u64, logbook: &LogbookName) -> Self {
        Self {
            is_gone: false,
            logbook: logbook.to_string(),
            station: logbook.station().map(ToString::to_string),
            month: logbook.month().map(|month| month.to_string()),
            state: UNREADABLE.to_owned(),
            ..Self::gone(id, touched)
        }
    }

    pub(super) fn gone(id: DocId, touched: u64) -> Self {
        Self {
            id,
            is_gone: true,
            touched,
            logbook: String::new(),
            station: None,
            month: None,
            form: String::new(),
            form_version: 0,
            author: String::new(),
            created_at: 0,
            state: String::new(),
            changed_after_approval: false,
            is_resubmitted: false,
            is_unanswered: false,
            flags: FlagSet::default(),
            conflicts: Vec::new(),
            heads: Vec::new(),
            fields: json!({}),
            repeats: json!({}),
            approved: None,
        }
    }
}

/// The fields of the version that the latest approvals name.
fn approved_fields(replica: &Replica, id: &DocId) -> Result<Option<Value>, ReplicaError> {
    let (Some(detail), Some(document)) = (replica.record(id)?, replica.document(id)?) else { return Ok(None) };
    let latest = detail.reviews.iter().filter(|review| detail.row.review.latest.contains(&review.id));
    let named: BTreeSet<ChangeHash> = latest.flat_map(|review| review.event.heads.iter().copied()).collect();
    let heads: Vec<ChangeHash> = named.into_iter().filter(|head| document.contains(head)).collect();
    Ok(document.view_at(&heads).ok().map(|view| cells_json(&view.fields)))
}

/// What was written of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// All that it holds.
    Shown,
    /// That it is gone.
    Gone,
}

/// Writes what the replica says of a record now.
pub(super) fn write(
    connection: &Connection,
    rules: &Rules,
    replica: &Replica,
    id: &DocId,
    commit: u64,
    touched: &mut Touched,
) -> Result<Written, ProjectionError> {
    let record = match ProjectedRecord::read(replica, id)? {
        Some(record) => record,
        None => match replica.unreadable_record(id)? {
            Some(logbook) => ProjectedRecord::unreadable(*id, commit, &logbook),
            None => ProjectedRecord::gone(*id, commit),
        },
    };
    put(connection, rules, &record, touched)
}

/// Writes a record, and what follows from it but its flags.
pub(super) fn put(
    connection: &Connection,
    rules: &Rules,
    record: &ProjectedRecord,
    touched: &mut Touched,
) -> Result<Written, ProjectionError> {
    let forms = &rules.forms;
    let form = forms.get_version(&record.form, record.form_version).or_else(|| forms.get(&record.form));
    let is_registry = form.is_some_and(|form| form.kind() == FormKind::Registry);
    let number = upsert(connection, record, is_registry)?;
    index(connection, forms, number, record)?;
    about::write(connection, forms, number, record)?;
    flags::take_in(connection, forms, number, record, touched)?;
    Ok(if record.is_gone { Written::Gone } else { Written::Shown })
}

/// Writes the row of a record, new or not, and answers its number.
fn upsert(connection: &Connection, record: &ProjectedRecord, is_registry: bool) -> Result<i64, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO record (id, gone, touched, logbook, station, month, form, form_version, author, created_at, \
         state, changed_after_approval, conflicts, conflict_list, heads, fields, repeats, checksum, approved, registry, \
         resubmitted, marks, unanswered) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?24) \
         ON CONFLICT (id) DO UPDATE SET gone = ?2, touched = ?3, logbook = ?4, station = ?5, month = ?6, form = ?7, \
         form_version = ?8, author = ?9, created_at = ?10, state = ?11, changed_after_approval = ?12, conflicts = ?13, \
         conflict_list = ?14, heads = ?15, fields = ?16, repeats = ?17, checksum = ?18, approved = ?19, registry = ?20, \
         resubmitted = ?21, marks = ?22 | (marks & ?23), unanswered = ?24 RETURNING number",
    )?;
    // The flags that stand go on until they are judged.
    let judged = Marks::of(&[Mark::Flagged, Mark::Late]);
    let values = params![
        record.id.0,
        record.is_gone,
        i64::try_from(record.touched).unwrap_or(i64::MAX),
        record.logbook,
        record.station,
        record.month,
        record.form,
        record.form_version,
        record.author,
        record.created_at,
        record.state,
        record.changed_after_approval,
        i64::try_from(record.conflicts.len()).unwrap_or(i64::MAX),
        json!(record.conflicts).to_string(),
        record.heads.join(" "),
        record.fields.to_string(),
        record.repeats.to_string(),
        checksum(record),
        record.approved.as_ref().map(ToString::to_string),
        is_registry,
        record.is_resubmitted,
        Marks::of_record(record).without(judged).bits(),
        judged.bits(),
        record.is_unanswered,
    ];
    statement.query_row(values, |row| row.get(0))
}

/// Puts the words of a record in place of those it had.
fn index(
    connection: &Connection,
    forms: &FormSet,
    number: i64,
    record: &ProjectedRecord,
) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([number])?;
    if record.is_gone {
        return Ok(());
    }
    let mut statement = connection.prepare_cached("INSERT INTO search (rowid, chars) VALUES (?1, ?2)")?;
    statement.execute(params![number, Cutter.index(&words::text_of(forms, record))])?;
    Ok(())
}

/// Over everything that a record itself says: SQLite does not notice a bit that turned in a text. Flags are judged anew.
fn checksum(record: &ProjectedRecord) -> [u8; 16] {
    let ProjectedRecord {
        id,
        is_gone,
        touched,
        logbook,
        station,
        month,
        form,
        form_version,
        author,
        created_at,
        state,
        changed_after_approval,
        is_resubmitted,
        is_unanswered,
        flags: _,
        conflicts,
        heads,
        fields,
        repeats,
        approved,
    } = record;
    let place = (id, is_gone, touched, logbook, station, month, form, form_version, author, created_at);
    let review = (state, changed_after_approval, is_resubmitted, is_unanswered);
    let told = format!("{place:?} {review:?} {conflicts:?} {heads:?} {fields:?} {repeats:?} {approved:?}");
    let digest: [u8; 32] = blake3::hash(told.as_bytes()).into();
    let (first, _) = digest.split_first_chunk::<16>().unwrap_or((&[0; 16], &[]));
    *first
}

/// The columns of a record, in the order [`read`] takes them.
pub(super) const COLUMNS: &str = "id, gone, touched, logbook, station, month, form, form_version, author, created_at, \
                                  state, changed_after_approval, conflict_list, heads, fields, repeats, approved, \
                                  resubmitted, flags, unanswered";

pub(super) fn read(row: &rusqlite::Row<'_>) -> Result<ProjectedRecord, rusqlite::Error> {
    let heads: String = row.get(13)?;
    let conflicts: String = row.get(12)?;
    let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(ProjectedRecord {
        id: DocId(row.get(0)?),
        is_gone: row.get(1)?,
        touched: u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0),
        logbook: row.get(3)?,
        station: row.get(4)?,
        month: row.get(5)?,
        form: row.get(6)?,
        form_version: row.get(7)?,
        author: row.get(8)?,
        created_at: row.get(9)?,
        state: row.get(10)?,
        changed_after_approval: row.get(11)?,
        is_resubmitted: row.get(17)?,
        is_unanswered: row.get(19)?,
        flags: FlagSet::from_bits(row.get(18)?),
        conflicts: serde_json::from_str(&conflicts).unwrap_or_default(),
        heads: heads.split_whitespace().map(ToOwned::to_owned).collect(),
        fields: json(row.get(14)?),
        repeats: json(row.get(15)?),
        approved: row.get::<_, Option<String>>(16)?.map(json),
    })
}

/// Whether every row is as it was written, stands under whom it speaks of, and has the flags it must have.
pub(super) fn are_sound(connection: &Connection, rules: &Rules) -> Result<bool, rusqlite::Error> {
    let mut about = 0_u64;
    let mut whole = Whole::with_directories(connection)?;
    let sql = format!("SELECT {COLUMNS}, conflicts, checksum, marks, number FROM record");
    let mut statement = connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let record = read(row)?;
        let count = usize::try_from(row.get::<_, i64>("conflicts")?).ok();
        let marks = Marks::from_bits(row.get("marks")?);
        if row.get::<_, [u8; 16]>("checksum")? != checksum(&record)
            || count != Some(record.conflicts.len())
            || marks != Marks::of_record(&record)
        {
            return Ok(false);
        }
        let number = row.get("number")?;
        about = about.wrapping_add(about::sum_of(&rules.forms, number, &record));
        whole.take(rules, number, &record);
    }
    Ok(about == about::sum(connection)? && whole.agrees(connection)?)
}
