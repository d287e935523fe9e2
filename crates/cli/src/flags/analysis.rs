//! What a run is judged by.

use super::text;
use blis_config::RunOptions;
use blis_config::slo_targets::SloFlags;
use clap::Args;

#[derive(Args, Debug)]
#[command(next_help_heading = "Analysis")]
pub(crate) struct AnalysisFlags {
    /// Rate the run by one number, the weighted sum of key:weight,… with the keys throughput, tokens_per_sec and
    /// {mean,p50,p99}_{ttft,e2e}; unused in a replay
    #[arg(long, value_name = "WEIGHTS")]
    fitness_weights: Option<String>,
    /// Goodput: bound the time to first token by SLO class, class=duration,… as in critical=100ms,standard=1.5s;
    /// 0s = no bound. Replaces what the workload file or the trace says for that class [default: what they say]
    #[arg(long, value_name = "TARGETS")]
    slo_ttft: Option<String>,
    /// The same for the mean inter-token latency
    #[arg(long, value_name = "TARGETS")]
    slo_itl: Option<String>,
    /// The same for the end-to-end latency
    #[arg(long, value_name = "TARGETS")]
    slo_e2e: Option<String>,
}

impl AnalysisFlags {
    pub(crate) fn fill(self, options: &mut RunOptions) {
        options.fitness_weights = text(self.fitness_weights);
        options.slo_targets =
            SloFlags { ttft: text(self.slo_ttft), itl: text(self.slo_itl), e2e: text(self.slo_e2e) };
    }
}
