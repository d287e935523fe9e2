//! A distribution as it is drawn: its percentiles, and how often each range of values occurs.

use blis_kernel::stats::{Ascending, percentile_ms};

/// Latencies, milliseconds. Empty without values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// Percentiles with their values, ascending, as far as there are values to tell them: up to 100 (1 - 1/n).
    pub percentiles: Vec<(f64, f64)>,
    /// How many values lie in each range; the ranges are as wide as one another, or grow by the same factor.
    pub bins: Vec<Bin>,
    /// The smallest value.
    pub min_ms: f64,
    /// The largest value.
    pub max_ms: f64,
}

/// Values above `from_ms` (the first: from there on) up to `to_ms`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// Lower end.
    pub from_ms: f64,
    /// Upper end.
    pub to_ms: f64,
    /// Number of values.
    pub count: u64,
}

/// The latencies of a whole run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyCurves {
    /// Time to first token.
    pub ttft: Curve,
    /// Time between two tokens.
    pub itl: Curve,
    /// End-to-end latency.
    pub e2e: Curve,
    /// From arrival to the last admission into a batch.
    pub scheduling_delay: Curve,
}

const BINS: usize = 36;
/// Ranges grow by a factor where the largest value is more than so many times the smallest.
const WIDE: f64 = 8.0;
/// And begin at the largest value over this, where values reach down to about zero.
const DEPTH: f64 = 1e4;
const US_PER_MS: f64 = 1e3;

impl Curve {
    /// Of microseconds.
    pub(crate) fn of_us(values: &(impl Ascending + ?Sized)) -> Self {
        let Some(last) = values.count().checked_sub(1) else { return Self::default() };
        let (min_ms, max_ms) = (values.at(0) / US_PER_MS, values.at(last) / US_PER_MS);
        let most = 100.0 * (1.0 - 1.0 / values.count() as f64);
        let known = percentiles().filter(|&p| p <= most);
        let bins = bins(values, min_ms, max_ms);
        Self { percentiles: known.map(|p| (p, percentile_ms(values, p))).collect(), bins, min_ms, max_ms }
    }
}

/// Closer together where they are rarer.
fn percentiles() -> impl Iterator<Item = f64> {
    let coarse = (0..45).map(|n| f64::from(2 * n));
    let tail = [10.0, 1.0, 0.1, 0.01]
        .into_iter()
        .flat_map(|decade: f64| (0..18).map(move |n| 100.0 - decade * (1.0 - 0.05 * f64::from(n))));
    coarse.chain(tail).chain([99.999])
}

fn bins(values: &(impl Ascending + ?Sized), min_ms: f64, max_ms: f64) -> Vec<Bin> {
    let from_ms = min_ms.max(max_ms / DEPTH);
    let is_wide = max_ms > WIDE * from_ms;
    let edge = |n: usize| {
        let part = n as f64 / BINS as f64;
        match n {
            BINS => max_ms,
            0 => from_ms,
            _ if is_wide => from_ms * libm::pow(max_ms / from_ms, part),
            _ => from_ms + (max_ms - from_ms) * part,
        }
    };
    if max_ms <= from_ms {
        return vec![Bin { from_ms, to_ms: max_ms, count: values.count() }];
    }
    let mut seen = 0;
    (0..BINS)
        .map(|n| {
            let (from_ms, to_ms) = (edge(n), edge(n + 1));
            let up_to = if n + 1 == BINS { values.count() } else { count_up_to(values, to_ms * US_PER_MS) };
            let count = up_to - seen;
            seen = up_to;
            Bin { from_ms, to_ms, count }
        })
        .collect()
}

/// How many values are at most `limit`.
fn count_up_to(values: &(impl Ascending + ?Sized), limit: f64) -> u64 {
    let (mut low, mut high) = (0, values.count());
    while low < high {
        let middle = low + (high - low) / 2;
        if values.at(middle) <= limit { low = middle + 1 } else { high = middle }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Law: every value is in exactly one range, and percentiles do not fall.
    #[test]
    fn ranges_hold_every_value_once() {
        let cases: [Vec<u32>; 5] = [
            vec![7],
            vec![0, 0, 0],
            (0..1_000).collect(),
            (1..=20_000).map(|n| n * n / 400).collect(),
            vec![90_000, 91_000, 95_000, 120_000],
        ];
        for mut values in cases {
            values.sort_unstable();
            let curve = Curve::of_us(&values[..]);
            assert_eq!(curve.bins.iter().map(|bin| bin.count).sum::<u64>(), values.len() as u64);
            assert!(curve.bins.windows(2).all(|two| two[0].to_ms == two[1].from_ms));
            assert!(curve.percentiles.windows(2).all(|two| two[0].0 < two[1].0 && two[0].1 <= two[1].1));
        }
    }

    #[test]
    fn percentiles_go_as_far_as_there_are_values() {
        let values: Vec<u32> = (0..100).collect();
        let curve = Curve::of_us(&values[..]);
        let last = curve.percentiles.last().unwrap();
        assert!((last.0 - 99.0).abs() < 1e-9, "{last:?}");
        assert_eq!(Curve::of_us(&[0_u32; 0][..]), Curve::default());
    }
}
