//! What the driver asks of a network: enrolment, and lines to a hub. QUIC is one; tests and simulators bring their own.
//!
//! Lines carry whole frames in order. Everything about addresses, keys and encryption is the network's business.

use core::fmt;
use core::future::Future;
use core::pin::Pin;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ed25519_dalek::SigningKey;
use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::{Address, Ticket};
use qianmo_protocol::session::message::Message;

use crate::enroll::{EnrollError, EnrollOptions, Enrolled, enroll};
use crate::transport::{
    ConnectError, DeviceIdentity, Dialer, FrameReceiver, FrameSender, Link, LinkError, Purpose, Traffic,
};

/// Something that is being done.
pub type Job<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Reaches hubs.
pub trait Network: fmt::Debug + Send + Sync {
    /// Asks the ticket's hub to enrol the holder of a key.
    fn enroll<'a>(
        &'a self,
        ticket: &'a Ticket,
        key: &'a SigningKey,
        options: &'a EnrollOptions,
        within: Duration,
    ) -> Job<'a, Result<Enrolled, EnrollError>>;

    /// Opens a line to a hub, both ends known to each other.
    fn connect<'a>(
        &'a self,
        identity: &'a DeviceIdentity,
        addresses: &'a [Address],
        purpose: Purpose,
        within: Duration,
    ) -> Job<'a, Result<Box<dyn Line>, ConnectError>>;
}

/// A line to a hub.
pub trait Line: fmt::Debug + Send {
    /// Both directions, to be used at the same time.
    fn split(&mut self) -> (&mut dyn LineSender, &mut dyn LineReceiver);
    /// What went over it so far.
    fn traffic(&self) -> Traffic;
    /// Closes it, and says what went over it.
    fn close(self: Box<Self>, code: CloseCode) -> Job<'static, Traffic>;
}

/// The direction to the hub.
pub trait LineSender: Send {
    /// Sends an encoded frame. Not to be dropped half-way.
    fn send_frame<'a>(&'a mut self, frame: &'a [u8]) -> Job<'a, Result<(), LinkError>>;
    /// Ends the direction and waits until the hub has all of it.
    fn flush(&mut self) -> Job<'_, Result<(), LinkError>>;
}

/// The direction from the hub.
pub trait LineReceiver: Send {
    /// The next message; `None` when the hub ended the line. May be dropped at any time.
    fn recv_message(&mut self) -> Job<'_, Result<Option<Message>, LinkError>>;
}

/// QUIC over UDP.
#[derive(Debug, Default)]
pub(crate) struct Quic {
    /// The dialer of the present identity; it remembers the last good address.
    dialer: Mutex<Option<(Vec<u8>, Arc<Dialer>)>>,
}

impl Quic {
    fn dialer(&self, identity: &DeviceIdentity) -> Result<Arc<Dialer>, ConnectError> {
        let mut held = self.dialer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((certificate, dialer)) = held.as_ref()
            && *certificate == identity.certificate
        {
            return Ok(Arc::clone(dialer));
        }
        let local: SocketAddr = (Ipv6Addr::UNSPECIFIED, 0).into();
        let dialer = Dialer::new(identity, local)
            .map_err(|error| ConnectError::PeerMisbehaved { what: format!("this device's identity: {error}") })?;
        let dialer = Arc::new(dialer);
        *held = Some((identity.certificate.clone(), Arc::clone(&dialer)));
        Ok(dialer)
    }
}

impl Network for Quic {
    fn enroll<'a>(
        &'a self,
        ticket: &'a Ticket,
        key: &'a SigningKey,
        options: &'a EnrollOptions,
        within: Duration,
    ) -> Job<'a, Result<Enrolled, EnrollError>> {
        Box::pin(enroll(ticket, key, options, within))
    }

    fn connect<'a>(
        &'a self,
        identity: &'a DeviceIdentity,
        addresses: &'a [Address],
        purpose: Purpose,
        within: Duration,
    ) -> Job<'a, Result<Box<dyn Line>, ConnectError>> {
        Box::pin(async move {
            let dialer = self.dialer(identity)?;
            let link = dialer.connect(addresses, purpose, within).await?;
            let line: Box<dyn Line> = Box::new(link);
            Ok(line)
        })
    }
}

impl Line for Link {
    fn split(&mut self) -> (&mut dyn LineSender, &mut dyn LineReceiver) {
        let (sender, receiver) = Self::split(self);
        (sender, receiver)
    }

    fn traffic(&self) -> Traffic {
        Self::traffic(self)
    }

    fn close(self: Box<Self>, code: CloseCode) -> Job<'static, Traffic> {
        Box::pin(Self::close(*self, code))
    }
}

impl LineSender for FrameSender {
    fn send_frame<'a>(&'a mut self, frame: &'a [u8]) -> Job<'a, Result<(), LinkError>> {
        Box::pin(Self::send_frame(self, frame))
    }

    fn flush(&mut self) -> Job<'_, Result<(), LinkError>> {
        Box::pin(Self::flush(self))
    }
}

impl LineReceiver for FrameReceiver {
    fn recv_message(&mut self) -> Job<'_, Result<Option<Message>, LinkError>> {
        Box::pin(Self::recv_message(self))
    }
}
