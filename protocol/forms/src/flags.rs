//! Flags: what a reviewer should look at twice.
//!
//! Rules over the compact facts of accepted records: a visit of five minutes, two visits at once, a position far from the farm, the same text on
//! many days. A flag is never a refusal and never a penalty; evening courses, advice by phone and a drifting GPS are normal. The importer's report
//! and the hub's pages use the same rules.
//!
//! # Flow
//!
//! ```text
//! FlagFacts --handle--> FlagRules --finish--> flag -> keys of the records, in order
//!               own rules at once, rules across records at the end
//! ```
//!
//! # Limits
//!
//! What is kept of a record is some tens of bytes; texts are kept as hashes. Rules across records take `n log n`.

use std::collections::{BTreeMap, BTreeSet};

use crate::text::Label;
use crate::vocabulary::Vocabulary;

/// Shortest visit that raises no question, in minutes.
const VISIT_MINUTES_MIN: u16 = 10;
/// Farthest position from the target that raises no question, in metres.
const TARGET_METRES_MAX: f64 = 3_000.0;
/// Most days from the activity to its report that raise no question.
const REPORT_DAYS_MAX: i64 = 7;
/// Shortest text, without white space, that is compared with others.
const COPIED_CHARS_MIN: usize = 30;
/// Days on which the same text raises the question.
const COPIED_DAYS_MIN: usize = 3;
/// Mean radius of the earth, in metres.
const EARTH_METRES: f64 = 6_371_008.8;

/// What a reviewer should look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flag {
    /// The same person uses the same text on three days or more.
    CopiedText,
    /// The person does not belong to the station.
    CrossStation,
    /// The position is more than three kilometres from the target.
    GpsFar,
    /// Reported more than seven days after.
    LateReport,
    /// A visit or guidance without a word of what was done.
    MissingContent,
    /// No crop where one is to be expected.
    MissingCrop,
    /// On site, but neither position nor photo.
    NoEvidence,
    /// A pest that is not seen in this month.
    OutOfSeason,
    /// On site for less than ten minutes.
    ShortVisit,
    /// The same person in two places at once.
    TimeOverlap,
}

impl Flag {
    /// Every flag, by name.
    pub const ALL: [Self; 10] = [
        Self::CopiedText,
        Self::CrossStation,
        Self::GpsFar,
        Self::LateReport,
        Self::MissingContent,
        Self::MissingCrop,
        Self::NoEvidence,
        Self::OutOfSeason,
        Self::ShortVisit,
        Self::TimeOverlap,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CopiedText => "copied_text",
            Self::CrossStation => "cross_station",
            Self::GpsFar => "gps_far",
            Self::LateReport => "late_report",
            Self::MissingContent => "missing_content",
            Self::MissingCrop => "missing_crop",
            Self::NoEvidence => "no_evidence",
            Self::OutOfSeason => "out_of_season",
            Self::ShortVisit => "short_visit",
            Self::TimeOverlap => "time_overlap",
        }
    }

    /// What a reviewer is told: what was found, not what is wrong.
    #[must_use]
    pub fn label(self) -> Label {
        match self {
            Self::CopiedText => Label::new("同一段文字用在三天以上", "The same text on three days or more"),
            Self::CrossStation => Label::new("人员不属于本站", "The person belongs to another station"),
            Self::GpsFar => Label::new("位置离服务对象超过3公里", "More than 3 km from the target"),
            Self::LateReport => Label::new("活动7天后才填报", "Reported more than 7 days after"),
            Self::MissingContent => Label::new("没有服务内容", "Nothing is said of what was done"),
            Self::MissingCrop => Label::new("没有作物", "No crop"),
            Self::NoEvidence => Label::new("现场服务没有位置也没有照片", "On site, but neither position nor photo"),
            Self::OutOfSeason => Label::new("病虫害不在常见月份", "A pest outside its months"),
            Self::ShortVisit => Label::new("现场不足10分钟", "On site for less than 10 minutes"),
            Self::TimeOverlap => Label::new("同一人时间重叠", "The same person at two places at once"),
        }
    }
}

