//! A set of small numbers: the places of changes in a graph.

/// The set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bits(Vec<u64>);

impl Bits {
    /// The numbers below `count`.
    pub(crate) fn below(count: usize) -> Self {
        let mut out = Self::default();
        (0..count).for_each(|number| out.insert(number));
        out
    }

    pub(crate) fn insert(&mut self, number: usize) {
        let (word, bit) = (number / 64, number % 64);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(slot) = self.0.get_mut(word) {
            *slot |= 1 << bit;
        }
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|word| word & (1 << (number % 64)) != 0)
    }

    pub(crate) fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (to, from) in self.0.iter_mut().zip(&other.0) {
            *to |= from;
        }
    }

    pub(crate) fn count(&self) -> usize {
        self.0.iter().map(|word| usize::try_from(word.count_ones()).unwrap_or(0)).sum()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.0.len() * 64).filter(|number| self.contains(*number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn union_holds_the_members_of_both() {
        let mut odd = Bits::default();
        (0..200).filter(|n| n % 2 == 1).for_each(|n| odd.insert(n));
        let mut all = Bits::below(3);
        all.unite(&odd);
        assert_eq!(all.count(), 102);
        assert_eq!(all.iter().take(4).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(all.contains(199) && !all.contains(198) && !all.contains(100_000));
    }
}
