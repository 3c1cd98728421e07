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
use super::marks::Marks;
use super::query::{Filter, PAGE_MAX, Reader};

/// The table, and what keeps it in step.
pub(super) const SCHEMA: &str = "
CREATE TABLE tally (
    registry INTEGER NOT NULL,
    station TEXT NOT NULL,
    month TEXT NOT NULL,
    form TEXT NOT NULL,
    state TEXT NOT NULL,
    marks INTEGER NOT NULL,
    records INTEGER NOT NULL,
    PRIMARY KEY (registry, station, month, form, state, marks)
) WITHOUT ROWID;
CREATE TRIGGER tally_of_new AFTER INSERT ON record WHEN NEW.gone = 0 BEGIN
    INSERT INTO tally VALUES (NEW.registry, coalesce(NEW.station, ''), coalesce(NEW.month, ''), NEW.form, NEW.state,
        NEW.marks, 1)
    ON CONFLICT DO UPDATE SET records = records + 1;
END;
CREATE TRIGGER tally_of_deleted AFTER DELETE ON record WHEN OLD.gone = 0 BEGIN
    UPDATE tally SET records = records - 1 WHERE (registry, station, month, form, state, marks) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.marks);
    DELETE FROM tally WHERE records = 0 AND (registry, station, month, form, state, marks) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.marks);
END;
CREATE TRIGGER tally_of_left AFTER UPDATE ON record WHEN OLD.gone = 0 BEGIN
    UPDATE tally SET records = records - 1 WHERE (registry, station, month, form, state, marks) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.marks);
    DELETE FROM tally WHERE records = 0 AND (registry, station, month, form, state, marks) =
        (OLD.registry, coalesce(OLD.station, ''), coalesce(OLD.month, ''), OLD.form, OLD.state,
        OLD.marks);
END;
CREATE TRIGGER tally_of_come AFTER UPDATE ON record WHEN NEW.gone = 0 BEGIN
    INSERT INTO tally VALUES (NEW.registry, coalesce(NEW.station, ''), coalesce(NEW.month, ''), NEW.form, NEW.state,
        NEW.marks, 1)
    ON CONFLICT DO UPDATE SET records = records + 1;
END;
";

/// What counting all records comes to, in the columns of the table.
const COUNTED: &str = "SELECT registry, coalesce(station, ''), coalesce(month, ''), form, state, marks, \
                       count(*) FROM record WHERE gone = 0 GROUP BY 1, 2, 3, 4, 5, 6";

/// How many records there are of each sort: by the word of their review state and their marks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counts(BTreeMap<String, BTreeMap<Marks, u64>>);

impl Counts {
    /// As many more records of one sort.
    pub fn add(&mut self, state: &str, marks: Marks, records: u64) {
        if !self.0.contains_key(state) {
            self.0.insert(state.to_owned(), BTreeMap::new());
        }
        if let Some(of_state) = self.0.get_mut(state) {
            *of_state.entry(marks).or_default() += records;
        }
    }

    /// All of them.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.of(None, Marks::NONE)
    }

    /// Those in a state, where one is asked, that have all these marks.
    #[must_use]
    pub fn of(&self, state: Option<&str>, marks: Marks) -> u64 {
        self.count(state, |have| have.has_all(marks))
    }

    /// Those in a state that have none of these marks.
    #[must_use]
    pub fn without(&self, state: &str, marks: Marks) -> u64 {
        self.count(Some(state), |have| have.has_none(marks))
    }

    fn count(&self, state: Option<&str>, is_asked: impl Fn(Marks) -> bool) -> u64 {
        let states = self.0.iter().filter(|(word, _)| state.is_none_or(|asked| asked == word.as_str()));
        let sorts = states.flat_map(|(_, sorts)| sorts).filter(|(have, _)| is_asked(**have));
        sorts.map(|(_, records)| records).sum()
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
        "SELECT state, marks, sum(records) FROM tally \
         WHERE (?1 IS NULL OR station = ?1) AND (?2 IS NULL OR month = ?2) AND (CASE WHEN ?3 IS NULL THEN registry = 0 \
         ELSE form = ?3 END) GROUP BY state, marks",
    )?;
    let mut rows = statement.query(params![filter.station, filter.month, filter.form])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        let records = u64::try_from(row.get::<_, i64>(2)?).unwrap_or(0);
        counts.add(row.get_ref(0)?.as_str()?, Marks::from_bits(row.get(1)?), records);
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
