//! What may stand in the folder of the index: sled promises nothing after a power cut, and media rot.

use std::fs;
use std::path::{Path, PathBuf};

use rand::Rng as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha20Rng;

use super::watched_disk::copy_folder;

/// A state of the index's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum IndexState {
    /// There is none.
    Absent,
    /// As it was at that moment, left by another boot.
    OtherBoot,
    /// As it was at that moment, left by a process that was killed.
    Killed,
    /// As it was, with an unfinished snapshot beside it.
    Generating,
    /// A file of it cut at any length.
    Torn,
    /// Some of its bits flipped.
    Flipped,
    /// A file of it is gone.
    Missing,
    /// A file of it overwritten with other bytes.
    Overwritten,
}

impl IndexState {
    /// Every state.
    pub const ALL: [Self; 8] = [
        Self::Absent,
        Self::OtherBoot,
        Self::Killed,
        Self::Generating,
        Self::Torn,
        Self::Flipped,
        Self::Missing,
        Self::Overwritten,
    ];

    /// A word for figures.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::OtherBoot => "other_boot",
            Self::Killed => "killed",
            Self::Generating => "generating",
            Self::Torn => "torn",
            Self::Flipped => "flipped",
            Self::Missing => "missing_file",
            Self::Overwritten => "overwritten",
        }
    }

    /// Puts an index in this state at `to`, from a copy of one.
    ///
    /// # Errors
    /// The files cannot be copied or changed.
    pub fn put(self, from: &Path, to: &Path, rng: &mut ChaCha20Rng) -> std::io::Result<()> {
        if self == Self::Absent || !from.exists() {
            return Ok(());
        }
        copy_folder(from, to)?;
        let Some(victim) = files(&to.join("sled"))?.choose(rng).cloned() else { return Ok(()) };
        match self {
            Self::Absent | Self::Killed => Ok(()),
            Self::OtherBoot => fs::write(to.join("session"), b"another boot"),
            Self::Generating => {
                let name = if rng.random_bool(0.5) { "snap.FFFFFFFFFFFFFFFF.generating" } else { "snap.0.generating" };
                fs::write(to.join("sled").join(name), b"half")
            }
            Self::Missing => fs::remove_file(victim),
            Self::Torn | Self::Flipped | Self::Overwritten => damage_file(self, &victim, rng),
        }
    }
}

/// Cuts, flips or overwrites a file; the other states leave it alone.
///
/// # Errors
/// It cannot be read or written.
pub fn damage_file(state: IndexState, victim: &Path, rng: &mut ChaCha20Rng) -> std::io::Result<()> {
    let mut bytes = fs::read(victim)?;
    let length = bytes.len().max(1);
    match state {
        IndexState::Torn => bytes.truncate(rng.random_range(0..length)),
        IndexState::Flipped => {
            // Most of sled's file is unused room: aim where it is used.
            let used = bytes.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..used);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.random_range(0..8);
                }
            }
        }
        IndexState::Overwritten => {
            let start = rng.random_range(0..length);
            let end = length.min(start + 512);
            rng.fill(bytes.get_mut(start..end).unwrap_or_default());
        }
        IndexState::Absent
        | IndexState::OtherBoot
        | IndexState::Killed
        | IndexState::Generating
        | IndexState::Missing => {}
    }
    fs::write(victim, bytes)
}

fn files(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    if folder.is_dir() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_file() {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}
