//! The tablet's program, for tests that need a process of their own.

fn main() -> std::process::ExitCode {
    qianmo_tablet::main_from_env()
}
