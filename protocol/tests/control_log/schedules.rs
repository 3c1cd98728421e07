//! The schedules of A4, A3, A11, A12 and A15, as stories.

use std::collections::BTreeSet;

use qianmo_protocol::control::{
    Admission, Carrier, Decision, Enrolment, FormVersion, Purge, PurgeTarget, QuarantineScope, ReplaceProof, Replaces,
    ReviewMemory, Role, UploadOnly, held_review_still_hides,
};
use qianmo_protocol::ids::{ChangeHash, DocId, EntryHash, Epoch, LogbookId, LogbookName};

use crate::world::{EPOCH, World, code, cut, device, enrol, grant, june, key, log_of, org, pack, public};

const NEW_EPOCH: Epoch = Epoch([2; 16]);

fn replacing(new: u8, replaces: Replaces) -> Decision {
    let persons = BTreeSet::from([code("P01")]);
    Decision::Enrol(Enrolment { key: public(new), persons, station: code("ST01"), replaces: Some(replaces) })
}

/// The cut was in the epoch that the restore lost; the new epoch granted again. Replaying either first gave other rights.
#[test]
fn cut_of_the_lost_epoch_and_grant_of_the_new_one_give_the_same_rights_in_any_order() {
    let mut backup = World::new();
    backup.decide(enrol(1, &["P01"]));
    let old_grant = backup.decide(grant("P01", Role::Technician, &["ST01"]));
    let (mut lost, mut restored) = (backup.clone(), backup);
    lost.decide(cut(old_grant, &[]));
    restored.restore(NEW_EPOCH, 10);
    let new_grant = restored.decide(grant("P01", Role::Technician, &["ST01"]));
    let (mut tablet_a, mut tablet_b) = (lost.clone(), restored.clone());
    tablet_a.adopt(&restored.log);
    tablet_b.adopt(&lost.log);
    assert_eq!(tablet_a.log.fold(), tablet_b.log.fold());
    let fold = tablet_a.log.fold();
    assert!(fold.is_cut(&old_grant) && !fold.is_cut(&new_grant));
    assert!(fold.may_read(&device(1), &june("ST01")));
    assert!(!fold.may_read(&device(1), &june("ST02")));
}

#[test]
fn revocation_cannot_be_ended() {
    let mut world = World::new();
    world.decide(enrol(1, &["P01"]));
    world.decide(grant("P01", Role::Technician, &["ST01"]));
    assert_eq!(world.log.fold().may_connect(&device(1), &EPOCH), Admission::Full);
    let revoke = world.decide(Decision::Revoke { device: device(1), reason: 1, tips: BTreeSet::new() });
    for attempt in [
        Decision::Release { ends: revoke },
        Decision::EndMinimumVersion { ends: revoke },
        cut(revoke, &[]),
        enrol(1, &["P01"]),
        Decision::Confirm { device: device(1) },
    ] {
        world.decide(attempt);
        let fold = world.log.fold();
        assert_eq!(fold.may_connect(&device(1), &EPOCH), Admission::UploadOnly(UploadOnly::Revoked));
        assert!(!fold.may_read(&device(1), &june("ST01")));
        assert!(!fold.may_read(&device(1), &LogbookName::OrgDirectory));
    }
}

#[test]
fn revocation_known_before_the_enrolment_counts() {
    let mut world = World::new();
    world.decide(Decision::Revoke { device: device(1), reason: 1, tips: BTreeSet::new() });
    assert_eq!(world.log.fold().may_connect(&device(1), &EPOCH), Admission::Unknown);
    world.decide(enrol(1, &["P01"]));
    assert_eq!(world.log.fold().may_connect(&device(1), &EPOCH), Admission::UploadOnly(UploadOnly::Revoked));
}

