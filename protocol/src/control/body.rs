//! The bytes of a decision.
//!
//! A body is read strictly, but never refused: one that this version cannot read becomes [`Decision::Unknown`] with the
//! same bytes, so that a later version may add a role or a scope without wedging an older reader (A4).

use std::collections::{BTreeMap, BTreeSet};

use crate::control::decision::{
    Carrier, Decision, Enrolment, FormVersion, Grant, HubKeys, Purge, PurgeTarget, QuarantineScope, ReplaceProof,
    Replaces, ReviewMemory, Role, Scope, Tip,
};
use crate::control::{
    ADOPT_ENTRIES_MAX, CUT_TIPS_MAX, ENROL_PERSONS_MAX, EPOCH_PARENTS_MAX, FORK_HEADER_BYTES_MAX, MEMORY_SEEN_MAX,
};
use crate::ids::{ChangeHash, DeviceId, DocId, EntryHash, Epoch, Incarnation, LogId, LogbookId, PackHash};
use crate::limits::{SELECTION_STATIONS_MAX, TIPS_PER_LOG_MAX};
use crate::wire::{DecodeError, Reader, Wire, Writer, require_ascending};

/// A count and the values, ascending.
pub(crate) fn write_set<T>(writer: &mut Writer, values: &BTreeSet<T>, mut write: impl FnMut(&mut Writer, &T)) {
    writer.count(values.len());
    for value in values {
        write(writer, value);
    }
}

/// A count and the values, which must be strictly ascending.
pub(crate) fn read_set<T: Ord>(
    reader: &mut Reader<'_>,
    field: &'static str,
    max: usize,
    read: impl FnMut(&mut Reader<'_>) -> Result<T, DecodeError>,
) -> Result<BTreeSet<T>, DecodeError> {
    let offset = reader.offset();
    let values = reader.list(field, max, read)?;
    require_ascending(field, offset, &values)?;
    Ok(values.into_iter().collect())
}

impl Decision {
    /// The body's bytes.
    #[must_use]
    pub fn encode_body(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        self.write_body(&mut writer);
        writer.finish()
    }

    fn write_body(&self, writer: &mut Writer) {
        match self {
            Self::Hub(keys) => keys.write(writer),
            Self::EpochStart { parents } => {
                writer.count(parents.len());
                for (epoch, commit) in parents {
                    writer.raw(epoch.as_bytes());
                    writer.uleb(*commit);
                }
            }
            Self::Enrol(enrolment) => enrolment.write(writer),
            Self::Confirm { device } => writer.raw(device.as_bytes()),
            Self::AdoptionComplete { epoch } => writer.raw(epoch.as_bytes()),
            Self::Grant(grant) => grant.write(writer),
            Self::Cut { ends: entry, tips } | Self::MoreTips { of: entry, tips } => {
                writer.raw(entry.as_bytes());
                write_set(writer, tips, |writer, tip| tip.write(writer));
            }
            Self::Revoke { device, reason, tips } => {
                writer.raw(device.as_bytes());
                writer.u16(*reason);
                write_set(writer, tips, |writer, tip| tip.write(writer));
            }
            Self::Form(form) => form.write(writer),
            Self::MinimumVersion { version } => writer.u16(*version),
            Self::EndMinimumVersion { ends } | Self::Release { ends } => writer.raw(ends.as_bytes()),
            Self::Purge(purge) => purge.write(writer),
            Self::Quarantine { scope, code } => {
                scope.write(writer);
                writer.u16(*code);
            }
            Self::ForkProof { a, b } => {
                writer.bytes(a);
                writer.bytes(b);
            }
            Self::Adopt { entries } => write_set(writer, entries, |writer, entry| writer.raw(entry.as_bytes())),
            Self::Unknown { body, .. } => writer.raw(body),
        }
    }

    /// Reads a body of a known kind; `None` when this version does not know the kind.
    ///
    /// # Errors
    /// [`DecodeError`] when the bytes are not a canonical body of that kind.
    pub fn decode_body(kind: u16, body: &[u8]) -> Result<Option<Self>, DecodeError> {
        let mut reader = Reader::new(body);
        let Some(decision) = Self::read_body(kind, &mut reader)? else {
            return Ok(None);
        };
        reader.finish()?;
        Ok(Some(decision))
    }

    /// The decision of an entry: [`Decision::Unknown`] when this version cannot read it, or when its critical bit is not
    /// the one this version would write.
    #[must_use]
    pub fn from_body(kind: u16, critical: bool, body: &[u8]) -> Self {
        match Self::decode_body(kind, body) {
            Ok(Some(decision)) if decision.is_critical() == critical => decision,
            Ok(_) | Err(_) => Self::Unknown { kind, critical, body: body.to_vec() },
        }
    }

    fn read_body(kind: u16, reader: &mut Reader<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match kind {
            1 => Self::Hub(HubKeys::read(reader)?),
            2 => Self::EpochStart { parents: read_epoch_parents(reader)? },
            3 => Self::Enrol(Enrolment::read(reader)?),
            4 => Self::Confirm { device: DeviceId(reader.array("device")?) },
            5 => Self::AdoptionComplete { epoch: Epoch(reader.array("epoch")?) },
            6 => Self::Grant(Grant::read(reader)?),
            7 => Self::Cut { ends: read_entry(reader)?, tips: read_tips(reader)? },
            8 => Self::Revoke {
                device: DeviceId(reader.array("device")?),
                reason: reader.u16("reason")?,
                tips: read_tips(reader)?,
            },
            9 => Self::MoreTips { of: read_entry(reader)?, tips: read_tips(reader)? },
            10 => Self::Form(FormVersion::read(reader)?),
            11 => Self::MinimumVersion { version: reader.u16("version")? },
            12 => Self::EndMinimumVersion { ends: read_entry(reader)? },
            13 => Self::Purge(Purge::read(reader)?),
            14 => Self::Quarantine { scope: QuarantineScope::read(reader)?, code: reader.u16("code")? },
            15 => Self::Release { ends: read_entry(reader)? },
            16 => Self::ForkProof {
                a: reader.bytes("header a", FORK_HEADER_BYTES_MAX)?.to_vec(),
                b: reader.bytes("header b", FORK_HEADER_BYTES_MAX)?.to_vec(),
            },
            17 => Self::Adopt { entries: read_set(reader, "entries", ADOPT_ENTRIES_MAX, read_entry)? },
            _ => return Ok(None),
        }))
    }
}

