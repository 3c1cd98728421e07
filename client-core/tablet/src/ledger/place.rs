//! Towns and villages: the division list, and how a row's three cells name a place.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_forms::vocabulary::Vocabulary;

use super::outcome::{Correction, RejectReason};

/// A place: always a town, mostly a village.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Nine digits.
    pub town: String,
    /// Twelve digits.
    pub village: Option<String>,
}

/// The towns and villages of the district.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Divisions {
    towns: Vec<Town>,
    /// Code of a village to its town and name.
    villages: BTreeMap<String, (String, String)>,
    /// Town and key to the village.
    by_town_and_key: BTreeMap<(String, String), String>,
    /// Key to every village that has it.
    by_key: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Town {
    code: String,
    name: String,
    key: String,
}

/// Why a division list cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DivisionsError {
    /// The header is another one.
    #[error("line 1: the columns must be code, name, level, parent_code")]
    Header,
    /// A line that says something else.
    #[error("line {line}: {detail}")]
    Line {
        /// The line.
        line: u64,
        /// What is wrong.
        detail: &'static str,
    },
    /// Not CSV in UTF-8.
    #[error("{detail}")]
    Csv {
        /// What the reader says.
        detail: String,
    },
    /// More than a province has.
    #[error("more than {max} lines; is this the list of one district?")]
    TooMany {
        /// The most there may be.
        max: usize,
    },
}

const DIVISIONS_MAX: usize = 100_000;
const TOWN_SUFFIXES: [&str; 6] = ["街道办事处", "地区办事处", "街道", "地区", "镇", "乡"];
const VILLAGE_SUFFIXES: [&str; 6] = ["社区居民委员会", "村民委员会", "居民委员会", "社区居委会", "村委会", "居委会"];
const TOWN_WORDS: [&str; 4] = ["镇", "乡", "地区", "街道"];

impl Divisions {
    /// Reads the list: towns with nine digits, villages with twelve.
    ///
    /// # Errors
    /// [`DivisionsError`] with the line.
    pub fn parse(text: &[u8]) -> Result<Self, DivisionsError> {
        let text = text.strip_prefix(&[0xEF, 0xBB, 0xBF]).unwrap_or(text);
        let mut reader = csv::ReaderBuilder::new().from_reader(text);
        let wrong = |error: csv::Error| DivisionsError::Csv { detail: error.to_string() };
        let header = reader.headers().map_err(wrong)?;
        if header.iter().map(str::trim).ne(["code", "name", "level", "parent_code"]) {
            return Err(DivisionsError::Header);
        }
        let mut list = Self::default();
        for (number, record) in reader.records().enumerate() {
            if number >= DIVISIONS_MAX {
                return Err(DivisionsError::TooMany { max: DIVISIONS_MAX });
            }
            let record = record.map_err(wrong)?;
            let line = record.position().map_or(0, csv::Position::line);
            list.push(&record).map_err(|detail| DivisionsError::Line { line, detail })?;
        }
        list.index();
        Ok(list)
    }

    fn push(&mut self, record: &csv::StringRecord) -> Result<(), &'static str> {
        let cell = |at: usize| record.get(at).unwrap_or_default().trim();
        let (code, name, level, parent) = (cell(0), cell(1), cell(2), cell(3));
        if name.is_empty() {
            return Err("no name");
        }
        let is_code = |digits: usize| code.len() == digits && code.bytes().all(|byte| byte.is_ascii_digit());
        match level {
            "town" if is_code(9) => {
                self.towns.push(Town { code: code.to_owned(), name: name.to_owned(), key: town_key(name).to_owned() });
            }
            "village" if is_code(12) && code.starts_with(parent) && parent.len() == 9 => {
                self.villages.insert(code.to_owned(), (parent.to_owned(), name.to_owned()));
            }
            "town" | "village" => {
                return Err("a town's code has nine digits; a village's has twelve and begins with its town's");
            }
            _ => return Err("the level is neither town nor village"),
        }
        Ok(())
    }

    fn index(&mut self) {
        for (code, (town, name)) in &self.villages {
            let key = village_key(name).to_owned();
            self.by_town_and_key.entry((town.clone(), key.clone())).or_insert_with(|| code.clone());
            self.by_key.entry(key).or_default().push(code.clone());
        }
    }

    /// The town of a village.
    #[must_use]
    pub fn town_of(&self, village: &str) -> Option<&str> {
        self.villages.get(village).map(|(town, _)| town.as_str())
    }

    /// What a town or village is called.
    #[must_use]
    pub fn name(&self, code: &str) -> Option<&str> {
        let village = self.villages.get(code).map(|(_, name)| name.as_str());
        village.or_else(|| self.towns.iter().find(|town| town.code == code).map(|town| town.name.as_str()))
    }

    /// The town that a cell names.
    fn town(&self, cell: &str) -> Option<&str> {
        let key = town_key(without_district(cell));
        let mut found = self.towns.iter().filter(|town| town.key == key);
        let first = found.next()?;
        found.next().is_none().then_some(first.code.as_str())
    }

    /// A town's name at the start of a village cell: what follows it, and the town.
    fn embedded_town<'a>(&self, cell: &'a str) -> Option<(&'a str, &str)> {
        let after = |town: &Town| {
            let by_name = cell.strip_prefix(town.name.as_str());
            let words = || TOWN_WORDS.iter().find_map(|word| cell.strip_prefix(town.key.as_str())?.strip_prefix(word));
            by_name.or_else(words).filter(|rest| !rest.is_empty())
        };
        // The longest name of a town, should one begin with another.
        let found = self.towns.iter().filter_map(|town| Some((after(town)?, town.code.as_str())));
        found.min_by_key(|(rest, _)| rest.len())
    }

    /// The only village with a key.
    fn only(&self, key: &str) -> Option<&str> {
        match self.by_key.get(key).map(Vec::as_slice) {
            Some([only]) => Some(only),
            Some(_) | None => None,
        }
    }

    fn with_town(&self, village: &str) -> Option<Place> {
        Some(Place { town: self.town_of(village)?.to_owned(), village: Some(village.to_owned()) })
    }
}

