//! Bundles: the messages of a session in a file, for a stick that somebody carries.
//!
//! Here is the plain format: a header that says for whom a bundle is, and inside what is sealed the header once more and the
//! messages, in the order a session has them: control entries before everything they prove. Sealing and opening need
//! randomness and stand elsewhere; a reader gets the opened bytes in pieces of any size.
//!
//! # Layout
//!
//! ```text
//! file   = header | sealed(inner)
//! header = magic 8 | version 2 | 1, hub 8  or  2 | org 16 | from 8 | time 8
//! inner  = header | Control* | Push? | Receipt* | Pack* | Bye        frames as on a stream
//! ```
//!
//! # Invariants
//!
//! 1. What a bundle brings is a peer's word: whoever reads it verifies every part as in a session.
//! 2. A bundle without its end is an error, after the parts that were whole were handed out
//!    (`bundle_cut_anywhere_gives_its_whole_parts_and_then_says_so`).
//!
//! # Limits
//!
//! [`HEADER_BYTES_MAX`]; a frame's are those of a session's stream, checked before its bytes are waited for.

use crate::beacon::SignedBeacon;
use crate::control::SignedEntry;
use crate::ids::{DeviceId, HubId, OrgId};
use crate::pack::Pack;
use crate::receipt::SignedReceipt;
use crate::session::message::{Bye, ByeReason, FrameReader, Message};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Writer};

/// What every bundle begins with. The byte that is no text, and the line ends, show a file that was sent as text.
pub const MAGIC: [u8; 8] = [0x89, b'Q', b'M', b'B', b'D', b'L', 0x0d, 0x0a];
/// The version of this build.
pub const VERSION: u16 = 1;
/// Most bytes of a header.
pub const HEADER_BYTES_MAX: usize = 64;

/// For whom a bundle is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleFor {
    /// A hub: sealed to the key that the control log names.
    Hub(HubId),
    /// A tablet: sealed with a passphrase.
    Tablet,
}

/// What may be known of a bundle without opening it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundleHeader {
    /// For whom.
    pub to: BundleFor,
    /// Of which organisation.
    pub org: OrgId,
    /// The device that made it.
    pub from: DeviceId,
    /// When, by that device's clock.
    pub made_at: UnixMillis,
}

/// Why bytes are no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Something else.
    #[error("the file does not begin as a bundle does; choose the file that was exported")]
    Magic,
    /// Of a later version.
    #[error("the bundle has version {have}, this build reads up to {max}; update the app")]
    Version {
        /// Its version.
        have: u16,
        /// The newest known.
        max: u16,
    },
    /// It stops too early.
    #[error("the bundle stops after {offset} bytes of content; copy the file again, or have it exported again")]
    Truncated {
        /// Bytes of its content that were there.
        offset: u64,
    },
    /// A part cannot be read.
    #[error("the bundle cannot be read at byte {offset} of its content; have it exported again")]
    Part {
        /// Where the part begins.
        offset: u64,
        /// Why.
        #[source]
        source: DecodeError,
    },
    /// The sealed header is another one.
    #[error("the bundle's header was changed after it was made; have it exported again")]
    Header,
    /// A part that has no place there.
    #[error("a {name} has no place at byte {offset} of the bundle's content; have it exported again")]
    OutOfPlace {
        /// Which.
        name: &'static str,
        /// Where.
        offset: u64,
    },
    /// Something follows the end.
    #[error("{bytes} bytes follow the bundle's end; have it exported again")]
    AfterEnd {
        /// How many at least.
        bytes: usize,
    },
}

impl BundleHeader {
    /// The bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.raw(&MAGIC);
        writer.u16(VERSION);
        match &self.to {
            BundleFor::Hub(hub) => {
                writer.u8(1);
                writer.raw(&hub.0);
            }
            BundleFor::Tablet => writer.u8(2),
        }
        writer.raw(&self.org.0);
        writer.raw(&self.from.0);
        writer.i64(self.made_at.0);
        writer.finish()
    }

    /// Reads the header from a file's first bytes, and says how many it took. [`HEADER_BYTES_MAX`] bytes are enough.
    ///
    /// # Errors
    /// [`BundleError`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<(Self, usize), BundleError> {
        let known = bytes.len().min(MAGIC.len());
        if bytes.get(..known) != MAGIC.get(..known) {
            return Err(BundleError::Magic);
        }
        let mut reader = Reader::new(bytes);
        let read = Self::read(&mut reader);
        let offset = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let header = read.map_err(|source| {
            if matches!(source, DecodeError::Truncated { .. }) {
                BundleError::Truncated { offset }
            } else {
                BundleError::Part { offset: 0, source }
            }
        })?;
        header.map(|header| (header, reader.offset()))
    }

    fn read(reader: &mut Reader<'_>) -> Result<Result<Self, BundleError>, DecodeError> {
        reader.raw("magic", MAGIC.len())?;
        let version = reader.u16("bundle version")?;
        if version != VERSION {
            return Ok(Err(BundleError::Version { have: version, max: VERSION }));
        }
        let offset = reader.offset();
        let to = match reader.u8("bundle kind")? {
            1 => BundleFor::Hub(HubId(reader.array("hub")?)),
            2 => BundleFor::Tablet,
            have => return Err(DecodeError::Unknown { field: "bundle kind", offset, have: u64::from(have) }),
        };
        Ok(Ok(Self {
            to,
            org: OrgId(reader.array("organisation")?),
            from: DeviceId(reader.array("device")?),
            made_at: UnixMillis(reader.i64("time")?),
        }))
    }
}

