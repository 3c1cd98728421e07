//! The read side of the hub: the projection against the replica, and the API and pages over real HTTP.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

#[path = "read_side/api.rs"]
mod api;
#[path = "read_side/find.rs"]
mod find;
#[path = "read_side/fleet.rs"]
mod fleet;
#[path = "../../protocol/tests/gate_support.rs"]
mod gate_support;
#[path = "read_side/hints.rs"]
mod hints;
#[path = "read_side/inbox.rs"]
mod inbox;
#[path = "read_side/lists.rs"]
mod lists;
#[path = "read_side/office.rs"]
mod office;
#[path = "read_side/pages.rs"]
mod pages;
#[path = "read_side/projection.rs"]
mod projection;
#[path = "read_side/saved.rs"]
mod saved;
#[path = "read_side/sight.rs"]
mod sight;
#[path = "read_side/signed.rs"]
mod signed;
#[path = "read_side/threads.rs"]
mod threads;
#[path = "read_side/unshown.rs"]
mod unshown;
#[path = "read_side/words.rs"]
mod words;
#[path = "hub/world.rs"]
#[allow(dead_code, reason = "shared with the hub's own tests, which use all of it")]
mod world;
