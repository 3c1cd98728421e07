//! Version vectors: what a replica holds of a logbook, and what two replicas must send each other.
//!
//! A vector is the sorted set of tips of all logs: a log that was forked by a clone or an old image has several. Heads
//! travel as eight bytes; digests are taken over all 32. [`plan`] compares a peer's vector with our own packs and says
//! what to send and where to ask for ancestors; its cost follows what differs, not what exists.
//!
//! # Invariants
//!
//! 1. What a vector names is held together with everything before it (prev-closed).
//! 2. After both sides sent what [`plan`] says, and answered every locator, their vectors are equal
//!    (`prop_exchange_of_plans_makes_vectors_equal`).
//! 3. Without forks only packs that the peer lacks are sent; a fork costs at most as many again.

use std::collections::{BTreeMap, BTreeSet};

use crate::bugs::{Bug, injected};
use crate::ids::{DeviceId, Incarnation, LogId, LogbookId, LogbookName, PackHash, digest32};
use crate::limits::{
    LOCATOR_STEPS_MAX, SELECTION_MONTHS_MAX, SELECTION_STATIONS_MAX, VECTOR_ENTRIES_MAX, VECTORS_PER_MESSAGE_MAX,
};
use crate::time::Month;
use crate::wire::{DecodeError, Reader, Wire, Writer, require_ascending};

/// One tip of one log, with its full head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tip {
    /// Whose log.
    pub log: LogId,
    /// Place of the last pack.
    pub seq: u32,
    /// The last pack.
    pub head: PackHash,
}

/// What a replica holds of one logbook: every tip, sorted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vector(pub BTreeSet<Tip>);

impl Vector {
    /// A digest over the full heads: equal digests mean equal holdings.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut writer = Writer::new();
        for tip in &self.0 {
            writer.raw(&tip.log.device.0);
            writer.raw(&tip.log.incarnation.0);
            writer.u64(u64::from(tip.seq));
            writer.raw(&tip.head.0);
        }
        digest32("qianmo vector v1", &[&writer.finish()])
    }

    /// The form that travels.
    #[must_use]
    pub fn to_wire(&self) -> WireVector {
        let mut tips: Vec<WireTip> =
            self.0.iter().map(|tip| WireTip { log: tip.log, seq: tip.seq, head8: tip.head.head8() }).collect();
        tips.sort_unstable();
        tips.dedup();
        WireVector(tips)
    }
}

/// One tip as it travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireTip {
    /// Whose log.
    pub log: LogId,
    /// Place of the last pack.
    pub seq: u32,
    /// First eight bytes of the last pack's hash.
    pub head8: [u8; 8],
}

/// A vector as it travels: ascending, without doubles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WireVector(pub Vec<WireTip>);

pub(crate) fn write_log(writer: &mut Writer, log: &LogId) {
    writer.raw(&log.device.0);
    writer.raw(&log.incarnation.0);
}

pub(crate) fn read_log(reader: &mut Reader<'_>) -> Result<LogId, DecodeError> {
    Ok(LogId { device: DeviceId(reader.array("device")?), incarnation: Incarnation(reader.array("incarnation")?) })
}

impl Wire for WireVector {
    fn write(&self, writer: &mut Writer) {
        writer.list(&self.0, |writer, tip| {
            write_log(writer, &tip.log);
            writer.uleb(u64::from(tip.seq));
            writer.raw(&tip.head8);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let offset = reader.offset();
        let tips = reader.list("vector", VECTOR_ENTRIES_MAX, |reader| {
            let log = read_log(reader)?;
            Ok(WireTip { log, seq: reader.uleb32("seq")?, head8: reader.array("head")? })
        })?;
        require_ascending("vector", offset, &tips)?;
        Ok(Self(tips))
    }
}

/// Which logbooks a replica wants to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whose logbooks.
    pub stations: Stations,
    /// Months from the first to the last, both included; `None` for directories alone.
    pub months: Option<(Month, Month)>,
    /// Logbooks that were evicted and are not wanted back, ascending.
    pub without: BTreeSet<LogbookName>,
}

/// A set of stations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stations {
    /// Every station of the organisation.
    All,
    /// These.
    These(BTreeSet<crate::ids::StationCode>),
}

