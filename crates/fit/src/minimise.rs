//! Levenberg-Marquardt with a robust loss and bounds.
//!
//! ```text
//! cost = Σ w·2·(√(1 + (r/s)²) − 1)                      soft L1: squares near 0, sizes far from it
//! step: (JᵀVJ + λ·diag(JᵀVJ))·Δ = −JᵀVr                 V = w/s²/√(1 + (r/s)²)
//! ```
//!
//! where w are weights, J the derivatives of the residuals r by finite differences, and s the scale of a residual's kind:
//! 1.48 times the median size of these (the standard deviation, if they are normal and few are outliers), at least 2 %, worked
//! out anew before each step. A parameter at a bound to which the step would push it stays there. Derivatives are corrected
//! by what each step shows (Broyden), and taken anew where a step with corrected ones fails.

use crate::matrix::{Matrix, solve};
use rayon::prelude::*;

/// Least scale of a residual, a relative error.
const LEAST_SCALE: f64 = 0.02;
/// A normal distribution's standard deviation over its median size.
const SD_PER_MEDIAN: f64 = 1.4826;
/// A step that lowers the cost by less than this share ends the search.
const ENOUGH: f64 = 1e-3;
/// Attempts with ever shorter steps.
const ATTEMPTS: usize = 5;
/// Share of a parameter by which it is moved for a derivative, and share of its upper bound where it is small.
const DIFFERENCE: f64 = 0.05;
const SMALL_DIFFERENCE: f64 = 1e-4;

/// A parameter of the search.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Free {
    pub(crate) start: f64,
    pub(crate) lower: f64,
    pub(crate) upper: f64,
}

/// What is minimised.
pub(crate) trait Residuals: Sync {
    /// All residuals with these parameters, always as many.
    fn at(&self, parameters: &[f64]) -> Vec<f64>;
}

/// What is known of each residual beside its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Kind {
    /// Weight.
    pub(crate) weight: f64,
    /// Residuals of the same number have a scale in common.
    pub(crate) scale_of: usize,
}

/// Where the search ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct Minimum {
    pub(crate) parameters: Vec<f64>,
    pub(crate) residuals: Vec<f64>,
    /// By residual, then by parameter, at the minimum.
    pub(crate) jacobian: Vec<Vec<f64>>,
    /// Scale by number.
    pub(crate) scales: Vec<f64>,
    pub(crate) steps: usize,
}

/// Searches from the start.
pub(crate) fn minimise(
    problem: &dyn Residuals,
    kinds: &[Kind],
    free: &[Free],
    most_steps: usize,
    differences: bool,
) -> Minimum {
    let mut parameters: Vec<f64> = free.iter().map(|one| one.start.clamp(one.lower, one.upper)).collect();
    let mut residuals = problem.at(&parameters);
    let mut jacobian = derivatives(problem, free, &parameters, &residuals);
    let mut is_fresh = true;
    let mut damping = 1e-3;
    let mut steps = 0;
    while steps < most_steps && !free.is_empty() {
        let scales = scales(kinds, &residuals);
        let before = cost(kinds, &scales, &residuals);
        let mut found = None;
        for _ in 0..ATTEMPTS {
            let Some(next) = step(kinds, &scales, free, &parameters, &residuals, &jacobian, damping) else {
                damping *= 10.0;
                continue;
            };
            let there = problem.at(&next);
            let after = cost(kinds, &scales, &there);
            if after < before {
                damping = (damping / 5.0).max(1e-9);
                found = Some((next, there, after));
                break;
            }
            damping *= 10.0;
        }
        let Some((next, there, after)) = found else {
            if is_fresh {
                break;
            }
            jacobian = derivatives(problem, free, &parameters, &residuals);
            is_fresh = true;
            damping = 1e-3;
            continue;
        };
        correct(&mut jacobian, free, (&parameters, &next), (&residuals, &there));
        (parameters, residuals) = (next, there);
        let was_fresh = std::mem::replace(&mut is_fresh, false);
        steps += 1;
        if before - after < ENOUGH * before {
            if was_fresh {
                break;
            }
            jacobian = derivatives(problem, free, &parameters, &residuals);
            is_fresh = true;
        }
    }
    if differences && !is_fresh {
        jacobian = derivatives(problem, free, &parameters, &residuals);
    }
    let scales = scales(kinds, &residuals);
    Minimum { parameters, residuals, jacobian, scales, steps }
}

