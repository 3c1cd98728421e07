//! The read model: records in SQLite, for lists, filters, pages and change feeds.
//!
//! It follows from the pack log and may be deleted while the hub is stopped. After every batch, when the batch's
//! acknowledgements are on their way, the hub's thread writes the records that changed, together with the cursor (epoch,
//! commit), in one transaction; a cursor that is not the store's means that something is missing, and the model is built
//! anew. So is one in which a bit turned: every row carries a checksum that is looked at when the model is opened. Pages
//! and the API read it over their own connection and never hold up the hub.
//!
//! # Invariants
//!
//! 1. What the model says of a record is what the replica says (`projection_equals_the_replica_after_random_batches`).
//! 2. A deleted, cut, damaged or foreign file costs time, not records
//!    (`projection_is_built_anew_after_deletion_truncation_and_bit_flips`).
//! 3. The change feed follows the log's commits: a cursor from before a rebuild misses nothing after it
//!    (`feed_cursor_from_before_a_rebuild_misses_nothing`).
//! 4. Records that are erased or held leave nothing but their id, also in free pages and in SQLite's own log
//!    (`erased_and_held_records_leave_nothing_but_their_id`).
//!
//! # Limits
//!
//! [`PAGE_MAX`] records of an answer; `REBUILD_BATCH` records of a transaction while the model is built anew.
//!
//! # Failure
//!
//! [`ProjectionError`]. A failure while the hub runs is logged; the model then stands still, `/healthz` says so, and the
//! next start builds it anew.

mod about;
mod directory;
mod evidence;
mod flags;
mod lists;
mod marks;
mod mask;
mod names;
mod numerals;
mod query;
mod report;
mod row;
mod sound;
mod tally;
mod terms;
mod words;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::{Connection, OpenFlags, params};

use qianmo_forms::FormSet;
use qianmo_forms::vocabulary::VocabularyError;
use qianmo_protocol::ids::{DocId, Epoch};
use qianmo_replica::replica::{Replica, ReplicaError};

use crate::hub::{HubCore, RoundFollower};

use flags::{Rules, Touched};
use row::Written;

pub(crate) use about::answered_day;
pub use about::{Subject, Timeline, TimelineCursor};
pub use directory::{Entry, EntryKind, also_looked_for};
pub use evidence::Evidence;
pub use flags::FlagSet;
pub use lists::Listed;
pub use marks::{Mark, Marks};
pub(crate) use mask::HIDDEN;
pub use mask::{Mask, Personal, Sight};
pub use names::Names;
pub use query::{Feed, FeedCursor, Filter, ListCursor, ListPage, Order, PAGE_MAX, Reader};
pub use report::Report;
pub use row::{ProjectedRecord, RowConflict, STATE_WORDS, UNREADABLE, state_label, state_word};
pub(crate) use row::{conflict_word, scalar_json};
pub use tally::{Counts, Places};
pub(crate) use words::read_dictionary;
pub use words::{QUERY_CHARS_MAX, QUERY_WORDS_MAX};

/// Raised whenever the tables change: an older file is built anew.
const SCHEMA_VERSION: i32 = 11;
/// Which program built a model, in the database's own field for it. Another version may read records that the one before it
/// could not: the model is made anew then.
const BUILT_BY: i32 = {
    let version = env!("CARGO_PKG_VERSION").as_bytes();
    let (mut sum, mut at) = (17_i32, 0);
    while let Some(rest) = version.split_at_checked(at) {
        let Some(byte) = rest.1.first() else { break };
        sum = sum.wrapping_mul(31).wrapping_add(*byte as i32);
        at += 1;
    }
    sum
};
/// SQLite's cache of one reader: a negative number is KiB.
const READER_CACHE_KIB: i32 = -65_536;
/// Statements a reader keeps prepared: lists make one for each set of filters.
const STATEMENTS_KEPT: usize = 128;
/// Records written in one transaction when the model is built anew.
const REBUILD_BATCH: usize = 500;

const CURSOR_SCHEMA: &str = "
CREATE TABLE cursor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch BLOB NOT NULL,
    position INTEGER NOT NULL
);
";

