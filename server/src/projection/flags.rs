//! What a reviewer should look at twice: the flags of every record, kept in step with records and directories.
//!
//! The rules are those of [`qianmo_forms::flags`]. Most look at one record and its entries in the directories; two look across the
//! records of one person: two visits at once, the same text on many days. So a record that is written touches others: whoever
//! shares a day or a text with it, and, when it is an entry of a directory, whoever names it. What is touched is noted while a
//! batch is written and judged at its end, in the same transaction.
//!
//! # Invariants
//!
//! 1. The flags of all records are those that the rules find over all of them at once
//!    (`prop_flags_equal_judging_all_records_at_once_after_random_histories`); a model in which they are not is built anew
//!    ([`Whole::agrees`]).
//! 2. A record that is gone, withdrawn or unreadable has no flags and gives others none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde_json::Value;

use qianmo_forms::flags::{self, Flag, FlagFacts, FlagRules, Position, own_flags};
use qianmo_forms::vocabulary::{Vocabulary, VocabularyError};
use qianmo_forms::{Date, FormKind, FormSet, Time};

use super::marks::set_flags;
use super::{ProjectedRecord, UNREADABLE};
use crate::times;

/// What is known of each record that flags can be found on, and of the entries of directories that the rules ask for.
pub(super) const SCHEMA: &str = "
CREATE TABLE fact (
    number INTEGER PRIMARY KEY,
    staff TEXT NOT NULL,
    day INTEGER NOT NULL,
    starts INTEGER,
    ends INTEGER,
    text BLOB,
    target TEXT
);
CREATE INDEX fact_stay ON fact (staff, day, starts);
CREATE INDEX fact_text ON fact (staff, text);
CREATE INDEX fact_target ON fact (target);
CREATE TABLE known (
    form TEXT NOT NULL,
    key TEXT NOT NULL,
    number INTEGER NOT NULL,
    said TEXT NOT NULL,
    PRIMARY KEY (form, key, number)
) WITHOUT ROWID;
CREATE INDEX known_number ON known (number);
";

/// What answers mean, and what is asked of them.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) forms: Arc<FormSet>,
    vocabulary: Vocabulary,
}

impl Rules {
    /// With the vocabulary that ships with the program.
    pub(super) fn new(forms: Arc<FormSet>) -> Result<Self, VocabularyError> {
        Ok(Self { forms, vocabulary: Vocabulary::built_in()? })
    }
}

/// The bit of [`Flag::LateReport`].
pub(super) const LATE_BIT: u16 = 8;
/// Forms of directories that the rules ask for.
const TARGET: &str = "target";
const STAFF: &str = "staff";
const STATION: &str = "station";

/// The flags of one record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlagSet(u16);

impl FlagSet {
    fn bit(flag: Flag) -> u16 {
        Flag::ALL.iter().position(|known| *known == flag).map_or(0, |at| 1 << at)
    }

    /// In the order of their names.
    pub fn iter(self) -> impl Iterator<Item = Flag> {
        Flag::ALL.into_iter().filter(move |flag| self.0 & Self::bit(*flag) != 0)
    }

    /// As the database has it.
    pub(super) const fn bits(self) -> u16 {
        self.0
    }

    /// As the database has it.
    pub(super) fn from_bits(bits: i64) -> Self {
        Self(u16::try_from(bits).unwrap_or(0))
    }
}

impl FromIterator<Flag> for FlagSet {
    fn from_iter<T: IntoIterator<Item = Flag>>(flags: T) -> Self {
        Self(flags.into_iter().fold(0, |bits, flag| bits | Self::bit(flag)))
    }
}

/// Those that follow from other records of the same person.
fn across() -> FlagSet {
    [Flag::TimeOverlap, Flag::CopiedText].into_iter().collect()
}

/// What a record says that the rules across records ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fact {
    staff: String,
    day: i64,
    /// Start and end of a stay on site, in minutes since midnight.
    stay: Option<(u16, u16)>,
    text: Option<[u8; 16]>,
    target: Option<String>,
}

/// What an entry of a directory says: a target where it is, a person at which stations, a station its code.
type Known = BTreeMap<(&'static str, String), String>;

/// A record as the rules read it.
struct Told<'a> {
    record: &'a ProjectedRecord,
    day: Date,
}

