//! The records of this device: searched in Chinese, filtered by form and state.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use qianmo_forms::{FormKind, ReferenceKind};

use super::desk::{Chrome, Desk, Place};
use super::fill::label_of;
use super::sheet::Names as _;
use super::shelf::{Entry, Pile, Wanted};
use super::words::{Badge, badges};
use crate::answers;

const PAGE: usize = 30;
const QUERY_CHARS_MAX: usize = 200;

/// A record in a list.
pub(super) struct Line {
    pub(super) link: String,
    pub(super) form: String,
    pub(super) date: String,
    pub(super) about: String,
    pub(super) text: String,
    pub(super) author: String,
    pub(super) badges: Vec<Badge>,
}

/// Entries as lines.
pub(super) fn lines(desk: &Desk, entries: &[Entry]) -> Vec<Line> {
    let (lang, m) = (desk.lang(), desk.messages());
    let line = |entry: &Entry| {
        let row = &entry.row;
        let form = desk.forms.for_record(&row.form, row.form_version);
        let shown = |name: &str| {
            let value = answers::display(form.and_then(|form| form.field(name)), row.fields.get(name)?, lang);
            (!value.is_empty()).then_some(value)
        };
        let target = entry.answer("target_id").map(|target| super::pick::called(desk, ReferenceKind::Target, target));
        let town = entry.answer("town_code").and_then(|town| desk.name(ReferenceKind::Town, town));
        let about = [target.or_else(|| entry.answer("target_name").map(str::to_owned)), shown("name"), town];
        let said = ["crop_id", "pest_id", "topic", "theme", "content"].into_iter().filter_map(shown);
        Line {
            link: desk.at(&format!("/records/{}", row.id)),
            form: label_of(&desk.forms, &row.form, lang),
            date: entry
                .answer("activity_date")
                .map_or_else(|| crate::clock::show(row.created_at_ms).chars().take(10).collect(), str::to_owned),
            about: about.into_iter().flatten().collect::<Vec<_>>().join(" · "),
            text: said.collect::<Vec<_>>().join(" · "),
            author: super::pick::called(desk, ReferenceKind::Person, &row.author),
            badges: badges(row, m),
        }
    };
    entries.iter().map(line).collect()
}

struct Chip {
    text: String,
    link: String,
    is_on: bool,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListView {
    chrome: Chrome,
    lines: Vec<Line>,
    total: String,
    query: String,
    state: String,
    forms: Vec<(String, String, bool)>,
    chips: Vec<Chip>,
    previous: Option<String>,
    next: Option<String>,
    is_narrow: bool,
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) async fn page(State(desk): State<Arc<Desk>>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    if let Err(response) = desk.filled().await {
        return *response;
    }
    let said = |name: &str| asked.get(name).map(String::as_str).unwrap_or_default();
    let query: String = said("q").chars().take(QUERY_CHARS_MAX).collect();
    let state = Pile::read(said("state"));
    let form = Some(said("form").to_owned()).filter(|form| desk.forms.get(form).is_some());
    let from: usize = said("from").parse().unwrap_or_default();
    let wanted = Wanted {
        words: Wanted::typed(&query, desk.vocabulary.as_ref()),
        form: form.clone(),
        state,
        kind: form.is_none().then_some(FormKind::Record),
        ..Wanted::default()
    };
    let found = desk.shelf.find(&wanted, &desk.forms, from, PAGE);
    let (chrome, lang) = (desk.chrome(Place::Records), desk.lang());
    let with = |state: &str, from: usize| {
        let form = form.as_deref().unwrap_or_default();
        desk.at(&format!("/records?q={}&form={form}&state={state}&from={from}", encoded(&query)))
    };
    let mut chips = vec![Chip { text: chrome.say("ui-pile-all"), link: with("", 0), is_on: state.is_none() }];
    chips.extend(Pile::ALL.into_iter().map(|pile| Chip {
        text: chrome.say(pile.message()),
        link: with(pile.code(), 0),
        is_on: state == Some(pile),
    }));
    let code = state.map_or("", Pile::code);
    let records = desk.forms.iter().filter(|form| form.kind() == FormKind::Record);
    let forms =
        records.map(|one| (one.id().to_owned(), one.label().get(lang).to_owned(), form.as_deref() == Some(one.id())));
    desk.show(&ListView {
        lines: lines(&desk, &found.entries),
        total: chrome.m.with("ui-total", &[("count", found.total.into())]),
        state: code.to_owned(),
        forms: forms.collect(),
        chips,
        previous: (from > 0).then(|| with(code, from.saturating_sub(PAGE))),
        next: (from + PAGE < found.total).then(|| with(code, from + PAGE)),
        is_narrow: !query.is_empty() || state.is_some() || form.is_some(),
        query,
        chrome,
    })
}
