//! How many records there are of each sort, kept in step with the records by SQLite itself.
//!
//! A page says how many records are in each state and offers the stations, months and forms there are. Counting that from
//! the records means reading all of them, so a table holds one row for each sort that occurs, and triggers on the table of
//! records move the numbers within the same transaction: whoever writes a record cannot forget to count it.
//!
//! # Invariants
//!
//! 1. The tally says what counting all records says (`tally_equals_counting_all_records_after_random_histories`); a model in
//!    which it does not is built anew ([`is_sound`]).
//! 2. A sort of which nothing is left has no row: an erased record leaves no trace here.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::ProjectionError;
use super::query::{Filter, PAGE_MAX, Reader};

/// The table, and what keeps it in step.
pub(super) const SCHEMA: &str = "
CREATE TABLE tally (
    registry INTEGER NOT NULL,
    station TEXT NOT NULL,
    month TEXT NOT NULL,
    form TEXT NOT NULL,
    state TEXT NOT NULL,
    changed INTEGER NOT NULL,
    conflict INTEGER NOT NULL,
    records INTEGER NOT NULL,
    PRIMARY KEY (registry, station, month, form, state, changed, conflict)
) WITHOUT ROWID;
CREATE TRIGGER tally_of_new AFTER INSERT ON record WHEN NEW.gone = 0 BEGIN
    INSERT INTO tally VALUES (NEW.registry, coalesce(NEW.station, ''), coalesce(NEW.month, ''), NEW.form, NEW.state,
        NEW.changed_after_approval, NEW.conflicts > 0, 1)
    ON CONFLICT DO UPDATE SET records = records + 1;
END;
CREATE TRIGGER tally_of_deleted AFTER DELETE ON record WHEN OLD.gone = 0 BEGIN
    UPDATE tally SET records = records - 1 WHERE (registry, station, month, form, state, changed, conflict) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.changed_after_approval, OLD.conflicts > 0);
    DELETE FROM tally WHERE records = 0 AND (registry, station, month, form, state, changed, conflict) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.changed_after_approval, OLD.conflicts > 0);
END;
CREATE TRIGGER tally_of_left AFTER UPDATE ON record WHEN OLD.gone = 0 BEGIN
    UPDATE tally SET records = records - 1 WHERE (registry, station, month, form, state, changed, conflict) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.changed_after_approval, OLD.conflicts > 0);
    DELETE FROM tally WHERE records = 0 AND (registry, station, month, form, state, changed, conflict) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.changed_after_approval, OLD.conflicts > 0);
END;
CREATE TRIGGER tally_of_come AFTER UPDATE ON record WHEN NEW.gone = 0 BEGIN
    INSERT INTO tally VALUES (NEW.registry, coalesce(NEW.station, ''), coalesce(NEW.month, ''), NEW.form, NEW.state,
        NEW.changed_after_approval, NEW.conflicts > 0, 1)
    ON CONFLICT DO UPDATE SET records = records + 1;
END;
";

/// What counting all records comes to, in the columns of the table.
const COUNTED: &str = "SELECT registry, coalesce(station, ''), coalesce(month, ''), form, state, changed_after_approval, \
                       conflicts > 0, count(*) FROM record WHERE gone = 0 GROUP BY 1, 2, 3, 4, 5, 6, 7";

/// How many records there are of each sort.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts {
    /// All that are not gone.
    pub records: u64,
    /// By the word of their review state.
    pub by_state: BTreeMap<String, u64>,
    /// Approved, and changed since.
    pub changed: u64,
    /// With a conflict.
    pub conflicts: u64,
}

impl Counts {
    /// As many more records of one sort.
    pub(super) fn add(&mut self, state: &str, records: u64, changed: u64, conflicts: u64) {
        self.records += records;
        self.changed += changed;
        self.conflicts += conflicts;
        match self.by_state.get_mut(state) {
            Some(of_state) => *of_state += records,
            None => {
                self.by_state.insert(state.to_owned(), records);
            }
        }
    }
}

/// What there are records of, for a page's filters.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Places {
    /// Stations, ascending.
    pub stations: Vec<String>,
    /// Months, newest first.
    pub months: Vec<String>,
    /// Forms, ascending.
    pub forms: Vec<String>,
}

/// Counts over the stations, months and forms of a filter without a text.
pub(super) fn counts(connection: &Connection, filter: &Filter) -> Result<Counts, rusqlite::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT state, sum(records), sum(records * changed), sum(records * conflict) FROM tally \
         WHERE (?1 IS NULL OR station = ?1) AND (?2 IS NULL OR month = ?2) AND (CASE WHEN ?3 IS NULL THEN registry = 0 \
         ELSE form = ?3 END) GROUP BY state",
    )?;
    let mut rows = statement.query(params![filter.station, filter.month, filter.form])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        let number =
            |at: usize| -> Result<u64, rusqlite::Error> { Ok(u64::try_from(row.get::<_, i64>(at)?).unwrap_or(0)) };
        counts.add(&row.get::<_, String>(0)?, number(1)?, number(2)?, number(3)?);
    }
    Ok(counts)
}

/// Whether the table says what counting says.
pub(super) fn is_sound(connection: &Connection) -> Result<bool, rusqlite::Error> {
    let differs = format!(
        "SELECT EXISTS (SELECT * FROM (SELECT * FROM tally EXCEPT {COUNTED})) \
         OR EXISTS (SELECT * FROM ({COUNTED} EXCEPT SELECT * FROM tally))"
    );
    let differs: bool = connection.query_row(&differs, [], |row| row.get(0))?;
    Ok(!differs)
}

impl Reader {
    /// Stations, months and forms there are records of.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn places(&self) -> Result<Places, ProjectionError> {
        let connection = self.lock();
        let list = |column: &str, order: &str| -> Result<Vec<String>, rusqlite::Error> {
            let sql =
                format!("SELECT DISTINCT {column} FROM tally WHERE {column} <> '' ORDER BY 1 {order} LIMIT {PAGE_MAX}");
            connection.prepare_cached(&sql)?.query_map([], |row| row.get(0))?.collect()
        };
        Ok(Places { stations: list("station", "ASC")?, months: list("month", "DESC")?, forms: list("form", "ASC")? })
    }
}