#[test]
fn release_ends_only_what_it_names() {
    let mut world = World::new();
    let change = ChangeHash([5; 32]);
    let hold = |carrier, code| Decision::Quarantine { scope: QuarantineScope::Change { change, carrier }, code };
    let first = world.decide(hold(Carrier::Pack(pack(1)), 263));
    let second = world.decide(hold(Carrier::Pack(pack(1)), 261));
    let other_pack = world.decide(hold(Carrier::Pack(pack(2)), 262));
    let content = world.decide(hold(Carrier::Content, 7));
    world.decide(Decision::Release { ends: first });
    let fold = world.log.fold();
    assert_eq!(fold.carrier_quarantine(&change, &pack(1)), Some(261));
    assert_eq!(fold.carrier_quarantine(&change, &pack(2)), Some(262));
    assert_eq!(fold.content_quarantine(&change), Some(7));
    world.decide(Decision::Release { ends: second });
    world.decide(Decision::Release { ends: content });
    let fold = world.log.fold();
    assert_eq!(fold.carrier_quarantine(&change, &pack(1)), None);
    assert_eq!(fold.content_quarantine(&change), None);
    let held: Vec<_> = fold.carrier_quarantines().collect();
    assert_eq!(held, vec![(&change, &pack(2), 262)]);
    // Held again after a release: a new entry, which the old release does not end.
    world.decide(hold(Carrier::Pack(pack(1)), 263));
    assert_eq!(world.log.fold().carrier_quarantine(&change, &pack(1)), Some(263));
    world.decide(Decision::Release { ends: other_pack });
    assert_eq!(world.log.fold().carrier_quarantine(&change, &pack(2)), None);
}

/// A thief copies a change into its own pack and reaches the hub first (A1).
#[test]
fn failed_carrier_does_not_hold_another_pack_with_the_same_change() {
    let mut world = World::new();
    let change = ChangeHash([5; 32]);
    let scope = QuarantineScope::Change { change, carrier: Carrier::Pack(pack(0x66)) };
    world.decide(Decision::Quarantine { scope, code: 260 });
    let fold = world.log.fold();
    assert_eq!(fold.carrier_quarantine(&change, &pack(0x66)), Some(260));
    assert_eq!(fold.carrier_quarantine(&change, &pack(1)), None);
    assert_eq!(fold.content_quarantine(&change), None);
}

#[test]
fn log_beyond_its_tips_leaves_the_vectors_until_it_is_released() {
    let mut world = World::new();
    let (logbook, log) = (june("ST01").id(&org()), log_of(1));
    let at_or_before_one = |tip: &_| *tip == pack(1);
    let beyond = |_: &_| false;
    assert_eq!(world.log.fold().exclusion(&logbook, &log, &pack(9), &beyond), None);
    let scope = QuarantineScope::LogBeyondTips { logbook, log, tips: BTreeSet::from([pack(1)]) };
    let entry = world.decide(Decision::Quarantine { scope, code: 300 });
    let fold = world.log.fold();
    assert_eq!(fold.exclusion(&logbook, &log, &pack(9), &beyond), Some(300));
    assert_eq!(fold.exclusion(&logbook, &log, &pack(1), &at_or_before_one), None);
    assert_eq!(fold.exclusion(&logbook, &log_of(2), &pack(9), &beyond), None);
    world.decide(Decision::Release { ends: entry });
    assert_eq!(world.log.fold().exclusion(&logbook, &log, &pack(9), &beyond), None);
    world.decide(Decision::Quarantine { scope: QuarantineScope::Pack(pack(9)), code: 301 });
    assert_eq!(world.log.fold().exclusion(&logbook, &log, &pack(9), &beyond), Some(301));
}

#[test]
fn unknown_critical_kind_stops_reading_only() {
    let mut world = World::new();
    world.decide(enrol(1, &["P01"]));
    world.decide(Decision::Unknown { kind: 700, critical: false, body: vec![1] });
    assert!(!world.log.fold().must_update());
    let critical = world.decide(Decision::Unknown { kind: 701, critical: true, body: vec![2] });
    assert!(world.log.fold().must_update());
    // It is admitted, is a head, is passed on; what is known is still answered, and devices still connect.
    assert_eq!(world.log.heads(), &BTreeSet::from([critical]));
    assert_eq!(world.log.fold().may_connect(&device(1), &EPOCH), Admission::Full);
    let after = world.decide(grant("P01", Role::Technician, &["ST01"]));
    assert!(world.log.closure_contains(&after, &critical));
    assert!(world.log.fold().may_read(&device(1), &june("ST01")));
    let unknown: Vec<_> = world.log.fold().unknown().map(|(_, kind, critical)| (kind, critical)).collect();
    assert_eq!(BTreeSet::from_iter(unknown), BTreeSet::from([(700, false), (701, true)]));
}

