//! Complaints and suggestions (投诉建议), which the rules for such programs ask for. Leaving one takes no account and no name;
//! its code, shown once, finds the answer. Coordinators and administrators of the district read and answer.

use askama::Template;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use axum::{Form, Router};

use qianmo_forms::{Lang, ReferenceKind};

use super::account::{go_on, page_with};
use super::form::Fields;
use super::{Chrome, address, html, rendered, say};
use crate::projection::Names;
use crate::registry::{Complaint, ComplaintError, ComplaintKind, TEXT_CHARS_MAX};
use crate::web::{Asked, Fault, Refusal, WebState, from_our_own_page, minute};

pub(super) fn routes() -> Router<WebState> {
    Router::new()
        .route("/complaints", get(page).post(send))
        .route("/complaints/look", post(look))
        .route("/complaints/{number}/answer", post(answer))
}

/// An entry as a page shows it.
struct Entry {
    number: u32,
    kind: &'static str,
    sent: String,
    text: String,
    answer: Option<Answer>,
    /// Where to answer it.
    action: String,
}

struct Answer {
    text: String,
    /// Who answered; for whoever holds the code, the organisation did.
    by: String,
    at: String,
}

/// What the page is about at the moment.
#[derive(Default)]
struct Shown {
    /// The code of what was just sent.
    code: Option<String>,
    /// The entry of a code.
    found: Option<Entry>,
    typed: String,
    is_suggestion: bool,
    problem: Option<&'static str>,
    look_problem: Option<&'static str>,
    done: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "complaints.html")]
struct ComplaintsPage {
    chrome: Chrome,
    action: String,
    look: String,
    chars_max: usize,
    shown: Shown,
    /// All entries, for whoever answers them.
    entries: Option<Vec<Entry>>,
}

fn entry(entry: &Complaint, names: Option<&Names>, lang: Lang) -> Entry {
    Entry {
        number: entry.number,
        kind: match entry.kind {
            ComplaintKind::Complaint => say(lang, "投诉", "Complaint"),
            ComplaintKind::Suggestion => say(lang, "建议", "Suggestion"),
        },
        sent: minute(entry.sent.0),
        text: entry.text.clone(),
        answer: entry.answer.as_ref().map(|answer| Answer {
            text: answer.text.clone(),
            by: names
                .map(|names| names.of(ReferenceKind::Person, answer.by.as_str()).unwrap_or(answer.by.as_str()))
                .unwrap_or_default()
                .to_owned(),
            at: minute(answer.at.0),
        }),
        action: address(&format!("/complaints/{}/answer", entry.number), lang),
    }
}

fn unreadable(error: &ComplaintError) -> Refusal {
    tracing::error!(error = error as &dyn core::error::Error, "complaints could not be read or stored");
    Refusal::Internal
}

/// Everybody's page; with all entries for whoever answers them.
async fn made(state: &WebState, headers: &HeaderMap, lang: Lang, shown: Shown) -> Result<ComplaintsPage, Refusal> {
    let signed = state.signed(headers).await?;
    let names = state.names().await?;
    let entries = match signed.as_ref().filter(|signed| signed.may_keep_fleet()) {
        Some(_) => {
            let read = state.ask(|core| core.complaints()).await?.map_err(|error| unreadable(&error))?;
            Some(read.iter().map(|one| entry(one, Some(&names), lang)).collect())
        }
        None => None,
    };
    let chrome = Chrome::new(state, lang, "/complaints").or(signed.as_ref(), &names);
    Ok(ComplaintsPage {
        action: chrome.at("/complaints"),
        look: chrome.at("/complaints/look"),
        chars_max: TEXT_CHARS_MAX,
        shown,
        entries,
        chrome,
    })
}

async fn page(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "done"])?;
    let lang = asked.lang()?;
    let done = asked
        .text("done")
        .map(|_| say(lang, "答复已保存，持编号的人可以看到。", "The answer is kept; whoever holds the code sees it."));
    rendered(&made(&state, &headers, lang, Shown { done, ..Shown::default() }).await?)
}

