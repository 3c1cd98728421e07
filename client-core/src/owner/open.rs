//! Opening the store: the folder, the index, the identity, and what is counted.

use std::fs;
use std::path::Path;

use qianmo_protocol::control::SignedEntry;
use qianmo_protocol::ids::{Code, DeviceId};
use qianmo_protocol::wire::{Reader, Wire as _, Writer};
use qianmo_replica::disk::{Disk, DiskOpenError, RealDisk};
use qianmo_replica::index::{Index, IndexOpen, IndexOpenError, MemoryIndex, SledIndex};
use qianmo_replica::pack_log::DamagePlace;
use qianmo_replica::replica::{Identity as StoreIdentity, Notice, OpenReport, Replica, ReplicaError, Role};

use super::session::LAST_SUCCESS_KEY;
use super::{COPIED_KEY, Completions, IndexFate, Owner, Setup};
use crate::error::{OpenError, StoreFailure, chain};
use crate::event::Event;
use crate::identity::{Identity, IdentityFolder};
use crate::status::{CopiedNotice, Repair, RepairKind};

/// The authority of a device that belongs to no organisation yet. Nothing can be signed by it.
const NO_AUTHORITY: [u8; 32] = [0; 32];
/// The key such a device would sign with. It has no packs to sign.
const NO_KEY: [u8; 32] = [1; 32];

/// The meta key of the person the app chose.
pub(super) const PERSON_KEY: &[u8] = b"client person";

fn store_failed(error: &dyn std::error::Error) -> OpenError {
    OpenError::Store(StoreFailure::of(error))
}

pub(super) fn open(setup: &Setup, fate: IndexFate) -> Result<Owner, OpenError> {
    let dir = &setup.config.data_dir;
    let disk = RealDisk::open(dir.join("log")).map_err(|error| match error {
        DiskOpenError::Locked { .. } => OpenError::InUse,
        DiskOpenError::Io { .. } => store_failed(&error),
    })?;
    let identity = IdentityFolder::new(dir).load().map_err(|error| OpenError::Identity(StoreFailure::of(&error)))?;
    let index_dir = dir.join("index");
    if fate == IndexFate::Rebuild {
        remove_index(&index_dir);
    }
    let (index, how) = open_index(&index_dir, setup.config.index_cache_bytes, fate)?;
    assemble(setup, Parts { disk: Box::new(disk), index, identity, how })
}

/// What a store is made of, wherever it is kept.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) disk: Box<dyn Disk>,
    pub(crate) index: Box<dyn Index>,
    pub(crate) identity: Option<Identity>,
    pub(crate) how: IndexMade,
}

/// Opens a store on its parts.
pub(crate) fn assemble(setup: &Setup, parts: Parts) -> Result<Owner, OpenError> {
    let Parts { disk, index, identity, how } = parts;
    let who = store_identity(identity.as_ref());
    let opened = Replica::open(disk, index, who, &mut setup.draws.clone());
    let (replica, report) = opened.map_err(|error| store_failed(&error))?;
    let mut repairs: Vec<Repair> = how.repair(&report).into_iter().collect();
    repairs.extend(repairs_of(&report));
    let mut owner = Owner {
        setup: setup.clone(),
        replica,
        identity,
        chosen_person: None,
        actors: std::collections::BTreeMap::new(),
        completions: Completions::default(),
        pending: std::collections::BTreeSet::new(),
        has_local_news: false,
        session: None,
        visible: Vec::new(),
        drafts: std::collections::BTreeSet::new(),
        waiting: std::collections::BTreeSet::new(),
        held: std::collections::BTreeMap::new(),
        counted_in: None,
        repairs,
        house: super::erase::House::new(),
    };
    owner.settle_in().map_err(|error| store_failed(&error))?;
    Ok(owner)
}

fn remove_index(dir: &Path) {
    match fs::remove_dir_all(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // What is left is opened, found not to fit, and thrown away then.
        Err(error) => tracing::warn!(%error, "the index could not be removed"),
    }
}

