//! Who may talk: the ticket, the enrolment exchange, and the names both ends use in TLS.
//!
//! Pure bytes. Opening connections, checking certificates and issuing them is left to the two ends; the enrolment
//! exchange is one request and one reply on one stream of a connection under [`ALPN_ENROL`].
//!
//! # Flow
//!
//! ```text
//! administrator --ticket--> tablet: makes its key, connects, checks the hub's certificate against the ticket's key
//!        tablet --EnrolRequest--> hub: token known? signature by the new key?
//!           hub --EnrolReply::Welcome--> tablet: device certificate; from now on mutual TLS under ALPN_SESSION
//! ```
//!
//! # Invariants
//!
//! 1. The organisation's id is derived from the authority's key, never carried beside it, so the two cannot differ.
//! 2. A request is signed by the key that it asks to enrol, over everything else in it (`request_changed_after_signing_is_refused`).
//! 3. Tokens never show in debug output (`token_is_not_shown`).
//!
//! # Limits
//!
//! The consts of [`ticket`] and [`enrol`].

pub mod enrol;
pub mod ticket;

pub use enrol::{EnrolAsk, EnrolRefusal, EnrolReply, EnrolRequest, EnrolWelcome};
pub use ticket::{Address, AddressError, Ticket, TicketError, Token};

/// The application protocol of sessions: mutual TLS.
pub const ALPN_SESSION: &[u8] = b"qianmo/1";
/// The application protocol of enrolment: the tablet has no certificate yet.
pub const ALPN_ENROL: &[u8] = b"qianmo-enrol/1";

/// The common name of every organisation's authority, which issues all its certificates.
///
/// One short name for all: what tells organisations apart is the pinned key, and a name would only cost bytes.
pub const AUTHORITY_NAME: &str = "Qianmo";

/// The contents of the DER of [`AUTHORITY_NAME`] as a distinguished name: one set of one common name in UTF-8.
pub const AUTHORITY_NAME_DER: &[u8] = b"\x31\x0f\x30\x0d\x06\x03\x55\x04\x03\x0c\x06Qianmo";

/// The moment at which both ends judge certificates: 2040-01-01, inside every certificate's validity.
///
/// No clock is asked: a tablet's may say 1970 (R13). Certificates do not expire; the control log alone ends a device.
pub const CERTIFICATE_TIME_SECONDS: u64 = 2_208_988_800;

/// What stands before an Ed25519 key in a DER subject public key info (RFC 8410), the outer header not counted.
const ED25519_SPKI_PREFIX: [u8; 10] = [0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// The outer header: a sequence of 42 bytes.
const ED25519_SPKI_HEADER: [u8; 2] = [0x30, 0x2a];
/// What stands before the seed in an unencrypted PKCS #8 version 1 Ed25519 key (RFC 8410).
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// The contents of an Ed25519 key's DER subject public key info, without the outer header.
#[must_use]
pub fn spki_contents(key: &[u8; 32]) -> Vec<u8> {
    [&ED25519_SPKI_PREFIX, key.as_slice()].concat()
}

/// The Ed25519 key in a DER subject public key info; `None` for any other key or encoding.
#[must_use]
pub fn key_of_spki(spki: &[u8]) -> Option<[u8; 32]> {
    spki.strip_prefix(&ED25519_SPKI_HEADER)?.strip_prefix(&ED25519_SPKI_PREFIX)?.try_into().ok()
}

/// An Ed25519 seed as an unencrypted PKCS #8 key. The caller wipes it.
#[must_use]
pub fn pkcs8_of_seed(seed: &[u8; 32]) -> Vec<u8> {
    [ED25519_PKCS8_PREFIX.as_slice(), seed].concat()
}

/// The seed in a PKCS #8 key as [`pkcs8_of_seed`] writes it; `None` for any other key or encoding.
#[must_use]
pub fn seed_of_pkcs8(der: &[u8]) -> Option<[u8; 32]> {
    der.strip_prefix(&ED25519_PKCS8_PREFIX)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use ed25519_dalek::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, KeypairBytes};

    use super::*;

    #[test]
    fn key_encodings_are_those_of_rfc_8410() {
        let key = SigningKey::from_bytes(&[7; 32]);
        let public = key.verifying_key().to_bytes();
        let spki = key.verifying_key().to_public_key_der().unwrap();
        assert_eq!(key_of_spki(spki.as_bytes()), Some(public));
        assert_eq!(&spki.as_bytes()[2..], spki_contents(&public));
        assert_eq!(key_of_spki(&spki.as_bytes()[..43]), None);

        let pair = KeypairBytes { secret_key: [7; 32], public_key: None };
        assert_eq!(pair.to_pkcs8_der().unwrap().as_bytes(), pkcs8_of_seed(&[7; 32]));
        assert_eq!(seed_of_pkcs8(&pkcs8_of_seed(&[7; 32])), Some([7; 32]));
        assert_eq!(seed_of_pkcs8(&[0; 48]), None);
    }
}
