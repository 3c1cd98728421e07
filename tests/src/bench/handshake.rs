//! What a QUIC handshake with mutual TLS costs each side.
//!
//! The program's own listener and dialer over loopback, each on a thread of its own with a runtime of its own, so that a
//! thread's processor time (user and system) is that of one side. A connection is opened, carries one message each way, and
//! is closed.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use ed25519_dalek::{Signer as _, SigningKey};
use qianmo_client_core::transport::{DeviceIdentity, Dialer, Purpose};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{Address, EnrolAsk, EnrolRefusal, EnrolReply};
use qianmo_protocol::session::message::{Bye, ByeReason, Message};
use qianmo_protocol::time::UnixMillis;
use qianmo_server::authority::Authority;
use qianmo_server::listener::{Accepted, ConnectionHandler, EnrolHandler, Listener, ListenerConfig};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use super::{millis, ratio};
use crate::world::thread_cpu;

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Connections before it counts.
const WARM_UP: usize = 20;
const WITHIN: Duration = Duration::from_secs(20);

/// What one handshake cost on average.
#[derive(Debug, Clone, Copy)]
pub struct Handshake {
    /// How many were measured.
    pub count: usize,
    /// Processor time of the hub.
    pub hub: Duration,
    /// Processor time of the tablet.
    pub tablet: Duration,
    /// From the first datagram to the answered message.
    pub wall: Duration,
    /// What the signatures of one side alone take: one made, two checked.
    pub signatures: Duration,
}

impl Handshake {
    /// As a figure.
    #[must_use]
    pub fn values(&self) -> Value {
        json!({
            "handshakes": self.count,
            "cpu_hub_ms": millis(self.hub),
            "cpu_tablet_ms": millis(self.tablet),
            "wall_ms": millis(self.wall),
            "floor_signatures_ms": millis(self.signatures),
            "hub_ratio_to_floor": ratio(self.hub.as_secs_f64(), self.signatures.as_secs_f64()),
        })
    }
}

/// Answers every message with itself, and notes its thread's processor time at each connection.
#[derive(Default)]
struct Noting {
    at: Mutex<Vec<Duration>>,
}

impl ConnectionHandler for Noting {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        self.at.lock().unwrap_or_else(PoisonError::into_inner).push(thread_cpu());
        let mut link = accepted.link;
        while let Ok(Some(message)) = link.recv_message().await {
            if link.send_frame(&message.encode_frame()).await.is_err() {
                break;
            }
        }
        CloseCode::Done
    }
}

/// Nobody enrols here.
struct Closed;

impl EnrolHandler for Closed {
    fn enrol(&self, _ask: &EnrolAsk, _now: UnixMillis) -> EnrolReply {
        EnrolReply::Refused(EnrolRefusal::UnknownToken)
    }
}

/// Measures so many handshakes one after the other.
///
/// # Errors
/// When one fails.
pub fn measure(seed: u64, count: usize) -> anyhow::Result<Handshake> {
    let mut rng = StdRng::seed_from_u64(seed);
    let authority = Authority::generate(&mut rng)?;
    let server = authority.issue_server(&mut rng)?;
    let key = SigningKey::from_bytes(&rand::Rng::random(&mut rng));
    let certificate = authority.issue_device(&key.verifying_key().to_bytes())?;
    let device = DeviceIdentity { key: key.clone(), certificate, authority_key: authority.public_key() };
    let dialer = Dialer::new(&device, LOCAL)?;
    let noting = Arc::new(Noting::default());
    let (tell_address, address) = mpsc::channel();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (tablet, wall) = std::thread::scope(|scope| {
        let handler = Arc::clone(&noting);
        let hub = scope.spawn(move || {
            runtime()?.block_on(async move {
                let config = ListenerConfig::new(LOCAL);
                let key = authority.public_key();
                let listener = Listener::start(config, &key, &server, handler, Arc::new(Closed))?;
                tell_address.send(listener.local_address())?;
                // Either word means that it is over.
                stopped.await.unwrap_or_default();
                listener.shutdown(Duration::from_secs(1)).await;
                anyhow::Ok(())
            })
        });
        let costs = address.recv().context("the hub did not start").and_then(|address| {
            let addresses = [Address::from(address)];
            runtime()?.block_on(connect_often(&dialer, &addresses, count))
        });
        stop.send(()).unwrap_or_default();
        hub.join().map_err(|_panic| anyhow::anyhow!("the hub's thread panicked"))??;
        costs
    })?;
    let at = noting.at.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let (first, last) = (at.get(WARM_UP - 1).copied(), at.get(WARM_UP + count - 1).copied());
    let hub = last.zip(first).map(|(last, first)| last - first).context("the hub saw fewer connections")?;
    let each = u32::try_from(count.max(1))?;
    Ok(Handshake { count, hub: hub / each, tablet: tablet / each, wall: wall / each, signatures: signatures(&key) })
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// The tablet's processor time and the time by the clock, of all connections but the first ones.
async fn connect_often(dialer: &Dialer, addresses: &[Address], count: usize) -> anyhow::Result<(Duration, Duration)> {
    let bye = Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None });
    let frame = bye.encode_frame();
    let (mut start, mut wall) = (Duration::ZERO, Duration::ZERO);
    for number in 0..WARM_UP + count {
        if number == WARM_UP {
            (start, wall) = (thread_cpu(), Duration::ZERO);
        }
        let clock = Instant::now();
        let mut link = dialer.connect(addresses, Purpose::Session, WITHIN).await?;
        link.send_frame(&frame).await?;
        let answer = link.recv_message().await?;
        wall += clock.elapsed();
        anyhow::ensure!(answer.as_ref() == Some(&bye), "the hub answered otherwise: {answer:?}");
        link.close(CloseCode::Done).await;
    }
    Ok((thread_cpu() - start, wall))
}

/// One signature made and two checked: less than any mutual handshake can do with.
fn signatures(key: &SigningKey) -> Duration {
    const ROUNDS: u32 = 200;
    let message = [7; 130];
    let signature = key.sign(&message);
    let start = thread_cpu();
    for _ in 0..ROUNDS {
        std::hint::black_box(key.sign(std::hint::black_box(&message)));
        for _ in 0..2 {
            let checked = key.verifying_key().verify_strict(std::hint::black_box(&message), &signature);
            assert!(checked.is_ok(), "our own signature is good");
        }
    }
    (thread_cpu() - start) / ROUNDS
}
