//! Device and hub over real QUIC on loopback: who gets in, who does not, what it costs, and how it ends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "test harness: a failed step is the failure"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use qianmo_client_core::enroll::{EnrollError, EnrollOptions, Enrolled, enroll};
use qianmo_client_core::transport::{ConnectError, DeviceIdentity, Dialer, Incompatible, Link, LinkError, Purpose};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{
    ALPN_ENROL, ALPN_SESSION, Address, EnrolAsk, EnrolRefusal, EnrolReply, EnrolWelcome, Ticket, Token,
};
use qianmo_protocol::ids::{BlobHash, Code, DeviceId, HubId};
use qianmo_protocol::session::message::{Blob, Bye, ByeReason, Message};
use qianmo_protocol::time::UnixMillis;
use qianmo_server::authority::{Authority, ServerIdentity};
use qianmo_server::listener::{Accepted, ConnectionHandler, EnrolHandler, Listener, ListenerConfig};
use qianmo_tests::attack::crowd::any_hub;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::net::UdpSocket;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

const WITHIN: Duration = Duration::from_secs(20);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const GOOD_TOKEN: Token = Token([7; 16]);
const WRONG_CERTIFICATE_TOKEN: Token = Token([8; 16]);

/// Answers every message with itself; a `Subscribe` keeps the connection until the hub stops.
struct Echo;

impl ConnectionHandler for Echo {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let Accepted { mut link, mut stopping, device, device_key } = accepted;
        assert_eq!(device, DeviceId::from_key(&device_key));
        loop {
            let received = tokio::select! {
                received = link.recv_message() => received,
                () = stopping.wait() => return CloseCode::ShuttingDown,
            };
            match received {
                Ok(Some(message)) => {
                    if link.send_frame(&message.encode_frame()).await.is_err() {
                        return CloseCode::Done;
                    }
                }
                Ok(None) => return CloseCode::Done,
                Err(error) => return error.close_code(),
            }
        }
    }
}

/// Never ends by itself.
struct Stubborn;

impl ConnectionHandler for Stubborn {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let mut link = accepted.link;
        while let Ok(Some(_)) = link.recv_message().await {}
        CloseCode::Done
    }
}

struct Registry {
    authority: Arc<Authority>,
}

impl EnrolHandler for Registry {
    fn enrol(&self, ask: &EnrolAsk, now: UnixMillis) -> EnrolReply {
        assert!(now.0 > 1_700_000_000_000);
        let certified = match ask.token {
            GOOD_TOKEN => ask.device_key,
            WRONG_CERTIFICATE_TOKEN => [9; 32],
            Token(_) => return EnrolReply::Refused(EnrolRefusal::UnknownToken),
        };
        EnrolReply::Welcome(Box::new(EnrolWelcome {
            device_certificate: self.authority.issue_device(&certified).unwrap(),
            authority_certificate: self.authority.certificate().to_vec(),
            org: self.authority.org(),
            authority_key: self.authority.public_key(),
            hub: HubId([4; 8]),
            station: Code::new("ST01").unwrap(),
            persons: vec![Code::new("E001").unwrap()],
            org_name: ask.label.clone().unwrap_or_default(),
            control_entries: vec![vec![1, 2, 3]],
        }))
    }
}

struct Hub {
    authority: Arc<Authority>,
    listener: Listener,
}

fn authority(seed: u64) -> Arc<Authority> {
    Arc::new(Authority::generate(&mut StdRng::seed_from_u64(seed)).unwrap())
}

fn hub_with<H: ConnectionHandler>(handler: H, change: impl FnOnce(&mut ListenerConfig)) -> Hub {
    let authority = authority(1);
    let identity = authority.issue_server(&mut StdRng::seed_from_u64(2)).unwrap();
    start(authority, &identity, handler, change)
}

