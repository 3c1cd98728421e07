//! Who is signed in: sessions, their cookie, and what keeps guessing slow.
//!
//! A session is a random token in a cookie; only its hash is kept, in memory, so that a restart of the hub signs everybody
//! out. A form carries a second token that follows from the first, so that a page elsewhere cannot send it (CSRF).
//!
//! # Limits
//!
//! [`IDLE_MS_MAX`], [`SESSION_MS_MAX`], [`SESSIONS_MAX`], [`FREE_TRIES`], [`WAIT_MS_MAX`], `NAMES_MAX`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use data_encoding::BASE64URL_NOPAD;
use rand::RngCore as _;

use qianmo_protocol::ids::{Code, digest32};
use qianmo_protocol::time::UnixMillis;

/// How long a session lives without being used.
pub(super) const IDLE_MS_MAX: i64 = 2 * 3_600_000;
/// How long a session lives at most: a working day.
pub(super) const SESSION_MS_MAX: i64 = 12 * 3_600_000;
/// Most sessions of all people; the one that was idle longest ends for a new one.
pub(super) const SESSIONS_MAX: usize = 10_000;
/// Wrong passwords of one name that cost nothing.
pub(super) const FREE_TRIES: u32 = 5;
/// The longest that a name is locked. It begins with [`FIRST_WAIT_MS`] and doubles.
pub(super) const WAIT_MS_MAX: i64 = 15 * 60_000;
const FIRST_WAIT_MS: i64 = 15_000;
/// Most names whose wrong passwords are counted at a time.
const NAMES_MAX: usize = 10_000;
const COOKIE: &str = "qianmo";
const TOKEN_BYTES: usize = 32;
const SESSION_DOMAIN: &str = "qianmo web session v1";
const CSRF_DOMAIN: &str = "qianmo web csrf v1";
const NAME_DOMAIN: &str = "qianmo web name v1";

/// The secret of a session, as the browser holds it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token([u8; TOKEN_BYTES]);

/// A session that is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    /// Whose.
    pub(crate) login: Code,
    /// When it began.
    pub(crate) began: UnixMillis,
    seen: UnixMillis,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    tries: u32,
    until: UnixMillis,
}

/// Every session of this hub.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    alive: Mutex<BTreeMap<[u8; 32], Session>>,
    /// By the digest of the name: whoever types a long one keeps no more memory than others.
    wrong: Mutex<BTreeMap<[u8; 32], Wrong>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl core::fmt::Debug for Token {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn fresh() -> Self {
        let mut bytes = [0; TOKEN_BYTES];
        rand::rng().fill_bytes(&mut bytes);
        Self(bytes)
    }

    fn key(&self) -> [u8; 32] {
        digest32(SESSION_DOMAIN, &[&self.0])
    }

    /// What forms of this session carry.
    pub(crate) fn csrf(&self) -> String {
        BASE64URL_NOPAD.encode(&digest32(CSRF_DOMAIN, &[&self.0]))
    }

    /// Whether a form is of this session.
    pub(crate) fn is_csrf(&self, given: &str) -> bool {
        // Of a hash, so that how long comparing takes says nothing of use.
        digest32(CSRF_DOMAIN, &[given.as_bytes()]) == digest32(CSRF_DOMAIN, &[self.csrf().as_bytes()])
    }

    /// The token in a `Cookie` header.
    pub(crate) fn of_cookies(header: &str) -> Option<Self> {
        let value = header.split(';').find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))?;
        let bytes = BASE64URL_NOPAD.decode(value.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// The `Set-Cookie` header that hands it out.
    pub(crate) fn cookie(&self, is_tls: bool) -> String {
        set_cookie(&BASE64URL_NOPAD.encode(&self.0), SESSION_MS_MAX / 1_000, is_tls)
    }
}

/// The `Set-Cookie` header that takes it back.
pub(crate) fn no_cookie(is_tls: bool) -> String {
    set_cookie("", 0, is_tls)
}