#[test]
fn minimum_version_is_the_largest_that_is_not_ended() {
    let mut world = World::new();
    assert_eq!(world.log.fold().minimum_version(), 0);
    world.decide(Decision::MinimumVersion { version: 2 });
    let too_high = world.decide(Decision::MinimumVersion { version: 9 });
    assert_eq!(world.log.fold().minimum_version(), 9);
    world.decide(Decision::EndMinimumVersion { ends: too_high });
    assert_eq!(world.log.fold().minimum_version(), 2);
}

#[test]
fn form_published_with_two_hashes_is_disputed() {
    let mut world = World::new();
    let form = |byte: u8| Decision::Form(FormVersion { form: code("visit"), version: 3, hash: [byte; 32] });
    world.decide(form(1));
    assert_eq!(world.log.fold().form_hash(&code("visit"), 3), Some(&[1; 32]));
    assert_eq!(world.log.fold().form_hash(&code("visit"), 4), None);
    world.decide(form(1));
    assert_eq!(world.log.fold().form_hash(&code("visit"), 3), Some(&[1; 32]));
    world.decide(form(2));
    assert_eq!(world.log.fold().form_hash(&code("visit"), 3), None);
}

#[test]
fn erased_event_is_remembered_and_an_erased_target_stands() {
    let mut world = World::new();
    let (event, record, seen) = (DocId([1; 16]), DocId([2; 16]), DocId([3; 16]));
    let memory = ReviewMemory { record, kind: 3, seen: BTreeSet::from([seen]) };
    let logbook = LogbookId([4; 16]);
    let purge = |doc, is_standing, memory| {
        Decision::Purge(Purge { target: PurgeTarget::Document { doc, logbook }, reason: 1, is_standing, memory })
    };
    let entry = world.decide(purge(event, false, Some(memory.clone())));
    world.decide(Decision::Release { ends: entry });
    let target = DocId([7; 16]);
    world.decide(purge(target, true, None));
    let change = ChangeHash([8; 32]);
    let by_hash = PurgeTarget::Hash { change, doc: DocId([9; 16]) };
    let held = ReviewMemory { kind: 4, ..memory.clone() };
    world.decide(Decision::Purge(Purge { target: by_hash, reason: 1, is_standing: false, memory: Some(held.clone()) }));
    let fold = world.log.fold();
    assert!(fold.is_document_purged(&event) && fold.is_document_purged(&target));
    assert_eq!(fold.review_memories_of(&event).collect::<Vec<_>>(), vec![&memory]);
    assert_eq!(fold.review_memories().collect::<Vec<_>>(), vec![(&event, &memory), (&DocId([9; 16]), &held)]);
    assert_eq!(
        fold.review_memories_of(&DocId([9; 16])).collect::<Vec<_>>(),
        vec![&held],
        "a held event, erased by hash"
    );
    assert!(!fold.is_document_purged(&DocId([9; 16])));
    assert!(fold.is_standing_target(&target) && !fold.is_standing_target(&event));
    assert!(fold.is_stub_legal(&event, &ChangeHash([0; 32])));
    assert!(fold.is_stub_legal(&DocId([9; 16]), &change));
    assert!(!fold.is_stub_legal(&DocId([9; 16]), &ChangeHash([0; 32])), "only the purged change of that document");
    assert_eq!(fold.purges().count(), 3);
}

#[test]
fn held_event_hides_what_it_saw_unless_its_author_had_no_right() {
    // 259, 263: beyond a cut. 1: content. 260 person, 261 role, 262 scope, 264 grant after position.
    assert!([259, 263, 1].into_iter().all(held_review_still_hides));
    assert!(![256, 257, 258, 260, 261, 262, 264].into_iter().any(held_review_still_hides));
}

/// A thief enrols "replacing" `tablet_a`; only the administrator's ticket or the old key may say so (A15).
#[test]
fn lineage_follows_tickets_and_old_keys_and_nothing_else() {
    let mut world = World::new();
    world.decide(enrol(1, &["P01"]));
    world.decide(replacing(2, Replaces { device: device(1), proof: ReplaceProof::Ticket }));
    world.decide(replacing(3, Replaces::by_old_key(&org(), &key(2), &public(3))));
    // The thief signs with its own key in the name of device 1, and copies a signature that was made for device 3.
    let own = Replaces { device: device(1), ..Replaces::by_old_key(&org(), &key(4), &public(4)) };
    world.decide(replacing(4, own));
    world.decide(replacing(5, Replaces::by_old_key(&org(), &key(2), &public(3))));
    let fold = world.log.fold();
    assert_eq!(fold.owners_of(&device(3)), BTreeSet::from([device(1), device(2), device(3)]));
    assert_eq!(fold.owners_of(&device(1)), BTreeSet::from([device(1)]));
    assert_eq!(fold.owners_of(&device(4)), BTreeSet::from([device(4)]));
    assert_eq!(fold.owners_of(&device(5)), BTreeSet::from([device(5)]));
}

