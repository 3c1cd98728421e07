//! Writing: drafts, records and edits.
//!
//! One act of a person is one frame: a new record, its submission and the end of its draft stand or fall together.

use std::collections::BTreeMap;

use qianmo_forms::{Form, FormKind, RegistryHome};
use qianmo_protocol::bugs::{Bug, injected};
use qianmo_protocol::change::{ActorId, RawChange};
use qianmo_protocol::ids::{ChangeHash, Code, DocId, LogbookName, PersonCode, StationCode};
use qianmo_protocol::record::{self, AuthorError, AuthoredChange, Document, Origin, RecordRoot, Resolution};
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_replica::frames::{DRAFT_BYTES_MAX, DraftId as FrameDraftId};
use qianmo_replica::replica::{Base, ReplicaError, WriteError as StoreWriteError};
use rand::RngCore;

use super::open::PERSON_KEY;
use super::review::Words;
use super::{Owner, StoreFailure};
use crate::draft::{ConflictChoice, DraftInput, FieldEdit, FieldValue, Keep, RecordDraft};
use crate::error::{WriteError, chain};
use crate::event::Event;
use crate::identity::Identity;
use crate::names::{DraftId, FieldPath, RecordId, RecordVersion};
use crate::{answers, calendar, draft, views};

impl From<StoreFailure> for WriteError {
    fn from(failure: StoreFailure) -> Self {
        Self::Store(failure)
    }
}

impl From<ReplicaError> for WriteError {
    fn from(error: ReplicaError) -> Self {
        Self::Store(error.into())
    }
}

impl From<StoreWriteError> for WriteError {
    fn from(error: StoreWriteError) -> Self {
        match &error {
            StoreWriteError::TooLarge { .. } => Self::NotWritable { detail: chain(&error) },
            StoreWriteError::Store(source) => Self::Store(StoreFailure::of(source)),
        }
    }
}

pub(super) fn code(what: &'static str, text: &str) -> Result<Code, WriteError> {
    Code::new(text).map_err(|_| WriteError::Code { what, text: text.to_owned() })
}

/// Why a change was not authored, as an app hears it.
pub(super) fn not_authored(record: DocId, error: &AuthorError) -> WriteError {
    match error {
        AuthorError::UnknownVersion { .. } => WriteError::VersionGone { record: RecordId(record) },
        AuthorError::NoConflict { path } => WriteError::NoConflict { path: FieldPath::of(path).to_string() },
        AuthorError::Name { .. }
        | AuthorError::Value { .. }
        | AuthorError::RemovalMark
        | AuthorError::UnknownRepeat { .. }
        | AuthorError::UnknownRow { .. }
        | AuthorError::RowExists { .. }
        | AuthorError::WrittenTwice { .. }
        | AuthorError::ActorElsewhere
        | AuthorError::ActorOfAnother
        | AuthorError::List(_)
        | AuthorError::Size(_)
        | AuthorError::WouldBeHeld(_)
        | AuthorError::Library { .. } => WriteError::NotWritable { detail: chain(error) },
    }
}

/// How the answers of a new document are looked at: [`answers::submit`] or [`answers::import`].
pub(super) type Answered = fn(
    &Form,
    &BTreeMap<String, FieldValue>,
    Option<qianmo_forms::Date>,
    &mut dyn RngCore,
) -> Result<answers::Stored, WriteError>;

/// A document with its first change, authored and not yet saved.
pub(super) struct Begun {
    pub(super) form: FormKind,
    pub(super) logbook: LogbookName,
    pub(super) person: PersonCode,
    pub(super) actor: ActorId,
    pub(super) doc: DocId,
    pub(super) change: AuthoredChange,
}

impl Owner {
    pub(super) fn now(&self) -> UnixMillis {
        (self.setup.clock)()
    }

    fn control_time(&self) -> Option<UnixMillis> {
        self.replica.newest_beacon().map(|beacon| beacon.time)
    }

    pub(super) fn today(&self) -> Option<qianmo_forms::Date> {
        calendar::today(self.now(), self.control_time())
    }

    pub(super) fn month(&self) -> Option<Month> {
        calendar::month(self.now(), self.control_time())
    }