/// A place on the earth, in degrees (WGS84).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Position {
    /// Degrees north.
    pub lat: f64,
    /// Degrees east.
    pub lon: f64,
}

impl Position {
    /// The distance along a great circle, in metres.
    #[must_use]
    pub fn metres_to(self, other: Self) -> f64 {
        let (lat, other_lat) = (self.lat.to_radians(), other.lat.to_radians());
        let half_lat = ((other_lat - lat) / 2.0).sin();
        let half_lon = ((other.lon - self.lon).to_radians() / 2.0).sin();
        let chord = half_lat * half_lat + lat.cos() * other_lat.cos() * half_lon * half_lon;
        2.0 * EARTH_METRES * chord.sqrt().min(1.0).asin()
    }
}

/// What the rules need of one record.
#[derive(Debug, Clone, Copy)]
pub struct FlagFacts<'a> {
    /// The kind of record.
    pub form: &'a str,
    /// Whether the service was given on site.
    pub onsite: bool,
    /// Who did it.
    pub staff: Option<&'a str>,
    /// Whether that person belongs to the station.
    pub staff_at_station: bool,
    /// The day, in days since 1970.
    pub day: i64,
    /// Its month, 1–12.
    pub month: u8,
    /// The day of the report, in days since 1970.
    pub reported_day: Option<i64>,
    /// Start, in minutes since midnight.
    pub start: Option<u16>,
    /// End, in minutes since midnight.
    pub end: Option<u16>,
    /// Where it was.
    pub position: Option<Position>,
    /// Where the registered target is.
    pub target_position: Option<Position>,
    /// Photos.
    pub photo_count: Option<u64>,
    /// The crop's id.
    pub crop: Option<&'a str>,
    /// The pest's id.
    pub pest: Option<&'a str>,
    /// What was done.
    pub content: &'a str,
}

/// The name under which a record is flagged: a row of a ledger, a place in a list.
pub type FlagKey = u64;

/// One stay of a person: start and end in minutes, and whose it is.
pub type Stay = (u16, u16, FlagKey);

/// The rules at work.
#[derive(Debug, Default)]
pub struct FlagRules {
    flagged: BTreeMap<Flag, BTreeSet<FlagKey>>,
    stays: BTreeMap<(String, i64), Vec<Stay>>,
    texts: BTreeMap<(String, u128), Vec<(i64, FlagKey)>>,
}

impl FlagRules {
    /// Takes in one record.
    pub fn handle(&mut self, key: FlagKey, facts: &FlagFacts<'_>, vocabulary: &Vocabulary) {
        for flag in own_flags(facts, vocabulary) {
            self.flagged.entry(flag).or_default().insert(key);
        }
        let Some(staff) = facts.staff else { return };
        if let (true, Some(start), Some(end)) = (facts.onsite, facts.start, facts.end) {
            self.stays.entry((staff.to_owned(), facts.day)).or_default().push((start, end, key));
        }
        if let Some(hash) = text_hash(facts.content) {
            self.texts.entry((staff.to_owned(), hash)).or_default().push((facts.day, key));
        }
    }

    /// The records under each flag, in order; flags that no record has are left out.
    #[must_use]
    pub fn finish(mut self) -> BTreeMap<Flag, Vec<FlagKey>> {
        for stays in self.stays.values_mut() {
            let overlapping = overlapping(stays);
            if !overlapping.is_empty() {
                self.flagged.entry(Flag::TimeOverlap).or_default().extend(overlapping);
            }
        }
        for uses in self.texts.values() {
            if is_copied(uses.iter().map(|(day, _)| *day)) {
                self.flagged.entry(Flag::CopiedText).or_default().extend(uses.iter().map(|(_, key)| *key));
            }
        }
        self.flagged.into_iter().map(|(flag, keys)| (flag, keys.into_iter().collect())).collect()
    }
}

