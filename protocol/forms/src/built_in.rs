//! The forms that are shipped, and sets of forms.
//!
//! Every file in `built-in/` is embedded here. A set keeps every version of a form it was given, because a record names the version it was written
//! with; asking by id alone gives the newest.

use std::collections::BTreeMap;

use crate::{
    choices::{ChoiceList, ChoiceLists},
    definition::{Form, FormError, FormFault, FormFaultKind},
};

const LISTS: [&str; 11] = [
    include_str!("../built-in/lists/coord_system.toml"),
    include_str!("../built-in/lists/crop.toml"),
    include_str!("../built-in/lists/indicator.toml"),
    include_str!("../built-in/lists/pest.toml"),
    include_str!("../built-in/lists/phenology.toml"),
    include_str!("../built-in/lists/problem_category.toml"),
    include_str!("../built-in/lists/satisfaction.toml"),
    include_str!("../built-in/lists/service_mode.toml"),
    include_str!("../built-in/lists/severity.toml"),
    include_str!("../built-in/lists/solved.toml"),
    include_str!("../built-in/lists/variety.toml"),
];

const FORMS: [&str; 1] = [include_str!("../built-in/visit.toml")];

impl ChoiceLists {
    /// The shipped lists.
    ///
    /// # Errors
    /// A shipped file has a fault; a test holds that none has.
    pub fn built_in() -> Result<Self, FormError> {
        let mut lists = Self::default();
        for text in LISTS {
            lists.insert(ChoiceList::parse(text)?);
        }
        Ok(lists)
    }
}

/// Forms by id and version.
#[derive(Debug, Clone, Default)]
pub struct FormSet {
    forms: BTreeMap<String, BTreeMap<u32, Form>>,
}

impl FormSet {
    /// The shipped forms. Reads every file anew: call it once and keep the set.
    ///
    /// # Errors
    /// A shipped file has a fault; a test holds that none has.
    pub fn built_in() -> Result<Self, FormError> {
        let lists = ChoiceLists::built_in()?;
        let mut set = Self::default();
        for text in FORMS {
            set.insert(Form::parse(text, &lists)?)?;
        }
        Ok(set)
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

    /// The newest version of every form, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Form> {
        self.forms.values().filter_map(|versions| versions.values().next_back())
    }
}
