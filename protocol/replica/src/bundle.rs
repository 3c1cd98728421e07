//! Bundles, sealed and opened: a session's parts in a file that only its recipient can read.
//!
//! The seal is the age format (age-encryption.org/v1): a header with one recipient, then chunks of 64 KiB, each
//! authenticated, the last one marked. A hub's published X25519 key is an age recipient as it is; a tablet's passphrase is
//! one by scrypt. What stands inside is [`qianmo_protocol::bundle`]'s business, and is trusted no more than a peer's word.
//!
//! # Invariants
//!
//! 1. Nothing is handed out that the seal does not vouch for; a file that is cut gives what is whole and then an error
//!    (`sealed_bundle_that_is_cut_or_changed_never_ends_well`).
//!
//! # Limits
//!
//! [`SEAL_HEADER_BYTES_MAX`] before the first chunk; [`WORK_FACTOR_MAX`] for a passphrase.
//!
//! # Failure
//!
//! [`SealBundleError`], [`OpenBundleError`]: each says what to do.

use std::io::{self, BufReader, Read, Write};

use age::secrecy::{ExposeSecret as _, SecretString};
use bech32::{ToBase32 as _, Variant};

use qianmo_protocol::bundle::{BundleError, BundleFor, BundleHeader, BundlePart, BundleReader, HEADER_BYTES_MAX};
use qianmo_protocol::ids::{LogbookName, PackHash};

use crate::replica::{Replica, ReplicaError};
use crate::rows;

/// Within how many bytes age's own header must end: one recipient takes some two hundred.
pub const SEAL_HEADER_BYTES_MAX: usize = 2 * 1024;
/// scrypt's cost as a power of two. Passphrases are drawn, not chosen, and have a hundred bits: stretching adds nothing.
const WORK_FACTOR: u8 = 14;
/// Most that a file may ask of its reader: 64 MiB and well under a second.
pub const WORK_FACTOR_MAX: u8 = 16;
/// Bytes opened at a time.
const READ_BYTES: usize = 64 * 1024;
/// Characters of a drawn passphrase: none that are taken for one another.
const PASSPHRASE_CHARS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
/// Characters drawn; five bits each.
const PASSPHRASE_LENGTH: usize = 20;

impl Replica {
    /// Whether a pack is held, judged or not.
    ///
    /// # Errors
    /// [`ReplicaError::Row`] when the index fails.
    pub fn holds_pack(&self, name: &LogbookName, pack: &PackHash) -> Result<bool, ReplicaError> {
        Ok(self.index.has(&rows::pack(&name.id(&self.org), pack))?)
    }
}

/// With what a bundle is sealed.
#[derive(Clone)]
pub enum SealKey {
    /// A hub's published X25519 key.
    Hub([u8; 32]),
    /// A passphrase for a tablet.
    Passphrase(String),
}

impl core::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Hub(_) => "Hub",
            Self::Passphrase(_) => "Passphrase",
        })
    }
}

/// With what a bundle is opened.
#[derive(Clone)]
pub enum OpenKey {
    /// The hub's X25519 secret.
    Hub([u8; 32]),
    /// The passphrase that was shown.
    Passphrase(String),
}

impl core::fmt::Debug for OpenKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Hub(_) => "Hub",
            Self::Passphrase(_) => "Passphrase",
        })
    }
}

