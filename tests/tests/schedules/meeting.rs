//! Two tablets meet without a hub, and what several schedules look at.

use std::collections::VecDeque;

use qianmo_protocol::change::Scalar;
use qianmo_protocol::control::{Decision, QuarantineScope};
use qianmo_protocol::ids::{DocId, LogbookName};
use qianmo_protocol::pack::Pack;
use qianmo_protocol::session::message::Message;
use qianmo_protocol::session::{Opening, Shelf as _, Stay, Toward};
use qianmo_protocol::vector::Selection;
use qianmo_replica::exchange::{Exchange, Output, Pump};
use qianmo_replica::replica::Replica;

use crate::world::{Tablet, World, june};

fn run(exchange: &mut Exchange, replica: &mut Replica, out: &mut VecDeque<Message>) {
    loop {
        match exchange.pump(replica).unwrap() {
            Pump::Quiet => break,
            Pump::AwaitsSync => {
                replica.sync().unwrap();
                exchange.after_sync(replica);
            }
            Pump::AwaitsJudge => {
                replica.judge().unwrap();
                exchange.after_judge(replica, Vec::new());
            }
        }
    }
    while let Some(output) = exchange.poll_output() {
        match output {
            Output::Send(message) => out.push_back(message),
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
}

/// What is saved goes into packs.
pub(crate) fn seal(world: &mut World, tablet: &mut Tablet) {
    let now = world.now();
    tablet.replica.seal(now, 3, &mut world.rng).unwrap();
    tablet.replica.sync().unwrap();
}

/// One tablet opens a session with another; both run to its end.
pub(crate) fn meet_beside_the_hub(world: &mut World, from: &mut Tablet, to: &mut Tablet) {
    seal(world, from);
    seal(world, to);
    let opening = Opening {
        selection: Selection::everything(),
        live: vec![june(), LogbookName::OrgDirectory],
        unreceipted: from.replica.unreceipted().unwrap(),
        toward: Toward::Tablet,
        epoch: from.epoch,
        stay: Stay::Leave,
        about: None,
    };
    let mut up = Exchange::initiate(&from.replica, to.device(), &opening);
    let mut down = Exchange::respond(from.device());
    let (mut there, mut back) = (VecDeque::new(), VecDeque::new());
    run(&mut up, &mut from.replica, &mut there);
    while !there.is_empty() || !back.is_empty() {
        while let Some(message) = there.pop_front() {
            down.handle_message(message).unwrap();
            run(&mut down, &mut to.replica, &mut back);
        }
        while let Some(message) = back.pop_front() {
            up.handle_message(message).unwrap();
            run(&mut up, &mut from.replica, &mut there);
        }
    }
    from.replica.sync().unwrap();
    to.replica.sync().unwrap();
}

/// The content field of a record, if the record is shown.
pub(crate) fn content(replica: &Replica, doc: &DocId) -> Option<String> {
    let row = replica.record_row(doc).unwrap()?;
    match row.view.fields.get("content") {
        Some(Scalar::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

pub(crate) fn text(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// Everything that was ever quarantined, with its code.
pub(crate) fn quarantines(world: &World) -> Vec<(QuarantineScope, u16)> {
    let control = world.core.replica().control();
    let decisions = control.iter().map(|(_, entry)| entry.content().decision.clone());
    decisions
        .filter_map(|decision| {
            let Decision::Quarantine { scope, code } = decision else { return None };
            Some((scope, code))
        })
        .collect()
}

/// The packs of June in a tablet's own log, in their order.
pub(crate) fn own_packs(tablet: &Tablet) -> Vec<Pack> {
    use qianmo_protocol::vector::LogTrees as _;
    let mut packs = Vec::new();
    let own = tablet.replica.tips(&june()).into_iter().find(|tip| tip.log.device == tablet.device());
    let mut next = own.map(|tip| tip.head);
    while let Some(pack) = next.and_then(|hash| tablet.replica.pack(&june(), &hash)) {
        next = Some(pack.header.prev);
        packs.push(pack);
    }
    packs.reverse();
    packs
}
