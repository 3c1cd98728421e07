//! What the project's tests and benchmarks share: a small organisation that needs no network, the workload of the
//! benchmarks, and the fuzz targets. Nobody imports this crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    missing_debug_implementations,
    reason = "test harness: a failed step is the failure"
)]

pub mod attack;
pub mod bench;
pub mod crash;
#[path = "../../protocol/tests/gate_support.rs"]
#[allow(unreachable_pub, reason = "the file is shared with the gate's own tests")]
pub(crate) mod forge;
pub mod fuzz;
pub mod fuzz_driver;
pub mod loopback;
pub mod sim;
pub mod workload;
pub mod world;
