//! `blis convert preset`.

use super::deliver;
use crate::Exit;
use crate::commands::result_file::ResultFile;
use crate::flags::{Findings, Typed, text};
use blis::convert::{self, PresetOptions};
use clap::Args;
use std::path::PathBuf;

#[derive(Args, Debug)]
pub(crate) struct PresetArgs {
    /// Name of the preset (see `blis presets`), or of a scenario: bursty-traffic, unfair-tenants, prefix-heavy, mixed-slo [required]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Requests per second [default: 1]
    #[arg(long, value_name = "NUM")]
    rate: Option<Typed<f64>>,
    /// Number of requests; 0 = no limit [default: 100]
    #[arg(long, value_name = "INT")]
    num_requests: Option<Typed<i64>>,
    /// YAML file with presets of one's own [default: defaults.yaml, if there is one]
    #[arg(long, value_name = "FILE")]
    defaults_filepath: Option<PathBuf>,
    #[command(flatten)]
    output: ResultFile,
}

/// # Errors
/// Whatever is wrong with the settings, the defaults file or standard output.
pub(super) fn run(args: PresetArgs, mut findings: Findings) -> Result<(), Exit> {
    let options = PresetOptions {
        name: text(args.name),
        rate: findings.value("--rate", args.rate),
        num_requests: findings.value("--num-requests", args.num_requests),
        defaults_filepath: args.defaults_filepath.filter(|path| !path.as_os_str().is_empty()),
    };
    deliver(convert::preset(&options), &args.output, findings)
}
