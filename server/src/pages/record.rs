//! One record: what needs a decision first, then its answers, its reviews and its story.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;

use qianmo_forms::{Field, FieldType, Lang};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::{ChangeHash, DocId, StationCode};
use qianmo_protocol::record::{ConflictKind, FieldConflict, FieldPath, RowKey, RowView};
use qianmo_protocol::review::{Provenance, ReviewEvent, ReviewKind, ReviewStatus, Standing};
use qianmo_replica::replica::{RecordDetail, ReviewView};

use super::desk::{Panel, Typed, path_word, station_of};
use super::evidence::Beside;
use super::numbers::Numbers;
use super::queue::{Neighbours, Queue};
use super::story::{self, Chapter, Edit};
use super::{Badge, Chrome, Done, Words, badges, hinted};
use crate::projection::{HIDDEN, Names, state_word};
use crate::web::{Full, Refusal, Signed, Since, Teller, View, WebState, minute};

/// The page.
#[derive(Template)]
#[template(path = "record.html")]
pub(super) struct RecordPage {
    chrome: Chrome,
    id: String,
    doc: DocId,
    title: String,
    logbook: String,
    author: String,
    created: String,
    badges: Vec<Badge>,
    is_changed: bool,
    is_disagreed: bool,
    since: Option<Difference>,
    held: Vec<u16>,
    unshown: usize,
    conflicts: Vec<Conflict>,
    sections: Vec<Section>,
    rows: Vec<RowBlock>,
    reviews: Vec<Review>,
    story: Vec<Chapter>,
    /// What the person who is signed in can do.
    panel: Option<Panel>,
    /// What they see beside it.
    beside: Option<Beside>,
    /// Whether numbers of persons are hidden from somebody who may see them.
    numbers: Numbers,
    /// What they just did, and to which record if to another.
    done: Option<Done>,
    /// The way through the inbox, when it was opened from there.
    queue: Option<Neighbours>,
    /// What a form's address carries of it.
    from: String,
}

/// What is different since the last decision.
struct Difference {
    kind: &'static str,
    person: String,
    time: String,
    edits: Vec<Edit>,
}

struct Conflict {
    anchor: String,
    path: String,
    label: String,
    kind: &'static str,
    values: Vec<Candidate>,
}

struct Candidate {
    /// The change whose value it is: a form that keeps it names it.
    change: String,
    value: String,
    is_hidden: bool,
    is_shown: bool,
    person: String,
    time: String,
}

struct Section {
    label: String,
    answers: Vec<Answer>,
}

/// An answer with its label and unit.
pub(super) struct Answer {
    pub(super) place: String,
    pub(super) label: String,
    pub(super) value: String,
    pub(super) is_hidden: bool,
    pub(super) is_long: bool,
    /// Its name in an address and in a form.
    pub(super) path: String,
    /// What was said of it, oldest first.
    pub(super) thread: Vec<Said>,
    /// Where its conflict stands on the page.
    pub(super) conflict: Option<String>,
}

/// What somebody said of an answer.
pub(super) struct Said {
    pub(super) person: String,
    pub(super) time: String,
    pub(super) text: String,
    /// Whether it came with sending the record back.
    pub(super) is_return: bool,
}

struct RowBlock {
    label: String,
    is_removed: bool,
    answers: Vec<Answer>,
}

struct Review {
    kind: &'static str,
    class: &'static str,
    person: String,
    time: String,
    note: String,
    reasons: String,
    /// Of which answer, with its place on the page, and what.
    field_notes: Vec<(String, String, String)>,
    is_imported: bool,
    standing: Option<&'static str>,
}

/// What the page is made from.
pub(super) struct Source<'a> {
    /// Who looks.
    pub(super) view: View<'a>,
    pub(super) signed: Option<&'a Signed>,
    pub(super) lang: Lang,
    pub(super) full: &'a Full,
    /// The list it was opened from.
    pub(super) queue: Option<&'a Queue>,
}

