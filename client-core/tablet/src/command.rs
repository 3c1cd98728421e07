//! The commands, one module each.

pub(crate) mod bundle;
pub(crate) mod drafts;
pub(crate) mod duplicates;
pub(crate) mod edit;
pub(crate) mod enroll;
pub(crate) mod evict;
pub(crate) mod export;
pub(crate) mod fill;
pub(crate) mod forms;
pub(crate) mod import;
pub(crate) mod list;
pub(crate) mod new;
pub(crate) mod resolve;
pub(crate) mod review;
pub(crate) mod show;
pub(crate) mod status;
pub(crate) mod sync;
