//! What an administrator does to a hub's folder: found it, open it, back it up, restore, verify, export it and erase from it.
//!
//! # Layout
//!
//! ```text
//! <data_dir>/             mode 0700
//!   hub.json              says that `init` finished: format version, organisation
//!   keys/                 authority.key, server-tls.key, hub.key, device.key, bundle.key, each mode 0600
//!   forms/                the district's own forms, if it has some
//!   log/                  the pack log: the truth
//!   log-end.json          how far the log was durable: what `verify` compares its end with
//!   index/                follows from the log
//!   projection.sqlite     follows from the log
//! ```
//!
//! # Failure
//!
//! One error for each operation; the administrator acts on all of them.

mod backup;
mod bundle;
mod export;
mod folder;
mod init;
mod keys;
mod manifest;
mod open;
mod purge;
mod restore;
mod snapshot_disk;
mod verify;

pub use backup::{BackupError, BackupPlan, BackupReport, backup, backup_files};
pub use bundle::{ImportError, ImportReport, import_bundle, import_bundle_on};
pub use export::{ExportError, export, stats};
pub use folder::{Folder, FolderError};
pub use init::{InitError, InitOrder, InitReport, init};
pub use keys::{HubKeyFiles, KeyError};
pub use manifest::{Manifest, ManifestError, ManifestFile};
pub use open::{OpenHubError, OpenedHub, open};
pub use purge::{
    DecidedErasure, Erasures, PurgeError, PurgeOrder, PurgePlan, Unsaved, WaitingErasure, begin_purge, erasures, purge,
    purge_plan,
};
pub use qianmo_replica::replica::ErasureReach;
pub use restore::{RestoreError, RestoreReport, restore};
pub use verify::{Expected, VerifyError, VerifyReport, verify, verify_snapshot};