fn store_identity(identity: Option<&Identity>) -> StoreIdentity {
    match identity {
        Some(identity) => StoreIdentity {
            authority: identity.connection.authority_key,
            key: identity.connection.key.clone(),
            role: Role::Tablet,
        },
        None => StoreIdentity {
            authority: NO_AUTHORITY,
            key: ed25519_dalek::SigningKey::from_bytes(&NO_KEY),
            role: Role::Tablet,
        },
    }
}

/// How the index came to be.
#[derive(Debug)]
pub(crate) enum IndexMade {
    /// As whoever opens the store wanted it: thrown away on purpose, or not a folder's at all.
    AsWanted,
    InItsFolder(IndexOpen),
    /// The folder cannot be used, so it is made in memory, and again at the next start: reading does not depend on a disk
    /// that takes writes.
    InMemory {
        why: IndexOpenError,
    },
}

fn open_index(dir: &Path, cache_bytes: u64, fate: IndexFate) -> Result<(Box<dyn Index>, IndexMade), OpenError> {
    match SledIndex::open(dir, cache_bytes) {
        Ok((index, _)) if fate == IndexFate::Rebuild => Ok((Box::new(index), IndexMade::AsWanted)),
        Ok((index, how)) => Ok((Box::new(index), IndexMade::InItsFolder(how))),
        Err(IndexOpenError::Locked { .. }) => Err(OpenError::InUse),
        Err(why @ (IndexOpenError::Io { .. } | IndexOpenError::Engine { .. })) => {
            Ok((Box::new(MemoryIndex::new()), IndexMade::InMemory { why }))
        }
    }
}

impl IndexMade {
    /// An index that was missing or worthless was made again from the log.
    fn repair(&self, report: &OpenReport) -> Option<Repair> {
        let (kind, detail) = match self {
            Self::AsWanted | Self::InItsFolder(IndexOpen::Opened) => return None,
            Self::InItsFolder(IndexOpen::Created) if report.absorbed == 0 => return None,
            Self::InItsFolder(IndexOpen::Created) => (
                RepairKind::IndexRebuilt,
                format!("the index was missing and was built anew from {} entries; nothing is lost", report.absorbed),
            ),
            Self::InItsFolder(IndexOpen::Rebuilt { reason }) => {
                (RepairKind::IndexRebuilt, format!("the index was built anew, nothing is lost: {reason}"))
            }
            Self::InMemory { why } => {
                let why = chain(why);
                let what = "the index cannot be kept on the disk and is made anew at every start, nothing is lost";
                (RepairKind::IndexInMemory, format!("{what}: {why}"))
            }
        };
        Some(Repair { kind, detail })
    }
}

fn repairs_of(report: &OpenReport) -> Vec<Repair> {
    let mut repairs = Vec::new();
    let mut add = |kind, detail| repairs.push(Repair { kind, detail });
    if let Some(reason) = &report.rebuilt {
        add(RepairKind::IndexRebuilt, format!("the index did not fit the log and was built anew: {reason}"));
    }
    if let Some(cut) = &report.log.tail_cut {
        let detail = format!("{} bytes of an unfinished write were cut from segment {}", cut.bytes, cut.segment);
        add(RepairKind::UnfinishedWrite, detail);
    }
    for damage in &report.log.damage {
        let kind = match damage.place {
            DamagePlace::Settled => RepairKind::Damaged,
            DamagePlace::LastGroup => RepairKind::UnfinishedWrite,
        };
        add(kind, damage.to_string());
    }
    if let Some(why) = &report.log.read_only {
        add(RepairKind::ReadOnly, format!("the store takes no writes: {why}"));
    }
    for commit in &report.unreadable {
        add(RepairKind::Unreadable, format!("frame {commit} cannot be read by this version"));
    }
    repairs
}

/// A copy that has not shown for so long is told of no more: most likely this store came from an image, and nobody else
/// has it.
const COPIED_SHOWN_MS: i64 = 30 * 86_400_000;

