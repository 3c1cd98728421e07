//! The deterministic simulator: production hub, tablets and protocol on one thread, with a virtual clock, simulated disks
//! and a simulated network.
//!
//! One seed is one run: it draws an organisation, what people do, and what goes wrong when. While that lasts, checkers watch
//! every step (safety); then the network heals, everything must drain within bounded messages, and what is there is held
//! against an independent model (liveness). The same seed gives the same trace, bit for bit.
//!
//! # Layout
//!
//! ```text
//! plan      what a seed draws: a list of steps, each with its own randomness, so that steps can be taken out
//! world     the clock, the queue of events, and everybody in it
//! office    the hub and its administrator          field     tablets and their people
//! network   connections: loss, delay, partitions   machines  disks, indexes, power cuts
//! hostile   devices and programs that misbehave    model     what the merged records must be, without Automerge
//! check     the checkers; audit: those that read    coverage  which fault hit which state
//!           every frame, decision and right;
//!           excuse: why a change may be missing
//! shrink    the smallest plan that still fails         bugs      known bugs put back, to test the checkers
//! ```
//!
//! # Limits
//!
//! [`world::EVENTS_MAX`] events for a run, [`check::ROUNDS_MAX`] sessions of each tablet until silence.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a fault or an act that one room does not handle goes to the next, which says so if it is nobody's"
)]

pub mod audit;
#[cfg(feature = "bugs")]
pub mod bugs;
pub mod check;
pub mod coverage;
mod excuse;
pub mod field;
pub mod hostile;
pub mod learn;
pub mod machines;
pub mod model;
pub mod network;
pub mod office;
pub mod plan;
pub mod shrink;
pub mod world;

pub use coverage::Coverage;
pub use plan::{Plan, Scale};
pub use world::{Outcome, run};
