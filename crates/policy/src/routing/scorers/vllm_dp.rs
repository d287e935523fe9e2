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
    make: |_| Box::<VllmDp>::default(),
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

    #[test]
    fn worked_example() {
        let got = Sheet::worked_example().scores(&mut VllmDp::default());
        assert_eq!(got, [0.0, 28.0 / 41.0, 1.0]);
    }
}
