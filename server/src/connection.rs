//! A device's connection as the hub sees it: messages in, messages out, on the session's stream.
//!
//! The task that serves a connection owns its [`Link`]. QUIC's flow control is the backpressure: what is not read is not
//! acknowledged as room, and a full send window makes [`Link::send_frame`] wait; nothing is queued beyond the windows. A
//! peer that is slower than [`Pace`] allows, in either direction, is given up.
//!
//! # Invariants
//!
//! 1. [`Link::recv_message`] may be dropped at any await and loses nothing; [`Link::send_frame`] may not, a half-written
//!    frame breaks the stream. Use [`Link::split`] to wait for both.
//!
//! # Failure
//!
//! [`LinkError`]: `close_code` says with which code the connection ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::message::{FrameReader, Message};
use qianmo_protocol::wire::DecodeError;
use quinn::{Connection, ConnectionError, ReadError, RecvStream, SendStream, WriteError};
use tokio::time::{Instant, timeout, timeout_at};

use crate::listener::Pace;
use crate::listener::pace::Floor;
use crate::listener::tls::number;

/// Most bytes taken from a stream at a time.
const CHUNK_BYTES: usize = 64 * 1024;

/// Why nothing more comes or goes.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The peer closed the connection; `None` for a number that this version does not know.
    #[error("closed by the device: {}", code.map_or_else(|| "unknown reason".to_owned(), |code| code.to_string()))]
    Closed {
        /// Why.
        code: Option<CloseCode>,
    },
    /// This side closed the connection, after a revocation or at shutdown.
    #[error("closed by this hub")]
    ClosedHere,
    /// Nothing was heard of the peer for too long.
    #[error("nothing heard of the device for too long")]
    TimedOut,
    /// The peer sends the rest of a message, or takes what it is sent, slower than [`Pace`] allows.
    #[error("the device is too slow: {pending} bytes wait")]
    TooSlow {
        /// Bytes that wait: of the message that is incomplete, or of what it should take.
        pending: usize,
    },
    /// The peer gave up this stream, or ended it in the middle of a message.
    #[error("the device gave up the stream with {pending} bytes of a message")]
    Abandoned {
        /// Bytes of the message that is cut.
        pending: usize,
    },
    /// The peer broke a rule of QUIC.
    #[error("the device broke a rule of the transport")]
    Transport(#[source] ConnectionError),
    /// What came is no message.
    #[error("what came is no message")]
    Malformed(#[source] DecodeError),
}

impl LinkError {
    /// The code with which the connection is closed because of this.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::Closed { .. } | Self::ClosedHere => CloseCode::Done,
            Self::TimedOut | Self::TooSlow { .. } => CloseCode::TimedOut,
            Self::Malformed(DecodeError::TooLarge { .. }) => CloseCode::OverLimit,
            Self::Abandoned { .. } | Self::Transport(_) | Self::Malformed(_) => CloseCode::ProtocolViolation,
        }
    }

    /// Whether the peer ended the connection the regular way.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self, Self::Closed { code: Some(CloseCode::Done) })
    }
}

impl From<ConnectionError> for LinkError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                Self::Closed { code: CloseCode::from_number(close.error_code.into_inner()) }
            }
            ConnectionError::LocallyClosed => Self::ClosedHere,
            ConnectionError::TimedOut | ConnectionError::Reset => Self::TimedOut,
            ConnectionError::VersionMismatch
            | ConnectionError::TransportError(_)
            | ConnectionError::ConnectionClosed(_)
            | ConnectionError::CidsExhausted => Self::Transport(error),
        }
    }
}

/// Bytes that went over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// UDP payload sent, handshake included.
    pub udp_sent: u64,
    /// UDP payload received. The very first datagram is not counted: QUIC's statistics begin after it.
    pub udp_received: u64,
    /// Bytes written to streams.
    pub stream_sent: u64,
    /// Bytes read from streams.
    pub stream_received: u64,
}

#[derive(Debug, Default)]
struct StreamBytes {
    sent: AtomicU64,
    received: AtomicU64,
}

fn count(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// A device's connection with its session stream.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    stream: FrameStream,
    bytes: Arc<StreamBytes>,
    pace: Pace,
}

impl Link {
    /// Waits for the session stream and its first message, which stays inside for [`Link::recv_message`].
    pub(crate) async fn accept(connection: Connection, pace: Pace) -> Result<Self, LinkError> {
        let bytes = Arc::<StreamBytes>::default();
        let mut stream = FrameStream::accept(&connection, &bytes, pace).await?;
        stream.receiver.wait_for_message().await?;
        Ok(Self { connection, stream, bytes, pace })
    }

    /// How slow the device may be.
    #[must_use]
    pub const fn pace(&self) -> Pace {
        self.pace
    }

