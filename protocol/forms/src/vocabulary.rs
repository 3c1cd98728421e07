//! The vocabulary: every name that people write for what is kept as an id.
//!
//! One JSON file (`built-in/vocab.json`) holds the lists: each term has an id, a label and aliases. A ledger's cells are looked up here, and only
//! here: a name that is in no list is not guessed. A district may put its own file in place of the shipped one.
//!
//! # Invariants
//!
//! 1. Lookup is exact after [`structural`] repair of both sides; a label wins over an alias, an earlier term over a later
//!    one, so a lookup has one answer.
//! 2. Nothing here depends on the order of a map.
//!
//! # Limits
//!
//! [`VOCABULARY_BYTES_MAX`], looked at before the file is parsed.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::text::{half_width, structural};

/// The largest vocabulary file.
pub const VOCABULARY_BYTES_MAX: usize = 4 * 1_024 * 1_024;

const BUILT_IN: &str = include_str!("../built-in/vocab.json");

/// Why a file is no vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VocabularyError {
    /// Larger than any vocabulary.
    #[error("{have} bytes, at most {max}; is this the vocabulary?")]
    TooLarge {
        /// How large it is.
        have: usize,
        /// How large it may be.
        max: usize,
    },
    /// Not JSON, or not of the shape of a vocabulary.
    #[error("line {line}, column {column}: {detail}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
}

/// How a name was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FoundBy {
    /// By the label itself.
    Label,
    /// By an alias.
    Alias,
}

/// One list of terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    by_label: BTreeMap<String, String>,
    by_alias: BTreeMap<String, String>,
    label_of: BTreeMap<String, String>,
}

impl Terms {
    fn of(terms: Vec<TermFile>) -> Self {
        let mut made = Self::default();
        for term in terms {
            made.by_label.entry(structural(&term.zh)).or_insert_with(|| term.id.clone());
            for alias in term.aliases {
                made.by_alias.entry(structural(&alias)).or_insert_with(|| term.id.clone());
            }
            made.label_of.entry(term.id).or_insert(term.zh);
        }
        made
    }

    /// The id of a name, and how it was found.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<(&str, FoundBy)> {
        let by_label = self.by_label.get(name).map(|id| (id.as_str(), FoundBy::Label));
        by_label.or_else(|| self.by_alias.get(name).map(|id| (id.as_str(), FoundBy::Alias)))
    }

    /// The id of a name, however it was found.
    #[must_use]
    pub fn id(&self, name: &str) -> Option<&str> {
        self.find(name).map(|(id, _)| id)
    }

    /// The label of an id.
    #[must_use]
    pub fn label(&self, id: &str) -> Option<&str> {
        self.label_of.get(id).map(String::as_str)
    }

    /// Every id, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.label_of.keys().map(String::as_str)
    }
}

/// The months in which a pest or disease is seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Season {
    months: BTreeSet<u8>,
    by_crop: BTreeMap<String, BTreeSet<u8>>,
}

/// Every list of the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vocabulary {
    /// Kinds of record; the id is the form's.
    pub activity_types: Terms,
    /// How a service was given.
    pub service_modes: Terms,
    /// Crops and animals.
    pub crops: Terms,
    /// Varieties.
    pub varieties: Terms,
    /// Growth stages.
    pub phenology: Terms,
    /// Pests, diseases and other problems.
    pub pests: Terms,
    /// Technologies that are promoted.
    pub technologies: Terms,
    /// Kinds of demand.
    pub demand_categories: Terms,
    /// Where a demand stands.
    pub demand_states: Terms,
    /// Where a review stands.
    pub review_states: Terms,
    headers: BTreeMap<String, String>,
    header_labels: BTreeMap<String, String>,
    null_tokens: BTreeSet<String>,
    satisfaction: BTreeMap<String, u8>,
    gcj02: BTreeSet<String>,
    village_aliases: BTreeMap<String, String>,
    seasons: BTreeMap<String, Season>,
}

impl Vocabulary {
    /// The shipped vocabulary. Reads the file anew: call it once and keep it.
    ///
    /// # Errors
    /// The shipped file has a fault; a test holds that it has none.
    pub fn built_in() -> Result<Self, VocabularyError> {
        Self::parse(BUILT_IN.as_bytes())
    }