/// The cells that name a place, structural.
#[derive(Debug, Clone, Copy)]
pub(super) struct PlaceCells<'a> {
    pub(super) town: &'a str,
    pub(super) village: &'a str,
    pub(super) code: &'a str,
    /// Where the registered target is.
    pub(super) of_target: Option<&'a Place>,
}

/// What the names alone give.
struct ByNames {
    village: Option<String>,
    town: Option<String>,
    codes: BTreeSet<Correction>,
}

/// The place of a row.
pub(super) fn place(
    cells: &PlaceCells<'_>,
    divisions: &Divisions,
    vocabulary: &Vocabulary,
    codes: &mut BTreeSet<Correction>,
) -> Result<Place, RejectReason> {
    let code: String = cells.code.chars().filter(|c| !c.is_whitespace()).collect();
    let code = code.strip_prefix('\'').unwrap_or(&code);
    let names = by_names(cells, divisions, vocabulary);
    if let Some(place) = divisions.with_town(code) {
        if names.village.as_deref().is_some_and(|village| village != code) {
            codes.insert(Correction::PlaceConflict);
        }
        return Ok(place);
    }
    if !code.is_empty() {
        codes.insert(Correction::VillageCodeUnusable);
    }
    if let Some(place) = names.village.and_then(|village| divisions.with_town(&village)) {
        codes.extend(names.codes);
        return Ok(place);
    }
    if cells.town.is_empty()
        && cells.village.is_empty()
        && let Some(place) = cells.of_target
    {
        codes.insert(Correction::PlaceFromTarget);
        return Ok(place.clone());
    }
    let Some(town) = names.town else { return Err(RejectReason::UnknownPlace) };
    codes.insert(Correction::VillageUnresolved);
    Ok(Place { town, village: None })
}

fn by_names(cells: &PlaceCells<'_>, divisions: &Divisions, vocabulary: &Vocabulary) -> ByNames {
    let cell = without_district(cells.village);
    let embedded = divisions.embedded_town(cell);
    let key = village_suffixes_off(embedded.map_or(cell, |(rest, _)| rest));
    let town_of_cell = divisions.town(cells.town);
    let town = if cells.town.is_empty() { embedded.map(|(_, town)| town) } else { town_of_cell };
    let mut found = ByNames { village: None, town: town.map(str::to_owned), codes: BTreeSet::new() };
    if key.is_empty() {
        return found;
    }
    let is_real = divisions.by_key.contains_key(key);
    let alias = vocabulary.village_of_alias(key).filter(|_| !is_real);
    if let Some((village, its_town)) = alias.and_then(|village| Some((village, divisions.town_of(village)?))) {
        found.codes.insert(Correction::VillageAlias);
        if town_of_cell != Some(its_town) {
            found.codes.insert(Correction::TownFixed);
        }
        found.village = Some(village.to_owned());
        return found;
    }
    let in_town = town.and_then(|town| divisions.by_town_and_key.get(&(town.to_owned(), key.to_owned())));
    if let Some(village) = in_town {
        if cells.town.is_empty() {
            found.codes.insert(Correction::TownFixed);
        }
        found.village = Some(village.clone());
    } else if let Some(village) = divisions.only(key) {
        found.codes.insert(Correction::TownFixed);
        found.village = Some(village.to_owned());
    }
    found
}

