//! What many do at a time: strangers at the door, devices that are slow on purpose, floods. And what an honest tablet feels.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use qianmo_client_core::enroll::{EnrollError, EnrollOptions, enroll};
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{ALPN_SESSION, Ticket, Token};
use qianmo_protocol::pack::Entry;
use qianmo_protocol::session::message::Message;
use rand::RngCore as _;
use serde_json::{Value, json};

use super::STEP;
use super::corpus::{Arena, Ending, Outcome, Per};
use super::device::{Heard, Hostile, Talk};
use super::hub_process::Cost;
use super::initials::{Initials, Spoilt, flood, sockets};

const LOCAL: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// Deliveries of the honest tablet before and during a flood.
const DELIVERIES: usize = 15;
/// Datagrams of each spoilt kind.
const SPOILT_EACH: usize = 400;
/// The largest changes that go into one pack.
const LARGE_PER_PACK: usize = 7;
/// Connections of one device: the hub allows no more.
const PER_DEVICE: usize = 4;

/// TLS settings of a stranger that takes any hub and shows nothing.
#[must_use]
pub fn any_hub(protocol: &[u8]) -> rustls::ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate))
        .with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    tls
}

impl Arena {
    fn outcome(name: &'static str, messages: usize, cost: Cost, ended: Ending, must: Ending, served: bool) -> Outcome {
        let units = u64::try_from(messages.max(1)).unwrap();
        Outcome { name, units, per: Per::Message, cost, ended, must, is_honest_served: served }
    }

    /// Strangers who try tokens.
    ///
    /// # Errors
    /// When the hub answers otherwise than with no.
    pub async fn guess_tickets(&mut self, count: usize) -> anyhow::Result<Outcome> {
        let ticket = self.hub.ticket("X1").await?;
        let mut hostile = self.hostile().await?;
        self.hub.mark().await?;
        for _ in 0..count {
            let mut token = [0; 16];
            hostile.rng.fill_bytes(&mut token);
            let guessed = Ticket { token: Token(token), ..ticket.clone() };
            match enroll(&guessed, &hostile.enrolled.identity.key, &EnrollOptions::default(), STEP).await {
                Err(EnrollError::Refused(_)) => {}
                other => bail!("a guessed ticket was answered with {other:?}"),
            }
        }
        let cost = self.hub.cost().await?;
        let served = self.honest.deliver().await.is_ok();
        Ok(Self::outcome("tickets_guessed", count, cost, Ending::Nothing, Ending::Nothing, served))
    }

    /// Strangers who finish the handshake and show no certificate.
    ///
    /// # Errors
    /// When the hub does not close.
    pub async fn strangers(&mut self, count: usize) -> anyhow::Result<Outcome> {
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(any_hub(ALPN_SESSION))?;
        let config = quinn::ClientConfig::new(Arc::new(crypto));
        let endpoint = quinn::Endpoint::client(LOCAL)?;
        let must = Ending::Closed(CloseCode::NotEnrolled);
        let mut ended = must;
        self.hub.mark().await?;
        for _ in 0..count {
            let connection = endpoint.connect_with(config.clone(), self.hub.address, "qianmo")?.await?;
            let closed = tokio::time::timeout(STEP, connection.closed()).await.context("the hub does not close")?;
            let quinn::ConnectionError::ApplicationClosed(close) = closed else { bail!("ended with {closed:?}") };
            let code = CloseCode::from_number(close.error_code.into_inner()).context("an unknown code")?;
            if code != CloseCode::NotEnrolled {
                ended = Ending::Closed(code);
            }
        }
        let cost = self.hub.cost().await?;
        let served = self.honest.deliver().await.is_ok();
        Ok(Self::outcome("connections_without_a_certificate", count, cost, ended, must, served))
    }

    /// One device that opens session after session and only says hello.
    ///
    /// # Errors
    /// When the hub does not answer.
    pub async fn hellos(&mut self, count: usize) -> anyhow::Result<Outcome> {
        let hostile = self.hostile().await?;
        self.hub.mark().await?;
        for _ in 0..count {
            hostile.session().await?.link.close(CloseCode::Done).await;
        }
        let cost = self.hub.cost().await?;
        let served = self.honest.deliver().await.is_ok();
        Ok(Self::outcome("hello_flood", count, cost, Ending::Nothing, Ending::Nothing, served))
    }