#[test]
fn lineage_by_a_key_that_was_never_enrolled_does_not_count_until_it_is() {
    let mut world = World::new();
    world.decide(replacing(2, Replaces::by_old_key(&org(), &key(1), &public(2))));
    assert_eq!(world.log.fold().owners_of(&device(2)), BTreeSet::from([device(2)]));
    world.decide(enrol(1, &["P01"]));
    assert_eq!(world.log.fold().owners_of(&device(2)), BTreeSet::from([device(1), device(2)]));
}

#[test]
fn lineage_in_a_ring_ends() {
    let mut world = World::new();
    world.decide(replacing(1, Replaces { device: device(2), proof: ReplaceProof::Ticket }));
    world.decide(replacing(2, Replaces { device: device(1), proof: ReplaceProof::Ticket }));
    assert_eq!(world.log.fold().owners_of(&device(1)), BTreeSet::from([device(1), device(2)]));
}

#[test]
fn device_is_found_by_its_key_and_its_enrolments_add_up() {
    let mut world = World::new();
    let first = world.decide(enrol(1, &["P01"]));
    let second = world.decide(enrol(1, &["P02"]));
    let fold = world.log.fold();
    let (id, known) = fold.device_by_key(&public(1)).unwrap();
    assert_eq!(id, device(1));
    assert_eq!(known.key(), Some(&public(1)));
    assert_eq!(known.enrolments(), &BTreeSet::from([first, second]));
    assert_eq!(known.station(), Some(&code("ST01")));
    assert_eq!(fold.persons_of(&device(1)).cloned().collect::<Vec<_>>(), vec![code("P01"), code("P02")]);
    assert!(fold.device_by_key(&public(2)).is_none());
    assert!(fold.device(&device(2)).is_none());
    assert_eq!(fold.may_connect(&device(2), &EPOCH), Admission::Unknown);
}

/// A restored hub does not know whom it had revoked: it takes uploads from all and sends to the confirmed (A15).
#[test]
fn restored_hub_sends_only_to_confirmed_devices_until_adoption_is_complete() {
    let mut world = World::new();
    world.decide(enrol(1, &["P01"]));
    world.decide(enrol(2, &["P02"]));
    world.restore(NEW_EPOCH, 10);
    let admission = |world: &World, byte| world.log.fold().may_connect(&device(byte), &world.epoch);
    assert_eq!(admission(&world, 1), Admission::UploadOnly(UploadOnly::NotConfirmed));
    world.decide(Decision::Confirm { device: device(1) });
    assert_eq!(admission(&world, 1), Admission::Full);
    assert_eq!(admission(&world, 2), Admission::UploadOnly(UploadOnly::NotConfirmed));
    world.decide(Decision::AdoptionComplete { epoch: NEW_EPOCH });
    assert_eq!(admission(&world, 2), Admission::Full);
    // Another restore asks again: the confirmation was for the epoch before.
    world.restore(Epoch([3; 16]), 20);
    assert_eq!(admission(&world, 1), Admission::UploadOnly(UploadOnly::NotConfirmed));
}

#[test]
fn fork_proofs_and_adoptions_are_kept() {
    let mut world = World::new();
    world.decide(Decision::ForkProof { a: vec![1], b: vec![2] });
    let adopted = EntryHash([3; 32]);
    world.decide(Decision::Adopt { entries: BTreeSet::from([adopted]) });
    let fold = world.log.fold();
    assert_eq!(fold.fork_proofs().map(|(_, a, b)| (a, b)).collect::<Vec<_>>(), vec![(&[1][..], &[2][..])]);
    assert!(fold.is_adopted(&adopted) && !fold.is_adopted(&EntryHash([4; 32])));
}
