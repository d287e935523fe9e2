//! Gaps between arrivals: reals cut to whole microseconds, at least 1.

use crate::special::{exponential, gamma, weibull};
use crate::{DRAWS, check, check_shape, exact_moments};
use blis_kernel::rng::GoRand;
use blis_kernel::samplers::{ArrivalProcess, ArrivalSampler, CountedGaps, GapShape};

const MEAN_US: f64 = 700.0;

fn gaps(sampler: &ArrivalSampler, seed: i64) -> Vec<i64> {
    let mut rng = GoRand::new(seed);
    (0..DRAWS).map(|_| sampler.sample_us(&mut rng)).collect()
}

/// The share of gaps up to k when `cdf` is that of the real ones.
fn cut(cdf: impl Fn(f64) -> f64) -> impl Fn(f64) -> f64 {
    move |k| if k < 1.0 { 0.0 } else { cdf(k + 1.0) }
}

fn with_cv(cv: f64) -> GapShape {
    GapShape { cv: Some(cv), ..GapShape::default() }
}

fn explicit(shape: f64, scale_us: f64) -> GapShape {
    GapShape { cv: None, shape: Some(shape), scale_us: Some(scale_us) }
}

#[test]
fn poisson_gaps_are_exponential() {
    for (seed, mean_us) in [(1, MEAN_US), (2, 3.0), (3, 0.2), (4, 20_000.0)] {
        let sampler = ArrivalProcess::Poisson.sampler(1.0 / mean_us);
        check(&format!("poisson {mean_us}"), &gaps(&sampler, seed), cut(|x| exponential(x / mean_us)));
    }
}

#[test]
fn gamma_gaps_have_the_shape_of_their_variation() {
    for (seed, cv) in [(11, 0.1), (12, 0.5), (13, 0.999), (14, 1.0), (15, 1.5), (16, 3.5), (17, 8.0)] {
        let sampler = ArrivalProcess::Gamma(with_cv(cv)).sampler(1.0 / MEAN_US);
        let (shape, scale_us) = (1.0 / (cv * cv), MEAN_US * cv * cv);
        check(&format!("gamma cv {cv}"), &gaps(&sampler, seed), cut(|x| gamma(shape, x / scale_us)));
    }
    for (seed, shape, scale_us) in [(21, 0.3, 900.0), (22, 1.0, 40.0), (23, 7.5, 100.0)] {
        let sampler = ArrivalProcess::Gamma(explicit(shape, scale_us)).sampler(1.0);
        check(
            &format!("gamma {shape} {scale_us}"),
            &gaps(&sampler, seed),
            cut(|x| gamma(shape, x / scale_us)),
        );
    }
}

#[test]
fn gamma_gaps_beyond_variation_10_are_exponential() {
    let sampler = ArrivalProcess::Gamma(with_cv(10.5)).sampler(1.0 / MEAN_US);
    check("gamma cv 10.5", &gaps(&sampler, 31), cut(|x| exponential(x / MEAN_US)));
}

#[test]
fn weibull_gaps_have_the_shape_of_their_variation() {
    for (seed, cv) in [(41, 0.05), (42, 0.4), (43, 1.0), (44, 1.7), (45, 3.0)] {
        let sampler = ArrivalProcess::Weibull(with_cv(cv)).sampler(1.0 / MEAN_US);
        let ArrivalSampler::Weibull { shape, scale_us } = sampler else { panic!("{sampler:?}") };
        let (first, second) = (libm::tgamma(1.0 + 1.0 / shape), libm::tgamma(1.0 + 2.0 / shape));
        assert!(((second / (first * first) - 1.0).sqrt() - cv).abs() < 0.001, "cv {cv}: shape {shape}");
        assert!((scale_us * first / MEAN_US - 1.0).abs() < 1e-12, "cv {cv}: scale {scale_us}");
        check(&format!("weibull cv {cv}"), &gaps(&sampler, seed), cut(|x| weibull(shape, x / scale_us)));
    }
    for (seed, shape, scale_us) in [(51, 0.7, 300.0), (52, 1.0, 40.0), (53, 9.0, 5_000.0)] {
        let sampler = ArrivalProcess::Weibull(explicit(shape, scale_us)).sampler(1.0);
        check(&format!("weibull {shape}"), &gaps(&sampler, seed), cut(|x| weibull(shape, x / scale_us)));
    }
}

#[test]
fn constant_gaps_are_the_mean_cut_to_microseconds() {
    for (mean_us, gap) in [(700.9, 700), (0.3, 1), (1e6 / 3.0, 333_333)] {
        let sampler = ArrivalProcess::Constant.sampler(1.0 / mean_us);
        assert!(gaps(&sampler, 61).iter().all(|&got| got == gap), "{mean_us}");
    }
}

/// Law: given their number, arrivals of a Poisson process lie like points thrown at random onto the time; each gap
/// but for the whole microsecond is D·Beta(1, N − 1).
#[test]
fn counted_arrivals_are_spread_evenly() {
    const DURATION_US: i64 = 100_000_000;
    let mut counted = CountedGaps::new(71, DRAWS as u64, DURATION_US);
    let all: Vec<i64> = std::iter::from_fn(|| counted.next_us()).collect();
    let count = all.len() as f64;
    let share = |x: f64| 1.0 - libm::pow(1.0 - (x / DURATION_US as f64).min(1.0), count - 1.0);
    check("counted gaps", &all, cut(share));
    // Cutting shifts the n-th arrival by about n/2 µs; the last one stands at the end by construction.
    let mut at = 0.0;
    let arrivals: Vec<i64> = all[..all.len() - 1]
        .iter()
        .map(|&gap| {
            at += gap as f64 + 0.5;
            at as i64
        })
        .collect();
    check_shape("counted arrivals", &arrivals, |k| ((k + 1.0) / DURATION_US as f64).clamp(0.0, 1.0));
}

/// Law: of small counts the share of every gap is the same too, over many seeds.
#[test]
fn few_counted_arrivals_are_spread_evenly() {
    const COUNT: u64 = 4;
    const DURATION_US: i64 = 3_000;
    let firsts: Vec<i64> = (0..20_000)
        .map(|seed| CountedGaps::new(seed * 7_919 + 1, COUNT, DURATION_US).next_us().expect("a first gap"))
        .collect();
    let share = |x: f64| 1.0 - (1.0 - (x / DURATION_US as f64).min(1.0)).powi(COUNT as i32 - 1);
    check("first of four", &firsts, cut(share));
}

/// Law: the moments that the other tests rely on are right where a formula gives them.
#[test]
fn exact_moments_are_those_of_the_formula() {
    // Trunc of an exponential: geometric, shifted by the floor at 1.
    let mean_us = 5.0;
    let q = libm::exp(-1.0 / mean_us);
    let exact = exact_moments(cut(|x| exponential(x / mean_us)));
    let geometric_mean = q / (1.0 - q);
    assert!((exact.mean - (geometric_mean + (1.0 - q))).abs() < 1e-6, "{exact:?}");
}
