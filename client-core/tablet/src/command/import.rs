//! `qianmo import`: an old ledger into records, and a report of what became of every row.
//!
//! # Flow
//!
//! ```text
//! check the folder, the ledger, the places to write      nothing is filed before all of it is in order
//! read the ledger whole: report, refused rows            a dry run ends here; it needs no enrolment
//! rights of the person, entries, rows                    reads the ledger again, files as it goes
//! ```

mod file;
mod show;
mod told;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::Import;
use crate::failure::{self, Failure, Told};
use crate::ledger::refused::RefusedRows;
use crate::ledger::{About, Cleaner, Folder, Outcome, Rows, SourceError, SourceFacts, Summary, inspect};
use crate::message::Messages;
use crate::terminal::{Progress, Terminal};
use crate::work::Work;

/// Rows between two looks at the progress bar.
const TICK_ROWS: u64 = 256;

/// A ledger that was found in order.
struct Ledger<'a> {
    asked: &'a Import,
    folder: Folder,
    source: SourceFacts,
    messages: Messages,
}

/// A file that is moved to its place when it is whole.
struct Part {
    place: PathBuf,
    part: PathBuf,
}

impl Part {
    fn beside(place: &Path) -> Self {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        Self { place: place.to_owned(), part: place.with_file_name(name) }
    }

    fn create(&self) -> std::io::Result<BufWriter<File>> {
        File::create(&self.part).map(BufWriter::new)
    }

    fn finish(&self, mut out: BufWriter<File>) -> std::io::Result<()> {
        out.flush()?;
        out.get_ref().sync_all()?;
        drop(out);
        fs::rename(&self.part, &self.place)
    }
}

impl Drop for Part {
    /// What did not get to its place is not left lying about.
    fn drop(&mut self) {
        if self.part.exists()
            && let Err(error) = fs::remove_file(&self.part)
        {
            tracing::warn!(%error, file = %self.part.display(), "a file that is not whole could not be removed");
        }
    }
}

/// Reads and reports; files nothing. Needs neither enrolment nor a store.
pub(crate) fn dry_run(asked: &Import, messages: Messages, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
    let ledger = Ledger::open(asked, messages)?;
    let refused = asked.rejected.clone();
    let summary = ledger.read(refused.as_deref(), terminal)?;
    terminal.note(&messages.text("import-dry-run"))?;
    ledger.show(&summary, terminal)
}

/// Reads, reports and files.
pub(crate) async fn run(work: &mut Work<'_, '_>, asked: &Import) -> Result<(), Failure> {
    if !work.client.status().enrolled {
        return Err(failure::not_enrolled(work.messages).into());
    }
    let ledger = Ledger::open(asked, work.messages)?;
    let refused = asked.rejected.clone().unwrap_or_else(|| refused_place(&asked.ledger));
    let summary = ledger.read(Some(&refused), work.terminal)?;
    let plan = file::plan(work, &ledger, &summary).await?;
    let (filed, again) = file::file(work, &ledger, plan).await?;
    if again != summary {
        return Err(told::of_changed(&asked.ledger, work.messages).into());
    }
    ledger.show(&summary, work.terminal)?;
    if !summary.rejected.is_empty() {
        let place = refused.display().to_string();
        let arguments = [("count", summary.rejected.len().into()), ("file", place.into())];
        work.terminal.note(&work.messages.with("import-refused-next", &arguments))?;
    }
    file::show(work, &filed)
}

/// Beside the ledger, under a name that says what it is.
fn refused_place(ledger: &Path) -> PathBuf {
    let mut name = ledger.file_stem().unwrap_or_default().to_owned();
    name.push("-拒收.csv");
    ledger.with_file_name(name)
}

impl<'a> Ledger<'a> {
    fn open(asked: &'a Import, messages: Messages) -> Result<Self, Failure> {
        let ledger = fs::canonicalize(&asked.ledger).ok();
        let mut written = [&asked.report, &asked.rejected].into_iter().flatten();
        if let Some(place) = written.find(|place| ledger.is_some() && fs::canonicalize(place).ok() == ledger) {
            return Err(told::of_same_file(place, messages).into());
        }
        let folder = Folder::read(&asked.with).map_err(|error| told::of_folder(&error, &asked.with, messages))?;
        let source = File::open(&asked.ledger).map_err(SourceError::Io).and_then(inspect);
        let source = source.map_err(|error| told::of_source(&error, &asked.ledger, messages))?;
        Ok(Self { asked, folder, source, messages })
    }