/// Why a bundle is not written.
#[derive(Debug, thiserror::Error)]
pub enum SealBundleError {
    /// The hub's published key is none.
    #[error("the hub's published key is no X25519 key; tell the administrator")]
    Key,
    /// It cannot be sealed.
    #[error("the bundle cannot be sealed")]
    Seal(#[from] age::EncryptError),
    /// It cannot be written.
    #[error("the bundle cannot be written; look at the room and the stick")]
    Io(#[from] io::Error),
}

/// Why a bundle is not read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum OpenBundleError {
    /// It is none, or not a whole one.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// It is of another organisation.
    #[error("the bundle is of another organisation")]
    OtherOrganisation,
    /// It is for a hub.
    #[error("the bundle is for the hub, and only the hub can read it; carry it there")]
    ForHub,
    /// It is for a tablet.
    #[error("the bundle is for a tablet; import it there")]
    ForTablet,
    /// It is for another hub.
    #[error("the bundle is for another hub, or for this hub's former key; have it exported again")]
    OtherHub,
    /// The passphrase is another one.
    #[error("the passphrase is not the one that was shown when the bundle was made")]
    WrongPassphrase,
    /// It asks for too much work.
    #[error("the bundle asks for work factor {have}, at most {max} is done")]
    Work {
        /// What it asks.
        have: u8,
        /// Most allowed.
        max: u8,
    },
    /// The seal cannot be read.
    #[error("the bundle's seal cannot be read: the file is cut or changed; copy it again, or have it exported again")]
    Seal,
    /// A chunk does not verify.
    #[error("the bundle is cut or changed after {offset} bytes of content; copy it again, or have it exported again")]
    Damaged {
        /// Bytes of content that were whole.
        offset: u64,
    },
    /// The file cannot be read.
    #[error("the bundle cannot be read")]
    Io(#[source] io::Error),
}

/// Draws a passphrase: twenty characters in five groups, to be read out or copied by hand.
#[must_use]
pub fn draw_passphrase(rng: &mut dyn rand_core::RngCore) -> String {
    let mut bytes = [0; PASSPHRASE_LENGTH];
    rng.fill_bytes(&mut bytes);
    let mut text = String::with_capacity(PASSPHRASE_LENGTH + 4);
    for (place, byte) in bytes.iter().enumerate() {
        if place > 0 && place % 4 == 0 {
            text.push('-');
        }
        let char = PASSPHRASE_CHARS.get(usize::from(byte % 32)).copied().unwrap_or(b'a');
        text.push(char::from(char));
    }
    text
}

/// A passphrase as it counts: small letters and digits, whatever a person put between them.
fn plain(passphrase: &str) -> SecretString {
    let kept = passphrase.chars().filter(char::is_ascii_alphanumeric);
    SecretString::from(kept.map(|c| c.to_ascii_lowercase()).collect::<String>())
}

/// A bundle being written.
pub struct BundleWriter<W: Write> {
    stream: age::stream::StreamWriter<W>,
}

impl<W: Write> core::fmt::Debug for BundleWriter<W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("BundleWriter").finish_non_exhaustive()
    }
}

impl<W: Write> BundleWriter<W> {
    /// Writes the header and begins the seal.
    ///
    /// # Errors
    /// [`SealBundleError`].
    pub fn begin(mut out: W, header: &BundleHeader, key: &SealKey) -> Result<Self, SealBundleError> {
        let header = header.encode();
        out.write_all(&header)?;
        let encryptor = match key {
            SealKey::Hub(public) => {
                let text = bech32::encode("age", public.to_base32(), Variant::Bech32);
                let text = text.map_err(|_| SealBundleError::Key)?;
                let recipient: age::x25519::Recipient = text.parse().map_err(|_| SealBundleError::Key)?;
                age::Encryptor::with_recipients(core::iter::once(&recipient as &dyn age::Recipient))?
            }
            SealKey::Passphrase(passphrase) => {
                let mut recipient = age::scrypt::Recipient::new(plain(passphrase));
                recipient.set_work_factor(WORK_FACTOR);
                age::Encryptor::with_recipients(core::iter::once(&recipient as &dyn age::Recipient))?
            }
        };
        let mut stream = encryptor.wrap_output(out)?;
        stream.write_all(&header)?;
        Ok(Self { stream })
    }

    /// Adds one part, encoded ([`BundlePart::encode`]).
    ///
    /// # Errors
    /// [`SealBundleError::Io`].
    pub fn put(&mut self, part: &[u8]) -> Result<(), SealBundleError> {
        Ok(self.stream.write_all(part)?)
    }

    /// Ends the bundle and gives back what it was written to.
    ///
    /// # Errors
    /// [`SealBundleError::Io`].
    pub fn finish(mut self) -> Result<W, SealBundleError> {
        self.stream.write_all(&BundlePart::end())?;
        Ok(self.stream.finish()?)
    }
}

/// Reads what may be known of a bundle without opening it.
///
/// # Errors
/// [`OpenBundleError`] when it is none.
pub fn peek(file: &mut impl Read) -> Result<(BundleHeader, Vec<u8>), OpenBundleError> {
    let mut first = Vec::with_capacity(HEADER_BYTES_MAX);
    let most = u64::try_from(HEADER_BYTES_MAX).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut first).map_err(OpenBundleError::Io)?;
    let (header, used) = BundleHeader::decode(&first)?;
    Ok((header, first.split_off(used)))
}

/// A bundle being read.
pub struct OpenedBundle {
    header: BundleHeader,
    stream: Box<dyn Read + Send>,
    parts: BundleReader,
    opened: u64,
    is_over: bool,
}

impl core::fmt::Debug for OpenedBundle {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OpenedBundle")
            .field("header", &self.header)
            .field("opened", &self.opened)
            .finish_non_exhaustive()
    }
}

