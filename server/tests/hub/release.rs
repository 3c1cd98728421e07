//! What was held is released: by a later grant, or by the administrator.

use std::collections::BTreeSet;

use qianmo_protocol::bundle::{BundleFor, BundleHeader, BundlePart};
use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, Grant, Purge, PurgeTarget, Role as GrantRole, Scope};
use qianmo_protocol::ids::{Code, DocId, LogbookName, PackHash};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::review::{ReviewKind, ReviewStatus};
use qianmo_protocol::session::message::Message;
use qianmo_protocol::session::{Shelf as _, Stay};
use qianmo_protocol::time::Month;
use qianmo_replica::bundle::{BundleWriter, SealKey};
use qianmo_replica::replica::{CODE_BASE_ERASED, Delivery, Replica};
use qianmo_server::admin::{Folder, HubKeyFiles, InitOrder, import_bundle, init};
use qianmo_server::hub::{CODE_MONTH_AHEAD, HeldWhat, HubOutput, ReleaseError, ReleaseOrder, SessionId};

use crate::world::{Tablet, World, assert_same_states, copy_of, june, month};

const CODE_NO_ROLE: u16 = 261;
const CODE_OUT_OF_SCOPE: u16 = 262;
const CODE_BEYOND_CUT: u16 = 263;
const CODE_MESSAGE: u16 = 61;

fn elsewhere(number: u8) -> LogbookName {
    LogbookName::StationMonth(Code::new("ST02").unwrap(), Month::new(2025, number).unwrap())
}

fn grant(world: &mut World, person: &str, role: GrantRole, station: &str) {
    let scope = Scope::Stations(BTreeSet::from([Code::new(station).unwrap()]));
    let grant = Grant { person: Code::new(person).unwrap(), role, scope };
    let now = world.now();
    world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
}

/// The hub goes on until it has nothing to do.
fn settle(world: &mut World) {
    let now = world.now();
    world.core.handle(now, Vec::new()).unwrap();
}

fn content(replica: &Replica, doc: &DocId) -> Option<Scalar> {
    let row = replica.record_row(doc).unwrap()?;
    row.view.fields.get("content").cloned()
}

fn text(value: &str) -> Option<Scalar> {
    Some(Scalar::Text(value.to_owned()))
}

/// A record of another station with an edit, as it is after the hub has held it.
fn held_elsewhere(world: &mut World, tablet: &mut Tablet) -> DocId {
    let visit = world.file_in(tablet, &elsewhere(6), "支援邻站");
    world.edit(tablet, visit, "content", "支援邻站,已改");
    world.meet(tablet);
    visit
}

#[test]
fn record_held_for_lack_of_a_grant_is_released_by_a_later_grant() {
    let mut world = World::new(41);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("C01", GrantRole::Coordinator);
    let visit = held_elsewhere(&mut world, &mut tablet_a);
    world.meet(&mut tablet_b);
    // The edit has no code of its own: its reason is that of the change it goes on from.
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_OUT_OF_SCOPE });
    for replica in [world.core.replica(), &tablet_b.replica] {
        assert_eq!(content(replica, &visit), None);
    }
    let held = world.core.held().unwrap();
    // The submission is held with the record; the edit only waits for it.
    assert_eq!(held.iter().map(|row| row.code).collect::<Vec<_>>(), [CODE_OUT_OF_SCOPE; 2]);

    grant(&mut world, "P01", GrantRole::Technician, "ST02");
    settle(&mut world);
    assert_eq!(content(world.core.replica(), &visit), text("支援邻站,已改"), "with its dependant");
    assert_eq!((world.core.held().unwrap(), world.core.counters().releases), (Vec::new(), 2));
    for tablet in [&mut tablet_a, &mut tablet_b] {
        let meeting = world.meet(tablet);
        assert!(meeting.finished && meeting.states_differ.is_empty());
        assert_eq!(content(&tablet.replica, &visit), text("支援邻站,已改"));
    }
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    assert_same_states(&[&tablet_b.replica, world.core.replica()]);
}

