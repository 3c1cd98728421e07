//! Who belongs to the organisation: tickets, enrolment, devices, revocation.
//!
//! All of it is decided on the hub and stands in the control log; tickets, labels and last contacts stand beside it in the
//! hub's store, because they are nobody else's business. A ticket's secret is stored only as a digest.
//!
//! # Flow
//!
//! ```text
//! HubCore::issue_ticket ──ticket──> tablet ──EnrolAsk──> Registry::enrol ──> HubCore::enrol: ticket used, enrol, grants
//!                                                          └── certificate by the authority, control entries ──> tablet
//! ```
//!
//! # Invariants
//!
//! 1. A ticket enrols one device, also across a crash: that it is used is durable before the welcome is sent
//!    (`ticket_used_by_another_device_is_refused_even_after_a_crash`).
//! 2. A device takes another's place only by a ticket that names it, or a signature of the old key (A15).
//! 3. A revocation leaves within exactly what the hub holds of the device (A10).
//!
//! # Limits
//!
//! [`TICKET_HOURS_MAX`].
//!
//! # Failure
//!
//! [`IssueError`] and [`RegistryError`]: the administrator acts. [`EnrolRefusal`]: the tablet is told.

mod about;
mod account;
mod complaint;
mod device;
mod disclosure;
mod enrol;
mod saved;
mod ticket;

use std::sync::Arc;

use qianmo_protocol::handshake::enrol::NAME_BYTES_MAX;
use qianmo_protocol::handshake::{EnrolAsk, EnrolRefusal, EnrolReply, EnrolWelcome};
use qianmo_protocol::time::UnixMillis;

use crate::authority::Authority;
use crate::hub::HubHandle;
use crate::listener::EnrolHandler;

pub use about::AboutRow;
pub use account::{ACCOUNTS_MAX, Account, AccountError, AccountStanding};
pub use complaint::{
    Complaint, ComplaintAnswer, ComplaintError, ComplaintKind, ENTRIES_MAX, PER_DAY_MAX, PER_HOUR_MAX, TEXT_CHARS_MAX,
};
pub use device::{DeviceRow, DeviceStanding, RegistryError};
pub use disclosure::{DISCLOSURES_PER_PAGE, Disclosure};
pub use enrol::Enrolled;
pub use saved::{SAVED_MAX, SAVED_NAME_CHARS_MAX, SaveError, SavedFilter};
pub use ticket::{IssueError, TICKET_HOURS_MAX, TicketGrant, TicketNote, TicketOrder};

/// Answers enrolment requests: the hub judges, the authority certifies.
#[derive(Debug)]
pub struct Registry {
    hub: HubHandle,
    authority: Arc<Authority>,
    org_name: String,
}

impl Registry {
    /// For a running hub.
    #[must_use]
    pub fn new(hub: HubHandle, authority: Arc<Authority>, org_name: &str) -> Self {
        let fits = (0..=NAME_BYTES_MAX).rev().find_map(|end| org_name.get(..end));
        Self { hub, authority, org_name: fits.unwrap_or_default().to_owned() }
    }

    fn judge(&self, ask: &EnrolAsk) -> Result<EnrolWelcome, EnrolRefusal> {
        let device_certificate = self.authority.issue_device(&ask.device_key).map_err(|error| {
            tracing::error!(%error, "a device certificate could not be made");
            EnrolRefusal::Busy
        })?;
        let asked = ask.clone();
        let enrolled =
            self.hub.run_blocking(move |core, now| core.enrol(now, &asked)).map_err(|_| EnrolRefusal::Busy)?;
        let enrolled = enrolled.map_err(|error| {
            tracing::error!(error = &error as &dyn core::error::Error, "an enrolment could not be stored");
            EnrolRefusal::Busy
        })??;
        Ok(EnrolWelcome {
            device_certificate,
            authority_certificate: self.authority.certificate().to_vec(),
            org: self.authority.org(),
            authority_key: self.authority.public_key(),
            hub: enrolled.hub,
            station: enrolled.station,
            persons: enrolled.persons,
            org_name: self.org_name.clone(),
            control_entries: enrolled.control_entries,
        })
    }
}

impl EnrolHandler for Registry {
    fn enrol(&self, ask: &EnrolAsk, _now: UnixMillis) -> EnrolReply {
        match self.judge(ask) {
            Ok(welcome) => EnrolReply::Welcome(Box::new(welcome)),
            Err(refusal) => EnrolReply::Refused(refusal),
        }
    }
}
