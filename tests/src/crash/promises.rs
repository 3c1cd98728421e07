//! What was promised: every value a store was asked to keep, and what it said of it.
//!
//! A store under test says each deed before it begins it and again when it is confirmed. From these lines follows what must
//! be found after any crash: nothing confirmed is missing or older, nothing is there that nobody wrote, and nothing twice.
//! What was begun and not confirmed may be there or not; once it was found, it is confirmed.
//!
//! # Values
//!
//! A record is known by its marker (`t1m12`). Its `content` is version 0 of the marker's text, its `advice` the version that
//! stands. A text names marker and version and is a function of both, so that a checker compares all of it.

use std::collections::BTreeMap;
use std::fmt;

use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

use crate::workload;

/// The version of a record's text that is in a `content` field.
const FIRST: u32 = 0;
/// Bytes of a text that is written to fill the log: near the largest draft.
const HEAVY_BYTES: usize = 200_000;

/// The text of a version. Markers with `h` after the store's name are heavy: most of a draft's largest size.
#[must_use]
pub fn text(marker: &str, version: u32) -> String {
    let seed = marker.bytes().fold(u64::from(version) + 1, |sum, byte| {
        sum.wrapping_mul(0x0100_0000_01b3).wrapping_add(u64::from(byte)).rotate_left(7)
    });
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let prose = workload::prose(&mut rng, 3);
    let mut text = format!("{marker}#{version} {prose}");
    if marker.contains('h') {
        text.push_str(&prose.repeat(HEAVY_BYTES / prose.len()));
    }
    text
}

/// The version a text says it is, if it is that version whole.
#[must_use]
pub fn version_of(found: &str) -> Option<(String, u32)> {
    let (marker, rest) = found.split_once('#')?;
    let version: u32 = rest.split_once(' ')?.0.parse().ok()?;
    (text(marker, version) == found).then(|| (marker.to_owned(), version))
}

/// Whose marker it is: the letters and digits before the number of the record.
fn owner(marker: &str) -> &str {
    marker.find(['m', 'd', 'h']).map_or(marker, |end| &marker[..end])
}

/// Something a store is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    /// File a record.
    New(String),
    /// File several records of a ledger: the marker of the first and how many.
    Import(String, u32),
    /// Write a version of a record.
    Edit(String, u32),
    /// Keep a version of a draft.
    Draft(String, u32),
    /// Forget a draft.
    Discard(String),
    /// File a record that comes from a draft: draft, record.
    File(String, String),
    /// Let go of what this store holds of the month.
    Evict,
    /// Become a device of the organisation.
    Enrol,
    /// The hub erases a record for good.
    Purge(String),
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(marker) => write!(f, "new {marker}"),
            Self::Import(first, count) => write!(f, "import {first} {count}"),
            Self::Edit(marker, version) => write!(f, "edit {marker} {version}"),
            Self::Draft(marker, version) => write!(f, "draft {marker} {version}"),
            Self::Discard(marker) => write!(f, "discard {marker}"),
            Self::File(draft, marker) => write!(f, "file {draft} {marker}"),
            Self::Evict => f.write_str("evict"),
            Self::Enrol => f.write_str("enrol"),
            Self::Purge(marker) => write!(f, "purge {marker}"),
        }
    }
}

impl Deed {
    fn parse(words: &[&str]) -> Option<Self> {
        Some(match *words {
            ["new", marker] => Self::New(marker.to_owned()),
            ["import", first, count] => Self::Import(first.to_owned(), count.parse().ok()?),
            ["edit", marker, version] => Self::Edit(marker.to_owned(), version.parse().ok()?),
            ["draft", marker, version] => Self::Draft(marker.to_owned(), version.parse().ok()?),
            ["discard", marker] => Self::Discard(marker.to_owned()),
            ["file", draft, marker] => Self::File(draft.to_owned(), marker.to_owned()),
            ["evict"] => Self::Evict,
            ["enrol"] => Self::Enrol,
            ["purge", marker] => Self::Purge(marker.to_owned()),
            _ => return None,
        })
    }
}

