//! How well measurements are met that a fit did not see.
//!
//! For each group of points the coefficients are fitted to all the others, and the group is simulated with those. The fits without
//! a group start where the fit with all points ended, and go by its derivatives instead of simulations: r + J·Δ.

use crate::minimise::{Free, Kind, Minimum, Residuals, minimise};
use crate::residuals::Simulations;
use crate::settings::Groups;
use crate::{median_error, told};
use blis_accuracy::{Assessed, Metric, Sample};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Errors of a group of points: medians of their sizes, as shares of what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct HeldOut {
    /// The group.
    pub group: String,
    /// What.
    pub figure: &'static str,
    /// How many.
    pub count: usize,
    /// Fitted with it.
    pub in_sample: f64,
    /// Fitted without it.
    pub cross_validated: f64,
}

/// Residuals near a minimum.
struct Near<'a> {
    minimum: &'a Minimum,
    /// Places of the residuals that count.
    rows: Vec<usize>,
}

impl Residuals for Near<'_> {
    fn at(&self, parameters: &[f64]) -> Vec<f64> {
        let Minimum { parameters: from, residuals, jacobian, .. } = self.minimum;
        let moved: Vec<f64> = parameters.iter().zip(from).map(|(there, here)| there - here).collect();
        let one = |&row: &usize| {
            let by: f64 = jacobian[row].iter().zip(&moved).map(|(slope, moved)| slope * moved).sum();
            residuals[row] + by
        };
        self.rows.iter().map(one).collect()
    }
}

pub(crate) fn group_of(groups: Groups, point: &Assessed) -> &str {
    match groups {
        Groups::Model => &point.model,
        Groups::Gpu => &point.gpu,
        Groups::Set => &point.set,
    }
}

/// All points, each simulated with coefficients fitted without its group.
pub(crate) fn cross_validate(
    problem: &Simulations<'_>,
    minimum: &Minimum,
    free: &[Free],
    groups: Groups,
    points: &[Assessed],
) -> Vec<Assessed> {
    let measured = problem.measured;
    let near: Vec<Free> = free
        .iter()
        .zip(&minimum.parameters)
        .map(|(one, value)| Free { start: *value, ..one.clone() })
        .collect();
    let mut names: Vec<&str> = points.iter().map(|point| group_of(groups, point)).collect();
    names.sort_unstable();
    names.dedup();
    let without = |group: &str| {
        let rows: Vec<usize> = (0..measured.of_point.len())
            .filter(|row| group_of(groups, &points[measured.of_point[*row]]) != group)
            .collect();
        if rows.len() < free.len() {
            return None;
        }
        let kinds: Vec<Kind> = rows.iter().map(|row| measured.kinds[*row]).collect();
        let found = minimise(&Near { minimum, rows }, &kinds, &near, 20, false);
        Some(problem.set.with_values(&problem.names, &found.parameters))
    };
    let sets: BTreeMap<&str, _> = names.into_iter().map(|name| (name, without(name))).collect();
    points
        .par_iter()
        .enumerate()
        .filter_map(|(place, point)| measured.one(place, sets[group_of(groups, point)].as_ref()?))
        .collect()
}

/// The errors of each group.
pub(crate) fn by_group(groups: Groups, fitted: &[Assessed], without: &[Assessed]) -> Vec<HeldOut> {
    type Grouped<'a> = BTreeMap<(&'a str, Metric), Vec<&'a Sample>>;
    fn grouped(groups: Groups, points: &[Assessed]) -> Grouped<'_> {
        let mut all = Grouped::new();
        for point in points {
            for sample in told(point) {
                all.entry((group_of(groups, point), sample.metric)).or_default().push(sample);
            }
        }
        all
    }
    let (fitted, without) = (grouped(groups, fitted), grouped(groups, without));
    let row = |((group, metric), samples): (&(&str, Metric), &Vec<&Sample>)| {
        Some(HeldOut {
            group: (*group).to_owned(),
            figure: metric.name(),
            count: samples.len(),
            in_sample: median_error(fitted.get(&(*group, *metric))?.iter().copied())?,
            cross_validated: median_error(samples.iter().copied())?,
        })
    };
    without.iter().filter_map(row).collect()
}
