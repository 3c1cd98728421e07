//! The contract of [`Disk`].

use super::{ConformanceFailure, Promise};
use crate::disk::{Disk, FileEntry};

/// Holds a disk to its contract. The factory gives an empty disk each time.
///
/// # Errors
///
/// The first broken promise.
pub fn check_disk(mut new: impl FnMut() -> Box<dyn Disk>) -> Result<(), ConformanceFailure> {
    files_hold_what_was_written(&mut *new())?;
    names_are_listed_in_order(&mut *new())?;
    missing_files_are_errors(&mut *new())?;
    names_stay_in_the_folder(&mut *new())?;
    files_can_be_cut_and_lengthened(&mut *new())
}

fn files_hold_what_was_written(disk: &mut dyn Disk) -> Result<(), ConformanceFailure> {
    let promise = Promise("a file holds what was written at its offset");
    promise.works(disk.create("a.seg"))?;
    promise.works(disk.write_at("a.seg", 0, b"hello world"))?;
    promise.works(disk.write_at("a.seg", 6, b"W"))?;
    promise.works(disk.write_at("a.seg", 13, b"!"))?;
    promise.works(disk.sync_file("a.seg"))?;
    promise.works(disk.sync_dir())?;
    let mut buffer = [0xAA; 20];
    let count = promise.works(disk.read_at("a.seg", 0, &mut buffer))?;
    promise.same(count, 14)?;
    promise.same(buffer.get(..14), Some(b"hello World\0\0!".as_slice()))?;
    promise.same(promise.works(disk.read_at("a.seg", 12, &mut buffer))?, 2)?;
    promise.same(promise.works(disk.read_at("a.seg", 14, &mut buffer))?, 0)?;
    promise.same(promise.works(disk.read_at("a.seg", 1 << 40, &mut buffer))?, 0)?;
    promise.same(promise.works(disk.file_bytes("a.seg"))?, 14)
}

fn names_are_listed_in_order(disk: &mut dyn Disk) -> Result<(), ConformanceFailure> {
    let promise = Promise("names are listed in order, renamed with replacement and removed");
    for name in ["c", "a", "b"] {
        promise.works(disk.create(name))?;
        promise.works(disk.write_at(name, 0, name.as_bytes()))?;
    }
    promise.fails(disk.create("a"))?;
    promise.works(disk.rename("c", "a"))?;
    let entry = |name: &str, bytes| FileEntry { name: name.into(), bytes };
    promise.same(promise.works(disk.list())?, vec![entry("a", 1), entry("b", 1)])?;
    let mut buffer = [0; 4];
    promise.same(promise.works(disk.read_at("a", 0, &mut buffer))?, 1)?;
    promise.same(buffer.first(), Some(&b'c'))?;
    promise.works(disk.unlink("b"))?;
    promise.works(disk.sync_dir())?;
    promise.same(promise.works(disk.list())?, vec![entry("a", 1)])?;
    promise.works(disk.create("b"))?;
    promise.same(promise.works(disk.file_bytes("b"))?, 0)
}

fn missing_files_are_errors(disk: &mut dyn Disk) -> Result<(), ConformanceFailure> {
    let promise = Promise("a file that is not there is an error, not an empty file");
    promise.fails(disk.file_bytes("x"))?;
    promise.fails(disk.read_at("x", 0, &mut [0]))?;
    promise.fails(disk.write_at("x", 0, b"x"))?;
    promise.fails(disk.sync_file("x"))?;
    promise.fails(disk.rename("x", "y"))?;
    promise.fails(disk.unlink("x"))?;
    promise.fails(disk.truncate("x", 0))?;
    promise.same(promise.works(disk.list())?, Vec::new())
}

fn names_stay_in_the_folder(disk: &mut dyn Disk) -> Result<(), ConformanceFailure> {
    let promise = Promise("a name never leaves the folder");
    for name in ["", "..", "../x", "a/b", "LOCK", ".x"] {
        promise.fails(disk.create(name))?;
        promise.fails(disk.unlink(name))?;
        promise.fails(disk.rename(name, "y"))?;
    }
    promise.works(disk.create("x"))?;
    promise.fails(disk.rename("x", "../x"))
}

fn files_can_be_cut_and_lengthened(disk: &mut dyn Disk) -> Result<(), ConformanceFailure> {
    let promise = Promise("a cut file forgets its end, a lengthened one has zeros there");
    promise.works(disk.create("a"))?;
    promise.works(disk.write_at("a", 0, b"abcdef"))?;
    promise.works(disk.truncate("a", 2))?;
    promise.works(disk.truncate("a", 4))?;
    let mut buffer = [0xAA; 8];
    promise.same(promise.works(disk.read_at("a", 0, &mut buffer))?, 4)?;
    promise.same(buffer.get(..4), Some(b"ab\0\0".as_slice()))
}
