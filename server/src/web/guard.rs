//! What every request passes: a host that is ours, a bounded address, a free place; and the headers every answer gets.
//! A refusal is written out here, once, as whoever asked can read it.

use axum::extract::{Query, Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use qianmo_forms::Lang;

use super::{BehindProxy, Refusal, URI_BYTES_MAX, WebState};
use crate::pages;

/// Which `Host` headers are answered: a page elsewhere that points its name at this machine is not.
#[derive(Debug)]
pub(super) struct Hosts {
    proxy: BehindProxy,
}

impl Hosts {
    pub(super) const fn new(proxy: BehindProxy) -> Self {
        Self { proxy }
    }

    fn allows(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let Ok(host) = host.to_str() else { return false };
        match self.proxy {
            BehindProxy::Yes => !host.is_empty(),
            BehindProxy::No => is_local(host),
        }
    }
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port.
fn is_local(host: &str) -> bool {
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inner, port)) if port.is_empty() || port.starts_with(':') => inner,
        Some(_) => return false,
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    let is_address = name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    is_address || name.eq_ignore_ascii_case("localhost")
}

pub(super) async fn guard(State(state): State<WebState>, request: Request, next: Next) -> Response {
    let uri = request.uri().clone();
    let cookies: HeaderMap =
        request.headers().get_all(header::COOKIE).iter().map(|cookie| (header::COOKIE, cookie.clone())).collect();
    let mut response = judged(&state, request, next).await;
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        response =
            if is_for_programs(uri.path()) { refusal.to_json() } else { told(&state, &refusal, &uri, &cookies).await };
    }
    for (name, value) in qianmo_look::HEADERS {
        response.headers_mut().insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn is_for_programs(path: &str) -> bool {
    path.starts_with("/api/") || matches!(path, "/api" | "/healthz" | "/metrics")
}

/// A refusal for a person: another page to go to first, or what is wrong.
async fn told(state: &WebState, refusal: &Refusal, uri: &Uri, cookies: &HeaderMap) -> Response {
    // Which parameters there are does not matter any more, only the language.
    let pairs = Query::<Vec<(String, String)>>::try_from_uri(uri);
    let is_english = pairs.is_ok_and(|Query(pairs)| pairs.iter().any(|(name, value)| name == "lang" && value == "en"));
    let lang = if is_english { Lang::En } else { Lang::Zh };
    let first = if *refusal == Refusal::SignInFirst {
        pages::sign_in_address(uri, lang)
    } else if *refusal == Refusal::PasswordFirst {
        pages::account_address(lang)
    } else {
        // A page elsewhere that points its name at us must not learn who sits here; and a hub that cannot say is one trouble already.
        let signed = if *refusal == Refusal::WrongHost { None } else { state.signed(cookies).await.ok().flatten() };
        return pages::problem(state, refusal, lang, uri, signed.as_ref()).await;
    };
    match pages::go_on(&first, None) {
        Ok(response) => response,
        Err(refusal) => pages::problem(state, &refusal, lang, uri, None).await,
    }
}

async fn judged(state: &WebState, request: Request, next: Next) -> Response {
    if !state.shared.hosts.allows(request.headers()) {
        return Refusal::WrongHost.into_response();
    }
    let uri_bytes = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    if uri_bytes > URI_BYTES_MAX {
        return Refusal::AddressTooLong.into_response();
    }
    let is_form = *request.method() == Method::POST && !is_for_programs(request.uri().path());
    if !is_form && !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Refusal::ReadingOnly.into_response();
    }
    let Ok(_place) = state.shared.requests.try_acquire() else { return Refusal::Unavailable.into_response() };
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(proxy: BehindProxy, hosts: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(header::HOST, HeaderValue::from_static(host));
        }
        Hosts::new(proxy).allows(&headers)
    }

    #[test]
    fn only_this_machines_own_names_are_answered_to() {
        for host in ["127.0.0.1:8080", "localhost", "LOCALHOST:1", "[::1]:8080", "127.0.0.2"] {
            assert!(allows(BehindProxy::No, &[host]), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example", "[::1].evil", "192.0.2.1:80", "", "localhost.evil"] {
            assert!(!allows(BehindProxy::No, &[host]), "{host}");
        }
        assert!(!allows(BehindProxy::No, &[]));
        assert!(!allows(BehindProxy::No, &["localhost", "evil.example"]));
        assert!(allows(BehindProxy::Yes, &["hub.example.org"]));
    }
}