    pub(super) fn enrolled(&self) -> Result<&Identity, WriteError> {
        self.identity.as_ref().ok_or(WriteError::NotEnrolled)
    }

    /// Everyone who works on this device.
    pub(super) fn persons(&self) -> Vec<PersonCode> {
        let Some(identity) = &self.identity else { return Vec::new() };
        let known: Vec<PersonCode> = self.replica.control().fold().persons_of(&identity.device).cloned().collect();
        if known.is_empty() { identity.persons.clone() } else { known }
    }

    /// Who writes: the one named, the one the app chose, or the device's first.
    pub(super) fn person(&self, named: Option<&str>) -> Result<PersonCode, WriteError> {
        self.enrolled()?;
        let persons = self.persons();
        if let Some(named) = named {
            let found = persons.into_iter().find(|person| person.as_str() == named);
            return found.ok_or_else(|| WriteError::UnknownPerson { person: named.to_owned() });
        }
        let chosen = self.chosen_person.clone().filter(|chosen| persons.contains(chosen));
        chosen.or_else(|| persons.first().cloned()).ok_or_else(|| WriteError::UnknownPerson { person: String::new() })
    }

    /// The app says who writes from now on.
    pub(crate) fn act_as(&mut self, named: &str) -> Result<(), WriteError> {
        let person = self.person(Some(named))?;
        self.replica.put_meta(PERSON_KEY, person.as_str().as_bytes())?;
        self.chosen_person = Some(person);
        Ok(())
    }

    pub(super) fn form_of(&self, root: &RecordRoot) -> Result<&Form, WriteError> {
        let form = self.setup.forms.for_record(root.form.as_str(), root.form_version);
        form.ok_or_else(|| WriteError::UnknownForm { form: root.form.to_string() })
    }

    pub(crate) fn save_draft(&mut self, id: DraftId, input: &DraftInput) -> Result<(), WriteError> {
        let content = draft::encode(input, self.now().0);
        if content.len() > DRAFT_BYTES_MAX {
            return Err(WriteError::DraftTooLarge { draft: id, have: content.len(), max: DRAFT_BYTES_MAX });
        }
        self.replica.put_draft(FrameDraftId(id.0), Some(content))?;
        self.drafts.insert(id.0);
        Ok(())
    }

    pub(crate) fn discard_draft(&mut self, id: DraftId) -> Result<(), WriteError> {
        if self.drafts.remove(&id.0) {
            self.replica.put_draft(FrameDraftId(id.0), None)?;
        }
        Ok(())
    }

    pub(crate) fn new_draft_id() -> DraftId {
        let mut id = [0; 8];
        rand::rng().fill_bytes(&mut id);
        DraftId(id)
    }

    /// Files a record and hands it in, as one act.
    pub(crate) fn create(&mut self, given: &RecordDraft) -> Result<RecordId, WriteError> {
        let Begun { form, logbook, person, actor, doc, change } = self.begin(given, answers::submit)?;
        let heads = vec![change.change.hash()];
        let mut changes = vec![(doc, change)];
        if form == FormKind::Record {
            let seen = std::collections::BTreeSet::new();
            let about = super::review::About { record: doc, logbook: &logbook, person: &person, heads: &heads };
            changes.push(self.author_review(about, ReviewKind::Submit, seen, Words::default())?);
        }
        self.replica.write(&logbook, &changes, given.draft.map(|draft| FrameDraftId(draft.0)))?;
        if let Some(draft) = given.draft {
            self.drafts.remove(&draft.0);
        }
        self.keep_actor(doc, &person, actor);
        self.wrote(doc);
        Ok(RecordId(doc))
    }