impl Stations {
    /// Whether a station is in the set.
    #[must_use]
    pub fn contains(&self, station: &crate::ids::StationCode) -> bool {
        match self {
            Self::All => true,
            Self::These(stations) => stations.contains(station),
        }
    }
}

impl Selection {
    /// Every logbook there is.
    #[must_use]
    pub fn everything() -> Self {
        let months = Month::from_number(0).map(|first| (first, first.plus(i32::from(u16::MAX))));
        Self { stations: Stations::All, months, without: BTreeSet::new() }
    }

    /// Whether a logbook is selected.
    #[must_use]
    pub fn covers(&self, name: &LogbookName) -> bool {
        if self.without.contains(name) {
            return false;
        }
        match name {
            LogbookName::OrgDirectory => true,
            LogbookName::StationDirectory(station) => self.stations.contains(station),
            LogbookName::StationMonth(station, month) => {
                self.stations.contains(station)
                    && self.months.is_some_and(|(first, last)| (first..=last).contains(month))
            }
        }
    }
}

impl Wire for Selection {
    fn write(&self, writer: &mut Writer) {
        match &self.stations {
            Stations::All => writer.u8(0),
            Stations::These(stations) => {
                writer.u8(1);
                writer.count(stations.len());
                stations.iter().for_each(|station| writer.code(station));
            }
        }
        writer.option(self.months.as_ref(), |writer, (first, last)| {
            writer.u16(first.number());
            writer.u16(last.number());
        });
        writer.count(self.without.len());
        self.without.iter().for_each(|name| writer.logbook(name));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let stations = if reader.flag("stations")? {
            let offset = reader.offset();
            let codes = reader.list("stations", SELECTION_STATIONS_MAX, |reader| reader.code("station"))?;
            require_ascending("stations", offset, &codes)?;
            Stations::These(codes.into_iter().collect())
        } else {
            Stations::All
        };
        let offset = reader.offset();
        let months =
            reader.option("months", |reader| Ok((reader.month("first month")?, reader.month("last month")?)))?;
        if months.is_some_and(|(first, last)| first > last) {
            return Err(DecodeError::NotCanonical { field: "months", offset });
        }
        let offset = reader.offset();
        let without = reader.list("evicted logbooks", SELECTION_MONTHS_MAX, |reader| reader.logbook("logbook"))?;
        require_ascending("evicted logbooks", offset, &without)?;
        Ok(Self { stations, months, without: without.into_iter().collect() })
    }
}

/// One digest over the vectors of many logbooks, in the order of their ids; empty logbooks do not count.
#[must_use]
pub fn selection_digest(vectors: &BTreeMap<LogbookId, [u8; 32]>) -> [u8; 32] {
    let mut writer = Writer::new();
    for (id, digest) in vectors {
        writer.raw(&id.0);
        writer.raw(digest);
    }
    digest32("qianmo selection v1", &[&writer.finish()])
}

/// A pack's place in the tree of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackNode {
    /// The pack.
    pub hash: PackHash,
    /// The pack before; [`PackHash::NONE`] for the first.
    pub prev: PackHash,
    /// Place in the log.
    pub seq: u32,
    /// Our commit number: packs travel in this order.
    pub commit: u64,
}

/// What [`plan`] asks of a store about one logbook.
pub trait LogTrees {
    /// Every tip.
    fn tips(&self, logbook: &LogbookName) -> Vec<Tip>;
    /// A pack that is held.
    fn node(&self, logbook: &LogbookName, hash: &PackHash) -> Option<PackNode>;
    /// All packs held at a place of a log: several when the log was forked there.
    fn nodes_at(&self, logbook: &LogbookName, log: &LogId, seq: u32) -> Vec<PackNode>;
}

