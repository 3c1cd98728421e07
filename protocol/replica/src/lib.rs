//! What both ends keep: the pack log on disk, its index, documents, conflicts and quarantine.
//!
//! The pack log is the truth, an append-only sequence of checksummed frames; the index is disposable and follows from it.
//! [`replica::Replica`] joins them and is what a session reads; [`exchange::Exchange`] lets a session work on a replica.
//! No network, no async, no clock: time and randomness are arguments.

pub mod bundle;
pub mod conformance;
pub mod disk;
pub mod exchange;
pub mod frames;
pub mod index;
pub mod pack_log;
pub mod replica;

mod entry_cache;
mod overlay;
mod rows;

pub use overlay::RowError;
