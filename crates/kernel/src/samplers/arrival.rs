//! Gaps between the arrivals of one client: renewal processes, in whole microseconds, never below one.

use super::whole_us;
use crate::rng::GoRand;

/// Rates below this, requests per microsecond, count as this.
const MIN_RATE_PER_US: f64 = 1e-15;
/// A gamma shape below this (a coefficient of variation above 10) is replaced by the Poisson process.
const MIN_GAMMA_SHAPE: f64 = 0.01;

/// How the gaps of a client are distributed. Rate and mean come from the client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArrivalProcess {
    /// Equal gaps.
    Constant,
    /// Exponential gaps.
    Poisson,
    /// Gamma gaps.
    Gamma(GapShape),
    /// Weibull gaps.
    Weibull(GapShape),
}

/// Parameters of a two-parameter process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GapShape {
    /// Coefficient of variation; absent or not positive = 1. Unused when shape and scale are both given.
    pub cv: Option<f64>,
    /// Shape, dimensionless. With a scale it replaces rate and `cv`.
    pub shape: Option<f64>,
    /// Scale, microseconds.
    pub scale_us: Option<f64>,
}

impl GapShape {
    fn explicit(self) -> Option<(f64, f64)> {
        self.shape.zip(self.scale_us).filter(|&(shape, scale)| shape > 0.0 && scale > 0.0)
    }

    fn cv(self) -> f64 {
        self.cv.filter(|&cv| cv > 0.0).unwrap_or(1.0)
    }
}

/// A process whose parameters could not be honoured exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArrivalApproximation {
    /// Gamma gaps this bursty are drawn as Poisson ones.
    GammaAsPoisson {
        /// The wanted coefficient of variation.
        cv: f64,
    },
    /// No Weibull shape in 0.1 … 100 has this variation; the nearest one is used.
    WeibullShape {
        /// The wanted coefficient of variation.
        cv: f64,
        /// The shape that is used.
        shape: f64,
    },
}

impl ArrivalProcess {
    /// The sampler of this process at `rate_per_us` requests per microsecond.
    pub fn sampler(self, rate_per_us: f64) -> ArrivalSampler {
        let rate_per_us = rate_per_us.max(MIN_RATE_PER_US);
        let mean_us = 1.0 / rate_per_us;
        match self {
            Self::Constant => ArrivalSampler::Constant { gap_us: whole_us(mean_us) },
            Self::Poisson => ArrivalSampler::Poisson { rate_per_us },
            Self::Gamma(gap) => {
                let (shape, scale_us) = gap.explicit().unwrap_or_else(|| {
                    let cv_squared = gap.cv() * gap.cv();
                    (1.0 / cv_squared, mean_us * cv_squared)
                });
                if shape < MIN_GAMMA_SHAPE {
                    ArrivalSampler::Poisson { rate_per_us }
                } else {
                    ArrivalSampler::Gamma { shape, scale_us }
                }
            }
            Self::Weibull(gap) => {
                let (shape, scale_us) = gap.explicit().unwrap_or_else(|| {
                    let (shape, _) = weibull_shape(gap.cv());
                    (shape, mean_us / libm::tgamma(1.0 + 1.0 / shape))
                });
                ArrivalSampler::Weibull { shape, scale_us }
            }
        }
    }

    /// What the sampler does differently from the description, if anything.
    pub fn approximation(self) -> Option<ArrivalApproximation> {
        match self {
            Self::Gamma(gap) if gap.explicit().is_none() => {
                let cv = gap.cv();
                (1.0 / (cv * cv) < MIN_GAMMA_SHAPE).then_some(ArrivalApproximation::GammaAsPoisson { cv })
            }
            Self::Weibull(gap) if gap.explicit().is_none() => {
                let cv = gap.cv();
                let (shape, converged) = weibull_shape(cv);
                (!converged).then_some(ArrivalApproximation::WeibullShape { cv, shape })
            }
            _ => None,
        }
    }
}

/// Coefficient of variation of a Weibull distribution: √(Γ(1+2/k)/Γ(1+1/k)² − 1).
fn weibull_cv(shape: f64) -> f64 {
    let first = libm::tgamma(1.0 + 1.0 / shape);
    let second = libm::tgamma(1.0 + 2.0 / shape);
    (second / (first * first) - 1.0).sqrt()
}

