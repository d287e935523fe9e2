//! Lengths: reals, rounded half away from zero, within their bounds, at least 1 (counts: at least 0).

use crate::special::{exponential, normal};
use crate::{DRAWS, check};
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::{EmpiricalLengths, LengthSampler};

fn lengths(sampler: &LengthSampler, seed: i64) -> Vec<i64> {
    let mut rng = GoRand::new(seed);
    (0..DRAWS).map(|_| sampler.sample(&mut rng)).collect()
}

/// The share of lengths up to k when `cdf` is that of the real ones.
fn rounded(cdf: impl Fn(f64) -> f64, min: f64, max: f64) -> impl Fn(f64) -> f64 {
    move |k| {
        if k < min.max(1.0) {
            0.0
        } else if k >= max {
            1.0
        } else {
            cdf(k + 0.5)
        }
    }
}

const NONE: f64 = f64::INFINITY;

#[test]
fn gaussian_lengths_are_normal_and_clamped() {
    for (seed, mean, std_dev, min, max) in [
        (1, 512.0, 128.0, 1, 32_768),
        (2, 512.0, 256.0, 2, 700),
        (3, 40.5, 90.0, 1, 100),
        (4, 10.0, 3.0, -5, 100),
        (5, 10_240.0, 1_200.0, 500, 20_480),
    ] {
        let sampler = LengthSampler::Gaussian { mean, std_dev, min, max };
        let cdf = rounded(|x| normal((x - mean) / std_dev), min as f64, max as f64);
        check(&format!("{sampler:?}"), &lengths(&sampler, seed), cdf);
    }
}

#[test]
fn exponential_lengths_are_exponential_and_clamped() {
    for (seed, mean, min, max) in
        [(11, 300.0, 0, 0), (12, 300.0, 100, 0), (13, 300.0, 0, 900), (14, 2.5, 0, 0)]
    {
        let sampler = LengthSampler::Exponential { mean, min, max };
        let most = if max > 0 { max as f64 } else { NONE };
        check(
            &format!("{sampler:?}"),
            &lengths(&sampler, seed),
            rounded(|x| exponential(x / mean), min as f64, most),
        );
    }
}

#[test]
fn lognormal_lengths_are_lognormal_and_clamped() {
    for (seed, mu, sigma, min, max) in [(21, 5.0, 0.4, 0, 0), (22, 6.0, 1.0, 50, 2_000), (23, 0.3, 0.8, 0, 0)]
    {
        let sampler = LengthSampler::Lognormal { mu, sigma, min, max };
        let most = if max > 0 { max as f64 } else { NONE };
        let cdf = rounded(|x| normal((libm::log(x) - mu) / sigma), min as f64, most);
        check(&format!("{sampler:?}"), &lengths(&sampler, seed), cdf);
    }
}

#[test]
fn pareto_lognormal_lengths_are_a_mixture() {
    // Tails light enough for a fourth moment.
    for (seed, alpha, xm, mu, sigma, mix_weight) in
        [(31, 9.0, 200.0, 5.0, 0.3, 0.25), (32, 12.0, 50.0, 4.0, 0.5, 1.0), (33, 9.0, 3.0, 2.0, 0.6, 0.0)]
    {
        let sampler = LengthSampler::ParetoLognormal { alpha, xm, mu, sigma, mix_weight };
        let pareto = |x: f64| if x <= xm { 0.0 } else { 1.0 - libm::pow(xm / x, alpha) };
        let mixture =
            |x: f64| mix_weight * pareto(x) + (1.0 - mix_weight) * normal((libm::log(x) - mu) / sigma);
        check(&format!("{sampler:?}"), &lengths(&sampler, seed), rounded(mixture, 1.0, NONE));
    }
}

#[test]
fn a_heavy_pareto_tail_has_its_shape() {
    let sampler =
        LengthSampler::ParetoLognormal { alpha: 1.2, xm: 80.0, mu: 0.0, sigma: 1.0, mix_weight: 1.0 };
    let cdf = rounded(|x: f64| if x <= 80.0 { 0.0 } else { 1.0 - libm::pow(80.0 / x, 1.2) }, 1.0, NONE);
    crate::check_shape("heavy tail", &lengths(&sampler, 41), cdf);
}

#[test]
fn empirical_lengths_have_their_weights() {
    let table = [(0, 0.5), (7, 2.0), (100, 0.0), (128, 1.0), (4_096, 0.25), (9, -3.0), (7, 1.0)];
    let sampler = LengthSampler::Empirical(EmpiricalLengths::new(table));
    let weight = |k: f64| {
        table.iter().filter(|(value, w)| *value as f64 <= k && *w > 0.0).map(|(_, w)| w).sum::<f64>()
    };
    check("table", &lengths(&sampler, 51), |k| weight(k) / weight(NONE));
    let many = LengthSampler::Empirical(EmpiricalLengths::new((1..=1_000).map(|k| (k, k as f64))));
    check("a thousand entries", &lengths(&many, 52), |k| {
        let k = k.clamp(0.0, 1_000.0);
        k * (k + 1.0) / (1_000.0 * 1_001.0)
    });
}

#[test]
fn counts_may_be_zero() {
    let sampler = LengthSampler::Gaussian { mean: 1.5, std_dev: 1.0, min: 0, max: 4 };
    let mut rng = GoRand::new(61);
    let counts: Vec<i64> = (0..DRAWS).map(|_| sampler.sample_count(&mut rng)).collect();
    let cdf = |k: f64| {
        if k < 0.0 {
            0.0
        } else if k >= 4.0 {
            1.0
        } else {
            normal(k + 0.5 - 1.5)
        }
    };
    check("counts", &counts, cdf);
}

#[test]
fn constant_lengths_are_constant() {
    let sampler = LengthSampler::Constant { value: 42 };
    assert!(lengths(&sampler, 71).iter().all(|&length| length == 42));
    let equal = LengthSampler::Gaussian { mean: 9.0, std_dev: 4.0, min: 12, max: 12 };
    assert!(lengths(&equal, 72).iter().all(|&length| length == 12));
}