impl<'a> Source<'a> {
    pub(super) fn new(
        state: &'a WebState,
        names: &'a Names,
        signed: Option<&'a Signed>,
        lang: Lang,
        full: &'a Full,
    ) -> Self {
        Self { view: View::new(state, names, signed), signed, lang, full, queue: None }
    }

    /// For whoever came from a list.
    pub(super) fn from(self, queue: Option<&'a Queue>) -> Self {
        Self { queue, ..self }
    }

    /// With whole numbers of persons.
    pub(super) fn with_numbers(self) -> Self {
        Self { view: self.view.with_numbers(), ..self }
    }

    fn teller(&self) -> Teller<'_> {
        let row = &self.full.detail.row;
        let root = &row.view.root;
        let station = station_of(&row.logbook);
        self.view.teller(root.form.as_str(), root.form_version, station.as_ref().map(StationCode::as_str))
    }

    /// What an address carries of the list.
    fn query(&self) -> String {
        self.queue.map(Queue::query).unwrap_or_default()
    }
}

impl RecordPage {
    /// With what was typed on it, for somebody who is signed in.
    pub(super) fn new(source: &Source<'_>, typed: &Typed) -> Self {
        let (full, lang, from) = (source.full, source.lang, source.query());
        let detail = &full.detail;
        let row = &detail.row;
        let root = &row.view.root;
        let teller = source.teller();
        let telling = Telling { teller, lang, words: Words::of(lang), detail, threads: Threads::of(detail) };
        let is_changed = row.review.changed_after_approval;
        let here = format!("/records/{}{from}", row.id);
        Self {
            chrome: Chrome::new(source.view.state(), lang, &here).or(source.signed, source.view.names()),
            id: row.id.to_string(),
            doc: row.id,
            title: teller.form_label(root.form.as_str(), lang),
            logbook: row.logbook.to_string(),
            author: teller.person(root.author.as_str()),
            created: minute(root.created_at.0),
            badges: badges(state_word(row.review.status), is_changed, row.conflicts.len(), telling.words),
            is_changed,
            is_disagreed: row.review.status == ReviewStatus::Disagreed,
            since: full.since.as_ref().map(|since| telling.since(since)),
            held: detail.held.iter().chain(&detail.held_here).map(|(_, code)| *code).collect(),
            unshown: detail.unshown.len(),
            conflicts: row.conflicts.iter().map(|conflict| telling.conflict(conflict)).collect(),
            sections: telling.sections(),
            rows: telling.rows(),
            reviews: detail.reviews.iter().rev().map(|review| telling.review(review)).collect(),
            story: story::chapters(&teller, lang, full),
            panel: source.signed.and_then(|signed| Panel::new(full, signed, &teller, lang, typed)),
            numbers: Numbers::of(source, &teller),
            beside: None,
            done: None,
            queue: None,
            from,
        }
    }

    /// With what came after the version somebody looked at marked.
    pub(super) fn with_news(mut self, full: &Full, news: &BTreeSet<ChangeHash>) -> Self {
        for (chapter, view) in self.story.iter_mut().zip(full.detail.history.iter().rev()) {
            chapter.is_new = news.contains(&view.story.hash);
        }
        self
    }

    /// With a word on what was just done, and where it is.
    pub(super) fn with_done(mut self, done: Option<Done>) -> Self {
        self.done = done;
        self
    }

    /// With the way through the list it was opened from, and with what stands beside it for whoever can do something here.
    pub(super) async fn whole(mut self, source: &Source<'_>) -> Result<Self, Refusal> {
        let state = source.view.state();
        if let Some(queue) = source.queue.filter(|_| source.signed.is_some()) {
            self.queue = Some(queue.links(state, self.doc, source.lang).await?);
        }
        if self.panel.is_some() {
            let (shared, id) = (state.clone(), self.doc);
            let found = state.read(move |reader| reader.evidence(shared.mask().forms(), &id)).await?;
            if let Some(evidence) = found {
                self.badges.extend(hinted(evidence.flags, self.chrome.words));
                self.beside = Some(Beside::new(source.full, &evidence, &source.teller(), source.lang));
            }
        }
        Ok(self)
    }
}

