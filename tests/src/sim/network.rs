//! Connections as a program sees them: ordered bytes that come late, stop in the middle, or never come.
//!
//! A connection cuts what it carries into packets. Each may be lost (it comes again after a while), late, or twice (the
//! second is dropped, as QUIC does). So order is kept and time is not, and whoever breaks a connection breaks it between
//! any two packets of a message.

use std::collections::VecDeque;

use qianmo_protocol::session::message::FrameReader;
use rand::Rng as _;
use rand::rngs::StdRng;

use super::plan::Weather;

/// Bytes of one packet.
const PACKET_BYTES: usize = 1_200;
/// Packets of one message that travel on their own; the rest of a large one comes with the last.
const PACKETS_MAX: usize = 24;
/// A connection without a sign of life ends.
pub const IDLE_MS: u64 = 30_000;

/// What the network does just now, beside its usual weather.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Trouble {
    /// Much is lost until then.
    pub burst_until: u64,
    /// Everything is slow until then.
    pub slow_until: u64,
    /// Nothing gets to the hub until then.
    pub up_shut_until: u64,
    /// Nothing gets to the tablets until then.
    pub down_shut_until: u64,
}

/// Which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// To the hub.
    Up,
    /// To the tablet.
    Down,
}

/// One direction of a connection.
#[derive(Debug, Default)]
pub struct Pipe {
    /// Packets on their way, with their time of arrival, in order.
    pub packets: VecDeque<(u64, Vec<u8>)>,
    last_arrival: u64,
    /// What arrived and is no whole message yet.
    pub reader: FrameReader,
    /// The sender ended it, to arrive then.
    pub ends_at: Option<u64>,
    /// Bytes sent.
    pub bytes: u64,
    /// Something could not get through for so long that nothing after it will.
    pub is_dead: bool,
}

/// A connection between a tablet and the hub.
#[derive(Debug)]
pub struct Link {
    /// Which tablet.
    pub tablet: usize,
    /// Whether the hub knows of it.
    pub is_open: bool,
    /// To the hub.
    pub up: Pipe,
    /// To the tablet.
    pub down: Pipe,
    /// Messages that reached the hub, for replays.
    pub heard: Vec<Vec<u8>>,
}

impl Link {
    /// A new connection of a tablet.
    #[must_use]
    pub fn new(tablet: usize) -> Self {
        Self { tablet, is_open: false, up: Pipe::default(), down: Pipe::default(), heard: Vec::new() }
    }

    /// One direction.
    pub const fn pipe(&mut self, way: Way) -> &mut Pipe {
        match way {
            Way::Up => &mut self.up,
            Way::Down => &mut self.down,
        }
    }
}

/// How long one packet takes, or that the connection dies of it.
pub fn travel(rng: &mut StdRng, weather: Weather, trouble: Trouble, way: Way, now: u64) -> Option<u64> {
    let shut_until = match way {
        Way::Up => trouble.up_shut_until,
        Way::Down => trouble.down_shut_until,
    };
    let mut arrival = now;
    if shut_until > now {
        if shut_until - now > IDLE_MS {
            return None;
        }
        arrival = shut_until;
    }
    let loss = if trouble.burst_until > now { 600.max(weather.loss_per_mille) } else { weather.loss_per_mille };
    let mut wait = 3 * weather.delay_ms + 50;
    while rng.random_range(0..1_000) < loss {
        arrival += wait;
        wait *= 2;
        if arrival - now > IDLE_MS {
            return None;
        }
    }
    let slow = if trouble.slow_until > now { 2_300 } else { 0 };
    Some(arrival + weather.delay_ms + slow + rng.random_range(0..=weather.jitter_ms))
}

/// Puts bytes on the way. `None` when the connection dies of it; what was on its way before still arrives.
pub fn send(
    rng: &mut StdRng,
    weather: Weather,
    trouble: Trouble,
    way: Way,
    now: u64,
    pipe: &mut Pipe,
    bytes: &[u8],
) -> Option<Vec<u64>> {
    if pipe.is_dead {
        return Some(Vec::new());
    }
    pipe.bytes += bytes.len() as u64;
    let mut arrivals = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let take = if arrivals.len() + 1 >= PACKETS_MAX { rest.len() } else { rest.len().min(PACKET_BYTES) };
        let (packet, left) = rest.split_at(take);
        rest = left;
        let Some(arrival) = travel(rng, weather, trouble, way, now) else {
            pipe.is_dead = true;
            return None;
        };
        let arrival = arrival.max(pipe.last_arrival);
        pipe.last_arrival = arrival;
        pipe.packets.push_back((arrival, packet.to_vec()));
        arrivals.push(arrival);
    }
    Some(arrivals)
}

/// When the end of a direction arrives: after everything before.
pub fn end(pipe: &mut Pipe, now: u64, weather: Weather) -> u64 {
    let at = pipe.last_arrival.max(now + weather.delay_ms);
    pipe.ends_at = Some(at);
    at
}
