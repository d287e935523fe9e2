//! Law: what the samplers draw has the distribution that they promise, rounding and bounds included.
//!
//! Every sampler gives whole numbers, so the exact distribution is a function on whole numbers. Fixed seeds are held
//! against it by the test of Kolmogorov and Smirnov (conservative where numbers repeat) and by mean and variance.

mod gaps;
mod lengths;
mod primitives;
mod special;

use std::collections::BTreeMap;

/// Draws per test.
const DRAWS: usize = 100_000;
/// √n times the greatest distance; a true distribution exceeds it once in two thousand tests.
const KOLMOGOROV: f64 = 2.0;
/// Standard errors that a moment may be off.
const ERRORS: f64 = 4.5;

/// Mean, variance and fourth central moment.
#[derive(Clone, Copy, Debug)]
struct Moments {
    mean: f64,
    variance: f64,
    fourth: f64,
}

/// Exact moments of the distribution of whole numbers from zero on whose share up to k is `cdf(k)`.
fn exact_moments(cdf: impl Fn(f64) -> f64) -> Moments {
    let mut powers = [0.0; 4];
    let mut below = 0.0;
    for k in 0..20_000_000 {
        let k = f64::from(k);
        let here = cdf(k);
        let share = here - below;
        let mut power = share;
        for sum in &mut powers {
            power *= k;
            *sum += power;
        }
        below = here;
        // Tails beyond this would add less than a draw can show, also to fourth powers.
        if (1.0 - here) * (k + 1.0).powi(4) < 1e-9 * (powers[3] + 1e-9) {
            break;
        }
    }
    let [m, m2, m3, m4] = powers;
    let fourth = m4 - 4.0 * m * m3 + 6.0 * m * m * m2 - 3.0 * m.powi(4);
    Moments { mean: m, variance: m2 - m * m, fourth }
}

/// Holds draws against the exact distribution.
#[track_caller]
fn check(name: &str, draws: &[i64], cdf: impl Fn(f64) -> f64) {
    check_shape(name, draws, &cdf);
    let n = draws.len() as f64;
    let exact = exact_moments(&cdf);
    let mean = draws.iter().map(|&x| x as f64).sum::<f64>() / n;
    let variance = draws.iter().map(|&x| (x as f64 - mean).powi(2)).sum::<f64>() / n;
    let mean_error = (exact.variance / n).sqrt();
    assert!((mean - exact.mean).abs() <= ERRORS * mean_error + 1e-9, "{name}: mean {mean}, not {exact:?}");
    let variance_error = ((exact.fourth - exact.variance * exact.variance).max(0.0) / n).sqrt();
    assert!(
        (variance - exact.variance).abs() <= ERRORS * variance_error + 1e-6,
        "{name}: variance {variance}, not {exact:?}"
    );
}

/// The part of [`check`] that needs no moments.
#[track_caller]
fn check_shape(name: &str, draws: &[i64], cdf: impl Fn(f64) -> f64) {
    let mut counts = BTreeMap::<i64, usize>::new();
    for &draw in draws {
        *counts.entry(draw).or_default() += 1;
    }
    let n = draws.len() as f64;
    let mut below = 0.0;
    let mut greatest: f64 = 0.0;
    for (&value, &count) in &counts {
        // Both ends of the step: just before the value, and at it.
        greatest = greatest.max((below / n - cdf(value as f64 - 1.0)).abs());
        below += count as f64;
        greatest = greatest.max((below / n - cdf(value as f64)).abs());
    }
    let distance = greatest * n.sqrt();
    assert!(distance <= KOLMOGOROV, "{name}: √n·D = {distance}");
}

/// Law: the checks see a mean that is off by two in a hundred.
#[test]
#[should_panic(expected = "√n·D")]
fn a_wrong_distribution_is_noticed() {
    use blis_kernel::samplers::ArrivalProcess;
    let sampler = ArrivalProcess::Poisson.sampler(1.0 / 700.0);
    let mut rng = blis_kernel::rng::GoRand::new(1);
    let draws: Vec<i64> = (0..DRAWS).map(|_| sampler.sample_us(&mut rng)).collect();
    check("2 % off", &draws, |k| if k < 1.0 { 0.0 } else { special::exponential((k + 1.0) / 714.0) });
}
