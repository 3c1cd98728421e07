//! What a district adds: its own forms and lists, and changes to the shipped ones. Configuration, no code.
//!
//! A folder holds forms (`*.toml`), lists (`lists/*.toml`) and overlays (`overlays/*.toml`). An overlay changes a shipped form (what is required,
//! what is hidden, labels and hints, more fields) or adds choices to a list. All files are read before anything is said, so that whoever writes
//! them sees every fault at once; a folder with a fault gives no forms at all, because a form that is silently missing loses records.
//!
//! # Flow
//!
//! ```text
//! shipped lists + lists/ + overlays of lists --> lists --> shipped forms, own forms --> overlays of forms --> FormSet
//! ```
//!
//! # Invariants
//!
//! 1. What a district names begins with `local_`, so a later version of the shipped forms never takes the name of something it has.
//! 2. A shipped form is never changed in place: an overlay makes another version of it ([`version_with`]), and the set keeps both. Old records
//!    are judged by the version they name.
//! 3. Reading never panics, whatever the bytes (`prop_any_folder_is_read_or_explained`).
//!
//! # Limits
//!
//! [`FILES_MAX`] files; each at most [`FILE_BYTES_MAX`].
//!
//! # Failure
//!
//! [`FormError`], whose faults name the file by its path in the folder.

mod overlay;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
};

use toml::Table;

use crate::{
    built_in::{FORMS, FormSet, divisions, divisions_fault},
    choices::{ChoiceList, ChoiceLists},
    definition::{FILE_BYTES_MAX, Form, FormError, FormFault, FormFaultKind, read},
    divisions::{DIVISIONS_FILE, Divisions},
};

use overlay::Overlay;

/// What the names of everything that a district adds begin with.
pub const LOCAL_PREFIX: &str = "local_";

/// The most bytes of a list of towns and villages.
pub const DIVISIONS_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The most files of a folder.
pub const FILES_MAX: usize = 256;

/// Versions of shipped forms are below this; versions of forms with an overlay are not.
const OVERLAY_STEP: u32 = 65_536;

/// The version of a shipped form with an overlay.
#[must_use]
pub fn version_with(shipped: u32, local: u16) -> u32 {
    // A u16 times 65 536, plus less than 65 536: fits.
    u32::from(local) * OVERLAY_STEP + version_without(shipped)
}

/// The version of the shipped form that a version with an overlay was made of.
#[must_use]
pub const fn version_without(version: u32) -> u32 {
    version % OVERLAY_STEP
}

/// What a definition file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileKind {
    /// A form.
    Form,
    /// A choice list.
    List,
    /// Changes to a shipped form or list.
    Overlay,
}

impl FileKind {
    /// What a file is, by its keys; a form, if they do not tell.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let Ok((table, _)) = read::open(text) else { return Self::Form };
        let has = |key: &str| table.contains_key(key);
        if has("form") || has("list") || has("local_version") {
            Self::Overlay
        } else if has("choices") && !has("fields") {
            Self::List
        } else {
            Self::Form
        }
    }
}

/// Whose names a file may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Naming {
    /// Only those of a district.
    Local,
    /// Any: the file may be meant for shipping.
    Any,
}

/// The files of a district, by their path in its folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FormFiles {
    files: BTreeMap<(FileKind, String), Vec<u8>>,
}

impl FormFiles {
    /// Adds a file.
    pub fn add(&mut self, kind: FileKind, path: &str, bytes: Vec<u8>) {
        self.files.insert((kind, path.to_owned()), bytes);
    }

    /// Reads a folder. Files that do not end in `.toml` are passed over; `lists` and `overlays` may be absent.
    ///
    /// # Errors
    /// The folder or a file cannot be read, is too large, or there are too many.
    pub fn read(folder: &Path) -> Result<Self, FormError> {
        let mut files = Self::default();
        let mut faults = Vec::new();
        for (kind, below) in [(FileKind::List, "lists"), (FileKind::Form, ""), (FileKind::Overlay, "overlays")] {
            let place = if below.is_empty() { folder.to_owned() } else { folder.join(below) };
            let names = match toml_names(&place) {
                Ok(names) => names,
                Err(error) if error.kind() == io::ErrorKind::NotFound && !below.is_empty() => continue,
                Err(error) => {
                    faults.push(unreadable(&place.display().to_string(), &error));
                    continue;
                }
            };
            if names.len() + files.files.len() > FILES_MAX {
                let kind = FormFaultKind::TooMany { found: names.len() + files.files.len(), max: FILES_MAX };
                faults.push(file_fault(&place.display().to_string(), kind));
                continue;
            }
            for name in names {
                let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
                match bounded(&place.join(&name)) {
                    Ok(bytes) => files.add(kind, &path, bytes),
                    Err(error) => faults.push(unreadable(&path, &error)),
                }
            }
        }
        if faults.is_empty() { Ok(files) } else { Err(FormError { faults }) }
    }

