//! Keys and values of the index: one tree, a prefix byte for each kind of row.
//!
//! Everything here follows from the pack log's frames; big-endian numbers keep the order of keys the order of numbers.
//!
//! # Layout
//!
//! ```text
//! b logbook                      LogbookRow      state digest
//! v logbook log seq pack         -               a tip of a log
//! p id pack                      PackRow         where a pack is, its place in its log, whether it is judged
//! n id log seq pack              -               packs at a place of a log
//! w commit                       logbook pack    packs that can be judged
//! a entry commit                 logbook pack    packs that wait for a control entry
//! s pack commit                  logbook pack    packs that wait for a pack that waits
//! u commit                       logbook pack    own packs without a receipt that counts
//! o pack                         logbook pack    own packs
//! r pack                         ReceiptRow      what the hub said about an own pack
//! q pack commit                  pointer         signed receipts that name a pack
//! z pack                         code            packs no hub will take, and those that follow them
//! y pack                         DueRow          own packs whose changes wait to be packed again
//! g change                       doc             own changes that no hub takes: back with their author
//! d doc                          DocRow          a document: logbook, kind, its part of the state digest
//! c doc change                   ChangeRow       a change of a document: where, dependencies, the gate's word
//! j doc change                   -               changes that wait for one they depend on
//! x change pack                  code            the gate's word about a change's carrier
//! F doc change                   -               changes whose content failed here
//! P pack                         -               packs that a hub passed, and of which something failed here
//! h change                       doc             whose change it is
//! e record event                 -               reviews and comments of a record
//! i inverted-time doc            -               records, newest first
//! l commit                       LocalRow        saved changes that are not in a pack
//! f draft                        pointer         drafts
//! k commit                       pointer         control entries
//! m key                          value           facts about this store
//! t                              text            which version of the program built the index
//! ```

use qianmo_protocol::digest::StateDigest;
use qianmo_protocol::ids::{
    ChangeHash, DocId, EntryHash, Epoch, FormCode, HubId, LogId, LogbookId, LogbookName, PackHash, PersonCode,
};
use qianmo_protocol::limits::{CHANGE_DEPS_MAX, PACK_ENTRIES_MAX};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::frames::DraftId;
use crate::pack_log::FramePointer;

fn key(prefix: u8, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = vec![prefix];
    parts.iter().for_each(|part| key.extend_from_slice(part));
    key
}

fn name_bytes(name: &LogbookName) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.logbook(name);
    writer.finish()
}

fn log_bytes(log: &LogId) -> [u8; 16] {
    let mut out = [0; 16];
    out.iter_mut().zip(log.device.0.iter().chain(&log.incarnation.0)).for_each(|(to, from)| *to = *from);
    out
}

/// Prefix of all logbook rows.
pub(crate) const LOGBOOKS: &[u8] = b"b";
/// Prefix of all tips.
pub(crate) const TIPS: &[u8] = b"v";
/// Prefix of all packs that can be judged.
pub(crate) const UNJUDGED: &[u8] = b"w";
/// Prefix of all packs that wait for a control entry.
pub(crate) const WAITING_FOR_ENTRIES: &[u8] = b"a";
/// Prefix of all packs that wait for a pack that waits.
pub(crate) const WAITING_FOR_PACKS: &[u8] = b"s";
/// Prefix of all own packs without a receipt.
pub(crate) const UNRECEIPTED: &[u8] = b"u";
/// Prefix of all own packs.
pub(crate) const OWN_PACKS: &[u8] = b"o";
/// Prefix of all packs that no hub takes.
pub(crate) const REFUSED: &[u8] = b"z";
/// Prefix of all own packs whose changes wait to be packed again.
pub(crate) const DUE: &[u8] = b"y";
/// Prefix of all own changes that no hub takes.
pub(crate) const GIVEN_UP: &[u8] = b"g";
/// Prefix of all records, newest first.
pub(crate) const RECORDS: &[u8] = b"i";
/// Prefix of all local frames.
pub(crate) const LOCALS: &[u8] = b"l";
/// Prefix of all drafts.
pub(crate) const DRAFTS: &[u8] = b"f";
/// Prefix of all control frames.
pub(crate) const CONTROLS: &[u8] = b"k";
/// Prefix of all changes whose content failed here.
pub(crate) const FAILED_HERE: &[u8] = b"F";
/// Prefix of all documents.
pub(crate) const DOCS: &[u8] = b"d";

/// Which segments of the log had been rewritten when the index was built.
pub(crate) const SHAPE: &[u8] = b"!";

pub(crate) fn logbook(name: &LogbookName) -> Vec<u8> {
    key(b'b', &[&name_bytes(name)])
}

