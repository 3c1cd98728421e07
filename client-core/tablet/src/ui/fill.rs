//! Filling in a form. The page's form is one: whatever button is pressed, everything typed is saved as a draft first.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use qianmo_client_core::{DraftId, DraftInput, DraftView, FieldValue, RecordDraft, RecordId, RecordView};
use qianmo_forms::{Form, FormKind, FormSet, Lang, ReferenceKind};

use super::desk::{Chrome, Desk, Place};
use super::sheet::{self, Open, Part, Question, Sheet, Widget};
use super::shelf::{Wanted, directory_of};
use crate::answers;
use crate::failure;

/// Answers that the last visit to a farm tells of the next.
const FROM_LAST_VISIT: [&str; 5] = ["town_code", "village_code", "crop_id", "variety_id", "service_mode"];
/// Before the names of answers, so that no field of a form is taken for a button.
const ANSWER: &str = "a.";
/// What sends the form without a person having asked: nothing is shown for it.
const QUIETLY: &str = "x-quietly";

impl sheet::Names for Desk {
    fn name(&self, kind: ReferenceKind, code: &str) -> Option<String> {
        if matches!(kind, ReferenceKind::Town | ReferenceKind::Village) {
            return self.forms.divisions().name(code).map(ToOwned::to_owned);
        }
        self.shelf.name(directory_of(kind)?, code)
    }
}

/// The forms there are to fill in.
#[derive(Template)]
#[template(path = "forms.html")]
struct FormsView {
    chrome: Chrome,
    forms: Vec<(String, String)>,
}

pub(super) async fn forms(State(desk): State<Arc<Desk>>) -> Response {
    let lang = desk.lang();
    let records = desk.forms.iter().filter(|form| form.kind() == FormKind::Record);
    let forms = records.map(|form| (form.id().to_owned(), form.label().get(lang).to_owned())).collect();
    desk.show(&FormsView { chrome: desk.chrome(Place::Home), forms })
}

/// A form with nothing in it but what is known already. It is a draft once something is typed.
pub(super) async fn fresh(
    State(desk): State<Arc<Desk>>,
    Path((_key, form)): Path<(String, String)>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let Some(form) = desk.forms.get(&form).cloned() else {
        return desk.problem(StatusCode::NOT_FOUND, "ui-no-form", Vec::new());
    };
    let mut input = DraftInput { form: form.id().to_owned(), ..DraftInput::default() };
    let person = desk.whoami().and_then(|who| who.person);
    for (path, value) in answers::defaults(&form, desk.today(), person.as_deref()) {
        input.fields.insert(path, answers::keep(&value));
    }
    let mut sheet = Sheet::new(&form, BTreeMap::new(), &input, desk.today());
    if let Some(target) = asked.get("target").filter(|target| !target.is_empty()) {
        sheet.answer("target_id", target);
        follow_target(&desk, &form, &mut sheet);
    }
    input.fields = sheet.answers().clone();
    let draft = DraftView { id: desk.client.new_draft(), recorded_at_ms: desk.now_ms(), input };
    let unfinished =
        drafts(&desk).into_iter().find(|draft| draft.input.form == form.id() && draft.input.record.is_none());
    page_of(
        &desk,
        &Shown { form: &form, record: None, draft: &draft, is_handed_in: false, is_saved: false, unfinished },
    )
}

pub(super) fn drafts(desk: &Desk) -> Vec<DraftView> {
    let mut drafts = desk.client.drafts().unwrap_or_default();
    drafts.sort_by_key(|draft| core::cmp::Reverse(draft.recorded_at_ms));
    drafts
}

/// What the page is of.
struct Shown<'a> {
    form: &'a Form,
    record: Option<&'a RecordView>,
    draft: &'a DraftView,
    is_handed_in: bool,
    is_saved: bool,
    /// Another draft of the same form that was left.
    unfinished: Option<DraftView>,
}

