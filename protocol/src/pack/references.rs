//! Hashes of earlier entries inside a later entry's content, left out of the body.
//!
//! A submit event names the record it was made with: 32 bytes of change hash and 16 of document id that no compressor can
//! shorten, and that the receiver knows, because it has computed them for the entry before. The body is not signed, so a
//! writer may leave them out and say where they go; the content that comes back is what the leaf's hash binds.
//!
//! # Limits
//!
//! [`REFERENCES_MAX`] per entry; contents over [`SEARCHED_BYTES_MAX`] are written as they are.

use std::collections::HashMap;

use crate::ids::{ChangeHash, DocId};
use crate::limits::CHANGE_BYTES_MAX;
use crate::wire::{DecodeError, Reader, Writer};

/// Most references in one entry.
pub(super) const REFERENCES_MAX: usize = 64;
/// Longest content in which a writer looks for references: long ones are text.
const SEARCHED_BYTES_MAX: usize = 2_048;

/// What stands in a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    Change,
    Doc,
}

/// The ids of the entries so far.
#[derive(Debug, Default)]
pub(super) struct Names {
    ids: Vec<(ChangeHash, DocId)>,
    /// First eight bytes of each id; a later entry takes the place of an earlier one.
    starts: HashMap<[u8; 8], usize>,
}

/// Kept bytes of a content, and what was left out of it.
#[derive(Debug, Default)]
pub(super) struct Holed {
    holes: Vec<(usize, usize, Named)>,
    kept: Vec<u8>,
}

impl Names {
    /// An entry that comes before those that are written next.
    pub(super) fn push(&mut self, hash: ChangeHash, doc: DocId) {
        let index = self.ids.len();
        for start in [hash.0.first_chunk::<8>(), doc.0.first_chunk::<8>()].into_iter().flatten() {
            self.starts.insert(*start, index);
        }
        self.ids.push((hash, doc));
    }

    /// Leaves out what earlier entries give; `None` when there is nothing to leave out.
    pub(super) fn leave_out(&self, content: &[u8]) -> Option<Holed> {
        if content.len() > SEARCHED_BYTES_MAX || self.ids.is_empty() {
            return None;
        }
        let mut holed = Holed::default();
        let mut gap = 0usize;
        let mut rest = content;
        while let Some((first, after)) = rest.split_first() {
            match self.at(rest).filter(|_| holed.holes.len() < REFERENCES_MAX) {
                Some((index, named, length)) => {
                    holed.holes.push((gap, index, named));
                    gap = 0;
                    rest = rest.get(length..).unwrap_or_default();
                }
                None => {
                    holed.kept.push(*first);
                    gap += 1;
                    rest = after;
                }
            }
        }
        (!holed.holes.is_empty()).then_some(holed)
    }

    fn at(&self, bytes: &[u8]) -> Option<(usize, Named, usize)> {
        let index = *self.starts.get(bytes.first_chunk::<8>()?)?;
        let (hash, doc) = self.ids.get(index)?;
        if bytes.starts_with(&hash.0) {
            return Some((index, Named::Change, hash.0.len()));
        }
        bytes.starts_with(&doc.0).then_some((index, Named::Doc, doc.0.len()))
    }

    /// Reads a content that was written with holes.
    pub(super) fn read(&self, reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
        let holes = reader.list("references", REFERENCES_MAX, |reader| {
            let gap = reader.count("gap", CHANGE_BYTES_MAX)?;
            let back = reader.count("reference", self.ids.len().saturating_sub(1))?;
            Ok((gap, back, reader.flag("reference kind")?))
        })?;
        let offset = reader.offset();
        let mut kept = reader.bytes("change", CHANGE_BYTES_MAX)?;
        let mut content = Vec::with_capacity(kept.len() + holes.len() * 32);
        for (gap, back, is_doc) in holes {
            let Some((before, after)) = kept.split_at_checked(gap) else {
                return Err(DecodeError::Truncated { field: "gap", offset, need: gap, have: kept.len() });
            };
            content.extend_from_slice(before);
            kept = after;
            let id = self.ids.len().checked_sub(back + 1).and_then(|index| self.ids.get(index));
            let Some((hash, doc)) = id else {
                let have = u64::try_from(back).unwrap_or(u64::MAX);
                return Err(DecodeError::Unknown { field: "reference", offset, have });
            };
            content.extend_from_slice(if is_doc { &doc.0 } else { &hash.0 });
        }
        content.extend_from_slice(kept);
        Ok(content)
    }
}

impl Holed {
    /// Writes holes and kept bytes.
    pub(super) fn write(&self, writer: &mut Writer, names: &Names) {
        writer.list(&self.holes, |writer, (gap, index, named)| {
            writer.count(*gap);
            writer.count(names.ids.len().saturating_sub(index + 1));
            writer.u8(u8::from(*named == Named::Doc));
        });
        writer.bytes(&self.kept);
    }
}