    /// Datagrams that only look like the beginning of a connection.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub async fn spoilt_initials(&mut self) -> anyhow::Result<Outcome> {
        let mut initials = Initials::new(9)?;
        let kinds = Spoilt::ALL.iter().cycle().take(SPOILT_EACH * Spoilt::ALL.len());
        let datagrams: Vec<Vec<u8>> = kinds.map(|how| initials.spoilt(*how)).collect();
        let sockets = sockets()?;
        self.hub.mark().await?;
        for (number, datagram) in datagrams.iter().enumerate() {
            sockets[number % sockets.len()].send_to(datagram, self.hub.address)?;
            if number % 64 == 63 {
                // The hub's answer says that it has read so far.
                self.hub.cost().await?;
            }
        }
        self.quiet().await?;
        let cost = self.hub.cost().await?;
        let served = self.honest.deliver().await.is_ok();
        Ok(Self::outcome("malformed_initials", datagrams.len(), cost, Ending::Nothing, Ending::Nothing, served))
    }

    /// A device that asks for everything and reads nothing, again and again, on all the connections it may have.
    ///
    /// # Errors
    /// When the hub does not take its messages.
    pub async fn never_reading(&mut self, turns: usize) -> anyhow::Result<Outcome> {
        let hostile = self.hostile().await?;
        self.hub.mark().await?;
        let mut talks = Vec::new();
        for _ in 0..PER_DEVICE {
            let mut talk = Talk { link: hostile.connect().await? };
            talk.say(&[Message::Hello(hostile.hello())]).await?;
            for _ in 0..turns {
                talk.say(&[Message::Vectors(qianmo_protocol::session::message::Vectors::default())]).await?;
            }
            talks.push(talk);
        }
        let served = self.honest.deliver().await.is_ok();
        let cost = self.hub.cost().await?;
        drop(talks);
        self.alone().await?;
        let count = PER_DEVICE * (turns + 1);
        Ok(Self::outcome("never_reads", count, cost, Ending::Nothing, Ending::Nothing, served))
    }

    /// Waits until the hub uses no more processor time than a question costs.
    async fn quiet(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + STEP;
        let mut before = self.hub.cost().await?.cpu_us;
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let now = self.hub.cost().await?.cpu_us;
            if now.saturating_sub(before) < 2_000 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "the hub does not come to rest");
            before = now;
        }
    }

    /// Waits until the hub has no connection.
    async fn alone(&mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        while self.hub.cost().await?.open > 0 {
            ensure!(began.elapsed() < 2 * STEP, "the hub keeps its connections");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(began.elapsed())
    }

    /// A flood of right Initials from many ports and addresses, and an honest tablet in it.
    ///
    /// # Errors
    /// When the hub fails.
    pub async fn flooded(&mut self, per_second: u32, lasting: Duration) -> anyhow::Result<Value> {
        self.alone().await?;
        let (_, before) = self.honest.deliver_many(DELIVERIES).await;
        self.hub.mark().await?;
        let at_rest = self.hub.cost().await?;
        let to = self.hub.address;
        let flooding = tokio::task::spawn_blocking(move || flood(to, per_second, lasting, 77));
        let began = Instant::now();
        let (mut delivered, mut tried, mut times, mut worst) = (0, 0, Vec::new(), Duration::ZERO);
        while began.elapsed() < lasting {
            tried += 1;
            if let Ok(time) = self.honest.deliver().await {
                (delivered, worst) = (delivered + 1, worst.max(time));
                times.push(time);
            }
        }
        let sent = flooding.await??;
        let after = self.hub.cost().await?;
        times.sort_unstable();
        let during = times.get(times.len() / 2).copied().unwrap_or_default();
        Ok(json!({
            "initials_per_second_wanted": per_second,
            "initials_sent": sent,
            "seconds": lasting.as_secs_f64(),
            "retried": after.retried.saturating_sub(at_rest.retried),
            "hub_cpu_us_per_initial_with_honest_work": rounded(micros(after.cpu_us) / micros(sent.max(1))),
            "heap_growth_bytes": after.heap_peak,
            "resident_growth_bytes": after.resident.saturating_sub(at_rest.resident),
            "honest_tried": tried,
            "honest_delivered": delivered,
            "honest_success_percent": rounded(100.0 * f64::from(delivered) / f64::from(tried.max(1))),
            "honest_ms_before": rounded(before.as_secs_f64() * 1e3),
            "honest_ms_during": rounded(during.as_secs_f64() * 1e3),
            "honest_ms_worst": rounded(worst.as_secs_f64() * 1e3),
            "honest_ratio": rounded(during.as_secs_f64() / before.as_secs_f64().max(1e-9)),
        }))
    }

    /// Devices that hold so many connections by a byte a second, half of them before the first message and half in the
    /// middle of one, while Initials pour in.
    ///
    /// # Errors
    /// When the hub fails.
    pub async fn slow(&mut self, connections: usize, per_second: u32) -> anyhow::Result<Value> {
        let (_, before) = self.honest.deliver_many(DELIVERIES).await;
        let devices = self.crowd(connections.div_ceil(PER_DEVICE)).await?;
        self.alone().await?;
        self.hub.mark().await?;
        let at_rest = self.hub.cost().await?;
        let mut dribbling = tokio::task::JoinSet::new();
        for number in 0..connections {
            let hostile = Arc::clone(&devices[number / PER_DEVICE]);
            dribbling.spawn(async move { dribble(&hostile, number % 2 == 0).await });
        }
        let to = self.hub.address;
        let lasting = Duration::from_secs(5);
        let flooding = tokio::task::spawn_blocking(move || flood(to, per_second, lasting, 78));
        let (mut delivered, mut tried, mut times, mut open_max) = (0, 0, Vec::new(), 0);
        let began = Instant::now();
        let mut held = Vec::new();
        // Until the last of them is thrown out.
        while !dribbling.is_empty() {
            tried += 1;
            if let Ok(time) = self.honest.deliver().await {
                delivered += 1;
                times.push(time);
            }
            open_max = open_max.max(self.hub.cost().await?.open);
            while let Some(ended) = dribbling.try_join_next() {
                held.extend(ended??);
            }
            ensure!(began.elapsed() < 3 * STEP, "slow connections are kept for ever");
        }
        flooding.await??;
        let after = self.hub.cost().await?;
        times.sort_unstable();
        held.sort_unstable();
        let during = times.get(times.len() / 2).copied().unwrap_or_default();
        Ok(json!({
            "connections": connections,
            "taken": held.len(),
            "open_at_most": open_max,
            "flood_initials_per_second": per_second,
            "evicted_after_s_first": rounded(held.first().copied().unwrap_or_default().as_secs_f64()),
            "evicted_after_s_last": rounded(held.last().copied().unwrap_or_default().as_secs_f64()),
            "heap_growth_bytes": after.heap_peak,
            "resident_growth_bytes": after.resident.saturating_sub(at_rest.resident),
            "honest_tried": tried,
            "honest_delivered": delivered,
            "honest_success_percent": rounded(100.0 * f64::from(delivered) / f64::from(tried.max(1))),
            "honest_ms_before": rounded(before.as_secs_f64() * 1e3),
            "honest_ms_during": rounded(during.as_secs_f64() * 1e3),
            "honest_ratio": rounded(during.as_secs_f64() / before.as_secs_f64().max(1e-9)),
        }))
    }

    /// One device that sends the dearest packs there may be on all its connections at a time, and an honest tablet beside it.
    ///
    /// # Errors
    /// When the hub fails.
    pub async fn dear(&mut self, packs: usize) -> anyhow::Result<Value> {
        let mut hostile = self.hostile().await?;
        let mut turns = Vec::new();
        for number in 0..PER_DEVICE {
            // A log of its own for each connection.
            (hostile.incarnation.0[0], hostile.after) = (u8::try_from(number)?, None);
            let mut turn = Vec::new();
            for _ in 0..packs {
                let entries = (0..LARGE_PER_PACK).map(|_| Entry::Root { change: hostile.large_record() }).collect();
                turn.push(Message::Pack(hostile.pack(entries)));
            }
            turns.push((hostile.session().await?, turn));
        }
        let (_, before) = self.honest.deliver_many(DELIVERIES).await;
        self.hub.mark().await?;
        let mut sending = tokio::task::JoinSet::new();
        for (mut talk, turn) in turns {
            sending.spawn(async move { talk.turn(turn).await });
        }
        let (mut delivered, mut tried, mut times) = (0, 0, Vec::new());
        while !sending.is_empty() {
            tried += 1;
            if let Ok(time) = self.honest.deliver().await {
                delivered += 1;
                times.push(time);
            }
            while let Some(ended) = sending.try_join_next() {
                let Heard::Answer(answer) = ended?? else { bail!("a lawful pack ended the session") };
                ensure!(answer.acked == packs && answer.refused.is_empty(), "a lawful pack was not taken: {answer:?}");
            }
        }
        let cost = self.hub.cost().await?;
        times.sort_unstable();
        let during = times.get(times.len() / 2).copied().unwrap_or_default();
        let worst = times.last().copied().unwrap_or_default();
        let sent = u64::try_from(PER_DEVICE * packs)?;
        Ok(json!({
            "packs": sent,
            "operations_each": LARGE_PER_PACK * 4_000,
            "hub_cpu_ms_per_pack": rounded(micros(cost.cpu_us) / micros(sent) / 1e3),
            "heap_growth_bytes": cost.heap_peak,
            "honest_tried": tried,
            "honest_delivered": delivered,
            "honest_success_percent": rounded(100.0 * f64::from(delivered) / f64::from(tried.max(1))),
            "honest_ms_before": rounded(before.as_secs_f64() * 1e3),
            "honest_ms_during": rounded(during.as_secs_f64() * 1e3),
            "honest_ms_worst": rounded(worst.as_secs_f64() * 1e3),
            "honest_ratio": rounded(during.as_secs_f64() / before.as_secs_f64().max(1e-9)),
        }))
    }

    async fn crowd(&mut self, count: usize) -> anyhow::Result<Vec<Arc<Hostile>>> {
        let mut devices = Vec::new();
        for _ in 0..count {
            devices.push(Arc::new(self.hostile().await?));
        }
        Ok(devices)
    }
}

