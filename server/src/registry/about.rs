//! What a tablet said of itself when it was last here: nobody vouches for it, and nothing is decided by it.
//!
//! The last word is a fact of the hub's store. It is written again when something of it changed that a person looks at, or
//! after an hour; with the next sync.

use qianmo_protocol::ids::DeviceId;
use qianmo_protocol::session::message::About;
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::hub::{HubCore, HubError};

/// It is written down again after this time, changed or not.
const ABOUT_EVERY_MS: i64 = 3_600_000;

/// What a tablet said, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AboutRow {
    /// When it said so, by the hub's clock.
    pub at: UnixMillis,
    /// Whether the session in which it did came to its end: all that waited then is here.
    pub has_ended_well: bool,
    /// What it said.
    pub about: About,
}

impl AboutRow {
    /// By how much its clock is ahead of the hub's, in milliseconds; behind when negative.
    #[must_use]
    pub const fn clock_ahead_ms(&self) -> i64 {
        self.about.clock.0.saturating_sub(self.at.0)
    }

    /// Records that were not here yet when it was heard of last.
    #[must_use]
    pub const fn unsent(&self) -> u32 {
        if self.has_ended_well { 0 } else { self.about.unsent }
    }
}

impl Wire for AboutRow {
    fn write(&self, writer: &mut Writer) {
        writer.i64(self.at.0);
        writer.u8(u8::from(self.has_ended_well));
        self.about.write(writer);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            at: UnixMillis(reader.i64("at")?),
            has_ended_well: reader.flag("ended well")?,
            about: About::read(reader)?,
        })
    }
}

fn about_key(device: &DeviceId) -> Vec<u8> {
    [b"hub about ".as_slice(), &device.0].concat()
}

impl HubCore {
    /// What a device said of itself last.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be read.
    pub(super) fn about(&self, device: &DeviceId) -> Result<Option<AboutRow>, HubError> {
        let stored = self.replica().meta(&about_key(device))?;
        Ok(stored.and_then(|bytes| AboutRow::decode(&bytes).ok()))
    }

    /// A device says hello.
    pub(crate) fn note_about(&mut self, now: UnixMillis, device: &DeviceId, about: &About) -> Result<(), HubError> {
        let before = self.about(device)?;
        let is_known = before.is_some_and(|before| {
            before.unsent() == about.unsent
                && before.about.program == about.program
                && now.0.saturating_sub(before.at.0).abs() < ABOUT_EVERY_MS
        });
        if is_known {
            return Ok(());
        }
        let row = AboutRow { at: now, has_ended_well: false, about: about.clone() };
        self.put_meta(&about_key(device), &row.encode())
    }

    /// A session of the device came to its end: both sides hold what the other held.
    pub(crate) fn note_ended_well(&mut self, device: &DeviceId) {
        let ended = |row: AboutRow| AboutRow { has_ended_well: true, ..row };
        let row = self.about(device).map(|row| row.filter(|row| !row.has_ended_well).map(ended));
        let noted = row.and_then(|row| match row {
            Some(row) => self.put_meta(&about_key(device), &row.encode()),
            None => Ok(()),
        });
        if let Err(error) = noted {
            // The next write fails too, and says so to whoever waits for it.
            tracing::warn!(error = &error as &dyn core::error::Error, "what a device said of itself was not stored");
        }
    }
}
