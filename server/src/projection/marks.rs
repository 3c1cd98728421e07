//! What a list can choose records by besides their state: one bit each, in one column, so that an index can hold them all.
//! (SQLite takes no index for a covering one through a column that it works out itself.)

use super::ProjectedRecord;
use super::flags::LATE_BIT;

/// Something that is or is not so of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mark {
    /// Approved, and changed since (批后改动).
    Changed,
    /// It has a conflict.
    Conflict,
    /// There is something that a reviewer should look at twice (有提示).
    Flagged,
    /// Written down more than a week after it was done (补录).
    Late,
    /// It was returned, and handed in again (已重新提交).
    Resubmitted,
    /// Its author said something that nobody answered yet (有回复).
    Unanswered,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 6] =
        [Self::Resubmitted, Self::Unanswered, Self::Flagged, Self::Late, Self::Conflict, Self::Changed];

    /// The parameter that chooses by it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Conflict => "conflicts",
            Self::Flagged => "flagged",
            Self::Late => "late",
            Self::Resubmitted => "resubmitted",
            Self::Unanswered => "unanswered",
        }
    }

    const fn bit(self) -> u8 {
        match self {
            Self::Changed => 1,
            Self::Conflict => 2,
            Self::Flagged => 4,
            Self::Late => 8,
            Self::Resubmitted => 16,
            Self::Unanswered => 32,
        }
    }
}

/// A set of marks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Marks(u8);

impl Marks {
    /// None.
    pub const NONE: Self = Self(0);

    /// These.
    #[must_use]
    pub fn of(marks: &[Mark]) -> Self {
        Self(marks.iter().fold(0, |bits, mark| bits | mark.bit()))
    }

    /// With one more, if it is so.
    #[must_use]
    pub const fn with(self, mark: Mark, is_so: bool) -> Self {
        if is_so { Self(self.0 | mark.bit()) } else { self }
    }

    /// Without these.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }

    /// Whether a mark is among them.
    #[must_use]
    pub const fn has(self, mark: Mark) -> bool {
        self.0 & mark.bit() != 0
    }

    /// Whether all of `others` are among them.
    #[must_use]
    pub const fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether none of `others` is among them.
    #[must_use]
    pub const fn has_none(self, others: Self) -> bool {
        self.0 & others.0 == 0
    }

    /// Those of a record.
    #[must_use]
    pub fn of_record(record: &ProjectedRecord) -> Self {
        let flags = record.flags.bits();
        Self::NONE
            .with(Mark::Changed, record.changed_after_approval)
            .with(Mark::Conflict, !record.conflicts.is_empty())
            .with(Mark::Flagged, flags != 0)
            .with(Mark::Late, flags & LATE_BIT != 0)
            .with(Mark::Resubmitted, record.is_resubmitted)
            .with(Mark::Unanswered, record.is_unanswered)
    }

    /// As the database has it.
    pub(super) fn bits(self) -> i64 {
        i64::from(self.0)
    }

    /// As the database has it.
    pub(super) fn from_bits(bits: i64) -> Self {
        Self(u8::try_from(bits).unwrap_or(0))
    }
}

/// What sets the marks of a record whose flags become `flags`, an expression in SQL.
pub(super) fn set_flags(flags: &str) -> String {
    let (flagged, late) = (Mark::Flagged.bit(), Mark::Late.bit());
    format!(
        "flags = {flags}, marks = (marks & ~{}) | ({flags} <> 0) * {flagged} | ({flags} & {LATE_BIT} <> 0) * {late}",
        flagged | late
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        for one in Mark::ALL {
            let marks = Marks::of(&[one]);
            assert_eq!(marks, Marks::NONE.with(one, true));
            assert_eq!(Marks::from_bits(marks.bits()), marks);
            for other in Mark::ALL {
                assert_eq!(marks.has(other), one == other);
                assert_eq!(marks.has_none(Marks::of(&[other])), one != other);
            }
            assert!(Marks::of(&Mark::ALL).has_all(marks) && !Marks::NONE.has_all(marks));
        }
    }
}
