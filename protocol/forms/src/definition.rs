//! Definitions: what a form is.
//!
//! A form is a TOML file: its fields in sections, their types, units, labels and hints in both languages, what is required, what must hold, what is
//! asked only sometimes, what is personal, and what feeds an indicator. Screens, imports, validation, exports and indicators follow from it, so
//! adding a form is adding a file. `docs/forms.md` is the reference.
//!
//! # Invariants
//!
//! A [`Form`] exists only if its file has no fault:
//! 1. every name is unique in the form and none is reserved;
//! 2. every expression parses and reads only fields it can see: a form-level field never reads a repeat's field, a repeat's field reads its own
//!    row and the form;
//! 3. relevance has no cycle, so it is computed in one pass;
//! 4. every list a field draws from is there, and no expression compares an answer with a choice its list does not have.
//!
//! # Limits
//!
//! [`FILE_BYTES_MAX`], [`FORM_ID_CHARS_MAX`], [`FIELDS_MAX`], [`SECTIONS_MAX`], [`REPEATS_MAX`], [`RULES_MAX`].
//!
//! # Failure
//!
//! [`FormError`]: every fault of a file with its place, for whoever writes the form.

mod check;
mod explain;
mod fault;
mod field;
mod form;
pub(crate) mod read;

use std::sync::Arc;

use crate::{choices::ChoiceList, constraint::Expression, text::Label, value::Decimal};

pub use fault::{FormError, FormFault, FormFaultKind};

/// The largest definition file, form or list.
pub const FILE_BYTES_MAX: usize = 256 * 1_024;
/// The most fields of a form, those of its repeats included.
pub const FIELDS_MAX: usize = 512;
/// The longest id of a form: records name it with a code, and the protocol bounds codes.
pub const FORM_ID_CHARS_MAX: usize = 24;
/// The most sections of a form.
pub const SECTIONS_MAX: usize = 64;
/// The most repeats of a form.
pub const REPEATS_MAX: usize = 16;
/// The most rows a repeat may allow.
pub const ROWS_MAX: u16 = 200;
/// The most warnings of one field, and the most indicators of a form or field.
pub const RULES_MAX: usize = 16;
/// Decimals of a latitude or longitude: about ten centimetres.
pub const POSITION_DECIMALS: u8 = 6;

/// Names that a record keeps for itself.
pub const RESERVED_NAMES: [&str; 16] = [
    "author",
    "comments",
    "conflicts",
    "created_at",
    "fields",
    "form",
    "form_version",
    "home",
    "logbook",
    "record_id",
    "removed",
    "repeats",
    "reviews",
    "state",
    "station",
    "version",
];

/// What a name may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRule {
    /// A form, section, field or repeat: a lower-case letter, then lower-case letters, digits and `_`; 1 to 64 characters.
    Field,
    /// A choice or list: letters, digits, `-`, `_`, `.` and `:`; 1 to 64 characters.
    Token,
}

impl NameRule {
    /// Whether a text is such a name.
    #[must_use]
    pub fn accepts(self, name: &str) -> bool {
        let length = (1..=crate::value::TOKEN_CHARS_MAX).contains(&name.len());
        length
            && match self {
                Self::Field => {
                    name.starts_with(|c: char| c.is_ascii_lowercase())
                        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                }
                Self::Token => {
                    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
                }
            }
    }
}

/// Whether records of a form are activities or entries of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FormKind {
    /// Something that was done, on a date: a visit, a training. Lives in a station's month.
    Record,
    /// Something that is: a service target, a plot. Lives in a directory.
    Registry,
}

/// In whose directory the entries of a registry are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RegistryHome {
    /// The directory of the station that made the entry.
    Station,
    /// The directory of the whole organisation.
    Organisation,
}

/// What a reference points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReferenceKind {
    /// A service target.
    Target,
    /// A station.
    Station,
    /// A person.
    Person,
    /// A town, by its nine-digit division code.
    Town,
    /// A village, by its twelve-digit division code.
    Village,
    /// An organisation.
    Organisation,
    /// A demonstration plot.
    Plot,
    /// A campaign, project or activity.
    Campaign,
    /// A service agreement.
    Agreement,
    /// Another record of something done.
    Record,
}