pub(crate) fn tip(name: &LogbookName, log: &LogId, seq: u32, pack: &PackHash) -> Vec<u8> {
    key(b'v', &[&name_bytes(name), &log_bytes(log), &seq.to_be_bytes(), &pack.0])
}

pub(crate) fn pack(id: &LogbookId, pack: &PackHash) -> Vec<u8> {
    key(b'p', &[&id.0, &pack.0])
}

pub(crate) fn node(id: &LogbookId, log: &LogId, seq: u32, pack: &PackHash) -> Vec<u8> {
    key(b'n', &[&id.0, &log_bytes(log), &seq.to_be_bytes(), &pack.0])
}

pub(crate) fn nodes_of_log(id: &LogbookId, log: &LogId) -> Vec<u8> {
    key(b'n', &[&id.0, &log_bytes(log)])
}

pub(crate) fn nodes_at(id: &LogbookId, log: &LogId, seq: u32) -> Vec<u8> {
    key(b'n', &[&id.0, &log_bytes(log), &seq.to_be_bytes()])
}

pub(crate) fn unjudged(commit: u64) -> Vec<u8> {
    key(b'w', &[&commit.to_be_bytes()])
}

pub(crate) fn waiting_for_this_entry(entry: &EntryHash) -> Vec<u8> {
    key(b'a', &[&entry.0])
}

pub(crate) fn waiting_for_entry(entry: &EntryHash, commit: u64) -> Vec<u8> {
    key(b'a', &[&entry.0, &commit.to_be_bytes()])
}

pub(crate) fn waiting_for_this_pack(pack: &PackHash) -> Vec<u8> {
    key(b's', &[&pack.0])
}

pub(crate) fn waiting_for_pack(pack: &PackHash, commit: u64) -> Vec<u8> {
    key(b's', &[&pack.0, &commit.to_be_bytes()])
}

pub(crate) fn unreceipted(commit: u64) -> Vec<u8> {
    key(b'u', &[&commit.to_be_bytes()])
}

pub(crate) fn own_pack(pack: &PackHash) -> Vec<u8> {
    key(b'o', &[&pack.0])
}

pub(crate) fn receipt(pack: &PackHash) -> Vec<u8> {
    key(b'r', &[&pack.0])
}

pub(crate) fn receipts_of(pack: &PackHash) -> Vec<u8> {
    key(b'q', &[&pack.0])
}

pub(crate) fn signed_receipt(pack: &PackHash, commit: u64) -> Vec<u8> {
    key(b'q', &[&pack.0, &commit.to_be_bytes()])
}

pub(crate) fn refused(pack: &PackHash) -> Vec<u8> {
    key(b'z', &[&pack.0])
}

pub(crate) fn due(pack: &PackHash) -> Vec<u8> {
    key(b'y', &[&pack.0])
}

pub(crate) fn given_up(change: &ChangeHash) -> Vec<u8> {
    key(b'g', &[&change.0])
}

/// Packs of a logbook whose hashes begin so.
pub(crate) fn packs_like(id: &LogbookId, pack8: &[u8; 8]) -> Vec<u8> {
    key(b'p', &[&id.0, pack8])
}

/// All packs of a logbook.
pub(crate) fn packs_of(id: &LogbookId) -> Vec<u8> {
    key(b'p', &[&id.0])
}

/// All places of a logbook's logs.
pub(crate) fn nodes_of(id: &LogbookId) -> Vec<u8> {
    key(b'n', &[&id.0])
}

pub(crate) fn doc(doc: &DocId) -> Vec<u8> {
    key(b'd', &[&doc.0])
}

pub(crate) fn changes_of(doc: &DocId) -> Vec<u8> {
    key(b'c', &[&doc.0])
}

pub(crate) fn change(doc: &DocId, change: &ChangeHash) -> Vec<u8> {
    key(b'c', &[&doc.0, &change.0])
}

pub(crate) fn carriers_of(change: &ChangeHash) -> Vec<u8> {
    key(b'x', &[&change.0])
}

pub(crate) fn carrier(change: &ChangeHash, pack: &PackHash) -> Vec<u8> {
    key(b'x', &[&change.0, &pack.0])
}

pub(crate) fn failed_here(doc: &DocId, change: &ChangeHash) -> Vec<u8> {
    key(b'F', &[&doc.0, &change.0])
}

pub(crate) fn passed(pack: &PackHash) -> Vec<u8> {
    key(b'P', &[&pack.0])
}

pub(crate) fn doc_of(change: &ChangeHash) -> Vec<u8> {
    key(b'h', &[&change.0])
}

pub(crate) fn reviews_of(record: &DocId) -> Vec<u8> {
    key(b'e', &[&record.0])
}

pub(crate) fn review(record: &DocId, event: &DocId) -> Vec<u8> {
    key(b'e', &[&record.0, &event.0])
}

