//! The directory that a ledger's names are looked up in: stations, people, organisations, targets, annual tasks and the division list.
//!
//! Read from a folder (`stations.json`, `pinggu-divisions.csv`, and `vocab.json` if the folder has one).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use qianmo_forms::flags::Position;
use qianmo_forms::indicators::Tasks;
use qianmo_forms::vocabulary::{VOCABULARY_BYTES_MAX, Vocabulary, VocabularyError};
use serde::Deserialize;

use super::cell::without_spaces;
use super::place::{Divisions, DivisionsError, Place};

/// The file of stations, people and targets.
pub const STATIONS_FILE: &str = "stations.json";
/// The division list.
pub const DIVISIONS_FILE: &str = "pinggu-divisions.csv";
/// The vocabulary, in place of the one that is built in.
pub const VOCABULARY_FILE: &str = "vocab.json";

const STATIONS_BYTES_MAX: u64 = 32 * 1024 * 1024;
const DIVISIONS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file could not be read.
    #[error("{} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any of its kind.
    #[error("{}: {have} bytes, at most {max}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// How large it is.
        have: u64,
        /// How large it may be.
        max: u64,
    },
    /// `stations.json` is not JSON, or of another shape.
    #[error("{STATIONS_FILE}, line {line}, column {column}: {detail}")]
    Stations {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
        /// What is wrong there.
        detail: String,
    },
    /// Two of a kind have one id.
    #[error("{STATIONS_FILE}: two {kind} have the id {id}")]
    Twice {
        /// Of what kind.
        kind: &'static str,
        /// The id.
        id: String,
    },
    /// The division list has a fault.
    #[error("{DIVISIONS_FILE}")]
    Divisions(#[source] DivisionsError),
    /// The vocabulary has a fault.
    #[error("{VOCABULARY_FILE}")]
    Vocabulary(#[source] VocabularyError),
}

/// A science station.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Station {
    /// Its code.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What else people call it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// The village it stands in.
    #[serde(default)]
    pub base_village_code: Option<String>,
    /// The towns it serves.
    #[serde(default)]
    pub town_codes: Vec<String>,
    /// Degrees north.
    #[serde(default)]
    pub lat: Option<serde_json::Number>,
    /// Degrees east.
    #[serde(default)]
    pub lon: Option<serde_json::Number>,
    /// Its crops.
    #[serde(default)]
    pub crops: Vec<String>,
    /// The organisation behind it.
    #[serde(default)]
    pub host_org_id: Option<String>,
    /// Since when it is.
    #[serde(default)]
    pub founded_on: Option<String>,
    /// What it is to reach in the year, by indicator.
    #[serde(default)]
    pub annual_tasks: BTreeMap<String, serde_json::Number>,
}

/// An organisation.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Organization {
    /// Its code.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// What it knows.
    #[serde(default)]
    pub specialties: Vec<String>,
}

/// Someone who works for stations.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Person {
    /// The code.
    pub id: String,
    /// The name.
    pub name: String,
    /// The role.
    #[serde(default)]
    pub role: Option<String>,
    /// The title.
    #[serde(default)]
    pub title: Option<String>,
    /// The organisation.
    #[serde(default)]
    pub org_id: Option<String>,
    /// What the person knows.
    #[serde(default)]
    pub specialties: Vec<String>,
    /// The crops the person knows.
    #[serde(default)]
    pub crops: Vec<String>,
    /// The stations the person belongs to.
    #[serde(default)]
    pub station_ids: Vec<String>,
    /// Whether the person works still.
    #[serde(default)]
    pub active: Option<bool>,
}

/// A service target.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Target {
    /// Its code.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What else people call it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its kind.
    #[serde(default)]
    pub kind: Option<String>,
    /// The station that serves it.
    #[serde(default)]
    pub station_id: Option<String>,
    /// Its village.
    #[serde(default)]
    pub village_code: Option<String>,
    /// Its town.
    #[serde(default)]
    pub town_code: Option<String>,
    /// Degrees north.
    #[serde(default)]
    pub lat: Option<serde_json::Number>,
    /// Degrees east.
    #[serde(default)]
    pub lon: Option<serde_json::Number>,
    /// What it mainly grows.
    #[serde(default)]
    pub main_crops: Vec<String>,
    /// Its area.
    #[serde(default)]
    pub area_mu: Option<serde_json::Number>,
    /// The agreement with it.
    #[serde(default)]
    pub agreement: Option<Agreement>,
    /// Whether it agreed to be recorded.
    #[serde(default)]
    pub consent: Option<Consent>,
    /// How to reach it, masked.
    #[serde(default)]
    pub contact_masked: Option<String>,
}