    fn rows(&self) -> Result<Rows, Failure> {
        let opened = File::open(&self.asked.ledger).map_err(SourceError::Io);
        let rows = opened.and_then(|file| Rows::new(file, self.source.encoding));
        Ok(rows.map_err(|error| self.told(&error))?)
    }

    fn told(&self, error: &SourceError) -> Told {
        told::of_source(error, &self.asked.ledger, self.messages)
    }

    fn cleaner(&self, header: &[String]) -> Result<Cleaner<'_>, Failure> {
        let Folder { directory, vocabulary } = &self.folder;
        let cleaner = Cleaner::new(header, directory, vocabulary, self.asked.year);
        Ok(cleaner.map_err(|error| told::of_header(&error, &self.asked.ledger, self.messages))?)
    }

    /// Reads the whole ledger and writes what was asked for: the report and the refused rows.
    fn read(&self, refused: Option<&Path>, terminal: &mut Terminal<'_>) -> Result<Summary, Failure> {
        let mut rows = self.rows()?;
        let mut cells = Vec::new();
        rows.next_row(&mut cells).map_err(|error| self.told(&error))?;
        let mut cleaner = self.cleaner(&cells)?;
        let missing = cleaner.missing_columns();
        if !missing.is_empty() {
            let names = missing.join("、");
            terminal.note(&self.messages.with("import-missing-columns", &[("columns", names.into())]))?;
        }
        let refused = refused.map(Part::beside);
        let fault =
            |part: &Part, error: &std::io::Error| Failure::from(failure::of_file(error, &part.place, self.messages));
        let mut out = None;
        if let Some(part) = &refused {
            let begun = part.create().and_then(|file| RefusedRows::new(file, &cells));
            out = Some((part, begun.map_err(|error| fault(part, &error))?));
        }
        let bar = progress(terminal, self.source.bytes, self.messages.text("import-reading"));
        while rows.next_row(&mut cells).map_err(|error| self.told(&error))? {
            let outcome = cleaner.handle(&cells);
            if let (Outcome::Rejected(reason), Some((part, out))) = (&outcome, &mut out) {
                out.push(*reason, &cells).map_err(|error| fault(part, &error))?;
            }
            tick(bar.as_ref(), &rows);
        }
        let is_wanted = self.asked.rejected.is_some() || cleaner.rejected() > 0;
        if let Some((part, out)) = out.filter(|_| is_wanted) {
            out.finish().and_then(|file| part.finish(file)).map_err(|error| fault(part, &error))?;
        }
        let summary = cleaner.finish();
        self.write_report(&summary)?;
        Ok(summary)
    }

    fn write_report(&self, summary: &Summary) -> Result<(), Failure> {
        let Some(place) = &self.asked.report else { return Ok(()) };
        let part = Part::beside(place);
        let written = part.create().and_then(|mut out| {
            writeln!(out, "{:#}", summary.to_json(&self.about()))?;
            part.finish(out)
        });
        Ok(written.map_err(|error| failure::of_file(&error, place, self.messages))?)
    }

    fn about(&self) -> About<'_> {
        let file = self.asked.ledger.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        About { file, source: &self.source, directory: &self.folder.directory, year: self.asked.year }
    }

    fn show(&self, summary: &Summary, terminal: &mut Terminal<'_>) -> Result<(), Failure> {
        if self.asked.json {
            return Ok(terminal.say(&format!("{:#}", summary.to_json(&self.about())))?);
        }
        for line in show::lines(summary, &self.about(), self.messages) {
            terminal.say(&line)?;
        }
        Ok(())
    }

    /// The stations that accepted rows are of.
    fn stations(&self, summary: &Summary) -> BTreeSet<String> {
        let chosen =
            |station: &&str| self.asked.station.is_empty() || self.asked.station.iter().any(|one| one == station);
        summary.of_accepted.stations().filter(chosen).map(str::to_owned).collect()
    }
}

/// A bar where there is a terminal for it; it is gone when it is dropped.
fn progress(terminal: &Terminal<'_>, bytes: u64, message: String) -> Option<ProgressBar> {
    if terminal.progress() == Progress::Lines {
        return None;
    }
    let style = ProgressStyle::with_template("{msg} [{bar:30}] {percent}% ({elapsed})");
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr())
        .with_finish(indicatif::ProgressFinish::AndClear)
        .with_message(message);
    bar.set_style(style.unwrap_or_else(|_template| ProgressStyle::default_bar()));
    Some(bar)
}

fn tick(bar: Option<&ProgressBar>, rows: &Rows) {
    if let Some(bar) = bar.filter(|_| rows.rows_read().is_multiple_of(TICK_ROWS)) {
        bar.set_position(rows.bytes_read());
    }
}
