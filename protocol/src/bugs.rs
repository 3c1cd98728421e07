//! Known bugs that can be put back, to see that the checkers find them.
//!
//! A checker that has never failed says nothing. Each bug of the [`catalogue`](Bug::ALL) is a mistake that was made in the
//! field, in this project or in one like it, and stands at its place in the code as one condition on [`injected`]. Without
//! the feature `bugs` that is `const false`, so nothing of it is left in a program; with it, one bug at a time can be
//! switched on for the whole process (a simulated organisation is one process). `sim --bugs` switches on each in turn and
//! asks how long the simulator takes to object; `docs/reliability.md` has the answers.
//!
//! # Invariants
//!
//! 1. Without the feature nothing is ever injected (`nothing_is_injected_without_the_feature`, a `const` assertion).
//! 2. The table in `docs/reliability.md` lists exactly these bugs (`page_lists_every_injected_bug`).

mod catalogue;

pub use catalogue::Bug;

/// Where a mistake stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layer {
    /// The pack log, its index, and what frames mean.
    Store,
    /// The exchange between two replicas.
    Session,
    /// Who may write what, and what a change may hold.
    Gate,
    /// Records, conflicts and reviews.
    Records,
    /// The tablet's core.
    Tablet,
    /// The hub.
    Hub,
}

impl Layer {
    /// Its word in tables.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Session => "session",
            Self::Gate => "gate",
            Self::Records => "records",
            Self::Tablet => "tablet",
            Self::Hub => "hub",
        }
    }
}

/// What is known of a bug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Story {
    /// Where the mistake stands.
    pub layer: Layer,
    /// What the mistake is.
    pub mistake: &'static str,
    /// What it costs somebody.
    pub cost: &'static str,
    /// Where it was seen.
    pub seen: &'static str,
}

impl Bug {
    /// The bug of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|bug| bug.name() == name)
    }
}

/// Whether a bug is switched on: never, in this build.
#[cfg(not(feature = "bugs"))]
#[must_use]
pub const fn injected(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "bugs")]
static SWITCHED_ON: core::sync::atomic::AtomicU8 = core::sync::atomic::AtomicU8::new(NONE);
#[cfg(feature = "bugs")]
const NONE: u8 = u8::MAX;

/// Whether a bug is switched on in this process.
#[cfg(feature = "bugs")]
#[must_use]
pub fn injected(bug: Bug) -> bool {
    SWITCHED_ON.load(core::sync::atomic::Ordering::Relaxed) == bug as u8
}

/// Switches one bug on for the whole process, and all others off.
#[cfg(feature = "bugs")]
pub fn inject(bug: Option<Bug>) {
    SWITCHED_ON.store(bug.map_or(NONE, |bug| bug as u8), core::sync::atomic::Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[cfg(not(feature = "bugs"))]
    #[test]
    fn nothing_is_injected_without_the_feature() {
        const {
            let mut at = 0;
            while at < Bug::ALL.len() {
                assert!(!injected(Bug::ALL[at]), "a build without the feature has no bug to switch on");
                at += 1;
            }
        }
    }

    #[cfg(feature = "bugs")]
    #[test]
    fn one_bug_at_a_time_is_switched_on() {
        for bug in Bug::ALL {
            inject(Some(bug));
            assert_eq!(Bug::ALL.into_iter().filter(|one| injected(*one)).collect::<Vec<_>>(), [bug]);
        }
        inject(None);
        assert!(!Bug::ALL.into_iter().any(injected));
    }

    #[test]
    fn names_are_short_kebab_case_and_distinct() {
        let names: BTreeSet<&str> = Bug::ALL.iter().map(|bug| bug.name()).collect();
        assert_eq!(names.len(), Bug::ALL.len());
        for name in names {
            assert!(name.len() <= 32 && name.chars().all(|one| one.is_ascii_lowercase() || one == '-'), "{name}");
            assert_eq!(Bug::by_name(name).map(Bug::name), Some(name));
        }
    }
}
