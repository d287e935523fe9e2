//! Sheddable classes are turned away ever more often, long before the instances are saturated.
//!
//! rank >= 0 or no instances: let in. Otherwise sat := mean over the instances of max(QD / q, KV / v), and the request
//! is refused with probability min(k * sat^e, 1). A number is drawn only where that is strictly between 0 and 1.

use super::{Admission, AdmissionView, Decision};
use crate::Reads;
use crate::registry::{Entry, MakeAdmission, Param, Range};
use crate::saturation::mean_roofline;
use blis_kernel::rng::GoRand;
use std::borrow::Cow;

const QUEUE: &str = "probabilistic-qd-threshold";
const KV: &str = "probabilistic-kv-threshold";
const POWER: &str = "probabilistic-power";
const SCALE: &str = "probabilistic-scale";

/// What the registry says of it.
pub const ENTRY: Entry<MakeAdmission> = Entry {
    name: "probabilistic-admitter",
    summary: "sheddable classes are turned away with a probability that grows smoothly with saturation",
    formula: "refuse if rank < 0 with probability min(k * sat^e, 1), sat = mean of max(QD / q, KV / v)",
    params: &[
        Param {
            name: QUEUE,
            summary: "waiting requests per instance that count as full (q)",
            default: 5.0,
            range: Range::Positive,
        },
        Param {
            name: KV,
            summary: "share of KV blocks in use that counts as full (v)",
            default: 0.8,
            range: Range::Fraction,
        },
        Param { name: POWER, summary: "exponent (e)", default: 5.0, range: Range::Positive },
        Param { name: SCALE, summary: "factor (k)", default: 300.0, range: Range::Positive },
    ],
    make: &|setup| {
        Box::new(ProbabilisticAdmitter {
            queue_depth_threshold: setup.params.get(QUEUE),
            kv_threshold: setup.params.get(KV),
            power: setup.params.get(POWER),
            scale: setup.params.get(SCALE),
            random: setup.random(),
            refused: (String::new(), 0.0),
        })
    },
};

/// `probabilistic-admitter`.
#[derive(Clone, Debug)]
pub struct ProbabilisticAdmitter {
    queue_depth_threshold: f64,
    kv_threshold: f64,
    power: f64,
    scale: f64,
    random: GoRand,
    /// Class and probability of the last refusal.
    refused: (String, f64),
}

impl Admission for ProbabilisticAdmitter {
    fn admit(&mut self, view: &AdmissionView<'_>) -> Decision {
        if view.slo_rank >= 0 || view.queue_depth.is_empty() {
            return Decision::Admit;
        }
        let (queue_depth, kv) = (self.queue_depth_threshold, self.kv_threshold);
        let saturation = mean_roofline(view.queue_depth, view.kv_utilization, queue_depth, kv);
        let probability = (self.scale * libm::pow(saturation, self.power)).min(1.0);
        if probability <= 0.0 || (probability < 1.0 && self.random.float64() >= probability) {
            return Decision::Admit;
        }
        self.refused = (view.slo_class.to_owned(), probability);
        Decision::Reject
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }

    fn reason(&self) -> Cow<'static, str> {
        let (class, probability) = &self.refused;
        Cow::Owned(format!("probabilistic: class={class} probability={probability:.3}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::{made, view};

    /// Share of 10,000 requests that are refused when every KV cache is filled to `saturation`.
    fn refused(saturation: f64) -> f64 {
        let mut policy = made(ENTRY, &[(KV, 1.0)]);
        let kv = [saturation];
        let view = AdmissionView { slo_rank: -1, queue_depth: &[0], kv_utilization: &kv, ..view(0, 10) };
        (0..10_000).filter(|_| policy.admit(&view) == Decision::Reject).count() as f64 / 10_000.0
    }

    #[test]
    fn the_curve_is_smooth_and_reaches_one_at_a_third() {
        // Three standard deviations of a share of 10,000 draws are at most 0.015.
        for (saturation, share) in [(0.15, 0.023), (0.20, 0.096), (0.25, 0.293), (0.30, 0.729)] {
            assert!((refused(saturation) - share).abs() < 0.015, "saturation {saturation}");
        }
        assert_eq!((refused(0.0), refused(0.32)), (0.0, 1.0));
    }

    #[test]
    fn important_classes_are_always_let_in() {
        let mut policy = made(ENTRY, &[]);
        let view = AdmissionView { slo_rank: 0, queue_depth: &[99], kv_utilization: &[1.0], ..view(0, 10) };
        assert_eq!(policy.admit(&view), Decision::Admit);
    }
}