#[derive(Template)]
#[template(path = "fill.html")]
struct FillView {
    chrome: Chrome,
    title: String,
    form: String,
    action: String,
    parts: Vec<Part>,
    open: Vec<Open>,
    is_saved: bool,
    saved_at: Option<String>,
    is_edit: bool,
    unfinished: Option<(String, String)>,
    /// Why the hub holds what stands here, when it came back.
    held: Option<(String, String)>,
    /// What was said when the record was sent back: the whole, then by field.
    returned: Option<Returned>,
    notes: BTreeMap<String, Vec<String>>,
}

/// Why a record was sent back.
struct Returned {
    who: String,
    reasons: Vec<String>,
    note: String,
}

impl FillView {
    fn notes_of(&self, path: &str) -> &[String] {
        self.notes.get(path).map_or(&[], Vec::as_slice)
    }

    fn is_wide(question: &Question) -> bool {
        matches!(question.widget, Widget::Lines { .. } | Widget::Radios(_) | Widget::Checks(_))
    }
}

fn page_of(desk: &Desk, shown: &Shown<'_>) -> Response {
    let (lang, chrome) = (desk.lang(), desk.chrome(Place::Home));
    let original = shown.record.map(|view| view.row.fields.clone()).unwrap_or_default();
    let sheet = Sheet::new(shown.form, original, &shown.draft.input, desk.today());
    let open = if shown.is_handed_in { sheet.open(lang) } else { Vec::new() };
    let parts = sheet.parts(lang, shown.is_handed_in, desk);
    let (returned, notes) = shown.record.map_or((None, BTreeMap::new()), |view| said_of(desk, view, lang));
    let explained = shown.draft.input.held_code.map(qianmo_client_core::codes::explain);
    let view = FillView {
        title: shown.form.label().get(lang).to_owned(),
        form: shown.form.id().to_owned(),
        action: desk.at(&format!("/drafts/{}", shown.draft.id)),
        parts,
        open,
        is_saved: shown.is_saved,
        saved_at: shown.is_saved.then(|| super::words::ago(shown.draft.recorded_at_ms, desk.now_ms(), chrome.m)),
        is_edit: shown.record.is_some(),
        unfinished: shown
            .unfinished
            .as_ref()
            .map(|draft| (draft.id.to_string(), super::words::ago(draft.recorded_at_ms, desk.now_ms(), chrome.m))),
        held: explained.map(|held| (held.what.get(lang).to_owned(), held.next.get(lang).to_owned())),
        returned,
        notes,
        chrome,
    };
    desk.show(&view)
}

/// What reviewers said last, and of which fields.
fn said_of(desk: &Desk, view: &RecordView, lang: Lang) -> (Option<Returned>, BTreeMap<String, Vec<String>>) {
    let mut notes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut returned = None;
    for event in view.reviews.iter().filter(|event| event.counts) {
        let who =
            sheet::Names::name(desk, ReferenceKind::Person, &event.person).unwrap_or_else(|| event.person.clone());
        for (path, note) in &event.field_notes {
            notes.entry(path.clone()).or_default().push(format!("{who}: {note}"));
        }
        if event.act == qianmo_client_core::ReviewAct::Return {
            let reasons = event.reasons.iter().map(|code| super::record::reason(code, lang)).collect();
            returned = Some(Returned { who, reasons, note: event.note.clone() });
        }
    }
    let is_returned = view.row.review == qianmo_client_core::ReviewStatus::Returned;
    (returned.filter(|_| is_returned), notes)
}

/// A draft and what belongs to it.
struct Opened {
    draft: DraftView,
    form: Form,
    record: Option<RecordView>,
    is_saved: bool,
}

