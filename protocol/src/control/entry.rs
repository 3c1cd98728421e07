//! One entry of the control log, and its name.

use std::collections::BTreeSet;

use crate::control::{Decision, Signable, Signed, read_set, write_set};
use crate::ids::{EntryHash, Epoch, HubId, OrgId, digest32};
use crate::limits::{CONTROL_BODY_BYTES_MAX, CONTROL_PARENTS_MAX};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// Who signs an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signer {
    /// The organisation's authority, whose key gives the organisation its id.
    Authority,
    /// A hub that the authority named.
    Hub(HubId),
}

/// One decision and its place in the graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Who signs it.
    pub signer: Signer,
    /// The epoch of the hub that wrote it.
    pub epoch: Epoch,
    /// Its number in that epoch. Two entries of a cloned hub may share one.
    pub number: u64,
    /// Every head the hub knew.
    pub parents: BTreeSet<EntryHash>,
    /// The hub's clock; advisory, it decides nothing.
    pub time: UnixMillis,
    /// What was decided.
    pub decision: Decision,
}

/// An entry with its signature.
pub type SignedEntry = Signed<Entry>;

impl Signable for Entry {
    const DOMAIN: &'static str = "qianmo control v1";
}

impl Entry {
    /// The entry's name: a digest of everything but the signature.
    #[must_use]
    pub fn hash(&self, org: &OrgId) -> EntryHash {
        EntryHash(digest32("qianmo control entry v1", &[org.as_bytes(), &self.encode()]))
    }
}

impl Wire for Signer {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Authority => writer.u8(1),
            Self::Hub(hub) => {
                writer.u8(2);
                writer.raw(hub.as_bytes());
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        match reader.u8("signer")? {
            1 => Ok(Self::Authority),
            2 => Ok(Self::Hub(HubId(reader.array("signing hub")?))),
            have => Err(DecodeError::Unknown { field: "signer", offset, have: u64::from(have) }),
        }
    }
}

impl Wire for Entry {
    fn write(&self, writer: &mut Writer) {
        self.signer.write(writer);
        writer.raw(self.epoch.as_bytes());
        writer.uleb(self.number);
        write_set(writer, &self.parents, |writer, parent| writer.raw(parent.as_bytes()));
        writer.i64(self.time.0);
        writer.u16(self.decision.kind());
        writer.u8(u8::from(self.decision.is_critical()));
        writer.bytes(&self.decision.encode_body());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let signer = Signer::read(reader)?;
        let epoch = Epoch(reader.array("epoch")?);
        let number = reader.uleb("number", u64::MAX)?;
        let parents =
            read_set(reader, "parents", CONTROL_PARENTS_MAX, |reader| Ok(EntryHash(reader.array("parent")?)))?;
        let time = UnixMillis(reader.i64("time")?);
        let kind = reader.u16("kind")?;
        let is_critical = reader.flag("critical")?;
        let body = reader.bytes("body", CONTROL_BODY_BYTES_MAX)?;
        Ok(Self { signer, epoch, number, parents, time, decision: Decision::from_body(kind, is_critical, body) })
    }
}
