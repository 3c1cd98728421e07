//! Passwords of the pages: what a good one is, and the hash that is kept instead of it.
//!
//! Argon2id with the parameters OWASP recommends (19 MiB, two passes, one lane); they are written into each hash, so that they
//! can be raised later. Hashing takes tens of milliseconds and must not run on the hub's thread.

use argon2::password_hash::rand_core::{OsRng, RngCore as _};
use argon2::password_hash::{self, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Argon2, Params};
use zeroize::Zeroizing;

/// Fewest characters of a password.
pub const PASSWORD_CHARS_MIN: usize = 10;
/// Most bytes of a password: hashing must not be given a megabyte.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Most bytes of a hash with its parameters and salt.
pub(crate) const HASH_BYTES_MAX: usize = 256;
/// What a hash that was made elsewhere may cost: signing in must not be a way to use up the hub.
const MEMORY_KIB_MAX: u32 = 64 * 1_024;
const PASSES_MAX: u32 = 10;
/// Letters and digits that are not taken for one another on paper.
const PLAIN: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789x";
/// Groups of a password that is made here, and letters of each: 80 bits.
const FRESH_GROUPS: usize = 4;
const FRESH_LETTERS: usize = 4;

/// The hash of a password, with its parameters and salt.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl core::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WeakPassword {
    /// It is short.
    #[error("a password has at least {PASSWORD_CHARS_MIN} characters")]
    Short,
    /// It is longer than anybody types.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes")]
    Long,
    /// It is made of the name it belongs to.
    #[error("a password does not contain the name of its account")]
    Name,
    /// It repeats or counts.
    #[error("a password is not one character again and again, nor letters or digits in their order")]
    Simple,
}

/// Why a password could not be hashed.
#[derive(Debug, thiserror::Error)]
#[error("the password could not be hashed: {0}")]
pub struct HashError(password_hash::Error);

impl PasswordHash {
    /// A hash as it was stored.
    #[must_use]
    pub fn stored(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A hash that was made elsewhere; `None` for what is no Argon2id hash with bounded costs.
    #[must_use]
    pub fn made(text: &str) -> Option<Self> {
        let hash = Some(text).filter(|text| text.len() <= HASH_BYTES_MAX);
        let hash = password_hash::PasswordHash::new(hash?).ok()?;
        let params = Params::try_from(&hash).ok()?;
        let is_ours = hash.algorithm == argon2::ARGON2ID_IDENT && hash.hash.is_some();
        let is_bounded = params.m_cost() <= MEMORY_KIB_MAX && params.t_cost() <= PASSES_MAX;
        (is_ours && is_bounded).then(|| Self(text.to_owned()))
    }

    /// As it is stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Hashes a password with a fresh salt. Takes tens of milliseconds and 19 MiB.
    ///
    /// # Errors
    /// [`HashError`].
    pub fn of(password: &str) -> Result<Self, HashError> {
        let salt = SaltString::generate(&mut OsRng);
        let hash = hasher().hash_password(password.as_bytes(), &salt).map_err(HashError)?;
        Ok(Self(hash.to_string()))
    }

    /// Whether a password is the one that was hashed. Takes as long as hashing, whatever the answer.
    #[must_use]
    pub fn is_of(&self, password: &str) -> bool {
        if password.len() > PASSWORD_BYTES_MAX {
            return false;
        }
        let Ok(stored) = password_hash::PasswordHash::new(&self.0) else { return false };
        hasher().verify_password(password.as_bytes(), &stored).is_ok()
    }
}

fn hasher() -> Argon2<'static> {
    Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, Params::default())
}

/// Whether a password may be chosen for an account.
///
/// # Errors
/// [`WeakPassword`].
pub fn check(login: &str, password: &str) -> Result<(), WeakPassword> {
    let characters: Vec<char> = password.chars().flat_map(char::to_lowercase).collect();
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(WeakPassword::Short);
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(WeakPassword::Long);
    }
    if login.len() >= 3 && password.to_lowercase().contains(&login.to_lowercase()) {
        return Err(WeakPassword::Name);
    }
    let steps = || {
        characters
            .iter()
            .zip(characters.iter().skip(1))
            .map(|(a, b)| i64::from(u32::from(*b)) - i64::from(u32::from(*a)))
    };
    let simple = steps().filter(|step| matches!(step, -1..=1) || *step == -9).count();
    // Three steps that lead elsewhere make it no row of keys any more.
    if steps().count() < simple + 3 {
        return Err(WeakPassword::Simple);
    }
    Ok(())
}

/// A password to be told once and changed at the first sign-in.
#[must_use]
pub fn fresh() -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0u8; FRESH_GROUPS * FRESH_LETTERS]);
    OsRng.fill_bytes(bytes.as_mut());
    let mut text = Zeroizing::new(String::with_capacity(FRESH_GROUPS * (FRESH_LETTERS + 1)));
    for (number, byte) in bytes.iter().enumerate() {
        if number > 0 && number % FRESH_LETTERS == 0 {
            text.push('-');
        }
        let letter = PLAIN.get(usize::from(byte % 32)).copied().unwrap_or(b'x');
        text.push(char::from(letter));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_knows_its_password_and_no_other_and_shows_neither() {
        let hash = PasswordHash::of("梨小食心虫要早防早治").unwrap();
        assert!(hash.is_of("梨小食心虫要早防早治"));
        assert!(!hash.is_of("梨小食心虫要早防早治 "));
        assert!(!hash.is_of(""));
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
        assert_ne!(hash, PasswordHash::of("梨小食心虫要早防早治").unwrap(), "each has a salt of its own");
        assert!(!PasswordHash::stored("no hash").is_of("no hash"));
    }

    #[test]
    fn passwords_that_anybody_tries_first_are_refused() {
        for (password, why) in [
            ("short1!", WeakPassword::Short),
            ("aaaaaaaaaaaaaa", WeakPassword::Simple),
            ("1234567890", WeakPassword::Simple),
            ("abcdefghijkl", WeakPassword::Simple),
            ("98765432109", WeakPassword::Simple),
            ("coordinator-p30", WeakPassword::Name),
        ] {
            assert_eq!(check("P30", password), Err(why), "{password}");
        }
        assert_eq!(check("P30", &"长".repeat(100)), Err(WeakPassword::Long));
        for password in ["correct horse", "板栗核桃大桃樱桃杏子", "x7k2-m9qa-44tz"] {
            assert_eq!(check("P30", password), Ok(()), "{password}");
        }
    }

    #[test]
    fn fresh_passwords_are_good_and_differ() {
        let (one, two) = (fresh(), fresh());
        assert_ne!(*one, *two);
        assert_eq!(one.len(), 19);
        assert_eq!(check("A01", &one), Ok(()));
    }
}