/// The shape whose variation is `cv`, by bisection, and whether it was met to a thousandth.
fn weibull_shape(cv: f64) -> (f64, bool) {
    let (mut low, mut high) = (0.1, 100.0);
    for _ in 0..100 {
        let mid = f64::midpoint(low, high);
        let got = weibull_cv(mid);
        if (got - cv).abs() < 0.001 {
            return (mid, true);
        }
        // Variation falls as the shape grows.
        if got > cv {
            low = mid;
        } else {
            high = mid;
        }
    }
    (f64::midpoint(low, high), false)
}

/// Draws the gaps of one client.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ArrivalSampler {
    /// Equal gaps; draws nothing.
    Constant {
        /// The gap, microseconds.
        gap_us: i64,
    },
    /// Draws X; the gap is X / rate.
    Poisson {
        /// Requests per microsecond.
        rate_per_us: f64,
    },
    /// Marsaglia and Tsang's method (2000): per attempt G until 1 + cG > 0, then F. A shape below 1 draws one F first.
    Gamma {
        /// α.
        shape: f64,
        /// θ, microseconds.
        scale_us: f64,
    },
    /// Draws F; the gap is scale · (−ln F)^(1/shape).
    Weibull {
        /// k.
        shape: f64,
        /// λ, microseconds.
        scale_us: f64,
    },
}

impl ArrivalSampler {
    /// Mean of the gaps before they are cut to whole microseconds.
    pub fn mean_us(&self) -> f64 {
        match *self {
            Self::Constant { gap_us } => gap_us as f64,
            Self::Poisson { rate_per_us } => 1.0 / rate_per_us,
            Self::Gamma { shape, scale_us } => shape * scale_us,
            Self::Weibull { shape, scale_us } => scale_us * libm::tgamma(1.0 + 1.0 / shape),
        }
    }

    /// The next gap, microseconds, at least 1.
    #[inline]
    pub fn sample_us(&self, rng: &mut GoRand) -> i64 {
        match *self {
            Self::Constant { gap_us } => gap_us,
            Self::Poisson { rate_per_us } => whole_us(rng.exp_float64() / rate_per_us),
            Self::Gamma { shape, scale_us } => whole_us(gamma(rng, shape, scale_us)),
            Self::Weibull { shape, scale_us } => {
                let u = rng.float64();
                // The smallest positive double stands in for zero, whose logarithm is infinite.
                let u = if u == 0.0 { f64::from_bits(1) } else { u };
                whole_us(scale_us * libm::pow(-libm::log(u), 1.0 / shape))
            }
        }
    }
}