    /// Checks the files as they are, among the shipped forms and lists: what each of them is called.
    ///
    /// Unlike [`FormSet::with_local`] it takes names that are not a district's own, and a form that is shipped already: a file may be meant for
    /// shipping.
    ///
    /// # Errors
    /// Every fault of every file.
    pub fn check(&self) -> Result<Vec<CheckedFile>, FormError> {
        let mut loading = Loading::new(Naming::Any)?;
        loading.load(self);
        let checked = core::mem::take(&mut loading.checked);
        loading.finish().map(|_| checked)
    }
}

/// A file without a fault.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckedFile {
    /// Its path.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// The id of the form or list that it is, or changes.
    pub id: String,
    /// How many fields or choices that form or list has.
    pub entries: usize,
}

impl FormSet {
    /// The shipped forms, and what a district adds.
    ///
    /// # Errors
    /// Every fault of every file, each with its path and place; the faults of one file do not hide those of another.
    pub fn with_local(files: &FormFiles) -> Result<Self, FormError> {
        let mut loading = Loading::new(Naming::Local)?;
        loading.load(files);
        loading.finish()
    }

    /// The shipped forms, and those of a folder if there is one.
    ///
    /// # Errors
    /// As [`FormFiles::read`] and [`FormSet::with_local`].
    pub fn open(folder: Option<&Path>) -> Result<Self, FormError> {
        match folder {
            Some(folder) => {
                let mut set = Self::with_local(&FormFiles::read(folder)?)?;
                set.divisions = own_divisions(folder)?;
                Ok(set)
            }
            None => Self::built_in(),
        }
    }
}

/// A district's own list of towns and villages, or the shipped one.
fn own_divisions(folder: &Path) -> Result<Divisions, FormError> {
    let path = folder.join(DIVISIONS_FILE);
    let faulty = |fault| FormError { faults: vec![fault] };
    let mut text = String::new();
    let limit = DIVISIONS_BYTES_MAX.saturating_add(1);
    match File::open(path).and_then(|file| file.take(limit).read_to_string(&mut text)) {
        Ok(bytes) if u64::try_from(bytes).is_ok_and(|bytes| bytes > DIVISIONS_BYTES_MAX) => {
            let max = usize::try_from(DIVISIONS_BYTES_MAX).unwrap_or(usize::MAX);
            Err(faulty(file_fault(DIVISIONS_FILE, FormFaultKind::TooLarge { bytes, max })))
        }
        Ok(_) => Divisions::parse(&text).map_err(|error| faulty(divisions_fault(&error))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => divisions(),
        Err(error) => Err(faulty(unreadable(DIVISIONS_FILE, &error))),
    }
}

fn file_fault(path: &str, kind: FormFaultKind) -> FormFault {
    FormFault { file: path.to_owned(), place: "file".to_owned(), key: "-".to_owned(), kind }
}

fn unreadable(path: &str, error: &io::Error) -> FormFault {
    file_fault(path, FormFaultKind::Unreadable { message: error.to_string() })
}

/// The names of the definition files of a folder, in order.
fn toml_names(folder: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".toml") && !name.starts_with('.') {
            names.insert(name);
        }
    }
    Ok(names)
}

/// The bytes of a file, and no more than one too many.
fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(FILE_BYTES_MAX).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The forms so far, and every fault so far.
struct Loading {
    naming: Naming,
    lists: ChoiceLists,
    set: FormSet,
    faults: Vec<FormFault>,
    checked: Vec<CheckedFile>,
}

impl Loading {
    fn new(naming: Naming) -> Result<Self, FormError> {
        let lists = ChoiceLists::built_in()?;
        Ok(Self { naming, lists, set: FormSet::default(), faults: Vec::new(), checked: Vec::new() })
    }

    fn load(&mut self, files: &FormFiles) {
        let mut overlays = Vec::new();
        let mut forms = Vec::new();
        for ((kind, path), bytes) in &files.files {
            let Some(text) = self.text(path, bytes) else { continue };
            match kind {
                FileKind::List => self.list(path, text),
                FileKind::Form => forms.push((path, text)),
                FileKind::Overlay => overlays.extend(self.keep(path, Overlay::parse(text)).map(|read| (path, read))),
            }
        }
        for (path, overlay) in &overlays {
            if let Overlay::List { list, choices } = overlay {
                self.extend(path, list, choices);
            }
        }
        let shipped = self.shipped();
        forms.into_iter().for_each(|(path, text)| self.form(path, text, &shipped));
        for (path, overlay) in &overlays {
            if let Overlay::Form { form, local_version, table } = overlay {
                self.overlaid(path, form, *local_version, table, &shipped);
            }
        }
    }

