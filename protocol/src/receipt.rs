//! A hub's signed word that packs are durable, and how it judged them.
//!
//! A receipt outlives the connection: it is what lets a tablet say 已送达, and what keeps a restored hub from judging an
//! approved record afresh (A2, A5). It counts only under a hub key that the control log names, and only while the present
//! epoch contains its commit: [`Fold::receipt_counts`]. A peer's acknowledgement is no receipt.
//!
//! # See
//!
//! `docs/wire.md`, "Receipt".

use std::collections::BTreeSet;

use crate::control::{Fold, Signable, SignatureError, Signed, read_set, write_set};
use crate::ids::{ChangeHash, Epoch, HubId, PackHash};
use crate::limits::ITEMS_PER_MESSAGE_MAX;
use crate::wire::{DecodeError, Reader, Wire, Writer};

/// What a hub states of packs it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The hub.
    pub hub: HubId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The commit with which the last of the packs became durable.
    pub commit: u64,
    /// The packs.
    pub packs: BTreeSet<PackHash>,
    /// How their changes were judged.
    pub verdict: Verdict,
}

/// How the changes of the packs were judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All passed.
    Passed,
    /// These are held, each with a code; the others passed.
    Held(BTreeSet<(ChangeHash, u16)>),
}

/// A receipt with its signature.
pub type SignedReceipt = Signed<Receipt>;

impl Signable for Receipt {
    const DOMAIN: &'static str = "qianmo receipt v1";
}

impl Receipt {
    /// Whether a change of these packs passed: it is not among the held ones.
    #[must_use]
    pub fn is_passed(&self, change: &ChangeHash) -> bool {
        match &self.verdict {
            Verdict::Passed => true,
            Verdict::Held(held) => held.range((*change, 0)..=(*change, u16::MAX)).next().is_none(),
        }
    }
}

impl SignedReceipt {
    /// The receipt, if a hub that the control log names signed it.
    ///
    /// # Errors
    /// [`SignatureError`] when the hub is not named, or the signature is not its own.
    pub fn verify_in<'a>(&'a self, fold: &Fold) -> Result<&'a Receipt, SignatureError> {
        fold.verify_hub(&self.content().hub, self)
    }
}

impl Wire for Receipt {
    fn write(&self, writer: &mut Writer) {
        writer.raw(self.hub.as_bytes());
        writer.raw(self.epoch.as_bytes());
        writer.uleb(self.commit);
        write_set(writer, &self.packs, |writer, pack| writer.raw(pack.as_bytes()));
        match &self.verdict {
            Verdict::Passed => writer.u8(1),
            Verdict::Held(held) => {
                writer.u8(2);
                write_set(writer, held, |writer, (change, code)| {
                    writer.raw(change.as_bytes());
                    writer.u16(*code);
                });
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let hub = HubId(reader.array("hub")?);
        let epoch = Epoch(reader.array("epoch")?);
        let commit = reader.uleb("commit", u64::MAX)?;
        let packs = read_set(reader, "packs", ITEMS_PER_MESSAGE_MAX, |reader| Ok(PackHash(reader.array("pack")?)))?;
        let offset = reader.offset();
        let verdict = match reader.u8("verdict")? {
            1 => Verdict::Passed,
            2 => Verdict::Held(read_set(reader, "held changes", ITEMS_PER_MESSAGE_MAX, |reader| {
                Ok((ChangeHash(reader.array("change")?), reader.u16("code")?))
            })?),
            have => return Err(DecodeError::Unknown { field: "verdict", offset, have: u64::from(have) }),
        };
        Ok(Self { hub, epoch, commit, packs, verdict })
    }
}
