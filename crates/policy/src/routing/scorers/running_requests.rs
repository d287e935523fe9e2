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
    make: &|_| Box::new(RunningRequests),
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
    use proptest::prelude::*;

    #[test]
    fn worked_example_and_all_equal() {
        assert_eq!(Sheet::worked_example().scores(&mut RunningRequests), [0.0, 4.0 / 9.0, 1.0]);
        assert_eq!(Sheet::idle(2).scores(&mut RunningRequests), [1.0, 1.0]);
    }

    proptest! {
        /// Laws: larger batches never score more, somebody scores 1, and as many more everywhere change nothing.
        #[test]
        fn only_differences_count(mut column in prop::collection::vec(0u32..50, 1..20), more in 0u32..50) {
            column.sort_unstable();
            let scores = |more: u32| {
                let rows: Vec<_> = column.iter().map(|&n| (0, n + more, 0.0, 0, 0)).collect();
                Sheet::from_rows(&rows).scores(&mut RunningRequests)
            };
            let plain = scores(0);
            prop_assert!(plain.iter().rev().is_sorted() && plain[0] == 1.0, "{plain:?}");
            prop_assert_eq!(plain, scores(more));
        }
    }
}
