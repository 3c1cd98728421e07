//! The inputs that are kept, in `tests/corpus/TARGET`.
//!
//! `found-…` are inputs that once broke something, each a file. `grown` holds those that coverage-guided runs found to
//! reach something that no other reaches: many and small, so they are one file, each behind its length (4 bytes,
//! little-endian). Inputs are loaded in the order of the files' names, so that a run is repeated from its seed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Target;

/// The file of inputs that have grown.
const GROWN: &str = "grown";

/// Where the corpus of this repository is.
#[must_use]
pub fn folder() -> PathBuf {
    repository().join("tests/corpus")
}

/// The repository: this module is compiled in two packages of it.
pub(super) fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().find(|folder| folder.join("ARCHITECTURE.md").is_file()).unwrap_or(package)
}

/// An input and where it comes from.
#[derive(Clone)]
pub struct Input {
    /// Its file, or the number of the seed.
    pub name: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The seeds of a target, and its files in a folder of corpora. A target without a folder has its seeds alone.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn load(target: &Target, corpora: &Path) -> io::Result<Vec<Input>> {
    let mut inputs: Vec<Input> = (target.seeds)()
        .into_iter()
        .enumerate()
        .map(|(number, bytes)| Input { name: format!("{} seed {number}", target.name), bytes })
        .collect();
    let folder = corpora.join(target.name);
    if folder.is_dir() {
        let mut files: Vec<PathBuf> =
            fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        files.sort();
        for path in files {
            let bytes = fs::read(&path)?;
            if path.file_name().is_some_and(|name| name == GROWN) {
                let name = |number: usize| format!("{} {number}", path.display());
                inputs.extend((0..).zip(unpacked(&bytes)).map(|(number, bytes)| Input { name: name(number), bytes }));
            } else {
                inputs.push(Input { bytes, name: path.display().to_string() });
            }
        }
    }
    Ok(inputs)
}

fn unpacked(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
        let (input, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        inputs.push(input.to_vec());
        bytes = rest;
    }
    inputs
}

/// Writes everything that is known of a target as files of a folder, for an engine that reads files.
///
/// # Errors
/// When a file cannot be written.
pub fn write_known(target: &Target, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in load(target, &self::folder())?.iter().enumerate() {
        fs::write(folder.join(format!("known-{number:05}")), &input.bytes)?;
    }
    Ok(())
}

/// Keeps the files of a folder as what has grown for a target; its seeds among them are left out, and what broke
/// something once too, for they are there anyway.
///
/// # Errors
/// When a file cannot be read or written.
pub fn keep(target: &Target, folder: &Path) -> io::Result<usize> {
    let mut files: Vec<Vec<u8>> =
        fs::read_dir(folder)?.map(|entry| fs::read(entry?.path())).collect::<io::Result<_>>()?;
    let grown = self::folder().join(target.name).join(GROWN);
    if grown.is_file() {
        fs::remove_file(&grown)?;
    }
    let known = load(target, &self::folder())?;
    files.retain(|file| known.iter().all(|known| known.bytes != *file));
    files.sort();
    let mut packed = Vec::new();
    for file in &files {
        packed.extend_from_slice(&u32::try_from(file.len()).unwrap_or(u32::MAX).to_le_bytes());
        packed.extend_from_slice(file);
    }
    fs::create_dir_all(self::folder().join(target.name))?;
    fs::write(grown, packed)?;
    Ok(files.len())
}
