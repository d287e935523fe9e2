//! What a run is judged by.

use super::check::{Check, Source};
use crate::diagnostic::Diagnostic;
use crate::options::{RunOptions, Traffic};
use blis_metrics::FitnessWeights;

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