#[test]
fn grant_for_another_station_releases_nothing() {
    let mut world = World::new(42);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = held_elsewhere(&mut world, &mut tablet_a);
    grant(&mut world, "P01", GrantRole::Technician, "ST03");
    grant(&mut world, "P02", GrantRole::Technician, "ST02");
    grant(&mut world, "P01", GrantRole::Viewer, "ST02");
    settle(&mut world);
    assert_eq!((content(world.core.replica(), &visit), world.core.counters().releases), (None, 0));
}

#[test]
fn record_far_ahead_without_a_right_is_held_for_both_and_the_grant_releases_one() {
    let mut world = World::new(45);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file_in(&mut tablet_a, &elsewhere(9), "别站,又太远");
    world.meet(&mut tablet_a);
    let codes = |world: &World| world.core.held().unwrap().iter().map(|one| one.code).collect::<BTreeSet<_>>();
    assert_eq!(codes(&world).len(), 2, "{:?}", codes(&world));
    grant(&mut world, "P01", GrantRole::Technician, "ST02");
    settle(&mut world);
    assert_eq!((content(world.core.replica(), &visit), codes(&world)), (None, BTreeSet::from([CODE_MONTH_AHEAD])));
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_MONTH_AHEAD)).unwrap();
    assert!(content(world.core.replica(), &visit).is_some());
    world.meet(&mut tablet_a);
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

#[test]
fn decision_is_not_released_by_a_later_grant_but_by_a_person() {
    let mut world = World::new(43);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "先通过,后任命");
    world.review(&mut tablet_a, visit, ReviewKind::Approve);
    world.meet(&mut tablet_a);
    grant(&mut world, "P01", GrantRole::Coordinator, "ST01");
    settle(&mut world);
    let status = |replica: &Replica| replica.record_row(&visit).unwrap().unwrap().review.status;
    assert_eq!((status(world.core.replica()), world.core.counters().releases), (ReviewStatus::Pending, 0));

    let held = world.core.held().unwrap();
    assert_eq!((held.len(), held[0].code, held[0].what), (1, CODE_NO_ROLE, HeldWhat::Carrier));
    assert_eq!((held[0].device, held[0].logbook.clone()), (Some(tablet_a.device()), Some(june())));
    assert_eq!(held[0].persons, BTreeSet::from([tablet_a.person.clone()]));
    let now = world.now();
    let released = world.core.release(now, &ReleaseOrder::Id(held[0].id.clone())).unwrap();
    assert_eq!((released.ids, released.held_instead), (vec![held[0].id.clone()], 0));
    world.meet(&mut tablet_a);
    for replica in [world.core.replica(), &tablet_a.replica] {
        assert_eq!(status(replica), ReviewStatus::Approved);
    }
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
    let again = world.core.release(now, &ReleaseOrder::Id(held[0].id.clone()));
    assert!(matches!(again, Err(ReleaseError::Nothing)), "{again:?}");
}

#[test]
fn release_by_a_grant_is_bounded_in_each_batch_and_goes_on_with_the_next() {
    let mut world = World::new(44);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    for number in [3, 4, 5, 6, 7] {
        for _ in 0..30 {
            world.file_in(&mut tablet_a, &elsewhere(number), "一百五十次");
        }
    }
    world.meet(&mut tablet_a);
    assert_eq!(world.core.held().unwrap().len(), 5 * 60, "each record and its submission");
    grant(&mut world, "P01", GrantRole::Technician, "ST02");
    let now = world.now();
    world.core.handle_some(now, Vec::new()).unwrap();
    assert_eq!((world.core.counters().releases, world.core.has_more_to_do()), (128, true));
    // A crash in between loses nothing: the next start goes on.
    world.restart().unwrap();
    settle(&mut world);
    assert_eq!((world.core.held().unwrap().len(), world.core.has_more_to_do()), (0, false));
}

