//! `blis convert aiperf`.

use super::recording::{Kind, RecordingFlags, convert};
use crate::Exit;
use crate::flags::Findings;
use blis_convert::aiperf;
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct AiperfArgs {
    #[command(flatten)]
    files: RecordingFlags,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: AiperfArgs, findings: Findings) -> Result<(), Exit> {
    convert(args.files, findings, Kind::results("aiperf"), |input, sink| aiperf(input, sink))
}
