//! Which part of the simulator the error of a request's latency comes from.
//!
//! The simulated end-to-end latency less the measured one is taken apart:
//!
//! - decode: what lies behind the first token;
//! - waiting: how much more the simulated mean time to the first token lies above its median than the measured one
//!   does. Queues and shortage of KV blocks delay some requests by much, so they move the mean and not the median;
//! - prefill: the requests are halved by prompt length; the median error of the longer half less that of the shorter
//!   one, per token that lies between their median lengths, times the median length of all;
//! - overhead: what is left of the median error of the time to the first token, the same for every request.

use crate::pairs::Pair;
use crate::statistics::Figure;
use blis_kernel::stats::{mean, percentile};

/// A part of the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The time that every request takes beside its steps.
    Overhead,
    /// The time of prompt tokens in steps.
    Prefill,
    /// The time of steps that generate tokens.
    Decode,
    /// Queueing: batch limits, KV blocks, prefix-cache hits.
    Waiting,
}

/// Where the error comes from, µs per request, simulated less measured.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Breakdown {
    /// The same for every request.
    pub overhead_us: f64,
    /// What follows the length of the prompt.
    pub prefill_us: f64,
    /// What lies behind the first token.
    pub decode_us: f64,
    /// What some requests wait.
    pub waiting_us: f64,
    /// Error per prompt token, µs; 0 when all prompts are about as long, and then [`Self::overhead_us`] holds it.
    pub prefill_us_per_token: f64,
    /// Mean time per token behind the first.
    pub gap_us: Figure,
    /// Mean end-to-end latency.
    pub e2e_us: Figure,
}

impl Breakdown {
    /// The causes, the largest share of the error first.
    pub fn ranked(&self) -> [(Cause, f64); 4] {
        let mut shares = [
            (Cause::Decode, self.decode_us),
            (Cause::Waiting, self.waiting_us),
            (Cause::Prefill, self.prefill_us),
            (Cause::Overhead, self.overhead_us),
        ];
        shares.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
        shares
    }