/// An agreement with a target.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Agreement {
    /// When it was signed.
    #[serde(default)]
    pub signed_on: Option<String>,
    /// Until when it holds.
    #[serde(default)]
    pub valid_until: Option<String>,
}

/// What a target agreed to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[non_exhaustive]
pub struct Consent {
    /// Whether it did.
    #[serde(default)]
    pub given: Option<bool>,
    /// When.
    #[serde(default)]
    pub given_on: Option<String>,
    /// To what.
    #[serde(default)]
    pub scope: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct StationsFile {
    #[serde(default)]
    dataset: Option<String>,
    #[serde(default)]
    fictional: Option<bool>,
    #[serde(default)]
    organizations: Vec<Organization>,
    stations: Vec<Station>,
    staff: Vec<Person>,
    #[serde(default)]
    coordinators: Vec<Person>,
    targets: Vec<Target>,
}

/// Everything a ledger's names are looked up in.
#[derive(Debug, Clone, PartialEq)]
pub struct Directory {
    /// The name of the data set, if it has one.
    pub dataset: Option<String>,
    /// Whether it is made up.
    pub fictional: Option<bool>,
    /// Organisations, in the order of the file.
    pub organizations: Vec<Organization>,
    /// Stations, in the order of the file.
    pub stations: Vec<Station>,
    /// People, in the order of the file.
    pub staff: Vec<Person>,
    /// Coordinators, in the order of the file.
    pub coordinators: Vec<Person>,
    /// Service targets, in the order of the file.
    pub targets: Vec<Target>,
    /// Towns and villages.
    pub divisions: Divisions,
    station_ids: BTreeMap<String, usize>,
    station_names: BTreeMap<String, usize>,
    staff_ids: BTreeMap<String, usize>,
    staff_names: BTreeMap<String, Vec<usize>>,
    target_ids: BTreeMap<String, usize>,
    target_names: BTreeMap<String, usize>,
}

/// A folder as it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// The directory.
    pub directory: Directory,
    /// The vocabulary: the folder's own, or the one that is built in.
    pub vocabulary: Vocabulary,
}

impl Folder {
    /// Reads a folder.
    ///
    /// # Errors
    /// [`DirectoryError`]: what is missing or broken, and where.
    pub fn read(folder: &Path) -> Result<Self, DirectoryError> {
        let stations = read_file(&folder.join(STATIONS_FILE), STATIONS_BYTES_MAX)?;
        let divisions = read_file(&folder.join(DIVISIONS_FILE), DIVISIONS_BYTES_MAX)?;
        let own = folder.join(VOCABULARY_FILE);
        let vocabulary = if own.exists() {
            let limit = u64::try_from(VOCABULARY_BYTES_MAX).unwrap_or(u64::MAX);
            Vocabulary::parse(&read_file(&own, limit)?)
        } else {
            Vocabulary::built_in()
        };
        let vocabulary = vocabulary.map_err(DirectoryError::Vocabulary)?;
        Ok(Self { directory: Directory::parse(&stations, &divisions)?, vocabulary })
    }
}

fn read_file(path: &Path, max: u64) -> Result<Vec<u8>, DirectoryError> {
    let unreadable = |source| DirectoryError::Unreadable { path: path.to_owned(), source };
    let have = std::fs::metadata(path).map_err(unreadable)?.len();
    if have > max {
        return Err(DirectoryError::TooLarge { path: path.to_owned(), have, max });
    }
    std::fs::read(path).map_err(unreadable)
}

