//! Names of organisations, devices, logbooks, documents and changes.
//!
//! Every id that is a hash takes its input through [`digest32`]: a domain string and length-prefixed parts, so that no two
//! different things ever hash the same bytes (A15).

use core::fmt;

use crate::limits::CODE_BYTES_MAX;
use crate::time::Month;

/// BLAKE3 over a domain string and length-prefixed parts.
///
/// The domain is BLAKE3's key-derivation context, so a digest of one domain is never a digest of another.
#[must_use]
pub fn digest32(domain: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(domain);
    for part in parts {
        hasher.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hasher.update(part);
    }
    *hasher.finalize().as_bytes()
}

/// The first `N` bytes of a 32-byte digest.
fn prefix<const N: usize>(digest: &[u8; 32]) -> [u8; N] {
    let mut out = [0; N];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// Reads exactly `N` bytes of lower- or upper-case hexadecimal digits.
fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != N * 2 {
        return None;
    }
    let mut out = [0u8; N];
    for (to, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0u8;
        for digit in pair {
            let nibble = char::from(*digit).to_digit(16)?;
            value = value.checked_mul(16)?.checked_add(u8::try_from(nibble).ok()?)?;
        }
        *to = value;
    }
    Some(out)
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
            /// From exactly as many bytes; `None` for any other number.
            #[must_use]
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }
            /// From hexadecimal digits, as [`fmt::Display`] writes them.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                read_hex(text).map(Self)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), ":"))?;
                write_hex(f, self.0.get(..6).unwrap_or(&self.0))
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    };
}

byte_id!(
    /// An organisation: the first 16 bytes of a digest of its certificate authority's public key.
    OrgId, 16
);
byte_id!(
    /// A logbook, the unit of replication, access and retention: see [`LogbookName::id`].
    LogbookId, 16
);
byte_id!(
    /// A device: the first 8 bytes of a digest of its public key. Never a counter.
    DeviceId, 8
);
byte_id!(
    /// A hub of the organisation: the first 8 bytes of a digest of its signing key.
    HubId, 8
);
byte_id!(
    /// One life of a device's store. A device that was cloned, restored or forked starts a new one (R2–R5).
    Incarnation, 8
);
byte_id!(
    /// A hub's epoch: 16 random bytes, new after every restore.
    Epoch, 16
);
byte_id!(
    /// A document: the first 16 bytes of the hash of its only root change (R19).
    DocId, 16
);
byte_id!(
    /// The SHA-256 of an Automerge change chunk from its type byte on (R9).
    ChangeHash, 32
);
byte_id!(
    /// The digest of a pack's header. It names the pack and everything the header binds.
    PackHash, 32
);
byte_id!(
    /// The digest of a control entry without its signature.
    EntryHash, 32
);
byte_id!(
    /// The BLAKE3 hash of a blob's bytes.
    BlobHash, 32
);

impl OrgId {
    /// The organisation whose authority holds `authority_key` (an Ed25519 public key).
    #[must_use]
    pub fn from_authority_key(authority_key: &[u8; 32]) -> Self {
        Self(prefix(&digest32("qianmo org v1", &[authority_key])))
    }
}

impl DeviceId {
    /// The device that holds the private half of `key`.
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self(prefix(&digest32("qianmo device v1", &[key])))
    }
}

impl HubId {
    /// The hub that holds the private half of `key`.
    #[must_use]
    pub fn from_key(key: &[u8; 32]) -> Self {
        Self(prefix(&digest32("qianmo hub v1", &[key])))
    }
}

impl DocId {
    /// The document whose root change has this hash.
    #[must_use]
    pub fn from_root(root: &ChangeHash) -> Self {
        Self(prefix(&root.0))
    }
}

impl PackHash {
    /// What `prev` holds in the first pack of a log.
    pub const NONE: Self = Self([0; 32]);

    /// The first eight bytes: how version vectors carry a head.
    #[must_use]
    pub fn head8(&self) -> [u8; 8] {
        prefix(&self.0)
    }
}

/// A short code given by people: a station (`ST01`), a person (`P02`), a form (`visit`).
///
/// One to 16 bytes of `A-Z a-z 0-9 _ - .`; it must be a pseudonym, because it is written into permanent logs.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(String);

/// Why a text is not a [`Code`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodeError {
    /// Empty, or longer than 16 bytes.
    #[error("a code has 1 to {max} characters, this has {have}")]
    Length {
        /// Bytes found.
        have: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// A character that is not a letter, digit, `_`, `-` or `.`.
    #[error("a code has only letters A-Z a-z, digits, '_', '-' and '.'; the character at {at} is none of them")]
    Character {
        /// Byte position.
        at: usize,
    },
}

