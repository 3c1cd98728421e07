//! Ledgers: the messy tables that stations kept before, read row by row into clean records.
//!
//! Everything here is pure but [`Folder::read`] and [`filing`]: bytes in, outcomes out. The rules are those of the district's import specification; they are
//! deterministic, and nothing outside the tables is guessed. What would change an achievement is refused with a reason, everything else is
//! repaired or blanked and says so.
//!
//! # Flow
//!
//! ```text
//! bytes --inspect--> encoding --Rows--> cells --Cleaner--> Outcome: skipped | rejected(reason) | accepted(CleanRow, codes)
//!                                                  finish --> Summary --to_json--> report
//! CleanRow --Filing--> records of this device       refused rows --RefusedRows--> a file to correct
//! ```
//!
//! # Limits
//!
//! Those of [`source`]; a hundred thousand rows take some tens of megabytes, whatever their texts.

mod cell;
mod cleaner;
pub mod directory;
mod entries;
pub mod filing;
mod moment;
mod number;
mod outcome;
mod place;
mod position;
pub mod refused;
mod report;
mod row;
pub mod source;

pub use cleaner::{Cleaner, GpsSample, Outcome, Summary, UnknownHeader};
pub use directory::{Directory, DirectoryError, Folder};
pub use moment::Day;
pub use outcome::{Correction, RejectReason, SkipReason};
pub use place::{Divisions, DivisionsError, Place};
pub use report::About;
pub use row::{CleanRow, Term};
pub use source::{Rows, SourceError, SourceFacts, inspect};
