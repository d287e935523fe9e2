//! `blis replay`: the traffic of a recorded trace.

use super::simulate::{Asked, Files, simulate};
use crate::Exit;
use crate::around::Around;
use crate::flags::intervals::IntervalFlags;
use crate::flags::later::LaterFlags;
use crate::flags::model::ModelFlags;
use crate::flags::traffic::TraceFlags;
use crate::flags::{Findings, SharedFlags};
use crate::trace_file::TraceFiles;
use blis_config::RunOptions;
use blis_intervals::DEFAULT_DRAWS;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ReplayArgs {
    #[command(flatten)]
    model: ModelFlags,
    #[command(flatten)]
    trace: TraceFlags,
    #[command(flatten)]
    shared: SharedFlags,
    #[command(flatten)]
    files: ReplayFiles,
    #[command(flatten)]
    intervals: IntervalFlags,
    #[command(flatten)]
    later: LaterFlags<true>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
struct ReplayFiles {
    /// File for the latencies of every finished request, JSON, as calibration reads them
    #[arg(long, value_name = "FILE")]
    results_path: Option<PathBuf>,
    /// File for the aggregate figures and a record of every request, JSON
    #[arg(long, value_name = "FILE")]
    metrics_path: Option<PathBuf>,
    /// Trace of the replay: PREFIX.yaml and PREFIX.csv
    #[arg(long, value_name = "PREFIX")]
    trace_output: Option<PathBuf>,
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(
    args: ReplayArgs,
    mut findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<(), Exit> {
    let asked = args.read(&mut findings);
    simulate(asked, findings, words, around)
}

impl ReplayArgs {
    /// What is asked for.
    pub(crate) fn read(self, findings: &mut Findings) -> Asked {
        let mut options = RunOptions::default();
        self.model.fill(&mut options, findings);
        options.traffic = self.trace.into_traffic(findings);
        let mut output = self.shared.fill(&mut options, findings);
        output.intervals = self.intervals.read(DEFAULT_DRAWS, findings);
        self.later.refuse(findings);
        let ReplayFiles { results_path: results, metrics_path: metrics, trace_output } = self.files;
        let files = Files { metrics, results, trace: TraceFiles::of_prefix(trace_output) };
        Asked { options, output, files }
    }
}
