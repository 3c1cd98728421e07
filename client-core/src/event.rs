//! What an app hears of without asking.

use std::sync::Arc;

use tokio::sync::broadcast;

use crate::names::{FieldPath, RecordId};
use crate::status::SyncReport;

/// Events kept for a listener that is slow; older ones become one [`Event::Lagged`].
pub(crate) const EVENTS_MAX: usize = 256;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// These records, their reviews or where they are have changed: read them again.
    RecordsChanged(Arc<[RecordId]>),
    /// [`crate::FieldClient::status`] says something else now.
    StatusChanged,
    /// A session with the hub ended well.
    Synced(Arc<SyncReport>),
    /// The hub held something that was written here, or will never take it; its values are in this many new drafts.
    Held {
        /// The records.
        records: Arc<[RecordId]>,
        /// Drafts that were made from what was held.
        drafts: usize,
    },
    /// A save was made at what is left of the version its writer looked at: a part of that version is held by now. Nothing of
    /// the save is lost; these fields showed values that stand no more.
    BaseVanished {
        /// The record.
        record: RecordId,
        /// The fields.
        fields: Arc<[FieldPath]>,
    },
    /// The organisation had records erased for good, and this device has carried it out.
    Erased {
        /// The records that were here.
        records: Arc<[RecordId]>,
        /// Drafts about them that went along.
        drafts: usize,
        /// Of the records, those with something that had not been sent.
        unsent: usize,
    },
    /// Another copy of this device's store writes in its name: it was cloned, or restored from an old image.
    Copied,
    /// The store had to be repaired, or its index built anew; [`crate::FieldClient::diagnostics`] says more.
    Repaired,
    /// Events were lost: read everything shown again.
    Lagged,
}

/// Events as they come. Bounded: a slow listener loses old ones and is told so once.
#[derive(Debug)]
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
}

impl EventStream {
    pub(crate) const fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self { receiver }
    }

    /// The next event; `None` when the core is closed. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Lagged),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(_)) => Some(Event::Lagged),
            Err(broadcast::error::TryRecvError::Empty | broadcast::error::TryRecvError::Closed) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_listener_is_told_once_that_it_lost_events() {
        let (sender, receiver) = broadcast::channel(EVENTS_MAX);
        let mut events = EventStream::new(receiver);
        for _ in 0..EVENTS_MAX * 2 {
            sender.send(Event::StatusChanged).unwrap();
        }
        assert_eq!(events.try_next(), Some(Event::Lagged));
        for _ in 0..EVENTS_MAX {
            assert_eq!(events.try_next(), Some(Event::StatusChanged));
        }
        assert_eq!(events.try_next(), None);
    }
}
