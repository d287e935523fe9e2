//! `blis convert inference-perf`.

use super::deliver;
use crate::Exit;
use crate::commands::result_file::{ResultFile, read};
use crate::flags::Findings;
use blis::convert;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct InferencePerfArgs {
    /// Workload file with an inference_perf block [required]
    #[arg(long, value_name = "FILE")]
    spec: Option<PathBuf>,
    #[command(flatten)]
    output: ResultFile,
}

/// # Errors
/// Whatever is wrong with the file or standard output.
pub(super) fn run(args: &InferencePerfArgs, findings: Findings) -> Result<(), Exit> {
    let converted =
        read("--spec", args.spec.as_deref()).and_then(|(text, name)| convert::inference_perf(&text, &name));
    deliver(converted, &args.output, findings)
}