impl ReferenceKind {
    const ALL: [(Self, &'static str); 10] = [
        (Self::Target, "target"),
        (Self::Station, "station"),
        (Self::Person, "person"),
        (Self::Town, "town"),
        (Self::Village, "village"),
        (Self::Organisation, "organisation"),
        (Self::Plot, "plot"),
        (Self::Campaign, "campaign"),
        (Self::Agreement, "agreement"),
        (Self::Record, "record"),
    ];

    /// The word of a definition file.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.into_iter().find(|(kind, _)| *kind == self).map_or("", |(_, name)| name)
    }
}

/// What kind of answer a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldType {
    /// One line.
    Text {
        /// The most characters.
        max_chars: usize,
    },
    /// Any number of lines.
    LongText {
        /// The most characters.
        max_chars: usize,
    },
    /// A whole number; with a list, a point on a labelled scale.
    Integer {
        /// The list whose ids are the numbers.
        scale: Option<Arc<ChoiceList>>,
    },
    /// An exact decimal number.
    Decimal {
        /// The most decimals.
        decimals: u8,
    },
    /// Degrees north, of the point the form's position is.
    Latitude,
    /// Degrees east.
    Longitude,
    /// How exact the position is, in metres.
    Accuracy,
    /// A calendar date.
    Date,
    /// A time of day.
    Time,
    /// One choice of a list.
    Choice(Arc<ChoiceList>),
    /// Several choices of a list.
    Choices(Arc<ChoiceList>),
    /// Yes or no.
    Boolean,
    /// The id of something else.
    Reference(ReferenceKind),
    /// The ids of several of them.
    References(ReferenceKind),
}

impl FieldType {
    /// The name of the type in a definition file.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Text { .. } => "text",
            Self::LongText { .. } => "long_text",
            Self::Integer { .. } => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Latitude => "latitude",
            Self::Longitude => "longitude",
            Self::Accuracy => "accuracy",
            Self::Date => "date",
            Self::Time => "time",
            Self::Choice(_) => "choice",
            Self::Choices(_) => "choices",
            Self::Boolean => "boolean",
            Self::Reference(_) => "reference",
            Self::References(_) => "references",
        }
    }

    /// The list it draws from, if it draws from one.
    #[must_use]
    pub fn choices(&self) -> Option<&Arc<ChoiceList>> {
        match self {
            Self::Choice(list) | Self::Choices(list) => Some(list),
            Self::Integer { scale } => scale.as_ref(),
            Self::Text { .. }
            | Self::LongText { .. }
            | Self::Decimal { .. }
            | Self::Latitude
            | Self::Longitude
            | Self::Accuracy
            | Self::Date
            | Self::Time
            | Self::Boolean
            | Self::Reference(_)
            | Self::References(_) => None,
        }
    }

    /// The most decimals, if its answers are decimal numbers.
    #[must_use]
    pub const fn decimals(&self) -> Option<u8> {
        match self {
            Self::Decimal { decimals } => Some(*decimals),
            Self::Latitude | Self::Longitude => Some(POSITION_DECIMALS),
            Self::Accuracy => Some(1),
            Self::Text { .. }
            | Self::LongText { .. }
            | Self::Integer { .. }
            | Self::Date
            | Self::Time
            | Self::Choice(_)
            | Self::Choices(_)
            | Self::Boolean
            | Self::Reference(_)
            | Self::References(_) => None,
        }
    }

    /// The most characters, if its answers are free text.
    #[must_use]
    pub const fn max_chars(&self) -> Option<usize> {
        match self {
            Self::Text { max_chars } | Self::LongText { max_chars } => Some(*max_chars),
            Self::Integer { .. }
            | Self::Decimal { .. }
            | Self::Latitude
            | Self::Longitude
            | Self::Accuracy
            | Self::Date
            | Self::Time
            | Self::Choice(_)
            | Self::Choices(_)
            | Self::Boolean
            | Self::Reference(_)
            | Self::References(_) => None,
        }
    }
}

/// When a field must have an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Required {
    /// Never.
    No,
    /// Whenever the field is relevant.
    Yes,
    /// When the field is relevant and this holds.
    When(Expression),
}

/// A rule and what to say about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// A constraint must hold; a warning is shown when it holds.
    pub expression: Expression,
    /// What to say.
    pub message: Label,
}

