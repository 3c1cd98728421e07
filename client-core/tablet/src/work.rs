//! What every command works with: the open core, the person's language, the terminal; and how they name records and forms.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use qianmo_client_core::{
    ClientConfig, Cursor, Diagnostics, DraftView, FieldClient, OpenError, RecordFilter, RecordId, RecordRow,
    RecordView, RepairKind, Schedule, Whoami,
};
use qianmo_forms::{Form, FormSet, Lang};

use crate::cli::Which;
use crate::clock;
use crate::environment::Environment;
use crate::exit::Exit;
use crate::failure::{self, Failure, Told};
use crate::message::Messages;
use crate::render::words::{gist, short};
use crate::terminal::Terminal;

/// Fewest digits that may stand for an id.
const PREFIX_MIN: usize = 4;
/// Most candidates shown for a start that fits several.
const CANDIDATES_MAX: usize = 10;
/// Records read at once.
const PAGE: usize = 200;
/// Pages of one walk: as many records as one device holds, and more.
const PAGES_MAX: usize = 10_000;

/// What a command works with.
#[derive(Debug)]
pub(crate) struct Work<'t, 'io> {
    pub(crate) client: FieldClient,
    pub(crate) forms: Arc<FormSet>,
    pub(crate) messages: Messages,
    pub(crate) terminal: &'t mut Terminal<'io>,
    pub(crate) now_ms: i64,
    /// A clock that stands still, for runs that are repeated.
    pub(crate) fixed_now_ms: Option<i64>,
    /// Where everything of this device is kept.
    pub(crate) folder: PathBuf,
    pub(crate) columns: usize,
}

/// What a command needs before the core is open.
#[derive(Debug)]
pub(crate) struct Setting<'e> {
    pub(crate) messages: Messages,
    pub(crate) environment: &'e Environment,
    pub(crate) folder: PathBuf,
    pub(crate) label: Option<String>,
    pub(crate) schedule: Schedule,
}

impl<'t, 'io> Work<'t, 'io> {
    /// Opens the core.
    pub(crate) async fn open(setting: &Setting<'_>, terminal: &'t mut Terminal<'io>) -> Result<Self, Failure> {
        let messages = setting.messages;
        let machine = setting.environment.machine_name();
        let mut config = ClientConfig::new(&setting.folder)
            .label(setting.label.as_deref().or(machine).unwrap_or("qianmo"))
            .schedule(setting.schedule);
        config.lang = messages.lang();
        config.forms_dir = setting.environment.forms_dir(Some(&setting.folder));
        let forms_dir = config.forms_dir.clone();
        let client = FieldClient::open(config).await.map_err(|error| {
            // Faults of forms are told with the folder of the forms.
            let folder = forms_dir.as_deref().filter(|_| matches!(error, OpenError::Forms(_)));
            failure::of_open(&error, folder.unwrap_or(&setting.folder), messages)
        })?;
        let forms = client.forms();
        let (now_ms, columns) = (setting.environment.now_ms(), setting.environment.columns());
        let (fixed_now_ms, folder) = (setting.environment.fixed_now_ms(), setting.folder.clone());
        let work = Self { client, forms, messages, terminal, now_ms, fixed_now_ms, folder, columns };
        // What was mended is well the next time; several places of one kind are one line.
        let said: BTreeSet<&str> =
            work.diagnostics()?.repairs.iter().filter_map(|repair| message_of(repair.kind)).collect();
        for id in said {
            work.terminal.note(&messages.text(id))?;
        }
        Ok(work)
    }

    pub(crate) const fn lang(&self) -> Lang {
        self.messages.lang()
    }

    /// A clock that cannot be right is said once, before anything is asked.
    pub(crate) fn warn_of_clock(&mut self) -> Result<(), Failure> {
        if !clock::is_plausible(self.now_ms) {
            let text = self.messages.with("clock-wrong", &[("time", clock::show(self.now_ms).into())]);
            self.terminal.note(&text)?;
        }
        Ok(())
    }

    /// Who this device is; `None` before enrolment.
    pub(crate) fn whoami(&self) -> Result<Option<Whoami>, Failure> {
        Ok(self.client.whoami().map_err(|error| failure::of_read(&error, self.messages))?)
    }

    /// What support asks for.
    pub(crate) fn diagnostics(&self) -> Result<Diagnostics, Failure> {
        Ok(self.client.diagnostics().map_err(|error| failure::of_read(&error, self.messages))?)
    }

    /// A form by its name or its label.
    pub(crate) fn form(&self, said: &str) -> Result<Form, Failure> {
        let called = |form: &&Form| {
            form.id() == said || Lang::ALL.into_iter().any(|lang| form.label().get(lang).eq_ignore_ascii_case(said))
        };
        self.forms.iter().find(called).cloned().ok_or_else(|| {
            let what = self.messages.with("error-unknown-form", &[("form", said.into())]);
            let names = self.forms.iter().map(|form| format!("{} {}", form.id(), form.label().get(self.lang())));
            let mut told = Told::new(Exit::Usage, what);
            told.details = names.collect();
            told.next(self.messages.text("next-forms")).into()
        })
    }

