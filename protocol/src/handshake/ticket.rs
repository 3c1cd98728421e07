//! The ticket: what a tablet needs to enrol, short enough for a QR code and for typing.
//!
//! Its text is `QM1-` and Crockford's base 32 (no I, L, O, U) of the fields and a checksum. Reading it forgives lower case,
//! spaces, hyphens, and O for 0, I and L for 1. Whether it is expired, used or revoked is judged by the hub alone, because
//! a tablet's clock may be wrong (R13).
//!
//! # Limits
//!
//! [`ADDRESSES_MAX`], [`ADDRESS_BYTES_MAX`], [`TICKET_TEXT_BYTES_MAX`].
//!
//! # Failure
//!
//! [`TicketError`] says what is wrong with the text, so that the person can act on it.

use core::fmt;
use core::str::FromStr;

use data_encoding::{BASE32_NOPAD, DecodeKind, Encoding, Specification};

use crate::ids::{OrgId, digest32};
use crate::time::UnixMillis;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// Most addresses in a ticket.
pub const ADDRESSES_MAX: usize = 4;
/// Most bytes of one address.
pub const ADDRESS_BYTES_MAX: usize = 128;
/// Most bytes of a ticket's text that are looked at.
pub const TICKET_TEXT_BYTES_MAX: usize = 2_048;

const PREFIX: &str = "QM1-";
const CHECKSUM_BYTES: usize = 4;
const CHECKSUM_DOMAIN: &str = "qianmo ticket v1";

/// Where a hub listens: `host:port`, the host a name or an IP address (IPv6 in brackets).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(String);

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Too long.
    #[error("an address has at most {max} bytes, this has {have}")]
    TooLong {
        /// Bytes found.
        have: usize,
        /// Most bytes allowed.
        max: usize,
    },
    /// No host before the port, or a host with characters that no host has.
    #[error("an address is host:port, this has no usable host (an IPv6 address stands in brackets)")]
    Host,
    /// No port, or not a number from 1 to 65535.
    #[error("an address is host:port, this has no port from 1 to 65535")]
    Port,
}

impl Address {
    /// Checks and takes an address.
    ///
    /// # Errors
    /// [`AddressError`] says what is missing.
    pub fn new(text: &str) -> Result<Self, AddressError> {
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(AddressError::TooLong { have: text.len(), max: ADDRESS_BYTES_MAX });
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::Port)?;
        if port.starts_with('+') || !port.parse::<u16>().is_ok_and(|port| port > 0) {
            return Err(AddressError::Port);
        }
        let is_host = match host.strip_prefix('[').map(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.is_some_and(|inner| inner.parse::<core::net::Ipv6Addr>().is_ok()),
            None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)),
        };
        if is_host { Ok(Self(text.to_owned())) } else { Err(AddressError::Host) }
    }

    /// The text, as name resolution takes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl From<core::net::SocketAddr> for Address {
    fn from(address: core::net::SocketAddr) -> Self {
        Self(address.to_string())
    }
}

/// The secret of a ticket: good for one enrolment.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub [u8; 16]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(hidden)")
    }
}

/// What an administrator hands to a new tablet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Where the hub listens, the best first: 1 to [`ADDRESSES_MAX`].
    pub addresses: Vec<Address>,
    /// The public key of the organisation's authority: the pin, and the source of the organisation's id.
    pub authority_key: [u8; 32],
    /// The secret.
    pub token: Token,
    /// Until when the hub takes it. Shown to people; only the hub judges it.
    pub expires: UnixMillis,
}

/// Why a text is not a ticket.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not begin as tickets do.
    #[error("this is not a ticket: a ticket begins with QM1-")]
    NotATicket,
    /// It is longer than any ticket.
    #[error("this is not a ticket: it has {have} bytes, a ticket has at most {max}")]
    TooLong {
        /// Bytes found.
        have: usize,
        /// Most bytes of a ticket.
        max: usize,
    },
    /// A character that tickets do not have.
    #[error("the ticket's character at position {at} is not one that tickets have")]
    Character {
        /// Byte position in the text after `QM1-`, separators counted.
        at: usize,
    },
    /// Characters are missing, at the end most likely.
    #[error("the ticket is incomplete: characters are missing")]
    Incomplete,
    /// The checksum does not match: mistyped.
    #[error("the ticket is mistyped: its checksum does not match")]
    Checksum,
    /// The checksum matches, but the fields are not those of this version.
    #[error("the ticket was made by another version")]
    Fields(#[source] DecodeError),
}

impl Ticket {
    /// The organisation.
    #[must_use]
    pub fn org(&self) -> OrgId {
        OrgId::from_authority_key(&self.authority_key)
    }

    /// Reads a ticket's text.
    ///
    /// # Errors
    /// [`TicketError`] says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        if text.len() > TICKET_TEXT_BYTES_MAX {
            return Err(TicketError::TooLong { have: text.len(), max: TICKET_TEXT_BYTES_MAX });
        }
        let body = match text.split_at_checked(PREFIX.len()) {
            Some((prefix, body)) if prefix.eq_ignore_ascii_case(PREFIX) => body,
            Some(_) | None => return Err(TicketError::NotATicket),
        };
        let bytes = alphabet().decode(body.as_bytes()).map_err(|error| match error.kind {
            DecodeKind::Symbol => TicketError::Character { at: error.position },
            DecodeKind::Length | DecodeKind::Trailing | DecodeKind::Padding => TicketError::Incomplete,
        })?;
        let cut = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(TicketError::Incomplete)?;
        let (fields, sum) = bytes.split_at_checked(cut).ok_or(TicketError::Incomplete)?;
        if sum != checksum(fields) {
            return Err(TicketError::Checksum);
        }
        Self::decode(fields).map_err(TicketError::Fields)
    }
}

