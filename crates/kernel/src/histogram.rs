//! An exact histogram of durations.

use crate::Tick;

const PAGE_BITS: u32 = 10;
const PAGE_LEN: usize = 1 << PAGE_BITS;
/// Durations from here on (about 67 seconds) live in a sorted map; no serving step lasts that long in practice.
const DENSE_LIMIT_US: i64 = 1 << 26;

/// How often each duration occurred, exact to the microsecond.
///
/// Adding is O(1): counts lie in pages of 1,024 neighbouring durations, allocated when first touched,
/// so a run whose steps last 6 to 30 ms holds a few dozen pages however many steps it has.
#[derive(Clone, Debug, Default)]
pub struct DurationHistogram {
    pages: Vec<Option<Box<[u64; PAGE_LEN]>>>,
    long: std::collections::BTreeMap<i64, u64>,
}

impl DurationHistogram {
    /// Counts `count` more occurrences of `duration`.
    #[inline]
    pub fn add(&mut self, duration: Tick, count: u64) {
        *self.cell(duration) += count;
    }

    /// Takes back `count` occurrences that [`Self::add`] counted.
    ///
    /// # Panics
    /// When fewer were counted.
    #[inline]
    pub fn remove(&mut self, duration: Tick, count: u64) {
        let cell = self.cell(duration);
        assert!(*cell >= count, "histogram: {count} removed of {cell} at {duration:?}");
        *cell -= count;
    }

    #[inline]
    fn cell(&mut self, duration: Tick) -> &mut u64 {
        let us = duration.as_us();
        if !(0..DENSE_LIMIT_US).contains(&us) {
            return self.long.entry(us).or_default();
        }
        let page = (us >> PAGE_BITS) as usize;
        if page >= self.pages.len() {
            self.pages.resize(page + 1, None);
        }
        let page = self.pages[page].get_or_insert_with(|| Box::new([0; PAGE_LEN]));
        &mut page[us as usize & (PAGE_LEN - 1)]
    }

    /// Adds every count of `other`.
    pub fn merge(&mut self, other: &Self) {
        for (duration, count) in other.counts() {
            self.add(duration, count);
        }
    }

    /// The durations that occurred with their counts, ascending (negative durations never occur).
    pub fn counts(&self) -> impl Iterator<Item = (Tick, u64)> + '_ {
        let dense = self.pages.iter().enumerate().filter_map(|(p, page)| Some((p, page.as_ref()?))).flat_map(
            |(p, page)| {
                page.iter()
                    .enumerate()
                    .map(move |(i, &count)| (Tick::from_us(((p << PAGE_BITS) + i) as i64), count))
            },
        );
        let long = self.long.iter().map(|(&us, &count)| (Tick::from_us(us), count));
        dense.chain(long).filter(|&(_, count)| count > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_in_ascending_order() {
        let mut h = DurationHistogram::default();
        for us in [7_000, 200_000_000, 12, 7_000, 25_000] {
            h.add(Tick::from_us(us), 2);
        }
        h.remove(Tick::from_us(12), 2);
        let got: Vec<_> = h.counts().map(|(t, n)| (t.as_us(), n)).collect();
        assert_eq!(got, [(7_000, 4), (25_000, 2), (200_000_000, 2)]);
    }
}