impl<'a> Told<'a> {
    /// `None` for a record that flags say nothing about.
    fn of(forms: &FormSet, record: &'a ProjectedRecord) -> Option<Self> {
        if record.is_gone || matches!(record.state.as_str(), "withdrawn" | UNREADABLE) {
            return None;
        }
        let form = forms.for_record(&record.form, record.form_version)?;
        if form.kind() == FormKind::Registry {
            return None;
        }
        let day = Date::from_iso(record.fields.get("activity_date")?.as_str()?)?;
        Some(Self { record, day })
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.record.fields.get(name)?.as_str().filter(|text| !text.is_empty())
    }

    fn minutes(&self, name: &str) -> Option<u16> {
        let time = Time::from_iso(self.text(name)?)?;
        Some(u16::from(time.hour()) * 60 + u16::from(time.minute()))
    }

    fn is_onsite(&self) -> bool {
        self.text("service_mode") == Some("onsite")
    }

    fn staff(&self) -> &'a str {
        self.text("staff_id").unwrap_or(&self.record.author)
    }

    /// When it was written down. A ledger says so itself, or nobody knows.
    fn reported(&self) -> Option<i64> {
        let day = |text: &str| Date::from_iso(text).map(Date::days_since_1970);
        match self.text("reported_on") {
            Some(text) => day(text),
            None if self.text("import_key").is_some() => None,
            None => day(&times::day(self.record.created_at)?),
        }
    }

    fn fact(&self) -> Fact {
        let stay = self.minutes("start_time").zip(self.minutes("end_time")).filter(|_| self.is_onsite());
        Fact {
            staff: self.staff().to_owned(),
            day: self.day.days_since_1970(),
            stay,
            text: flags::text_hash(self.text("content").unwrap_or_default()).map(u128::to_be_bytes),
            target: self.text("target_id").map(ToOwned::to_owned),
        }
    }

    fn station(&self) -> &'a str {
        self.record.station.as_deref().unwrap_or_default()
    }

    /// With what the directories say of the person and the target.
    fn facts(&self, staff_at_station: bool, target_position: Option<Position>) -> FlagFacts<'a> {
        FlagFacts {
            form: &self.record.form,
            onsite: self.is_onsite(),
            staff: Some(self.staff()),
            staff_at_station,
            day: self.day.days_since_1970(),
            month: self.day.month(),
            reported_day: self.reported(),
            start: self.minutes("start_time"),
            end: self.minutes("end_time"),
            position: position(&self.record.fields),
            target_position,
            photo_count: self.record.fields.get("photo_count").and_then(Value::as_u64),
            crop: self.text("crop_id"),
            pest: self.text("pest_id"),
            content: self.text("content").unwrap_or_default(),
        }
    }
}

/// The point that latitude and longitude of a record name.
fn position(fields: &Value) -> Option<Position> {
    let degrees = |name: &str| fields.get(name)?.as_str()?.parse::<f64>().ok().filter(|degrees| degrees.is_finite());
    Some(Position { lat: degrees("lat")?, lon: degrees("lon")? })
}

fn point(said: &str) -> Option<Position> {
    let (lat, lon) = said.split_once(' ')?;
    Some(Position { lat: lat.parse().ok()?, lon: lon.parse().ok()? })
}

/// What an entry of a directory says, under its document and under its code.
fn known(record: &ProjectedRecord) -> Known {
    let text = |name: &str| record.fields.get(name).and_then(Value::as_str).unwrap_or_default();
    let is_entry = !record.is_gone && record.state != "withdrawn";
    let (form, said) = match record.form.as_str() {
        TARGET if is_entry => {
            let Some(at) = position(&record.fields) else { return Known::new() };
            (TARGET, format!("{} {}", at.lat, at.lon))
        }
        STAFF if is_entry => (STAFF, text("station_ids").to_owned()),
        STATION if is_entry => (STATION, text("code").to_owned()),
        _ => return Known::new(),
    };
    let keys = [record.id.to_string(), text("code").to_owned()];
    keys.into_iter().filter(|key| !key.is_empty()).map(|key| ((form, key), said.clone())).collect()
}

