//! What is held, and letting one through after a look.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_protocol::ids::DocId;

use super::{people, unreadable};
use crate::hub::{HeldRow, HeldWhat, HubCore, HubError, ReleaseError, ReleaseOrder};
use crate::pages::codes::why;
use crate::pages::desk::station_of;
use crate::pages::form::Fields;
use crate::pages::{Chrome, address, go_on, rendered, short};
use crate::projection::Names;
use crate::web::{Asked, Fault, Refusal, Signed, WebState, minute};

/// Most held things on the page; the oldest come first, and the page says when there are more.
const HELD_MAX: usize = 200;

/// One held thing as the page shows it.
struct Held {
    why: &'static str,
    code: u16,
    what: &'static str,
    people: String,
    device: String,
    logbook: String,
    since: String,
    /// The record it is of, when that is shown.
    record: Option<String>,
    /// Where to let it through, when that can be done.
    release: Option<String>,
}

#[derive(Template)]
#[template(path = "fleet_held.html")]
struct HeldPage {
    chrome: Chrome,
    total: usize,
    shown: usize,
    rows: Vec<Held>,
    may_act: bool,
    done: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "fleet_release.html")]
struct ReleasePage {
    chrome: Chrome,
    action: String,
    row: Held,
}

/// Whether somebody sees that it is held.
pub(super) fn sees(signed: &Signed, row: &HeldRow) -> bool {
    super::sees(signed, row.logbook.as_ref().and_then(station_of).as_ref())
}

/// Whether one thing of its kind can be let through: what lies beyond a limit was never looked at one by one.
const fn is_single(what: HeldWhat) -> bool {
    match what {
        HeldWhat::Content | HeldWhat::Carrier | HeldWhat::Undecided => true,
        HeldWhat::Pack | HeldWhat::Log => false,
    }
}

fn what(kind: HeldWhat, chrome: &Chrome) -> &'static str {
    match kind {
        HeldWhat::Content | HeldWhat::Carrier => chrome.say("一处改动", "one change"),
        HeldWhat::Pack => chrome.say("一整批数据", "a whole pack"),
        HeldWhat::Log => chrome.say("这台设备后面的全部内容", "all that the device wrote after a point"),
        HeldWhat::Undecided => chrome.say(
            "一处改动：恢复备份以前写的，只在本服务器判为不合格，等人决定",
            "one change from before the restore; it failed only here and waits for a decision",
        ),
    }
}

fn held(row: &HeldRow, record: Option<DocId>, names: &Names, chrome: &Chrome, may_act: bool) -> Held {
    Held {
        why: why(row.code, chrome.lang),
        code: row.code,
        what: what(row.what, chrome),
        people: people(names, &row.persons),
        device: row.device.as_ref().map(short).unwrap_or_default(),
        logbook: row.logbook.as_ref().map(ToString::to_string).unwrap_or_default(),
        since: minute(row.since.0),
        record: record.map(|record| chrome.at_record(&record.to_string(), "", "")),
        release: (may_act && is_single(row.what)).then(|| chrome.at(&format!("/fleet/held/{}", row.id))),
    }
}

/// What is held, each with the record it is of if that is shown.
fn read(core: &HubCore) -> Result<Vec<(HeldRow, Option<DocId>)>, HubError> {
    let with_record = |row: HeldRow| {
        let record = row.doc.map(|doc| core.replica().record_row(&doc)).transpose()?.flatten();
        let record = record.map(|record| record.id);
        Ok((row, record))
    };
    core.held()?.into_iter().map(with_record).collect()
}

pub(super) async fn list_page(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "done"])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.may_review() {
        return Err(Refusal::NotAllowed);
    }
    let rows = state.ask(read).await?.map_err(|error| unreadable(&error))?;
    let rows: Vec<_> = rows.into_iter().filter(|(row, _)| sees(&signed, row)).collect();
    let names = state.names().await?;
    let chrome = Chrome::new(&state, lang, "/fleet/held").of(&signed, &names);
    let may_act = signed.may_keep_fleet();
    let shown: Vec<_> =
        rows.iter().take(HELD_MAX).map(|(row, record)| held(row, *record, &names, &chrome, may_act)).collect();
    let done = asked.text("done").map(|done| match done {
        "released" => chrome.say(
            "已放行。平板下次联系时就能看到，等着它的后续改动也一并判断了。",
            "Released. Tablets see it at their next contact; what waited for it was judged too.",
        ),
        _ => chrome.say(
            "已放行；后续改动里还有因别的原因被隔离的，见下表。",
            "Released; of what waited for it, some is held for another reason, see below.",
        ),
    });
    rendered(&HeldPage { total: rows.len(), shown: shown.len(), rows: shown, may_act, done, chrome })
}

pub(super) async fn question(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let signed = state.visitor(&headers).await?;
    if !signed.may_keep_fleet() {
        return Err(Refusal::NotAllowed);
    }
    let rows = state.ask(read).await?.map_err(|error| unreadable(&error))?;
    let (row, record) = rows.into_iter().find(|(row, _)| row.id == id && is_single(row.what)).ok_or(Refusal::NoPage)?;
    let names = state.names().await?;
    let here = format!("/fleet/held/{}", row.id);
    let chrome = Chrome::new(&state, lang, &here).of(&signed, &names);
    rendered(&ReleasePage { action: chrome.at(&here), row: held(&row, record, &names, &chrome, true), chrome })
}

pub(super) async fn release(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf"])?;
    let signed = state.keeper(&headers, fields.text("csrf")).await?;
    let person = signed.person().clone();
    let order = ReleaseOrder::Id(id);
    let done = state.tell(move |core, now| core.acting(&person, |core| core.release(now, &order))).await?;
    match done {
        Ok(released) if released.held_instead == 0 => go_on(&address("/fleet/held?done=released", lang), None),
        Ok(_) => go_on(&address("/fleet/held?done=some", lang), None),
        Err(ReleaseError::NoId { .. } | ReleaseError::Ambiguous { .. }) => Err(Refusal::parameter(Fault::Value, "id")),
        Err(ReleaseError::Nothing) => Err(Refusal::VersionGone),
        Err(ReleaseError::Hub(error)) => Err(unreadable(&error)),
    }
}
