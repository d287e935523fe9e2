//! Lengths in tokens (also counts, percentages and think times): whole numbers from a distribution.

use crate::rng::GoRand;
use std::sync::Arc;

/// Draws lengths. Bounds of 0 or less mean "none" except for [`Self::Gaussian`].
#[derive(Clone, Debug, PartialEq)]
pub enum LengthSampler {
    /// Draws G; clamp(mean + std_dev·G, min, max), rounded. Equal bounds give that value and draw nothing.
    Gaussian {
        /// Mean before clamping.
        mean: f64,
        /// Standard deviation before clamping.
        std_dev: f64,
        /// Least value.
        min: i64,
        /// Greatest value.
        max: i64,
    },
    /// Draws X; mean·X, rounded, clamped.
    Exponential {
        /// Mean before clamping.
        mean: f64,
        /// Least value, if positive.
        min: i64,
        /// Greatest value, if positive.
        max: i64,
    },
    /// Draws G; exp(mu + sigma·G), rounded, clamped.
    Lognormal {
        /// Mean of the logarithm.
        mu: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// Least value, if positive.
        min: i64,
        /// Greatest value, if positive.
        max: i64,
    },
    /// Draws F; below `mix_weight` draws F again for xm / F^(1/alpha), otherwise G for exp(mu + sigma·G); rounded.
    ParetoLognormal {
        /// Tail index of the Pareto part.
        alpha: f64,
        /// Least value of the Pareto part.
        xm: f64,
        /// Mean of the logarithm of the other part.
        mu: f64,
        /// Standard deviation of the logarithm of the other part.
        sigma: f64,
        /// Share of the Pareto part.
        mix_weight: f64,
    },
    /// One value; draws nothing.
    Constant {
        /// The value.
        value: i64,
    },
    /// Draws F unless only one value is possible; looks it up in a table.
    Empirical(EmpiricalLengths),
}

impl LengthSampler {
    /// A length, at least 1. Zero comes only from [`Self::Empirical`] and from [`Self::Gaussian`] with equal bounds,
    /// which give what is written there.
    #[inline]
    pub fn sample(&self, rng: &mut GoRand) -> i64 {
        self.draw(rng, 1)
    }

    /// A count or a percentage, at least 0.
    pub fn sample_count(&self, rng: &mut GoRand) -> i64 {
        self.draw(rng, 0)
    }

    fn draw(&self, rng: &mut GoRand, floor: i64) -> i64 {
        match *self {
            Self::Gaussian { min, max, .. } if min == max => min,
            Self::Gaussian { mean, std_dev, min, max } => {
                let value = mean + std_dev * rng.norm_float64();
                (value.max(min as f64).min(max as f64).round() as i64).max(floor)
            }
            Self::Exponential { mean, min, max } => {
                bounded((mean * rng.exp_float64()).round() as i64, min, max).max(floor)
            }
            Self::Lognormal { mu, sigma, min, max } => {
                let value = libm::exp(mu + sigma * rng.norm_float64());
                let whole = if value.is_finite() { value.round() as i64 } else { min.max(1) };
                bounded(whole, min, max).max(floor)
            }
            Self::ParetoLognormal { alpha, xm, mu, sigma, mix_weight } => {
                let value = if rng.float64() < mix_weight {
                    xm / libm::pow(rng.float64(), 1.0 / alpha)
                } else {
                    libm::exp(mu + sigma * rng.norm_float64())
                };
                let whole = if value.is_finite() { value.round() as i64 } else { 1 };
                whole.max(floor)
            }
            Self::Constant { value } => value.max(floor),
            Self::Empirical(ref table) => table.draw(rng),
        }
    }
}

fn bounded(value: i64, min: i64, max: i64) -> i64 {
    let value = if min > 0 { value.max(min) } else { value };
    if max > 0 { value.min(max) } else { value }
}

/// A table of values with their probabilities. Copies share it.
#[derive(Clone, Debug, PartialEq)]
pub struct EmpiricalLengths {
    values: Arc<[i64]>,
    /// Probability of this value or a smaller one; the last is 1.
    cumulative: Arc<[f64]>,
}

