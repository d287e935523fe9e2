//! Short queues first, by absolute length: 0.5 when QD = 0, else 0.5 * (1 - min(QD, 128) / 128).
//!
//! It never exceeds 0.5, so it cannot outvote a scorer of equal weight.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// Queue depth from which on an instance scores 0 (llm-d's default).
const FULL_QUEUE: u32 = 128;

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "load-aware",
    summary: "short queue, by absolute length; at most 0.5",
    formula: "0.5 * (1 - min(QD, 128) / 128)",
    params: &[],
    make: |_| Box::new(LoadAware),
};

/// `load-aware`.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadAware;

impl Scorer for LoadAware {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        for (score, &depth) in out.iter_mut().zip(view.queue_depth) {
            *score = 0.5 * (1.0 - f64::from(depth.min(FULL_QUEUE)) / f64::from(FULL_QUEUE));
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

    #[test]
    fn worked_example_and_beyond_the_limit() {
        assert_eq!(Sheet::worked_example().scores(&mut LoadAware), [0.46875, 0.4921875, 0.5]);
        let deep = Sheet::from_rows(&[(128, 0, 0.0, 0, 0), (9000, 0, 0.0, 0, 0)]);
        assert_eq!(deep.scores(&mut LoadAware), [0.0, 0.0]);
    }
}
