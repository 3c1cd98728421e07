//! Filing: what a ledger and its directory hold, as records on this device.
//!
//! Directory entries come first, keyed by their codes: one that is here with the same answers is left alone, one that differs is edited.
//! Then the rows, in the logbook of their station and the month of the activity. Each carries an import key, so that importing again
//! changes nothing.
//!
//! # The import key
//!
//! `L1-` and 32 hexadecimal digits: the first half of the SHA-256 of the ledger's year, the station's code and the record number in upper
//! case; of the business key (station, type, date, person, target, start) where the ledger has no number. It depends on nothing else, so two
//! tablets that import the same row give it the same key, and duplicates can be found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use qianmo_client_core::{
    FieldClient, FieldEdit, FieldValue, ImportRights, ImportedRecord, ImportedState, ReadError, RecordDraft,
    RecordFilter, RecordId, RecordRow, ReviewStatus, WriteError,
};
use qianmo_forms::indicators::TargetKey;
use qianmo_forms::{Form, FormSet};
use sha2::{Digest as _, Sha256};

use super::directory::Directory;
use super::entries::{self, Entry};
use super::number::of_hundredths;
use super::row::{CleanRow, Term};
use crate::answers;

/// Records handed to the store at once: some hundred kilobytes.
const BATCH: usize = 512;
/// Records read at once.
const PAGE: usize = 200;
/// Characters of a text that a form's short field keeps.
const SHORT_CHARS_MAX: usize = 200;
/// Characters of a record number that forms keep.
const NUMBER_CHARS_MAX: usize = 80;
/// Rows that a form did not take, told one by one.
const UNTAKEN_MAX: usize = 20;

/// Why filing ends early. What was filed is filed; importing again goes on.
#[derive(Debug, thiserror::Error)]
pub enum FilingError {
    /// The store took no more.
    #[error("the records could not be saved")]
    Write(#[from] WriteError),
    /// The store could not be read.
    #[error("the records here could not be read")]
    Read(#[from] ReadError),
}

/// What came of the directory's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EntriesFiled {
    /// New.
    pub created: usize,
    /// Changed to what the file says.
    pub changed: usize,
    /// Here already.
    pub unchanged: usize,
    /// Not this person's to write.
    pub not_allowed: usize,
    /// Not taken by the form.
    pub untaken: usize,
}

/// What came of the rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsFiled {
    /// New.
    pub created: usize,
    /// Here already, by their import key.
    pub known: usize,
    /// Not filed, because a record here is of the same activity: the place in the ledger, and the record. At most so many are told.
    pub same: usize,
    /// The first of those.
    pub same_rows: Vec<(u64, RecordId)>,
    /// Not asked for, by station.
    pub left_out: usize,
    /// Not taken by the form.
    pub untaken: usize,
    /// The first of those, with what the form says in Chinese and English.
    pub untaken_rows: Vec<(u64, String)>,
}

/// How to file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilingPlan {
    /// The year of the ledger.
    pub year: u16,
    /// What this person may bring in.
    pub rights: ImportRights,
    /// Whether states of review come along; else every row but a draft is handed in as a new record is.
    pub with_states: bool,
    /// Only rows of these stations; all if empty.
    pub stations: BTreeSet<String>,
}

/// A filing at work.
#[derive(Debug)]
pub struct Filing<'a> {
    client: &'a FieldClient,
    forms: Arc<FormSet>,
    directory: &'a Directory,
    plan: FilingPlan,
    /// Station and import key: what other stations' people wrote is no reason to leave a row out.
    keys: BTreeSet<(String, String)>,
    /// What tells activities apart, to the record of it that is here.
    activities: BTreeMap<String, RecordId>,
    /// Form and code to what is here.
    held: BTreeMap<(String, String, String), RecordRow>,
    ids: BTreeMap<(String, String), RecordId>,
    batch: Vec<(u64, ImportedRecord)>,
    entries: EntriesFiled,
    rows: RowsFiled,
}

/// Station, form, date, person, target and start.
fn activity(parts: [&str; 6]) -> String {
    parts.join("\u{1f}")
}

/// A target that is in no directory.
fn named(name: &str) -> String {
    format!("name:{name}")
}

/// The station whose logbook a record lives in, which the hub has judged; what a record says of itself is its author's word.
fn home_station(row: &RecordRow) -> &str {
    row.logbook.split('/').next().unwrap_or_default()
}

