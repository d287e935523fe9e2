//! Drift plus penalty that tunes itself (empirical DPP, first form): what a transfer costs and how much relief of decode
//! instances is worth are learned from requests that complete.
//!
//! `split = V * eta * Q_D > Q_P + Z * kappa`
//!
//! Q_D, Q_P: requests that wait at the decode and at the prefill instances. With every split request that completes
//! Z := max(0, Z + TTFT - d), microseconds, and, where both times are positive,
//! kappa := (1 - alpha) * kappa + alpha * transfer / (transfer start - arrival). After every epoch of completions with a
//! positive inter-token latency V := V + 0.1 * (mean - target) / target, kept within its bounds: slow tokens mean more
//! splitting.

use super::virtual_queue::VirtualQueue;
use super::{Decider, DeciderView, Served};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Params, Range};

const TARGET: &str = "edpp-ttft-slo-d";
const ITL_TARGET: &str = "edpp-itl-target";
const ETA: &str = "edpp-eta";
const V_INIT: &str = "edpp-v-init";
const V_MIN: &str = "edpp-v-min";
const V_MAX: &str = "edpp-v-max";
const ALPHA: &str = "edpp-alpha";
const EPOCH: &str = "edpp-epoch-size";

/// Share of the pre-decode time that a transfer is taken to have before one was seen (measured in the published study).
const FIRST_KAPPA: f64 = 0.114;
/// Step of V per unit of relative error.
const V_STEP: f64 = 0.1;

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "edpp-v1",
    summary: "drift plus penalty that tunes its weight and its transfer cost from completed requests",
    formula: "split = V * eta * Q_D > Q_P + Z * kappa; V, Z and kappa learned",
    params: &[
        Param {
            name: TARGET,
            summary: "mean time to the first token that requests may take, ms (d)",
            default: 100.0,
            range: Range::Positive,
        },
        Param {
            name: ITL_TARGET,
            summary: "mean inter-token latency to hold, ms",
            default: 30.0,
            range: Range::Positive,
        },
        Param {
            name: ETA,
            summary: "weight of a request that waits for decode against one that waits for prefill (eta)",
            default: 1.0,
            range: Range::NonNegative,
        },
        Param { name: V_INIT, summary: "V at the start", default: 1.0, range: Range::NonNegative },
        Param { name: V_MIN, summary: "smallest V", default: 0.05, range: Range::NonNegative },
        Param { name: V_MAX, summary: "largest V", default: 50.0, range: Range::NonNegative },
        Param {
            name: ALPHA,
            summary: "weight of the newest transfer in kappa (alpha)",
            default: 0.05,
            range: Range::Fraction,
        },
        Param {
            name: EPOCH,
            summary: "completions between two changes of V",
            default: 50.0,
            range: Range::PositiveCount,
        },
    ],
    make: &|setup| Box::new(EdppV1::new(setup.params)),
};

/// See the module.
#[derive(Clone, Debug)]
pub struct EdppV1 {
    eta: f64,
    itl_target_us: f64,
    v: f64,
    v_min: f64,
    v_max: f64,
    alpha: f64,
    epoch: u64,
    kappa: f64,
    /// Z.
    late_us: VirtualQueue,
    itl_sum_us: f64,
    itls: u64,
}

impl EdppV1 {
    fn new(params: &Params) -> Self {
        Self {
            eta: params.get(ETA),
            itl_target_us: params.get(ITL_TARGET) * 1e3,
            v: params.get(V_INIT),
            v_min: params.get(V_MIN),
            v_max: params.get(V_MAX),
            alpha: params.get(ALPHA),
            epoch: params.get(EPOCH) as u64,
            kappa: FIRST_KAPPA,
            late_us: VirtualQueue::new(params.get(TARGET) * 1e3),
            itl_sum_us: 0.0,
            itls: 0,
        }
    }