    /// Authors the first change of a document; `answered` looks at its answers.
    pub(super) fn begin(&self, given: &RecordDraft, answered: Answered) -> Result<Begun, WriteError> {
        let form = self.setup.forms.get(&given.form);
        let form = form.ok_or_else(|| WriteError::UnknownForm { form: given.form.clone() })?;
        let person = self.person(given.person.as_deref())?;
        let station = match &given.station {
            Some(station) => code("station", station)?,
            None => self.enrolled()?.station.clone(),
        };
        let logbook = self.home(form, &station, given.month.as_deref())?;
        let stored = answered(form, &given.fields, self.today(), &mut self.setup.draws.clone())?;
        let origin = Origin { actor: self.fresh_actor(), person: person.clone(), time: self.now() };
        let root = RecordRoot {
            form: code("form", form.id())?,
            form_version: form.version(),
            station: Some(station),
            logbook: logbook.id(&self.replica.org()),
            author: person.clone(),
            created_at: origin.time,
        };
        let change = record::create(&origin, &root, &stored.fields, &stored.repeats)
            .map_err(|error| WriteError::NotWritable { detail: chain(&error) })?;
        let doc = DocId::from_root(&change.change.hash());
        Ok(Begun { form: form.kind(), logbook, person, actor: origin.actor, doc, change })
    }

    /// Where a new record lives, for good.
    pub(super) fn home(
        &self,
        form: &Form,
        station: &StationCode,
        month: Option<&str>,
    ) -> Result<LogbookName, WriteError> {
        let no_month = |text: &str| WriteError::Code { what: "month (YYYY-MM)", text: text.to_owned() };
        match form.kind() {
            FormKind::Registry => Ok(match form.home() {
                RegistryHome::Station => LogbookName::StationDirectory(station.clone()),
                RegistryHome::Organisation => LogbookName::OrgDirectory,
            }),
            FormKind::Record => {
                let month = match month {
                    Some(text) => Month::parse(text).ok_or_else(|| no_month(text))?,
                    None => self.month().ok_or_else(|| no_month("this device's clock"))?,
                };
                Ok(LogbookName::StationMonth(station.clone(), month))
            }
        }
    }

    /// A record and its home, everything written before included.
    pub(super) fn open_record(&mut self, record: RecordId) -> Result<(Document, LogbookName), WriteError> {
        self.settle(&record.0);
        let unknown = WriteError::UnknownRecord { record };
        let Some(document) = self.replica.document(&record.0)? else { return Err(unknown) };
        let Some(home) = self.replica.home_of(&record.0)? else { return Err(unknown) };
        Ok((document, home))
    }

    /// Changes fields at the version the person looked at; a record that was sent back is handed in again.
    pub(crate) fn edit(
        &mut self,
        record: RecordId,
        version: &RecordVersion,
        edits: &[FieldEdit],
    ) -> Result<(), WriteError> {
        let person = self.person(None)?;
        let (document, home) = self.open_record(record)?;
        let newest = injected(Bug::EditsAtNewest).then(|| RecordVersion::of(&document.heads()));
        let version = newest.as_ref().unwrap_or(version);
        let base = self.base_left(record, version)?;
        let gone = |_| WriteError::VersionGone { record };
        let view = document.view_at(&base.heads).map_err(gone)?;
        let form = self.form_of(document.root())?;
        let edits = answers::edits(form, &view, edits, self.today(), &mut self.setup.draws.clone())?;
        let write = |origin: &Origin| record::edit(&document, &base.heads, origin, &edits);
        let Some(change) = self.author(record.0, &person, write)? else { return Ok(()) };
        let state = self.replica.review_state(&record.0, &document.heads())?;
        let heads = after(&base.heads, &change);
        let mut changes = vec![(record.0, change)];
        if state.status == ReviewStatus::Returned {
            let about = super::review::About { record: record.0, logbook: &home, person: &person, heads: &heads };
            changes.push(self.author_review(about, ReviewKind::Submit, state.seen_now, Words::default())?);
        }
        self.replica.write(&home, &changes, None)?;
        self.wrote(record.0);
        self.tell_vanished(record, &document, version, &base)
    }

    /// What is left of the version a person looked at.
    fn base_left(&self, record: RecordId, version: &RecordVersion) -> Result<Base, WriteError> {
        let base = self.replica.base_of(&record.0, &version.heads())?;
        if base.heads.is_empty() || !base.unknown.is_empty() {
            return Err(WriteError::VersionGone { record });
        }
        Ok(base)
    }

