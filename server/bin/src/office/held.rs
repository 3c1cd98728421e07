//! What is held, and letting it through.

use qianmo_server::hub::{HeldRow, HubCore, ReleaseError, ReleaseOrder};
use qianmo_server::protocol::time::UnixMillis;

use super::{STORE_NEXT, device_id};
use crate::commands::release::{HeldAnswer, ReleaseAnswer};
use crate::failure::{Exit, Failure, OrFail as _};

/// Everything that is held.
pub(super) fn list(core: &HubCore) -> Result<Vec<HeldAnswer>, Failure> {
    let held = core.held().or_fail(Exit::Failed, "what is held cannot be read", STORE_NEXT)?;
    Ok(held.into_iter().map(answer).collect())
}

fn answer(row: HeldRow) -> HeldAnswer {
    HeldAnswer {
        id: row.id,
        what: row.what.word().to_owned(),
        persons: row.persons.iter().map(ToString::to_string).collect(),
        device: row.device.map(|device| device.to_string()),
        logbook: row.logbook.map(|logbook| logbook.to_string()),
        document: row.doc.map(|doc| doc.to_string()),
        code: row.code,
        since_ms: row.since.0,
    }
}

/// Lets through what is named.
pub(super) fn release(
    core: &mut HubCore,
    now: UnixMillis,
    id: Option<String>,
    device: Option<&str>,
    code: Option<u16>,
) -> Result<ReleaseAnswer, Failure> {
    let order = match (id, device, code) {
        (Some(id), None, None) => ReleaseOrder::Id(id),
        (None, Some(device), None) => ReleaseOrder::Device(device_id(device)?),
        (None, None, Some(code)) => ReleaseOrder::Code(code),
        (None, None, None) | (Some(_), _, _) | (None, Some(_), Some(_)) => {
            return Err(Failure::new(Exit::Usage, "name one thing to release", "see: qianmo-server release --help"));
        }
    };
    let released = core.release(now, &order).map_err(|error| {
        let (exit, next) = match &error {
            ReleaseError::NoId { .. } => (Exit::Usage, "copy the id from: qianmo-server release"),
            ReleaseError::Nothing => (Exit::Refused, "see what is held with: qianmo-server release"),
            ReleaseError::Ambiguous { .. } => (Exit::Refused, "write more digits of the id"),
            ReleaseError::Hub(_) => (Exit::Failed, "look at the disk, then start the hub again"),
        };
        Failure { exit, error: anyhow::Error::new(error).context("nothing was released"), next: next.to_owned() }
    })?;
    Ok(ReleaseAnswer { released: released.ids, held_instead: released.held_instead })
}