impl Directory {
    /// Reads `stations.json` and the division list.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub fn parse(stations: &[u8], divisions: &[u8]) -> Result<Self, DirectoryError> {
        let stations = stations.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(stations);
        let file: StationsFile = serde_json::from_slice(stations).map_err(|error| DirectoryError::Stations {
            line: error.line(),
            column: error.column(),
            detail: error.to_string(),
        })?;
        let mut directory = Self {
            dataset: file.dataset,
            fictional: file.fictional,
            organizations: file.organizations,
            stations: file.stations,
            staff: file.staff,
            coordinators: file.coordinators,
            targets: file.targets,
            divisions: Divisions::parse(divisions).map_err(DirectoryError::Divisions)?,
            station_ids: BTreeMap::new(),
            station_names: BTreeMap::new(),
            staff_ids: BTreeMap::new(),
            staff_names: BTreeMap::new(),
            target_ids: BTreeMap::new(),
            target_names: BTreeMap::new(),
        };
        directory.index()?;
        Ok(directory)
    }

    fn index(&mut self) -> Result<(), DirectoryError> {
        let twice = |kind, id: &String| DirectoryError::Twice { kind, id: id.clone() };
        for (at, station) in self.stations.iter().enumerate() {
            if self.station_ids.insert(station.id.clone(), at).is_some() {
                return Err(twice("stations", &station.id));
            }
            for name in core::iter::once(&station.name).chain(&station.aliases) {
                self.station_names.entry(without_spaces(name)).or_insert(at);
            }
        }
        for (at, person) in self.staff.iter().enumerate() {
            if self.staff_ids.insert(person.id.clone(), at).is_some() {
                return Err(twice("people", &person.id));
            }
            self.staff_names.entry(without_spaces(&person.name)).or_default().push(at);
        }
        for (at, target) in self.targets.iter().enumerate() {
            if self.target_ids.insert(target.id.clone(), at).is_some() {
                return Err(twice("targets", &target.id));
            }
            for name in core::iter::once(&target.name).chain(&target.aliases) {
                self.target_names.entry(without_spaces(name)).or_insert(at);
            }
        }
        Ok(())
    }

    /// The station with an id.
    #[must_use]
    pub fn station(&self, id: &str) -> Option<&Station> {
        self.station_ids.get(id).and_then(|at| self.stations.get(*at))
    }

    pub(super) fn station_named(&self, name: &str) -> Option<&Station> {
        self.station_names.get(name).and_then(|at| self.stations.get(*at))
    }

    /// The person with an id.
    #[must_use]
    pub fn person(&self, id: &str) -> Option<&Person> {
        self.staff_ids.get(id).and_then(|at| self.staff.get(*at))
    }

    pub(super) fn people_named(&self, name: &str) -> impl Iterator<Item = &Person> {
        self.staff_names.get(name).into_iter().flatten().filter_map(|at| self.staff.get(*at))
    }

    /// The target with an id.
    #[must_use]
    pub fn target(&self, id: &str) -> Option<&Target> {
        self.target_ids.get(id).and_then(|at| self.targets.get(*at))
    }

    pub(super) fn target_named(&self, name: &str) -> Option<&Target> {
        self.target_names.get(name).and_then(|at| self.targets.get(*at))
    }

    /// What each station is to reach.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        let number = |number: &serde_json::Number| number.to_string().parse().ok();
        let of_station = |station: &Station| {
            let tasks = station.annual_tasks.iter().filter_map(|(id, target)| Some((id.clone(), number(target)?)));
            (station.id.clone(), tasks.collect())
        };
        self.stations.iter().map(of_station).collect()
    }
}

impl Target {
    /// Where it is.
    #[must_use]
    pub fn position(&self) -> Option<Position> {
        Some(Position { lat: self.lat.as_ref()?.as_f64()?, lon: self.lon.as_ref()?.as_f64()? })
    }

    /// The place it is in, its village if that is in the list.
    pub(super) fn place(&self, divisions: &Divisions) -> Option<Place> {
        let village = self.village_code.as_deref().filter(|village| divisions.town_of(village).is_some());
        let town = village.and_then(|village| divisions.town_of(village)).or(self.town_code.as_deref())?;
        Some(Place { town: town.to_owned(), village: village.map(str::to_owned) })
    }
}