/// What the parts of the page are told from.
struct Telling<'a> {
    teller: Teller<'a>,
    lang: Lang,
    words: &'static Words,
    detail: &'a RecordDetail,
    threads: Threads<'a>,
}

/// What was said, by the answer it was said of.
struct Threads<'a>(BTreeMap<&'a FieldPath, Vec<&'a ReviewEvent>>);

impl<'a> Threads<'a> {
    /// Of what counts: what was erased, held or written by somebody without the right says nothing.
    fn of(detail: &'a RecordDetail) -> Self {
        let mut threads: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for review in detail.reviews.iter().filter(|review| review.standing == Standing::Admitted) {
            for path in review.event.field_notes.keys() {
                threads.entry(path).or_default().push(&review.event);
            }
        }
        Self(threads)
    }

    fn at(&self, path: &FieldPath) -> &[&'a ReviewEvent] {
        self.0.get(path).map_or(&[], Vec::as_slice)
    }
}

impl Telling<'_> {
    fn since(&self, since: &Since) -> Difference {
        Difference {
            kind: self.words.review_kind(since.kind),
            person: self.teller.person(since.person.as_str()),
            time: minute(since.time.0),
            edits: since
                .edits
                .iter()
                .filter_map(|edit| {
                    let mut told = story::told(&self.teller, self.lang, edit)?;
                    // Of a conflict this is one of the values only.
                    if self.detail.row.conflicts.iter().any(|conflict| conflict.path == edit.path) {
                        told.label = format!("{} ({})", told.label, self.words.see_conflict);
                    }
                    Some(told)
                })
                .collect(),
        }
    }

    fn conflict(&self, conflict: &FieldConflict) -> Conflict {
        let path = &conflict.path;
        let shown = self.shown(path);
        let values = conflict.candidates.iter().map(|candidate| {
            let is_removal = conflict.kind == ConflictKind::RemovedRowEdited && candidate.value == Scalar::Bool(true);
            let value = if is_removal {
                self.words.removes_row().to_owned()
            } else {
                self.teller.text_with_unit(path, &candidate.value, self.lang)
            };
            let person = candidate.person.as_ref().map(|person| self.teller.person(person.as_str()));
            Candidate {
                change: candidate.change.to_string(),
                is_hidden: value == HIDDEN,
                is_shown: !is_removal && shown == Some(&candidate.value),
                value,
                person: person.unwrap_or_else(|| self.words.unknown_person.to_owned()),
                time: minute(candidate.time.0),
            }
        });
        Conflict {
            anchor: anchor(path),
            path: path_word(path),
            label: self.teller.label(path, self.lang),
            kind: self.words.conflict_kind(conflict.kind),
            values: values.collect(),
        }
    }

    /// The value that stands at a path now.
    fn shown(&self, path: &FieldPath) -> Option<&Scalar> {
        let view = &self.detail.row.view;
        match path {
            FieldPath::Field(name) => view.fields.get(name),
            FieldPath::Row { repeat, row, name } => view.repeats.get(repeat)?.get(row)?.cells.get(name),
        }
    }

    fn answer(&self, path: &FieldPath, value: &Scalar) -> Option<Answer> {
        let text = self.teller.text_with_unit(path, value, self.lang);
        let is_in_conflict = self.detail.row.conflicts.iter().any(|conflict| conflict.path == *path);
        let thread = self.thread(path);
        if text.is_empty() && !is_in_conflict && thread.is_empty() {
            return None;
        }
        let label = match path {
            FieldPath::Field(_) => self.teller.label(path, self.lang),
            FieldPath::Row { name, .. } => {
                self.teller.field(path).map_or_else(|| name.clone(), |field| field.label.get(self.lang).to_owned())
            }
        };
        Some(Answer {
            place: place(path),
            label,
            is_hidden: text == HIDDEN,
            is_long: self.teller.field(path).is_some_and(is_long),
            value: if text.is_empty() { self.words.empty_value.to_owned() } else { text },
            path: path_word(path),
            thread,
            conflict: is_in_conflict.then(|| anchor(path)),
        })
    }

    fn thread(&self, path: &FieldPath) -> Vec<Said> {
        let said = |event: &&ReviewEvent| {
            Some(Said {
                person: self.teller.person(event.person.as_str()),
                time: minute(event.time.0),
                text: self.teller.mask().note(event.field_notes.get(path)?),
                is_return: event.kind == ReviewKind::Return,
            })
        };
        self.threads.at(path).iter().filter_map(said).collect()
    }

    /// The answers by the sections of the form, then those the form does not know.
    fn sections(&self) -> Vec<Section> {
        let fields = &self.detail.row.view.fields;
        let answer = |name: &str| self.answer(&FieldPath::Field(name.to_owned()), fields.get(name)?);
        let mut sections: Vec<Section> = Vec::new();
        if let Some(form) = self.teller.form() {
            sections.extend(form.sections().iter().map(|section| {
                Section {
                    label: section.label.get(self.lang).to_owned(),
                    answers: form
                        .fields_in(&section.name)
                        .filter(|field| !field.hidden)
                        .filter_map(|field| answer(&field.name))
                        .collect(),
                }
            }));
        }
        let is_known = |name: &str| self.teller.field(&FieldPath::Field(name.to_owned())).is_some();
        let others = fields.keys().filter(|name| !is_known(name)).filter_map(|name| answer(name));
        sections.push(Section { label: self.words.other_answers.to_owned(), answers: others.collect() });
        sections.retain(|section| !section.answers.is_empty());
        sections
    }

    fn rows(&self) -> Vec<RowBlock> {
        let of_repeat = |(repeat, rows): (&String, &BTreeMap<RowKey, RowView>)| -> Vec<RowBlock> {
            let label = self.teller.repeat_label(repeat, self.lang);
            let block = |(number, (key, view)): (usize, (&RowKey, &RowView))| {
                let cells = view.cells.iter().filter_map(|(name, value)| {
                    let path = FieldPath::Row { repeat: repeat.clone(), row: *key, name: name.clone() };
                    self.answer(&path, value)
                });
                RowBlock {
                    label: format!("{label} {}", number + 1),
                    is_removed: view.removed,
                    answers: cells.collect(),
                }
            };
            rows.iter().enumerate().map(block).collect()
        };
        self.detail.row.view.repeats.iter().flat_map(of_repeat).collect()
    }

    /// A reason for sending back, in words.
    fn reason(&self, code: &str) -> String {
        let list = self.teller.mask().forms().lists().get("return_reason");
        let choice = list.and_then(|list| list.get(code));
        choice.map_or_else(|| code.to_owned(), |choice| choice.label.get(self.lang).to_owned())
    }

    fn review(&self, review: &ReviewView) -> Review {
        let event = &review.event;
        let mask = self.teller.mask();
        let notes = event.field_notes.iter();
        Review {
            kind: self.words.review_kind(event.kind),
            class: match event.kind {
                ReviewKind::Approve => "good",
                ReviewKind::Return => "bad",
                ReviewKind::Submit | ReviewKind::Reopen => "wait",
                ReviewKind::Withdraw | ReviewKind::Comment => "plain",
            },
            person: self.teller.person(event.person.as_str()),
            time: minute(event.time.0),
            note: mask.note(&event.note),
            reasons: event.reasons.iter().map(|code| self.reason(code.as_str())).collect::<Vec<_>>().join(" · "),
            field_notes: notes
                .map(|(path, note)| (place(path), self.teller.label(path, self.lang), mask.note(note)))
                .collect(),
            is_imported: event.provenance == Provenance::Imported,
            standing: self.words.standing(review.standing),
        }
    }
}

const fn is_long(field: &Field) -> bool {
    matches!(field.field_type, FieldType::LongText { .. })
}

/// A path as the name of a place on the page: only what may stand in an address.
fn plain(path: &FieldPath) -> String {
    path.to_string().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

/// The place of a conflict.
fn anchor(path: &FieldPath) -> String {
    format!("conflict-{}", plain(path))
}

/// The place of an answer.
fn place(path: &FieldPath) -> String {
    format!("answer-{}", plain(path))
}