const RECORD_SCHEMA: &str = "
CREATE TABLE record (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    gone INTEGER NOT NULL,
    touched INTEGER NOT NULL,
    logbook TEXT NOT NULL,
    station TEXT,
    month TEXT,
    form TEXT NOT NULL,
    form_version INTEGER NOT NULL,
    registry INTEGER NOT NULL,
    author TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    changed_after_approval INTEGER NOT NULL,
    conflicts INTEGER NOT NULL,
    conflict_list TEXT NOT NULL,
    heads TEXT NOT NULL,
    fields TEXT NOT NULL,
    repeats TEXT NOT NULL,
    approved TEXT,
    checksum BLOB NOT NULL,
    resubmitted INTEGER NOT NULL DEFAULT 0,
    unanswered INTEGER NOT NULL DEFAULT 0,
    flags INTEGER NOT NULL DEFAULT 0,
    marks INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX record_feed ON record (touched, id);
CREATE INDEX record_directory ON record (form, touched);
";

/// What can be searched, by the record's number. Erased words leave its pages at once.
pub(crate) const SEARCH_SCHEMA: &str = "
CREATE VIRTUAL TABLE search USING fts5(chars, tokenize = 'unicode61 remove_diacritics 0');
INSERT INTO search (search, rank) VALUES ('secure-delete', 1);
";

/// Why the read model cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ProjectionError {
    /// SQLite fails.
    #[error("the read model's database failed")]
    Sqlite(#[from] rusqlite::Error),
    /// The vocabulary that ships with the program.
    #[error("the vocabulary cannot be read")]
    Vocabulary(#[from] VocabularyError),
    /// The replica cannot be read.
    #[error("the record store could not be read for the read model")]
    Replica(#[from] ReplicaError),
    /// The file cannot be removed.
    #[error("the read model {} cannot be removed", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How far the model has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The hub's epoch.
    pub epoch: Epoch,
    /// The last commit that is in it.
    pub commit: u64,
}

/// The read model, open for writing. One writer.
#[derive(Debug)]
pub struct Projection {
    connection: Connection,
    rules: Rules,
    /// Something was erased whose bytes may still stand in the write-ahead log.
    must_wipe: bool,
}

impl Projection {
    /// Opens the model, or makes an empty one; what is no model of this version is thrown away.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn open(path: &Path, forms: Arc<FormSet>) -> Result<Self, ProjectionError> {
        let rules = Rules::new(forms)?;
        let connection = match Self::connect(path, &rules) {
            Ok(connection) => connection,
            Err(error) => {
                tracing::info!(%error, "the read model is made anew");
                remove(path)?;
                Self::connect(path, &rules)?
            }
        };
        Ok(Self { connection, rules, must_wipe: false })
    }

    /// A model in memory, for tests and tools.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn in_memory(forms: Arc<FormSet>) -> Result<Self, ProjectionError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(CURSOR_SCHEMA)?;
        create_records(&connection)?;
        Ok(Self { connection, rules: Rules::new(forms)?, must_wipe: false })
    }

    fn connect(path: &Path, rules: &Rules) -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // Nothing is lost with it: what a crash takes is made good from the log.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        // What was erased must not stay behind in free pages.
        connection.pragma_update(None, "secure_delete", true)?;
        let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version == 0 {
            connection.execute_batch("BEGIN IMMEDIATE")?;
            connection.execute_batch(CURSOR_SCHEMA)?;
            create_records(&connection)?;
            connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
            connection.pragma_update(None, "application_id", BUILT_BY)?;
            connection.execute_batch("COMMIT")?;
        } else if version != SCHEMA_VERSION
            || connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0))? != BUILT_BY
        {
            return Err(rusqlite::Error::InvalidQuery);
        }
        make_private(path);
        let verdict: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
        if verdict != "ok"
            || !row::are_sound(&connection, rules)?
            || !tally::is_sound(&connection)?
            || !is_search_sound(&connection)
        {
            return Err(rusqlite::Error::InvalidQuery);
        }
        Ok(connection)
    }

    /// How far it has come; `None` when it is empty.
    ///
    /// # Errors
    /// [`ProjectionError::Sqlite`].
    pub fn position(&self) -> Result<Option<Position>, ProjectionError> {
        Ok(query::position(&self.connection)?)
    }

    /// Brings the model to where the hub is, when the hub was just opened.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn catch_up(&mut self, core: &mut HubCore) -> Result<(), ProjectionError> {
        let mut touched = core.take_touched();
        let now = present(core);
        let stands = self.position()?.filter(|position| position.epoch == core.epoch());
        match stands.filter(|position| position.commit <= core.opened_commit()) {
            Some(position) => {
                touched.extend(core.replica().touched_after(position.commit)?);
                self.apply(core.replica(), &touched, now)
            }
            None => self.rebuild(core.replica(), now),
        }
    }

    /// Throws everything away and builds it from the replica.
    ///
    /// # Errors
    /// [`ProjectionError`].
    pub fn rebuild(&mut self, replica: &Replica, position: Position) -> Result<(), ProjectionError> {
        let started = std::time::Instant::now();
        // Taking words out and counting down one record at a time costs far more than new tables.
        let transaction = self.connection.transaction()?;
        transaction.execute_batch(
            "DELETE FROM cursor; DROP TABLE search; DROP TABLE record; DROP TABLE tally; DROP TABLE about; \
             DROP TABLE fact; DROP TABLE known;",
        )?;
        create_records(&transaction)?;
        transaction.commit()?;
        self.must_wipe = true;
        let (all, mut touched) = (replica.all_records()?, Touched::default());
        for chunk in all.chunks(REBUILD_BATCH) {
            let transaction = self.connection.transaction()?;
            for id in chunk {
                row::write(&transaction, &self.rules, replica, id, position.commit, &mut touched)?;
            }
            transaction.commit()?;
        }
        // Each record is judged once, when all are there.
        let transaction = self.connection.transaction()?;
        flags::judge(&transaction, &self.rules, touched)?;
        transaction.commit()?;
        self.apply(replica, &BTreeSet::new(), position)?;
        let ms = started.elapsed().as_millis();
        tracing::info!(records = all.len(), ms, "the read model was built anew");
        Ok(())
    }

    /// Writes the records of touched documents, and how far the model has come, in one transaction.
    ///
    /// # Errors
    /// [`ProjectionError`]; the model is as before.
    pub fn apply(
        &mut self,
        replica: &Replica,
        touched: &BTreeSet<DocId>,
        position: Position,
    ) -> Result<(), ProjectionError> {
        let mut records = BTreeSet::new();
        for doc in touched {
            records.extend(replica.record_of(doc)?);
        }
        let transaction = self.connection.transaction()?;
        let (mut has_erased, mut beside) = (false, Touched::default());
        for id in &records {
            has_erased |=
                row::write(&transaction, &self.rules, replica, id, position.commit, &mut beside)? == Written::Gone;
        }
        flags::judge(&transaction, &self.rules, beside)?;
        transaction.execute(
            "INSERT OR REPLACE INTO cursor (one, epoch, position) VALUES (1, ?1, ?2)",
            params![position.epoch.0, i64::try_from(position.commit).unwrap_or(i64::MAX)],
        )?;
        transaction.commit()?;
        self.must_wipe |= has_erased;
        if self.must_wipe {
            self.wipe()?;
        }
        Ok(())
    }

    /// Brings the write-ahead log into the database and empties it; a reader may put that off until the next batch.
    fn wipe(&mut self) -> Result<(), ProjectionError> {
        let is_busy: bool = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        self.must_wipe = is_busy;
        Ok(())
    }

    /// A reader on the same connection: for tests and tools. Pages open their own.
    #[must_use]
    pub fn into_reader(self) -> Reader {
        Reader::over(self.connection)
    }
}

