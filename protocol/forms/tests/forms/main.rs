//! The shipped forms, one by one: what a minimal record of each needs, and every rule of each once met and once missed.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

mod harness;
mod ledger;
mod records;
mod registries;
mod rules;
