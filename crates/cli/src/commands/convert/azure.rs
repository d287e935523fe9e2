//! `blis convert azure`.

use super::recording::{Kind, RecordingFlags, convert};
use crate::Exit;
use crate::flags::Findings;
use blis_convert::{Facts, azure};
use clap::Args;

#[derive(Args, Debug)]
pub(crate) struct AzureArgs {
    #[command(flatten)]
    files: RecordingFlags,
}

/// # Errors
/// Whatever is wrong with the flags or the files.
pub(super) fn run(args: AzureArgs, findings: Findings) -> Result<(), Exit> {
    convert(args.files, findings, Kind::traffic("azure"), |input, sink| {
        azure(input, sink).map(|()| Facts::default())
    })
}