/// The flags that a record has on its own.
#[must_use]
pub fn own_flags(facts: &FlagFacts<'_>, vocabulary: &Vocabulary) -> BTreeSet<Flag> {
    let advises = matches!(facts.form, "visit" | "guidance");
    let at_target = advises || facts.form == "demo";
    let is_short = match (facts.start, facts.end) {
        (Some(start), Some(end)) => end.saturating_sub(start) < VISIT_MINUTES_MIN,
        (Some(_), None) | (None, Some(_) | None) => false,
    };
    let is_far = match (facts.position, facts.target_position) {
        (Some(position), Some(target)) => position.metres_to(target) > TARGET_METRES_MAX,
        (Some(_), None) | (None, Some(_) | None) => false,
    };
    let in_season = facts.pest.and_then(|pest| vocabulary.in_season(pest, facts.crop, facts.month));
    let has_photo = facts.photo_count.is_some_and(|count| count > 0);
    let is_late = facts.reported_day.is_some_and(|reported| reported.saturating_sub(facts.day) > REPORT_DAYS_MAX);
    let rules = [
        (Flag::ShortVisit, facts.onsite && at_target && is_short),
        (Flag::GpsFar, facts.onsite && at_target && is_far),
        (Flag::NoEvidence, facts.onsite && facts.position.is_none() && !has_photo),
        (Flag::OutOfSeason, in_season == Some(false)),
        (Flag::LateReport, is_late),
        (Flag::CrossStation, !facts.staff_at_station),
        (Flag::MissingContent, advises && facts.content.is_empty()),
        (Flag::MissingCrop, (at_target || facts.form == "pest_report") && facts.crop.is_none()),
    ];
    rules.into_iter().filter(|(_, holds)| *holds).map(|(flag, _)| flag).collect()
}

/// Those of one person and day that overlap another: `a.start < b.end` and `b.start < a.end`. Leaves them in order.
#[must_use]
pub fn overlapping(stays: &mut [Stay]) -> Vec<FlagKey> {
    stays.sort_unstable();
    let mut found = Vec::new();
    let mut end_max_before = 0;
    for group in stays.chunk_by(|a, b| a.0 == b.0) {
        let (Some((start, _, _)), Some((_, end_max, _))) = (group.first(), group.last()) else { continue };
        let lasting = group.iter().filter(|stay| stay.1 > *start).count();
        let next_start = stays.get(stays.partition_point(|stay| stay.0 <= *start)).map(|stay| stay.0);
        for (_, end, key) in group {
            let before = end_max_before > *start;
            let beside = end > start && lasting > 1;
            let after = next_start.is_some_and(|next| next < *end);
            if before || beside || after {
                found.push(*key);
            }
        }
        end_max_before = end_max_before.max(*end_max);
    }
    found
}

/// Whether one person's uses of a text, by their days, raise the question.
#[must_use]
pub fn is_copied(days: impl Iterator<Item = i64>) -> bool {
    days.collect::<BTreeSet<i64>>().len() >= COPIED_DAYS_MIN
}

