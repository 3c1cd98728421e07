//! One enrolment: a request, a judgement, a reply.
//!
//! # Limits
//!
//! The request is bounded before it is read, and must be whole within the first-frame deadline. Strangers get only as many
//! places at a time as the configuration says, so that they never take those of devices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::handshake::enrol::{ENROL_REPLY_BYTES_MAX, ENROL_REQUEST_BYTES_MAX};
use qianmo_protocol::handshake::{EnrolRefusal, EnrolReply, EnrolRequest};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::Wire as _;
use quinn::{Connection, SendStream};
use tokio::time::timeout;

use crate::listener::accept::Shared;
use crate::listener::{ConnectionHandler, EnrolHandler};

/// How long the tablet has to take the reply.
const REPLY_DEADLINE: Duration = Duration::from_secs(20);

impl<H: ConnectionHandler, E: EnrolHandler> Shared<H, E> {
    pub(super) async fn enrolment(&self, connection: &Connection) -> CloseCode {
        let Ok(_place) = self.enrolling.try_acquire() else {
            return CloseCode::Busy;
        };
        let asked = timeout(self.config.first_frame_deadline, read_request(connection)).await;
        let (request, send) = match asked {
            Ok(Ok(asked)) => asked,
            Ok(Err(code)) => return code,
            Err(_late) => return CloseCode::TimedOut,
        };
        let reply = self.judge_request(request).await;
        let bytes = match reply {
            Some(reply) => reply.encode(),
            None => return CloseCode::Internal,
        };
        if bytes.len() > ENROL_REPLY_BYTES_MAX {
            tracing::error!(have = bytes.len(), max = ENROL_REPLY_BYTES_MAX, "enrolment reply over its limit");
            return CloseCode::Internal;
        }
        self.counters.enrolments.fetch_add(1, Ordering::Relaxed);
        match timeout(REPLY_DEADLINE, write_reply(send, &bytes)).await {
            Ok(code) => code,
            Err(_late) => CloseCode::TimedOut,
        }
    }

    /// `None` when the handler panicked.
    async fn judge_request(&self, request: EnrolRequest) -> Option<EnrolReply> {
        let handler = Arc::clone(&self.enrol_handler);
        let org = self.org;
        // The handler writes to the disk, and a signature takes a tenth of a millisecond: not on a runtime thread.
        let judged = tokio::task::spawn_blocking(move || match request.verify(&org) {
            Ok(ask) => handler.enrol(ask, wall_clock()),
            Err(_) => EnrolReply::Refused(EnrolRefusal::WrongKey),
        });
        judged.await.map_err(|error| tracing::error!(%error, "the enrolment handler panicked")).ok()
    }
}

async fn read_request(connection: &Connection) -> Result<(EnrolRequest, SendStream), CloseCode> {
    let (send, mut recv) = connection.accept_bi().await.map_err(|_| CloseCode::Done)?;
    let bytes = recv.read_to_end(ENROL_REQUEST_BYTES_MAX).await.map_err(|error| match error {
        quinn::ReadToEndError::TooLong => CloseCode::OverLimit,
        quinn::ReadToEndError::Read(_) => CloseCode::Done,
    })?;
    let request = EnrolRequest::decode(&bytes).map_err(|error| {
        tracing::warn!(%error, "an enrolment request cannot be read");
        CloseCode::ProtocolViolation
    })?;
    Ok((request, send))
}

/// Returns when the tablet has all of it, or is gone.
async fn write_reply(mut send: SendStream, bytes: &[u8]) -> CloseCode {
    let written = send.write_all(bytes).await.is_ok() && send.finish().is_ok() && send.stopped().await.is_ok();
    if !written {
        tracing::debug!("the tablet left before it had the enrolment reply; it may ask again with the same ticket");
    }
    CloseCode::Done
}

fn wall_clock() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
