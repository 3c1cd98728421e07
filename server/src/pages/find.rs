//! One box over everything: records, service targets, people, stations and organisations; and the timeline of a target or
//! of a person.
//!
//! Results stand in groups with how many there are, each a link. People are found, never compared: nothing here counts what
//! one of them did. What the masks hide is not found either.

mod words;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use qianmo_forms::Lang;

use super::list::{Row, row};
use super::{Chrome, PAGE_RECORDS, address, rendered};
use crate::projection::{
    Entry, EntryKind, Filter, Listed, QUERY_CHARS_MAX, Subject, Timeline, TimelineCursor, also_looked_for,
};
use crate::web::{Asked, Fault, Refusal, Signed, View, WebState};
use words::FindWords;

/// Results of one group beside the others.
const GROUP_RESULTS: usize = 8;
/// Most other names a page tells.
const ALSO_TOLD: usize = 12;

/// The page with the box.
#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    chrome: Chrome,
    find: &'static FindWords,
    typed: String,
    chars_max: usize,
    /// What was asked for, as far as something was.
    results: Results,
}

enum Results {
    /// Nothing was asked for.
    Nothing,
    /// It cannot be looked for.
    Refused { what: &'static str, next: &'static str },
    /// Looked for.
    Found(Box<Found>),
}

struct Found {
    total: String,
    also: Option<String>,
    records: Option<Records>,
    groups: Vec<Group>,
    back: Option<String>,
    is_empty: bool,
}

struct Records {
    count: String,
    rows: Vec<Row>,
    all: Option<String>,
}

struct Group {
    title: &'static str,
    count: String,
    results: Vec<Hit>,
    all: Option<String>,
    next: Option<String>,
}

struct Hit {
    link: String,
    name: String,
    code: Option<String>,
    about: String,
}

/// The page of a timeline.
#[derive(Template)]
#[template(path = "timeline.html")]
struct TimelinePage {
    chrome: Chrome,
    find: &'static FindWords,
    name: String,
    code: Option<String>,
    about: String,
    intro: &'static str,
    total: String,
    entries: Vec<String>,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The group of a page, by the word in its address.
fn group_of(word: &str) -> Option<EntryKind> {
    EntryKind::ALL.into_iter().find(|kind| word_of(*kind) == word)
}

const fn word_of(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::Person => "people",
        EntryKind::Organisation => "organisations",
        EntryKind::Target => "targets",
        EntryKind::Station => "stations",
    }
}

/// Where an entry leads.
fn link(entry: &Entry) -> String {
    let own = format!("/records/{}", entry.id);
    match (entry.kind, &entry.code) {
        (EntryKind::Target, Some(code)) => format!("/targets/{}", encoded(code)),
        (EntryKind::Target, None) => format!("/targets/{}", entry.id),
        (EntryKind::Person, Some(code)) => format!("/people/{}", encoded(code)),
        (EntryKind::Station, Some(code)) if qianmo_protocol::ids::Code::new(code).is_ok() => {
            format!("/?station={code}")
        }
        (EntryKind::Person | EntryKind::Station | EntryKind::Organisation, _) => own,
    }
}

fn result(entry: &Entry, lang: Lang) -> Hit {
    Hit {
        link: address(&link(entry), lang),
        name: entry.called(),
        code: entry.code.clone().filter(|_| entry.name.is_some()),
        about: entry.about_it(lang).to_owned(),
    }
}

/// The address of a search.
fn here(typed: &str, group: Option<EntryKind>, page: usize) -> String {
    let mut address = format!("/find?q={}", encoded(typed));
    if let Some(kind) = group {
        address.push_str(&format!("&in={}", word_of(kind)));
    }
    if page > 1 {
        address.push_str(&format!("&page={page}"));
    }
    address
}

