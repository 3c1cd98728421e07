//! Who is told what.

use std::collections::BTreeSet;

use qianmo_protocol::control::Decision;
use qianmo_protocol::session::message::{ByeReason, Message};
use qianmo_protocol::session::{Stay, Taken};

use crate::link::Link;
use crate::store::{Store, month};
use crate::turns::settled;

/// What an end told its peer of logbooks and control entries.
fn told(link: &Link, at: usize) -> (usize, usize, usize) {
    let messages = &link.seen(at).messages;
    let packs = messages.iter().filter(|message| matches!(message, Message::Pack(_))).count();
    let control = messages.iter().filter(|message| matches!(message, Message::Control(_))).count();
    let logbooks = messages
        .iter()
        .map(|message| match message {
            Message::Welcome(welcome) => {
                welcome.turn.vectors.len() + welcome.turn.states.len() + welcome.digests.iter().flatten().count()
            }
            Message::Vectors(vectors) => vectors.turn.vectors.len() + vectors.turn.states.len(),
            _ => 0,
        })
        .sum();
    (packs, control, logbooks)
}

#[test]
fn stranger_is_told_nothing_and_sent_away() {
    let mut nodes = settled(1);
    nodes.push(Store::stranger(9));
    nodes[2].write(&month("ST01", 6));
    let link = Link::run(&mut nodes, 2, 0);
    assert_eq!(link.seen(0).peer_left.map(|bye| bye.reason), Some(ByeReason::NotEnrolled));
    assert_eq!(link.seen(0).finished, 0);
    assert_eq!(told(&link, 1), (0, 0, 0));
    assert_eq!(link.seen(1).sent, ["Bye"]);
    assert_eq!(nodes[2].hashes().len(), 1);
}

/// Heads that the hub does not know earn a stranger one look at the hub's own heads, which are hashes, and no more.
#[test]
fn stranger_with_invented_heads_is_told_nothing_either() {
    let mut nodes = settled(1);
    let mut other_world = Store::hub();
    let mut stranger = other_world.enrol(9, &["ST01"]);
    stranger.live = nodes[1].live.clone();
    nodes.push(stranger);
    let mut link = Link::open(&mut nodes, 2, 0, Stay::Leave);
    // The enrolment it has is signed by the right hub in this test's world, so it is left out on the way.
    let Some(Message::Hello(mut hello)) = link.seen(0).messages.first().cloned() else { panic!("a hello") };
    hello.control_heads = vec![qianmo_protocol::ids::EntryHash([9; 32])];
    hello.follow = 0;
    let mut quiet = Link::open(&mut nodes, 2, 0, Stay::Leave);
    quiet.inject(&mut nodes, 1, Message::Hello(hello)).unwrap();
    let welcome = quiet.seen(1).messages.last().cloned();
    let Some(Message::Welcome(welcome)) = welcome else { panic!("a welcome") };
    assert!(welcome.beacon.is_none() && welcome.digests.is_none() && welcome.agreed.is_none());
    let nothing = Message::Vectors(qianmo_protocol::session::message::Vectors::default());
    quiet.inject(&mut nodes, 1, nothing).unwrap();
    assert_eq!(told(&quiet, 1), (0, 0, 0));
    let Some(Message::Bye(bye)) = quiet.seen(1).messages.last() else { panic!("a goodbye") };
    assert_eq!(bye.reason, ByeReason::NotEnrolled);
    assert!(!link.step(&mut nodes, 0));
}

#[test]
fn unknown_device_is_admitted_by_the_enrolment_it_shows() {
    let mut nodes = settled(1);
    let backup = nodes[0].clone();
    let late = nodes[0].enrol(2, &["ST01"]);
    nodes.push(late);
    nodes[2].write(&month("ST01", 6));
    Link::run(&mut nodes, 2, 0).assert_finished();
    nodes[2].write(&month("ST01", 6));
    nodes[2].write(&month("ST01", 2));
    // The hub is brought back from before the enrolment.
    nodes[0] = backup;
    nodes[0].restore(qianmo_protocol::ids::Epoch([2; 16]));
    nodes[0].decide(Decision::AdoptionComplete { epoch: qianmo_protocol::ids::Epoch([2; 16]) });
    let link = Link::run(&mut nodes, 2, 0);
    link.assert_finished();
    assert_eq!(nodes[2].vectors(), nodes[0].vectors(), "all in one session");
    assert!(link.round_trips() <= 4, "{}: {:?} {:?}", link.round_trips(), link.seen(0).sent, link.seen(1).sent);
    assert_eq!(Link::run(&mut nodes, 2, 0).round_trips(), 1);
}

