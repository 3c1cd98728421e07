//! One row, cleaned: the checks in their order, and what is repaired.

use std::collections::BTreeSet;

use qianmo_forms::Date;
use qianmo_forms::flags::{FlagFacts, Position};
use qianmo_forms::indicators::{self, Demand, Facts, TargetKey};
use qianmo_forms::vocabulary::{FoundBy, Terms, Vocabulary};

use super::cell::{Cells, Column, normal_id, tokens, without_spaces};
use super::directory::{Directory, Target};
use super::moment::{self, Day};
use super::number;
use super::outcome::{Correction, RejectReason};
use super::place::{Place, PlaceCells, place};
use super::position::position;

/// Largest area of a record, in hundredths of a mu.
const AREA_MAX: i64 = 500_000;
const ATTENDEES_MAX: i64 = 2_000;
const HOUSEHOLDS_MAX: i64 = 5_000;
const PHOTOS_MAX: i64 = 200;
const HONORIFICS: [&str; 6] = ["老师", "教授", "研究员", "博士", "同学", "师傅"];

/// A term of a list, or what was written where the list has none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Term {
    /// The id, if the list has it.
    pub id: Option<String>,
    /// What was written, if the list does not have it.
    pub text: Option<String>,
}

/// A row that is accepted.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct CleanRow {
    /// Its number in the ledger, from 1.
    pub row: u64,
    /// Its record number, as written; blank rows have none.
    pub record_no: Option<String>,
    /// The station's code.
    pub station: String,
    /// The kind of record: the form's id.
    pub form: String,
    /// How the service was given.
    pub mode: String,
    /// The day.
    pub date: Date,
    /// Start, in minutes since midnight.
    pub start: Option<u16>,
    /// End, in minutes since midnight.
    pub end: Option<u16>,
    /// The day of the report.
    pub reported: Option<Day>,
    /// The person's code.
    pub staff: String,
    /// Who was served.
    pub target: Option<TargetKey>,
    /// Where.
    pub place: Place,
    /// The point.
    pub position: Option<Position>,
    /// The crop's id.
    pub crop: Option<String>,
    /// The variety.
    pub variety: Term,
    /// The growth stage.
    pub phenology: Term,
    /// The pest, disease or problem.
    pub pest: Term,
    /// The technology.
    pub technology: Term,
    /// What was done.
    pub content: String,
    /// What was advised.
    pub advice: String,
    /// What else there is to say.
    pub remark: String,
    /// The area, in hundredths of a mu.
    pub area_hundredths: Option<i64>,
    /// Households.
    pub households: Option<u64>,
    /// People who took part.
    pub attendees: Option<u64>,
    /// Photos.
    pub photo_count: Option<u64>,
    /// Points of satisfaction.
    pub satisfaction: Option<u8>,
    /// The demand, for records of that kind.
    pub demand: Option<Demand>,
    /// Where the review stands.
    pub review: String,
    /// What was repaired.
    pub codes: BTreeSet<Correction>,
    /// Whether the person belongs to the station.
    pub staff_at_station: bool,
    /// Where the registered target is.
    pub target_position: Option<Position>,
}

/// A number that must be there for one kind of record.
struct Counted {
    value: Option<i64>,
    by_text: bool,
}

pub(super) struct Cleaning<'a> {
    pub(super) cells: Cells<'a>,
    pub(super) directory: &'a Directory,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) year: u16,
    pub(super) codes: BTreeSet<Correction>,
}

