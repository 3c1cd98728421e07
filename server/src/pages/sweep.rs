//! Many records approved at once: first a summary of those that raise no question, then one button.
//!
//! What has a flag, a conflict or something held is left for a person to open. Every row carries a token of what it showed, so
//! that a record which changed meanwhile is passed over and named.

use std::collections::BTreeMap;

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_protocol::ids::DocId;

use super::desk::station_of;
use super::form::Fields;
use super::list::{self, Row};
use super::queue::{Queue, at_home, in_order};
use super::{Chrome, address, go_on, rendered, with};
use crate::hub::{DeskError, HubError};
use crate::projection::{Filter, Mark, Marks};
use crate::web::{Asked, Fault, Refusal, Signed, View, WebState};

/// Most records of one page: what somebody can look over.
const SWEEP_MAX: usize = 50;

/// What a person must open.
pub(super) fn doubtful() -> Marks {
    Marks::of(&[Mark::Flagged, Mark::Conflict])
}

/// A record as the summary lists it.
struct Choice {
    /// What the form sends for it.
    value: String,
    row: Row,
}

#[derive(Template)]
#[template(path = "sweep.html")]
struct SweepPage {
    chrome: Chrome,
    back: String,
    action: String,
    total: String,
    /// How many are of each form, and of each station.
    sums: Vec<(String, usize)>,
    choices: Vec<Choice>,
    /// How many more wait that are to be opened one by one.
    others: u64,
    /// How many more raise no question and did not fit.
    more: u64,
    /// What was not approved, with what it is called, and why.
    passed_over: Vec<(String, String, &'static str)>,
    /// Whether the form was sent with nothing ticked.
    is_idle: bool,
    approved: usize,
}

fn unreadable(error: &HubError) -> Refusal {
    tracing::error!(error = error as &dyn core::error::Error, "records could not be read or approved");
    Refusal::Internal
}

/// The filter of the inbox, without what is doubtful.
fn plain(filter: Filter) -> Filter {
    Filter { state: Some("pending".to_owned()), marks: Marks::NONE, without: doubtful(), ..in_order(filter) }
}

/// The address of the summary for a list, without a language.
pub(super) fn link(filter: &Filter) -> String {
    let query = list::query(&Filter { state: None, marks: Marks::NONE, ..filter.clone() }, None);
    if query.is_empty() { "/inbox/approve".to_owned() } else { format!("/inbox/approve?{query}") }
}

async fn made(
    state: &WebState,
    signed: &Signed,
    asked: &Asked,
    passed_over: Vec<(DocId, &'static str)>,
    approved: Option<usize>,
) -> Result<SweepPage, Refusal> {
    let lang = asked.lang()?;
    let filter = plain(at_home(asked.page_filter()?, signed));
    let (wanted, names) = (filter.clone(), state.names().await?);
    let listed = state.read(move |reader| reader.list(&wanted, None, SWEEP_MAX)).await?;
    let ids: Vec<DocId> = listed.page.records.iter().map(|record| record.id).collect();
    let standing = state.ask(move |core| ids.iter().map(|id| core.plain(id)).collect::<Result<Vec<_>, _>>()).await?;
    let standing = standing.map_err(|error| unreadable(&error))?;
    let from = Queue::query_of(&Filter { without: Marks::NONE, ..filter.clone() });
    let view = View::new(state, &names, Some(signed));
    let mut choices = Vec::new();
    for (record, plain) in listed.page.records.iter().zip(standing) {
        // The hub itself may know better by now than the list; and nobody is offered what they may not decide.
        let Some(plain) = plain.filter(|plain| signed.may_decide(station_of(&plain.logbook).as_ref())) else {
            continue;
        };
        let row = list::row(&view, record, &from, lang);
        choices.push(Choice { value: format!("{} {}", record.id, plain.token()), row });
    }
    let mut sums: BTreeMap<String, usize> = BTreeMap::new();
    for choice in &choices {
        *sums.entry(format!("{} · {}", choice.row.place, choice.row.form)).or_default() += 1;
    }
    let mut named = Vec::new();
    for (id, why) in passed_over {
        let record = state.read(move |reader| reader.record(&id)).await?;
        let title = record.map(|record| {
            let row = list::row(&view, &record, "", lang);
            [Some(row.form), Some(row.date), row.target].into_iter().flatten().collect::<Vec<_>>().join(" ")
        });
        named.push((id, title, why));
    }
    let clean = listed.counts.without("pending", doubtful());
    let here = link(&filter);
    let chrome = Chrome::new(state, lang, &here).of(signed, &names);
    Ok(SweepPage {
        back: chrome.at(&list::link(&Filter { without: Marks::NONE, ..filter }, None)),
        action: chrome.at(&here),
        total: chrome.words.count(u64::try_from(choices.len()).unwrap_or(0)),
        sums: sums.into_iter().collect(),
        others: listed.counts.of(Some("pending"), Marks::NONE).saturating_sub(clean),
        more: clean.saturating_sub(u64::try_from(choices.len()).unwrap_or(0)),
        choices,
        is_idle: approved == Some(0) && named.is_empty(),
        passed_over: named
            .into_iter()
            .map(|(id, title, why)| {
                let title = title.unwrap_or_else(|| chrome.words.other_record.to_owned());
                (chrome.at(&format!("/records/{id}")), title, why)
            })
            .collect(),
        approved: approved.unwrap_or_default(),
        chrome,
    })
}

pub(super) async fn summary(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang"])?;
    let signed = state.visitor(&headers).await?;
    if !signed.may_review() {
        return Err(Refusal::NotAllowed);
    }
    rendered(&made(&state, &signed, &asked, Vec::new(), None).await?)
}

pub(super) async fn approve(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["lang"])?;
    let lang = asked.lang()?;
    let fields = Fields::read(pairs, &["csrf", "record"])?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    if !signed.may_review() {
        return Err(Refusal::NotAllowed);
    }
    let wrong = || Refusal::parameter(Fault::Value, "record");
    let chosen = fields.all("record");
    if chosen.len() > SWEEP_MAX {
        return Err(wrong());
    }
    let read = |value: &String| {
        let (id, token) = value.split_once(' ')?;
        Some((DocId::from_hex(id)?, token.to_owned()))
    };
    let chosen: Vec<(DocId, String)> =
        chosen.iter().map(|value| read(value).ok_or_else(wrong)).collect::<Result<_, _>>()?;
    let (count, person) = (chosen.len(), signed.person().clone());
    let done = state.tell(move |core, now| core.approve_plain(now, &person, &chosen)).await?;
    let not_done = done.map_err(|error| unreadable(&error))?;
    if not_done.is_empty() && count > 0 {
        let back = list::link(&in_order(asked.page_filter()?), None);
        return go_on(&address(&with(&back, &format!("done=approved_{count}")), lang), None);
    }
    let words = super::Words::of(lang);
    let why = |error: &DeskError| match error {
        DeskError::ApprovedAlready => words.sweep_approved_already,
        DeskError::InConflict | DeskError::NotHandedIn => words.sweep_moved,
        DeskError::Moved { .. } | DeskError::VersionGone { .. } | DeskError::NoConflict { .. } => words.sweep_moved,
        DeskError::NoRecord { .. } => words.sweep_gone,
        DeskError::NotAllowed(_) => words.sweep_not_allowed,
        DeskError::NoteMissing | DeskError::NotWritable(_) | DeskError::NotSaved(_) | DeskError::Hub(_) => {
            words.sweep_not_saved
        }
    };
    let passed_over: Vec<_> = not_done.iter().map(|(id, error)| (*id, why(error))).collect();
    let approved = count.saturating_sub(passed_over.len());
    rendered(&made(&state, &signed, &asked, passed_over, Some(approved)).await?)
}
