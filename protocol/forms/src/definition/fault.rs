//! Faults of a definition file, each with its place.

use core::fmt;

use crate::{constraint::ExpressionError, text::Lang};

/// Everything that is wrong with a definition file; never empty.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct FormError {
    /// The faults, in the order they were found.
    pub faults: Vec<FormFault>,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} faults in the definition", self.faults.len())?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
    }
}

/// One fault: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {place}: {key}: {kind}")]
pub struct FormFault {
    /// The id of the form or list; `?` until it is known.
    pub file: String,
    /// The field, repeat, section or choice, or the form or list itself.
    pub place: String,
    /// The key in it.
    pub key: String,
    /// What is wrong.
    pub kind: FormFaultKind,
}

/// What is wrong at a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormFaultKind {
    /// The file is not TOML.
    #[error("not TOML: {message}")]
    Syntax {
        /// What the TOML reader says.
        message: String,
    },
    /// The file is too large.
    #[error("{bytes} bytes, at most {max}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        max: usize,
    },
    /// The file or folder cannot be read.
    #[error("cannot be read: {message}")]
    Unreadable {
        /// What the system says.
        message: String,
    },
    /// The file is not UTF-8.
    #[error("not UTF-8 from byte {offset} on")]
    NotUtf8 {
        /// The first byte that is not.
        offset: usize,
    },
    /// Something a district adds, with a name that a shipped form may take one day.
    #[error("`{name}` does not begin with `local_`; other names are for what is shipped")]
    NotLocal {
        /// The name.
        name: String,
    },
    /// An overlay takes away what every record needs.
    #[error("`{name}` is needed in every record: it can be neither hidden nor left out")]
    NeededField {
        /// The field.
        name: String,
    },
    /// An overlay is of a form that is not shipped.
    #[error("no shipped form `{name}`")]
    UnknownForm {
        /// The name.
        name: String,
    },
    /// The key is needed and absent.
    #[error("missing")]
    MissingKey,
    /// There is no such key.
    #[error("no such key")]
    UnknownKey,
    /// The key does nothing for a field of this type.
    #[error("means nothing for a field of type `{field_type}`")]
    KeyNotForType {
        /// The type.
        field_type: String,
    },
    /// The value is of the wrong kind.
    #[error("expected {expected}, found {found}")]
    WrongKind {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: &'static str,
    },
    /// The text is empty.
    #[error("empty")]
    Empty,
    /// A label, hint, unit or message lacks a language.
    #[error("no text in `{lang}`")]
    MissingLabel {
        /// The language.
        lang: Lang,
    },
    /// Not a name.
    #[error("`{name}` is not a name: lower-case letters, digits and `_`, beginning with a letter, at most 64")]
    BadName {
        /// What stands there.
        name: String,
    },
    /// Not an id.
    #[error("`{name}` is not an id: letters, digits, `-`, `_`, `.` and `:`, at most 64")]
    BadId {
        /// What stands there.
        name: String,
    },
    /// The id of a form is longer than records can name it.
    #[error("`{name}` has {have} characters, at most {max}", have = .name.len())]
    NameTooLong {
        /// What stands there.
        name: String,
        /// How long it may be.
        max: usize,
    },
    /// A name that records keep for themselves.
    #[error("`{name}` is reserved")]
    ReservedName {
        /// The name.
        name: String,
    },
    /// The name is used twice.
    #[error("`{name}` is used twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// The same form in the same version is there already.
    #[error("version {version} of this form is there already")]
    DuplicateForm {
        /// The version.
        version: u32,
    },
    /// A name of two choices.
    #[error("`{name}` is also a name of `{other}`")]
    AmbiguousName {
        /// The name.
        name: String,
        /// The other choice.
        other: String,
    },
    /// Not one of the words that may stand here.
    #[error("`{found}` is not one of {expected}")]
    UnknownWord {
        /// What stands there.
        found: String,
        /// What may stand there.
        expected: String,
    },
    /// No such list.
    #[error("no list `{name}`")]
    UnknownList {
        /// The name.
        name: String,
    },
    /// The list of an integer field has an id that is not a whole number.
    #[error("choice `{id}` of list `{list}` is not a whole number")]
    ScaleNotWhole {
        /// The list.
        list: String,
        /// The choice.
        id: String,
    },
    /// No such section.
    #[error("no section `{name}`")]
    UnknownSection {
        /// The name.
        name: String,
    },
    /// No such indicator in the list `indicator`.
    #[error("no indicator `{name}`")]
    UnknownIndicator {
        /// The name.
        name: String,
    },
    /// An expression or `suggested_by` names a field that is not there.
    #[error("no field `{name}`")]
    UnknownField {
        /// The name.
        name: String,
    },
    /// A field of a repeat is read from outside its rows.
    #[error("`{name}` belongs to repeat `{repeat}` and has no single answer here")]
    FieldInRepeat {
        /// The field.
        name: String,
        /// The repeat.
        repeat: String,
    },
    /// An expression compares an answer with a choice that its list does not have.
    #[error("list `{list}` has no choice `{choice}`")]
    UnknownChoice {
        /// The list.
        list: String,
        /// The choice.
        choice: String,
    },
    /// `.` where there is no answer to judge.
    #[error("`.` has no meaning here; only a constraint or a warning judges the answer itself")]
    ThisNotAllowed,
    /// Relevance goes round in a circle.
    #[error("relevance goes round in a circle: {}", .path.join(", "))]
    RelevanceCycle {
        /// The fields in the circle, and those that wait for them.
        path: Vec<String>,
    },
    /// A field that nobody is asked and everybody must answer.
    #[error("a hidden field is never asked, so it cannot be required")]
    HiddenRequired,
    /// The key means something only for the other kind of form.
    #[error("means nothing for a form of kind `{kind}`")]
    KeyNotForKind {
        /// The kind of the form.
        kind: &'static str,
    },
    /// A message for a rule that is not there.
    #[error("a message without its rule `{rule}`")]
    MessageWithoutRule {
        /// The key of the rule.
        rule: &'static str,
    },
    /// The expression does not parse.
    #[error("{0}")]
    Expression(ExpressionError),
    /// The number is outside what may stand there.
    #[error("{found} is outside {min} to {max}")]
    OutOfRange {
        /// What stands there.
        found: i64,
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
    },
    /// The lower bound is above the upper one.
    #[error("the least is greater than the greatest")]
    RangeReversed,
    /// Not an exact decimal number.
    #[error("not a decimal number of at most nine decimals")]
    NotDecimal,
    /// Too many of something.
    #[error("{found}, at most {max}")]
    TooMany {
        /// How many there are.
        found: usize,
        /// How many there may be.
        max: usize,
    },
}
