//! Two sessions joined by byte streams, and what was seen on them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use qianmo_protocol::beacon::SignedBeacon;
use qianmo_protocol::ids::{DeviceId, LogbookName, PackHash};
use qianmo_protocol::limits::MESSAGE_BYTES_MAX;
use qianmo_protocol::session::message::{Bye, FrameReader, Message, Refuse};
use qianmo_protocol::session::{Effect, Session, SessionError, Side, Stay, Tally, Toward};
use qianmo_protocol::vector::Selection;

use crate::store::{Store, org};

/// What one side of a link did and saw.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Names of the messages sent, in order.
    pub(crate) sent: Vec<&'static str>,
    /// The messages sent, in order.
    pub(crate) messages: Vec<Message>,
    pub(crate) bytes: usize,
    pub(crate) finished: usize,
    pub(crate) refused: Vec<Refuse>,
    pub(crate) agreed: Option<Selection>,
    pub(crate) states_differ: Vec<LogbookName>,
    pub(crate) subscribed: bool,
    pub(crate) peer_left: Option<Bye>,
    pub(crate) acked: usize,
    pub(crate) beacon: Option<SignedBeacon>,
    packs: BTreeMap<PackHash, usize>,
    had_pack_in_turn: bool,
}

struct End {
    node: usize,
    side: Side,
    session: Session,
    reader: FrameReader,
    /// Frames on their way to this end.
    arriving: VecDeque<Vec<u8>>,
    seen: Seen,
    /// Messages of a lost push that are still to be lost.
    to_lose: usize,
}

/// A session between two of the nodes.
pub(crate) struct Link {
    ends: [End; 2],
    /// Whether pushes get lost on the way.
    pub(crate) loses_pushes: bool,
}

fn end(node: usize, side: Side, session: Session) -> End {
    End {
        node,
        side,
        session,
        reader: FrameReader::default(),
        arriving: VecDeque::new(),
        seen: Seen::default(),
        to_lose: 0,
    }
}

/// The id under which a peer is known: a hub's is that of its TLS key, which no control entry enrols.
fn id_of(node: &Store) -> DeviceId {
    if node.hub.is_some() { DeviceId([0xbb; 8]) } else { node.device() }
}

impl Link {
    pub(crate) fn open(nodes: &mut [Store], initiator: usize, responder: usize, stay: Stay) -> Self {
        let toward = if nodes[responder].hub.is_some() { Toward::Hub } else { Toward::Tablet };
        let opening = nodes[initiator].opening(toward, stay);
        let first = Session::initiate(&nodes[initiator], id_of(&nodes[responder]), &opening);
        let second = Session::respond(id_of(&nodes[initiator]));
        let ends = [end(initiator, Side::Initiator, first), end(responder, Side::Responder, second)];
        let mut link = Self { ends, loses_pushes: false };
        link.pump(nodes, 0);
        link
    }

    /// A whole session, until nothing is under way.
    pub(crate) fn run(nodes: &mut [Store], initiator: usize, responder: usize) -> Self {
        let mut link = Self::open(nodes, initiator, responder, Stay::Leave);
        link.settle(nodes);
        link
    }

    pub(crate) fn settle(&mut self, nodes: &mut [Store]) {
        for _ in 0..1_000_000 {
            if !self.step(nodes, 0) && !self.step(nodes, 1) {
                return;
            }
        }
        panic!("the session does not end");
    }

    /// Delivers one frame to an end; false when none is under way.
    pub(crate) fn step(&mut self, nodes: &mut [Store], to: usize) -> bool {
        let Some(frame) = self.ends[to].arriving.pop_front() else { return false };
        let half = frame.len() / 2;
        for part in [&frame[..half], &frame[half..]] {
            self.ends[to].reader.push(part);
            while let Some(message) = self.ends[to].reader.next_message().unwrap() {
                self.ends[to].session.handle_message(message).unwrap();
                self.pump(nodes, to);
            }
        }
        true
    }

    /// Gives an end a message that its peer did not send.
    pub(crate) fn inject(&mut self, nodes: &mut [Store], to: usize, message: Message) -> Result<(), SessionError> {
        self.ends[to].session.handle_message(message)?;
        self.pump(nodes, to);
        Ok(())
    }

    pub(crate) fn session(&mut self, at: usize) -> &mut Session {
        &mut self.ends[at].session
    }