/// Finds a draft; one of a form that was just opened is not there yet.
fn opened(desk: &Desk, id: &str, form: Option<&str>) -> Result<Opened, Box<Response>> {
    let no_draft = || {
        let next = vec![desk.messages().text("ui-no-draft-next")];
        Box::new(desk.problem(StatusCode::NOT_FOUND, "ui-no-draft", next))
    };
    let id: DraftId = id.parse().map_err(|_| no_draft())?;
    let known =
        desk.client.drafts().map_err(|error| Box::new(desk.unread(&error)))?.into_iter().find(|draft| draft.id == id);
    let is_saved = known.is_some();
    let draft = match (known, form) {
        (Some(draft), _) => draft,
        (None, Some(form)) => {
            let input = DraftInput { form: form.to_owned(), ..DraftInput::default() };
            DraftView { id, recorded_at_ms: desk.now_ms(), input }
        }
        (None, None) => return Err(no_draft()),
    };
    let record = match draft.input.record {
        Some(record) => desk.client.record(record).map_err(|error| Box::new(desk.unread(&error)))?,
        None => None,
    };
    let form = match &record {
        Some(view) => desk.forms.for_record(&view.row.form, view.row.form_version),
        None => desk.forms.get(&draft.input.form),
    };
    let form = form.cloned().ok_or_else(|| Box::new(desk.problem(StatusCode::NOT_FOUND, "ui-no-form", Vec::new())))?;
    Ok(Opened { draft, form, record, is_saved })
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let opened = match opened(&desk, &id, None) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    page_of(
        &desk,
        &Shown {
            form: &opened.form,
            record: opened.record.as_ref(),
            draft: &opened.draft,
            is_handed_in: asked.contains_key("check"),
            is_saved: true,
            unfinished: None,
        },
    )
}

/// Saves everything typed, then does what the button says.
pub(super) async fn save(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    headers: HeaderMap,
    Posted(posted): Posted<Vec<(String, String)>>,
) -> Response {
    let said = |name: &str| posted.iter().rev().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let Opened { mut draft, form, record, is_saved } = match opened(&desk, &id, said("form")) {
        Ok(opened) => opened,
        Err(response) => return *response,
    };
    let original = record.as_ref().map(|view| view.row.fields.clone()).unwrap_or_default();
    let mut sheet = Sheet::new(&form, original, &draft.input, desk.today());
    let mut typed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &posted {
        if let Some(path) = name.strip_prefix(ANSWER) {
            typed.entry(path).or_default().push(value);
        }
    }
    for (path, values) in typed {
        let joined = values.into_iter().filter(|value| !value.trim().is_empty()).collect::<Vec<_>>().join(" ");
        sheet.answer(path, &joined);
    }
    let act = said("do").unwrap_or("save");
    let (verb, object) = act.split_once(':').unwrap_or((act, ""));
    match verb {
        "add" => sheet.add_row(object),
        "remove" => {
            if let Some((repeat, row)) = object.split_once('/') {
                sheet.remove_row(repeat, row);
            }
        }
        "clear" => sheet.answer(object, ""),
        _ => {}
    }
    if verb == "discard" {
        if is_saved && let Err(error) = desk.client.discard_draft(draft.id).await {
            return desk.refused(&error);
        }
        desk.tell();
        return record.map_or_else(|| desk.go("/"), |view| desk.go(&format!("/records/{}", view.row.id)));
    }
    draft.input.fields = sheet.answers().clone();
    if let Err(error) = desk.client.save_draft(draft.id, draft.input.clone()).await {
        return desk.refused(&error);
    }
    draft.recorded_at_ms = desk.now_ms();
    match verb {
        "submit" => submit(&desk, &draft, &form, record.as_ref(), &sheet).await,
        "pick" => desk.go(&format!("/drafts/{}/pick?path={object}", draft.id)),
        "add" | "remove" | "clear" => {
            desk.go(&format!("/drafts/{}#p-{}", draft.id, object.split('/').next().unwrap_or_default()))
        }
        // Saved while typing: the page as it is now, from which the script takes what has changed.
        _ if headers.contains_key(QUIETLY) => {
            let shown = Shown {
                form: &form,
                record: record.as_ref(),
                draft: &draft,
                is_handed_in: said("handed").is_some(),
                is_saved: true,
                unfinished: None,
            };
            page_of(&desk, &shown)
        }
        _ => {
            desk.tell();
            desk.go(&format!("/drafts/{}", draft.id))
        }
    }
}

