//! Two or more configurations under the same traffic, seed by seed.
//!
//! A seed makes the same requests for every configuration, so what differs between two runs of one seed is what the
//! configurations do. The mean of these differences is known much better than either mean: its interval is that of Student's
//! t distribution over the seeds.

use crate::figure::{self, Hardware};
use blis_config::Diagnostic;
use blis_metrics::{Outcome, RunEnding};
use rayon::prelude::*;

/// Something that can be run with a seed.
pub trait Candidate: Sync {
    /// One run.
    ///
    /// # Errors
    /// Everything that is wrong with the configuration.
    fn run(&self, seed: i64) -> Result<(Outcome, Hardware), Vec<Diagnostic>>;
}

/// The figures of one configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Of each seed, in the order of [`figure::all`].
    pub figures: Vec<Vec<Option<f64>>>,
}

/// A difference between two configurations, over the seeds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// Mean of the first.
    pub from: f64,
    /// Mean of the second.
    pub to: f64,
    /// Mean of the second minus the first, seed by seed.
    pub mean: f64,
    /// Half the width of the 95 % interval around it; infinite with one seed.
    pub half_width: f64,
}

impl Difference {
    /// Whether the interval does not hold zero.
    pub fn is_certain(&self) -> bool {
        self.mean.abs() > self.half_width
    }

    /// As a share of the first; `None` when that is 0.
    pub fn share(&self) -> Option<f64> {
        (self.from != 0.0).then(|| self.mean / self.from)
    }
}

/// Runs every configuration with every seed.
///
/// # Errors
/// Everything that is wrong with the configurations.
pub fn measure(
    candidates: &[&dyn Candidate],
    seeds: &[i64],
    done: &(dyn Fn() + Sync),
) -> Result<Vec<Measured>, Vec<Diagnostic>> {
    let jobs: Vec<_> = (0..candidates.len()).flat_map(|n| seeds.iter().map(move |&seed| (n, seed))).collect();
    let one = |&(n, seed): &(usize, i64)| {
        let (outcome, hardware) = candidates[n].run(seed)?;
        if let RunEnding::Deadlock(waiting) = &outcome.ending {
            return Err(vec![Diagnostic::new(format!("the simulation is stuck: {waiting}"))]);
        }
        done();
        Ok(figure::measure_all(&outcome, hardware))
    };
    // The first in order is told, whichever came first.
    let all: Vec<Result<_, _>> = jobs.par_iter().map(one).collect();
    let mut figures = all.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter();
    Ok(candidates
        .iter()
        .map(|_| Measured { figures: figures.by_ref().take(seeds.len()).collect() })
        .collect())
}

impl Measured {
    /// How the other differs from this one in the figure number `n`; `None` where a run does not show it.
    pub fn difference(&self, other: &Self, n: usize) -> Option<Difference> {
        let column =
            |measured: &Self| measured.figures.iter().map(|run| run[n]).collect::<Option<Vec<f64>>>();
        Some(difference(&column(self)?, &column(other)?))
    }

    /// The mean of the figure number `n` over the seeds; `None` where a run does not show it.
    pub fn mean(&self, n: usize) -> Option<f64> {
        let column: Option<Vec<f64>> = self.figures.iter().map(|run| run[n]).collect();
        column.map(|column| mean(&column))
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The paired difference of two equally long columns.
fn difference(from: &[f64], to: &[f64]) -> Difference {
    let pairs: Vec<f64> = from.iter().zip(to).map(|(from, to)| to - from).collect();
    let (n, center) = (pairs.len(), mean(&pairs));
    let half_width = if n < 2 {
        f64::INFINITY
    } else {
        let squares: f64 = pairs.iter().map(|value| (value - center) * (value - center)).sum();
        let variance = squares / (n - 1) as f64;
        t_975(n - 1) * (variance / n as f64).sqrt()
    };
    Difference { from: mean(from), to: mean(to), mean: center, half_width }
}

/// The 97.5th percentile of Student's t distribution. Exact figures for few degrees of freedom; beyond them the expansion of
/// Cornish and Fisher around the normal distribution, which is within 1e-4 there.
fn t_975(degrees: usize) -> f64 {
    const FIRST: [f64; 10] =
        [12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281];
    const Z: f64 = 1.959_963_985;
    if let Some(t) = degrees.checked_sub(1).and_then(|n| FIRST.get(n)) {
        return *t;
    }
    let n = degrees as f64;
    let (z3, z5) = (Z * Z * Z, Z * Z * Z * Z * Z);
    let first = (z3 + Z) / 4.0;
    let second = (5.0 * z5 + 16.0 * z3 + 3.0 * Z) / 96.0;
    let third = (3.0 * z5 * Z * Z + 19.0 * z5 + 17.0 * z3 - 15.0 * Z) / 384.0;
    Z + first / n + second / (n * n) + third / (n * n * n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_t_are_those_of_the_tables() {
        for (degrees, t) in
            [(1, 12.7062), (9, 2.2622), (11, 2.2010), (19, 2.0930), (29, 2.0452), (120, 1.9799)]
        {
            assert!((t_975(degrees) - t).abs() < 2e-4, "{degrees}: {}", t_975(degrees));
        }
    }

    /// Law: what both have in common cancels; the interval is that of the differences.
    #[test]
    fn a_constant_difference_is_certain_whatever_the_seeds_do() {
        let told = difference(&[10.0, 200.0, 3_000.0], &[11.0, 201.0, 3_001.0]);
        assert_eq!((told.mean, told.half_width), (1.0, 0.0));
        assert!(told.is_certain());
        let told = difference(&[1.0, 2.0, 3.0], &[2.0, 1.0, 4.0]);
        // Differences 1, -1, 1: mean 1/3, standard deviation 2/√3, times 4.3027/√3.
        assert!((told.half_width - 4.3027 * 2.0 / 3.0).abs() < 1e-12, "{told:?}");
        assert!(!told.is_certain());
        assert!(!difference(&[1.0], &[9.0]).is_certain(), "one seed shows nothing");
    }
}
