//! An enrolled device that lies: about the place of its packs, about who signed what, about how much it has to say.

use std::collections::BTreeSet;

use qianmo_protocol::close_code::CloseCode;
use qianmo_protocol::control::{Decision, QuarantineScope, Role as GrantRole, SignedEntry, Signer};
use qianmo_protocol::ids::{Incarnation, PackHash};
use qianmo_protocol::pack::{Pack, Place, seal};
use qianmo_protocol::session::message::{Hello, Message, RefuseCode, Turn, Vectors};
use qianmo_protocol::session::{Shelf as _, Stay, VERSIONS};
use qianmo_protocol::vector::{LogTrees as _, Selection};
use qianmo_server::hub::{Command, HubOutput, SessionId};

use crate::world::{Tablet, World, june, month, new_key};

fn hello(tablet: &Tablet) -> Message {
    Message::Hello(Hello {
        versions: VERSIONS,
        control_heads: tablet.replica.control().heads().iter().copied().collect(),
        epoch: None,
        selection: Selection::everything(),
        rest_digest: [0; 32],
        vectors: Vec::new(),
        follow: 0,
        about: None,
    })
}

/// A session of a device that says just these messages; what the hub sent and with which code it closed.
fn say(world: &mut World, tablet: &Tablet, number: u64, messages: Vec<Message>) -> (Vec<Message>, Option<CloseCode>) {
    let session = SessionId(1_000 + number);
    let device_key = tablet.key.verifying_key().to_bytes();
    let mut commands = vec![Command::Open { session, device: tablet.device(), device_key }];
    let said = core::iter::once(hello(tablet)).chain(messages);
    commands.extend(said.map(|message| Command::Message { session, message: Box::new(message) }));
    let now = world.now();
    let (mut sent, mut closed) = (Vec::new(), None);
    for output in world.core.handle(now, commands).unwrap() {
        match output {
            HubOutput::Send { message, .. } => sent.push(*message),
            HubOutput::Close { code, .. } => closed = Some(code),
        }
    }
    (sent, closed)
}

fn turn(follow: Vec<Message>) -> Vec<Message> {
    let header = Vectors { control_heads: Vec::new(), turn: Turn { follow: follow.len(), ..Turn::default() } };
    core::iter::once(Message::Vectors(header)).chain(follow).collect()
}

/// A pack like another one, in this device's name and at this place.
fn pack_like(world: &World, tablet: &Tablet, like: &Pack, after: Option<(u32, PackHash)>) -> Pack {
    let place = Place {
        logbook: june(),
        incarnation: Incarnation([0xee; 8]),
        after,
        control: like.header.control,
        time: like.header.time,
    };
    seal(&world.org(), &tablet.key, place, like.open().unwrap(), 3).unwrap().into_parts().0
}

#[test]
fn pack_that_lies_about_its_place_is_refused_for_good() {
    let mut world = World::new(60);
    let mut victim = world.enrol("P01", GrantRole::Technician);
    let thief = world.enrol("P02", GrantRole::Technician);
    world.file(&mut victim, "受害者");
    assert!(world.meet(&mut victim).finished);
    let tip = world.core.replica().tips(&june())[0];
    let like = world.core.replica().pack(&june(), &tip.head).unwrap();

    let first = pack_like(&world, &thief, &like, None);
    let first_hash = first.hash(&world.org());
    // Behind the victim's pack, or a few places further than it is.
    let behind = pack_like(&world, &thief, &like, Some((tip.seq, tip.head)));
    let ahead = pack_like(&world, &thief, &like, Some((6, first_hash)));
    let back = pack_like(&world, &thief, &like, Some((0, PackHash([9; 32]))));
    let packs = [first, behind, ahead, back].map(Message::Pack).to_vec();
    let (sent, _) = say(&mut world, &thief, 1, turn(packs));
    let refused: Vec<RefuseCode> = sent
        .iter()
        .filter_map(|message| if let Message::Refuse(refuse) = message { Some(refuse.code) } else { None })
        .collect();
    assert_eq!(refused, [RefuseCode::BadBody, RefuseCode::BadBody, RefuseCode::MissingPrev]);
    let heads: BTreeSet<PackHash> = world.core.replica().tips(&june()).iter().map(|tip| tip.head).collect();
    assert!(heads.contains(&tip.head), "the victim's log stands in the vector as before");
}

#[test]
fn forged_control_entry_ends_the_session_at_once() {
    let mut world = World::new(61);
    let thief = world.enrol("P02", GrantRole::Technician);
    let before = world.core.replica().control().iter().count();
    let key = new_key(&mut world.rng);
    for signer in [Signer::Authority, Signer::Hub(world.core.hub())] {
        let now = world.now();
        let revoke = Decision::Revoke { device: thief.device(), reason: 1, tips: BTreeSet::new() };
        let entry = world.core.replica().control().draft(signer, world.core.epoch(), now, revoke);
        let forged = SignedEntry::sign(&world.org(), &key, entry).unwrap();
        let (_, closed) = say(&mut world, &thief, 2, turn(vec![Message::Control(vec![forged])]));
        assert_eq!(closed, Some(CloseCode::ProtocolViolation), "{signer:?}");
    }
    assert_eq!(world.core.replica().control().iter().count(), before);
    assert_eq!(world.core.counters().misbehaved, 2);
}

