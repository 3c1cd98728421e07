//! The protocol's fine print, played on the production replica, session and hub: the schedules that no smaller test plays
//! whole. `docs/reliability.md` has the list of all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::let_underscore_must_use,
    dead_code,
    reason = "test harness: a failed step is the failure; the world is shared with the hub's tests, which use more of it"
)]

#[path = "schedules/carriers.rs"]
mod carriers;
#[path = "schedules/control.rs"]
mod control;
#[path = "schedules/erasure.rs"]
mod erasure;
#[path = "schedules/logs.rs"]
mod logs;
#[path = "schedules/meeting.rs"]
mod meeting;
#[path = "schedules/rights.rs"]
mod rights;
#[path = "../../server/tests/hub/world.rs"]
mod world;
#[path = "schedules/writing.rs"]
mod writing;
