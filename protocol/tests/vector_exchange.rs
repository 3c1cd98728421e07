//! Vectors: two replicas that exchange plans and locators come to hold the same, and send no more than they must.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "test harness: a failed step is the failure"
)]

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use qianmo_protocol::ids::{Code, DeviceId, Incarnation, LogId, LogbookName, OrgId, PackHash, digest32};
use qianmo_protocol::time::Month;
use qianmo_protocol::vector::{
    LogTrees, PackNode, Selection, Stations, Tip, Vector, beyond_locator, locator, plan, selection_digest,
};
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

const BOOK: LogbookName = LogbookName::OrgDirectory;

fn log(device: u8) -> LogId {
    LogId { device: DeviceId([device; 8]), incarnation: Incarnation([1; 8]) }
}

fn pack(log: &LogId, seq: u32, branch: u8) -> PackHash {
    PackHash(digest32("test pack", &[&log.device.0, &seq.to_be_bytes(), &[branch]]))
}

/// One replica's packs. It counts how often it is asked.
#[derive(Debug, Clone, Default)]
struct Trees {
    nodes: BTreeMap<PackHash, (LogId, PackNode)>,
    places: BTreeMap<(LogId, u32), BTreeSet<PackHash>>,
    tips: BTreeSet<Tip>,
    calls: Cell<usize>,
}

impl Trees {
    fn add(&mut self, log: LogId, node: PackNode) {
        if self.nodes.contains_key(&node.hash) {
            return;
        }
        assert!(node.seq == 0 || self.nodes.contains_key(&node.prev), "a pack came before its ancestor");
        let commit = u64::try_from(self.nodes.len()).unwrap();
        self.nodes.insert(node.hash, (log, PackNode { commit, ..node }));
        self.places.entry((log, node.seq)).or_default().insert(node.hash);
        if node.seq > 0 {
            self.tips.remove(&Tip { log, seq: node.seq - 1, head: node.prev });
        }
        self.tips.insert(Tip { log, seq: node.seq, head: node.hash });
    }

    fn vector(&self) -> Vector {
        Vector(self.tips.clone())
    }

    fn hashes(&self) -> BTreeSet<PackHash> {
        self.nodes.keys().copied().collect()
    }

    fn count(&self) {
        self.calls.set(self.calls.get() + 1);
    }
}

impl LogTrees for Trees {
    fn tips(&self, _: &LogbookName) -> Vec<Tip> {
        self.count();
        self.tips.iter().copied().collect()
    }

    fn node(&self, _: &LogbookName, hash: &PackHash) -> Option<PackNode> {
        self.count();
        self.nodes.get(hash).map(|(_, node)| *node)
    }

    fn nodes_at(&self, _: &LogbookName, log: &LogId, seq: u32) -> Vec<PackNode> {
        self.count();
        let hashes = self.places.get(&(*log, seq)).into_iter().flatten();
        hashes.filter_map(|hash| self.nodes.get(hash)).map(|(_, node)| *node).collect()
    }
}

/// All packs there are: each log a chain, or a tree with up to four tips.
fn universe(rng: &mut ChaCha8Rng, devices: u8, forks: u8) -> Vec<(LogId, PackNode)> {
    let mut all = Vec::new();
    for device in 1..=devices {
        let log = log(device);
        let mut of_log: Vec<PackNode> = Vec::new();
        for branch in 0..=rng.random_range(0..=forks) {
            let from = if branch == 0 { None } else { of_log.choose(rng).copied() };
            let (mut prev, first) = from.map_or((PackHash::NONE, 0), |node| (node.hash, node.seq + 1));
            for seq in first..first + rng.random_range(1..40) {
                let node = PackNode { hash: pack(&log, seq, branch), prev, seq, commit: 0 };
                prev = node.hash;
                of_log.push(node);
            }
        }
        all.extend(of_log.into_iter().map(|node| (log, node)));
    }
    all
}

/// A replica that holds some of the packs and all their ancestors, taken in any order that has ancestors first.
fn holder(rng: &mut ChaCha8Rng, all: &[(LogId, PackNode)]) -> Trees {
    let by_hash: BTreeMap<PackHash, (LogId, PackNode)> =
        all.iter().map(|(log, node)| (node.hash, (*log, *node))).collect();
    let mut wanted: BTreeSet<PackHash> = BTreeSet::new();
    for _ in 0..rng.random_range(0..6) {
        let mut at = all.choose(rng).map(|(_, node)| node.hash);
        while let Some((_, node)) = at.and_then(|hash| by_hash.get(&hash)) {
            wanted.insert(node.hash);
            at = (node.seq > 0).then_some(node.prev);
        }
    }
    let mut order: Vec<(LogId, PackNode)> = wanted.iter().map(|hash| by_hash[hash]).collect();
    order.shuffle(rng);
    order.sort_by_key(|(_, node)| node.seq);
    let mut trees = Trees::default();
    order.into_iter().for_each(|(log, node)| trees.add(log, node));
    trees
}

