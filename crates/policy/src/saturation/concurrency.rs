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
    make: |setup| Box::new(Concurrency { limit: setup.params.get(LIMIT) }),
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

    #[test]
    fn in_flight_requests_of_all_instances_share_one_limit() {
        let mut detector = made(ENTRY, &[("max-concurrency", 5.0)]);
        assert_eq!(saturation(&mut *detector, &[(0, 0.0, 10), (0, 0.0, 0)]), 1.0);
        assert_eq!(saturation(&mut *detector, &[(9, 1.0, 1), (9, 1.0, 0)]), 0.1);
        assert_eq!(saturation(&mut *detector, &[]), 1.0);
    }
}
