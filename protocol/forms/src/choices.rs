//! Choice lists: the closed vocabularies a field may draw from.
//!
//! A choice has a stable id (stored), a name in both languages (shown) and aliases (read). Every name of a choice leads to exactly one choice of
//! its list: an ambiguous alias is a fault of the list, found when it is parsed.
//!
//! # Limits
//!
//! [`CHOICES_MAX`] choices a list; a list file is bounded by [`FILE_BYTES_MAX`](crate::definition::FILE_BYTES_MAX).

mod vocabulary_lists;

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    definition::{FormError, FormFaultKind, NameRule, read},
    text::{Label, name_key},
};

/// The most choices one list has.
pub const CHOICES_MAX: usize = 4_096;

/// One choice of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// What is stored; never reused for another meaning.
    pub id: String,
    /// What is shown.
    pub label: Label,
    /// What else people write for it.
    pub aliases: Vec<String>,
    /// The ids, in another list, that this choice is for (a variety is for its crop). Orders suggestions, forbids nothing.
    pub suggested_for: Vec<String>,
}

/// A named list of choices, in the order they are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceList {
    id: String,
    label: Label,
    choices: Vec<Choice>,
    by_id: BTreeMap<String, usize>,
    by_name: BTreeMap<String, usize>,
}

impl ChoiceList {
    /// Reads a list from its TOML file.
    ///
    /// # Errors
    /// Every fault of the file, each with its place.
    pub fn parse(text: &str) -> Result<Self, FormError> {
        let (table, faults) = read::open(text)?;
        Self::read(&table, faults)
    }

    /// Reads a list from its table.
    pub(crate) fn read(table: &toml::Table, mut faults: read::Faults) -> Result<Self, FormError> {
        let mut keys = read::Keys::new(table, "list");
        let id = keys.name(&mut faults, "id", NameRule::Token);
        if let Some(id) = &id {
            faults.rename(id);
        }
        let label = keys.need_label(&mut faults, "labels");
        let entries = keys.tables(&mut faults, "choices", CHOICES_MAX);
        if entries.is_empty() {
            faults.push("list", "choices", FormFaultKind::MissingKey);
        }
        keys.finish(&mut faults);
        let mut list = Self {
            id: id.unwrap_or_default(),
            label: label.unwrap_or_else(|| Label::new("", "")),
            choices: Vec::new(),
            by_id: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        for (number, entry) in entries.into_iter().enumerate() {
            list.read_choice(&mut faults, number, entry);
        }
        faults.finish(list)
    }

    /// This list with more choices after its own.
    pub(crate) fn extended(&self, choices: &[toml::Table]) -> Result<Self, FormError> {
        let mut list = self.clone();
        let mut faults = read::Faults::new();
        let found = list.choices.len() + choices.len();
        if found > CHOICES_MAX {
            faults.push("list", "choices", FormFaultKind::TooMany { found, max: CHOICES_MAX });
        } else {
            for (number, entry) in choices.iter().enumerate() {
                list.read_choice(&mut faults, number, entry);
            }
        }
        faults.finish(list)
    }

    fn read_choice(&mut self, faults: &mut read::Faults, number: usize, entry: &toml::Table) {
        let mut keys = read::Keys::new(entry, &format!("choice {}", number + 1));
        let id = keys.name(faults, "id", NameRule::Token);
        if let Some(id) = &id {
            keys.rename(format!("choice `{id}`"));
        }
        let zh = keys.need_text(faults, "zh");
        let en = keys.need_text(faults, "en");
        let aliases = keys.texts(faults, "aliases");
        let suggested_for = keys.texts(faults, "for");
        let place = keys.finish(faults);
        let (Some(id), Some(zh), Some(en)) = (id, zh, en) else { return };
        let at = self.choices.len();
        if self.by_id.insert(id.clone(), at).is_some() {
            faults.push(&place, "id", FormFaultKind::DuplicateName { name: id });
            return;
        }
        let choice = Choice { id, label: Label::new(zh, en), aliases, suggested_for };
        let names = [("id", &choice.id), ("zh", &choice.label.zh), ("en", &choice.label.en)];
        for (key, name) in names.into_iter().chain(choice.aliases.iter().map(|alias| ("aliases", alias))) {
            let previous = self.by_name.insert(name_key(name), at).filter(|previous| *previous != at);
            if let Some(other) = previous.and_then(|previous| self.choices.get(previous)) {
                faults.push(&place, key, FormFaultKind::AmbiguousName { name: name.clone(), other: other.id.clone() });
            }
        }
        self.choices.push(choice);
    }

    /// The name of the list, as fields refer to it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What the list is called.
    #[must_use]
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The choices, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Choice> {
        self.choices.iter()
    }

    /// The choice with an id.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Choice> {
        self.by_id.get(id).and_then(|at| self.choices.get(*at))
    }

    /// The choice with a name: id, label in either language or alias, whatever its width, case and spaces.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Choice> {
        self.by_name.get(&name_key(name)).and_then(|at| self.choices.get(*at))
    }

    /// The choices with those suggested for an id of another list first, otherwise in order.
    #[must_use]
    pub fn suggested(&self, id: Option<&str>) -> Vec<&Choice> {
        let suits = |choice: &Choice| id.is_some_and(|id| choice.suggested_for.iter().any(|suited| suited == id));
        let (mut first, mut rest): (Vec<&Choice>, Vec<&Choice>) = self.choices.iter().partition(|choice| suits(choice));
        first.append(&mut rest);
        first
    }
}

/// Choice lists by name.
#[derive(Debug, Clone, Default)]
pub struct ChoiceLists {
    lists: BTreeMap<String, Arc<ChoiceList>>,
}

impl ChoiceLists {
    /// The shipped lists: those of the vocabulary, and those that have a file of their own.
    ///
    /// # Errors
    /// A shipped file has a fault; a test holds that none has.
    pub fn built_in() -> Result<Self, FormError> {
        let mut lists = Self::default();
        vocabulary_lists::shipped()?.into_iter().for_each(|list| lists.insert(list));
        for text in crate::built_in::LISTS {
            lists.insert(ChoiceList::parse(text)?);
        }
        Ok(lists)
    }

    /// Adds a list, in place of one with the same name.
    pub fn insert(&mut self, list: ChoiceList) {
        self.lists.insert(list.id.clone(), Arc::new(list));
    }

    /// The list with a name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<ChoiceList>> {
        self.lists.get(id)
    }

    /// All lists, by name.
    pub fn iter(&self) -> impl Iterator<Item = &ChoiceList> {
        self.lists.values().map(AsRef::as_ref)
    }
}