impl EmpiricalLengths {
    /// A table of (value, weight) pairs in any order. Weights need not sum to 1; pairs without a positive weight are
    /// left out, and a table without any other gives 1. The weights of equal values add up.
    pub fn new(pairs: impl IntoIterator<Item = (i64, f64)>) -> Self {
        let mut pairs: Vec<_> = pairs.into_iter().filter(|&(_, weight)| weight > 0.0).collect();
        pairs.sort_by_key(|&(value, _)| value);
        pairs.dedup_by(|later, kept| {
            let same = later.0 == kept.0;
            if same {
                kept.1 += later.1;
            }
            same
        });
        let total: f64 = pairs.iter().map(|&(_, weight)| weight).sum();
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = pairs
            .iter()
            .map(|&(_, weight)| {
                sum += weight / total;
                sum
            })
            .collect();
        if let Some(last) = cumulative.last_mut() {
            *last = 1.0;
        }
        Self { values: pairs.into_iter().map(|(value, _)| value).collect(), cumulative: cumulative.into() }
    }

    fn draw(&self, rng: &mut GoRand) -> i64 {
        match self.values[..] {
            [] => 1,
            [only] => only,
            _ => {
                let u = rng.float64();
                self.values[self.cumulative.partition_point(|&c| c < u)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: u32 = 200_000;

    fn lengths(sampler: &LengthSampler) -> Vec<f64> {
        let mut rng = GoRand::new(11);
        (0..N).map(|_| sampler.sample(&mut rng) as f64).collect()
    }

    fn mean(x: &[f64]) -> f64 {
        x.iter().sum::<f64>() / x.len() as f64
    }

    fn std_dev(x: &[f64]) -> f64 {
        let m = mean(x);
        (x.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / x.len() as f64).sqrt()
    }

    fn check(sampler: &LengthSampler, wanted_mean: f64, wanted_std_dev: f64) {
        let x = lengths(sampler);
        let (m, s) = (mean(&x), std_dev(&x));
        assert!((m / wanted_mean - 1.0).abs() < 0.02, "{sampler:?}: mean {m}");
        assert!((s - wanted_std_dev).abs() <= 0.05 * wanted_std_dev, "{sampler:?}: standard deviation {s}");
    }

    /// Law: lengths have the moments of their distribution.
    #[test]
    fn lengths_have_the_wanted_moments() {
        let far = 1_000_000;
        check(&LengthSampler::Gaussian { mean: 512.0, std_dev: 64.0, min: 1, max: far }, 512.0, 64.0);
        check(&LengthSampler::Exponential { mean: 300.0, min: 0, max: 0 }, 300.0, 300.0);
        let spread = (libm::exp(0.25) - 1.0).sqrt();
        let centre = libm::exp(6.0 + 0.125);
        check(&LengthSampler::Lognormal { mu: 6.0, sigma: 0.5, min: 0, max: 0 }, centre, centre * spread);
        check(&LengthSampler::Constant { value: 17 }, 17.0, 0.0);
        let table = EmpiricalLengths::new([(300, 1.0), (100, 3.0), (900, 0.0)]);
        check(&LengthSampler::Empirical(table), 150.0, 7_500f64.sqrt());
        // Pareto alone: mean α·xm/(α−1), variance xm²·α/((α−1)²(α−2)).
        let pareto =
            LengthSampler::ParetoLognormal { alpha: 6.0, xm: 500.0, mu: 0.0, sigma: 0.0, mix_weight: 1.0 };
        check(&pareto, 600.0, (250_000.0 * 6.0 / (25.0 * 4.0f64)).sqrt());
        let lognormal =
            LengthSampler::ParetoLognormal { alpha: 6.0, xm: 500.0, mu: 6.0, sigma: 0.5, mix_weight: 0.0 };
        check(&lognormal, centre, centre * spread);
    }

    #[test]
    fn bounds_hold() {
        for sampler in [
            LengthSampler::Gaussian { mean: 100.0, std_dev: 80.0, min: 50, max: 120 },
            LengthSampler::Exponential { mean: 100.0, min: 50, max: 120 },
            LengthSampler::Lognormal { mu: 4.6, sigma: 1.0, min: 50, max: 120 },
        ] {
            let x = lengths(&sampler);
            assert!(x.contains(&50.0) && x.contains(&120.0), "{sampler:?}");
            assert!(x.iter().all(|v| (50.0..=120.0).contains(v)), "{sampler:?}");
        }
    }

    #[test]
    fn a_length_is_at_least_one_and_a_count_at_least_zero() {
        let mut rng = GoRand::new(1);
        let zero = LengthSampler::Constant { value: 0 };
        assert_eq!((zero.sample(&mut rng), zero.sample_count(&mut rng)), (1, 0));
        let negative = LengthSampler::Gaussian { mean: -5.0, std_dev: 0.1, min: -9, max: 4 };
        assert_eq!((negative.sample(&mut rng), negative.sample_count(&mut rng)), (1, 0));
        let none = LengthSampler::Gaussian { mean: 5.0, std_dev: 1.0, min: 0, max: 0 };
        assert_eq!(none.sample(&mut rng), 0);
        assert_eq!(LengthSampler::Empirical(EmpiricalLengths::new([(0, 1.0)])).sample(&mut rng), 0);
        assert_eq!(LengthSampler::Empirical(EmpiricalLengths::new([(5, 0.0)])).sample(&mut rng), 1);
        assert_eq!(LengthSampler::Lognormal { mu: 1e9, sigma: 1.0, min: 3, max: 9 }.sample(&mut rng), 3);
        let infinite =
            LengthSampler::ParetoLognormal { alpha: 1e-9, xm: 1.0, mu: 0.0, sigma: 0.0, mix_weight: 1.0 };
        assert_eq!(infinite.sample(&mut rng), 1);
    }

    #[test]
    fn equal_table_values_add_their_weights() {
        let table = EmpiricalLengths::new([(7, 1.0), (3, 2.0), (7, 1.0)]);
        assert_eq!(*table.values, [3, 7]);
        assert_eq!(*table.cumulative, [0.5, 1.0]);
    }

    /// Law: the order of primitive draws is part of a seed's meaning.
    #[test]
    fn each_distribution_consumes_its_documented_draws() {
        let check = |sampler: LengthSampler, draws: fn(&mut GoRand)| {
            let (mut got, mut expected) = (GoRand::new(5), GoRand::new(5));
            sampler.sample(&mut got);
            draws(&mut expected);
            assert_eq!(got, expected, "{sampler:?}");
        };
        let mixture = |mix_weight| LengthSampler::ParetoLognormal {
            alpha: 2.0,
            xm: 9.0,
            mu: 1.0,
            sigma: 1.0,
            mix_weight,
        };
        check(LengthSampler::Gaussian { mean: 9.0, std_dev: 1.0, min: 5, max: 5 }, |_| ());
        check(LengthSampler::Gaussian { mean: 9.0, std_dev: 0.0, min: 1, max: 9 }, |r| _ = r.norm_float64());
        check(LengthSampler::Exponential { mean: 9.0, min: 0, max: 0 }, |r| _ = r.exp_float64());
        check(LengthSampler::Lognormal { mu: 9.0, sigma: 0.0, min: 0, max: 0 }, |r| _ = r.norm_float64());
        check(mixture(1.0), |r| _ = (r.float64(), r.float64()));
        check(mixture(0.0), |r| _ = (r.float64(), r.norm_float64()));
        check(LengthSampler::Constant { value: 9 }, |_| ());
        check(LengthSampler::Empirical(EmpiricalLengths::new([(1, 1.0), (2, -1.0)])), |_| ());
        check(LengthSampler::Empirical(EmpiricalLengths::new([(1, 1.0), (2, 1.0)])), |r| _ = r.float64());
    }
}
