//! Coefficients of step-time models and of the host from measurements.
//!
//! [`fit`] simulates measured points ([`blis_accuracy::read`], or one's own) with one set of coefficients after the other until
//! the figures agree as well as they can (`residuals.rs`, `minimise.rs`), says how sure each coefficient is (`covariance.rs`)
//! and how well measurements are met that it did not see (`validation.rs`). The same points and settings give the same bytes,
//! with any number of threads.

mod covariance;
mod matrix;
mod minimise;
mod residuals;
mod settings;
mod validation;

pub use blis_config::coefficients::Achieved;
pub use settings::{Groups, Settings};
pub use validation::HeldOut;

use blis_accuracy::{ALL, Assessed, Errors, Metric, Point, Sample};
use blis_config::coefficients::{CoefficientSet, Points, Provenance};
use blis_config::{Diagnostic, RunOptions};
use blis_policy::Registry;
use minimise::{Free, Minimum, minimise};
use residuals::{Measured, Simulations};
use std::collections::BTreeMap;

/// What a fit found.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// The coefficients, with their covariance and the errors achieved.
    pub set: CoefficientSet,
    /// What was fitted, in the order of the covariance.
    pub parameters: Vec<FittedParameter>,
    /// Coefficients that were to be fitted but change none of the figures.
    pub without_influence: Vec<String>,
    /// Pairs of fitted coefficients that the measurements hardly tell apart, with their correlation.
    pub correlated: Vec<(String, String, f64)>,
    /// Errors by group of points: with all points fitted, and with this group left out.
    pub held_out: Vec<HeldOut>,
    /// Points that were not used, with the reason.
    pub left_out: Vec<(String, String)>,
    /// Steps of the search.
    pub steps: usize,
}

/// A fitted coefficient.
#[derive(Clone, Debug, PartialEq)]
pub struct FittedParameter {
    /// Its name.
    pub name: String,
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
    /// Standard deviation.
    pub sd: f64,
    /// Whether it ended at a bound.
    pub is_at_bound: bool,
}

/// Fits coefficients of `start` to points. `base` has the settings that the points do not have.
///
/// # Errors
/// Names or bounds in `settings` make no sense, or the points do not suffice.
pub fn fit(
    points: &[Point],
    base: &RunOptions,
    start: &CoefficientSet,
    settings: &Settings,
    policies: &Registry,
) -> Result<Fitted, Vec<Diagnostic>> {
    let start = settings.applied(start)?;
    let (measured, before) = Measured::new(points, base, &start, policies);
    if measured.kinds.is_empty() {
        let reasons: Vec<Diagnostic> = measured
            .left_out
            .iter()
            .map(|(name, reason)| Diagnostic::new(format!("{name} cannot be used: {reason}")))
            .chain([Diagnostic::new("there is no measured figure that could be simulated")])
            .collect();
        return Err(reasons);
    }
    let wanted = settings.wanted(&start)?;
    if measured.kinds.len() < wanted.len() {
        return Err(vec![
            Diagnostic::new(format!(
                "{} figures are too few for {} coefficients: {}",
                measured.kinds.len(),
                wanted.len(),
                wanted.join(", ")
            ))
            .with_help("choose fewer with --parameters, or measure more"),
        ]);
    }
    let all: Vec<&str> = wanted.iter().map(String::as_str).collect();
    let of_all = Simulations { measured: &measured, set: &start, names: all.clone() };
    let minimum = minimise(&of_all, &measured.kinds, &free(&start, &all), settings.most_steps, true);
    let (minimum, names, without_influence) = influential(minimum, &all);
    if names.is_empty() {
        let problem = format!("none of the coefficients to fit changes a figure: {}", wanted.join(", "));
        return Err(vec![Diagnostic::new(problem)]);
    }
    let problem = Simulations { measured: &measured, set: &start, names: names.clone() };
    let free = free(&start, &names);

    let models: Vec<&str> = measured.of_point.iter().map(|of| before[*of].model.as_str()).collect();
    let matrix = covariance::covariance(&measured, &minimum, &free, &models);
    let after_set = start.with_values(&names, &minimum.parameters);
    let after = measured.simulated(&after_set);
    let mut held_out = Vec::new();
    let mut without = None;
    if let Some(groups) = settings.cross_validate {
        let validated = validation::cross_validate(&problem, &minimum, &free, groups, &before);
        held_out = validation::by_group(groups, &after, &validated);
        without = Some(validated);
    }

    let parameters: Vec<FittedParameter> = names
        .iter()
        .enumerate()
        .map(|(index, name)| {
            let (own, value) = (&free[index], minimum.parameters[index]);
            FittedParameter {
                name: (*name).to_owned(),
                before: own.start,
                after: value,
                sd: matrix[index][index].sqrt(),
                is_at_bound: value <= own.lower || value >= own.upper,
            }
        })
        .collect();
    let mut set = after_set;
    for parameter in &parameters {
        if let Some(own) = set.coefficients.iter_mut().find(|own| own.name == parameter.name) {
            own.sd = Some(parameter.sd);
        }
    }
    let correlated = covariance::correlated(&names, &matrix);
    set.covariance.of = names.iter().map(|name| (*name).to_owned()).collect();
    set.covariance.matrix = matrix;
    set.errors = achieved(&before, &after, without.as_deref());
    set.provenance = provenance(&measured.points, &settings.provenance);
    Ok(Fitted {
        set,
        parameters,
        without_influence,
        correlated,
        held_out,
        left_out: measured.left_out,
        steps: minimum.steps,
    })
}

