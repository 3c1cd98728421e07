//! Packs: what one device wrote since its last pack in one logbook, signed once.
//!
//! A pack is a header, an Ed25519 signature over the header's digest, and a body. The header binds the entries by a root
//! over (root flag, document, change hash, chunk length); the body is a Zstandard frame that nobody signs, so that it can
//! be compressed anew and an erased document's bytes dropped (a [`Entry::Stub`]) while the chain still verifies.
//!
//! # Layout
//!
//! ```text
//! pack   = header | signature 64 | body length, body
//! header = version 1 | logbook | device 8 | incarnation 8 | seq | prev 32 (if seq > 0) | root 32
//!          | entry count | raw length | control position 32 | time 8
//! body   = zstd( entry* )
//! entry  = 0 | doc 16 | length, content              a change
//!          1 | length, content                       a root change; its doc follows from its hash
//!          2 | doc 16 | hash 32 | chunk length       an erased change
//!          3 | doc 16 | hash 32 | chunk length       an erased root change
//!          4 | doc 16 | holes | length, kept         a change; what the holes name is put back
//!          5 | holes | length, kept                  a root change, likewise
//! hole   = kept bytes before it | entries back | 0 change hash, 1 document id
//! ```
//! `content` is the Automerge chunk without magic, checksum, type and length: the receiver derives them.
//!
//! # Invariants
//!
//! 1. A [`VerifiedPack`] exists only after signature, root, counts and every chunk's hash were checked; Automerge is not
//!    called for it (R9).
//! 2. Replacing a full entry by its stub changes neither header nor hash (`stub_in_place_of_an_entry_keeps_the_hash`).
//!
//! # Limits
//!
//! `PACK_RAW_BYTES_MAX`, `PACK_BODY_BYTES_MAX`, `PACK_ENTRIES_MAX`, `CHANGE_BYTES_MAX`; the body is inflated into a buffer
//! of at most `PACK_RAW_BYTES_MAX`.

mod references;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::change::{ChangeError, RawChange};
use crate::ids::{ChangeHash, DeviceId, DocId, EntryHash, Incarnation, LogId, LogbookName, OrgId, PackHash, digest32};
use crate::limits::{CHANGE_BYTES_MAX, PACK_BODY_BYTES_MAX, PACK_ENTRIES_MAX, PACK_RAW_BYTES_MAX};
use crate::pack::references::Names;
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// The header's version byte.
const VERSION: u8 = 1;
/// What a signature covers, before the pack hash.
const SIGNATURE_CONTEXT: &[u8] = b"qianmo pack signature v1\0";

/// What a device signs: the place in its log and what the body must hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackHeader {
    /// The logbook; its id follows from the name.
    pub logbook: LogbookName,
    /// Whose log.
    pub log: LogId,
    /// Place in the log, from 0.
    pub seq: u32,
    /// The pack before; [`PackHash::NONE`] exactly when `seq` is 0.
    pub prev: PackHash,
    /// Digest over the entries.
    pub root: [u8; 32],
    /// Number of entries, 1 to [`PACK_ENTRIES_MAX`].
    pub entries: u16,
    /// Bytes of the body before compression, when no entry is a stub.
    pub raw_bytes: u32,
    /// The control entry that the device had last when it sealed.
    pub control: EntryHash,
    /// The device's clock: advisory.
    pub time: UnixMillis,
}

impl PackHeader {
    /// The pack's name. It binds the organisation too, so a pack is worth nothing in another one.
    #[must_use]
    pub fn hash(&self, org: &OrgId) -> PackHash {
        PackHash(digest32("qianmo pack v1", &[&org.0, &self.encode()]))
    }
}