/// How far a parameter is moved for a derivative.
fn difference(one: &Free, value: f64) -> f64 {
    let size = (DIFFERENCE * value.abs()).max(SMALL_DIFFERENCE * one.upper).min(one.upper - one.lower);
    if value + size <= one.upper { size } else { -size }
}

fn derivatives(problem: &dyn Residuals, free: &[Free], at: &[f64], residuals: &[f64]) -> Vec<Vec<f64>> {
    let columns: Vec<Vec<f64>> = free
        .par_iter()
        .enumerate()
        .map(|(index, one)| {
            let by = difference(one, at[index]);
            if by == 0.0 {
                return vec![0.0; residuals.len()];
            }
            let mut moved = at.to_vec();
            moved[index] += by;
            let there = problem.at(&moved);
            there.iter().zip(residuals).map(|(there, here)| (there - here) / by).collect()
        })
        .collect();
    (0..residuals.len()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

/// The scale of each kind.
pub(crate) fn scales(kinds: &[Kind], residuals: &[f64]) -> Vec<f64> {
    let count = kinds.iter().map(|kind| kind.scale_of + 1).max().unwrap_or_default();
    let mut sizes: Vec<Vec<(f64, f64)>> = vec![Vec::new(); count];
    for (kind, residual) in kinds.iter().zip(residuals) {
        sizes[kind.scale_of].push((residual.abs(), kind.weight));
    }
    let median = |mut sizes: Vec<(f64, f64)>| {
        sizes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let half = sizes.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
        let mut passed = 0.0;
        let middle = sizes.iter().find(|(_, weight)| {
            passed += weight;
            passed >= half
        });
        middle.map_or(0.0, |(size, _)| *size)
    };
    sizes.into_iter().map(|sizes| (SD_PER_MEDIAN * median(sizes)).max(LEAST_SCALE)).collect()
}

fn cost(kinds: &[Kind], scales: &[f64], residuals: &[f64]) -> f64 {
    let one = |(kind, residual): (&Kind, &f64)| {
        let u = residual / scales[kind.scale_of];
        kind.weight * 2.0 * ((1.0 + u * u).sqrt() - 1.0)
    };
    kinds.iter().zip(residuals).map(one).sum()
}

/// The weight of a residual in the quadratic form near these residuals.
pub(crate) fn curvature(kind: &Kind, scales: &[f64], residual: f64) -> f64 {
    let scale = scales[kind.scale_of];
    let u = residual / scale;
    kind.weight / (scale * scale) / (1.0 + u * u).sqrt()
}

/// JᵀVJ and JᵀVr.
pub(crate) fn normal(
    kinds: &[Kind],
    scales: &[f64],
    residuals: &[f64],
    jacobian: &[Vec<f64>],
    parameters: usize,
) -> (Matrix, Vec<f64>) {
    let mut matrix = vec![vec![0.0; parameters]; parameters];
    let mut gradient = vec![0.0; parameters];
    for ((kind, &residual), row) in kinds.iter().zip(residuals).zip(jacobian) {
        let weight = curvature(kind, scales, residual);
        for ((slope, pull), entries) in row.iter().zip(&mut gradient).zip(&mut matrix) {
            *pull += weight * slope * residual;
            for (entry, other) in entries.iter_mut().zip(row) {
                *entry += weight * (slope * other);
            }
        }
    }
    (matrix, gradient)
}

/// The parameters after a step; `None` when none leads anywhere.
fn step(
    kinds: &[Kind],
    scales: &[f64],
    free: &[Free],
    at: &[f64],
    residuals: &[f64],
    jacobian: &[Vec<f64>],
    damping: f64,
) -> Option<Vec<f64>> {
    let (matrix, gradient) = normal(kinds, scales, residuals, jacobian, free.len());
    let is_held = |index: usize| {
        (at[index] <= free[index].lower && gradient[index] > 0.0)
            || (at[index] >= free[index].upper && gradient[index] < 0.0)
            || matrix[index][index] <= 0.0
    };
    let mut moving: Vec<usize> = (0..free.len()).filter(|index| !is_held(*index)).collect();
    // Whoever would leave its bounds goes to the bound, and the others go on without it.
    let mut next = at.to_vec();
    loop {
        if moving.is_empty() {
            break;
        }
        let right: Vec<f64> = moving
            .iter()
            .map(|&i| {
                let by_others: f64 = (0..free.len())
                    .filter(|j| !moving.contains(j))
                    .map(|j| matrix[i][j] * (next[j] - at[j]))
                    .sum();
                -gradient[i] - by_others
            })
            .collect();
        let part: Matrix = moving
            .iter()
            .map(|&i| {
                let damped = |j: usize| if i == j { matrix[i][i] * (1.0 + damping) } else { matrix[i][j] };
                moving.iter().map(|&j| damped(j)).collect()
            })
            .collect();
        let by = solve(&part, &right)?;
        let beyond = moving.iter().zip(&by).position(|(&index, by)| {
            at[index] + by < free[index].lower || at[index] + by > free[index].upper
        });
        if let Some(place) = beyond {
            let index = moving.remove(place);
            next[index] = (at[index] + by[place]).clamp(free[index].lower, free[index].upper);
            continue;
        }
        for (&index, by) in moving.iter().zip(&by) {
            next[index] = at[index] + by;
        }
        break;
    }
    (next != at).then_some(next)
}

/// Broyden's correction: the derivatives along the step are those that the step showed. Parameters count in units of their
/// differences.
fn correct(jacobian: &mut [Vec<f64>], free: &[Free], at: (&[f64], &[f64]), residuals: (&[f64], &[f64])) {
    let moved: Vec<f64> = at.1.iter().zip(at.0).map(|(next, now)| next - now).collect();
    let unit: Vec<f64> = free.iter().zip(at.0).map(|(one, value)| difference(one, *value).abs()).collect();
    let along: Vec<f64> = moved
        .iter()
        .zip(&unit)
        .map(|(moved, unit)| if *unit > 0.0 { moved / (unit * unit) } else { 0.0 })
        .collect();
    let length: f64 = moved.iter().zip(&along).map(|(moved, along)| moved * along).sum();
    if length <= 0.0 {
        return;
    }
    for (row, (there, here)) in jacobian.iter_mut().zip(residuals.1.iter().zip(residuals.0)) {
        let expected: f64 = row.iter().zip(&moved).map(|(slope, moved)| slope * moved).sum();
        let missing = there - here - expected;
        for (slope, along) in row.iter_mut().zip(&along) {
            *slope += missing * along / length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Free, Kind, Residuals, minimise};

    /// A line through points, in its own parameters.
    struct Line {
        points: Vec<(f64, f64)>,
    }

    impl Residuals for Line {
        fn at(&self, parameters: &[f64]) -> Vec<f64> {
            self.points.iter().map(|(x, y)| parameters[0] + parameters[1] * x - y).collect()
        }
    }

    fn line(wrong: &[(usize, f64)]) -> Line {
        let mut points: Vec<(f64, f64)> =
            (0..20).map(|x| (f64::from(x) / 10.0, 0.5 + f64::from(x) / 5.0)).collect();
        for (index, by) in wrong {
            points[*index].1 += by;
        }
        Line { points }
    }

    fn fitted(line: &Line, upper: f64) -> Vec<f64> {
        let kinds = vec![Kind { weight: 1.0, scale_of: 0 }; line.points.len()];
        let free = [Free { start: 0.1, lower: 0.0, upper: 10.0 }, Free { start: 0.1, lower: 0.0, upper }];
        minimise(line, &kinds, &free, 30, true).parameters
    }

    #[test]
    fn a_line_is_found() {
        let found = fitted(&line(&[]), 10.0);
        assert!((found[0] - 0.5).abs() < 1e-3 && (found[1] - 2.0).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn an_outlier_hardly_moves_it() {
        let found = fitted(&line(&[(3, 40.0)]), 10.0);
        assert!((found[0] - 0.5).abs() < 0.05 && (found[1] - 2.0).abs() < 0.05, "{found:?}");
    }

    #[test]
    fn bounds_hold_and_the_others_make_the_best_of_it() {
        let found = fitted(&line(&[]), 1.5);
        assert!((found[1] - 1.5).abs() < 1e-12, "{found:?}");
        assert!(found[0] > 0.8 && found[0] < 1.2, "the line is lifted: {found:?}");
    }
}
