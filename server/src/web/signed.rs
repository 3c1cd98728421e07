//! Signing in and out, and who asks: a cookie becomes a person with what they may do now.

use std::collections::BTreeSet;

use axum::http::{HeaderMap, header};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use qianmo_protocol::control::{Role, Scope};
use qianmo_protocol::ids::{Code, PersonCode, StationCode};

use super::sign_in::{Sessions, Token};
use super::{BehindProxy, Refusal, WebState};
use crate::password::{self, PasswordHash, WeakPassword};
use crate::projection::Sight;
use crate::registry::{AccountError, AccountStanding};
use crate::server::wall_clock;

/// Most passwords that are hashed at a time: each takes 19 MiB.
const HASHED_AT_A_TIME: usize = 2;

/// What the pages know of sessions.
#[derive(Debug)]
pub(super) struct Door {
    sessions: Sessions,
    hashing: Semaphore,
    /// Compared with when there is no such account, so that an answer takes as long as with one.
    nobody: Option<PasswordHash>,
}

/// Somebody who is signed in.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    token: Token,
    standing: AccountStanding,
}

/// Why nobody is signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotIn {
    /// The name or the password is wrong, or the account is closed: which one is nobody's business.
    Wrong,
    /// Too many wrong ones; seconds to wait.
    Wait(i64),
}

/// Why a password was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotChanged {
    /// The present one is wrong.
    Wrong,
    /// Too many wrong ones; seconds to wait.
    Wait(i64),
    /// The two new ones differ.
    Differ,
    /// The new one is the present one.
    Same,
    /// The new one is weak.
    Weak(WeakPassword),
}

impl Default for Door {
    fn default() -> Self {
        Self {
            sessions: Sessions::default(),
            hashing: Semaphore::new(HASHED_AT_A_TIME),
            nobody: PasswordHash::of(&password::fresh()).ok(),
        }
    }
}

impl Signed {
    pub(crate) const fn person(&self) -> &PersonCode {
        &self.standing.account.person
    }

    pub(crate) const fn login(&self) -> &Code {
        &self.standing.account.login
    }

    pub(crate) const fn must_change(&self) -> bool {
        self.standing.account.must_change
    }

    /// What forms carry.
    pub(crate) fn csrf(&self) -> String {
        self.token.csrf()
    }

    /// Whether the person has one of these roles at a station.
    fn has(&self, roles: &[Role], station: Option<&StationCode>) -> bool {
        self.standing.grants.iter().any(|grant| {
            let is_there = match (&grant.scope, station) {
                (Scope::District, _) => true,
                (Scope::Stations(stations), Some(station)) => stations.contains(station),
                (Scope::Stations(_), None) => false,
            };
            is_there && roles.contains(&grant.role)
        })
    }

    /// Whether the person may decide on records of a station, or on what is the whole organisation's. The gate judges it
    /// again: administrators look after devices and directories, and decide on no station's records.
    pub(crate) fn may_decide(&self, station: Option<&StationCode>) -> bool {
        match station {
            Some(_) => self.has(&[Role::Coordinator], station),
            None => self.has(&[Role::Coordinator, Role::Admin], None),
        }
    }

    /// Whether the person sees what waits for a decision anywhere, and looks after the tablets there.
    pub(crate) fn may_review(&self) -> bool {
        self.deciding().next().is_some()
    }

    /// Whether the person decides on records of any station.
    pub(crate) fn may_approve(&self) -> bool {
        self.standing.grants.iter().any(|grant| grant.role == Role::Coordinator)
    }

    fn deciding(&self) -> impl Iterator<Item = &Scope> {
        let grants = self.standing.grants.iter();
        grants.filter(|grant| matches!(grant.role, Role::Coordinator | Role::Admin)).map(|grant| &grant.scope)
    }

    /// Whose personal data the person may see: of the stations on whose records they decide, once nobody else knows their
    /// password.
    pub(crate) fn sight(&self) -> Sight {
        if self.must_change() { Sight::Nobody } else { self.scope_of_deciding() }
    }

    fn scope_of_deciding(&self) -> Sight {
        let mut stations = BTreeSet::new();
        for scope in self.deciding() {
            let Scope::Stations(some) = scope else { return Sight::District };
            stations.extend(some.iter().cloned());
        }
        if stations.is_empty() { Sight::Nobody } else { Sight::Stations(stations) }
    }

