//! How many round trips and bytes a session costs.

use std::collections::BTreeSet;

use qianmo_protocol::control::{Decision, FormVersion};
use qianmo_protocol::ids::{Incarnation, LogbookName};
use qianmo_protocol::limits::{HELLO_VECTORS_BYTES_MAX, PACKS_PER_TURN_MAX};
use qianmo_protocol::session::message::Message;
use qianmo_protocol::vector::{Selection, Stations};

use crate::link::Link;
use crate::store::{Store, code, directory, month};

const STATIONS: [&str; 1] = ["ST01"];

/// A hub and some tablets of one station, all holding the same; each tablet has written into every live logbook.
pub(crate) fn settled(tablets: u8) -> Vec<Store> {
    let mut nodes = vec![Store::hub()];
    for byte in 1..=tablets {
        let tablet = nodes[0].enrol(byte, &STATIONS);
        nodes.push(tablet);
    }
    for tablet in 1..nodes.len() {
        for name in nodes[tablet].live.clone() {
            nodes[tablet].write(&name);
        }
        nodes[tablet].write(&month("ST01", 1));
    }
    for _ in 0..2 {
        for tablet in 1..nodes.len() {
            Link::run(&mut nodes, tablet, 0).assert_finished();
        }
    }
    let vectors = nodes[0].vectors();
    assert!(nodes.iter().all(|node| node.vectors() == vectors));
    nodes
}

#[test]
fn nothing_new_is_one_turn_each_way_and_under_a_kilobyte() {
    let mut nodes = settled(5);
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(link.seen(0).sent, ["Hello", "Bye"]);
    assert_eq!(link.seen(1).sent, ["Welcome"]);
    assert_eq!(link.round_trips(), 1);
    let Message::Hello(hello) = &link.seen(0).messages[0] else { panic!("a hello") };
    assert_eq!(hello.vectors.iter().map(|(_, vector)| vector.0.len()).collect::<Vec<_>>(), [5, 5, 5, 5]);
    let (up, down) = (link.seen(0).bytes, link.seen(1).bytes);
    println!("nothing to do: {up} bytes up, {down} down, {} together (4 live logbooks of 5 logs)", up + down);
    assert!(up + down < 1_024);
}

#[test]
fn news_in_live_logbooks_both_ways_is_one_round_trip() {
    let mut nodes = settled(2);
    nodes[2].write(&month("ST01", 6));
    Link::run(&mut nodes, 2, 0).assert_finished();
    nodes[0].decide(Decision::Form(FormVersion { form: code("visit"), version: 2, hash: [1; 32] }));
    nodes[1].write(&month("ST01", 6));
    nodes[1].write(&directory("ST01"));
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(link.round_trips(), 1);
    assert_eq!(link.seen(0).sent, ["Hello", "Pack", "Pack", "Ack", "Bye"]);
    assert_eq!(link.seen(1).sent, ["Ack", "Welcome", "Control", "Pack"]);
    assert_eq!(link.seen(0).acked, 2);
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
}

#[test]
fn late_write_into_an_old_month_is_one_round_trip() {
    let mut nodes = settled(2);
    nodes[1].write(&month("ST01", 1));
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(link.round_trips(), 1);
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
}

#[test]
fn news_in_the_rest_is_two_round_trips() {
    let mut nodes = settled(2);
    nodes[2].write(&month("ST01", 1));
    nodes[2].write(&month("ST01", 2));
    Link::run(&mut nodes, 2, 0).assert_finished();
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(link.round_trips(), 2);
    assert_eq!(link.tally(1).packs_sent, 2);
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
    assert_eq!(Link::run(&mut nodes, 1, 0).round_trips(), 1);
}

#[test]
fn fresh_tablet_is_filled_in_two_round_trips() {
    let mut nodes = settled(3);
    let fresh = nodes[0].enrol(9, &STATIONS);
    nodes.push(fresh);
    let link = Link::run(&mut nodes, 4, 0);
    link.assert_finished();
    assert_eq!(link.round_trips(), 2);
    assert_eq!(nodes[4].vectors(), nodes[0].vectors());
}

