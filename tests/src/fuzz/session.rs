//! A peer that says anything: whole sessions of the production exchange on a store, fed with what a script says.
//!
//! Also the small organisation that other targets borrow from: stores, keys, packs, changes and the frames of honest
//! sessions.

use std::collections::{BTreeSet, VecDeque};

use ed25519_dalek::SigningKey;
use qianmo_protocol::beacon::SignedBeacon;
use qianmo_protocol::change::RawChange;
use qianmo_protocol::control::{Decision, Role as GrantRole, SignedEntry, Signer};
use qianmo_protocol::ids::{DeviceId, Epoch, HubId, Incarnation, LogbookName, OrgId, PackHash};
use qianmo_protocol::limits::MESSAGE_BYTES_MAX;
use qianmo_protocol::pack::{Entry, Pack, Place, seal};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::message::{Bye, ByeReason, FrameReader, Message, Turn, Vectors};
use qianmo_protocol::session::{Opening, Shelf as _, Stay, Toward};
use qianmo_protocol::time::UnixMillis;
use qianmo_protocol::vector::{Selection, WireVector};
use qianmo_replica::disk::{CrashMode, MemoryDisk};
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::replica::{Identity, Replica, Role};
use rand::SeedableRng as _;
use rand_chacha::ChaCha20Rng;

use super::script::{Script, piece};
use crate::world::{NOW, Tablet, World, assert_same_states, judge_as_hub, june, open};

/// Messages of one session that a script may send.
const STEPS_MAX: usize = 48;

/// What targets borrow. Nothing in it is ever changed.
pub(super) struct Borrowed {
    pub(super) org: OrgId,
    pub(super) authority_public: [u8; 32],
    pub(super) hub_key: SigningKey,
    pub(super) hub_id: HubId,
    pub(super) epoch: Epoch,
    /// The hub's store, read only.
    pub(super) hub: Replica,
    pub(super) june_vector: WireVector,
    pub(super) selection: Selection,
    pub(super) packs: Vec<Pack>,
    /// Who sealed each of them.
    pub(super) pack_keys: Vec<SigningKey>,
    /// What is in them.
    pub(super) changes: Vec<RawChange>,
    pub(super) control: Vec<SignedEntry>,
    authority: SigningKey,
    hub_image: Image,
    tablet_image: Image,
    /// Another device of the organisation, whose key a script signs with.
    other: SigningKey,
    opening: Opening,
    frames: Vec<Vec<u8>>,
}

/// A store as it can be opened again and again.
struct Image {
    disk: MemoryDisk,
    identity: Identity,
}

impl Image {
    fn of(disk: &MemoryDisk, identity: Identity) -> Self {
        Self { disk: copy(disk), identity }
    }

