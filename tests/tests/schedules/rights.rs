//! A10: widening holds nothing; a cut names whole hashes.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Decision, Grant, Role as GrantRole, Scope, Tip};
use qianmo_protocol::ids::{Code, LogbookName, PackHash};
use qianmo_protocol::time::Month;
use qianmo_replica::replica::Delivery;

use crate::meeting::{content, own_packs, quarantines, seal, text};
use crate::world::{World, assert_same_states, june};

#[test]
fn technician_who_gets_a_second_station_has_nothing_of_the_offline_week_held() {
    let mut world = World::new(111);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let week: Vec<_> = (0..5).map(|day| world.file(&mut tablet_a, &format!("离线第{day}天"))).collect();
    let second = Code::new("ST02").unwrap();
    let grant = Grant {
        person: Code::new("P01").unwrap(),
        role: GrantRole::Technician,
        scope: Scope::Stations(BTreeSet::from([second.clone()])),
    };
    let now = world.now();
    world.core.decide(now, vec![Decision::Grant(grant)]).unwrap();
    world.meet(&mut tablet_a);
    let elsewhere = LogbookName::StationMonth(second, Month::new(2025, 6).unwrap());
    let there = world.file_in(&mut tablet_a, &elsewhere, "第二个站");
    world.meet(&mut tablet_a);
    assert_eq!(quarantines(&world), Vec::new());
    for doc in week.iter().chain([&there]) {
        assert_eq!(tablet_a.replica.delivery(doc).unwrap(), Delivery::Acknowledged);
    }
}

/// Eight bytes can be ground. A tip that begins like a later pack lets that pack no further than any other.
#[test]
fn tip_that_shares_eight_bytes_with_a_pack_leaves_it_beyond_the_cut() {
    let mut world = World::new(112);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "停用之后的");
    seal(&mut world, &mut tablet_a);
    let pack = own_packs(&tablet_a).pop().unwrap();
    let org = world.org();
    let mut ground = PackHash([0xee; 32]);
    ground.0[..8].copy_from_slice(&pack.hash(&org).head8());
    let tip = |pack_hash| Tip { logbook: june().id(&org), log: pack.header.log, pack: pack_hash };
    let revoke = |tip| Decision::Revoke { device: pack.header.log.device, reason: 1, tips: BTreeSet::from([tip]) };
    let now = world.now();
    world.core.decide(now, vec![revoke(tip(ground))]).unwrap();
    world.meet(&mut tablet_a);
    assert_eq!(tablet_a.replica.delivery(&visit).unwrap(), Delivery::Held { code: 259 });
    assert_eq!(content(world.core.replica(), &visit), None);

    // The whole hash lets it through.
    let mut world = World::new(112);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let visit = world.file(&mut tablet_a, "停用之前的");
    seal(&mut world, &mut tablet_a);
    let whole = own_packs(&tablet_a).pop().unwrap();
    let tips = BTreeSet::from([Tip { logbook: june().id(&org), log: whole.header.log, pack: whole.hash(&org) }]);
    let now = world.now();
    let revoke = Decision::Revoke { device: tablet_a.device(), reason: 1, tips };
    world.core.decide(now, vec![revoke]).unwrap();
    world.meet(&mut tablet_a);
    assert_eq!(content(world.core.replica(), &visit), text("停用之前的"));
    let mut witness = world.enrol("P02", GrantRole::Technician);
    world.meet(&mut witness);
    assert_same_states(&[&witness.replica, world.core.replica()]);
}
