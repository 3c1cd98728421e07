//! The first page: what came back, what waits, where everything is; and one large button.

use std::sync::Arc;
use std::time::Duration;

use askama::Template;
use axum::Form as Posted;
use axum::extract::State;
use axum::response::Response;

use super::desk::{Chrome, Desk, Place};
use super::fill;
use super::list::{Line, lines};
use super::shelf::{Pile, Wanted};
use super::words::ago;

/// The time for one sync that a person asked for.
const SYNC_WITHIN: Duration = Duration::from_secs(120);
/// Records shown below the counts.
const LATEST: usize = 8;
const RETURNED_SHOWN: usize = 20;

/// A pile and how much is in it.
struct Counted {
    text: String,
    count: usize,
    link: String,
    class: &'static str,
}

struct DraftLine {
    link: String,
    title: String,
    about: String,
    ago: String,
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomeView {
    chrome: Chrome,
    piles: Vec<Counted>,
    returned: Vec<Line>,
    drafts: Vec<DraftLine>,
    latest: Vec<Line>,
    main_form: Option<(String, String)>,
    is_empty: bool,
}

pub(super) async fn page(State(desk): State<Arc<Desk>>) -> Response {
    if let Err(response) = desk.filled().await {
        return *response;
    }
    let chrome = desk.chrome(Place::Home);
    let (m, lang) = (chrome.m, desk.lang());
    let mine: Vec<String> =
        desk.whoami().map(|who| who.persons.into_iter().map(|role| role.person).collect()).unwrap_or_default();
    let counts = desk.shelf.counts(&mine, &desk.forms);
    let pile = |pile: Pile, class| {
        let count = counts.get(pile.code()).copied().unwrap_or_default();
        Counted {
            text: m.text(pile.message()),
            count,
            link: desk.at(&format!("/records?state={}", pile.code())),
            class,
        }
    };
    let mut piles = vec![pile(Pile::Waiting, "wait"), pile(Pile::Delivered, "info"), pile(Pile::BackedUp, "good")];
    // What is not as it should be is shown when there is some.
    let wrong = [pile(Pile::Conflicting, "warn"), pile(Pile::Held, "bad")];
    piles.extend(wrong.into_iter().filter(|pile| pile.count > 0));
    let of = |state, authors, count| {
        let wanted = Wanted { state, authors, kind: Some(qianmo_forms::FormKind::Record), ..Wanted::default() };
        lines(&desk, &desk.shelf.find(&wanted, &desk.forms, 0, count).entries)
    };
    let drafts = fill::drafts(&desk);
    let drafts: Vec<DraftLine> = drafts
        .iter()
        .map(|draft| {
            let about = ["target_name", "content", "topic", "name"].into_iter().find_map(|name| {
                match draft.input.fields.get(name) {
                    Some(qianmo_client_core::FieldValue::Text(text)) => Some(text.chars().take(40).collect()),
                    _ => None,
                }
            });
            DraftLine {
                link: desk.at(&format!("/drafts/{}", draft.id)),
                title: fill::label_of(&desk.forms, &draft.input.form, lang),
                about: about.unwrap_or_default(),
                ago: ago(draft.recorded_at_ms, desk.now_ms(), m),
            }
        })
        .collect();
    let returned = of(Some(Pile::Returned), Some(mine.clone()), RETURNED_SHOWN);
    let latest = of(None, Some(mine), LATEST);
    let main_form = desk.forms.get("visit").map(|form| (form.id().to_owned(), form.label().get(lang).to_owned()));
    let is_empty = latest.is_empty() && drafts.is_empty();
    desk.show(&HomeView { piles, returned, drafts, latest, main_form, is_empty, chrome })
}

/// The line of states alone, for a page that is open.
#[derive(Template)]
#[template(path = "state.html")]
struct StateView {
    chrome: Chrome,
}

pub(super) async fn state(State(desk): State<Arc<Desk>>) -> Response {
    desk.show(&StateView { chrome: desk.chrome(Place::None) })
}

/// Begins a sync and does not wait for it: its state is on every page.
pub(super) async fn sync(State(desk): State<Arc<Desk>>) -> Response {
    let client = desk.client.clone();
    let then = Arc::clone(&desk);
    tokio::spawn(async move {
        if let Err(error) = client.sync_now(SYNC_WITHIN).await {
            tracing::debug!(%error, "the sync that was asked for did not come about");
        }
        then.tell();
    });
    desk.go("/")
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Network {
    offline: bool,
}

/// Keeps from the network, or uses it again.
pub(super) async fn network(State(desk): State<Arc<Desk>>, Posted(Network { offline }): Posted<Network>) -> Response {
    desk.set_offline(offline);
    desk.go("/")
}
