//! The control log: what the organisation's hubs decided, as a signed graph that is folded as a set.
//!
//! Enrolment, grants and their cuts, revocation, form versions, erasure, quarantine and release, epochs. Each entry is
//! signed on its own and names every head its hub knew; two children of one parent are both kept, so a hub that was cloned
//! or restored never makes replicas refuse one another. Entries hold ids and reason codes only, never names, because the
//! log is permanent. What a change may contain is the gate's business; how entries travel is the session's.
//!
//! # Flow
//!
//! ```text
//! SignedEntry -> ControlLog::insert -> admitted (parents and signer known) -> Fold, which answers every question
//!                                   -> waiting  (until they are)
//! ```
//!
//! # Invariants
//!
//! 1. The fold is a function of the set of admitted entries: every part of it only grows, and what ends something names
//!    the hash of what it ends (`prop_fold_is_the_same_in_any_order_of_arrival`).
//! 2. The admitted set is closed under parents (`prop_admitted_set_is_closed_and_says_what_it_took`).
//! 3. Nothing is admitted whose signature does not verify strictly under a key the authority named (R10;
//!    `forged_copy_keeps_the_true_entry_out_neither_before_nor_after_its_signer_is_named`, `weak_key_signs_nothing`).
//! 4. A revocation and an erasure cannot be ended (`revocation_cannot_be_ended`).
//! 5. A body that this version cannot read is kept byte for byte; if it is critical, [`Fold::must_update`] says so
//!    (`unknown_critical_kind_stops_reading_only`).
//!
//! # Limits
//!
//! The consts of this module, [`crate::limits::CONTROL_PARENTS_MAX`] and [`crate::limits::CONTROL_BODY_BYTES_MAX`].
//!
//! # Failure
//!
//! [`ControlError`]: the peer broke a rule. [`CarrierFailure`]: a pack is held and shown, a coordinator acts.
//!
//! # See
//!
//! `docs/wire.md`, "Control log".

mod access;
mod body;
mod carrier;
mod decision;
mod entry;
mod epochs;
mod fold;
mod holds;
mod log;
mod reach;
mod signed;

pub use access::{Admission, Device, UploadOnly};
pub use carrier::{CarrierFacts, CarrierFailure, CarrierQuestion, Written, held_review_still_hides};
pub use decision::{
    Carrier, Decision, Enrolment, FormVersion, Grant, HubKeys, Purge, PurgeTarget, QuarantineScope, ReplaceProof,
    Replaces, ReviewMemory, Role, Scope, Tip,
};
pub use entry::{Entry, SignedEntry, Signer};
pub use epochs::EpochFacts;
pub use fold::{Fold, HubFacts};
pub use log::{ControlError, ControlLog, Inserted, MissingFor};
pub use signed::{SignError, Signable, SignatureError, Signed};

pub(crate) use body::{read_set, write_set};

/// Most persons in one enrolment; a device with more is enrolled again with the rest.
pub const ENROL_PERSONS_MAX: usize = 256;
/// Most parents of an epoch.
pub const EPOCH_PARENTS_MAX: usize = 64;
/// Most tips in one cut or revocation; further ones follow in [`Decision::MoreTips`].
pub const CUT_TIPS_MAX: usize = 250;
/// Most events an erased review event is remembered to have seen.
pub const MEMORY_SEEN_MAX: usize = 512;
/// Most bytes of one pack header in a fork proof.
pub const FORK_HEADER_BYTES_MAX: usize = 1_024;
/// Most entries named by one adoption.
pub const ADOPT_ENTRIES_MAX: usize = 500;
/// Most signed entries kept aside until their parents come.
pub const CONTROL_WAITING_MAX: usize = 4_096;
/// Most entries kept aside whose signer no known entry names yet.
pub const CONTROL_UNVERIFIED_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::fold::Fold;
    use super::{Admission, Enrolment};
    use crate::ids::{Code, DeviceId, EntryHash, Epoch, LogbookName, OrgId};

    /// Two keys that were ground to one id: nobody can say which is the honest one, so both have to enrol anew (A15).
    #[test]
    fn device_id_with_two_keys_is_refused_for_both() {
        let mut fold = Fold::new(OrgId([1; 16]));
        let (device, person) = (DeviceId([2; 8]), Code::new("P01").unwrap());
        for key in [3, 4] {
            let persons = BTreeSet::from([person.clone()]);
            let enrolment = Enrolment { key: [key; 32], persons, station: Code::new("ST01").unwrap(), replaces: None };
            let rank = (u64::from(key), EntryHash([key; 32]));
            fold.devices.entry(device).or_default().enrol(rank, &enrolment, false);
            let is_refused = fold.may_connect(&device, &Epoch([9; 16])) == Admission::Refused;
            assert_eq!(is_refused, key == 4);
        }
        let known = fold.device(&device).unwrap();
        assert!(known.has_two_keys() && known.key().is_none() && !known.has_person(&person));
        assert!(!fold.may_read(&device, &LogbookName::OrgDirectory));
        assert_eq!(fold.owners_of(&device), BTreeSet::from([device]));
    }
}