fn set_cookie(value: &str, seconds: i64, is_tls: bool) -> String {
    let secure = if is_tls { "; Secure" } else { "" };
    format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

fn name_key(login: &str) -> [u8; 32] {
    digest32(NAME_DOMAIN, &[login.as_bytes()])
}

impl Sessions {
    /// Begins a session.
    pub(crate) fn begin(&self, login: &Code, now: UnixMillis) -> Token {
        let token = Token::fresh();
        let mut alive = locked(&self.alive);
        alive.retain(|_, session| is_alive(session, now));
        if alive.len() >= SESSIONS_MAX {
            let idle = alive.iter().min_by_key(|(_, session)| session.seen).map(|(key, _)| *key);
            idle.map(|key| alive.remove(&key));
        }
        alive.insert(token.key(), Session { login: login.clone(), began: now, seen: now });
        token
    }

    /// The session of a token, which is used now.
    pub(crate) fn find(&self, token: &Token, now: UnixMillis) -> Option<Session> {
        let mut alive = locked(&self.alive);
        let key = token.key();
        let session = alive.get_mut(&key)?;
        if !is_alive(session, now) {
            alive.remove(&key);
            return None;
        }
        session.seen = now;
        Some(session.clone())
    }

    /// Ends a session.
    pub(crate) fn end(&self, token: &Token) {
        locked(&self.alive).remove(&token.key());
    }

    /// How long a name has to wait before its next try, in milliseconds; zero when it need not.
    pub(crate) fn wait_of(&self, login: &str, now: UnixMillis) -> i64 {
        let wrong = locked(&self.wrong);
        wrong.get(&name_key(login)).map_or(0, |wrong| wrong.until.0.saturating_sub(now.0).clamp(0, WAIT_MS_MAX))
    }

    /// A password was wrong, or there is no such name: both are counted alike.
    pub(crate) fn was_wrong(&self, login: &str, now: UnixMillis) {
        let (mut wrong, name) = (locked(&self.wrong), name_key(login));
        if wrong.len() >= NAMES_MAX && !wrong.contains_key(&name) {
            wrong.retain(|_, one| one.until > now);
            // Whoever fills the list with names is slowed by what hashing costs.
            if wrong.len() >= NAMES_MAX {
                return;
            }
        }
        let one = wrong.entry(name).or_insert(Wrong { tries: 0, until: now });
        one.tries = one.tries.saturating_add(1);
        let doublings = one.tries.saturating_sub(FREE_TRIES).min(16);
        if doublings > 0 {
            let wait = FIRST_WAIT_MS.saturating_mul(1_i64 << (doublings - 1)).min(WAIT_MS_MAX);
            one.until = UnixMillis(now.0.saturating_add(wait));
        }
    }

    /// A password was right.
    pub(crate) fn was_right(&self, login: &str) {
        locked(&self.wrong).remove(&name_key(login));
    }
}

fn is_alive(session: &Session, now: UnixMillis) -> bool {
    let age = now.0.saturating_sub(session.began.0);
    let idle = now.0.saturating_sub(session.seen.0);
    // A clock that went back ends nothing early.
    age < SESSION_MS_MAX && idle < IDLE_MS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_760_000_000_000);

    fn later(ms: i64) -> UnixMillis {
        UnixMillis(NOW.0 + ms)
    }

    fn login() -> Code {
        Code::new("P30").unwrap()
    }

    #[test]
    fn session_lives_while_it_is_used_and_no_longer_than_a_day() {
        let sessions = Sessions::default();
        let token = sessions.begin(&login(), NOW);
        assert!(sessions.find(&token, later(IDLE_MS_MAX - 1)).is_some());
        assert!(sessions.find(&token, later(2 * IDLE_MS_MAX)).is_none(), "idle for too long");
        assert!(sessions.find(&token, NOW).is_none(), "it is gone for good");
        let token = sessions.begin(&login(), NOW);
        let mut at = 0;
        while at < SESSION_MS_MAX - IDLE_MS_MAX {
            at += IDLE_MS_MAX / 2;
            assert!(sessions.find(&token, later(at)).is_some());
        }
        assert!(sessions.find(&token, later(SESSION_MS_MAX)).is_none());
        let token = sessions.begin(&login(), NOW);
        sessions.end(&token);
        assert!(sessions.find(&token, NOW).is_none());
    }

    #[test]
    fn token_is_read_back_from_its_cookie_among_others_and_from_nothing_else() {
        let token = Token::fresh();
        let cookie = token.cookie(true);
        assert!(cookie.ends_with("; HttpOnly; SameSite=Lax; Max-Age=43200; Secure"), "{cookie}");
        let pair = cookie.split(';').next().unwrap();
        assert_eq!(Token::of_cookies(&format!("a=b; {pair}; c=d")), Some(token.clone()));
        for header in ["", "qianmo=", "qianmo", "qianmo=%%%", "xqianmo=AAAA", "qianmo=AAAA"] {
            assert_eq!(Token::of_cookies(header), None, "{header}");
        }
        assert!(token.is_csrf(&token.csrf()));
        assert!(!token.is_csrf(&Token::fresh().csrf()));
        assert!(!token.is_csrf(""));
    }

    #[test]
    fn guessing_is_free_five_times_and_then_slower_and_slower() {
        let sessions = Sessions::default();
        for _ in 0..FREE_TRIES {
            assert_eq!(sessions.wait_of("P30", NOW), 0);
            sessions.was_wrong("P30", NOW);
        }
        assert_eq!(sessions.wait_of("P30", NOW), 0);
        let mut waits = Vec::new();
        for _ in 0..10 {
            sessions.was_wrong("P30", NOW);
            waits.push(sessions.wait_of("P30", NOW));
        }
        assert_eq!(waits[..4], [15_000, 30_000, 60_000, 120_000]);
        assert_eq!(waits.last(), Some(&WAIT_MS_MAX));
        assert_eq!(sessions.wait_of("P31", NOW), 0, "others are not held up");
        assert_eq!(sessions.wait_of("P30", later(WAIT_MS_MAX)), 0);
        sessions.was_right("P30");
        assert_eq!(sessions.wait_of("P30", NOW), 0);
    }
}