#[test]
fn dependants_of_a_purged_change_stay_held() {
    let mut world = World::new(45);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("C01", GrantRole::Coordinator);
    let visit = world.file_in(&mut tablet_a, &elsewhere(6), "将被清除");
    let change = tablet_a.replica.document(&visit).unwrap().unwrap().heads()[0];
    world.edit(&mut tablet_a, visit, "content", "跟着它的");
    world.meet(&mut tablet_a);
    let purge = Purge { target: PurgeTarget::Hash { change, doc: visit }, reason: 1, is_standing: false, memory: None };
    let now = world.now();
    world.core.decide(now, vec![Decision::Purge(purge)]).unwrap();
    grant(&mut world, "P01", GrantRole::Technician, "ST02");
    settle(&mut world);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [world.core.replica(), &tablet_b.replica] {
        assert_eq!(content(replica, &visit), None);
    }
    // The submission was held for its own reason; the edit is, for what it goes on from is gone.
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_BASE_ERASED });
    assert_same_states(&[&tablet_b.replica, world.core.replica()]);
    assert!(world.core.held().unwrap().iter().all(|row| row.doc != Some(visit)), "nothing of it can be released");
}

#[test]
fn released_content_is_shown_everywhere_with_what_depended_on_it() {
    let mut world = World::new(46);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file_talking(&mut tablet_a, &june(), "多说了一句");
    world.edit(&mut tablet_a, visit, "content", "多说了一句,已改");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    let held: Vec<_> = world.core.held().unwrap().into_iter().filter(|row| row.doc == Some(visit)).collect();
    assert_eq!((held.len(), held[0].code, held[0].what), (1, CODE_MESSAGE, HeldWhat::Content));
    assert_eq!(held[0].device, Some(tablet_a.device()));
    for replica in [world.core.replica(), &tablet_b.replica] {
        assert_eq!(content(replica, &visit), None);
    }
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Code(CODE_MESSAGE)).unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [world.core.replica(), &tablet_a.replica, &tablet_b.replica] {
        assert_eq!(content(replica, &visit), text("多说了一句,已改"));
    }
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    world.restart().unwrap();
    assert_eq!(content(world.core.replica(), &visit), text("多说了一句,已改"));
}

#[test]
fn release_names_one_thing_and_says_when_it_names_none() {
    let mut world = World::new(47);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = held_elsewhere(&mut world, &mut tablet_a);
    let now = world.now();
    let mut refused = |order| world.core.release(now, &order).unwrap_err().to_string();
    assert!(refused(ReleaseOrder::Id("12".to_owned())).contains("at least 8"));
    assert!(refused(ReleaseOrder::Id("zzzzzzzzzz".to_owned())).contains("is no id"));
    assert!(refused(ReleaseOrder::Id("00000000".to_owned())).contains("nothing is held"));
    assert!(refused(ReleaseOrder::Code(4_000)).contains("nothing is held"));
    let released = world.core.release(now, &ReleaseOrder::Device(tablet_a.device())).unwrap();
    assert_eq!((released.ids.len(), released.held_instead), (3, 0), "the edit is held for the same reason");
    assert_eq!(content(world.core.replica(), &visit), text("支援邻站,已改"));
}

/// A dependant was never asked for its own right while it waited: it is asked when its base is released.
#[test]
fn dependant_without_a_right_of_its_own_is_held_when_its_base_is_released() {
    let mut world = World::new(48);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let visit = world.file_in(&mut tablet_a, &elsewhere(6), "甲写的");
    // The two work side by side, without the hub: b edits what a wrote.
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let packs: Vec<_> = tablet_a
        .replica
        .unreceipted()
        .unwrap()
        .iter()
        .map(|(name, hash)| tablet_a.replica.pack(name, hash).unwrap())
        .collect();
    tablet_b.replica.take_packs(packs).unwrap();
    tablet_b.replica.sync().unwrap();
    tablet_b.replica.judge().unwrap();
    world.edit(&mut tablet_b, visit, "content", "乙改的");
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    grant(&mut world, "P01", GrantRole::Technician, "ST02");
    settle(&mut world);
    assert_eq!(content(world.core.replica(), &visit), text("甲写的"));
    let held = world.core.held().unwrap();
    assert_eq!((held.len(), held[0].device), (1, Some(tablet_b.device())));
    grant(&mut world, "P02", GrantRole::Technician, "ST02");
    settle(&mut world);
    assert_eq!(content(world.core.replica(), &visit), text("乙改的"));
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    world.meet(&mut coordinator);
    assert_eq!(content(&coordinator.replica, &visit), text("乙改的"));
    assert_same_states(&[&coordinator.replica, world.core.replica()]);
}

