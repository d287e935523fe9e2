//! Drift plus penalty from two populations (empirical DPP, second form): what split and unsplit requests took is learned,
//! and work is counted in microseconds instead of requests.
//!
//! `split = u * (Q_D * r_D - Q_P * r_P) + V * (p_loc - p_rem) > Z * (ttft_rem - ttft_loc)`
//!
//! u: uncached prompt tokens. Learned with weight beta for the newest, the first observation counting whole: r_D, r_P,
//! microseconds per uncached token of a prefill done at the decode instance and of one done at a prefill instance;
//! p_loc, p_rem, a prefill, with the transfer when remote; ttft_loc, ttft_rem, time to the first token; AvgIn, AvgOut
//! and ITL, prompt, answer and inter-token latency. Q_D = sum over decode instances of
//! waiting * (AvgOut * ITL + AvgIn * r_D), Q_P = sum over prefill instances of waiting * AvgIn * r_P. With every
//! completion Z := max(0, Z + TTFT - d). Until both populations have been seen the terms are zero. With probability
//! epsilon the answer is turned round, so that both stay seen.

use super::virtual_queue::VirtualQueue;
use super::{Decider, DeciderView, Served};
use crate::Reads;
use crate::registry::{Entry, MakeDecider, Param, Range, Setup};
use blis_kernel::rng::GoRand;

const V: &str = "edpp-v";
const TARGET: &str = "edpp-ttft-slo-d";
const BETA: &str = "edpp-beta";
const EPSILON: &str = "edpp-epsilon";

/// What is said about it.
pub const ENTRY: Entry<MakeDecider> = Entry {
    name: "edpp-v2",
    summary: "drift plus penalty with work and delays learned from split and from unsplit requests",
    formula: "split = u * (Q_D * r_D - Q_P * r_P) + V * (p_loc - p_rem) > Z * (ttft_rem - ttft_loc)",
    params: &[
        Param {
            name: V,
            summary: "weight of a prefill's duration against queues (V)",
            default: 1.0,
            range: Range::NonNegative,
        },
        Param {
            name: TARGET,
            summary: "mean time to the first token that requests may take, ms (d)",
            default: 100.0,
            range: Range::Positive,
        },
        Param {
            name: BETA,
            summary: "weight of the newest observation (beta)",
            default: 0.05,
            range: Range::Fraction,
        },
        Param {
            name: EPSILON,
            summary: "share of the answers that are turned round (epsilon)",
            default: 0.05,
            range: Range::Share,
        },
    ],
    make: &|setup| Box::new(EdppV2::new(setup)),
};

/// A mean in which older values count ever less. Values that are not positive are no observations.
#[derive(Clone, Copy, Debug, Default)]
struct Learned(Option<f64>);

impl Learned {
    fn note(&mut self, value: f64, beta: f64) {
        if value > 0.0 {
            self.0 = Some(self.0.map_or(value, |old| (1.0 - beta) * old + beta * value));
        }
    }

    fn value(self) -> f64 {
        self.0.unwrap_or(0.0)
    }
}

/// What is known of one way to serve requests.
#[derive(Clone, Copy, Debug, Default)]
struct Population {
    us_per_token: Learned,
    ttft_us: Learned,
    penalty_us: Learned,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct EdppV2 {
    v: f64,
    beta: f64,
    epsilon: f64,
    local: Population,
    remote: Population,
    input_tokens: Learned,
    output_tokens: Learned,
    itl_us: Learned,
    /// Z.
    late_us: VirtualQueue,
    random: GoRand,
}

impl EdppV2 {
    fn new(setup: &Setup<'_>) -> Self {
        let get = |name| setup.params.get(name);
        Self {
            v: get(V),
            beta: get(BETA),
            epsilon: get(EPSILON),
            local: Population::default(),
            remote: Population::default(),
            input_tokens: Learned::default(),
            output_tokens: Learned::default(),
            itl_us: Learned::default(),
            late_us: VirtualQueue::new(get(TARGET) * 1e3),
            random: setup.random(),
        }
    }

    /// What the rule says.
    fn is_better_split(&self, view: &DeciderView<'_>) -> bool {
        let (local, remote) = (&self.local, &self.remote);
        let (Some(local_ttft_us), Some(remote_ttft_us)) = (local.ttft_us.0, remote.ttft_us.0) else {
            return false;
        };
        let (r_d, r_p) = (local.us_per_token.value(), remote.us_per_token.value());
        let input = self.input_tokens.value();
        let decode_us = self.output_tokens.value() * self.itl_us.value() + input * r_d;
        let q_d = view.decode.waiting() as f64 * decode_us;
        let q_p = view.prefill.waiting() as f64 * (input * r_p);
        let drift = f64::from(view.uncached_tokens()) * (q_d * r_d - q_p * r_p);
        let penalty = self.v * (local.penalty_us.value() - remote.penalty_us.value());
        drift + penalty > self.late_us.backlog() * (remote_ttft_us - local_ttft_us)
    }
}

impl Decider for EdppV2 {
    fn splits(&mut self, view: &DeciderView<'_>) -> bool {
        if view.input_tokens == 0 {
            return false;
        }
        let turned = self.epsilon > 0.0 && self.random.float64() < self.epsilon;
        self.is_better_split(view) != turned
    }