/// What a batch touched, to be judged at its end.
#[derive(Debug, Default)]
pub(super) struct Touched {
    numbers: BTreeSet<i64>,
    stays: BTreeSet<(String, i64)>,
    texts: BTreeSet<(String, [u8; 16])>,
    everything: bool,
}

impl Touched {
    fn fact(&mut self, fact: &Fact) {
        if fact.stay.is_some() {
            self.stays.insert((fact.staff.clone(), fact.day));
        }
        if let Some(text) = fact.text {
            self.texts.insert((fact.staff.clone(), text));
        }
    }
}

fn read_fact(row: &rusqlite::Row<'_>) -> Result<Fact, rusqlite::Error> {
    let (starts, ends): (Option<u16>, Option<u16>) = (row.get(2)?, row.get(3)?);
    Ok(Fact { staff: row.get(0)?, day: row.get(1)?, stay: starts.zip(ends), text: row.get(4)?, target: row.get(5)? })
}

/// Takes in what a record says now in place of what it said.
pub(super) fn take_in(
    connection: &Connection,
    forms: &FormSet,
    number: i64,
    record: &ProjectedRecord,
    touched: &mut Touched,
) -> Result<(), rusqlite::Error> {
    let mut before =
        connection.prepare_cached("SELECT staff, day, starts, ends, text, target FROM fact WHERE number = ?1")?;
    if let Some(before) = before.query_row([number], read_fact).optional()? {
        touched.fact(&before);
        connection.prepare_cached("DELETE FROM fact WHERE number = ?1")?.execute([number])?;
    }
    if let Some(told) = Told::of(forms, record) {
        let fact = told.fact();
        touched.fact(&fact);
        let (starts, ends) = fact.stay.unzip();
        connection.prepare_cached("INSERT INTO fact VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(params![
            number,
            fact.staff,
            fact.day,
            starts,
            ends,
            fact.text,
            fact.target
        ])?;
    }
    touched.numbers.insert(number);
    entry(connection, number, record, touched)
}

/// The same for an entry of a directory: whoever names it is touched.
fn entry(
    connection: &Connection,
    number: i64,
    record: &ProjectedRecord,
    touched: &mut Touched,
) -> Result<(), rusqlite::Error> {
    let mut said = connection.prepare_cached("SELECT form, key, said FROM known WHERE number = ?1")?;
    let read = |row: &rusqlite::Row<'_>| Ok(((row.get::<_, String>(0)?, row.get(1)?), row.get(2)?));
    let before: BTreeMap<(String, String), String> = said.query_map([number], read)?.collect::<Result<_, _>>()?;
    let now: BTreeMap<(String, String), String> =
        known(record).into_iter().map(|((form, key), said)| ((form.to_owned(), key), said)).collect();
    if before == now {
        return Ok(());
    }
    connection.prepare_cached("DELETE FROM known WHERE number = ?1")?.execute([number])?;
    let mut put = connection.prepare_cached("INSERT INTO known VALUES (?1, ?2, ?3, ?4)")?;
    for ((form, key), said) in &now {
        put.execute(params![form, key, number, said])?;
    }
    for (form, key) in before.keys().chain(now.keys()) {
        let naming = match form.as_str() {
            TARGET => "SELECT number FROM fact WHERE target = ?1",
            STAFF => "SELECT number FROM fact WHERE staff = ?1",
            _ => {
                touched.everything = true;
                return Ok(());
            }
        };
        let mut naming = connection.prepare_cached(naming)?;
        let numbers = naming.query_map([key], |row| row.get(0))?;
        touched.numbers.extend(numbers.collect::<Result<Vec<i64>, _>>()?);
    }
    Ok(())
}