fn read_entry(reader: &mut Reader<'_>) -> Result<EntryHash, DecodeError> {
    Ok(EntryHash(reader.array("entry hash")?))
}

fn read_pack(reader: &mut Reader<'_>) -> Result<PackHash, DecodeError> {
    Ok(PackHash(reader.array("pack hash")?))
}

fn read_tips(reader: &mut Reader<'_>) -> Result<BTreeSet<Tip>, DecodeError> {
    read_set(reader, "tips", CUT_TIPS_MAX, Tip::read)
}

fn read_epoch_parents(reader: &mut Reader<'_>) -> Result<BTreeMap<Epoch, u64>, DecodeError> {
    let offset = reader.offset();
    let pairs = reader.list("epoch parents", EPOCH_PARENTS_MAX, |reader| {
        Ok((Epoch(reader.array("epoch")?), reader.uleb("commit", u64::MAX)?))
    })?;
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        return Err(DecodeError::NotCanonical { field: "epoch parents", offset });
    }
    Ok(pairs.into_iter().collect())
}

fn unknown<T>(field: &'static str, offset: usize, have: u8) -> Result<T, DecodeError> {
    Err(DecodeError::Unknown { field, offset, have: u64::from(have) })
}

impl Wire for HubKeys {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.signing);
        writer.raw(&self.bundle);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { signing: reader.array("signing key")?, bundle: reader.array("bundle key")? })
    }
}

impl Wire for Enrolment {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.key);
        write_set(writer, &self.persons, Writer::code);
        writer.code(&self.station);
        writer.option(self.replaces.as_ref(), |writer, replaces| replaces.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.array("device key")?,
            persons: read_set(reader, "persons", ENROL_PERSONS_MAX, |reader| reader.code("person"))?,
            station: reader.code("station")?,
            replaces: reader.option("replaces", Replaces::read)?,
        })
    }
}

