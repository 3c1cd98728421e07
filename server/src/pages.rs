//! The pages for coordinators: the list of records, one record with its conflicts, its story and its reviews, and what a
//! coordinator who is signed in does on it.
//!
//! Chinese first; `?lang=en` on any page gives English, and its links keep it. Without scripts: filters are links, everything
//! else a form, so the pages work in any WebView. Looking changes nothing.
//!
//! # Layout
//!
//! ```text
//! list     the list's view         words    every word of the pages, in both languages
//! record   one record's view       story    its history as sentences
//! queue    the inbox, oldest first, and the way from one record to the next
//! desk     acts on a record        account  signing in and out
//! fleet    the tablets, and acts on them codes    why something is held, in words
//! help     what everything means       complaints  complaints and suggestions
//! form     fields that were sent        nav      the links of every page
//! find     one box, and timelines            evidence     what stands beside a record
//! saved    filters under a name              (kept for each account)
//! sweep    many approved at once             numbers      whole numbers of persons, shown when asked for
//! ```

mod account;
mod codes;
mod complaints;
mod desk;
mod evidence;
mod find;
mod fleet;
mod form;
mod help;
mod list;
mod nav;
mod numbers;
mod queue;
mod record;
mod saved;
mod story;
mod sweep;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use qianmo_forms::{Lang, ReferenceKind};
use qianmo_protocol::ids::{DeviceId, DocId};

use crate::projection::{FlagSet, ListCursor, Mark, Names, Sight, UNREADABLE, state_label};
use crate::web::{Asked, Refusal, Signed, View, WebState};
pub(crate) use account::{account_address, go_on, sign_in_address};
use words::Words;

/// Records on one page.
const PAGE_RECORDS: usize = 50;
/// Letters of a device's id that tell it from others.
const DEVICE_CHARS: usize = 8;

pub(crate) fn routes() -> Router<WebState> {
    Router::new()
        .route("/", get(index))
        .route("/find", get(find::find))
        .route("/targets/{code}", get(find::target))
        .route("/people/{code}", get(find::person))
        .route("/inbox", get(queue::inbox))
        .route("/filters", post(saved::keep))
        .route("/filters/delete", post(saved::forget))
        .route("/inbox/approve", get(sweep::summary).post(sweep::approve))
        .route("/records/{id}", get(record_page))
        .route("/records/{id}/act", post(desk::act).get(back_to_record))
        .route("/records/{id}/settle", post(desk::settle).get(back_to_record))
        .route("/records/{id}/numbers", post(numbers::show).get(back_to_record))
        .merge(fleet::routes())
        .merge(complaints::routes())
        .merge(help::routes())
        .route("/sign-in", get(account::sign_in_page).post(account::sign_in))
        .route("/sign-out", post(account::sign_out))
        .route("/account", get(account::account_page).post(account::change_password))
}

/// What stands around every page.
struct Chrome {
    lang: Lang,
    words: &'static Words,
    organisation: String,
    /// This page in the other language.
    switch: String,
    /// The list in this language.
    home: String,
    /// Who is signed in.
    signed: Option<Who>,
    /// Where to sign in and come back from.
    sign_in: String,
    /// This page without a language.
    here: String,
    /// What of personal data is told.
    privacy: &'static str,
    /// The links above.
    bar: Vec<nav::Link>,
    /// The links below.
    foot: Vec<nav::Link>,
}

struct Who {
    name: String,
    csrf: String,
    must_change: bool,
}

impl Chrome {
    /// `here` is the address of this page without a language.
    fn new(state: &WebState, lang: Lang, here: &str) -> Self {
        let other = match lang {
            Lang::Zh => Lang::En,
            Lang::En => Lang::Zh,
        };
        Self {
            lang,
            words: Words::of(lang),
            organisation: state.organisation().to_owned(),
            switch: address(here, other),
            home: address("/", lang),
            signed: None,
            sign_in: address(&format!("/sign-in?next={}", utf8_percent_encode(here, NON_ALPHANUMERIC)), lang),
            here: here.to_owned(),
            privacy: Words::of(lang).masked_note,
            bar: Self::bar(here, lang, None),
            foot: Self::foot(here, lang),
        }
    }

