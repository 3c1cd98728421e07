//! Which fault hit which state: what a run must reach to say that it tested something.

use std::collections::BTreeMap;

use super::plan::{Act, Fault};

/// What somebody was doing when a fault came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not running.
    Off,
    /// No session.
    Idle,
    /// A connection was being made.
    Dialing,
    /// A session's first turn was under way.
    Opening,
    /// Packs were under way.
    Exchanging,
    /// A session waited for news.
    Watching,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 6] = [Self::Off, Self::Idle, Self::Dialing, Self::Opening, Self::Exchanging, Self::Watching];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Idle => "idle",
            Self::Dialing => "dialing",
            Self::Opening => "opening",
            Self::Exchanging => "exchanging",
            Self::Watching => "watching",
        }
    }
}

/// How often what happened in which state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Faults, by the state they hit.
    pub faults: BTreeMap<(Fault, State), u64>,
    /// Acts that did something.
    pub acts: BTreeMap<Act, u64>,
    /// What else happened, by name.
    pub marks: BTreeMap<&'static str, u64>,
}

impl Coverage {
    /// Counts a fault.
    pub fn fault(&mut self, fault: Fault, state: State) {
        *self.faults.entry((fault, state)).or_default() += 1;
    }

    /// Counts an act.
    pub fn act(&mut self, act: Act) {
        *self.acts.entry(act).or_default() += 1;
    }

    /// Counts something else.
    pub fn mark(&mut self, mark: &'static str) {
        *self.marks.entry(mark).or_default() += 1;
    }

    /// Adds another run's.
    pub fn add(&mut self, other: &Self) {
        for (key, count) in &other.faults {
            *self.faults.entry(*key).or_default() += count;
        }
        for (key, count) in &other.acts {
            *self.acts.entry(*key).or_default() += count;
        }
        for (key, count) in &other.marks {
            *self.marks.entry(key).or_default() += count;
        }
    }

    /// Faults in all.
    #[must_use]
    pub fn fault_count(&self) -> u64 {
        self.faults.values().sum()
    }

    /// Pairs of fault and state that happened, and how many there are.
    #[must_use]
    pub fn pairs(&self) -> (usize, usize) {
        let tablets = Fault::ALL.iter().filter(|fault| fault.is_of_tablet()).count();
        let others = Fault::ALL.len() - tablets;
        // The hub and the network are never between states of a session: they are in all at once, or nobody is.
        (self.faults.len(), tablets * State::ALL.len() + others * State::ALL.len())
    }
}
