//! Warm caches first: (c - min) / (max - min) over the cached leading blocks of the prompt; 1 for all when equal.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "precise-prefix-cache",
    summary: "leading prompt blocks in the instance's KV cache",
    formula: "(c - min) / (max - min) over cached blocks",
    params: &[],
    make: &|_| Box::<PrecisePrefixCache>::default(),
};

/// `precise-prefix-cache`.
#[derive(Clone, Debug, Default)]
pub struct PrecisePrefixCache {
    cached: Vec<u32>,
}

impl Scorer for PrecisePrefixCache {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        view.cache.cached_blocks(&view.request, view.instances, &mut self.cached);
        let (min, max) = super::range(&self.cached);
        if min == max {
            out.fill(1.0);
            return;
        }
        let span = f64::from(max - min);
        for (score, &cached) in out.iter_mut().zip(&self.cached) {
            *score = f64::from(cached - min) / span;
        }
    }

    fn reads(&self) -> Reads {
        Reads::CACHE
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    #[test]
    fn worked_example_and_nothing_cached() {
        assert_eq!(Sheet::worked_example().scores(&mut PrecisePrefixCache::default()), [1.0, 0.25, 0.0]);
        assert_eq!(Sheet::idle(2).scores(&mut PrecisePrefixCache::default()), [1.0, 1.0]);
    }

    proptest! {
        /// Laws: more in the cache never scores less, somebody scores 1, and as many blocks more everywhere change
        /// nothing.
        #[test]
        fn only_differences_of_cached_blocks_count(
            mut cached in prop::collection::vec(0u32..50, 1..20), more in 0u32..50,
        ) {
            cached.sort_unstable();
            let scores = |more: u32| {
                let rows: Vec<_> = cached.iter().map(|&blocks| (0, 0, 0.0, 0, blocks + more)).collect();
                Sheet::from_rows(&rows).scores(&mut PrecisePrefixCache::default())
            };
            let plain = scores(0);
            prop_assert!(plain.is_sorted() && plain.last() == Some(&1.0), "{plain:?}");
            prop_assert_eq!(plain, scores(more));
        }
    }
}