fn without_district(cell: &str) -> &str {
    let cell = cell.strip_prefix("北京市").unwrap_or(cell);
    cell.strip_prefix("平谷区").unwrap_or(cell)
}

fn town_key(name: &str) -> &str {
    TOWN_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name)
}

fn village_key(name: &str) -> &str {
    village_suffixes_off(without_district(name))
}

fn village_suffixes_off(name: &str) -> &str {
    let name = VILLAGE_SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
    let name = name.strip_suffix("社区").unwrap_or(name);
    name.strip_suffix('村').filter(|rest| rest.chars().count() >= 2).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "code,name,level,parent_code\n110117105,大华山镇,town,110117\n110117004,峪口地区,town,110117\n\
        110117105208,大华山村委会,village,110117105\n110117105211,西峪村委会,village,110117105\n\
        110117004202,东凡各庄村委会,village,110117004\n110117004203,西峪村民委员会,village,110117004\n\
        110117004001,迎宾花园社区居委会,village,110117004\n";

    fn read(town: &str, village: &str, code: &str) -> (Option<(String, Option<String>)>, Vec<&'static str>) {
        let divisions = Divisions::parse(LIST.as_bytes()).unwrap();
        let of_target = Place { town: "110117105".to_owned(), village: Some("110117105208".to_owned()) };
        let cells = PlaceCells { town, village, code, of_target: Some(&of_target) };
        let mut codes = BTreeSet::new();
        let place = place(&cells, &divisions, &Vocabulary::built_in().unwrap(), &mut codes);
        (place.ok().map(|place| (place.town, place.village)), codes.into_iter().map(Correction::name).collect())
    }

    #[test]
    fn places_follow_code_then_names_then_target() {
        let at = |town: &str, village: &str| Some((town.to_owned(), Some(village.to_owned())));
        let dahuashan = || at("110117105", "110117105208");
        assert_eq!(read("大华山镇", "大华山村", "110117105208"), (dahuashan(), vec![]));
        assert_eq!(read("大华山", "大华山村委会", "' 110117105208"), (dahuashan(), vec![]));
        assert_eq!(read("大华山镇", "西峪", "110117105208"), (dahuashan(), vec!["PLACE_CONFLICT"]));
        assert_eq!(
            read("大华山乡", "北京市平谷区大华山镇大华山村", "110117"),
            (dahuashan(), vec!["VILLAGE_CODE_UNUSABLE"])
        );
        assert_eq!(read("", "大华山镇西峪村", ""), (at("110117105", "110117105211"), vec!["TOWN_FIXED"]));
        assert_eq!(read("峪口镇", "西峪村", ""), (at("110117004", "110117004203"), vec![]));
        assert_eq!(read("峪口镇", "迎宾花园", ""), (at("110117004", "110117004001"), vec![]));
        assert_eq!(read("", "", ""), (dahuashan(), vec!["PLACE_FROM_TARGET"]));
        assert_eq!(read("峪口", "大华山", ""), (dahuashan(), vec!["TOWN_FIXED"]));
        assert_eq!(read("", "西峪", ""), (None, vec![]), "two villages have this name");
        assert_eq!(read("峪口地区", "三队", ""), (Some(("110117004".to_owned(), None)), vec!["VILLAGE_UNRESOLVED"]));
        assert_eq!(read("某镇", "三队", ""), (None, vec![]));
    }

    #[test]
    fn alias_of_a_village_names_it_and_its_town() {
        let village = Some(("110117004".to_owned(), Some("110117004202".to_owned())));
        assert_eq!(read("峪口镇", "东樊各庄村", ""), (village.clone(), vec!["VILLAGE_ALIAS"]));
        assert_eq!(read("", "东樊各庄", ""), (village.clone(), vec!["TOWN_FIXED", "VILLAGE_ALIAS"]));
        assert_eq!(read("", "峪口镇东樊各庄", ""), (village, vec!["TOWN_FIXED", "VILLAGE_ALIAS"]));
    }

    #[test]
    fn list_that_is_no_list_is_refused_with_its_line() {
        assert_eq!(Divisions::parse(b"a,b\n"), Err(DivisionsError::Header));
        let bad = format!("{LIST}12,某村,village,110117105\n");
        assert!(matches!(Divisions::parse(bad.as_bytes()), Err(DivisionsError::Line { line: 9, .. })));
        let short = format!("{LIST}12,某村\n");
        assert!(matches!(Divisions::parse(short.as_bytes()), Err(DivisionsError::Csv { .. })));
    }
}
