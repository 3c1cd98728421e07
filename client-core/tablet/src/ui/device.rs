//! The tablet itself: whose it is, its language, how it stands, what it keeps.

use std::sync::Arc;

use askama::Template;
use axum::Form as Posted;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use qianmo_forms::{Lang, ReferenceKind};

use super::desk::{Chrome, Desk, Place};
use super::pick::called;
use crate::command::status::{self, bytes};
use crate::failure;

struct Person {
    code: String,
    name: String,
    is_present: bool,
}

#[derive(Template)]
#[template(path = "device.html")]
struct DeviceView {
    chrome: Chrome,
    is_enrolled: bool,
    device: String,
    station: String,
    persons: Vec<Person>,
    lines: Vec<String>,
    records: usize,
    log: String,
    free: Option<String>,
    version: String,
    is_english: bool,
}

pub(super) async fn page(State(desk): State<Arc<Desk>>) -> Response {
    let diagnostics = match desk.client.diagnostics() {
        Ok(diagnostics) => diagnostics,
        Err(error) => return desk.unread(&error),
    };
    let (who, chrome) = (desk.whoami(), desk.chrome(Place::Device));
    let present = who.as_ref().and_then(|who| who.person.clone());
    let persons = who.iter().flat_map(|who| &who.persons).map(|role| Person {
        name: called(&desk, ReferenceKind::Person, &role.person),
        is_present: present.as_ref() == Some(&role.person),
        code: role.person.clone(),
    });
    desk.show(&DeviceView {
        is_enrolled: who.is_some(),
        device: who.as_ref().map(|who| who.device.clone()).unwrap_or_default(),
        station: who.as_ref().map(|who| called(&desk, ReferenceKind::Station, &who.station)).unwrap_or_default(),
        persons: persons.collect(),
        lines: status::troubles(&desk.client.status(), &diagnostics, chrome.m),
        records: diagnostics.records,
        log: bytes(diagnostics.log_bytes),
        free: diagnostics.free_bytes.map(bytes),
        version: diagnostics.core_version.clone(),
        is_english: desk.lang() == Lang::En,
        chrome,
    })
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Enrolling {
    ticket: String,
}

/// Makes the tablet one of an organisation's. A ticket copied with its command is taken as well.
pub(super) async fn enroll(State(desk): State<Arc<Desk>>, Posted(Enrolling { ticket }): Posted<Enrolling>) -> Response {
    let ticket = ticket.split_whitespace().last().unwrap_or_default();
    match desk.client.enroll(ticket).await {
        Ok(_) => {
            desk.shelf.forget();
            desk.tell();
            desk.go("/")
        }
        Err(error) => desk.told(StatusCode::CONFLICT, failure::of_enroll(&error, desk.messages())),
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Acting {
    person: String,
}

/// Another of the tablet's people goes on.
pub(super) async fn person(State(desk): State<Arc<Desk>>, Posted(Acting { person }): Posted<Acting>) -> Response {
    match desk.client.act_as(&person).await {
        Ok(()) => desk.go("/device"),
        Err(error) => desk.refused(&error),
    }
}

#[derive(Debug, serde::Deserialize)]
pub(super) struct Chosen {
    lang: String,
}

pub(super) async fn language(State(desk): State<Arc<Desk>>, Posted(Chosen { lang }): Posted<Chosen>) -> Response {
    desk.choose_lang(if lang == "en" { Lang::En } else { Lang::Zh });
    desk.go("/device")
}
