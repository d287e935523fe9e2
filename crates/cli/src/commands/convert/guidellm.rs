//! `blis convert guidellm`.

use super::recording::{Kind, RecordingFlags, convert};
use super::vllm_bench::RunChoice;
use crate::Exit;
use crate::flags::Findings;
use blis_convert::guidellm;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct GuidellmArgs {
    #[command(flatten)]
    files: RecordingFlags,
    #[command(flatten)]
    choice: RunChoice,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: GuidellmArgs, mut findings: Findings) -> Result<(), Exit> {
    let run = args.choice.read(&mut findings);
    convert(args.files, findings, Kind::results("guidellm"), |input, sink| guidellm(input, run, sink))
}
