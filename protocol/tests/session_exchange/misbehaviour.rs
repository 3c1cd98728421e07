//! Peers that break the rules, and sessions that must end all the same.

use qianmo_protocol::ids::{BlobHash, DeviceId, EntryHash, Incarnation, LogId, LogbookName};
use qianmo_protocol::session::message::{
    Ack, Blob, Bye, ByeReason, Hello, Message, Refuse, RefuseCode, Turn, Vectors, Welcome,
};
use qianmo_protocol::session::{Effect, PeerMisbehaved, Session, SessionError, Stay};
use qianmo_protocol::vector::{Locator, Selection};

use crate::link::Link;
use crate::store::{Store, month};
use crate::turns::settled;

fn hello(versions: (u16, u16)) -> Message {
    Message::Hello(Hello {
        versions,
        control_heads: Vec::new(),
        epoch: None,
        selection: Selection::everything(),
        rest_digest: [0; 32],
        vectors: Vec::new(),
        follow: 0,
        about: None,
    })
}

fn welcome(version: u16) -> Message {
    Message::Welcome(Box::new(Welcome {
        version,
        hub: None,
        beacon: None,
        control_heads: Vec::new(),
        agreed: None,
        digests: None,
        turn: Turn::default(),
    }))
}

fn vectors(more: bool, follow: usize) -> Message {
    Message::Vectors(Vectors { control_heads: Vec::new(), turn: Turn { more, follow, ..Turn::default() } })
}

fn need_ancestors() -> Message {
    let log = LogId { device: DeviceId([1; 8]), incarnation: Incarnation([1; 8]) };
    Message::NeedAncestors(LogbookName::OrgDirectory, Locator { log, steps: Vec::new() })
}

fn refuse() -> Message {
    Message::Refuse(Refuse { pack8: [1; 8], code: RefuseCode::Quota })
}

fn blob() -> Message {
    Message::Blob(Blob::Want { hash: BlobHash([1; 32]), from: 0, to: 1 })
}

fn push() -> Message {
    Message::Push { beacon: None, follow: 0 }
}

fn bye() -> Message {
    Message::Bye(Bye { reason: ByeReason::Done, retry_after_ms: None })
}