    /// The only station on whose records the person decides, if it is just one.
    pub(crate) fn only_station(&self) -> Option<StationCode> {
        match self.scope_of_deciding() {
            Sight::Stations(stations) if stations.len() == 1 => stations.into_iter().next(),
            Sight::Stations(_) | Sight::Nobody | Sight::District => None,
        }
    }

    /// Whether the person keeps the devices of the whole district.
    pub(crate) fn may_keep_fleet(&self) -> bool {
        self.has(&[Role::Coordinator, Role::Admin], None)
    }

    /// Whether the person is an administrator of the district.
    pub(crate) fn is_admin(&self) -> bool {
        self.has(&[Role::Admin], None)
    }

    /// Whether the person may comment on records of a station.
    pub(crate) fn may_speak(&self, station: Option<&StationCode>) -> bool {
        self.has(&[Role::Coordinator, Role::Admin, Role::Expert, Role::Technician], station)
    }
}

impl WebState {
    fn is_tls(&self) -> bool {
        matches!(self.shared.proxy, BehindProxy::Yes)
    }

    /// Who asks, if somebody is signed in.
    pub(crate) async fn signed(&self, headers: &HeaderMap) -> Result<Option<Signed>, Refusal> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let Some(token) = cookies.into_iter().find_map(Token::of_cookies) else { return Ok(None) };
        let Some(session) = self.shared.door.sessions.find(&token, wall_clock()) else { return Ok(None) };
        let login = session.login.clone();
        let standing = self.ask(move |core| core.account(&login)).await?.map_err(|error| unreadable(&error))?;
        let standing =
            standing.filter(|standing| !standing.account.is_closed && session.began >= standing.account.sessions_since);
        if standing.is_none() {
            self.shared.door.sessions.end(&token);
        }
        Ok(standing.map(|standing| Signed { token, standing }))
    }

    /// Who asks for a page that is for people who are signed in.
    pub(crate) async fn visitor(&self, headers: &HeaderMap) -> Result<Signed, Refusal> {
        self.signed(headers).await?.ok_or(Refusal::SignInFirst)
    }

    /// Who sends a form of ours.
    pub(crate) async fn posted(&self, headers: &HeaderMap, csrf: &str) -> Result<Signed, Refusal> {
        from_our_own_page(headers)?;
        let signed = self.signed(headers).await?.ok_or(Refusal::SignedOut)?;
        if !signed.token.is_csrf(csrf) {
            return Err(Refusal::NotOurForm);
        }
        Ok(signed)
    }

    /// Who acts by a form of ours, with a password of their own.
    pub(crate) async fn acting(&self, headers: &HeaderMap, csrf: &str) -> Result<Signed, Refusal> {
        let signed = self.posted(headers, csrf).await?;
        if signed.must_change() { Err(Refusal::PasswordFirst) } else { Ok(signed) }
    }

    /// Who acts by a form of ours and keeps the affairs of the whole district.
    pub(crate) async fn keeper(&self, headers: &HeaderMap, csrf: &str) -> Result<Signed, Refusal> {
        let signed = self.acting(headers, csrf).await?;
        if signed.may_keep_fleet() { Ok(signed) } else { Err(Refusal::NotAllowed) }
    }

    /// Signs in, and answers the cookie, and whether this is somebody for whom records wait.
    pub(crate) async fn sign_in(
        &self,
        login: &str,
        password: Zeroizing<String>,
    ) -> Result<Result<(String, bool), NotIn>, Refusal> {
        let now = wall_clock();
        let sessions = &self.shared.door.sessions;
        let wait = sessions.wait_of(login, now);
        if wait > 0 {
            return Ok(Err(NotIn::Wait(wait.div_euclid(1_000).saturating_add(1))));
        }
        let standing = match Code::new(login).ok() {
            Some(code) => self.ask(move |core| core.account(&code)).await?.map_err(|error| unreadable(&error))?,
            None => None,
        };
        let known = standing.filter(|standing| !standing.account.is_closed);
        let hash =
            known.as_ref().map(|known| known.account.password.clone()).or_else(|| self.shared.door.nobody.clone());
        let is_right = match hash {
            Some(hash) => self.hashed(move || hash.is_of(&password)).await?,
            None => false,
        };
        match (is_right, known) {
            (true, Some(known)) => {
                sessions.was_right(login);
                tracing::info!(login, "somebody signed in");
                let decides = known.grants.iter().any(|grant| grant.role == Role::Coordinator);
                let cookie = sessions.begin(&known.account.login, wall_clock()).cookie(self.is_tls());
                Ok(Ok((cookie, decides)))
            }
            _ => {
                sessions.was_wrong(login, now);
                tracing::warn!(login = %login.chars().take(32).collect::<String>(), "a sign-in failed");
                Ok(Err(NotIn::Wrong))
            }
        }
    }

    /// Signs out, and answers the cookie that says so.
    pub(crate) fn sign_out(&self, signed: &Signed) -> String {
        self.shared.door.sessions.end(&signed.token);
        super::sign_in::no_cookie(self.is_tls())
    }

    /// Ends every session of an account. Whoever asked signs in again.
    pub(crate) async fn sign_out_everywhere(&self, signed: &Signed) -> Result<String, Refusal> {
        let (login, now) = (signed.login().clone(), wall_clock());
        self.change(login, move |account| account.sessions_since = now).await?;
        Ok(self.sign_out(signed))
    }

    /// Changes a password and ends every other session, and answers the new cookie.
    pub(crate) async fn change_password(
        &self,
        signed: &Signed,
        present: Zeroizing<String>,
        new: Zeroizing<String>,
        again: &str,
    ) -> Result<Result<String, NotChanged>, Refusal> {
        let (login, now) = (signed.login().clone(), wall_clock());
        let sessions = &self.shared.door.sessions;
        let wait = sessions.wait_of(login.as_str(), now);
        if wait > 0 {
            return Ok(Err(NotChanged::Wait(wait.div_euclid(1_000).saturating_add(1))));
        }
        if *new != *again {
            return Ok(Err(NotChanged::Differ));
        }
        if let Err(weak) = password::check(login.as_str(), &new) {
            return Ok(Err(NotChanged::Weak(weak)));
        }
        if *new == *present {
            return Ok(Err(NotChanged::Same));
        }
        let hash = signed.standing.account.password.clone();
        let made = self.hashed(move || hash.is_of(&present).then(|| PasswordHash::of(&new)).transpose()).await?;
        let made = made.map_err(|error| {
            tracing::error!(%error, "a password could not be hashed");
            Refusal::Internal
        })?;
        let Some(hash) = made else {
            sessions.was_wrong(login.as_str(), now);
            return Ok(Err(NotChanged::Wrong));
        };
        let since = wall_clock();
        self.change(login.clone(), move |account| {
            account.password = hash;
            account.must_change = false;
            account.sessions_since = since;
        })
        .await?;
        sessions.end(&signed.token);
        Ok(Ok(sessions.begin(&login, since).cookie(self.is_tls())))
    }

    async fn change(
        &self,
        login: Code,
        change: impl FnOnce(&mut crate::registry::Account) + Send + 'static,
    ) -> Result<(), Refusal> {
        let done = self.tell(move |core, _| core.change_account(&login, change)).await?;
        done.map_err(|error| unreadable(&error))
    }

    /// Hashes on a thread that may block, few at a time.
    async fn hashed<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        let waiting = tokio::time::timeout(super::ANSWER_WITHIN, self.shared.door.hashing.acquire());
        let Ok(Ok(_place)) = waiting.await else { return Err(Refusal::Unavailable) };
        tokio::task::spawn_blocking(work).await.map_err(|_| Refusal::Internal)
    }
}

/// A form that a page elsewhere sends says where it is from.
pub(crate) fn from_our_own_page(headers: &HeaderMap) -> Result<(), Refusal> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text(header::HOST).unwrap_or_default();
    let is_ours = text(header::ORIGIN)
        .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, from)| from.eq_ignore_ascii_case(host)));
    if is_ours { Ok(()) } else { Err(Refusal::NotOurForm) }
}

fn unreadable(error: &AccountError) -> Refusal {
    tracing::error!(error = error as &dyn core::error::Error, "the accounts could not be read or written");
    Refusal::Internal
}
