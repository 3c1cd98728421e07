//! What both ends of Qianmo must agree on: ids, wire codec, packs, control log, gate and session.
//!
//! Pure: no IO, no clock, no global randomness, no async. `now` and `rng` are arguments; the same inputs give the same
//! outputs, byte for byte. Tablets, hub and simulator all run this code. Two libraries draw on hidden state and are kept
//! away from it here: Automerge's actor ids are always given, and Zstandard is called with a fixed level.
//!
//! # Layout
//!
//! ```text
//! ids, time, limits        names of things and their bounds
//! wire                     bytes in and out: canonical, bounded, total
//! pack, vector, digest     what devices write, what a replica holds, and its fingerprint
//! control                  the hub-signed decisions, folded as a set
//! record, review, gate     documents: how they are written, read, judged
//! handshake, session       who may talk, and the exchange itself; bundle: the same in a file
//! ```
//!
//! # See
//!
//! `docs/wire.md` describes every byte.

pub mod beacon;
pub mod bugs;
pub mod bundle;
pub mod change;
pub mod close_code;
pub mod control;
pub mod digest;
pub mod gate;
pub mod handshake;
pub mod ids;
pub mod limits;
pub mod pack;
pub mod receipt;
pub mod record;
pub mod review;
pub mod session;
pub mod time;
pub mod vector;
pub mod wire;