fn present(core: &HubCore) -> Position {
    Position { epoch: core.epoch(), commit: core.replica().durable_commit().0 }
}

/// An administrator's word that the model beside a running hub be built anew. Cheap to clone; all clones are one.
#[derive(Debug, Clone, Default)]
pub struct RebuildOrder(Arc<AtomicBool>);

impl RebuildOrder {
    /// Gives the order; it is carried out when the hub's thread next looks at the model.
    pub fn give(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it is given and not carried out.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn is_done(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Keeps the model beside the hub, on the hub's thread.
#[derive(Debug)]
pub struct Projector {
    projection: Projection,
    position: Option<Position>,
    has_failed: bool,
    rebuild: RebuildOrder,
}

impl Projector {
    /// For a model that was brought up to date.
    #[must_use]
    pub fn new(projection: Projection) -> Self {
        let position = projection.position().unwrap_or(None);
        Self { projection, position, has_failed: false, rebuild: RebuildOrder::default() }
    }

    /// The order to build the model anew.
    #[must_use]
    pub fn rebuild_order(&self) -> RebuildOrder {
        self.rebuild.clone()
    }
}

impl RoundFollower for Projector {
    fn follow(&mut self, core: &mut HubCore) {
        let touched = core.take_touched();
        let position = present(core);
        let is_ordered = self.rebuild.is_open();
        // What was erased while a reader held on to it is wiped as soon as that reader lets go.
        let is_as_it_was = touched.is_empty() && self.position == Some(position) && !self.projection.must_wipe;
        if !is_ordered && (self.has_failed || is_as_it_was) {
            return;
        }
        let done = if is_ordered {
            self.projection.rebuild(core.replica(), position)
        } else {
            self.projection.apply(core.replica(), &touched, position)
        };
        match done {
            Ok(()) => {
                (self.position, self.has_failed) = (Some(position), false);
                self.rebuild.is_done();
            }
            Err(error) => {
                self.has_failed = true;
                let error = &error as &dyn core::error::Error;
                tracing::error!(error, "the read model stands still; the next start builds it anew");
            }
        }
    }
}

/// Makes the tables that hold records and what follows from them.
fn create_records(connection: &Connection) -> Result<(), rusqlite::Error> {
    [RECORD_SCHEMA, lists::SCHEMA, tally::SCHEMA, about::SCHEMA, flags::SCHEMA, SEARCH_SCHEMA]
        .into_iter()
        .try_for_each(|schema| connection.execute_batch(schema))
}

/// Whether the search index agrees with itself.
fn is_search_sound(connection: &Connection) -> bool {
    connection.execute("INSERT INTO search (search) VALUES ('integrity-check')", []).is_ok()
}

/// Opens a model for reading only.
fn open_reader(path: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(2))?;
    // The indexes of lists stay in memory.
    connection.pragma_update(None, "cache_size", READER_CACHE_KIB)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    connection.pragma_update(None, "query_only", true)?;
    Ok(connection)
}

fn remove(path: &Path) -> Result<(), ProjectionError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(ProjectionError::Remove { path, source }),
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    // The folder is private already; this is a second door.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap_or_default();
}

#[cfg(not(unix))]
fn make_private(_path: &Path) {}
