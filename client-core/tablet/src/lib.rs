//! The `qianmo` program: the tablet's command line.
//!
//! A library, so that a demonstration and tests run it in their own process: [`run`] takes arguments, environment and
//! streams, and gives an [`Exit`]. Everything a person reads is a message in two languages; everything a form asks comes
//! from the form.
//!
//! # Layout
//!
//! ```text
//! cli        the grammar; its help in words                  environment, terminal   what surrounds a run
//! command/   one module a command                            message                 the words, messages/*.ftl
//! ledger     old tables into clean records
//! dialogue   a form by questions, without input or output    render/                 values in, text out
//! work       what commands share: the open core, ids         failure, exit           what went wrong, what next
//! ui/        the pages of the tablet, on an address of this machine
//! ```
//!
//! # Failure
//!
//! Every failure is told in three parts: what did not work, why, what to do next; and ends in a number, [`Exit`]. When
//! whoever reads the output goes away (`| head`), the run ends quietly.
//!
//! # Example
//!
//! ```
//! use qianmo_tablet::{Environment, Exit, Terminal, run};
//!
//! let folder = std::env::temp_dir().join("qianmo-tablet-example");
//! let environment = Environment::default().with("LANG", "zh_CN.UTF-8").with("HOME", &folder.display().to_string());
//! let mut out = Vec::new();
//! let exit = run(["qianmo", "--help"], &environment, Terminal::new(&b""[..], &mut out, std::io::sink()));
//! assert_eq!(exit, Exit::Done);
//! assert!(String::from_utf8(out)?.starts_with("阡陌"));
//! # Ok::<(), std::string::FromUtf8Error>(())
//! ```

mod answers;
mod cli;
mod clock;
mod command;
mod dialogue;
mod environment;
mod exit;
mod failure;
pub mod ledger;
mod message;
mod names;
mod render;
mod terminal;
#[cfg(test)]
mod testing;
mod ui;
mod work;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use qianmo_client_core::Schedule;
use qianmo_forms::Lang;

pub use environment::Environment;
pub use exit::Exit;
pub use terminal::Terminal;
pub use ui::{About as PagesOf, Pages};

use cli::{Cli, Command};
use command::forms::Bench;
use failure::{Failure, Told};
use message::Messages;
use work::{Setting, Work};

/// The whole of `main`.
#[must_use]
pub fn main_from_env() -> ExitCode {
    let environment = Environment::of_process();
    start(std::env::args_os(), &environment, Terminal::of_process(), Traces::ToStandardError).into()
}

/// Runs one command line; the first argument is the program's name. Blocks until it is done, on a runtime of its own: call
/// it from a thread that runs no futures.
pub fn run<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    environment: &Environment,
    terminal: Terminal<'_>,
) -> Exit {
    start(arguments, environment, terminal, Traces::LeftAlone)
}

/// Whether `-v` sets up this process's traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Traces {
    ToStandardError,
    LeftAlone,
}

fn start<A: Into<OsString> + Clone>(
    arguments: impl IntoIterator<Item = A>,
    environment: &Environment,
    mut terminal: Terminal<'_>,
    traces: Traces,
) -> Exit {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let messages = Messages::new(asked_lang(&arguments).unwrap_or_else(|| environment.lang()));
    let done = match parse(&arguments, environment, messages, &mut terminal) {
        Ok(Some(cli)) => {
            if traces == Traces::ToStandardError {
                show_traces(cli.global.verbose);
            }
            block_on(&cli, environment, messages, &mut terminal)
        }
        Ok(None) => Ok(Exit::Done),
        Err(failure) => Err(failure),
    };
    let told = match done.and_then(|exit| terminal.flush().map(|()| exit).map_err(Failure::from)) {
        Ok(exit) => return exit,
        Err(Failure::Unheard) => return Exit::Done,
        Err(Failure::Told(told)) => told,
    };
    for line in told.lines(messages) {
        if terminal.note(&line).is_err() {
            break;
        }
    }
    told.exit
}

/// The language named on the command line, read before the rest: also what is wrong with the rest is said in it.
fn asked_lang(arguments: &[OsString]) -> Option<Lang> {
    let mut texts = arguments.iter().filter_map(|argument| argument.to_str());
    while let Some(text) = texts.next() {
        let value = if text == "--lang" { texts.next() } else { text.strip_prefix("--lang=") };
        match value {
            Some("zh") => return Some(Lang::Zh),
            Some("en") => return Some(Lang::En),
            Some(_) | None => {}
        }
    }
    None
}

