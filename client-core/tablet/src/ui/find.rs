//! People, organisations and farms of the directories, as they were at the last sync; and a farm's records in time.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use qianmo_forms::FormKind;

use super::desk::{Chrome, Desk, Place};
use super::fill::label_of;
use super::list::{Line, lines};
use super::pinyin;
use super::shelf::{Entry, Wanted};
use crate::answers;

const SHOWN_MAX: usize = 60;
const TIMELINE: usize = 200;
const QUERY_CHARS_MAX: usize = 100;

/// An entry of a directory.
struct Card {
    link: String,
    name: String,
    kind: String,
    about: String,
}

#[derive(Template)]
#[template(path = "find.html")]
struct FindView {
    chrome: Chrome,
    query: String,
    groups: Vec<(String, Vec<Card>)>,
    is_empty: bool,
    has_directory: bool,
}

/// The directories, those that are looked for most first.
const DIRECTORIES: [&str; 4] = ["target", "staff", "organisation", "station"];

pub(super) async fn page(State(desk): State<Arc<Desk>>, Query(asked): Query<BTreeMap<String, String>>) -> Response {
    if let Err(response) = desk.filled().await {
        return *response;
    }
    let query: String = asked.get("q").map(|text| text.chars().take(QUERY_CHARS_MAX).collect()).unwrap_or_default();
    let (chrome, lang) = (desk.chrome(Place::Find), desk.lang());
    let names = Wanted::typed(&query, desk.vocabulary.as_ref());
    let mut has_directory = false;
    let mut groups = Vec::new();
    for form in DIRECTORIES {
        let wanted = Wanted { form: Some(form.to_owned()), kind: Some(FormKind::Registry), ..Wanted::default() };
        let all = desk.shelf.find(&wanted, &desk.forms, 0, usize::MAX).entries;
        has_directory |= !all.is_empty();
        let says = Wanted { words: names.clone(), ..wanted.clone() };
        let by_words = desk.shelf.find(&says, &desk.forms, 0, usize::MAX).entries;
        let fits = |entry: &&Entry| {
            by_words.iter().any(|other| other.row.id == entry.row.id)
                || entry.answer("name").is_some_and(|name| pinyin::has(name, &query))
        };
        let cards: Vec<Card> = all.iter().filter(fits).take(SHOWN_MAX).map(|entry| card(&desk, entry)).collect();
        if !cards.is_empty() {
            groups.push((label_of(&desk.forms, form, lang), cards));
        }
    }
    desk.show(&FindView { is_empty: groups.is_empty(), chrome, query, groups, has_directory })
}

fn card(desk: &Desk, entry: &Entry) -> Card {
    let lang = desk.lang();
    let form = desk.forms.get(&entry.row.form);
    let shown = |name: &str| {
        let field = form.and_then(|form| form.field(name));
        entry.row.fields.get(name).map(|value| answers::display(field, value, lang)).filter(|text| !text.is_empty())
    };
    let town = entry.answer("town_code").and_then(|town| desk.forms.divisions().name(town)).map(str::to_owned);
    let code = entry.answer("code").map(str::to_owned);
    let link = if entry.row.form == "target" {
        desk.at(&format!("/targets/{}", code.clone().unwrap_or_else(|| entry.row.id.to_string())))
    } else {
        desk.at(&format!("/records/{}", entry.row.id))
    };
    Card {
        link,
        name: shown("name").or_else(|| code.clone()).unwrap_or_default(),
        kind: shown("kind").unwrap_or_default(),
        about: [town, shown("main_crops"), code].into_iter().flatten().collect::<Vec<_>>().join(" · "),
    }
}

#[derive(Template)]
#[template(path = "target.html")]
struct TargetView {
    chrome: Chrome,
    name: String,
    facts: Vec<(String, String)>,
    record: Option<String>,
    visit: String,
    lines: Vec<Line>,
    total: String,
}

/// A farm: what is known of it, and everything that was done there, newest first.
pub(super) async fn target(State(desk): State<Arc<Desk>>, Path((_key, code)): Path<(String, String)>) -> Response {
    if let Err(response) = desk.filled().await {
        return *response;
    }
    let (chrome, lang) = (desk.chrome(Place::Find), desk.lang());
    let entry = desk.shelf.entry_of("target", &code);
    let view = entry.as_ref().and_then(|entry| desk.client.record(entry.row.id).ok().flatten());
    let form = desk.forms.get("target");
    let fields = view.iter().flat_map(|view| view.row.fields.iter());
    let facts = fields.filter(|(path, value)| !value.is_null() && !path.contains('/')).filter_map(|(path, value)| {
        let field = form?.field(path).filter(|field| !field.hidden)?;
        Some((answers::label(field, lang), super::record::said(&desk, Some(field), value)))
    });
    let found = desk.shelf.find(&Wanted { target: Some(code.clone()), ..Wanted::default() }, &desk.forms, 0, TIMELINE);
    let name = entry.as_ref().and_then(|entry| entry.answer("name")).unwrap_or(&code).to_owned();
    desk.show(&TargetView {
        facts: facts.collect(),
        record: entry.map(|entry| desk.at(&format!("/records/{}", entry.row.id))),
        visit: desk.at(&format!("/new/visit?target={code}")),
        lines: lines(&desk, &found.entries),
        total: chrome.m.with("ui-total", &[("count", found.total.into())]),
        name,
        chrome,
    })
}