async fn send(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    from_our_own_page(&headers)?;
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["kind", "text"])?;
    let kind = match fields.text("kind") {
        "complaint" => ComplaintKind::Complaint,
        "suggestion" => ComplaintKind::Suggestion,
        _ => return Err(Refusal::parameter(Fault::Value, "kind")),
    };
    let typed = fields.text("text").to_owned();
    let text = typed.clone();
    let is_suggestion = kind == ComplaintKind::Suggestion;
    let taken = state.tell(move |core, now| core.complain(now, kind, &text)).await?;
    let (status, problem) = match taken {
        Ok(code) => {
            let shown = Shown { code: Some(code), ..Shown::default() };
            return rendered(&made(&state, &headers, lang, shown).await?);
        }
        Err(ComplaintError::Empty) => {
            (StatusCode::UNPROCESSABLE_ENTITY, say(lang, "请写下要说的话。", "Please write what you want to say."))
        }
        Err(ComplaintError::TooLong { .. }) => (
            StatusCode::UNPROCESSABLE_ENTITY,
            say(lang, "写得太长了，请分两次提交。", "That is too long; please send it in two parts."),
        ),
        Err(ComplaintError::TooMany | ComplaintError::Full) => (
            StatusCode::TOO_MANY_REQUESTS,
            say(
                lang,
                "这段时间收到的太多，暂时收不下。请过一小时再提交，或直接联系本单位。您写的还在下面。",
                "Too many came in a short time. Please try again in an hour, or turn to the organisation. Your words are still below.",
            ),
        ),
        Err(error @ (ComplaintError::Unknown { .. } | ComplaintError::Unreadable(_) | ComplaintError::Hub(_))) => {
            return Err(unreadable(&error));
        }
    };
    let shown = Shown { typed, is_suggestion, problem: Some(problem), ..Shown::default() };
    Ok(page_with(status, html(&made(&state, &headers, lang, shown).await?)?))
}

/// The entry of a code. The code comes in a form, so that it stands in no address and no log.
async fn look(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    from_our_own_page(&headers)?;
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let code = Fields::read(pairs, &["code"])?.text("code").to_owned();
    let found = state.ask(move |core| core.complaint_of(&code)).await?.map_err(|error| unreadable(&error))?;
    let Some(found) = found else {
        let problem = say(lang, "没有这个编号，请核对后再查。", "There is no such code; please check it.");
        let shown = Shown { look_problem: Some(problem), ..Shown::default() };
        return Ok(page_with(StatusCode::NOT_FOUND, html(&made(&state, &headers, lang, shown).await?)?));
    };
    let shown = Shown { found: Some(entry(&found, None, lang)), ..Shown::default() };
    rendered(&made(&state, &headers, lang, shown).await?)
}

async fn answer(
    State(state): State<WebState>,
    Path(number): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "text"])?;
    let signed = state.keeper(&headers, fields.text("csrf")).await?;
    let number: u32 = number.parse().map_err(|_| Refusal::NoPage)?;
    let (person, text) = (signed.person().clone(), fields.text("text").to_owned());
    match state.tell(move |core, now| core.answer_complaint(now, number, &person, &text)).await? {
        Ok(()) => go_on(&address("/complaints?done=answered", lang), None),
        Err(ComplaintError::Empty) => Err(Refusal::parameter(Fault::Value, "text")),
        Err(ComplaintError::TooLong { .. }) => Err(Refusal::TooLong),
        Err(ComplaintError::Unknown { .. }) => Err(Refusal::NoPage),
        Err(
            error @ (ComplaintError::TooMany
            | ComplaintError::Full
            | ComplaintError::Unreadable(_)
            | ComplaintError::Hub(_)),
        ) => Err(unreadable(&error)),
    }
}
