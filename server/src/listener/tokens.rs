//! Which address tokens were used already.
//!
//! A returning tablet shows a token from an earlier connection and skips the Retry round trip. A token counts once, so
//! that it cannot be replayed to make the hub send to a forged address.
//!
//! # Limits
//!
//! [`GENERATION_MAX`] tokens twice over; older ones are forgotten, which RFC 9000 section 8.1.4 allows: reuse is limited.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use quinn::{TokenLog, TokenReuseError};

/// Most tokens remembered in one of the two generations.
const GENERATION_MAX: usize = 8_192;

/// The used tokens, in two generations.
#[derive(Debug, Default)]
pub(crate) struct UsedTokens(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    current: BTreeSet<u128>,
    previous: BTreeSet<u128>,
}

impl TokenLog for UsedTokens {
    fn check_and_insert(&self, nonce: u128, _issued: SystemTime, _life: Duration) -> Result<(), TokenReuseError> {
        let mut used = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if used.current.contains(&nonce) || used.previous.contains(&nonce) {
            return Err(TokenReuseError);
        }
        if used.current.len() >= GENERATION_MAX {
            used.previous = std::mem::take(&mut used.current);
        }
        used.current.insert(nonce);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_taken_once_and_memory_is_bounded() {
        let used = UsedTokens::default();
        let life = Duration::from_secs(60);
        for nonce in 0..40_000 {
            assert!(used.check_and_insert(nonce, SystemTime::UNIX_EPOCH, life).is_ok());
            assert!(used.check_and_insert(nonce, SystemTime::UNIX_EPOCH, life).is_err());
        }
        let generations = used.0.lock().unwrap();
        assert!(generations.current.len() <= GENERATION_MAX && generations.previous.len() <= GENERATION_MAX);
    }
}
