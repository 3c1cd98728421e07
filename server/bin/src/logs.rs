//! Structured logs on standard error: text for people, one JSON object a line for a collector.

use std::io::{self, IsTerminal as _};

use qianmo_server::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// Lines of these libraries below a warning say nothing to an operator.
const QUIET: &str = "quinn=warn,quinn_proto=warn,rustls=warn,sled=warn,hyper=warn,h2=warn,tower=warn,mio=warn";

/// Sends log lines to standard error from now on. A second call changes nothing.
pub(crate) fn start(config: &LogConfig) {
    let level = config.level.as_str();
    let filter = EnvFilter::new(format!("{level},{QUIET}"));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_span_events(FmtSpan::NONE)
        .with_target(false);
    let started = match config.format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logs were started before");
    }
}