    fn open(&self) -> (MemoryDisk, Replica) {
        let disk = copy(&self.disk);
        let replica = open(&disk, self.identity.clone(), &mut rng()).0;
        (disk, replica)
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(23)
}

fn copy(disk: &MemoryDisk) -> MemoryDisk {
    disk.crash(CrashMode::KeepAll, &mut rng())
}

thread_local! {
    static BORROWED: Borrowed = build();
}

pub(super) fn with_world<T>(use_it: impl FnOnce(&Borrowed) -> T) -> T {
    BORROWED.with(use_it)
}

/// Every frame of honest sessions, both ways.
pub(super) fn honest_frames() -> Vec<Vec<u8>> {
    with_world(|world| world.frames.clone())
}

/// Three tablets: one is up to date but for a new record, one has met the hub once, one has never.
fn build() -> Borrowed {
    let mut world = World::new(17);
    let mut tablet_a = world.enrol("P01", GrantRole::Technician);
    let mut tablet_b = world.enrol("P02", GrantRole::Technician);
    let mut tablet_c = world.enrol("P03", GrantRole::Coordinator);
    let mut frames = Vec::new();
    let visit = tablet_a.file(&mut world, "桃园查看");
    let mut meet = |world: &mut World, tablet: &mut Tablet| frames.extend(met(world, tablet));
    meet(&mut world, &mut tablet_a);
    meet(&mut world, &mut tablet_b);
    tablet_a.edit(&mut world, visit, "content", "甲改");
    tablet_b.edit(&mut world, visit, "content", "乙改");
    tablet_b.file(&mut world, "第二份");
    meet(&mut world, &mut tablet_b);
    meet(&mut world, &mut tablet_a);
    meet(&mut world, &mut tablet_c);
    tablet_a.file(&mut world, "还没有送出");
    let now = world.now();
    tablet_a.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet_a.replica.sync().unwrap();
    let hub_identity = Identity {
        authority: world.authority.verifying_key().to_bytes(),
        key: SigningKey::from_bytes(&[77; 32]),
        role: Role::Hub { hub: world.hub.id, epoch: world.hub.epoch },
    };
    let packs: Vec<Pack> = packs_of(&world.hub.replica);
    let devices = [&tablet_a, &tablet_b, &tablet_c];
    let key_of =
        |pack: &Pack| devices.iter().find(|tablet| tablet.device() == pack.header.log.device).unwrap().key.clone();
    let changes = packs.iter().flat_map(|pack| pack.open().unwrap()).filter_map(|entry| entry.change().cloned());
    Borrowed {
        org: world.org,
        authority_public: world.authority.verifying_key().to_bytes(),
        hub_key: world.hub.signing.clone(),
        hub_id: world.hub.id,
        epoch: world.hub.epoch,
        june_vector: world.hub.replica.vector(&june()),
        selection: tablet_a.selection.clone(),
        pack_keys: packs.iter().map(key_of).collect(),
        changes: changes.collect(),
        packs,
        control: world.hub.replica.control().iter().map(|(_, entry)| entry.clone()).collect(),
        hub_image: Image::of(&world.hub.disk, hub_identity),
        tablet_image: Image::of(&tablet_a.disk, tablet_a.identity(&world)),
        other: tablet_b.key.clone(),
        opening: tablet_a.opening(Stay::Subscribe),
        authority: world.authority.clone(),
        hub: world.hub.replica,
        frames,
    }
}

fn packs_of(replica: &Replica) -> Vec<Pack> {
    use qianmo_protocol::vector::LogTrees as _;
    let mut packs = Vec::new();
    for name in replica.logbooks() {
        let mut next: Vec<PackHash> = replica.tips(&name).iter().map(|tip| tip.head).collect();
        while let Some(hash) = next.pop() {
            let Some(pack) = replica.pack(&name, &hash) else { continue };
            next.push(pack.header.prev);
            packs.push(pack);
        }
    }
    packs
}

/// An honest session, and its frames.
fn met(world: &mut World, tablet: &mut Tablet) -> Vec<Vec<u8>> {
    let now = world.now();
    tablet.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet.replica.sync().unwrap();
    let opening = tablet.opening(Stay::Subscribe);
    world.hub.issue_beacon(&world.org, now);
    let up = Exchange::initiate(&tablet.replica, world.hub.replica.device(), &opening);
    let down = Exchange::respond(tablet.device());
    let hub = HubSide { key: &world.hub.signing, id: world.hub.id, epoch: world.hub.epoch, org: &world.org, now };
    let (frames, is_over) = talk(up, &mut tablet.replica, down, &mut world.hub.replica, &hub);
    assert!(is_over);
    tablet.replica.sync().unwrap();
    tablet.epoch = Some(world.hub.epoch);
    frames
}

struct HubSide<'a> {
    key: &'a SigningKey,
    id: HubId,
    epoch: Epoch,
    org: &'a OrgId,
    now: UnixMillis,
}

/// Two honest sides until neither has anything to say: the frames, and whether the initiator found nothing left.
fn talk(
    mut up: Exchange,
    tablet: &mut Replica,
    mut down: Exchange,
    hub: &mut Replica,
    side: &HubSide<'_>,
) -> (Vec<Vec<u8>>, bool) {
    let (mut to_hub, mut to_tablet) = (VecDeque::new(), VecDeque::new());
    let (mut frames, mut finished) = (Vec::new(), false);
    loop {
        if let Some(message) = to_tablet.pop_front() {
            up.handle_message(message).unwrap();
        }
        for output in outputs(&mut up, tablet, None) {
            finished |= output == Output::Finished;
            sent(output, &mut to_hub, &mut frames);
        }
        if let Some(message) = to_hub.pop_front() {
            down.handle_message(message).unwrap();
        }
        for output in outputs(&mut down, hub, Some(side)) {
            sent(output, &mut to_tablet, &mut frames);
        }
        if to_hub.is_empty() && to_tablet.is_empty() {
            return (frames, finished);
        }
    }
}