impl<'a> Cleaning<'a> {
    /// The row, or the reason of the first check that fails.
    pub(super) fn row(mut self, row: u64) -> Result<CleanRow, RejectReason> {
        let (station, form) = (self.station()?, self.form()?);
        let (day, date) = self.activity_date()?;
        let (staff, staff_at_station) = self.staff(&station)?;
        let (target, registered) = self.target(&station, &form)?;
        let place = self.place(registered)?;
        let area_hundredths = self.area(&form)?;
        let attendees = self.attendees(&form)?;
        if self.cells.has_full_width() {
            self.codes.insert(Correction::Fullwidth);
        }
        let record_no = Some(self.cells.structural(Column::RecordNo)).filter(|number| !number.is_empty());
        if record_no.is_none() {
            self.codes.insert(Correction::RecordNoMissing);
        }
        let (start, end) = self.times();
        let crop = self.crop(&form, registered);
        Ok(CleanRow {
            row,
            record_no,
            mode: self.mode(),
            date,
            start,
            end,
            reported: self.reported(day),
            staff,
            staff_at_station,
            target,
            target_position: registered.and_then(Target::position),
            place,
            position: self.position(),
            crop,
            variety: self.term(Column::Variety, &self.vocabulary.varieties),
            phenology: self.term(Column::Phenology, &self.vocabulary.phenology),
            pest: self.term(Column::Pest, &self.vocabulary.pests),
            technology: self.technology(),
            content: self.cells.text(Column::Content, &mut self.codes),
            advice: self.cells.text(Column::Advice, &mut self.codes),
            remark: self.cells.text(Column::Remark, &mut self.codes),
            area_hundredths,
            households: self.optional_count(Column::Households, HOUSEHOLDS_MAX),
            attendees,
            photo_count: self.optional_count(Column::PhotoCount, PHOTOS_MAX),
            satisfaction: self.satisfaction(),
            demand: self.demand(&form),
            review: self.review(),
            station,
            form,
            codes: self.codes,
        })
    }

    /// The id of a cell, if the directory knows it.
    fn known_id(
        &mut self,
        column: Column,
        letters: &str,
        digits: usize,
        knows: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let cell = self.cells.structural(column);
        let id = normal_id(&cell, letters, digits);
        if id.is_empty() || !knows(&id) {
            return None;
        }
        if id != cell {
            self.codes.insert(Correction::IdFormat);
        }
        Some(id)
    }

    fn station(&mut self) -> Result<String, RejectReason> {
        let directory = self.directory;
        if let Some(id) = self.known_id(Column::StationId, "ST", 2, |id| directory.station(id).is_some()) {
            return Ok(id);
        }
        let name = without_spaces(&self.cells.structural(Column::StationName));
        let station = directory.station_named(&name).filter(|_| !name.is_empty());
        let station = station.ok_or(RejectReason::UnknownStation)?;
        self.codes.insert(Correction::StationByName);
        Ok(station.id.clone())
    }

    fn form(&mut self) -> Result<String, RejectReason> {
        let cell = self.cells.structural(Column::ActivityType);
        let (id, found_by) = self.vocabulary.activity_types.find(&cell).ok_or(RejectReason::UnknownActivityType)?;
        if found_by == FoundBy::Alias {
            self.codes.insert(Correction::TypeAlias);
        }
        Ok(id.to_owned())
    }

    fn mode(&mut self) -> String {
        let cell = self.cells.structural(Column::ServiceMode);
        self.vocabulary.service_modes.id(&cell).map_or_else(
            || {
                self.codes.insert(Correction::ModeDefaulted);
                "onsite".to_owned()
            },
            str::to_owned,
        )
    }

    fn activity_date(&mut self) -> Result<(Day, Date), RejectReason> {
        let cell = self.cells.structural(Column::ActivityDate);
        if cell.is_empty() {
            return Err(RejectReason::MissingDate);
        }
        let (day, is_canonical) = moment::date(&cell, self.year).ok_or(RejectReason::InvalidDate)?;
        let date = day.date().filter(|date| date.year() == self.year).ok_or(RejectReason::DateOutOfRange)?;
        if !is_canonical {
            self.codes.insert(Correction::DateFormat);
        }
        Ok((day, date))
    }

    fn reported(&mut self, activity: Day) -> Option<Day> {
        let cell = self.cells.structural(Column::ReportedOn);
        if cell.is_empty() {
            return None;
        }
        let Some((day, is_canonical)) = moment::date(&cell, self.year) else {
            self.codes.insert(Correction::ReportDateInvalid);
            return None;
        };
        if !is_canonical {
            self.codes.insert(Correction::DateFormat);
        }
        if day < activity {
            self.codes.insert(Correction::ReportDateOrder);
            return None;
        }
        Some(day)
    }

