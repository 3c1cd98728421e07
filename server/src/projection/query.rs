//! Reading the model: what can be asked, the change feed, single records.
//!
//! # Limits
//!
//! [`PAGE_MAX`] records at a time; a cursor says where the next page begins, and stays right while records change.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use rusqlite::{Connection, OptionalExtension as _, params};

use qianmo_protocol::ids::{DocId, Epoch};

use super::marks::Marks;
use super::row::{self, COLUMNS};
use super::words::Cutter;
use super::{Position, ProjectedRecord, ProjectionError, open_reader};

/// Most records of one page.
pub const PAGE_MAX: usize = 500;

/// Which records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Of this station.
    pub station: Option<String>,
    /// Of logbooks of this month, as `YYYY-MM`.
    pub month: Option<String>,
    /// Of this form; without one, of every form that is no registry's.
    pub form: Option<String>,
    /// In this review state.
    pub state: Option<String>,
    /// With this in what can be searched: every word of it, as a word or as its characters one after another.
    pub text: Option<String>,
    /// Only those with all of these marks.
    pub marks: Marks,
    /// Only those with none of these.
    pub without: Marks,
    /// Which come first.
    pub order: Order,
}

/// Which records of a list come first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// The newest: what happened lately.
    #[default]
    Newest,
    /// The oldest: what has waited longest.
    Oldest,
}

/// What no record matches: a query with nothing in it to look for.
const NOTHING: &str = "\"\u{0}\"";

impl Filter {
    /// The text in the search index's language.
    pub(super) fn matching(&self) -> Option<String> {
        self.text.as_deref().map(|text| Cutter.query(text).unwrap_or_else(|| NOTHING.to_owned()))
    }

    /// What it asks of a record's marks.
    pub(super) fn marks_asked(&self) -> Option<String> {
        let (with, without) = (self.marks.bits(), self.without.bits());
        let is_asked = with != 0 || without != 0;
        is_asked.then(|| format!("marks & {with} = {with} AND marks & {without} = 0"))
    }

    /// Whether a text can be searched for: there is a letter, a digit or a character in it, and it is not too long.
    #[must_use]
    pub fn is_searchable(text: &str) -> bool {
        Cutter.query(text).is_some()
    }
}

/// A place in the change feed: opaque to whoever holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeedCursor {
    /// The hub's epoch; a cursor of another one is worth nothing.
    pub epoch: Epoch,
    /// The commit of the last record told.
    pub touched: u64,
    /// The last record told.
    pub id: DocId,
}

impl FeedCursor {
    /// As text.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&[self.epoch.0.as_slice(), &self.touched.to_be_bytes(), &self.id.0].concat())
    }

    /// From the text.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (epoch, rest) = bytes.split_at_checked(16)?;
        let (touched, id) = rest.split_at_checked(8)?;
        Some(Self {
            epoch: Epoch::from_slice(epoch)?,
            touched: u64::from_be_bytes(touched.try_into().ok()?),
            id: DocId::from_slice(id)?,
        })
    }
}

/// A place in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    /// When the last record shown was created.
    pub created_at: i64,
    /// The last record shown.
    pub id: DocId,
}

impl ListCursor {
    /// Before the first.
    pub(super) const fn start(order: Order) -> Self {
        match order {
            Order::Newest => Self { created_at: i64::MAX, id: DocId([0xff; 16]) },
            Order::Oldest => Self { created_at: i64::MIN, id: DocId([0; 16]) },
        }
    }

    /// As text.
    #[must_use]
    pub fn encode(&self) -> String {
        BASE64URL_NOPAD.encode(&[self.created_at.to_be_bytes().as_slice(), &self.id.0].concat())
    }

    /// From the text.
    #[must_use]
    pub fn decode(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let (created_at, id) = bytes.split_at_checked(8)?;
        Some(Self { created_at: i64::from_be_bytes(created_at.try_into().ok()?), id: DocId::from_slice(id)? })
    }
}

