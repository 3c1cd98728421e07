//! The hub's program, for tests that need a process of their own.

fn main() -> std::process::ExitCode {
    qianmo_server_bin::main_from_env()
}
