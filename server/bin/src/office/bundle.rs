//! Taking in bundles.

use std::collections::BTreeMap;
use std::path::Path;

use qianmo_server::admin::{self, Folder, ImportError, ImportReport};
use qianmo_server::hub::HubCore;
use qianmo_server::protocol::time::UnixMillis;
use qianmo_server::server::ServerHandle;
use serde::{Deserialize, Serialize};

use crate::failure::{Exit, Failure};

/// What an import took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ImportAnswer {
    /// The device that made the bundle.
    pub(crate) from: String,
    /// When, by its clock, in milliseconds since 1970.
    pub(crate) made_at_ms: i64,
    /// Packs in it.
    pub(crate) packs: usize,
    /// Of those, packs that are durable here now.
    pub(crate) held: usize,
    /// Packs that were not taken, by why.
    pub(crate) refused: BTreeMap<String, usize>,
    /// Control entries that were new here.
    pub(crate) control: usize,
    /// Records that are new here.
    pub(crate) records_new: usize,
}

impl From<ImportReport> for ImportAnswer {
    fn from(report: ImportReport) -> Self {
        let ImportReport { from, made_at, packs, held, refused, control, records_new } = report;
        Self { from, made_at_ms: made_at, packs, held, refused, control, records_new }
    }
}

fn failed(error: ImportError) -> Failure {
    let (exit, next) = match &error {
        ImportError::Io { .. } => (Exit::Usage, "name the file, in a folder that the user of the hub may read"),
        ImportError::Bundle { .. } => {
            (Exit::Refused, "what came before the fault is kept; importing again is harmless")
        }
        ImportError::Key(_) => {
            (Exit::Failed, "run it as the user that owns the folder, or restore the key from a backup")
        }
        ImportError::Hub(_) => (Exit::Failed, super::STORE_NEXT),
        ImportError::Stopped(_) | ImportError::CutShort => (Exit::Failed, "start the hub, then import again"),
        ImportError::Refused { .. } => (Exit::Failed, ""),
    };
    Failure { exit, error: anyhow::Error::new(error).context("the bundle is not taken in"), next: next.to_owned() }
}

/// On a hub that runs.
pub(super) async fn on_hub(handle: &ServerHandle, file: &Path) -> Result<ImportAnswer, Failure> {
    let report = admin::import_bundle_on(handle.hub(), handle.folder(), file.to_owned()).await;
    report.map(ImportAnswer::from).map_err(failed)
}

/// On a store that no hub has open.
pub(super) fn on_store(
    folder: &Folder,
    core: &mut HubCore,
    now: UnixMillis,
    file: &Path,
) -> Result<ImportAnswer, Failure> {
    admin::import_bundle(core, folder, now, file).map(ImportAnswer::from).map_err(failed)
}