impl Wire for PackHeader {
    fn write(&self, writer: &mut Writer) {
        writer.u8(VERSION);
        writer.logbook(&self.logbook);
        writer.raw(&self.log.device.0);
        writer.raw(&self.log.incarnation.0);
        writer.uleb(u64::from(self.seq));
        if self.seq > 0 {
            writer.raw(&self.prev.0);
        }
        writer.raw(&self.root);
        writer.uleb(u64::from(self.entries));
        writer.uleb(u64::from(self.raw_bytes));
        writer.raw(&self.control.0);
        writer.i64(self.time.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let version = reader.u8("pack version")?;
        if version != VERSION {
            return Err(DecodeError::Unknown { field: "pack version", offset, have: u64::from(version) });
        }
        let logbook = reader.logbook("logbook")?;
        let log =
            LogId { device: DeviceId(reader.array("device")?), incarnation: Incarnation(reader.array("incarnation")?) };
        let seq = reader.uleb32("seq")?;
        let prev = if seq > 0 { PackHash(reader.array("prev")?) } else { PackHash::NONE };
        let root = reader.array("root")?;
        let offset = reader.offset();
        let entries = reader.count("entries", PACK_ENTRIES_MAX)?;
        let entries = u16::try_from(entries).unwrap_or(u16::MAX);
        if entries == 0 {
            return Err(DecodeError::NotCanonical { field: "entries", offset });
        }
        let offset = reader.offset();
        let raw_bytes = reader.uleb32("raw length")?;
        let (have, max) = (u64::from(raw_bytes), u64::try_from(PACK_RAW_BYTES_MAX).unwrap_or(u64::MAX));
        if have > max {
            return Err(DecodeError::TooLarge { field: "raw length", offset, have, max });
        }
        let control = EntryHash(reader.array("control position")?);
        let time = UnixMillis(reader.i64("time")?);
        Ok(Self { logbook, log, seq, prev, root, entries, raw_bytes, control, time })
    }
}

/// One change in a pack, or what is left of it after an erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A change of a document.
    Full {
        /// The document.
        doc: DocId,
        /// The change.
        change: RawChange,
    },
    /// The first change of a document, whose id follows from its hash.
    Root {
        /// The change.
        change: RawChange,
    },
    /// An erased change: legal only while its purge entry is held (A11).
    Stub {
        /// The document.
        doc: DocId,
        /// The erased change.
        hash: ChangeHash,
        /// Bytes of the erased chunk.
        chunk_bytes: u32,
        /// Whether it was the document's first change.
        kind: StubKind,
    },
}

/// What an erased entry was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StubKind {
    /// A later change.
    Change,
    /// The first change of its document.
    Root,
}

impl Entry {
    /// The document.
    #[must_use]
    pub fn doc(&self) -> DocId {
        match self {
            Self::Full { doc, .. } | Self::Stub { doc, .. } => *doc,
            Self::Root { change } => DocId::from_root(&change.hash()),
        }
    }

    /// The change's hash.
    #[must_use]
    pub fn hash(&self) -> ChangeHash {
        match self {
            Self::Full { change, .. } | Self::Root { change } => change.hash(),
            Self::Stub { hash, .. } => *hash,
        }
    }

    /// The change, unless it was erased.
    #[must_use]
    pub const fn change(&self) -> Option<&RawChange> {
        match self {
            Self::Full { change, .. } | Self::Root { change } => Some(change),
            Self::Stub { .. } => None,
        }
    }

    /// Whether this is, or was, the first change of its document. Never inferred: the leaf binds it.
    #[must_use]
    pub const fn is_root(&self) -> bool {
        match self {
            Self::Root { .. } | Self::Stub { kind: StubKind::Root, .. } => true,
            Self::Full { .. } | Self::Stub { kind: StubKind::Change, .. } => false,
        }
    }

    fn is_flagged_wrongly(&self) -> bool {
        self.change().is_some_and(|change| change.head().is_root() != self.is_root())
    }

    /// The same entry without its bytes.
    #[must_use]
    pub fn to_stub(&self) -> Self {
        let kind = if self.is_root() { StubKind::Root } else { StubKind::Change };
        Self::Stub { doc: self.doc(), hash: self.hash(), chunk_bytes: self.chunk_bytes(), kind }
    }

    fn chunk_bytes(&self) -> u32 {
        match self {
            Self::Full { change, .. } | Self::Root { change } => {
                u32::try_from(change.bytes().len()).unwrap_or(u32::MAX)
            }
            Self::Stub { chunk_bytes, .. } => *chunk_bytes,
        }
    }

