//! A value with its Ed25519 signature, bound to one domain and one organisation.
//!
//! The signature covers the domain string, the organisation and the encoding, each with its length, so that a signature
//! over one thing is never one over another (A15). Verification is always strict (R10).

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::ids::OrgId;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// A value that is signed under a domain of its own.
pub trait Signable: Wire + PartialEq {
    /// The domain string.
    const DOMAIN: &'static str;
}

/// Why a value cannot be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// It is over a limit.
    #[error("a value over its limits is not signed")]
    OverLimit(#[source] DecodeError),
    /// Its encoding reads back as something else, because a list inside is over its limit.
    #[error("a value of {have} bytes that does not read back as itself is not signed; split its lists")]
    NotReadable {
        /// Bytes of its encoding.
        have: usize,
    },
}

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The 32 bytes are not an Ed25519 public key.
    #[error("the public key is not a point of the curve")]
    NotAKey,
    /// The signature is not one of these bytes by this key.
    #[error("the signature does not verify")]
    DoesNotVerify,
}

/// What is signed: domain, organisation, content.
fn signed_bytes(domain: &str, org: &OrgId, content: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.bytes(domain.as_bytes());
    writer.raw(org.as_bytes());
    writer.bytes(content);
    writer.finish()
}

/// Signs bytes under a domain.
pub(crate) fn sign_bytes(domain: &str, org: &OrgId, key: &SigningKey, content: &[u8]) -> [u8; 64] {
    key.sign(&signed_bytes(domain, org, content)).to_bytes()
}

/// Strict verification of bytes under a domain.
pub(crate) fn verify_bytes(
    domain: &str,
    org: &OrgId,
    key: &[u8; 32],
    content: &[u8],
    signature: &[u8; 64],
) -> Result<(), SignatureError> {
    let key = VerifyingKey::from_bytes(key).map_err(|_| SignatureError::NotAKey)?;
    key.verify_strict(&signed_bytes(domain, org, content), &Signature::from_bytes(signature))
        .map_err(|_| SignatureError::DoesNotVerify)
}

/// A value and a signature over it. That it verifies is known only after [`Signed::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed<T> {
    content: T,
    signature: [u8; 64],
}

impl<T: Signable> Signed<T> {
    /// Signs a value for an organisation.
    ///
    /// # Errors
    /// [`SignError`] when a reader would refuse it: nothing is signed that does not read back.
    pub fn sign(org: &OrgId, key: &SigningKey, content: T) -> Result<Self, SignError> {
        let encoded = content.encode();
        let back = T::decode(&encoded).map_err(SignError::OverLimit)?;
        if back != content {
            return Err(SignError::NotReadable { have: encoded.len() });
        }
        let signature = sign_bytes(T::DOMAIN, org, key, &encoded);
        Ok(Self { content, signature })
    }

    /// The value, if `key` signed it for this organisation.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub fn verify(&self, org: &OrgId, key: &[u8; 32]) -> Result<&T, SignatureError> {
        verify_bytes(T::DOMAIN, org, key, &self.content.encode(), &self.signature).map(|()| &self.content)
    }

    /// The value, whoever signed it.
    #[must_use]
    pub const fn content(&self) -> &T {
        &self.content
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &[u8; 64] {
        &self.signature
    }
}

impl<T: Signable> Wire for Signed<T> {
    fn write(&self, writer: &mut Writer) {
        self.content.write(writer);
        writer.raw(&self.signature);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { content: T::read(reader)?, signature: reader.array("signature")? })
    }
}
