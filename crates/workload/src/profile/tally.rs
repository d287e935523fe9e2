//! Exact distributions of whole numbers.

use std::collections::BTreeMap;

/// How often each number occurred.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    counts: BTreeMap<u32, u64>,
    total: u64,
    sum: u64,
}

impl Tally {
    pub(super) fn add(&mut self, value: u32) {
        *self.counts.entry(value).or_default() += 1;
        self.total += 1;
        self.sum += u64::from(value);
    }

    /// How many numbers there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.total == 0 { 0.0 } else { self.sum as f64 / self.total as f64 }
    }

    /// The smallest number that at least this share of the numbers does not exceed; 0 of none.
    pub fn quantile(&self, share: f64) -> u32 {
        let wanted = (share * self.total as f64).ceil() as u64;
        let mut below = 0;
        for (&value, &times) in &self.counts {
            below += times;
            if below >= wanted {
                return value;
            }
        }
        0
    }

    /// The numbers with how often each occurred, in order.
    pub fn iter(&self) -> impl Iterator<Item = (u32, u64)> {
        self.counts.iter().map(|(&value, &times)| (value, times))
    }
}

#[cfg(test)]
mod tests {
    use super::Tally;

    #[test]
    fn quantiles_are_numbers_that_occurred() {
        let mut tally = Tally::default();
        assert_eq!((tally.mean(), tally.quantile(0.5)), (0.0, 0));
        (1..=100).for_each(|value| tally.add(value));
        assert_eq!([0.0, 0.01, 0.5, 0.505, 0.99, 1.0].map(|q| tally.quantile(q)), [1, 1, 50, 51, 99, 100]);
        assert_eq!((tally.total(), tally.sum(), tally.mean()), (100, 5050, 50.5));
    }
}
