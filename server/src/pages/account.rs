//! Signing in and out, and one's own account.

use askama::Template;
use axum::Form;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use qianmo_forms::Lang;

use super::form::Fields;
use super::{Chrome, address, rendered};
use crate::web::{Asked, NotChanged, NotIn, Refusal, Signed, WebState, from_our_own_page};

/// Where somebody goes who signed in and came from nowhere.
const HOME: &str = "/";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    chrome: Chrome,
    login: String,
    next: String,
    problem: Option<String>,
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    chrome: Chrome,
    login: String,
    person: String,
    must_change: bool,
    problem: Option<String>,
    is_changed: bool,
}

/// An address of this hub to go on to: nobody is sent elsewhere.
fn onward(next: Option<&str>) -> &str {
    let is_ours = |next: &&str| {
        next.starts_with('/') && !next.starts_with("//") && !next.contains(['\\', '\r', '\n']) && next.is_ascii()
    };
    next.filter(is_ours).unwrap_or(HOME)
}

/// Where somebody signs in who then goes on to this address.
pub(crate) fn sign_in_address(next: &Uri, lang: Lang) -> String {
    let next = next.path_and_query().map_or(HOME, |next| next.as_str());
    address(&format!("/sign-in?next={}", utf8_percent_encode(next, NON_ALPHANUMERIC)), lang)
}

/// One's own account.
pub(crate) fn account_address(lang: Lang) -> String {
    address("/account", lang)
}

/// Sends the browser on, with a cookie if there is a new one.
pub(crate) fn go_on(to: &str, cookie: Option<&str>) -> Result<Response, Refusal> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(to).map_err(|_| Refusal::NoPage)?);
    if let Some(cookie) = cookie {
        headers.insert(header::SET_COOKIE, HeaderValue::from_str(cookie).map_err(|_| Refusal::Internal)?);
    }
    Ok(response)
}

fn with_status(status: StatusCode, page: &impl Template) -> Result<Response, Refusal> {
    let mut response = rendered(page)?;
    *response.status_mut() = status;
    Ok(response)
}

pub(super) async fn sign_in_page(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["next", "lang"])?;
    let lang = asked.lang()?;
    let next = onward(asked.text("next")).to_owned();
    if state.signed(&headers).await?.is_some() {
        return go_on(&next, None);
    }
    let chrome = Chrome::new(&state, lang, "/sign-in");
    rendered(&SignInPage { chrome, login: String::new(), next, problem: None })
}

pub(super) async fn sign_in(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    from_our_own_page(&headers)?;
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let mut fields = Fields::read(pairs, &["login", "password", "next"])?;
    let login = fields.text("login").trim().to_owned();
    let next = onward(Some(fields.text("next"))).to_owned();
    let password = Zeroizing::new(fields.take("password"));
    let chrome = Chrome::new(&state, lang, "/sign-in");
    let words = chrome.words;
    match state.sign_in(&login, password).await? {
        Ok((cookie, may_review)) => {
            // Whoever decides begins with what waits, unless they were on their way to somewhere.
            let next =
                if may_review && matches!(next.as_str(), "/" | "/?lang=en") { address("/inbox", lang) } else { next };
            go_on(&next, Some(&cookie))
        }
        Err(fault) => {
            let (status, problem) = match fault {
                NotIn::Wrong => (StatusCode::UNAUTHORIZED, words.wrong_password.to_owned()),
                NotIn::Wait(seconds) => (StatusCode::TOO_MANY_REQUESTS, words.wait(seconds)),
            };
            with_status(status, &SignInPage { chrome, login, next, problem: Some(problem) })
        }
    }
}

pub(super) async fn sign_out(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let fields = Fields::read(pairs, &["csrf", "everywhere"])?;
    let signed = state.posted(&headers, fields.text("csrf")).await?;
    let cookie = if fields.text("everywhere") == "yes" {
        state.sign_out_everywhere(&signed).await?
    } else {
        state.sign_out(&signed)
    };
    go_on(&address("/sign-in", lang), Some(&cookie))
}

async fn account_view(
    state: &WebState,
    lang: Lang,
    signed: &Signed,
    problem: Option<String>,
    is_changed: bool,
) -> Result<AccountPage, Refusal> {
    let names = state.names().await?;
    let person = names.of(qianmo_forms::ReferenceKind::Person, signed.person().as_str());
    Ok(AccountPage {
        chrome: Chrome::new(state, lang, "/account").of(signed, &names),
        login: signed.login().to_string(),
        person: person.unwrap_or_else(|| signed.person().as_str()).to_owned(),
        must_change: signed.must_change(),
        problem,
        is_changed,
    })
}

pub(super) async fn account_page(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Refusal> {
    let asked = Asked::only(&uri, &["lang", "done"])?;
    let lang = asked.lang()?;
    let signed = state.visitor(&headers).await?;
    rendered(&account_view(&state, lang, &signed, None, asked.text("done").is_some()).await?)
}

pub(super) async fn change_password(
    State(state): State<WebState>,
    headers: HeaderMap,
    uri: Uri,
    Form(pairs): Form<Vec<(String, String)>>,
) -> Result<Response, Refusal> {
    let lang = Asked::only(&uri, &["lang"])?.lang()?;
    let mut fields = Fields::read(pairs, &["csrf", "present", "new", "again"])?;
    let signed = state.posted(&headers, fields.text("csrf")).await?;
    let (present, new) = (Zeroizing::new(fields.take("present")), Zeroizing::new(fields.take("new")));
    let again = Zeroizing::new(fields.take("again"));
    match state.change_password(&signed, present, new, &again).await? {
        Ok(cookie) => go_on(&address("/account?done=yes", lang), Some(&cookie)),
        Err(fault) => {
            let words = super::words::Words::of(lang);
            let (status, problem) = match fault {
                NotChanged::Wrong => (StatusCode::UNAUTHORIZED, words.wrong_present.to_owned()),
                NotChanged::Wait(seconds) => (StatusCode::TOO_MANY_REQUESTS, words.wait(seconds)),
                NotChanged::Differ => (StatusCode::UNPROCESSABLE_ENTITY, words.passwords_differ.to_owned()),
                NotChanged::Same => (StatusCode::UNPROCESSABLE_ENTITY, words.password_same.to_owned()),
                NotChanged::Weak(weak) => (StatusCode::UNPROCESSABLE_ENTITY, words.weak(weak)),
            };
            with_status(status, &account_view(&state, lang, &signed, Some(problem), false).await?)
        }
    }
}

/// A page with a state of its own.
pub(super) fn page_with(status: StatusCode, html: String) -> Response {
    (status, Html(html)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_on_to_another_host() {
        for ours in ["/", "/records/00ff", "/?state=pending&lang=en"] {
            assert_eq!(onward(Some(ours)), ours);
        }
        for foreign in
            ["", "//evil.example", "https://evil.example", "/\\evil.example", "records", "/a\r\nSet-Cookie: x"]
        {
            assert_eq!(onward(Some(foreign)), HOME, "{foreign}");
        }
        assert_eq!(onward(None), HOME);
    }
}