    /// Sends an encoded frame; waits while the send window is full. Do not drop it half-way.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        self.stream.sender.send_frame(frame).await
    }

    /// The next message; `None` when the peer ended the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn recv_message(&mut self) -> Result<Option<Message>, LinkError> {
        self.stream.receiver.recv_message().await
    }

    /// Both directions, to be used at the same time.
    pub const fn split(&mut self) -> (&mut FrameSender, &mut FrameReceiver) {
        (&mut self.stream.sender, &mut self.stream.receiver)
    }

    /// Ends the sending direction and waits until the peer has all of it.
    ///
    /// # Errors
    /// [`LinkError`] when the peer is gone before.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        self.stream.sender.flush().await
    }

    /// The next further stream that the device opens, for a blob. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn accept_stream(&self) -> Result<FrameStream, LinkError> {
        FrameStream::accept(&self.connection, &self.bytes, self.pace).await
    }

    /// Where the device is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// What went over the connection so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let stats = self.connection.stats();
        Traffic {
            udp_sent: stats.udp_tx.bytes,
            udp_received: stats.udp_rx.bytes,
            stream_sent: self.bytes.sent.load(Ordering::Relaxed),
            stream_received: self.bytes.received.load(Ordering::Relaxed),
        }
    }

    /// Closes the connection at once; what was not acknowledged may be lost.
    pub fn close(&self, code: CloseCode) {
        self.connection.close(number(code), b"");
    }
}

/// One stream of frames.
#[derive(Debug)]
pub struct FrameStream {
    /// The direction to the device.
    pub sender: FrameSender,
    /// The direction from the device.
    pub receiver: FrameReceiver,
}

impl FrameStream {
    async fn accept(connection: &Connection, bytes: &Arc<StreamBytes>, pace: Pace) -> Result<Self, LinkError> {
        let (send, recv) = connection.accept_bi().await?;
        let sender = FrameSender { send, bytes: Arc::clone(bytes), pace };
        let receiver = FrameReceiver {
            recv,
            reader: FrameReader::default(),
            first: None,
            bytes: Arc::clone(bytes),
            pace,
            floor: Floor::default(),
            taken: 0,
            given: 0,
            message_bytes: 0,
        };
        Ok(Self { sender, receiver })
    }
}

/// The sending direction of a stream.
#[derive(Debug)]
pub struct FrameSender {
    send: SendStream,
    bytes: Arc<StreamBytes>,
    pace: Pace,
}

impl FrameSender {
    /// As [`Link::send_frame`].
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        let mut left = frame.len();
        for piece in frame.chunks(self.pace.bytes_min.max(1)) {
            match timeout(self.pace.send_within, self.send.write_all(piece)).await {
                Ok(written) => written.map_err(write_failed)?,
                Err(_late) => return Err(LinkError::TooSlow { pending: left }),
            }
            left = left.saturating_sub(piece.len());
        }
        count(&self.bytes.sent, frame.len());
        Ok(())
    }

    /// As [`Link::flush`].
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        // It errs only when the stream was ended before, and then there is still something to wait for.
        self.send.finish().unwrap_or_default();
        match timeout(self.pace.last_words_within, self.send.stopped()).await {
            Ok(Ok(None | Some(_))) => Ok(()),
            Ok(Err(quinn::StoppedError::ConnectionLost(error))) => Err(error.into()),
            Ok(Err(quinn::StoppedError::ZeroRttRejected)) => Err(LinkError::Abandoned { pending: 0 }),
            Err(_late) => Err(LinkError::TooSlow { pending: 0 }),
        }
    }
}

fn write_failed(error: WriteError) -> LinkError {
    match error {
        WriteError::ConnectionLost(error) => error.into(),
        WriteError::Stopped(_) | WriteError::ClosedStream | WriteError::ZeroRttRejected => {
            LinkError::Abandoned { pending: 0 }
        }
    }
}

/// The receiving direction of a stream.
#[derive(Debug)]
pub struct FrameReceiver {
    recv: RecvStream,
    reader: FrameReader,
    first: Option<Message>,
    bytes: Arc<StreamBytes>,
    pace: Pace,
    floor: Floor,
    /// Bytes taken from the stream, and of them those of messages that were given out.
    taken: usize,
    given: usize,
    message_bytes: usize,
}

impl FrameReceiver {
    /// As [`Link::recv_message`].
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn recv_message(&mut self) -> Result<Option<Message>, LinkError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            if let Some(message) = self.reader.next_message().map_err(LinkError::Malformed)? {
                let given = self.taken.wrapping_sub(self.reader.pending_bytes());
                self.message_bytes = given.wrapping_sub(self.given);
                self.given = given;
                return Ok(Some(message));
            }
            let pending = self.reader.pending_bytes();
            let reading = self.recv.read_chunk(CHUNK_BYTES, true);
            let read = match self.floor.deadline(Instant::now(), pending, &self.pace) {
                Some(deadline) => timeout_at(deadline, reading).await.map_err(|_| LinkError::TooSlow { pending })?,
                None => reading.await,
            };
            match read {
                Ok(Some(chunk)) => {
                    count(&self.bytes.received, chunk.bytes.len());
                    self.floor.note(chunk.bytes.len(), &self.pace);
                    self.taken = self.taken.wrapping_add(chunk.bytes.len());
                    self.reader.push(&chunk.bytes);
                }
                Ok(None) if pending == 0 => return Ok(None),
                Err(ReadError::ConnectionLost(error)) => return Err(error.into()),
                Ok(None)
                | Err(
                    ReadError::Reset(_)
                    | ReadError::ClosedStream
                    | ReadError::IllegalOrderedRead
                    | ReadError::ZeroRttRejected,
                ) => return Err(LinkError::Abandoned { pending }),
            }
        }
    }

    /// Bytes of the message that was given out last.
    #[must_use]
    pub const fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    async fn wait_for_message(&mut self) -> Result<(), LinkError> {
        self.first = self.recv_message().await?;
        if self.first.is_some() { Ok(()) } else { Err(LinkError::Abandoned { pending: 0 }) }
    }
}
