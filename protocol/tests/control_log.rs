//! The control log as replicas use it: bytes, graph, fold, rights, epochs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

#[path = "control_log/codec.rs"]
mod codec;
#[path = "control_log/epochs.rs"]
mod epochs;
#[path = "control_log/graph.rs"]
mod graph;
#[path = "control_log/random.rs"]
mod random;
#[path = "control_log/rights.rs"]
mod rights;
#[path = "control_log/schedules.rs"]
mod schedules;
#[path = "control_log/world.rs"]
mod world;
