//! Under load, the less important classes are turned away.
//!
//! l := the largest load of any instance (0 without instances). l <= threshold: everybody is let in. Otherwise a request
//! is refused iff its rank is below the least rank that is protected.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission, Param, Range};
use crate::routing::LoadRule;
use std::borrow::Cow;

const THRESHOLD: &str = "tier-shed-threshold";
const MIN_PRIORITY: &str = "tier-shed-min-priority";

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "tier-shed",
    summary: "under load, classes below a rank are turned away",
    formula: "refuse if max L > T and rank < m",
    params: &[
        Param {
            name: THRESHOLD,
            summary: "load of the busiest instance up to which everybody is let in, requests (T)",
            default: 0.0,
            range: Range::Count,
        },
        Param {
            name: MIN_PRIORITY,
            summary: "least rank that is always let in (m)",
            default: 0.0,
            range: Range::Integer,
        },
    ],
    make: &|setup| {
        Box::new(TierShed {
            threshold: setup.params.get(THRESHOLD),
            min_rank: setup.params.get(MIN_PRIORITY) as i32,
            rule: setup.load(),
            refused: (String::new(), 0, 0),
        })
    },
};

/// `tier-shed`.
#[derive(Clone, Debug)]
pub struct TierShed {
    threshold: f64,
    min_rank: i32,
    rule: LoadRule,
    /// Class, rank and load of the last refusal.
    refused: (String, i32, u64),
}

impl Admission for TierShed {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        let load = (0..view.in_flight.len()).map(|i| view.load_of(i)).max().unwrap_or(0);
        if load as f64 <= self.threshold || view.slo_rank >= self.min_rank {
            return Decision::Admit;
        }
        self.refused = (view.slo_class.to_owned(), view.slo_rank, load);
        Decision::Reject
    }

    fn reads(&self) -> Reads {
        self.rule.reads()
    }

    fn reason(&self) -> Cow<'static, str> {
        let ((class, rank, load), min) = (&self.refused, self.min_rank);
        Cow::Owned(format!("tier-shed: class={class} priority={rank} < min={min} load={load}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{made, view};

    fn loaded(rank: i32, in_flight: &[u32]) -> AdmissionView<'_> {
        AdmissionView { slo_class: "batch", slo_rank: rank, in_flight, ..view(0, 10) }
    }

    #[test]
    fn beyond_ten_requests_only_ranks_of_three_and_more_enter() {
        let mut policy = made(ENTRY, &[(THRESHOLD, 10.0), (MIN_PRIORITY, 3.0)]);
        assert_eq!(policy.admit(&loaded(-1, &[10, 4])), Decision::Admit);
        assert_eq!(policy.admit(&loaded(3, &[12, 4])), Decision::Admit);
        assert_eq!(policy.admit(&loaded(-1, &[12, 4])), Decision::Reject);
        assert_eq!(policy.reason(), "tier-shed: class=batch priority=-1 < min=3 load=12");
        assert_eq!(policy.admit(&loaded(-1, &[])), Decision::Admit);
    }
}