fn sent(output: Output, to: &mut VecDeque<Message>, frames: &mut Vec<Vec<u8>>) {
    match output {
        Output::Send(message) => {
            frames.push(message.encode_frame());
            to.push_back(message);
        }
        Output::StateDiffers(name) => panic!("states differ in {name}"),
        Output::Acked(_)
        | Output::Refused(_)
        | Output::Agreed(_)
        | Output::Epoch(..)
        | Output::Finished
        | Output::Subscribed
        | Output::PeerLeft(_) => {}
    }
}

/// Carries out what a side wants.
fn outputs(exchange: &mut Exchange, replica: &mut Replica, hub: Option<&HubSide<'_>>) -> Vec<Output> {
    loop {
        match exchange.pump(replica).unwrap() {
            Pump::Quiet => break,
            Pump::AwaitsSync => {
                replica.sync().unwrap();
                exchange.after_sync(replica);
            }
            Pump::AwaitsJudge => {
                let receipts = if let Some(hub) = hub {
                    let keys = (hub.key, hub.id, hub.epoch);
                    judge_as_hub(replica, keys, (hub.org, hub.now), exchange.stored())
                } else {
                    replica.judge().unwrap();
                    Vec::new()
                };
                exchange.after_judge(replica, receipts);
            }
        }
    }
    std::iter::from_fn(|| exchange.poll_output()).collect()
}

/// The first byte says who is attacked by whom.
pub(super) fn run(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let kind = script.below(4);
    with_world(|world| match kind {
        0 | 1 => hub_attacked(world, script, kind == 1),
        2 => tablet_attacked(world, script, Toward::Hub),
        _ => tablet_attacked(world, script, Toward::Tablet),
    });
}

/// A device talks to the hub, enrolled or not; afterwards an honest tablet gets its work there all the same.
fn hub_attacked(world: &Borrowed, mut script: Script<'_>, is_stranger: bool) {
    let (disk, mut hub) = world.hub_image.open();
    let key = if is_stranger { SigningKey::from_bytes(&[99; 32]) } else { world.other.clone() };
    let mut exchange = Exchange::respond(DeviceId::from_key(key.verifying_key().as_bytes()));
    let side = HubSide { key: &world.hub_key, id: world.hub_id, epoch: world.epoch, org: &world.org, now: NOW };
    let before = hub.durable_commit();
    let decided = attacked(world, &mut script, &mut exchange, &mut hub, Some(&side), &key, Signs::Device);
    assert!(!decided);
    if hub.durable_commit() == before {
        return;
    }
    same_after_reopening(&hub, &disk, &world.hub_image.identity);
    let (_, mut tablet) = world.tablet_image.open();
    let up = Exchange::initiate(&tablet, hub.device(), &world.opening);
    let down = Exchange::respond(tablet.device());
    let (_, is_over) = talk(up, &mut tablet, down, &mut hub, &side);
    assert!(is_over, "an honest tablet found no end after the attack");
    assert_same_june(&hub, &tablet);
    assert!(tablet.unreceipted().unwrap().is_empty(), "an honest tablet's work was not taken");
}

fn assert_same_june(hub: &Replica, tablet: &Replica) {
    let june_of = |replica: &Replica| replica.state_digests().into_iter().find(|(name, _)| *name == june());
    assert_eq!(june_of(hub), june_of(tablet));
}

/// A hub with its real key, or a neighbour, says anything to a tablet.
fn tablet_attacked(world: &Borrowed, mut script: Script<'_>, toward: Toward) {
    let (disk, mut tablet) = world.tablet_image.open();
    let opening = Opening { toward, ..world.opening.clone() };
    let mut exchange = Exchange::initiate(&tablet, world.hub.device(), &opening);
    let records = tablet.all_records().unwrap();
    let signs = if toward == Toward::Hub { Signs::Hub } else { Signs::Device };
    let decided = attacked(world, &mut script, &mut exchange, &mut tablet, None, &world.other, signs);
    same_after_reopening(&tablet, &disk, &world.tablet_image.identity);
    if !decided {
        let kept = tablet.all_records().unwrap();
        assert!(records.iter().all(|record| kept.contains(record)), "a record is gone");
        assert!(records.iter().all(|record| tablet.record(record).unwrap().is_some()), "a record is not shown");
    }
}

fn same_after_reopening(replica: &Replica, disk: &MemoryDisk, identity: &Identity) {
    let again = open(&copy(disk), identity.clone(), &mut rng()).0;
    assert_same_states(&[replica, &again]);
}

/// Whose signature a script may make, beside a device's.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Signs {
    Device,
    Hub,
}