/// The command; `None` when the arguments asked for help or the version, which is said then.
fn parse(
    arguments: &[OsString],
    environment: &Environment,
    messages: Messages,
    terminal: &mut Terminal<'_>,
) -> Result<Option<Cli>, Failure> {
    let command = cli::help::command(messages, environment.columns());
    let matches = command.try_get_matches_from(arguments);
    let error = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => return Ok(Some(cli)),
        Err(error) => error,
    };
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        terminal.say(error.render().to_string().trim_end())?;
        return Ok(None);
    }
    let told = Told::new(Exit::Usage, cli::fault::words(&error, messages));
    Err(told.next(messages.text("usage-next")).into())
}

/// Of this project at the level asked for; of what it is built on, only what a person must see.
fn show_traces(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => LevelFilter::DEBUG,
        2.. => LevelFilter::TRACE,
    };
    let targets = Targets::new().with_default(LevelFilter::WARN).with_target("qianmo", level);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    if tracing_subscriber::registry().with(lines).with(targets).try_init().is_err() {
        // Someone else in this process shows them already.
        tracing::debug!("traces are shown already");
    }
}

fn block_on(
    cli: &Cli,
    environment: &Environment,
    messages: Messages,
    terminal: &mut Terminal<'_>,
) -> Result<Exit, Failure> {
    if let Command::Forms(asked) = &cli.command {
        let folder = environment.forms_dir(environment.data_dir(cli.global.data.as_deref()).as_deref());
        let mut bench = Bench { messages, terminal, folder, columns: environment.columns() };
        return command::forms::run(&mut bench, asked).map(|()| Exit::Done);
    }
    if let Command::Import(asked @ cli::Import { dry_run: true, .. }) = &cli.command {
        return command::import::dry_run(asked, messages, terminal).map(|()| Exit::Done);
    }
    let folder = environment
        .data_dir(cli.global.data.as_deref())
        .ok_or_else(|| Told::new(Exit::Usage, messages.text("error-data-dir")).next(messages.text("next-data-dir")))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let runtime = runtime.map_err(|error| {
        Told::new(Exit::Failed, messages.text("error-runtime")).why(error).next(messages.text("next-store-failed"))
    })?;
    let setting = Setting {
        messages,
        environment,
        folder,
        label: if let Command::Enroll(asked) = &cli.command { asked.label.clone() } else { None },
        schedule: if matches!(&cli.command, Command::Sync(cli::Sync { watch: true, .. }) | Command::Ui(_)) {
            Schedule::Automatic
        } else {
            Schedule::Manual
        },
    };
    if let Command::Ui(asked) = &cli.command
        && let Some(address) = ui::shown_already(&setting.folder)
    {
        terminal.say(&messages.with("ui-running", &[("address", address.as_str().into())]))?;
        ui::open_browser(asked, &address);
        return Ok(Exit::Done);
    }
    runtime.block_on(async {
        let mut work = Work::open(&setting, terminal).await?;
        let done = perform(&mut work, &cli.command).await;
        let closed = work.client.close().await;
        done?;
        closed.map_err(|error| failure::of_close(&error, messages))?;
        Ok(Exit::Done)
    })
}

async fn perform(work: &mut Work<'_, '_>, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Enroll(asked) => command::enroll::run(work, asked).await,
        Command::New(asked) => command::new::run(work, asked).await,
        Command::Drafts(asked) => command::drafts::run(work, asked).await,
        Command::Edit(asked) => command::edit::run(work, asked).await,
        Command::List(asked) => command::list::run(work, asked),
        Command::Show(asked) => command::show::run(work, asked),
        Command::Resolve(asked) => command::resolve::run(work, asked).await,
        Command::Review(asked) => command::review::run(work, asked).await,
        Command::Sync(asked) => command::sync::run(work, asked).await,
        Command::Status(asked) => command::status::run(work, asked),
        Command::Ui(asked) => ui::run(work, asked).await,
        Command::Bundle(asked) => command::bundle::run(work, asked).await,
        Command::Evict(asked) => command::evict::run(work, asked).await,
        Command::BringBack(asked) => command::evict::bring_back(work, asked).await,
        Command::Export(asked) => command::export::run(work, asked),
        Command::Import(asked) => command::import::run(work, asked).await,
        Command::Duplicates(asked) => command::duplicates::run(work, asked).await,
        // Was done before the core opened: it needs none.
        Command::Forms(_) => Ok(()),
    }
}