/// What to do about one logbook after seeing a peer's vector.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Packs the peer lacks, in our commit order.
    pub send: Vec<PackNode>,
    /// Forked logs in which the peer holds a branch that we cannot place: ask with our locator.
    pub ask: Vec<LogId>,
    /// Whether the peer holds something that we lack.
    pub peer_has_more: bool,
}

/// Tips of one log in a peer's vector that are looked for here. An honest peer has [`crate::limits::TIPS_PER_LOG_MAX`], and
/// a few more until a hub has spoken.
const PEER_TIPS_MAX: usize = 64;

/// Compares a peer's vector with our own packs.
pub fn plan(trees: &impl LogTrees, logbook: &LogbookName, peer: &WireVector) -> Plan {
    let mut ours: BTreeMap<LogId, Vec<Tip>> = BTreeMap::new();
    for tip in trees.tips(logbook) {
        ours.entry(tip.log).or_default().push(tip);
    }
    let mut plan = Plan::default();
    for (log, tips) in &ours {
        // Tips of one log stand together.
        let from = peer.0.partition_point(|tip| tip.log < *log);
        let to = peer.0.partition_point(|tip| tip.log <= *log);
        plan_log(trees, logbook, log, tips, peer.0.get(from..to).unwrap_or_default(), &mut plan);
    }
    plan.peer_has_more |= peer.0.iter().any(|tip| !ours.contains_key(&tip.log));
    plan.send.sort_by_key(|node| node.commit);
    plan
}

fn plan_log(
    trees: &impl LogTrees,
    logbook: &LogbookName,
    log: &LogId,
    ours: &[Tip],
    theirs: &[WireTip],
    plan: &mut Plan,
) {
    let our_seq_max = ours.iter().map(|tip| tip.seq).max().unwrap_or(0);
    let mut known = Vec::new();
    let mut forked = false;
    for tip in theirs.iter().take(PEER_TIPS_MAX) {
        let is_it = |node: &PackNode| node.hash.head8() == tip.head8 || injected(Bug::VectorComparesNumbers);
        let held = trees.nodes_at(logbook, log, tip.seq).into_iter().find(is_it);
        match held {
            Some(node) => known.push(node),
            None => {
                plan.peer_has_more = true;
                forked |= tip.seq <= our_seq_max;
            }
        }
    }
    // Of more tips than anybody keeps the rest is taken for unknown, unseen.
    plan.peer_has_more |= theirs.len() > PEER_TIPS_MAX;
    if forked {
        plan.ask.push(*log);
    }
    if known.len() < theirs.len() {
        // The peer stands in this log at a place we cannot see, so we cannot tell what it lacks. Ahead of us, it knows our
        // tips and will send; on another branch, one of us asks with a locator, and what that brings shows the rest.
        return;
    }
    let starts = ours.iter().filter_map(|tip| trees.node(logbook, &tip.head)).collect();
    plan.send.extend(difference(trees, logbook, starts, known));
}

/// Packs reachable from `from` that are not reachable from `without`, by walking both back in step.
fn difference(
    trees: &impl LogTrees,
    logbook: &LogbookName,
    from: Vec<PackNode>,
    without: Vec<PackNode>,
) -> Vec<PackNode> {
    // By descending (seq, hash), so that a pack is met only after all its descendants; the flag says "the peer has it".
    let mut open: BTreeMap<(u32, PackHash), (PackNode, bool)> = BTreeMap::new();
    let put = |open: &mut BTreeMap<(u32, PackHash), (PackNode, bool)>, node: PackNode, peer_has: bool| {
        open.entry((node.seq, node.hash)).and_modify(|(_, has)| *has |= peer_has).or_insert((node, peer_has));
    };
    let mut wanted = 0usize;
    for node in from {
        put(&mut open, node, false);
    }
    for node in without {
        put(&mut open, node, true);
    }
    let mut out = Vec::new();
    wanted += open.values().filter(|(_, peer_has)| !peer_has).count();
    while wanted > 0 {
        let Some((_, (node, peer_has))) = open.pop_last() else { break };
        if !peer_has {
            wanted -= 1;
            if node.seq > 0 || !injected(Bug::ResumeOffByOne) {
                out.push(node);
            }
        }
        if node.seq == 0 {
            continue;
        }
        let Some(before) = trees.node(logbook, &node.prev) else { continue };
        let was_wanted = open.get(&(before.seq, before.hash)).map(|(_, has)| !has);
        put(&mut open, before, peer_has);
        match (was_wanted, peer_has) {
            (None, false) => wanted += 1,
            (Some(true), true) => wanted -= 1,
            (None, true) | (Some(_), false) | (Some(false), true) => {}
        }
    }
    out
}

