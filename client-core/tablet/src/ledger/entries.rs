//! The directory as entries of registries, keyed by code.

use std::collections::BTreeMap;

use qianmo_client_core::FieldValue;

use super::directory::{Directory, Organization, Person, Station, Target};

/// One entry of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) form: &'static str,
    /// The station in whose directory it stands; `None` for the organisation's.
    pub(super) station: Option<String>,
    pub(super) code: String,
    pub(super) fields: BTreeMap<String, FieldValue>,
}

/// What entries refer to each other by: form and code to the document's id.
pub(super) type IdOf<'a> = &'a dyn Fn(&str, &str) -> Option<String>;

impl Entry {
    fn new(form: &'static str, station: Option<&str>, code: &str) -> Self {
        let entry = Self { form, station: station.map(str::to_owned), code: code.to_owned(), fields: BTreeMap::new() };
        entry.text("code", Some(code))
    }

    fn text(mut self, field: &str, value: Option<&str>) -> Self {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.fields.insert(field.to_owned(), value.into());
        }
        self
    }

    fn list(self, field: &str, values: &[String], between: &str) -> Self {
        self.text(field, Some(&values.join(between)))
    }

    fn number(self, field: &str, value: Option<&serde_json::Number>) -> Self {
        let text = value.map(ToString::to_string);
        self.text(field, text.as_deref().map(|text| text.strip_suffix(".0").unwrap_or(text)))
    }

    fn truth(mut self, field: &str, value: Option<bool>) -> Self {
        if let Some(value) = value {
            self.fields.insert(field.to_owned(), value.into());
        }
        self
    }

    fn position(self, lat: Option<&serde_json::Number>, lon: Option<&serde_json::Number>) -> Self {
        match (lat, lon) {
            (Some(lat), Some(lon)) => {
                self.number("lat", Some(lat)).number("lon", Some(lon)).text("coord_system", Some("cgcs2000"))
            }
            (Some(_), None) | (None, Some(_) | None) => self,
        }
    }
}

/// Entries that refer to nothing.
pub(super) fn organizations(directory: &Directory) -> Vec<Entry> {
    let entry = |organization: &Organization| {
        Entry::new("organisation", None, &organization.id)
            .text("name", Some(&organization.name))
            .text("kind", organization.kind.as_deref())
            .list("specialties", &organization.specialties, "、")
    };
    directory.organizations.iter().map(entry).collect()
}

/// Stations and people, who refer to organisations.
pub(super) fn stations_and_people(directory: &Directory, id_of: IdOf<'_>) -> Vec<Entry> {
    let organization = |code: Option<&String>| code.and_then(|code| id_of("organisation", code));
    let station = |station: &Station| {
        Entry::new("station", None, &station.id)
            .text("name", Some(&station.name))
            .list("aliases", &station.aliases, "、")
            .text("kind", station.kind.as_deref())
            .text("host_org_id", organization(station.host_org_id.as_ref()).as_deref())
            .list("crops", &station.crops, " ")
            .text("founded_on", station.founded_on.as_deref())
            .text("base_village_code", station.base_village_code.as_deref())
            .list("town_codes", &station.town_codes, " ")
            .position(station.lat.as_ref(), station.lon.as_ref())
    };
    let person = |person: &Person| {
        Entry::new("staff", None, &person.id)
            .text("name", Some(&person.name))
            .text("role", person.role.as_deref())
            .text("title", person.title.as_deref())
            .text("org_id", organization(person.org_id.as_ref()).as_deref())
            .list("station_ids", &person.station_ids, " ")
            .truth("is_active", person.active)
            .list("specialties", &person.specialties, "、")
            .list("crops", &person.crops, " ")
    };
    let people = directory.staff.iter().chain(&directory.coordinators);
    directory.stations.iter().map(station).chain(people.map(person)).collect()
}

/// Targets and annual tasks of the stations' directories.
pub(super) fn targets_and_tasks(directory: &Directory, year: u16) -> Vec<Entry> {
    let target = |target: &Target| {
        let consent = target.consent.as_ref();
        Entry::new("target", target.station_id.as_deref(), &target.id)
            .text("name", Some(&target.name))
            .list("aliases", &target.aliases, "、")
            .text("kind", target.kind.as_deref())
            .list("main_crops", &target.main_crops, " ")
            .number("area_mu", target.area_mu.as_ref())
            .text("town_code", target.town_code.as_deref())
            .text("village_code", target.village_code.as_deref())
            .position(target.lat.as_ref(), target.lon.as_ref())
            .text("contact_phone", target.contact_masked.as_deref())
            .truth("consent_given", consent.and_then(|consent| consent.given))
            .text("consent_given_on", consent.and_then(|consent| consent.given_on.as_deref()))
            .text("consent_scope", consent.and_then(|consent| consent.scope.as_deref()))
    };
    let mut entries: Vec<Entry> = directory.targets.iter().map(target).collect();
    for station in &directory.stations {
        for (indicator, value) in &station.annual_tasks {
            let code = format!("{}-{year}-{indicator}", station.id);
            let task = Entry::new("annual_task", Some(&station.id), &code)
                .text("year", Some(&year.to_string()))
                .text("indicator", Some(indicator))
                .number("target_value", Some(value));
            entries.push(task);
        }
    }
    entries
}

/// Agreements, which refer to targets.
pub(super) fn agreements(directory: &Directory, id_of: IdOf<'_>) -> Vec<Entry> {
    let agreement = |target: &Target| {
        let agreement = target.agreement.as_ref()?;
        let signed_on = agreement.signed_on.as_deref()?;
        let entry = Entry::new("agreement", target.station_id.as_deref(), &format!("{}-{signed_on}", target.id))
            .text("target_id", id_of("target", &target.id).as_deref())
            .text("signed_on", Some(signed_on))
            .text("valid_until", agreement.valid_until.as_deref());
        Some(entry)
    };
    directory.targets.iter().filter_map(agreement).collect()
}
