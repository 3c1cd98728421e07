//! Filters that whoever is signed in keeps under names of their own, above every list.

use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use super::form::Fields;
use super::list;
use super::queue::{at_home, in_order};
use super::{Chrome, address, go_on};
use crate::projection::{Filter, Order};
use crate::registry::{SAVED_NAME_CHARS_MAX, SaveError, SavedFilter};
use crate::web::{Asked, Fault, Refusal, Signed, WebState};

/// What a list shows of them.
pub(super) struct Saved {
    pub(super) filters: Vec<Kept>,
    /// What would be kept: this list.
    pub(super) place: String,
    /// Whether it is worth keeping.
    pub(super) may_keep: bool,
    pub(super) name_chars_max: usize,
    pub(super) keep: String,
    pub(super) forget: String,
    pub(super) words: SavedWords,
}

/// One of them.
pub(super) struct Kept {
    pub(super) name: String,
    pub(super) link: String,
    pub(super) is_on: bool,
}

/// The words of this part of a page.
pub(super) struct SavedWords {
    pub(super) mine: &'static str,
    pub(super) keep: &'static str,
    pub(super) name: &'static str,
    pub(super) save: &'static str,
    pub(super) forget: &'static str,
}

impl SavedWords {
    const fn of(chrome: &Chrome) -> Self {
        Self {
            mine: chrome.say("我的筛选", "My filters"),
            keep: chrome.say("保存这个筛选", "Keep this filter"),
            name: chrome.say("起个名字", "Give it a name"),
            save: chrome.say("保存", "Keep"),
            forget: chrome.say("删除", "Delete"),
        }
    }
}

impl Saved {
    pub(super) fn new(chrome: &Chrome, filter: &Filter, kept: Vec<SavedFilter>, signed: Option<&Signed>) -> Self {
        let place = list::link(filter, None);
        let plain = match (filter.order, signed) {
            (Order::Oldest, Some(signed)) => in_order(at_home(Filter::default(), signed)),
            (Order::Oldest, None) => in_order(Filter::default()),
            (Order::Newest, _) => Filter::default(),
        };
        let one = |one: SavedFilter| Kept { is_on: one.place == place, link: chrome.at(&one.place), name: one.name };
        let filters: Vec<Kept> = kept.into_iter().map(one).collect();
        Self {
            may_keep: *filter != plain && !filters.iter().any(|filter| filter.is_on),
            filters,
            place,
            name_chars_max: SAVED_NAME_CHARS_MAX,
            keep: chrome.at("/filters"),
            forget: chrome.at("/filters/delete"),
            words: SavedWords::of(chrome),
        }
    }
}

/// The filters of whoever is signed in.
pub(super) async fn read(state: &WebState, signed: &Signed) -> Result<Vec<SavedFilter>, Refusal> {
    let login = signed.login().clone();
    state.ask(move |core| core.saved_filters(&login)).await?.map_err(|error| refused(&error))
}

fn refused(error: &SaveError) -> Refusal {
    match error {
        SaveError::Name => Refusal::parameter(Fault::Value, "name"),
        SaveError::Place { .. } => Refusal::TooLong,
        SaveError::TooMany => Refusal::TooManyFilters,
        SaveError::Unreadable(_) | SaveError::Hub(_) => {
            tracing::error!(error = error as &dyn core::error::Error, "kept filters could not be read or stored");
            Refusal::Internal
        }
    }
}

/// The list that a form names, by what can be chosen there: nothing else of its address is kept.
fn place_of(text: &str) -> Result<String, Refusal> {
    let wrong = || Refusal::parameter(Fault::Value, "place");
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.authority().is_some() {
        return Err(wrong());
    }
    let filter = Asked::read(&uri, &[])?.filter()?;
    match uri.path() {
        "/" => Ok(list::link(&filter, None)),
        "/inbox" => Ok(list::link(&in_order(filter), None)),
        _ => Err(wrong()),
    }
}

pub(super) async fn keep(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "name", "place"])?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    let place = place_of(fields.text("place"))?;
    let (login, filter) = (signed.login().clone(), SavedFilter { name: fields.text("name").to_owned(), place });
    let back = filter.place.clone();
    let done = state.tell(move |core, _| core.save_filter(&login, filter)).await?;
    done.map_err(|error| refused(&error))?;
    go_on(&address(&back, lang), None)
}

pub(super) async fn forget(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "name", "place"])?;
    let signed = state.acting(&headers, fields.text("csrf")).await?;
    let back = place_of(fields.text("place"))?;
    let (login, name) = (signed.login().clone(), fields.text("name").to_owned());
    let done = state.tell(move |core, _| core.forget_filter(&login, &name)).await?;
    done.map_err(|error| refused(&error))?;
    go_on(&address(&back, lang), None)
}