    fn reads(&self) -> Reads {
        Reads::SNAPSHOT.union(Reads::CACHE)
    }

    fn observe(&mut self, served: &Served) {
        let beta = self.beta;
        let ttft_us = served.ttft.as_us() as f64;
        self.late_us.note(ttft_us);
        self.input_tokens.note(f64::from(served.input_tokens), beta);
        self.output_tokens.note(f64::from(served.output_tokens), beta);
        self.itl_us.note(served.itl_mean_us, beta);
        let (population, prefill_us, ready_us, penalty_us) = match served.split {
            None => (&mut self.local, ttft_us, ttft_us, ttft_us),
            Some(times) => {
                let prefill_us = (times.prefill_until - times.prefill_from).as_us() as f64;
                let ready_us = (times.transfer_until - served.arrival).as_us() as f64;
                let with_transfer_us = (times.transfer_until - times.prefill_from).as_us() as f64;
                (&mut self.remote, prefill_us, ready_us, with_transfer_us)
            }
        };
        population.us_per_token.note(prefill_us / f64::from(served.uncached_tokens.max(1)), beta);
        population.ttft_us.note(ready_us, beta);
        population.penalty_us.note(penalty_us, beta);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{prompt, served, while_waiting};
    use super::*;
    use proptest::prelude::*;

    fn made(values: &[(&str, f64)]) -> EdppV2 {
        EdppV2::new(&Setup::of(&ENTRY.with(values).unwrap().params))
    }

    /// Ten requests wait for decode with 100 tokens of 50 µs to come; r_D is 2; split requests take 100 ms longer.
    fn trained() -> EdppV2 {
        let seen = |value| Learned(Some(value));
        let mut decider = made(&[(EPSILON, 0.0), (V, 0.0)]);
        decider.local = Population { us_per_token: seen(2.0), ttft_us: seen(1.0), penalty_us: seen(1.0) };
        decider.remote =
            Population { ttft_us: seen(100_001.0), penalty_us: seen(1.0), ..Population::default() };
        (decider.output_tokens, decider.itl_us) = (seen(100.0), seen(50.0));
        decider
    }

    #[test]
    fn worked_example() {
        let mut decider = trained();
        let view = while_waiting(prompt(10, 0), &[0], &[4, 6]);
        assert!(decider.splits(&view), "10 * 50,000 * 2 > 0");
        decider.late_us.note(100_000.0 + 1.0);
        assert!(decider.splits(&view), "1,000,000 > 1 * 100,000");
        decider.late_us.note(100_000.0 + 99.0);
        assert!(!decider.splits(&view), "1,000,000 < 100 * 100,000");
        assert!(!trained().splits(&DeciderView { input_tokens: 0, ..view }));
    }

    #[test]
    fn both_ways_are_learned_from_what_completes() {
        let mut decider = made(&[(BETA, 0.5)]);
        decider.observe(&served(30_000, None));
        decider.observe(&served(10_000, None));
        decider.observe(&served(50_000, Some((20_000, 26_000))));
        let got = |learned: Learned| learned.0.unwrap();
        assert_eq!((got(decider.local.ttft_us), got(decider.local.us_per_token)), (20_000.0, 200.0));
        assert_eq!((got(decider.remote.ttft_us), got(decider.remote.us_per_token)), (26_000.0, 200.0));
        assert_eq!(got(decider.remote.penalty_us), 26_000.0);
    }

    #[test]
    fn before_both_were_seen_only_exploration_splits() {
        let view = while_waiting(prompt(10, 0), &[0], &[99]);
        assert!(!made(&[(EPSILON, 0.0)]).splits(&view));
        assert!(made(&[(EPSILON, 1.0)]).splits(&view));
    }

    proptest! {
        /// Law: requests that wait for decode argue for splitting, requests that wait for prefill against it.
        #[test]
        fn queues_pull_in_one_direction_each(
            seen in prop::collection::vec((1i64..500_000, prop::option::of((1i64..300_000, 1i64..100_000))), 0..30),
            prefill in 0u32..50, decode in 0u32..50, cached in 0u32..100,
        ) {
            let mut decider = made(&[(EPSILON, 0.0)]);
            for (ttft, moved) in seen {
                decider.observe(&served(ttft, moved.map(|(from, took)| (from, from + took))));
            }
            let mut splits = |prefill, decode| decider.splits(&while_waiting(prompt(100, cached), &[prefill], &[decode]));
            prop_assert!(splits(prefill, decode) <= splits(prefill, decode + 1));
            prop_assert!(splits(prefill, decode) >= splits(prefill + 1, decode));
        }
    }
}
