//! What can go wrong, one enum for each thing an app asks.
//!
//! Each says whose turn it is: [`WriteError::Invalid`] the person's, [`SyncError::Halted`] the person's or the
//! administrator's, `Store` the operator's, `Closed` the app's. Nothing here carries a field's contents, a ticket or a key.

use core::fmt;

use qianmo_forms::{FormError, Label};
use qianmo_replica::replica::ReplicaError;

use crate::codes::HaltReason;
use crate::names::{DraftId, RecordId};

/// The words of an error and all its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text.push_str(": ");
        text.push_str(&source.to_string());
        cause = source.source();
    }
    text
}

/// The record store failed. The words are for an operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct StoreFailure {
    /// What it said, with its causes.
    pub detail: String,
}

impl StoreFailure {
    pub(crate) fn of(error: &dyn std::error::Error) -> Self {
        Self { detail: chain(error) }
    }
}

impl From<ReplicaError> for StoreFailure {
    fn from(error: ReplicaError) -> Self {
        Self::of(&error)
    }
}

/// Why the core does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Another process, or another handle of this one, has the folder.
    #[error("the data folder is in use; close the other program first")]
    InUse,
    /// The files that say who this device is cannot be read: restore them, or start in an empty folder and enrol again.
    #[error("the device's identity cannot be read")]
    Identity(#[source] StoreFailure),
    /// The record store cannot be opened.
    #[error("the record store cannot be opened")]
    Store(#[source] StoreFailure),
    /// The district's folder of forms has faults: without it records would be judged by other rules, so nothing opens.
    #[error("the forms have faults")]
    Forms(#[source] FormError),
    /// A thread cannot be started.
    #[error("the core cannot start")]
    Start(#[source] StoreFailure),
}

/// Why a device is not enrolled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnrollError {
    /// The text is not a ticket, or mistyped.
    #[error("the ticket cannot be read: {detail}")]
    Ticket {
        /// What is wrong with it.
        detail: String,
    },
    /// It is a device already, in good standing.
    #[error("this device is enrolled already")]
    AlreadyEnrolled,
    /// The folder belongs to another organisation.
    #[error("this device belongs to another organisation; use another data folder for this one")]
    OtherOrganisation,
    /// The hub did not take the ticket.
    #[error("the hub did not take the ticket: {reason:?}")]
    Refused {
        /// Why.
        reason: TicketRefusal,
    },
    /// The hub cannot be reached, or not in time. The same ticket may be used again.
    #[error("the hub cannot be reached: {detail}")]
    Unreachable {
        /// What was tried.
        detail: String,
    },
    /// Whoever answered is not the hub of the ticket, or broke a rule.
    #[error("the hub's answer was not accepted: {detail}")]
    WrongAnswer {
        /// What was wrong with it.
        detail: String,
    },
    /// What the hub said could not be kept. The same ticket may be used again.
    #[error("the enrolment could not be kept on this device")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

/// Why a hub does not take a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TicketRefusal {
    /// It never gave it out.
    Unknown,
    /// Another device used it.
    Used,
    /// It is too old.
    Expired,
    /// The device's key is not accepted.
    Key,
    /// It is busy: try again.
    Busy,
}

impl EnrollError {
    /// Whether asking again later with the same ticket can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Store(_) | Self::Refused { reason: TicketRefusal::Busy } => true,
            Self::Ticket { .. }
            | Self::AlreadyEnrolled
            | Self::OtherOrganisation
            | Self::Refused { .. }
            | Self::WrongAnswer { .. }
            | Self::Closed => false,
        }
    }
}

/// One answer that cannot be saved, and what to tell the person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldFault {
    /// Its path.
    pub path: String,
    /// What to say.
    pub message: Label,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.message.en)
    }
}

/// Why something was not written. Nothing of it is kept then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The device belongs to no organisation yet: there is no person and no logbook. Drafts can be saved.
    #[error("this device is not enrolled; drafts are kept, records need an enrolment")]
    NotEnrolled,
    /// No form of this name is known.
    #[error("there is no form '{form}' in this version")]
    UnknownForm {
        /// Its name.
        form: String,
    },
    /// Answers that the form does not take.
    #[error("{} answers need a second look, the first: {}", faults.len(), faults.first().map(ToString::to_string).unwrap_or_default())]
    Invalid {
        /// Each answer with what to say.
        faults: Vec<FieldFault>,
    },
    /// Not a person of this device.
    #[error("'{person}' does not work on this device")]
    UnknownPerson {
        /// The code given.
        person: String,
    },
    /// Not a usable code.
    #[error("'{text}' is not a {what}")]
    Code {
        /// What it should be.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// No such record here.
    #[error("record {record} is not here")]
    UnknownRecord {
        /// Which.
        record: RecordId,
    },
    /// The version names changes that are not here, or no longer: read the record again, and write against what it shows.
    #[error("the version of record {record} that was looked at is not here any more; read it again")]
    VersionGone {
        /// Which.
        record: RecordId,
    },
    /// The path has no conflict in that version.
    #[error("'{path}' has no such conflict in the version that was looked at; read the record again")]
    NoConflict {
        /// Where.
        path: String,
    },
    /// The person has no right for this here, with the code every gate would hold it for.
    #[error("not allowed: {}", crate::codes::explain(*code).what.en)]
    NotAllowed {
        /// The code; [`crate::codes::explain`] has its words.
        code: u16,
    },
    /// A draft that is too large.
    #[error("draft {draft} has {have} bytes, at most {max} are kept; save it as a record or shorten it")]
    DraftTooLarge {
        /// Which.
        draft: DraftId,
        /// Its bytes.
        have: usize,
        /// Most allowed.
        max: usize,
    },
    /// The change cannot be made: too large, or the record is full.
    #[error("the change cannot be made: {detail}")]
    NotWritable {
        /// Why, and what to do.
        detail: String,
    },
    /// The store failed. Nothing is promised; after a failed write the store takes no more until it is opened again.
    #[error("the record store failed")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

/// Why something cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The filter or cursor is not one.
    #[error("'{text}' is not a {what}")]
    Code {
        /// What it should be.
        what: &'static str,
        /// What was given.
        text: String,
    },
    /// The hub decided something that this version cannot read and must not ignore (A4).
    #[error("the hub decided something that this version cannot read: update the app; uploading goes on")]
    MustUpdate,
    /// The store failed.
    #[error("the record store failed")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

/// Why a sync did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyncError {
    /// The device belongs to no organisation yet.
    #[error("this device is not enrolled")]
    NotEnrolled,
    /// The hub could not be reached before the time was up.
    #[error("the hub could not be reached: {detail}")]
    Unreachable {
        /// What was tried last.
        detail: String,
    },
    /// The time was up before a session began.
    #[error("the time was up before the hub answered")]
    TimedOut,
    /// Trying again does not help until someone does something.
    #[error("sync is halted: {}", .0.message().en)]
    Halted(HaltReason),
    /// The store failed.
    #[error("the record store failed")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

impl SyncError {
    /// Whether trying again later, with nothing changed here, can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TimedOut => true,
            Self::NotEnrolled | Self::Halted(_) | Self::Store(_) | Self::Closed => false,
        }
    }
}

/// Why closing did not go well. What was saved is saved all the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseError {
    /// The index could not be written; it is rebuilt at the next start.
    #[error("the store could not be closed cleanly")]
    Store(#[source] StoreFailure),
    /// It was closed before.
    #[error("the core is closed already")]
    Closed,
}
