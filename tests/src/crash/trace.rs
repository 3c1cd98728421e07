//! What a traced run did to its files: the output of strace, read back into folders that know what is durable.
//!
//! Writes count from the moment they begin, everything else from the moment it is done: a power cut in between may leave
//! either. Each folder is a simulated disk of its own, so the legal states are those of [`MemoryDisk`]; a folder's name is an
//! entry of the folder above it, and lost with it.
//!
//! # Limits
//!
//! Memory maps are not seen. SQLite's shared memory is one, and worth nothing after a power cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use qianmo_replica::disk::{CrashMode, Disk as _, LOCK_FILE_NAME, MemoryDisk};
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha20Rng;

/// The calls that are traced.
pub const CALLS: &str = "openat,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,unlink,\
                         unlinkat,mkdir,mkdirat,rmdir,ftruncate,fallocate,copy_file_range,sendfile,link,linkat";

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A file or folder of the run was changed or synced: which.
    Changed(PathBuf),
    /// A process said something on its standard output.
    Said(String),
}

/// The folders of a run.
#[derive(Debug, Default)]
pub struct Tree {
    root: PathBuf,
    folders: BTreeMap<PathBuf, MemoryDisk>,
    /// Where the next plain write into a file goes.
    positions: BTreeMap<PathBuf, u64>,
    /// Calls that have begun, by thread: what stands before the break.
    begun: BTreeMap<u32, String>,
}

/// A call's name, its arguments and what it answered.
struct Call<'a> {
    name: &'a str,
    arguments: Vec<&'a str>,
}

impl Tree {
    /// A run under a folder that holds these folders, empty and durable.
    #[must_use]
    pub fn new(root: &Path, inside: &[&str]) -> Self {
        let mut tree = Self { root: root.to_owned(), ..Self::default() };
        let top = MemoryDisk::new();
        for name in inside {
            top.restore_file(name, Vec::new());
            tree.folders.insert(root.join(name), MemoryDisk::new());
        }
        tree.folders.insert(root.to_owned(), top);
        tree
    }

    /// Takes in one line of the trace.
    ///
    /// # Errors
    /// The line cannot be read, or shows a call whose effect is not known here.
    pub fn take(&mut self, line: &str) -> anyhow::Result<Vec<Event>> {
        let Some((thread, rest)) = line.trim_start().split_once(' ') else { return Ok(Vec::new()) };
        let thread: u32 = thread.parse().with_context(|| format!("no thread: {line:.80}"))?;
        let rest = rest.trim_start();
        // A thread that is killed in a call is detached: what it wrote may be there or not.
        let unfinished = [" <unfinished ...>", " <detached ...>"].into_iter().find_map(|end| rest.strip_suffix(end));
        if let Some(first) = unfinished {
            self.begun.insert(thread, first.to_owned());
            // A write may reach the disk before it is done.
            return if is_write(first) { self.write(first) } else { Ok(Vec::new()) };
        }
        if let Some(second) = rest.strip_prefix("<... ") {
            let Some(first) = self.begun.remove(&thread) else { return Ok(Vec::new()) };
            let second = second.split_once(" resumed>").map_or("", |(_, second)| second);
            return if is_write(&first) { Ok(Vec::new()) } else { self.done(&format!("{first}{second}")) };
        }
        if is_write(rest) { self.write(rest) } else { self.done(rest) }
    }

    fn write(&mut self, text: &str) -> anyhow::Result<Vec<Event>> {
        let Some(call) = parse(text) else { return Ok(Vec::new()) };
        let [file, bytes, rest @ ..] = call.arguments.as_slice() else { bail!("a write without bytes: {text:.80}") };
        let bytes = quoted(bytes).with_context(|| format!("bytes are cut off: {text:.80}"))?;
        if call.name == "write" && file.starts_with("1<") {
            let said = String::from_utf8_lossy(&bytes).into_owned();
            return Ok(said.lines().map(|line| Event::Said(line.to_owned())).collect());
        }
        let Some(path) = self.ours(path_of(file)) else { return Ok(Vec::new()) };
        let length = u64::try_from(bytes.len())?;
        let offset = match (call.name, rest) {
            ("pwrite64", [.., offset]) => offset.parse().with_context(|| format!("no offset: {text:.80}"))?,
            _ => self.positions.get(&path).copied().unwrap_or_default(),
        };
        if call.name == "write" {
            self.positions.insert(path.clone(), offset + length);
        }
        self.on(&path, |disk, name| disk.write_at(name, offset, &bytes))?;
        Ok(vec![Event::Changed(path)])
    }

