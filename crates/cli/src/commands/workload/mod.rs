//! `blis workload`: what can be done with descriptions of traffic without a cluster.

mod describe;
mod generate;

use crate::Exit;
use crate::flags::Findings;
use clap::{Args, Subcommand};

#[derive(Args, Debug)]
pub(crate) struct WorkloadArgs {
    #[command(subcommand)]
    command: WorkloadCommand,
}

#[derive(Debug, Subcommand)]
enum WorkloadCommand {
    /// Show rates, lengths, shared prefixes, sessions and SLO classes of a workload file or a trace
    Describe(describe::DescribeArgs),
    /// Write the requests of a workload file as a trace, without simulating anything
    Generate(generate::GenerateArgs),
}

/// # Errors
/// Whatever is wrong with the settings, the files or standard output.
pub(crate) fn run(args: WorkloadArgs, findings: Findings) -> Result<(), Exit> {
    match args.command {
        WorkloadCommand::Describe(args) => describe::run(args, findings),
        WorkloadCommand::Generate(args) => generate::run(args, findings),
    }
}