    fn staff(&mut self, station: &str) -> Result<(String, bool), RejectReason> {
        let directory = self.directory;
        let belongs = |person: &super::directory::Person| person.station_ids.iter().any(|id| id == station);
        if let Some(id) = self.known_id(Column::StaffId, "P", 2, |id| directory.person(id).is_some()) {
            let at_station = directory.person(&id).is_some_and(belongs);
            return Ok((id, at_station));
        }
        let name = without_spaces(&self.cells.structural(Column::StaffName));
        let name = HONORIFICS.iter().find_map(|word| name.strip_suffix(word)).unwrap_or(&name);
        let people: Vec<_> = directory.people_named(name).collect();
        let here: Vec<_> = people.iter().filter(|person| belongs(person)).collect();
        let person = match (here.as_slice(), people.as_slice()) {
            ([person], _) => person,
            ([], [person]) => person,
            ([], []) => return Err(RejectReason::UnknownStaff),
            (_, _) => return Err(RejectReason::AmbiguousStaff),
        };
        self.codes.insert(Correction::StaffByName);
        Ok((person.id.clone(), belongs(person)))
    }

    fn target(&mut self, station: &str, form: &str) -> Result<(Option<TargetKey>, Option<&'a Target>), RejectReason> {
        let directory = self.directory;
        if let Some(id) = self.known_id(Column::TargetId, "T", 3, |id| directory.target(id).is_some()) {
            let target = directory.target(&id);
            return Ok((Some(TargetKey::Registered(id)), target));
        }
        let name = without_spaces(&self.cells.structural(Column::TargetName));
        if !name.is_empty() {
            if let Some(target) = directory.target_named(&name) {
                self.codes.insert(Correction::TargetByName);
                return Ok((Some(TargetKey::Registered(target.id.clone())), Some(target)));
            }
            self.codes.insert(Correction::TargetNew);
            return Ok((Some(TargetKey::Provisional { station: station.to_owned(), name }), None));
        }
        if !matches!(form, "visit" | "guidance" | "demo" | "demand" | "transfer") {
            return Ok((None, None));
        }
        let has_id = !self.cells.structural(Column::TargetId).is_empty();
        Err(if has_id { RejectReason::UnknownTarget } else { RejectReason::MissingTarget })
    }

    fn place(&mut self, target: Option<&Target>) -> Result<Place, RejectReason> {
        let of_target = target.and_then(|target| target.place(&self.directory.divisions));
        let cells = PlaceCells {
            town: &self.cells.structural(Column::Town),
            village: &self.cells.structural(Column::Village),
            code: &self.cells.structural(Column::VillageCode),
            of_target: of_target.as_ref(),
        };
        place(&cells, &self.directory.divisions, self.vocabulary, &mut self.codes)
    }

    fn times(&mut self) -> (Option<u16>, Option<u16>) {
        let (start, end) = (self.time(Column::StartTime), self.time(Column::EndTime));
        match (start, end) {
            (Some(first), Some(last)) if last < first => {
                self.codes.insert(Correction::TimeOrder);
                (start, None)
            }
            (_, _) => (start, end),
        }
    }

    fn time(&mut self, column: Column) -> Option<u16> {
        let cell = self.cells.structural(column);
        if cell.is_empty() {
            return None;
        }
        let read = moment::time(&cell);
        match read {
            None => self.codes.insert(Correction::TimeInvalid),
            Some((_, false)) => self.codes.insert(Correction::TimeFormat),
            Some((_, true)) => false,
        };
        read.map(|(minutes, _)| minutes)
    }

    fn position(&mut self) -> Option<Position> {
        let (lat, lon) = (self.cells.structural(Column::Lat), self.cells.structural(Column::Lon));
        let is_gcj02 = self.vocabulary.is_gcj02(&self.cells.plain(Column::CoordSys));
        position(&lat, &lon, is_gcj02, &mut self.codes)
    }

    fn crop(&mut self, form: &str, target: Option<&Target>) -> Option<String> {
        let cell = self.cells.structural(Column::Crop);
        let crops = &self.vocabulary.crops;
        if cell.is_empty() {
            let takes = matches!(form, "visit" | "guidance" | "demo" | "pest_report");
            let mut of_target =
                target.filter(|_| takes).map(|target| target.main_crops.as_slice()).unwrap_or_default().iter();
            let only = of_target.next().filter(|_| of_target.next().is_none())?;
            self.codes.insert(Correction::CropFromTarget);
            return Some(only.clone());
        }
        let (id, code) = match crops.find(&cell) {
            Some((id, FoundBy::Label)) => (id, None),
            Some((id, FoundBy::Alias)) => (id, Some(Correction::CropAlias)),
            None => match tokens(&cell).next().and_then(|token| crops.id(token)) {
                Some(id) => (id, Some(Correction::CropMulti)),
                None => ("other", Some(Correction::CropUnknown)),
            },
        };
        self.codes.extend(code);
        Some(id.to_owned())
    }

