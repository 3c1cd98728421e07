//! Tickets as people type them.

use data_encoding::{Encoding, Specification};
use qianmo_protocol::handshake::{Address, Ticket, TicketError, Token};
use qianmo_protocol::ids::digest32;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::Wire as _;

use super::reads_back;

pub(super) const WORDS: &[&str] = &["QM1-", "qm1-", "-", " ", "O", "I", "[::1]:4433", "hub.example.cn:4433"];
/// What a ticket's checksum covers begins with this.
const CHECKSUM_DOMAIN: &str = "qianmo ticket v1";

/// An even first byte: the rest is typed. An odd one: the rest are the fields, their checksum right.
pub(super) fn run(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    if kind % 2 == 0 {
        typed(&String::from_utf8_lossy(bytes));
        return;
    }
    let fields = reads_back::<Ticket>(bytes);
    let mut summed = bytes.to_vec();
    summed.extend_from_slice(&digest32(CHECKSUM_DOMAIN, &[bytes])[..4]);
    let text = format!("QM1-{}", alphabet().encode(&summed));
    match (fields, Ticket::parse(&text)) {
        (Some(ticket), Ok(read)) => {
            assert_eq!(read, ticket);
            assert_eq!(ticket.to_string(), text);
            assert_eq!(Ticket::parse(&text.to_lowercase()), Ok(ticket));
        }
        (_, Err(TicketError::TooLong { .. })) | (None, Err(TicketError::Fields(_))) => {}
        (fields, read) => panic!("{fields:?} read as {read:?}"),
    }
}

fn typed(text: &str) {
    match Ticket::parse(text) {
        Ok(ticket) => {
            assert_eq!(Ticket::parse(&ticket.to_string()), Ok(ticket.clone()));
            assert!(!ticket.addresses.is_empty());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    if let Ok(address) = Address::new(text) {
        assert_eq!(address.as_str().parse(), Ok(address.clone()));
    }
}

fn alphabet() -> Encoding {
    let mut specification = Specification::new();
    specification.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    specification.encoding().unwrap()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let ticket = |addresses: &[&str]| Ticket {
        addresses: addresses.iter().map(|address| Address::new(address).unwrap()).collect(),
        authority_key: [0xA5; 32],
        token: Token([0x3C; 16]),
        expires: UnixMillis(1_751_299_199_000),
    };
    let mut seeds = Vec::new();
    for addresses in [&["hub.example.cn:4433"][..], &["[2001:db8::1]:4433", "10.0.0.1:4433"]] {
        let ticket = ticket(addresses);
        seeds.push([&[1], ticket.encode().as_slice()].concat());
        seeds.push([&[0], ticket.to_string().as_bytes()].concat());
        let typed: Vec<String> = ticket.to_string().as_bytes()[4..]
            .chunks(5)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        seeds.push([&[0], format!(" qm1-{}", typed.join("-")).as_bytes()].concat());
    }
    seeds.push(b"\x00hub.example.cn:4433".to_vec());
    seeds
}
