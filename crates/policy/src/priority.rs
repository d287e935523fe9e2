//! SLO classes: how important a request is.
//!
//! A class has a rank (higher is more important). Schedulers use the vLLM convention instead, in which a lower
//! number is more urgent: priority = largest rank of the table - rank.

use std::collections::BTreeMap;

/// Rank of a class that the table does not name, and of requests without a class.
pub const DEFAULT_RANK: i32 = 3;
/// Largest rank, up or down, that an override may set.
pub const RANK_LIMIT: i32 = 100;

const BUILT_IN: [(&str, i32); 5] =
    [("background", -3), ("batch", -1), ("critical", 4), ("sheddable", -2), ("standard", 3)];

/// A rank outside the allowed range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("SLO priority of class \"{class}\" is {rank}; it must be from -{RANK_LIMIT} to {RANK_LIMIT}")]
pub struct RankError {
    /// The class.
    pub class: String,
    /// The rank asked for.
    pub rank: i32,
}

/// The rank of every SLO class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloTable {
    ranks: BTreeMap<String, i32>,
    max_rank: i32,
}

impl Default for SloTable {
    fn default() -> Self {
        Self::from_ranks(BUILT_IN.iter().map(|&(class, rank)| (class.to_owned(), rank)).collect())
    }
}

impl SloTable {
    fn from_ranks(ranks: BTreeMap<String, i32>) -> Self {
        let max_rank = ranks.values().copied().fold(DEFAULT_RANK, i32::max);
        Self { ranks, max_rank }
    }

    /// The built-in classes with `overrides` replacing or adding ranks.
    ///
    /// # Errors
    /// A rank outside ±[`RANK_LIMIT`].
    pub fn with_overrides<'a>(
        overrides: impl IntoIterator<Item = (&'a str, i32)>,
    ) -> Result<Self, RankError> {
        let mut ranks = Self::default().ranks;
        for (class, rank) in overrides {
            if !(-RANK_LIMIT..=RANK_LIMIT).contains(&rank) {
                return Err(RankError { class: class.to_owned(), rank });
            }
            ranks.insert(class.to_owned(), rank);
        }
        Ok(Self::from_ranks(ranks))
    }

    /// Rank of a class; higher is more important.
    pub fn rank(&self, class: &str) -> i32 {
        self.ranks.get(class).copied().unwrap_or(DEFAULT_RANK)
    }

    /// vLLM priority of a class; lower is more urgent, the most important class has 0.
    pub fn priority(&self, class: &str) -> i32 {
        self.max_rank - self.rank(class)
    }

    /// The rank of every class, and of requests without one; in no order, and some more than once.
    pub fn ranks(&self) -> impl Iterator<Item = i32> + '_ {
        self.ranks.values().copied().chain([DEFAULT_RANK])
    }

    /// The classes of the table, by name.
    pub fn classes(&self) -> impl Iterator<Item = &str> {
        self.ranks.keys().map(String::as_str)
    }

    /// Whether requests of the class may be shed under overload.
    pub fn is_sheddable(&self, class: &str) -> bool {
        self.rank(class) < 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_table_gives_the_documented_priorities() {
        let table = SloTable::default();
        let got: Vec<_> = ["critical", "standard", "batch", "sheddable", "background", "", "gold"]
            .iter()
            .map(|c| (table.rank(c), table.priority(c), table.is_sheddable(c)))
            .collect();
        let expected = [
            (4, 0, false),
            (3, 1, false),
            (-1, 5, true),
            (-2, 6, true),
            (-3, 7, true),
            (3, 1, false),
            (3, 1, false),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_higher_override_moves_every_other_class_down() {
        let table = SloTable::with_overrides([("critical", 10), ("batch", 0)]).unwrap();
        assert_eq!((table.priority("critical"), table.priority("standard")), (0, 7));
        assert!(!table.is_sheddable("batch"));
    }

    #[test]
    fn ranks_beyond_the_limit_are_refused_by_name() {
        let error = SloTable::with_overrides([("gold", 101)]).unwrap_err();
        assert_eq!(error, RankError { class: "gold".into(), rank: 101 });
        assert!(SloTable::with_overrides([("gold", -100)]).is_ok());
    }
}