impl OpenedBundle {
    /// Opens the seal. Whether it is for this organisation and hub is for the caller to look at in the header before.
    ///
    /// # Errors
    /// [`OpenBundleError`].
    pub fn open(mut file: impl Read + Send + 'static, key: &OpenKey) -> Result<Self, OpenBundleError> {
        let (header, rest) = peek(&mut file)?;
        match (&header.to, key) {
            (BundleFor::Hub(_), OpenKey::Passphrase(_)) => return Err(OpenBundleError::ForHub),
            (BundleFor::Tablet, OpenKey::Hub(_)) => return Err(OpenBundleError::ForTablet),
            (BundleFor::Hub(_), OpenKey::Hub(_)) | (BundleFor::Tablet, OpenKey::Passphrase(_)) => {}
        }
        let mut sealed = io::Cursor::new(rest).chain(file);
        let mut first = Vec::with_capacity(SEAL_HEADER_BYTES_MAX);
        let most = u64::try_from(SEAL_HEADER_BYTES_MAX).unwrap_or(u64::MAX);
        sealed.by_ref().take(most).read_to_end(&mut first).map_err(OpenBundleError::Io)?;
        check_seal_header(&first)?;
        let sealed = BufReader::with_capacity(READ_BYTES, io::Cursor::new(first).chain(sealed));
        let decryptor = age::Decryptor::new_buffered(sealed).map_err(|_| OpenBundleError::Seal)?;
        let stream = match key {
            OpenKey::Hub(secret) => {
                let text = bech32::encode("age-secret-key-", secret.to_base32(), Variant::Bech32);
                let text = SecretString::from(text.map_err(|_| OpenBundleError::OtherHub)?.to_uppercase());
                let identity: age::x25519::Identity =
                    text.expose_secret().parse().map_err(|_| OpenBundleError::OtherHub)?;
                decryptor.decrypt(core::iter::once(&identity as &dyn age::Identity))
            }
            OpenKey::Passphrase(passphrase) => {
                let mut identity = age::scrypt::Identity::new(plain(passphrase));
                identity.set_max_work_factor(WORK_FACTOR_MAX);
                decryptor.decrypt(core::iter::once(&identity as &dyn age::Identity))
            }
        };
        let stream = stream.map_err(|error| refusal(error, &header.to))?;
        let parts = BundleReader::new(&header);
        Ok(Self { header, stream: Box::new(stream), parts, opened: 0, is_over: false })
    }

    /// The header.
    #[must_use]
    pub const fn header(&self) -> &BundleHeader {
        &self.header
    }

    /// Bytes of content opened so far.
    #[must_use]
    pub const fn opened_bytes(&self) -> u64 {
        self.opened
    }

    /// The next part; `None` when the bundle ended well.
    ///
    /// # Errors
    /// [`OpenBundleError`]: what was given before is whole all the same.
    pub fn next_part(&mut self) -> Result<Option<BundlePart>, OpenBundleError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            if let Some(part) = self.parts.next_part()? {
                return Ok(Some(part));
            }
            if self.is_over {
                self.parts.finish()?;
                return Ok(None);
            }
            let read = self.stream.read(&mut buffer).map_err(|error| {
                // What the seal does not vouch for, and an end before the last chunk.
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) {
                    OpenBundleError::Damaged { offset: self.opened }
                } else {
                    OpenBundleError::Io(error)
                }
            })?;
            self.is_over = read == 0;
            self.opened = self.opened.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
            self.parts.push(buffer.get(..read).unwrap_or_default());
        }
    }
}

/// age reads its header however long it is; ours is short.
fn check_seal_header(first: &[u8]) -> Result<(), OpenBundleError> {
    let ends = first.windows(5).any(|window| window == b"\n--- ");
    if first.starts_with(b"age-encryption.org/v1\n") && ends { Ok(()) } else { Err(OpenBundleError::Seal) }
}

fn refusal(error: age::DecryptError, to: &BundleFor) -> OpenBundleError {
    match error {
        age::DecryptError::ExcessiveWork { required, .. } => {
            OpenBundleError::Work { have: required, max: WORK_FACTOR_MAX }
        }
        age::DecryptError::NoMatchingKeys
        | age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed => match to {
            BundleFor::Hub(_) => OpenBundleError::OtherHub,
            BundleFor::Tablet => OpenBundleError::WrongPassphrase,
        },
        age::DecryptError::Io(error) => OpenBundleError::Io(error),
        age::DecryptError::InvalidHeader | age::DecryptError::InvalidMac | age::DecryptError::UnknownFormat => {
            OpenBundleError::Seal
        }
    }
}