    /// A record by its id or the start of it.
    pub(crate) fn record(&self, said: &str) -> Result<RecordView, Failure> {
        let id = self.record_id(said)?;
        let found = self.client.record(id).map_err(|error| failure::of_read(&error, self.messages))?;
        found.ok_or_else(|| failure::unknown_record(said, self.messages).into())
    }

    fn record_id(&self, said: &str) -> Result<RecordId, Failure> {
        if let Ok(id) = said.parse::<RecordId>() {
            return Ok(id);
        }
        let prefix = self.prefix(said)?;
        let filter = RecordFilter { with_withdrawn: true, ..RecordFilter::default() };
        let mut found: Vec<RecordRow> = Vec::new();
        self.each(filter, |row| {
            if row.id.to_string().starts_with(&prefix) {
                found.push(row);
            }
            found.len() < CANDIDATES_MAX
        })?;
        match found.as_slice() {
            [row] => Ok(row.id),
            [] => Err(failure::unknown_record(said, self.messages).into()),
            rows => {
                let line =
                    |row: &RecordRow| format!("{}  {}", row.id, gist(self.forms.get(&row.form), row, self.messages));
                Err(self.ambiguous(said, rows.iter().map(line).collect()))
            }
        }
    }

    /// A draft by its id or the start of it.
    pub(crate) fn draft(&self, said: &str) -> Result<DraftView, Failure> {
        let prefix = self.prefix(said)?;
        let drafts = self.client.drafts().map_err(|error| failure::of_read(&error, self.messages))?;
        let mut found: Vec<DraftView> =
            drafts.into_iter().filter(|draft| draft.id.to_string().starts_with(&prefix)).collect();
        match (found.pop(), found.is_empty()) {
            (Some(draft), true) => Ok(draft),
            (Some(draft), false) => {
                found.push(draft);
                Err(self.ambiguous(said, found.iter().map(|draft| draft.id.to_string()).collect()))
            }
            (None, _) => {
                Err(Told::new(Exit::Failed, self.messages.with("error-unknown-draft", &[("draft", said.into())]))
                    .next(self.messages.text("next-unknown-draft"))
                    .into())
            }
        }
    }

    fn prefix(&self, said: &str) -> Result<String, Failure> {
        let digits = said.to_ascii_lowercase();
        if digits.len() >= PREFIX_MIN && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(digits);
        }
        let arguments = [("id", said.into()), ("min", PREFIX_MIN.into())];
        Err(Told::new(Exit::Usage, self.messages.with("error-no-id", &arguments))
            .next(self.messages.text("next-unknown-record"))
            .into())
    }

    fn ambiguous(&self, said: &str, candidates: Vec<String>) -> Failure {
        let mut told =
            Told::new(Exit::Usage, self.messages.with("error-ambiguous", &[("id", short(said).to_owned().into())]));
        told.details = candidates;
        told.next(self.messages.text("next-ambiguous")).into()
    }

    /// Goes through records, newest first, until `visit` has enough.
    pub(crate) fn each(
        &self,
        mut filter: RecordFilter,
        mut visit: impl FnMut(RecordRow) -> bool,
    ) -> Result<Option<Cursor>, Failure> {
        filter.limit = PAGE;
        for _ in 0..PAGES_MAX {
            let page = self.client.records(filter.clone()).map_err(|error| failure::of_read(&error, self.messages))?;
            for row in page.rows {
                if !visit(row) {
                    return Ok(page.next);
                }
            }
            match page.next {
                Some(next) => filter.after = Some(next),
                None => return Ok(None),
            }
        }
        Ok(filter.after)
    }

    /// The filter of `--station --month --form`.
    pub(crate) fn filter(&self, which: &Which) -> Result<RecordFilter, Failure> {
        let form = match &which.form {
            Some(said) => Some(self.form(said)?.id().to_owned()),
            None => None,
        };
        Ok(RecordFilter { station: which.station.clone(), month: which.month.clone(), form, ..RecordFilter::default() })
    }

    /// A JSON result.
    pub(crate) fn say_json(&mut self, value: &serde_json::Value) -> Result<(), Failure> {
        Ok(self.terminal.say(&format!("{value:#}"))?)
    }
}

/// How a repair is told, when the store is opened.
const fn message_of(kind: RepairKind) -> Option<&'static str> {
    match kind {
        RepairKind::IndexRebuilt => Some("open-index-rebuilt"),
        RepairKind::IndexInMemory => Some("open-index-in-memory"),
        RepairKind::UnfinishedWrite => Some("open-unfinished-write"),
        RepairKind::Damaged => Some("open-damaged"),
        RepairKind::ReadOnly => Some("open-read-only"),
        RepairKind::Unreadable => Some("open-unreadable"),
        _ => None,
    }
}
