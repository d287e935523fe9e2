//! Which points are tried.
//!
//! A method is asked for the next batch of points and sees every trial so far. What it answers follows from the space, the
//! seed and these trials alone: a search that was interrupted goes on as if it had not been, and with any number of threads
//! it tries the same points.

mod nsga2;
mod sobol;
mod tpe;

pub use sobol::MOST_DIMENSIONS as MOST_SOBOL_DIMENSIONS;

use crate::goal::Score;
use crate::space::{Point, Space};
use blis_config::Diagnostic;
use blis_config::diagnostic::unknown_name;
use blis_kernel::rng::{GoRand, stream_seed};
use std::collections::BTreeSet;

/// How points are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Every point of the space, in order.
    Grid,
    /// Points drawn independently and uniformly.
    Random,
    /// Points of a Sobol sequence, which fill the space evenly.
    Sobol,
    /// A genetic algorithm that keeps what nothing dominates (NSGA-II).
    Nsga2,
    /// Where good trials are dense compared with the others (tree-structured Parzen estimator).
    Tpe,
}

/// Points that a search of so many trials chooses at once, whatever the number of threads: many are made in parallel, few
/// learn more from one another.
pub fn batch(trials: u64) -> usize {
    (trials / 16).clamp(4, 64) as usize
}

impl Method {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Grid, Self::Random, Self::Sobol, Self::Nsga2, Self::Tpe];

    /// What it is called.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Random => "random",
            Self::Sobol => "sobol",
            Self::Nsga2 => "nsga2",
            Self::Tpe => "tpe",
        }
    }

    /// The method of this name.
    ///
    /// # Errors
    /// There is none; says which there are.
    pub fn parse(flag: &str, name: &str) -> Result<Self, Diagnostic> {
        let known = Self::ALL.into_iter().find(|method| method.name() == name);
        known.ok_or_else(|| unknown_name(&format!("value of {flag}"), name, Self::ALL.map(Self::name)))
    }

    /// Whether its points follow from earlier trials.
    pub const fn is_adaptive(self) -> bool {
        matches!(self, Self::Nsga2 | Self::Tpe)
    }
}

/// A trial that a method learns from.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Where.
    pub point: Point,
    /// How good.
    pub score: Score,
}

/// Points from number `first` on of a method that does not look at trials; `None` for one that does.
pub(crate) fn fixed(
    method: Method,
    space: &Space,
    seed: i64,
    first: u64,
    count: usize,
) -> Option<Vec<Point>> {
    let numbers = first..first + count as u64;
    match method {
        Method::Grid => Some(numbers.map(|n| space.nth(n)).collect()),
        Method::Random => Some(numbers.map(|n| random(space, &mut stream(seed, "random", n))).collect()),
        Method::Sobol => {
            let sequence = sobol::Sobol::new(space.dimensions.len(), &mut stream(seed, "sobol", 0));
            Some(numbers.map(|n| space.at(&sequence.nth(n as u32))).collect())
        }
        Method::Nsga2 | Method::Tpe => None,
    }
}

/// The next points of a method that looks at trials: at most `count`, none that was tried, fewer only where the space has no
/// more.
pub(crate) fn next(method: Method, space: &Space, seed: i64, seen: &[Seen], count: usize) -> Vec<Point> {
    let mut rng = stream(seed, method.name(), seen.len() as u64);
    let mut fresh = Fresh::new(space, seen, count);
    let initial = initial_trials(space);
    if seen.len() < initial {
        // At first there is nothing to learn from; points spread evenly tell most.
        let sobol = space.dimensions.len() <= sobol::MOST_DIMENSIONS;
        let method = if sobol { Method::Sobol } else { Method::Random };
        let points = fixed(method, space, seed, seen.len() as u64, count.min(initial - seen.len()));
        points.into_iter().flatten().for_each(|point| fresh.add(point));
        fresh.fill_up_to(count.min(initial - seen.len()), &mut rng);
        return fresh.points;
    }
    match method {
        Method::Nsga2 => nsga2::next(space, seen, &mut fresh, &mut rng),
        Method::Tpe => tpe::next(space, seen, &mut fresh, &mut rng),
        Method::Grid | Method::Random | Method::Sobol => {}
    }
    fresh.fill_up_to(count, &mut rng);
    fresh.points
}