/// One kind of entries: some of them, or a page of them where only they were asked for.
fn group(typed: &str, kind: EntryKind, found: &[&Entry], page: Option<usize>, lang: Lang) -> Option<Group> {
    let words = FindWords::of(lang);
    let of_kind: Vec<&&Entry> = found.iter().filter(|entry| entry.kind == kind).collect();
    let (skipped, most) = page.map_or((0, GROUP_RESULTS), |page| ((page - 1) * PAGE_RECORDS, PAGE_RECORDS));
    let rest = of_kind.len().saturating_sub(skipped);
    (!of_kind.is_empty()).then(|| Group {
        title: words.kind(kind),
        count: words.count(of_kind.len()),
        results: of_kind.iter().skip(skipped).take(most).map(|entry| result(entry, lang)).collect(),
        all: (page.is_none() && rest > most).then(|| address(&here(typed, Some(kind), 1), lang)),
        next: page.filter(|_| rest > most).map(|page| address(&here(typed, Some(kind), page + 1), lang)),
    })
}

fn also(typed: &str) -> Option<String> {
    let names = also_looked_for(typed);
    (!names.is_empty()).then(|| names.into_iter().take(ALSO_TOLD).collect::<Vec<_>>().join("、"))
}

/// What was asked for.
struct Search {
    typed: String,
    group: Option<EntryKind>,
    page: usize,
    lang: Lang,
}

impl Search {
    fn read(uri: &Uri) -> Result<Self, Refusal> {
        let asked = Asked::only(uri, &["q", "in", "page", "lang"])?;
        let wrong = |name| Refusal::parameter(Fault::Value, name);
        let group = asked.text("in").map(|word| group_of(word).ok_or_else(|| wrong("in"))).transpose()?;
        let page = asked.text("page").map(|text| text.parse().ok().filter(|page| (1..=10_000).contains(page)));
        Ok(Self {
            typed: asked.text("q").unwrap_or_default().trim().to_owned(),
            group,
            page: page.map(|page| page.ok_or_else(|| wrong("page"))).transpose()?.unwrap_or(1),
            lang: asked.lang()?,
        })
    }

    /// Why it cannot be looked for.
    fn refused(&self) -> Option<Results> {
        let words = FindWords::of(self.lang);
        if Filter::is_searchable(&self.typed) {
            return None;
        }
        let has_something = self.typed.chars().any(char::is_alphanumeric);
        let (what, next) = if has_something {
            (words.too_long, words.too_long_next)
        } else {
            (words.nothing_in_it, words.nothing_in_it_next)
        };
        Some(Results::Refused { what, next })
    }

    fn found(&self, view: &View<'_>, listed: Option<&Listed>) -> Found {
        let (lang, typed) = (self.lang, &self.typed);
        let words = super::Words::of(lang);
        let entries = view.names().find(typed, view.sight());
        let page = self.group.map(|_| self.page);
        let kinds = EntryKind::ALL.into_iter().filter(|kind| self.group.is_none_or(|group| group == *kind));
        let groups: Vec<Group> = kinds.filter_map(|kind| group(typed, kind, &entries, page, lang)).collect();
        let records = listed.filter(|listed| listed.counts.records() > 0).map(|listed| Records {
            count: words.count(listed.counts.records()),
            rows: listed.page.records.iter().map(|record| row(view, record, "", lang)).collect(),
            all: listed.page.next.map(|_| address(&format!("/?text={}", encoded(typed)), lang)),
        });
        let shown = entries.iter().filter(|entry| self.group.is_none_or(|group| group == entry.kind)).count();
        let total = listed.map_or(0, |listed| listed.counts.records()) + u64::try_from(shown).unwrap_or(0);
        Found {
            is_empty: records.is_none() && groups.is_empty(),
            total: FindWords::of(lang).count(usize::try_from(total).unwrap_or(usize::MAX)),
            also: also(typed),
            back: self.group.map(|_| address(&here(typed, None, 1), lang)),
            records,
            groups,
        }
    }
}

