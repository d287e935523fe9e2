//! `blis convert burstgpt`.

use super::recording::{Kind, RecordingFlags, convert};
use crate::Exit;
use crate::flags::Findings;
use blis_convert::{Facts, burstgpt};
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct BurstGptArgs {
    #[command(flatten)]
    files: RecordingFlags,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: BurstGptArgs, findings: Findings) -> Result<(), Exit> {
    convert(args.files, findings, Kind::traffic("burstgpt"), |input, sink| {
        burstgpt(input, sink).map(|()| Facts::default())
    })
}
