//! The `qianmo-server` program.

fn main() -> std::process::ExitCode {
    qianmo_server_bin::main_from_env()
}
