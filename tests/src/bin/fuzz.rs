//! Runs the fuzz targets: see `qianmo_tests::fuzz_driver`.

use std::process::ExitCode;

use clap::Parser as _;
use peak_alloc::PeakAlloc;
use qianmo_tests::fuzz_driver::{Arguments, run};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

fn main() -> ExitCode {
    run(&Arguments::parse())
}
