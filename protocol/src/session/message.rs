//! Messages of a session and their frames on a stream.
//!
//! A frame is a type byte, a LEB128 length and the payload. A session goes by turns: a header (`Hello`, `Welcome` or
//! `Vectors`) says how many messages of its turn follow; `Ack` may come at any time; `Subscribe`, `Push`, `Blob` and `Bye`
//! stand outside turns.

use crate::beacon::SignedBeacon;
use crate::control::SignedEntry;
use crate::digest::StateDigest;
use crate::ids::{BlobHash, EntryHash, Epoch, HubId, LogbookName};
use crate::limits::{
    BLOB_BYTES_MAX, BLOB_CHUNK_BYTES_MAX, CONTROL_ENTRIES_PER_MESSAGE_MAX, CONTROL_PARENTS_MAX, ITEMS_PER_MESSAGE_MAX,
    LOGBOOKS_PER_MESSAGE_MAX, MESSAGE_BYTES_MAX, PACKS_PER_TURN_MAX,
};
use crate::pack::Pack;
use crate::receipt::SignedReceipt;
use crate::time::UnixMillis;
use crate::vector::{Locator, NamedVectors, Selection, read_named_vectors, write_named_vectors};
use crate::wire::{DecodeError, Reader, Wire, Writer, require_ascending};

/// Most messages that may follow a turn's header: its packs, and as many of the other kinds.
const FOLLOW_MAX: usize = PACKS_PER_TURN_MAX + ITEMS_PER_MESSAGE_MAX;

/// Most bytes of the name and version of a program in a hello.
pub const ABOUT_PROGRAM_BYTES_MAX: usize = 64;

/// What the initiator opens with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Oldest and newest protocol version it speaks.
    pub versions: (u16, u16),
    /// Heads of its control log, ascending.
    pub control_heads: Vec<EntryHash>,
    /// The hub epoch it saw last.
    pub epoch: Option<Epoch>,
    /// What it wants to hold.
    pub selection: Selection,
    /// One digest over the selected logbooks whose vectors are not in `vectors`.
    pub rest_digest: [u8; 32],
    /// Full vectors of its live logbooks, what follows included.
    pub vectors: NamedVectors,
    /// Messages of this turn that follow.
    pub follow: usize,
    /// What a tablet says of itself; absent in the hello of a program that does not.
    pub about: Option<About>,
}

/// What a tablet says of itself, for whoever looks after it. Nothing is decided by it, and nobody vouches for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// Its program and that one's version, at most [`ABOUT_PROGRAM_BYTES_MAX`] bytes.
    pub program: String,
    /// What its clock says.
    pub clock: UnixMillis,
    /// Records of which something has no receipt yet; what goes along with the hello is counted in.
    pub unsent: u32,
    /// When the oldest of these records was begun, as it says itself.
    pub oldest: Option<UnixMillis>,
    /// Free bytes where its store lies.
    pub free_bytes: Option<u64>,
}

/// What the responder answers a `Hello` with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Welcome {
    /// The protocol version it chose.
    pub version: u16,
    /// The hub it is, unless it is a tablet.
    pub hub: Option<(HubId, Epoch)>,
    /// The newest beacon it knows.
    pub beacon: Option<SignedBeacon>,
    /// Heads of its control log, ascending.
    pub control_heads: Vec<EntryHash>,
    /// What it may tell this peer of, when that is less than was asked: both sides use it from now on.
    pub agreed: Option<Selection>,
    /// Short digests of its vectors in the rest of the selection, when the rest digests differ.
    pub digests: Option<Vec<(LogbookName, [u8; 8])>>,
    /// What both turns have in common.
    pub turn: Turn,
}

/// The part that `Welcome` and `Vectors` share.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// Vectors that the peer needs in order to know what to send.
    pub vectors: NamedVectors,
    /// State of the logbooks that this session touched.
    pub states: Vec<LogbookState>,
    /// Whether more packs are held back for the next turn.
    pub more: bool,
    /// Messages of this turn that follow.
    pub follow: usize,
}

/// A later turn, either way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vectors {
    /// Heads of the sender's control log, when the peer has not seen them yet; ascending.
    pub control_heads: Vec<EntryHash>,
    /// What all turns have in common.
    pub turn: Turn,
}

/// One logbook's fingerprints at the end of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogbookState {
    /// The logbook.
    pub name: LogbookName,
    /// First bytes of its vector digest: the states are comparable only where these are equal.
    pub vector8: [u8; 8],
    /// Its state digest.
    pub state: StateDigest,
}