/// Feeds a session until the script or the session is over. Answers whether decisions were forged with the hub's key.
fn attacked(
    world: &Borrowed,
    script: &mut Script<'_>,
    exchange: &mut Exchange,
    replica: &mut Replica,
    side: Option<&HubSide<'_>>,
    key: &SigningKey,
    signs: Signs,
) -> bool {
    let mut decided = false;
    check_outputs(outputs(exchange, replica, side));
    for _ in 0..STEPS_MAX {
        if script.is_over() {
            break;
        }
        match script.below(16) {
            14 => {
                let news: Vec<(LogbookName, PackHash)> = replica.take_visible().0;
                exchange.handle_news(replica, &news);
            }
            15 => {
                let unreceipted = replica.unreceipted().unwrap();
                exchange.handle_local_news(replica, &unreceipted);
                if script.once_in(4) {
                    exchange.leave(Bye { reason: ByeReason::Later, retry_after_ms: Some(5) });
                }
            }
            choice => {
                let Some(message) = drawn(world, script, key, signs, choice, &mut decided) else { continue };
                if let Err(error) = exchange.handle_message(message) {
                    assert!(!error.to_string().is_empty());
                    break;
                }
            }
        }
        check_outputs(outputs(exchange, replica, side));
    }
    check_outputs(outputs(exchange, replica, side));
    replica.sync().unwrap();
    decided
}

/// What is sent can be read.
fn check_outputs(outputs: Vec<Output>) {
    for output in outputs {
        let Output::Send(message) = output else { continue };
        let frame = message.encode_frame();
        assert!(frame.len() <= MESSAGE_BYTES_MAX + 5, "{} of {} bytes", message.name(), frame.len());
        let mut reader = FrameReader::default();
        reader.push(&frame);
        assert_eq!(reader.next_message(), Ok(Some(message)));
    }
}

/// A message of the script's choice; `None` when what it chose is none.
fn drawn(
    world: &Borrowed,
    script: &mut Script<'_>,
    key: &SigningKey,
    signs: Signs,
    choice: usize,
    decided: &mut bool,
) -> Option<Message> {
    match choice {
        0..=5 => decoded(script.pick::<Vec<u8>>(&world.frames)),
        6 | 7 => {
            let mut frame = script.pick::<Vec<u8>>(&world.frames).clone();
            for _ in 0..=script.below(3) {
                let at = usize::from(script.u16()) % frame.len();
                frame[at] = script.byte();
            }
            decoded(&frame)
        }
        8 => Message::decode(script.byte() % 15, script.bytes()).ok(),
        9 | 10 => Some(Message::Pack(sealed(world, script, key)?)),
        11 => Some(turn(world, script)),
        12 if signs == Signs::Hub => Some(stated(world, script)),
        13 if signs == Signs::Hub => {
            *decided = true;
            Some(Message::Control(vec![entry(world, script)?]))
        }
        _ => Some(Message::Pack(script.pick(&world.packs).clone())),
    }
}

fn decoded(frame: &[u8]) -> Option<Message> {
    let mut reader = FrameReader::default();
    reader.push(frame);
    reader.next_message().ok().flatten()
}

/// A pack with a right signature and any content.
fn sealed(world: &Borrowed, script: &mut Script<'_>, key: &SigningKey) -> Option<Pack> {
    let mut entries = Vec::new();
    for _ in 0..=script.below(3) {
        let known = script.pick(&world.changes);
        let change = if script.below(2) == 0 {
            known.clone()
        } else {
            let mut content = known.content().to_vec();
            let at = usize::from(script.u16()) % content.len();
            content[at] = script.byte();
            RawChange::from_content(&content).ok()?
        };
        entries.push(match (change.head().is_root(), script.once_in(8)) {
            (true, false) => Entry::Root { change },
            (false, false) => Entry::Full { doc: world.changes[0].doc_id_if_root()?, change },
            (_, true) => Entry::Full { doc: qianmo_protocol::ids::DocId([4; 16]), change }.to_stub(),
        });
    }
    let near = script.pick(&world.packs);
    let after = match script.below(4) {
        0 => None,
        1 => Some((near.header.seq, near.hash(&world.org))),
        2 => Some((u32::MAX - 1, near.hash(&world.org))),
        _ => Some((script.below(4).try_into().ok()?, PackHash([script.byte(); 32]))),
    };
    let logbook = match script.below(4) {
        0 => LogbookName::OrgDirectory,
        1 => LogbookName::StationDirectory(crate::world::station()),
        _ => june(),
    };
    let incarnation = if script.below(2) == 0 { near.header.log.incarnation } else { Incarnation([script.byte(); 8]) };
    let control = *script.pick(&[near.header.control, qianmo_protocol::ids::EntryHash([6; 32])]);
    let place = Place { logbook, incarnation, after, control, time: near.header.time };
    let pack = seal(&world.org, key, place, entries, 3).ok()?.into_parts().0;
    Some(pack)
}

