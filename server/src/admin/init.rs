//! Making an organisation: its authority, its hub, the first entries of the control log. Once.

use std::path::PathBuf;

use qianmo_protocol::ids::{HubId, OrgId, PersonCode};
use qianmo_protocol::time::UnixMillis;
use qianmo_replica::disk::{DiskOpenError, RealDisk};
use qianmo_replica::index::MemoryIndex;
use rand::rngs::StdRng;

use super::folder::Mark;
use super::{Folder, FolderError, HubKeyFiles, KeyError};
use crate::authority::{Authority, AuthorityError};
use crate::hub::{ClockCheck, Founding, HubCore, HubError, HubLimits, HubOpenError, HubSetup};
use crate::password::PasswordHash;
use crate::registry::{Account, AccountError};

/// What is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitOrder {
    /// The folder; it must be empty.
    pub dir: PathBuf,
    /// What the organisation calls itself.
    pub organisation: String,
    /// The administrator's code; it is the name of the first account of the pages, too.
    pub admin: PersonCode,
    /// The hash of that account's password; without it there is no account yet.
    pub password: Option<PasswordHash>,
}

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InitReport {
    /// The organisation.
    pub org: OrgId,
    /// The public key that tablets pin.
    pub authority_key: [u8; 32],
    /// The hub.
    pub hub: HubId,
}

/// Why nothing was made, or not all of it: empty the folder and try again.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The folder cannot be used.
    #[error("the folder cannot be used")]
    Folder(#[from] FolderError),
    /// The authority could not be made.
    #[error("the organisation's authority could not be made")]
    Authority(#[from] AuthorityError),
    /// The hub's keys could not be made.
    #[error("the hub's keys could not be made")]
    Keys(#[from] KeyError),
    /// The store could not be made.
    #[error("the hub's store could not be made")]
    Disk(#[from] DiskOpenError),
    /// The first account could not be made.
    #[error("the first account could not be made")]
    Account(#[from] AccountError),
    /// The first entries could not be written.
    #[error("the hub could not be founded")]
    Hub(#[from] HubOpenError),
}

impl From<HubError> for InitError {
    fn from(error: HubError) -> Self {
        Self::Hub(error.into())
    }
}

/// Makes an organisation and its hub in an empty folder.
///
/// # Errors
/// [`InitError`]; a folder in which this failed half-way is not taken for a hub.
pub fn init(order: &InitOrder, now: UnixMillis, mut rng: StdRng) -> Result<InitReport, InitError> {
    let folder = Folder::new(&order.dir);
    folder.take_empty()?;
    let keys = folder.keys();
    let authority = Authority::generate(&mut rng)?;
    authority.save(&keys)?;
    authority.load_or_issue_server(&keys, &mut rng)?;
    let files = HubKeyFiles::generate(&keys, &mut rng)?;
    let setup = HubSetup {
        authority: authority.public_key(),
        secrets: files.secrets,
        limits: HubLimits::default(),
        clock: ClockCheck::Strict,
        rng,
    };
    let founding = Founding { authority: authority.signing_key(), admin: order.admin.clone() };
    let disk = RealDisk::open(folder.log())?;
    // The index is not kept: the first start makes it from the log.
    let mut core = HubCore::found(Box::new(disk), Box::new(MemoryIndex::new()), setup, &founding, now)?;
    if let Some(password) = order.password.clone() {
        core.make_account(now, Account::fresh(order.admin.clone(), order.admin.clone(), password, now), None)?;
    }
    let (hub, end) = (core.hub(), core.replica().durable_commit().0);
    core.close()?;
    folder.note_log_end(end)?;
    folder.write_mark(&Mark::new(&order.organisation, &authority.org()))?;
    Ok(InitReport { org: authority.org(), authority_key: authority.public_key(), hub })
}