fn limited(seed: u64, limit: impl FnOnce(&mut qianmo_server::hub::HubLimits)) -> World {
    let mut world = World::new(seed);
    let mut setup = crate::world::setup(&world.authority, &world.secrets, 1);
    limit(&mut setup.limits);
    let now = world.now();
    let disk = Box::new(world.disk.clone());
    let index = Box::new(qianmo_replica::index::MemoryIndex::new());
    world.core = qianmo_server::hub::HubCore::open(disk, index, setup, now).unwrap().0;
    world
}

#[test]
fn device_that_opens_session_after_session_waits_a_minute_and_others_do_not() {
    let mut world = limited(62, |limits| limits.sessions_per_device_per_minute_max = 3);
    let mut hasty = world.enrol("P01", GrantRole::Technician);
    let mut other = world.enrol("P02", GrantRole::Technician);
    // The clock of this world runs a second with every batch: begin with a fresh minute.
    world.clock += 60_000 - world.clock.rem_euclid(60_000);
    for _ in 0..3 {
        assert!(say(&mut world, &hasty, 3, Vec::new()).1.is_none());
    }
    let (sent, closed) = say(&mut world, &hasty, 4, Vec::new());
    assert_eq!(closed, Some(CloseCode::Busy));
    assert!(matches!(&sent[..], [Message::Bye(bye)] if bye.retry_after_ms == Some(60_000)), "{sent:?}");
    assert!(world.meet(&mut other).finished);
    world.clock += 60_000;
    assert!(world.meet(&mut hasty).finished);
}

#[test]
fn device_over_its_bytes_of_a_day_is_sent_away_until_the_next() {
    let mut world = limited(63, |limits| limits.bytes_per_device_per_day_max = 1_500);
    let mut tablet = world.enrol("P01", GrantRole::Technician);
    let mut sent_away = 0;
    for number in 0..6 {
        world.file(&mut tablet, &format!("第{number}户"));
        sent_away += usize::from(world.meet(&mut tablet).closed == Some(CloseCode::Busy));
    }
    assert!((1..6).contains(&sent_away), "{sent_away}");
    assert!(!tablet.replica.unreceipted().unwrap().is_empty());
    for _ in 0..6 {
        world.clock += 86_400_000;
        world.meet(&mut tablet);
    }
    assert!(tablet.replica.unreceipted().unwrap().is_empty(), "nothing is lost by waiting");
}

#[test]
fn little_that_one_brings_is_judged_before_the_end_of_what_another_brought() {
    let mut world = World::new(64);
    let mut hog = world.enrol("P01", GrantRole::Technician);
    let mut tablet = world.enrol("P02", GrantRole::Technician);
    for number in [3, 4, 5, 6, 7, 8] {
        for _ in 0..120 {
            world.file_in(&mut hog, &month(number), "很多");
        }
    }
    let visit = world.file(&mut tablet, "一次");
    let (mut long, open_a) = world.begin(&mut hog, Stay::Leave);
    let (mut short, open_b) = world.begin(&mut tablet, Stay::Leave);
    long.pump(&mut hog.replica);
    short.pump(&mut tablet.replica);
    let mut commands = vec![open_a, open_b];
    commands.extend(long.take_messages());
    commands.extend(short.take_messages());
    let now = world.now();
    world.core.handle_some(now, commands).unwrap();
    world.core.handle_some(now, Vec::new()).unwrap();
    assert!(world.core.replica().record_row(&visit).unwrap().is_some(), "judged in its own turn");
    assert!(world.core.has_more_to_do(), "while much is left of the others");
}

#[test]
fn limit_of_one_log_looks_at_that_logs_documents_alone() {
    let mut world = World::new(65);
    let mut honest = world.enrol("P01", GrantRole::Technician);
    let mut thief = world.enrol("P02", GrantRole::Technician);
    let visits: BTreeSet<_> = (0..30).map(|_| world.file(&mut honest, "好记录")).collect();
    world.meet(&mut honest);
    for _ in 0..70 {
        world.file_talking(&mut thief, &june(), "坏记录");
    }
    world.core.take_touched();
    world.meet(&mut thief);
    let is_limit = |decision: &Decision| {
        matches!(decision, Decision::Quarantine { scope: QuarantineScope::LogBeyondTips { .. }, .. })
    };
    assert!(world.core.replica().control().iter().any(|(_, entry)| is_limit(&entry.content().decision)));
    let touched = world.core.take_touched();
    assert!(touched.len() >= 70, "{}", touched.len());
    assert_eq!(touched.intersection(&visits).count(), 0, "nobody else's documents are worked on");
    world.meet(&mut honest);
    assert_eq!(world.core.counters().states_differed, 0);
    crate::world::assert_same_states(&[&honest.replica, world.core.replica()]);
}
