//! Turns of messages that are each allowed: claims, questions and words of others, as many as a turn may have.

use std::collections::{BTreeMap, BTreeSet};

use ed25519_dalek::SigningKey;
use qianmo_protocol::close_code::CloseCode::{OverLimit, ProtocolViolation};
use qianmo_protocol::control::{Decision, Entry, SignedEntry, Signer};
use qianmo_protocol::ids::{Code, DeviceId, Epoch, HubId, Incarnation, LogId, LogbookName, PackHash};
use qianmo_protocol::receipt::{Receipt, SignedReceipt, Verdict};
use qianmo_protocol::session::message::{Message, Refuse, RefuseCode, Turn, Vectors};
use qianmo_protocol::time::{Month, UnixMillis};
use qianmo_protocol::vector::{Locator, WireTip, WireVector};
use rand::RngCore as _;

use super::super::device::june;
use super::{Attack, Ending, Scene, Sent, attack};

pub(super) fn all() -> Vec<Attack> {
    vec![
        attack("vector_of_8192_false_tips", Sent::Header(false_tips), Ending::Nothing),
        attack("vector_of_8192_forks_of_a_victim", Sent::Header(false_forks), Ending::Nothing),
        attack("vectors_of_1024_logbooks", Sent::Header(|scene| false_logbooks(scene, 1_024)), Ending::Nothing),
        attack(
            "vectors_of_4096_logbooks",
            Sent::Header(|scene| false_logbooks(scene, 4_096)),
            Ending::Closed(OverLimit),
        ),
        attack("head_that_collides_in_8_bytes", Sent::Header(colliding_head), Ending::Nothing),
        attack("need_ancestors_4096_times", Sent::Turn(need_ancestors), Ending::Nothing),
        attack("need_ancestors_with_136_false_steps", Sent::Turn(false_steps), Ending::Nothing),
        attack(
            "control_entries_1000_in_a_message",
            Sent::Turn(|scene| forged_control(scene, Signer::Authority, 1_000)),
            Ending::Closed(OverLimit),
        ),
        attack("refusals_of_5000_packs_never_sent", Sent::Turn(refusals), Ending::Nothing),
        attack("forged_receipts_1000", Sent::Turn(forged_receipts), Ending::Nothing),
        attack(
            "forged_control_entries_256",
            Sent::Turn(|scene| forged_control(scene, Signer::Authority, 256)),
            Ending::Closed(ProtocolViolation),
        ),
        attack(
            "control_entries_256_of_an_unknown_hub",
            Sent::Turn(|scene| forged_control(scene, Signer::Hub(HubId([6; 8])), 256)),
            Ending::Nothing,
        ),
        attack("subscribe_1000_times", Sent::Said(|_| vec![Message::Subscribe; 1_000]), Ending::Nothing),
        attack("empty_turns_500", Sent::Said(|_| vec![Message::Vectors(Vectors::default()); 500]), Ending::Nothing),
        attack("known_control_entries_again_256_times", Sent::Turn(known_control), Ending::Nothing),
    ]
}

fn false_tips(scene: &mut Scene) -> (Turn, Vec<Message>) {
    let mut tips: Vec<WireTip> = (0..8_192).map(|_| tip(scene, None)).collect();
    tips.sort_unstable();
    (Turn { vectors: vec![(june(), WireVector(tips))], ..Turn::default() }, Vec::new())
}

/// Every tip is a fork of the victim's log at its first place.
fn false_forks(scene: &mut Scene) -> (Turn, Vec<Message>) {
    let log = scene.victim_pack.header.log;
    let mut tips: Vec<WireTip> = (0..8_192).map(|_| WireTip { seq: 0, ..tip(scene, Some(log)) }).collect();
    tips.sort_unstable();
    (Turn { vectors: vec![(june(), WireVector(tips))], ..Turn::default() }, Vec::new())
}

fn tip(scene: &mut Scene, log: Option<LogId>) -> WireTip {
    let mut bytes = [0; 24];
    scene.hostile.rng.fill_bytes(&mut bytes);
    let [device, incarnation, head8] = [0, 8, 16].map(|at| <[u8; 8]>::try_from(&bytes[at..at + 8]).unwrap());
    let log = log.unwrap_or(LogId { device: DeviceId(device), incarnation: Incarnation(incarnation) });
    WireTip { log, seq: 4_000_000_000, head8 }
}