impl Owner {
    /// What is known of another copy of this device's store. Frames that a crash kept from being told of are told now.
    fn remembered_copy(&mut self) -> Result<Option<CopiedNotice>, ReplicaError> {
        let notices = self.replica.take_notices();
        let device = self.replica.device();
        let stored = self.replica.meta(COPIED_KEY)?.and_then(|bytes| decode_copied(&bytes));
        let now = (self.setup.clock)().0;
        if let Some((_, known)) = stored.filter(|(of, _)| *of == device) {
            let is_old = now.saturating_sub(known.last_ms) >= COPIED_SHOWN_MS;
            return Ok(Some(known).filter(|_| !is_old));
        }
        let first = notices.into_iter().find_map(|notice| match notice {
            Notice::Copied { logbook, time, .. } => Some((logbook.to_string(), time.0)),
            Notice::Forked { .. } => None,
        });
        let Some((logbook, theirs_ms)) = first else { return Ok(None) };
        let copied = CopiedNotice { at_ms: now, last_ms: now, theirs_ms, logbook };
        self.replica.put_meta(COPIED_KEY, &encode_copied(&copied, &device))?;
        self.replica.sync()?;
        Ok(Some(copied))
    }

    /// What opening leaves to do: the enrolment's control entries, what is remembered, what is counted.
    fn settle_in(&mut self) -> Result<(), ReplicaError> {
        if let Some(identity) = &self.identity {
            let entries = identity.control_entries.iter().filter_map(|bytes| SignedEntry::decode(bytes).ok());
            self.replica.adopt(entries.collect())?;
        }
        // A crash may have come between giving a change up and giving it back.
        drop(self.give_back_refused()?);
        self.replica.sync()?;
        // What was there before is no news.
        drop(self.replica.take_touched());
        drop(self.replica.take_visible());
        let person = self.replica.meta(PERSON_KEY)?;
        self.chosen_person = person.and_then(|bytes| Code::new(core::str::from_utf8(&bytes).ok()?).ok());
        self.drafts = self.replica.drafts()?.into_iter().map(|(id, _)| id.0).collect();
        let erased = self.erased_notice()?;
        let copied = self.remembered_copy()?;
        let last_success = self.replica.meta(LAST_SUCCESS_KEY)?.and_then(|bytes| bytes.try_into().ok());
        self.setup.shared.update(|status| {
            status.copied = copied;
            status.erased = erased;
            status.last_success_ms = last_success.map(i64::from_be_bytes).or(status.last_success_ms);
        });
        self.counted_in = self.replica.newest_beacon().map(|beacon| beacon.epoch);
        self.recount()?;
        self.publish();
        for repair in &self.repairs {
            tracing::warn!(
                kind = repair.kind.code(),
                detail = repair.detail,
                "the store was repaired when it was opened"
            );
        }
        if !self.repairs.is_empty() {
            self.setup.shared.tell(Event::Repaired);
        }
        Ok(())
    }
}

/// The notice is about a device: enrolled anew, the store is another one.
pub(super) fn encode_copied(copied: &CopiedNotice, device: &DeviceId) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.raw(&device.0);
    writer.i64(copied.at_ms);
    writer.i64(copied.last_ms);
    writer.i64(copied.theirs_ms);
    writer.bytes(copied.logbook.as_bytes());
    writer.finish()
}

fn decode_copied(bytes: &[u8]) -> Option<(DeviceId, CopiedNotice)> {
    let mut reader = Reader::new(bytes);
    let device = DeviceId(reader.array("device").ok()?);
    let copied = CopiedNotice {
        at_ms: reader.i64("copied at").ok()?,
        last_ms: reader.i64("copied last").ok()?,
        theirs_ms: reader.i64("copied theirs").ok()?,
        logbook: reader.text("logbook", 64).ok()?.to_owned(),
    };
    Some((device, copied))
}