pub(crate) fn record_by_time(created_at: UnixMillis, doc: &DocId) -> Vec<u8> {
    // Newest first: the order of i64 turned into that of u64, and inverted.
    let ordered = (created_at.0.cast_unsigned()) ^ (1 << 63);
    key(b'i', &[&(!ordered).to_be_bytes(), &doc.0])
}

pub(crate) fn local(commit: u64) -> Vec<u8> {
    key(b'l', &[&commit.to_be_bytes()])
}

pub(crate) fn draft(draft: &DraftId) -> Vec<u8> {
    key(b'f', &[&draft.0])
}

pub(crate) fn control(commit: u64) -> Vec<u8> {
    key(b'k', &[&commit.to_be_bytes()])
}

pub(crate) fn meta(name: &[u8]) -> Vec<u8> {
    key(b'm', &[name])
}

pub(crate) fn built_by() -> Vec<u8> {
    vec![b't']
}

/// The last bytes of a key, as an id of that length.
pub(crate) fn tail<const N: usize>(key: &[u8]) -> Option<[u8; N]> {
    key.len().checked_sub(N).and_then(|at| key.get(at..)).and_then(|tail| tail.try_into().ok())
}

/// Reads a tip's key back.
pub(crate) fn read_tip(key: &[u8]) -> Result<(LogbookName, qianmo_protocol::vector::Tip), DecodeError> {
    let mut reader = Reader::new(key.get(1..).unwrap_or_default());
    let name = reader.logbook("logbook")?;
    let log = LogId {
        device: qianmo_protocol::ids::DeviceId(reader.array("device")?),
        incarnation: qianmo_protocol::ids::Incarnation(reader.array("incarnation")?),
    };
    let seq = u32::from_be_bytes(reader.array("seq")?);
    let head = PackHash(reader.array("pack")?);
    reader.finish()?;
    Ok((name, qianmo_protocol::vector::Tip { log, seq, head }))
}

fn write_pointer(writer: &mut Writer, pointer: &FramePointer) {
    writer.raw(&pointer.encode());
}

fn read_pointer(reader: &mut Reader<'_>) -> Result<FramePointer, DecodeError> {
    let offset = reader.offset();
    let bytes = reader.raw("pointer", FramePointer::BYTES)?;
    FramePointer::decode(bytes).map_err(|_| DecodeError::NotCanonical { field: "pointer", offset })
}

/// A value that names a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PointerRow(pub(crate) FramePointer);

impl Wire for PointerRow {
    fn write(&self, writer: &mut Writer) {
        write_pointer(writer, &self.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        read_pointer(reader).map(Self)
    }
}

/// A logbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LogbookRow {
    pub(crate) state: StateDigest,
}

impl Wire for LogbookRow {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.state.to_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { state: StateDigest::from_bytes(reader.array("state")?) })
    }
}

/// Whether the gate has spoken about a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judged {
    No,
    Yes,
}

/// A pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) pointer: FramePointer,
    pub(crate) log: LogId,
    pub(crate) seq: u32,
    pub(crate) prev: PackHash,
    pub(crate) control: EntryHash,
    pub(crate) judged: Judged,
}

impl Wire for PackRow {
    fn write(&self, writer: &mut Writer) {
        write_pointer(writer, &self.pointer);
        writer.raw(&log_bytes(&self.log));
        writer.uleb(u64::from(self.seq));
        writer.raw(&self.prev.0);
        writer.raw(&self.control.0);
        writer.u8(u8::from(self.judged == Judged::Yes));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            pointer: read_pointer(reader)?,
            log: LogId {
                device: qianmo_protocol::ids::DeviceId(reader.array("device")?),
                incarnation: qianmo_protocol::ids::Incarnation(reader.array("incarnation")?),
            },
            seq: reader.uleb32("seq")?,
            prev: PackHash(reader.array("prev")?),
            control: EntryHash(reader.array("control position")?),
            judged: if reader.flag("judged")? { Judged::Yes } else { Judged::No },
        })
    }
}

/// A pack by its name, in a queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NamedPack {
    pub(crate) logbook: LogbookName,
    pub(crate) pack: PackHash,
}

impl Wire for NamedPack {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        writer.raw(&self.pack.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { logbook: reader.logbook("logbook")?, pack: PackHash(reader.array("pack")?) })
    }
}

/// An own pack whose changes wait to be packed again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DueRow {
    pub(crate) logbook: LogbookName,
    pub(crate) commit: u64,
}

impl Wire for DueRow {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        writer.u64(self.commit);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { logbook: reader.logbook("logbook")?, commit: reader.u64("commit")? })
    }
}

/// What a hub said about an own pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceiptRow {
    pub(crate) hub: HubId,
    pub(crate) epoch: Epoch,
    pub(crate) commit: u64,
}