/// Judges what a batch touched.
pub(super) fn judge(connection: &Connection, rules: &Rules, mut touched: Touched) -> Result<(), rusqlite::Error> {
    if touched.everything {
        everything(connection, &mut touched)?;
    }
    let across = across();
    let mut record =
        connection.prepare_cached(&format!("SELECT {} FROM record WHERE number = ?1", super::row::COLUMNS))?;
    let put = set_flags("((flags & ?2) | ?3)");
    let mut put = connection
        .prepare_cached(&format!("UPDATE record SET {put} WHERE number = ?1 AND flags <> (flags & ?2) | ?3"))?;
    for number in &touched.numbers {
        let record = record.query_row([number], super::row::read)?;
        let (kept, own) = match Told::of(&rules.forms, &record) {
            Some(told) => (across.0, own_flags(&facts(connection, &told)?, &rules.vocabulary).into_iter().collect()),
            None => (0, FlagSet::default()),
        };
        put.execute(params![number, kept, own.0])?;
    }
    let mark = set_flags("((flags & ~?2) | ?3)");
    let mut mark =
        connection.prepare_cached(&format!("UPDATE record SET {mark} WHERE number = ?1 AND (flags & ?2) <> ?3"))?;
    let mut stays = connection
        .prepare_cached("SELECT starts, ends, number FROM fact WHERE staff = ?1 AND day = ?2 AND starts IS NOT NULL")?;
    for (staff, day) in &touched.stays {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?.unsigned_abs()));
        let mut of_day: Vec<flags::Stay> = stays.query_map(params![staff, day], read)?.collect::<Result<_, _>>()?;
        let found: BTreeSet<_> = flags::overlapping(&mut of_day).into_iter().collect();
        let bit = FlagSet::bit(Flag::TimeOverlap);
        for (_, _, number) in of_day {
            mark.execute(params![number.cast_signed(), bit, if found.contains(&number) { bit } else { 0 }])?;
        }
    }
    let mut texts = connection.prepare_cached("SELECT number, day FROM fact WHERE staff = ?1 AND text = ?2")?;
    for (staff, text) in &touched.texts {
        let read = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?));
        let uses: Vec<(i64, i64)> = texts.query_map(params![staff, text], read)?.collect::<Result<_, _>>()?;
        let bit = FlagSet::bit(Flag::CopiedText);
        let is_copied = flags::is_copied(uses.iter().map(|(_, day)| *day));
        for (number, _) in uses {
            mark.execute(params![number, bit, if is_copied { bit } else { 0 }])?;
        }
    }
    // Whoever has no stay or no text any more shares none with others.
    for (flag, column) in [(Flag::TimeOverlap, "starts"), (Flag::CopiedText, "text")] {
        let mut alone = connection.prepare_cached(&format!(
            "SELECT EXISTS (SELECT 1 FROM fact WHERE number = ?1 AND {column} IS NOT NULL)"
        ))?;
        for number in &touched.numbers {
            if !alone.query_row([number], |row| row.get::<_, bool>(0))? {
                mark.execute(params![number, FlagSet::bit(flag), 0])?;
            }
        }
    }
    Ok(())
}

fn everything(connection: &Connection, touched: &mut Touched) -> Result<(), rusqlite::Error> {
    let mut all = connection.prepare("SELECT staff, day, starts, ends, text, target, number FROM fact")?;
    let mut rows = all.query([])?;
    while let Some(row) = rows.next()? {
        touched.fact(&read_fact(row)?);
        touched.numbers.insert(row.get(6)?);
    }
    Ok(())
}

/// A record's facts with what the directories say.
fn facts<'a>(connection: &Connection, told: &Told<'a>) -> Result<FlagFacts<'a>, rusqlite::Error> {
    let mut said = connection.prepare_cached("SELECT said FROM known WHERE form = ?1 AND key = ?2 ORDER BY number")?;
    let mut of = |form: &str, key: &str| -> Result<Vec<String>, rusqlite::Error> {
        said.query_map([form, key], |row| row.get(0))?.collect()
    };
    let target = match told.text("target_id") {
        Some(target) => of(TARGET, target)?.first().and_then(|said| point(said)),
        None => None,
    };
    let entries = of(STAFF, told.staff())?;
    let tokens: Vec<&str> = entries.iter().flat_map(|said| said.split_whitespace()).collect();
    let mut codes = Vec::new();
    for token in &tokens {
        codes.extend(of(STATION, token)?.into_iter().next());
    }
    // Somebody whom no directory knows is not held to be from elsewhere.
    let is_known = !entries.is_empty();
    let is_at = !is_known
        || tokens.iter().copied().chain(codes.iter().map(String::as_str)).any(|station| station == told.station());
    Ok(told.facts(is_at, target))
}