/// A pack is durable here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// The hub's epoch, unless a tablet says it.
    pub epoch: Option<Epoch>,
    /// First bytes of each pack's hash, and the commit number it has here.
    pub items: Vec<([u8; 8], u64)>,
}

/// Why a pack was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RefuseCode {
    /// The pack before it is not held: send from the common pack on (temporary).
    MissingPrev,
    /// No enrolment of its device is known: send the control entries first (temporary).
    UnknownDevice,
    /// It has stubs whose purge entries are not known (temporary).
    UnprovenStub,
    /// The author's quota or the disk is full (temporary).
    Quota,
    /// The signature is not the device's (permanent).
    BadSignature,
    /// The entries do not hash to the root, or are not changes (permanent).
    BadBody,
    /// A hard limit is broken (permanent).
    OverLimit,
}

impl RefuseCode {
    /// Whether sending it again can never help. The author re-packs (A6).
    #[must_use]
    pub const fn is_permanent(self) -> bool {
        match self {
            Self::MissingPrev | Self::UnknownDevice | Self::UnprovenStub | Self::Quota => false,
            Self::BadSignature | Self::BadBody | Self::OverLimit => true,
        }
    }

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::MissingPrev => 1,
            Self::UnknownDevice => 2,
            Self::UnprovenStub => 3,
            Self::Quota => 4,
            Self::BadSignature => 129,
            Self::BadBody => 130,
            Self::OverLimit => 131,
        }
    }

    /// The code of a number, if this version knows it.
    #[must_use]
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::MissingPrev),
            2 => Some(Self::UnknownDevice),
            3 => Some(Self::UnprovenStub),
            4 => Some(Self::Quota),
            129 => Some(Self::BadSignature),
            130 => Some(Self::BadBody),
            131 => Some(Self::OverLimit),
            _ => None,
        }
    }
}

/// A pack was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refuse {
    /// First bytes of the pack's hash.
    pub pack8: [u8; 8],
    /// Why, and whether for good.
    pub code: RefuseCode,
}

/// One step of a blob's transfer, on its own stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// Bytes held of a blob, from its start, and its size.
    Have {
        /// Which.
        hash: BlobHash,
        /// Held from the start.
        held: u64,
        /// Whole size.
        size: u64,
    },
    /// Bytes wanted.
    Want {
        /// Which.
        hash: BlobHash,
        /// First byte.
        from: u64,
        /// Byte after the last.
        to: u64,
    },
    /// Bytes.
    Bytes {
        /// Which.
        hash: BlobHash,
        /// First byte.
        from: u64,
        /// What stands there.
        bytes: Vec<u8>,
    },
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByeReason {
    /// Nothing is left to do.
    Done,
    /// The peer is going down or is busy: come back later.
    Later,
    /// The peer does not know this device, and no enrolment was shown.
    NotEnrolled,
    /// The device was revoked; what it wrote was taken.
    Revoked,
}

/// The end of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bye {
    /// Why.
    pub reason: ByeReason,
    /// How long to wait before the next try, in milliseconds.
    pub retry_after_ms: Option<u32>,
}

/// Everything that travels on a session's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Opens a session.
    Hello(Hello),
    /// Answers a hello.
    Welcome(Box<Welcome>),
    /// A later turn.
    Vectors(Vectors),
    /// One pack.
    Pack(Pack),
    /// Packs that are durable here.
    Ack(Ack),
    /// A pack that was not taken.
    Refuse(Refuse),
    /// Send me what follows the newest of these packs.
    NeedAncestors(LogbookName, Locator),
    /// Keep the session open and push what comes.
    Subscribe,
    /// News outside a turn, and the messages of it that follow. A hint: losing it changes nothing in the end.
    Push {
        /// The newest beacon.
        beacon: Option<SignedBeacon>,
        /// Messages that follow.
        follow: usize,
    },
    /// A step of a blob's transfer.
    Blob(Blob),
    /// The end.
    Bye(Bye),
    /// Control entries, either way, always before packs.
    Control(Vec<SignedEntry>),
    /// The hub's signed word about packs.
    Receipt(SignedReceipt),
}

fn write_heads(writer: &mut Writer, heads: &[EntryHash]) {
    writer.list(heads, |writer, head| writer.raw(&head.0));
}