/// A turn's header that is rightly made and says anything.
fn turn(world: &Borrowed, script: &mut Script<'_>) -> Message {
    let vectors = match script.below(3) {
        0 => Vec::new(),
        1 => vec![(june(), world.june_vector.clone())],
        _ => vec![(june(), WireVector::default())],
    };
    let turn = Turn { vectors, states: Vec::new(), more: script.below(2) == 1, follow: script.below(5) };
    let control_heads =
        if script.below(2) == 0 { Vec::new() } else { world.hub.control().heads().iter().copied().collect() };
    Message::Vectors(Vectors { control_heads, turn })
}

/// A beacon or receipt with the hub's right signature.
fn stated(world: &Borrowed, script: &mut Script<'_>) -> Message {
    let epoch = *script.pick(&[world.epoch, Epoch([8; 16])]);
    if script.below(2) == 0 {
        let newest = world.hub.newest_beacon().unwrap();
        let beacon = qianmo_protocol::beacon::Beacon {
            epoch,
            sequence: script.u64(),
            time: UnixMillis(script.u64().cast_signed()),
            commit: script.u64(),
            watermark: script.u64(),
            ..newest
        };
        let signed = SignedBeacon::sign(&world.org, &world.hub_key, beacon).unwrap();
        return Message::Push { beacon: Some(signed), follow: script.below(3) };
    }
    let pack = script.pick(&world.packs);
    let packs: BTreeSet<PackHash> = [pack.hash(&world.org), PackHash([script.byte(); 32])].into();
    let change = script.pick(&world.changes).hash();
    let verdict = if script.below(2) == 0 { Verdict::Passed } else { Verdict::Held([(change, script.u16())].into()) };
    let receipt = Receipt { hub: world.hub_id, epoch, commit: script.u64(), packs, verdict };
    Message::Receipt(SignedReceipt::sign(&world.org, &world.hub_key, receipt).unwrap())
}

/// Any decision with the hub's or the authority's right signature.
fn entry(world: &Borrowed, script: &mut Script<'_>) -> Option<SignedEntry> {
    let known = script.pick(&world.control).content();
    let decision = if script.below(2) == 0 {
        known.decision.clone()
    } else {
        let mut body = known.decision.encode_body();
        let at = usize::from(script.u16()) % body.len().max(1);
        if let Some(byte) = body.get_mut(at) {
            *byte = script.byte();
        }
        Decision::from_body(u16::from(script.byte() % 20), script.below(2) == 1, &body)
    };
    let (signer, key) = if script.below(3) == 0 {
        (Signer::Authority, &world.authority)
    } else {
        (Signer::Hub(world.hub_id), &world.hub_key)
    };
    let draft = world.hub.control().draft(signer, world.epoch, NOW, decision);
    SignedEntry::sign(&world.org, key, draft).ok()
}

/// Honest sessions replayed to each side, and one of each forgery.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let frames = honest_frames();
    let mut seeds = Vec::new();
    for kind in 0..4 {
        let mut whole = vec![kind];
        for number in 0..frames.len().min(40) {
            whole.extend([0, u8::try_from(number).unwrap()]);
        }
        seeds.push(whole);
        for choice in [6, 8, 9, 10, 11, 12, 13] {
            let mut forged = vec![kind, 0, 0];
            for number in 0..6 {
                forged.extend([choice, number, 1, number, 0, 2, 1, number, 7, 1, 0, 0]);
            }
            seeds.push(forged);
        }
        let mut typed = vec![kind, 8, 8];
        typed.extend(piece(&[]));
        typed.extend([14, 15, 3]);
        seeds.push(typed);
    }
    seeds
}

/// A tablet's store with unsent work in it, and who it belongs to.
pub(super) fn honest_store() -> (MemoryDisk, Identity) {
    with_world(|world| (copy(&world.tablet_image.disk), world.tablet_image.identity.clone()))
}
