//! Sessions between replicas in memory: what travels, how often, to whom, and what both hold in the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    clippy::needless_range_loop,
    reason = "test harness: a failed step is the failure, measured sizes are shown, and most messages are of no interest"
)]

#[path = "session_exchange/link.rs"]
mod link;
#[path = "session_exchange/misbehaviour.rs"]
mod misbehaviour;
#[path = "session_exchange/pushes.rs"]
mod pushes;
#[path = "session_exchange/random.rs"]
mod random;
#[path = "session_exchange/restore.rs"]
mod restore;
#[path = "session_exchange/rights.rs"]
mod rights;
#[path = "session_exchange/store.rs"]
mod store;
#[path = "session_exchange/turns.rs"]
mod turns;