/// Crockford's base 32, forgiving in what it reads. Should the specification ever be refused, RFC 4648 is used: the
/// checksum would then refuse every ticket of the other alphabet.
fn alphabet() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.translate.from.push_str("abcdefghjkmnpqrstvwxyzOoIiLl");
    specification.translate.to.push_str("ABCDEFGHJKMNPQRSTVWXYZ001111");
    specification.ignore.push_str("- \t\r\n");
    specification.encoding().unwrap_or(BASE32_NOPAD)
}

fn checksum(fields: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = digest32(CHECKSUM_DOMAIN, &[fields]);
    [a, b, c, d]
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.encode();
        bytes.extend_from_slice(&checksum(&bytes));
        write!(f, "{PREFIX}{}", alphabet().encode(&bytes))
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Wire for Ticket {
    fn write(&self, writer: &mut Writer) {
        writer.raw(&self.authority_key);
        writer.raw(&self.token.0);
        writer.i64(self.expires.0);
        writer.list(&self.addresses, |writer, address| writer.bytes(address.0.as_bytes()));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let authority_key = reader.array("authority key")?;
        let token = Token(reader.array("token")?);
        let expires = UnixMillis(reader.i64("expiry")?);
        let offset = reader.offset();
        let addresses = reader.list("addresses", ADDRESSES_MAX, |reader| {
            let offset = reader.offset();
            let text = reader.text("address", ADDRESS_BYTES_MAX)?;
            Address::new(text).map_err(|_| DecodeError::NotText { field: "address", offset })
        })?;
        if addresses.is_empty() {
            return Err(DecodeError::NotCanonical { field: "addresses", offset });
        }
        Ok(Self { addresses, authority_key, token, expires })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            addresses: vec![Address::new("hub.example.cn:4433").unwrap(), Address::new("[2001:db8::1]:4433").unwrap()],
            authority_key: [0xA5; 32],
            token: Token([0x3C; 16]),
            expires: UnixMillis(1_751_299_199_000),
        }
    }

    #[test]
    fn ticket_reads_back_from_its_text_however_it_was_typed() {
        let text = ticket().to_string();
        assert!(text.starts_with("QM1-"));
        assert!(text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-'));
        assert_eq!(Ticket::parse(&text), Ok(ticket()));
        assert_eq!(Ticket::parse(&format!(" {} \n", text.to_lowercase())), Ok(ticket()));
        let typed: String = text[4..]
            .chars()
            .map(|c| {
                if c == '0' {
                    'o'
                } else if c == '1' {
                    'L'
                } else {
                    c
                }
            })
            .collect();
        let blocks: Vec<String> =
            typed.chars().collect::<Vec<_>>().chunks(5).map(|block| block.iter().collect()).collect();
        assert_eq!(Ticket::parse(&format!("QM1-{}", blocks.join("-"))), Ok(ticket()));
    }

    #[test]
    fn ticket_with_any_one_character_changed_is_never_taken() {
        let text = ticket().to_string();
        for at in 4..text.len() {
            let other = if text.as_bytes()[at] == b'7' { "8" } else { "7" };
            let mut typed = text.clone();
            typed.replace_range(at..=at, other);
            let read = Ticket::parse(&typed);
            assert!(matches!(read, Err(TicketError::Checksum | TicketError::Incomplete)), "{at}: {read:?}");
        }
    }

    #[test]
    fn text_that_is_no_ticket_says_why() {
        let text = ticket().to_string();
        assert_eq!(Ticket::parse("https://example.cn"), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("QM"), Err(TicketError::NotATicket));
        assert_eq!(Ticket::parse("QM1-U0"), Err(TicketError::Character { at: 0 }));
        assert_eq!(Ticket::parse("QM1-"), Err(TicketError::Incomplete));
        assert_eq!(Ticket::parse(&text.repeat(20)).map_err(|error| error.to_string().len() > 10), Err(true));
        for end in 4..text.len() {
            let cut = Ticket::parse(&text[..end]);
            assert!(matches!(cut, Err(TicketError::Checksum | TicketError::Incomplete)), "{end}: {cut:?}");
        }
    }

    #[test]
    fn token_is_not_shown() {
        let shown = format!("{:?}", ticket());
        assert!(shown.contains("hidden") && !shown.contains("60, 60"), "{shown}");
    }

    #[test]
    fn address_needs_a_host_and_a_port() {
        assert_eq!(Address::new("hub"), Err(AddressError::Port));
        assert_eq!(Address::new("hub:0"), Err(AddressError::Port));
        assert_eq!(Address::new("hub:+1"), Err(AddressError::Port));
        assert_eq!(Address::new("hub:70000"), Err(AddressError::Port));
        assert_eq!(Address::new(":1"), Err(AddressError::Host));
        assert_eq!(Address::new("::1:4433"), Err(AddressError::Host));
        assert_eq!(Address::new("a b:1"), Err(AddressError::Host));
        assert!(Address::new(&format!("{}:1", "a".repeat(200))).is_err());
        assert_eq!(Address::new("10.0.0.1:4433").unwrap().as_str(), "10.0.0.1:4433");
    }

    proptest! {
        #[test]
        fn prop_any_text_as_a_ticket_never_panics(text: String, bytes: Vec<u8>) {
            let with_prefix = ["QM1-", &text].concat();
            prop_assert!(Ticket::parse(&text).is_err());
            prop_assert!(Ticket::parse(&with_prefix).is_err());
            if let Ok(read) = Ticket::decode(&bytes) {
                prop_assert_eq!(read.encode(), bytes);
            }
        }
    }
}
