//! Requests in flight: sum of IF / (n * c); 1 without instances.

use super::{FleetView, SaturationDetector};
use crate::Reads;
use crate::registry::{Entry, MakeDetector, Param, Range};

const LIMIT: &str = "max-concurrency";

/// What the registry says of it.
pub const ENTRY: Entry<MakeDetector> = Entry {
    name: "concurrency",
    summary: "requests in flight against a limit per instance",
    formula: "sum of IF / (n * c)",
    params: &[Param {
        name: LIMIT,
        summary: "requests in flight per instance that count as full (c)",
        default: 100.0,
        range: Range::PositiveCount,
    }],
    make: &|setup| Box::new(Concurrency { limit: setup.params.get(LIMIT) }),
};

/// `concurrency`.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    limit: f64,
}

impl SaturationDetector for Concurrency {
    fn saturation(&mut self, fleet: &FleetView<'_>) -> f64 {
        if fleet.in_flight.is_empty() {
            return 1.0;
        }
        let in_flight: u64 = fleet.in_flight.iter().map(|&n| u64::from(n)).sum();
        in_flight as f64 / (fleet.in_flight.len() as f64 * self.limit)
    }

    fn reads(&self) -> Reads {
        Reads::IN_FLIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::saturation::tests::{made, saturation};
    use proptest::prelude::*;

    #[test]
    fn in_flight_requests_of_all_instances_share_one_limit() {
        let mut detector = made(ENTRY, &[("max-concurrency", 5.0)]);
        assert_eq!(saturation(&mut *detector, &[(0, 0.0, 10), (0, 0.0, 0)]), 1.0);
        assert_eq!(saturation(&mut *detector, &[(9, 1.0, 1), (9, 1.0, 0)]), 0.1);
        assert_eq!(saturation(&mut *detector, &[]), 1.0);
    }

    proptest! {
        /// Law: it does not matter where the requests are, and twice the fleet with twice the requests is as full.
        #[test]
        fn only_the_mean_counts(in_flight in prop::collection::vec(0u32..300, 1..12)) {
            let mut detector = made(ENTRY, &[]);
            let mut fleet: Vec<_> = in_flight.iter().map(|&n| (0, 0.0, n)).collect();
            let one_way = saturation(&mut *detector, &fleet);
            let total: u32 = in_flight.iter().sum();
            let mut piled = vec![(0, 0.0, 0); in_flight.len()];
            piled[0].2 = total;
            prop_assert_eq!(one_way, saturation(&mut *detector, &piled));
            fleet.extend_from_within(..);
            prop_assert_eq!(one_way, saturation(&mut *detector, &fleet));
        }
    }
}
