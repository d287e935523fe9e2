//! Short queues first: (max - QD) / (max - min) over queue depths; 1 for all when all are equal.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "queue-depth",
    summary: "short queue, relative to the others",
    formula: "(max - QD) / (max - min)",
    params: &[],
    make: &|_| Box::new(QueueDepth),
};

/// `queue-depth`.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueueDepth;

impl Scorer for QueueDepth {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        super::inverted(view.queue_depth, out);
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
        assert_eq!(Sheet::worked_example().scores(&mut QueueDepth), [0.0, 0.75, 1.0]);
        assert_eq!(Sheet::idle(2).scores(&mut QueueDepth), [1.0, 1.0]);
    }

    proptest! {
        /// Laws: longer queues never score more, somebody scores 1, and as many more everywhere change nothing.
        #[test]
        fn only_differences_count(mut column in prop::collection::vec(0u32..50, 1..20), more in 0u32..50) {
            column.sort_unstable();
            let scores = |more: u32| {
                let rows: Vec<_> = column.iter().map(|&n| (n + more, 0, 0.0, 0, 0)).collect();
                Sheet::from_rows(&rows).scores(&mut QueueDepth)
            };
            let plain = scores(0);
            prop_assert!(plain.iter().rev().is_sorted() && plain[0] == 1.0, "{plain:?}");
            prop_assert_eq!(plain, scores(more));
        }
    }
}
