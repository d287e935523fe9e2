//! The tree-structured Parzen estimator (Bergstra and others 2011) on numbers of levels, for one objective or several
//! (Ozaki and others 2020: the good trials are the first layers).
//!
//! The best quarter of the trials are the good ones. For each dimension two densities over its levels are estimated, of the
//! good trials and of the others: a kernel around each trial's level (a Gaussian where levels are ordered, mostly the level
//! itself where they are not), and a little of the uniform one. What is tried next has the largest product of their ratios
//! among points drawn from the good density and the neighbours of the best trials.

use super::{Fresh, Seen, neighbours};
use crate::goal::ranking;
use crate::space::{Dimension, Point, Space};
use blis_kernel::rng::GoRand;

/// Points drawn per point that is wanted.
const DRAWS: usize = 24;
/// Best trials whose neighbours are looked at.
const ELITE: usize = 4;
/// One of so many points is a neighbour of the best trial.
const CLIMBING: usize = 2;
/// A kernel is so many times narrower than its dimension.
const WIDTH: f64 = 6.0;
/// Most good trials.
const MOST_GOOD: usize = 25;

pub(super) fn next(space: &Space, seen: &[Seen], fresh: &mut Fresh<'_>, rng: &mut GoRand) {
    let scores: Vec<_> = seen.iter().map(|trial| trial.score.clone()).collect();
    let ranked = ranking(&scores);
    let good = (seen.len() / 4).clamp(2, MOST_GOOD).min(ranked.len());
    let points = |numbers: &[usize]| numbers.iter().map(|&n| seen[n].point.clone()).collect::<Vec<_>>();
    let (good, bad) = (points(&ranked[..good]), points(&ranked[good..]));
    let elite = points(&ranked[..ELITE.min(ranked.len())]);
    let good = Densities::new(space, &good);
    let mut bad = Densities::new(space, &bad);

    let near = |points: &[Point]| -> Vec<Point> {
        points.iter().flat_map(|point| neighbours(space, point)).collect()
    };
    // The surroundings of the best trial are searched step by step; what is good farther away the densities say.
    let climbing = fresh.wanted.div_ceil(CLIMBING);
    choose(near(&elite[..1.min(elite.len())]), climbing, &good, &mut bad, fresh);
    let mut candidates = near(&elite);
    candidates.extend((0..DRAWS * fresh.wanted).map(|_| good.draw(rng)));
    choose(candidates, fresh.wanted, &good, &mut bad, fresh);
}

/// Adds the candidates with the largest ratio of the densities, one after the other, until there are so many points.
fn choose(
    mut candidates: Vec<Point>,
    count: usize,
    good: &Densities<'_>,
    bad: &mut Densities<'_>,
    fresh: &mut Fresh<'_>,
) {
    candidates.retain(|point| fresh.is_new(point));
    candidates.sort_unstable();
    candidates.dedup();
    while fresh.points.len() < count && !candidates.is_empty() {
        let gain = |point: &Point| good.log_density(point) - bad.log_density(point);
        let gains: Vec<f64> = candidates.iter().map(gain).collect();
        let best = (0..gains.len()).fold(0, |best, n| if gains[n] > gains[best] { n } else { best });
        let point = candidates.remove(best);
        // Until its result is known a point counts as a bad one, so that the next ones lie elsewhere.
        bad.add(&point);
        fresh.add(point);
    }
}

/// A density over the levels of every dimension.
struct Densities<'a> {
    space: &'a Space,
    /// Sums of kernels, by dimension and level; those of a dimension sum to `total`.
    weights: Vec<Vec<f64>>,
    total: f64,
}

impl<'a> Densities<'a> {
    fn new(space: &'a Space, points: &[Point]) -> Self {
        let uniform =
            |dimension: &Dimension| vec![1.0 / dimension.levels.len() as f64; dimension.levels.len()];
        let mut all = Self { space, weights: space.dimensions.iter().map(uniform).collect(), total: 1.0 };
        for point in points {
            all.add(point);
        }
        all
    }

    fn add(&mut self, point: &[u32]) {
        self.total += 1.0;
        for ((weights, dimension), &level) in self.weights.iter_mut().zip(&self.space.dimensions).zip(point) {
            let levels = weights.len() as f64;
            if dimension.is_ordered {
                let width = (levels / WIDTH).max(0.6);
                let kernel = |at: usize| {
                    let distance = (at as f64 - f64::from(level)) / width;
                    libm::exp(-0.5 * distance * distance)
                };
                let sum: f64 = (0..weights.len()).map(kernel).sum();
                weights.iter_mut().enumerate().for_each(|(at, weight)| *weight += kernel(at) / sum);
            } else {
                const OWN: f64 = 0.8;
                let others = (1.0 - OWN) / (levels - 1.0).max(1.0);
                for (at, weight) in weights.iter_mut().enumerate() {
                    *weight += if at == level as usize { OWN } else { others };
                }
            }
        }
    }

    fn log_density(&self, point: &[u32]) -> f64 {
        let of = |(weights, &level): (&Vec<f64>, &u32)| libm::log(weights[level as usize] / self.total);
        self.weights.iter().zip(point).map(of).sum()
    }

    fn draw(&self, rng: &mut GoRand) -> Point {
        let level = |weights: &Vec<f64>| {
            let mut left = rng.float64() * self.total;
            let found = weights.iter().position(|weight| {
                left -= weight;
                left < 0.0
            });
            found.unwrap_or(weights.len() - 1) as u32
        };
        self.weights.iter().map(level).collect()
    }
}
