//! Small batches first: (max - BS) / (max - min) over batch sizes; 1 for all when all are equal.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "running-requests",
    summary: "small batch, relative to the others",
    formula: "(max - BS) / (max - min)",
    params: &[],
    make: |_| Box::new(RunningRequests),
};

/// `running-requests`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunningRequests;

impl Scorer for RunningRequests {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        super::inverted(view.batch_size, out);
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
    fn worked_example_and_all_equal() {
        assert_eq!(Sheet::worked_example().scores(&mut RunningRequests), [0.0, 4.0 / 9.0, 1.0]);
        assert_eq!(Sheet::idle(2).scores(&mut RunningRequests), [1.0, 1.0]);
    }
}
