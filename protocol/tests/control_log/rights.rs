//! Rights of a change in a pack: grants, cuts, revocation, release (A10), and what a device may read.

use std::collections::BTreeSet;

use qianmo_protocol::control::{
    Carrier, CarrierFacts, CarrierFailure, CarrierQuestion, Decision, QuarantineScope, Role, Tip, Written,
};
use qianmo_protocol::ids::{ChangeHash, Code, EntryHash, LogbookName, PackHash};

use crate::world::{World, code, cut, device, enrol, grant, june, log_of, pack, tip};

const CHANGE: ChangeHash = ChangeHash([5; 32]);

/// What `tablet_a` (device 1) wrote: pack `number` of its log, each pack the successor of the one before.
struct Case {
    logbook: LogbookName,
    person: Code,
    what: Written,
    pack: u8,
}

impl Case {
    fn new(what: Written) -> Self {
        Self { logbook: june("ST01"), person: code("P01"), what, pack: 1 }
    }

    fn judge_at(&self, world: &World, position: EntryHash) -> Result<(), CarrierFailure> {
        let facts = CarrierFacts {
            logbook: &self.logbook,
            log: log_of(1),
            pack: pack(self.pack),
            change: CHANGE,
            position,
            person: &self.person,
            what: self.what,
        };
        world.log.judge_carrier(&facts, &|tip: &PackHash| self.pack <= tip.0[0])
    }

    fn judge(&self, world: &World) -> Result<(), CarrierFailure> {
        self.judge_at(world, world.log.position().unwrap())
    }

    fn code(&self, world: &World) -> u16 {
        self.judge(world).map_or_else(|failure| failure.code(), |()| 0)
    }
}

fn enrolled() -> World {
    let mut world = World::new();
    world.decide(enrol(1, &["P01"]));
    world
}

fn hold(code: u16, pack_number: u8) -> Decision {
    let scope = QuarantineScope::Change { change: CHANGE, carrier: Carrier::Pack(pack(pack_number)) };
    Decision::Quarantine { scope, code }
}

fn within(number: u8) -> Tip {
    tip(&june("ST01"), log_of(1), pack(number))
}

#[test]
fn every_failure_has_its_code_and_its_question() {
    let mut world = World::new();
    let record = Case::new(Written::Record);
    assert_eq!(record.code(&world), 256);
    world.decide(enrol(1, &["P02"]));
    assert_eq!(record.code(&world), 260);
    world.decide(enrol(1, &["P01"]));
    assert_eq!(record.code(&world), 261);
    world.decide(grant("P01", Role::Viewer, &["ST01"]));
    assert_eq!(record.code(&world), 261);
    world.decide(grant("P01", Role::Technician, &["ST02"]));
    assert_eq!(record.code(&world), 262);
    let granted = world.decide(grant("P01", Role::Technician, &["ST01"]));
    assert_eq!(record.code(&world), 0);
    world.decide(cut(granted, &[]));
    assert_eq!(record.judge(&world), Err(CarrierFailure::BeyondCut { person: code("P01"), grant: granted }));
    let unknown = EntryHash([0x99; 32]);
    let waiting = record.judge_at(&world, unknown).unwrap_err();
    assert_eq!((waiting.code(), waiting.waits()), (258, true));
    let revocation = world.decide(Decision::Revoke { device: device(1), reason: 1, tips: BTreeSet::new() });
    assert_eq!(record.judge(&world), Err(CarrierFailure::RevokedBeyondCut { log: log_of(1), revocation }));
    for code in 256..=264 {
        assert!(CarrierQuestion::of_code(code).is_some());
    }
    assert_eq!((CarrierQuestion::of_code(255), CarrierQuestion::of_code(265)), (None, None));
}

