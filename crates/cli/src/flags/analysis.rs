//! What a run is judged by.

use super::{Findings, Micros, Typed, text};
use blis_config::RunOptions;
use blis_config::slo_targets::SloFlags;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Analysis")]
pub(crate) struct FitnessFlags {
    /// Rate the run by one number, the weighted sum of key:weight,… with the keys throughput, tokens_per_sec and
    /// {mean,p50,p99}_{ttft,e2e}; unused in a replay
    #[arg(long, value_name = "WEIGHTS")]
    fitness_weights: Option<String>,
}

impl FitnessFlags {
    pub(crate) fn fill(self, options: &mut RunOptions) {
        options.fitness_weights = text(self.fitness_weights);
    }
}

/// How well something was served, simulated or not.
#[derive(Args, Debug)]
#[command(next_help_heading = "Analysis")]
pub(crate) struct AnalysisFlags {
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
    /// Tell afterwards whether the system kept up: composite, threshold and backlog-drift, several joined by commas,
    /// or all
    #[arg(long, value_name = "NAMES", alias = "post-hoc-detector")]
    detectors: Option<String>,
    /// YAML file that tunes the detectors: threshold.threshold_ms, backlog_drift.window_size_sec
    #[arg(long, value_name = "FILE")]
    saturation_config: Option<PathBuf>,
    /// File for the detectors' verdicts after every event, JSON
    #[arg(long, value_name = "FILE")]
    saturation_report: Option<PathBuf>,
    /// Span before the last event from which the run gets its label, µs or a duration [default: the window of
    /// backlog-drift when the file gives one, else 30s]
    #[arg(long, value_name = "TIME")]
    saturation_final_window: Option<Typed<Micros>>,
}

/// Files that an analysis writes.
#[derive(Debug, Default)]
pub(crate) struct AnalysisFiles {
    pub(crate) saturation_report: Option<PathBuf>,
    pub(crate) decision_trace: Option<PathBuf>,
}

impl AnalysisFlags {
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) -> AnalysisFiles {
        options.slo_targets =
            SloFlags { ttft: text(self.slo_ttft), itl: text(self.slo_itl), e2e: text(self.slo_e2e) };
        let path = |given: Option<PathBuf>| given.filter(|path| !path.as_os_str().is_empty());
        options.detectors = text(self.detectors);
        options.saturation_config = path(self.saturation_config);
        let saturation_report = path(self.saturation_report);
        options.saturation_report = saturation_report.is_some();
        options.saturation_final_window_us =
            findings.micros("--saturation-final-window", self.saturation_final_window);
        AnalysisFiles { saturation_report, decision_trace: None }
    }
}
