//! A connection to a hub as the device sees it: messages out, messages in, on the session's stream.
//!
//! QUIC's flow control is the backpressure: what is not read is not acknowledged as room, and a full send window makes
//! [`Link::send_frame`] wait; nothing is queued beyond the windows.
//!
//! # Invariants
//!
//! 1. [`Link::recv_message`] may be dropped at any await and loses nothing; [`Link::send_frame`] may not, a half-written
//!    frame breaks the stream. Use [`Link::split`] to wait for both.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::message::{FrameReader, Message};
use quinn::{Connection, ConnectionError, Endpoint, ReadError, RecvStream, SendStream, VarInt, WriteError};

use crate::transport::{Dialed, LinkError};

/// Most bytes taken from a stream at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// How long a closing connection waits for its last datagram to be sent.
const LAST_DATAGRAM: Duration = Duration::from_millis(500);
/// Streams of blobs yield to the session's.
const BLOB_PRIORITY: i32 = -1;

/// Bytes that went over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// UDP payload sent, handshake included.
    pub udp_sent: u64,
    /// UDP payload received, handshake included.
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

/// A connection with its session stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct Link {
    connection: Connection,
    endpoint: Endpoint,
    stream: FrameStream,
    bytes: Arc<StreamBytes>,
}

impl Link {
    pub(super) async fn open(dialed: Dialed) -> Result<Self, ConnectionError> {
        let Dialed { connection, endpoint, .. } = dialed;
        let bytes = Arc::<StreamBytes>::default();
        let stream = FrameStream::open(&connection, &bytes).await?;
        Ok(Self { connection, endpoint, stream, bytes })
    }

    /// Sends an encoded frame; waits while the send window is full. Do not drop it half-way.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        self.stream.sender.send_frame(frame).await
    }

    /// The next message; `None` when the hub ended the stream. Dropping the future loses nothing.
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

    /// A further stream for a blob; it yields to the session's.
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn open_blob_stream(&self) -> Result<FrameStream, LinkError> {
        let stream = FrameStream::open(&self.connection, &self.bytes).await?;
        // It errs only on a stream that was ended, and this one was just opened.
        stream.sender.send.set_priority(BLOB_PRIORITY).unwrap_or_default();
        Ok(stream)
    }

    /// Where the hub is.
    #[must_use]
    pub fn remote_address(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    /// The round trip time that QUIC measured.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.connection.rtt()
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

    /// Waits until the connection is over, and says why. Dropping the future does nothing.
    pub async fn closed(&self) -> LinkError {
        self.connection.closed().await.into()
    }

    /// Closes the connection and waits a moment for the news to be sent; returns what went over it. What the hub did not
    /// acknowledge before may be lost.
    pub async fn close(self, code: CloseCode) -> Traffic {
        self.connection.close(VarInt::from_u32(code.number()), b"");
        if tokio::time::timeout(LAST_DATAGRAM, self.endpoint.wait_idle()).await.is_err() {
            tracing::trace!("closed while still draining");
        }
        self.traffic()
    }
}

/// One stream of frames.
#[derive(Debug)]
pub struct FrameStream {
    /// The direction to the hub.
    pub sender: FrameSender,
    /// The direction from the hub.
    pub receiver: FrameReceiver,
}

impl FrameStream {
    async fn open(connection: &Connection, bytes: &Arc<StreamBytes>) -> Result<Self, ConnectionError> {
        let (send, recv) = connection.open_bi().await?;
        let sender = FrameSender { send, bytes: Arc::clone(bytes) };
        let receiver = FrameReceiver { recv, reader: FrameReader::default(), bytes: Arc::clone(bytes) };
        Ok(Self { sender, receiver })
    }
}

/// The sending direction of a stream.
#[derive(Debug)]
pub struct FrameSender {
    send: SendStream,
    bytes: Arc<StreamBytes>,
}

impl FrameSender {
    /// As [`Link::send_frame`].
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn send_frame(&mut self, frame: &[u8]) -> Result<(), LinkError> {
        self.send.write_all(frame).await.map_err(write_failed)?;
        count(&self.bytes.sent, frame.len());
        Ok(())
    }

    /// Ends the direction and waits until the hub has all of it.
    ///
    /// # Errors
    /// [`LinkError`] when the hub is gone before.
    pub async fn flush(&mut self) -> Result<(), LinkError> {
        // It errs only when the stream was ended before, and then there is still something to wait for.
        self.send.finish().unwrap_or_default();
        match self.send.stopped().await {
            Ok(None | Some(_)) => Ok(()),
            Err(quinn::StoppedError::ConnectionLost(error)) => Err(error.into()),
            Err(quinn::StoppedError::ZeroRttRejected) => Err(LinkError::Abandoned { pending: 0 }),
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
    bytes: Arc<StreamBytes>,
}

impl FrameReceiver {
    /// As [`Link::recv_message`].
    ///
    /// # Errors
    /// [`LinkError`].
    pub async fn recv_message(&mut self) -> Result<Option<Message>, LinkError> {
        loop {
            if let Some(message) = self.reader.next_message().map_err(LinkError::Malformed)? {
                return Ok(Some(message));
            }
            let pending = self.reader.pending_bytes();
            match self.recv.read_chunk(CHUNK_BYTES, true).await {
                Ok(Some(chunk)) => {
                    count(&self.bytes.received, chunk.bytes.len());
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
}
