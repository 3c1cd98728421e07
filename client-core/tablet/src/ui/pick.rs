//! One long list of choices on a page of its own: what was used lately on top, what suits the crop next, then all; found by
//! Chinese words, pinyin or initials.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use qianmo_client_core::{FieldValue, RecordFilter};
use qianmo_forms::{Field, FieldType, Form, FormKind, Lang, ReferenceKind};

use super::desk::{Chrome, Desk, Place};
use super::fill;
use super::pinyin;
use super::sheet::{Names as _, Sheet, shown};
use super::shelf::{Entry, Wanted, directory_of};

/// Most choices on a page; a search narrows what is more.
const SHOWN_MAX: usize = 120;
/// Records in which is looked for what was used lately.
const LATELY: usize = 120;
/// Most that are shown as used lately.
const LATELY_SHOWN: usize = 6;
/// Digits of a village's code that name its town.
const TOWN_DIGITS: usize = 9;

/// A choice and what it is found by.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Candidate {
    value: String,
    text: String,
    /// What tells it from others of the same name.
    beside: String,
    aliases: Vec<String>,
    is_chosen: bool,
}

/// Choices under a heading.
struct Group {
    heading: String,
    candidates: Vec<Candidate>,
}

#[derive(Template)]
#[template(path = "pick.html")]
struct PickView {
    chrome: Chrome,
    title: String,
    action: String,
    back: String,
    path: String,
    query: String,
    groups: Vec<Group>,
    more: usize,
    takes_several: bool,
    has_answer: bool,
    /// Where a name that is in no list may be written.
    elsewhere: Option<String>,
}

pub(super) async fn page(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Query(asked): Query<BTreeMap<String, String>>,
) -> Response {
    let picking = match fill::picking(&desk, &id) {
        Ok(picking) => picking,
        Err(response) => return *response,
    };
    let path = asked.get("path").cloned().unwrap_or_default();
    let Some(field) = picking.form.field_at(&path) else {
        return desk.problem(StatusCode::NOT_FOUND, "ui-no-page", Vec::new());
    };
    let query = asked.get("q").cloned().unwrap_or_default();
    let (lang, chrome) = (desk.lang(), desk.chrome(Place::Home));
    let at = |path: &str| {
        let kept = picking.draft.input.fields.get(path).or_else(|| picking.original.get(path));
        kept.zip(picking.form.field_at(path)).map(|(kept, field)| shown(field, kept)).unwrap_or_default()
    };
    let chosen: BTreeSet<String> = at(&path).split_whitespace().map(str::to_owned).collect();
    let all = candidates(&desk, field, &at, &chosen, lang);
    let fits = |candidate: &&Candidate| {
        pinyin::has(&candidate.text, &query)
            || candidate.value.eq_ignore_ascii_case(query.trim())
            || candidate.aliases.iter().any(|alias| pinyin::has(alias, &query))
    };
    let mut groups = Vec::new();
    if query.trim().is_empty() {
        let lately = lately(&desk, &picking.form, &path);
        let of_lately = lately.iter().filter_map(|value| all.iter().find(|candidate| candidate.value == *value));
        let of_lately: Vec<Candidate> = of_lately.take(LATELY_SHOWN).cloned().collect();
        if !of_lately.is_empty() && all.len() > LATELY_SHOWN {
            groups.push(Group { heading: chrome.say("ui-pick-lately"), candidates: of_lately });
        }
    }
    let found: Vec<Candidate> = all.iter().filter(fits).cloned().collect();
    let more = found.len().saturating_sub(SHOWN_MAX);
    let heading = if groups.is_empty() { String::new() } else { chrome.say("ui-pick-all") };
    groups.push(Group { heading, candidates: found.into_iter().take(SHOWN_MAX).collect() });
    let beside = path.strip_suffix("_id").and_then(|stem| {
        [format!("{stem}_text"), format!("{stem}_name")].into_iter().find_map(|name| picking.form.field(&name))
    });
    desk.show(&PickView {
        title: field.label.get(lang).to_owned(),
        action: desk.at(&format!("/drafts/{id}/pick")),
        back: desk.at(&format!("/drafts/{id}#q-{path}")),
        takes_several: takes_several(field),
        has_answer: !chosen.is_empty(),
        elsewhere: beside.map(|field| field.label.get(lang).to_owned()),
        path,
        query,
        groups,
        more,
        chrome,
    })
}

const fn takes_several(field: &Field) -> bool {
    matches!(field.field_type, FieldType::Choices(_) | FieldType::References(_))
}

