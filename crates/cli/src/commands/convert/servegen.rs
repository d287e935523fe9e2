//! `blis convert servegen`.

use super::deliver;
use crate::Exit;
use crate::commands::result_file::ResultFile;
use crate::flags::{Findings, Typed, text};
use blis::convert::{self, ServegenOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct ServegenArgs {
    /// Folder with the files chunk-…-trace.csv and chunk-…-dataset.json [required]
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Length of each period, s [default: 600]
    #[arg(long, value_name = "INT")]
    window_duration_seconds: Option<Typed<i64>>,
    /// Pause between two periods, s [default: 180]
    #[arg(long, value_name = "INT")]
    drain_timeout_seconds: Option<Typed<i64>>,
    /// Keep one period: midnight, morning or afternoon [default: all, one after the other]
    #[arg(long, value_name = "NAME")]
    time: Option<String>,
    #[command(flatten)]
    output: ResultFile,
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(super) fn run(args: ServegenArgs, mut findings: Findings) -> Result<(), Exit> {
    let options = ServegenOptions {
        path: args.path.filter(|path| !path.as_os_str().is_empty()),
        window_duration_s: findings.value("--window-duration-seconds", args.window_duration_seconds),
        drain_timeout_s: findings.value("--drain-timeout-seconds", args.drain_timeout_seconds),
        time: text(args.time),
    };
    deliver(convert::servegen(&options), &args.output, findings)
}