fn assert_out_of_place(session: &mut Session, message: Message) {
    let name = message.name();
    match session.handle_message(message) {
        Err(SessionError::PeerMisbehaved(PeerMisbehaved::OutOfPlace { message, .. })) => assert_eq!(message, name),
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn message_out_of_place_is_misbehaviour() {
    let nodes = settled(1);
    let peer = DeviceId([9; 8]);
    let pack = || {
        let Message::Pack(pack) = a_pack() else { panic!("a pack") };
        Message::Pack(pack)
    };
    let for_a_responder =
        [welcome(1), vectors(false, 0), push(), Message::Subscribe, pack(), need_ancestors(), refuse(), blob()];
    for message in for_a_responder {
        assert_out_of_place(&mut Session::respond(peer), message);
    }
    assert_out_of_place(&mut Session::respond(peer), Message::Control(Vec::new()));
    let opening = nodes[1].opening(qianmo_protocol::session::Toward::Hub, Stay::Leave);
    let for_an_initiator = [
        hello((1, 1)),
        vectors(false, 0),
        push(),
        Message::Subscribe,
        pack(),
        need_ancestors(),
        refuse(),
        blob(),
        Message::Control(Vec::new()),
    ];
    for message in for_an_initiator {
        assert_out_of_place(&mut Session::initiate(&nodes[1], peer, &opening), message);
    }
    // An acknowledgement may come at any time, before the welcome too.
    let mut session = Session::initiate(&nodes[1], peer, &opening);
    session.handle_message(Message::Ack(Ack { epoch: None, items: Vec::new() })).unwrap();
    session.handle_message(welcome(1)).unwrap();
    assert_out_of_place(&mut session, welcome(1));
    // A second header before the turn is over, or one message more than was announced.
    let mut session = Session::respond(peer);
    session.handle_message(hello((1, 1))).unwrap();
    assert_out_of_place(&mut session, hello((1, 1)));
    assert_out_of_place(&mut session, vectors(false, 0));
    assert_out_of_place(&mut session, pack());
    // Nothing follows a goodbye.
    let mut session = Session::initiate(&nodes[1], peer, &opening);
    session.handle_message(bye()).unwrap();
    assert_out_of_place(&mut session, welcome(1));
    assert_out_of_place(&mut session, bye());
}

fn a_pack() -> Message {
    let mut hub = Store::hub();
    let mut tablet = hub.enrol(1, &["ST01"]);
    let hash = tablet.write(&month("ST01", 6));
    Message::Pack(qianmo_protocol::session::Shelf::pack(&tablet, &month("ST01", 6), &hash).unwrap())
}

#[test]
fn push_and_subscribe_have_their_place_only_after_the_exchange() {
    let mut nodes = settled(1);
    let mut link = Link::open(&mut nodes, 1, 0, Stay::Leave);
    link.step(&mut nodes, 1);
    // The hub has answered; its peer has not subscribed and is pushed nothing.
    assert_eq!(link.session(1).handle_news(&nodes[0], &[]), qianmo_protocol::session::Taken::NotNow);
    link.settle(&mut nodes);
    let opening = nodes[1].opening(qianmo_protocol::session::Toward::Hub, Stay::Leave);
    let mut session = Session::initiate(&nodes[1], DeviceId([9; 8]), &opening);
    session.handle_message(welcome(1)).unwrap();
    assert_out_of_place(&mut session, push());
}

#[test]
fn message_that_crosses_our_goodbye_is_let_go() {
    let mut nodes = settled(1);
    let mut link = Link::open(&mut nodes, 1, 0, Stay::Leave);
    link.session(0).leave(Bye { reason: ByeReason::Later, retry_after_ms: Some(5_000) });
    link.pump(&mut nodes, 0);
    link.settle(&mut nodes);
    assert_eq!(link.seen(0).finished, 0);
    assert_eq!(link.seen(0).sent, ["Hello", "Bye"]);
    assert_eq!(link.seen(1).peer_left.map(|bye| bye.retry_after_ms), Some(Some(5_000)));
    // A goodbye is said once.
    link.session(0).leave(Bye { reason: ByeReason::Done, retry_after_ms: None });
    link.pump(&mut nodes, 0);
    assert_eq!(link.seen(0).sent.len(), 2);
}

#[test]
fn peer_of_another_version_is_incompatible() {
    let nodes = settled(1);
    let peer = DeviceId([9; 8]);
    for versions in [(2, 9), (0, 0), (9, 1)] {
        let refused = Session::respond(peer).handle_message(hello(versions));
        let Err(SessionError::PeerIncompatible { theirs_min, theirs_max, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!((theirs_min, theirs_max), versions);
    }
    assert_eq!(Session::respond(peer).handle_message(hello((0, 9))), Ok(()));
    let opening = nodes[1].opening(qianmo_protocol::session::Toward::Hub, Stay::Leave);
    // What was chosen must be something that was offered.
    let refused = Session::initiate(&nodes[1], peer, &opening).handle_message(welcome(2));
    assert!(matches!(refused, Err(SessionError::PeerIncompatible { theirs_min: 2, .. })), "{refused:?}");
}

/// Answers every turn of an initiator until it has had enough; gives the turns it took.
fn answer_forever(nodes: &[Store], mut answer: impl FnMut(usize) -> Vec<Message>) -> (Session, usize, bool) {
    let opening = nodes[1].opening(qianmo_protocol::session::Toward::Hub, Stay::Leave);
    let mut session = Session::initiate(&nodes[1], DeviceId([9; 8]), &opening);
    let mut has_finished = false;
    for turn in 0..10_000 {
        let mut is_asked = false;
        while let Some(effect) = session.poll_effect() {
            match effect {
                Effect::Send(Message::Hello(_) | Message::Vectors(_)) => is_asked = true,
                Effect::Send(Message::Bye(bye)) => {
                    assert_eq!(bye.reason == ByeReason::Done, has_finished);
                    return (session, turn, has_finished);
                }
                Effect::Judge => session.handle_judged(&nodes[1], Vec::new()),
                Effect::Adopt(_) => session.handle_adopted(),
                Effect::Store(packs) => {
                    let mut store = nodes[1].clone();
                    let outcomes: Vec<_> = packs.into_iter().map(|pack| store.take(pack)).collect();
                    session.handle_stored(&nodes[1], &outcomes);
                }
                Effect::Finished => has_finished = true,
                _ => {}
            }
        }
        assert!(is_asked);
        for message in answer(turn) {
            session.handle_message(message).unwrap();
            if let Some(effect) = session.poll_effect() {
                // Effects that need an answer come one at a time here; the loop above takes the rest.
                match effect {
                    Effect::Judge => session.handle_judged(&nodes[1], Vec::new()),
                    Effect::Adopt(_) => session.handle_adopted(),
                    Effect::Store(packs) => {
                        let mut store = nodes[1].clone();
                        let outcomes: Vec<_> = packs.into_iter().map(|pack| store.take(pack)).collect();
                        session.handle_stored(&nodes[1], &outcomes);
                    }
                    _ => {}
                }
            }
        }
    }
    panic!("no end");
}

#[test]
fn peer_that_always_says_more_is_left() {
    let nodes = settled(1);
    let (mut session, turns, has_finished) = answer_forever(&nodes, |turn| {
        if turn > 0 {
            return vec![vectors(true, 0)];
        }
        let Message::Welcome(mut first) = welcome(1) else { panic!("a welcome") };
        first.turn.more = true;
        vec![Message::Welcome(first)]
    });
    assert!(turns <= 5, "{turns} turns");
    assert!(!has_finished, "it must not look as if all had been exchanged");
    let late = session.handle_message(vectors(true, 0));
    assert!(matches!(late, Err(SessionError::PeerMisbehaved(PeerMisbehaved::NoProgress { .. }))), "{late:?}");
}

#[test]
fn peer_that_states_heads_it_never_sends_is_left() {
    let nodes = settled(1);
    let (_, turns, has_finished) = answer_forever(&nodes, |turn| {
        if turn > 0 {
            return vec![vectors(false, 0)];
        }
        let Message::Welcome(mut first) = welcome(1) else { panic!("a welcome") };
        first.control_heads = vec![EntryHash([9; 32])];
        vec![Message::Welcome(first)]
    });
    assert!(turns <= 6 && !has_finished, "{turns} turns");
}

/// Every turn brings a pack that is held already: it never looks idle, and must still end.
#[test]
fn peer_that_sends_the_same_pack_for_ever_is_left_in_the_end() {
    let nodes = settled(1);
    let pack = a_pack();
    let (_, turns, has_finished) = answer_forever(&nodes, |turn| {
        if turn > 0 {
            return vec![vectors(true, 1), pack.clone()];
        }
        let Message::Welcome(mut first) = welcome(1) else { panic!("a welcome") };
        first.turn.more = true;
        vec![Message::Welcome(first)]
    });
    assert!(turns <= qianmo_protocol::limits::TURNS_MAX + 2 && !has_finished, "{turns} turns");
}

/// A pack that the hub has no room for was offered again in every turn of the session, thousands of times.
#[test]
fn pack_refused_for_want_of_room_waits_for_another_session() {
    let mut nodes = settled(1);
    let hash = nodes[1].write(&month("ST01", 6));
    let next = nodes[1].write(&month("ST01", 6));
    nodes[0].no_room_for.insert(hash);
    let link = Link::run(&mut nodes, 1, 0);
    link.assert_finished();
    assert!(link.round_trips() <= 4, "{:?}", link.seen(0).sent);
    assert!(!nodes[0].hashes().contains(&hash) && !nodes[0].hashes().contains(&next));
    assert_eq!(nodes[1].unreceipted().len(), 2, "both still wait");
    nodes[0].no_room_for.clear();
    Link::run(&mut nodes, 1, 0).assert_finished();
    assert_eq!(nodes[0].vectors(), nodes[1].vectors());
}

/// One question is as good as a thousand: the same log asked for again and again costs no memory.
#[test]
fn question_asked_many_times_is_answered_once() {
    let mut nodes = settled(1);
    for _ in 0..50 {
        nodes[0].write_as_hub(&month("ST01", 6));
    }
    let log = nodes[0].own_log();
    let mut session = Session::respond(nodes[1].device());
    let Message::Hello(mut first) = hello((1, 1)) else { panic!("a hello") };
    first.control_heads = qianmo_protocol::session::Shelf::control(&nodes[0]).heads().iter().copied().collect();
    first.follow = 5_000;
    session.handle_message(Message::Hello(first)).unwrap();
    for _ in 0..5_000 {
        let ask = Message::NeedAncestors(month("ST01", 6), Locator { log, steps: Vec::new() });
        session.handle_message(ask).unwrap();
    }
    let mut packs = 0;
    while let Some(effect) = session.poll_effect() {
        match effect {
            Effect::Judge => session.handle_judged(&nodes[0], Vec::new()),
            Effect::Send(Message::Pack(_)) => packs += 1,
            _ => {}
        }
    }
    assert_eq!(packs, 50);
}
