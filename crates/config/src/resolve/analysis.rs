//! What a run is judged by.

use super::check::{Check, Source};
use crate::diagnostic::Diagnostic;
use crate::options::{RunOptions, Traffic};
use blis_metrics::{FitnessWeights, SloTargets};

/// The weights of the fitness score; none where there is no score.
pub(super) fn fitness(check: &mut Check, options: &RunOptions) -> FitnessWeights {
    const NAME: &str = "fitness-weights";
    let Some(text) = &options.fitness_weights else { return FitnessWeights::default() };
    check.note(NAME, text, Source::Given);
    let weights = FitnessWeights::parse(text).unwrap_or_else(|errors| {
        let problems = errors.iter().map(|error| Diagnostic::new(format!("--{NAME}: {error}")));
        check.problems.extend(problems);
        FitnessWeights::default()
    });
    if matches!(options.traffic, Traffic::Trace(_)) {
        check.warn(format!("--{NAME} is unused: a replay has no fitness score"));
        return FitnessWeights::default();
    }
    weights
}

/// What goodput is measured against, given what the file that describes the traffic says.
pub(super) fn slo_targets(check: &mut Check, options: &RunOptions, file: SloTargets) -> SloTargets {
    for (_, name, text) in options.slo_targets.given() {
        check.note(&name, text, Source::Given);
    }
    options.slo_targets.over(file).unwrap_or_else(|problems| {
        check.problems.extend(problems);
        SloTargets::new()
    })
}
