//! Letting go of whole logbooks, and taking them back.
//!
//! A logbook goes only when a backup of the hub is known to contain all that is held of it (A5). What this device wrote is
//! covered by receipts. What others wrote has none here, so this rests on what a session showed: the hub held all of it
//! when it wrote its welcome, so every beacon signed later names a commit beyond all of it, and a watermark that has passed
//! that commit covers it.
//!
//! # Flow
//!
//! ```text
//! session in which nothing of a logbook differed ─> mark: epoch, vector, beacon of the welcome
//!     later beacon of the epoch ─> mark: its commit ─> watermark beyond it ─> the logbook may go, while its vector is the same
//! ```
//!
//! # Limits
//!
//! [`MARKS_PER_SESSION_MAX`] logbooks are looked at after a session, [`SELECTION_MONTHS_MAX`] may be evicted at once.

use std::collections::BTreeSet;

use qianmo_protocol::beacon::Beacon;
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::control::Admission;
use qianmo_protocol::ids::{Code, Epoch, LogbookName};
use qianmo_protocol::limits::SELECTION_MONTHS_MAX;
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::Month;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer, require_ascending};
use qianmo_replica::replica::{EvictError as StoreEvictError, EvictHold, Foreign, ReplicaError};

use super::{Owner, StoreFailure, session};
use crate::evict::{AfterEvict, EvictError};

/// Logbooks that are looked at after one session; the oldest come first, for they are the ones to go.
const MARKS_PER_SESSION_MAX: usize = 512;

/// The meta key of the logbooks that this device let go of.
const EVICTED_KEY: &[u8] = b"client evicted";
/// The meta key of what is known of a logbook at the hub, with its name behind it.
const MARK_KEY: &[u8] = b"client mirror ";

impl From<StoreFailure> for EvictError {
    fn from(failure: StoreFailure) -> Self {
        Self::Store(failure)
    }
}

impl From<ReplicaError> for EvictError {
    fn from(error: ReplicaError) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreEvictError> for EvictError {
    fn from(error: StoreEvictError) -> Self {
        match error {
            StoreEvictError::Held { logbook, hold } => {
                let logbook = logbook.to_string();
                match hold {
                    EvictHold::Directory => Self::Directory { logbook },
                    EvictHold::NotHere => Self::NotHere { logbook },
                    EvictHold::Unsettled { count } => Self::Unsettled { logbook, count },
                    EvictHold::Unreceipted { count } => Self::Unreceipted { logbook, count },
                    EvictHold::NotBackedUp { count } => Self::NotBackedUp { logbook, count },
                }
            }
            StoreEvictError::Store(error) => error.into(),
        }
    }
}

/// What a session showed of a logbook.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    epoch: Epoch,
    /// The digest of the vector that the hub had, too.
    vector: [u8; 32],
    /// The beacon that was known then; later ones speak of a hub that held it all.
    sequence: u64,
    /// The commit of such a beacon.
    commit: Option<u64>,
}

impl Wire for Mark {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.epoch.0);
        writer.raw(&self.vector);
        writer.u64(self.sequence);
        writer.option(self.commit.as_ref(), |writer, commit| writer.u64(*commit));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: Epoch(reader.array("epoch")?),
            vector: reader.array("vector digest")?,
            sequence: reader.u64("sequence")?,
            commit: reader.option("commit", |reader| reader.u64("commit"))?,
        })
    }
}

fn mark_key(name: &LogbookName) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(MARK_KEY);
    writer.logbook(name);
    writer.finish()
}

/// Reads `ST01/2025-06`, the way logbooks are shown.
fn parse(text: &str) -> Result<LogbookName, EvictError> {
    let unreadable = || EvictError::Name { text: text.to_owned() };
    let Some((station, month)) = text.split_once('/') else {
        return Err(EvictError::Directory { logbook: text.to_owned() });
    };
    let station = Code::new(station).map_err(|_| unreadable())?;
    Ok(LogbookName::StationMonth(station, Month::parse(month).ok_or_else(unreadable)?))
}

impl Owner {
    /// Logbooks that this device let go of and does not want back.
    pub(crate) fn evicted(&self) -> Result<BTreeSet<LogbookName>, ReplicaError> {
        let Some(bytes) = self.replica.meta(EVICTED_KEY)? else { return Ok(BTreeSet::new()) };
        let mut reader = Reader::new(&bytes);
        let names = reader.list("evicted logbooks", SELECTION_MONTHS_MAX, |reader| reader.logbook("logbook"));
        let names = names.and_then(|names| require_ascending("evicted logbooks", 0, &names).map(|()| names));
        Ok(names.unwrap_or_default().into_iter().collect())
    }

    fn put_evicted(&mut self, names: &BTreeSet<LogbookName>) -> Result<(), ReplicaError> {
        let mut writer = Writer::new();
        writer.count(names.len());
        names.iter().for_each(|name| writer.logbook(name));
        self.replica.put_meta(EVICTED_KEY, &writer.finish())
    }