fn read_heads(reader: &mut Reader<'_>) -> Result<Vec<EntryHash>, DecodeError> {
    let offset = reader.offset();
    let heads = reader.list("control heads", CONTROL_PARENTS_MAX, |reader| Ok(EntryHash(reader.array("head")?)))?;
    require_ascending("control heads", offset, &heads)?;
    Ok(heads)
}

impl Wire for Hello {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.versions.0);
        writer.u16(self.versions.1);
        write_heads(writer, &self.control_heads);
        writer.option(self.epoch.as_ref(), |writer, epoch| writer.raw(&epoch.0));
        self.selection.write(writer);
        writer.raw(&self.rest_digest);
        write_named_vectors(writer, &self.vectors);
        writer.count(self.follow);
        if let Some(about) = &self.about {
            about.write(writer);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            versions: (reader.u16("oldest version")?, reader.u16("newest version")?),
            control_heads: read_heads(reader)?,
            epoch: reader.option("epoch", |reader| Ok(Epoch(reader.array("epoch")?)))?,
            selection: Selection::read(reader)?,
            rest_digest: reader.array("rest digest")?,
            vectors: read_named_vectors(reader)?,
            follow: reader.count("follow", FOLLOW_MAX)?,
            about: if reader.remaining() > 0 { Some(About::read(reader)?) } else { None },
        })
    }
}

impl Wire for About {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(self.program.as_bytes());
        writer.i64(self.clock.0);
        writer.uleb(u64::from(self.unsent));
        writer.option(self.oldest.as_ref(), |writer, oldest| writer.i64(oldest.0));
        writer.option(self.free_bytes.as_ref(), |writer, free| writer.uleb(*free));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            program: reader.text("program", ABOUT_PROGRAM_BYTES_MAX)?.to_owned(),
            clock: UnixMillis(reader.i64("clock")?),
            unsent: reader.uleb32("unsent")?,
            oldest: reader.option("oldest", |reader| Ok(UnixMillis(reader.i64("oldest")?)))?,
            free_bytes: reader.option("free bytes", |reader| reader.uleb("free bytes", u64::MAX))?,
        })
    }
}

impl Wire for LogbookState {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.name);
        writer.raw(&self.vector8);
        writer.raw(&self.state.to_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            name: reader.logbook("logbook")?,
            vector8: reader.array("vector digest")?,
            state: StateDigest::from_bytes(reader.array("state digest")?),
        })
    }
}

impl Wire for Turn {
    fn write(&self, writer: &mut Writer) {
        write_named_vectors(writer, &self.vectors);
        writer.list(&self.states, |writer, state| state.write(writer));
        writer.u8(u8::from(self.more));
        writer.count(self.follow);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            vectors: read_named_vectors(reader)?,
            states: reader.list("states", LOGBOOKS_PER_MESSAGE_MAX, LogbookState::read)?,
            more: reader.flag("more")?,
            follow: reader.count("follow", FOLLOW_MAX)?,
        })
    }
}

impl Wire for Welcome {
    fn write(&self, writer: &mut Writer) {
        writer.u16(self.version);
        writer.option(self.hub.as_ref(), |writer, (hub, epoch)| {
            writer.raw(&hub.0);
            writer.raw(&epoch.0);
        });
        writer.option(self.beacon.as_ref(), |writer, beacon| beacon.write(writer));
        write_heads(writer, &self.control_heads);
        writer.option(self.agreed.as_ref(), |writer, agreed| agreed.write(writer));
        writer.option(self.digests.as_ref(), |writer, digests| {
            writer.list(digests, |writer, (name, digest)| {
                writer.logbook(name);
                writer.raw(digest);
            });
        });
        self.turn.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            version: reader.u16("version")?,
            hub: reader.option("hub", |reader| Ok((HubId(reader.array("hub")?), Epoch(reader.array("epoch")?))))?,
            beacon: reader.option("beacon", SignedBeacon::read)?,
            control_heads: read_heads(reader)?,
            agreed: reader.option("agreed selection", Selection::read)?,
            digests: reader.option("digests", read_digests)?,
            turn: Turn::read(reader)?,
        })
    }
}

fn read_digests(reader: &mut Reader<'_>) -> Result<Vec<(LogbookName, [u8; 8])>, DecodeError> {
    let offset = reader.offset();
    let digests = reader.list("digests", LOGBOOKS_PER_MESSAGE_MAX, |reader| {
        Ok((reader.logbook("logbook")?, reader.array("digest")?))
    })?;
    require_ascending("digests", offset, &digests)?;
    Ok(digests)
}