    fn write_leaf(&self, leaves: &mut Writer) {
        leaves.u8(u8::from(self.is_root()));
        leaves.raw(&self.doc().0);
        leaves.raw(&self.hash().0);
        leaves.raw(&self.chunk_bytes().to_be_bytes());
    }

    /// Writes the entry, leaving out what earlier entries give.
    fn write_after(&self, writer: &mut Writer, names: &Names) {
        match (self, self.change().and_then(|change| names.leave_out(change.content()))) {
            (Self::Full { doc, .. }, Some(holed)) => {
                writer.u8(4);
                writer.raw(&doc.0);
                holed.write(writer, names);
            }
            (Self::Root { .. }, Some(holed)) => {
                writer.u8(5);
                holed.write(writer, names);
            }
            (_, None) | (Self::Stub { .. }, Some(_)) => self.write(writer),
        }
    }

    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Full { doc, change } => {
                writer.u8(0);
                writer.raw(&doc.0);
                writer.bytes(change.content());
            }
            Self::Root { change } => {
                writer.u8(1);
                writer.bytes(change.content());
            }
            Self::Stub { doc, hash, chunk_bytes, kind } => {
                writer.u8(match kind {
                    StubKind::Change => 2,
                    StubKind::Root => 3,
                });
                writer.raw(&doc.0);
                writer.raw(&hash.0);
                writer.uleb(u64::from(*chunk_bytes));
            }
        }
    }

    fn read(reader: &mut Reader<'_>, names: &Names) -> Result<Self, PackError> {
        let offset = reader.offset();
        let flag = reader.u8("entry flag")?;
        match flag {
            0 => {
                let doc = DocId(reader.array("doc")?);
                Ok(Self::Full { doc, change: read_change(reader)? })
            }
            1 => Ok(Self::Root { change: read_change(reader)? }),
            2 | 3 => {
                let kind = if flag == 2 { StubKind::Change } else { StubKind::Root };
                let doc = DocId(reader.array("doc")?);
                let hash = ChangeHash(reader.array("hash")?);
                Ok(Self::Stub { doc, hash, chunk_bytes: reader.uleb32("chunk length")?, kind })
            }
            4 => {
                let doc = DocId(reader.array("doc")?);
                Ok(Self::Full { doc, change: read_holed(reader, names)? })
            }
            5 => Ok(Self::Root { change: read_holed(reader, names)? }),
            have => Err(DecodeError::Unknown { field: "entry flag", offset, have: u64::from(have) }.into()),
        }
    }
}

fn read_change(reader: &mut Reader<'_>) -> Result<RawChange, PackError> {
    let offset = reader.offset();
    let content = reader.bytes("change", CHANGE_BYTES_MAX)?;
    RawChange::from_content(content).map_err(|source| PackError::Change { offset, source })
}

fn read_holed(reader: &mut Reader<'_>, names: &Names) -> Result<RawChange, PackError> {
    let offset = reader.offset();
    let content = names.read(reader)?;
    RawChange::from_content(&content).map_err(|source| PackError::Change { offset, source })
}

/// The digest that binds the entries of a pack.
#[must_use]
pub fn entries_root(entries: &[Entry]) -> [u8; 32] {
    let mut leaves = Writer::new();
    for entry in entries {
        entry.write_leaf(&mut leaves);
    }
    digest32("qianmo pack root v1", &[&leaves.finish()])
}

/// Entries as they are, one after another. Stores keep unsealed changes in this form, and its length is what limits and
/// headers count; a pack's body may be shorter by what earlier entries give.
#[must_use]
pub fn encode_entries(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new();
    for entry in entries {
        entry.write(&mut writer);
    }
    writer.finish()
}

/// Reads [`encode_entries`] back.
///
/// # Errors
/// [`PackError`] when the bytes are no entries.
pub fn decode_entries(raw: &[u8]) -> Result<Vec<Entry>, PackError> {
    let mut reader = Reader::new(raw);
    let mut entries = Vec::new();
    while reader.remaining() > 0 {
        entries.push(Entry::read(&mut reader, &Names::default())?);
    }
    Ok(entries)
}