    fn finish(mut self) -> Result<FormSet, FormError> {
        if !self.faults.is_empty() {
            return Err(FormError { faults: self.faults });
        }
        self.set.lists = self.lists;
        self.set.divisions = divisions()?;
        Ok(self.set)
    }

    fn text<'b>(&mut self, path: &str, bytes: &'b [u8]) -> Option<&'b str> {
        match core::str::from_utf8(bytes) {
            Ok(text) => Some(text),
            Err(error) => {
                self.faults.push(file_fault(path, FormFaultKind::NotUtf8 { offset: error.valid_up_to() }));
                None
            }
        }
    }

    /// What was read; its faults are kept under the file's path.
    fn keep<T>(&mut self, path: &str, read: Result<T, FormError>) -> Option<T> {
        match read {
            Ok(read) => Some(read),
            Err(error) => {
                self.faults.extend(error.faults.into_iter().map(|fault| FormFault { file: path.to_owned(), ..fault }));
                None
            }
        }
    }

    fn fault(&mut self, path: &str, place: &str, key: &str, kind: FormFaultKind) {
        self.faults.push(FormFault { file: path.to_owned(), place: place.to_owned(), key: key.to_owned(), kind });
    }

    fn found(&mut self, path: &str, kind: FileKind, id: &str, entries: usize) {
        self.checked.push(CheckedFile { path: path.to_owned(), kind, id: id.to_owned(), entries });
    }

    /// Whether an id may be used; says so if not.
    fn may_name(&mut self, path: &str, place: &str, id: &str) -> bool {
        let may = self.naming == Naming::Any || id.starts_with(LOCAL_PREFIX);
        if !may {
            self.fault(path, place, "id", FormFaultKind::NotLocal { name: id.to_owned() });
        }
        may
    }

    fn list(&mut self, path: &str, text: &str) {
        let Some(list) = self.keep(path, ChoiceList::parse(text)) else { return };
        if !self.may_name(path, "list", list.id()) {
            return;
        }
        let is_again = self.checked.iter().any(|file| file.kind == FileKind::List && file.id == list.id());
        if is_again {
            self.fault(path, "list", "id", FormFaultKind::DuplicateName { name: list.id().to_owned() });
            return;
        }
        self.found(path, FileKind::List, list.id(), list.iter().count());
        self.lists.insert(list);
    }

    fn extend(&mut self, path: &str, id: &str, choices: &[Table]) {
        let Some(list) = self.lists.get(id).cloned() else {
            self.fault(path, "overlay", "list", FormFaultKind::UnknownList { name: id.to_owned() });
            return;
        };
        if let Some(list) = self.keep(path, list.extended(choices)) {
            self.found(path, FileKind::Overlay, list.id(), list.iter().count());
            self.lists.insert(list);
        }
    }

    /// Reads the shipped forms over the lists as they are now; gives their tables, by id.
    fn shipped(&mut self) -> BTreeMap<String, Table> {
        let mut tables = BTreeMap::new();
        for text in FORMS {
            let read = read::open(text).and_then(|(table, faults)| {
                let form = Form::read(&table, faults, &self.lists)?;
                // An overlay is of the newest version.
                if self.set.get(form.id()).is_none_or(|newest| newest.version() < form.version()) {
                    tables.insert(form.id().to_owned(), table);
                }
                self.set.insert(form)
            });
            if let Err(error) = read {
                self.faults.extend(error.faults);
            }
        }
        tables
    }

    fn form(&mut self, path: &str, text: &str, shipped: &BTreeMap<String, Table>) {
        let Some(form) = self.keep(path, Form::parse(text, &self.lists)) else { return };
        if !self.may_name(path, "form", form.id()) {
            return;
        }
        let fields = form.fields().len() + form.repeats().iter().map(|repeat| repeat.fields().len()).sum::<usize>();
        self.found(path, FileKind::Form, form.id(), fields);
        if !shipped.contains_key(form.id()) {
            let inserted = self.set.insert(form);
            self.keep(path, inserted);
        }
    }

    fn overlaid(
        &mut self,
        path: &str,
        id: &str,
        local_version: u16,
        overlay: &Table,
        shipped: &BTreeMap<String, Table>,
    ) {
        let Some(base) = shipped.get(id) else {
            self.fault(path, "overlay", "form", FormFaultKind::UnknownForm { name: id.to_owned() });
            return;
        };
        let merged = self.keep(path, overlay::merge(base, overlay));
        let read = merged.and_then(|table| self.keep(path, Form::read(&table, read::Faults::new(), &self.lists)));
        let Some(mut form) = read else { return };
        form.version = version_with(form.version, local_version);
        let fields = form.fields().len() + form.repeats().iter().map(|repeat| repeat.fields().len()).sum::<usize>();
        self.found(path, FileKind::Overlay, id, fields);
        let inserted = self.set.insert(form);
        self.keep(path, inserted);
    }
}