impl Wire for ReceiptRow {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.hub.0);
        writer.raw(&self.epoch.0);
        writer.u64(self.commit);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            hub: HubId(reader.array("hub")?),
            epoch: Epoch(reader.array("epoch")?),
            commit: reader.u64("commit")?,
        })
    }
}

/// What a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum DocKind {
    /// Its root is not here.
    Unknown,
    /// Its root is here, and this version cannot read it.
    Unreadable(Unreadable),
    /// A filled form.
    Record { form: FormCode, author: PersonCode, created_at: UnixMillis },
    /// A review event or comment about a record.
    Review { record: DocId },
}

/// What a document is whose root this version cannot read, by the one key of it that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A review event or comment.
    Review,
    /// Anything else: most likely a record.
    Record,
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DocRow {
    pub(crate) logbook: LogbookName,
    pub(crate) kind: DocKind,
    /// What it adds to its logbook's state digest now.
    pub(crate) part: StateDigest,
    /// Commit number of the last frame that touched it: the cursor of change feeds.
    pub(crate) touched: u64,
}

impl Wire for DocRow {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        match &self.kind {
            DocKind::Unknown => writer.u8(0),
            DocKind::Unreadable(Unreadable::Record) => writer.u8(3),
            DocKind::Unreadable(Unreadable::Review) => writer.u8(4),
            DocKind::Record { form, author, created_at } => {
                writer.u8(1);
                writer.code(form);
                writer.code(author);
                writer.i64(created_at.0);
            }
            DocKind::Review { record } => {
                writer.u8(2);
                writer.raw(&record.0);
            }
        }
        writer.raw(&self.part.to_bytes());
        writer.u64(self.touched);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let logbook = reader.logbook("logbook")?;
        let offset = reader.offset();
        let kind = match reader.u8("kind")? {
            0 => DocKind::Unknown,
            1 => DocKind::Record {
                form: reader.code("form")?,
                author: reader.code("author")?,
                created_at: UnixMillis(reader.i64("created at")?),
            },
            2 => DocKind::Review { record: DocId(reader.array("record")?) },
            3 => DocKind::Unreadable(Unreadable::Record),
            4 => DocKind::Unreadable(Unreadable::Review),
            have => return Err(DecodeError::Unknown { field: "kind", offset, have: u64::from(have) }),
        };
        let part = StateDigest::from_bytes(reader.array("part")?);
        Ok(Self { logbook, kind, part, touched: reader.u64("touched")? })
    }
}

/// Where a change's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChangePlace {
    /// In a local frame, not sent to anyone yet.
    Local { frame: FramePointer, index: u16 },
    /// In a pack.
    Pack { pack: PackHash, index: u16 },
}

/// What the gate said about a change's content here.
pub(crate) const CONTENT_PASSED: u16 = 0;

/// A change of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChangeRow {
    pub(crate) place: ChangePlace,
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) content: u16,
    pub(crate) is_root: bool,
}

impl Wire for ChangeRow {
    fn write(&self, writer: &mut Writer) {
        match &self.place {
            ChangePlace::Local { frame, index } => {
                writer.u8(0);
                write_pointer(writer, frame);
                writer.u16(*index);
            }
            ChangePlace::Pack { pack, index } => {
                writer.u8(1);
                writer.raw(&pack.0);
                writer.u16(*index);
            }
        }
        writer.list(&self.deps, |writer, dep| writer.raw(&dep.0));
        writer.u16(self.content);
        writer.u8(u8::from(self.is_root));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let place = if reader.flag("place")? {
            ChangePlace::Pack { pack: PackHash(reader.array("pack")?), index: reader.u16("index")? }
        } else {
            ChangePlace::Local { frame: read_pointer(reader)?, index: reader.u16("index")? }
        };
        Ok(Self {
            place,
            deps: reader.list("deps", CHANGE_DEPS_MAX, |reader| Ok(ChangeHash(reader.array("dep")?)))?,
            content: reader.u16("content")?,
            is_root: reader.flag("root")?,
        })
    }
}

/// A local frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalRow {
    pub(crate) pointer: FramePointer,
    pub(crate) logbook: LogbookName,
    pub(crate) docs: Vec<DocId>,
}

impl Wire for LocalRow {
    fn write(&self, writer: &mut Writer) {
        write_pointer(writer, &self.pointer);
        writer.logbook(&self.logbook);
        writer.list(&self.docs, |writer, doc| writer.raw(&doc.0));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            pointer: read_pointer(reader)?,
            logbook: reader.logbook("logbook")?,
            docs: reader.list("docs", PACK_ENTRIES_MAX, |reader| Ok(DocId(reader.array("doc")?)))?,
        })
    }
}
