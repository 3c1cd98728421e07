//! Where a run reads and writes: a terminal, a pipe, or a test's buffers.
//!
//! Results go to `out`; questions, notes and errors go to `err`, so that a pipe gets results only.

use std::fmt;
use std::io::{self, BufRead, IsTerminal as _, Read as _, Write};

/// Most bytes of one line a person types.
pub(crate) const LINE_BYTES_MAX: u64 = 256 * 1024;

/// Where a run reads and writes.
pub struct Terminal<'a> {
    input: Box<dyn BufRead + 'a>,
    out: Box<dyn Write + 'a>,
    err: Box<dyn Write + 'a>,
    progress: Progress,
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A moving bar on this process's terminal.
    Bar,
    /// Plain lines.
    Lines,
}

impl fmt::Debug for Terminal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl<'a> Terminal<'a> {
    /// Any streams.
    pub fn new(input: impl BufRead + 'a, out: impl Write + 'a, err: impl Write + 'a) -> Self {
        Self { input: Box::new(input), out: Box::new(out), err: Box::new(err), progress: Progress::Lines }
    }

    /// Those of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let progress = if io::stderr().is_terminal() { Progress::Bar } else { Progress::Lines };
        Self { progress, ..Self::new(io::stdin().lock(), io::stdout(), io::stderr()) }
    }

    pub(crate) const fn progress(&self) -> Progress {
        self.progress
    }

    /// A line of the result. An end of line is added.
    pub(crate) fn say(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")
    }

    /// The result itself, for an export.
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// A line beside the result.
    pub(crate) fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.err, "{text}")
    }

    /// A question; the answer follows on the same line.
    pub(crate) fn ask(&mut self, text: &str) -> io::Result<()> {
        self.out.flush()?;
        write!(self.err, "{text}")?;
        self.err.flush()
    }

    /// What was typed, without its line end; `None` at the end of input.
    pub(crate) fn answer(&mut self) -> io::Result<Option<String>> {
        let mut bytes = Vec::new();
        let read = (&mut self.input).take(LINE_BYTES_MAX).read_until(b'\n', &mut bytes)?;
        if read == 0 {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes);
        Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned()))
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()?;
        self.err.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_line_by_line_and_end() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal::new("一\r\n\nlast".as_bytes(), &mut out, &mut err);
        assert_eq!(terminal.answer().unwrap().as_deref(), Some("一"));
        assert_eq!(terminal.answer().unwrap().as_deref(), Some(""));
        assert_eq!(terminal.answer().unwrap().as_deref(), Some("last"));
        assert_eq!(terminal.answer().unwrap(), None);
    }

    #[test]
    fn results_and_questions_go_different_ways() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut terminal = Terminal::new(&b""[..], &mut out, &mut err);
        terminal.say("result").unwrap();
        terminal.ask("question? ").unwrap();
        drop(terminal);
        assert_eq!((out.as_slice(), err.as_slice()), (&b"result\n"[..], &b"question? "[..]));
    }
}
