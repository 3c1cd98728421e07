//! The roll: which segments a rewrite left, so that one that vanishes later is missed.
//!
//! A segment that was never rewritten needs no entry: its numbers run on from those of the segment before. A rewrite drops
//! frames, and whole segments with them, and would make any gap look right. So it writes down what it leaves.

use qianmo_protocol::wire::{DecodeError, Reader, Wire, Writer};

use super::{Replica, ReplicaError};
use crate::frames::META_BYTES_MAX;
use crate::pack_log::SegmentListing;

/// The meta key of the roll.
const ROLL_KEY: &[u8] = b"segments";
/// Most bytes of one line of the roll, and of what comes before them.
const LINE_BYTES_MAX: usize = 5 + 5 + 10;

/// One segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollLine {
    /// Its id.
    pub segment: u32,
    /// Its generation.
    pub generation: u32,
    /// Its length.
    pub bytes: u64,
}

/// Whether the roll is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RollState {
    /// A rewrite began and did not write down its end: any segment named here may be gone or of a later generation.
    Rewriting,
    /// This is what it left.
    Settled,
}

/// What the last rewrite left of the segments that could take no more frames then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roll {
    /// Whether it is final.
    pub state: RollState,
    /// The roll is complete from this segment on: a smaller one is not spoken of.
    pub from: u32,
    /// It speaks of no segment after this one.
    pub to: u32,
    /// The segments that were left, ascending.
    pub lines: Vec<RollLine>,
}

impl Wire for Roll {
    fn write(&self, writer: &mut Writer) {
        writer.u8(match self.state {
            RollState::Rewriting => 1,
            RollState::Settled => 0,
        });
        writer.uleb(u64::from(self.from));
        writer.uleb(u64::from(self.to));
        writer.list(&self.lines, |writer, line| {
            writer.uleb(u64::from(line.segment));
            writer.uleb(u64::from(line.generation));
            writer.uleb(line.bytes);
        });
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let state = if reader.uleb("roll state", 1)? == 1 { RollState::Rewriting } else { RollState::Settled };
        let (from, to) = (reader.uleb32("roll from")?, reader.uleb32("roll to")?);
        let lines = reader.list("roll", META_BYTES_MAX / 3, |reader| {
            let (segment, generation) = (reader.uleb32("segment")?, reader.uleb32("generation")?);
            Ok(RollLine { segment, generation, bytes: reader.uleb("bytes", u64::MAX)? })
        })?;
        Ok(Self { state, from, to, lines })
    }
}

impl Replica {
    /// What the last rewrite wrote down; `None` when the log was never rewritten.
    ///
    /// # Errors
    /// [`ReplicaError`] when the store cannot be read.
    pub fn roll(&self) -> Result<Option<Roll>, ReplicaError> {
        Ok(self.meta(ROLL_KEY)?.and_then(|bytes| Roll::decode(&bytes).ok()))
    }

    /// Writes down the segments before the one that takes the next frame, durably.
    pub(super) fn write_roll(&mut self, state: RollState) -> Result<(), ReplicaError> {
        self.sync()?;
        let mut listed: Vec<SegmentListing> = self.log.segments();
        match state {
            RollState::Rewriting => {}
            // The last one still grows.
            RollState::Settled => drop(listed.pop()),
        }
        let room = META_BYTES_MAX / LINE_BYTES_MAX - 1;
        let left_out = listed.len().saturating_sub(room);
        let from = if left_out == 0 { 0 } else { listed.get(left_out).map_or(0, |listing| listing.segment) };
        let to = listed.last().map_or(0, |listing| listing.segment);
        let line = |listing: &SegmentListing| RollLine {
            segment: listing.segment,
            generation: listing.generation,
            bytes: listing.durable_bytes,
        };
        let roll = Roll { state, from, to, lines: listed.iter().skip(left_out).map(line).collect() };
        self.put_meta(ROLL_KEY, &roll.encode())?;
        self.sync()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roll_reads_back_as_it_was_written() {
        let line = |segment| RollLine { segment, generation: segment / 2, bytes: u64::from(segment) << 33 };
        for state in [RollState::Rewriting, RollState::Settled] {
            let roll = Roll { state, from: 0, to: 9, lines: vec![line(1), line(4), line(9)] };
            assert_eq!(Roll::decode(&roll.encode()).unwrap(), roll);
        }
        assert!(Roll::decode(&[2, 0, 0, 0]).is_err());
    }
}