/// Makes the draft a record, or its answers edits of one. What the form does not accept is shown beside its field.
async fn submit(
    desk: &Desk,
    draft: &DraftView,
    form: &Form,
    record: Option<&RecordView>,
    sheet: &Sheet<'_>,
) -> Response {
    if !sheet.open(desk.lang()).is_empty() {
        return desk.go(&format!("/drafts/{}?check=1#open", draft.id));
    }
    let done = match record {
        None => create(desk, draft, form).await,
        Some(view) => amend(desk, draft, view, sheet).await,
    };
    match done {
        Ok(id) => {
            let changed = [id];
            let (client, forms) = (desk.client.clone(), Arc::clone(&desk.forms));
            if desk.shelf.refresh(&client, &forms, &changed).is_err() {
                desk.shelf.forget();
            }
            desk.tell();
            desk.go(&format!("/records/{id}?saved=1"))
        }
        Err(error) => {
            let told = failure::of_write(&error, desk.messages());
            desk.told(StatusCode::CONFLICT, told.next(desk.messages().text("ui-kept-as-draft")))
        }
    }
}

async fn create(desk: &Desk, draft: &DraftView, form: &Form) -> Result<RecordId, qianmo_client_core::WriteError> {
    let fields = draft.input.fields.iter().filter(|(_, value)| !value.is_null());
    let record = RecordDraft {
        form: form.id().to_owned(),
        station: draft.input.station.clone(),
        fields: fields.map(|(path, value)| (path.clone(), value.clone())).collect(),
        draft: Some(draft.id),
        ..RecordDraft::default()
    };
    desk.client.create(record).await
}

async fn amend(
    desk: &Desk,
    draft: &DraftView,
    view: &RecordView,
    sheet: &Sheet<'_>,
) -> Result<RecordId, qianmo_client_core::WriteError> {
    let id = view.row.id;
    let edits = sheet.edits();
    let version = draft.input.version.clone().unwrap_or_else(|| view.row.version.clone());
    if !edits.is_empty() {
        desk.client.edit(id, version, edits).await?;
    }
    if view.row.review == qianmo_client_core::ReviewStatus::Returned {
        super::record::hand_in(desk, id).await?;
    }
    desk.client.discard_draft(draft.id).await?;
    Ok(id)
}

/// After a target was chosen: what the last visit there and the directory know of the place and the crop. Gives the labels of
/// what was filled in.
pub(super) fn follow_target(desk: &Desk, form: &Form, sheet: &mut Sheet<'_>) -> Vec<String> {
    let Some(FieldValue::Text(target)) = sheet.answers().get("target_id").cloned() else { return Vec::new() };
    let last = desk.shelf.newest(
        &Wanted { form: Some(form.id().to_owned()), target: Some(target.clone()), ..Wanted::default() },
        &desk.forms,
    );
    let mut known: BTreeMap<String, FieldValue> = BTreeMap::new();
    if let Some(view) = last.and_then(|entry| desk.client.record(entry.row.id).ok().flatten()) {
        known.extend(view.row.fields.into_iter().filter(|(path, _)| FROM_LAST_VISIT.contains(&path.as_str())));
    }
    if let Some(entry) = desk.shelf.entry_of("target", &target) {
        if let Some(town) = entry.answer("town_code") {
            known.entry("town_code".to_owned()).or_insert_with(|| town.into());
        }
        // A farm of one crop is visited for that crop.
        if let Some(crop) = entry.answer("main_crops").filter(|crops| !crops.contains(' ')) {
            known.entry("crop_id".to_owned()).or_insert_with(|| crop.into());
        }
    }
    let lang = desk.lang();
    let filled = known.iter().filter(|(path, value)| form.field(path).is_some() && sheet.suggest(path, value));
    filled.filter_map(|(path, _)| Some(form.field(path)?.label.get(lang).to_owned())).collect()
}

/// Opens a draft for the page of choices, which saves as this one does.
pub(super) struct Picking {
    pub(super) draft: DraftView,
    pub(super) form: Form,
    pub(super) original: BTreeMap<String, FieldValue>,
}

pub(super) fn picking(desk: &Desk, id: &str) -> Result<Picking, Box<Response>> {
    let Opened { draft, form, record, .. } = opened(desk, id, None)?;
    Ok(Picking { draft, form, original: record.map(|view| view.row.fields).unwrap_or_default() })
}

/// What a form is called.
pub(super) fn label_of(forms: &FormSet, form: &str, lang: Lang) -> String {
    forms.get(form).map_or_else(|| form.to_owned(), |form| form.label().get(lang).to_owned())
}
