//! How a command ends: its exit code, and the three lines a person needs: what went wrong, why, and what to do next.
//!
//! # Failure
//!
//! Output that nobody reads any more (`| head`) is no failure: the program ends quietly.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;

use crate::lang::Lang;

/// Exit codes. `--help` shows the same list; a test keeps them equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// The world: disk, network, permissions, another process.
    Failed,
    /// The command line, the environment or the configuration.
    Usage,
    /// A check found something that does not hold: `verify`, `demo`.
    NotHeld,
    /// There is no organisation here, or there is one already.
    WrongFolder,
    /// The hub said no: no such device, no such ticket.
    Refused,
}

impl Exit {
    /// All, with what they mean.
    pub(crate) const MEANINGS: [(Self, &'static str); 5] = [
        (Self::Failed, "the disk, the network or another process is in the way"),
        (Self::Usage, "the command line, the environment or the configuration is wrong"),
        (Self::NotHeld, "a check found something that does not hold (verify, demo)"),
        (Self::WrongFolder, "no organisation in this folder, or one already"),
        (Self::Refused, "the hub does not do it: no such device, a role that needs a scope …"),
    ];

    /// The number the shell sees.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NotHeld => 3,
            Self::WrongFolder => 4,
            Self::Refused => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.number())
    }
}

/// Why a command did not do what was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// What and where, with its causes.
    pub(crate) error: anyhow::Error,
    /// What to do next; empty if the error says it.
    pub(crate) next: String,
}

impl Failure {
    /// A failure without a cause below it.
    pub(crate) fn new(exit: Exit, what: impl Display, next: impl Into<String>) -> Self {
        Self { exit, error: anyhow::anyhow!("{what}"), next: next.into() }
    }

    /// Whether it is only that nobody reads the output any more.
    pub(crate) fn is_broken_pipe(&self) -> bool {
        self.error.chain().any(|cause| {
            cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        })
    }

    /// What is printed on standard error.
    pub(crate) fn render(&self, lang: Lang) -> String {
        let mut lines = Vec::new();
        for (depth, cause) in self.error.chain().enumerate() {
            lines.push(match depth {
                0 => format!("{}: {cause}", lang.label("错误", "error")),
                _ => format!("  {}: {cause}", lang.label("原因", "because")),
            });
        }
        if !self.next.is_empty() {
            lines.push(format!("  {}: {}", lang.label("下一步", "next"), self.next));
        }
        lines.join("\n")
    }
}

/// Turns an error of a library into a failure.
pub(crate) trait OrFail<T> {
    /// With what to do next.
    fn or_fail(self, exit: Exit, what: impl Display, next: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: Into<anyhow::Error>> OrFail<T> for Result<T, E> {
    fn or_fail(self, exit: Exit, what: impl Display, next: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure { exit, error: error.into().context(what.to_string()), next: next.into() })
    }
}

/// Output that cannot be written.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self {
            exit: Exit::Failed,
            error: anyhow::Error::new(error).context("cannot write the output"),
            next: String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failure_says_what_why_and_what_to_do_next() {
        let cause: Result<(), _> = Err(io::Error::new(io::ErrorKind::PermissionDenied, "permission denied"));
        let failure = cause.or_fail(Exit::Failed, "cannot write /x", "run it as the user qianmo").unwrap_err();
        assert_eq!(
            failure.render(Lang::En),
            "error: cannot write /x\n  because: permission denied\n  next: run it as the user qianmo"
        );
        assert!(failure.render(Lang::Zh).ends_with("  下一步 next: run it as the user qianmo"));
        assert!(!failure.is_broken_pipe());
    }

    #[test]
    fn output_nobody_reads_is_told_from_other_failures() {
        assert!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)).is_broken_pipe());
        assert!(!Failure::from(io::Error::from(io::ErrorKind::StorageFull)).is_broken_pipe());
    }

    #[test]
    fn exit_codes_are_distinct_and_none_is_success() {
        let mut numbers: Vec<_> = Exit::MEANINGS.iter().map(|(exit, _)| exit.number()).collect();
        numbers.dedup();
        assert_eq!(numbers, [1, 2, 3, 4, 5]);
    }
}