fn false_logbooks(scene: &mut Scene, count: usize) -> (Turn, Vec<Message>) {
    let station = |number: u16| Code::new(&format!("ST{number:02}")).unwrap();
    let names = (1..=2).flat_map(|number| {
        let months = (2000..2200).flat_map(|year| (1..=12).filter_map(move |month| Month::new(year, month)));
        months.map(move |month| LogbookName::StationMonth(station(number), month))
    });
    let names: BTreeSet<LogbookName> = names.take(count).collect();
    let vectors: BTreeMap<_, _> = names.into_iter().map(|name| (name, WireVector(vec![tip(scene, None)]))).collect();
    (Turn { vectors: vectors.into_iter().collect(), ..Turn::default() }, Vec::new())
}

/// The victim's tip with other bytes behind the eight that travel cannot be told from it by them: nothing may come of that.
/// No two such packs can be made here, so the claim is of the very same eight bytes at another place of the log.
fn colliding_head(scene: &mut Scene) -> (Turn, Vec<Message>) {
    let head8 = scene.victim_pack.hash(&scene.hostile.enrolled.org).head8();
    let log = scene.victim_pack.header.log;
    let tips = [0, 1, 77].map(|seq| WireTip { log, seq, head8 });
    (Turn { vectors: vec![(june(), WireVector(tips.to_vec()))], ..Turn::default() }, Vec::new())
}

fn need_ancestors(scene: &mut Scene) -> Vec<Message> {
    let log = scene.victim_pack.header.log;
    let ask = |number: u64| {
        let log = if number.is_multiple_of(2) {
            log
        } else {
            LogId { incarnation: Incarnation(number.to_be_bytes()), ..log }
        };
        Message::NeedAncestors(june(), Locator { log, steps: Vec::new() })
    };
    (0..4_096).map(ask).collect()
}

fn false_steps(scene: &mut Scene) -> Vec<Message> {
    let steps: Vec<(u32, [u8; 8])> = (0..136).map(|seq| (seq, [9; 8])).collect();
    let log = scene.victim_pack.header.log;
    vec![Message::NeedAncestors(june(), Locator { log, steps }); 100]
}

fn refusals(scene: &mut Scene) -> Vec<Message> {
    let mut refuse = || {
        let pack8 = scene.hostile.rng.next_u64().to_be_bytes();
        Message::Refuse(Refuse { pack8, code: RefuseCode::MissingPrev })
    };
    (0..5_000).map(|_| refuse()).collect()
}

fn key(scene: &mut Scene) -> SigningKey {
    let mut seed = [0; 32];
    scene.hostile.rng.fill_bytes(&mut seed);
    SigningKey::from_bytes(&seed)
}

fn forged_receipts(scene: &mut Scene) -> Vec<Message> {
    let key = key(scene);
    let org = scene.hostile.enrolled.org;
    let forged = |number: u64| {
        let receipt = Receipt {
            hub: scene.hostile.enrolled.hub,
            epoch: Epoch([7; 16]),
            commit: number,
            packs: BTreeSet::from([PackHash([5; 32])]),
            verdict: Verdict::Passed,
        };
        Message::Receipt(SignedReceipt::sign(&org, &key, receipt).unwrap())
    };
    (0..1_000).map(forged).collect()
}

/// One message of so many entries.
fn forged_control(scene: &mut Scene, signer: Signer, count: u64) -> Vec<Message> {
    let key = key(scene);
    let org = scene.hostile.enrolled.org;
    let device = scene.hostile.device();
    let forged = |number: u64| {
        let decision = Decision::Revoke { device, reason: 1, tips: BTreeSet::new() };
        let parents = BTreeSet::from([scene.hostile.control]);
        let time = UnixMillis(1_750_000_000_000);
        let entry = Entry { signer, epoch: Epoch([7; 16]), number, parents, time, decision };
        SignedEntry::sign(&org, &key, entry).unwrap()
    };
    vec![Message::Control((0..count).map(forged).collect())]
}

fn known_control(scene: &mut Scene) -> Vec<Message> {
    let known = scene.hostile.enrolled.control_entries.last().unwrap();
    let entry = <SignedEntry as qianmo_protocol::wire::Wire>::decode(known).unwrap();
    vec![Message::Control(vec![entry; 256])]
}
