//! The best instance counts: min over the instances of max(QD / (0.15 * largest batch), KV / 0.95); 1 without
//! instances. Saturated only when every instance is.

use super::{FleetView, SaturationDetector, roofline};
use crate::Reads;
use crate::registry::{Entry, MakeDetector};

/// Share of the largest batch that may wait.
const WAITING_SHARE: f64 = 0.15;
/// Share of KV blocks in use that counts as full.
const KV_THRESHOLD: f64 = 0.95;
/// Requests that may wait where the largest batch is not known.
const WAITING_WITHOUT_BATCH: f64 = 5.0;

/// What the registry says of it.
pub const ENTRY: Entry<MakeDetector> = Entry {
    name: "batch-relative-min",
    summary: "the emptiest instance: its queue against its batch size, its KV cache",
    formula: "min of max(QD / (0.15 * max batch), KV / 0.95)",
    params: &[],
    make: &|_| Box::new(BatchRelativeMin),
};

/// `batch-relative-min`.
#[derive(Clone, Copy, Debug)]
pub struct BatchRelativeMin;

impl SaturationDetector for BatchRelativeMin {
    fn saturation(&mut self, fleet: &FleetView<'_>) -> f64 {
        let threshold = match fleet.max_num_seqs {
            0 => WAITING_WITHOUT_BATCH,
            batch => WAITING_SHARE * f64::from(batch),
        };
        let each = fleet.queue_depth.iter().zip(fleet.kv_utilization);
        let least = each
            .map(|(&queue, &kv)| roofline(queue, kv, threshold, KV_THRESHOLD))
            .fold(f64::INFINITY, |least, x| if x < least { x } else { least });
        if least.is_finite() { least } else { 1.0 }
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::tests::saturation;
    use proptest::prelude::*;

    #[test]
    fn one_instance_with_room_is_enough() {
        // Batches of 100: fifteen may wait.
        assert_eq!(saturation(&mut BatchRelativeMin, &[(30, 0.1, 0), (3, 0.0, 0)]), 0.2);
        assert_eq!(saturation(&mut BatchRelativeMin, &[(30, 0.1, 0), (0, 0.95, 0)]), 1.0);
        assert_eq!(saturation(&mut BatchRelativeMin, &[]), 1.0);
    }

    proptest! {
        /// Law: it is that of one instance alone, and no instance alone has less.
        #[test]
        fn the_emptiest_instance_counts_for_all(fleet in prop::collection::vec((0u32..50, 0.0f64..=1.0), 1..12)) {
            let fleet: Vec<_> = fleet.into_iter().map(|(queue, kv)| (queue, kv, 0)).collect();
            let all = saturation(&mut BatchRelativeMin, &fleet);
            prop_assert!(fleet.iter().all(|&one| all <= saturation(&mut BatchRelativeMin, &[one])));
            prop_assert!(fleet.iter().any(|&one| all == saturation(&mut BatchRelativeMin, &[one])));
        }
    }
}