#[derive(Debug, Default)]
struct Cost {
    rounds: usize,
    sent: usize,
    needless: usize,
}

/// What one side sends after it saw the other's vector and its questions; the questions it has itself.
fn speak(
    from: &Trees,
    to: &Trees,
    asked: &[LogId],
    sent: &mut BTreeSet<PackHash>,
    have_asked: &mut BTreeSet<LogId>,
) -> (Vec<PackNode>, Vec<LogId>) {
    let plan = plan(from, &BOOK, &to.vector().to_wire());
    let mut send = plan.send;
    for log in asked {
        send.extend(beyond_locator(from, &BOOK, &locator(to, &BOOK, log)));
    }
    send.sort_by_key(|node| node.commit);
    send.retain(|node| sent.insert(node.hash));
    let ask = plan.ask.into_iter().filter(|log| have_asked.insert(*log)).collect();
    (send, ask)
}

/// Both sides state their vectors, answer each other's questions and send what their plans say, until they agree.
fn exchange(a: &mut Trees, b: &mut Trees) -> Cost {
    let mut cost = Cost::default();
    let (mut sent_a, mut sent_b) = (BTreeSet::new(), BTreeSet::new());
    let (mut asks_a, mut asks_b) = (BTreeSet::new(), BTreeSet::new());
    let (mut ask_a, mut ask_b): (Vec<LogId>, Vec<LogId>) = (Vec::new(), Vec::new());
    while a.vector() != b.vector() {
        cost.rounds += 1;
        assert!(cost.rounds <= 4, "no end in sight: {:?} {:?}", a.vector(), b.vector());
        let (from_a, next_a) = speak(a, b, &ask_b, &mut sent_a, &mut asks_a);
        let (from_b, next_b) = speak(b, a, &ask_a, &mut sent_b, &mut asks_b);
        (ask_a, ask_b) = (next_a, next_b);
        cost.sent += from_a.len() + from_b.len();
        cost.needless += from_a.iter().filter(|node| b.nodes.contains_key(&node.hash)).count();
        cost.needless += from_b.iter().filter(|node| a.nodes.contains_key(&node.hash)).count();
        for node in from_a {
            let (log, _) = a.nodes[&node.hash];
            b.add(log, node);
        }
        for node in from_b {
            let (log, _) = b.nodes[&node.hash];
            a.add(log, node);
        }
    }
    cost
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn prop_exchange_of_plans_makes_vectors_equal(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let devices = rng.random_range(2..=4);
        let forks = if rng.random_range(0..3) == 0 { 0 } else { 3 };
        let all = universe(&mut rng, devices, forks);
        let (mut a, mut b) = (holder(&mut rng, &all), holder(&mut rng, &all));
        let union: BTreeSet<PackHash> = a.hashes().union(&b.hashes()).copied().collect();
        let difference = a.hashes().symmetric_difference(&b.hashes()).count();
        let cost = exchange(&mut a, &mut b);
        prop_assert_eq!(&a.hashes(), &union);
        prop_assert_eq!(&b.hashes(), &union);
        prop_assert_eq!(a.vector().digest(), b.vector().digest());
        if forks == 0 {
            prop_assert_eq!(cost.sent, difference, "only what is missing is sent");
            prop_assert!(cost.rounds <= 1);
        } else {
            prop_assert_eq!(cost.sent - cost.needless, difference);
            prop_assert!(cost.needless <= difference, "{:?} for a difference of {}", cost, difference);
        }
    }

    #[test]
    fn prop_equal_digests_mean_equal_holdings(seed: u64) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let all = universe(&mut rng, 2, 1);
        let (a, b) = (holder(&mut rng, &all), holder(&mut rng, &all));
        prop_assert_eq!(a.hashes() == b.hashes(), a.vector().digest() == b.vector().digest());
        prop_assert_eq!(a.vector().to_wire().0.len(), a.tips.len());
    }
}

fn chain(trees: &mut Trees, log: LogId, from: Option<PackNode>, branch: u8, count: u32) -> PackNode {
    let mut last = from;
    for _ in 0..count {
        let (prev, seq) = last.map_or((PackHash::NONE, 0), |node| (node.hash, node.seq + 1));
        let node = PackNode { hash: pack(&log, seq, branch), prev, seq, commit: 0 };
        trees.add(log, node);
        last = Some(node);
    }
    last.unwrap()
}

