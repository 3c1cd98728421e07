//! Opening a hub's folder.

use std::sync::Arc;

use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{DiskOpenError, RealDisk};
use qianmo_replica::index::{IndexOpen, IndexOpenError, SledIndex};
use qianmo_replica::replica::OpenReport;
use rand::rngs::StdRng;

use super::{Folder, FolderError, HubKeyFiles, KeyError};
use crate::authority::{Authority, AuthorityError, ServerIdentity};
use crate::hub::{ClockCheck, HubCore, HubLimits, HubOpenError, HubSetup};

/// Memory for the index's cache.
const INDEX_CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// A hub, open.
#[derive(Debug)]
pub struct OpenedHub {
    /// The hub.
    pub core: HubCore,
    /// What opening found.
    pub report: OpenReport,
    /// The organisation's authority.
    pub authority: Arc<Authority>,
    /// What the hub shows in TLS.
    pub identity: ServerIdentity,
    /// What the organisation called itself at `init`.
    pub organisation: String,
}

/// Why a hub's folder does not open.
#[derive(Debug, thiserror::Error)]
pub enum OpenHubError {
    /// The folder cannot be used, or holds no hub.
    #[error("the hub's folder cannot be used")]
    Folder(#[from] FolderError),
    /// The authority's key cannot be read.
    #[error("the organisation's authority cannot be read")]
    Authority(#[from] AuthorityError),
    /// The hub's keys cannot be read.
    #[error("the hub's keys cannot be read")]
    Keys(#[from] KeyError),
    /// The store is in use, or cannot be opened.
    #[error("the hub's store cannot be opened")]
    Disk(#[from] DiskOpenError),
    /// There is no index, not even an empty one.
    #[error("the hub's index cannot be opened")]
    Index(#[from] IndexOpenError),
    /// The hub does not start.
    #[error("the hub does not start")]
    Hub(#[from] HubOpenError),
}

/// Opens the hub in a folder that `init` or `restore` made.
///
/// # Errors
/// [`OpenHubError`].
pub fn open(
    folder: &Folder,
    limits: HubLimits,
    clock: ClockCheck,
    now: UnixMillis,
    mut rng: StdRng,
) -> Result<OpenedHub, OpenHubError> {
    let mark = folder.read_mark()?;
    let keys = folder.keys();
    let authority = Authority::load(&keys)?;
    let identity = authority.load_or_issue_server(&keys, &mut rng)?;
    let files = HubKeyFiles::load(&keys)?;
    // The lock of the log guards the index too: it is taken first.
    let disk = RealDisk::open(folder.log())?;
    let (index, how) = SledIndex::open(folder.index(), INDEX_CACHE_BYTES)?;
    let setup = HubSetup { authority: authority.public_key(), secrets: files.secrets, limits, clock, rng };
    let log_end = folder.log_end().unwrap_or_else(|error| {
        tracing::warn!(error = &error as &dyn core::error::Error, "how far the record store was durable is not known");
        None
    });
    let log_end = log_end.unwrap_or(0);
    let (core, report) = HubCore::open_known(Box::new(disk), Box::new(index), setup, now, log_end)?;
    if core.opened_commit() < log_end {
        folder.set_log_end(core.replica().durable_commit().0)?;
    }
    log_index(&how, &report);
    log_report(&report);
    Ok(OpenedHub { core, report, authority: Arc::new(authority), identity, organisation: mark.organisation })
}

/// An index that follows from the log is made good by itself; an administrator should know that it was, and why.
fn log_index(how: &IndexOpen, report: &OpenReport) {
    match how {
        IndexOpen::Opened => {}
        IndexOpen::Created if report.absorbed == 0 => {}
        IndexOpen::Created => {
            tracing::info!(
                frames = report.absorbed,
                "there was no index; it was built anew from the log, nothing is lost"
            );
        }
        IndexOpen::Rebuilt { reason } => {
            tracing::warn!(%reason, frames = report.absorbed, "the index was built anew from the log, nothing is lost");
        }
    }
}

fn log_report(report: &OpenReport) {
    if let Some(reason) = &report.rebuilt {
        tracing::info!(%reason, frames = report.absorbed, "the index was built anew from the log");
    }
    for damage in &report.log.damage {
        tracing::error!(?damage, "the record store is damaged here; the damaged bytes are kept aside");
    }
    if let Some(cut) = &report.log.tail_cut {
        tracing::info!(?cut, "an unfinished end of the record store was cut");
    }
    if let Some(reason) = &report.log.read_only {
        tracing::error!(%reason, "the record store takes no writes");
    }
    if !report.unreadable.is_empty() {
        tracing::error!(frames = report.unreadable.len(), "frames of the record store cannot be read by this version");
    }
}