    /// A call that is done and changes names, lengths or what is durable.
    fn done(&mut self, text: &str) -> anyhow::Result<Vec<Event>> {
        let Some(call) = parse(text) else { return Ok(Vec::new()) };
        let arguments = call.arguments;
        let path = match call.name {
            "openat" => self.opened(&arguments)?,
            "fsync" | "fdatasync" => self.synced(&arguments)?,
            "rename" => self.renamed(quoted_path(&arguments, 0), quoted_path(&arguments, 1))?,
            "renameat" | "renameat2" => self.renamed(placed(&arguments, 0), placed(&arguments, 2))?,
            "unlink" | "rmdir" => self.removed(quoted_path(&arguments, 0))?,
            "unlinkat" => self.removed(placed(&arguments, 0))?,
            "mkdir" => self.made(quoted_path(&arguments, 0))?,
            "mkdirat" => self.made(placed(&arguments, 0))?,
            "ftruncate" => {
                let length = arguments.get(1).and_then(|length| length.parse().ok()).context("no length")?;
                self.cut(path_of(arguments.first().copied().unwrap_or_default()), length)?
            }
            "fallocate" => {
                let sum = |at: usize| arguments.get(at).and_then(|text| text.parse::<u64>().ok());
                let end = sum(2).zip(sum(3)).map(|(offset, length)| offset + length).context("no length")?;
                self.grown(path_of(arguments.first().copied().unwrap_or_default()), end)?
            }
            other => {
                let touched = arguments.iter().any(|argument| self.ours(path_of(argument)).is_some());
                ensure!(!touched, "the effect of {other} is not known here");
                None
            }
        };
        Ok(path.map(Event::Changed).into_iter().collect())
    }

    fn opened(&mut self, arguments: &[&str]) -> anyhow::Result<Option<PathBuf>> {
        let flags = arguments.get(2).copied().unwrap_or_default();
        let Some(path) = self.ours(placed(arguments, 0)) else { return Ok(None) };
        if !flags.contains("O_WRONLY") && !flags.contains("O_RDWR") {
            return Ok(None);
        }
        let length = self.length(&path);
        self.positions.insert(path.clone(), if flags.contains("O_APPEND") { length.unwrap_or(0) } else { 0 });
        match length {
            None if flags.contains("O_CREAT") => self.on(&path, |disk, name| disk.create(name))?,
            Some(length) if length > 0 && flags.contains("O_TRUNC") => {
                self.on(&path, |disk, name| disk.truncate(name, 0))?;
            }
            None | Some(_) => return Ok(None),
        }
        Ok(Some(path))
    }