#[test]
fn content_from_before_a_restore_waits_for_the_administrator() {
    let mut world = World::new(49);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    let visit = world.file_talking(&mut tablet_a, &june(), "旧版本放行过");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    world.restore_from(backup);
    world.meet(&mut tablet_a);
    assert_eq!(world.core.counters().quarantines, 0, "nobody else is told");
    let held: Vec<_> = world.core.held().unwrap().into_iter().filter(|row| row.doc == Some(visit)).collect();
    assert_eq!((held.len(), held[0].what, held[0].code), (1, HeldWhat::Undecided, CODE_MESSAGE));
    world.restart().unwrap();
    assert_eq!(world.core.held().unwrap().iter().filter(|row| row.what == HeldWhat::Undecided).count(), 1);
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Id(held[0].id.clone())).unwrap();
    world.core.complete_adoption(now).unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    for replica in [world.core.replica(), &tablet_a.replica, &tablet_b.replica] {
        assert_eq!(content(replica, &visit), text("旧版本放行过"));
    }
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
}

#[test]
fn what_a_restored_hub_has_not_decided_is_shown_by_no_tablet_and_held_once_the_restore_is_complete() {
    let mut world = World::new(57);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    let visit = world.file_talking(&mut tablet_a, &june(), "门禁不放行的内容");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    world.restore_from(backup);
    let now = world.now();
    world.core.confirm(now, &tablet_b.device()).unwrap();
    world.meet(&mut tablet_a);
    for _ in 0..3 {
        world.meet(&mut tablet_b);
    }
    assert!(tablet_b.replica.home_of(&visit).unwrap().is_some(), "its pack is there");
    assert!(tablet_b.replica.document(&visit).unwrap().is_none(), "nobody has decided yet");
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    assert_eq!(world.core.held().unwrap().iter().filter(|row| row.what == HeldWhat::Undecided).count(), 0);
    for tablet in [&mut tablet_a, &mut tablet_b] {
        for _ in 0..2 {
            world.meet(tablet);
        }
    }
    assert!(tablet_b.replica.document(&visit).unwrap().is_none(), "it is held");
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    // It can still be released.
    let row = world.core.held().unwrap().into_iter().find(|row| row.doc == Some(visit)).unwrap();
    let now = world.now();
    world.core.release(now, &ReleaseOrder::Id(row.id)).unwrap();
    for tablet in [&mut tablet_a, &mut tablet_b] {
        world.meet(tablet);
    }
    assert_eq!(content(&tablet_b.replica, &visit), text("门禁不放行的内容"));
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
}

/// Two restores from one backup: the second epoch is no descendant of the first, whose hub signed all the same.
#[test]
fn content_that_a_sibling_epoch_signed_for_is_not_held_again() {
    let mut world = World::new(52);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    world.restore_from(copy_of(&backup));
    world.meet(&mut tablet_a);
    let (hub, sibling) = (world.core.hub(), world.core.epoch());
    let visit = world.file_talking(&mut tablet_a, &june(), "旧版本放行过");
    let packs = seal(&mut world, &mut tablet_a);
    let receipt = Receipt { hub, epoch: sibling, commit: 1_000_000, packs, verdict: Verdict::Passed };
    let receipt = SignedReceipt::sign(&world.org(), &world.secrets.signing, receipt).unwrap();
    tablet_a.replica.take_receipt(receipt).unwrap();
    tablet_a.replica.sync().unwrap();

    world.restore_from(backup);
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    assert!(!world.core.replica().control().fold().is_epoch_ancestor(&sibling, &world.core.epoch()));
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_a);
    assert_eq!(world.core.held().unwrap(), Vec::new());
    assert_eq!(content(world.core.replica(), &visit), text("旧版本放行过"));
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