/// An initiator gave up after three turns that only brought packs, and said that it had finished.
#[test]
fn first_sync_of_many_turns_ends_only_when_everything_is_there() {
    let mut nodes = vec![Store::hub()];
    let writer = nodes[0].enrol(1, &STATIONS);
    let reader = nodes[0].enrol(2, &STATIONS);
    nodes.extend([writer, reader]);
    for _ in 0..6_200 {
        nodes[1].write(&month("ST01", 6));
    }
    // More packs than one turn may announce: they once made a hello that no peer could read.
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert!(link.seen(0).sent[1..].iter().take_while(|name| **name == "Pack").count() <= PACKS_PER_TURN_MAX);
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
    let link = Link::run(&mut nodes, 2, 0);
    link.assert_finished();
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
    assert_eq!(link.round_trips(), 7, "1024 packs a turn");
}

/// A hub has more logbooks than one message can name; the last ones were never told.
#[test]
fn more_logbooks_than_a_message_names_are_all_told() {
    let mut nodes = vec![Store::hub()];
    let writer = nodes[0].enrol(1, &STATIONS);
    nodes.push(writer);
    let names: Vec<LogbookName> = (0..4_500u16)
        .map(|n| LogbookName::StationMonth(code("ST01"), qianmo_protocol::time::Month::from_number(n % 2_400).unwrap()))
        .zip(0..4_500u16)
        .map(|(name, n)| match name {
            LogbookName::StationMonth(_, month) if n >= 2_400 => LogbookName::StationMonth(code("ST02"), month),
            other => other,
        })
        .collect();
    let both = nodes[0].enrol(2, &["ST01", "ST02"]);
    nodes.push(both);
    for name in &names {
        nodes[2].write(name);
    }
    Link::run(&mut nodes, 2, 0).assert_finished();
    assert_eq!(nodes[0].vectors().len(), 4_500);
    let fresh = nodes[0].enrol(3, &["ST01", "ST02"]);
    nodes.push(fresh);
    Link::run(&mut nodes, 3, 0).assert_finished();
    assert_eq!(nodes[3].vectors(), nodes[0].vectors());
    assert_eq!(Link::run(&mut nodes, 3, 0).round_trips(), 1);
}

/// All vectors of a restored or empty peer once went into one message, however large.
#[test]
fn vectors_larger_than_a_message_go_in_several_turns() {
    let mut nodes = vec![Store::hub()];
    let writer = nodes[0].enrol(1, &STATIONS);
    nodes.push(writer);
    for number in 0..400u16 {
        let name = LogbookName::StationMonth(code("ST01"), qianmo_protocol::time::Month::from_number(number).unwrap());
        for life in 0..30u8 {
            nodes[1].forget_own_log(&name, Incarnation([life; 8]));
            nodes[1].write(&name);
        }
    }
    let everything: BTreeSet<_> = nodes[1].hashes();
    nodes[1].receipted.clone_from(&everything);
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert_eq!(nodes[0].hashes(), everything);
}

#[test]
fn hello_carries_as_many_live_vectors_as_fit() {
    let mut nodes = vec![Store::hub()];
    let tablet = nodes[0].enrol(1, &STATIONS);
    nodes.push(tablet);
    for life in 0..60u8 {
        for name in [directory("ST01"), month("ST01", 5), month("ST01", 6)] {
            nodes[1].forget_own_log(&name, Incarnation([life; 8]));
            nodes[1].write(&name);
        }
    }
    nodes[1].write(&LogbookName::OrgDirectory);
    nodes[1].live = vec![directory("ST01"), month("ST01", 5), month("ST01", 6), LogbookName::OrgDirectory];
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    let Message::Hello(hello) = &link.seen(0).messages[0] else { panic!("a hello") };
    let names: Vec<_> = hello.vectors.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(
        names,
        [LogbookName::OrgDirectory, directory("ST01"), month("ST01", 5)],
        "what does not fit is left out"
    );
    let bytes: usize = hello.vectors.iter().map(|(_, vector)| vector.0.len() * 25).sum();
    assert!(bytes <= HELLO_VECTORS_BYTES_MAX);
}

