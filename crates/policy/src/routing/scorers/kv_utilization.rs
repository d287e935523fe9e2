//! Empty KV caches first: 1 - share of KV blocks in use.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "kv-utilization",
    summary: "small share of KV blocks in use",
    formula: "1 - KV",
    params: &[],
    make: &|_| Box::new(KvUtilization),
};

/// `kv-utilization`.
#[derive(Clone, Copy, Debug, Default)]
pub struct KvUtilization;

impl Scorer for KvUtilization {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        for (score, &used) in out.iter_mut().zip(view.kv_utilization) {
            *score = 1.0 - used;
        }
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;
    use proptest::prelude::*;

    #[test]
    fn worked_example() {
        assert_eq!(Sheet::worked_example().scores(&mut KvUtilization), [0.25, 0.5, 0.75]);
    }

    proptest! {
        /// Law: what is used and what it scores make a whole.
        #[test]
        fn the_score_is_what_is_free(used in prop::collection::vec(0u32..=1024, 1..20)) {
            // Shares in 1024ths, which binary fractions hold exactly.
            let used: Vec<_> = used.into_iter().map(|part| f64::from(part) / 1024.0).collect();
            let rows: Vec<_> = used.iter().map(|&share| (0, 0, share, 0, 0)).collect();
            let scores = Sheet::from_rows(&rows).scores(&mut KvUtilization);
            prop_assert!(scores.iter().zip(&used).all(|(score, used)| score + used == 1.0));
        }
    }
}
