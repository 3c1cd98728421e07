//! What the pages share: the open core, the shelf, the language; and the frame around every page.

use core::fmt::Display;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use qianmo_client_core::{Connectivity, FieldClient, SyncStatus, Whoami};
use qianmo_forms::vocabulary::Vocabulary;
use qianmo_forms::{Date, FormSet, Lang};
use tokio::sync::watch;

use super::About;
use super::door::Key;
use super::shelf::Shelf;
use super::words;
use crate::clock;
use crate::failure::{self, Told};
use crate::message::Messages;

/// The file with what this tablet's pages remember between starts.
const SETTINGS: &str = "ui-settings.json";

/// The pages' common ground.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) client: FieldClient,
    pub(super) forms: Arc<FormSet>,
    /// What people call things; `None` if the shipped words cannot be read, and then only the words themselves are found.
    pub(super) vocabulary: Option<Vocabulary>,
    pub(super) folder: PathBuf,
    pub(super) key: Key,
    pub(super) port: u16,
    pub(super) shelf: Shelf,
    /// Counts what happened, for pages that are open.
    pub(super) news: watch::Sender<u64>,
    now_ms: Option<i64>,
    settings: Mutex<Settings>,
}

/// What is remembered between starts.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
struct Settings {
    /// The language of the pages; that of the command line if nobody chose.
    lang: Option<String>,
    /// Whether the person asked for silence: nothing is sent or fetched.
    offline: bool,
}

impl Desk {
    pub(super) fn open(about: About, key: Key, port: u16) -> Arc<Self> {
        let About { client, lang, folder, now_ms } = about;
        let mut settings: Settings = std::fs::read(folder.join(SETTINGS))
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        settings.lang.get_or_insert_with(|| lang_code(lang).to_owned());
        let connectivity = if settings.offline { Connectivity::Offline } else { Connectivity::Unmetered };
        client.set_connectivity(connectivity);
        Arc::new(Self {
            forms: client.forms(),
            client,
            vocabulary: Vocabulary::built_in().ok(),
            folder,
            key,
            port,
            shelf: Shelf::default(),
            news: watch::Sender::new(0),
            now_ms,
            settings: Mutex::new(settings),
        })
    }

    /// Sees that the shelf is read. The first look takes as long as reading takes, on a thread that may block.
    pub(super) async fn filled(self: &Arc<Self>) -> Result<(), Box<Response>> {
        let desk = Arc::clone(self);
        match tokio::task::spawn_blocking(move || desk.shelf.fill(&desk.client, &desk.forms)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Box::new(self.unread(&error))),
            Err(_) => Err(Box::new(self.problem(StatusCode::INTERNAL_SERVER_ERROR, "ui-broken", Vec::new()))),
        }
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers. A folder that takes no more keeps the pages working, with what was chosen until they end.
    fn remember(&self, change: impl FnOnce(&mut Settings)) {
        let mut settings = self.settings();
        change(&mut settings);
        let written = serde_json::to_vec(&*settings)
            .map_err(std::io::Error::other)
            .and_then(|bytes| std::fs::write(self.folder.join(SETTINGS), bytes));
        if let Err(error) = written {
            tracing::warn!(%error, "the settings of the pages could not be written");
        }
    }

    pub(super) fn lang(&self) -> Lang {
        if self.settings().lang.as_deref() == Some("en") { Lang::En } else { Lang::Zh }
    }

    pub(super) fn messages(&self) -> Messages {
        Messages::new(self.lang())
    }

    pub(super) fn choose_lang(&self, lang: Lang) {
        self.remember(|settings| settings.lang = Some(lang_code(lang).to_owned()));
    }

    pub(super) fn is_offline(&self) -> bool {
        self.settings().offline
    }

    pub(super) fn set_offline(&self, is_offline: bool) {
        self.remember(|settings| settings.offline = is_offline);
        self.client.set_connectivity(if is_offline { Connectivity::Offline } else { Connectivity::Unmetered });
        self.tell();
    }

    pub(super) fn now_ms(&self) -> i64 {
        self.now_ms.unwrap_or_else(|| jiff::Timestamp::now().as_millisecond())
    }

    pub(super) fn today(&self) -> Option<Date> {
        clock::today(self.now_ms())
    }