    fn synced(&mut self, arguments: &[&str]) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = self.ours(path_of(arguments.first().copied().unwrap_or_default())) else { return Ok(None) };
        match self.folders.get_mut(&path) {
            Some(folder) => folder.sync_dir()?,
            None => self.on(&path, |disk, name| disk.sync_file(name))?,
        }
        Ok(Some(path))
    }

    fn renamed(&mut self, from: Option<PathBuf>, to: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
        let Some((from, to)) = self.ours(from).zip(self.ours(to)) else { return Ok(None) };
        ensure!(from.parent() == to.parent(), "renamed into another folder: {} {}", from.display(), to.display());
        let target = name_of(&to)?;
        self.on(&from, |disk, name| disk.rename(name, &target))?;
        let inside: Vec<PathBuf> = self.folders.keys().filter(|folder| folder.starts_with(&from)).cloned().collect();
        for old in inside {
            if let Some(folder) = self.folders.remove(&old) {
                self.folders.insert(to.join(old.strip_prefix(&from)?), folder);
            }
        }
        Ok(Some(to))
    }

    fn removed(&mut self, path: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = self.ours(path).filter(|path| self.length(path).is_some()) else { return Ok(None) };
        self.on(&path, |disk, name| disk.unlink(name))?;
        Ok(Some(path))
    }

    fn made(&mut self, path: Option<PathBuf>) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = self.ours(path) else { return Ok(None) };
        self.on(&path, |disk, name| disk.create(name))?;
        self.folders.insert(path.clone(), MemoryDisk::new());
        Ok(Some(path))
    }

    fn cut(&mut self, path: Option<PathBuf>, length: u64) -> anyhow::Result<Option<PathBuf>> {
        let Some(path) = self.ours(path) else { return Ok(None) };
        self.on(&path, |disk, name| disk.truncate(name, length))?;
        Ok(Some(path))
    }

    fn grown(&mut self, path: Option<PathBuf>, end: u64) -> anyhow::Result<Option<PathBuf>> {
        if self.ours(path.clone()).and_then(|path| self.length(&path)).is_some_and(|length| length < end) {
            return self.cut(path, end);
        }
        Ok(None)
    }

    /// A path of this run that is followed: no lock file, nothing that has been removed.
    fn ours(&self, path: Option<PathBuf>) -> Option<PathBuf> {
        path.filter(|path| {
            path.starts_with(&self.root)
                && path.file_name().is_some_and(|name| name != LOCK_FILE_NAME)
                && !path.to_string_lossy().ends_with("(deleted)")
        })
    }

    fn length(&self, path: &Path) -> Option<u64> {
        let name = path.file_name()?.to_str()?;
        self.folders.get(path.parent()?)?.file_bytes(name).ok()
    }

    fn on<T, E: std::error::Error + Send + Sync + 'static>(
        &mut self,
        path: &Path,
        act: impl FnOnce(&mut MemoryDisk, &str) -> Result<T, E>,
    ) -> anyhow::Result<T> {
        let name = name_of(path)?;
        let folder = path.parent().and_then(|folder| self.folders.get_mut(folder));
        let folder = folder.with_context(|| format!("a folder nobody made: {}", path.display()))?;
        act(folder, &name).with_context(|| format!("{} as it is known here", path.display()))
    }

    /// Writes what a power cut leaves of a folder of the run to another place. Answers the modes that were drawn.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn cut_power(&self, folder: &Path, to: &Path, rng: &mut ChaCha20Rng) -> anyhow::Result<BTreeSet<String>> {
        let mut modes = BTreeSet::new();
        // A run of one mode finds what another hides.
        let mode = CrashMode::ALL.choose(rng).copied();
        self.write_folder(folder, to, mode, &mut modes, rng)?;
        Ok(modes)
    }

    fn write_folder(
        &self,
        folder: &Path,
        to: &Path,
        all: Option<CrashMode>,
        modes: &mut BTreeSet<String>,
        rng: &mut ChaCha20Rng,
    ) -> anyhow::Result<()> {
        make_private(to)?;
        let Some(disk) = self.folders.get(folder) else { return Ok(()) };
        let mode = all.context("no mode")?;
        modes.insert(format!("{mode:?}"));
        let left = disk.crash(mode, rng);
        for entry in left.list()? {
            let (inside, target) = (folder.join(&entry.name), to.join(&entry.name));
            if self.folders.contains_key(&inside) {
                self.write_folder(&inside, &target, all, modes, rng)?;
                continue;
            }
            let mut bytes = left.contents(&entry.name).unwrap_or_default();
            if entry.name == "session" {
                // The machine was started again since.
                bytes = b"another boot".to_vec();
            }
            write_private(&target, &bytes)?;
        }
        Ok(())
    }
}

fn make_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?.write_all(bytes)
}

fn name_of(path: &Path) -> anyhow::Result<String> {
    let name = path.file_name().and_then(|name| name.to_str());
    Ok(name.with_context(|| format!("no name: {}", path.display()))?.to_owned())
}

fn is_write(text: &str) -> bool {
    ["write(", "pwrite64("].iter().any(|name| text.starts_with(name))
}

/// A call that did not fail. All strings are in hexadecimal, so commas and brackets are strace's own.
fn parse(text: &str) -> Option<Call<'_>> {
    let (name, rest) = text.split_once('(')?;
    // Before the answer of a call that was broken off and resumed, strace puts spaces.
    let arguments = match rest.rsplit_once(" = ") {
        Some((_, answer)) if answer.starts_with('-') => return None,
        Some((arguments, _)) => arguments.trim_end(),
        None => rest,
    };
    let arguments = arguments.strip_suffix(')').unwrap_or(arguments);
    let known = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    known.then(|| Call { name, arguments: arguments.split(", ").collect() })
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() / 4);
    for part in text.split("\\x").skip(1) {
        bytes.push(u8::from_str_radix(part, 16).ok()?);
    }
    Some(bytes)
}

/// The bytes of a string argument; `None` when strace cut it off.
fn quoted(argument: &str) -> Option<Vec<u8>> {
    unhex(argument.strip_prefix('"')?.strip_suffix('"')?)
}

