//! What is traced of the decisions at the gateway.

use super::{Findings, Typed, text};
use blis_config::RunOptions;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
#[command(next_help_heading = "Decisions")]
pub(crate) struct DecisionFlags {
    /// What to trace: none or decisions [default: none]
    #[arg(long, value_name = "NAME")]
    trace_level: Option<String>,
    /// Best candidates to note with each routing decision, and with them how much worse the chosen one was
    /// [default: 0; all with --decision-trace]
    #[arg(long, value_name = "INT")]
    counterfactual_k: Option<Typed<i64>>,
    /// Show how many requests were admitted, where they went and what that gave up
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    summarize_trace: Option<Typed<bool>>,
    /// File for every decision, one JSON object per line, with what each scorer gave each candidate; blis explain
    /// reads it
    #[arg(long, value_name = "FILE")]
    decision_trace: Option<PathBuf>,
}

impl DecisionFlags {
    /// Gives the file.
    pub(crate) fn fill(self, options: &mut RunOptions, findings: &mut Findings) -> Option<PathBuf> {
        let file = self.decision_trace.filter(|path| !path.as_os_str().is_empty());
        options.trace_level = text(self.trace_level);
        options.counterfactual_k = findings.value("--counterfactual-k", self.counterfactual_k);
        options.summarize_trace =
            findings.value("--summarize-trace", self.summarize_trace).unwrap_or_default();
        options.keep_decisions = file.is_some();
        file
    }
}
