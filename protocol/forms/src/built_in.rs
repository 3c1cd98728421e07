//! The forms that are shipped, and sets of forms.
//!
//! Every file in `built-in/` is embedded here. A set keeps every version of a form it was given, because a record names the version it was written
//! with; asking by id alone gives the newest.

use std::{collections::BTreeMap, sync::OnceLock};

use crate::{
    choices::ChoiceLists,
    definition::{Form, FormError, FormFault, FormFaultKind},
    divisions::{DIVISIONS_FILE, Divisions, DivisionsError},
    local::version_without,
};

/// Lists with a file of their own; the others are in the vocabulary.
pub(crate) const LISTS: [&str; 19] = [
    include_str!("../built-in/lists/audience.toml"),
    include_str!("../built-in/lists/campaign_kind.toml"),
    include_str!("../built-in/lists/coord_system.toml"),
    include_str!("../built-in/lists/disaster_kind.toml"),
    include_str!("../built-in/lists/industry.toml"),
    include_str!("../built-in/lists/lead_system.toml"),
    include_str!("../built-in/lists/organisation_kind.toml"),
    include_str!("../built-in/lists/registry_status.toml"),
    include_str!("../built-in/lists/result_metric.toml"),
    include_str!("../built-in/lists/severity.toml"),
    include_str!("../built-in/lists/soil_moisture.toml"),
    include_str!("../built-in/lists/solved.toml"),
    include_str!("../built-in/lists/survey_metric.toml"),
    include_str!("../built-in/lists/technology_kind.toml"),
    include_str!("../built-in/lists/training_form.toml"),
    include_str!("../built-in/lists/transfer_stage.toml"),
    include_str!("../built-in/lists/urgency.toml"),
    include_str!("../built-in/lists/variety.toml"),
    include_str!("../built-in/lists/venue_kind.toml"),
];

pub(crate) const FORMS: [&str; 16] = [
    include_str!("../built-in/agreement.toml"),
    include_str!("../built-in/annual_task.toml"),
    include_str!("../built-in/campaign.toml"),
    include_str!("../built-in/demand.toml"),
    include_str!("../built-in/demo.toml"),
    include_str!("../built-in/guidance.toml"),
    include_str!("../built-in/organisation.toml"),
    include_str!("../built-in/outreach.toml"),
    include_str!("../built-in/pest_report.toml"),
    include_str!("../built-in/plot.toml"),
    include_str!("../built-in/staff.toml"),
    include_str!("../built-in/station.toml"),
    include_str!("../built-in/target.toml"),
    include_str!("../built-in/training.toml"),
    include_str!("../built-in/transfer.toml"),
    include_str!("../built-in/visit.toml"),
];

/// The shipped list of towns and villages.
pub(crate) fn divisions() -> Result<Divisions, FormError> {
    Divisions::built_in().map_err(|error| FormError { faults: vec![divisions_fault(&error)] })
}

/// What is wrong with a list of towns and villages.
pub(crate) fn divisions_fault(error: &DivisionsError) -> FormFault {
    let kind = FormFaultKind::Unreadable { message: error.to_string() };
    FormFault { file: DIVISIONS_FILE.to_owned(), place: "file".to_owned(), key: "-".to_owned(), kind }
}

/// Forms by id and version.
#[derive(Debug, Clone, Default)]
pub struct FormSet {
    forms: BTreeMap<String, BTreeMap<u32, Form>>,
    /// The lists that the forms draw from.
    pub(crate) lists: ChoiceLists,
    /// Towns and villages.
    pub(crate) divisions: Divisions,
}

impl FormSet {
    /// The shipped forms. Their files are read once in a process; every call gives a set of its own.
    ///
    /// # Errors
    /// A shipped file has a fault; a test holds that none has.
    pub fn built_in() -> Result<Self, FormError> {
        static SHIPPED: OnceLock<FormSet> = OnceLock::new();
        if let Some(set) = SHIPPED.get() {
            return Ok(set.clone());
        }
        let set = Self::read_built_in()?;
        Ok(SHIPPED.get_or_init(|| set).clone())
    }

    fn read_built_in() -> Result<Self, FormError> {
        let lists = ChoiceLists::built_in()?;
        let mut set = Self::default();
        for text in FORMS {
            set.insert(Form::parse(text, &lists)?)?;
        }
        set.lists = lists;
        set.divisions = divisions()?;
        Ok(set)
    }

    /// What towns and villages are called.
    #[must_use]
    pub const fn divisions(&self) -> &Divisions {
        &self.divisions
    }

    /// The lists that the forms draw from.
    #[must_use]
    pub const fn lists(&self) -> &ChoiceLists {
        &self.lists
    }

    /// Adds a form, or a version of one.
    ///
    /// # Errors
    /// The same version of the same form is there already; a published version never changes.
    pub fn insert(&mut self, form: Form) -> Result<(), FormError> {
        let versions = self.forms.entry(form.id().to_owned()).or_default();
        if versions.contains_key(&form.version()) {
            let kind = FormFaultKind::DuplicateForm { version: form.version() };
            let fault =
                FormFault { file: form.id().to_owned(), place: "form".to_owned(), key: "version".to_owned(), kind };
            return Err(FormError { faults: vec![fault] });
        }
        versions.insert(form.version(), form);
        Ok(())
    }

    /// The newest version of a form.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Form> {
        self.forms.get(id).and_then(|versions| versions.values().next_back())
    }

    /// One version of a form.
    #[must_use]
    pub fn get_version(&self, id: &str, version: u32) -> Option<&Form> {
        self.forms.get(id).and_then(|versions| versions.get(&version))
    }

    /// The form that a record was written with; if this set has not got that version, the shipped form it was made of, or else the newest.
    #[must_use]
    pub fn for_record(&self, id: &str, version: u32) -> Option<&Form> {
        let exactly = self.get_version(id, version);
        exactly.or_else(|| self.get_version(id, version_without(version))).or_else(|| self.get(id))
    }

    /// The newest version of every form, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Form> {
        self.forms.values().filter_map(|versions| versions.values().next_back())
    }
}