    fn learn_transfer(&mut self, served: &Served) {
        let Some(times) = served.split else { return };
        self.late_us.note(served.ttft.as_us() as f64);
        let transfer_us = (times.transfer_until - times.transfer_from).as_us() as f64;
        let before_us = (times.transfer_from - served.arrival).as_us() as f64;
        if transfer_us > 0.0 && before_us > 0.0 {
            self.kappa = (1.0 - self.alpha) * self.kappa + self.alpha * transfer_us / before_us;
        }
    }

    fn learn_itl(&mut self, itl_us: f64) {
        if itl_us <= 0.0 {
            return;
        }
        self.itl_sum_us += itl_us;
        self.itls += 1;
        if self.itls == self.epoch {
            let mean_us = self.itl_sum_us / self.itls as f64;
            let error = (mean_us - self.itl_target_us) / self.itl_target_us;
            self.v = (self.v + V_STEP * error).min(self.v_max).max(self.v_min);
            (self.itl_sum_us, self.itls) = (0.0, 0);
        }
    }
}

impl Decider for EdppV1 {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        if view.input_tokens == 0 {
            return false;
        }
        let relief = self.v * self.eta * view.decode.waiting() as f64;
        relief > view.prefill.waiting() as f64 + self.late_us.backlog() * self.kappa
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }

    fn observe(&mut self, served: &Served) {
        self.learn_transfer(served);
        self.learn_itl(served.itl_mean_us);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{prompt, served, while_waiting};
    use super::*;
    use proptest::prelude::*;

    fn made(values: &[(&str, f64)]) -> EdppV1 {
        EdppV1::new(&ENTRY.with(values).unwrap().params)
    }

    fn with_itl(itl_us: f64) -> Served {
        Served { itl_mean_us: itl_us, ..served(0, None) }
    }

    #[test]
    fn worked_example() {
        let mut decider = made(&[]);
        let view = |prefill, decode| while_waiting(prompt(100, 0), prefill, decode);
        assert!(decider.splits(&view(&[2], &[2, 1])), "3 > 2");
        assert!(!decider.splits(&view(&[3], &[2, 1])), "3 = 3");
        // 100 ms too late, of which the transfer began after 80 ms and took 40: kappa = 0.95 * 0.114 + 0.05 * 0.5.
        decider.observe(&served(200_000, Some((80_000, 120_000))));
        assert_eq!(decider.kappa, 0.95 * 0.114 + 0.05 * 0.5);
        assert_eq!(decider.late_us.backlog(), 100_000.0);
        assert!(!decider.splits(&view(&[], &[9_999])), "Z * kappa = 13,330 is more than 9,999");
        assert!(decider.splits(&view(&[], &[13_331])));
        assert!(!decider.splits(&DeciderView { input_tokens: 0, ..view(&[], &[99_999]) }));
    }

    #[test]
    fn after_an_epoch_of_slow_tokens_more_is_split() {
        let mut decider = made(&[(EPOCH, 2.0)]);
        decider.observe(&with_itl(75_000.0));
        decider.observe(&with_itl(0.0));
        assert_eq!(decider.v, 1.0, "single tokens do not count");
        decider.observe(&with_itl(45_000.0));
        // The mean is 60 ms, twice the target.
        assert_eq!(decider.v, 1.1);
    }

    proptest! {
        /// Laws: V stays within its bounds, whatever they are, and Z and kappa never fall below zero.
        #[test]
        fn what_is_learned_stays_in_bounds(
            seen in prop::collection::vec((0i64..10_000_000, 0i64..1_000_000, 0i64..1_000_000, 0.0f64..1e7), 0..200),
            bounds in (0.0f64..10.0, 0.0f64..10.0),
        ) {
            let (low, high) = (bounds.0.min(bounds.1), bounds.0.max(bounds.1));
            let mut decider = made(&[(EPOCH, 3.0), (V_MIN, low), (V_MAX, high), (V_INIT, low)]);
            for (ttft, from, took, itl) in seen {
                let served = served(ttft, Some((from, from + took)));
                decider.observe(&Served { itl_mean_us: itl, ..served });
                prop_assert!((low..=high).contains(&decider.v));
                prop_assert!(decider.late_us.backlog() >= 0.0 && decider.kappa >= 0.0);
            }
        }
    }
}
