//! What every implementation of a storage trait must do, as functions that tests of any crate can run.
//!
//! Each takes a factory and returns the first broken promise. They hold memory, files and later engines to one contract,
//! so that the simulator's disk and index are worth something.

mod disk;
mod index;
mod pack_log;

use std::fmt;

pub use self::disk::check_disk;
pub use self::index::check_index;
pub use self::pack_log::check_pack_log;

/// A promise that an implementation broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{check}: {detail}")]
pub struct ConformanceFailure {
    /// The promise.
    pub check: &'static str,
    /// What happened instead.
    pub detail: String,
}

/// The checks of one promise.
#[derive(Debug, Clone, Copy)]
struct Promise(&'static str);

impl Promise {
    fn holds(self, condition: bool, detail: impl fmt::Display) -> Result<(), ConformanceFailure> {
        if condition { Ok(()) } else { Err(self.broken(detail)) }
    }

    fn same<T: PartialEq + fmt::Debug>(self, have: T, want: T) -> Result<(), ConformanceFailure> {
        self.holds(have == want, format_args!("have {have:?}, want {want:?}"))
    }

    fn works<T, E: fmt::Display>(self, result: Result<T, E>) -> Result<T, ConformanceFailure> {
        result.map_err(|error| self.broken(error))
    }

    fn fails<T, E>(self, result: Result<T, E>) -> Result<(), ConformanceFailure> {
        self.holds(result.is_err(), "succeeded, but must fail")
    }

    fn broken(self, detail: impl fmt::Display) -> ConformanceFailure {
        ConformanceFailure { check: self.0, detail: detail.to_string() }
    }
}
