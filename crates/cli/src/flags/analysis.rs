//! What a run is judged by.

use super::text;
use blis_config::RunOptions;
use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Analysis")]
pub(crate) struct AnalysisFlags {
    /// Rate the run by one number, the weighted sum of key:weight,… with the keys throughput, tokens_per_sec and
    /// {mean,p50,p99}_{ttft,e2e}; unused in a replay
    #[arg(long, value_name = "WEIGHTS")]
    fitness_weights: Option<String>,
}

impl AnalysisFlags {
    pub(crate) fn fill(self, options: &mut RunOptions) {
        options.fitness_weights = text(self.fitness_weights);
    }
}