/// Everything that may be chosen, the likeliest first.
fn candidates(
    desk: &Desk,
    field: &Field,
    at: &dyn Fn(&str) -> String,
    chosen: &BTreeSet<String>,
    lang: Lang,
) -> Vec<Candidate> {
    let candidate = |value: &str, text: String, beside: String, aliases: Vec<String>| Candidate {
        is_chosen: chosen.contains(value),
        value: value.to_owned(),
        text,
        beside,
        aliases,
    };
    let kind = match field.field_type {
        FieldType::Reference(kind) | FieldType::References(kind) => Some(kind),
        FieldType::Text { .. }
        | FieldType::LongText { .. }
        | FieldType::Integer { .. }
        | FieldType::Decimal { .. }
        | FieldType::Latitude
        | FieldType::Longitude
        | FieldType::Accuracy
        | FieldType::Date
        | FieldType::Time
        | FieldType::Choice(_)
        | FieldType::Choices(_)
        | FieldType::Boolean => None,
    };
    let Some(kind) = kind else {
        let Some(list) = field.field_type.choices() else { return Vec::new() };
        let suits = field.suggested_by.as_deref().map(at).filter(|suits| !suits.is_empty());
        let choices = list.suggested(suits.as_deref()).into_iter();
        return choices
            .map(|choice| {
                candidate(&choice.id, choice.label.get(lang).to_owned(), String::new(), choice.aliases.clone())
            })
            .collect();
    };
    if let Some(form) = directory_of(kind) {
        let wanted = Wanted { form: Some(form.to_owned()), kind: Some(FormKind::Registry), ..Wanted::default() };
        let found = desk.shelf.find(&wanted, &desk.forms, 0, usize::MAX);
        let entry = |entry: &Entry| {
            let code = entry.answer("code").map_or_else(|| entry.row.id.to_string(), str::to_owned);
            let name = entry.answer("name").unwrap_or(&code).to_owned();
            let town = entry.answer("town_code").and_then(|town| desk.forms.divisions().name(town));
            candidate(&code, name, town.unwrap_or_default().to_owned(), vec![code.clone()])
        };
        let mut entries: Vec<Candidate> = found.entries.iter().map(entry).collect();
        entries.sort_by(|one, other| one.value.cmp(&other.value));
        return entries;
    }
    if kind == ReferenceKind::Town {
        let towns = divisions(desk, |code| code.len() == TOWN_DIGITS);
        return towns.map(|(code, name)| candidate(code, name.to_owned(), String::new(), Vec::new())).collect();
    }
    let town = at("town_code");
    let villages = divisions(desk, |code| code.len() > TOWN_DIGITS && code.starts_with(&town));
    let beside = |code: &str| {
        let town = code.get(..TOWN_DIGITS).and_then(|town| desk.forms.divisions().name(town));
        town.unwrap_or_default().to_owned()
    };
    let villages = villages.filter(|_| kind == ReferenceKind::Village);
    villages.map(|(code, name)| candidate(code, name.to_owned(), beside(code), Vec::new())).collect()
}

fn divisions(desk: &Desk, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = (&str, &str)> {
    desk.forms.divisions().iter().filter(move |(code, _)| is_wanted(code))
}

/// What was answered here lately, the most frequent first.
fn lately(desk: &Desk, form: &Form, path: &str) -> Vec<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let filter = RecordFilter { form: Some(form.id().to_owned()), limit: LATELY, ..RecordFilter::default() };
    let page = desk.client.records(filter).unwrap_or_default();
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for row in page.rows {
        for (at, value) in row.fields {
            if at.rsplit('/').next() == Some(name)
                && let FieldValue::Text(text) = value
            {
                text.split_whitespace().for_each(|code| *counts.entry(code.to_owned()).or_default() += 1);
            }
        }
    }
    let mut codes: Vec<(String, usize)> = counts.into_iter().collect();
    codes.sort_by_key(|(code, count)| (core::cmp::Reverse(*count), code.clone()));
    codes.into_iter().map(|(code, _)| code).collect()
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Chosen {
    path: String,
    value: String,
}

/// Puts the choice into the draft. Of several, one more or one less; the page stays open for the next.
pub(super) async fn choose(
    State(desk): State<Arc<Desk>>,
    Path((_key, id)): Path<(String, String)>,
    Posted(Chosen { path, value }): Posted<Chosen>,
) -> Response {
    let mut picking = match fill::picking(&desk, &id) {
        Ok(picking) => picking,
        Err(response) => return *response,
    };
    let Some(field) = picking.form.field_at(&path) else {
        return desk.problem(StatusCode::NOT_FOUND, "ui-no-page", Vec::new());
    };
    let mut sheet = Sheet::new(&picking.form, picking.original.clone(), &picking.draft.input, desk.today());
    let kept = picking.draft.input.fields.get(&path).or_else(|| picking.original.get(&path));
    let before = kept.map(|kept| shown(field, kept)).unwrap_or_default();
    let stays = takes_several(field) && !value.is_empty();
    let now = if stays {
        let mut codes: BTreeSet<&str> = before.split_whitespace().collect();
        if !codes.remove(value.as_str()) {
            codes.insert(&value);
        }
        codes.into_iter().collect::<Vec<_>>().join(" ")
    } else {
        value.clone()
    };
    sheet.answer(&path, &now);
    if path == "target_id" {
        fill::follow_target(&desk, &picking.form, &mut sheet);
    }
    if path == "village_code"
        && let Some(town) = value.get(..TOWN_DIGITS)
    {
        sheet.suggest("town_code", &FieldValue::from(town));
    }
    picking.draft.input.fields = sheet.answers().clone();
    if let Err(error) = desk.client.save_draft(picking.draft.id, picking.draft.input).await {
        return desk.refused(&error);
    }
    if stays {
        return desk.go(&format!("/drafts/{id}/pick?path={path}"));
    }
    desk.go(&format!("/drafts/{id}#q-{path}"))
}

/// The name of what a reference stands for.
pub(super) fn called(desk: &Desk, kind: ReferenceKind, code: &str) -> String {
    desk.name(kind, code).unwrap_or_else(|| code.to_owned())
}
