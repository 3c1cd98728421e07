//! Every input of the fuzz corpus, and every seed, through its target: what once broke something never does again.

use std::fs;

use peak_alloc::PeakAlloc;
use qianmo_tests::fuzz::{TARGETS, corpus, target_named};
use qianmo_tests::fuzz_driver::engine::{execute, listen_to_panics};

/// Memory is counted for one input at a time, so this file has one test that runs inputs.
#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// What all files of the corpus may take together.
const CORPUS_BYTES_MAX: u64 = 2 * 1024 * 1024;

#[test]
fn every_known_input_passes_its_target_within_its_memory() {
    listen_to_panics();
    let mut failures = Vec::new();
    let mut inputs = 0;
    for target in &TARGETS {
        let known = corpus::load(target, &corpus::folder()).unwrap();
        assert!(known.len() > 3, "{} has {} inputs", target.name, known.len());
        for input in known {
            inputs += 1;
            if let Some(failure) = execute(target, &input.bytes).failure {
                failures.push(format!("{}: {failure}", input.name));
            }
        }
    }
    // The default hook shows a failure of this test itself.
    drop(std::panic::take_hook());
    assert!(failures.is_empty(), "{} of {inputs} inputs fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn corpus_is_small_and_every_folder_belongs_to_a_target() {
    let mut bytes = 0;
    for folder in fs::read_dir(corpus::folder()).unwrap() {
        let folder = folder.unwrap();
        let name = folder.file_name().into_string().unwrap();
        assert!(target_named(&name).is_some(), "{name} is no target");
        bytes += fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum::<u64>();
    }
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes, at most {CORPUS_BYTES_MAX}");
}
