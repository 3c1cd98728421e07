//! Forms as data: definitions, values, validation and skip logic.
//!
//! A form is a file. From it follow the screens, what an import accepts, what a submission must have, what is masked and what feeds an indicator;
//! adding a form is adding a file, not code. This crate reads definitions and judges answers. It knows no document, no network, no clock and no
//! store: the date of today is an argument, and what is stored is a neutral [`Scalar`].
//!
//! # Layout
//!
//! ```text
//! built-in/*.toml, built-in/lists/*.toml --> Form, ChoiceList      (definition, choices, built_in)
//! what a person types                    --> Value <--> Scalar     (value)
//! constraint, relevant, required, when   --> Expression            (constraint)
//! Form + Values + today                  --> Validation, Relevance (validate)
//! a district's folder                    --> FormSet               (local)
//! ```
//!
//! # Example
//!
//! ```
//! use qianmo_forms::{Context, Date, FormSet, Mode, Values, validate};
//!
//! let forms = FormSet::built_in()?;
//! let visit = forms.get("visit").ok_or("no form `visit`")?;
//!
//! let mut values = Values::new();
//! for (name, typed) in [("activity_date", "2025年6月18日"), ("crop_id", "桃树"), ("content", "查看套袋情况,梨小零星发生,约定复查")] {
//!     let field = visit.field(name).ok_or("no such field")?;
//!     values.insert(name.to_owned(), field.parse_input(typed)?);
//! }
//!
//! let context = Context { mode: Mode::Submit, today: Date::new(2025, 6, 20) };
//! let judged = validate(visit, &values, &context);
//! let missing: Vec<&str> = judged.errors.iter().map(|fault| fault.path.as_str()).collect();
//! assert_eq!(missing, ["service_mode", "staff_id", "target_id", "town_code"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # See
//!
//! `docs/forms.md`: how to write a form, the keys of a definition, the expression language.

mod built_in;
pub mod choices;
pub mod constraint;
pub mod definition;
pub mod divisions;
pub mod flags;
pub mod indicators;
pub mod local;
pub mod personal;
pub mod text;
pub mod validate;
pub mod value;
pub mod vocabulary;

pub use built_in::FormSet;
pub use choices::{Choice, ChoiceList, ChoiceLists};
pub use constraint::{Expression, ExpressionError};
pub use definition::{
    Field, FieldType, Form, FormError, FormFault, FormKind, ReferenceKind, RegistryHome, Repeat, Required, Section,
};
pub use divisions::Divisions;
pub use local::{CheckedFile, FileKind, FormFiles};
pub use text::{Label, Lang};
pub use validate::{Context, Fault, FaultRule, Mode, Relevance, Validation, Values, relevance, validate};
pub use value::{Date, Decimal, Scalar, Time, Value, ValueError};
