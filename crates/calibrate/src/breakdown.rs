//! Which part of the simulator the error of a request's latency comes from.
//!
//! The simulated end-to-end latency less the measured one is taken apart:
//!
//! - decode: what lies behind the first token;
//! - prefill: on each side, the requests are halved by prompt length; the median time to the first token of the longer half
//!   less that of the shorter one, per token that lies between their median lengths, times the mean length;
//! - waiting: how much more the mean of what is left of the simulated times lies above their 10th percentile than that of
//!   the measured ones does. Requests of the fastest tenth hardly wait;
//! - overhead: the difference of those 10th percentiles, the same for every request.

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
        let tokens = average_of(pairs, |pair| f64::from(pair.result.input_tokens));
        // Slope, fastest tenth and mean of one side; prompts of about the same length have no slope.
        let side = |side: fn(&Figure) -> f64| {
            let slope = per_token(pairs, side);
            let rest =
                pairs.iter().map(|pair| side(&pair.ttft_us) - slope * f64::from(pair.result.input_tokens));
            let rest = sorted(rest);
            (slope, percentile(&rest[..], UNHINDERED), mean(&rest[..]))
        };
        let (real, sim) = (side(|figure| figure.real), side(|figure| figure.sim));
        let prefill_us_per_token = sim.0 - real.0;
        let prefill_us = prefill_us_per_token * tokens;
        let overhead_us = sim.1 - real.1;
        let waiting_us = (sim.2 - sim.1) - (real.2 - real.1);
        let ttft_error_us = average_of(pairs, |pair| pair.ttft_us.error());
        let e2e_us = Figure {
            real: average_of(pairs, |pair| pair.e2e_us.real),
            sim: average_of(pairs, |pair| pair.e2e_us.sim),
        };
        Self {
            overhead_us,
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

/// The percentile of the times to the first token at which requests hardly wait.
const UNHINDERED: f64 = 10.0;

fn average_of(pairs: &[Pair<'_>], value: fn(&Pair<'_>) -> f64) -> f64 {
    let values: Vec<f64> = pairs.iter().map(value).collect();
    mean(&values[..])
}

/// How the time to the first token grows with the prompt, µs per token.
fn per_token(pairs: &[Pair<'_>], side: fn(&Figure) -> f64) -> f64 {
    /// Halves whose median lengths lie closer tell noise.
    const LEAST_TOKENS: f64 = 16.0;
    let mut by_length: Vec<(u32, f64)> =
        pairs.iter().map(|pair| (pair.result.input_tokens, side(&pair.ttft_us))).collect();
    by_length.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let (shorter, longer) = by_length.split_at(by_length.len() / 2);
    let medians = |half: &[(u32, f64)]| {
        let lengths = sorted(half.iter().map(|&(tokens, _)| f64::from(tokens)));
        let times = sorted(half.iter().map(|&(_, time)| time));
        (percentile(&lengths[..], 50.0), percentile(&times[..], 50.0))
    };
    let ((short, short_time), (long, long_time)) = (medians(shorter), medians(longer));
    if shorter.is_empty() || long - short < LEAST_TOKENS {
        0.0
    } else {
        (long_time - short_time) / (long - short)
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
        type Latencies = fn(usize, f64) -> (f64, f64);
        let cases: [(Cause, f64, Latencies); 4] = [
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

    /// Law: a simulated server that cannot keep up makes requests wait, whatever the queue does to the median.
    #[test]
    fn a_queue_that_grows_is_waiting() {
        let queued = |i: usize| 1e6 * ((i * 17) % 40) as f64;
        let breakdown = check(server, |i, tokens| (server(i, tokens).0 + queued(i), 52_000.0));
        assert_eq!(breakdown.ranked()[0].0, Cause::Waiting, "{breakdown:?}");
    }

    #[test]
    fn gaps_are_per_token_behind_the_first() {
        let gap = check(server, server).gap_us;
        assert_eq!(gap, Figure { real: 5_000.0, sim: 5_000.0 });
    }
}
