//! Where the pages of a running program are, for who starts it a second time; and the browser that shows them.

use std::io::Write as _;
use std::path::{Path, PathBuf};

const FILE: &str = "pages-address";

/// The note of a running program's address. It goes when the program ends.
#[derive(Debug)]
pub(crate) struct Running {
    path: PathBuf,
}

impl Running {
    /// Notes it, for whoever may read the data folder.
    pub(super) fn note(folder: &Path, address: &str) -> std::io::Result<Self> {
        let path = folder.join(FILE);
        // A note that a killed program left may belong to nobody any more: made anew, so that its rights are ours.
        match std::fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path)?.write_all(address.as_bytes())?;
        Ok(Self { path })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the note of the address stays");
        }
    }
}

/// The address that a program noted which runs in this folder.
pub(crate) fn noted(folder: &Path) -> Option<String> {
    let address = std::fs::read_to_string(folder.join(FILE)).ok()?;
    address.starts_with("http://127.0.0.1:").then_some(address)
}

/// Shows an address in the browser of this machine. A machine without one has the address on the terminal.
pub(crate) fn open_browser(address: &str) {
    if let Err(error) = open::that_detached(address) {
        tracing::debug!(%error, "no browser was opened");
    }
}
