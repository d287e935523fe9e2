//! vLLM's load between data-parallel ranks: x = 4 * QD + BS, score (max - x) / (max - min); 1 for all when equal.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// A waiting request weighs as much as this many running ones (vLLM's data-parallel coordinator).
const WAITING_WEIGHT: u32 = 4;

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "vllm-dp",
    summary: "4 * waiting + running, relative to the others",
    formula: "(max - x) / (max - min), x = 4 * QD + BS",
    params: &[],
    make: &|_| Box::<VllmDp>::default(),
};

/// `vllm-dp`.
#[derive(Clone, Debug, Default)]
pub struct VllmDp {
    raw: Vec<u32>,
}

impl Scorer for VllmDp {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        self.raw.clear();
        self.raw
            .extend(view.queue_depth.iter().zip(view.batch_size).map(|(&qd, &bs)| WAITING_WEIGHT * qd + bs));
        super::inverted(&self.raw, out);
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
        let got = Sheet::worked_example().scores(&mut VllmDp::default());
        assert_eq!(got, [0.0, 28.0 / 41.0, 1.0]);
    }

    proptest! {
        /// Law: four that run weigh as much as one that waits.
        #[test]
        fn one_that_waits_is_worth_four_that_run(rows in prop::collection::vec((0u32..50, 0u32..50), 1..20)) {
            let waiting: Vec<_> = rows.iter().map(|&(waits, runs)| (waits, runs, 0.0, 0, 0)).collect();
            let running: Vec<_> = rows.iter().map(|&(waits, runs)| (0, 4 * waits + runs, 0.0, 0, 0)).collect();
            let scores = |rows: &[_]| Sheet::from_rows(rows).scores(&mut VllmDp::default());
            prop_assert_eq!(scores(&waiting), scores(&running));
        }
    }
}