/// Sends a byte of a large message each second until the hub has enough of it: how long that took.
///
/// `None` when the hub did not even take the connection.
async fn dribble(hostile: &Hostile, is_session: bool) -> anyhow::Result<Option<Duration>> {
    let Ok(link) = hostile.connect().await else { return Ok(None) };
    let mut talk = Talk { link };
    if is_session {
        talk.say(&[Message::Hello(hostile.hello())]).await?;
        let Ok(Heard::Answer(_)) = talk.answer().await else { return Ok(None) };
    }
    let began = Instant::now();
    // A pack of 200,000 bytes, of which nothing but its length is seen.
    talk.raw(&[4, 0xc0, 0x9a, 0x0c]).await?;
    let mut every = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            _ = every.tick() => talk.link.send_frame(&[0]).await.unwrap_or_default(),
            _ended = talk.link.closed() => return Ok(Some(began.elapsed())),
        }
        ensure!(began.elapsed() < 3 * STEP, "a slow connection is kept for ever");
    }
}

fn micros(value: u64) -> f64 {
    f64::from(u32::try_from(value).unwrap_or(u32::MAX))
}

fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Takes any certificate: a stranger has nothing to lose.
#[derive(Debug)]
struct AnyCertificate;

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &rustls::pki_types::CertificateDer<'_>,
        _intermediates: &[rustls::pki_types::CertificateDer<'_>],
        _name: &rustls::pki_types::ServerName<'_>,
        _ocsp: &[u8],
        _now: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &rustls::pki_types::CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &rustls::pki_types::CertificateDer<'_>,
        _signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        vec![rustls::SignatureScheme::ED25519]
    }
}