/// The path strace names beside a file descriptor.
fn path_of(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let inside = rest.split_once('>')?.0;
    let bytes = unhex(inside).filter(|bytes| !bytes.is_empty())?;
    Some(PathBuf::from(String::from_utf8(bytes).ok()? + if argument.ends_with("(deleted)") { "(deleted)" } else { "" }))
}

fn quoted_path(arguments: &[&str], at: usize) -> Option<PathBuf> {
    Some(PathBuf::from(String::from_utf8(quoted(arguments.get(at)?)?).ok()?))
}

/// A path relative to the folder in the argument before it.
fn placed(arguments: &[&str], at: usize) -> Option<PathBuf> {
    let inside = quoted_path(arguments, at + 1)?;
    Some(path_of(arguments.get(at)?).unwrap_or_default().join(inside))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;

    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    fn tree() -> Tree {
        Tree::new(Path::new("/run"), &["a"])
    }

    fn left(tree: &Tree) -> Vec<String> {
        let to = tempfile::tempdir().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut modes = BTreeSet::new();
        tree.write_folder(Path::new("/run/a"), to.path(), Some(CrashMode::DropUnsynced), &mut modes, &mut rng).unwrap();
        let mut names: Vec<String> = std::fs::read_dir(to.path())
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                format!("{} {}", entry.file_name().display(), std::fs::read(entry.path()).unwrap_or_default().len())
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn file_is_there_after_its_own_sync_and_that_of_its_folder_and_not_before() {
        let mut tree = tree();
        let (path, folder) = (hex("/run/a/f"), hex("/run/a"));
        let lines = [
            format!("7 openat(AT_FDCWD<{}>, \"{path}\", O_WRONLY|O_CREAT, 0600) = 3<{path}>", hex("/")),
            format!("7 write(3<{path}>, \"{}\", 3) = 3", hex("abc")),
            format!("7 write(3<{path}>, \"{}\", 2 <unfinished ...>", hex("de")),
            "7 <... write resumed>) = 2".to_owned(),
            format!("7 fdatasync(3<{path}>) = 0"),
        ];
        for line in &lines {
            assert_eq!(left(&tree), Vec::<String>::new());
            tree.take(line).unwrap();
        }
        assert_eq!(left(&tree), Vec::<String>::new(), "its name is not durable");
        tree.take(&format!("7 fsync(4<{folder}>) = 0")).unwrap();
        assert_eq!(left(&tree), ["f 5"]);
    }

    #[test]
    fn call_that_failed_changes_nothing_and_a_cut_string_is_an_error() {
        let mut tree = tree();
        let path = hex("/run/a/f");
        let failed = format!("7 mkdir(\"{path}\", 0777) = -1 EEXIST (File exists)");
        assert_eq!(tree.take(&failed).unwrap(), Vec::new());
        assert_eq!(tree.take(&format!("7 mkdir(\"{path}\", 0777 <unfinished ...>")).unwrap(), Vec::new());
        let resumed = "7 <... mkdir resumed>)              = -1 ENOENT (No such file or directory)";
        assert_eq!(tree.take(resumed).unwrap(), Vec::new());
        assert!(tree.take(&format!("7 write(3<{path}>, \"{}\"..., 900) = 900", hex("ab"))).is_err());
        assert!(tree.take(&format!("7 copy_file_range(3<{path}>, NULL, 4<{path}>, NULL, 9, 0) = 9")).is_err());
    }

    #[test]
    fn write_of_a_thread_that_was_killed_in_it_counts_and_a_name_does_not() {
        let mut tree = tree();
        let path = hex("/run/a/f");
        tree.take(&format!("7 openat(AT_FDCWD, \"{path}\", O_WRONLY|O_CREAT, 0600) = 3<{path}>")).unwrap();
        let write = format!("7 pwrite64(3<{path}>, \"{}\", 3, 0 <detached ...>", hex("abc"));
        assert_eq!(tree.take(&write).unwrap(), [Event::Changed(PathBuf::from("/run/a/f"))]);
        assert_eq!(tree.take(&format!("8 mkdir(\"{}\", 0777 <detached ...>", hex("/run/a/g"))).unwrap(), Vec::new());
        assert_eq!(tree.length(Path::new("/run/a/f")), Some(3));
    }

    #[test]
    fn what_a_process_says_is_heard_in_its_place() {
        let said = format!("9 write(1<{}>, \"{}\", 12) = 12", hex("pipe:[1]"), hex("t1 did new x\n"));
        assert_eq!(tree().take(&said).unwrap(), [Event::Said("t1 did new x".into())]);
    }
}
