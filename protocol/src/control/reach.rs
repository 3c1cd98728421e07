//! Which entries can be reached from which: ancestors in a graph that is nearly always a chain.
//!
//! Each entry lies on one chain (a path of parents) at one index, and knows for every chain the highest index that it
//! reaches. An ancestor question is then one search in a short list. A chain begins only where the graph forks, so the
//! lists have one item for each fork, not one for each entry. Which chain an entry falls on depends on the order of
//! arrival; the answers do not.

/// What an entry reaches: `(chain, highest index)`, ascending by chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Clock {
    reached: Vec<(u32, u32)>,
}

impl Clock {
    /// The highest index reached on a chain.
    fn on(&self, chain: u32) -> Option<u32> {
        let at = self.reached.binary_search_by_key(&chain, |(chain, _)| *chain).ok()?;
        self.reached.get(at).map(|(_, index)| *index)
    }

    /// Takes in all that another reaches.
    pub(crate) fn join(&mut self, other: &Self) {
        for (chain, index) in &other.reached {
            self.reach(Place { chain: *chain, index: *index });
        }
    }

    fn reach(&mut self, place: Place) {
        match self.reached.binary_search_by_key(&place.chain, |(chain, _)| *chain) {
            Ok(at) => {
                if let Some((_, index)) = self.reached.get_mut(at) {
                    *index = place.index.max(*index);
                }
            }
            Err(at) => self.reached.insert(at, (place.chain, place.index)),
        }
    }

    /// Whether a place is reached.
    pub(crate) fn contains(&self, place: Place) -> bool {
        self.on(place.chain).is_some_and(|index| index >= place.index)
    }
}

/// Where an entry lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    chain: u32,
    index: u32,
}

/// The chains there are.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chains {
    /// The highest index of each chain.
    tips: Vec<u32>,
}

impl Chains {
    /// Places a new entry after its parents and gives what it reaches, itself included.
    pub(crate) fn place(&mut self, parents: &[(Place, &Clock)]) -> (Place, Clock) {
        let mut clock = Clock::default();
        let mut place = None;
        for (parent, reached) in parents {
            clock.join(reached);
            if place.is_none() {
                place = self.extend(*parent);
            }
        }
        let place = place.unwrap_or_else(|| self.begin());
        clock.reach(place);
        (place, clock)
    }

    /// The place after `parent`, if `parent` is the tip of its chain.
    fn extend(&mut self, parent: Place) -> Option<Place> {
        let tip = usize::try_from(parent.chain).ok().and_then(|chain| self.tips.get_mut(chain))?;
        if *tip != parent.index {
            return None;
        }
        *tip = tip.checked_add(1)?;
        Some(Place { chain: parent.chain, index: *tip })
    }

    fn begin(&mut self) -> Place {
        let chain = u32::try_from(self.tips.len()).unwrap_or(u32::MAX);
        self.tips.push(0);
        Place { chain, index: 0 }
    }
}
