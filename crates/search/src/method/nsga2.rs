//! NSGA-II (Deb and others 2002) on numbers of levels.
//!
//! Parents are the best of all trials so far, by layer and then by room. Two tournaments choose a pair; a child takes each
//! coordinate from one of them or, in an ordered dimension, from between them, and some coordinates change.

use super::{Fresh, Seen, neighbours};
use crate::goal::ranking;
use crate::space::{Dimension, Point, Space};
use blis_kernel::rng::GoRand;

/// Parents.
const POPULATION: usize = 32;
/// Share of the children that cross two parents instead of copying one.
const CROSSOVER: f64 = 0.9;
/// Children that are tried for one that is new.
const ATTEMPTS: usize = 40;

pub(super) fn next(space: &Space, seen: &[Seen], fresh: &mut Fresh<'_>, rng: &mut GoRand) {
    let scores: Vec<_> = seen.iter().map(|trial| trial.score.clone()).collect();
    let ranked = ranking(&scores);
    let parents: Vec<&Point> = ranked.iter().take(POPULATION).map(|&n| &seen[n].point).collect();
    for _ in 0..ATTEMPTS * fresh.wanted {
        if fresh.is_full() {
            return;
        }
        let (mother, father) = (tournament(&parents, rng), tournament(&parents, rng));
        let child = child(space, mother, father, rng);
        if fresh.is_new(&child) {
            fresh.add(child);
        } else if let Some(near) = any_of(neighbours(space, &child), rng) {
            // What was tried already says nothing new; what is beside it may.
            fresh.add(near);
        }
    }
}

/// The better of two: parents are in order.
fn tournament<'a>(parents: &[&'a Point], rng: &mut GoRand) -> &'a Point {
    let mut draw = || rng.intn(parents.len() as i64) as usize;
    let (a, b) = (draw(), draw());
    parents[a.min(b)]
}

fn child(space: &Space, mother: &Point, father: &Point, rng: &mut GoRand) -> Point {
    let crosses = rng.float64() < CROSSOVER;
    let change = 1.0 / space.dimensions.len() as f64;
    let coordinate = |(dimension, (&a, &b)): (&Dimension, (&u32, &u32))| {
        let mut level = if !crosses {
            a
        } else if dimension.is_ordered && a != b && rng.intn(2) == 0 {
            let (low, high) = (a.min(b), a.max(b));
            low + rng.intn(i64::from(high - low) + 1) as u32
        } else if rng.intn(2) == 0 {
            a
        } else {
            b
        };
        if rng.float64() < change {
            level = changed(dimension, level, rng);
        }
        level
    };
    space.dimensions.iter().zip(mother.iter().zip(father)).map(coordinate).collect()
}

/// Another level: of numbers mostly one nearby.
fn changed(dimension: &Dimension, level: u32, rng: &mut GoRand) -> u32 {
    let levels = dimension.levels.len() as i64;
    if !dimension.is_ordered {
        return rng.intn(levels) as u32;
    }
    // The larger of the two shares makes small steps likely and large ones possible.
    let share = rng.float64() * rng.float64();
    let step = 1 + (share * (levels - 1) as f64) as i64;
    let to = if rng.intn(2) == 0 { i64::from(level) - step } else { i64::from(level) + step };
    to.clamp(0, levels - 1) as u32
}

fn any_of(mut points: Vec<Point>, rng: &mut GoRand) -> Option<Point> {
    (!points.is_empty()).then(|| points.swap_remove(rng.intn(points.len() as i64) as usize))
}
