//! `qianmo forms`: the forms there are, what each asks, and whether files that someone wrote are in order.
//!
//! Needs no enrolment and opens no store: it works on a machine that only writes forms. What a form says is shown in both languages, because
//! whoever reads it has to see that both are right.

mod show;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use qianmo_forms::definition::FILE_BYTES_MAX;
use qianmo_forms::local::LOCAL_PREFIX;
use qianmo_forms::{
    CheckedFile, FileKind, Form, FormError, FormFault, FormFiles, FormKind, FormSet, Lang, RegistryHome,
};
use serde_json::{Value as Json, json};

use crate::cli::{Forms, FormsAct, FormsCheck};
use crate::exit::Exit;
use crate::failure::{Failure, Told};
use crate::message::Messages;
use crate::render::table::table;
use crate::terminal::Terminal;

/// What the command works with; no open core.
#[derive(Debug)]
pub(crate) struct Bench<'t, 'io> {
    pub(crate) messages: Messages,
    pub(crate) terminal: &'t mut Terminal<'io>,
    /// The district's folder, if there is one.
    pub(crate) folder: Option<PathBuf>,
    pub(crate) columns: usize,
}

pub(crate) fn run(bench: &mut Bench<'_, '_>, asked: &Forms) -> Result<(), Failure> {
    if let Some(folder) = &asked.with {
        bench.folder = Some(folder.clone());
    }
    match &asked.act {
        None => list(bench, asked.json),
        Some(FormsAct::Show(one)) => show::run(bench, &one.form, asked.json || one.json),
        Some(FormsAct::Check(files)) => check(bench, files, asked.json || files.json),
    }
}

impl Bench<'_, '_> {
    /// The forms of this device.
    fn forms(&self) -> Result<FormSet, Failure> {
        Ok(FormSet::open(self.folder.as_deref())
            .map_err(|error| faulty(&error, self.folder.as_deref(), self.messages))?)
    }

    fn say_json(&mut self, value: &Json) -> Result<(), Failure> {
        Ok(self.terminal.say(&format!("{value:#}"))?)
    }
}

/// What is told when a district's folder has faults.
pub(crate) fn faulty(error: &FormError, folder: Option<&Path>, messages: Messages) -> Told {
    const SHOWN: usize = 10;
    let place = folder.map(|folder| folder.display().to_string()).unwrap_or_default();
    let arguments = [("count", error.faults.len().into()), ("folder", place.as_str().into())];
    let mut told = Told::new(Exit::Failed, messages.with("error-forms-faulty", &arguments));
    told.details = error.faults.iter().take(SHOWN).map(|fault| line(fault, messages.lang())).collect();
    told.next(messages.with("next-forms-faulty", &[("folder", place.into())]))
}

/// A fault on one line.
fn line(fault: &FormFault, lang: Lang) -> String {
    let (place, what) = (fault.place_label(), fault.kind.message());
    format!("{}: {}: {}: {}", fault.file, place.get(lang), fault.key, what.get(lang))
}

/// What kind of form it is, in words.
fn kind(form: &Form, messages: Messages) -> String {
    match (form.kind(), form.home()) {
        (FormKind::Record, _) => messages.text("form-record"),
        (FormKind::Registry, RegistryHome::Station) => messages.text("form-registry-station"),
        (FormKind::Registry, RegistryHome::Organisation) => messages.text("form-registry-organisation"),
    }
}

/// How many fields a form has, and how many of them are marked.
fn count(form: &Form, is_counted: impl Fn(&qianmo_forms::Field) -> bool) -> usize {
    let rows = form.repeats().iter().flat_map(qianmo_forms::Repeat::fields);
    form.fields().iter().chain(rows).filter(|field| is_counted(field)).count()
}

fn is_required(field: &qianmo_forms::Field) -> bool {
    field.required == qianmo_forms::Required::Yes
}

fn list(bench: &mut Bench<'_, '_>, as_json: bool) -> Result<(), Failure> {
    let forms = bench.forms()?;
    if as_json {
        return bench.say_json(&forms.iter().map(show::summary).collect());
    }
    let messages = bench.messages;
    let headings = [
        "column-form",
        "column-name",
        "column-version",
        "column-fields",
        "column-required",
        "column-personal",
        "column-hidden",
        "column-kind",
    ];
    let headings = headings.map(|key| messages.text(key));
    let row = |form: &Form| {
        vec![
            form.id().to_owned(),
            form.label().get(messages.lang()).to_owned(),
            show::version(form),
            count(form, |_| true).to_string(),
            count(form, is_required).to_string(),
            count(form, |field| field.personal).to_string(),
            count(form, |field| field.hidden).to_string(),
            kind(form, messages),
        ]
    };
    let rows: Vec<Vec<String>> = forms.iter().map(row).collect();
    for line in table(&headings, &rows, bench.columns) {
        bench.terminal.say(&line)?;
    }
    let arguments = [("forms", rows.len().into()), ("lists", forms.lists().iter().count().into())];
    Ok(bench.terminal.note(&messages.with("forms-next", &arguments))?)
}

