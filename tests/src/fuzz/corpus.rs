//! The inputs that are kept: `tests/corpus/TARGET/NAME`, each file one input.
//!
//! A name says where an input comes from: `seed-…` the program made, `grown-…` coverage found, `found-…` once broke
//! something. They are loaded in the order of their names, so that a run is repeated from its seed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Target;

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
            inputs.push(Input { bytes: fs::read(&path)?, name: path.display().to_string() });
        }
    }
    Ok(inputs)
}

/// Writes the seeds of a target as files of a folder of corpora, for an engine that knows nothing else.
///
/// # Errors
/// When a file cannot be written.
pub fn write_seeds(target: &Target, corpora: &Path) -> io::Result<usize> {
    write_seeds_into(target, &corpora.join(target.name))
}

/// Writes the seeds of a target as files of a folder.
///
/// # Errors
/// When a file cannot be written.
pub fn write_seeds_into(target: &Target, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let seeds = (target.seeds)();
    for (number, bytes) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), bytes)?;
    }
    Ok(seeds.len())
}