    fn term(&self, column: Column, terms: &Terms) -> Term {
        let cell = self.cells.structural(column);
        let id = terms.id(&cell).map(str::to_owned);
        Term { text: Some(cell).filter(|cell| id.is_none() && !cell.is_empty()), id }
    }

    fn technology(&self) -> Term {
        let technologies = &self.vocabulary.technologies;
        let mut term = self.term(Column::Technology, technologies);
        if let (None, Some(text)) = (&term.id, &term.text) {
            term.id = tokens(text).find_map(|token| technologies.id(token)).map(str::to_owned);
        }
        term
    }

    fn area(&mut self, form: &str) -> Result<Option<i64>, RejectReason> {
        let is_demo = form == "demo";
        let cell = self.cells.structural(Column::Area);
        if cell.is_empty() {
            return if is_demo { Err(RejectReason::MissingArea) } else { Ok(None) };
        }
        let read = number::area(&cell);
        let fault = match read {
            None => Some(RejectReason::InvalidArea),
            Some(read) if read.value <= 0 => Some(RejectReason::InvalidArea),
            Some(read) if read.value > AREA_MAX => Some(RejectReason::AreaImplausible),
            Some(_) => None,
        };
        if let Some(fault) = fault.filter(|_| is_demo) {
            return Err(fault);
        }
        self.codes.extend(read.filter(|read| read.by_unit).map(|_| Correction::AreaUnit));
        self.codes.extend(read.filter(|read| read.by_text).map(|_| Correction::AreaText));
        if fault.is_some() {
            self.codes.insert(Correction::AreaBlanked);
            return Ok(None);
        }
        Ok(read.map(|read| read.value))
    }

    fn counted(&self, column: Column) -> Option<Counted> {
        let cell = self.cells.structural(column);
        if cell.is_empty() {
            return None;
        }
        let read = number::count(&cell);
        Some(Counted { value: read.map(|read| read.value), by_text: read.is_some_and(|read| read.by_text) })
    }

    fn attendees(&mut self, form: &str) -> Result<Option<u64>, RejectReason> {
        if form != "training" {
            return Ok(self.optional_count(Column::Attendees, ATTENDEES_MAX));
        }
        let counted = self.counted(Column::Attendees).ok_or(RejectReason::MissingAttendees)?;
        let value = counted.value.filter(|value| *value >= 1).ok_or(RejectReason::InvalidAttendees)?;
        if value > ATTENDEES_MAX {
            return Err(RejectReason::AttendeesImplausible);
        }
        if counted.by_text {
            self.codes.insert(Correction::NumberText);
        }
        Ok(u64::try_from(value).ok())
    }

    fn optional_count(&mut self, column: Column, max: i64) -> Option<u64> {
        let counted = self.counted(column)?;
        let value = counted.value.filter(|value| (0..=max).contains(value));
        if counted.by_text {
            self.codes.insert(Correction::NumberText);
        }
        if value.is_none() {
            self.codes.insert(Correction::NumberBlanked);
        }
        value.and_then(|value| u64::try_from(value).ok())
    }

    fn satisfaction(&mut self) -> Option<u8> {
        let cell = self.cells.structural(Column::Satisfaction);
        if cell.is_empty() {
            return None;
        }
        let points = |text: &str| text.parse::<u8>().ok().filter(|points| text.len() == 1 && (1..=5).contains(points));
        if let Some(points) = points(&cell) {
            return Some(points);
        }
        let stars = || {
            let is_stars = cell.chars().all(|c| c == '★');
            u8::try_from(cell.chars().count()).ok().filter(|count| is_stars && (1..=5).contains(count))
        };
        let read =
            cell.strip_suffix('分').and_then(points).or_else(stars).or_else(|| self.vocabulary.satisfaction(&cell));
        self.codes.insert(if read.is_some() { Correction::SatisfactionText } else { Correction::SatisfactionBlanked });
        read
    }

