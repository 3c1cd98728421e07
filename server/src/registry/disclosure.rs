//! Who was shown whole numbers of persons, of which record, and when.
//!
//! The pages hide the middle of telephone and identity numbers also from reviewers. Whoever needs one asks for it, and that is
//! written down before it is shown: a fact of the hub's own store, in every backup and on no tablet.
//!
//! # Limits
//!
//! [`DISCLOSURES_PER_PAGE`]. Nothing is ever taken away.
//!
//! # Failure
//!
//! [`HubError`]: nothing is shown.

use qianmo_protocol::ids::{DocId, PersonCode};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::hub::{HubCore, HubError};

/// Most that are listed at a time.
pub const DISCLOSURES_PER_PAGE: usize = 50;

const COUNT_KEY: &[u8] = b"disclosures";

/// Somebody was shown the numbers in a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disclosure {
    /// When, by the hub's clock.
    pub at: UnixMillis,
    /// Who.
    pub by: PersonCode,
    /// The record.
    pub record: DocId,
}

impl Wire for Disclosure {
    fn write(&self, writer: &mut Writer) {
        writer.i64(self.at.0);
        writer.code(&self.by);
        writer.raw(&self.record.0);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { at: UnixMillis(reader.i64("at")?), by: reader.code("by")?, record: DocId(reader.array("record")?) })
    }
}

fn key(number: u32) -> Vec<u8> {
    [b"disclosure ".as_slice(), &number.to_be_bytes()].concat()
}

impl HubCore {
    /// How many there are.
    fn disclosed(&self) -> Result<u32, HubError> {
        let bytes = self.replica().meta(COUNT_KEY)?;
        Ok(bytes.and_then(|bytes| Some(u32::from_be_bytes(bytes.try_into().ok()?))).unwrap_or(0))
    }

    /// Writes down that somebody is shown the numbers in a record. It is durable when this returns.
    ///
    /// # Errors
    /// [`HubError`] when it could not be stored: then they must not be shown.
    pub fn disclose(&mut self, now: UnixMillis, by: &PersonCode, record: DocId) -> Result<(), HubError> {
        let number = self.disclosed()?;
        self.put_meta(&key(number), &Disclosure { at: now, by: by.clone(), record }.encode())?;
        self.put_durable(COUNT_KEY, &number.saturating_add(1).to_be_bytes())
    }

    /// Newest first: the newest, or those with a number below `before`. Beside them, what to ask for next.
    ///
    /// # Errors
    /// [`HubError`] when the store cannot be read.
    pub fn disclosures(&self, before: Option<u32>) -> Result<(Vec<Disclosure>, Option<u32>), HubError> {
        let count = self.disclosed()?;
        let end = before.map_or(count, |before| before.min(count));
        let most = u32::try_from(DISCLOSURES_PER_PAGE).unwrap_or(u32::MAX);
        let begin = end.saturating_sub(most);
        let mut rows = Vec::new();
        for number in (begin..end).rev() {
            let stored = self.replica().meta(&key(number))?;
            rows.extend(stored.and_then(|bytes| Disclosure::decode(&bytes).ok()));
        }
        Ok((rows, (begin > 0).then_some(begin)))
    }
}