/// Trials before a method begins to learn.
fn initial_trials(space: &Space) -> usize {
    (2 * (space.dimensions.len() + 1)).clamp(8, 64)
}

/// The stream of random numbers of one batch.
fn stream(seed: i64, name: &str, n: u64) -> GoRand {
    GoRand::new(stream_seed(seed, &format!("{name} {n}")))
}

fn random(space: &Space, rng: &mut GoRand) -> Point {
    space.dimensions.iter().map(|dimension| rng.intn(dimension.levels.len() as i64) as u32).collect()
}

/// Points that were not tried yet, each once.
struct Fresh<'a> {
    space: &'a Space,
    known: BTreeSet<Point>,
    points: Vec<Point>,
    wanted: usize,
}

impl<'a> Fresh<'a> {
    fn new(space: &'a Space, seen: &[Seen], wanted: usize) -> Self {
        let known = seen.iter().map(|trial| trial.point.clone()).collect();
        Self { space, known, points: Vec::new(), wanted }
    }

    fn is_full(&self) -> bool {
        self.points.len() >= self.wanted
    }

    fn is_new(&self, point: &Point) -> bool {
        !self.known.contains(point)
    }

    fn add(&mut self, point: Point) {
        if !self.is_full() && self.known.insert(point.clone()) {
            self.points.push(point);
        }
    }

    /// Random points for what is missing, and the next in order where almost all have been tried.
    fn fill_up_to(&mut self, count: usize, rng: &mut GoRand) {
        const ATTEMPTS: usize = 64;
        let mut attempts = 0;
        while self.points.len() < count && attempts < ATTEMPTS * count {
            attempts += 1;
            self.add(random(self.space, rng));
        }
        let size = self.space.size().unwrap_or(u64::MAX);
        let mut n = 0;
        while self.points.len() < count && n < size {
            self.add(self.space.nth(n));
            n += 1;
        }
    }
}