/// The markers of an import.
pub fn imported(first: &str, count: u32) -> impl Iterator<Item = String> {
    let (name, number) = split(first);
    (number..number.saturating_add(count)).map(move |number| format!("{name}{number}"))
}

/// A marker's letters and its number.
#[must_use]
pub fn split(marker: &str) -> (String, u32) {
    let end = marker.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    (marker[..end].to_owned(), marker[end..].parse().unwrap_or_default())
}

/// A line a store under test says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// It begins this.
    Try(Deed),
    /// This is done and durable.
    Did(Deed),
    /// The hub has this version of a record, says the tablet.
    Acknowledged(String, u32),
    /// Anything else: that it opens, what it repaired, what failed.
    Note(String),
}

impl Line {
    /// Reads a line: the store's name, then what it says.
    #[must_use]
    pub fn parse(line: &str) -> Option<(String, Self)> {
        let (store, rest) = line.trim_end().split_once(' ')?;
        let words: Vec<&str> = rest.split(' ').collect();
        let said = match words.as_slice() {
            ["try", deed @ ..] => Self::Try(Deed::parse(deed)?),
            ["did", deed @ ..] => Self::Did(Deed::parse(deed)?),
            ["acknowledged", marker, version] => Self::Acknowledged((*marker).to_owned(), version.parse().ok()?),
            _ => Self::Note(rest.to_owned()),
        };
        Some((store.to_owned(), said))
    }
}

#[derive(Debug, Clone, Default)]
struct Record {
    /// The highest version that was begun.
    tried: u32,
    /// The highest version that was confirmed, and when.
    confirmed: Option<u32>,
    confirmed_at: u64,
    /// The highest version of which the tablet was told that the hub has it.
    acknowledged: Option<u32>,
    erasure: Fate,
}

#[derive(Debug, Clone, Default)]
struct Draft {
    tried: u32,
    confirmed: Option<u32>,
    removal: Fate,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Fate {
    #[default]
    Stays,
    /// Its removal was begun.
    MayGo,
    /// Its removal was confirmed.
    Gone,
}

/// What is found in a store: text of `content`, text of `advice`.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// Records.
    pub records: Vec<(String, String)>,
    /// Drafts.
    pub drafts: Vec<String>,
    /// Whether the device is enrolled; a hub is.
    pub is_enrolled: bool,
}

/// What must hold.
#[derive(Debug, Clone, Default)]
pub struct Promises {
    records: BTreeMap<String, Record>,
    drafts: BTreeMap<String, Draft>,
    /// When each store first began to evict.
    evictions: BTreeMap<String, u64>,
    enrolled: BTreeMap<String, Fate>,
    clock: u64,
    kept: u64,
}

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Confirmed, and missing or older than confirmed.
    pub lost: Vec<String>,
    /// There, though nobody wrote it, or twice.
    pub invented: Vec<String>,
}

impl Broken {
    /// Whether everything holds.
    #[must_use]
    pub fn is_none(&self) -> bool {
        self.lost.is_empty() && self.invented.is_empty()
    }
}

impl Promises {
    /// How many deeds were confirmed, and versions acknowledged.
    #[must_use]
    pub const fn kept(&self) -> u64 {
        self.kept
    }

    /// Takes in what a store said.
    pub fn hear(&mut self, store: &str, line: &Line) {
        self.clock += 1;
        match line {
            Line::Try(deed) => self.tried(store, deed),
            Line::Did(deed) => {
                self.kept += 1;
                self.did(store, deed);
            }
            Line::Acknowledged(marker, version) => {
                self.kept += 1;
                let record = self.records.entry(marker.clone()).or_default();
                record.acknowledged = record.acknowledged.max(Some(*version));
            }
            Line::Note(_) => {}
        }
    }