/// A hash of a text without its white space; `None` for one too short to be compared.
#[must_use]
pub fn text_hash(text: &str) -> Option<u128> {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let mut chars = 0;
    let mut hash = OFFSET;
    let mut buffer = [0; 4];
    // FNV-1a with 128 bits: a question to a reviewer, nothing that anyone gains by forging.
    for c in text.chars().filter(|c| !c.is_whitespace()) {
        chars += 1;
        for byte in c.encode_utf8(&mut buffer).bytes() {
            hash = (hash ^ u128::from(byte)).wrapping_mul(PRIME);
        }
    }
    (chars >= COPIED_CHARS_MIN).then_some(hash)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> FlagFacts<'static> {
        FlagFacts {
            form: "visit",
            onsite: true,
            staff: Some("P01"),
            staff_at_station: true,
            day: 20_000,
            month: 6,
            reported_day: Some(20_007),
            start: Some(540),
            end: Some(550),
            position: Some(Position { lat: 40.2, lon: 117.1 }),
            target_position: Some(Position { lat: 40.2, lon: 117.1 }),
            photo_count: Some(1),
            crop: Some("peach"),
            pest: Some("oriental_fruit_moth"),
            content: "查看套袋",
        }
    }

    #[test]
    fn each_rule_holds_just_beyond_its_edge() {
        let vocabulary = Vocabulary::built_in().unwrap();
        let flags = |facts: FlagFacts<'_>| own_flags(&facts, &vocabulary).into_iter().collect::<Vec<_>>();
        let base = facts();
        assert_eq!(flags(base), []);
        assert_eq!(flags(FlagFacts { end: Some(549), ..base }), [Flag::ShortVisit]);
        assert_eq!(flags(FlagFacts { end: Some(549), form: "training", ..base }), []);
        assert_eq!(flags(FlagFacts { end: Some(549), onsite: false, ..base }), []);
        assert_eq!(flags(FlagFacts { reported_day: Some(20_008), ..base }), [Flag::LateReport]);
        assert_eq!(flags(FlagFacts { staff_at_station: false, ..base }), [Flag::CrossStation]);
        assert_eq!(flags(FlagFacts { content: "", ..base }), [Flag::MissingContent]);
        assert_eq!(flags(FlagFacts { content: "", form: "demo", ..base }), []);
        assert_eq!(flags(FlagFacts { crop: None, form: "pest_report", ..base }), [Flag::MissingCrop]);
        assert_eq!(flags(FlagFacts { month: 1, ..base }), [Flag::OutOfSeason]);
        assert_eq!(flags(FlagFacts { position: None, photo_count: Some(0), ..base }), [Flag::NoEvidence]);
        let near = Position { lat: 40.2 + 2_999.0 / 111_195.08, lon: 117.1 };
        let far = Position { lat: 40.2 + 3_001.0 / 111_195.08, lon: 117.1 };
        assert_eq!(flags(FlagFacts { position: Some(near), ..base }), []);
        assert_eq!(flags(FlagFacts { position: Some(far), ..base }), [Flag::GpsFar]);
    }

    #[test]
    fn copied_text_needs_three_days_and_thirty_characters() {
        let vocabulary = Vocabulary::built_in().unwrap();
        let long = "今天查看桃园套袋情况发现梨小零星发生建议及时剪除虫梢并挂诱捕器";
        let copied = |text: &'static str, days: &[i64]| {
            let mut rules = FlagRules::default();
            for (key, day) in (0..).zip(days) {
                let at = FlagFacts { day: *day, content: text, start: None, reported_day: None, ..facts() };
                rules.handle(key, &at, &vocabulary);
            }
            rules.finish().remove(&Flag::CopiedText).unwrap_or_default()
        };
        assert_eq!(copied(long, &[1, 2, 3, 3]), [0, 1, 2, 3]);
        assert!(copied(long, &[1, 2, 2, 2]).is_empty());
        assert!(copied("今天查看桃园", &[1, 2, 3]).is_empty());
        assert_eq!(text_hash(long), text_hash(&format!(" {}\n", long.replace("今天", "今 天\u{3000}"))));
    }

    proptest! {
        #[test]
        fn prop_overlap_is_the_rule_of_pairs(pairs in proptest::collection::vec((0_u16..40, 0_u16..12), 0..20)) {
            let mut stays: Vec<Stay> = (0..).zip(&pairs).map(|(key, (start, length))| (*start, start + length, key)).collect();
            let meets = |a: &Stay, b: &Stay| a.0 < b.1 && b.0 < a.1;
            let expected: BTreeSet<FlagKey> = stays
                .iter()
                .filter(|a| stays.iter().any(|b| a.2 != b.2 && meets(a, b)))
                .map(|stay| stay.2)
                .collect();
            let found: BTreeSet<FlagKey> = overlapping(&mut stays).into_iter().collect();
            prop_assert_eq!(found, expected);
        }
    }
}
