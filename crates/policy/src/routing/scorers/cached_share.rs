//! How much of the prompt is cached: cached leading blocks / full blocks of the prompt; 0 when it has none.
//!
//! Where a real router counts in larger blocks than the KV cache has, g KV blocks count as one, and only whole ones
//! count: floor(c / g) / floor(n / g).

use crate::Reads;
use crate::registry::{Entry, MakeScorer, Param, Range};
use crate::routing::{RouterView, Scorer};

const GRANULARITY: &str = "cached-share-granularity";

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "cached-share",
    summary: "share of the prompt in the instance's KV cache",
    formula: "floor(c / g) / floor(n / g), c of n blocks cached",
    params: &[Param {
        name: GRANULARITY,
        summary: "KV blocks that count as one (g)",
        default: 1.0,
        range: Range::PositiveCount,
    }],
    make: &|setup| {
        Box::new(CachedShare { granularity: setup.params.get(GRANULARITY) as u32, cached: Vec::new() })
    },
};

/// `cached-share`.
#[derive(Clone, Debug)]
pub struct CachedShare {
    granularity: u32,
    cached: Vec<u32>,
}

impl Scorer for CachedShare {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        let blocks = view.request.keys.blocks() as u32 / self.granularity;
        if blocks == 0 {
            out.fill(0.0);
            return;
        }
        view.cache.cached_blocks(&view.request, view.instances, &mut self.cached);
        for (score, &cached) in out.iter_mut().zip(&self.cached) {
            *score = f64::from(cached / self.granularity) / f64::from(blocks);
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

    fn scores(granularity: u32, blocks: usize) -> Vec<f64> {
        let sheet = Sheet { keys: (0..blocks as u64).collect(), ..Sheet::worked_example() };
        sheet.scores(&mut CachedShare { granularity, cached: Vec::new() })
    }

    #[test]
    fn worked_example() {
        // 4, 1 and 0 blocks of 5 are cached; counted in pairs, 2, 0 and 0 of 2.
        assert_eq!(scores(1, 5), [0.8, 0.2, 0.0]);
        assert_eq!(scores(2, 5), [1.0, 0.0, 0.0]);
        assert_eq!((scores(1, 0), scores(9, 5)), (vec![0.0; 3], vec![0.0; 3]));
    }

    proptest! {
        /// Law: a share, which never falls when more is cached.
        #[test]
        fn more_in_the_cache_never_scores_less(blocks in 4usize..40, granularity in 1u32..9) {
            let scores = scores(granularity, blocks);
            prop_assert!(scores.iter().all(|score| (0.0..=1.0).contains(score)));
            prop_assert!(scores[0] >= scores[1] && scores[1] >= scores[2]);
        }
    }
}
