//! Filters that somebody keeps under a name of their own: facts of the hub's store, so that they are there on any computer.
//!
//! # Limits
//!
//! [`SAVED_MAX`] for an account, names of [`SAVED_NAME_CHARS_MAX`].
//!
//! # Failure
//!
//! [`SaveError`]: what was kept before stays.

use qianmo_protocol::ids::Code;
use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use crate::hub::{HubCore, HubError};

/// Most filters of an account: what can be looked over at once.
pub const SAVED_MAX: usize = 20;
/// Most letters of a name.
pub const SAVED_NAME_CHARS_MAX: usize = 30;

const NAME_BYTES_MAX: usize = 4 * SAVED_NAME_CHARS_MAX;
/// A filter's text takes most of it.
const PLACE_BYTES_MAX: usize = 2_048;

/// A filter under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedFilter {
    /// What its owner calls it. Unique for an account.
    pub name: String,
    /// The list's address on the pages, without a language.
    pub place: String,
}

/// Why a filter is not kept.
#[derive(Debug, thiserror::Error)]
pub enum SaveError {
    /// It has no name, or one that is too long or holds control characters.
    #[error("a name has 1 to {SAVED_NAME_CHARS_MAX} letters")]
    Name,
    /// Its address is too long.
    #[error("the filter's address has {have} bytes, at most {PLACE_BYTES_MAX} are kept")]
    Place {
        /// Bytes given.
        have: usize,
    },
    /// There are too many.
    #[error("an account keeps at most {SAVED_MAX} filters; delete one first")]
    TooMany,
    /// A later version wrote them.
    #[error("the filters were written by a later version; update the hub")]
    Unreadable(#[from] DecodeError),
    /// The store failed.
    #[error("the filter could not be stored")]
    Hub(#[from] HubError),
}

#[derive(Debug, Default)]
struct Saved(Vec<SavedFilter>);

impl Wire for Saved {
    fn write(&self, writer: &mut Writer) {
        writer.list(&self.0, |writer, filter| {
            writer.bytes(filter.name.as_bytes());
            writer.bytes(filter.place.as_bytes());
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let filter = |reader: &mut Reader<'_>| {
            Ok(SavedFilter {
                name: reader.text("name", NAME_BYTES_MAX)?.to_owned(),
                place: reader.text("place", PLACE_BYTES_MAX)?.to_owned(),
            })
        };
        Ok(Self(reader.list("filters", SAVED_MAX, filter)?))
    }
}

fn key(login: &Code) -> Vec<u8> {
    [b"saved ".as_slice(), login.as_str().as_bytes()].concat()
}

impl HubCore {
    /// The filters of an account, in the order they were kept.
    ///
    /// # Errors
    /// [`SaveError`] when they cannot be read.
    pub fn saved_filters(&self, login: &Code) -> Result<Vec<SavedFilter>, SaveError> {
        let bytes = self.replica().meta(&key(login)).map_err(HubError::from)?;
        Ok(bytes.map(|bytes| Saved::decode(&bytes)).transpose()?.unwrap_or_default().0)
    }

    /// Keeps a filter; one of the same name gives way. It is durable when this returns.
    ///
    /// # Errors
    /// [`SaveError`]: nothing is changed.
    pub fn save_filter(&mut self, login: &Code, filter: SavedFilter) -> Result<(), SaveError> {
        let name = filter.name.trim().to_owned();
        let is_name = (1..=SAVED_NAME_CHARS_MAX).contains(&name.chars().count());
        if !is_name || name.chars().any(char::is_control) {
            return Err(SaveError::Name);
        }
        if filter.place.len() > PLACE_BYTES_MAX {
            return Err(SaveError::Place { have: filter.place.len() });
        }
        let mut all = self.saved_filters(login)?;
        let is_full = all.len() >= SAVED_MAX;
        match all.iter_mut().find(|kept| kept.name == name) {
            Some(kept) => kept.place = filter.place,
            None if is_full => return Err(SaveError::TooMany),
            None => all.push(SavedFilter { name, place: filter.place }),
        }
        Ok(self.put_durable(&key(login), &Saved(all).encode())?)
    }

    /// Deletes a filter, if there is one of this name.
    ///
    /// # Errors
    /// [`SaveError`]: nothing is changed.
    pub fn forget_filter(&mut self, login: &Code, name: &str) -> Result<(), SaveError> {
        let mut all = self.saved_filters(login)?;
        all.retain(|kept| kept.name != name);
        Ok(self.put_durable(&key(login), &Saved(all).encode())?)
    }
}