impl Code {
    /// Checks and takes a code.
    ///
    /// # Errors
    /// [`CodeError`] when it is empty, too long or holds another character.
    pub fn new(text: &str) -> Result<Self, CodeError> {
        if text.is_empty() || text.len() > CODE_BYTES_MAX {
            return Err(CodeError::Length { have: text.len(), max: CODE_BYTES_MAX });
        }
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        match text.bytes().position(|byte| !allowed(byte)) {
            Some(at) => Err(CodeError::Character { at }),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A station's code.
pub type StationCode = Code;
/// A person's code: a pseudonym, never a name.
pub type PersonCode = Code;
/// A form's code.
pub type FormCode = Code;

/// What a logbook is for. Packs carry this name; the id follows from it, so tablets that have never met agree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogbookName {
    /// Stations, experts, organisations, forms. Every tablet holds it.
    OrgDirectory,
    /// A station's targets, agreements, plots and tasks.
    StationDirectory(StationCode),
    /// A station's records of one month, with their reviews and comments.
    StationMonth(StationCode, Month),
}

impl LogbookName {
    /// The kind's number on the wire.
    #[must_use]
    pub const fn kind(&self) -> u8 {
        match self {
            Self::OrgDirectory => 1,
            Self::StationDirectory(_) => 2,
            Self::StationMonth(..) => 3,
        }
    }

    /// The station it belongs to, if it belongs to one.
    #[must_use]
    pub const fn station(&self) -> Option<&StationCode> {
        match self {
            Self::OrgDirectory => None,
            Self::StationDirectory(station) | Self::StationMonth(station, _) => Some(station),
        }
    }

    /// The month it belongs to, if it belongs to one.
    #[must_use]
    pub const fn month(&self) -> Option<Month> {
        match self {
            Self::OrgDirectory | Self::StationDirectory(_) => None,
            Self::StationMonth(_, month) => Some(*month),
        }
    }

    /// The logbook's id in an organisation.
    #[must_use]
    pub fn id(&self, org: &OrgId) -> LogbookId {
        let station = self.station().map_or("", Code::as_str);
        let month = self.month().map_or(0, Month::number).to_be_bytes();
        LogbookId(prefix(&digest32("qianmo logbook v1", &[&org.0, &[self.kind()], station.as_bytes(), &month])))
    }
}

impl fmt::Display for LogbookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OrgDirectory => f.write_str("organisation"),
            Self::StationDirectory(station) => write!(f, "{station}"),
            Self::StationMonth(station, month) => write!(f, "{station}/{month}"),
        }
    }
}

/// A log: one incarnation of one device in one logbook. The logbook is given by the context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// Who writes it.
    pub device: DeviceId,
    /// In which life of its store.
    pub incarnation: Incarnation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_with_a_foreign_character_is_refused_with_its_place() {
        assert_eq!(Code::new("ST 1"), Err(CodeError::Character { at: 2 }));
        assert_eq!(Code::new(""), Err(CodeError::Length { have: 0, max: 24 }));
        assert_eq!(Code::new("ST01").unwrap().as_str(), "ST01");
    }

    #[test]
    fn logbook_ids_differ_in_every_part_of_the_name() {
        let org = OrgId([1; 16]);
        let st1 = Code::new("ST01").unwrap();
        let june = Month::new(2025, 6).unwrap();
        let names = [
            LogbookName::OrgDirectory,
            LogbookName::StationDirectory(st1.clone()),
            LogbookName::StationMonth(st1.clone(), june),
            LogbookName::StationMonth(st1, Month::new(2025, 7).unwrap()),
            LogbookName::StationMonth(Code::new("ST02").unwrap(), june),
        ];
        let ids: std::collections::BTreeSet<_> = names.iter().map(|name| name.id(&org)).collect();
        assert_eq!(ids.len(), names.len());
        assert_ne!(names[0].id(&org), names[0].id(&OrgId([2; 16])));
    }

    #[test]
    fn hex_of_an_id_reads_back() {
        let id = DeviceId([0, 1, 2, 3, 0xfc, 0xfd, 0xfe, 0xff]);
        assert_eq!(DeviceId::from_hex(&id.to_string()), Some(id));
        assert_eq!(DeviceId::from_hex("xx"), None);
    }
}