/// Neighbours of a point: one level away in an ordered dimension or in two of them, any other level in another.
fn neighbours(space: &Space, point: &[u32]) -> Vec<Point> {
    let beside = |n: usize| -> Vec<u32> {
        let (at, last) = (point[n], space.dimensions[n].levels.len() as u32 - 1);
        if space.dimensions[n].is_ordered {
            [at.checked_sub(1), (at < last).then_some(at + 1)].into_iter().flatten().collect()
        } else {
            (0..=last).filter(|&level| level != at).collect()
        }
    };
    let mut all = Vec::new();
    for n in 0..point.len() {
        for level in beside(n) {
            let mut near = point.to_vec();
            near[n] = level;
            all.push(near.clone());
            let others = (n + 1..point.len())
                .filter(|&m| space.dimensions[n].is_ordered && space.dimensions[m].is_ordered);
            for (other, level) in others.flat_map(|m| beside(m).into_iter().map(move |level| (m, level))) {
                let mut near = near.clone();
                near[other] = level;
                all.push(near);
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goal::front;
    use proptest::prelude::*;

    /// Searches with a function as the only objective until it has made so many trials.
    fn search(
        method: Method,
        space: &Space,
        seed: i64,
        trials: usize,
        costs: &dyn Fn(&[u32]) -> Vec<f64>,
    ) -> Vec<Seen> {
        let mut seen: Vec<Seen> = Vec::new();
        while seen.len() < trials {
            let points = next(method, space, seed, &seen, batch(trials as u64).min(trials - seen.len()));
            if points.is_empty() {
                break;
            }
            seen.extend(points.into_iter().map(|point| {
                let score = Score { costs: costs(&point), violation: 0.0 };
                Seen { point, score }
            }));
        }
        seen
    }

    fn ordered(sizes: &[usize]) -> Space {
        let texts: Vec<String> =
            sizes.iter().enumerate().map(|(n, size)| format!("d{n}=1..{size}")).collect();
        Space::parse("--set", &texts).unwrap()
    }

    /// Law: no point is tried twice, and a space that is no larger than the number of trials is tried out.
    #[test]
    fn every_point_is_tried_once_and_small_spaces_wholly() {
        for method in [Method::Nsga2, Method::Tpe] {
            let space = Space::parse("--set", &["a=x,y,z", "b=1..7", "c=p,q"]).unwrap();
            let seen = search(method, &space, 1, 1_000, &|point| vec![f64::from(point[0] * 7 + point[1])]);
            let points: BTreeSet<_> = seen.iter().map(|trial| &trial.point).collect();
            assert_eq!((seen.len(), points.len()), (42, 42), "{}", method.name());
        }
    }

    /// A bowl, a curved valley and settings that only help together, of a thousand points and more each: a tenth of the
    /// trials finds the best of all.
    #[test]
    fn a_tenth_of_the_trials_finds_the_optimum() {
        let bowl = |p: &[u32]| {
            let off = |at: u32, best: f64| (f64::from(at) - best) * (f64::from(at) - best);
            vec![off(p[0], 7.0) + 2.0 * off(p[1], 2.0) + 0.5 * off(p[2], 5.0)]
        };
        let valley = |p: &[u32]| {
            let (x, y) = (f64::from(p[0]) / 8.0, f64::from(p[1]) / 8.0);
            vec![(2.0 - x) * (2.0 - x) + 10.0 * (y - x * x / 2.0) * (y - x * x / 2.0)]
        };
        let together = |p: &[u32]| {
            let works = p[0] == 2 && p[1] == 1;
            vec![
                f64::from(p[2].abs_diff(9))
                    + if works { 0.0 } else { 5.0 }
                    + f64::from(p[0] != 2)
                    + f64::from(p[1] != 1),
            ]
        };
        let words = Space::parse("--set", &["a=p,q,r,s,t", "b=u,v,w,x", "c=1..50"]).unwrap();
        type Costs<'a> = &'a dyn Fn(&[u32]) -> Vec<f64>;
        let cases: [(Space, Costs<'_>); 3] =
            [(ordered(&[10, 10, 10]), &bowl), (ordered(&[32, 32]), &valley), (words, &together)];
        for (number, (space, costs)) in cases.iter().enumerate() {
            let size = space.size().unwrap();
            let best = (0..size).map(|n| costs(&space.nth(n))[0]).fold(f64::INFINITY, f64::min);
            for seed in 1..=10 {
                let seen = search(Method::Tpe, space, seed, size as usize / 10, costs);
                let found = seen.iter().map(|trial| trial.score.costs[0]).fold(f64::INFINITY, f64::min);
                assert_eq!(found, best, "case {number}, seed {seed}");
            }
        }
    }

    /// Of two objectives that pull apart, half of the trials find most of the front, and a purely random choice does not.
    #[test]
    fn the_front_of_two_objectives_is_found() {
        let space = ordered(&[40, 40]);
        let costs = |p: &[u32]| {
            let (x, y) = (f64::from(p[0]), f64::from(p[1]));
            vec![x + 3.0 * (y - 20.0).abs(), (39.0 - x) + 3.0 * (y - 20.0).abs()]
        };
        let on_front = |method| {
            let seen = search(method, &space, 3, 320, &costs);
            let scores: Vec<_> = seen.iter().map(|trial| trial.score.clone()).collect();
            front(&scores).into_iter().filter(|&n| seen[n].point[1] == 20).count()
        };
        let (genetic, parzen) = (on_front(Method::Nsga2), on_front(Method::Tpe));
        assert!(genetic >= 32, "{genetic} of 40");
        assert!(parzen >= 32, "{parzen} of 40");
    }

    proptest! {
        /// Law: what is tried next follows from the trials so far alone, so a search that was stopped goes on as if not.
        #[test]
        fn the_next_batch_follows_from_the_trials(seed in 0..1_000_i64, done in 0..90_usize) {
            let space = ordered(&[9, 8, 7]);
            let costs = |p: &[u32]| vec![f64::from(p[0] ^ p[1]), f64::from(p[2])];
            for method in [Method::Nsga2, Method::Tpe] {
                let seen = search(method, &space, seed, done, &costs);
                prop_assert_eq!(next(method, &space, seed, &seen, 16), next(method, &space, seed, &seen, 16));
            }
        }
    }
}
