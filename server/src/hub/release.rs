//! What is held, for the administrator; and releasing it.
//!
//! Two kinds are listed: what a quarantine of the control log holds, and content that failed here after a restore and may
//! have been passed by the hub before it (A2). Nobody is told of the second kind; it waits here for the administrator.
//!
//! # Limits
//!
//! [`UNDECIDED_MAX`]; beyond it content failures are published as in any other epoch.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Carrier, Decision, QuarantineScope};
use qianmo_protocol::ids::{ChangeHash, DeviceId, DocId, EntryHash, LogbookId, LogbookName, PackHash, PersonCode};
use qianmo_protocol::session::Shelf as _;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};
use qianmo_replica::replica::HeldChange;

use super::erase::CODE_ERASED_TARGET;
use super::{HubCore, HubError};

/// Most changes that wait for the administrator after a restore.
const UNDECIDED_MAX: usize = 256;
/// The meta key under which they are kept.
const UNDECIDED_KEY: &[u8] = b"hub undecided";
/// Most times that what waited for what waited is released along.
const ROUNDS_MAX: usize = 64;
/// Least hexadecimal digits of an id that is typed.
const ID_DIGITS_MIN: usize = 8;

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldRow {
    /// What to give to `release`: the first 16 digits of the entry, or of the change when there is none.
    pub id: String,
    /// What it is.
    pub what: HeldWhat,
    /// Who wrote it, or may have.
    pub persons: BTreeSet<PersonCode>,
    /// On which device.
    pub device: Option<DeviceId>,
    /// In which logbook.
    pub logbook: Option<LogbookName>,
    /// Of which document.
    pub doc: Option<DocId>,
    /// Why, as a code.
    pub code: u16,
    /// Since when, by the hub's clock.
    pub since: UnixMillis,
}

/// What kind of thing is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldWhat {
    /// A change, for its content.
    Content,
    /// A change, for who wrote it where.
    Carrier,
    /// A whole pack.
    Pack,
    /// The end of a device's log.
    Log,
    /// A change that failed here after a restore; nobody else was told.
    Undecided,
}

impl HeldWhat {
    /// The word in JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Content => "content",
            Self::Carrier => "carrier",
            Self::Pack => "pack",
            Self::Log => "log",
            Self::Undecided => "undecided",
        }
    }
}

/// What is to be released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReleaseOrder {
    /// One, by the beginning of its id.
    Id(String),
    /// Everything of a device.
    Device(DeviceId),
    /// Everything with a code.
    Code(u16),
}

/// What was released.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Released {
    /// The ids.
    pub ids: Vec<String>,
    /// What depended on them and failed for another reason when it was judged then.
    pub held_instead: usize,
}

/// Why nothing was released.
#[derive(Debug, thiserror::Error)]
pub enum ReleaseError {
    /// An id that is too short, or is none.
    #[error("{id:?} is no id: it has at least {ID_DIGITS_MIN} hexadecimal digits")]
    NoId {
        /// What was given.
        id: String,
    },
    /// Nothing is held under it.
    #[error("nothing is held that this names")]
    Nothing,
    /// More than one is.
    #[error("{count} held things have ids that begin with {id}")]
    Ambiguous {
        /// What was given.
        id: String,
        /// How many.
        count: usize,
    },
    /// The store failed.
    #[error("nothing was released")]
    Hub(#[from] HubError),
}

/// A change that waits for the administrator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Undecided {
    logbook: LogbookName,
    pack: PackHash,
    device: DeviceId,
    doc: DocId,
    change: ChangeHash,
    code: u16,
    since: UnixMillis,
}

impl Wire for Undecided {
    fn write(&self, writer: &mut Writer) {
        writer.logbook(&self.logbook);
        writer.raw(&self.pack.0);
        writer.raw(&self.device.0);
        writer.raw(&self.doc.0);
        writer.raw(&self.change.0);
        writer.u16(self.code);
        writer.i64(self.since.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            logbook: reader.logbook("logbook")?,
            pack: PackHash(reader.array("pack")?),
            device: DeviceId(reader.array("device")?),
            doc: DocId(reader.array("document")?),
            change: ChangeHash(reader.array("change")?),
            code: reader.u16("code")?,
            since: UnixMillis(reader.i64("since")?),
        })
    }
}