    fn tried(&mut self, store: &str, deed: &Deed) {
        match deed {
            Deed::New(marker) => drop(self.records.entry(marker.clone()).or_default()),
            Deed::Import(first, count) => {
                for marker in imported(first, *count) {
                    self.records.entry(marker).or_default();
                }
            }
            Deed::Edit(marker, version) => {
                let record = self.records.entry(marker.clone()).or_default();
                record.tried = record.tried.max(*version);
            }
            Deed::Draft(marker, version) => {
                let draft = self.drafts.entry(marker.clone()).or_default();
                draft.tried = draft.tried.max(*version);
            }
            Deed::Discard(draft) => self.drafts.entry(draft.clone()).or_default().removal = Fate::MayGo,
            Deed::File(draft, marker) => {
                self.drafts.entry(draft.clone()).or_default().removal = Fate::MayGo;
                self.records.entry(marker.clone()).or_default();
            }
            Deed::Evict => {
                // From now on anything written before may be elsewhere only.
                self.evictions.insert(store.to_owned(), self.clock);
            }
            Deed::Enrol => drop(self.enrolled.entry(store.to_owned()).or_insert(Fate::MayGo)),
            Deed::Purge(marker) => self.records.entry(marker.clone()).or_default().erasure = Fate::MayGo,
        }
    }

    fn did(&mut self, store: &str, deed: &Deed) {
        match deed {
            Deed::New(marker) => self.confirm(marker, FIRST),
            Deed::Import(first, count) => imported(first, *count).for_each(|marker| self.confirm(&marker, FIRST)),
            Deed::Edit(marker, version) => self.confirm(marker, *version),
            Deed::Draft(marker, version) => {
                let draft = self.drafts.entry(marker.clone()).or_default();
                draft.confirmed = draft.confirmed.max(Some(*version));
            }
            Deed::Discard(draft) => self.drafts.entry(draft.clone()).or_default().removal = Fate::Gone,
            Deed::File(draft, marker) => {
                self.drafts.entry(draft.clone()).or_default().removal = Fate::Gone;
                self.confirm(marker, FIRST);
            }
            Deed::Evict => {}
            Deed::Enrol => drop(self.enrolled.insert(store.to_owned(), Fate::Stays)),
            Deed::Purge(marker) => self.records.entry(marker.clone()).or_default().erasure = Fate::Gone,
        }
    }

    fn confirm(&mut self, marker: &str, version: u32) {
        let clock = self.clock;
        let record = self.records.entry(marker.to_owned()).or_default();
        record.confirmed = record.confirmed.max(Some(version));
        record.confirmed_at = clock;
    }

    /// What a tablet's store breaks. What it shows beyond its promises is promised from now on.
    pub fn check_tablet(&mut self, store: &str, found: &Found) -> Broken {
        let (shown, mut broken) = self.shown(found);
        for (marker, record) in self.records.iter().filter(|(marker, _)| owner(marker) == store) {
            let Some(confirmed) = record.confirmed.filter(|_| record.erasure == Fate::Stays) else { continue };
            if self.evictions.get(store).is_some_and(|since| record.confirmed_at <= *since) {
                continue;
            }
            match shown.get(marker) {
                Some(version) if *version >= confirmed => {}
                other => broken.lost.push(format!("{store}: {marker} was saved as {confirmed} and is {other:?}")),
            }
        }
        self.check_drafts(store, found, &mut broken);
        if self.enrolled.get(store) == Some(&Fate::Stays) && !found.is_enrolled {
            broken.lost.push(format!("{store}: was enrolled and is not"));
        }
        if broken.is_none() {
            for (marker, version) in shown.into_iter().filter(|(marker, _)| owner(marker) == store) {
                let clock = self.clock;
                let record = self.records.entry(marker).or_default();
                if record.confirmed < Some(version) {
                    record.confirmed = Some(version);
                    record.confirmed_at = clock;
                }
            }
        }
        broken
    }

