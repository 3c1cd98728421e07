//! A hub that was brought back from an old backup is refilled by those who come.

use qianmo_protocol::control::{Decision, FormVersion};
use qianmo_protocol::ids::Epoch;
use qianmo_protocol::session::Shelf;
use qianmo_protocol::session::message::{Message, RefuseCode};

use crate::link::Link;
use crate::store::{Store, code, directory, month};
use crate::turns::settled;

const SECOND: Epoch = Epoch([2; 16]);

fn form(version: u32) -> Decision {
    Decision::Form(FormVersion { form: code("visit"), version, hash: [1; 32] })
}

/// A hub that lost packs and control entries, and tablets that hold them.
fn restored() -> (Vec<Store>, Store) {
    let mut nodes = settled(2);
    let backup = nodes[0].clone();
    nodes[0].decide(form(2));
    for _ in 0..3 {
        nodes[1].write(&month("ST01", 6));
        nodes[1].write(&month("ST01", 1));
        nodes[2].write(&directory("ST01"));
        Link::run(&mut nodes, 1, 0).assert_finished();
        Link::run(&mut nodes, 2, 0).assert_finished();
    }
    Link::run(&mut nodes, 1, 0).assert_finished();
    nodes[0].decide(form(3));
    Link::run(&mut nodes, 1, 0).assert_finished();
    let lost = core::mem::replace(&mut nodes[0], backup);
    nodes[0].restore(SECOND);
    nodes[0].decide(Decision::AdoptionComplete { epoch: SECOND });
    (nodes, lost)
}

#[test]
fn restored_hub_is_refilled_in_two_more_round_trips() {
    let (mut nodes, lost) = restored();
    // The tablet believes that all is delivered, but for one new pack, whose ancestors the hub lost.
    nodes[1].write(&month("ST01", 6));
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert!(link.round_trips() <= 3, "{}: {:?} {:?}", link.round_trips(), link.seen(0).sent, link.seen(1).sent);
    assert_eq!(link.seen(0).refused.iter().map(|refuse| refuse.code).collect::<Vec<_>>(), [RefuseCode::MissingPrev]);
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
    assert!(lost.hashes().is_subset(&nodes[0].hashes()));
    assert!(lost.control().heads().iter().all(|head| nodes[0].control().contains(head)), "no decision is undone");
    assert_eq!(nodes[0].control().heads(), nodes[1].control().heads());
    let second = Link::run(&mut nodes, 1, 0);
    assert_eq!(second.round_trips(), 1);
    Link::run(&mut nodes, 2, 0).assert_finished();
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
}

/// A restored hub and a tablet that is beyond it each know heads that the other does not. Both once sent everything.
#[test]
fn control_logs_that_grew_apart_exchange_only_what_differs() {
    let mut nodes = settled(1);
    for version in 2..200 {
        nodes[0].decide(form(version));
    }
    Link::run(&mut nodes, 1, 0).assert_finished();
    let backup = nodes[0].clone();
    nodes[0].decide(form(500));
    Link::run(&mut nodes, 1, 0).assert_finished();
    nodes[0] = backup;
    nodes[0].restore(SECOND);
    nodes[0].decide(Decision::AdoptionComplete { epoch: SECOND });
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(nodes[0].control().heads(), nodes[1].control().heads());
    let entries = |at: usize| -> usize {
        let messages = link.seen(at).messages.iter();
        messages.map(|message| if let Message::Control(entries) = message { entries.len() } else { 0 }).sum()
    };
    assert!(entries(0) <= 8, "{} entries up", entries(0));
    assert_eq!(entries(1), 2, "the new epoch and the end of the adoption");
}

#[test]
fn two_tablets_meet_without_a_hub_and_pass_on_decisions_and_packs() {
    let mut nodes = settled(2);
    nodes[0].decide(form(2));
    nodes[1].write(&month("ST01", 6));
    Link::run(&mut nodes, 1, 0).assert_finished();
    nodes[1].write(&month("ST01", 1));
    nodes[2].write(&directory("ST01"));
    let link = Link::run(&mut nodes, 2, 1);
    link.assert_finished();
    assert!(link.round_trips() <= 3);
    assert_eq!(nodes[1].vectors(), nodes[2].vectors());
    assert_eq!(nodes[1].control().heads(), nodes[2].control().heads());
    assert!(nodes[2].receipted.len() < nodes[2].hashes().len(), "a tablet's acknowledgement is no receipt (A5)");
    let receipted = nodes[2].receipted.clone();
    assert_eq!(receipted, nodes[2].receipted);
    assert_eq!(nodes[2].unreceipted().len(), 1);
}

/// A chain of restores, each from an older state, with the same tablet coming by.
#[test]
fn hub_restored_again_and_again_gets_everything_back() {
    let (mut nodes, _) = restored();
    for round in 3..8u8 {
        let backup = nodes[0].clone();
        nodes[1].write(&month("ST01", 6));
        nodes[2].write(&month("ST01", 6));
        Link::run(&mut nodes, 1, 0).assert_finished();
        Link::run(&mut nodes, 2, 0).assert_finished();
        nodes[0] = backup;
        nodes[0].restore(Epoch([round; 16]));
        nodes[0].decide(Decision::AdoptionComplete { epoch: Epoch([round; 16]) });
    }
    for _ in 0..2 {
        Link::run(&mut nodes, 1, 0).assert_finished();
        Link::run(&mut nodes, 2, 0).assert_finished();
    }
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
    assert_eq!(nodes[0].vectors(), nodes[2].vectors());
    let all: Vec<_> = nodes.iter().map(|node| node.control().heads().clone()).collect();
    assert!(all.iter().all(|heads| *heads == all[0]));
}
