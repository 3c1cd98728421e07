//! Whole telephone and identity numbers: hidden also from whoever reviews a record, shown when asked for, and written down.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_forms::{Lang, ReferenceKind};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::ids::DocId;

use super::desk::{Typed, station_of};
use super::form::Fields;
use super::queue::{FROM, Queue};
use super::record::{RecordPage, Source};
use super::{Chrome, address, rendered, say};
use crate::hub::HubError;
use crate::projection::Personal;
use crate::registry::Disclosure;
use crate::web::{Asked, Full, Refusal, Teller, WebState, minute};

/// What a record's page says of the numbers in it.
pub(super) struct Numbers {
    pub(super) are_hidden: bool,
    pub(super) are_shown: bool,
    /// What the button says.
    pub(super) show: &'static str,
    pub(super) told: &'static str,
}

impl Numbers {
    pub(super) fn of(source: &Source<'_>, teller: &Teller<'_>) -> Self {
        let lang = source.lang;
        let are_shown = teller.mask().personal() == Personal::Shown;
        Self {
            are_hidden: teller.mask().personal() == Personal::Named && has_any(source.full, teller),
            are_shown,
            show: say(lang, "显示完整号码", "Show whole numbers"),
            told: if are_shown {
                say(
                    lang,
                    "号码已完整显示，这次查看已记下。离开本页后恢复隐去。",
                    "Numbers are shown whole, and that is written down. They are masked again when you leave this page.",
                )
            } else {
                say(
                    lang,
                    "电话和证件号中间几位已隐去。需要联系时再显示，每次查看都会记下。",
                    "The middle of phone and identity numbers is masked. Show them when you need them; each time is written down.",
                )
            },
        }
    }
}

/// Whether a value that stands or stood in the record, or a note, has a number in it that is hidden.
fn has_any(full: &Full, teller: &Teller<'_>) -> bool {
    let is_hidden = |text: &str| teller.mask().note(text) != text;
    let is_in = |value: &Scalar| match value {
        Scalar::Text(text) => is_hidden(text),
        Scalar::Null | Scalar::Bool(_) | Scalar::Int(_) | Scalar::Bytes(_) => false,
    };
    let mut edits = full.detail.history.iter().flat_map(|view| &view.story.edits);
    let mut events = full.detail.reviews.iter().map(|view| &view.event);
    edits.any(|edit| is_in(&edit.after))
        || events.any(|event| is_hidden(&event.note) || event.field_notes.values().any(|note| is_hidden(note)))
}

fn unreadable(error: &HubError) -> Refusal {
    tracing::error!(error = error as &dyn core::error::Error, "who saw numbers could not be read or written down");
    Refusal::Internal
}

/// The record's page with whole numbers, once that is written down.
pub(super) async fn show(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang", FROM])?;
    let (lang, queue) = (asked.lang()?, Queue::of(&asked)?);
    let fields = Fields::read(pairs, &["csrf"])?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    let (full, names) = (state.full_with_since(&id).await?, state.names().await?);
    let row = &full.detail.row;
    if !signed.may_decide(station_of(&row.logbook).as_ref()) {
        return Err(Refusal::NotAllowed);
    }
    let (person, record) = (signed.person().clone(), row.id);
    let done = state.tell(move |core, now| core.disclose(now, &person, record)).await?;
    done.map_err(|error| unreadable(&error))?;
    let source = Source::new(&state, &names, Some(&signed), lang, &full).from(queue.as_ref()).with_numbers();
    rendered(&RecordPage::new(&source, &Typed::default()).whole(&source).await?)
}

/// One line of the list.
struct Line {
    time: String,
    who: String,
    record: String,
    link: String,
}

#[derive(Template)]
#[template(path = "numbers.html")]
struct NumbersPage {
    chrome: Chrome,
    lines: Vec<Line>,
    first: Option<String>,
    next: Option<String>,
}

/// Who was shown numbers, for administrators.
pub(super) async fn list(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "cursor"])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.is_admin() {
        return Err(Refusal::NotAllowed);
    }
    let before = asked.cursor(|text| text.parse::<u32>().ok())?;
    let read = state.ask(move |core| core.disclosures(before)).await?;
    let (rows, next) = read.map_err(|error| unreadable(&error))?;
    let names = state.names().await?;
    let here = |before: u32| format!("/fleet/numbers?cursor={before}");
    let chrome = Chrome::new(&state, lang, &before.map_or_else(|| "/fleet/numbers".to_owned(), here));
    let line = |row: &Disclosure| Line {
        time: minute(row.at.0),
        who: names.of(ReferenceKind::Person, row.by.as_str()).unwrap_or(row.by.as_str()).to_owned(),
        record: short(&row.record),
        link: link(&row.record, lang),
    };
    rendered(&NumbersPage {
        lines: rows.iter().map(line).collect(),
        first: before.map(|_| chrome.at("/fleet/numbers")),
        next: next.map(|before| chrome.at(&here(before))),
        chrome: chrome.of(&signed, &names),
    })
}

fn link(record: &DocId, lang: Lang) -> String {
    address(&format!("/records/{record}"), lang)
}

/// Enough of a record's id to tell it from others.
fn short(record: &DocId) -> String {
    record.to_string().chars().take(12).collect()
}
