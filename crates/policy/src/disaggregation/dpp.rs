//! Drift plus penalty with constants: waiting at decode instances against waiting at prefill instances, the time to the
//! first token of split requests against its target.
//!
//! `split = eta * Q_D + V * c_D / 2 > Q_P + Z * T / W_P`
//!
//! Q_D, Q_P: requests that wait at the decode and at the prefill instances; T: transfer time of the prompt's KV; c_D,
//! W_P: a decode step and a prefill. Z := max(0, Z + TTFT - d) with every split request that completes. All times in
//! microseconds.

use super::virtual_queue::VirtualQueue;
use super::{Decider, DeciderView, Served};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Range};

const V: &str = "dpp-v";
const ETA: &str = "dpp-eta";
const TARGET: &str = "dpp-ttft-slo-d";
const DECODE_STEP: &str = "dpp-decode-step-us";
const PREFILL: &str = "dpp-prefill-us";

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "dpp",
    summary: "drift plus penalty: both pools' queues and the TTFT target of split requests",
    formula: "split = eta * Q_D + V * c_D / 2 > Q_P + Z * T / W_P; Z := max(0, Z + TTFT - d) when split",
    params: &[
        Param {
            name: V,
            summary: "weight of relieving decode instances (V)",
            default: 100.0,
            range: Range::NonNegative,
        },
        Param {
            name: ETA,
            summary: "weight of a request that waits for decode against one that waits for prefill (eta)",
            default: 1.0,
            range: Range::NonNegative,
        },
        Param {
            name: TARGET,
            summary: "mean time to the first token that split requests may take, ms (d)",
            default: 50.0,
            range: Range::Positive,
        },
        Param {
            name: DECODE_STEP,
            summary: "a decode step, µs (c_D)",
            default: 13_000.0,
            range: Range::NonNegative,
        },
        Param { name: PREFILL, summary: "a prefill, µs (W_P)", default: 29_900.0, range: Range::Positive },
    ],
    make: &|setup| {
        Box::new(Dpp {
            v: setup.params.get(V),
            eta: setup.params.get(ETA),
            decode_step_us: setup.params.get(DECODE_STEP),
            prefill_us: setup.params.get(PREFILL),
            late_us: VirtualQueue::new(setup.params.get(TARGET) * 1e3),
        })
    },
};

/// See the module.
#[derive(Clone, Debug)]
pub struct Dpp {
    v: f64,
    eta: f64,
    decode_step_us: f64,
    prefill_us: f64,
    /// Z.
    late_us: VirtualQueue,
}

impl Decider for Dpp {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        if view.input_tokens == 0 {
            return false;
        }
        let transfer_us = view.transfer_time.as_us() as f64;
        let gain = self.eta * view.decode.waiting() as f64 + self.v * self.decode_step_us / 2.0;
        gain > view.prefill.waiting() as f64 + self.late_us.backlog() * transfer_us / self.prefill_us
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT
    }

    fn observe(&mut self, served: &Served) {
        if served.split.is_some() {
            self.late_us.note(served.ttft.as_us() as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{made, prompt, served, while_waiting};
    use super::*;
    use proptest::prelude::*;

    /// Transfers take 5,000 µs, prefills 10,000: Z counts half. V * c_D / 2 is 4.
    const EVEN: [(&str, f64); 4] = [(V, 2.0), (DECODE_STEP, 4.0), (PREFILL, 10_000.0), (TARGET, 50.0)];

    #[test]
    fn worked_example() {
        let mut decider = made(ENTRY, &EVEN);
        let view = |prefill, decode| while_waiting(prompt(100, 0), prefill, decode);
        assert!(decider.splits(&view(&[6, 3], &[4, 2])), "6 + 4 > 9");
        assert!(!decider.splits(&view(&[6, 4], &[4, 2])), "6 + 4 = 10");
        // 4 µs late: Z / 2 = 2 more on the other side.
        decider.observe(&served(50_004, Some((20_000, 25_000))));
        assert!(decider.splits(&view(&[6, 1], &[4, 2])), "10 > 7 + 2");
        assert!(!decider.splits(&view(&[6, 2], &[4, 2])), "10 = 8 + 2");
        // Who was not split says nothing about splitting; an early one pays the lateness back.
        decider.observe(&served(900_000, None));
        decider.observe(&served(49_000, Some((20_000, 25_000))));
        assert!(decider.splits(&view(&[6, 3], &[4, 2])), "Z is 0 again");
        assert!(!decider.splits(&DeciderView { input_tokens: 0, ..view(&[], &[9]) }));
    }

    proptest! {
        /// Law: one more request that waits for decode never turns a split away, one more for prefill never brings one.
        #[test]
        fn queues_pull_in_one_direction_each(
            prefill in 0u32..50, decode in 0u32..50, late in prop::collection::vec(0i64..100_000, 0..20),
        ) {
            let mut decider = made(ENTRY, &EVEN);
            for ttft in late {
                decider.observe(&served(ttft, Some((0, 1))));
            }
            let mut splits = |prefill, decode| decider.splits(&while_waiting(prompt(100, 0), &[prefill], &[decode]));
            prop_assert!(splits(prefill, decode) <= splits(prefill, decode + 1));
            prop_assert!(splits(prefill, decode) >= splits(prefill + 1, decode));
        }
    }
}
