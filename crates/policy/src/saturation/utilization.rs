//! Queues and caches: mean over the instances of max(QD / q, KV / k); 1 without instances.

use super::{FleetView, SaturationDetector, mean_roofline};
use crate::Reads;
use crate::registry::{Entry, MakeDetector, Param, Range};

const QUEUE: &str = "queue-depth-threshold";
const KV: &str = "kv-cache-util-threshold";

/// What the registry says of it.
pub const ENTRY: Entry<MakeDetector> = Entry {
    name: "utilization",
    summary: "wait queues and KV caches against thresholds",
    formula: "mean of max(QD / q, KV / k)",
    params: &[
        Param {
            name: QUEUE,
            summary: "waiting requests per instance that count as full (q)",
            default: 5.0,
            range: Range::Positive,
        },
        Param {
            name: KV,
            summary: "share of KV blocks in use that counts as full (k)",
            default: 0.8,
            range: Range::Positive,
        },
    ],
    make: &|setup| {
        Box::new(Utilization {
            queue_depth_threshold: setup.params.get(QUEUE),
            kv_threshold: setup.params.get(KV),
        })
    },
};

/// `utilization`.
#[derive(Clone, Copy, Debug)]
pub struct Utilization {
    queue_depth_threshold: f64,
    kv_threshold: f64,
}

impl SaturationDetector for Utilization {
    fn saturation(&mut self, fleet: &FleetView<'_>) -> f64 {
        mean_roofline(fleet.queue_depth, fleet.kv_utilization, self.queue_depth_threshold, self.kv_threshold)
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::tests::{made, saturation};
    use proptest::prelude::*;

    #[test]
    fn each_instance_counts_by_what_is_fuller() {
        let mut detector = made(ENTRY, &[]);
        assert_eq!(saturation(&mut *detector, &[(5, 0.1, 0), (0, 0.8, 0)]), 1.0);
        assert_eq!(saturation(&mut *detector, &[(4, 0.1, 0), (0, 0.8, 0)]), 0.9);
        assert_eq!(saturation(&mut *detector, &[]), 1.0);
    }

    proptest! {
        /// Law: the mean lies between the emptiest and the fullest instance.
        #[test]
        fn it_lies_between_the_emptiest_and_the_fullest(
            fleet in prop::collection::vec((0u32..50, 0.0f64..=1.0), 1..12),
        ) {
            let mut detector = made(ENTRY, &[]);
            let fleet: Vec<_> = fleet.into_iter().map(|(queue, kv)| (queue, kv, 0)).collect();
            let each: Vec<_> = fleet.iter().map(|&one| saturation(&mut *detector, &[one])).collect();
            let all = saturation(&mut *detector, &fleet);
            let (least, most) = each.iter().fold((f64::INFINITY, 0.0_f64), |(l, m), &x| (l.min(x), m.max(x)));
            prop_assert!(least - 1e-9 <= all && all <= most + 1e-9, "{all} of {each:?}");
        }
    }
}
