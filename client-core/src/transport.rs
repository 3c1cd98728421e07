//! Connections to a hub over QUIC.
//!
//! A [`Dialer`] holds what a device needs to be known; [`Dialer::connect`] gives a [`Link`], one connection with its
//! session stream. When to connect, what to say and when to try again is decided elsewhere.
//!
//! # Flow
//!
//! ```text
//! addresses, the last good one first -> a new attempt every second, or as soon as one fails -> the first to succeed wins
//! each attempt: resolve -> a fresh UDP socket -> TLS 1.3, the hub's certificate against the pinned key -> session stream
//! ```
//!
//! A fresh socket for each connection follows the tablet from one network to the next, and lets the connection go without
//! an identifier of its own, which saves bytes in every datagram.
//!
//! # Invariants
//!
//! 1. A hub counts only if the pinned authority certified its key, at any time of day: a tablet at 1970 connects (R13,
//!    `hub_is_accepted_whatever_the_clock_says`).
//! 2. No early data and no session tickets (R12): each connection proves both keys anew.
//!
//! # Limits
//!
//! [`ATTEMPT_GAP`], [`RESOLVED_MAX`]; the windows in `tls`.
//!
//! # Failure
//!
//! [`ConnectError`], [`LinkError`]; each says whether to try again.

mod dial;
mod error;
mod link;
mod tls;

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_protocol::handshake::{ALPN_SESSION, Address};
use quinn::TokenMemoryCache;

pub use error::{ConnectError, IdentityError, Incompatible, LinkError};
pub use link::{FrameReceiver, FrameSender, FrameStream, Link, Traffic};

pub(crate) use dial::{Dialed, dial};
pub(crate) use tls::{ClientKey, client_config, device_certificate_fits};

/// How long an attempt is alone before the next address is tried beside it.
pub const ATTEMPT_GAP: Duration = Duration::from_secs(1);
/// Most socket addresses taken from one name.
pub const RESOLVED_MAX: usize = 8;

/// What makes a device known to the hubs of its organisation.
#[derive(Clone)]
pub struct DeviceIdentity {
    /// The key that also signs its packs.
    pub key: SigningKey,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// The public key of the organisation's authority.
    pub authority_key: [u8; 32],
}

impl fmt::Debug for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceIdentity").field("certificate_bytes", &self.certificate.len()).finish_non_exhaustive()
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// One session, then it is closed.
    Session,
    /// It stays open for pushes: a datagram goes out when it would otherwise be taken for dead.
    Subscription,
}

/// Makes connections for one device.
#[derive(Debug)]
pub struct Dialer {
    session: quinn::ClientConfig,
    subscription: quinn::ClientConfig,
    local: SocketAddr,
    last_good: Mutex<Option<Address>>,
}

impl Dialer {
    /// A dialer for this device. An unspecified `local` address takes any, of the family that each hub address needs.
    ///
    /// # Errors
    /// [`IdentityError`] when key and certificate cannot be used.
    pub fn new(identity: &DeviceIdentity, local: SocketAddr) -> Result<Self, IdentityError> {
        let config =
            |purpose| client_config(&identity.authority_key, ALPN_SESSION, ClientKey::Certified(identity), purpose);
        let mut session = config(Purpose::Session)?;
        let mut subscription = config(Purpose::Subscription)?;
        // Address tokens spare a round trip to a hub under load; both kinds of connection draw on one store.
        let tokens = Arc::new(TokenMemoryCache::default());
        session.token_store(Arc::<TokenMemoryCache>::clone(&tokens));
        subscription.token_store(tokens);
        Ok(Self { session, subscription, local, last_good: Mutex::default() })
    }

    /// Connects to the first of the hub's addresses that answers, and opens the session stream. Must be called inside a
    /// tokio runtime. Dropping the future gives the attempts up.
    ///
    /// # Errors
    /// [`ConnectError`]; with several addresses, the one that says most.
    pub async fn connect(
        &self,
        addresses: &[Address],
        purpose: Purpose,
        within: Duration,
    ) -> Result<Link, ConnectError> {
        let config = match purpose {
            Purpose::Session => &self.session,
            Purpose::Subscription => &self.subscription,
        };
        let dialed = dial(config, self.local, &self.in_order(addresses), within).await?;
        *self.last_good.lock().unwrap_or_else(PoisonError::into_inner) = Some(dialed.address.clone());
        let address = dialed.address.to_string();
        Link::open(dialed).await.map_err(|error| ConnectError::of_handshake(error, &address, within))
    }

    fn in_order(&self, addresses: &[Address]) -> Vec<Address> {
        let last_good = self.last_good.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut ordered = addresses.to_vec();
        ordered.sort_by_key(|address| Some(address) != last_good.as_ref());
        ordered
    }
}
