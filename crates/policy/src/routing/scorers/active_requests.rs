//! Few requests in flight first: 1 when IF = 0, else (max - IF) / max.
//!
//! The busiest candidate always scores 0; equally busy ones all do.

use crate::Reads;
use crate::registry::{Entry, MakeScorer};
use crate::routing::{RouterView, Scorer};

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "active-requests",
    summary: "few requests in flight",
    formula: "1 if IF = 0, else (max - IF) / max",
    params: &[],
    make: |_| Box::new(ActiveRequests),
};

/// `active-requests`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ActiveRequests;

impl Scorer for ActiveRequests {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        let (_, max) = super::range(view.in_flight);
        if max == 0 {
            out.fill(1.0);
            return;
        }
        let most = f64::from(max);
        for (score, &in_flight) in out.iter_mut().zip(view.in_flight) {
            *score = f64::from(max - in_flight) / most;
        }
    }

    fn reads(&self) -> Reads {
        Reads::IN_FLIGHT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::tests::Sheet;

    #[test]
    fn worked_example() {
        assert_eq!(Sheet::worked_example().scores(&mut ActiveRequests), [0.0, 0.5, 17.0 / 18.0]);
    }

    #[test]
    fn all_idle_score_one_and_all_equally_busy_score_zero() {
        assert_eq!(Sheet::idle(2).scores(&mut ActiveRequests), [1.0, 1.0]);
        let busy = Sheet::from_rows(&[(0, 0, 0.0, 3, 0), (0, 0, 0.0, 3, 0)]);
        assert_eq!(busy.scores(&mut ActiveRequests), [0.0, 0.0]);
    }
}
