//! One function for each command: reads the configuration, asks the office, prints.
//!
//! Nothing here decides; it turns arguments into requests and answers into lines.

pub(crate) mod account;
pub(crate) mod bundle;
pub(crate) mod devices;
pub(crate) mod init;
pub(crate) mod purge;
pub(crate) mod release;
pub(crate) mod serve;
pub(crate) mod store;
pub(crate) mod versions;

use std::path::{Path, PathBuf};

use crate::failure::{Exit, Failure, OrFail as _};

/// The whole path, so that it means the same to the running hub as it does here.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    std::path::absolute(path).or_fail(
        Exit::Usage,
        format!("{} is no usable path", path.display()),
        "write another path",
    )
}
