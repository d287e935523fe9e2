//! Sheddable classes are turned away while the instances are saturated.
//!
//! rank >= 0: let in. Otherwise refused iff the mean over the instances of max(QD / qd, KV / kv) is at least 1; without
//! instances it counts as 1.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission, Param, Range};
use crate::saturation::mean_roofline;
use std::borrow::Cow;

const QUEUE: &str = "gaie-qd-threshold";
const KV: &str = "gaie-kv-threshold";

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "gaie-legacy",
    summary: "sheddable classes are turned away while wait queues or KV caches are full",
    formula: "refuse if rank < 0 and mean of max(QD / qd, KV / kv) >= 1",
    params: &[
        Param {
            name: QUEUE,
            summary: "waiting requests per instance that count as full (qd)",
            default: 5.0,
            range: Range::Positive,
        },
        Param {
            name: KV,
            summary: "share of KV blocks in use that counts as full (kv)",
            default: 0.8,
            range: Range::Fraction,
        },
    ],
    make: &|setup| {
        Box::new(GaieLegacy {
            queue_depth_threshold: setup.params.get(QUEUE),
            kv_threshold: setup.params.get(KV),
            refused: (String::new(), 0.0),
        })
    },
};

/// `gaie-legacy`.
#[derive(Clone, Debug)]
pub struct GaieLegacy {
    queue_depth_threshold: f64,
    kv_threshold: f64,
    /// Class and saturation of the last refusal.
    refused: (String, f64),
}

impl Admission for GaieLegacy {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        if view.slo_rank >= 0 {
            return Decision::Admit;
        }
        let (queue_depth, kv) = (self.queue_depth_threshold, self.kv_threshold);
        let saturation = mean_roofline(view.queue_depth, view.kv_utilization, queue_depth, kv);
        if saturation < 1.0 {
            return Decision::Admit;
        }
        self.refused = (view.slo_class.to_owned(), saturation);
        Decision::Reject
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }

    fn reason(&self) -> Cow<'static, str> {
        let (class, saturation) = &self.refused;
        Cow::Owned(format!("gaie-saturated: class={class} saturation={saturation:.2}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{made, view};

    fn full<'a>(rank: i32, queue_depth: &'a [u32], kv_utilization: &'a [f64]) -> AdmissionView<'a> {
        AdmissionView { slo_class: "batch", slo_rank: rank, queue_depth, kv_utilization, ..view(0, 10) }
    }

    #[test]
    fn at_saturation_one_sheddable_classes_are_refused() {
        let mut policy = made(ENTRY, &[]);
        assert_eq!(policy.admit(&full(-1, &[4, 0], &[0.1, 0.8])), Decision::Admit);
        assert_eq!(policy.admit(&full(-1, &[5, 0], &[0.1, 0.8])), Decision::Reject);
        assert_eq!(policy.reason(), "gaie-saturated: class=batch saturation=1.00");
        assert_eq!(policy.admit(&full(0, &[5, 0], &[0.1, 0.8])), Decision::Admit);
        assert_eq!(policy.admit(&full(-1, &[], &[])), Decision::Reject);
    }
}
