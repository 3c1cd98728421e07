//! Ending a device: what will happen is said first.

use askama::Template;
use axum::Form;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;

use qianmo_protocol::ids::DeviceId;

use super::{people, place, unreadable};
use crate::hub::HubError;
use crate::pages::codes::REVOKE_REASONS;
use crate::pages::form::Fields;
use crate::pages::{Chrome, address, go_on, rendered, say, short};
use crate::registry::{DeviceRow, RegistryError};
use crate::web::{Asked, Fault, Refusal, WebState, minute};

#[derive(Template)]
#[template(path = "fleet_revoke.html")]
struct RevokePage {
    chrome: Chrome,
    action: String,
    label: String,
    short: String,
    people: String,
    place: String,
    contact: String,
    reasons: Vec<(u16, &'static str)>,
}

/// A tablet that could be revoked.
async fn found(state: &WebState, id: &str) -> Result<DeviceRow, Refusal> {
    let device = DeviceId::from_hex(id).ok_or(Refusal::NoPage)?;
    let rows = state.ask(|core| core.devices()).await?.map_err(|error| unreadable(&error))?;
    rows.into_iter().find(|row| row.device == device && !row.is_hub).ok_or(Refusal::NoPage)
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
    let row = found(&state, &id).await?;
    let names = state.names().await?;
    let here = format!("/fleet/devices/{}/revoke", row.device);
    let chrome = Chrome::new(&state, lang, &here).of(&signed, &names);
    rendered(&RevokePage {
        action: chrome.at(&here),
        label: row.label.unwrap_or_default(),
        short: short(&row.device),
        people: people(&names, &row.persons),
        place: place(&names, row.station.as_ref()),
        contact: row.last_contact.map_or_else(String::new, |contact| minute(contact.0)),
        reasons: REVOKE_REASONS.iter().map(|(code, zh, en)| (*code, say(lang, zh, en))).collect(),
        chrome,
    })
}

pub(super) async fn revoke(
    State(state): State<WebState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "reason"])?;
    let signed = state.keeper(&headers, fields.text("csrf")).await?;
    let known = |reason: &u16| REVOKE_REASONS.iter().any(|(code, ..)| code == reason);
    let reason = fields.text("reason").parse::<u16>().ok().filter(known);
    let reason = reason.ok_or_else(|| Refusal::parameter(Fault::Value, "reason"))?;
    let device = found(&state, &id).await?.device;
    let person = signed.person().clone();
    let done = state.tell(move |core, now| core.acting(&person, |core| core.revoke(now, &device, reason))).await?;
    match done {
        Ok(_) => {
            state.close_connections(&device);
            go_on(&address("/fleet?done=revoked", lang), None)
        }
        Err(RegistryError::UnknownDevice { .. } | RegistryError::HubItself { .. }) => Err(Refusal::NoPage),
        Err(RegistryError::Hub(error)) => Err(not_stored(&error)),
    }
}

pub(super) fn not_stored(error: &HubError) -> Refusal {
    unreadable(error)
}