    /// Once the save is durable, says which fields showed values that are held by now.
    fn tell_vanished(
        &mut self,
        record: RecordId,
        document: &Document,
        version: &RecordVersion,
        base: &Base,
    ) -> Result<(), WriteError> {
        if base.vanished.is_empty() {
            return Ok(());
        }
        let mut changes: Vec<RawChange> = document.changes().cloned().collect();
        for hash in &base.vanished {
            changes.extend(self.replica.change_of(&record.0, hash)?);
        }
        // What a gate could not read was never shown, so no field of it can be named.
        let seen = Document::from_changes(changes).and_then(|whole| whole.view_at(&version.heads()));
        let seen = seen.map(|view| views::fields(&view)).unwrap_or_default();
        let left = document.view_at(&base.heads).map(|view| views::fields(&view)).unwrap_or_default();
        let paths: std::collections::BTreeSet<&String> = seen.keys().chain(left.keys()).collect();
        let gone = paths.into_iter().filter(|path| !seen.is_empty() && seen.get(*path) != left.get(*path));
        let fields: std::sync::Arc<[FieldPath]> = gone.map(|path| FieldPath::new(path.as_str())).collect();
        let shared = std::sync::Arc::clone(&self.setup.shared);
        self.completions.push(Box::new(move |durable| {
            if durable.is_ok() {
                shared.tell(Event::BaseVanished { record, fields });
            }
        }));
        Ok(())
    }

    /// Settles a conflict, exactly as far as the person saw it.
    pub(crate) fn resolve(
        &mut self,
        record: RecordId,
        path: &FieldPath,
        choice: &ConflictChoice,
    ) -> Result<(), WriteError> {
        let person = self.person(None)?;
        let (document, home) = self.open_record(record)?;
        let base = self.base_left(record, &choice.version)?;
        let no_conflict = || WriteError::NoConflict { path: path.to_string() };
        let place = path.to_record().ok_or_else(no_conflict)?;
        let conflicts = document.conflicts_at(&base.heads).map_err(|_| WriteError::VersionGone { record })?;
        let conflict = conflicts.into_iter().find(|conflict| conflict.path == place).ok_or_else(no_conflict)?;
        let keep = match &choice.keep {
            Keep::Value(value) => answers::to_scalar(self.form_of(document.root())?, path, value)?,
            Keep::Candidate(change) => {
                let change = ChangeHash::from_hex(change).ok_or_else(no_conflict)?;
                let found = conflict.candidates.into_iter().find(|candidate| candidate.change == change);
                found.ok_or_else(no_conflict)?.value
            }
        };
        let resolutions = [Resolution { path: place, keep }];
        let write = |origin: &Origin| record::resolve(&document, &base.heads, origin, &resolutions).map(Some);
        if let Some(change) = self.author(record.0, &person, write)? {
            self.replica.write(&home, &[(record.0, change)], None)?;
            self.wrote(record.0);
        }
        self.tell_vanished(record, &document, &choice.version, &base)
    }

    /// Authors with the actor of this process, document and person; with a fresh one where that one cannot be used.
    fn author(
        &mut self,
        doc: DocId,
        person: &PersonCode,
        write: impl Fn(&Origin) -> Result<Option<AuthoredChange>, AuthorError>,
    ) -> Result<Option<AuthoredChange>, WriteError> {
        let time = self.now();
        let known = self.actors.get(&(doc, person.clone())).copied();
        let actor = known.unwrap_or_else(|| self.fresh_actor());
        let mut origin = Origin { actor, person: person.clone(), time };
        let mut written = write(&origin);
        if matches!(written, Err(AuthorError::ActorElsewhere | AuthorError::ActorOfAnother)) {
            origin.actor = self.fresh_actor();
            written = write(&origin);
        }
        let written = written.map_err(|error| not_authored(doc, &error))?;
        if written.is_some() {
            self.keep_actor(doc, person, origin.actor);
        }
        Ok(written)
    }

    /// A record was written: its next write waits for the sync, and the driver hears of it after it.
    pub(super) fn wrote(&mut self, record: DocId) {
        self.pending.insert(record);
        self.has_local_news = true;
    }
}

/// The version a person has before them after their change: the change, and the heads it did not have in its history.
fn after(base: &[ChangeHash], change: &AuthoredChange) -> Vec<ChangeHash> {
    let deps = &change.change.head().deps;
    let others = base.iter().filter(|head| !deps.contains(head)).copied();
    others.chain([change.change.hash()]).collect()
}