/// What tells the activity of a record apart; `None` for an entry of a directory.
fn activity_of(row: &RecordRow) -> Option<String> {
    let text = |name: &str| match row.fields.get(name) {
        Some(FieldValue::Text(text)) => Some(text.as_str()),
        Some(FieldValue::Null | FieldValue::Bool(_) | FieldValue::Int(_)) | None => None,
    };
    let target = text("target_id").map(ToOwned::to_owned).or_else(|| text("target_name").map(named));
    Some(activity([
        home_station(row),
        &row.form,
        text("activity_date")?,
        text("staff_id")?,
        &target.unwrap_or_default(),
        text("start_time").unwrap_or_default(),
    ]))
}

impl<'a> Filing<'a> {
    /// Reads what is here already: import keys and directory entries.
    ///
    /// # Errors
    /// [`FilingError::Read`].
    pub fn start(client: &'a FieldClient, directory: &'a Directory, plan: FilingPlan) -> Result<Self, FilingError> {
        let mut filing = Self {
            client,
            forms: client.forms(),
            directory,
            plan,
            keys: BTreeSet::new(),
            activities: BTreeMap::new(),
            held: BTreeMap::new(),
            ids: BTreeMap::new(),
            batch: Vec::new(),
            entries: EntriesFiled::default(),
            rows: RowsFiled::default(),
        };
        let mut filter = RecordFilter { with_withdrawn: true, limit: PAGE, ..RecordFilter::default() };
        loop {
            let page = client.records(filter.clone())?;
            page.rows.into_iter().for_each(|row| filing.note(row));
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return Ok(filing),
            }
        }
    }

    fn note(&mut self, row: RecordRow) {
        if row.review != ReviewStatus::Withdrawn
            && let Some(activity) = activity_of(&row)
        {
            self.activities.insert(activity, row.id);
        }
        if let Some(FieldValue::Text(key)) = row.fields.get("import_key") {
            // A withdrawn one counts too: who withdrew it does not want it back.
            self.keys.insert((home_station(&row).to_owned(), key.clone()));
            return;
        }
        let Some(FieldValue::Text(code)) = row.fields.get("code") else { return };
        if row.review == ReviewStatus::Withdrawn {
            return;
        }
        let slot = (row.form.clone(), place_of(&row), code.clone());
        let is_first =
            self.held.get(&slot).is_none_or(|held| (row.created_at_ms, row.id) < (held.created_at_ms, held.id));
        if is_first {
            self.ids.insert((row.form.clone(), code.clone()), row.id);
            self.held.insert(slot, row);
        }
    }

    /// Files the directory's entries, in the order of their references.
    ///
    /// # Errors
    /// [`FilingError`].
    pub async fn entries(&mut self) -> Result<EntriesFiled, FilingError> {
        self.file_entries(entries::organizations(self.directory)).await?;
        let next = entries::stations_and_people(self.directory, &|form, code| self.id_text(form, code));
        self.file_entries(next).await?;
        self.file_entries(entries::targets_and_tasks(self.directory, self.plan.year)).await?;
        let next = entries::agreements(self.directory, &|form, code| self.id_text(form, code));
        self.file_entries(next).await?;
        Ok(self.entries)
    }

    fn id_text(&self, form: &str, code: &str) -> Option<String> {
        self.ids.get(&(form.to_owned(), code.to_owned())).map(ToString::to_string)
    }

    async fn file_entries(&mut self, wanted: Vec<Entry>) -> Result<(), FilingError> {
        let mut created: Vec<(Entry, ImportedRecord)> = Vec::new();
        for mut entry in wanted {
            let Some(form) = self.forms.get(entry.form).cloned() else { continue };
            entry.fields.retain(|name, _| form.field(name).is_some());
            let is_allowed = entry
                .station
                .as_ref()
                .map_or(self.plan.rights.organisation, |station| self.plan.rights.directories.contains(station));
            if !is_allowed {
                self.entries.not_allowed += 1;
                continue;
            }
            let slot = (entry.form.to_owned(), entry.station.clone().unwrap_or_default(), entry.code.clone());
            if let Some(held) = self.held.get(&slot) {
                let edits = differences(&form, &entry, held);
                self.edit_entry(held.id, held.version.clone(), edits).await?;
                continue;
            }
            let draft = RecordDraft {
                station: entry.station.clone(),
                fields: entry.fields.clone(),
                ..RecordDraft::new(entry.form)
            };
            created.push((entry, ImportedRecord { draft, state: ImportedState::Unsubmitted }));
        }
        let (entries, records): (Vec<Entry>, Vec<ImportedRecord>) = created.into_iter().unzip();
        for (entries, records) in entries.chunks(BATCH).zip(records.chunks(BATCH)) {
            for (entry, result) in entries.iter().zip(self.client.import(records.to_vec()).await?) {
                match result {
                    Ok(id) => {
                        self.ids.insert((entry.form.to_owned(), entry.code.clone()), id);
                        self.entries.created += 1;
                    }
                    Err(_not_taken) => self.entries.untaken += 1,
                }
            }
        }
        Ok(())
    }

    async fn edit_entry(
        &mut self,
        id: RecordId,
        version: qianmo_client_core::RecordVersion,
        edits: Vec<FieldEdit>,
    ) -> Result<(), FilingError> {
        if edits.is_empty() {
            self.entries.unchanged += 1;
            return Ok(());
        }
        match self.client.edit(id, version, edits).await {
            Ok(()) => self.entries.changed += 1,
            Err(WriteError::Invalid { .. }) => self.entries.untaken += 1,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Files a row, now or with those after it.
    ///
    /// # Errors
    /// [`FilingError`].
    pub async fn row(&mut self, row: &CleanRow) -> Result<(), FilingError> {
        if !self.plan.stations.is_empty() && !self.plan.stations.contains(&row.station) {
            self.rows.left_out += 1;
            return Ok(());
        }
        let key = row.import_key(self.plan.year);
        if !self.keys.insert((row.station.clone(), key.clone())) {
            self.rows.known += 1;
            return Ok(());
        }
        // A row that was refused as a duplicate of one filed before comes back alone: what is here counts as an earlier row.
        if let Some(held) = self.activities.get(&self.activity(row)) {
            self.rows.same += 1;
            if self.rows.same_rows.len() < UNTAKEN_MAX {
                self.rows.same_rows.push((row.row, *held));
            }
            return Ok(());
        }
        let Some(form) = self.forms.get(&row.form) else {
            self.untaken(row.row, format!("没有表单 {0}; no form {0}", row.form));
            return Ok(());
        };
        let mut draft = RecordDraft {
            station: Some(row.station.clone()),
            month: Some(format!("{:04}-{:02}", row.date.year(), row.date.month())),
            fields: self.fields(row, key),
            ..RecordDraft::new(&row.form)
        };
        draft.fields.retain(|name, _| form.field(name).is_some());
        let state = self.state(&row.review);
        self.batch.push((row.row, ImportedRecord { draft, state }));
        if self.batch.len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    /// What tells the activity of a row apart, as [`activity_of`] tells a record's.
    fn activity(&self, row: &CleanRow) -> String {
        let target = match &row.target {
            Some(TargetKey::Registered(code)) => self.id_text("target", code).unwrap_or_else(|| code.clone()),
            Some(TargetKey::Provisional { name, .. }) => named(&short(name, SHORT_CHARS_MAX)),
            None => String::new(),
        };
        let start = row.start.map_or_else(String::new, clock);
        activity([&row.station, &row.form, &row.date.to_string(), &row.staff, &target, &start])
    }

    fn state(&self, review: &str) -> ImportedState {
        match (review, self.plan.with_states) {
            ("draft", _) => ImportedState::Unsubmitted,
            (_, false) => ImportedState::HandedIn,
            ("approved", true) => ImportedState::Approved,
            ("returned", true) => ImportedState::Returned,
            (_, true) => ImportedState::Pending,
        }
    }

    fn untaken(&mut self, row: u64, why: String) {
        self.rows.untaken += 1;
        if self.rows.untaken_rows.len() < UNTAKEN_MAX {
            self.rows.untaken_rows.push((row, why));
        }
    }

    async fn flush(&mut self) -> Result<(), FilingError> {
        let (rows, records): (Vec<u64>, Vec<ImportedRecord>) = core::mem::take(&mut self.batch).into_iter().unzip();
        for (row, result) in rows.into_iter().zip(self.client.import(records).await?) {
            match result {
                Ok(_) => self.rows.created += 1,
                Err(WriteError::Invalid { faults }) => {
                    let fault = faults.first().map(|fault| format!("{}; {}", fault.message.zh, fault.message.en));
                    self.untaken(row, fault.unwrap_or_default());
                }
                Err(error) => self.untaken(row, error.to_string()),
            }
        }
        Ok(())
    }

    /// Files what is left.
    ///
    /// # Errors
    /// [`FilingError`].
    pub async fn finish(mut self) -> Result<RowsFiled, FilingError> {
        self.flush().await?;
        Ok(self.rows)
    }

    fn fields(&self, row: &CleanRow, key: String) -> BTreeMap<String, FieldValue> {
        let mut fields = Fields::default();
        fields.text("record_no", row.record_no.as_deref().map(|number| short(number, NUMBER_CHARS_MAX)));
        fields.text("service_mode", Some(row.mode.clone()));
        fields.text("activity_date", Some(row.date.to_string()));
        fields.text("start_time", row.start.map(clock));
        fields.text("end_time", row.end.map(clock));
        fields.text("reported_on", row.reported.and_then(super::Day::date).map(|date| date.to_string()));
        fields.text("staff_id", Some(row.staff.clone()));
        match &row.target {
            Some(TargetKey::Registered(code)) => {
                fields.text("target_id", Some(self.id_text("target", code).unwrap_or_else(|| code.clone())));
            }
            Some(TargetKey::Provisional { name, .. }) => fields.text("target_name", Some(short(name, SHORT_CHARS_MAX))),
            None => {}
        }
        fields.text("town_code", Some(row.place.town.clone()));
        fields.text("village_code", row.place.village.clone());
        if let Some(position) = row.position {
            fields.text("lat", Some(degrees(position.lat)));
            fields.text("lon", Some(degrees(position.lon)));
            fields.text("coord_system", Some("cgcs2000".to_owned()));
        }
        fields.text("crop_id", row.crop.clone());
        fields.term("variety", &row.variety);
        fields.term("phenology", &row.phenology);
        fields.term("pest", &row.pest);
        fields.term("technology", &row.technology);
        fields.text("content", Some(row.content.clone()));
        fields.text("advice", Some(row.advice.clone()));
        fields.text("remark", Some(row.remark.clone()));
        let area = if matches!(row.form.as_str(), "demo" | "pest_report") { "area_mu" } else { "area_seen_mu" };
        fields.text(area, row.area_hundredths.map(|area| of_hundredths(area).to_string()));
        fields.count("households", row.households);
        fields.count("attendees", row.attendees);
        fields.count("photo_count", row.photo_count);
        fields.count("satisfaction", row.satisfaction.map(u64::from));
        fields.text("demand_category", row.demand.as_ref().map(|demand| demand.category.clone()));
        fields.text("demand_state", row.demand.as_ref().map(|demand| demand.state.clone()));
        let codes: Vec<&str> = row.codes.iter().map(|code| code.name()).collect();
        fields.text("import_codes", Some(codes.join(" ")));
        fields.text("import_key", Some(key));
        fields.0
    }
}

#[derive(Default)]
struct Fields(BTreeMap<String, FieldValue>);

impl Fields {
    fn text(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    fn count(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
            self.0.insert(name.to_owned(), value.into());
        }
    }

    /// The id, or the words where the list has none.
    fn term(&mut self, name: &str, term: &Term) {
        let words = term.text.as_deref().filter(|_| term.id.is_none());
        self.text(&format!("{name}_id"), term.id.clone());
        self.text(&format!("{name}_text"), words.map(|words| short(words, SHORT_CHARS_MAX)));
    }
}

impl CleanRow {
    /// The key of the record that this row becomes; see the module.
    #[must_use]
    pub fn import_key(&self, year: u16) -> String {
        let named = self.number_key().map(|number| format!("{year}\u{1f}{}\u{1f}{number}", self.station));
        let text = named.unwrap_or_else(|| format!("{year}\u{1f}{}", self.business_key()));
        let digits: String =
            Sha256::digest(text.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("L1-{digits}")
    }
}

/// The station in whose directory an entry stands; nothing for the organisation's.
fn place_of(row: &RecordRow) -> String {
    let station = row.logbook.split('/').next().unwrap_or_default();
    if row.station.as_deref() == Some(station) { station.to_owned() } else { String::new() }
}

/// What must be put for an entry to say what the file says. What the file does not say stays.
fn differences(form: &Form, wanted: &Entry, held: &RecordRow) -> Vec<FieldEdit> {
    let differs = |name: &str, value: &FieldValue| {
        let Some(field) = form.field(name) else { return false };
        let canonical = answers::read(field, value).map(|value| answers::keep(&value));
        let is = held.fields.get(name).and_then(|kept| answers::read(field, kept)).map(|value| answers::keep(&value));
        canonical.is_some() && canonical != is
    };
    let put =
        |(name, value): (&String, &FieldValue)| FieldEdit::Set { path: name.as_str().into(), value: value.clone() };
    wanted.fields.iter().filter(|(name, value)| differs(name, value)).map(put).collect()
}

fn short(text: &str, chars: usize) -> String {
    text.chars().take(chars).collect()
}

fn clock(minutes: u16) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

fn degrees(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
