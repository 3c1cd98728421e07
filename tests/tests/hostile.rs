//! Peers that are slow, greedy or never read, against a real hub on loopback: who is thrown out, when, and who is not held up.
//! And the known attacks: each ends as it must (`attack` measures what they cost).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "test harness: a failed step is the failure"
)]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qianmo_client_core::transport::{DeviceIdentity, Dialer, Link, LinkError, Purpose};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{Address, EnrolAsk, EnrolRefusal, EnrolReply};
use qianmo_protocol::ids::BlobHash;
use qianmo_protocol::session::message::{Blob, Bye, ByeReason, Message};
use qianmo_protocol::time::UnixMillis;
use qianmo_server::authority::Authority;
use qianmo_server::listener::{Accepted, ConnectionHandler, EnrolHandler, Listener, ListenerConfig, Pace};
use qianmo_tests::attack::initials::{Initials, Spoilt, sockets};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(20);
const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// Reads what comes and answers each message with the same; a `Subscribe` is answered with messages without end.
#[derive(Default)]
struct Talkative {
    sent: AtomicU64,
}

impl ConnectionHandler for Talkative {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let mut link = accepted.link;
        loop {
            match link.recv_message().await {
                Ok(Some(Message::Subscribe)) => loop {
                    if let Err(error) = link.send_frame(&large().encode_frame()).await {
                        return error.close_code();
                    }
                    self.sent.fetch_add(1, Ordering::Relaxed);
                },
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

struct Closed;

impl EnrolHandler for Closed {
    fn enrol(&self, _ask: &EnrolAsk, _now: UnixMillis) -> EnrolReply {
        EnrolReply::Refused(EnrolRefusal::UnknownToken)
    }
}

struct Hub {
    authority: Authority,
    listener: Listener,
    handler: Arc<Talkative>,
}

/// A hub whose paces are so quick that a test can wait for them.
fn hub(change: impl FnOnce(&mut ListenerConfig)) -> Hub {
    let mut rng = StdRng::seed_from_u64(1);
    let authority = Authority::generate(&mut rng).unwrap();
    let identity = authority.issue_server(&mut rng).unwrap();
    let mut config = ListenerConfig::new(LOCAL);
    config.pace = Pace {
        receive_within: Duration::from_millis(400),
        send_within: Duration::from_millis(400),
        bytes_min: 1_000,
        quiet_max: Duration::from_millis(400),
        last_words_within: Duration::from_millis(400),
    };
    change(&mut config);
    let handler = Arc::<Talkative>::default();
    let key = authority.public_key();
    let listener = Listener::start(config, &key, &identity, Arc::clone(&handler), Arc::new(Closed)).unwrap();
    Hub { authority, listener, handler }
}

impl Hub {
    fn dialer(&self, seed: u64) -> Dialer {
        let key = Authority::generate(&mut StdRng::seed_from_u64(1_000 + seed)).unwrap().signing_key().clone();
        let certificate = self.authority.issue_device(&key.verifying_key().to_bytes()).unwrap();
        let authority_key = self.authority.public_key();
        Dialer::new(&DeviceIdentity { key, certificate, authority_key }, LOCAL).unwrap()
    }

    async fn connect(&self, seed: u64) -> Link {
        let address = Address::from(self.listener.local_address());
        self.dialer(seed).connect(&[address], Purpose::Subscription, WITHIN).await.unwrap()
    }

    /// A connection that has said and heard something.
    async fn talking(&self, seed: u64) -> Link {
        let mut link = self.connect(seed).await;
        echo(&mut link).await.unwrap();
        link
    }
}

fn bye() -> Message {
    Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None })
}

fn large() -> Message {
    Message::Blob(Blob::Bytes { hash: BlobHash([5; 32]), from: 0, bytes: vec![0xA7; 60_000] })
}

async fn echo(link: &mut Link) -> Result<(), LinkError> {
    link.send_frame(&bye().encode_frame()).await?;
    let answer = timeout(WITHIN, link.recv_message()).await.expect("an answer in time")?;
    assert_eq!(answer, Some(bye()));
    Ok(())
}

async fn closed_with(link: &Link) -> Option<CloseCode> {
    match timeout(WITHIN, link.closed()).await.expect("the hub closes in time") {
        LinkError::Closed { code } => code,
        other => panic!("ended otherwise: {other:?}"),
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(timeout(WITHIN, waiting).await.is_ok(), "never: {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_comes_byte_by_byte_is_given_up_and_a_slow_one_is_not() {
    let hub = hub(|_| {});
    let mut dribbling = hub.talking(1).await;
    let mut slow = hub.talking(2).await;
    let frame = large().encode_frame();
    dribbling.send_frame(&frame[..10]).await.unwrap();
    let mut every = tokio::time::interval(Duration::from_millis(100));
    let (mut sent, mut at) = (10, 0);
    // 100 bytes a second, and 20,000.
    while at < frame.len() {
        every.tick().await;
        if sent < frame.len() {
            sent += 10;
            dribbling.send_frame(&frame[sent..sent + 10]).await.unwrap_or_default();
        }
        slow.send_frame(&frame[at..(at + 2_000).min(frame.len())]).await.unwrap();
        at += 2_000;
    }
    assert_eq!(closed_with(&dribbling).await, Some(CloseCode::TimedOut));
    assert_eq!(timeout(WITHIN, slow.recv_message()).await.unwrap().unwrap(), Some(large()));
}

#[tokio::test(flavor = "multi_thread")]
async fn peer_that_never_reads_is_given_up_and_takes_no_more_than_the_windows() {
    let hub = hub(|_| {});
    let mut deaf = hub.talking(1).await;
    deaf.send_frame(&Message::Subscribe.encode_frame()).await.unwrap();
    assert_eq!(closed_with(&deaf).await, Some(CloseCode::TimedOut));
    let bytes = hub.handler.sent.load(Ordering::Relaxed) * 60_000;
    assert!((60_000..2_000_000).contains(&bytes), "{bytes} bytes went to a peer that does not read");
    until("its connection is gone", || hub.listener.connections().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn second_stream_is_not_granted_and_nobody_opens_one_in_the_other_direction() {
    let hub = hub(|_| {});
    let link = hub.talking(1).await;
    let opened = timeout(Duration::from_millis(300), link.open_blob_stream()).await;
    assert!(opened.is_err(), "a hub that takes no blobs grants the session's stream alone");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_of_one_address_are_bounded_and_another_address_is_served() {
    let hub = hub(|config| config.connections_per_address_max = 3);
    let mut links = Vec::new();
    for seed in 0..3 {
        links.push(hub.talking(seed).await);
    }
    let address = [Address::from(hub.listener.local_address())];
    assert!(hub.dialer(9).connect(&address, Purpose::Session, WITHIN).await.is_err(), "a fourth from there");
    assert_eq!(hub.listener.counts().refused, 1);
    assert_eq!(hub.listener.counts().retried, 1, "it was first asked to prove that it is there");
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 9), 0));
    let key = Authority::generate(&mut StdRng::seed_from_u64(77)).unwrap().signing_key().clone();
    let certificate = hub.authority.issue_device(&key.verifying_key().to_bytes()).unwrap();
    let identity = DeviceIdentity { key, certificate, authority_key: hub.authority.public_key() };
    let dialer = Dialer::new(&identity, elsewhere).unwrap();
    let mut other = dialer.connect(&address, Purpose::Session, WITHIN).await.unwrap();
    echo(&mut other).await.unwrap();
    links.remove(0).close(CloseCode::Done).await;
    until("a place is free", || hub.listener.counts().open == 3).await;
    assert!(hub.dialer(9).connect(&address, Purpose::Session, WITHIN).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_connections_together_are_bounded() {
    let hub = hub(|config| config.connections_max = 2);
    let _first = hub.talking(1).await;
    let _second = hub.talking(2).await;
    let address = [Address::from(hub.listener.local_address())];
    assert!(hub.dialer(3).connect(&address, Purpose::Session, WITHIN).await.is_err());
    assert_eq!(hub.listener.counts().open, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn flood_of_initials_is_answered_with_retry_and_honest_tablets_get_in() {
    let hub = hub(|config| config.half_open_before_retry = 16);
    let to = hub.listener.local_address();
    let mut initials = Initials::new(3).unwrap();
    let datagrams: Vec<Vec<u8>> = (0..2_000).map(|_| initials.datagram()).collect();
    let flooding = std::thread::spawn(move || {
        let sockets = sockets().unwrap();
        for (number, datagram) in datagrams.iter().enumerate() {
            sockets[number % sockets.len()].send_to(datagram, to).unwrap();
            if number % 50 == 49 {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    });
    until("the flood is felt", || hub.listener.counts().retried > 0).await;
    for seed in 0..10 {
        hub.talking(seed).await.close(CloseCode::Done).await;
    }
    flooding.join().unwrap();
    let counts = hub.listener.counts();
    assert!(counts.retried > 500, "{counts:?}");
    assert!(counts.half_open <= 16, "{counts:?}: nobody who did not prove its address holds anything");
    hub.talking(20).await.close(CloseCode::Done).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_initials_hold_nothing_and_honest_tablets_get_in() {
    let hub = hub(|_| {});
    let mut initials = Initials::new(4).unwrap();
    let sockets = sockets().unwrap();
    for number in 0..70 {
        let datagram = initials.spoilt(Spoilt::ALL[number % Spoilt::ALL.len()]);
        sockets[number % sockets.len()].send_to(&datagram, hub.listener.local_address()).unwrap();
    }
    let mut link = hub.talking(1).await;
    echo(&mut link).await.unwrap();
    // What was right as a packet and carried noise ends with its handshake.
    until("nothing is half-open", || hub.listener.counts().half_open == 0).await;
}

#[test]
fn known_attacks_end_as_they_must_and_keep_nobody_out() {
    let program = Path::new(env!("CARGO_BIN_EXE_attack"));
    let arguments = ["--flood-seconds", "0", "--times", "1", "--endings-only"];
    let output = std::process::Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last: serde_json::Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!(last["failed"], serde_json::json!([]), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(last["attacks"].as_u64().unwrap() >= 70, "{}", last["attacks"]);
}