    /// Reads a vocabulary from its JSON file.
    ///
    /// # Errors
    /// Too large, not JSON, or a list is missing.
    pub fn parse(json: &[u8]) -> Result<Self, VocabularyError> {
        if json.len() > VOCABULARY_BYTES_MAX {
            return Err(VocabularyError::TooLarge { have: json.len(), max: VOCABULARY_BYTES_MAX });
        }
        let file: VocabularyFile = serde_json::from_slice(json).map_err(|error| VocabularyError::Syntax {
            line: error.line(),
            column: error.column(),
            detail: plain_detail(&error),
        })?;
        Ok(Self::of(file))
    }

    fn of(file: VocabularyFile) -> Self {
        let mut headers = BTreeMap::new();
        let mut header_labels = BTreeMap::new();
        for header in file.header_aliases {
            for name in core::iter::once(&header.zh).chain(&header.aliases) {
                headers.entry(header_key(name)).or_insert_with(|| header.key.clone());
            }
            header_labels.entry(header.key).or_insert(header.zh);
        }
        let mut satisfaction = BTreeMap::new();
        for point in file.satisfaction {
            for name in core::iter::once(&point.zh).chain(&point.aliases) {
                satisfaction.entry(structural(name)).or_insert(point.value);
            }
        }
        let season = |pest: &PestFile| Season { months: pest.months.clone(), by_crop: pest.months_by_crop.clone() };
        let seasons = file.pests_diseases.iter().map(|pest| (pest.term.id.clone(), season(pest))).collect();
        let mut village_aliases = BTreeMap::new();
        for alias in file.village_aliases {
            village_aliases.entry(structural(&alias.alias)).or_insert(alias.village_code);
        }
        Self {
            activity_types: Terms::of(file.activity_types),
            service_modes: Terms::of(file.service_modes),
            crops: Terms::of(file.crops),
            varieties: Terms::of(file.varieties),
            phenology: Terms::of(file.phenology_stages),
            pests: Terms::of(file.pests_diseases.into_iter().map(|pest| pest.term).collect()),
            technologies: Terms::of(file.technologies),
            demand_categories: Terms::of(file.demand_categories),
            demand_states: Terms::of(file.demand_states),
            review_states: Terms::of(file.review_states),
            headers,
            header_labels,
            null_tokens: file.null_tokens.iter().map(|token| structural(token)).collect(),
            satisfaction,
            gcj02: file.coord_system_aliases.gcj02.iter().map(|name| structural(name)).collect(),
            village_aliases,
            seasons,
        }
    }

    /// The key of the column that a header cell names, whatever its width and white space.
    #[must_use]
    pub fn column(&self, header: &str) -> Option<&str> {
        self.headers.get(&header_key(header)).map(String::as_str)
    }

    /// What a column is called.
    #[must_use]
    pub fn column_label(&self, key: &str) -> Option<&str> {
        self.header_labels.get(key).map(String::as_str)
    }

    /// Whether a structural cell says that there is nothing.
    #[must_use]
    pub fn is_null(&self, cell: &str) -> bool {
        cell.is_empty() || self.null_tokens.contains(cell)
    }

    /// The points of a satisfaction in words.
    #[must_use]
    pub fn satisfaction(&self, name: &str) -> Option<u8> {
        self.satisfaction.get(name).copied()
    }

    /// Whether a cell names the offset coordinates of Chinese maps (GCJ-02).
    #[must_use]
    pub fn is_gcj02(&self, name: &str) -> bool {
        self.gcj02.contains(name)
    }

    /// The code of the village that people also call by this name.
    #[must_use]
    pub fn village_of_alias(&self, name: &str) -> Option<&str> {
        self.village_aliases.get(name).map(String::as_str)
    }

    /// Whether a pest or disease is seen in a month, on a crop where that differs; `None` for one that is not in the list.
    #[must_use]
    pub fn in_season(&self, pest: &str, crop: Option<&str>, month: u8) -> Option<bool> {
        let season = self.seasons.get(pest)?;
        let own = crop.and_then(|crop| season.by_crop.get(crop));
        Some(own.unwrap_or(&season.months).contains(&month))
    }
}

/// Under which two header cells are the same: half-width, no white space.
fn header_key(text: &str) -> String {
    let drop = |c: &char| !c.is_whitespace() && !matches!(c, '\u{200B}' | '\u{200C}' | '\u{200D}' | '\u{FEFF}');
    half_width(text).chars().filter(drop).collect()
}

