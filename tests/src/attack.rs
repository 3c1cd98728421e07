//! Known attacks against a real hub, and what each costs it.
//!
//! The hub runs in a process of its own, whose processor time and heap are counted ([`hub_process`]); this process plays
//! strangers and an enrolled device whose program says what it likes ([`device`]). [`corpus`] holds the attacks one by one,
//! [`crowd`] what many connections do at a time, [`initials`] datagrams that only begin a connection.
//!
//! # Limits
//!
//! An attack that costs more than [`CPU_MAX`] or [`HEAP_MAX`] for a message, or ends otherwise than it must, is a failure.

pub mod corpus;
pub mod crowd;
pub mod device;
pub mod honest;
pub mod hub_process;
pub mod initials;

use std::time::Duration;

/// Most processor time of the hub for one hostile message or pack.
pub const CPU_MAX: Duration = Duration::from_millis(5);
/// Most bytes of heap, beyond what the hub had before, for one hostile message or pack.
pub const HEAP_MAX: u64 = 1024 * 1024;

/// How long one step may take.
pub const STEP: Duration = Duration::from_secs(60);