#[test]
fn plan_of_a_long_log_touches_only_what_differs() {
    let mut behind = Trees::default();
    let last = chain(&mut behind, log(1), None, 0, 10_000);
    let mut ahead = behind.clone();
    chain(&mut ahead, log(1), Some(last), 0, 3);
    for (trees, peer, packs) in [(&ahead, &behind, 3), (&behind, &ahead, 0), (&ahead, &ahead, 0)] {
        trees.calls.set(0);
        let plan = plan(trees, &BOOK, &peer.vector().to_wire());
        assert_eq!(plan.send.len(), packs);
        assert_eq!(plan.ask, []);
        assert!(trees.calls.get() <= 10, "{} calls for {packs} packs", trees.calls.get());
    }
    assert!(plan(&behind, &BOOK, &ahead.vector().to_wire()).peer_has_more);
}

#[test]
fn fork_of_a_long_log_costs_two_rounds_and_about_its_branches() {
    let mut a = Trees::default();
    let last = chain(&mut a, log(1), None, 0, 10_000);
    let mut b = a.clone();
    chain(&mut a, log(1), Some(last), 1, 40);
    chain(&mut b, log(1), Some(last), 2, 7);
    let cost = exchange(&mut a, &mut b);
    assert_eq!(a.vector(), b.vector());
    assert!(cost.rounds <= 3, "{cost:?}");
    assert!(cost.sent <= 2 * 47, "{cost:?}");
    let steps = locator(&a, &BOOK, &log(1)).steps.len();
    assert!(steps <= 2 * 34, "{steps}");
}

/// A peer that says nothing sensible makes us ask, never send everything.
#[test]
fn vector_of_a_liar_is_answered_with_a_question() {
    let mut ours = Trees::default();
    chain(&mut ours, log(1), None, 0, 100);
    let mut liar = Trees::default();
    chain(&mut liar, log(1), None, 9, 50);
    let plan = plan(&ours, &BOOK, &liar.vector().to_wire());
    assert_eq!((plan.send.len(), plan.ask), (0, vec![log(1)]));
    assert!(plan.peer_has_more);
    // A locator without a step in common gets the whole log.
    assert_eq!(beyond_locator(&ours, &BOOK, &locator(&liar, &BOOK, &log(1))).len(), 100);
    assert_eq!(beyond_locator(&ours, &BOOK, &locator(&ours, &BOOK, &log(1))).len(), 0);
}

#[test]
fn packs_are_sent_in_our_commit_order() {
    let mut ours = Trees::default();
    let (mut a, mut b) = (None, None);
    for _ in 0..5 {
        a = Some(chain(&mut ours, log(2), a, 0, 1));
        b = Some(chain(&mut ours, log(1), b, 0, 1));
    }
    let send = plan(&ours, &BOOK, &Vector::default().to_wire()).send;
    assert_eq!(send.len(), 10);
    assert!(send.is_sorted_by_key(|node| node.commit));
}

#[test]
fn selection_covers_stations_months_and_directories_but_not_what_was_evicted() {
    let st = |n: u8| Code::new(&format!("ST0{n}")).unwrap();
    let month = |m| Month::new(2025, m).unwrap();
    let evicted = LogbookName::StationMonth(st(1), month(5));
    let selection = Selection {
        stations: Stations::These(BTreeSet::from([st(1)])),
        months: Some((month(4), month(6))),
        without: BTreeSet::from([evicted.clone()]),
    };
    let covered = [
        LogbookName::OrgDirectory,
        LogbookName::StationDirectory(st(1)),
        LogbookName::StationMonth(st(1), month(4)),
        LogbookName::StationMonth(st(1), month(6)),
    ];
    let not_covered = [
        evicted,
        LogbookName::StationDirectory(st(2)),
        LogbookName::StationMonth(st(2), month(5)),
        LogbookName::StationMonth(st(1), month(3)),
        LogbookName::StationMonth(st(1), month(7)),
    ];
    assert!(covered.iter().all(|name| selection.covers(name) && Selection::everything().covers(name)));
    assert!(not_covered.iter().all(|name| !selection.covers(name) && Selection::everything().covers(name)));
    let only_directories = Selection { months: None, ..selection };
    assert!(!only_directories.covers(&covered[2]) && only_directories.covers(&covered[1]));
}

#[test]
fn digest_over_a_selection_follows_every_logbook() {
    let org = OrgId([1; 16]);
    let names = [LogbookName::OrgDirectory, LogbookName::StationDirectory(Code::new("ST01").unwrap())];
    let ids = names.map(|name| name.id(&org));
    let one = BTreeMap::from([(ids[0], [1; 32])]);
    let both = BTreeMap::from([(ids[0], [1; 32]), (ids[1], [2; 32])]);
    let swapped = BTreeMap::from([(ids[0], [2; 32]), (ids[1], [1; 32])]);
    let digests = [BTreeMap::new(), one, both, swapped].map(|vectors| selection_digest(&vectors));
    assert_eq!(BTreeSet::from(digests).len(), 4);
}
