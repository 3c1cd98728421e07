//! A device's connection between the network and the hub's thread.
//!
//! Two halves run at the same time, so that a peer that sends while it is being sent to never waits for itself: one hands
//! messages to the hub, the other sends what the hub says. The hub alone decides how a session ends, unless its peer is
//! slower than [`Pace`] allows or says nothing at all.

use std::sync::atomic::{AtomicU64, Ordering};

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::session::message::Message;
use tokio::time::timeout;

use crate::connection::{FrameReceiver, FrameSender, LinkError};
use crate::hub::{Answers, HubHandle, Outbound, Room};
use crate::listener::{Accepted, ConnectionHandler, Pace};

/// Hands connections to the hub.
#[derive(Debug)]
pub(super) struct Sessions {
    hub: HubHandle,
}

/// What the two halves of a session know of each other.
struct Both {
    pace: Pace,
    /// Frames that were sent.
    sent: AtomicU64,
}

impl Sessions {
    pub(super) const fn new(hub: HubHandle) -> Self {
        Self { hub }
    }

    /// Hands over what comes, until the peer is gone. Returns only for an error of the link.
    async fn receive(&self, room: &Room, receiver: &mut FrameReceiver, both: &Both) -> CloseCode {
        let mut is_subscribed = false;
        loop {
            let message = match next(receiver, both, is_subscribed).await {
                Ok(Some(message)) => message,
                Ok(None) => {
                    if self.hub.ended(room).await.is_err() {
                        return CloseCode::ShuttingDown;
                    }
                    // The hub answers what it has and then says that the session is over.
                    std::future::pending::<()>().await;
                    continue;
                }
                Err(error) => {
                    if !error.is_done() {
                        tracing::debug!(error = &error as &dyn core::error::Error, "a session's connection broke");
                    }
                    return error.close_code();
                }
            };
            is_subscribed |= matches!(message, Message::Subscribe);
            if self.hub.message(room, message, receiver.message_bytes()).await.is_err() {
                return CloseCode::ShuttingDown;
            }
        }
    }
}

/// The next message. A peer that neither says anything nor is sent anything for too long is given up, unless it waits for
/// pushes.
async fn next(receiver: &mut FrameReceiver, both: &Both, is_subscribed: bool) -> Result<Option<Message>, LinkError> {
    loop {
        let sent = both.sent.load(Ordering::Relaxed);
        match timeout(both.pace.quiet_max, receiver.recv_message()).await {
            Ok(received) => return received,
            Err(_quiet) if is_subscribed || both.sent.load(Ordering::Relaxed) != sent => {}
            Err(_quiet) => return Err(LinkError::TimedOut),
        }
    }
}

/// Sends what the hub says, until it says that the session is over.
async fn send(answers: &mut Answers, sender: &mut FrameSender, both: &Both) -> CloseCode {
    loop {
        match answers.recv().await {
            Some(Outbound::Messages(messages)) => {
                for message in messages {
                    if let Err(error) = sender.send_frame(&message.encode_frame()).await {
                        return error.close_code();
                    }
                    both.sent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(Outbound::Close(code)) => {
                // The last words are to be heard; a peer that is gone does not hear them.
                if sender.flush().await.is_err() {
                    tracing::debug!("the peer left before it had the hub's last words");
                }
                return code;
            }
            None => return CloseCode::Busy,
        }
    }
}

impl ConnectionHandler for Sessions {
    async fn serve(&self, accepted: Accepted) -> CloseCode {
        let Accepted { device_key, device, mut link, stopping: _ } = accepted;
        let Ok(mut session) = self.hub.open(device, device_key).await else { return CloseCode::ShuttingDown };
        let both = Both { pace: link.pace(), sent: AtomicU64::new(0) };
        let (sender, receiver) = link.split();
        let code = tokio::select! {
            code = send(&mut session.outbound, sender, &both) => code,
            code = self.receive(&session.room, receiver, &both) => code,
        };
        // Known to the hub already, unless the link broke.
        self.hub.ended(&session.room).await.unwrap_or_default();
        code
    }
}
