//! libFuzzer on the targets of `fuzz`: the root of the program of `tests/fuzz`, not part of this package.
#![no_main]
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    reason = "it shares modules with another package, and uses a part of them"
)]

#[path = "../../protocol/tests/gate_support.rs"]
mod forge;
mod fuzz;
mod world;

use std::path::Path;
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;

static RUN: OnceLock<fn(&[u8])> = OnceLock::new();

/// Which target is run; and what is to be done instead, if anything: writing what is known into a folder, or keeping a
/// folder's files in the corpus.
fn begin() {
    // libFuzzer's own hook ends the program at every panic, also at those of the library that the gate catches.
    std::panic::set_hook(Box::new(|info| {
        if std::env::var_os("QIANMO_FUZZ_PANICS").is_some() {
            eprintln!("{info}");
        }
    }));
    let name = std::env::var("QIANMO_FUZZ").unwrap_or_default();
    let Some(target) = fuzz::target_named(&name) else { panic!("QIANMO_FUZZ names no target: '{name}'") };
    if let Some(folder) = std::env::var_os("QIANMO_FUZZ_KNOWN") {
        fuzz::corpus::write_known(target, Path::new(&folder)).expect("the folder can be written");
        std::process::exit(0);
    }
    if let Some(folder) = std::env::var_os("QIANMO_FUZZ_KEEP") {
        let count = fuzz::corpus::keep(target, Path::new(&folder)).expect("the folder can be read, the corpus written");
        println!("{}: {count} inputs have grown", target.name);
        std::process::exit(0);
    }
    RUN.get_or_init(|| target.run);
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    if let Some(run) = RUN.get() {
        run(bytes);
    }
});
