//! Any number of tablets that write, meet the hub and each other, lose connections, and are cloned and restored: in the end
//! all hold the same.

use proptest::prelude::*;
use qianmo_protocol::control::{Decision, FormVersion};
use qianmo_protocol::ids::{Epoch, Incarnation, LogbookName};
use qianmo_protocol::session::{Shelf, Stay, Taken};
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::link::Link;
use crate::store::{Store, code, directory, month};

fn names() -> [LogbookName; 5] {
    [LogbookName::OrgDirectory, directory("ST01"), month("ST01", 6), month("ST01", 1), month("ST02", 3)]
}

struct World {
    rng: ChaCha8Rng,
    nodes: Vec<Store>,
    links: Vec<Link>,
    backup: Store,
    epochs: u8,
    clones: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut nodes = vec![Store::hub()];
        for byte in 1..=rng.random_range(2..=4) {
            let tablet = nodes[0].enrol(byte, &["ST01", "ST02"]);
            nodes.push(tablet);
        }
        let backup = nodes[0].clone();
        Self { rng, nodes, links: Vec::new(), backup, epochs: 1, clones: 0 }
    }

    fn tablet(&mut self) -> usize {
        self.rng.random_range(1..self.nodes.len())
    }

    fn is_in_session(&self, node: usize) -> bool {
        self.links.iter().any(|link| link.nodes().0 == node || link.nodes().1 == node)
    }

    fn act(&mut self) {
        match self.rng.random_range(0..40) {
            0..=9 => {
                let tablet = self.tablet();
                let name = names().choose(&mut self.rng).unwrap().clone();
                self.nodes[tablet].write(&name);
            }
            10..=13 => {
                let tablet = self.tablet();
                let other = if self.rng.random_range(0..3) == 0 { self.tablet() } else { 0 };
                if tablet != other {
                    let stay = if self.rng.random() { Stay::Leave } else { Stay::Subscribe };
                    let mut link = Link::open(&mut self.nodes, tablet, other, stay);
                    link.loses_pushes = self.rng.random();
                    self.links.push(link);
                }
            }
            14 => {
                let version = self.rng.random_range(2..1_000);
                self.nodes[0].decide(Decision::Form(FormVersion { form: code("visit"), version, hash: [1; 32] }));
            }
            // A connection breaks.
            15 if !self.links.is_empty() => {
                let at = self.rng.random_range(0..self.links.len());
                self.links.swap_remove(at);
            }
            16 => self.news(),
            17 if self.rng.random_range(0..4) == 0 => self.clone_a_tablet(),
            18 if self.rng.random_range(0..4) == 0 => self.restore_or_back_up(),
            _ => self.step(),
        }
        self.links.retain(|link| !link.is_quiet() || link.seen(1).subscribed && link.seen(0).peer_left.is_none());
    }

    fn step(&mut self) {
        if !self.links.is_empty() {
            let at = self.rng.random_range(0..self.links.len());
            let to = self.rng.random_range(0..2);
            for _ in 0..self.rng.random_range(1..6) {
                self.links[at].step(&mut self.nodes, to);
            }
        }
    }

    /// What the ends of a subscribed session tell each other by themselves.
    fn news(&mut self) {
        let Some(at) = (0..self.links.len()).find(|at| self.links[*at].seen(1).subscribed) else { return };
        let (initiator, responder) = self.links[at].nodes();
        let link = &mut self.links[at];
        if self.rng.random() {
            let news = self.nodes[initiator].unreceipted();
            if link.session(0).handle_local_news(&self.nodes[initiator], &news) == Taken::Yes {
                link.pump(&mut self.nodes, 0);
            }
        } else {
            let mut news = Vec::new();
            for name in names() {
                news.extend(self.nodes[responder].hashes_in(&name).into_iter().map(|hash| (name.clone(), hash)));
            }
            if link.session(1).handle_news(&self.nodes[responder], &news) == Taken::Yes {
                link.pump(&mut self.nodes, 1);
            }
        }
    }

    /// A tablet's whole store is copied, and both go on in the same logs: at most four tips come of it.
    fn clone_a_tablet(&mut self) {
        let tablet = self.tablet();
        if self.clones < 2 && !self.is_in_session(tablet) {
            self.clones += 1;
            let mut clone = self.nodes[tablet].clone();
            clone.clock += 1_000_000;
            self.nodes.push(clone);
        }
    }

    /// The hub is put back to its last backup, or a new one is made.
    fn restore_or_back_up(&mut self) {
        if self.is_in_session(0) || self.epochs > 3 || self.rng.random() {
            self.backup = self.nodes[0].clone();
            return;
        }
        self.epochs += 1;
        let epoch = Epoch([self.epochs; 16]);
        self.nodes[0] = self.backup.clone();
        self.nodes[0].restore(epoch);
        self.nodes[0].decide(Decision::AdoptionComplete { epoch });
        // Every log that a restored hub writes is a new one; this hub writes none, so only its name changes.
        self.nodes[0].incarnation = Incarnation([self.epochs; 8]);
        self.backup = self.nodes[0].clone();
    }

    /// The network heals: everyone meets the hub until nobody has anything new.
    fn heal(&mut self) {
        self.links.clear();
        for _ in 0..3 {
            for tablet in 1..self.nodes.len() {
                Link::run(&mut self.nodes, tablet, 0).assert_finished();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn prop_any_interleaving_of_sessions_converges(seed: u64) {
        let mut world = World::new(seed);
        let mut written = std::collections::BTreeSet::new();
        for _ in 0..world.rng.random_range(20..250) {
            world.act();
        }
        for node in &world.nodes[1..] {
            written.extend(node.hashes());
        }
        world.heal();
        let vectors = world.nodes[0].vectors();
        for (at, node) in world.nodes.iter().enumerate() {
            prop_assert_eq!(node.vectors(), vectors.clone(), "node {}", at);
            prop_assert_eq!(node.control().heads(), world.nodes[0].control().heads());
        }
        prop_assert!(written.is_subset(&world.nodes[0].hashes()), "what a tablet held is never lost");
        for tablet in 1..world.nodes.len() {
            let quiet = Link::run(&mut world.nodes, tablet, 0);
            prop_assert_eq!(quiet.round_trips(), 1);
            prop_assert_eq!(quiet.tally(0).packs_sent + quiet.tally(1).packs_sent, 0);
        }
    }
}