/// Where a record was made and where its target is, as far as that is known.
pub(super) fn places(
    connection: &Connection,
    forms: &FormSet,
    record: &ProjectedRecord,
) -> Result<[Option<Position>; 2], rusqlite::Error> {
    let Some(told) = Told::of(forms, record) else { return Ok([None, None]) };
    let facts = facts(connection, &told)?;
    Ok([facts.position, facts.target_position])
}

/// All records at once: what the tables and flags must come to.
#[derive(Debug, Default)]
pub(super) struct Whole {
    rules: FlagRules,
    facts: BTreeMap<i64, Fact>,
    known: BTreeMap<(&'static str, String), BTreeMap<i64, String>>,
    flags: BTreeMap<i64, FlagSet>,
}

impl Whole {
    /// With every entry of the directories.
    pub(super) fn with_directories(connection: &Connection) -> Result<Self, rusqlite::Error> {
        let mut whole = Self::default();
        let columns = super::row::COLUMNS;
        let mut entries =
            connection.prepare(&format!("SELECT {columns}, number FROM record WHERE form IN (?1, ?2, ?3)"))?;
        let mut rows = entries.query([TARGET, STAFF, STATION])?;
        while let Some(row) = rows.next()? {
            for (key, said) in known(&super::row::read(row)?) {
                whole.known.entry(key).or_default().insert(row.get("number")?, said);
            }
        }
        Ok(whole)
    }

    /// Takes in one record, with the flags that stand in the model.
    pub(super) fn take(&mut self, rules: &Rules, number: i64, record: &ProjectedRecord) {
        self.flags.insert(number, record.flags);
        if let Some(told) = Told::of(&rules.forms, record) {
            let facts = self.facts(&told);
            self.rules.handle(number.unsigned_abs(), &facts, &rules.vocabulary);
            self.facts.insert(number, told.fact());
        }
    }

    /// Whether what stands in the model is what the rules find over all of it.
    pub(super) fn agrees(mut self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        let mut expected: BTreeMap<i64, FlagSet> =
            self.flags.keys().map(|number| (*number, FlagSet::default())).collect();
        for (flag, numbers) in core::mem::take(&mut self.rules).finish() {
            for number in numbers {
                expected.entry(number.cast_signed()).or_default().0 |= FlagSet::bit(flag);
            }
        }
        Ok(expected == self.flags && self.facts == stored_facts(connection)? && self.known_stands(connection)?)
    }

    fn facts<'a>(&self, told: &Told<'a>) -> FlagFacts<'a> {
        let of = |form: &'static str, key: &str| self.known.get(&(form, key.to_owned()));
        let first = |said: &BTreeMap<i64, String>| said.values().next().cloned();
        let target = told.text("target_id").and_then(|target| point(&of(TARGET, target).and_then(first)?));
        let entries: Vec<&String> = of(STAFF, told.staff()).into_iter().flat_map(BTreeMap::values).collect();
        let tokens: Vec<&str> = entries.iter().flat_map(|said| said.split_whitespace()).collect();
        let codes: Vec<String> = tokens.iter().filter_map(|token| of(STATION, token).and_then(first)).collect();
        let is_known = !entries.is_empty();
        told.facts(
            !is_known
                || tokens
                    .iter()
                    .copied()
                    .chain(codes.iter().map(String::as_str))
                    .any(|station| station == told.station()),
            target,
        )
    }

    fn known_stands(&self, connection: &Connection) -> Result<bool, rusqlite::Error> {
        let mut statement = connection.prepare("SELECT form, key, number, said FROM known")?;
        let mut rows = statement.query([])?;
        let mut count = 0_usize;
        while let Some(row) = rows.next()? {
            let (form, key, number, said): (String, String, i64, String) =
                (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
            let form = [TARGET, STAFF, STATION].into_iter().find(|known| *known == form).unwrap_or_default();
            if self.known.get(&(form, key)).and_then(|of_key| of_key.get(&number)) != Some(&said) {
                return Ok(false);
            }
            count += 1;
        }
        Ok(count == self.known.values().map(BTreeMap::len).sum::<usize>())
    }
}

fn stored_facts(connection: &Connection) -> Result<BTreeMap<i64, Fact>, rusqlite::Error> {
    let mut statement = connection.prepare("SELECT staff, day, starts, ends, text, target, number FROM fact")?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(6)?, read_fact(row)?));
    statement.query_map([], read)?.collect()
}

#[cfg(test)]
mod tests;