    fn demand(&mut self, form: &str) -> Option<Demand> {
        if form != "demand" {
            return None;
        }
        let category = self.cells.structural(Column::DemandCategory);
        let category = self.vocabulary.demand_categories.id(&category).unwrap_or("other").to_owned();
        let state = self.cells.structural(Column::DemandState);
        let state = self.vocabulary.demand_states.id(&state).map_or_else(
            || {
                self.codes.insert(Correction::DemandStateDefaulted);
                "registered".to_owned()
            },
            str::to_owned,
        );
        Some(Demand { category, state })
    }

    fn review(&mut self) -> String {
        let cell = self.cells.structural(Column::ReviewState);
        let (id, code) = match self.vocabulary.review_states.find(&cell) {
            Some((id, FoundBy::Label)) => (id, None),
            Some((id, FoundBy::Alias)) => (id, Some(Correction::StateAlias)),
            None => ("pending", Some(Correction::StateDefaulted)),
        };
        self.codes.extend(code);
        id.to_owned()
    }
}

impl CleanRow {
    /// What the row says to an assessment.
    #[must_use]
    pub fn facts(&self) -> Facts {
        let mut facts = Facts {
            form: self.form.clone(),
            station: Some(self.station.clone()),
            date: Some(self.date),
            staff: Some(self.staff.clone()),
            target: self.target.clone(),
            town: Some(self.place.town.clone()),
            village: self.place.village.clone(),
            crop: self.crop.clone(),
            pests: self.pest.id.iter().cloned().collect(),
            technology: self.technology.id.clone(),
            households: self.households,
            satisfaction: self.satisfaction,
            demand: self.demand.clone(),
            has_gps: self.position.is_some(),
            photo_count: self.photo_count,
            review: self.review.clone(),
            ..Facts::default()
        };
        let one = 1.into();
        match self.form.as_str() {
            "visit" => facts.feed(indicators::VISITS, one),
            "guidance" => facts.feed(indicators::GUIDANCE, one),
            "demand" => facts.feed(indicators::DEMAND_CLOSURE_RATE, one),
            "outreach" => facts.feed(indicators::OUTREACH_SESSIONS, one),
            "demo" => {
                facts.feed(indicators::PROMOTED_AREA_MU, number::of_hundredths(self.area_hundredths.unwrap_or(0)))
            }
            "training" => {
                facts.feed(indicators::TRAINING_SESSIONS, one);
                let attendees = i64::try_from(self.attendees.unwrap_or(0)).unwrap_or(0);
                facts.feed(indicators::TRAINING_ATTENDEES, attendees.into());
            }
            _ => {}
        }
        facts
    }

    pub(super) fn flag_facts(&self) -> FlagFacts<'_> {
        FlagFacts {
            form: &self.form,
            onsite: self.mode == "onsite",
            staff: Some(&self.staff),
            staff_at_station: self.staff_at_station,
            day: self.date.days_since_1970(),
            month: self.date.month(),
            reported_day: self.reported.map(Day::number),
            start: self.start,
            end: self.end,
            position: self.position,
            target_position: self.target_position,
            photo_count: self.photo_count,
            crop: self.crop.as_deref(),
            pest: self.pest.id.as_deref(),
            content: &self.content,
        }
    }

    /// What distinguishes an activity where numbers do not: station, type, date, person, target and start.
    #[must_use]
    pub fn business_key(&self) -> String {
        let target = match &self.target {
            Some(TargetKey::Registered(id)) => format!("id:{id}"),
            Some(TargetKey::Provisional { name, .. }) => format!("name:{name}"),
            None => String::new(),
        };
        let start = self.start.map_or_else(String::new, |start| start.to_string());
        [&self.station, &self.form, &self.date.to_string(), &self.staff, &target, &start]
            .map(String::as_str)
            .join("\u{1f}")
    }

    /// The record number as it is compared: upper case.
    #[must_use]
    pub fn number_key(&self) -> Option<String> {
        self.record_no.as_ref().map(|number| number.to_uppercase())
    }
}