/// Widening adds a grant and cuts nothing; a record counts by any grant, even one given after it was written.
#[test]
fn record_passes_by_a_later_grant_and_a_decision_does_not() {
    let mut world = enrolled();
    let before = world.log.position().unwrap();
    let granted = world.decide(grant("P01", Role::Coordinator, &["ST01"]));
    for what in [Written::Record, Written::OwnWord, Written::DirectoryEntry] {
        assert_eq!(Case::new(what).judge_at(&world, before), Ok(()));
    }
    let decision = Case::new(Written::Decision);
    let late = CarrierFailure::GrantAfterPosition { person: code("P01"), grant: granted, position: before };
    assert_eq!(decision.judge_at(&world, before), Err(late));
    assert_eq!(decision.judge_at(&world, granted), Ok(()));
}

#[test]
fn only_coordinators_decide_and_only_they_and_admins_write_the_organisation() {
    for (number, decides, writes, organises) in [
        (1, false, true, false),
        (2, false, true, false),
        (3, true, true, true),
        (4, false, false, false),
        (5, false, true, true),
    ] {
        let mut world = enrolled();
        world.decide(grant("P01", Role::from_number(number).unwrap(), &[]));
        let passes = |case: &Case| case.judge(&world).is_ok();
        assert_eq!(passes(&Case::new(Written::Decision)), decides, "role {number}");
        assert_eq!(passes(&Case::new(Written::Record)), writes, "role {number}");
        assert_eq!(passes(&Case::new(Written::OwnWord)), writes, "role {number}");
        let directory = Case { logbook: LogbookName::OrgDirectory, ..Case::new(Written::DirectoryEntry) };
        assert_eq!(passes(&directory), organises, "role {number}");
        let record_there = Case { logbook: LogbookName::OrgDirectory, ..Case::new(Written::Record) };
        assert_eq!(passes(&record_there), organises, "role {number}");
        let targets =
            Case { logbook: LogbookName::StationDirectory(code("ST01")), ..Case::new(Written::DirectoryEntry) };
        assert_eq!(passes(&targets), writes, "role {number}");
    }
}

#[test]
fn station_coordinator_cannot_write_the_organisation_directory() {
    let mut world = enrolled();
    world.decide(grant("P01", Role::Coordinator, &["ST01"]));
    let directory = Case { logbook: LogbookName::OrgDirectory, ..Case::new(Written::DirectoryEntry) };
    assert_eq!(directory.code(&world), 262);
}

/// A technician gets a second station; nobody cuts the first grant, so the honest offline week passes.
#[test]
fn widening_by_a_second_grant_holds_nothing() {
    let mut world = enrolled();
    world.decide(grant("P01", Role::Technician, &["ST01"]));
    let offline_since = world.log.position().unwrap();
    world.decide(grant("P01", Role::Technician, &["ST02"]));
    assert_eq!(Case::new(Written::Record).judge_at(&world, offline_since), Ok(()));
    assert_eq!(Case { logbook: june("ST02"), ..Case::new(Written::Record) }.judge_at(&world, offline_since), Ok(()));
}

#[test]
fn cut_keeps_what_is_at_or_before_its_tips_and_nothing_of_unlisted_logs() {
    let mut world = enrolled();
    let granted = world.decide(grant("P01", Role::Technician, &["ST01"]));
    world.decide(cut(granted, &[within(3)]));
    let at = |number| Case { pack: number, ..Case::new(Written::Record) };
    assert_eq!((at(1).code(&world), at(3).code(&world), at(4).code(&world)), (0, 0, 263));
    let may = LogbookName::StationDirectory(code("ST01"));
    assert_eq!(Case { logbook: may, ..at(1) }.code(&world), 263, "its log is not listed");
    // A grant that is not cut permits it all the same.
    world.decide(grant("P01", Role::Expert, &["ST01"]));
    assert_eq!(at(4).code(&world), 0);
}

#[test]
fn cut_longer_than_one_entry_goes_on_in_the_next() {
    let mut world = enrolled();
    let granted = world.decide(grant("P01", Role::Technician, &["ST01", "ST02"]));
    let cut = world.decide(cut(granted, &[within(3)]));
    let second_station = Case { logbook: june("ST02"), ..Case::new(Written::Record) };
    assert_eq!(second_station.code(&world), 263);
    let tips = BTreeSet::from([tip(&june("ST02"), log_of(1), pack(1))]);
    world.decide(Decision::MoreTips { of: cut, tips });
    assert_eq!(second_station.code(&world), 0);
    assert_eq!(world.log.fold().tips_of(&cut).count(), 2);
}