#[test]
fn revoked_device_delivers_and_is_given_no_packs() {
    let mut nodes = settled(2);
    let device = nodes[1].device();
    nodes[2].write(&month("ST01", 6));
    Link::run(&mut nodes, 2, 0).assert_finished();
    nodes[0].decide(Decision::Revoke { device, reason: 1, tips: BTreeSet::new() });
    nodes[1].write(&month("ST01", 6));
    nodes[1].write(&month("ST01", 2));
    let before = nodes[1].hashes();
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(nodes[1].hashes(), before, "no pack comes to it");
    assert_eq!(link.seen(0).acked, 2);
    assert!(before.is_subset(&nodes[0].hashes()), "all of its own is taken");
    let (packs, control, _) = told(&link, 1);
    assert_eq!((packs, control), (0, 1), "it learns that it is revoked");
    // Nothing changes when it stays: news is control entries alone.
    let mut link = Link::open(&mut nodes, 1, 0, Stay::Subscribe);
    link.settle(&mut nodes);
    assert!(link.seen(1).subscribed);
    let news = nodes[0].write(&month("ST01", 6));
    nodes[0].decide(Decision::MinimumVersion { version: 1 });
    let taken = link.session(1).handle_news(&nodes[0], &[(month("ST01", 6), news)]);
    link.pump(&mut nodes, 1);
    link.settle(&mut nodes);
    assert_eq!(taken, Taken::Yes);
    assert_eq!(link.seen(1).sent, ["Welcome", "Push", "Control"]);
}

/// A hub restored from a backup takes from all, and gives only to devices that the administrator has confirmed (A15).
#[test]
fn device_not_confirmed_after_a_restore_uploads_until_it_is() {
    let mut nodes = settled(2);
    let backup = nodes[0].clone();
    nodes[1].write(&month("ST01", 6));
    Link::run(&mut nodes, 1, 0).assert_finished();
    nodes[2].write(&month("ST01", 6));
    Link::run(&mut nodes, 2, 0).assert_finished();
    nodes[0] = backup;
    let epoch = qianmo_protocol::ids::Epoch([2; 16]);
    nodes[0].restore(epoch);
    let news = nodes[0].enrol(3, &["ST01"]);
    nodes.push(news);
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(told(&link, 1).0, 0);
    let mine = nodes[1].hashes();
    assert!(mine.is_subset(&nodes[0].hashes()), "what was lost is back");
    Link::run(&mut nodes, 2, 0).assert_finished();
    assert_eq!(nodes[1].hashes(), mine);
    let device = nodes[1].device();
    nodes[0].decide(Decision::Confirm { device });
    Link::run(&mut nodes, 1, 0).assert_finished();
    assert_eq!(nodes[1].vectors(), nodes[0].vectors());
}

/// The initiator once sent everything to whoever answered; between tablets both sides look at the other's rights (I23).
#[test]
fn tablet_tells_another_only_what_that_one_may_read() {
    let mut hub = Store::hub();
    let both = hub.enrol(1, &["ST01", "ST02"]);
    let one = hub.enrol(2, &["ST02"]);
    let mut nodes = vec![both, one];
    // Both know both enrolments.
    let entries =
        qianmo_protocol::session::Shelf::control(&hub).iter().map(|(_, entry)| entry.clone()).collect::<Vec<_>>();
    nodes[0].adopt(entries);
    nodes[0].live = vec![month("ST01", 6), month("ST02", 6)];
    nodes[1].live = nodes[0].live.clone();
    for name in [month("ST01", 6), month("ST02", 6), month("ST01", 1), month("ST02", 1)] {
        nodes[0].write(&name);
    }
    for (initiator, responder) in [(0, 1), (1, 0)] {
        let mut pair = nodes.clone();
        let link = Link::run(&mut pair, initiator, responder);
        link.assert_finished();
        assert!(pair[1].hashes_in(&month("ST01", 6)).is_empty() && pair[1].hashes_in(&month("ST01", 1)).is_empty());
        assert_eq!(pair[1].hashes_in(&month("ST02", 6)).len(), 1);
        assert_eq!(pair[1].hashes_in(&month("ST02", 1)).len(), 1);
        let sent = &link.seen(usize::from(initiator != 0)).messages;
        let mentions = sent.iter().any(|message| match message {
            Message::Hello(hello) => hello.vectors.iter().any(|(name, _)| *name == month("ST01", 6)),
            _ => false,
        });
        assert!(!mentions);
        let again = Link::run(&mut pair, initiator, responder);
        again.assert_finished();
        assert_eq!(again.round_trips(), 1);
    }
}

#[test]
fn right_that_ends_during_a_session_ends_the_sending() {
    let mut nodes = settled(2);
    nodes[2].write(&month("ST01", 2));
    Link::run(&mut nodes, 2, 0).assert_finished();
    let mut link = Link::open(&mut nodes, 1, 0, Stay::Leave);
    while link.step(&mut nodes, 1) {}
    let device = nodes[1].device();
    nodes[0].decide(Decision::Revoke { device, reason: 1, tips: BTreeSet::new() });
    let before = nodes[1].hashes();
    link.settle(&mut nodes);
    assert_eq!(nodes[1].hashes(), before);
    assert_eq!(told(&link, 1).0, 0);
}
