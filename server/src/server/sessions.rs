//! A device's connection between the network and the hub's thread.
//!
//! Two halves run at the same time, so that a peer that sends while it is being sent to never waits for itself: one hands
//! messages to the hub, the other sends what the hub says. The hub alone decides how a session ends.

use qianmo_protocol::close_code::CloseCode;

use crate::connection::{FrameReceiver, FrameSender};
use crate::hub::{HubHandle, Outbound, SessionId, SessionLink};
use crate::listener::{Accepted, ConnectionHandler};

/// Hands connections to the hub.
#[derive(Debug)]
pub(super) struct Sessions {
    hub: HubHandle,
}

impl Sessions {
    pub(super) const fn new(hub: HubHandle) -> Self {
        Self { hub }
    }

    /// Hands over what comes, until the peer is gone. Returns only for an error of the link.
    async fn receive(&self, session: SessionId, receiver: &mut FrameReceiver) -> CloseCode {
        loop {
            match receiver.recv_message().await {
                Ok(Some(message)) => {
                    if self.hub.message(session, message).await.is_err() {
                        return CloseCode::ShuttingDown;
                    }
                }
                Ok(None) => {
                    if self.hub.ended(session).await.is_err() {
                        return CloseCode::ShuttingDown;
                    }
                    // The hub answers what it has and then says that the session is over.
                    std::future::pending::<()>().await;
                }
                Err(error) => {
                    if !error.is_done() {
                        tracing::debug!(error = &error as &dyn core::error::Error, "a session's connection broke");
                    }
                    return error.close_code();
                }
            }
        }
    }
}

/// Sends what the hub says, until it says that the session is over.
async fn send(link: &mut SessionLink, sender: &mut FrameSender) -> CloseCode {
    loop {
        match link.outbound.recv().await {
            Some(Outbound::Messages(messages)) => {
                for message in messages {
                    if let Err(error) = sender.send_frame(&message.encode_frame()).await {
                        return error.close_code();
                    }
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
        let id = session.id;
        let (sender, receiver) = link.split();
        let code = tokio::select! {
            code = send(&mut session, sender) => code,
            code = self.receive(id, receiver) => code,
        };
        // Known to the hub already, unless the link broke.
        self.hub.ended(id).await.unwrap_or_default();
        code
    }
}
