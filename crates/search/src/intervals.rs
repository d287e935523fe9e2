//! Bands of a run's figures: the run again and again, with other step times and coefficients.

use crate::figure::{self, Hardware};
use blis_cluster::{Control, Detail, Plan, Stopped};
use blis_config::resolve::Deployed;
use blis_config::{Diagnostic, Resolved, RunOptions, Surroundings, resolve};
use blis_intervals::{Configuration, Intervals, Quantity, Validation, drawn, scaled};
use blis_metrics::Outcome;
use rayon::prelude::*;
use std::iter;
use std::sync::Arc;

/// Measured configurations that are told of.
const TOLD: usize = 5;

/// A run that was made, and whose figures are to get bands.
#[derive(Clone, Copy)]
pub struct Made<'a> {
    /// What was asked for.
    pub options: &'a RunOptions,
    /// What that came to.
    pub resolved: &'a Resolved,
    /// What it gave.
    pub outcome: &'a Outcome,
    /// Where the policies come from.
    pub surroundings: &'a Surroundings<'a>,
}

/// What a run's bands are looked up by, known before it is made.
///
/// # Errors
/// Why it can have no bands.
pub fn can_have_bands<'a>(
    options: &RunOptions,
    resolved: &'a Resolved,
) -> Result<&'a Deployed, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    if options.compat.is_some() {
        let problem = "--intervals does not go with --compat: the bands are of the corrected simulator";
        problems.push(Diagnostic::new(problem));
    }
    let deployed = resolved.deployed.as_ref();
    if deployed.is_none() {
        let problem =
            "--intervals needs the model's configuration, to find measured runs that are like this one";
        let help = "give a --latency-model that reads it, such as auto";
        problems.push(Diagnostic::new(problem).with_help(help));
    }
    deployed.filter(|_| problems.is_empty()).ok_or(problems)
}

/// The bands, from `draws` further runs with the same requests.
///
/// # Errors
/// Coefficients that cannot be used; the runs were stopped.
pub fn intervals(
    made: &Made<'_>,
    table: &Validation,
    draws: u32,
    control: &Control,
) -> Result<Intervals, Vec<Diagnostic>> {
    let Made { options, resolved, outcome, .. } = *made;
    let deployed = can_have_bands(options, resolved)?;
    let forecast = table.forecast(&Configuration::of(deployed, outcome), None);
    let plans: Vec<Plan> = iter::zip(0.., forecast.factors(draws))
        .map(|(number, factor)| Ok(scaled(&drawn_plan(made, number)?, factor)))
        .collect::<Result<_, Vec<Diagnostic>>>()?;
    let hardware =
        Hardware { gpus: resolved.gpus.iter().map(|group| group.count).sum(), cost_per_hour: None };
    let runs: Result<Vec<Vec<Option<f64>>>, Stopped> = plans
        .par_iter()
        .map(|plan| Ok(figure::measure_all(&control.run(plan, &mut ())?, hardware)))
        .collect();
    let runs = runs.map_err(|_| vec![crate::stopped()])?;
    let figures = figure::all().zip(figure::measure_all(outcome, hardware)).enumerate();
    let banded = figures.filter_map(|(place, (figure, value))| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run[place]).collect();
        Some((figure.name, value?, forecast.band(Quantity::of_figure(figure.name), &values)?))
    });
    let figures = banded.collect();
    let nearest = forecast.nearest.into_iter().take(TOLD).collect();
    Ok(Intervals { draws, figures, nearest, warning: forecast.warning })
}

/// The plan of a further run: with coefficients from their posterior where some were given that were fitted.
fn drawn_plan(made: &Made<'_>, number: u32) -> Result<Plan, Vec<Diagnostic>> {
    let Made { options, resolved, surroundings, .. } = *made;
    let fitted = resolved.coefficients.as_ref().filter(|set| !set.covariance.of.is_empty());
    let plan = match fitted {
        None => resolved.plan.clone(),
        Some(set) => {
            let set = Arc::new(drawn(set, resolved.plan.seed, number));
            let options = RunOptions { coefficient_set: Some(set), ..options.clone() };
            // What is downloaded lies in the cache by now.
            let surroundings = Surroundings { hub: None, ..*surroundings };
            resolve(&options, &surroundings)?.plan
        }
    };
    Ok(Plan { detail: Detail::Aggregate, trace: None, saturation: None, ..plan })
}