/// A page of the change feed, oldest change first.
#[derive(Debug, Clone, PartialEq)]
pub struct Feed {
    /// What changed.
    pub records: Vec<ProjectedRecord>,
    /// Where the next page begins; kept for the next visit when there is nothing more now.
    pub next: FeedCursor,
    /// Whether there is more now.
    pub has_more: bool,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct ListPage {
    /// The records.
    pub records: Vec<ProjectedRecord>,
    /// Where the next page begins, if there is one.
    pub next: Option<ListCursor>,
}

/// What a filter asks of a record, with `?3` to `?6` and `?8` of [`page`]. Only what is asked stands in it, so that an index
/// can serve it.
fn matches(filter: &Filter) -> String {
    let asked = [
        (filter.station.is_some(), "station = ?3"),
        (filter.month.is_some(), "month = ?4"),
        (filter.form.is_some(), "form = ?5"),
        (filter.form.is_none(), "registry = 0"),
        (filter.state.is_some(), "state = ?6"),
        (filter.text.is_some(), "number IN (SELECT rowid FROM search WHERE search MATCH ?8)"),
    ];
    let conditions = asked.iter().filter(|(is_asked, _)| *is_asked).map(|(_, condition)| (*condition).to_owned());
    ["gone = 0".to_owned()].into_iter().chain(conditions).chain(filter.marks_asked()).collect::<Vec<_>>().join(" AND ")
}

/// The model, open for reading.
#[derive(Debug)]
pub struct Reader {
    connection: Mutex<Connection>,
}

pub(super) fn position(connection: &Connection) -> Result<Option<Position>, rusqlite::Error> {
    let read = |row: &rusqlite::Row<'_>| {
        let commit = u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0);
        Ok(Position { epoch: Epoch(row.get(0)?), commit })
    };
    connection.query_row("SELECT epoch, position FROM cursor WHERE one = 1", [], read).optional()
}

impl Reader {
    /// Opens a model that a hub keeps.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn open(path: &Path) -> Result<Self, ProjectionError> {
        Ok(Self::over(open_reader(path)?))
    }

    pub(super) const fn over(connection: Connection) -> Self {
        Self { connection: Mutex::new(connection) }
    }

    /// A query leaves nothing behind when it panics.
    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the model has come.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn position(&self) -> Result<Option<Position>, ProjectionError> {
        Ok(position(&self.lock())?)
    }

    /// What changed after a place of the feed, in the order of the log. Records that were erased or are held come as gone,
    /// but only to one who asks for what came after a place: a newcomer never saw them.
    ///
    /// `None` when the cursor is of another epoch: whoever asks must begin anew.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn feed(
        &self,
        filter: &Filter,
        after: Option<FeedCursor>,
        limit: usize,
    ) -> Result<Option<Feed>, ProjectionError> {
        let connection = self.lock();
        let epoch = position(&connection)?.map_or(Epoch([0; 16]), |position| position.epoch);
        if after.is_some_and(|cursor| cursor.epoch != epoch) {
            return Ok(None);
        }
        let start = after.unwrap_or(FeedCursor { epoch, touched: 0, id: DocId([0; 16]) });
        let touched = i64::try_from(start.touched).unwrap_or(i64::MAX);
        let gone = if after.is_some() { "gone OR" } else { "" };
        let asked = matches(filter);
        let rest = format!("(touched, id) > (?1, ?2) AND ({gone} ({asked})) ORDER BY touched, id LIMIT ?7");
        let (records, has_more) = page(&connection, &rest, (touched, start.id), filter, limit)?;
        let next = records.last().map_or(start, |last| FeedCursor { epoch, touched: last.touched, id: last.id });
        Ok(Some(Feed { records, next, has_more }))
    }

    /// One record, gone or not.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn record(&self, id: &DocId) -> Result<Option<ProjectedRecord>, ProjectionError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS} FROM record WHERE id = ?1");
        let mut statement = connection.prepare_cached(&sql)?;
        Ok(statement.query_row([id.0], row::read).optional()?)
    }

    /// How many records each logbook has, by the name people read.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn by_logbook(&self) -> Result<BTreeMap<String, u64>, ProjectionError> {
        let connection = self.lock();
        let mut statement =
            connection.prepare_cached("SELECT logbook, count(*) FROM record WHERE gone = 0 GROUP BY logbook")?;
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)));
        Ok(statement.query_map([], read)?.collect::<Result<_, _>>()?)
    }
}

/// One page of records and whether there are more. `rest` uses `?1` and `?2` for the place and `?7` for the limit.
fn page(
    connection: &Connection,
    rest: &str,
    (number, id): (i64, DocId),
    filter: &Filter,
    limit: usize,
) -> Result<(Vec<ProjectedRecord>, bool), rusqlite::Error> {
    let limit = limit.clamp(1, PAGE_MAX);
    // Every parameter is named once, so that the same values fit whatever is asked.
    let all = "WITH given AS (SELECT ?3, ?4, ?5, ?6, ?8)";
    let mut statement = connection.prepare_cached(&format!("{all} SELECT {COLUMNS} FROM record WHERE {rest}"))?;
    let values = params![
        number,
        id.0,
        filter.station,
        filter.month,
        filter.form,
        filter.state,
        i64::try_from(limit + 1).unwrap_or(i64::MAX),
        filter.matching(),
    ];
    let mut records = statement.query_map(values, row::read)?.collect::<Result<Vec<_>, _>>()?;
    let has_more = records.len() > limit;
    records.truncate(limit);
    Ok((records, has_more))
}