    /// For somebody who is signed in.
    fn of(self, signed: &Signed, names: &Names) -> Self {
        let code = signed.person().as_str();
        let name = names.of(ReferenceKind::Person, code).unwrap_or(code).to_owned();
        let bar = Self::bar(&self.here, self.lang, Some(signed));
        let privacy = if signed.sight() == Sight::Nobody { self.words.masked_note } else { self.words.named_note };
        Self {
            privacy,
            signed: Some(Who { name, csrf: signed.csrf(), must_change: signed.must_change() }),
            bar,
            ..self
        }
    }

    fn or(self, signed: Option<&Signed>, names: &Names) -> Self {
        match signed {
            Some(signed) => self.of(signed, names),
            None => self,
        }
    }

    /// An address of ours in this language.
    fn at(&self, here: &str) -> String {
        address(here, self.lang)
    }

    /// An address under a record's page.
    fn at_record(&self, id: &str, under: &str, query: &str) -> String {
        address(&format!("/records/{id}{under}{query}"), self.lang)
    }

    /// A record's page, ready to say something of one of its answers.
    fn about(&self, id: &str, query: &str, path: &str) -> String {
        self.at_record(id, "", &with(query, &format!("about={}", utf8_percent_encode(path, NON_ALPHANUMERIC))))
    }

    /// What forms carry; empty when nobody is signed in.
    fn csrf(&self) -> &str {
        self.signed.as_ref().map_or("", |who| who.csrf.as_str())
    }

    /// A word in this language.
    const fn say(&self, zh: &'static str, en: &'static str) -> &'static str {
        say(self.lang, zh, en)
    }

    const fn tag(&self) -> &'static str {
        match self.lang {
            Lang::Zh => "zh-CN",
            Lang::En => "en",
        }
    }
}

/// What was just done, and which record it was when the page is another's.
struct Done {
    said: String,
    last: Option<(String, String)>,
}

impl Done {
    /// What an address says was done; `None` when it says nothing that is known.
    async fn read(
        state: &WebState,
        asked: &Asked,
        names: &Arc<Names>,
        signed: Option<&Signed>,
        lang: Lang,
    ) -> Result<Option<Self>, Refusal> {
        let words = Words::of(lang);
        let Some(said) = asked.text("done").and_then(|done| words.done(done)) else { return Ok(None) };
        let Some(id) = asked.text(queue::LAST).and_then(DocId::from_hex) else {
            return Ok(Some(Self { said, last: None }));
        };
        let record = state.read(move |reader| reader.record(&id)).await?;
        let link = record_address(&id, None, lang);
        let last = record.map(|record| {
            let row = list::row(&View::new(state, names, signed), &record, "", lang);
            let parts = [Some(row.form), Some(row.date), row.target];
            (link, parts.into_iter().flatten().collect::<Vec<_>>().join(" "))
        });
        Ok(Some(Self { said, last }))
    }
}

const fn say(lang: Lang, zh: &'static str, en: &'static str) -> &'static str {
    match lang {
        Lang::Zh => zh,
        Lang::En => en,
    }
}

/// An address of ours with a language: Chinese goes without saying.
fn address(here: &str, lang: Lang) -> String {
    match lang {
        Lang::Zh => here.to_owned(),
        Lang::En => with(here, "lang=en"),
    }
}

/// An address with one more parameter.
fn with(here: &str, parameter: &str) -> String {
    let joint = if here.contains('?') { '&' } else { '?' };
    format!("{here}{joint}{parameter}")
}

/// A review state, or another mark, as a page shows it.
struct Badge {
    /// The class in the style sheet.
    class: &'static str,
    text: String,
}

/// What a record is marked with: its state, and what makes it stand out.
fn badges(state: &str, is_changed: bool, conflicts: usize, words: &Words) -> Vec<Badge> {
    let (zh, en) = state_label(state);
    let class = match state {
        "approved" => "good",
        "pending" => "wait",
        "returned" => "bad",
        "disagreed" | "unsettled" | UNREADABLE => "warn",
        _ => "plain",
    };
    let text = match words.lang {
        Lang::Zh => zh,
        Lang::En => en,
    };
    let mut badges = vec![Badge { class, text: text.to_owned() }];
    if is_changed {
        badges.push(Badge { class: "info", text: words.changed.to_owned() });
    }
    if conflicts > 0 {
        badges.push(Badge { class: "bad", text: format!("{} {conflicts}", words.conflict) });
    }
    badges
}

