//! Who may ask. The pages show personal data to whoever reaches the port, so a request must show three things:
//!
//! - the **key** of this start, the first part of the path: 128 random bits that only the browser opened here knows. Not a
//!   cookie: a browser gives a cookie of 127.0.0.1 to every other program's port as well;
//! - a **host** that is this address: a page elsewhere that points its own name at this machine is turned away;
//! - for an act, our own **origin**.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Response};
use rand::RngCore as _;
use sha2::{Digest as _, Sha256};

use super::desk::Desk;
use crate::message::Messages;

const KEY_BYTES: usize = 16;
/// Longest address: a search of some hundred characters, each written as nine.
const URI_BYTES_MAX: usize = 8 * 1024;

/// The key of one start.
pub(super) struct Key {
    text: String,
    digest: [u8; 32],
}

impl Key {
    pub(super) fn fresh() -> Self {
        let mut bytes = [0; KEY_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self::of(&bytes)
    }

    fn of(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let digest = Sha256::digest(text.as_bytes()).into();
        Self { text, digest }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Digests are compared, so how long it takes says nothing of how much was right.
    fn is(&self, said: &str) -> bool {
        let said: [u8; 32] = Sha256::digest(said.as_bytes()).into();
        said == self.digest
    }
}

impl core::fmt::Debug for Key {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Key(..)")
    }
}

/// Why a request is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No key, or that of an earlier start.
    WrongKey,
    WrongHost,
    WrongOrigin,
    AddressTooLong,
}

pub(super) async fn guard(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Response {
    let refusal = judge(&desk.key, desk.port, &request);
    let mut response = match refusal {
        Ok(()) => next.run(request).await,
        Err(refusal) => turned_away(refusal, desk.messages()),
    };
    for (name, value) in qianmo_look::HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn judge(key: &Key, port: u16, request: &Request<Body>) -> Result<(), Refusal> {
    let uri = request.uri();
    if uri.path_and_query().is_some_and(|text| text.as_str().len() > URI_BYTES_MAX) {
        return Err(Refusal::AddressTooLong);
    }
    let ours = [format!("127.0.0.1:{port}"), format!("localhost:{port}")];
    if !only(request.headers(), &header::HOST).is_some_and(|host| ours.iter().any(|our| our == host)) {
        return Err(Refusal::WrongHost);
    }
    if !uri.path().split('/').nth(1).is_some_and(|said| key.is(said)) {
        return Err(Refusal::WrongKey);
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let origin = only(request.headers(), &header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if !origin.is_some_and(|host| ours.iter().any(|our| our == host)) {
            return Err(Refusal::WrongOrigin);
        }
    }
    Ok(())
}

/// The value of a header that is there exactly once.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        (_, _) => None,
    }
}

/// A page that needs nothing: whoever sees it may be nobody of ours.
#[derive(Template)]
#[template(path = "shut.html")]
struct ShutView {
    tag: &'static str,
    title: String,
    next: String,
}

fn turned_away(refusal: Refusal, messages: Messages) -> Response {
    let (status, what, next) = match refusal {
        Refusal::WrongKey => (StatusCode::FORBIDDEN, "ui-shut-key", "ui-shut-key-next"),
        Refusal::WrongHost | Refusal::WrongOrigin => (StatusCode::FORBIDDEN, "ui-shut-foreign", "ui-shut-key-next"),
        Refusal::AddressTooLong => (StatusCode::URI_TOO_LONG, "ui-shut-long", "ui-shut-long-next"),
    };
    let view = ShutView { tag: super::desk::tag(messages), title: messages.text(what), next: messages.text(next) };
    let page = view.render().unwrap_or_else(|_broken| view.title.clone());
    (status, Html(page)).into_response()
}

/// There is no such page.
pub(super) async fn no_page(State(desk): State<Arc<Desk>>) -> Response {
    desk.problem(StatusCode::NOT_FOUND, "ui-no-page", Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: u16 = 7440;

    fn asked(method: Method, path: &str, headers: &[(HeaderName, &str)]) -> Result<(), Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        judge(&Key::of(b"0123456789abcdef"), PORT, &request.body(Body::empty()).unwrap())
    }

    fn with_key(rest: &str) -> String {
        format!("/{}{rest}", Key::of(b"0123456789abcdef").text())
    }

    #[test]
    fn page_is_shown_to_who_has_the_key_of_this_start_only() {
        let host = [(header::HOST, "127.0.0.1:7440")];
        assert_eq!(asked(Method::GET, &with_key("/"), &host), Ok(()));
        assert_eq!(asked(Method::GET, &with_key("/records?q=1"), &[(header::HOST, "localhost:7440")]), Ok(()));
        for path in ["/", "//", "/records", "/00000000000000000000000000000000/", &with_key("0/")] {
            assert_eq!(asked(Method::GET, path, &host), Err(Refusal::WrongKey), "{path}");
        }
    }

    #[test]
    fn host_other_than_this_address_is_turned_away() {
        for host in ["evil.example", "127.0.0.1", "127.0.0.1:7441", "localhost.evil:7440", ""] {
            assert_eq!(asked(Method::GET, &with_key("/"), &[(header::HOST, host)]), Err(Refusal::WrongHost), "{host}");
        }
        assert_eq!(asked(Method::GET, &with_key("/"), &[]), Err(Refusal::WrongHost));
        let two = [(header::HOST, "127.0.0.1:7440"), (header::HOST, "evil.example")];
        assert_eq!(asked(Method::GET, &with_key("/"), &two), Err(Refusal::WrongHost));
    }

    #[test]
    fn act_is_done_for_our_own_pages_only() {
        let host = (header::HOST, "127.0.0.1:7440");
        let ours = [host.clone(), (header::ORIGIN, "http://127.0.0.1:7440")];
        assert_eq!(asked(Method::POST, &with_key("/sync"), &ours), Ok(()));
        for origin in ["null", "http://evil.example", "https://127.0.0.1:7440", "http://127.0.0.1:1"] {
            let headers = [host.clone(), (header::ORIGIN, origin)];
            assert_eq!(asked(Method::POST, &with_key("/sync"), &headers), Err(Refusal::WrongOrigin), "{origin}");
        }
        assert_eq!(asked(Method::POST, &with_key("/sync"), &[host]), Err(Refusal::WrongOrigin));
    }
}
