//! How far simulated values lie from measured ones.

use blis_kernel::stats::{mean, percentile};

/// Two values of the same figure.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Figure {
    /// Measured.
    pub real: f64,
    /// Simulated.
    pub sim: f64,
}

impl Figure {
    /// Simulated less measured.
    pub fn error(self) -> f64 {
        self.sim - self.real
    }

    /// |error| / measured; 0 when nothing was measured.
    pub fn relative_error(self) -> f64 {
        if self.real > 0.0 { self.error().abs() / self.real } else { 0.0 }
    }
}

/// Whether the simulator tends to one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bias {
    /// Simulated values are larger.
    Over,
    /// Simulated values are smaller.
    Under,
    /// The differences sum to zero.
    Neutral,
}

impl Bias {
    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Over => "over-predict",
            Self::Under => "under-predict",
            Self::Neutral => "neutral",
        }
    }
}

/// A verdict on the errors of single requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quality {
    /// MAPE below 0.10 and r above 0.95.
    Excellent,
    /// MAPE below 0.20 and r above 0.85.
    Good,
    /// MAPE below 0.35 and r above 0.70.
    Fair,
    /// Anything else.
    Poor,
}

impl Quality {
    fn of(mape: f64, pearson_r: f64) -> Self {
        let grades = [(0.10, 0.95, Self::Excellent), (0.20, 0.85, Self::Good), (0.35, 0.70, Self::Fair)];
        let grade = grades.into_iter().find(|(most, least, _)| mape < *most && pearson_r > *least);
        grade.map_or(Self::Poor, |(.., quality)| quality)
    }

    /// What it is called in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Excellent => "excellent",
            Self::Good => "good",
            Self::Fair => "fair",
            Self::Poor => "poor",
        }
    }
}

/// The errors of one metric over all pairs, µs.
#[derive(Clone, Debug, PartialEq)]
pub struct Errors {
    /// Mean.
    pub mean: Figure,
    /// Median.
    pub p50: Figure,
    /// 90th percentile.
    pub p90: Figure,
    /// 95th percentile.
    pub p95: Figure,
    /// 99th percentile.
    pub p99: Figure,
    /// Mean over the pairs of |simulated − measured| / measured, a fraction.
    pub mape: f64,
    /// Pearson's correlation; 0 of fewer than three pairs, or when one side does not vary.
    pub pearson_r: f64,
    /// To which side; `None` when nothing was measured.
    pub bias: Option<Bias>,
    /// The verdict.
    pub quality: Quality,
    /// Number of pairs.
    pub count: u64,
}

impl Errors {
    /// The errors of these pairs; `None` without a pair.
    pub(crate) fn of(pairs: &[Figure]) -> Option<Self> {
        if pairs.is_empty() {
            return None;
        }
        let sorted = |side: fn(&Figure) -> f64| {
            let mut values: Vec<f64> = pairs.iter().map(side).collect();
            values.sort_unstable_by(f64::total_cmp);
            values
        };
        let (real, sim) = (sorted(|pair| pair.real), sorted(|pair| pair.sim));
        let at = |p| Figure { real: percentile(&real[..], p), sim: percentile(&sim[..], p) };
        let (mape, pearson_r) = (mape(pairs.iter().copied()), pearson(pairs));
        Some(Self {
            mean: Figure { real: mean(&real[..]), sim: mean(&sim[..]) },
            p50: at(50.0),
            p90: at(90.0),
            p95: at(95.0),
            p99: at(99.0),
            mape,
            pearson_r,
            bias: bias(pairs),
            quality: Quality::of(mape, pearson_r),
            count: pairs.len() as u64,
        })
    }
}

/// Mean of |simulated − measured| / measured over the pairs in which something was measured; 0 without any.
pub(crate) fn mape(pairs: impl Iterator<Item = Figure>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u64);
    for pair in pairs.filter(|pair| pair.real != 0.0) {
        sum += (pair.real - pair.sim).abs() / pair.real;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

fn bias(pairs: &[Figure]) -> Option<Bias> {
    if pairs.iter().all(|pair| pair.real == 0.0) {
        return None;
    }
    let sum = pairs.iter().fold(0.0, |sum, pair| sum + pair.error());
    Some(match sum {
        _ if sum > 0.0 => Bias::Over,
        _ if sum < 0.0 => Bias::Under,
        _ => Bias::Neutral,
    })
}

fn pearson(pairs: &[Figure]) -> f64 {
    let n = pairs.len() as f64;
    if pairs.len() < 3 {
        return 0.0;
    }
    let sum = |side: fn(&Figure) -> f64| pairs.iter().fold(0.0, |sum, pair| sum + side(pair));
    let (mean_real, mean_sim) = (sum(|pair| pair.real) / n, sum(|pair| pair.sim) / n);
    let (mut both, mut real, mut sim) = (0.0, 0.0, 0.0);
    for pair in pairs {
        let (x, y) = (pair.real - mean_real, pair.sim - mean_sim);
        both += x * y;
        real += x * x;
        sim += y * y;
    }
    if real == 0.0 || sim == 0.0 { 0.0 } else { both / (real * sim).sqrt() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(values: &[(f64, f64)]) -> Vec<Figure> {
        values.iter().map(|&(real, sim)| Figure { real, sim }).collect()
    }

    /// Law: a simulator that is right has no error, the best verdict and no side.
    #[test]
    fn equal_values_have_no_error() {
        let errors = Errors::of(&pairs(&[(10.0, 10.0), (20.0, 20.0), (40.0, 40.0)])).unwrap();
        assert_eq!(
            (errors.mape, errors.quality, errors.bias),
            (0.0, Quality::Excellent, Some(Bias::Neutral))
        );
        assert!((errors.pearson_r - 1.0).abs() < 1e-12);
        assert_eq!(errors.p90.error(), 0.0);
    }

    #[test]
    fn errors_are_relative_to_what_was_measured() {
        let errors = Errors::of(&pairs(&[(100.0, 110.0), (200.0, 150.0), (0.0, 5.0)])).unwrap();
        assert!((errors.mape - 0.175).abs() < 1e-12, "the pair without a measurement is left out");
        assert_eq!(errors.bias, Some(Bias::Under));
        assert_eq!(errors.mean, Figure { real: 100.0, sim: 265.0 / 3.0 });
        assert_eq!((errors.p50, errors.count), (Figure { real: 100.0, sim: 110.0 }, 3));
    }

    #[test]
    fn correlation_needs_three_pairs_that_vary() {
        let r = |values: &[(f64, f64)]| Errors::of(&pairs(values)).unwrap().pearson_r;
        assert_eq!(r(&[(1.0, 2.0), (2.0, 4.0)]), 0.0);
        assert_eq!(r(&[(1.0, 2.0), (1.0, 4.0), (1.0, 5.0)]), 0.0);
        assert!((r(&[(1.0, -2.0), (2.0, -4.0), (4.0, -8.0)]) + 1.0).abs() < 1e-12);
        assert!(Errors::of(&[]).is_none());
    }

    #[test]
    fn a_verdict_needs_both_small_errors_and_correlation() {
        assert_eq!(Quality::of(0.05, 0.99), Quality::Excellent);
        assert_eq!(Quality::of(0.05, 0.90), Quality::Good);
        assert_eq!(Quality::of(0.30, 0.99), Quality::Fair);
        assert_eq!(Quality::of(0.05, 0.10), Quality::Poor);
    }
}