/// What is saved goes into packs; answers those without a receipt.
fn seal(world: &mut World, tablet: &mut Tablet) -> BTreeSet<PackHash> {
    let now = world.now();
    tablet.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet.replica.sync().unwrap();
    tablet.replica.unreceipted().unwrap().into_iter().map(|(_, pack)| pack).collect()
}

/// The tablet cannot come itself: what it holds, and what the lost hub signed, comes in a file.
#[test]
fn bundle_to_a_restored_hub_shows_what_its_predecessor_signed_for() {
    let mut world = World::new(53);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    let (hub, epoch) = (world.core.hub(), world.core.epoch());
    let visit = world.file_talking(&mut tablet_a, &june(), "旧版本放行过");
    let packs = seal(&mut world, &mut tablet_a);
    let receipt = Receipt { hub, epoch, commit: 1_000_000, packs: packs.clone(), verdict: Verdict::Passed };
    let receipt = SignedReceipt::sign(&world.org(), &world.secrets.signing, receipt).unwrap();
    world.restore_from(backup);
    let now = world.now();
    world.core.complete_adoption(now).unwrap();

    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("hub");
    let order = InitOrder {
        dir: dir.clone(),
        organisation: "样例".to_owned(),
        admin: Code::new("ADMIN").unwrap(),
        password: None,
    };
    init(&order, now, rand::SeedableRng::seed_from_u64(1)).unwrap();
    let keys = HubKeyFiles::load(&Folder::new(&dir).keys()).unwrap();
    let to = BundleFor::Hub(hub);
    let header = BundleHeader { to, org: world.org(), from: tablet_a.device(), made_at: now };
    let path = folder.path().join("st01.qmb");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = BundleWriter::begin(file, &header, &SealKey::Hub(keys.secrets.bundle_public)).unwrap();
    writer.put(&BundlePart::Receipt(receipt).encode()).unwrap();
    for pack in packs {
        let pack = tablet_a.replica.pack(&june(), &pack).unwrap();
        writer.put(&BundlePart::Pack(pack).encode()).unwrap();
    }
    writer.finish().unwrap();
    let report = import_bundle(&mut world.core, &Folder::new(&dir), now, &path).unwrap();
    assert_eq!((report.packs, report.held), (1, 1));
    assert_eq!(world.core.held().unwrap(), Vec::new());
    assert_eq!(content(world.core.replica(), &visit), text("旧版本放行过"));
}

/// A right that was withdrawn, and given again: what was written in between is a record like any other.
#[test]
fn record_beyond_a_cut_is_released_by_a_later_grant_and_a_decision_is_not() {
    let mut world = World::new(54);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut coordinator = world.enrol("C01", GrantRole::Coordinator);
    let known = world.file(&mut tablet_a, "收回前");
    world.meet(&mut tablet_a);
    world.meet(&mut coordinator);
    let grants: Vec<_> = world.core.replica().control().fold().grants().map(|(hash, _)| *hash).collect();
    let now = world.now();
    let cuts = grants.into_iter().map(|ends| Decision::Cut { ends, tips: BTreeSet::new() });
    let cuts = cuts.collect();
    let visit = world.file(&mut tablet_a, "收回后写的");
    world.review(&mut coordinator, known, ReviewKind::Approve);
    world.core.decide(now, cuts).unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut coordinator);
    assert_eq!(content(world.core.replica(), &visit), None);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: CODE_BEYOND_CUT });
    grant(&mut world, "P01", GrantRole::Technician, "ST01");
    grant(&mut world, "C01", GrantRole::Coordinator, "ST01");
    settle(&mut world);
    assert_eq!(content(world.core.replica(), &visit), text("收回后写的"));
    let held = world.core.held().unwrap();
    assert_eq!(held.iter().map(|row| row.code).collect::<Vec<_>>(), [CODE_BEYOND_CUT], "the approval needs a person");
    world.meet(&mut tablet_a);
    assert_eq!(content(&tablet_a.replica, &visit), text("收回后写的"));
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Acknowledged);
    assert_same_states(&[&tablet_a.replica, world.core.replica()]);
}