/// What the parser says, without the place, which is told apart.
fn plain_detail(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ").map_or_else(|| text.clone(), |(detail, _)| detail.to_owned())
}

#[derive(Deserialize)]
struct VocabularyFile {
    null_tokens: Vec<String>,
    header_aliases: Vec<HeaderFile>,
    activity_types: Vec<TermFile>,
    service_modes: Vec<TermFile>,
    crops: Vec<TermFile>,
    varieties: Vec<TermFile>,
    phenology_stages: Vec<TermFile>,
    pests_diseases: Vec<PestFile>,
    technologies: Vec<TermFile>,
    demand_categories: Vec<TermFile>,
    demand_states: Vec<TermFile>,
    review_states: Vec<TermFile>,
    satisfaction: Vec<PointFile>,
    coord_system_aliases: CoordFile,
    village_aliases: Vec<VillageFile>,
}

#[derive(Deserialize)]
struct HeaderFile {
    key: String,
    zh: String,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct TermFile {
    id: String,
    zh: String,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct PestFile {
    #[serde(flatten)]
    term: TermFile,
    months: BTreeSet<u8>,
    #[serde(default)]
    months_by_crop: BTreeMap<String, BTreeSet<u8>>,
}

#[derive(Deserialize)]
struct PointFile {
    value: u8,
    zh: String,
    #[serde(default)]
    aliases: Vec<String>,
}

#[derive(Deserialize)]
struct CoordFile {
    #[serde(rename = "GCJ02", default)]
    gcj02: Vec<String>,
}

#[derive(Deserialize)]
struct VillageFile {
    alias: String,
    village_code: String,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn vocabulary() -> Vocabulary {
        Vocabulary::built_in().unwrap()
    }

    #[test]
    fn names_lead_to_ids_and_say_how() {
        let vocabulary = vocabulary();
        assert_eq!(vocabulary.crops.find("大桃"), Some(("peach", FoundBy::Label)));
        assert_eq!(vocabulary.crops.find("桃树"), Some(("peach", FoundBy::Alias)));
        assert_eq!(vocabulary.crops.find("peach"), None);
        assert_eq!(vocabulary.activity_types.label("visit"), Some("走访巡田"));
        assert_eq!(vocabulary.satisfaction("很满意"), Some(5));
        assert!(vocabulary.is_null("待补") && vocabulary.is_null("") && !vocabulary.is_null("0"));
        assert!(vocabulary.is_gcj02("高德") && !vocabulary.is_gcj02("GPS"));
        assert_eq!(vocabulary.village_of_alias("渔子山"), Some("110117102210"));
    }

    #[test]
    fn headers_are_found_whatever_their_width_and_spaces() {
        let vocabulary = vocabulary();
        for header in ["面积(亩)", "面积（亩）", " 面积 ( 亩 ) ", "\u{FEFF}面积(亩)"] {
            assert_eq!(vocabulary.column(header), Some("area"), "{header}");
        }
        assert_eq!(vocabulary.column("天气"), None);
        assert_eq!(vocabulary.column_label("staff_id"), Some("人员编号"));
    }

    #[test]
    fn season_of_the_crop_goes_before_the_general_one() {
        let vocabulary = vocabulary();
        assert_eq!(vocabulary.in_season("yellow_peach_moth", None, 9), Some(true));
        assert_eq!(vocabulary.in_season("yellow_peach_moth", Some("peach"), 9), Some(false));
        assert_eq!(vocabulary.in_season("yellow_peach_moth", Some("wheat"), 9), Some(true));
        assert_eq!(vocabulary.in_season("no_such_pest", None, 9), None);
    }

    #[test]
    fn broken_file_is_told_with_its_place() {
        let error = Vocabulary::parse(b"{\n  \"null_tokens\": [,]}").unwrap_err();
        assert!(matches!(error, VocabularyError::Syntax { line: 2, .. }), "{error}");
        let error = Vocabulary::parse(b"{}").unwrap_err();
        assert!(error.to_string().contains("null_tokens"), "{error}");
    }

    proptest! {
        #[test]
        fn prop_parse_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(Vocabulary::parse(&bytes).is_err());
        }
    }
}