impl Wire for Vectors {
    fn write(&self, writer: &mut Writer) {
        write_heads(writer, &self.control_heads);
        self.turn.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { control_heads: read_heads(reader)?, turn: Turn::read(reader)? })
    }
}

impl Wire for Ack {
    fn write(&self, writer: &mut Writer) {
        writer.option(self.epoch.as_ref(), |writer, epoch| writer.raw(&epoch.0));
        writer.list(&self.items, |writer, (pack8, commit)| {
            writer.raw(pack8);
            writer.uleb(*commit);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            epoch: reader.option("epoch", |reader| Ok(Epoch(reader.array("epoch")?)))?,
            items: reader.list("acks", ITEMS_PER_MESSAGE_MAX, |reader| {
                Ok((reader.array("pack")?, reader.uleb("commit", u64::MAX)?))
            })?,
        })
    }
}

impl Wire for Refuse {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.pack8);
        writer.u8(self.code.number());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let pack8 = reader.array("pack")?;
        let offset = reader.offset();
        let number = reader.u8("refuse code")?;
        let code = RefuseCode::from_number(number).ok_or_else(|| DecodeError::Unknown {
            field: "refuse code",
            offset,
            have: u64::from(number),
        })?;
        Ok(Self { pack8, code })
    }
}

impl Wire for Blob {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Have { hash, held, size } => {
                writer.u8(1);
                writer.raw(&hash.0);
                writer.uleb(*held);
                writer.uleb(*size);
            }
            Self::Want { hash, from, to } => {
                writer.u8(2);
                writer.raw(&hash.0);
                writer.uleb(*from);
                writer.uleb(*to);
            }
            Self::Bytes { hash, from, bytes } => {
                writer.u8(3);
                writer.raw(&hash.0);
                writer.uleb(*from);
                writer.bytes(bytes);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let step = reader.u8("blob step")?;
        let hash = BlobHash(reader.array("blob")?);
        let first = reader.uleb("blob position", BLOB_BYTES_MAX)?;
        match step {
            1 => Ok(Self::Have { hash, held: first, size: reader.uleb("blob size", BLOB_BYTES_MAX)? }),
            2 => Ok(Self::Want { hash, from: first, to: reader.uleb("blob end", BLOB_BYTES_MAX)? }),
            3 => {
                let bytes = reader.bytes("blob bytes", BLOB_CHUNK_BYTES_MAX)?.to_vec();
                Ok(Self::Bytes { hash, from: first, bytes })
            }
            have => Err(DecodeError::Unknown { field: "blob step", offset, have: u64::from(have) }),
        }
    }
}

impl Wire for Bye {
    fn write(&self, writer: &mut Writer) {
        writer.u8(match self.reason {
            ByeReason::Done => 0,
            ByeReason::Later => 1,
            ByeReason::NotEnrolled => 2,
            ByeReason::Revoked => 3,
        });
        writer.option(self.retry_after_ms.as_ref(), |writer, ms| writer.uleb(u64::from(*ms)));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let reason = match reader.u8("bye reason")? {
            0 => ByeReason::Done,
            1 => ByeReason::Later,
            2 => ByeReason::NotEnrolled,
            3 => ByeReason::Revoked,
            have => return Err(DecodeError::Unknown { field: "bye reason", offset, have: u64::from(have) }),
        };
        let retry_after_ms = reader.option("retry after", |reader| reader.uleb32("retry after"))?;
        Ok(Self { reason, retry_after_ms })
    }
}

impl Message {
    /// The type byte.
    const fn kind(&self) -> u8 {
        match self {
            Self::Hello(_) => 1,
            Self::Welcome(_) => 2,
            Self::Vectors(_) => 3,
            Self::Pack(_) => 4,
            Self::Ack(_) => 5,
            Self::Refuse(_) => 6,
            Self::NeedAncestors(..) => 7,
            Self::Subscribe => 8,
            Self::Push { .. } => 9,
            Self::Blob(_) => 10,
            Self::Bye(_) => 11,
            Self::Control(_) => 12,
            Self::Receipt(_) => 13,
        }
    }