impl Wire for Replaces {
    fn write(&self, writer: &mut Writer) {
        writer.raw(self.device.as_bytes());
        match &self.proof {
            ReplaceProof::Ticket => writer.u8(1),
            ReplaceProof::OldKey { key, signature } => {
                writer.u8(2);
                writer.raw(key);
                writer.raw(signature);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let device = DeviceId(reader.array("replaced device")?);
        let offset = reader.offset();
        let proof = match reader.u8("proof")? {
            1 => ReplaceProof::Ticket,
            2 => {
                ReplaceProof::OldKey { key: reader.array("old key")?, signature: reader.array("old key's signature")? }
            }
            have => return unknown("proof", offset, have),
        };
        Ok(Self { device, proof })
    }
}

impl Wire for Grant {
    fn write(&self, writer: &mut Writer) {
        writer.code(&self.person);
        writer.u8(self.role.number());
        match &self.scope {
            Scope::District => writer.u8(1),
            Scope::Stations(stations) => {
                writer.u8(2);
                write_set(writer, stations, Writer::code);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let person = reader.code("person")?;
        let offset = reader.offset();
        let number = reader.u8("role")?;
        let Some(role) = Role::from_number(number) else {
            return unknown("role", offset, number);
        };
        let offset = reader.offset();
        let scope = match reader.u8("scope")? {
            1 => Scope::District,
            2 => {
                Scope::Stations(read_set(reader, "stations", SELECTION_STATIONS_MAX, |reader| reader.code("station"))?)
            }
            have => return unknown("scope", offset, have),
        };
        Ok(Self { person, role, scope })
    }
}

impl Wire for Tip {
    fn write(&self, writer: &mut Writer) {
        writer.raw(self.logbook.as_bytes());
        write_log(writer, &self.log);
        writer.raw(self.pack.as_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { logbook: LogbookId(reader.array("logbook")?), log: read_log(reader)?, pack: read_pack(reader)? })
    }
}

fn write_log(writer: &mut Writer, log: &LogId) {
    writer.raw(log.device.as_bytes());
    writer.raw(log.incarnation.as_bytes());
}

fn read_log(reader: &mut Reader<'_>) -> Result<LogId, DecodeError> {
    Ok(LogId { device: DeviceId(reader.array("device")?), incarnation: Incarnation(reader.array("incarnation")?) })
}

impl Wire for FormVersion {
    fn write(&self, writer: &mut Writer) {
        writer.code(&self.form);
        writer.uleb(u64::from(self.version));
        writer.raw(&self.hash);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            form: reader.code("form")?,
            version: reader.uleb32("form version")?,
            hash: reader.array("form hash")?,
        })
    }
}

impl Wire for Purge {
    fn write(&self, writer: &mut Writer) {
        match &self.target {
            PurgeTarget::Document { doc, logbook } => {
                writer.u8(1);
                writer.raw(doc.as_bytes());
                writer.raw(logbook.as_bytes());
            }
            PurgeTarget::Hash { change, doc } => {
                writer.u8(2);
                writer.raw(change.as_bytes());
                writer.raw(doc.as_bytes());
            }
        }
        writer.u16(self.reason);
        writer.u8(u8::from(self.is_standing));
        writer.option(self.memory.as_ref(), |writer, memory| {
            writer.raw(memory.record.as_bytes());
            writer.u8(memory.kind);
            write_set(writer, &memory.seen, |writer, doc| writer.raw(doc.as_bytes()));
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let target = match reader.u8("purge target")? {
            1 => PurgeTarget::Document {
                doc: DocId(reader.array("document")?),
                logbook: LogbookId(reader.array("logbook")?),
            },
            2 => {
                PurgeTarget::Hash { change: ChangeHash(reader.array("change")?), doc: DocId(reader.array("document")?) }
            }
            have => return unknown("purge target", offset, have),
        };
        Ok(Self {
            target,
            reason: reader.u16("reason")?,
            is_standing: reader.flag("standing")?,
            memory: reader.option("review memory", |reader| {
                Ok(ReviewMemory {
                    record: DocId(reader.array("record")?),
                    kind: reader.u8("review kind")?,
                    seen: read_set(reader, "seen", MEMORY_SEEN_MAX, |reader| Ok(DocId(reader.array("event")?)))?,
                })
            })?,
        })
    }
}

impl Wire for QuarantineScope {
    fn write(&self, writer: &mut Writer) {
        match self {
            Self::Change { change, carrier: Carrier::Content } => {
                writer.u8(1);
                writer.raw(change.as_bytes());
            }
            Self::Change { change, carrier: Carrier::Pack(pack) } => {
                writer.u8(2);
                writer.raw(change.as_bytes());
                writer.raw(pack.as_bytes());
            }
            Self::Pack(pack) => {
                writer.u8(3);
                writer.raw(pack.as_bytes());
            }
            Self::LogBeyondTips { logbook, log, tips } => {
                writer.u8(4);
                writer.raw(logbook.as_bytes());
                write_log(writer, log);
                write_set(writer, tips, |writer, tip| writer.raw(tip.as_bytes()));
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        Ok(match reader.u8("quarantine scope")? {
            1 => Self::Change { change: ChangeHash(reader.array("change")?), carrier: Carrier::Content },
            2 => {
                Self::Change { change: ChangeHash(reader.array("change")?), carrier: Carrier::Pack(read_pack(reader)?) }
            }
            3 => Self::Pack(read_pack(reader)?),
            4 => Self::LogBeyondTips {
                logbook: LogbookId(reader.array("logbook")?),
                log: read_log(reader)?,
                tips: read_set(reader, "tips", TIPS_PER_LOG_MAX, read_pack)?,
            },
            have => return unknown("quarantine scope", offset, have),
        })
    }
}
