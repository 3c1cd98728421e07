//! Every limit of the protocol, by name.
//!
//! Both ends check these before they allocate, and a writer checks them before it seals, so that an honest device never
//! meets a refusal (design R15). A limit is part of the protocol version: changing one is a wire change.

/// Most bytes of a pack's body before compression.
pub const PACK_RAW_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of a pack's body after compression. Zstandard may expand incompressible input a little.
pub const PACK_BODY_BYTES_MAX: usize = PACK_RAW_BYTES_MAX + 4 * 1024;
/// Most entries in a pack.
pub const PACK_ENTRIES_MAX: usize = 256;
/// Most bytes of one Automerge change chunk.
pub const CHANGE_BYTES_MAX: usize = 64 * 1024;
/// Most operations in one change.
pub const CHANGE_OPS_MAX: usize = 4_096;
/// Most dependencies (heads) one change may name.
pub const CHANGE_DEPS_MAX: usize = 32;
/// Most bytes of a change's commit message (a resolve's list lives there).
pub const CHANGE_MESSAGE_BYTES_MAX: usize = 8 * 1024;
/// Most bytes of one text or bytes value.
pub const VALUE_BYTES_MAX: usize = 32 * 1024;
/// Most bytes of a map key.
pub const KEY_BYTES_MAX: usize = 64;
/// Deepest nesting of containers, the root map being depth 1.
pub const DEPTH_MAX: usize = 8;
/// Most changes in the history of one document.
pub const DOCUMENT_CHANGES_MAX: usize = 512;
/// Most actors in the history of one document.
pub const DOCUMENT_ACTORS_MAX: usize = 256;
/// Highest operation counter a change may reach; Automerge panics near `u32::MAX`.
pub const OP_COUNTER_MAX: u64 = 1 << 31;
/// Most bytes of a station, person or form code.
pub const CODE_BYTES_MAX: usize = 24;

/// Most bytes of one frame on a stream, its type and length not counted.
pub const MESSAGE_BYTES_MAX: usize = PACK_BODY_BYTES_MAX + 1_024;
/// Most bytes of version vectors an initiator puts in its `Hello`.
pub const HELLO_VECTORS_BYTES_MAX: usize = 4 * 1024;
/// Most logbooks named in one message.
pub const LOGBOOKS_PER_MESSAGE_MAX: usize = 4_096;
/// Most vectors in one message: each has to be compared with what is held, and the rest goes with the next turn.
pub const VECTORS_PER_MESSAGE_MAX: usize = 1_024;
/// Most entries of one logbook's version vector.
pub const VECTOR_ENTRIES_MAX: usize = 8_192;
/// Most tips of one log that are kept and offered (A12).
pub const TIPS_PER_LOG_MAX: usize = 4;
/// Most incarnations of one device in one logbook (A12).
pub const INCARNATIONS_PER_LOGBOOK_MAX: usize = 64;
/// Most stations in a selection.
pub const SELECTION_STATIONS_MAX: usize = 512;
/// Most months in a selection.
pub const SELECTION_MONTHS_MAX: usize = 512;
/// Most control entries in one message.
pub const CONTROL_ENTRIES_PER_MESSAGE_MAX: usize = 256;
/// Most bytes of one control entry's body.
pub const CONTROL_BODY_BYTES_MAX: usize = 16 * 1024;
/// Most parents (heads) one control entry may name, and most heads a peer may state.
pub const CONTROL_PARENTS_MAX: usize = 64;
/// Most packs announced in one turn of a session; the rest follow in the next turn.
pub const PACKS_PER_TURN_MAX: usize = 1_024;
/// Most bytes of packs announced in one turn of a session.
pub const PACK_BYTES_PER_TURN_MAX: usize = 8 * 1024 * 1024;
/// Most turns of one session before it is closed as not making progress.
pub const TURNS_MAX: usize = 4_096;
/// Most steps in a locator: one for each power of two of a 32-bit sequence number, the tip and the first.
pub const LOCATOR_STEPS_MAX: usize = 34;
/// Most items (acks, refusals, digests) in one message of such items.
pub const ITEMS_PER_MESSAGE_MAX: usize = 4_096;
/// Most bytes of a reason or a name in a message.
pub const TEXT_BYTES_MAX: usize = 512;
/// Most bytes of one chunk of a blob in a `Blob` message.
pub const BLOB_CHUNK_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of one blob.
pub const BLOB_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Failed changes of one device in one logbook after which the hub excludes the log as a whole (A12).
pub const GATE_FAILURES_PER_DEVICE_MAX: usize = 64;
/// Months a record's home may lie beyond the hub's control month.
pub const MONTHS_AHEAD_MAX: u16 = 2;
/// Largest jump of a hub's clock from its last beacon before it asks the administrator, in days (A7).
pub const BEACON_JUMP_DAYS_MAX: u32 = 35;
/// Largest distance of a tablet's clock from control time that is believed when a home logbook is chosen, in days.
pub const HOME_CLOCK_DAYS_MAX: u32 = 35;
