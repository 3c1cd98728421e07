//! Subscriptions: news comes by itself, and nothing depends on it.

use qianmo_protocol::control::{Decision, FormVersion};
use qianmo_protocol::ids::{LogbookName, PackHash};
use qianmo_protocol::session::message::RefuseCode;
use qianmo_protocol::session::{Shelf, Stay, Taken};

use crate::link::Link;
use crate::store::{Store, code, month};
use crate::turns::settled;

/// Two tablets that stay connected to the hub.
fn subscribed() -> (Vec<Store>, [Link; 2]) {
    let mut nodes = settled(2);
    let links = [1, 2].map(|tablet| {
        let mut link = Link::open(&mut nodes, tablet, 0, Stay::Subscribe);
        link.settle(&mut nodes);
        link.assert_finished();
        assert!(link.seen(1).subscribed);
        link
    });
    (nodes, links)
}

fn push(nodes: &mut [Store], link: &mut Link, news: &[(LogbookName, PackHash)]) {
    assert_eq!(link.session(1).handle_news(&nodes[0], news), Taken::Yes);
    link.pump(nodes, 1);
}

fn say(nodes: &mut [Store], link: &mut Link) {
    let node = link.nodes().0;
    let news = nodes[node].unreceipted();
    assert_eq!(link.session(0).handle_local_news(&nodes[node], &news), Taken::Yes);
    link.pump(nodes, 0);
    link.settle(nodes);
}

#[test]
fn news_of_one_tablet_reaches_the_other_while_both_stay() {
    let (mut nodes, [mut first, mut second]) = subscribed();
    for round in 0..3u64 {
        let hash = nodes[1].write(&month("ST01", 6));
        say(&mut nodes, &mut first);
        assert!(nodes[1].receipted.contains(&hash));
        nodes[0].sequence = round + 7;
        push(&mut nodes, &mut second, &[(month("ST01", 6), hash)]);
        second.settle(&mut nodes);
        assert_eq!(nodes[2].vectors(), nodes[0].vectors());
        assert_eq!(second.seen(0).beacon.as_ref().map(|beacon| beacon.content().sequence), Some(round + 7));
    }
    assert_eq!(first.seen(0).finished, 4, "each turn of news ends by itself");
    assert_eq!(second.tally(0).turns_received, 1, "pushes are no turns");
}

#[test]
fn control_entry_is_pushed_before_the_pack_that_needs_it() {
    let (mut nodes, [_, mut second]) = subscribed();
    let fresh = nodes[0].enrol(3, &["ST01"]);
    nodes.push(fresh);
    let hash = nodes[3].write(&month("ST01", 6));
    Link::run(&mut nodes, 3, 0).assert_finished();
    push(&mut nodes, &mut second, &[(month("ST01", 6), hash)]);
    second.settle(&mut nodes);
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
    assert_eq!(nodes[2].control().heads(), nodes[0].control().heads());
    assert!(second.seen(0).refused.is_empty() && second.seen(1).refused.is_empty());
}

/// A hub under load skips news; the next push was then refused here, but the hub never heard of it and did not send the
/// pack again.
#[test]
fn push_that_does_not_fit_is_made_good_in_the_same_session() {
    let (mut nodes, [mut first, mut second]) = subscribed();
    nodes[1].write(&month("ST01", 6));
    say(&mut nodes, &mut first);
    let next = nodes[1].write(&month("ST01", 6));
    say(&mut nodes, &mut first);
    push(&mut nodes, &mut second, &[(month("ST01", 6), next)]);
    second.settle(&mut nodes);
    let codes: Vec<_> = second.seen(1).refused.iter().map(|refuse| refuse.code).collect();
    assert_eq!(codes, [RefuseCode::MissingPrev]);
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
}

#[test]
fn dropping_every_push_changes_nothing_in_the_end() {
    let mut ends = Vec::new();
    for loses_pushes in [false, true] {
        let (mut nodes, [mut first, mut second]) = subscribed();
        second.loses_pushes = loses_pushes;
        for version in 2..6 {
            let hash = nodes[1].write(&month("ST01", 6));
            nodes[0].decide(Decision::Form(FormVersion { form: code("visit"), version, hash: [1; 32] }));
            say(&mut nodes, &mut first);
            push(&mut nodes, &mut second, &[(month("ST01", 6), hash)]);
            second.settle(&mut nodes);
        }
        assert_eq!(nodes[2].vectors() == nodes[0].vectors(), !loses_pushes);
        Link::run(&mut nodes, 2, 0).assert_finished();
        Link::run(&mut nodes, 1, 0).assert_finished();
        assert!(nodes.iter().all(|node| node.vectors() == nodes[0].vectors()));
        assert!(nodes.iter().all(|node| node.control().heads() == nodes[0].control().heads()));
        ends.push((nodes[0].vectors(), nodes[0].control().heads().clone()));
    }
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn more_news_than_a_push_takes_goes_with_the_next() {
    let (mut nodes, [_, mut second]) = subscribed();
    let news: Vec<_> = (0..1_100).map(|_| (month("ST01", 6), nodes[0].write_as_hub(&month("ST01", 6)))).collect();
    push(&mut nodes, &mut second, &news);
    second.settle(&mut nodes);
    assert_ne!(nodes[2].vectors(), nodes[0].vectors());
    push(&mut nodes, &mut second, &[]);
    second.settle(&mut nodes);
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
}

#[test]
fn news_is_not_taken_in_the_middle_of_a_turn() {
    let (mut nodes, [mut first, _]) = subscribed();
    nodes[1].write(&month("ST01", 6));
    let news = nodes[1].unreceipted();
    assert_eq!(first.session(0).handle_local_news(&nodes[1], &news), Taken::Yes);
    assert_eq!(first.session(0).handle_local_news(&nodes[1], &news), Taken::NotNow, "the answer is still to come");
    assert_eq!(first.session(0).handle_news(&nodes[1], &[]), Taken::NotNow, "an initiator does not push");
    assert_eq!(first.session(1).handle_local_news(&nodes[0], &[]), Taken::NotNow);
    first.pump(&mut nodes, 0);
    first.settle(&mut nodes);
    assert_eq!(nodes[1].vectors(), nodes[0].vectors());
}
