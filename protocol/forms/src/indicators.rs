//! Indicators: what records add up to.
//!
//! [`Facts`] are what one record says to an assessment; [`Aggregates`] are a fold over them, the same for a ledger's report and for the records of a
//! hub. Which form and field feeds an indicator is said by the form (`indicators = [...]`), so a district's own form counts without code. Only
//! records whose review says approved belong in official figures; whoever folds chooses.
//!
//! # Flow
//!
//! ```text
//! form + answers --Facts::from_answers--+
//! a ledger's clean row ------------------+--> Aggregates::add --> to_json, completion
//! ```
//!
//! # Invariants
//!
//! 1. Areas and other decimals are added exactly; rates are one division of exact numbers, rounded as it is printed.
//! 2. The order of records does not matter (`prop_order_of_records_does_not_matter`).

mod aggregates;
mod from_answers;

use std::collections::{BTreeMap, BTreeSet};

use crate::value::{Date, Decimal};

pub use aggregates::{Aggregates, Completion, Tasks};
pub use from_answers::RecordContext;

/// Field visits.
pub const VISITS: &str = "visits";
/// Guidance sessions.
pub const GUIDANCE: &str = "guidance";
/// Different targets served.
pub const TARGETS_SERVED: &str = "targets_served";
/// Training sessions.
pub const TRAINING_SESSIONS: &str = "training_sessions";
/// People trained, counted at each session.
pub const TRAINING_ATTENDEES: &str = "training_attendees";
/// Area on which something is demonstrated, in mu.
pub const PROMOTED_AREA_MU: &str = "promoted_area_mu";
/// Demands that are closed.
pub const DEMANDS_CLOSED: &str = "demands_closed";
/// Closed demands of all demands.
pub const DEMAND_CLOSURE_RATE: &str = "demand_closure_rate";
/// Mean satisfaction.
pub const SATISFACTION_AVG: &str = "satisfaction_avg";
/// Outreach sessions.
pub const OUTREACH_SESSIONS: &str = "outreach_sessions";

/// Who was served.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TargetKey {
    /// A target of the directory, by its code.
    Registered(String),
    /// A name that is not in the directory, as one station writes it.
    Provisional {
        /// The station.
        station: String,
        /// The name.
        name: String,
    },
}

/// How far a demand has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DemandEnd {
    /// Still open.
    Open,
    /// Closed, not solved.
    Unsolved,
    /// Closed and solved.
    Solved,
}

/// A demand, as far as it is counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demand {
    /// The kind of demand.
    pub category: String,
    /// The state's id.
    pub state: String,
}

impl Demand {
    /// How far it has come: `closed` and `unsolved` end it, only `closed` solves it.
    #[must_use]
    pub fn end(&self) -> DemandEnd {
        match self.state.as_str() {
            "closed" => DemandEnd::Solved,
            "unsolved" => DemandEnd::Unsolved,
            _ => DemandEnd::Open,
        }
    }
}

/// What one record says to an assessment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// The form's id: the kind of record.
    pub form: String,
    /// The station.
    pub station: Option<String>,
    /// The day of the activity.
    pub date: Option<Date>,
    /// Who did it.
    pub staff: Option<String>,
    /// Who was served.
    pub target: Option<TargetKey>,
    /// The town's code.
    pub town: Option<String>,
    /// The village's code.
    pub village: Option<String>,
    /// The crop's id.
    pub crop: Option<String>,
    /// The ids of pests and diseases.
    pub pests: BTreeSet<String>,
    /// The technology's id.
    pub technology: Option<String>,
    /// Households.
    pub households: Option<u64>,
    /// Points of satisfaction.
    pub satisfaction: Option<u8>,
    /// The demand, if it is one.
    pub demand: Option<Demand>,
    /// Whether there is a position.
    pub has_gps: bool,
    /// Photos.
    pub photo_count: Option<u64>,
    /// Where the review stands: `draft`, `pending`, `returned` or `approved`.
    pub review: String,
    /// What the record feeds, by indicator: one for being there, or the answer of a field.
    pub feeds: BTreeMap<String, Decimal>,
}

impl Facts {
    /// Lets the record feed an indicator.
    pub fn feed(&mut self, indicator: &str, amount: Decimal) {
        let sum = self.feeds.entry(indicator.to_owned()).or_insert(Decimal::ZERO);
        // Beyond 64 bits nothing is counted any more; the limits of fields are far below.
        *sum = sum.checked_add(amount).unwrap_or(*sum);
    }

    /// Whether it feeds an indicator at all.
    #[must_use]
    pub fn feeds(&self, indicator: &str) -> bool {
        self.feeds.contains_key(indicator)
    }
}