struct UndecidedList(Vec<Undecided>);

impl Wire for UndecidedList {
    fn write(&self, writer: &mut Writer) {
        writer.list(&self.0, |writer, one| one.write(writer));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        reader.list("undecided changes", UNDECIDED_MAX, Undecided::read).map(Self)
    }
}

fn id_of(bytes: &[u8; 32]) -> String {
    bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn chosen(held: Vec<HeldRow>, order: &ReleaseOrder) -> Result<Vec<HeldRow>, ReleaseError> {
    let chosen: Vec<HeldRow> = match order {
        ReleaseOrder::Id(id) => {
            let typed = id.trim().to_ascii_lowercase();
            if typed.len() < ID_DIGITS_MIN || !typed.chars().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(ReleaseError::NoId { id: id.clone() });
            }
            let chosen: Vec<_> = held.into_iter().filter(|row| row.id.starts_with(&typed)).collect();
            if chosen.len() > 1 {
                return Err(ReleaseError::Ambiguous { id: typed, count: chosen.len() });
            }
            chosen
        }
        ReleaseOrder::Device(device) => held.into_iter().filter(|row| row.device == Some(*device)).collect(),
        ReleaseOrder::Code(code) => held.into_iter().filter(|row| row.code == *code).collect(),
    };
    if chosen.is_empty() { Err(ReleaseError::Nothing) } else { Ok(chosen) }
}

/// What makes one held thing like another: where it came from, what it is of, and why it is held.
fn alike(row: &HeldRow) -> (Option<DeviceId>, Option<DocId>, u16) {
    (row.device, row.doc, row.code)
}

impl HubCore {
    /// Everything that is held, oldest first.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be read.
    pub fn held(&self) -> Result<Vec<HeldRow>, HubError> {
        let mut rows = Vec::new();
        let fold = self.replica.control().fold();
        for (entry, scope, code) in fold.holding() {
            let row = self.held_row(entry, &scope, code)?;
            // What is erased, or waits for that, is held for good.
            let is_erased = code == CODE_ERASED_TARGET
                || row.doc.is_some_and(|doc| fold.is_document_purged(&doc))
                || matches!(&scope, QuarantineScope::Change { change, .. } if fold.is_change_purged(change));
            if !is_erased {
                rows.push(row);
            }
        }
        for undecided in &self.undecided {
            rows.push(HeldRow {
                id: id_of(&undecided.change.0),
                what: HeldWhat::Undecided,
                persons: self.writers(Some((&undecided.doc, &undecided.change)), Some(&undecided.device))?,
                device: Some(undecided.device),
                logbook: Some(undecided.logbook.clone()),
                doc: Some(undecided.doc),
                code: undecided.code,
                since: undecided.since,
            });
        }
        rows.sort_by(|a, b| (a.since, &a.id).cmp(&(b.since, &b.id)));
        Ok(rows)
    }