/// The restored hub's code does not take what the code of the lost one took. Its predecessor's signature decides.
#[test]
fn content_that_a_former_epoch_signed_for_is_not_held_again() {
    let mut world = World::new(51);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut tablet_a);
    let backup = world.image();
    let (hub, epoch) = (world.core.hub(), world.core.epoch());
    let visit = world.file_talking(&mut tablet_a, &june(), "旧版本放行过");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let packs = tablet_a.replica.unreceipted().unwrap().into_iter().map(|(_, pack)| pack).collect();
    let receipt = Receipt { hub, epoch, commit: 1_000_000, packs, verdict: Verdict::Passed };
    let receipt = SignedReceipt::sign(&world.org(), &world.secrets.signing, receipt).unwrap();
    tablet_a.replica.take_receipt(receipt).unwrap();
    tablet_a.replica.sync().unwrap();
    assert!(tablet_a.replica.unreceipted().unwrap().is_empty());

    world.restore_from(backup);
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_a);
    let now = world.now();
    world.core.complete_adoption(now).unwrap();
    world.meet(&mut tablet_a);
    world.meet(&mut tablet_b);
    assert_eq!(world.core.held().unwrap(), Vec::new());
    for replica in [world.core.replica(), &tablet_a.replica] {
        assert_eq!(content(replica, &visit), text("旧版本放行过"));
    }
    assert_same_states(&[&tablet_a.replica, &tablet_b.replica, world.core.replica()]);
    world.restart().unwrap();
    assert_eq!(world.core.held().unwrap(), Vec::new());
}

/// One tablet brings weeks of work; another that comes at the same time is answered before all of it is judged.
#[test]
fn long_push_is_judged_in_steps_and_holds_nobody_up() {
    let mut world = World::new(50);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let mut last = None;
    for number in [3, 4, 5, 6, 7] {
        for _ in 0..80 {
            last = Some(world.file_in(&mut tablet_a, &month(number), "一季的工作"));
        }
    }
    world.file(&mut tablet_b, "一次");
    world.meet(&mut tablet_b);
    let (mut long, open_a) = world.begin(&mut tablet_a, Stay::Leave);
    let (mut short, open_b) = world.begin(&mut tablet_b, Stay::Leave);
    long.pump(&mut tablet_a.replica);
    short.pump(&mut tablet_b.replica);
    let mut commands = vec![open_a, open_b];
    commands.extend(long.take_messages());
    commands.extend(short.take_messages());
    let now = world.now();
    let outputs = world.core.handle_some(now, commands).unwrap();
    assert!(world.core.has_more_to_do());
    assert!(world.core.counters().packs_judged >= 1);
    let outputs = [outputs, world.core.handle_some(now, Vec::new()).unwrap()].concat();
    assert!(welcomes(&outputs, short.session), "the short one is answered");
    assert!(!welcomes(&outputs, long.session), "while the long one still waits");
    let outputs = world.core.handle(now, Vec::new()).unwrap();
    assert!(welcomes(&outputs, long.session));
    assert!(world.core.replica().record_row(&last.unwrap()).unwrap().is_some());
}

fn welcomes(outputs: &[HubOutput], id: SessionId) -> bool {
    let is_welcome = |message: &Message| matches!(message, Message::Welcome(_));
    outputs
        .iter()
        .any(|output| matches!(output, HubOutput::Send { session, message } if *session == id && is_welcome(message)))
}
