//! Opening: the log is the truth; the index is caught up with it or built anew.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::control::{ControlLog, SignedEntry};
use qianmo_protocol::ids::{ChangeHash, DeviceId, OrgId, PackHash, digest32};
use qianmo_protocol::wire::{Wire, Writer};

use super::{Book, Identity, Notice, OpenError, Payload, Replica, ReplicaError};
use crate::entry_cache::EntryCache;
use crate::overlay::{Overlay, RowError, decode, malformed};
use crate::pack_log::{FramePointer, OpenReport as LogReport, PackLog, ScanFrom};
use crate::rows;

/// Which program built an index: rows mean what its code read from the frames, and another's may read more (A2).
const BUILT_BY: &str = concat!("rows 2, qianmo ", env!("CARGO_PKG_VERSION"));
/// The shape of a log whose segments are all as they were written.
const NEVER_REWRITTEN: [u8; 0] = [];

/// What opening found.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// What the pack log found.
    pub log: LogReport,
    /// Frames that were absorbed because the index was behind.
    pub absorbed: u64,
    /// Why the index was built anew, if it was.
    pub rebuilt: Option<String>,
    /// Frames whose payload could not be read; they are kept, and an operator should look.
    pub unreadable: Vec<u64>,
}

pub(super) fn open(
    log: PackLog,
    report: LogReport,
    index: Overlay,
    identity: Identity,
) -> Result<(Replica, OpenReport), OpenError> {
    let control = ControlLog::new(&identity.authority);
    let mut replica = Replica {
        org: OrgId::from_authority_key(&identity.authority),
        device: DeviceId::from_key(identity.key.verifying_key().as_bytes()),
        identity,
        log,
        index,
        control,
        books: BTreeMap::new(),
        appended: std::collections::VecDeque::new(),
        cache: EntryCache::default(),
        refused: BTreeSet::new(),
        given_up: BTreeSet::new(),
        notices: Vec::new(),
        touched: BTreeSet::new(),
        visible: Vec::new(),
        control_news: false,
        queue: super::parked::Queue::default(),
        waits: super::judge::Waits::default(),
        shown: super::receipts::Shown::default(),
        upload_only: BTreeSet::new(),
        early_beacon: None,
        failed: std::sync::OnceLock::new(),
    };
    let mut out = OpenReport { log: report, absorbed: 0, rebuilt: None, unreadable: Vec::new() };
    let is_others = replica.is_index_of_another_program().unwrap_or(true);
    let caught_up = if is_others {
        Err("another version of the program built it".to_owned())
    } else {
        replica.catch_up(&mut out).map_err(|error| error.to_string())
    };
    if let Err(reason) = caught_up {
        out.rebuilt = Some(reason);
        replica.rebuild(&mut out)?;
    }
    // What was absorbed now was visible before: it is no news. But a crash may have kept a person from hearing of a copy.
    replica.touched.clear();
    replica.visible.clear();
    replica.notices.retain(|notice| matches!(notice, Notice::Copied { .. }));
    replica.control_news = false;
    Ok((replica, out))
}

impl Replica {
    /// Whether an index that is not empty was built by another version of the program. What it says is read anew from the
    /// frames then: verdicts are replayed, and what the older program could not show is shown.
    fn is_index_of_another_program(&self) -> Result<bool, ReplicaError> {
        let is_empty = self.index.absorbed()?.is_none();
        Ok(!is_empty && self.index.get_raw(&rows::built_by())?.as_deref() != Some(BUILT_BY.as_bytes()))
    }

    /// Loads what the index says, and absorbs the frames it has not seen.
    fn catch_up(&mut self, out: &mut OpenReport) -> Result<(), ReplicaError> {
        let from = match self.index.absorbed()? {
            Some(pointer) => {
                // Of a log that was never rewritten the row may be missing.
                let shape = self.shape();
                if self.index.get_raw(rows::SHAPE)?.unwrap_or_else(|| NEVER_REWRITTEN.to_vec()) != shape {
                    return Err(RowError::Rewritten.into());
                }
                self.load()?;
                self.load_waits()?;
                ScanFrom::After(pointer)
            }
            None => {
                self.index.put_raw(rows::built_by(), BUILT_BY.as_bytes().to_vec());
                self.index.put_raw(rows::SHAPE.to_vec(), self.shape());
                ScanFrom::Start
            }
        };
        self.absorb_from(from, out)
    }