/// How many things there are to look at twice.
fn hinted(flags: FlagSet, words: &Words) -> Option<Badge> {
    let count = flags.iter().count();
    (count > 0).then(|| Badge { class: "hint", text: format!("{} {count}", words.mark(Mark::Flagged)) })
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage {
    chrome: Chrome,
    status: u16,
    first: crate::web::Said,
    second: crate::web::Said,
    second_tag: &'static str,
    /// Whether signing in again is the way on: to the page of the form that was sent.
    asks_to_sign_in: bool,
}

/// A refusal as a page, in the language asked for and then in the other; for who is signed in still.
pub(crate) async fn problem(
    state: &WebState,
    refusal: &Refusal,
    lang: Lang,
    uri: &Uri,
    signed: Option<&Signed>,
) -> Response {
    let (first, second, second_tag) = match lang {
        Lang::Zh => (refusal.zh(), refusal.en(), "en"),
        Lang::En => (refusal.en(), refusal.zh(), "zh-CN"),
    };
    let here = uri.path_and_query().map_or("/", |here| here.as_str());
    let asks_to_sign_in = *refusal == Refusal::SignedOut;
    let mut chrome = Chrome::new(state, lang, if asks_to_sign_in { here } else { "/" });
    if let Some(signed) = signed
        && let Ok(names) = state.names().await
    {
        chrome = chrome.of(signed, &names);
    }
    let page = ProblemPage { chrome, status: refusal.status().as_u16(), first, second, second_tag, asks_to_sign_in };
    match page.render() {
        Ok(html) => (refusal.status(), Html(html)).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            refusal.status().into_response()
        }
    }
}

fn html(page: &impl Template) -> Result<String, Refusal> {
    page.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made");
        Refusal::Internal
    })
}

fn rendered(page: &impl Template) -> Result<Response, Refusal> {
    Ok(Html(html(page)?).into_response())
}

/// The first letters of a device's id, which tell it from others.
fn short(device: &DeviceId) -> String {
    device.to_string().chars().take(DEVICE_CHARS).collect()
}

/// A record's page, and what was just done there.
fn record_address(id: &DocId, done: Option<&str>, lang: Lang) -> String {
    match done {
        Some(done) => address(&format!("/records/{id}?done={done}"), lang),
        None => address(&format!("/records/{id}"), lang),
    }
}

async fn index(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let signed = state.signed(&headers).await?;
    let asked = Asked::read(&uri, &["cursor", "lang"])?;
    let (filter, lang) = (asked.page_filter()?, asked.lang()?);
    let after = asked.cursor(ListCursor::decode)?;
    let found = list::Found::read(&state, &filter, after, signed.as_ref()).await?;
    rendered(&list::ListView::new(&state, lang, filter, after, found, signed.as_ref()))
}

/// A page that came as the answer to a form has the form's address: whoever asks for it again gets the record.
async fn back_to_record(Path(id): Path<String>, uri: Uri) -> Result<Response, Refusal> {
    let id = DocId::from_hex(&id).ok_or(Refusal::NoRecord)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    go_on(&format!("/records/{id}{query}"), None)
}

async fn record_page(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang", "done", "about", queue::FROM, queue::LAST])?;
    let (lang, queue) = (asked.lang()?, queue::Queue::of(&asked)?);
    let (full, names) = (state.full_with_since(&id).await?, state.names().await?);
    let signed = state.signed(&headers).await?;
    let source = record::Source::new(&state, &names, signed.as_ref(), lang, &full).from(queue.as_ref());
    let page = record::RecordPage::new(&source, &desk::Typed::about(asked.text("about")));
    let done = match &signed {
        Some(signed) => Done::read(&state, &asked, &names, Some(signed), lang).await?,
        None => None,
    };
    let page = page.with_done(done);
    rendered(&page.whole(&source).await?)
}
