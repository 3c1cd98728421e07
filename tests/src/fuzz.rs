//! Fuzzing: everything that takes bytes from outside, as functions of bytes.
//!
//! A target never only asks "does it panic?": it states what must hold of any bytes (read back what was written, lose
//! nothing that is intact, go on working afterwards) and how much memory they may cost. Checksums, roots and signatures
//! are mended inside the targets, so that every engine gets past them: the driver beside this module (`--bin fuzz`), the
//! replay of the corpus in `cargo test`, and libFuzzer in `tests/fuzz`.
//!
//! # Layout
//!
//! ```text
//! signed_parts, frame, enrol, ticket, vector, change, pack, control    protocol: what a peer sends
//! gate, session                                                        protocol: what it may lead to
//! pack_log, store                                                      what is on a disk
//! bundle, ledger, form, expression, answers, directory                 what comes in files and from a keyboard
//! script                                                               bytes as a sequence of choices
//! corpus                                                               the inputs that are kept
//! ```
//!
//! # Invariants
//!
//! 1. A target is a function of its bytes: the same bytes do the same, whatever ran before.
//! 2. The seeds of a target pass it (`tests/tests/corpus.rs`, with every file of `tests/corpus`).

use std::fmt::Debug;

use qianmo_protocol::limits::MESSAGE_BYTES_MAX;
use qianmo_protocol::wire::Wire;

mod answers;
mod bundle;
mod change;
mod control;
pub mod corpus;
mod directory;
mod enrol;
mod expression;
mod form;
mod frame;
mod gate;
mod ledger;
mod pack;
mod pack_log;
mod script;
mod session;
mod signed_parts;
mod store;
mod ticket;
mod vector;

/// One function of bytes and what is known of it.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name: of the folder in the corpus, and on the command line.
    pub name: &'static str,
    /// The function. It panics when something does not hold.
    pub run: fn(&[u8]),
    /// Inputs to begin with, made by the program itself.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Words worth inserting.
    pub words: &'static [&'static str],
    /// Inputs are not grown beyond this.
    pub bytes_max: usize,
    /// What an input may cost in memory.
    pub room: Room,
    /// Executions it gets of those that all targets together are given.
    pub share: u64,
}

/// Memory that an input may cost at its peak: a base, and so much for each of its bytes.
#[derive(Clone, Copy)]
pub struct Room {
    /// For an input without bytes.
    pub base: usize,
    /// For each byte.
    pub per_byte: usize,
}

impl Room {
    /// What an input of so many bytes may cost.
    #[must_use]
    pub const fn of(self, bytes: usize) -> usize {
        self.base + self.per_byte * bytes
    }
}

const KIB: usize = 1024;
/// Shares: what costs microseconds, tens of them, and a millisecond.
const LIGHT: u64 = 60;
const MIDDLE: u64 = 12;
const HEAVY: u64 = 2;

const fn target(name: &'static str, run: fn(&[u8]), seeds: fn() -> Vec<Vec<u8>>, share: u64) -> Target {
    Target { name, run, seeds, words: &[], bytes_max: 8 * KIB, room: Room { base: 64 * KIB, per_byte: 64 }, share }
}

/// Every target.
pub const TARGETS: [Target; 18] = [
    // The room of a message is taken when its length is known and was found bearable.
    Target {
        room: Room { base: 64 * KIB + MESSAGE_BYTES_MAX, per_byte: 64 },
        ..target("frame", frame::run, frame::seeds, LIGHT)
    },
    target("enrol", enrol::run, enrol::seeds, MIDDLE),
    Target { words: ticket::WORDS, ..target("ticket", ticket::run, ticket::seeds, LIGHT) },
    target("vector", vector::run, vector::seeds, LIGHT),
    target("signed", signed_parts::run, signed_parts::seeds, MIDDLE),
    // Columns are run lengths: the most operations there may be are decoded from a hundred bytes.
    Target { room: Room { base: 2048 * KIB, per_byte: 64 }, ..target("change", change::run, change::seeds, LIGHT) },
    Target { room: Room { base: 2048 * KIB, per_byte: 256 }, ..target("pack", pack::run, pack::seeds, MIDDLE) },
    Target { room: Room { base: 1024 * KIB, per_byte: 512 }, ..target("control", control::run, control::seeds, HEAVY) },
    Target {
        bytes_max: 256,
        room: Room { base: 8192 * KIB, per_byte: KIB },
        ..target("gate", gate::run, gate::seeds, HEAVY)
    },
    Target {
        room: Room { base: 16_384 * KIB, per_byte: 512 },
        ..target("session", session::run, session::seeds, HEAVY)
    },
    Target {
        room: Room { base: 4096 * KIB, per_byte: 256 },
        ..target("pack_log", pack_log::run, pack_log::seeds, MIDDLE)
    },
    Target { room: Room { base: 16_384 * KIB, per_byte: 512 }, ..target("store", store::run, store::seeds, HEAVY) },
    Target { room: Room { base: 1024 * KIB, per_byte: 64 }, ..target("bundle", bundle::run, bundle::seeds, MIDDLE) },
    Target {
        words: ledger::WORDS,
        room: Room { base: 1024 * KIB, per_byte: 256 },
        ..target("ledger", ledger::run, ledger::seeds, MIDDLE)
    },
    Target {
        words: form::WORDS,
        room: Room { base: 8192 * KIB, per_byte: 512 },
        ..target("form", form::run, form::seeds, HEAVY)
    },
    Target {
        words: expression::WORDS,
        bytes_max: 2 * KIB,
        ..target("expression", expression::run, expression::seeds, LIGHT)
    },
    Target { words: answers::WORDS, bytes_max: 2 * KIB, ..target("answers", answers::run, answers::seeds, LIGHT) },
    Target {
        words: directory::WORDS,
        room: Room { base: 1024 * KIB, per_byte: 512 },
        ..target("directory", directory::run, directory::seeds, MIDDLE)
    },
];

/// The target of a name.
#[must_use]
pub fn target_named(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// What was read is written again as the same bytes, and reads back as itself.
fn reads_back<T: Wire + PartialEq + Debug>(bytes: &[u8]) -> Option<T> {
    match T::decode(bytes) {
        Ok(value) => {
            assert_eq!(value.encode(), bytes, "written otherwise than read");
            assert_eq!(T::decode(bytes).as_ref(), Ok(&value), "read twice, two values");
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}