/// A pack's body before compression.
fn encode_body(entries: &[Entry]) -> Vec<u8> {
    let mut writer = Writer::new();
    let mut names = Names::default();
    for entry in entries {
        entry.write_after(&mut writer, &names);
        names.push(entry.hash(), entry.doc());
    }
    writer.finish()
}

/// A pack as it travels and is stored: not verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pack {
    /// What was signed.
    pub header: PackHeader,
    /// Ed25519, by the device, over the header's digest.
    pub signature: [u8; 64],
    /// One Zstandard frame.
    pub body: Vec<u8>,
}

impl Wire for Pack {
    fn write(&self, writer: &mut Writer) {
        self.header.write(writer);
        writer.raw(&self.signature);
        writer.bytes(&self.body);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let header = PackHeader::read(reader)?;
        let signature = reader.array("signature")?;
        let body = reader.bytes("body", PACK_BODY_BYTES_MAX)?.to_vec();
        Ok(Self { header, signature, body })
    }
}

/// Why a pack is refused for good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The bytes are not a pack.
    #[error("the pack's bytes are malformed")]
    Decode(#[from] DecodeError),
    /// The body does not inflate within its limit, or names a dictionary.
    #[error("the body of {bytes} bytes does not inflate to at most {max}: {reason}")]
    Inflate {
        /// Bytes of the body.
        bytes: usize,
        /// Limit.
        max: usize,
        /// What Zstandard said.
        reason: String,
    },
    /// An entry is not an Automerge change.
    #[error("the entry at offset {offset} is not a change")]
    Change {
        /// Where in the inflated body.
        offset: usize,
        /// Why.
        #[source]
        source: ChangeError,
    },
    /// A root flag on a change with dependencies, or none on one without.
    #[error("entry {index} is flagged root wrongly")]
    RootFlag {
        /// Which entry.
        index: usize,
    },
    /// The header promises other entries.
    #[error("the header binds {header} entries of {header_bytes} bytes, the body holds {body} of {body_bytes}")]
    Count {
        /// Entries in the header.
        header: u16,
        /// Entries in the body.
        body: usize,
        /// Raw bytes in the header.
        header_bytes: u32,
        /// Raw bytes in the body.
        body_bytes: usize,
    },
    /// The entries do not hash to the header's root.
    #[error("the entries do not hash to the header's root")]
    Root,
    /// The device is not the key's.
    #[error("the key belongs to device {key}, the header names {header}")]
    Device {
        /// Device of the key.
        key: DeviceId,
        /// Device in the header.
        header: DeviceId,
    },
    /// The signature is not the device's over this header.
    #[error("the signature is not the device's")]
    Signature,
}

impl Pack {
    /// The pack's name.
    #[must_use]
    pub fn hash(&self, org: &OrgId) -> PackHash {
        self.header.hash(org)
    }

    /// Checks everything that needs no other knowledge than the author's key.
    ///
    /// # Errors
    /// [`PackError`]: the pack is broken for good, whoever sent it.
    pub fn verify(self, org: &OrgId, key: &[u8; 32]) -> Result<VerifiedPack, PackError> {
        let device = DeviceId::from_key(key);
        if device != self.header.log.device {
            return Err(PackError::Device { key: device, header: self.header.log.device });
        }
        let hash = self.hash(org);
        let key = VerifyingKey::from_bytes(key).map_err(|_| PackError::Signature)?;
        key.verify_strict(&signed_message(&hash), &Signature::from_bytes(&self.signature))
            .map_err(|_| PackError::Signature)?;
        let entries = self.open()?;
        Ok(VerifiedPack { pack: self, hash, entries })
    }