    fn check_drafts(&mut self, store: &str, found: &Found, broken: &mut Broken) {
        let mut shown = BTreeMap::new();
        for text in &found.drafts {
            match version_of(text) {
                Some((marker, version)) if self.drafts.get(&marker).is_some_and(|draft| version <= draft.tried) => {
                    if shown.insert(marker.clone(), version).is_some() {
                        broken.invented.push(format!("{store}: draft {marker} is there twice"));
                    }
                }
                other => broken.invented.push(format!("{store}: a draft that reads {other:?}")),
            }
        }
        for (marker, draft) in self.drafts.iter_mut().filter(|(marker, _)| owner(marker) == store) {
            let version = shown.get(marker).copied();
            match draft.removal {
                Fate::Stays if version < draft.confirmed => {
                    let confirmed = draft.confirmed;
                    broken.lost.push(format!("{store}: draft {marker} was kept as {confirmed:?} and is {version:?}"));
                }
                Fate::Gone if version.is_some() => {
                    broken.invented.push(format!("{store}: draft {marker} was discarded and is back"));
                }
                Fate::MayGo if version.is_some_and(|version| Some(version) < draft.confirmed) => {
                    broken.lost.push(format!("{store}: draft {marker} is older than it was"));
                }
                Fate::Stays | Fate::Gone | Fate::MayGo => draft.confirmed = draft.confirmed.max(version),
            }
            if draft.removal == Fate::MayGo && version.is_none() {
                draft.removal = Fate::Gone;
            }
        }
    }

    /// What a hub's store breaks.
    #[must_use]
    pub fn check_hub(&self, found: &Found) -> Broken {
        let (shown, mut broken) = self.shown(found);
        for (marker, record) in &self.records {
            match (record.acknowledged, shown.get(marker), record.erasure) {
                (_, Some(_), Fate::Gone) => broken.invented.push(format!("hub: {marker} was erased and is back")),
                (Some(_), _, Fate::MayGo | Fate::Gone) | (None, _, _) => {}
                (Some(acknowledged), Some(version), Fate::Stays) if *version >= acknowledged => {}
                (Some(acknowledged), other, Fate::Stays) => {
                    broken.lost.push(format!("hub: {marker} was acknowledged as {acknowledged} and is {other:?}"));
                }
            }
        }
        broken
    }

    /// Versions of the records that are there, and those that must not be.
    fn shown(&self, found: &Found) -> (BTreeMap<String, u32>, Broken) {
        let mut broken = Broken { lost: Vec::new(), invented: Vec::new() };
        let mut shown = BTreeMap::new();
        for (content, advice) in &found.records {
            let (Some((marker, FIRST)), Some((named, version))) = (version_of(content), version_of(advice)) else {
                let start = |text: &str| text.chars().take(40).collect::<String>();
                broken.invented.push(format!("a record that reads {:?} / {:?}", start(content), start(advice)));
                continue;
            };
            let is_known = self.records.get(&marker).is_some_and(|record| version <= record.tried);
            if marker != named || !is_known {
                broken.invented.push(format!("{marker}: nobody wrote version {version} of {named}"));
            }
            if shown.insert(marker.clone(), version).is_some() {
                broken.invented.push(format!("{marker} is there twice"));
            }
        }
        (shown, broken)
    }

    /// A record that the hub has acknowledged and nobody has erased, if there is one: what may be erased next.
    #[must_use]
    pub fn erasable(&self, pick: usize) -> Option<String> {
        let all: Vec<&String> = self
            .records
            .iter()
            .filter(|(_, record)| record.acknowledged.is_some() && record.erasure == Fate::Stays)
            .map(|(marker, _)| marker)
            .collect();
        all.get(pick % all.len().max(1)).map(|marker| (*marker).clone())
    }

