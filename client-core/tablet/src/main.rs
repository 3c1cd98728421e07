//! The `qianmo` program; everything is in the library.

fn main() -> std::process::ExitCode {
    qianmo_tablet::main_from_env()
}