    fn held_row(&self, entry: EntryHash, scope: &QuarantineScope, code: u16) -> Result<HeldRow, HubError> {
        let mut row = HeldRow {
            id: id_of(&entry.0),
            what: HeldWhat::Content,
            persons: BTreeSet::new(),
            device: None,
            logbook: None,
            doc: None,
            code,
            since: self.replica.control().entry(&entry).map_or(UnixMillis(0), |entry| entry.content().time),
        };
        let mut of_change = None;
        match scope {
            QuarantineScope::Change { change, carrier } => {
                row.doc = self.replica.document_of(change)?;
                row.logbook = row.doc.map(|doc| self.replica.home_of(&doc)).transpose()?.flatten();
                of_change = row.doc.map(|doc| (doc, *change));
                match carrier {
                    Carrier::Content => {
                        let device = row.doc.map(|doc| self.replica.device_of_change(&doc, change));
                        row.device = device.transpose()?.flatten();
                    }
                    Carrier::Pack(pack) => {
                        row.what = HeldWhat::Carrier;
                        row.device = row.logbook.as_ref().and_then(|name| self.device_of_pack(name, pack));
                    }
                }
            }
            QuarantineScope::Pack(pack) => {
                row.what = HeldWhat::Pack;
                let mut names = self.replica.logbooks().into_iter();
                row.logbook = names.find(|name| self.device_of_pack(name, pack).is_some());
                row.device = row.logbook.as_ref().and_then(|name| self.device_of_pack(name, pack));
            }
            QuarantineScope::LogBeyondTips { logbook, log, .. } => {
                row.what = HeldWhat::Log;
                row.logbook = self.logbook_named(logbook);
                row.device = Some(log.device);
            }
        }
        let of_change = of_change.as_ref().map(|(doc, change)| (doc, change));
        row.persons = self.writers(of_change, row.device.as_ref())?;
        Ok(row)
    }

    /// The person that a change names, or else everybody who works on its device.
    fn writers(
        &self,
        change: Option<(&DocId, &ChangeHash)>,
        device: Option<&DeviceId>,
    ) -> Result<BTreeSet<PersonCode>, HubError> {
        if let Some((doc, change)) = change
            && let Some(person) = self.replica.person_named_by(doc, change)?
        {
            return Ok(BTreeSet::from([person]));
        }
        let fold = self.replica.control().fold();
        Ok(device.into_iter().flat_map(|device| fold.persons_of(device)).cloned().collect())
    }

    fn device_of_pack(&self, name: &LogbookName, pack: &PackHash) -> Option<DeviceId> {
        self.replica.pack(name, pack).map(|pack| pack.header.log.device)
    }

    fn logbook_named(&self, id: &LogbookId) -> Option<LogbookName> {
        self.replica.logbooks().into_iter().find(|name| name.id(&self.org) == *id)
    }

    /// Releases what an order names, and judges what waited for it. What waited and fails for the same reason, of the same
    /// device, is released too: whoever lets a record through means its later changes as well.
    ///
    /// # Errors
    /// [`ReleaseError`]; nothing is released then.
    pub fn release(&mut self, now: UnixMillis, order: &ReleaseOrder) -> Result<Released, ReleaseError> {
        let held = self.held()?;
        let before: BTreeSet<String> = held.iter().map(|row| row.id.clone()).collect();
        // What stands beyond a limit was never looked at one by one: ending the limit would let decisions through that
        // nobody had the right to. Its author's tablet packs what is honest anew.
        let single = held.into_iter().filter(|row| !matches!(row.what, HeldWhat::Log | HeldWhat::Pack)).collect();
        let mut chosen = chosen(single, order)?;
        let alike: BTreeSet<_> = chosen.iter().map(alike).collect();
        let mut released = Released::default();
        for _ in 0..ROUNDS_MAX {
            self.release_rows(now, &chosen)?;
            released.ids.extend(chosen.into_iter().map(|row| row.id));
            let left = self.held()?.into_iter().filter(|row| !before.contains(&row.id));
            let (follow, others): (Vec<_>, Vec<_>) = left.partition(|row| alike.contains(&self::alike(row)));
            released.held_instead = others.len();
            chosen = follow;
            if chosen.is_empty() {
                break;
            }
        }
        tracing::info!(count = released.ids.len(), held_instead = released.held_instead, "held changes are released");
        Ok(released)
    }

    fn release_rows(&mut self, now: UnixMillis, chosen: &[HeldRow]) -> Result<(), HubError> {
        let ids: BTreeSet<&str> = chosen.iter().map(|row| row.id.as_str()).collect();
        let fold = self.replica.control().fold();
        let ends: Vec<EntryHash> =
            fold.holding().map(|(entry, ..)| entry).filter(|entry| ids.contains(id_of(&entry.0).as_str())).collect();
        self.decide(now, ends.into_iter().map(|ends| Decision::Release { ends }).collect())?;
        let mine: Vec<Undecided> =
            self.undecided.iter().filter(|one| ids.contains(id_of(&one.change.0).as_str())).cloned().collect();
        for undecided in &mine {
            self.release_undecided(now, undecided)?;
        }
        self.undecided.retain(|one| !mine.contains(one));
        if !mine.is_empty() {
            self.store_undecided()?;
        }
        self.counters.releases += u64::try_from(chosen.len()).unwrap_or(u64::MAX);
        self.judge_what_waits(now)
    }

