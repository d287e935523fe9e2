//! `blis completion`: a script for a shell.

use crate::flags::Findings;
use crate::{Exit, arguments, printer};
use blis_policy::Registry;
use clap::Args;
use clap_complete::Shell;

#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// Which shell
    shell: Shell,
}

/// # Errors
/// Findings of the command line; standard output fails.
pub(crate) fn run(args: &CompletionArgs, findings: Findings, policies: &Registry) -> Result<(), Exit> {
    findings.check()?;
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut arguments::command(policies), "blis", &mut script);
    Ok(printer::result(&String::from_utf8_lossy(&script))?)
}
