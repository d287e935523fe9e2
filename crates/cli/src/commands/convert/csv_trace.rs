//! `blis convert csv-trace`.

use super::deliver;
use crate::Exit;
use crate::commands::result_file::{ResultFile, read};
use crate::flags::{Findings, Typed};
use blis::{Diagnostic, convert};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct CsvTraceArgs {
    /// Trace to convert [required]
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Requests that arrive after this time, µs, are left out; 0 = none are [default: 0]
    #[arg(long, value_name = "INT")]
    horizon: Option<Typed<i64>>,
    #[command(flatten)]
    output: ResultFile,
}

/// # Errors
/// Whatever is wrong with the settings, the trace or standard output.
pub(super) fn run(args: CsvTraceArgs, mut findings: Findings) -> Result<(), Exit> {
    let horizon_us = findings.value("--horizon", args.horizon);
    if let Some(us) = horizon_us.filter(|&us| us < 0) {
        findings.add(Diagnostic::new(format!("--horizon is {us}; it must be at least 0")));
    }
    let converted = read("--file", args.file.as_deref())
        .and_then(|(text, name)| convert::csv_trace(&text, &name, horizon_us.filter(|&us| us > 0)));
    deliver(converted, &args.output, findings)
}
