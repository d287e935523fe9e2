//! `blis compose`: several workload files as one.

use super::convert::deliver;
use super::result_file::{ResultFile, read};
use crate::Exit;
use crate::flags::Findings;
use blis::convert;
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ComposeArgs {
    /// Workload file; give the flag once per file [required]
    #[arg(long, value_name = "FILE")]
    from: Vec<PathBuf>,
    #[command(flatten)]
    output: ResultFile,
}

/// # Errors
/// Whatever is wrong with the files or standard output.
pub(crate) fn run(args: &ComposeArgs, mut findings: Findings) -> Result<(), Exit> {
    let mut files = Vec::new();
    for path in &args.from {
        match read("--from", Some(path)) {
            Ok(file) => files.push(file),
            Err(problems) => findings.extend(problems),
        }
    }
    if !findings.is_empty() {
        return findings.check();
    }
    deliver(convert::compose(&files), &args.output, findings)
}