    /// Open pages look again.
    pub(super) fn tell(&self) {
        self.news.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The address of a page.
    pub(super) fn at(&self, path: &str) -> String {
        format!("/{}{path}", self.key.text())
    }

    /// After an act, the page to look at.
    pub(super) fn go(&self, path: &str) -> Response {
        Redirect::to(&self.at(path)).into_response()
    }

    pub(super) fn whoami(&self) -> Option<Whoami> {
        self.client.whoami().ok().flatten()
    }

    /// The frame of a page.
    pub(super) fn chrome(&self, here: Place) -> Chrome {
        let m = self.messages();
        let status = self.client.status();
        let who = self.whoami();
        let places = [Place::Home, Place::Records, Place::Find, Place::Device];
        let link = |place: Place| Link {
            address: self.at(place.path()),
            text: m.text(place.message()),
            is_here: place == here,
        };
        Chrome {
            m,
            base: self.at(""),
            tag: tag(m),
            organisation: who.map(|who| who.org_name).unwrap_or_default(),
            places: places.map(link).into(),
            state: State::of(self, &status, m),
        }
    }

    /// A page as an answer.
    pub(super) fn show(&self, view: &impl Template) -> Response {
        match view.render() {
            Ok(page) => Html(page).into_response(),
            Err(error) => {
                tracing::error!(%error, "a page could not be written");
                (StatusCode::INTERNAL_SERVER_ERROR, self.messages().text("ui-broken")).into_response()
            }
        }
    }

    /// Something that did not work, with what to do next; what was typed is in the draft.
    pub(super) fn problem(&self, status: StatusCode, what: &str, next: Vec<String>) -> Response {
        let chrome = self.chrome(Place::None);
        let view = ProblemView { title: chrome.m.text(what), details: Vec::new(), next, chrome };
        (status, self.show(&view)).into_response()
    }

    pub(super) fn told(&self, status: StatusCode, told: Told) -> Response {
        let view =
            ProblemView { chrome: self.chrome(Place::None), title: told.what, details: told.details, next: told.next };
        (status, self.show(&view)).into_response()
    }

    /// An act that the core refused.
    pub(super) fn refused(&self, error: &qianmo_client_core::WriteError) -> Response {
        self.told(StatusCode::CONFLICT, failure::of_write(error, self.messages()))
    }

    pub(super) fn unread(&self, error: &qianmo_client_core::ReadError) -> Response {
        self.told(StatusCode::INTERNAL_SERVER_ERROR, failure::of_read(error, self.messages()))
    }
}

const fn lang_code(lang: Lang) -> &'static str {
    match lang {
        Lang::Zh => "zh",
        Lang::En => "en",
    }
}

/// The language of a page for its reader's machine.
pub(super) const fn tag(messages: Messages) -> &'static str {
    match messages.lang() {
        Lang::Zh => "zh-CN",
        Lang::En => "en",
    }
}

/// The pages of the bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Home,
    Records,
    Find,
    Device,
    None,
}

impl Place {
    const fn path(self) -> &'static str {
        match self {
            Self::Home | Self::None => "/",
            Self::Records => "/records",
            Self::Find => "/find",
            Self::Device => "/device",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Self::Home | Self::None => "ui-home",
            Self::Records => "ui-records",
            Self::Find => "ui-find",
            Self::Device => "ui-device",
        }
    }
}

pub(super) struct Link {
    pub(super) address: String,
    pub(super) text: String,
    pub(super) is_here: bool,
}

/// What every page has around it.
pub(super) struct Chrome {
    pub(super) m: Messages,
    pub(super) base: String,
    pub(super) tag: &'static str,
    pub(super) organisation: String,
    pub(super) places: Vec<Link>,
    pub(super) state: State,
}

impl Chrome {
    pub(super) fn say(&self, key: &str) -> String {
        self.m.text(key)
    }

    pub(super) fn at(&self, path: impl Display) -> String {
        format!("{}{path}", self.base)
    }
}

/// Where things stand, in a line of words.
pub(super) struct State {
    pub(super) text: String,
    pub(super) class: &'static str,
    pub(super) detail: Option<String>,
    pub(super) is_offline: bool,
    pub(super) is_enrolled: bool,
    pub(super) is_running: bool,
}

impl State {
    pub(super) fn of(desk: &Desk, status: &SyncStatus, m: Messages) -> Self {
        let is_offline = desk.is_offline();
        let (text, class) = words::state(status, is_offline, desk.now_ms(), m);
        Self {
            text,
            class,
            detail: words::trouble(status, m),
            is_offline,
            is_enrolled: status.enrolled,
            is_running: status.phase == qianmo_client_core::SyncPhase::Running,
        }
    }
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemView {
    chrome: Chrome,
    title: String,
    details: Vec<String>,
    next: Vec<String>,
}
