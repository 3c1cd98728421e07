//! What records speak of: the service target and the people, for their timelines.
//!
//! A record stands under the target it names, and under the people who took part. Who only typed it stands there when the
//! form asks for nobody else: whoever brought an old ledger in was not at its visits. A timeline goes by the day a thing was
//! done, not by when it was written down.
//!
//! # Invariants
//!
//! 1. Rows follow from the record they stand for ([`sum`] is compared with [`sum_of`] of every record when the model is opened).
//! 2. A record that is gone stands nowhere, and none stands under an answer that its form marks as personal.

use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use rusqlite::{Connection, params_from_iter};

use qianmo_forms::{FieldType, Form, FormKind, FormSet, ReferenceKind};
use qianmo_protocol::ids::DocId;

use super::lists::records_of;
use super::query::{PAGE_MAX, Reader};
use super::{ProjectedRecord, ProjectionError};
use crate::times;

pub(super) const SCHEMA: &str = "
CREATE TABLE about (
    subject INTEGER NOT NULL,
    key TEXT NOT NULL,
    day TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    id BLOB NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (subject, key, day, created_at, id)
) WITHOUT ROWID;
CREATE INDEX about_number ON about (number);
";

/// What a timeline is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// A service target.
    Target,
    /// A person of the stations.
    Person,
}

impl Subject {
    const fn number(self) -> i64 {
        match self {
            Self::Target => 0,
            Self::Person => 1,
        }
    }
}

/// A place in a timeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelineCursor {
    day: String,
    created_at: i64,
    id: DocId,
}

impl TimelineCursor {
    /// As text.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&[&self.id.0, self.created_at.to_be_bytes().as_slice(), self.day.as_bytes()].concat())
    }

    /// From the text.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (id, rest) = bytes.split_at_checked(16)?;
        let (created_at, day) = rest.split_at_checked(8)?;
        Some(Self {
            day: String::from_utf8(day.to_vec()).ok()?,
            created_at: i64::from_be_bytes(created_at.try_into().ok()?),
            id: DocId::from_slice(id)?,
        })
    }
}

/// A page of a timeline, newest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// How many records there are on all pages.
    pub total: u64,
    /// The records of this page.
    pub records: Vec<ProjectedRecord>,
    /// Where the next page begins, if there is one.
    pub next: Option<TimelineCursor>,
}

/// Under what a record stands, and its day.
fn places(forms: &FormSet, record: &ProjectedRecord) -> Option<(BTreeSet<(Subject, String)>, String)> {
    let form = forms.for_record(&record.form, record.form_version)?;
    if record.is_gone || form.kind() == FormKind::Registry {
        return None;
    }
    let mut places = BTreeSet::new();
    for field in form.fields().iter().filter(|field| !field.personal) {
        let subject = match field.field_type {
            FieldType::Reference(ReferenceKind::Target) | FieldType::References(ReferenceKind::Target) => {
                Subject::Target
            }
            FieldType::Reference(ReferenceKind::Person) | FieldType::References(ReferenceKind::Person) => {
                Subject::Person
            }
            FieldType::Text { .. }
            | FieldType::LongText { .. }
            | FieldType::Integer { .. }
            | FieldType::Decimal { .. }
            | FieldType::Latitude
            | FieldType::Longitude
            | FieldType::Accuracy
            | FieldType::Date
            | FieldType::Time
            | FieldType::Choice(_)
            | FieldType::Choices(_)
            | FieldType::Boolean
            | FieldType::Reference(_)
            | FieldType::References(_) => continue,
        };
        let keys = record.fields.get(&field.name).and_then(serde_json::Value::as_str).unwrap_or_default();
        places.extend(keys.split_whitespace().map(|key| (subject, key.to_owned())));
    }
    if !places.iter().any(|(subject, _)| *subject == Subject::Person) {
        places.insert((Subject::Person, record.author.clone()));
    }
    let written = || times::day(record.created_at).unwrap_or_default();
    Some((places, answered_day(form, record).map_or_else(written, ToOwned::to_owned)))
}

/// The first date of the form that is answered: when it was done.
pub(crate) fn answered_day<'a>(form: &Form, record: &'a ProjectedRecord) -> Option<&'a str> {
    let mut dates = form.fields().iter().filter(|field| field.field_type == FieldType::Date && !field.personal);
    dates.find_map(|field| record.fields.get(&field.name)?.as_str())
}

