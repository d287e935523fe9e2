//! The most important class first; within a flow the earliest deadline, requests without a target last.
//!
//! `band = rank, key = time of joining + SLO target`

use super::{DispatchOrder, Queued};
use crate::registry::{Entry, MakeOrder};
use blis_kernel::Tick;

/// What the registry says of it.
pub const ENTRY: Entry<MakeOrder> = Entry {
    name: "slo-deadline",
    summary: "the most important SLO class first, then the earliest SLO deadline",
    formula: "(rank descending, joined + target, order of arrival)",
    params: &[],
    make: &|_| Box::new(SloDeadline),
};

/// `slo-deadline`.
#[derive(Clone, Copy, Debug)]
pub struct SloDeadline;

impl DispatchOrder for SloDeadline {
    fn band(&self, request: &Queued) -> i32 {
        request.rank
    }

    fn key(&self, request: &Queued) -> Tick {
        request.slo_target.map_or(Tick::MAX, |target| request.since + target)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queued;
    use super::*;

    #[test]
    fn deadlines_600_250_650_and_none() {
        let keys = [(100, Some(500)), (200, Some(50)), (150, Some(500)), (0, None)]
            .map(|(since, target)| SloDeadline.key(&queued(3, since, target)));
        assert_eq!(keys, [Tick::from_us(600), Tick::from_us(250), Tick::from_us(650), Tick::MAX]);
    }
}
