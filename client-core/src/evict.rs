//! Freeing space on a device, as an app asks for it.

use crate::error::StoreFailure;

/// What is left to do after a logbook went or was wanted back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AfterEvict {
    Nothing,
    /// A session watches with another selection: it is to be opened again.
    SessionIsOutdated,
}

/// Why a logbook was not let go of, or not wanted back. Nothing is changed then, but for [`EvictError::Store`]: what the disk
/// took of it is known when the core is opened again. A backup of the hub has all of it either way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvictError {
    /// Not the name of a station's month.
    #[error("'{text}' is no logbook; name one as it is shown, such as ST01/2025-06")]
    Name {
        /// What was given.
        text: String,
    },
    /// Directories are always kept.
    #[error("{logbook} is a directory, which every device keeps")]
    Directory {
        /// The logbook.
        logbook: String,
    },
    /// Nothing of it is here.
    #[error("nothing of {logbook} is on this device")]
    NotHere {
        /// The logbook.
        logbook: String,
    },
    /// It was not evicted, so it cannot be wanted back.
    #[error("{logbook} was not evicted from this device")]
    NotEvicted {
        /// The logbook.
        logbook: String,
    },
    /// Something of it is saved and not sent, or not judged yet.
    #[error("{count} saves or packs of {logbook} are not settled yet; sync first")]
    Unsettled {
        /// The logbook.
        logbook: String,
        /// How many.
        count: usize,
    },
    /// The hub has not acknowledged all of it.
    #[error("the hub has not acknowledged {count} packs of {logbook}; sync first")]
    Unreceipted {
        /// The logbook.
        logbook: String,
        /// How many.
        count: usize,
    },
    /// No backup of the hub is known to contain all of it.
    #[error("{count} packs of {logbook} are not known to be in a backup of the hub; sync after its next backups")]
    NotBackedUp {
        /// The logbook.
        logbook: String,
        /// How many.
        count: usize,
    },
    /// As many logbooks as a selection can name are evicted already.
    #[error("{max} logbooks are evicted already, and no more can be named")]
    TooMany {
        /// The most.
        max: usize,
    },
    /// A sync is in the middle of something.
    #[error("a sync is under way; try again when it is over")]
    Busy,
    /// The store failed.
    #[error("the record store failed")]
    Store(#[source] StoreFailure),
    /// The core is closed.
    #[error("the core is closed")]
    Closed,
}

impl EvictError {
    /// Whether asking again later, with nothing done about it here but a sync, can help.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Unsettled { .. } | Self::Unreceipted { .. } | Self::NotBackedUp { .. } | Self::Busy => true,
            Self::Name { .. }
            | Self::Directory { .. }
            | Self::NotHere { .. }
            | Self::NotEvicted { .. }
            | Self::TooMany { .. }
            | Self::Store(_)
            | Self::Closed => false,
        }
    }
}
