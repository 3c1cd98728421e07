//! Erasing: what would go, carrying it out, and what was erased.

use qianmo_server::admin::{
    self, DecidedErasure, ErasureReach, Erasures, Folder, PurgeError, PurgeOrder, PurgePlan, Unsaved,
};
use qianmo_server::hub::HubCore;
use qianmo_server::projection::{Position, Projection};
use qianmo_server::protocol::ids::DocId;
use qianmo_server::protocol::time::UnixMillis;
use qianmo_server::server::ServerHandle;
use serde::{Deserialize, Serialize};

use super::{STORE_NEXT, stopped};
use crate::failure::{Exit, Failure, OrFail as _};

/// Most documents named one by one in an answer.
const NAMED_MAX: usize = 1_000;

/// What is to be erased, as it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PurgeAsked {
    /// The document's 32 digits.
    pub(crate) doc: String,
    /// As a service target, with everything that refers to it.
    pub(crate) target: bool,
    /// Why, as a code.
    pub(crate) reason: u16,
    /// Even if it is kept nowhere else.
    pub(crate) even_if_unsaved: bool,
}

/// What goes, or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PurgeAnswer {
    /// Records, the target included.
    pub(crate) records: usize,
    /// Reviews and comments.
    pub(crate) reviews: usize,
    /// How many of both are kept nowhere else.
    pub(crate) unsaved: usize,
    /// The documents, the one named first; at most a thousand.
    pub(crate) documents: Vec<PurgedAnswer>,
}

/// One document that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PurgedAnswer {
    /// Its id.
    pub(crate) doc: String,
    /// Its logbook.
    pub(crate) logbook: String,
    /// The record it is a review or comment of.
    pub(crate) about: Option<String>,
}

/// What was erased, and what waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasuresAnswer {
    /// Every erasure.
    pub(crate) erased: Vec<ErasedAnswer>,
    /// Documents that came later and refer to what is erased.
    pub(crate) waiting: Vec<WaitingAnswer>,
    /// Whether the bytes are gone from this hub.
    pub(crate) carried_out: bool,
}

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErasedAnswer {
    /// The document.
    pub(crate) doc: String,
    /// Why, as a code.
    pub(crate) reason: u16,
    /// What refers to it is erased as well.
    pub(crate) target: bool,
}

/// One document that waits to be erased.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct WaitingAnswer {
    /// The document.
    pub(crate) doc: String,
    /// The erased document it is about, if that is known.
    pub(crate) because_of: Option<String>,
}

impl From<PurgePlan> for PurgeAnswer {
    fn from(plan: PurgePlan) -> Self {
        let (records, reviews) = (plan.records(), plan.reviews());
        let documents = plan.parts.into_iter().take(NAMED_MAX).map(|part| PurgedAnswer {
            doc: part.doc.to_string(),
            logbook: part.logbook.to_string(),
            about: part.about.map(|record| record.to_string()),
        });
        Self { records, reviews, unsaved: plan.unsaved, documents: documents.collect() }
    }
}

impl From<Erasures> for ErasuresAnswer {
    fn from(erasures: Erasures) -> Self {
        let erased = erasures.decided.into_iter().map(|DecidedErasure { doc, reason, is_standing }| ErasedAnswer {
            doc: doc.to_string(),
            reason,
            target: is_standing,
        });
        let waiting = erasures.waiting.into_iter().map(|one| WaitingAnswer {
            doc: one.doc.to_string(),
            because_of: one.because_of.map(|record| record.to_string()),
        });
        Self { erased: erased.collect(), waiting: waiting.collect(), carried_out: erasures.is_carried_out }
    }
}

fn order(asked: &PurgeAsked) -> Result<PurgeOrder, Failure> {
    let doc = DocId::from_hex(asked.doc.trim()).ok_or_else(|| {
        let what = format!("{:?} is no record id", asked.doc);
        Failure::new(Exit::Usage, what, "copy the 32 digits from the record's page, an export or the tablet")
    })?;
    let reach = if asked.target { ErasureReach::Target } else { ErasureReach::Record };
    let unsaved = if asked.even_if_unsaved { Unsaved::Erase } else { Unsaved::Refuse };
    Ok(PurgeOrder { doc, reach, reason: asked.reason, unsaved })
}

fn refused(error: PurgeError) -> Failure {
    let (exit, next) = match &error {
        PurgeError::Unknown { .. } => {
            (Exit::Refused, "copy the 32 digits from the record's page, an export or the tablet")
        }
        PurgeError::Done { .. } => (Exit::Refused, "see what was erased with: qianmo-server purge --list"),
        PurgeError::Unsaved { .. } => (
            Exit::Refused,
            "back up first (qianmo-server backup), or say --even-if-unsaved if nobody must ever read it again",
        ),
        PurgeError::Busy { .. } => (Exit::Refused, "it is done soon; then ask again"),
        PurgeError::Store(_) | PurgeError::Hub(_) => (Exit::Failed, STORE_NEXT),
    };
    Failure { exit, error: anyhow::Error::new(error).context("nothing was erased"), next: next.to_owned() }
}

/// What would go.
pub(super) fn plan(core: &HubCore, asked: &PurgeAsked) -> Result<PurgeAnswer, Failure> {
    let order = order(asked)?;
    admin::purge_plan(core, &order.doc, order.reach).map(PurgeAnswer::from).map_err(refused)
}

/// What was erased.
pub(super) fn list(core: &HubCore) -> Result<ErasuresAnswer, Failure> {
    admin::erasures(core).map(ErasuresAnswer::from).map_err(refused)
}

/// Erases on a hub that runs.
pub(super) async fn on_hub(handle: &ServerHandle, asked: &PurgeAsked) -> Result<PurgeAnswer, Failure> {
    let order = order(asked)?;
    let done = handle.purge(order).await.map_err(stopped)?;
    done.map(PurgeAnswer::from).map_err(refused)
}

/// Erases on a store that no hub has open: from the read model first, while it is known what goes.
pub(super) fn on_store(
    folder: &Folder,
    core: &mut HubCore,
    now: UnixMillis,
    asked: &PurgeAsked,
) -> Result<PurgeAnswer, Failure> {
    let order = order(asked)?;
    let next = "delete projection.sqlite in the data folder; it is made anew";
    let opened = Projection::open(&folder.projection(), super::forms(folder)?)
        .and_then(|mut model| model.catch_up(core).map(|()| model));
    let mut model = opened.or_fail(Exit::Failed, "the read model cannot be used", next)?;
    let plan = admin::purge(core, now, &order).map_err(refused)?;
    let (touched, epoch) = (core.take_touched(), core.epoch());
    let position = Position { epoch, commit: core.replica().durable_commit().0 };
    let followed = model.apply(core.replica(), &touched, position);
    followed.or_fail(Exit::Failed, "it is erased, but the read model could not follow", next)?;
    let next = "start the hub; it goes on where this stopped";
    core.keep_house().or_fail(Exit::Failed, "it is erased, but not all bytes are gone yet", next)?;
    Ok(plan.into())
}
