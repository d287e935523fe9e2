//! `blis run`: synthesised traffic.

use super::simulate::{Asked, Files, simulate};
use crate::Exit;
use crate::around::Around;
use crate::flags::intervals::IntervalFlags;
use crate::flags::later::LaterFlags;
use crate::flags::{Findings, RunFlags};
use crate::trace_file::TraceFiles;
use blis_intervals::DEFAULT_DRAWS;
use clap::Args;
use std::ffi::OsString;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    run: RunFlags,
    #[command(flatten)]
    files: RunFiles,
    #[command(flatten)]
    intervals: IntervalFlags,
    #[command(flatten)]
    later: LaterFlags<false>,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
struct RunFiles {
    /// File for the aggregate figures and a record of every request, JSON
    #[arg(long, value_name = "FILE", alias = "results-path")]
    metrics_path: Option<PathBuf>,
    /// Trace of all requests that arrived, to be replayed: PREFIX.yaml and PREFIX.csv
    #[arg(long, value_name = "PREFIX")]
    trace_output: Option<PathBuf>,
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(
    args: RunArgs,
    mut findings: Findings,
    words: &[OsString],
    around: &Around<'_>,
) -> Result<(), Exit> {
    let asked = args.read(&mut findings);
    simulate(asked, findings, words, around)
}

impl RunArgs {
    /// What is asked for.
    pub(crate) fn read(self, findings: &mut Findings) -> Asked {
        let (options, mut output) = self.run.fill(findings);
        output.intervals = self.intervals.read(DEFAULT_DRAWS, findings);
        self.later.refuse(findings);
        let trace = TraceFiles::of_prefix(self.files.trace_output);
        let files = Files { metrics: self.files.metrics_path, results: None, trace };
        Asked { options, output, files }
    }
}
