//! Reading the model: pages of records, the change feed, counts.
//!
//! # Limits
//!
//! [`PAGE_MAX`] records at a time; a cursor says where the next page begins, and stays right while records change.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use rusqlite::{Connection, OptionalExtension as _, params};

use qianmo_protocol::ids::{DocId, Epoch};

use super::row::{self, COLUMNS};
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
    /// Of this form.
    pub form: Option<String>,
    /// In this review state.
    pub state: Option<String>,
    /// Only those with a conflict.
    pub only_conflicts: bool,
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

/// A place in a list, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCursor {
    /// When the last record shown was created.
    pub created_at: i64,
    /// The last record shown.
    pub id: DocId,
}

impl ListCursor {
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

/// A conflict in the model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowConflict {
    /// The record.
    pub record: DocId,
    /// Where in it.
    pub path: String,
    /// How it came about.
    pub kind: String,
    /// How many values stand against each other.
    pub candidates: u32,
}

/// Counts for the head of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Records that are not gone.
    pub records: u64,
    /// Those that a coordinator has to look at.
    pub pending: u64,
    /// Those with a conflict.
    pub conflicts: u64,
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
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the model has come.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn position(&self) -> Result<Option<Position>, ProjectionError> {
        Ok(position(&self.lock())?)
    }

    /// What changed after a place of the feed, in the order of the log. Records that were erased come as gone.
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
        let limit = limit.clamp(1, PAGE_MAX);
        let start = after.unwrap_or(FeedCursor { epoch, touched: 0, id: DocId([0; 16]) });
        let sql = format!(
            "SELECT {COLUMNS} FROM record WHERE (touched, id) > (?1, ?2) \
             AND (gone OR ((?3 IS NULL OR station = ?3) AND (?4 IS NULL OR month = ?4) AND (?5 IS NULL OR form = ?5) \
             AND (?6 IS NULL OR state = ?6) AND (NOT ?7 OR conflicts > 0))) ORDER BY touched, id LIMIT ?8"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let values = params![
            i64::try_from(start.touched).unwrap_or(i64::MAX),
            start.id.0,
            filter.station,
            filter.month,
            filter.form,
            filter.state,
            filter.only_conflicts,
            i64::try_from(limit + 1).unwrap_or(i64::MAX),
        ];
        let mut records = statement.query_map(values, row::read)?.collect::<Result<Vec<_>, _>>()?;
        let has_more = records.len() > limit;
        records.truncate(limit);
        let next = records.last().map_or(start, |last| FeedCursor { epoch, touched: last.touched, id: last.id });
        Ok(Some(Feed { records, next, has_more }))
    }

    /// Records that are not gone, newest first.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn newest(
        &self,
        filter: &Filter,
        after: Option<ListCursor>,
        limit: usize,
    ) -> Result<ListPage, ProjectionError> {
        let connection = self.lock();
        let limit = limit.clamp(1, PAGE_MAX);
        let start = after.unwrap_or(ListCursor { created_at: i64::MAX, id: DocId([0xff; 16]) });
        let sql = format!(
            "SELECT {COLUMNS} FROM record WHERE gone = 0 AND (created_at, id) < (?1, ?2) \
             AND (?3 IS NULL OR station = ?3) AND (?4 IS NULL OR month = ?4) AND (?5 IS NULL OR form = ?5) \
             AND (?6 IS NULL OR state = ?6) AND (NOT ?7 OR conflicts > 0) \
             ORDER BY created_at DESC, id DESC LIMIT ?8"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let values = params![
            start.created_at,
            start.id.0,
            filter.station,
            filter.month,
            filter.form,
            filter.state,
            filter.only_conflicts,
            i64::try_from(limit + 1).unwrap_or(i64::MAX),
        ];
        let mut records = statement.query_map(values, row::read)?.collect::<Result<Vec<_>, _>>()?;
        let has_more = records.len() > limit;
        records.truncate(limit);
        let last = records.last().map(|last| ListCursor { created_at: last.created_at, id: last.id });
        Ok(ListPage { next: last.filter(|_| has_more), records })
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

    /// Conflicts, by record; at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn conflicts(&self) -> Result<Vec<RowConflict>, ProjectionError> {
        let connection = self.lock();
        let mut statement = connection
            .prepare_cached("SELECT record, path, kind, candidates FROM conflict ORDER BY record, path LIMIT ?1")?;
        let read = |row: &rusqlite::Row<'_>| {
            Ok(RowConflict {
                record: DocId(row.get(0)?),
                path: row.get(1)?,
                kind: row.get(2)?,
                candidates: row.get(3)?,
            })
        };
        let limit = i64::try_from(PAGE_MAX).unwrap_or(i64::MAX);
        Ok(statement.query_map([limit], read)?.collect::<Result<Vec<_>, _>>()?)
    }

    /// Counts over everything.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn totals(&self) -> Result<Totals, ProjectionError> {
        let sql = "SELECT count(*), coalesce(sum(state IN ('pending', 'disagreed', 'unsettled')), 0), \
                   coalesce(sum(conflicts > 0), 0) FROM record WHERE gone = 0";
        let number = |row: &rusqlite::Row<'_>, at: usize| -> Result<u64, rusqlite::Error> {
            Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0))
        };
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Totals { records: number(row, 0)?, pending: number(row, 1)?, conflicts: number(row, 2)? })
        };
        Ok(self.lock().query_row(sql, [], read)?)
    }

    /// Stations and months there are records of, for a page's filters.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn places(&self) -> Result<(Vec<String>, Vec<String>), ProjectionError> {
        let connection = self.lock();
        let list = |sql: &str| -> Result<Vec<String>, rusqlite::Error> {
            connection.prepare_cached(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        let stations =
            list("SELECT DISTINCT station FROM record WHERE gone = 0 AND station IS NOT NULL ORDER BY 1 LIMIT 500")?;
        let months =
            list("SELECT DISTINCT month FROM record WHERE gone = 0 AND month IS NOT NULL ORDER BY 1 DESC LIMIT 500")?;
        Ok((stations, months))
    }
}
