//! Short queues first, by absolute length: 0.5 when QD = 0, else 0.5 * (1 - min(QD, t) / t).
//!
//! It never exceeds 0.5, so it cannot outvote a scorer of equal weight.

use crate::Reads;
use crate::registry::{Entry, MakeScorer, Param, Range};
use crate::routing::{RouterView, Scorer};

const THRESHOLD: &str = "load-aware-threshold";

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "load-aware",
    summary: "short queue, by absolute length; at most 0.5",
    formula: "0.5 * (1 - min(QD, t) / t)",
    params: &[Param {
        name: THRESHOLD,
        summary: "waiting requests from which on an instance scores 0 (t; the default is llm-d's)",
        default: 128.0,
        range: Range::PositiveCount,
    }],
    make: &|setup| Box::new(LoadAware { threshold: setup.params.get(THRESHOLD) }),
};

/// `load-aware`.
#[derive(Clone, Copy, Debug)]
pub struct LoadAware {
    threshold: f64,
}

impl Scorer for LoadAware {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        for (score, &depth) in out.iter_mut().zip(view.queue_depth) {
            *score = 0.5 * (1.0 - f64::from(depth).min(self.threshold) / self.threshold);
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

    fn scores(threshold: f64, sheet: &Sheet) -> Vec<f64> {
        sheet.scores(&mut LoadAware { threshold })
    }

    #[test]
    fn worked_example_and_beyond_the_limit() {
        assert_eq!(scores(128.0, &Sheet::worked_example()), [0.46875, 0.4921875, 0.5]);
        assert_eq!(scores(16.0, &Sheet::worked_example()), [0.25, 0.4375, 0.5]);
        let deep = Sheet::from_rows(&[(128, 0, 0.0, 0, 0), (9000, 0, 0.0, 0, 0)]);
        assert_eq!(scores(128.0, &deep), [0.0, 0.0]);
    }

    /// Law: never below 0 nor above one half, and never better for a longer queue.
    #[test]
    fn longer_queues_never_score_more() {
        let rows: Vec<_> = (0..300).map(|depth| (depth, 0, 0.0, 0, 0)).collect();
        let scores = scores(128.0, &Sheet::from_rows(&rows));
        assert!(scores.iter().rev().is_sorted() && scores[0] == 0.5 && scores[299] == 0.0);
    }
}
