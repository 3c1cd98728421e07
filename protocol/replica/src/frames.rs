//! What the payloads of the pack log's frames mean.
//!
//! Payloads are written with the protocol's codec; a frame is absorbed into the index by its kind alone, so that the index
//! can be rebuilt from the log at any time.

use qianmo_protocol::ids::{LogbookName, PackHash};
use qianmo_protocol::limits::{ITEMS_PER_MESSAGE_MAX, PACK_ENTRIES_MAX};
use qianmo_protocol::pack::{Entry, Pack, PackError, decode_entries, encode_entries};
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

/// Most bytes of a draft.
pub const DRAFT_BYTES_MAX: usize = 256 * 1024;
/// Most bytes of a meta value.
pub const META_BYTES_MAX: usize = 64 * 1024;

/// A draft's name: random, local to the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DraftId(pub [u8; 8]);

/// `Draft`: unfinished input, or that it is gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftFrame {
    /// Which draft.
    pub id: DraftId,
    /// Its content, opaque here; `None` when it was discarded or has become a record.
    pub content: Option<Vec<u8>>,
}

impl Wire for DraftFrame {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.id.0);
        writer.option(self.content.as_ref(), |writer, content| writer.bytes(content));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let id = DraftId(reader.array("draft")?);
        let content = reader.option("content", |reader| Ok(reader.bytes("content", DRAFT_BYTES_MAX)?.to_vec()))?;
        Ok(Self { id, content })
    }
}

/// `Local`: saved changes that are not in a pack yet, and the draft they come from. One act of a person, one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalFrame {
    /// Their logbook.
    pub logbook: LogbookName,
    /// The draft that became these changes and is gone with this frame.
    pub draft: Option<DraftId>,
    /// The changes.
    pub entries: Vec<Entry>,
}

impl LocalFrame {
    /// The payload.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        writer.logbook(&self.logbook);
        writer.option(self.draft.as_ref(), |writer, draft| writer.raw(&draft.0));
        writer.raw(&encode_entries(&self.entries));
        writer.finish()
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`PackError`] when it is not one.
    pub fn decode(payload: &[u8]) -> Result<Self, PackError> {
        let mut reader = Reader::new(payload);
        let logbook = reader.logbook("logbook")?;
        let draft = reader.option("draft", |reader| Ok(DraftId(reader.array("draft")?)))?;
        let rest = reader.remaining();
        let entries = decode_entries(reader.raw("entries", rest)?)?;
        Ok(Self { logbook, draft, entries })
    }
}

/// Whose pack it is: our own takes the place of the local frames it was sealed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PackOrigin {
    /// Received.
    Foreign,
    /// Sealed here, from local frames with these commit numbers, or from packs that were refused.
    Own {
        /// The local frames that are superseded.
        supersedes: Vec<u64>,
    },
}

/// `Pack`: a pack as it travels, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackFrame {
    /// Whose.
    pub origin: PackOrigin,
    /// The pack.
    pub pack: Pack,
}

impl Wire for PackFrame {
    fn write(&self, writer: &mut Writer) {
        match &self.origin {
            PackOrigin::Foreign => writer.u8(0),
            PackOrigin::Own { supersedes } => {
                writer.u8(1);
                writer.list(supersedes, |writer, commit| writer.uleb(*commit));
            }
        }
        self.pack.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let origin = if reader.flag("origin")? {
            let supersedes =
                reader.list("superseded", ITEMS_PER_MESSAGE_MAX, |reader| reader.uleb("commit", u64::MAX))?;
            PackOrigin::Own { supersedes }
        } else {
            PackOrigin::Foreign
        };
        Ok(Self { origin, pack: Pack::read(reader)? })
    }
}

/// What the gate found in one entry; an entry that passed in both parts is not listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// The entry's place in the pack.
    pub index: u16,
    /// The content's failure, 0 for none.
    pub content: u16,
    /// The carrier's failure, 0 for none.
    pub carrier: u16,
}

/// `Verdict`: the judgement of one pack. A rebuild replays it and never judges again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerdictFrame {
    /// The pack's logbook.
    pub logbook: LogbookName,
    /// The pack.
    pub pack: PackHash,
    /// Entries with something to say about.
    pub findings: Vec<Finding>,
}

impl Wire for VerdictFrame {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        writer.raw(&self.pack.0);
        writer.list(&self.findings, |writer, finding| {
            writer.u16(finding.index);
            writer.u16(finding.content);
            writer.u16(finding.carrier);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let logbook = reader.logbook("logbook")?;
        let pack = PackHash(reader.array("pack")?);
        let findings = reader.list("findings", PACK_ENTRIES_MAX, |reader| {
            Ok(Finding {
                index: reader.u16("index")?,
                content: reader.u16("content code")?,
                carrier: reader.u16("carrier code")?,
            })
        })?;
        Ok(Self { logbook, pack, findings })
    }
}

/// `Meta`: a fact about this store under a key, replacing the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaFrame {
    /// Which fact.
    pub key: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
}

impl Wire for MetaFrame {
    fn write(&self, writer: &mut Writer) {
        writer.bytes(&self.key);
        writer.bytes(&self.value);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let key = reader.bytes("key", 256)?.to_vec();
        Ok(Self { key, value: reader.bytes("value", META_BYTES_MAX)?.to_vec() })
    }
}