/// Puts a record where it stands now.
pub(super) fn write(
    connection: &Connection,
    forms: &FormSet,
    number: i64,
    record: &ProjectedRecord,
) -> Result<(), rusqlite::Error> {
    connection.prepare_cached("DELETE FROM about WHERE number = ?1")?.execute([number])?;
    let Some((places, day)) = places(forms, record) else { return Ok(()) };
    let mut statement = connection.prepare_cached("INSERT INTO about VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    for (subject, key) in places {
        statement.execute((subject.number(), key, &day, record.created_at, record.id.0, number))?;
    }
    Ok(())
}

fn hash(subject: i64, key: &str, day: &str, created_at: i64, id: &[u8; 16], number: i64) -> u64 {
    let digest = blake3::hash(format!("{subject} {key:?} {day:?} {created_at} {id:?} {number}").as_bytes());
    digest.as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first))
}

/// What the rows of a record add to [`sum`].
pub(super) fn sum_of(forms: &FormSet, number: i64, record: &ProjectedRecord) -> u64 {
    let Some((places, day)) = places(forms, record) else { return 0 };
    let hash =
        |(subject, key): &(Subject, String)| hash(subject.number(), key, &day, record.created_at, &record.id.0, number);
    places.iter().map(hash).fold(0, u64::wrapping_add)
}

/// Over all rows.
pub(super) fn sum(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT subject, key, day, created_at, id, number FROM about")?;
    let mut rows = statement.query([])?;
    let mut sum = 0_u64;
    while let Some(row) = rows.next()? {
        let (key, day): (String, String) = (row.get(1)?, row.get(2)?);
        sum = sum.wrapping_add(hash(row.get(0)?, &key, &day, row.get(3)?, &row.get(4)?, row.get(5)?));
    }
    Ok(sum)
}

impl Reader {
    /// The records that stand under any of these keys of one subject, newest day first.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn timeline(
        &self,
        subject: Subject,
        keys: &[&str],
        after: Option<TimelineCursor>,
        limit: usize,
    ) -> Result<Timeline, ProjectionError> {
        let limit = limit.clamp(1, PAGE_MAX);
        let connection = self.lock();
        // Counts and page are of one moment.
        let moment = connection.unchecked_transaction()?;
        let marks = vec!["?"; keys.len()].join(", ");
        let of = format!("FROM about WHERE subject = {} AND key IN ({marks})", subject.number());
        let total: i64 = moment
            .prepare_cached(&format!("SELECT count(DISTINCT number) {of}"))?
            .query_row(params_from_iter(keys), |row| row.get(0))?;
        let after = after.unwrap_or_else(|| TimelineCursor {
            // After every day there is.
            day: "\u{10ffff}".to_owned(),
            created_at: i64::MAX,
            id: DocId([0xff; 16]),
        });
        let more = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT DISTINCT day, created_at, id, number {of} AND (day, created_at, id) < (?, ?, ?) \
             ORDER BY day DESC, created_at DESC, id DESC LIMIT ?"
        );
        let values = keys.iter().map(|key| rusqlite::types::Value::from((*key).to_owned())).chain([
            after.day.into(),
            after.created_at.into(),
            after.id.0.to_vec().into(),
            more.into(),
        ]);
        let mut statement = moment.prepare_cached(&sql)?;
        let read = |row: &rusqlite::Row<'_>| {
            let place = TimelineCursor { day: row.get(0)?, created_at: row.get(1)?, id: DocId(row.get(2)?) };
            Ok((place, row.get::<_, i64>(3)?))
        };
        let mut places: Vec<_> = statement.query_map(params_from_iter(values), read)?.collect::<Result<_, _>>()?;
        let has_more = places.len() > limit;
        places.truncate(limit);
        let next = places.last().map(|(place, _)| place.clone()).filter(|_| has_more);
        let numbers: Vec<i64> = places.iter().map(|(_, number)| *number).collect();
        Ok(Timeline { total: u64::try_from(total).unwrap_or(0), records: records_of(&moment, &numbers)?, next })
    }
}
