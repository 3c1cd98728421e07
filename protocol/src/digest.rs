//! The state digest of a logbook: equal vectors and control heads must mean equal digests.
//!
//! Every document gives one digest over (document, heads, held change hashes); the logbook's is their sum modulo 2^256. A
//! sum is independent of order and is kept up to date by taking one document out and putting it back, so comparing costs
//! nothing per record that did not change. It finds our bugs, it does not resist an attacker; signatures do that
//! (`docs/decisions/2026-11-23-state-digest-is-a-sum.md`).

use core::fmt;

use crate::ids::{ChangeHash, DocId, digest32};
use crate::wire::Writer;

/// The digest of one logbook's documents.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StateDigest([u64; 4]);

impl StateDigest {
    /// Of a logbook without documents.
    pub const EMPTY: Self = Self([0; 4]);

    /// One document's part. `heads` and `held` (quarantined changes) are taken as sorted sets.
    #[must_use]
    pub fn of_document(doc: &DocId, heads: &[ChangeHash], held: &[ChangeHash]) -> Self {
        let list = |hashes: &[ChangeHash]| {
            let mut sorted = hashes.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            let mut writer = Writer::new();
            writer.list(&sorted, |writer, hash| writer.raw(&hash.0));
            writer.finish()
        };
        Self::from_bytes(digest32("qianmo document state v1", &[&doc.0, &list(heads), &list(held)]))
    }

    /// With a document's part put in.
    #[must_use]
    pub fn plus(self, part: Self) -> Self {
        let mut carry = false;
        let mut out = [0; 4];
        for ((to, a), b) in out.iter_mut().zip(self.0).zip(part.0) {
            let (sum, over_a) = a.overflowing_add(b);
            let (sum, over_b) = sum.overflowing_add(u64::from(carry));
            carry = over_a || over_b;
            *to = sum;
        }
        Self(out)
    }

    /// With a document's part taken out.
    #[must_use]
    pub fn minus(self, part: Self) -> Self {
        let mut borrow = false;
        let mut out = [0; 4];
        for ((to, a), b) in out.iter_mut().zip(self.0).zip(part.0) {
            let (rest, under_a) = a.overflowing_sub(b);
            let (rest, under_b) = rest.overflowing_sub(u64::from(borrow));
            borrow = under_a || under_b;
            *to = rest;
        }
        Self(out)
    }

    /// 32 bytes, least significant limb first, each limb little-endian.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut out = [0; 32];
        for (to, limb) in out.chunks_exact_mut(8).zip(self.0) {
            to.copy_from_slice(&limb.to_le_bytes());
        }
        out
    }

    /// From [`StateDigest::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let mut limbs = [0; 4];
        for (to, chunk) in limbs.iter_mut().zip(bytes.chunks_exact(8)) {
            *to = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
        }
        Self(limbs)
    }
}

impl fmt::Display for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_bytes().iter().take(8).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for StateDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn taking_out_what_was_put_in_restores_the_digest() {
        let a = StateDigest::of_document(&DocId([1; 16]), &[ChangeHash([2; 32])], &[]);
        let b = StateDigest::of_document(&DocId([9; 16]), &[ChangeHash([0xff; 32]), ChangeHash([3; 32])], &[]);
        assert_eq!(a.plus(b), b.plus(a));
        assert_eq!(a.plus(b).minus(a), b);
        assert_eq!(StateDigest::EMPTY.plus(a).minus(a), StateDigest::EMPTY);
        assert_eq!(StateDigest::from_bytes(a.to_bytes()), a);
    }

    #[test]
    fn a_held_change_is_not_a_head() {
        let hash = [ChangeHash([2; 32])];
        let doc = DocId([1; 16]);
        assert_ne!(StateDigest::of_document(&doc, &hash, &[]), StateDigest::of_document(&doc, &[], &hash));
    }

    #[test]
    fn carries_run_through_all_limbs() {
        let ones = StateDigest([u64::MAX; 4]);
        assert_eq!(ones.plus(StateDigest([1, 0, 0, 0])), StateDigest::EMPTY);
        assert_eq!(StateDigest::EMPTY.minus(StateDigest([1, 0, 0, 0])), ones);
    }
}