    /// Inflates the body and checks it against the header; the signature is not looked at.
    ///
    /// For packs of our own store, whose frames are checksummed and were verified before they were written.
    ///
    /// # Errors
    /// As [`Pack::verify`], but for the signature.
    pub fn open(&self) -> Result<Vec<Entry>, PackError> {
        let raw = inflate(&self.body)?;
        let mut reader = Reader::new(&raw);
        let mut entries = Vec::with_capacity(usize::from(self.header.entries));
        let mut names = Names::default();
        let mut bytes = 0usize;
        while reader.remaining() > 0 && entries.len() <= usize::from(self.header.entries) {
            let entry = Entry::read(&mut reader, &names)?;
            names.push(entry.hash(), entry.doc());
            bytes += entry_bytes(&entry);
            entries.push(entry);
            if bytes > PACK_RAW_BYTES_MAX {
                break;
            }
        }
        let any_stub = entries.iter().any(|entry| entry.change().is_none());
        let same_bytes = any_stub || u32::try_from(bytes) == Ok(self.header.raw_bytes);
        if entries.len() != usize::from(self.header.entries) || !same_bytes {
            return Err(PackError::Count {
                header: self.header.entries,
                body: entries.len(),
                header_bytes: self.header.raw_bytes,
                body_bytes: bytes,
            });
        }
        if let Some(index) = entries.iter().position(Entry::is_flagged_wrongly) {
            return Err(PackError::RootFlag { index });
        }
        if entries_root(&entries) != self.header.root {
            return Err(PackError::Root);
        }
        Ok(entries)
    }
}

/// Every frame of the format in use begins with this. The library may have been built with the decoders of formats before
/// it, as another package of a program can ask for; what a peer sends never reaches them.
const FRAME_MAGIC: [u8; 4] = 0xFD2F_B528_u32.to_le_bytes();

/// Inflates exactly one frame: a second one, or a skippable one, would be bytes that nobody looks at.
fn inflate(body: &[u8]) -> Result<Vec<u8>, PackError> {
    let refused = |reason: String| PackError::Inflate { bytes: body.len(), max: PACK_RAW_BYTES_MAX, reason };
    if !body.starts_with(&FRAME_MAGIC) {
        return Err(refused("this is no zstd frame".to_owned()));
    }
    match zstd::zstd_safe::find_frame_compressed_size(body) {
        Ok(bytes) if bytes == body.len() => {}
        Ok(bytes) => return Err(refused(format!("the frame ends at {bytes}"))),
        Err(code) => return Err(refused(zstd::zstd_safe::get_error_name(code).to_owned())),
    }
    zstd::bulk::decompress(body, PACK_RAW_BYTES_MAX).map_err(|error| refused(error.to_string()))
}

fn signed_message(hash: &PackHash) -> Vec<u8> {
    [SIGNATURE_CONTEXT, &hash.0].concat()
}

/// A pack whose signature, root and chunk hashes were checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedPack {
    pack: Pack,
    hash: PackHash,
    entries: Vec<Entry>,
}

impl VerifiedPack {
    /// The pack.
    #[must_use]
    pub const fn pack(&self) -> &Pack {
        &self.pack
    }

    /// What was signed.
    #[must_use]
    pub const fn header(&self) -> &PackHeader {
        &self.pack.header
    }

    /// The pack's name.
    #[must_use]
    pub const fn hash(&self) -> PackHash {
        self.hash
    }

    /// What it holds, in the author's order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The pack and its entries.
    #[must_use]
    pub fn into_parts(self) -> (Pack, Vec<Entry>) {
        (self.pack, self.entries)
    }

    /// The same pack with some entries replaced by stubs and the body compressed anew; header, hash and signature stay.
    ///
    /// # Errors
    /// [`SealError::Compress`] when Zstandard fails.
    pub fn erase(&self, level: i32, erased: impl Fn(&Entry) -> bool) -> Result<Self, SealError> {
        let pack = self.pack.without(&self.entries, level, &erased)?;
        let entries = stubbed(&self.entries, erased);
        Ok(Self { pack, hash: self.hash, entries })
    }
}

impl Pack {
    /// This pack, which holds `entries`, with some of them replaced by stubs; header, hash and signature stay.
    ///
    /// # Errors
    /// [`SealError::Compress`] when Zstandard fails.
    pub fn without(&self, entries: &[Entry], level: i32, erased: impl Fn(&Entry) -> bool) -> Result<Self, SealError> {
        let body = compress(&encode_body(&stubbed(entries, erased)), level)?;
        Ok(Self { header: self.header.clone(), signature: self.signature, body })
    }
}

fn stubbed(entries: &[Entry], erased: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    entries.iter().map(|entry| if erased(entry) { entry.to_stub() } else { entry.clone() }).collect()
}