    /// Names the segments that a rewrite has changed or removed. Rows hold places in segments, so an index that was built
    /// over another shape of the log is worth nothing, even if the frame it absorbed last is where it was.
    fn shape(&self) -> Vec<u8> {
        let mut writer = Writer::new();
        let mut next = 1;
        for listing in self.log.segments() {
            let removed = (next..listing.segment).map(|segment| (segment, u64::MAX));
            let rewritten = (listing.generation > 0).then(|| (listing.segment, u64::from(listing.generation)));
            for (segment, fate) in removed.chain(rewritten) {
                writer.u64(u64::from(segment));
                writer.u64(fate);
            }
            next = listing.segment.saturating_add(1);
        }
        match writer.finish() {
            names if names.is_empty() => NEVER_REWRITTEN.to_vec(),
            names => digest32("qianmo index shape v1", &[&names]).to_vec(),
        }
    }

    /// Throws the index away and absorbs the whole log.
    pub(crate) fn rebuild(&mut self, out: &mut OpenReport) -> Result<(), ReplicaError> {
        self.index.clear()?;
        self.index.put_raw(rows::built_by(), BUILT_BY.as_bytes().to_vec());
        self.books.clear();
        self.refused.clear();
        self.given_up.clear();
        self.control = ControlLog::new(&self.identity.authority);
        self.cache = EntryCache::default();
        self.queue = super::parked::Queue::default();
        self.waits = super::judge::Waits::default();
        out.absorbed = 0;
        out.unreadable.clear();
        self.index.put_raw(rows::SHAPE.to_vec(), self.shape());
        self.absorb_from(ScanFrom::Start, out)
    }

    fn load(&mut self) -> Result<(), ReplicaError> {
        for (key, value) in self.index.scan_all(rows::LOGBOOKS)? {
            let name = read_name(&key)?;
            let row: rows::LogbookRow = decode(&key, &value)?;
            self.books.insert(name, Book { state: row.state, ..Book::new() });
        }
        for (key, _) in self.index.scan_all(rows::TIPS)? {
            let (name, tip) = rows::read_tip(&key).map_err(|error| malformed(&key, error))?;
            self.book(&name).tips.insert(tip);
        }
        self.books.values_mut().for_each(Book::tips_changed);
        self.load_queue()?;
        for (key, value) in self.index.scan_all(rows::LOCALS)? {
            let local: rows::LocalRow = decode(&key, &value)?;
            self.book(&local.logbook).unsealed += 1;
        }
        let refused = self.index.scan_all(rows::REFUSED)?;
        self.refused = refused.iter().filter_map(|(key, _)| rows::tail::<32>(key)).map(PackHash).collect();
        let given_up = self.index.scan_all(rows::GIVEN_UP)?;
        self.given_up = given_up.iter().filter_map(|(key, _)| rows::tail::<32>(key)).map(ChangeHash).collect();
        let mut entries = Vec::new();
        for (key, value) in self.index.scan_all(rows::CONTROLS)? {
            let pointer: rows::PointerRow = decode(&key, &value)?;
            let frame = self.log.read(&pointer.0)?;
            let entry = SignedEntry::decode(&frame.payload);
            entries.push(entry.map_err(|error| self.frame_error(pointer.0.commit, error))?);
        }
        for entry in entries {
            self.control.insert(entry)?;
        }
        Ok(())
    }

    fn absorb_from(&mut self, from: ScanFrom, out: &mut OpenReport) -> Result<(), ReplicaError> {
        let mut next = from;
        loop {
            let page = self.read_page(next, out)?;
            let Some(last) = page.last().map(|(pointer, _)| *pointer) else { break };
            for (pointer, payload) in page {
                self.absorb(&pointer, payload)?;
                out.absorbed += 1;
                if self.index.pending_rows() > super::BATCH_ROWS {
                    self.index.commit(&pointer)?;
                }
            }
            self.index.commit(&last)?;
            next = ScanFrom::After(last);
        }
        Ok(())
    }

    /// The next frames, as many as may be in memory at once.
    fn read_page(&self, from: ScanFrom, out: &mut OpenReport) -> Result<Vec<(FramePointer, Payload)>, ReplicaError> {
        const FRAMES_PER_PAGE: usize = 256;
        let mut page = Vec::new();
        for found in self.log.scan_from(from)?.take(FRAMES_PER_PAGE) {
            match found {
                Ok((pointer, frame)) => match Payload::decode(frame.kind, &frame.payload) {
                    Ok(payload) => page.push((pointer, payload)),
                    Err(_) => {
                        out.unreadable.push(pointer.commit.0);
                        page.push((pointer, Payload::Other));
                    }
                },
                // Damage inside the log was set aside and reported by the log itself; what follows is still good.
                Err(crate::pack_log::ScanError::Damaged(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(page)
    }
}

fn read_name(key: &[u8]) -> Result<qianmo_protocol::ids::LogbookName, RowError> {
    let mut reader = qianmo_protocol::wire::Reader::new(key.get(1..).unwrap_or_default());
    reader.logbook("logbook").map_err(|error| malformed(key, error))
}
