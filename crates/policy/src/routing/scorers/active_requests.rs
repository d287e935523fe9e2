//! Few requests in flight first: 1 when IF <= idle, else b * (max - IF) / max.
//!
//! The busiest candidate always scores 0; equally busy ones all do.

use crate::Reads;
use crate::registry::{Entry, MakeScorer, Param, Range};
use crate::routing::{RouterView, Scorer};

const IDLE: &str = "active-requests-idle";
const MOST: &str = "active-requests-max-busy";

/// What the registry says of it.
pub const ENTRY: Entry<MakeScorer> = Entry {
    name: "active-requests",
    summary: "few requests in flight",
    formula: "1 if IF <= idle, else b * (max - IF) / max",
    params: &[
        Param {
            name: IDLE,
            summary: "requests in flight up to which an instance counts as idle",
            default: 0.0,
            range: Range::Count,
        },
        Param {
            name: MOST,
            summary: "score that no busy instance reaches (b)",
            default: 1.0,
            range: Range::Share,
        },
    ],
    make: &|setup| {
        Box::new(ActiveRequests { idle: setup.params.get(IDLE) as u32, most: setup.params.get(MOST) })
    },
};

/// `active-requests`.
#[derive(Clone, Copy, Debug)]
pub struct ActiveRequests {
    idle: u32,
    most: f64,
}

impl Scorer for ActiveRequests {
    fn score(&mut self, view: &RouterView<'_>, out: &mut [f64]) {
        let (_, max) = super::range(view.in_flight);
        if max <= self.idle {
            out.fill(1.0);
            return;
        }
        let busiest = f64::from(max);
        for (score, &in_flight) in out.iter_mut().zip(view.in_flight) {
            let busy = f64::from(max - in_flight) / busiest * self.most;
            *score = if in_flight <= self.idle { 1.0 } else { busy };
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
    use proptest::prelude::*;

    const PLAIN: ActiveRequests = ActiveRequests { idle: 0, most: 1.0 };

    #[test]
    fn worked_example() {
        assert_eq!(Sheet::worked_example().scores(&mut PLAIN.clone()), [0.0, 0.5, 17.0 / 18.0]);
        let mut lenient = ActiveRequests { idle: 1, most: 0.8 };
        assert_eq!(Sheet::worked_example().scores(&mut lenient), [0.0, 0.4, 1.0]);
    }

    #[test]
    fn all_idle_score_one_and_all_equally_busy_score_zero() {
        assert_eq!(Sheet::idle(2).scores(&mut PLAIN.clone()), [1.0, 1.0]);
        let busy = Sheet::from_rows(&[(0, 0, 0.0, 3, 0), (0, 0, 0.0, 3, 0)]);
        assert_eq!(busy.scores(&mut PLAIN.clone()), [0.0, 0.0]);
    }

    proptest! {
        /// Law: who has more in flight never scores more.
        #[test]
        fn more_in_flight_never_scores_more(
            mut in_flight in prop::collection::vec(0u32..100, 1..20), idle in 0u32..20, most in 0.0f64..=1.0,
        ) {
            in_flight.sort_unstable();
            let rows: Vec<_> = in_flight.iter().map(|&n| (0, 0, 0.0, n, 0)).collect();
            let scores = Sheet::from_rows(&rows).scores(&mut ActiveRequests { idle, most });
            prop_assert!(scores.iter().rev().is_sorted(), "{scores:?}");
        }
    }
}