/// Where a new pack stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The logbook.
    pub logbook: LogbookName,
    /// The device's incarnation there.
    pub incarnation: Incarnation,
    /// The device's last pack in this log, if it has one.
    pub after: Option<(u32, PackHash)>,
    /// The newest control entry the device has.
    pub control: EntryHash,
    /// The device's clock.
    pub time: UnixMillis,
}

/// Why changes cannot be sealed into one pack.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No entries, or too many.
    #[error("a pack has 1 to {max} entries, this has {have}")]
    Entries {
        /// Entries given.
        have: usize,
        /// Limit.
        max: usize,
    },
    /// Too many bytes.
    #[error("a pack has at most {max} bytes before compression, this has {have}")]
    Raw {
        /// Bytes given.
        have: usize,
        /// Limit.
        max: usize,
    },
    /// A root flag on a change with dependencies, or none on one without.
    #[error("entry {index} is flagged root wrongly")]
    RootFlag {
        /// Which entry.
        index: usize,
    },
    /// The log is full: its sequence number has reached its end.
    #[error("the log has no sequence number left")]
    Full,
    /// Zstandard failed.
    #[error("the body could not be compressed: {reason}")]
    Compress {
        /// What Zstandard said.
        reason: String,
    },
}

/// Bytes of an entry as [`encode_entries`] writes it, for planning which changes go together.
#[must_use]
pub fn entry_bytes(entry: &Entry) -> usize {
    let length =
        |bytes: usize| bytes + bytes.checked_ilog2().map_or(1, |bits| usize::try_from(bits / 7 + 1).unwrap_or(1));
    match entry {
        Entry::Full { change, .. } => 17 + length(change.content().len()),
        Entry::Root { change } => 1 + length(change.content().len()),
        Entry::Stub { .. } => {
            let mut writer = Writer::new();
            entry.write(&mut writer);
            writer.len()
        }
    }
}

/// Signs entries into the next pack of a device's log.
///
/// `level` is Zstandard's: 3 is quick, 19 is small.
///
/// # Errors
/// [`SealError`] when the entries do not fit into one pack; the writer plans with [`entry_bytes`].
pub fn seal(
    org: &OrgId,
    key: &SigningKey,
    place: Place,
    entries: Vec<Entry>,
    level: i32,
) -> Result<VerifiedPack, SealError> {
    let count = u16::try_from(entries.len()).ok().filter(|count| (1..=PACK_ENTRIES_MAX).contains(&usize::from(*count)));
    let Some(count) = count else {
        return Err(SealError::Entries { have: entries.len(), max: PACK_ENTRIES_MAX });
    };
    if let Some(index) = entries.iter().position(Entry::is_flagged_wrongly) {
        return Err(SealError::RootFlag { index });
    }
    let raw: usize = entries.iter().map(entry_bytes).sum();
    let raw_bytes = u32::try_from(raw).ok().filter(|_| raw <= PACK_RAW_BYTES_MAX);
    let Some(raw_bytes) = raw_bytes else {
        return Err(SealError::Raw { have: raw, max: PACK_RAW_BYTES_MAX });
    };
    let (seq, prev) = match place.after {
        Some((seq, hash)) => (seq.checked_add(1).ok_or(SealError::Full)?, hash),
        None => (0, PackHash::NONE),
    };
    let header = PackHeader {
        logbook: place.logbook,
        log: LogId { device: DeviceId::from_key(key.verifying_key().as_bytes()), incarnation: place.incarnation },
        seq,
        prev,
        root: entries_root(&entries),
        entries: count,
        raw_bytes,
        control: place.control,
        time: place.time,
    };
    let hash = header.hash(org);
    let signature = key.sign(&signed_message(&hash)).to_bytes();
    let body = compress(&encode_body(&entries), level)?;
    Ok(VerifiedPack { pack: Pack { header, signature, body }, hash, entries })
}

fn compress(raw: &[u8], level: i32) -> Result<Vec<u8>, SealError> {
    zstd::bulk::compress(raw, level).map_err(|error| SealError::Compress { reason: error.to_string() })
}