    /// The message's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Welcome(_) => "Welcome",
            Self::Vectors(_) => "Vectors",
            Self::Pack(_) => "Pack",
            Self::Ack(_) => "Ack",
            Self::Refuse(_) => "Refuse",
            Self::NeedAncestors(..) => "NeedAncestors",
            Self::Subscribe => "Subscribe",
            Self::Push { .. } => "Push",
            Self::Blob(_) => "Blob",
            Self::Bye(_) => "Bye",
            Self::Control(_) => "Control",
            Self::Receipt(_) => "Receipt",
        }
    }

    /// The frame: type, length, payload.
    #[must_use]
    pub fn encode_frame(&self) -> Vec<u8> {
        let mut payload = Writer::new();
        match self {
            Self::Hello(hello) => hello.write(&mut payload),
            Self::Welcome(welcome) => welcome.write(&mut payload),
            Self::Vectors(vectors) => vectors.write(&mut payload),
            Self::Pack(pack) => pack.write(&mut payload),
            Self::Ack(ack) => ack.write(&mut payload),
            Self::Refuse(refuse) => refuse.write(&mut payload),
            Self::NeedAncestors(name, locator) => {
                payload.logbook(name);
                locator.write(&mut payload);
            }
            Self::Subscribe => {}
            Self::Push { beacon, follow } => {
                payload.option(beacon.as_ref(), |writer, beacon| beacon.write(writer));
                payload.count(*follow);
            }
            Self::Blob(blob) => blob.write(&mut payload),
            Self::Bye(bye) => bye.write(&mut payload),
            Self::Control(entries) => payload.list(entries, |writer, entry| entry.write(writer)),
            Self::Receipt(receipt) => receipt.write(&mut payload),
        }
        let mut frame = Writer::new();
        frame.u8(self.kind());
        frame.bytes(&payload.finish());
        frame.finish()
    }

    /// Reads a payload of the given type.
    ///
    /// # Errors
    /// [`DecodeError`] for an unknown type or a payload that is not canonical.
    pub fn decode(kind: u8, payload: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(payload);
        let message = Self::read_payload(kind, &mut reader)?;
        reader.finish()?;
        Ok(message)
    }

    fn read_payload(kind: u8, reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(match kind {
            1 => Self::Hello(Hello::read(reader)?),
            2 => Self::Welcome(Box::new(Welcome::read(reader)?)),
            3 => Self::Vectors(Vectors::read(reader)?),
            4 => Self::Pack(Pack::read(reader)?),
            5 => Self::Ack(Ack::read(reader)?),
            6 => Self::Refuse(Refuse::read(reader)?),
            7 => Self::NeedAncestors(reader.logbook("logbook")?, Locator::read(reader)?),
            8 => Self::Subscribe,
            9 => Self::Push {
                beacon: reader.option("beacon", SignedBeacon::read)?,
                follow: reader.count("follow", FOLLOW_MAX)?,
            },
            10 => Self::Blob(Blob::read(reader)?),
            11 => Self::Bye(Bye::read(reader)?),
            12 => Self::Control(reader.list("control entries", CONTROL_ENTRIES_PER_MESSAGE_MAX, SignedEntry::read)?),
            13 => Self::Receipt(SignedReceipt::read(reader)?),
            have => return Err(DecodeError::Unknown { field: "message type", offset: 0, have: u64::from(have) }),
        })
    }
}

/// Cuts frames out of a stream's bytes.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
    start: usize,
    /// Bytes of the message that is incomplete, its header included; 0 while that is not known.
    wanted: usize,
}

impl FrameReader {
    /// Takes bytes as they arrive.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 && self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
        } else if self.start > 64 * 1024 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        // Once the length of a message is known and found bearable, its room is taken as it is and not by doubling.
        let wanted = self.wanted.saturating_sub(self.pending_bytes()).max(bytes.len());
        self.buffer.reserve_exact(wanted);
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if it is there.
    ///
    /// # Errors
    /// [`DecodeError`]: the stream is broken for good. A length over the limit is refused before its bytes are waited for.
    pub fn next_message(&mut self) -> Result<Option<Message>, DecodeError> {
        let rest = self.buffer.get(self.start..).unwrap_or_default();
        let mut reader = Reader::new(rest);
        let header = reader.u8("message type").and_then(|kind| Ok((kind, reader.count("message", MESSAGE_BYTES_MAX)?)));
        let (kind, len) = match header {
            Ok(header) => header,
            Err(DecodeError::Truncated { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if reader.remaining() < len {
            self.wanted = reader.offset().saturating_add(len);
            return Ok(None);
        }
        self.wanted = 0;
        let payload = reader.raw("message", len)?;
        let message = Message::decode(kind, payload)?;
        self.start = self.start.saturating_add(reader.offset());
        Ok(Some(message))
    }

    /// Bytes that wait for the rest of their message.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len().saturating_sub(self.start)
    }
}