    /// Carries out what an end wants.
    pub(crate) fn pump(&mut self, nodes: &mut [Store], at: usize) {
        while let Some(effect) = self.ends[at].session.poll_effect() {
            let own = &mut self.ends[at];
            let node = &mut nodes[own.node];
            match effect {
                Effect::Send(message) => self.send(at, message),
                Effect::Adopt(entries) => {
                    node.adopt(entries);
                    own.session.handle_adopted();
                }
                Effect::Store(packs) => {
                    let outcomes: Vec<_> = packs.into_iter().map(|pack| node.take(pack)).collect();
                    own.session.handle_stored(node, &outcomes);
                }
                Effect::Judge => own.session.handle_judged(node, Vec::new()),
                Effect::Beacon(beacon) => own.seen.beacon = Some(beacon),
                Effect::Receipt(_) => {}
                Effect::Acked(ack) => {
                    own.seen.acked += ack.items.len();
                    if ack.epoch.is_some() {
                        let short: BTreeSet<[u8; 8]> = ack.items.iter().map(|(pack8, _)| *pack8).collect();
                        let all = node.hashes();
                        node.receipted.extend(all.into_iter().filter(|hash| short.contains(&hash.head8())));
                    }
                }
                Effect::Refused(refuse) => own.seen.refused.push(refuse),
                Effect::Agreed(selection) => {
                    node.selection = selection.clone();
                    own.seen.agreed = Some(selection);
                }
                Effect::Epoch(_, epoch) => {
                    if node.seen_epoch.replace(epoch) != Some(epoch) {
                        node.receipted.clear();
                    }
                }
                Effect::StateDiffers(name) => own.seen.states_differ.push(name),
                Effect::Finished => own.seen.finished += 1,
                Effect::Subscribed => own.seen.subscribed = true,
                Effect::PeerLeft(bye) => own.seen.peer_left = Some(bye),
            }
        }
    }

    /// Puts a message on its way, and checks what must hold for every message there is.
    fn send(&mut self, at: usize, message: Message) {
        let frame = message.encode_frame();
        assert!(frame.len() <= MESSAGE_BYTES_MAX + 4, "{} of {} bytes", message.name(), frame.len());
        let refused_by_peer: Vec<[u8; 8]> = self.ends[at].seen.refused.iter().map(|refuse| refuse.pack8).collect();
        let seen = &mut self.ends[at].seen;
        match &message {
            Message::Pack(pack) => {
                let hash = pack.hash(&org());
                let times = seen.packs.entry(hash).or_insert(0);
                *times += 1;
                assert!(
                    *times <= 1 + usize::from(refused_by_peer.contains(&hash.head8())),
                    "{hash} sent {times} times"
                );
                seen.had_pack_in_turn = true;
            }
            Message::Control(_) => assert!(!seen.had_pack_in_turn, "control entries come before packs"),
            Message::Hello(_) | Message::Welcome(_) | Message::Vectors(_) | Message::Push { .. } => {
                seen.had_pack_in_turn = false;
            }
            Message::Ack(_)
            | Message::Refuse(_)
            | Message::NeedAncestors(..)
            | Message::Subscribe
            | Message::Blob(_)
            | Message::Bye(_)
            | Message::Receipt(_) => {}
        }
        seen.sent.push(message.name());
        seen.bytes += frame.len();
        seen.messages.push(message.clone());
        let is_lost = if let Message::Push { follow, .. } = &message {
            self.ends[at].to_lose = if self.loses_pushes { *follow } else { 0 };
            self.loses_pushes
        } else if matches!(message, Message::Pack(_) | Message::Control(_)) && self.ends[at].to_lose > 0 {
            self.ends[at].to_lose -= 1;
            true
        } else {
            false
        };
        if !is_lost {
            self.ends[1 - at].arriving.push_back(frame);
        }
    }

    pub(crate) fn tally(&self, at: usize) -> Tally {
        self.ends[at].session.tally()
    }

    pub(crate) fn seen(&self, at: usize) -> &Seen {
        &self.ends[at].seen
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.ends.iter().all(|end| end.arriving.is_empty())
    }

    pub(crate) fn nodes(&self) -> (usize, usize) {
        (self.ends[0].node, self.ends[1].node)
    }

    /// Turns of the responder: the round trips after the connection.
    pub(crate) fn round_trips(&self) -> usize {
        self.tally(0).turns_received
    }

    /// A session that ended well: the initiator found nothing left and said so.
    pub(crate) fn assert_finished(&self) {
        let seen = self.seen(0);
        assert!(seen.finished > 0, "not finished: {:?} / {:?}", seen.sent, self.seen(1).sent);
        assert_eq!(self.ends[0].side, Side::Initiator);
        assert!(seen.states_differ.is_empty() && self.seen(1).states_differ.is_empty());
    }
}