    pub(crate) fn of(pairs: &[Pair<'_>]) -> Self {
        let ttft = |side: fn(&Figure) -> f64| sorted(pairs.iter().map(|pair| side(&pair.ttft_us)));
        let (real, sim) = (ttft(|figure| figure.real), ttft(|figure| figure.sim));
        let above_median = |values: &[f64]| mean(values) - percentile(values, 50.0);
        let waiting_us = above_median(&sim) - above_median(&real);
        let ttft_error_us = mean(&sim[..]) - mean(&real[..]);
        let base_us = ttft_error_us - waiting_us;
        let prefill_us_per_token = per_token(pairs);
        let lengths = sorted(pairs.iter().map(|pair| f64::from(pair.result.input_tokens)));
        let prefill_us = prefill_us_per_token * percentile(&lengths[..], 50.0);
        let average = |side: fn(&Pair<'_>) -> f64| {
            let values: Vec<f64> = pairs.iter().map(side).collect();
            mean(&values[..])
        };
        let e2e_us = Figure { real: average(|pair| pair.e2e_us.real), sim: average(|pair| pair.e2e_us.sim) };
        Self {
            overhead_us: base_us - prefill_us,
            prefill_us,
            decode_us: e2e_us.error() - ttft_error_us,
            waiting_us,
            prefill_us_per_token,
            gap_us: gap(pairs),
            e2e_us,
        }
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values
}

/// How the error of the time to the first token grows with the prompt, µs per token.
fn per_token(pairs: &[Pair<'_>]) -> f64 {
    /// Halves whose median lengths lie closer tell noise.
    const LEAST_TOKENS: f64 = 16.0;
    let mut by_length: Vec<(u32, f64)> =
        pairs.iter().map(|pair| (pair.result.input_tokens, pair.ttft_us.error())).collect();
    by_length.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (shorter, longer) = by_length.split_at(by_length.len() / 2);
    let medians = |half: &[(u32, f64)]| {
        let lengths = sorted(half.iter().map(|&(tokens, _)| f64::from(tokens)));
        let errors = sorted(half.iter().map(|&(_, error)| error));
        (percentile(&lengths[..], 50.0), percentile(&errors[..], 50.0))
    };
    let ((short, short_error), (long, long_error)) = (medians(shorter), medians(longer));
    if shorter.is_empty() || long - short < LEAST_TOKENS {
        0.0
    } else {
        (long_error - short_error) / (long - short)
    }
}

/// Mean time per token behind the first, over all such tokens.
fn gap(pairs: &[Pair<'_>]) -> Figure {
    let (mut spans, mut tokens) = (Figure::default(), 0.0);
    for pair in pairs.iter().filter(|pair| pair.result.output_tokens > 1 && pair.row.output_tokens > 1) {
        spans.real += (pair.e2e_us.real - pair.ttft_us.real) / f64::from(pair.row.output_tokens - 1);
        spans.sim += (pair.e2e_us.sim - pair.ttft_us.sim) / f64::from(pair.result.output_tokens - 1);
        tokens += 1.0;
    }
    if tokens == 0.0 { spans } else { Figure { real: spans.real / tokens, sim: spans.sim / tokens } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimResult;
    use blis_workload::trace::TraceRow;

    /// Pairs of requests of 100, 200, … prompt tokens and 11 output tokens.
    fn check(real: impl Fn(usize, f64) -> (f64, f64), sim: impl Fn(usize, f64) -> (f64, f64)) -> Breakdown {
        let rows: Vec<TraceRow> =
            (0..40).map(|_| TraceRow { output_tokens: 11, ..TraceRow::default() }).collect();
        let results: Vec<SimResult> = (1..=40)
            .map(|i| SimResult { input_tokens: 100 * i, output_tokens: 11, ..SimResult::default() })
            .collect();
        let pairs: Vec<_> = rows
            .iter()
            .zip(&results)
            .enumerate()
            .map(|(i, (row, result))| {
                let tokens = f64::from(result.input_tokens);
                let (real, sim) = (real(i, tokens), sim(i, tokens));
                Pair {
                    row,
                    result,
                    ttft_us: Figure { real: real.0, sim: sim.0 },
                    e2e_us: Figure { real: real.0 + real.1, sim: sim.0 + sim.1 },
                }
            })
            .collect();
        Breakdown::of(&pairs)
    }

    fn server(_: usize, tokens: f64) -> (f64, f64) {
        (2_000.0 + 10.0 * tokens, 50_000.0)
    }

    /// Law: the parts sum to the error of the mean end-to-end latency, and the part that is wrong comes first.
    #[test]
    fn the_part_that_is_wrong_comes_first() {
        let cases: [(Cause, f64, fn(usize, f64) -> (f64, f64)); 4] = [
            (Cause::Overhead, 3_000.0, |i, tokens| (server(i, tokens).0 + 3_000.0, 50_000.0)),
            (Cause::Prefill, 4_100.0, |_, tokens| (2_000.0 + 12.0 * tokens, 50_000.0)),
            (Cause::Decode, -5_000.0, |i, tokens| (server(i, tokens).0, 45_000.0)),
            (Cause::Waiting, 40_000.0, |i, tokens| {
                (server(i, tokens).0 + if i % 10 == 0 { 400_000.0 } else { 0.0 }, 50_000.0)
            }),
        ];
        for (cause, error_us, sim) in cases {
            let breakdown = check(server, sim);
            let (first, share) = breakdown.ranked()[0];
            assert_eq!(first, cause, "{breakdown:?}");
            assert!((share - error_us).abs() < error_us.abs() * 0.1, "{breakdown:?}");
            let sum: f64 = breakdown.ranked().iter().map(|(_, share)| share).sum();
            assert!((sum - breakdown.e2e_us.error()).abs() < 1e-6, "{breakdown:?}");
        }
    }

    #[test]
    fn gaps_are_per_token_behind_the_first() {
        let gap = check(server, server).gap_us;
        assert_eq!(gap, Figure { real: 5_000.0, sim: 5_000.0 });
    }
}
