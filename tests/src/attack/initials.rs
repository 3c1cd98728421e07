//! Datagrams that begin a QUIC connection and never go on, from many source ports and addresses of this machine alone.
//!
//! A right Initial is made without a connection: one ClientHello, and for each datagram a fresh connection id from which its
//! keys follow (RFC 9001, section 5.2). That is cheap enough to send more of them than a hub can answer.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use qianmo_protocol::handshake::ALPN_SESSION;
use quinn_proto::crypto::rustls::QuicClientConfig;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};
use rustls::quic::{Algorithm, ClientConnection, Keys, Version};
use rustls::{Side, Tls13CipherSuite};

use super::crowd::any_hub;

/// Bytes of a datagram: the least that RFC 9000 lets an Initial have.
const DATAGRAM_BYTES: usize = 1_200;
/// The connection id that this side would be reached by. All have the same: nobody answers.
const SOURCE_ID: [u8; 8] = *b"attacker";
/// Bytes of a datagram's tag, at its end.
const TAG_BYTES: usize = 16;
/// Different datagrams that are made; then they are sent again, each from another port.
const VARIETY: usize = 8_192;
/// Sockets to send from, each with an address of its own in 127.0.0.0/8.
const SOCKETS: u8 = 64;

/// Makes Initials.
pub struct Initials {
    hello: Vec<u8>,
    suite: &'static Tls13CipherSuite,
    algorithm: &'static dyn Algorithm,
    rng: StdRng,
}

/// How a datagram is spoilt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoilt {
    /// Its tag is wrong.
    Tag,
    /// It is of a version that nobody speaks.
    Version,
    /// It is cut after its header.
    Cut,
    /// Its length points beyond its end.
    Length,
    /// It carries a token that nobody gave.
    Token,
    /// It is noise behind a first byte that could be right.
    Noise,
    /// It is right, but what it carries is no ClientHello.
    Content,
}

impl Spoilt {
    /// Every way.
    pub const ALL: [Self; 7] =
        [Self::Tag, Self::Version, Self::Cut, Self::Length, Self::Token, Self::Noise, Self::Content];
}

impl Initials {
    /// All randomness follows from the seed.
    ///
    /// # Errors
    /// When TLS gives no ClientHello.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let suite = rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256.tls13().context("no TLS 1.3 suite")?;
        let algorithm = suite.quic.context("the suite cannot do QUIC")?;
        // initial_source_connection_id, and nothing else that is needed.
        let parameters = [&[0x0f, 8], SOURCE_ID.as_slice()].concat();
        let config = Arc::new(any_hub(ALPN_SESSION));
        // The same settings must be good for a whole connection, too.
        QuicClientConfig::try_from(Arc::clone(&config))?;
        let mut connection = ClientConnection::new(config, Version::V1, "qianmo".try_into()?, parameters)?;
        let mut hello = Vec::new();
        ensure!(connection.write_hs(&mut hello).is_none() && !hello.is_empty(), "no ClientHello");
        Ok(Self { hello, suite, algorithm, rng: StdRng::seed_from_u64(seed) })
    }

    /// A right Initial that nobody sent before.
    pub fn datagram(&mut self) -> Vec<u8> {
        let hello = self.hello.clone();
        self.around(&hello, &[])
    }

    /// One that is wrong somewhere.
    pub fn spoilt(&mut self, how: Spoilt) -> Vec<u8> {
        let mut datagram = match how {
            Spoilt::Content => {
                let mut noise = vec![0; 300];
                self.rng.fill_bytes(&mut noise);
                return self.around(&noise, &[]);
            }
            Spoilt::Token => {
                let hello = self.hello.clone();
                let mut token = vec![0; 60];
                self.rng.fill_bytes(&mut token);
                return self.around(&hello, &token);
            }
            Spoilt::Tag | Spoilt::Version | Spoilt::Cut | Spoilt::Length | Spoilt::Noise => self.datagram(),
        };
        match how {
            Spoilt::Version => datagram[1..5].copy_from_slice(&[0xba, 0xba, 0xba, 0xba]),
            Spoilt::Cut => datagram.truncate(48),
            Spoilt::Length => datagram[36..38].copy_from_slice(&[0x7f, 0xff]),
            Spoilt::Noise => {
                self.rng.fill_bytes(&mut datagram[1..]);
            }
            Spoilt::Tag | Spoilt::Token | Spoilt::Content => {
                let last = datagram.len() - 1;
                datagram[last] ^= 1;
            }
        }
        datagram
    }

    /// An Initial packet with one CRYPTO frame, padded, sealed and with its header masked.
    fn around(&mut self, crypto: &[u8], token: &[u8]) -> Vec<u8> {
        let mut id = [0; 20];
        self.rng.fill_bytes(&mut id);
        let keys = Keys::initial(Version::V1, self.suite, self.algorithm, &id, Side::Client);
        let mut header = vec![0xc3, 0, 0, 0, 1, 20];
        header.extend_from_slice(&id);
        header.push(8);
        header.extend_from_slice(&SOURCE_ID);
        header.push(u8::try_from(token.len()).unwrap());
        header.extend_from_slice(token);
        // Length in two bytes, packet number in four.
        let rest = DATAGRAM_BYTES - header.len() - 2;
        header.extend_from_slice(&(0x4000 | u16::try_from(rest).unwrap()).to_be_bytes());
        let number_at = header.len();
        header.extend_from_slice(&[0; 4]);
        let length = u16::try_from(crypto.len()).unwrap() | 0x4000;
        let mut payload = [&[0x06, 0], length.to_be_bytes().as_slice(), crypto].concat();
        payload.resize(rest - 4 - TAG_BYTES, 0);
        let tag = keys.local.packet.encrypt_in_place(0, &header, &mut payload).unwrap();
        let mut datagram = [header, payload, tag.as_ref().to_vec()].concat();
        let sample = datagram[number_at + 4..number_at + 20].to_vec();
        let (first, others) = datagram.split_at_mut(number_at);
        keys.local.header.encrypt_in_place(&sample, &mut first[0], &mut others[..4]).unwrap();
        datagram
    }
}

/// Sockets of many addresses of this machine.
///
/// # Errors
/// When one cannot be had.
pub fn sockets() -> anyhow::Result<Vec<UdpSocket>> {
    let open = |number: u8| Ok(UdpSocket::bind((Ipv4Addr::new(127, 1, 0, number), 0))?);
    (1..=SOCKETS).map(open).collect()
}

/// Sends so many Initials a second for a while, and says how many it sent. Blocks; nothing but loopback is ever sent to.
///
/// # Errors
/// When the address is not of this machine, or nothing can be sent.
pub fn flood(to: SocketAddr, per_second: u32, lasting: Duration, seed: u64) -> anyhow::Result<u64> {
    ensure!(to.ip().is_loopback(), "{to} is not of this machine");
    let mut initials = Initials::new(seed)?;
    let datagrams: Vec<Vec<u8>> = (0..VARIETY).map(|_| initials.datagram()).collect();
    let sockets = sockets()?;
    let began = Instant::now();
    let mut sent = 0_u64;
    while began.elapsed() < lasting {
        let due = began.elapsed().as_secs_f64() * f64::from(per_second);
        while sent_as_f64(sent) < due && began.elapsed() < lasting {
            let number = usize::try_from(sent).unwrap();
            // A full buffer is the hub's loss of this datagram, not an error.
            sockets[number % sockets.len()].send_to(&datagrams[number % VARIETY], to).unwrap_or_default();
            sent += 1;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

fn sent_as_f64(sent: u64) -> f64 {
    f64::from(u32::try_from(sent).unwrap_or(u32::MAX))
}