fn free(set: &CoefficientSet, names: &[&str]) -> Vec<Free> {
    names
        .iter()
        .filter_map(|name| set.coefficient(name))
        .map(|one| Free { start: one.value, lower: one.lower, upper: one.upper })
        .collect()
}

/// The minimum in those of the coefficients that change a figure, their names, and those of the others.
fn influential<'a>(mut minimum: Minimum, names: &[&'a str]) -> (Minimum, Vec<&'a str>, Vec<String>) {
    let changes: Vec<bool> =
        (0..names.len()).map(|index| minimum.jacobian.iter().any(|row| row[index] != 0.0)).collect();
    let keep = |values: &[f64]| -> Vec<f64> {
        values.iter().zip(&changes).filter_map(|(value, changes)| changes.then_some(*value)).collect()
    };
    minimum.parameters = keep(&minimum.parameters);
    for row in &mut minimum.jacobian {
        *row = keep(row);
    }
    let named = |wanted: bool| {
        names.iter().zip(&changes).filter(move |(_, changes)| **changes == wanted).map(|(name, _)| *name)
    };
    (minimum, named(true).collect(), named(false).map(str::to_owned).collect())
}

fn provenance(points: &[Point], given: &Provenance) -> Provenance {
    let mut sets: BTreeMap<String, u64> = BTreeMap::new();
    let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for point in points {
        *sets.entry(point.set.clone()).or_default() += 1;
        *counts.entry((&point.server.model, &point.server.gpu)).or_default() += 1;
    }
    let points = counts
        .into_iter()
        .map(|((model, gpu), points)| Points { model: model.to_owned(), gpu: gpu.to_owned(), points })
        .collect();
    Provenance { blis_version: env!("CARGO_PKG_VERSION").to_owned(), sets, points, ..given.clone() }
}

/// Samples of whole runs, and of steps, of the figures that tables tell.
pub(crate) fn told(point: &Assessed) -> impl Iterator<Item = &Sample> {
    let is_told = |sample: &&Sample| sample.part == ALL && sample.metric != Metric::KvBlocks;
    point.result.iter().flatten().filter(is_told)
}

pub(crate) fn median_error<'a>(samples: impl Iterator<Item = &'a Sample>) -> Option<f64> {
    Errors::of(samples).map(|errors| errors.median)
}

/// Errors by model and figure, all models first.
fn achieved(before: &[Assessed], after: &[Assessed], without: Option<&[Assessed]>) -> Vec<Achieved> {
    type Grouped<'a> = BTreeMap<(String, Metric), Vec<&'a Sample>>;
    fn grouped(points: &[Assessed]) -> Grouped<'_> {
        let mut groups = Grouped::new();
        for point in points {
            for sample in told(point) {
                for model in [String::new(), point.model.clone()] {
                    groups.entry((model, sample.metric)).or_default().push(sample);
                }
            }
        }
        groups
    }
    let (before, after, without) = (grouped(before), grouped(after), without.map(grouped));
    let median = |groups: &Grouped<'_>, key: &(String, Metric)| {
        median_error(groups.get(key).into_iter().flatten().copied())
    };
    let row = |key: &(String, Metric)| {
        let (model, metric) = key;
        Some(Achieved {
            model: if model.is_empty() { "all".to_owned() } else { model.clone() },
            figure: metric.name().to_owned(),
            count: after.get(key)?.len() as u64,
            before: median(&before, key)?,
            in_sample: median(&after, key)?,
            cross_validated: without.as_ref().and_then(|groups| median(groups, key)),
        })
    };
    after.keys().filter_map(row).collect()
}