/// One question of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Field {
    /// The key in the record's `fields`.
    pub name: String,
    /// The section it is shown in.
    pub section: String,
    /// What kind of answer it takes.
    pub field_type: FieldType,
    /// What it is called.
    pub label: Label,
    /// What helps to answer it.
    pub hint: Option<Label>,
    /// What its numbers count.
    pub unit: Option<Label>,
    /// When it must be answered.
    pub required: Required,
    /// What to say if it is not, in place of the general message.
    pub required_message: Option<Label>,
    /// What an answer must satisfy.
    pub constraint: Option<Rule>,
    /// When the field is asked at all; always if absent.
    pub relevant: Option<Expression>,
    /// What deserves a second look.
    pub warnings: Vec<Rule>,
    /// The least number.
    pub min: Option<Decimal>,
    /// The greatest number.
    pub max: Option<Decimal>,
    /// Whether the answer is personal data: masked by role in pages, exports and APIs, never logged.
    pub personal: bool,
    /// Whether it is never asked, on no screen and in no dialogue: kept, judged and exported all the same. Never required.
    pub hidden: bool,
    /// The field whose answer orders the suggestions of this one's list.
    pub suggested_by: Option<String>,
    /// The indicators it feeds.
    pub indicators: Vec<String>,
}

/// A part of a form, shown together.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Section {
    /// Its name.
    pub name: String,
    /// What it is called.
    pub label: Label,
}

/// Fields that are answered any number of times. A record keeps the rows by random id; a value's path is `repeat/row/field`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeat {
    /// Its name.
    pub name: String,
    /// The section it is shown in.
    pub section: String,
    /// What it is called.
    pub label: Label,
    /// When it is asked at all.
    pub relevant: Option<Expression>,
    /// The fewest rows on submit.
    pub min_rows: u16,
    /// The most rows.
    pub max_rows: u16,
    pub(crate) fields: Vec<Field>,
    /// Indexes of `fields` such that relevance reads only what stands before.
    pub(crate) order: Vec<usize>,
}

impl Repeat {
    /// Its fields, in the order they are asked.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field with a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

/// A form without a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    pub(crate) id: String,
    pub(crate) version: u32,
    pub(crate) kind: FormKind,
    pub(crate) home: RegistryHome,
    pub(crate) label: Label,
    pub(crate) indicators: Vec<String>,
    pub(crate) sections: Vec<Section>,
    pub(crate) fields: Vec<Field>,
    pub(crate) repeats: Vec<Repeat>,
    /// Indexes of `fields` such that relevance reads only what stands before.
    pub(crate) order: Vec<usize>,
}

impl Form {
    /// The id, as records name it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version, as records name it.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Activity or registry.
    #[must_use]
    pub const fn kind(&self) -> FormKind {
        self.kind
    }

    /// In whose directory the entries of a registry are kept. Says nothing about records, which live in a station's month.
    #[must_use]
    pub const fn home(&self) -> RegistryHome {
        self.home
    }

    /// What it is called.
    #[must_use]
    pub const fn label(&self) -> &Label {
        &self.label
    }

    /// The indicators that a record of this form feeds by being there.
    #[must_use]
    pub fn indicators(&self) -> &[String] {
        &self.indicators
    }

    /// The sections, in order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// The fields outside repeats, in order.
    #[must_use]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The fields of one section, outside repeats, in order.
    pub fn fields_in(&self, section: &str) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |field| field.section == section)
    }

    /// The repeats, in order.
    #[must_use]
    pub fn repeats(&self) -> &[Repeat] {
        &self.repeats
    }

    /// The repeat with a name.
    #[must_use]
    pub fn repeat(&self, name: &str) -> Option<&Repeat> {
        self.repeats.iter().find(|repeat| repeat.name == name)
    }

    /// The field outside repeats with a name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The field of a value's path: `field`, or `repeat/row/field`.
    #[must_use]
    pub fn field_at(&self, path: &str) -> Option<&Field> {
        let mut parts = path.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(name), None, None, None) => self.field(name),
            (Some(repeat), Some(row), Some(name), None) if NameRule::Token.accepts(row) => {
                self.repeat(repeat)?.field(name)
            }
            (_, _, _, _) => None,
        }
    }
}