fn gamma(rng: &mut GoRand, shape: f64, scale: f64) -> f64 {
    if shape < 1.0 {
        let u = rng.float64();
        return gamma(rng, shape + 1.0, scale) * libm::pow(u, 1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let (x, root) = loop {
            let x = rng.norm_float64();
            let root = 1.0 + c * x;
            if root > 0.0 {
                break (x, root);
            }
        };
        let v = root * root * root;
        let u = rng.float64();
        if u < 1.0 - 0.0331 * (x * x) * (x * x) || libm::log(u) < 0.5 * x * x + d * (1.0 - v + libm::log(v)) {
            return d * v * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(process: ArrivalProcess, mean_us: f64) -> (f64, f64) {
        let sampler = process.sampler(1.0 / mean_us);
        let mut rng = GoRand::new(7);
        let n = 200_000;
        let gaps: Vec<f64> = (0..n).map(|_| sampler.sample_us(&mut rng) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / f64::from(n);
        let variance = gaps.iter().map(|g| (g - mean) * (g - mean)).sum::<f64>() / f64::from(n);
        (mean, variance.sqrt() / mean)
    }

    fn cv(cv: f64) -> GapShape {
        GapShape { cv: Some(cv), ..GapShape::default() }
    }

    /// Law: gaps have the client's mean and the wanted coefficient of variation.
    #[test]
    fn gaps_have_the_wanted_moments() {
        let mean_us = 50_000.0;
        for (process, wanted_cv) in [
            (ArrivalProcess::Constant, 0.0),
            (ArrivalProcess::Poisson, 1.0),
            (ArrivalProcess::Gamma(cv(2.0)), 2.0),
            (ArrivalProcess::Gamma(cv(0.5)), 0.5),
            (ArrivalProcess::Gamma(GapShape::default()), 1.0),
            (ArrivalProcess::Weibull(cv(1.5)), 1.5),
            (ArrivalProcess::Weibull(cv(0.3)), 0.3),
            (ArrivalProcess::Weibull(cv(-1.0)), 1.0),
        ] {
            let (mean, got_cv) = moments(process, mean_us);
            assert!((mean / mean_us - 1.0).abs() < 0.02, "{process:?}: mean {mean}");
            assert!((got_cv - wanted_cv).abs() < 0.03 * wanted_cv.max(0.1), "{process:?}: cv {got_cv}");
        }
    }

    #[test]
    fn explicit_shape_and_scale_replace_the_rate() {
        let gap = GapShape { cv: Some(9.0), shape: Some(4.0), scale_us: Some(1_000.0) };
        let (mean, got_cv) = moments(ArrivalProcess::Gamma(gap), 5.0);
        assert!((mean - 4_000.0).abs() < 20.0 && (got_cv - 0.5).abs() < 0.01, "{mean} {got_cv}");
        let (mean, _) = moments(ArrivalProcess::Weibull(gap), 5.0);
        assert!((mean - 1_000.0 * libm::tgamma(1.25)).abs() < 5.0, "{mean}");
    }

    #[test]
    fn what_cannot_be_honoured_is_told() {
        let gamma = ArrivalProcess::Gamma(cv(11.0));
        assert_eq!(gamma.approximation(), Some(ArrivalApproximation::GammaAsPoisson { cv: 11.0 }));
        assert_eq!(gamma.sampler(0.25), ArrivalSampler::Poisson { rate_per_us: 0.25 });
        let weibull = ArrivalProcess::Weibull(cv(0.01)).approximation();
        assert!(matches!(weibull, Some(ArrivalApproximation::WeibullShape { cv: 0.01, .. })), "{weibull:?}");
        assert_eq!(ArrivalProcess::Weibull(cv(2.0)).approximation(), None);
    }

    #[test]
    fn a_gap_is_at_least_one_microsecond_and_never_overflows() {
        assert_eq!(ArrivalProcess::Constant.sampler(50.0).sample_us(&mut GoRand::new(1)), 1);
        assert_eq!(
            ArrivalProcess::Constant.sampler(0.0),
            ArrivalSampler::Constant { gap_us: 999_999_999_999_999 }
        );
        let huge = GapShape { cv: None, shape: Some(0.1), scale_us: Some(1e300) };
        assert!(ArrivalProcess::Weibull(huge).sampler(1.0).sample_us(&mut GoRand::new(1)) > 0);
    }

    /// Law: the order of primitive draws is part of a seed's meaning.
    #[test]
    fn each_process_consumes_its_documented_draws() {
        // Both gamma processes accept their first attempt with this seed.
        const SEED: i64 = 1;
        let after = |process: ArrivalProcess| {
            let mut rng = GoRand::new(SEED);
            process.sampler(1e-5).sample_us(&mut rng);
            rng
        };
        let expect = |draws: fn(&mut GoRand)| {
            let mut rng = GoRand::new(SEED);
            draws(&mut rng);
            rng
        };
        assert_eq!(after(ArrivalProcess::Constant), expect(|_| ()));
        assert_eq!(after(ArrivalProcess::Poisson), expect(|r| _ = r.exp_float64()));
        assert_eq!(after(ArrivalProcess::Weibull(cv(2.0))), expect(|r| _ = r.float64()));
        assert_eq!(after(ArrivalProcess::Gamma(cv(0.5))), expect(|r| _ = (r.norm_float64(), r.float64())));
        assert_eq!(
            after(ArrivalProcess::Gamma(cv(2.0))),
            expect(|r| _ = (r.float64(), r.norm_float64(), r.float64()))
        );
    }
}
