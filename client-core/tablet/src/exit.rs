//! How a run ended, as a number a script can act on.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Exit {
    /// Done.
    Done,
    /// Something failed here: the store, a file, a record that is not here.
    Failed,
    /// The command was not understood.
    Usage,
    /// The device belongs to no organisation yet.
    NotEnrolled,
    /// The hub could not be reached. What was saved stays saved.
    Network,
    /// The form or the hub said no.
    Rejected,
}

impl Exit {
    /// Every way to end.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Usage, Self::NotEnrolled, Self::Network, Self::Rejected];

    /// The number.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotEnrolled => 3,
            Self::Network => 4,
            Self::Rejected => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