#[test]
fn grant_cut_twice_keeps_only_what_both_cuts_keep() {
    let mut world = enrolled();
    let granted = world.decide(grant("P01", Role::Technician, &["ST01"]));
    world.decide(cut(granted, &[within(5)]));
    world.decide(cut(granted, &[within(3)]));
    let at = |number| Case { pack: number, ..Case::new(Written::Record) };
    assert_eq!((at(3).code(&world), at(4).code(&world)), (0, 263));
}

/// A revoked tablet's honest offline week is held, not destroyed, and a coordinator releases it.
#[test]
fn offline_week_of_a_revoked_device_passes_within_the_cut_or_after_release() {
    let mut world = enrolled();
    world.decide(grant("P01", Role::Technician, &["ST01"]));
    world.decide(Decision::Revoke { device: device(1), reason: 1, tips: BTreeSet::from([within(2)]) });
    let at = |number| Case { pack: number, ..Case::new(Written::Record) };
    assert_eq!((at(2).code(&world), at(3).code(&world), at(4).code(&world)), (0, 259, 259));
    let held = world.decide(hold(259, 3));
    assert_eq!(at(3).code(&world), 259);
    world.decide(Decision::Release { ends: held });
    assert_eq!((at(3).code(&world), at(4).code(&world)), (0, 259));
    // Held again: the earlier release no longer answers.
    world.decide(hold(259, 3));
    assert_eq!(at(3).code(&world), 259);
}

#[test]
fn release_answers_the_question_it_was_held_for_and_no_other() {
    let mut world = enrolled();
    let held = world.decide(hold(261, 1));
    world.decide(Decision::Release { ends: held });
    let record = Case::new(Written::Record);
    assert_eq!(record.code(&world), 0, "no grant at all, and the coordinator released it");
    assert_eq!(Case { pack: 2, ..Case::new(Written::Record) }.code(&world), 261, "only that pack");
    world.decide(Decision::Revoke { device: device(1), reason: 1, tips: BTreeSet::new() });
    assert_eq!(record.code(&world), 259, "the revocation is another question");
    assert_eq!(Case { person: code("P02"), ..Case::new(Written::Record) }.code(&world), 259);
}

#[test]
fn release_of_a_whole_pack_answers_for_its_changes() {
    let mut world = enrolled();
    let scope = QuarantineScope::Pack(pack(1));
    let held = world.decide(Decision::Quarantine { scope, code: 261 });
    assert_eq!(world.log.fold().carrier_quarantine(&CHANGE, &pack(1)), Some(261));
    world.decide(Decision::Release { ends: held });
    assert_eq!(Case::new(Written::Record).code(&world), 0);
}

#[test]
fn person_of_another_device_is_held() {
    let mut world = enrolled();
    world.decide(enrol(2, &["P02"]));
    world.decide(grant("P02", Role::Technician, &["ST01"]));
    assert_eq!(Case { person: code("P02"), ..Case::new(Written::Record) }.code(&world), 260);
}

#[test]
fn device_reads_where_one_of_its_persons_has_a_grant_that_is_not_cut() {
    let mut world = enrolled();
    world.decide(enrol(1, &["P02"]));
    let reads = |world: &World, logbook: &LogbookName| world.log.fold().may_read(&device(1), logbook);
    assert!(reads(&world, &LogbookName::OrgDirectory), "every enrolled device");
    assert!(!reads(&world, &june("ST01")));
    world.decide(grant("P02", Role::Viewer, &[]));
    assert!(!reads(&world, &june("ST01")), "viewers never replicate");
    let granted = world.decide(grant("P02", Role::Technician, &["ST01"]));
    assert!(reads(&world, &june("ST01")) && reads(&world, &LogbookName::StationDirectory(code("ST01"))));
    assert!(!reads(&world, &june("ST02")));
    world.decide(cut(granted, &[within(9)]));
    assert!(!reads(&world, &june("ST01")));
    assert!(!world.log.fold().may_read(&device(7), &LogbookName::OrgDirectory), "not enrolled");
}
