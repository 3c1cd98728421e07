//! The fields of a form that was sent: known ones only, each of a bearable length.

use std::collections::BTreeMap;

use crate::web::{Fault, Refusal};

/// Most bytes of one field; a review's note may have less, and says so itself.
const FIELD_BYTES_MAX: usize = 16 * 1024;
/// Most fields of a form.
const FIELDS_MAX: usize = 128;

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Fields {
    values: BTreeMap<String, Vec<String>>,
}

impl Fields {
    pub(super) fn read(pairs: Vec<(String, String)>, known: &[&str]) -> Result<Self, Refusal> {
        if pairs.len() > FIELDS_MAX {
            return Err(Refusal::TooLong);
        }
        let mut values: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in pairs {
            if !known.contains(&name.as_str()) {
                let name: String = name.chars().take(40).collect();
                return Err(Refusal::parameter(Fault::Unknown, &name));
            }
            if value.len() > FIELD_BYTES_MAX {
                return Err(Refusal::TooLong);
            }
            values.entry(name).or_default().push(value);
        }
        Ok(Self { values })
    }

    /// The first value of a field; empty when there is none.
    pub(super) fn text(&self, name: &str) -> &str {
        self.all(name).first().map_or("", String::as_str)
    }

    /// All values of a field.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The first value of a field, taken out: for secrets.
    pub(super) fn take(&mut self, name: &str) -> String {
        self.values.remove(name).and_then(|values| values.into_iter().next()).unwrap_or_default()
    }
}
