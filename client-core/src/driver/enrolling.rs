//! One enrolment: the key first, then the hub's word, then the store as that device.

use std::sync::Arc;

use qianmo_protocol::control::Replaces;
use qianmo_protocol::handshake::{EnrolRefusal, Ticket};

use super::Surroundings;
use crate::enroll::{EnrollError as AskError, EnrollOptions};
use crate::error::{EnrollError, StoreFailure, TicketRefusal, chain};
use crate::identity::{Identity, IdentityFileError, IdentityFolder};
use crate::owner::IndexFate;

/// What an enrolment needs.
#[derive(Debug)]
pub(super) struct Enrolling {
    pub(super) around: Surroundings,
    /// Who the device is already, if anyone.
    pub(super) present: Option<Arc<Identity>>,
    /// Whether it may become another device of the same organisation: it was revoked, refused or copied.
    pub(super) may_enrol_again: bool,
}

impl Enrolling {
    pub(super) async fn run(self, ticket: &str) -> Result<Identity, EnrollError> {
        let ticket = Ticket::parse(ticket).map_err(|error| EnrollError::Ticket { detail: chain(&error) })?;
        if let Some(present) = &self.present {
            if present.org != ticket.org() {
                return Err(EnrollError::OtherOrganisation);
            }
            // Another process may have been told; the control log that is here says so, too.
            let is_revoked = self.around.owner.ask(|owner| owner.is_revoked()).await;
            if !self.may_enrol_again && !is_revoked.map_err(|_gone| EnrollError::Closed)? {
                return Err(EnrollError::AlreadyEnrolled);
            }
        }
        let config = &self.around.config;
        let folder = IdentityFolder::new(&config.data_dir);
        let key = folder.pending_key(&mut rand::rng()).map_err(|error| not_kept(&error))?;
        let replaces = self
            .present
            .as_ref()
            .map(|present| Replaces::by_old_key(&present.org, &present.connection.key, key.verifying_key().as_bytes()));
        let label = Some(config.label.clone()).filter(|label| !label.is_empty());
        let options = EnrollOptions { label, replaces, ..EnrollOptions::default() };
        let within = config.timings.connect.saturating_add(config.timings.reply);
        let enrolled = self.around.network.enroll(&ticket, &key, &options, within).await.map_err(|e| not_asked(&e))?;
        let identity = Identity::of(enrolled, ticket.addresses);
        folder.save(&identity).map_err(|error| not_kept(&error))?;
        match self.around.owner.reopen(IndexFate::Keep).await {
            Ok(Ok(())) => Ok(identity),
            Ok(Err(error)) => Err(EnrollError::Store(StoreFailure::of(&error))),
            Err(_gone) => Err(EnrollError::Closed),
        }
    }
}

fn not_kept(error: &IdentityFileError) -> EnrollError {
    EnrollError::Store(StoreFailure::of(error))
}

fn not_asked(error: &AskError) -> EnrollError {
    let detail = chain(error);
    match error {
        AskError::Refused(refusal) => EnrollError::Refused {
            reason: match refusal {
                EnrolRefusal::UnknownToken => TicketRefusal::Unknown,
                EnrolRefusal::UsedToken => TicketRefusal::Used,
                EnrolRefusal::Expired => TicketRefusal::Expired,
                EnrolRefusal::WrongKey => TicketRefusal::Key,
                EnrolRefusal::Busy => TicketRefusal::Busy,
            },
        },
        AskError::Connect(_) | AskError::Broken(_) | AskError::TimedOut { .. } if error.is_retryable() => {
            EnrollError::Unreachable { detail }
        }
        AskError::Connect(_)
        | AskError::Broken(_)
        | AskError::TimedOut { .. }
        | AskError::Request(_)
        | AskError::Setup(_)
        | AskError::Malformed(_)
        | AskError::WrongAnswer { .. } => EnrollError::WrongAnswer { detail },
    }
}