fn check(bench: &mut Bench<'_, '_>, asked: &FormsCheck, as_json: bool) -> Result<(), Failure> {
    let result = checked(&asked.files);
    let faults = match &result {
        Ok(_) => &[][..],
        Err(error) => error.faults.as_slice(),
    };
    if as_json {
        let files: Vec<Json> = result.iter().flatten().map(file_json).collect();
        let faults: Vec<Json> = faults.iter().map(fault_json).collect();
        bench.say_json(&json!({ "files": files, "faults": faults }))?;
    } else {
        say_faults(bench, faults)?;
        for file in result.iter().flatten() {
            let text = file_words(file, bench.messages);
            bench.terminal.say(&text)?;
        }
    }
    if faults.is_empty() {
        return Ok(());
    }
    let files: BTreeSet<&str> = faults.iter().map(|fault| fault.file.as_str()).collect();
    let arguments = [("count", faults.len().into()), ("files", files.len().into())];
    let told = Told::new(Exit::Rejected, bench.messages.with("forms-check-failed", &arguments));
    Err(told.next(bench.messages.text("next-forms-check")).into())
}

/// Each folder as a district's, and all single files together: a list may stand in one and be used in another.
fn checked(paths: &[PathBuf]) -> Result<Vec<CheckedFile>, FormError> {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    let mut single = FormFiles::default();
    for path in paths {
        let name = path.display().to_string();
        if path.is_dir() {
            match FormFiles::read(path).and_then(|files| FormSet::with_local(&files).and_then(|_| files.check())) {
                Ok(files) => found.extend(files),
                Err(error) => faults.extend(error.faults),
            }
            continue;
        }
        match bounded(path) {
            Ok(bytes) => single.add(FileKind::of(&String::from_utf8_lossy(&bytes)), &name, bytes),
            Err(error) => faults.push(unreadable(&name, &error)),
        }
    }
    match single.check() {
        Ok(files) => found.extend(files),
        Err(error) => faults.extend(error.faults),
    }
    if faults.is_empty() { Ok(found) } else { Err(FormError { faults }) }
}

/// As much of a file as a definition may have, and one byte more, so that a longer one is told to be too long.
fn bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &str, error: &std::io::Error) -> FormFault {
    let kind = qianmo_forms::definition::FormFaultKind::Unreadable { message: error.to_string() };
    FormFault { file: path.to_owned(), place: "file".to_owned(), key: "-".to_owned(), kind }
}

/// Faults under the name of their file, each with what to do.
fn say_faults(bench: &mut Bench<'_, '_>, faults: &[FormFault]) -> Result<(), Failure> {
    let lang = bench.messages.lang();
    let mut file = "";
    for fault in faults {
        if fault.file != file {
            file = &fault.file;
            bench.terminal.say(file)?;
        }
        let (place, what, fix) = (fault.place_label(), fault.kind.message(), fault.kind.fix());
        let what = crate::render::table::one_line(what.get(lang));
        bench.terminal.say(&format!("  {}: {}: {what}", place.get(lang), fault.key))?;
        bench.terminal.say(&format!("    → {}", fix.get(lang)))?;
    }
    Ok(())
}

fn file_words(file: &CheckedFile, messages: Messages) -> String {
    let arguments =
        [("file", file.path.as_str().into()), ("id", file.id.as_str().into()), ("count", file.entries.into())];
    let key = match file.kind {
        FileKind::Form => "forms-check-form",
        FileKind::List => "forms-check-list",
        FileKind::Overlay => "forms-check-overlay",
    };
    let text = messages.with(key, &arguments);
    if file.kind == FileKind::Overlay || file.id.starts_with(LOCAL_PREFIX) {
        return text;
    }
    format!("{text}\n{}", messages.with("forms-check-shipped-name", &[("prefix", LOCAL_PREFIX.into())]))
}

fn file_json(file: &CheckedFile) -> Json {
    let kind = match file.kind {
        FileKind::Form => "form",
        FileKind::List => "list",
        FileKind::Overlay => "overlay",
    };
    json!({ "file": file.path, "kind": kind, "id": file.id, "entries": file.entries })
}

fn fault_json(fault: &FormFault) -> Json {
    json!({
        "file": fault.file,
        "place": show::label(&fault.place_label()),
        "key": fault.key,
        "message": show::label(&fault.kind.message()),
        "fix": show::label(&fault.kind.fix()),
    })
}