#[test]
fn hub_narrows_a_selection_once_and_then_one_round_trip_is_enough() {
    let mut nodes = settled(1);
    let other = nodes[0].enrol(2, &["ST02"]);
    nodes.push(other);
    nodes[2].write(&month("ST02", 6));
    Link::run(&mut nodes, 2, 0).assert_finished();
    // The tablet asks for two stations, may read one, and holds a logbook of the other from earlier.
    nodes[1].write(&month("ST02", 3));
    let stations = ["ST01", "ST02"].map(code);
    nodes[1].selection = Selection { stations: Stations::These(BTreeSet::from(stations)), ..Selection::everything() };
    let first = Link::run(&mut nodes, 1, 0);
    first.assert_finished();
    let agreed = first.seen(0).agreed.clone().unwrap();
    assert_eq!(agreed.stations, Stations::These(BTreeSet::from([code("ST01")])));
    assert!(nodes[1].hashes_in(&month("ST02", 6)).is_empty());
    assert!(nodes[0].hashes_in(&month("ST02", 3)).len() == 1, "what it wrote there is taken all the same");
    let second = Link::run(&mut nodes, 1, 0);
    second.assert_finished();
    assert_eq!((second.round_trips(), second.seen(0).agreed.clone()), (1, None));
    assert_eq!(second.seen(1).sent, ["Welcome"]);
}

#[test]
fn forks_both_ways_are_asked_for_and_settled() {
    let mut nodes = settled(1);
    for _ in 0..40 {
        nodes[1].write(&month("ST01", 6));
    }
    Link::run(&mut nodes, 1, 0).assert_finished();
    // The tablet is cloned, and both go on in the same log.
    let mut clone = nodes[1].clone();
    clone.clock += 1_000_000;
    nodes.push(clone);
    for _ in 0..3 {
        nodes[1].write(&month("ST01", 6));
    }
    nodes[2].write(&directory("ST01"));
    for _ in 0..9 {
        nodes[2].write(&month("ST01", 6));
    }
    nodes[1].receipted = nodes[1].hashes();
    nodes[2].receipted = nodes[2].hashes();
    Link::run(&mut nodes, 1, 0).assert_finished();
    let link = Link::run(&mut nodes, 2, 0);
    link.assert_finished();
    assert!(link.round_trips() <= 3, "{}", link.round_trips());
    assert!(link.seen(0).sent.contains(&"NeedAncestors") || link.seen(1).sent.contains(&"NeedAncestors"));
    assert_eq!(nodes[2].vectors(), nodes[0].vectors());
    Link::run(&mut nodes, 1, 0).assert_finished();
    assert_eq!(nodes[1].vectors(), nodes[0].vectors());
    assert_eq!(Link::run(&mut nodes, 1, 0).round_trips(), 1);
}

#[test]
fn difference_of_states_is_raised_only_where_vectors_and_control_agree() {
    let mut nodes = settled(2);
    nodes[1].is_faulty = true;
    let quiet = Link::run(&mut nodes, 1, 0);
    assert!(quiet.seen(0).states_differ.is_empty(), "only what a session touched is compared");
    nodes[1].write(&month("ST01", 6));
    let link = Link::run(&mut nodes, 1, 0);
    assert_eq!(link.seen(0).states_differ, [month("ST01", 6)]);
    assert!(link.seen(1).states_differ.is_empty(), "one side says it");
    // A control entry that arrives in the same turn is known to both when they compare.
    nodes[0].decide(Decision::Form(FormVersion { form: code("visit"), version: 3, hash: [1; 32] }));
    nodes[1].write(&month("ST01", 6));
    let link = Link::run(&mut nodes, 1, 0);
    assert_eq!(link.seen(0).states_differ, [month("ST01", 6)]);
    nodes[1].is_faulty = false;
    nodes[1].write(&month("ST01", 6));
    Link::run(&mut nodes, 1, 0).assert_finished();
}