    /// Lets go of a logbook.
    pub(crate) fn evict(&mut self, text: &str) -> Result<AfterEvict, EvictError> {
        let name = parse(text)?;
        let running = self.session.as_ref().map(session::Running::is_idle);
        if running == Some(false) {
            return Err(EvictError::Busy);
        }
        // What was saved in this batch must be seen.
        self.commit();
        let mut evicted = self.evicted()?;
        if evicted.len() >= SELECTION_MONTHS_MAX && !evicted.contains(&name) {
            return Err(EvictError::TooMany { max: SELECTION_MONTHS_MAX });
        }
        self.replica.evict(&name, self.foreign(&name)?)?;
        evicted.insert(name);
        self.put_evicted(&evicted)?;
        self.actors.clear();
        // Its bytes go as soon as the thread has nothing else to do.
        self.house.control_news();
        Ok(if running.is_some() { AfterEvict::SessionIsOutdated } else { AfterEvict::Nothing })
    }

    /// Wants a logbook back: it comes with the next session.
    pub(crate) fn bring_back(&mut self, text: &str) -> Result<AfterEvict, EvictError> {
        let name = parse(text)?;
        let mut evicted = self.evicted()?;
        if !evicted.remove(&name) {
            return Err(EvictError::NotEvicted { logbook: name.to_string() });
        }
        self.put_evicted(&evicted)?;
        Ok(if self.session.is_some() { AfterEvict::SessionIsOutdated } else { AfterEvict::Nothing })
    }

    /// Whether a backup of the present hub contains all that is held of a logbook.
    fn foreign(&self, name: &LogbookName) -> Result<Foreign, ReplicaError> {
        let Some(beacon) = self.replica.newest_beacon() else { return Ok(Foreign::Unknown) };
        let mark = self.mark(name)?.filter(|mark| self.is_about_now(mark, name, &beacon));
        let is_covered = mark.and_then(|mark| mark.commit).is_some_and(|commit| commit <= beacon.watermark);
        Ok(if is_covered || injected(Bug::EvictsOthersWork) { Foreign::BackedUp } else { Foreign::Unknown })
    }

    fn mark(&self, name: &LogbookName) -> Result<Option<Mark>, ReplicaError> {
        Ok(self.replica.meta(&mark_key(name))?.and_then(|bytes| Mark::decode(&bytes).ok()))
    }

    fn is_about_now(&self, mark: &Mark, name: &LogbookName, beacon: &Beacon) -> bool {
        mark.epoch == beacon.epoch && mark.vector == self.replica.vector_digest(name)
    }

    /// After an exchange: what it showed of logbooks in which nothing moved.
    pub(super) fn note_mirrors(
        &mut self,
        undisturbed: Vec<LogbookName>,
        hub_epoch: Option<Epoch>,
    ) -> Result<(), ReplicaError> {
        let (Some(beacon), Some(epoch)) = (self.replica.newest_beacon(), hub_epoch) else { return Ok(()) };
        let device = self.replica.device();
        // A hub that does not send to this device does not show all that differs either.
        let is_full = self.replica.control().fold().may_connect(&device, &epoch) == Admission::Full;
        if !is_full || self.is_too_old() || beacon.epoch != epoch {
            return Ok(());
        }
        let mut months: Vec<(Month, LogbookName)> =
            undisturbed.into_iter().filter_map(|name| Some((name.month()?, name))).collect();
        months.sort();
        for (_, name) in months.into_iter().take(MARKS_PER_SESSION_MAX) {
            let fresh = match self.mark(&name)? {
                Some(mark) if self.is_about_now(&mark, &name, &beacon) => {
                    let is_later = mark.commit.is_none() && beacon.sequence > mark.sequence;
                    is_later.then_some(Mark { commit: Some(beacon.commit), ..mark })
                }
                Some(_) | None => Some(Mark {
                    epoch,
                    vector: self.replica.vector_digest(&name),
                    sequence: beacon.sequence,
                    commit: None,
                }),
            };
            if let Some(mark) = fresh {
                self.replica.put_meta(&mark_key(&name), &mark.encode())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mark_reads_back_and_rubbish_is_no_mark() {
        let mark = Mark { epoch: Epoch([1; 16]), vector: [2; 32], sequence: 3, commit: Some(4) };
        assert_eq!(Mark::decode(&mark.encode()), Ok(mark));
        assert!(Mark::decode(b"no").is_err());
    }

    #[test]
    fn logbook_is_named_as_it_is_shown() {
        let name = parse("ST01/2025-06").unwrap();
        assert_eq!(name.to_string(), "ST01/2025-06");
        assert!(matches!(parse("ST01"), Err(EvictError::Directory { .. })));
        assert!(matches!(parse("ST01/June"), Err(EvictError::Name { .. })));
    }
}