/// The page with the box, and what it found.
pub(super) async fn find(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let search = Search::read(&uri)?;
    let (signed, names) = (state.signed(&headers).await?, state.names().await?);
    let (status, results) = if search.typed.is_empty() {
        (StatusCode::OK, Results::Nothing)
    } else if let Some(refused) = search.refused() {
        (StatusCode::BAD_REQUEST, refused)
    } else {
        let listed = match search.group {
            Some(_) => None,
            None => {
                let filter = Filter { text: Some(search.typed.clone()), ..Filter::default() };
                Some(state.read(move |reader| reader.list(&filter, None, GROUP_RESULTS)).await?)
            }
        };
        (
            StatusCode::OK,
            Results::Found(Box::new(search.found(&View::new(&state, &names, signed.as_ref()), listed.as_ref()))),
        )
    };
    let kept: String = search.typed.chars().take(QUERY_CHARS_MAX).collect();
    let at = if kept.is_empty() { "/find".to_owned() } else { here(&kept, search.group, search.page) };
    let page = FindPage {
        chrome: Chrome::new(&state, search.lang, &at).or(signed.as_ref(), &names),
        find: FindWords::of(search.lang),
        typed: kept,
        chars_max: QUERY_CHARS_MAX,
        results,
    };
    Ok((status, rendered(&page)?).into_response())
}

/// Everything about one service target.
pub(super) async fn target(
    State(state): State<WebState>,
    Path(code): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    timeline(&state, Subject::Target, code, &headers, &uri).await
}

/// Everything one person took part in.
pub(super) async fn person(
    State(state): State<WebState>,
    Path(code): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    timeline(&state, Subject::Person, code, &headers, &uri).await
}

async fn timeline(
    state: &WebState,
    subject: Subject,
    code: String,
    headers: &HeaderMap,
    uri: &Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::only(uri, &["cursor", "lang"])?;
    let (lang, after) = (asked.lang()?, asked.cursor(TimelineCursor::decode)?);
    let (signed, names) = (state.signed(headers).await?, state.names().await?);
    let kind = match subject {
        Subject::Target => EntryKind::Target,
        Subject::Person => EntryKind::Person,
    };
    // A record names its target by document or by code.
    let view = View::new(state, &names, signed.as_ref());
    let entries = names.entries_of(kind, &code, view.sight());
    let ids = entries.iter().map(|entry| entry.id.to_string());
    let codes = entries.iter().filter_map(|entry| entry.code.clone());
    let mut keys: Vec<String> = ids.chain(codes).chain([code.clone()]).collect();
    keys.sort_unstable();
    keys.dedup();
    let is_first = after.is_none();
    let read = move |reader: &crate::projection::Reader| {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        reader.timeline(subject, &keys, after, PAGE_RECORDS)
    };
    let found = state.read(read).await?;
    if entries.is_empty() && found.total == 0 {
        return Err(Refusal::NoPage);
    }
    rendered(&timeline_page(&view, (subject, &code, lang), is_first, found, signed.as_ref()))
}

fn timeline_page(
    view: &View<'_>,
    (subject, code, lang): (Subject, &str, Lang),
    is_first: bool,
    found: Timeline,
    signed: Option<&Signed>,
) -> TimelinePage {
    let find = FindWords::of(lang);
    let (folder, kind, intro) = match subject {
        Subject::Target => ("targets", EntryKind::Target, find.timeline_of_target),
        Subject::Person => ("people", EntryKind::Person, find.timeline_of_person),
    };
    let entries = view.names().entries_of(kind, code, view.sight());
    let own = format!("/{folder}/{}", encoded(code));
    let entry = entries.first();
    TimelinePage {
        name: entry.map_or_else(|| code.to_owned(), |entry| entry.called()),
        code: entry.and_then(|entry| entry.code.clone().filter(|_| entry.name.is_some())),
        about: entry.map(|entry| entry.about_it(lang).to_owned()).unwrap_or_default(),
        intro,
        total: super::Words::of(lang).count(found.total),
        entries: entries.iter().map(|entry| address(&format!("/records/{}", entry.id), lang)).collect(),
        rows: found.records.iter().map(|record| row(view, record, "", lang)).collect(),
        first: (!is_first).then(|| address(&own, lang)),
        next: found.next.map(|cursor| address(&format!("{own}?cursor={}", cursor.encode()), lang)),
        chrome: Chrome::new(view.state(), lang, &own).or(signed, view.names()),
        find,
    }
}