fn start<H: ConnectionHandler>(
    authority: Arc<Authority>,
    identity: &ServerIdentity,
    handler: H,
    change: impl FnOnce(&mut ListenerConfig),
) -> Hub {
    let mut config = ListenerConfig::new(LOCAL);
    change(&mut config);
    let registry = Registry { authority: Arc::clone(&authority) };
    let key = authority.public_key();
    let listener = Listener::start(config, &key, identity, Arc::new(handler), Arc::new(registry)).unwrap();
    Hub { authority, listener }
}

fn hub() -> Hub {
    hub_with(Echo, |_| {})
}

impl Hub {
    fn addresses(&self) -> Vec<Address> {
        vec![self.listener.local_address().into()]
    }

    fn ticket(&self, token: Token) -> Ticket {
        let expires = UnixMillis(4_000_000_000_000);
        Ticket { addresses: self.addresses(), authority_key: self.authority.public_key(), token, expires }
    }

    /// A device enrolled out of band.
    fn device(&self, seed: u64) -> DeviceIdentity {
        device_of(&self.authority, self.authority.public_key(), seed)
    }

    fn dialer(&self, seed: u64) -> Dialer {
        Dialer::new(&self.device(seed), LOCAL).unwrap()
    }

    async fn connect(&self, seed: u64) -> Link {
        self.dialer(seed).connect(&self.addresses(), Purpose::Session, WITHIN).await.unwrap()
    }
}

fn device_of(issuer: &Authority, authority_key: [u8; 32], seed: u64) -> DeviceIdentity {
    let key = authority(1_000 + seed).signing_key().clone();
    let certificate = issuer.issue_device(&key.verifying_key().to_bytes()).unwrap();
    DeviceIdentity { key, certificate, authority_key }
}

fn bye() -> Message {
    Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None })
}

/// A message of about so many bytes.
fn padded(bytes: usize) -> Message {
    Message::Blob(Blob::Bytes { hash: BlobHash([5; 32]), from: 0, bytes: vec![0xA7; bytes.saturating_sub(38)] })
}

async fn echo(link: &mut Link, message: &Message) -> Result<Message, LinkError> {
    link.send_frame(&message.encode_frame()).await?;
    Ok(timeout(WITHIN, link.recv_message()).await.expect("an answer in time")?.expect("an answer"))
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(WITHIN, waiting).await.is_ok(), "never: {what}");
}

async fn closed_with(link: Link) -> Option<CloseCode> {
    match timeout(WITHIN, link.closed()).await.expect("the hub closes in time") {
        LinkError::Closed { code } => code,
        other => panic!("ended otherwise: {other:?}"),
    }
}

// Getting in.