    /// Forgets a store that is not looked at any more. What the hub has of it stays promised.
    pub fn retire(&mut self, store: &str) {
        self.drafts.retain(|marker, _| owner(marker) != store);
        self.enrolled.remove(store);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(marker: &str, version: u32) -> (String, String) {
        (text(marker, 0), text(marker, version))
    }

    fn promises(lines: &[&str]) -> Promises {
        let mut promises = Promises::default();
        for line in lines {
            let (store, line) = Line::parse(line).unwrap();
            promises.hear(&store, &line);
        }
        promises
    }

    fn found(records: Vec<(String, String)>) -> Found {
        Found { records, is_enrolled: true, ..Found::default() }
    }

    #[test]
    fn line_of_every_deed_reads_back() {
        let deeds = [
            Deed::New("t1m1".into()),
            Deed::Import("t1m2".into(), 3),
            Deed::Edit("t1m1".into(), 4),
            Deed::Draft("t1d1".into(), 0),
            Deed::Discard("t1d1".into()),
            Deed::File("t1d1".into(), "t1m9".into()),
            Deed::Evict,
            Deed::Enrol,
            Deed::Purge("t1m1".into()),
        ];
        for deed in deeds {
            assert_eq!(Line::parse(&format!("t1 try {deed}")), Some(("t1".into(), Line::Try(deed))));
        }
    }

    #[test]
    fn confirmed_version_that_is_missing_or_older_is_lost() {
        let lines = ["t1 try new t1m1", "t1 did new t1m1", "t1 try edit t1m1 1", "t1 did edit t1m1 1"];
        for records in [vec![], vec![shown("t1m1", 0)]] {
            assert_eq!(promises(&lines).check_tablet("t1", &found(records)).lost.len(), 1);
        }
        assert!(promises(&lines).check_tablet("t1", &found(vec![shown("t1m1", 1)])).is_none());
    }

    #[test]
    fn what_was_begun_may_be_there_and_is_promised_once_it_was_seen() {
        let mut promises = promises(&["t1 try new t1m1"]);
        assert!(promises.check_tablet("t1", &found(vec![])).is_none());
        assert!(promises.check_tablet("t1", &found(vec![shown("t1m1", 0)])).is_none());
        assert_eq!(promises.check_tablet("t1", &found(vec![])).lost.len(), 1);
    }

    #[test]
    fn what_nobody_wrote_or_is_there_twice_or_is_half_a_text_is_invented() {
        let lines = ["t1 try new t1m1", "t1 did new t1m1"];
        let half = text("t1m1", 0).chars().take(20).collect::<String>();
        for extra in [shown("t1m1", 0), shown("t1m7", 0), (text("t1m1", 0), half)] {
            let broken = promises(&lines).check_tablet("t1", &found(vec![shown("t1m1", 0), extra]));
            assert_eq!(broken.invented.len(), 1, "{broken:?}");
        }
        let unwritten = promises(&lines).check_tablet("t1", &found(vec![shown("t1m1", 1)]));
        assert_eq!(unwritten.invented.len(), 1);
    }

    #[test]
    fn acknowledged_version_must_be_at_the_hub_and_an_erased_one_must_not() {
        let lines = ["t1 try new t1m1", "t1 did new t1m1", "t1 acknowledged t1m1 0"];
        let mut promises = promises(&lines);
        assert_eq!(promises.check_hub(&found(vec![])).lost.len(), 1);
        assert!(promises.check_hub(&found(vec![shown("t1m1", 0)])).is_none());
        promises.hear("hub", &Line::Try(Deed::Purge("t1m1".into())));
        assert!(promises.check_hub(&found(vec![])).is_none());
        promises.hear("hub", &Line::Did(Deed::Purge("t1m1".into())));
        assert_eq!(promises.check_hub(&found(vec![shown("t1m1", 0)])).invented.len(), 1);
    }

    #[test]
    fn draft_is_there_until_its_removal_is_begun_and_not_after_it_is_done() {
        let mut promises = promises(&["t1 try draft t1d1 1", "t1 did draft t1d1 1"]);
        let with = |drafts: Vec<String>| Found { drafts, is_enrolled: true, ..Found::default() };
        assert_eq!(promises.check_tablet("t1", &with(vec![])).lost.len(), 1);
        assert!(promises.check_tablet("t1", &with(vec![text("t1d1", 1)])).is_none());
        promises.hear("t1", &Line::Try(Deed::Discard("t1d1".into())));
        assert!(promises.check_tablet("t1", &with(vec![text("t1d1", 1)])).is_none());
        promises.hear("t1", &Line::Did(Deed::Discard("t1d1".into())));
        assert_eq!(promises.check_tablet("t1", &with(vec![text("t1d1", 1)])).invented.len(), 1);
    }
}
