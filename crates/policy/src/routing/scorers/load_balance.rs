//! Small loads first: 1 / (1 + L).

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{LoadRule, RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "load-balance",
    summary: "small load",
    formula: "1 / (1 + L)",
    params: &[],
    make: &|_| Box::new(LoadBalance),
};

/// `load-balance`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadBalance;

impl Scorer for LoadBalance {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        for (i, score) in out.iter_mut().enumerate() {
            *score = 1.0 / (1.0 + view.load_of(i) as f64);
        }
    }

    fn reads(&self) -> Reads {
        LoadRule::QueuePlusBatchPlusInFlight.reads()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    #[test]
    fn worked_example() {
        assert_eq!(Sheet::worked_example().scores(&mut LoadBalance), [1.0 / 37.0, 1.0 / 18.0, 1.0 / 3.0]);
    }

    proptest! {
        /// Law: scores fall as loads grow, an idle instance has 1, and none ever has 0.
        #[test]
        fn larger_loads_score_less(loads in prop::collection::btree_set(0u32..100_000, 1..20)) {
            let rows: Vec<_> = [0].iter().chain(&loads).map(|&load| (0, 0, 0.0, load, 0)).collect();
            let scores = Sheet::from_rows(&rows).scores(&mut LoadBalance);
            prop_assert_eq!(scores[0], 1.0);
            prop_assert!(scores[1..].is_sorted_by(|a, b| a > b) && scores.iter().all(|&score| score > 0.0));
        }
    }
}
