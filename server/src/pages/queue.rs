//! The inbox: what waits for a decision, oldest first, and the way from one record to the next.
//!
//! A record that was opened from the inbox carries the inbox's filter in its address, so that it knows its neighbours; a
//! decision leads on to the next one. Everything is a link or a form; `desk.js` adds keys and nothing else.

use axum::extract::State;
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_forms::Lang;
use qianmo_protocol::ids::DocId;

use super::{Done, address, list, rendered, with};
use crate::projection::{Filter, ListCursor, Mark, Marks, Order};
use crate::web::{Asked, Refusal, Signed, WebState};

/// The parameter that says which list a record was opened from.
pub(super) const FROM: &str = "in";
/// Its value for the inbox.
const INBOX: &str = "inbox";
/// The parameter that names the record that was just decided on.
pub(super) const LAST: &str = "last";

/// The list a record was opened from.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    filter: Filter,
}

/// Where one can go from a record in a queue.
#[derive(Debug)]
pub(super) struct Neighbours {
    /// The queue itself.
    pub(super) list: String,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

/// The filter of the inbox: without a choice, what is to be decided.
pub(super) fn in_order(filter: Filter) -> Filter {
    // What was flagged, or written late, is looked for among what waits; a conflict, a change or a reply wherever it is.
    let anywhere = Marks::of(&[Mark::Conflict, Mark::Changed, Mark::Unanswered]);
    let is_open = filter.state.is_none() && filter.marks.has_none(anywhere);
    let state = if is_open { Some("pending".to_owned()) } else { filter.state };
    Filter { state, order: Order::Oldest, ..filter }
}

/// Whoever looks after one station need not choose it.
pub(super) fn at_home(filter: Filter, signed: &Signed) -> Filter {
    let own = || signed.only_station().map(|station| station.to_string());
    Filter { station: filter.station.or_else(own), ..filter }
}

impl Queue {
    /// The queue that an address names, if it does.
    pub(super) fn of(asked: &Asked) -> Result<Option<Self>, Refusal> {
        let is_named = asked.text(FROM) == Some(INBOX);
        Ok(if is_named { Some(Self { filter: in_order(asked.page_filter()?) }) } else { None })
    }

    /// What a record's address carries.
    pub(super) fn query_of(filter: &Filter) -> String {
        let query = list::query(filter, None);
        if query.is_empty() { format!("?{FROM}={INBOX}") } else { format!("?{FROM}={INBOX}&{query}") }
    }

    /// The address of a record in it, without a language.
    pub(super) fn at(&self, id: &DocId) -> String {
        format!("/records/{id}{}", Self::query_of(&self.filter))
    }

    /// What stands after the path of a form on a record's page.
    pub(super) fn query(&self) -> String {
        Self::query_of(&self.filter)
    }

    /// The neighbours of a record.
    async fn around(&self, state: &WebState, id: DocId) -> Result<[Option<DocId>; 2], Refusal> {
        let filter = self.filter.clone();
        state.read(move |reader| reader.around(&filter, &id)).await
    }

    /// Links to the neighbours of a record.
    pub(super) async fn links(&self, state: &WebState, id: DocId, lang: Lang) -> Result<Neighbours, Refusal> {
        let [before, after] = self.around(state, id).await?;
        let link = |id: Option<DocId>| id.map(|id| address(&self.at(&id), lang));
        Ok(Neighbours {
            list: address(&list::link(&self.filter, None), lang),
            before: link(before),
            after: link(after),
        })
    }

    /// Where to go once a record is decided on: to the next, or to one that was passed over, or back to the list.
    pub(super) async fn onward(&self, state: &WebState, id: DocId, done: &str, lang: Lang) -> Result<String, Refusal> {
        let [before, after] = self.around(state, id).await?;
        let said = format!("done={done}&{LAST}={id}");
        Ok(match after.or(before) {
            // Without a place of its own, the browser keeps the form's, and the next record opens in its middle.
            Some(next) => format!("{}#main", address(&with(&self.at(&next), &said), lang)),
            None => address(&with(&list::link(&self.filter, None), &said), lang),
        })
    }
}

/// The inbox.
pub(super) async fn inbox(State(state): State<WebState>, headers: HeaderMap, uri: Uri) -> Result<Response, Refusal> {
    let asked = Asked::read(&uri, &["cursor", "lang", "done", LAST])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    let filter = in_order(at_home(asked.page_filter()?, &signed));
    let after = asked.cursor(ListCursor::decode)?;
    let found = list::Found::read(&state, &filter, after, Some(&signed)).await?;
    let done = Done::read(&state, &asked, &found.names, Some(&signed), lang).await?;
    let view = list::ListView::new(&state, lang, filter, after, found, Some(&signed));
    rendered(&view.with_done(done))
}