    /// The quarantine that nobody saw, and its end: so every replica knows that the content counts.
    fn release_undecided(&mut self, now: UnixMillis, undecided: &Undecided) -> Result<(), HubError> {
        let scope = QuarantineScope::Change { change: undecided.change, carrier: Carrier::Content };
        self.published.insert(&scope, undecided.code);
        let held = self.append_decisions(now, vec![Decision::Quarantine { scope, code: undecided.code }])?;
        self.append_decisions(now, held.into_iter().map(|ends| Decision::Release { ends }).collect())?;
        self.replica.sync()?;
        Ok(())
    }

    /// Keeps for the administrator what may not be held without them. What does not fit is answered back, to be published.
    pub(super) fn keep_undecided(
        &mut self,
        now: UnixMillis,
        found: Vec<HeldChange>,
    ) -> Result<Vec<HeldChange>, HubError> {
        let mut too_many = Vec::new();
        let before = self.undecided.len();
        for one in found {
            if self.undecided.iter().any(|known| known.change == one.change) {
                continue;
            }
            if self.undecided.len() >= UNDECIDED_MAX {
                too_many.push(one);
                continue;
            }
            let HeldChange { logbook, pack, device, doc, change, code, part: _ } = one;
            self.undecided.push(Undecided { logbook, pack, device, doc, change, code, since: now });
        }
        let count = self.undecided.len().saturating_sub(before);
        if count > 0 {
            tracing::warn!(count, "content from before the restore fails here; see qianmo-server release");
            self.store_undecided()?;
        }
        Ok(too_many)
    }

    /// The code with which a change waits for the administrator.
    pub(super) fn undecided_code(&self, change: &ChangeHash) -> Option<u16> {
        self.undecided.iter().find(|one| one.change == *change).map(|one| one.code)
    }

    fn store_undecided(&mut self) -> Result<(), HubError> {
        let list = UndecidedList(self.undecided.clone());
        self.replica.put_meta(UNDECIDED_KEY, &list.encode())?;
        self.replica.sync()?;
        Ok(())
    }

    /// Reads what waits for the administrator. What a crash kept here after it was held waits no more.
    pub(super) fn load_undecided(&mut self) -> Result<(), HubError> {
        let stored = self.replica.meta(UNDECIDED_KEY)?;
        let list = stored.and_then(|bytes| UndecidedList::decode(&bytes).ok());
        let fold = self.replica.control().fold();
        let waits = |one: &Undecided| fold.content_quarantine(&one.change).is_none();
        self.undecided = list.map(|list| list.0).unwrap_or_default().into_iter().filter(waits).collect();
        Ok(())
    }

    /// The restore is complete: whatever the administrator has not decided is held from now on, as every hub would hold it.
    /// Tablets take a hub's silence for a word again. It can be released like anything that is held.
    pub(crate) fn complete(&mut self, now: UnixMillis, completion: Decision) -> Result<(), HubError> {
        let mut decisions = vec![completion];
        let left = core::mem::take(&mut self.undecided);
        for undecided in &left {
            let scope = QuarantineScope::Change { change: undecided.change, carrier: Carrier::Content };
            if self.published.insert(&scope, undecided.code) {
                decisions.push(Decision::Quarantine { scope, code: undecided.code });
            }
        }
        self.counters.quarantines += u64::try_from(decisions.len().saturating_sub(1)).unwrap_or(u64::MAX);
        self.decide(now, decisions)?;
        if !left.is_empty() {
            tracing::warn!(count = left.len(), "what was not decided before the restore was complete is held now");
            self.store_undecided()?;
        }
        Ok(())
    }
}
