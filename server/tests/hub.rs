//! The hub as the simulator would drive it: in memory, with tablets that run the real exchange, no network, no clock.
//!
//! Every tablet is a replica and an exchange; messages are encoded and read back between the two sides.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test harness: a failed step is the failure"
)]

#[path = "hub/admin.rs"]
mod admin;
#[path = "hub/backups.rs"]
mod backups;
#[path = "hub/damage.rs"]
mod damage;
#[path = "hub/desk.rs"]
mod desk;
#[path = "hub/epochs.rs"]
mod epochs;
#[path = "hub/fold.rs"]
mod fold;
#[path = "hub/hostile.rs"]
mod hostile;
#[path = "hub/misplaced.rs"]
mod misplaced;
#[path = "hub/publish.rs"]
mod publish;
#[path = "hub/purge.rs"]
mod purge;
#[path = "hub/registry.rs"]
mod registry;
#[path = "hub/release.rs"]
mod release;
#[path = "hub/running.rs"]
mod running;
#[path = "hub/sessions.rs"]
mod sessions;
#[path = "hub/versions.rs"]
mod versions;
#[path = "hub/world.rs"]
mod world;
