//! What stands beside a record for whoever reviews it: its flags, how far it was from its target, and the other records that
//! a flag speaks of.

use rusqlite::{Connection, OptionalExtension as _, params};

use qianmo_forms::FormSet;
use qianmo_forms::flags::{Flag, Position};
use qianmo_protocol::ids::DocId;

use super::ProjectionError;
use super::flags::{self, FlagSet};
use super::query::Reader;
use super::row::{self, COLUMNS};

/// Most other records that are named for one flag.
const OTHERS_MAX: i64 = 5;

/// What stands beside a record.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// What to look at twice.
    pub flags: FlagSet,
    /// Where it was.
    pub position: Option<Position>,
    /// Where its target is registered.
    pub target: Option<Position>,
    /// Other records that a flag speaks of, newest first, a few of each.
    pub others: Vec<(Flag, Vec<DocId>)>,
}

impl Evidence {
    /// From where the target is registered to where the record was made, in metres.
    #[must_use]
    pub fn metres(&self) -> Option<f64> {
        Some(self.position?.metres_to(self.target?))
    }
}

/// Whoever shares a day and an hour with a record.
const OVERLAPPING: &str = "SELECT record.id FROM fact AS own JOIN fact AS other ON other.staff = own.staff AND \
    other.day = own.day AND other.starts IS NOT NULL AND other.number <> own.number JOIN record ON record.number = other.number \
    WHERE own.number = ?1 AND own.starts < other.ends AND other.starts < own.ends ORDER BY record.created_at DESC LIMIT ?2";
/// Whoever shares a text with it.
const COPIED: &str = "SELECT record.id FROM fact AS own JOIN fact AS other ON other.staff = own.staff AND \
    other.text = own.text AND other.number <> own.number JOIN record ON record.number = other.number \
    WHERE own.number = ?1 ORDER BY record.created_at DESC LIMIT ?2";

fn others(connection: &Connection, sql: &str, number: i64) -> Result<Vec<DocId>, rusqlite::Error> {
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map(params![number, OTHERS_MAX], |row| Ok(DocId(row.get(0)?)))?.collect()
}

impl Reader {
    /// What stands beside a record; `None` for one that is not known, or gone.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn evidence(&self, forms: &FormSet, id: &DocId) -> Result<Option<Evidence>, ProjectionError> {
        let connection = self.lock();
        let sql = format!("SELECT {COLUMNS}, number FROM record WHERE id = ?1 AND gone = 0");
        let read = |row: &rusqlite::Row<'_>| Ok((row::read(row)?, row.get::<_, i64>("number")?));
        let Some((record, number)) = connection.prepare_cached(&sql)?.query_row([id.0], read).optional()? else {
            return Ok(None);
        };
        let [position, target] = flags::places(&connection, forms, &record)?;
        let mut found = Evidence { flags: record.flags, position, target, others: Vec::new() };
        for flag in record.flags.iter() {
            let sql = match flag {
                Flag::TimeOverlap => OVERLAPPING,
                Flag::CopiedText => COPIED,
                Flag::CrossStation
                | Flag::GpsFar
                | Flag::LateReport
                | Flag::MissingContent
                | Flag::MissingCrop
                | Flag::NoEvidence
                | Flag::OutOfSeason
                | Flag::ShortVisit => continue,
            };
            found.others.push((flag, others(&connection, sql, number)?));
        }
        Ok(Some(found))
    }
}