/// One part of what a bundle brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundlePart {
    /// Decisions of the organisation.
    Control(Vec<SignedEntry>),
    /// The newest beacon the sender knew.
    Beacon(SignedBeacon),
    /// A hub's word about packs.
    Receipt(SignedReceipt),
    /// A pack.
    Pack(Pack),
}

impl BundlePart {
    /// The frame, as it stands in the inner stream.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Control(entries) => Message::Control(entries),
            Self::Beacon(beacon) => Message::Push { beacon: Some(beacon), follow: 0 },
            Self::Receipt(receipt) => Message::Receipt(receipt),
            Self::Pack(pack) => Message::Pack(pack),
        }
        .encode_frame()
    }

    /// The frame that ends a bundle.
    #[must_use]
    pub fn end() -> Vec<u8> {
        Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None }).encode_frame()
    }
}

/// How far a bundle has come; parts come in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Header,
    Control,
    Beacon,
    Receipts,
    Packs,
    Over,
}

/// Takes the opened bytes of a bundle and gives its parts.
#[derive(Debug)]
pub struct BundleReader {
    header: Vec<u8>,
    begun: Vec<u8>,
    frames: FrameReader,
    stage: Stage,
    taken: u64,
}

impl BundleReader {
    /// Reads the inner stream of a bundle with this header.
    #[must_use]
    pub fn new(header: &BundleHeader) -> Self {
        Self {
            header: header.encode(),
            begun: Vec::new(),
            frames: FrameReader::default(),
            stage: Stage::Header,
            taken: 0,
        }
    }

    /// Takes bytes as they are opened.
    pub fn push(&mut self, bytes: &[u8]) {
        self.taken = self.taken.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        let missing = self.header.len().saturating_sub(self.begun.len()).min(bytes.len());
        let (first, rest) = bytes.split_at(missing);
        self.begun.extend_from_slice(first);
        self.frames.push(rest);
    }

    fn offset(&self) -> u64 {
        self.taken.saturating_sub(u64::try_from(self.frames.pending_bytes()).unwrap_or(u64::MAX))
    }

    /// The next whole part, if it is there; `None` also after the end.
    ///
    /// # Errors
    /// [`BundleError`]: no further part is given.
    pub fn next_part(&mut self) -> Result<Option<BundlePart>, BundleError> {
        if self.stage == Stage::Header {
            let known = self.begun.len();
            if self.header.get(..known) != Some(self.begun.as_slice()) {
                return Err(BundleError::Header);
            }
            if known < self.header.len() {
                return Ok(None);
            }
            self.stage = Stage::Control;
        }
        if self.stage == Stage::Over {
            return match self.frames.pending_bytes() {
                0 => Ok(None),
                bytes => Err(BundleError::AfterEnd { bytes }),
            };
        }
        let offset = self.offset();
        let message = self.frames.next_message().map_err(|source| BundleError::Part { offset, source })?;
        let Some(message) = message else { return Ok(None) };
        let name = message.name();
        let out_of_place = BundleError::OutOfPlace { name, offset };
        let (stage, part) = match message {
            Message::Control(entries) => (Stage::Control, Some(BundlePart::Control(entries))),
            Message::Push { beacon: Some(beacon), follow: 0 } => (Stage::Beacon, Some(BundlePart::Beacon(beacon))),
            Message::Receipt(receipt) => (Stage::Receipts, Some(BundlePart::Receipt(receipt))),
            Message::Pack(pack) => (Stage::Packs, Some(BundlePart::Pack(pack))),
            Message::Bye(_) => (Stage::Over, None),
            Message::Push { .. }
            | Message::Hello(_)
            | Message::Welcome(_)
            | Message::Vectors(_)
            | Message::Ack(_)
            | Message::Refuse(_)
            | Message::NeedAncestors(..)
            | Message::Subscribe
            | Message::Blob(_) => return Err(out_of_place),
        };
        let is_again = stage == self.stage && stage == Stage::Beacon;
        if stage < self.stage || is_again {
            return Err(out_of_place);
        }
        self.stage = stage;
        match part {
            Some(part) => Ok(Some(part)),
            None => self.next_part(),
        }
    }

    /// There are no further bytes.
    ///
    /// # Errors
    /// [`BundleError::Truncated`] when the end was not among them.
    pub fn finish(&self) -> Result<(), BundleError> {
        match self.stage {
            Stage::Over => Ok(()),
            Stage::Header | Stage::Control | Stage::Beacon | Stage::Receipts | Stage::Packs => {
                Err(BundleError::Truncated { offset: self.taken })
            }
        }
    }
}