/// Places of our packs at 0, 1, 2, 4, 8 … back from every tip, and the first: how a peer finds the common pack (A13).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locator {
    /// Which log.
    pub log: LogId,
    /// (seq, head) steps, ascending.
    pub steps: Vec<(u32, [u8; 8])>,
}

impl Wire for Locator {
    fn write(&self, writer: &mut Writer) {
        write_log(writer, &self.log);
        writer.list(&self.steps, |writer, (seq, head8)| {
            writer.uleb(u64::from(*seq));
            writer.raw(head8);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let log = read_log(reader)?;
        let offset = reader.offset();
        let max = LOCATOR_STEPS_MAX * crate::limits::TIPS_PER_LOG_MAX;
        let steps = reader.list("locator", max, |reader| Ok((reader.uleb32("seq")?, reader.array("head")?)))?;
        require_ascending("locator", offset, &steps)?;
        Ok(Self { log, steps })
    }
}

/// Our locator in a log.
pub fn locator(trees: &impl LogTrees, logbook: &LogbookName, log: &LogId) -> Locator {
    let mut steps = BTreeSet::new();
    let tips = trees.tips(logbook).into_iter().filter(|tip| tip.log == *log);
    for tip in tips.take(crate::limits::TIPS_PER_LOG_MAX) {
        let mut node = trees.node(logbook, &tip.head);
        let (mut back, mut next_step) = (0u32, 0u32);
        while let Some(at) = node {
            if back == next_step || at.seq == 0 {
                steps.insert((at.seq, at.hash.head8()));
                next_step = if next_step == 0 { 1 } else { next_step.saturating_mul(2) };
            }
            back = back.saturating_add(1);
            node = if at.seq == 0 { None } else { trees.node(logbook, &at.prev) };
        }
    }
    Locator { log: *log, steps: steps.into_iter().collect() }
}

/// Answers a peer's locator: our packs of that log beyond the newest packs in common, in commit order.
pub fn beyond_locator(trees: &impl LogTrees, logbook: &LogbookName, locator: &Locator) -> Vec<PackNode> {
    let common = locator.steps.iter().filter_map(|(seq, head8)| {
        trees.nodes_at(logbook, &locator.log, *seq).into_iter().find(|node| node.hash.head8() == *head8)
    });
    let tips = trees.tips(logbook).into_iter().filter(|tip| tip.log == locator.log);
    let starts = tips.filter_map(|tip| trees.node(logbook, &tip.head)).collect();
    let mut send = difference(trees, logbook, starts, common.collect());
    send.sort_by_key(|node| node.commit);
    send
}

/// Vectors of several logbooks as they travel, ascending by name.
pub type NamedVectors = Vec<(LogbookName, WireVector)>;

pub(crate) fn write_named_vectors(writer: &mut Writer, vectors: &NamedVectors) {
    writer.list(vectors, |writer, (name, vector)| {
        writer.logbook(name);
        vector.write(writer);
    });
}

pub(crate) fn read_named_vectors(reader: &mut Reader<'_>) -> Result<NamedVectors, DecodeError> {
    let offset = reader.offset();
    let vectors = reader.list("vectors", VECTORS_PER_MESSAGE_MAX, |reader| {
        Ok((reader.logbook("logbook")?, WireVector::read(reader)?))
    })?;
    if !vectors.is_sorted_by(|(a, _), (b, _)| a < b) {
        return Err(DecodeError::NotCanonical { field: "vectors", offset });
    }
    Ok(vectors)
}