#[tokio::test(flavor = "multi_thread")]
async fn tablet_enrols_with_a_ticket_and_then_talks() {
    let hub = hub();
    let ticket = Ticket::parse(&hub.ticket(GOOD_TOKEN).to_string()).unwrap();
    let key = authority(50).signing_key().clone();
    let options = EnrollOptions { label: Some("果园一号".to_owned()), ..EnrollOptions::default() };
    let enrolled: Enrolled = enroll(&ticket, &key, &options, WITHIN).await.unwrap();
    assert_eq!(enrolled.org, hub.authority.org());
    assert_eq!(enrolled.org_name, "果园一号");
    assert_eq!(enrolled.station.as_str(), "ST01");
    assert_eq!(enrolled.control_entries, [vec![1, 2, 3]]);

    // A second ask with the same key, as after a lost answer, gives the same device.
    let again = enroll(&ticket, &key, &options, WITHIN).await.unwrap();
    assert_eq!(again.identity.certificate, enrolled.identity.certificate);
    assert_eq!(hub.listener.counts().enrolments, 2);

    let dialer = Dialer::new(&enrolled.identity, LOCAL).unwrap();
    let mut link = dialer.connect(&hub.addresses(), Purpose::Session, WITHIN).await.unwrap();
    assert_eq!(echo(&mut link, &bye()).await.unwrap(), bye());
    assert_eq!(hub.listener.connections().devices(), [enrolled.device]);
    link.close(CloseCode::Done).await;
    let connections = hub.listener.connections();
    until("the closed connection leaves the registry", || connections.is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ticket_of_another_organisation_never_shows_the_token() {
    let hub = hub();
    let ticket = Ticket { authority_key: authority(9).public_key(), ..hub.ticket(GOOD_TOKEN) };
    let key = authority(50).signing_key().clone();
    let error = enroll(&ticket, &key, &EnrollOptions::default(), WITHIN).await.unwrap_err();
    assert!(matches!(error, EnrollError::Connect(ConnectError::WrongOrganisation)), "{error:?}");
    assert_eq!(hub.listener.counts().enrolments, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_ticket_says_why_and_is_not_tried_again() {
    let hub = hub();
    let key = authority(50).signing_key().clone();
    let error = enroll(&hub.ticket(Token([0; 16])), &key, &EnrollOptions::default(), WITHIN).await.unwrap_err();
    assert!(matches!(error, EnrollError::Refused(EnrolRefusal::UnknownToken)), "{error:?}");
    assert!(!error.is_retryable());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_for_another_key_is_not_kept() {
    let hub = hub();
    let key = authority(50).signing_key().clone();
    let ticket = hub.ticket(WRONG_CERTIFICATE_TOKEN);
    let error = enroll(&ticket, &key, &EnrollOptions::default(), WITHIN).await.unwrap_err();
    assert!(matches!(error, EnrollError::WrongAnswer { what: "device certificate" }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_cannot_take_more_than_the_enrolment_places() {
    let hub = hub_with(Echo, |config| config.enrolments_max = 1);
    let (endpoint, config) = stranger(ALPN_ENROL);
    let silent = endpoint.connect_with(config, hub.listener.local_address(), "x").unwrap().await.unwrap();
    let shaken = |hub: &Hub| hub.listener.counts().open == 1 && hub.listener.counts().half_open == 0;
    until("the stranger holds the only place", || shaken(&hub)).await;
    let key = authority(50).signing_key().clone();
    let options = EnrollOptions::default();
    let error = enroll(&hub.ticket(GOOD_TOKEN), &key, &options, WITHIN).await.unwrap_err();
    let busy = matches!(error, EnrollError::Broken(LinkError::Closed { code: Some(CloseCode::Busy) }));
    assert!(busy && error.is_retryable(), "{error:?}");
    assert!(echo(&mut hub.connect(1).await, &bye()).await.is_ok(), "sessions have their own places");
    silent.close(0_u32.into(), b"");
    until("the place is free", || hub.listener.counts().open == 0).await;
    assert!(enroll(&hub.ticket(GOOD_TOKEN), &key, &options, WITHIN).await.is_ok());
}

// Staying out.

#[tokio::test(flavor = "multi_thread")]
async fn hub_of_another_organisation_is_not_talked_to() {
    let hub = hub();
    let identity = device_of(&hub.authority, authority(9).public_key(), 1);
    let dialer = Dialer::new(&identity, LOCAL).unwrap();
    let error = dialer.connect(&hub.addresses(), Purpose::Session, WITHIN).await.unwrap_err();
    assert!(matches!(error, ConnectError::WrongOrganisation), "{error:?}");
    assert_eq!(hub.listener.counts().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_another_organisation_is_refused() {
    let hub = hub();
    let identity = device_of(&authority(9), hub.authority.public_key(), 1);
    let dialer = Dialer::new(&identity, LOCAL).unwrap();
    // The device is done with the handshake before the hub judges its certificate, so either step may tell.
    let code = match dialer.connect(&hub.addresses(), Purpose::Session, WITHIN).await {
        Ok(link) => closed_with(link).await,
        Err(ConnectError::Rejected { code }) => Some(code),
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(code, Some(CloseCode::NotEnrolled));
    assert!(hub.listener.connections().is_empty());
    assert_eq!(hub.listener.counts().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn device_certificate_cannot_serve_as_a_hub() {
    let authority = authority(1);
    let thief = device_of(&authority, authority.public_key(), 66);
    let identity = ServerIdentity { certificate: thief.certificate, key: thief.key };
    let false_hub = start(authority, &identity, Echo, |_| {});
    let dialer = false_hub.dialer(1);
    let error = dialer.connect(&false_hub.addresses(), Purpose::Session, WITHIN).await.unwrap_err();
    assert!(matches!(error, ConnectError::WrongOrganisation), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_without_a_certificate_is_closed_as_not_enrolled() {
    let hub = hub();
    let (endpoint, config) = stranger(ALPN_SESSION);
    let connection = endpoint.connect_with(config, hub.listener.local_address(), "x").unwrap().await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&bye().encode_frame()).await.unwrap_or_default();
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            assert_eq!(CloseCode::from_number(close.error_code.into_inner()), Some(CloseCode::NotEnrolled));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(hub.listener.counts().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_application_protocol_ends_the_handshake() {
    let hub = hub();
    let (endpoint, config) = stranger(b"qianmo/99");
    let error = endpoint.connect_with(config, hub.listener.local_address(), "x").unwrap().await.unwrap_err();
    match error {
        quinn::ConnectionError::ConnectionClosed(close) => {
            assert_eq!(u64::from(close.error_code), 0x100 + 120, "no_application_protocol");
        }
        other => panic!("{other:?}"),
    }
    until("the failed handshake is counted", || hub.listener.counts().handshakes_failed == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hub_that_speaks_another_protocol_is_incompatible() {
    let authority = authority(1);
    let identity = authority.issue_server(&mut StdRng::seed_from_u64(2)).unwrap();
    let endpoint = other_server(&identity, b"qianmo/99");
    let device = device_of(&authority, authority.public_key(), 1);
    let dialer = Dialer::new(&device, LOCAL).unwrap();
    let address = endpoint.local_addr().unwrap().into();
    let accepting = tokio::spawn(async move {
        while let Some(incoming) = endpoint.accept().await {
            drop(incoming.await);
        }
    });
    let error = dialer.connect(&[address], Purpose::Session, WITHIN).await.unwrap_err();
    assert!(matches!(error, ConnectError::PeerIncompatible(Incompatible::Protocol)), "{error:?}");
    assert!(!error.is_retryable());
    accepting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_close_the_connection() {
    let hub = hub();
    let mut link = hub.connect(1).await;
    link.send_frame(&[200, 1, 0]).await.unwrap();
    assert_eq!(closed_with(link).await, Some(CloseCode::ProtocolViolation));

    let mut link = hub.connect(1).await;
    assert!(echo(&mut link, &bye()).await.is_ok());
    link.send_frame(&[4, 0xff, 0xff, 0xff, 0x7f]).await.unwrap();
    assert_eq!(closed_with(link).await, Some(CloseCode::OverLimit));
    until("both connections are gone", || hub.listener.connections().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connection_is_closed_at_the_first_frame_deadline() {
    let hub = hub_with(Echo, |config| config.first_frame_deadline = Duration::from_millis(100));
    let mut link = hub.connect(1).await;
    link.send_frame(&[4]).await.unwrap();
    assert_eq!(closed_with(link).await, Some(CloseCode::TimedOut));
    assert_eq!(hub.listener.counts().sessions, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_at_the_address_is_a_retryable_timeout() {
    let silent = UdpSocket::bind(LOCAL).await.unwrap();
    let hub = hub();
    let dialer = hub.dialer(1);
    let addresses = [silent.local_addr().unwrap().into()];
    let error = dialer.connect(&addresses, Purpose::Session, Duration::from_millis(200)).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    assert!(error.is_retryable());

    // With the living address second, the dead one only delays; the next time the living one is first.
    let both = [addresses[0].clone(), hub.addresses()[0].clone()];
    dialer.connect(&both, Purpose::Session, WITHIN).await.unwrap();
    let began = std::time::Instant::now();
    dialer.connect(&both, Purpose::Session, WITHIN).await.unwrap();
    assert!(began.elapsed() < qianmo_client_core::transport::ATTEMPT_GAP, "{:?}", began.elapsed());
}

// Being thrown out, and stopping.

#[tokio::test(flavor = "multi_thread")]
async fn revocation_closes_an_open_connection_at_once() {
    let hub = hub();
    let mut revoked = hub.connect(1).await;
    let mut other = hub.connect(2).await;
    assert!(echo(&mut revoked, &bye()).await.is_ok());
    assert!(echo(&mut other, &bye()).await.is_ok());
    let device = DeviceId::from_key(&hub.device(1).key.verifying_key().to_bytes());
    let began = std::time::Instant::now();
    assert_eq!(hub.listener.connections().close(&device, CloseCode::Revoked), 1);
    assert_eq!(closed_with(revoked).await, Some(CloseCode::Revoked));
    println!("revoked connection closed after {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1));
    assert!(echo(&mut other, &bye()).await.is_ok());
    let connections = hub.listener.connections();
    until("the revoked connection leaves the registry", || connections.len() == 1).await;
    assert_eq!(connections.close(&device, CloseCode::Revoked), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_over_the_device_limit_closes_the_oldest() {
    let hub = hub_with(Echo, |config| config.connections_per_device_max = 2);
    let mut links = Vec::new();
    for _ in 0..3 {
        let mut link = hub.connect(1).await;
        assert!(echo(&mut link, &bye()).await.is_ok());
        links.push(link);
    }
    assert_eq!(closed_with(links.remove(0)).await, Some(CloseCode::TooManyConnections));
    for mut link in links {
        assert!(echo(&mut link, &bye()).await.is_ok());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_hub_tells_its_sessions_and_takes_no_more() {
    let hub = hub();
    let mut link = hub.connect(1).await;
    assert!(echo(&mut link, &bye()).await.is_ok());
    let (addresses, dialer) = (hub.addresses(), hub.dialer(2));
    let began = std::time::Instant::now();
    hub.listener.shutdown(WITHIN).await;
    assert!(began.elapsed() < Duration::from_secs(5), "a polite session does not hold up the stop");
    assert_eq!(closed_with(link).await, Some(CloseCode::ShuttingDown));
    let refused = dialer.connect(&addresses, Purpose::Session, Duration::from_millis(300)).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn stubborn_session_is_closed_at_the_end_of_the_time_to_stop() {
    let hub = hub_with(Stubborn, |_| {});
    let mut link = hub.connect(1).await;
    link.send_frame(&bye().encode_frame()).await.unwrap();
    until("the session is served", || hub.listener.counts().sessions == 1).await;
    hub.listener.shutdown(Duration::from_millis(100)).await;
    assert_eq!(closed_with(link).await, Some(CloseCode::ShuttingDown));
}

// Load and cost.

/// Carries datagrams between one client and the hub, counts them, and can go deaf.
struct Wire {
    address: SocketAddr,
    to_hub: Arc<AtomicU64>,
    from_hub: Arc<AtomicU64>,
    deaf: Arc<AtomicBool>,
}

impl Wire {
    async fn new(hub: SocketAddr) -> Self {
        let near = UdpSocket::bind(LOCAL).await.unwrap();
        let far = UdpSocket::bind(LOCAL).await.unwrap();
        far.connect(hub).await.unwrap();
        let address = near.local_addr().unwrap();
        let wire = Self { address, to_hub: Arc::default(), from_hub: Arc::default(), deaf: Arc::default() };
        let (to_hub, from_hub, deaf) = (wire.to_hub.clone(), wire.from_hub.clone(), wire.deaf.clone());
        tokio::spawn(async move {
            let (mut up, mut down) = ([0; 2_048], [0; 2_048]);
            let mut client = None;
            loop {
                tokio::select! {
                    Ok((len, from)) = near.recv_from(&mut up) => {
                        client = Some(from);
                        to_hub.fetch_add(len as u64, Ordering::Relaxed);
                        far.send(&up[..len]).await.unwrap();
                    }
                    Ok(len) = far.recv(&mut down) => {
                        from_hub.fetch_add(len as u64, Ordering::Relaxed);
                        if let Some(client) = client.filter(|_| !deaf.load(Ordering::Relaxed)) {
                            near.send_to(&down[..len], client).await.unwrap();
                        }
                    }
                }
            }
        });
        wire
    }

    fn both_ways(&self) -> u64 {
        self.to_hub.load(Ordering::Relaxed) + self.from_hub.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn near_empty_exchange_costs_at_most_4500_bytes_with_its_handshake() {
    let hub = hub();
    let dialer = hub.dialer(1);
    for message in [bye(), padded(150)] {
        let wire = Wire::new(hub.listener.local_address()).await;
        let mut link = dialer.connect(&[wire.address.into()], Purpose::Session, WITHIN).await.unwrap();
        assert_eq!(echo(&mut link, &message).await.unwrap(), message);
        let traffic = link.close(CloseCode::Done).await;
        let connections = hub.listener.connections();
        until("the hub saw the close", || connections.is_empty()).await;
        let total = wire.both_ways();
        println!(
            "{} bytes and their echo: {} up + {} down = {total} UDP bytes, handshake and close included",
            traffic.stream_sent,
            wire.to_hub.load(Ordering::Relaxed),
            wire.from_hub.load(Ordering::Relaxed)
        );
        assert!(total <= 4_500, "{total} bytes");
        // The device's own count is what the wire saw.
        assert_eq!(traffic.udp_sent, wire.to_hub.load(Ordering::Relaxed));
        assert!(traffic.udp_received <= wire.from_hub.load(Ordering::Relaxed));
        assert!(traffic.stream_sent > 0 && traffic.stream_sent == traffic.stream_received);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_must_prove_their_address_only_past_the_half_open_limit() {
    let hub = hub_with(Echo, |config| config.half_open_before_retry = 2);
    hub.connect(1).await;
    assert_eq!(hub.listener.counts().retried, 0);

    // Two handshakes hang: the hub's answers never arrive.
    let mut hanging = Vec::new();
    for seed in [2, 3] {
        let wire = Wire::new(hub.listener.local_address()).await;
        wire.deaf.store(true, Ordering::Relaxed);
        let dialer = hub.dialer(seed);
        hanging.push(tokio::spawn(async move {
            dialer.connect(&[wire.address.into()], Purpose::Session, WITHIN).await.map(drop)
        }));
    }
    until("two are half-open", || hub.listener.counts().half_open == 2).await;
    let dialer = hub.dialer(4);
    let mut link = dialer.connect(&hub.addresses(), Purpose::Session, WITHIN).await.unwrap();
    assert!(echo(&mut link, &bye()).await.is_ok());
    assert_eq!(hub.listener.counts().retried, 1);
    link.close(CloseCode::Done).await;

    // The token that this device was given spares it the Retry the next time.
    let mut link = dialer.connect(&hub.addresses(), Purpose::Session, WITHIN).await.unwrap();
    assert!(echo(&mut link, &bye()).await.is_ok());
    assert_eq!(hub.listener.counts().half_open, 2, "still under load");
    assert_eq!(hub.listener.counts().retried, 1);
    for attempt in hanging {
        attempt.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_bounded_and_end_at_the_handshake_deadline() {
    let hub = hub_with(Echo, |config| {
        config.half_open_before_retry = 100;
        config.half_open_max = 1;
        config.handshake_deadline = Duration::from_millis(400);
    });
    let wire = Wire::new(hub.listener.local_address()).await;
    wire.deaf.store(true, Ordering::Relaxed);
    let (dialer, address) = (hub.dialer(1), wire.address);
    let hanging =
        tokio::spawn(async move { dialer.connect(&[address.into()], Purpose::Session, WITHIN).await.map(drop) });
    until("one is half-open", || hub.listener.counts().half_open == 1).await;
    let refused = hub.dialer(2).connect(&hub.addresses(), Purpose::Session, WITHIN).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Rejected { code: CloseCode::Busy }), "{refused:?}");
    until("the hanging handshake is given up", || hub.listener.counts().half_open == 0).await;
    assert!(hub.dialer(2).connect(&hub.addresses(), Purpose::Session, WITHIN).await.is_ok());
    hanging.abort();
}

/// Reads nothing more after the first message until it is let go.
struct Slow(Arc<Semaphore>);

impl ConnectionHandler for Slow {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let mut link = accepted.link;
        self.0.acquire().await.unwrap().forget();
        let mut received = 0_u32;
        while let Ok(Some(Message::Blob(_))) = link.recv_message().await {
            received += 1;
        }
        let count = Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: Some(received) });
        if link.send_frame(&count.encode_frame()).await.is_err() || link.flush().await.is_err() {
            return CloseCode::Internal;
        }
        CloseCode::Done
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sender_waits_for_a_slow_hub_and_nothing_is_lost() {
    let go = Arc::new(Semaphore::new(0));
    let hub = hub_with(Slow(Arc::clone(&go)), |_| {});
    let frame = padded(60_000).encode_frame();
    let mut link = hub.connect(1).await;
    let (sender, receiver) = link.split();
    let sent = AtomicU64::new(0);
    let sending = async {
        for _ in 0..200 {
            sender.send_frame(&frame).await.unwrap();
            sent.fetch_add(1, Ordering::Relaxed);
        }
        sender.send_frame(&bye().encode_frame()).await.unwrap();
    };
    tokio::pin!(sending);
    assert!(timeout(Duration::from_millis(300), &mut sending).await.is_err(), "12 MB went to a hub that does not read");
    let before = sent.load(Ordering::Relaxed);
    println!("the sender waits after {before} frames of 60 kB");
    assert!((1..20).contains(&before), "{before}");

    go.add_permits(1);
    let (_, answer) = timeout(WITHIN, async { tokio::join!(sending, receiver.recv_message()) }).await.unwrap();
    let all = Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: Some(200) });
    assert_eq!(answer.unwrap().unwrap(), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_stream_goes_beside_the_session() {
    let hub = hub_with(BlobEcho, |config| config.blob_streams_max = 1);
    let mut link = hub.connect(1).await;
    link.send_frame(&bye().encode_frame()).await.unwrap();
    let mut blob = link.open_blob_stream().await.unwrap();
    let message = padded(60_000);
    blob.sender.send_frame(&message.encode_frame()).await.unwrap();
    assert_eq!(timeout(WITHIN, blob.receiver.recv_message()).await.unwrap().unwrap(), Some(message));
    assert!(link.traffic().stream_sent > 60_000);
}

/// Takes one further stream and answers on it.
struct BlobEcho;

impl ConnectionHandler for BlobEcho {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let mut stream = accepted.link.accept_stream().await.unwrap();
        while let Ok(Some(message)) = stream.receiver.recv_message().await {
            stream.sender.send_frame(&message.encode_frame()).await.unwrap();
        }
        CloseCode::Done
    }
}

// Peers that are neither ours nor polite.

fn ring() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn stranger(protocol: &[u8]) -> (quinn::Endpoint, quinn::ClientConfig) {
    let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(any_hub(protocol)).unwrap();
    (quinn::Endpoint::client(LOCAL).unwrap(), quinn::ClientConfig::new(Arc::new(crypto)))
}

fn other_server(identity: &ServerIdentity, protocol: &[u8]) -> quinn::Endpoint {
    let key = qianmo_protocol::handshake::pkcs8_of_seed(identity.key.as_bytes());
    let mut tls = rustls::ServerConfig::builder_with_provider(ring())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![identity.certificate.clone().into()],
            rustls::pki_types::PrivatePkcs8KeyDer::from(key).into(),
        )
        .unwrap();
    tls.alpn_protocols = vec![protocol.to_vec()];
    let crypto = quinn::crypto::rustls::QuicServerConfig::try_from(tls).unwrap();
    quinn::Endpoint::server(quinn::ServerConfig::with_crypto(Arc::new(crypto)), LOCAL).unwrap()
}
