//! What a person writes: values, drafts on their way to a record, and edits of one.
//!
//! A draft is local, durable at every field and may miss anything; it is never a change and never sent. A [`RecordDraft`]
//! is one about to become a record: it is validated whole.

use std::collections::{BTreeMap, BTreeSet};

use qianmo_protocol::record;
use serde::{Deserialize, Serialize};

use crate::names::{DraftId, FieldPath, RecordId, RecordVersion};

/// An answer to one field.
///
/// Text is read as a person means it: `2025年6月18日` in a date, `3.5亩` in an area, a choice by any of its names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldValue {
    /// No answer. Clearing a field writes this.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Everything else.
    Text(String),
}

impl FieldValue {
    /// Whether there is no answer.
    #[must_use]
    pub fn is_null(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::Bool(_) | Self::Int(_) => false,
        }
    }

    pub(crate) fn of(scalar: &record::Scalar) -> Self {
        match scalar {
            record::Scalar::Null => Self::Null,
            record::Scalar::Bool(value) => Self::Bool(*value),
            record::Scalar::Int(value) => Self::Int(*value),
            record::Scalar::Text(text) => Self::Text(text.clone()),
            // No form of this version stores bytes; a later one's are shown as digits and never written back.
            record::Scalar::Bytes(bytes) => Self::Text(data_encoding::HEXLOWER.encode(bytes)),
        }
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for FieldValue {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<bool> for FieldValue {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Unfinished input.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DraftInput {
    /// The form it is for.
    pub form: String,
    /// The station, if not the device's own.
    pub station: Option<String>,
    /// The record it edits; `None` for a new one.
    pub record: Option<RecordId>,
    /// The version of that record that the person looks at.
    pub version: Option<RecordVersion>,
    /// Answers by path: `field`, or `repeat/row/field` with any name for a new row.
    pub fields: BTreeMap<String, FieldValue>,
    /// The code for which the hub held what stands here, when it came back as a draft; see [`crate::codes::explain`].
    pub held_code: Option<u16>,
}

/// A draft as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DraftView {
    /// Its id.
    pub id: DraftId,
    /// When it was saved last, by the device's clock, in milliseconds since 1970.
    pub recorded_at_ms: i64,
    /// What it holds.
    pub input: DraftInput,
}

/// What becomes a record.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordDraft {
    /// The form.
    pub form: String,
    /// The station; the device's own if `None`.
    pub station: Option<String>,
    /// The person who writes, one of the device's; the present one if `None`.
    pub person: Option<String>,
    /// The month of its logbook, `YYYY-MM`: for an import of old activities. The present month if `None`.
    pub month: Option<String>,
    /// Answers by path.
    pub fields: BTreeMap<String, FieldValue>,
    /// The draft it comes from: gone with the same act.
    pub draft: Option<DraftId>,
}

impl RecordDraft {
    /// A record of a form without answers.
    #[must_use]
    pub fn new(form: &str) -> Self {
        Self { form: form.to_owned(), ..Self::default() }
    }

    /// With one more answer.
    #[must_use]
    pub fn with(mut self, path: &str, value: impl Into<FieldValue>) -> Self {
        self.fields.insert(path.to_owned(), value.into());
        self
    }
}

/// A record that comes from a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedRecord {
    /// The record. Its draft, if it names one, is left alone.
    pub draft: RecordDraft,
    /// Where its review stood.
    pub state: ImportedState,
}

/// Where the review of a ledger's record stood. All but the first two become an event that is marked as imported, which only
/// coordinators may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ImportedState {
    /// Not handed in: a draft of the ledger.
    Unsubmitted,
    /// Handed in now by whoever imports, like any new record.
    HandedIn,
    /// Handed in.
    Pending,
    /// Approved.
    Approved,
    /// Sent back.
    Returned,
}

/// What a person may bring in, by what is known here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImportRights {
    /// Entries of the organisation's directory: stations, people, organisations.
    pub organisation: bool,
    /// Stations whose records the person may write.
    pub records: BTreeSet<String>,
    /// Stations whose imported states the person may write.
    pub states: BTreeSet<String>,
    /// Stations whose directory the person may write.
    pub directories: BTreeSet<String>,
}

/// One thing to change in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldEdit {
    /// Put a value; null clears.
    Set {
        /// Where.
        path: FieldPath,
        /// What.
        value: FieldValue,
    },
    /// Add a row to a repeat.
    AddRow {
        /// The repeat's name.
        repeat: String,
        /// What the row holds, by field.
        cells: BTreeMap<String, FieldValue>,
    },
    /// Remove a row. Its contents stay in the history.
    RemoveRow {
        /// The repeat's name.
        repeat: String,
        /// The row's key.
        row: String,
    },
}

impl FieldEdit {
    /// Puts a value.
    #[must_use]
    pub fn set(path: &str, value: impl Into<FieldValue>) -> Self {
        Self::Set { path: FieldPath::new(path), value: value.into() }
    }
}

/// How one conflict is settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConflictChoice {
    /// The version in which the person saw the conflict: exactly what stood there is settled.
    pub version: RecordVersion,
    /// What stands from now on.
    pub keep: Keep,
}

/// Which value stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// The value of one candidate, by [`crate::Candidate::change`].
    Candidate(String),
    /// Another value.
    Value(FieldValue),
}

/// Why a record is withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WithdrawReason {
    /// A code, such as `duplicate`: letters, digits, `_`, `-` and `.`, at most 24.
    pub code: Option<String>,
    /// In words.
    pub note: String,
}

/// What a coordinator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// Accept exactly the version that was shown.
    Approve,
    /// Ask for more (退回).
    Return,
    /// Open a decided record again.
    Reopen,
}

/// Words that go with a decision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReviewNotes {
    /// Reason codes.
    pub reasons: Vec<String>,
    /// Notes on fields, by path.
    pub fields: BTreeMap<String, String>,
    /// A note on the whole.
    pub note: String,
}

/// A draft as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct StoredDraft {
    recorded_at_ms: i64,
    #[serde(flatten)]
    input: DraftInput,
}

pub(crate) fn encode(input: &DraftInput, recorded_at_ms: i64) -> Vec<u8> {
    let stored = StoredDraft { recorded_at_ms, input: input.clone() };
    // A map with text keys always serialises.
    serde_json::to_vec(&stored).unwrap_or_default()
}

pub(crate) fn decode(id: DraftId, bytes: &[u8]) -> Option<DraftView> {
    let stored: StoredDraft = serde_json::from_slice(bytes).ok()?;
    Some(DraftView { id, recorded_at_ms: stored.recorded_at_ms, input: stored.input })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draft_reads_back_with_every_kind_of_value() {
        let mut input = DraftInput { form: "visit".to_owned(), held_code: Some(262), ..DraftInput::default() };
        let values = [FieldValue::Null, FieldValue::Bool(true), FieldValue::Int(-3), FieldValue::from("梨小\n零星")];
        for (number, value) in values.into_iter().enumerate() {
            input.fields.insert(format!("f{number}"), value);
        }
        let bytes = encode(&input, 5);
        let view = decode(DraftId([1; 8]), &bytes).unwrap();
        assert_eq!((view.input, view.recorded_at_ms), (input, 5));
    }

    #[test]
    fn draft_of_a_later_version_keeps_what_is_known_and_other_bytes_are_no_draft() {
        let view = decode(DraftId([1; 8]), br#"{"recorded_at_ms":1,"form":"visit","sketch":[1]}"#).unwrap();
        assert_eq!(view.input.form, "visit");
        assert_eq!(decode(DraftId([1; 8]), b"\xff"), None);
    }
}
